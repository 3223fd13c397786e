"""A scale of a precomputed volume as a store of Zarr: its keys are those of an array of the axes z, y, x.

Chunks of the encoding ``crackle`` are passed on as they are. Those that the far edges of the volume cut are
padded with 0, as Zarr has them. Chunks of other encodings are shown as voxels.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.storage import LocalStore

from .. import _binding
from .._base import zarr_facts
from .._base.zarr_facts import Buffer, BufferPrototype
from ..errors import FormatError
from ..files.volumes import UnusableError
from ..stored.writing import translated_errors
from . import encodings
from .info import Info, Scale
from .sharding import Spans, morton, unpacked

_GZIP = b"\x1f\x8b"
# How many edge chunks are kept, and how many minishard indexes.
_KEPT_CHUNKS = 16
_KEPT_INDEXES = 4096
# The size of a shard is asked before more bytes are read at once: a damaged index may claim any number.
_CREDIBLE = 2**26


class ScaleStore(Store):
    """A store that shows one scale.

    Args:
        source: the store of the volume.
        info: the volume.
        scale: of the volume.
        place: the volume's name in messages.
        metadata: the objects that make the store an array of Zarr.
        read_only: whether chunks may be written.
    """

    def __init__(
        self,
        source: Store,
        info: Info,
        scale: Scale,
        place: str,
        metadata: Mapping[str, bytes],
        *,
        read_only: bool = True,
    ) -> None:
        super().__init__(read_only=read_only)
        self._is_open = True
        # Under this name, other modules find what a store wraps.
        self._store = source
        self.info, self.scale, self.place = info, scale, place
        self._metadata = dict(metadata)
        self._segmentations = encodings.LateSegmentations(info, scale)
        self._edges: OrderedDict[tuple[int, ...], bytes] = OrderedDict()
        self._spans: OrderedDict[tuple[str, int], Spans] = OrderedDict()
        self._compressed = self._encoded_again = False

    def __str__(self) -> str:
        """The volume and the scale."""
        return f"{self.place}/{self.scale.key}"

    def __repr__(self) -> str:
        """The volume and the scale."""
        return f"ScaleStore({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` shows the same scale of the same volume."""
        return isinstance(other, ScaleStore) and (self._store, self.info, self.scale) == (
            other._store,
            other.info,
            other.scale,
        )

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without what was read."""
        return self.__dict__ | {"_edges": OrderedDict(), "_spans": OrderedDict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle."""
        self.__dict__.update(state)

    def with_read_only(self, read_only: bool = False) -> ScaleStore:
        """The same store; a volume that was opened for reading cannot be written."""
        if not read_only and self.read_only:
            raise UnusableError(f"{self.place} is read only: convert it to Zarr to edit it")
        return self

    # -----------------------------------------------------------------------------------
    # Names

    def _cell(self, key: str) -> tuple[int, ...] | None:
        """The index (x, y, z) of a chunk; None for metadata."""
        if not key.startswith("c/"):
            return None
        return tuple(int(index) for index in key.split("/")[:-4:-1])

    def _is_whole(self, cell: tuple[int, ...]) -> bool:
        return self.scale.shape(cell) == self.scale.chunk

    def _shape(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of voxels in Zarr's axes, with channels if there are several."""
        return (*((self.info.channels,) if self.info.channels > 1 else ()), *lengths[::-1])

    def _object(self, cell: tuple[int, ...]) -> str:
        return f"{self.scale.key}/{self.scale.name(cell)}"

    def object_name(self, key: str) -> str:
        """The name of the file of a chunk, or of the chunk within its shard."""
        cell = self._cell(key)
        return key if cell is None else self._object(cell)

    # -----------------------------------------------------------------------------------
    # Reading

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The metadata, a stream, or voxels in memory order; or a range of them."""
        cell = self._cell(key)
        if cell is None:
            found = self._metadata.get(key)
            return None if found is None else zarr_facts.buffer_of(zarr_facts.cut(found, byte_range))
        try:
            value = await self._shown(cell, byte_range)
        except FormatError as error:
            raise FormatError(
                f"{self._object(cell)} in {self.place}: {error}", error.section, error.slice
            ) from error
        return None if value is None else zarr_facts.buffer_of(value)

    async def _shown(self, cell: tuple[int, ...], byte_range: ByteRequest | None) -> bytes | None:
        if self.scale.encoding == "crackle" and self._is_whole(cell) and not self._encoded_again:
            part = await self._part(cell, byte_range)
            first = byte_range is None or _starts_at_0(byte_range)
            if part is None or not first or self._fits(part):
                return part
            self._encoded_again = True  # from now on, ranges are cut out of whole streams
        if cell in self._edges:
            self._edges.move_to_end(cell)
            return zarr_facts.cut(self._edges[cell], byte_range)
        raw = await self._part(cell, None)
        if raw is None:
            return None
        shown = await asyncio.to_thread(self._padded, raw, cell)
        if self.scale.encoding == "crackle":
            self._edges[cell] = shown
            while len(self._edges) > _KEPT_CHUNKS:
                self._edges.popitem(last=False)
        return zarr_facts.cut(shown, byte_range)

    def _fits(self, part: bytes) -> bool:
        """Whether a stream of a whole chunk has the type of the volume, so that it is passed on as it is."""
        return _binding.read_header(part).dtype == self.info.dtype

    def _padded(self, raw: bytes, cell: tuple[int, ...]) -> bytes:
        """A chunk as Zarr has it, from its bytes."""
        shape = self._shape(self.scale.shape(cell))
        voxels: npt.NDArray[Any]
        if self.scale.encoding == "crackle":
            if self._is_whole(cell) and self._fits(raw):
                return raw
            voxels = self._typed(encodings.from_stream(raw, shape))
        elif self.scale.encoding == "raw":
            voxels = encodings.from_raw(raw, shape, self.info.dtype)
        else:
            voxels = self._segmentations.get().decode(raw, cell).reshape(shape)
        if not self._is_whole(cell):
            whole = np.zeros(self._shape(self.scale.chunk), self.info.dtype)
            whole[tuple(slice(0, length) for length in shape)] = voxels
            voxels = whole
        return (
            encodings.to_stream(voxels, like=raw)
            if self.scale.encoding == "crackle"
            else encodings.to_raw(voxels)
        )

    def _typed(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels in the volume's type, if it holds them: a writer may have made a stream narrower."""
        typed = voxels.astype(self.info.dtype, copy=False)
        if typed.dtype != voxels.dtype and not np.array_equal(typed, voxels):
            raise FormatError(
                f"the Crackle stream has labels of {voxels.dtype} that {self.info.dtype} cannot hold"
            )
        return typed

    async def _part(self, cell: tuple[int, ...], byte_range: ByteRequest | None) -> bytes | None:
        """The bytes of a chunk as it is encoded, or a range of them; None: there is no such chunk."""
        if self.scale.sharding is not None:
            return await self._in_shard(cell, byte_range)
        if self._compressed:
            return zarr_facts.cut(await self._whole(cell), byte_range)
        name = self._object(cell)
        part = await self._read(name, byte_range)
        if part is None and await self._has_packed(name):
            return zarr_facts.cut(await self._whole(cell), byte_range)
        if part is not None and part[:2] == _GZIP and self._is_packed(part, cell, byte_range):
            self._compressed = True  # from now on, ranges are cut out of whole chunks
            return zarr_facts.cut(await self._whole(cell), byte_range)
        return part

    def _is_packed(self, part: bytes, cell: tuple[int, ...], byte_range: ByteRequest | None) -> bool:
        """Whether bytes that look like gzip are; raw voxels of this beginning have their full length."""
        if byte_range is not None and not _starts_at_0(byte_range):
            return False
        voxels = int(np.prod(self.scale.shape(cell), dtype=object)) * self.info.channels
        return self.scale.encoding != "raw" or len(part) != voxels * self.info.dtype.itemsize

    async def _has_packed(self, name: str) -> bool:
        """Whether a chunk lies under its name with .gz, as cloud-volume writes it on disk."""
        if not isinstance(zarr_facts.unwrapped(self._store), LocalStore):
            return False  # elsewhere, the compression is part of the object's metadata
        for suffix in (".br", ".zst", ".zstd", ".xz", ".bz2"):
            if await self._store.exists(name + suffix):
                raise UnusableError(
                    f"{name}{suffix} in {self.place}: chunks are read plain or within gzip, not {suffix}"
                )
        self._compressed = await self._store.exists(name + ".gz")
        return self._compressed

    async def _whole(self, cell: tuple[int, ...]) -> bytes | None:
        """The bytes of a chunk without gzip."""
        name = self._object(cell)
        raw = await self._read(name, None)
        if raw is None and isinstance(zarr_facts.unwrapped(self._store), LocalStore):
            raw = await self._read(name + ".gz", None)
        if raw is None or raw[:2] != _GZIP or not self._is_packed(raw, cell, None):
            return raw
        return await asyncio.to_thread(unpacked, raw, "gzip", "the chunk")

    async def _in_shard(self, cell: tuple[int, ...], byte_range: ByteRequest | None) -> bytes | None:
        sharding = self.scale.sharding
        assert sharding is not None
        number = morton(cell, self.scale.grid)
        file, minishard = sharding.place(number)
        name = f"{self.scale.key}/{file}"
        try:
            spans = await self._minishard(name, minishard)
            if number not in spans:
                return None
            start, stop = spans[number]
            first, last = start, stop
            if byte_range is not None and sharding.data_encoding == "raw":
                first, last = zarr_facts.range_bounds(byte_range, start, stop)
            raw = await self._range(name, first, last)
        except FormatError as error:
            raise FormatError(f"shard {file}: {error}") from error
        if sharding.data_encoding == "raw":
            return raw
        return zarr_facts.cut(await asyncio.to_thread(unpacked, raw, "gzip", "the chunk"), byte_range)

    async def _minishard(self, name: str, minishard: int) -> Spans:
        """The chunks of a minishard; none if there is no shard."""
        sharding = self.scale.sharding
        assert sharding is not None
        found = self._spans.get((name, minishard))
        if found is None:
            head = await self._read(name, RangeByteRequest(16 * minishard, 16 * minishard + 16))
            if head is None:
                return {}
            start, stop = sharding.minishard_span(head)
            raw = await self._range(name, start, stop)
            found = sharding.spans(raw) if raw else {}
            self._spans[name, minishard] = found
            while len(self._spans) > _KEPT_INDEXES:
                self._spans.popitem(last=False)
        return found

    async def _range(self, name: str, start: int, stop: int) -> bytes:
        """A range of a shard, which has to be there."""
        if start >= stop:
            return b""
        if stop - start > _CREDIBLE:
            with translated_errors(self.place, name, "read from"):
                nbytes = await self._store.getsize(name)
            if stop > nbytes:
                raise FormatError(f"it has {nbytes} bytes, and its index names byte {stop}")
        raw = await self._read(name, RangeByteRequest(start, stop))
        if raw is None or len(raw) != stop - start:
            raise FormatError(f"it is truncated before byte {stop}")
        return raw

    async def _read(self, name: str, byte_range: ByteRequest | None) -> bytes | None:
        with translated_errors(self.place, name, "read from"):
            buffer = await self._store.get(name, zarr_facts.prototype(), byte_range)
        if buffer is None:
            return None
        raw = bytes(buffer.to_bytes())
        if isinstance(byte_range, RangeByteRequest) and len(raw) > byte_range.end - byte_range.start:
            return raw[byte_range.start : byte_range.end]  # a server without ranges sends all
        return raw

    # -----------------------------------------------------------------------------------
    # Writing

    async def set(self, key: str, value: Buffer, byte_range: tuple[int, int] | None = None) -> None:
        """Write metadata, which stay in memory, or a chunk."""
        raw = bytes(value.to_bytes())
        cell = self._cell(key)
        if cell is None:
            self._metadata[key] = raw
            return
        self._check_writable()
        self._edges.pop(cell, None)
        raw = await asyncio.to_thread(self._encoded, raw, cell)
        with translated_errors(self.place, self._object(cell), "written to"):
            await self._store.set(self._object(cell), zarr_facts.buffer_of(raw))

    def _encoded(self, raw: bytes, cell: tuple[int, ...]) -> bytes:
        """A chunk as the format has it, from Zarr's."""
        whole, shape = self._shape(self.scale.chunk), self._shape(self.scale.shape(cell))
        box = tuple(slice(0, length) for length in shape)
        if self.scale.encoding == "crackle":
            if self._is_whole(cell):
                return raw
            return encodings.to_stream(encodings.from_stream(raw, whole)[box], like=raw)
        voxels = encodings.from_raw(raw, whole, self.info.dtype)[box]
        if self.scale.encoding == "raw":
            return encodings.to_raw(voxels)
        channels = voxels if self.info.channels > 1 else voxels[np.newaxis]
        return self._segmentations.get().encode(channels.astype(self.info.dtype), cell)

    async def delete(self, key: str) -> None:
        """Delete metadata or a chunk."""
        cell = self._cell(key)
        if cell is None:
            self._metadata.pop(key, None)
            return
        self._check_writable()
        self._edges.pop(cell, None)
        with translated_errors(self.place, self._object(cell), "deleted from"):
            await self._store.delete(self._object(cell))

    # -----------------------------------------------------------------------------------
    # The rest of a store

    @property
    def supports_writes(self) -> bool:
        """Whether chunks can be written."""
        return not self.read_only

    @property
    def supports_deletes(self) -> bool:
        """Whether chunks can be deleted."""
        return not self.read_only

    @property
    def supports_partial_writes(self) -> Literal[False]:
        """Chunks are written whole."""
        return False

    @property
    def supports_listing(self) -> bool:
        """Whether chunks are listed: they are not."""
        return False

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        return await self.get(key) is not None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Ranges of objects."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Refuse to write parts."""
        raise NotImplementedError("chunks of precomputed volumes are written whole")

    async def list(self) -> AsyncIterator[str]:
        """The metadata."""
        for key in list(self._metadata):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The metadata with a prefix."""
        for key in self._metadata:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The metadata, which have no folders."""
        if not prefix:
            for key in self._metadata:
                yield key

    async def getsize_prefix(self, prefix: str) -> int:
        """How many bytes the chunks have in the store."""
        return await self._store.getsize_prefix(self.scale.key)


# ---------------------------------------------------------------------------------------
# Byte ranges


def _starts_at_0(byte_range: ByteRequest) -> bool:
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start == 0
    return isinstance(byte_range, OffsetByteRequest) and byte_range.offset == 0
