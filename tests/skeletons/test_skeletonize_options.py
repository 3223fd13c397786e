"""What the options of skeletonize do, one by one; and bad arguments."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skeleton_cases import (
    NO_SOMA,
    Array,
    assert_same,
    ball,
    blobs,
    border_candidates,
    cells,
    check,
    check_forest,
    components,
    empty,
    graph,
    junction,
    label_volumes,
    penalty,
    porous,
    trace,
    traced,
    tubes,
    voxels_of,
)

import crackle_zarr
from crackle_zarr.skeletons import DimensionError, skeletonize

# What is taken for parameters that the caller leaves out.
DEFAULTS = {
    "scale": 1.5,
    "const": 300,
    "pdrf_scale": 100000,
    "pdrf_exponent": 4,
    "soma_acceptance_threshold": 3500,
    "soma_detection_threshold": 750,
    "soma_invalidation_const": 300,
    "soma_invalidation_scale": 2,
}


def only(skeletons: dict[int, Any]) -> Any:
    assert list(skeletons) == [1]
    return skeletons[1]


def tissue() -> Array:
    return cells((30, 28, 26), np.random.default_rng(11))


# ---------------------------------------------------------------------------------------
# Numbers of paths, and targets


def test_max_paths() -> None:
    """Paths are traced up to the limit, also if more border targets than that are asked for."""
    ends = [[0, 20, 15], [50, 70, 15], [100, 20, 15]]
    for limit, count in ((1, 2), (2, 3), (3, 3), (1000, 3)):
        skeleton = only(trace(junction(), max_paths=limit))
        found = skeleton.vertices[skeleton.terminals()].tolist()
        assert len(found) == count
        assert all(end in ends for end in found)
        assert check_forest(skeleton)[0] == 1
    assert trace(junction(), max_paths=0) == {}
    assert_same(trace(junction(), max_paths=1000), trace(junction()))
    assert_same(trace(junction(), max_paths=None), trace(junction()))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(volume=label_volumes(), fix_borders=st.booleans(), fix_branching=st.booleans())
def test_max_paths_only_adds(volume: Array, fix_borders: bool, fix_branching: bool) -> None:
    """A path more keeps what is there, and adds an end at most to each component."""
    options = {"const": 2, "fix_borders": fix_borders, "fix_branching": fix_branching, **NO_SOMA}
    before: dict[int, Any] = {}
    for limit in (1, 2, 3, 5):
        after = trace(volume, max_paths=limit, **options)
        assert after.keys() == {component.label for component in traced(volume, (1, 1, 1))}
        for label, skeleton in after.items():
            trees, _ = check_forest(skeleton)
            assert len(skeleton.terminals()) <= trees * (limit + 1)
            if label in before:
                old = {*map(tuple, before[label].vertices.tolist())}
                assert old <= {*map(tuple, skeleton.vertices.tolist())}
        before = after


def test_extra_targets() -> None:
    """Targets after the others add an end; those before them replace ends that would have been found."""
    volume = empty(80, 40, 40)
    volume[5:75, 10:30, 10:30] = 1
    target = (40, 29, 29)
    options = {"const": 10, "scale": 4}
    none, before, after = [
        only(trace(volume, **options, **extra))
        for extra in ({}, {"extra_targets_before": [target]}, {"extra_targets_after": [target]})
    ]
    assert list(target) not in none.vertices.tolist()
    for skeleton in (before, after):
        assert list(target) in skeleton.vertices.tolist()
        check(volume, {1: skeleton}, (1, 1, 1), scale=4)
    assert len(after.vertices) > len(none.vertices)
    assert len(before.vertices) < len(after.vertices)


@pytest.mark.parametrize("name", ["extra_targets_before", "extra_targets_after"])
def test_extra_targets_elsewhere(name: str) -> None:
    """Targets on background are ignored; those outside of the volume raise, and the message has them."""
    volume = junction()
    assert_same(trace(volume, **{name: [(0, 0, 0)]}), trace(volume))
    for outside, index in (
        ((101, 20, 15), 101),
        ((50, 71, 15), 71),
        ((50, 20, 31), 31),
        ((9999, 9999, 9999), 9999),
    ):
        with pytest.raises(IndexError, match=str(index)):
            trace(volume, **{name: [outside]})


def test_extra_targets_in_a_mapping() -> None:
    """The mapping that synapses_to_targets returns may be given as it is; so may an array."""
    volume = junction()
    wanted = trace(volume, extra_targets_after=[(50, 50, 20), (30, 16, 11)])
    assert [50, 50, 20] in wanted[1].vertices.tolist()
    assert_same(trace(volume, extra_targets_after={(50, 50, 20): 5, (30, 16, 11): 6}), wanted)
    assert_same(trace(volume, extra_targets_after=np.array([(50, 50, 20), (30, 16, 11)])), wanted)


def test_extra_targets_of_several_components() -> None:
    """A target goes to the component that it is on; order and repetition do not matter."""
    volume = tissue()
    targets = [(3, 3, 3), (15, 14, 13), (29, 27, 25), (3, 3, 3)]
    skeletons = trace(volume, extra_targets_after=targets, **NO_SOMA)
    for target in targets:
        assert list(target) in skeletons[int(volume[target])].vertices.tolist()


# ---------------------------------------------------------------------------------------
# Borders, branching


def test_without_fix_borders() -> None:
    """Without border targets, ends are the farthest voxels of the end faces, at their rims."""
    volume = empty(100, 40, 40)
    volume[:, 10:30, 10:30] = 1
    skeleton = only(trace(volume, fix_borders=False))
    ends = skeleton.vertices[skeleton.terminals()].tolist()
    assert all(y in (10, 29) and z in (10, 29) for _, y, z in ends)
    with_borders = only(trace(volume))
    assert with_borders.cable_length() < skeleton.cable_length()
    assert not np.array_equal(with_borders.vertices, skeleton.vertices)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([blobs, cells, porous, tubes]),
    spacing=st.sampled_from([(1, 1, 1), (16, 16, 40)]),
)
def test_without_fix_branching(seed: int, kind: Any, spacing: Any) -> None:
    """All paths are the cheapest from the root: costs along the tree are the smallest sums."""
    volume = np.pad(kind((12, 11, 10), np.random.default_rng(seed)), 1)
    numbers, _ = components(volume)
    options = {"fix_borders": False, "fix_branching": False, "pdrf_scale": 100.0, **NO_SOMA}
    skeletons = trace(numbers, spacing, scale=1, const=min(spacing), **options)
    first = trace(numbers, spacing, const=1e9, **options)
    for component in traced(numbers, spacing)[:3]:
        skeleton, path = skeletons[component.label], first[component.label]
        voxels = graph(component.mask)
        places = voxels.index(voxels_of(skeleton, spacing) - component.origin)
        ends = voxels.index(voxels_of(path, spacing)[path.terminals()] - component.origin)
        distance = component.distance[tuple(voxels.voxels.T)]
        assert any(costs_are_least(voxels, skeleton, places, distance, root, spacing) for root in ends)


def costs_are_least(
    voxels: Any, skeleton: Any, places: Array, distance: Array, root: int, spacing: Any
) -> bool:
    if root not in places:
        return False
    cost = penalty(distance, voxels.geodesic(root, spacing), 100.0, 4)
    along = np.full(len(places), np.nan)
    pending = [int(np.flatnonzero(places == root)[0])]
    along[pending[0]] = 0
    edges = np.concatenate([skeleton.edges, skeleton.edges[:, ::-1]]).astype(int)
    while pending:
        vertex = pending.pop()
        for near in edges[edges[:, 0] == vertex, 1]:
            if np.isnan(along[near]):
                along[near] = along[vertex] + cost[places[near]]
                pending.append(int(near))
    return bool(np.allclose(along, voxels.entering(cost, root)[places], rtol=1e-4))


# ---------------------------------------------------------------------------------------
# Labels and dust


def test_object_ids() -> None:
    """Only the labels asked for, as they are without the option; absent ones are no error."""
    volume = np.pad(tissue(), 1)
    everything = trace(volume)
    some = sorted(everything)[:2]
    for ids in (some, np.array(some, np.uint64), tuple(some), [*some, 4711], [*some, *some]):
        assert_same(trace(volume, object_ids=ids), {label: everything[label] for label in some})
        stream = crackle_zarr.compress(volume)
        assert_same(trace(stream, object_ids=ids), {label: everything[label] for label in some})
    assert trace(volume, object_ids=[]) == {}
    assert trace(volume, object_ids=[4711]) == {}
    assert_same(trace(volume, object_ids=None), everything)


def test_object_ids_make_other_labels_background() -> None:
    """Voids that another label fills count as voids, and faces as no boundary, whatever is asked for."""
    volume = tissue()
    for label in np.unique(volume).tolist():
        alone = np.where(volume == label, volume, 0)
        assert_same(trace(volume, object_ids=[label]), trace(alone))


def test_dust_threshold() -> None:
    """Components are kept if they have strictly more voxels, each component of a label for itself."""
    volume = empty(40, 30, 30)
    volume[2:12, 2:12, 2:12] = 1
    assert trace(volume, dust_threshold=1000) == {}
    assert list(trace(volume, dust_threshold=999)) == [1]
    volume[20:32, 2:12, 2:12] = 1
    check(volume, trace(volume, dust_threshold=1000), (1, 1, 1), 1000)
    assert check_forest(only(trace(volume, dust_threshold=1000)))[0] == 1
    assert check_forest(only(trace(volume, dust_threshold=999)))[0] == 2
    assert trace(volume, dust_threshold=volume.size) == {}
    assert list(trace(volume, dust_threshold=-1)) == [1]


# ---------------------------------------------------------------------------------------
# Holes and nuclei


def test_fill_holes() -> None:
    """A void of a component is filled, and components in it have no skeletons of their own."""
    volume = empty(60, 40, 40)
    volume[5:55, 5:35, 5:35] = 1
    whole = volume.copy()
    volume[15:25, 15:25, 15:25] = 0
    volume[17:23, 17:23, 17:23] = 2
    volume[30:45, 12:28, 12:28] = 3
    volume[35:40, 16:20, 16:20] = 1
    assert_same(trace(volume, fill_holes=True), trace(whole))
    assert sorted(trace(volume)) == [1, 2, 3]
    assert_same(trace(crackle_zarr.compress(volume), fill_holes=True), trace(whole))


def test_fill_holes_of_two_blocks() -> None:
    """Random labels within two blocks are swallowed by the blocks; those outside are not."""
    volume = empty(64, 30, 30).astype(np.uint16)
    rng = np.random.default_rng(5)
    volume[2:30, 2:28, 2:28], volume[32:62, 2:28, 2:28] = 1, 2
    whole = volume.copy()
    volume[6:26, 6:24, 6:24] = rng.integers(0, 50, (20, 18, 18))
    volume[36:58, 6:24, 6:24] = rng.integers(0, 50, (22, 18, 18))
    whole[0, 0, :3] = volume[0, 0, :3] = 77
    assert_same(trace(volume, fill_holes=True), trace(whole))
    assert sorted(trace(volume, fill_holes=True)) == [1, 2, 77]


def test_fill_holes_leaves_open_ones() -> None:
    """What reaches a face of the component's box through faces of voxels is no void.

    In an image, nothing is.
    """
    volume = empty(40, 40, 40)
    volume[5:35, 5:35, 5:35] = 1
    volume[15:25, 15:25, :25] = 0
    assert_same(trace(volume, fill_holes=True), trace(volume))
    image = empty(60, 60)
    image[5:55, 5:55] = 1
    image[20:40, 20:40] = 2
    assert_same(trace(image, fill_holes=True), trace(image))


AVOCADO = {"soma_detection_threshold": 15, "soma_acceptance_threshold": 100}


def avocado(nested: bool = False) -> tuple[Array, Array]:
    """A cell body with a nucleus, perhaps with a nucleolus, and one process; and the same in one label."""
    whole = ball((70, 50, 50), (25, 25, 25), 20).astype(np.uint8)
    whole[25:68, 23:28, 23:28] = 1
    volume = whole.copy()
    volume[ball(volume.shape, (25, 25, 25), 13)] = 2
    if nested:
        volume[ball(volume.shape, (25, 25, 25), 8)] = 3
    return volume, whole


@pytest.mark.parametrize("nested", [False, True])
def test_fix_avocados(nested: bool) -> None:
    """A nucleus with a label of its own, and what is in it, become part of the cell."""
    volume, whole = avocado(nested)
    skeletons = trace(volume, fix_avocados=True, **AVOCADO)
    assert_same(skeletons, trace(whole, **AVOCADO))
    assert sorted(trace(volume, **AVOCADO)) == ([1, 2, 3] if nested else [1, 2])
    assert_same(trace(crackle_zarr.compress(volume), fix_avocados=True, **AVOCADO), skeletons)


def test_fix_avocados_at_a_face() -> None:
    """A cell cut by a face of the volume is mended too: the ray out of the volume has no vote."""
    volume, whole = [np.asfortranarray(each[22:]) for each in avocado()]
    assert_same(trace(volume, fix_avocados=True, **AVOCADO), trace(whole, **AVOCADO))


def test_neighbours_are_no_avocados() -> None:
    """Large blocks side by side keep their labels."""
    volume = empty(60, 40, 40)
    volume[5:30, 5:35, 5:35] = 1
    volume[30:55, 5:35, 5:35] = 2
    assert_same(trace(volume, fix_avocados=True, **AVOCADO), trace(volume, **AVOCADO))


# ---------------------------------------------------------------------------------------
# Voxel graphs

FACES = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
DIAGONALS = [
    *[(1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0)],
    *[(1, 0, 1), (-1, 0, 1), (0, 1, 1), (0, -1, 1)],
    *[(1, 0, -1), (-1, 0, -1), (0, 1, -1), (0, -1, -1)],
]
CORNERS = [
    *[(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1)],
    *[(1, 1, -1), (-1, 1, -1), (1, -1, -1), (-1, -1, -1)],
]
BITS = {step: bit for bit, step in enumerate([*FACES, *DIAGONALS, *CORNERS])}


def voxel_graph(volume: Array, parted: Any = lambda low, high: np.zeros(len(low), bool)) -> Array:
    """Bits for the neighbours of the same label, but for steps that ``parted`` forbids."""
    bits = np.zeros(volume.shape, np.uint32, order="F")
    padded = np.pad(volume, 1)
    voxels = np.argwhere(volume)
    for step, bit in BITS.items():
        near = voxels + step
        open_ = (padded[tuple((near + 1).T)] == volume[tuple(voxels.T)]) & ~parted(voxels, near)
        bits[tuple(voxels.T)] |= np.where(open_, np.uint32(1 << bit), np.uint32(0))
    return bits


def test_voxel_graph_parts_a_bar() -> None:
    """A graph without steps across a plane makes two components."""
    volume = empty(60, 15, 15)
    volume[5:55, 2:13, 2:13] = 1
    bits = voxel_graph(volume, lambda one, other: (one[:, 0] < 30) != (other[:, 0] < 30))
    skeleton = only(trace(volume, voxel_graph=bits))
    trees, tree_of = check_forest(skeleton)
    assert trees == 2
    assert [*np.unique(np.stack([tree_of, skeleton.vertices[:, 0] < 30], axis=1), axis=0)[:, 0]] == [0, 1]


def test_voxel_graph_keeps_legs_apart() -> None:
    """Two legs of a label that touch along a plane.

    The path goes round the bend, and not through the plane.
    """
    volume = empty(80, 24, 14)
    volume[5:75, 2:22, 2:12] = 1

    def parted(one: Array, other: Array) -> Any:
        legs = np.maximum(one[:, 0], other[:, 0]) < 60
        return legs & ((one[:, 1] < 12) != (other[:, 1] < 12))

    bits = voxel_graph(volume, parted)
    skeleton = only(trace(volume, voxel_graph=bits, const=3))
    assert check_forest(skeleton)[0] == 1
    voxels = voxels_of(skeleton, (1, 1, 1))
    low, high = voxels[skeleton.edges[:, 0].astype(int)], voxels[skeleton.edges[:, 1].astype(int)]
    assert not parted(low, high).any()
    assert abs(low - high).max() == 1
    ends = voxels[skeleton.terminals()]
    at_left = ends[ends[:, 0] == 5]
    assert {bool(y < 12) for _, y, _ in at_left} == {True, False}
    assert skeleton.cable_length() > 115
    # Radii see the plane: each leg is ten voxels wide, and the whole is twenty.
    assert skeleton.radius[voxels[:, 0] < 50].max() <= 5.5


def test_voxel_graph_of_another_shape() -> None:
    """The graph has one entry for each voxel."""
    with pytest.raises(ValueError, match=r"voxel_graph|shape"):
        trace(junction(), voxel_graph=np.zeros((3, 3, 3), np.uint32))


# ---------------------------------------------------------------------------------------
# Parameters


def test_parameters_left_out() -> None:
    """There is one set of defaults: it stands in for any parameter that is left out, or for all."""
    volume = ball((60, 60, 60), (30, 30, 30), 12).astype(np.uint8)
    volume[2:58, 28:33, 28:33] = 1
    spacing = (80, 80, 80)
    wanted = trace(volume, spacing, **DEFAULTS)
    assert_same(skeletonize(volume, anisotropy=spacing, progress=False), wanted)
    assert_same(skeletonize(volume, {}, spacing, progress=False), wanted)
    for name in DEFAULTS:
        rest = {other: value for other, value in DEFAULTS.items() if other != name}
        assert_same(skeletonize(volume, rest, spacing, progress=False), wanted)
    assert_same(
        skeletonize(volume, {"scale": 4}, spacing, progress=False),
        trace(volume, spacing, **{**DEFAULTS, "scale": 4}),
    )


def test_parameters_are_kept() -> None:
    """The caller's dictionary is not changed."""
    given_parameters = {"scale": 2}
    skeletonize(junction(), given_parameters, progress=False)
    assert given_parameters == {"scale": 2}


def test_signature() -> None:
    """Scripts written for Kimimaro pass arguments by position as well as by name."""
    names = [
        *(
            "all_labels",
            "teasar_params",
            "anisotropy",
            "object_ids",
            "dust_threshold",
            "progress",
            "fix_branching",
        ),
        *("in_place", "fix_borders", "parallel", "parallel_chunk_size", "extra_targets_before"),
        *("extra_targets_after", "fill_holes", "fix_avocados", "voxel_graph"),
    ]
    signature = inspect.signature(skeletonize).parameters
    assert [*signature][: len(names)] == names
    values = {name: signature[name].default for name in names[2:]}
    assert values["anisotropy"] == (1, 1, 1)
    assert values["dust_threshold"] == 1000
    assert [name for name, value in values.items() if value is True] == [
        "progress",
        "fix_branching",
        "fix_borders",
    ]


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed without progress, and the answer is the same with it."""
    quiet = trace(junction(), progress=False)
    assert capsys.readouterr() == ("", "")
    assert_same(trace(junction(), progress=True), quiet)
    assert capsys.readouterr().out == "", "progress belongs on standard error"


@pytest.mark.parametrize("name", ["scael", "max_path", "soma"])
def test_unknown_parameter(name: str) -> None:
    """An unknown parameter raises TypeError, and the message has its name."""
    with pytest.raises(TypeError, match=name):
        skeletonize(junction(), {name: 1}, progress=False)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "O", "S1", "M8[s]"])
def test_volumes_of_other_kinds(dtype: str) -> None:
    """Labels are integers: anything else raises TypeError, and the message has the dtype."""
    volume = np.zeros((5, 5, 5), dtype)
    with pytest.raises(TypeError, match=str(np.dtype(dtype)).split("[")[0].strip("|<")):
        skeletonize(volume, progress=False)


@pytest.mark.parametrize(
    "anisotropy",
    [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1, float("inf")), (1, 1), (1, 1, 1, 1), ()],
)
def test_bad_anisotropy(anisotropy: tuple[float, ...]) -> None:
    """Three positive, finite numbers are needed; the message has what was given."""
    with pytest.raises(ValueError, match="anisotropy"):
        skeletonize(junction(), anisotropy=anisotropy, progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", float("nan")),
        ("const", float("nan")),
        ("pdrf_scale", float("nan")),
        ("pdrf_exponent", float("nan")),
        ("soma_detection_threshold", float("nan")),
    ],
)
def test_bad_parameters(name: str, value: float) -> None:
    """A parameter that is no number raises, and the message has its name."""
    with pytest.raises(ValueError, match=name):
        skeletonize(junction(), {name: value}, progress=False)


def test_damaged_stream() -> None:
    """A stream that is cut raises the package's error for bad streams, and not another."""
    stream = crackle_zarr.compress(junction())
    with pytest.raises(crackle_zarr.CrackleError):
        skeletonize(stream[: len(stream) // 2], progress=False)


def test_border_targets_may_be_interior() -> None:
    """Each contact with a face has a vertex, also where a later path passes through it."""
    volume = tissue()
    skeletons = trace(volume, const=4)
    numbers, labels = components(volume)
    for number, candidates in border_candidates(numbers, (1, 1, 1)):
        vertices = {*map(tuple, voxels_of(skeletons[labels[number - 1]], (1, 1, 1)).tolist())}
        assert {*map(tuple, candidates.tolist())} & vertices


def test_dimension_error_has_the_shape() -> None:
    """The message has the shape that was given."""
    with pytest.raises(DimensionError, match="2"):
        skeletonize(np.ones((3, 4, 5, 2), np.uint8), progress=False)
