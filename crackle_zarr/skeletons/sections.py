"""How thick labels are along their skeletons: the areas of sections across them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._binding import skeleton_graphs as graphs
from .arrays import moving_average
from .objects import Volume, label_runs, with_three_axes
from .parameters import flag, teasar_fields, voxel_size
from .progress import Progress
from .segments import Skeletons, label_of, listed, voxels_of
from .skeleton import Skeleton

AREA, CONTACTS = "cross_sectional_area", "cross_sectional_area_contacts"


def cross_sectional_area(
    all_labels: Volume,
    skeletons: Skeletons,
    anisotropy: Sequence[float] = (1, 1, 1),
    smoothing_window: int = 1,
    progress: bool = False,
    in_place: bool = False,
    fill_holes: bool = False,
    multipass: bool = False,
    repair_contacts: bool = False,
    visualize_section_planes: bool = False,
    step: int = 1,
) -> Any:
    """Measure the area of the section across a label at every vertex of its skeleton.

    The plane of a section goes through the vertex, across the path there. Its area is exact: that of the
    polygons which the plane cuts out of the voxels. Only what is connected with the vertex counts.

    Args:
        all_labels: the volume, as for ``skeletonize``.
        skeletons: of its labels: a dict, any iterable, or one. They are changed, and get two attributes:
            ``cross_sectional_area`` (float32), in physical units, -1 where the label is not in the volume and
            0 at vertices that ``step`` leaves out; and ``cross_sectional_area_contacts`` (uint8), whose bits
            0 to 5 say that the section reaches the face x = 0, the last x, y = 0, ... of the volume, so that
            the area is too small.
        anisotropy: the size of a voxel along x, y and z.
        smoothing_window: how many steps of a path to take the mean of, for the direction across which to cut.
        progress: show a bar on stderr.
        in_place: accepted for scripts written for Kimimaro; the labels are never changed.
        fill_holes: fill the holes of labels first.
        multipass: keep areas that were measured before, and measure those that are 0.
        repair_contacts: measure again where the section touched a face, and leave the others.
        visualize_section_planes: accepted; there is no viewer, so it has to be False.
        step: measure every so many vertices of each path, and its ends.

    Returns:
        ``skeletons``.

    Raises:
        ValueError: ``step`` or ``smoothing_window`` is not above 0, or a skeleton has no id.
        NotImplementedError: ``visualize_section_planes`` is True.

    Complexity: linear in the voxels that all planes cut.
    """
    size = voxel_size(anisotropy)
    for name, value in (("step", step), ("smoothing_window", smoothing_window)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is a number of vertices above 0, not {value!r}")
    if visualize_section_planes:
        raise NotImplementedError("there is no viewer of section planes; leave visualize_section_planes out")
    given = listed(skeletons)
    numbers, runs, shape = label_runs(all_labels, map(label_of, given), flag("fill_holes", fill_holes))
    with Progress(progress, len(given), " skeletons") as show:
        for done, one in enumerate(given, start=1):
            number = numbers.get(label_of(one))
            if number is None:
                one.add_attribute(AREA, np.full(len(one.vertices), -1, np.float32))
                one.add_attribute(CONTACTS, np.zeros(len(one.vertices), np.uint8))
            else:
                _measure(one, runs, number, shape, size, smoothing_window, step, multipass, repair_contacts)
            show(done)
    return skeletons


def cross_sectional_area_single(
    binimg: npt.NDArray[Any],
    skel: Skeleton,
    roi: Any = None,
    anisotropy: Sequence[float] = (1, 1, 1),
    smoothing_window: int = 1,
    progress: bool = False,
    in_place: bool = False,
    fill_holes: bool = False,
    repair_contacts: bool = False,
    visualize_section_planes: bool = False,
    step: int = 1,
) -> Skeleton:
    """The same for one skeleton and the image of its label: :func:`cross_sectional_area`.

    Args:
        binimg: an image in which all voxels of the label are not 0.
        skel: the skeleton; it is changed and returned.
        roi: the box of the volume that the image shows, as an object with ``minpt`` in voxels; None: it
            begins at the first voxel.
        anisotropy: as there, like all others.
        smoothing_window: as there.
        progress: as there.
        in_place: as there.
        fill_holes: as there.
        repair_contacts: as there.
        visualize_section_planes: as there.
        step: as there.
    """
    size = voxel_size(anisotropy)
    shift = np.zeros(3) if roi is None else np.asarray(list(roi.minpt), np.float64)
    scale = np.ones(3) if skel.space == "voxel" else np.array(size)
    moved = skel.clone()
    moved.vertices = (skel.vertices - shift * scale).astype(np.float32)
    moved.id = 1
    image = (with_three_axes(np.asarray(binimg)) != 0).astype(np.uint8, order="K")
    cross_sectional_area(
        image,
        moved,
        anisotropy,
        smoothing_window,
        progress,
        in_place,
        fill_holes,
        False,
        repair_contacts,
        visualize_section_planes,
        step,
    )
    for name in (AREA, CONTACTS):
        skel.add_attribute(name, getattr(moved, name))
    return skel


def _measure(
    one: Skeleton,
    runs: _binding.Runs,
    number: int,
    shape: tuple[int, int, int],
    size: tuple[float, float, float],
    window: int,
    step: int,
    multipass: bool,
    repair: bool,
) -> None:
    voxels = voxels_of(one, size)
    count = len(voxels)
    before, touched = getattr(one, AREA, None), getattr(one, CONTACTS, None)
    if before is None or len(before) != count:
        before, multipass = np.zeros(count, np.float32), False
    if touched is None or len(touched) != count:
        touched, repair = np.zeros(count, np.uint8), False
    wanted = np.ones(count, bool)
    if repair:
        wanted = touched != 0
    elif multipass:
        wanted = before <= 0
    chosen, normals = _sections(one, voxels, np.array(size), window, step, wanted)
    inside = ((voxels[chosen] >= 0) & (voxels[chosen] < np.array(shape))).all(axis=1)
    chosen, normals = chosen[inside], normals[inside]
    fields = teasar_fields(None, size, True, False)
    areas, bits = runs.sections(number, fields, voxels[chosen].astype(np.uint32), normals)
    # At a branch: the mean over the paths through it.
    times = np.bincount(chosen, minlength=count)
    mean = np.bincount(chosen, areas, minlength=count) / np.maximum(times, 1)
    contacts = np.zeros(count, np.uint8)
    np.bitwise_or.at(contacts, chosen, bits)
    kept = repair or multipass
    area = np.where(times > 0, mean, before if kept else 0).astype(np.float32)
    one.add_attribute(AREA, area)
    one.add_attribute(CONTACTS, np.where(times > 0, contacts, touched if kept else 0).astype(np.uint8))


def _sections(
    one: Skeleton,
    voxels: npt.NDArray[np.int64],
    size: npt.NDArray[np.float64],
    window: int,
    step: int,
    wanted: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The vertices to cut at, and the directions across which.

    A branch occurs once for each path through it.
    """
    is_branch = one.degrees() >= 3
    is_done = np.zeros(len(voxels), bool)
    chosen, normals = [np.zeros(0, np.int64)], [np.zeros((0, 3), np.float32)]
    for path in graphs.root_paths(len(voxels), one.edges):
        places = path.astype(np.int64)
        steps = np.diff(voxels[places] * size, axis=0)
        along = np.concatenate([steps, steps[-1:]])
        along = moving_average(moving_average(along, window)[::-1], window)[::-1]
        taken = np.zeros(len(places), bool)
        taken[::step] = taken[-1] = True
        taken &= wanted[places] & (is_branch[places] | ~is_done[places])
        is_done[places[taken]] = True
        chosen.append(places[taken])
        normals.append(along[taken].astype(np.float32))
    return np.concatenate(chosen), np.concatenate(normals)
