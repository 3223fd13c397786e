"""Labels cut into the parts that belong to the vertices of their skeletons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .objects import Volume, label_runs, with_three_axes
from .parameters import flag, teasar_fields, voxel_size
from .progress import Progress
from .skeleton import Skeleton

Skeletons = Mapping[int, Skeleton] | Iterable[Skeleton] | Skeleton


def listed(skeletons: Skeletons) -> list[Skeleton]:
    """The skeletons of a dict, of any iterable, or a single one."""
    if isinstance(skeletons, Skeleton):
        return [skeletons]
    return list(skeletons.values() if isinstance(skeletons, Mapping) else skeletons)


def label_of(skeleton: Skeleton) -> int:
    """The label of a skeleton.

    Raises:
        ValueError: it has no id.
    """
    if skeleton.id is None:
        raise ValueError("a skeleton has no id; set skeleton.id to its label")
    return int(skeleton.id)


def voxels_of(skeleton: Skeleton, size: tuple[float, float, float]) -> npt.NDArray[np.int64]:
    """The voxels of the vertices, ``(n, 3)``."""
    places = skeleton.vertices if skeleton.space == "voxel" else skeleton.vertices / np.array(size)
    return np.rint(places).astype(np.int64)


def oversegment(
    all_labels: Volume,
    skeletons: Skeletons,
    anisotropy: Sequence[float] = (1, 1, 1),
    progress: bool = False,
    fill_holes: bool = False,
    in_place: bool = False,
    downsample: int = 0,
) -> tuple[npt.NDArray[Any], Any]:
    """Assign every voxel of a label to the vertex of its skeleton that is nearest.

    Distances are geodesic: along steps to 26 neighbours within the label. Of vertices that are equally near,
    it is the last.

    Args:
        all_labels: the volume, as for ``skeletonize``.
        skeletons: of its labels: a dict, any iterable, or one.
        anisotropy: the size of a voxel along x, y and z.
        progress: show a bar on stderr.
        fill_holes: fill the holes of labels first.
        in_place: accepted for scripts written for Kimimaro; the input is never changed.
        downsample: use every so many vertices only; 0 or 1: all.

    Returns:
        An array (x, y, z) of the parts, numbered from 1 on over all labels in ascending order, of the
        smallest unsigned dtype; 0 where a label has no skeleton, or no vertex is connected. And copies of the
        skeletons in the same kind of container, with the attribute ``segments``: the part at every vertex.

    Raises:
        ValueError: a skeleton has no id, or ``downsample`` is negative.

    Complexity: near-linear in the voxels of the labels; the array has all voxels.
    """
    size = voxel_size(anisotropy)
    if isinstance(downsample, bool) or not isinstance(downsample, int | np.integer) or downsample < 0:
        raise ValueError(f"downsample is a number of vertices from 0 on, not {downsample!r}")
    fields = teasar_fields(None, size, True, False)
    given = listed(skeletons)
    numbers, runs, shape = label_runs(all_labels, map(label_of, given), flag("fill_holes", fill_holes))
    parts = np.zeros(shape, np.uint32, order="F").reshape(-1, order="F")
    total = 0
    with Progress(progress, len(given), " labels") as show:
        for done, one in enumerate(sorted(given, key=label_of), start=1):
            if label_of(one) in numbers and len(one.vertices):
                seeds = voxels_of(one, size)[:: max(int(downsample), 1)]
                inside = np.all((seeds >= 0) & (seeds < np.array(shape)), axis=1)
                object_number = numbers[label_of(one)]
                nearest = runs.oversegment(object_number, fields, np.where(inside[:, None], seeds, 2**32 - 1))
                own = runs.of(object_number)
                lengths = (own["end"] - own["x"]).astype(np.int64)
                row = (own["z"].astype(np.int64) * shape[1] + own["y"]) * shape[0] + own["x"]
                places = np.repeat(row - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
                parts[places] = np.where(nearest, nearest + np.uint32(total), 0)
                total += len(seeds)
            show(done)
    image: npt.NDArray[Any] = parts.astype(np.min_scalar_type(total)).reshape(shape, order="F")
    if isinstance(all_labels, np.ndarray):
        with_three_axes(all_labels)  # has checked that this is the same number of voxels
        image = image.reshape(all_labels.shape, order="F")
        if all_labels.flags.c_contiguous:
            image = np.ascontiguousarray(image)
    copies = {id(one): _with_segments(one, image.reshape(shape, order="A"), size) for one in given}
    if isinstance(skeletons, Skeleton):
        return image, copies[id(skeletons)]
    if isinstance(skeletons, Mapping):
        return image, {label: copies[id(one)] for label, one in skeletons.items()}
    return image, [copies[id(one)] for one in given]


def _with_segments(one: Skeleton, image: npt.NDArray[Any], size: tuple[float, float, float]) -> Skeleton:
    made = one.clone()
    voxels = voxels_of(one, size)
    inside = np.all((voxels >= 0) & (voxels < np.array(image.shape)), axis=1)
    segments = np.zeros(len(voxels), image.dtype)
    segments[inside] = image[tuple(voxels[inside].T)]
    made.add_attribute("segments", segments)
    return made
