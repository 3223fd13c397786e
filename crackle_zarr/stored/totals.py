"""Rows of very many labels, added up in little memory: :class:`Totals`.

The engine's tree of partial results would hold the rows of a label once per level, and copy them in each
merge. Here every label has one row, to which C adds new rows in place. A row is as long as one of the table:
in the end rows are sorted, and become the table where they lie. Beyond a number of bytes, sorted rows go to a
file without a name, and a merge of such runs fills the table.
"""

from __future__ import annotations

import tempfile
import weakref
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.temporary_files import append
from ..streams.statistics import Rows, merged, rows_dtype, table_of
from ..streams.statistics_table import StatisticsTable, empty_table
from .layout import Box, num_voxels

# How many rows are turned into rows of the table, or merged, at once.
_BLOCK = 2**14
# A run has so many rows at least, whatever ``memory`` says: each run costs a part of every merge.
_SHORTEST_RUN = 2**17
# Labels are numbered with 32 bits.
_LONGEST_RUN = 2**30


class Totals:
    """Adds up rows of labels as tasks end; see ``streams.statistics.rows_dtype``.

    It holds a row of the table for each label, and up to 17 bytes more.
    """

    def __init__(self, label: np.dtype[Any], box: Box, memory: int | None = None) -> None:
        """Nothing yet.

        Args:
            label: the dtype of labels.
            box: the voxels that are measured.
            memory: rows of more bytes are kept in temporary files; None: never.
        """
        self._ndim, self._label = len(box), label
        last = max((stop for _, stop in box), default=0)
        # Then no sum of indices passes 64 bits.
        short = num_voxels(box) * max(1, last) < 2**64
        self._dtype = rows_dtype(label, self._ndim, short)
        most = _LONGEST_RUN if memory is None else memory // self._dtype.itemsize
        self._most = min(max(most, _SHORTEST_RUN), _LONGEST_RUN)
        self._rows = _binding.RowTotals(self._dtype)
        self._file: IO[bytes] | None = None
        self._runs: list[int] = []  # how many rows each has

    def add(self, rows: Rows) -> None:
        """Add rows, in any order; a label may have several."""
        for start in range(0, len(rows), self._most):
            self._rows.add(rows[start : start + self._most])
            if len(self._rows) >= self._most:
                self._spill()

    def table(self, label: np.dtype[Any]) -> StatisticsTable:
        """The rows as a table by label; afterwards they are gone."""
        if not self._runs:
            return self._in_place(self._ascending(), label)
        if len(self._rows):
            self._spill()
        return self._of_runs(label)

    # -----------------------------------------------------------------------------------

    def _ascending(self) -> Rows:
        """Take the rows, sorted by label in place."""
        rows = self._rows.take()
        order = np.argsort(rows["label"])
        _binding.order_rows(rows, order)
        return rows

    def _in_place(self, rows: Rows, label: np.dtype[Any]) -> StatisticsTable:
        """Turn rows into rows of the table, which are not longer, in the same memory."""
        dtype = empty_table(0, label, self._ndim).dtype
        memory: npt.NDArray[np.uint8] = rows.base
        count = len(rows)
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            block = memory.view(self._dtype)[start:stop].copy()
            made = memory[start * dtype.itemsize : stop * dtype.itemsize].view(dtype).view(StatisticsTable)
            made[...] = self._table_of(block, label)
            del made
        del rows  # no view may be left when the memory shrinks
        memory.resize(count * dtype.itemsize, refcheck=False)
        return memory.view(dtype).view(StatisticsTable)

    def _table_of(self, rows: Rows, label: np.dtype[Any]) -> StatisticsTable:
        long = np.zeros(len(rows), dtype=rows_dtype(self._label, self._ndim))
        for name in self._dtype.names or ():
            long[name] = rows[name]
        return table_of(long, label, self._ndim)

    def _spill(self) -> None:
        """Append the rows to the file as a run. All runs share one: a process may have few open files."""
        rows = self._ascending()
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="crackle-zarr-", buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        append(self._file, rows)
        self._runs.append(len(rows))

    def _of_runs(self, label: np.dtype[Any]) -> StatisticsTable:
        """Merge sorted runs, a range of labels at a time."""
        assert self._file is not None
        with self._file as file:
            mapped = np.memmap(file, dtype=self._dtype, mode="r", shape=(sum(self._runs),))
        runs = np.split(np.asarray(mapped), np.cumsum(self._runs)[:-1])
        self._file, self._runs = None, []
        # No range has more rows of a run than a block, since each block of a run begins a range.
        firsts = np.unique(np.concatenate([run["label"][::_BLOCK] for run in runs]))
        ends = [np.append(np.searchsorted(run["label"], firsts[1:]), len(run)) for run in runs]
        # Pages of the table beyond its last row are never touched, so that they take no memory.
        table, there = empty_table(len(mapped), label, self._ndim), 0
        starts = [0] * len(runs)
        for number in range(len(firsts)):
            stops = [int(end[number]) for end in ends]
            some = [run[a:b] for run, a, b in zip(runs, starts, stops, strict=True)]
            rows = self._table_of(merged(np.concatenate(some)), label)
            table[there : there + len(rows)] = rows
            there += len(rows)
            starts = stops
        found: StatisticsTable = table[:there]
        return found
