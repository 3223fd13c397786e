"""Relabel all levels of a pyramid, with one journal.

Pooling and relabelling commute as long as no two labels of a block become one: then the labels of the next
level are the relabelled ones, and its chunks get new label tables. Where labels merge, the most frequent
label of a block may be another, so such chunks of the next level are pooled again from the level before. Its
new chunks are in the journal, and not yet in the array.

Levels that :func:`crackle_zarr.build_pyramid` did not make are relabelled by their tables alone, because
nobody knows how they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.abc.store import ByteRequest, Store
from zarr.storage import WrapperStore

from .._base import zarr_facts
from .._base.mapping import LabelMapping
from .._base.zarr_facts import Buffer, BufferPrototype
from ..errors import JournalError
from ..stored.chunk import Chunk, chunks_of
from ..stored.editing.edit import Conflict, RemapReport, edit, finish
from ..stored.editing.edit import undo as take_back
from ..stored.editing.entries import Entries, Entry, entries_in
from ..stored.editing.journal import Journal
from ..stored.edits import groups_with
from ..stored.engine import Options, run
from ..stored.fetch import Steps, drive
from ..stored.layout import Box, Coords, Layout, common, layout_of
from ..stored.queries import filled
from ..stored.relabel import (
    LevelOf,
    Prepare,
    Prepared,
    chunks_of_object,
    object_box,
    refuse_missing,
    whole_object,
)
from .create import join
from .levels import METHOD, Factor, factors_between
from .metadata import Multiscale
from .objects import Pooling
from .pooling import batches, source_box


@dataclass(frozen=True)
class Pyramid:
    """All levels of a label image; ``stored.editing.entries.Journaled``. It pickles.

    Attributes:
        root: the path of the group in the store.
        paths: of the levels within the group.
        layouts: of the levels.
        steps: the factors from each level to the next; empty if the levels are not pooled ones.
        sparse: how they were pooled.
    """

    root: str
    paths: tuple[str, ...]
    layouts: tuple[Layout, ...]
    steps: tuple[Factor, ...]
    sparse: bool

    @property
    def store(self) -> Store:
        """Where the chunks are."""
        return self.layouts[0].store

    @property
    def name(self) -> str:
        """The place, for messages."""
        return str(zarr_facts.place_in(self.store, self.root))

    def path(self, key: str) -> str:
        """The key within the store, from one within the group."""
        return join(self.root, key)

    def holds(self, key: str, coords: Coords) -> bool:
        """Whether a key is that of the object with this chunk, whose first number is the level."""
        if not coords or type(coords[0]) is not int or not 0 <= coords[0] < len(self.paths):
            return False
        prefix, layout = self.paths[coords[0]] + "/", self.layouts[coords[0]]
        return key.startswith(prefix) and layout.holds(key.removeprefix(prefix), coords[1:])

    def level(self, number: int) -> LevelOf:
        """A level, for its entries."""
        return LevelOf(number, self.paths[number])

    @property
    def has_journal(self) -> bool:
        """Whether there is an unfinished remap of all levels."""
        return Journal(self).exists()


def pyramid_of(labels: Multiscale) -> Pyramid:
    """The levels of a label image, for edits and checks."""
    layouts = tuple(layout_of(level) for level in labels.levels)
    method = labels.method.get("metadata")
    is_ours = isinstance(method, dict) and method.get("method") == METHOD["metadata"]["method"]
    kwargs = method.get("kwargs", {}) if isinstance(method, dict) else {}
    steps: Sequence[Factor] = ()
    if is_ours:
        sizes = [space.voxel_size or () for space in labels.spaces]
        steps = factors_between(sizes, str(labels.group.store_path))
    sparse = bool(kwargs.get("sparse", False)) if isinstance(kwargs, dict) else False
    return Pyramid(labels.group.path, tuple(labels.paths), layouts, tuple(steps), sparse)


def remap(
    pyramid: Pyramid, mapping: LabelMapping, *, dry_run: bool, create_chunks: bool, options: Options
) -> RemapReport:
    """Replace labels of all levels: see ``crackle_zarr.remap``."""
    prepare = _Preparing(pyramid, options)
    report = edit(pyramid, mapping, prepare, dry_run, create_chunks, options, pyramid.layouts)
    return _by_level(report, pyramid)


def resume(pyramid: Pyramid, options: Options, *, conflict: Conflict, force: bool) -> RemapReport:
    """Finish an interrupted remap of all levels."""
    native, prepare = pyramid.layouts[0].native, _Preparing(pyramid, options)
    return _by_level(finish(pyramid, native, prepare, options, conflict=conflict, force=force), pyramid)


def undo(pyramid: Pyramid, options: Options, *, conflict: Conflict, force: bool) -> RemapReport:
    """Undo an interrupted remap of all levels."""
    native = pyramid.layouts[0].native
    return _by_level(take_back(pyramid, native, options, conflict=conflict, force=force), pyramid)


def _by_level(report: RemapReport, pyramid: Pyramid) -> RemapReport:
    levels = tuple(
        sorted(coords[1:] for coords in report.chunks if coords[0] == number)
        for number in range(len(pyramid.paths))
    )
    return replace(report, chunks=levels[0], levels=levels)


# ---------------------------------------------------------------------------------------
# Preparing


@dataclass(frozen=True)
class _Preparing:
    """Prepares the new form of all objects that change, level by level."""

    pyramid: Pyramid
    options: Options

    def __call__(
        self,
        mapping: LabelMapping,
        create_chunks: bool,
        entries: Entries | None,
        only: Sequence[tuple[str, tuple[Coords, ...]]] | None = None,
    ) -> Prepared:
        """Keep it in entries, if there are some. The first number of each chunk is its level.

        Objects that are prepared alone get new label tables: whoever wrote one to a lower level did not want
        it pooled.
        """
        if only is not None:
            return self._only(mapping, create_chunks, entries, only)
        none = Prepared([], [], 0, 0, 0)
        total = none
        before = none  # of the level before, with chunks of its own
        pooled: set[Coords] = set()  # the objects of the level before that were pooled again
        for number, layout in enumerate(self.pyramid.layouts):
            again: set[Coords] = set()
            if number and self.pyramid.steps:
                again = self._merged(number, mapping, before.chunks, pooled)
            level = self.pyramid.level(number)
            left, chosen = groups_with(layout, mapping, self.options, again)
            tasks = (
                Prepare(layout, mapping, tuple(coords), create_chunks, entries, level) for coords in chosen
            )
            prepared = run(tasks, self.options, total=left, unit="chunk", merge=lambda a, b: a + b) or none
            if not create_chunks:
                refuse_missing(layout, prepared)
            if again:
                kept = dict(before.kept)
                repool = (self._repool(number, one, kept, entries) for one in sorted(again))
                some = run(repool, self.options, total=len(again), unit="chunk", merge=lambda a, b: a + b)
                prepared += some or none
            total += replace(prepared, chunks=[(number, *coords) for coords in prepared.chunks])
            before, pooled = prepared, again
        return total

    def _only(
        self,
        mapping: LabelMapping,
        create_chunks: bool,
        entries: Entries | None,
        only: Sequence[tuple[str, tuple[Coords, ...]]],
    ) -> Prepared:
        """Prepare some objects again."""

        def tasks() -> Iterator[Prepare]:
            for _, coords in only:
                number = coords[0][0]
                layout = self.pyramid.layouts[number]
                chunks = chunks_of_object(layout, layout.object_coords(coords[0][1:]))
                level = self.pyramid.level(number)
                yield Prepare(layout, mapping, tuple(chunks), create_chunks, entries, level)

        prepared = run(tasks(), self.options, total=len(only), unit="chunk", merge=lambda a, b: a + b)
        return prepared or Prepared([], [], 0, 0, 0)

    def _merged(
        self, number: int, mapping: LabelMapping, changed: Sequence[Coords], pooled: set[Coords]
    ) -> set[Coords]:
        """The objects of a level that have to be pooled again.

        Args:
            number: of the level.
            mapping: the new labels.
            changed: the chunks of the level before that change.
            pooled: the objects of the level before that were pooled again.
        """
        fine, coarse = self.pyramid.layouts[number - 1 : number + 1]
        step = self.pyramid.steps[number - 1]
        # Also above objects whose new form is the old one: it is not the relabelled one.
        again = [one for coords in pooled for one in chunks_of_object(fine, coords)]
        certain = {found for one in again for found in _above(fine, coarse, step, one)}
        candidates = {found for one in changed for found in _above(fine, coarse, step, one)}
        tasks = (
            Examine(fine, coarse, step, self.pyramid.sparse, mapping, coords)
            for coords in sorted(candidates - certain)
        )
        total = len(candidates - certain)
        merging = run(tasks, self.options, total=total, unit="chunk", merge=lambda a, b: a + b) or []
        return certain.union(merging)

    def _repool(self, number: int, coords: Coords, kept: dict[str, str], entries: Entries | None) -> Repool:
        pyramid = self.pyramid
        fine, coarse = pyramid.layouts[number - 1 : number + 1]
        chunks = chunks_of_object(coarse, coords)
        box = source_box(fine, object_box(coarse, chunks[0]), pyramid.steps[number - 1])
        keys = {f"{pyramid.paths[number - 1]}/{fine.key(one)}" for one in fine.coords_in(box)}
        there = tuple((key, kept[key]) for key in sorted(keys & kept.keys()))
        return Repool(pyramid, number, tuple(chunks), there, entries)


def _above(fine: Layout, coarse: Layout, step: Factor, coords: Coords) -> set[Coords]:
    """The objects of a level that a chunk of the level before reaches."""
    inside = common(fine.chunk_box(coords), fine.everything)
    box: Box = tuple((start // one, -(-stop // one)) for (start, stop), one in zip(inside, step, strict=True))
    return {coarse.object_coords(one) for one in coarse.coords_in(common(box, coarse.everything))}


@dataclass(frozen=True)
class Examine:
    """Whether labels merge in the voxels of which an object of a level is made."""

    fine: Layout
    coarse: Layout
    step: Factor
    sparse: bool
    mapping: LabelMapping
    coords: Coords

    @property
    def weight(self) -> int:
        """Objects."""
        return 1

    def __call__(self) -> list[Coords] | None:
        """The object, if labels merge; None otherwise."""
        box = source_box(
            self.fine, object_box(self.coarse, chunks_of_object(self.coarse, self.coords)[0]), self.step
        )
        tables = []
        for coords in batches(self.fine, box):
            chunks = chunks_of(self.fine, coords, box)
            tables += drive(self.fine.store, [self._table(chunk) for chunk in chunks])
        labels = np.unique(np.concatenate(tables))
        new = self.mapping.preserving().renamed(labels)
        merges = len(np.unique(new)) < len(labels)
        # Sparse pooling treats 0 differently from all other labels.
        merges |= self.sparse and bool(((labels == 0) != (new == 0)).any())
        return [self.coords] if merges else None

    def _table(self, chunk: Chunk) -> Steps[npt.NDArray[Any]]:
        # The tables list labels beyond the array's edge as well, which at worst pools an object for nothing.
        reader = yield from chunk.labels()
        return filled(self.fine) if reader is None else chunk.table(reader)


@dataclass(frozen=True)
class Repool:
    """Pool an object of a level again, from the new form of the level before.

    Attributes:
        pyramid: all levels.
        number: of the level.
        coords: the chunks of the object.
        changed: the objects of the level before that change, and the names of the entries that have them.
        entries: where to keep the object; None: keep nothing, and take its present size as the new one.
    """

    pyramid: Pyramid
    number: int
    coords: tuple[Coords, ...]
    changed: tuple[tuple[str, str], ...]
    entries: Entries | None

    @property
    def weight(self) -> int:
        """Objects."""
        return 1

    def __call__(self) -> Prepared:
        """Do it."""
        pyramid = self.pyramid
        fine, coarse = pyramid.layouts[self.number - 1 : self.number + 1]
        key = coarse.key(self.coords[0])
        (old,) = drive(coarse.store, [whole_object(coarse.path(key))])
        nbytes = 0 if old is None else len(old)
        if self.entries is None:
            return Prepared(list(self.coords), [], nbytes, nbytes, 0)
        places = {pyramid.path(one): (one, name) for one, name in self.changed}
        overlay = layout_of(zarr_facts.array_in(fine.array, _Overlay(fine.store, self.entries, places)))
        new = Pooling(overlay, coarse, pyramid.steps[self.number - 1], pyramid.sparse).object(self.coords)
        before = b"" if old is None else old.tobytes()
        if new == before:
            return Prepared([], [], nbytes, 0, 0)
        entry = pyramid.level(self.number).entry(Entry(key, before, new, tuple(self.coords)))
        name = self.entries.write([entry])
        return Prepared(list(self.coords), [(entry.key, name)], nbytes, len(new), 0)


class _Overlay(WrapperStore[Store]):
    """A store in which some objects have the new form that entries keep for them."""

    def __init__(self, store: Store, entries: Entries, places: dict[str, tuple[str, str]]) -> None:
        super().__init__(store)
        self._entries, self._places = entries, places
        self._read: dict[str, dict[str, bytes]] = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Get an object, or a range of one."""
        if key not in self._places:
            return await self._store.get(key, prototype, byte_range)
        own, name = self._places[key]
        if name not in self._read:
            self._read[name] = await self._entry(name, prototype)
        new = self._read[name][own]
        return prototype.buffer.from_bytes(zarr_facts.cut(new, byte_range)) if new else None

    async def _entry(self, name: str, prototype: BufferPrototype) -> dict[str, bytes]:
        place = self._entries.key(name)
        raw = await self._entries.store.get(place, prototype)
        if raw is None:
            raise JournalError(f"the journal of {self._entries.name} lacks {place}")
        return {entry.key: entry.new for entry in entries_in(raw.to_bytes(), place)}
