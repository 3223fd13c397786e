"""The objects of a label volume that skeletons are made of: its connected components, as runs.

A volume of voxels is compressed first, which takes a fraction of the time of tracing. From there on a stream and a
volume are the same, and no voxel is painted: the components and their runs come from the boundaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import integer_array
from ..streams import stream
from ..streams.stream import Source
from .errors import DimensionError

Volume = npt.NDArray[Any] | Source


@dataclass(frozen=True)
class Objects:
    """The connected components of a volume that are left after a choice, the largest first.

    Attributes:
        runs: their voxels.
        labels: per object, its label, as a Python int.
        voxels: per object, the number of its voxels.
        start: per object, the first corner of its bounding box, ``(n, 3)``.
        stop: per object, the corner behind the last voxel.
        shape: of the volume, with three axes.
        num_components: how many components the chosen labels have, those that were left out as dust included.
        dust: labels of which no component is left, and the voxels of the largest of them.
    """

    runs: _binding.Runs
    labels: list[int]
    voxels: npt.NDArray[np.uint64]
    start: npt.NDArray[np.uint32]
    stop: npt.NDArray[np.uint32]
    shape: tuple[int, int, int]
    num_components: int
    dust: dict[int, int]


def as_stream(labels: Volume, parallel: int) -> tuple[Any, type]:
    """The stream of labels with up to three axes, and the type of their labels: bool or int.

    Raises:
        TypeError: the labels are not integers or bool.
        DimensionError: there are more than three axes that are longer than 1.
    """
    if isinstance(labels, np.ndarray):
        volume = with_three_axes(labels)
        return stream.compress(volume, preset="fast", parallel=parallel), volume.dtype.type
    try:
        return stream.bytes_of(labels), int
    except TypeError:
        raise TypeError(
            f"labels are a NumPy array of integers or bool, a Crackle stream or a CrackleArray, "
            f"not {type(labels).__name__}"
        ) from None


def with_three_axes(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of labels with three axes: axes of length 1 are appended, or left out behind the third.

    Raises:
        TypeError: the labels are not integers or bool.
        DimensionError: there are more than three axes that are longer than 1.
    """
    if labels.dtype.kind not in "iub":
        raise TypeError(f"labels are integers or bool, not {labels.dtype}; convert them, as in labels.astype('u4')")
    if any(length != 1 for length in labels.shape[3:]):
        raise DimensionError(
            f"labels have up to three axes; these have {labels.ndim}, of the shape {labels.shape}"
        )
    shape = (*labels.shape[:3], *[1] * (3 - labels.ndim))
    return labels.reshape(shape, order="A")


def find_objects(
    labels: Volume,
    object_ids: Iterable[int] | None,
    dust_threshold: float,
    parallel: int,
) -> Objects:
    """Find the connected components (26 neighbours) with more than ``dust_threshold`` voxels.

    Args:
        labels: the volume.
        object_ids: labels to keep; None: all but 0.
        dust_threshold: in voxels.
        parallel: threads for compressing a volume.
    """
    binary, _ = as_stream(labels, parallel)
    head = stream.header(binary)
    components, bits = _binding.connected_components(binary, 26, False)
    names = bits.astype(np.int64) if head.dtype.kind == "i" else bits
    wanted = names != 0
    if object_ids is not None:
        ids = integer_array("object_ids", list(object_ids))
        wanted &= np.isin(names, ids.astype(names.dtype)) if len(ids) else False
    reader = _binding.Reader(components)
    table = reader.table().astype(np.int64)  # number of a component, from 1 on; 0 is the background
    extents = np.zeros(len(names) + 1, _binding.EXTENT)
    if reader.header.voxels():
        extents[table] = reader.measure(0, reader.header.sz)
    extents = extents[1:]
    is_large = extents["voxels"] > max(dust_threshold, 1) if dust_threshold == dust_threshold else False
    kept = np.flatnonzero(wanted & is_large)
    kept = kept[np.argsort(extents["voxels"][kept], kind="stable")[::-1]]
    objects = np.zeros(len(names) + 1, np.uint32)
    objects[kept + 1] = np.arange(1, len(kept) + 1, dtype=np.uint32)
    runs = _binding.Runs(reader, objects[table], len(kept))
    lost: dict[int, int] = {}
    for name, voxels in zip(names[wanted].tolist(), extents["voxels"][wanted].tolist(), strict=True):
        lost[name] = max(lost.get(name, 0), voxels)
    own = names[kept].tolist()
    for name in set(own):
        lost.pop(name, None)
    return Objects(
        runs,
        own,
        extents["voxels"][kept],
        extents["start"][kept],
        extents["stop"][kept],
        (head.sx, head.sy, head.sz),
        int(np.count_nonzero(wanted)),
        lost,
    )


def ranges(objects: Objects, parallel: int, most: int) -> list[int]:
    """Where to cut the objects into ranges for threads: large ones alone, small ones together."""
    total = float(objects.voxels.sum())
    goal = max(2.0**16, min(2.0**22, total / (8 * _binding.threads(parallel))))
    edges, voxels = [0], 0.0
    for number, size in enumerate(objects.voxels.tolist(), start=1):
        voxels += size
        if voxels >= goal or number - edges[-1] >= most or number == len(objects.labels):
            edges.append(number)
            voxels = 0.0
    return edges if len(edges) > 1 else [0, 0]


