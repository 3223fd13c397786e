"""Label volumes in files of many formats, each an entry of one registry.

A volume has the axes (x, y, z) in Crackle, NRRD and NIfTI. TIFF has pages along z, rows along y and columns
along x, which is the transpose. A ``.npy`` file and an HDF5 dataset keep their own axes.

When a file is read, its content determines the format, or its name if the content does not. When it is
written, its name determines the format. The libraries are imported only when a file needs them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..._base import atomic_files
from ..._base.options import MarkovOrder, Preset
from ...errors import VerificationError
from ...streams.array import CrackleArray
from .. import crackle_files, volumes
from ..volumes import UnusableError
from . import colours, hdf5, npz, slices
from .colours import Packing
from .common import Box, Format, Volume, in_file, in_memory, shape_text, without_ones, working
from .registry import (
    FORMATS,
    MEMBERS,
    NAMES,
    OWN_AXES,
    Entry,
    by_suffix,
    detected,
    not_kept,
    of_name,
    require,
    split,
    writable,
)

__all__ = [
    "FORMATS",
    "MEMBERS",
    "NAMES",
    "OWN_AXES",
    "Box",
    "Entry",
    "Format",
    "Volume",
    "check",
    "detected",
    "exists",
    "in_memory",
    "nbytes_of",
    "not_kept",
    "of_name",
    "opened",
    "opened_unpacked",
    "read",
    "require",
    "split",
    "verify",
    "writable",
    "write",
    "xyz_order",
]


# ---------------------------------------------------------------------------------------
# Reading


@contextmanager
def opened(place: Path | str, parallel: int = 0, packing: Packing | None = None) -> Iterator[Volume]:
    """The volume in a file of any of the formats, whose voxels are read while this is open.

    Args:
        place: a path; of HDF5 and ``.npz``, with the name of a dataset behind a colon; or a folder or a glob
            of images, one per slice.
        parallel: threads for streams; 0 is one per core.
        packing: how to pack colours into integers; None refuses them.

    Raises:
        UnusableError: it is of none of them, or damaged, or holds no numbers.
        FormatError: the stream or the outer format is damaged.
        ImportError: the format needs a library that is not there.
    """
    with opened_unpacked(place, parallel) as volume:
        yield colours.packed(place, volume, packing)


@contextmanager
def opened_unpacked(place: Path | str, parallel: int = 0) -> Iterator[Volume]:
    """As :func:`opened`, but the samples of colours are an axis, ``s``."""
    name = os.fspath(place)
    if slices.is_sequence(name):
        yield replace(slices.read(name, _opened), format=by_suffix(str(slices.paths(name)[0])))
        return
    with _opened(place, parallel) as volume:
        yield volume


@contextmanager
def _opened(place: Path | str, parallel: int = 0) -> Iterator[Volume]:
    """The volume in one file, whose colours are an axis."""
    plain, member = split(os.fspath(place))
    path = Path(plain)
    with volumes.unpacked(path) as (content, outer):
        format = detected(path, content, outer)
        entry = FORMATS[format]
        if format in MEMBERS:
            require(format)
            with working(path, f"a damaged or foreign {entry.name} file"):
                found = hdf5.read(path, member) if format == "hdf5" else npz.read(path, member)
                yield replace(found, format=format)
            return
        if member is not None:
            raise UnusableError(f"{path}: no {' or '.join(MEMBERS)} file, so it has no dataset {member}")
        if format == "ckl":
            yield _of_stream(path, content, parallel)
            return
        if format == "npy":
            yield _of_npy(path, content, outer, parallel)
            return
        library = require(format)
        assert entry.read is not None
        if outer is not None and not entry.reads_outer:  # the other libraries seek in the file
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


def exists(place: Path | str) -> bool:
    """Whether there is a file at a place, or a folder or a glob of images."""
    return slices.is_sequence(os.fspath(place)) or Path(split(os.fspath(place))[0]).exists()


def nbytes_of(place: Path | str, volume: Volume) -> int:
    """The size of the file, or of the files of slices, that a volume was written to."""
    name = os.fspath(place)
    if slices.is_pattern(name):
        return sum(path.stat().st_size for path in slices.targets(name, volume.shape[2]))
    return Path(split(name)[0]).stat().st_size


def read(path: Path, parallel: int = 0) -> Volume:
    """The volume in a file, all of it in memory; raises what :func:`opened` raises."""
    with opened(path, parallel) as volume:
        return replace(
            in_memory(volume.array),
            space=volume.space,
            header=volume.header,
            format=volume.format,
            axes=volume.axes,
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
    if format is None or not writable(format):
        only = "" if format is None else f": {FORMATS[format].name} files are read, but not written"
        raise UnusableError(f"{place}: the output's name has to end in {NAMES}{only}")
    require(format)
    if format in ("npy", "hdf5"):
        if format == "hdf5" and split(os.fspath(place))[1] is None:
            raise UnusableError(f"{place}: name a dataset of the HDF5 file, such as {place}:/labels")
        return
    if len(without_ones(shape)) > 3:
        raise UnusableError(
            f"{place}: only Zarr, .npy and HDF5 can hold a volume of {len(shape)} axes, {shape_text(shape)}: "
            f"the other formats have up to three; --index t=0 takes one index of an axis, and 0=0 of one "
            f"without a name"
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
    if slices.is_pattern(os.fspath(place)):
        slices.write(os.fspath(place), volume, write, overwrite=overwrite)
        return
    if format == "hdf5":
        plain, member = split(os.fspath(place))
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
    whole = in_memory(
        array,
        space=volume.space,
        label_names=volume.label_names,
        header=volume.header,
        format=volume.format,
    )
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
    if slices.is_pattern(os.fspath(place)):
        for _, one, part in slices.each(os.fspath(place), volume):
            verify(one, part, parallel)
        return
    plain, member = split(os.fspath(place))
    path = Path(plain)
    if not path.is_file():
        return  # a device or a pipe cannot be read back
    format = of_name(place)
    assert format is not None
    dtype = volume.dtype.newbyteorder("=")
    if dtype.kind == "b" and not FORMATS[format].has_bool:
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
