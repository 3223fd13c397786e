"""The first pass: the surfaces of all labels in one tile, and where they wait for the second pass.

Each tile that is kept on disk has a folder with three files of NumPy, which are mapped to memory and read
label by label: the vertices and faces of its pieces, and ``index.npy``, which says where a piece is. That one
is written last, so a tile that has it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from ..stored_skeletons.frame import Voxel
from ..stored_skeletons.grid import Grid
from .surface import Piece, pieces_of
from .volumes import Volume

_INDEX = [("first_vertex", "<i8"), ("vertices", "<i8"), ("first_face", "<i8"), ("faces", "<i8")]


def rows_dtype(labels: np.dtype[Any]) -> np.dtype[Any]:
    """A row for each piece: its label, its tile, which of the tile's pieces it is, and its size."""
    return np.dtype([("label", labels), ("tile", np.int64), ("row", np.int64), ("nbytes", np.int64)])


def tile_at(grid: Grid, number: int) -> Voxel:
    """The tile with a number; x counts fastest."""
    x, y, z = np.unravel_index(number, grid.counts, order="F")
    return int(x), int(y), int(z)


def number_of(grid: Grid, tile: Voxel) -> int:
    """The number of a tile."""
    return int(np.ravel_multi_index(tile, grid.counts, order="F"))


@dataclass(frozen=True)
class Found:
    """The pieces of some tiles.

    Attributes:
        rows: see :func:`rows_dtype`.
        pieces: of each tile; empty if they are on disk.
    """

    rows: npt.NDArray[Any]
    pieces: dict[int, list[Piece]]

    def merge(self, other: Found) -> Found:
        """Both."""
        return Found(np.concatenate([self.rows, other.rows]), {**self.pieces, **other.pieces})


@dataclass(frozen=True)
class MeshTile:
    """Make the pieces of a tile; or take those that are there.

    Attributes:
        volume: what to read.
        grid: the tiles.
        number: of the tile, in the grid's order.
        labels: only these; None: all but 0.
        folder: where to write pieces; None: return them.
    """

    volume: Volume
    grid: Grid
    number: int
    labels: frozenset[int] | None
    folder: Path | None

    @property
    def weight(self) -> int:
        """Tiles."""
        return 1

    def __call__(self) -> Found:
        """Do it.

        Raises:
            FormatError: a chunk is damaged; the message names it.
            StoreError: the store failed.
            OSError: the files cannot be written.
        """
        dtype = rows_dtype(self.volume.label_dtype)
        if self.folder is not None and index_path(self.folder, self.number).exists():
            index = np.load(index_path(self.folder, self.number), allow_pickle=False)
            return Found(_rows(index["label"], self.number, index, dtype), {})
        pieces = self._pieces()
        labels = np.array([piece.label for piece in pieces], self.volume.label_dtype)
        index = _index_of(labels, pieces)
        rows = _rows(labels, self.number, index, dtype)
        if self.folder is None:
            return Found(rows, {self.number: pieces} if pieces else {})
        write(self.folder, self.number, index, pieces)
        return Found(rows, {})

    def _pieces(self) -> list[Piece]:
        start, stop = self.grid.shared(tile_at(self.grid, self.number))
        voxels = self.volume.read(start, stop, self.labels)
        if not voxels.any():
            return []
        ends = (
            [low == first for low, first in zip(start, self.grid.start, strict=True)],
            [high == last for high, last in zip(stop, self.grid.stop, strict=True)],
        )
        return pieces_of(voxels, ends, self.labels)


def _index_of(labels: npt.NDArray[Any], pieces: list[Piece]) -> npt.NDArray[Any]:
    index = np.zeros(len(pieces), [("label", labels.dtype), *_INDEX])
    index["label"] = labels
    for kind, name in (("vertices", "first_vertex"), ("faces", "first_face")):
        counts = np.array([len(getattr(piece, kind)) for piece in pieces], np.int64)
        index[kind], index[name] = counts, np.cumsum(counts) - counts
    return index


def _rows(
    labels: npt.NDArray[Any], number: int, index: npt.NDArray[Any], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    rows = np.zeros(len(index), dtype)
    rows["label"], rows["tile"], rows["row"] = labels, number, np.arange(len(index))
    rows["nbytes"] = 12 * (index["vertices"] + index["faces"])
    return rows


def tile_folder(folder: Path, number: int) -> Path:
    """The folder of a tile's pieces."""
    return folder / f"{number:09d}"


def index_path(folder: Path, number: int) -> Path:
    """The file that says where the pieces of a tile are."""
    return tile_folder(folder, number) / "index.npy"


def write(folder: Path, number: int, index: npt.NDArray[Any], pieces: list[Piece]) -> None:
    """Write the pieces of a tile."""
    inside = tile_folder(folder, number)
    inside.mkdir(exist_ok=True)
    if pieces:
        _save(inside / "vertices.npy", np.concatenate([piece.vertices for piece in pieces]))
        _save(inside / "faces.npy", np.concatenate([piece.faces for piece in pieces]))
    _save(index_path(folder, number), index)


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    def fill(file: IO[bytes]) -> None:
        np.save(file, array, allow_pickle=False)

    atomic_files.replace(str(path), fill)


def read(folder: Path, number: int, row: int) -> Piece:
    """A piece of a tile."""
    inside = tile_folder(folder, number)
    index = np.load(index_path(folder, number), mmap_mode="r", allow_pickle=False)[row]
    vertices = np.load(inside / "vertices.npy", mmap_mode="r", allow_pickle=False)
    faces = np.load(inside / "faces.npy", mmap_mode="r", allow_pickle=False)
    a, b = int(index["first_vertex"]), int(index["first_face"])
    return Piece(
        int(index["label"]),
        np.array(vertices[a : a + int(index["vertices"])]),
        np.array(faces[b : b + int(index["faces"])]),
    )
