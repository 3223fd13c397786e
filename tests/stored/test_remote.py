"""Arrays on S3 and web servers: voxels, and right answers to queries."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest
import servers
from remote_cases import (  # noqa: F401
    ABSENT,
    FILL,
    LAYOUTS,
    REGIONS,
    SMALL_CHUNK,
    Remote,
    Stored,
    bounds,
    by_size,
    chunks_where,
    cloud,
    door,
    gets,
    measures,
    odd,
    odd_one,
    over_http,
    remote,
    renamed,
    stored,
    surface,
    tissue,
    web,
)

import crackle_zarr
from crackle_zarr import FormatError

# ---------------------------------------------------------------------------------------
# The servers themselves


def test_account_of_nginx(web: servers.Nginx, stored: Stored) -> None:
    """nginx's log gives the path, status, range and bytes of every request, up to the last one."""
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
    """Whole arrays and parts of them have the written voxels; missing chunks are the fill value."""
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
    """Reading all voxels takes one request per chunk, and no more than the stored bytes."""
    array = remote.open(f"tissue-{layout}")
    with remote.watch() as traffic:
        array[...]
    assert len(gets(traffic)) == 4
    assert traffic.nbytes == stored.nbytes(f"tissue-{layout}")


@pytest.mark.parametrize("z", [0, 30, 63])
def test_requests_of_a_slice(remote: Remote, stored: Stored, z: int) -> None:
    """Reading a slice takes some byte ranges of each chunk."""
    array = remote.open("tissue-v3")
    with remote.watch() as traffic:
        voxels = array[z]
    np.testing.assert_array_equal(voxels, stored.labels["tissue"][z])
    assert 4 < len(traffic) <= 4 * 4
    assert all(request.status == 206 and request.range.startswith("bytes=") for request in traffic)
    assert traffic.nbytes < 0.35 * stored.nbytes("tissue-v3")


def test_requests_of_a_chunk_in_a_shard(remote: Remote, stored: Stored) -> None:
    """Of a shard, only the index and the selected chunks are read."""
    array = remote.open("tissue-v3-shards")
    with remote.watch() as traffic:
        voxels = array[:, :128, :128]
    np.testing.assert_array_equal(voxels, stored.labels["tissue"][:, :128, :128])
    assert len(gets(traffic)) == 2
    assert traffic.nbytes < 0.35 * stored.nbytes("tissue-v3-shards")


def test_server_without_ranges(door: servers.InProcess, stored: Stored) -> None:
    """A server that sends the whole object for every range does no harm."""
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
def test_voxels_that_cannot_be_read(door: servers.InProcess, fault: Any, selection: Any) -> None:
    """A refused request, a server error and a closed connection raise; they are not the fill value."""
    import aiohttp

    array = over_http(f"{door.url}/tissue-v3")
    with door.door.failing({"/tissue-v3/c/0/1/0": fault}), pytest.raises((aiohttp.ClientError, OSError)):
        array[selection]
    assert array[selection].any()


@pytest.mark.parametrize("layout", ["v3", "v2", "v3-shards"])
def test_voxels_of_a_truncated_object(web: servers.Nginx, stored: Stored, layout: str) -> None:
    """A truncated object raises if its end is read."""
    import aiohttp

    folder = stored.copy(f"tissue-{layout}", f"truncated-{layout}")
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[-1].isdigit())
    content = path.read_bytes()
    array = over_http(f"{web.url}/truncated-{layout}")
    # Zarr's own sharding codec takes an empty shard for a missing one.
    for length in (0, 1, 300, 1024, 5000, len(content) - 1)["shards" in layout :]:
        path.write_bytes(content[:length])
        for selection in ((), (5,), (63, 0, 0)):
            with pytest.raises((FormatError, ValueError, aiohttp.ClientError)):
                array[selection]


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_labels(odd_one: Any, stored: Stored, region: Any) -> None:
    """The labels and their number are right, in the whole array and in a region."""
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
    """The chunks that hold a label, missing ones included, and its bounding box are right."""
    labels = stored.labels["odd"]
    names = by_size(labels)
    for label in (names[-1], names[0], FILL, 0, ABSENT):
        found = crackle_zarr.find(odd_one, label)
        assert found.label == label
        assert found.chunks == chunks_where(labels == label, SMALL_CHUNK)
        assert found.slices == bounds(labels, label)
        assert bool(found) == (label != ABSENT)


def test_statistics(odd_one: Any, stored: Stored) -> None:
    """Voxel counts, bounding boxes and centroids of all labels are right."""
    expected = measures(stored.labels["odd"])
    table = crackle_zarr.statistics(odd_one)
    assert table["label"].tolist() == list(expected)
    assert table["voxel_count"].tolist() == [row[0] for row in expected.values()]
    assert table["start"].tolist() == [row[1] for row in expected.values()]
    assert table["stop"].tolist() == [row[2] for row in expected.values()]
    np.testing.assert_allclose(table["centroid"], [row[3] for row in expected.values()], rtol=1e-12)


def test_objects(odd_one: Any, stored: Stored) -> None:
    """Masks within their bounding boxes, and surfaces, are right."""
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
    """Labels that are renamed on reading are right."""
    labels = stored.labels["odd"]
    small, *_, big = by_size(labels)
    mapping = {big: small, small: big, FILL: 0}
    expected = renamed(labels, mapping)
    view = crackle_zarr.lazy_remap(odd_one, mapping)
    np.testing.assert_array_equal(view[13:37, 5:69:2, -3], expected[13:37, 5:69:2, -3])
    np.testing.assert_array_equal(crackle_zarr.labels(view), np.unique(expected))
    assert crackle_zarr.find(view, big).slices == bounds(expected, big)
    assert crackle_zarr.contains(view, FILL) is False
