"""Threads over ranges of slices, and how Ctrl-C ends them.

cffi releases the GIL around every call of C, so threads over ranges of slices run side by side. To start one
takes as long as decoding 40,000 voxels, so a thread that is done waits a moment for the next call, and calls
on few voxels use no other thread. Nothing is started or locked at import, and a forked process forgets the
threads that it does not have, so forking and spawning are safe.

Python handles signals between two calls of C, not within one. So one call of C gets only as many slices as C
processes in a fraction of a second, and Ctrl-C takes effect when the ranges that have begun are finished. A
call that takes seconds and cannot be cut into ranges runs in a thread of its own, which the waiting thread
stops.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np

from .._base.header import CrackleHeader
from .library import ffi

T = TypeVar("T")
A = ParamSpec("A")


def threads(parallel: int) -> int:
    """The number of threads that ``parallel`` means: 0 is one per core."""
    if isinstance(parallel, bool) or not isinstance(parallel, int | np.integer):
        raise TypeError(f"parallel is a number of threads, not {type(parallel).__name__}")
    if parallel < 0:
        raise ValueError(f"parallel is a number of threads, or 0 for one per core, not {parallel}")
    return int(parallel) or _cores()


@functools.cache  # to ask Linux takes as long as decoding a thousand voxels
def _cores() -> int:
    return os.cpu_count() or 1


# Slices differ in cost. With several short ranges each, threads finish at about the same time.
RANGES_PER_THREAD = 4

# How many voxels C processes before Python handles signals: 0.01 to 0.3 s of work. Ranges that share
# slices, and calls with work of their own at the beginning, get more voxels, so that this overhead stays
# small.
VOXELS_AT_ONCE = 2**23
_VOXELS_OF_SHARED = 2**25
_VOXELS_OF_PINS = 2**27
# A measuring call fills a row per label, so it processes at least this many voxels for each row.
_VOXELS_PER_ROW = 64
# Ranges of a C-order volume are longer by this factor: several cache lines of each column read or written in
# a row take half as long as one here and one there.
_LONGER_IN_C_ORDER = 4
_LINE_NBYTES = 64
# Every thread has to get at least this many voxels, so that it gains more than it takes to call it.
VOXELS_PER_THREAD = 2**18


class Cut(NamedTuple):
    """How slices are cut into ranges."""

    depth: int
    """The most slices for one call of C."""
    area: int
    """Voxels of a slice. Few in all get fewer threads."""
    step: int = 1
    """Ranges begin at multiples of this, counted from the first slice plus ``lead``."""
    lead: int = 0

    def divided(self, by: int) -> Cut:
        """Ranges of fewer slices, for calls that take longer per slice."""
        return self._replace(depth=max(1, self.depth // by))

    def in_c_order(self, width: int, address: int = 0) -> Cut:
        """Ranges of slices that share few cache lines, in a C-order volume of labels of ``width`` bytes."""
        depth, line = self.depth * _LONGER_IN_C_ORDER, _LINE_NBYTES // width
        lead = -address // width % line
        lines = depth // line - (lead > 0)  # the first range may become longer by a part of a line
        return Cut(lines * line, self.area, line, lead) if lines > 0 else Cut(depth, self.area)


def slices_at_once(*heads: CrackleHeader, shared: bool = False, rows: int = 0) -> Cut:
    """How slices of streams are cut.

    Args:
        heads: of the streams.
        shared: neighbouring ranges both read the slice between them.
        rows: how many rows of a table a call fills.
    """
    if any(head.label_format for head in heads):  # pins: every call reads the whole list
        voxels = _VOXELS_OF_PINS
    else:
        voxels = _VOXELS_OF_SHARED if shared else VOXELS_AT_ONCE
    return slices_of(heads[0].sx, heads[0].sy, max(voxels, _VOXELS_PER_ROW * rows))


def slices_of(sx: int, sy: int, voxels: int) -> Cut:
    """Ranges of at most so many voxels."""
    return Cut(max(1, voxels // max(1, sx * sy)), sx * sy)


class Stop:
    """Stops the threads of one call, and those of calls nested in it."""

    def __init__(self) -> None:
        self._is_set = False
        self._outer = _thread.stop

    def set(self) -> None:
        """Make the threads raise KeyboardInterrupt before their next range of slices."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether the threads have to end."""
        return self._is_set or (self._outer is not None and self._outer.is_set())

    def call(self, work: Callable[A, T], *args: A.args, **kwargs: A.kwargs) -> T:
        """Call ``work`` in this thread, which this object can stop."""
        outer, _thread.stop = _thread.stop, self
        try:
            raise_if_interrupted()
            return work(*args, **kwargs)
        finally:
            _thread.stop = outer


class _Thread(threading.local):
    stop: Stop | None = None


_thread = _Thread()


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if the call that this thread works for was interrupted."""
    if _thread.stop is not None and _thread.stop.is_set():
        raise KeyboardInterrupt


def over_slices(
    work: Callable[[int, int], T],
    z_start: int,
    z_end: int,
    parallel: int,
    cut: Cut,
    per_thread: int = RANGES_PER_THREAD,
) -> list[T]:
    """Call ``work(z_start, z_end)`` over consecutive ranges of slices in some threads, this one included.

    Args:
        work: takes a range of slices. After an exception, later ranges may not begin; of several exceptions
            the first in the order of z is raised.
        z_start: the first slice.
        z_end: the slice after the last.
        parallel: threads at most; 0 is one per core.
        cut: how long ranges are.
        per_thread: how many ranges each of several threads takes, where they are not shorter anyway.

    Raises:
        KeyboardInterrupt: SIGINT came to this thread, or to the thread that it works for. Ranges that had
            begun are finished, and no others begin.
    """
    num_slices = max(1, z_end - z_start)
    count = max(1, min(threads(parallel), num_slices, num_slices * cut.area // VOXELS_PER_THREAD))
    ranges = -(-num_slices // cut.depth)
    if count > 1:
        ranges = max(ranges, min(count * per_thread, num_slices))
    edges = _edges(z_start, z_end, ranges, cut.step, cut.lead)
    if count > 1:
        return _Crew(work, edges).results(count)
    done = []
    for start, end in itertools.pairwise(edges):
        raise_if_interrupted()
        done.append(work(start, end))
    return done


def _edges(z_start: int, z_end: int, ranges: int, step: int, lead: int) -> list[int]:
    """Where at most so many ranges begin, and where the last ends."""
    even = ((z_end - z_start) * i // ranges for i in range(1, ranges))
    inner = (z_start + lead - (lead - z) // step * step for z in even)
    return [z_start, *dict.fromkeys(z for z in inner if z_start < z < z_end), z_end]


def run_in_thread(work: Callable[[Any], T], voxels: int) -> T:
    """Call ``work(stop)``, which is one call of C over many voxels.

    A long call runs in another thread, so that this one can react to Ctrl-C.

    Args:
        work: passes ``stop`` to C: a number that makes C stop once it is not 0, or NULL. It also takes over
            the memory that C allocated, because after Ctrl-C this thread does not.
        voxels: how many there are.

    Raises:
        KeyboardInterrupt: SIGINT came, to this thread or to the one that it works for.
    """
    if voxels <= VOXELS_AT_ONCE:
        return work(ffi.NULL)
    stop = ffi.new("int32_t *")
    return _Crew(lambda start, end: work(stop), [0, 1], stop).results(1)[0]


def crew(work: Callable[[int, int, Any], T], edges: Sequence[int], parallel: int) -> list[T]:
    """Call ``work(start, end, stop)`` over the ranges between ``edges``, in threads that Ctrl-C stops.

    For ranges that can take seconds each: this thread only waits, and reacts to Ctrl-C.

    Args:
        work: passes ``stop`` to C: a number that makes C stop once it is not 0.
        edges: where ranges begin; the last one is where the last range ends.
        parallel: threads; 0 is one per core.

    Returns:
        The results in the order of the ranges.

    Raises:
        KeyboardInterrupt: SIGINT came, to this thread or to the one that it works for.
    """
    stop = ffi.new("int32_t *")
    count = max(1, min(threads(parallel), len(edges) - 1))
    return _Crew(lambda start, end: work(start, end, stop), edges, stop).results(count)


# How many seconds a thread waits for others between two checks for an interrupt.
_PATIENCE = 0.1


class _Helper:
    """A thread that works for one call after the other, and ends when none has come for a while.

    It does not stay for good, since Python warns of forking while there are threads. It is a daemon, so that
    a process ends without it.
    """

    # How many seconds it waits for the next call.
    LINGER = 1.0
    idle: ClassVar[collections.deque[_Helper]] = collections.deque()

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[_Helper], None]] = queue.SimpleQueue()
        self._ends = False

    @classmethod
    def call(cls, task: Callable[[_Helper], None]) -> None:
        """Let some thread call ``task``, soon or never: the caller must get by without it."""
        try:
            helper = cls.idle.pop()
            helper._tasks.put(task)
        except IndexError:
            helper = cls()
            helper._tasks.put(task)
            with contextlib.suppress(RuntimeError):  # no more threads available
                threading.Thread(target=helper._run, name="crackle", daemon=True).start()

    def set_free(self) -> None:
        """Be there for other calls, or end if enough are."""
        self._ends = len(self.idle) >= _cores()
        if not self._ends:
            self.idle.append(self)

    def _run(self) -> None:
        while not self._ends and (task := self._next()) is not None:
            task(self)
            del task  # it holds arrays of a call that is over

    def _next(self) -> Callable[[_Helper], None] | None:
        # Who took this thread from the list is about to put a task. If it does not, since it was interrupted
        # between the two, this ends after the second wait.
        for _ in range(2):
            with contextlib.suppress(queue.Empty):
                return self._tasks.get(timeout=self.LINGER)
            with contextlib.suppress(ValueError):
                self.idle.remove(self)
                return None
        return None


def _forget_helpers() -> None:
    _Helper.idle = collections.deque()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


class _Crew(Generic[T]):
    """A group of threads that take ranges of slices in order.

    The calling thread works too, unless there is a number ``stop``: then it waits, and sets the number when
    it is interrupted.

    Not a ThreadPoolExecutor: it offers no threads to functions that run at exit, and a second Ctrl-C makes it
    return while C still works on the caller's memory.
    """

    def __init__(self, work: Callable[[int, int], T], edges: Sequence[int], stop: Any = None) -> None:
        self._work = work
        self._stop = stop
        self._outer = _thread.stop
        # Threads share deques only: appending and popping one item is atomic.
        self._todo = collections.deque(enumerate(itertools.pairwise(edges)))
        self._working: collections.deque[None] = collections.deque()
        self._failures: collections.deque[tuple[bool, int, BaseException]] = collections.deque()
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._results: dict[int, T] = {}

    def results(self, count: int) -> list[T]:
        """Run all ranges in ``count`` threads; returns their results in order."""
        is_done = False
        started = []
        try:
            if self._stop is None:
                for _ in range(count - 1):
                    _Helper.call(self._help_as)
            else:
                started = self._started(count)
            if not started:
                self._serve()
            while self._todo or self._working:
                self._let_end()
                raise_if_interrupted()
            is_done = True
        finally:
            if not is_done:
                self._todo.clear()
                if self._stop is not None:
                    self._stop[0] = 1
            # C works on the caller's memory, so it has to end before this returns.
            while self._working:
                with contextlib.suppress(BaseException):
                    self._let_end()
            # A helper that has just ended, or comes too late to take a range, still refers to this, but never
            # to the caller's memory again: a memory map, say, can be closed as soon as the call returns.
            del self._work
            results, self._results = self._results, {}
            if not is_done:
                self._failures.clear()  # exceptions hold frames, which hold this
        for helper in started:
            helper.join()
        if self._failures:
            *_, failure = min(self._failures, key=lambda one: one[:2])
            self._failures.clear()
            try:
                raise failure
            finally:
                del failure
        return [results[number] for number in sorted(results)]

    def _started(self, count: int) -> list[threading.Thread]:
        started = []
        for helper in [threading.Thread(target=self._help, name="crackle") for _ in range(count)]:
            with contextlib.suppress(RuntimeError):  # no more threads available: this one does the work
                helper.start()
                started.append(helper)
        return started

    def _help_as(self, helper: _Helper) -> None:
        # It is free before the caller knows that it has ended, so that the next call finds it.
        self._help(helper.set_free)

    def _help(self, then: Callable[[], None] = lambda: None) -> None:
        # Register before taking a range: the caller then either waits for this thread, or has left it no
        # range.
        self._working.append(None)
        try:
            _thread.stop = self._outer
            self._serve()
        finally:
            _thread.stop = None
            self._working.pop()
            then()
            self._ended.put(None)

    def _serve(self) -> None:
        while True:
            try:
                number, (start, end) = self._todo.popleft()
            except IndexError:
                return
            try:
                raise_if_interrupted()
                self._results[number] = self._work(start, end)
            except BaseException as error:
                # Earlier ranges have begun already, so the first failure is known when all have ended.
                self._todo.clear()
                self._failures.append((isinstance(error, Exception), number, error))
                return

    def _let_end(self) -> None:
        # Not an Event: Ctrl-C can leave its lock locked forever, and then the thread that sets it never ends.
        # With a timeout: on Windows, Ctrl-C does not end a wait.
        with contextlib.suppress(queue.Empty):
            self._ended.get(timeout=_PATIENCE)
