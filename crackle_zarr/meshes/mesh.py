"""A triangle mesh: the surface of a label."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from .encodings import FORMATS, encoded, of_precomputed, precomputed_bytes, trimesh_of


@dataclass(frozen=True, eq=False)
class Mesh:
    """The surface of a label.

    The surface encloses the label and nothing else: every edge has two faces. Where the label ends at the
    end of the volume, so does the surface, with a flat cap.

    Attributes:
        vertices: float32, ``(n, 3)``: x, y and z in the unit of the voxel size.
        faces: uint32, ``(m, 3)``: triangles, by the numbers of their vertices; counterclockwise, seen from
            outside.
        label: whose surface it is; None if that is unknown.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.uint32]
    label: int | None = None

    def __repr__(self) -> str:
        """The label, and how many vertices and faces there are."""
        return f"<Mesh of {self.label}: {len(self.vertices):,} vertices, {len(self.faces):,} faces>"

    @property
    def volume(self) -> float:
        """The enclosed volume, by the divergence theorem, in the cubed unit of the vertices."""
        if not len(self.faces):
            return 0.0
        # Near the origin, so that large coordinates do not cancel out.
        vertices = self.vertices.astype(np.float64)
        a, b, c = ((vertices - vertices.mean(axis=0))[self.faces[:, corner]] for corner in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)

    @property
    def area(self) -> float:
        """The area of all faces, in the squared unit of the vertices."""
        a, b, c = (self.vertices.astype(np.float64)[self.faces[:, corner]] for corner in range(3))
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)

    @property
    def is_closed(self) -> bool:
        """Whether every edge has exactly two faces, which run along it in opposite directions."""
        ends = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        edges = ends.astype(np.uint64) @ np.array([2**32, 1], np.uint64)
        turned = ends[:, ::-1].astype(np.uint64) @ np.array([2**32, 1], np.uint64)
        edges.sort()
        turned.sort()
        return bool((edges[1:] != edges[:-1]).all() and (edges == turned).all())

    @property
    def euler_characteristic(self) -> int:
        """Vertices minus edges plus faces: 2 for a ball, 0 for a ring, and their sum for several parts."""
        ends = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        ends.sort(axis=1)
        edges = np.unique(ends.astype(np.uint64) @ np.array([2**32, 1], np.uint64))
        return len(self.vertices) - len(edges) + len(self.faces)

    def to_precomputed(self) -> bytes:
        """The bytes of a fragment for Neuroglancer, in which coordinates are nanometres.

        The coordinates are written as they are.
        """
        return precomputed_bytes(self.vertices, self.faces)

    @classmethod
    def from_precomputed(cls, data: bytes, label: int | None = None) -> Mesh:
        """The mesh in a fragment for Neuroglancer.

        Raises:
            FormatError: the bytes are damaged.
        """
        vertices, faces = of_precomputed(data, "the fragment")
        return cls(vertices, faces, label)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, which appears when it is whole: ``.ply``, ``.obj`` or ``.glb``.

        Raises:
            ValueError: the name has another ending.
            ImportError: trimesh is not installed.
        """
        kind = Path(path).suffix.lower().lstrip(".")
        if kind not in FORMATS[1:]:
            raise ValueError(f"{os.fspath(path)}: a mesh is a file that ends in .ply, .obj or .glb")
        atomic_files.write_bytes(path, encoded(self.vertices, self.faces, kind))

    def to_trimesh(self) -> Any:
        """The same as a ``trimesh.Trimesh``, which has many more measures.

        Raises:
            ImportError: trimesh is not installed.
        """
        return trimesh_of(self.vertices, self.faces)
