"""From a store to the parts of a chunk's stream that a question needs.

What is to be fetched next depends on what has come: the header says where the labels are, the labels in which
slices to look. And a store that is far away wants many requests at once. So a question to a chunk is written
as a generator that yields byte ranges and is sent their bytes, and :func:`drive` runs the generators of some
chunks side by side: all ranges that they wait for go to the store together, and between two such rounds
the questions compute in the caller's thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs.compat import ensure_bytes  # type: ignore[import-untyped]
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

from .. import _binding
from .._base.header import CrackleHeader
from ..codecs.chunk import as_volume, check_header, label_dtype, plain
from ..errors import CrackleError, FormatError, StoreError
from ..streams.ranges import FIRST_REQUEST, Ranges, cut, join, requests_for, truncated
from .layout import Box, Coords, Layout, Run, box_text, common, num_voxels, runs_of, slices_of, stream_axes

try:
    from zarr.dtype import UInt64

    _UINT64: Any = UInt64(endianness="little")
except ImportError:  # before zarr 3.1, data types are NumPy's
    _UINT64 = np.dtype("<u8")

T = TypeVar("T")
Bytes: TypeAlias = npt.NDArray[np.uint8]
Pieces: TypeAlias = list[tuple[int, Bytes]]  # of a stream: where each begins, and its bytes; ascending

# Requests of one task that are under way at once.
CONCURRENCY = 16

# What a reader decodes as one range of slices though it was asked for more than one.
_WORTH_A_CALL = 4


class Wanted(NamedTuple):
    """A range of an object in the store.

    Without ``stop`` it is all of the object; a negative ``start`` means that many bytes at its end.
    """

    key: str
    start: int = 0
    stop: int | None = None


# A question under way: it yields what it needs and is sent the bytes, None where there is no such object.
Steps: TypeAlias = Generator[list[Wanted], list[Bytes | None], T]


# ---------------------------------------------------------------------------------------
# Running questions


def drive(store: Store, questions: Sequence[Steps[T]]) -> list[T]:
    """Run some questions side by side to their ends, and return their answers in order."""
    answers: dict[int, T] = {}
    waiting: dict[int, list[Wanted]] = {}
    for number, question in enumerate(questions):
        _advance(number, question, None, waiting, answers)
    while waiting:
        numbers = list(waiting)
        asked = [waiting.pop(number) for number in numbers]
        came = iter(fetch(store, [wanted for batch in asked for wanted in batch]))
        for number, batch in zip(numbers, asked, strict=True):
            _advance(number, questions[number], [next(came) for _ in batch], waiting, answers)
    return [answers[number] for number in range(len(questions))]


def _advance(
    number: int,
    question: Steps[T],
    sent: list[Bytes | BaseException | None] | None,
    waiting: dict[int, list[Wanted]],
    answers: dict[int, T],
) -> None:
    try:
        if sent is None:
            waiting[number] = next(question)
        else:
            for came in sent:
                if isinstance(came, BaseException):
                    question.throw(came)
            waiting[number] = question.send(sent)  # type: ignore[arg-type]  # no exceptions are left
    except StopIteration as end:
        answers[number] = end.value


def fetch(store: Store, wanted: Sequence[Wanted]) -> list[Bytes | BaseException | None]:
    """Get ranges from a store; an exception stands in the place of what could not be got."""
    if not wanted:
        return []
    if isinstance(store, LocalStore) and _is_itself(store, "get", "get_sync") and hasattr(os, "pread"):
        return _from_files(store, wanted)
    if is_quick(store, "get"):
        return [_get_now(store, one) for one in wanted]
    return sync(_get_all(store, wanted))


# Zarr's own methods. A class derived from these stores, or patched, may do something else, and is asked.
_METHODS = ("get", "get_sync", "set", "set_sync", "delete", "delete_sync")
_OWN = {kind: {name: getattr(kind, name, None) for name in _METHODS} for kind in (LocalStore, MemoryStore)}


def _is_itself(store: Store, *methods: str) -> bool:
    return any(
        isinstance(store, kind) and all(getattr(type(store), name, None) is own[name] for name in methods)
        for kind, own in _OWN.items()
    )


def is_quick(store: Store, method: str) -> bool:
    """Whether a store is a disk or memory, whose methods zarr 3.1.6 and later offer without an event loop."""
    return hasattr(store, f"{method}_sync") and _is_itself(store, method)


def unwrapped(store: Any) -> Any:
    """The store within all wrappers, to ask what kind it is."""
    while hasattr(store, "_store"):
        store = store._store
    return store


def _from_files(store: LocalStore, wanted: Sequence[Wanted]) -> list[Bytes | BaseException | None]:
    """What a LocalStore would give, at a third of its cost: each file is opened once for all of its ranges.

    To list labels is to read many small ranges, and opening files for them was most of the time.
    """
    root = os.fspath(store.root)
    came: list[Bytes | BaseException | None] = []
    opened: dict[str, int] = {}
    try:
        for one in wanted:
            try:
                if one.key not in opened:
                    opened[one.key] = os.open(f"{root}/{one.key}", os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                came.append(_read(opened[one.key], one))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                came.append(None)
            except Exception as error:
                came.append(_named(error, store, one.key))
    finally:
        for file in opened.values():
            os.close(file)
    return came


def _read(file: int, wanted: Wanted) -> Bytes:
    start, stop = wanted.start, wanted.stop
    if stop is None:
        stop = os.fstat(file).st_size
        start = max(0, stop + start) if start < 0 else start
    parts = []
    while start < stop:
        part = os.pread(file, stop - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype=np.uint8)


def _request(wanted: Wanted) -> ByteRequest | None:
    if wanted.start < 0:
        return SuffixByteRequest(-wanted.start)
    return None if wanted.stop is None else RangeByteRequest(wanted.start, wanted.stop)


def _get_now(store: Any, wanted: Wanted) -> Bytes | BaseException | None:
    try:
        buffer = store.get_sync(wanted.key, prototype=default_buffer_prototype(), byte_range=_request(wanted))
    except Exception as error:
        return _named(error, store, wanted.key)
    return _checked(store, buffer, wanted)


async def _get_all(store: Store, wanted: Sequence[Wanted]) -> list[Bytes | BaseException | None]:
    at_once = asyncio.Semaphore(CONCURRENCY)

    async def get(one: Wanted) -> Bytes | BaseException | None:
        try:
            async with at_once:
                buffer = await store.get(one.key, default_buffer_prototype(), _request(one))
        except Exception as error:
            return _named(error, store, one.key)
        return _checked(store, buffer, one)

    return list(await asyncio.gather(*map(get, wanted)))


def _checked(store: Store, buffer: Buffer | None, wanted: Wanted) -> Bytes | BaseException | None:
    if buffer is None:
        return None
    came = np.asarray(buffer.as_numpy_array()).view(np.uint8)
    asked = -wanted.start if wanted.start < 0 else None if wanted.stop is None else wanted.stop - wanted.start
    if asked is None or len(came) <= asked:
        return came
    # A server that knows no ranges sends all there is. It is not asked again, but nothing is wrong.
    return came[wanted.start : wanted.stop]


def _named(error: Exception, store: Store, key: str) -> BaseException:
    if isinstance(error, MemoryError | CrackleError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    named = StoreError(f"{key} cannot be read from {store}: {type(error).__name__}: {reason}")
    named.__cause__ = error
    return named


# ---------------------------------------------------------------------------------------
# One chunk


@dataclass
class Chunk:
    """A chunk that is being asked about, and what of its stream has come.

    Attributes:
        layout: of the array.
        coords: its index in the grid of chunks.
        box: the part of it that is asked about.
        span: where it lies within its object; None: it is the object.
        absent: a shard's index says that there is no such chunk.
    """

    layout: Layout
    coords: Coords
    box: Box
    span: tuple[int, int] | None = None
    absent: bool = False

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self.key = self.layout.path(self.layout.key(self.coords))
        self.stored = self.layout.chunk_box(self.coords)
        self._whole: _binding.Reader | None = None
        self._labels: _binding.Reader | None = None
        self._sections: _binding.Layout | None = None
        self._prefix: Bytes | None = None  # all before the Markov model
        self.nbytes_read = 0
        if self.layout.chain is None:
            # Decoded by Zarr and encoded anew: the stream is of what is asked about, and no more.
            self.stored, self.axes = self.box, tuple(range(len(self.box)))
        else:
            self.axes = self.layout.chain.axes

    @property
    def is_whole(self) -> bool:
        """Whether all of the chunk is asked about, and all of it lies within the array."""
        return self.box == self.stored

    @property
    def runs(self) -> list[Run]:
        """What is asked about, in the stream."""
        return runs_of(self.stored, self.box, self.axes)

    @property
    def stream_axes(self) -> tuple[int | None, int | None, int | None]:
        """The array's axes along which x, y and z go."""
        return stream_axes(self.axes)

    def failed(self, error: FormatError) -> FormatError:
        """An error that says which chunk it is about."""
        where = self.key if self.span is None else f"{self.key} (chunk {self.coords})"
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
        """All of the stream; None where there is no such chunk."""
        if self._whole is None:
            if self.layout.chain is None:
                self._whole = _binding.Reader(encode(decoded(self.layout, self.box, self.key)))
            else:
                raw = yield from self.raw()
                if raw is None:
                    return None
                self._take_whole(raw)
        return self._whole

    def raw(self) -> Steps[Bytes | None]:
        """The bytes of the stored chunk."""
        (came,) = yield from self._get([(0, None)])
        if came is not None and self.span is not None and len(came) != self.span[1]:
            raise FormatError(f"it ends after {len(came)} of {self.span[1]} bytes in its shard")
        return came

    def _take_whole(self, raw: Bytes) -> None:
        reader = _binding.Reader(undo(self.layout, raw))
        self._check(reader.header)
        self._whole = reader

    def _check(self, header: CrackleHeader) -> None:
        check_chunk_header(self.layout, header)

    def labels(self, verify: bool = True) -> Steps[_binding.Reader | None]:
        """A reader that can be asked about the label table; None where there is no such chunk.

        Args:
            verify: verify the checksum of the labels, for which all of their section is needed. Without it,
                the reader knows no more than the table.
        """
        if self._labels is not None:
            return self._labels
        chain = self.layout.chain
        if self._whole is not None or chain is None or chain.outer:
            return (yield from self.whole())
        first_nbytes = max(FIRST_REQUEST, _binding.prefix_nbytes(self.layout.volume_shape[2]) + 16)
        (prefix,) = yield from self._get([(0, first_nbytes)])
        if prefix is None:
            return None
        if len(prefix) < first_nbytes or (self.span is not None and len(prefix) == self.span[1]):
            self._take_whole(prefix)
            return self._whole
        header = _binding.read_header(prefix)
        self._check(header)
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
        """What is missing of some ranges where ``pieces``, which hang together, are here."""
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
        """Readers of ranges of slices, in order; None where there is no such chunk.

        No range is left out. Ranges that lie close to each other may come as one.
        """
        ranges = join(ranges, _WORTH_A_CALL)
        if self._whole is None and self._labels is None:
            sz = self.layout.volume_shape[2]
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


def check_chunk_header(layout: Layout, header: CrackleHeader) -> None:
    """Raise FormatError where a stream is not one of a chunk of this array."""
    check_header(header, layout.stored_shape, layout.array.dtype)


def renamed(layout: Layout, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A stream's label table as labels of the array, as they are to be read."""
    if layout.chain is not None and layout.chain.byteswapped:
        table = table.byteswap()
    return table if layout.mapping is None else layout.mapping.renamed(table)


def chunks_of(layout: Layout, coords: Sequence[Coords], box: Box) -> list[Chunk]:
    """Chunks ready to be asked about what of them lies in a box; of one shard, if there are shards."""
    asked = [(one, common(common(layout.chunk_box(one), layout.everything), box)) for one in coords]
    if layout.shards is None or layout.chain is None or not asked:
        return [Chunk(layout, one, part) for one, part in asked]
    index = drive(layout.store, [shard_index(layout, layout.object_coords(coords[0]))])[0]
    if index is None:
        return [Chunk(layout, one, part, absent=True) for one, part in asked]
    made = []
    for one, part in asked:
        offset, nbytes = map(int, index[layout.place_in_shard(one)])
        absent = offset == NOWHERE and nbytes == NOWHERE
        made.append(Chunk(layout, one, part, None if absent else (offset, nbytes), absent))
    return made


# ---------------------------------------------------------------------------------------
# Shards

NOWHERE = 2**64 - 1


def index_spec(layout: Layout) -> ArraySpec:
    """What a shard's index is, to the codecs that it has."""
    assert layout.shards is not None
    return ArraySpec(
        shape=(*layout.shards.chunks, 2),
        dtype=_UINT64,
        fill_value=np.uint64(NOWHERE),
        config=ArrayConfig(order="C", write_empty_chunks=False),
        prototype=default_buffer_prototype(),
    )


def index_nbytes(layout: Layout) -> int:
    """How many bytes the index of a shard has."""
    assert layout.shards is not None
    spec = index_spec(layout)
    nbytes = 16 * int(np.prod(layout.shards.chunks))
    for codec in layout.shards.codec.index_codecs:
        nbytes = codec.compute_encoded_size(nbytes, spec)
    return nbytes


def shard_index(layout: Layout, coords: Coords) -> Steps[npt.NDArray[np.uint64] | None]:
    """Offset and length of every chunk of a shard; None where there is no shard."""
    assert layout.shards is not None
    key = layout.path(layout.array.metadata.encode_chunk_key(coords))
    nbytes = index_nbytes(layout)
    at_start = layout.shards.codec.index_location.value == "start"
    (came,) = yield [Wanted(key, 0, nbytes) if at_start else Wanted(key, -nbytes)]
    if came is None:
        return None
    if len(came) != nbytes:
        raise FormatError(f"shard {key}: it has {len(came)} bytes, and its index alone needs {nbytes}")
    return decode_index(layout, came, key)


def decode_index(layout: Layout, raw: Bytes, key: str) -> npt.NDArray[np.uint64]:
    """The index of a shard from its bytes."""
    assert layout.shards is not None
    value: Any = default_buffer_prototype().buffer.from_array_like(raw)
    try:
        for codec in reversed(layout.shards.codec.index_codecs):
            (value,) = sync(codec.decode([(value, index_spec(layout))]))
    except Exception as error:
        raise FormatError(f"shard {key}: its index is damaged: {error}") from error
    return np.asarray(value.as_numpy_array()).astype(np.uint64)


def encode_index(layout: Layout, index: npt.NDArray[np.uint64]) -> bytes:
    """The bytes of a shard's index."""
    assert layout.shards is not None
    value: Any = default_buffer_prototype().nd_buffer.from_numpy_array(index)
    for codec in layout.shards.codec.index_codecs:
        (value,) = sync(codec.encode([(value, index_spec(layout))]))
    return bytes(value.to_bytes())


# ---------------------------------------------------------------------------------------
# Codecs around Crackle


def _chunk_spec(layout: Layout) -> ArraySpec:
    # The codecs behind Crackle see bytes, and none of them asks what is in the chunk.
    return ArraySpec(
        shape=layout.chunks,
        dtype=layout.array.metadata.dtype,
        fill_value=layout.array.fill_value,
        config=ArrayConfig(order="C", write_empty_chunks=False),
        prototype=default_buffer_prototype(),
    )


def undo(layout: Layout, raw: Bytes) -> Any:
    """The stream of a chunk from its bytes in the store."""
    assert layout.chain is not None
    if not layout.chain.outer:
        return raw
    try:
        if layout.array.metadata.zarr_format == 2:
            value: Any = raw
            for codec in reversed(layout.chain.outer):
                value = codec.decode(value)
            return value
        value = default_buffer_prototype().buffer.from_array_like(raw)
        for codec in reversed(layout.chain.outer):
            (value,) = sync(codec.decode([(value, _chunk_spec(layout))]))
        return value.as_numpy_array()
    except (CrackleError, MemoryError):
        raise
    except Exception as error:  # every codec has exceptions of its own for damaged bytes
        named = " ".join(str(error).split())
        raise FormatError(f"it cannot be decompressed: {type(error).__name__}: {named}") from error


def redo(layout: Layout, stream: bytes) -> bytes:
    """The bytes of a chunk in the store from its stream."""
    assert layout.chain is not None
    value: Any = stream
    if layout.array.metadata.zarr_format == 2:
        for codec in layout.chain.outer:
            value = codec.encode(value)
        return bytes(ensure_bytes(value))
    value = default_buffer_prototype().buffer.from_bytes(stream)
    for codec in layout.chain.outer:
        (value,) = sync(codec.encode([(value, _chunk_spec(layout))]))
    return bytes(value.to_bytes())


def decoded(layout: Layout, box: Box, key: str) -> npt.NDArray[Any]:
    """Voxels of an object as Zarr reads and decodes them, as native integers in C order."""
    try:
        return _voxels(layout.array, box, layout.native)
    except (CrackleError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"{key} of {layout.name}: the voxels {box_text(box)} cannot be read: "
            f"{type(error).__name__}: {reason}"
        ) from error


def decoded_object(layout: Layout, key: str, raw: Bytes | None, box: Box) -> npt.NDArray[Any]:
    """Voxels of an object as Zarr decodes them from its bytes, as native integers in C order.

    Args:
        layout: of the array.
        key: of the object within the array.
        raw: the object; None: there is none.
        box: the voxels, all of them of this object.
    """
    objects = dict(layout.array.metadata.to_buffer_dict(default_buffer_prototype()))
    if raw is not None:
        objects[key] = default_buffer_prototype().buffer.from_array_like(raw)
    try:
        return _voxels(scratch_array(layout, objects), box, layout.native)
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise FormatError(
            f"chunk {layout.path(key)}: it cannot be decoded: {type(error).__name__}: {reason}"
        ) from error


def scratch_array(layout: Layout, objects: dict[str, Buffer]) -> zarr.Array[Any]:
    """An array in memory, encoded as a stored one is, of its metadata and some of its chunks."""
    return zarr.open_array(
        MemoryStore(objects),
        mode="r+",
        zarr_format=layout.array.metadata.zarr_format,
        config={"write_empty_chunks": layout.writes_empty_chunks},
    )


def _voxels(array: zarr.Array[Any], box: Box, native: np.dtype[Any]) -> npt.NDArray[Any]:
    if num_voxels(box) == 0:
        return np.empty([stop - start for start, stop in box], dtype=native)
    voxels = np.asarray(array[slices_of(box)])
    chunk = plain(voxels).astype(label_dtype(voxels.dtype), copy=False)
    return np.ascontiguousarray(chunk).reshape(voxels.shape)


def encode(chunk: npt.NDArray[Any], **options: Any) -> bytes:
    """The stream of a C-order chunk, as the codecs make it."""
    return _binding.encode(as_volume(chunk), fortran_order=True, parallel=1, **options)
