"""Sessions of Icechunk on executors of other processes: tasks work in forks of a session.

A writable session cannot leave its process. So each task gets a copy of it, as it was when its run of tasks
began, and the copy comes back and is merged. A call works in a fork of the session itself, which the session
merges when the call is done: after a failure the fork is dropped, and the session is what it was. But a fork
of a session with changes cannot be merged if both change the metadata of an array; so there, the call works
in the session.

Icechunk 2 copies a session without its changes, as a snapshot without a name; Icechunk 1 copies a fork with
its changes, and merging such a copy puts back what another copy has replaced meanwhile. So stores note what
they write, and a :class:`Trip` writes such objects once more. No two tasks may create the same group.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import zarr
from zarr.abc.store import Store
from zarr.storage import WrapperStore

from .._base import zarr_facts
from .._base.patience import reason_of, session_of
from .._base.zarr_facts import Buffer
from .writing import read_objects, write_objects

P = TypeVar("P", bound="zarr.Array[Any] | zarr.Group | Store")  # in quotes: Zarr 3.0 cannot subscript Array


class Shared:
    """A session, and the copy of it that goes to other processes.

    All stores of a task have the same one, also when it was pickled: so they are of one copy there.

    Attributes:
        session: a fork, or the caller's session.
        copied: what is pickled; None: a new copy.
        written: the keys that were written or deleted since.
        cleared: the prefixes below which all was deleted since; "" where nobody has noted the changes.
    """

    def __init__(self, session: Any) -> None:
        """Share a session."""
        self.session = session
        self.copied: Any = None
        self.written: set[str] = set()
        self.cleared: set[str] = {""} if session.has_uncommitted_changes else set()

    def __reduce__(self) -> tuple[Any, ...]:
        """The copy, which Icechunk pickles."""
        return type(self), (_copy_of(self.session) if self.copied is None else self.copied,)


class ForkedStore(WrapperStore[Store]):
    """The store of a session whose copies go to other processes; a :class:`Trip` brings back their changes.

    Attributes:
        shared: the session.
        is_callers: whether that is the caller's session, and no fork of it.
    """

    def __init__(self, store: Store, shared: Shared, is_callers: bool = False) -> None:
        """Wrap the store of a session."""
        super().__init__(store)
        self.shared = shared
        self.is_callers = is_callers

    def _with_store(self, store: Store) -> ForkedStore:
        return type(self)(store, self.shared, self.is_callers)

    def __str__(self) -> str:
        """The name of the store within."""
        return str(self._store)

    async def set(self, key: str, value: Buffer) -> None:
        """Set an object."""
        self.shared.written.add(key)
        await self._store.set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Set an object where there is none."""
        self.shared.written.add(key)
        await self._store.set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        self.shared.written.add(key)
        await self._store.delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        self.shared.cleared.add(prefix.rstrip("/") + "/")
        await self._store.delete_dir(prefix)

    async def clear(self) -> None:
        """Delete everything."""
        self.shared.cleared.add("")
        await self._store.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        """The session: Icechunk 1 pickles no store of a fork that was opened for reading only."""
        return _opened, (self.shared, self.read_only)


def _opened(shared: Shared, read_only: bool) -> ForkedStore:
    store = shared.session.store
    return ForkedStore(store.with_read_only(True) if read_only else store, shared)


def fork_of(store: Any) -> ForkedStore | None:
    """The store of a fork within wrappers; None if there is none."""
    while not isinstance(store, ForkedStore):
        store = getattr(store, "_store", None)
        if not isinstance(store, Store):
            return None
    return store


def is_dropped_after_failure(store: Any) -> bool:
    """Whether a store is that of a fork which its session does not merge after a failure."""
    fork = fork_of(store)
    return fork is not None and not fork.is_callers


@contextmanager
def merged_fork(place: P, executor: Executor | None) -> Iterator[P]:
    """A place as other processes can write there: in a fork of its session, which that merges.

    The session merges the fork when the block ends, and not if it raises. If the session has changes, the
    block works in it, and a failure leaves what was done. Where there is no session, the place stays as it
    is.

    Args:
        place: an array, a group or a store.
        executor: that the block uses.

    Raises:
        ValueError: the session cannot be forked, or the executor or the repository is none for it.
    """
    session = _session_to_share(place, executor)
    if session is None or session.read_only:
        yield place
        return
    forked = _forked(place, session)
    if session.has_uncommitted_changes:
        store = ForkedStore(zarr_facts.unwrapped(_store_of(place)), Shared(session), is_callers=True)
        yield _placed(place, store)
        return
    try:
        yield forked
    except BaseException as error:
        error.add_note(f"{_name(place)}: the session is unchanged, as its fork was dropped")
        raise
    session.merge(_fork_in(forked).shared.session)


def readable(place: P, executor: Executor | None) -> P:
    """A place that tasks on an executor can read: in a fork of its session, if that is a writable one.

    Raises:
        ValueError: as :func:`merged_fork` raises it.
    """
    session = _session_to_share(place, executor)
    if session is None:
        return place
    if session.read_only:
        _refuse_unreachable(place, session)
        return place
    return _forked(place, session)


def _store_of(place: Any) -> Store:
    store: Store = place if isinstance(place, Store) else place.store_path.store
    return store


def _name(place: Any) -> str:
    """A place for messages, which say that it is in Icechunk; its store says only where in memory it is."""
    path = "" if isinstance(place, Store) else str(place.path)
    return path or "the repository"


def _session_to_share(place: Any, executor: Executor | None) -> Any | None:
    """The session of a place that other processes need; None where there is none, or a fork already."""
    if executor is None or isinstance(executor, ThreadPoolExecutor):
        return None
    store = _store_of(place)
    session = None if fork_of(store) is not None else session_of(store)
    if session is not None and _start_method(executor) == "fork":
        raise ValueError(
            f"{_name(place)}: a forked process lacks the threads of Icechunk, and would wait for ever: give "
            f"ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
        )
    return session


def _start_method(executor: Executor) -> str | None:
    """How an executor starts its processes, where it tells."""
    context: Any = getattr(executor, "_mp_context", None)
    return None if context is None else str(context.get_start_method())


def _forked(place: P, session: Any) -> P:
    """A place in a fork of its session."""
    try:
        fork = _copy_of(session)
    except ValueError as error:
        if not session.has_uncommitted_changes:
            raise
        raise ValueError(
            f"{_name(place)} is in a session of Icechunk with changes that are not committed, which other "
            f"processes cannot see before Icechunk 2: commit them and open a new session, or use threads "
            f"(executor=None)"
        ) from error
    _refuse_unreachable(place, fork)
    return _placed(place, _opened(Shared(fork), zarr_facts.unwrapped(_store_of(place)).read_only))


def _placed(place: P, innermost: ForkedStore) -> P:
    """A place in the same wrappers around another store."""
    inside = zarr_facts.rewrapped(_store_of(place), innermost)
    made: Any = inside
    if isinstance(place, zarr.Array):
        made = zarr_facts.array_in(place, inside)
    elif isinstance(place, zarr.Group):
        made = zarr_facts.group_in(place, inside)
    return made  # type: ignore[no-any-return]


def _copy_of(session: Any) -> Any:
    """A fork of a session or of a fork; see the module about its changes.

    Raises:
        ValueError: the session has changes, and this version of Icechunk does not fork it.
    """
    try:
        fork = session.fork()
    except ValueError:
        if type(session).__name__ != "ForkSession":
            raise
        fork = session
    return copy.deepcopy(fork)  # the first versions of Icechunk 1 return the session itself in another guise


def _fork_in(place: Any) -> ForkedStore:
    found = fork_of(_store_of(place))
    assert found is not None
    return found


def _refuse_unreachable(place: Any, session: Any) -> None:
    """Raise ValueError if a copy of a session, as another process gets it, does not find its repository."""
    try:
        zarr_facts.run(copy.deepcopy(session).store.exists("zarr.json"))
    except Exception as error:
        raise ValueError(
            f"{_name(place)} is in a repository of Icechunk that other processes cannot open, as one in "
            f"memory: use threads (executor=None). Icechunk says: {reason_of(error)}"
        ) from error


# ---------------------------------------------------------------------------------------
# Tasks


class Trip:
    """Takes the tasks of a run to other processes, each with a copy of a session, and merges the changes."""

    def __init__(self, fork: ForkedStore) -> None:
        """Copy the session as it is now."""
        self._store, self._shared = fork._store, fork.shared
        self._shared.copied = _copy_of(fork.shared.session)
        # What copies have of changes before this run, which they may put back; nothing with Icechunk 2.
        stale = self._shared.copied.has_uncommitted_changes
        self._written = frozenset(self._shared.written if stale else ())
        self._cleared = tuple(self._shared.cleared if stale else ())
        self._again: list[tuple[Any, list[str]]] = []

    def packed(self, task: Any) -> Packed:
        """A task that works in a copy of the session where it was sent."""
        return Packed(task, self._shared)

    def landed(self, outcome: tuple[Any, Any, frozenset[str]]) -> Any:
        """The result of a packed task, whose changes are in the session from now on."""
        result, changed, written = outcome
        if changed is not None:
            self._shared.session.merge(changed)
            self._shared.written |= written
            twice = [key for key in written if key in self._written or key.startswith(self._cleared)]
            if twice:
                self._again.append((changed, twice))
        return result

    def end(self) -> None:
        """Write once more what copies that landed later have put back."""
        for changed, keys in self._again:
            values = read_objects(changed.store, keys)
            write_objects(self._store, dict(zip(keys, values, strict=True)))


@dataclass(frozen=True)
class Packed:
    """A task and a session, which is a copy where it was sent.

    It returns the task's result, the copy if that has changes, and the keys that the task has written.
    """

    task: Any
    shared: Shared

    @property
    def weight(self) -> int:
        """That of the task."""
        return int(self.task.weight)

    def __call__(self) -> tuple[Any, Any, frozenset[str]]:
        """Do it."""
        result = self.task()
        session = self.shared.session
        changed = session if session.has_uncommitted_changes else None
        return result, changed, frozenset(self.shared.written)
