"""Two segmentations: the voxels that their labels share, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from ..streams import neighbours
from ..streams.agreement import Agreement, OverlapTable
from .sources import ArrayOptions, OtherOptions, Source, is_stored, no_options, stored_source

if TYPE_CHECKING:
    from ..stored.layout import Layout


def overlaps(a: Source, b: Source, parallel: int = 0, **options: Unpack[OtherOptions]) -> Any:
    """The number of voxels that each pair of labels of two volumes shares.

    Of two stored arrays with the same chunks, stored alike, the components of slices meet, and no voxel is
    decoded. Chunks of other grids, and those that the array's edge or the region cuts, are read as voxels, a
    chunk of ``a`` at a time. Memory holds the result.

    Args:
        a: a stream, an array in memory or a stored array.
        b: a volume of the same shape and any dtype: another segmentation, or the parents of components. A
            stored array, or a view of one, if ``a`` is; it may have another grid and another codec.
        parallel: see the module.
        options: see the module; ``level`` is that of both.

    Returns:
        Of two streams or arrays in memory a dict (label of a, label of b) -> number of voxels, for all pairs
        that share voxels. Of two stored arrays, which may have very many pairs, an
        :class:`~crackle_zarr.OverlapTable`: a row per pair, with ``to_dict``, ``to_pandas``, ``to_arrow``,
        ``to_parquet`` and ``to_csv``.

    Raises:
        ValueError: the shapes differ.
        TypeError: one of the two is stored, and the other is not.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if not (is_stored(a) or is_stored(b)):
        no_options(given)
        return neighbours.overlaps(a, b, parallel)
    return _table(a, b, given)


def metrics(
    a: Source,
    b: Source,
    ignore: Iterable[int] = (),
    parallel: int = 0,
    **options: Unpack[OtherOptions],
) -> Agreement:
    """How far a segmentation agrees with another: Rand indices, and the variation of information.

    The figures follow from the overlaps of labels, so this takes what :func:`overlaps` takes; names of labels
    do not matter. A table of overlaps that is there already has the method ``metrics``.

    Args:
        a: the volume that is taken as true, as in :func:`overlaps`.
        b: the volume to judge.
        ignore: labels of ``a`` whose voxels do not count, such as the background 0. None are by default.
        parallel: see the module.
        options: see the module.

    Returns:
        :class:`~crackle_zarr.Agreement`: ``rand_index``, ``adjusted_rand_index``, ``rand_precision``,
        ``rand_recall``, ``adapted_rand_error``, ``vi_split`` and ``vi_merge`` in bits, and ``voxels``.

    Raises:
        ValueError: the shapes differ, or no voxel counts.
        TypeError: one of the two is stored, and the other is not.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if is_stored(a) or is_stored(b):
        return _table(a, b, given).metrics(ignore)
    no_options(given)
    return neighbours.overlap_table(a, b, parallel).metrics(ignore)


def _table(a: Source, b: Source, options: ArrayOptions) -> OverlapTable:
    for name, source in (("a", a), ("b", b)):
        if not is_stored(source):
            raise TypeError(
                f"{name} is a {type(source).__name__}, and the other is a stored array: give two stored "
                f"arrays, or two streams or arrays in memory"
            )
    from ..stored.overlaps import overlaps as of_arrays

    layout, box, checked = stored_source(a, options)
    other, _, _ = stored_source(b, options)
    _refuse_other_shape(layout, other)
    return of_arrays(layout, other, box, checked)


def _refuse_other_shape(a: Layout, b: Layout) -> None:
    if a.shape != b.shape:
        raise ValueError(f"the arrays have different shapes: {a.name} {a.shape}, {b.name} {b.shape}")
