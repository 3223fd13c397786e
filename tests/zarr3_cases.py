"""Arrays, chunks and selections for the tests of the Zarr 3 codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from chunks import Array, CountingStore, blocks
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype

import crackle_zarr
from crackle_zarr import CrackleCodec

ZARR = tuple(int(part) for part in zarr.__version__.split(".")[:3])


def create(store: Any, labels: Array, chunks: tuple[int, ...], **kwargs: Any) -> Any:
    """An array with the given labels and Crackle as its serializer; no compressors unless given."""
    options: dict[str, Any] = {
        "serializer": CrackleCodec(),
        "compressors": None,
        "filters": None,
        "fill_value": 0,
    }
    if labels.dtype.kind == "b":
        options["fill_value"] = False
    options.update(kwargs)
    # Before 3.1, format 3 takes native dtypes only; it never stores a byte order.
    dtype = labels.dtype if ZARR >= (3, 1) else labels.dtype.newbyteorder("=")
    array = zarr.create_array(store, shape=labels.shape, chunks=chunks, dtype=dtype, **options)
    array[...] = labels
    return array


def spec(shape: tuple[int, ...], dtype: Any = "<u4", order: Any = "C") -> ArraySpec:
    """The specification of a chunk, in the form of the installed Zarr."""
    native: Any = np.dtype(dtype)
    if ZARR >= (3, 1):
        from zarr.core.dtype import get_data_type_from_native_dtype

        native = get_data_type_from_native_dtype(native)
    config = ArrayConfig(order=order, write_empty_chunks=False)
    return ArraySpec(
        shape=shape, dtype=native, fill_value=0, config=config, prototype=default_buffer_prototype()
    )


def encoded(chunk: Array, codec: CrackleCodec | None = None) -> bytes:
    buffer = default_buffer_prototype().nd_buffer.from_numpy_array(chunk)
    stream = (codec or CrackleCodec())._encode_sync(buffer, spec(chunk.shape, chunk.dtype))
    return bytes(stream.to_bytes())


def decoded(stream: bytes, shape: tuple[int, ...], dtype: Any = "<u4") -> Array:
    buffer = default_buffer_prototype().buffer.from_bytes(stream)
    return CrackleCodec()._decode_sync(buffer, spec(shape, dtype)).as_numpy_array()


def put(store: dict[str, Any], key: str, stream: bytes) -> None:
    store[key] = default_buffer_prototype().buffer.from_bytes(stream)


# ---------------------------------------------------------------------------------------
# Metadata

CODECS = [
    CrackleCodec(),
    CrackleCodec(markov_model_order=5),
    CrackleCodec(allow_pins=2),
    CrackleCodec(markov_model_order=12, allow_pins=1),
    CrackleCodec(markov_model_order="auto"),
]


DTYPES_REFUSED = ["float32", "float64", "float16", "complex64"]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "F order": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "axes swapped": lambda a: a.transpose(1, 0, 2).copy().transpose(1, 0, 2),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
}


FOREIGN: dict[str, Callable[[Array], bytes]] = {
    "rendered in C order": lambda volume: crackle_zarr.compress(np.ascontiguousarray(volume)),
    "version 0": lambda volume: crackle_zarr.compress(volume, format_version=0),
    "pins": lambda volume: crackle_zarr.compress(volume, allow_pins=2),
    "Markov model": lambda volume: crackle_zarr.compress(volume, markov_model_order=3),
    "relabelled": lambda volume: crackle_zarr.remap(
        crackle_zarr.remap(crackle_zarr.compress(volume), {0: 5, 5: 0}, preserve_missing_labels=True),
        {0: 5, 5: 0},
        preserve_missing_labels=True,
    ),
}


PIPELINES: dict[str, dict[str, Any]] = {
    "crackle": {},
    "zstd behind": {"compressors": [ZstdCodec()]},
    "zstd and crc32c behind": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "transpose before": {"filters": [TransposeCodec(order=(2, 0, 1))]},
    "transpose and zstd": {"filters": [TransposeCodec(order=(1, 2, 0))], "compressors": [ZstdCodec()]},
    "shards": {"shards": (8, 16, 16)},
    "shards with the index first": {"shards": {"shape": (8, 16, 16), "index_location": "start"}},
    "shards and zstd": {"shards": (8, 16, 16), "compressors": [ZstdCodec()]},
}
if ZARR >= (3, 1, 6):  # earlier versions of Zarr cannot read shards in shards at all
    PIPELINES["shards in shards"] = {
        "chunks": (8, 16, 16),
        "serializer": ShardingCodec(
            chunk_shape=(4, 16, 16), codecs=[ShardingCodec(chunk_shape=(4, 8, 8), codecs=[CrackleCodec()])]
        ),
    }


def in_pipeline(store: Any, labels: Array, name: str) -> Any:
    options = dict(PIPELINES[name])
    return create(store, labels, options.pop("chunks", (4, 8, 8)), **options)


# ---------------------------------------------------------------------------------------
# Partial decoding


@st.composite
def selections(draw: Any, shape: tuple[int, ...]) -> tuple[str, Any]:
    """A way to index, and an index, of each kind that Zarr has."""
    kind = draw(st.sampled_from(["basic", "basic", "oindex", "oindex", "vindex", "mask"]))
    if kind == "vindex":
        count = draw(st.integers(1, 6))
        axes = [draw(st.lists(st.integers(0, axis - 1), min_size=count, max_size=count)) for axis in shape]
        return kind, tuple(np.array(axis) for axis in axes)
    if kind == "mask":
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        return kind, rng.random(shape) < draw(st.sampled_from([0.001, 0.02, 0.5]))
    index: list[Any] = []
    for axis in shape:
        choices = ["int", "slice", "all"] + ["array", "bool"] * (kind == "oindex")
        match draw(st.sampled_from(choices)):
            case "int":
                index.append(draw(st.integers(-axis, axis - 1)))
            case "slice":
                start = draw(st.integers(0, axis - 1))
                index.append(slice(start, draw(st.integers(start + 1, axis)), draw(st.integers(1, 4))))
            case "all":
                index.append(slice(None))
            case "array":
                index.append(np.array(draw(st.lists(st.integers(0, axis - 1), min_size=1, max_size=4))))
            case "bool":
                chosen = draw(st.sets(st.integers(0, axis - 1), min_size=1, max_size=4))
                index.append(np.isin(np.arange(axis), list(chosen)))
    return kind, tuple(index)


def numpy_oindex(labels: Array, index: tuple[Any, ...]) -> Array:
    """NumPy's result for oindex: one axis after the other."""
    for axis in reversed(range(labels.ndim)):
        labels = labels[(slice(None),) * axis + (index[axis],)]
    return labels


LABELS = blocks((20, 18, 15), "<u4", block=3)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    """Arrays of the same labels in several pipelines, with different numbers of axes."""
    made = {
        name: create({}, LABELS, (8, 16, 8), **PIPELINES[name])
        for name in ("crackle", "zstd behind", "transpose before")
    }
    made["shards"] = create({}, LABELS, (8, 16, 8), shards=(16, 16, 16))
    made["four axes"] = create({}, blocks((5, 4, 18, 15), ">i2"), (3, 4, 9, 8))
    made["two axes"] = create({}, blocks((40, 50), "u1"), (20, 30))
    made["one axis"] = create({}, blocks((40,), "u1"), (15,))
    return made


def counted(labels: Array, chunks: tuple[int, ...], **kwargs: Any) -> tuple[Any, CountingStore]:
    store = CountingStore()
    array = create(store, labels, chunks, **kwargs)
    store.reads.clear()
    return array, store


def stored_nbytes(store: CountingStore, key: str) -> int:
    return len(store._store._store_dict[key])


BIG = blocks((64, 96, 96), "<u8", block=3)


class Vanishing(CountingStore):
    """A store whose chunks disappear after some reads."""

    left = 1

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if key.startswith("c/"):
            self.left -= 1
            if self.left < 0:
                return None
        return await super().get(key, prototype, byte_range)


class Replacing(CountingStore):
    """A store that serves another chunk after the first request."""

    other: Any = None

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if self.other is not None and key.startswith("c/") and byte_range is not None and byte_range.start:
            return await self.other._store.get(key, prototype, byte_range)
        return await super().get(key, prototype, byte_range)
