"""Label volumes in ``.npy`` and Crackle files, for the command line and the demo; others: ``formats/``.

A volume is a ``.npy`` file or a Crackle stream (``.ckl``), and either may be compressed with gzip, xz, lzma,
bzip2 or zstd. When a file is read, its content determines the kind. When it is written, its name does.
"""

from __future__ import annotations

import contextlib
import lzma
import tokenize
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from ..errors import FormatError
from ..streams import stream
from . import crackle_files

NPY_MAGIC = b"\x93NUMPY"

Kind = Literal["npy", "ckl"]

# Suffixes of files that only 'convert' reads; see formats/.
_CONVERTIBLE = (
    *(".nrrd", ".nii", ".tif", ".tiff", ".h5", ".hdf5", ".npz", ".png", ".mgh", ".mgz", ".hdr"),
    *(".img", ".mnc", ".mha", ".mhd", ".mrc", ".map", ".rec"),
)
_IMAGES = (".tif", ".tiff", ".png")


class UnusableError(ValueError):
    """A file of an unknown kind, or not of the kind that is needed."""


# ---------------------------------------------------------------------------------------
# Names


def split_name(path: Path) -> tuple[str, str]:
    """The name of a file without the suffix of an outer format, and that suffix or ``""``."""
    outer = path.suffix if path.suffix.lower() in atomic_files.OUTER_SUFFIX else ""
    return path.name.removesuffix(outer), outer


def check_name(path: Path, kind: Kind) -> None:
    """Reject the name of an output that does not determine its kind.

    Raises:
        UnusableError: the name does not end in ``.npy`` or ``.ckl`` and at most one outer suffix.
    """
    if not split_name(path)[0].lower().endswith(f".{kind}"):
        outer = ", ".join(f".{kind}{suffix}" for suffix in atomic_files.OUTER_SUFFIX)
        raise UnusableError(f"{path}: the output's name has to end in .{kind}, or in one of {outer}")


# ---------------------------------------------------------------------------------------
# Reading


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[tuple[Any, str | None]]:
    """Open a file at its beginning, decompressed; yields it with the name of its outer format or None.

    Raises:
        FormatError: the outer format is damaged.
    """
    if path.is_dir() and any(one.suffix.lower() in _IMAGES for one in path.iterdir()):
        raise UnusableError(
            f"{path}: a folder of images; 'crackle-zarr convert {path} {path.name}.zarr' makes an array"
        )
    with open(path, "rb") as file:
        begin = file.peek(8)[:8]
        outer = next(
            (name for magic, name in atomic_files.OUTER_MAGIC.items() if begin.startswith(magic)), None
        )
        errors: tuple[type[Exception], ...] = (EOFError, zlib.error, lzma.LZMAError, OSError)
        if outer == "zstd":
            errors += (atomic_files.zstd().ZstdError,)
        with contextlib.ExitStack() as stack:
            content: Any = file
            if outer is not None:
                content = stack.enter_context(atomic_files.decompressor(file, outer))
            try:
                yield content, outer
            except errors as error:
                if outer is None or (isinstance(error, OSError) and error.errno is not None):
                    raise  # an error of the disk: those of the outer formats have no errno
                raise FormatError(f"{path}: damaged or truncated {outer} data: {error}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Kind]]:
    """Open a file of either kind at its beginning, decompressed; yields it with its kind.

    Raises:
        UnusableError: the file is of neither kind.
        FormatError: the outer format is damaged.
    """
    with unpacked(path) as (content, outer):
        yield content, _kind(path, content.peek(len(NPY_MAGIC)), outer)


def _kind(path: Path, begin: bytes, outer: str | None) -> Kind:
    if begin.startswith(crackle_files.MAGIC):
        return "ckl"
    if begin.startswith(NPY_MAGIC):
        return "npy"
    within = f" within {outer}" if outer else ""
    name = split_name(path)[0]
    if name.lower().endswith(_CONVERTIBLE):
        hint = f"; 'crackle-zarr convert {path} {Path(name).stem}.ckl' makes a stream of it"
    else:
        hint = ""
    raise UnusableError(
        f"{path}: neither a .npy file nor a Crackle stream{within}: it begins with {begin[:6]!r}{hint}"
    )


def kind_of(path: Path) -> Kind:
    """The kind of a file; raises the errors of :func:`opened`."""
    with opened(path) as (_, kind):
        return kind


def read_stream(path: Path) -> bytes:
    """The bytes of a Crackle stream, decompressed but not checked.

    Raises:
        UnusableError: the file holds something else.
        FormatError: the outer format is damaged.
    """
    with opened(path) as (content, kind):
        if kind != "ckl":
            raise UnusableError(f"{path}: a .npy file; 'crackle-zarr compress' makes a Crackle stream of it")
        return bytes(content.read())


def read_volume(path: Path, parallel: int = 0) -> npt.NDArray[Any]:
    """The volume in a file of either kind: (x, y, z) for a stream; a ``.npy`` file keeps its axes.

    Raises:
        UnusableError: the file is of neither kind, or does not hold integers.
        FormatError: the stream or the outer format is damaged.
    """
    with opened(path) as (content, kind):
        return decoded(path, content, kind, parallel)


def decoded(
    path: Path, content: Any, kind: Kind, parallel: int = 0, numbers: bool = False
) -> npt.NDArray[Any]:
    """The volume in an open file; raises the errors of :func:`read_volume`.

    With ``numbers``, a ``.npy`` file may hold floats.
    """
    if kind == "ckl":
        try:
            return stream.decompress(content.read(), parallel=parallel)
        except FormatError as error:
            raise FormatError(f"{path}: {error}", error.section, error.slice) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning about headers from Python 2
            array: npt.NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
        while content.read(2**20):
            pass  # outer formats verify their checksum only at the end
    except (ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        if "allow_pickle" in str(error):
            raise UnusableError(f"{path}: {_of_objects(path)}") from None
        raise UnusableError(f"{path}: a damaged .npy file: {error}") from error
    if array.dtype.kind not in ("iubf" if numbers else "iub"):
        raise UnusableError(
            f"{path}: labels are integers or bool, not {array.dtype}: convert them first, for example with "
            f"np.save(..., np.load(...).astype(np.uint32))"
        )
    return array


def _of_objects(path: Path) -> str:
    """What to do about a file of Python objects, which may run code when it is read."""
    text = "it holds Python objects, but labels are integers"
    if not path.name.endswith("_seg.npy"):
        return text
    # A colon is left out of the two lines, and they begin after one: so they are easily copied.
    return (
        f"{text}; of a file of Cellpose that you trust, these two lines of Python save the masks: "
        f"masks = np.load('{path}', allow_pickle=True).item()['masks']; "
        f"np.save('{path.with_name(path.stem)}_masks.npy', masks)"
    )


# ---------------------------------------------------------------------------------------
# Writing


def write_npy(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    slow_axis: int,
    slabs: Iterable[npt.NDArray[Any]],
) -> None:
    """Write a ``.npy`` file, compressed as its suffix says; readers see the old file or the whole new one.

    Args:
        path: the file.
        shape: of the array.
        dtype: of the array.
        slow_axis: the axis that varies slowest: 0 for C order, -1 for Fortran order.
        slabs: of the array, in order along this axis.
    """
    fortran = slow_axis == -1 and len(shape) > 1

    def write(file: Any) -> None:
        fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": fortran, "shape": shape}
        np.lib.format.write_array_header_1_0(file, fields)
        for slab in slabs:
            ordered = np.ascontiguousarray(slab.T if fortran else slab, dtype=dtype)
            if ordered.size:
                atomic_files.write_all(file, ordered.data)

    atomic_files.write_file(path, write)


def mapped_npy(path: Path) -> npt.NDArray[Any] | None:
    """The array in a plain ``.npy`` file, mapped into memory; None if that is impossible."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning about headers from Python 2
            mapped: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except Exception:  # reading the file gives a better error
        return None
    return mapped if mapped.dtype.kind in "iubf" and mapped.size else None
