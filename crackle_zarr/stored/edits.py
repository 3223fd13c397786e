"""Relabel a stored array in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base.mapping import LabelMapping
from .editing.edit import Conflict, RemapReport, edit, finish
from .editing.edit import undo as take_back
from .editing.entries import Entries, Journaled
from .engine import Options, ask, groups, groups_of, run
from .index.planning import chunks_with, labels_there
from .layout import Coords, Layout
from .queries import LabelsThere, distinct
from .relabel import Prepare, Prepared, chunks_of_object, refuse_missing

# So many pairs take less time to carry along than the labels of an array to list.
_FEW_PAIRS = 10_000


def remap(
    layout: Layout,
    mapping: LabelMapping,
    *,
    dry_run: bool,
    create_chunks: bool,
    options: Options,
    others: Sequence[Journaled] = (),
) -> RemapReport:
    """Replace labels of an array: see ``crackle_zarr.remap``."""
    return edit(layout, mapping, _Preparing(layout, options), dry_run, create_chunks, options, others)


def among_labels(mapping: LabelMapping, layouts: Sequence[Layout], options: Options) -> LabelMapping:
    """The pairs of a mapping whose old label occurs in one of some arrays.

    The journal has the mapping, and so has every task that goes to another process. So the many pairs of an
    agglomeration, most of which are of labels elsewhere, are left out first: that takes another look at the
    label tables, or at the index. Few pairs are kept as they are.
    """
    native = layouts[0].native
    if len(mapping) <= _FEW_PAIRS:
        return mapping.within(native)
    options = replace(options, progress=False)
    there = [part.astype(native, copy=False) for layout in layouts for part in _labels_in(layout, options)]
    return mapping.among(distinct(np.concatenate(there)))


def _labels_in(layout: Layout, options: Options) -> Iterator[npt.NDArray[Any]]:
    """All labels of an array, and perhaps some that it had, in parts."""
    coords = None
    known = labels_there(layout, options)
    if known is not None:
        listed, coords = known
        yield listed
    found = ask(layout, LabelsThere(options.verify), layout.everything, options, coords)
    if found is not None:
        yield found


def resume(layout: Layout, options: Options, *, conflict: Conflict, force: bool) -> RemapReport:
    """Finish an interrupted remap: see ``crackle_zarr.resume``."""
    prepare = _Preparing(layout, options)
    return finish(layout, layout.native, prepare, options, conflict=conflict, force=force)


def undo(layout: Layout, options: Options, *, conflict: Conflict, force: bool) -> RemapReport:
    """Undo an interrupted remap: see ``crackle_zarr.undo``."""
    return take_back(layout, layout.native, options, conflict=conflict, force=force)


def groups_with(
    layout: Layout, mapping: LabelMapping, options: Options, without: AbstractSet[Coords] = frozenset()
) -> tuple[int, Iterator[list[Coords]]]:
    """The chunks in which a mapping may change a label: their number, and groups for one task each.

    An index tells them if it is used; otherwise they are all chunks.

    Args:
        layout: of the array.
        mapping: old labels and new ones.
        options: how.
        without: the grid indices of objects whose chunks are left out.
    """
    coords = chunks_with(layout, mapping, options)
    if coords is not None:
        coords = [one for one in coords if layout.object_coords(one) not in without]
        return len(coords), groups_of(layout, coords, options)
    total = layout.num_chunks - sum(len(chunks_of_object(layout, one)) for one in without)
    rest = (
        [one for one in group if layout.object_coords(one) not in without]
        for group in groups(layout, layout.everything, options)
    )
    return total, (group for group in rest if group)


@dataclass(frozen=True)
class _Preparing:
    """Prepares the new form of all objects that change."""

    layout: Layout
    options: Options

    def __call__(
        self,
        mapping: LabelMapping,
        create_chunks: bool,
        entries: Entries | None,
        only: Sequence[tuple[str, tuple[Coords, ...]]] | None = None,
    ) -> Prepared:
        """Keep it in entries, if there are some; see ``editing.edit.Preparing``."""
        layout, options = self.layout, self.options

        def tasks() -> Iterator[Prepare]:
            if only is not None:
                for _, coords in only:
                    chunks = tuple(chunks_of_object(layout, layout.object_coords(coords[0])))
                    yield Prepare(layout, mapping, chunks, create_chunks, entries)
                return
            for group in chosen:
                yield Prepare(layout, mapping, tuple(group), create_chunks, entries)

        none = Prepared([], [], 0, 0, 0)
        if only is None:
            total, chosen = groups_with(layout, mapping, options)
        else:
            total = len(only)
        prepared = run(tasks(), options, total=total, unit="chunk", merge=lambda a, b: a + b) or none
        if not create_chunks:
            refuse_missing(layout, prepared)
        return prepared
