"""Functions that make a :class:`CrackleArray` from a volume, or from one label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import holds, integer, range_text
from .._base.options import MarkovOrder, Preset
from . import stream
from .array import CrackleArray


def compressa(
    labels: npt.ArrayLike,
    allow_pins: int | None = None,
    markov_model_order: MarkovOrder | None = None,
    bgcolor: int | None = None,
    parallel: int = 0,
    *,
    preset: Preset | None = None,
    format_version: int = 1,
) -> CrackleArray:
    """Encode a label volume; as :func:`crackle_zarr.compress`, but returns a :class:`CrackleArray`."""
    binary = stream.compress(
        labels,
        allow_pins,
        markov_model_order,
        bgcolor,
        parallel,
        preset=preset,
        format_version=format_version,
    )
    return CrackleArray(binary, parallel)


def zeros(
    shape: int | Iterable[int], dtype: npt.DTypeLike | None = None, order: Literal["C", "F"] = "C"
) -> CrackleArray:
    """A volume of zeros; see :func:`full`."""
    return full(shape, 0, dtype, order)


def ones(
    shape: int | Iterable[int], dtype: npt.DTypeLike | None = None, order: Literal["C", "F"] = "C"
) -> CrackleArray:
    """A volume of ones; see :func:`full`."""
    return full(shape, 1, dtype, order)


def full(
    shape: int | Iterable[int],
    fill_value: int,
    dtype: npt.DTypeLike | None = None,
    order: Literal["C", "F"] = "C",
) -> CrackleArray:
    """A volume of one label, as a stream of a few bytes per slice; no voxels are ever in memory.

    Args:
        shape: up to three lengths; missing ones are 1.
        fill_value: the label.
        dtype: an integer dtype, or bool for uint8; None is uint64, or int64 for a negative label.
        order: the memory order that the stream decodes to.

    Raises:
        OverflowError: the dtype does not hold the label.
        TypeError: ``dtype`` is neither an integer nor bool, or ``fill_value`` or ``shape`` are no integers.
        ValueError: ``shape`` has more than three axes, or a negative or too long axis; or ``order`` is
            neither "C" nor "F".
    """
    lengths = [integer("shape", n) for n in (shape if isinstance(shape, Iterable) else [shape])]
    if len(lengths) > 3 or any(not 0 <= n <= stream.MAX_AXIS for n in lengths):
        raise ValueError(f"shape is up to three lengths of 0 to {stream.MAX_AXIS}, not {tuple(lengths)}")
    x, y, z = lengths + [1] * (3 - len(lengths))
    label = integer("fill_value", fill_value)
    if order not in ("C", "F"):
        raise ValueError(f"order is 'C' or 'F', not {order!r}")
    if dtype is None:
        target: np.dtype[Any] = np.dtype(np.int64 if label < 0 else np.uint64)
    else:
        target = np.dtype(dtype).newbyteorder("=")
        if target.kind == "b":
            target, label = np.dtype(np.uint8), int(label != 0)
    if target.kind not in "iu":
        raise TypeError(f"a stream holds integers or bool, not {target}")
    if not holds(target, label):
        raise OverflowError(f"a label of {range_text(target)} cannot be {label}")
    return CrackleArray(_binding.constant((x, y, z), target, label, order == "F"))
