"""Targets for skeletons from points near a label, such as synapses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .objects import Volume, label_runs
from .progress import Progress

Point = tuple[int, int, int]


def synapses_to_targets(
    labels: Volume,
    synapses: Mapping[int, Iterable[tuple[Sequence[float], int]]],
    progress: bool = False,
) -> dict[Point, int]:
    """The voxel of a label that is nearest to each point, as targets for ``skeletonize``.

    Args:
        labels: the volume, as for ``skeletonize``.
        synapses: by label, pairs of a point (x, y, z), in voxels, and the SWC type that it stands for.
        progress: show a bar on stderr.

    Returns:
        A dict voxel -> SWC type, whose keys are targets: ``extra_targets_after=found.keys()``. Distances are
        in voxels, without anisotropy; of voxels that are equally near, it is the first by z, y and x. Labels
        that the volume does not have are left out; a later point at the same voxel overwrites an earlier one.

    Raises:
        ValueError: a point is not three finite numbers.

    Complexity: for each point, linear in the runs of its label.
    """
    given = {int(label): list(points) for label, points in synapses.items()}
    numbers, runs, _ = label_runs(labels, given)
    found: dict[Point, int] = {}
    with Progress(progress, len(given), " labels") as show:
        for done, (label, points) in enumerate(given.items(), start=1):
            own = runs.of(numbers[label]) if label in numbers else None
            for point, kind in points:
                centre = np.asarray(point, np.float64)
                if centre.shape != (3,) or not np.isfinite(centre).all():
                    raise ValueError(f"a point is three numbers x, y and z, not {point!r}")
                if own is None:
                    continue
                # In a run, the nearest voxel lies at the rounded x, as far as the run goes; of two, the
                # first.
                x = np.clip(
                    np.ceil(centre[0] - 0.5), own["x"].astype(np.int64), own["end"].astype(np.int64) - 1
                )
                away = (x - centre[0]) ** 2 + (own["y"] - centre[1]) ** 2 + (own["z"] - centre[2]) ** 2
                best = int(np.argmin(away))
                found[int(x[best]), int(own["y"][best]), int(own["z"][best])] = kind
            show(done)
    return found
