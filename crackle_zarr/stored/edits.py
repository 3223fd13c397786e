"""Relabel a stored array in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._base.mapping import LabelMapping
from .editing.edit import Conflict, RemapReport, edit, finish
from .editing.edit import undo as take_back
from .editing.entries import Entries, Journaled
from .engine import Options, groups, run
from .layout import Coords, Layout
from .queries import distinct, labels
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
    label tables. Few pairs are kept as they are.
    """
    native = layouts[0].native
    if len(mapping) <= _FEW_PAIRS:
        return mapping.within(native)
    options = replace(options, progress=False)
    there = [labels(layout, layout.everything, options).astype(native, copy=False) for layout in layouts]
    return mapping.among(distinct(np.concatenate(there)))


def resume(layout: Layout, options: Options, *, conflict: Conflict, force: bool) -> RemapReport:
    """Finish an interrupted remap: see ``crackle_zarr.resume``."""
    prepare = _Preparing(layout, options)
    return finish(layout, layout.native, prepare, options, conflict=conflict, force=force)


def undo(layout: Layout, options: Options, *, conflict: Conflict, force: bool) -> RemapReport:
    """Undo an interrupted remap: see ``crackle_zarr.undo``."""
    return take_back(layout, layout.native, options, conflict=conflict, force=force)


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
            for group in groups(layout, layout.everything, options):
                yield Prepare(layout, mapping, tuple(group), create_chunks, entries)

        none = Prepared([], [], 0, 0, 0)
        total = layout.num_chunks if only is None else len(only)
        prepared = run(tasks(), options, total=total, unit="chunk", merge=lambda a, b: a + b) or none
        if not create_chunks:
            refuse_missing(layout, prepared)
        return prepared
