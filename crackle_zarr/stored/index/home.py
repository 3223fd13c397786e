"""Where an index lies: named blobs beside an array, and one manifest that is replaced.

An index writes each blob once, under a new name, and replaces only its manifest. So a home is little more
than a place for bytes under names; :class:`Folder` is the one within the array's own prefix.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zarr.abc.store import Store
from zarr.storage import LocalStore

from ..._base import zarr_facts
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
class Folder:
    """The folder ``.crackle-index`` within an array's prefix, where Zarr looks for nothing."""

    layout: Layout

    @property
    def name(self) -> str:
        """The key of the manifest."""
        return self.key(MANIFEST)

    @property
    def store(self) -> Store:
        """The array's store."""
        return self.layout.store

    @property
    def root(self) -> str:
        """The prefix of all keys."""
        return self.layout.path(NAME)

    def key(self, name: str) -> str:
        """The key of a blob."""
        return f"{self.root}/{name}"

    def read(self, names: Iterable[str]) -> list[bytes | None]:
        """Whole blobs."""
        return read_objects(self.store, [self.key(name) for name in names])

    def put(self, blobs: Mapping[str, bytes]) -> None:
        """Write blobs."""
        write_objects(self.store, {self.key(name): raw for name, raw in blobs.items()})

    def create(self, name: str, raw: bytes) -> None:
        """Write a blob unless it exists."""
        key, value = self.key(name), zarr_facts.buffer_of(raw)
        call_store(self.store, key, self.store.set_if_not_exists(key, value), "written to")

    def manifest(self) -> bytes | None:
        """The manifest."""
        return self.read([MANIFEST])[0]

    def put_manifest(self, raw: bytes) -> None:
        """Replace the manifest."""
        self.put({MANIFEST: raw})

    def lists_manifest(self) -> bool:
        """Whether a listing has the manifest."""
        return MANIFEST in self._listed()

    def folders(self) -> list[str]:
        """The folders below the root."""
        return sorted(name for name in self._listed() if name and not name.startswith(MANIFEST))

    def _listed(self) -> set[str]:
        async def listed() -> set[str]:
            # Some stores list folders with a slash at the end, or with their full path.
            return {name.rstrip("/").rpartition("/")[2] async for name in self.store.list_dir(self.root)}

        return call_store(self.store, self.root, listed(), "listed in")

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


def home_of(layout: Layout) -> Home:
    """Where the index of an array lies, whether it exists or not."""
    return Folder(layout)
