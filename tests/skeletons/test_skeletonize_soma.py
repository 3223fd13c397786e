"""Cell bodies: one root in the middle, paths that end at it, and voids filled first.

A component whose largest distance to the boundary exceeds the detection threshold is filled; if that distance
then exceeds the acceptance threshold, it is a soma. Its radius is that of the invalidation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skeleton_cases import (
    TOLERANCE,
    Array,
    assert_same,
    ball,
    blobs,
    border_candidates,
    check_coverage,
    check_forest,
    components,
    filled,
    parameters,
    porous,
    trace,
    traced,
    voxels_of,
)

import crackle_zarr

# Lengths in voxels of size 1: the cell body of the fixtures has a radius of 15.
SOMA = {
    "scale": 1.5,
    "const": 4,
    "soma_detection_threshold": 8,
    "soma_acceptance_threshold": 12,
    "soma_invalidation_scale": 1.0,
    "soma_invalidation_const": 3,
}
SHAPE = (121, 61, 61)
CENTRE = (60, 30, 30)


def cell(*processes: tuple[slice, slice, slice], shape: tuple[int, int, int] = SHAPE) -> Array:
    """A ball of radius 15 and boxes."""
    volume = ball(shape, CENTRE, 15).astype(np.uint8)
    for process in processes:
        volume[process] = 1
    return np.asfortranarray(volume)


RIGHT = (slice(60, 116), slice(28, 33), slice(28, 33))
LEFT = (slice(5, 60), slice(28, 33), slice(28, 33))
# Leaves the right process far from the cell body.
SIDE = (slice(98, 103), slice(28, 56), slice(28, 33))


def check_cell(
    skeleton: Any, component: Any, spacing: Any, params: dict[str, Any], coverage: bool = True
) -> tuple[Array, Array]:
    """Check a component that may be a soma; its voxels as (n, 3), and the indices of edges to its root."""
    if component.distance.max() > params["soma_detection_threshold"]:
        component = filled(component, spacing)
    assert check_forest(skeleton)[0] == 1
    voxels = voxels_of(skeleton, spacing) - component.origin
    assert ((voxels >= 0) & (voxels < component.mask.shape)).all()
    assert component.mask[tuple(voxels.T)].all(), "a vertex is not a voxel of the filled component"
    np.testing.assert_allclose(skeleton.radius, component.distance[tuple(voxels.T)], rtol=TOLERANCE)
    edges = skeleton.edges.astype(int)
    far = np.abs(voxels[edges[:, 0]] - voxels[edges[:, 1]]).max(axis=1, initial=0) > 1
    largest = component.distance.max()
    if largest <= params["soma_acceptance_threshold"]:
        assert not far.any()
        if coverage:
            check_coverage(component, voxels, spacing, params["scale"], params["const"])
        return voxels, np.flatnonzero(far)
    reach = params["soma_invalidation_scale"] * largest + params["soma_invalidation_const"]
    roots = []
    for root in np.flatnonzero(component.distance[tuple(voxels.T)] >= largest * (1 - 1e-6)):
        from_root = np.linalg.norm((voxels - voxels[root]) * spacing, axis=1)
        others = np.delete(from_root, root)
        if (others > reach * (1 - 1e-6)).all() and (edges[far] == root).any(axis=1).all():
            roots.append(root)
    assert roots, "no vertex of the largest radius has all long edges and no vertex within the soma"
    deepest = np.argwhere(component.distance >= largest * (1 - 1e-6))
    from_middle = np.linalg.norm(deepest - deepest.mean(axis=0), axis=1)
    nearest = {*map(tuple, deepest[from_middle <= from_middle.min() + 1e-6])}
    assert any(tuple(voxels[root]) in nearest for root in roots), (
        "the root is not in the middle of the deepest voxels"
    )
    return voxels, np.flatnonzero(far)


def only(skeletons: dict[int, Any]) -> Any:
    assert list(skeletons) == [1]
    return skeletons[1]


def traced_cell(volume: Array, **options: Any) -> tuple[Any, Array, Array]:
    """Skeleton, voxels and edges to the root of a volume of one cell."""
    skeleton = only(trace(volume, **{**SOMA, **options}))
    (component,) = traced(volume, (1, 1, 1))
    voxels, hubs = check_cell(skeleton, component, (1, 1, 1), {**SOMA, **options})
    return skeleton, voxels + component.origin, hubs


def test_two_processes() -> None:
    """Each process is joined to the root by one edge, and its end is its tip."""
    skeleton, voxels, hubs = traced_cell(cell(LEFT, RIGHT))
    assert list(CENTRE) in voxels.tolist()
    assert len(hubs) == 2
    ends = voxels[skeleton.terminals()]
    assert sorted(ends[:, 0].tolist()) == [5, 115]
    assert len(skeleton.branches()) == 0
    assert skeleton.radius.max() == pytest.approx(np.sqrt(15**2 + 1), rel=0.02)


def test_without_acceptance_it_is_no_soma() -> None:
    """The same cell below the threshold of acceptance has steps to neighbours only."""
    _, voxels, hubs = traced_cell(cell(LEFT, RIGHT), soma_acceptance_threshold=20)
    assert len(hubs) == 0
    assert len(voxels) >= 111


@pytest.mark.parametrize("fix_branching", [True, False])
def test_side_branch_is_not_joined_to_the_root(fix_branching: bool) -> None:
    """A path that ends on another path, far from the soma, gets no edge to the root.

    That would be a cycle.
    """
    skeleton = only(trace(cell(RIGHT, SIDE), fix_branching=fix_branching, **SOMA))
    (component,) = traced(cell(RIGHT, SIDE), (1, 1, 1))
    voxels, hubs = check_cell(skeleton, component, (1, 1, 1), SOMA)
    assert len(hubs) == 1
    ends = (voxels + component.origin)[skeleton.terminals()]
    assert len(ends) == 3, "the root, the tip of the process and the tip of its branch"
    assert max(ends[:, 0]) == 115
    assert max(ends[:, 1]) == 55
    assert len(skeleton.branches()) == 1


def hook() -> tuple[Array, dict[str, Any]]:
    """A process that comes back to the cell body, and a shorter one on the other side.

    The tip of the hook is within the radius of the invalidation, but the flood from the root does not get
    there through the component.
    """
    volume = cell(
        RIGHT,
        (slice(111, 116), slice(28, 58), slice(28, 33)),
        (slice(62, 116), slice(53, 58), slice(28, 33)),
        (slice(20, 60), slice(28, 33), slice(28, 33)),
    )
    return volume, {**SOMA, "soma_invalidation_const": 14}


@pytest.mark.parametrize("max_paths", [None, 12])
def test_branch_that_comes_back(max_paths: int | None) -> None:
    """A target within the soma's radius is tried once: the other process is traced within few paths."""
    volume, params = hook()
    skeleton = only(trace(volume, max_paths=max_paths, **params))
    (component,) = traced(volume, (1, 1, 1))
    voxels, _ = check_cell(skeleton, component, (1, 1, 1), params)
    voxels = voxels + component.origin
    assert voxels[:, 0].min() == 20, "the other process has no path"
    assert len(skeleton.terminals()) <= 6


@pytest.mark.parametrize("max_paths", [None, 1, 7])
def test_soma_without_processes(max_paths: int | None) -> None:
    """A soma that covers its component has the same answer with a limit of paths and without."""
    volume = ball((51, 51, 51), (25, 25, 25), 15).astype(np.uint8)
    skeletons = trace(volume, max_paths=max_paths, **{**SOMA, "soma_invalidation_const": 10})
    assert_same(skeletons, trace(volume, **{**SOMA, "soma_invalidation_const": 10}))
    if skeletons:
        assert only(skeletons).vertices.tolist() == [[25, 25, 25]]
        assert skeletons[1].edges.shape == (0, 2)


def test_thresholds_are_exceeded_not_reached() -> None:
    """A largest distance equal to the threshold of acceptance makes no soma."""
    volume = np.zeros((60, 25, 25), np.uint8)
    volume[2:58, 2:23, 2:23] = 1
    params = {**SOMA, "soma_detection_threshold": 5, "soma_acceptance_threshold": 11}
    (component,) = traced(volume, (1, 1, 1))
    assert component.distance.max() == 11
    _, hubs = check_cell(only(trace(volume, **params)), component, (1, 1, 1), params)
    assert len(hubs) == 0
    params["soma_acceptance_threshold"] = 10.99
    params["soma_invalidation_scale"] = 1.0
    _, hubs = check_cell(only(trace(volume, **params)), component, (1, 1, 1), params)
    assert len(hubs) > 0


def test_cut_by_a_face() -> None:
    """Contacts with faces are ends, but for those within the soma's radius; the root stays in the middle."""
    volume = np.asfortranarray(cell(LEFT, RIGHT)[5:116])
    skeleton, voxels, hubs = traced_cell(volume)
    assert len(hubs) == 2
    assert sorted(voxels[skeleton.terminals()].tolist()) == [[0, 30, 30], [110, 30, 30]]
    half = np.asfortranarray(cell(RIGHT)[60:])
    skeleton, voxels, hubs = traced_cell(half)
    assert len(hubs) == 1
    assert max(voxels[:, 0]) == 55


def test_small_voxels() -> None:
    """Voxels smaller than 1, and any other unit: the same skeleton in that unit."""
    volume = cell(LEFT, RIGHT, SIDE)
    wanted = only(trace(volume, **SOMA))
    lengths = ["const", *[name for name in SOMA if "threshold" in name], "soma_invalidation_const"]
    for unit in (0.25, 2.0**-10, 1024.0):
        params = {name: value * (unit if name in lengths else 1) for name, value in SOMA.items()}
        found = only(trace(volume, (unit,) * 3, **params))
        assert np.array_equal(found.vertices / unit, wanted.vertices)
        assert np.array_equal(found.edges, wanted.edges)
        np.testing.assert_allclose(found.radius / unit, wanted.radius, rtol=1e-6)


def test_long_voxels() -> None:
    """Distances are physical: the same cell in voxels that are twice as long along x."""
    volume = cell(LEFT, RIGHT)[::2]
    skeleton = only(trace(volume, (2, 1, 1), **SOMA))
    (component,) = traced(volume, (2, 1, 1))
    _, hubs = check_cell(skeleton, component, (2, 1, 1), SOMA)
    assert len(hubs) == 2


def test_many_processes_and_ways_of_asking() -> None:
    """Threads, memory order, and streams make no difference."""
    rng = np.random.default_rng(4)
    volume = cell(LEFT, RIGHT, SIDE)
    for direction in rng.normal(size=(9, 3)):
        for step in range(40):
            place = np.rint(np.array(CENTRE) + step * direction / np.linalg.norm(direction)).astype(int)
            if ((place >= 2) & (place < np.array(SHAPE) - 2)).all():
                volume[tuple(slice(a - 1, a + 2) for a in place)] = 1
    skeleton, _, hubs = traced_cell(volume)
    assert len(hubs) >= 5
    wanted = {1: skeleton}
    assert_same(trace(np.ascontiguousarray(volume), parallel=2, **SOMA), wanted)
    assert_same(trace(crackle_zarr.compress(volume, allow_pins=1), parallel=5, **SOMA), wanted)


# ---------------------------------------------------------------------------------------
# Voids


def shell(nucleus: int = 0) -> Array:
    """A hollow ball: outer radius 15, inner radius 8, with two processes; a nucleus may be in it."""
    volume = cell(LEFT, RIGHT)
    volume[ball(SHAPE, CENTRE, 8)] = nucleus
    return volume


HOLLOW = {**SOMA, "soma_detection_threshold": 3.5}


@pytest.mark.parametrize("nucleus", [0, 2])
def test_void_is_filled(nucleus: int) -> None:
    """A hollow cell above the threshold of detection is filled, and then a soma.

    What is in it keeps its skeleton.
    """
    volume = shell(nucleus)
    first = traced(volume, (1, 1, 1))[0]
    assert 3.5 < first.distance.max() < 12
    skeletons = trace(volume, **HOLLOW)
    assert sorted(skeletons) == [1, 2][: 1 + (nucleus > 0)]
    voxels, hubs = check_cell(skeletons[1], first, (1, 1, 1), HOLLOW)
    assert list(CENTRE) in (voxels + first.origin).tolist()
    assert len(hubs) == 2
    assert_same({1: skeletons[1]}, trace(cell(LEFT, RIGHT), **HOLLOW))


def test_void_is_not_filled_below_the_threshold() -> None:
    """Below the threshold of detection the void stays: paths go round it."""
    volume = shell()
    skeleton = only(trace(volume, **SOMA))
    voxels = voxels_of(skeleton, (1, 1, 1))
    assert (volume[tuple(voxels.T)] == 1).all()
    assert np.linalg.norm(voxels - CENTRE, axis=1).min() > 8


def test_filled_without_being_a_soma() -> None:
    """Filled, but not accepted: paths go through the void, radii are those of the filled shape."""
    params = {**HOLLOW, "soma_acceptance_threshold": 100}
    component = traced(shell(), (1, 1, 1))[0]
    voxels, hubs = check_cell(only(trace(shell(), **params)), component, (1, 1, 1), params)
    assert len(hubs) == 0
    assert (shell()[tuple((voxels + component.origin).T)] == 0).any()


@pytest.mark.parametrize("fills", [True, False])
def test_leaks(fills: bool) -> None:
    """A void that meets the outside at corners only is filled; one that meets it at a face is open."""
    volume = ball((31, 31, 31), (15, 15, 15), 13).astype(np.uint8)
    volume[11:20, 11:20, 11:20] = 0
    volume[10, 10, :11] = 0  # a channel from the outside to the corner of the void
    if not fills:
        volume[10, 10, 11] = volume[10, 11, 11] = 0
    params = {**SOMA, "soma_detection_threshold": 2, "soma_acceptance_threshold": 9}
    component = traced(volume, (1, 1, 1))[0]
    assert (filled(component, (1, 1, 1)).distance.max() > 9) == fills
    voxels, _ = check_cell(only(trace(volume, **params)), component, (1, 1, 1), params, coverage=False)
    assert (volume[tuple((voxels + component.origin).T)] == 0).any() == fills


# ---------------------------------------------------------------------------------------
# Anything


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([blobs, porous]),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (16.0, 16.0, 40.0), (0.25, 0.5, 0.125)]),
    size=st.integers(8, 18),
    fix_branching=st.booleans(),
    data=st.data(),
)
def test_random_cells(
    seed: int, kind: Any, spacing: Any, size: int, fix_branching: bool, data: st.DataObject
) -> None:
    """Random shapes and thresholds: each component is one tree, whose long edges all meet in its root.

    Border targets outside of the soma are vertices.
    """
    rng = np.random.default_rng(seed)
    volume, _ = components(kind((size, size, max(4, size - 3)), rng))
    params = data.draw(parameters(spacing, somas=True))
    skeletons = trace(volume, spacing, fix_branching=fix_branching, **params)
    wanted = {component.label: component for component in traced(volume, spacing)}
    for label, skeleton in skeletons.items():
        component = wanted[label]
        soma = filled(component, spacing).distance.max() > params["soma_acceptance_threshold"]
        voxels, _ = check_cell(skeleton, component, spacing, params, coverage=not soma)
        if soma:
            continue
        mine = {*map(tuple, voxels + component.origin)}
        for number, candidates in border_candidates(volume, spacing):
            if number == label:
                assert {*map(tuple, candidates)} & mine
    for label in wanted.keys() - skeletons.keys():
        # A soma that covers its whole component may have no skeleton.
        assert filled(wanted[label], spacing).distance.max() > params["soma_acceptance_threshold"]
