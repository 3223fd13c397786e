"""The second pass: the pieces of each label become one mesh, which is simplified and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.space import UNITS
from ..stored_skeletons.frame import Lengths
from ..stored_skeletons.grid import Grid
from . import files, tiles
from .mesh import Mesh
from .surface import Piece, Placed, joined, simplified


@dataclass(frozen=True)
class Settings:
    """How meshes are made and written.

    Attributes:
        kind: the format of files; None: meshes stay in memory.
        simplify: by how much to divide the number of faces.
        max_error: how far simplification may move the surface, in the unit of the voxel size.
        size: the edges of a voxel.
        origin: where the centre of voxel (0, 0, 0) lies.
        unit: of both; None if that is unknown.
    """

    kind: str | None
    simplify: float
    max_error: float
    size: Lengths
    origin: Lengths
    unit: str | None

    def placed(self, vertices: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Vertices in space, of those that count from the centre of voxel (0, 0, 0).

        A viewer of precomputed volumes counts nanometres, and a voxel begins where its index says.
        """
        moved = vertices + np.array(self.origin)
        if self.kind == "precomputed":
            moved = (moved + np.array(self.size) / 2) * nanometres(self.unit)
        placed: npt.NDArray[np.float32] = moved.astype(np.float32)
        return placed


def nanometres(unit: str | None) -> float:
    """How many nanometres a unit has; without a unit, lengths are nanometres."""
    return 1.0 if unit is None else float(f"{UNITS[unit] * 1e9:.12g}")


@dataclass(frozen=True)
class JoinLabels:
    """Make the meshes of some labels.

    Attributes:
        settings: how.
        grid: the tiles of the pieces.
        rows: the pieces, by label and tile.
        pieces: by tile and row; None: they are in ``work``.
        work: the folder of the tiles.
        out: the folder for files; None: return the meshes.
    """

    settings: Settings
    grid: Grid
    rows: npt.NDArray[Any]
    pieces: Mapping[tuple[int, int], Piece] | None
    work: Path | None
    out: Path | None

    @property
    def weight(self) -> int:
        """Labels."""
        return len(np.unique(self.rows["label"]))

    def __call__(self) -> dict[int, Mesh]:
        """Do it; the result is empty if meshes are written.

        Raises:
            OSError: the files cannot be written.
        """
        made: dict[int, Mesh] = {}
        ends = np.append(np.flatnonzero(np.diff(self.rows["label"])) + 1, len(self.rows))
        for rows in np.split(self.rows, ends[:-1]):
            mesh = self._mesh(rows)
            if self.out is None:
                assert mesh.label is not None
                made[mesh.label] = mesh
            else:
                assert self.settings.kind is not None
                files.write(self.out, mesh, self.settings.kind)
        return made

    def _mesh(self, rows: npt.NDArray[Any]) -> Mesh:
        parts = [self._part(int(row["tile"]), int(row["row"])) for row in rows]
        vertices, faces = joined(parts)
        settings = self.settings
        fewer, faces = simplified(vertices, faces, settings.size, settings.simplify, settings.max_error)
        physical = fewer * (np.array(settings.size) / 2)
        return Mesh(settings.placed(physical), faces, int(rows["label"][0]))

    def _part(self, tile: int, row: int) -> Placed:
        if self.pieces is not None:
            piece = self.pieces[tile, row]
        else:
            assert self.work is not None
            piece = tiles.read(self.work, tile, row)
        start, stop = self.grid.shared(tiles.tile_at(self.grid, tile))
        return Placed(start, stop, piece)
