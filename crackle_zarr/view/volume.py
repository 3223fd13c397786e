"""Boxes of a volume at every resolution, from stored levels and from levels that are pooled as they are read.

Arrays are read in tiles: chunks, or a few small ones, or a part of a large one. A tile of a pooled level is
made from the same tile of the level before, so memory holds the tiles in work and those in the cache.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .._base import zarr_facts
from ..files.formats import xyz_order
from ..files.space import Space
from ..ome.pooling import pool_box
from ..stored.cuts import Uneven
from ..stored.layout import Box, layout_of, slices_of
from ..stored.lazy import RemappedArray
from ..stored.told import tell
from ..streams import stream
from ..streams.rewriting import mode_pooling
from .cache import TileCache
from .sources import Source

T = TypeVar("T")
Triple = tuple[int, int, int]

# The most bytes of a tile, the least length of its edges, and the least length of those of a part of a chunk.
_TILE_NBYTES = 2**24
_TILE_EDGE = 64
_PART_EDGE = 32
# Levels are added until the longest axis has this many voxels or fewer,
_COARSEST = 128
# but at most this often: a chunk of a pooled level is made of all chunks that it covers.
_MOST_POOLED = 3


@dataclass(frozen=True)
class Level:
    """A resolution.

    Attributes:
        shape: along x, y and z.
        voxel_size: along x, y and z, in nanometres.
        stored: which stored array it is, or is made from.
        factor: from the voxels of that array to those of this level.
        step: from the voxels of the level before, if it is pooled; None for a stored level.
    """

    shape: Triple
    voxel_size: tuple[float, float, float]
    stored: int
    factor: Triple = (1, 1, 1)
    step: Triple | None = None


class Volume:
    """A volume (x, y, z, and further axes) at every resolution.

    Attributes:
        source: what is shown.
        is_labels: labels are pooled by their mode, and images by their mean.
        order: the array's axes in the order x, y, z; fewer for fewer axes.
        others: the further axes of the array that are longer than 1.
        dtype: of the boxes, one that Neuroglancer knows: signed labels are the unsigned integers of the same
            bits, and bool is uint8.
        space_known: whether the voxel size comes from the metadata.
        levels: the resolutions, from the finest to the coarsest.
    """

    def __init__(
        self,
        source: Source,
        cache: TileCache,
        *,
        is_labels: bool,
        voxel_size: Sequence[float] | None = None,
    ) -> None:
        """Lay out the levels; nothing is read.

        Args:
            source: what to show.
            cache: for tiles; several volumes may share one.
            is_labels: whether the numbers are labels.
            voxel_size: along x, y and z in nanometres; None: what the metadata say, or 1.
        """
        self.source = source
        self.is_labels = is_labels
        self._cache = cache
        array = source.array
        axes = _spatial_first(array.ndim, source.names)
        self.order: tuple[int, ...] = axes[:3]
        self.others: tuple[int, ...] = tuple(sorted(axis for axis in axes[3:] if array.shape[axis] > 1))
        self.dtype = _shown_dtype(array.dtype, is_labels)
        sizes = [self._sizes(space) for space in source.spaces]
        self.space_known = voxel_size is not None or sizes[0] is not None
        base = tuple(map(float, voxel_size)) if voxel_size is not None else sizes[0] or (1.0, 1.0, 1.0)
        self.levels = self._levels((base[0], base[1], base[2]), sizes)
        self._layouts = [
            layout_of(one) if is_labels and not isinstance(one, RemappedArray) else None
            for one in source.levels
        ]
        for layout in self._layouts:
            if layout is not None:
                tell(layout, "warn")
        self._tiles = [self._tile_shape(number) for number in range(len(source.levels))]

    # -- Axes

    @property
    def other_lengths(self) -> tuple[int, ...]:
        """The lengths of the further axes."""
        return tuple(self.source.array.shape[axis] for axis in self.others)

    @property
    def other_names(self) -> tuple[str, ...]:
        """The names of the further axes, as the metadata have them, or made up."""
        names = self.source.names or (None,) * self.source.array.ndim
        return tuple(str(names[axis] or f"d{axis}") for axis in self.others)

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Of the finest level, along x, y and z in nanometres."""
        return self.levels[0].voxel_size

    @property
    def shape(self) -> Triple:
        """Of the finest level, along x, y and z."""
        return self.levels[0].shape

    @property
    def first_voxel(self) -> tuple[float, float, float] | None:
        """The corner of the first voxel in nanometres; the origin of a space is the voxel's centre.

        None: the metadata have no origin.
        """
        origin = _in_nanometres(self.source.spaces[0], "origin")
        if origin is None:
            return None
        centre = self.along_xyz(origin, 0.0)
        x, y, z = (one - edge / 2 for one, edge in zip(centre, self.voxel_size, strict=True))
        return x, y, z

    def to_xyz(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array in the source's own axes, with length 1 along further axes, as (x, y, z)."""
        rest = [axis for axis in range(array.ndim) if axis not in self.order]
        turned = array.transpose([*self.order, *rest])
        shape = (*turned.shape[: len(self.order)], 1, 1, 1)[:3]
        return turned.reshape(shape, order="A") if turned.size else np.zeros(shape, array.dtype)

    def along_xyz(self, numbers: Sequence[T], default: T) -> tuple[T, T, T]:
        """Numbers per axis of the array as numbers along x, y and z."""
        x, y, z = (*(numbers[axis] for axis in self.order), default, default, default)[:3]
        return x, y, z

    def _sizes(self, space: Space) -> tuple[float, float, float] | None:
        size = _in_nanometres(space, "voxel_size")
        return None if size is None else self.along_xyz(size, 1.0)

    # -- Levels

    def _levels(
        self, base: tuple[float, float, float], sizes: Sequence[tuple[float, float, float] | None]
    ) -> list[Level]:
        levels = []
        first = self._stored_shape(0)
        for number in range(len(self.source.levels)):
            shape = self._stored_shape(number)
            if sizes[number] is not None and sizes[0] is not None:
                scale = [a / b for a, b in zip(sizes[number] or (), sizes[0] or (), strict=True)]
            else:
                scale = [a / b for a, b in zip(first, shape, strict=True)]
            x, y, z = (edge * one for edge, one in zip(base, scale, strict=True))
            levels.append(Level(shape, (x, y, z), number))
        last = levels[-1]
        for _ in range(_MOST_POOLED):
            if max(last.shape) <= _COARSEST:
                break
            step = _step(last)
            last = Level(
                _triple(-(-length // one) for length, one in zip(last.shape, step, strict=True)),
                _sizes_times(last.voxel_size, step),
                last.stored,
                _triple(a * b for a, b in zip(last.factor, step, strict=True)),
                step,
            )
            levels.append(last)
        return levels

    def _stored_shape(self, number: int) -> Triple:
        return self.along_xyz(self.source.levels[number].shape, 1)

    # -- Voxels

    def box(self, level: int, start: Triple, stop: Triple, index: tuple[int, ...] = ()) -> npt.NDArray[Any]:
        """The voxels of a box of a level, (x, y, z) in Fortran order.

        Args:
            level: the number of the level.
            start: the first voxel.
            stop: the end, which may not lie beyond the shape of the level.
            index: along the further axes.

        Raises:
            ValueError: the box is empty, or not within the level.
            StoreError: the store failed.
            FormatError: a chunk is damaged.
        """
        one = self.levels[level]
        if not all(0 <= a < b <= n for a, b, n in zip(start, stop, one.shape, strict=True)):
            raise ValueError(f"there is no box {start} to {stop} in a level of {one.shape} voxels")
        out = np.empty(tuple(b - a for a, b in zip(start, stop, strict=True)), self.dtype, order="F")
        edges = [tile // by for tile, by in zip(self._tiles[one.stored], one.factor, strict=True)]
        ranges = [range(a // edge, -(-b // edge)) for a, b, edge in zip(start, stop, edges, strict=True)]
        for coords in itertools.product(*ranges):
            tile = self._tile(level, _triple(coords), index)
            here, there = [], []
            for number, edge, a, b, length in zip(coords, edges, start, stop, tile.shape, strict=True):
                low, high = max(a, number * edge), min(b, number * edge + length)
                here.append(slice(low - a, high - a))
                there.append(slice(low - number * edge, high - number * edge))
            out[tuple(here)] = tile[tuple(there)]
        return out

    def _tile(self, level: int, coords: Triple, index: tuple[int, ...]) -> npt.NDArray[Any]:
        one = self.levels[level]

        def make() -> npt.NDArray[Any]:
            if one.step is None:
                return self._read(one, coords, index)
            if self.levels[level - 1].step is None and self._is_pooled_from_streams(one):
                return self._pool_streams(one, coords, index)
            finer = self._tile(level - 1, coords, index)
            return pooled_labels(finer, one.step) if self.is_labels else pooled_image(finer, one.step)

        return self._cache.get((id(self), level, coords, index), make)

    def _read(self, level: Level, coords: Triple, index: tuple[int, ...]) -> npt.NDArray[Any]:
        """A tile of a stored level."""
        array = self.source.levels[level.stored]
        return self._shown(np.asarray(array[slices_of(self._box_of_tile(level, coords, index))]))

    def _is_pooled_from_streams(self, level: Level) -> bool:
        """Whether tiles of a pooled level are made of whole chunks, whose streams are pooled undecoded."""
        layout = self._layouts[level.stored]
        if (
            layout is None
            or layout.chain is None
            or self.order != tuple(reversed(range(len(layout.shape))))[:3]
        ):
            return False
        if any(isinstance(cut, Uneven) for cut in layout.cuts):
            return False
        edges = self.along_xyz(layout.longest, 1)
        return all(tile % chunk == 0 for tile, chunk in zip(self._tiles[level.stored], edges, strict=True))

    def _pool_streams(self, level: Level, coords: Triple, index: tuple[int, ...]) -> npt.NDArray[Any]:
        layout = self._layouts[level.stored]
        assert layout is not None
        step = [1] * len(layout.shape)
        for axis, by in zip(self.order, level.factor, strict=False):
            step[axis] = by
        return self._shown(pool_box(layout, self._box_of_tile(level, coords, index), step, False))

    def _box_of_tile(self, level: Level, coords: Triple, index: tuple[int, ...]) -> Box:
        """A tile in the array's own axes."""
        box = [(0, 1)] * self.source.array.ndim
        edges = (tile // by for tile, by in zip(self._tiles[level.stored], level.factor, strict=True))
        for axis, number, edge, length in zip(self.order, coords, edges, level.shape, strict=False):
            box[axis] = (number * edge, min((number + 1) * edge, length))
        for axis, one in zip(self.others, index, strict=True):
            box[axis] = (one, one + 1)
        return tuple(box)

    def _shown(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Voxels of the array as (x, y, z) of the type that is shown."""
        native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
        if native.dtype != self.dtype:
            keeps_bits = self.is_labels or native.dtype.kind == "b"
            native = native.view(self.dtype) if keeps_bits else native.astype(self.dtype)
        return np.asfortranarray(self.to_xyz(native))

    def _tile_shape(self, number: int) -> Triple:
        """The edges of tiles of a stored array: multiples of its chunks and of all factors."""
        array = self.source.levels[number]
        stored = array.array if isinstance(array, RemappedArray) else array
        chunks = zarr_facts.chunk_shape(stored)
        factor = next(one.factor for one in reversed(self.levels) if one.stored == number)
        edges = []
        for axis, by in zip((*self.order, None, None)[:3], factor, strict=True):
            chunk = 1 if axis is None else chunks[axis]
            unit = math.lcm(chunk, by) if math.lcm(chunk, by) <= 2 * chunk + by else by
            edges.append(unit * max(1, -(-_TILE_EDGE // unit)))
        # A part of a large chunk: Crackle decodes some slices of one without the others.
        for axis in (2, 1, 0):
            while math.prod(edges) * self.dtype.itemsize > _TILE_NBYTES and edges[axis] >= 2 * _PART_EDGE:
                edges[axis] = -(-edges[axis] // (2 * factor[axis])) * factor[axis]
        return _triple(edges)


def pooled_labels(voxels: npt.NDArray[Any], step: Triple) -> npt.NDArray[Any]:
    """Labels (x, y, z) pooled by their mode, (2, 2, 1) or (2, 2, 2); see ``crackle_zarr.mode_pooling``."""
    encoded = stream.compress(voxels, markov_model_order=0, parallel=1)
    return stream.decompress(mode_pooling(encoded, step, parallel=1), parallel=1)


def pooled_image(voxels: npt.NDArray[Any], step: Triple) -> npt.NDArray[Any]:
    """An image (x, y, z) pooled by its mean; blocks at the end of an odd axis repeat their last voxels."""
    odd = [(0, -length % by) for length, by in zip(voxels.shape, step, strict=True)]
    even = np.pad(voxels, odd, mode="edge") if any(more for _, more in odd) else voxels
    total: npt.NDArray[Any] = np.zeros([n // by for n, by in zip(even.shape, step, strict=True)], np.float64)
    total = np.asfortranarray(total)
    for corner in itertools.product(*map(range, step)):
        total += even[tuple(slice(first, None, by) for first, by in zip(corner, step, strict=True))]
    total /= math.prod(step)
    return (np.rint(total) if voxels.dtype.kind in "iu" else total).astype(voxels.dtype)


# ---------------------------------------------------------------------------------------


def _spatial_first(ndim: int, names: Sequence[str | None] | None) -> tuple[int, ...]:
    """The array's axes in the order x, y, z, then the further ones."""
    known = [str(name).lower() for name in names or ()]
    if {"x", "y"} <= set(known) and len(set(known)) == len(known) == ndim:
        spatial = [known.index(name) for name in "xyz" if name in known]
        return (*spatial, *(axis for axis in range(ndim) if axis not in spatial))
    return xyz_order(ndim, names)


_INTEGERS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_IMAGES = {"b1": "u1", "i8": "f4", "f2": "f4", "f8": "f4"}


def _shown_dtype(dtype: np.dtype[Any], is_labels: bool) -> np.dtype[Any]:
    if is_labels:
        return np.dtype(_INTEGERS[dtype.itemsize])
    return np.dtype(_IMAGES.get(dtype.newbyteorder("=").str[1:], dtype.newbyteorder("=")))


def _in_nanometres(space: Space, what: str) -> tuple[float, ...] | None:
    """The voxel size or the origin; numbers without a unit are taken for nanometres."""
    numbers = space.size_in("nanometer") if what == "voxel_size" else space.origin_in("nanometer")
    return None if numbers is None else tuple(map(float, numbers))


def _step(level: Level) -> Triple:
    """(2, 2, 1) until voxels are about cubic, then (2, 2, 2)."""
    x, y, z = level.voxel_size
    is_flat = level.shape[2] == 1 or (x * y) ** 0.5 * 2**0.5 < z
    return (2, 2, 1) if is_flat else (2, 2, 2)


def _triple(numbers: Any) -> Triple:
    x, y, z = map(int, numbers)
    return x, y, z


def _sizes_times(size: tuple[float, float, float], step: Triple) -> tuple[float, float, float]:
    x, y, z = (edge * by for edge, by in zip(size, step, strict=True))
    return x, y, z
