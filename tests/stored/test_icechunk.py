"""Icechunk: arrays are read and asked, and a session is the transaction of an edit."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr.synthetic import neurons

icechunk = pytest.importorskip("icechunk")

CHUNKS = (8, 16, 16)


def labels() -> np.ndarray:
    """Neurons; some chunks are smaller than a first request."""
    made = neurons((24, 48, 40), seed=3, dtype=np.uint32)
    made[:8, :16, :16] = 7
    return made


@pytest.fixture(params=["memory", "disk"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A repository with one array, seg, and two snapshots."""
    if request.param == "memory":
        storage = icechunk.in_memory_storage()
    else:
        storage = icechunk.local_filesystem_storage(str(tmp_path / "repo"))
    made = icechunk.Repository.create(storage)
    session = made.writable_session("main")
    array = cz.create_array(session.store, name="seg", shape=labels().shape, dtype="u4", chunks=CHUNKS)
    array[...] = labels()
    session.commit("labels")
    return made


def opened(session: Any, mode: Any = "r") -> zarr.Array:
    """The array in a session."""
    return zarr.open_array(session.store, path="seg", mode=mode)


def merged(old: int, new: int) -> np.ndarray:
    """The labels after a merge."""
    return np.where(labels() == old, new, labels())


def some() -> int:
    """A label of several chunks."""
    return int(np.unique(labels())[4])


@pytest.mark.parametrize("kind", ["read-only", "writable"])
def test_questions(repo: Any, kind: str) -> None:
    """Slices and questions are right in either kind of session, also of chunks below a first request."""
    session = repo.readonly_session("main") if kind == "read-only" else repo.writable_session("main")
    array = opened(session)
    expected = labels()
    np.testing.assert_array_equal(array[3], expected[3])
    np.testing.assert_array_equal(array[...], expected)
    np.testing.assert_array_equal(cz.labels(array), np.unique(expected))
    np.testing.assert_array_equal(cz.labels(array, region=np.s_[3:9]), np.unique(expected[3:9]))
    assert cz.statistics(array)["voxel_count"].sum() == expected.size
    assert cz.find(array, 7).slices == np.s_[0:8, 0:16, 0:16]
    mask, _ = cz.crop(array, some())
    assert mask.sum() == (expected == some()).sum()
    assert cz.verify(array) == []


def test_remap_is_seen_after_its_commit(repo: Any) -> None:
    """An edit changes the session alone; others see it after the commit, and the former state stays."""
    before = repo.lookup_branch("main")
    session = repo.writable_session("main")
    array = opened(session, "r+")
    report = cz.remap(array, {some(): 7})
    assert len(report.chunks) > 1
    np.testing.assert_array_equal(array[...], merged(some(), 7))
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], labels())
    session.commit("merge")
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], merged(some(), 7))
    np.testing.assert_array_equal(opened(repo.readonly_session(snapshot_id=before))[...], labels())


def test_discarded_changes(repo: Any) -> None:
    """What was not committed is dropped by the session."""
    session = repo.writable_session("main")
    cz.remap(opened(session, "r+"), {some(): 7})
    assert session.has_uncommitted_changes
    session.discard_changes()
    np.testing.assert_array_equal(opened(session)[...], labels())


def test_a_session_with_changes_is_taken_as_it_is(repo: Any) -> None:
    """An edit works on what the session has, committed or not."""
    session = repo.writable_session("main")
    array = opened(session, "r+")
    array[:8] = 9
    cz.remap(array, {9: 11})
    expected = labels()
    expected[:8] = 11
    np.testing.assert_array_equal(array[...], expected)


def test_nothing_is_left_beside_the_chunks(repo: Any) -> None:
    """There is no journal in a session, and a dry run changes nothing."""
    session = repo.writable_session("main")
    array = opened(session, "r+")
    assert cz.remap(array, {some(): 7}, dry_run=True).dry_run
    assert not session.has_uncommitted_changes
    cz.remap(array, {some(): 7})
    session.commit("merge")
    assert sorted(zarr.open_group(repo.readonly_session("main").store, mode="r").keys()) == ["seg"]
    for finish in (cz.resume, cz.undo):
        with pytest.raises(cz.JournalError, match=r"session\.discard_changes\(\) drops"):
            finish(opened(repo.writable_session("main"), "r+"))


def test_a_read_only_session_is_refused(repo: Any) -> None:
    """The error says how to open a session that can be committed."""
    with pytest.raises(ValueError, match=r"repo\.writable_session\('main'\)"):
        cz.remap(opened(repo.readonly_session("main")), {some(): 7})


def test_processes_are_refused(repo: Any) -> None:
    """A writable session cannot be shared by processes, and the error says what can be done."""
    with ProcessPoolExecutor(1) as pool, pytest.raises(ValueError, match="use threads"):
        cz.remap(opened(repo.writable_session("main"), "r+"), {some(): 7}, executor=pool)


def test_a_label_that_does_not_fit_changes_nothing(repo: Any) -> None:
    """What is wrong with a mapping is found while the session is unchanged."""
    session = repo.writable_session("main")
    with pytest.raises(ValueError, match="does not hold"):
        cz.remap(opened(session, "r+"), {some(): 2**40})
    assert not session.has_uncommitted_changes


def test_conflicts_reach_the_caller(repo: Any) -> None:
    """Of two sessions that change the same chunk, the second commit raises Icechunk's own error."""
    first, second = repo.writable_session("main"), repo.writable_session("main")
    cz.remap(opened(first, "r+"), {some(): 7})
    cz.remap(opened(second, "r+"), {some(): 8})
    first.commit("one")
    with pytest.raises(icechunk.ConflictError):
        second.commit("other")


def test_convert_into_a_session(repo: Any, tmp_path: Path) -> None:
    """A conversion to and from a session is right, verified, and seen after the commit."""
    source = cz.create_array(str(tmp_path / "a.zarr"), shape=(20, 30), dtype="u2", chunks=(8, 8))
    source[...] = np.arange(600, dtype=np.uint16).reshape(20, 30) // 7
    empty = icechunk.Repository.create(icechunk.in_memory_storage())
    session = empty.writable_session("main")
    cz.convert(source, session.store)
    session.commit("converted")
    made = zarr.open_array(empty.readonly_session("main").store, mode="r")
    np.testing.assert_array_equal(made[...], source[...])
    cz.convert(opened(repo.readonly_session("main")), str(tmp_path / "b.zarr"), to="zstd")
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "b.zarr"))[...], labels())


def test_no_index_beside_it(repo: Any) -> None:
    """An index is refused with the reason, and questions do without."""
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="takes no other objects than Zarr's"):
        cz.create_index(opened(repo.writable_session("main"), "r+"))
    assert cz.contains(opened(repo.readonly_session("main")), 7)
