"""Repairs of skeletons: properties on random graphs, oracles, and known small cases."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackle_zarr import skeletons as ks
from crackle_zarr._binding import skeleton_graphs as graphs


def graph_of(skeleton: ks.Skeleton) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(len(skeleton.vertices)))
    graph.add_edges_from(skeleton.edges.tolist())
    return graph


@st.composite
def random_skeletons(draw: st.DrawFn) -> ks.Skeleton:
    """Up to 30 vertices on a small grid, some at the same place, and any edges between them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 30))
    vertices = rng.integers(0, 12, (count, 3)) * rng.choice([1.0, 10.0])
    edges = rng.integers(0, count, (draw(st.integers(0, 60)), 2))
    return ks.Skeleton(vertices, edges, radii=rng.choice([-1, 0.5, 3, 20], count), segid=7)


thresholds = st.sampled_from([0, 1, 5, 30, 50])


@settings(max_examples=300, deadline=None)
@given(random_skeletons(), thresholds, thresholds)
def test_properties(skeleton: ks.Skeleton, dust: float, tick: float) -> None:
    """The result is a forest of no more components, without dust or ticks; doing it again changes nothing."""
    made = ks.postprocess(skeleton, dust, tick)
    graph = graph_of(made)
    assert nx.is_forest(graph) if len(graph) else len(made.edges) == 0
    before = [one for one in skeleton.consolidate().components() if one.cable_length() > dust]
    assert len(made.components()) <= len(before)
    assert made.id == 7
    for component in made.components():
        assert component.cable_length() > dust or dust == 0
        paths = component.interjoint_paths(return_indices=True)
        degrees = component.degrees()
        for path in paths:
            is_end = (degrees[path[0]] == 1) != (degrees[path[-1]] == 1)
            places = component.vertices[path].astype(np.float64)
            length = np.linalg.norm(np.diff(places, axis=0), axis=1).sum()
            assert not is_end or length >= tick * (1 - 1e-6)
    assert ks.postprocess(made, dust, tick) == made


@settings(max_examples=200, deadline=None)
@given(random_skeletons())
def test_opened_loops(skeleton: ks.Skeleton) -> None:
    """Opening loops joins nothing, and cuts nothing off that has a branch."""
    whole = skeleton.consolidate()
    left = graphs.remove_loops(whole.vertices, whole.radius, whole.edges)
    after = nx.Graph(left.tolist())
    assert not len(after) or nx.is_forest(after)
    for component in nx.connected_components(graph_of(whole)):
        kept = component & set(after)
        assert len({frozenset(nx.node_connected_component(after, one)) for one in kept}) <= 1


def distances(skeleton: ks.Skeleton) -> np.ndarray:
    places = skeleton.vertices.astype(np.float64)
    return np.linalg.norm(places[:, None] - places[None], axis=2)


def closest_pairs(skeleton: ks.Skeleton) -> dict[tuple[int, int], tuple[float, int, int]]:
    """For every two components, the distance of their closest vertices, and these."""
    count, numbers = graphs.component_numbers(len(skeleton.vertices), skeleton.edges)
    apart, found = distances(skeleton), {}
    for one, other in itertools.combinations(range(count), 2):
        own, theirs = np.flatnonzero(numbers == one), np.flatnonzero(numbers == other)
        found[one, other] = min((apart[a, b], min(a, b), max(a, b)) for a in own for b in theirs)
    return found


@settings(max_examples=200, deadline=None)
@given(random_skeletons(), st.sampled_from([2.0, 12.0, np.inf]), st.booleans())
def test_joins(skeleton: ks.Skeleton, radius: float, restrict: bool) -> None:
    """The joins are those of taking the closest pair again and again."""
    whole = skeleton.consolidate()
    _, numbers = graphs.component_numbers(len(whole.vertices), whole.edges)
    sets, expected = nx.utils.UnionFind(range(len(whole.vertices))), set()
    for (one, other), (apart, a, b) in sorted(closest_pairs(whole).items(), key=lambda item: item[1]):
        reach = whole.radius[a] + whole.radius[b] if min(whole.radius[a], whole.radius[b]) >= 0 else -1.0
        if apart > radius or (restrict and apart > reach) or sets[one] == sets[other]:
            continue
        sets.union(one, other)
        expected.add((a, b))
    found = graphs.joins(whole.vertices, whole.radius, whole.edges, radius, restrict)
    assert {tuple(edge) for edge in found.tolist()} == expected
    assert all(numbers[a] != numbers[b] for a, b in expected)


def line(*points: tuple[float, float, float]) -> ks.Skeleton:
    return ks.Skeleton.from_path(np.array(points, np.float32))


class TestJoinCloseComponents:
    @pytest.mark.parametrize(("radius", "count"), [(np.inf, 1), (None, 1), (9, 1), (8.5, 2)])
    def test_radius(self, radius: float | None, count: int) -> None:
        """The distance may be as large as the radius."""
        joined = ks.join_close_components([line((0, 0, 0), (1, 0, 0)), line((10, 0, 0), (11, 0, 0))], radius)
        assert len(joined.components()) == count
        assert len(joined.edges) == 2 + (count == 1)

    def test_four_pieces(self) -> None:
        """Each is joined to the nearest, so that no edge is longer than it has to be."""
        pieces = [line((x, 0, 0), (x + 1, 0, 0)) for x in (0, 3, 7, 12)]
        joined = ks.join_close_components(pieces)
        assert joined.edges.tolist() == [[i, i + 1] for i in range(7)]

    @pytest.mark.parametrize(("radii", "count"), [((4.0, 5.0), 1), ((4.0, 4.9), 2), ((-1.0, 50.0), 2)])
    def test_by_radius(self, radii: tuple[float, float], count: int) -> None:
        """Balls have to touch; a radius that is not known does not."""
        one, other = line((0, 0, 0), (1, 0, 0)), line((10, 0, 0), (11, 0, 0))
        one.radius[:], other.radius[:] = radii
        joined = ks.join_close_components([one, other], restrict_by_radius=True)
        assert len(joined.components()) == count

    def test_the_closest_pair_decides(self) -> None:
        """Balls of vertices that are not the closest do not count."""
        one, other = line((0, 0, 0), (0, 20, 0)), line((5, 0, 0), (9, 20, 0))
        one.radius[:] = [1, 5]
        other.radius[:] = [1, 5]
        assert len(ks.join_close_components([one, other], restrict_by_radius=True).components()) == 2

    def test_nothing(self) -> None:
        """Without skeletons there is an empty one."""
        assert ks.join_close_components([]).empty()
        assert ks.join_close_components([ks.Skeleton()]).empty()

    @pytest.mark.parametrize("radius", [0, -1, np.nan])
    def test_wrong_radius(self, radius: float) -> None:
        """A radius is above 0."""
        with pytest.raises(ValueError, match="radius"):
            ks.join_close_components(line((0, 0, 0), (1, 0, 0)), radius)

    def test_attributes_stay(self) -> None:
        """Vertices keep what they have."""
        one = line((0, 0, 0), (1, 0, 0))
        one.add_attribute("weight", np.array([3, 4], np.uint16))
        joined = ks.join_close_components(one)
        assert joined.weight.tolist() == [3, 4]


class TestPostprocess:
    def test_a_loop_alone(self) -> None:
        """A cycle without branches goes; two lines whose radii are not known stay apart."""
        cycle = ks.Skeleton([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1], [1, 2], [2, 3], [3, 0]])
        lines = [line((5, 0, 0), (6, 0, 0)), line((9, 0, 0), (10, 0, 0))]
        made = ks.postprocess(ks.Skeleton.simple_merge([cycle, *lines]), 0, 0)
        assert made.vertices[:, 0].tolist() == [5, 6, 9, 10]
        assert len(made.edges) == 2

    def test_ticks_do_not_split(self) -> None:
        """An H with a long bar and short legs stays one piece: its bar is no tick."""
        legs = [[0, 0, 0], [0, 10, 0], [0, -10, 0], [100, 0, 0], [100, 10, 0], [100, -10, 0]]
        made = ks.postprocess(ks.Skeleton(legs, [[0, 1], [0, 2], [0, 3], [3, 4], [3, 5]]), 0, 1000)
        assert len(made.components()) == 1
        assert made.cable_length() >= 100

    def test_ticks_are_strictly_shorter(self) -> None:
        """An end as long as the threshold stays."""
        cross = [[0, 0, 0], [-50, 0, 0], [50, 0, 0], [0, 10, 0]]
        skeleton = ks.Skeleton(cross, [[0, 1], [0, 2], [0, 3]])
        assert len(ks.postprocess(skeleton, 0, 10).terminals()) == 3
        assert len(ks.postprocess(skeleton, 0, 10.001).terminals()) == 2

    def test_dust_is_not_longer(self) -> None:
        """A component as long as the threshold goes."""
        skeleton = line((0, 0, 0), (10, 0, 0))
        assert ks.postprocess(skeleton, 10, 0).empty()
        assert len(ks.postprocess(skeleton, 9.999, 0).vertices) == 2

    def test_physical_lengths(self) -> None:
        """Thresholds are physical, also of a skeleton in voxels, which stays in voxels."""
        transform = np.diag([10, 10, 10, 1])[:3]
        skeleton = ks.Skeleton([[0, 0, 0], [5, 0, 0]], [[0, 1]], transform=transform, space="voxel")
        made = ks.postprocess(skeleton, 49, 0)
        assert made.space == "voxel"
        assert made.vertices[:, 0].tolist() == [0, 5]
        assert ks.postprocess(skeleton, 50, 0).empty()

    def test_the_input_stays(self) -> None:
        """The skeleton that is given is not changed."""
        skeleton = line((0, 0, 0), (1, 0, 0), (2, 0, 0))
        before = skeleton.clone()
        ks.postprocess(skeleton, 100, 100)
        assert skeleton == before

    @pytest.mark.parametrize("options", [{"dust_threshold": -1}, {"tick_threshold": np.nan}])
    def test_wrong_thresholds(self, options: dict[str, float]) -> None:
        """A threshold is a length from 0 on."""
        with pytest.raises(ValueError, match="threshold"):
            ks.postprocess(line((0, 0, 0), (1, 0, 0)), **options)

    def test_many_loops_and_pieces(self) -> None:
        """A ladder of 50,000 rungs, and 20,000 pieces: were anything quadratic, this would not end."""
        count = 50_000
        along = np.arange(count)
        rail = np.column_stack([along, 0 * along, 0 * along])
        tails = [[-5, 0, 0], [count + 5, 0, 0]]
        steps = np.column_stack([along[:-1], along[1:]])
        rungs = np.column_stack([along, along + count])
        ends = [[0, 2 * count], [count - 1, 2 * count + 1]]
        made = ks.postprocess(
            ks.Skeleton(
                np.concatenate([rail, rail + np.array([0, 1, 0]), tails]),
                np.concatenate([steps, steps + count, rungs, ends]),
                radii=np.full(2 * count + 2, 0.1),
            ),
            0,
            0,
        )
        assert len(made.components()) == 1
        assert len(made.edges) == len(made.vertices) - 1
        assert made.cable_length() > count

        place = np.arange(20_000)
        ends = np.column_stack([place % 200, place // 200, 0 * place]) * 10.0
        pieces = np.concatenate([ends, ends + np.array([1, 0, 0])])
        skeleton = ks.Skeleton(
            pieces, np.column_stack([place, place + len(place)]), radii=np.full(len(pieces), 5)
        )
        assert len(ks.postprocess(skeleton, 0, 0).components()) == 1


@pytest.mark.parametrize(
    "work",
    [
        lambda edges: graphs.consolidate(np.zeros((3, 3), np.float32), edges),
        lambda edges: graphs.component_numbers(3, edges),
        lambda edges: graphs.interjoint_paths(3, edges),
        lambda edges: graphs.root_paths(3, edges),
        lambda edges: graphs.orient(3, edges),
        lambda edges: graphs.remove_loops(np.zeros((3, 3), np.float32), np.ones(3, np.float32), edges),
        lambda edges: graphs.joins(np.zeros((3, 3), np.float32), np.ones(3, np.float32), edges, 1.0, False),
        lambda edges: graphs.remove_ticks(np.zeros((3, 3), np.float32), edges, 1.0),
    ],
)
def test_edges_name_vertices(work: object) -> None:
    """An edge to a vertex that does not exist is an error that names it."""
    with pytest.raises(ValueError, match="vertex 3, but there are 3"):
        work(np.array([[0, 1], [1, 3]], np.uint32))  # type: ignore[operator]
