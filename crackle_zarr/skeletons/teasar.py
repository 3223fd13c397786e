"""Skeletons of all labels of a volume, by TEASAR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .objects import Objects, Volume, find_objects, ranges
from .parameters import DEFAULT_TEASAR_PARAMS, points, teasar_fields, voxel_size
from .skeleton import Skeleton

Point = Sequence[int]


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
) -> dict[int, Skeleton]:
    size = voxel_size(anisotropy)
    fields = teasar_fields(teasar_params, size, fix_branching, fix_borders)
    threads = _binding.threads(max(parallel, 0))
    objects = find_objects(all_labels, object_ids, dust_threshold, threads)
    targets = _targets(objects, extra_targets_before, extra_targets_after)
    found: dict[int, _binding.Traced] = {}

    def report(number: int, traced: _binding.Traced) -> None:
        found[number] = traced

    objects.runs.trace(fields, targets, ranges(objects, threads, parallel_chunk_size), threads, report)
    parts: dict[int, list[_binding.Traced]] = {}
    for number in range(len(objects.labels)):
        if len(found[number].vertices):
            parts.setdefault(objects.labels[number], []).append(found[number])
    return {label: _assemble(label, parts[label], size) for label in sorted(parts)}


def _targets(
    objects: Objects, before: Iterable[Point], after: Iterable[Point]
) -> Callable[[int], tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]]:
    """A function that gives the extra targets within the bounding box of an object."""
    first = points("extra_targets_before", before, objects.shape)
    last = points("extra_targets_after", after, objects.shape)

    def within(given: npt.NDArray[np.uint32], number: int) -> npt.NDArray[np.uint32]:
        if not len(given):
            return given
        inside = (given >= objects.start[number]) & (given < objects.stop[number])
        return given[inside.all(axis=1)]

    return lambda number: (within(first, number), within(last, number))


def _assemble(label: int, parts: list[_binding.Traced], size: tuple[float, float, float]) -> Skeleton:
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
    transform = np.zeros((3, 4), np.float32)
    transform[range(3), range(3)] = size
    return Skeleton(
        (vertices * np.array(size)).astype(np.float32),
        edges,
        radii=radii,
        segid=label,
        transform=transform,
        space="physical",
    )


__all__ = ["DEFAULT_TEASAR_PARAMS", "skeletonize"]
