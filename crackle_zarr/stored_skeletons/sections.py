"""Areas of sections across the labels of a stored array, from the chunks along their skeletons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._binding import skeleton_sections
from ..skeletons import sections
from ..skeletons.labels import by_label, voxels_of
from ..skeletons.progress import Progress
from ..skeletons.skeleton import Skeleton
from ..stored.engine import Options
from ..stored.layout import Coords, common, num_voxels
from .few import runs_of
from .frame import Frame
from .grid import Grid, grid_of

# How far around vertices to read at first, in multiples of the largest radius, and in voxels at the least.
_RADII, _LEAST = 2, 8


@dataclass(frozen=True)
class Along:
    """The sections of one label, each from a box around its vertex that is as large as it has to be.

    Attributes:
        frame: of the array.
        grid: sections are computed tile by tile.
        label: whose.
        coords: the chunks that hold it.
        margin: how far around vertices to read at first, in voxels along x, y and z.
        fill_holes: fill the voids of the label, which needs all of it.
        options: how to read.
    """

    frame: Frame
    grid: Grid
    label: int
    coords: list[Coords]
    margin: npt.NDArray[np.int64]
    fill_holes: bool
    options: Options

    def __call__(
        self, points: npt.NDArray[np.float64], normals: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """The areas of sections, and the faces of the frame's part that these reach."""
        areas = np.zeros(len(points))
        contacts = np.zeros(len(points), np.uint8)
        nearest = np.floor(points + 0.5).astype(np.int64)
        places = (nearest - np.array(self.grid.base)) // np.array(self.grid.step)
        _, tile = np.unique(places, axis=0, return_inverse=True)
        tile = tile.reshape(-1)
        for number in range(int(tile.max(initial=-1)) + 1):
            todo = np.flatnonzero(tile == number)
            margin = self.margin
            while len(todo):
                box = nearest[todo].min(axis=0) - margin, nearest[todo].max(axis=0) + 1 + margin
                areas[todo], contacts[todo], is_cut = self._in_box(*box, points[todo], normals[todo])
                todo, margin = todo[is_cut], 2 * margin
        return areas, contacts

    def _in_box(
        self,
        low: npt.NDArray[np.int64],
        high: npt.NDArray[np.int64],
        points: npt.NDArray[np.float64],
        normals: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Areas and contacts from the voxels in a box; and which sections it cuts."""
        frame = self.frame
        start = np.clip(low, frame.start, frame.stop)
        stop = np.clip(high, frame.start, frame.stop)
        if self.fill_holes:
            start, stop = np.array(frame.start), np.array(frame.stop)
        box = frame.box_of(start.tolist(), stop.tolist())
        layout = frame.layout
        coords = [one for one in self.coords if num_voxels(common(layout.chunk_box(one), box))]
        within = replace(frame, box=box)
        runs = (
            runs_of(within, [self.label], self.options, self.options.verify, coords) if coords else {}
        ).get(self.label)
        if runs is None or not len(runs):
            return np.zeros(len(points)), np.zeros(len(points), np.uint8), np.zeros(len(points), bool)
        runs = _binding.fill_voids(runs) if self.fill_holes else runs
        made = _binding.Runs.make(within.shape, [runs])
        areas, touched = skeleton_sections.sections(made, 0, frame.size, points - start, normals)
        inner = 0
        for axis in range(3):
            inner |= int(start[axis] > frame.start[axis]) << 2 * axis
            inner |= int(stop[axis] < frame.stop[axis]) << 2 * axis + 1
        return areas, touched, (touched & np.uint8(inner)) != 0


def cross_sectional_area(
    frame: Frame,
    skeletons: Any,
    find: Callable[[int], Iterable[Coords]],
    memory: int,
    options: Options,
    *,
    smoothing_window: Any,
    fill_holes: bool,
    multipass: Any,
    repair_contacts: Any,
    step: Any,
) -> None:
    """Set areas and contacts of skeletons: see ``crackle_zarr.cross_sectional_area``."""
    wanted = sections.options_of(smoothing_window, multipass, repair_contacts, False, step)
    pairs = by_label(skeletons)
    sections.check_repair(pairs, wanted)
    grid = grid_of(frame, memory)
    quiet = replace(options, progress=False)
    with Progress(options.progress, len(pairs), " skeletons") as show:
        for done, (label, one) in enumerate(pairs, start=1):
            coords = list(find(label))
            along = None
            if coords:
                margin = _margin(one, frame)
                along = Along(frame, grid, label, coords, margin, fill_holes, quiet)
            sections.measure(one, _voxels(one, frame), frame.size, wanted, along)
            show(done)


def _voxels(skeleton: Skeleton, frame: Frame) -> npt.NDArray[np.float64]:
    """The voxels of the array at which vertices are."""
    if skeleton.space == "voxel":
        return voxels_of(skeleton.vertices, "voxel", frame.size)
    vertices = skeleton.vertices.astype(np.float64) - np.array(frame.origin)
    return voxels_of(vertices, "physical", frame.size)


def _margin(skeleton: Skeleton, frame: Frame) -> npt.NDArray[np.int64]:
    widest = max(float(np.max(skeleton.radius, initial=0)), 0.0)
    reach = np.ceil(_RADII * widest / np.array(frame.size))
    return np.maximum(np.where(np.isfinite(reach), reach, 0), _LEAST).astype(np.int64)
