"""A folder of meshes, read label by label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from . import files, plan
from .encodings import decoded
from .mesh import Mesh


class MeshFolder(Mapping[int, Mesh]):
    """The meshes in a folder that :func:`crackle_zarr.mesh` wrote: a mapping label -> mesh, read lazily.

    Coordinates are those of the files: of the format ``precomputed``, nanometres, half a voxel further than
    in the others (see docs/meshes.md).

    Attributes:
        path: the folder.
        plan: what the meshes were made of and how, as ``meshes.json`` has it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a folder: see :func:`open_meshes`."""
        self.path = Path(path)
        if not (self.path / plan.PLAN).is_file():
            raise FileNotFoundError(2, f"no folder of meshes, which has a file {plan.PLAN}", str(self.path))
        self.plan: dict[str, Any] = plan.read(self.path)
        if self.plan["state"] != "whole":
            raise FormatError(
                f"{self.path} is an unfinished folder of meshes: mesh the same array with the same "
                f"parameters and resume=True"
            )

    def __repr__(self) -> str:
        """In short."""
        return f"<MeshFolder {self.path}: {len(self)} meshes, {self.format}>"

    @property
    def format(self) -> str:
        """Of the files: ``precomputed``, ``ply``, ``obj`` or ``glb``."""
        kind: str = self.plan["parameters"]["format"]
        return kind

    @cached_property
    def labels(self) -> npt.NDArray[Any]:
        """The labels that have a mesh, ascending: int64 or uint64."""
        return plan.read_labels(self.path)

    def file(self, label: int) -> Path:
        """The file of a label's vertices and faces."""
        return files.fragment_path(self.path, int(label), self.format)

    def __len__(self) -> int:
        """How many meshes there are."""
        return len(self.labels)

    def __iter__(self) -> Iterator[int]:
        """The labels, ascending."""
        return iter(self.labels.tolist())

    def __contains__(self, label: object) -> bool:
        """Whether a label has a mesh."""
        if isinstance(label, bool) or not isinstance(label, int | np.integer):
            return False
        info = np.iinfo(self.labels.dtype)
        if not info.min <= label <= info.max:
            return False
        place = int(np.searchsorted(self.labels, label))
        return place < len(self) and int(self.labels[place]) == int(label)

    def __getitem__(self, label: int) -> Mesh:
        """The mesh of a label.

        Raises:
            KeyError: it has none.
            FormatError: its file is damaged.
        """
        if label not in self:
            raise KeyError(label)
        return Mesh(*decoded(self.file(label)), int(label))


def open_meshes(path: str | os.PathLike[str]) -> MeshFolder:
    """Open a folder of meshes that :func:`crackle_zarr.mesh` wrote with ``out``.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is unfinished or damaged.
    """
    return MeshFolder(path)
