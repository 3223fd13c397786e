"""A store whose calls stop at one of them, so that another call can run meanwhile, and the array for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import zarr
from faults import Faulty
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

import crackle_zarr as cz

VOXELS = np.repeat(np.arange(8 * 8 * 8, dtype=np.uint32).reshape(8, 8, 8) // 16 % 9, 1, axis=0)
MAPPING = {1: 2, 2: 1, 3: 0}
OTHER = {5: 6}
Objects = dict[str, Any]


def made(**options: Any) -> Objects:
    """The objects of a store with the array, of eight chunks."""
    objects: Objects = {}
    keywords: dict[str, Any] = {"shape": VOXELS.shape, "dtype": VOXELS.dtype, "chunks": (4, 4, 4)}
    cz.create_array(MemoryStore(objects), **{**keywords, **options})[...] = VOXELS
    return objects


def mapped(voxels: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    table = np.arange(100, dtype=voxels.dtype)
    for old, new in mapping.items():
        table[old] = new
    return table[voxels]


def opened(objects: Objects) -> zarr.Array:
    return zarr.open_array(MemoryStore(objects), mode="r+")


class Stopping(Faulty):
    """A store whose n-th call waits, before it takes effect, until it is told to go on."""

    def __init__(self, store: Any, faults: Any = None) -> None:
        super().__init__(store, faults)
        self.at = -1
        self.calls = 0
        self.where: tuple[str, str] | None = None
        self.stopped = threading.Event()
        self.go_on = threading.Event()

    def with_read_only(self, read_only: bool = False) -> Stopping:
        return self

    async def _before(self, call: str, key: str) -> str | None:
        number, self.calls = self.calls, self.calls + 1
        if number == self.at:
            self.where = (call, key)
            self.stopped.set()
            await asyncio.to_thread(self.go_on.wait)
        return None

    async def _listed(self, call: str, prefix: str, names: AsyncIterator[str]) -> AsyncIterator[str]:
        await self._before(call, prefix)
        async for name in names:
            yield name

    async def set(self, key: str, value: Buffer, *args: Any, **keywords: Any) -> None:
        await self._before("set", key)
        await self._store.set(key, value)


class Editor:
    """A call that edits an array, in a thread of its own, which stops at the n-th call of its store."""

    def __init__(self, objects: Objects, at: int, work: Callable[[zarr.Array], Any]) -> None:
        self.store = Stopping(MemoryStore(objects))
        array = zarr.open_array(self.store, mode="r+")
        self.store.calls, self.store.at = 0, at
        self.error: Exception | None = None
        self.done = threading.Event()

        def run() -> None:
            try:
                work(array)
            except Exception as error:
                self.error = error
            self.done.set()
            self.store.stopped.set()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        self.store.stopped.wait()

    def finish(self) -> None:
        self.store.go_on.set()
        self.thread.join()


def half_done(mapping: dict[int, int] = MAPPING, **options: Any) -> Objects:
    """The objects of a store with an array whose remap stopped when two of its chunks were replaced."""
    objects = made(**options)
    store = Breaking(MemoryStore(objects))
    try:
        cz.remap(zarr.open_array(store, mode="r+"), mapping, parallel=1)
    except cz.StoreError:
        return objects
    raise AssertionError("the remap has to stop")


class Breaking(Faulty):
    """A store that takes two chunks, and no more."""

    left = 2

    async def set(self, key: str, value: Buffer, *args: Any, **keywords: Any) -> None:
        if key.startswith("c/"):
            self.left -= 1
            if self.left < 0:
                raise OSError(28, "No space left on device")
        await self._store.set(key, value)
