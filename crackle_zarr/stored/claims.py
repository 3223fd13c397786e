"""Claims: one call at a time converts to a place, writes labels there, or builds the levels of a pyramid.

A claim is an object at the place that names its owner, beside the marker that says what is unfinished. The
owner renews a sign of life, as the owner of an edit does. Another call is refused while the owner lives, and
takes the claim over when the owner has ended. An owner asks whether the claim is still its own before each
object that it writes, and before it reports success.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .._base import zarr_facts
from .._base.passwords import without_password
from ..errors import StoreError, TakenOverError
from .editing.entries import packed, unpacked
from .editing.owner import Owner, Signs, at_work, clock, life
from .editing.steps import owner_of, same_again
from .writing import call_store, read_objects, write_objects

OWNER, SIGN = ".crackle-owner", ".crackle-owner-sign"

Work = Literal["conversion", "labels", "levels"]
# What messages say about a place, and what they call the work.
_DOING: dict[Any, str] = {
    "conversion": "is being converted to",
    "labels": "is being written",
    "levels": "is getting its lower levels",
}
_NAME: dict[Any, str] = {
    "conversion": "the conversion to",
    "labels": "the writing of",
    "levels": "the building of the levels of",
}
# How a finished work is done once more.
_ANEW: dict[Any, str] = {
    "conversion": " with overwrite=True (on the command line --overwrite)",
    "labels": " with overwrite=True (on the command line --overwrite)",
    "levels": "",
}


def key_in(path: str, name: str) -> str:
    """The key of an object below a place; without a name, the prefix of these keys."""
    return f"{path}/{name}" if path else name


def place_text(store: Any, path: str) -> str:
    """A place in messages."""
    return without_password(f"{store}/{path}" if path else str(store))


@dataclass(frozen=True)
class Held:
    """Tells whether a place is still its owner's. It pickles, as tasks ask it before they write."""

    store: Any
    path: str
    owner: Owner
    work: Work

    def is_lost(self) -> bool:
        """Whether the place is another's, or nobody's any more."""
        key = key_in(self.path, OWNER)
        (raw,) = read_objects(self.store, [key])
        if raw is None or owner_of(raw, key) is None:
            raw = same_again(self.store, key, raw)
        return raw is None or owner_of(raw, key) != self.owner

    def check(self) -> None:
        """Raise TakenOverError if the place is another's, or nobody's any more."""
        if not self.is_lost():
            return
        key = key_in(self.path, OWNER)
        (raw,) = read_objects(self.store, [key])
        by = None if raw is None else owner_of(raw, key)
        who = "another process" if by is None else f"{by.text()}, at {clock(by.since)}"
        raise TakenOverError(
            f"{_NAME[self.work]} {place_text(self.store, self.path)} was taken over by {who}. This call has "
            f"stopped. What it was writing at that moment may have come late: to be certain, give the other "
            f"call once more{_ANEW[self.work]} when it is done"
        )


class Claim:
    """The claim of this call on a place, or on a group and all its arrays.

    Attributes:
        owner: this call.
        path: of the place within its store.
        work: what it does.
        taken: whether it has said so in the store.
        lock: held while a sign of life is given.
    """

    def __init__(self, owner: Owner, path: str, work: Work) -> None:
        self.owner, self.path, self.work = owner, path, work
        self.taken = False
        self.lock = threading.Lock()

    @property
    def sign(self) -> str:
        """The key of the sign of life."""
        return key_in(self.path, SIGN)

    def on(self, store: Any, path: str) -> Held:
        """The claim on one place, for tasks."""
        return Held(store, path, self.owner, self.work)

    def take(self, store: Any, path: str) -> None:
        """Say in the store who writes to a place.

        Raises:
            TakenOverError: another process did so at the same time, or has taken over an earlier claim.
        """
        if self.taken:
            self.on(store, self.path).check()
            if path == self.path:
                return
        key = key_in(path, OWNER)
        value = packed({"owner": self.owner.json(), "sign": self.sign, "work": self.work})
        if read_objects(store, [key]) == [None]:
            call_store(store, key, store.set_if_not_exists(key, zarr_facts.buffer_of(value)), "written to")
        else:
            # A listing of the place may have taken long since its owner was found dead.
            text = busy(store, path, self, watch=False)
            if text is not None:
                raise TakenOverError(text)
            write_objects(store, {key: value})
        self.on(store, path).check()
        self.taken = True

    def release(self, store: Any, path: str) -> None:
        """Leave a place to others."""
        names = [key_in(path, OWNER)]
        if path == self.path:  # and not one array of a group
            with self.lock:  # no sign is given later
                self.taken = False
            names.append(self.sign)
        write_objects(store, dict.fromkeys(names))

    def finish(self, store: Any, path: str, marker: str) -> None:
        """Remove the marker of what was unfinished, and leave the place to others.

        Raises:
            TakenOverError: the place is another's by now.
        """
        self.on(store, path).check()
        # The marker goes last: if the process ends before, the same call continues. A call that has begun in
        # between keeps it.
        self.release(store, path)
        if read_objects(store, [key_in(path, OWNER)]) == [None]:
            write_objects(store, {marker: None})


@contextlib.contextmanager
def claimed(store: Any, path: str, work: Work) -> Iterator[Claim]:
    """This call as the one that may write to a place; once it has claimed it, it gives signs of life.

    Raises:
        TakenOverError: the block failed because another process has taken the place over.
    """
    with at_work() as owner:
        claim = Claim(owner, path, work)
        held = claim.on(store, path)
        signs = Signs(store, claim.sign)
        try:
            with signs.given(lambda: claim.taken and not held.is_lost(), claim.lock):
                yield claim
        except BaseException as error:
            with contextlib.suppress(StoreError):
                _stop(claim, held, signs, error)
            raise


def _stop(claim: Claim, held: Held, signs: Signs, error: BaseException) -> None:
    """Leave unfinished work to others; raises TakenOverError if it is theirs already."""
    if not held.is_lost():
        signs.give(stopped=True)
    elif claim.taken and isinstance(error, Exception) and not isinstance(error, TakenOverError):
        held.check()


def busy(store: Any, path: str, claim: Claim | None = None, *, watch: bool = True) -> str | None:
    """Who writes to a place, or to a group around it, and what to do about it, for messages.

    Args:
        store: of the place.
        path: of the place within the store.
        claim: of this call, which does not count.
        watch: if an owner elsewhere seems silent, wait for its next sign before it counts as dead.

    Returns:
        None if there is nobody who lives.
    """
    paths = [path]
    while paths[-1]:
        paths.append(paths[-1].rpartition("/")[0])
    keys = [key_in(one, OWNER) for one in paths]
    for one, key, raw in zip(paths, keys, read_objects(store, keys), strict=True):
        owner = None if raw is None else owner_of(raw, key)
        if raw is None or owner is None or (claim is not None and owner == claim.owner):
            continue
        meta = unpacked(raw, key)[0]
        state, age = life(owner, Signs(store, meta["sign"]), watch=watch)
        if state == "lives":
            return (
                f"{place_text(store, one)} {_DOING.get(meta['work'], _DOING['labels'])} since "
                f"{clock(owner.since)} by {owner.text()}, last sign {age:.0f} s ago: wait until it is done. "
                f"If that process hangs, end it: then the same call as its own continues the work"
            )
    return None
