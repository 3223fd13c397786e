"""What was begun at an array and is not finished: remaps, conversions, and levels of its pyramid.

Whoever asks an array is told, because its labels may be a mixture of old and new ones, or incomplete.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from zarr.abc.store import Store

from ..errors import JournalError, StoreError
from .claims import busy
from .editing.entries import Place
from .editing.journal import NAME
from .editing.telling import Unfinished, unfinished_remap
from .fetch import Wanted, fetch
from .layout import Layout
from .unfinished import MARKER, PYRAMID, conversion_text, is_of_labels, levels_in, levels_text
from .warn import warn_once
from .writing import read_objects

# What a question does about something unfinished: warn, raise JournalError, or not ask.
OnUnfinished: TypeAlias = Literal["warn", "refuse", "ignore"]


def unfinished_at(layout: Layout) -> list[Unfinished]:
    """All that is unfinished at an array, and at the group around it as far as it concerns the array.

    It takes two requests, and three more for an array in a group, at the same time.

    Raises:
        StoreError: the store failed.
    """
    array_path = layout.array.path
    keys = [layout.path(f"{NAME}/plan"), layout.path(MARKER)]
    group = None
    if array_path:
        parent, _, own = array_path.rpartition("/")
        group = Place(layout.store, parent)
        keys += [group.path(name) for name in (f"{NAME}/plan", PYRAMID, MARKER)]
    plan, conversion, *around = _present(layout.store, keys)
    found = [unfinished_remap(layout, plan is not None)]
    if conversion is not None:
        text = _text(layout.store, array_path, conversion_text(layout.name, conversion))
        found.append(Unfinished(keys[1], text, True))
    if group is not None:
        found.append(unfinished_remap(group, around[0] is not None))
        if around[1] is not None:
            text = _text(layout.store, parent, levels_text(group.name, around[1]))
            found.append(Unfinished(keys[3], text, own in levels_in(around[1])[1]))
        if around[2] is not None and is_of_labels(around[2]):
            text = _text(layout.store, parent, conversion_text(group.name, around[2]))
            found.append(Unfinished(keys[4], text, True))
    return [one for one in found if one is not None]


def _text(store: Store, path: str, text: str) -> str:
    """What to tell about something unfinished: if its owner lives, who that is."""
    return busy(store, path, watch=False) or text


def _present(store: Store, keys: list[str]) -> list[bytes | None]:
    """Small objects of which most are absent.

    Their first byte is asked for: s3fs answers for a whole object that is absent with two more requests.
    """
    first = fetch(store, [Wanted(key, 0, 1) for key in keys])
    for one in first:
        if isinstance(one, BaseException):
            raise one
    there = [key for key, one in zip(keys, first, strict=True) if one is not None]
    whole = dict(zip(there, read_objects(store, there), strict=True))
    return [whole.get(key) for key in keys]


def tell(layout: Layout, how: OnUnfinished) -> None:
    """Warn, once for each, or raise, if the labels of an array may be a mixture.

    Raises:
        JournalError: there is something unfinished, and ``how`` is "refuse".
        StoreError: the store failed, and ``how`` is "refuse": otherwise an answer counts more than a warning.
        ValueError: ``how`` is none of the three.
    """
    if how not in ("warn", "refuse", "ignore"):
        raise ValueError(f"unfinished is 'warn', 'refuse' or 'ignore', not {how!r}")
    if how == "ignore":
        return
    try:
        found = [one for one in unfinished_at(layout) if one.mixed]
    except (StoreError, JournalError):
        if how == "refuse":
            raise
        return
    for one in found:
        if how == "refuse":
            raise JournalError(one.text)
        warn_once(one.key, f"{one.text}. unfinished='refuse' makes questions raise an error instead")
