"""How a distant store is read and written: faults that may pass, and ranges that it refuses.

A question over 10^5 chunks must not end at the first lost connection. And stores differ in what they do with
a byte range: most cut what goes past the end of an object, Icechunk refuses it, and a plain web server knows
no ranges at all. :class:`PatientStore` is where both are dealt with; :func:`get_range` alone serves Zarr's
own reading of parts of chunks.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import zarr
from zarr.abc.store import ByteRequest, RangeByteRequest, Store
from zarr.storage import LocalStore, MemoryStore, WrapperStore, ZipStore

from ..errors import CrackleError
from . import zarr_facts
from .faults import RETRIES, may_pass, pause_before
from .passwords import without_password
from .zarr_facts import Buffer, BufferPrototype

T = TypeVar("T")


# ---------------------------------------------------------------------------------------
# Ranges

# What a store refuses: "ranges", all of a kind; "ends", ranges that go past the end of an object.
_refusals: dict[int, tuple[weakref.ref[Any], set[tuple[str, type]]]] = {}


def _refused_by(store: Store) -> set[tuple[str, type]]:
    known = _refusals.get(id(store))
    if known is None or known[0]() is not store:
        number = id(store)  # not the store: it may compare equal to another, or have no hash
        known = weakref.ref(store, lambda _: _refusals.pop(number, None)), set()
        _refusals[number] = known
    return known[1]


async def get_range(
    store: Store,
    key: str,
    get: Callable[[ByteRequest | None], Awaitable[Buffer | None]],
    byte_range: ByteRequest | None,
) -> Buffer | None:
    """Get a range of an object; where the store refuses that, cut it out of what the store gives.

    What was refused is remembered for the store, so it is asked in vain once.

    Args:
        store: the store.
        key: of the object.
        get: gets a range of the object, or with None all of it.
        byte_range: the range; its end may lie past that of the object.
    """
    if byte_range is None:
        return await get(None)
    refused = _refused_by(store)
    kind = type(byte_range)
    asked: ByteRequest | None = byte_range
    if ("ranges", kind) in refused:
        asked = None
    elif ("ends", kind) in refused and isinstance(byte_range, RangeByteRequest):
        asked = await _within_object(store, key, byte_range)
    if asked is not None:
        try:
            return await get(asked)
        except Exception as error:
            if isinstance(error, FileNotFoundError | KeyError | PermissionError | MemoryError | CrackleError):
                raise
            if may_pass(error):
                raise
            try:
                whole = await get(None)
            except Exception:
                raise error from None
            if whole is not None:
                goes_past = isinstance(asked, RangeByteRequest) and asked.end > len(whole)
                refused.add(("ends" if goes_past else "ranges", kind))
    else:
        whole = await get(None)
    if whole is None:
        return None
    first, last = zarr_facts.range_bounds(byte_range, 0, len(whole))
    return whole[first:last]


async def _within_object(store: Store, key: str, byte_range: RangeByteRequest) -> RangeByteRequest | None:
    """The part of a range that an object has; None if its size is not to be had."""
    try:
        size = await store.getsize(key)
    except Exception:
        return None
    if byte_range.start >= size:
        return None
    return RangeByteRequest(byte_range.start, min(byte_range.end, size))


# ---------------------------------------------------------------------------------------
# The store


def session_of(store: Any) -> Any | None:
    """The session of an Icechunk store, which is a transaction; None for other stores."""
    inner = zarr_facts.unwrapped(store)
    return inner.session if type(inner).__module__.partition(".")[0] == "icechunk" else None


_FORMAT_2 = (".zarray", ".zattrs", ".zgroup", ".zmetadata")

# What is kept beside sessions of Icechunk, by the identity of their stores.
_beside: dict[int, tuple[weakref.ref[Any], MemoryStore]] = {}


def _memory_beside(store: Store) -> MemoryStore:
    known = _beside.get(id(store))
    if known is None or known[0]() is not store:
        number = id(store)
        known = weakref.ref(store, lambda _: _beside.pop(number, None)), MemoryStore()
        _beside[number] = known
    return known[1]


# What the paths of label indexes in Icechunk contain, and its error for reading there what does not exist.
INDEX_GROUP = ".crackle-index/"
_NO_NODE = "node not found"


def _is_foreign(key: str) -> bool:
    """Whether a key is none of Zarr's format 3: of a journal of this package, or of format 2."""
    parts = key.split("/")
    return parts[-1] in _FORMAT_2 or any(part.startswith(".crackle-") for part in parts)


class PatientStore(WrapperStore[Store]):
    """Wraps a distant store: repeats what may pass, and gets around ranges that the store refuses.

    Icechunk takes Zarr's keys only, and asking it for another is an error. What this package keeps under
    others, such as the marker of a conversion, is kept in memory for it: a session of Icechunk lives no
    longer than its process, and nobody else sees it before its commit.
    """

    def __init__(self, store: Store, retries: int = RETRIES) -> None:
        """Wrap a store; each request is repeated up to ``retries`` times."""
        super().__init__(store)
        self.retries = retries
        self._beside = None if session_of(store) is None else _memory_beside(zarr_facts.unwrapped(store))

    def _place_of(self, key: str) -> Store:
        return self._store if self._beside is None or not _is_foreign(key) else self._beside

    def __str__(self) -> str:
        """The name of the store within; of Icechunk, whose stores have none, the branch or the snapshot."""
        session = session_of(self._store)
        return str(self._store) if session is None else f"icechunk:{session.branch or session.snapshot_id}"

    def _with_store(self, store: Store) -> PatientStore:
        return type(self)(store, self.retries)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for number in range(self.retries + 1):
            try:
                return await attempt()
            except Exception as error:
                if not may_pass(error):
                    raise
                if number == self.retries:
                    if number:
                        error.add_note(f"tried {number + 1} times")
                    raise
            await asyncio.sleep(pause_before(number + 1))
        raise AssertionError("the last attempt returns or raises")

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Get an object, or a range of one."""
        store = self._place_of(key)

        def get(asked: ByteRequest | None) -> Awaitable[Buffer | None]:
            return store.get(key, prototype, asked)

        try:
            return await self._patiently(lambda: get_range(store, key, get, byte_range))
        except Exception as error:
            if self._beside is not None and INDEX_GROUP in key and _NO_NODE in str(error):
                return None
            raise

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        return await self._patiently(lambda: self._place_of(key).exists(key))

    async def getsize(self, key: str) -> int:
        """How many bytes an object has."""
        return await self._patiently(lambda: self._place_of(key).getsize(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Set an object. A repeat replaces it by the same bytes."""
        await self._patiently(lambda: self._place_of(key).set(key, value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Set an object where there is none."""
        await self._patiently(lambda: self._place_of(key).set_if_not_exists(key, value))

    async def delete(self, key: str) -> None:
        """Delete an object."""
        await self._patiently(lambda: self._place_of(key).delete(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        await self._patiently(lambda: self._place_of(prefix).delete_dir(prefix))

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The objects below a prefix."""
        try:
            keys = await self._patiently(lambda: _all_of(self._place_of(prefix).list_prefix(prefix)))
        except Exception:
            if self._beside is None or not await self._is_empty_place(prefix):
                raise
            return
        for key in keys:
            yield key

    async def _is_empty_place(self, prefix: str) -> bool:
        """Whether nothing is below a prefix in Icechunk, which lists those of arrays and groups alone."""
        path = prefix.rstrip("/")
        return not await self.exists(f"{path}/zarr.json") and not await _all_of(self.list_dir(path))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a prefix."""
        for key in await self._patiently(lambda: _all_of(self._place_of(prefix).list_dir(prefix))):
            yield key


async def _all_of(keys: AsyncIterator[str]) -> list[str]:
    return [key async for key in keys]


def patient(store: Store, retries: int | None = None) -> Store:
    """A store that repeats what may pass; a disk, an archive and memory need no patience.

    A store that is patient somewhere within stays as it is, unless it is that itself, with other retries.
    Without a number, a patient store keeps its own, and another gets the default.
    """
    if isinstance(store, PatientStore):
        if retries is None or retries == store.retries:
            return store
        return PatientStore(store._store, retries)
    inner: Any = store
    while not isinstance(inner, PatientStore) and isinstance(getattr(inner, "_store", None), Store):
        inner = inner._store
    if isinstance(inner, PatientStore | LocalStore | MemoryStore | ZipStore):
        return store
    return PatientStore(store, RETRIES if retries is None else retries)


def patient_array(array: zarr.Array[Any], retries: int | None = None) -> zarr.Array[Any]:
    """The same array in a patient store."""
    store = array.store_path.store
    found = patient(store, retries)
    return array if found is store else zarr_facts.array_in(array, found)


# ---------------------------------------------------------------------------------------
# Messages


def reason_of(error: BaseException) -> str:
    """What an error says in one line, with how often it was tried, and without passwords."""
    said = " ".join(str(error).split()) or type(error).__name__
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()) if note.startswith("tried "))
    return without_password(said) + notes
