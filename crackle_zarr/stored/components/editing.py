"""Edit components of an array in place, with the journal of remaps.

Old and new forms of all objects that change are kept before the first one is replaced, so ``resume`` finishes
what was begun, and ``undo`` takes it back. Only what was killed before that has to be begun again, because
nobody else knows what the components were.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from zarr.storage import LocalStore

from ...errors import StoreError
from ..editing.edit import RemapReport, edit_otherwise
from ..editing.entries import Entries, Entry, Journaled
from ..encoding import decoded_object
from ..engine import Options, run
from ..fetch import drive
from ..layout import Coords, Layout, box_text, common, within
from ..relabel import Prepared, encoded_by_zarr, object_box, whole_object
from .cleaning import Rule
from .parts import Parts, as_labels, parts_of
from .pieces import Joining, MakePieces
from .writing import chunk_bytes, voxels_of


def edit_parts(
    layout: Layout,
    axes: tuple[int, ...],
    connectivity: Literal[6, 26],
    background: int | None,
    rule: Rule,
    what: str,
    *,
    coords: Sequence[Coords] | None = None,
    meets: bool = False,
    dry_run: bool = False,
    options: Options,
    others: Sequence[Journaled] = (),
) -> RemapReport:
    """Give the components of an array new labels, in place.

    Args:
        layout: of the array.
        axes: along which voxels touch.
        connectivity: 6 or 26.
        background: the label that belongs to no component; None: there is none.
        rule: the new label of each part.
        what: the edit, for messages.
        coords: the chunks that take part; None: all.
        meets: whether the rule needs to know which components share faces.
        dry_run: write nothing.
        options: how.
        others: places that share chunks with this one, and must not be edited at the same time.
    """
    joining = Joining(layout, layout, axes, connectivity, background, layout.store, "", options.verify, meets)
    chosen = list(layout.coords_in(layout.everything) if coords is None else coords)
    prepare = _Preparing(joining, rule, chosen, options)
    return edit_otherwise(layout, what, prepare, dry_run, options, others)


@dataclass(frozen=True)
class _Preparing:
    """Prepares the new form of all objects with components that change; see ``editing.edit.Preparing``."""

    joining: Joining
    rule: Rule
    coords: list[Coords]
    options: Options

    def __call__(
        self,
        mapping: object,
        create_chunks: bool,
        entries: Entries | None,
        only: Sequence[tuple[str, tuple[Coords, ...]]] | None = None,
    ) -> Prepared:
        """Keep it in entries, if there are some."""
        with ExitStack() as stack:
            if entries is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="crackle-zarr-"))
                joining = replace(self.joining, store=LocalStore(folder), prefix="parts")
            else:
                joining = replace(self.joining, store=entries.store, prefix=entries.key("parts"))
            parts = parts_of(joining, self.coords, False, self.options)
            labels = self.rule(joining, parts)
            none = Prepared([], [], 0, 0, 0)
            tasks = list(self._tasks(joining, parts, labels, entries))
            quiet = replace(self.options, progress=False)
            done = run(tasks, quiet, total=sum(task.weight for task in tasks), unit="chunk", merge=_sum)
            return done or none

    def _tasks(
        self, joining: Joining, parts: Parts, labels: npt.NDArray[Any], entries: Entries | None
    ) -> Iterator[PrepareParts]:
        layout = joining.target
        old = as_labels(parts.rows["label"], layout.native) if len(parts.rows) else labels
        changed = labels != old
        objects: dict[Coords, list[int]] = {}
        for place, one in enumerate(parts.coords):
            if changed[parts.of(place)].any():
                objects.setdefault(layout.object_coords(one), []).append(place)
        for places in objects.values():
            coords = tuple(parts.coords[place] for place in places)
            yield PrepareParts(joining, coords, tuple(labels[parts.of(place)] for place in places), entries)


def _sum(a: Prepared, b: Prepared) -> Prepared:
    return a + b


@dataclass(frozen=True)
class PrepareParts:
    """Make the new form of an object, some of whose chunks have components that change."""

    joining: Joining
    coords: tuple[Coords, ...]
    values: tuple[npt.NDArray[Any], ...]
    entries: Entries | None

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> Prepared:
        """Do it."""
        layout = self.joining.target
        key = layout.key(self.coords[0])
        (old,) = drive(layout.store, [whole_object(layout.path(key))])
        self._refuse_changes()
        rest = 0 if self.joining.background is None else self.joining.background
        if layout.shards is None and layout.chain is not None:
            new = chunk_bytes(self.joining, self.coords[0], self.values[0], rest)
        else:
            box = object_box(layout, self.coords[0])
            voxels = decoded_object(layout, key, old, box)
            for coords, values in zip(self.coords, self.values, strict=True):
                part = common(layout.chunk_box(coords), layout.everything)
                table = np.concatenate([np.array([rest], dtype=layout.native), values])
                voxels[within(part, box)] = voxels_of(self.joining, coords, table)
            new = encoded_by_zarr(layout, box, voxels)
        former = b"" if old is None else old.tobytes()
        kept = []
        if self.entries is not None:
            kept = [(key, self.entries.write([Entry(key, former, new, tuple(sorted(self.coords)))]))]
        return Prepared(sorted(self.coords), kept, len(former), len(new), 0)

    def _refuse_changes(self) -> None:
        """Raise StoreError if a chunk is not what its components were found in."""
        for coords in self.coords:
            if not MakePieces(self.joining, (coords,), True).is_current(coords):
                box = common(self.joining.target.chunk_box(coords), self.joining.target.everything)
                raise StoreError(
                    f"{self.joining.target.name} was written to at {box_text(box)} while its components were "
                    f"found, and nothing was changed: call it again when nobody else writes"
                )
