"""Skeletons of stored arrays of any size: by tiles, or in one piece."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import _binding
from ..skeletons.objects import find_objects
from ..skeletons.parameters import ALL_FACES
from ..skeletons.skeleton import Skeleton
from ..skeletons.tables import pyarrow_modules
from ..skeletons.teasar import Report, skeletons_of, targets_of, trace
from ..stored import lazy
from ..stored.engine import Options, run
from ..stored.layout import Coords
from . import parts
from . import plan as plans
from .dataset import SkeletonDataset
from .few import Runs, joined, num_voxels, runs_of, trace_runs
from .fingerprint import fingerprint_of
from .frame import Frame, Voxel
from .grid import Grid, grid_of, nbytes_per_voxel, tiles_with
from .merging import MergeRange, merged_of
from .pieces import Histogram, told_by
from .settings import Settings
from .tracing import FINGERPRINT, TraceTile, tile_path

# What merging takes for a vertex, and the vertices of a range of labels, unless one label has more.
_NBYTES_PER_VERTEX = 400
_LEAST_VERTICES = 2**17
# The most ranges: each reads the files of all tiles.
_MOST_RANGES = 1024
# How many chunks are asked at once for the voxels of a label that may not fit the memory.
_CHUNKS_AT_ONCE = 512

# Where a label is: the chunks that hold it.
Find = Callable[[int], Iterable[Coords]]


@dataclass(frozen=True)
class Work:
    """An array to skeletonize, and how."""

    frame: Frame
    settings: Settings
    options: Options
    memory: int
    find: Find


def skeletonize(work: Work, report: Report | None = None) -> dict[int, Skeleton]:
    """All skeletons, in memory; by way of a temporary folder if the array needs tiles."""
    coords = _chunks(work)
    runs = _runs(work, coords)
    if runs is None and len(grid_of(work.frame, work.memory)) > 1:
        with tempfile.TemporaryDirectory(prefix="crackle-skeletons-") as folder:
            return _by_tiles(work, Path(folder) / "skeletons", coords, False, False).to_dict()
    if runs is None:
        return _at_once(work, report)
    return _traced(work, runs, report)


def skeletonize_to(work: Work, out: str | os.PathLike[str], resume: bool, overwrite: bool) -> SkeletonDataset:
    """All skeletons, as a dataset at ``out``.

    Raises:
        FileExistsError: see ``plan.begin``.
        ValueError: the run that ``resume`` goes on with was another one, or the array has changed.
    """
    pyarrow_modules()
    coords = _chunks(work)
    runs = _runs(work, coords)
    if runs is None:
        return _by_tiles(work, Path(out), coords, resume, overwrite)
    folder = Path(out)
    grid = grid_of(work.frame, work.memory)
    plan = plans.begin(folder, plans.plan_of(work.frame, grid, work.settings, work.memory), resume, overwrite)
    if plan["state"] != "whole":
        found = merged_of(work.frame, work.settings, runs, _threads(work.options))
        parts.write(folder, 0, list(found.values()), work.frame.label_dtype)
        ranges = [[min(found), max(found)]] if found else []
        plans.write(folder, {**plan, "state": "whole", "ranges": ranges})
    return SkeletonDataset(folder)


def _threads(options: Options) -> int:
    return _binding.threads(options.parallel) if options.executor is None else 1


# ---------------------------------------------------------------------------------------
# In one piece


def _chunks(work: Work) -> list[Coords] | None:
    """The chunks that hold one of the labels that are asked for; None if all labels are."""
    if work.settings.labels is None:
        return None
    return sorted({one for label in work.settings.labels for one in work.find(label)})


def _runs(work: Work, coords: list[Coords] | None) -> dict[int, Runs] | None:
    """The voxels of the labels that are asked for; None if that are all, or they do not fit the memory."""
    if coords is None or work.settings.labels is None:
        return None
    found: dict[int, list[Runs]] = {}
    voxels = 0
    for first in range(0, len(coords), _CHUNKS_AT_ONCE):
        some = coords[first : first + _CHUNKS_AT_ONCE]
        more = runs_of(work.frame, work.settings.labels, work.options, work.settings.verify, some)
        for label, runs in more.items():
            found.setdefault(label, []).append(runs)
            voxels += num_voxels(runs)
        if voxels * nbytes_per_voxel(work.frame) > work.memory:
            return None
    return {label: runs[0] if len(runs) == 1 else joined(runs) for label, runs in sorted(found.items())}


def _traced(work: Work, runs: dict[int, Runs], report: Report | None) -> dict[int, Skeleton]:
    objects, traced = trace_runs(
        work.frame, work.settings, runs, _threads(work.options), work.options.progress
    )
    return skeletons_of(objects, traced, work.frame.size, report, work.frame.start, work.frame.origin)


def _at_once(work: Work, report: Report | None) -> dict[int, Skeleton]:
    """The skeletons of an array that is one tile."""
    frame, settings = work.frame, work.settings
    quiet = replace(work.options, verify=settings.verify, progress=False)
    labels = frame.in_order(lazy.read(frame.layout, frame.box, quiet))
    fields = settings.fields(frame.size)
    fields["border_faces"] = ALL_FACES if settings.fix_borders else 0
    threads = _threads(work.options)
    objects = find_objects(
        labels, settings.labels, settings.dust_threshold, threads, settings.changes(fields)
    )
    del labels
    moved = [
        [tuple(p - first for p, first in zip(point, frame.start, strict=True)) for point in points]
        for points in (settings.before, settings.after)
    ]
    traced = trace(objects, fields, targets_of(objects, *moved), threads, progress=work.options.progress)
    return skeletons_of(objects, traced, frame.size, report, frame.start, frame.origin)


# ---------------------------------------------------------------------------------------
# By tiles


def _by_tiles(
    work: Work, folder: Path, coords: list[Coords] | None, resume: bool, overwrite: bool
) -> SkeletonDataset:
    frame, settings, options = work.frame, work.settings, work.options
    grid = grid_of(frame, work.memory)
    if len(grid) > 1 and settings.teasar["max_paths"] is not None:
        raise ValueError(
            f"max_paths counts the paths of a connected component, and components are cut by the {len(grid)} "
            f"tiles that memory={work.memory:,} gives: leave it out, or raise memory"
        )
    plan = plans.begin(folder, plans.plan_of(frame, grid, settings, work.memory), resume, overwrite)
    if plan["state"] == "whole":
        shutil.rmtree(folder / plans.WORK, ignore_errors=True)
        return SkeletonDataset(folder)
    tiles = tiles_with(frame, grid, coords)
    inside = folder / plans.WORK
    inside.mkdir(exist_ok=True)
    _refuse_changes(work, grid, inside, tiles)
    tasks = (TraceTile(frame, grid, settings, inside, tile) for tile in tiles)
    total = run(tasks, options, total=len(tiles), unit="tile", merge=Histogram.merge)
    ranges = plan["ranges"]
    if plan["state"] == "tracing":
        vertices = 0 if total is None else int(total.counts.sum())
        most = min(max(_LEAST_VERTICES, vertices // _MOST_RANGES), max(1, work.memory // _NBYTES_PER_VERTEX))
        ranges = [] if total is None else [list(one) for one in total.ranges(most)]
        plan = {**plan, "state": "merging", "ranges": ranges}
        plans.write(folder, plan)
    merging = (
        MergeRange(frame, grid, settings, folder, inside, number, low, high, work.memory)
        for number, (low, high) in enumerate(ranges)
    )
    run(merging, options, total=len(ranges), unit="range", merge=lambda a, b: a + b)
    plans.write(folder, {**plan, "state": "whole"})
    shutil.rmtree(inside, ignore_errors=True)
    return SkeletonDataset(folder)


@dataclass(frozen=True)
class CheckTile:
    """Whether the chunks of a tile are those that it was traced from."""

    frame: Frame
    grid: Grid
    folder: Path
    tile: Voxel

    @property
    def weight(self) -> int:
        """Tiles."""
        return 1

    def __call__(self) -> list[Voxel]:
        """The tile, if they are not."""
        told = told_by(tile_path(self.folder, self.tile)).get(FINGERPRINT, b"").decode()
        return [] if told == fingerprint_of(self.frame, *self.grid.own(self.tile)) else [self.tile]


def _refuse_changes(work: Work, grid: Grid, inside: Path, tiles: list[Voxel]) -> None:
    """Raise ValueError if chunks of tiles that are whole have changed since."""
    there = [tile for tile in tiles if tile_path(inside, tile).exists()]
    tasks = (CheckTile(work.frame, grid, inside, tile) for tile in there)
    quiet = replace(work.options, progress=False)
    changed = run(tasks, quiet, total=len(there), unit="tile", merge=lambda a, b: a + b)
    if changed:
        start, stop = grid.own(min(changed))
        raise ValueError(
            f"{work.frame.layout.name} has changed since this run began, within the voxels {start} to {stop} "
            f"(x, y, z) at the least: overwrite=True starts anew"
        )
