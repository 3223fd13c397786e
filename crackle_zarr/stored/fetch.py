"""Byte ranges from a store, for many questions at once.

The header of a stream says where its labels are, and the labels say which slices to read: what a question
needs next depends on the bytes that it has. And a distant store is fast only when it gets many requests at
once. So a question about a chunk is a generator: it yields byte ranges and is sent their bytes.
:func:`drive` runs the generators of some chunks side by side. In each round it sends all ranges that they
wait for to the store together; between two rounds the questions compute in the caller's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.storage import LocalStore

from .._base import zarr_facts
from .._base.passwords import without_password
from .._base.patience import reason_of
from .._base.zarr_facts import Buffer
from ..errors import CrackleError, StoreError

T = TypeVar("T")
Bytes: TypeAlias = npt.NDArray[np.uint8]

# How many requests of one task run at once.
CONCURRENCY = 16


class Wanted(NamedTuple):
    """A range of an object in the store.

    Without ``stop`` the range is the whole object; a negative ``start`` counts bytes from its end.
    """

    key: str
    start: int = 0
    stop: int | None = None


# A running question: it yields the ranges that it needs and is sent their bytes, None for a missing object.
Steps: TypeAlias = Generator[list[Wanted], list[Bytes | None], T]


# ---------------------------------------------------------------------------------------
# Running questions


def drive(store: Store, questions: Sequence[Steps[T]]) -> list[T]:
    """Run some questions side by side to their ends, and return their answers in order."""
    answers: dict[int, T] = {}
    waiting: dict[int, list[Wanted]] = {}
    for number, question in enumerate(questions):
        _advance(number, question, None, waiting, answers)
    while waiting:
        numbers = list(waiting)
        asked = [waiting.pop(number) for number in numbers]
        came = iter(fetch(store, [wanted for batch in asked for wanted in batch]))
        for number, batch in zip(numbers, asked, strict=True):
            _advance(number, questions[number], [next(came) for _ in batch], waiting, answers)
    return [answers[number] for number in range(len(questions))]


def _advance(
    number: int,
    question: Steps[T],
    sent: list[Bytes | BaseException | None] | None,
    waiting: dict[int, list[Wanted]],
    answers: dict[int, T],
) -> None:
    try:
        if sent is None:
            waiting[number] = next(question)
        else:
            for came in sent:
                if isinstance(came, BaseException):
                    question.throw(came)
            waiting[number] = question.send(sent)  # type: ignore[arg-type]  # no exceptions are left
    except StopIteration as end:
        answers[number] = end.value


def fetch(store: Store, wanted: Sequence[Wanted]) -> list[Bytes | BaseException | None]:
    """Get ranges from a store; an exception takes the place of a range that failed."""
    if not wanted:
        return []
    if reads_files(store):
        with _turns.taken(len(wanted)):
            return _from_files(store, wanted)
    if zarr_facts.works_without_loop(store, "get"):
        return [_get_now(store, one) for one in wanted]
    return zarr_facts.run(_get_all(store, wanted))


def reads_files(store: Store) -> TypeGuard[LocalStore]:
    """Whether :func:`fetch` reads the files of a store itself, and not through the store's methods."""
    return (
        isinstance(store, LocalStore)
        and zarr_facts.has_own_methods(store, "get", "get_sync")
        and hasattr(os, "pread")
    )


class _Turns:
    """Threads read files of a disk in turns, while the others compute.

    Each system call releases the GIL for a microsecond. If two threads read small files, most calls end in
    waiting for the GIL, and both threads together take longer than one alone. Slow storage answers several
    threads at once, so a thread waits for its turn no longer than a fast disk takes for what it reads itself.
    """

    LONGEST = 4e-5  # seconds to wait, for each range to read

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def taken(self, ranges: int) -> Iterator[None]:
        """Read some ranges within, in turn."""
        turn = self._turn
        if not turn.acquire(timeout=self.LONGEST * ranges):
            # The next thread waits for this one. A lock may stay locked: Ctrl-C can end a thread just before
            # it would unlock, and a forked process gets locks of threads that it has not got.
            turn = self._turn = threading.Lock()
            turn.acquire()
        try:
            yield
        finally:
            turn.release()


_turns = _Turns()


def _from_files(store: LocalStore, wanted: Sequence[Wanted]) -> list[Bytes | BaseException | None]:
    """Read from a LocalStore's files at a third of its cost: each file is opened once for all of its ranges.

    Listing labels reads many small ranges, and opening the files took most of the time.
    """
    root = os.fspath(store.root)
    came: list[Bytes | BaseException | None] = []
    opened: dict[str, int] = {}
    try:
        for one in wanted:
            try:
                if one.key not in opened:
                    opened[one.key] = os.open(f"{root}/{one.key}", os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                came.append(_read(opened[one.key], one))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                came.append(None)
            except Exception as error:
                came.append(_named(error, store, one.key))
    finally:
        for file in opened.values():
            os.close(file)
    return came


def _read(file: int, wanted: Wanted) -> Bytes:
    start, stop = wanted.start, wanted.stop
    if stop is None:
        stop = os.fstat(file).st_size
        start = max(0, stop + start) if start < 0 else start
    parts = []
    while start < stop:
        part = os.pread(file, stop - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype=np.uint8)


def _request(wanted: Wanted) -> ByteRequest | None:
    if wanted.start < 0:
        return SuffixByteRequest(-wanted.start)
    return None if wanted.stop is None else RangeByteRequest(wanted.start, wanted.stop)


def _get_now(store: Any, wanted: Wanted) -> Bytes | BaseException | None:
    try:
        buffer = store.get_sync(wanted.key, prototype=zarr_facts.prototype(), byte_range=_request(wanted))
    except Exception as error:
        return _named(error, store, wanted.key)
    return _checked(store, buffer, wanted)


async def _get_all(store: Store, wanted: Sequence[Wanted]) -> list[Bytes | BaseException | None]:
    at_once = asyncio.Semaphore(CONCURRENCY)

    async def get(one: Wanted) -> Bytes | BaseException | None:
        try:
            async with at_once:
                buffer = await store.get(one.key, zarr_facts.prototype(), _request(one))
        except Exception as error:
            return _named(error, store, one.key)
        return _checked(store, buffer, one)

    return list(await asyncio.gather(*map(get, wanted)))


def _checked(store: Store, buffer: Buffer | None, wanted: Wanted) -> Bytes | BaseException | None:
    if buffer is None:
        return None
    came = np.asarray(buffer.as_numpy_array()).view(np.uint8)
    asked = -wanted.start if wanted.start < 0 else None if wanted.stop is None else wanted.stop - wanted.start
    if asked is None or len(came) <= asked:
        return came
    # A server without ranges sends the whole object: cut the range out of it.
    return came[wanted.start : wanted.stop]


def _named(error: Exception, store: Store, key: str) -> BaseException:
    if isinstance(error, MemoryError | CrackleError):
        return error
    place, reason = without_password(str(store)), f"{type(error).__name__}: {reason_of(error)}"
    named = StoreError(f"{key} cannot be read from {place}: {reason}")
    named.__cause__ = error
    return named
