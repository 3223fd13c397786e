"""Sets of voxels as runs and as intervals: compared with sets of voxels, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackle_zarr import _binding
from crackle_zarr.skeletons.intervals import Line, Owners, box, crop, difference, pieces, union

ndimage = pytest.importorskip("scipy.ndimage")


def runs_of(mask: np.ndarray) -> np.ndarray:
    """The runs of a mask (x, y, z)."""
    found = []
    for z, y in itertools.product(range(mask.shape[2]), range(mask.shape[1])):
        row = np.diff(np.concatenate([[0], mask[:, y, z].astype(np.int8), [0]]))
        found += [
            (x, end, y, z) for x, end in zip(np.flatnonzero(row == 1), np.flatnonzero(row == -1), strict=True)
        ]
    return np.array(found, _binding.RUN)


def mask_of(runs: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for x, end, y, z in runs.tolist():
        assert not mask[x:end, y, z].any()
        mask[x:end, y, z] = True
    return mask


@st.composite
def masks(draw: st.DrawFn, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(*[st.integers(1, 8)] * 3))
    return [rng.random(shape) < rng.choice([0.05, 0.2, 0.5, 0.9]) for _ in range(count)]


@settings(max_examples=200, deadline=None)
@given(masks(2))
def test_sets(given_masks: list[np.ndarray]) -> None:
    """Unions, differences, boxes and crops."""
    one, other = given_masks
    line = Line(one.shape)
    a, b = line.intervals(runs_of(one)), line.intervals(runs_of(other))
    assert (mask_of(line.runs(a), one.shape) == one).all()
    assert (mask_of(line.runs(union(a, b)), one.shape) == one | other).all()
    assert union(a, b).size() == np.count_nonzero(one | other)
    assert (mask_of(line.runs(difference(a, b)), one.shape) == one & ~other).all()
    if other.any():
        start, stop = box(runs_of(other))
        inside = np.zeros(one.shape, bool)
        inside[tuple(map(slice, start, stop))] = True
        assert (mask_of(crop(runs_of(one), start, stop), one.shape) == one & inside).all()


@settings(max_examples=200, deadline=None)
@given(masks(1))
def test_pieces(given_masks: list[np.ndarray]) -> None:
    """The connected parts, of 26 neighbours; rows at the rim do not meet those at the other rim."""
    (mask,) = given_masks
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    found = pieces(runs_of(mask), Line(mask.shape))
    if count:
        parts = [mask_of(one, mask.shape) for one in found]
        assert len(parts) == count
        assert all((labels[part] == labels[part][0]).all() for part in parts)


@settings(max_examples=100, deadline=None)
@given(masks(1))
def test_owners(given_masks: list[np.ndarray]) -> None:
    """Which of several sets has a voxel, and which sets touch an interval."""
    (mask,) = given_masks
    line = Line(mask.shape)
    sets = [mask & (np.indices(mask.shape).sum(0) % 3 == k) for k in range(3)]
    owners = Owners([line.intervals(runs_of(one)) for one in sets])
    voxels = np.argwhere(np.ones_like(mask))
    places = np.array([line.place(*voxel) for voxel in voxels.tolist()])
    expected = [next((k for k in range(3) if sets[k][tuple(voxel)]), -1) for voxel in voxels]
    assert owners.at(places).tolist() == expected
    within = owners.within(line.intervals(runs_of(np.ones_like(mask))))
    assert within.tolist() == [k for k in range(3) if sets[k].any()]


def test_too_large() -> None:
    """A volume of 2**63 voxels has no line."""
    with pytest.raises(ValueError, match="too many voxels"):
        Line((2**31, 2**31, 4))
