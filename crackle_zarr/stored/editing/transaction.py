"""Edits in a store that is a transaction: a session of Icechunk, whose changes nobody sees before its commit.

There the session is what a journal is elsewhere. An edit writes into it, and the caller commits; what was
stopped half-way is dropped with ``session.discard_changes()``; older states are Icechunk's own snapshots.
So there is nothing to resume and nothing to undo.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from ..._base.patience import session_of
from ...errors import JournalError
from ..engine import Options
from ..forks import is_dropped_after_failure
from .applying import copy_to_array
from .entries import Entries, Journaled

if TYPE_CHECKING:
    from .followers import Change, Follower

_WAY_BACK = "session.discard_changes() drops all that was not committed, session.commit(...) keeps it"


def is_transaction(place: Journaled) -> bool:
    """Whether a place is in a session of Icechunk."""
    return session_of(place.store) is not None


def refuse_to_go_on(place: Journaled) -> None:
    """Raise JournalError: a session has no unfinished edit."""
    raise JournalError(f"{place.name} is in a session of Icechunk, which needs no journal: {_WAY_BACK}")


def check_session(place: Journaled) -> None:
    """Raise ValueError if a session cannot be edited, before anything is read."""
    if place.store.read_only:
        raise ValueError(
            f"{place.name} is in a read-only session of Icechunk: open it in one that can be committed, "
            f"such as repo.writable_session('main').store"
        )


def edit_in_transaction(
    place: Journaled,
    change: Change,
    prepare: Any,
    followers: Sequence[Follower],
    options: Options,
) -> tuple[Any, list[Any], int]:
    """Replace labels in a session; nothing is committed.

    All new forms are prepared before the first object is replaced, in a temporary folder: so what is wrong
    with the mapping or with a chunk is found while the session is still unchanged. What follows the edit,
    such as an index, changes in the same session.

    Returns:
        What was prepared, the chunks that changed, and the number of bytes written.
    """
    check_session(place)
    with tempfile.TemporaryDirectory(prefix="crackle-zarr-") as folder:
        entries = Entries(LocalStore(folder), "", place.name)
        prepared = prepare(change.mapping, change.create_chunks, entries)
        _refuse_unseen(prepared.names, folder, place, options)
        followers = followers if prepared.names else ()
        try:
            for follower in followers:
                follower.before(change, options)
            batches = [(name, frozenset[str]()) for name in prepared.names]
            done = copy_to_array(place, entries, batches, "new", options)
            for follower in followers:
                follower.after(change, options)
        except BaseException as error:
            if not is_dropped_after_failure(place.store):
                error.add_note(f"{place.name} is changed in part within its session: {_WAY_BACK}")
            raise
    return prepared, done.chunks, done.nbytes


def _refuse_unseen(names: Sequence[str], folder: str, place: Journaled, options: Options) -> None:
    """Raise ValueError if other machines have prepared objects in folders that this one does not see."""
    if not all(Path(folder, name).exists() for name in names):
        raise ValueError(
            f"workers of {options.executor!r} kept chunks of {place.name} on other machines, in {folder}: "
            f"set TMPDIR to a folder that all machines share, or use threads (executor=None)"
        )
