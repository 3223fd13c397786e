"""The volumes that meshes are made of: a stored array, a stream, or an array in memory.

All have axes x, y and z, and give the labels of a box. Of a stored array, the box is read from its chunks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .._base.integers import holds
from ..skeletons.objects import as_stream, with_three_axes
from ..skeletons.parameters import voxel_size
from ..stored import objects
from ..stored.engine import Options
from ..stored_skeletons.frame import Frame, Lengths, Voxel
from ..stored_skeletons.grid import Grid, grid_of
from ..streams import objects as stream_objects
from ..streams import stream

# What a tile takes for a voxel besides the labels, twice, in a dense segmentation of neurites: the triangles
# of zmesh, and a copy of them.
_NBYTES_PER_VOXEL = 50
# Up to so many labels, masks are decoded, and no other label.
_MOST_MASKS = 255


class Volume(Protocol):
    """A volume of labels, and its place in space."""

    @property
    def size(self) -> Lengths:
        """The edges of a voxel."""
        ...

    @property
    def origin(self) -> Lengths:
        """Where the centre of voxel (0, 0, 0) lies."""
        ...

    @property
    def unit(self) -> str | None:
        """Of both."""
        ...

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """The dtype of labels in tables: int64 or uint64."""
        ...

    def grid(self, memory: int) -> Grid:
        """The tiles, of some ``memory`` bytes each."""
        ...

    def read(self, start: Voxel, stop: Voxel, wanted: Iterable[int] | None) -> npt.NDArray[Any]:
        """The labels of a box; of a few that are wanted, those alone, and 0 elsewhere."""
        ...


@dataclass(frozen=True)
class StoredVolume:
    """A part of a stored array. It pickles."""

    frame: Frame
    verify: bool

    @property
    def size(self) -> Lengths:
        """See the protocol."""
        return self.frame.size

    @property
    def origin(self) -> Lengths:
        """See the protocol."""
        return self.frame.origin

    @property
    def unit(self) -> str | None:
        """See the protocol."""
        return self.frame.unit

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """See the protocol."""
        return self.frame.label_dtype

    def grid(self, memory: int) -> Grid:
        """Tiles of whole chunks."""
        return grid_of(self.frame, memory, nbytes_per_voxel(self.frame.layout.native))

    def read(self, start: Voxel, stop: Voxel, wanted: Iterable[int] | None) -> npt.NDArray[Any]:
        """See the protocol."""
        labels = None if wanted is None else sorted(wanted)
        if labels is None or len(labels) > _MOST_MASKS:
            return self.frame.read(start, stop, self.verify)
        box = self.frame.box_of(start, stop)
        dtype = self.frame.layout.native
        native = np.array([label for label in labels if holds(dtype, label)], dtype)
        # Tiles run side by side already, and whether chunks have the labels their tables say.
        options = Options(parallel=1, verify=self.verify, index="ignore")
        found = np.zeros([last - first for first, last in box], native.dtype)
        for label, crop in objects.select(self.frame.layout, native, box, options).items():
            place = tuple(
                slice(first - low, first - low + length)
                for first, (low, _), length in zip(crop.offset, box, crop.mask.shape, strict=True)
            )
            found[place][crop.mask] = label
        return self.frame.in_order(found)


@dataclass(frozen=True)
class MemoryVolume:
    """A stream or an array of NumPy with axes x, y, z, whose first voxel lies at the origin."""

    labels: Any
    shape: Voxel
    dtype: np.dtype[Any]
    size: Lengths
    origin: Lengths = (0.0, 0.0, 0.0)
    unit: str | None = None

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """See the protocol."""
        return np.dtype(np.int64 if self.dtype.kind == "i" else np.uint64)

    def grid(self, memory: int) -> Grid:
        """Tiles of whole slices."""
        x, y, z = self.shape
        slices = memory // (nbytes_per_voxel(self.dtype) * max(1, x * y))
        first: Voxel = (0, 0, 0)
        return Grid(first, self.shape, first, (max(1, x), max(1, y), max(1, min(z, slices))))

    def read(self, start: Voxel, stop: Voxel, wanted: Iterable[int] | None) -> npt.NDArray[Any]:
        """See the protocol; a stream decodes the slices."""
        labels = None if wanted is None else sorted(wanted)
        if isinstance(self.labels, np.ndarray):
            voxels: npt.NDArray[Any] = self.labels[:, :, start[2] : stop[2]]
            return voxels
        if labels is None or len(labels) > _MOST_MASKS or (start, stop) != ((0, 0, 0), self.shape):
            return stream.decompress(self.labels, parallel=1, z_start=start[2], z_end=stop[2])
        found = np.zeros(self.shape, self.dtype, order="F")
        there = set(stream.labels(self.labels).tolist())
        for label, (mask, offset) in stream_objects.select(
            self.labels, [label for label in labels if label in there], 1
        ).items():
            place = tuple(
                slice(first, first + length) for first, length in zip(offset, mask.shape, strict=True)
            )
            found[place][mask] = label
        return found

    def content(self) -> str:
        """A text that changes when a voxel does."""
        data = self.labels
        if isinstance(data, np.ndarray):
            total = 0
            for z in range(self.shape[2]):
                total = zlib.crc32(np.ascontiguousarray(data[:, :, z]).tobytes(), total)
            return f"{total:08x}"
        return f"{zlib.crc32(data):08x}"


def memory_volume(labels: Any, anisotropy: Any) -> MemoryVolume:
    """A volume in memory.

    Raises:
        TypeError: it is none, or labels are not integers or bool.
        DimensionError: there are more than three axes that are longer than 1.
    """
    size = voxel_size((1, 1, 1) if anisotropy is None else anisotropy)
    if stream.is_array(labels):
        array = with_three_axes(np.asarray(labels))
        x, y, z = array.shape
        return MemoryVolume(array, (x, y, z), array.dtype.newbyteorder("="), size)
    binary = as_stream(labels, 1)
    head = stream.header(binary)
    return MemoryVolume(binary, head.shape, np.dtype(head.dtype), size)


def nbytes_per_voxel(dtype: np.dtype[Any]) -> int:
    """The memory that a voxel of a tile takes."""
    return 2 * dtype.itemsize + _NBYTES_PER_VOXEL
