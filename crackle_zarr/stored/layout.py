"""The layout of a stored array: where each chunk lies, and how its bytes become a Crackle stream.

Three sets of axes meet here. The array has its own; a chunk may be stored with its axes transposed (a
``transpose`` codec, or F order in format 2); and a stream has x, y and z, where x and y are the last two
stored axes and z counts through all others. All other modules use the array's axes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import sub
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.codecs import ShardingCodec, TransposeCodec

from .._base import zarr_facts
from .._base.mapping import LabelMapping
from .._base.passwords import without_password
from .._base.patience import patient_array
from ..codecs.chunk import label_dtype, volume_shape
from ..codecs.numcodecs_codec import Crackle
from ..codecs.zarr_codec import CrackleCodec
from .cuts import Cuts, cuts_of

Coords: TypeAlias = tuple[int, ...]
# Half-open bounds per axis, in the array's indices.
Box: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chain:
    """The codecs of a chunk that Crackle encoded.

    Attributes:
        axes: stored axis i is the array's axis ``axes[i]``; the last is x.
        codec: the Crackle codec.
        outer: the codecs behind it, in the order in which they encode.
        byteswapped: the labels in the stream have their bytes swapped (see ``numcodecs_codec``).
    """

    axes: tuple[int, ...]
    codec: CrackleCodec | Crackle
    outer: tuple[Any, ...] = ()
    byteswapped: bool = False


@dataclass(frozen=True)
class Shards:
    """The shards of an array.

    Attributes:
        cuts: where each axis is cut into shards.
        chunk: the shape of the chunks within them, which is one for all.
        codec: of the shards.
    """

    cuts: tuple[Cuts, ...]
    chunk: tuple[int, ...]
    codec: ShardingCodec

    @property
    def longest(self) -> tuple[int, ...]:
        """The length of the longest shard along each axis."""
        return tuple(cut.longest for cut in self.cuts)

    def counts(self, coords: Coords) -> tuple[int, ...]:
        """How many chunks a shard has along each axis."""
        return tuple(
            (stop - start) // length
            for (start, stop), length in zip(_bounds_at(self.cuts, coords), self.chunk, strict=True)
        )

    def of_chunk(self, coords: Coords) -> Coords:
        """The grid index of the shard that has a chunk."""
        return tuple(
            cut.index(index * length)
            for index, length, cut in zip(coords, self.chunk, self.cuts, strict=True)
        )

    def place(self, coords: Coords) -> Coords:
        """The index of a chunk among those of its shard."""
        bounds = _bounds_at(self.cuts, self.of_chunk(coords))
        return tuple(
            index - start // length
            for index, length, (start, _) in zip(coords, self.chunk, bounds, strict=True)
        )

    def places(self, coords: Sequence[Coords]) -> list[Coords]:
        """The indices of some chunks of one shard among those of the shard."""
        if not coords:
            return []
        first = tuple(map(sub, coords[0], self.place(coords[0])))
        return [tuple(map(sub, one, first)) for one in coords]


@dataclass(frozen=True)
class Layout:
    """An array and the layout of its chunks. It pickles, and opens its store again in the other process.

    Attributes:
        array: the array.
        chain: the codecs of its chunks; None if another codec than Crackle encoded them.
        shards: None if every chunk is an object of its own.
        mapping: new labels, for a view.
        shape: of the array.
        cuts: where each axis is cut into chunks.
        fill: the label of voxels that are not stored.
    """

    array: zarr.Array[Any]
    chain: Chain | None
    shards: Shards | None = None
    mapping: LabelMapping | None = None
    shape: tuple[int, ...] = field(init=False)
    cuts: tuple[Cuts, ...] = field(init=False)
    fill: int = field(init=False)

    def __post_init__(self) -> None:
        """Keep the attributes that every chunk needs."""
        object.__setattr__(self, "shape", tuple(self.array.shape))
        lengths = zarr_facts.object_lengths(self.array) if self.shards is None else self.shards.chunk
        object.__setattr__(self, "cuts", cuts_of(self.shape, lengths))
        object.__setattr__(self, "fill", int(self.array.fill_value or 0))

    @property
    def native(self) -> np.dtype[Any]:
        """The dtype of labels in computations: bool as uint8, in the machine's byte order."""
        return label_dtype(self.array.dtype)

    @property
    def store(self) -> Store:
        """Where the chunks are."""
        return self.array.store_path.store

    @property
    def name(self) -> str:
        """The array's place, for messages."""
        return without_password(str(self.array.store_path))

    @property
    def writes_empty_chunks(self) -> bool:
        """Whether chunks that are all fill value are stored."""
        return zarr_facts.writes_empty_chunks(self.array)

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis."""
        return tuple(map(len, self.cuts))

    @property
    def longest(self) -> tuple[int, ...]:
        """The shape of a chunk; in a rectilinear grid the longest length along each axis."""
        return tuple(cut.longest for cut in self.cuts)

    @property
    def num_chunks(self) -> int:
        """How many chunks there are."""
        return math.prod(self.grid)

    @property
    def everything(self) -> Box:
        """The whole array."""
        return tuple((0, length) for length in self.shape)

    def patient(self, retries: int | None) -> Layout:
        """The same array, whose store is asked again, up to so many times, after faults that may pass."""
        array = patient_array(self.array, retries)
        return self if array is self.array else replace(self, array=array)

    def mapped(self, mapping: LabelMapping) -> Layout:
        """The same array, read with other labels."""
        return replace(self, mapping=mapping)

    def object_coords(self, coords: Coords) -> Coords:
        """The grid index of the stored object that holds a chunk: itself, or its shard."""
        return coords if self.shards is None else self.shards.of_chunk(coords)

    def by_object(self, coords: Iterable[Coords]) -> dict[Coords, list[Coords]]:
        """Chunks by the grid index of the stored object that holds them."""
        found: dict[Coords, list[Coords]] = {}
        for one in coords:
            found.setdefault(self.object_coords(one), []).append(one)
        return found

    def key(self, coords: Coords) -> str:
        """The key, within the array, of the object that holds a chunk."""
        return zarr_facts.chunk_key(self.array, self.object_coords(coords))

    def path(self, key: str) -> str:
        """The key within the store, from one within the array."""
        return f"{self.array.path}/{key}" if self.array.path else key

    def object_name(self, key: str) -> str:
        """The name of an object for messages, from its key within the store.

        A store that shows another format, such as a precomputed volume, has other names than Zarr's keys.
        """
        store: Any = self.store
        while store is not None:
            if hasattr(store, "object_name"):
                return str(store.object_name(key))
            store = getattr(store, "_store", None)
        return key

    def holds(self, key: str, coords: Coords) -> bool:
        """Whether a key is that of the object with this chunk."""
        grid = [max(1, number) for number in self.grid]
        return (
            len(coords) == len(grid)
            and all(
                type(index) is int and 0 <= index < number for index, number in zip(coords, grid, strict=True)
            )
            and self.key(coords) == key
        )

    def chunk_box(self, coords: Coords) -> Box:
        """The voxels of a chunk, those beyond the array's edge too."""
        return _bounds_at(self.cuts, coords)

    def chunk_shape(self, coords: Coords) -> tuple[int, ...]:
        """The shape of a chunk along the array's axes, what lies beyond the array's edge included."""
        return tuple(stop - start for start, stop in self.chunk_box(coords))

    def object_box(self, coords: Coords) -> Box:
        """The voxels of a stored object, a chunk or a shard, from its own grid index."""
        return _bounds_at(self.cuts if self.shards is None else self.shards.cuts, coords)

    # -----------------------------------------------------------------------------------
    # Between the array's axes and the stream's

    def stored_shape(self, coords: Coords) -> tuple[int, ...]:
        """The shape of a chunk, along the axes as they are stored."""
        shape = self.chunk_shape(coords)
        return shape if self.chain is None else tuple(shape[axis] for axis in self.chain.axes)

    def volume_shape(self, coords: Coords) -> tuple[int, int, int]:
        """(sx, sy, sz) of a chunk's stream."""
        return volume_shape(self.stored_shape(coords))

    # -----------------------------------------------------------------------------------
    # Which chunks there are

    def coords_in(self, box: Box) -> Iterator[Coords]:
        """The chunks that a box touches, in C order."""
        return itertools.product(*_pieces(self.cuts, box))

    def num_chunks_in(self, box: Box) -> int:
        """How many chunks a box touches."""
        return math.prod(map(len, _pieces(self.cuts, box)))

    def by_shard(self, box: Box) -> Iterator[list[Coords]]:
        """The chunks that a box touches, shard after shard."""
        assert self.shards is not None
        for shard in itertools.product(*_pieces(self.shards.cuts, box)):
            yield list(self.coords_in(common(self.object_box(shard), box)))

    def blocks(self, box: Box, most: int) -> Iterator[list[Coords]]:
        """The chunks that a box touches, in blocks of neighbours, each of at most ``most`` chunks."""
        ranges = _pieces(self.cuts, box)
        counts = [1] * len(ranges)
        while growing := [axis for axis, one in enumerate(ranges) if counts[axis] < len(one)]:
            axis = min(growing, key=lambda axis: counts[axis])
            if math.prod(counts) // counts[axis] * (counts[axis] + 1) > most:
                break
            counts[axis] += 1
        for first in itertools.product(
            *(range(one.start, one.stop, count) for one, count in zip(ranges, counts, strict=True))
        ):
            inside = (
                range(index, min(index + count, one.stop))
                for index, count, one in zip(first, counts, ranges, strict=True)
            )
            yield list(itertools.product(*inside))


def _bounds_at(cuts: Sequence[Cuts], coords: Coords) -> Box:
    return tuple(cut.bounds(index) for cut, index in zip(cuts, coords, strict=True))


def _pieces(cuts: Sequence[Cuts], box: Box) -> list[range]:
    return [cut.within(start, stop) for cut, (start, stop) in zip(cuts, box, strict=True)]


def layout_of(array: zarr.Array[Any]) -> Layout:
    """The layout of an array of labels.

    Raises:
        TypeError: the array's dtype is neither an integer type nor bool.
    """
    label_dtype(array.dtype)
    array = patient_array(array)
    if zarr_facts.format_of(array) == 2:
        return Layout(array, _chain_v2(array))
    codecs = zarr_facts.codecs(array)
    if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
        sharding = codecs[0]
        cuts = cuts_of(array.shape, zarr_facts.object_lengths(array))
        shards = Shards(cuts, tuple(sharding.chunk_shape), sharding)
        return Layout(array, _chain_v3(sharding.codecs, len(array.shape)), shards)
    return Layout(array, _chain_v3(codecs, len(array.shape)))


def _chain_v3(codecs: Sequence[Any], ndim: int) -> Chain | None:
    axes = tuple(range(ndim))
    for place, codec in enumerate(codecs):
        if isinstance(codec, TransposeCodec):
            axes = tuple(axes[axis] for axis in codec.order)
        elif isinstance(codec, CrackleCodec):
            return Chain(axes, codec, tuple(codecs[place + 1 :]))
        else:
            break
    return None


def _chain_v2(array: zarr.Array[Any]) -> Chain | None:
    codecs = zarr_facts.codecs(array)
    if not codecs or not isinstance(codecs[0], Crackle):
        return None
    axes = tuple(range(len(array.shape)))
    # A chunk that is contiguous both ways is taken as C order, whatever the array says (see
    # ``codecs.chunk``).
    fortran = zarr_facts.is_fortran(array) and sum(length > 1 for length in array.chunks) > 1
    big_endian = array.dtype.itemsize > 1 and array.dtype.str[0] == ">"
    return Chain(
        axes[::-1] if fortran else axes,
        codecs[0],
        tuple(codecs[1:]),
        byteswapped=big_endian and codecs[0].byteorder != ">",
    )


# ---------------------------------------------------------------------------------------
# Boxes


def box_of(region: Any, shape: tuple[int, ...]) -> Box:
    """The bounds per axis of a region that a user gave.

    Raises:
        TypeError: it has other parts than slices, integers and Ellipsis.
        ValueError: it has too many axes, or lies outside of the array, or has steps.
    """
    if region is None:
        region = ()
    parts = list(region) if isinstance(region, tuple | list) else [region]
    given = ", ".join(_text(part) for part in parts)
    if sum(part is Ellipsis for part in parts) > 1:
        raise ValueError(f"region ({given}) has more than one Ellipsis")
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    before, after = parts[:place], parts[place + 1 :]
    missing = len(shape) - len(before) - len(after)
    if missing < 0:
        raise ValueError(f"region ({given}) has more axes than the array of shape {shape}")
    full = [*before, *[slice(None)] * missing, *after]
    box = []
    for axis, (part, length) in enumerate(zip(full, shape, strict=True)):
        start, stop = _bounds(part, length)
        if not 0 <= start <= stop <= length:
            raise ValueError(
                f"region ({given}) does not lie within the array of shape {shape}: along axis {axis}, "
                f"[{start}, {stop}) is not a range within [0, {length})"
            )
        box.append((start, stop))
    return tuple(box)


def _bounds(part: Any, length: int) -> tuple[int, int]:
    if isinstance(part, slice):
        if part.step not in (None, 1):
            raise ValueError(f"a region has no steps, and {_text(part)} has one of {part.step}")
        start = 0 if part.start is None else _index(part.start)
        stop = length if part.stop is None else _index(part.stop)
        return (start + length if start < 0 else start), (stop + length if stop < 0 else stop)
    index = _index(part)
    index += length if index < 0 else 0
    return index, index + 1


def _index(value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"a region is made of slices and integers, not {value!r} of {type(value).__name__}")
    return int(value)


def _text(part: Any) -> str:
    if not isinstance(part, slice):
        return "..." if part is Ellipsis else str(part)
    start, stop = ("" if bound is None else str(bound) for bound in (part.start, part.stop))
    return f"{start}:{stop}" + ("" if part.step is None else f":{part.step}")


def box_text(box: Box) -> str:
    """Bounds as a user would write them."""
    return "[" + ", ".join(f"{start}:{stop}" for start, stop in box) + "]"


def slices_of(box: Box) -> tuple[slice, ...]:
    """Bounds as an index."""
    return tuple(slice(start, stop) for start, stop in box)


def within(part: Box, box: Box) -> tuple[slice, ...]:
    """A part of a box as an index of the voxels of the box."""
    return tuple(slice(low - base, high - base) for (low, high), (base, _) in zip(part, box, strict=True))


def common(a: Box, b: Box) -> Box:
    """The intersection of two boxes; empty along an axis on which they do not overlap."""
    return tuple((low := max(p[0], q[0]), max(low, min(p[1], q[1]))) for p, q in zip(a, b, strict=True))


def num_voxels(box: Box) -> int:
    """How many voxels a box has."""
    return math.prod(stop - start for start, stop in box)


# ---------------------------------------------------------------------------------------
# The part of a chunk that is asked about, in its stream


@dataclass(frozen=True)
class Run:
    """A window in consecutive slices of a stream.

    Attributes:
        z: the slices.
        y: the rows of each.
        x: the columns of each.
        origin: the array's index of the voxel (0, 0, z[0]) of the stream.
    """

    z: tuple[int, int]
    y: tuple[int, int]
    x: tuple[int, int]
    origin: npt.NDArray[np.int64]


def stream_axes(axes: tuple[int, ...]) -> tuple[int | None, int | None, int | None]:
    """The array's axes along which x, y and (within a run) z go; None: the stream has 1 there."""
    x, y, z = (*axes[:-4:-1], None, None, None)[:3]
    return x, y, z


def runs_of(stored: Box, box: Box, axes: tuple[int, ...]) -> list[Run]:
    """A box within a stored chunk as runs of the chunk's stream."""
    if num_voxels(box) == 0:
        return []
    origin = np.array([start for start, _ in stored], dtype=np.int64)
    local = [(box[axis][0] - stored[axis][0], box[axis][1] - stored[axis][0]) for axis in axes]
    lengths = [stored[axis][1] - stored[axis][0] for axis in axes]
    *leading, y, x = [(0, 1)] * max(0, 2 - len(axes)) + local
    lengths = lengths[:-2]
    runs = []
    for outer in itertools.product(*(range(*bounds) for bounds in leading[:-1])):
        first, last = leading[-1] if leading else (0, 1)
        base = 0
        for index, length in zip(outer, lengths, strict=False):
            base = base * length + index
        base *= lengths[-1] if lengths else 1
        start = origin.copy()
        for place, index in enumerate((*outer, first) if leading else ()):
            start[axes[place]] += index
        runs.append(Run((base + first, base + last), y, x, start))
    return runs
