"""Marching cubes on a tile, joining the pieces of a label, and simplification.

zmesh does the first and the last. Of the libraries that were tried, it alone gives closed surfaces of any
mask and keeps them closed when it simplifies; and it cuts all labels of a tile in one pass.

Coordinates are half voxels: a vertex lies in the middle between two voxels that are neighbours along an axis,
so twice its coordinate is a whole number. Vertices of two tiles are equal if these numbers are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._base.integers import holds
from ..stored_skeletons.frame import Voxel

# The simplifier takes coordinates up to 2^20; this leaves room for vertices that it moves.
_MOST_SPREAD = 2.0**19
# The steps of its coordinates for half of the shortest edge of a voxel.
_STEPS = 8.0


class Piece(NamedTuple):
    """The surface of a label in a tile.

    Attributes:
        label: of the surface.
        vertices: int32, ``(n, 3)``, in half voxels from the first voxel that the tile reads.
        faces: uint32, ``(m, 3)``.
    """

    label: int
    vertices: npt.NDArray[np.int32]
    faces: npt.NDArray[np.uint32]


class Placed(NamedTuple):
    """A piece and the voxels of its tile, from the corner ``start`` to ``stop``."""

    start: Voxel
    stop: Voxel
    piece: Piece


def zmesh_module() -> Any:
    """The library zmesh; an ImportError says how to install it."""
    try:
        return importlib.import_module("zmesh")
    except ImportError:
        raise ImportError("meshes need the package zmesh: pip install 'crackle-zarr[mesh]'") from None


def pieces_of(
    voxels: npt.NDArray[Any], ends: tuple[Sequence[bool], Sequence[bool]], wanted: Iterable[int] | None = None
) -> list[Piece]:
    """The surfaces of all labels of a tile but 0, or of some, ascending.

    Args:
        voxels: the labels, with axes x, y, z.
        ends: per axis, whether the volume ends at the tile's first voxel, and whether it ends at the last.
            Surfaces are closed there.
        wanted: only these labels.
    """
    dtype = voxels.dtype.newbyteorder("=")
    low, high = (np.array(some, np.int64) for some in ends)
    closed = np.pad(voxels.astype(dtype, copy=False), list(zip(low.tolist(), high.tolist(), strict=True)))
    # zmesh takes unsigned labels; a bool is a byte.
    unsigned = closed.view(np.dtype(f"u{dtype.itemsize}"))
    mesher = zmesh_module().Mesher((1, 1, 1))
    mesher.mesh(unsigned)
    found = np.array(sorted(mesher.ids()), np.uint64).astype(unsigned.dtype)
    names = found.astype(np.uint8 if dtype.kind == "b" else dtype)
    if wanted is not None:
        kept = np.isin(names, np.array([label for label in wanted if holds(names.dtype, label)], names.dtype))
        found, names = found[kept], names[kept]
    made = []
    for number, label in zip(found.tolist(), names.tolist(), strict=True):
        surface = mesher.get(number, normals=False, reduction_factor=0)
        mesher.erase(number)
        vertices = np.rint(surface.vertices * np.float32(2)).astype(np.int32) - 2 * low.astype(np.int32)
        made.append(Piece(label, vertices, np.asarray(surface.faces, np.uint32)))
    return sorted(made, key=lambda piece: piece.label)


def joined(parts: Sequence[Placed]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """The pieces of a label as one surface.

    Vertices that lie in a plane between tiles, and are equal, become one. No others can be equal.

    Returns:
        Vertices in half voxels from the volume's first voxel, and faces.
    """
    moved = [part.piece.vertices + 2 * np.array(part.start, np.int64) for part in parts]
    if len(parts) == 1:
        return moved[0], parts[0].piece.faces
    vertices = np.concatenate(moved)
    firsts = np.cumsum([0, *map(len, moved[:-1])])
    faces = np.concatenate([part.piece.faces + first for part, first in zip(parts, firsts, strict=True)])
    shared = np.flatnonzero(np.concatenate([_on_faces(part) for part in parts]))
    _, first, inverse = np.unique(vertices[shared], axis=0, return_index=True, return_inverse=True)
    same = np.arange(len(vertices))
    same[shared] = shared[first][inverse.reshape(-1)]
    kept = same == np.arange(len(vertices))
    numbers = (np.cumsum(kept) - 1).astype(np.uint32)
    return vertices[kept], numbers[same][faces]


def _on_faces(part: Placed) -> npt.NDArray[np.bool_]:
    """Which vertices of a piece lie in the first or the last plane of voxels of its tile."""
    last = 2 * (np.array(part.stop) - np.array(part.start) - 1)
    vertices = part.piece.vertices
    found: npt.NDArray[np.bool_] = ((vertices == 0) | (vertices == last)).any(axis=1)
    return found


def simplified(
    vertices: npt.NDArray[np.int64],
    faces: npt.NDArray[np.uint32],
    size: Sequence[float],
    factor: float,
    max_error: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint32]]:
    """A surface with fewer faces.

    Args:
        vertices: in half voxels.
        faces: of a closed surface.
        size: the edges of a voxel.
        factor: by how much to divide the number of faces; 1 changes nothing.
        max_error: how far the surface may move, in the unit of the voxel size; it may leave more faces than
            ``factor`` asks for. Below an edge of a voxel, it is a wish.

    Returns:
        Vertices in half voxels, and faces of a closed surface.
    """
    if factor <= 1 or not len(faces):
        return vertices.astype(np.float64), faces
    low, edge = vertices.min(axis=0), min(size)
    ratios = np.array(size) / edge
    # zmesh rounds the coordinates that it gets to halves, and takes errors in its own scale: with steps of
    # 8 for half a voxel, surfaces moved by no more than the error that was given.
    spread = float(((vertices - low) * ratios).max())
    steps = np.maximum(1, np.rint(max(1.0, min(_STEPS, _MOST_SPREAD // max(spread, 1.0))) * ratios))
    zmesh = zmesh_module()
    local = zmesh.Mesh(((vertices - low) * steps).astype(np.float32), faces, None)
    error = max_error / edge * 2 * _STEPS
    fewer = zmesh.Mesher((1, 1, 1)).simplify(local, reduction_factor=factor, max_error=error)
    if not len(fewer.faces):
        return vertices.astype(np.float64), faces
    return fewer.vertices.astype(np.float64) / steps + low, np.asarray(fewer.faces, np.uint32)
