"""Label volumes in files of many formats, each an entry of one registry.

A volume has the axes (x, y, z) in Crackle, NRRD and NIfTI. TIFF has pages along z, rows along y and columns
along x, which is the transpose. A ``.npy`` file and an HDF5 dataset keep their own axes.

When a file is read, its content determines the format, or its name if the content does not. When it is
written, its name determines the format. The libraries are imported only when a file needs them.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..._base import atomic_files
from ..._base.options import MarkovOrder, Preset
from ...errors import VerificationError
from ...streams.array import CrackleArray
from .. import crackle_files, volumes
from ..volumes import UnusableError
from . import hdf5, nifti, nrrd, tiff
from .common import Box, Format, Volume, in_file, in_memory, shape_text, without_ones, working

__all__ = [
    "Box",
    "Format",
    "Volume",
    "check",
    "in_memory",
    "of_name",
    "read",
    "require",
    "verify",
    "write",
    "xyz_order",
]


@dataclass(frozen=True)
class Entry:
    """A file format.

    Attributes:
        name: the name in messages.
        suffixes: of file names; the first is the usual one.
        magic: whether the first 352 bytes of a file are of this format.
        library: the module, and the package to install for it; the extra has the name of the format.
        outer: the compressed formats in which a file may be written. NRRD, TIFF and HDF5 compress by
            themselves, and readers of NIfTI support only gzip.
        keeps: the parts of a :class:`~crackle_zarr.files.space.Space` that the format can hold.
        read: makes a volume from (library, path, open content, outer format, log records).
        write: writes (library, file, volume).
        least_axes: the least number of axes of a file.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: Callable[[bytes], bool]
    library: tuple[str, str] | None = None
    outer: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    read: Callable[..., Volume] | None = None
    write: Callable[[Any, IO[bytes], Volume], None] | None = None
    least_axes: int = 0


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda begin: begin.startswith(magics)


FORMATS: dict[Format, Entry] = {
    "ckl": Entry(
        "Crackle",
        (".ckl",),
        _begins(crackle_files.MAGIC),
        outer=tuple(atomic_files.OUTER_SUFFIX),
        least_axes=3,
    ),
    "npy": Entry("NumPy", (".npy",), _begins(volumes.NPY_MAGIC), outer=tuple(atomic_files.OUTER_SUFFIX)),
    "nrrd": Entry(
        "NRRD",
        (".nrrd",),
        _begins(b"NRRD000"),
        ("nrrd", "pynrrd"),
        keeps=("size", "origin", "orientation"),
        read=nrrd.read,
        write=nrrd.write,
    ),
    "nifti": Entry(
        "NIfTI",
        (".nii",),
        lambda begin: begin[344:348] == b"n+1\0" or begin[4:8] == b"n+2\0",
        ("nibabel", "nibabel"),
        outer=(".gz",),
        keeps=("size", "origin", "orientation"),
        read=nifti.read,
        write=nifti.write,
    ),
    "tiff": Entry(
        "TIFF",
        (".tif", ".tiff"),
        _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        ("tifffile", "tifffile"),
        keeps=("size",),
        read=tiff.read,
        write=tiff.write,
        least_axes=2,
    ),
    "hdf5": Entry(
        "HDF5",
        hdf5.SUFFIXES,
        _begins(b"\x89HDF\r\n\x1a\n"),
        ("h5py", "h5py"),
        keeps=("size", "origin"),
    ),
}
# The parts of a space that a Zarr array keeps as attributes.
ZARR_KEEPS = ("size", "origin")
NAMES = ".ckl, .npy, .nrrd, .nii, .nii.gz, .tif, .tiff or .h5:/dataset"


def not_kept(volume: Volume, format: Format | None) -> str:
    """What of space a format has no place for, in words; None is a Zarr array."""
    kept = ZARR_KEEPS if format is None else FORMATS[format].keeps
    return volume.space.not_kept(**dict.fromkeys(kept, True))


# ---------------------------------------------------------------------------------------
# Names, libraries


def _by_suffix(name: str) -> Format | None:
    suffix = Path(name).suffix.lower()
    return next((format for format, entry in FORMATS.items() if suffix in entry.suffixes), None)


def of_name(path: Path | str) -> Format | None:
    """The format that a file of this name is written in; None: it names none."""
    plain, member = hdf5.split(os.fspath(path))
    if member is not None:
        return "hdf5"
    name, outer = volumes.split_name(Path(plain))
    format = _by_suffix(name)
    if format is not None and outer and outer.lower() not in FORMATS[format].outer:
        return None
    return format


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
            f"{entry.name} files need the package {package}: pip install 'crackle-zarr[{format}]'"
        ) from error


# ---------------------------------------------------------------------------------------
# Reading


@contextmanager
def opened(place: Path | str, parallel: int = 0) -> Iterator[Volume]:
    """The volume in a file of any of the formats, whose voxels are read while this is open.

    Args:
        place: a path; of HDF5, with the name of a dataset behind a colon.
        parallel: threads for streams; 0 is one per core.

    Raises:
        UnusableError: it is of none of them, or damaged, or holds no numbers or more than three axes.
        FormatError: the stream or the outer format is damaged.
        ImportError: the format needs a library that is not there.
    """
    plain, member = hdf5.split(os.fspath(place))
    path = Path(plain)
    with volumes.unpacked(path) as (content, outer):
        format = _detected(path, content, outer)
        if format == "hdf5":
            require(format)
            with working(path, "a damaged or foreign HDF5 file"):
                yield replace(hdf5.read(path, member), format=format)
            return
        if member is not None:
            raise UnusableError(f"{path}: no HDF5 file, so it has no dataset /{member}")
        if format == "ckl":
            yield _of_stream(path, content, parallel)
            return
        if format == "npy":
            yield _of_npy(path, content, outer, parallel)
            return
        entry, library = FORMATS[format], require(format)
        assert entry.read is not None
        if outer is not None and format != "nifti":  # the other libraries seek in the file
            import io

            content = io.BufferedReader(io.BytesIO(content.read()))
        with working(path, f"a damaged or foreign {entry.name} file") as log:
            volume = entry.read(library, path, content, outer, log)
        try:
            with working(path, f"a damaged or foreign {entry.name} file"):
                yield replace(volume, format=format)
        finally:
            volume.close()


def _of_stream(path: Path, content: Any, parallel: int) -> Volume:
    with crackle_files.file_in_errors(path):
        array = CrackleArray(content.read(), parallel)
        # This checks the header before anything is allocated.
        return Volume(array.shape, array.dtype, lambda box: array[box], format="ckl")


def _of_npy(path: Path, content: Any, outer: str | None, parallel: int) -> Volume:
    if outer is None:
        mapped = volumes.mapped_npy(path)
        if mapped is not None:
            return in_file(mapped, format="npy")
    return in_memory(volumes.decoded(path, content, "npy", parallel, numbers=True), format="npy")


def read(path: Path, parallel: int = 0) -> Volume:
    """The volume in a file, all of it in memory; raises what :func:`opened` raises."""
    with opened(path, parallel) as volume:
        return replace(
            in_memory(volume.array), space=volume.space, header=volume.header, format=volume.format
        )


def _detected(path: Path, content: Any, outer: str | None) -> Format:
    """The format of a file's content."""
    begin: bytes = content.peek(352)[:352]
    for format, entry in FORMATS.items():
        if entry.magic(begin):
            return format
    if begin[344:348] == b"ni1\0" or begin[4:8] == b"ni2\0":
        raise UnusableError(f"{path}: a NIfTI header whose voxels lie in another file: save it as one .nii")
    by_name = _by_suffix(volumes.split_name(path)[0])
    if by_name is not None and FORMATS[by_name].library is not None:
        return by_name  # the library's error says what is wrong with the file
    within = f" within {outer}" if outer else ""
    raise UnusableError(
        f"{path}: neither Crackle nor .npy, NRRD, NIfTI, TIFF or HDF5{within}: it begins with {begin[:6]!r}"
    )


# ---------------------------------------------------------------------------------------
# Writing


def check(place: Path | str, shape: Sequence[int]) -> None:
    """Reject a volume that the format of a name cannot hold, before any work is done.

    Raises:
        UnusableError: the name has no known format, or the volume has too many axes or no voxels.
        ImportError: the format needs a library that is not there.
    """
    format = of_name(place)
    if format is None:
        raise UnusableError(f"{place}: the output's name has to end in {NAMES}")
    require(format)
    if format in ("npy", "hdf5"):
        if format == "hdf5" and hdf5.split(os.fspath(place))[1] is None:
            raise UnusableError(f"{place}: name a dataset of the HDF5 file, such as {place}:/labels")
        return
    if len(without_ones(shape)) > 3:
        raise UnusableError(
            f"{place}: only .npy and HDF5 can hold a volume of {len(shape)} axes, {shape_text(shape)}: the "
            f"other formats have up to three"
        )
    if format != "ckl" and (not shape or 0 in shape):
        raise UnusableError(
            f"{place}: {FORMATS[format].name} cannot hold a volume without voxels, {shape_text(shape)}"
        )


def write(
    place: Path | str,
    volume: Volume,
    *,
    preset: Preset | None = None,
    markov: MarkovOrder | None = None,
    pins: int | None = None,
    parallel: int = 0,
    overwrite: bool = True,
) -> None:
    """Write a volume in the format of the name; readers see the old file or the whole new one.

    ``.npy`` and HDF5 are written one slab at a time; the other formats take all labels into memory.

    Args:
        place: the file, which is replaced if it exists. For HDF5, the dataset; other datasets of the file are
            kept.
        volume: the labels. The parts of their space that the format can hold are kept, and the header if the
            format stays the same.
        preset: the options of a stream if the next two are None; see ``crackle_zarr.PRESETS``.
        markov: the order of the Markov model of a stream.
        pins: how a stream stores labels: 0, 1 or 2.
        parallel: threads; 0 is one per core.
        overwrite: replace an existing dataset of HDF5.

    Raises:
        UnusableError: the format cannot hold the volume.
        ImportError: the format needs a library that is not there.
        OSError: the file cannot be written.
    """
    check(place, volume.shape)
    format = of_name(place)
    assert format is not None
    if format == "hdf5":
        plain, member = hdf5.split(os.fspath(place))
        assert member is not None
        with working(Path(plain), "it cannot be written as HDF5"):
            hdf5.write(Path(plain), member, volume, overwrite=overwrite)
        return
    path = Path(place)
    if format == "npy":
        volumes.write_npy(
            path, volume.shape, volume.dtype, volume.slow_axis, map(volume.read_box, volume.slabs())
        )
        return
    array = volume.array
    array = array.reshape(without_ones(array.shape), order="A")
    if format == "ckl":
        crackle_files.save(
            array, path, preset=preset, markov_model_order=markov, allow_pins=pins, parallel=parallel
        )
        return
    whole = in_memory(array, space=volume.space, header=volume.header, format=volume.format)
    library, outer = require(format), atomic_files.OUTER_SUFFIX.get(path.suffix.lower())
    write_format = FORMATS[format].write
    assert write_format is not None

    def write_to(file: IO[bytes]) -> None:
        with working(path, f"it cannot be written as {FORMATS[format].name}"):
            if outer is None:
                write_format(library, file, whole)
            else:
                with atomic_files.compressor(file, outer) as inner:
                    write_format(library, inner, whole)

    atomic_files.replace(os.fspath(path), write_to)


def verify(place: Path | str, volume: Volume, parallel: int = 0) -> None:
    """Read the file that :func:`write` wrote, one slab at a time, and compare it; remove it if it is wrong.

    Raises:
        VerificationError: the file does not hold the labels.
    """
    plain, member = hdf5.split(os.fspath(place))
    path = Path(plain)
    if not path.is_file():
        return  # a device or a pipe cannot be read back
    format = of_name(place)
    assert format is not None
    dtype = volume.dtype.newbyteorder("=")
    if dtype.kind == "b" and format in ("ckl", "nrrd", "nifti"):
        dtype = np.dtype(np.uint8)
    expected = replace(volume.transposed() if format == "hdf5" else volume)
    shape = expected.shape if format in ("npy", "hdf5") else without_ones(expected.shape)
    # The additional axes that the format requires have length 1.
    shape += (1,) * (FORMATS[format].least_axes - len(shape))
    try:
        with opened(place, parallel) as found:
            same = found.shape == shape and found.dtype.newbyteorder("=") == dtype
            if same:
                pairs = zip(_slabs_as(expected, shape), _slabs_of(found, expected), strict=True)
                same = all(np.array_equal(a, b) for a, b in pairs)
    except ValueError as error:  # the base of FormatError and UnusableError
        if member is None:
            path.unlink()
        raise VerificationError(f"{place}: the file cannot be read back: {error}") from error
    if not same:
        removed = ""
        if member is None:
            path.unlink()
            removed = "; it is removed"
        raise VerificationError(f"{place}: the voxels read back differ from those written{removed}")


def _slabs_as(volume: Volume, shape: tuple[int, ...]) -> Iterator[Any]:
    """Slabs of a volume, with the axes of length 1 that a format adds or leaves out."""
    if len(shape) == len(volume.shape):
        yield from map(volume.read_box, volume.slabs())
    else:
        yield volume.array.reshape(shape, order="A")


def _slabs_of(found: Volume, like: Volume) -> Iterator[Any]:
    if len(found.shape) == len(like.shape):
        yield from map(found.read_box, like.slabs())
    else:
        yield found.array


def xyz_order(ndim: int, names: Sequence[str | None] | None) -> tuple[int, ...]:
    """The axes of a Zarr array in the order (x, y, z), followed by channels and times.

    Args:
        ndim: the number of axes.
        names: of the axes. If they do not determine the order, the last axis is x, as is usual in Zarr.
    """
    known = [str(name).lower() for name in names or ()]
    if len(known) == ndim and len(set(known)) == ndim and set(known) <= set("xyzct"):
        return tuple(sorted(range(ndim), key=lambda axis: "xyzct".index(known[axis])))
    return tuple(reversed(range(ndim)))
