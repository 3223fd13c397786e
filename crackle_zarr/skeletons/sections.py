"""How thick objects are along their skeletons: the areas of sections across."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._binding import skeleton_graphs as graphs
from .._binding import skeleton_sections
from .arrays import moving_average
from .labels import by_label, runs_of_labels, voxels_of
from .objects import Volume
from .parameters import flag, voxel_size
from .progress import Progress
from .skeleton import Skeleton

AREA, CONTACTS = "cross_sectional_area", "cross_sectional_area_contacts"

SkeletonsT = TypeVar("SkeletonsT")


def cross_sectional_area(
    all_labels: Volume,
    skeletons: SkeletonsT,
    anisotropy: Sequence[float] = (1, 1, 1),
    smoothing_window: int = 1,
    progress: bool | Callable[[int, int], None] = False,
    in_place: bool = False,
    fill_holes: bool = False,
    multipass: bool = False,
    repair_contacts: bool = False,
    visualize_section_planes: bool = False,
    step: int = 1,
) -> SkeletonsT:
    """The area of the section across the object at every vertex of its skeleton.

    A section is the part of the plane through the vertex, at a right angle to the path, that lies in the
    label and is connected with the vertex there (26 neighbours that the plane cuts). Its area is the exact
    sum of the polygons in which the plane meets the voxels, as boxes around the coordinates of vertices.

    Paths lead from the ends to the root of each component, as :meth:`Skeleton.paths` has them. Directions are
    the steps to the next vertex, in physical space. Where paths meet, at a branch, the area is the mean over
    all paths; elsewhere it is that of the first path.

    Args:
        all_labels: an array with up to three axes (x, y, z), a stream or a CrackleArray, as for
            :func:`skeletonize`. The labels of a stream are never decoded to voxels.
        skeletons: a dict label -> skeleton, a list of skeletons, or one. A skeleton's label is its id, or
            else its key in the dict. They are changed. Vertices in physical space are voxels times
            ``anisotropy``.
        anisotropy: the size of a voxel along x, y and z.
        smoothing_window: directions are moving means over as many steps, once forward and once backward: more
            make planes turn less from vertex to vertex.
        progress: True shows a bar on stderr; a function gets (skeletons done, skeletons in all).
        in_place: accepted for scripts written for Kimimaro; the labels are never changed.
        fill_holes: fill the voids of each label first.
        multipass: keep areas that a skeleton has, and compute those that are 0 or -1.
        repair_contacts: compute only where a section reached a face of the volume, as with labels of a larger
            part of the same volume.
        visualize_section_planes: must be False: there is no viewer. :func:`draw_skeletons` makes pictures.
        step: compute every so-manieth vertex of a path, counted from its first, and its last one; the others
            get 0.

    Returns:
        ``skeletons``. Each has two more vertex attributes: ``cross_sectional_area``, float32, in squared
        units of ``anisotropy``; and ``cross_sectional_area_contacts``, uint8, whose bits 0 to 5 say that the
        section reaches the first x, last x, first y, last y, first z or last z of the volume, so that the
        area may be too small. The area is 0 at a vertex outside the label, or without edges, and -1 at all
        vertices if the volume does not have the label.

    Raises:
        ValueError: ``step`` or ``smoothing_window`` is not above 0; with ``repair_contacts``, a skeleton has
            no contacts; a skeleton has no label.
        NotImplementedError: ``visualize_section_planes`` is set.

    Complexity:
        Linear in the voxels that the planes cut, and in the lengths of all paths. A section that lies along x
        costs a step per run of voxels.

    References:
        Scardovelli, Zaleski: Analytical relations connecting linear interfaces and volume fractions in
        rectangular grids (2000).
    """
    size = voxel_size(anisotropy)
    options = options_of(smoothing_window, multipass, repair_contacts, visualize_section_planes, step)
    fill = flag("fill_holes", fill_holes)
    pairs = by_label(skeletons)
    wanted = sorted({label for label, _ in pairs})
    _measure_all(all_labels, pairs, wanted, size, options, fill, progress)
    return skeletons


def cross_sectional_area_single(
    binimg: Volume,
    skel: Skeleton,
    roi: Any = None,
    anisotropy: Sequence[float] = (1, 1, 1),
    smoothing_window: int = 1,
    progress: bool | Callable[[int, int], None] = False,
    in_place: bool = False,
    multipass: bool = False,
    repair_contacts: bool = False,
    visualize_section_planes: bool = False,
    step: int = 1,
) -> Skeleton:
    """The same as :func:`cross_sectional_area` for one skeleton of a binary image.

    Args:
        binimg: the image: all its voxels but 0 are the object.
        skel: the skeleton; its id does not matter.
        roi: the box of a larger volume that the image shows, in which the skeleton has its coordinates: an
            object with ``minpt``, in voxels; None: the image begins at voxel (0, 0, 0).
        anisotropy: see there, as for all other arguments.
        smoothing_window: see there.
        progress: see there.
        in_place: see there.
        multipass: see there.
        repair_contacts: see there.
        visualize_section_planes: see there.
        step: see there.
    """
    size = voxel_size(anisotropy)
    options = options_of(smoothing_window, multipass, repair_contacts, visualize_section_planes, step)
    shift = np.zeros(3) if roi is None else np.asarray(list(roi.minpt), np.float64)
    check_repair([(1, skel)], options)
    runs, _, _ = runs_of_labels(binimg, [1], is_binary=True)
    with Progress(progress, 1, " skeletons") as show:
        voxels = voxels_of(skel.vertices, skel.space, size) - shift
        measure(skel, voxels, size, options, _evaluation(runs, 0, size))
        show(1)
    return skel


class Options:
    """The arguments that say what is computed, checked."""

    def __init__(self, window: int, multipass: bool, repair: bool, step: int) -> None:
        self.window, self.multipass, self.repair, self.step = window, multipass, repair, step


# From planes, given by points and normals in voxels, to the areas of their sections, and the faces these
# reach.
Evaluation = Callable[
    [npt.NDArray[np.float64], npt.NDArray[np.float64]], tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]
]


def options_of(
    smoothing_window: Any, multipass: Any, repair_contacts: Any, visualize: Any, step: Any
) -> Options:
    """Check the arguments that say what is computed."""
    for name, value in (("smoothing_window", smoothing_window), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} is a number of vertices, not {value!r}")
        if value < 1:
            raise ValueError(f"{name} is a number of vertices from 1 on, not {value}")
    if flag("visualize_section_planes", visualize):
        raise NotImplementedError(
            "visualize_section_planes: there is no viewer in this package; draw_skeletons makes pictures"
        )
    return Options(
        int(smoothing_window),
        flag("multipass", multipass),
        flag("repair_contacts", repair_contacts),
        int(step),
    )


def _measure_all(
    labels: Volume,
    pairs: list[tuple[int, Skeleton]],
    wanted: list[int],
    size: tuple[float, float, float],
    options: Options,
    fill: bool,
    progress: Any,
) -> None:
    check_repair(pairs, options)
    runs, _, _ = runs_of_labels(labels, wanted, fill)
    place = {label: number for number, label in enumerate(wanted)}
    with Progress(progress, len(pairs), " skeletons") as show:
        for done, (label, one) in enumerate(pairs, start=1):
            voxels = voxels_of(one.vertices, one.space, size)
            measure(one, voxels, size, options, _evaluation(runs, place[label], size))
            show(done)


def _evaluation(runs: _binding.Runs, number: int, size: tuple[float, float, float]) -> Evaluation | None:
    """The sections of an object; None if it has no voxels."""
    if not len(runs.of(number)):
        return None
    return lambda points, normals: skeleton_sections.sections(runs, number, size, points, normals)


def check_repair(pairs: list[tuple[int, Skeleton]], options: Options) -> None:
    """Raise ValueError if skeletons are to be repaired that have no areas."""
    for label, one in pairs:
        if options.repair and getattr(one, CONTACTS, None) is None:
            raise ValueError(
                f"repair_contacts: the skeleton of label {label} has no {CONTACTS}; "
                "compute its areas without repair_contacts first"
            )


def measure(
    skeleton: Skeleton,
    voxels: npt.NDArray[np.float64],
    size: tuple[float, float, float],
    options: Options,
    evaluate: Evaluation | None,
) -> None:
    """Set the two attributes of a skeleton.

    Args:
        skeleton: it is changed.
        voxels: where its vertices are.
        size: of a voxel.
        options: what to compute.
        evaluate: gives areas and contacts of sections; None: the volume does not have the label.
    """
    count = len(skeleton.vertices)
    areas, contacts = getattr(skeleton, AREA, None), getattr(skeleton, CONTACTS, None)
    known = areas is not None and contacts is not None and (options.multipass or options.repair)
    areas = np.array(areas, np.float64) if known else np.zeros(count)
    contacts = np.array(contacts, np.uint8) if known else np.zeros(count, np.uint8)
    if evaluate is None:
        if not known:
            areas[:] = -1
    else:
        todo = np.ones(count, bool)
        if options.repair:
            todo &= contacts != 0
        if options.multipass and known:
            todo &= areas <= 0
        areas[todo & (areas < 0)] = 0
        _sections(evaluate, skeleton, voxels, size, options, todo, areas, contacts)
    skeleton.add_attribute(AREA, areas.astype(np.float32))
    skeleton.add_attribute(CONTACTS, contacts)


def _sections(
    evaluate: Evaluation,
    skeleton: Skeleton,
    voxels: npt.NDArray[np.float64],
    size: tuple[float, float, float],
    options: Options,
    todo: npt.NDArray[np.bool_],
    areas: npt.NDArray[np.float64],
    contacts: npt.NDArray[np.uint8],
) -> None:
    """Compute the sections of the vertices ``todo`` that ``step`` chooses."""
    paths = [path.astype(np.int64) for path in graphs.root_paths(len(voxels), skeleton.edges)]
    paths = [path for path in paths if len(path) > 1]
    chosen = np.zeros(len(voxels), bool)
    for path in paths:
        chosen[path[:: options.step]] = True
        chosen[path[-1]] = True
    chosen &= todo
    is_branch = skeleton.degrees() >= 3
    met = np.zeros(len(voxels), bool)
    vertices, normals = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    for path in paths:
        directions = _directions(voxels[path] * np.array(size), options.window)
        kept = chosen[path] & (is_branch[path] | ~met[path]) & directions.any(axis=1)
        met[path] = True
        vertices.append(path[kept])
        normals.append(directions[kept])
    # All paths through a trunk have the same direction there, but for those that smoothing reaches.
    at, directions = np.concatenate(vertices), np.concatenate(normals)
    planes, weights = np.unique(np.column_stack([at, directions]), axis=0, return_counts=True)
    owner = planes[:, 0].astype(np.int64)
    found, touched = evaluate(voxels[owner], planes[:, 1:])
    total = np.bincount(owner, weights, minlength=len(voxels))
    means = np.bincount(owner, found * weights, minlength=len(voxels))
    computed = total > 0
    areas[computed] = means[computed] / total[computed]
    contacts[computed] = 0
    np.bitwise_or.at(contacts, owner, touched)


def _directions(path: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.float64]:
    """The direction at each vertex of a path: the step to the next one, smoothed; the last is repeated."""
    steps = np.diff(path, axis=0)
    # The same place twice has no direction: take that of the step before, or the first one.
    lengths = np.linalg.norm(steps, axis=1)
    has_length = lengths > 0
    if not has_length.any():
        return np.zeros_like(path)
    source = np.maximum.accumulate(np.where(has_length, np.arange(len(steps)), -1))
    source[source < 0] = np.flatnonzero(has_length)[0]
    steps = steps[source]
    steps = np.concatenate([steps, steps[-1:]])
    smooth = moving_average(steps, window)
    smooth = moving_average(smooth[::-1], window)[::-1]
    # Steps that cancel each other leave no direction: take the step itself.
    flat = np.linalg.norm(smooth, axis=1) <= 1e-6 * np.linalg.norm(steps, axis=1)
    return np.where(flat[:, None], steps, smooth)
