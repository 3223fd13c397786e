"""Labels that touch, of stored arrays: what their voxels say."""

from __future__ import annotations

import csv
import io
import json
import pickle
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import stored_arrays
import zarr
from zarr.codecs import TransposeCodec
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import CrackleWarning, FormatError

SHAPE = (20, 30, 17)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"chunks": (8, 8, 8)},
    "one chunk": {"chunks": (20, 30, 17)},
    "thin chunks": {"chunks": (1, 30, 3)},
    "shards": {"chunks": (4, 8, 8), "shards": (8, 16, 16)},
    "format 2": {"chunks": (8, 8, 8), "zarr_format": 2},
    "format 2, F order": {"chunks": (8, 7, 5), "zarr_format": 2, "order": "F"},
    "transposed": {"chunks": (5, 30, 7), "filters": [TransposeCodec(order=(1, 0, 2))]},
}


def voxels(dtype: str, low: int, high: int, seed: int, shape: tuple[int, ...] = SHAPE) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    small = rng.integers(low, high, tuple(-(-length // 3) for length in shape))
    for axis in range(len(shape)):
        small = small.repeat(3, axis)
    return small[tuple(slice(0, length) for length in shape)].astype(dtype)


def stored(values: npt.NDArray[Any], kind: str, fill: int = 0, there: Any = ...) -> Any:
    """An array of which some chunks may not exist."""
    array = cz.create_array({}, shape=values.shape, dtype=values.dtype, fill_value=fill, **KINDS[kind])
    array[there] = values[there]
    return array


Row = tuple[int, int, int, float, tuple[int, ...], tuple[int, ...]]


def counted(
    values: npt.NDArray[Any],
    axes: Any = None,
    sizes: Any = None,
    skip: bool = True,
    origin: Any = 0,
) -> list[Row]:
    """Rows of the table, from every pair of neighbouring voxels."""
    ndim = values.ndim
    values = values.astype("u1") if values.dtype.kind == "b" else values
    sizes = (1.0,) * ndim if sizes is None else sizes
    found: dict[tuple[int, int], list[tuple[int, npt.NDArray[Any]]]] = {}
    for axis in range(max(0, ndim - 3), ndim) if axes is None else axes:
        count = values.shape[axis] - 1
        before, behind = (
            np.take(values, range(first, first + max(count, 0)), axis) for first in (0, min(1, count + 1))
        )
        for place in zip(*np.nonzero(before != behind), strict=True):
            a, b = sorted((int(before[place]), int(behind[place])))
            if not (skip and 0 in (a, b)):
                found.setdefault((a, b), []).append((axis, np.array(place) + origin))
    rows = []
    for (a, b), faces in sorted(found.items()):
        area = 0.0
        for axis, _ in faces:
            area += float(np.prod([sizes[k] for k in range(max(0, ndim - 3), ndim) if k != axis]))
        start = np.min([place for _, place in faces], axis=0)
        ends = [place + 1 + (np.arange(ndim) == axis) for axis, place in faces]
        rows.append((a, b, len(faces), area, tuple(start.tolist()), tuple(np.max(ends, axis=0).tolist())))
    return rows


def rows_of(table: Any) -> list[Row]:
    return [
        (
            int(row["label_a"]),
            int(row["label_b"]),
            int(row["face_count"]),
            float(row["area"]),
            tuple(row["start"].tolist()),
            tuple(row["stop"].tolist()),
        )
        for row in table
    ]


def assert_equal(table: Any, expected: list[Row]) -> None:
    found = rows_of(table)
    assert [row[:3] + row[4:] for row in found] == [row[:3] + row[4:] for row in expected]
    assert [row[3] for row in found] == pytest.approx([row[3] for row in expected])


# ---------------------------------------------------------------------------------------
# Figures


@pytest.mark.parametrize("kind", KINDS)
def test_contacts(kind: str) -> None:
    """Pairs, faces, areas and boxes are those of the voxels, and of contacts() of the whole in memory."""
    values = voxels("i4", -3, 4, 1)
    there = (slice(0, 16), slice(8, 30))
    array = stored(values, kind, fill=-1, there=there)
    whole = array[...]
    sizes = (40.0, 8.0, 4.0)
    table = cz.contacts(array, sizes)
    assert_equal(table, counted(whole, sizes=sizes))
    assert (table["label_a"].dtype, table["area"].dtype) == (array.dtype, np.float64)
    # A stream's axes are x, y and z.
    in_memory = cz.contacts(cz.compress(whole), sizes)
    assert table.to_dict() == pytest.approx(in_memory)
    with_0 = cz.contacts(array, skip_background=False, parallel=3)
    assert_equal(with_0, counted(whole, skip=False))
    assert len(with_0) > len(table)


@pytest.mark.parametrize("kind", stored_arrays.KINDS)
@pytest.mark.filterwarnings("ignore::crackle_zarr.errors.CrackleWarning")
def test_random_arrays(kind: str) -> None:
    """So are those of random arrays, regions and axes: of one to five axes, all dtypes, codecs and orders."""
    for seed in range(4):
        rng = np.random.default_rng([seed, 8])
        array, values = stored_arrays.make(kind, rng)
        region = stored_arrays.box(rng, values.shape)
        origin = [part.start for part in region]
        axes = rng.permutation(values.ndim)[: rng.integers(1, values.ndim + 1)].tolist()
        sizes = rng.uniform(0.5, 4, values.ndim)
        table = cz.contacts(array, sizes, skip_background=False, parallel=1)
        assert_equal(table, counted(values, sizes=sizes, skip=False))
        table = cz.contacts(array, sizes, axes=axes, region=region, parallel=int(rng.integers(1, 4)))
        assert_equal(table, counted(values[region], axes, sizes, origin=origin))


@pytest.mark.parametrize("parallel", [1, 40])
def test_every_face_counts_once(parallel: int) -> None:
    """Faces between chunks of one task, and of two, count once, whatever the size of tasks."""
    values = np.arange(9 * 9 * 9, dtype="u2").reshape(9, 9, 9) + 1  # every face is a pair
    array = cz.create_array({}, data=values, chunks=(1, 2, 2))
    table = cz.contacts(array, parallel=parallel)
    assert len(table) == 3 * 8 * 9 * 9
    assert (table["face_count"] == 1).all()
    assert ((table["stop"] - table["start"]).sum(axis=1) == 4).all()


def test_axes_of_a_movie() -> None:
    """Beyond three axes the last three count; ``axes`` takes others, by name or number."""
    values = voxels("u2", 0, 5, 3, (5, 7, 9, 8))
    array = cz.create_array({}, data=values, chunks=(2, 3, 9, 4), dimension_names=list("tzyx"))
    sizes = (0.5, 4, 2, 3)
    assert_equal(cz.contacts(array, sizes), counted(values, sizes=sizes))
    over_time = cz.contacts(array, sizes, axes=["t"])
    assert_equal(over_time, counted(values, [0], sizes))
    assert np.array_equal(over_time["area"], over_time["face_count"] * 24.0)
    assert_equal(cz.contacts(array, sizes, axes=[-1, "t", 2]), counted(values, [3, 0, 2], sizes))
    assert_equal(cz.contacts(array, axes="z"), counted(values, [1]))
    flat = cz.create_array({}, data=values[0, 0], chunks=(4, 5))
    assert_equal(cz.contacts(flat, (2, 3)), counted(values[0, 0], sizes=(2, 3)))


def test_views() -> None:
    """Labels of a view are the mapped ones: merged labels touch no more, and 0 is what is mapped to it."""
    values = voxels("u4", 0, 7, 4)
    array = stored(values, "plain")
    names = np.array([9, 1, 1, 3, 0, 5, 6], "u4")
    view = cz.lazy_remap(array, dict(enumerate(names.tolist())))
    assert_equal(cz.contacts(view), counted(names[values]))


def test_other_codecs() -> None:
    """Chunks of another codec are encoded first, which a warning says."""
    values = voxels("u2", 0, 6, 5)
    array = zarr.create_array({}, shape=SHAPE, dtype="u2", chunks=(8, 16, 8))
    array[...] = values
    with pytest.warns(CrackleWarning, match="not stored with Crackle|decoded"):
        table = cz.contacts(array)
    assert_equal(table, counted(values))


def test_voxel_size_of_the_metadata() -> None:
    """Areas are in the voxel size that the array or its image states, unless one is given."""
    values = voxels("u2", 0, 6, 6)
    array = stored(values, "plain")
    array.attrs["voxel_size"] = [40, 8, 4]
    assert_equal(cz.contacts(array), counted(values, sizes=(40, 8, 4)))
    assert_equal(cz.contacts(array, (1, 2, 3)), counted(values, sizes=(1, 2, 3)))
    made = cz.create_ome_labels(MemoryStore(), None, SHAPE, "u2", "zyx", (5, 3, 2), levels=1)
    made.levels[0][...] = values
    assert_equal(cz.contacts(made.group), counted(values, sizes=(5, 3, 2)))


def test_empty_arrays() -> None:
    """Arrays without voxels, without axes, and of one label have tables without rows."""
    for shape in ((0, 4), (), (1,)):
        array = zarr.create_array({}, shape=shape, dtype="u1", serializer=cz.CrackleCodec(), compressors=None)
        assert len(cz.contacts(array)) == 0
    array = cz.create_array({}, shape=SHAPE, dtype="u1", fill_value=3, chunks=(8, 8, 8))
    assert rows_of(cz.contacts(array)) == []
    array[8:, :, :] = 4
    assert_equal(cz.contacts(array), counted(array[...]))


# ---------------------------------------------------------------------------------------
# Work


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_executors(executor: Any, tmp_path: Path) -> None:
    """Threads and processes give the same table, and progress counts every chunk."""
    values = voxels("u4", 0, 50, 7)
    cz.create_array(tmp_path / "a", data=values, chunks=(4, 8, 8))
    array = zarr.open_array(tmp_path / "a", mode="r")
    told: list[tuple[int, int]] = []
    with executor(2) as pool:
        table = cz.contacts(array, executor=pool, progress=lambda *now: told.append(now))
    assert_equal(table, counted(values))
    assert told[-1] == (60, 60)


def test_only_planes_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single chunk is not decoded at all, and a stack of chunks only in the slices at their borders."""
    from crackle_zarr._binding import Reader

    decoded = []
    decode = Reader.decode

    def noted(self: Any, out: Any, start: int, stop: int, *rest: Any, **more: Any) -> None:
        decoded.append(stop - start)
        decode(self, out, start, stop, *rest, **more)

    monkeypatch.setattr(Reader, "decode", noted)
    values = voxels("u4", 0, 9, 9)
    cz.contacts(stored(values, "one chunk"))
    assert decoded == []
    stack = cz.create_array({}, data=values, chunks=(5, 30, 17))
    assert_equal(cz.contacts(stack, parallel=1), counted(values))
    assert decoded == [1] * 6  # of three borders


@pytest.mark.usefixtures("no_garbage_collection")
def test_streams_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task holds the streams of sixteen chunks at most, however many its shard has."""
    from crackle_zarr.stored import contacts

    chunks: list[weakref.ref[Any]] = []
    held = []
    chunks_of, merged = contacts.chunks_of, contacts.merged

    def noted(*arguments: Any) -> Any:
        made = chunks_of(*arguments)
        chunks.extend(map(weakref.ref, made))
        return made

    def counted_while_merging(rows: Any) -> Any:
        alive = [chunk for one in chunks if (chunk := one()) is not None]
        held.append(sum(chunk._whole is not None for chunk in alive))
        return merged(rows)

    monkeypatch.setattr(contacts, "chunks_of", noted)
    monkeypatch.setattr(contacts, "merged", counted_while_merging)
    values = voxels("u4", 0, 9, 14)
    array = cz.create_array({}, data=values, chunks=(4, 5, 4), shards=(20, 30, 20))
    assert_equal(cz.contacts(array, parallel=1), counted(values))
    assert len(chunks) == 5 * 6 * 5
    assert max(held) <= 16


def test_a_damaged_chunk_names_itself() -> None:
    """The error names the chunk that is damaged, also where only its first plane is read."""
    for parallel in (1, 40):
        array = stored(voxels("u4", 1, 9, 10), "plain")
        store = array.store_path.store
        for region in (None, (slice(0, 8), slice(0, 9), slice(0, 8))):
            kept = store._store_dict["c/0/1/0"]
            raw = bytearray(kept.to_bytes())
            raw[-3] ^= 0xFF  # of a slice's checksum
            store._store_dict["c/0/1/0"] = type(kept).from_bytes(bytes(raw))
            with pytest.raises(FormatError, match="chunk c/0/1/0"):
                cz.contacts(array, region=region, parallel=parallel)
            store._store_dict["c/0/1/0"] = kept


# ---------------------------------------------------------------------------------------
# The table


def test_the_table(tmp_path: Path) -> None:
    """It has columns per axis as arrays, goes to CSV, Parquet, pandas, Arrow and a dict, and pickles."""
    values = voxels("u8", 0, 6, 11) + np.uint64(2**63)
    table = cz.contacts(stored(values, "plain"))
    assert isinstance(table, cz.ContactTable)
    assert table["start"].shape == (len(table), 3)
    assert table[0]["stop"].tolist() == table["stop"][0].tolist()
    assert pickle.loads(pickle.dumps(table)).tolist() == table.tolist()
    table.to_csv(tmp_path / "a.csv", names={2**63 + 1: "axon"})
    lines = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert len(lines) == len(table)
    assert lines[0]["label_b"] == str(2**63 + 1)
    assert (lines[0]["name_a"], lines[0]["name_b"]) == ("", "axon")
    assert [int(line["face_count"]) for line in lines] == table["face_count"].tolist()
    frame = pytest.importorskip("pandas").DataFrame(table)
    assert frame.columns.tolist() == table.to_pandas().columns.tolist() == list(table.dtype.names)
    parquet = pytest.importorskip("pyarrow.parquet")
    table.to_parquet(tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet").equals(table.to_arrow())
    assert table.to_dict()[2**63, 2**63 + 1] == table["area"][0]


def test_what_is_refused() -> None:
    """Unknown and repeated axes, other voxel sizes, and options that a stream does not take raise errors."""
    array = stored(voxels("u4", 0, 9, 12), "plain")
    with pytest.raises(ValueError, match="axes='t' is no axis"):
        cz.contacts(array, axes=["t"])
    with pytest.raises(ValueError, match="axes=3 is no axis"):
        cz.contacts(array, axes=[3])
    with pytest.raises(ValueError, match="has an axis twice"):
        cz.contacts(array, axes=[2, -1])
    for wrong in ((1, 2), (1, 0, 2), (1, 2, float("nan"))):
        with pytest.raises(ValueError, match="a positive number for each of the 3 axes"):
            cz.contacts(array, wrong)
    with pytest.raises(TypeError, match="axes is for stored arrays"):
        cz.contacts(array[...], axes=[0])
    with pytest.raises(TypeError, match="region: for stored arrays only"):
        cz.contacts(array[...], region=(slice(0, 1),))


# ---------------------------------------------------------------------------------------
# The command line


@pytest.fixture
def place(tmp_path: Path) -> Path:
    array = cz.create_array(tmp_path / "a.zarr", data=voxels("u2", 0, 7, 13), chunks=(8, 8, 8))
    array.attrs["voxel_size"] = [2, 3, 4]
    cz.set_label_names(array, {3: "axon"})
    cz.save(cz.CrackleArray(cz.compress(array[...])), tmp_path / "a.ckl")
    return tmp_path / "a.zarr"


def test_command_line(run: Any, place: Path) -> None:
    """``contacts`` prints CSV or JSON and writes tables, with names; files of streams have no metadata."""
    values = zarr.open_array(place, mode="r")[...]
    expected = counted(values, sizes=(2, 3, 4))
    lines = list(csv.DictReader(io.StringIO(run("contacts", str(place)).out)))
    assert [(int(line["label_a"]), int(line["label_b"])) for line in lines] == [row[:2] for row in expected]
    assert [float(line["area"]) for line in lines] == pytest.approx([row[3] for row in expected])
    assert {line["name_b"] for line in lines if line["label_b"] == "3"} == {"axon"}
    found = json.loads(run("contacts", str(place), "--json", "--background", "--axes", "0,2").out)
    assert [row["face_count"] for row in found] == [row[2] for row in counted(values, [0, 2], skip=False)]
    assert found[0]["label_a"] == "0"
    done = run("contacts", str(place), "-o", str(place.with_suffix(".csv")), "--voxel-size", "1,1,1")
    assert f"{len(expected)} pairs" in done.out
    lines = list(csv.DictReader(place.with_suffix(".csv").read_text().splitlines()))
    assert float(lines[0]["area"]) == counted(values)[0][3]
    of_file = json.loads(run("contacts", str(place.with_suffix(".ckl")), "--json").out)
    assert [row["stop_0"] for row in of_file] == [row[5][0] for row in counted(values)]


def test_command_line_labels(run: Any, place: Path) -> None:
    """``--label`` lists the neighbours of labels, each pair once, and says which label is not there."""
    array = zarr.open_array(place, mode="a")
    array[0, 0, 0] = 500
    expected = [row for row in counted(array[...], sizes=(2, 3, 4)) if {2, 500} & {*row[:2]}]
    labels = ("--label", "2", "--label", "500")
    found = json.loads(run("contacts", str(place), "--json", *labels).out)
    assert [(int(row["label_a"]), int(row["label_b"]), row["area"]) for row in found] == [
        (row[0], row[1], pytest.approx(row[3])) for row in expected
    ]
    assert [row["start_1"] for row in found] == [row[4][1] for row in expected]
    absent = run("contacts", str(place), "--label", "77")
    assert absent.code == 3
    assert "there is no label 77" in absent.err
    alone = run("contacts", str(place), "--label", "500", "--region", "0:1,0:1,0:1")
    assert alone.code == 0
    assert "label 500 touches no other label" in alone.err


def test_command_line_refuses(run: Any, place: Path) -> None:
    """Axes of a file, sizes that are no numbers, and other endings of tables are refused with a reason."""
    refused = run("contacts", str(place.with_suffix(".ckl")), "--axes", "0")
    assert refused.code == 2
    assert "--axes is for Zarr arrays" in refused.err
    assert "not the size of a voxel" in run("contacts", str(place), "--voxel-size", "a,b").err
    assert "has to end in .csv or .parquet" in run("contacts", str(place), "-o", "table.txt").err
