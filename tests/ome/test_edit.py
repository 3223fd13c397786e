"""Remaps of all levels of a pyramid: each level is afterwards that which would be built anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sync_stores
import zarr
from command_line import Ran, run  # noqa: F401 - a fixture
from zarr.codecs import BytesCodec, TransposeCodec, ZstdCodec
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import JournalError
from crackle_zarr.ome import open_multiscale
from crackle_zarr.ome.pooling import pool

STEPS = [(1, 2, 2), (2, 2, 2), (2, 2, 2)]


def voxels_of(seed: int, shape: tuple[int, ...] = (12, 50, 45), labels: int = 30) -> np.ndarray:
    """Thin objects, of which many are in a block of a coarse level."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, labels, [-(-n // 2) for n in shape]).astype("u4")
    for axis, length in enumerate(shape):
        voxels = np.repeat(voxels, 2, axis=axis).take(range(length), axis=axis)
    return voxels


def build(voxels: np.ndarray, store: Any = None, sparse: bool = False, **options: Any) -> zarr.Group:
    options = {"chunks": (4, 16, 16), **options}
    made = cz.create_ome_labels(
        MemoryStore() if store is None else store, None, voxels.shape, "u4", **options
    )
    made.levels[0][...] = voxels
    return cz.build_pyramid(made.group, STEPS, sparse=sparse).group


def is_right(group: zarr.Group, voxels: np.ndarray, sparse: bool = False) -> None:
    levels = open_multiscale(group).levels
    assert np.array_equal(levels[0][...], voxels)
    for level, step in zip(levels[1:], STEPS, strict=True):
        voxels = pool(voxels, step, sparse)
        assert np.array_equal(level[...], voxels)


def mapped(voxels: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    table = np.arange(1000, dtype=voxels.dtype)
    table[list(mapping)] = list(mapping.values())
    return table[voxels]


MAPPINGS: dict[str, dict[int, int]] = {
    "renamed": {3: 300},
    "swapped": {1: 2, 2: 1},
    "merged": {1: 2, 3: 2, 5: 2},
    "merged into a new one": {1: 77, 3: 77},
    "many merged": {label: label // 3 + 100 for label in range(30)},
    "to 0": {4: 0, 9: 0},
    "from 0": {0: 5},
    "absent": {888: 1},
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
def test_remap(mapping: dict[int, int], sparse: bool) -> None:
    """After a remap of a group each level is the pooled one before."""
    for seed, chunks in enumerate([(4, 16, 16), (3, 7, 11)]):
        voxels = voxels_of(seed)
        group = build(voxels, sparse=sparse, chunks=chunks)
        report = cz.remap(group, mapping)
        is_right(group, mapped(voxels, mapping), sparse)
        assert report.chunks == report.levels[0]
        assert len(report.levels) == 4
        assert not [key for key in group.store_path.store._store_dict if ".crackle" in key]


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (2, 8, 8), "shards": (4, 16, 16)},
        {"compressors": ZstdCodec()},
        {"filters": [TransposeCodec(order=(2, 1, 0))]},
    ],
    ids=["shards", "zstd", "transposed"],
)
def test_layouts(options: dict[str, Any]) -> None:
    """Shards, codecs behind Crackle and transposes are edited, too."""
    voxels = voxels_of(5)
    group = build(voxels, **options)
    cz.remap(group, MAPPINGS["merged"])
    is_right(group, mapped(voxels, MAPPINGS["merged"]))


def test_only_what_changes() -> None:
    """Renaming writes new label tables; chunks without the labels stay, in all levels."""
    voxels = np.zeros((8, 64, 64), "u4")
    voxels[:4, :8, :8] = 7
    voxels[:4, 40:48, 40:48] = 9
    group = build(voxels)
    before = dict(group.store_path.store._store_dict)
    report = cz.remap(group, {7: 70})
    assert [len(level) for level in report.levels] == [1, 1, 1, 1]
    changed = [
        key
        for key, value in group.store_path.store._store_dict.items()
        if value.to_bytes() != before[key].to_bytes()
    ]
    assert len(changed) == 4
    is_right(group, mapped(voxels, {7: 70}))


def test_random() -> None:
    """Sequences of random merges and renames keep the levels right."""
    rng = np.random.default_rng(3)
    voxels = voxels_of(9, labels=12)
    group = build(voxels)
    for _ in range(12):
        mapping = {int(a): int(b) for a, b in rng.integers(0, 14, (3, 2))}
        try:
            cz.remap(group, mapping, create_chunks=True)
        finally:
            voxels = mapped(voxels, mapping)
        is_right(group, voxels)


def test_missing_chunks() -> None:
    """Chunks that are all fill value are created in all levels where that is allowed."""
    voxels = np.zeros((8, 64, 64), "u4")
    voxels[:2, :30, :30] = 3
    group = build(voxels)
    with pytest.raises(ValueError, match="create_chunks=True writes them"):
        cz.remap(group, {0: 4})
    is_right(group, voxels)
    cz.remap(group, {0: 4}, create_chunks=True)
    is_right(group, mapped(voxels, {0: 4}))


def test_other_pyramids() -> None:
    """Levels that others made are relabelled by their tables: strided levels stay strided."""
    voxels = voxels_of(2)
    group = build(voxels)
    attributes = group.attrs["ome"]
    del attributes["multiscales"][0]["metadata"]
    group.attrs["ome"] = attributes
    strided = [voxels]
    for level, step in zip(open_multiscale(group).levels[1:], STEPS, strict=True):
        strided.append(strided[-1][tuple(slice(None, None, one) for one in step)])
        level[...] = strided[-1]
    cz.remap(group, MAPPINGS["many merged"])
    for level, expected in zip(open_multiscale(group).levels, strided, strict=True):
        assert np.array_equal(level[...], mapped(expected, MAPPINGS["many merged"]))


def test_other_codecs() -> None:
    """Levels that are not Crackle streams are decoded and encoded."""
    voxels = voxels_of(2)
    store = MemoryStore()
    group = build(voxels, store)
    zarr.create_array(
        store, name="s0", data=voxels, chunks=(4, 16, 16), serializer=BytesCodec(), overwrite=True
    )
    with pytest.warns(cz.CrackleWarning):
        cz.remap(group, MAPPINGS["merged"])
    is_right(group, mapped(voxels, MAPPINGS["merged"]))


def test_one_level() -> None:
    """An edit of an array that is a level says that the others stay; one of a single level says nothing."""
    voxels = voxels_of(2)
    group = build(voxels)
    with pytest.warns(cz.CrackleWarning, match="s0 is level 0 of .*, whose other levels keep their labels"):
        cz.remap(open_multiscale(group).levels[0], {3: 300})
    assert np.array_equal(open_multiscale(group).levels[0][...], mapped(voxels, {3: 300}))
    attributes = group.attrs["ome"]
    del attributes["multiscales"][0]["datasets"][1:]
    group.attrs["ome"] = attributes
    cz.remap(open_multiscale(group).levels[0], {300: 3})


def test_dry_run() -> None:
    """A dry run names the chunks of all levels, and writes nothing."""
    voxels = voxels_of(1)
    group = build(voxels)
    before = {key: value.to_bytes() for key, value in group.store_path.store._store_dict.items()}
    told = cz.remap(group, MAPPINGS["merged"], dry_run=True)
    assert told.dry_run
    assert before == {key: value.to_bytes() for key, value in group.store_path.store._store_dict.items()}
    done = cz.remap(group, MAPPINGS["merged"])
    assert all(set(a) <= set(b) for a, b in zip(done.levels, told.levels, strict=True))
    assert done.chunks == told.chunks


def test_processes(tmp_path: Path) -> None:
    """Processes do the same."""
    voxels = voxels_of(1)
    group = build(voxels, tmp_path / "a.zarr")
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        cz.remap(group, MAPPINGS["merged"], executor=executor)
    is_right(group, mapped(voxels, MAPPINGS["merged"]))


class Failing(sync_stores.LocalStore):
    """Fails at the n-th change and at all later ones, like a process that is gone."""

    left = 10**9

    def _change(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def set_sync(self, key: str, value: Any) -> None:
        self._change()
        super().set_sync(key, value)

    def delete_sync(self, key: str) -> None:
        self._change()
        super().delete_sync(key)

    async def set(self, key: str, value: Any) -> None:
        self._change()
        await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        self._change()
        await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        self._change()
        await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        self._change()
        await super().delete_dir(prefix)


@pytest.mark.parametrize("action", ["resume", "undo"])
def test_interrupted(action: str, tmp_path: Path) -> None:
    """After a failure at any change resume and undo leave the new or the old labels in all levels."""
    voxels = voxels_of(4, (4, 32, 32))
    new = mapped(voxels, MAPPINGS["merged"])
    build(voxels, tmp_path / "start.zarr")
    finished = 0
    for n in range(200):
        place = tmp_path / f"{n}.zarr"
        shutil.copytree(tmp_path / "start.zarr", place)
        store = Failing(place)
        store.left = n
        try:
            cz.remap(zarr.open_group(store, mode="r+"), MAPPINGS["merged"], parallel=1)
        except cz.StoreError:
            group = zarr.open_group(place)
        else:
            break
        try:
            getattr(cz, action)(group)
            finished += 1
        except JournalError as error:  # there is none, or it ended with its plan
            if "undo() removes the rest" in str(error):
                cz.undo(group)
        labels = open_multiscale(group).levels[0][...]
        assert np.array_equal(labels, voxels) or np.array_equal(labels, new)
        is_right(group, labels)
        assert cz.remap(group, {888: 1}).chunks == []  # no journal is left
    else:
        raise AssertionError("it never ends")
    assert finished > 3


def test_journals_exclude_each_other() -> None:
    """An unfinished remap of one level stops a remap of all, and the other way round for pyramids."""
    voxels = voxels_of(4)
    group = build(voxels)
    objects = group.store_path.store._store_dict
    objects["s1/.crackle-remap/plan"] = objects["zarr.json"]
    with pytest.raises(JournalError, match="s1 has an unfinished remap"):
        cz.remap(group, {1: 2})
    del objects["s1/.crackle-remap/plan"]
    objects[".crackle-remap/plan"] = objects["zarr.json"]
    with pytest.raises(JournalError, match="unfinished remap"):
        cz.build_pyramid(group)
    with pytest.raises(JournalError, match="unfinished remap"):
        cz.remap(group, {1: 2})


def test_command_line(run: Callable[..., Ran]) -> None:
    """crackle-zarr remap takes the group, and edits all levels."""
    voxels = voxels_of(4)
    group = build(voxels, "a.ome.zarr")
    assert "4 levels would change" in run("remap", "a.ome.zarr", "1=2", "3=2", "--dry-run").out
    ran = run("remap", "a.ome.zarr", "1=2", "3=2", "--json")
    assert ran.code == 0, ran.err
    assert len(json.loads(ran.out)["levels"]) == 4
    is_right(group, mapped(voxels, {1: 2, 3: 2}))
    assert run("remap", "a.ome.zarr", "--resume").code == 2
