"""Indexes of stored arrays, and what they have to equal, for the tests of indexes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from chunks import CountingStore
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.stored.index import passes, runs


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, ranges and row groups of a few rows, so that small arrays have several of each."""
    from crackle_zarr.stored.index import parquet

    monkeypatch.setattr(passes, "CHUNKS_PER_TASK", 5)
    monkeypatch.setattr(passes, "ROWS_PER_RUN", 60)
    monkeypatch.setattr(passes, "ROWS_PER_RANGE", 50)
    monkeypatch.setattr(runs, "BLOCK", 7)
    monkeypatch.setattr(passes, "BLOCK", 7)
    monkeypatch.setattr(parquet, "ROW_GROUP", 16)


def same_table(a: Any, b: Any) -> bool:
    """Whether two tables are equal, to the last bit."""
    return a.dtype == b.dtype and all(np.array_equal(a[name], b[name]) for name in a.dtype.names)


def check_index_of(array: Any) -> None:
    """An index answers as its array does: labels, statistics, chunks."""
    index = cz.open_index(array)
    expected = cz.statistics(array, index="ignore")
    assert same_table(index.statistics(), expected)
    labels = cz.labels(array, index="ignore")
    assert len(index) == len(labels)
    assert np.array_equal(index.labels(), labels)
    assert index.labels().dtype == labels.dtype
    for place, label in enumerate(labels.tolist()):
        assert label in index
        found = index.rows(label)
        assert found.chunks == index.find(label) == cz.find(array, label, index="ignore", parallel=1).chunks
        assert found.voxel_count.sum() == expected["voxel_count"][place]
        assert np.array_equal(found.start.min(axis=0), expected["start"][place])
        assert np.array_equal(found.stop.max(axis=0), expected["stop"][place])
        assert same_table(index.statistics([label]), expected[place : place + 1])


def cubes(seed: int, shape: tuple[int, ...] = (20, 30, 40), count: int = 40) -> np.ndarray:
    """Cubes of four voxels with random labels, half of them above the middle of 64 bits."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, count, tuple(-(-length // 4) for length in shape)).astype(np.uint64)
    voxels[voxels > count // 2] += np.uint64(2**63)
    for axis in range(len(shape)):
        voxels = np.repeat(voxels, 4, axis)
    return np.ascontiguousarray(voxels[tuple(map(slice, shape))])


def stored(voxels: np.ndarray, store: Any = None, **options: Any) -> zarr.Array:
    """An array of small chunks."""
    keywords = {"chunks": (8, 8, 16), "shape": voxels.shape, "dtype": voxels.dtype, **options}
    array = cz.create_array(MemoryStore() if store is None else store, name="seg", **keywords)
    array[...] = voxels
    return array


class Counted(CountingStore):
    """A store that counts all requests, those for missing objects too, and can delay each."""

    requests = 0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        type(self).requests += 1
        return await super().get(key, prototype, byte_range)


def requests_of(question: Any) -> int:
    """How many requests a question makes."""
    before = Counted.requests
    question()
    return Counted.requests - before
