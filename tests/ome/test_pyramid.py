"""Building pyramids: pooling equals its plain definition in all layouts; levels and their metadata."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, TransposeCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import FormatError, JournalError, VerificationError
from crackle_zarr.ome import open_multiscale
from crackle_zarr.ome.pooling import pool, pool_box
from crackle_zarr.stored.layout import layout_of


def blobs(shape: tuple[int, ...], labels: int = 6, seed: int = 0, dtype: str = "u4") -> np.ndarray:
    """Labels in blocks of about four voxels, so that most blocks of two have one label."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, labels, [-(-n // 3) for n in shape]).astype(dtype)
    for axis, length in enumerate(shape):
        coarse = np.repeat(coarse, 3, axis=axis).take(range(length), axis=axis)
    noise = rng.random(shape) < 0.05
    coarse[noise] = rng.integers(0, labels, int(noise.sum()))
    return coarse


def by_hand(voxels: np.ndarray, step: tuple[int, ...], sparse: bool) -> np.ndarray:
    """Pooling, block by block, by the rules in the documentation."""
    out = np.empty([-(-n // one) for n, one in zip(voxels.shape, step, strict=True)], voxels.dtype)
    for index in np.ndindex(*out.shape):
        block = voxels[tuple(slice(i * one, (i + 1) * one) for i, one in zip(index, step, strict=True))]
        labels = block.ravel().tolist()
        candidates = [label for label in labels if label or not sparse] or labels
        most = max(Counter(candidates).values())
        winners = [label for label in candidates if candidates.count(label) == most]
        is_square = block.shape == step and sorted(n for n in step if n > 1) == [2, 2]
        if not is_square:
            out[index] = winners[0]
        elif most == 1 and len(candidates) == 4:
            out[index] = labels[3]
        elif most == 1:  # zeros do not count: the last, else the first of the others
            out[index] = labels[3] or labels[0] or labels[1] or labels[2]
        else:
            pairs = ((0, 1), (0, 2), (1, 2))
            equal = [labels[a] for a, b in pairs if labels[a] == labels[b] in winners]
            out[index] = equal[0] if equal else labels[3]
    return out


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "step", [(1, 2, 2), (2, 2, 2), (2, 1, 1), (2, 2, 1), (1, 1, 3), (3, 2, 1), (1, 4, 4)]
)
def test_pool(step: tuple[int, int, int], sparse: bool) -> None:
    """Pooling of arrays follows the documented rules."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        voxels = rng.integers(0, rng.integers(2, 6), rng.integers(1, 8, 3)).astype("u2")
        assert np.array_equal(pool(voxels, step, sparse), by_hand(voxels, step, sparse))


@pytest.mark.parametrize("sparse", [False, True])
def test_pool_is_mode_pooling(sparse: bool) -> None:
    """Pooling of arrays and of streams is the same."""
    for seed, step in itertools.product(range(30), [(1, 2, 2), (2, 2, 2)]):
        rng = np.random.default_rng(seed)
        voxels = rng.integers(0, rng.integers(2, 6), rng.integers(1, 9, 3)).astype("u4")
        stream = cz.mode_pooling(cz.compress(voxels.T), step[::-1], sparse)
        assert np.array_equal(cz.decompress(stream).T, pool(voxels, step, sparse))


LAYOUTS: dict[str, dict[str, Any]] = {
    "even chunks": {"chunks": (4, 8, 8)},
    "odd chunks": {"chunks": (3, 7, 9)},
    "one slice": {"chunks": (1, 16, 16)},
    "one chunk": {"chunks": (64, 64, 64)},
    "shards": {"chunks": (2, 4, 8), "shards": (4, 16, 16)},
    "zstd behind": {"chunks": (4, 8, 8), "compressors": ZstdCodec()},
    "transposed": {"chunks": (4, 8, 8), "filters": [TransposeCodec(order=(2, 0, 1))]},
    "transposed shards": {
        "chunks": (2, 4, 8),
        "shards": (4, 16, 16),
        "filters": [TransposeCodec(order=(2, 1, 0))],
    },
    "fill value": {"chunks": (4, 8, 8), "fill_value": 2},
    "signed": {"chunks": (4, 8, 8), "dtype": "i2"},
    "64 bits": {"chunks": (4, 8, 8), "dtype": "u8"},
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, sparse: bool) -> None:
    """Levels are right for all layouts of level 0, with odd sizes, edges and missing chunks."""
    options = dict(LAYOUTS[layout])
    dtype = options.pop("dtype", "u4")
    for seed, shape in enumerate([(13, 33, 31), (8, 16, 32), (5, 1, 17), (1, 40, 9)]):
        voxels = blobs(shape, seed=seed, dtype=dtype)
        voxels[:, :9] = options.get("fill_value", 0)
        made = cz.create_ome_labels(MemoryStore(), None, shape, dtype, voxel_size=(2, 1, 1), **options)
        made.levels[0][...] = voxels
        made = cz.build_pyramid(made.group, [(1, 2, 2), (2, 2, 2), (2, 1, 3)], sparse=sparse)
        assert len(made.levels) == 4
        for level, step in zip(made.levels[1:], [(1, 2, 2), (2, 2, 2), (2, 1, 3)], strict=True):
            voxels = pool(voxels, step, sparse)
            assert np.array_equal(level[...], voxels)


@pytest.mark.parametrize("shape", [(30, 41), (2, 9, 30, 41), (2, 2, 5, 30, 41)])
def test_other_numbers_of_axes(shape: tuple[int, ...]) -> None:
    """Images of two axes, and of time and channels, are pooled along their spatial axes."""
    voxels = blobs(shape)
    made = cz.write_ome_labels(MemoryStore(), None, voxels, levels=3, chunks=(1, 1, 4, 8, 8)[-len(shape) :])
    step = (1, 1, 2, 2, 2)[-len(shape) :]
    for level in made.levels[1:]:
        voxels = pool(voxels, step)
        assert np.array_equal(level[...], voxels)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_parts(data: st.DataObject) -> None:
    """Any part of a level, from any chunks, is that part of the whole level."""
    numbers = st.tuples(*(st.integers(1, 20) for _ in range(3)))
    shape, chunks = data.draw(numbers), data.draw(numbers)
    step = data.draw(st.sampled_from([(1, 2, 2), (2, 2, 2), (1, 1, 2), (3, 2, 2)]))
    voxels = blobs(shape, seed=data.draw(st.integers(0, 9)))
    layout = layout_of(cz.create_array({}, data=voxels, chunks=chunks))
    whole = pool(voxels, step)
    box = []
    for length in whole.shape:
        start = data.draw(st.integers(0, length))
        box.append((start, data.draw(st.integers(start, length))))
    part = pool_box(layout, tuple(box), step, False)
    assert np.array_equal(part, whole[tuple(slice(*bounds) for bounds in box)])


def group_of(store: Any, voxels: np.ndarray, levels: int = 1, **options: Any) -> zarr.Group:
    options = {"chunks": (4, 16, 16), **options}
    made = cz.create_ome_labels(store, None, voxels.shape, voxels.dtype, levels=levels, **options)
    made.levels[0][...] = voxels
    return made.group


def is_right(group: zarr.Group, voxels: np.ndarray, *steps: tuple[int, int, int]) -> None:
    """The levels of a group are those that pooling by some steps makes, and its metadata say so."""
    found = open_multiscale(group)
    assert len(found.levels) == len(steps) + 1
    factor = np.ones(3)
    first = np.array(found.spaces[0].voxel_size)
    for level, space, step in zip(found.levels[1:], found.spaces[1:], steps, strict=True):
        voxels = pool(voxels, step)
        factor *= step
        assert np.array_equal(level[...], voxels)
        assert np.allclose(space.voxel_size or (), factor * first)
        assert np.allclose(space.origin or (), (factor - 1) / 2 * first)


def test_levels_that_exist_are_built_again() -> None:
    """Levels keep their factors; other factors need overwrite=True, and leave nothing of the old levels."""
    voxels = blobs((8, 40, 40))
    store = MemoryStore()
    group = group_of(store, voxels, levels=3)
    for _ in range(2):
        cz.build_pyramid(group)
        is_right(group, voxels, (2, 2, 2), (2, 2, 2))
    with pytest.raises(ValueError, match="overwrite=True replaces them"):
        cz.build_pyramid(group, (1, 2, 2), levels=3)
    is_right(group, voxels, (2, 2, 2), (2, 2, 2))
    made = cz.build_pyramid(group, [(1, 2, 2)], overwrite=True)
    is_right(made.group, voxels, (1, 2, 2))
    assert not any(key.startswith("s2") for key in store._store_dict)


def test_arrays_without_metadata() -> None:
    """An array that the metadata do not name is not replaced without a word."""
    voxels = blobs((8, 40, 40))
    group = group_of(MemoryStore(), voxels)
    group.create_array("s1", shape=(1,), dtype="u1")
    with pytest.raises(ValueError, match="has s1, which its metadata do not name"):
        cz.build_pyramid(group, (2, 2, 2), levels=2)
    cz.build_pyramid(group, (2, 2, 2), levels=2, overwrite=True)
    is_right(group, voxels, (2, 2, 2))


def test_names_of_levels() -> None:
    """New levels are named as level 0 is."""
    group = zarr.create_group(MemoryStore())
    cz.create_array(
        group.store_path.store, name="0", data=blobs((8, 16, 16)), dimension_names=["z", "y", "x"]
    )
    steps = [{"type": "scale", "scale": [1, 1, 1]}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": name, "type": "space"} for name in "zyx"],
                "datasets": [{"path": "0", "coordinateTransformations": steps}],
            }
        ],
        "image-label": {},
        "other": 7,
    }
    group.attrs["mine"] = 8
    made = cz.build_pyramid(group, (2, 2, 2), levels=3)
    assert made.paths == ["0", "1", "2"]
    assert group.attrs["mine"] == 8
    assert zarr.open_group(group.store_path.store).attrs["ome"]["other"] == 7


def test_version_0_4() -> None:
    """Label images of OME-Zarr 0.4 are read, and get their levels in Zarr format 2; shared scales stay."""
    group = zarr.create_group(MemoryStore(), zarr_format=2)
    voxels = blobs((8, 40, 40))
    cz.create_array(
        group.store_path.store,
        name="0",
        data=voxels,
        chunks=(4, 16, 16),
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    shared = [{"type": "scale", "scale": [4, 2, 2]}]
    group.attrs.update(
        {
            "multiscales": [
                {
                    "version": "0.4",
                    "axes": axes,
                    "datasets": datasets,
                    "coordinateTransformations": shared,
                }
            ],
            "image-label": {"version": "0.4"},
        }
    )
    made = cz.build_pyramid(group)
    assert made.version == "0.4"
    is_right(made.group, voxels, (1, 2, 2), (2, 2, 2))
    assert made.spaces[1].voxel_size == (4, 4, 4)
    assert "1/0/0/0" in group.store_path.store._store_dict


def test_levels_of_other_codecs() -> None:
    """A label image of another codec gets levels of that codec."""
    voxels = blobs((9, 40, 40))
    group = group_of(MemoryStore(), voxels)
    zarr.create_array(
        group.store_path.store,
        name="s0",
        data=voxels,
        chunks=(4, 16, 16),
        serializer=BytesCodec(),
        compressors=ZstdCodec(),
        overwrite=True,
    )
    made = cz.build_pyramid(group, (2, 2, 2), levels=3)
    is_right(made.group, voxels, (2, 2, 2), (2, 2, 2))
    assert layout_of(made.levels[2]).chain is None


def test_executors(tmp_path: Path) -> None:
    """Threads and processes do the same; processes need a store that they share."""
    voxels = blobs((16, 64, 64))
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, get_context("spawn")) as processes:
        for number, executor in enumerate((threads, processes)):
            group = group_of(LocalStore(tmp_path / str(number)), voxels)
            made = cz.build_pyramid(group, (2, 2, 2), levels=3, executor=executor)
            is_right(made.group, voxels, (2, 2, 2), (2, 2, 2))
        with pytest.raises(ValueError, match="each worker of"):
            cz.build_pyramid(group_of(MemoryStore(), voxels), executor=processes)


def test_progress(tmp_path: Path) -> None:
    """Progress counts the chunks of each level; a path is opened for writing."""
    group_of(LocalStore(tmp_path / "a.zarr"), blobs((16, 64, 64)))
    seen: list[tuple[int, int]] = []
    cz.build_pyramid(
        str(tmp_path / "a.zarr"), (1, 2, 2), levels=3, progress=lambda *done: seen.append(done), parallel=1
    )
    assert seen == [*((n, 16) for n in range(1, 17)), *((n, 4) for n in range(1, 5))]


class Lying(MemoryStore):
    """Stores one byte of chunks of level 1 wrong."""

    lies = False

    def set_sync(self, key: str, value: Any) -> None:
        if self.lies and key.startswith("s1/c"):
            value = value.from_bytes(b"\0" + value.to_bytes()[1:])
        super().set_sync(key, value)

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        if self.lies and key.startswith("s1/c"):
            value = value.from_bytes(b"\0" + value.to_bytes()[1:])
        await super().set(key, value)


def test_verified() -> None:
    """What is written is read back and compared."""
    store = Lying()
    group = group_of(store, blobs((8, 40, 40)))
    store.lies = True
    with pytest.raises(VerificationError, match=r"s1/c/0/\d/\d: the bytes read back differ"):
        cz.build_pyramid(group, (2, 2, 2), levels=2)


def test_damage_is_named() -> None:
    """A damaged chunk of level 0 ends the build with its name; level 0 and the metadata stay."""
    store = MemoryStore()
    group = group_of(store, blobs((8, 40, 40)))
    raw = bytearray(store._store_dict["s0/c/1/0/2"].to_bytes())
    raw[len(raw) // 2] ^= 255
    good = store._store_dict["s0/c/1/0/2"]
    store._store_dict["s0/c/1/0/2"] = good.from_bytes(bytes(raw))
    with pytest.raises(FormatError, match="chunk s0/c/1/0/2"):
        cz.build_pyramid(group, (2, 2, 2), levels=2)
    assert open_multiscale(group).paths == ["s0"]
    store._store_dict["s0/c/1/0/2"] = good
    cz.build_pyramid(group, (2, 2, 2), levels=2)
    assert open_multiscale(group).paths == ["s0", "s1"]


def test_unfinished_remap() -> None:
    """Levels are not built of an array with an unfinished remap."""
    group = group_of(MemoryStore(), blobs((8, 40, 40)))
    group.store_path.store._store_dict["s0/.crackle-remap/plan"] = group.store_path.store._store_dict[
        "zarr.json"
    ]
    with pytest.raises(JournalError, match="unfinished remap"):
        cz.build_pyramid(group)


def test_read_only(tmp_path: Path) -> None:
    """A group that is open for reading only stays as it is."""
    group_of(LocalStore(tmp_path / "a.zarr"), blobs((8, 40, 40)))
    with pytest.raises(ValueError, match="open it with mode='r\\+'"):
        cz.build_pyramid(zarr.open_group(tmp_path / "a.zarr", mode="r"), (2, 2, 2), levels=2)
    assert not (tmp_path / "a.zarr" / "s1").exists()


def test_refused(tmp_path: Path) -> None:
    """Images, levels of other shapes, and images with other numbers of levels are refused."""
    group = zarr.create_group(MemoryStore())
    array = group.create_array("0", shape=(4, 8, 8), dtype="u1")
    steps = [{"type": "scale", "scale": [1, 1, 1]}]
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    with pytest.raises(ValueError, match="has no label images"):
        cz.build_pyramid(group)
    with pytest.raises(ValueError, match="is an array"):
        cz.build_pyramid(array)
    labels = cz.create_ome_labels(group, "cells", dtype="u4")
    with pytest.raises(ValueError, match="an image with 1 levels, and OME-Zarr demands"):
        cz.build_pyramid(labels.group, (2, 2, 2), levels=3)
    other = cz.create_ome_labels(MemoryStore(), None, (8, 40, 40), "u4", levels=2)
    zarr.create_array(other.group.store_path.store, name="s1", shape=(2, 20, 20), dtype="u4", overwrite=True)
    with pytest.raises(ValueError, match=r"level 1 has the shape \(2, 20, 20\), and pooling \(8, 40, 40\)"):
        cz.build_pyramid(other.group)
