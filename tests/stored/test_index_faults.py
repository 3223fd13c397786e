"""Stores that fail while an index is built, updated, checked, asked, followed or removed."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

import pytest
import zarr
from faults import READING, WRITING
from faults_cases import (  # noqa: F401
    FEW,
    INJECTED,
    LABEL,
    MAPPING,
    NAMING_ERRORS,
    Objects,
    calls,
    count,
    faulty,
    lastings,
    leave_nothing_behind,
    objects_of,
    plain,
    print_faults,
    pytestmark,
    some,
    tried,
)
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import FormatError, StaleIndexError
from crackle_zarr.stored.index import lookup

# What a call may raise beside errors that name an object: what a lie about the manifest amounts to.
ERRORS = (*NAMING_ERRORS, StaleIndexError, FileNotFoundError, FileExistsError)


@cache
def indexed(layout: str, written: bool = False) -> Objects:
    """A store with an array and its index; a plain write may have left it behind."""
    objects = dict(objects_of(layout))
    array = opened(MemoryStore(objects))
    cz.create_index(array, parallel=1)
    if written:
        array[0, 0, :5] = 4321
    return objects


def opened(store: Any) -> zarr.Array[Any]:
    """The array in a store."""
    return zarr.open_array(store, path="a", mode="r+")


def answers(array: Any, **options: Any) -> Any:
    """Answers that an index gives."""
    where = cz.find(array, LABEL, parallel=1, **options)
    return plain(
        [cz.labels(array, parallel=1, **options), where.chunks, where.slices, cz.statistics(array, **options)]
    )


def check_truth(store: Any) -> None:
    """An index that says it is current answers as its array does."""
    lookup._footers.clear()
    array = opened(store)
    try:
        found = answers(array, index="require", unfinished="ignore")
    except (FileNotFoundError, StaleIndexError):
        return
    assert found == answers(array, index="ignore", unfinished="ignore")


CALLS: dict[str, Any] = {
    "create": lambda array: cz.create_index(array, overwrite=True, parallel=1),
    "update": lambda array: cz.update_index(array, parallel=1),
    "check": lambda array: cz.check_index(array, parallel=1),
    "remove": cz.remove_index,
    "open": lambda array: [plain(cz.open_index(array).labels()), cz.open_index(array).find(LABEL)],
    "query": lambda array: answers(array, index="require"),
    "remap": lambda array: cz.remap(array, MAPPING, parallel=1, index="require"),
}
KINDS = {"check": READING, "open": READING, "query": READING}


@pytest.mark.parametrize("layout", ["plain", "shards"])
@pytest.mark.parametrize("name", CALLS)
def test_any_request_fails(name: str, layout: str) -> None:
    """An answer is right or an error, no stale index is called current, and the same call works again."""
    work = CALLS[name]
    before = indexed(layout, name in ("update", "check"))
    right = None
    for kind in KINDS.get(name, (*WRITING, "missing")) if layout == "plain" else FEW:
        store, faults = faulty(before)
        array = opened(store)
        lookup._footers.clear()
        right = work(array) if right is None else right
        store, faults = faulty(before)
        array = opened(store)
        lookup._footers.clear()
        number = calls(faults, kind, lambda array=array: work(array))
        for lasting in lastings(kind):
            for n in some(number, 6 if layout == "plain" else 3):
                store, faults = faulty(before)
                array = opened(store)
                lookup._footers.clear()
                faults.start(kind, n, lasting)
                found, error = tried(work, array, also=ERRORS)
                # A chunk that the store sends in part, or denies, counts as changed.
                more = name == "check" and {one for one, _ in found or ()} >= {one for one, _ in right}
                assert error is not None or name not in KINDS or found == right or more, (kind, n)
                assert error is None or kind != "slow", error
                count(kind, faults)
                faults.stop()
                check_after(store, name, before)
                again(store, name, work, right, (kind, n, lasting))


def check_after(store: Any, name: str, before: Objects) -> None:
    """A call that failed leaves no index that is called current and is not."""
    if name in ("update", "check"):  # a plain write had left it behind, which no query can know
        manifest = "a/.crackle-index/index.json"
        now = store._store._store_dict.get(manifest)
        if now is not None and now.to_bytes() == before[manifest].to_bytes():
            return
    check_truth(store)


def again(store: Any, name: str, work: Any, right: Any, fault: Any) -> None:
    """The same call succeeds, or what it does is done already."""
    array = opened(store)
    lookup._footers.clear()
    if name == "remap":
        finish(array)
        work = CALLS["update"]
    found, error = tried(work, array, also=ERRORS)
    if isinstance(error, FileNotFoundError):  # it was removed
        assert name == "remove"
    elif error is not None:  # the manifest is half written
        assert isinstance(error, FormatError), error
        assert name in ("update", "remap")
        cz.create_index(array, overwrite=True)
    else:
        assert name not in KINDS or found == right
    if name in ("create", "update", "remap"):
        assert cz.check_index(array) == []
        assert answers(array, index="require") == answers(array, index="ignore"), fault
    if name == "remove":
        assert not [key for key in store._store._store_dict if key.endswith("index.json")]


def finish(array: Any) -> None:
    """Finish a remap that failed, or take it back; or there is none."""
    for action in (cz.resume, cz.undo):
        try:
            action(array, parallel=1)
        except cz.JournalError as error:
            if "no unfinished remap" in str(error):
                return


def test_undo_with_faults() -> None:
    """An undo whose requests fail leaves no index of the new labels in force."""
    for kind in ("error", "torn", "unacknowledged"):
        store, faults = faulty(indexed("plain"))
        array = opened(store)
        number = calls(faults, kind, lambda array=array: cz.remap(array, MAPPING, parallel=1))
        for n in some(number, 6):
            store, faults = faulty(indexed("plain"))
            array = opened(store)
            faults.start(kind, n, lasting=True)
            with contextlib.suppress(*ERRORS):
                cz.remap(array, MAPPING, parallel=1)
            faults.stop()
            left = dict(store._store._store_dict)
            faults.start(kind, 10**9)
            try:
                cz.undo(array, parallel=1)
            except cz.JournalError:
                continue
            steps = faults.calls
            faults.stop()
            check_truth(store)
            for m in some(steps, 4):
                store, faults = faulty(left)
                array = opened(store)
                faults.start(kind, m, lasting=True)
                with contextlib.suppress(*ERRORS):
                    cz.undo(array, parallel=1)
                count(kind, faults)
                faults.stop()
                finish(array)
                check_truth(store)
