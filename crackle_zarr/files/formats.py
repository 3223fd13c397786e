"""Label volumes in files of other formats as well: NRRD, NIfTI and TIFF, beside Crackle and NumPy.

A volume has the axes (x, y, z) in all of them. NRRD and NIfTI have these axes and x fastest, as a stream
does. TIFF has pages along z, rows along y and columns along x: the array (z, y, x), which is the
transpose. A ``.npy`` file is taken as it is.

What a file holds is told by its content when it is read, and by its name where the content does not say; by
its name alone when it is written. The libraries are imported when a file needs them, not before.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from .._base.options import MarkovOrder, Preset
from ..errors import VerificationError
from . import crackle_files, volumes
from .volumes import UnusableError

Format = Literal["ckl", "npy", "nrrd", "nifti", "tiff"]

_SUFFIXES: dict[str, Format] = {
    ".ckl": "ckl",
    ".npy": "npy",
    ".nrrd": "nrrd",
    ".nii": "nifti",
    ".tif": "tiff",
    ".tiff": "tiff",
}
# What may lie around a file that is written. NRRD and TIFF compress by themselves, and of the others
# NIfTI's readers know gzip alone.
_OUTER_WRITTEN: dict[Format, tuple[str, ...]] = {
    "ckl": tuple(atomic_files.OUTER_SUFFIX),
    "npy": tuple(atomic_files.OUTER_SUFFIX),
    "nifti": (".gz",),
}
NAMES = ".ckl, .npy, .nrrd, .nii, .nii.gz, .tif or .tiff"

# The module, and what is to be installed for it; the extra has the name of the format.
_LIBRARIES = {"nrrd": ("nrrd", "pynrrd"), "nifti": ("nibabel", "nibabel"), "tiff": ("tifffile", "tifffile")}

# What tifffile warns of where voxels are lost; other warnings are about what lies beside them.
_TIFF_LOSS = re.compile("missing|corrupt|expected|out of range|does not match|failed to re")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Volume:
    """Labels, and where their voxels lie in space, as far as the file said so.

    Attributes:
        array: the labels, with the axes (x, y, z).
        affine: from the indices of a voxel to millimetres, towards right, anterior and superior; of three
            axes only.
        spacing: the edges of a voxel in millimetres, one per axis.
        header: what the file said besides, for a file of the same format.
        format: the format of the file; None: it was none.
    """

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64] | None = None
    spacing: tuple[float, ...] | None = None
    header: Any = None
    format: Format | None = None

    def lost_in(self, format: Format | None) -> str:
        """What of space a format has no place for, in words; None is a Zarr array."""
        words = ["voxel size"] * (self.spacing is not None and format in (None, "ckl", "npy"))
        words += ["orientation", "origin"] * (self.affine is not None and format not in ("nrrd", "nifti"))
        return ", ".join(words)


# ---------------------------------------------------------------------------------------
# Names, libraries


def of_name(path: Path) -> Format | None:
    """The format that a file of this name is written in; None: it names none."""
    name, outer = volumes.split_name(path)
    format = _SUFFIXES.get(Path(name).suffix.lower())
    if format is not None and outer and outer.lower() not in _OUTER_WRITTEN.get(format, ()):
        return None
    return format


def require(format: Format) -> Any:
    """The library of a format; None for those that need none.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    if format not in _LIBRARIES:
        return None
    module, package = _LIBRARIES[format]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{_called(format)} files need the package {package}: pip install 'crackle-zarr[{format}]'"
        ) from error


def _called(format: Format) -> str:
    return {"nrrd": "NRRD", "nifti": "NIfTI", "tiff": "TIFF", "npy": ".npy", "ckl": ".ckl"}[format]


@contextlib.contextmanager
def _working(path: Path, trouble: str) -> Iterator[list[logging.LogRecord]]:
    """Let a library work in silence, and make one exception of all that it may raise.

    What it logs is kept instead of printed: some damage is told nowhere else.
    """
    heard = _Heard()
    loggers = [logging.getLogger(name) for name in ("nibabel.global", "tifffile")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [heard], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield heard.records
    except (UnusableError, ImportError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's trouble: the libraries' own has no number
        raise UnusableError(f"{path}: {trouble}: {_reason(error)}") from error
    except Exception as error:  # each library has exceptions of its own, and on damage any others
        raise UnusableError(f"{path}: {trouble}: {_reason(error)}") from error
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, KeyError) or not str(error) else str(error)


# ---------------------------------------------------------------------------------------
# Reading


def read(path: Path, parallel: int = 0) -> Volume:
    """The volume in a file of any of the formats.

    Raises:
        UnusableError: it is of none of them, or damaged, or holds no labels or more than three axes.
        FormatError: the stream or the outer format is damaged.
        ImportError: the format needs a library that is not there.
    """
    with volumes.unpacked(path) as (content, outer):
        format = _told(path, content, outer)
        if format == "ckl" or format == "npy":
            return Volume(volumes.decoded(path, content, format, parallel), format=format)
        library = require(format)
        if outer is not None:  # the libraries seek, and NumPy reads plain files past Python
            content = io.BytesIO(content.read())
        with _working(path, f"a damaged or foreign {_called(format)} file") as heard:
            volume = _READERS[format](library, path, content, heard)
    array = volume.array
    return replace(volume, array=array.astype(array.dtype.newbyteorder("="), copy=False), format=format)


def _told(path: Path, content: Any, outer: str | None) -> Format:
    """What a file holds."""
    begin: bytes = content.peek(352)
    if begin.startswith(crackle_files.MAGIC):
        return "ckl"
    if begin.startswith(volumes.NPY_MAGIC):
        return "npy"
    if begin.startswith(b"NRRD000"):
        return "nrrd"
    if begin.startswith(_TIFF_MAGIC):
        return "tiff"
    if begin[344:348] == b"n+1\0" or begin[4:8] == b"n+2\0":
        return "nifti"
    if begin[344:348] == b"ni1\0" or begin[4:8] == b"ni2\0":
        raise UnusableError(f"{path}: a NIfTI header whose voxels lie in another file: save it as one .nii")
    format = _SUFFIXES.get(Path(volumes.split_name(path)[0]).suffix.lower())
    if format in _LIBRARIES:
        assert format is not None
        return format  # the library says what is wrong with it
    within = f" within {outer}" if outer else ""
    raise UnusableError(
        f"{path}: neither Crackle nor .npy, NRRD, NIfTI or TIFF{within}: it begins with {begin[:6]!r}"
    )


def _check_labels(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iub":
        raise UnusableError(
            f"{path}: labels are integers or bool, not {dtype}: if they are whole numbers, save them as such "
            f"first, for example with astype(np.uint32)"
        )


def _check_axes(path: Path, shape: Sequence[int], names: str = "") -> None:
    if len(shape) > 3:
        told = f" ({names})" if names else ""
        raise UnusableError(f"{path}: {len(shape)} axes, {_by(shape)}{told}: a volume has up to three")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "no axes"


def _positive(numbers: Sequence[float]) -> tuple[float, ...] | None:
    """The edges of a voxel, if they can be that."""
    edges = tuple(map(float, numbers))
    return edges if edges and all(math.isfinite(edge) and edge > 0 for edge in edges) else None


# Millimetres in a unit. There is no "m" among them: pynrrd drops what is not ASCII, and leaves that of "µm".
_MILLIMETRES = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3}
_MILLIMETRES |= {"micrometer": 1e-3, "nm": 1e-6, "cm": 10.0, "millimeter": 1.0, "\\u00b5m": 1e-3}


# ---------------------------------------------------------------------------------------
# NRRD

# What NRRD's axes of space are in NIfTI's: right, anterior, superior.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
# What the voxels say, and how they lay in the file that was read.
_NRRD_OF_DATA = {"type", "dimension", "sizes", "endian", "encoding", "datafile", "data file"}
_NRRD_OF_DATA |= {"lineskip", "line skip", "byteskip", "byte skip"}


def _read_nrrd(nrrd: Any, path: Path, content: Any, heard: list[logging.LogRecord]) -> Volume:
    header = nrrd.read_header(content)
    if "data file" in header or "datafile" in header:
        raise UnusableError(
            f"{path}: a NRRD header whose voxels lie in another file: join them in one .nrrd first"
        )
    dtype = {"float": "float32", "double": "float64", "block": "blocks of bytes"}.get(header["type"])
    if dtype is not None:
        raise UnusableError(f"{path}: labels are integers, not {dtype}: save them as integers first")
    _check_axes(path, header["sizes"])
    array = nrrd.read_data(header, content, index_order="F")
    affine, spacing = _nrrd_geometry(header, array.ndim)
    kept = {key: value for key, value in header.items() if key not in _NRRD_OF_DATA}
    return Volume(array, affine, spacing, kept)


def _nrrd_geometry(header: Any, ndim: int) -> tuple[npt.NDArray[np.float64] | None, tuple[float, ...] | None]:
    directions = header.get("space directions")
    if directions is None:
        units = header.get("units") or ["mm"] * ndim
        scales = [_MILLIMETRES.get(unit.lower() or "mm") for unit in units]
        if len(scales) != ndim or "spacings" not in header:
            return None, None
        return None, _positive(
            [
                edge * (scale or math.nan)
                for edge, scale in zip(header["spacings"].tolist(), scales, strict=True)
            ]
        )
    units = header.get("space units") or ["mm"]
    scale = _MILLIMETRES.get(units[0].lower() or "mm")
    if scale is None or len(set(units)) > 1 or any(row is None for row in directions):
        return None, None
    columns = np.array(directions, dtype=np.float64).T * scale
    spacing = _positive(np.linalg.norm(columns, axis=0).tolist())
    signs = _SPACES.get(str(header.get("space", "")).lower())
    if spacing is None or signs is None or columns.shape != (3, 3):
        return None, spacing
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = np.asarray(header.get("space origin", (0, 0, 0)), dtype=np.float64) * scale
    affine[:3] *= np.array(signs)[:, None]
    return (affine if np.isfinite(affine).all() else None), spacing


def _write_nrrd(nrrd: Any, file: IO[bytes], volume: Volume) -> None:
    if volume.format == "nrrd" and volume.header is not None:
        header = dict(volume.header)
    elif volume.affine is not None:
        header = {
            "space": "right-anterior-superior",
            "space directions": volume.affine[:3, :3].T,
            "space origin": volume.affine[:3, 3],
            "space units": ["mm"] * 3,
            "kinds": ["domain"] * 3,
        }
    elif volume.spacing is not None:
        header = {"spacings": list(volume.spacing), "units": ["mm"] * len(volume.spacing)}
    else:
        header = {}
    header["encoding"] = "gzip"
    # Level 9, the library's own choice, takes several times as long, for labels that are hardly smaller.
    nrrd.write(file, _as_integers(volume.array), header, index_order="F", compression_level=6)


def _as_integers(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels for formats that have no bool."""
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


# ---------------------------------------------------------------------------------------
# NIfTI

# Millimetres in the units of space, by their codes.
_XYZT = {1: 1000.0, 3: 1e-3}
_NIFTI1_AXIS = 2**15 - 1


def _read_nifti(nibabel: Any, path: Path, content: Any, heard: list[logging.LogRecord]) -> Volume:
    second = content.peek(8)[4:7] == b"n+2" if hasattr(content, "peek") else content.getvalue()[4:7] == b"n+2"
    holder = nibabel.FileHolder(fileobj=content)
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    # Not mapped: the array has to outlive the file that is open here.
    image = kind.from_file_map({"header": holder, "image": holder}, mmap=False)
    _check_labels(path, image.get_data_dtype())
    slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    if (slope, inter) != (1.0, 0.0):
        raise UnusableError(
            f"{path}: its numbers are to be scaled (scl_slope {slope:g}, scl_inter {inter:g}), and labels "
            f"are integers as they are: save it without scaling first"
        )
    if any(length < 1 for length in image.shape):
        raise UnusableError(f"{path}: a damaged NIfTI file: its axes are {_by(image.shape)}")
    shape = _without_ones(image.shape)
    _check_axes(path, shape)
    needed = int(image.dataobj.offset) + math.prod(shape) * image.get_data_dtype().itemsize
    if content.seek(0, os.SEEK_END) < needed:  # before there is memory for what a damaged header says
        raise UnusableError(f"{path}: a damaged NIfTI file: it is to have {needed:,} bytes or more")
    array = np.asanyarray(image.dataobj).reshape(shape, order="F")
    head = image.header
    scale = _XYZT.get(int(head["xyzt_units"]) & 7, 1.0)
    declared = int(head["sform_code"]) > 0 or int(head["qform_code"]) > 0
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= scale
    placed = declared and array.ndim == 3 and bool(np.isfinite(affine).all())
    spacing = _positive([edge * scale for edge in head.get_zooms()[: array.ndim]])
    if not declared and not int(head["xyzt_units"]) and spacing == (1.0,) * array.ndim:
        spacing = None  # it is what a header says that nobody filled in
    return Volume(array, affine if placed else None, spacing, (head, image.affine))


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of three axes, where those that follow are 1: times and channels that are none."""
    lengths = list(shape)
    while len(lengths) > 3 and lengths[-1] == 1:
        lengths.pop()
    return tuple(lengths)


def _write_nifti(nibabel: Any, file: IO[bytes], volume: Volume) -> None:
    array = _as_integers(volume.array)
    header, affine = None, volume.affine
    if volume.format == "nifti" and volume.header is not None:
        header, affine = volume.header
    # The header of NIfTI-1 counts in 16 bits.
    second = max(array.shape) > _NIFTI1_AXIS or isinstance(header, nibabel.Nifti2Header)
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    # The dtype is named, since nibabel refuses 64 bits otherwise.
    image = kind(array, affine, header, dtype=array.dtype)
    if header is None:
        image.header.set_xyzt_units("mm" if volume.spacing is not None or affine is not None else "unknown")
        if affine is not None:
            image.set_sform(affine, "scanner")
        elif volume.spacing is not None:
            image.header.set_zooms(volume.spacing)
    image.to_stream(file)


# ---------------------------------------------------------------------------------------
# TIFF


def _read_tiff(tifffile: Any, path: Path, content: Any, heard: list[logging.LogRecord]) -> Volume:
    with tifffile.TiffFile(content) as tiff:
        series = tiff.series
        if len(series) != 1:
            raise UnusableError(
                f"{path}: {len(series)} images in one TIFF file: its pages are not those of one volume"
            )
        _check_labels(path, series[0].dtype)
        try:
            array, axes = series[0].asarray(), series[0].axes
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise UnusableError(f"{path}: {error}: pip install imagecodecs") from error
            raise
        spacing = _tiff_spacing(tiff)
    # Where pages or parts of them are missing, the library says so in its log and goes on without them.
    for record in heard:
        if record.levelno >= logging.ERROR or _TIFF_LOSS.search(record.getMessage()):
            raise UnusableError(f"{path}: a damaged TIFF file: {record.getMessage()}")
    array, axes = _in_order(path, array, axes)
    return Volume(array.T, None, spacing if spacing and len(spacing) == array.ndim else None)


def _in_order(path: Path, array: npt.NDArray[Any], axes: str) -> tuple[npt.NDArray[Any], str]:
    """An array with the axes (y, x), or with one more before them."""
    if "S" in axes:
        channel = axes.index("S")
        if array.shape[channel] > 1:
            raise UnusableError(
                f"{path}: a TIFF file of colours ({array.shape[channel]} samples per pixel), and labels are "
                f"single integers"
            )
        array, axes = array.squeeze(channel), axes.replace("S", "")
    for name in "YX":
        if name not in axes:  # a single row or column, which the library dropped
            array, axes = array[..., None], axes + name
    for name in [name for name in axes if name not in "YX"]:
        if array.ndim > 3 and array.shape[axes.index(name)] == 1:
            array, axes = array.squeeze(axes.index(name)), axes.replace(name, "")
    _check_axes(path, array.shape, axes)
    order = sorted(range(array.ndim), key=lambda axis: (" YX".find(axes[axis]), axis))
    return array.transpose(order), "".join(axes[axis] for axis in order)


def _tiff_spacing(tiff: Any) -> tuple[float, ...] | None:
    """The edges of a voxel (x, y, z), where this package, ImageJ or OME wrote them.

    The tags of resolution alone mostly say how large somebody once wanted to print it.
    """
    if tiff.shaped_metadata:
        return _positive(tiff.shaped_metadata[0].get("voxel_size_mm", ()))
    if tiff.imagej_metadata:
        scale = _MILLIMETRES.get(str(tiff.imagej_metadata.get("unit", "")).lower())
        tags = tiff.pages[0].tags
        if scale is None or "XResolution" not in tags or "YResolution" not in tags:
            return None
        resolution = [tags[name].value for name in ("XResolution", "YResolution")]
        edges = [unit / count if count else math.nan for count, unit in resolution]
        if "spacing" in tiff.imagej_metadata:
            edges.append(tiff.imagej_metadata["spacing"])
        return _positive([edge * scale for edge in edges])
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", tiff.ome_metadata or "")
    if pixels is None:
        return None
    edges = []
    for axis in "XYZ":
        edge = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', pixels[0])
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', pixels[0])
        if edge is not None:
            edges.append(float(edge[1]) * _MILLIMETRES.get(unit[1].lower() if unit else "µm", math.nan))
    return _positive(edges)


def _write_tiff(tifffile: Any, file: IO[bytes], volume: Volume) -> None:
    array = volume.array.T if volume.array.ndim > 1 else volume.array[None]  # a line is a row
    described: dict[str, Any] = {"axes": "ZYX"[-array.ndim :]}
    options: dict[str, Any] = {}
    if volume.spacing is not None:
        described["voxel_size_mm"] = list(volume.spacing)
        x, y = (*volume.spacing, volume.spacing[0])[:2]
        options = {"resolution": (10 / x, 10 / y), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        tifffile.FileHandle(file, name="volume"),  # it wants a name, and a file of a descriptor has a number
        array,
        photometric="minisblack",  # a volume that is three or four voxels long is no colour
        compression="zlib",
        bigtiff=array.nbytes > 2**32 - 2**25,  # offsets of 32 bits, and some room for what is not voxels
        metadata=described,
        **options,
    )


_READERS: dict[Format, Callable[[Any, Path, Any, list[logging.LogRecord]], Volume]] = {
    "nrrd": _read_nrrd,
    "nifti": _read_nifti,
    "tiff": _read_tiff,
}
_WRITERS: dict[Format, Callable[[Any, IO[bytes], Volume], None]] = {
    "nrrd": _write_nrrd,
    "nifti": _write_nifti,
    "tiff": _write_tiff,
}


# ---------------------------------------------------------------------------------------
# Writing


def check(path: Path, shape: Sequence[int]) -> None:
    """Refuse what the format that a name stands for can not hold, before there is work in it.

    Raises:
        UnusableError: it has too many axes, or no voxels.
        ImportError: the format needs a library that is not there.
    """
    format = of_name(path)
    if format is None:
        raise UnusableError(f"{path}: the output's name has to end in {NAMES}")
    require(format)
    if format == "npy":
        return
    if len(_without_ones(shape)) > 3:
        raise UnusableError(
            f"{path}: a volume of {len(shape)} axes, {_by(shape)}, goes into .npy only: the others have "
            f"up to three"
        )
    if format != "ckl" and (not shape or 0 in shape):
        raise UnusableError(f"{path}: {_called(format)} holds no volume without voxels, {_by(shape)}")


def write(
    path: Path,
    volume: Volume,
    *,
    preset: Preset | None = None,
    markov: MarkovOrder | None = None,
    pins: int | None = None,
    parallel: int = 0,
) -> None:
    """Write a volume in the format that the name stands for, in one step for readers.

    Args:
        path: the file, which is replaced if it exists.
        volume: the labels. What the format can hold of the rest is kept; a header, in its own format only.
        preset: what to take of a stream's options where these two are None; see ``crackle_zarr.PRESETS``.
        markov: the order of the Markov model of a stream.
        pins: how a stream stores labels: 0, 1 or 2.
        parallel: threads; 0 is one per core.

    Raises:
        UnusableError: the format can not hold it.
        ImportError: the format needs a library that is not there.
        OSError: the file can not be written.
    """
    array = volume.array
    check(path, array.shape)
    format = of_name(path)
    assert format is not None
    if format == "npy":
        volumes.write_npy(path, array)
        return
    volume = replace(volume, array=array.reshape(_without_ones(array.shape), order="A"))
    if format == "ckl":
        crackle_files.save(
            volume.array, path, preset=preset, markov_model_order=markov, allow_pins=pins, parallel=parallel
        )
        return
    library, outer = require(format), atomic_files.OUTER_SUFFIX.get(path.suffix.lower())

    def put(file: IO[bytes]) -> None:
        with _working(path, f"it can not be written as {_called(format)}"):
            if outer is None:
                _WRITERS[format](library, file, volume)
            else:
                with atomic_files.compressor(file, outer) as inner:
                    _WRITERS[format](library, inner, volume)

    atomic_files.replace(os.fspath(path), put)


def verify(path: Path, volume: Volume, parallel: int = 0) -> None:
    """Read a file that :func:`write` made, and compare it; one that is wrong is removed.

    Raises:
        VerificationError: it does not hold the labels.
    """
    if not path.is_file():
        return  # a device or a pipe: what is gone can not be read
    format, expected = of_name(path), volume.array
    if format in ("ckl", "nrrd", "nifti"):
        expected = _as_integers(expected)
    if format != "npy":
        expected = expected.reshape(_without_ones(expected.shape), order="A")
    # Axes that a format always has are 1.
    least = {"ckl": 3, "tiff": 2}.get(str(format), 0)
    expected = expected.reshape(expected.shape + (1,) * (least - expected.ndim), order="A")
    try:
        found = read(path, parallel).array
        same = found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=") and np.array_equal(
            found, expected
        )
    except ValueError as error:  # FormatError and UnusableError are such
        path.unlink()
        raise VerificationError(f"{path}: what was written can not be read back: {error}") from error
    if not same:
        path.unlink()
        raise VerificationError(f"{path}: what was read back is not what was written; it is removed")


def xyz_order(ndim: int, names: Sequence[str | None] | None) -> tuple[int, ...]:
    """The axes of an array of Zarr in the order (x, y, z), and channels and times behind them.

    Args:
        ndim: how many there are.
        names: of the axes. Where they do not tell, the last axis is x, as is usual in Zarr.
    """
    known = [str(name).lower() for name in names or ()]
    if len(known) == ndim and len(set(known)) == ndim and set(known) <= set("xyzct"):
        return tuple(sorted(range(ndim), key=lambda axis: "xyzct".index(known[axis])))
    return tuple(reversed(range(ndim)))
