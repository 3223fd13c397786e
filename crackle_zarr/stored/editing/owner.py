"""Who edits an array, and whether it still lives.

An owner is a call in a process on a machine. While it works, a thread renews an object in the store, its sign
of life. Whether it lives is told from the process where it can be seen, which is on the same machine: at
once, and right even if its number was given to another process meanwhile. For other machines, clocks may
differ, so an owner that seems silent is watched for a while: what counts is that its sign does not change.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from zarr.abc.store import Store

from ...errors import FormatError, StoreError
from ..writing import read_objects, write_objects
from .entries import packed, unpacked

# Seconds between two signs of life; without one for SILENCE seconds, an owner elsewhere counts as dead.
INTERVAL = 5.0
SILENCE = 60.0

# The owners of this process that are at work.
_AT_WORK: set[str] = set()

Life = Literal["lives", "ended", "dead", "unknown"]


@dataclass(frozen=True)
class Owner:
    """A call that edits an array.

    Attributes:
        id: of the call.
        host: the name of the machine, for people.
        machine: what processes with the same numbering of processes have in common.
        pid: the process.
        start: when the process started, in a unit of the system; None where it does not tell.
        since: when the call began, in seconds since 1970.
    """

    id: str
    host: str
    machine: str
    pid: int
    start: int | None
    since: float

    def json(self) -> dict[str, Any]:
        """For an object in the store."""
        return asdict(self)

    def text(self) -> str:
        """For messages."""
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether it is a call of this process."""
        return (self.machine, self.pid, self.start) == (_machine(), os.getpid(), _started(os.getpid()))


def owner_in(value: Any) -> Owner | None:
    """The owner that an object in the store names; None if it names none."""
    try:
        return Owner(**value)
    except TypeError:
        return None


def new_owner() -> Owner:
    """This call."""
    pid = os.getpid()
    return Owner(uuid.uuid4().hex, platform.node(), _machine(), pid, _started(pid), time.time())


def clock(seconds: float) -> str:
    """A time of day, with the date if it is not today's."""
    then, now = time.localtime(seconds), time.localtime()
    today = then[:3] == now[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)


# ---------------------------------------------------------------------------------------
# Processes


def _machine() -> str:
    """Processes with the same value here see each other by their numbers."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):  # containers of one machine number their processes apart
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> int | None:
    """When a process of this machine started; None if it has ended, or the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _runs(owner: Owner) -> bool | None:
    """Whether the process of an owner of this machine runs; None if nobody knows."""
    if owner.start is not None:
        return _started(owner.pid) == owner.start
    if os.name == "nt":  # os.kill would end the process
        return None
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return None  # it may be another process with the same number


# ---------------------------------------------------------------------------------------
# Signs of life


@dataclass(frozen=True)
class Sign:
    """A sign of life: when it was made, and whether the owner has stopped, leaving its work unfinished."""

    time: float
    stopped: bool


class Signs:
    """The signs of life of an owner: an object in the store that a thread renews."""

    def __init__(self, store: Store, key: str) -> None:
        """The signs below a key, whether there are any or not."""
        self.store, self.key = store, key

    def last(self) -> Sign | None:
        """The last sign; None if there is none that can be read."""
        (raw,) = read_objects(self.store, [self.key])
        if raw is None:
            return None
        try:
            return Sign(**unpacked(raw, self.key)[0])
        except (FormatError, TypeError):  # it is being written
            return None

    def give(self, stopped: bool = False) -> None:
        """Give a sign."""
        write_objects(self.store, {self.key: packed(asdict(Sign(time.time(), stopped)))})

    @contextlib.contextmanager
    def given(self, still: Callable[[], bool], lock: threading.Lock | None = None) -> Iterator[None]:
        """Give signs while the block runs, and while the work is still the owner's.

        Args:
            still: whether it is.
            lock: held while a sign is given; with it, an owner removes its sign for good.
        """
        end = threading.Event()
        lock = lock or threading.Lock()

        def renew() -> None:
            while not end.wait(INTERVAL):
                with contextlib.suppress(StoreError), lock:  # the next one may pass
                    if still():
                        self.give()

        thread = threading.Thread(target=renew, name="crackle-zarr sign of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


@contextlib.contextmanager
def at_work() -> Iterator[Owner]:
    """This call as an owner, which lives until the block ends."""
    owner = new_owner()
    _AT_WORK.add(owner.id)
    try:
        yield owner
    finally:
        _AT_WORK.discard(owner.id)


def life(owner: Owner, signs: Signs, *, watch: bool) -> tuple[Life, float]:
    """Whether an owner lives, and the seconds since its last sign.

    Args:
        owner: who.
        signs: of the owner.
        watch: if an owner elsewhere seems silent, wait for its next sign before it counts as dead.

    Returns:
        "lives"; "ended": the call has stopped; "dead": the process has ended; "unknown": no sign for long.
    """
    sign = signs.last()
    age = max(0.0, time.time() - max(owner.since, 0.0 if sign is None else sign.time))
    if sign is not None and sign.stopped:
        return "ended", age
    if owner.is_here:
        return ("lives" if owner.id in _AT_WORK else "ended"), age
    if owner.machine == _machine():
        runs = _runs(owner)
        if runs is not None:
            return ("lives" if runs else "dead"), age
    if age < SILENCE:
        return "lives", age
    if watch:
        time.sleep(2.5 * INTERVAL)
        if signs.last() != sign:
            return "lives", 0.0
    return "unknown", age
