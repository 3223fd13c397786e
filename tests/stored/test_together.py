"""Small chunks that are asked together give the same as chunks that are asked one by one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from stored_arrays import KINDS, box, make
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr as cz
from crackle_zarr import _binding
from crackle_zarr.stored import engine, fetch, queries, statistics, together
from crackle_zarr.stored.layout import layout_of

pytestmark = pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")

QUESTIONS: dict[str, Callable[..., Any]] = {
    "labels": cz.labels,
    "statistics": lambda source, **options: cz.statistics(source, **options).tolist(),
    "find": lambda source, **options: cz.find(source, some_label(source), **options).chunks,
    "contains": lambda source, **options: cz.contains(source, some_label(source), **options),
}


def some_label(source: Any) -> int:
    return int(np.asarray(source[...]).flat[-1])


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many chunks each batch had that was asked."""
    asked: list[int] = []
    for kind in (queries.LabelsThere, queries.ChunksWith, statistics.Measure):
        real = kind.ask_together

        def ask_together(self: Any, batch: together.Batch, real: Any = real) -> Any:
            asked.append(len(batch.coords))
            return real(self, batch)

        monkeypatch.setattr(kind, "ask_together", ask_together)
    return asked


def one_by_one(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(engine, "together", lambda *_: 0)
        return ask()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_answers(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind of array, all of it or a region, in batches of every size, also of a view."""
    rng = np.random.default_rng([seed, *map(ord, kind)])
    array, voxels = make(kind, rng)
    labels = np.unique(voxels)
    for source in (array, cz.lazy_remap(array, {int(labels[0]): int(labels[-1])})):
        for region in (None, box(rng, voxels.shape)):
            for most in (1, 3, 256):
                monkeypatch.setattr(queries, "FEW_TOGETHER", most)
                for question in (queries.LabelsThere, statistics.Measure):
                    monkeypatch.setattr(question, "most_together", most)
                options = {"region": region, "parallel": 1, "verify": bool(rng.random() < 0.6)}
                for name, ask in QUESTIONS.items():
                    right = one_by_one(monkeypatch, lambda ask=ask, o=options, s=source: ask(s, **o))
                    assert same(ask(source, **options), right), (name, region, most)


def volume(shape: tuple[int, ...] = (20, 24, 28), dtype: str = "u4") -> Any:
    numbers = np.arange(np.prod(shape)).reshape(shape) // 37 % 50
    return (numbers * 1_000_003 % (2**31 if np.dtype(dtype).itemsize > 2 else 120)).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "u8", "?"])
@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("shards", [None, (8, 16, 16)])
def test_whole_chunks_are_asked_together(
    tmp_path: Path, where: str, shards: Any, dtype: str, batches: list[int]
) -> None:
    """Whole chunks are in batches, those that the edge cuts are not, and missing ones are not read."""
    store: Any = MemoryStore() if where == "memory" else LocalStore(tmp_path)
    array = cz.create_array(store, shape=(20, 24, 28), dtype=dtype, chunks=(4, 8, 8), shards=shards)
    voxels = volume(dtype=dtype)
    voxels[:8, :8] = 0
    array[...] = voxels
    assert cz.labels(array, parallel=1).tolist() == np.unique(voxels).tolist()
    whole = 5 * 3 * 3 - 2 * 3
    assert sum(batches) == whole
    batches.clear()
    table = cz.statistics(array, parallel=1)
    assert sum(batches) == whole
    assert table["voxel_count"].tolist() == np.unique(voxels, return_counts=True)[1].tolist()
    for row in table[:: max(1, len(table) // 5)]:
        at = np.argwhere(voxels == row["label"])
        assert row["start"].tolist() == at.min(axis=0).tolist()
        assert row["stop"].tolist() == (at.max(axis=0) + 1).tolist()
        np.testing.assert_allclose(row["centroid"], at.mean(axis=0))


def test_a_list_of_small_chunks_takes_few_calls_of_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: list[int]
) -> None:
    """A thousand chunks are a few tasks, each with a few calls of C, and none of these for a chunk alone."""
    array = cz.create_array(tmp_path / "a.zarr", shape=(40, 40, 40), dtype="u4", chunks=(4, 4, 4))
    array[...] = voxels = volume((40, 40, 40))
    monkeypatch.setattr(_binding, "Reader", None)
    assert cz.labels(array, parallel=1).tolist() == np.unique(voxels).tolist()
    assert len(cz.statistics(array, parallel=1)) == len(np.unique(voxels))
    assert sum(batches) == 2000
    assert len(batches) <= 16


@pytest.mark.parametrize("name", ["labels", "statistics", "find"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "of another shape", "empty", "in a shard"])
def test_a_damaged_chunk_is_named(tmp_path: Path, name: str, damage: str) -> None:
    """The error of a batch is that of its damaged chunk."""
    shards = (8, 8, 8) if damage == "in a shard" else None
    array = cz.create_array(tmp_path, shape=(16, 16, 16), dtype="u4", chunks=(4, 4, 4), shards=shards)
    array[...] = volume((16, 16, 16))
    file = tmp_path / "c" / ("1/0/1" if shards else "2/1/3")
    stream = bytearray(file.read_bytes())
    if damage == "truncated":
        del stream[-3:]
    elif damage == "empty":
        stream.clear()
    elif damage == "of another shape":
        stream[:] = cz.compress(np.ones((4, 4, 5), "u4"))
    else:
        stream[60] ^= 255  # in the labels or their checksum
    file.write_bytes(stream)
    ask = (lambda source, **options: cz.find(source, 5, **options)) if name == "find" else QUESTIONS[name]
    with pytest.raises(
        cz.FormatError, match=r"c/1/0/1 \(chunk \(2, 0, 2\)\): " if shards else "chunk c/2/1/3: "
    ):
        ask(array, parallel=1)


def test_a_chunk_mended_in_the_meantime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged chunk of a batch is read once more, with the others of it: a replaced chunk is no error."""
    array = cz.create_array({}, shape=(16, 16, 16), dtype="u4", chunks=(4, 4, 4))
    array[...] = voxels = volume((16, 16, 16))
    real, torn = together.fetch, []

    def fetch_torn(store: Any, wanted: Any) -> Any:
        came = real(store, wanted)
        torn.append(came[5][:-2])
        return [*came[:5], torn[-1], *came[6:]]

    monkeypatch.setattr(together, "fetch", fetch_torn)
    assert cz.labels(array, parallel=1).tolist() == np.unique(voxels).tolist()
    assert len(torn) >= 1


def test_long_chunks_are_read_in_part(monkeypatch: pytest.MonkeyPatch, batches: list[int]) -> None:
    """Of a chunk longer than the first request, labels() reads the labels alone, and no byte twice."""
    array = cz.create_array({}, shape=(32, 32, 32), dtype="u4", chunks=(16, 16, 16))
    rng = np.random.default_rng(0)
    array[...] = voxels = rng.integers(300, size=(32, 32, 32)).astype("u4")
    array[:16, :16, :16] = voxels[:16, :16, :16] = 7
    read: list[tuple[str, int, int | None]] = []
    real = fetch.fetch

    def counted(store: Any, wanted: Any) -> Any:
        read.extend(wanted)
        return real(store, wanted)

    monkeypatch.setattr(fetch, "fetch", counted)
    monkeypatch.setattr(together, "fetch", counted)
    assert cz.labels(array, parallel=1).tolist() == np.unique(voxels).tolist()
    assert sum(batches) == 1
    firsts = [one for one in read if one[1] == 0 and one[2] is not None]
    assert len(firsts) == len({one[0] for one in firsts}) == 8


def test_threads_give_the_same(tmp_path: Path) -> None:
    """Several threads that read files in turns find what one finds."""
    array = cz.create_array(tmp_path, shape=(48, 48, 48), dtype="u8", chunks=(4, 4, 4))
    array[...] = volume((48, 48, 48), "u8")
    for name, ask in QUESTIONS.items():
        assert same(ask(array, parallel=4), ask(array, parallel=1)), name


def test_a_thread_that_reads_slowly_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose turn does not come soon reads all the same, and the next waits for that one."""
    turns = fetch._Turns()
    monkeypatch.setattr(turns, "LONGEST", 0.0001)
    with turns.taken(1):
        slow = turns._turn
        with turns.taken(1):
            assert turns._turn is not slow
            assert turns._turn.locked()
        assert slow.locked()
        assert not turns._turn.locked()
    assert not slow.locked()


def test_nobody_waits_longer_than_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more a thread reads, the longer it waits for its turn: slow storage serves threads at once."""
    waits: list[float] = []

    class Lock:
        def acquire(self, timeout: float = 0) -> bool:
            waits.append(timeout)
            return True

        def release(self) -> None:
            pass

    turns = fetch._Turns()
    turns._turn = Lock()  # type: ignore[assignment]
    for ranges in (1, 16, 256):
        with turns.taken(ranges):
            pass
    assert waits == pytest.approx([turns.LONGEST, 16 * turns.LONGEST, 256 * turns.LONGEST])
    assert waits[0] < 0.0005


def test_a_turn_that_is_never_given_back() -> None:
    """After Ctrl-C or fork a lock may stay locked: one read waits for it, and no other."""
    turns = fetch._Turns()
    turns._turn.acquire()
    stale = turns._turn
    for _ in range(2):
        with turns.taken(1):
            pass
    assert turns._turn is not stale
    assert turns._turn.acquire(blocking=False)


def test_chunks_of_a_batch_that_are_asked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task holds no more chunks at once than it would without batches, however many a region cuts."""
    array = cz.create_array({}, shape=(4, 64, 64), dtype="u4", chunks=(4, 4, 4))
    array[...] = volume((4, 64, 64))
    real, held = engine.drive, []

    def drive(store: Any, questions: Any) -> Any:
        held.append(len(questions))
        return real(store, questions)

    monkeypatch.setattr(engine, "drive", drive)
    region = (slice(1, 3), slice(None), slice(None))
    assert cz.labels(array, region=region, parallel=1).tolist() == np.unique(array[1:3]).tolist()
    assert sum(held) == 256
    assert max(held) <= engine.BATCH


def test_compressed_streams_are_read_whole() -> None:
    """A batch of compressed chunks has no more voxels than one of whole streams."""
    for compressors in (None, zarr.codecs.ZstdCodec()):
        array = zarr.create_array(
            {},
            shape=(64, 64, 64),
            chunks=(64, 64, 64),
            dtype="u4",
            serializer=cz.CrackleCodec(),
            compressors=compressors,
        )
        layout = layout_of(array)
        assert together.together(layout, queries.LabelsThere(True)) == (16 if compressors else 256)
        assert together.together(layout, statistics.Measure(True)) == 16


def test_an_array_of_no_axes() -> None:
    """Its only chunk is found, stored or not."""
    array = cz.create_array({}, shape=(), dtype="u4", chunks=())
    assert cz.find(array, 0).chunks == [()]
    assert cz.statistics(array).tolist() == [(0, 1)]
    array[...] = 5
    assert cz.find(array, 5).chunks == [()]
    assert cz.find(array, 0).chunks == []


@pytest.mark.parametrize("length", [2**63 - 1, 2**63])
def test_where_the_last_chunk_ends_past_64_bits(length: int) -> None:
    """The end of an array cuts its last chunk there, too."""
    array = cz.create_array({}, shape=(length, 8), dtype="u2", chunks=(8, 8))
    array[length - 8 :] = np.arange(1, 65, dtype="u2").reshape(8, 8)
    region = (slice(length - 8, length), slice(None))
    last = (length - 1) // 8
    first = (length - 8) // 8
    assert cz.labels(array, region=region).tolist() == list(range(1, 65))
    assert cz.find(array, 64, region=region).chunks == [(last, 0)]
    assert cz.find(array, 1, region=region).chunks == [(first, 0)]
    assert cz.find(array, 0, region=region).chunks == []


@pytest.fixture
def sums_past_64_bits() -> Iterator[Any]:
    array = cz.create_array({}, shape=(2**61, 8), dtype="u2", chunks=(8, 8))
    array[2**61 - 16 :] = np.arange(128, dtype="u2").reshape(16, 8) // 60
    return array


def test_far_from_the_origin(sums_past_64_bits: Any, batches: list[int]) -> None:
    """Where sums of indices may pass 64 bits, chunks are measured one by one; labels are found together."""
    region = (slice(2**61 - 16, 2**61), slice(None))
    assert cz.statistics(sums_past_64_bits, region=region)["voxel_count"].tolist() == [60, 60, 8]
    assert batches == []
    assert cz.labels(sums_past_64_bits, region=region).tolist() == [0, 1, 2]
    assert sum(batches) == 2


def test_more_than_three_axes(batches: list[int]) -> None:
    """Chunks of one time point are measured together; those of several are several runs of slices."""
    voxels = volume((3, 8, 8, 8))
    for chunks, number in (((1, 4, 4, 4), 24), ((3, 4, 4, 4), 0)):
        array = cz.create_array({}, shape=voxels.shape, dtype="u4", chunks=chunks)
        array[...] = voxels
        table = cz.statistics(array, parallel=1)
        assert sum(batches) == number
        assert table["voxel_count"].tolist() == np.unique(voxels, return_counts=True)[1].tolist()
        at = np.argwhere(voxels == table["label"][3])
        assert table["stop"][3].tolist() == (at.max(axis=0) + 1).tolist()
        np.testing.assert_allclose(table["centroid"][3], at.mean(axis=0))
        batches.clear()


def test_foreign_chunks_are_not_asked_together() -> None:
    """Chunks of another codec have no streams."""
    array = zarr.create_array({}, shape=(8, 8), dtype="u4", chunks=(4, 4))
    array[...] = np.arange(64).reshape(8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(cz.labels(array)) == 64
