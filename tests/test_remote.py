"""Stored arrays read over HTTP from nginx, and over S3's protocol from moto."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
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
from crackle_zarr import FormatError
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
FILL = 9


def tissue() -> Array:
    """Neurons in four chunks of some 60 kilobytes, all of them full."""
    return neurons((64, 256, 256), seed=1)


def odd() -> Array:
    """Neurons in small chunks: the last ones are padded, and some are the fill value and are not stored."""
    labels = neurons((40, 90, 100), seed=2, dtype=np.uint32)
    labels[labels == FILL] = FILL + 1
    labels[:16, :32, :32] = FILL  # a chunk
    labels[16:32, :64, :64] = FILL  # four chunks, or a shard
    labels[20, 70:75, 70:75] = FILL  # within a chunk
    return labels


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
    labels = {"tissue": tissue(), "odd": odd()}
    for kind, chunks in (("tissue", CHUNK), ("odd", SMALL_CHUNK)):
        for layout, options in LAYOUTS.items():
            options = dict(options)
            if "shards" in options:
                options["shards"] = (chunks[0], *(2 * edge for edge in chunks[1:]))
            path = folder / f"{kind}-{layout}"
            crackle_zarr.create_array(path, data=labels[kind], chunks=chunks, fill_value=FILL, **options)
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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["tissue", "odd"])
def test_voxels(remote: Remote, stored: Stored, kind: str, layout: str) -> None:
    """Whole arrays and parts of them are what was written; chunks that are not there are the fill value."""
    labels = stored.labels[kind]
    array = remote.open(f"{kind}-{layout}")
    np.testing.assert_array_equal(array[...], labels)
    for selection in (
        (21,),
        (slice(10, 18), slice(20, 70), 33),
        (slice(None, None, 13), 31),
        (39, 89, 99),
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
    door.door.faults["/tissue-v3/c/0/1/0"] = fault
    try:
        with pytest.raises((aiohttp.ClientError, OSError)):
            array[selection]
    finally:
        door.door.faults.clear()
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
