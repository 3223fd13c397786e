"""Two calls that write to one place at the same time: conversions, OME-Zarr labels, levels, volumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import Ran, environment, one_line, run  # noqa: F401 - a fixture
from two_editors import MAPPING, VOXELS, Objects, Stopping, half_done, made, mapped
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr as cz
from crackle_zarr._base.zarr_facts import buffer_of
from crackle_zarr.errors import JournalError, StoreError, TakenOverError
from crackle_zarr.ome.pooling import pool
from crackle_zarr.stored import warn
from crackle_zarr.stored.claims import OWNER, SIGN, Claim, claimed
from crackle_zarr.stored.editing import owner as owners
from crackle_zarr.stored.editing.entries import packed, unpacked
from crackle_zarr.stored.editing.journal import Journal
from crackle_zarr.stored.editing.owner import Owner, Signs, new_owner, owner_in
from crackle_zarr.stored.layout import layout_of
from crackle_zarr.stored.unfinished import begin

OTHER = VOXELS[::-1] + np.uint32(100)
REFUSED = (FileExistsError, JournalError)
BUSY = r"since \d\d:\d\d by process \d+ on .*, last sign \d+ s ago: wait until it is done\. If that process"


# ---------------------------------------------------------------------------------------
# The calls


def source_of(voxels: np.ndarray) -> zarr.Array:
    return cz.create_array({}, data=voxels, chunks=(4, 4, 4))


ARRAYS = {"first": source_of(VOXELS), "second": source_of(OTHER)}


def convert(store: Any, which: str, **options: Any) -> None:
    cz.convert(ARRAYS[which], store, to="zstd", parallel=1, **options)


def write_labels(store: Any, which: str, **options: Any) -> None:
    sizes: dict[str, Any] = {"voxel_size": (2, 1, 1) if which == "first" else (4, 1, 1)}
    voxels = ARRAYS[which][...]
    sizes |= {"chunks": (4, 4, 4), "factors": (2, 2, 2), "levels": 2}
    cz.write_ome_labels(store, None, voxels, "zyx", parallel=1, **sizes, **options)


def write_volume(store: Any, which: str, **options: Any) -> None:
    cz.write_precomputed(ARRAYS[which], store, encoding="raw", chunks=(4, 4, 4), parallel=1, **options)


def build(store: Any, which: str, **options: Any) -> None:
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    number = 2 if which == "first" else 3
    cz.build_pyramid(group, (2, 2, 2), levels=number, parallel=1, **options)


def labels_alone() -> Objects:
    objects: Objects = {}
    image = cz.create_ome_labels(MemoryStore(objects), None, VOXELS.shape, VOXELS.dtype, chunks=(4, 4, 4))
    image.levels[0][...] = VOXELS
    return objects


def array_in(objects: Objects) -> list[np.ndarray]:
    return [zarr.open_array(MemoryStore(objects), mode="r")[...]]


def levels_in(objects: Objects) -> list[np.ndarray]:
    return [level[...] for level in cz.ome.open_multiscale(MemoryStore(objects)).levels]


def volume_in(objects: Objects) -> list[np.ndarray]:
    return [cz.open_precomputed(MemoryStore(objects))[...]]


def pooled(voxels: np.ndarray, levels: int) -> list[np.ndarray]:
    found = [voxels]
    while len(found) < levels:
        found.append(pool(found[-1], (2, 2, 2)))
    return found


@dataclass(frozen=True)
class Writer:
    """A call that writes to a place.

    Attributes:
        work: the call, given a store and which of two works to do.
        start: what is there before.
        read: what is there afterwards.
        results: of the two works.
        doing: what messages say.
    """

    work: Callable[..., None]
    start: Callable[[], Objects]
    read: Callable[[Objects], list[np.ndarray]]
    results: dict[str, list[np.ndarray]]
    doing: str


BOTH = {"first": [VOXELS], "second": [OTHER]}
WRITERS = {
    "convert": Writer(convert, dict, array_in, BOTH, "is being converted to"),
    "labels": Writer(
        write_labels,
        dict,
        levels_in,
        {"first": pooled(VOXELS, 2), "second": pooled(OTHER, 2)},
        "is being written",
    ),
    "levels": Writer(
        build,
        labels_alone,
        levels_in,
        {"first": pooled(VOXELS, 2), "second": pooled(VOXELS, 3)},
        "is getting its lower levels",
    ),
    "volume": Writer(write_volume, dict, volume_in, BOTH, "is being converted to"),
}


RUNNING: list[Running] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """No call is left waiting when a test has failed."""
    yield
    while RUNNING:
        RUNNING.pop().finish()


class Running:
    """A call in a thread of its own, which stops at the n-th call of its store."""

    def __init__(self, objects: Objects, at: int, work: Callable[[Any], None]) -> None:
        self.store = Stopping(MemoryStore(objects))
        self.store.at = at
        self.error: Exception | None = None

        def call() -> None:
            try:
                work(self.store)
            except Exception as error:
                self.error = error
            self.store.stopped.set()

        self.thread = threading.Thread(target=call)
        RUNNING.append(self)
        self.thread.start()
        self.store.stopped.wait()

    @property
    def where(self) -> tuple[str, str] | None:
        """The call at which it has stopped; None if it has ended."""
        return self.store.where

    def finish(self) -> Exception | None:
        self.store.go_on.set()
        self.thread.join()
        return self.error


def is_(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def of_us(objects: Objects) -> list[str]:
    return [key for key in objects if "crackle" in key]


def tried(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except (*REFUSED, StoreError, ValueError) as error:
        return error
    return None


# ---------------------------------------------------------------------------------------
# Two at once


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("kind", WRITERS)
def test_two_at_once(kind: str, which: str) -> None:
    """While one call writes, another is told so and writes nothing; whoever succeeds has written all."""
    writer = WRITERS[kind]
    refused = 0
    for n in range(["first", "second"].index(which), 1000, 7):
        objects = writer.start()
        first = Running(objects, n, lambda store: writer.work(store, "first"))
        if first.where is None:
            break
        claims, before = OWNER in objects, dict(objects)
        theirs = tried(lambda: writer.work(MemoryStore(objects), which, overwrite=True))  # noqa: B023
        if claims:
            assert isinstance(theirs, REFUSED), (n, first.where)
            assert writer.doing in str(theirs)
            assert objects == before
            refused += 1
        mine = first.finish()
        assert mine is None or (isinstance(mine, (*REFUSED, StoreError, ValueError)) and not claims), (
            n,
            mine,
        )
        assert mine is None or theirs is None
        wholes = writer.results["first"], writer.results[which]
        found = writer.read(objects)
        assert any(is_(found, one) for one in wholes), (n, first.where)
        if isinstance(mine, StoreError) and "try again" in str(mine):
            with pytest.raises(FileExistsError, match="exists already: overwrite=True replaces it"):
                writer.work(MemoryStore(objects), "first")
        if mine is not None or theirs is not None:  # one alone has written
            assert is_(found, wholes[theirs is None]), n
        assert not of_us(objects), (n, first.where)
    assert n > 50
    assert refused > 3


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("kind", WRITERS)
def test_taken_over(kind: str, which: str) -> None:
    """A call that seemed dead, and lives, stops; what its message advises makes the place right."""
    writer = WRITERS[kind]
    taken = 0
    for n in range(3, 1000, 9):
        objects = writer.start()
        first = Running(objects, n, lambda store: writer.work(store, "first"))
        if first.where is None:
            break
        owners._AT_WORK.clear()
        again = tried(lambda: writer.work(MemoryStore(objects), which))  # noqa: B023
        if again is not None:  # the other work is not continued
            assert "overwrite=True starts anew" in str(again) or "overwrite=True replaces" in str(again)
            assert tried(lambda: writer.work(MemoryStore(objects), which, overwrite=True)) is None  # noqa: B023
        mine = first.finish()
        if isinstance(mine, TakenOverError):
            taken += 1
            assert "This call has stopped" in str(mine)
            anew = {} if kind == "levels" else {"overwrite": True}
            assert ("once more with overwrite=True" in str(mine)) == bool(anew)
            writer.work(MemoryStore(objects), which, **anew)
            assert is_(writer.read(objects), writer.results[which]), (n, first.where)
        elif mine is None:
            assert any(is_(writer.read(objects), one) for one in writer.results.values())
        assert not of_us(objects), (n, first.where, mine)
    assert taken > 2


@pytest.mark.parametrize("kind", WRITERS)
def test_a_dead_owner(kind: str) -> None:
    """The work of a process that has ended is continued by the same call, and by that alone."""
    writer = WRITERS[kind]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for stop in (0.3, 0.6, 0.9):
        objects = stopped_at(writer, stop)
        owner = replace(new_owner(), pid=ended.pid)
        left = unpacked(objects[OWNER].to_bytes(), OWNER)[0]
        objects[OWNER] = buffer_of(packed({**left, "owner": owner.json()}))
        del objects[SIGN]
        if kind != "levels":
            with pytest.raises(FileExistsError, match=r"overwrite=True starts anew"):
                writer.work(MemoryStore(objects), "second")
        writer.work(MemoryStore(objects), "first")
        assert is_(writer.read(objects), writer.results["first"])
        assert not of_us(objects)


class StoppedError(Exception):
    """Ends a call."""


def stopped_at(writer: Writer, part: float) -> Objects:
    """What a call has left that raised when it had done a part of its chunks."""
    objects = writer.start()

    def stop(done: int, total: int) -> None:
        if done >= part * total:
            raise StoppedError

    with pytest.raises(StoppedError):
        writer.work(MemoryStore(objects), "first", progress=stop)
    return objects


@pytest.mark.parametrize("kind", WRITERS)
def test_a_call_that_failed(kind: str) -> None:
    """A call that failed in a process that lives is continued at once: its last sign says that it stopped."""
    writer = WRITERS[kind]
    objects = stopped_at(writer, 0.5)
    left = unpacked(objects[OWNER].to_bytes(), OWNER)[0]
    owner = replace(owner_in(left["owner"]) or new_owner(), machine="far")  # seen from another machine
    objects[OWNER] = buffer_of(packed({**left, "owner": owner.json()}))
    writer.work(MemoryStore(objects), "first")
    assert is_(writer.read(objects), writer.results["first"])
    assert not of_us(objects)


def test_refused_arguments_lose_nothing() -> None:
    """Labels that are to be replaced are still there when the arguments do not fit each other."""
    objects: Objects = {}
    write_labels(MemoryStore(objects), "first")
    before = dict(objects)
    for options in ({"chunks": (4, 4, 4), "shards": (6, 6, 6)}, {"voxel_size": (1, 2)}, {"preset": "tiny"}):
        with pytest.raises(ValueError, match=r"."):
            cz.write_ome_labels(MemoryStore(objects), None, OTHER, overwrite=True, **options)
        assert objects == before


# ---------------------------------------------------------------------------------------
# Signs of life


def elsewhere(age: float = 0.0) -> Owner:
    return replace(new_owner(), host="far", machine="far", pid=4711, since=time.time() - age)


def claim_of(owner: Owner, objects: Objects, path: str = "", work: Any = "conversion") -> Signs:
    """A claim of another owner on a place."""
    store = MemoryStore(objects)
    claim = Claim(owner, path, work)
    claim.take(store, path)
    return Signs(store, claim.sign)


def test_silence_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner elsewhere is dead after a minute without a sign, unless one comes while it is watched."""
    objects: Objects = {}
    signs = claim_of(elsewhere(100), objects)
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 1:
            signs.give()

    monkeypatch.setattr(owners.time, "sleep", sleep)
    with pytest.raises(FileExistsError, match="by process 4711 on far, last sign 0 s ago"):
        convert(MemoryStore(objects), "first")
    monkeypatch.setattr(owners, "SILENCE", 0.0)
    convert(MemoryStore(objects), "first")
    assert len(sleeps) == 2
    assert is_(array_in(objects), [VOXELS])
    assert not of_us(objects)


@pytest.mark.parametrize("kind", WRITERS)
def test_signs_are_renewed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a call writes, a thread renews its sign of life, also if the call first watched another."""
    monkeypatch.setattr(owners, "INTERVAL", 0.01)
    monkeypatch.setattr(owners, "SILENCE", 0.0)
    writer = WRITERS[kind]
    objects = writer.start()
    claim_of(elsewhere(100), objects)  # it is watched for longer than between two signs
    seen: set[bytes] = set()
    deadline = time.monotonic() + 60

    def wait(done: int, total: int) -> None:
        while len(seen) < 3 and time.monotonic() < deadline:
            seen.update(value.to_bytes() for key, value in list(objects.items()) if key == SIGN)
            time.sleep(0.005)

    writer.work(MemoryStore(objects), "first", progress=wait)
    assert len(seen) >= 3
    assert not of_us(objects)


# ---------------------------------------------------------------------------------------
# Places in each other, and edits


@pytest.mark.parametrize("path", ["", "labels", "labels/cells", "labels/cells/s0"])
def test_places_within_one_another(path: str) -> None:
    """Who writes to a group or in one keeps others from both, and no one from what is beside it."""
    objects: Objects = {}
    store = MemoryStore(objects)
    cz.write_ome_labels(store, "cells", VOXELS, chunks=(4, 4, 4), levels=2, factors=(2, 2, 2))
    claim_of(elsewhere(), objects, path)
    before = dict(objects)
    cells = zarr.open_group(store, path="labels/cells", mode="r+")
    calls: dict[str, Callable[[], Any]] = {
        "labels": lambda: cz.write_ome_labels(store, "cells", OTHER, overwrite=True),
        "create": lambda: cz.create_ome_labels(store, "cells", (8, 8, 8), "u4", overwrite=True),
        "levels": lambda: cz.build_pyramid(cells),
        "remap": lambda: cz.remap(cells, MAPPING),
        "convert": lambda: cz.convert(ARRAYS["first"], cells["s0"].store_path, overwrite=True),
    }
    for name, call in calls.items():
        with pytest.raises(REFUSED, match=BUSY):
            call()
        assert objects == before, name
    if path.startswith("labels/"):
        cz.write_ome_labels(store, "nuclei", VOXELS, chunks=(4, 4, 4), levels=1)
        assert cz.ome.label_images(store) == ["cells", "nuclei"]


@pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")
def test_levels_and_edits() -> None:
    """Labels are not remapped while their levels are built or unfinished, nor levels built during a remap."""
    writer = WRITERS["levels"]
    new = mapped(VOXELS, MAPPING)
    refused = 0
    for n in range(2, 1000, 5):
        objects = writer.start()
        first = Running(objects, n, lambda store: build(store, "first"))
        if first.where is None or (OWNER not in objects and "s1/zarr.json" in objects):
            break  # the levels are built
        array = zarr.open_array(MemoryStore(objects), path="s0", mode="r+")
        theirs = tried(lambda: cz.remap(array, MAPPING, parallel=1))  # noqa: B023
        mine = first.finish()
        refused += theirs is not None
        assert mine is None or theirs is None
        voxels = VOXELS if theirs is not None else new
        if mine is None:
            assert is_(levels_in(objects), pooled(voxels, 2)), (n, first.where)
    assert refused > 3

    objects = stopped_at(writer, 0.5)
    group = zarr.open_group(MemoryStore(objects), mode="r+")
    for source in (group, group["s0"]):
        with pytest.raises(
            JournalError, match=r"unfinished levels: s1; the same call of build_pyramid goes on"
        ):
            cz.remap(source, MAPPING)
    build(MemoryStore(objects), "first")
    cz.remap(group, MAPPING)
    assert np.array_equal(levels_in(objects)[0], new)


def test_questions_tell_who_writes() -> None:
    """A question to a level that is being written warns who writes; after a failure it says how to go on."""
    objects = stopped_at(WRITERS["labels"], 0.3)
    array = zarr.open_array(MemoryStore(objects), path="s0", mode="r")
    warn.warn_once.cache_clear()
    with pytest.warns(
        cz.CrackleWarning, match=r"unfinished conversion.*The same call of write_ome_labels goes on"
    ):
        cz.labels(array)
    (found,) = cz.verify(array)
    assert "write_ome_labels" in found.message
    with pytest.raises(JournalError, match="The same call of write_ome_labels goes on"):
        cz.build_pyramid(MemoryStore(objects))
    copy = dict(objects)
    write_labels(MemoryStore(copy), "first")
    with warnings.catch_warnings():
        warnings.simplefilter("error", cz.CrackleWarning)
        cz.labels(zarr.open_array(MemoryStore(copy), path="s0", mode="r"), unfinished="refuse")
    objects[SIGN] = copy["zarr.json"]  # no sign
    left = unpacked(objects[OWNER].to_bytes(), OWNER)[0]
    objects[OWNER] = buffer_of(packed({**left, "owner": elsewhere().json()}))
    with pytest.raises(JournalError, match=r"is being written " + BUSY):
        cz.labels(array, unfinished="refuse")


def test_a_group_is_not_replaced_while_an_array_in_it_is_edited() -> None:
    """A conversion over a group is refused while a process that lives remaps an array in the group."""
    objects: Objects = {}
    write_labels(MemoryStore(objects), "first")
    array = zarr.open_array(MemoryStore(objects), path="s1", mode="r+")
    owner = elsewhere()
    plan = {"id": owner.id, "keys": [1], "values": [2], "preserve": True, "create_chunks": False}
    Journal(layout_of(array)).begin(plan, owner)
    before = dict(objects)
    for call in (convert, write_labels):
        with pytest.raises(FileExistsError, match=r"s1 is being remapped since .* on far"):
            call(MemoryStore(objects), "second", overwrite=True)
        assert objects == before
    cz.undo(array, force=True)
    write_labels(MemoryStore(objects), "second", overwrite=True)
    assert is_(levels_in(objects), pooled(OTHER, 2))


# ---------------------------------------------------------------------------------------
# What messages tell to do


def test_a_conversion_over_a_remap_that_hangs() -> None:
    """undo(force=True) makes way for a conversion, as the conversion says."""
    objects = half_done()
    signs = [key for key in objects if "/signs/" in key]
    for key in signs:
        del objects[key]
    (plan,) = [key for key in objects if key.endswith("/plan")]
    for key in [plan, *(key for key in objects if "/steps-" in key)]:
        meta, payload = unpacked(objects[key].to_bytes(), key)
        objects[key] = buffer_of(packed({**meta, "owner": elsewhere().json()}, payload))
    with pytest.raises(FileExistsError, match=r"undo\(force=True\) takes its remap back"):
        convert(MemoryStore(objects), "second", overwrite=True)
    cz.undo(zarr.open_array(MemoryStore(objects), mode="r+"), force=True)
    assert is_(array_in(objects), [VOXELS])
    convert(MemoryStore(objects), "second", overwrite=True)
    assert is_(array_in(objects), [OTHER])


def test_other_messages_of_conversions() -> None:
    """An unfinished replacement, other options and a damaged marker: each way that is told works."""
    array = made()
    with claimed(MemoryStore(array), "", "conversion") as claim:
        begin(MemoryStore(array), "", {"source": "s"}, True, claim)
        array[".crackle-convert"] = buffer_of(b'{"clearing": true}')
        array["zarr.json"] = made()["zarr.json"]
    damaged = {**made(), ".crackle-convert": buffer_of(b"{")}
    others = stopped_at(WRITERS["convert"], 0.5)
    for objects, text in (
        (array, "was replacing .*: overwrite=True continues it"),
        (damaged, "is damaged: try again, or overwrite=True starts anew"),
        (others, "of .*, and not of .*overwrite=True starts anew"),
    ):
        with pytest.raises((FileExistsError, ValueError), match=text):
            convert(MemoryStore(objects), "second")
        convert(MemoryStore(objects), "second", overwrite=True)
        assert is_(array_in(objects), [OTHER])
        assert not of_us(objects)
    with pytest.raises(FileExistsError, match="exists already: overwrite=True replaces it"):
        convert(MemoryStore(others), "first")
    convert(MemoryStore(others), "first", overwrite=True)
    assert is_(array_in(others), [VOXELS])


# ---------------------------------------------------------------------------------------
# The command line, in processes


COMMANDS: dict[str, list[str]] = {
    "convert": ["convert", "seg.npy", "out.zarr", "--chunks", "8,8,8"],
    "ome": ["convert", "seg.npy", "out.zarr", "--ome", "--chunks", "8,8,8", "--levels", "2"],
    "precomputed": ["convert", "seg.npy", "precomputed://out.zarr", "--encoding", "raw", "--chunks", "8,8,8"],
    "pyramid": ["pyramid", "out.zarr", "--factors", "2,2,2", "--levels", "2"],
}
SLOW = """
import sys, time
from crackle_zarr.stored.claims import Held
check = Held.check
def slow(self):
    print("claimed\\n", end="", flush=True)
    time.sleep(0.05)
    check(self)
Held.check = slow
from crackle_zarr.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str, run: Callable[..., Ran], tmp_path: Path) -> None:
    """A second command is refused; the first one ended, as the message says, the same command continues."""
    voxels = np.repeat(VOXELS, 4, axis=2)
    np.save("seg.npy", voxels)
    if name == "pyramid":
        image = cz.create_ome_labels(
            tmp_path / "out.zarr", None, voxels.shape, voxels.dtype, chunks=(4, 4, 4)
        )
        image.levels[0][...] = voxels
    command = COMMANDS[name]
    slow = [sys.executable, "-c", SLOW, *command]
    with subprocess.Popen(slow, stdout=subprocess.PIPE, env=environment(), cwd=tmp_path) as first:
        assert first.stdout is not None
        for _ in range(3):
            assert first.stdout.readline() == b"claimed\n"
        second = run(*command)
        assert second.code == 2
        text = one_line(second)
        assert f"by process {first.pid} on" in text
        assert "end it: then the same call as its own continues the work" in text
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    ran = run(*command)
    assert ran.code == 0, ran.err
    if name == "precomputed":
        found = [cz.open_precomputed(tmp_path / "out.zarr")[...]]
    elif name == "convert":
        found = [zarr.open_array(LocalStore(tmp_path / "out.zarr"), mode="r")[...]]
    else:
        found = [level[...] for level in cz.ome.open_multiscale(tmp_path / "out.zarr").levels]
    if name == "precomputed":  # the axes of a NumPy file are x, y, z there
        voxels = voxels.T
    assert is_(found, pooled(voxels, len(found)))
    assert not list((tmp_path / "out.zarr").rglob(".crackle*"))


def test_options_in_messages(run: Callable[..., Ran], tmp_path: Path) -> None:
    """The command line names its options once, and the one that starts anew does."""
    np.save("seg.npy", VOXELS)
    store = LocalStore(tmp_path / "out.zarr")
    with claimed(store, "", "conversion") as claim:
        begin(store, "", {"source": "another"}, False, claim)
        claim.release(store, "")
    cz.create_array(tmp_path / "out.zarr", data=OTHER)
    text = one_line(run("convert", "seg.npy", "out.zarr"))
    assert "is an unfinished conversion of another, and not of" in text
    assert text.endswith("it has changed since. --overwrite starts anew\n")
    assert run("convert", "seg.npy", "out.zarr", "--overwrite").code == 0
    assert np.array_equal(zarr.open_array(store, mode="r")[...], VOXELS)
