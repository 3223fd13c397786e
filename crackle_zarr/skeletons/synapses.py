"""Points near objects, such as synapses, as targets of skeletons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base.integers import integer
from .labels import runs_of_labels
from .objects import Volume
from .progress import Progress


def synapses_to_targets(
    labels: Volume,
    synapses: Mapping[int, Iterable[tuple[Sequence[float], int]]],
    progress: bool | Callable[[int, int], None] = False,
) -> dict[tuple[int, int, int], int]:
    """For each synapse of a label, the nearest voxel of the label.

    Pass the result to :func:`skeletonize` as ``extra_targets_after``, and paths lead there.

    Args:
        labels: an array with up to three axes (x, y, z), a stream or a CrackleArray, as for
            :func:`skeletonize`. The labels of a stream are never decoded to voxels.
        synapses: per label, pairs of a point (x, y, z) in voxels, which may have fractions, and a number that
            stands for the kind of synapse, such as one of SWC's types.
        progress: True shows a bar on stderr; a function gets (labels done, labels in all).

    Returns:
        A dict voxel (x, y, z) -> number. Distances are in voxels, not in physical units, as in Kimimaro; of
        voxels that are equally near, the one with the lowest z, then y, then x counts. Labels that the volume
        does not have are left out. Where two synapses have the same voxel, the later one counts.

    Raises:
        TypeError: a label or number is not an integer.
        ValueError: a point is not three finite numbers.

    Complexity:
        A step per run of voxels along x, for each synapse.
    """
    given = {integer("a label of synapses", label): _pairs(label, those) for label, those in synapses.items()}
    runs, _, _ = runs_of_labels(labels, list(given))
    targets: dict[tuple[int, int, int], int] = {}
    with Progress(progress, len(given), " labels") as show:
        for number, those in enumerate(given.values()):
            own = runs.of(number)
            if len(own):
                for point, kind in those:
                    targets[_nearest(own, point)] = kind
            show(number + 1)
    return targets


def _pairs(label: int, those: Iterable[Any]) -> list[tuple[npt.NDArray[np.float64], int]]:
    pairs = []
    for point, kind in those:
        place = np.asarray(point, np.float64)
        if place.shape != (3,) or not np.isfinite(place).all():
            raise ValueError(f"a synapse of label {label} is at a point (x, y, z), not at {point!r}")
        pairs.append((place, integer("the number of a synapse", kind)))
    return pairs


def _nearest(runs: npt.NDArray[Any], point: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    """The voxel of an object that is nearest to a point.

    The nearest voxel of a run is the nearest x, brought into the run. Runs are in the order z, y, x.
    """
    x = np.clip(np.ceil(point[0] - 0.5), runs["x"].astype(np.float64), runs["end"].astype(np.float64) - 1)
    distances = (x - point[0]) ** 2 + (runs["y"] - point[1]) ** 2 + (runs["z"] - point[2]) ** 2
    first = int(np.argmin(distances))
    return int(x[first]), int(runs["y"][first]), int(runs["z"][first])
