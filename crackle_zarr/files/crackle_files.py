"""Crackle streams in files, plain or within gzip, xz, bzip2 or zstd."""

from __future__ import annotations

import contextlib
import io
import lzma
import mmap
import os
import stat
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy.typing as npt

from .. import _binding
from .._base import atomic_files
from .._base.atomic_files import FileLike
from ..errors import FormatError
from ..streams import stream
from ..streams.array import CrackleArray
from ..streams.saving import save_stream

MAGIC = stream.MAGIC

# ---------------------------------------------------------------------------------------
# Saving


def save(labels: Any, filelike: FileLike, **compress_options: Any) -> None:
    """Write a volume or a stream to a file.

    A file at a path is written under a temporary name in its directory, synchronised to the disk
    and then renamed, so a failure leaves the old file intact. Symbolic links are followed, and an
    existing file keeps its permissions.

    Args:
        labels: a volume, which is compressed; or a stream (bytes, bytearray, memoryview or mmap) or a
            :class:`~crackle_zarr.CrackleArray`, which is written unchanged.
        filelike: a path, or a file object opened for writing bytes. If the path ends in ``.gz``,
            ``.xz``, ``.lzma``, ``.bz2`` or ``.zst``, the file is compressed again in that format. A
            file object gets the plain stream.
        compress_options: options of :func:`~crackle_zarr.compress`, such as ``preset="small"``, for a
            volume.

    Raises:
        FormatError: ``labels`` are bytes that are not a sound stream.
        TypeError: ``labels`` are neither integers nor a stream, or a stream comes with options.
        ImportError: a ``.zst`` file needs a module that is not there.
        OSError: the file cannot be written.
    """
    binary = _to_stream(labels, compress_options)
    save_stream(binary, filelike)


def _to_stream(labels: Any, options: dict[str, Any]) -> _binding.Buffer:
    if isinstance(labels, CrackleArray):
        binary = labels.binary
    elif isinstance(labels, bytes | bytearray | memoryview | mmap.mmap):
        _binding.Reader(labels)
        binary = labels
    else:
        return stream.compress(labels, **options)
    if options:
        raise TypeError(f"a stream is saved as it is: the options {', '.join(options)} are for volumes")
    return binary


# ---------------------------------------------------------------------------------------
# Loading


def load(filelike: FileLike, label: int | None = None, parallel: int = 0) -> npt.NDArray[Any]:
    """Read and decode a file.

    Args:
        filelike: a path, or a file object opened for reading bytes. Its content, not its name,
            determines whether and how it is compressed again.
        label: return a mask of this label instead of the labels.
        parallel: threads; 0 is one per core.

    Raises:
        FormatError: the file is not Crackle, or is damaged or truncated; the message names it.
        ImportError: a zstd file needs a module that is not there.
        OSError: the file cannot be read.
    """
    binary = bload(filelike)
    with file_in_errors(filelike):
        return stream.decompress(binary, label, parallel)


def aload(filelike: FileLike, allow_mmap: bool = False) -> CrackleArray:
    """Read a file as a :class:`~crackle_zarr.CrackleArray`; see :func:`bload`."""
    return CrackleArray(bload(filelike, allow_mmap))


def bload(filelike: FileLike, allow_mmap: bool = False) -> _binding.Buffer:
    """Read a file's stream, without decoding it.

    Args:
        filelike: a path, or a file object opened for reading bytes.
        allow_mmap: map the file into memory instead of reading it, if it is a regular file at a path
            and not compressed again. The file must not change while it is mapped.

    Returns:
        bytes, or the map.

    Raises:
        FormatError: the file is not Crackle, or is damaged or truncated in a way that shows without
            decoding; the message names it.
        ImportError: a zstd file needs a module that is not there.
        OSError: the file cannot be read.
    """
    if isinstance(filelike, str | bytes | os.PathLike):
        with open(filelike, "rb") as file, file_in_errors(filelike):
            return _read(file, allow_mmap and stat.S_ISREG(os.fstat(file.fileno()).st_mode))
    if not callable(getattr(filelike, "read", None)):
        raise TypeError(f"a file is a path or a file object to read from, not {type(filelike).__name__}")
    content: Any = filelike.read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"the file object gives {type(content).__name__}, not bytes: open it in binary mode")
    with file_in_errors(filelike):
        return _read(io.BufferedReader(io.BytesIO(content)), False)


def _read(file: io.BufferedReader, allow_mmap: bool) -> _binding.Buffer:
    begin = file.peek(8)[:8]
    outer = next((name for magic, name in atomic_files.OUTER_MAGIC.items() if begin.startswith(magic)), None)
    binary: _binding.Buffer
    if outer is not None:
        binary = _decompress(file, outer)
    else:
        _check_magic(begin, "")
        binary = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if allow_mmap else file.read()
    _binding.Reader(binary)
    return binary


def _check_magic(begin: bytes, within: str) -> None:
    if not begin.startswith(MAGIC):
        raise FormatError(f"not a Crackle stream{within}: it begins with {begin[:4]!r}, not with {MAGIC!r}")


def _decompress(file: IO[bytes], outer: str) -> bytes:
    """The content of a compressed file.

    Raises FormatError before unpacking all of it, if it is not Crackle.
    """
    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError)
    if outer == "zstd":
        errors += (atomic_files.zstd().ZstdError,)
    try:
        with atomic_files.decompressor(file, outer) as inner:
            _check_magic(inner.peek(4), f" within {outer}")
            return bytes(inner.read())
    except errors as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk: those of the compressors have no errno
        raise FormatError(f"damaged or truncated {outer} data: {error}") from error


@contextlib.contextmanager
def file_in_errors(filelike: Any) -> Iterator[None]:
    """Prefix the message of a FormatError with the file's name."""
    try:
        yield
    except FormatError as error:
        if isinstance(filelike, str | bytes | os.PathLike):
            name = os.fsdecode(filelike)
        else:
            name = str(getattr(filelike, "name", f"a {type(filelike).__name__}"))
        raise FormatError(f"{name}: {error}", error.section, error.slice) from error
