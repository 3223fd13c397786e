"""All uses of Zarr's internals in this package, each with the versions that differ.

Zarr's public interface is small: it has arrays, groups, stores and codecs, but not the metadata of an array,
the index of a shard, the event loop or the buffers. Only this module uses them, so a new version of Zarr
needs changes here alone. Other modules directly use the names that every supported version exports:
``zarr.open_array``, ``zarr.abc``, ``zarr.codecs``, ``zarr.storage.LocalStore`` and ``MemoryStore``.

Tested versions: 3.0.8, 3.1.6, 3.2.1, 3.3.0, 3.4.2. ``tests/oldest.txt`` has the first, and a fresh
installation has the last that its Python allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import sys
from collections.abc import Coroutine, Sequence
from types import FrameType
from typing import Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import Buffer, BufferPrototype, NDBuffer, default_buffer_prototype
from zarr.core.sync import _get_loop, sync
from zarr.core.sync import loop as zarr_loop
from zarr.storage import LocalStore, MemoryStore, StorePath
from zarr.storage._common import make_store_path

__all__ = ["ArraySpec", "Buffer", "BufferPrototype", "NDBuffer"]

T = TypeVar("T")


# ---------------------------------------------------------------------------------------
# Buffers and the event loop


def prototype() -> BufferPrototype:
    """The buffer types to request from a store."""
    return default_buffer_prototype()


def buffer_of(value: bytes | npt.NDArray[np.uint8]) -> Buffer:
    """Convert bytes to a buffer for a store."""
    kind = prototype().buffer
    return kind.from_bytes(value) if isinstance(value, bytes) else kind.from_array_like(value)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, run in Zarr's event loop. Ctrl-C ends the wait, not the coroutine."""
    return sync(coroutine)


def event_loop() -> asyncio.AbstractEventLoop:
    """Zarr's event loop, which runs in a thread of its own."""
    return _get_loop()


def end_pending() -> None:
    """Cancel what is under way in Zarr's event loop, and wait until it has ended.

    Of requests that go out together, the first that fails ends the call. The others stay behind, and as the
    process ends each of them prints a traceback.
    """
    loop = zarr_loop[0]
    if loop is None or not loop.is_running():
        return

    async def end() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with contextlib.suppress(TimeoutError):
        asyncio.run_coroutine_threadsafe(end(), loop).result(timeout=5)


# ---------------------------------------------------------------------------------------
# Arrays and their metadata


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Convert a data type of Zarr to NumPy's. Before 3.1, Zarr uses NumPy's."""
    native: np.dtype[Any] = np.dtype(dtype.to_native_dtype() if hasattr(dtype, "to_native_dtype") else dtype)
    return native


def format_of(array: zarr.Array[Any] | zarr.Group) -> Literal[2, 3]:
    """The format of an array or a group: 2 or 3."""
    return array.metadata.zarr_format


def dimension_names(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    """The names of an array's axes; None if it has none, as in format 2."""
    names = getattr(array.metadata, "dimension_names", None)
    return None if names is None else tuple(names)


def separator(array: zarr.Array[Any]) -> str | None:
    """The separator of the indices in a chunk's key: format 2 only."""
    return getattr(array.metadata, "dimension_separator", None)


def is_fortran(array: zarr.Array[Any]) -> bool:
    """Whether chunks are stored with the first axis fastest: format 2 only."""
    return getattr(array.metadata, "order", "C") == "F"


def codecs(array: zarr.Array[Any]) -> tuple[Any, ...]:
    """The codecs in the order of encoding; in format 2, the filters and the compressor of numcodecs."""
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        return tuple(codec for codec in (*(metadata.filters or ()), metadata.compressor) if codec is not None)
    return tuple(metadata.codecs)


def codec_json(codec: Any) -> dict[str, Any]:
    """The JSON of a codec of either format."""
    fields: dict[str, Any] = codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config()
    return fields


def chunk_key(array: zarr.Array[Any], index: Sequence[int]) -> str:
    """The key, relative to the array, of the object with this index in the grid of objects."""
    key: str = array.metadata.encode_chunk_key(tuple(index))
    return key


def object_lengths(array: zarr.Array[Any]) -> tuple[int | tuple[int, ...], ...]:
    """The lengths of the stored objects, which are shards if there are any, along each axis.

    One number along an axis whose objects all have this length; in a rectilinear grid, which 3.2 and later
    have, a tuple with the length of each.
    """
    if format_of(array) == 2:
        return tuple(array.chunks)
    grid: Any = array.metadata.chunk_grid
    lengths = getattr(grid, "chunk_shapes", None)
    return tuple(grid.chunk_shape if lengths is None else lengths)


def chunk_lengths(array: zarr.Array[Any]) -> tuple[int | tuple[int, ...], ...]:
    """The lengths of the chunks along each axis; see :func:`object_lengths`."""
    sharding = _sharding(array)
    return object_lengths(array) if sharding is None else tuple(sharding.chunk_shape)


def shard_lengths(array: zarr.Array[Any]) -> tuple[int | tuple[int, ...], ...] | None:
    """The lengths of the shards along each axis; None if there are none."""
    return None if _sharding(array) is None else object_lengths(array)


def chunk_shape(array: zarr.Array[Any]) -> tuple[int, ...]:
    """The shape of a chunk; in a rectilinear grid the longest length along each axis."""
    return _longest(chunk_lengths(array))


def shard_shape(array: zarr.Array[Any]) -> tuple[int, ...] | None:
    """The shape of a shard, as :func:`chunk_shape` gives that of a chunk; None if there are none."""
    lengths = shard_lengths(array)
    return None if lengths is None else _longest(lengths)


def _longest(lengths: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    return tuple(one if isinstance(one, int) else max(one) for one in lengths)


def _sharding(array: zarr.Array[Any]) -> Any:
    found = () if format_of(array) == 2 else codecs(array)
    return found[0] if len(found) == 1 and isinstance(found[0], ShardingCodec) else None


def metadata_objects(array: zarr.Array[Any]) -> dict[str, Buffer]:
    """The metadata objects of an array in a store, by their keys relative to the array."""
    return dict(array.metadata.to_buffer_dict(prototype()))


def metadata_of(array: zarr.Array[Any]) -> object:
    """All metadata as one object, to compare with the metadata of the same array at another time."""
    return array.metadata


def writes_empty_chunks(array: zarr.Array[Any]) -> bool:
    """Whether Zarr stores chunks that have only the fill value."""
    return bool(_config(array).write_empty_chunks)


def _config(array: zarr.Array[Any]) -> Any:
    # Array.config is new in 3.1.
    config: Any = getattr(array, "config", None)
    return config or array._async_array._config


def array_in(array: zarr.Array[Any], store: Store) -> zarr.Array[Any]:
    """The same array, read and written through another store, such as a wrapper of the array's store."""
    inner: Any = array._async_array
    place = StorePath(store, inner.store_path.path)
    return zarr.Array(type(inner)(metadata=inner.metadata, store_path=place, config=_config(array)))


def group_in(group: zarr.Group, store: Store) -> zarr.Group:
    """The same group, read and written through another store."""
    inner = group._async_group
    place = StorePath(store, inner.store_path.path)
    return zarr.Group(dataclasses.replace(inner, store_path=place))


def _drops_axes() -> bool:
    numbers = [int("".join(filter(str.isdigit, part)) or 0) for part in zarr.__version__.split(".")[:3]]
    return numbers >= [3, 1, 6]


_ZARR_DROPS_AXES = _drops_axes()


def axes_that_zarr_forgets_to_drop() -> tuple[int, ...]:
    """The axes that a codec has to drop after decoding a part of a chunk.

    For an axis with an integer, Zarr passes the codec an array of one element. Zarr drops these axes from a
    chunk that it decodes whole. Before 3.1.6 it does not drop them from a part that the codec decodes, and
    then fails to store the part. The codec's arguments do not show these axes, so this function reads them
    from a local variable of its caller in Zarr.
    """
    frame: FrameType | None = None if _ZARR_DROPS_AXES else sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "read_batch":
        frame = frame.f_back
    return () if frame is None else tuple(frame.f_locals.get("drop_axes", ()))


def filters_being_written() -> list[Any] | None:
    """The codecs of the format 2 array whose metadata Zarr is writing; None if it is not writing any.

    Neither numcodecs nor Zarr tells a codec about its neighbours. But Zarr requests the configuration of
    every codec from a method of the array's metadata, so this function looks for that method among its
    callers.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner: Any = frame.f_locals.get("self")
        if type(owner).__module__ == "zarr.core.metadata.v2":
            return [*(owner.filters or ()), owner.compressor]
        frame = frame.f_back
    return None


# ---------------------------------------------------------------------------------------
# Chunks and shards

# The offset and length in the index of a shard for a chunk that does not exist.
NOWHERE = 2**64 - 1


def index_is_at_start(codec: Any) -> bool:
    """Whether a shard begins with its index. Up to 3.3 its location is an enumeration, later a string."""
    location = codec.index_location
    return bool(getattr(location, "value", location) == "start")


def _uint64() -> Any:
    try:
        from zarr.dtype import UInt64
    except ImportError:  # before 3.1 data types are NumPy's
        return np.dtype("<u8")
    return UInt64(endianness="little")


def _index_spec(chunks_per_shard: tuple[int, ...]) -> ArraySpec:
    return ArraySpec(
        shape=(*chunks_per_shard, 2),
        dtype=_uint64(),
        fill_value=np.uint64(NOWHERE),
        config=ArrayConfig(order="C", write_empty_chunks=False),
        prototype=prototype(),
    )


def index_nbytes(codec: Any, chunks_per_shard: tuple[int, ...]) -> int:
    """The size of a shard's index in bytes."""
    nbytes = 16 * int(np.prod(chunks_per_shard))
    for inner in codec.index_codecs:
        nbytes = inner.compute_encoded_size(nbytes, _index_spec(chunks_per_shard))
    return nbytes


def decode_index(
    codec: Any, chunks_per_shard: tuple[int, ...], raw: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint64]:
    """The offset and length of every chunk of a shard; exceptions of the index's codecs pass through."""
    value: Any = buffer_of(raw)
    for inner in reversed(codec.index_codecs):
        (value,) = sync(inner.decode([(value, _index_spec(chunks_per_shard))]))
    return np.asarray(value.as_numpy_array()).astype(np.uint64)


def encode_index(codec: Any, index: npt.NDArray[np.uint64]) -> bytes:
    """The bytes of a shard's index."""
    value: Any = prototype().nd_buffer.from_numpy_array(index)
    for inner in codec.index_codecs:
        (value,) = sync(inner.encode([(value, _index_spec(index.shape[:-1]))]))
    return bytes(value.to_bytes())


def _chunk_spec(array: zarr.Array[Any]) -> ArraySpec:
    # Bytes-to-bytes codecs ignore it.
    return ArraySpec(
        shape=chunk_shape(array),
        dtype=array.metadata.dtype,
        fill_value=array.fill_value,
        config=ArrayConfig(order="C", write_empty_chunks=False),
        prototype=prototype(),
    )


def decode_bytes(array: zarr.Array[Any], outer: Sequence[Any], raw: npt.NDArray[np.uint8]) -> Any:
    """Undo bytes-to-bytes codecs, given in the order of encoding."""
    if format_of(array) == 2:
        value: Any = raw
        for codec in reversed(outer):
            value = codec.decode(value)
        return value
    value = buffer_of(raw)
    for codec in reversed(outer):
        (value,) = sync(codec.decode([(value, _chunk_spec(array))]))
    return value.as_numpy_array()


def encode_bytes(array: zarr.Array[Any], outer: Sequence[Any], raw: bytes) -> bytes:
    """Apply bytes-to-bytes codecs, given in the order of encoding."""
    value: Any = raw
    if format_of(array) == 2:
        from numcodecs.compat import ensure_bytes  # type: ignore[import-untyped]

        for codec in outer:
            value = codec.encode(value)
        return bytes(ensure_bytes(value))
    value = buffer_of(raw)
    for codec in outer:
        (value,) = sync(codec.encode([(value, _chunk_spec(array))]))
    return bytes(value.to_bytes())


# ---------------------------------------------------------------------------------------
# Stores


def store_at(place: Any) -> tuple[Store, str]:
    """The store, and the path within it, for a path, a URL, a store, or another place that Zarr accepts."""
    found: Any = sync(make_store_path(place, mode="a"))
    return found.store, found.path


def place_in(store: Store, path: str) -> StorePath:
    """A path within a store, as Zarr's functions take it."""
    return StorePath(store, path)


def node_at(store: Store, path: str) -> zarr.Array[Any] | zarr.Group | None:
    """The array or group at a path; None if there is none.

    Zarr looks for an array first, and then for a group. 3.0.8 takes an array that another process
    wrote in between for a group, and fails with an AssertionError.
    """
    try:
        try:
            return zarr.open(store, path=path, mode="r")
        except AssertionError:
            return zarr.open(store, path=path, mode="r")
    except FileNotFoundError:
        return None


def unwrapped(store: Any) -> Any:
    """The innermost store of nested wrappers."""
    while isinstance(inner := getattr(store, "_store", None), Store):  # Icechunk has something else there
        store = inner
    return store


def rewrapped(store: Any, innermost: Store) -> Any:
    """The same wrappers, as they are now, around another innermost store."""
    inner = getattr(store, "_store", None)
    if not isinstance(inner, Store):
        return innermost
    made = copy.copy(store)
    made._store = rewrapped(inner, innermost)
    return made


def memory_of(store: Any) -> int | None:
    """The identity of the memory of a MemoryStore; None for other stores.

    ``==`` does not identify it: two MemoryStores compare equal if they have equal objects, or are both empty.
    """
    return id(store._store_dict) if isinstance(store, MemoryStore) else None


# Zarr's own methods of these stores. A derived or patched class may behave differently, so callers use its
# methods and take no shortcut.
_METHODS = ("get", "get_sync", "set", "set_sync", "delete", "delete_sync")
_OWN = {kind: {name: getattr(kind, name, None) for name in _METHODS} for kind in (LocalStore, MemoryStore)}


def has_own_methods(store: Store, *methods: str) -> bool:
    """Whether a store is a LocalStore or a MemoryStore with Zarr's own methods."""
    return any(
        isinstance(store, kind) and all(getattr(type(store), name, None) is own[name] for name in methods)
        for kind, own in _OWN.items()
    )


def works_without_loop(store: Store, method: str) -> bool:
    """Whether a method works outside of the event loop: on disk and in memory, from 3.1.6 on."""
    return hasattr(store, f"{method}_sync") and has_own_methods(store, method)


def range_bounds(byte_range: ByteRequest, start: int, stop: int) -> tuple[int, int]:
    """A range of an object that lies from ``start`` to ``stop`` in another."""
    if isinstance(byte_range, RangeByteRequest):
        return min(start + byte_range.start, stop), min(start + byte_range.end, stop)
    if isinstance(byte_range, OffsetByteRequest):
        return min(start + byte_range.offset, stop), stop
    assert isinstance(byte_range, SuffixByteRequest)
    return max(start, stop - byte_range.suffix), stop


@overload
def cut(value: bytes, byte_range: ByteRequest | None) -> bytes: ...
@overload
def cut(value: None, byte_range: ByteRequest | None) -> None: ...
def cut(value: bytes | None, byte_range: ByteRequest | None) -> bytes | None:
    """A range of bytes that are here; None stays None."""
    if value is None or byte_range is None:
        return value
    first, last = range_bounds(byte_range, 0, len(value))
    return value[first:last]
