"""What a chunk was when it was indexed: the checksums in its stream, and what a listing says about it.

The last bytes of a stream are the checksums of its labels and slices, so a request of some hundred bytes
tells whether a chunk has changed; of any other object the CRC-32 of all bytes does. ``listing`` gives the
tags, which cost far less and are lost when an array is copied.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ... import _binding
from ...errors import FormatError
from ..chunk import Chunk, chunks_of
from ..fetch import Bytes, Steps, Wanted, drive
from ..layout import Coords, Layout

# Structured arrays of DTYPE.
Stamps: TypeAlias = npt.NDArray[Any]

# A chunk that does not exist has 0 bytes and checksums of 0. ``slices_crc`` is 0 where ``labels_crc`` is the
# CRC-32 of all bytes. ``tag`` is 0 where the store says nothing.
DTYPE = np.dtype(
    [("chunk", "u8"), ("nbytes", "u8"), ("labels_crc", "u4"), ("slices_crc", "u4"), ("tag", "u8")]
)


def number_of(layout: Layout, coords: Coords) -> int:
    """The number of a chunk in C order of the grid."""
    number = 0
    for index, length in zip(coords, layout.grid, strict=True):
        number = number * length + index
    return number


def coords_of(layout: Layout, numbers: npt.NDArray[Any]) -> list[Coords]:
    """The grid indices of chunks, from their numbers."""
    if not layout.grid:
        return [()] * len(numbers)
    indices = np.unravel_index(numbers.astype(np.int64), layout.grid)
    return list(zip(*(index.tolist() for index in indices), strict=True))


def stamp_of(layout: Layout, coords: Coords, raw: Bytes | None) -> tuple[int, int, int]:
    """(nbytes, labels_crc, slices_crc) of a stored chunk, from all of its bytes; None: it does not exist."""
    if raw is None:
        return 0, 0, 0
    if layout.chain is not None and not layout.chain.outer:
        try:
            has_checksums = _binding.read_header(raw).format_version > 0
        except FormatError:
            has_checksums = False
        nbytes = _tail_nbytes(layout, coords)
        if has_checksums and len(raw) >= nbytes:
            return len(raw), *_of_tail(raw[-nbytes:])
    return len(raw), zlib.crc32(raw.tobytes()), 0


def _tail_nbytes(layout: Layout, coords: Coords) -> int:
    return 4 * (layout.volume_shape(coords)[2] + 1)


def _of_tail(tail: Bytes) -> tuple[int, int]:
    return int.from_bytes(tail[:4].tobytes(), "little"), zlib.crc32(tail[4:].tobytes()) or 1


# ---------------------------------------------------------------------------------------
# Against the store


def read_stamps(layout: Layout, coords: Sequence[Coords]) -> Stamps:
    """The stamps of some chunks without tags, from all of their bytes; in one shard, if there are any."""
    stamps = np.zeros(len(coords), dtype=DTYPE)
    stamps["chunk"] = [number_of(layout, one) for one in coords]
    if layout.chain is None:
        keys = list(dict.fromkeys(layout.path(layout.key(one)) for one in coords))
        found = drive(layout.store, [_object(key) for key in keys])
        by_key = dict(zip(keys, found, strict=True))
        raws = [by_key[layout.path(layout.key(one))] for one in coords]
    else:
        raws = drive(layout.store, [chunk.raw() for chunk in chunks_of(layout, coords, layout.everything)])
    for place, raw in enumerate(raws):
        stamps["nbytes"][place], stamps["labels_crc"][place], stamps["slices_crc"][place] = stamp_of(
            layout, coords[place], raw
        )
    return stamps


def _object(key: str) -> Steps[Bytes | None]:
    (came,) = yield [Wanted(key)]
    return came


def unchanged(layout: Layout, stamps: Stamps) -> npt.NDArray[np.bool_]:
    """Whether chunks are what their stamps say, by their contents; in one shard, if there are any.

    Of a stream only the checksums at its end are read, as far as the store has ranges.
    """
    coords = coords_of(layout, stamps["chunk"])
    if layout.chain is None:
        return same(read_stamps(layout, coords), stamps)
    chunks = chunks_of(layout, coords, layout.everything)
    questions = [_unchanged(chunk, stamp) for chunk, stamp in zip(chunks, stamps, strict=True)]
    return np.array(drive(layout.store, questions), dtype=np.bool_)


def _unchanged(chunk: Chunk, stamp: Any) -> Steps[bool]:
    layout = chunk.layout
    tail_nbytes = _tail_nbytes(layout, chunk.coords)
    expected = tuple(int(stamp[name]) for name in ("nbytes", "labels_crc", "slices_crc"))
    if chunk.absent or not expected[2] or tail_nbytes > expected[0]:
        return stamp_of(layout, chunk.coords, (yield from chunk.raw())) == expected
    if chunk.span is None:
        (tail,) = yield [Wanted(chunk.key, -tail_nbytes)]
    else:
        offset, length = chunk.span
        if length != expected[0]:
            return False
        (tail,) = yield [Wanted(chunk.key, offset + length - tail_nbytes, offset + length)]
    return tail is not None and len(tail) == tail_nbytes and _of_tail(tail) == expected[1:]


def same(a: Stamps, b: Stamps) -> npt.NDArray[np.bool_]:
    """Whether the contents of stamps are equal; their tags do not matter."""
    equal = a["nbytes"] == b["nbytes"]
    for name in ("labels_crc", "slices_crc"):
        equal &= a[name] == b[name]
    return np.asarray(equal)
