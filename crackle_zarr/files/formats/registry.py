"""The registry of file formats: one entry per format, which everything else asks."""

from __future__ import annotations

import importlib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..._base import atomic_files
from .. import crackle_files, volumes
from ..volumes import UnusableError
from . import hdf5, images, itk, mrc, neuroimaging, nifti, npz, nrrd, tiff
from .common import Format, Volume


@dataclass(frozen=True)
class Entry:
    """A file format.

    Attributes:
        name: the name in messages.
        suffixes: of file names; the first is the usual one.
        magic: whether the first 352 bytes of a file are of this format.
        library: the module, and the package to install for it.
        extra: the extra of this package that installs the library.
        outer: the compressed formats in which a file may be written. Many formats compress by themselves, and
            readers of NIfTI support only gzip.
        keeps: the parts of a :class:`~crackle_zarr.files.space.Space` that the format can hold.
        read: makes a volume from (library, path, open content, outer format, log records).
        write: writes (library, file, volume).
        names: reads the names of labels from (library, path), where the format can hold them.
        least_axes: the least number of axes of a file.
        slow_first: whether users of the format name z first and x last.
        has_bool: whether the format can hold bool; else it becomes 0 and 1.
        reads_outer: whether the reader can read a file within a compressed format without seeking in it.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: Callable[[bytes], bool]
    library: tuple[str, str] | None = None
    extra: str = ""
    outer: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    read: Callable[..., Volume] | None = None
    write: Callable[[Any, IO[bytes], Volume], None] | None = None
    names: Callable[[Any, Path], Mapping[int, str]] | None = None
    least_axes: int = 0
    slow_first: bool = False
    has_bool: bool = False
    reads_outer: bool = False


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda begin: begin.startswith(magics)


def _is_mgh(begin: bytes) -> bool:
    """Version 1, four lengths above 0, and one of the types, all big-endian."""
    if len(begin) < 28 or begin[:4] != b"\0\0\0\1":
        return False
    numbers = [int.from_bytes(begin[at : at + 4], "big") for at in range(4, 24, 4)]
    return all(0 < length < 2**31 for length in numbers[:4]) and numbers[4] in (0, 1, 3, 4, 10)


def _is_pair(begin: bytes) -> bool:
    """A header of Analyze or of a NIfTI pair, of either byte order."""
    sizes = (b"\x5c\1\0\0", b"\0\0\1\x5c")
    return begin.startswith(sizes) or begin[4:7] == b"ni2"


FORMATS: dict[Format, Entry] = {
    "ckl": Entry(
        "Crackle",
        (".ckl",),
        _begins(crackle_files.MAGIC),
        outer=tuple(atomic_files.OUTER_SUFFIX),
        least_axes=3,
    ),
    "npy": Entry(
        "NumPy",
        (".npy",),
        _begins(volumes.NPY_MAGIC),
        outer=tuple(atomic_files.OUTER_SUFFIX),
        slow_first=True,
        has_bool=True,
    ),
    "npz": Entry("NumPy .npz", npz.SUFFIXES, _begins(b"PK\3\4"), slow_first=True, has_bool=True),
    "nrrd": Entry(
        "NRRD",
        (".nrrd",),
        _begins(b"NRRD000"),
        ("nrrd", "pynrrd"),
        "nrrd",
        keeps=("size", "origin", "orientation"),
        read=nrrd.read,
        write=nrrd.write,
    ),
    "nifti": Entry(
        "NIfTI",
        (".nii",),
        lambda begin: begin[344:348] == b"n+1\0" or begin[4:8] == b"n+2\0",
        ("nibabel", "nibabel"),
        "nifti",
        outer=(".gz",),
        keeps=("size", "origin", "orientation"),
        read=nifti.read,
        write=nifti.write,
        reads_outer=True,
    ),
    "pair": Entry(
        "Analyze or NIfTI pair",
        (".hdr", ".img"),
        _is_pair,
        ("nibabel", "nibabel"),
        "nifti",
        read=neuroimaging.read_pair,
        reads_outer=True,
    ),
    "mgh": Entry(
        "FreeSurfer",
        (".mgz", ".mgh"),
        _is_mgh,
        ("nibabel", "nibabel"),
        "nifti",
        read=neuroimaging.read_mgh,
        reads_outer=True,
    ),
    "minc": Entry(
        "MINC",
        (".mnc",),
        lambda begin: False,  # a kind of NetCDF or HDF5, which the name tells
        ("nibabel", "nibabel"),
        "minc",
        read=neuroimaging.read_minc,
        reads_outer=True,
    ),
    "metaimage": Entry(
        "MetaImage",
        (".mha", ".mhd"),
        _begins(b"ObjectType", b"NDims", b"Comment"),
        ("SimpleITK", "simpleitk"),
        "itk",
        keeps=("size", "origin", "orientation"),
        read=itk.read,
        write=itk.write,
        least_axes=2,
        reads_outer=True,
    ),
    "itk": Entry(
        "GIPL or VTK",
        (".gipl", ".vtk"),
        _begins(b"# vtk DataFile"),
        ("SimpleITK", "simpleitk"),
        "itk",
        read=itk.read,
        reads_outer=True,
    ),
    "mrc": Entry(
        "MRC",
        (".mrc", ".map", ".rec", ".st"),
        lambda begin: begin[208:211] == b"MAP",
        ("mrcfile", "mrcfile"),
        "mrc",
        read=mrc.read,
        slow_first=True,
    ),
    "tiff": Entry(
        "TIFF",
        (".tif", ".tiff"),
        _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        ("tifffile", "tifffile"),
        "tiff",
        keeps=("size",),
        read=tiff.read,
        write=tiff.write,
        least_axes=2,
        slow_first=True,
        has_bool=True,
    ),
    "png": Entry(
        "PNG",
        (".png",),
        _begins(b"\x89PNG\r\n\x1a\n"),
        ("PIL.Image", "pillow"),
        "images",
        read=images.read,
        write=images.write,
        least_axes=2,
        slow_first=True,
    ),
    "hdf5": Entry(
        "HDF5",
        hdf5.SUFFIXES,
        _begins(b"\x89HDF\r\n\x1a\n"),
        ("h5py", "h5py"),
        "hdf5",
        keeps=("size", "origin"),
        slow_first=True,
        has_bool=True,
    ),
}
# The formats whose files hold several arrays, and keep the axes of each.
MEMBERS = ("hdf5", "npz")
OWN_AXES = ("npy", "npz", "hdf5")
# The parts of a space that a Zarr array keeps as attributes.
ZARR_KEEPS = ("size", "origin")
NAMES = ".ckl, .npy, .nrrd, .nii, .nii.gz, .mha, .tif, .tiff, .png or .h5:/dataset"

# Files of numbers that belong to no voxels, by their first bytes.
_SURFACES = {
    b"\xff\xff\xfe": "a surface of FreeSurfer",
    b"\xff\xff\xff": "values on a surface of FreeSurfer",
}

_PLACE = re.compile(r"^(.*?\.(?:h5|hdf5|hdf|he5|npz))(?::(.*))?$", re.IGNORECASE | re.DOTALL)


def split(place: str) -> tuple[str, str | None]:
    """Split a place into the path of a file, and the name of a dataset or of an array in it, or None."""
    found = _PLACE.match(place)
    if found is None:
        return place, None
    name = (found[2] or "").strip("/")
    return found[1], name or None


def writable(format: Format) -> bool:
    """Whether files of a format can be written."""
    return FORMATS[format].write is not None or format in ("ckl", "npy", "hdf5")


def not_kept(volume: Volume, format: Format | None) -> str:
    """What of space a format has no place for, in words; None is a Zarr array."""
    kept = ZARR_KEEPS if format is None else FORMATS[format].keeps
    return volume.space.not_kept(**dict.fromkeys(kept, True))


def by_suffix(name: str) -> Format | None:
    """The format of the suffix of a name."""
    suffix = Path(name).suffix.lower()
    return next((format for format, entry in FORMATS.items() if suffix in entry.suffixes), None)


def of_name(path: Path | str) -> Format | None:
    """The format that a file of this name is written in; None: it names none."""
    plain, member = split(os.fspath(path))
    name, outer = volumes.split_name(Path(plain))
    format = by_suffix(name)
    if format is not None and outer and outer.lower() not in FORMATS[format].outer:
        return None
    return format if member is None or format in MEMBERS else None


def require(format: Format) -> Any:
    """The library of a format; None for those that need none.

    Raises:
        ImportError: it is not installed; the message has the command that installs it.
    """
    entry = FORMATS[format]
    if entry.library is None:
        return None
    module, package = entry.library
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{entry.name} files need the package {package}: pip install 'crackle-zarr[{entry.extra}]'"
        ) from error


def detected(path: Path, content: Any, outer: str | None) -> Format:
    """The format of a file's content, which is open at its beginning.

    Raises:
        UnusableError: it is of none of the formats.
    """
    begin: bytes = content.peek(352)[:352]
    by_name = by_suffix(volumes.split_name(path)[0])
    if by_name == "minc" or path.suffix.lower() == ".img":  # they have no first bytes of their own
        return by_name or "pair"
    for format, entry in FORMATS.items():
        if entry.magic(begin):
            return format
    surface = next((what for magic, what in _SURFACES.items() if begin.startswith(magic)), None)
    if b"<GIFTI" in begin or (begin.startswith(b"<?xml") and path.suffix.lower() == ".gii"):
        surface = "a GIFTI surface"
    if surface is not None:
        raise UnusableError(f"{path}: {surface}: its numbers belong to vertices, and not to voxels")
    if by_name is not None and FORMATS[by_name].library is not None:
        return by_name  # the library's error says what is wrong with the file
    within = f" within {outer}" if outer else ""
    raise UnusableError(
        f"{path}: neither Crackle nor .npy, NRRD, NIfTI, TIFF or HDF5{within}: it begins with {begin[:6]!r}; "
        f"docs/files.md lists all formats"
    )
