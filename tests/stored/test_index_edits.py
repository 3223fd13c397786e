"""An index follows edits: right after a remap and an undo, and pending while one is unfinished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from index_cases import check_index_of, cubes, small_parts, stored  # noqa: F401
from stored_arrays import KINDS, make
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr as cz
from crackle_zarr.stored.index import following

pytestmark = [
    pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning"),
    pytest.mark.usefixtures("small_parts"),
]


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_remaps(kind: str, small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each of several remaps of any array, small or large, the index answers as the array does."""
    rng = np.random.default_rng([7, *map(ord, kind)])
    array, _ = make(kind, rng)
    cz.create_index(array)
    if not small:
        monkeypatch.setattr(following, "_MOST_CHUNKS", -1)
    for _ in range(4):
        labels = np.unique(array[...])
        info = np.iinfo(labels.dtype) if labels.dtype.kind != "b" else None
        values = [*labels.tolist(), *([] if info is None else rng.integers(0, 99, 3).tolist())]
        mapping = {int(key): int(rng.choice(values)) for key in rng.choice(labels, min(3, len(labels)))}
        cz.remap(array, mapping, create_chunks=True)
        check_index_of(array)
        assert cz.check_index(array) == []
        assert (len(cz.open_index(array)._lookup.manifest.segments) > 1) <= small
    cz.update_index(array)
    assert len(cz.open_index(array)._lookup.manifest.segments) <= 1
    check_index_of(array)


def test_swallowed_deltas() -> None:
    """Many small remaps leave few segments, and all of their answers are right."""
    voxels = cubes(1, count=60)
    array = stored(voxels)
    cz.create_index(array)
    labels = np.unique(voxels).tolist()
    rng = np.random.default_rng(0)
    for number in range(12):
        some = rng.choice(labels, 2)
        cz.remap(array, {int(some[0]): int(some[1]), 1000 + number - 1: 1000 + number})
        assert len(cz.open_index(array)._lookup.manifest.segments) <= 6
    check_index_of(array)
    assert np.array_equal(cz.labels(array), cz.labels(array, index="ignore"))


def test_an_index_that_was_stale_before(tmp_path: Path) -> None:
    """A remap after a plain write does not hide the write: the index is updated, or says what changed."""
    for place, chunk in (("held", (0, 0, 0)), ("other", (16, 24, 32))):
        voxels = cubes(2)
        array = stored(voxels, LocalStore(tmp_path / place))
        cz.create_index(array)
        label = int(voxels[0, 0, 0])
        array[chunk] = 31337
        cz.remap(array, {label: 5})
        assert [one for one, _ in cz.check_index(array)] in ([], [(2, 3, 2)])
        cz.update_index(array)
        check_index_of(array)


def test_labels_that_the_index_does_not_know() -> None:
    """A remap of labels that a plain write has added brings the index up to date."""
    array = stored(cubes(2))
    cz.create_index(array)
    array[0, 0, 0] = 31337
    cz.remap(array, {31337: 31338})
    assert cz.check_index(array) == []
    check_index_of(array)


def failing_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let remaps end after the index was told, and before a chunk is replaced."""
    from crackle_zarr.stored.editing import edit

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(edit, "copy_to_array", fail)


@pytest.mark.parametrize("action", ["resume", "undo"])
def test_unfinished(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a remap is unfinished no query uses the index; resume and undo make it right."""
    voxels = cubes(3)
    array = stored(voxels)
    cz.create_index(array)
    label = int(voxels[0, 0, 0])
    with monkeypatch.context() as patch:
        failing_copy(patch)
        with pytest.raises(KeyboardInterrupt):
            cz.remap(array, {label: 5})
    assert not cz.find(array, label).indexed
    with pytest.raises(cz.StaleIndexError, match=r"resume\(\).*undo\(\)"):
        cz.labels(array, index="require")
    for function in (cz.create_index, cz.update_index):
        with pytest.raises(cz.JournalError):
            function(array, **({"overwrite": True} if function is cz.create_index else {}))
    getattr(cz, action)(array)
    assert cz.find(array, label, index="require").indexed
    check_index_of(array)


@pytest.mark.parametrize("small", [True, False])
def test_an_undo_of_a_whole_edit(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit dies when all is done but its end is not noted: an undo of it leaves no index of new labels.

    While the undo is under way, and where it was stopped, queries are told and ask the chunks.
    """
    from crackle_zarr.stored.editing import edit
    from crackle_zarr.stored.editing.hold import Hold

    if not small:
        monkeypatch.setattr(following, "_MOST_CHUNKS", -1)
    voxels = cubes(3)
    array = stored(voxels)
    cz.create_index(array)
    label = int(voxels[0, 0, 0])

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Hold, "end", fail)
        with pytest.raises(KeyboardInterrupt):
            cz.remap(array, {label: 5})
    assert cz.find(array, 5, index="require").indexed
    with monkeypatch.context() as patch:
        patch.setattr(edit, "copy_to_array", fail)
        with pytest.raises(KeyboardInterrupt):
            cz.undo(array)
    with pytest.raises(cz.StaleIndexError):
        cz.find(array, 5, index="require")
    with pytest.raises(cz.JournalError, match="is being undone"):
        cz.find(array, 5, unfinished="refuse")
    with monkeypatch.context() as patch:
        patch.setattr(Hold, "end", fail)
        with pytest.raises(KeyboardInterrupt):
            cz.undo(array)
    cz.undo(array)
    assert np.array_equal(array[...], voxels)
    check_index_of(array)


def test_no_index_of_what_is_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array that is half converted, and a level that is half built, get no index."""
    from crackle_zarr.ome import pyramid
    from crackle_zarr.stored import convert

    def fail(*_: Any, **__: Any) -> Any:
        raise cz.StoreError("the disk is full")

    source = stored(cubes(6))
    with monkeypatch.context() as patch:
        patch.setattr(convert, "run", fail)
        with pytest.raises(cz.StoreError, match="full"):
            cz.convert(source, LocalStore(tmp_path))
    with pytest.raises(cz.JournalError, match="unfinished conversion"):
        cz.create_index(zarr.open_array(LocalStore(tmp_path), mode="r+"))
    group = zarr.open_group(MemoryStore(), mode="w")
    voxels = cubes(5, (16, 32, 64)).astype(np.uint32)
    labels = cz.write_ome_labels(group, "cells", voxels, chunks=(8, 8, 16), factors=(2, 2, 2), levels=2)
    cz.create_index(labels.group, level=1)
    before = zarr.open_array(labels.levels[1].store_path, mode="r")
    with monkeypatch.context() as patch:
        patch.setattr(pyramid, "run", fail)
        with pytest.raises(cz.StoreError, match="full"):
            cz.build_pyramid(labels.group, (2, 2, 2), levels=2)
    with pytest.raises(cz.JournalError, match="unfinished levels"):
        cz.labels(before, unfinished="refuse")
    with pytest.raises(cz.JournalError, match="unfinished levels"):
        cz.create_index(labels.group, level=1)


def test_an_edit_that_begins_during_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is put in force while an edit is under way is marked as stale, and the build says so."""
    from crackle_zarr.stored.index import build

    voxels = cubes(3)
    array = stored(voxels)
    label = int(voxels[0, 0, 0])
    put = build.put_in_force

    def put_late(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            failing_copy(patch)
            with pytest.raises(KeyboardInterrupt):
                cz.remap(array, {label: 5})
        put(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(build, "put_in_force", put_late)
        with pytest.raises(cz.JournalError):
            cz.create_index(array)
    cz.resume(array)
    with pytest.raises(cz.StaleIndexError):
        cz.labels(array, index="require")
    assert np.array_equal(cz.labels(array), np.unique(array[...]))


def test_edits_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow a remap marks the index as stale, and an update makes it right."""
    voxels = cubes(4)
    array = stored(voxels)
    cz.create_index(array)
    with monkeypatch.context() as patch:
        patch.setattr(following, "has_pyarrow", lambda: False)
        cz.remap(array, {int(voxels[0, 0, 0]): 5})
    with pytest.raises(cz.StaleIndexError, match="update_index"):
        cz.labels(array, index="require")
    assert np.array_equal(cz.labels(array), np.unique(array[...]))
    cz.update_index(array)
    check_index_of(array)


def test_pyramids() -> None:
    """A remap of a group keeps the indexes of all its levels; levels that are built again lose theirs."""
    voxels = cubes(5, (16, 32, 64)).astype(np.uint32)
    group = zarr.open_group(MemoryStore(), mode="w")
    labels = cz.write_ome_labels(group, "cells", voxels, chunks=(8, 8, 16), factors=(2, 2, 2), levels=2)
    for level in (0, 1):
        cz.create_index(labels.group, level=level)
    cz.remap(labels.group, {int(voxels[0, 0, 0]): int(voxels[-1, -1, -1])})
    for level in labels.levels:
        check_index_of(zarr.open_array(level.store_path, mode="r+"))
    cz.build_pyramid(labels.group, (2, 2, 2), levels=2)
    assert cz.find(labels.group, 3, index="require").indexed
    with pytest.raises(FileNotFoundError, match="create_index"):
        cz.labels(labels.group, level=1, index="require")


def test_conversions(tmp_path: Path) -> None:
    """A conversion replaces an array with its index: nothing of the old index is left."""
    array = stored(cubes(6), LocalStore(tmp_path))
    cz.create_index(array)
    other = stored(cubes(7))
    cz.convert(other, LocalStore(tmp_path / "seg"), overwrite=True)
    assert sorted(path.name for path in (tmp_path / "seg").iterdir()) == ["c", "zarr.json"]
