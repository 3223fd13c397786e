"""Unfinished conversions: a marker in the destination names the source and the options.

The same conversion, run again, finds its marker and continues; another one is refused. The store alone
remembers the progress.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from .._base import zarr_facts
from ..errors import FormatError, JournalError, StoreError
from .claims import OWNER, SIGN, Claim, busy, key_in, place_text
from .editing.entries import Journaled, Place
from .editing.journal import Journal
from .fetch import Wanted, fetch
from .index.home import forget_index
from .translating_store import METADATA
from .writing import call_store, read_objects, write_objects

MARKER = ".crackle-convert"
# The marker in a group whose lower levels are being built.
PYRAMID = ".crackle-pyramid"
# The objects that make a place an array or a group of Zarr.
ZARR = ("zarr.json", ".zarray", ".zgroup")


def marker(path: str) -> str:
    """The key of the marker of a destination."""
    return key_in(path, MARKER)


def begin(
    store: Any,
    path: str,
    conversion: dict[str, Any],
    overwrite: bool,
    claim: Claim,
    names: Sequence[str] = ZARR,
) -> bool:
    """Claim a place, and mark it as an unfinished conversion; returns whether it was one already.

    Args:
        store: of the destination.
        path: of the destination within the store.
        conversion: its source and options, as JSON. Another conversion does not continue this one.
        overwrite: remove what is there.
        claim: of this call.
        names: the objects that make the place a finished or unfinished destination.

    Raises:
        FileExistsError: the place has something else, or another process writes to it or edits it.
        FormatError: the marker is damaged.
        ValueError: the store cannot delete and list.
        TakenOverError: another process began at the same time.
        StoreError: the store failed.
    """
    place = place_text(store, path)
    if not (store.supports_deletes and store.supports_listing):
        raise ValueError(f"{place} cannot delete and list, and a conversion needs both")
    _refuse_busy(store, path, claim)
    before = raw, there = _seen(store, path, names)
    marked = None if raw is None else _json(raw)
    if there:
        _refuse_editor(store, path)
    continues = False
    if not overwrite:
        continues = raw is not None and marked == conversion
        if not continues:
            _refuse_existing(place, path, raw, there, conversion)
    replaces = overwrite and (there or raw is not None)
    if replaces:
        refuse_writers_within(store, path, claim)
    if not continues and not replaces and _holds_other_things(store, path):
        kind = "Zarr's" if names == ZARR else "of a conversion"
        raise FileExistsError(f"{place} has objects that are not {kind}: give an empty destination")
    _take(store, path, names, claim, before)
    if continues:
        return True
    held = claim.on(store, path)
    if replaces:
        # The marker is written last, with the source: leftovers of the old array are never taken for the new
        # one.
        if marked != _CLEARING:
            held.check()
            _mark(store, path, _CLEARING)
        clear(store, path, names)
    held.check()
    _mark(store, path, conversion)
    try:
        _refuse_editor(store, path)  # it may have begun since
    except FileExistsError:
        claim.finish(store, path, marker(path))
        raise
    return False


def _take(
    store: Any, path: str, names: Sequence[str], claim: Claim, before: tuple[bytes | None, bool]
) -> None:
    """Claim a place, which has to be as it was before.

    Raises:
        StoreError: it is not.
    """
    claim.take(store, path)
    if _seen(store, path, names) == before:
        return
    claim.on(store, path).check()
    claim.release(store, path)
    keys = ", ".join([marker(path), *(key_in(path, name) for name in names)])
    raise StoreError(
        f"{keys} in {place_text(store, path)}: one of these changed while this call began. Another process "
        f"wrote there, or the store did not send it at first: try again"
    )


def _seen(store: Any, path: str, names: Sequence[str]) -> tuple[bytes | None, bool]:
    """The marker of a place, and whether it has an array or a group."""
    (raw,) = read_objects(store, [marker(path)])
    return raw, exists(store, path, names)


def _refuse_existing(
    place: str, path: str, raw: bytes | None, there: bool, conversion: dict[str, Any]
) -> None:
    """Raise FileExistsError if a place has something, or FormatError if its marker is damaged."""
    marked = None if raw is None else _json(raw)
    if marked == _CLEARING:
        raise FileExistsError(f"a conversion was replacing {place}: overwrite=True continues it")
    if there and raw is None:
        raise FileExistsError(f"{place} exists already: overwrite=True replaces it")
    if there and marked is None:
        raise FormatError(f"{marker(path)} in {place} is damaged: try again, or overwrite=True starts anew")
    if there:
        raise FileExistsError(f"{place} is an unfinished conversion {_difference(marked, conversion)}")


def end(store: Any, path: str, claim: Claim) -> None:
    """Remove the marker: the conversion is finished.

    Raises:
        TakenOverError: another process writes to this place by now.
    """
    claim.finish(store, path, marker(path))


def refuse_writers_within(store: Any, path: str, claim: Claim | None = None) -> None:
    """Raise FileExistsError if a process that lives writes to a place or edits it, or something in it.

    Args:
        store: of the place.
        path: of an array or a group that is to be replaced.
        claim: of this call, which does not count.
    """
    for one in (path, *_nodes_in(store, path)):
        _refuse_busy(store, one, claim)
        _refuse_editor(store, one)


def _nodes_in(store: Any, path: str) -> Iterator[str]:
    """The paths of all arrays and groups in a group; none for an array."""
    # Zarr's own listing warns of objects that it does not know, such as a journal.
    if not _may_be_group(store, path):
        return

    async def listed() -> list[str]:
        return [name.rstrip("/").rpartition("/")[2] async for name in store.list_dir(path)]

    names = [key_in(path, name) for name in call_store(store, path, listed(), "listed in")]
    keys = [[key_in(name, one) for one in ZARR] for name in names]
    found = iter(fetch(store, [Wanted(key) for some in keys for key in some]))
    for name, some in zip(names, keys, strict=True):
        # What is half written, so that it cannot be read, is there.
        values = [next(found) for _ in some]
        for value in values:
            if isinstance(value, BaseException) and not isinstance(value, FormatError):
                raise value
        if any(value is not None for value in values):
            yield name
            yield from _nodes_in(store, name)


def _may_be_group(store: Any, path: str) -> bool:
    """Whether a place is a group, or has metadata that are half written."""
    try:
        return _is_group(*read_objects(store, [key_in(path, name) for name in ZARR]))
    except FormatError:
        return True


def _is_group(zarr_json: bytes | None, zarray: bytes | None, zgroup: bytes | None) -> bool:
    """Whether these objects, those of :data:`ZARR`, make a place a group."""
    metadata = None if zarr_json is None else _json(zarr_json)
    return zgroup is not None or (isinstance(metadata, dict) and metadata.get("node_type") == "group")


def _refuse_busy(store: Any, path: str, claim: Claim | None) -> None:
    """Raise FileExistsError if another process that lives writes to a place."""
    text = busy(store, path, claim)
    if text is not None:
        raise FileExistsError(text)


def _refuse_editor(store: Any, path: str) -> None:
    """Raise FileExistsError if a process that lives remaps an array or a group, or the group around it."""
    for one in dict.fromkeys((path, path.rpartition("/")[0])):
        journal = Journal(Place(store, one))
        history = journal.history()
        if history is None or history.plan is None:
            continue
        who, lives = journal.told(history, watch=True)
        if lives is not False and history.step.what != "finished":
            raise FileExistsError(
                f"{place_text(store, one)} is being remapped {who}: wait until it is done. If that process "
                f"hangs, undo(force=True) takes its remap back (on the command line remap --undo --force)"
            )


def refuse_unfinished(place: Journaled, claim: Claim | None = None) -> None:
    """Raise JournalError if a conversion to a place is unfinished, or somebody writes to it.

    Args:
        place: an array or a group.
        claim: of this call, whose own work does not count.
    """
    path = _path_of(place)
    text = busy(place.store, path, claim)
    if text is not None:
        raise JournalError(text)
    parent = path.rpartition("/")[0]
    own, around = read_objects(place.store, [marker(path), marker(parent)])
    if own is not None:
        raise JournalError(conversion_text(place.name, own))
    if around is not None and is_of_labels(around):
        raise JournalError(conversion_text(place_text(place.store, parent), around))


def refuse_unfinished_levels(place: Journaled) -> None:
    """Raise JournalError if a place is a group whose levels are unfinished, or one of its levels.

    A build that goes on keeps the levels that it has finished, and so must not find new labels in the others.
    """
    path = _path_of(place)
    parent, _, name = path.rpartition("/")
    own, around = read_objects(place.store, [key_in(path, PYRAMID), key_in(parent, PYRAMID)])
    if own is not None:
        raise JournalError(levels_text(place.name, own))
    if around is not None and name in levels_in(around)[0]:
        raise JournalError(levels_text(place_text(place.store, parent), around))


def _path_of(place: Journaled) -> str:
    """The path of a place within its store."""
    return place.path(MARKER).removesuffix(MARKER).removesuffix("/")


def levels_in(raw: bytes) -> tuple[list[str], list[str]]:
    """The names of all levels that the marker of a build has, and of those that are not finished."""
    try:
        run: Any = json.loads(raw)
        names = [str(level[0]) for level in run["work"]["levels"]]
        return names, names[(run["done"] or 0) + 1 :]
    except (ValueError, LookupError, TypeError):  # half written
        return [], []


def levels_text(name: str, raw: bytes) -> str:
    """What the marker of an unfinished build of levels says, for messages."""
    _, left = levels_in(raw)
    return (
        f"{name} has unfinished levels{': ' if left else ''}{', '.join(left)}; the same call of "
        f"build_pyramid goes on (on the command line: crackle-zarr pyramid)"
    )


def _difference(marked: Any, conversion: dict[str, Any]) -> str:
    """How a conversion differs from the one that a marker names, and what to do."""
    sources = [one.get("source") if isinstance(one, dict) else None for one in (marked, conversion)]
    if sources[0] == sources[1]:
        return "with other options: the same call as before goes on, and overwrite=True starts anew"
    if None in sources:
        return "by another call: that one goes on, and overwrite=True starts anew"
    return (
        f"of {sources[0]}, and not of {sources[1]}: if it is the same place, it has changed since. "
        f"overwrite=True starts anew (on the command line --overwrite)"
    )


def is_of_labels(raw: bytes) -> bool:
    """Whether a marker is that of labels that are being written to a group, whose arrays have none."""
    marked = _json(raw)
    return isinstance(marked, dict) and "labels" in marked


def conversion_text(name: str, raw: bytes) -> str:
    """What the marker of an unfinished conversion says, for messages."""
    marked = _json(raw)
    if marked == _CLEARING:
        return f"{name} is being replaced by a conversion that has not finished: overwrite=True continues it"
    source = marked.get("source") if isinstance(marked, dict) else None
    of = f" of {source}" if source else ""
    call = "write_ome_labels" if is_of_labels(raw) else "convert"
    return (
        f"{name} is an unfinished conversion{of}: some of its chunks may be missing. The same call of "
        f"{call} goes on, and overwrite=True starts anew (on the command line --overwrite)"
    )


def _mark(store: Any, path: str, conversion: dict[str, Any]) -> None:
    write_objects(store, {marker(path): json.dumps(conversion).encode("ascii")})


# The marker's content while the old array is being removed.
_CLEARING = {"clearing": True}


def clear(store: Any, path: str, metadata: Sequence[str] = ZARR) -> None:
    """Remove everything but the marker and the claim.

    Raises:
        StoreError: the store failed, or still lists something afterwards.
    """
    forget_index(store, path)
    clear_metadata(store, path, metadata)
    ours = [key_in(path, name) for name in (MARKER, OWNER, SIGN)]
    names = _listed(store, path)
    if marker(path) not in names:  # the marker was just written, so this store does not list its keys
        kept = dict(zip(ours, read_objects(store, ours), strict=True))
        call_store(store, path, store.delete_dir(path) if path else store.clear(), "deleted from")
        write_objects(store, {key: value for key, value in kept.items() if value is not None})
        return
    names = [name for name in names if name not in ours]
    disk = zarr_facts.unwrapped(store)
    if isinstance(disk, LocalStore):  # it cannot delete links to folders
        for place in (Path(disk.root) / name for name in names):
            if place.is_symlink():
                place.unlink()
    for number in range(0, len(names), _AT_ONCE):
        write_objects(store, dict.fromkeys(names[number : number + _AT_ONCE]))
    left = set(_listed(store, path)).difference(ours)
    if left:
        raise StoreError(f"{store} still lists {min(left)} after deleting it: overwrite=True tries again")


# The number of objects deleted in one call; Ctrl-C takes effect between two calls.
_AT_ONCE = 1000


def _listed(store: Any, path: str) -> list[str]:
    """The keys below a place; on a disk, the files and folders directly in it."""
    on_disk = isinstance(zarr_facts.unwrapped(store), LocalStore)  # it deletes whole folders

    async def listed() -> list[str]:
        if on_disk:
            return [key_in(path, name) async for name in store.list_dir(path)]
        return [key async for key in store.list_prefix(key_in(path, ""))]

    return call_store(store, path, listed(), "listed in")


def clear_metadata(store: Any, path: str, names: Sequence[str] = ()) -> None:
    """Remove the metadata of an array or a group, and leave its chunks and members."""
    write_objects(store, {key_in(path, name): None for name in dict.fromkeys((*names, *METADATA))})


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:  # half written
        return None


def _holds_other_things(store: Any, path: str) -> bool:
    ours = {key_in(path, name) for name in (MARKER, OWNER, SIGN)}

    async def any_key() -> bool:
        async for key in store.list_prefix(key_in(path, "")):
            if key not in ours:
                return True
        return False

    return bool(store.supports_listing) and call_store(store, path, any_key())


def exists(store: Any, path: str, names: Sequence[str] = ZARR) -> bool:
    """Whether a place has one of these objects."""
    return any(call_store(store, key_in(path, ""), store.exists(key_in(path, name))) for name in names)
