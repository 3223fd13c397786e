"""Pieces: skeletons of the parts of objects in one tile, on their way to the label that they belong to.

A piece is a tree whose vertices are voxels of the array. Where its object leaves the tile, it has a vertex
that the tile behind has too. A tile's pieces are a Parquet file, a row each, sorted by label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from ..skeletons.tables import pyarrow_modules

# Vertices of a row group, which is read as a whole.
_GROUP = 2**16


class Piece(NamedTuple):
    """A tree in a tile.

    Attributes:
        label: of the object.
        voxels: of the object, without those that the next tiles have for themselves.
        has_soma: whether it was taken for a cell body.
        is_cut: whether its object goes on in another tile.
        vertices: voxels (x, y, z) of the array, ``(n, 3)`` of uint32.
        radii: float32.
        edges: pairs of vertices, ``(m, 2)`` of uint32.
    """

    label: int
    voxels: int
    has_soma: bool
    is_cut: bool
    vertices: npt.NDArray[np.uint32]
    radii: npt.NDArray[np.float32]
    edges: npt.NDArray[np.uint32]


def write(path: Path, pieces: Sequence[Piece], dtype: np.dtype[Any], told: dict[bytes, bytes]) -> None:
    """Write the pieces of a tile; the file appears when it is whole.

    Args:
        path: of the file.
        pieces: in any order.
        dtype: of labels.
        told: further facts, for the file's metadata.
    """
    pyarrow, parquet = pyarrow_modules()
    listed = sorted(pieces, key=lambda one: (one.label, one.vertices[0].tolist()))

    def lists(arrays: list[npt.NDArray[Any]], like: Any) -> Any:
        ends = np.cumsum([0, *(one.size for one in arrays)], dtype=np.int32)
        flat = np.concatenate([np.zeros(0, like), *(one.reshape(-1) for one in arrays)]).astype(like)
        return pyarrow.ListArray.from_arrays(ends, flat)

    table = pyarrow.table(
        {
            "label": np.array([one.label for one in listed], dtype),
            "voxels": np.array([one.voxels for one in listed], np.uint64),
            "has_soma": np.array([one.has_soma for one in listed], bool),
            "is_cut": np.array([one.is_cut for one in listed], bool),
            "num_vertices": np.array([len(one.vertices) for one in listed], np.uint32),
            "vertices": lists([one.vertices for one in listed], np.uint32),
            "radii": lists([one.radii for one in listed], np.float32),
            "edges": lists([one.edges for one in listed], np.uint32),
        }
    ).replace_schema_metadata(told)

    def fill(file: Any) -> None:
        with parquet.ParquetWriter(file, table.schema, compression="zstd") as writer:
            for first, last in _groups([len(one.vertices) for one in listed]):
                writer.write_table(table.slice(first, last - first), row_group_size=max(last - first, 1))

    atomic_files.replace(str(path), fill)


def _groups(counts: list[int]) -> Iterator[tuple[int, int]]:
    first = vertices = 0
    for last, count in enumerate(counts, start=1):
        vertices += count
        if vertices >= _GROUP or last == len(counts):
            yield first, last
            first, vertices = last, 0


@dataclass(frozen=True)
class Histogram:
    """How many vertices there are, by ranges of labels that are powers of two wide.

    It has few enough entries to travel, and is the same in whatever order parts are merged.

    Attributes:
        shift: a bin has the labels that are equal but for so many low bits.
        bins: labels without these bits, ascending.
        counts: the vertices of each bin.
    """

    shift: int
    bins: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Histogram:
        """Count vertices of labels, which may repeat."""
        return cls._narrowed(0, labels, counts.astype(np.int64))

    @classmethod
    def _narrowed(cls, shift: int, bins: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> Histogram:
        while True:
            distinct, place = np.unique(bins, return_inverse=True)
            if len(distinct) <= _BINS:
                return cls(shift, distinct, np.bincount(place, counts, len(distinct)).astype(np.int64))
            shift, bins = shift + 1, bins >> bins.dtype.type(1)

    def merge(self, other: Histogram) -> Histogram:
        """Both."""
        shift = max(self.shift, other.shift)
        bins = [one.bins >> one.bins.dtype.type(shift - one.shift) for one in (self, other)]
        return self._narrowed(shift, np.concatenate(bins), np.concatenate([self.counts, other.counts]))

    def ranges(self, most: int) -> list[tuple[int, int]]:
        """Ranges of labels, both ends included, with some ``most`` vertices each, one bin at the least."""
        found = []
        first, vertices = 0, 0
        bins, counts = self.bins.tolist(), self.counts.tolist()
        for last, count in enumerate(counts):
            if vertices and vertices + count > most:
                found.append((first, last))
                first, vertices = last, 0
            vertices += count
        if bins:
            found.append((first, len(bins)))
        return [(bins[low] << self.shift, ((bins[high - 1] + 1) << self.shift) - 1) for low, high in found]


_BINS = 2**18


def histogram_of(path: Path) -> Histogram:
    """The histogram of a tile that is whole."""
    _, parquet = pyarrow_modules()
    table = parquet.read_table(str(path), columns=["label", "num_vertices"])
    return Histogram.of(table.column("label").to_numpy(), table.column("num_vertices").to_numpy())


def told_by(path: Path) -> dict[bytes, bytes]:
    """The facts in the metadata of a tile's file."""
    _, parquet = pyarrow_modules()
    schema = parquet.read_schema(str(path))
    told: dict[bytes, bytes] = schema.metadata or {}
    return told


def read(path: Path, low: int, high: int) -> Iterator[Piece]:
    """The pieces of a tile whose labels are within ``low`` to ``high``, by label."""
    _, parquet = pyarrow_modules()
    footer = parquet.read_metadata(str(path))
    with parquet.ParquetFile(str(path)) as file:
        wanted = []
        for group in range(footer.num_row_groups):
            statistics = footer.row_group(group).column(0).statistics
            if statistics is None or (statistics.min <= high and low <= statistics.max):
                wanted.append(group)
        if not wanted:
            return
        table = file.read_row_groups(wanted)
    names = ["vertices", "radii", "edges"]
    columns = {name: table.column(name).combine_chunks() for name in names}
    # Chunked lists are one array of values with offsets that begin at 0.
    ends = {name: np.asarray(column.offsets) for name, column in columns.items()}
    values = {name: column.values.to_numpy(zero_copy_only=False) for name, column in columns.items()}
    scalars = {name: table.column(name).to_pylist() for name in ("label", "voxels", "has_soma", "is_cut")}
    for row, label in enumerate(scalars["label"]):
        if not low <= label <= high:
            continue
        vertices, radii, edges = (values[name][ends[name][row] : ends[name][row + 1]] for name in names)
        yield Piece(
            label,
            scalars["voxels"][row],
            scalars["has_soma"][row],
            scalars["is_cut"][row],
            vertices.reshape(-1, 3),
            radii,
            edges.reshape(-1, 2),
        )
