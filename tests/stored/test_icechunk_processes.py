"""Sessions of Icechunk on executors of other processes: forks of a session, which it merges."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from icechunk_cases import CHUNKS, labels, merged, opened, repository, some
from index_cases import check_index_of, small_parts  # noqa: F401 - a fixture
from zarr.storage import StorePath, WrapperStore

import crackle_zarr as cz

icechunk = pytest.importorskip("icechunk")

SPAWN = multiprocessing.get_context("spawn")
FORKS_CHANGES = int(icechunk.__version__.partition(".")[0]) >= 2


@pytest.fixture
def repo(tmp_path: Path) -> Any:
    """A repository on a disk."""
    return repository(icechunk.local_filesystem_storage(str(tmp_path / "repo")))


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Two processes, which share nothing with this one."""
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        yield executor


class Elsewhere(Executor):
    """Runs each call at once, on copies of its arguments, as another process would."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function."""
        future: Future[Any] = Future()
        try:
            there, arguments, keywords = pickle.loads(pickle.dumps((fn, args, kwargs)))
            future.set_result(pickle.loads(pickle.dumps(there(*arguments, **keywords))))
        except BaseException as error:
            future.set_exception(error)
        return future


class Counting(WrapperStore[Any]):
    """Counts the chunks that are read in this process."""

    reads = 0

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Get an object."""
        Counting.reads += "/c/" in key
        return await super().get(key, *args, **kwargs)


def counted(session: Any, mode: Any = "r+") -> zarr.Array:
    """The array in a session, whose reads are counted from now on."""
    array = zarr.open_array(Counting(session.store), path="seg", mode=mode)
    Counting.reads = 0
    return array


def is_unchanged(session: Any) -> bool:
    """Whether a session has no changes, and the labels are what they were."""
    return not session.has_uncommitted_changes and np.array_equal(opened(session)[...], labels())


def test_questions_of_a_writable_session(repo: Any, pool: Executor) -> None:
    """Processes read a copy of a writable session, opened in either mode, and the session stays as it is."""
    session = repo.writable_session("main")
    expected = np.unique(labels())
    for mode in ("r", "r+"):
        np.testing.assert_array_equal(cz.labels(opened(session, mode), executor=pool), expected)
    array = opened(session, "r+")
    assert cz.statistics(array, executor=pool)["voxel_count"].sum() == labels().size
    assert cz.verify(array, executor=pool) == []
    view = cz.lazy_remap(array, {some(): 7})
    assert some() not in cz.labels(view, executor=pool)
    other = opened(repo.writable_session("main"))
    assert len(cz.overlaps(array, other, executor=pool)) == len(np.unique(labels()))
    assert is_unchanged(session)


def test_remap(repo: Any, pool: Executor) -> None:
    """What processes write is in the caller's session, for nobody else before its commit."""
    before = repo.lookup_branch("main")
    session = repo.writable_session("main")
    report = cz.remap(opened(session, "r+"), {some(): 7}, executor=pool)
    assert report == cz.remap(opened(repo.writable_session("main"), "r+"), {some(): 7})
    assert len(report.chunks) > 1
    np.testing.assert_array_equal(opened(session)[...], merged(some(), 7))
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], labels())
    session.commit("merge")
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], merged(some(), 7))
    np.testing.assert_array_equal(opened(repo.readonly_session(snapshot_id=before))[...], labels())


def test_a_dry_run_changes_nothing(repo: Any, pool: Executor) -> None:
    """A dry run on processes reports the chunks, and the session has no changes."""
    session = repo.writable_session("main")
    assert cz.remap(opened(session, "r+"), {some(): 7}, dry_run=True, executor=pool).chunks
    assert is_unchanged(session)


def test_an_index(repo: Any, pool: Executor) -> None:
    """Processes build an index, remaps on processes keep it right, and processes update it."""
    pytest.importorskip("pyarrow")
    session = repo.writable_session("main")
    cz.create_index(opened(session, "r+"), executor=pool)
    session.commit("index")
    check_index_of(opened(repo.readonly_session("main")))
    for old, new in [(some(), 7), (7, 5)]:
        session = repo.writable_session("main")
        assert cz.remap(opened(session, "r+"), {old: new}, index="require", executor=pool).chunks
        check_index_of(opened(session))
        session.commit("remap")
    session = repo.writable_session("main")
    opened(session, "r+")[0, 0, 0] = 99
    session.commit("write")
    session = repo.writable_session("main")
    assert cz.check_index(opened(session, "r+"), executor=pool) == [((0, 0, 0), "changed")]
    assert cz.update_index(opened(session, "r+"), executor=pool).measured == 1
    session.commit("update")
    session = repo.writable_session("main")
    check_index_of(opened(session))
    cz.create_index(opened(session, "r+"), overwrite=True, executor=pool)
    session.commit("anew")
    check_index_of(opened(repo.readonly_session("main")))


@pytest.mark.usefixtures("small_parts")
def test_an_index_of_many_parts(repo: Any) -> None:
    """Many tasks write to the same groups of an index, and their forks can be merged."""
    pytest.importorskip("pyarrow")
    session = repo.writable_session("main")
    cz.create_index(opened(session, "r+"), executor=Elsewhere())
    session.commit("index")
    session = repo.writable_session("main")
    assert cz.remap(opened(session, "r+"), {some(): 7}, index="require", executor=Elsewhere()).chunks
    check_index_of(opened(session))
    opened(session, "r+")[:, :, 0] = 99
    session.commit("remap and write")
    session = repo.writable_session("main")
    assert cz.update_index(opened(session, "r+"), executor=Elsewhere()).measured > 5
    session.commit("update")
    after = opened(repo.readonly_session("main"))
    check_index_of(after)
    groups = zarr.open_group(repo.readonly_session("main").store, path="seg.crackle-index", mode="r")
    assert "building" not in groups


def test_convert(repo: Any, pool: Executor, tmp_path: Path) -> None:
    """Processes convert to the root of a session, to a path, and from the session to that path."""
    source = opened(repo.readonly_session("main"))
    empty = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "other")))
    session = empty.writable_session("main")
    report = cz.convert(source, session.store, executor=pool)
    session.commit("converted")
    assert report.chunks == 27
    np.testing.assert_array_equal(zarr.open_array(empty.readonly_session("main").store)[...], labels())
    session = repo.writable_session("main")
    cz.convert(opened(session), StorePath(session.store, "copy"), to="zstd", executor=pool)
    session.commit("copied")
    copy = zarr.open_array(repo.readonly_session("main").store, path="copy")
    np.testing.assert_array_equal(copy[...], labels())
    session = repo.writable_session("main")
    with pytest.raises(ValueError, match="is the source"):
        cz.convert(opened(session), StorePath(session.store, "seg"), overwrite=True, executor=pool)
    assert is_unchanged(session)


def test_convert_replaces_an_array(repo: Any) -> None:
    """An array of a session is replaced by a conversion of another, also if that takes many tasks."""
    source = in_memory(opened(repo.readonly_session("main")))
    source[...] = labels()[::-1]
    session = repo.writable_session("main")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cz.convert(source, StorePath(session.store, "seg"), executor=Elsewhere())
    assert is_unchanged(session)
    cz.convert(source, StorePath(session.store, "seg"), overwrite=True, executor=Elsewhere())
    np.testing.assert_array_equal(opened(session)[...], labels()[::-1])
    session.commit("replaced")
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], labels()[::-1])


def test_convert_to_a_path_of_a_session(repo: Any) -> None:
    """A session takes an array at a path that it does not have yet, also on threads."""
    session = repo.writable_session("main")
    cz.convert(opened(session), StorePath(session.store, "deep/copy"))
    np.testing.assert_array_equal(zarr.open_array(session.store, path="deep/copy")[...], labels())
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cz.convert(opened(session), StorePath(session.store, "deep/copy"))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_label_images(repo: Any, pool: Executor, kind: str) -> None:
    """A label image of OME-Zarr is written, edited, pooled again and verified in sessions."""
    executor = pool if kind == "processes" else None
    session = repo.writable_session("main")
    source = opened(session) if kind == "processes" else labels()
    made = cz.write_ome_labels(
        session.store, "cells", source, voxel_size=(40, 8, 8), levels=2, chunks=CHUNKS, executor=executor
    )
    np.testing.assert_array_equal(made.levels[0][...], labels())
    session.commit("label image")
    session = repo.writable_session("main")
    group = zarr.open_group(session.store, path="labels/cells", mode="r+")
    report = cz.remap(group, {some(): 7}, executor=executor)
    assert [len(chunks) > 0 for chunks in report.levels] == [True, True]
    np.testing.assert_array_equal(group["s0"][...], merged(some(), 7))
    session.commit("merge")
    session = repo.writable_session("main")
    built = cz.build_pyramid(
        zarr.open_group(session.store, path="labels/cells", mode="r+"),
        levels=3,
        overwrite=True,
        executor=executor,
    )
    assert len(built.levels) == 3
    session.commit("three levels")
    group = zarr.open_group(repo.readonly_session("main").store, path="labels/cells", mode="r")
    assert cz.verify(group, executor=executor) == []  # also that each level is what pooling makes
    assert cz.contains(group, 7, level=2)
    assert not cz.contains(group, some(), level=2)


def test_a_label_image_that_fails_is_not_there(repo: Any) -> None:
    """If a worker fails, the session has no part of a label image."""
    session = repo.writable_session("main")

    class Failing(Elsewhere):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls > 9:
                raise OSError("the network is down")
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(OSError, match="down") as caught:
        cz.write_ome_labels(
            session.store, "cells", opened(session), chunks=CHUNKS, parallel=4, executor=Failing()
        )
    assert caught.value.__notes__ == ["the repository: the session is unchanged, as its fork was dropped"]
    assert is_unchanged(session)
    assert "labels" not in zarr.open_group(session.store, mode="r")


def test_dask(repo: Any) -> None:
    """dask's workers write to forks as the workers of a process pool do."""
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("pyarrow")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor(pure=False)
        session = repo.writable_session("main")
        cz.create_index(opened(session, "r+"), executor=executor)
        session.commit("index")
        session = repo.writable_session("main")
        cz.remap(opened(session, "r+"), {some(): 7}, index="require", executor=executor)
        session.commit("remap")
        after = opened(repo.readonly_session("main"))
        np.testing.assert_array_equal(after[...], merged(some(), 7))
        np.testing.assert_array_equal(cz.labels(after, executor=executor), np.unique(merged(some(), 7)))
    check_index_of(after)


def in_memory(source: zarr.Array) -> zarr.Array:
    """A copy of an array in memory, outside of Icechunk."""
    made = zarr.create_array({}, shape=source.shape, dtype=source.dtype, chunks=CHUNKS)
    made[...] = source[...]
    return made


def test_a_repository_in_memory_is_refused(pool: Executor) -> None:
    """Other processes do not find a repository in memory, which is said before a chunk is read."""
    repo = repository(icechunk.in_memory_storage())
    calls: list[Callable[[zarr.Array], Any]] = [
        lambda array: cz.labels(array, executor=pool),
        lambda array: cz.remap(array, {some(): 7}, executor=pool),
        lambda array: cz.create_index(array, executor=pool),
        lambda array: cz.convert(array, StorePath(array.store_path.store, "copy"), executor=pool),
    ]
    for call in calls:
        session = repo.writable_session("main")
        array = counted(session)
        with pytest.raises(ValueError, match="as one in memory: use threads"):
            call(array)
        assert not Counting.reads
        assert not session.has_uncommitted_changes
    with pytest.raises(ValueError, match="as one in memory: use threads"):
        cz.labels(opened(repo.readonly_session("main")), executor=pool)
    empty = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    source = opened(repository(icechunk.in_memory_storage()).readonly_session("main"))
    with pytest.raises(ValueError, match="as one in memory: use threads"):
        cz.convert(in_memory(source), empty.store, executor=pool)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_forked_processes_are_refused(repo: Any) -> None:
    """A forked process would wait for ever for threads of Icechunk, so the error says what to use."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as forked:
        for session in (repo.readonly_session("main"), repo.writable_session("main")):
            with pytest.raises(ValueError, match=r"get_context\('spawn'\)"):
                cz.labels(opened(session), executor=forked)
        with pytest.raises(ValueError, match=r"get_context\('spawn'\)"):
            cz.remap(opened(repo.writable_session("main"), "r+"), {some(): 7}, executor=forked)


def test_a_session_with_changes(repo: Any, pool: Executor) -> None:
    """Icechunk 2 shows processes what is not committed; Icechunk 1 cannot, and the error says what to do."""
    pytest.importorskip("pyarrow")
    session = repo.writable_session("main")
    array = opened(session, "r+")
    array[:8] = 9
    expected = labels()
    expected[:8] = 9
    if not FORKS_CHANGES:
        for call in (
            lambda: cz.labels(array, executor=pool),
            lambda: cz.remap(array, {9: 11}, executor=pool),
            lambda: cz.create_index(array, executor=pool),
        ):
            with pytest.raises(ValueError, match=r"not committed.*commit them.*or use threads"):
                call()
        np.testing.assert_array_equal(array[...], expected)
        return
    np.testing.assert_array_equal(cz.labels(array, executor=pool), np.unique(expected))
    cz.create_index(array, executor=pool)
    for old, new in [(9, 11), (11, 12), (some(), 12)]:
        cz.remap(array, {old: new}, index="require", executor=pool)
        expected[expected == old] = new
        np.testing.assert_array_equal(array[...], expected)
    cz.create_index(array, overwrite=True, executor=pool)
    session.commit("all of it")
    check_index_of(opened(repo.readonly_session("main")))


def test_a_fork_of_the_caller(repo: Any) -> None:
    """A fork that the caller has made is edited, again and again, and is the caller's to merge."""
    session = repo.writable_session("main")
    fork = pickle.loads(pickle.dumps(session.fork()))  # Icechunk 1.1.0 forks when it pickles
    for old, new in [(some(), 8), (8, 9), (9, 10)]:  # the same chunks each time, by many tasks
        assert len(cz.remap(opened(fork, "r+"), {old: new}, executor=Elsewhere()).chunks) > 2
        np.testing.assert_array_equal(opened(fork)[...], merged(some(), new))
    assert is_unchanged(session)
    session.merge(fork)
    session.commit("merge")
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], merged(some(), 10))


def test_conflicts_reach_the_caller(repo: Any, pool: Executor) -> None:
    """Of two sessions whose workers change the same chunk, the second commit raises Icechunk's own error."""
    first, second = repo.writable_session("main"), repo.writable_session("main")
    cz.remap(opened(first, "r+"), {some(): 7}, executor=pool)
    cz.remap(opened(second, "r+"), {some(): 8}, executor=pool)
    first.commit("one")
    with pytest.raises(icechunk.ConflictError):
        second.commit("other")
    with pytest.raises(icechunk.RebaseFailedError):
        second.rebase(icechunk.ConflictDetector())
    np.testing.assert_array_equal(opened(repo.readonly_session("main"))[...], merged(some(), 7))


def test_a_damaged_chunk_changes_nothing(repo: Any, pool: Executor) -> None:
    """A chunk that a worker cannot read stops an edit, and the error says that the session is unchanged."""
    session = repo.writable_session("main")
    array = opened(session, "r+")
    key = "seg/c/2/2/2"
    store: Any = array.store_path.store
    raw = zarr.core.sync.sync(store.get(key, zarr.core.buffer.default_buffer_prototype())).to_bytes()
    broken = zarr.core.buffer.cpu.Buffer.from_bytes(b"no" + raw[2:])
    zarr.core.sync.sync(store.set(key, broken))
    session.commit("damage")
    session = repo.writable_session("main")
    with pytest.raises(cz.FormatError, match="c/2/2/2") as caught:
        cz.remap(opened(session, "r+"), {some(): 7}, executor=pool)
    assert "seg: the session is unchanged, as its fork was dropped" in caught.value.__notes__
    assert not session.has_uncommitted_changes


@pytest.mark.parametrize("indexed", [False, True])
def test_a_worker_that_fails_changes_nothing(
    repo: Any, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    """If a worker fails when others have replaced chunks, the session is unchanged, its index too."""
    from crackle_zarr.stored.editing import applying

    session = repo.writable_session("main")
    if indexed:
        pytest.importorskip("pyarrow")
        cz.create_index(opened(session, "r+"))
        session.commit("index")
        session = repo.writable_session("main")
    done: list[str] = []
    real = applying.CopyToArray.__call__

    def copy(task: Any) -> Any:
        if len(done) == 2:
            raise cz.StoreError("the disk is full")
        done.append(task.name)
        return real(task)

    monkeypatch.setattr(applying.CopyToArray, "__call__", copy)
    mapping = {int(label): 7 for label in np.unique(labels())[3:]}
    with pytest.raises(cz.StoreError, match="full") as caught:
        cz.remap(opened(session, "r+"), mapping, parallel=4, executor=Elsewhere())
    assert len(done) == 2
    assert caught.value.__notes__ == ["seg: the session is unchanged, as its fork was dropped"]
    assert is_unchanged(session)
    if indexed:
        check_index_of(opened(session))


def test_a_worker_that_dies_changes_nothing(repo: Any) -> None:
    """If a process ends in the middle of its work, the session is unchanged, and works on."""
    session = repo.writable_session("main")
    with (
        ProcessPoolExecutor(1, mp_context=SPAWN, initializer=os._exit, initargs=(1,)) as dying,
        pytest.raises(BrokenExecutor) as caught,
    ):
        cz.remap(opened(session, "r+"), {some(): 7}, executor=dying)
    assert "seg: the session is unchanged, as its fork was dropped" in caught.value.__notes__
    assert is_unchanged(session)
    assert cz.remap(opened(session, "r+"), {some(): 7}).chunks


def test_wrapped_sessions(repo: Any) -> None:
    """Wrappers around a session stay around its fork, also those of the caller."""
    session = repo.writable_session("main")
    array = counted(session)
    assert cz.remap(array, {some(): 7}, executor=Elsewhere()).chunks
    assert Counting.reads
    np.testing.assert_array_equal(opened(session)[...], merged(some(), 7))


def test_workers_with_other_folders_are_refused(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that do not share the folder for temporary files are told, and the session is unchanged."""
    from crackle_zarr.stored.editing import entries

    real = entries.Entries.write

    def write(kept: Any, some_entries: Any) -> str:
        name = real(kept, some_entries)
        shutil.rmtree(kept.store.root)  # of another machine
        return name

    monkeypatch.setattr(entries.Entries, "write", write)
    session = repo.writable_session("main")
    with pytest.raises(ValueError, match="set TMPDIR to a folder that all machines share"):
        cz.remap(opened(session, "r+"), {some(): 7}, executor=Elsewhere())
    assert is_unchanged(session)
