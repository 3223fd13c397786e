"""Boxes of volumes at every resolution: stored levels, pooled levels, axes, types, memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.files.space import Space
from crackle_zarr.synthetic import neurons
from crackle_zarr.view.cache import TileCache
from crackle_zarr.view.sources import Source, open_labels
from crackle_zarr.view.volume import Volume, pooled_image


def volume_of(array, names=None, size=None, *, is_labels: bool = True, limit: int = 2**27) -> Volume:
    space = Space(size, None if size is None else "nanometer")
    return Volume(Source([array], [space], names, "seg"), TileCache(limit), is_labels=is_labels)


def whole(volume: Volume, level: int, index=()) -> np.ndarray:
    return volume.box(level, (0, 0, 0), volume.levels[level].shape, index)


def stored(labels: np.ndarray, **options) -> zarr.Array:
    return cz.create_array(MemoryStore(), data=labels, **options)


@pytest.fixture(scope="module")
def seg() -> np.ndarray:
    """Labels (z, y, x) whose edges are no multiples of chunks or factors."""
    return neurons((70, 150, 261), seed=3)


@pytest.mark.parametrize("chunks", [(64, 64, 64), (16, 150, 100), (5, 7, 9), (70, 150, 261)])
def test_levels_are_pooled_by_the_mode(seg, chunks) -> None:
    """Every level equals the whole level before, pooled, whatever the chunks are."""
    volume = volume_of(stored(seg, chunks=chunks))
    expected = np.asfortranarray(seg.T)
    assert [level.shape for level in volume.levels] == [(261, 150, 70), (131, 75, 35), (66, 38, 18)]
    for number, level in enumerate(volume.levels):
        if number:
            assert level.step == (2, 2, 2)
            expected = cz.decompress(cz.mode_pooling(cz.compress(expected), level.step))
        assert np.array_equal(whole(volume, number), expected)


def test_boxes_are_parts_of_levels(seg) -> None:
    """A box has the voxels of the level, also across tiles and at the end."""
    volume = volume_of(stored(seg, chunks=(16, 40, 50)))
    for number, level in enumerate(volume.levels):
        everything = whole(volume, number)
        start = tuple(length // 3 for length in level.shape)
        assert np.array_equal(
            volume.box(number, start, level.shape), everything[tuple(slice(one, None) for one in start)]
        )
    with pytest.raises(ValueError, match="there is no box"):
        volume.box(0, (0, 0, 0), (262, 150, 70))


def test_flat_voxels_are_pooled_along_x_and_y_first(seg) -> None:
    """Levels are (2, 2, 1) until voxels are about cubic."""
    volume = volume_of(stored(seg), size=(40.0, 16.0, 16.0))
    assert [level.step for level in volume.levels] == [None, (2, 2, 1), (2, 2, 2)]
    assert [level.voxel_size for level in volume.levels] == [(16, 16, 40), (32, 32, 40), (64, 64, 80)]


def test_stored_levels_are_used() -> None:
    """Levels of a pyramid come first, with the scale of the metadata, and pooled ones follow."""
    fine = stored(np.ones((8, 600, 600), np.uint8))
    coarse = stored(np.full((8, 300, 300), 2, np.uint8))
    spaces = [Space((40.0, 8.0, 8.0), "nanometer"), Space((40.0, 16.0, 16.0), "nanometer")]
    volume = Volume(Source([fine, coarse], spaces, ("z", "y", "x"), "seg"), TileCache(2**20), is_labels=True)
    assert [level.shape for level in volume.levels] == [
        (600, 600, 8),
        (300, 300, 8),
        (150, 150, 8),
        (75, 75, 4),
    ]
    assert [level.voxel_size[0] for level in volume.levels] == [8, 16, 32, 64]
    assert [int(whole(volume, number).max()) for number in range(4)] == [1, 2, 2, 2]


@pytest.mark.parametrize(
    ("dtype", "shown"),
    [("bool", "uint8"), ("int8", "uint8"), ("int16", "uint16"), ("int64", "uint64"), (">u4", "uint32")],
)
def test_types(dtype: str, shown: str) -> None:
    """Types that the page does not know become unsigned integers of the same bits."""
    labels = np.array([[[0, 1, 1, 0]]], dtype) if dtype == "bool" else np.array([[[0, 1, 99, 7]]], dtype)
    if np.dtype(dtype).kind == "i":
        labels[0, 0, 3] = -5
    volume = volume_of(stored(labels))
    assert volume.dtype == np.dtype(shown)
    found = whole(volume, 0)[:, 0, 0]
    assert found.dtype == np.dtype(shown)
    assert np.array_equal(found, labels[0, 0].astype(labels.dtype.newbyteorder("=")).view(shown))


def test_axes_by_name() -> None:
    """Names of axes determine x, y and z; further axes get an index each."""
    labels = np.arange(2 * 3 * 4 * 5 * 1, dtype=np.uint16).reshape(3, 4, 2, 5, 1)
    array = stored(labels, chunks=(3, 4, 1, 5, 1), dimension_names=("x", "y", "t", "z", "c"))
    volume = volume_of(array, ("x", "y", "t", "z", "c"))
    assert (volume.shape, volume.others, volume.other_names) == ((3, 4, 5), (2,), ("t",))
    for time in range(2):
        assert np.array_equal(whole(volume, 0, (time,)), labels[:, :, time, :, 0])


@pytest.mark.parametrize("shape", [(7,), (5, 7), (1, 1, 4, 5, 7)])
def test_fewer_and_more_axes(shape) -> None:
    """One and two axes are filled up; axes of length 1 before z are left out."""
    labels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
    volume = volume_of(stored(labels))
    assert volume.others == ()
    expected = labels.reshape((1, 1, 1, *shape)[-3:]).T
    assert np.array_equal(whole(volume, 0), expected)


def test_the_cache_has_a_bound(seg) -> None:
    """Reading everything, with several threads, keeps no more bytes than the limit, and gives the same."""
    limit = 600_000
    array = stored(seg.astype(np.uint32), chunks=(16, 64, 64))
    volume = volume_of(array, limit=limit)
    expected = np.asfortranarray(seg.T.astype(np.uint32))
    starts = [(x, y, 0) for x in range(0, 261, 64) for y in range(0, 150, 64)] * 2
    seen = []

    def read(start) -> bool:
        stop = tuple(min(one + 64, n) for one, n in zip(start, (261, 150, 70), strict=True))
        stop = (stop[0], stop[1], 70)
        found = volume.box(0, start, stop)
        seen.append(volume._cache.nbytes)
        return bool(np.array_equal(found, expected[start[0] : stop[0], start[1] : stop[1]]))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, starts))
    assert 0 < max(seen) <= limit
    assert len(volume._cache) > 1


def test_threads_that_need_the_same_tile_make_it_once() -> None:
    """A second thread waits for the first."""
    cache = TileCache(100)
    begun, go_on = threading.Event(), threading.Event()
    made = []

    def make() -> np.ndarray:
        made.append(1)
        begun.set()
        assert go_on.wait(60)
        return np.ones(10, np.uint8)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", make)
        assert begun.wait(60)
        second = pool.submit(cache.get, "key", make)
        go_on.set()
        assert first.result(60) is second.result(60)
    assert len(made) == 1


def test_a_failure_is_not_kept() -> None:
    """After a failure, the next request tries again; arrays larger than the limit are not kept."""
    cache = TileCache(5)

    def fail() -> np.ndarray:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        cache.get("key", fail)
    assert cache.get("key", lambda: np.ones(10, np.uint8)).sum() == 10
    assert (len(cache), cache.nbytes) == (0, 0)


def test_images_are_pooled_by_the_mean() -> None:
    """Blocks of images become their mean, at odd ends too; floats of 64 bits become those of 32."""
    image = np.array([[1, 3, 10], [5, 7, 20]], np.uint8)[:, :, np.newaxis]
    assert pooled_image(image, (2, 2, 1))[:, :, 0].tolist() == [[4, 15]]
    array = zarr.create_array(MemoryStore(), data=np.full((2, 300, 300), 0.25))
    volume = volume_of(array, is_labels=False)
    assert volume.dtype == np.float32
    assert np.array_equal(whole(volume, 1), np.full((150, 150, 1), 0.25, np.float32))


def test_views_with_other_labels(seg) -> None:
    """A remapped view shows its own labels."""
    array = stored(seg)
    label = int(seg[35, 70, 130])
    view = cz.lazy_remap(array, {label: 5})
    volume = Volume(open_labels(view), TileCache(2**20), is_labels=True)
    assert np.array_equal(whole(volume, 0), np.where(seg == label, 5, seg).T)
