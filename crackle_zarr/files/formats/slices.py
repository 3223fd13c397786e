"""A volume as a file per slice: a folder, a glob like ``z_*.png``, or a pattern like ``z_{:04}.tif``."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..volumes import UnusableError
from .common import Box, Volume, shape_text
from .registry import split

SUFFIXES = (".tif", ".tiff", ".png")
# The files that make a folder a Zarr array or group.
_OF_ZARR = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".crackle-convert", ".crackle-owner")
_PATTERN = re.compile(r"\{:?\d*d?\}")


def is_pattern(place: str) -> bool:
    """Whether a place names a file per slice to write, with the number of the slice in braces."""
    return bool(_PATTERN.search(place)) and Path(place).suffix.lower() in SUFFIXES


def is_sequence(place: str) -> bool:
    """Whether a place is a folder of images, or a glob of them, and no Zarr array."""
    if "://" in place:
        return False
    path = Path(place)
    if path.is_dir():
        return not any((path / name).exists() for name in _OF_ZARR) and any(_images(path))
    is_glob = any(one in place for one in "*?[") and split(place)[1] is None
    return is_glob and not path.exists()


def _images(folder: Path) -> list[Path]:
    # Files of macOS's Finder begin with a point.
    return [
        one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES and not one.name.startswith(".")
    ]


def paths(place: str) -> list[Path]:
    """The files of a sequence in natural order: z2 before z10.

    Raises:
        UnusableError: there are none, or a number is missing in the sequence.
    """
    path = Path(place)
    found = _images(path) if path.is_dir() else [Path(one) for one in glob.glob(place)]
    found = sorted((one for one in found if one.is_file()), key=lambda one: natural(one.name))
    if not found:
        raise UnusableError(f"{place}: there is no such file, and no image matches it")
    _check_numbers(place, found)
    return found


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers within names by their value."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", name)]


def _check_numbers(place: str, found: Sequence[Path]) -> None:
    """Raise UnusableError if the names differ in one number, and a number between two is missing."""
    parts = [re.split(r"([0-9]+)", one.name) for one in found]
    if len(found) < 2 or len({len(one) for one in parts}) > 1:
        return
    differing = [
        place for place in range(len(parts[0])) if len({one[place].lstrip("0") or "0" for one in parts}) > 1
    ]
    if len(differing) != 1 or differing[0] % 2 == 0:
        return
    numbers = [int(one[differing[0]]) for one in parts]
    if len(set(numbers)) < len(numbers):
        raise UnusableError(f"{place}: two slices have the same number: {_twice(numbers)}")
    steps = {b - a for a, b in itertools.pairwise(numbers)}
    step = min(steps)
    missing = sorted(set(range(numbers[0], numbers[-1] + 1, step)) - set(numbers))
    if missing or len(steps) > 1:
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UnusableError(
            f"{place}: slices are missing: of the numbers {numbers[0]} to {numbers[-1]} there is no {shown}: "
            f"add them, or number the files without gaps"
        )


def _twice(numbers: Sequence[int]) -> int:
    return next(a for a, b in itertools.pairwise(numbers) if a == b)


def read(place: str, opened: Callable[[Path], AbstractContextManager[Volume]]) -> Volume:
    """The volume (x, y, z) of a sequence; its slices are read on demand, each when a box needs it.

    Args:
        place: a folder or a glob.
        opened: opens a single image.

    Raises:
        UnusableError: slices are missing, or differ in shape or dtype.
    """
    found = paths(place)
    first: tuple[Path, Volume] | None = None
    for path in found:
        with opened(path) as one:
            if len(one.shape) - ("s" in (one.axes or ())) != 2:
                raise UnusableError(
                    f"{path}: a slice has two axes, and this file has {shape_text(one.shape)}"
                )
            if first is None:
                first = path, one
            elif (one.shape, one.dtype) != (first[1].shape, first[1].dtype):
                raise UnusableError(
                    f"{path}: this slice is {shape_text(one.shape)} {one.dtype}, but {first[0].name} is "
                    f"{shape_text(first[1].shape)} {first[1].dtype}: slices have one shape and dtype"
                )
    assert first is not None
    like = first[1]
    names = like.axes or ("x", "y")

    def read_box(box: Box) -> npt.NDArray[np.generic]:
        numbers = range(*box[2].indices(len(found)))
        plane = (*box[:2], *box[3:])
        lengths = [len(range(*part.indices(n))) for part, n in zip(plane, like.shape, strict=True)]
        slab = np.empty((*lengths[:2], len(numbers), *lengths[2:]), dtype=like.dtype, order="F")
        for at, number in enumerate(numbers):
            with opened(found[number]) as one:
                if (one.shape, one.dtype) != (like.shape, like.dtype):
                    raise UnusableError(f"{found[number]}: this slice has changed since it was checked")
                slab[:, :, at] = one.read_box(plane)
        return slab

    return Volume(
        (*like.shape[:2], len(found), *like.shape[2:]),
        like.dtype,
        read_box,
        axes=(*names[:2], "z", *names[2:]),
    )


def targets(pattern: str, count: int) -> list[Path]:
    """The names of the files of ``count`` slices.

    Raises:
        UnusableError: the pattern is wrong, or gives the same name twice.
    """
    try:
        found = [Path(pattern.format(number)) for number in range(count)]
    except (ValueError, IndexError, KeyError) as error:
        raise UnusableError(f"{pattern}: give the number of the slice once, such as z_{{:04}}.tif") from error
    if len(set(found)) < count:
        raise UnusableError(f"{pattern}: its slices would have the same name")
    return found


def write(
    pattern: str, volume: Volume, write_one: Callable[[Path, Volume], None], *, overwrite: bool
) -> None:
    """Write a file per slice along z, one after another.

    Args:
        pattern: of the names, with the number of the slice in braces.
        volume: the labels (x, y, z).
        write_one: writes one image (x, y).
        overwrite: replace files that exist.
    """
    if len(volume.shape) != 3 or 0 in volume.shape:
        raise UnusableError(
            f"{pattern}: slices need a volume of three axes with voxels, not {shape_text(volume.shape)}"
        )
    found = targets(pattern, volume.shape[2])
    if not found[0].absolute().parent.is_dir():
        raise UnusableError(f"{pattern}: there is no directory {found[0].parent}")
    exists = next((path for path in found if path.exists()), None)
    if exists is not None and not overwrite:
        raise UnusableError(f"{exists} exists already: --overwrite replaces it")
    for _, path, part in each(pattern, volume):
        write_one(path, part)


def each(pattern: str, volume: Volume) -> list[tuple[int, Path, Volume]]:
    """The slices of a volume with their numbers and files; slabs of them are read at once."""
    depth = max(1, 2**25 * volume.shape[2] // max(1, volume.nbytes))
    kept: dict[int, npt.NDArray[np.generic]] = {}

    def slab(number: int) -> npt.NDArray[np.generic]:
        start = number // depth * depth
        if start not in kept:
            kept.clear()
            stop = min(start + depth, volume.shape[2])
            whole = (slice(0, volume.shape[0]), slice(0, volume.shape[1]))
            kept[start] = volume.read_box((*whole, slice(start, stop)))
        return kept[start][..., number - start]

    def part(number: int) -> Volume:
        return Volume(
            volume.shape[:2],
            volume.dtype,
            lambda box: slab(number)[box],
            volume.space.of_axes((0, 1)) if len(volume.space.voxel_size or ()) == 3 else type(volume.space)(),
            axes=("x", "y"),
        )

    return [(number, path, part(number)) for number, path in enumerate(targets(pattern, volume.shape[2]))]


def nbytes(place: str) -> int:
    """The size of the files of a sequence."""
    return sum(path.stat().st_size for path in paths(place))
