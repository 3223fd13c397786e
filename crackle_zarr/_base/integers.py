"""Integers as labels and arguments, exact for all 64 bits, without NumPy's promotion to floats."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt


def integer(name: str, value: Any) -> int:
    """Convert an argument to a Python int; integers and bool of NumPy are allowed, floats are not."""
    if isinstance(value, np.bool_):
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is an integer, not {value!r} of type {type(value).__name__}") from None


def integer_array(name: str, values: Sequence[Any]) -> npt.NDArray[Any]:
    """Convert integers to an integer array, or to an array of Python ints if no dtype holds them all."""
    try:
        array = np.array(values)
    except (ValueError, OverflowError):
        array = np.empty(0, dtype=object)
    if array.shape == (len(values),) and array.dtype.kind in "iu":
        return array
    # NumPy has converted a mixture to floats or objects, or the values are bool: convert each by itself.
    exact = np.empty(len(values), dtype=object)
    exact[:] = [integer(name, value) for value in values]
    return exact


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The lowest and the highest label of a dtype; those of bool are 0 and 1."""
    return (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def holds(dtype: np.dtype[Any], value: int) -> bool:
    info = np.iinfo(dtype)
    return info.min <= value <= info.max


def fits(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[np.bool_]:
    """Per integer, whether it fits a dtype."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if values.dtype == object:
        return np.fromiter((low <= value <= high for value in values), dtype=np.bool_, count=len(values))
    # Compare with bounds of the values' own type: NumPy compares int64 with uint64 as float64.
    own = np.iinfo(values.dtype)
    lowest = values.dtype.type(max(low, int(own.min)))
    highest = values.dtype.type(min(high, int(own.max)))
    return cast("npt.NDArray[np.bool_]", (values >= lowest) & (values <= highest))


def smallest_dtype(low: int, high: int, signed: bool) -> np.dtype[Any]:
    """The smallest dtype that holds [low, high].

    It is signed if ``signed`` is True or ``low`` is negative. An exception is a ``high`` of 2^63 or more,
    which only uint64 holds.
    """
    names = ["i1", "i2", "i4", "i8"] if signed or low < 0 else ["u1", "u2", "u4"]
    if low >= 0:
        names.append("u8")
    for name in names:
        if holds(np.dtype(name), low) and holds(np.dtype(name), high):
            return np.dtype(name)
    raise ValueError(f"no integer dtype holds labels from {low} to {high}")


def range_text(dtype: np.dtype[Any]) -> str:
    info = np.iinfo(dtype)
    return f"{dtype} ({info.min} to {info.max})"


def some(values: npt.NDArray[Any], at_most: int = 5) -> str:
    """The first few values as text."""
    text = ", ".join(str(value) for value in values[:at_most])
    return text if len(values) <= at_most else f"{text}, ..."
