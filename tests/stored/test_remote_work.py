"""Arrays on S3 and web servers: other processes, relabelling, the command line."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers
import zarr
from remote_cases import (  # noqa: F401
    ABSENT,
    FILL,
    PAIR_CHUNK,
    PAIR_LABEL,
    QUESTIONS,
    SMALL_CHUNK,
    Bucket,
    Stored,
    bounds,
    bucket,
    chunks_where,
    cloud,
    door,
    edits,
    in_process,
    odd,
    over_http,
    over_s3,
    pair,
    renamed,
    said,
    stored,
    web,
)

import crackle_zarr
from crackle_zarr import CrackleWarning, JournalError, StoreError

# ---------------------------------------------------------------------------------------
# Other sources, other processes


def test_codecs_other_than_crackle(web: servers.Nginx, stored: Stored) -> None:
    """An array without Crackle answers too, with a warning, and reads no more than it needs."""
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
    """Image labels are found by their metadata, because HTTP lists no folders."""
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
    """Worker processes open the store again, and send their errors back."""
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
    """A URL can be the source of a conversion."""
    report = crackle_zarr.convert(f"{web.url}/odd-v3", tmp_path / "plain", to="zstd")
    converted = zarr.open_array(tmp_path / "plain", mode="r")
    np.testing.assert_array_equal(converted[...], stored.labels["odd"])
    assert converted.fill_value == FILL
    assert report.chunks > 0


@pytest.mark.parametrize("bucket", ["v3-zstd", "v3-shards", "v2"], indirect=True)
def test_remap_on_s3(bucket: Bucket) -> None:
    """Only chunks that hold a key of the mapping are rewritten."""
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


def test_index_on_s3(bucket: Bucket) -> None:
    """ETags of a listing tell which chunks changed: check_index and a remap read those chunks alone."""
    pytest.importorskip("pyarrow")
    array = bucket.open()
    crackle_zarr.create_index(array)

    def read_by(work: Any) -> set[str]:
        with bucket.server.watch() as traffic:
            work()
        return {one.path for one in traffic if one.method == "GET" and "/c/" in one.path}

    assert read_by(lambda: crackle_zarr.check_index(array)) == set()
    names = np.unique(bucket.labels)
    label = int(min(names, key=lambda name: len(chunks_where(bucket.labels == name, SMALL_CHUNK))))
    chunks = chunks_where(bucket.labels == label, SMALL_CHUNK)

    def dry() -> Any:
        return crackle_zarr.remap(array, {label: 77}, dry_run=True)

    assert len(read_by(dry)) == len(chunks) < array.nchunks
    place = next(one for one in np.ndindex(*array.cdata_shape) if one not in chunks)
    corner = tuple(index * length for index, length in zip(place, array.chunks, strict=True))
    # Another label of as many bytes: the size of the chunk may stay the same, its ETag does not.
    array[corner] = label
    assert [one for one, _ in crackle_zarr.check_index(array)] == [place]
    assert len(read_by(dry)) == len(chunks) + 1
    assert place in dry().chunks
    crackle_zarr.remap(array, {label: 77}, index="require")
    assert not (array[...] == label).any()
    crackle_zarr.update_index(array)
    assert crackle_zarr.check_index(array) == []
    assert 77 in crackle_zarr.open_index(array)


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
    """A remap that could not write some chunks is finished later, or undone."""
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
    # The store still fails, so resume() fails, too.
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
def test_remap_of_an_unreadable_chunk_on_s3(bucket: Bucket) -> None:
    """A chunk that cannot be read in preparation leaves the array as it was, without a journal."""
    before = bucket.content()
    last = max(key for key in before if key[-1].isdigit())
    with bucket.server.door.failing({f"/{bucket.name}/{last}": 403}), pytest.raises(StoreError, match=last):
        crackle_zarr.remap(bucket.open(), edits(bucket.labels))
    assert bucket.content() == before


def test_remap_over_http(web: servers.Nginx, stored: Stored) -> None:
    """A remap of a read-only store raises."""
    array = over_http(f"{web.url}/pair-v3")
    with web.watch() as traffic, pytest.raises((ValueError, PermissionError)):
        crackle_zarr.remap(array, {PAIR_LABEL: ABSENT})
    assert {request.method for request in traffic} <= {"GET", "HEAD"}


def test_command_line_over_http(web: servers.Nginx, stored: Stored) -> None:
    """The command prints the labels of an array at a URL, one per line."""
    ran = in_process("labels", f"{web.url}/odd-v3-shards")
    assert said(ran) == []
    assert ran.returncode == 0
    assert [int(line) for line in ran.stdout.split()] == np.unique(stored.labels["odd"]).tolist()


def test_command_line_over_s3(cloud: servers.S3, stored: Stored) -> None:
    """s3fs reads its settings from the environment of the command."""
    ran = in_process("labels", "s3://stored/pair-v3", **cloud.environment())
    assert said(ran) == []
    assert ran.returncode == 0
    assert [int(line) for line in ran.stdout.split()] == np.unique(stored.labels["pair"]).tolist()


def test_command_line_of_a_forbidden_chunk(web: servers.Nginx, stored: Stored) -> None:
    """The command prints one line that names the chunk, and no wrong answer."""
    name = stored.copy("pair-v3", "forbidden-v3").name
    web.forbid(f"{name}/c/0/0/1")
    ran = in_process("labels", f"{web.url}/{name}")
    assert ran.returncode != 0
    assert ran.stdout == ""
    (line,) = said(ran)
    assert "c/0/0/1" in line


def test_command_line_without_an_array(web: servers.Nginx) -> None:
    """The error for a URL without an array names the URL."""
    url = f"{web.url}/missing/labels"
    ran = in_process("labels", url)
    assert ran.returncode != 0
    (line,) = said(ran)
    assert url in line
