"""The table of labels that ``statistics`` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .axes_table import PER_AXIS, AxesRow, AxesTable
from .exported_table import pyarrow_with_parquet


class StatisticsRow(AxesRow):  # type: ignore[misc] # final to the stubs alone
    """A row of a :class:`StatisticsTable`: its fields, and ``start``, ``stop`` and ``centroid`` as arrays."""


class StatisticsTable(AxesTable):
    """A structured array with a row per label, ascending.

    Columns: ``label`` in the array's dtype; ``voxel_count`` (u8); ``start_0``, ``start_1`` ... and ``stop_0``
    ... (u8, one per axis; half-open); ``centroid_0`` ... (f8, one per axis), the mean index of the voxels.
    With ``by``, the position along that axis (u8) follows the label, in a column with the axis's name.
    Beside these fields, ``table["start"]``, ``table["stop"]`` and ``table["centroid"]`` are arrays of shape
    (rows, axes).

    ``pandas.DataFrame(table)`` and ``polars.DataFrame(table)`` work, as does any library that uses Arrow's
    stream interface before it tests for NumPy arrays. duckdb tests for NumPy arrays first, so it takes
    ``duckdb.from_arrow(table.to_arrow())``, or ``arrow = table.to_arrow()`` and then
    ``duckdb.sql("select * from arrow")``.
    """

    def __setstate__(self, state: Any) -> None:
        """Load a pickle. In those of former versions a field has a number per axis: split it."""
        version, shape, dtype, *rest = state
        super().__setstate__((version, shape, _flat(dtype), *rest))


def _flat(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype of the same memory layout, with a field for each number of its fields."""
    assert dtype.names is not None
    if not any(dtype[name].shape for name in dtype.names):
        return dtype
    fields: list[tuple[str, Any]] = []
    for name in dtype.names:
        field = dtype[name]
        if field.shape:
            fields += [(f"{name}_{axis}", field.base) for axis in range(field.shape[0])]
        else:
            fields.append((name, field))
    return np.dtype((StatisticsRow, np.dtype(fields)))


def empty_table(length: int, label: np.dtype[Any], ndim: int) -> StatisticsTable:
    """A table of ``length`` rows with undefined contents."""
    fields: list[tuple[str, Any]] = [("label", label), ("voxel_count", "u8")]
    for key, dtype in PER_AXIS.items():
        fields += [(f"{key}_{axis}", dtype) for axis in range(ndim)]
    return np.empty(length, dtype=np.dtype((StatisticsRow, np.dtype(fields)))).view(StatisticsTable)


def positioned(table: StatisticsTable, name: str, positions: npt.NDArray[np.uint64]) -> StatisticsTable:
    """A table with a column of positions behind the labels.

    Args:
        table: any table of statistics.
        name: of the column.
        positions: one per row.
    """
    assert table.dtype.names is not None
    fields = [(field, table.dtype[field]) for field in table.dtype.names]
    fields.insert(1, (name, np.dtype(np.uint64)))
    found = np.empty(len(table), dtype=np.dtype((StatisticsRow, np.dtype(fields)))).view(StatisticsTable)
    for field in table.dtype.names:
        found[field][...] = table[field]
    found[name][...] = positions
    return found


def physical(rows: StatisticsTable, size: Sequence[float], origin: Sequence[float]) -> StatisticsTable:
    """The table in physical units.

    Args:
        rows: the table in voxels.
        size: the edges of a voxel, one per axis.
        origin: where the centre of the first voxel lies.
    """
    edges, first = np.asarray(size, dtype=np.float64), np.asarray(origin, dtype=np.float64)
    fields: list[tuple[str, Any]] = [("label", rows.dtype["label"]), ("voxel_count", "u8"), ("volume", "f8")]
    for key in PER_AXIS:
        fields += [(f"{key}_{axis}", "f8") for axis in range(len(edges))]
    found = np.empty(len(rows), dtype=np.dtype((StatisticsRow, np.dtype(fields)))).view(StatisticsTable)
    for name in ("label", "voxel_count"):
        found[name][...] = rows[name]
    found["volume"][...] = rows["voxel_count"] * edges.prod()
    # A voxel reaches half an edge beyond its centre.
    for key, shift in (("start", 0.5), ("stop", 0.5), ("centroid", 0.0)):
        found[key][...] = first + (rows[key] - shift) * edges
    return found


def boxes_table(rows: StatisticsTable, axes: Sequence[str], by: str | None = None) -> Any:
    """Labels, voxel counts and boxes as a ``pyarrow.Table``; see :func:`crackle_zarr.to_parquet`.

    ``by`` is the name of a column of positions.
    """
    pyarrow, _ = pyarrow_with_parquet()
    columns = rows.columns()
    chosen = {name: columns[name] for name in ("label", *([by] if by else ()), "voxel_count")}
    for axis, name in enumerate(axes):
        chosen[f"min_{name}"] = columns[f"start_{axis}"].astype(np.uint32)
        chosen[f"max_{name}"] = (columns[f"stop_{axis}"] - np.uint64(1)).astype(np.uint32)
    return pyarrow.table({name: pyarrow.array(column) for name, column in chosen.items()})
