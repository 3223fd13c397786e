"""The second pass: the pieces of a range of labels become skeletons, and these a part of the dataset."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._binding import skeleton_graphs as graphs
from ..skeletons.postprocessing import repaired
from ..skeletons.skeleton import Skeleton
from ..skeletons.teasar import Report, skeleton_of, skeletons_of
from ..stored.engine import Options
from . import parts, pieces
from .few import Runs, runs_of, trace_runs
from .frame import Frame, Voxel
from .grid import Grid, nbytes_per_voxel
from .pieces import Piece
from .settings import Settings
from .tracing import tile_of


class Merged(NamedTuple):
    """The skeleton of a label, and what else is known of it."""

    skeleton: Skeleton
    voxels: int
    somas: int
    cut_somas: int


@dataclass(frozen=True)
class MergeRange:
    """Merge the pieces of a range of labels, and write the part of the dataset with them."""

    frame: Frame
    grid: Grid
    settings: Settings
    folder: Path
    work: Path
    number: int
    low: int
    high: int
    memory: int

    @property
    def weight(self) -> int:
        """Ranges."""
        return 1

    def __call__(self) -> int:
        """Do it; returns how many skeletons there are.

        Raises:
            OSError: a file cannot be read or written.
        """
        done = parts.num_labels(self.folder, self.number)
        if done is not None:
            return done
        found: list[tuple[Voxel, Piece]] = []
        for path in sorted(self.work.glob("tile-*.parquet")):
            own = pieces.read(path, self.low, self.high)
            found.extend((tile_of(path), one) for one in own)
        found.sort(key=lambda one: one[1].label)
        merged = [one for one in self._labels(found) if one is not None]
        parts.write(self.folder, self.number, merged, self.frame.label_dtype)
        return len(merged)

    def _labels(self, found: list[tuple[Voxel, Piece]]) -> Iterator[Merged | None]:
        for label, group in itertools.groupby(found, key=lambda one: one[1].label):
            tiles, own = zip(*group, strict=True)
            yield self._in_one_piece(label, tiles, own) or merged(
                label, own, self.frame, self.grid, self.settings
            )

    def _in_one_piece(self, label: int, tiles: tuple[Voxel, ...], own: tuple[Piece, ...]) -> Merged | None:
        """Trace a label anew whose cell body is cut, or whose voids are, if all of it fits the memory."""
        is_cut = any(one.is_cut and (one.has_soma or self.settings.fill_holes) for one in own)
        voxels = sum(one.voxels for one in own)
        if not is_cut or self.settings.fix_avocados or voxels * nbytes_per_voxel(self.frame) > self.memory:
            return None
        boxes = [self.frame.box_of(*self.grid.own(tile)) for tile in sorted(set(tiles))]
        coords = sorted({one for box in boxes for one in self.frame.layout.coords_in(box)})
        runs = runs_of(self.frame, [label], Options(parallel=1), self.settings.verify, coords)
        return merged_of(self.frame, self.settings, runs).get(label)


def merged_of(frame: Frame, settings: Settings, runs: dict[int, Runs], threads: int = 1) -> dict[int, Merged]:
    """The skeletons of labels that are given as runs, in one piece."""
    report = Report()
    objects, traced = trace_runs(frame, settings, runs, threads)
    found = skeletons_of(objects, traced, frame.size, report, frame.start, frame.origin)
    return {
        label: Merged(one, report.voxels[label], len(report.somas.get(label, ())), 0)
        for label, one in found.items()
    }


def merged(label: int, own: Sequence[Piece], frame: Frame, grid: Grid, settings: Settings) -> Merged | None:
    """The skeleton of a label from its pieces; None if all of it is dust.

    Pieces meet where they have a voxel in common. So trees are the connected components of the label, and the
    voxels of each are known exactly.
    """
    voxels = np.concatenate([one.vertices for one in own]).astype(np.int64)
    radii = np.concatenate([one.radii for one in own])
    counts = [len(one.vertices) for one in own]
    offsets = np.cumsum([0, *counts[:-1]])
    edges = np.concatenate(
        [one.edges.astype(np.int64) + offset for one, offset in zip(own, offsets, strict=True)]
    )
    # A place has the smallest radius that a tile knows: the others do not see the nearest boundary.
    order = np.lexsort((radii, voxels[:, 2], voxels[:, 1], voxels[:, 0]))
    is_new = np.ones(len(order), bool)
    is_new[1:] = (voxels[order[1:]] != voxels[order[:-1]]).any(axis=1)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.cumsum(is_new) - 1
    voxels, radii = voxels[order[is_new]], radii[order[is_new]]
    edges = np.unique(np.sort(rank[edges], axis=1), axis=0).astype(np.uint32)
    # Components that are dust go.
    count, component = graphs.component_numbers(len(voxels), edges)
    of_piece = component[rank[offsets]]
    sizes = np.bincount(of_piece, [one.voxels for one in own], count)
    is_large = sizes > max(settings.dust_threshold, 1)
    if not is_large.any():
        return None
    alone = np.bincount(component, minlength=count) == 1
    edges = edges[is_large[component[edges[:, 0]]]]
    edges = _repaired(voxels, radii, edges, frame, grid, settings)
    kept = (is_large & alone)[component]
    kept[edges.reshape(-1)] = True
    if not kept.any():
        return None
    place = np.cumsum(kept) - 1
    edges = np.sort(place[edges], axis=1)
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    skeleton = skeleton_of(
        label, voxels[kept], edges.astype(np.uint32), radii[kept], frame.size, frame.origin
    )
    somas = [one for one, number in zip(own, of_piece, strict=True) if one.has_soma and is_large[number]]
    return Merged(skeleton, int(sizes[is_large].sum()), len(somas), sum(one.is_cut for one in somas))


def _repaired(
    voxels: npt.NDArray[np.int64],
    radii: npt.NDArray[np.float32],
    edges: npt.NDArray[np.uint32],
    frame: Frame,
    grid: Grid,
    settings: Settings,
) -> npt.NDArray[np.uint32]:
    """The edges without cycles, and after what the caller wants besides."""
    if not len(edges):
        return edges
    # Counted from the skeleton's own corner, so that float32 tells neighbours apart in any volume.
    places = ((voxels - voxels.min(axis=0)) * np.array(frame.size)).astype(np.float32)
    edges = repaired(places, radii, edges, 0, 0, False)
    if len(grid) > 1:
        wanted = [*settings.before, *settings.after]
        at_seams = grid.on_seam(voxels)
        if wanted:
            at_seams &= ~(voxels[:, None] == np.array(wanted)).all(axis=2).any(axis=1)
        reach = np.float32(settings.teasar["scale"]) * radii + np.float32(settings.teasar["const"])
        edges = without_seam_ends(places, reach, edges, at_seams)
    return repaired(places, radii, edges, settings.cable_threshold, settings.tick_threshold, settings.join)


def without_seam_ends(
    places: npt.NDArray[np.float32],
    reach: npt.NDArray[np.float32],
    edges: npt.NDArray[np.uint32],
    at_seams: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint32]:
    """The edges of a forest without the ends that are there only because a seam grazes an object.

    A branch that ends at a seam goes if it is no longer than its first point accounts for: without the seam,
    it would not have been traced.

    Args:
        places: of vertices.
        reach: how far each vertex accounts for what is around it.
        edges: pairs of vertices.
        at_seams: which vertices lie on a seam.
    """
    while True:
        degrees = np.bincount(edges.reshape(-1), minlength=len(places))
        if not ((degrees == 1) & at_seams).any():
            return edges
        candidates = []
        for path in graphs.interjoint_paths(len(places), edges):
            if degrees[path[0]] == 1:
                path = path[::-1]
            end, joint = int(path[-1]), int(path[0])
            if degrees[end] == 1 and at_seams[end] and degrees[joint] >= 3:
                length = float(np.linalg.norm(np.diff(places[path].astype(np.float64), axis=0), axis=1).sum())
                if length <= reach[joint]:
                    candidates.append((length, end, joint, path))
        gone = set()
        for _, _, joint, path in sorted(candidates, key=lambda one: one[:2]):
            # Two branches are left at each joint, and are looked at again as one.
            if degrees[joint] > 2:
                degrees[joint] -= 1
                gone |= {(min(a, b), max(a, b)) for a, b in itertools.pairwise(path.tolist())}
        if not gone:
            return edges
        edges = np.array([pair for pair in edges.tolist() if (min(pair), max(pair)) not in gone], np.uint32)
        edges = edges.reshape(-1, 2)
