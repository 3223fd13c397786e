"""The files of a dataset of skeletons: vertices, edges and labels, in parts by ranges of labels.

``vertices/00000.parquet`` and ``edges/00000.parquet`` have the tables of
:mod:`crackle_zarr.skeletons.tables`, and ``labels/00000.parquet`` a row for each label; the last is written
last. ``skeletons.json`` says what the skeletons were made of and how, and which part has which labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base import atomic_files
from ..skeletons.skeleton import Skeleton
from ..skeletons.tables import pyarrow_modules, to_arrow

if TYPE_CHECKING:
    from .merging import Merged

PLAN = "skeletons.json"
KINDS = ("vertices", "edges", "labels")
# Rows of a row group of vertices: what reading one label reads at the least.
_ROWS = 2**16


def part_path(folder: Path, kind: str, number: int) -> Path:
    """The file of a part."""
    return folder / kind / f"{number:05d}.parquet"


def num_labels(folder: Path, number: int) -> int | None:
    """How many labels a part has; None if it is not whole."""
    path = part_path(folder, "labels", number)
    if not path.exists():
        return None
    _, parquet = pyarrow_modules()
    return int(parquet.read_metadata(str(path)).num_rows)


def write(folder: Path, number: int, merged: Sequence[Merged], dtype: np.dtype[Any]) -> None:
    """Write a part. Each of its files appears when it is whole, that of the labels last."""
    pyarrow, parquet = pyarrow_modules()
    tables = to_arrow([one.skeleton for one in merged])
    names = pyarrow.from_numpy_dtype(dtype)
    for kind, table in (
        ("vertices", tables.vertices),
        ("edges", tables.edges),
        ("labels", pyarrow.table(_rows(merged, dtype))),
    ):
        typed = table.set_column(0, "label", table.column("label").cast(names))

        def fill(file: Any, typed: Any = typed) -> None:
            parquet.write_table(typed, file, row_group_size=_ROWS, compression="zstd")

        path = part_path(folder, kind, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.replace(str(path), fill)


def _rows(merged: Sequence[Merged], dtype: np.dtype[Any]) -> dict[str, Any]:
    skeletons = [one.skeleton for one in merged]
    low = np.array([one.vertices.min(axis=0) for one in skeletons], np.float32).reshape(-1, 3)
    high = np.array([one.vertices.max(axis=0) for one in skeletons], np.float32).reshape(-1, 3)

    def counts(numbers: Any) -> Any:
        return np.array(list(numbers), np.uint64)

    columns: dict[str, Any] = {
        "label": np.array([one.id for one in skeletons], dtype),
        "voxels": counts(one.voxels for one in merged),
        "cable_length": np.array([one.cable_length() for one in skeletons], np.float64),
        "vertices": counts(len(one.vertices) for one in skeletons),
        "edges": counts(len(one.edges) for one in skeletons),
        "trees": counts(_trees(one) for one in skeletons),
        "ends": counts(len(one.terminals()) for one in skeletons),
        "branches": counts(len(one.branches()) for one in skeletons),
        "somas": counts(one.somas for one in merged),
        "cut_somas": counts(one.cut_somas for one in merged),
    }
    for axis, name in enumerate("xyz"):
        columns[f"min_{name}"], columns[f"max_{name}"] = low[:, axis], high[:, axis]
    return columns


def _trees(skeleton: Skeleton) -> int:
    """Of a forest."""
    return len(skeleton.vertices) - len(skeleton.edges)
