"""The position of voxels in space: the size of a voxel, its unit, and the position of the first voxel.

One type serves headers of files, attributes of Zarr arrays, and the transformations of OME-Zarr.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

# Known units in metres, with the names of OME-Zarr.
UNITS = {
    "angstrom": 1e-10,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "meter": 1.0,
}
# Other spellings in files. "m" is not among them: pynrrd drops characters that are not ASCII, so "µm" becomes
# "m".
SPELLINGS = {
    "Å": "angstrom",
    "a": "angstrom",
    "nm": "nanometer",
    "nanometers": "nanometer",
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "\\u00b5m": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
}

# The attributes of a plain Zarr array; one number per axis, in the array's own order.
SIZE, UNIT, ORIGIN = "voxel_size", "voxel_unit", "voxel_origin"


def unit_of(spelling: str) -> str | None:
    """The name of a unit from its spelling in a file; None if it is unknown."""
    name = str(spelling).strip().lower()
    return name if name in UNITS else SPELLINGS.get(name)


@dataclass(frozen=True)
class Space:
    """The position of voxels in space. A part that the file does not state is None.

    Attributes:
        voxel_size: the edges of a voxel, one per axis of the volume.
        unit: of the voxel size and the origin; a name of UNITS.
        origin: where the centre of the first voxel lies, one number per axis.
        affine: from the indices (x, y, z) of a voxel to millimetres towards right, anterior and superior:
            what NIfTI and NRRD know of rotation. Only they keep it.
    """

    voxel_size: tuple[float, ...] | None = None
    unit: str | None = None
    origin: tuple[float, ...] | None = None
    affine: npt.NDArray[np.float64] | None = None

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self.voxel_size is not None or self.origin is not None or self.affine is not None

    def transposed(self) -> Space:
        """For the same volume with its axes in reverse order.

        The affine is that of (x, y, z) all the same.
        """
        return replace(
            self,
            voxel_size=None if self.voxel_size is None else self.voxel_size[::-1],
            origin=None if self.origin is None else self.origin[::-1],
        )

    def padded(self, ndim: int) -> Space:
        """For a volume with more axes behind those of space: an edge of 1, and an origin of 0."""
        size, origin = self.voxel_size, self.origin
        return replace(
            self,
            voxel_size=None if size is None else size + (1.0,) * (ndim - len(size)),
            origin=None if origin is None else origin + (0.0,) * (ndim - len(origin)),
        )

    def of_axes(self, order: Sequence[int]) -> Space:
        """For the same volume with its axes in another order."""
        size, origin = self.voxel_size, self.origin
        return replace(
            self,
            voxel_size=None if size is None else tuple(size[axis] for axis in order),
            origin=None if origin is None else tuple(origin[axis] for axis in order),
        )

    def size_in(self, unit: str) -> tuple[float, ...] | None:
        """The edges of a voxel in a unit; a size without a unit is not converted."""
        return self._in(unit, self.voxel_size)

    def origin_in(self, unit: str) -> tuple[float, ...] | None:
        """The position of the first voxel in a unit."""
        return self._in(unit, self.origin)

    def _in(self, unit: str, numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if numbers is None or self.unit is None or self.unit == unit:
            return numbers
        # Round to 12 digits: 4e-6 m are 4 µm, and not 3.9999999999999996.
        return tuple(float(f"{n * UNITS[self.unit] / UNITS[unit]:.12g}") for n in numbers)

    def text(self, names: Sequence[str]) -> str:
        """The voxel size as text."""
        if self.voxel_size is None:
            return "unknown"
        size = " x ".join(f"{edge:g}" for edge in self.voxel_size)
        return f"{size} {self.unit or 'of no unit'} ({', '.join(names[: len(self.voxel_size)])})"

    @property
    def is_turned(self) -> bool:
        """Whether the axes of the volume differ from those of space.

        An origin and a size cannot express such an orientation.
        """
        if self.affine is None:
            return False
        edges = np.diag(self.affine)[:3]
        return bool(
            (edges <= 0).any()
            or not np.allclose(self.affine[:3, :3], np.diag(edges), atol=1e-6 * edges.max())
        )

    def placed(self) -> npt.NDArray[np.float64] | None:
        """The affine in millimetres. If it is unknown, it is made from the size and the origin, or None."""
        size, origin = self.size_in("millimeter"), self.origin_in("millimeter")
        if self.affine is not None or size is None or origin is None or len(size) != 3:
            return self.affine
        affine = np.diag([*size, 1.0])
        affine[:3, 3] = origin
        return affine

    def not_kept(self, *, size: bool = False, origin: bool = False, orientation: bool = False) -> str:
        """The known parts that a format cannot hold, as text; the arguments say which parts it can hold."""
        words = ["voxel size"] * (self.voxel_size is not None and not size)
        words += ["orientation"] * (self.is_turned and not orientation)
        has_origin = self.origin is not None or self.affine is not None
        keeps_origin = orientation or (origin and self.origin is not None)
        words += ["origin"] * (has_origin and not keeps_origin)
        return ", ".join(words)

    # -----------------------------------------------------------------------------------
    # Zarr

    def attributes(self) -> dict[str, Any]:
        """The attributes of a Zarr array, for a space in the array's own order of axes."""
        attributes: dict[str, Any] = {}
        if self.voxel_size is not None:
            attributes[SIZE] = list(self.voxel_size)
        if self.origin is not None:
            attributes[ORIGIN] = list(self.origin)
        if attributes and self.unit is not None:
            attributes[UNIT] = self.unit
        return attributes


def from_attributes(attributes: Mapping[str, Any], ndim: int) -> Space:
    """The space in the attributes of a Zarr array, in the array's order of axes; invalid parts are left out.

    Without these attributes, ``resolution`` and ``offset`` are used, which CREMI's files have, in nanometres.
    """
    size = numbers(attributes.get(SIZE), ndim, positive=True)
    origin = numbers(attributes.get(ORIGIN), ndim)
    if size is not None or origin is not None:
        return Space(size, unit_of(str(attributes.get(UNIT, ""))), origin)
    size = numbers(attributes.get("resolution"), ndim, positive=True)
    origin = numbers(attributes.get("offset"), ndim)
    known = size is not None or origin is not None
    return Space(size, "nanometer" if known else None, origin)


def numbers(value: Any, count: int, positive: bool = False) -> tuple[float, ...] | None:
    """A value as ``count`` finite numbers; None if it is something else."""
    try:
        found = tuple(map(float, value))
    except (TypeError, ValueError):
        return None
    sound = len(found) == count and count > 0 and all(math.isfinite(one) for one in found)
    return found if sound and (not positive or min(found) > 0) else None
