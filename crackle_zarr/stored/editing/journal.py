"""The journal of an edit, which makes the edit all or nothing whenever the process ends.

A remap is not idempotent: {1: 2, 2: 1} applied twice changes nothing. So after an interruption, applying the
mapping again to chunks that already have their new labels would be wrong. An edit first writes all new
objects to the journal, with the old ones. Then it notes that these are complete, which makes the journal
valid. Then it copies the new objects to the array. Before that note the array is unchanged, and the journal
can be discarded. After it, objects can be copied any number of times, in either direction.

The journal lies in the store under ``.crackle-remap/`` within the array's own prefix, where Zarr looks for
nothing:

    plan                  the mapping, the options, the owner; there is a journal as long as this exists
    steps-ID/N            what the owner of the N-th step does, from 1: preparing, applying, undoing, finished
    ID/N/entries/KEY      the old and the new form of some objects, prepared in step N; the plan is step 0
    ID/N/index            the names of all entries, since a store's listing may leave one out
    ID/signs/OWNER        the sign of life of an owner
    over-OWNER            how an edit ended that was taken from an owner who may come back

The last step says what holds and whose the edit is. A step is only made if there is none with its number, and
nobody replaces one: of two processes one makes the next step, and the other one sees that it is not its own.
So nobody goes on with an edit that another process has taken over or finished. Each file ends in a checksum
of itself, so a half-written one never looks valid: a step that is half written does not count.

A store may be wrong about which objects there are: some report a missing file after a lost connection. So
before anything is decided the journal asks the store in two ways, and both answers have to agree.

Journals of format 1 have neither owner nor steps, but markers beside the plan: see ``Journal._of_format_1``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from ..._base import zarr_facts
from ...errors import FormatError, JournalError, StoreError
from ..writing import call_store, read_objects, write_objects
from .entries import Journaled, packed, unpacked
from .owner import Owner, Signs, clock, life, owner_in
from .steps import WAYS, History, Step, id_of, same_again, step_in

NAME = ".crackle-remap"

# An edit that ended in a place where nobody asks how for this many seconds: the note about it is removed.
_FORGET = 3600.0


class Journal:
    """The journal of an array, or of all levels of a pyramid."""

    def __init__(self, layout: Journaled) -> None:
        """The journal beside the chunks of a layout, whether it exists or not."""
        self.layout = layout
        self.store = layout.store
        self.root = layout.path(NAME)
        self.names: set[str] = set()  # directly below the root, at the last certain answer

    def key(self, name: str) -> str:
        """The key of a file of the journal."""
        return f"{self.root}/{name}"

    # -- What there is -----------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is a journal, according to one request to the store."""
        return read_objects(self.store, [self.key("plan")]) != [None]

    def history(self, certain: bool = False) -> History | None:
        """The steps of the edit; None if there is none.

        Args:
            certain: ask the store in two ways.

        Raises:
            StoreError: the two answers of the store contradict each other.
        """
        key = self.key("plan")
        (raw,) = read_objects(self.store, [key])
        listed = self.names = set(self._listed("")) if certain else set()
        if certain and (raw is not None) != ("plan" in listed):
            self._contradiction("plan", raw is not None)
        if raw is None:
            return None
        try:
            plan = unpacked(raw, key)[0]
        except FormatError:
            if certain:
                same_again(self.store, key, raw)
            return History(None, 0, Step("preparing", None))
        if plan["format"] not in (1, 2):
            raise JournalError(
                f"{self.layout.name} has an unfinished remap of a later version of this package, which alone "
                f"can finish it: {key} has the format {plan['format']}"
            )
        first = (
            self._of_format_1(listed if certain else None)
            if plan["format"] == 1
            else Step("preparing", owner_in(plan["owner"]), None)
        )
        return self._steps(plan, first, certain)

    def _steps(self, plan: dict[str, Any], step: Step, certain: bool) -> History:
        folder = f"steps-{plan['id']}"
        last = 0
        if certain:
            last = max((int(name) for name in self._listed(folder) if name.isdecimal()), default=0)
        number = 0
        while True:
            key = self.key(f"{folder}/{number + 1}")
            (raw,) = read_objects(self.store, [key])
            if certain and (raw is not None) != (number < last):
                self._contradiction(f"{folder}/{number + 1}", raw is not None)
            if raw is None:
                return History(plan, number, step)
            number += 1
            found = step_in(raw, key)
            if found is None and certain:  # half written, if the store sends the same again
                same_again(self.store, key, raw)
            step = found or step

    def _of_format_1(self, listed: set[str] | None) -> Step:
        """The state of a journal of format 1, which markers tell, as a step."""
        names = ("finished", "undoing", "applying")
        found = read_objects(self.store, [self.key(name) for name in names])
        for name, raw in zip(names, found, strict=True):
            if listed is not None and (raw is not None) != (name in listed):
                self._contradiction(name, raw is not None)
        there = [name for name, raw in zip(names, found, strict=True) if raw is not None]
        state: Any = there[0] if there else "preparing"
        if state == "finished":
            return Step("finished", None, outcome="old" if "undoing" in there else "new")
        return Step(state, None, None if state == "preparing" else "")

    def _contradiction(self, name: str, found: bool) -> None:
        what = "exists, but does not list it" if found else "is missing, but lists it"
        raise StoreError(f"{self.store} reports that {self.key(name)} {what}. Nothing was done: try again")

    def _listed(self, folder: str) -> list[str]:
        place = self.key(folder) if folder else self.root

        async def collect() -> list[str]:
            # Some stores list folders with a slash at the end, or files with their full path.
            return [name.rstrip("/").rpartition("/")[2] async for name in self.store.list_dir(place)]

        return call_store(self.store, place, collect(), "listed in")

    def signs(self, history: History, owner: Owner) -> Signs:
        """The signs of life of an owner."""
        return Signs(self.store, self.key(f"{history.id}/signs/{owner.id}"))

    def told(self, history: History, watch: bool = False) -> tuple[str, bool | None]:
        """Who owns an edit, for messages, and whether the owner lives; None: nobody knows."""
        owner = history.step.owner
        if owner is None:
            return "", False
        state, age = life(owner, self.signs(history, owner), watch=watch)
        since = f"since {clock(owner.since)} by {owner.text()}"
        if state == "lives":
            return f"{since}, last sign {age:.0f} s ago", True
        ended = {"ended": "which has stopped", "dead": "which has ended"}
        return f"{since}, {ended.get(state, f'without a sign of life for {age:.0f} s')}", (
            None if state == "unknown" else False
        )

    def refuse(self, history: History | None = None) -> None:
        """Raise JournalError if there is an unfinished edit."""
        history = history or self.history()
        if history is None:
            return
        name = self.layout.name
        if history.step.what == "finished":
            action = "undo()" if history.step.outcome == "old" else "resume()"
            raise JournalError(
                f"a remap of {name} has ended, but its journal still exists: {action} removes it"
            )
        who, lives = self.told(history)
        if lives:
            raise self._busy(who)
        raise JournalError(f"{name} has an unfinished remap{f' ({who})' if who else ''}: {WAYS}")

    def _busy(self, who: str) -> JournalError:
        return JournalError(
            f"{self.layout.name} is being remapped {who}: wait until it is done. If that process hangs, "
            f"resume(force=True) finishes its remap, undo(force=True) takes it back "
            f"(--resume --force, --undo --force)"
        )

    # -- Steps -------------------------------------------------------------------------

    def begin(self, plan: dict[str, Any], owner: Owner) -> History:
        """Create the journal of an edit.

        Raises:
            JournalError: the place already has a journal.
        """
        self.refuse(self.history(certain=True))
        rest = sorted(self.names - {"plan"})
        key = self.key("plan")
        value = zarr_facts.buffer_of(packed({"format": 2, **plan, "owner": owner.json()}))
        call_store(self.store, key, self.store.set_if_not_exists(key, value), "written to")
        history = self.history()
        if history is None or history.plan is None or history.step.owner != owner:
            self.refuse(history)  # another process was faster
            raise JournalError(f"{self.layout.name}: the journal was removed while it was made: try again")
        try:
            self._sweep(rest)
        except BaseException as error:
            error.add_note(f"The journal exists now: {WAYS}")
            raise
        return history

    def _sweep(self, names: Sequence[str]) -> None:
        """Remove what an earlier journal has left behind, whose removal was interrupted."""
        for name in names:
            if name.startswith("over-"):
                (raw,) = read_objects(self.store, [self.key(name)])
                with contextlib.suppress(FormatError, KeyError, TypeError):
                    if raw is None or time.time() - unpacked(raw, name)[0]["time"] < _FORGET:
                        continue
            self._remove_all(name)

    def refuse_if_alive(self, history: History, force: bool) -> None:
        """Raise JournalError if the owner of an edit lives."""
        self.claimable(history, force)

    def claimable(self, history: History, force: bool) -> tuple[str, ...]:
        """The owners from whom an edit is taken and who may come back, if another one takes it now.

        Raises:
            JournalError: its owner lives.
        """
        who, lives = self.told(history, watch=not force)
        if lives and not force:
            raise self._busy(who)
        former = history.step.owner
        return (*history.step.over, *([former.id] if former is not None and lives is not False else []))

    # -- Removing ----------------------------------------------------------------------

    def remove(self, plan: dict[str, Any] | None) -> None:
        """Remove the journal of a finished edit; the plan before the steps, which say that it is finished."""
        id = None if plan is None else str(plan["id"])
        old = plan is None or plan["format"] == 1
        if old:
            self._remove_all("entries")
            write_objects(self.store, {self.key("index"): None})
        if id is not None:
            self.remove_dir(id)
        self._remove_plan(id)
        if old:  # 'finished' goes last: while it exists, no other marker matters
            write_objects(self.store, {self.key(name): None for name in ("applying", "undoing")})
            write_objects(self.store, {self.key("finished"): None})
        if id is not None:
            try:
                self.remove_dir(f"steps-{id}")
            except StoreError:
                self._remove_rest(f"steps-{id}")
        self.remove_folder()

    def _remove_rest(self, name: str) -> None:
        """Try again: without the plan nobody looks at these files, and only the next edit removes them."""
        try:
            self.remove_dir(name)
        except StoreError as error:
            error.add_note("The edit is complete. What is left of its journal does no harm")
            raise

    def _remove_plan(self, id: str | None) -> None:
        key = self.key("plan")
        (raw,) = read_objects(self.store, [key])
        if raw is None or id_of(raw, key) is None:
            # If the plan outlived the steps, it would be taken for one that never began.
            raw = same_again(self.store, key, raw)
        if raw is None or id_of(raw, key) == id:
            write_objects(self.store, {key: None})

    def remove_dir(self, name: str) -> None:
        """Remove a folder."""
        key = self.key(name)
        call_store(self.store, key, self.store.delete_dir(key), "deleted from")

    def _remove_all(self, name: str) -> None:
        """Remove an object, or all below it."""
        write_objects(self.store, {self.key(name): None})
        self.remove_dir(name)

    def remove_folder(self) -> None:
        """Remove the empty folder that a disk keeps."""
        # A disk keeps empty folders. A folder that is not empty is the journal of another process by now.
        store = zarr_facts.unwrapped(self.store)
        if isinstance(store, LocalStore):
            with contextlib.suppress(OSError):
                os.rmdir(Path(store.root) / self.root)
