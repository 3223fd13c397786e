"""Stored arrays read over HTTP from nginx, and over S3's protocol from moto."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import servers
import zarr
from chunks import Array
from servers import Traffic
from zarr.codecs import ZstdCodec

import crackle_zarr
from crackle_zarr import CrackleWarning, FormatError, JournalError, StoreError
from crackle_zarr.synthetic import neurons

pytest.importorskip("fsspec", reason="fsspec is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")


# ---------------------------------------------------------------------------------------
# What is stored

ZSTD = {"compressors": [ZstdCodec()]}
LAYOUTS: dict[str, dict[str, Any]] = {
    "v3": {},
    "v3-zstd": ZSTD,
    "v3-shards": {"shards": (2, 2)},
    "v3-shards-zstd": {**ZSTD, "shards": (2, 2)},
    "v2": {"zarr_format": 2},
    "v2-zstd": {"zarr_format": 2, "compressors": numcodecs.Zstd()},
}
# Chunks that can be read in parts; behind zstd there are only whole ones.
IN_PARTS = ("v3", "v3-shards", "v2")

CHUNK = (64, 128, 128)
SMALL_CHUNK = (16, 32, 32)
PAIR_CHUNK = (32, 64, 64)
FILL = 9
ABSENT = 3  # a label that is nowhere
PAIR_LABEL = 720575940506952113  # one that is in both chunks of the pair


def tissue() -> Array:
    """Neurons in four chunks of some 60 kilobytes, all of them full."""
    return neurons((64, 256, 256), seed=1)


def odd() -> Array:
    """Neurons in small chunks: the last ones are padded, and some are the fill value and are not stored."""
    labels = neurons((40, 70, 60), seed=2, dtype=np.uint32)
    labels[labels == FILL] = FILL + 1
    labels[:16, :32, :32] = FILL  # a chunk
    labels[16:32, :64] = FILL  # four chunks, or a shard
    labels[5, 40:45, 40:45] = FILL  # within a chunk
    return labels


def pair() -> Array:
    """Neurons in two chunks of some 8 kilobytes, to be damaged."""
    return neurons((32, 64, 128), seed=3)


@dataclass
class Stored:
    """Arrays in a folder, named after what they hold and how: tissue-v3, odd-v2-zstd ..."""

    folder: Path
    labels: dict[str, Array]

    def copy(self, name: str, to: str) -> Path:
        """Another array of its own, to be damaged."""
        return Path(shutil.copytree(self.folder / name, self.folder / to))

    def nbytes(self, name: str) -> int:
        """The size of all chunks of an array."""
        metadata = ("zarr.json", ".zarray", ".zattrs")
        paths = (self.folder / name).rglob("*")
        return sum(path.stat().st_size for path in paths if path.is_file() and path.name not in metadata)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("www")
    labels = {"tissue": tissue(), "odd": odd(), "pair": pair()}
    assert not any((volume == ABSENT).any() for volume in labels.values())
    assert len(chunks_where(labels["pair"] == PAIR_LABEL, PAIR_CHUNK)) == 2
    for kind, chunks in (("tissue", CHUNK), ("odd", SMALL_CHUNK), ("pair", PAIR_CHUNK)):
        for layout, options in LAYOUTS.items():
            options = dict(options)
            if "shards" in options:
                options["shards"] = (chunks[0], *(2 * edge for edge in chunks[1:]))
            path = folder / f"{kind}-{layout}"
            shape, dtype = labels[kind].shape, labels[kind].dtype
            array = crackle_zarr.create_array(
                path, shape=shape, dtype=dtype, chunks=chunks, fill_value=FILL, **options
            )
            array[...] = labels[kind]  # "data" with shards loses voxels in old versions of Zarr
    assert not (folder / "odd-v3" / "c" / "0" / "0" / "0").exists()
    assert not (folder / "odd-v3-shards" / "c" / "1" / "0" / "0").exists()
    return Stored(folder, labels)


# ---------------------------------------------------------------------------------------
# Where it is read from


@pytest.fixture(scope="module")
def web(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    with servers.nginx(stored.folder, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def door(stored: Stored) -> Iterator[servers.InProcess]:
    """The same files from a server that fails when it is told to."""
    with servers.files(stored.folder) as server:
        yield server


@pytest.fixture(scope="module")
def cloud(stored: Stored) -> Iterator[servers.S3]:
    servers.need("s3fs")
    with servers.s3() as server:
        server.upload(stored.folder, "stored")
        yield server


def over_http(url: str) -> Any:
    return zarr.open_array(zarr.storage.FsspecStore.from_url(url, read_only=True), mode="r")


def over_s3(server: servers.S3, path: str, mode: Any = "r") -> Any:
    options = server.storage_options
    store = zarr.storage.FsspecStore.from_url(f"s3://{path}", storage_options=options, read_only=mode == "r")
    return zarr.open_array(store, mode=mode)


def through_obstore(url: str) -> Any:
    from obstore.store import HTTPStore

    store = HTTPStore.from_url(url, client_options={"allow_http": True}, retry_config={"max_retries": 0})
    return zarr.open_array(zarr.storage.ObjectStore(store, read_only=True), mode="r")


@dataclass
class Remote:
    """A way to open the stored arrays, and an account of what that costs."""

    open: Callable[[str], Any]
    watch: Callable[[], AbstractContextManager[Traffic]]


@pytest.fixture(scope="module", params=["http", "s3", "obstore"])
def remote(request: pytest.FixtureRequest) -> Remote:
    if request.param == "s3":
        cloud = request.getfixturevalue("cloud")
        return Remote(lambda name: over_s3(cloud, f"stored/{name}"), cloud.watch)
    if request.param == "obstore":
        servers.need("obstore")
    web = request.getfixturevalue("web")
    read = over_http if request.param == "http" else through_obstore
    return Remote(lambda name: read(f"{web.url}/{name}"), web.watch)


def gets(traffic: Traffic) -> Traffic:
    """The requests that fetch something, or try to: s3fs asks for the size of what it reads whole besides."""
    return Traffic(request for request in traffic if request.method == "GET")


# ---------------------------------------------------------------------------------------
# The servers themselves


def test_account_of_nginx(web: servers.Nginx, stored: Stored) -> None:
    """The log tells requests apart by path, status, range and bytes, up to the last one."""
    content = (stored.folder / "odd-v3" / "zarr.json").read_bytes()
    with web.watch() as traffic:
        for path in ("odd-v3/zarr.json", "odd-v3/nothing", "forbidden/x", "missing/x"):
            request = urllib.request.Request(f"{web.url}/{path}", headers={"Range": "bytes=2-11"})
            try:
                with urllib.request.urlopen(request) as response:
                    assert response.read() == content[2:12]
            except urllib.error.HTTPError as error:
                error.close()
    assert [(request.path, request.status) for request in traffic] == [
        ("/odd-v3/zarr.json", 206),
        ("/odd-v3/nothing", 404),
        ("/forbidden/x", 403),
        ("/missing/x", 404),
    ]
    assert traffic[0][2:] == (206, "bytes=2-11", 10)
    assert traffic.under("zarr.json").nbytes == 10
    with web.watch() as nothing:
        pass
    assert nothing == []


# ---------------------------------------------------------------------------------------
# Voxels


@pytest.mark.parametrize(
    ("kind", "layout"), [*(("tissue", layout) for layout in LAYOUTS), ("odd", "v3-shards"), ("odd", "v2")]
)
def test_voxels(remote: Remote, stored: Stored, kind: str, layout: str) -> None:
    """Whole arrays and parts of them are what was written; chunks that are not there are the fill value."""
    labels = stored.labels[kind]
    array = remote.open(f"{kind}-{layout}")
    np.testing.assert_array_equal(array[...], labels)
    for selection in (
        (21,),
        (slice(10, 18), slice(20, 70), 33),
        (slice(None, None, 13), 31),
        (39, 69, 59),
        (slice(16, 20), slice(0, 40), slice(0, 40)),
    ):
        np.testing.assert_array_equal(array[selection], labels[selection])


@pytest.mark.parametrize("layout", ["v3", "v2"])
def test_requests_of_everything(remote: Remote, stored: Stored, layout: str) -> None:
    """To read all voxels takes a request per chunk, and the stored bytes, no more."""
    array = remote.open(f"tissue-{layout}")
    with remote.watch() as traffic:
        array[...]
    assert len(gets(traffic)) == 4
    assert traffic.nbytes == stored.nbytes(f"tissue-{layout}")


@pytest.mark.parametrize("z", [0, 30, 63])
def test_requests_of_a_slice(remote: Remote, stored: Stored, z: int) -> None:
    """A slice is some byte ranges of each chunk."""
    array = remote.open("tissue-v3")
    with remote.watch() as traffic:
        voxels = array[z]
    np.testing.assert_array_equal(voxels, stored.labels["tissue"][z])
    assert 4 < len(traffic) <= 4 * 4
    assert all(request.status == 206 and request.range.startswith("bytes=") for request in traffic)
    assert traffic.nbytes < 0.35 * stored.nbytes("tissue-v3")


def test_requests_of_a_chunk_in_a_shard(remote: Remote, stored: Stored) -> None:
    """Of a shard, the index and the chunks in question are read."""
    array = remote.open("tissue-v3-shards")
    with remote.watch() as traffic:
        voxels = array[:, :128, :128]
    np.testing.assert_array_equal(voxels, stored.labels["tissue"][:, :128, :128])
    assert len(gets(traffic)) == 2
    assert traffic.nbytes < 0.35 * stored.nbytes("tissue-v3-shards")


def test_server_without_ranges(door: servers.InProcess, stored: Stored) -> None:
    """A server that sends the whole object whatever is asked for does no harm."""
    array = over_http(f"{door.url}/tissue-v3")
    door.door.ranges = False
    try:
        with door.watch() as traffic:
            for selection in ((5,), (slice(20, 28), 3), (slice(0, 64, 32),)):
                np.testing.assert_array_equal(array[selection], stored.labels["tissue"][selection])
    finally:
        door.door.ranges = True
    assert all(request.status == 200 for request in traffic)


@pytest.mark.parametrize("selection", [(), (5,)], ids=["all", "slice"])
@pytest.mark.parametrize("fault", [403, 500, 503, "cut"])
def test_voxels_that_cannot_be_had(door: servers.InProcess, fault: Any, selection: Any) -> None:
    """A refused request, a server in trouble and a connection that ends early are not the fill value."""
    import aiohttp

    array = over_http(f"{door.url}/tissue-v3")
    with door.door.failing({"/tissue-v3/c/0/1/0": fault}), pytest.raises((aiohttp.ClientError, OSError)):
        array[selection]
    assert array[selection].any()


@pytest.mark.parametrize("layout", ["v3", "v2", "v3-shards"])
def test_voxels_of_a_truncated_object(web: servers.Nginx, stored: Stored, layout: str) -> None:
    """An object that lost its end raises wherever the end is asked for."""
    import aiohttp

    folder = stored.copy(f"tissue-{layout}", f"truncated-{layout}")
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[-1].isdigit())
    content = path.read_bytes()
    array = over_http(f"{web.url}/truncated-{layout}")
    # Zarr's own sharding codec takes an empty shard for one that is not there.
    for length in (0, 1, 300, 1024, 5000, len(content) - 1)["shards" in layout :]:
        path.write_bytes(content[:length])
        for selection in ((), (5,), (63, 0, 0)):
            with pytest.raises((FormatError, ValueError, aiohttp.ClientError)):
                array[selection]


# ---------------------------------------------------------------------------------------
# Queries: what NumPy answers


def bounds(labels: Array, label: int) -> tuple[slice, ...] | None:
    """The bounding box of a label."""
    places = np.argwhere(labels == label)
    if not len(places):
        return None
    return tuple(map(slice, places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()))


def chunks_where(chosen: Array, chunks: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The chunks of a grid that hold something of a mask."""
    return sorted({tuple(place) for place in (np.argwhere(chosen) // chunks).tolist()})


def surface(labels: Array, label: int) -> Array:
    """The voxels of a label that have another label, or nothing, beyond one of their faces."""
    mask = np.pad(labels == label, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for step in (1, -1):
            inside &= np.roll(mask, step, axis)
    return np.argwhere(mask & ~inside) - 1


def measures(labels: Array) -> dict[int, tuple[int, list[int], list[int], list[float]]]:
    """Per label: the voxels, the bounding box and the mean of the places."""
    table = {}
    for label in np.unique(labels).tolist():
        places = np.argwhere(labels == label)
        low, high = places.min(axis=0), places.max(axis=0) + 1
        table[label] = (len(places), low.tolist(), high.tolist(), places.mean(axis=0).tolist())
    return table


def renamed(labels: Array, mapping: dict[int, int]) -> Array:
    """All labels mapped at once, those without a mapping kept."""
    result = labels.copy()
    for old, new in mapping.items():
        result[labels == old] = new
    return result


def by_size(labels: Array) -> list[int]:
    """The labels but for background and the fill value, those with the fewest voxels first."""
    names, counts = np.unique(labels[(labels != 0) & (labels != FILL)], return_counts=True)
    return [int(name) for name in names[counts.argsort()]]


# A request takes moto some milliseconds: not every layout goes through it.
FEW_LAYOUTS = {"obstore": ("v3", "v3-shards", "v2-zstd"), "s3": ("v3-shards",)}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((where, layout), id=f"{where}-{layout}")
        for where in ("http", "obstore", "s3")
        for layout in LAYOUTS
        if where == "http" or layout in FEW_LAYOUTS[where]
    ],
)
def odd_one(request: pytest.FixtureRequest, stored: Stored) -> Any:
    """The array of many chunks, opened somewhere."""
    where, layout = request.param
    if where == "s3":
        return over_s3(request.getfixturevalue("cloud"), f"stored/odd-{layout}")
    if where == "obstore":
        servers.need("obstore")
    web = request.getfixturevalue("web")
    return (over_http if where == "http" else through_obstore)(f"{web.url}/odd-{layout}")


REGIONS: dict[str, tuple[slice, ...] | None] = {
    "all": None,
    "chunks": (slice(0, 32), slice(32, 64), slice(0, 32)),
    "voxels": (slice(13, 37), slice(5, 66), slice(30, 59)),
    "edge": (slice(33, 40), slice(60, 70), slice(57, 60)),
}


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_labels(odd_one: Any, stored: Stored, region: Any) -> None:
    """Which labels there are, and how many, in all of the array or in a region of it."""
    labels = stored.labels["odd"][region or ...]
    expected = np.unique(labels)
    for verify in (True, False):
        result = crackle_zarr.labels(odd_one, region=region, verify=verify)
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == labels.dtype
    assert crackle_zarr.num_labels(odd_one, region=region) == len(expected)
    for label in (int(expected[-1]), by_size(stored.labels["odd"])[-1], FILL, ABSENT, -1, 2**40):
        assert crackle_zarr.contains(odd_one, label, region=region) == (label in expected.tolist())


def test_find(odd_one: Any, stored: Stored) -> None:
    """Where a label is: the chunks, which may be missing ones, and the bounding box."""
    labels = stored.labels["odd"]
    names = by_size(labels)
    for label in (names[-1], names[0], FILL, 0, ABSENT):
        found = crackle_zarr.find(odd_one, label)
        assert found.label == label
        assert found.chunks == chunks_where(labels == label, SMALL_CHUNK)
        assert found.slices == bounds(labels, label)
        assert bool(found) == (label != ABSENT)


def test_statistics(odd_one: Any, stored: Stored) -> None:
    """Voxels, bounding boxes and centroids of all labels."""
    expected = measures(stored.labels["odd"])
    table = crackle_zarr.statistics(odd_one)
    assert table["label"].tolist() == list(expected)
    assert table["voxel_count"].tolist() == [row[0] for row in expected.values()]
    assert table["start"].tolist() == [row[1] for row in expected.values()]
    assert table["stop"].tolist() == [row[2] for row in expected.values()]
    np.testing.assert_allclose(table["centroid"], [row[3] for row in expected.values()], rtol=1e-12)


def test_objects(odd_one: Any, stored: Stored) -> None:
    """Masks cut to their bounding boxes, and surfaces."""
    labels = stored.labels["odd"]
    for label in (by_size(labels)[-1], FILL):
        box = bounds(labels, label)
        assert box is not None
        crop = crackle_zarr.crop(odd_one, label)
        assert crop.offset == tuple(part.start for part in box)
        np.testing.assert_array_equal(crop.mask, labels[box] == label)
        np.testing.assert_array_equal(crackle_zarr.point_cloud(odd_one, label), surface(labels, label))
    for question in (crackle_zarr.crop, crackle_zarr.point_cloud):
        with pytest.raises(KeyError):
            question(odd_one, ABSENT)


def test_lazy_remap(odd_one: Any, stored: Stored) -> None:
    """Labels that have other names while they are read."""
    labels = stored.labels["odd"]
    small, *_, big = by_size(labels)
    mapping = {big: small, small: big, FILL: 0}
    expected = renamed(labels, mapping)
    view = crackle_zarr.lazy_remap(odd_one, mapping)
    np.testing.assert_array_equal(view[13:37, 5:69:2, -3], expected[13:37, 5:69:2, -3])
    np.testing.assert_array_equal(crackle_zarr.labels(view), np.unique(expected))
    assert crackle_zarr.find(view, big).slices == bounds(expected, big)
    assert crackle_zarr.contains(view, FILL) is False


# ---------------------------------------------------------------------------------------
# Queries: what they cost

TISSUE_CHUNKS = 4
MOST_REQUESTS = 4  # per chunk


def check_requests(traffic: Traffic, layout: str, chunks: int = TISSUE_CHUNKS) -> None:
    """Few requests per chunk, and no shard's index more than once."""
    of_index = [request.path for request in traffic if request.range.startswith("bytes=-")]
    assert len(of_index) == len(set(of_index))
    assert len(of_index) <= (2 if "shards" in layout else 0)
    assert len(gets(traffic)) - len(of_index) <= MOST_REQUESTS * chunks
    assert all(request.status in (200, 206) for request in traffic)


@pytest.mark.parametrize("layout", IN_PARTS)
@pytest.mark.parametrize(("verify", "part"), [(True, 0.25), (False, 0.05)])
def test_bytes_for_labels(remote: Remote, stored: Stored, layout: str, verify: bool, part: float) -> None:
    """The labels are told from the tables of labels: the rest of the chunks stays where it is."""
    expected = np.unique(stored.labels["tissue"])
    array = remote.open(f"tissue-{layout}")
    most = part * stored.nbytes(f"tissue-{layout}")
    with remote.watch() as traffic:
        np.testing.assert_array_equal(crackle_zarr.labels(array, verify=verify), expected)
    assert traffic.nbytes <= most
    check_requests(traffic, layout)
    with remote.watch() as traffic:
        assert not crackle_zarr.contains(array, ABSENT, verify=verify)
    assert traffic.nbytes <= most
    check_requests(traffic, layout)
    with remote.watch() as traffic:
        assert crackle_zarr.find(array, int(expected[-1]), verify=verify).chunks
    assert traffic.nbytes <= most
    check_requests(traffic, layout)


@pytest.mark.parametrize("layout", ["v3-zstd", "v3-shards-zstd", "v2-zstd"])
def test_bytes_behind_a_compressor(remote: Remote, stored: Stored, layout: str) -> None:
    """Chunks behind a compressor are read whole, and once."""
    array = remote.open(f"tissue-{layout}")
    with remote.watch() as traffic:
        result = crackle_zarr.labels(array)
    np.testing.assert_array_equal(result, np.unique(stored.labels["tissue"]))
    indices = 2 if "shards" in layout else 0
    assert len(gets(traffic)) <= TISSUE_CHUNKS + indices
    assert traffic.nbytes <= stored.nbytes(f"tissue-{layout}")


@pytest.mark.parametrize("layout", IN_PARTS)
def test_bytes_of_a_region(remote: Remote, stored: Stored, layout: str) -> None:
    """Chunks outside of a region are not asked for."""
    array = remote.open(f"tissue-{layout}")
    region = (slice(None), slice(0, 128), slice(128, 256))
    with remote.watch() as traffic:
        result = crackle_zarr.labels(array, region=region)
    np.testing.assert_array_equal(result, np.unique(stored.labels["tissue"][region]))
    assert len({request.path for request in traffic}) == 1
    assert traffic.nbytes <= 0.1 * stored.nbytes(f"tissue-{layout}")
    check_requests(traffic, layout, chunks=1)


@pytest.mark.parametrize("layout", IN_PARTS)
def test_bytes_for_statistics(remote: Remote, stored: Stored, layout: str) -> None:
    """What needs the boundaries of all chunks reads each chunk once."""
    labels = stored.labels["tissue"]
    array = remote.open(f"tissue-{layout}")
    with remote.watch() as traffic:
        table = crackle_zarr.statistics(array)
    names, counts = np.unique(labels, return_counts=True)
    np.testing.assert_array_equal(table["label"], names)
    np.testing.assert_array_equal(table["voxel_count"], counts)
    assert traffic.nbytes <= 1.02 * stored.nbytes(f"tissue-{layout}")
    check_requests(traffic, layout)


@pytest.mark.parametrize("layout", IN_PARTS)
def test_bytes_for_one_object(remote: Remote, stored: Stored, layout: str) -> None:
    """Boundaries are read of chunks that hold the label, and of no others."""
    labels = stored.labels["tissue"]
    inside = set(np.unique(labels[:, :128, :128]).tolist())
    outside = set(np.unique(labels[:, 128:]).tolist()) | set(np.unique(labels[:, :, 128:]).tolist())
    label = max(inside - outside)
    array = remote.open(f"tissue-{layout}")
    questions: list[tuple[Callable[[], Any], Any]] = [
        (lambda: crackle_zarr.crop(array, label).mask.sum(), (labels == label).sum()),
        (lambda: len(crackle_zarr.point_cloud(array, label)), len(surface(labels, label))),
        (lambda: crackle_zarr.find(array, label).slices, bounds(labels, label)),
    ]
    for question, expected in questions:
        with remote.watch() as traffic:
            assert question() == expected
        assert traffic.nbytes <= 0.55 * stored.nbytes(f"tissue-{layout}")


def test_server_without_ranges_is_asked(door: servers.InProcess, stored: Stored) -> None:
    """Answers are right where a server sends whole objects whatever is asked for, shards too."""
    door.door.ranges = False
    try:
        for layout in IN_PARTS:
            array = over_http(f"{door.url}/pair-{layout}")
            for ask in QUESTIONS.values():
                assert_same(ask(array), ask(zarr.open_array(stored.folder / f"pair-{layout}", mode="r")))
    finally:
        door.door.ranges = True


# ---------------------------------------------------------------------------------------
# Queries: what goes wrong

QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "labels": lambda array: crackle_zarr.labels(array),
    "labels, not verified": lambda array: crackle_zarr.labels(array, verify=False),
    "min and max": lambda array: (crackle_zarr.min(array), crackle_zarr.max(array)),
    "contains": lambda array: crackle_zarr.contains(array, ABSENT),
    "contains, not verified": lambda array: crackle_zarr.contains(array, ABSENT, verify=False),
    "contains_range": lambda array: crackle_zarr.contains_range(array, 0, 2**63),
    "find": lambda array: crackle_zarr.find(array, PAIR_LABEL).chunks,
    "find: slices": lambda array: crackle_zarr.find(array, PAIR_LABEL).slices,
    "statistics": lambda array: crackle_zarr.statistics(array),
    "bounding_boxes": lambda array: crackle_zarr.bounding_boxes(array),
    "crop": lambda array: crackle_zarr.crop(array, PAIR_LABEL),
    "select": lambda array: crackle_zarr.select(array, [PAIR_LABEL]),
    "each": lambda array: list(crackle_zarr.each(array)),
    "point_cloud": lambda array: crackle_zarr.point_cloud(array, PAIR_LABEL),
    "point_cloud of all": lambda array: crackle_zarr.point_cloud(array),
    "region": lambda array: crackle_zarr.labels(array, region=(slice(1, 30), slice(3, 60), slice(5, 99))),
    "lazy_remap": lambda array: crackle_zarr.labels(crackle_zarr.lazy_remap(array, {PAIR_LABEL: ABSENT})),
}


def assert_same(a: Any, b: Any) -> None:
    """Two answers are equal, whatever they are made of."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        assert_same(list(a.values()), list(b.values()))
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def last_key(layout: str) -> str:
    """The key of the last object of the pair of chunks: a chunk, or the only shard."""
    return "0.0.1" if layout.startswith("v2") else "c/0/0/0" if "shards" in layout else "c/0/0/1"


def check_error(error: BaseException, layout: str) -> None:
    """An error says which object it is about, and travels."""
    assert last_key(layout) in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fault", [500, "cut"])
def test_chunk_that_cannot_be_had(door: servers.InProcess, fault: Any, layout: str) -> None:
    """No question has an answer while a chunk is out of reach, and all have one afterwards."""
    array = over_http(f"{door.url}/pair-{layout}")
    with door.door.failing({f"/pair-{layout}/{last_key(layout)}": fault}):
        for ask in QUESTIONS.values():
            with pytest.raises(StoreError) as raised:
                ask(array)
            check_error(raised.value, layout)
    assert crackle_zarr.contains(array, PAIR_LABEL)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("read", [over_http, through_obstore])
def test_forbidden_chunk(web: servers.Nginx, stored: Stored, read: Callable[[str], Any], layout: str) -> None:
    """403 is not 404: nobody knows what is in the chunk."""
    servers.need("obstore")
    array = read(f"{web.url}/pair-{layout}")
    allow = web.forbid(f"pair-{layout}/{last_key(layout)}")
    try:
        for ask in QUESTIONS.values():
            with pytest.raises(StoreError) as raised:
                ask(array)
            check_error(raised.value, layout)
    finally:
        allow()
    assert crackle_zarr.contains(array, PAIR_LABEL)


@pytest.mark.parametrize("layout", FEW_LAYOUTS["obstore"])
def test_forbidden_chunk_on_s3(cloud: servers.S3, layout: str) -> None:
    """AccessDenied is not NoSuchKey."""
    array = over_s3(cloud, f"stored/pair-{layout}")
    with cloud.door.failing({f"/pair-{layout}/{last_key(layout)}": 403}):
        for ask in QUESTIONS.values():
            with pytest.raises(StoreError) as raised:
                ask(array)
            check_error(raised.value, layout)
    assert crackle_zarr.contains(array, PAIR_LABEL)


@pytest.mark.parametrize("read", [over_http, through_obstore])
def test_stopped_server(stored: Stored, tmp_path: Path, read: Callable[[str], Any]) -> None:
    """A server that is gone has no answers, whichever chunk is asked for first."""
    servers.need("obstore")
    with servers.nginx(stored.folder, tmp_path) as server:
        arrays = {layout: read(f"{server.url}/pair-{layout}") for layout in LAYOUTS}
        server.stop()
        for layout, array in arrays.items():
            for ask in QUESTIONS.values():
                with pytest.raises(StoreError) as raised:
                    ask(array)
                assert last_key(layout)[:-1] in str(raised.value)


def test_stopped_s3(stored: Stored) -> None:
    servers.need("s3fs")
    with servers.s3() as server:
        server.upload(stored.folder / "pair-v3", "pair")
        array = over_s3(server, "pair")
        server.stop()
        for ask in list(QUESTIONS.values())[:2]:  # s3fs tries again and again, for seconds
            with pytest.raises(StoreError, match="c/0/0/"):
                ask(array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truncated_object(web: servers.Nginx, stored: Stored, layout: str) -> None:
    """What an object that lost its end still can tell is right; all else is an error that names it."""
    name = f"cut-{layout}"
    path = stored.copy(f"pair-{layout}", name) / last_key(layout)
    content = path.read_bytes()
    sound = zarr.open_array(stored.folder / f"pair-{layout}", mode="r")
    array = over_http(f"{web.url}/{name}")
    errors = 0
    lengths = (0, 1, 200, 1023, 1024, 3000, len(content) - 1)
    for length in lengths:
        path.write_bytes(content[:length])
        for ask in QUESTIONS.values():
            try:
                answer = ask(array)
            except (StoreError, FormatError) as error:
                check_error(error, layout)
                errors += 1
            else:
                assert_same(answer, ask(sound))
    # Without verification, the table of labels is all that some questions need.
    assert errors > 0.8 * len(lengths) * len(QUESTIONS)


def test_chunks_that_are_not_there(web: servers.Nginx, stored: Stored) -> None:
    """404 is the fill value, for one chunk and for all of them."""
    folder = stored.copy("pair-v3", "sparse-v3")
    array = over_http(f"{web.url}/sparse-v3")
    labels = stored.labels["pair"].copy()
    for x, key in enumerate(("c/0/0/0", "c/0/0/1")):
        (folder / key).unlink()
        labels[:, :, 64 * x : 64 * (x + 1)] = FILL
        np.testing.assert_array_equal(crackle_zarr.labels(array), np.unique(labels))
        assert crackle_zarr.voxel_counts(array, FILL) == (labels == FILL).sum()
        assert crackle_zarr.find(array, FILL).slices == bounds(labels, FILL)
        assert crackle_zarr.contains(array, PAIR_LABEL) == (PAIR_LABEL in labels)
        np.testing.assert_array_equal(crackle_zarr.point_cloud(array, FILL), surface(labels, FILL))
        assert crackle_zarr.verify(array) == []


def test_verify(web: servers.Nginx, stored: Stored) -> None:
    """Damage is listed by chunk and key."""
    for layout in LAYOUTS:
        assert crackle_zarr.verify(over_http(f"{web.url}/pair-{layout}")) == []
    path = stored.copy("pair-v3", "damaged-v3") / "c/0/0/1"
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    (damage,) = crackle_zarr.verify(over_http(f"{web.url}/damaged-v3"))
    assert tuple(damage.chunk) == (0, 0, 1)
    assert damage.key.endswith("c/0/0/1")


# ---------------------------------------------------------------------------------------
# Other sources, other processes


def test_codecs_other_than_crackle(web: servers.Nginx, stored: Stored) -> None:
    """An array without Crackle answers too, with a warning, and no more than it can."""
    labels = stored.labels["pair"]
    zarr.create_array(stored.folder / "foreign", data=labels, chunks=PAIR_CHUNK, fill_value=FILL)
    array = over_http(f"{web.url}/foreign")
    with pytest.warns(CrackleWarning, match="convert"):
        result = crackle_zarr.labels(array)
    np.testing.assert_array_equal(result, np.unique(labels))
    assert crackle_zarr.find(array, PAIR_LABEL).slices == bounds(labels, PAIR_LABEL)
    allow = web.forbid("foreign/c/0/0/1")
    try:
        for ask in QUESTIONS.values():
            with pytest.raises(StoreError):
                ask(array)
    finally:
        allow()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr(web: servers.Nginx, stored: Stored, zarr_format: Any) -> None:
    """Image labels are found by their metadata: HTTP lists no folders."""
    labels = stored.labels["pair"]
    name = f"image-{zarr_format}"
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    scales = [{"axes": axes, "datasets": [{"path": str(level)} for level in range(2)]}]
    listed: dict[str, Any] = {"labels": ["cells"]}
    image: dict[str, Any] = {"multiscales": scales, "image-label": {}}
    if zarr_format == 3:
        listed, image = {"ome": {"version": "0.5", **listed}}, {"ome": {"version": "0.5", **image}}
    root = zarr.create_group(stored.folder / name, zarr_format=zarr_format)
    root.create_group("labels", attributes=listed).create_group("cells", attributes=image)
    for level, volume in enumerate((labels, labels[::2, ::2, ::2])):
        path = stored.folder / name / "labels" / "cells" / str(level)
        crackle_zarr.create_array(path, data=volume, chunks=PAIR_CHUNK, zarr_format=zarr_format)
    for place in ("labels", "labels/cells"):
        store = zarr.storage.FsspecStore.from_url(f"{web.url}/{name}/{place}", read_only=True)
        group = zarr.open_group(store, mode="r")
        np.testing.assert_array_equal(crackle_zarr.labels(group), np.unique(labels))
        assert crackle_zarr.voxel_counts(group, PAIR_LABEL) == (labels == PAIR_LABEL).sum()


def test_other_processes(web: servers.Nginx, cloud: servers.S3, stored: Stored) -> None:
    """Workers of their own open the store again, and their errors come home."""
    expected = np.unique(stored.labels["pair"])
    name = stored.copy("pair-v3", "pair-of-workers").name
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        for array in (over_http(f"{web.url}/{name}"), over_s3(cloud, "stored/pair-v3-shards")):
            np.testing.assert_array_equal(crackle_zarr.labels(array, executor=executor), expected)
            table = crackle_zarr.statistics(array, executor=executor)
            assert table["voxel_count"].sum() == stored.labels["pair"].size
        allow = web.forbid(f"{name}/c/0/0/1")
        try:
            with pytest.raises(StoreError, match="c/0/0/1"):
                crackle_zarr.labels(over_http(f"{web.url}/{name}"), executor=executor)
        finally:
            allow()


def test_convert_from_http(web: servers.Nginx, stored: Stored, tmp_path: Path) -> None:
    """A URL is a source of a conversion."""
    report = crackle_zarr.convert(f"{web.url}/odd-v3", tmp_path / "plain", to="zstd")
    converted = zarr.open_array(tmp_path / "plain", mode="r")
    np.testing.assert_array_equal(converted[...], stored.labels["odd"])
    assert converted.fill_value == FILL
    assert report.chunks > 0


# ---------------------------------------------------------------------------------------
# Relabelling on S3


@dataclass
class Bucket:
    """An array of its own on S3, to be written to."""

    server: servers.S3
    name: str
    labels: Array

    def open(self) -> Any:
        return over_s3(self.server, self.name, mode="r+")

    def keys(self) -> list[str]:
        """The names of all objects."""
        listing = self.server.ask("GET", f"/{self.name}?list-type=2").decode()
        return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]

    def content(self) -> dict[str, bytes]:
        return {key: self.server.ask("GET", f"/{self.name}/{key}") for key in self.keys()}


@pytest.fixture
def bucket(request: pytest.FixtureRequest, cloud: servers.S3, stored: Stored) -> Bucket:
    """The array of many chunks, in the layout that the test names as the fixture's parameter."""
    layout = getattr(request, "param", "v3")
    name = f"bucket-{len(cloud.since(0))}"
    cloud.upload(stored.folder / f"odd-{layout}", name)
    return Bucket(cloud, name, stored.labels["odd"])


def edits(labels: Array) -> dict[int, int]:
    """A swap, a merger, and a label that becomes the fill value."""
    names = by_size(labels)
    return {names[-1]: names[3], names[3]: names[-1], names[1]: names[2], names[0]: FILL}


@pytest.mark.parametrize("bucket", ["v3-zstd", "v3-shards", "v2"], indirect=True)
def test_remap_on_s3(bucket: Bucket) -> None:
    """Chunks that hold a key are written anew, and no others."""
    mapping = edits(bucket.labels)
    expected = renamed(bucket.labels, mapping)
    changed = chunks_where(np.isin(bucket.labels, list(mapping)), SMALL_CHUNK)
    before = bucket.content()

    dry = crackle_zarr.remap(bucket.open(), mapping, dry_run=True)
    assert dry.dry_run
    assert bucket.content() == before

    report = crackle_zarr.remap(bucket.open(), mapping)
    assert [tuple(coords) for coords in report.chunks] == changed
    assert [tuple(coords) for coords in dry.chunks] == changed
    after = bucket.content()
    assert set(after) <= set(before)
    differing = {key for key in before if before[key] != after.get(key)}
    shards = bucket.open().shards
    if shards is None:
        assert len(differing) == len(changed) < len(before) - 1
    assert 0 < sum(len(after[key]) for key in differing) <= report.bytes_written
    np.testing.assert_array_equal(bucket.open()[...], expected)
    np.testing.assert_array_equal(crackle_zarr.labels(bucket.open()), np.unique(expected))


def test_remap_of_everything_to_fill_on_s3(bucket: Bucket) -> None:
    """Chunks that become the fill value are deleted."""
    mapping = dict.fromkeys(np.unique(bucket.labels).tolist(), FILL)
    del mapping[FILL]
    crackle_zarr.remap(bucket.open(), mapping)
    assert bucket.keys() == ["zarr.json"]
    assert crackle_zarr.labels(bucket.open()).tolist() == [FILL]


@pytest.mark.parametrize(
    ("bucket", "finish"),
    [("v3", "resume"), ("v3-shards", "resume"), ("v3-shards", "undo"), ("v2", "undo")],
    indirect=["bucket"],
)
def test_interrupted_remap_on_s3(bucket: Bucket, finish: str) -> None:
    """A remap that could not write some of the chunks is finished later, or taken back."""
    mapping = edits(bucket.labels)
    before = bucket.content()
    array = bucket.open()
    chunk = crackle_zarr.remap(array, mapping, dry_run=True).chunks[-1]
    written = array.shards or array.chunks
    place = (index * part // whole for index, part, whole in zip(chunk, array.chunks, written, strict=True))
    last = array.metadata.encode_chunk_key(tuple(place))
    refused = {f"PUT /{bucket.name}/{last}": 403}
    with bucket.server.door.failing(refused), pytest.raises(StoreError, match=last):
        crackle_zarr.remap(bucket.open(), mapping)
    with pytest.raises(JournalError, match="resume"):
        crackle_zarr.remap(bucket.open(), mapping)
    # The store is still in trouble: so is what finishes.
    with bucket.server.door.failing(refused), pytest.raises(StoreError, match=last):
        crackle_zarr.resume(bucket.open())
    getattr(crackle_zarr, finish)(bucket.open())
    if finish == "undo":
        assert bucket.content() == before
    else:
        np.testing.assert_array_equal(bucket.open()[...], renamed(bucket.labels, mapping))
        assert set(bucket.keys()) <= set(before)
    for again in (crackle_zarr.resume, crackle_zarr.undo):
        with pytest.raises(JournalError):
            again(bucket.open())


@pytest.mark.parametrize("bucket", ["v3", "v3-shards"], indirect=True)
def test_remap_of_what_cannot_be_read_on_s3(bucket: Bucket) -> None:
    """A chunk that is refused while the new ones are prepared leaves all as it was, without a journal."""
    before = bucket.content()
    last = max(key for key in before if key[-1].isdigit())
    with bucket.server.door.failing({f"/{bucket.name}/{last}": 403}), pytest.raises(StoreError, match=last):
        crackle_zarr.remap(bucket.open(), edits(bucket.labels))
    assert bucket.content() == before


def test_remap_over_http(web: servers.Nginx, stored: Stored) -> None:
    """What is read-only is not written to."""
    array = over_http(f"{web.url}/pair-v3")
    with web.watch() as traffic, pytest.raises((ValueError, PermissionError)):
        crackle_zarr.remap(array, {PAIR_LABEL: ABSENT})
    assert {request.method for request in traffic} <= {"GET", "HEAD"}


# ---------------------------------------------------------------------------------------
# The command line


def in_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in an interpreter of its own."""
    command = [sys.executable, "-c", "from crackle_zarr.cli import main; main()", *map(str, arguments)]
    packages = str(Path(crackle_zarr.__file__).parent.parent)
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": packages, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def said(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """What the command line says of errors; old versions of fsspec add that sessions were not closed."""
    assert "Traceback" not in ran.stderr
    return [line for line in ran.stderr.splitlines() if line.startswith("crackle-zarr: ")]


def test_command_line_over_http(web: servers.Nginx, stored: Stored) -> None:
    """The labels of an array at a URL, one per line."""
    ran = in_process("labels", f"{web.url}/odd-v3-shards")
    assert said(ran) == []
    assert ran.returncode == 0
    assert [int(line) for line in ran.stdout.split()] == np.unique(stored.labels["odd"]).tolist()


def test_command_line_over_s3(cloud: servers.S3, stored: Stored) -> None:
    """s3fs finds its settings in the environment."""
    ran = in_process("labels", "s3://stored/pair-v3", **cloud.environment())
    assert said(ran) == []
    assert ran.returncode == 0
    assert [int(line) for line in ran.stdout.split()] == np.unique(stored.labels["pair"]).tolist()


def test_command_line_of_a_forbidden_chunk(web: servers.Nginx, stored: Stored) -> None:
    """One line says which chunk, and nothing is told that might be wrong."""
    name = stored.copy("pair-v3", "forbidden-v3").name
    web.forbid(f"{name}/c/0/0/1")
    ran = in_process("labels", f"{web.url}/{name}")
    assert ran.returncode != 0
    assert ran.stdout == ""
    (line,) = said(ran)
    assert "c/0/0/1" in line


def test_command_line_of_nothing(web: servers.Nginx) -> None:
    """A URL where there is no array is named."""
    url = f"{web.url}/missing/labels"
    ran = in_process("labels", url)
    assert ran.returncode != 0
    (line,) = said(ran)
    assert url in line
