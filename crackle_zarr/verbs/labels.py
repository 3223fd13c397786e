"""Which labels a stream or a stored array has, and where one of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from .._base.integers import integer
from ..streams import stream

if TYPE_CHECKING:
    from ..stored.queries import Found
from .sources import ArrayOptions, Labels, Source, is_stored, no_options, stored_source


def labels(binary: Source, **options: Unpack[ArrayOptions]) -> Labels:
    """The labels of a volume, ascending, each once, in the volume's dtype.

    Of a stream they are those of its label table; the background of pins is one of them. Of a stored array,
    the labels section of each chunk is read, by byte range where the store can do it; where an edge or a
    region cuts a chunk, its boundaries too.
    """
    if not is_stored(binary):
        no_options(options)
        return stream.labels(binary)
    from ..stored import queries

    return queries.labels(*stored_source(binary, options))


def num_labels(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """How many labels :func:`labels` has."""
    return len(labels(binary, **options))


def min(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The smallest label.

    Raises:
        ValueError: there are no voxels.
    """
    if not is_stored(binary):
        no_options(options)
        return stream.min(binary)
    return int(_some_labels(binary, options)[0])


def max(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The largest label.

    Raises:
        ValueError: there are no voxels.
    """
    if not is_stored(binary):
        no_options(options)
        return stream.max(binary)
    return int(_some_labels(binary, options)[-1])


def _some_labels(source: Source, options: ArrayOptions) -> Labels:
    found = labels(source, **options)
    if not found.size:
        raise ValueError(
            f"an array of shape {source.shape}, or this region of it, has no voxels and no labels"
        )
    return found


def contains(binary: Source, label: int, **options: Unpack[ArrayOptions]) -> bool:
    """Whether a volume has a label; one that its dtype cannot hold is not there.

    Of a stored array, chunks are looked at until one has it.
    """
    if not is_stored(binary):
        no_options(options)
        return stream.contains(binary, label)
    from ..stored import queries

    wanted = integer("label", label)
    layout, box, asked = stored_source(binary, options)
    return queries.contains(layout, wanted, box, asked)


def contains_range(binary: Source, low: int, high: int, **options: Unpack[ArrayOptions]) -> Labels:
    """The labels in [low, high), ascending, in the volume's dtype."""
    if not is_stored(binary):
        no_options(options)
        return stream.contains_range(binary, low, high)
    bounds = integer("low", low), integer("high", high)
    return stream.between(labels(binary, **options), *bounds)


def find(source: Source, label: int, **options: Unpack[ArrayOptions]) -> Found:
    """Where a label is in a stored array.

    Returns:
        An object with ``chunks``, the grid indices of the chunks that hold the label, and ``slices``, its
        bounding box as an index of the array, or None. It is true where the label is there at all. The
        chunks are found from label tables alone, wherever no edge or region cuts a chunk; the box, when it is
        first asked for, from the boundaries in the outermost of these chunks.

    Example:
        >>> found = find(array, 42)  # doctest: +SKIP
        >>> mask = array[found.slices] == 42  # doctest: +SKIP
    """
    from ..stored import queries

    wanted = integer("label", label)
    layout, box, asked = stored_source(source, options)
    return queries.find(layout, wanted, box, asked)
