"""Shapes whose skeletons are known: by geometry, or from the figures that Kimimaro 5.8.5 gives for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from skeleton_cases import ball, check, check_forest, empty, trace, traced, voxels_of

import crackle_zarr
from crackle_zarr.skeletons import DimensionError, skeletonize


def counts(skeleton: Any) -> tuple[int, int, int]:
    """Vertices, ends, branch points."""
    return len(skeleton.vertices), len(skeleton.terminals()), len(skeleton.branches())


def only(skeletons: dict[int, Any]) -> Any:
    assert list(skeletons) == [1]
    return skeletons[1]


def bar(shape: tuple[int, int, int], *sides: slice) -> Any:
    volume = empty(*shape)
    volume[sides] = 1
    return volume


def rod(shape: tuple[int, int, int], axis: int, radius: int = 10) -> Any:
    """A cylinder about the middle of the volume, through both faces of an axis."""
    offsets = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2
    return (np.delete(offsets**2, axis, axis=0).sum(axis=0) <= radius**2).astype(np.uint8)


# ---------------------------------------------------------------------------------------
# Straight shapes between faces


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_square_bar_through_two_faces(axis: int) -> None:
    """A bar has a straight line from face to face."""
    volume = np.moveaxis(bar((200, 40, 40), slice(None), slice(10, 30), slice(10, 30)), 0, axis)
    skeleton = only(trace(volume))
    assert counts(skeleton) == (200, 2, 0)
    assert skeleton.cable_length() == pytest.approx(199)
    assert np.array_equal(skeleton.vertices[:, axis], np.arange(200))
    across = np.delete(skeleton.vertices, axis, axis=1)
    assert (across == across[0]).all()
    assert set(across[0].tolist()) <= {19, 20}
    assert np.array_equal(skeleton.radius, np.full(200, 10, np.float32))
    check(volume, {1: skeleton}, (1, 1, 1))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cylinder_through_two_faces(axis: int) -> None:
    """All vertices are on the axis; the nearest voxels outside are at (1, 10) voxels from it."""
    shape = [31, 31, 31]
    shape[axis] = 200
    skeleton = only(trace(rod((shape[0], shape[1], shape[2]), axis)))
    assert counts(skeleton) == (200, 2, 0)
    assert (np.delete(skeleton.vertices, axis, axis=1) == 15).all()
    np.testing.assert_allclose(skeleton.radius, math.sqrt(101), rtol=1e-6)
    assert skeleton.cable_length() == pytest.approx(199)


def test_cylinder_with_long_voxels() -> None:
    """Vertices are voxel indices times the voxel size, without an offset by half a voxel."""
    skeleton = only(trace(rod((41, 41, 100), 2), (16, 16, 40), const=300))
    assert counts(skeleton) == (100, 2, 0)
    assert skeleton.cable_length() == pytest.approx(3960)
    np.testing.assert_allclose(skeleton.radius, 16 * math.sqrt(101), rtol=1e-6)
    assert skeleton.vertices[0].tolist() == [320, 320, 0]
    assert skeleton.space == "physical"
    np.testing.assert_array_equal(skeleton.transform, np.diag([16, 16, 40, 0])[:3])


def test_cylinder_within_the_volume() -> None:
    """Ends run to the rim of the end faces."""
    volume = empty(240, 41, 41)
    volume[20:220] = rod((200, 41, 41), 0)
    skeleton = only(trace(volume))
    assert counts(skeleton) == (200, 2, 0)
    assert skeleton.cable_length() == pytest.approx(210.9, rel=0.02)
    ends = skeleton.vertices[skeleton.terminals()]
    assert sorted(ends[:, 0].tolist()) == [20, 219]
    np.testing.assert_allclose(np.linalg.norm(ends[:, 1:] - 20, axis=1), 10, atol=0.5)
    assert skeleton.radius.max() == pytest.approx(math.sqrt(101), rel=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_borders_centre_a_bar(axis: int) -> None:
    """A bar of odd width in a volume has its line in its middle, and a vertex in every slice."""
    spacing = (40, 32, 20)
    volume = np.moveaxis(bar((120, 65, 65), slice(None), slice(20, 45), slice(20, 45)), 0, axis)
    skeleton = only(trace(volume, spacing, const=1000))
    voxels = voxels_of(skeleton, spacing)
    assert np.array_equal(voxels[:, axis], np.arange(120))
    assert (np.delete(voxels, axis, axis=1) == 32).all()


def test_border_target_of_a_square() -> None:
    """The target of a square on a face is its middle pixel: the root or an end is there."""
    volume = bar((257, 257, 1), slice(64, 193), slice(64, 193))
    assert [128, 128, 0] in only(trace(volume)).vertices.tolist()


# ---------------------------------------------------------------------------------------
# Branches


@pytest.mark.parametrize("fix_branching", [True, False])
def test_t_junction(fix_branching: bool) -> None:
    """Ends are in the middles of the contacts with faces; arms meet near the middle of the junction.

    With ``fix_branching`` the third arm leaves the first path where that is nearest, hence nearer to its own
    end.
    """
    volume = empty(101, 101, 31)
    volume[:, 45:56, 10:21] = 1
    volume[45:56, 50:, 10:21] = 1
    skeleton = only(trace(volume, fix_branching=fix_branching))
    ends = sorted(skeleton.vertices[skeleton.terminals()].tolist())
    assert ends == [[0, 50, 15], [50, 100, 15], [100, 50, 15]]
    (branch,) = skeleton.vertices[skeleton.branches()]
    assert np.abs(branch - (50, 50, 15)).max() <= 4
    assert len(skeleton.vertices) == pytest.approx(150, abs=5)
    check(volume, {1: skeleton}, (1, 1, 1))


def test_plus_sign() -> None:
    """Arms shorter than the reach of the invalidation have no ends of their own.

    The middle of an even width is four voxels wide and costs the same everywhere. A path that changes sides
    at each step, as Kimimaro's do where float32 loses the term that decides, is a fifth longer than a
    straight one.
    """
    volume = empty(101, 101, 40)
    volume[5:-5, 40:60, 10:30] = 1
    volume[40:60, 5:-5, 10:30] = 1
    skeleton = only(trace(volume, const=10))
    assert len(skeleton.terminals()) == 4
    assert len(skeleton.vertices) == pytest.approx(176, abs=3)
    assert 205 < skeleton.cable_length() < 252.8 * 1.03
    skeleton = only(trace(volume, scale=4, const=50))
    assert len(skeleton.terminals()) == 2
    assert len(skeleton.vertices) == 91
    assert 104 < skeleton.cable_length() < 128.1 * 1.03


def test_torus() -> None:
    """A ring has a tree, never a closed loop, and the tree goes nearly all the way round."""
    x, y, z = np.indices((100, 100, 30))
    volume = ((np.hypot(x - 50, y - 50) - 35) ** 2 + (z - 15) ** 2 <= 36).astype(np.uint8)
    skeleton = only(trace(volume, scale=4, const=20))
    assert check_forest(skeleton)[0] == 1
    assert 2 <= len(skeleton.terminals()) <= 5
    assert skeleton.cable_length() == pytest.approx(201.8, rel=0.08)
    check(volume, {1: skeleton}, (1, 1, 1), scale=4, const=20)


def test_helix() -> None:
    """Steps cost the same in all directions, so oblique lines are longer than the curve, by up to a fifth."""
    turns = np.linspace(0, 4 * np.pi, 4000)
    curve = np.stack(
        [30 + 18 * np.cos(turns), 30 + 18 * np.sin(turns), 10 + turns * 60 / (4 * np.pi)], axis=1
    )
    volume = np.zeros((60, 60, 80), bool)
    for point in np.unique(np.rint(curve).astype(int), axis=0):
        volume |= ball(volume.shape, point, 3)
    skeleton = only(trace(volume, const=4))
    length = math.hypot(4 * np.pi * 18, 60)
    assert length * 0.95 < skeleton.cable_length() < length * 1.25
    assert len(skeleton.terminals()) == 2


# ---------------------------------------------------------------------------------------
# Components and labels


def test_two_bars_of_one_label() -> None:
    """Components of a label are trees of one skeleton."""
    volume = empty(60, 40, 20)
    volume[5:55, 5:12, 5:12] = 1
    volume[5:55, 25:32, 5:12] = 1
    skeleton = only(trace(volume))
    assert check_forest(skeleton)[0] == 2
    assert counts(skeleton) == (100, 4, 0)
    assert len(skeleton.components()) == 2


def test_two_cubes_that_touch_at_a_corner() -> None:
    """A corner joins voxels: there is one tree."""
    volume = empty(30, 30, 30)
    volume[5:15, 5:15, 5:15] = 1
    volume[15:25, 15:25, 15:25] = 1
    skeleton = only(trace(volume))
    assert check_forest(skeleton)[0] == 1
    voxels = skeleton.vertices.tolist()
    assert [14, 14, 14] in voxels
    assert [15, 15, 15] in voxels


def test_empty_volume() -> None:
    """Background alone has no skeletons."""
    assert trace(empty(20, 20, 20)) == {}


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0, 3), (0, 0, 0)])
def test_volume_without_voxels(shape: tuple[int, ...]) -> None:
    """A volume of no voxels has no skeletons."""
    assert trace(np.zeros(shape, np.uint8)) == {}


def test_one_and_two_voxels() -> None:
    """One voxel has no skeleton; two that touch have two vertices and an edge."""
    volume = empty(5, 5, 5)
    volume[2, 2, 2] = 1
    assert trace(volume) == {}
    volume[3, 3, 3] = 1
    skeleton = only(trace(volume))
    assert skeleton.vertices.tolist() == [[2, 2, 2], [3, 3, 3]]
    assert skeleton.edges.tolist() == [[0, 1]]
    assert skeleton.radius.tolist() == [1, 1]


def test_sparse_volume() -> None:
    """Two voxels far from everything else are found in a large volume, a single one is not."""
    volume = empty(150, 150, 150)
    volume[20, 20, 20:22] = 1
    volume[120, 120, 120] = 2
    assert only(trace(volume)).vertices.tolist() == [[20, 20, 20], [20, 20, 21]]


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 2, 5)])
@pytest.mark.parametrize("shape", [(24, 24, 24), (24, 20, 1), (30, 1, 1)])
def test_volume_of_one_label(shape: tuple[int, int, int], spacing: tuple[int, int, int]) -> None:
    """If all voxels have one label, the faces are boundaries: the distance is bounded by every axis."""
    volume = np.ones(shape, np.uint8)
    skeletons = trace(volume, spacing)
    check(volume, skeletons, spacing)
    reach = min((n + 1) // 2 * w for n, w in zip(shape, spacing, strict=True))
    assert only(skeletons).radius.max() <= reach


def test_bool_volume() -> None:
    """True is label 1; a thin slab that is nearly solid has one skeleton."""
    volume = np.ones((60, 60, 5), bool)
    volume[30, 30, 2] = False
    skeletons = trace(volume)
    check(volume.astype(np.uint8), skeletons, (1, 1, 1))
    assert list(skeletons) == [1]


# ---------------------------------------------------------------------------------------
# Diagonals


@pytest.mark.parametrize("fill_holes", [False, True])
@pytest.mark.parametrize("missing", [[(0, 0), (-1, -1)], [(0, -1), (-1, 0)]])
def test_square_without_two_corners(missing: list[tuple[int, int]], fill_holes: bool) -> None:
    """In a square image whose only boundaries are two opposite corners, the line is a diagonal."""
    image = np.ones((1000, 1000), np.uint8)
    for corner in missing:
        image[corner] = 0
    skeleton = only(trace(image, fix_borders=False, fill_holes=fill_holes))
    assert counts(skeleton) == (1000, 2, 0)
    assert skeleton.cable_length() == pytest.approx(999 * math.sqrt(2), rel=1e-5)
    assert skeleton.space == "physical"


@pytest.mark.parametrize("size", [64, 128])
def test_cube_without_two_corners(size: int) -> None:
    """The line of a cube is a diagonal of its space."""
    volume = np.ones((size, size, size), np.uint8)
    volume[0, 0, 0] = volume[-1, -1, -1] = 0
    skeleton = only(trace(volume, fix_borders=False))
    assert counts(skeleton) == (size, 2, 0)
    assert skeleton.cable_length() == pytest.approx((size - 1) * math.sqrt(3), rel=1e-5)


# ---------------------------------------------------------------------------------------
# Shapes of input


@pytest.mark.parametrize("shape", [(50,), (50, 20), (50, 20, 9), (50, 20, 9, 1), (50, 20, 9, 1, 1)])
def test_dimensions(shape: tuple[int, ...]) -> None:
    """One to three axes, and more that have one voxel each."""
    volume = np.zeros(shape, np.uint8)
    volume[5:45] = 7
    skeletons = trace(volume)
    assert list(skeletons) == [7]
    first_three = volume.reshape((*shape, 1, 1)[:3])
    check(first_three, skeletons, (1, 1, 1))


@pytest.mark.parametrize("shape", [(5, 5, 5, 2), (1, 1, 1, 2), (5, 5, 5, 1, 3)])
def test_too_many_dimensions(shape: tuple[int, ...]) -> None:
    """Voxels of more than three axes have no positions in space."""
    with pytest.raises(DimensionError, match=r"\(.*\)"):
        skeletonize(np.ones(shape, np.uint8), dust_threshold=0, progress=False)


def test_dimension_error_is_an_exception_of_its_own() -> None:
    """Scripts catch it by name; it is no error of another kind that would be caught first."""
    assert issubclass(DimensionError, Exception)


def test_four_labels_in_parallel() -> None:
    """Each label has its skeleton, whatever the number of threads."""
    volume = empty(60, 60, 30)
    for label, (x, y) in enumerate([(0, 0), (30, 0), (0, 30), (30, 30)], start=1):
        volume[x : x + 30, y : y + 30] = label
    skeletons = trace(volume, parallel=2)
    assert sorted(skeletons) == [1, 2, 3, 4]
    check(volume, skeletons, (1, 1, 1))


def test_default_arguments() -> None:
    """Without arguments: voxels of size 1, and components of up to 1,000 voxels are dust."""
    volume = empty(101, 12, 12)
    volume[:, 1:11, 1] = 1
    volume[:100, 1:11, 5] = 2
    skeletons = skeletonize(volume, progress=False)
    assert list(skeletons) == [1]
    assert np.array_equal(skeletons[1].transform, np.eye(3, 4))


def test_name_at_the_top() -> None:
    """``crackle_zarr.skeletonize``, which takes stored arrays too, gives volumes to this function."""
    volume = bar((20, 6, 6), slice(None), slice(1, 5), slice(1, 5))
    assert crackle_zarr.skeletonize(volume, progress=False) == skeletonize(volume, progress=False)


@pytest.mark.parametrize("axis", [0, 1])
def test_halves_join(axis: int) -> None:
    """A slab cut in two with one slice of overlap: both skeletons have the same vertex in that slice.

    Without the treatment of borders they need not.
    """
    volume = np.moveaxis(bar((81, 40, 20), slice(None), slice(8, 33), slice(4, 15)), 0, axis)
    whole = [slice(None)] * 3
    low, high = [*whole], [*whole]
    low[axis], high[axis] = slice(None, 41), slice(40, None)
    first = only(trace(volume[tuple(low)]))
    second = only(trace(volume[tuple(high)]))
    moved = second.vertices.copy()
    moved[:, axis] += 40
    shared = {*map(tuple, first.vertices.tolist())} & {*map(tuple, moved.tolist())}
    assert {point[axis] for point in shared} == {40}
    assert len(traced(volume, (1, 1, 1))) == 1
