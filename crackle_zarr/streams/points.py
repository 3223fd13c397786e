"""Points and one label: whether the label encloses them, and their distances from its boundary."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import holds, integer
from . import stream
from .neighbours import three_sizes
from .objects import point_cloud
from .ranges import consecutive
from .stream import Source, reader_of


def select_enclosed_points(
    binary: Source, label: int, points: npt.ArrayLike, parallel: int = 0
) -> npt.NDArray[np.bool_]:
    """Whether each of some points lies in a label.

    Args:
        binary: the stream.
        label: the label; if the volume lacks it, no point lies in it.
        points: N x 3 numbers (x, y, z), in voxels. A point belongs to the voxel that it is rounded down to.
        parallel: threads; 0 is one per core.

    Returns:
        N bools. A point outside the volume lies in no label, and neither does NaN.

    Raises:
        ValueError: ``points`` is not N x 3.
        TypeError: ``points`` are not real numbers.
    """
    threads = _binding.threads(parallel)
    wanted = integer("label", label)
    places = np.floor(_points(points))
    reader = reader_of(binary)
    head = reader.header
    inside = np.zeros(len(places), dtype=np.bool_)
    within = ((places >= 0) & (places < np.array(head.shape))).all(axis=1)
    if not within.any() or not holds(head.dtype, wanted):
        return inside
    voxels = places[within].astype(np.int64)
    table = reader.table()
    values = (table == table.dtype.type(wanted)).astype(np.uint64)
    has = reader.slices_with(values != 0)
    found = np.zeros(len(voxels), dtype=np.bool_)
    order = np.argsort(voxels[:, 2], kind="stable")
    zs = voxels[order, 2]
    touched = np.unique(zs)
    for z_start, z_end in consecutive(touched[has[touched]]):
        for start, end in stream.slabs(head, z_start, z_end, 1):
            slab = stream.empty_volume((head.sx, head.sy, end - start), np.dtype(np.uint8), "F")
            reader.decode(slab, start, end, values=values, parallel=threads)
            some = order[np.searchsorted(zs, start) : np.searchsorted(zs, end)]
            x, y, z = voxels[some].T
            found[some] = slab[x, y, z - start] != 0
    inside[within] = found
    return inside


def _points(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(points)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"points are real numbers, not {array.dtype}")
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 3)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"points are N x 3 numbers, x, y and z, and not of shape {array.shape}")
    return array.astype(np.float64)


def signed_distance_to_boundary(
    binary: Source,
    label: int,
    points: npt.ArrayLike,
    anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0),
    parallel: int = 0,
    z_chunk: int = 100,
    progress: bool = False,
) -> npt.NDArray[np.float64]:
    """The distances of points from the boundary of a label, negative inside.

    As in a distance transform, this is the Euclidean distance to the nearest voxel on the other side, and
    voxels lie at their integer coordinates. From a point inside, it is the distance to the nearest voxel of
    another label or beyond the volume; from a point outside, to the nearest voxel of the label.
    :func:`select_enclosed_points` decides whether a point is inside.

    Args:
        binary: the stream.
        label: the label; if the volume lacks it, all distances are infinite.
        points: N x 3 numbers (x, y, z), in voxels.
        anisotropy: the size of a voxel along x, y and z; the distance has its unit.
        parallel: threads; 0 is one per core.
        z_chunk: accepted for compatibility with crackle-codec; memory holds the label's surface.
        progress: accepted for compatibility with crackle-codec.

    Returns:
        N float64; NaN for points with a NaN.

    Raises:
        ImportError: SciPy is not installed: ``pip install 'crackle-zarr[distance]'``.
        ValueError: ``points`` is not N x 3, or ``anisotropy`` is not three positive numbers.
        TypeError: ``points`` are not real numbers.

    A k-d tree of the label's surface gives the nearest voxel, in O((N + surface) log surface).
    """
    sizes = np.array(three_sizes(anisotropy))
    wanted = integer("label", label)
    places = _points(points)
    distances = np.full(len(places), np.inf)
    if not len(places) or not stream.contains(binary, wanted):
        _tree_class()
        return distances
    inside = select_enclosed_points(binary, wanted, places, parallel)
    # The nearest voxel lies at the surface: from any other, a step towards the point leads to a nearer one.
    # There is one exception. A point belongs to the voxel that it is rounded down to, while the voxel that it
    # is rounded to is nearer, and may be on the other side.
    surface = point_cloud(binary, wanted, parallel=parallel).astype(np.int64)
    finite = np.isfinite(places).all(axis=1)
    nearest = np.rint(places)
    crosses = (select_enclosed_points(binary, wanted, nearest, parallel) != inside) & finite
    near = np.full(len(places), np.inf)
    near[crosses] = np.sqrt((((nearest[crosses] - places[crosses]) * sizes) ** 2).sum(axis=1))
    for side, voxels in ((False, surface), (True, None)):
        some = (inside == side) & finite
        if not some.any():
            continue
        if voxels is None:
            voxels = _around(binary, wanted, surface, parallel)
        tree = _tree_class()(voxels * sizes)
        found, _ = tree.query(places[some] * sizes)
        distances[some] = np.minimum(found, near[some])
    distances[inside] *= -1
    distances[np.isnan(places).any(axis=1)] = np.nan
    return distances


def _around(
    binary: Source, label: int, surface: npt.NDArray[np.int64], parallel: int
) -> npt.NDArray[np.int64]:
    """The voxels of other labels beside the surface of a label; some are beyond the volume."""
    steps = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    beside = np.unique((surface[:, None, :] + steps).reshape(-1, 3), axis=0)
    return beside[~select_enclosed_points(binary, label, beside, parallel)]


def _tree_class() -> Any:
    try:
        return importlib.import_module("scipy.spatial").cKDTree
    except ImportError:
        raise ImportError(
            "distances need SciPy: pip install 'crackle-zarr[distance]', or pip install scipy"
        ) from None
