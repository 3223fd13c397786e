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

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from zarr.storage import LocalStore

from ..._base import zarr_facts
from ...errors import FormatError, JournalError, StoreError
from ..writing import call_store, read_objects, write_objects
from .entries import Entries, Journaled, packed, unpacked

NAME = ".crackle-remap"

State = Literal["preparing", "applying", "undoing", "finished"]

# The state depends on which of these files are present.
_FILES = ("plan", "applying", "undoing", "finished")


class Journal:
    """The journal of an array, or of all levels of a pyramid."""

    def __init__(self, layout: Journaled) -> None:
        """The journal beside the chunks of a layout, whether it exists or not."""
        self.layout = layout
        self.store = layout.store
        self.root = layout.path(NAME)

    @property
    def entries(self) -> Entries:
        """Where the entries are."""
        return Entries(self.store, self.root, self.layout.name)

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
