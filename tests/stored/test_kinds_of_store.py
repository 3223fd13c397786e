"""The table of docs/stores.md is true: what each kind of store can do, and how it says what it cannot."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, ZipStore

import crackle_zarr as cz

SHAPE, CHUNKS = (12, 20), (4, 8)
# obstore has threads of its own, and a forked process would wait for those that it does not have.
SPAWN = multiprocessing.get_context("spawn")


def labels() -> np.ndarray:
    """Labels of a small array."""
    return np.kron(np.arange(1, 16, dtype=np.uint32).reshape(3, 5), np.ones((4, 4), np.uint32))


def local(folder: Path) -> Any:
    """A folder."""
    return LocalStore(folder / "local")


def memory(folder: Path) -> Any:
    """Memory."""
    return MemoryStore()


def archive(folder: Path) -> Any:
    """An archive."""
    return ZipStore(folder / "archive.zip", mode="w")


def fsspec(folder: Path) -> Any:
    """A folder through fsspec."""
    pytest.importorskip("fsspec.implementations.asyn_wrapper")  # for a folder; from fsspec 2024.12 on
    return FsspecStore.from_url(f"local://{folder}/fsspec", storage_options={"auto_mkdir": True})


def obstore(folder: Path) -> Any:
    """A folder through obstore."""
    stores = pytest.importorskip("obstore.store")
    (folder / "obstore").mkdir()
    return zarr.storage.ObjectStore(stores.LocalStore(folder / "obstore"))


def logging(folder: Path) -> Any:
    """A wrapper."""
    return LoggingStore(LocalStore(folder / "logged"), log_level="ERROR")


EDITABLE = [local, memory, fsspec, obstore, logging]
ALL = [*EDITABLE, archive]


def stored(store: Any) -> zarr.Array:
    """The array in a store."""
    array = cz.create_array(store, shape=SHAPE, dtype="u4", chunks=CHUNKS)
    array[...] = labels()
    return array


@pytest.mark.parametrize("kind", ALL)
def test_read_and_ask(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    """Every kind of store can be read and asked."""
    array = stored(kind(tmp_path))
    np.testing.assert_array_equal(array[5], labels()[5])
    np.testing.assert_array_equal(cz.labels(array), np.arange(1, 16))
    assert cz.find(array, 7).slices == np.s_[4:8, 4:8]
    assert cz.statistics(array)["voxel_count"].tolist() == [16] * 15


@pytest.mark.parametrize("kind", EDITABLE)
def test_edit_convert_and_index(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    """These stores can be edited, converted to, and indexed."""
    array = stored(kind(tmp_path))
    cz.remap(array, {7: 1})
    assert not cz.contains(array, 7)
    (tmp_path / "other").mkdir()
    target = kind(tmp_path / "other")
    cz.convert(array, target, to="zstd")
    np.testing.assert_array_equal(zarr.open_array(target)[...], np.where(labels() == 7, 1, labels()))
    pytest.importorskip("pyarrow")
    assert cz.create_index(array).labels == 14
    assert cz.find(array, 8).indexed


def test_archives_say_what_they_cannot(tmp_path: Path) -> None:
    """An archive cannot delete, so edits, conversions and indexes are refused."""
    array = stored(archive(tmp_path))
    with pytest.raises(ValueError, match="cannot"):
        cz.remap(array, {7: 1})
    with pytest.raises(ValueError, match="cannot"):
        cz.convert(array, ZipStore(tmp_path / "new.zip", mode="w"))
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="cannot"):
        cz.create_index(array)
    np.testing.assert_array_equal(array[...], labels())


@pytest.mark.parametrize("kind", [local, fsspec, obstore, logging])
def test_processes(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    """Other processes open these stores again, for questions and for edits."""
    array = stored(kind(tmp_path))
    with ProcessPoolExecutor(1, SPAWN) as pool:
        np.testing.assert_array_equal(cz.labels(array, executor=pool), np.arange(1, 16))
        cz.remap(array, {7: 1}, executor=pool)
    assert not cz.contains(array, 7)


@pytest.mark.parametrize("kind", [memory, archive])
def test_processes_that_only_read(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    """Other processes get a copy of a memory, and open an archive again, for questions."""
    array = stored(kind(tmp_path))
    if kind is archive:  # its directory is written when it is closed
        array.store_path.store.close()
        array = zarr.open_array(ZipStore(tmp_path / "archive.zip", mode="r"), mode="r")
    with ProcessPoolExecutor(1, SPAWN) as pool:
        np.testing.assert_array_equal(cz.labels(array, executor=pool), np.arange(1, 16))


def test_memory_is_not_edited_by_processes(tmp_path: Path) -> None:
    """Each process would edit its own copy of a memory, which the error says."""
    with ProcessPoolExecutor(1, SPAWN) as pool, pytest.raises(ValueError, match="its own copy"):
        cz.remap(stored(MemoryStore()), {7: 1}, executor=pool)


def test_the_table_has_all_kinds() -> None:
    """The documents name every store that is tested here."""
    page = Path(__file__).resolve().parents[2] / "docs" / "stores.md"
    if not page.is_file():
        pytest.skip("the documents are not part of this tree")
    rows = re.findall(r"^\| `?(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {
        "LocalStore",
        "MemoryStore",
        "ZipStore",
        "FsspecStore",
        "ObjectStore",
        "Icechunk",
        "WrapperStore",
    }
    assert named <= set(rows)
