"""A volume with further axes, such as time or channels, as OME-Zarr 0.4: precomputed has three axes.

Chunks are one index along further axes and a cube along z, y and x. Source: OME-Zarr 0.4; Zarr format 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .precomputed import chunk_shape, little_endian
from .volume import Volume


def group_metadata(volume: Volume, shift: Sequence[float] = (0, 0, 0)) -> dict[str, Any]:
    """The file ``.zattrs`` of the group.

    Args:
        volume: the volume. Channels of an image are an axis of its layer; all other further axes are axes of
            the page.
        shift: where the first voxel lies, along x, y and z in nanometres.
    """
    axes: list[dict[str, str]] = []
    for name in volume.other_names:
        kind = "channel" if name == "c" and not volume.is_labels else "other"
        axes.append({"name": name, "type": kind})
    axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    others = len(volume.others)
    datasets = []
    for number, level in enumerate(volume.levels):
        size = level.voxel_size
        # Translations of OME-Zarr are to the centre of the first voxel, and the page counts from its corner.
        centre = [place + edge / 2 for place, edge in zip(shift, size, strict=True)]
        steps = [
            {"type": "scale", "scale": [*[1.0] * others, *size[::-1]]},
            {"type": "translation", "translation": [*[0.0] * others, *centre[::-1]]},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    multiscales = [{"version": "0.4", "axes": axes, "datasets": datasets, "name": volume.source.title}]
    return {"multiscales": multiscales}


def array_metadata(volume: Volume, level: int) -> dict[str, Any]:
    """The file ``.zarray`` of a level.

    Raises:
        KeyError: there is no such level.
    """
    if not 0 <= level < len(volume.levels):
        raise KeyError(level)
    shape = volume.levels[level].shape
    ones = [1] * len(volume.others)
    return {
        "zarr_format": 2,
        "shape": [*volume.other_lengths, *shape[::-1]],
        "chunks": [*ones, *chunk_shape(shape)[::-1]],
        "dtype": volume.dtype.newbyteorder("<").str,
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def chunk(volume: Volume, level: int, key: str) -> bytes:
    """The bytes of a chunk, filled up with 0 beyond the array's edge.

    Args:
        volume: the volume.
        level: the number of the level.
        key: the index of the chunk along each axis, with / between them.

    Raises:
        KeyError: there is no such level or chunk.
    """
    if not 0 <= level < len(volume.levels) or not all(one.isdecimal() for one in key.split("/")):
        raise KeyError(key)
    numbers = tuple(map(int, key.split("/")))
    index, grid = numbers[:-3], numbers[:-4:-1]
    shape = volume.levels[level].shape
    edges = chunk_shape(shape)
    if len(numbers) != len(volume.others) + 3:
        raise KeyError(key)
    start = tuple(one * edge for one, edge in zip(grid, edges, strict=True))
    is_inside = all(low < length for low, length in zip(start, shape, strict=True))
    if not is_inside or not all(one < n for one, n in zip(index, volume.other_lengths, strict=True)):
        raise KeyError(key)
    stop = tuple(min(low + edge, length) for low, edge, length in zip(start, edges, shape, strict=True))
    whole: npt.NDArray[Any] = np.zeros(edges, volume.dtype, order="F")
    voxels = volume.box(level, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2]), index)
    whole[tuple(slice(0, length) for length in voxels.shape)] = voxels
    return little_endian(whole).tobytes(order="F")
