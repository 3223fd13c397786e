"""Stores that fail during a remap or a conversion.

Nothing is lost, and the rest can be finished.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import zarr
from faults import READING, Faulty
from faults_cases import (  # noqa: F401
    CHANGES,
    CONVERSIONS,
    FEW,
    INJECTED,
    LAYOUTS,
    MAPPING,
    calls,
    converted,
    count,
    faulty,
    finished,
    half_remapped,
    lastings,
    leave_nothing_behind,
    objects_of,
    of_array,
    over,
    pairs,
    plain,
    print_faults,
    pyramid,
    pytestmark,
    remapped,
    says_where,
    some,
    stored,
    tried,
)
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import JournalError, StoreError
from crackle_zarr.stored.editing.journal import Journal


@pytest.mark.parametrize(("layout", "kind"), pairs(LAYOUTS, CHANGES, FEW))
def test_remap(layout: str, kind: str) -> None:
    """After any failure the array is the old one or the new one, or resume() and undo() make it so."""
    objects = objects_of(layout)
    old, new = of_array(MemoryStore(dict(objects))), remapped(layout)
    assert old != new
    store, faults = faulty(objects)

    def remap() -> None:
        cz.remap(zarr.open_array(store, path="a", mode="r+"), MAPPING, parallel=1)

    opening = calls(faults, kind, lambda: zarr.open_array(store, path="a", mode="r+"))
    number = calls(faults, kind, remap)
    done: set[str] = set()
    for lasting in lastings(kind):
        for n in some(number - opening, 10 if layout == "plain" else 4):
            store, faults = faulty(objects)
            faults.start(kind, opening + n, lasting)
            _, error = tried(remap)
            if error is None:
                assert of_array(store) == new, (n, faults.struck)
            else:
                assert kind != "slow", error
                assert says_where(error, faults), (n, error, faults.struck)
            count(kind, faults)
            faults.stop()
            left = dict(store._store._store_dict)
            for action in ("resume", "undo"):
                store, faults = faulty(left)
                there = of_array(store)
                did = finished(store, action)
                done.add(did)
                expected = {"resume": (new,), "undo": (old,), "nothing": (old, new)}[did]
                assert of_array(store) in expected, (n, action, did)
                if did == "nothing":
                    assert of_array(store) == there
                if of_array(store) == old:
                    remap()
                    assert of_array(store) == new
    if layout == "plain" and kind in ("error", "torn"):
        assert done == {"resume", "undo", "nothing"}


@pytest.mark.parametrize(("layout", "kind"), pairs(("plain", "shards"), CHANGES, FEW))
@pytest.mark.parametrize("action", ["resume", "undo"])
def test_resume_and_undo(layout: str, action: str, kind: str) -> None:
    """resume() and undo() fail themselves, with a torn chunk in the array, and are called again."""
    objects = objects_of(layout)
    old, new = of_array(MemoryStore(dict(objects))), remapped(layout)
    store, faults = faulty(objects)
    half_remapped(store, zarr.open_array(store, path="a", mode="r+"))
    half_done = dict(store._store._store_dict)
    assert of_array(store) not in (old, new)

    store, faults = faulty(half_done)
    number = calls(faults, kind, lambda: getattr(cz, action)(zarr.open_array(store, path="a", mode="r+")))
    opening = calls(faults, kind, lambda: zarr.open_array(store, path="a", mode="r+"))
    for lasting in lastings(kind):
        for n in some(number - opening, 6):
            store, faults = faulty(half_done)
            array = zarr.open_array(store, path="a", mode="r+")
            faults.start(kind, n, lasting)
            _, error = tried(getattr(cz, action), array, parallel=1)
            if error is not None:
                assert kind != "slow", error
                assert says_where(error, faults), (n, error, faults.struck)
            count(kind, faults)
            faults.stop()
            finished(store, action)
            assert of_array(store) == (new if action == "resume" else old), (n, lasting)


def test_a_write_that_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write still under way when another one fails ends before the undo of both."""
    objects = objects_of("plain")
    store, _ = faulty(objects)
    array = zarr.open_array(store, path="a", mode="r+")
    monkeypatch.setattr("crackle_zarr.stored.engine._TASKS_PER_WORKER", 1)  # all chunks in one batch
    written: list[str] = []
    under_way = threading.Semaphore(0)

    async def set_slowly(self: Faulty, key: str, value: Any) -> None:
        if key.startswith("a/c/"):
            written.append(key)
            if len(written) == 1:
                raise ConnectionResetError(104, "Connection reset by peer")
            await asyncio.sleep(0.05)
        await self._store.set(key, value)
        if key.startswith("a/c/"):
            under_way.release()

    monkeypatch.setattr(Faulty, "set", set_slowly)
    with pytest.raises(StoreError, match="a/c/"):
        cz.remap(array, MAPPING, parallel=1)
    monkeypatch.undo()
    cz.undo(array)
    assert len(written) > 1
    INJECTED["late"] = len(written)
    for _ in written[1:]:
        assert under_way.acquire(timeout=10)
    assert of_array(store) == of_array(MemoryStore(dict(objects)))


def test_two_remaps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remap that saw no journal, but finds one by the time it begins, takes nothing from it."""
    store, faults = faulty(objects_of("plain"))
    array = zarr.open_array(store, path="a", mode="r+")
    half_remapped(store, array)
    count("torn", faults)
    faults.stop()
    history = Journal.history
    monkeypatch.setattr(Journal, "history", lambda self, certain=False: None if certain else history(self))
    with pytest.raises(JournalError, match="unfinished remap"):
        cz.remap(array, {3: 4}, parallel=1)
    monkeypatch.undo()
    cz.resume(array)
    assert of_array(store) == remapped("plain")


# Zarr takes an inner chunk for missing if the store returns no bytes of it.
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pair
        for pair in pairs(CONVERSIONS, (*READING, "missing"), ("empty", "missing"))
        if pair != ("shards without Crackle", "empty")
    ],
)
def test_convert_from(name: str, kind: str) -> None:
    """A failing source never gives other voxels: finished chunks equal the source."""
    layout, options = CONVERSIONS[name]
    expected = converted(name)
    store, faults = faulty(objects_of(layout))
    source = zarr.open_array(store, path="a", mode="r")
    number = calls(faults, kind, lambda: cz.convert(source, MemoryStore(), parallel=1, **options))
    for lasting in lastings(kind):
        for n in some(number, 8 if name == "plain" else 4):
            place = MemoryStore()
            faults.start(kind, n, lasting)
            _, error = tried(cz.convert, source, place, parallel=1, **options)
            if error is not None:
                assert kind != "slow", error
                assert says_where(error, faults), (n, error, faults.struck)
            count(kind, faults)
            faults.stop()
            if error is not None:
                cz.convert(source, place, parallel=1, **options)
            assert stored(place) == expected, (n, error)


@pytest.mark.parametrize(("name", "kind"), pairs(CONVERSIONS, CHANGES, FEW))
def test_convert_to(name: str, kind: str) -> None:
    """After a failure of the destination the same call finishes it, and may itself fail, too."""
    layout, options = CONVERSIONS[name]
    expected = converted(name)
    source = zarr.open_array(MemoryStore(dict(objects_of(layout))), path="a", mode="r")
    place, faults = faulty({})
    number = calls(faults, kind, lambda: cz.convert(source, place, parallel=1, **options))
    for lasting in lastings(kind):
        for n in some(number, 10 if name in ("plain", "to format 2") else 4):
            place, faults = faulty({})
            for m in (n, n // 2):
                faults.start(kind, m, lasting)
                _, error = tried(cz.convert, source, place, parallel=1, **options, also=(FileExistsError,))
                if error is not None and not over(error, place):
                    assert kind != "slow", error
                    wrong = isinstance(error, FileExistsError) and kind == "missing"
                    assert says_where(error, faults) or wrong, (n, m, error, faults.struck)
                count(kind, faults)
                faults.stop()
            _, error = tried(cz.convert, source, place, parallel=1, **options, also=(FileExistsError,))
            assert error is None or over(error, place), (n, error)
            assert stored(place) == expected, (n, lasting)


@pytest.mark.filterwarnings("ignore:Object at:UserWarning")
@pytest.mark.parametrize("kind", ["error", "half", "empty", "missing", "cut listing"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_convert_a_group_from(zarr_format: int, kind: str) -> None:
    """No array and no attribute of a group is lost because a store did not list or find it."""
    expected = MemoryStore()
    cz.convert(zarr.open_group(MemoryStore(dict(pyramid(zarr_format))), mode="r"), expected, parallel=1)
    store, faults = faulty(pyramid(zarr_format))
    source = zarr.open_group(store, mode="r")
    number = calls(faults, kind, lambda: cz.convert(source, MemoryStore(), parallel=1))
    for n in some(number, 12):
        place = MemoryStore()
        faults.start(kind, n)
        _, error = tried(cz.convert, source, place, parallel=1)
        if error is not None:
            lie = kind in ("missing", "cut listing")
            assert says_where(error, faults) or lie, (n, error, faults.struck)
        count(kind, faults)
        faults.stop()
        if error is not None:
            cz.convert(source, place, parallel=1)
        assert stored(place) == stored(expected), n


@pytest.mark.parametrize("kind", ["error", "torn", "unacknowledged", "half", "empty"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_convert_a_group_to(zarr_format: int, kind: str) -> None:
    """Metadata of groups and arrays that were written in part, or not at all, are written again."""
    source = zarr.open_group(MemoryStore(dict(pyramid(zarr_format))), mode="r")
    place, faults = faulty({})
    number = calls(faults, kind, lambda: cz.convert(source, place, parallel=1))
    expected = stored(place)
    for n in some(number, 12):
        place, faults = faulty({})
        faults.start(kind, n)
        _, error = tried(cz.convert, source, place, parallel=1)
        assert error is None or says_where(error, faults), (n, error, faults.struck)
        count(kind, faults)
        faults.stop()
        if error is not None:
            _, error = tried(cz.convert, source, place, parallel=1, also=(FileExistsError,))
            assert error is None or over(error, place), (n, error)
        assert stored(place) == expected, n


@pytest.mark.parametrize("kind", ["error", "half"])
def test_groups(kind: str) -> None:
    """A query to a group reads metadata first, and names the array whose metadata it could not read."""
    store, faults = faulty(pyramid(3))
    group = zarr.open_group(store, mode="r")
    right = plain(cz.labels(group, parallel=1))
    for n in range(calls(faults, kind, lambda: cz.labels(group, parallel=1))):
        faults.start(kind, n)
        answer, error = tried(lambda: plain(cz.labels(group, parallel=1)))
        where = [key.removesuffix("/zarr.json") for _, key in faults.struck]
        assert answer == right or any(key in str(error) for key in where), error
        count(kind, faults)
        faults.stop()
        assert plain(cz.labels(group, parallel=1)) == right
