"""Bugs found by fuzzing, damage and reading, each as its smallest case.

Inputs of the fuzzers that once failed are in ``fuzz/regressions``; ``make -C tests/fuzz check`` runs them.
These tests are for bugs that such inputs cannot show: too much time, and errors above the C library. If a
bug of too much time came back, its test would take minutes.
"""

from __future__ import annotations

import asyncio
import random
import signal
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import reference_writer
import sync_stores
import zarr
from reference_writer import Style
from zarr.storage import LocalStore

import crackle_zarr
from crackle_zarr import FormatError, _binding
from crackle_zarr.errors import JournalError, StoreError
from crackle_zarr.stored.editing.entries import Entry
from crackle_zarr.stored.editing.hold import Hold
from crackle_zarr.stored.editing.journal import Journal
from crackle_zarr.stored.editing.owner import new_owner
from crackle_zarr.stored.layout import layout_of
from crackle_zarr.stored.writing import run_to_end


def falsely_sorted() -> bytes:
    """A stream whose table is marked as sorted, but is not; its checksums are right."""
    volume = np.arange(1, 61, dtype="u2").reshape(5, 4, 3, order="F")
    for seed in range(20):
        sections = reference_writer.craft_sections(volume, Style(unsorted=True), random.Random(seed))
        stream = bytearray(sections.assemble())
        stream[6] &= ~0x20  # bit 13 of the format field
        stream[28] = reference.crc8(bytes(stream[5:28]))
        table = _binding.Reader(bytes(stream)).table()
        if (np.diff(table.astype(int)) < 0).any():
            return bytes(stream)
    raise AssertionError("no table was shuffled")


def test_a_table_that_only_claims_to_be_sorted() -> None:
    """Found by fuzz_label: contains() searched by bisection, and missed labels that decompress() gave."""
    stream = falsely_sorted()
    assert all(crackle_zarr.contains(stream, label) for label in range(1, 61))
    assert not crackle_zarr.contains(stream, 61)


def overlapping_pins(sz: int, num_pins: int) -> bytes:
    """A column of ``sz`` voxels, version 0: pins from the first slice to the last, all of label 7."""
    section = b"\x05" + struct.pack("<Q", 1) + b"\x07" + b"\x01" * sz
    section += bytes([2 | 2 << 2]) + struct.pack("<I", num_pins) + bytes(4 * num_pins)
    section += struct.pack("<I", sz - 1) * num_pins + struct.pack("<I", 0)
    head = b"crkl\0" + struct.pack("<HIIIBI", 2 << 5 | 1 << 7, 1, 1, sz, 31, len(section))
    return head + struct.pack("<I", 5) * sz + section + (struct.pack("<I", 1) + b"\0") * sz


def test_many_pins_in_one_place() -> None:
    """Found by reading: every pin was looked at in every slice that it reaches, 10^10 times."""
    stream = overlapping_pins(150_000, 150_000)
    assert (crackle_zarr.decompress(stream) == 7).all()
    assert list(crackle_zarr.labels(stream)) == [5, 7]
    assert crackle_zarr.voxel_counts(stream)[7] == 150_000


def colliding_labels(count: int) -> np.ndarray:
    """Labels that shared a slot in the library's hash tables when their multiplier was a constant."""
    multiplier = 0x9E3779B97F4A7C15
    inverse = pow(multiplier, -1, 1 << 64)
    hashes = ((i & 0xFFFF_FFFF) | ((i * 2654435761 & 0x3FF) << 54) for i in range(1, count + 1))
    products = (h * inverse & (2**64 - 1) for h in hashes)
    return np.array([product ^ product >> 32 for product in products], np.uint64)


def test_labels_that_collide() -> None:
    """Found by reading: with chosen labels, each lookup in a table took time in its length."""
    volume = colliding_labels(240_000).reshape(200, 200, 6, order="F")
    stream = crackle_zarr.compress(volume)
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    assert len(crackle_zarr.contacts(stream)) == 199 * 200 * 6 * 2 + 200 * 200 * 5


def test_a_model_longer_than_the_codes() -> None:
    """Found by fuzz_encode: for a few voxels a model of 16 million rows was trained, then left out."""
    volume = np.arange(60, dtype="u2").reshape(5, 4, 3, order="F")
    for _ in range(2000):
        stream = crackle_zarr.compress(volume, markov_model_order=12)
    assert crackle_zarr.header(stream).markov_model_order == 0


PLAN = {"keys": [3], "values": [4], "preserve": True, "create_chunks": False}


def applying(journal: Journal, entry: Entry) -> Hold:
    """The journal of an edit that has stopped before it replaced an object."""
    owner = new_owner()
    hold = Hold(journal, journal.begin({"id": owner.id, **PLAN}, owner), owner)
    hold.keep_index(hold.folder, [hold.entries(hold.folder).write([entry])])
    hold.step("applying", entries=hold.folder)
    return hold


def test_a_journal_that_leads_out_of_the_array(tmp_path: Path) -> None:
    """Found by reading: resume() and undo() wrote to any key that a journal named, even with '../'."""
    array = crackle_zarr.create_array(tmp_path / "a.zarr", shape=(4, 4, 4), dtype="u4", chunks=(2, 4, 4))
    array[...] = 3
    for key, coords in [("../outside", (0, 0, 0)), ("c/0/0/0", (1, 0, 0)), ("zarr.json", (0, 0, 0))]:
        hold = applying(Journal(layout_of(array)), Entry(key, b"old", b"new", (coords,)))
        for action in (crackle_zarr.resume, crackle_zarr.undo):
            with pytest.raises(JournalError, match="is no chunk of"):
                action(array)
        hold.journal.remove(hold.plan)
    assert not (tmp_path / "outside").exists()
    assert (zarr.open_array(tmp_path / "a.zarr")[...] == 3).all()


class Forgetful(sync_stores.LocalStore):
    """Loses all bytes of a chunk but the first."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if key.startswith("c/") and getattr(byte_range, "start", 0) > 0:
            return None
        return await super().get(key, prototype, byte_range)


def test_a_chunk_that_is_lost_between_two_requests(tmp_path: Path) -> None:
    """Found by a failing store: some slices of a chunk became the fill value, without an error."""
    rng = np.random.default_rng(5)
    voxels = rng.integers(1, 2**40, (64, 64, 64), dtype=np.uint64)
    array = crackle_zarr.create_array(
        tmp_path / "a.zarr", shape=voxels.shape, dtype="u8", chunks=(64, 64, 64)
    )
    array[...] = voxels
    store = Forgetful(tmp_path / "a.zarr")
    with pytest.raises(FormatError, match="are not in the store"):
        zarr.open_array(store, mode="r")[3]


class Hasty(sync_stores.LocalStore):
    """Lets another process take the journal as soon as it is free."""

    other: Journal | None = None

    def delete_sync(self, key: str) -> None:
        super().delete_sync(key)
        if key.endswith("/plan") and self.other is not None:
            other, self.other = self.other, None
            applying(other, Entry("c/0/0/0", b"old", b"new", ((0, 0, 0),)))

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self.delete_sync, key)


def test_the_journal_of_another_process(tmp_path: Path) -> None:
    """Found by a review: the rest of a journal was removed when it could belong to another process."""
    store = Hasty(tmp_path / "a.zarr")
    array = crackle_zarr.create_array(store, shape=(2, 2, 2), dtype="u4", chunks=(2, 2, 2))
    journal = Journal(layout_of(array))
    hold = applying(journal, Entry("c/0/0/0", b"old", b"new", ((0, 0, 0),)))
    store.other = Journal(layout_of(zarr.open_array(LocalStore(store.root), mode="r+")))
    hold.end("new")
    assert store.other is None
    history = journal.history(certain=True)
    assert history is not None
    assert history.step.what == "applying"
    assert len(Hold(journal, history, new_owner()).batches()) == 1


class Stubborn(sync_stores.LocalStore):
    """Cannot delete a plan, nor read chunks."""

    broken: bool = False

    def delete_sync(self, key: str) -> None:
        if self.broken and key.endswith("/plan"):
            raise OSError(5, "Input/output error")
        super().delete_sync(key)

    async def delete(self, key: str) -> None:
        self.delete_sync(key)

    def get_sync(self, key: str, **keywords: Any) -> Any:
        if self.broken and "/c/" in f"/{key}":
            raise OSError(5, "Input/output error")
        return super().get_sync(key, **keywords)


def test_a_remap_that_was_not_done_is_not_finished(tmp_path: Path) -> None:
    """Found by a review: resume() reported success for a remap that had failed in preparation."""
    store = Stubborn(tmp_path / "a.zarr")
    array = crackle_zarr.create_array(store, shape=(2, 2, 2), dtype="u4", chunks=(2, 2, 2))
    array[...] = 3
    store.broken = True
    with pytest.raises(StoreError, match="cannot be read"):
        crackle_zarr.remap(array, {3: 4}, parallel=1)
    store.broken = False
    with pytest.raises(JournalError, match="no unfinished remap: the last one was taken back"):
        crackle_zarr.resume(array)
    assert (array[...] == 3).all()
    crackle_zarr.remap(array, {3: 4})
    assert (array[...] == 4).all()
    assert not (tmp_path / "a.zarr" / ".crackle-remap").exists()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_ctrl_c_waits_for_writes_under_way() -> None:
    """Found by a review: a write outlived an interrupted edit, and landed after its undo()."""
    written = threading.Event()

    async def write() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.sleep(0.3)
        written.set()

    with pytest.raises(KeyboardInterrupt):
        run_to_end(write())
    assert written.is_set()


class Denying(sync_stores.MemoryStore):
    """Reports a key that it should delete as missing, once, and keeps it."""

    deletions = 10**9

    def delete_sync(self, key: str) -> None:
        self.deletions -= 1
        if self.deletions == -1:
            raise KeyError(key)
        super().delete_sync(key)

    async def delete(self, key: str) -> None:
        self.delete_sync(key)


def test_a_deletion_that_did_not_happen() -> None:
    """Found by failing stores: the plan outlived its remap, and resume() swapped two labels back."""
    for n in range(1000):
        store = Denying()
        array = crackle_zarr.create_array(store, shape=(4, 2, 2), dtype="u4", chunks=(2, 2, 2))
        array[:2], array[2:] = 1, 2
        array[0, 0, 0] = 2
        store.deletions = n
        try:
            crackle_zarr.remap(array, {1: 2, 2: 1}, parallel=1)
        except StoreError:
            crackle_zarr.resume(array)
        assert (array[2:] == 1).all()
        assert (array[:2] == 2).sum() == 7
        assert not [key for key in store._store_dict if "crackle" in key]
        if store.deletions >= 0:
            break
    assert n >= 3


class Losing(sync_stores.LocalStore):
    """Stops finding a chunk."""

    lost = ""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        return None if key == self.lost else await super().get(key, prototype, byte_range)


def test_a_chunk_that_is_lost_after_it_was_found(tmp_path: Path) -> None:
    """Found by failing stores: the bounding box left out a chunk that find() had named."""
    array = crackle_zarr.create_array(
        Losing(tmp_path / "a.zarr"), shape=(4, 2, 2), dtype="u4", chunks=(2, 2, 2)
    )
    array[...] = 7
    found, again = crackle_zarr.find(array, 7), crackle_zarr.find(array, 7)
    assert found.chunks == [(0, 0, 0), (1, 0, 0)]
    array.store.lost = "c/1/0/0"
    with pytest.raises(StoreError, match=r"c/1/0/0: it had the label 7 and no longer has it"):
        _ = found.slices
    array.store.lost = ""
    array[2:] = 8
    with pytest.raises(StoreError, match="the array was changed"):
        _ = again.slices
