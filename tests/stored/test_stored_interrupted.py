"""Interrupted edits of stored arrays: the process is killed, or the store fails, at every write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sync_stores
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, StorePath, ZipStore

import crackle_zarr as cz
from crackle_zarr.errors import FormatError, JournalError, StoreError, VerificationError


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "what",
    [
        *("resume", "undo", "convert", "replace", "resume shards", "pyramid", "pyramid shards", "write"),
        *("components", "dust-resume", "dust-undo", "index", "index-resume", "index-undo"),
    ],
)
def test_killed(what: str, tmp_path: Path) -> None:
    """After SIGKILL at any write the array is the old or the new one, or resume and undo make it so."""
    action, *shards = what.split()
    script = Path(__file__).resolve().parents[1] / "killed.py"
    done = subprocess.run(
        [sys.executable, script, action, tmp_path, *shards], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 7  # deaths


class Failing(sync_stores.LocalStore):
    """Fails at the n-th change, or the n-th read of a chunk, and at all later ones."""

    left = 10**9
    reads = 10**9
    corrupt = False

    def _change(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def set_sync(self, key: str, value: Any) -> None:
        self._change()
        if self.corrupt and "/c/" in f"/{key}":
            raw = bytearray(value.to_bytes())
            raw[len(raw) // 2] ^= 0xFF
            value = type(value).from_bytes(bytes(raw))
        super().set_sync(key, value)

    def delete_sync(self, key: str) -> None:
        self._change()
        super().delete_sync(key)

    async def set(self, key: str, value: Any) -> None:
        self._change()
        if self.corrupt and "/c/" in f"/{key}":
            raw = bytearray(value.to_bytes())
            raw[len(raw) // 2] ^= 0xFF
            value = type(value).from_bytes(bytes(raw))
        await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        self._change()
        await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        self._change()
        await super().delete(key)

    def get_sync(self, key: str, **keywords: Any) -> Any:
        if "/c/" in f"/{key}":
            self.reads -= 1
            if self.reads < 0:
                raise PermissionError(13, "Forbidden")
        return super().get_sync(key, **keywords)


VOXELS = np.arange(16 * 12 * 12, dtype=np.uint32).reshape(16, 12, 12) // 40 % 23
SWAPPED = np.where(VOXELS == 1, 2, np.where(VOXELS == 2, 1, VOXELS))


@pytest.fixture
def store(tmp_path: Path) -> Failing:
    made = Failing(tmp_path / "a.zarr")
    array = cz.create_array(made, shape=VOXELS.shape, dtype=VOXELS.dtype, chunks=(8, 6, 6))
    array[...] = VOXELS
    return made


def opened(store: LocalStore) -> zarr.Array:
    """The array, opened through a store that does not fail."""
    return zarr.open_array(LocalStore(store.root), mode="r+")


def test_a_full_disk(store: Failing) -> None:
    """After any failed write, the array is the old one, or resume makes it the new one."""
    array = zarr.open_array(store, mode="r+")
    resumed = 0
    said: set[bool] = set()
    for n in range(1000):
        store.left = n
        try:
            cz.remap(array, {1: 2, 2: 1}, parallel=1)
        except OSError as error:
            said.add("No space left" in str(error))
        else:
            break
        finally:
            store.left = 10**9
        try:
            cz.resume(opened(store))
            resumed += 1
        except JournalError:
            pass
        voxels = opened(store)[...]
        assert np.array_equal(voxels, VOXELS) or np.array_equal(voxels, SWAPPED)
        if np.array_equal(voxels, SWAPPED):
            cz.remap(opened(store), {1: 2, 2: 1})
        assert np.array_equal(opened(store)[...], VOXELS)
    assert resumed
    assert said == {True}
    assert n > 10
    assert np.array_equal(opened(store)[...], SWAPPED)
    assert not (Path(store.root) / ".crackle-remap").exists()


def test_a_forbidden_chunk(store: Failing) -> None:
    """A chunk that cannot be read raises an error that names it; it does not count as without the label."""
    array = zarr.open_array(store, mode="r")
    questions = [
        lambda: cz.labels(array, parallel=1),
        lambda: cz.contains(array, 999, parallel=1),
        lambda: cz.find(array, 999, parallel=1),
        lambda: cz.statistics(array, parallel=1),
        lambda: cz.crop(array, 3, parallel=1),
        lambda: cz.verify(array, parallel=1),
        lambda: np.asarray(cz.lazy_remap(array, {1: 2})),
    ]
    for question in questions:
        array.store_path.store.reads = 5  # the array opened for reading has another store
        with pytest.raises(StoreError, match=r"c/\d/\d/\d cannot be read .*Forbidden"):
            question()
    writable = zarr.open_array(store, mode="r+")
    writable.store_path.store.reads = 5
    with pytest.raises(StoreError, match="cannot be read"):
        cz.remap(writable, {1: 2}, parallel=1)
    assert np.array_equal(opened(store)[...], VOXELS)
    assert not (Path(store.root) / ".crackle-remap").exists()


@pytest.mark.parametrize("where", ["labels", "cut off", "header", "empty"])
def test_a_damaged_chunk_stops_a_remap(store: Failing, where: str) -> None:
    """A damaged chunk stops a remap before it writes to the array."""
    file = Path(store.root) / "c/1/1/1"
    raw = bytearray(file.read_bytes())
    if where == "labels":
        raw[29 + 4 * 8 + 4 + 9] ^= 1
    file.write_bytes({"labels": raw, "cut off": raw[:-20], "header": b"x" + raw[1:], "empty": b""}[where])
    files = {path: path.read_bytes() for path in Path(store.root).rglob("*") if path.is_file()}
    with pytest.raises(FormatError, match="c/1/1/1"):
        cz.remap(opened(store), {1: 2})
    assert files == {path: path.read_bytes() for path in Path(store.root).rglob("*") if path.is_file()}
    (damage,) = cz.verify(opened(store))
    assert (damage.chunk, damage.key) == ((1, 1, 1), "c/1/1/1")


def test_no_two_remaps(store: Failing) -> None:
    """An unfinished remap blocks others, even dry ones; without one, there is nothing to resume."""
    array = opened(store)
    for nothing in (cz.resume, cz.undo):
        with pytest.raises(JournalError, match="no unfinished remap"):
            nothing(array)
    journal = Path(store.root) / ".crackle-remap"
    journal.mkdir()
    (journal / "plan").write_bytes(b"written by half")
    for dry_run in (False, True):
        with pytest.raises(JournalError, match=r"resume\(\) .* undo\(\)"):
            cz.remap(array, {1: 2}, dry_run=dry_run)
    assert cz.undo(array).chunks == []
    assert cz.remap(array, {1: 2}).chunks


def test_read_only_sources(store: Failing) -> None:
    """A read-only store and a remapped view raise."""
    with pytest.raises(ValueError, match="reading only"):
        cz.remap(zarr.open_array(LocalStore(store.root, read_only=True), mode="r"), {1: 2})
    with pytest.raises(TypeError, match="read-only"):
        cz.remap(cz.lazy_remap(opened(store), {1: 2}), {1: 2})


def test_convert_verifies(store: Failing, tmp_path: Path) -> None:
    """If the written chunk reads back differently, the conversion raises and stays unfinished."""
    source = opened(store)
    bad = Failing(tmp_path / "b.zarr")
    bad.corrupt = True
    with pytest.raises((VerificationError, StoreError)):
        cz.convert(source, bad, to="none")
    assert cz.convert(source, LocalStore(tmp_path / "b.zarr"), to="none").arrays == 1
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr")[...], VOXELS)


def test_convert_costs_nothing(store: Failing, tmp_path: Path) -> None:
    """A conversion that is impossible leaves source and destination as they are."""
    source = opened(store)
    cz.convert(source, tmp_path / "b.zarr", to="zstd")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("nearly done")
    for destination, options, error in [
        (store.root, {"overwrite": True}, ValueError),
        (store.root / "c", {}, ValueError),
        (tmp_path / "b.zarr", {}, FileExistsError),
        (tmp_path / "b.zarr", {"overwrite": True, "chunks": (4, 4)}, ValueError),
        (tmp_path / "b.zarr", {"overwrite": True, "to": "lz5"}, ValueError),
        (tmp_path, {}, ValueError),
        (tmp_path / "other", {}, FileExistsError),
    ]:
        with pytest.raises(error):
            cz.convert(source, destination, **options)
    assert np.array_equal(opened(store)[...], VOXELS)
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr")[...], VOXELS)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


class FailingMemory(sync_stores.MemoryStore):
    """Fails at the n-th change and all later ones."""

    left = 10**9

    def _change(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        self._change()
        await super().set(key, value, byte_range)

    async def delete(self, key: str) -> None:
        self._change()
        await super().delete(key)


@pytest.mark.parametrize("path", ["", "here"])
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_replacing_is_cut_off(kind: str, path: str, store: Failing, tmp_path: Path) -> None:
    """Nothing that is left of a replaced array gets into the new one, wherever the call is cut off."""
    source = opened(store)
    expected = MemoryStore()
    cz.convert(source, StorePath(expected, path))
    refused = not_told = 0
    for n in range(1000):
        place: Any = FailingMemory() if kind == "memory" else Failing(tmp_path / f"{n}.zarr")
        old = zarr.create_array(
            place, name=path or None, shape=VOXELS.shape, dtype="u1", chunks=(8, 8, 8), zarr_format=2
        )
        old[...] = 1
        place.left = n
        try:
            cz.convert(source, StorePath(place, path), overwrite=True)
            done = True
        except (OSError, StoreError):
            done = False
        place.left = 10**9
        if not done:
            try:
                cz.convert(source, StorePath(place, path))
            except FileExistsError as error:
                refused += 1
                not_told += "overwrite=True" not in str(error)
                cz.convert(source, StorePath(place, path), overwrite=True)
        assert sync(objects(place, path)) == sync(objects(expected, path))
        if done:
            break
    assert 0 < refused < n
    assert not not_told


class Odd(sync_stores.MemoryStore):
    """Lists names that are not keys of the store, as some file systems of fsspec do."""

    async def list_prefix(self, prefix: str) -> Any:
        async for key in super().list_prefix(prefix):
            yield f"/root/{key}"

    async def delete_dir(self, prefix: str) -> None:
        for key in [key for key in self._store_dict if key.startswith(f"{prefix}/")]:
            del self._store_dict[key]


def test_replacing_where_names_are_odd(store: Failing) -> None:
    """If the listed names are not keys of the store, the store itself has to delete them."""
    odd = Odd()
    old = zarr.create_array(odd, name="a", shape=VOXELS.shape, dtype="u1", chunks=(8, 8, 8), zarr_format=2)
    old[...] = 1
    cz.convert(opened(store), StorePath(odd, "a"), overwrite=True)
    new = zarr.open_array(odd, path="a", mode="r")
    assert new.dtype == VOXELS.dtype
    assert np.array_equal(new[...], VOXELS)
    assert not [key for key in odd._store_dict if key.startswith("a/.")]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_replacing_what_is_behind_a_link(store: Failing, tmp_path: Path) -> None:
    """Replacing chunks behind a link to another disk removes the link, and keeps its target."""
    old = cz.create_array(tmp_path / "b.zarr", shape=VOXELS.shape, dtype="u1", chunks=(8, 8, 8))
    old[...] = 1
    (tmp_path / "b.zarr" / "c").rename(tmp_path / "other")
    (tmp_path / "b.zarr" / "c").symlink_to(tmp_path / "other")
    assert (old[...] == 1).all()
    there = sorted(path for path in (tmp_path / "other").rglob("*"))
    cz.convert(opened(store), tmp_path / "b.zarr", overwrite=True)
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr", mode="r")[...], VOXELS)
    assert sorted((tmp_path / "other").rglob("*")) == there


def test_replacing_where_nothing_can_be_deleted(store: Failing, tmp_path: Path) -> None:
    """A store that cannot delete makes replacing raise before any change."""
    file = ZipStore(tmp_path / "b.zip", mode="w")
    old = zarr.create_array(file, name="a", shape=(4,), dtype="u1")
    old[...] = 1
    for options in ({}, {"overwrite": True}):
        with pytest.raises(ValueError, match="cannot delete"):
            cz.convert(opened(store), StorePath(file, "a"), **options)
    assert sync(objects(file, "a")).keys() == {"a/zarr.json", "a/c/0"}
    file.close()


async def objects(store: Any, path: str) -> dict[str, bytes]:
    return {
        key: (await store.get(key, default_buffer_prototype())).to_bytes()
        async for key in store.list_prefix(path)
    }


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_convert_a_pyramid(tmp_path: Path, zarr_format: Any) -> None:
    """All levels of an OME-Zarr label image, its attributes and its axis names are converted."""
    group = zarr.open_group(tmp_path / "labels.zarr", mode="w", zarr_format=zarr_format)
    image = group.create_group("cells")
    told = {
        "multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}], "type": "mode"}],
        "image-label": {"colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}]},
    }
    image.attrs.update(told if zarr_format == 2 else {"ome": told})
    group.attrs["labels"] = ["cells"]
    for level in range(2):
        step = 2**level
        array = image.create_array(
            str(level), shape=VOXELS[:, ::step, ::step].shape, dtype="u4", chunks=(8, 6, 6)
        )
        array[...] = VOXELS[:, ::step, ::step]
    report = cz.convert(group, tmp_path / "new.zarr")
    assert report.arrays == 2
    new = zarr.open_group(tmp_path / "new.zarr", mode="r")
    assert new["cells"].attrs.asdict() == image.attrs.asdict()
    assert np.array_equal(new["cells/1"][...], VOXELS[:, ::2, ::2])
    with pytest.raises(FileExistsError, match="exists already"):
        cz.convert(group, tmp_path / "new.zarr")
    with pytest.raises(ValueError, match="is the source, lies in the source"):
        cz.convert(group, tmp_path / "labels.zarr", overwrite=True)
    for source in (new, new["cells"], new["cells/0"]):
        assert np.array_equal(cz.labels(source), np.unique(VOXELS))
    with pytest.raises(ValueError, match=r"level 0 .* \(0, 1\)"):
        cz.remap(new["cells"], {1: 2})
    assert cz.remap(zarr.open_group(tmp_path / "new.zarr", mode="r+")["cells/0"], {1: 2}).chunks
    group.attrs["labels"] = ["cells", "nuclei"]
    with pytest.raises(ValueError, match="several label images: cells, nuclei"):
        cz.labels(group)


def test_an_unfinished_pyramid(tmp_path: Path) -> None:
    """Finished levels are not converted again, and a full disk at any write loses none of them."""
    group = zarr.open_group(tmp_path / "labels.zarr", mode="w")
    for level in range(2):
        array = group.create_array(str(level), shape=VOXELS.shape, dtype="u4", chunks=(8, 6, 6))
        array[...] = VOXELS + level
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}
    for n in range(1000):
        store = Failing(tmp_path / f"new-{n}.zarr")
        store.left = n
        try:
            cz.convert(group, store, to="zstd", parallel=1)
        except OSError:
            store.left = 10**9
            cz.convert(group, store, to="zstd")
        else:
            break
        new = zarr.open_group(LocalStore(store.root), mode="r")
        assert np.array_equal(new["1"][...], VOXELS + 1)
        assert np.array_equal(new["0"][...], VOXELS)
        assert new.attrs.asdict() == group.attrs.asdict()
        assert not list(Path(store.root).rglob(".crackle*"))
    assert n > 20
