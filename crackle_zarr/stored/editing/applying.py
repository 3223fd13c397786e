"""Copy entries to the array, and what a store has to be able to do for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zarr.storage import MemoryStore

from ..._base import zarr_facts
from ...errors import JournalError
from ..engine import Options, run
from ..layout import Coords
from ..writing import write_objects
from .entries import Entries, Entry, Journaled


@dataclass(frozen=True)
class CopyToArray:
    """Copy the old or the new form of some objects to the array."""

    place: Journaled
    entries: Entries
    name: str
    which: Literal["old", "new"]

    @property
    def weight(self) -> int:
        """Files with entries."""
        return 1

    def __call__(self) -> tuple[list[Coords], int]:
        """Do it; returns the chunks that change, and the number of bytes written."""
        chunks: list[Coords] = []
        values: dict[str, bytes | None] = {}
        for entry in self.entries.read(self.name):
            self._check(entry)
            values[self.place.path(entry.key)] = (entry.old if self.which == "old" else entry.new) or None
            chunks += entry.chunks
        write_objects(self.place.store, values)
        return chunks, sum(len(value) for value in values.values() if value)

    def _check(self, entry: Entry) -> None:
        """Raise JournalError if an entry names an object that holds no chunks of this array.

        Whoever can write a journal can write the array anyway, but "../" in a key would lead out of it.
        """
        if not entry.chunks or not all(self.place.holds(entry.key, tuple(one)) for one in entry.chunks):
            raise JournalError(
                f"{self.entries.key(self.name)} names {entry.key!r}, which is no chunk of {self.place.name}"
            )


def copy_to_array(
    place: Journaled, entries: Entries, names: Sequence[str], which: Literal["old", "new"], options: Options
) -> tuple[list[Coords], int]:
    """Copy the old or the new form of all objects of some entries to their places.

    Returns:
        The chunks that change, in order, and the number of bytes written.
    """
    tasks = (CopyToArray(place, entries, name, which) for name in names)
    done = run(tasks, options, total=len(names), unit="batch", merge=lambda a, b: (a[0] + b[0], a[1] + b[1]))
    chunks, nbytes = done or ([], 0)
    return sorted(chunks), nbytes


def check_writable(layout: Journaled, options: Options) -> None:
    """Raise ValueError if the store, or the executor with this store, cannot edit the array."""
    store: Any = layout.store
    if store.read_only:
        raise ValueError(f"{layout.name} is open for reading only: open it with mode='r+'")
    if not (store.supports_writes and store.supports_deletes and store.supports_listing):
        raise ValueError(f"{type(store).__name__} cannot write, delete and list, and an edit needs all three")
    check_processes(store, options, layout.name)


def check_processes(store: Any, options: Options, name: object) -> None:
    """Raise ValueError if other processes would write to copies of the store."""
    if isinstance(zarr_facts.unwrapped(store), MemoryStore) and not options.in_this_process:
        raise ValueError(
            f"{name} is in the memory of this process, and each worker of {options.executor!r} would "
            f"write to its own copy: use threads (executor=None), or a store on disk"
        )
