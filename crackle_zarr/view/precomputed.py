"""A volume of three axes in Neuroglancer's precomputed format.

Source: Neuroglancer, "Precomputed: volume format" and "Precomputed: segment properties".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from .volume import Triple, Volume

# Voxels of a chunk, and its edge along each axis.
_CHUNK_EDGE = 64
_PLANE_EDGE = 512


def chunk_shape(shape: Triple) -> Triple:
    """The shape of chunks: cubes, or squares of a volume of one slice."""
    edge = _PLANE_EDGE if shape[2] == 1 else _CHUNK_EDGE
    x, y, z = (min(edge, length) for length in shape)
    return x, y, z


def key_of(level: int) -> str:
    """The name of a level."""
    return str(level)


def info(volume: Volume) -> dict[str, Any]:
    """The file ``info`` of a volume."""
    scales = [
        {
            "key": key_of(number),
            "size": list(level.shape),
            "resolution": list(level.voxel_size),
            "voxel_offset": [0, 0, 0],
            "chunk_sizes": [list(chunk_shape(level.shape))],
            "encoding": "raw",
        }
        for number, level in enumerate(volume.levels)
    ]
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": "segmentation" if volume.is_labels else "image",
        "data_type": volume.dtype.name,
        "num_channels": 1,
        "scales": scales,
    }


_NAME = re.compile(r"(\d+)-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)")


def chunk(volume: Volume, level: int, name: str) -> bytes:
    """The voxels of a chunk, x fastest, in little-endian order.

    Args:
        volume: the volume.
        level: the number of the level.
        name: of the chunk, its bounds: ``0-64_64-128_0-10``.

    Raises:
        KeyError: there is no such level or chunk.
    """
    match = _NAME.fullmatch(name)
    if match is None or not 0 <= level < len(volume.levels):
        raise KeyError(name)
    numbers = [int(text) for text in match.groups()]
    start, stop = numbers[::2], numbers[1::2]
    shape = volume.levels[level].shape
    edges = chunk_shape(shape)
    for low, high, length, edge in zip(start, stop, shape, edges, strict=True):
        if low % edge or high != min(low + edge, length) or low >= length:
            raise KeyError(name)
    voxels = volume.box(level, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    return little_endian(voxels).tobytes(order="F")


def little_endian(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The voxels in little-endian order."""
    return voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)


def segment_properties(shown: Iterable[int], names: Mapping[int, str]) -> dict[str, Any]:
    """The list of labels.

    Args:
        shown: the labels as the page shows them.
        names: the names of some.
    """
    ids = list(shown)
    properties: list[dict[str, Any]] = []
    if names:
        values = [names.get(one, "") for one in ids]
        properties.append({"id": "label", "type": "label", "values": values})
    inline = {"ids": list(map(str, ids)), "properties": properties}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}
