"""Icechunk: arrays are read and asked, and a session is the transaction of an edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from icechunk_cases import labels, merged, opened, repository, some
from index_cases import check_index_of

import crackle_zarr as cz

icechunk = pytest.importorskip("icechunk")


@pytest.fixture(params=["memory", "disk"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A repository with one array, seg, and two snapshots."""
    if request.param == "memory":
        return repository(icechunk.in_memory_storage())
    return repository(icechunk.local_filesystem_storage(str(tmp_path / "repo")))


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


def test_messages_name_the_branch_or_the_snapshot(repo: Any) -> None:
    """Messages say in a few words where an array lies; Icechunk's own text of a store has several lines."""
    session = repo.writable_session("main")
    with pytest.raises(cz.JournalError, match=r"^icechunk:main/seg is in a session"):
        cz.undo(opened(session, "r+"))
    first = repo.lookup_branch("main")
    with pytest.raises(ValueError, match=rf"^icechunk:{first}/seg is in a read-only session"):
        cz.remap(opened(repo.readonly_session("main")), {some(): 7})
    cz.remap(opened(session, "r+"), {some(): 7})
    session.commit("merge")
    with pytest.raises(ValueError, match=r"^icechunk:\w+/seg is in a read-only session"):
        cz.remap(opened(session), {7: 8})


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


def indexed(repo: Any) -> Any:
    """A session in which the array has a committed index."""
    pytest.importorskip("pyarrow")
    session = repo.writable_session("main")
    cz.create_index(opened(session, "r+"))
    session.commit("index")
    return repo.writable_session("main")


def test_an_index_is_committed_with_its_array(repo: Any) -> None:
    """An index is seen after its commit; each snapshot has its own, and remaps keep it right."""
    before = repo.lookup_branch("main")
    session = indexed(repo)
    first = repo.lookup_branch("main")
    check_index_of(opened(repo.readonly_session("main")))
    array = opened(session, "r+")
    assert cz.check_index(array) == []
    assert cz.remap(array, {some(): 7}, index="require").chunks
    check_index_of(array)
    assert cz.contains(opened(repo.readonly_session("main")), some(), index="require")
    session.commit("merge")
    after = opened(repo.readonly_session("main"))
    check_index_of(after)
    assert not cz.contains(after, some(), index="require")
    assert cz.contains(opened(repo.readonly_session(snapshot_id=first)), some(), index="require")
    with pytest.raises(FileNotFoundError, match="create_index"):
        cz.open_index(opened(repo.readonly_session(snapshot_id=before)))


def test_an_index_is_updated_in_a_session(repo: Any) -> None:
    """Checksums tell which chunks a plain write has changed; what was not committed is dropped."""
    session = indexed(repo)
    array = opened(session, "r+")
    array[0, 0, 0] = 99
    assert cz.check_index(array) == [((0, 0, 0), "changed")]
    assert cz.remap(array, {99: 98}, index="require").chunks == [(0, 0, 0)]
    assert cz.update_index(array).labels == len(np.unique(array[...]))
    assert 98 in cz.open_index(array)
    session.discard_changes()
    check_index_of(opened(session))
    cz.remove_index(opened(session, "r+"))
    with pytest.raises(FileNotFoundError, match="create_index"):
        cz.open_index(opened(session))
    session.commit("no index")
    assert sorted(zarr.open_group(repo.readonly_session("main").store, mode="r").keys()) == ["seg"]


def test_an_edit_that_fails_leaves_no_index(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an edit that failed half-way the index is pending within the session, and whole after discarding."""
    from crackle_zarr.stored.editing import transaction

    def fail(*_: Any, **__: Any) -> Any:
        raise cz.StoreError("the disk is full")

    session = indexed(repo)
    array = opened(session, "r+")
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "copy_to_array", fail)
        with pytest.raises(cz.StoreError, match="full"):
            cz.remap(array, {some(): 7})
    with pytest.raises(cz.StaleIndexError):
        cz.labels(array, index="require")
    session.discard_changes()
    check_index_of(opened(session))


def test_an_array_that_is_replaced_has_no_index(repo: Any) -> None:
    """What removes an array removes its index first, whether there is one or not."""
    from crackle_zarr.stored.index.home import forget_index

    session = indexed(repo)
    for _ in range(2):
        forget_index(session.store, "seg")
        assert sorted(zarr.open_group(session.store, mode="r").keys()) == ["seg"]


def test_what_cannot_have_an_index(repo: Any) -> None:
    """A read-only session and an array without a name are refused with what to do."""
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"repo\.writable_session\('main'\)"):
        cz.create_index(opened(repo.readonly_session("main")))
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    array = cz.create_array(session.store, shape=(9, 9), dtype="u1", chunks=(3, 3))
    with pytest.raises(ValueError, match="under a name"):
        cz.create_index(array)
