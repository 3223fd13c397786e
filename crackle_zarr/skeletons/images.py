"""Skeletons from thinned images, and images of skeletons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .objects import with_three_axes
from .skeleton import Skeleton

# The 13 steps to neighbours of which one of two opposite ones is taken.
_STEPS = [
    (dx, dy, dz) for dz in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dz, dy, dx) > (0, 0, 0)
]


def extract_skeleton_from_binary_image(image: npt.NDArray[Any]) -> Skeleton:
    """The graph of a thinned image: its voxels, and an edge between any two that are neighbours (26).

    Loops and triangles stay. Voxels without neighbours are left out. Coordinates are voxels; radii are not
    known (-1).

    Args:
        image: up to three axes (x, y, z) of integers or bool; 0 is the background.

    Raises:
        TypeError: the image is not of integers or bool.
        DimensionError: more than three axes are longer than 1.

    Complexity: linear in the voxels that are not 0, but for sorting them.
    """
    volume = with_three_axes(np.asarray(image))
    voxels = np.argwhere(volume != 0).astype(np.int64)
    shape = np.array(volume.shape, np.int64) + 2  # with a rim, so that a step does not lead into another row
    places = ((voxels[:, 0] + 1) * shape[1] + voxels[:, 1] + 1) * shape[2] + voxels[:, 2] + 1  # ascending
    edges = [np.zeros((0, 2), np.int64)]
    for dx, dy, dz in _STEPS:
        step = (dx * shape[1] + dy) * shape[2] + dz
        found = np.searchsorted(places, places + step)
        found[found == len(places)] = 0
        there = np.flatnonzero(places[found] == places + step) if len(places) else found
        edges.append(np.column_stack([there, found[there]]))
    return Skeleton(voxels, np.concatenate(edges).astype(np.uint32), space="voxel").consolidate()


def draw_skeletons(
    skeletons: Sequence[Skeleton], shape: Sequence[int] | None = None, labels: Sequence[int] | None = None
) -> npt.NDArray[Any]:
    """An image (x, y, z) in which the voxels along the edges of skeletons have labels.

    Args:
        skeletons: in voxel space, or with a transform that leads there.
        shape: of the image; None: up to the last voxel of a skeleton.
        labels: of each skeleton; None: their ids, or 1 for one that has none.

    Raises:
        ValueError: a vertex lies outside the image.
    """
    drawn = [_voxels(one) for one in skeletons]
    names = [1 if one.id is None else one.id for one in skeletons] if labels is None else list(labels)
    if shape is None:
        tops = [one.max(axis=0) for one in drawn if len(one)]
        shape = (np.max(tops, axis=0) + 1).tolist() if tops else (1, 1, 1)
    for one in drawn:
        outside = ((one < 0) | (one >= np.array(shape))).any(axis=1)
        if outside.any():
            first = tuple(one[np.flatnonzero(outside)[0]].tolist())
            raise ValueError(
                f"a skeleton has the voxel {first}, which is outside an image of the shape {tuple(shape)}"
            )
    dtype = np.result_type(np.uint8, *(np.min_scalar_type(name) for name in names))
    image = np.zeros(tuple(shape), dtype, order="F")
    for one, name in zip(drawn, names, strict=True):
        image[tuple(one.T)] = name
    return image


def _voxels(skeleton: Skeleton) -> npt.NDArray[np.int64]:
    """The voxels of all vertices, and along all edges."""
    places = skeleton.voxel_space().vertices.astype(np.float64)
    parts = [np.rint(places).astype(np.int64)]
    if len(skeleton.edges):
        a, b = np.rint(places[skeleton.edges[:, 0]]), np.rint(places[skeleton.edges[:, 1]])
        steps = np.abs(b - a).max(axis=1).astype(np.int64)
        which = np.repeat(np.arange(len(steps)), np.maximum(steps - 1, 0))
        first = np.cumsum(np.maximum(steps - 1, 0)) - np.maximum(steps - 1, 0)
        along = (np.arange(len(which)) - first[which] + 1) / steps[which]
        parts.append(np.rint(a[which] + along[:, None] * (b - a)[which]).astype(np.int64))
    return np.unique(np.concatenate(parts), axis=0)
