"""Which labels are in an array, and in which of its chunks.

For a whole chunk the label table is the answer, so only the labels section of its stream is read. If the
array's edge or a region cuts a chunk, its table may list labels that lie beyond the cut. Then the question
reads the keys of the remaining slices, if whole slices are cut away, and otherwise the boundaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .._base.integers import holds
from .._binding import Reader
from ..errors import StoreError
from ..files.space import Space
from ..streams.ranges import consecutive
from ..streams.stream import between
from .chunk import Chunk
from .engine import Options, ask
from .fetch import Steps
from .index import answers
from .layout import Box, Coords, Layout, Run, slices_of
from .together import FEW_TOGETHER, TOGETHER, Batch, Places

Table = npt.NDArray[Any]


# ---------------------------------------------------------------------------------------
# What of a chunk's table is there


def entries_there(chunk: Chunk, reader: Reader, verify: bool) -> Steps[npt.NDArray[np.bool_] | None]:
    """Which entries of a chunk's label table have voxels in the box of the question; None: all of them."""
    if chunk.is_whole:
        return None
    size = len(reader.table(verify))
    if size == 1:
        return None
    runs = chunk.runs
    sx, sy = reader.header.sx, reader.header.sy
    if reader.header.label_format == 0 and all(run.x == (0, sx) and run.y == (0, sy) for run in runs):
        there = np.zeros(size, dtype=np.bool_)
        for run in runs:
            there |= reader.entries_in(*run.z, verify=verify)
        return there
    there = np.zeros(size, dtype=np.bool_)
    for _, extents in (yield from measured(chunk, runs, verify)) or ():
        there |= extents["voxels"] > 0
    return there


def measured(
    chunk: Chunk, runs: list[Run], verify: bool, slices: npt.NDArray[np.bool_] | None = None
) -> Steps[list[tuple[Run, npt.NDArray[Any]]] | None]:
    """The extents of the table's entries in runs of slices; None if the chunk does not exist.

    Args:
        chunk: the chunk.
        runs: what to measure.
        verify: verify checksums.
        slices: which slices of the stream can matter; None: all.
    """
    ranges = sorted({bounds for run in runs for bounds in _within(run.z, slices)})
    if not ranges:
        return []
    readers = yield from chunk.slices(ranges)
    if readers is None:
        return None
    found = []
    for run in runs:
        for z_start, z_stop in _within(run.z, slices):
            reader = next(one for one, first, last in readers if first <= z_start and z_stop <= last)
            extents = reader.measure(z_start, z_stop, run.x, run.y, verify=verify)
            found.append((run, extents))
    return found


def _within(z: tuple[int, int], slices: npt.NDArray[np.bool_] | None) -> Iterable[tuple[int, int]]:
    if slices is None:
        return [z]
    return [(z[0] + a, z[0] + b) for a, b in consecutive(np.flatnonzero(slices[z[0] : z[1]]))]


# ---------------------------------------------------------------------------------------
# Questions


def distinct(labels: Table) -> Table:
    """Labels ascending, each once.

    ``np.unique`` hashes and then sorts. Label tables mostly ascend already, and so does each half of two
    merged tables; a stable sort is faster on such input.
    """
    if (labels[1:] > labels[:-1]).all():
        return labels
    labels = np.sort(labels, kind="stable")
    new = np.ones(len(labels), dtype=np.bool_)
    np.not_equal(labels[1:], labels[:-1], out=new[1:])
    return labels if new.all() else labels[new]


@dataclass(frozen=True)
class LabelsThere:
    """The labels in a box, ascending."""

    verify: bool
    most_together: ClassVar[int] = TOGETHER
    needs_whole: ClassVar[bool] = False

    def ask(self, chunk: Chunk) -> Steps[Table]:
        """The labels of one chunk."""
        reader = yield from chunk.labels(self.verify or not chunk.is_whole)
        if reader is None:
            return filled(chunk.layout)
        there = yield from entries_there(chunk, reader, self.verify)
        table = chunk.table(reader, self.verify)
        return distinct(table if there is None else table[there])

    def can_ask(self, layout: Layout, shape: tuple[int, ...]) -> bool:
        """Chunks of every shape."""
        return True

    def ask_together(self, batch: Batch) -> Table:
        """The labels of many chunks."""
        return distinct(batch.tables(self.verify)[0])

    def ask_missing(self, layout: Layout, start: Places, stop: Places) -> Table:
        """The fill value."""
        return filled(layout)

    def merge(self, a: Table, b: Table) -> Table:
        """The labels of either."""
        return distinct(np.concatenate([a, b]))

    def merge_many(self, answers: list[Table]) -> Table:
        """The labels of any."""
        return distinct(np.concatenate(answers))

    def enough(self, answer: Table) -> bool:
        """Never: any chunk may add a label."""
        return False


@dataclass(frozen=True)
class ChunksWith:
    """The chunks that hold a label, as grid indices; with ``first``, any one of them."""

    label: int
    verify: bool
    first: bool = False
    listed: bool = False  # an index says that each of the chunks holds the label
    needs_whole: ClassVar[bool] = False

    @property
    def most_together(self) -> int:
        """Few, where one is enough; none, where an error says which chunk has not the label."""
        return 0 if self.listed else FEW_TOGETHER if self.first else TOGETHER

    def ask(self, chunk: Chunk) -> Steps[list[Coords] | None]:
        """Whether one chunk holds the label."""
        reader = yield from chunk.labels(self.verify or not chunk.is_whole)
        table = filled(chunk.layout) if reader is None else chunk.table(reader, self.verify)
        wanted = table == self.label
        if not wanted.any():
            if self.listed:
                raise answers.left_behind(chunk.layout, self.label, f"no voxels in {chunk.key}")
            return None
        if reader is None:
            return [chunk.coords]
        if not chunk.is_whole and not wanted.all():
            slices = reader.slices_with(wanted, verify=self.verify)
            found = yield from measured(chunk, chunk.runs, self.verify, slices)
            if not any((extents["voxels"][wanted] > 0).any() for _, extents in found or ()):
                return None
        return [chunk.coords]

    def can_ask(self, layout: Layout, shape: tuple[int, ...]) -> bool:
        """Chunks of every shape."""
        return True

    def ask_together(self, batch: Batch) -> list[Coords] | None:
        """Those of many chunks that hold the label."""
        tables, ends = batch.tables(self.verify)
        holding = np.unique(np.searchsorted(ends, np.flatnonzero(tables == self.label), "right"))
        return [batch.coords[place] for place in holding.tolist()] or None

    def ask_missing(self, layout: Layout, start: Places, stop: Places) -> list[Coords] | None:
        """All or none of them: they hold the fill value."""
        if int(filled(layout)[0]) != self.label:
            return None
        return [
            tuple(cut.index(one) for cut, one in zip(layout.cuts, first, strict=True))
            for first in start.tolist()
        ]

    def merge(self, a: list[Coords], b: list[Coords]) -> list[Coords]:
        """The chunks of both."""
        return a + b

    def enough(self, answer: list[Coords]) -> bool:
        """With ``first``, one chunk is enough."""
        return self.first


@dataclass(frozen=True)
class BoundsOf:
    """The bounding box of a label in chunks that list it; None if it has no voxels there."""

    label: int
    verify: bool

    def ask(self, chunk: Chunk) -> Steps[Box | None]:
        """The bounds within one chunk."""
        reader = yield from chunk.labels()
        table = filled(chunk.layout) if reader is None else chunk.table(reader)
        wanted = table == self.label
        if not wanted.any():
            raise StoreError(
                f"{chunk.key}: it had the label {self.label} and no longer has it: the array was changed "
                f"since then, or its store did not find the chunk"
            )
        if reader is None or wanted.all():
            return chunk.box
        slices = reader.slices_with(wanted, verify=self.verify)
        found = yield from measured(chunk, chunk.runs, self.verify, slices)
        box: Box | None = None
        for run, extents in found or ():
            some = extents[wanted & (extents["voxels"] > 0)]
            if some.size:
                start, stop = array_bounds(chunk, run, some)
                more = tuple(zip(start.min(axis=0).tolist(), stop.max(axis=0).tolist(), strict=True))
                box = more if box is None else self.merge(box, more)
        return box

    def merge(self, a: Box, b: Box) -> Box:
        """The bounds of both."""
        return tuple((min(p[0], q[0]), max(p[1], q[1])) for p, q in zip(a, b, strict=True))

    def enough(self, answer: Box) -> bool:
        """Never: another chunk may extend the box."""
        return False


def array_bounds(
    chunk: Chunk, run: Run, extents: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The first and the last-but-one indices of extents along the array's axes: a row per extent."""
    start = np.empty((len(extents), len(run.origin)), dtype=np.uint64)
    start[...] = run.origin
    stop = start + np.uint64(1)
    for place, axis in enumerate(chunk.stream_axes):
        if axis is not None:
            moved = np.uint64((int(run.origin[axis]) - (run.z[0] if place == 2 else 0)) % 2**64)
            np.add(extents["start"][:, place], moved, out=start[:, axis])
            np.add(extents["stop"][:, place], moved, out=stop[:, axis])
    return start, stop


def filled(layout: Layout) -> Table:
    """A label table with the fill value alone, for chunks that do not exist."""
    table = np.array([layout.fill], dtype=layout.native)
    return table if layout.mapping is None else layout.mapping.renamed(table)


# ---------------------------------------------------------------------------------------
# Answers


def labels(
    layout: Layout, box: Box, options: Options, low: int | None = None, high: int | None = None
) -> Table:
    """The labels in a box, ascending, in the array's dtype; those in [low, high), where these are given."""
    found = answers.labels(layout, box, options, low, high)
    if found is None:
        found = ask(layout, LabelsThere(options.verify), box, options)
    if found is None:
        found = np.empty(0, dtype=layout.native)
    found = distinct(found)
    if low is not None and high is not None:
        found = between(found, low, high)
    return found.astype(layout.array.dtype)


def num_labels(layout: Layout, box: Box, options: Options) -> int:
    """The number of labels in a box."""
    number = answers.num_labels(layout, box, options)
    return len(labels(layout, box, options)) if number is None else number


def contains(layout: Layout, label: int, box: Box, options: Options) -> bool:
    """Whether a label is in a box."""
    if not holds(layout.native, label):
        return False
    if box == layout.everything:
        there = answers.contains(layout, label, box, options)
        if there is not None:
            return there
    coords, listed = None, False
    if box != layout.everything:
        found = answers.listed(layout, np.array([label], dtype=layout.native), box, options)
        if found is not None:
            if found.inside.any():
                return True
            coords, listed = found.chunks, True
    question = ChunksWith(label, options.verify, first=True, listed=listed)
    return ask(layout, question, box, options, coords) is not None


@dataclass(frozen=True)
class Found:
    """Where a label is.

    Attributes:
        label: the label.
        chunks: the grid indices of the chunks that hold it, in C order. They come from label tables alone
            wherever neither the array's edge nor a region cuts a chunk.
        indexed: whether the label index of the array was used.
    """

    label: int
    chunks: list[Coords]
    _layout: Layout = field(repr=False, compare=False)
    _box: Box = field(repr=False, compare=False)
    _options: Options = field(repr=False, compare=False)
    _space_of: Callable[[Any], Space] = field(repr=False, compare=False)
    indexed: bool = field(default=False, compare=False)
    _known: Box | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the executor, which cannot leave this process."""
        return {**self.__dict__, "_options": replace(self._options, executor=None, progress=False)}

    def __bool__(self) -> bool:
        """Whether the label is there at all."""
        return bool(self.chunks)

    @cached_property
    def slices(self) -> tuple[slice, ...] | None:
        """The bounding box as an index of the array; None if the label is absent.

        The first access reads the boundaries in the outermost of the chunks.
        """
        if not self.chunks:
            return None
        if self._known is not None:
            return slices_of(self._known)
        grid = np.array(self.chunks, dtype=np.int64).reshape(len(self.chunks), -1)
        outermost = ((grid == grid.min(axis=0)) | (grid == grid.max(axis=0))).any(axis=1)
        if grid.shape[1] == 0:  # an array of no axes
            outermost[:] = True
        coords = [one for one, far in zip(self.chunks, outermost.tolist(), strict=True) if far]
        options = replace(self._options, progress=False)
        box = ask(self._layout, BoundsOf(self.label, options.verify), self._box, options, coords)
        if box is None:
            raise StoreError(
                f"{self._layout.name}: the label {self.label} is listed in the chunks {self.chunks[:3]}..., "
                f"and no voxel of them has it"
            )
        return slices_of(box)

    @property
    def bounds(self) -> tuple[tuple[float, float], ...] | None:
        """The bounding box in the unit of the voxel size, from face to face, per axis; None if it is absent.

        Raises:
            ValueError: the array states no voxel size.
        """
        size, origin = placed(self._layout, self._space_of(self._layout.array))
        if self.slices is None:
            return None
        return tuple(
            (first + (one.start - 0.5) * edge, first + (one.stop - 0.5) * edge)
            for one, edge, first in zip(self.slices, size, origin, strict=True)
        )


def placed(layout: Layout, space: Space) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The voxel size of an array, and where its first voxel lies."""
    if space.voxel_size is None:
        raise ValueError(
            f"{layout.name} states no voxel size: write OME-Zarr with voxel_size, or set the attribute "
            f"voxel_size of the array, one number per axis"
        )
    return space.voxel_size, space.origin or (0.0,) * len(layout.shape)


def find(layout: Layout, label: int, box: Box, options: Options, space_of: Callable[[Any], Space]) -> Found:
    """Where a label is; ``space_of`` gives the space of the array, once somebody asks for it."""
    if not holds(layout.native, label):
        return Found(label, [], layout, box, options, space_of)
    if box == layout.everything:
        known = answers.found(layout, label, options)
        if known is not None:
            return Found(label, known[0], layout, box, options, space_of, True, known[1])
        chunks = ask(layout, ChunksWith(label, options.verify), box, options) or []
        return Found(label, sorted(chunks), layout, box, options, space_of)
    listed = answers.listed(layout, np.array([label], dtype=layout.native), box, options)
    if listed is None:
        chunks = ask(layout, ChunksWith(label, options.verify), box, options) or []
        return Found(label, sorted(chunks), layout, box, options, space_of)
    pairs = list(zip(listed.chunks, listed.inside.tolist(), strict=True))
    cut = [one for one, inside in pairs if not inside]
    chunks = [one for one, inside in pairs if inside]
    if cut:
        more = ask(layout, ChunksWith(label, options.verify, listed=True), box, options, cut)
        chunks += more or []
    return Found(label, sorted(chunks), layout, box, options, space_of, True)
