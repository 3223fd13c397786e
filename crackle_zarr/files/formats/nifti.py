"""NIfTI: axes (x, y, z), x fastest; the header has an affine, the edges of a voxel and their unit."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..._base import atomic_files
from ..space import Space
from ..volumes import UnusableError
from .common import Box, Volume, bool_as_integers, in_file, positive, shape_text, without_ones

# Units of space by their codes. A header without a unit is assumed to mean millimetres.
_XYZT = {1: "meter", 2: "millimeter", 3: "micrometer"}
_TO_MILLIMETRES = {"meter": 1000.0, "millimeter": 1.0, "micrometer": 1e-3}
_NIFTI1_AXIS = 2**15 - 1


def read(nibabel: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The volume in a file that is open at its beginning.

    Plain files are mapped into memory; compressed files are read slab by slab.
    """
    second = content.peek(8)[4:7] == b"n+2"
    head = (nibabel.Nifti2Header if second else nibabel.Nifti1Header).from_fileobj(content)
    stored = head.get_data_dtype()
    if stored.kind not in "iuf":
        raise UnusableError(f"{path}: labels are numbers, not {stored}")
    lengths = head.get_data_shape()
    if any(length < 1 for length in lengths):
        raise UnusableError(f"{path}: a damaged NIfTI file: its axes are {shape_text(lengths)}")
    shape = without_ones(lengths)
    _refuse_cifti(path, head)
    offset = int(head.get_data_offset())
    needed = offset + math.prod(shape) * stored.itemsize
    # Check the size before allocating what a damaged header may claim.
    if outer is None and path.stat().st_size < needed:
        raise UnusableError(f"{path}: a damaged NIfTI file: it needs {needed:,} bytes or more")
    space = space_of(head, min(3, len(shape))).padded(len(shape))
    fields: dict[str, Any] = {
        "space": space,
        "header": (head, head.get_best_affine()),
        "axes": axes_of(shape),
    }
    if outer is None:
        mapped = np.memmap(path, dtype=stored, mode="r", offset=offset, shape=shape, order="F")
        volume = in_file(mapped, **fields)
    else:
        slabs = Slabs(path, outer, stored, offset, shape)
        volume = Volume(shape, stored.newbyteorder("="), slabs.read_box, close=slabs.close, **fields)
        slabs.check_end(needed)
    slope, inter = (1.0 if value is None else value for value in head.get_slope_inter())
    return volume if (slope, inter) == (1.0, 0.0) else scaled_by(volume, float(slope), float(inter))


def axes_of(shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """The names of the axes: x, y, z, time, and a fifth of values."""
    return tuple("xyztc"[: len(shape)]) if len(shape) <= 5 else None


# The intents of CIFTI-2: dense and parcellated matrices.
_CIFTI_INTENTS = range(3000, 3100)


def _refuse_cifti(path: Path, head: Any) -> None:
    if int(head["intent_code"]) in _CIFTI_INTENTS:
        raise UnusableError(
            f"{path}: a CIFTI file, whose numbers belong to vertices of surfaces and not to voxels: "
            f"'wb_command -cifti-separate' writes its volume as NIfTI"
        )


def scaled_by(volume: Volume, slope: float, inter: float) -> Volume:
    """A volume with its numbers scaled (scl_slope, scl_inter): floats, which may be whole numbers."""
    read_box = volume.read_box

    def scaled(box: Box) -> npt.NDArray[Any]:
        return read_box(box) * np.float64(slope) + np.float64(inter)

    return replace(
        volume,
        dtype=np.dtype(np.float64),
        read_box=scaled,
        header=None,
        note=f"scaled by scl_slope {slope:g} and scl_inter {inter:g}",
    )


class Slabs:
    """Reads the voxels of a compressed file from beginning to end, a few slices at a time.

    To read an earlier slice, it starts again at the beginning.
    """

    def __init__(
        self, path: Path, outer: str, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]
    ) -> None:
        self._path, self._outer, self._dtype, self._offset, self._shape = path, outer, dtype, offset, shape
        self._stream: Any = None
        self._file: Any = None
        self._place = 0
        self._kept: tuple[int, int, Any] | None = None

    def read_box(self, box: Box) -> npt.NDArray[Any]:
        """The voxels of a box; the last slab read is kept."""
        start, stop, _ = box[-1].indices(self._shape[-1])
        if self._kept is None or not self._kept[0] <= start <= stop <= self._kept[1]:
            self._kept = None  # frees the slab before the next is read
            self._kept = (start, stop, self._slab(start, stop))
        first, _, slab = self._kept
        return np.array(slab[(*box[:-1], slice(start - first, stop - first))], order="K")

    def _slab(self, start: int, stop: int) -> npt.NDArray[Any]:
        plane = math.prod(self._shape[:-1]) * self._dtype.itemsize
        self._go_to(self._offset + start * plane)
        raw = self._stream.read((stop - start) * plane)
        self._place += len(raw)
        if len(raw) != (stop - start) * plane:
            raise UnusableError(f"{self._path}: a damaged file: it ends within its voxels")
        shape = (*self._shape[:-1], stop - start)
        found = np.frombuffer(raw, self._dtype).reshape(shape, order="F")
        return found.astype(self._dtype.newbyteorder("="), copy=False)

    def _go_to(self, place: int) -> None:
        if self._stream is None or place < self._place:
            self.close()
            self._file = open(self._path, "rb")  # noqa: SIM115 - closed with the volume, or by the next call
            self._stream, self._place = atomic_files.decompressor(self._file, self._outer), 0
        while self._place < place:
            skipped = len(self._stream.read(min(2**20, place - self._place)))
            if not skipped:
                raise UnusableError(f"{self._path}: a damaged file: it ends before its voxels")
            self._place += skipped

    def check_end(self, needed: int) -> None:
        """Read to the end once: only there, the decompressor verifies the checksum."""
        nbytes = 0
        try:
            self._go_to(0)
            while piece := self._stream.read(2**20):
                nbytes += len(piece)
        finally:
            self.close()
        if nbytes < needed:
            raise UnusableError(f"{self._path}: a damaged NIfTI file: it needs {needed:,} bytes or more")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = self._stream = None


def space_of(head: Any, ndim: int) -> Space:
    """The space of the first axes of a header."""
    code = int(head["xyzt_units"]) & 7
    unit = _XYZT.get(code, "millimeter")
    declared = int(head["sform_code"]) > 0 or int(head["qform_code"]) > 0
    affine = np.array(head.get_best_affine(), dtype=np.float64)
    affine[:3] *= _TO_MILLIMETRES[unit]
    placed = declared and ndim == 3 and bool(np.isfinite(affine).all())
    size = positive(head.get_zooms()[:ndim])
    size = None if size is None else tuple(float(f"{edge:.7g}") for edge in size)  # they are float32
    if not declared and not code and size == (1.0,) * ndim:
        size = None  # the defaults of a header
    space = Space(size, unit if size is not None or placed else None, None, affine if placed else None)
    if not placed or space.is_turned:
        return space
    origin = tuple((affine[:3, 3] / _TO_MILLIMETRES[unit]).tolist())
    return Space(size, unit, origin, affine)


def write(nibabel: Any, file: IO[bytes], volume: Volume) -> None:
    """Write a file, with the source's header if the source is NIfTI too."""
    array, space = bool_as_integers(volume.array), volume.space
    header, affine = None, space.placed()
    if volume.format == "nifti" and volume.header is not None:
        header, affine = volume.header
    # The header of NIfTI-1 stores lengths in 16 bits.
    second = max(array.shape) > _NIFTI1_AXIS or isinstance(header, nibabel.Nifti2Header)
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    # Without an explicit dtype, nibabel rejects 64-bit integers.
    image = kind(array, affine, header, dtype=array.dtype)
    image.header.set_slope_inter(1, 0)
    if header is None:
        size = space.size_in("millimeter")
        image.header.set_xyzt_units("mm" if size is not None or affine is not None else "unknown")
        if affine is not None:
            image.set_sform(affine, "scanner")
        elif size is not None:
            image.header.set_zooms(size)
    image.to_stream(file)
