"""Servers and arrays for the tests of remote stores."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
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
from crackle_zarr.synthetic import neurons

pytest.importorskip("fsspec", reason="fsspec is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")


# ---------------------------------------------------------------------------------------
# Arrays

ZSTD = {"compressors": [ZstdCodec()]}
LAYOUTS: dict[str, dict[str, Any]] = {
    "v3": {},
    "v3-zstd": ZSTD,
    "v3-shards": {"shards": (2, 2)},
    "v3-shards-zstd": {**ZSTD, "shards": (2, 2)},
    "v2": {"zarr_format": 2},
    "v2-zstd": {"zarr_format": 2, "compressors": numcodecs.Zstd()},
}
# Chunks that can be read in parts; chunks behind zstd cannot.
IN_PARTS = ("v3", "v3-shards", "v2")

CHUNK = (64, 128, 128)
SMALL_CHUNK = (16, 32, 32)
PAIR_CHUNK = (32, 64, 64)
FILL = 9
ABSENT = 3  # a label that no array has
PAIR_LABEL = 720575940506952113  # a label in both chunks of the pair


def tissue() -> Array:
    """Neurons in four chunks of some 60 kilobytes, all of them full."""
    return neurons((64, 256, 256), seed=1)


def odd() -> Array:
    """Neurons in small chunks: the last chunks are padded, and chunks of fill value are not stored."""
    labels = neurons((40, 70, 60), seed=2, dtype=np.uint32)
    labels[labels == FILL] = FILL + 1
    labels[:16, :32, :32] = FILL  # a chunk
    labels[16:32, :64] = FILL  # four chunks, or a shard
    labels[5, 40:45, 40:45] = FILL  # within a chunk
    return labels


def pair() -> Array:
    """Neurons in two chunks of some 8 kilobytes, which tests damage."""
    return neurons((32, 64, 128), seed=3)


@dataclass
class Stored:
    """Arrays in a folder, named after contents and layout: tissue-v3, odd-v2-zstd ..."""

    folder: Path
    labels: dict[str, Array]

    def copy(self, name: str, to: str) -> Path:
        """A copy of an array in a place of its own, which a test may damage."""
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
            array[...] = labels[kind]  # "data" with shards loses voxels before Zarr 3.1.3
    assert not (folder / "odd-v3" / "c" / "0" / "0" / "0").exists()
    assert not (folder / "odd-v3-shards" / "c" / "1" / "0" / "0").exists()
    return Stored(folder, labels)


# ---------------------------------------------------------------------------------------
# Servers


@pytest.fixture(scope="module")
def web(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    with servers.nginx(stored.folder, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def door(stored: Stored) -> Iterator[servers.InProcess]:
    """The same files from a server that fails on demand."""
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
    """A way to open the stored arrays, and a count of the requests and bytes."""

    open: Callable[[str], Any]
    watch_all: Callable[[], AbstractContextManager[Traffic]]

    @contextlib.contextmanager
    def watch(self) -> Iterator[Traffic]:
        """The requests for the array, without those that ask whether something is unfinished."""
        with self.watch_all() as everything:
            traffic = Traffic()
            yield traffic
        traffic.extend(request for request in everything if "/.crackle-" not in request.path)


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
    """The requests for data; without HEAD, by which s3fs asks for the size of objects that it reads whole."""
    return Traffic(request for request in traffic if request.method == "GET")


# ---------------------------------------------------------------------------------------
# Queries: NumPy's answers


def bounds(labels: Array, label: int) -> tuple[slice, ...] | None:
    """The bounding box of a label."""
    places = np.argwhere(labels == label)
    if not len(places):
        return None
    return tuple(map(slice, places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()))


def chunks_where(chosen: Array, chunks: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The chunks of a grid in which a mask has voxels."""
    return sorted({tuple(place) for place in (np.argwhere(chosen) // chunks).tolist()})


def surface(labels: Array, label: int) -> Array:
    """The voxels of a label with a face towards another label or towards the outside."""
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
    """All labels mapped at once; labels without a mapping stay."""
    result = labels.copy()
    for old, new in mapping.items():
        result[labels == old] = new
    return result


def by_size(labels: Array) -> list[int]:
    """The labels but for background and the fill value, the rarest first."""
    names, counts = np.unique(labels[(labels != 0) & (labels != FILL)], return_counts=True)
    return [int(name) for name in names[counts.argsort()]]


# moto takes milliseconds per request, so only some layouts go through it.
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
    """The array of many chunks, opened by one of the ways."""
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


# ---------------------------------------------------------------------------------------
# Queries: requests and bytes

TISSUE_CHUNKS = 4
MOST_REQUESTS = 4  # per chunk


def check_requests(traffic: Traffic, layout: str, chunks: int = TISSUE_CHUNKS) -> None:
    """A read makes few requests per chunk, and reads the index of each shard at most once."""
    of_index = [request.path for request in traffic if request.range.startswith("bytes=-")]
    assert len(of_index) == len(set(of_index))
    assert len(of_index) <= (2 if "shards" in layout else 0)
    assert len(gets(traffic)) - len(of_index) <= MOST_REQUESTS * chunks
    of_label_index = [request for request in traffic if request.path.endswith(".crackle-index/index.json")]
    assert all(request.status in (200, 206) for request in traffic if request not in of_label_index)


# ---------------------------------------------------------------------------------------
# Queries: errors

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
    """Two answers of any type are equal."""
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
    """The key of the last object of the pair: a chunk, or the only shard."""
    return "0.0.1" if layout.startswith("v2") else "c/0/0/0" if "shards" in layout else "c/0/0/1"


def check_error(error: BaseException, layout: str) -> None:
    """An error names the object that failed, and can be pickled."""
    assert last_key(layout) in str(error)
    pickled = io.BytesIO()
    pickler = pickle.Pickler(pickled)
    # Once distributed was imported, causes are pickled too, and those of aiohttp cannot be.
    pickler.dispatch_table = {}
    pickler.dump(error)
    again = pickle.loads(pickled.getvalue())
    assert type(again) is type(error)
    assert str(again) == str(error)


# ---------------------------------------------------------------------------------------
# Relabelling on S3


@dataclass
class Bucket:
    """An array in a bucket of its own on S3, for tests that write."""

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
    """A mapping with a swap, a merger, and a label that becomes the fill value."""
    names = by_size(labels)
    return {names[-1]: names[3], names[3]: names[-1], names[1]: names[2], names[0]: FILL}


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
    """The error output of the command line, without the warnings of old fsspec about open sessions."""
    assert "Traceback" not in ran.stderr
    return [line for line in ran.stderr.splitlines() if line.startswith("crackle-zarr: ")]
