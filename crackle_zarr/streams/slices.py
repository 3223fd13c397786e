"""Streams laid upon each other along z, and cut apart, without decoding a crack.

Slices of a stream are independent but for the label table, the list of pins and the Markov model, so a
range of slices is a stream of its own, and so are several, one upon the other. Crack codes are copied.
Label tables list what occurs in the slices. Time and memory are those of copying the bytes and of reading the
labels section of every piece, with two exceptions: of streams that are stacked, those whose crack format or
Markov model differ from that of the longest are coded anew; and pins do not always tell whether their
background occurs in some slices, which are then looked at.

Functions raise :class:`~crackle_zarr.errors.FormatError` for damaged streams. The labels' checksum is
verified, and the checksums of slices travel with them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.header import CrackleHeader
from . import stream
from .stream import Labels, Source, bytes_of


def zstack(images: Iterable[Source | npt.ArrayLike], parallel: int = 0) -> bytes:
    """Lay volumes upon each other along z.

    Args:
        images: streams and arrays of labels, in any mixture. Arrays may have fewer than three axes, as in
            :func:`~crackle_zarr.compress`. All have the same length along x and y.
        parallel: threads to encode arrays with; 0 is one per core.

    Returns:
        The stream, of the dtype that holds those of all images, with the memory order and the crack format
        of the first and the longest.

    Raises:
        ValueError: there are no images, their shapes do not fit, or there are too many slices.
        TypeError: no integer dtype holds those of all images, as of int64 and uint64, or an image is neither
            a stream nor an array of integers.
    """
    streams = [_stream_of(image, parallel) for image in images]
    if not streams:
        raise ValueError("there is nothing to stack: give one image or more")
    heads = [stream.header(one) for one in streams]
    first = heads[0]
    for number, head in enumerate(heads):
        if head.shape[:2] != first.shape[:2]:
            raise ValueError(
                f"images that are stacked have the same length along x and y: image 0 has the shape "
                f"{first.shape}, and image {number} has {head.shape}"
            )
    total = sum(head.sz for head in heads)
    if total > stream.MAX_AXIS:
        raise ValueError(f"an axis of a stream is at most {stream.MAX_AXIS} long, not {total}")
    dtype = np.result_type(*(head.dtype for head in heads))
    if dtype.kind not in "iu":
        names = ", ".join(sorted({head.dtype.name for head in heads}))
        raise TypeError(f"no integer dtype holds the labels of all images ({names}): use astype() first")
    pieces = [(one, 0, head.sz) for one, head in zip(streams, heads, strict=True)]
    return _binding.stack(pieces, dtype, first.fortran_order)


def _stream_of(image: Any, parallel: int) -> _binding.Buffer:
    held = bytes_of(image)
    if isinstance(held, np.ndarray | list | tuple | np.generic):
        return stream.compress(held, parallel=parallel)
    return held


def zrange(binary: Source, z_start: int, z_end: int) -> bytes:
    """The slices [z_start, z_end) of a volume, as a stream.

    Negative numbers count from the end.

    Raises:
        ValueError: the slices are outside the volume.
    """
    held = bytes_of(binary)
    head = stream.header(held)
    start, end = (_from_end(name, z, head.sz) for name, z in (("z_start", z_start), ("z_end", z_end)))
    return _cut(held, head, *stream.z_range(head, start, end))


def zsplit(binary: Source, z: int) -> tuple[bytes, bytes, bytes]:
    """Cut a volume into what lies before slice z, the slice itself, and what lies after it.

    The first or the last may have no slices. A negative number counts from the end.

    Raises:
        ValueError: there is no such slice.
    """
    held = bytes_of(binary)
    head = stream.header(held)
    place = _from_end("z", z, head.sz)
    if not 0 <= place < head.sz:
        raise ValueError(f"there is no slice {z} among the {head.sz} slices of the volume")
    edges = (0, place, place + 1, head.sz)
    before, here, after = (_cut(held, head, *edges[i : i + 2]) for i in range(3))
    return before, here, after


def zshatter(binary: Source) -> list[bytes]:
    """Cut a volume into its slices."""
    held = bytes_of(binary)
    head = stream.header(held)
    return [_cut(held, head, z, z + 1) for z in range(head.sz)]


def _from_end(name: str, z: int, sz: int) -> int:
    try:
        place = operator.index(z)
    except TypeError:
        raise TypeError(f"{name} is the number of a slice, not {z!r} of type {type(z).__name__}") from None
    return place + sz if place < 0 else place


def _cut(held: _binding.Buffer, head: CrackleHeader, z_start: int, z_end: int) -> bytes:
    return _binding.stack([(held, z_start, z_end)], head.dtype, head.fortran_order)


def labels_for_z_range(binary: Source, z_start: int, z_end: int) -> Labels:
    """The labels in the slices [z_start, z_end), ascending, each once, in the volume's dtype.

    Of flat labels, the keys of the slices are looked at. Of pins, those that reach the slices, and the
    boundaries where that does not tell whether their background is there.

    Raises:
        ValueError: the slices are outside the volume.
    """
    held = bytes_of(binary)
    reader = _binding.Reader(held)
    start, end = stream.z_range(reader.header, z_start, z_end)
    if reader.header.voxels() == 0 or start == end:
        return np.empty(0, dtype=reader.header.dtype)
    if reader.header.label_format:
        return stream.labels(_cut(held, reader.header, start, end))
    return np.unique(reader.table()[reader.entries_in(start, end)])
