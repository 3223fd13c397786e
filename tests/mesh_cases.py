"""Volumes for the tests of meshes, and meshes as sets of triangles, which can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import TransposeCodec

import crackle_zarr as cz
from crackle_zarr.meshes import Mesh
from crackle_zarr.synthetic import neurons

pytest.importorskip("zmesh")

# Tiles of a few chunks.
SMALL = 2**20


def seg() -> np.ndarray:
    """Labels with the axes z, y and x; some are cut by the ends of the volume."""
    _, numbers = np.unique(neurons((24, 40, 44), seed=3), return_inverse=True)
    return numbers.reshape(24, 40, 44).astype(np.uint32)


def triangles(mesh: Mesh) -> np.ndarray:
    """The triangles of a mesh that was made without voxel size, as numbers, in ascending order."""
    corners = np.round(mesh.vertices.astype(np.float64) * 2).astype(np.int64)[mesh.faces]
    numbers = corners @ np.array([1, 10**5, 10**10])
    # The order of corners tells inside from outside; each triangle begins with its lowest.
    first = numbers.argmin(axis=1)
    turned = np.take_along_axis(numbers, (first[:, None] + np.arange(3)) % 3, axis=1)
    return turned[np.lexsort(turned.T)]


def same(a: dict[int, Mesh], b: dict[int, Mesh]) -> bool:
    """Whether two sets of meshes have the same labels and triangles, and no vertex twice."""
    return list(a) == list(b) and all(
        len(a[label].vertices) == len(b[label].vertices)
        and np.array_equal(triangles(a[label]), triangles(b[label]))
        for label in a
    )


def v3(voxels: np.ndarray, **more: Any) -> zarr.Array:
    """An array of format 3 in chunks of 8 x 16 x 16."""
    return cz.create_array({}, data=voxels, **{"chunks": (8, 16, 16), **more})


def v2(voxels: np.ndarray) -> zarr.Array:
    """An array of format 2."""
    return v3(voxels, zarr_format=2)


def shards(voxels: np.ndarray) -> zarr.Array:
    """An array with chunks in shards."""
    return v3(voxels, shards=(16, 32, 32))


def transposed(voxels: np.ndarray) -> zarr.Array:
    """An array whose chunks are transposed before they are encoded."""
    array = zarr.create_array(
        {},
        shape=voxels.shape,
        dtype=voxels.dtype,
        chunks=(8, 16, 16),
        filters=[TransposeCodec(order=(2, 0, 1))],
        serializer=cz.CrackleCodec(),
        compressors=None,
    )
    array[:] = voxels
    return array


def axes_xyz(voxels: np.ndarray) -> zarr.Array:
    """An array with the axes x, y, z."""
    return v3(np.ascontiguousarray(voxels.T), chunks=(16, 16, 8), dimension_names=("x", "y", "z"))


def zstd(voxels: np.ndarray) -> zarr.Array:
    """An array of another codec."""
    array = zarr.create_array({}, shape=voxels.shape, dtype=voxels.dtype, chunks=(8, 16, 16))
    array[:] = voxels
    return array


KINDS: list[Callable[[np.ndarray], zarr.Array]] = [v3, v2, shards, transposed, axes_xyz, zstd]
