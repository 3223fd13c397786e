"""Precomputed volumes for tests: by tensorstore, and with chunks of Crackle by hand."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

import crackle_zarr

Array = npt.NDArray[Any]
Triple = tuple[int, int, int]

# hash, preshift_bits, minishard_bits, shard_bits, minishard_index_encoding, data_encoding
SHARDINGS = [
    ("identity", 0, 0, 0, "raw", "raw"),
    ("identity", 2, 1, 5, "gzip", "raw"),
    ("murmurhash3_x86_128", 0, 3, 0, "raw", "gzip"),
    ("murmurhash3_x86_128", 1, 2, 3, "gzip", "gzip"),
]


# The position of voxels, as a Zarr array (z, y, x) has it.
SPACE = {"voxel_size": [40, 4, 4], "voxel_unit": "nanometer", "voxel_origin": [80, 8, -12]}


def sharding(spec: tuple[Any, ...]) -> dict[str, Any]:
    """The JSON of a sharding specification."""
    names = ("hash", "preshift_bits", "minishard_bits", "shard_bits", "minishard_index_encoding")
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        **dict(zip((*names, "data_encoding"), spec, strict=True)),
    }


def blobs(seed: int, shape: tuple[int, ...], dtype: str = "u4", labels: int = 90, edge: int = 5) -> Array:
    """Labels in blocks, with the background 0 in one half."""
    numbers = np.random.default_rng(seed).integers(0, labels, [-(-length // edge) for length in shape])
    for axis in range(len(shape)):
        numbers = numbers.repeat(edge, axis)
    volume = numbers[tuple(slice(length) for length in shape)]
    volume[: shape[0] // 2][volume[: shape[0] // 2] < labels // 2] = 0
    return volume.astype(dtype)


def tensorstore() -> Any:
    return pytest.importorskip("tensorstore", reason="tensorstore has no wheel for this Python")


def by_tensorstore(
    place: Path,
    volume: Array,
    encoding: str = "raw",
    chunk: Triple = (16, 16, 16),
    offset: Triple = (0, 0, 0),
    spec: tuple[Any, ...] | None = None,
    key: str = "4_4_40",
    resolution: tuple[float, ...] = (4, 4, 40),
) -> None:
    """Add a scale with a volume (x, y, z) or (x, y, z, channel)."""
    scale: dict[str, Any] = {
        "key": key,
        "size": list(volume.shape[:3]),
        "resolution": list(resolution),
        "voxel_offset": list(offset),
        "chunk_size": list(chunk),
        "encoding": encoding,
    }
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = [8, 8, 4]
    if spec is not None:
        scale["sharding"] = sharding(spec)
    channels = volume.shape[3] if volume.ndim == 4 else 1
    store = (
        tensorstore()
        .open(
            {
                "driver": "neuroglancer_precomputed",
                "kvstore": f"file://{place.absolute()}/",
                "multiscale_metadata": {
                    "type": "segmentation",
                    "data_type": volume.dtype.name,
                    "num_channels": channels,
                },
                "scale_metadata": scale,
            },
            create=True,
        )
        .result()
    )
    store.write(volume.reshape((*volume.shape[:3], channels))).result()


def read_by_tensorstore(place: Path, scale: int = 0) -> Array:
    """A scale (x, y, z), as tensorstore reads it."""
    opened = tensorstore().open(
        {"driver": "neuroglancer_precomputed", "kvstore": f"file://{place.absolute()}/", "scale_index": scale}
    )
    return np.asarray(opened.result()[..., 0].read().result())


def cells(volume: Array, chunk: Triple) -> Iterator[tuple[Triple, Array]]:
    """The index of each chunk, and its voxels."""
    for cell in itertools.product(*(range(-(-n // c)) for n, c in zip(volume.shape, chunk, strict=True))):
        box = tuple(slice(i * c, (i + 1) * c) for i, c in zip(cell, chunk, strict=True))
        yield cell, volume[box]


def chunk_name(cell: Triple, shape: tuple[int, ...], chunk: Triple, offset: Triple) -> str:
    begins = [i * c + o for i, c, o in zip(cell, chunk, offset, strict=True)]
    return "_".join(f"{begin}-{begin + length}" for begin, length in zip(begins, shape, strict=True))


def morton(cell: Triple, grid: Triple) -> int:
    """The compressed Morton code, by the words of the specification."""
    code = place = 0
    for bit in range(64):
        for index, count in zip(cell, grid, strict=True):
            if 2**bit < count:
                code |= ((index >> bit) & 1) << place
                place += 1
    return code


def of_crackle(
    place: Path,
    volume: Array,
    chunk: Triple = (16, 16, 16),
    offset: Triple = (0, 0, 0),
    encode: Callable[[Array], bytes] = crackle_zarr.compress,
    spec: tuple[Any, ...] | None = None,
    packed: str = "",
) -> dict[str, bytes]:
    """Write a volume (x, y, z) whose chunks are Crackle streams.

    Args:
        place: the folder.
        volume: the labels.
        chunk: its shape.
        offset: of the first voxel.
        encode: makes a stream.
        spec: of shards, which tensorstore writes.
        packed: "gzip" for files of gzip, ".gz" for files of this ending.

    Returns:
        The streams by the names that their files have without shards.
    """
    scale: dict[str, Any] = {
        "key": "4_4_40",
        "size": list(volume.shape),
        "resolution": [4, 4, 40],
        "voxel_offset": list(offset),
        "chunk_sizes": [list(chunk)],
        "encoding": "crackle",
    }
    if spec is not None:
        scale["sharding"] = sharding(spec)
    info = {"type": "segmentation", "data_type": volume.dtype.name, "num_channels": 1, "scales": [scale]}
    folder = place / "4_4_40"
    folder.mkdir(parents=True)
    (place / "info").write_text(json.dumps(info))
    grid = tuple(-(-n // c) for n, c in zip(volume.shape, chunk, strict=True))
    streams, numbers = {}, {}
    for cell, part in cells(volume, chunk):
        name = chunk_name(cell, part.shape, chunk, offset)
        streams[name] = encode(np.asfortranarray(part))
        numbers[name] = morton(cell, grid)
    if spec is None:
        for name, stream in streams.items():
            end = packed if packed.startswith(".") else ""
            (folder / (name + end)).write_bytes(gzip.compress(stream) if packed else stream)
        return streams
    library = tensorstore()
    shards = library.KvStore.open(
        {
            "driver": "neuroglancer_uint64_sharded",
            "metadata": sharding(spec),
            "base": f"file://{folder}/",
        }
    ).result()
    with library.Transaction() as transaction:
        for name, stream in streams.items():
            shards.with_transaction(transaction)[numbers[name].to_bytes(8, "big")] = stream
    return streams


def pyramid(place: Any, levels: int = 3, version: str = "0.5", origin: tuple[float, ...] = (0, 0, 0)) -> Any:
    """A group of OME-Zarr labels, and the voxels of its levels."""
    voxels = [blobs(5, (20, 70, 66))]
    group = zarr.create_group(place, zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level in range(levels):
        if level:
            voxels.append(voxels[-1][:, ::2, ::2])
        kwargs = {"zarr_format": 3} if version == "0.5" else {"zarr_format": 2}
        crackle_zarr.create_array(
            group.store, name=f"s{level}", data=voxels[-1], chunks=(16, 32, 32), **kwargs
        )
        edge = 4 * 2**level
        shift = [float(origin[0]), origin[1] + (edge - 4) / 2, origin[2] + (edge - 4) / 2]
        datasets.append(
            {
                "path": f"s{level}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [0.04, edge / 1000, edge / 1000]},
                    {"type": "translation", "translation": [one / 1000 for one in shift]},
                ],
            }
        )
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    multiscales = [{"axes": axes, "datasets": datasets, "name": "cells"}]
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales, "image-label": {}}
    else:
        group.attrs.update({"multiscales": [{"version": "0.4", **multiscales[0]}], "image-label": {}})
    return group, voxels
