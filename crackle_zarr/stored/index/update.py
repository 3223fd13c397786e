"""Bring an index up to date: measure the chunks that changed, and write the index once more.

All segments that edits have added become one again. Until the new manifest is written, the old one stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import Options, run
from ..layout import Layout
from . import passes
from .build import Plan, begin, check_editable, measure, stale_if_edited, tasks_of
from .check import changes, opened
from .home import BUILDING, home_of
from .listing import listing_of, tags_of
from .lookup import Lookup
from .manifest import CURRENT, Manifest, Pair
from .publish import IndexReport, about_of, manifest_of, put_in_force, put_stamps, report_of
from .rows import Rows, firsts_of, in_order
from .runs import Run, rows_between
from .stamps import Stamps, coords_of


def update(layout: Layout, content: bool, options: Options) -> IndexReport:
    """Bring the index of an array up to date; see ``crackle_zarr.update_index``."""
    check_editable(layout, options)
    report = bring_up_to_date(layout, content, options)
    stale_if_edited(layout)
    return report


def bring_up_to_date(layout: Layout, content: bool, options: Options) -> IndexReport:
    """The same, whether there is an unfinished edit or not."""
    lookup = opened(layout)
    manifest = lookup.manifest
    listing = listing_of(layout)
    before = lookup.stamps()
    now = changes(layout, before, None if content else listing, replace(options, progress=False))
    if not len(now) and len(manifest.segments) == 1:
        return _renewed(layout, lookup, before, tags_of(layout, before["chunk"], listing)[0])
    plan = begin(layout, anew=True)
    coords = coords_of(layout, now["chunk"])
    tasks = tasks_of(layout, plan, coords)
    measured = measure(layout, plan, tasks, options, total=len(coords)) if coords else passes.Measured([])
    runs = [one for _, one in measured.runs]
    pairs = _folded(layout, plan, manifest, now["chunk"], runs, replace(options, progress=False))
    stamps = before.copy()
    for one in runs:
        stamps[np.searchsorted(stamps["chunk"], one.stamps["chunk"])] = one.stamps
    stamps["tag"], _ = tags_of(layout, stamps["chunk"], listing)
    new = manifest_of(layout, plan.home, plan.id, (passes.full(pairs),), stamps)
    put_in_force(plan.home, new)
    plan.home.remove_folder(BUILDING)
    return report_of(layout, new, measured=len(now))


def _renewed(layout: Layout, lookup: Lookup, stamps: Stamps, tags: npt.NDArray[np.uint64]) -> IndexReport:
    """No chunk changed: only renew the tags, which change where an array is copied."""
    manifest = lookup.manifest
    if not manifest.is_current or (tags != stamps["tag"]).any():
        stamps = stamps.copy()
        stamps["tag"] = tags
        plan = begin(layout, anew=True)
        chunks = put_stamps(layout, lookup.home, plan.id, stamps)
        manifest = replace(manifest, id=plan.id, state=CURRENT, chunks=chunks)
        put_in_force(lookup.home, manifest)
    if BUILDING in lookup.home.folders():  # of this update, or left by one that was killed
        lookup.home.remove_folder(BUILDING)
    return report_of(layout, manifest, measured=0)


def _folded(
    layout: Layout,
    plan: Plan,
    manifest: Manifest,
    changed: npt.NDArray[Any],
    runs: Sequence[Run],
    options: Options,
) -> list[Pair]:
    ranges = _ranges(layout, manifest, runs)

    def tasks() -> Iterator[Fold]:
        for number, (first, last) in enumerate(ranges):
            some = tuple(
                replace(one, stamps=one.stamps[:0]) for one in runs if len(one.blocks_between(first, last))
            )
            yield Fold(layout, manifest, plan.id, number, first, last, changed, some)

    plan.home.make_folder(plan.id)
    done = run(tasks(), options, total=len(ranges), unit="range", merge=lambda a, b: a + b)
    return [] if done is None else done.pairs


def _ranges(layout: Layout, manifest: Manifest, runs: Sequence[Run]) -> list[tuple[int, int]]:
    """Those of the files that are there, made to cover all labels."""
    firsts = [pair.first for segment in manifest.segments if segment.kind == "full" for pair in segment.pairs]
    if not firsts:
        return passes.ranges_of(runs, layout.native)
    limits = np.iinfo(layout.native)
    firsts[0] = int(limits.min)
    return list(zip(firsts, [*(first - 1 for first in firsts[1:]), int(limits.max)], strict=True))


@dataclass(frozen=True)
class Fold:
    """Put the files of a range of labels, from all segments and from the runs of chunks that changed."""

    layout: Layout
    manifest: Manifest
    folder: str
    number: int
    first: int
    last: int
    changed: npt.NDArray[Any]
    runs: tuple[Run, ...]

    @property
    def weight(self) -> int:
        """Ranges."""
        return 1

    def __call__(self) -> passes.Files:
        """Do it."""
        home = home_of(self.layout)
        old = Lookup(self.layout, home, self.manifest).rows(self.first, self.last)
        old = old[~np.isin(old["chunk"], self.changed)]
        new = rows_between(home, self.runs, self.first, self.last, len(self.layout.shape))
        rows = in_order(np.concatenate([old, new.astype(old.dtype, copy=False)]))
        about = about_of(self.layout)
        pairs = [
            passes.put_pair(home, self.folder, f"{self.number:05}-{part}", some, about)
            for part, some in enumerate(_parts(rows))
        ]
        return passes.Files(pairs)


def _parts(rows: Rows) -> Iterator[Rows]:
    """Rows in parts of about as many as a range is to have; a label is in one of them."""
    most = passes.ROWS_PER_RANGE
    start = 0
    firsts = firsts_of(rows["label"]) if len(rows) else np.empty(0, dtype=np.intp)
    while len(rows) - start > most + most // 2:
        place = int(np.searchsorted(firsts, start + most, side="right")) - 1
        stop = int(firsts[place])
        if stop <= start:  # one label has more rows than that
            if place + 1 == len(firsts):
                break
            stop = int(firsts[place + 1])
        yield rows[start:stop]
        start = stop
    if start < len(rows):
        yield rows[start:]


def remove(layout: Layout) -> None:
    """Remove the index of an array; see ``crackle_zarr.remove_index``."""
    home = home_of(layout)
    if home.manifest() is None and not home.folders():
        raise FileNotFoundError(f"{layout.name} has no label index")
    home.remove()
