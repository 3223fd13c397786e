"""Zarr's stores of disk and memory, with synchronous methods in every version of Zarr.

Zarr's own stores have these methods from 3.1.6 on. The test stores that fail, lie or count override them,
and have to do so before 3.1.6, too.
"""

from __future__ import annotations

from typing import Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import LocalStore as ZarrLocalStore
from zarr.storage import MemoryStore as ZarrMemoryStore


def part_of(value: bytes, byte_range: Any) -> Buffer:
    if isinstance(byte_range, RangeByteRequest):
        value = value[byte_range.start : byte_range.end]
    elif isinstance(byte_range, OffsetByteRequest):
        value = value[byte_range.offset :]
    elif isinstance(byte_range, SuffixByteRequest):
        value = value[-byte_range.suffix :]
    return default_buffer_prototype().buffer.from_bytes(value)


class LocalStore(ZarrLocalStore):
    """A store on disk."""

    if not hasattr(ZarrLocalStore, "get_sync"):

        def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
            path = self.root / key
            return part_of(path.read_bytes(), byte_range) if path.is_file() else None

        def set_sync(self, key: str, value: Any) -> None:
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value.to_bytes())

        def delete_sync(self, key: str) -> None:
            (self.root / key).unlink(missing_ok=True)


class MemoryStore(ZarrMemoryStore):
    """A store in memory."""

    if not hasattr(ZarrMemoryStore, "get_sync"):

        def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
            value = self._store_dict.get(key)
            return None if value is None else part_of(value.to_bytes(), byte_range)

        def set_sync(self, key: str, value: Any) -> None:
            self._store_dict[key] = value

        def delete_sync(self, key: str) -> None:
            self._store_dict.pop(key, None)
