"""An index follows the edits of its array: it is pending while objects are replaced, and then right again.

An edit maps whole labels, so the new rows of a label are the rows of the old ones, added up. A small edit
gets a *delta*: a segment with all rows of the labels that it names. The chunks with these labels are measured
before the edit and after it, and only if the second is what the mapping makes of the first, and the index
agreed with the first, the delta counts. In all other cases the index is updated as after any write.

Without pyarrow, or where the index is damaged, it is marked as stale: queries ask the chunks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...errors import FormatError, StaleIndexError, StoreError
from ..engine import Options
from ..layout import Layout
from . import passes
from .build import group_tasks, measure, runs_of_task
from .choice import native, why_changed_shape
from .home import Home, home_of
from .listing import listing_of, tags_of
from .lookup import Lookup, newest
from .manifest import CURRENT, STALE, Manifest, Segment, unpacked
from .parquet import has_pyarrow
from .publish import about_of, put_in_force, put_stamps
from .rows import Rows, added
from .runs import Run, rows_between
from .stamps import Stamps, coords_of, same
from .update import bring_up_to_date

if TYPE_CHECKING:
    from ..editing.followers import Change

# Larger edits, by the chunks that have their labels or by the rows of the labels, get no delta.
_MOST_CHUNKS = 4096
_MOST_ROWS = 500_000
_MOST_LABELS = 100_000


@dataclass(frozen=True)
class IndexFollower:
    """Keeps the index of an array right while its labels are edited; it does nothing where there is none."""

    layout: Layout

    @property
    def home(self) -> Home:
        """Of the index."""
        return home_of(self.layout)

    def _manifest(self) -> Manifest | None:
        """The manifest; None if there is no index, or a damaged one, which no query uses."""
        return certain_manifest(self.home)

    def _mark(self, manifest: Manifest, state: Any) -> None:
        self.home.put_manifest(dataclasses.replace(manifest, state=state).packed())

    # -----------------------------------------------------------------------------------

    def before(self, change: Change, options: Options) -> None:
        """No query may use the index from now on."""
        manifest = self._manifest()
        if manifest is None or manifest.state == STALE or _pending(manifest) == change.id:
            return
        if manifest.id == change.id and manifest.is_current:  # a repeated edit that was whole
            return
        if why_changed_shape(self.layout, manifest) is not None or not has_pyarrow():
            self._mark(manifest, STALE)
            return
        small = False
        if manifest.is_current:
            try:
                small = self._measured_before(Lookup(self.layout, self.home, manifest), change, options)
            except FormatError:
                small = False
        self.home.put({_former(change): manifest.packed()})
        self._mark(manifest, {"pending": change.id, "small": small})

    def after(self, change: Change, options: Options) -> None:
        """The index is right again."""
        manifest = self._manifest()
        if manifest is None or _pending(manifest) != change.id:
            return
        quiet = dataclasses.replace(options, progress=False)
        if not has_pyarrow():
            self._mark(manifest, STALE)
            return
        try:
            lookup = Lookup(self.layout, self.home, manifest)
            if manifest.state["small"] and self._put_delta(lookup, change, quiet):
                return
            bring_up_to_date(self.layout, False, quiet)
        except (FormatError, StaleIndexError):
            self._mark(manifest, STALE)

    def undoing(self, change: Change) -> None:
        """No query may use the index from now on: the edit may have been whole, and the index right again."""
        manifest = self._manifest()
        if manifest is not None and manifest.is_current:
            self._mark(manifest, {"pending": change.id, "small": False})

    def undone(self, change: Change, options: Options) -> None:
        """The index is that of the old labels again."""
        manifest = self._manifest()
        if manifest is None or _pending(manifest) != change.id:
            return
        (raw,) = self.home.read([_former(change)])
        try:
            former = None if raw is None else unpacked(raw, self.home.name)
        except FormatError:
            former = None
        if former is None:  # an update replaced the index since, or an earlier undo has restored it
            self._update(manifest, options)
        else:
            self.home.put_manifest(former.packed())
            self.home.remove_folder(change.id)

    def _update(self, manifest: Manifest, options: Options) -> None:
        if not has_pyarrow():
            self._mark(manifest, STALE)
            return
        try:
            bring_up_to_date(self.layout, False, dataclasses.replace(options, progress=False))
        except (FormatError, StaleIndexError):
            self._mark(manifest, STALE)

    # -----------------------------------------------------------------------------------

    def _named(self, change: Change) -> npt.NDArray[Any]:
        """The labels of an edit: old ones and new ones."""
        mapping = change.mapping
        assert mapping is not None  # edits of another kind get no delta
        return native(self.layout, [*mapping.keys.tolist(), *mapping.values.tolist()])

    def _tasks(self, change: Change, chunks: npt.NDArray[Any], when: str) -> Iterator[passes.MeasureChunks]:
        for number, groups in enumerate(group_tasks(self.layout, coords_of(self.layout, chunks))):
            name = f"{change.id}/{when}-{number:05}"
            yield passes.MeasureChunks(self.layout, self.home, name, number, groups)

    def _measured_before(self, lookup: Lookup, change: Change, options: Options) -> bool:
        """Measure the chunks with labels of an edit; whether it is small, and the index agrees with them."""
        if change.mapping is None or len(change.mapping) > _MOST_LABELS:
            return False
        labels = self._named(change)
        totals, _ = lookup.some(labels)
        if int(totals["num_chunks"].sum()) > _MOST_ROWS:
            return False
        _, rows = lookup.some(labels, ["label", "chunk"])
        changed = rows["label"] != change.mapping.preserving().renamed(rows["label"].copy())
        chunks = np.unique(rows["chunk"][changed])
        if len(chunks) > _MOST_CHUNKS:
            return False
        quiet = dataclasses.replace(options, progress=False)
        self.home.make_folder(change.id)
        _, stamps = _measured(self, list(self._tasks(change, chunks, "before")), quiet)
        known = lookup.stamps()
        return bool(same(known[np.searchsorted(known["chunk"], stamps["chunk"])], stamps).all())

    def _put_delta(self, lookup: Lookup, change: Change, options: Options) -> bool:
        """Put the delta of an edit in force, if the chunks are what the edit should have made of them."""
        labels = self._named(change)
        totals, rows = lookup.some(labels, True)
        assert change.mapping is not None
        mapping = change.mapping.preserving()
        new = rows.copy()
        new["label"] = mapping.renamed(rows["label"].copy())
        chunks = np.unique(rows["chunk"][rows["label"] != new["label"]])
        runs = [runs_of_task(self.layout, self.home, task) for task in self._tasks(change, chunks, "before")]
        if not all(runs):
            return False
        old_rows = self._rows([one for some in runs for one in some])
        listing = listing_of(self.layout) if len(chunks) else None
        now_rows, stamps = _measured(self, list(self._tasks(change, chunks, "after")), options)
        expected = old_rows.copy()
        expected["label"] = mapping.renamed(old_rows["label"].copy())
        if not np.array_equal(added(expected), added(now_rows)):
            return False
        delta, gone = _onto(lookup, added(new), totals["label"])
        if not len(delta.rows) and not len(gone):  # the index knew none of the labels: a write has added them
            return False
        manifest = lookup.manifest
        pair = passes.put_pair(self.home, change.id, "00000", delta.rows, about_of(self.layout), gone)
        known = lookup.stamps().copy()
        stamps = stamps.copy()
        stamps["tag"], _ = tags_of(self.layout, stamps["chunk"], listing)
        known[np.searchsorted(known["chunk"], stamps["chunk"])] = stamps
        segments = manifest.segments[delta.swallowed :]
        after = dataclasses.replace(
            manifest,
            id=change.id,
            state=CURRENT,
            num_labels=manifest.num_labels - len(totals) + len(np.unique(new["label"])),
            num_rows=manifest.num_rows - len(rows) + len(added(new)),
            segments=(Segment("delta", (pair,)), *segments),
            chunks=put_stamps(self.layout, self.home, change.id, known),
        )
        put_in_force(self.home, after)
        return True

    def _rows(self, runs: list[Run]) -> Rows:
        limits = np.iinfo(self.layout.native)
        found = rows_between(self.home, runs, int(limits.min), int(limits.max), len(self.layout.shape))
        return found if len(found) else passes.no_rows(self.layout)


def _measured(
    follower: IndexFollower, tasks: list[passes.MeasureChunks], options: Options
) -> tuple[Rows, Stamps]:
    """The rows and stamps of some chunks, which go through runs in the home."""
    total = sum(task.weight for task in tasks)
    done = measure(follower.layout, None, iter(tasks), options, total)
    runs = [one for _, one in done.runs]
    stamps = np.concatenate([passes.no_stamps(), *(one.stamps for one in runs)])
    return follower._rows(runs), stamps


def mark_stale(layout: Layout) -> None:
    """Let no query use the index of an array that is about to be written, if there is one."""
    home = home_of(layout)
    manifest = certain_manifest(home)
    if manifest is not None and manifest.state != STALE:
        home.put_manifest(dataclasses.replace(manifest, state=STALE).packed())


@dataclass(frozen=True)
class _Delta:
    rows: Rows
    swallowed: int


def _onto(lookup: Lookup, rows: Rows, known: npt.NDArray[Any]) -> tuple[_Delta, npt.NDArray[Any]]:
    """A delta with those newer ones that are not larger, and the labels that are gone.

    So of n edits there are about log n deltas, and a label is written about as often.

    Args:
        lookup: the index before the edit.
        rows: of the labels of the edit.
        known: the labels that the array had.
    """
    gone = np.setdiff1d(known, rows["label"])
    limits = np.iinfo(known.dtype)
    first, last = int(limits.min), int(limits.max)
    swallowed = 0
    for segment in lookup.manifest.segments:
        if segment.kind != "delta" or sum(pair.num_rows for pair in segment.pairs) > len(rows):
            break
        older = lookup.joined("rows", lookup.between(segment, "rows", first, last))
        totals = lookup.joined("labels", lookup.between(segment, "labels", first, last))
        mine = np.union1d(gone, rows["label"])
        names = np.zeros(len(mine), dtype=totals.dtype)
        names["label"] = mine
        rows = newest([rows, older], [names, totals])
        left = totals["label"][(totals["voxel_count"] == 0) & ~np.isin(totals["label"], mine)]
        gone = np.union1d(gone, left)
        swallowed += 1
    return _Delta(rows, swallowed), gone


def _pending(manifest: Manifest) -> str | None:
    return manifest.state.get("pending") if isinstance(manifest.state, dict) else None


def _former(change: Change) -> str:
    return f"{change.id}/former"


def certain_manifest(home: Home) -> Manifest | None:
    """The manifest; None if there is none, or a damaged one, which no query uses.

    A store has to say twice that it is missing or damaged, because an edit would leave it behind.

    Raises:
        StoreError: the two answers contradict each other.
    """
    raw = home.manifest()
    if raw is None:
        if home.lists_manifest():
            raise StoreError(f"{home.store} reports that {home.name} is missing, but lists it: try again")
        return None
    try:
        return unpacked(raw, home.name)
    except FormatError:
        if home.manifest() != raw:
            raise StoreError(
                f"{home.store} sent {home.name} in part, and then otherwise: try again"
            ) from None
        return None
