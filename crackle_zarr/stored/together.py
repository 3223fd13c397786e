"""Many small chunks, asked together: their streams lie in one buffer, and one call of C takes all of them.

C measures a chunk of 16^3 voxels in 10 microseconds. Every call from Python, every object and every small
array costs another. So a question that many streams can answer at once (:class:`AsksTogether`) gets a
:class:`Batch`: places as arrays, and the streams one after the other. A batch has whole chunks of one shape
only. All others are asked one by one: chunks that the array's edge or the region cuts, long ones of which
only the labels are read, and all chunks of a batch with a damaged stream, so that the error names its chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.zarr_facts import NOWHERE
from .chunk import Chunk, chunk_at, first_nbytes, index_of, renamed
from .encoding import undo
from .fetch import Bytes, Wanted, fetch
from .layout import Box, Coords, Layout

P_co = TypeVar("P_co", covariant=True)
Places = npt.NDArray[np.int64]  # a row per chunk, and a column per axis

# How many chunks questions ask at once; few, where the first answer may be enough.
TOGETHER = 256
FEW_TOGETHER = 16
# Larger chunks gain nothing from being asked together: the work is larger than the calls.
_LARGEST_CHUNK = 2**18
# The voxels of a batch with whole streams: some milliseconds of work, after which Ctrl-C takes effect.
_VOXELS = 2**22
# In longer arrays the end of the last chunk may not fit 64 bits.
_LONGEST_AXIS = 2**62


@dataclass(frozen=True)
class Batch:
    """Whole chunks of one shape, none of them cut, with their streams.

    Attributes:
        layout: of the array.
        coords: their indices in the grid of chunks.
        start: the first voxel of each.
        stop: the voxel behind the last, along each axis.
        streams: of the chunks.
    """

    layout: Layout
    coords: list[Coords]
    start: Places
    stop: Places
    streams: _binding.Batch

    def tables(self, verify: bool) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """The labels that the chunks list, chunk after chunk, and where those of each end."""
        labels, ends = _binding.batch_tables(self.streams, verify)
        return renamed(self.layout, labels.astype(self.layout.native)), ends


class AsksTogether(Protocol[P_co]):
    """A question that takes many chunks at once, which gives the same as to ask them one by one."""

    @property
    def most_together(self) -> int:
        """How many chunks to ask at once at most; 0: ask them one by one."""
        ...

    @property
    def needs_whole(self) -> bool:
        """Whether it needs whole streams; otherwise their beginning with the labels is enough."""
        ...

    def can_ask(self, layout: Layout, shape: tuple[int, ...]) -> bool:
        """Whether chunks of a shape can be asked together."""
        ...

    def ask_together(self, batch: Batch) -> P_co | None:
        """Ask chunks that exist."""
        ...

    def ask_missing(self, layout: Layout, start: Places, stop: Places) -> P_co | None:
        """Ask chunks that do not exist, from and to the given voxels."""
        ...


@dataclass(frozen=True)
class Found:
    """What the store has of some chunks.

    Attributes:
        batch: the chunks to ask together; None: there are none.
        missing: the bounds of chunks that do not exist, and are asked together.
        rest: the chunks to ask one by one.
    """

    batch: Batch | None
    missing: tuple[Places, Places]
    rest: list[Chunk]


def together(layout: Layout, question: object) -> int:
    """How many chunks of an array a question asks at once; 0: it asks them one by one."""
    voxels = max(1, math.prod(layout.longest))
    # Not isinstance(): of a protocol, it takes as long as to read ten files.
    most: int = getattr(question, "most_together", 0)
    if layout.chain is None or voxels > _LARGEST_CHUNK or max(layout.shape, default=0) > _LONGEST_AXIS:
        return 0
    return min(most, _VOXELS // voxels) if _reads_whole(layout, question) else most


def _reads_whole(layout: Layout, question: object) -> bool:
    """Whether whole streams are read: of compressed ones, no part has a meaning of its own."""
    return bool(getattr(question, "needs_whole", True) or layout.chain is None or layout.chain.outer)


def batches(
    layout: Layout, question: AsksTogether[Any], coords: Sequence[Coords], box: Box, size: int
) -> Iterator[Found]:
    """Chunks, all in one shard if there are shards, in batches of a size, as the store has them."""
    index = index_of(layout, coords)
    for first in range(0, len(coords), size):
        _binding.raise_if_interrupted()
        yield _found(layout, question, coords[first : first + size], box, index)


def _found(
    layout: Layout,
    question: AsksTogether[Any],
    coords: Sequence[Coords],
    box: Box,
    index: npt.NDArray[np.uint64] | None,
) -> Found:
    start, stop = _bounds(layout, coords)
    low, high = (np.array([one[end] for one in box], dtype=np.int64) for end in (0, 1))
    inside = ((start >= low) & (stop <= high)).all(axis=1)
    rest: list[Chunk] = []
    if inside.any():
        shape = (stop - start)[int(inside.argmax())]
        inside &= ((stop - start) == shape).all(axis=1)
        if not shape.all() or not question.can_ask(layout, tuple(shape.tolist())):
            inside[:] = False
    asked = np.flatnonzero(inside).tolist()
    rest = [chunk_at(layout, coords[place], box, index) for place in np.flatnonzero(~inside).tolist()]
    if not asked:
        nothing = np.empty((0, start.shape[1]), dtype=np.int64)
        return Found(None, (nothing, nothing), rest)

    most = None if _reads_whole(layout, question) else first_nbytes(layout, coords[asked[0]])
    wanted, nbytes = _wanted(layout, [coords[place] for place in asked], index, most)
    came = iter(fetch(layout.store, [one for one in wanted if one is not None]))
    here, missing, streams = [], [], []
    for place, one, length in zip(asked, wanted, nbytes, strict=True):
        raw = None if one is None else next(came)
        if isinstance(raw, BaseException):
            raise raw
        if raw is None and length is None:
            missing.append(place)
        elif raw is None or (length is not None and len(raw) != min(length, most or length)):
            rest.append(chunk_at(layout, coords[place], box, index))  # its shard is damaged, or was deleted
        elif most is not None and len(raw) >= most and length != len(raw):
            chunk = chunk_at(layout, coords[place], box, index)
            chunk.begin(raw)
            rest.append(chunk)
        else:
            here.append(place)
            streams.append(raw)
    batch = None
    if here:
        given = _joined(layout, streams, coords[here[0]])
        if given is None:
            rest += [chunk_at(layout, coords[place], box, index) for place in here]
        else:
            batch = Batch(layout, [coords[place] for place in here], start[here], stop[here], given)
    return Found(batch, (start[missing], stop[missing]), rest)


def _bounds(layout: Layout, coords: Sequence[Coords]) -> tuple[Places, Places]:
    places = np.array(coords, dtype=np.int64).reshape(len(coords), len(layout.cuts))
    start, stop = np.empty_like(places), np.empty_like(places)
    for axis, cut in enumerate(layout.cuts):
        start[:, axis], stop[:, axis] = cut.starts(places[:, axis]), cut.starts(places[:, axis] + 1)
    return start, stop


def _wanted(
    layout: Layout, coords: Sequence[Coords], index: npt.NDArray[np.uint64] | None, most: int | None
) -> tuple[list[Wanted | None], list[int | None]]:
    """What to read of chunks, None where there is none; and their lengths, as far as these are known."""
    if layout.shards is None:
        path, key = layout.path, layout.key
        return [Wanted(path(key(one)), 0, most) for one in coords], [None] * len(coords)
    if index is None:
        return [None] * len(coords), [None] * len(coords)
    key_of_shard = layout.path(layout.key(coords[0]))
    wanted: list[Wanted | None] = []
    lengths: list[int | None] = []
    for place in layout.shards.places(coords):
        offset, nbytes = index[place].tolist()
        if offset == NOWHERE and nbytes == NOWHERE:
            wanted.append(None)
            lengths.append(None)
        else:
            length = nbytes if most is None else min(nbytes, most)
            wanted.append(Wanted(key_of_shard, offset, offset + length))
            lengths.append(nbytes)
    return wanted, lengths


def _joined(layout: Layout, raws: Sequence[Bytes], coords: Coords) -> _binding.Batch | None:
    """The streams of some chunks in one buffer; None if one cannot be decompressed."""
    assert layout.chain is not None
    streams: Sequence[Any] = raws
    if layout.chain.outer:
        try:
            streams = [np.frombuffer(undo(layout, raw), np.uint8) for raw in raws]
        except ValueError:  # FormatError
            return None
    ends = np.cumsum([len(one) for one in streams], dtype=np.uint64)
    data = streams[0] if len(streams) == 1 else np.concatenate(streams)
    return _binding.Batch(data, ends, layout.volume_shape(coords), layout.native)
