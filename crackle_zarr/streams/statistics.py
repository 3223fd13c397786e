"""Voxel counts, bounding boxes and centroids of the labels of one stream.

One pass over the components of the slices gives all of them, and decodes no voxel. Ranges of slices, like
the chunks of a stored array, return rows; rows of the same label are added up. Counts and sums are exact, so
the result does not depend on the division of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base import wide
from .._base.integers import integer
from ..errors import MissingLabelError
from .statistics_table import StatisticsTable, boxes_table, empty_table
from .stream import Source, bytes_of

Rows: TypeAlias = Any  # a structured array of rows_dtype()
T = TypeVar("T")


# ---------------------------------------------------------------------------------------
# Rows: partial results, which can be added up


def rows_dtype(label: np.dtype[Any], ndim: int, short: bool = False) -> np.dtype[Any]:
    """The dtype of rows: sums of coordinates take 128 bits, as two fields.

    Short rows lack the upper one, and are as long as rows of :func:`empty_table`.
    """
    fields = [("label", label), ("voxels", "u8")]
    names = ("start", "stop", "low") if short else ("start", "stop", "low", "high")
    return np.dtype([*fields, *((name, "u8", (ndim,)) for name in names)])


def merged(rows: Rows, by: int | None = None) -> Rows:
    """Merge rows of equal labels, and sort them by label.

    Args:
        rows: in any order, of :func:`rows_dtype`; or without ``high``, where no sum needs it.
        by: an axis along which each row has one position: rows of different positions stay apart.
    """
    if by is None and (rows["label"][1:] > rows["label"][:-1]).all():
        return rows
    if by is None:
        rows = rows[np.argsort(rows["label"], kind="stable")]
    else:
        rows = rows[np.lexsort((rows["start"][:, by], rows["label"]))]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = rows["label"][1:] != rows["label"][:-1]
    if by is not None:
        new[1:] |= rows["start"][1:, by] != rows["start"][:-1, by]
    if new.all():
        return rows
    firsts = np.flatnonzero(new)
    result = rows[firsts]
    result["voxels"] = np.add.reduceat(rows["voxels"], firsts)
    result["start"] = np.minimum.reduceat(rows["start"], firsts, axis=0)
    result["stop"] = np.maximum.reduceat(rows["stop"], firsts, axis=0)
    if "high" in rows.dtype.names:
        result["high"], result["low"] = wide.add_groups((rows["high"], rows["low"]), firsts)
    else:
        result["low"] = np.add.reduceat(rows["low"], firsts, axis=0)
    return result


def added_up(parts: Iterable[Rows]) -> Rows:
    """A row for each label of some rows of :func:`rows_dtype`, in no particular order."""
    totals = None
    for rows in parts:
        totals = totals or _binding.RowTotals(rows.dtype)
        totals.add(rows)
    assert totals is not None
    return totals.take()


def table_of(rows: Rows | None, dtype: np.dtype[Any], ndim: int) -> StatisticsTable:
    """Convert merged rows to a table; None is no rows."""
    table = empty_table(0 if rows is None else len(rows), dtype, ndim)
    if rows is not None:
        table["label"][...] = rows["label"]
        table["voxel_count"][...] = rows["voxels"]
        table["start"][...] = rows["start"]
        table["stop"][...] = rows["stop"]
        table["centroid"][...] = wide.quotient((rows["high"], rows["low"]), rows["voxels"][:, np.newaxis])
    return table


# ---------------------------------------------------------------------------------------
# One stream


def statistics(binary: Source, parallel: int = 0) -> StatisticsTable:
    """A row per label of a stream; see :func:`crackle_zarr.statistics`."""
    return statistics_of(_binding.Reader(bytes_of(binary)), _binding.threads(parallel))


def bounding_boxes(
    binary: Source, label: int | None = None, parallel: int = 0, no_slice_conversion: bool = False
) -> Any:
    """The bounding box of each label of a stream; see :func:`crackle_zarr.bounding_boxes`."""
    wanted = None if label is None else integer("label", label)
    return by_label(statistics(binary, parallel), wanted, boxes_of(no_slice_conversion))


def centroids(binary: Source, label: int | None = None, parallel: int = 0) -> Any:
    """The mean index of each label of a stream; see :func:`crackle_zarr.centroids`."""
    wanted = None if label is None else integer("label", label)
    return by_label(statistics(binary, parallel), wanted, centroids_of)


def to_parquet(binary: Source, parallel: int = 0) -> Any:
    """Labels, voxel counts and boxes of a stream as a table of pyarrow.

    See :func:`crackle_zarr.to_parquet`.
    """
    return boxes_table(statistics(binary, parallel), ["x", "y", "z"])


def by_label(
    rows: StatisticsTable | None, label: int | None, take: Callable[[StatisticsTable], list[T]]
) -> Any:
    """What ``take`` makes of the rows, a value for each, as a dict by label; or that of one label.

    Raises:
        MissingLabelError: there is no such label.
    """
    # Tables may have millions of rows: columns become lists at once, and no row becomes an object.
    names = [] if rows is None else rows["label"].tolist()
    if label is None:
        return {} if rows is None else dict(zip(map(int, names), take(rows), strict=True))
    if rows is None or label not in names:
        raise MissingLabelError(f"there is no label {label}")
    place = names.index(label)
    (found,) = take(rows[place : place + 1])
    return found


def counts_of(rows: StatisticsTable) -> list[int]:
    """The number of voxels in each row."""
    counts: list[int] = rows["voxel_count"].tolist()
    return counts


def boxes_of(as_integers: bool) -> Callable[[StatisticsTable], list[Any]]:
    """A function that gives the box in each row as slices, or as an array: lowest indices, then highest."""

    def boxes(rows: StatisticsTable) -> list[Any]:
        if as_integers:
            return [
                box.copy() for box in np.concatenate([rows["start"], rows["stop"] - np.uint64(1)], axis=1)
            ]
        ends = zip(rows["start"].tolist(), rows["stop"].tolist(), strict=True)
        return [tuple(map(slice, start, stop)) for start, stop in ends]

    return boxes


def centroids_of(rows: StatisticsTable) -> list[npt.NDArray[np.float64]]:
    """The mean index in each row, as copies that do not keep the table alive."""
    return [centroid.copy() for centroid in rows["centroid"]]


def statistics_of(reader: _binding.Reader, parallel: int = 1) -> StatisticsTable:
    """A row per label of a stream; its axes are x, y and z."""
    head = reader.header
    if head.voxels() == 0:
        return table_of(None, head.dtype, 3)
    dtype = rows_dtype(head.dtype, 3)
    table = reader.table()

    def rows(z_start: int, z_end: int) -> Rows:
        extents = reader.measure(z_start, z_end)
        present = extents["voxels"] > 0
        extents = extents[present]
        part: Rows = np.zeros(len(extents), dtype=dtype)
        part["label"], part["low"] = table[present], extents["sum"]
        for name in ("voxels", "start", "stop"):
            part[name] = extents[name]
        return part

    cut = _binding.slices_at_once(head, shared=True, rows=len(table))
    found = _binding.over_slices(rows, 0, head.sz, parallel, cut)
    return table_of(merged(np.concatenate(found)), head.dtype, 3)
