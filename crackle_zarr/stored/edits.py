"""Relabel a stored array in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .._base.mapping import LabelMapping
from .editing.edit import Preparing, RemapReport, edit, finish
from .editing.edit import undo as take_back
from .editing.entries import Entries
from .engine import Options, groups, run
from .layout import Layout
from .queries import distinct, labels
from .relabel import Prepare, Prepared, refuse_missing

# So many pairs take less time to carry along than the labels of an array to list.
_FEW_PAIRS = 10_000


def remap(
    layout: Layout, mapping: LabelMapping, *, dry_run: bool, create_chunks: bool, options: Options
) -> RemapReport:
    """Replace labels of an array: see ``crackle_zarr.remap``."""
    return edit(layout, mapping, _preparing(layout, options), dry_run, create_chunks, options)


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


def resume(layout: Layout, options: Options) -> RemapReport:
    """Finish an interrupted remap: see ``crackle_zarr.resume``."""
    return finish(layout, layout.native, _preparing(layout, options), options)


def undo(layout: Layout, options: Options) -> RemapReport:
    """Undo an interrupted remap: see ``crackle_zarr.undo``."""
    return take_back(layout, layout.native, options)


def _preparing(layout: Layout, options: Options) -> Preparing:
    def prepare(mapping: LabelMapping, create_chunks: bool, entries: Entries | None) -> Prepared:
        def tasks() -> Iterator[Prepare]:
            for coords in groups(layout, layout.everything, options):
                yield Prepare(layout, mapping, tuple(coords), create_chunks, entries)

        none = Prepared([], [], 0, 0, 0)
        total = layout.num_chunks
        prepared = run(tasks(), options, total=total, unit="chunk", merge=lambda a, b: a + b) or none
        if not create_chunks:
            refuse_missing(layout, prepared)
        return prepared

    return prepare
