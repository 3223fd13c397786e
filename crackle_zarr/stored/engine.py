"""Map-reduce over the chunks of an array: tasks run on an executor, and a tree merges their answers.

A task is a question and some chunks; it pickles. Answers are merged in pairs that cover equally many tasks,
as in a merge sort: of n answers, log n wait in memory, and each is merged log n times. Only a few tasks per
worker are submitted at once. A task runs the same way in a thread, in a process and on another machine.
"""

from __future__ import annotations

import functools
import itertools
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from tqdm import tqdm  # type: ignore[import-untyped]

from .. import _binding
from ..errors import FormatError
from .chunk import Chunk, chunks_of
from .fetch import Steps, drive
from .forks import ForkedStore, Trip
from .layout import Box, Coords, Layout, num_voxels
from .together import AsksTogether, batches, together

if TYPE_CHECKING:
    from .index.choice import Looked

P = TypeVar("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
R_contra = TypeVar("R_contra", contravariant=True)
Progress: TypeAlias = bool | Callable[[int, int], object]
# Whether a query uses the label index of its array.
IndexUse: TypeAlias = Literal["auto", "require", "ignore"]

# How many chunks a task holds in memory and requests together.
BATCH = 16
# How many chunks a task has whose neighbours it reads as well: the larger, the fewer are read twice.
_BLOCK = 128
# Chunks that Zarr decodes are volumes of voxels, so a task holds one.
_BATCH_DECODED = 1
# A task reports progress when it ends, so there are more tasks than workers.
_TASKS_PER_WORKER = 4
# How many workers to assume for an executor that does not tell.
_UNKNOWN_WORKERS = 16


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every function on stored arrays takes."""

    executor: Executor | None = None
    parallel: int = 0
    progress: Progress = False
    verify: bool = True
    index: IndexUse = "auto"
    looked: Looked | None = None  # what a look for the index has found already
    fork: ForkedStore | None = None  # what tasks in other processes change

    @property
    def in_this_process(self) -> bool:
        """Whether tasks share this process's memory."""
        return self.executor is None or isinstance(self.executor, ThreadPoolExecutor)


# ---------------------------------------------------------------------------------------
# Questions to chunks


class Question(Protocol[P]):
    """A question to chunks, and how its answers merge. It pickles."""

    def ask(self, chunk: Chunk) -> Steps[P | None]:
        """Ask one chunk; None if it has no answer."""
        ...

    def merge(self, a: P, b: P) -> P:
        """Merge two answers."""
        ...

    def enough(self, answer: P) -> bool:
        """Whether no other chunk can change this answer."""
        ...


@runtime_checkable
class MergesMany(Protocol[P]):
    """A question that merges many answers faster at once than two by two."""

    def merge_many(self, answers: list[P]) -> P:
        """Merge answers, of which there is at least one."""
        ...


@dataclass(frozen=True)
class Task(Generic[P]):
    """A question to some chunks, which are all in one shard if there are shards."""

    layout: Layout
    question: Question[P]
    coords: tuple[Coords, ...]
    box: Box

    @property
    def weight(self) -> int:
        """The number of chunks."""
        return len(self.coords)

    def __call__(self) -> P | None:
        """Ask the chunks, and merge their answers."""
        answer: P | None = None
        size = together(self.layout, self.question)
        if size:
            answers = self._together(size)
        else:
            answers = self._one_by_one(chunks_of(self.layout, self.coords, self.box))
        for more in answers:
            found = [one for one in (answer, *more) if one is not None]
            answer = self._merged(found) if found else None
            if answer is not None and self.question.enough(answer):
                break
        return answer

    def _one_by_one(self, chunks: Iterable[Chunk]) -> Iterator[list[P | None]]:
        waiting = iter(chunks)
        while batch := list(itertools.islice(waiting, at_once(self.layout))):
            yield drive(self.layout.store, [self._ask(chunk) for chunk in batch])

    def _together(self, size: int) -> Iterator[list[P | None]]:
        question: object = self.question
        asks = cast(AsksTogether[P], question)
        for found in batches(self.layout, asks, self.coords, self.box, size):
            answers: list[P | None] = []
            rest = found.rest
            if len(found.missing[0]):
                answers.append(asks.ask_missing(self.layout, *found.missing))
            if found.batch is not None:
                try:
                    answers.append(asks.ask_together(found.batch))
                except ValueError:  # a FormatError, or sums past 64 bits
                    rest = [*chunks_of(self.layout, found.batch.coords, self.box), *rest]
            if answers:
                yield answers
            yield from self._one_by_one(rest)

    def _merged(self, answers: list[P]) -> P:
        question: object = self.question
        if isinstance(question, MergesMany):
            return cast(MergesMany[P], question).merge_many(answers)
        return functools.reduce(self.question.merge, answers)

    def _ask(self, chunk: Chunk) -> Steps[P | None]:
        _binding.raise_if_interrupted()
        if num_voxels(chunk.box) == 0:
            return None
        try:
            return (yield from self.question.ask(chunk))
        except FormatError as error:
            raise chunk.failed(error) from error


def ask(
    layout: Layout,
    question: Question[P],
    box: Box,
    options: Options,
    coords: Iterable[Coords] | None = None,
    into: Gathering[P] | None = None,
) -> P | None:
    """Ask chunks, and merge their answers; None if no chunk had one.

    Args:
        layout: of the array.
        question: what to ask.
        box: the part of the array that is asked about.
        options: how.
        coords: the chunks to ask; None: all that the box touches.
        into: what takes the answers of tasks as they end; None: they are merged two by two.
    """
    if coords is None:
        total, each_task = layout.num_chunks_in(box), groups(layout, box, options, question)
    else:
        listed = list(coords)
        total, each_task = len(listed), groups_of(layout, listed, options, question)
    tasks = (Task(layout, question, tuple(group), box) for group in each_task)
    merge, enough = question.merge, question.enough
    return run(tasks, options, total=total, unit="chunk", merge=merge, enough=enough, into=into)


def groups(layout: Layout, box: Box, options: Options, question: object = None) -> Iterator[list[Coords]]:
    """The chunks that a box touches, in groups for one task each, which asks them a question.

    A group lies in one shard if there are shards.
    """
    if layout.shards is not None:
        yield from layout.by_shard(box)
        return
    coords = layout.coords_in(box)
    size = _batch_size(layout, layout.num_chunks_in(box), options, question)
    while batch := list(itertools.islice(coords, size)):
        yield batch


def groups_of(
    layout: Layout, coords: list[Coords], options: Options, question: object = None
) -> Iterator[list[Coords]]:
    """Some chunks, in groups for one task each, as :func:`groups` makes them."""
    if layout.shards is not None:
        yield from layout.by_object(coords).values()
        return
    size = _batch_size(layout, len(coords), options, question)
    for start in range(0, len(coords), size):
        yield coords[start : start + size]


def blocks(layout: Layout, box: Box, options: Options) -> Iterator[list[Coords]]:
    """The chunks that a box touches, in groups for one task each, which are boxes of neighbours.

    A group lies in one shard if there are shards.
    """
    if layout.shards is not None:
        return layout.by_shard(box)
    return layout.blocks(box, _share(_BLOCK, layout.num_chunks_in(box), options))


def at_once(layout: Layout) -> int:
    """How many chunks of an array a task holds in memory."""
    return BATCH if layout.chain is not None else _BATCH_DECODED


def _batch_size(layout: Layout, total: int, options: Options, question: object) -> int:
    return _share(together(layout, question) or at_once(layout), total, options)


def _share(most: int, total: int, options: Options) -> int:
    return max(1, min(most, total // (_TASKS_PER_WORKER * _workers(options))))


# ---------------------------------------------------------------------------------------
# Tasks on an executor


class Gathering(Protocol[R_contra]):
    """Takes results as they come, in any order."""

    def add(self, result: R_contra) -> None:
        """Take one."""
        ...


class Work(Protocol[R_co]):
    """A task, which may run in another process. It pickles."""

    @property
    def weight(self) -> int:
        """The share of the task in the progress."""
        ...

    def __call__(self) -> R_co | None:
        """Do it."""
        ...


def _workers(options: Options) -> int:
    if options.executor is None:
        return _binding.threads(options.parallel)
    return options.parallel or int(getattr(options.executor, "_max_workers", _UNKNOWN_WORKERS))


def run(
    tasks: Iterable[Work[R]],
    options: Options,
    *,
    total: int,
    unit: str,
    merge: Callable[[R, R], R],
    enough: Callable[[R], bool] = lambda _: False,
    into: Gathering[R] | None = None,
) -> R | None:
    """Run all tasks, and merge their results as they end.

    Args:
        tasks: what to do; they are taken as workers become free.
        options: where to do it.
        total: the sum of the tasks' weights.
        unit: what a weight of one is, for the progress bar.
        merge: one result of two; the order of merging must not matter.
        enough: whether a result makes the remaining tasks unnecessary.
        into: what takes the results instead of ``merge``; then nothing is returned.

    Raises:
        Exception: what the first task raised that failed. The others are abandoned.
    """
    tree = _Tree(merge)
    merged: Gathering[R] = tree if into is None else into
    with _shown(options.progress, total, unit) as advance:
        if options.executor is None and _workers(options) == 1:
            for task in tasks:
                if _take(task(), task.weight, merged, advance, enough):
                    break
            return tree.result()
        with ExitStack() as stack:
            executor = options.executor or stack.enter_context(ThreadPoolExecutor(_workers(options)))
            # A flag tells the threads of this process about Ctrl-C; it does not reach other processes.
            stop = _binding.Stop() if options.in_this_process else None
            trip = None if options.fork is None or options.in_this_process else Trip(options.fork)
            going: Iterator[Any] = iter(tasks) if trip is None else map(trip.packed, tasks)
            if trip is not None:
                stack.callback(trip.end)
            _run_on(executor, stop, trip, going, 2 * _workers(options), merged, advance, enough)
    return tree.result()


def _run_on(
    executor: Executor,
    stop: _binding.Stop | None,
    trip: Trip | None,
    tasks: Iterator[Work[R]],
    most: int,
    merged: Gathering[R],
    advance: Callable[[int], object],
    enough: Callable[[R], bool],
) -> None:
    pending: dict[Future[R | None], int] = {}
    once = uuid.uuid4().hex
    try:
        while True:
            for task in itertools.islice(tasks, most - len(pending)):
                submitted = (call, task, once) if stop is None else (stop.call, call, task, once)
                pending[executor.submit(*submitted)] = task.weight
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                result: Any = future.result()
                if trip is not None:
                    result = trip.landed(result)
                if _take(result, pending.pop(future), merged, advance, enough):
                    return
    except KeyboardInterrupt:
        if stop is not None:
            stop.set()
        raise
    finally:
        # Wait for the tasks that have begun: none may go on after the caller has got the failure. A second
        # Ctrl-C does not end the wait, because a late write would undo the cleanup after the first.
        begun = [future for future in pending if not future.cancel()]
        while not all(future.done() for future in begun):
            with suppress(KeyboardInterrupt):
                wait(begun)


def call(task: Work[R], once: str) -> R | None:
    """Run a task; a module-level function, for executors that send functions by name.

    ``once`` differs for every question. dask's executors cache calls with equal arguments, and would return
    the answer from before a remap.
    """
    return task()


def _take(
    result: R | None,
    weight: int,
    merged: Gathering[R],
    advance: Callable[[int], object],
    enough: Callable[[R], bool],
) -> bool:
    advance(weight)
    if result is None:
        return False
    merged.add(result)
    return enough(result)


class _Tree(Generic[R]):
    """Merges results in pairs, as a binary counter carries: of n results, log n wait."""

    def __init__(self, merge: Callable[[R, R], R]) -> None:
        self._merge = merge
        self._waiting: list[R | None] = []

    def add(self, result: R) -> None:
        for level, other in enumerate(self._waiting):
            if other is None:
                self._waiting[level] = result
                return
            result = self._merge(other, result)
            self._waiting[level] = None
        self._waiting.append(result)

    def result(self) -> R | None:
        """All results merged; None if there was none."""
        rest: R | None = None
        for other in self._waiting:
            if other is not None:
                rest = other if rest is None else self._merge(other, rest)
        return rest


# ---------------------------------------------------------------------------------------
# Progress


class _shown:  # noqa: N801 - it is used as a function
    """Reports progress to a bar, to a function, or not at all."""

    def __init__(self, progress: Progress, total: int, unit: str) -> None:
        if not (isinstance(progress, bool) or callable(progress)):
            raise TypeError(
                f"progress is True, False or a function of (done, total), not {type(progress).__name__}"
            )
        self._progress, self._total, self._unit = progress, total, unit
        self._done = 0

    def __enter__(self) -> Callable[[int], object]:
        if self._progress is True:
            self._bar = tqdm(total=self._total, unit=self._unit, file=sys.stderr)
            return self._bar.update  # type: ignore[no-any-return]
        return self._tell if callable(self._progress) else lambda _: None

    def _tell(self, weight: int) -> None:
        assert callable(self._progress)
        self._done += weight
        self._progress(self._done, self._total)

    def __exit__(self, *_: object) -> None:
        if self._progress is True:
            self._bar.close()
