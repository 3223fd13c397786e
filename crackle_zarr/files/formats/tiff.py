"""TIFF: a page for each z, rows along y, columns along x: the array has the axes (z, y, x), the transpose."""

from __future__ import annotations

import itertools
import logging
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..space import UNITS, Space, unit_of
from ..volumes import UnusableError
from .common import Box, Volume, in_file, in_memory, positive, working

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
    axes = tuple(_NAMES.get(name, name.lower()) for name in one.axes)
    pages_in_order = one.axes[-2:] == "YX" and len(one.pages) == math.prod(one.shape[:-2])
    volume: Volume
    if outer is None and one.dataoffset is not None and one.axes[-2:] == "YX":
        mapped = np.memmap(path, one.dtype.newbyteorder(tiff.byteorder), "r", one.dataoffset, one.shape)
        volume = in_file(mapped, axes=axes)
        _check_log(path, log)
    elif outer is None and pages_in_order:
        pages = _Pages(tifffile, path, one.shape, one.dtype)
        volume = Volume(one.shape, one.dtype.newbyteorder("="), pages.read_box, slow_axis=0, axes=axes)
        _check_log(path, log)
    else:
        array = _whole(path, one)
        _check_log(path, log)
        for name in "yx":
            if name not in axes:  # a single row or column, which the library dropped
                array, axes = array[..., None], (*axes, name)
        volume = in_memory(array, axes=axes)
    volume = _in_order(volume)
    of_space = sum(name in ("x", "y", "z") for name in volume.axes or ())
    if space.voxel_size is not None and len(space.voxel_size) != of_space:
        space = Space()
    return replace(volume, space=space.padded(len(volume.shape)))


# The library's names of axes for those of a volume: pages that nothing describes are slices.
_NAMES = {"I": "z", "Q": "z"}


def _in_order(volume: Volume) -> Volume:
    """A volume with the axes (x, y, z), and then others; without those of length 1 beyond three."""
    given = volume.axes or ()
    if len(set(given)) < len(given):
        given = _distinct(given)
        volume = replace(volume, axes=given)
    for name in [name for name in given if name not in ("x", "y", "z")]:
        axis = (volume.axes or ()).index(name)
        if volume.shape[axis] == 1 and (len(volume.shape) > 3 or name == "s"):
            volume = volume.at(axis, 0)
    names = volume.axes or ()
    if "z" not in names and len(names) == 3 and "s" not in names:
        (extra,) = (name for name in names if name not in ("x", "y"))
        volume = replace(volume, axes=tuple("z" if name == extra else name for name in names))
        names = volume.axes or ()
    first = [names.index(name) for name in ("x", "y", "z") if name in names]
    return volume.of_axes(first + [axis for axis in reversed(range(len(names))) if axis not in first])


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of axes, with a number behind those that come twice."""
    return tuple(
        name if names.index(name) == place else f"{name}{names[:place].count(name) + 1}"
        for place, name in enumerate(names)
    )


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
        """The voxels of a box of the array as the file has it: pages, then rows and columns."""
        outer = self._shape[:-2]
        ranges = [range(*part.indices(length)) for part, length in zip(box[:-2], outer, strict=True)]
        # An image of one page has no axes of pages.
        numbers = [int(np.ravel_multi_index(at, outer)) if at else 0 for at in itertools.product(*ranges)]
        lengths = tuple(len(one) for one in ranges)
        rows, columns = box[-2], box[-1]
        plane = (
            len(range(*one.indices(n))) for one, n in zip((rows, columns), self._shape[-2:], strict=True)
        )
        shape = (*lengths, *plane)
        if not numbers:
            return np.empty(shape, self._dtype)
        start, stop = numbers[0], numbers[-1] + 1
        pages: npt.NDArray[Any]
        if len(numbers) < stop - start:  # not adjacent: read page by page
            pages = np.stack([self._slab(number, number + 1)[0] for number in numbers])
        else:
            if self._kept is None or not self._kept[0] <= start <= stop <= self._kept[1]:
                self._kept = (start, stop, self._slab(start, stop))
            pages = self._kept[2][start - self._kept[0] : stop - self._kept[0]]
        found: npt.NDArray[Any] = np.array(pages[:, rows, columns], order="K").reshape(shape)
        return found

    def _slab(self, start: int, stop: int) -> npt.NDArray[Any]:
        slab = np.empty((stop - start, *self._shape[-2:]), dtype=self._dtype.newbyteorder("="))
        with (
            working(self._path, "a damaged or foreign TIFF file") as log,
            self._tifffile.TiffFile(self._path) as tiff,
        ):
            for page in range(start, stop):
                slab[page - start] = _whole(self._path, tiff.series[0].pages[page])
            _check_log(self._path, log)
        return slab


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
