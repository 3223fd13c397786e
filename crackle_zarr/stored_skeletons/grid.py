"""How an array is cut into tiles: whole chunks each, as many as the memory of a task allows.

Tiles share a plane of voxels with their next neighbours along each axis. Two voxels that are neighbours,
corners included, are then together in one tile, the one that has the lower corner of both: no connection gets
lost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..stored.layout import Coords
from .frame import Frame, Voxel

# What a task needs for a voxel of its tile besides the labels, if all of the tile is one component that is
# traced.
_NBYTES_PER_VOXEL = 40


@dataclass(frozen=True)
class Grid:
    """The tiles of a part of an array.

    Attributes:
        start: the first voxel of the part.
        stop: the corner behind its last voxel.
        base: where the first tile begins: at the first voxel of a chunk.
        step: the lengths of a tile.
    """

    start: Voxel
    stop: Voxel
    base: Voxel
    step: Voxel

    @property
    def counts(self) -> list[int]:
        """How many tiles there are along each axis."""
        return [
            -(-(last - base) // length) if first < last else 0
            for first, last, base, length in zip(self.start, self.stop, self.base, self.step, strict=True)
        ]

    def __len__(self) -> int:
        """How many tiles there are."""
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Voxel]:
        """The places of the tiles in the grid, x fastest."""
        x, y, z = map(range, self.counts)
        return ((i, j, k) for k, j, i in itertools.product(z, y, x))

    def own(self, tile: Voxel) -> tuple[Voxel, Voxel]:
        """The corners of the voxels that a tile has for itself."""
        return self._corners(tile, 0)

    def shared(self, tile: Voxel) -> tuple[Voxel, Voxel]:
        """The corners of the voxels that a tile reads: one plane more of each next neighbour."""
        return self._corners(tile, 1)

    def _corners(self, tile: Voxel, more: int) -> tuple[Voxel, Voxel]:
        low = [
            max(base + index * length, first)
            for index, base, length, first in zip(tile, self.base, self.step, self.start, strict=True)
        ]
        high = [
            min(base + (index + 1) * length + more, last)
            for index, base, length, last in zip(tile, self.base, self.step, self.stop, strict=True)
        ]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def on_seam(self, voxels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which voxels, ``(n, 3)``, lie in a plane that two tiles share."""
        shifted = voxels - np.array(self.base)
        index, rest = np.divmod(shifted, np.array(self.step))
        found: npt.NDArray[np.bool_] = ((rest == 0) & (index > 0) & (index < np.array(self.counts))).any(
            axis=1
        )
        return found

    def seams(self, tile: Voxel) -> int:
        """The faces of a tile behind which there is another one, as bits of ``border_faces``."""
        faces = 0
        for axis, (index, count) in enumerate(zip(tile, self.counts, strict=True)):
            faces |= (index > 0) << 2 * axis
            faces |= (index < count - 1) << 2 * axis + 1
        return faces


def grid_of(frame: Frame, memory: int, nbytes: int | None = None) -> Grid:
    """The tiles of a frame, of some ``memory`` bytes each, and as close to cubes as whole chunks can be.

    They are whole shards if one fits the memory, and never less than a chunk.

    Args:
        frame: of the array.
        memory: in bytes.
        nbytes: what a voxel takes; None: what tracing takes.
    """
    most = max(1, memory // (nbytes_per_voxel(frame) if nbytes is None else nbytes))
    unit = frame.unit_shape
    if math.prod(map(min, unit, frame.shape)) > most:
        unit = frame.chunk_shape
    # The part may begin and end within chunks.
    first = [start // one for start, one in zip(frame.start, unit, strict=True)]
    units = [-(-stop // one) - low for stop, one, low in zip(frame.stop, unit, first, strict=True)]
    counts = [1, 1, 1]

    def lengths() -> list[int]:
        return [
            min(count * one, max(whole, 1))
            for count, one, whole in zip(counts, unit, frame.shape, strict=True)
        ]

    while True:
        now = lengths()
        # The next chunks go where the tile is shortest.
        for axis in sorted(range(3), key=lambda axis: (now[axis] * frame.size[axis], axis)):
            if counts[axis] >= units[axis]:
                continue
            counts[axis] += 1
            if math.prod(lengths()) <= most:
                break
            counts[axis] -= 1
        else:
            break
    base, step = [], []
    for axis in range(3):
        # As few tiles as that takes, and all about as long.
        tiles = max(1, -(-units[axis] // counts[axis]))
        base.append(unit[axis] * first[axis])
        step.append(unit[axis] * max(1, -(-units[axis] // tiles)))
    return Grid(frame.start, frame.stop, (base[0], base[1], base[2]), (step[0], step[1], step[2]))


def tiles_with(frame: Frame, grid: Grid, coords: list[Coords] | None) -> list[Voxel]:
    """The tiles that read one of some chunks; None: all."""
    if coords is None:
        return list(grid)
    found = set()
    for one in coords:
        box = frame.layout.chunk_box(one)
        along = []
        for place in range(3):
            axis = frame.order[place] if place < len(frame.order) else None
            low, high = (0, 1) if axis is None else box[axis]
            # A tile reads a plane more than it has, so the tile before may have a part of this chunk.
            first = max((low - 1 - grid.base[place]) // grid.step[place], 0)
            last = min((high - 1 - grid.base[place]) // grid.step[place], grid.counts[place] - 1)
            along.append(range(first, last + 1))
        found |= {(x, y, z) for x in along[0] for y in along[1] for z in along[2]}
    return sorted(found, key=lambda tile: tile[::-1])


def nbytes_per_voxel(frame: Frame) -> int:
    """The memory that a voxel takes: its label, twice while it is read, and the tracer's fields."""
    return 2 * frame.layout.native.itemsize + _NBYTES_PER_VOXEL
