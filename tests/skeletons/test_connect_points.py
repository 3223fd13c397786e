"""One centre line between two voxels: the cheapest path, its radii, and points that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skeleton_cases import (
    Array,
    ball,
    blobs,
    boundary_distance,
    cells,
    components,
    graph,
    junction,
    ndimage,
    penalty,
    porous,
    tree_numbers,
    voxels_of,
)

from crackle_zarr.skeletons import connect_points


def line_of(skeleton: Any, spacing: Any, start: Any, end: Any) -> Array:
    """The voxels of a skeleton that has to be one line of steps to neighbours between two voxels."""
    voxels = voxels_of(skeleton, spacing)
    assert len({*map(tuple, voxels.tolist())}) == len(voxels)
    assert len(skeleton.edges) == len(voxels) - 1
    if len(voxels) > 1:
        assert tree_numbers(skeleton)[0] == 1
        degrees = np.bincount(skeleton.edges.ravel().astype(int), minlength=len(voxels))
        assert degrees.max() <= 2
        ends = {*map(tuple, voxels[degrees == 1].tolist())}
        assert ends == {tuple(start), tuple(end)}
        steps = voxels[skeleton.edges[:, 0].astype(int)] - voxels[skeleton.edges[:, 1].astype(int)]
        assert abs(steps).max() == 1
    return voxels


@pytest.mark.parametrize("spacing", [(1, 1, 1), (16, 16, 40), (0.5, 0.25, 0.125)])
def test_connect_points(spacing: Any) -> None:
    """One line along the middle of a bent bar.

    Radii are distances to the boundary, the volume's faces included.
    """
    volume = junction()
    start, end = (0, 20, 15), (50, 70, 15)
    skeleton = connect_points(volume, start, end, anisotropy=spacing)
    voxels = line_of(skeleton, spacing, start, end)
    assert (volume[tuple(voxels.T)] == 1).all()
    radii = boundary_distance(volume == 1, spacing)[tuple(voxels.T)]
    np.testing.assert_allclose(skeleton.radius, radii, rtol=1e-5)
    assert skeleton.space == "physical"
    assert skeleton.radius.dtype == skeleton.vertices.dtype == np.float32


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([blobs, cells, porous]),
    spacing=st.sampled_from([(1, 1, 1), (16, 16, 40)]),
)
def test_connect_points_is_cheapest(seed: int, kind: Any, spacing: Any) -> None:
    """The sum of costs of the voxels entered from the start is the smallest."""
    rng = np.random.default_rng(seed)
    numbers, _ = components(kind((11, 10, 9), rng))
    mask = numbers == np.bincount(numbers.ravel(), minlength=2)[1:].argmax() + 1
    if mask.sum() < 2:
        return
    voxels = graph(mask)
    first, last = rng.choice(len(voxels.voxels), 2, replace=False)
    start, end = (tuple(voxels.voxels[n].tolist()) for n in (first, last))
    skeleton = connect_points(mask, start, end, anisotropy=spacing, pdrf_scale=100, pdrf_exponent=4)
    path = voxels.index(line_of(skeleton, spacing, start, end))
    distance = boundary_distance(mask, spacing)[tuple(voxels.voxels.T)]
    cost = penalty(distance, voxels.geodesic(first, spacing), 100, 4)
    taken = cost[path].sum() - cost[first]
    least = voxels.entering(cost, first)[last]
    backwards = voxels.entering(cost, last)[first]
    assert taken == pytest.approx(least, rel=1e-4) or taken + cost[first] - cost[last] == pytest.approx(
        backwards, rel=1e-4
    )


def test_connect_points_that_are_one() -> None:
    """From a voxel to itself: that voxel, without an edge."""
    skeleton = connect_points(junction(), (50, 20, 15), (50, 20, 15))
    assert skeleton.vertices.tolist() == [[50, 20, 15]]
    assert skeleton.edges.shape == (0, 2)


def test_connect_points_with_holes_filled() -> None:
    """With fill_holes the line goes through a void; without, it goes round."""
    volume = ball((41, 41, 41), (20, 20, 20), 17)
    volume &= ~ball((41, 41, 41), (20, 20, 20), 13)
    start, end = (4, 20, 20), (36, 20, 20)
    around = line_of(connect_points(volume, start, end), (1, 1, 1), start, end)
    assert volume[tuple(around.T)].all()
    through = line_of(connect_points(volume, start, end, fill_holes=True), (1, 1, 1), start, end)
    assert len(through) < len(around)
    assert ndimage.binary_fill_holes(volume)[tuple(through.T)].all()


def test_connect_points_on_background() -> None:
    """Both points have to be in the foreground, and in one component."""
    volume = junction()
    volume[2:5, 50:53, 2:5] = 1
    for start, end in (((0, 0, 0), (50, 20, 15)), ((50, 20, 15), (0, 0, 0)), ((50, 20, 15), (3, 51, 3))):
        with pytest.raises(ValueError, match=r"\d"):
            connect_points(volume, start, end)


def test_connect_points_keeps_its_input() -> None:
    """The volume is as it was."""
    volume = junction()
    kept = volume.copy()
    connect_points(volume, (0, 20, 15), (50, 70, 15), fill_holes=True)
    assert np.array_equal(volume, kept)
