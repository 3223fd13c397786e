"""The tables of an index in memory: a row per label and chunk, and a row per label.

Bounds are in the array's indices. ``sum`` is the sum over the voxels of a row of (index - start): exact, and
small. From it and the bounds follow centroids, in 128 bits as ``statistics`` has them, to the last digit.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..._base import wide
from ...streams.statistics import Rows as Measured
from ...streams.statistics import rows_dtype as measured_dtype

# Structured arrays of rows_dtype() and labels_dtype().
Rows: TypeAlias = npt.NDArray[Any]
Totals: TypeAlias = npt.NDArray[Any]


def rows_dtype(label: np.dtype[Any], ndim: int) -> np.dtype[Any]:
    """The dtype of rows: a label in a chunk. ``chunk`` is the number of the chunk in C order of the grid."""
    fields: list[Any] = [("label", label), ("chunk", "u8"), ("voxel_count", "u8")]
    return np.dtype([*fields, *((name, "u8", (ndim,)) for name in ("start", "stop", "sum"))])


def totals_dtype(label: np.dtype[Any], ndim: int) -> np.dtype[Any]:
    """The dtype of totals: a label in the whole array."""
    fields: list[Any] = [("label", label), ("voxel_count", "u8")]
    axes = [("start", "u8", (ndim,)), ("stop", "u8", (ndim,)), ("centroid", "f8", (ndim,))]
    return np.dtype([*fields, *axes, ("num_chunks", "u8")])


def rows_of_chunk(number: int, measured: Measured) -> Rows:
    """The rows of a chunk, from what ``statistics`` measures there."""
    ndim = measured["start"].shape[1]
    rows = np.empty(len(measured), dtype=rows_dtype(measured["label"].dtype, ndim))
    rows["label"], rows["chunk"], rows["voxel_count"] = measured["label"], number, measured["voxels"]
    rows["start"], rows["stop"] = measured["start"], measured["stop"]
    # The sum of (index - start) fits 64 bits, so those of the sum of indices are enough.
    rows["sum"] = measured["low"] - measured["start"] * measured["voxels"][:, np.newaxis]
    return rows


def in_order(rows: Rows) -> Rows:
    """Rows by label, and then by chunk."""
    return rows[np.lexsort((rows["chunk"], rows["label"]))]


def firsts_of(labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where each label begins in labels that ascend."""
    new = np.ones(len(labels), dtype=np.bool_)
    np.not_equal(labels[1:], labels[:-1], out=new[1:])
    return np.flatnonzero(new)


def _grouped(rows: Rows) -> tuple[npt.NDArray[np.intp], wide.Wide]:
    firsts = firsts_of(rows["label"])
    counts = np.broadcast_to(rows["voxel_count"][:, np.newaxis], rows["start"].shape)
    sums = wide.add(
        wide.product(np.ascontiguousarray(counts), np.ascontiguousarray(rows["start"])),
        (np.zeros_like(rows["sum"]), np.ascontiguousarray(rows["sum"])),
    )
    return firsts, wide.add_groups(sums, firsts)


def totals_of(rows: Rows) -> Totals:
    """A row per label, from all rows of these labels in their order."""
    ndim = rows["start"].shape[1]
    if not len(rows):
        return np.empty(0, dtype=totals_dtype(rows.dtype["label"], ndim))
    firsts, sums = _grouped(rows)
    totals = np.empty(len(firsts), dtype=totals_dtype(rows.dtype["label"], ndim))
    totals["label"] = rows["label"][firsts]
    totals["voxel_count"] = np.add.reduceat(rows["voxel_count"], firsts)
    totals["start"] = np.minimum.reduceat(rows["start"], firsts, axis=0)
    totals["stop"] = np.maximum.reduceat(rows["stop"], firsts, axis=0)
    totals["centroid"] = wide.quotient(sums, totals["voxel_count"][:, np.newaxis])
    totals["num_chunks"] = np.diff(np.append(firsts, len(rows)))
    return totals


def added(rows: Rows) -> Rows:
    """Rows in their order, those of one label and chunk added up."""
    rows = in_order(rows)
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (rows["label"][1:] != rows["label"][:-1]) | (rows["chunk"][1:] != rows["chunk"][:-1])
    if new.all():
        return rows
    firsts = np.flatnonzero(new)
    result = rows[firsts]
    result["voxel_count"] = np.add.reduceat(rows["voxel_count"], firsts)
    result["start"] = np.minimum.reduceat(rows["start"], firsts, axis=0)
    result["stop"] = np.maximum.reduceat(rows["stop"], firsts, axis=0)
    # Sums count from the start of their own row: move them to the common one.
    moved = rows["start"] - np.repeat(result["start"], np.diff(np.append(firsts, len(rows))), axis=0)
    sums = rows["sum"] + moved * rows["voxel_count"][:, np.newaxis]
    result["sum"] = np.add.reduceat(sums, firsts, axis=0)
    return result


def measured_of(totals: Rows) -> Measured:
    """Rows as ``statistics`` adds them up, with sums of indices in 128 bits; ``totals`` are rows in order."""
    ndim = totals["start"].shape[1]
    if not len(totals):
        return np.empty(0, dtype=measured_dtype(totals.dtype["label"], ndim))
    firsts, sums = _grouped(totals)
    measured: Measured = np.empty(len(firsts), dtype=measured_dtype(totals.dtype["label"], ndim))
    measured["label"] = totals["label"][firsts]
    measured["voxels"] = np.add.reduceat(totals["voxel_count"], firsts)
    measured["start"] = np.minimum.reduceat(totals["start"], firsts, axis=0)
    measured["stop"] = np.maximum.reduceat(totals["stop"], firsts, axis=0)
    measured["high"], measured["low"] = sums
    return measured
