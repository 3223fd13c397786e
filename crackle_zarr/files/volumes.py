"""Label volumes in files of either kind, for the command line and the demo. Other formats: ``_formats``.

A volume is a ``.npy`` file or a Crackle stream (``.ckl``), and either may lie within gzip, xz, lzma,
bzip2 or zstd. What a file holds is told by its content when it is read, and by its name when it is
written.
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

# What only 'convert' reads; see _formats.
_CONVERTIBLE = (".nrrd", ".nii", ".tif", ".tiff", ".h5", ".hdf5")


class UnusableError(ValueError):
    """A file that is neither of the kinds, or not of the kind that is needed."""


# ---------------------------------------------------------------------------------------
# Names


def split_name(path: Path) -> tuple[str, str]:
    """The name of a file without the suffix of an outer format, and that suffix or ``""``."""
    outer = path.suffix if path.suffix.lower() in atomic_files.OUTER_SUFFIX else ""
    return path.name.removesuffix(outer), outer


def check_name(path: Path, kind: Kind) -> None:
    """Refuse a name for an output that does not say what the file is going to hold.

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
    """Open a file, unpacked, at its begin, with the name of its outer format or None.

    Raises:
        FormatError: the outer format is damaged.
    """
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
                    raise  # the disk's trouble: those of the outer formats have no number
                raise FormatError(f"{path}: damaged or truncated {outer} data: {error}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Kind]]:
    """Open a file of either kind, unpacked, at its begin, with what it holds.

    Raises:
        UnusableError: it holds neither.
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
    """What a file holds; raises what :func:`opened` raises."""
    with opened(path) as (_, kind):
        return kind


def read_stream(path: Path) -> bytes:
    """The bytes of a Crackle stream, unpacked but not checked.

    Raises:
        UnusableError: the file holds something else.
        FormatError: the outer format is damaged.
    """
    with opened(path) as (content, kind):
        if kind != "ckl":
            raise UnusableError(f"{path}: a .npy file; 'crackle-zarr compress' makes a Crackle stream of it")
        return bytes(content.read())


def read_volume(path: Path, parallel: int = 0) -> npt.NDArray[Any]:
    """The volume in a file of either kind: of a stream (x, y, z), of a ``.npy`` file as it is.

    Raises:
        UnusableError: the file holds neither, or no integers.
        FormatError: the stream or the outer format is damaged.
    """
    with opened(path) as (content, kind):
        return decoded(path, content, kind, parallel)


def decoded(
    path: Path, content: Any, kind: Kind, parallel: int = 0, numbers: bool = False
) -> npt.NDArray[Any]:
    """The volume in a file that is open; raises what :func:`read_volume` raises.

    With ``numbers``, a ``.npy`` file may hold floats.
    """
    if kind == "ckl":
        try:
            return stream.decompress(content.read(), parallel=parallel)
        except FormatError as error:
            raise FormatError(f"{path}: {error}", error.section, error.slice) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 may have written
            array: npt.NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
        while content.read(2**20):
            pass  # only at its end does an outer format tell that its checksum is another
    except (ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        if "allow_pickle" in str(error):
            raise UnusableError(f"{path}: it holds Python objects, and labels are integers") from None
        raise UnusableError(f"{path}: a damaged .npy file: {error}") from error
    if array.dtype.kind not in ("iubf" if numbers else "iub"):
        raise UnusableError(
            f"{path}: labels are integers or bool, not {array.dtype}: convert them first, for example with "
            f"np.save(..., np.load(...).astype(np.uint32))"
        )
    return array


# ---------------------------------------------------------------------------------------
# Writing


def write_npy(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    slow_axis: int,
    slabs: Iterable[npt.NDArray[Any]],
) -> None:
    """Write a ``.npy`` file, within the outer format that its suffix names, in one step for readers.

    Args:
        path: the file.
        shape: of the array.
        dtype: of the array.
        slow_axis: along which the slabs lie one behind the other: 0 makes C order, -1 Fortran order.
        slabs: of the array, in their order.
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
    """The array in a plain ``.npy`` file, mapped.

    None where it has to be read, or where something is wrong with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 may have written
            mapped: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except Exception:  # whatever it is, reading it says it better
        return None
    return mapped if mapped.dtype.kind in "iubf" and mapped.size else None
