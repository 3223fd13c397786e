"""Edits of a place that were not finished, for those who only read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..writing import read_objects
from .entries import Journaled
from .journal import NAME, Journal
from .steps import WAYS

# A message about a mapping names this many pairs.
_PAIRS = 4


@dataclass(frozen=True)
class Unfinished:
    """Something that was begun at a place and is not finished.

    Attributes:
        key: of the object that tells of it.
        text: what, since when, by whom, and how to go on.
        mixed: what is read now may be neither the old nor the new labels.
    """

    key: str
    text: str
    mixed: bool


def plan_key(place: Journaled) -> str:
    """The object that exists as long as there is an unfinished remap."""
    return place.path(f"{NAME}/plan")


def unfinished_remap(place: Journaled, known: bool | None = None) -> Unfinished | None:
    """The unfinished remap of a place; None if there is none.

    Args:
        place: an array, or all levels of a pyramid.
        known: whether its plan exists, if that was asked already; otherwise it costs a request.
    """
    if known is None:
        known = read_objects(place.store, [plan_key(place)]) != [None]
    if not known:
        return None
    journal = Journal(place)
    history = journal.history()
    if history is None:  # it has been finished since
        return None
    what, step = _mapping_in(history.plan), history.step
    if step.what == "finished":
        rest = "it is done" if step.outcome == "new" else "it was taken back"
        text = f"{place.name} has the rest of the journal of a remap ({what}): {rest}"
        return Unfinished(plan_key(place), text, False)
    who, lives = journal.told(history) if history.plan is not None else ("", False)
    state = {
        "preparing": "no chunk is replaced yet",
        "applying": "some chunks have their new labels, and others their old ones",
        "undoing": "it is being undone, and some chunks still have new labels",
    }[step.what]
    if lives:
        text = f"{place.name} is being remapped {who} ({what}): {state}"
    else:
        text = f"{place.name} has an unfinished remap {who} ({what}): {state}; {WAYS}"
    return Unfinished(plan_key(place), " ".join(text.split()), step.what != "preparing")


def _mapping_in(plan: dict[str, Any] | None) -> str:
    """The mapping of a plan in few words."""
    if plan is None:
        return "its plan is half written"
    if "what" in plan:
        return str(plan["what"])
    pairs = [f"{old}={new}" for old, new in zip(plan["keys"], plan["values"], strict=True)]
    more = f" and {len(pairs) - _PAIRS:,} more" if len(pairs) > _PAIRS else ""
    return f"{', '.join(pairs[:_PAIRS])}{more}"
