"""The labels of a stored array that touch: areas, numbers of faces, and where.

Faces within a chunk come from the boundaries in its stream, and no voxel is decoded for them. For faces
between two chunks only the planes of voxels on both sides are decoded. A task has a block of neighbouring
chunks, or those of a shard: it reads each once, and of the chunks behind the block the first plane. A face
belongs to the task of its first voxel, so each is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..errors import FormatError
from ..streams.contact_table import ContactTable, Rows, contacts_of, merged, no_contacts, rows_of
from .chunk import Chunk, chunks_of, renamed
from .engine import Options, at_once, blocks, run
from .fetch import Steps, drive
from .layout import Box, Coords, Layout, Run, common, num_voxels, runs_of, within
from .lazy import decoded_parts
from .queries import array_bounds, filled

Voxels: TypeAlias = npt.NDArray[Any]
Readers: TypeAlias = list[tuple[_binding.Reader, int, int]]


class _Border(NamedTuple):
    """The border between a chunk and the next one along an axis."""

    axis: int
    first: Coords


class _Plane(NamedTuple):
    """The voxels of a box that is one voxel thick, next to a border."""

    box: Box
    voxels: Voxels


@dataclass
class _Asked:
    """What a task wants of a chunk: inner contacts, and planes at borders."""

    chunk: Chunk
    is_own: bool
    planes: dict[_Border, Box] = field(default_factory=dict)


@dataclass(frozen=True)
class Touching:
    """A task: the contacts of a block of chunks, which are all in one shard if there are shards.

    Attributes:
        layout: of the array.
        box: the part of the array that is asked about.
        coords: the chunks, a block of the grid.
        axes: the axes of the array along which faces count.
        skip_background: leave out the label 0.
        verify: verify checksums.
    """

    layout: Layout
    box: Box
    coords: tuple[Coords, ...]
    axes: tuple[int, ...]
    skip_background: bool
    verify: bool

    @property
    def weight(self) -> int:
        """The number of chunks."""
        return len(self.coords)

    def __call__(self) -> Rows:
        """Read the chunks, in the order in which fewest planes wait for the other side of their border."""
        asked = sorted(self._asked(), key=lambda one: one.chunk.coords, reverse=True)
        rows = self._no_rows
        waiting: dict[_Border, _Plane] = {}
        while asked:
            parts = [rows]
            # A chunk keeps its stream, so the list lets go of it.
            batch = [self._answered(asked.pop()) for _ in range(min(at_once(self.layout), len(asked)))]
            for inner, planes in drive(self.layout.store, batch):
                parts += inner
                for border, plane in planes.items():
                    other = waiting.pop(border, None)
                    if other is None:
                        waiting[border] = plane
                    else:  # chunks come in the order of the grid, so the other is the first
                        parts.append(self._between(other, plane.voxels, border.axis))
            rows = merged(np.concatenate(parts))
        return rows

    @property
    def _no_rows(self) -> Rows:
        return no_contacts(self.layout.native, len(self.layout.shape))

    # -----------------------------------------------------------------------------------
    # What to read

    def _asked(self) -> Iterator[_Asked]:
        own = {chunk.coords: _Asked(chunk, True) for chunk in chunks_of(self.layout, self.coords, self.box)}
        for axis in self.axes:
            behind: list[Coords] = []
            for coords, one in own.items():
                following = _next(coords, axis)
                end = one.chunk.box[axis][1]
                if end == self.box[axis][1]:
                    continue
                border = _Border(axis, coords)
                one.planes[border] = _at(one.chunk.box, axis, end - 1)
                if following in own:
                    own[following].planes[border] = _at(own[following].chunk.box, axis, end)
                else:
                    behind.append(following)
            yield from self._asked_behind(axis, behind)
        yield from own.values()

    def _asked_behind(self, axis: int, coords: list[Coords]) -> Iterator[_Asked]:
        """Of chunks behind the block along an axis, the first plane."""
        by_object: dict[Coords, list[Coords]] = {}
        for one in coords:
            by_object.setdefault(self.layout.object_coords(one), []).append(one)
        groups = [coords] if self.layout.shards is None else by_object.values()
        for group in groups:
            if not group:
                continue
            first = self.layout.chunk_box(group[0])[axis][0]
            for chunk in chunks_of(self.layout, group, _at(self.box, axis, first)):
                border = _Border(axis, _next(chunk.coords, axis, -1))
                yield _Asked(chunk, False, {border: chunk.box})

    # -----------------------------------------------------------------------------------
    # Reading

    def _answered(self, asked: _Asked) -> Steps[tuple[list[Rows], dict[_Border, _Plane]]]:
        _binding.raise_if_interrupted()
        try:
            return (yield from self._read(asked))
        except FormatError as error:
            raise asked.chunk.failed(error) from error

    def _read(self, asked: _Asked) -> Steps[tuple[list[Rows], dict[_Border, _Plane]]]:
        """The contacts within a chunk, in rows that may repeat pairs, and its planes."""
        chunk = asked.chunk
        runs = chunk.runs
        readers = yield from chunk.slices(sorted({run.z for run in runs}))
        boxes = list(asked.planes.values())
        rows: list[Rows] = []
        if readers is None:
            voxels = [np.broadcast_to(filled(self.layout), _shape_of(box)) for box in boxes]
        else:
            table = chunk.table(readers[0][0], self.verify)
            if asked.is_own and len(table) > 1:
                rows = [*self.within(chunk, runs, readers), *self._between_runs(chunk, readers, table)]
            # Slices whose boundaries were read have been verified.
            verify = self.verify and not (rows and asked.is_own)
            voxels = _decoded(chunk, boxes, readers, table, verify)
        planes = map(_Plane, boxes, voxels)
        return rows, dict(zip(asked.planes, planes, strict=True))

    def within(self, chunk: Chunk, runs: list[Run], readers: Readers) -> Iterator[Rows]:
        """Contacts along the axes of a chunk's stream, from its boundaries."""
        along = tuple(axis is not None and axis in self.axes for axis in chunk.stream_axes)
        if not any(along):
            return
        skip = self.skip_background and self.layout.mapping is None
        for one in runs:
            reader = _covering(readers, one)
            found = reader.contacts_within(one.z, one.y, one.x, along, skip, self.verify)
            a, b = (self._named(found[name]) for name in ("a", "b"))
            touch = self._count(a, b)
            found, a, b = found[touch], a[touch], b[touch]
            faces = np.zeros((len(found), len(self.layout.shape)), dtype=np.uint64)
            for place, axis in enumerate(chunk.stream_axes):
                if axis is not None:
                    faces[:, axis] = found["faces"][:, place]
            yield rows_of(a, b, faces, *array_bounds(chunk, one, found))

    def _between_runs(self, chunk: Chunk, readers: Readers, table: npt.NDArray[Any]) -> Iterator[Rows]:
        """Contacts along other axes than the stream's own, which a chunk of four or more has: from voxels."""
        others = [
            axis
            for axis in self.axes
            if axis not in chunk.stream_axes and chunk.box[axis][1] - chunk.box[axis][0] > 1
        ]
        if others:
            (voxels,) = _decoded(chunk, [chunk.box], readers, table, self.verify)
        for axis in others:
            before = (slice(None),) * axis
            first, behind = (voxels[*before, part] for part in (slice(-1), slice(1, None)))
            yield self._between(_Plane(chunk.box, first), behind, axis)

    def _named(self, labels: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
        # Modulo 2^n: labels have 64 bits here, and the bits of negative ones are extended.
        return renamed(self.layout, labels.astype(self.layout.native))

    def _count(self, a: Voxels, b: Voxels) -> npt.NDArray[np.bool_]:
        """Whether faces between labels count."""
        count: npt.NDArray[np.bool_] = a != b
        if self.skip_background:
            count = count & (a != 0) & (b != 0)
        return count

    def _between(self, first: _Plane, behind: Voxels, axis: int) -> Rows:
        """Contacts between two planes of voxels that are neighbours along an axis."""
        places = np.nonzero(self._count(first.voxels, behind))
        start = np.stack(places, axis=1).astype(np.uint64)
        start += np.array([low for low, _ in first.box], dtype=np.uint64)
        stop = start + np.uint64(1)
        stop[:, axis] += np.uint64(1)
        faces = np.zeros_like(start)
        faces[:, axis] = 1
        return merged(rows_of(first.voxels[places], behind[places], faces, start, stop))


def _next(coords: Coords, axis: int, step: int = 1) -> Coords:
    return (*coords[:axis], coords[axis] + step, *coords[axis + 1 :])


def _at(box: Box, axis: int, index: int) -> Box:
    """The part of a box at an index along an axis."""
    return (*box[:axis], (index, index + 1), *box[axis + 1 :])


def _shape_of(box: Box) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in box)


def _covering(readers: Readers, run: Run) -> _binding.Reader:
    return next(reader for reader, first, last in readers if first <= run.z[0] and run.z[1] <= last)


def _decoded(
    chunk: Chunk, boxes: Sequence[Box], readers: Readers, table: npt.NDArray[Any], verify: bool
) -> list[Voxels]:
    """The voxels of some boxes within that of a chunk; each slice of its stream is decoded once at most."""
    if len(table) == 1:
        return [np.broadcast_to(table, _shape_of(box)) for box in boxes]
    found: list[Voxels] = [np.empty(_shape_of(box), dtype=table.dtype) for box in boxes]
    outer = chunk.axes[:-2]
    need_all = any(all(box[axis] == chunk.box[axis] for axis in outer) for box in boxes)
    runs = (
        chunk.runs if need_all else [run for box in boxes for run in runs_of(chunk.stored, box, chunk.axes)]
    )
    for part, voxels in decoded_parts(chunk, runs, readers, verify):
        for box, target in zip(boxes, found, strict=True):
            both = common(part, box)
            if num_voxels(both):
                target[within(both, box)] = voxels[within(both, part)]
    return found


def contacts(
    layout: Layout,
    box: Box,
    axes: Sequence[int],
    sizes: Sequence[float],
    skip_background: bool,
    options: Options,
) -> ContactTable:
    """The labels that touch in a box.

    Args:
        layout: of the array.
        box: the part of the array that is asked about; faces to voxels beyond it do not count.
        axes: the axes along which faces count.
        sizes: the edges of a voxel, one per axis.
        skip_background: leave out the label 0.
        options: how.
    """
    tasks = (
        Touching(layout, box, tuple(group), tuple(axes), skip_background, options.verify)
        for group in blocks(layout, box, options)
    )
    rows = run(
        tasks,
        options,
        total=layout.num_chunks_in(box),
        unit="chunk",
        merge=lambda first, second: merged(np.concatenate([first, second])),
    )
    if rows is None:
        rows = no_contacts(layout.native, len(layout.shape))
    return contacts_of(rows, layout.array.dtype, sizes)
