"""Vertices and faces as bytes: Neuroglancer's fragments, PLY, OBJ and GLB.

Source: Neuroglancer, "Precomputed: mesh format", legacy single-resolution. A fragment is, little-endian, the
number of vertices as uint32, their coordinates (x, y, z) in nanometres as float32, and triples of vertices as
uint32.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError

FORMATS = ("precomputed", "ply", "obj", "glb")

Surface = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint32]]


def trimesh_module() -> Any:
    """The library trimesh; an ImportError says how to install it."""
    try:
        return importlib.import_module("trimesh")
    except ImportError:
        raise ImportError(
            "PLY, OBJ and GLB need the package trimesh: pip install 'crackle-zarr[mesh]'"
        ) from None


def trimesh_of(vertices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> Any:
    """A ``trimesh.Trimesh`` with the same vertices and faces."""
    return trimesh_module().Trimesh(vertices, faces, process=False)


def precomputed_bytes(vertices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> bytes:
    """A fragment for Neuroglancer."""
    return b"".join(
        [
            np.array(len(vertices), "<u4").tobytes(),
            vertices.astype("<f4").tobytes(),
            faces.astype("<u4").tobytes(),
        ]
    )


def of_precomputed(data: bytes, place: str) -> Surface:
    """Vertices and faces of a fragment.

    Raises:
        FormatError: it is cut short, or has a face with a vertex that it does not have.
    """
    count = int(np.frombuffer(data, "<u4", 1)[0]) if len(data) >= 4 else 0
    rest = len(data) - 4 - 12 * count
    if rest < 0 or rest % 12:
        raise FormatError(f"{place} is damaged: {len(data):,} bytes are no mesh of {count:,} vertices")
    vertices = np.frombuffer(data, "<f4", 3 * count, 4).astype(np.float32).reshape(-1, 3)
    faces = np.frombuffer(data, "<u4", rest // 4, 4 + 12 * count).astype(np.uint32).reshape(-1, 3)
    if faces.size and int(faces.max()) >= count:
        raise FormatError(f"{place} is damaged: a face has vertex {int(faces.max())} of {count:,}")
    return vertices, faces


def encoded(vertices: npt.NDArray[Any], faces: npt.NDArray[Any], kind: str) -> bytes:
    """The bytes of a file of a format."""
    if kind == "precomputed":
        return precomputed_bytes(vertices, faces)
    # Normals and colours are left out.
    more: dict[str, dict[str, Any]] = {
        "obj": {"include_normals": False, "header": None},
        "ply": {"vertex_normal": False},
    }
    data = trimesh_of(vertices, faces).export(file_type=kind, **more.get(kind, {}))
    return data.encode() if isinstance(data, str) else bytes(data)


def decoded(path: Path) -> Surface:
    """The vertices and faces in a file.

    Raises:
        FormatError: it is damaged.
    """
    if path.suffix == ".mesh":
        return of_precomputed(path.read_bytes(), str(path))
    trimesh = trimesh_module()
    try:
        found = trimesh.load(path, process=False, force="mesh")
        return np.asarray(found.vertices, np.float32), np.asarray(found.faces, np.uint32)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise FormatError(f"{path} is damaged: {error}") from error
