"""One question to many whole streams, in one call of C: the labels and the extents of small chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .library import Buffer, bytes_in, check_status, ffi, lib, take_array, verify_flag
from .volumes import LABEL_EXTENT


class Batch(NamedTuple):
    """Whole streams of one shape and dtype, one after the other.

    A stream of another shape or dtype is an error, like a damaged one.
    """

    streams: Buffer
    ends: npt.NDArray[np.uint64]  # of each stream; the first begins at 0
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]


def batch_tables(batch: Batch, verify: bool = True) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The label tables of all streams, sign-extended to 64 bits, and where the table of each ends.

    Raises:
        FormatError: a stream is damaged. The message does not say which.
    """
    return _asked(batch, lib.crackle_batch_tables, "uint64_t **", verify, np.dtype(np.uint64))


def batch_measure(batch: Batch, verify: bool = True) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
    """The extents of all labels of all streams, see ``LABEL_EXTENT``, and where the rows of each end.

    Labels are sign-extended to 64 bits. A label has a row for each entry of the label table that has voxels.

    Raises:
        FormatError: a stream is damaged. The message does not say which.
        ValueError: a sum of coordinates might pass 64 bits.
    """
    return _asked(batch, lib.crackle_batch_measure, "struct crackle_label_extent **", verify, LABEL_EXTENT)


def _asked(
    batch: Batch, call: Callable[..., int], pointer: str, verify: bool, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
    ends = np.ascontiguousarray(batch.ends, dtype=np.uint64)
    found, row_ends = ffi.new(pointer), np.zeros(len(ends), dtype=np.uint64)
    stream, where = ffi.new("size_t *"), ffi.new("struct crackle_where *")
    given = ffi.new("struct crackle_batch *")
    with (
        bytes_in(batch.streams) as data,
        ffi.from_buffer("uint64_t[]", ends) as places,
        ffi.from_buffer("uint64_t[]", row_ends, require_writable=True) as target,
    ):
        given.bytes, given.nbytes = data, len(data)
        given.ends, given.count = places, len(ends)
        given.sx, given.sy, given.sz = batch.shape
        given.width, given.is_signed = batch.dtype.itemsize, batch.dtype.kind == "i"
        check_status(call(given, verify_flag(verify), found, target, stream, where), where)
    count = int(row_ends[-1]) if len(row_ends) else 0
    return take_array(found[0], count, dtype), row_ends
