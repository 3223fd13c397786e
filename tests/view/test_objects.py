"""Masks of single labels, their meshes without Neuroglancer's generator, and their skeletons."""

from __future__ import annotations

import numpy as np
import pytest
from view_cases import enclosed, mesh_of
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.skeletons import Skeleton
from crackle_zarr.stored.objects import Part
from crackle_zarr.synthetic import neurons
from crackle_zarr.view import meshes, objects, skeletons
from crackle_zarr.view.cache import TileCache
from crackle_zarr.view.layers import LabelLayer
from crackle_zarr.view.sources import open_labels
from crackle_zarr.view.volume import Volume


def layer_of(labels: np.ndarray, **options) -> LabelLayer:
    array = cz.create_array(MemoryStore(), data=labels, **options)
    volume = Volume(open_labels(array), TileCache(2**24), is_labels=True)
    return LabelLayer(volume, has_meshes=True, skeleton_of=True)


def reduced(mask: np.ndarray, by) -> np.ndarray:
    """Whether any voxel of each block is set."""
    shape = [-(-length // one) for length, one in zip(mask.shape, by, strict=True)]
    out = np.zeros(shape, bool)
    for index in np.argwhere(mask):
        out[tuple(index // by)] = True
    return out


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_reduced_on_the_grid_of_the_array(seed) -> None:
    """A part of any place and size has a voxel for every block with one of its voxels."""
    random = np.random.default_rng(seed)
    shape, start = random.integers(1, 12, 3), random.integers(0, 9, 3)
    by = tuple(int(one) for one in random.integers(1, 5, 3))
    mask = random.random(shape) < 0.3
    placed = np.zeros(start + shape, bool)
    placed[tuple(slice(one, None) for one in start)] = mask
    box = tuple((int(low), int(low + length)) for low, length in zip(start, shape, strict=True))
    part = objects._coarse(Part.of(mask, box), by)
    found = np.zeros([high for _, high in part.box], bool)
    found[tuple(slice(*bounds) for bounds in part.box)] = part.mask
    assert np.array_equal(found, reduced(placed, by))


@pytest.mark.parametrize("most", [2**30, 5000, 300])
@pytest.mark.parametrize("chunks", [(8, 16, 32), (48, 64, 80), (4, 4, 4)])
def test_masks(most, chunks) -> None:
    """A mask is that of the array, or a reduced one of no more voxels than are allowed."""
    seg = neurons((48, 64, 80), seed=5)
    layer = layer_of(seg, chunks=chunks)
    counts = cz.voxel_counts(layer.volume.source.array)
    for label in sorted(counts, key=counts.get)[-3:]:
        mask = layer.mask(label, most)
        assert mask is not None
        assert mask.voxels.size <= 2 * most  # blocks lie on a grid, and may be one more along an axis
        expected = reduced((seg == label).T, mask.stride)
        found = np.zeros_like(expected)
        place = tuple(slice(a, a + n) for a, n in zip(mask.start, mask.voxels.shape, strict=True))
        found[place] = mask.voxels
        assert np.array_equal(found, expected)
        if most == 2**30:
            assert mask.stride == (1, 1, 1)
    assert layer.mask(12345, most) is None


def test_short_axes_are_reduced_first() -> None:
    """Voxels of the mask are about cubic."""
    labels = np.ones((20, 200, 200), np.uint8)
    layer = layer_of(labels, attributes={"voxel_size": [40.0, 4.0, 4.0], "voxel_unit": "nanometer"})
    mask = layer.mask(1, 20_000)
    assert mask is not None
    assert mask.stride[2] == 1
    assert {6, 7} >= set(mask.stride[:2])


def test_the_middle_of_a_label_is_within_it() -> None:
    """Of a ring, the point is on the ring."""
    labels = np.zeros((1, 50, 50), np.uint8)
    labels[0, 10:40, 10:40] = 3
    labels[0, 12:38, 12:38] = 0
    mask = layer_of(labels).mask(3, 2**20)
    assert mask is not None
    x, y, z = (int(one) for one in objects.point_in(mask))
    assert labels[z, y, x] == 3


@pytest.mark.parametrize("generator", [True, False])
def test_meshes(monkeypatch, generator) -> None:
    """The surface encloses the voxels, turns outwards, and has its place; with and without the generator."""
    if generator:
        pytest.importorskip("neuroglancer")
    else:
        monkeypatch.setattr(meshes, "_generator", lambda: None)
    voxels = np.zeros((9, 8, 7), bool)
    voxels[1:8, 1:7, 1:3] = True
    voxels[2:5, 2:5, 3:6] = True
    mask = objects.Mask(voxels, (10, 20, 30), (1, 2, 3))
    vertices, triangles = mesh_of(meshes.mesh(mask, (4.0, 5.0, 6.0)))
    edge = np.array([4, 10, 18])
    assert np.abs(vertices.min(axis=0) / edge - [11, 21, 31]).max() <= 0.51
    assert np.abs(vertices.max(axis=0) / edge - [18, 27, 36]).max() <= 0.51
    expected = voxels.sum() * edge.prod()
    assert enclosed(vertices, triangles) == pytest.approx(expected, rel=0.3 if generator else 1e-6)
    # Every edge is shared by two triangles, in opposite directions: the surface is closed.
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    there = {tuple(side) for side in sides.tolist()}
    assert all((b, a) in there for a, b in there)


def test_faces_of_one_voxel() -> None:
    """A voxel has eight corners and twelve triangles."""
    data = meshes.faces(np.ones((1, 1, 1), bool), np.array([2.0, 3.0, 5.0]), np.array([1, 1, 1]))
    vertices, triangles = mesh_of(data)
    assert (len(vertices), len(triangles)) == (8, 12)
    assert (vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()) == ([2, 3, 5], [4, 6, 10])
    assert enclosed(vertices, triangles) == pytest.approx(30)


def test_skeletons() -> None:
    """A skeleton is in nanometres, along the middle of the voxels that the mask covers."""
    mask = objects.Mask(np.ones((60, 7, 7), bool), (10, 0, 0), (2, 2, 1))
    data = skeletons.trace(mask, (4.0, 4.0, 8.0))
    one = Skeleton.from_precomputed(data, 1, skeletons.INFO["vertex_attributes"])
    assert one.vertices[:, 0].min() >= 80
    assert one.vertices[:, 0].max() <= (10 + 60) * 8
    middle = one.vertices[np.abs(one.vertices[:, 0] - 320).argmin()]
    assert np.abs(middle[1:] - 28).max() <= 8
    assert one.radius.max() == pytest.approx(28, abs=8)


def test_dust_has_no_skeleton() -> None:
    """A label of few voxels gives an empty skeleton, not an error."""
    data = skeletons.trace(objects.Mask(np.ones((2, 2, 2), bool), (0, 0, 0), (1, 1, 1)), (1.0, 1.0, 1.0))
    assert data == bytes(8)


def test_labels_of_other_types() -> None:
    """Labels as the page shows them and as the array has them."""
    for dtype, label, shown in (("int8", -1, 255), ("int64", -5, 2**64 - 5), ("uint64", 2**63, 2**63)):
        volume = layer_of(np.array([[[label, 0]]], dtype)).volume
        assert objects.shown_label(volume, label) == shown
        assert objects.native_label(volume, shown) == label
        assert objects.native_label(volume, 2**64) is None
    volume = layer_of(np.array([[[True, False]]])).volume
    assert objects.native_label(volume, 1) == 1
    assert objects.native_label(volume, 2) is None
