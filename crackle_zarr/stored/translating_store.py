"""A store wrapper that translates errors, so that they name the key.

Zarr passes on the exceptions of a store unchanged, and "connection reset" does not say which chunk was lost.
So this package wraps the store wherever Zarr reads or writes for it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.storage import WrapperStore

from .._base import zarr_facts
from .._base.patience import patient
from .._base.zarr_facts import Buffer, BufferPrototype
from ..errors import FormatError
from .writing import MISSING_OBJECT, translated_errors

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class TranslatingStore(WrapperStore[Store]):
    """Wraps a store: raises StoreError with the key, and FormatError for truncated metadata."""

    def __str__(self) -> str:
        """The name of the store within."""
        return str(self._store)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Get an object, or a range of one."""
        with translated_errors(self, key, "read from"):
            value = await self._store.get(key, prototype, byte_range)
        if value is not None and key.rpartition("/")[2] in METADATA:
            try:
                json.loads(value.to_bytes())
            except ValueError as error:
                raise FormatError(f"the metadata {key} in {self} are damaged: {error}") from error
        return value

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        with translated_errors(self, key, "read from"):
            return await self._store.exists(key)
        raise AssertionError("errors leave the block above")

    async def set(self, key: str, value: Buffer) -> None:
        """Set an object."""
        with translated_errors(self, key, "written to"):
            await self._store.set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Set an object where there is none."""
        with translated_errors(self, key, "written to"):
            await self._store.set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object; one that does not exist is no error."""
        with translated_errors(self, key, "deleted from"):
            try:
                await self._store.delete(key)
            except MISSING_OBJECT:
                if await self._store.exists(key):
                    raise

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        with translated_errors(self, prefix, "deleted from"):
            await self._store.delete_dir(prefix)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The objects below a prefix."""
        with translated_errors(self, prefix, "listed in"):
            async for key in self._store.list_prefix(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a prefix."""
        with translated_errors(self, prefix, "listed in"):
            async for key in self._store.list_dir(prefix):
                yield key

    async def getsize(self, key: str) -> int:
        """How many bytes an object has."""
        return await self._store.getsize(key)

    async def getsize_prefix(self, prefix: str) -> int:
        """How many bytes all objects below a prefix have."""
        return await self._store.getsize_prefix(prefix)


def translating(store: Store) -> Store:
    """A store whose errors name the key, and which meets faults that may pass again."""
    return store if isinstance(store, TranslatingStore) else TranslatingStore(patient(store))


def translating_array(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The same array in a store whose errors name the key."""
    return zarr_facts.array_in(array, translating(array.store_path.store))


def translating_group(group: zarr.Group) -> zarr.Group:
    """The same group in a store whose errors name the key."""
    return zarr_facts.group_in(group, translating(group.store_path.store))
