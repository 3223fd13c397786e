"""The three ways through an edit of labels: to do it, to finish it, to take it back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from ..._base.mapping import LabelMapping
from ...errors import JournalError
from ..engine import Options
from ..layout import Coords
from ..unfinished import refuse_unfinished, refuse_unfinished_levels
from .applying import Copied, Foreign, check_writable, copy_to_array
from .entries import Entries, Journaled
from .followers import Change, followers_of
from .hold import Hold, take
from .journal import Journal
from .owner import at_work
from .steps import Which
from .transaction import edit_in_transaction, is_transaction, refuse_to_go_on


@dataclass(frozen=True)
class RemapReport:
    """The outcome of a remap, or of a dry run.

    Attributes:
        chunks: the grid indices of the chunks whose labels are new, in C order.
        bytes_read: bytes that were read from the store to find and to make them.
        bytes_written: bytes of the objects that replace others; the journal is not counted.
        dry_run: nothing was written.
        levels: of a pyramid, the chunks of each level; ``chunks`` are those of level 0. Empty for an array.
    """

    chunks: list[Coords]
    bytes_read: int
    bytes_written: int
    dry_run: bool = False
    levels: tuple[list[Coords], ...] = ()


class Prepared(Protocol):
    """The new form of all objects that change is kept as entries."""

    @property
    def chunks(self) -> list[Coords]:
        """The chunks that change."""
        ...

    @property
    def names(self) -> list[str]:
        """The names of the files with entries."""
        ...

    @property
    def bytes_read(self) -> int:
        """Read from the array."""
        ...

    @property
    def bytes_written(self) -> int:
        """Of the new forms."""
        ...


class Preparing(Protocol):
    """Prepares the new form of all objects that change."""

    def __call__(
        self,
        mapping: Any,
        create_chunks: bool,
        entries: Entries | None,
        only: Sequence[tuple[str, tuple[Coords, ...]]] | None = None,
    ) -> Prepared:
        """Prepare it, and keep it in entries.

        Args:
            mapping: old labels and new ones; None for an edit of another kind.
            create_chunks: whether chunks are written that do not exist.
            entries: where to keep it; None: keep nothing.
            only: the objects to prepare, as their keys and their chunks; None: all that change.
        """
        ...


# What to do with objects that somebody else has written after they were prepared: tell, which leaves them and
# raises; leave them; or replace them.
Conflict = Literal["tell", "theirs", "ours"]
# How often objects are prepared again in one edit because somebody else writes them meanwhile.
_ROUNDS = 10
# A message about several objects names this many keys.
_KEYS = 8


def edit(
    place: Journaled,
    mapping: LabelMapping,
    prepare: Preparing,
    dry_run: bool,
    create_chunks: bool,
    options: Options,
    others: Sequence[Journaled] = (),
) -> RemapReport:
    """Replace labels of an array, or of all levels of a pyramid.

    Args:
        place: the array or the pyramid.
        mapping: old labels and new ones.
        prepare: makes the new form of what changes.
        dry_run: write nothing.
        create_chunks: write chunks that do not exist yet.
        options: how.
        others: places that share chunks with this one, and must not be edited at the same time.

    Raises:
        JournalError: there is an unfinished edit.
        TakenOverError: another process has taken over this one.
    """
    plan = {
        "keys": [int(key) for key in mapping.keys],
        "values": [int(value) for value in mapping.values],
        "preserve": mapping.preserve,
        "create_chunks": create_chunks,
    }
    return _edited(place, plan, mapping, prepare, dry_run, options, others)


def edit_otherwise(
    place: Journaled,
    what: str,
    prepare: Preparing,
    dry_run: bool,
    options: Options,
    others: Sequence[Journaled] = (),
) -> RemapReport:
    """Edit an array in another way than by a mapping of its labels.

    The new forms are those that ``prepare`` makes. While they are made, the edit cannot be finished by
    another call, only undone; as soon as the first object is replaced, it can be.

    Args:
        place: the array.
        what: the edit, for messages, such as "dust(threshold=100)".
        prepare: makes the new form of what changes; its mapping is None.
        dry_run: write nothing.
        options: how.
        others: see :func:`edit`.
    """
    return _edited(place, {"what": what, "create_chunks": True}, None, prepare, dry_run, options, others)


def _edited(
    place: Journaled,
    plan: dict[str, Any],
    mapping: LabelMapping | None,
    prepare: Preparing,
    dry_run: bool,
    options: Options,
    others: Sequence[Journaled],
) -> RemapReport:
    create_chunks = plan["create_chunks"]
    journal = Journal(place)
    _refuse_others(place, others)
    if dry_run:
        journal.refuse()
        prepared = prepare(mapping, create_chunks, None)
        return RemapReport(sorted(prepared.chunks), prepared.bytes_read, prepared.bytes_written, True)
    if is_transaction(place):
        change = Change(uuid.uuid4().hex, mapping, create_chunks)
        prepared, chunks, nbytes = edit_in_transaction(place, change, prepare, followers_of(place), options)
        return RemapReport(sorted(chunks), prepared.bytes_read, nbytes)
    check_writable(place, options)
    with at_work() as owner:
        hold = Hold(journal, journal.begin({"id": owner.id, **plan}, owner), owner)
        with hold.kept():
            try:
                _refuse_others(place, others)  # begun since
            except BaseException as error:
                hold.discard(error)
                raise
            return _prepare_and_apply(hold, Change(hold.id, mapping, create_chunks), prepare, options)


def _refuse_others(place: Journaled, others: Sequence[Journaled]) -> None:
    """Raise JournalError if something else is being done to a place, or was not finished."""
    for other in others:
        Journal(other).refuse()
    for one in (place, *others):
        refuse_unfinished(one)
    refuse_unfinished_levels(place)


def _change_in(plan: dict[str, Any], native: np.dtype[Any]) -> Change:
    """What the plan of a journal says."""
    if "what" in plan:
        return Change(plan["id"], None, True)
    keys = np.array(plan["keys"], dtype=native)
    values = np.array(plan["values"], dtype=native)
    return Change(plan["id"], LabelMapping.of_arrays(keys, values, plan["preserve"]), plan["create_chunks"])


def _prepare_and_apply(hold: Hold, change: Change, prepare: Preparing, options: Options) -> RemapReport:
    folder = hold.folder
    try:
        prepared = prepare(change.mapping, change.create_chunks, hold.entries(folder))
        if prepared.names:
            hold.keep_index(folder, prepared.names)
    except BaseException as error:
        hold.discard(error)  # the array is unchanged
        raise
    chunks = prepared.chunks
    if prepared.names:
        hold.step("applying", entries=folder)
        again = None if change.mapping is None else prepare
        chunks = _apply(hold, change, options, "tell", again).chunks
    hold.end("new")
    return RemapReport(sorted(chunks), prepared.bytes_read, prepared.bytes_written)


def _apply(
    hold: Hold, change: Change, options: Options, conflict: Conflict, prepare: Preparing | None
) -> Copied:
    """Replace all objects, and tell all that follow.

    What somebody else wrote since it was prepared is prepared again, if ``prepare`` is given.
    """
    place = hold.journal.layout
    followers = followers_of(place)
    for follower in followers:
        follower.before(change, options)
    batches = hold.batches()
    total = Copied([], 0, [])
    while True:
        done = _copy(hold, batches, "new", options, conflict)
        total += done
        if not done.foreign or prepare is None or hold.rounds >= _ROUNDS:
            break
        entries = hold.entries(hold.entries_folder).within(f"again-{hold.rounds + 1}")
        prepared = prepare(change.mapping, change.create_chunks, entries, done.foreign)
        hold.apply_again([key for key, _ in done.foreign], prepared.names)
        batches = [(name, frozenset()) for name in prepared.names]
        total = replace(total, foreign=[])
    _tell(place, total, conflict, "resume", "remap")
    if followers:
        hold.guard.check()
    for follower in followers:
        follower.after(change, options)
    return total


def _copy(
    hold: Hold,
    batches: Sequence[tuple[str, frozenset[str]]],
    which: Which,
    options: Options,
    conflict: Conflict,
) -> Copied:
    entries = hold.entries(hold.entries_folder)
    foreign: Foreign = "replace" if conflict == "ours" else "leave"
    return copy_to_array(hold.journal.layout, entries, batches, which, options, hold.guard, foreign)


def _tell(place: Journaled, copied: Copied, conflict: Conflict, call: str, what: str) -> None:
    """Raise JournalError if objects were left that somebody else has written."""
    if not copied.foreign or conflict != "tell":
        return
    keys = tuple(place.path(key) for key, _ in copied.foreign)
    more = f" and {len(keys) - _KEYS:,} more" if len(keys) > _KEYS else ""
    objects = "1 object" if len(keys) == 1 else f"{len(keys):,} objects"
    raise JournalError(
        f"{objects} of {place.name} were written by somebody else since the {what} prepared them, and are "
        f"left as they are: {', '.join(keys[:_KEYS])}{more}. All others are done, and the journal remains: "
        f"{call}(theirs=True) leaves these as they are, {call}(ours=True) replaces what was written "
        f"(on the command line --{call} --theirs, --{call} --ours)",
        keys,
    )


def finish(
    place: Journaled,
    native: np.dtype[Any],
    prepare: Preparing,
    options: Options,
    *,
    conflict: Conflict = "tell",
    force: bool = False,
) -> RemapReport:
    """Finish an interrupted edit.

    Args:
        place: the array or the pyramid.
        native: the dtype of its labels.
        prepare: makes the new form of what changes.
        options: how.
        conflict: what to do with objects that somebody else has written.
        force: also if its owner lives.
    """
    if is_transaction(place):
        refuse_to_go_on(place)
    check_writable(place, options)
    journal = Journal(place)
    history = journal.history(certain=True)
    if history is None:
        raise JournalError(f"{place.name} has no unfinished remap")
    if history.plan is None:
        raise JournalError(
            f"the remap of {place.name} ended while it wrote its plan, {journal.key('plan')}. The array is "
            f"unchanged: undo() removes the rest of the journal (on the command line --undo)"
        )
    state = history.step.what
    if state == "finished":
        journal.remove(history.plan)
        if history.step.outcome == "old":
            raise JournalError(
                f"{place.name} has no unfinished remap: the last one was taken back, and the rest of its "
                f"journal is removed now"
            )
        return RemapReport([], 0, 0)
    if state == "undoing":
        journal.refuse_if_alive(history, force)
        raise JournalError(
            f"an undo of {place.name} was interrupted: call undo() again (on the command line --undo)"
        )
    change = _change_in(history.plan, native)
    if change.mapping is None and state == "preparing":
        journal.refuse_if_alive(history, force)
        raise JournalError(
            f"{history.plan['what']} of {place.name} ended before the first chunk was replaced. The array is "
            f"unchanged: undo() removes the rest of the journal (on the command line remap --undo), and the "
            f"same call starts again"
        )
    with at_work() as owner:
        hold = take(journal, history, state, owner, force=force)
        with hold.kept():
            if state == "preparing":
                return _prepare_and_apply(hold, change, prepare, options)
            done = _apply(hold, change, options, conflict, None)
            hold.end("new")
            return RemapReport(done.chunks, done.nbytes, done.nbytes)


def undo(
    place: Journaled,
    native: np.dtype[Any],
    options: Options,
    *,
    conflict: Conflict = "tell",
    force: bool = False,
) -> RemapReport:
    """Undo an interrupted edit; the arguments are those of :func:`finish`."""
    if is_transaction(place):
        refuse_to_go_on(place)
    check_writable(place, options)
    journal = Journal(place)
    history = journal.history(certain=True)
    if history is None:
        raise JournalError(f"{place.name} has no unfinished remap")
    if history.plan is None or history.step.what == "finished":
        journal.remove(history.plan)
        return RemapReport([], 0, 0)
    with at_work() as owner:
        hold = take(journal, history, "undoing", owner, force=force)
        with hold.kept():
            done = Copied([], 0, [])
            if history.step.entries is not None:
                change = _change_in(history.plan, native)
                followers = followers_of(place)
                for follower in followers:
                    follower.undoing(change)
                done = _copy(hold, hold.batches(), "old", options, conflict)
                _tell(place, done, conflict, "undo", "remap")
                for follower in followers:
                    follower.undone(change, options)
            hold.end("old")
            return RemapReport(done.chunks, done.nbytes, done.nbytes)
