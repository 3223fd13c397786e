"""The label index of a stored array answers as the array does, costs few requests, and knows its age."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from index_cases import (
    Counted,
    check_index_of,
    cubes,
    requests_of,
    same_table,
    small_parts,  # noqa: F401
    stored,
)
from stored_arrays import KINDS, box, make
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr as cz
from crackle_zarr.stored.engine import Options
from crackle_zarr.stored.index import build, passes
from crackle_zarr.stored.index.rows import rows_dtype
from crackle_zarr.stored.index.runs import put_run
from crackle_zarr.stored.index.stamps import DTYPE
from crackle_zarr.stored.layout import layout_of

pytestmark = pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_parts")
def test_random_arrays(kind: str, seed: int) -> None:
    """An index of any array answers as the array does, before and after a write that an update has read."""
    rng = np.random.default_rng([seed, *map(ord, kind)])
    array, voxels = make(kind, rng)
    report = cz.create_index(array)
    assert report.measured == report.chunks
    assert report.labels == len(cz.labels(array, index="ignore"))
    check_index_of(array)
    assert cz.check_index(array) == []
    before = {key: value.to_bytes() for key, value in array.store_path.store._store_dict.items()}
    part = box(rng, voxels.shape)
    array[part] = voxels.flat[int(rng.integers(voxels.size))]
    changed = cz.check_index(array)
    assert changed == cz.check_index(array, content=True)
    now = {key: value.to_bytes() for key, value in array.store_path.store._store_dict.items()}
    layout = layout_of(array)
    written = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    assert {layout.path(layout.key(chunk)) for chunk, _ in changed} == written
    assert cz.update_index(array).measured == len(changed)
    check_index_of(array)
    assert cz.check_index(array) == []


def test_changes(tmp_path: Path) -> None:
    """A check names the chunks that were changed, created or deleted since, and an update measures them."""
    voxels = cubes(1)
    voxels[8:16, :8, :16] = 0
    for store in (MemoryStore(), LocalStore(tmp_path)):
        array = stored(voxels, store)
        cz.create_index(array)
        array[0, 0, 0] = 9999
        array[8:16, :8, :16] = 5
        array[:8, 8:16, :16] = 0
        expected = [((0, 0, 0), "changed"), ((0, 1, 0), "gone"), ((1, 0, 0), "new")]
        assert cz.check_index(array) == expected
        assert cz.update_index(array).measured == 3
        check_index_of(array)


@pytest.mark.parametrize("shards", [None, (16, 16, 32)])
def test_copies_keep_their_index(tmp_path: Path, shards: Any) -> None:
    """A copied array has other times of change, and its index stays right; an update renews what it notes."""
    import os
    import shutil

    array = stored(cubes(2), LocalStore(tmp_path / "a"), shards=shards)
    cz.create_index(array)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").rglob("*"):
        os.utime(path, ns=(1, 1))
    copied = zarr.open_array(tmp_path / "b" / "seg", mode="r+")
    assert cz.check_index(copied) == []
    assert cz.update_index(copied).measured == 0
    check_index_of(copied)


@pytest.mark.parametrize("shards", [None, (16, 16, 32)])
@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
@pytest.mark.usefixtures("small_parts")
def test_executors(tmp_path: Path, kind: Any, shards: Any) -> None:
    """Threads and processes build the same index."""
    array = stored(cubes(3), LocalStore(tmp_path), shards=shards)
    seen: list[tuple[int, int]] = []
    with kind(2) as executor:
        cz.create_index(array, executor=executor, progress=lambda *done: seen.append(done))
        check_index_of(array)
        array[3, 3, 3] = 77
        assert cz.update_index(array, executor=executor).measured == 1
    assert (seen[-1][0], seen[-1][0]) == (seen[-1][1], seen[-1][1])
    check_index_of(array)


def test_processes_and_memory() -> None:
    """Processes cannot index an array in this process's memory, and the error says what can."""
    array = stored(cubes(4))
    with ProcessPoolExecutor(1) as executor, pytest.raises(ValueError, match="use threads"):
        cz.create_index(array, executor=executor)


@pytest.mark.usefixtures("small_parts")
def test_requests() -> None:
    """A cold lookup takes at most 5 requests, a warm one one per file, however many chunks there are."""
    array = stored(cubes(5, (32, 64, 64), 300), Counted(), chunks=(8, 8, 8))
    cz.create_index(array)
    label = int(cz.labels(array)[150])
    for ask, most, again in (
        (lambda index: label in index, 3, 1),
        (lambda index: index.statistics([label]), 3, 1),
        (lambda index: index.find(label), 5, 2),
    ):
        from crackle_zarr.stored.index import lookup

        lookup._footers.clear()
        assert requests_of(lambda ask=ask: ask(cz.open_index(array))) <= most
        index = cz.open_index(array)
        assert requests_of(lambda ask=ask, index=index: ask(index)) <= again
    assert requests_of(lambda: 10**18 in cz.open_index(array)) <= 3


def test_opening() -> None:
    """What cannot be opened or made is refused with the command that helps."""
    array = stored(cubes(6))
    with pytest.raises(FileNotFoundError, match="create_index"):
        cz.open_index(array)
    with pytest.raises(FileNotFoundError):
        cz.remove_index(array)
    for function in (cz.check_index, cz.update_index):
        with pytest.raises(FileNotFoundError, match="create_index"):
            function(array)
    cz.create_index(array)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cz.create_index(array)
    assert cz.create_index(array, overwrite=True).labels == len(cz.open_index(array))
    with pytest.raises(TypeError, match="remapped view"):
        cz.create_index(cz.lazy_remap(array, {1: 2}))
    with pytest.raises(TypeError, match="no options region"):
        cz.create_index(array, region=(slice(0, 2),))
    again = pickle.loads(pickle.dumps(cz.open_index(array)))
    assert len(again) == len(cz.open_index(array))
    assert "labels" in repr(again)
    array.resize((20, 30, 39))
    for function in (cz.open_index, cz.check_index, cz.update_index):
        with pytest.raises(cz.StaleIndexError, match=r"shape.*overwrite=True"):
            function(array)
    cz.create_index(array, overwrite=True)
    check_index_of(array)
    cz.remove_index(array)
    assert not [key for key in array.store_path.store._store_dict if "index" in key]


def test_old_files_go(tmp_path: Path) -> None:
    """An index that is replaced leaves its files for its readers, until it is replaced once more."""
    array = stored(cubes(7), LocalStore(tmp_path))
    cz.create_index(array)
    reader = cz.open_index(array)
    array[0, 0, 0] = 4
    cz.update_index(array)
    assert len(reader.labels())
    folder = tmp_path / "seg" / ".crackle-index"
    assert len(list(folder.iterdir())) == 3  # two indexes and the manifest
    array[0, 0, 1] = 4
    cz.update_index(array)
    assert len(list(folder.iterdir())) == 3
    # The reader's files are gone: it opens the index that is there.
    from crackle_zarr.stored.index import lookup

    lookup._footers.clear()
    assert np.array_equal(reader.labels(), cz.labels(array))
    cz.remove_index(array)
    assert not folder.exists()


@pytest.mark.usefixtures("small_parts")
def test_an_interrupted_build_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that a failed build has put are used by the next, unless their chunks changed."""
    array = stored(cubes(8))
    asked: list[int] = []
    whole = passes.put_pair

    def failing(*args: Any, **options: Any) -> Any:
        raise cz.StoreError("the disk is full")

    monkeypatch.setattr(passes, "put_pair", failing)
    with pytest.raises(cz.StoreError, match="full"):
        cz.create_index(array)
    monkeypatch.setattr(passes, "put_pair", whole)
    ask = passes._ask
    monkeypatch.setattr(passes, "_ask", lambda chunk: asked.append(1) or ask(chunk))
    array[0, 0, 0] = 12345
    cz.create_index(array)
    assert 0 < len(asked) <= 5  # one task of chunks
    check_index_of(array)


def test_from_tables() -> None:
    """An index is built from tables of any origin: runs, and the rest of the build."""
    shape, chunks = (10**5, 10**5, 10**5), (64, 256, 256)
    array = cz.create_array(MemoryStore(), shape=shape, dtype=np.uint64, chunks=chunks)
    layout = layout_of(array)
    plan = build.begin(layout)
    runs = []
    for number in range(5):
        rows = np.zeros(3000, dtype=rows_dtype(layout.native, 3))
        rows["label"] = np.sort(np.arange(3000, dtype=np.uint64) // 2 + np.uint64(2**63 + number * 100))
        rows["chunk"], rows["voxel_count"], rows["stop"] = number, 2, 1
        rows["chunk"] += np.arange(3000, dtype=np.uint64) % 2 * 10
        stamps = np.zeros(1, dtype=DTYPE)
        stamps["chunk"] = number
        runs.append(put_run(plan.home, plan.run(number), rows, stamps))
    report = build.finish(layout, plan, runs, Options())
    assert report.rows == 15000
    assert report.labels == 1900
    index = cz.open_index(array)
    assert index.find(2**63 + 150) == [(0, 0, number) for number in (0, 1, 10, 11)]
    assert index.statistics([2**63 + 150])["voxel_count"].tolist() == [8]


def test_files_explain_themselves(tmp_path: Path) -> None:
    """Each file is Parquet with the array's axes, shape and chunks, for whoever finds it."""
    import pyarrow.parquet

    array = stored(cubes(9), LocalStore(tmp_path), dimension_names=["z", "y", "x"])
    cz.create_index(array)
    (path,) = (tmp_path / "seg" / ".crackle-index").rglob("labels-*.parquet")
    table = pyarrow.parquet.read_table(path)
    names = [f"{name}_{axis}" for name in ("start", "stop", "centroid") for axis in range(3)]
    assert table.column_names == ["label", "voxel_count", *names, "num_chunks"]
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert json.loads(about["crackle_zarr.axes"]) == ["z", "y", "x"]
    assert json.loads(about["crackle_zarr.shape"]) == [20, 30, 40]
    assert json.loads(about["crackle_zarr.chunks"]) == [8, 8, 16]


def test_wrong_bits() -> None:
    """A wrong bit in manifest, footer or page gives an error or the right answer, never a wrong one."""
    from crackle_zarr.stored.index import lookup

    array = stored(cubes(10))
    cz.create_index(array)
    objects = array.store_path.store._store_dict
    expected = cz.statistics(array, index="ignore")
    label = int(expected["label"][20])
    chunks = cz.find(array, label, index="ignore").chunks
    rng = np.random.default_rng(0)
    refused = 0

    def answers() -> tuple[Any, Any, Any]:
        index = cz.open_index(array)
        return index.statistics(), index.find(label), index.rows(label).chunks

    for key in [key for key in objects if ".crackle-index" in key and "chunks.parquet" not in key]:
        whole = objects[key]
        raw = whole.to_bytes()
        places = rng.integers(0, len(raw), 60)
        places[:30] = len(raw) - 1 - rng.integers(0, min(len(raw), 3000), 30)
        for place in places.tolist():
            wrong = bytearray(raw)
            wrong[place] ^= 1 << int(rng.integers(8))
            objects[key] = type(whole).from_bytes(bytes(wrong))
            lookup._footers.clear()
            try:
                table, found, rows = answers()
            except (cz.FormatError, cz.StaleIndexError):
                refused += 1
                continue
            assert same_table(table, expected)
            assert found == rows == chunks
        for cut in (raw[: len(raw) // 2], b""):
            objects[key] = type(whole).from_bytes(cut)
            lookup._footers.clear()
            with pytest.raises((cz.FormatError, cz.StaleIndexError), match="index"):
                answers()
        objects[key] = whole
    assert refused > 90
