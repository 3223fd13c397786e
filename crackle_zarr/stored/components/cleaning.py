"""What becomes of the parts of components: dust, the largest, holes, and parts of one label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ...streams.cleaning import only_largest, with_holes_filled, with_parts_named, without_dust
from .parts import Parts, as_labels
from .pieces import Joining


class Rule(Protocol):
    """The new label of each part. It says what it is for the journal."""

    def __call__(self, joining: Joining, parts: Parts) -> npt.NDArray[Any]:
        """The labels, in the source's dtype."""
        ...


class _Whole(NamedTuple):
    """The components: for each part the place of its component, and their roots, labels and voxels."""

    place: npt.NDArray[np.int64]
    roots: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    sizes: npt.NDArray[np.int64]


def _whole(joining: Joining, parts: Parts) -> _Whole:
    """The components in the order of their first voxels."""
    roots, place = parts.whole()
    sizes = np.zeros(len(roots), dtype=np.int64)
    np.add.at(sizes, place, parts.rows["voxels"].astype(np.int64))
    return _Whole(place, roots, as_labels(parts.rows["label"][roots], joining.source.native), sizes)


@dataclass(frozen=True)
class Dust:
    """Background for components of fewer voxels than a threshold; with ``invert`` for all others."""

    threshold: int
    invert: bool
    background: int

    def __call__(self, joining: Joining, parts: Parts) -> npt.NDArray[Any]:
        """The new labels of all parts."""
        place, _, labels, sizes = _whole(joining, parts)
        new: npt.NDArray[Any] = without_dust(labels, sizes, self.threshold, self.invert, self.background)
        return np.asarray(new[place])


@dataclass(frozen=True)
class Largest:
    """Background for all but the largest components."""

    k: int
    background: int

    def __call__(self, joining: Joining, parts: Parts) -> npt.NDArray[Any]:
        """The new labels of all parts."""
        place, _, labels, sizes = _whole(joining, parts)
        new: npt.NDArray[Any] = only_largest(labels, sizes, self.k, self.background)
        return np.asarray(new[place])


@dataclass(frozen=True)
class FillHoles:
    """For background that one label encloses, that label."""

    wanted: npt.NDArray[Any] | None
    background: int

    def __call__(self, joining: Joining, parts: Parts) -> npt.NDArray[Any]:
        """The new labels of all parts."""
        place, roots, labels, _ = _whole(joining, parts)
        shape, rows = joining.target.shape, parts.rows
        at_edge = np.zeros(len(rows), dtype=np.bool_)
        for axis in joining.axes:
            if shape[axis] > 1:
                at_edge |= (rows["start"][:, axis] == 0) | (rows["stop"][:, axis] == shape[axis])
        open_ = np.zeros(len(roots), dtype=np.bool_)
        np.logical_or.at(open_, place, at_edge)
        meets = place[parts.meets]
        new: npt.NDArray[Any] = with_holes_filled(labels, open_, meets, self.wanted, self.background)
        return np.asarray(new[place])


@dataclass(frozen=True)
class Split:
    """For each part of a label but the largest, a name of its own, from ``first`` on."""

    label: int
    first: int

    def __call__(self, joining: Joining, parts: Parts) -> npt.NDArray[Any]:
        """The new labels of all parts."""
        place, _, labels, sizes = _whole(joining, parts)
        new: npt.NDArray[Any] = with_parts_named(
            labels, sizes, self.label, self.first, joining.target.array.dtype
        )
        return np.asarray(new[place])
