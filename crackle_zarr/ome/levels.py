"""The levels of a pyramid: their factors, shapes and positions, and the metadata that say so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

from ..codecs.create import AXES
from ..files.space import Space, numbers, unit_of
from .metadata import Axis

# One factor per axis: how many voxels become one.
Factor: TypeAlias = tuple[int, ...]
Factors: TypeAlias = Literal["auto"] | Sequence[int] | Sequence[Sequence[int]]

# Voxels whose edges differ by no more than this ratio count as cubes. Halving an axis changes a ratio by 2,
# so this bound gets the ratio as close to 1 as halving can.
_CUBIC = math.sqrt(2)

_TYPES = {"t": "time", "c": "channel"}


@dataclass(frozen=True)
class Level:
    """A level of a pyramid.

    Attributes:
        path: the name of its array within the group.
        shape: of its array.
        factor: how many voxels of level 0 become one of this level, per axis.
    """

    path: str
    shape: tuple[int, ...]
    factor: Factor


# ---------------------------------------------------------------------------------------
# Axes


def axes_of(axes: Any, ndim: int, unit: str | None) -> tuple[Axis, ...]:
    """The axes of a new image, checked against the rules of OME-Zarr.

    Args:
        axes: names, as text such as "zyx" or one by one; or :class:`Axis` objects; None: the last of t, c, z,
            y, x.
        ndim: how many there have to be.
        unit: of the spatial axes that have none.

    Raises:
        TypeError: an axis is neither a name nor an Axis.
        ValueError: OME-Zarr does not allow these axes.
    """
    given = list(AXES[max(0, len(AXES) - ndim) :] if axes is None else axes)
    found = []
    for axis in given:
        if not isinstance(axis, str | Axis):
            raise TypeError(f"an axis is a name or a crackle_zarr.ome.Axis, not {type(axis).__name__}")
        one = Axis(axis, _TYPES.get(axis, "space")) if isinstance(axis, str) else axis
        if one.type == "space" and one.unit is None:
            one = Axis(one.name, one.type, unit)
        found.append(one)
    names = ", ".join(axis.name for axis in found)
    if len(found) != ndim:
        raise ValueError(f"the array has {ndim} axes, and axes names {len(found)}: {names}")
    if len({axis.name for axis in found}) != ndim:
        raise ValueError(f"two axes have the same name: {names}")
    spatial = [axis.type == "space" for axis in found]
    if sum(spatial) not in (2, 3) or not 2 <= ndim <= 5:
        raise ValueError(
            f"OME-Zarr has 2 to 5 axes, 2 or 3 of them spatial, and these are {names or 'none'}: "
            f"reshape the labels, or keep them in a plain array with crackle_zarr.create_array"
        )
    ranks = [{"time": 0, "channel": 1, "space": 3}.get(axis.type or "", 1) for axis in found]
    if ranks != sorted(ranks):
        raise ValueError(f"OME-Zarr has time first, then the channel, then spatial axes, not {names}")
    return tuple(found)


def unit_named(unit: str | None) -> str | None:
    """The name of a unit in OME-Zarr.

    Raises:
        ValueError: the unit is unknown.
    """
    if unit is None:
        return None
    found = unit_of(unit)
    if found is None:
        raise ValueError(f"unit is nanometer, micrometer or the like, and not {unit!r}")
    return found


def per_axis(what: str, values: Any, axes: Sequence[Axis], default: float, positive: bool) -> list[float]:
    """A number per axis, from one number, a number per spatial axis, or a number per axis.

    Raises:
        ValueError: there are other numbers than these.
    """
    spatial = [number for number, axis in enumerate(axes) if axis.type == "space"]
    if values is None:
        return [default] * len(axes)
    values = [values] * len(spatial) if isinstance(values, int | float) else list(values)
    places = spatial if len(values) == len(spatial) else range(len(axes))
    found = numbers(values, len(places), positive)
    if found is None:
        kind = "positive numbers" if positive else "numbers"
        raise ValueError(f"{what} is {len(spatial)} {kind}, one per spatial axis, and not {values}")
    result = [default] * len(axes)
    for place, value in zip(places, found, strict=True):
        result[place] = value
    return result


# ---------------------------------------------------------------------------------------
# Factors


def plan(
    shape: Sequence[int],
    axes: Sequence[Axis],
    size: Sequence[float],
    objects: Sequence[int],
    factors: Factors = "auto",
    levels: int | None = None,
    paths: Sequence[str] | None = None,
) -> list[Level]:
    """The levels of a pyramid over an array.

    Args:
        shape: of level 0.
        axes: of the array.
        size: the edges of a voxel, one per axis.
        objects: the shape of a chunk of level 0.
        factors: "auto"; the factor of every step, one number per axis; or a list of them, one per step.
        levels: how many levels there are to be, level 0 included; None: as many as ``factors`` has, or until
            a level fits into one chunk along the spatial axes.
        paths: the names of the levels; None: s0, s1 and so on.
    """
    steps = check_factors(factors, len(axes), levels)
    factor = (1,) * len(axes)
    planned = [(tuple(shape), factor)]
    while levels is None or len(planned) < levels:
        shape = planned[-1][0]
        if isinstance(steps, list):
            if len(planned) > len(steps):
                break
            step = steps[len(planned) - 1]
        else:
            if levels is None and _fits(shape, axes, objects):
                break
            edges = [edge * one for edge, one in zip(size, factor, strict=True)]
            step = steps or halved(shape, axes, edges)
        made = tuple(-(-length // one) for length, one in zip(shape, step, strict=True))
        if levels is None and made == shape:
            break
        factor = tuple(a * b for a, b in zip(factor, step, strict=True))
        planned.append((made, factor))
    names = paths or [f"s{number}" for number in range(len(planned))]
    return [Level(path, *one) for path, one in zip(names, planned, strict=True)]


def halved(shape: Sequence[int], axes: Sequence[Axis], size: Sequence[float]) -> Factor:
    """The step from one level to the next: halve the axes along which voxels are short.

    For slices that are farther apart than their pixels, this is 2 x 2 x 1 until voxels are about cubic, and
    2 x 2 x 2 from there. Axes of length 1, and axes that are not spatial, stay.
    """
    spatial = [place for place, axis in enumerate(axes) if axis.type == "space" and shape[place] > 1]
    shortest = min((size[place] for place in spatial), default=0.0)
    short = {place for place in spatial if size[place] <= shortest * _CUBIC}
    return tuple(2 if place in short else 1 for place in range(len(axes)))


def _fits(shape: Sequence[int], axes: Sequence[Axis], objects: Sequence[int]) -> bool:
    return all(
        length <= chunk
        for length, chunk, axis in zip(shape, objects, axes, strict=True)
        if axis.type == "space"
    )


def check_factors(factors: Factors, ndim: int, levels: int | None) -> Factor | list[Factor] | None:
    """Check factors: one for all steps, one for each step, or None for "auto".

    Raises:
        ValueError: they are no factors, or too few for this number of levels.
    """
    if isinstance(factors, str):
        if factors != "auto":
            raise ValueError(f"factors is 'auto', a number per axis, or a list of these, not {factors!r}")
        return None
    given: list[Any] = list(factors)
    several = bool(given) and not isinstance(given[0], int)
    checked = []
    for step in given if several else [given]:
        one = tuple(step)
        if len(one) != ndim or not all(type(part) is int and part >= 1 for part in one):
            raise ValueError(f"a factor is {ndim} integers from 1 on, one per axis, and not {one}")
        if not several and set(one) == {1}:
            raise ValueError("factors of 1 along every axis make no smaller level")
        checked.append(one)
    if several and levels is not None and levels > len(checked) + 1:
        raise ValueError(f"{levels} levels need {levels - 1} factors, and there are {len(checked)}")
    return checked if several else checked[0]


def factors_between(sizes: Sequence[Sequence[float]], what: str) -> list[Factor]:
    """The steps between existing levels, from their voxel sizes.

    Raises:
        ValueError: they are no whole numbers.
    """
    steps = []
    for number, (fine, coarse) in enumerate(itertools.pairwise(sizes)):
        ratios = [b / a for a, b in zip(fine, coarse, strict=True)]
        step = tuple(max(1, round(ratio)) for ratio in ratios)
        # Some writers take the ratio of the shapes as the scale, which is a little off at odd sizes.
        if any(abs(ratio - one) > 0.25 * one for ratio, one in zip(ratios, step, strict=True)):
            raise ValueError(
                f"{what}: level {number + 1} has voxels of {tuple(coarse)} and level {number} of "
                f"{tuple(fine)}, which is no whole factor: give factors"
            )
        steps.append(step)
    return steps


# ---------------------------------------------------------------------------------------
# Metadata


def space_at(space: Space, factor: Factor) -> Space:
    """The space of a level, whose voxels lie at the centres of the blocks that they stand for."""
    assert space.voxel_size is not None
    origin = space.origin or (0.0,) * len(factor)
    return Space(
        tuple(_short(edge * one) for edge, one in zip(space.voxel_size, factor, strict=True)),
        space.unit,
        tuple(
            _short(first + (one - 1) / 2 * edge)
            for first, one, edge in zip(origin, factor, space.voxel_size, strict=True)
        ),
    )


def _short(number: float) -> float:
    # 0.1 * 3 is 0.3, and not 0.30000000000000004.
    return float(f"{number:.15g}")


def multiscales(name: str, axes: Sequence[Axis], space: Space, levels: Sequence[Level]) -> dict[str, Any]:
    """The metadata of a pyramid of labels."""
    datasets = []
    for level in levels:
        here = space_at(space, level.factor)
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(here.voxel_size or ())}]
        if space.origin is not None or len(levels) > 1:
            steps.append({"type": "translation", "translation": list(here.origin or ())})
        datasets.append({"path": level.path, "coordinateTransformations": steps})
    found: dict[str, Any] = {"name": name, "axes": [axis_json(axis) for axis in axes], "datasets": datasets}
    if len(levels) > 1:
        found |= method(sparse=False)
    return found


def method(sparse: bool) -> dict[str, Any]:
    """The metadata that tell how levels were made."""
    return {**METHOD, "metadata": {**METHOD["metadata"], "kwargs": {"sparse": sparse}}}


def axis_json(axis: Axis) -> dict[str, str]:
    """The metadata of an axis."""
    fields = {"name": axis.name, "type": axis.type, "unit": axis.unit}
    return {key: value for key, value in fields.items() if value is not None}


METHOD: Mapping[str, Any] = {
    "type": "mode",
    "metadata": {
        "description": "Each voxel is the most frequent label of its block in the level before.",
        "method": "crackle_zarr.build_pyramid",
        "version": version("crackle-zarr"),
    },
}
