"""The three ways through an edit of labels: to do it, to finish it, to take it back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..._base.mapping import LabelMapping
from ...errors import JournalError, StoreError
from ..engine import Options
from ..layout import Coords
from .applying import check_writable, copy_to_array
from .entries import Entries, Journaled
from .followers import Change, followers_of
from .journal import Journal


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


# Prepares the new form of all objects that change, for a mapping, with or without creating chunks, and keeps
# it in entries; None: keep nothing.
Preparing: TypeAlias = Callable[[LabelMapping, bool, Entries | None], Prepared]


def edit(
    place: Journaled,
    mapping: LabelMapping,
    prepare: Preparing,
    dry_run: bool,
    create_chunks: bool,
    options: Options,
) -> RemapReport:
    """Replace labels of an array, or of all levels of a pyramid."""
    if not dry_run:
        check_writable(place, options)
    journal = Journal(place)
    if dry_run:
        if journal.state is not None:
            journal.refuse()
        prepared = prepare(mapping, create_chunks, None)
        return RemapReport(sorted(prepared.chunks), prepared.bytes_read, prepared.bytes_written, True)
    change = Change(uuid.uuid4().hex, mapping, create_chunks)
    journal.begin(
        {
            "format": 1,
            "id": change.id,
            "keys": [int(key) for key in mapping.keys],
            "values": [int(value) for value in mapping.values],
            "preserve": mapping.preserve,
            "create_chunks": create_chunks,
        }
    )
    return _prepare_and_apply(journal, change, prepare, options)


def _change_in(plan: dict[str, Any], native: np.dtype[Any]) -> Change:
    """What the plan of a journal says."""
    keys = np.array(plan["keys"], dtype=native)
    values = np.array(plan["values"], dtype=native)
    return Change(plan["id"], LabelMapping.of_arrays(keys, values, plan["preserve"]), plan["create_chunks"])


def _prepare_and_apply(journal: Journal, change: Change, prepare: Preparing, options: Options) -> RemapReport:
    try:
        prepared = prepare(change.mapping, change.create_chunks, journal.entries)
    except BaseException as error:
        try:
            journal.discard()  # the array is unchanged
        except StoreError as second:
            error.add_note(
                f"The journal still exists: resume() does the remap, and undo() removes the journal: {second}"
            )
        raise
    if prepared.names:
        journal.apply(prepared.names)
        _apply(journal, change, prepared.names, options)
    journal.remove()
    return RemapReport(sorted(prepared.chunks), prepared.bytes_read, prepared.bytes_written)


def _apply(journal: Journal, change: Change, names: list[str], options: Options) -> tuple[list[Coords], int]:
    """Replace all objects, and tell all that follow."""
    followers = followers_of(journal.layout)
    for follower in followers:
        follower.before(change, options)
    done = copy_to_array(journal.layout, journal.entries, names, "new", options)
    for follower in followers:
        follower.after(change, options)
    return done


def finish(place: Journaled, native: np.dtype[Any], prepare: Preparing, options: Options) -> RemapReport:
    """Finish an interrupted edit; ``native`` is the dtype of its labels."""
    check_writable(place, options)
    journal = Journal(place)
    state = journal.certain_state()
    if state is None:
        raise JournalError(f"{place.name} has no unfinished remap")
    if state == "finished":
        journal.remove()
        return RemapReport([], 0, 0)
    if state == "undoing":
        raise JournalError(f"an undo of {place.name} was interrupted: call undo() again")
    change = _change_in(journal.plan(), native)
    if state == "applying":
        chunks, nbytes = _apply(journal, change, journal.names(), options)
        journal.remove()
        return RemapReport(chunks, nbytes, nbytes)
    journal.forget_entries()
    return _prepare_and_apply(journal, change, prepare, options)


def undo(place: Journaled, native: np.dtype[Any], options: Options) -> RemapReport:
    """Undo an interrupted edit; ``native`` is the dtype of its labels."""
    check_writable(place, options)
    journal = Journal(place)
    state = journal.certain_state()
    if state is None:
        raise JournalError(f"{place.name} has no unfinished remap")
    chunks: list[Coords] = []
    nbytes = 0
    if state in ("applying", "undoing"):
        followers = followers_of(place)
        change = _change_in(journal.plan(), native) if followers else None
        journal.mark("undoing")
        chunks, nbytes = copy_to_array(place, journal.entries, journal.names(), "old", options)
        for follower in followers:
            assert change is not None
            follower.undone(change, options)
    if state == "preparing":
        journal.discard()
    else:
        journal.remove()
    return RemapReport(chunks, nbytes, nbytes)
