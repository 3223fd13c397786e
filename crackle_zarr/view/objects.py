"""The voxels of one label as a mask of bounded size, from the chunks that hold the label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..ome.metadata import space_of
from ..stored.chunk import Chunk
from ..stored.engine import Options, ask
from ..stored.fetch import Steps
from ..stored.layout import Box, Layout
from ..stored.objects import Part, assembled, parts_of
from ..stored.queries import Found, Table, find
from .volume import Triple, Volume

# The exact box of a label in more chunks than these would take longer than it saves.
_FEW_CHUNKS = 8


class Mask(NamedTuple):
    """A label at a resolution of its own.

    Attributes:
        voxels: (x, y, z); a voxel is set if any voxel that it covers has the label.
        start: the index of the first voxel, counted in voxels of this size.
        stride: the edges of a voxel, in voxels of the volume.
    """

    voxels: npt.NDArray[np.bool_]
    start: Triple
    stride: Triple


@dataclass(frozen=True)
class Coarse:
    """Asks each chunk for the parts of a label, with ``stride`` voxels in one along each axis."""

    labels: Table
    stride: tuple[int, ...]

    def ask(self, chunk: Chunk) -> Steps[list[Part] | None]:
        """The parts in one chunk."""
        parts = yield from parts_of(chunk, self.labels, verify=True)
        found = [_coarse(part, self.stride) for some in parts.values() for part in some]
        return found or None

    def merge(self, a: list[Part], b: list[Part]) -> list[Part]:
        """The parts of both; ``a`` takes those of ``b``."""
        a.extend(b)
        return a

    def enough(self, answer: list[Part]) -> bool:
        """Never: another chunk may hold more."""
        return False


def _coarse(part: Part, stride: tuple[int, ...]) -> Part:
    """A part with ``stride`` voxels in one, on a grid that begins at the array's first voxel."""
    mask = part.mask
    box: list[tuple[int, int]] = []
    for axis, ((start, stop), by) in enumerate(zip(part.box, stride, strict=True)):
        box.append((start // by, -(-stop // by)))
        if by > 1:
            mask = _any_of(mask, axis, by, start % by)
    return Part.of(mask, tuple(box))


def _any_of(mask: npt.NDArray[np.bool_], axis: int, by: int, first: int) -> npt.NDArray[np.bool_]:
    """``by`` voxels in one along an axis; ``first`` are missing at its beginning."""
    shape = list(mask.shape)
    shape[axis] = -(-(first + shape[axis]) // by)
    out = np.zeros(shape, np.bool_)
    for offset in range(by):
        # Voxel i of the mask is in place (first + i) // by; of those, every by-th from here on.
        part = mask[(slice(None),) * axis + (slice((offset - first) % by, None, by),)]
        place = 0 if offset >= first else 1
        out[(slice(None),) * axis + (slice(place, place + part.shape[axis]),)] |= part
    return out


def native_label(volume: Volume, shown: int) -> int | None:
    """The label of the array from the unsigned one that the page shows; None if the array cannot hold it."""
    dtype = volume.source.array.dtype
    bits = 1 if dtype.kind == "b" else 8 * dtype.itemsize
    if not 0 <= shown < 2**bits:
        return None
    return shown - 2**bits if dtype.kind == "i" and shown >= 2 ** (bits - 1) else shown


def shown_label(volume: Volume, label: int) -> int:
    """The unsigned integer that the page shows for a label of the array."""
    return int(label % 2 ** (8 * volume.dtype.itemsize))


def mask_of(layout: Layout, volume: Volume, label: int, most: int) -> Mask | None:
    """The mask of a label, of about ``most`` voxels or fewer; None if the array does not have the label.

    Args:
        layout: of the finest level.
        volume: which knows the axes.
        label: of the array.
        most: the bounding box is reduced until it has no more voxels.

    Raises:
        StoreError: the store failed.
        FormatError: a chunk is damaged.
    """
    options = Options(parallel=1)
    everything: Box = layout.everything
    found = find(layout, label, everything, options, space_of)
    if not found.chunks:
        return None
    stride = _stride(_lengths(found, layout), volume, most)
    question = Coarse(np.array([label], dtype=layout.native), stride)
    parts = ask(layout, question, everything, options, found.chunks)
    if not parts:
        return None
    crop = assembled(parts)
    start, by = volume.along_xyz(crop.offset, 0), volume.along_xyz(stride, 1)
    return Mask(volume.to_xyz(crop.mask), start, by)


def _lengths(found: Found, layout: Layout) -> list[int]:
    """The edges of the bounding box of a label; of a label in many chunks, of the box of these chunks."""
    if len(found.chunks) <= _FEW_CHUNKS and found.slices is not None:
        return [part.stop - part.start for part in found.slices]
    coords = np.array(found.chunks)
    first, last = coords.min(axis=0).tolist(), coords.max(axis=0).tolist()
    ends = zip(layout.chunk_box(first), layout.chunk_box(last), layout.shape, strict=True)
    return [min(stop, length) - start for (start, _), (_, stop), length in ends]


def _stride(lengths: list[int], volume: Volume, most: int) -> tuple[int, ...]:
    """How many voxels in one along each axis: first along those whose voxels are short."""
    stride = [1] * len(lengths)
    size: dict[int, float] = dict(zip(volume.order, volume.voxel_size, strict=False))

    def voxels() -> int:
        return math.prod(-(-length // by) for length, by in zip(lengths, stride, strict=True))

    while voxels() > most:
        axis = min(size, key=lambda one: (size[one] * stride[one], -lengths[one]))
        if stride[axis] >= lengths[axis]:
            del size[axis]
            continue
        stride[axis] += 1
    return tuple(stride)


def point_in(mask: Mask) -> tuple[float, float, float]:
    """A point (x, y, z) in voxels of the volume within the label, near its middle."""
    points: Any = np.argwhere(mask.voxels)
    distance = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    nearest = points[int(distance.argmin())]
    x, y, z = (
        float((one + first + 0.5) * by)
        for one, first, by in zip(nearest, mask.start, mask.stride, strict=True)
    )
    return x, y, z
