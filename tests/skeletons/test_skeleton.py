"""The class Skeleton: graphs in space, their parts, their files and tables."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackle_zarr import skeletons as ks
from crackle_zarr.skeletons import Skeleton


@st.composite
def forests(draw: st.DrawFn) -> Skeleton:
    """Trees with radii, types and a further attribute, in either space; some vertices without edges."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 40))
    parents = [(rng.integers(0, i), i) for i in range(1, count) if rng.random() < 0.85]
    places = rng.permutation(1000)[:count]
    vertices = np.column_stack([places % 10, places // 10 % 10, places // 100]) * 16.25 - 40
    size = rng.choice([0.5, 1.0, 40.0], 3)
    made = Skeleton(
        vertices,
        np.array(parents, np.uint32).reshape(-1, 2),
        radii=np.round(rng.random(count) * 100, 3),
        vertex_types=rng.integers(0, 8, count),
        segid=draw(st.sampled_from([0, 7, 2**63])),
        transform=np.column_stack([np.diag(size), rng.choice([0.0, -5.0], 3)]),
        space=draw(st.sampled_from(["voxel", "physical"])),
    )
    if draw(st.booleans()):
        made.add_attribute("area", rng.random(count).astype(np.float32))
    return made


def same_graph(one: Skeleton, other: Skeleton, decimals: int | None = None) -> bool:
    """Whether two graphs are the same but for the order of vertices."""

    def edges(skeleton: Skeleton) -> set[frozenset[tuple[float, ...]]]:
        places = skeleton.vertices.astype(np.float64)
        rows = np.column_stack([places, skeleton.radius, skeleton.vertex_types])
        rounded = rows if decimals is None else np.round(rows, decimals)
        named = [tuple(row) for row in rounded.tolist()]
        return {frozenset((named[a], named[b])) for a, b in skeleton.edges.tolist()} | {
            frozenset((one,)) for one in named
        }

    return edges(one) == edges(other)


class TestSwc:
    @settings(max_examples=150, deadline=None)
    @given(forests())
    def test_round_trip(self, skeleton: Skeleton) -> None:
        """Graph, radii, types, id, space and transform come back, to six decimals."""
        back = Skeleton.from_swc(skeleton.to_swc("who"))
        assert same_graph(back, skeleton, 5)
        assert (back.id, back.space) == (skeleton.id, skeleton.space)
        np.testing.assert_array_equal(back.transform, skeleton.transform)

    def test_roots(self) -> None:
        """A tree hangs from its soma, or from its thickest end."""
        skeleton = Skeleton([[i, 0, 0] for i in range(4)], [[0, 1], [1, 2], [2, 3]], radii=[1, 9, 9, 2])
        rows = [line.split() for line in skeleton.to_swc().splitlines() if line and line[0] != "#"]
        assert rows[0][2:] == ["3.000000", "0.000000", "0.000000", "2.000000", "-1"]
        assert [int(row[6]) for row in rows] == [-1, 1, 2, 3]
        skeleton.vertex_types[1] = 1
        rows = [line.split() for line in skeleton.to_swc().splitlines() if line and line[0] != "#"]
        assert rows[0][1:3] == ["1", "1.000000"]
        assert sum(row[6] == "-1" for row in rows) == 1

    def test_a_cycle_loses_an_edge(self) -> None:
        """SWC holds trees."""
        cycle = Skeleton([[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 1], [1, 2], [2, 0]])
        assert len(Skeleton.from_swc(cycle.to_swc()).edges) == 2

    def test_others_files(self) -> None:
        """Any white space, any order, parents that come later, windows' ends of lines, and fractions."""
        text = "# ORIGINAL\r\n\r\n  5\t3 1.5 2 3e1  0.25 9\r\n# SCALE 2 2 4\r\n9 1 0 0 0 4 -1\r\n"
        made = Skeleton.from_swc(text)
        assert made.vertices.tolist() == [[1.5, 2, 30], [0, 0, 0]]
        assert made.edges.tolist() == [[1, 0]]
        assert made.space == "physical"
        assert made.transform.diagonal().tolist() == [2, 2, 4]
        assert Skeleton.from_swc("1 0 0 0 0 1 -1").space == "voxel"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 0 0 0 0 1", "line 1 is no vertex"),
            ("\n1 0 x 0 0 1 -1", "line 2 is no vertex"),
            ("1 0 0 0 0 1 -1\n1 0 0 0 0 1 -1", "line 2: there are two vertices with the number 1"),
            ("1 0 0 0 0 1 8", "line 1: there is no vertex 8"),
            ("1 300 0 0 0 1 -1", "line 1: the type"),
        ],
    )
    def test_errors(self, text: str, message: str) -> None:
        """An error names the line."""
        with pytest.raises(ValueError, match=message):
            Skeleton.from_swc(text)


class TestPrecomputed:
    def test_size(self) -> None:
        """40 vertices and 39 edges take 1000 bytes."""
        line = Skeleton.from_path(np.arange(120).reshape(40, 3))
        assert len(line.to_precomputed()) == 1000

    @settings(max_examples=100, deadline=None)
    @given(forests())
    def test_round_trip(self, skeleton: Skeleton) -> None:
        """All attributes come back exactly."""
        data = skeleton.to_precomputed()
        back = Skeleton.from_precomputed(data, skeleton.id, skeleton.extra_attributes)
        back.space, back.transform = skeleton.space, skeleton.transform
        assert back == skeleton

    @pytest.mark.parametrize("cut", [0, 7, 8, 20, -1])
    def test_wrong_lengths(self, cut: int) -> None:
        """Every truncation is an error."""
        data = Skeleton.from_path(np.arange(30).reshape(10, 3)).to_precomputed()
        with pytest.raises(ValueError, match="bytes"):
            Skeleton.from_precomputed(data[:cut])

    def test_edges_are_checked(self) -> None:
        """An edge to a vertex that does not exist is an error."""
        data = np.array([1, 1], "<u4").tobytes() + bytes(12) + np.array([0, 5], "<u4").tobytes() + bytes(5)
        with pytest.raises(ValueError, match="vertex 5"):
            Skeleton.from_precomputed(data)

    def test_folder(self, tmp_path: Path) -> None:
        """A folder has physical coordinates, and one file for each skeleton, besides its info."""
        transform = np.diag([2, 2, 4, 1])[:3]
        given = [
            Skeleton([[0, 0, 0], [1, 1, 1]], [[0, 1]], segid=number, transform=transform, radii=[1, 2])
            for number in (5, 2**64 - 1)
        ]
        assert ks.write_folder(tmp_path / "a", given) == 2
        back = list(ks.read_folder(tmp_path / "a"))
        assert [one.id for one in back] == [5, 2**64 - 1]
        assert back[0].vertices.tolist() == [[0, 0, 0], [2, 2, 4]]
        with pytest.raises(ValueError, match="id"):
            ks.write_folder(tmp_path / "b", [Skeleton()])


class TestTables:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(forests(), max_size=4))
    def test_round_trip(self, given_skeletons: list[Skeleton]) -> None:
        """Skeletons of one space come back the same."""
        pytest.importorskip("pyarrow")
        skeletons = {}
        for number, one in enumerate(given_skeletons):
            one.id = [-5, 0, 7, 2**40][number]
            one.space, one.transform = "physical", given_skeletons[0].transform
            if not hasattr(one, "area"):
                one.add_attribute("area", np.zeros(len(one.vertices), np.float32))
            skeletons[one.id] = one
        back = ks.from_arrow(*ks.to_arrow(skeletons))
        assert back == skeletons

    def test_parquet(self, tmp_path: Path) -> None:
        """Vertices and edges are two files; wide attributes and huge labels survive."""
        pytest.importorskip("pyarrow")
        one = Skeleton([[0, 0, 0], [1, 2, 3]], [[0, 1]], segid=2**64 - 2, space="physical")
        one.add_attribute("colour", np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
        ks.to_parquet([one], tmp_path / "all.parquet")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["all.edges.parquet", "all.parquet"]
        assert ks.from_parquet(tmp_path / "all.parquet") == {2**64 - 2: one}

    def test_errors(self) -> None:
        """What cannot be in one table is named."""
        pytest.importorskip("pyarrow")
        one, other = Skeleton([[0, 0, 0]], segid=1), Skeleton([[0, 0, 0]], segid=1)
        with pytest.raises(ValueError, match="two skeletons with the id 1"):
            ks.to_arrow([one, other])
        with pytest.raises(ValueError, match="id"):
            ks.to_arrow([Skeleton()])
        other.id, other.space = 2, "physical"
        with pytest.raises(ValueError, match="space"):
            ks.to_arrow([one, other])


class TestGraph:
    @settings(max_examples=150, deadline=None)
    @given(forests())
    def test_parts(self, skeleton: Skeleton) -> None:
        """Components, ends, branches and lengths are those of networkx."""
        graph = skeleton.to_networkx()
        degrees = dict(graph.degree())
        assert skeleton.terminals().tolist() == [v for v in graph if degrees[v] == 1]
        assert skeleton.branches().tolist() == [v for v in graph if degrees[v] >= 3]
        before = skeleton.clone()
        assert skeleton.cable_length() == pytest.approx(sum(w for _, _, w in graph.edges(data="weight")))
        assert skeleton == before
        sizes = sorted(len(one) for one in nx.connected_components(graph) if len(one) > 1)
        parts = skeleton.components()
        assert sorted(len(one.vertices) for one in parts) == sizes
        assert sum(one.cable_length() for one in parts) == pytest.approx(skeleton.cable_length())
        segments = skeleton.interjoint_paths(return_indices=True)
        assert sum(len(path) - 1 for path in segments) == len(skeleton.edges)
        paths = skeleton.paths()
        assert len(paths) == sum(
            max(sum(degrees[v] == 1 for v in one) - 1, 1)
            for one in nx.connected_components(graph)
            if len(one) > 1
        ) or any(degrees[v] > 1 for v in graph)

    @settings(max_examples=100, deadline=None)
    @given(forests())
    def test_consolidate(self, skeleton: Skeleton) -> None:
        """Every place once, in order; merging a skeleton with itself adds nothing."""
        whole = skeleton.consolidate()
        assert whole == whole.consolidate()
        assert whole.vertices.tolist() == sorted(whole.vertices.tolist())
        assert all(a < b for a, b in whole.edges.tolist())
        twice = Skeleton.simple_merge([skeleton, skeleton])
        assert len(twice.vertices) == 2 * len(skeleton.vertices)
        assert twice.consolidate() == whole
        assert Skeleton.equivalent(twice, skeleton)

    def test_merging_converts_space(self) -> None:
        """The first decides the space; attributes have to be the same."""
        transform = np.diag([2, 2, 2, 1])[:3]
        one = Skeleton([[0, 0, 0], [2, 0, 0]], [[0, 1]], transform=transform, space="physical")
        other = Skeleton([[1, 0, 0], [2, 0, 0]], [[0, 1]], transform=transform, space="voxel")
        merged = one.merge(other)
        assert merged.vertices[:, 0].tolist() == [0, 2, 4]
        other.add_attribute("area", np.zeros(2))
        with pytest.raises(ks.SkeletonAttributeMixingError, match="area"):
            one.merge(other)

    @settings(max_examples=100, deadline=None)
    @given(forests(), st.integers(1, 6))
    def test_downsample_and_smooth(self, skeleton: Skeleton, n: int) -> None:
        """Ends, branches, space, transform, id and the shape of radii stay."""
        for made in (skeleton.downsample(n), skeleton.average_smoothing(n, check_boundary=False)):
            assert (made.space, made.id) == (skeleton.space, skeleton.id)
            np.testing.assert_array_equal(made.transform, skeleton.transform)
            assert made.radius.shape == (len(made.vertices),)
            ends = {tuple(place) for place in skeleton.vertices[skeleton.terminals()].tolist()}
            assert ends == {tuple(place) for place in made.vertices[made.terminals()].tolist()}
            assert len(made.components()) == len(skeleton.components())
        if n == 1:
            assert same_graph(skeleton.downsample(1), skeleton)

    def test_smoothing_means(self) -> None:
        """A bump is flattened, and a vertex does not leave its ball unless that is allowed."""
        bump = Skeleton(
            [[i, 5 if i == 5 else 0, 0] for i in range(11)],
            [[i, i + 1] for i in range(10)],
            radii=np.full(11, 1),
        )
        with pytest.raises(ValueError, match="vertex 5 would move"):
            bump.average_smoothing(3)
        smooth = bump.average_smoothing(3, check_boundary=False, shrink_radii=True)
        assert smooth.vertices[:, 1].max() < 2
        assert smooth.radius[5] == 0
        for wrong in (0, 1.5, True):
            with pytest.raises(ValueError, match="integer from 1 on"):
                bump.average_smoothing(wrong)
            with pytest.raises(ValueError, match="integer from 1 on"):
                bump.downsample(wrong)

    def test_boxes(self) -> None:
        """Both corners of a crop are inside; chunks of a grid have every vertex once."""
        line = Skeleton.from_path([[i, 0, 0] for i in range(10)])
        box = SimpleNamespace(minpt=(2, 0, 0), maxpt=(5, 1, 1))
        for given_box in (box, [2, 0, 0, 5, 1, 1], [(2, 0, 0), (5, 1, 1)]):
            assert line.crop(given_box).vertices[:, 0].tolist() == [2, 3, 4, 5]
        chunks = line.chunk((4, 4, 4))
        assert {key: len(one.vertices) for key, one in chunks.items()} == {
            (0, 0, 0): 4,
            (1, 0, 0): 4,
            (2, 0, 0): 2,
        }

    @settings(max_examples=50, deadline=None)
    @given(forests())
    def test_spaces(self, skeleton: Skeleton) -> None:
        """There and back again."""
        other = skeleton.voxel_space() if skeleton.space == "physical" else skeleton.physical_space()
        assert other.space != skeleton.space
        back = other.physical_space() if skeleton.space == "physical" else other.voxel_space()
        np.testing.assert_allclose(back.vertices, skeleton.vertices, atol=1e-3)

    @settings(max_examples=30, deadline=None)
    @given(forests())
    def test_copies(self, skeleton: Skeleton) -> None:
        """Copies and pickles are equal, and share nothing."""
        for other in (skeleton.clone(), copy.deepcopy(skeleton), pickle.loads(pickle.dumps(skeleton))):
            assert other == skeleton
            other.vertices[0] += 1
            assert other != skeleton

    def test_import_attributes(self) -> None:
        """Values come over where a vertex lies at the same place."""
        one, other = Skeleton.from_path([[0, 0, 0], [1, 0, 0]]), Skeleton.from_path([[1, 0, 0], [2, 0, 0]])
        other.radius[:] = [8, 9]
        other.add_attribute("area", np.array([3, 4], np.float32))
        one.import_attributes(other)
        assert one.radius.tolist() == [-1, 8]
        assert one.area.tolist() == [0, 3]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"vertices": [[1, 2]]}, "rows of 3"),
            ({"vertices": [[0, 0, 0]], "edges": [[0, 1]]}, "vertex 1"),
            ({"vertices": [[0, 0, 0]], "edges": [[0, -1]]}, "there is -1"),
            ({"vertices": [[0, 0, 0]], "radii": [1, 2]}, "radius has 2 values"),
            ({"space": "other"}, "space is 'voxel' or 'physical'"),
            ({"vertices": [[0, 0, 0]], "area": [1, 2]}, "area has 2 values"),
        ],
    )
    def test_errors(self, arguments: dict[str, Any], message: str) -> None:
        """An error says what was given."""
        with pytest.raises(ValueError, match=message):
            Skeleton(**arguments)

    def test_osteoid(self) -> None:
        """To osteoid's class and back, where it is installed."""
        pytest.importorskip("osteoid")
        one = Skeleton([[0, 0, 0], [1, 2, 3]], [[0, 1]], radii=[1, 2], segid=5, space="physical")
        theirs = one.to_osteoid()
        assert theirs.cable_length() == pytest.approx(one.cable_length())
        assert Skeleton.from_osteoid(theirs) == one


class TestImages:
    def test_there_and_back(self) -> None:
        """A thinned image becomes its graph, and the graph its image."""
        image = np.zeros((6, 5, 4), np.uint8)
        image[1:5, 2, 2] = image[4, 2:4, 3] = 1
        made = ks.extract_skeleton_from_binary_image(image)
        assert len(made.vertices) == image.sum()
        assert (made.radius == -1).all()
        np.testing.assert_array_equal(ks.draw_skeletons([made], image.shape) != 0, image != 0)

    def test_neighbours(self) -> None:
        """All 26 neighbours are joined, triangles stay, and a voxel alone is no vertex."""
        image = np.zeros((9, 3, 3), bool)
        image[:3] = True
        image[8, 2, 2] = True
        made = ks.extract_skeleton_from_binary_image(image)
        assert len(made.vertices) == 27
        assert len(made.edges) == 158  # 54 faces, 72 edges and 32 corners
        assert ks.extract_skeleton_from_binary_image(np.zeros((3, 3))[:0].astype(bool)).empty()

    def test_labels_and_bounds(self) -> None:
        """Long edges are drawn along; what lies outside is an error."""
        line = Skeleton([[0, 0, 0], [4, 2, 0]], [[0, 1]], segid=9)
        assert (ks.draw_skeletons([line]) == 9).sum() == 5
        with pytest.raises(ValueError, match="outside an image"):
            ks.draw_skeletons([line], (3, 3, 3))
