"""Single objects: their masks, cut to their bounding boxes, and their surfaces.

Only chunks and slices that hold a label are read. A chunk is decoded once for all labels of a question: to
the numbers of the labels in the question, not to labels. A chunk's answer is cut to the object and packed to
bits, so an object takes the memory of its own bounding box.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import StoreError
from ..streams.ranges import consecutive
from .chunk import Chunk
from .engine import Options, ask
from .fetch import Steps
from .index import answers
from .index.stamps import coords_of
from .layout import Box, Coords, Layout, common, num_voxels, slices_of
from .queries import Table, array_bounds, distinct, entries_there, filled

Mask: TypeAlias = npt.NDArray[np.bool_]

# How many labels one pass over the chunks serves: as many as a byte per voxel can distinguish.
_AT_ONCE = 255


class Crop(NamedTuple):
    """An object: ``mask`` is cut to its bounding box, which begins at ``offset`` in the array."""

    mask: Mask
    offset: tuple[int, ...]


class Part(NamedTuple):
    """The part of an object in one chunk: its box, and its mask packed to bits."""

    box: Box
    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, mask: Mask, box: Box) -> Part:
        """Pack a mask."""
        return cls(box, np.packbits(mask, axis=None))

    @property
    def mask(self) -> Mask:
        """Unpack the mask."""
        shape = tuple(stop - start for start, stop in self.box)
        return np.unpackbits(self.bits, count=num_voxels(self.box)).view(np.bool_).reshape(shape)


Parts: TypeAlias = dict[int, list[Part]]


# ---------------------------------------------------------------------------------------
# From chunks


def parts_of(chunk: Chunk, labels: Table, verify: bool) -> Steps[Parts]:
    """The parts of some labels, given ascending, in the box of the question within a chunk."""
    reader = yield from chunk.labels()
    if reader is None:
        label = int(filled(chunk.layout)[0])
        place = np.searchsorted(labels, label)
        if place == len(labels) or labels[place] != label:
            return {}
        shape = tuple(stop - start for start, stop in chunk.box)
        return {label: [Part.of(np.ones(shape, dtype=np.bool_), chunk.box)]}
    table = chunk.table(reader, verify)
    # The numbers of the labels, from 1 on, and 0 for all others.
    numbers = np.minimum(np.searchsorted(labels, table), len(labels) - 1)
    numbers = np.where(labels[numbers] == table, numbers + 1, 0).astype(np.uint64)
    wanted = numbers > 0
    if not wanted.any():
        return {}
    runs = chunk.runs
    slices = reader.slices_with(wanted, verify=verify)
    ranges = sorted(
        {
            (run.z[0] + a, run.z[0] + b)
            for run in runs
            for a, b in consecutive(np.flatnonzero(slices[run.z[0] : run.z[1]]))
        }
    )
    readers = (yield from chunk.slices(ranges)) if ranges else []
    parts: Parts = {}
    sx, sy = reader.header.sx, reader.header.sy
    width = next(dtype for dtype in (np.uint8, np.uint16, np.uint32) if len(labels) <= np.iinfo(dtype).max)
    for run in runs:
        for one, first, last in readers or ():
            start, stop = max(first, run.z[0]), min(last, run.z[1])
            if start >= stop:
                continue
            painted = np.empty((sx, sy, stop - start), dtype=width, order="F")
            one.decode(painted, start, stop, values=numbers, verify=verify, parallel=1)
            extents = one.measure(start, stop, run.x, run.y, verify=False)
            lowest, highest = array_bounds(chunk, run, extents)
            for number in np.unique(numbers[wanted & (extents["voxels"] > 0)]):
                entries = (numbers == number) & (extents["voxels"] > 0)
                box = tuple(
                    zip(
                        lowest[entries].min(axis=0).tolist(),
                        highest[entries].max(axis=0).tolist(),
                        strict=True,
                    )
                )
                mask = in_array_axes(chunk, run, painted, start, box) == number
                parts.setdefault(int(labels[int(number) - 1]), []).append(Part.of(mask, box))
    return parts


def in_array_axes(
    chunk: Chunk, run: Any, painted: npt.NDArray[Any], z_start: int, box: Box
) -> npt.NDArray[Any]:
    """A box of the array from decoded slices (x, y, z), the first of which is slice ``z_start``."""
    index: list[Any] = [0, 0, 0]
    kept = []
    for place, axis in enumerate(chunk.stream_axes):
        if axis is not None:
            low, high = box[axis]
            shift = run.origin[axis] + (z_start - run.z[0] if place == 2 else 0)
            index[place] = slice(int(low - shift), int(high - shift))
            kept.append(axis)
    cut: npt.NDArray[Any] = painted[tuple(index)]
    # The result has the array's axes 'kept', in this order; all other axes have length 1.
    cut = cut.transpose(np.argsort(kept)) if kept else cut
    shape = tuple(stop - start for start, stop in box)
    return cut.reshape(shape)


@dataclass(frozen=True)
class Objects:
    """The parts of some labels."""

    labels: Table
    verify: bool

    def ask(self, chunk: Chunk) -> Steps[Parts | None]:
        """The parts in one chunk."""
        return (yield from parts_of(chunk, self.labels, self.verify)) or None

    def merge(self, a: Parts, b: Parts) -> Parts:
        """The parts of both; ``a`` takes those of ``b``."""
        for label, parts in b.items():
            a.setdefault(label, []).extend(parts)
        return a

    def enough(self, answer: Parts) -> bool:
        """Never: another chunk may hold more."""
        return False


def assembled(parts: Sequence[Part]) -> Crop:
    """Put an object together from its parts."""
    starts = np.array([[start for start, _ in part.box] for part in parts], dtype=np.int64)
    stops = np.array([[stop for _, stop in part.box] for part in parts], dtype=np.int64)
    offset, end = starts.min(axis=0), stops.max(axis=0)
    mask = np.zeros(tuple((end - offset).tolist()), dtype=np.bool_)
    for part in parts:
        place = slices_of(
            tuple(
                (start - shift, stop - shift) for (start, stop), shift in zip(part.box, offset, strict=True)
            )
        )
        mask[place] |= part.mask
    return Crop(mask, tuple(offset.tolist()))


def select(layout: Layout, labels: Table, box: Box, options: Options) -> dict[int, Crop]:
    """The objects of some labels, given ascending and of the layout's native dtype, that are there."""
    if not len(labels):
        return {}
    listed = answers.listed(layout, labels, box, options)
    coords = None if listed is None else listed.chunks
    parts = ask(layout, Objects(labels, options.verify), box, options, coords) or {}
    crops = {label: assembled(some) for label, some in parts.items()}
    if listed is not None:
        listed.check_present(crops)
        for label, crop in crops.items():
            listed.check(label, int(np.count_nonzero(crop.mask)))
            stop = [first + length for first, length in zip(crop.offset, crop.mask.shape, strict=True)]
            listed.check_box(label, list(crop.offset), stop)
    return crops


# ---------------------------------------------------------------------------------------
# All objects


@dataclass(frozen=True)
class FirstChunks:
    """Every label with the number of the first chunk that holds it, and all chunks that do."""

    verify: bool

    def ask(self, chunk: Chunk) -> Steps[dict[Coords, Table]]:
        """The labels of one chunk."""
        reader = yield from chunk.labels(self.verify or not chunk.is_whole)
        if reader is None:
            return {chunk.coords: filled(chunk.layout)}
        there = yield from entries_there(chunk, reader, self.verify)
        table = chunk.table(reader, self.verify)
        return {chunk.coords: distinct(table if there is None else table[there])}

    def merge(self, a: dict[Coords, Table], b: dict[Coords, Table]) -> dict[Coords, Table]:
        """The chunks of both; ``a`` takes those of ``b``."""
        a.update(b)
        return a

    def enough(self, answer: dict[Coords, Table]) -> bool:
        """Never: every chunk counts."""
        return False


def each(
    layout: Layout, labels: Table | None, box: Box, options: Options
) -> Iterator[tuple[int, Mask, Coords]]:
    """The objects one after the other, by the first chunk that holds them, then ascending.

    Neighbours in this order share chunks, so a pass over few chunks makes many objects.
    """
    found, chunk, order, voxels = _labels_and_chunks(layout, labels, box, options)
    if labels is not None:
        kept = np.isin(found, labels)
        found, chunk = found[kept], chunk[kept]
        voxels = None if voxels is None else voxels[kept]
    if not len(found):
        return
    firsts = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))
    lasts = np.append(firsts[1:], len(found))
    quiet = replace(options, progress=False)
    turn = np.lexsort((found[firsts], chunk[firsts]))
    for start in range(0, len(turn), _AT_ONCE):
        batch = turn[start : start + _AT_ONCE]
        names = found[firsts[batch]]
        numbers = np.unique(np.concatenate([chunk[firsts[one] : lasts[one]] for one in batch]))
        coords = [order[number] for number in numbers]
        parts = ask(layout, Objects(np.sort(names), options.verify), box, quiet, coords) or {}
        expected: dict[int, int] = {}
        if voxels is not None:
            expected = {int(found[firsts[one]]): int(voxels[firsts[one] : lasts[one]].sum()) for one in batch}
        for name in names.tolist():
            if name not in parts:
                if name in expected:
                    raise answers.left_behind(layout, name, "no voxels in chunks that the index lists")
                where = ", ".join(map(str, coords[:3]))
                raise StoreError(
                    f"{layout.name}: the chunks {where}... had the label {name} and no longer have it: the "
                    f"array was changed while it was read, or its store did not find a chunk"
                )
            crop = assembled(parts.pop(name))  # packed to bits until then
            if name in expected and int(np.count_nonzero(crop.mask)) != expected[name]:
                raise answers.left_behind(layout, name, f"not the {expected[name]:,} voxels of the index")
            yield name, crop.mask, crop.offset


def _labels_and_chunks(
    layout: Layout, labels: Table | None, box: Box, options: Options
) -> tuple[Table, npt.NDArray[np.int64], list[Coords], npt.NDArray[np.uint64] | None]:
    """Pairs (label, number of a chunk that holds it), by label and then by number; and the chunks.

    An index tells the voxels of each pair, too.
    """
    pairs = answers.pairs(layout, labels, box, options)
    if pairs is not None:
        numbers, place = np.unique(pairs.chunks, return_inverse=True)
        return pairs.labels, place.astype(np.int64), coords_of(layout, numbers), pairs.voxels
    by_chunk = ask(layout, FirstChunks(options.verify), box, options) or {}
    order = sorted(by_chunk)
    if not order:
        return np.empty(0, dtype=layout.native), np.empty(0, dtype=np.int64), [], None
    found = np.concatenate([by_chunk[coords] for coords in order])
    chunk = np.repeat(np.arange(len(order)), [len(by_chunk[coords]) for coords in order])
    # The first of each label is its first chunk.
    by_label = np.lexsort((chunk, found))
    return found[by_label], chunk[by_label], order, None


# ---------------------------------------------------------------------------------------
# Surfaces

# Faces of chunks: (axis, side), side 0 where indices are low and 1 where they are high.
Face: TypeAlias = tuple[int, int]


class Surface(NamedTuple):
    """The surfaces of some labels, as far as single chunks can tell.

    Attributes:
        points: per label, the voxels that have a neighbour of another label within their chunk.
        faces: per label, chunk and face of it that another chunk adjoins, the plane of voxels that lie there.
    """

    points: dict[int, list[npt.NDArray[Any]]]
    faces: dict[tuple[int, Coords, Face], Part]


@dataclass(frozen=True)
class Surfaces:
    """Asks each chunk for the surfaces of some labels."""

    labels: Table
    verify: bool
    box: Box

    def ask(self, chunk: Chunk) -> Steps[Surface | None]:
        """The surfaces in one chunk, and what touches its faces."""
        parts = yield from parts_of(chunk, self.labels, self.verify)
        surface = Surface({}, {})
        axes = spatial_axes(len(chunk.box))
        for label, some in parts.items():
            crop = assembled(some)
            mask, offset = crop.mask, np.array(crop.offset, dtype=np.int64)
            on_surface = np.zeros_like(mask)
            for axis, side in itertools.product(axes, (0, 1)):
                outer = _plane(axis, 0 if side == 0 else -1)
                inner = (slice(None),) * axis + (slice(1, None) if side == 0 else slice(None, -1),)
                other = (slice(None),) * axis + (slice(None, -1) if side == 0 else slice(1, None),)
                on_surface[inner] |= mask[inner] & ~mask[other]
                edge = int(offset[axis]) if side == 0 else int(offset[axis]) + mask.shape[axis]
                if edge != chunk.box[axis][side] or edge == self.box[axis][side]:
                    # Beyond the object's box is another label, beyond the region is nothing.
                    on_surface[outer] |= mask[outer]
                    continue
                box = list(zip(offset.tolist(), (offset + mask.shape).tolist(), strict=True))
                box[axis] = (edge, edge + 1) if side == 0 else (edge - 1, edge)
                plane = np.expand_dims(mask[outer], axis)
                surface.faces[label, chunk.coords, (axis, side)] = Part.of(plane, tuple(box))
            points = np.argwhere(on_surface)
            points += offset
            surface.points[label] = [points.astype(point_dtype(chunk.layout.shape))]
        return surface if parts else None

    def merge(self, a: Surface, b: Surface) -> Surface:
        """Merge ``b`` into ``a``."""
        for label, points in b.points.items():
            a.points.setdefault(label, []).extend(points)
        a.faces.update(b.faces)
        return a

    def enough(self, answer: Surface) -> bool:
        """Another chunk may hold more."""
        return False


def spatial_axes(ndim: int) -> range:
    """The axes along which voxels have neighbours: the last three. Those before are time and channels."""
    return range(max(0, ndim - 3), ndim)


def point_dtype(shape: tuple[int, ...]) -> np.dtype[Any]:
    """The smallest dtype that holds every index of an array."""
    longest = max(shape, default=0)
    return np.dtype(next(t for t in (np.uint16, np.uint32, np.uint64) if longest - 1 <= np.iinfo(t).max))


def _plane(axis: int, index: int) -> tuple[Any, ...]:
    return (slice(None),) * axis + (index,)


def point_clouds(layout: Layout, labels: Table, box: Box, options: Options) -> dict[int, npt.NDArray[Any]]:
    """The surface voxels of some labels, given ascending, that are there: sorted, each once."""
    if not len(labels):
        return {}
    listed = answers.listed(layout, labels, box, options)
    coords = None if listed is None else listed.chunks
    surface = ask(layout, Surfaces(labels, options.verify, box), box, options, coords)
    if surface is None:
        surface = Surface({}, {})
    if listed is not None:
        listed.check_present(surface.points)
    dtype = point_dtype(layout.shape)
    for (label, chunk, (axis, side)), face in surface.faces.items():
        # A voxel on a face lies on the surface unless the voxel behind the face has the same label.
        step = -1 if side == 0 else 1
        beyond = (*chunk[:axis], chunk[axis] + step, *chunk[axis + 1 :])
        open_here = face.mask
        adjoining = surface.faces.get((label, beyond, (axis, 1 - side)))
        if adjoining is not None:
            shift = np.array([step if one == axis else 0 for one in range(len(chunk))])
            here = tuple(
                (start + int(move), stop + int(move))
                for (start, stop), move in zip(face.box, shift, strict=True)
            )
            shared = common(here, adjoining.box)
            if num_voxels(shared):
                ours = tuple((a - b, c - b) for (a, c), (b, _) in zip(shared, here, strict=True))
                theirs = tuple((a - b, c - b) for (a, c), (b, _) in zip(shared, adjoining.box, strict=True))
                open_here[slices_of(ours)] &= ~adjoining.mask[slices_of(theirs)]
        points = np.argwhere(open_here) + np.array([start for start, _ in face.box], dtype=np.int64)
        surface.points[label].append(points.astype(dtype))
    clouds = {label: _sorted(np.concatenate(points)) for label, points in surface.points.items()}
    if listed is not None:
        for label, cloud in clouds.items():
            if len(cloud):
                stop = (cloud.max(axis=0).astype(np.int64) + 1).tolist()
                listed.check_box(label, cloud.min(axis=0).tolist(), stop)
    return clouds


def _sorted(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows in lexicographic order, each once."""
    if points.shape[1] == 0:  # an array of no axes has no faces
        return points
    points = points[np.lexsort(points.T[::-1])]
    new = np.ones(len(points), dtype=np.bool_)
    new[1:] = (points[1:] != points[:-1]).any(axis=1)
    return points[new]
