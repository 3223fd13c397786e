"""Loading labels from files of any format: Crackle streams, and those of the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .._base.atomic_files import FileLike
from ..errors import FormatError
from . import crackle_files, formats, volumes
from .formats import slices, whole_numbers
from .volumes import UnusableError


def load(filelike: FileLike, label: int | None = None, parallel: int = 0) -> npt.NDArray[Any]:
    """Read and decode a file.

    Args:
        filelike: a path, or a file object opened for reading bytes. Its content, not its name,
            determines whether and how it is compressed again. A path may be of any format that
            ``crackle-zarr convert`` reads: of HDF5 and ``.npz``, with the name of a dataset behind a
            colon; or a folder or a glob of images, one per slice. A file object holds a stream.
        label: return a mask of this label instead of the labels.
        parallel: threads; 0 is one per core.

    Returns:
        The labels with the axes (x, y, z); of ``.npy``, ``.npz`` and HDF5 with the file's own axes.
        Whole numbers that are stored as floats become the smallest integers that hold them.

    Raises:
        FormatError: the file is of no known format, or a stream is damaged or truncated; the message
            names it.
        ValueError: a file of another format is damaged, or holds no labels.
        ImportError: the format, or a zstd file, needs a module that is not there.
        OSError: the file cannot be read.
    """
    if not _is_other(filelike):
        return crackle_files.load(filelike, label, parallel)
    assert isinstance(filelike, str | bytes | os.PathLike)
    place = os.fsdecode(filelike)
    with formats.opened(place, parallel) as volume:
        found = whole_numbers.labels_of(volume, place).array
    mask: npt.NDArray[Any] = found if label is None else found == label
    return mask


def _is_other(filelike: FileLike) -> bool:
    """Whether something is the path of a file that is no stream, but of a format of the registry.

    What is named ``.ckl`` has to be a stream.
    """
    if not isinstance(filelike, str | bytes | os.PathLike):
        return False
    place = os.fsdecode(filelike)
    if slices.is_sequence(place):
        return True
    path = Path(formats.split(place)[0])
    if formats.of_name(place) == "ckl" or not path.is_file():  # a pipe is read once
        return False
    with open(path, "rb") as file:
        if file.read(len(crackle_files.MAGIC)) == crackle_files.MAGIC:
            return False
    try:
        with volumes.unpacked(path) as (content, outer):
            return formats.detected(path, content, outer) != "ckl"
    except (UnusableError, FormatError):
        return False
