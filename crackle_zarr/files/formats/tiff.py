"""TIFF: a page for each z, rows along y, columns along x: the array has the axes (z, y, x), the transpose."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..space import UNITS, Space, unit_of
from ..volumes import UnusableError
from .common import Box, Volume, check_axes, in_file, in_memory, positive

# tifffile's warnings about lost voxels; its other warnings are about metadata.
_LOSS = re.compile("missing|corrupt|expected|out of range|does not match|failed to re")
# Usual resolutions of printers and screens, in dots per inch: they say nothing about a voxel.
_PRINTED = {72.0, 96.0, 100.0, 150.0, 200.0, 240.0, 300.0, 400.0, 600.0, 1200.0}


def read(tifffile: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The volume in a file that is open at its beginning.

    Contiguous voxels are mapped into memory; otherwise pages are read.
    """
    tiff = tifffile.TiffFile(content)
    series = tiff.series
    if len(series) != 1:
        raise UnusableError(
            f"{path}: {len(series)} images in one TIFF file: its pages are not those of one volume"
        )
    (one,) = series
    if one.dtype.kind not in "iubf":
        raise UnusableError(f"{path}: labels are numbers, not {one.dtype}")
    space = _space(tiff)
    by_page = (
        len(one.pages) > 1 and one.axes[-2:] == "YX" and one.ndim == 3 and len(one.pages) == one.shape[0]
    )
    if outer is None and one.dataoffset is not None and one.ndim <= 3 and one.axes[-2:] == "YX":
        mapped = np.memmap(path, one.dtype.newbyteorder(tiff.byteorder), "r", one.dataoffset, one.shape)
        volume = in_file(mapped.T, space=space)
        _check_log(path, log)
    elif outer is None and by_page:
        pages = _Pages(tifffile, path, one.shape, one.dtype)
        volume = Volume(one.shape[::-1], one.dtype.newbyteorder("="), pages.read_box, space)
        _check_log(path, log)
    else:
        array, axes = _whole(path, one), one.axes
        _check_log(path, log)
        array, axes = _in_order(path, array, axes)
        volume = in_memory(array.T, space=space)
    if space.voxel_size is not None and len(space.voxel_size) != len(volume.shape):
        return Volume(volume.shape, volume.dtype, volume.read_box)
    return volume


def _whole(path: Path, series: Any) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = series.asarray()
    except ValueError as error:
        if "imagecodecs" in str(error):
            raise UnusableError(f"{path}: {error}: pip install imagecodecs") from error
        raise
    return array


def _check_log(path: Path, log: list[logging.LogRecord]) -> None:
    """Raise UnusableError if pages or parts of them are missing, which the library only logs."""
    for record in log:
        if record.levelno >= logging.ERROR or _LOSS.search(record.getMessage()):
            raise UnusableError(f"{path}: a damaged TIFF file: {record.getMessage()}")


class _Pages:
    """Reads several pages at a time, and keeps the last ones read."""

    def __init__(self, tifffile: Any, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._tifffile, self._path, self._shape, self._dtype = tifffile, path, shape, dtype
        self._kept: tuple[int, int, Any] | None = None

    def read_box(self, box: Box) -> npt.NDArray[Any]:
        start, stop, _ = box[-1].indices(self._shape[0])
        if self._kept is None or not self._kept[0] <= start <= stop <= self._kept[1]:
            self._kept = (start, stop, self._slab(start, stop))
        first, _, slab = self._kept
        return np.array(slab[(*box[:-1], slice(start - first, stop - first))], order="K")

    def _slab(self, start: int, stop: int) -> npt.NDArray[Any]:
        from .common import working

        slab = np.empty((stop - start, *self._shape[1:]), dtype=self._dtype.newbyteorder("="))
        with (
            working(self._path, "a damaged or foreign TIFF file") as log,
            self._tifffile.TiffFile(self._path) as tiff,
        ):
            for z in range(start, stop):
                slab[z - start] = _whole(self._path, tiff.series[0].pages[z])
            _check_log(self._path, log)
        return slab.T


def _in_order(path: Path, array: npt.NDArray[Any], axes: str) -> tuple[npt.NDArray[Any], str]:
    """An array with the axes (y, x), or with one more before them."""
    if "S" in axes:
        channel = axes.index("S")
        if array.shape[channel] > 1:
            raise UnusableError(
                f"{path}: a TIFF file of colours ({array.shape[channel]} samples per pixel), but labels are "
                f"single integers"
            )
        array, axes = array.squeeze(channel), axes.replace("S", "")
    for name in "YX":
        if name not in axes:  # a single row or column, which the library dropped
            array, axes = array[..., None], axes + name
    for name in [name for name in axes if name not in "YX"]:
        if array.ndim > 3 and array.shape[axes.index(name)] == 1:
            array, axes = array.squeeze(axes.index(name)), axes.replace(name, "")
    check_axes(path, array.shape, axes)
    order = sorted(range(array.ndim), key=lambda axis: (" YX".find(axes[axis]), axis))
    return array.transpose(order), "".join(axes[axis] for axis in order)


def _space(tiff: Any) -> Space:
    """The edges of a voxel (x, y, z).

    They come from the metadata of this package, ImageJ or OME, or from the resolution of the pages.
    """
    if tiff.shaped_metadata:
        size = positive(tiff.shaped_metadata[0].get("voxel_size_mm", ()))
        if size is not None:
            return Space(size, "millimeter")
    tags = tiff.pages[0].tags
    if tiff.imagej_metadata:
        unit = unit_of(str(tiff.imagej_metadata.get("unit", "")).encode().decode("unicode_escape", "replace"))
        unit = unit or unit_of(str(tiff.imagej_metadata.get("unit", "")))
        edges = _edges(tags)
        if unit is None or edges is None:
            return Space()
        if "spacing" in tiff.imagej_metadata:
            edges.append(float(tiff.imagej_metadata["spacing"]))
        size = positive(edges)
        return Space(size, unit if size else None)
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", tiff.ome_metadata or "")
    if pixels is not None:
        return _space_of_ome(pixels[0])
    return _space_of_resolution(tags)


def _edges(tags: Any) -> list[float] | None:
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    ratios = [tags[name].value for name in ("XResolution", "YResolution")]
    return [unit / count if count else math.nan for count, unit in ratios]


def _space_of_ome(pixels: str) -> Space:
    edges, units = [], []
    for axis in "XYZ":
        edge = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', pixels)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', pixels)
        if edge is not None:
            edges.append(float(edge[1]))
            units.append(unit_of(unit[1]) if unit else "micrometer")
    if not edges or any(unit is None for unit in units):
        return Space()
    # The axes may have different units: convert all to the first one.
    (first, *_) = known = [UNITS[str(unit)] for unit in units]
    size = positive([float(f"{edge * one / first:.12g}") for edge, one in zip(edges, known, strict=True)])
    return Space(size, units[0] if size else None)


def _space_of_resolution(tags: Any) -> Space:
    """The edges along x and y, from the resolution of the pages.

    The resolution is per centimetre, or per inch unless it is usual for printers.
    """
    edges, unit = _edges(tags), int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1
    if (
        edges is None
        or unit not in (2, 3)
        or (unit == 2 and {round(1 / edge, 3) for edge in edges} & _PRINTED)
    ):
        return Space()
    size = positive([edge * (25.4 if unit == 2 else 10.0) for edge in edges])
    return Space(size, "millimeter" if size else None)


def write(tifffile: Any, file: IO[bytes], volume: Volume) -> None:
    """Write a file, with the edges of a voxel in its description; x and y also give its resolution."""
    array = volume.array
    array = array.T if array.ndim > 1 else array[None]  # one axis becomes a row
    described: dict[str, Any] = {"axes": "ZYX"[-array.ndim :]}
    options: dict[str, Any] = {}
    size = volume.space.size_in("millimeter")
    if size is not None:
        described["voxel_size_mm"] = list(size)
        x, y = (*size, size[0])[:2]
        options = {"resolution": (10 / x, 10 / y), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        tifffile.FileHandle(file, name="volume"),  # it needs a name; a temporary file's is a number
        array,
        photometric="minisblack",  # three or four slices are not colours
        compression="zlib",
        bigtiff=array.nbytes > 2**32 - 2**25,  # 32-bit offsets, less some space for metadata
        metadata=described,
        **options,
    )
