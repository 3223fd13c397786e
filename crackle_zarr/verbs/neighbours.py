"""Labels that touch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ..streams import neighbours
from ..streams.contact_table import SPATIAL
from .axes import axis_of
from .sources import ArrayOptions, OtherOptions, Source, is_stored, no_options, stored_source

if TYPE_CHECKING:
    from ..stored.layout import Layout


def contacts(
    binary: Source,
    anisotropy: Sequence[float] | None = None,
    parallel: int = 0,
    skip_background: bool = True,
    axes: Sequence[int | str] | None = None,
    **options: Unpack[OtherOptions],
) -> Any:
    """The labels that touch, and the area over which they do: the region adjacency graph.

    Two labels touch where a voxel of one shares a face with a voxel of the other. Of a stored array, faces
    between two chunks count as any other, and each counts once; what lies beyond the region, or beyond the
    array in a chunk that its edge cuts, does not count. Within a chunk faces come from the boundaries, and no
    voxel is decoded; between two chunks the voxels next to the border are. Chunks that have more than one
    voxel along four or more axes are decoded.

    Args:
        binary: a stream, an array in memory or a stored array.
        anisotropy: the size of a voxel. Of a stream and of an array in memory: along x, y and z; None is 1
            each. Of a stored array: a number for each of its axes, in their order; None: as the metadata
            state it, otherwise 1. Areas are in the square of its unit.
        parallel: see the module.
        skip_background: leave out the label 0.
        axes: of a stored array, the axes along which faces count, as names or numbers. None: the last three,
            because the axes before them are time and channels. With ``axes=["t"]``, labels touch that share
            voxels in consecutive frames.
        options: see the module.

    Returns:
        Of a stream or an array in memory a dict (label a, label b) -> area of the faces between them, where
        a < b, for all pairs that touch. Of a stored array, which may have very many pairs, a
        :class:`~crackle_zarr.ContactTable`: a row per pair, with ``label_a``, ``label_b``, ``face_count``,
        ``area``, and ``start`` and ``stop``, the box of the voxels on both sides of the faces. It has
        ``to_dict``, ``to_pandas``, ``to_arrow``, ``to_parquet`` and ``to_csv``. The area of a face is the
        product of the voxel's edges along the other axes among the last three: of two axes a length, and of
        a face between two frames a volume.

    Raises:
        ValueError: ``anisotropy`` is not a positive number for each axis; ``axes`` has an axis that the array
            lacks, or one twice.
        TypeError: ``axes`` is given for a stream or an array in memory.

    Time is that of the boundaries, and of the voxels at the borders of chunks. Memory holds the table, and
    for each task its chunks in progress and the planes between them.

    Examples:
        >>> table = crackle_zarr.contacts(segmentation)  # doctest: +SKIP
        >>> table[table["area"] > 1000].to_csv("large.csv")  # doctest: +SKIP
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if not is_stored(binary):
        if axes is not None:
            raise TypeError("axes is for stored arrays: a stream has x, y and z")
        no_options(given)
        sizes: Any = (1.0, 1.0, 1.0) if anisotropy is None else anisotropy
        return neighbours.contacts(binary, sizes, parallel, skip_background)
    from ..stored.contacts import contacts as of_array

    layout, box, checked = stored_source(binary, given)
    chosen = _axes(layout, axes)
    return of_array(layout, box, chosen, _sizes(layout, anisotropy), skip_background, checked)


def _axes(layout: Layout, axes: Sequence[int | str] | None) -> list[int]:
    ndim = len(layout.shape)
    if axes is None:
        return list(range(max(0, ndim - SPATIAL), ndim))
    chosen = [axis_of(layout, axis, "axes") for axis in ([axes] if isinstance(axes, str) else axes)]
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"axes={axes!r} has an axis twice")
    return chosen


def _sizes(layout: Layout, anisotropy: Any) -> list[float]:
    """The edges of a voxel, one per axis."""
    from ..ome.metadata import space_of

    ndim = len(layout.shape)
    if anisotropy is None:
        return list(space_of(layout.array).voxel_size or (1.0,) * ndim)
    sizes = np.asarray(anisotropy, dtype=np.float64)
    if sizes.shape != (ndim,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(
            f"anisotropy is the size of a voxel, a positive number for each of the {ndim} axes of "
            f"{layout.name}, not {anisotropy!r}"
        )
    return [float(size) for size in sizes]
