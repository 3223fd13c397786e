"""Formats that SimpleITK reads: MetaImage (.mha, .mhd), GIPL and legacy VTK images.

Boxes are read on demand from files whose voxels are not compressed; others are read whole, because the
library would decompress all of them for each box.
"""

from __future__ import annotations

import contextlib
import locale
import logging
import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..space import Space
from ..volumes import UnusableError
from .common import Box, Volume, bool_as_integers, in_memory

# ITK's axes of space are left, posterior, superior; those of a space are right, anterior, superior.
_LPS = np.array([-1.0, -1.0, 1.0])


@contextlib.contextmanager
def _same_locale() -> Iterator[None]:
    """Keep the process's locale. ITK makes it "C" as it reads VTK, and Python then decodes files as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        if locale.setlocale(locale.LC_ALL) != before:
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, before)


@_same_locale()
def read(itk: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The volume in a file."""
    itk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    shape = tuple(map(int, reader.GetSize()))
    samples = int(reader.GetNumberOfComponents())
    space = _space(reader, len(shape)).padded(len(shape))
    names = tuple("xyzt"[: len(shape)])
    fields, header = _fields(path)
    if fields:
        dtype = _dtype(itk, reader)
        _check_size(path, fields, header, math.prod(shape) * samples * dtype.itemsize)
    if fields and samples == 1 and fields.get("compresseddata", "").lower() != "true":

        def read_box(box: Box) -> npt.NDArray[Any]:
            parts = [range(*part.indices(n)) for part, n in zip(box, shape, strict=True)]
            if not all(map(len, parts)):
                return np.empty([len(part) for part in parts], dtype)
            part_of = itk.ImageFileReader()
            part_of.SetFileName(str(path))
            part_of.SetExtractIndex([part.start for part in parts])
            part_of.SetExtractSize([len(part) for part in parts])
            found: npt.NDArray[Any] = itk.GetArrayFromImage(part_of.Execute()).T
            return found

        return Volume(shape, dtype, read_box, space, axes=names)
    array = itk.GetArrayFromImage(reader.Execute())
    if samples > 1:  # samples are the last axis
        volume = in_memory(array, axes=(*names[::-1], "s"))
        return replace(volume.of_axes([*range(len(shape) - 1, -1, -1), len(shape)]), space=space)
    return in_memory(array.T, space=space, axes=names)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a MetaImage's header, and its length in bytes; none of another format."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        for _ in range(200):
            name, equals, value = file.readline(2**16).decode("latin-1").partition("=")
            if not equals or not name.strip().isalnum():
                return {}, 0
            fields[name.strip().lower()] = value.strip()
            if name.strip().lower() == "elementdatafile":
                return fields, file.tell()
    return {}, 0


def _check_size(path: Path, fields: dict[str, str], header: int, nbytes: int) -> None:
    """Raise UnusableError if voxels are missing at the end: some versions of the library fill them with 0."""
    if fields.get("elementdatafile", "").upper() != "LOCAL":
        return
    stored = fields.get("compresseddatasize", "0")
    compressed = fields.get("compresseddata", "").lower() == "true"
    needed = header + (int(stored) if compressed and stored.isdecimal() else 0 if compressed else nbytes)
    if path.stat().st_size < needed:
        raise UnusableError(f"{path}: a damaged MetaImage file: it needs {needed:,} bytes or more")


def _dtype(itk: Any, reader: Any) -> np.dtype[Any]:
    """The dtype of the voxels, from an image of one voxel of the same kind."""
    samples = int(reader.GetNumberOfComponents())
    one = itk.Image([1] * len(reader.GetSize()), reader.GetPixelID(), samples if samples > 1 else 0)
    dtype: np.dtype[Any] = itk.GetArrayViewFromImage(one).dtype
    return dtype


def _space(reader: Any, ndim: int) -> Space:
    size = tuple(map(float, reader.GetSpacing()))[:3]
    place = np.array(reader.GetOrigin(), dtype=np.float64)[:3]
    turn = np.array(reader.GetDirection(), dtype=np.float64).reshape(ndim, ndim)[:3, :3]
    if not np.isfinite(size).all() or min(size) <= 0:
        return Space()
    origin = tuple(place.tolist()) if np.allclose(turn, np.eye(len(turn))) else None
    if ndim < 3:
        return Space(size, "millimeter", origin)
    affine = np.eye(4)
    affine[:3, :3] = _LPS[:, None] * turn * np.array(size)
    affine[:3, 3] = _LPS * place
    return Space(size, "millimeter", origin, affine)


def write(itk: Any, file: IO[bytes], volume: Volume) -> None:
    """Write a compressed MetaImage."""
    array = bool_as_integers(volume.array)
    if array.ndim < 2:
        raise ValueError(f"MetaImage has two or three axes, and this volume has {array.ndim}")
    image = itk.GetImageFromArray(np.ascontiguousarray(array.T))
    space = volume.space
    size, origin, affine = space.size_in("millimeter"), space.origin_in("millimeter"), space.affine
    if affine is not None and array.ndim == 3:
        edges = np.linalg.norm(affine[:3, :3], axis=0)
        image.SetSpacing(edges.tolist())
        image.SetDirection((_LPS[:, None] * affine[:3, :3] / edges).ravel().tolist())
        image.SetOrigin((_LPS * affine[:3, 3]).tolist())
    else:
        if size is not None and len(size) == array.ndim:
            image.SetSpacing(size)
        if origin is not None and len(origin) == array.ndim:
            image.SetOrigin(origin)
    # The library writes to paths only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.mha"
        itk.WriteImage(image, str(path), True)
        with open(path, "rb") as written:
            shutil.copyfileobj(written, file)
