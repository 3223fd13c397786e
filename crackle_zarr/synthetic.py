"""A synthetic segmentation that looks like neural tissue, for demonstrations and tests.

The tissue is a power diagram: space belongs to the nearest of many balls strung along random smooth
curves, where "near" is the squared distance minus the squared radius. The curves are thin axons, thicker
dendrites with spines, and a few cell bodies, so the cells of the diagram resemble a dense
segmentation of electron microscopy: winding tubes of smoothly varying calibre that
touch each other everywhere, beside a few large bodies, with stray voxels of background at borders.

The same arguments give the same voxels on every platform and with every NumPy. Random numbers are a counter
hashed by SplitMix64. The curves use only operations that IEEE 754 defines to the last bit: no sines, and no
sums in an undefined order. The diagram itself is evaluated in integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Lengths are in voxels of the (y, x) plane; along z a voxel is longer, as sections of tissue are.
SECTION_THICKNESS = 2.5
# The diagram is evaluated in quarters of a voxel; along z that is ten of them.
UNITS = np.array([10, 4, 4], dtype=np.int64)
BLOCK = 16  # voxels along an edge of the blocks in which the diagram is evaluated
STRIDE = 0.7  # from ball to ball of a curve, in radii
NODE = 4  # voxels between the nodes at which a block looks for the balls that matter


@dataclass
class _Kind:
    """A kind of neurite.

    Attributes:
        area: mean area of a cross-section; decides how many there are.
        share: the share of the volume to fill.
        radii: smallest and largest mean radius.
        steps: the maximum length, in steps, in either direction from the start.
        bend: how fast the direction changes.
        branches: branches per neurite.
    """

    area: float
    share: float
    radii: tuple[float, float]
    steps: int
    bend: float
    branches: float


DENDRITES = _Kind(area=1500.0, share=0.32, radii=(15.0, 26.0), steps=70, bend=0.10, branches=0.8)
AXONS = _Kind(area=200.0, share=0.90, radii=(4.0, 10.0), steps=100, bend=0.22, branches=0.35)


def neurons(
    shape: tuple[int, int, int] = (256, 256, 256), seed: int = 0, dtype: npt.DTypeLike = np.uint64
) -> npt.NDArray[Any]:
    """Make a dense segmentation of neurites.

    Args:
        shape: (z, y, x), each at least 1.
        seed: another seed gives another piece of tissue.
        dtype: the integer dtype of the labels. In 64 bits the labels exceed 2**53, like those of large
            reconstructions; with 8 or 16 bits, two neurites may get the same label.

    Returns:
        A C-contiguous array of that shape. 0 is the background: a few voxels at borders.

    Raises:
        TypeError: ``dtype`` is not an integer type.
        ValueError: ``shape`` is not three positive numbers.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        raise TypeError(f"labels are integers; dtype {kind} is not an integer type")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape is three positive numbers of voxels (z, y, x), not {shape!r}")
    extent = np.array(shape, dtype=np.float64) * (SECTION_THICKNESS, 1.0, 1.0)
    centres, radii, owners = _grow(extent, _Random(seed))
    balls = _Balls(
        centres=np.rint(centres.T * 4).astype(np.int64),
        squares=np.rint(radii * radii * 16).astype(np.int64),
        owners=owners,
    )
    names = _names(int(owners.max()) + 1, kind)
    labels = np.empty(shape, dtype=kind)
    whole = np.zeros(3, dtype=np.int64), np.array(shape, dtype=np.int64)
    for begin, end, near in _blocks(balls, *whole, edge=8 * BLOCK):
        labels[tuple(map(slice, begin, end))] = names[near.owners[near.nearest(begin, end, step=1)]]
    _scatter_background(labels, seed)
    return labels


# ---------------------------------------------------------------------------------------
# Random numbers


def _mix(counter: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function."""
    mixed = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class _Random:
    """Uniform random numbers from a counter, because NumPy's generators may differ between versions."""

    def __init__(self, seed: int) -> None:
        self._seed = seed & 0xFFFF_FFFF_FFFF_FFFF
        self._drawn = 0

    def uniform(self, *shape: int) -> Floats:
        """Numbers in [0, 1)."""
        size = int(np.prod(shape))
        counter = np.arange(self._drawn + 1, self._drawn + 1 + size, dtype=np.uint64)
        self._drawn += size
        key = _mix(np.array([self._seed], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        bits = _mix(counter * np.uint64(0x9E3779B97F4A7C15) + key) >> np.uint64(11)
        return (bits.astype(np.float64) * 2.0**-53).reshape(shape)

    def between(self, low: float, high: float, *shape: int) -> Floats:
        """Numbers in [low, high)."""
        return low + (high - low) * self.uniform(*shape)

    def directions(self, count: int) -> Floats:
        """Unit vectors, nearly isotropic: the sum of four uniform numbers is nearly normal."""
        four = self.uniform(4, count, 3)
        return _unit(four[0] + four[1] + four[2] + four[3] - 2.0)


def _unit(vectors: Floats) -> Floats:
    z, y, x = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    lengths = np.sqrt(z * z + y * y + x * x)
    return vectors / np.maximum(lengths, 1e-9)[:, None]


# ---------------------------------------------------------------------------------------
# Curves


def _grow(extent: Floats, random: _Random) -> tuple[Floats, Floats, Integers]:
    """Centres (n, 3), radii (n) and neurite numbers (n) of all balls."""
    volume = float(extent[0] * extent[1] * extent[2])
    surface = 2.0 * float(extent[0] * extent[1] + extent[1] * extent[2] + extent[0] * extent[2])
    chord = 4.0 * volume / surface  # the mean length of a line through a box (Cauchy)
    grown: list[tuple[Floats, Floats, Integers]] = []
    count = 0

    bodies = int(volume * 4e-8 + random.uniform(1)[0])
    where = random.uniform(bodies, 3) * extent
    for body in range(bodies):
        # A body is a group of overlapping balls, so that it is not quite round.
        lobes = where[body] + random.directions(7) * random.between(0.0, 30.0, 7)[:, None]
        grown.append((lobes, random.between(38.0, 62.0, 7), np.full(7, count)))
        count += 1

    for kind in (DENDRITES, AXONS):
        stretch = kind.radii[0] * STRIDE * kind.steps
        number = max(1, int(kind.share * volume / (kind.area * min(chord * 1.5, stretch * 1.2)) + 0.5))
        obstacles = np.concatenate([g[0][::4] for g in grown]) if grown else np.empty((0, 3))
        sizes = np.concatenate([g[1][::4] for g in grown]) if grown else np.empty(0)
        starts = random.uniform(number, 3) * extent
        mean = random.between(*kind.radii, number)
        directions = random.directions(number)
        numbers = np.arange(count, count + number)
        count += number
        trunks = [
            _walk(starts, sign * directions, mean, numbers, kind, obstacles, sizes, extent, random)
            for sign in (1.0, -1.0)
        ]
        centres, radii, owners = (np.concatenate(part) for part in zip(*trunks, strict=True))
        grown.append((centres, radii, owners))

        # Branches start at a ball of their parent, in a random direction and a little thinner.
        chosen = (random.uniform(int(number * kind.branches + 0.5)) * len(centres)).astype(np.int64)
        grown.append(
            _walk(
                centres[chosen],
                random.directions(len(chosen)),
                radii[chosen] * 0.75,
                owners[chosen],
                kind,
                obstacles,
                sizes,
                extent,
                random,
            )
        )
        if kind is DENDRITES:
            grown.append(_spines(centres, radii, owners, random))

    centres, radii, owners = (np.concatenate(part) for part in zip(*grown, strict=True))
    return centres, radii, owners.astype(np.int64)


def _walk(
    starts: Floats,
    directions: Floats,
    mean_radii: Floats,
    numbers: Integers,
    kind: _Kind,
    obstacles: Floats,
    sizes: Floats,
    extent: Floats,
    random: _Random,
) -> tuple[Floats, Floats, Integers]:
    """Grow one curve from each start, all at once, around the obstacles and out of the box.

    ``obstacles`` (n, 3) and ``sizes`` (n) are the balls of thicker neurites.
    """
    number = len(starts)
    position, direction = starts.copy(), directions.copy()
    wander = np.zeros((number, 3))
    stride = mean_radii * STRIDE
    calibre_from, calibre_to = random.between(0.7, 1.3, number), random.between(0.7, 1.3, number)
    length = (kind.steps * random.between(0.3, 1.0, number)).astype(np.int64)
    alive = np.ones(number, dtype=np.bool_)
    centres, radii, owners = [], [], []
    for step in range(kind.steps):
        # The calibre changes smoothly between random values, with a new one every eight steps.
        phase = step % 8 / 8.0
        if phase == 0.0 and step:
            calibre_from, calibre_to = calibre_to, random.between(0.6, 1.4, number)
        swing = calibre_from + (calibre_to - calibre_from) * (phase * phase * (3.0 - 2.0 * phase))
        radius = mean_radii * swing
        margin = radius[:, None] + 12.0
        inside = ((position > -margin) & (position < extent + margin)).all(axis=1)
        alive &= inside & (step < length)
        if not alive.any():
            break
        centres.append(position[alive])
        radii.append(radius[alive])
        owners.append(numbers[alive])
        wander = wander * 0.8 + (random.uniform(number, 3) - 0.5) * kind.bend
        push = np.zeros((number, 3))
        push[alive] = _avoid(position[alive], radius[alive], obstacles, sizes)
        direction = _unit(direction + wander + push)
        position = position + direction * stride[:, None]
    if not centres:
        return np.empty((0, 3)), np.empty(0), np.empty(0, dtype=np.int64)
    return np.concatenate(centres), np.concatenate(radii), np.concatenate(owners)


def _avoid(position: Floats, radius: Floats, obstacles: Floats, sizes: Floats) -> Floats:
    """A push away from the nearest obstacle, which grows with the depth of a tip in it."""
    if not len(obstacles):
        return np.zeros_like(position)
    z, y, x = (position[:, None, axis] - obstacles[None, :, axis] for axis in range(3))
    gap = np.sqrt(z * z + y * y + x * x) - sizes[None, :]
    nearest = gap.argmin(axis=1)
    rows = np.arange(len(position))
    depth = np.clip(1.0 - gap[rows, nearest] / (radius * 2.0), 0.0, 2.0)
    away = _unit(np.stack([axis[rows, nearest] for axis in (z, y, x)], axis=1))
    push: Floats = away * (depth * 0.35)[:, None]
    return push


def _spines(
    centres: Floats, radii: Floats, owners: Integers, random: _Random
) -> tuple[Floats, Floats, Integers]:
    """Short thin necks that end in a head, along the dendrites."""
    chosen = np.flatnonzero(random.uniform(len(centres)) < 0.35)
    outward = random.directions(len(chosen))
    reach = random.between(7.0, 16.0, len(chosen))
    spine_centres, spine_radii = [], []
    for along, radius in ((0.0, 3.5), (0.33, 3.5), (0.66, 4.0), (1.0, 7.0)):
        distance = radii[chosen] + reach * along
        spine_centres.append(centres[chosen] + outward * distance[:, None])
        spine_radii.append(np.full(len(chosen), radius))
    return np.concatenate(spine_centres), np.concatenate(spine_radii), np.tile(owners[chosen], 4)


# ---------------------------------------------------------------------------------------
# The diagram


@dataclass
class _Balls:
    """Balls in quarters of a voxel.

    Attributes:
        centres: (3, n).
        squares: (n), squared radii.
        owners: (n), the neurite of each ball.
    """

    centres: Integers
    squares: Integers
    owners: Integers

    def __getitem__(self, chosen: Any) -> _Balls:
        return _Balls(self.centres[:, chosen], self.squares[chosen], self.owners[chosen])

    def possible(self, begin: Integers, end: Integers) -> _Balls:
        """The balls that may own some voxel in or near the box [begin, end).

        The difference of two balls' distances is linear in space, so over a box its minimum is at a
        corner. A ball drops out if another one is nearer in the whole box. It is compared with three
        others: the owners of the middle and of two opposite corners.
        """
        low, high = (begin - NODE) * UNITS, (end + NODE) * UNITS
        middle, half = (low + high) // 2, (high - low + 1) // 2 + 1
        balls = self
        for point in (middle, low, high):
            owner = int(balls._distances(point).argmin())
            from_middle = balls._distances(middle)
            z, y, x = np.abs(balls.centres - balls.centres[:, owner, None]) * half[:, None]
            balls = balls[from_middle - from_middle[owner] <= 2 * (z + y + x)]
        return balls

    def _distances(self, point: Integers) -> Integers:
        """Squared distances to ``point`` minus squared radii, which the diagram compares."""
        z, y, x = self.centres - point[:, None]
        distances: Integers = z * z + y * y + x * x - self.squares
        return distances

    def winners(self, begin: Integers, end: Integers) -> _Balls:
        """The balls that own a node of a grid in and around the box [begin, end)."""
        return self[np.unique(self.nearest(begin - NODE, end + NODE, step=NODE))]

    def nearest(self, begin: Integers, end: Integers, step: int) -> Integers:
        """For each ``step``-th voxel of the box [begin, end), the index of the ball that owns it."""
        # One integer holds distance and index, so that one minimum finds both. The balls are the last axis:
        # it is the longest, which makes NumPy's inner loops long.
        count = len(self.squares)
        bits = max(1, (count - 1).bit_length())
        squares = []
        for axis in range(3):
            at = np.arange(begin[axis], end[axis], step) * UNITS[axis]
            away = at[:, None] - self.centres[axis]
            squares.append((away * away) << bits)
        index = np.arange(count) - (self.squares << bits)
        plane = squares[0][:, None, :] + (squares[1] + index)[None, :, :]
        row = squares[2]
        if max(abs(int(plane.min())), int(plane.max()) + int(row.max())) < 2**31:
            plane, row = plane.astype(np.int32), row.astype(np.int32)
        best = (plane[:, :, None, :] + row).min(axis=-1)
        winners: Integers = (best & ((1 << bits) - 1)).astype(np.int64)
        return winners


def _blocks(
    balls: _Balls, begin: Integers, end: Integers, edge: int
) -> Iterator[tuple[Integers, Integers, _Balls]]:
    """Cut the box [begin, end) into blocks, each with the balls that own its voxels.

    Boxes with an edge of ``edge`` voxels are halved repeatedly, so that most balls drop out while there are
    few boxes.
    """
    for corner in np.ndindex(*(int(count) for count in -(-(end - begin) // edge))):
        low = begin + np.array(corner, dtype=np.int64) * edge
        high = np.minimum(low + edge, end)
        possible = balls.possible(low, high)
        if edge > BLOCK:
            yield from _blocks(possible, low, high, edge // 2)
        else:
            yield low, high, possible.winners(low, high)


def _names(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Labels for neurites 0 .. count - 1: scattered and large, like segment ids.

    Multiplying by an odd factor permutes the numbers modulo a power of two, so labels differ as long as the
    dtype has enough values.
    """
    numbers = np.arange(1, count + 1, dtype=np.uint64)
    if dtype.itemsize == 8:
        scattered = (numbers * np.uint64(0x9E3779B1)) & np.uint64(2**30 - 1)
        return (scattered + np.uint64(720_575_940_000_000_000)).astype(dtype)
    room = int(np.iinfo(dtype).max)
    return ((numbers * np.uint64(0x9E3779B1)) & np.uint64(room)).astype(dtype)


def _scatter_background(labels: npt.NDArray[Any], seed: int) -> None:
    """Set one in sixteen of the voxels left of a border to 0, as in automatic segmentations."""
    row = np.arange(labels.shape[1] * labels.shape[2], dtype=np.uint64).reshape(labels.shape[1:])
    for z, plane in enumerate(labels):
        key = np.array([(seed + 1) * 0x2545F4914F6CDD1D + (z << 40) & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64)
        stray = _mix(row + _mix(key)) >> np.uint64(60) == 0
        border = np.zeros(plane.shape, dtype=np.bool_)
        border[:, :-1] = plane[:, 1:] != plane[:, :-1]
        plane[border & stray] = 0
