"""The mapping between a Zarr chunk and the (x, y, z) volume of a Crackle stream.

The fastest axis in memory is x. The stream of a C-order chunk of shape (..., y, x) has sx = the last
axis, sy = the axis before it, and sz = the product of all other axes. So the slices of the stream are the
planes (y, x) of the chunk, and the stream decodes, with x fastest, to the chunk's bytes: no voxel moves. An
F-order chunk is the same with its axes reversed. For chunks of less than two dimensions, missing axes are 1.
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
    """The integer dtype, in the machine's byte order, that a stream has for an array's dtype.

    Bool becomes uint8.

    Raises:
        TypeError: the dtype is neither an integer nor bool.
    """
    if dtype.kind not in "iub":
        raise TypeError(
            f"Crackle stores labels: integers or bool, not {dtype}. "
            f"Convert them first, for example with astype('uint32'), or store this array with another codec"
        )
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def volume_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(sx, sy, sz) of a C-order chunk; ValueError if one of them does not fit 32 bits."""
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

    A chunk that is contiguous in both orders counts as C order.

    Raises:
        ValueError: the chunk is contiguous in neither order, or too large.
    """
    if not chunk.flags.c_contiguous:
        if not chunk.flags.f_contiguous:
            raise ValueError(f"a chunk of strides {chunk.strides} is not contiguous")
        chunk = chunk.T
    return chunk.reshape(volume_shape(chunk.shape)[::-1]).T


def plain(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A chunk as aligned integers, contiguous in C or F order, without a copy if possible.

    A chunk that is contiguous in neither order becomes C order. The byte order stays; bool becomes uint8 0
    and 1.
    """
    if not (chunk.flags.aligned and (chunk.flags.c_contiguous or chunk.flags.f_contiguous)):
        chunk = chunk.copy(order="A")
    if chunk.dtype.kind == "b":
        chunk = chunk.view(np.uint8)
        if chunk.size and chunk.max() > 1:  # every byte other than 0 is True
            chunk = (chunk != 0).view(np.uint8)
    return chunk


def check_header(header: CrackleHeader, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check that a stream has the shape and dtype of a chunk, before memory is allocated for it.

    Args:
        header: the header of the stream.
        shape: the shape of the chunk, as stored.
        dtype: the dtype of the array.

    Raises:
        FormatError: the stream has another shape or dtype.
    """
    volume, native = volume_shape(shape), label_dtype(dtype)
    if header.shape != volume or header.dtype != native:
        raise FormatError(
            f"the chunk holds a Crackle stream of {header.dtype} and shape (x, y, z) = {header.shape}; "
            f"a chunk of {dtype} and shape {shape} needs {native} and {volume}",
            section="header",
        )
