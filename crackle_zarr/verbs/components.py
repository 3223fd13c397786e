"""Connected components of streams, arrays in memory and stored arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ..streams import components_3d
from .sources import ArrayOptions, Source, is_stored, no_options, stored_source

if TYPE_CHECKING:
    from ..stored.engine import Options
    from ..stored.layout import Layout


def connected_components(
    binary: Source,
    connectivity: int = 26,
    binary_image: bool = False,
    memory_target: int = 0,
    progress: bool | Callable[[int, int], object] = False,
    return_mapping: bool = False,
    *,
    out: Any = None,
    background: int | None = 0,
    axes: Sequence[int | str] | None = None,
    dtype: Any = None,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """The connected components of a volume: touching voxels of one label are one component.

    Of a stored array of any size, the components become another stored array. Each chunk has its components
    found from its boundaries; the faces of neighbours tell which of them are one; and each chunk of the
    result is the stream of its components with another label table, so that no boundary is coded again. Only
    chunks that the array's edge cuts, and those that are no Crackle streams, are read as voxels. A call that
    was killed goes on when it is given again, and reads again what has changed since.

    Args:
        binary: a stream, an array in memory or a stored array.
        connectivity: 6: voxels touch if they share a face; 26: also if they share an edge or a corner. Of a
            stored array also 4 and 8, which are the same in two dimensions.
        binary_image: not for stored arrays: treat all labels but 0 as one label.
        memory_target: accepted for compatibility with crackle-codec.
        progress: True for a bar on stderr, or a function of (done, total): slices, or chunks.
        return_mapping: not for stored arrays: also return the labels of the components.
        out: of a stored array, where the components go: a path, a URL, a store or a ``StorePath``. The
            result is stored with Crackle in the source's chunks, shards and format, with its names of axes
            and its attributes.
        background: of a stored array, the label whose voxels belong to no component, and are 0 in the result;
            None: every voxel belongs to one.
        axes: of a stored array, the two or three axes along which voxels touch, by number or name. None:
            those that are called x, y and z, or without names the last three. Each index of the other axes is
            an image by itself.
        dtype: of a stored array, that of the result; None: the smallest unsigned one that holds the numbers.
        overwrite: of a stored array, replace what ``out`` has.
        options: of a stored array: ``executor``, ``parallel``, ``verify``, ``level`` and others, see the
            module; there is no ``region``.

    Returns:
        Not of a stored array: a stream of the smallest unsigned dtype that holds the numbers, with the
        boundaries of ``binary``; with ``return_mapping`` also a dict component -> label, which includes 0 if
        there is background. In a binary image, the label of a component is the label of its first voxel.
        Numbers begin with 1 and follow the order of the volume, x fastest.

        Of a stored array a report: ``array``, the result; ``count``, the number of components; ``chunks`` and
        ``nbytes``, the objects written and their bytes; and ``table``, with a row per component:
        ``component``, ``label``, ``voxel_count``, ``start`` and ``stop`` (u8, half-open), ``centroid`` (f8).
        It has ``to_csv``, ``to_parquet``, ``to_pandas`` and ``to_arrow``. Numbers begin with 1 and follow
        the first voxels in C order of the array; they do not depend on chunks or workers.

    Raises:
        ValueError: ``connectivity`` is none of these; all slices of a stream or a chunk together have more
            than 2**32 - 2 components; ``dtype`` does not hold the numbers; ``axes`` are not two or three axes
            of the array; or ``out`` is the source.
        TypeError: an option is not for this kind of source, or ``out`` is missing.
        FileExistsError: ``out`` has something else, or another process writes to it.
        FormatError: a chunk is damaged; the message names it.

    Takes linear time in the boundaries and the faces of chunks. A worker holds some chunks; the caller 24
    bytes for each component of each chunk, whose rows go to a temporary file beyond 256 MiB, and the table.
    """
    if not is_stored(binary):
        if out is not None or background != 0 or axes is not None or dtype is not None or overwrite:
            raise TypeError("out, background, axes, dtype and overwrite are for stored arrays")
        no_options(cast(ArrayOptions, options))
        return components_3d.connected_components(
            binary, cast(Any, connectivity), binary_image, memory_target, progress, return_mapping
        )
    if binary_image or return_mapping:
        raise TypeError(
            "binary_image and return_mapping are not for stored arrays: the report's table has the labels"
        )
    if out is None:
        raise TypeError("connected_components of a stored array needs out, where the components go")
    from .._base import zarr_facts
    from ..stored.components import connected
    from ..stored.forks import fork_of, merged_fork

    faces = in_three(connectivity)
    layout, checked = whole_source(binary, cast(ArrayOptions, {**options, "progress": progress}))
    store, path = zarr_facts.store_at(out)
    chosen = joined_axes(layout, axes)
    kind = None if dtype is None else _unsigned(dtype)
    call = {"call": "connected_components", "connectivity": faces, "background": background}
    with merged_fork(store, checked.executor) as into:
        return connected.connected_components(
            layout,
            into,
            path,
            axes=chosen,
            connectivity=faces,
            background=background,
            dtype=kind,
            values=None,
            call={**call, "dtype": None if kind is None else kind.str},
            overwrite=overwrite,
            options=replace(checked, fork=fork_of(into)),
        )


def in_three(connectivity: int) -> Literal[6, 26]:
    """The connectivity in three dimensions; raises ValueError for other numbers."""
    names: dict[int, Literal[6, 26]] = {4: 6, 6: 6, 8: 26, 26: 26}
    if connectivity not in names:
        raise ValueError(f"connectivity is 6 or 26 (4 or 8 in two dimensions), not {connectivity!r}")
    return names[connectivity]


def _unsigned(dtype: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind not in "ui":
        raise ValueError(f"components are integers, not {kind}")
    return kind


def whole_source(source: Source, options: ArrayOptions) -> tuple[Layout, Options]:
    """The layout of a stored array, all of which takes part, and the checked options."""
    if "region" in options:
        raise TypeError("there is no region: components are those of the whole array")
    layout, _, checked = stored_source(source, options)
    return layout, checked


def joined_axes(layout: Layout, axes: Sequence[int | str] | None) -> tuple[int, ...]:
    """The axes along which voxels of an array touch."""
    from ..stored.components.connected import axes_of
    from ..stored_skeletons.frame import names_of, spatial_axes

    if axes is None:
        return axes_of(layout, None, spatial_axes(layout.array))
    names = names_of(layout.array) or ()
    chosen = []
    for axis in axes:
        number = names.index(axis) if isinstance(axis, str) and axis in names else axis
        if isinstance(number, str) or not -len(layout.shape) <= number < len(layout.shape):
            raise ValueError(
                f"{layout.name} has no axis {axis!r}: its axes are {list(names) or len(layout.shape)}"
            )
        chosen.append(number % len(layout.shape))
    return axes_of(layout, chosen, ())
