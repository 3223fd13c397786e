"""Neuroimaging formats that nibabel reads: FreeSurfer's MGH, Analyze and NIfTI pairs, MINC.

Headers come from nibabel. Plain voxels are mapped into memory, and compressed ones are read slab by slab.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..space import Space
from ..volumes import UnusableError
from .common import Box, Volume, in_file, positive, shape_text, without_ones
from .nifti import Slabs, axes_of, scaled_by, space_of


def read_mgh(
    nibabel: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]
) -> Volume:
    """The volume in an ``.mgh`` file, or within gzip an ``.mgz`` file."""
    head = nibabel.freesurfer.mghformat.MGHHeader.from_fileobj(content)
    shape = head.get_data_shape()
    volume = _stored(path, outer, head.get_data_dtype(), int(head.get_data_offset()), shape)
    affine = np.array(head.get_affine(), dtype=np.float64)
    space = _placed(head.get_zooms()[:3], affine)
    return replace(volume, space=space.padded(len(volume.shape)))


def read_pair(
    nibabel: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]
) -> Volume:
    """The volume in a ``.hdr`` file and the ``.img`` file beside it; either may be named."""
    image = nibabel.load(path)
    stored = image.dataobj
    inner = "gzip" if str(stored.file_like).lower().endswith(".gz") else None
    volume = _stored(Path(stored.file_like), inner, stored.dtype, int(stored.offset), stored.shape)
    ndim = len(volume.shape)
    if isinstance(image, nibabel.Nifti1Pair):
        space = space_of(image.header, min(3, ndim))
    else:  # Analyze does not say how its axes lie in space
        size = positive(image.header.get_zooms()[: min(3, ndim)])
        space = Space(size, "millimeter" if size else None)
    volume = replace(volume, space=space.padded(ndim))
    slope, inter = float(stored.slope), float(stored.inter)
    return volume if (slope, inter) == (1.0, 0.0) else scaled_by(volume, slope, inter)


def read_minc(
    nibabel: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]
) -> Volume:
    """The volume in a MINC file, of version 1 or 2; it scales its numbers, so they are floats."""
    image = nibabel.load(path) if path.suffix.lower() == ".mnc" else _minc_of_other_name(nibabel, path)
    stored = image.dataobj
    affine = np.array(image.affine, dtype=np.float64)
    # The file orders its axes as it likes, mostly z, y, x; they are along those of space.
    first = len(stored.shape) - 3
    if first < 0:
        raise UnusableError(f"{path}: a MINC file of {len(stored.shape)} axes: three are needed")
    along = [int(axis) for axis in nibabel.orientations.io_orientation(affine)[:, 0]]
    order = [along.index(axis) for axis in range(3)]

    def read_box(box: Box) -> npt.NDArray[Any]:
        parts = tuple(slice(*part.indices(n)[:2]) for part, n in zip(box, stored.shape, strict=True))
        found: npt.NDArray[Any] = np.asarray(stored[parts], dtype=np.float64)
        return found.reshape([part.stop - part.start for part in parts])

    volume = Volume(tuple(map(int, stored.shape)), np.dtype(np.float64), read_box, slow_axis=0)
    volume = volume.of_axes([first + axis for axis in order] + list(range(first)))
    affine[:, :3] = affine[:, order]
    space = _placed(np.linalg.norm(affine[:3, :3], axis=0).tolist(), affine)
    axes = axes_of(volume.shape) or None
    return replace(volume, space=space.padded(len(volume.shape)), axes=axes)


def _minc_of_other_name(nibabel: Any, path: Path) -> Any:
    return nibabel.Minc1Image.from_filename(str(path))


def _stored(
    path: Path, outer: str | None, dtype: np.dtype[Any], offset: int, lengths: tuple[int, ...]
) -> Volume:
    """Voxels at an offset of a file, x fastest; the size is checked before anything is allocated."""
    if dtype.kind not in "iuf":
        raise UnusableError(f"{path}: labels are numbers, not {dtype}")
    if not lengths or any(length < 1 for length in lengths):
        raise UnusableError(f"{path}: a damaged file: its axes are {shape_text(lengths)}")
    shape = without_ones(tuple(map(int, lengths)))
    needed = offset + math.prod(shape) * dtype.itemsize
    if outer is None:
        if path.stat().st_size < needed:
            raise UnusableError(f"{path}: a damaged file: it needs {needed:,} bytes or more")
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F")
        return in_file(mapped, axes=axes_of(shape))
    slabs = Slabs(path, outer, dtype, offset, shape)
    slabs.check_end(needed)
    return Volume(shape, dtype.newbyteorder("="), slabs.read_box, close=slabs.close, axes=axes_of(shape))


def _placed(zooms: Any, affine: npt.NDArray[np.float64]) -> Space:
    """A space in millimetres from the edges of a voxel and an affine."""
    size = positive(zooms)
    if size is None or not np.isfinite(affine).all():
        return Space()
    size = tuple(float(f"{edge:.7g}") for edge in size)  # many are float32
    space = Space(size, "millimeter", None, affine)
    return space if space.is_turned else replace(space, origin=tuple(affine[:3, 3].tolist()))
