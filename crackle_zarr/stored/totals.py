"""Rows of very many labels, added up in little memory: :class:`Totals`.

The engine's tree of partial results would hold the rows of a label once per level, and each merge copies them
twice. Here all rows are in one place, in the shortest form that is exact, and cut into parts by label: a
merge copies a part at a time. Beyond a number of bytes, parts lie in files without a name.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from ..streams.statistics import Rows, merged, rows_dtype, table_of
from ..streams.statistics_table import StatisticsTable, empty_table
from .layout import Box, num_voxels

# New rows wait until there are so many, or an eighth of all.
_WAITING = 2**17
# From so many rows on they are cut into parts.
_MANY = 2**19
_PARTS = 64
# What multiplies a label so that its upper bits choose its part evenly (Fibonacci hashing).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def _short_dtype(label: np.dtype[Any], ndim: int) -> np.dtype[Any]:
    fields = [("label", label), ("voxels", "u8"), ("low", "u8", (ndim,))]
    return np.dtype([*fields, ("start", "u4", (ndim,)), ("stop", "u4", (ndim,))])


class Totals:
    """Adds up rows of labels as tasks end; see ``streams.statistics.rows_dtype``.

    It holds some 72 bytes a label of a volume, and a few more while a part is merged.
    """

    def __init__(self, label: np.dtype[Any], box: Box, memory: int | None = None) -> None:
        """Nothing yet.

        Args:
            label: the dtype of labels.
            box: the voxels that are measured.
            memory: rows of more bytes are kept in temporary files; None: never.
        """
        self._ndim, self._label, self._memory = len(box), label, memory
        last = max((stop for _, stop in box), default=0)
        # Then no sum of indices passes 64 bits, and no index 32.
        short = num_voxels(box) * max(1, last) < 2**64 and last < 2**32
        self._dtype = _short_dtype(label, self._ndim) if short else rows_dtype(label, self._ndim)
        self._parts: list[Rows] = [np.empty(0, dtype=self._dtype)]
        self._new: list[Rows] = []
        self._waiting = 0
        self._spilled = False

    def add(self, rows: Rows) -> None:
        """Add rows, in any order; a label may have several."""
        self._new.append(self._shortened(rows))
        self._waiting += len(rows)
        if self._waiting >= max(_WAITING, self._count() // 8):
            self._settle()

    def table(self, label: np.dtype[Any]) -> StatisticsTable:
        """The rows as a table by label; afterwards they are gone."""
        self._settle()
        if len(self._parts) == 1:
            return table_of(self._lengthened(self._parts.pop()), label, self._ndim)
        order = np.argsort(np.concatenate([part["label"] for part in self._parts]), kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        del order
        table, start = empty_table(len(place), label, self._ndim), 0
        plain = table.view(np.ndarray)
        while self._parts:
            part = self._parts.pop(0)
            rows = table_of(self._lengthened(part), label, self._ndim)
            plain[place[start : start + len(part)]] = rows.view(np.ndarray)
            start += len(part)
        return table

    # -----------------------------------------------------------------------------------

    def _count(self) -> int:
        return sum(map(len, self._parts))

    def _shortened(self, rows: Rows) -> Rows:
        if self._dtype.names == rows.dtype.names:
            return rows
        made = np.empty(len(rows), dtype=self._dtype)
        for name in self._dtype.names or ():
            made[name] = rows[name]
        return made

    def _lengthened(self, rows: Rows) -> Rows:
        made = np.zeros(len(rows), dtype=rows_dtype(self._label, self._ndim))
        for name in self._dtype.names or ():
            made[name] = rows[name]
        return made

    def _settle(self) -> None:
        """Merge the new rows with those that are there, a part at a time."""
        if not self._new:
            return
        new = self._new[0] if len(self._new) == 1 else np.concatenate(self._new)
        self._new, self._waiting = [], 0
        new = merged(new)
        if len(self._parts) == 1 and len(self._parts[0]) + len(new) > _MANY:
            self._parts = [part.copy() for part in _cut(self._parts[0])]
        for number, some in enumerate([new] if len(self._parts) == 1 else _cut(new)):
            if len(some):
                self._parts[number] = self._kept(number, some)

    def _kept(self, number: int, some: Rows) -> Rows:
        there = self._parts[number]
        rows = merged(np.concatenate([there, some])) if len(there) else some.copy()
        if self._memory is None or len(self._parts) == 1:
            return rows
        self._spilled = self._spilled or self._count() * self._dtype.itemsize > self._memory
        if not self._spilled or not len(rows):
            return rows
        with tempfile.TemporaryFile(prefix="crackle-zarr-") as file:
            spilled = np.memmap(file, dtype=rows.dtype, mode="w+", shape=rows.shape)
        spilled[...] = rows
        return spilled


def _cut(rows: Rows) -> list[Rows]:
    """Rows in parts by their labels, each in their order."""
    labels = rows["label"]
    bits = labels.astype(np.int64).view(np.uint64) if labels.dtype.kind == "i" else labels.astype(np.uint64)
    part = (bits * _SPREAD) >> np.uint64(58)
    order = np.argsort(part, kind="stable")
    ends = np.searchsorted(part[order], np.arange(_PARTS + 1))
    return [rows[order[ends[number] : ends[number + 1]]] for number in range(_PARTS)]
