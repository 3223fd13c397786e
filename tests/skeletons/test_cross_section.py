"""Areas of sections: bars, cubes, slabs and balls of known areas; steps, passes and repairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import crackle_zarr
import crackle_zarr.skeletons as skeletons
from crackle_zarr.skeletons import Skeleton

FIRST_Z, LAST_Z = 16, 32


def line(*points, label=1, size=(1, 1, 1)):
    """A skeleton of one path through voxels; every vertex leads to the next."""
    vertices = np.array(points) * np.array(size)
    edges = [[i, i + 1] for i in range(len(points) - 1)]
    return Skeleton(vertices, edges, segid=label, space="physical")


def bar(shape=(30, 30, 60), dtype=np.uint8, label=1):
    volume = np.zeros(shape, dtype)
    volume[5:25, 5:25] = label
    return volume


def areas(labels, skeleton, **options):
    found = skeletons.cross_sectional_area(labels, skeleton, **options)
    assert found is skeleton
    return skeleton.cross_sectional_area


@pytest.mark.parametrize("form", ["C", "F", "stream", "CrackleArray", "signed", "bool"])
def test_straight_bar(form):
    """A straight bar has the same section everywhere, and touches the first and last z of the volume."""
    volume, label = bar(), 1
    if form == "F":
        volume = np.asfortranarray(volume)
    elif form == "signed":
        volume, label = bar(dtype=np.int16, label=-7), -7
    elif form == "bool":
        volume = volume.astype(bool)
    elif form == "stream":
        volume = crackle_zarr.compress(volume)
    elif form == "CrackleArray":
        volume = crackle_zarr.CrackleArray(crackle_zarr.compress(volume))
    size = (16, 16, 40)
    path = line(*[(14, 14, z) for z in range(60)], label=label, size=size)
    skeletons.cross_sectional_area(volume, {label: path}, anisotropy=size)
    found = path.cross_sectional_area
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 102400, rtol=1e-6)
    contacts = path.cross_sectional_area_contacts
    assert contacts.dtype == np.uint8
    assert contacts[0] == FIRST_Z
    assert contacts[-1] == LAST_Z
    assert not contacts[1:-1].any()
    assert [one["id"] for one in path.extra_attributes][-2:] == [
        "cross_sectional_area",
        "cross_sectional_area_contacts",
    ]


def test_cube():
    """A section across a cube that fills its volume has the area of a face, and touches four faces."""
    path = line(*[(x, 50, 50) for x in range(100)])
    found = areas(np.ones((100, 100, 100), np.uint8), path)
    np.testing.assert_allclose(found, 10000, rtol=1e-6)
    assert (path.cross_sectional_area_contacts[1:-1] == 0b111100).all()
    assert path.cross_sectional_area_contacts[0] == 0b111101


@pytest.mark.parametrize("size", [(1, 1, 1), (4, 4, 10), (0.5, 2, 3)])
@pytest.mark.parametrize("step", [(1, 0, 1), (1, 1, 1), (2, 1, -3), (0, 1, 5)])
def test_oblique_plane_across_a_slab(size, step):
    """A plane across an oblique path cuts a bar of edges a and b in a * b / cos(angle to its axis)."""
    volume = np.zeros((17, 15, 400), np.uint8)
    volume[3:14, 4:11] = 1
    path = line((8, 7, 200), np.add((8, 7, 200), step), size=size)
    direction = np.array(step) * size
    cosine = abs(direction[2]) / np.linalg.norm(direction)
    found = areas(volume, path, anisotropy=size)
    assert found[0] == pytest.approx(11 * 7 * size[0] * size[1] / cosine, rel=1e-5)


def test_ball():
    """Sections of a large ball have the areas of circles, up to the roughness of its surface."""
    grid = np.mgrid[:101, :101, :101] - 50
    ball = ((grid**2).sum(axis=0) <= 45**2).astype(np.uint8)
    for step in [(0, 0, 1), (1, 1, 0), (1, 2, 3)]:
        found = areas(ball, line((50, 50, 50), np.add(50, step)))
        assert found[0] == pytest.approx(math.pi * 45**2, rel=0.02)


def test_only_the_connected_part_counts():
    """A second bar beside the first one is not part of the section, though it has the same label."""
    volume = bar((60, 30, 20))
    volume[35:50, 5:25] = 1
    assert areas(volume, line((14, 14, 9), (14, 14, 10))).tolist() == [400, 400]
    assert areas(volume, line((40, 14, 9), (40, 14, 10))).tolist() == [300, 300]
    volume[25:35, 14, 9] = 1  # a bridge in one slice
    assert areas(volume, line((14, 14, 9), (14, 14, 10))).tolist() == [710, 400]


def test_holes_are_filled_on_demand():
    """``fill_holes`` counts the voids of a label."""
    volume = bar()
    volume[10:15, 10:15, 20:40] = 2
    path = line((20, 20, 29), (20, 20, 30))
    assert areas(volume, path).tolist() == [375, 375]
    assert areas(volume, path, fill_holes=True).tolist() == [400, 400]


def y_shape():
    """A ball with three paths that meet in its middle."""
    grid = np.mgrid[:41, :41, :41] - 20
    ball = ((grid**2).sum(axis=0) <= 18**2).astype(np.uint8)
    points = [(20, 20, z) for z in range(5, 20)]
    points += [(20 + i, 20, 19 + i) for i in range(1, 8)] + [(20 - i, 20 + i, 19 + i) for i in range(1, 8)]
    edges = [[i, i + 1] for i in range(21)] + [[14, 22]] + [[i, i + 1] for i in range(22, 28)]
    return ball, Skeleton(points, edges, segid=1, space="physical")


@pytest.mark.parametrize("window", [1, 3, 50])
@pytest.mark.parametrize("step", [2, 5, 10, 1000])
def test_step_computes_the_same(step, window):
    """Every so-manieth vertex has the same area as without step; ends are always computed."""
    ball, skeleton = y_shape()
    full = skeleton.clone()
    areas(ball, full, smoothing_window=window)
    found = areas(ball, skeleton, step=step, smoothing_window=window)
    computed = found > 0
    assert (full.cross_sectional_area > 0).all()
    assert computed[skeleton.terminals()].all()
    assert computed.sum() <= 3 + 2 * (22 // step + 1)
    np.testing.assert_array_equal(found[computed], full.cross_sectional_area[computed])


def test_arms_at_right_angles():
    """Vertices of arms have sections across their own arm; those of the trunk lead to the root."""
    volume = np.ones((11, 21, 31), np.uint8)
    middle = (5, 10, 15)
    points = [middle, (4, 10, 15), (3, 10, 15), (2, 10, 15), (5, 11, 15), (5, 10, 16)]
    skeleton = Skeleton(points, [[0, 1], [1, 2], [2, 3], [0, 4], [0, 5]], segid=1)
    # The root is the end of the long arm: both paths pass the branch in its direction.
    assert areas(volume, skeleton).tolist() == [21 * 31] * 4 + [11 * 31, 11 * 21]


def test_branch_has_the_mean_of_its_paths():
    """Where smoothing makes the directions of paths differ at a branch, its area is the mean over them."""
    ball, skeleton = y_shape()
    ball[:20, :, 25:] = 0
    areas(ball, skeleton, smoothing_window=3)
    at_branch, seen = [], 0
    for path in skeleton.paths():
        alone = line(*path)
        areas(ball, alone, smoothing_window=3)
        here = int(np.flatnonzero((alone.vertices == skeleton.vertices[14]).all(axis=1))[0])
        at_branch.append(alone.cross_sectional_area[here])
        seen |= int(alone.cross_sectional_area_contacts[here])
    assert skeleton.branches().tolist() == [14]
    assert at_branch[0] != pytest.approx(at_branch[1], rel=1e-3)
    assert skeleton.cross_sectional_area[14] == pytest.approx(np.mean(at_branch), rel=1e-6)
    assert skeleton.cross_sectional_area_contacts[14] == seen


def test_repair_contacts():
    """Only sections that reached a face of the volume are computed again, in a larger volume."""
    volume = bar((30, 30, 30))
    path = line(*[(14, 14, z) for z in range(30)])
    areas(volume, path)
    path.cross_sectional_area = path.cross_sectional_area + 1
    found = areas(bar((30, 30, 40)), path, repair_contacts=True)
    # In the larger volume, the last section reaches no face.
    assert found[-1] == 400
    assert path.cross_sectional_area_contacts[-1] == 0
    assert found[0] == 400
    assert path.cross_sectional_area_contacts[0] == FIRST_Z
    assert (found[1:-1] == 401).all()


def test_multipass():
    """Areas that are known stay, and those that are 0 are computed."""
    volume = bar()
    path = line(*[(14, 14, z) for z in range(60)])
    areas(volume, path, step=7)
    known = path.cross_sectional_area > 0
    path.cross_sectional_area = np.where(known, np.float32(5), np.float32(0))
    found = areas(volume, path, multipass=True)
    assert (found[known] == 5).all()
    assert (found[~known] == 400).all()
    assert (~known).sum() > 40


def test_containers_and_absent_labels():
    """Dicts, lists and single skeletons are changed and returned; a label that is not there gives -1."""
    volume = bar(label=3)
    here, gone = line((14, 14, 9), (14, 14, 10), label=3), line((14, 14, 9), (14, 14, 10), label=300)
    one = [here, gone]
    assert skeletons.cross_sectional_area(volume, one) is one
    assert here.cross_sectional_area.tolist() == [400, 400]
    assert gone.cross_sectional_area.tolist() == [-1, -1]
    assert gone.cross_sectional_area_contacts.tolist() == [0, 0]
    no_id = line((14, 14, 9), (14, 14, 10), label=None)
    skeletons.cross_sectional_area(volume, {3: no_id})
    assert no_id.cross_sectional_area.tolist() == [400, 400]
    with pytest.raises(ValueError, match="no id"):
        skeletons.cross_sectional_area(volume, [line((1, 1, 1), (2, 1, 1), label=None)])


def test_single():
    """A binary image and one skeleton, whatever its id."""
    path = line(*[(14, 14, z) for z in range(60)], label=99)
    for image in (bar().astype(bool), bar(label=7), crackle_zarr.compress(bar(label=7))):
        found = skeletons.cross_sectional_area_single(image, path)
        assert found is path
        assert (path.cross_sectional_area == 400).all()
    two = bar(label=7)
    two[14:, :, :] *= 3  # another label, of the same object
    skeletons.cross_sectional_area_single(two, path)
    assert (path.cross_sectional_area == 400).all()


def test_single_in_a_box():
    """An image of a box of the volume, in which the skeleton has its coordinates."""

    class Box:
        minpt = (2, 3, 10)

    path = line(*[(14, 14, z) for z in range(20, 30)], size=(4, 4, 40))
    image = bar()[2:, 3:20, 10:50]
    skeletons.cross_sectional_area_single(image, path, Box(), (4, 4, 40))
    assert (path.cross_sectional_area == 20 * 15 * 16).all()
    assert (path.cross_sectional_area_contacts == 8).all()  # the last y


def test_vertices_outside_and_alone():
    """A vertex outside its label, outside the volume, or without edges has no section."""
    skeleton = Skeleton([(0, 0, 0), (14, 14, 5), (14, 14, 500), (14, 14, 9)], [[0, 1], [1, 2]], segid=1)
    found = areas(bar(), skeleton)
    assert found[0] == found[2] == found[3] == 0
    assert found[1] > 0


@pytest.mark.parametrize("options", [{"step": 0}, {"step": -1}, {"smoothing_window": 0}])
def test_bad_numbers(options):
    """A step or window below 1 raises ValueError that names it."""
    with pytest.raises(ValueError, match=f"{next(iter(options))} is a number of vertices from 1 on"):
        areas(bar(), line((14, 14, 9), (14, 14, 10)), **options)


def test_bad_arguments():
    """A viewer, contacts that are not there, and things that are no skeletons raise errors."""
    path = line((14, 14, 9), (14, 14, 10))
    with pytest.raises(NotImplementedError, match="no viewer"):
        areas(bar(), path, visualize_section_planes=True)
    with pytest.raises(ValueError, match="repair_contacts: the skeleton of label 1"):
        areas(bar(), path, repair_contacts=True)
    with pytest.raises(TypeError, match="class Skeleton"):
        skeletons.cross_sectional_area(bar(), {1: "a"})
    with pytest.raises(TypeError, match="step"):
        areas(bar(), path, step=1.5)


def test_progress():
    """A function gets the numbers of skeletons done and in all."""
    seen = []
    skeletons.cross_sectional_area(
        bar(), [line((14, 14, 9), (14, 14, 10))] * 2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (2, 2)


def test_like_kimimaro():
    """Where voxels have equal edges and paths are along axes, areas and contacts are Kimimaro's."""
    kimimaro = pytest.importorskip("kimimaro")
    volume = bar()
    volume[5:8, 5:8, 20:30] = 0
    path = line(*[(14, 14, z) for z in range(60)])
    theirs = path.to_osteoid()
    areas(volume, path, anisotropy=(16, 16, 40))
    path.vertices = path.vertices * np.array((16, 16, 40), np.float32)
    theirs.vertices = theirs.vertices * np.array((16, 16, 40), np.float32)
    areas(volume, path, anisotropy=(16, 16, 40))
    kimimaro.cross_sectional_area(
        np.asfortranarray(volume), theirs, anisotropy=np.array((16, 16, 40), np.float32)
    )
    np.testing.assert_allclose(path.cross_sectional_area, theirs.cross_sectional_area, rtol=1e-5)
    np.testing.assert_array_equal(path.cross_sectional_area_contacts, theirs.cross_sectional_area_contacts)
