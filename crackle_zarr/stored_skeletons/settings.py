"""What to trace and how, in a form that pickles and that a plan on disk keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.integers import holds, integer
from ..skeletons.parameters import DEFAULT_TEASAR_PARAMS, flag, number, points, teasar_fields
from ..skeletons.teasar import changes_of
from .frame import Frame, Voxel, nanometres

# The parameters that are lengths; their defaults are nanometres.
_LENGTHS = ("const", "soma_detection_threshold", "soma_acceptance_threshold", "soma_invalidation_const")


@dataclass(frozen=True)
class Settings:
    """All parameters on which the skeletons of an array depend.

    Attributes:
        teasar: all of TEASAR's parameters, in the unit of the array.
        labels: only these, ascending; None: all but 0.
        dust_threshold: in voxels.
        fix_branching: see ``skeletonize``.
        fix_borders: targets on the faces of the part that is asked about.
        fill_holes: see ``skeletonize``.
        fix_avocados: see ``skeletonize``.
        before: voxels (x, y, z) of the array that paths reach first.
        after: voxels that paths reach in the end.
        cable_threshold: trees of no more cable than this go.
        tick_threshold: ends shorter than this go.
        join: join trees of a label whose balls touch.
        verify: verify the checksums of what is read.
    """

    teasar: dict[str, float | None]
    labels: tuple[int, ...] | None
    dust_threshold: float
    fix_branching: bool
    fix_borders: bool
    fill_holes: bool
    fix_avocados: bool
    before: tuple[Voxel, ...]
    after: tuple[Voxel, ...]
    cable_threshold: float
    tick_threshold: float
    join: bool
    verify: bool

    def fields(self, size: tuple[float, float, float]) -> dict[str, Any]:
        """The fields of ``struct crackle_teasar``."""
        return teasar_fields(self.teasar, size, self.fix_branching, self.fix_borders)

    def changes(self, fields: dict[str, Any]) -> Any:
        """What to do with components before they are traced, or None."""
        return changes_of(self.fill_holes, self.fix_avocados, fields)

    def as_json(self) -> dict[str, Any]:
        """All of it but ``verify``, on which no skeleton depends."""
        told = dataclasses.asdict(self)
        del told["verify"]
        return told


def settings_of(
    frame: Frame,
    teasar_params: Mapping[str, Any] | None,
    labels: Iterable[int] | None,
    *,
    dust_threshold: Any,
    fix_branching: Any,
    fix_borders: Any,
    fill_holes: Any,
    fix_avocados: Any,
    extra_targets_before: Iterable[Sequence[int]],
    extra_targets_after: Iterable[Sequence[int]],
    cable_threshold: Any,
    tick_threshold: Any,
    join_close: Any,
    verify: bool,
) -> Settings:
    """Check parameters as users give them.

    Raises:
        TypeError: a parameter is unknown, or of a wrong type.
        ValueError: a number is outside its range.
        IndexError: a target is outside the array.
    """
    teasar = {
        **DEFAULT_TEASAR_PARAMS,
        **{name: nanometres(float(DEFAULT_TEASAR_PARAMS[name] or 0), frame.unit) for name in _LENGTHS},
        **(teasar_params or {}),
    }
    teasar_fields(teasar, frame.size, True, True)
    whole: Voxel = frame._three([frame.layout.shape[axis] for axis in frame.order], 1)
    targets = [
        tuple((int(x), int(y), int(z)) for x, y, z in points(name, given, whole).tolist())
        for name, given in (
            ("extra_targets_before", extra_targets_before),
            ("extra_targets_after", extra_targets_after),
        )
    ]
    lengths = []
    for name, given in (("cable_threshold", cable_threshold), ("tick_threshold", tick_threshold)):
        length = number(name, given)
        if length < 0:
            raise ValueError(f"{name} is a length from 0 on, not {given!r}")
        lengths.append(length)
    wanted = None
    if labels is not None:
        given_labels = sorted({integer("a label", label) for label in labels} - {0})
        wanted = tuple(label for label in given_labels if holds(frame.layout.native, label))
    return Settings(
        {name: None if value is None else _plain(value) for name, value in teasar.items()},
        wanted,
        number("dust_threshold", dust_threshold),
        flag("fix_branching", fix_branching),
        flag("fix_borders", fix_borders),
        flag("fill_holes", fill_holes),
        flag("fix_avocados", fix_avocados),
        targets[0],
        targets[1],
        lengths[0],
        lengths[1],
        flag("join_close", join_close),
        verify,
    )


def _plain(value: Any) -> float:
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[no-any-return]
