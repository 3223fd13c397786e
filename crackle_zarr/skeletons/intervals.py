"""Sets of voxels as runs, and as intervals on a line: union, difference, crops.

The rows of a volume, one after the other, make a line; a run is then an interval of integers, and sets of
voxels are sorted arrays of intervals that do not touch. All functions cost a sort of the intervals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._binding import skeleton_graphs as graphs

Runs = npt.NDArray[Any]


class Line:
    """The line of a volume's rows.

    A row has a place more than voxels, so that intervals end within their row.

    Raises:
        ValueError: the volume has 2**63 voxels or more.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._row = shape[0] + 1
        if self._row * max(shape[1], 1) * max(shape[2], 1) >= 2**63:
            raise ValueError(
                f"a volume of the shape {shape} has too many voxels for filling holes: 2**63 or more"
            )

    def intervals(self, runs: Runs) -> Intervals:
        """The intervals of runs that are sorted by z, y and x."""
        row = (runs["z"].astype(np.int64) * self.shape[1] + runs["y"]) * self._row
        return Intervals(row + runs["x"], row + runs["end"])

    def runs(self, intervals: Intervals) -> Runs:
        """The runs of intervals."""
        row, x = np.divmod(intervals.start, self._row)
        made = np.empty(len(x), _binding.RUN)
        made["x"], made["end"] = x, x + (intervals.end - intervals.start)
        made["z"], made["y"] = np.divmod(row, max(self.shape[1], 1))
        return made

    def place(self, x: int, y: int, z: int) -> int:
        """The place of a voxel."""
        return (z * self.shape[1] + y) * self._row + x


class Intervals(NamedTuple):
    """Half-open intervals: ascending, and not touching."""

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def size(self) -> int:
        """The number of places."""
        return int((self.end - self.start).sum())


def union(*sets: Intervals) -> Intervals:
    """The places of any of the sets."""
    start = np.concatenate([one.start for one in sets])
    end = np.concatenate([one.end for one in sets])
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    begins = np.ones(len(start), bool)
    begins[1:] = start[1:] > reach[:-1]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(start))[: len(first)] - 1
    return Intervals(start[first], reach[last])


def difference(a: Intervals, b: Intervals) -> Intervals:
    """The places of ``a`` that ``b`` does not have."""
    if not len(a.start) or not len(b.start):
        return a
    # Cut a at every border of b, and keep the pieces that b does not cover.
    borders = np.concatenate([b.start, b.end])
    owner = np.searchsorted(a.start, borders, side="right") - 1
    inside = (owner >= 0) & (borders > a.start[owner]) & (borders < a.end[owner])
    cuts = borders[inside]
    start, end = np.sort(np.concatenate([a.start, cuts])), np.sort(np.concatenate([a.end, cuts]))
    at = np.searchsorted(b.start, start, side="right") - 1
    covered = (at >= 0) & (start < b.end[at])
    return Intervals(start[~covered], end[~covered])


def crop(runs: Runs, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> Runs:
    """The runs within a box of voxels."""
    kept: Runs = runs[
        (runs["y"] >= start[1])
        & (runs["y"] < stop[1])
        & (runs["z"] >= start[2])
        & (runs["z"] < stop[2])
        & (runs["x"] < stop[0])
        & (runs["end"] > start[0])
    ].copy()
    kept["x"] = np.maximum(kept["x"], start[0])
    kept["end"] = np.minimum(kept["end"], stop[0])
    return kept


def box(runs: Runs) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The bounding box of runs, half-open, as x, y and z."""
    start = np.array([runs["x"].min(), runs["y"].min(), runs["z"].min()], np.int64)
    return start, np.array([runs["end"].max(), runs["y"].max() + 1, runs["z"].max() + 1], np.int64)


def pieces(runs: Runs, line: Line) -> list[Runs]:
    """The connected parts of an object (26 neighbours), in the order of their first runs.

    Complexity: a sort of the runs.
    """
    if len(runs) < 2:
        return [runs]
    intervals = line.intervals(runs)
    number = np.arange(len(runs))
    edges = [np.zeros((0, 2), np.int64)]
    for dy, dz in ((1, 0), (-1, 1), (0, 1), (1, 1)):
        y = runs["y"].astype(np.int64) + dy
        own = number[(y >= 0) & (y < line.shape[1])]
        shift = line.place(0, dy, dz)
        # In that row, runs that reach a place beside this one, or beyond its ends by one.
        first = np.searchsorted(intervals.end, intervals.start[own] - 1 + shift, side="right")
        behind = np.searchsorted(intervals.start, intervals.end[own] + 1 + shift, side="left")
        counts = np.maximum(behind - first, 0)
        offsets = np.repeat(first - (np.cumsum(counts) - counts), counts)
        edges.append(np.column_stack([np.repeat(own, counts), offsets + np.arange(counts.sum())]))
    count, owner = graphs.component_numbers(len(runs), np.concatenate(edges).astype(np.uint32))
    return [runs] if count == 1 else [runs[owner == piece] for piece in range(count)]


class Owners:
    """Which of many sets of voxels has a place: the sets do not overlap."""

    def __init__(self, sets: list[Intervals]) -> None:
        start = np.concatenate([np.zeros(0, np.int64), *(one.start for one in sets)])
        order = np.argsort(start, kind="stable")
        self._start = start[order]
        self._end = np.concatenate([np.zeros(0, np.int64), *(one.end for one in sets)])[order]
        self._owner = np.repeat(np.arange(len(sets)), [len(one.start) for one in sets])[order]

    def at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Per place, the number of its set, or -1."""
        owners = np.full(len(places), -1, np.int64)
        if len(self._start):
            found = np.searchsorted(self._start, places, side="right") - 1
            inside = (found >= 0) & (places < self._end[found])
            owners[inside] = self._owner[found[inside]]
        return owners

    def within(self, intervals: Intervals) -> npt.NDArray[np.int64]:
        """The numbers of the sets that have a place in common with some intervals, ascending."""
        first = np.searchsorted(self._end, intervals.start, side="right")
        behind = np.searchsorted(self._start, intervals.end, side="left")
        counts = np.maximum(behind - first, 0)
        offsets = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        numbers: npt.NDArray[np.int64] = np.unique(self._owner[offsets + np.arange(counts.sum())])
        return numbers
