"""One chunk of a stored array: what a question reads of its stream, part by part.

A chunk is read in as few requests as the question allows: its first bytes hold the header, the index of the
crack codes and often the label table; the label section and the crack codes of some slices follow by range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.header import CrackleHeader
from .._base.zarr_facts import NOWHERE
from ..codecs.chunk import check_header
from ..errors import FormatError
from ..streams.ranges import FIRST_REQUEST, Ranges, cut, join, requests_for, truncated
from .encoding import decoded, encode, undo
from .fetch import Bytes, Steps, Wanted, drive, reads_files
from .layout import Box, Coords, Layout, Run, common, runs_of, stream_axes
from .shards import shard_index

# Parts of a stream: the offset of each, ascending, and its bytes.
Pieces: TypeAlias = list[tuple[int, Bytes]]

# Slices that lie no further apart than this are decoded by one call.
_WORTH_A_CALL = 4
# The bytes of the first request for the labels of a chunk in a file. To read them takes no longer than to
# open the file again, and many chunks are not larger.
_FIRST_OF_FILE = 2**14


@dataclass
class Chunk:
    """A chunk under a question, with the parts of its stream that are here.

    Attributes:
        layout: of the array.
        coords: its index in the grid of chunks.
        box: the part of it that the question is about.
        span: its offset and length within its shard; None if it is an object of its own.
        absent: the shard's index has no such chunk.
    """

    layout: Layout
    coords: Coords
    box: Box
    span: tuple[int, int] | None = None
    absent: bool = False

    def __post_init__(self) -> None:
        """Begin without any bytes."""
        self.key = self.layout.path(self.layout.key(self.coords))
        self.stored = self.layout.chunk_box(self.coords)
        self._whole: _binding.Reader | None = None
        self._labels: _binding.Reader | None = None
        self._sections: _binding.Layout | None = None
        self._prefix: Bytes | None = None  # all before the Markov model
        self._begun: Bytes | None = None  # the first bytes, where somebody has read them
        self.nbytes_read = 0
        if self.layout.chain is None:
            # Zarr decodes such a chunk, and its box is encoded: the stream holds the box alone.
            self.stored, self.axes = self.box, tuple(range(len(self.box)))
        else:
            self.axes = self.layout.chain.axes

    @property
    def is_whole(self) -> bool:
        """Whether the question is about the whole chunk, and the chunk lies within the array."""
        return self.box == self.stored

    @property
    def runs(self) -> list[Run]:
        """The box of the question as runs of slices of the stream."""
        return runs_of(self.stored, self.box, self.axes)

    @property
    def stream_axes(self) -> tuple[int | None, int | None, int | None]:
        """The array's axes along which x, y and z go."""
        return stream_axes(self.axes)

    def failed(self, error: FormatError) -> FormatError:
        """The error with the chunk's name in front."""
        name = self.layout.object_name(self.key)
        where = name if self.span is None else f"{name} (chunk {self.coords})"
        return FormatError(f"chunk {where}: {error}", error.section, error.slice)

    # -----------------------------------------------------------------------------------
    # Bytes

    def _get(self, ranges: Sequence[tuple[int, int | None]]) -> Steps[list[Bytes | None]]:
        if self.absent:
            return [None] * len(ranges)
        first, nbytes = self.span or (0, None)
        wanted = []
        for start, stop in ranges:
            if nbytes is not None:
                stop = nbytes if stop is None else min(stop, nbytes)
            wanted.append(Wanted(self.key, first + start, None if stop is None else first + stop))
        came = yield wanted
        if self.span is not None and any(one is None for one in came):
            raise FormatError("its shard was deleted while it was read")  # the index of the shard was there
        self.nbytes_read += sum(len(one) for one in came if one is not None)
        return came

    def whole(self) -> Steps[_binding.Reader | None]:
        """A reader of the whole stream; None if the chunk does not exist."""
        if self._whole is None:
            if self.layout.chain is None:
                self._whole = _binding.Reader(encode(decoded(self.layout, self.box, self.key)))
            else:
                raw = yield from self.raw()
                if raw is None:
                    return None
                self.take_whole(raw)
        return self._whole

    def raw(self) -> Steps[Bytes | None]:
        """The bytes of the stored chunk."""
        (came,) = yield from self._get([(0, None)])
        if came is not None and self.span is not None and len(came) != self.span[1]:
            raise FormatError(f"it ends after {len(came)} of {self.span[1]} bytes in its shard")
        return came

    def take_whole(self, raw: Bytes) -> None:
        """Take all bytes of the stored chunk, which are here."""
        reader = _binding.Reader(undo(self.layout, raw))
        check_chunk_header(self.layout, self.coords, reader.header)
        self._whole = reader

    def take(self, reader: _binding.Reader) -> None:
        """Take a reader of the whole stream, which the caller has made."""
        self._whole = reader

    def begin(self, first: Bytes) -> None:
        """Take the :func:`first_nbytes` bytes of the chunk, which are here, and may not be all."""
        self._begun = first
        self.nbytes_read += len(first)

    def labels(self, verify: bool = True) -> Steps[_binding.Reader | None]:
        """A reader of the label table; None if the chunk does not exist.

        Args:
            verify: verify the checksum of the labels, which takes their whole section. Without it, the reader
                has the table alone.
        """
        if self._labels is not None:
            return self._labels
        chain = self.layout.chain
        if self._whole is not None or chain is None or chain.outer:
            return (yield from self.whole())
        most, prefix = first_nbytes(self.layout, self.coords), self._begun
        if prefix is None:
            (prefix,) = yield from self._get([(0, most)])
        if prefix is None:
            return None
        if len(prefix) < most or (self.span is not None and len(prefix) == self.span[1]):
            self.take_whole(prefix)
            return self._whole
        header = _binding.read_header(prefix)
        check_chunk_header(self.layout, self.coords, header)
        sections = self._sections = _binding.read_layout(prefix)
        pieces = [(0, prefix)]
        if not verify:
            head = _binding.table_nbytes(prefix)
            pieces += yield from self._get_after(pieces, [(0, head)])
            return _binding.Reader.from_parts(cut(pieces, 0, head), header=header)
        checksum = min(sections.checksums + 4, sections.end)
        pieces += yield from self._get_after(
            pieces, [(0, sections.markov_model), (sections.checksums, checksum)]
        )
        self._prefix = cut(pieces, 0, sections.markov_model)
        tail = cut(pieces, sections.checksums, checksum)
        self._labels = _binding.Reader.from_parts(self._prefix, tail=tail, header=header)
        return self._labels

    def _get_after(self, pieces: Pieces, ranges: Ranges) -> Steps[Pieces]:
        """Fetch the missing parts of some ranges; ``pieces`` are consecutive parts that are here."""
        assert self._sections is not None
        requests = requests_for(ranges, pieces[-1][0] + len(pieces[-1][1]))
        if not requests:
            return []
        came = yield from self._get(list(requests))
        new = []
        for (start, stop), piece in zip(requests, came, strict=True):
            if piece is None:
                raise FormatError("it was deleted while it was read")
            if len(piece) != stop - start:
                raise truncated(self._sections, start + len(piece))
            new.append((start, piece))
        return new

    def slices(self, ranges: Ranges) -> Steps[list[tuple[_binding.Reader, int, int]] | None]:
        """Readers of ranges of slices, in order; None if the chunk does not exist.

        Every range is covered. Ranges close to each other may be joined.
        """
        ranges = join(ranges, _WORTH_A_CALL)
        if self._whole is None and self._labels is None:
            sz = self.layout.volume_shape(self.coords)[2]
            most = 4 * sum(stop - start for start, stop in ranges) >= 3 * sz
            reader = yield from (self.whole() if most else self.labels())
            if reader is None:
                return None
        if self._whole is not None:
            return [(self._whole, start, stop) for start, stop in ranges]
        sections, prefix = self._sections, self._prefix
        assert sections is not None
        assert prefix is not None
        codes = [_binding.codes_range(prefix, start, stop) for start, stop in ranges]
        pieces: Pieces = [(0, prefix)]
        pieces += yield from self._get_after(
            pieces, [(0, sections.crack_codes), *codes, (sections.checksums, sections.end)]
        )
        head = cut(pieces, 0, sections.crack_codes)
        tail = cut(pieces, sections.checksums, sections.end)
        return [
            (_binding.Reader.from_parts(head, cut(pieces, *span), start, tail), start, stop)
            for (start, stop), span in zip(ranges, codes, strict=True)
        ]

    # -----------------------------------------------------------------------------------
    # Labels

    def table(self, reader: _binding.Reader, verify: bool = True) -> npt.NDArray[Any]:
        """The label table as the array's labels, in stored order: entries may repeat after a mapping."""
        return renamed(self.layout, reader.table(verify))


def first_nbytes(layout: Layout, coords: Coords) -> int:
    """How many bytes of a chunk the first request for its labels asks for."""
    least = _FIRST_OF_FILE if reads_files(layout.store) else FIRST_REQUEST
    return max(least, _binding.prefix_nbytes(layout.volume_shape(coords)[2]) + 16)


def check_chunk_header(layout: Layout, coords: Coords, header: CrackleHeader) -> None:
    """Raise FormatError if a stream does not fit a chunk of the array."""
    check_header(header, layout.stored_shape(coords), layout.array.dtype)


def renamed(layout: Layout, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A stream's label table as labels of the array: in its byte order, and mapped if a view maps them."""
    if layout.chain is not None and layout.chain.byteswapped:
        table = table.byteswap()
    return table if layout.mapping is None else layout.mapping.renamed(table)


def chunks_of(layout: Layout, coords: Sequence[Coords], box: Box) -> list[Chunk]:
    """Chunks for a question about a box; all in one shard if there are shards."""
    index = index_of(layout, coords)
    return [chunk_at(layout, one, box, index) for one in coords]


def index_of(layout: Layout, coords: Sequence[Coords]) -> npt.NDArray[np.uint64] | None:
    """The index of the shard with some chunks; None if there are no shards, or not this one."""
    if layout.shards is None or layout.chain is None or not coords:
        return None
    return drive(layout.store, [shard_index(layout, layout.object_coords(coords[0]))])[0]


def chunk_at(layout: Layout, coords: Coords, box: Box, index: npt.NDArray[np.uint64] | None) -> Chunk:
    """A chunk for a question about a box, with what :func:`index_of` gave."""
    part = common(common(layout.chunk_box(coords), layout.everything), box)
    if layout.shards is None or layout.chain is None:
        return Chunk(layout, coords, part)
    if index is None:
        return Chunk(layout, coords, part, absent=True)
    offset, nbytes = map(int, index[layout.shards.place(coords)])
    absent = offset == NOWHERE and nbytes == NOWHERE
    return Chunk(layout, coords, part, None if absent else (offset, nbytes), absent)
