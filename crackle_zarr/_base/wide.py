"""Sums of 128 bits, as pairs of arrays (high, low) of uint64: exact, in any order of addition.

The coordinates of a petabyte of voxels add up to more than 2^64, and with floats the last digits of a
centroid would depend on the order of the chunks.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

U64: TypeAlias = npt.NDArray[np.uint64]
Wide: TypeAlias = tuple[U64, U64]

_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


def product(a: U64, b: U64) -> Wide:
    """The product of two arrays, by long multiplication in halves of 32 bits."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low, middle, other = a_low * b_low, a_high * b_low, a_low * b_high
    carry = (low >> _HALF) + (middle & _LOW) + (other & _LOW)
    high = a_high * b_high + (middle >> _HALF) + (other >> _HALF) + (carry >> _HALF)
    return high, (carry << _HALF) | (low & _LOW)


def add(a: Wide, b: Wide) -> Wide:
    """The sum of two pairs."""
    low = a[1] + b[1]
    return a[0] + b[0] + (low < a[1]), low


def add_groups(a: Wide, firsts: npt.NDArray[np.intp]) -> Wide:
    """The sums of groups of consecutive rows: less than 2^32 rows each, beginning at ``firsts``."""
    halves = (np.add.reduceat(a[1] & _LOW, firsts, axis=0), np.add.reduceat(a[1] >> _HALF, firsts, axis=0))
    upper = halves[1] + (halves[0] >> _HALF)
    high = np.add.reduceat(a[0], firsts, axis=0) + (upper >> _HALF)
    return high, (upper << _HALF) | (halves[0] & _LOW)


def quotient(a: Wide, b: U64) -> npt.NDArray[np.float64]:
    """The quotient, as the nearest double or a neighbour of it."""
    return (a[0].astype(np.float64) * 2.0**64 + a[1].astype(np.float64)) / b.astype(np.float64)
