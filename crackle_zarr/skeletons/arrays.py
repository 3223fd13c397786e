"""Arrays of coordinates and edges: checks, boxes, means."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt


def shaped(name: str, given: npt.ArrayLike | None, dtype: Any, width: int) -> Any:
    """Rows of ``width`` numbers, as a contiguous array.

    Raises:
        ValueError: the shape is another, or a vertex number is negative.
    """
    array = np.zeros((0, width), dtype) if given is None else np.asarray(given)
    if array.size == 0:
        array = array.reshape(0, width)
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"{name} are rows of {width} numbers, not an array of the shape {array.shape}")
    if np.dtype(dtype).kind == "u" and array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        raise ValueError(f"{name} are numbers of vertices from 0 on, and there is {int(array.min())}")
    return np.ascontiguousarray(array, dtype)


def corners_of(bbox: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The lowest and the highest corner of a box.

    Two points, six numbers, or an object with minpt and maxpt.
    """
    if hasattr(bbox, "minpt") and hasattr(bbox, "maxpt"):
        bbox = [list(bbox.minpt), list(bbox.maxpt)]
    box = np.asarray(bbox, np.float64).reshape(-1)
    if box.shape != (6,):
        raise ValueError(f"a box is two points (x, y, z), not {bbox!r}")
    return box[:3], box[3:]


def moving_average(values: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """The mean of each row and the n - 1 before it; beyond the first row, rows are mirrored there."""
    if n == 1 or len(values) == 0:
        return values
    mirrored = np.pad(values, [(n - 1, 0), *[(0, 0)] * (values.ndim - 1)], mode="symmetric")
    return functools.reduce(np.add, (mirrored[k : k + len(values)] for k in range(n))) / n
