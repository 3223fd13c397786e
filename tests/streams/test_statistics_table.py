"""The table of statistics goes into pandas, polars, duckdb, Arrow and CSV with exact labels."""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr.streams.statistics_table import StatisticsTable, empty_table

EXTREMES = {
    "u1": [0, 255],
    "i2": [-(2**15), 2**15 - 1],
    "u4": [0, 2**32 - 1],
    "i8": [-(2**63), -1, 2**63 - 1],
    "u8": [0, 2**53 + 1, 2**64 - 1],
    "bool": [0, 1],
    ">u4": [7, 2**31],
}


def stored(shape: tuple[int, ...], dtype: str) -> zarr.Array[Any]:
    values = np.array(EXTREMES[dtype], dtype=dtype)
    labels = values[np.arange(np.prod(shape)).reshape(shape) // 3 % len(values)]
    return cz.create_array(
        {}, data=labels, chunks=tuple(min(n, 4) for n in shape), zarr_format=2 if dtype[0] == ">" else 3
    )


@pytest.fixture(params=EXTREMES, scope="module")
def table(request: pytest.FixtureRequest) -> StatisticsTable:
    """A table of an array with the extreme labels of a dtype."""
    return cz.statistics(stored((4, 6, 5), request.param))


def names(ndim: int) -> list[str]:
    return [
        "label",
        "voxel_count",
        *(f"{key}_{n}" for key in ("start", "stop", "centroid") for n in range(ndim)),
    ]


def expected(table: StatisticsTable) -> dict[str, list[Any]]:
    """The columns as Python's numbers, computed from the arrays of all axes."""
    found = {"label": [int(label) for label in table["label"]], "voxel_count": table["voxel_count"].tolist()}
    for key in ("start", "stop", "centroid"):
        for axis in range(table[key].shape[1]):
            found[f"{key}_{axis}"] = table[key][:, axis].tolist()
    return found


@pytest.mark.parametrize("shape", [(9,), (4, 6), (4, 6, 5), (2, 3, 4, 5)])
def test_columns_are_flat(shape: tuple[int, ...]) -> None:
    """Each number has a field, and the common names give arrays with a column per axis."""
    array = stored(shape, "u4")
    table = cz.statistics(array)
    assert list(table.dtype.names or ()) == names(len(shape))
    voxels = array[...]
    for row in table:
        places = np.argwhere(voxels == row["label"])
        assert row["voxel_count"] == len(places)
        np.testing.assert_array_equal(row["start"], places.min(axis=0))
        np.testing.assert_array_equal(row["stop"], places.max(axis=0) + 1)
        np.testing.assert_allclose(row["centroid"], places.mean(axis=0))
    assert table["start"].shape == table["stop"].shape == table["centroid"].shape == (len(table), len(shape))


def test_columns_of_all_axes_are_views() -> None:
    """``table["start"]`` is a view: writing to it changes the table."""
    table = empty_table(3, np.dtype("u4"), 2)
    table["start"][...] = [[1, 2], [3, 4], [5, 6]]
    assert table["start_1"].tolist() == [2, 4, 6]
    assert table[1]["start"].tolist() == [3, 4]
    assert type(table[1:]) is StatisticsTable
    assert type(table["label"]) is np.ndarray


def test_pickles() -> None:
    """A table and a row keep their methods when pickled."""
    table = cz.statistics(stored((4, 6, 5), "u8"))
    again = pickle.loads(pickle.dumps(table))
    assert (again == table).all()
    assert again[0]["start"].tolist() == table[0]["start"].tolist()
    assert again.columns().keys() == table.columns().keys()


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_pickles_of_before(ndim: int) -> None:
    """Pickles of former tables, from another module and with fields of a number per axis, still load."""
    table = cz.statistics(stored((2, 3, 4, 5)[-ndim:], "u8"))
    axes = [(key, dtype, (ndim,)) for key, dtype in (("start", "u8"), ("stop", "u8"), ("centroid", "f8"))]
    former = np.empty(len(table), dtype=[("label", "u8"), ("voxel_count", "u8"), *axes])
    for name in former.dtype.names:
        former[name] = table[name]
    pickled = pickle.dumps(former.view(StatisticsTable), protocol=0)
    old = pickled.replace(b"crackle_zarr.streams.statistics_table\n", b"crackle_zarr.stored.statistics\n")
    assert old != pickled
    again = pickle.loads(old)
    assert type(again) is StatisticsTable
    assert again.dtype == table.dtype
    assert again.tobytes() == table.tobytes()
    assert again[0]["stop"].tolist() == table[0]["stop"].tolist()


def test_pandas(table: StatisticsTable) -> None:
    """``pandas.DataFrame(table)`` and ``to_pandas()`` have the columns of the CSV, and exact labels."""
    pandas = pytest.importorskip("pandas")
    for frame in (pandas.DataFrame(table), table.to_pandas()):
        assert {name: [int(x) if name == "label" else x for x in frame[name]] for name in frame} == expected(
            table
        )
    lines = io.StringIO()
    table.to_csv(lines)
    lines.seek(0)
    assert list(pandas.read_csv(lines).columns) == list(table.to_pandas().columns)


def test_polars(table: StatisticsTable) -> None:
    """``polars.DataFrame(table)`` has the columns of the CSV, and exact labels."""
    polars = pytest.importorskip("polars")
    for source in (table.to_arrow(), table):
        frame = polars.DataFrame(source)
        got = {name: frame[name].to_list() for name in frame.columns}
        got["label"] = [int(label) for label in got["label"]]
        assert got == expected(table)


def test_arrow(table: StatisticsTable) -> None:
    """``to_arrow()``, the stream interface and the interchange protocol give the same table."""
    pyarrow = pytest.importorskip("pyarrow")
    arrow = table.to_arrow()
    assert arrow.to_pydict() == expected(table)

    class Stream:
        """An object with the stream interface alone, since pyarrow would take an array for NumPy's."""

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return table.__arrow_c_stream__(requested_schema)

    if hasattr(arrow, "__arrow_c_stream__"):  # pyarrow 14 and later
        assert pyarrow.table(Stream()).equals(arrow)
    interchange = pytest.importorskip("pyarrow.interchange")
    assert interchange.from_dataframe(table).to_pydict() == expected(table)


def test_duckdb(table: StatisticsTable) -> None:
    """SQL over the Arrow table finds exact labels."""
    duckdb = pytest.importorskip("duckdb")
    arrow = table.to_arrow()
    rows = duckdb.sql("select label, voxel_count from arrow order by label").fetchall()
    assert rows == list(zip(expected(table)["label"], expected(table)["voxel_count"], strict=True))
    assert len(duckdb.from_arrow(arrow).fetchall()) == len(table)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_no_rows(ndim: int) -> None:
    """An empty table still has its columns."""
    array = cz.create_array({}, shape=(4,) * ndim, dtype="u8", chunks=(2,) * ndim)
    table = cz.statistics(array, region=(slice(0, 0),) * ndim)
    assert len(table) == 0
    assert table["centroid"].shape == (0, ndim)
    assert table.to_arrow().column_names == names(ndim)
    pandas = pytest.importorskip("pandas")
    assert list(pandas.DataFrame(table).columns) == list(table.to_pandas().columns) == names(ndim)


def test_a_stream() -> None:
    """The table of a stream calls the axes x, y and z 0, 1 and 2."""
    volume = np.asfortranarray(np.arange(24, dtype="u8").reshape(2, 3, 4) // 5 + 2**60)
    table = cz.statistics(cz.compress(volume))
    assert list(table.dtype.names or ()) == names(3)
    assert table.to_arrow().to_pydict() == expected(table)


@pytest.mark.parametrize(
    ("call", "install"),
    [
        ("to_arrow", "crackle-zarr[parquet]"),
        ("__arrow_c_stream__", "crackle-zarr[parquet]"),
        ("to_pandas", "pandas"),
    ],
)
def test_missing_packages_are_named(call: str, install: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow or pandas, the error has the command that installs it."""
    for module in ("pyarrow", "pyarrow.parquet", "pandas"):
        monkeypatch.setitem(sys.modules, module, None)
    table = empty_table(0, np.dtype("u4"), 3)
    with pytest.raises(ImportError, match="pip install") as raised:
        getattr(table, call)()
    assert install in str(raised.value)
