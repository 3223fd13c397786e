"""A store that fails at its n-th call, in every way in which stores fail.

:class:`Faulty` wraps any Zarr store and is called by coroutines, as a remote store is.
:class:`FaultyMemory` is a MemoryStore that fails when it is called without an event loop, as this library
calls memory and disks. The :class:`Faults` of a store define the kind of fault and the call that fails;
all views of a store share them, so that the calls of all views are counted.

Writes happen in place: a store that fails in the middle of a write leaves half of the value under the key.
(Zarr's LocalStore renames a finished file, and never does that; other stores do.)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import sync_stores
from zarr.abc.store import Store
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import WrapperStore


class ClientError(Exception):
    """An error as aiohttp, botocore and obstore raise it: no OSError, and without the name of the object."""


ERRORS = (
    lambda: OSError(5, "Input/output error"),
    lambda: TimeoutError("timed out"),
    lambda: ConnectionResetError(104, "Connection reset by peer"),
    lambda: ClientError("error sending request"),
    lambda: PermissionError(13, "Forbidden"),
    lambda: KeyError("no reason given"),
)

GETS = frozenset({"get"})
SETS = frozenset({"set", "set_if_not_exists"})
DELETES = frozenset({"delete"})
LISTS = frozenset({"list", "list_prefix", "list_dir"})
EXISTS = frozenset({"exists"})

# The calls to which each kind of fault can happen; only these are counted.
KINDS: dict[str, frozenset[str]] = {
    "error": GETS | SETS | DELETES | LISTS | EXISTS,  # the store does nothing
    "half": GETS,  # short reads
    "all but a byte": GETS,
    "one byte": GETS,
    "empty": GETS,
    "missing": GETS | EXISTS,  # a present key is reported as missing
    "cut listing": LISTS,  # a listing leaves out names
    "slow": GETS | SETS | DELETES | EXISTS,  # later calls overtake it
    "torn": SETS,  # the store writes half of the value and raises
    "unacknowledged": SETS | DELETES,  # the store does all of it and raises
}
READING = ("error", "half", "all but a byte", "one byte", "empty", "slow")
WRITING = (*READING, "cut listing", "torn", "unacknowledged")

_SECONDS = 0.003


class Faults:
    """Which call fails, and how.

    Attributes:
        kind: one of KINDS; None: no call fails.
        at: the number of the call that fails, from 0.
        lasting: all later calls fail, too.
        calls: how many calls of these there were.
        struck: the calls that failed: method, and key or prefix.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stop()

    def start(self, kind: str, at: int, lasting: bool = False) -> None:
        with self._lock:
            self.kind: str | None = kind
            self.at, self.lasting = at, lasting
            self.calls = 0
            self.struck: list[tuple[str, str]] = []

    def stop(self) -> None:
        with self._lock:
            self.kind = None
            self.at, self.lasting, self.calls = 0, False, 0
            self.struck = []

    def strike(self, call: str, key: str) -> str | None:
        """Count a call; returns the kind of fault if this call has to fail."""
        with self._lock:
            if self.kind is None or call not in KINDS[self.kind]:
                return None
            number = self.calls
            self.calls += 1
            if number < self.at or (number > self.at and not self.lasting):
                return None
            self.struck.append((call, key))
            return self.kind

    def error(self) -> Exception:
        """An error; its class depends on the number of the failing call."""
        return ERRORS[self.at % len(ERRORS)]()


def cut(value: Buffer, kind: str | None) -> Buffer:
    """The part of a value that a short read returns."""
    nbytes = {
        "half": len(value) // 2,
        "all but a byte": max(0, len(value) - 1),
        "one byte": 1,
        "empty": 0,
    }.get(kind or "", len(value))
    return type(value).from_bytes(value.to_bytes()[:nbytes])


def torn(value: Buffer) -> Buffer:
    """The part of a value that an unfinished write stores."""
    return type(value).from_bytes(value.to_bytes()[: len(value) // 2])


class Faulty(WrapperStore[Store]):
    """A store that wraps another one and fails on demand."""

    def __init__(self, store: Store, faults: Faults | None = None) -> None:
        super().__init__(store)
        self.faults = Faults() if faults is None else faults

    def _with_store(self, store: Store) -> Faulty:
        return type(self)(store, self.faults)

    def with_read_only(self, read_only: bool = False) -> Faulty:
        return self._with_store(self._store.with_read_only(read_only))

    async def _before(self, call: str, key: str) -> str | None:
        """Let a call raise or wait, if that is its fault; returns the kind of any fault."""
        kind = self.faults.strike(call, key)
        if kind == "error":
            raise self.faults.error()
        if kind == "slow":
            await asyncio.sleep(_SECONDS)
        return kind

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
        kind = await self._before("get", key)
        value = await self._store.get(key, prototype or default_buffer_prototype(), byte_range)
        return None if value is None or kind == "missing" else cut(value, kind)

    async def exists(self, key: str) -> bool:
        kind = await self._before("exists", key)
        return kind != "missing" and await self._store.exists(key)

    async def set(self, key: str, value: Buffer, *args: Any, **keywords: Any) -> None:
        kind = await self._before("set", key)
        await self._store.set(key, torn(value) if kind == "torn" else value)
        if kind in ("torn", "unacknowledged"):
            raise self.faults.error()

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        kind = await self._before("set_if_not_exists", key)
        await self._store.set_if_not_exists(key, torn(value) if kind == "torn" else value)
        if kind in ("torn", "unacknowledged"):
            raise self.faults.error()

    async def delete(self, key: str) -> None:
        kind = await self._before("delete", key)
        await self._store.delete(key)
        if kind == "unacknowledged":
            raise self.faults.error()

    async def _listed(self, call: str, prefix: str, names: AsyncIterator[str]) -> AsyncIterator[str]:
        kind = self.faults.strike(call, prefix)
        found = [name async for name in names]
        if kind is None:
            found_and_told = len(found)
        elif kind == "error" and self.faults.at % 2:
            found_and_told = 0
        else:
            found_and_told = len(found) // 2
        for name in found[:found_and_told]:
            yield name
        if kind == "error":
            raise self.faults.error()

    def list(self) -> AsyncIterator[str]:
        return self._listed("list", "", self._store.list())

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        return self._listed("list_prefix", prefix, self._store.list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        return self._listed("list_dir", prefix, self._store.list_dir(prefix))

    # The store builds these on the calls above, one by one.

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def _get_many(self, requests: Any) -> Any:
        async for one in Store._get_many(self, requests):
            yield one

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        await Store._set_many(self, values)

    async def is_empty(self, prefix: str) -> bool:
        return await Store.is_empty(self, prefix)

    async def clear(self) -> None:
        await Store.clear(self)

    async def delete_dir(self, prefix: str) -> None:
        await Store.delete_dir(self, prefix)


class FaultyMemory(sync_stores.MemoryStore):
    """A MemoryStore that fails where it is called without an event loop."""

    def __init__(self, store_dict: Any = None, *, read_only: bool = False) -> None:
        super().__init__(store_dict, read_only=read_only)
        self.faults = Faults()

    def with_read_only(self, read_only: bool = False) -> FaultyMemory:
        made = type(self)(self._store_dict, read_only=read_only)
        made.faults = self.faults
        return made

    def _before(self, call: str, key: str) -> str | None:
        kind = self.faults.strike(call, key)
        if kind == "error":
            raise self.faults.error()
        if kind == "slow":
            time.sleep(_SECONDS)
        return kind

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
        kind = self._before("get", key)
        value = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        return None if value is None or kind == "missing" else cut(value, kind)

    def set_sync(self, key: str, value: Buffer) -> None:
        kind = self._before("set", key)
        super().set_sync(key, torn(value) if kind == "torn" else value)
        if kind in ("torn", "unacknowledged"):
            raise self.faults.error()

    def delete_sync(self, key: str) -> None:
        kind = self._before("delete", key)
        super().delete_sync(key)
        if kind == "unacknowledged":
            raise self.faults.error()
