"""Whole objects of a store: set, delete and get them, from threads and without Zarr's arrays."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from zarr.abc.store import Store

from .._base import zarr_facts
from .._base.passwords import without_password
from .._base.patience import reason_of
from ..errors import CrackleError, StoreError
from .fetch import CONCURRENCY, Wanted, fetch

T = TypeVar("T")


def write_objects(store: Store, values: Mapping[str, bytes | None]) -> None:
    """Set objects of a store, and delete those whose value is None, in no particular order.

    Raises:
        StoreError: the store failed; the error names the object.
    """
    if zarr_facts.works_without_loop(store, "set") and zarr_facts.works_without_loop(store, "delete"):
        for key, value in values.items():
            with translated_errors(store, key, _action_of(value)):
                if value is not None:
                    store.set_sync(key, zarr_facts.buffer_of(value))  # type: ignore[attr-defined]
                    continue
                try:
                    store.delete_sync(key)  # type: ignore[attr-defined]
                except MISSING_OBJECT:
                    if read_objects(store, [key]) != [None]:
                        raise
        return
    run_to_end(_write_all(store, values))


# Some stores raise these when they are asked to delete a missing object. That is no error, but the store may
# be wrong: a plan that outlives its remap would be applied twice.
MISSING_OBJECT = (FileNotFoundError, KeyError)


async def _write_all(store: Store, values: Mapping[str, bytes | None]) -> None:
    limit = asyncio.Semaphore(CONCURRENCY)

    async def write(key: str, value: bytes | None) -> None:
        async with limit:
            with translated_errors(store, key, _action_of(value)):
                if value is not None:
                    await store.set(key, zarr_facts.buffer_of(value))
                    return
                try:
                    await store.delete(key)
                except MISSING_OBJECT:
                    if await store.get(key, zarr_facts.prototype()) is not None:
                        raise

    # Wait for all of them, even after a failure: a late write would undo the repair of that failure.
    results = await asyncio.gather(
        *(write(key, value) for key, value in values.items()), return_exceptions=True
    )
    for error in results:
        if error is not None:
            raise error


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in Zarr's loop to its end, and return its result.

    Ctrl-C takes effect after the coroutine has ended. Zarr's own function does not wait for the end, and a
    late write would overwrite the repair of the interrupted remap.
    """
    loop = zarr_facts.event_loop()
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    tasks: list[asyncio.Task[None]] = []
    interrupt: KeyboardInterrupt | None = None

    async def work() -> None:
        try:
            future.set_result(await coroutine)
        except BaseException as error:
            future.set_exception(error)

    def begin() -> None:
        if not tasks:
            tasks.append(loop.create_task(work()))

    while True:
        try:
            # Not run_coroutine_threadsafe: after an interrupt, it is unknown whether the coroutine has begun.
            loop.call_soon_threadsafe(begin)
            concurrent.futures.wait([future])
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
    return future.result()


def call_store(store: Store, key: str, coroutine: Coroutine[Any, Any, T], action: str = "read from") -> T:
    """Run a call of a store; its errors name the key and the action, such as "read from"."""
    with translated_errors(store, key, action):
        return run_to_end(coroutine)
    raise AssertionError("errors leave the block above")


def _action_of(value: bytes | None) -> str:
    return "deleted from" if value is None else "written to"


@contextlib.contextmanager
def translated_errors(store: object, key: str, action: str) -> Iterator[None]:
    """Turn an error of a store into a StoreError that names the key and the store."""
    try:
        yield
    except (CrackleError, MemoryError):
        raise
    except Exception as error:
        place = without_password(str(store))
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise StoreError(f"{key} cannot be {action} {place}: {reason}") from error


def read_objects(store: Store, keys: Iterable[str]) -> list[bytes | None]:
    """Objects of a store; None for missing ones."""
    objects = []
    for result in fetch(store, [Wanted(key) for key in keys]):
        if isinstance(result, BaseException):
            raise result
        objects.append(None if result is None else result.tobytes())
    return objects
