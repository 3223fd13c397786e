"""What follows an edit, and is told of it: such as an index, which the edit makes stale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..._base.mapping import LabelMapping
from ..engine import Options
from ..index.following import IndexFollower
from ..layout import Layout
from .entries import Journaled


@dataclass(frozen=True)
class Change:
    """What an edit does.

    Attributes:
        id: of the edit; a resumed one keeps it.
        mapping: old labels and new ones; None: labels change in another way.
        create_chunks: whether chunks are written that did not exist.
    """

    id: str
    mapping: LabelMapping | None
    create_chunks: bool


class Follower(Protocol):
    """Something that is right only for the present labels.

    Each call may be repeated: an edit that was killed and is finished by another process makes it again. What
    one raises ends the edit, which stays unfinished; resume() calls it again.
    """

    def before(self, change: Change, options: Options) -> None:
        """All new forms are prepared, and no object is replaced yet."""
        ...

    def after(self, change: Change, options: Options) -> None:
        """All objects are replaced, and the journal still exists."""
        ...

    def undoing(self, change: Change) -> None:
        """An undo is about to restore the first object."""
        ...

    def undone(self, change: Change, options: Options) -> None:
        """All objects have their old form again, and the journal still exists."""
        ...


def followers_of(place: Journaled) -> list[Follower]:
    """All that follow the edits of a place: the indexes of its arrays."""
    layouts = [place] if isinstance(place, Layout) else getattr(place, "layouts", ())  # of a pyramid
    return [IndexFollower(layout) for layout in layouts]
