"""Volumes made from seeds with NumPy alone: the same voxels on every machine. Axes (x, y, z), F order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]

# The shape of generated volumes, or that of the given volume if it is smaller.
SMALL = (256, 256, 64)
NOISE_LABELS = 2000
# Distance between the points of supervoxels. Cut by the boundaries of connectomics, these have some 700
# voxels.
SUPERVOXEL = 16.5
# Boundary density of Voronoi cells, times the distance between their points.
CELL_DENSITY = 1.4
# Below this density, cells would have to be larger than the volume. A few smaller cells are kept instead.
SPARSE = 0.02
SPARSE_SPACING = 16
# Above this density, noise adds boundaries.
DENSE = 0.25


def noise(shape: Shape, seed: int = 0) -> np.ndarray:
    """One of 2,000 labels at random in every voxel: only the range of the labels can be compressed."""
    numbers = np.random.default_rng(seed).integers(NOISE_LABELS, size=shape[::-1], dtype=np.uint32)
    return numbers.T


def cells(shape: Shape, spacing: float, seed: int = 0) -> Iterator[np.ndarray]:
    """The slices of a Voronoi partition, as numbers of cells.

    Each block of ``spacing``^3 has one point at random. A voxel belongs to the nearest point of the 27 blocks
    around it.
    """
    blocks = [math.ceil(n / spacing) + 2 for n in shape]  # one more at either end
    points = np.random.default_rng(seed).random((3, *blocks))
    points = ((points + np.indices(blocks) - 1) * spacing).astype(np.float32)
    x, y, _ = places = [np.arange(n, dtype=np.float32) for n in shape]
    first_x, first_y, first_z = [(place // spacing).astype(np.intp) for place in places]
    around = list(itertools.product(range(3), repeat=3))
    steps = np.ravel_multi_index(np.transpose(around), blocks).astype(np.uint32)
    for z in range(shape[2]):
        nearest = np.full(shape[:2], np.inf, dtype=np.float32)
        which = np.zeros(shape[:2], dtype=np.uint8)
        for number, (dx, dy, dz) in enumerate(around):
            block_x, block_y = first_x + dx, first_y + dy
            px, py, pz = points[:, :, :, first_z[z] + dz]
            along_x = (x[:, np.newaxis] - px[block_x]) ** 2 + (z - pz[block_x]) ** 2  # (x, block)
            along_y = (y - py[:, block_y]) ** 2  # (block, y)
            distance = along_x.take(block_y, axis=1)
            distance += along_y.take(block_x, axis=0)
            np.copyto(which, number, where=distance < nearest)
            np.minimum(nearest, distance, out=nearest)
        first = np.ravel_multi_index((first_x[:, np.newaxis], first_y, first_z[z]), blocks)
        yield first.astype(np.uint32) + steps[which]


def voronoi(shape: Shape, spacing: float, seed: int = 0) -> np.ndarray:
    volume = np.empty(shape, dtype=np.uint32, order="F")
    for z, numbers in enumerate(cells(shape, spacing, seed)):
        volume[:, :, z] = numbers
    return volume


def scattered(numbers: np.ndarray) -> np.ndarray:
    """Distinct numbers for distinct numbers, spread over the range of 64 bits: the finish of SplitMix64."""
    numbers = numbers.astype(np.uint64)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def oversegmented(volume: np.ndarray, seed: int = 0) -> np.ndarray:
    """Supervoxels from which a volume could have been agglomerated: uint64, with labels all over the range.

    A supervoxel is the intersection of one label and one Voronoi cell.
    """
    supervoxels = np.empty(volume.shape, dtype=np.uint64, order="F")
    for z, numbers in enumerate(cells(volume.shape, SUPERVOXEL, seed)):
        supervoxels[:, :, z] = scattered(scattered(volume[:, :, z]) + numbers)
    return supervoxels


def with_density(shape: Shape, density: float, seed: int = 0) -> np.ndarray:
    """A uint32 volume in which about this fraction of the neighbours within slices differ.

    0 is one label alone, and 1 is noise. Between them are Voronoi cells: the denser the smaller. The least
    dense have some cells in a background, and the densest have noise in some of their voxels.
    """
    if density == 0:
        return np.ones(shape, dtype=np.uint32, order="F")
    spacing = SPARSE_SPACING if density < SPARSE else CELL_DENSITY / min(density, DENSE)
    volume = voronoi(shape, spacing, seed)
    random = np.random.default_rng(seed + 1)
    if density < SPARSE:
        numbers = np.arange(1 + int(volume.max()), dtype=np.uint32)
        kept = random.random(len(numbers)) < 1 - math.sqrt(1 - density * spacing / CELL_DENSITY)
        volume = np.where(kept, numbers, 0)[volume]
    elif density > DENSE:
        noisy = random.random(shape) < 1 - math.sqrt((1 - density) / (1 - DENSE))
        volume = np.where(noisy, noise(shape, seed + 2), volume)
    return np.asfortranarray(volume)


def corner(volume: np.ndarray, shape: Shape) -> np.ndarray:
    """The far corner of a volume, at most the whole: in connectomics it is as dense as the rest."""
    places = tuple(slice(max(0, have - want), have) for have, want in zip(volume.shape, shape, strict=True))
    return np.asfortranarray(volume[places])


def boundary_density(volume: np.ndarray) -> float:
    """The fraction of neighbours along x and y that differ."""
    differing = [int((np.diff(volume, axis=axis) != 0).sum()) for axis in (0, 1)]
    pairs = [volume.size // volume.shape[axis] * (volume.shape[axis] - 1) for axis in (0, 1)]
    return sum(differing) / max(1, sum(pairs))


class Dendrite(NamedTuple):
    shape: Shape
    radius: float
    spines: int
    centres: np.ndarray  # (n, 3), along the middle of the branch
    slices: Iterator[np.ndarray]


def dendrite(scale: float = 1, spines: int = 600, seed: int = 0) -> Dendrite:
    """A branch that winds along y, with spines: as balls, and as slices (x, y) of 0 and 1 in uint8.

    At scale 1 the box has 775 x 4,750 x 100 voxels, and the branch a radius of 11.
    """
    shape = (round(775 * scale), round(4750 * scale), round(100 * scale))
    radius = 11.0 * scale
    rng = np.random.default_rng(seed)
    y = np.arange(0, shape[1], max(1.0, radius / 8))
    turn = 2 * np.pi * y / shape[1]
    x = shape[0] * (0.5 + 0.3 * np.sin(2.5 * turn + 1))
    z = shape[2] * (0.5 + 0.12 * np.sin(7 * turn))
    centres = np.stack([x, y, z], axis=1)
    balls = [np.column_stack([centres, np.full(len(y), radius)])]
    for place in rng.integers(len(y), size=spines):
        angle = rng.choice([0, np.pi]) + rng.uniform(-0.6, 0.6)  # the box is thin along z
        outwards = np.array([np.cos(angle), rng.uniform(-0.3, 0.3), 0.5 * np.sin(angle)])
        length = radius * rng.uniform(1.6, 4.5)
        steps = np.arange(radius * 0.8, length, max(0.4, 0.6 * scale))[:, np.newaxis]
        neck = centres[place] + steps * outwards
        balls.append(np.column_stack([neck, np.full(len(neck), max(0.9, 1.8 * scale))]))
        balls.append(np.append(neck[-1], radius * rng.uniform(0.3, 0.45))[np.newaxis])
    return Dendrite(shape, radius, spines, centres, slices_of_balls(np.concatenate(balls), shape))


def slices_of_balls(balls: np.ndarray, shape: Shape) -> Iterator[np.ndarray]:
    """The slices of a union of balls (x, y, z, radius)."""
    for z in range(shape[2]):
        image = np.zeros(shape[:2], dtype=np.uint8, order="F")
        near = balls[abs(balls[:, 2] - z) <= balls[:, 3]]
        halves = np.sqrt(near[:, 3] ** 2 - (near[:, 2] - z) ** 2)
        for (x, y, _, _), half in zip(near, halves, strict=True):
            across, along = np.ogrid[
                max(0, math.ceil(x - half)) : min(shape[0], math.floor(x + half) + 1),
                max(0, math.ceil(y - half)) : min(shape[1], math.floor(y + half) + 1),
            ]
            image[across, along] |= (across - x) ** 2 + (along - y) ** 2 <= half**2
        yield image


def jacks(voxels: int, total: int) -> tuple[np.ndarray, int]:
    """Three square bars that cross at right angles, of about so many voxels; side by side up to a total.

    Also the length of the bars, which are a third as wide.
    """
    side = max(6, round((voxels * 27 / 7) ** (1 / 3)))
    low, high = side // 3, side - side // 3
    one = np.zeros((side + 2, side + 2, side + 2), dtype=bool)
    inner = one[1:-1, 1:-1, 1:-1]
    inner[:, low:high, low:high] = inner[low:high, :, low:high] = inner[low:high, low:high, :] = True
    copies = max(1, total // voxels)
    volume = np.zeros((one.shape[0] * copies, *one.shape[1:]), dtype=np.uint32, order="F")
    for number in range(copies):
        volume[number * one.shape[0] :][: one.shape[0]][one] = number + 1
    return volume, side
