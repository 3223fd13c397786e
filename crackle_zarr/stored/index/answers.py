"""What queries take out of an index: whole answers, or the chunks that are worth asking.

A query about the whole array is answered by the index alone. One about a region, or one that needs voxels,
asks the chunks that the index lists; what a chunk then holds is compared with what the index says of it, so
an index that a plain write has left behind gives an error and not a wrong answer, as far as chunks are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import StaleIndexError
from ...streams.statistics_table import StatisticsTable, empty_table
from ..engine import Options
from ..layout import Box, Coords, Layout
from .choice import ask_index, old_labels
from .lookup import Lookup
from .rows import Rows, Totals, measured_of
from .stamps import coords_of

# More labels than this lie in most chunks of an array, and reading their rows is no gain.
_MOST_LABELS = 4096


@dataclass(frozen=True)
class Listed:
    """The chunks that hold some labels in a box, and how many voxels an index says are there.

    Attributes:
        chunks: grid indices, in C order.
        inside: per chunk, whether all voxels that the index says are in it are in the box.
        sure: per label of the view, the voxels in chunks that are inside.
        most: per label of the view, the voxels in all of these chunks.
        starts: per label, the lowest indices, if the box is the whole array.
        stops: per label, the highest indices plus one, likewise.
    """

    layout: Layout
    chunks: list[Coords]
    inside: npt.NDArray[np.bool_]
    sure: dict[int, int]
    most: dict[int, int]
    starts: dict[int, list[int]]
    stops: dict[int, list[int]]

    def check(self, label: int, voxels: int) -> None:
        """Raise StaleIndexError if a label has not the voxels that the index says it has."""
        low, high = self.sure.get(label, 0), self.most.get(label, 0)
        if not low <= voxels <= high:
            raise left_behind(self.layout, label, f"{voxels:,} voxels instead of {high:,}")

    def check_box(self, label: int, start: list[int], stop: list[int]) -> None:
        """Raise StaleIndexError if a label has not the bounding box that the index says it has."""
        if label in self.starts and (start, stop) != (self.starts[label], self.stops[label]):
            raise left_behind(self.layout, label, "another bounding box")

    def check_present(self, labels: Any) -> None:
        """Raise StaleIndexError if a label was not found of which voxels are surely there."""
        for label in self.sure.keys() - set(labels):
            if self.sure[label]:
                raise left_behind(self.layout, label, "no voxels in chunks that the index lists")


class Pairs(NamedTuple):
    """Labels with the chunks that hold them, by label and then by chunk.

    Attributes:
        labels: of the view, a row per label and chunk.
        chunks: the numbers of the chunks.
        voxels: of the label in the chunk.
    """

    labels: npt.NDArray[Any]
    chunks: npt.NDArray[np.uint64]
    voxels: npt.NDArray[np.uint64]


def left_behind(layout: Layout, label: int, what: str) -> StaleIndexError:
    """The error for an index that the array has left behind."""
    return StaleIndexError(
        f"the label index of {layout.name} does not agree with the array: the label {label} has {what}. "
        f"The array was changed since: update_index(array) reads the changes, and index='ignore' asks "
        f"without the index"
    )


def _renamed(layout: Layout, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return labels if layout.mapping is None else layout.mapping.renamed(labels)


def _limits(layout: Layout) -> tuple[int, int]:
    limits = np.iinfo(layout.native)
    return int(limits.min), int(limits.max)


# ---------------------------------------------------------------------------------------
# Whole answers; None: no index is used


def labels(
    layout: Layout, box: Box, options: Options, low: int | None = None, high: int | None = None
) -> npt.NDArray[Any] | None:
    """The labels of an array or a view in [low, high), perhaps unordered and repeated."""
    if box != layout.everything:
        return None
    first, last = _limits(layout)
    if layout.mapping is None:
        first = first if low is None else max(first, low)
        last = last if high is None else min(last, high - 1)
        if first > last:
            return np.empty(0, dtype=layout.native)
    found = ask_index(layout, box, options, lambda lookup: lookup.totals(first, last, ["label"]))
    return None if found is None else _renamed(layout, np.ascontiguousarray(found["label"]))


def num_labels(layout: Layout, box: Box, options: Options) -> int | None:
    """The number of labels of an array; None for a view."""
    if box != layout.everything or layout.mapping is not None:
        return None
    return ask_index(layout, box, options, lambda lookup: lookup.manifest.num_labels)


def statistics(layout: Layout, box: Box, options: Options) -> Totals | None:
    """The totals of all labels of an array; None for a view, whose labels may merge."""
    if box != layout.everything or layout.mapping is not None:
        return None
    first, last = _limits(layout)
    return ask_index(layout, box, options, lambda lookup: lookup.totals(first, last))


def table_of(totals: Totals, layout: Layout) -> StatisticsTable:
    """Totals as the table that ``statistics`` returns."""
    table = empty_table(len(totals), layout.array.dtype, len(layout.shape))
    for name in ("label", "voxel_count", "start", "stop", "centroid"):
        table[name][...] = totals[name]
    return table


def one_label(layout: Layout, label: int, box: Box, options: Options) -> Any:
    """The row of a label as ``statistics`` measures it, with sums of 128 bits; None: no index is used."""
    old = old_labels(layout, np.array([label], dtype=layout.native))
    if box != layout.everything or old is None or len(old) > _MOST_LABELS:
        return None
    rows = ask_index(layout, box, options, lambda lookup: lookup.some(old, True)[1])
    if rows is None:
        return None
    rows = rows.copy()
    rows["label"] = label
    return measured_of(rows)


# ---------------------------------------------------------------------------------------
# Chunks


def contains(layout: Layout, label: int, box: Box, options: Options) -> bool | None:
    """Whether a label is in the whole array."""
    old = old_labels(layout, np.array([label], dtype=layout.native))
    if box != layout.everything or old is None or len(old) > _MOST_LABELS:
        return None
    return ask_index(layout, box, options, lambda lookup: bool(len(lookup.some(old)[0])))


def found(
    layout: Layout, label: int, options: Options
) -> tuple[list[Coords], tuple[tuple[int, int], ...] | None] | None:
    """The chunks that hold a label of the whole array, and its bounding box."""
    old = old_labels(layout, np.array([label], dtype=layout.native))
    if old is None or len(old) > _MOST_LABELS:
        return None

    def question(lookup: Lookup) -> tuple[list[Coords], tuple[tuple[int, int], ...] | None]:
        totals, rows = lookup.some(old, ["label", "chunk"])
        chunks = coords_of(layout, np.unique(rows["chunk"]))
        if not len(totals):
            return chunks, None
        start, stop = totals["start"].min(axis=0).tolist(), totals["stop"].max(axis=0).tolist()
        return chunks, tuple(zip(start, stop, strict=True))

    return ask_index(layout, layout.everything, options, question)


def listed(layout: Layout, labels: npt.NDArray[Any], box: Box, options: Options) -> Listed | None:
    """The chunks that hold some labels, given ascending, in a box."""
    old = old_labels(layout, labels)
    if old is None or len(old) > _MOST_LABELS:
        return None
    rows = ask_index(layout, box, options, lambda lookup: lookup.some(old, True)[1])
    return None if rows is None else _listed(layout, rows, box)


def _listed(layout: Layout, rows: Rows, box: Box) -> Listed:
    low = np.array([start for start, _ in box], dtype=np.uint64)
    high = np.array([stop for _, stop in box], dtype=np.uint64)
    touching = ((rows["start"] < high) & (rows["stop"] > low)).all(axis=1)
    rows = rows[touching]
    inside = ((rows["start"] >= low) & (rows["stop"] <= high)).all(axis=1)
    names = _renamed(layout, np.ascontiguousarray(rows["label"]))
    sure: dict[int, int] = {}
    most: dict[int, int] = {}
    starts: dict[int, list[int]] = {}
    stops: dict[int, list[int]] = {}
    for name in np.unique(names).tolist():
        own = names == name
        most[name] = int(rows["voxel_count"][own].sum())
        sure[name] = int(rows["voxel_count"][own & inside].sum())
        if box == layout.everything:
            starts[name] = rows["start"][own].min(axis=0).tolist()
            stops[name] = rows["stop"][own].max(axis=0).tolist()
    numbers, place = np.unique(rows["chunk"], return_inverse=True)
    whole = np.ones(len(numbers), dtype=np.bool_)
    np.logical_and.at(whole, place, inside)
    return Listed(layout, coords_of(layout, numbers), whole, sure, most, starts, stops)


def pairs(layout: Layout, labels: npt.NDArray[Any] | None, box: Box, options: Options) -> Pairs | None:
    """Labels of a whole array or view with the chunks that hold them; None of ``labels``: all of an array."""
    if box != layout.everything or (labels is None and layout.mapping is not None):
        return None
    columns = ["label", "chunk", "voxel_count"]
    if labels is None:
        first, last = _limits(layout)
        rows = ask_index(layout, box, options, lambda lookup: lookup.rows(first, last, columns))
    else:
        old = old_labels(layout, labels)
        if old is None or len(old) > _MOST_LABELS:
            return None
        rows = ask_index(layout, box, options, lambda lookup: lookup.some(old, columns)[1])
    if rows is None:
        return None
    names, chunks, voxels = _renamed(layout, rows["label"].copy()), rows["chunk"], rows["voxel_count"]
    order = np.lexsort((chunks, names))
    names, chunks, voxels = names[order], chunks[order], voxels[order]
    if not len(names):
        return Pairs(names, chunks, voxels)
    new = np.ones(len(names), dtype=np.bool_)
    new[1:] = (names[1:] != names[:-1]) | (chunks[1:] != chunks[:-1])
    firsts = np.flatnonzero(new)
    return Pairs(names[firsts], chunks[firsts], np.add.reduceat(voxels, firsts))
