"""The synthetic segmentation: the same on every platform, and similar to tissue."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from crackle_zarr import synthetic

SHAPE = (40, 96, 112)


@pytest.fixture(scope="module")
def tissue():
    return synthetic.neurons(SHAPE, seed=3)


def test_voxels_are_the_same_everywhere(tissue):
    """A seed gives its recorded voxels on every platform and NumPy."""
    digest = hashlib.sha256(tissue.astype("<u8").tobytes()).hexdigest()
    assert digest == "2398d4e84f6a16cf58789eb7b17f33bef187b8407f7da292257310f6276ade78"


def test_repeats_and_seeds():
    """The same seed gives the same voxels, another seed gives others."""
    shape = (9, 30, 33)
    first = synthetic.neurons(shape, seed=5)
    assert np.array_equal(first, synthetic.neurons(shape, seed=5))
    assert not np.array_equal(first, synthetic.neurons(shape, seed=6))


def test_shape_and_layout(tissue):
    """The array has the requested shape, in C order, and uint64 is the default."""
    assert tissue.shape == SHAPE
    assert tissue.dtype == np.uint64
    assert tissue.flags.c_contiguous


def test_labels_are_large_and_sparse(tissue):
    """Labels exceed the exact integers of float64, and are not consecutive; 0 is background."""
    labels = np.unique(tissue)
    assert labels[0] == 0
    assert labels[1] > 2**53
    assert np.diff(labels[1:].astype(np.float64)).min() > 1000


def test_background_is_rare(tissue):
    """At most a few voxels in a hundred are background: stray voxels at borders."""
    share = np.mean(tissue == 0)
    assert 0 < share < 0.03


def test_planes_resemble_tissue(tissue):
    """Every plane has tens of objects of unequal sizes, and most neighbours along x agree."""
    for plane in tissue:
        _, sizes = np.unique(plane, return_counts=True)
        assert 8 <= len(sizes) <= 120
        assert sizes.max() > 3 * np.median(sizes)
        assert np.mean(plane[:, 1:] == plane[:, :-1]) > 0.8


def test_objects_go_on_through_the_planes(tissue):
    """Most voxels have the label of the voxel one plane below: tubes, not noise."""
    assert np.mean(tissue[1:] == tissue[:-1]) > 0.7


def test_borders_are_smooth(tissue):
    """Nearly every voxel shares its label with a neighbour in its plane, except background."""
    inner = tissue[:, 1:-1, 1:-1]
    neighbours = (tissue[:, :-2, 1:-1], tissue[:, 2:, 1:-1], tissue[:, 1:-1, :-2], tissue[:, 1:-1, 2:])
    alone = np.all([inner != neighbour for neighbour in neighbours], axis=0) & (inner != 0)
    assert alone.mean() < 0.002


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 48), (50, 1, 7), (17, 16, 15), (3, 5, 200)], ids=str)
def test_odd_shapes(shape):
    """Shapes that are not multiples of a block, down to one voxel, are made as requested."""
    assert synthetic.neurons(shape).shape == shape


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u4"])
def test_dtypes(dtype):
    """Every integer dtype gets labels of its own range; none is negative."""
    labels = synthetic.neurons((8, 40, 40), dtype=dtype)
    assert labels.dtype == np.dtype(dtype)
    assert labels.min() >= 0
    assert len(np.unique(labels)) > 3


def test_labels_differ_while_the_type_has_room():
    """Neurites have different labels in every dtype that has enough of them."""
    for dtype in (np.uint16, np.int32, np.uint32, np.int64, np.uint64):
        names = synthetic._names(20_000, np.dtype(dtype))
        assert len(np.unique(names)) == 20_000
        assert names.min() > 0


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, object], ids=str)
def test_refuses_other_dtypes(dtype):
    """A dtype that is not an integer raises TypeError that names it."""
    with pytest.raises(TypeError, match="not an integer type"):
        synthetic.neurons((4, 4, 4), dtype=dtype)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 0), (4, -1, 4), (1, 2, 3, 4)], ids=str)
def test_refuses_other_shapes(shape):
    """A shape that is not three positive numbers raises ValueError that names it."""
    with pytest.raises(ValueError, match="three positive numbers"):
        synthetic.neurons(shape)
