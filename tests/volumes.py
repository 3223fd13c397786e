"""Small label volumes (x, y, z) shared by tests; the same in every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def balls() -> Array:
    """Overlapping balls of 12 labels in a background of 0."""
    rng = np.random.default_rng(1)
    volume = np.zeros((30, 26, 12), np.uint32, order="F")
    x, y, z = np.indices(volume.shape)
    for label in range(1, 13):
        cx, cy, cz = (rng.integers(0, n) for n in volume.shape)
        inside = (x - cx) ** 2 + (y - cy) ** 2 + (2 * (z - cz)) ** 2 < rng.integers(9, 60)
        volume[inside] = label * 1000
    return volume


def cells(shape: tuple[int, int, int] = (32, 28, 9), count: int = 30, dtype: str = "u4") -> Array:
    """Cells: every voxel has the label of the nearest of some random points."""
    rng = np.random.default_rng(2)
    points = rng.random((count, 3)) * shape
    labels = rng.choice(100_000, count, replace=False)
    grid = np.stack(np.indices(shape), axis=-1)[..., None, :]
    nearest = np.argmin(((grid - points) ** 2).sum(axis=-1), axis=-1)
    return np.asfortranarray(labels[nearest].astype(dtype))


def noise(labels: int, shape: tuple[int, int, int] = (17, 13, 5), dtype: str = "u2") -> Array:
    """Every voxel has a random label."""
    return np.asfortranarray(np.random.default_rng(labels).integers(0, labels, shape).astype(dtype))


def checkerboard() -> Array:
    return np.asfortranarray((np.indices((10, 9, 4)).sum(axis=0) % 2).astype(np.uint8))


def constant() -> Array:
    return np.full((7, 6, 5), 513, np.uint16, order="F")


def stripes(axis: int) -> Array:
    """Planes of three labels in turn."""
    return np.asfortranarray((np.indices((8, 7, 6))[axis] % 3).astype(np.uint8))


def distinct(count: int, shape: tuple[int, int, int], dtype: str) -> Array:
    """``count`` different labels in shuffled order; the remaining voxels have label 0."""
    flat = np.zeros(shape[0] * shape[1] * shape[2], dtype)
    flat[:count] = np.random.default_rng(count).permutation(count)
    return flat.reshape(shape, order="F")


def stairs(shape: tuple[int, int, int] = (60, 60, 4)) -> Array:
    """Oblique stripes in all slices: so regular that a model of any order halves the codes."""
    x, y = np.indices(shape[:2])
    plane = ((x + y) // 2 % 3).astype(np.uint8)
    return np.asfortranarray(np.repeat(plane[:, :, None], shape[2], axis=2))


# Stairs large enough for a model of the order, 5 * 4**order / 8 bytes, to save more than it takes: an encoder
# leaves out a model that does not.
STAIRS_FOR_ORDER: dict[int, tuple[int, int, int]] = {
    **dict.fromkeys(range(6), (60, 60, 4)),
    **dict.fromkeys((6, 7, 8), (512, 512, 4)),
    9: (1024, 512, 4),
    10: (2048, 1024, 4),
    11: (2048, 2048, 8),
}


def rings() -> Array:
    """Concentric rings of different labels; none touches the volume's faces."""
    x, y, z = np.indices((21, 21, 3))
    return np.asfortranarray((np.maximum(abs(x - 10), abs(y - 10)) // 2 * (z + 1)).astype(np.uint16))


def spiral() -> Array:
    """One corridor that winds inwards: its boundary is one line without a fork."""
    size = 19
    image = np.zeros((size, size), np.uint8)
    x, y, dx, dy, length = 1, 1, 1, 0, size - 3
    image[x, y] = 1
    while length > 0:
        for _ in range(2):
            for _ in range(length):
                x, y = x + dx, y + dy
                image[x, y] = 1
            dx, dy = -dy, dx
        length -= 2
    return np.asfortranarray(np.repeat(image[:, :, None], 3, axis=2))


def nested() -> Array:
    """Holes within holes, and holes that touch at their corners only."""
    image = np.zeros((16, 15), np.uint8)
    image[1:14, 1:13] = 1
    image[3:12, 3:11] = 2
    image[4:6, 4:6] = 1
    image[6:8, 6:8] = 1
    image[8:10, 4:6] = 1
    image[6, 6] = 3
    image[7, 7] = 3
    image[14, 13] = 1
    image[15, 14] = 1
    return np.asfortranarray(np.stack([image, image[::-1], np.flip(image)], axis=2))


def diagonals() -> Array:
    """Single voxels that touch at corners: four cracks meet in most vertices."""
    x, y, z = np.indices((9, 9, 3))
    return np.asfortranarray(((x + y + z) % 3 == 0).astype(np.uint8))


def columns() -> Array:
    """Labels that run through 300 slices, so that the depth of pins needs more than one byte."""
    image = cells((9, 8, 1), 6)[:, :, 0]
    volume = np.repeat(image[:, :, None], 300, axis=2)
    volume[4, 4, 100] = 77
    return np.asfortranarray(volume)


def palette(labels: list[int], dtype: str) -> Array:
    """Cells with the given labels."""
    places = cells((14, 12, 5), len(labels) * 2, "u4")
    _, inverse = np.unique(places, return_inverse=True)
    return np.asfortranarray(np.array(labels, dtype)[inverse.reshape(places.shape) % len(labels)])


VOLUMES: dict[str, Callable[[], Array]] = {
    "balls": balls,
    "cells": cells,
    "noise of 2": lambda: noise(2, dtype="u1"),
    "noise of 2000": lambda: noise(2000, (25, 23, 6)),
    "checkerboard": checkerboard,
    "constant": constant,
    "stripes along x": lambda: stripes(0),
    "stripes along y": lambda: stripes(1),
    "stripes along z": lambda: stripes(2),
    "255 labels": lambda: distinct(255, (17, 8, 2), "u2"),
    "256 labels": lambda: distinct(256, (16, 8, 2), "u2"),
    "257 labels": lambda: distinct(257, (16, 9, 2), "u2"),
    "rings": rings,
    "spiral": spiral,
    "nested holes": nested,
    "diagonals": diagonals,
    "columns": columns,
    "single voxel": lambda: np.array([[[200]]], np.uint8),
    "two voxels": lambda: np.array([[[3]], [[4]]], np.uint8),
    "plane of x = 1": lambda: noise(3, (1, 9, 8)),
    "plane of y = 1": lambda: noise(3, (9, 1, 8)),
    "plane of z = 1": lambda: noise(3, (9, 8, 1)),
    "line along x": lambda: noise(3, (40, 1, 1)),
    "line along y": lambda: noise(3, (1, 40, 1)),
    "line along z": lambda: noise(3, (1, 1, 40)),
    "bool": lambda: noise(2, dtype="?"),
    "negative": lambda: palette([-1, 0, 1, -128, 127], "i1"),
    "negative, wide": lambda: palette([-32769, -1, 0, 5, 40_000], "i4"),
    "signed extremes": lambda: palette([-(2**63), -(2**53) - 1, -1, 0, 2**53 + 1, 2**63 - 1], "i8"),
    "past 2^53": lambda: palette([0, 2**53, 2**53 + 1, 2**53 + 2], "u8"),
    "past 2^63": lambda: palette([1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1], "u8"),
}

# Sizes at which a field width of the format changes: vertices per axis, voxels per slice and per volume.
EDGES: dict[str, Callable[[], Array]] = {
    "sx = 254": lambda: noise(2, (254, 2, 2)),
    "sx = 255": lambda: noise(2, (255, 2, 2)),
    "sx = 256": lambda: noise(2, (256, 2, 2)),
    "sy = 254": lambda: noise(2, (2, 254, 2)),
    "sy = 255": lambda: noise(2, (2, 255, 2)),
    "sy = 256": lambda: noise(2, (2, 256, 2)),
    "255 voxels per slice": lambda: noise(2, (15, 17, 2)),
    "256 voxels per slice": lambda: noise(2, (16, 16, 2)),
    "65,535 voxels": lambda: noise(2, (51, 257, 5)),
    "65,536 voxels": lambda: noise(2, (64, 64, 16)),
    "sx = 65,534": lambda: cells((65534, 1, 1), 9),
    "sx = 65,535": lambda: cells((65535, 1, 1), 9),
    "sx = 65,536": lambda: cells((65536, 1, 2), 9),
    "sy = 65,535": lambda: cells((1, 65535, 1), 9),
    "sy = 65,536": lambda: cells((1, 65536, 2), 9),
    "sz = 65,536": lambda: cells((1, 1, 65536), 9),
    "65,535 labels": lambda: distinct(65535, (255, 257, 1), "u4"),
    "65,536 labels": lambda: distinct(65536, (256, 256, 1), "u4"),
}
