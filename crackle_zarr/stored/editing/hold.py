"""An edit in the hands of its owner, who makes its steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from ..._base import zarr_facts
from ...errors import FormatError, JournalError, StoreError, TakenOverError
from ..writing import call_store, read_objects, write_objects
from .entries import Entries, packed, unpacked
from .journal import Journal
from .owner import Owner, Signs
from .steps import (
    WAYS,
    Again,
    Guard,
    History,
    State,
    Step,
    Which,
    id_of,
    owner_of,
    same_again,
    step_in,
    taken_over,
)


class Hold:
    """An edit in the hands of its owner."""

    def __init__(self, journal: Journal, history: History, owner: Owner, over: tuple[str, ...] = ()) -> None:
        """The edit of a journal after its last step; ``over``: from whom it was taken, who may come back."""
        assert history.plan is not None
        self.journal, self.owner, self.plan = journal, owner, history.plan
        self.number = history.number
        self.over = over
        self._current = history.step
        self._ended = False

    @property
    def id(self) -> str:
        """Of the edit."""
        return str(self.plan["id"])

    @property
    def guard(self) -> Guard:
        """For tasks."""
        journal = self.journal
        return Guard(journal.store, journal.root, self.id, self.owner, self.number, journal.layout.name)

    @property
    def folder(self) -> str:
        """For entries that are prepared in this step."""
        return f"{self.id}/{self.number}"

    def entries(self, folder: str) -> Entries:
        """The entries in a folder."""
        journal = self.journal
        root = f"{journal.root}/{folder}" if folder else journal.root
        return Entries(journal.store, root, journal.layout.name)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Give signs of life while the block runs; where it leaves a journal, say that it has stopped.

        Raises:
            TakenOverError: the block failed because another process has taken over the edit.
        """
        signs = Signs(self.journal.store, f"{self.journal.root}/{self.id}/signs/{self.owner.id}")
        try:
            with signs.given(lambda: not self.guard.is_lost()):
                yield
        except BaseException as error:
            if not self._ended:
                with contextlib.suppress(StoreError):
                    self._stop(signs, error)
            raise

    def _stop(self, signs: Signs, error: BaseException) -> None:
        """Leave the edit to others; raises TakenOverError if it is theirs already."""
        guard = self.guard
        lost = isinstance(error, TakenOverError) or guard.is_lost()
        if lost and not guard.has_plan():
            guard.forget()  # the other one has finished, and what was written since is in vain
            for name in (self.id, f"steps-{self.id}"):
                self.journal.remove_dir(name)
            self.journal.remove_folder()
        else:
            # Processes elsewhere need not wait then; this process knows it by itself.
            signs.give(stopped=True)
        if lost and isinstance(error, JournalError | StoreError | FormatError):
            guard.check()

    def step(
        self,
        what: State,
        *,
        entries: str | None = None,
        again: tuple[Again, ...] = (),
        outcome: Which | None = None,
    ) -> None:
        """Make the next step.

        Raises:
            TakenOverError: another process was faster.
            StoreError: the store failed; then the step may have been made.
        """
        journal = self.journal
        step = Step(what, self.owner, entries, again, outcome, self.over)
        key, plan_key = journal.key(f"steps-{self.id}/{self.number + 1}"), journal.key("plan")
        value = packed(step.json())
        buffer = zarr_facts.buffer_of(value)
        call_store(journal.store, key, journal.store.set_if_not_exists(key, buffer), "written to")
        plan, made = read_objects(journal.store, [plan_key, key])
        if made != value and (made is None or owner_of(made, key) is None):
            made = same_again(journal.store, key, made)
            if made is not None:
                raise StoreError(f"{key} in {journal.store} is half written: {WAYS}")
        if plan is None or id_of(plan, plan_key) is None:
            plan = same_again(journal.store, plan_key, plan)
        if plan is None or id_of(plan, plan_key) != self.id or made != value:
            raise taken_over(journal.layout.name, None if made == value else step_in(made, key))
        self.number += 1
        self._current = step

    def keep_index(self, folder: str, names: Sequence[str]) -> None:
        """Keep the names of all entries."""
        entries = self.entries(folder)
        write_objects(entries.store, {entries.key("index"): packed(sorted(names))})

    @property
    def entries_folder(self) -> str:
        """The folder of the entries that are applied or undone."""
        assert self._current.entries is not None
        return self._current.entries

    def batches(self) -> list[tuple[str, frozenset[str]]]:
        """The names of all entries, each with the keys of objects in it that later entries supersede."""
        step = self._current
        entries = self.entries(self.entries_folder)
        (raw,) = read_objects(entries.store, [entries.key("index")])
        if raw is None:
            raise JournalError(f"the journal of {self.journal.layout.name} lacks {entries.key('index')}")
        lists = [unpacked(raw, entries.key("index"))[0], *(one.names for one in step.again)]
        found = []
        for number, names in enumerate(lists):
            later = frozenset(key for one in step.again[number:] for key in one.keys)
            found += [(name, later) for name in names]
        return found

    def apply_again(self, keys: Sequence[str], names: Sequence[str]) -> None:
        """Note that some objects were prepared again."""
        step = self._current
        again = (*step.again, Again(tuple(keys), tuple(names)))
        self.step("applying", entries=step.entries, again=again)

    @property
    def rounds(self) -> int:
        """How often objects were prepared again."""
        return len(self._current.again)

    def end(self, outcome: Which) -> None:
        """Note that all objects have their new or their old form, and remove the journal."""
        self.step("finished", outcome=outcome)
        self._ended = True
        journal = self.journal
        note = packed({"outcome": outcome, "time": time.time()})
        signs = {
            one: Signs(journal.store, f"{journal.root}/{self.id}/signs/{one}").last() for one in self.over
        }
        here = [one for one, sign in signs.items() if sign is None or not sign.stopped]
        write_objects(journal.store, {journal.key(f"over-{one}"): note for one in here})
        journal.remove(self.plan)

    def discard(self, error: BaseException) -> None:
        """Remove a journal that was never applied, because of an error."""
        try:
            self.end("old")
        except TakenOverError as second:
            self._ended = True
            self._leave()
            error.add_note(str(second))
        except StoreError as second:
            left = "undo() removes it (on the command line --undo)" if self._ended else WAYS
            error.add_note(f"The array is unchanged. The journal still exists: {left}: {second}")

    def _leave(self) -> None:
        """Remove what this owner has prepared in vain."""
        with contextlib.suppress(StoreError):
            self.journal.remove_dir(self.folder)
            self.journal.remove_folder()


def take(journal: Journal, history: History, what: State, owner: Owner, *, force: bool) -> Hold:
    """Take over an edit whose owner has ended; with ``force``, also from one that lives.

    Raises:
        JournalError: its owner lives.
        TakenOverError: another process took it at the same time.
    """
    hold = Hold(journal, history, owner, journal.claimable(history, force))
    before = history.step
    if before.what == "preparing":  # its entries are incomplete
        hold.step(what)
    else:
        hold.step(what, entries=before.entries, again=before.again)
    return hold
