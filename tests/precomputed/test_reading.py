"""Precomputed volumes as Zarr arrays: every encoding, type, offset and way of storage."""

from __future__ import annotations

import json
import pickle
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from precomputed_cases import SHARDINGS, blobs, by_tensorstore, of_crackle
from zarr.storage import LocalStore

import crackle_zarr
from crackle_zarr import open_precomputed

lengths = st.tuples(*[st.integers(1, 40)] * 3)
chunks = st.tuples(*[st.integers(3, 24)] * 3)


@st.composite
def cases(draw: Any, encodings: list[str]) -> dict[str, Any]:
    """A volume, and how it is stored."""
    encoding = draw(st.sampled_from(encodings))
    narrow = [] if encoding == "compressed_segmentation" else ["u1", "u2"]
    spec = draw(st.sampled_from([None, *SHARDINGS]))
    # Tensorstore writes shards of any offset.
    return {
        "volume": blobs(
            draw(st.integers(0, 99)), draw(lengths), draw(st.sampled_from([*narrow, "u4", "u8"]))
        ),
        "encoding": encoding,
        "chunk": draw(chunks),
        "offset": draw(st.tuples(*[st.integers(-30, 30)] * 3)),
        "spec": spec,
    }


@settings(max_examples=40)
@given(cases(["raw", "compressed_segmentation"]))
def test_volumes_of_tensorstore(case: dict[str, Any]) -> None:
    """The array (z, y, x) has the labels, and the voxels' size and position."""
    with tempfile.TemporaryDirectory() as folder:
        by_tensorstore(Path(folder), **case)
        array = open_precomputed(folder)
        np.testing.assert_array_equal(array[...], case["volume"].T)
        assert array.dtype == case["volume"].dtype
        assert array.chunks == case["chunk"][::-1]
        assert array.metadata.dimension_names == ("z", "y", "x")
        attributes = array.attrs.asdict()
        assert attributes["voxel_size"] == [40, 4, 4]
        assert attributes["voxel_unit"] == "nanometer"
        origin = [place * edge for place, edge in zip(case["offset"][::-1], (40, 4, 4), strict=True)]
        assert attributes.get("voxel_origin", [0, 0, 0]) == origin


@settings(max_examples=30)
@given(cases(["crackle"]), st.booleans())
def test_volumes_of_crackle(case: dict[str, Any], ours: bool) -> None:
    """Streams of this package and of crackle-codec are read, in shards too, and answer questions."""
    encode = crackle_zarr.compress if ours else pytest.importorskip("crackle").compress
    del case["encoding"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "volume"
        of_crackle(place, encode=encode, **case)
        array = open_precomputed(f"precomputed://{place}")
        voxels = case["volume"].T
        np.testing.assert_array_equal(array[...], voxels)
        np.testing.assert_array_equal(array[voxels.shape[0] // 2], voxels[voxels.shape[0] // 2])
        np.testing.assert_array_equal(crackle_zarr.labels(array), np.unique(voxels))
        label = int(voxels.max())
        assert crackle_zarr.voxel_counts(array)[label] == np.count_nonzero(voxels == label)
        assert crackle_zarr.verify(array) == []


@pytest.mark.parametrize("packed", ["gzip", ".gz"])
@pytest.mark.parametrize("first", ["labels", "slice"])
def test_streams_within_gzip(tmp_path: Path, packed: str, first: str) -> None:
    """Chunks within gzip are read, under their names or those with .gz, whatever is asked first."""
    volume = blobs(1, (70, 65, 60), "u8", labels=5000, edge=2)
    of_crackle(tmp_path / "v", volume, (64, 64, 32), packed=packed)
    array = open_precomputed(tmp_path / "v")
    if first == "labels":
        np.testing.assert_array_equal(crackle_zarr.labels(array), np.unique(volume))
    np.testing.assert_array_equal(array[20:23, 5:50], volume.T[20:23, 5:50])
    np.testing.assert_array_equal(crackle_zarr.labels(array), np.unique(volume))


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
def test_files_within_gzip(tmp_path: Path, encoding: str) -> None:
    """So are chunks of other encodings: cloud-volume writes these files."""
    import gzip

    volume = blobs(2, (40, 33, 20), "u4")
    by_tensorstore(tmp_path, volume, encoding)
    for number, file in enumerate(sorted((tmp_path / "4_4_40").iterdir())):
        raw = file.read_bytes()
        if number % 2:
            file.write_bytes(gzip.compress(raw))
        else:
            file.unlink()
            Path(f"{file}.gz").write_bytes(gzip.compress(raw))
    np.testing.assert_array_equal(open_precomputed(tmp_path)[...], volume.T)


def test_raw_chunks_that_look_like_gzip(tmp_path: Path) -> None:
    """Voxels that begin as gzip does are voxels."""
    volume = np.full((20, 16, 16), 0x8B1F, "u2")
    by_tensorstore(tmp_path, volume)
    np.testing.assert_array_equal(open_precomputed(tmp_path)[...], volume.T)


def test_missing_chunks_are_0(tmp_path: Path) -> None:
    """Neither tensorstore nor Neuroglancer stores or needs chunks of zeros."""
    volume = np.zeros((40, 40, 40), "u4")
    volume[:16, :16, :16] = 7
    by_tensorstore(tmp_path, volume)
    assert len(list((tmp_path / "4_4_40").iterdir())) == 1
    np.testing.assert_array_equal(open_precomputed(tmp_path)[...], volume.T)


def test_scales(tmp_path: Path) -> None:
    """A scale is chosen by its key or number; the finest is the default."""
    volumes = [blobs(3, (40, 40, 20)), blobs(4, (20, 20, 20)), blobs(5, (10, 10, 20))]
    for level, volume in enumerate(volumes):
        edge = 4 * 2**level
        key = f"{edge}_{edge}_40"
        by_tensorstore(tmp_path, volume, key=key, resolution=(edge, edge, 40), chunk=(8, 8, 8))
    for wanted, level in [(None, 0), (0, 0), (1, 1), ("1", 1), ("8_8_40", 1), ("16_16_40", 2), (2, 2)]:
        np.testing.assert_array_equal(open_precomputed(tmp_path, scale=wanted)[...], volumes[level].T)
    for wanted in (3, -1, "32_32_40", "x"):
        with pytest.raises(ValueError, match=r"no scale .*; there are 4_4_40, 8_8_40, 16_16_40, or 0 to 2"):
            open_precomputed(tmp_path, scale=wanted)


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
def test_channels_are_an_axis_in_front(tmp_path: Path, encoding: str) -> None:
    """Several channels are the first axis of the array, and a chunk has them all."""
    volume = np.stack([blobs(6, (33, 20, 18)), blobs(7, (33, 20, 18))], axis=3)
    by_tensorstore(tmp_path / "v", volume, encoding)
    array = open_precomputed(tmp_path / "v")
    assert array.metadata.dimension_names == ("c", "z", "y", "x")
    assert array.chunks == (2, 16, 16, 16)
    np.testing.assert_array_equal(array[...], volume.T)
    made = crackle_zarr.convert(array, tmp_path / "seg.zarr")
    assert made.arrays == 1
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "seg.zarr")[...], volume.T)


def test_a_narrower_stream_is_widened(tmp_path: Path) -> None:
    """A stream may have a narrower type than the volume; its labels are read all the same."""
    volume = blobs(8, (40, 40, 40), "u1")
    of_crackle(tmp_path / "v", volume, (32, 32, 32))
    info = json.loads((tmp_path / "v" / "info").read_text())
    info["data_type"] = "uint64"
    (tmp_path / "v" / "info").write_text(json.dumps(info))
    array = open_precomputed(tmp_path / "v")
    assert array.dtype == np.uint64
    np.testing.assert_array_equal(crackle_zarr.labels(array), np.unique(volume))
    np.testing.assert_array_equal(array[3:5], volume.T[3:5])
    np.testing.assert_array_equal(array[...], volume.T)


def test_in_other_processes(tmp_path: Path) -> None:
    """The array pickles, and other processes answer questions to it."""
    volume = blobs(9, (40, 40, 40))
    by_tensorstore(tmp_path / "cseg", volume, "compressed_segmentation")
    of_crackle(tmp_path / "crackle", volume)
    for name in ("cseg", "crackle"):
        array = open_precomputed(tmp_path / name)
        array[0, 0, 0]  # something is cached
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[...], volume.T)
    with ProcessPoolExecutor(1) as pool:
        np.testing.assert_array_equal(crackle_zarr.labels(array, executor=pool), np.unique(volume))


def test_a_store_as_the_place(tmp_path: Path) -> None:
    """A store of Zarr is a place, too."""
    volume = blobs(10, (20, 20, 20))
    by_tensorstore(tmp_path, volume)
    np.testing.assert_array_equal(open_precomputed(LocalStore(tmp_path))[...], volume.T)


@pytest.mark.parametrize("ranges", [True, False])
def test_over_http(tmp_path: Path, ranges: bool) -> None:
    """Shards and chunks are read by HTTP, by ranges where the server has them."""
    pytest.importorskip("aiohttp")
    volume = blobs(11, (70, 40, 40), "u8", labels=3000, edge=2)
    of_crackle(tmp_path / "sharded", volume, (32, 32, 32), spec=SHARDINGS[1])
    of_crackle(tmp_path / "plain", volume, (32, 32, 32))
    by_tensorstore(tmp_path / "cseg", volume, "compressed_segmentation", spec=SHARDINGS[3])
    with servers.files(tmp_path) as server:
        server.door.ranges = ranges
        for name in ("sharded", "plain", "cseg"):
            array = open_precomputed(f"precomputed://{server.url}/{name}")
            np.testing.assert_array_equal(array[...], volume.T)
        np.testing.assert_array_equal(
            crackle_zarr.labels(open_precomputed(f"{server.url}/plain")), np.unique(volume)
        )
        with server.door.failing({"0-32_0-32_0-32": 500}), pytest.raises(OSError, match="0-32_0-32_0-32"):
            open_precomputed(f"{server.url}/plain")[...]
        with pytest.raises(FileNotFoundError, match="there is no precomputed volume"):
            open_precomputed(f"{server.url}/nothing")
