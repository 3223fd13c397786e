"""All parts of components of an array, and which of them are one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.storage import LocalStore

from ..._base import zarr_facts
from ..._base.temporary_files import append
from ..editing.applying import check_processes
from ..engine import Options, run
from ..layout import Coords
from ..writing import write_objects
from .pieces import Array, Found, Joining, MakePieces, read_rows, row_dtype
from .sets import JoinPieces, Sets, both, neighbours

# How many keys of pending work are removed in one call.
_AT_ONCE = 1000
# How many tables of pieces are requested together.
_TABLES_AT_ONCE = 64
# Rows of more bytes are kept in a file.
_ROWS_IN_MEMORY = 2**28
# Of so many chunks on, a task has several.
_MANY, _OF_A_TASK = 64, 8


@dataclass(frozen=True)
class Parts:
    """The components of all chunks, which are parts of components of the array.

    Attributes:
        coords: the chunks, in C order.
        offsets: the number of the first part of each chunk among all, and at last the number of all.
        rows: of all parts; see ``pieces.row_dtype``.
        roots: the part with the first voxel of the component that each belongs to.
        meets: the parts of different labels that share a face, ``(n, 2)``, if they were asked for.
    """

    coords: list[Coords]
    offsets: npt.NDArray[np.int64]
    rows: Array
    roots: npt.NDArray[np.int64]
    meets: npt.NDArray[np.int64]

    def of(self, place: int) -> slice:
        """The parts of a chunk, by its place among the chunks."""
        return slice(int(self.offsets[place]), int(self.offsets[place + 1]))

    def whole(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The roots in the order of their first voxels, and for each part the place of its root in it."""
        roots = np.flatnonzero(self.roots == np.arange(len(self.roots)))
        roots = roots[np.argsort(self.rows["first"][roots], kind="stable")]
        rank = np.empty(len(self.roots), dtype=np.int64)  # of roots alone
        rank[roots] = np.arange(len(roots))
        return roots, rank[self.roots]


def parts_of(joining: Joining, coords: Sequence[Coords], resumed: bool, options: Options) -> Parts:
    """Find the components of some chunks, and which of them are one."""
    listed = list(coords)
    check_processes(joining.store, options, joining.target.array)
    tasks = (MakePieces(joining, tuple(group), resumed) for group in _batches(listed))
    found = run(tasks, options, total=len(listed), unit="chunk", merge=Found.__add__)
    counts = [] if found is None else [found.counts[one] for one in listed]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(counts, dtype=np.int64))])
    together = _rows_of(joining, listed, offsets)
    place = {one: number for number, one in enumerate(listed)}
    quiet = replace(options, progress=False)
    sets = Sets(together["first"])
    joins = _joins(joining, listed, place, offsets)
    run(joins, quiet, total=len(listed), unit="chunk", merge=both, into=sets)
    return Parts(listed, offsets, together, sets.roots(), sets.meets())


def _joins(
    joining: Joining, listed: list[Coords], place: dict[Coords, int], offsets: npt.NDArray[np.int64]
) -> Iterator[JoinPieces]:
    for group in _batches(listed):
        near = {one for coords in group for _, one in neighbours(joining, coords)} | set(group)
        here = {one: int(offsets[place[one]]) for one in near if one in place}
        yield JoinPieces(joining, tuple(group), here)


def _rows_of(joining: Joining, listed: list[Coords], offsets: npt.NDArray[np.int64]) -> Array:
    """The rows of all pieces; of very many, in a file without a name that is mapped to memory."""
    kind, count = row_dtype(len(joining.order)), int(offsets[-1])
    if count * kind.itemsize <= _ROWS_IN_MEMORY:
        rows: Array = np.empty(count, dtype=kind)
        done = 0
        for some in _blocks_of_rows(joining, listed, offsets, kind):
            rows[done : done + len(some)] = some
            done += len(some)
        return rows
    with tempfile.TemporaryFile(prefix="crackle-zarr-", buffering=0) as file:
        for some in _blocks_of_rows(joining, listed, offsets, kind):
            append(file, some)
        return np.memmap(file, dtype=kind, mode="r", shape=(count,))


def _blocks_of_rows(
    joining: Joining, listed: list[Coords], offsets: npt.NDArray[np.int64], kind: np.dtype[Any]
) -> Iterator[Array]:
    for start in range(0, len(listed), _TABLES_AT_ONCE):
        tables = read_rows(joining, listed[start : start + _TABLES_AT_ONCE])
        places = offsets[start : start + len(tables) + 1] - offsets[start]
        rows: Array = np.empty(places[-1], dtype=kind)
        for number, one in enumerate(tables):
            rows[places[number] : places[number + 1]] = one
        yield rows


def _batches(listed: list[Coords]) -> Iterator[list[Coords]]:
    size = _OF_A_TASK if len(listed) >= _MANY else 2
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


def remove_pending(joining: Joining, coords: Sequence[Coords]) -> None:
    """Remove the pending work."""
    keys = [joining.key(kind, one) for one in coords for kind in ("table", "stream")]
    for start in range(0, len(keys), _AT_ONCE):
        write_objects(joining.store, dict.fromkeys(keys[start : start + _AT_ONCE]))
    disk = zarr_facts.unwrapped(joining.store)
    if isinstance(disk, LocalStore):
        for folder in ("table", "stream", ""):
            place = Path(disk.root) / joining.prefix / folder
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def as_labels(bits: npt.NDArray[np.uint64], label: np.dtype[Any]) -> npt.NDArray[Any]:
    """Labels of 64 bits in their own dtype."""
    return bits.view(np.int64).astype(label) if label.kind == "i" else bits.astype(label)
