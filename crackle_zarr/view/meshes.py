"""Meshes of labels in Neuroglancer's format of single resolution.

The bytes, all little-endian: the number of vertices as uint32, their coordinates (x, y, z) in nanometres as
float32, and triples of vertices as uint32.

Source: Neuroglancer, "Precomputed: mesh format", legacy single-resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .objects import Mask

INFO = {"@type": "neuroglancer_legacy_mesh"}

# The most voxels of a mask for a mesh.
MOST_VOXELS = 2**21


def mesh(mask: Mask, voxel_size: tuple[float, float, float]) -> bytes:
    """The surface of a mask.

    Neuroglancer's own generator cuts the corners of voxels. It is private to its package; without it, the
    surface has the faces of the voxels. The surface is not simplified: that would take most of the time, and
    small objects would lose their shape.
    """
    size = np.array(voxel_size, dtype=np.float64) * mask.stride
    generator = _generator()
    if generator is None:
        return faces(mask.voxels, size, np.array(mask.start))
    # The generator takes (z, y, x) in C order. Its vertices count from voxels' centres.
    volume = np.ascontiguousarray(mask.voxels.T).astype(np.uint8)
    place = (volume, size.astype(np.float32), np.array(mask.start, np.float32) + np.float32(0.5))
    data = generator(*place, max_quadrics_error=-1.0).get_mesh(1)
    return faces(mask.voxels, size, np.array(mask.start)) if data is None else bytes(data)


def _generator() -> Callable[..., Any] | None:
    try:
        from neuroglancer import _neuroglancer
    except ImportError:
        return None
    return getattr(_neuroglancer, "OnDemandObjectMeshGenerator", None)


def faces(
    voxels: npt.NDArray[np.bool_], size: npt.NDArray[np.float64], start: npt.NDArray[np.integer]
) -> bytes:
    """The faces between set voxels and others as two triangles each, which turn outwards.

    Args:
        voxels: (x, y, z).
        size: the edges of a voxel in nanometres.
        start: the index of the first voxel.
    """
    padded = np.pad(voxels, 1)
    corners: list[npt.NDArray[np.int64]] = []
    for axis in range(3):
        after, before = (axis + 1) % 3, (axis + 2) % 3
        low = np.take(padded, range(padded.shape[axis] - 1), axis)
        high = np.take(padded, range(1, padded.shape[axis]), axis)
        for found, is_turned in ((low & ~high, False), (~low & high, True)):
            first = np.argwhere(found)
            # The face is between padded voxels i and i + 1, which is corner i of the mask.
            first[:, [after, before]] -= 1
            square = np.repeat(first[:, np.newaxis], 4, axis=1)
            square[:, 1:3, after] += 1
            square[:, 2:4, before] += 1
            corners.append(square[:, ::-1] if is_turned else square)
    squares = np.concatenate(corners)
    points, numbers = np.unique(squares.reshape(-1, 3), axis=0, return_inverse=True)
    quads = numbers.reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    vertices = (points + start) * size
    return b"".join(
        [
            np.uint32(len(vertices)).tobytes(),
            vertices.astype("<f4").tobytes(),
            triangles.astype("<u4").tobytes(),
        ]
    )


def manifest(label: int) -> dict[str, Any]:
    """The fragments of a mesh: one, with the name of the label."""
    return {"fragments": [str(label)]}
