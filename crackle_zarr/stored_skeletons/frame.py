"""A stored array as skeletons see it: axes x, y and z, and where its voxels lie in space.

The array has its own axes, in any order. Here all tuples of three have the order x, y, z, and count voxels
from the array's first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from .._base import zarr_facts
from ..files import formats
from ..files.space import UNITS, Space
from ..ome.metadata import image_of_level, space_of
from ..skeletons.errors import DimensionError
from ..skeletons.parameters import voxel_size
from ..stored import lazy
from ..stored.engine import Options
from ..stored.layout import Box, Layout

Voxel = tuple[int, int, int]
Lengths = tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """An array, the part of it that is asked about, and its space. It pickles.

    Attributes:
        layout: of the array.
        box: the part, along the array's axes.
        order: the array's axes along which x, y and z go; fewer than three for an array of fewer axes.
        size: the edges of a voxel.
        origin: where the centre of the array's first voxel lies.
        unit: of both; None if nobody says it.
        has_size: whether the array or the caller states the size of a voxel.
    """

    layout: Layout
    box: Box
    order: tuple[int, ...]
    size: Lengths
    origin: Lengths
    unit: str | None
    has_size: bool = True

    @property
    def start(self) -> Voxel:
        """The first voxel of the part."""
        return self._three([self.box[axis][0] for axis in self.order], 0)

    @property
    def stop(self) -> Voxel:
        """The corner behind the last voxel of the part."""
        return self._three([self.box[axis][1] for axis in self.order], 1)

    @property
    def shape(self) -> Voxel:
        """The lengths of the part."""
        x, y, z = (stop - start for start, stop in zip(self.start, self.stop, strict=True))
        return x, y, z

    @property
    def unit_shape(self) -> Voxel:
        """The lengths of what is stored together: a shard, or else a chunk."""
        shards = self.layout.shards
        lengths = self.layout.longest if shards is None else shards.longest
        return self._three([lengths[axis] for axis in self.order], 1)

    @property
    def chunk_shape(self) -> Voxel:
        """The lengths of a chunk, the longest in a rectilinear grid."""
        return self._three([self.layout.longest[axis] for axis in self.order], 1)

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """The dtype of labels in tables: int64 or uint64."""
        return np.dtype(np.int64 if self.layout.native.kind == "i" else np.uint64)

    def box_of(self, start: Sequence[int], stop: Sequence[int]) -> Box:
        """The voxels from one corner to another, along the array's axes."""
        box = list(self.box)
        for place, axis in enumerate(self.order):
            box[axis] = (int(start[place]), int(stop[place]))
        return tuple(box)

    def read(self, start: Voxel, stop: Voxel, verify: bool) -> npt.NDArray[Any]:
        """The labels from one corner to another, with three axes.

        Raises:
            FormatError: a chunk is damaged; the message names it.
            StoreError: the store failed.
        """
        options = Options(parallel=1, verify=verify)
        voxels = lazy.read(self.layout, self.box_of(start, stop), options)
        return self.in_order(voxels)

    def in_order(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A part of the array with its axes in the order x, y, z, of which there are three."""
        others = [axis for axis in range(voxels.ndim) if axis not in self.order]
        turned = voxels.transpose((*self.order, *others))
        shape = (*turned.shape[: len(self.order)], *[1] * (3 - len(self.order)))
        return turned.reshape(shape, order="A")

    @staticmethod
    def _three(numbers: list[int], missing: int) -> Voxel:
        x, y, z = (*numbers, missing, missing, missing)[:3]
        return x, y, z


def frame_of(layout: Layout, box: Box, anisotropy: Any = None) -> Frame:
    """The frame of an array.

    Args:
        layout: of the array.
        box: the part that is asked about.
        anisotropy: the size of a voxel along x, y and z, at which the first voxel is the origin; None: size
            and origin as the array's metadata state them, or 1 and 0.

    Raises:
        DimensionError: an axis besides x, y and z is longer than 1 in the box.
    """
    order = spatial_axes(layout.array)
    names = names_of(layout.array) or ()
    for axis, (start, stop) in enumerate(box):
        if axis not in order and stop - start != 1:
            name = f" ({names[axis]})" if names and names[axis] else ""
            raise DimensionError(
                f"{layout.name} has {len(box)} axes, of which axis {axis}{name} is none of x, y and z: "
                f"choose one index of it by region, as in region=({', '.join(_example(len(box), axis))}), "
                f"of 0 to {layout.shape[axis] - 1}"
            )
    size, origin, unit, has_size = _space(layout.array, order, anisotropy)
    return Frame(layout, box, order, size, origin, unit, has_size)


def _example(ndim: int, axis: int) -> list[str]:
    return ["0" if one == axis else "slice(None)" for one in range(axis + 1)] + ["..."] * (axis + 1 < ndim)


def names_of(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    """The names of an array's axes: its own, those of its OME-Zarr image, or those that xarray wrote."""
    names = zarr_facts.dimension_names(array)
    if names is not None and all(names):
        return names
    image = image_of_level(array)
    if image is not None:
        return tuple(axis.name for axis in image[0].axes)
    given = array.attrs.get("_ARRAY_DIMENSIONS")
    if isinstance(given, list | tuple) and len(given) == array.ndim:
        return tuple(map(str, given))
    return names


def spatial_axes(array: zarr.Array[Any]) -> tuple[int, ...]:
    """The axes of an array along which x, y and z go.

    Names decide; without names, the last axis is x, the one before it y, and the one before that z.
    """
    names = names_of(array)
    order = formats.xyz_order(array.ndim, names)
    known = [str(name).lower() for name in names or ()]
    if len(known) == array.ndim and set(known) <= set("xyzct") and set(known) & set("xyz"):
        return tuple(axis for axis in order if known[axis] in "xyz")
    return order[:3]


def _space(
    array: zarr.Array[Any], order: tuple[int, ...], anisotropy: Any
) -> tuple[Lengths, Lengths, str | None, bool]:
    if anisotropy is not None:
        return voxel_size(anisotropy), (0.0, 0.0, 0.0), None, True
    space: Space = space_of(array)
    edges = [1.0] * array.ndim if space.voxel_size is None else list(space.voxel_size)
    places = [0.0] * array.ndim if space.origin is None else list(space.origin)
    size = voxel_size([*(edges[axis] for axis in order), 1.0, 1.0, 1.0][:3])
    x, y, z = [*(places[axis] for axis in order), 0.0, 0.0, 0.0][:3]
    return size, (x, y, z), space.unit, space.voxel_size is not None


def nanometres(length: float, unit: str | None) -> float:
    """Some nanometres in a unit; without a unit, lengths are in nanometres."""
    return length if unit is None else float(f"{length * 1e-9 / UNITS[unit]:.12g}")
