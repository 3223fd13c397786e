"""The steps of an edit, as its journal has them, and what tells a task whether the edit is still its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from zarr.abc.store import Store

from ...errors import FormatError, StoreError, TakenOverError
from ..writing import read_objects, write_objects
from .entries import unpacked
from .owner import Owner, clock, owner_in

State = Literal["preparing", "applying", "undoing", "finished"]
Which = Literal["old", "new"]

WAYS = "resume() finishes it, undo() restores the array (on the command line --resume, --undo)"


@dataclass(frozen=True)
class Step:
    """What an owner does with an edit.

    Attributes:
        what: preparing the entries, applying them, undoing them; or the edit is finished.
        owner: who; None in journals of format 1.
        entries: the folder with the entries that are applied or undone; None if there are none.
        again: the entries that supersede those of the index: objects that changed after they were prepared.
        outcome: of a finished edit: the form that the objects have.
        over: the owners from whom the edit was taken and who may come back.
    """

    what: State
    owner: Owner | None
    entries: str | None = None
    again: tuple[Again, ...] = ()
    outcome: Which | None = None
    over: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """For the store."""
        return {
            "what": self.what,
            "owner": None if self.owner is None else self.owner.json(),
            "entries": self.entries,
            "again": [[list(one.keys), list(one.names)] for one in self.again],
            "outcome": self.outcome,
            "over": list(self.over),
        }


@dataclass(frozen=True)
class Again:
    """Objects that were prepared again: their keys, and the names of their new entries."""

    keys: tuple[str, ...]
    names: tuple[str, ...]


def step_in(raw: bytes | None, key: str) -> Step | None:
    """A step from the store; None if it is half written."""
    try:
        meta = unpacked(raw or b"", key)[0]
        again = tuple(Again(tuple(keys), tuple(names)) for keys, names in meta["again"])
        owner = owner_in(meta["owner"])
        return Step(meta["what"], owner, meta["entries"], again, meta["outcome"], tuple(meta["over"]))
    except (FormatError, KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class History:
    """The steps of an edit.

    Attributes:
        plan: the mapping and the options; None if it is half written.
        number: of the last step, the half-written ones included.
        step: the last whole one.
    """

    plan: dict[str, Any] | None
    number: int
    step: Step

    @property
    def id(self) -> str:
        """Of the edit."""
        assert self.plan is not None
        return str(self.plan["id"])


@dataclass(frozen=True)
class Guard:
    """Tells whether an edit is still its owner's. It pickles, as tasks ask it before they write."""

    store: Store
    root: str
    id: str
    owner: Owner
    number: int
    name: str

    @property
    def _keys(self) -> list[str]:
        steps = f"{self.root}/steps-{self.id}"
        own = f"{steps}/{self.number}" if self.number else f"{self.root}/plan"
        return [own, f"{steps}/{self.number + 1}"]

    def is_lost(self) -> bool:
        """Whether another process has made the next step, or removed the journal.

        Raises:
            StoreError: the store contradicts itself.
        """
        own, later = read_objects(self.store, self._keys)
        if own is None or owner_of(own, self._keys[0]) is None:
            own = same_again(self.store, self._keys[0], own)
        # A step that is half written is nobody's, and one that was not acknowledged is its own.
        after = None if later is None else owner_of(later, self._keys[1])
        return own is None or after not in (None, self.owner) or owner_of(own, self._keys[0]) != self.owner

    def check(self) -> None:
        """Raise TakenOverError if the edit is not its owner's any more."""
        if self.is_lost():
            (later,) = read_objects(self.store, self._keys[1:])
            raise taken_over(self.name, step_in(later, self._keys[1]))

    def has_plan(self) -> bool:
        """Whether the journal of the edit still exists."""
        key = f"{self.root}/plan"
        (plan,) = read_objects(self.store, [key])
        return plan is not None and id_of(plan, key) == self.id

    def outcome(self) -> Which | None:
        """The form that objects are to have, once the edit is lost; None if nobody knows."""
        plan_key = f"{self.root}/plan"
        plan, note = read_objects(self.store, [plan_key, f"{self.root}/over-{self.owner.id}"])
        if plan is not None and id_of(plan, plan_key) == self.id:
            number = self.number + 1
            wanted: Which | None = None
            while True:
                key = f"{self.root}/steps-{self.id}/{number}"
                (raw,) = read_objects(self.store, [key])
                if raw is None:
                    return wanted
                step = step_in(raw, key)
                if step is not None:
                    wanted = {"applying": "new", "undoing": "old"}.get(step.what, step.outcome)  # type: ignore[assignment]
                number += 1
        try:
            found: Which = unpacked(note or b"", "")[0]["outcome"]
            return found
        except FormatError:
            return None

    def forget(self) -> None:
        """Remove the note about how the edit ended."""
        write_objects(self.store, {f"{self.root}/over-{self.owner.id}": None})


def owner_of(raw: bytes, key: str) -> Owner | None:
    """The owner of a step, or of a plan; None if it is damaged or has none."""
    try:
        return owner_in(unpacked(raw, key)[0]["owner"])
    except (FormatError, KeyError, TypeError):
        return None


def same_again(store: Store, key: str, raw: bytes | None) -> bytes | None:
    """Read an object again that seems to be missing or damaged, and return it.

    Raises:
        StoreError: it has changed: the store failed to send it.
    """
    (again,) = read_objects(store, [key])
    if again != raw:
        raise StoreError(
            f"{store} reported {key} as missing or cut short, and a moment later otherwise: try again. If "
            f"there is a journal, {WAYS}"
        )
    return again


def id_of(plan: bytes, key: str) -> str | None:
    """The id of an edit in its plan; None if that is damaged."""
    try:
        return str(unpacked(plan, key)[0]["id"])
    except (FormatError, KeyError, TypeError):
        return None


def taken_over(name: str, later: Step | None) -> TakenOverError:
    """The error of an owner that has lost its edit, to the owner of a later step."""
    by, does = "", "has been taken over"
    if later is not None and later.owner is not None:
        what = {"undoing": ", which undoes it", "applying": ", which finishes it"}
        by = f" by {later.owner.text()}, at {clock(later.owner.since)}{what.get(later.what, '')}"
    else:
        does = "was taken over, and its journal is gone"
    return TakenOverError(f"the remap of {name} {does}{by}. This call has stopped, and the other one goes on")
