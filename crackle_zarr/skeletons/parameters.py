"""The parameters of TEASAR, their defaults, and checks that say what was given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base.integers import integer_array

DEFAULT_TEASAR_PARAMS: dict[str, float | None] = {
    "scale": 1.5,
    "const": 300.0,
    "pdrf_scale": 100_000.0,
    "pdrf_exponent": 4.0,
    "soma_acceptance_threshold": 3500.0,
    "soma_detection_threshold": 750.0,
    "soma_invalidation_const": 300.0,
    "soma_invalidation_scale": 2.0,
    "max_paths": None,
}
"""The values of parameters that are not given, in one set: Kimimaro has another for partial dicts."""

# The fields of struct crackle_teasar.
_FIELDS = {
    "scale": "scale",
    "const": "constant",
    "pdrf_scale": "pdrf_scale",
    "pdrf_exponent": "pdrf_exponent",
    "soma_acceptance_threshold": "soma_acceptance",
    "soma_detection_threshold": "soma_detection",
    "soma_invalidation_const": "soma_constant",
    "soma_invalidation_scale": "soma_scale",
}
_NO_LIMIT = 2**64 - 1
# Faces of a volume are bits: the first x, last x, first y, last y, first z and last z.
ALL_FACES = 63


def teasar_fields(
    given: Mapping[str, Any] | None,
    voxel_size: tuple[float, float, float],
    fix_branching: bool,
    fix_borders: bool,
) -> dict[str, Any]:
    """The fields of ``struct crackle_teasar``, from parameters as users give them.

    Raises:
        TypeError: a parameter is unknown, or not a number.
        ValueError: a parameter is negative, infinite or NaN.
    """
    given = {} if given is None else dict(given)
    unknown = sorted(set(given) - set(DEFAULT_TEASAR_PARAMS))
    if unknown:
        raise TypeError(
            f"teasar_params has no parameter {unknown[0]!r}; it takes {', '.join(DEFAULT_TEASAR_PARAMS)}"
        )
    values = {**DEFAULT_TEASAR_PARAMS, **given}
    fields: dict[str, Any] = {
        field: _length(name, values[name], may_be_infinite="threshold" in name)
        for name, field in _FIELDS.items()
    }
    fields["max_paths"] = _max_paths(values["max_paths"])
    fields["voxel_size"] = list(voxel_size)
    fields["fix_branching"], fields["border_faces"] = bool(fix_branching), ALL_FACES if fix_borders else 0
    return fields


def _length(name: str, value: Any, may_be_infinite: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is a number, not {value!r}")
    number = float(value)
    if math.isnan(number) or number < 0 or (math.isinf(number) and not may_be_infinite):
        raise ValueError(f"{name} is a number from 0 on, not {value!r}")
    return number


def number(name: str, value: Any) -> float:
    """A number that is not NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is a number, not {value!r}")
    if value != value:
        raise ValueError(f"{name} is a number, not {value!r}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """True or False, given as bool or as 0 or 1."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name} is True or False, not {value!r}")


def _max_paths(value: Any) -> int:
    if value is None or (isinstance(value, float) and value == math.inf):
        return _NO_LIMIT
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or value != int(value):
        raise TypeError(f"max_paths is a number of paths, or None for as many as it takes, not {value!r}")
    if value < 0:
        raise ValueError(f"max_paths is a number of paths from 0 on, or None, not {value!r}")
    return min(int(value), _NO_LIMIT)


# The engine computes with float32: squares of lengths must neither vanish nor overflow.
_LEAST, _MOST = 1e-9, 1e9


def voxel_size(anisotropy: Sequence[float] | npt.ArrayLike) -> tuple[float, float, float]:
    """Three edges of a voxel.

    Raises:
        TypeError: they are not numbers.
        ValueError: they are not three, or one is not within 1e-9 to 1e9.
    """
    try:
        edges = np.asarray(anisotropy, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"anisotropy is three numbers, the voxel size along x, y and z, not {anisotropy!r}"
        ) from None
    if edges.shape != (3,):
        raise ValueError(f"anisotropy is three numbers, the voxel size along x, y and z, not {anisotropy!r}")
    if not np.all((edges >= _LEAST) & (edges <= _MOST)):
        raise ValueError(
            f"anisotropy is three numbers from {_LEAST:g} to {_MOST:g}, not {tuple(edges.tolist())}; "
            "choose another unit of length if need be"
        )
    x, y, z = edges.tolist()
    return x, y, z


def points(name: str, given: Iterable[Any], shape: tuple[int, int, int]) -> npt.NDArray[np.uint32]:
    """Voxels ``(n, 3)``, from an iterable of (x, y, z).

    Raises:
        TypeError: the coordinates are not integers.
        ValueError: a point does not have three coordinates.
        IndexError: a point is outside the volume.
    """
    listed = [tuple(point) for point in given]
    for point in listed:
        if len(point) != 3:
            raise ValueError(f"{name} are voxels (x, y, z), not {point}")
    if not listed:
        return np.zeros((0, 3), np.uint32)
    flat = integer_array(name, [coordinate for point in listed for coordinate in point])
    array = flat.reshape(-1, 3)
    outside = ((array < 0) | (array >= np.array(shape))).any(axis=1)
    if outside.any():
        first = tuple(int(one) for one in array[np.flatnonzero(outside)[0]])
        raise IndexError(f"{name} has the voxel {first}, which is outside the volume of the shape {shape}")
    return array.astype(np.uint32)
