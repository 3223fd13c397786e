"""Objects cut into pieces, one for every vertex of their skeletons."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import smallest_dtype
from .._binding import skeleton_sections
from .labels import by_label, runs_of_labels, voxels_of
from .objects import Volume
from .parameters import flag, voxel_size
from .progress import Progress
from .skeleton import Skeleton

SkeletonsT = TypeVar("SkeletonsT")


def oversegment(
    all_labels: Volume,
    skeletons: SkeletonsT,
    anisotropy: Sequence[float] = (1, 1, 1),
    progress: bool | Callable[[int, int], None] = False,
    fill_holes: bool = False,
    in_place: bool = False,
    downsample: int = 0,
) -> tuple[npt.NDArray[Any], SkeletonsT]:
    """Cut every label into pieces: each voxel belongs to the nearest vertex of the label's skeleton.

    Nearest along paths through the label, over 26 neighbours, with the lengths of steps in physical space. Of
    two vertices that are equally near, the one with the larger number counts.

    Args:
        all_labels: an array with up to three axes (x, y, z), a stream or a CrackleArray, as for
            :func:`skeletonize`.
        skeletons: a dict label -> skeleton, a list of skeletons, or one. A skeleton's label is its id, or
            else its key in the dict; no two have the same. Vertices in physical space are voxels times
            ``anisotropy``.
        anisotropy: the size of a voxel along x, y and z.
        progress: True shows a bar on stderr; a function gets (skeletons done, skeletons in all).
        fill_holes: fill the voids of each label first; whatever lies in them belongs to the pieces around it.
        in_place: accepted for scripts written for Kimimaro; the input is never changed.
        downsample: use the vertices that :meth:`Skeleton.downsample` keeps at this factor; 0 or 1: all.

    Returns:
        Two things. First, a NumPy array in the shape of the labels, in the memory order of an array, and in
        Fortran order for a stream: its pieces are voxels, and are compressed with
        :func:`crackle_zarr.compress` if need be. Pieces are numbered from 1 on, by skeleton and vertex, in
        the smallest unsigned type; 0 is the background, labels without a skeleton, and components of a label
        that have no vertex. Second, copies of the skeletons with one more vertex attribute, ``segments``: the
        piece in which each vertex lies.

    Raises:
        TypeError: ``downsample`` is not an integer.
        ValueError: ``downsample`` is negative; a skeleton has no label, or two have the same.

    Complexity:
        Near-linear in the voxels of the labels; some 30 bytes for each voxel of the largest, besides the
        result.

    References:
        Dijkstra: A note on two problems in connexion with graphs (1959).
    """
    size = voxel_size(anisotropy)
    if isinstance(downsample, bool) or not isinstance(downsample, int | np.integer):
        raise TypeError(f"downsample is a number of vertices, not {downsample!r}")
    if downsample < 0:
        raise ValueError(f"downsample is a number of vertices from 0 on, not {downsample}")
    made, pairs = _copies(skeletons)
    wanted = [label for label, _ in pairs]
    if len(set(wanted)) < len(wanted):
        twice = next(label for label in wanted if wanted.count(label) > 1)
        raise ValueError(f"two skeletons have the label {twice}; merge them with Skeleton.simple_merge")
    runs, shape, _ = runs_of_labels(all_labels, wanted, flag("fill_holes", fill_holes))
    order = _order(all_labels)
    pieces = _Pieces(shape, order)
    with Progress(progress, len(pairs), " skeletons") as show:
        for number, (_, one) in enumerate(pairs):
            _cut(runs, number, one, size, max(int(downsample), 1), pieces)
            show(number + 1)
    found = pieces.array(all_labels.shape if isinstance(all_labels, np.ndarray) else shape)
    for _, one in pairs:
        one.add_attribute("segments", pieces.at(voxels_of(one.vertices, one.space, size)))
    return found, made


def _copies(skeletons: Any) -> tuple[Any, list[tuple[int, Skeleton]]]:
    """Copies in a container of the same kind, and each with its label."""
    by_label(skeletons)
    made = copy.deepcopy(skeletons)
    if not isinstance(made, dict | list | tuple) and not hasattr(made, "vertices"):
        made = list(made)
    return made, by_label(made)


def _order(labels: Any) -> Any:
    is_c = isinstance(labels, np.ndarray) and labels.flags.c_contiguous and not labels.flags.f_contiguous
    return "C" if is_c else "F"


class _Pieces:
    """The pieces of all labels, painted in the type that their number needs so far."""

    def __init__(self, shape: tuple[int, int, int], order: Any) -> None:
        self._painted = np.zeros(shape, np.uint8, order=order)
        self._count = 0

    def paint(self, runs: npt.NDArray[Any], nearest: npt.NDArray[np.uint32]) -> None:
        """Number the seeds of an object on, and paint its voxels."""
        reached = nearest != skeleton_sections.NO_SEED
        seeds = np.unique(nearest[reached])
        if not len(seeds):
            return
        dtype = smallest_dtype(0, self._count + len(seeds), False)
        if dtype != self._painted.dtype:
            self._painted = self._painted.astype(dtype, order="K")
        names = np.zeros(len(nearest), dtype)
        names[reached] = (np.searchsorted(seeds, nearest[reached]) + self._count + 1).astype(dtype)
        lengths = (runs["end"] - runs["x"]).astype(np.int64)
        offsets = np.arange(len(nearest)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        x = np.repeat(runs["x"].astype(np.int64), lengths) + offsets
        y, z = np.repeat(runs["y"], lengths), np.repeat(runs["z"], lengths)
        self._painted[x, y, z] = names
        self._count += len(seeds)

    def at(self, voxels: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """The pieces at some voxels; 0 outside the volume."""
        places = np.floor(voxels + 0.5)
        inside = ((places >= 0) & (places < np.array(self._painted.shape))).all(axis=1)
        found = np.zeros(len(voxels), self._painted.dtype)
        x, y, z = places[inside].astype(np.int64).T
        found[inside] = self._painted[x, y, z]
        return found

    def array(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self._painted.reshape(shape, order="A")


def _cut(
    runs: _binding.Runs,
    number: int,
    skeleton: Skeleton,
    size: tuple[float, float, float],
    every: int,
    pieces: _Pieces,
) -> None:
    own = runs.of(number)
    seeds = skeleton.downsample(every) if every > 1 else skeleton
    places = np.floor(voxels_of(seeds.vertices, seeds.space, size) + 0.5)
    # Those outside the volume stay, as a voxel that no object has, so that numbers stay.
    outside = ((places < 0) | (places >= skeleton_sections.NO_SEED)).any(axis=1)
    places[outside] = skeleton_sections.NO_SEED
    voxels = int((own["end"] - own["x"]).sum(dtype=np.int64))
    nearest = skeleton_sections.nearest_seeds(runs, number, size, places.astype(np.uint32), voxels)
    pieces.paint(own, nearest)
