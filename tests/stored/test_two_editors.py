"""Two calls that edit one array at the same time, at every moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import two_editors
import zarr
from two_editors import MAPPING, OTHER, VOXELS, Editor, half_done, made, mapped, opened
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import FormatError, JournalError, StoreError, TakenOverError
from crackle_zarr.stored.editing import owner as owners
from crackle_zarr.stored.editing.hold import Hold
from crackle_zarr.stored.editing.journal import Journal
from crackle_zarr.stored.editing.owner import Owner, Signs, new_owner
from crackle_zarr.stored.layout import layout_of

FULL = os.environ.get("CRACKLE_TRUST") == "full"
NEW = mapped(VOXELS, MAPPING)

Edit = Callable[[zarr.Array], Any]
FIRST: dict[str, Edit] = {
    "remap": lambda array: cz.remap(array, MAPPING, parallel=1),
    "resume": lambda array: cz.resume(array, parallel=1),
    "undo": lambda array: cz.undo(array, parallel=1),
}
SECOND: dict[str, Edit] = {
    "remap": lambda array: cz.remap(array, OTHER, parallel=1),
    "resume": lambda array: cz.resume(array, parallel=1),
    "undo": lambda array: cz.undo(array, parallel=1),
    "resume by force": lambda array: cz.resume(array, parallel=1, force=True),
    "undo by force": lambda array: cz.undo(array, parallel=1, force=True),
}
PAIRS = [(first, second) for first in FIRST for second in SECOND]


def has_journal(objects: dict[str, Any]) -> bool:
    return ".crackle-remap/plan" in objects


def check(
    first: str,
    second: str,
    objects: dict[str, Any],
    mine: Exception | None,
    theirs: Exception | None,
    did: Any,
) -> None:
    """The array is whole or has a journal, and each call says what happened."""
    voxels = opened(objects)[...]
    whole = {
        "old": VOXELS,
        "new": NEW,
        "old, other": mapped(VOXELS, OTHER),
        "new, other": mapped(NEW, OTHER),
    }
    state = [name for name, expected in whole.items() if np.array_equal(voxels, expected)]
    assert state or has_journal(objects)
    if mine is None:
        assert not has_journal(objects)
        assert state[0].startswith("old" if first == "undo" else "new")
    if theirs is not None:
        return
    if second == "remap":
        assert state[0].endswith("other")
    elif did.chunks:
        assert state == ["old" if second.startswith("undo") else "new"]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_no_order_mixes_the_array(first: str, second: str) -> None:
    """Of two edits, interleaved at each call of the store, each says how it ended, and none mixes."""
    start = made() if first == "remap" else half_done()
    offset = PAIRS.index((first, second))
    taken = 0
    for n in range(1000):
        if not FULL and (n + offset) % 3:
            continue
        objects = dict(start)
        editor = Editor(objects, n, FIRST[first])
        if editor.done.is_set():
            editor.finish()
            assert editor.error is None
            break
        did, error = None, None
        try:
            did = SECOND[second](opened(objects))
        except JournalError as refused:
            error = refused
        editor.finish()
        assert isinstance(editor.error, JournalError | StoreError | None)
        check(first, second, objects, editor.error, error, did)
        taken += isinstance(editor.error, TakenOverError)
    assert n > 20
    if second.endswith("force") and (first, second) != ("undo", "resume by force"):
        assert taken > 2


# ---------------------------------------------------------------------------------------
# Conversions to a place that is edited, and edits of a place that is converted to

OVER = np.ones((8, 8, 8), np.uint8)


def over(array: zarr.Array) -> Any:
    """Replace the array by another one."""
    source = zarr.create_array(MemoryStore(), data=OVER, chunks=(4, 4, 4))
    return cz.convert(source, array.store_path.store, overwrite=True, to="none", parallel=1)


def second_of(name: str, objects: dict[str, Any]) -> Any:
    if name == "convert":
        return over(opened(objects))
    return SECOND[name](opened(objects))


@pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        *((first, "convert") for first in FIRST),
        *(("convert", second) for second in ("remap", "resume", "undo by force", "convert")),
    ],
)
def test_conversions_and_edits(first: str, second: str) -> None:
    """A conversion and an edit of one place never mix, and a success is one."""
    start = half_done() if first in ("resume", "undo") else made()
    for n in range(1000):
        if not FULL and n % 3:
            continue
        objects = dict(start)
        editor = Editor(objects, n, over if first == "convert" else FIRST[first])
        stopped = editor.store.where
        theirs: Exception | None = None
        try:
            second_of(second, objects)
        except (JournalError, FileExistsError, StoreError, FileNotFoundError, ValueError) as refused:
            theirs = refused
        editor.finish()
        if stopped is None:
            assert editor.error is None
            break
        unfinished = has_journal(objects) or ".crackle-convert" in objects
        try:
            voxels = opened(objects)[...]
        except (FileNotFoundError, ValueError):
            assert unfinished
            continue
        wholes = [OVER, VOXELS, NEW, mapped(VOXELS, OTHER), mapped(NEW, OTHER), mapped(OVER, OTHER)]
        whole = [voxels.dtype == one.dtype and np.array_equal(voxels, one) for one in wholes]
        assert any(whole) or unfinished, (n, stopped, theirs, editor.error)
        if editor.error is None and theirs is not None:
            assert not unfinished
            assert whole[0] if first == "convert" else any(whole[1:3])
    assert n > 20


# ---------------------------------------------------------------------------------------
# Owners


def begun(objects: dict[str, Any], owner: Owner, **sign: Any) -> Journal:
    """The journal of a remap that another owner prepares."""
    journal = Journal(layout_of(opened(objects)))
    plan = {"keys": [1], "values": [2], "preserve": True, "create_chunks": False}
    hold = Hold(journal, journal.begin({"id": owner.id, **plan}, owner), owner)
    if sign:
        Signs(journal.store, journal.key(f"{hold.id}/signs/{owner.id}")).give(**sign)
    return journal


def elsewhere(age: float = 0.0) -> Owner:
    return replace(new_owner(), host="far", machine="far", pid=4711, since=time.time() - age)


@pytest.mark.parametrize("call", ["remap", "resume", "undo", "dry run"])
def test_who_edits_the_array(call: str) -> None:
    """A call that finds the array being edited says by whom, since when and with which sign of life."""
    objects = made()
    begun(objects, elsewhere(10))
    array = opened(objects)
    calls = {**SECOND, "dry run": lambda array: cz.remap(array, OTHER, dry_run=True)}
    with pytest.raises(
        JournalError, match=r"is being remapped since \d\d:\d\d by process 4711 on far, last sign \d+ s ago"
    ):
        calls[call](array)
    assert has_journal(objects)
    assert np.array_equal(array[...], VOXELS)


@pytest.mark.parametrize("action", ["resume", "undo"])
def test_force_does_what_the_message_says(action: str) -> None:
    """force=True takes the edit from an owner that lives, as the message about it says."""
    objects = made()
    begun(objects, elsewhere())
    with pytest.raises(JournalError) as error:
        getattr(cz, action)(opened(objects))
    assert f"{action}(force=True)" in str(error.value)
    getattr(cz, action)(opened(objects), force=True)
    expected = mapped(VOXELS, {1: 2}) if action == "resume" else VOXELS
    assert np.array_equal(opened(objects)[...], expected)
    assert not has_journal(objects)


def test_a_dead_process_of_this_machine() -> None:
    """A process of this machine that has ended is known as dead at once, whatever has its number now."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = new_owner()
    owner_of_past = replace(here, id="1", pid=ended.pid)
    same_number = replace(here, id="2", pid=os.getppid(), start=None if here.start is None else 1)
    for owner in [owner_of_past, *([same_number] if here.start is not None else [])]:
        objects = made()
        begun(objects, owner)
        with pytest.raises(JournalError, match=r"unfinished remap \(since .* which has ended\): resume\(\)"):
            cz.remap(opened(objects), OTHER)
        cz.resume(opened(objects))
        assert np.array_equal(opened(objects)[...], mapped(VOXELS, {1: 2}))


def test_a_call_that_stopped_in_a_process_that_lives() -> None:
    """What a failed call has left can be finished at once: its last sign says that it stopped."""
    objects = half_done()
    (sign,) = [key for key in objects if "/signs/" in key]
    assert cz.undo(opened(dict(objects))).chunks
    objects = made()
    begun(objects, elsewhere(), stopped=True)
    assert ".crackle-remap/" in sign
    cz.undo(opened(objects))
    assert not has_journal(objects)


def test_silence_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner elsewhere is dead after a minute without a sign, unless one comes while it is watched."""
    monkeypatch.setattr(owners, "INTERVAL", 0.01)
    objects = made()
    owner = elsewhere(100)
    journal = begun(objects, owner)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 1:
            Signs(journal.store, journal.key(f"{owner.id}/signs/{owner.id}")).give()

    monkeypatch.setattr(owners.time, "sleep", sleep)
    with pytest.raises(JournalError, match="last sign 0 s ago"):
        cz.undo(opened(objects))
    monkeypatch.setattr(owners, "SILENCE", 0.0)
    cz.undo(opened(objects))
    assert len(waited) == 2
    assert not has_journal(objects)


def test_signs_of_life_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a remap works, a thread renews its sign of life; nothing of it remains."""
    monkeypatch.setattr(owners, "INTERVAL", 0.01)
    objects = made()
    seen = set()
    deadline = time.monotonic() + 60

    def wait(done: int, total: int) -> None:
        while len(seen) < 3 and time.monotonic() < deadline:
            seen.update(value.to_bytes() for key, value in list(objects.items()) if "/signs/" in key)
            time.sleep(0.005)

    cz.remap(opened(objects), MAPPING, parallel=1, progress=wait)
    assert len(seen) >= 3
    assert not [key for key in objects if "crackle" in key]


# ---------------------------------------------------------------------------------------
# What others write


BOX = np.s_[0:4, 0:4, 0:4], np.s_[4:8, 4:8, 4:8]  # one chunk that was replaced, one that was not


def written_by_others(objects: dict[str, Any]) -> np.ndarray:
    """Write one voxel into each of two chunks, with plain Zarr; returns where."""
    array = opened(objects)
    where = np.zeros(VOXELS.shape, bool)
    for place in ((0, 0, 0), (7, 7, 7)):
        array[place] = 42
        where[place] = True
    return where


@pytest.mark.parametrize("shards", [None, (4, 8, 8)])
@pytest.mark.parametrize("action", ["resume", "undo"])
def test_what_others_wrote_is_not_lost(action: str, shards: Any) -> None:
    """Chunks written since are left and listed; theirs=True keeps them, ours=True replaces them."""
    options = {} if shards is None else {"shards": shards}
    start = half_done(**options) if shards is None else half_sharded(options)
    where = written_by_others(start)
    touched = np.zeros(VOXELS.shape, bool)
    for z in (0, 4):
        touched[z : z + 4] = shards is not None
    touched[0:4, 0:4, 0:4] = touched[4:8, 4:8, 4:8] = True
    before = opened(start)[...]
    wanted = NEW if action == "resume" else VOXELS
    call = getattr(cz, action)
    with pytest.raises(JournalError, match=rf"written by somebody else .* {action}\(theirs=True\)") as error:
        call(opened(start), parallel=1)
    keys = {"c/0/0/0", "c/1/1/1"} if shards is None else {"c/0/0/0", "c/1/0/0"}
    assert set(error.value.chunks) == keys
    assert all(key in str(error.value) for key in keys)
    assert has_journal(start)
    left = opened(start)[...]
    assert np.array_equal(left[touched], before[touched])
    assert np.array_equal(left[~touched], wanted[~touched])

    kept = dict(start)
    call(opened(kept), theirs=True)
    assert np.array_equal(opened(kept)[...], left)
    call(opened(start), ours=True)
    assert np.array_equal(opened(start)[...], wanted)
    assert where.sum() == 2
    for objects in (kept, start):
        assert not [key for key in objects if "crackle" in key]
    with pytest.raises(ValueError, match="exclude each other"):
        call(opened(start), theirs=True, ours=True)


def half_sharded(options: dict[str, Any]) -> dict[str, Any]:
    two_editors.Breaking.left = 1
    try:
        return half_done(**options)
    finally:
        two_editors.Breaking.left = 2


def test_a_deleted_chunk_is_one_that_others_wrote() -> None:
    """A chunk that was deleted after the remap stopped stays deleted."""
    objects = half_done()
    del objects["c/1/1/1"]
    with pytest.raises(JournalError, match="c/1/1/1"):
        cz.resume(opened(objects))
    cz.resume(opened(objects), theirs=True)
    assert "c/1/1/1" not in objects


@pytest.mark.parametrize("shards", [None, (4, 8, 8)])
def test_what_others_write_during_a_remap(shards: Any) -> None:
    """A chunk written while a remap prepares is mapped anew; only a write in the last moment can be lost."""
    options = {} if shards is None else {"shards": shards}
    objects = made(**options)
    mapped_anew = late = lost = 0
    for n in range(1000):
        objects = made(**options)
        editor = Editor(objects, n, FIRST["remap"])
        stopped_at = editor.store.where
        opened(objects)[1, 1, 1] = 3
        editor.finish()
        if editor.done.is_set() and stopped_at is None:
            break
        voxels = opened(objects)[...]
        if editor.error is not None:  # it was written while it was read in parts
            assert isinstance(editor.error, FormatError)
            assert np.array_equal(voxels[2:], VOXELS[2:])
            assert not has_journal(objects)
            continue
        value, voxels[1, 1, 1] = int(voxels[1, 1, 1]), NEW[1, 1, 1]
        assert np.array_equal(voxels, NEW)
        if value == NEW[1, 1, 1]:  # between the last look and the write
            assert stopped_at is not None
            assert stopped_at[1].startswith("c/")
            lost += 1
        else:
            assert value in (MAPPING[3], 3)
        mapped_anew += value == MAPPING[3]
        late += value == 3
        assert not [key for key in objects if "crackle" in key]
    assert mapped_anew > 5
    assert late > 5
    assert lost <= 8  # one batch


# ---------------------------------------------------------------------------------------
# Journals of format 1


def in_format_1(objects: dict[str, Any], *markers: str) -> dict[str, Any]:
    """The same journal as the first version wrote it."""
    from crackle_zarr._base.zarr_facts import buffer_of
    from crackle_zarr.stored.editing.entries import packed, unpacked

    plan = unpacked(objects[".crackle-remap/plan"].to_bytes(), "plan")[0]
    id = plan["id"]
    made: dict[str, Any] = {}
    for key, value in objects.items():
        if key.startswith(f".crackle-remap/{id}/0/"):
            made[key.replace(f"{id}/0/", "")] = value
        elif ".crackle" not in key:
            made[key] = value
    del plan["owner"]
    made[".crackle-remap/plan"] = buffer_of(packed({**plan, "format": 1}))
    return made | {f".crackle-remap/{name}": buffer_of(name.encode()) for name in markers}


@pytest.mark.parametrize(
    ("markers", "action", "expected"),
    [
        (("applying",), "resume", NEW),
        (("applying",), "undo", VOXELS),
        (("applying", "undoing"), "undo", VOXELS),
        (("applying", "undoing"), "resume", None),
    ],
)
def test_a_journal_of_the_first_version(markers: tuple[str, ...], action: str, expected: Any) -> None:
    """resume() and undo() finish what a version without owners has left."""
    objects = in_format_1(half_done(), *markers)
    if expected is None:
        with pytest.raises(JournalError, match=r"an undo of .* was interrupted: call undo\(\) again"):
            getattr(cz, action)(opened(objects))
        expected, action = VOXELS, "undo"
    with pytest.raises(JournalError, match="has an unfinished remap: resume"):
        cz.remap(opened(objects), OTHER)
    assert getattr(cz, action)(opened(objects)).chunks
    assert np.array_equal(opened(objects)[...], expected)
    assert not [key for key in objects if "crackle" in key]


def test_a_journal_of_the_first_version_that_was_being_prepared() -> None:
    """resume() prepares it anew; and one that was finished but for its journal is only removed."""
    objects = made()
    objects.update({key: value for key, value in in_format_1(half_done()).items() if ".crackle" in key})
    done = {**objects, ".crackle-remap/finished": objects[".crackle-remap/plan"]}
    cz.resume(opened(objects))
    assert np.array_equal(opened(objects)[...], NEW)
    assert cz.resume(opened(done)).chunks == []
    assert np.array_equal(opened(done)[...], VOXELS)
    for left in (objects, done):
        assert not [key for key in left if "crackle" in key]


def test_a_journal_of_a_later_version() -> None:
    """A journal of an unknown format is refused, and nothing is lost."""
    from crackle_zarr._base.zarr_facts import buffer_of
    from crackle_zarr.stored.editing.entries import packed

    objects = made()
    objects[".crackle-remap/plan"] = buffer_of(packed({"format": 3, "id": "1"}))
    for call in SECOND.values():
        with pytest.raises(JournalError, match="of a later version of this package"):
            call(opened(objects))
    assert has_journal(objects)


# ---------------------------------------------------------------------------------------
# What an edit costs


def test_the_requests_of_an_edit() -> None:
    """A remap of six chunks takes less than a hundred requests, all of the journal included."""
    objects = made()
    editor = Editor(objects, -1, FIRST["remap"])
    editor.finish()
    assert editor.error is None
    assert editor.store.calls < 100


def test_a_level_and_its_group() -> None:
    """A level is not remapped while its group is, nor the group while one of its levels is."""
    store = MemoryStore()
    labels = cz.create_ome_labels(store, None, VOXELS.shape, VOXELS.dtype, chunks=(4, 4, 4), levels=2)
    labels.levels[0][...] = VOXELS
    cz.build_pyramid(labels.group)
    group, level = zarr.open_group(store, mode="r+"), labels.levels[0]
    for place, other in [(group, level), (level, group)]:
        from crackle_zarr.verbs.edits import journaled

        owner = elsewhere()
        journal = Journal(journaled(place))
        journal.begin(
            {"id": owner.id, "keys": [1], "values": [2], "preserve": True, "create_chunks": False}, owner
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cz.CrackleWarning)  # the other levels keep their labels
            with pytest.raises(JournalError, match="is being remapped"):
                cz.remap(other, OTHER)
        cz.undo(place, force=True)
    assert np.array_equal(level[...], VOXELS)
