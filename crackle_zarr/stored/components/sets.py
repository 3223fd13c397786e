"""The second pass: which components of neighbouring pieces are one.

Voxels of two pieces touch across a face or, with 26 neighbours, also across an edge or a corner. All of these
voxels are in the faces of the pieces. A pair of voxels that touch at an edge or a corner needs a look only if
neither has a voxel of its label straight across the face: otherwise the pair is joined that way already.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..layout import Coords
from .pieces import Joining, Piece, read_piece

Array = npt.NDArray[Any]
# Which way a neighbour lies, for each of the joined axes.
Way = tuple[int, ...]

# How many pieces a task keeps, since the next chunk has most neighbours in common.
_KEPT = 64
# Of how many numbers the roots are found at once.
_BLOCK = 2**18


def ways_of(ndim: int, connectivity: int) -> list[Way]:
    """The ways to half of the neighbours of a piece, along the axes that are joined."""
    ways = [way for way in itertools.product((0, 1, -1), repeat=ndim) if way > (0,) * ndim]
    return [way for way in ways if connectivity != 6 or sum(map(abs, way)) == 1]


class Pairs(NamedTuple):
    """Pairs of numbers of components, ``(n, 2)``: those that are one, and others that share a face."""

    same: Array
    meets: Array


def both(a: Pairs, b: Pairs) -> Pairs:
    """The pairs of both."""
    return Pairs(np.concatenate([a.same, b.same]), np.concatenate([a.meets, b.meets]))


@dataclass(frozen=True)
class JoinPieces:
    """Find the pairs of components that are one across the borders of some chunks.

    Attributes:
        joining: what is joined.
        coords: the chunks.
        offsets: the number of the first component of each of these chunks and their neighbours, among all;
            neighbours that are left out have no part in it.
    """

    joining: Joining
    coords: tuple[Coords, ...]
    offsets: dict[Coords, int]

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> Pairs:
        """Do it."""
        kept: OrderedDict[Coords, Piece] = OrderedDict()

        def piece(coords: Coords) -> Piece:
            if coords not in kept:
                kept[coords] = read_piece(self.joining, coords)
                if len(kept) > _KEPT:
                    kept.popitem(last=False)
            kept.move_to_end(coords)
            return kept[coords]

        none = np.zeros((0, 2), dtype=np.int64)
        same, meets = [none], [none]
        for coords in self.coords:
            here = self.offsets[coords] - 1
            if self.joining.meets:
                meets.append(piece(coords).meets.astype(np.int64) + here)
            for way, other in neighbours(self.joining, coords):
                if other not in self.offsets:
                    continue
                shift = np.array([here, self.offsets[other] - 1])
                a, b = _contact(self.joining, piece(coords), piece(other), way)
                labels = a.labels_of(piece(coords)), b.labels_of(piece(other))
                same.append(_as_pairs(_joined(self.joining, a.numbers, b.numbers, *labels, way)) + shift)
                if self.joining.meets:
                    apart = (a.numbers != 0) & (b.numbers != 0) & (labels[0] != labels[1])
                    meets.append(_as_pairs(np.unique(_codes(a.numbers, b.numbers, apart))) + shift)
        return Pairs(np.concatenate(same), np.concatenate(meets))


def neighbours(joining: Joining, coords: Coords) -> Iterator[tuple[Way, Coords]]:
    """Half of the neighbours of a chunk, and which way they lie."""
    grid = joining.target.grid
    for way in ways_of(len(joining.axes), joining.connectivity):
        other = list(coords)
        for axis, step in zip(joining.axes, way, strict=True):
            other[axis] += step
        if all(0 <= index < count for index, count in zip(other, grid, strict=True)):
            yield way, tuple(other)


class _Side(NamedTuple):
    """The voxels of a piece that touch another one, as numbers of components."""

    numbers: Array

    def labels_of(self, piece: Piece) -> Array:
        """Their labels, and 0 for background."""
        labels: Array = np.concatenate([np.zeros(1, np.uint64), piece.rows["label"]])[self.numbers]
        return labels


def _contact(joining: Joining, one: Piece, other: Piece, way: Way) -> tuple[_Side, _Side]:
    """The face, the line or the voxel at which two pieces touch, of both."""
    place = next(place for place, step in enumerate(way) if step)
    axis = joining.axes[place]
    if not len(one.rows) or not len(other.rows):
        nothing = _Side(np.zeros((0,) * (len(joining.order) - sum(map(abs, way))), np.uint8))
        return nothing, nothing
    a, b = one.face(axis, 1), other.face(axis, 0)
    dropped = joining.order.index(axis)
    rest = [
        (joining.order.index(far), step)
        for far, step in zip(joining.axes, way, strict=True)
        if step and far != axis
    ]
    for index, step in sorted(rest, reverse=True):
        within = index - (index > dropped)
        a, b = a.take(-1 if step > 0 else 0, axis=within), b.take(0 if step > 0 else -1, axis=within)
    return _Side(a), _Side(b)


def _joined(
    joining: Joining, a: Array, b: Array, labels: Array, others: Array, way: Way
) -> npt.NDArray[np.uint64]:
    """The pairs of components that touch and have one label, as :func:`_codes`, without repeats."""
    there = (a != 0) & (b != 0)
    straight = there & (labels == others)
    found = [_codes(a, b, straight)]
    free = sum(1 for step in way if not step)
    # Few voxels have no voxel of their label straight across.
    open_ = ~straight
    if joining.connectivity == 26 and open_.any():
        lead = (slice(None),) * (a.ndim - free)
        for step in itertools.product((0, 1, -1), repeat=free):
            if not any(step):
                continue
            here = (*lead, *(slice(max(0, -one), -one if one > 0 else None) for one in step))
            beyond = (*lead, *(slice(max(0, one), one if one < 0 else None) for one in step))
            where = np.nonzero(open_[here] & open_[beyond])
            near, far = a[here][where], b[beyond][where]
            alike = (near != 0) & (far != 0) & (labels[here][where] == others[beyond][where])
            found.append(_codes(near, far, alike))
    return np.unique(np.concatenate(found))


def _codes(a: Array, b: Array, where: Array) -> npt.NDArray[np.uint64]:
    """The pairs of numbers at some voxels, each as one integer; neighbours that repeat are left out."""
    codes = (a[where].astype(np.uint64) << np.uint64(32)) | b[where].astype(np.uint64)
    if len(codes) > 1:
        codes = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    return codes


def _as_pairs(codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return np.stack([codes >> np.uint64(32), codes & np.uint64(2**32 - 1)], axis=1).astype(np.int64)


class Sets:
    """Unites numbers as pairs of them come, so that the pairs need not be kept; see ``engine.Gathering``.

    A number points to another one of its set; the root of a set points to itself. While pairs come, roots are
    linked in a random order, which keeps the paths to them short. Linked in the order of ``firsts``, a chain
    of n pairs made a path of n steps, and took n * n of them.
    """

    def __init__(self, firsts: Array) -> None:
        """Begin with each number by itself; ``firsts`` puts them in order, and has no repeats."""
        self._firsts = firsts
        self._parent = np.arange(len(firsts), dtype=np.int64)
        self._meets = [np.zeros((0, 2), dtype=np.int64)]

    def add(self, result: Pairs) -> None:
        """Unite the pairs that are one, and keep those that share a face."""
        one, other = self._root(result.same[:, 0]), self._root(result.same[:, 1])
        while (apart := one != other).any():
            one, other = one[apart], other[apart]
            is_later = _rank(one) > _rank(other)
            # Where several pairs hang up one root the last of them wins, and the others come again.
            self._parent[np.where(is_later, one, other)] = np.where(is_later, other, one)
            one, other = self._root(one), self._root(other)
        if len(result.meets):
            self._meets.append(result.meets)

    def roots(self) -> Array:
        """For each number, that of its set which comes first; afterwards nothing can be added."""
        parent, firsts = self._parent, self._firsts
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(parent), _BLOCK)]
        least = np.full(len(parent), np.iinfo(firsts.dtype).max, dtype=firsts.dtype)
        for block in blocks:
            parent[block] = self._root(parent[block])
            np.minimum.at(least, parent[block], firsts[block])
        heads = [np.flatnonzero(firsts[block] == least[parent[block]]) + block.start for block in blocks]
        del least
        first = np.empty(len(parent), dtype=np.int64)  # of roots alone
        for some in heads:
            first[parent[some]] = some
        for block in blocks:
            parent[block] = first[parent[block]]
        return parent

    def meets(self) -> Array:
        """The pairs that share a face, ``(n, 2)``."""
        return np.concatenate(self._meets)

    def _root(self, numbers: Array) -> Array:
        """The roots of some numbers, which point to them from now on."""
        found = self._parent[numbers]
        while not np.array_equal(above := self._parent[found], found):
            found = above
        self._parent[numbers] = found
        return found


def _rank(numbers: Array) -> npt.NDArray[np.uint64]:
    """Where numbers come in a random order, without repeats."""
    mixed = numbers.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0x94D049BB133111EB)
    return mixed
