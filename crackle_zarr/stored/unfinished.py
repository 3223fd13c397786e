"""Unfinished conversions: a marker in the destination names the source and the options.

The same conversion, run again, finds its marker and continues; another one is refused. The store alone
remembers the progress.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from .._base import zarr_facts
from .._base.passwords import without_password
from ..errors import FormatError, JournalError, StoreError, TakenOverError
from .editing.entries import Journaled, Place, packed, unpacked
from .editing.journal import Journal
from .editing.owner import Owner, Signs, at_work, clock, life
from .editing.steps import owner_of, same_again
from .index.home import forget_index
from .translating_store import METADATA
from .writing import call_store, read_objects, write_objects

MARKER = ".crackle-convert"
# Beside it: who converts, and the sign of life of that call.
OWNER, SIGN = f"{MARKER}-owner", f"{MARKER}-sign"
# The objects that make a place an array or a group of Zarr.
ZARR = ("zarr.json", ".zarray", ".zgroup")


def _key(path: str, name: str) -> str:
    """The key of an object below a place; without a name, the prefix of these keys."""
    return f"{path}/{name}" if path else name


def marker(path: str) -> str:
    """The key of the marker of a destination."""
    return _key(path, MARKER)


def begin(
    store: Any,
    path: str,
    conversion: dict[str, Any],
    overwrite: bool,
    names: Sequence[str] = ZARR,
    claim: Claim | None = None,
) -> bool:
    """Mark a place as an unfinished conversion; returns whether it was one already.

    Args:
        store: of the destination.
        path: of the destination within the store.
        conversion: its source and options, as JSON. Another conversion does not continue this one.
        overwrite: remove what is there.
        names: the objects that make the place a finished or unfinished destination.
        claim: who converts; None: nobody is told.

    Raises:
        FileExistsError: the place has something else, or another process converts to it or edits it.
        FormatError: the marker is damaged.
        ValueError: the store cannot delete and list.
        StoreError: the store failed.
    """
    place = place_text(store, path)
    if not (store.supports_deletes and store.supports_listing):
        raise ValueError(f"{place} cannot delete and list, and a conversion needs both")
    (raw,) = read_objects(store, [marker(path)])
    marked = None if raw is None else _json(raw)
    if raw is not None:
        _refuse_another(store, path, claim)
    there = exists(store, path, names)
    if there:
        _refuse_editor(store, path)
    if not overwrite:
        if marked == conversion:
            _take(store, path, claim)
            return True
        if marked == _CLEARING:
            raise FileExistsError(f"a conversion was replacing {place}: overwrite=True continues it")
        if there and raw is None:
            raise FileExistsError(f"{place} exists already: overwrite=True replaces it")
        if there and marked is None:
            raise FormatError(
                f"{marker(path)} in {place} is damaged: try again, or overwrite=True starts anew"
            )
        if there:
            raise FileExistsError(f"{place} is an unfinished conversion {_difference(marked, conversion)}")
    if there or (overwrite and raw is not None):
        # The marker is written last, with the source: leftovers of the old array are never taken for the new
        # one.
        _take(store, path, claim)
        if marked != _CLEARING:
            _mark(store, path, _CLEARING)
        _clear(store, path, names)
    elif _holds_other_things(store, path):
        kind = "Zarr's" if names == ZARR else "of a conversion"
        raise FileExistsError(f"{place} has objects that are not {kind}: give an empty destination")
    _take(store, path, claim)
    _mark(store, path, conversion)
    try:
        _refuse_editor(store, path)  # it may have begun since
    except FileExistsError:
        end(store, path)
        raise
    return False


def place_text(store: Any, path: str) -> str:
    """A place in messages."""
    return without_password(f"{store}/{path}" if path else str(store))


def end(store: Any, path: str, claim: Claim | None = None) -> None:
    """Remove the marker: the conversion is finished.

    Raises:
        TakenOverError: another process converts to this place by now.
    """
    if claim is not None:
        claim.check(store, path)
    names = [OWNER] if claim is None or claim.sign != _key(path, SIGN) else [SIGN, OWNER]
    write_objects(store, {_key(path, name): None for name in names})
    write_objects(store, {marker(path): None})


@dataclass(frozen=True)
class Claim:
    """Who converts to a place, or to all arrays of a group. It pickles.

    Attributes:
        owner: the call.
        sign: the key of its sign of life.
    """

    owner: Owner
    sign: str

    def is_lost(self, store: Any, path: str) -> bool:
        """Whether a destination is another's, or nobody's any more."""
        key = _key(path, OWNER)
        (raw,) = read_objects(store, [key])
        if raw is None or owner_of(raw, key) is None:
            raw = same_again(store, key, raw)
        return raw is None or owner_of(raw, key) != self.owner

    def check(self, store: Any, path: str) -> None:
        """Raise TakenOverError if a destination is another's, or nobody's any more."""
        if self.is_lost(store, path):
            raise TakenOverError(
                f"the conversion to {place_text(store, path)} was taken over or replaced by another process. "
                f"This call has stopped: verify what it may have written last, when the other one is done"
            )


@contextlib.contextmanager
def claimed(store: Any, path: str) -> Iterator[Claim]:
    """This call as the one that converts to a place; while the block runs it gives signs of life."""
    with at_work() as owner:
        claim = Claim(owner, _key(path, SIGN))
        signs = Signs(store, claim.sign)
        try:
            with signs.given(lambda: not claim.is_lost(store, path)):
                yield claim
        except BaseException:
            with contextlib.suppress(StoreError):
                if not claim.is_lost(store, path):
                    signs.give(stopped=True)
            raise


def _take(store: Any, path: str, claim: Claim | None) -> None:
    """Say who converts to a place."""
    if claim is not None:
        value = packed({"owner": claim.owner.json(), "sign": claim.sign})
        write_objects(store, {_key(path, OWNER): value})
        claim.check(store, path)  # another one may have done so at the same time


def _refuse_another(store: Any, path: str, claim: Claim | None) -> None:
    """Raise FileExistsError if another process that lives converts to a place."""
    key = _key(path, OWNER)
    (raw,) = read_objects(store, [key])
    owner = None if raw is None else owner_of(raw, key)
    if raw is None or owner is None or (claim is not None and owner == claim.owner):
        return
    state, age = life(owner, Signs(store, unpacked(raw, key)[0]["sign"]), watch=True)
    if state == "lives":
        raise FileExistsError(
            f"{place_text(store, path)} is being converted to since {clock(owner.since)} by {owner.text()}, "
            f"last sign {age:.0f} s ago: wait until it is done, or end that process"
        )


def _refuse_editor(store: Any, path: str) -> None:
    """Raise FileExistsError if a process that lives remaps an array or a group."""
    journal = Journal(Place(store, path))
    history = journal.history()
    if history is None or history.plan is None:
        return
    who, lives = journal.told(history, watch=True)
    if lives is not False and history.step.what != "finished":
        raise FileExistsError(
            f"{place_text(store, path)} is being remapped {who}: wait until it is done. If that process "
            f"hangs, undo(force=True) takes its remap back (on the command line remap --undo --force)"
        )


def refuse_conversion(place: Journaled) -> None:
    """Raise JournalError if a place is an unfinished conversion."""
    (raw,) = read_objects(place.store, [place.path(MARKER)])
    if raw is not None:
        raise JournalError(conversion_text(place.name, raw))


def _difference(marked: Any, conversion: dict[str, Any]) -> str:
    """How a conversion differs from the one that a marker names, and what to do."""
    sources = [one.get("source") if isinstance(one, dict) else None for one in (marked, conversion)]
    if sources[0] == sources[1]:
        return "with other options: the same call as before goes on, and overwrite=True starts anew"
    return (
        f"of {sources[0]}, and not of {sources[1]}: if it is the same place, it has changed since. "
        f"overwrite=True starts anew (on the command line --overwrite)"
    )


def conversion_text(name: str, raw: bytes) -> str:
    """What the marker of an unfinished conversion says, for messages."""
    marked = _json(raw)
    if marked == _CLEARING:
        return f"{name} is being replaced by a conversion that has not finished: overwrite=True continues it"
    source = marked.get("source") if isinstance(marked, dict) else None
    of = f" of {source}" if source else ""
    return (
        f"{name} is an unfinished conversion{of}: some of its chunks may be missing. The same call of "
        f"convert goes on, and overwrite=True starts anew (on the command line --overwrite)"
    )


def _mark(store: Any, path: str, conversion: dict[str, Any]) -> None:
    write_objects(store, {marker(path): json.dumps(conversion).encode("ascii")})


# The marker's content while the old array is being removed.
_CLEARING = {"clearing": True}


def _clear(store: Any, path: str, metadata: Sequence[str]) -> None:
    """Remove everything but the marker.

    Raises:
        StoreError: the store failed, or still lists something afterwards.
    """
    forget_index(store, path)
    clear_metadata(store, path, metadata)
    ours = {_key(path, name) for name in (MARKER, OWNER, SIGN)}
    names = _listed(store, path)
    if marker(path) not in names:  # the marker was just written, so this store does not list its keys
        call_store(store, path, store.delete_dir(path) if path else store.clear(), "deleted from")
        return
    names = [name for name in names if name not in ours]
    disk = zarr_facts.unwrapped(store)
    if isinstance(disk, LocalStore):  # it cannot delete links to folders
        for place in (Path(disk.root) / name for name in names):
            if place.is_symlink():
                place.unlink()
    for number in range(0, len(names), _AT_ONCE):
        write_objects(store, dict.fromkeys(names[number : number + _AT_ONCE]))
    left = set(_listed(store, path)) - ours
    if left:
        raise StoreError(f"{store} still lists {min(left)} after deleting it: overwrite=True tries again")


# The number of objects deleted in one call; Ctrl-C takes effect between two calls.
_AT_ONCE = 1000


def _listed(store: Any, path: str) -> list[str]:
    """The keys below a place; on a disk, the files and folders directly in it."""
    on_disk = isinstance(zarr_facts.unwrapped(store), LocalStore)  # it deletes whole folders

    async def listed() -> list[str]:
        if on_disk:
            return [_key(path, name) async for name in store.list_dir(path)]
        return [key async for key in store.list_prefix(_key(path, ""))]

    return call_store(store, path, listed(), "listed in")


def clear_metadata(store: Any, path: str, names: Sequence[str] = ()) -> None:
    """Remove the metadata of an array or a group, and leave its chunks and members."""
    write_objects(store, {_key(path, name): None for name in dict.fromkeys((*names, *METADATA))})


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:  # half written
        return None


def _holds_other_things(store: Any, path: str) -> bool:
    ours = {_key(path, name) for name in (MARKER, OWNER, SIGN)}

    async def any_key() -> bool:
        async for key in store.list_prefix(_key(path, "")):
            if key not in ours:
                return True
        return False

    return bool(store.supports_listing) and call_store(store, path, any_key())


def exists(store: Any, path: str, names: Sequence[str] = ZARR) -> bool:
    """Whether a place has one of these objects."""
    return any(call_store(store, _key(path, ""), store.exists(_key(path, name))) for name in names)
