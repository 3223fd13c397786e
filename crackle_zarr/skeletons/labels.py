"""The voxels of labels, as runs, for measures along skeletons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..streams import stream
from .objects import Volume, as_stream
from .skeleton import Skeleton

Container = dict[int, Skeleton] | Sequence[Skeleton] | Skeleton


def by_label(skeletons: Any) -> list[tuple[int, Skeleton]]:
    """Each skeleton and its label: its id, or else its key in a dict.

    Raises:
        TypeError: something is not a Skeleton.
        ValueError: a skeleton has no id.
    """
    if isinstance(skeletons, dict):
        pairs = list(skeletons.items())
    elif isinstance(skeletons, Iterable) and not hasattr(skeletons, "vertices"):
        pairs = [(None, one) for one in skeletons]
    else:
        pairs = [(None, skeletons)]
    found = []
    for key, one in pairs:
        if not isinstance(one, Skeleton):
            raise TypeError(f"skeletons are of the class Skeleton, not {type(one).__name__}")
        label = key if one.id is None else one.id
        if label is None:
            raise ValueError(
                "a skeleton has no id, which is its label: set its id, or pass a dict label -> skeleton"
            )
        found.append((int(label), one))
    return found


def runs_of_labels(
    labels: Volume, wanted: Sequence[int], fill_holes: bool = False, is_binary: bool = False
) -> tuple[_binding.Runs, tuple[int, int, int], np.dtype[Any]]:
    """The voxels of some labels, in this order, and the shape and type of the volume.

    A label that the volume does not have has no runs; nor has 0, the background.

    Args:
        labels: an array with up to three axes, a stream or a CrackleArray; no voxel of a stream is painted.
        wanted: distinct labels.
        fill_holes: fill the voids of each.
        is_binary: treat all labels but 0 as the one that is wanted.
    """
    binary = as_stream(labels, 1)
    head = stream.header(binary)
    reader = _binding.Reader(binary)
    if not reader.header.voxels():
        return _binding.Runs.make(head.shape, [_no_runs() for _ in wanted]), head.shape, head.dtype
    table = reader.table().astype(head.dtype)
    objects = np.zeros(len(table), np.uint32)
    place = {label: number for number, label in enumerate(wanted, start=1)}
    for entry, label in enumerate(table.tolist()):
        objects[entry] = (1 if is_binary else place.get(int(label), 0)) if label else 0
    runs = _binding.Runs.read(reader, objects, len(wanted))
    if fill_holes:
        filled = [
            _binding.fill_voids(one) if len(one) else one for one in map(runs.of, range(runs.num_objects))
        ]
        runs = _binding.Runs.make(head.shape, filled)
    return runs, head.shape, head.dtype


def voxels_of(vertices: npt.NDArray[Any], space: str, size: tuple[float, float, float]) -> npt.NDArray[Any]:
    """Vertices in voxels, those that are voxels but for rounding without a fraction."""
    voxels = vertices.astype(np.float64)
    if space == "physical":
        voxels = voxels / np.array(size)
    nearest = np.rint(voxels)
    # float32 has a fraction of 2^-24 of what it stands for.
    return np.where(np.abs(voxels - nearest) <= 1e-3 + np.abs(nearest) * 2.0**-23, nearest, voxels)


def _no_runs() -> npt.NDArray[Any]:
    return np.zeros(0, _binding.RUN)
