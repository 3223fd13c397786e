"""Random stored arrays of every kind, each with the equal NumPy array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numcodecs
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, TransposeCodec, ZstdCodec

from crackle_zarr import Crackle, CrackleCodec

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?"]


class Case(NamedTuple):
    """A stored array, and the equal NumPy array."""

    array: zarr.Array
    voxels: np.ndarray


def blobs(rng: np.random.Generator, shape: tuple[int, ...], count: int, dtype: np.dtype) -> np.ndarray:
    """Cubes of three voxels with random labels: small numbers, or any number of the dtype."""
    cubes = rng.integers(0, count, tuple(-(-length // 3) for length in shape))
    for axis in range(len(shape)):
        cubes = np.repeat(cubes, 3, axis)
    numbers = cubes[tuple(slice(0, length) for length in shape)]
    if dtype.kind == "b":
        return numbers % 2 == 1
    info = np.iinfo(dtype)
    names = np.arange(count).astype(dtype)
    if rng.random() < 0.5:
        names = rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
        names[0] = 0
    return names[numbers]


def _v3(keywords: dict[str, Any], **more: Any) -> zarr.Array:
    more = {"serializer": CrackleCodec(), "compressors": None, **more}
    return zarr.create_array({}, **{**keywords, **more})


def _v2(keywords: dict[str, Any], **more: Any) -> zarr.Array:
    more = {"compressors": Crackle(), "filters": None, **more}
    return zarr.create_array({}, zarr_format=2, **{**keywords, **more})


def _big(keywords: dict[str, Any]) -> np.dtype:
    return keywords["dtype"].newbyteorder(">")


def _shards(rng: np.random.Generator, keywords: dict[str, Any]) -> tuple[int, ...]:
    return tuple(length * int(rng.integers(1, 4)) for length in keywords["chunks"])


def _transposed(rng: np.random.Generator, keywords: dict[str, Any]) -> list[TransposeCodec]:
    return [TransposeCodec(order=tuple(int(axis) for axis in rng.permutation(len(keywords["shape"]))))]


def _pieces(rng: np.random.Generator, length: int, unit: int) -> list[int]:
    """Lengths of whole units that cover an axis."""
    pieces: list[int] = []
    while sum(pieces) < length:
        pieces.append(unit * int(rng.integers(1, 4)))
    if unit == 1:
        pieces[-1] -= sum(pieces) - length
    return pieces


def _uneven(rng: np.random.Generator, keywords: dict[str, Any]) -> list[list[int]]:
    return [_pieces(rng, length, 1) for length in keywords["shape"]]


def _in_uneven_shards(rng: np.random.Generator, keywords: dict[str, Any]) -> zarr.Array:
    """Shards of different lengths; the last ones end with the array, as Zarr wants it."""
    chunks = [int(rng.integers(1, 4)) for _ in keywords["shape"]]
    shape = tuple(-(-length // one) * one for length, one in zip(keywords["shape"], chunks, strict=True))
    shards = [_pieces(rng, length, one) for length, one in zip(shape, chunks, strict=True)]
    for pieces, length in zip(shards, shape, strict=True):
        pieces[-1] -= sum(pieces) - length
    array = _v3({**keywords, "shape": shape, "chunks": tuple(chunks)}, shards=shards)
    array.resize(keywords["shape"])
    return array


Maker = Callable[[np.random.Generator, dict[str, Any]], zarr.Array]

KINDS: dict[str, Maker] = {
    "plain": lambda rng, kw: _v3(kw),
    "pins": lambda rng, kw: _v3(kw, serializer=CrackleCodec(allow_pins=2)),
    "Markov": lambda rng, kw: _v3(kw, serializer=CrackleCodec(markov_model_order=3)),
    "shards": lambda rng, kw: _v3(kw, shards=_shards(rng, kw)),
    "shards, index first": lambda rng, kw: _v3(
        kw, shards={"shape": _shards(rng, kw), "index_location": "start"}
    ),
    "transposed": lambda rng, kw: _v3(kw, filters=_transposed(rng, kw)),
    "transposed in shards": lambda rng, kw: _v3(kw, filters=_transposed(rng, kw), shards=_shards(rng, kw)),
    "zstd and crc32c behind": lambda rng, kw: _v3(kw, compressors=[ZstdCodec(), Crc32cCodec()]),
    "format 2": lambda rng, kw: _v2(kw),
    "format 2, F order": lambda rng, kw: _v2(kw, order="F"),
    "format 2, big-endian": lambda rng, kw: _v2(kw, dtype=_big(kw)),
    "format 2, big-endian labels": lambda rng, kw: _v2(
        kw, dtype=_big(kw), compressors=Crackle(byteorder=">") if kw["dtype"].itemsize > 1 else Crackle()
    ),
    "format 2, zstd behind": lambda rng, kw: _v2(kw, filters=[Crackle()], compressors=numcodecs.Zstd()),
    "format 2, fill value None": lambda rng, kw: _v2(kw, fill_value=None),
    "zstd": lambda rng, kw: zarr.create_array({}, **kw),
    "zstd in shards": lambda rng, kw: zarr.create_array({}, shards=_shards(rng, kw), **kw),
    "format 2, blosc": lambda rng, kw: zarr.create_array(
        {}, zarr_format=2, compressors=numcodecs.Blosc(), **kw
    ),
}

if zarr.config.get("array.rectilinear_chunks", None) is not None:
    # Experimental in Zarr: it is off unless somebody asks for it.
    zarr.config.set({"array.rectilinear_chunks": True})
    KINDS |= {
        "rectilinear": lambda rng, kw: _v3({**kw, "chunks": _uneven(rng, kw)}),
        "rectilinear, transposed": lambda rng, kw: _v3(
            {**kw, "chunks": _uneven(rng, kw)}, filters=_transposed(rng, kw)
        ),
        "rectilinear shards": _in_uneven_shards,
        "rectilinear, zstd": lambda rng, kw: zarr.create_array({}, **{**kw, "chunks": _uneven(rng, kw)}),
    }


def grid_indices(array: zarr.Array, voxels: np.ndarray) -> np.ndarray:
    """The grid indices of the chunks of some voxels, ``(n, ndim)``."""
    try:
        return voxels // np.array(array.chunks, dtype=np.int64)
    except NotImplementedError:
        edges = [np.cumsum(lengths) for lengths in array.read_chunk_sizes]
        indices = [
            np.searchsorted(ends, column, "right") for ends, column in zip(edges, voxels.T, strict=True)
        ]
        return np.stack(indices, axis=1)


def make(kind: str, rng: np.random.Generator) -> Case:
    """An array of one to five axes, partly written, and perhaps resized since."""
    ndim = int(rng.integers(1, 6))
    shape = tuple(int(length) for length in rng.integers(1, (40, 30, 24, 14, 9)[ndim - 1], ndim))
    chunks = tuple(int(rng.integers(1 if rng.random() < 0.2 else 2, length + 3)) for length in shape)
    dtype = np.dtype(str(rng.choice(DTYPES)))
    fill = dtype.type(0 if dtype.kind == "b" else rng.choice([0, 0, 7, 1]))
    array = KINDS[kind](rng, {"shape": shape, "dtype": dtype, "chunks": chunks, "fill_value": fill})
    if array.fill_value is None:
        fill = dtype.type(0)
    voxels = np.full(shape, fill, dtype)
    for _ in range(int(rng.integers(0, 4))):
        part = box(rng, shape)
        written = blobs(rng, tuple(p.stop - p.start for p in part), int(rng.integers(1, 9)), dtype)
        array[part] = written
        voxels[part] = written
    if rng.random() < 0.3:  # old voxels stay in the padding
        smaller = tuple(max(1, length - int(rng.integers(0, 5))) for length in shape)
        array.resize(smaller)
        voxels = voxels[tuple(slice(0, length) for length in smaller)].copy()
    return Case(array, voxels)


def box(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A random region of an array, of at least one voxel."""
    starts = [int(rng.integers(0, length)) for length in shape]
    return tuple(
        slice(start, int(rng.integers(start, length)) + 1)
        for start, length in zip(starts, shape, strict=True)
    )


def contents(array: zarr.Array) -> dict[str, bytes]:
    """Every object of an array in a MemoryStore."""
    return {key: value.to_bytes() for key, value in array.store_path.store._store_dict.items()}
