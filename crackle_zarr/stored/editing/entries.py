"""Entries: the old and the new form of objects that change, kept until they are copied to their places."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from zarr.abc.store import Store

from ..._base import zarr_facts
from ...errors import FormatError, JournalError
from ..layout import Coords
from ..writing import read_objects, write_objects


class Journaled(Protocol):
    """What is edited as one: an array, or all levels of a pyramid."""

    @property
    def store(self) -> Store:
        """Where the chunks are."""
        ...

    @property
    def name(self) -> str:
        """The place, for messages."""
        ...

    def path(self, key: str) -> str:
        """The key within the store, from one within the place."""
        ...

    def holds(self, key: str, coords: Coords) -> bool:
        """Whether a key is that of the object with this chunk."""
        ...


@dataclass(frozen=True)
class Place:
    """A place of a store that may have a journal, of whose chunks nothing is known."""

    store: Store
    root: str

    @property
    def name(self) -> str:
        """The place, for messages."""
        return str(zarr_facts.place_in(self.store, self.root))

    def path(self, key: str) -> str:
        """The key within the store, from one within the place."""
        return f"{self.root}/{key}" if self.root else key

    def holds(self, key: str, coords: Coords) -> bool:
        """No chunk is known."""
        return False


def packed(meta: Any, payload: bytes = b"") -> bytes:
    """A file of some JSON, some bytes, and a checksum of both."""
    text = json.dumps(meta).encode("ascii")
    body = struct.pack("<I", len(text)) + text + payload
    return body + struct.pack("<I", zlib.crc32(body))


def unpacked(raw: bytes, key: str) -> tuple[Any, bytes]:
    """The JSON and the bytes of such a file.

    Raises:
        FormatError: it is damaged.
    """
    body = raw[:-4]
    if len(raw) < 8 or struct.pack("<I", zlib.crc32(body)) != raw[-4:]:
        raise FormatError(f"the journal's file {key} is damaged")
    (length,) = struct.unpack_from("<I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


@dataclass(frozen=True)
class Entry:
    """The old and the new bytes of an object, empty where there is no object, and the chunks that change."""

    key: str
    old: bytes
    new: bytes
    chunks: tuple[Coords, ...]


def entries_in(raw: bytes, key: str) -> Iterator[Entry]:
    """The objects of a file of entries."""
    meta, payload = unpacked(raw, key)
    for path, old, new, chunks in meta:
        yield Entry(path, payload[:old], payload[old : old + new], tuple(map(tuple, chunks)))
        payload = payload[old + new :]


@dataclass(frozen=True)
class Entries:
    """Where entries are kept. It pickles, as tasks in other processes write and read them.

    Attributes:
        store: of the files with entries, which need not be the array's.
        root: of their keys, in which all entries of one edit have different names.
        name: the place that is edited, for messages.
        folder: where new entries are written below the root; they may be of objects that have others already.
    """

    store: Store
    root: str
    name: str
    folder: str = ""

    def within(self, folder: str) -> Entries:
        """The same entries, where new ones are written to a folder."""
        return replace(self, folder=folder)

    def key(self, name: str) -> str:
        """The key of a file with entries."""
        return f"{self.root}/{name}" if self.root else name

    def write(self, entries: Sequence[Entry]) -> str:
        """Keep some objects in one file; returns its name."""
        meta = [
            [entry.key, len(entry.old), len(entry.new), [list(coords) for coords in entry.chunks]]
            for entry in entries
        ]
        payload = b"".join(part for entry in entries for part in (entry.old, entry.new))
        name = "/".join(part for part in (self.folder, "entries", entries[0].key) if part)
        write_objects(self.store, {self.key(name): packed(meta, payload)})
        return name

    def read(self, name: str) -> list[Entry]:
        """The objects in a file.

        Raises:
            JournalError: there is no such file.
            FormatError: it is damaged.
        """
        (raw,) = read_objects(self.store, [self.key(name)])
        if raw is None:
            raise JournalError(f"the journal of {self.name} lacks {self.key(name)}")
        return list(entries_in(raw, self.key(name)))
