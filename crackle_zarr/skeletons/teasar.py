"""Skeletons of all labels of a volume, by TEASAR."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from . import holes
from .objects import Objects, Volume, find_objects, ranges, voxel_graph_of
from .parameters import DEFAULT_TEASAR_PARAMS, flag, number, points, teasar_fields, voxel_size
from .progress import Progress
from .skeleton import Skeleton

__all__ = ["DEFAULT_TEASAR_PARAMS", "Report", "connect_points", "skeletonize"]

Point = Sequence[int]
# For an object, the voxels that its paths reach first, and in the end.
Targets = Callable[[int], tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]]

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """What :func:`skeletonize` did; pass one as ``report``, and look at it afterwards.

    Attributes:
        voxels: per label with a skeleton, the voxels of the components that were traced.
        seconds: per such label, how long tracing them took, added up over all threads.
        paths: per such label, the number of paths.
        somas: per such label, the coordinates of the centres of somas.
        dust: per label without a skeleton, the voxels of its largest component.
    """

    voxels: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    paths: dict[int, int] = field(default_factory=dict)
    somas: dict[int, list[tuple[float, float, float]]] = field(default_factory=dict)
    dust: dict[int, int] = field(default_factory=dict)


def skeletonize(
    all_labels: Volume,
    teasar_params: Mapping[str, Any] | None = None,
    anisotropy: Sequence[float] = (1, 1, 1),
    object_ids: Iterable[int] | None = None,
    dust_threshold: float = 1000,
    progress: bool | Callable[[int, int], None] = True,
    fix_branching: bool = True,
    in_place: bool = False,
    fix_borders: bool = True,
    parallel: int = 1,
    parallel_chunk_size: int = 100,
    extra_targets_before: Iterable[Point] = (),
    extra_targets_after: Iterable[Point] = (),
    fill_holes: bool = False,
    fix_avocados: bool = False,
    voxel_graph: npt.NDArray[np.uint32] | None = None,
    *,
    report: Report | None = None,
) -> dict[int, Skeleton]:
    """The skeletons of all labels of a volume: trees of centre lines, by TEASAR.

    Every connected component (26 neighbours) of a label other than 0 with more than ``dust_threshold`` voxels
    gives one tree. Parameters have the names, meanings and order that they have in Kimimaro;
    docs/from-kimimaro.md lists what differs.

    Args:
        all_labels: up to three axes (x, y, z) of integers, signed or not, or bool, in any memory order; or a
            Crackle stream; or a :class:`~crackle_zarr.CrackleArray`. Further axes may have length 1. The
            labels of a stream are never decoded to voxels.
        teasar_params: any of the keys of :data:`DEFAULT_TEASAR_PARAMS`; those left out have the values there.
            ``scale`` and ``const``: a voxel on a path accounts for everything within scale * radius + const
            of it: larger values give fewer branches. ``pdrf_scale`` and ``pdrf_exponent``: how strongly paths
            are drawn to the middle. ``soma_detection_threshold``: radius above which holes of a component are
            filled; ``soma_acceptance_threshold``: radius above which it is taken for a soma, from whose
            centre all paths start. ``soma_invalidation_scale`` and ``soma_invalidation_const``: the ball
            around that centre. ``max_paths``: the most paths of a component, None: as many as it takes.
            Lengths are physical.
        anisotropy: the size of a voxel along x, y and z, in any unit of length; fractions are fine.
        object_ids: labels to skeletonize; None: all but 0.
        dust_threshold: components of this many voxels or fewer are left out.
        progress: True shows a bar on stderr; a function gets (components done, components in all).
        fix_branching: paths end at the nearest point of former paths, not at the root: branches fork where
            the object does.
        in_place: accepted for scripts written for Kimimaro; the input is never changed.
        fix_borders: begin with a point for every face of the volume that a component touches, chosen so that
            skeletons of neighbouring volumes that share a plane of voxels meet there. False for a volume that
            is no part of a larger one.
        parallel: threads; 0 or less is one per core. The answer does not depend on it.
        parallel_chunk_size: the most components that a thread takes at a time.
        extra_targets_before: voxels (x, y, z) that paths reach first; those on the background are ignored.
        extra_targets_after: voxels that paths reach in the end.
        fill_holes: fill the voids of components first; whatever lies in them is dissolved.
        fix_avocados: join nuclei that were segmented apart with the cells around them; see
            ``soma_detection_threshold``.
        voxel_graph: for labels that touch themselves: an array of uint32 in the shape of ``all_labels``,
            which is an array too, with a bit for every step to a neighbour that is allowed, as
            :func:`~crackle_zarr.voxel_connectivity_graph` has them. Components, distances and paths follow
            it; a face without a step is a boundary half a voxel away. Holes around somas are not filled then.
        report: is filled in with what was done.

    Returns:
        A dict label -> skeleton, in ascending order of labels. A label without a component of more than
        ``dust_threshold`` voxels, and of more than one voxel, is absent; with ``progress=True`` a line says
        how many there were. Vertices are voxels times ``anisotropy``, sorted by x, y and z: voxel (0, 0, 0)
        is at the origin. ``radius`` is the distance to the boundary.

    Raises:
        TypeError: labels are not integers or bool, or a parameter is unknown or of a wrong type.
        DimensionError: more than three axes are longer than 1.
        ValueError: a number is outside its range.
        IndexError: an extra target is outside the volume.

    Complexity:
        Near-linear in the voxels of the labels, whatever their bounding boxes; some 30 bytes for each voxel
        of the components that are traced at the same time.

    References:
        Sato, Bitter, Bender, Kaufman, Nakajima: TEASAR: tree-structure extraction algorithm for accurate and
        robust skeletons (2000).
    """
    size = voxel_size(anisotropy)
    fields = teasar_fields(
        teasar_params, size, flag("fix_branching", fix_branching), flag("fix_borders", fix_borders)
    )
    dust = number("dust_threshold", dust_threshold)
    graph = voxel_graph_of(all_labels, voxel_graph)
    fields["graph"] = _binding.graph_pointer(graph)
    threads = _binding.threads(max(parallel, 0))
    changes = changes_of(flag("fill_holes", fill_holes), flag("fix_avocados", fix_avocados), fields)
    objects = find_objects(all_labels, object_ids, dust, threads, changes, graph=graph)
    targets = targets_of(objects, extra_targets_before, extra_targets_after)
    traced = trace(objects, fields, targets, threads, parallel_chunk_size, progress)
    if progress is True and objects.dust:
        largest = max(objects.dust.values())
        _log.warning(
            "%d labels have no skeleton: no component of more than %g voxels (the largest has %d)",
            len(objects.dust),
            dust,
            largest,
        )
    return skeletons_of(objects, traced, size, report)


def trace(
    objects: Objects,
    fields: dict[str, Any],
    targets: Targets,
    threads: int = 1,
    most: int = 100,
    progress: bool | Callable[[int, int], object] = False,
) -> dict[int, _binding.Traced]:
    """The skeleton of each object, by its number; ``most`` is how many objects a thread takes at a time."""
    traced: dict[int, _binding.Traced] = {}
    with Progress(progress, len(objects.labels)) as show:

        def keep(component: int, one: _binding.Traced) -> None:
            traced[component] = one
            show(len(traced))

        objects.runs.trace(fields, targets, ranges(objects, threads, most), threads, keep)
    return traced


def skeletons_of(
    objects: Objects,
    traced: dict[int, _binding.Traced],
    size: tuple[float, float, float],
    report: Report | None = None,
    first: tuple[int, int, int] = (0, 0, 0),
    origin: tuple[float, float, float] = (0, 0, 0),
) -> dict[int, Skeleton]:
    """The skeletons of labels, ascending, from those of their components.

    Args:
        objects: the components.
        traced: their skeletons.
        size: of a voxel.
        report: is filled in.
        first: the first voxel of the objects' volume in a larger one.
        origin: where the first voxel of the larger volume lies.
    """
    parts: dict[int, list[_binding.Traced]] = {}
    for component, label in enumerate(objects.labels):
        if len(traced[component].vertices):
            parts.setdefault(label, []).append(traced[component])
            if report is not None:
                _add(report, label, int(objects.voxels[component]), traced[component], size)
    if report is not None:
        report.dust.update(objects.dust)
    return {label: _assemble(label, parts[label], size, first, origin) for label in sorted(parts)}


def _add(
    report: Report, label: int, voxels: int, one: _binding.Traced, size: tuple[float, float, float]
) -> None:
    report.voxels[label] = report.voxels.get(label, 0) + voxels
    report.seconds[label] = report.seconds.get(label, 0.0) + one.seconds
    report.paths[label] = report.paths.get(label, 0) + one.num_paths
    if one.soma_radius and one.root is not None:
        x, y, z = (one.vertices[one.root] * np.array(size)).tolist()
        report.somas.setdefault(label, []).append((x, y, z))


def changes_of(fill_holes: bool, fix_avocados: bool, fields: dict[str, Any]) -> Any:
    """What to do with the components before dust is left out, or None."""
    if not fill_holes and not fix_avocados:
        return None

    def change(components: list[Any], shape: tuple[int, int, int]) -> list[Any]:
        if fill_holes:
            components = holes.fill_holes(components, shape)
        return holes.fix_avocados(components, shape, fields) if fix_avocados else components

    return change


def connect_points(
    labels: Volume,
    start: Point,
    end: Point,
    anisotropy: Sequence[float] = (1, 1, 1),
    fill_holes: bool = False,
    in_place: bool = False,
    pdrf_scale: float = 100_000,
    pdrf_exponent: float = 4,
) -> Skeleton:
    """The centre line between two voxels of a binary image.

    Args:
        labels: an image of which all voxels but 0 are one object, as for :func:`skeletonize`.
        start: a voxel (x, y, z).
        end: another one.
        anisotropy: the size of a voxel along x, y and z.
        fill_holes: fill the voids of the object first.
        in_place: accepted for scripts written for Kimimaro; the input is never changed.
        pdrf_scale: how strongly the line is drawn to the middle.
        pdrf_exponent: how strongly, as a power.

    Returns:
        A skeleton of one path, with vertices in the order from ``end`` to ``start``.

    Raises:
        ValueError: a voxel is on the background, or the two are in different components.
        IndexError: a voxel is outside the volume.

    Complexity:
        Near-linear in the voxels of the object.
    """
    size = voxel_size(anisotropy)
    given = {"pdrf_scale": pdrf_scale, "pdrf_exponent": pdrf_exponent}
    fields = teasar_fields(given, size, True, False)
    fill = holes.fill_holes if flag("fill_holes", fill_holes) else None
    objects = find_objects(labels, None, 0, 1, fill, is_binary=True)
    ends = [points(name, [point], objects.shape)[0] for name, point in (("start", start), ("end", end))]
    owners = [objects.find(point) for point in ends]
    for name, point, owner in zip(("start", "end"), (start, end), owners, strict=True):
        if owner is None:
            raise ValueError(f"{name} {tuple(point)} is on the background")
    if owners[0] != owners[1] or owners[0] is None:
        raise ValueError(
            f"start {tuple(start)} and end {tuple(end)} are not connected: they are in two components"
        )
    line = objects.runs.connect(owners[0], fields, ends[0].tolist(), ends[1].tolist())
    return skeleton_of(None, line.vertices, line.edges, line.radii, size)


def targets_of(objects: Objects, before: Iterable[Point], after: Iterable[Point]) -> Targets:
    """A function that gives the extra targets within the bounding box of an object."""
    first = points("extra_targets_before", before, objects.shape)
    last = points("extra_targets_after", after, objects.shape)

    def within(given: npt.NDArray[np.uint32], number: int) -> npt.NDArray[np.uint32]:
        if not len(given):
            return given
        inside = (given >= objects.start[number]) & (given < objects.stop[number])
        near: npt.NDArray[np.uint32] = given[inside.all(axis=1)]
        return near

    return lambda number: (within(first, number), within(last, number))


def _assemble(
    label: int,
    parts: list[_binding.Traced],
    size: tuple[float, float, float],
    first: tuple[int, int, int],
    origin: tuple[float, float, float],
) -> Skeleton:
    """The skeleton of a label, from those of its components; vertices are sorted by x, y and z."""
    vertices = np.concatenate([part.vertices for part in parts])
    radii = np.concatenate([part.radii for part in parts])
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    edges = np.concatenate(
        [part.edges + np.uint32(offset) for part, offset in zip(parts, offsets, strict=True)]
    )
    if len(parts) > 1:
        order = np.lexsort(vertices.T[::-1])
        rank = np.empty(len(order), np.uint32)
        rank[order] = np.arange(len(order), dtype=np.uint32)
        vertices, radii = vertices[order], radii[order]
        edges = np.sort(rank[edges], axis=1)
        edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    return skeleton_of(label, vertices + np.array(first), edges, radii, size, origin)


def skeleton_of(
    label: int | None,
    vertices: npt.NDArray[Any],
    edges: npt.NDArray[np.uint32],
    radii: npt.NDArray[np.float32],
    size: tuple[float, float, float],
    origin: tuple[float, float, float] = (0, 0, 0),
) -> Skeleton:
    """A skeleton from vertices that are voxels; ``origin`` is where the first voxel lies."""
    transform = np.zeros((3, 4), np.float32)
    transform[range(3), range(3)] = size
    transform[:, 3] = origin
    return Skeleton(
        (vertices * np.array(size) + np.array(origin)).astype(np.float32),
        edges,
        radii=radii,
        segid=label,
        transform=transform,
        space="physical",
    )
