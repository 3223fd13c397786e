"""Axes of files on the command line: their names and order, single indices of them, and shapes as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
import numpy as np

from ..files import formats
from ..files.volumes import UnusableError

# The axes of a volume in the order of this package: those of space first, the others behind.
_ORDER = "xyzct"


def npy_axes(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Parse the names of the axes of a NumPy file, such as zyx or tzyx."""
    if value is None:
        return None
    names = value.lower()
    if not names or len(set(names)) < len(names) or not set(names) <= set(_ORDER):
        raise click.BadParameter(
            f"{value!r} does not name axes: give each of x, y, z, c (channel), t (time) once, such as zyx.",
            ctx,
            param,
        )
    return names


def indices(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """Parse AXIS=NUMBER."""
    found: dict[str, int] = {}
    for value in values:
        name, equals, number = value.partition("=")
        if not name or not equals or not number.strip().isdecimal():
            raise click.BadParameter(f"{value!r} is not AXIS=NUMBER, such as t=3.", ctx, param)
        found[name.strip().lower()] = int(number)
    return found


def ordered(volume: formats.Volume, place: str, names: str | None, *, slow_first: bool) -> formats.Volume:
    """A volume with named axes in the order (x, y, z, ...).

    Args:
        volume: the volume of a file.
        place: its file, for messages.
        names: of the axes of NumPy's files, in their order; None: they are not given.
        slow_first: take NumPy's files for (z, y, x) if names are not given; otherwise for (x, y, z).
    """
    if volume.format not in formats.OWN_AXES:
        return _named(volume)
    if volume.axes is None and len(volume.shape) > 3 and names is None:
        volume = replace(volume, axes=tuple(map(str, range(len(volume.shape)))))
    if names is None or volume.format == "hdf5":
        return _named(volume.transposed() if slow_first or volume.format == "hdf5" else volume)
    if len(names) != len(volume.shape):
        raise UnusableError(
            f"{place}: --npy-axes {names} names {len(names)} axes, and the array has "
            f"{shape_text(volume.shape)}"
        )
    order = sorted(range(len(names)), key=lambda axis: _ORDER.index(names[axis]))
    return replace(volume, axes=tuple(names)).of_axes(order)


def _named(volume: formats.Volume) -> formats.Volume:
    if (volume.axes is None or is_numbered(volume.axes)) and len(volume.shape) <= 3:
        return replace(volume, axes=tuple("xyz"[: len(volume.shape)]))
    return volume


def is_numbered(names: Sequence[str | None] | None) -> bool:
    """Whether axes have numbers instead of names."""
    return bool(names) and all(str(name).isdecimal() for name in names or ())


def in_order_of(volume: formats.Volume, names: str, place: str) -> formats.Volume:
    """A volume with its axes in the order of these names, for a NumPy file."""
    axes = volume.axes or ()
    if sorted(axes) != sorted(names):
        raise UnusableError(
            f"{place}: --npy-axes {names} names other axes than the source has: "
            f"{shape_text(volume.shape, axes)}"
        )
    return volume.of_axes([axes.index(name) for name in names])


def at(volume: formats.Volume, place: str, wanted: dict[str, int]) -> formats.Volume:
    """The part of a volume at one index of each of some axes; they are named, or numbered from 0."""
    axes = volume.axes or tuple(map(str, range(len(volume.shape))))
    for name, index in wanted.items():
        if name not in axes:
            raise UnusableError(
                f"{place}: --index {name}={index}: there is no axis {name}; the axes are "
                f"{shape_text(volume.shape, axes, numbers=True)}"
            )
        axis = axes.index(name)
        if index >= volume.shape[axis]:
            raise UnusableError(
                f"{place}: --index {name}={index}: the axis {name} has the indices 0 to "
                f"{volume.shape[axis] - 1}"
            )
        volume = volume.at(axis, index)
        axes = (*axes[:axis], *axes[axis + 1 :])
    return _named(volume)


def shape_text(
    shape: Sequence[int], names: Sequence[str | None] | None = None, *, numbers: bool = False
) -> str:
    """A shape with the names of its axes, such as "64 x 64 x 32 (z, y, x)", or with their numbers."""
    lengths = " x ".join(map(str, shape)) or "no axes"
    known = names is not None and len(names) == len(shape) and any(names)
    known = known and (not is_numbered(names) or numbers)
    return f"{lengths} ({', '.join(name or '?' for name in names or ())})" if known else lengths


def text_of(volume: formats.Volume, format: str | None) -> str:
    """The shape of a volume (x, y, z, ...) with its axes, as users of a format order them."""
    slow_first = format is None or formats.FORMATS[format].slow_first
    shown = volume.transposed() if slow_first else volume
    return shape_text(shown.shape, shown.axes)


class Watched:
    """Counts how often labels change between neighbours, in the voxels that are read of a volume."""

    def __init__(self, volume: formats.Volume) -> None:
        self._read = volume.read_box
        # Changes and pairs of neighbours along the two axes of a slice.
        self._changes, self._pairs = [0, 0], [0, 0]
        self.volume = replace(volume, read_box=self._read_box)

    def _read_box(self, box: formats.Box) -> Any:
        voxels = self._read(box)
        if voxels.ndim > 1 and voxels.size:
            # The middle slice of a box stands for the box.
            plane = voxels[(..., *(length // 2 for length in voxels.shape[2:]))]
            for axis, turned in enumerate((plane, plane.T)):
                this, following = turned[1:], turned[:-1]
                self._pairs[axis] += int(np.count_nonzero((this != 0) | (following != 0)))
                self._changes[axis] += int(np.count_nonzero(this != following))
        return voxels

    def doubt(self, nbytes: int | None) -> str:
        """What makes the labels look like intensities; empty if nothing does.

        Args:
            nbytes: the size of the streams; None if they are not Crackle.
        """
        reasons = []
        # Thin voxels change often along one axis; intensities do along both.
        if min(self._pairs) > 200:
            rate = min(change / pairs for change, pairs in zip(self._changes, self._pairs, strict=True))
            if rate > _MOST_CHANGES:
                reasons.append(f"there is a new label every {1 / rate:.1f} voxels")
        if nbytes is not None and self.volume.nbytes > 2**12 and nbytes > self.volume.nbytes:
            reasons.append("the streams are larger than the voxels")
        return " and ".join(reasons)


# Objects are longer than three voxels in every segmentation that is of use; noise is not.
_MOST_CHANGES = 1 / 3
