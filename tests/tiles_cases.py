"""Arrays for the tests of skeletons of stored arrays, and what their skeletons are in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr import skeletons as tracing
from crackle_zarr.synthetic import neurons

pytest.importorskip("pyarrow")

SIZE = (16.0, 16.0, 40.0)
TEASAR = {"scale": 1.5, "const": 100.0}
DUST = 100
# The options that every call has, and the memory for tiles of 32 x 32 x 16 and of some chunks.
OPTIONS: dict[str, Any] = {"dust_threshold": DUST, "progress": False}
SMALL = 2**20


def seg() -> np.ndarray:
    """Labels with the axes z, y and x."""
    _, numbers = np.unique(neurons((40, 64, 64), seed=3), return_inverse=True)
    return numbers.reshape(40, 64, 64).astype(np.uint32)


def stored(place: Any, voxels: np.ndarray, **keywords: Any) -> zarr.Array:
    """An array of such labels, in chunks of 8 x 16 x 16."""
    given = {
        "chunks": (8, 16, 16),
        "dimension_names": ("z", "y", "x"),
        "attributes": {"voxel_size": list(SIZE[::-1]), "voxel_unit": "nanometer"},
        **keywords,
    }
    return cz.create_array(place, data=voxels, **given)


def in_memory(voxels: np.ndarray, **given: Any) -> dict[int, tracing.Skeleton]:
    """The skeletons of the whole volume in memory."""
    return tracing.skeletonize(voxels.T, TEASAR, SIZE, **{**OPTIONS, **given})


def components(voxels: np.ndarray) -> dict[int, int]:
    """Per label, its connected components (26 neighbours) with more voxels than dust."""
    ndimage = pytest.importorskip("scipy.ndimage")
    found = {}
    for label in np.unique(voxels[voxels != 0]).tolist():
        parts, count = ndimage.label(voxels == label, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.reshape(-1), minlength=count + 1)[1:]
        if (sizes > DUST).any():
            found[label] = int((sizes > DUST).sum())
    return found
