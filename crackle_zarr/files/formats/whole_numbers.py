"""Labels stored as floats: whole numbers are converted to integers, exactly, and other numbers are rejected.

Medical tools often write labels as floats. The conversion takes two passes over the volume, one slab at a
time. The first pass checks that every number is whole and small enough to be exact, and finds the dtype. The
second converts boxes as they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..volumes import UnusableError
from .common import Box, Volume

# The largest number up to which a float holds every whole number.
_EXACT = {2: 2**11, 4: 2**24, 8: 2**53}


@dataclass
class _Found:
    """The result of the first pass."""

    low: int = 0
    high: int = 0
    unsound: int = 0
    changed: int = 0
    most: float = 0.0
    first: tuple[str, tuple[int, ...]] | None = None


def labels_of(
    volume: Volume,
    place: str,
    *,
    rounding: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Volume:
    """Convert a volume of floats to integers of the smallest dtype; leave one of integers or bool as it is.

    Args:
        volume: the volume.
        place: its file, for messages.
        rounding: round numbers that are not whole.
        progress: a function that is called with the number of voxels checked.

    Raises:
        UnusableError: a number is not whole and ``rounding`` is False, or a number is not finite, or is so
            large that its float type does not hold all whole numbers of its size.
    """
    if volume.dtype.kind in "iub":
        return volume
    if volume.dtype.kind != "f" or volume.dtype.itemsize not in _EXACT:
        raise UnusableError(f"{place}: labels are integers or bool, not {volume.dtype}")
    most = _EXACT[volume.dtype.itemsize]
    found = _Found()
    for box in volume.slabs():
        numbers = volume.read_box(box)
        _look(numbers, [part.start for part in box], most, rounding, found)
        progress(numbers.size)
    if found.first is not None:
        value, index = found.first
        _refuse(place, value, index, found.unsound, math.prod(volume.shape), most, volume.dtype)
    dtype = _smallest(found.low, found.high)
    read_box = volume.read_box

    def converted(box: Box) -> npt.NDArray[np.integer]:
        integers: npt.NDArray[np.integer] = np.rint(read_box(box)).astype(dtype)
        return integers

    note = f"{volume.dtype.name} as {dtype.name}" + (f", {volume.note}" if volume.note else "")
    if found.changed:
        numbers_text = "1 number" if found.changed == 1 else f"{found.changed:,} numbers"
        note += f"; rounded {numbers_text}, by {found.most:g} at most"
    return replace(volume, dtype=dtype, read_box=converted, note=note)


def _look(
    numbers: npt.NDArray[np.floating], start: list[int], most: int, rounding: bool, found: _Found
) -> None:
    if not numbers.size:
        return
    with np.errstate(invalid="ignore"):
        whole = np.rint(numbers)
        unsound = ~np.isfinite(numbers) | (np.abs(whole) > most)
        differs = whole != numbers
    if not rounding:
        unsound |= differs
    count = int(np.count_nonzero(unsound))
    found.unsound += count
    if count:
        if found.first is None:
            index = np.unravel_index(int(np.flatnonzero(unsound)[0]), numbers.shape)
            found.first = (
                _shown(numbers[index]),
                tuple(int(a) + b for a, b in zip(index, start, strict=True)),
            )
        return
    found.low, found.high = min(found.low, int(whole.min())), max(found.high, int(whole.max()))
    if rounding:
        changed = int(np.count_nonzero(differs))
        if changed:
            found.changed += changed
            found.most = max(found.most, float(np.abs(numbers - whole).max()))


def _shown(number: np.floating) -> str:
    """A number as text: a whole one without a point, others with the fewest digits that identify them."""
    return str(int(number)) if np.isfinite(number) and number == np.rint(number) else str(number)


def _refuse(
    place: str,
    value: str,
    index: tuple[int, ...],
    count: int,
    total: int,
    most: int,
    dtype: np.dtype[np.floating],
) -> None:
    number = float(value)
    here = f"{value} at {index}"
    several = f" ({count:,} of {total:,} numbers are unusable)" if count > 1 else ""
    if not math.isfinite(number):
        raise UnusableError(
            f"{place}: labels are whole numbers, but the file has {here}{several}: replace it first"
        )
    if abs(round(number)) > most:
        raise UnusableError(
            f"{place}: a {dtype.name} does not hold every whole number above {most:,}, but the file has "
            f"{here}{several}: its writer may have changed labels; save them as integers there"
        )
    raise UnusableError(
        f"{place}: labels are whole numbers, but the file has {here}{several}: --round "
        f"rounds numbers that come from rescaling; an image of probabilities has no labels"
    )


def _smallest(low: int, high: int) -> np.dtype[np.integer]:
    """The smallest unsigned dtype, or the smallest signed one if a label is negative."""
    for name in ("u1", "u2", "u4", "u8") if low >= 0 else ("i1", "i2", "i4", "i8"):
        dtype = np.dtype(name)
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise AssertionError("floats hold whole numbers exactly up to 2^53 only")
