"""Meshes of labels in Neuroglancer's format of single resolution: made on demand, or from files.

The bytes, all little-endian: the number of vertices as uint32, their coordinates (x, y, z) in nanometres as
float32, and triples of vertices as uint32.

Source: Neuroglancer, "Precomputed: mesh format", legacy single-resolution.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.space import UNITS
from ..meshes import Mesh, open_meshes
from ..meshes.plan import PLAN
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


def opened(
    place: str | os.PathLike[str], voxel_size: npt.ArrayLike
) -> Callable[[int], bytes | None] | Path | str:
    """Meshes of a folder.

    Args:
        place: a folder of :func:`crackle_zarr.mesh`, in any format; or a folder or URL in Neuroglancer's
            format.
        voxel_size: of the page, in nanometres.

    Returns:
        The folder, the URL, or a function that gives a label's bytes, or None if there is no such mesh.

    Raises:
        FileNotFoundError: there is no such folder.
        FormatError: the folder is unfinished or damaged.
        ValueError: it is of no such kind.
    """
    name = os.fspath(place).removeprefix("precomputed://")
    if "://" in name:
        return name
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(2, os.strerror(2), name)
    if (path / PLAN).is_file():
        found = open_meshes(path)
        space = found.plan["space"]
        unit = 1.0 if space["unit"] is None else UNITS[space["unit"]] * 1e9
        origin = np.array(space["origin"]) * unit
        if found.format == "precomputed":
            return of_meshes(found, -origin, 1.0)
        return of_meshes(found, np.asarray(voxel_size) / 2 - origin, unit)
    if (path / "info").is_file():
        return path
    raise ValueError(
        f"{name}: meshes are a folder of 'crackle-zarr mesh', or one in Neuroglancer's format (with a file "
        f"'info')"
    )


def of_meshes(found: Mapping[int, Mesh], shift: Any, nanometres: float) -> Callable[[int], bytes | None]:
    """The bytes of meshes by label, times ``nanometres`` and moved by ``shift``.

    Pages count from the corner of the first voxel, wherever in space it lies.
    """

    def get(label: int) -> bytes | None:
        one = found.get(label)
        if one is None:
            return None
        return Mesh((one.vertices * nanometres + shift).astype(np.float32), one.faces).to_precomputed()

    return get
