"""Arrays on S3 and web servers: bytes and requests of queries, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers
import zarr
from remote_cases import (  # noqa: F401
    ABSENT,
    FEW_LAYOUTS,
    FILL,
    IN_PARTS,
    LAYOUTS,
    PAIR_LABEL,
    QUESTIONS,
    TISSUE_CHUNKS,
    Remote,
    Stored,
    assert_same,
    bounds,
    check_error,
    check_requests,
    cloud,
    door,
    gets,
    last_key,
    over_http,
    over_s3,
    pair,
    remote,
    stored,
    surface,
    through_obstore,
    tissue,
    web,
)

import crackle_zarr
from crackle_zarr import FormatError, StoreError


@pytest.mark.parametrize("layout", IN_PARTS)
@pytest.mark.parametrize(("verify", "part"), [(True, 0.25), (False, 0.05)])
def test_bytes_for_labels(remote: Remote, stored: Stored, layout: str, verify: bool, part: float) -> None:
    """The labels are read from the tables of labels; the rest of the chunks is not fetched."""
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


def test_requests_for_what_is_unfinished(remote: Remote) -> None:
    """A question asks once whether a remap, and once whether a conversion is unfinished."""
    array = remote.open("tissue-v3")
    with remote.watch_all() as traffic:
        crackle_zarr.labels(array, index="ignore")
    asked = [request.path.partition("/.crackle-")[2] for request in traffic if ".crackle-" in request.path]
    assert sorted(asked) == ["convert", "remap/plan"]
    with remote.watch_all() as traffic:
        crackle_zarr.labels(array, index="ignore", unfinished="ignore")
    assert not [request for request in traffic if ".crackle-" in request.path]


@pytest.mark.parametrize("layout", ["v3-zstd", "v3-shards-zstd", "v2-zstd"])
def test_bytes_behind_a_compressor(remote: Remote, stored: Stored, layout: str) -> None:
    """Chunks behind a compressor are read whole, and once."""
    array = remote.open(f"tissue-{layout}")
    with remote.watch() as traffic:
        result = crackle_zarr.labels(array, index="ignore")
    np.testing.assert_array_equal(result, np.unique(stored.labels["tissue"]))
    indices = 2 if "shards" in layout else 0
    assert len(gets(traffic)) <= TISSUE_CHUNKS + indices
    assert traffic.nbytes <= stored.nbytes(f"tissue-{layout}")


@pytest.mark.parametrize("layout", IN_PARTS)
def test_bytes_of_a_region(remote: Remote, stored: Stored, layout: str) -> None:
    """Chunks outside of a region are not fetched."""
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
    """A query that needs the boundaries of all chunks reads each chunk once."""
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
    """Only the chunks that hold the label have their boundaries read."""
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
    """Answers are right if a server sends whole objects for every range, shards included."""
    door.door.ranges = False
    try:
        for layout in IN_PARTS:
            array = over_http(f"{door.url}/pair-{layout}")
            for ask in QUESTIONS.values():
                assert_same(ask(array), ask(zarr.open_array(stored.folder / f"pair-{layout}", mode="r")))
    finally:
        door.door.ranges = True


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fault", [500, "cut"])
def test_chunk_that_cannot_be_read(door: servers.InProcess, fault: Any, layout: str) -> None:
    """While a chunk cannot be read, every query raises; afterwards, every query answers."""
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
    """A 403 raises; unlike a 404, it is not the fill value."""
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
    """AccessDenied raises; unlike NoSuchKey, it is not the fill value."""
    array = over_s3(cloud, f"stored/pair-{layout}")
    with cloud.door.failing({f"/pair-{layout}/{last_key(layout)}": 403}):
        for ask in QUESTIONS.values():
            with pytest.raises(StoreError) as raised:
                ask(array)
            check_error(raised.value, layout)
    assert crackle_zarr.contains(array, PAIR_LABEL)


@pytest.mark.parametrize("read", [over_http, through_obstore])
def test_stopped_server(stored: Stored, tmp_path: Path, read: Callable[[str], Any]) -> None:
    """A server that has stopped makes every query raise, naming a chunk."""
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
    """An S3 server that has stopped makes every query raise, naming a chunk."""
    servers.need("s3fs")
    with servers.s3() as server:
        server.upload(stored.folder / "pair-v3", "pair")
        array = over_s3(server, "pair")
        server.stop()
        for ask in list(QUESTIONS.values())[:2]:  # s3fs retries for seconds
            with pytest.raises(StoreError, match="c/0/0/"):
                ask(array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truncated_object(web: servers.Nginx, stored: Stored, layout: str) -> None:
    """A query that needs the lost end of an object raises and names it; other answers are right."""
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
    # Without verification, some queries need the table of labels alone.
    assert errors > 0.8 * len(lengths) * len(QUESTIONS)


def test_chunks_that_are_not_there(web: servers.Nginx, stored: Stored) -> None:
    """A 404 is the fill value, for one chunk and for all of them."""
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
    """verify() lists damage by chunk and key."""
    for layout in LAYOUTS:
        assert crackle_zarr.verify(over_http(f"{web.url}/pair-{layout}")) == []
    path = stored.copy("pair-v3", "damaged-v3") / "c/0/0/1"
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    (damage,) = crackle_zarr.verify(over_http(f"{web.url}/damaged-v3"))
    assert tuple(damage.chunk) == (0, 0, 1)
    assert damage.key.endswith("c/0/0/1")
