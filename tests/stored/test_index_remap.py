"""A remap with an index changes what one without it changes, however old the index is, and reads less."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import zarr
from index_cases import check_index_of, cubes, small_parts, stored  # noqa: F401
from stored_arrays import KINDS, make
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import crackle_zarr as cz
from crackle_zarr.stored import edits
from crackle_zarr.stored.editing.entries import entries_in
from crackle_zarr.stored.index import planning

pytestmark = [
    pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning"),
    pytest.mark.usefixtures("small_parts"),
]


def objects_of(array: Any) -> dict[str, bytes]:
    """The objects of an array in memory, without its index."""
    objects = array.store_path.store._store_dict
    return {key: value.to_bytes() for key, value in objects.items() if ".crackle-" not in key}


def copied(array: Any) -> Any:
    """A copy of an array in memory, with its index."""
    objects = dict(array.store_path.store._store_dict)
    return zarr.open_array(MemoryStore(objects), path=array.path, mode="r+")


def write_some(array: Any, rng: np.random.Generator) -> None:
    """Write a label that the array has to some of its voxels, with plain Zarr."""
    labels = np.unique(array[...])
    for _ in range(2):
        place = tuple(int(rng.integers(0, max(1, length))) for length in array.shape)
        if all(array.shape):
            array[tuple(slice(start, start + 3) for start in place)] = rng.choice(labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stale", [False, True])
def test_the_same_as_without(kind: str, stale: bool) -> None:
    """Report and objects of any array are those of a remap without an index, also if the index is stale."""
    rng = np.random.default_rng([5, *map(ord, kind)])
    array, _ = make(kind, rng)
    cz.create_index(array)
    for _ in range(3):
        if stale:
            write_some(array, rng)
        labels = np.unique(array[...])
        mapping = {int(key): int(rng.choice(labels)) for key in rng.choice(labels, min(2, len(labels)))}
        other = copied(array)
        options: dict[str, Any] = {"create_chunks": True}
        assert cz.remap(array, mapping, dry_run=True, index="require", **options).chunks == (
            cz.remap(other, mapping, dry_run=True, index="ignore", **options).chunks
        )
        report = cz.remap(array, mapping, index="require", **options)
        expected = cz.remap(other, mapping, index="ignore", **options)
        assert (report.chunks, report.bytes_written) == (expected.chunks, expected.bytes_written)
        assert objects_of(array) == objects_of(other)
    cz.update_index(array)
    check_index_of(array)


def test_the_same_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal keeps the same objects with their old and new forms; resume finishes it."""
    from crackle_zarr.stored.editing import edit

    voxels = cubes(1)
    array = stored(voxels)
    cz.create_index(array)
    label = int(voxels[0, 0, 0])
    kept = []

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for index in ("require", "ignore"):
        other = copied(array)
        with monkeypatch.context() as patch:
            patch.setattr(edit, "copy_to_array", fail)
            with pytest.raises(KeyboardInterrupt):
                cz.remap(other, {label: 5}, index=index)
        objects = other.store_path.store._store_dict
        raw = [value.to_bytes() for key, value in objects.items() if "/entries/" in key]
        kept.append({entry for one in raw for entry in entries_in(one, "entries")})
        cz.resume(other)
        assert np.array_equal(other[...], np.where(voxels == label, 5, voxels))
    assert kept[0] == kept[1]
    assert kept[0]


class Reads(WrapperStore[Any]):
    """A store that notes which chunks are read."""

    chunks: ClassVar[set[str]] = set()
    requests = 0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if "/c/" in key:
            type(self).chunks.add(key)
            type(self).requests += 1
        return await super().get(key, prototype, byte_range)


def reads_of(work: Any) -> tuple[int, int]:
    """How many chunks are read, by how many requests."""
    Reads.chunks, Reads.requests = set(), 0
    work()
    return len(Reads.chunks), Reads.requests


def test_requests(tmp_path: Path) -> None:
    """With a current index only chunks with an old label are read, and those that were written since."""
    voxels = cubes(2, (32, 64, 64), 300)
    array = stored(voxels, Reads(LocalStore(tmp_path)), chunks=(8, 8, 8))
    cz.create_index(array)
    label = int(voxels[0, 0, 0])
    chunks = len(cz.find(array, label).chunks)
    assert chunks < 32

    def dry(**options: Any) -> Any:
        return cz.remap(array, {label: 5}, dry_run=True, **options)

    assert reads_of(dry)[0] == chunks
    assert reads_of(dry)[1] <= 4 * chunks
    assert reads_of(lambda: dry(index="ignore"))[0] == array.nchunks
    array[31, 63, 63] = label
    assert reads_of(dry)[0] == chunks + 1
    assert (3, 7, 7) in dry().chunks
    array[31, 63, 63] = 77
    assert reads_of(dry)[0] == chunks + 1
    cz.remap(array, {label: 5})
    expected = np.where(voxels == label, 5, voxels)
    expected[31, 63, 63] = 77
    assert np.array_equal(array[...], expected)


@pytest.mark.parametrize("index", ["auto", "require"])
def test_many_pairs(tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many pairs, those of labels that a plain write has added since are applied as well."""
    monkeypatch.setattr(edits, "_FEW_PAIRS", 2)
    voxels = cubes(3)
    array = stored(voxels, LocalStore(tmp_path))
    cz.create_index(array)
    array[9:13, 0, 0] = 7000
    voxels = array[...]
    mapping = {
        7000: 7001,
        **{number: number + 10_000 for number in range(5)},
        **dict.fromkeys(range(100, 300), 1),
    }
    cz.remap(array, mapping, index=index)
    expected = voxels.copy()
    for old, new in mapping.items():
        expected[voxels == old] = new
    assert np.array_equal(array[...], expected)
    assert {7001, 10_000} & set(np.unique(expected).tolist())


def test_what_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a current index "auto" reads all chunks, and "require" says what to do and changes nothing."""
    voxels = cubes(4)
    array = stored(voxels, LocalStore(tmp_path))
    label = int(voxels[0, 0, 0])
    with pytest.raises(FileNotFoundError, match="create_index"):
        cz.remap(array, {label: 5}, index="require")
    cz.create_index(array)
    for file in tmp_path.rglob("rows-*.parquet"):
        file.write_bytes(file.read_bytes()[:-40] + bytes(40))
    with pytest.raises(cz.FormatError, match="rows-"):
        cz.remap(array, {label: 5}, index="require")
    assert np.array_equal(array[...], voxels)
    cz.remap(array, {label: 5})
    voxels = np.where(voxels == label, 5, voxels)
    assert np.array_equal(array[...], voxels)
    cz.create_index(array, overwrite=True)
    with pytest.raises(KeyError, match="no mapping"):
        cz.remap(array, {5: 6}, preserve_missing_labels=False, index="require")
    with monkeypatch.context() as patch:
        patch.setattr(planning, "_MOST_LABELS", 0)
        assert cz.remap(array, {5: 6}, dry_run=True, index="require").chunks
    with pytest.raises(ValueError, match="'auto', 'require' or 'ignore'"):
        cz.remap(array, {5: 6}, index="always")
    with pytest.raises(TypeError, match="index are for stored arrays"):
        cz.remap(cz.compress(voxels), {5: 6}, index="require")


def test_pyramids() -> None:
    """A remap of a group reads the chunks that the indexes of its levels list, and may require all."""
    voxels = cubes(5, (16, 32, 64)).astype(np.uint32)
    groups = []
    for index in ("require", "ignore"):
        group = zarr.open_group(MemoryStore(), mode="w")
        labels = cz.write_ome_labels(group, "cells", voxels, chunks=(8, 8, 16), factors=(2, 2, 2), levels=2)
        cz.create_index(labels.group)
        mapping = {int(voxels[0, 0, 0]): int(voxels[-1, -1, -1]), int(voxels[0, 0, -1]): 4000}
        if index == "require":
            with pytest.raises(FileNotFoundError, match=r"cells/.*create_index"):
                cz.remap(labels.group, mapping, index="require")
        cz.create_index(labels.group, level=1)
        groups.append((cz.remap(labels.group, mapping, index=index), group))
    (one, with_index), (other, without) = groups
    assert (one.levels, one.bytes_written) == (other.levels, other.bytes_written)
    a, b = (
        {k: v.to_bytes() for k, v in group.store_path.store._store_dict.items() if ".crackle-" not in k}
        for group in (with_index, without)
    )
    assert a == b
