"""The two passes of a build, as tasks for any executor: chunks to runs, and runs to files by label range.

The first pass measures chunks, and puts a sorted run for about a thousand of them. Its answers are small: the
first label of each block of 1,024 rows, and a stamp per chunk. From these labels the caller cuts all labels
into ranges of about a million rows. The second pass takes all rows of a range out of all runs, sorts them,
and puts the two files of the range. So a worker holds about a million rows, whatever the size of the array;
more only where one label has more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ... import _binding
from ...errors import FormatError
from ..chunk import Chunk, chunks_of
from ..encoding import decoded_object, encode
from ..engine import BATCH
from ..fetch import Bytes, Steps, Wanted, drive
from ..layout import Coords, Layout, num_voxels
from ..relabel import hidden, whole_object
from ..statistics import measure
from .home import Home
from .manifest import File, Pair, Segment
from .parquet import file_of
from .rows import Rows, in_order, rows_dtype, rows_of_chunk, totals_of
from .runs import BLOCK, Run, put_run, rows_between
from .stamps import DTYPE, Stamps, number_of, stamp_of

T = TypeVar("T")

# Chunks that one task of the first pass measures, and rows after which it puts a run.
CHUNKS_PER_TASK = 1024
ROWS_PER_RUN = 2_000_000
# Rows of a range of labels.
ROWS_PER_RANGE = 1_000_000


# ---------------------------------------------------------------------------------------
# First pass


@dataclass(frozen=True)
class Measured:
    """Runs, each with the number of its task.

    Attributes:
        runs: with the number of the task that put them.
    """

    runs: list[tuple[int, Run]]

    def __add__(self, other: Measured) -> Measured:
        """The runs of both."""
        return Measured(self.runs + other.runs)


@dataclass(frozen=True)
class MeasureChunks:
    """Measure some chunks, and put their rows as runs.

    Attributes:
        layout: of the array.
        home: of the index.
        name: of the run; further ones get a number behind it.
        number: of the task.
        groups: the chunks; those of a group are in one shard, if there are shards.
    """

    layout: Layout
    home: Home
    name: str
    number: int
    groups: tuple[tuple[Coords, ...], ...]

    @property
    def weight(self) -> int:
        """Chunks."""
        return sum(map(len, self.groups))

    def part(self, number: int) -> str:
        """The name of a run before the last."""
        return f"{self.name}-{number}"

    def __call__(self) -> Measured:
        """Do it."""
        dtype = rows_dtype(self.layout.native, len(self.layout.shape))
        runs: list[tuple[int, Run]] = []
        rows: list[Rows] = []
        stamps: list[Stamps] = []
        count = 0

        def flush(last: bool) -> None:
            together = np.concatenate(rows) if rows else np.empty(0, dtype=dtype)
            # Chunks came in order, so equal labels stay in order of their chunks.
            together = together[np.argsort(together["label"], kind="stable")]
            name = self.name if last else self.part(len(runs))
            kept = np.concatenate(stamps) if last and stamps else None
            one = put_run(self.home, name, together, kept, len(runs) if last else 0)
            runs.append((self.number, one))
            rows.clear()

        for group in self.groups:
            for found, stamp in self._measured(group):
                rows.append(found)
                stamps.append(stamp)
                count += len(found)
                if count >= ROWS_PER_RUN:
                    flush(False)
                    count = 0
        flush(True)
        return Measured(runs)

    def _measured(self, group: Sequence[Coords]) -> Iterator[tuple[Rows, Stamps]]:
        if self.layout.chain is None:
            yield from _decoded(self.layout, group)
            return
        chunks = chunks_of(self.layout, group, self.layout.everything)
        if self.layout.shards is not None and all(chunk.absent for chunk in chunks):
            # The store has to say twice that a shard does not exist.
            chunks = chunks_of(self.layout, group, self.layout.everything)
        for start in range(0, len(chunks), BATCH):
            batch = chunks[start : start + BATCH]
            found = drive(self.layout.store, [_named(chunk, _ask(chunk)) for chunk in batch])
            yield np.concatenate([rows for rows, _ in found]), np.concatenate([stamp for _, stamp in found])


def _decoded(layout: Layout, group: Sequence[Coords]) -> Iterator[tuple[Rows, Stamps]]:
    """The rows and stamps of chunks that another codec encoded."""
    by_object: dict[str, list[Coords]] = {}
    for coords in group:
        by_object.setdefault(layout.key(coords), []).append(coords)
    for key, some in by_object.items():
        (raw,) = drive(layout.store, [whole_object(layout.path(key))])
        for chunk in chunks_of(layout, some, layout.everything):
            stamp = _stamp(chunk, raw)
            if num_voxels(chunk.box) == 0:
                yield no_rows(layout), stamp
                continue
            chunk.take(_binding.Reader(encode(decoded_object(layout, key, raw, chunk.box))))
            (rows,) = drive(layout.store, [_named(chunk, measure(chunk, True))])
            yield rows_of_chunk(int(stamp["chunk"][0]), rows), stamp


def _named(chunk: Chunk, steps: Steps[T]) -> Steps[T]:
    try:
        return (yield from steps)
    except FormatError as error:
        raise chunk.failed(error) from error


def no_rows(layout: Layout) -> Rows:
    """No rows of an array."""
    return np.empty(0, dtype=rows_dtype(layout.native, len(layout.shape)))


def no_stamps() -> Stamps:
    """No stamps."""
    return np.empty(0, dtype=DTYPE)


def _stamp(chunk: Chunk, raw: Bytes | None) -> Stamps:
    stamp = np.zeros(1, dtype=DTYPE)
    stamp["chunk"] = number_of(chunk.layout, chunk.coords)
    stamp["nbytes"], stamp["labels_crc"], stamp["slices_crc"] = stamp_of(chunk.layout, chunk.coords, raw)
    return stamp


def _ask(chunk: Chunk) -> Steps[tuple[Rows, Stamps]]:
    """The rows and the stamp of one chunk, from the same bytes."""
    _binding.raise_if_interrupted()
    raw = yield from chunk.raw()
    if raw is not None:
        chunk.take_whole(raw)
    elif not chunk.absent:
        # A chunk that exists and is taken for fill value would make all answers wrong: ask twice.
        (again,) = yield [Wanted(chunk.key, 0, 1)]
        if again is not None:
            raise hidden(chunk.key)
        chunk.absent = True
    stamp = _stamp(chunk, raw)
    if num_voxels(chunk.box) == 0:
        return no_rows(chunk.layout), stamp
    found = yield from measure(chunk, True)
    return rows_of_chunk(int(stamp["chunk"][0]), found), stamp


# ---------------------------------------------------------------------------------------
# Between the passes


def ranges_of(runs: Sequence[Run], label: np.dtype[Any], rows: int = ROWS_PER_RANGE) -> list[tuple[int, int]]:
    """Ranges of labels, first and last, that cover all labels and have about ``rows`` rows each.

    A label is in one range. One with very many rows gets a range of its own.
    """
    low, high = int(np.iinfo(label).min), int(np.iinfo(label).max)
    firsts = np.concatenate([np.empty(0, dtype=label), *(run.firsts for run in runs)])
    names, counts = np.unique(firsts, return_counts=True)
    most, large = max(1, rows // BLOCK), max(2, rows // BLOCK // 4)
    cuts: list[int] = []
    held = 0
    for name, count in zip(names.tolist(), counts.tolist(), strict=True):
        if held and (held + count > most or count >= large):
            cuts.append(name)
            held = 0
        held += count
        if count >= large and name < high:
            cuts.append(name + 1)
            held = 0
    cuts = sorted({cut for cut in cuts if cut > low})
    starts = [low, *cuts]
    return list(zip(starts, [*(cut - 1 for cut in cuts), high], strict=True))


# ---------------------------------------------------------------------------------------
# Second pass


@dataclass(frozen=True)
class Files:
    """Pairs of files that tasks put."""

    pairs: list[Pair]

    def __add__(self, other: Files) -> Files:
        """The files of both."""
        return Files(self.pairs + other.pairs)


@dataclass(frozen=True)
class PutRange:
    """Put the files of a range of labels.

    Attributes:
        home: of the index.
        folder: of the files.
        number: of the range.
        first: the range's first label.
        last: the range's last label.
        runs: those with rows in the range.
        label: the dtype of labels.
        ndim: how many axes the array has.
        about: see :func:`~crackle_zarr.stored.index.parquet.file_of`.
    """

    home: Home
    folder: str
    number: int
    first: int
    last: int
    runs: tuple[Run, ...]
    label: np.dtype[Any]
    ndim: int
    about: dict[str, str]

    @property
    def weight(self) -> int:
        """Ranges."""
        return 1

    def __call__(self) -> Files:
        """Do it."""
        rows = rows_between(self.home, self.runs, self.first, self.last, self.ndim)
        if not len(rows):
            return Files([])
        return Files([put_pair(self.home, self.folder, f"{self.number:05}", in_order(rows), self.about)])


def put_pair(
    home: Home,
    folder: str,
    number: str,
    rows: Rows,
    about: dict[str, str],
    gone: npt.NDArray[Any] | None = None,
) -> Pair:
    """Put the two files of some labels.

    Args:
        home: of the index.
        folder: of the files.
        number: of the pair, which is in its name.
        rows: all rows of these labels, in order.
        about: see :func:`~crackle_zarr.stored.index.parquet.file_of`.
        gone: labels to list without voxels.
    """
    totals = totals_of(rows)
    if gone is not None and len(gone):
        none = np.zeros(len(gone), dtype=totals.dtype)
        none["label"] = gone
        totals = np.concatenate([totals, none])
        totals = totals[np.argsort(totals["label"], kind="stable")]
    files: list[File] = []
    for kind, table in (("labels", totals), ("rows", rows)):
        name = f"{folder}/{kind}-{number}.parquet"
        raw, file = file_of(name, table, about)
        home.put({name: raw})
        files.append(file)
    first, last = int(totals["label"][0]), int(totals["label"][-1])
    return Pair(first, last, int(np.count_nonzero(totals["voxel_count"])), len(rows), *files)


def full(pairs: Iterable[Pair]) -> Segment:
    """A segment of all labels."""
    return Segment("full", tuple(sorted(pairs, key=lambda pair: pair.first)))
