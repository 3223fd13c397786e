"""The one mapping between a Zarr chunk and the (x, y, z) volume of a Crackle stream.

The fastest axis in memory is x. A C-order chunk of shape (..., y, x) is a stream of
sx = last axis, sy = the one before and sz = the product of all the others: its slices are the
planes that a person calls slices, and rendered with x fastest the stream gives back the
chunk's bytes, so no voxel moves. A chunk in F order is the same with its axes reversed. Axes
that a chunk of less than two dimensions lacks are 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base.header import CrackleHeader
from ..errors import FormatError

MAX_AXIS = 2**32 - 1  # sx, sy and sz are 32-bit numbers in the stream


def label_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The integers, in the machine's byte order, as which a stream keeps a dtype.

    Bool becomes uint8. Raises TypeError for what are no labels: floats, complex numbers, objects,
    strings, times.
    """
    if dtype.kind not in "iub":
        raise TypeError(
            f"Crackle stores labels: integers or bool, not {dtype}. "
            f"Convert them first, for example with astype('uint32'), or store this array with another codec"
        )
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def volume_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(sx, sy, sz) of a C-order chunk; ValueError where a stream cannot count that far."""
    *leading, sy, sx = (1, 1, *shape)
    volume = (sx, sy, math.prod(leading))
    if max(volume) > MAX_AXIS:
        raise ValueError(
            f"a chunk of shape {shape} is a Crackle volume of {sx} x {sy} voxels by {volume[2]} slices, "
            f"the product of all axes but the last two. None may exceed {MAX_AXIS}: use smaller chunks"
        )
    return volume


def as_volume(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A contiguous chunk as an (x, y, z) view with x fastest.

    A chunk that is contiguous both ways is taken as C order. Raises ValueError for one that is
    contiguous in no order, or too large.
    """
    if not chunk.flags.c_contiguous:
        if not chunk.flags.f_contiguous:
            raise ValueError(f"a chunk of strides {chunk.strides} is not contiguous")
        chunk = chunk.T
    return chunk.reshape(volume_shape(chunk.shape)[::-1]).T


def plain(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A chunk as aligned integers, contiguous in one of the two orders; a copy only where it must.

    What is contiguous in no order becomes C order. The byte order stays; bool becomes uint8 0 and 1.
    """
    if not (chunk.flags.aligned and (chunk.flags.c_contiguous or chunk.flags.f_contiguous)):
        chunk = chunk.copy(order="A")
    if chunk.dtype.kind == "b":
        chunk = chunk.view(np.uint8)
        if chunk.size and chunk.max() > 1:  # a byte other than 0 is True, whatever it is
            chunk = (chunk != 0).view(np.uint8)
    return chunk


def check_header(header: CrackleHeader, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise FormatError where a stream is not one of a chunk: before anything is allocated for it.

    Args:
        header: of the stream.
        shape: of the chunk, as it is stored.
        dtype: of the array.
    """
    volume, native = volume_shape(shape), label_dtype(dtype)
    if header.shape != volume or header.dtype != native:
        raise FormatError(
            f"the chunk holds a Crackle stream of {header.dtype} and of shape (x, y, z) = {header.shape}; "
            f"one of {dtype} and of shape {shape} needs {native} and {volume}",
            section="header",
        )
