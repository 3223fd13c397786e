"""Imports the C library, as the only module: passes buffers in and out, and raises statuses as exceptions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._crackle import ffi, lib
from ..errors import FormatError

__all__ = [
    "Buffer",
    "buffer_of",
    "bytes_in",
    "check_status",
    "ffi",
    "label_bits",
    "lib",
    "take_array",
    "take_bytes",
    "verify_flag",
]

# Anything with the buffer protocol: bytes, bytearray, memoryview, mmap, a NumPy array of bytes.
Buffer = Any


def text_of(pointer: Any) -> str:
    return ffi.string(pointer).decode("ascii")  # type: ignore[no-any-return]


def check_status(status: int, where: Any = ffi.NULL) -> None:
    """Raise the exception that belongs to a status of the C library."""
    if status == lib.CRACKLE_OK:
        return
    message = text_of(lib.crackle_status_message(status))
    if status == lib.CRACKLE_NO_MEMORY:
        raise MemoryError(message)
    if status in (lib.CRACKLE_BAD_ARGUMENT, lib.CRACKLE_TOO_LARGE):
        raise ValueError(message)
    if status == lib.CRACKLE_DOES_NOT_FIT:
        raise OverflowError(message)
    if status == lib.CRACKLE_STOPPED:
        raise KeyboardInterrupt(message)
    section = slice_number = None
    if where != ffi.NULL and where.section != lib.CRACKLE_SECTION_NONE:
        section = text_of(lib.crackle_section_name(where.section))
        if where.slice != lib.CRACKLE_NO_SLICE:
            slice_number = where.slice
    place = f" (section: {section})" if section else ""
    if slice_number is not None:
        place = f" (section: {section}, slice z = {slice_number})"
    raise FormatError(f"not a sound Crackle stream: {message}{place}", section, slice_number)


def bytes_in(binary: Buffer) -> Any:
    """A ``uint8_t[]`` over the caller's bytes, without a copy."""
    if type(binary) is bytes:  # most streams are: the checks and the views of others take microseconds
        return ffi.from_buffer("uint8_t[]", binary)
    if isinstance(binary, str) or not is_buffer(binary):
        raise TypeError(
            f"a Crackle stream is bytes, a bytearray, a memoryview or another bytes-like object, "
            f"not {type(binary).__name__}"
        )
    view = memoryview(binary)
    return buffer_of(view if view.c_contiguous else view.tobytes())


def buffer_of(buffer: Buffer, writable: bool = False) -> Any:
    # cffi gets an ndarray over the buffer, not the memoryview itself. A traceback can put a memoryview into a
    # reference cycle; the garbage collector then clears it while cffi still exports it, which crashes.
    return ffi.from_buffer("uint8_t[]", np.frombuffer(buffer, np.uint8), require_writable=writable)


def is_buffer(candidate: object) -> bool:
    if isinstance(candidate, np.ndarray) and candidate.dtype.hasobject:
        return False
    try:
        memoryview(candidate)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def take_bytes(out: Any, nbytes: Any) -> bytes:
    """Copy a buffer that the C library allocated into bytes, and free it."""
    try:
        return bytes(ffi.buffer(out[0], nbytes[0]))
    finally:
        lib.crackle_free(out[0])


def take_array(pointer: Any, count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An array that the C library allocated; it is freed with the last view of it."""
    owned = ffi.gc(pointer, lib.crackle_free, count * dtype.itemsize)
    return np.frombuffer(ffi.buffer(owned, count * dtype.itemsize), dtype)


def verify_flag(verify: bool) -> int:
    return 0 if verify else int(lib.CRACKLE_NO_VERIFY)


def label_bits(label: int) -> int:
    """A label as the 64 bits that C takes."""
    return label & 0xFFFF_FFFF_FFFF_FFFF
