"""The first pass: the pieces of the labels of one tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..skeletons.objects import Objects, find_objects
from ..skeletons.parameters import ALL_FACES
from ..skeletons.teasar import targets_of, trace
from ..streams import stream
from . import pieces
from .fingerprint import fingerprint_of
from .frame import Frame, Voxel
from .grid import Grid
from .pieces import Histogram, Piece
from .settings import Settings

FINGERPRINT = b"crackle_zarr.fingerprint"


def tile_path(folder: Path, tile: Voxel) -> Path:
    """The file of a tile's pieces."""
    return folder / ("tile-" + "-".join(f"{index:05d}" for index in tile) + ".parquet")


def tile_of(path: Path) -> Voxel:
    """The tile whose file this is."""
    x, y, z = map(int, path.stem.split("-")[1:])
    return x, y, z


@dataclass(frozen=True)
class TraceTile:
    """Trace the labels of a tile, and write their pieces; or take those that are there."""

    frame: Frame
    grid: Grid
    settings: Settings
    folder: Path
    tile: Voxel

    @property
    def weight(self) -> int:
        """Tiles."""
        return 1

    def __call__(self) -> Histogram:
        """Do it.

        Raises:
            FormatError: a chunk is damaged; the message names it.
            StoreError: the store failed.
            OSError: the file cannot be written.
        """
        path = tile_path(self.folder, self.tile)
        if not path.exists():
            told = {FINGERPRINT: fingerprint_of(self.frame, *self.grid.own(self.tile)).encode()}
            found = pieces_of_tile(self.frame, self.grid, self.settings, self.tile)
            pieces.write(path, found, self.frame.label_dtype, told)
        return pieces.histogram_of(path)


def pieces_of_tile(frame: Frame, grid: Grid, settings: Settings, tile: Voxel) -> list[Piece]:
    """The pieces of the labels of a tile."""
    start, stop = grid.shared(tile)
    voxels = frame.read(start, stop, settings.verify)
    if not voxels.any():
        return []
    binary = stream.compress(voxels, preset="fast", parallel=1)
    shape: Voxel = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    del voxels
    seams = grid.seams(tile)
    fields = settings.fields(frame.size)
    fields["border_faces"] = ALL_FACES if settings.fix_borders else seams

    def keep(extents: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        # What a seam cuts may be large, and a single voxel may join what lies behind.
        cut = _touches(extents["start"], extents["stop"], shape, seams)
        large = extents["voxels"] > max(settings.dust_threshold, 1)
        # The next tile has all voxels of an object in the plane that they share, and all its connections.
        elsewhere = _in_plane(extents["start"], extents["stop"], shape, seams & 0b101010)
        kept: npt.NDArray[np.bool_] = (large | (cut & (extents["voxels"] > 0))) & ~elsewhere
        return kept

    objects = find_objects(binary, settings.labels, keep, 1, settings.changes(fields))
    own = grid.own(tile)
    targets = targets_of(
        objects,
        _within(settings.before, own, start),
        _within(settings.after, own, start),
    )
    traced = trace(objects, fields, targets)
    cut = _touches(objects.start, objects.stop, shape, seams)
    somas = [one.soma_radius > 0 for _, one in sorted(traced.items())]
    # What a cell body accounts for has no paths, and would not meet the tiles behind: trace it plainly.
    plain = {**fields, "soma_acceptance": math.inf}
    for number in np.flatnonzero(cut & np.array(somas, bool)).tolist():
        objects.runs.trace(plain, targets, [number, number + 1], 1, traced.__setitem__)
    flat = _in_plane(objects.start, objects.stop, shape, seams & 0b010101)
    made = []
    for number, label in enumerate(objects.labels):
        one = traced[number]
        vertices, radii, edges = one.vertices, one.radii, one.edges
        if not len(vertices):
            if objects.voxels[number] != 1:
                continue
            vertices, radii = objects.start[number][None], np.array([min(frame.size)], np.float32)
            edges = np.zeros((0, 2), np.uint32)
        elif flat[number] and one.root is not None:
            # The tile before has traced it too. Its root is a target on a seam, where it meets the rest.
            vertices, radii = vertices[one.root][None], radii[one.root][None]
            edges = np.zeros((0, 2), np.uint32)
        made.append(
            Piece(
                label,
                _own_voxels(objects, number, shape, seams),
                somas[number],
                bool(cut[number]),
                (vertices + np.array(start)).astype(np.uint32),
                radii,
                edges,
            )
        )
    return made


def _touches(
    start: npt.NDArray[Any], stop: npt.NDArray[Any], shape: Voxel, seams: int
) -> npt.NDArray[np.bool_]:
    """Whether boxes reach a face that is a seam."""
    touched = np.zeros(len(start), bool)
    for axis in range(3):
        if seams >> 2 * axis & 1:
            touched |= start[:, axis] == 0
        if seams >> 2 * axis + 1 & 1:
            touched |= stop[:, axis] == shape[axis]
    return touched


def _in_plane(
    start: npt.NDArray[Any], stop: npt.NDArray[Any], shape: Voxel, seams: int
) -> npt.NDArray[np.bool_]:
    """Whether boxes lie in the plane of a face that is a seam."""
    within = np.zeros(len(start), bool)
    for axis in range(3):
        if seams >> 2 * axis & 1:
            within |= stop[:, axis] == 1
        if seams >> 2 * axis + 1 & 1:
            within |= start[:, axis] == shape[axis] - 1
    return within & (stop > start).all(axis=1)


def _own_voxels(objects: Objects, number: int, shape: Voxel, seams: int) -> int:
    """The voxels of an object without those in the planes that belong to the next tiles."""
    ends = [length - (seams >> 2 * axis + 1 & 1) for axis, length in enumerate(shape)]
    if (objects.stop[number] <= ends).all():
        return int(objects.voxels[number])
    runs = objects.runs.of(number)
    runs = runs[(runs["y"] < ends[1]) & (runs["z"] < ends[2]) & (runs["x"] < ends[0])]
    return int((np.minimum(runs["end"], ends[0]) - runs["x"]).sum(dtype=np.int64))


def _within(points: tuple[Voxel, ...], box: tuple[Voxel, Voxel], start: Voxel) -> list[tuple[int, ...]]:
    """The voxels in a box, counted from the first voxel of a tile."""
    return [
        tuple(int(index - first) for index, first in zip(point, start, strict=True))
        for point in points
        if all(low <= index < high for low, index, high in zip(box[0], point, box[1], strict=True))
    ]
