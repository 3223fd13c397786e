"""What holds for the skeletons of any volume, any voxel size and any parameters.

The volumes are random: blobs, tubes, noise, holes, cells that touch; also of one slice, one row and one
voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skeleton_cases import (
    KINDS,
    NO_SOMA,
    Array,
    assert_same,
    ball,
    blobs,
    border_targets,
    cells,
    check,
    components,
    empty,
    flood,
    graph,
    label_volumes,
    lonely_labels,
    merged_trees,
    parameters,
    penalty,
    porous,
    spacings,
    trace,
    traced,
    tubes,
    voxels_of,
)

import crackle_zarr

BUSY = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


# ---------------------------------------------------------------------------------------
# Forest, voxels, edges, radius, coverage, border targets


@BUSY
@given(volume=label_volumes(), spacing=spacings(), dust=st.integers(0, 40), fix=st.booleans(), data=st.data())
@pytest.mark.parametrize("fix_branching", [True, False])
def test_invariants(
    fix_branching: bool, volume: Array, spacing: Any, dust: int, fix: bool, data: st.DataObject
) -> None:
    """Each component is one tree of its voxels, joined by steps to neighbours, near to all of its voxels."""
    given_parameters = data.draw(parameters(spacing))
    skeletons = trace(
        volume, spacing, dust_threshold=dust, fix_borders=fix, fix_branching=fix_branching, **given_parameters
    )
    reach = {name: given_parameters[name] for name in ("scale", "const")}
    check(volume, skeletons, spacing, dust, fix_borders=fix, **reach)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_invariants_of_larger_volumes(kind: str) -> None:
    """The same with components of some thousands of voxels and many paths."""
    volume = KINDS[kind]((48, 40, 32), np.random.default_rng(7))
    for spacing, const in (((1, 1, 1), 2), ((16, 16, 40), 30)):
        check(volume, trace(volume, spacing, const=const, **NO_SOMA), spacing, const=const)


@BUSY
@given(volume=label_volumes(9), where=st.integers(0, 2**32 - 1))
def test_extra_targets_are_vertices(volume: Array, where: int) -> None:
    """Every extra target on a traced component is a vertex of it."""
    targets = np.random.default_rng(where).integers(0, volume.shape, (4, 3))
    before, after = [[*map(tuple, some.tolist())] for some in (targets[:2], targets[2:])]
    skeletons = trace(volume, const=2, extra_targets_before=before, extra_targets_after=after)
    check(volume, skeletons, (1, 1, 1), const=2)
    numbers, _ = components(volume)
    sizes = np.bincount(numbers.ravel())
    for target in [*before, *after]:
        if volume[target] and sizes[numbers[target]] > 1:
            assert list(target) in voxels_of(skeletons[int(volume[target])], (1, 1, 1)).tolist()


# ---------------------------------------------------------------------------------------
# Stages of the algorithm


@BUSY
@given(volume=label_volumes(), spacing=st.tuples(*[st.integers(1, 5)] * 3))
def test_border_targets(volume: Array, spacing: Any) -> None:
    """Of several deepest pixels of a contact, the one that the rules choose is a vertex."""
    skeletons = trace(volume, spacing, const=3, **NO_SOMA)
    numbers, labels = components(volume)
    sizes = np.bincount(numbers.ravel())
    for number, targets in border_targets(numbers, spacing):
        if sizes[number] > 1:
            vertices = {*map(tuple, voxels_of(skeletons[labels[number - 1]], spacing).tolist())}
            assert targets & vertices


def one_component(seed: int, kind: Any, spacing: Any) -> tuple[Array, Any]:
    """The largest component of a random volume, alone, away from faces."""
    volume = kind((12, 11, 10), np.random.default_rng(seed))
    numbers, _ = components(volume)
    if numbers.max() == 0:
        numbers[5:7, 5, 5] = 1
    largest = np.bincount(numbers.ravel())[1:].argmax() + 1
    mask = np.pad(numbers == largest, 1)
    if mask.sum() < 2:
        mask[1:3, 1, 1] = True
    alone = mask.astype(np.uint8)
    return alone, traced(alone, spacing)[0]


def first_path(volume: Array, spacing: Any, **options: Any) -> Any:
    """The skeleton when the first path invalidates everything."""
    (skeleton,) = trace(volume, spacing, const=1e9, fix_borders=False, **NO_SOMA, **options).values()
    return skeleton


KIND_AND_SEED: dict[str, Any] = {
    "seed": st.integers(0, 2**32 - 1),
    "kind": st.sampled_from([blobs, cells, porous, tubes]),
}


def ends_of_path(skeleton: Any) -> Array:
    """Indices of the two ends of a skeleton that is one line."""
    assert len(skeleton.edges) == len(skeleton.vertices) - 1
    degrees = np.bincount(skeleton.edges.ravel(), minlength=len(skeleton.vertices))
    assert degrees.max() <= 2, "the first path is no line"
    return np.flatnonzero(degrees == 1)


@BUSY
@given(**KIND_AND_SEED, spacing=st.sampled_from([(1, 1, 1), (16, 16, 40), (5, 1, 3)]))
def test_root_and_first_target(seed: int, kind: Any, spacing: Any) -> None:
    """The root is farthest from the first voxel, z slowest; the first path ends farthest from the root."""
    volume, component = one_component(seed, kind, spacing)
    voxels = graph(component.mask)
    places = voxels_of(first_path(volume, spacing), spacing) - component.origin
    ends = voxels.index(places[ends_of_path(first_path(volume, spacing))])
    from_first = voxels.geodesic(0, spacing)
    assert any(
        from_first[root] >= from_first.max() * (1 - 1e-5)
        and (distances := voxels.geodesic(root, spacing))[target] >= distances.max() * (1 - 1e-5)
        for root, target in (ends, ends[::-1])
    )


@BUSY
@given(
    **KIND_AND_SEED,
    spacing=st.sampled_from([(1, 1, 1), (16, 16, 40)]),
    exponent=st.sampled_from([1, 2, 4, 8, 3]),
    scale=st.sampled_from([1.0, 100.0, 1e5]),
    fix_branching=st.booleans(),
)
def test_first_path_is_the_cheapest(
    seed: int, kind: Any, spacing: Any, exponent: int, scale: float, fix_branching: bool
) -> None:
    """The first path has the smallest sum of the costs of its voxels, be it searched from either end.

    Its first voxel is free: the target if searched from there, and the root, whose cost is 0 then; else the
    root.
    """
    volume, component = one_component(seed, kind, spacing)
    skeleton = first_path(
        volume, spacing, pdrf_exponent=exponent, pdrf_scale=scale, fix_branching=fix_branching
    )
    voxels = graph(component.mask)
    path = voxels.index(voxels_of(skeleton, spacing) - component.origin)
    distance = component.distance[tuple(voxels.voxels.T)]
    costs = []
    ends = path[ends_of_path(skeleton)]
    for root, target in (ends, ends[::-1]):
        cost = penalty(distance, voxels.geodesic(root, spacing), scale, exponent)
        if fix_branching:
            cost[root] = 0
        source, sink = (target, root) if fix_branching else (root, target)
        costs.append((cost[path].sum() - cost[source], voxels.entering(cost, source)[sink]))
    assert any(taken == pytest.approx(least, rel=1e-4) for taken, least in costs), costs


@settings(BUSY, max_examples=30)
@given(
    **KIND_AND_SEED,
    spacing=st.sampled_from([(1, 1, 1), (16, 16, 40)]),
    scale=st.floats(0, 2),
    const=st.floats(0, 3),
)
def test_second_target(seed: int, kind: Any, spacing: Any, scale: float, const: float) -> None:
    """The second path starts at the farthest voxel that the flood from the first path left."""
    volume, component = one_component(seed, kind, spacing)
    const *= min(spacing)
    first = first_path(volume, spacing)
    (both,) = trace(
        volume, spacing, scale=scale, const=const, max_paths=2, fix_borders=False, **NO_SOMA
    ).values()
    path, places = [voxels_of(skeleton, spacing) - component.origin for skeleton in (first, both)]
    new = np.array([place for place in places.tolist() if place not in path.tolist()], int).reshape(-1, 3)
    voxels = graph(component.mask)
    radii = scale * component.distance[tuple(path.T)] + const
    from_first = voxels.geodesic(0, spacing)
    ends = voxels.index(path[ends_of_path(first)])
    # Ties may go either way: between roots, and between seeds that reach a voxel at the same distance.
    possible = []
    for root in (end for end in ends if from_first[end] >= from_first.max() * (1 - 1e-5)):
        distances = voxels.geodesic(root, spacing)
        for last_seed_first in (False, True):
            for slack in (1 - 1e-6, 1 + 1e-6):
                claimed = flood(component.mask, path, radii * slack, spacing, last_seed_first)
                valid = distances[~claimed[tuple(voxels.voxels.T)]]
                if valid.size == 0:
                    possible.append(len(new) == 0)
                elif len(new):
                    farthest = distances[voxels.index(new)]
                    possible.append(bool(np.isclose(farthest, valid.max(), rtol=1e-5).any()))
                else:
                    possible.append(False)
    assert any(possible)


@BUSY
@given(
    **KIND_AND_SEED, spacing=st.sampled_from([(1, 1, 1), (16, 16, 40)]), exponent=st.sampled_from([1, 4, 8])
)
def test_second_path_is_the_cheapest(seed: int, kind: Any, spacing: Any, exponent: int) -> None:
    """With fix_branching, the second path goes the cheapest way to the first, whose voxels are free."""
    volume, component = one_component(seed, kind, spacing)
    options = {"pdrf_exponent": exponent, "pdrf_scale": 100.0}
    first = first_path(volume, spacing, **options)
    (both,) = trace(
        volume, spacing, scale=1, const=min(spacing), max_paths=2, fix_borders=False, **options, **NO_SOMA
    ).values()
    voxels = graph(component.mask)
    rail, places = [voxels.index(voxels_of(each, spacing) - component.origin) for each in (first, both)]
    new = np.setdiff1d(places, rail)
    if new.size == 0:
        return
    distance = component.distance[tuple(voxels.voxels.T)]
    costs = []
    for root in rail[ends_of_path(first)]:
        cost = penalty(distance, voxels.geodesic(root, spacing), 100.0, exponent)
        cost[rail] = 0
        for target in np.intersect1d(new, places[both.terminals()]):
            costs.append((cost[new].sum() - cost[target], voxels.entering(cost, target)[rail].min()))
    assert any(taken == pytest.approx(least, rel=1e-4, abs=1e-6) for taken, least in costs), costs


# ---------------------------------------------------------------------------------------
# The same answer in every way of asking


@BUSY
@given(volume=label_volumes(), data=st.data())
def test_representations(volume: Array, data: st.DataObject) -> None:
    """Memory order, dtype, stream or array: the answer is the same to the last bit."""
    spacing = (16, 16, 40)
    options = {
        "const": 30,
        "fix_branching": data.draw(st.booleans()),
        "fix_borders": data.draw(st.booleans()),
        "dust_threshold": data.draw(st.integers(0, 9)),
        "fill_holes": data.draw(st.booleans()),
    }
    wanted = trace(volume, spacing, **options)
    kept = volume.copy()
    for same in (np.ascontiguousarray(volume), np.repeat(volume, 2, axis=0)[::2], volume[::-1][::-1]):
        assert_same(trace(same, spacing, **options), wanted)
    dtype = data.draw(st.sampled_from(["u1", "i1", "i2", "u4", "i4", "u8", "i8", ">u4", ">i8"]))
    assert_same(trace(volume.astype(dtype), spacing, **options), wanted)
    order = data.draw(st.sampled_from(["C", "F"]))
    for pins in (0, 1, 2):
        stream = crackle_zarr.compress(np.asarray(volume, order=order), allow_pins=pins)
        assert_same(trace(stream, spacing, **options), wanted)
    assert_same(trace(crackle_zarr.CrackleArray(stream), spacing, **options), wanted)
    assert np.array_equal(volume, kept)


@BUSY
@given(volume=label_volumes(), spacing=spacings(), data=st.data())
def test_determinism(volume: Array, spacing: Any, data: st.DataObject) -> None:
    """Any number of threads, any chunk of work, any run: the same answer, also with somas."""
    options = data.draw(parameters(spacing, somas=True))
    wanted = trace(volume, spacing, **options)
    for parallel, chunk in ((1, 100), (2, 1), (5, 3), (0, 100)):
        assert_same(trace(volume, spacing, parallel=parallel, parallel_chunk_size=chunk, **options), wanted)


@pytest.mark.parametrize("label", [1, -1, -128, 127])
def test_negative_labels(label: int) -> None:
    """Signed labels are labels; the background is 0."""
    volume = np.zeros((20, 8, 8), np.int8)
    volume[2:18, 2:6, 2:6] = label
    skeletons = trace(volume)
    check(volume, skeletons, (1, 1, 1))
    assert list(skeletons) == [label]
    assert_same(trace(crackle_zarr.compress(volume)), skeletons)


@pytest.mark.parametrize(
    ("label", "dtype"), [(2**64 - 1, "u8"), (2**63, "u8"), (-(2**63), "i8"), (2**53 + 1, "i8"), (2**32, "u8")]
)
def test_wide_labels(label: int, dtype: str) -> None:
    """Labels of 64 bits are kept to the last bit, beside one that a float would take for the same."""
    volume = np.zeros((20, 9, 5), dtype)
    volume[:, 1:4, 1:4] = label
    volume[:, 6:8, 1:4] = label + (1 if label < 0 else -1)
    skeletons = trace(volume)
    check(volume, skeletons, (1, 1, 1))
    assert label in skeletons
    assert_same(trace(crackle_zarr.compress(volume)), skeletons)


@pytest.mark.parametrize("in_place", [False, True])
def test_input_is_kept(in_place: bool) -> None:
    """The volume is changed only if the caller allows it, and the answer is the same."""
    volume = cells((20, 20, 20), np.random.default_rng(3))
    kept = volume.copy()
    wanted = trace(volume, object_ids=[1, 2])
    assert_same(trace(volume, object_ids=[1, 2], in_place=in_place), wanted)
    if not in_place:
        assert np.array_equal(volume, kept)


def test_read_only_input() -> None:
    """A volume that cannot be written to is no hindrance, unless it is to be changed in place."""
    volume = cells((20, 20, 20), np.random.default_rng(3))
    wanted = trace(volume)
    volume.flags.writeable = False
    assert_same(trace(volume), wanted)


# ---------------------------------------------------------------------------------------
# Seams


def halves(volume: Array, axis: int, at: int) -> tuple[Array, Array]:
    low = volume[tuple(slice(None, at + 1 if a == axis else None) for a in range(3))]
    high = volume[tuple(slice(at if a == axis else None, None) for a in range(3))]
    return low, high


@BUSY
@given(volume=label_volumes(), axis=st.integers(0, 2), spacing=spacings(), data=st.data())
def test_seam(volume: Array, axis: int, spacing: Any, data: st.DataObject) -> None:
    """Two parts that share a slice: merged, no label has more trees than it has components in the whole.

    A voxel that is alone in a part has no skeleton there, and may be all that joins two components.
    """
    at = data.draw(st.integers(0, volume.shape[axis] - 1))
    begin = np.eye(3, dtype=int)[axis] * at
    parts = [trace(half, spacing, const=2 * min(spacing), **NO_SOMA) for half in halves(volume, axis, at)]
    whole = [component.label for component in traced(volume, spacing)]
    lonely = set.union(*map(lonely_labels, halves(volume, axis, at)))
    for label in ({*parts[0], *parts[1]}) - lonely:
        pieces = [
            (part[label], start)
            for part, start in zip(parts, (0 * begin, begin), strict=True)
            if label in part
        ]
        assert merged_trees(pieces, spacing) <= whole.count(label)


# ---------------------------------------------------------------------------------------
# Units and offsets


@BUSY
@given(volume=label_volumes(), spacing=spacings(), power=st.integers(-9, 9), data=st.data())
def test_units(volume: Array, spacing: Any, power: int, data: st.DataObject) -> None:
    """All lengths times a power of two, which is exact: vertices and radii are that many times as large."""
    unit = 2.0**power
    options = data.draw(parameters(spacing, somas=True))
    lengths = ("const", "soma_detection_threshold", "soma_acceptance_threshold", "soma_invalidation_const")
    scaled = {name: value * unit if name in lengths else value for name, value in options.items()}
    one = trace(volume, spacing, **options)
    other = trace(volume, [side * unit for side in spacing], **scaled)
    assert sorted(one) == sorted(other)
    for label in one:
        assert np.array_equal(one[label].edges, other[label].edges)
        np.testing.assert_allclose(one[label].vertices * unit, other[label].vertices, rtol=1e-6)
        np.testing.assert_allclose(one[label].radius * unit, other[label].radius, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 0.01, 0.1, 10, 1000])
def test_units_of_ten(unit: float) -> None:
    """Nanometres, micrometres, millimetres: the cable has the same length in all of them."""
    volume = ball((60, 40, 40), (30, 20, 20), 9).astype(np.uint8)
    volume[2:58, 18:23, 17:22] = 1
    volume[28:33, 2:20, 17:22] = 1
    wanted = trace(volume, (1, 1, 1), const=2)[1]
    found = trace(volume, (unit,) * 3, const=2 * unit, **NO_SOMA)[1]
    assert found.cable_length() / unit == pytest.approx(wanted.cable_length(), rel=0.01)
    assert len(found.vertices) == pytest.approx(len(wanted.vertices), rel=0.01)
    assert len(found.terminals()) == len(wanted.terminals())
    assert found.radius.max() / unit == pytest.approx(wanted.radius.max(), rel=1e-5)


@BUSY
@given(volume=label_volumes(11), before=st.tuples(*[st.integers(1, 9)] * 3), data=st.data())
def test_offset(volume: Array, before: tuple[int, int, int], data: st.DataObject) -> None:
    """Background around everything moves the answer and changes nothing else, without border targets."""
    fix_branching = data.draw(st.booleans())
    after = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    spacing = (4, 2, 8)
    options = {"fix_borders": False, "const": 5, "fix_branching": fix_branching, **NO_SOMA}
    near = trace(np.pad(volume, 1), spacing, **options)
    far = trace(np.pad(volume, [*zip(before, after, strict=True)]), spacing, **options)
    assert sorted(near) == sorted(far)
    for label in near:
        shift = (np.array(before) - 1) * spacing
        assert np.array_equal(near[label].vertices + shift, far[label].vertices)
        assert np.array_equal(near[label].edges, far[label].edges)
        assert np.array_equal(near[label].radius, far[label].radius)


def test_thin_object_in_a_large_box() -> None:
    """A line of voxels along the diagonal of its box is found as it is, from an array and from a stream."""
    volume = empty(120, 120, 120)
    line = np.arange(5, 115)
    volume[line, line, line] = 3
    skeletons = trace(volume, (4, 4, 40), const=1)
    assert np.array_equal(skeletons[3].vertices, np.stack([line * 4, line * 4, line * 40], axis=1))
    assert (skeletons[3].radius == 4).all()
    assert_same(trace(crackle_zarr.compress(volume), (4, 4, 40), const=1), skeletons)
