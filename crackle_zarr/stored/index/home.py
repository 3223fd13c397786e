"""Where an index lies: named blobs beside an array, and one manifest that is replaced.

An index writes each blob once, under a new name, and replaces only its manifest. So a home is little more
than a place for bytes under names; :class:`Folder` is the one within the array's own prefix, and
:class:`Beside` the one in Icechunk.
"""

from __future__ import annotations

import contextlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zarr.abc.store import Store
from zarr.storage import LocalStore

from ..._base import zarr_facts
from ..._base.patience import session_of
from ..layout import Layout
from ..writing import call_store, read_objects, write_objects

NAME = ".crackle-index"
MANIFEST = "index.json"
# The manifest's key within the array. Without it there is no index, so what is about to remove or to replace
# an array removes it first: a manifest that is there and current is certain of its array.
MANIFEST_KEY = f"{NAME}/{MANIFEST}"
# Within it lies an index that is being built.
BUILDING = "building"


class Home(Protocol):
    """Named blobs beside an array. It pickles.

    The name of a blob is ``FOLDER/NAME``; what belongs together lies in one folder.
    """

    @property
    def name(self) -> str:
        """The place of the manifest, for messages."""
        ...

    @property
    def store(self) -> Store:
        """The store, from which ranges of blobs are read by their keys."""
        ...

    def key(self, name: str) -> str:
        """The key in the store of a blob's bytes."""
        ...

    def read(self, names: Iterable[str]) -> list[bytes | None]:
        """Whole blobs; None for those that do not exist."""
        ...

    def make_folder(self, name: str) -> None:
        """Make a folder, where folders have to exist before several tasks write to one."""
        ...

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Write blobs."""
        ...

    def create(self, name: str, raw: bytes) -> None:
        """Write a blob unless it exists; where the store cannot tell, the last writer wins."""
        ...

    def manifest(self) -> bytes | None:
        """The manifest; None if there is no index."""
        ...

    def lists_manifest(self) -> bool:
        """Whether a listing has the manifest."""
        ...

    def put_manifest(self, raw: bytes) -> None:
        """Replace the manifest, all of it or nothing."""
        ...

    def folders(self) -> list[str]:
        """The names of all folders, as far as the store lists them."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove all blobs of a folder."""
        ...

    def remove(self) -> None:
        """Remove the manifest, and then everything else."""
        ...


@dataclass(frozen=True)
class _InStore(ABC):
    """What homes in the array's own store have in common, however they name their blobs."""

    layout: Layout

    @property
    def store(self) -> Store:
        """The array's store."""
        return self.layout.store

    @property
    @abstractmethod
    def root(self) -> str:
        """Where all of it lies."""

    @abstractmethod
    def key(self, name: str) -> str:
        """The key of a blob."""

    @abstractmethod
    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Write blobs."""

    def read(self, names: Iterable[str]) -> list[bytes | None]:
        """Whole blobs."""
        return read_objects(self.store, [self.key(name) for name in names])

    def manifest(self) -> bytes | None:
        """The manifest."""
        return self.read([MANIFEST])[0]

    def put_manifest(self, raw: bytes) -> None:
        """Replace the manifest."""
        self.put({MANIFEST: raw})

    def lists_manifest(self) -> bool:
        """Whether a listing has the manifest."""
        return MANIFEST in self._listed()

    def _listed(self) -> set[str]:
        async def listed() -> set[str]:
            # Some stores list folders with a slash at the end, or with their full path.
            return {name.rstrip("/").rpartition("/")[2] async for name in self.store.list_dir(self.root)}

        return call_store(self.store, self.root, listed(), "listed in")


@dataclass(frozen=True)
class Folder(_InStore):
    """The folder ``.crackle-index`` within an array's prefix, where Zarr looks for nothing."""

    @property
    def name(self) -> str:
        """The key of the manifest."""
        return self.key(MANIFEST)

    @property
    def root(self) -> str:
        """The prefix of all keys."""
        return self.layout.path(NAME)

    def key(self, name: str) -> str:
        """The key of a blob."""
        return f"{self.root}/{name}"

    def make_folder(self, name: str) -> None:
        """Nothing: keys need no folders."""

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Write blobs."""
        write_objects(self.store, {self.key(name): raw for name, raw in blobs.items()})

    def create(self, name: str, raw: bytes) -> None:
        """Write a blob unless it exists."""
        key, value = self.key(name), zarr_facts.buffer_of(raw)
        call_store(self.store, key, self.store.set_if_not_exists(key, value), "written to")

    def folders(self) -> list[str]:
        """The folders below the root."""
        return sorted(name for name in self._listed() if name and not name.startswith(MANIFEST))

    def remove_folder(self, name: str) -> None:
        """Remove all blobs of a folder."""
        key = self.key(name)
        call_store(self.store, key, self.store.delete_dir(key), "deleted from")
        self._remove_if_empty(name)

    def remove(self) -> None:
        """Remove the manifest first: without it there is no index."""
        write_objects(self.store, {self.key(MANIFEST): None})
        call_store(self.store, self.root, self.store.delete_dir(self.root), "deleted from")
        self._remove_if_empty("")

    def _remove_if_empty(self, name: str) -> None:
        # A disk keeps empty folders; one that is not empty belongs to another process by now.
        store = zarr_facts.unwrapped(self.store)
        if isinstance(store, LocalStore):
            root = Path(store.root) / self.root / name
            for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            with contextlib.suppress(OSError):
                os.rmdir(root)


@dataclass(frozen=True)
class Beside(_InStore):
    """A group beside an array, for Icechunk, which takes the keys of Zarr's arrays and groups alone.

    Each blob is an array of bytes of one chunk that no codec changes, so a range of it is one request. It is
    written within the session of its array, and nobody sees it before its commit.
    """

    @property
    def name(self) -> str:
        """The manifest."""
        return f"{self.root}/{MANIFEST}"

    @property
    def root(self) -> str:
        """The path of the group."""
        return beside(self.layout.array.path)

    def key(self, name: str) -> str:
        """The key of a blob's bytes: of the chunk of its array."""
        return f"{self.root}/{name}/c/0"

    def make_folder(self, name: str) -> None:
        """Make a group, and that of the index."""
        self._make_groups([self.root, f"{self.root}/{name}"])

    def _make_groups(self, paths: Iterable[str]) -> None:
        """Make those that do not exist: forks of a session cannot be merged if two have made the same."""
        keys = [f"{path}/zarr.json" for path in paths]
        there = read_objects(self.store, keys)
        made = {key: _text(_GROUP) for key, raw in zip(keys, there, strict=True) if raw is None}
        write_objects(self.store, made)

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Write blobs: their groups, their arrays, and then the bytes."""
        self._make_groups({f"{self.root}/{name}".rpartition("/")[0] for name in blobs} | {self.root})
        arrays = {f"{self.root}/{name}/zarr.json": _text(_array_of(len(raw))) for name, raw in blobs.items()}
        write_objects(self.store, arrays)
        write_objects(self.store, {self.key(name): raw for name, raw in blobs.items()})

    def create(self, name: str, raw: bytes) -> None:
        """Write a blob unless it exists: nobody else writes in this session."""
        if self.read([name]) == [None]:
            self.put({name: raw})

    def folders(self) -> list[str]:
        """The groups of blobs."""
        return sorted(self._listed() - {MANIFEST, "zarr.json"})

    def remove_folder(self, name: str) -> None:
        """Remove all blobs of a folder."""
        key = f"{self.root}/{name}"
        call_store(self.store, key, self.store.delete_dir(key), "deleted from")

    def remove(self) -> None:
        """Remove everything; the session makes it one change."""
        call_store(self.store, self.root, self.store.delete_dir(self.root), "deleted from")


_GROUP: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {}}


def _array_of(nbytes: int) -> dict[str, Any]:
    """The metadata of an array of bytes of one chunk."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [nbytes],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [nbytes]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes"}],
        "fill_value": 0,
        "attributes": {},
        "storage_transformers": [],
    }


def _text(metadata: dict[str, Any]) -> bytes:
    return json.dumps(metadata).encode("ascii")


def beside(path: str) -> str:
    """The path of the group that holds the index of an array in Icechunk."""
    return f"{path}{NAME}"


def home_of(layout: Layout) -> Home:
    """Where the index of an array lies, whether it exists or not."""
    return Folder(layout) if session_of(layout.store) is None else Beside(layout)


def forget_index(store: Store, path: str) -> None:
    """Remove the manifest of an array that is about to be removed or replaced."""
    if session_of(store) is None:
        write_objects(store, {f"{path}/{MANIFEST_KEY}" if path else MANIFEST_KEY: None})
    elif path:
        root = beside(path)
        call_store(store, root, store.delete_dir(root), "deleted from")
