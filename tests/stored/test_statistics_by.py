"""Statistics per label and position along an axis, such as the frames of a time series."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import Ran, one_line, run  # noqa: F401 - run is a fixture
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr import _binding

Run = Callable[..., Ran]
SHAPES = [(7, 9), (5, 6, 7), (4, 5, 6, 7), (3, 2, 4, 5, 6)]
NAMES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}


def movie(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Labels in blocks, so that each has voxels at several positions."""
    small = np.random.default_rng(seed).integers(0, 5, [-(-length // 2) for length in shape])
    for axis in range(len(shape)):
        small = small.repeat(2, axis=axis)
    return small[tuple(map(slice, shape))].astype(np.uint16)


def stored(data: np.ndarray[Any, Any], **options: Any) -> zarr.Array[Any]:
    options = {"chunks": tuple(min(3, length) for length in data.shape), **options}
    names = list(NAMES[data.ndim]) if options.get("zarr_format", 3) == 3 else None
    return cz.create_array(MemoryStore(), data=data, dimension_names=names, **options)


def expected(data: np.ndarray[Any, Any], axis: int, positions: range) -> list[tuple[Any, ...]]:
    """Label, position, voxels, start, stop and centroid by NumPy, by label and then by position."""
    rows = []
    for place in positions:
        frame = data.take([place], axis=axis)
        for label in np.unique(frame):
            index = np.argwhere(frame == label)
            index[:, axis] += place
            start, stop = index.min(axis=0), index.max(axis=0) + 1
            rows.append(
                (int(label), place, len(index), start.tolist(), stop.tolist(), index.mean(axis=0).tolist())
            )
    return sorted(rows, key=lambda row: row[:2])


def check(table: Any, column: str, rows: list[tuple[Any, ...]]) -> None:
    assert table.dtype.names[:3] == ("label", column, "voxel_count")
    got = [tuple(row[key] for key in ("label", column, "voxel_count")) for row in table]
    assert got == [row[:3] for row in rows]
    assert table["start"].tolist() == [row[3] for row in rows]
    assert table["stop"].tolist() == [row[4] for row in rows]
    assert np.allclose(table["centroid"], [row[5] for row in rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{len(shape)} axes")
def test_every_axis_by_number(shape: tuple[int, ...]) -> None:
    """Of two to five axes, each gives what NumPy finds in its positions; the column has the axis's name."""
    data = movie(shape)
    array = stored(data)
    for axis, length in enumerate(shape):
        table = cz.statistics(array, by=axis)
        check(table, NAMES[len(shape)][axis], expected(data, axis, range(length)))


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (1, 6, 7, 8)},
        {"chunks": (2, 2, 2, 2), "shards": (4, 4, 4, 4)},
        {"zarr_format": 2},
        {"zarr_format": 2, "order": "F"},
        {"allow_pins": 2},
    ],
    ids=["a frame per chunk", "shards", "format 2", "order F", "pins"],
)
def test_layouts(options: dict[str, Any]) -> None:
    """Chunks of a frame or several, shards, both formats and pins give the same rows."""
    data = movie((4, 6, 7, 8), 1)
    array = stored(data, **options)
    column = "axis_0" if options.get("zarr_format") == 2 else "t"
    check(cz.statistics(array, by=0), column, expected(data, 0, range(4)))


def test_regions_select_frames() -> None:
    """A region limits positions, and positions count from the array's first."""
    data = movie((6, 5, 6, 7), 2)
    array = stored(data)
    check(cz.statistics(array, by="t", region=np.s_[2:5]), "t", expected(data, 0, range(2, 5)))
    part = data.copy()
    part[:, :2] = 99
    table = cz.statistics(array, by="t", region=np.s_[:, 2:])
    check(table, "t", [row for row in expected(part, 0, range(6)) if row[0] != 99])
    assert len(cz.statistics(array, by="t", region=np.s_[3:3])) == 0


def test_executors_and_missing_chunks() -> None:
    """An executor gives the same rows, and chunks that are not stored count as the fill value."""
    array = cz.create_array(
        MemoryStore(), shape=(5, 8, 8), dtype="u4", chunks=(2, 4, 4), dimension_names=["t", "y", "x"]
    )
    array[3, 2:6, 1:7] = 8
    with ThreadPoolExecutor(2) as executor:
        table = cz.statistics(array, by="t", executor=executor)
    check(table, "t", expected(np.asarray(array[...]), 0, range(5)))


def test_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No voxel is decoded."""
    array = stored(movie((4, 5, 6, 7)))

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a voxel was decoded")

    monkeypatch.setattr(_binding.Reader, "decode", refuse)
    with pytest.raises(AssertionError, match="decoded"):
        cz.decompress(cz.compress(movie((4, 5, 6))))
    assert len(cz.statistics(array, by="t")) > 0


def test_an_image_of_ome_zarr_names_its_axes() -> None:
    """Levels of a group have the names of its axes; units keep the positions as indices."""
    data = movie((3, 4, 6, 6))
    image = cz.write_ome_labels({}, None, data, "tzyx", (1, 40, 8, 8), "nm", levels=1)
    table = cz.statistics(image.group, by="t", units=True)
    assert table.dtype.names[:4] == ("label", "t", "voxel_count", "volume")
    assert [(row["label"], row["t"]) for row in table] == [row[:2] for row in expected(data, 0, range(3))]


def test_errors() -> None:
    """An axis that is not there is refused by name and number, and so are streams."""
    data = movie((4, 5, 6))
    array = stored(data)
    with pytest.raises(ValueError, match=r"by='t' is no axis of .*: z, y, x; or give a number"):
        cz.statistics(array, by="t")
    with pytest.raises(ValueError, match="by=3 is no axis"):
        cz.statistics(array, by=3)
    with pytest.raises(TypeError, match="by is for stored arrays"):
        cz.statistics(cz.compress(data), by=0)
    assert cz.statistics(array, by=-3).dtype.names[1] == "z"


def test_columns_do_not_collide() -> None:
    """An axis whose name is that of a column gives axis_N."""
    array = cz.create_array(MemoryStore(), data=movie((3, 4)), chunks=(2, 2), dimension_names=["label", "x"])
    assert cz.statistics(array, by="label").dtype.names[:2] == ("label", "axis_0")


def test_parquet_carries_the_column() -> None:
    """to_parquet and the table's exports have the column."""
    pytest.importorskip("pyarrow")
    data = movie((3, 4, 5, 6))
    array = stored(data)
    table = cz.to_parquet(array, by="t")
    rows = expected(data, 0, range(3))
    assert table.column_names[:3] == ["label", "t", "voxel_count"]
    assert table["t"].to_pylist() == [row[1] for row in rows]
    assert cz.statistics(array, by="t").to_arrow()["t"].to_pylist() == [row[1] for row in rows]


def test_command_line(run: Run, tmp_path: Path) -> None:
    """stats --by takes a name or a number, with labels and regions, in CSV and JSON; files are refused."""
    data = movie((4, 3, 5, 6), 3)
    array = cz.create_array(tmp_path / "m.zarr", data=data, chunks=(2, 3, 5, 6), dimension_names=list("tzyx"))
    rows = expected(data, 0, range(4))
    got = list(csv.DictReader(io.StringIO(run("stats", "m.zarr", "--by", "t").out)))
    assert [(int(row["label"]), int(row["t"]), int(row["voxel_count"])) for row in got] == [
        row[:3] for row in rows
    ]
    got = json.loads(run("stats", "m.zarr", "--by", "0", "--json", "-l", "2", "--region", "1:3").out)
    assert [(row["label"], row["t"]) for row in got] == [
        ("2", row[1]) for row in rows if row[0] == 2 and row[1] in (1, 2)
    ]
    assert "is no axis" in one_line(run("stats", "m.zarr", "--by", "w"))
    cz.save(data[0], tmp_path / "a.ckl")
    assert "--by is for Zarr arrays" in one_line(run("stats", "a.ckl", "--by", "z"))
    assert array.shape == data.shape
