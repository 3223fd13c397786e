"""Stack streams along z, and cut them apart, without decoding a crack.

The slices of a stream share only the label table, the list of pins and the Markov model. So a range of
slices makes a stream of its own, and several ranges can be stacked. The functions copy crack codes, and write
a label table of the labels in the slices. They take the time and memory of copying the bytes and of reading
the labels section of every piece, with two exceptions. Stacking encodes a stream again if its crack format or
Markov model differs from that of the longest stream. And pins do not always show whether their background is
in some slices; the functions then read the boundaries of these slices.

Functions raise :class:`~crackle_zarr.errors.FormatError` for damaged streams. They verify the checksum of the
labels, and copy the checksums of the slices.
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
    """Stack volumes along z.

    Args:
        images: streams and arrays of labels, in any mixture. Arrays may have fewer than three axes, as in
            :func:`~crackle_zarr.compress`. All have the same length along x and y.
        parallel: threads to encode arrays with; 0 is one per core.

    Returns:
        A stream of the dtype that holds the dtypes of all images, with the memory order of the first image
        and the crack format of the longest.

    Raises:
        ValueError: there are no images, their shapes do not fit, or there are too many slices.
        TypeError: no integer dtype holds the dtypes of all images, for example int64 and uint64; or an image
            is neither a stream nor an array of integers.
    """
    streams = [_stream_of(image, parallel) for image in images]
    if not streams:
        raise ValueError("there is nothing to stack: give one image or more")
    heads = [stream.header(one) for one in streams]
    first = heads[0]
    for number, head in enumerate(heads):
        if head.shape[:2] != first.shape[:2]:
            raise ValueError(
                f"images to stack have the same length along x and y: image 0 has the shape "
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
    source = bytes_of(image)
    if isinstance(source, np.ndarray | list | tuple | np.generic):
        return stream.compress(source, parallel=parallel)
    return source


def zrange(binary: Source, z_start: int, z_end: int) -> bytes:
    """The slices [z_start, z_end) of a volume, as a stream.

    Negative numbers count from the end.

    Raises:
        ValueError: the slices are outside the volume.
    """
    source = bytes_of(binary)
    head = stream.header(source)
    start, end = (_from_end(name, z, head.sz) for name, z in (("z_start", z_start), ("z_end", z_end)))
    return _cut(source, head, *stream.z_range(head, start, end))


def zsplit(binary: Source, z: int) -> tuple[bytes, bytes, bytes]:
    """Cut a volume into the slices before slice z, slice z, and the slices after it.

    The first or the last part may have no slices. A negative number counts from the end.

    Raises:
        ValueError: there is no such slice.
    """
    source = bytes_of(binary)
    head = stream.header(source)
    place = _from_end("z", z, head.sz)
    if not 0 <= place < head.sz:
        raise ValueError(f"there is no slice {z} among the {head.sz} slices of the volume")
    edges = (0, place, place + 1, head.sz)
    before, here, after = (_cut(source, head, *edges[i : i + 2]) for i in range(3))
    return before, here, after


def zshatter(binary: Source) -> list[bytes]:
    """Cut a volume into its slices."""
    source = bytes_of(binary)
    head = stream.header(source)
    return [_cut(source, head, z, z + 1) for z in range(head.sz)]


def _from_end(name: str, z: int, sz: int) -> int:
    try:
        place = operator.index(z)
    except TypeError:
        raise TypeError(f"{name} is the number of a slice, not {z!r} of type {type(z).__name__}") from None
    return place + sz if place < 0 else place


def _cut(source: _binding.Buffer, head: CrackleHeader, z_start: int, z_end: int) -> bytes:
    return _binding.stack([(source, z_start, z_end)], head.dtype, head.fortran_order)


def labels_for_z_range(binary: Source, z_start: int, z_end: int) -> Labels:
    """The labels in the slices [z_start, z_end), ascending, each once, in the volume's dtype.

    For flat labels, the function reads the keys of the slices. For pins, it reads the pins through the
    slices, and the boundaries if the pins do not show whether the background is there.

    Raises:
        ValueError: the slices are outside the volume.
    """
    source = bytes_of(binary)
    reader = _binding.Reader(source)
    start, end = stream.z_range(reader.header, z_start, z_end)
    if reader.header.voxels() == 0 or start == end:
        return np.empty(0, dtype=reader.header.dtype)
    if reader.header.label_format:
        return stream.labels(_cut(source, reader.header, start, end))
    return np.unique(reader.table()[reader.entries_in(start, end)])
