"""Copy entries to the array, and what a store has to be able to do for that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from zarr.storage import MemoryStore

from ..._base import zarr_facts
from ...errors import JournalError, StoreError
from ..engine import Options, run
from ..layout import Coords
from ..writing import read_objects, write_objects
from .entries import Entries, Entry, Journaled
from .owner import SILENCE
from .steps import Guard, Which

# What to do with an object that is neither what it was nor what it becomes: leave it, or replace it.
Foreign = Literal["leave", "replace"]
Kind = Literal["old", "new", "torn", "foreign"]


@dataclass(frozen=True)
class Copied:
    """What was copied to the array.

    Attributes:
        chunks: that change.
        nbytes: written.
        foreign: objects that somebody else has written: their keys within the place, and their chunks that
            were to change. They were left.
    """

    chunks: list[Coords]
    nbytes: int
    foreign: list[tuple[str, tuple[Coords, ...]]]

    def __add__(self, other: Copied) -> Copied:
        """The sum of two parts."""
        return Copied(self.chunks + other.chunks, self.nbytes + other.nbytes, self.foreign + other.foreign)


@dataclass(frozen=True)
class CopyToArray:
    """Copy the old or the new form of some objects to the array.

    Attributes:
        place: where.
        entries: where the entries are kept.
        name: of the file with the entries.
        skip: the keys of objects that other entries have.
        which: form.
        guard: tells whether the edit is still its owner's; None: nobody else can see it.
        foreign: what to do with objects that somebody else has written.
    """

    place: Journaled
    entries: Entries
    name: str
    skip: frozenset[str]
    which: Which
    guard: Guard | None
    foreign: Foreign

    @property
    def weight(self) -> int:
        """Files with entries."""
        return 1

    def __call__(self) -> Copied:
        """Do it.

        Raises:
            TakenOverError: the edit is not its owner's any more; the objects are as its new owner wants them.
        """
        entries = [entry for entry in self.entries.read(self.name) if entry.key not in self.skip]
        for entry in entries:
            self._check(entry)
        while True:
            began = time.time()
            if self.guard is not None:
                self.guard.check()
            found = look(self.place, entries)
            # A process that stood still may have been taken for dead meanwhile.
            if abs(time.time() - began) < SILENCE / 3:
                break
        foreign = [
            (entry.key, entry.chunks)
            for entry, kind in zip(entries, found, strict=True)
            if kind == "foreign" and self.foreign == "leave"
        ]
        ours = [
            entry
            for entry, kind in zip(entries, found, strict=True)
            if kind != self.which and not (kind == "foreign" and self.foreign == "leave")
        ]
        values = {self.place.path(entry.key): _form(entry, self.which) or None for entry in ours}
        try:
            write_objects(self.place.store, values)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._put_right(ours)
            raise
        if self._put_right(ours) and self.guard is not None:
            self.guard.check()
        left = {key for key, _ in foreign}
        chunks = [one for entry in entries if entry.key not in left for one in entry.chunks]
        return Copied(chunks, sum(len(value) for value in values.values() if value), foreign)

    def _check(self, entry: Entry) -> None:
        """Raise JournalError if an entry names an object that holds no chunks of this array.

        Whoever can write a journal can write the array anyway, but "../" in a key would lead out of it.
        """
        if not entry.chunks or not all(self.place.holds(entry.key, tuple(one)) for one in entry.chunks):
            raise JournalError(
                f"{self.entries.key(self.name)} names {entry.key!r}, which is no chunk of {self.place.name}"
            )

    def _put_right(self, entries: Sequence[Entry]) -> bool:
        """Whether the edit was lost meanwhile; then objects get the form that its new owner wants.

        The new owner may have passed them before they were written here.
        """
        if self.guard is None or not entries or not self.guard.is_lost():
            return False
        wanted = self.guard.outcome()
        if wanted not in (None, self.which):
            found = look(self.place, entries)
            values = {
                self.place.path(entry.key): _form(entry, wanted) or None
                for entry, kind in zip(entries, found, strict=True)
                if kind in (self.which, "torn")
            }
            write_objects(self.place.store, values)
        self.guard.forget()
        return True


def _form(entry: Entry, which: Which | None) -> bytes:
    return entry.old if which == "old" else entry.new


def look(place: Journaled, entries: Sequence[Entry]) -> list[Kind]:
    """What objects are now: as they were, as they become, half written, or written by somebody else.

    Raises:
        StoreError: the store failed, or contradicts itself.
    """
    keys = [place.path(entry.key) for entry in entries]
    found = read_objects(place.store, keys)
    kinds = [_kind(entry, raw) for entry, raw in zip(entries, found, strict=True)]
    # What seems to be absent or cut short is read again: the store may have failed to send it.
    odd = [number for number, kind in enumerate(kinds) if found[number] is None or kind == "torn"]
    for number, raw in zip(odd, read_objects(place.store, [keys[one] for one in odd]), strict=True):
        if (raw is None) != (found[number] is None):
            raise StoreError(
                f"the store reported {keys[number]} as missing, and the next moment it had it, or the other "
                f"way round: resume() goes on"
            )
        kinds[number] = _kind(entries[number], raw)
    return kinds


def _kind(entry: Entry, raw: bytes | None) -> Kind:
    if (raw or b"") == entry.new and (raw is None) == (not entry.new):
        return "new"
    if (raw or b"") == entry.old and (raw is None) == (not entry.old):
        return "old"
    # A store that writes in place may have been cut off in the middle.
    torn = raw is not None and (entry.new.startswith(raw) or entry.old.startswith(raw))
    return "torn" if torn else "foreign"


def copy_to_array(
    place: Journaled,
    entries: Entries,
    batches: Sequence[tuple[str, frozenset[str]]],
    which: Which,
    options: Options,
    guard: Guard | None = None,
    foreign: Foreign = "leave",
) -> Copied:
    """Copy the old or the new form of all objects of some entries to their places.

    Args:
        place: the array, or all levels of a pyramid.
        entries: where they are kept.
        batches: the names of the files with entries, each with the keys of objects to leave out.
        which: form.
        options: how.
        guard: tells whether the edit is still its owner's; None: nobody else can see it.
        foreign: what to do with objects that somebody else has written since they were prepared.
    """
    tasks = (CopyToArray(place, entries, name, skip, which, guard, foreign) for name, skip in batches)
    done = run(tasks, options, total=len(batches), unit="batch", merge=lambda a, b: a + b)
    done = done or Copied([], 0, [])
    return replace(done, chunks=sorted(done.chunks), foreign=sorted(done.foreign))


def check_writable(layout: Journaled, options: Options) -> None:
    """Raise ValueError if the store, or the executor with this store, cannot edit the array."""
    store: Any = layout.store
    if store.read_only:
        raise ValueError(f"{layout.name} is open for reading only: open it with mode='r+'")
    if not (store.supports_writes and store.supports_deletes and store.supports_listing):
        raise ValueError(f"{type(store).__name__} cannot write, delete and list, and an edit needs all three")
    check_processes(store, options, layout.name)


def check_processes(store: Any, options: Options, name: object) -> None:
    """Raise ValueError if other processes would write to copies of the store."""
    if isinstance(zarr_facts.unwrapped(store), MemoryStore) and not options.in_this_process:
        raise ValueError(
            f"{name} is in the memory of this process, and each worker of {options.executor!r} would "
            f"write to its own copy: use threads (executor=None), or a store on disk"
        )
