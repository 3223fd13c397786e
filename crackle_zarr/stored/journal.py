"""The journal of a remap, which makes the remap all or nothing whenever the process ends.

A remap is not idempotent: {1: 2, 2: 1} applied twice changes nothing. So after an interruption, applying the
mapping again to chunks that already have their new labels would be wrong. A remap first writes all new
objects to the journal, with the old ones. Then it writes one marker, which makes the journal valid. Then it
copies the new objects to the array. Before the marker the array is unchanged, and the journal can be
discarded. After the marker, objects can be copied any number of times, in either direction.

The journal lies in the store under ``.crackle-remap/`` within the array's own prefix, where Zarr looks for
nothing:

    plan            the mapping and the options; there is a journal as long as this or 'finished' exists
    entries/KEY     the old and the new form of some objects; KEY is the first of them
    index           the names of all entries, since a store's listing may leave one out
    applying        marker: the index and all entries are complete and valid
    undoing         marker: the old objects are being copied to the array
    finished        marker: all objects of the array are written; the rest of the journal is to be removed

Every file except the markers ends in a checksum of itself, so a half-written file never looks valid. Only the
presence of a marker matters, and a store may be wrong about that: some stores report a missing file after a
lost connection. So before each step the journal asks the store in two ways, and both answers have to agree.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import os
import struct
import zlib
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from zarr.abc.store import Store
from zarr.storage import LocalStore

from .._base import zarr_facts
from ..errors import CrackleError, FormatError, JournalError, StoreError
from .fetch import CONCURRENCY, Wanted, fetch
from .layout import Coords

T = TypeVar("T")

NAME = ".crackle-remap"

State = Literal["preparing", "applying", "undoing", "finished"]

# The state depends on which of these files are present.
_FILES = ("plan", "applying", "undoing", "finished")


# ---------------------------------------------------------------------------------------
# Writing to a store


def write_objects(store: Store, values: Mapping[str, bytes | None]) -> None:
    """Set objects of a store, and delete those whose value is None, in no particular order.

    Raises:
        StoreError: the store failed; the error names the object.
    """
    if zarr_facts.works_without_loop(store, "set") and zarr_facts.works_without_loop(store, "delete"):
        for key, value in values.items():
            with translated_errors(store, key, _action_of(value)):
                if value is not None:
                    store.set_sync(key, zarr_facts.buffer_of(value))  # type: ignore[attr-defined]
                    continue
                try:
                    store.delete_sync(key)  # type: ignore[attr-defined]
                except _MISSING_OBJECT:
                    if read_objects(store, [key]) != [None]:
                        raise
        return
    _run_to_end(_write_all(store, values))


# Some stores raise these when they are asked to delete a missing object. That is no error, but the store may
# be wrong: a plan that outlives its remap would be applied twice.
_MISSING_OBJECT = (FileNotFoundError, KeyError)


async def _write_all(store: Store, values: Mapping[str, bytes | None]) -> None:
    limit = asyncio.Semaphore(CONCURRENCY)

    async def write(key: str, value: bytes | None) -> None:
        async with limit:
            with translated_errors(store, key, _action_of(value)):
                if value is not None:
                    await store.set(key, zarr_facts.buffer_of(value))
                    return
                try:
                    await store.delete(key)
                except _MISSING_OBJECT:
                    if await store.get(key, zarr_facts.prototype()) is not None:
                        raise

    # Wait for all of them, even after a failure: a late write would undo the repair of that failure.
    results = await asyncio.gather(
        *(write(key, value) for key, value in values.items()), return_exceptions=True
    )
    for error in results:
        if error is not None:
            raise error


def _run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in Zarr's loop to its end, and return its result.

    Ctrl-C takes effect after the coroutine has ended. Zarr's own function does not wait for the end, and a
    late write would overwrite the repair of the interrupted remap.
    """
    loop = zarr_facts.event_loop()
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    tasks: list[asyncio.Task[None]] = []
    interrupt: KeyboardInterrupt | None = None

    async def work() -> None:
        try:
            future.set_result(await coroutine)
        except BaseException as error:
            future.set_exception(error)

    def begin() -> None:
        if not tasks:
            tasks.append(loop.create_task(work()))

    while True:
        try:
            # Not run_coroutine_threadsafe: after an interrupt, it is unknown whether the coroutine has begun.
            loop.call_soon_threadsafe(begin)
            concurrent.futures.wait([future])
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
    return future.result()


def call_store(store: Store, key: str, coroutine: Coroutine[Any, Any, T], action: str = "read from") -> T:
    """Run a call of a store; its errors name the key and the action, such as "read from"."""
    with translated_errors(store, key, action):
        return _run_to_end(coroutine)
    raise AssertionError("errors leave the block above")


def _action_of(value: bytes | None) -> str:
    return "deleted from" if value is None else "written to"


@contextlib.contextmanager
def translated_errors(store: object, key: str, action: str) -> Iterator[None]:
    """Turn an error of a store into a StoreError that names the key and the store."""
    try:
        yield
    except (CrackleError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{key} cannot be {action} {store}: {type(error).__name__}: {reason}") from error


def read_objects(store: Store, keys: Iterable[str]) -> list[bytes | None]:
    """Objects of a store; None for missing ones."""
    objects = []
    for result in fetch(store, [Wanted(key) for key in keys]):
        if isinstance(result, BaseException):
            raise result
        objects.append(None if result is None else result.tobytes())
    return objects


# ---------------------------------------------------------------------------------------
# Entries


def packed(meta: Any, payload: bytes) -> bytes:
    """A file of the journal: some JSON, some bytes, and a checksum of both."""
    text = json.dumps(meta).encode("ascii")
    body = struct.pack("<I", len(text)) + text + payload
    return body + struct.pack("<I", zlib.crc32(body))


def unpacked(raw: bytes, key: str) -> tuple[Any, bytes]:
    """The JSON and the bytes of a file of the journal."""
    body = raw[:-4]
    if len(raw) < 8 or struct.pack("<I", zlib.crc32(body)) != raw[-4:]:
        raise FormatError(f"the journal's file {key} is damaged")
    (length,) = struct.unpack_from("<I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


@dataclass(frozen=True)
class Entry:
    """The old and the new bytes of an object, empty where there is no object, and the chunks that change."""

    key: str
    old: bytes
    new: bytes
    chunks: tuple[Coords, ...]


def entries_in(raw: bytes, key: str) -> Iterator[Entry]:
    """The objects of a file of the journal."""
    meta, payload = unpacked(raw, key)
    for path, old, new, chunks in meta:
        yield Entry(path, payload[:old], payload[old : old + new], tuple(map(tuple, chunks)))
        payload = payload[old + new :]


class Journaled(Protocol):
    """What has a journal: an array, or all levels of a pyramid."""

    @property
    def store(self) -> Store:
        """Where the chunks are."""
        ...

    @property
    def name(self) -> str:
        """The place, for messages."""
        ...

    def path(self, key: str) -> str:
        """The key within the store, from one within the place."""
        ...

    def holds(self, key: str, coords: Coords) -> bool:
        """Whether a key is that of the object with this chunk."""
        ...


class Journal:
    """The journal of an array, or of all levels of a pyramid."""

    def __init__(self, layout: Journaled) -> None:
        """The journal beside the chunks of a layout, whether it exists or not."""
        self.layout = layout
        self.store = layout.store
        self.root = layout.path(NAME)

    def _key(self, name: str) -> str:
        return f"{self.root}/{name}"

    @property
    def state(self) -> State | None:
        """The state of the remap according to one request to the store; None if there is no journal."""
        return self._state_of(self._files())

    def certain_state(self) -> State | None:
        """The state of the remap, confirmed by a second request; None if there is no journal.

        Raises:
            StoreError: the two answers of the store contradict each other.
        """
        files = self._files()

        async def collect() -> set[str]:
            # Some stores list folders with a slash at the end, or files with their full path.
            return {name.rstrip("/").rpartition("/")[2] async for name in self.store.list_dir(self.root)}

        listed = call_store(self.store, self.root, collect(), "listed in")
        for name in _FILES:
            if (name in files) != (name in listed):
                contradiction = (
                    "exists, but does not list it" if name in files else "is missing, but lists it"
                )
                raise StoreError(
                    f"{self.store} reports that {self._key(name)} {contradiction}. "
                    f"Nothing was done: try again"
                )
        return self._state_of(files)

    def _files(self) -> set[str]:
        # Read the files instead of asking whether they exist: some stores answer no after a failed request.
        found = read_objects(self.store, [self._key(name) for name in _FILES])
        return {name for name, raw in zip(_FILES, found, strict=True) if raw is not None}

    @staticmethod
    def _state_of(files: set[str]) -> State | None:
        if "finished" in files:
            return "finished"
        if "plan" not in files:
            return None
        if "undoing" in files:
            return "undoing"
        return "applying" if "applying" in files else "preparing"

    def begin(self, plan: dict[str, Any]) -> None:
        """Create the journal of a remap.

        Raises:
            JournalError: the array already has a journal.
        """
        if self.certain_state() is not None:
            self.refuse()
        key, value = self._key("plan"), zarr_facts.buffer_of(packed(plan, b""))
        call_store(self.store, key, self.store.set_if_not_exists(key, value), "written to")
        if self.plan() != plan:  # another process was faster
            self.refuse()
        # An earlier journal whose removal was interrupted may have left entries. Until now, they could have
        # belonged to the other process.
        try:
            self.forget_entries()
        except BaseException as error:
            error.add_note("The journal exists now: resume() does the remap, and undo() removes the journal")
            raise

    def refuse(self) -> None:
        """Raise JournalError: another remap has to be finished first."""
        if self.state == "finished":
            raise JournalError(
                f"a remap of {self.layout.name} is done, but its journal still exists: resume() removes it"
            )
        raise JournalError(
            f"{self.layout.name} has an unfinished remap: resume() finishes it, undo() restores the array"
        )

    def plan(self) -> dict[str, Any]:
        """The mapping and the options of the remap."""
        (raw,) = read_objects(self.store, [self._key("plan")])
        if raw is None:
            raise JournalError(f"the journal of {self.layout.name} lacks {self._key('plan')}")
        try:
            meta: dict[str, Any] = unpacked(raw, self._key("plan"))[0]
        except FormatError:
            raise JournalError(
                f"the remap of {self.layout.name} ended while it wrote its plan, {self._key('plan')}. "
                f"The array is unchanged: undo() removes the rest of the journal"
            ) from None
        return meta

    def write(self, entries: Sequence[Entry]) -> str:
        """Write the old and the new form of some objects as one entry; returns its name."""
        meta = [
            [entry.key, len(entry.old), len(entry.new), [list(coords) for coords in entry.chunks]]
            for entry in entries
        ]
        payload = b"".join(part for entry in entries for part in (entry.old, entry.new))
        name = f"entries/{entries[0].key}"
        write_objects(self.store, {self._key(name): packed(meta, payload)})
        return name

    def apply(self, names: Sequence[str]) -> None:
        """Make the journal valid, given the names of all its entries."""
        write_objects(self.store, {self._key("index"): packed(sorted(names), b"")})
        self.mark("applying")

    def mark(self, state: Literal["applying", "undoing", "finished"]) -> None:
        """Enter a state."""
        write_objects(self.store, {self._key(state): state.encode("ascii")})

    def names(self) -> list[str]:
        """The names of all entries of a valid journal."""
        key = self._key("index")
        (raw,) = read_objects(self.store, [key])
        if raw is None:
            raise JournalError(f"the journal of {self.layout.name} lacks {key}")
        names: list[str] = unpacked(raw, key)[0]
        return names

    def copy_to_array(self, names: Iterable[str], which: Literal["old", "new"]) -> tuple[list[Coords], int]:
        """Copy the old or the new form of some objects to the array.

        Returns:
            The chunks that change, and the number of bytes written.
        """
        chunks: list[Coords] = []
        nbytes = 0
        for name in names:
            (raw,) = read_objects(self.store, [self._key(name)])
            if raw is None:
                raise JournalError(f"the journal of {self.layout.name} lacks {self._key(name)}")
            values: dict[str, bytes | None] = {}
            for entry in entries_in(raw, self._key(name)):
                self._check_entry(entry.key, entry.chunks, self._key(name))
                values[self.layout.path(entry.key)] = (entry.old if which == "old" else entry.new) or None
                chunks += entry.chunks
            write_objects(self.store, values)
            nbytes += sum(len(value) for value in values.values() if value)
        return chunks, nbytes

    def _check_entry(self, key: str, coords: Sequence[Sequence[int]], name: str) -> None:
        """Raise JournalError if an entry names an object that holds no chunks of this array.

        Whoever can write a journal can write the array anyway, but "../" in a key would lead out of it.
        """
        if not coords or not all(self.layout.holds(key, tuple(chunk)) for chunk in coords):
            raise JournalError(f"{name} names {key!r}, which is no chunk of {self.layout.name}")

    def forget_entries(self) -> None:
        """Remove all entries."""
        write_objects(self.store, {self._key(name): None for name in ("index", "applying", "undoing")})
        self._delete_all(self._key("entries"))

    def remove(self) -> None:
        """Remove the journal, in an order that never leaves a journal that looks unfinished.

        'finished' goes last: while it exists, nothing else in the journal matters.
        """
        self.mark("finished")
        self.forget_entries()
        for name in ("plan", "finished"):
            write_objects(self.store, {self._key(name): None})
        self._remove_folder()

    def discard(self) -> None:
        """Remove a journal that was never applied, without marking it as finished."""
        self.forget_entries()
        write_objects(self.store, {self._key("plan"): None})
        self._remove_folder()

    def _remove_folder(self) -> None:
        # A disk keeps empty folders. A folder that is not empty is the journal of another process by now.
        store = zarr_facts.unwrapped(self.store)
        if isinstance(store, LocalStore):
            with contextlib.suppress(OSError):
                os.rmdir(Path(store.root) / self.root)

    def _delete_all(self, prefix: str) -> None:
        call_store(self.store, prefix, self.store.delete_dir(prefix), "deleted from")
