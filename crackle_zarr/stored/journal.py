"""The journal of a remap: what makes it all or nothing, whenever the process ends.

A remap is not idempotent ({1: 2, 2: 1} done twice is nothing done), so after an interruption it has to be
known of every chunk whether it has its new labels. Therefore all new objects are written to a journal beside
the chunks first, with the old ones; then one marker says that they count; then they are put in place. Before
the marker the array is untouched, and the journal is worth nothing. After it, putting objects in place can be
repeated as often as it takes, in either direction.

The journal lies in the store under ``.crackle-remap/`` within the array's own prefix, where Zarr looks for
nothing:

    plan            the mapping and the options; there is a journal as long as this or 'finished' exists
    new/KEY         what the object KEY is to become; empty: it is to be deleted
    old/KEY         what it was; empty: it did not exist
    applying        marker: all of new/ is there, and counts
    undoing         marker: old/ is being put back
    finished        marker: all is in place; what else is left of the journal is to be removed

Every file but the markers ends in a checksum of itself, so none that was written by half is ever believed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ..errors import CrackleError, FormatError, JournalError, StoreError
from .fetch import Wanted, fetch
from .layout import Coords, Layout

NAME = ".crackle-remap"

State = Literal["preparing", "applying", "undoing", "finished"]


# ---------------------------------------------------------------------------------------
# Writing to a store


def put(store: Store, values: Mapping[str, bytes | None]) -> None:
    """Set objects of a store, or delete those whose value is None.

    Raises:
        StoreError: the store failed; it names the object.
    """

    async def each() -> None:
        for key, value in values.items():
            try:
                if value is None:
                    await store.delete(key)
                else:
                    await store.set(key, default_buffer_prototype().buffer.from_bytes(value))
            except FileNotFoundError:
                if value is not None:
                    raise
            except (CrackleError, MemoryError):
                raise
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise StoreError(
                    f"{key} cannot be written to {store}: {type(error).__name__}: {reason}"
                ) from error

    sync(each())


def get(store: Store, keys: Iterable[str]) -> list[bytes | None]:
    """Objects of a store; None for those that are not there."""
    found = []
    for came in fetch(store, [Wanted(key) for key in keys]):
        if isinstance(came, BaseException):
            raise came
        found.append(None if came is None else came.tobytes())
    return found


# ---------------------------------------------------------------------------------------
# Entries


def packed(meta: Any, payload: bytes) -> bytes:
    """A file of the journal: some JSON, some bytes, and a checksum of both."""
    text = json.dumps(meta).encode("ascii")
    body = struct.pack("<I", len(text)) + text + payload
    return body + struct.pack("<I", zlib.crc32(body))


def unpacked(raw: bytes, name: str) -> tuple[Any, bytes]:
    """The JSON and the bytes of a file of the journal."""
    body = raw[:-4]
    if len(raw) < 8 or struct.pack("<I", zlib.crc32(body)) != raw[-4:]:
        raise FormatError(f"the journal's file {name} is damaged")
    (length,) = struct.unpack_from("<I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


@dataclass(frozen=True)
class Entry:
    """What becomes of an object, and which chunks that changes."""

    key: str
    old: bytes
    new: bytes
    chunks: tuple[Coords, ...]


class Journal:
    """The journal of an array."""

    def __init__(self, layout: Layout) -> None:
        """The journal beside the chunks of a layout, whether there is one or not."""
        self.layout = layout
        self.store = layout.store
        self.root = layout.path(NAME)

    def _key(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _there(self, name: str) -> bool:
        return bool(sync(self.store.exists(self._key(name))))

    @property
    def state(self) -> State | None:
        """How far the remap has come; None: there is no journal."""
        if self._there("finished"):
            return "finished"
        if not self._there("plan"):
            return None
        if self._there("undoing"):
            return "undoing"
        return "applying" if self._there("applying") else "preparing"

    def begin(self, plan: dict[str, Any]) -> None:
        """Take the journal for a remap.

        Raises:
            JournalError: there is one already.
        """
        if self.state is not None:
            self.refuse()
        self.forget_entries()  # of a journal whose end was interrupted there may be some
        value = default_buffer_prototype().buffer.from_bytes(packed(plan, b""))
        sync(self.store.set_if_not_exists(self._key("plan"), value))
        if self.plan() != plan:  # another process was faster
            self.refuse()

    def refuse(self) -> None:
        """Raise JournalError: another remap has to be finished first."""
        raise JournalError(
            f"{self.layout.name} has an unfinished remap: resume() finishes it, undo() takes it back"
        )

    def plan(self) -> dict[str, Any]:
        """What is to be done."""
        (raw,) = get(self.store, [self._key("plan")])
        if raw is None:
            raise JournalError(f"{self.layout.name} has no unfinished remap")
        meta: dict[str, Any] = unpacked(raw, "plan")[0]
        return meta

    def write(self, entries: Iterable[Entry]) -> None:
        """Keep the old and the new form of some objects."""
        for entry in entries:
            put(
                self.store,
                {
                    self._key(f"old/{entry.key}"): packed(None, entry.old),
                    self._key(f"new/{entry.key}"): packed([list(one) for one in entry.chunks], entry.new),
                },
            )

    def mark(self, state: Literal["applying", "undoing", "finished"]) -> None:
        """Enter a state."""
        put(self.store, {self._key(state): state.encode("ascii")})

    def keys(self) -> list[str]:
        """The objects that the journal is about."""
        prefix = self._key("new/")

        async def collect(names: AsyncIterator[str]) -> list[str]:
            return [name async for name in names]

        # Some stores leave the prefix away that they were asked for, some files are no objects.
        names = sync(collect(self.store.list_prefix(prefix)))
        found = sorted(name.removeprefix(prefix) for name in names if not name.endswith(".partial"))
        return found

    def place(self, keys: Iterable[str], which: Literal["old", "new"]) -> tuple[list[Coords], int]:
        """Put the old or the new form of some objects into the array.

        Returns:
            The chunks that this changes, and how many bytes were written.
        """
        chunks: list[Coords] = []
        nbytes = 0
        for key in keys:
            name = f"{which}/{key}"
            (raw,) = get(self.store, [self._key(name)])
            if raw is None:
                raise JournalError(f"the journal of {self.layout.name} lacks {name}")
            meta, payload = unpacked(raw, name)
            put(self.store, {self.layout.path(key): payload or None})
            chunks += [tuple(one) for one in meta or ()]
            nbytes += len(payload)
        return chunks, nbytes

    def forget_entries(self) -> None:
        """Remove what was prepared."""
        for name in ("new", "old"):
            sync(self.store.delete_dir(self._key(name)))

    def remove(self) -> None:
        """Remove the journal, so that it is never taken for one that has still to be applied.

        'finished' goes last: as long as it is there, nothing else in the journal counts.
        """
        self.mark("finished")
        self.forget_entries()
        for name in ("plan", "applying", "undoing", "finished"):
            put(self.store, {self._key(name): None})
        sync(self.store.delete_dir(self.root))  # a disk keeps empty directories
