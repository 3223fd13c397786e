"""Voxel counts, bounding boxes and centroids of the labels of a stored array.

One pass over the components of the slices (``measure`` in C) gives all of them, without decoding a voxel. A
chunk returns a row per label along the array's axes, and rows of the same label are added up. Counts and sums
are exact, so the result does not depend on the order of the chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base import wide
from .._base.integers import holds
from ..files.space import Space
from ..streams.statistics import Rows, added_up, merged, rows_dtype, table_of
from ..streams.statistics_table import StatisticsTable
from .chunk import Chunk, renamed
from .engine import Options, ask
from .fetch import Steps
from .index import answers
from .layout import Box, Layout, Run, num_voxels, runs_of, stream_axes
from .queries import array_bounds, filled, find, measured
from .together import TOGETHER, Batch, Places
from .totals import Totals

__all__ = ["StatisticsTable"]


def rows_of(chunk: Chunk, table: npt.NDArray[Any], found: Iterable[tuple[Run, Rows]]) -> Rows:
    """The extents of a stream's table entries as rows along the array's axes.

    A label may have several rows, in no order.
    """
    ndim = len(chunk.box)
    parts = []
    for run, extents in found:
        some = extents["voxels"] > 0
        extents = extents[some]
        rows: Rows = np.empty(len(extents), dtype=rows_dtype(table.dtype, ndim))
        rows["label"], rows["voxels"] = table[some], extents["voxels"]
        rows["start"], rows["stop"] = array_bounds(chunk, run, extents)
        # Within the stream sums count from its origin, and slices from its first: move them to the array's.
        origin = run.origin.astype(np.uint64)
        sums = np.zeros((len(extents), ndim), dtype=np.uint64)
        for place, axis in enumerate(chunk.stream_axes):
            if axis is not None:
                sums[:, axis] = extents["sum"][:, place]
                if place == 2:
                    sums[:, axis] -= extents["voxels"] * np.uint64(run.z[0])
        voxels = extents["voxels"][:, np.newaxis]
        if num_voxels(chunk.box) * max((stop for _, stop in chunk.box), default=0) < 2**64:
            sums += voxels * origin
            rows["high"], rows["low"] = 0, sums
        else:
            moved = wide.product(np.broadcast_to(voxels, sums.shape), np.broadcast_to(origin, sums.shape))
            rows["high"], rows["low"] = wide.add((np.zeros_like(sums), sums), moved)
        parts.append(rows)
    return np.concatenate(parts) if parts else np.empty(0, dtype=rows_dtype(table.dtype, ndim))


def _rows_of_box(label: npt.NDArray[Any], box: Box) -> Rows:
    """A box of one label as a row."""
    rows: Rows = np.empty(1, dtype=rows_dtype(label.dtype, len(box)))
    voxels = 1
    for start, stop in box:
        voxels *= stop - start
    rows["label"], rows["voxels"] = label, voxels
    for axis, (start, stop) in enumerate(box):
        rows["start"][0, axis], rows["stop"][0, axis] = start, stop
        total = voxels * (start + stop - 1) // 2
        rows["high"][0, axis], rows["low"][0, axis] = total >> 64, total & (2**64 - 1)
    return rows


def _positions(box: Box, by: int) -> list[Box]:
    """The parts of a box at each position along an axis."""
    return [(*box[:by], (place, place + 1), *box[by + 1 :]) for place in range(*box[by])]


@dataclass(frozen=True)
class Measure:
    """Asks for a row per label, or per label and position along the axis ``by``."""

    verify: bool
    by: int | None = None
    needs_whole: ClassVar[bool] = True

    @property
    def most_together(self) -> int:
        """Many; none, where each position has rows of its own."""
        return TOGETHER if self.by is None else 0

    def ask(self, chunk: Chunk) -> Steps[Rows]:
        """Measure one chunk; a label may have several rows."""
        # One request gets the slices of all positions: a run per position and outer index.
        boxes = [chunk.box] if self.by is None else _positions(chunk.box, self.by)
        runs = [run for box in boxes for run in runs_of(chunk.stored, box, chunk.axes)]
        found = yield from measured(chunk, runs, self.verify)
        if found is None:
            return np.concatenate([_rows_of_box(filled(chunk.layout), box) for box in boxes])
        reader = yield from chunk.labels()
        assert reader is not None
        return rows_of(chunk, chunk.table(reader, self.verify), found)

    def can_ask(self, layout: Layout, shape: tuple[int, ...]) -> bool:
        """Chunks that are one run of slices, with sums of indices that fit 64 bits."""
        assert layout.chain is not None
        last = max(layout.shape, default=0)
        is_one_run = all(shape[axis] == 1 for axis in layout.chain.axes[:-3])
        return is_one_run and math.prod(shape) * last < 2**64 and last < 2**63

    def ask_together(self, batch: Batch) -> Rows:
        """Measure many chunks; a label has a row for each, or several."""
        found, ends = _binding.batch_measure(batch.streams, self.verify)
        layout, ndim = batch.layout, batch.start.shape[1]
        assert layout.chain is not None
        labels, extents = found["label"].astype(layout.native), found["extent"]
        rows: Rows = np.empty(len(found), dtype=rows_dtype(layout.native, ndim))
        rows["label"], rows["voxels"] = renamed(layout, labels), extents["voxels"]
        counts = (ends - np.concatenate([np.zeros(1, dtype=np.uint64), ends[:-1]])).astype(np.int64)
        origin = np.repeat(batch.start.astype(np.uint64), counts, axis=0)
        rows["start"], rows["stop"] = origin, origin + np.uint64(1)
        rows["high"], rows["low"] = 0, origin * extents["voxels"][:, np.newaxis]
        for place, axis in enumerate(stream_axes(layout.chain.axes)):
            if axis is not None:
                rows["start"][:, axis] += extents["start"][:, place]
                rows["stop"][:, axis] = origin[:, axis] + extents["stop"][:, place]
                rows["low"][:, axis] += extents["sum"][:, place]
        return rows

    def ask_missing(self, layout: Layout, start: Places, stop: Places) -> Rows:
        """A row for each chunk, of the fill value."""
        label = filled(layout)
        rows: Rows = np.empty(len(start), dtype=rows_dtype(label.dtype, start.shape[1]))
        rows["label"], rows["start"], rows["stop"] = label, start, stop
        voxels = (stop - start).prod(axis=1).astype(np.uint64)
        rows["voxels"] = voxels
        # The sum of the indices [a, b) is (b - a)(a + b - 1) / 2, and they are repeated over the other axes.
        ends = (start + stop - 1).astype(np.uint64)
        rows["high"], rows["low"] = 0, voxels[:, np.newaxis] * (ends // 2)
        rows["low"] += np.where(ends % 2 == 1, (voxels // 2)[:, np.newaxis], 0).astype(np.uint64)
        return rows

    def merge(self, a: Rows, b: Rows) -> Rows:
        """Add up the rows of some chunks, and of others."""
        return self.merge_many([a, b])

    def merge_many(self, answers: list[Rows]) -> Rows:
        """Add up the rows of some chunks."""
        if self.by is None:
            return added_up(answers)  # a label may have several rows in one answer, too
        return merged(answers[0] if len(answers) == 1 else np.concatenate(answers), self.by)

    def enough(self, answer: Rows) -> bool:
        """Never: every chunk counts."""
        return False


def measure(chunk: Chunk, verify: bool) -> Steps[Rows]:
    """A row per label of a chunk, ascending."""
    rows = yield from Measure(verify).ask(chunk)
    return merged(rows)


def statistics(layout: Layout, box: Box, options: Options, memory: int | None = None) -> StatisticsTable:
    """A row per label that is in a box; see ``Totals`` for ``memory``."""
    known = answers.statistics(layout, box, options)
    if known is not None:
        return answers.table_of(known, layout)
    totals = Totals(layout.native, box, memory)
    ask(layout, Measure(options.verify), box, options, into=totals)
    return totals.table(layout.array.dtype)


def statistics_by(layout: Layout, box: Box, by: int, options: Options) -> StatisticsTable:
    """A row per label and position along an axis, by label and then by position.

    The label index has no positions, so it is not used.
    """
    rows = ask(layout, Measure(options.verify, by), box, options)
    return table_of(rows, layout.array.dtype, len(layout.shape))


def statistics_of(
    layout: Layout, label: int, box: Box, options: Options, space_of: Callable[[Any], Space]
) -> StatisticsTable:
    """The row of one label in a box; no row if it is not there."""
    dtype, ndim = layout.array.dtype, len(layout.shape)
    rows = None
    if holds(layout.native, label):
        rows = answers.one_label(layout, label, box, options)
        if rows is None:
            found = find(layout, label, box, options, space_of)
            if found.chunks and found.slices is not None:
                within = tuple((one.start, one.stop) for one in found.slices)
                rows = ask(layout, Measure(options.verify), within, options, found.chunks)
                rows = None if rows is None else rows[rows["label"] == layout.native.type(label)]
    return table_of(rows, dtype, ndim)
