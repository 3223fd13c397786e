"""How many voxels each label has, where they begin and end, and what their mean index is.

All of it from one pass over the components of the slices (``measure`` in C); no voxel is painted. A chunk
answers with a row per label, along the array's axes, and rows of the same label are added up: counts and sums
exactly, so that the answer does not depend on who did which chunk.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._base import wide
from .._binding import Reader, over_slices, slices_at_once
from .chunk import Chunk
from .engine import Options, ask
from .fetch import Steps
from .layout import Box, Layout, Run
from .queries import array_bounds, filled, measured

Rows: TypeAlias = Any  # structured arrays of the dtypes below


# ---------------------------------------------------------------------------------------
# The table that users get


class StatisticsTable(np.ndarray[Any, np.dtype[Any]]):
    """A structured array with a row per label, ascending.

    Fields: ``label`` in the array's dtype; ``voxel_count`` (u8); ``start`` and ``stop`` (u8, a number per
    axis; half-open); ``centroid`` (f8, a number per axis), the mean index of the voxels.
    """

    def to_csv(self, file: str | os.PathLike[str] | IO[str]) -> None:
        """Write a line per label, below a line with the names of the columns.

        Args:
            file: a path, or a file opened for text. Labels are written as integers of all their digits.
        """
        if isinstance(file, str | os.PathLike):
            with open(file, "w", newline="", encoding="ascii") as opened:
                self.to_csv(opened)
            return
        columns = self._columns()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))

    def to_parquet(self, file: str | os.PathLike[str] | io.IOBase) -> None:
        """Write a Parquet file with the columns of :meth:`to_csv`.

        Raises:
            ImportError: pyarrow is not installed.
        """
        pyarrow, parquet = _pyarrow()
        table = pyarrow.table({name: pyarrow.array(column) for name, column in self._columns().items()})
        parquet.write_table(table, file)

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        plain = self.view(np.ndarray)
        columns = {}
        for name in ("label", "voxel_count", "start", "stop", "centroid"):
            values = plain[name]
            if values.dtype.kind == "b":
                values = values.astype(np.uint8)
            if values.ndim == 1:
                columns[name] = values.astype(values.dtype.newbyteorder("="))
            else:
                for axis in range(values.shape[1]):
                    columns[f"{name}_{axis}"] = np.ascontiguousarray(values[:, axis])
        return columns


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install 'crackle-zarr[parquet]'") from None


def boxes_table(rows: StatisticsTable, axes: Sequence[str]) -> Any:
    """Labels, voxel counts and boxes as a table of pyarrow; see :func:`crackle_zarr.to_parquet`."""
    pyarrow, _ = _pyarrow()
    columns = rows._columns()
    made = {name: columns[name] for name in ("label", "voxel_count")}
    for axis, name in enumerate(axes):
        made[f"min_{name}"] = columns[f"start_{axis}"].astype(np.uint32)
        made[f"max_{name}"] = (columns[f"stop_{axis}"] - np.uint64(1)).astype(np.uint32)
    return pyarrow.table({name: pyarrow.array(column) for name, column in made.items()})


def _table(rows: Rows | None, dtype: np.dtype[Any], ndim: int) -> StatisticsTable:
    made: Rows = np.empty(
        0 if rows is None else len(rows),
        dtype=[
            ("label", dtype),
            ("voxel_count", "u8"),
            ("start", "u8", (ndim,)),
            ("stop", "u8", (ndim,)),
            ("centroid", "f8", (ndim,)),
        ],
    )
    if rows is not None:
        for name in ("label", "start", "stop"):
            made[name] = rows[name]
        made["voxel_count"] = rows["voxels"]
        made["centroid"] = wide.quotient((rows["high"], rows["low"]), rows["voxels"][:, np.newaxis])
    return made.view(StatisticsTable)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------
# Rows: what chunks answer


def _rows_dtype(label: np.dtype[Any], ndim: int) -> np.dtype[Any]:
    fields = [("label", label), ("voxels", "u8")]
    axes = [(name, "u8", (ndim,)) for name in ("start", "stop", "high", "low")]
    return np.dtype([*fields, *axes])


def merged(rows: Rows) -> Rows:
    """Rows of equal labels made one; ascending."""
    rows = rows[np.argsort(rows["label"], kind="stable")]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = rows["label"][1:] != rows["label"][:-1]
    if new.all():
        return rows
    firsts = np.flatnonzero(new)
    result = rows[firsts]
    result["voxels"] = np.add.reduceat(rows["voxels"], firsts)
    result["start"] = np.minimum.reduceat(rows["start"], firsts, axis=0)
    result["stop"] = np.maximum.reduceat(rows["stop"], firsts, axis=0)
    result["high"], result["low"] = wide.add_groups((rows["high"], rows["low"]), firsts)
    return result


def rows_of(chunk: Chunk, table: npt.NDArray[Any], found: Iterable[tuple[Run, Rows]]) -> Rows:
    """The extents of a stream's table entries as rows along the array's axes."""
    ndim = len(chunk.box)
    parts = [np.empty(0, dtype=_rows_dtype(table.dtype, ndim))]
    for run, extents in found:
        some = extents["voxels"] > 0
        extents = extents[some]
        rows: Rows = np.empty(len(extents), dtype=parts[0].dtype)
        rows["label"], rows["voxels"] = table[some], extents["voxels"]
        rows["start"], rows["stop"] = array_bounds(chunk, run, extents)
        # Within the stream sums count from its origin, and slices from its first: move them to the array's.
        origin = run.origin.astype(np.uint64)
        sums = np.zeros((len(extents), ndim), dtype=np.uint64)
        for place, axis in enumerate(chunk.stream_axes):
            if axis is not None:
                sums[:, axis] = extents["sum"][:, place]
                if place == 2:
                    sums[:, axis] -= extents["voxels"] * np.uint64(run.z[0])
        voxels = np.broadcast_to(extents["voxels"][:, np.newaxis], sums.shape)
        moved = wide.product(voxels, np.broadcast_to(origin, sums.shape))
        rows["high"], rows["low"] = wide.add((np.zeros_like(sums), sums), moved)
        parts.append(rows)
    return merged(np.concatenate(parts))


def _rows_of_box(label: npt.NDArray[Any], box: Box) -> Rows:
    """A box of one label as a row."""
    rows: Rows = np.empty(1, dtype=_rows_dtype(label.dtype, len(box)))
    voxels = 1
    for start, stop in box:
        voxels *= stop - start
    rows["label"], rows["voxels"] = label, voxels
    for axis, (start, stop) in enumerate(box):
        rows["start"][0, axis], rows["stop"][0, axis] = start, stop
        total = voxels * (start + stop - 1) // 2
        rows["high"][0, axis], rows["low"][0, axis] = total >> 64, total & (2**64 - 1)
    return rows


@dataclass(frozen=True)
class Measure:
    """A row per label of what is asked about."""

    verify: bool

    def ask(self, chunk: Chunk) -> Steps[Rows]:
        """Measure one chunk."""
        found = yield from measured(chunk, chunk.runs, self.verify)
        if found is None:
            return _rows_of_box(filled(chunk.layout), chunk.box)
        reader = yield from chunk.labels()
        assert reader is not None
        return rows_of(chunk, chunk.table(reader, self.verify), found)

    def merge(self, a: Rows, b: Rows) -> Rows:
        """Add up the rows of two chunks, or of more."""
        return merged(np.concatenate([a, b]))

    def enough(self, answer: Rows) -> bool:
        """There is always more to count."""
        return False


def statistics(layout: Layout, box: Box, options: Options) -> StatisticsTable:
    """A row per label that is in a box."""
    rows = ask(layout, Measure(options.verify), box, options)
    return _table(rows, layout.array.dtype, len(layout.shape))


def statistics_of_stream(reader: Reader, parallel: int = 1) -> StatisticsTable:
    """A row per label of a stream, whose axes are x, y and z."""
    head = reader.header
    if head.voxels() == 0:
        return _table(None, head.dtype, 3)
    dtype = _rows_dtype(head.dtype, 3)
    table = reader.table()

    def rows(z_start: int, z_end: int) -> Rows:
        extents = reader.measure(z_start, z_end)
        some = extents["voxels"] > 0
        extents = extents[some]
        made: Rows = np.zeros(len(extents), dtype=dtype)
        made["label"], made["low"] = table[some], extents["sum"]
        for name in ("voxels", "start", "stop"):
            made[name] = extents[name]
        return made

    depth = slices_at_once(head, shared=True, rows=len(table))
    found = over_slices(rows, 0, head.sz, parallel, depth)
    return _table(merged(np.concatenate(found)), head.dtype, 3)
