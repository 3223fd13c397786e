"""What was begun at an array and is not finished: remaps, conversions, and levels of its pyramid.

Whoever asks an array is told, because its labels may be a mixture of old and new ones, or incomplete.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from zarr.abc.store import Store

from ..errors import JournalError, StoreError
from .editing.entries import Place
from .editing.journal import NAME
from .editing.telling import Unfinished, unfinished_remap
from .fetch import Wanted, fetch
from .layout import Layout
from .unfinished import MARKER, conversion_text
from .warn import warn_once
from .writing import read_objects

# The marker in a group whose lower levels are being built.
PYRAMID = ".crackle-pyramid"

# What a question does about something unfinished: warn, raise JournalError, or not ask.
OnUnfinished: TypeAlias = Literal["warn", "refuse", "ignore"]


def unfinished_at(layout: Layout) -> list[Unfinished]:
    """All that is unfinished at an array, and at the group around it as far as it concerns the array.

    It takes two requests, and two more for an array in a group, at the same time.

    Raises:
        StoreError: the store failed.
    """
    array_path = layout.array.path
    keys = [layout.path(f"{NAME}/plan"), layout.path(MARKER)]
    group = None
    if array_path:
        parent, _, own = array_path.rpartition("/")
        group = Place(layout.store, parent)
        keys += [group.path(f"{NAME}/plan"), group.path(PYRAMID)]
    plan, conversion, *around = _present(layout.store, keys)
    found = [unfinished_remap(layout, plan is not None)]
    if conversion is not None:
        found.append(Unfinished(keys[1], conversion_text(layout.name, conversion), True))
    if group is not None:
        found.append(unfinished_remap(group, around[0] is not None))
        if around[1] is not None:
            found.append(_pyramid(group, keys[3], around[1], own))
    return [one for one in found if one is not None]


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


def _pyramid(group: Place, key: str, raw: bytes, own: str) -> Unfinished | None:
    """The unfinished levels of a group, if an array is one of them."""
    try:
        run: Any = json.loads(raw)
        names = [str(level[0]) for level in run["work"]["levels"]]
        left = names[(run["done"] or 0) + 1 :]
    except (ValueError, LookupError, TypeError):  # half written
        left = []
    text = (
        f"{group.name} has unfinished levels{': ' if left else ''}{', '.join(left)}; the same call of "
        f"build_pyramid goes on (on the command line: crackle-zarr pyramid)"
    )
    return Unfinished(key, text, own in left)


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
