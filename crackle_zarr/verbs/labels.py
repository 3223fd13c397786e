"""The labels of a stream or a stored array, and the place of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from .._base.integers import integer
from ..streams import stream, volumes
from ..streams.stream import is_array
from .sources import ArrayOptions, Labels, Source, is_stored, no_options, stored_source

if TYPE_CHECKING:
    from ..stored.queries import Found


def labels(binary: Source, **options: Unpack[ArrayOptions]) -> Labels:
    """The labels of a volume, ascending, each once, in the volume's dtype.

    For a stream, they come from its label table, which lists the background of pins as well. For a stored
    array, the function reads the labels section of each chunk, by byte range if the store supports it; and
    also the boundaries of chunks that the array's edge or the region cuts. For an array in memory, it looks
    at the voxels next to a boundary.
    """
    if not is_stored(binary):
        no_options(options)
        if is_array(binary):
            return volumes.labels(binary, options.get("parallel", 0))
        return stream.labels(binary)
    from ..stored import queries

    return queries.labels(*stored_source(binary, options))


def num_labels(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The number of labels that :func:`labels` returns."""
    if not is_stored(binary):
        return len(labels(binary, **options))
    from ..stored import queries

    return queries.num_labels(*stored_source(binary, options))


def min(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The smallest label.

    Raises:
        ValueError: there are no voxels.
    """
    if not is_stored(binary):
        no_options(options)
        return stream.min(binary) if not is_array(binary) else int(_some_labels(binary, options)[0])
    return int(_some_labels(binary, options)[0])


def max(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The largest label.

    Raises:
        ValueError: there are no voxels.
    """
    if not is_stored(binary):
        no_options(options)
        return stream.max(binary) if not is_array(binary) else int(_some_labels(binary, options)[-1])
    return int(_some_labels(binary, options)[-1])


def _some_labels(source: Source, options: ArrayOptions) -> Labels:
    found = labels(source, **options)
    if not found.size:
        raise ValueError(
            f"an array of shape {source.shape}, or this region of it, has no voxels and no labels"
        )
    return found


def contains(binary: Source, label: int, **options: Unpack[ArrayOptions]) -> bool:
    """Whether a volume has a label; False for a label that the volume's dtype cannot hold.

    For a stored array, the function reads chunks until one has the label.
    """
    if not is_stored(binary):
        no_options(options)
        if is_array(binary):
            return integer("label", label) in labels(binary, **options).tolist()
        return stream.contains(binary, label)
    from ..stored import queries

    wanted = integer("label", label)
    layout, box, checked = stored_source(binary, options)
    return queries.contains(layout, wanted, box, checked)


def contains_range(binary: Source, low: int, high: int, **options: Unpack[ArrayOptions]) -> Labels:
    """The labels in [low, high), ascending, in the volume's dtype."""
    if not is_stored(binary):
        no_options(options)
        if is_array(binary):
            return stream.between(labels(binary, **options), integer("low", low), integer("high", high))
        return stream.contains_range(binary, low, high)
    from ..stored import queries

    bounds = integer("low", low), integer("high", high)
    return queries.labels(*stored_source(binary, options), *bounds)


def find(source: Source, label: int, **options: Unpack[ArrayOptions]) -> Found:
    """Find a label in a stored array.

    Returns:
        An object with ``chunks``, the grid indices of the chunks that hold the label, and ``slices``, its
        bounding box as an index of the array, or None. The object is true if the array has the label. Label
        tables alone give the chunks, except for chunks that the array's edge or the region cuts. The first
        use of ``slices`` computes the box from the boundaries in the outermost of these chunks. ``bounds`` is
        the box in the unit of the voxel size, from face to face, if the array states one.

    Examples:
        >>> found = find(array, 42)  # doctest: +SKIP
        >>> mask = array[found.slices] == 42  # doctest: +SKIP
    """
    from ..ome.metadata import space_of
    from ..stored import queries

    wanted = integer("label", label)
    layout, box, checked = stored_source(source, options)
    return queries.find(layout, wanted, box, checked, space_of)
