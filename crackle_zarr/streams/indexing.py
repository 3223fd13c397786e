"""Indices of a 3-D volume as ranges of coordinates, and values to assign to them."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._base.header import CrackleHeader
from .._base.integers import holds, integer_array, range_text
from . import stream

Index: TypeAlias = int | np.integer[Any] | slice | EllipsisType


def assignable(value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Convert a value to an array of the volume's dtype, exactly.

    Raises:
        OverflowError: a label does not fit the dtype.
        TypeError: the value is not integers or bool.
    """
    labels = np.asarray(value)
    if labels.dtype.kind == "O" or (
        labels.dtype.kind == "f" and not isinstance(value, np.ndarray | np.generic)
    ):
        # NumPy converts Python ints of more than 64 bits, or of both signs, to objects or floats.
        exact = np.array(value, dtype=object)
        labels = integer_array("a label", exact.ravel().tolist()).reshape(exact.shape)
    if labels.dtype.kind not in "iubO":
        raise TypeError(f"labels are integers or bool, not {labels.dtype}")
    if labels.dtype.kind == "b":
        return labels.astype(dtype)
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    for label in (low, high):
        if not holds(dtype, label):
            raise OverflowError(
                f"a label of {range_text(dtype)} cannot be {label}; widen the volume first with astype()"
            )
    return labels.astype(dtype)


def expand(index: Index | tuple[Index, ...], shape: tuple[int, int, int]) -> tuple[Any, ...]:
    """Expand an index to one integer or slice per axis."""
    given = index if isinstance(index, tuple) else (index,)
    ellipses = [place for place, key in enumerate(given) if key is Ellipsis]
    if len(ellipses) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    count = len(given) - len(ellipses)
    if count > len(shape):
        raise IndexError(f"too many indices: the array has {len(shape)} axes, and {count} were indexed")
    place = ellipses[0] if ellipses else len(given)
    fill = (slice(None),) * (len(shape) - count)
    return (*given[:place], *fill, *given[place + 1 :])


def selected(key: Any, axis: int, length: int) -> range:
    """The coordinates along an axis that an integer or a slice selects."""
    if isinstance(key, slice):
        return range(length)[key]
    try:
        if isinstance(key, bool | np.bool_):
            raise TypeError
        place = operator.index(key)
    except TypeError:
        raise TypeError(
            f"a CrackleArray takes integers, slices and '...', not {type(key).__name__}: "
            f"decode it first, with numpy() or np.asarray(), to use the other kinds of index"
        ) from None
    if not -length <= place < length:
        raise IndexError(f"index {place} is out of bounds for axis {axis} of length {length}")
    place %= length
    return range(place, place + 1)


def runs(head: CrackleHeader, zs: range) -> Iterator[tuple[int, int]]:
    """Split an ascending range of z into ranges [start, end) of consecutive slices."""
    if zs.step == 1:
        yield from stream.slabs(head, zs[0], zs[-1] + 1, head.data_width)
    else:
        for z in zs:
            yield z, z + 1


def as_slice(places: range) -> slice:
    """The slice object that selects the same coordinates as a range, which is not empty."""
    stop = places[-1] + (1 if places.step > 0 else -1)
    return slice(places.start, stop if stop >= 0 else None, places.step)
