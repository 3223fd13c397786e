"""Write files atomically, plain or compressed by gzip, xz, lzma, bzip2 or zstd.

A file is written under a temporary name in its directory, synchronised to the disk, and renamed. Readers see
either the old file or the new one, and a failure leaves the old file unchanged.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import importlib
import lzma
import os
import secrets
import stat
from collections.abc import Callable
from typing import IO, Any, TypeAlias

PathLike: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
FileLike: TypeAlias = PathLike | IO[bytes]

# The first bytes of compressed files. A .lzma file has no magic number. Its first byte holds coder
# properties, in practice always these; the low bytes of a dictionary size follow, a power of two of at least
# 64 KiB.
OUTER_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x5d\x00\x00": "lzma",
}
OUTER_SUFFIX = {".gz": "gzip", ".xz": "xz", ".lzma": "lzma", ".bz2": "bzip2", ".zst": "zstd"}


# ---------------------------------------------------------------------------------------
# Writing


def write_file(filelike: FileLike, write: Callable[[Any], None]) -> None:
    """Call ``write`` with a file object, or with a new file that replaces the one at a path atomically."""
    if not isinstance(filelike, str | bytes | os.PathLike):
        if not callable(getattr(filelike, "write", None)):
            raise TypeError(f"a file is a path or a file object to write to, not {type(filelike).__name__}")
        write(filelike)
        return
    path = os.fsdecode(filelike)
    outer = OUTER_SUFFIX.get(os.path.splitext(path)[1].lower())
    if outer == "zstd":
        zstd()  # fail before making a temporary file

    def write_within(file: IO[bytes]) -> None:
        if outer is None:
            write(file)
        else:
            with compressor(file, outer) as inner:
                write(inner)

    replace(path, write_within)


# The most bytes per call of write(): some compressors are slow, and Ctrl-C waits for a call to end.
_WRITE_NBYTES = 2**20


def write_all(file: Any, data: Any) -> None:
    rest = memoryview(data)
    rest = rest.cast("B") if rest.c_contiguous else memoryview(rest.tobytes())
    while rest:
        piece = rest[:_WRITE_NBYTES]
        count = file.write(piece)
        # Some file-like objects return no count, and an unbuffered file may write only a part.
        rest = rest[len(piece) if count is None else count :]


def replace(path: str, write: Callable[[IO[bytes]], None]) -> None:
    """Call ``write`` with a temporary file, and rename it to ``path``: readers see no state in between."""
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as file:  # a device or a pipe: a rename would replace it
            write(file)
        return
    if mode is not None and not os.access(target, os.W_OK):
        # A rename does not need this permission, but open() does.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f".crackle-{secrets.token_hex(8)}.tmp")
    # Mode 0o666 without the umask's bits, as open() gives a new file, but tempfile does not.
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
    except BaseException:  # an interrupt removes the temporary file as well
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of these bytes, which appears when it is whole."""

    def write(file: IO[bytes]) -> None:
        file.write(data)

    replace(os.fspath(path), write)


def _sync_directory(directory: str) -> None:
    """Make a rename durable, if the system and the file system support it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---------------------------------------------------------------------------------------
# Outer formats


def compressor(file: IO[bytes], outer: str) -> Any:
    if outer == "gzip":
        # Without name and time, so that equal streams give equal files.
        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)
    if outer == "bzip2":
        return bz2.BZ2File(file, "wb")
    if outer == "zstd":
        return zstd().ZstdFile(file, "wb")
    return lzma.LZMAFile(file, "wb", format=lzma.FORMAT_XZ if outer == "xz" else lzma.FORMAT_ALONE)


def decompressor(file: IO[bytes], outer: str) -> Any:
    if outer == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if outer == "bzip2":
        return bz2.BZ2File(file, "rb")
    if outer == "zstd":
        return zstd().ZstdFile(file, "rb")
    return lzma.LZMAFile(file, "rb")


def zstd() -> Any:
    """The zstd module of Python 3.14, or its backport."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(
        "zstd files need Python 3.14 or the package backports.zstd: pip install 'crackle_zarr[zstd]'"
    )
