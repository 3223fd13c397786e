"""Crackle streams in files, plain or within gzip, xz, bzip2 or zstd."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import importlib
import io
import lzma
import mmap
import os
import secrets
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import integer
from ..errors import FormatError
from ..streams import stream
from ..streams.array import CrackleArray

PathLike: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
FileLike: TypeAlias = PathLike | IO[bytes]

MAGIC = b"crkl"

# How files of the outer formats begin. A .lzma file has no magic: its first byte are coder properties, in
# practice always these, and then the low bytes of a dictionary size, a power of two from 64 KiB up.
OUTER_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x5d\x00\x00": "lzma",
}
OUTER_SUFFIX = {".gz": "gzip", ".xz": "xz", ".lzma": "lzma", ".bz2": "bzip2", ".zst": "zstd"}


# ---------------------------------------------------------------------------------------
# Saving


def save(labels: Any, filelike: FileLike, **compress_options: Any) -> None:
    """Write a volume or a stream to a file.

    A file at a path is written under a temporary name in its directory, synchronised to the disk
    and then renamed: whatever fails, the old file stays whole. A symbolic link is followed, and an
    existing file's permissions stay.

    Args:
        labels: a volume, to be compressed; or a stream (bytes, bytearray, memoryview or mmap) or a
            :class:`~crackle_zarr.CrackleArray`, to be written as it is.
        filelike: a path, or a file object opened for writing bytes. A path that ends in ``.gz``,
            ``.xz``, ``.lzma``, ``.bz2`` or ``.zst`` is compressed once more in that format; a file
            object gets the bare stream.
        compress_options: options of :func:`~crackle_zarr.compress`, such as ``preset="small"``, for a
            volume.

    Raises:
        FormatError: ``labels`` are bytes that are not a sound stream.
        TypeError: ``labels`` are neither integers nor a stream, or a stream comes with options.
        ImportError: a ``.zst`` file needs a module that is not there.
        OSError: the file cannot be written.
    """
    binary = _to_stream(labels, compress_options)
    _save_by(filelike, lambda file: _write_all(file, binary))


def save_numpy(arr: Any, filelike: FileLike, block_size: int = 200_000_000) -> None:
    """Write a volume or a stream to a ``.npy`` file, as :func:`numpy.load` reads it.

    Of a stream some slices are decoded at a time, and the whole is never in memory; but a volume that is
    rendered in C order, z fastest, is decoded as a whole, as no slice of it lies together in the file.

    Args:
        arr: a stream (bytes-like), a :class:`~crackle_zarr.CrackleArray`, or an array.
        filelike: as in :func:`save`: a path, which may end in ``.gz`` or the like, or a file object.
        block_size: about how many bytes of voxels to decode at a time.

    Raises:
        FormatError: ``arr`` is not a sound stream.
        ValueError: ``block_size`` is not positive.
        OSError: the file cannot be written.
    """
    size = integer("block_size", block_size)
    if size < 1:
        raise ValueError(f"block_size is a number of bytes, and positive, not {size}")
    if isinstance(arr, np.ndarray):
        array = arr
        _save_by(filelike, lambda file: np.lib.format.write_array(file, array, allow_pickle=False))
        return
    reader = _binding.Reader(stream.bytes_of(arr))
    head = reader.header
    if not head.fortran_order:
        volume = stream.decompress(arr)
        _save_by(filelike, lambda file: np.lib.format.write_array(file, volume, allow_pickle=False))
        return

    def write(file: Any) -> None:
        fields = {
            "descr": np.lib.format.dtype_to_descr(head.dtype),
            "fortran_order": True,
            "shape": head.shape,
        }
        np.lib.format.write_array_header_1_0(file, fields)
        depth = max(1, size // max(1, head.sx * head.sy * head.data_width))
        for start in range(0, head.sz, depth):
            end = min(start + depth, head.sz)
            slab = stream._empty((head.sx, head.sy, end - start), head.dtype, "F")
            stream._decode(reader, slab, start, end, threads=_binding.threads(0))
            _write_all(file, slab.T.data if slab.size else b"")

    _save_by(filelike, write)


def _save_by(filelike: FileLike, write: Callable[[Any], None]) -> None:
    """Let ``write`` write to a file object, or to a file that appears when it is whole."""
    if not isinstance(filelike, str | bytes | os.PathLike):
        if not callable(getattr(filelike, "write", None)):
            raise TypeError(f"a file is a path or a file object to write to, not {type(filelike).__name__}")
        write(filelike)
        return
    path = os.fsdecode(filelike)
    outer = OUTER_SUFFIX.get(os.path.splitext(path)[1].lower())
    if outer == "zstd":
        _zstd()  # fail before there is a temporary file

    def write_within(file: IO[bytes]) -> None:
        if outer is None:
            write(file)
        else:
            with _compressor(file, outer) as inner:
                write(inner)

    _replace(path, write_within)


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


# What is written at once: some compressors take long for it, and Ctrl-C waits for them.
_WRITE_NBYTES = 2**20


def _write_all(file: Any, binary: _binding.Buffer) -> None:
    rest = memoryview(binary)
    rest = rest.cast("B") if rest.c_contiguous else memoryview(rest.tobytes())
    while rest:
        piece = rest[:_WRITE_NBYTES]
        count = file.write(piece)
        # Not every file-like object counts; an unbuffered file may take less than all.
        rest = rest[len(piece) if count is None else count :]


def _replace(path: str, write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` make the file ``path``, in one step as far as readers can tell."""
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as file:  # a device or a pipe: renaming onto it would remove it
            write(file)
        return
    if mode is not None and not os.access(target, os.W_OK):
        # Renaming does not ask for this permission, but open() does.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f".crackle-{secrets.token_hex(8)}.tmp")
    # 0o666 less the umask: what open() gives a new file, and tempfile does not.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:  # an interrupt leaves nothing behind either
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _sync_directory(directory: str) -> None:
    """Make a rename durable, on the systems and file systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---------------------------------------------------------------------------------------
# Loading


def load(filelike: FileLike, label: int | None = None, parallel: int = 0) -> npt.NDArray[Any]:
    """Read and decode a file.

    Args:
        filelike: a path, or a file object opened for reading bytes. Whether and how it is
            compressed once more is told by its content, not by its name.
        label: return a mask of this label instead of the labels.
        parallel: threads; 0 is one per core.

    Raises:
        FormatError: the file is not Crackle, or is damaged or truncated; the message names it.
        ImportError: a zstd file needs a module that is not there.
        OSError: the file cannot be read.
    """
    binary = bload(filelike)
    with _naming(filelike):
        return stream.decompress(binary, label, parallel)


def aload(filelike: FileLike, allow_mmap: bool = False) -> CrackleArray:
    """Read a file as a :class:`~crackle_zarr.CrackleArray`; see :func:`bload`."""
    return CrackleArray(bload(filelike, allow_mmap))


def bload(filelike: FileLike, allow_mmap: bool = False) -> _binding.Buffer:
    """Read a file's stream, without decoding it.

    Args:
        filelike: a path, or a file object opened for reading bytes.
        allow_mmap: map the file into memory instead of reading it, where that is possible: a path of
            a regular file that is not compressed once more. The file must then stay as it is.

    Returns:
        bytes, or the map.

    Raises:
        FormatError: the file is not Crackle, or is damaged or truncated as far as can be told without
            decoding it; the message names it.
        ImportError: a zstd file needs a module that is not there.
        OSError: the file cannot be read.
    """
    if isinstance(filelike, str | bytes | os.PathLike):
        with open(filelike, "rb") as file, _naming(filelike):
            return _read(file, allow_mmap and stat.S_ISREG(os.fstat(file.fileno()).st_mode))
    if not callable(getattr(filelike, "read", None)):
        raise TypeError(f"a file is a path or a file object to read from, not {type(filelike).__name__}")
    content: Any = filelike.read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"the file object gives {type(content).__name__}, not bytes: open it in binary mode")
    with _naming(filelike):
        return _read(io.BufferedReader(io.BytesIO(content)), False)


def _read(file: io.BufferedReader, allow_mmap: bool) -> _binding.Buffer:
    begin = file.peek(8)[:8]
    outer = next((name for magic, name in OUTER_MAGIC.items() if begin.startswith(magic)), None)
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
    """What is in a compressed file, if it is Crackle: that is found out before the rest is unpacked."""
    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError)
    if outer == "zstd":
        errors += (_zstd().ZstdError,)
    try:
        with _decompressor(file, outer) as inner:
            _check_magic(inner.peek(4), f" within {outer}")
            return bytes(inner.read())
    except errors as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble: those of the compressors have no number
        raise FormatError(f"damaged or truncated {outer} data: {error}") from error


@contextlib.contextmanager
def _naming(filelike: Any) -> Iterator[None]:
    """Put the file's name in front of a FormatError."""
    try:
        yield
    except FormatError as error:
        if isinstance(filelike, str | bytes | os.PathLike):
            name = os.fsdecode(filelike)
        else:
            name = str(getattr(filelike, "name", f"a {type(filelike).__name__}"))
        raise FormatError(f"{name}: {error}", error.section, error.slice) from error


# ---------------------------------------------------------------------------------------
# Outer formats


def _compressor(file: IO[bytes], outer: str) -> Any:
    if outer == "gzip":
        # Neither name nor time: equal streams make equal files.
        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)
    if outer == "bzip2":
        return bz2.BZ2File(file, "wb")
    if outer == "zstd":
        return _zstd().ZstdFile(file, "wb")
    return lzma.LZMAFile(file, "wb", format=lzma.FORMAT_XZ if outer == "xz" else lzma.FORMAT_ALONE)


def _decompressor(file: IO[bytes], outer: str) -> Any:
    if outer == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if outer == "bzip2":
        return bz2.BZ2File(file, "rb")
    if outer == "zstd":
        return _zstd().ZstdFile(file, "rb")
    return lzma.LZMAFile(file, "rb")


def _zstd() -> Any:
    """The zstd module of Python 3.14, or its backport."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(
        "zstd files need Python 3.14 or the package backports.zstd: pip install 'crackle_zarr[zstd]'"
    )
