"""The engine that runs a query over chunks: executors, bounds, failures, merging."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import crackle_zarr
from crackle_zarr.errors import FormatError, StoreError
from crackle_zarr.stored import engine
from crackle_zarr.synthetic import neurons

VOLUME = neurons((24, 60, 70), seed=3)


@pytest.fixture
def array(tmp_path: Path) -> zarr.Array:
    made = crackle_zarr.create_array(
        tmp_path / "a.zarr", shape=VOLUME.shape, dtype=VOLUME.dtype, chunks=(8, 16, 16)
    )
    made[...] = VOLUME
    return made


class Recording(ThreadPoolExecutor):
    """Records the maximum number of tasks that were submitted and not yet done."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.most = self.now = self.submitted = 0
        self.lock = threading.Lock()

    def submit(self, work: Callable[..., Any], *arguments: Any, **keywords: Any) -> Future[Any]:
        with self.lock:
            self.submitted += 1
            self.now += 1
            self.most = max(self.most, self.now)
        future = super().submit(work, *arguments, **keywords)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[Any]) -> None:
        with self.lock:
            self.now -= 1


def test_few_tasks_are_under_way(array: zarr.Array) -> None:
    """For any number of chunks, at most twice as many tasks as workers wait at once."""
    with Recording(2) as executor:
        crackle_zarr.labels(array, executor=executor)
    assert executor.submitted > 4
    assert executor.most <= 4


def test_the_search_ends_with_the_first_hit(array: zarr.Array) -> None:
    """The search for a label in the first chunks ends long before the last chunk."""
    done: list[int] = []
    found = crackle_zarr.contains(
        array, int(VOLUME[0, 0, 0]), parallel=1, progress=lambda now, total: done.append(now)
    )
    assert found
    assert done[-1] < np.prod([-(-a // b) for a, b in zip(array.shape, array.chunks, strict=True)])


class Slow(Executor):
    """Runs each task in its own thread, the later ones first."""

    def submit(self, work: Callable[..., Any], *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        number = threading.active_count()

        def run() -> None:
            threading.Event().wait(0.02 / number)
            try:
                future.set_result(work(*arguments, **keywords))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=run).start()
        return future


def test_the_order_does_not_matter(array: zarr.Array) -> None:
    """Tasks that end in another order give the same bits, centroids included."""
    expected = crackle_zarr.statistics(array, parallel=1)
    for _ in range(3):
        assert np.array_equal(crackle_zarr.statistics(array, executor=Slow()), expected)


def damage(array: zarr.Array, key: str) -> None:
    file = Path(array.store_path.store.root) / key
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    raw[-3] ^= 0xFF
    file.write_bytes(raw)


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_failed_chunk_names_itself(array: zarr.Array, parallel: int) -> None:
    """The error of a damaged chunk names its key, and keeps section and slice when pickled."""
    damage(array, "c/2/1/3")
    with pytest.raises(FormatError, match=r"c/2/1/3") as caught:
        crackle_zarr.statistics(array, parallel=parallel)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.section, again.slice) == (caught.value.section, caught.value.slice)


def test_nothing_runs_on_behind_a_failure(array: zarr.Array) -> None:
    """When the error arrives, no task of the call still runs on the caller's executor."""
    damage(array, "c/0/0/0")
    with Recording(2) as executor:
        with pytest.raises(FormatError):
            crackle_zarr.statistics(array, executor=executor)
        assert executor.now == 0


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100])
def test_the_tree(count: int) -> None:
    """n results need n - 1 merges, in logarithmic depth, with few results waiting."""
    depths: list[int] = []

    def merge(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        depths.append(max(a[1], b[1]) + 1)
        return a[0] + b[0], depths[-1]

    tree = engine._Tree(merge)
    for number in range(count):
        tree.add((number, 0))
        assert len(tree._waiting) <= count.bit_length()
    result = tree.result()
    assert (result is None) == (count == 0)
    if result is not None:
        assert result[0] == sum(range(count))
        assert len(depths) == count - 1
        assert max(depths, default=0) <= count.bit_length()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"executor": 4}, TypeError),
        ({"parallel": -1}, ValueError),
        ({"parallel": 1.5}, TypeError),
        ({"progress": "yes"}, TypeError),
        ({"regoin": np.s_[:3]}, TypeError),
    ],
    ids=str,
)
def test_wrong_options(array: zarr.Array, options: dict[str, Any], error: type[Exception]) -> None:
    """Wrong options raise."""
    with pytest.raises(error):
        crackle_zarr.labels(array, **options)


def test_the_bar_is_on_stderr(array: zarr.Array, capsys: pytest.CaptureFixture[str]) -> None:
    """The progress bar goes to stderr, and nothing to stdout."""
    crackle_zarr.labels(array, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "chunk" in shown.err


def test_errors_pickle() -> None:
    """Errors keep type and message when pickled."""
    for error in (StoreError("c/0 cannot be read"), crackle_zarr.JournalError("unfinished")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)


# ---------------------------------------------------------------------------------------
# dask.distributed: two real worker processes


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


@pytest.mark.filterwarnings("default")  # from dask's own modules, as its event loops end
@pytest.mark.parametrize("options", [{"pure": False}, {}], ids=str)
def test_dask(array: zarr.Array, cluster: Any, options: dict[str, Any]) -> None:
    """All queries and a remap run on the processes of a cluster, even one that caches calls."""
    executor = cluster.get_executor(**options)
    label = int(VOLUME[12, 30, 30])
    assert np.array_equal(crackle_zarr.labels(array, executor=executor), np.unique(VOLUME))
    assert crackle_zarr.contains(array, label, executor=executor)
    assert np.array_equal(
        crackle_zarr.statistics(array, executor=executor), crackle_zarr.statistics(array, parallel=1)
    )
    assert np.array_equal(
        crackle_zarr.contacts(array, executor=executor), crackle_zarr.contacts(array, parallel=1)
    )
    found = crackle_zarr.find(array, label, executor=executor)
    assert np.array_equal(
        crackle_zarr.crop(array, label, executor=executor).mask, (label == VOLUME)[found.slices]
    )
    report = crackle_zarr.remap(array, {label: 5}, executor=executor)
    assert report.chunks
    assert np.array_equal(array[...], np.where(label == VOLUME, 5, VOLUME))
    # The same query has another answer now: the cluster cached nothing.
    assert not crackle_zarr.contains(array, label, executor=executor)
    out = f"{array.store.root}-parts"
    parts = crackle_zarr.connected_components(array, out=out, executor=executor)
    same = crackle_zarr.connected_components(array, out={}, parallel=1)
    assert np.array_equal(parts.array[...], same.array[...])
    assert np.array_equal(parts.table, same.table)
    largest = crackle_zarr.largest_k(array, 3, out={}, parallel=1)
    crackle_zarr.largest_k(array, 3, executor=executor)
    assert np.array_equal(array[...], largest.array[...])
    damage(array, "c/1/1/1")
    with pytest.raises(FormatError, match="c/1/1/1"):
        crackle_zarr.statistics(array, executor=executor)


@pytest.mark.filterwarnings("default")
def test_dask_and_memory(cluster: Any) -> None:
    """Writing to memory through worker processes raises, as they write to copies; reading is right."""
    array = crackle_zarr.create_array({}, shape=(8, 16, 16), dtype="uint32", chunks=(4, 8, 8))
    array[...] = VOLUME[:8, :16, :16].astype(np.uint32)
    executor = cluster.get_executor(pure=False)
    assert np.array_equal(crackle_zarr.labels(array, executor=executor), np.unique(array[...]))
    with pytest.raises(ValueError, match="memory of this process"):
        crackle_zarr.remap(array, {1: 2}, executor=executor)
