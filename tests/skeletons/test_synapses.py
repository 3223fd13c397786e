"""Synapses as targets: the nearest voxels, compared with a look at every voxel."""

from __future__ import annotations

import numpy as np
import pytest

import crackle_zarr
import crackle_zarr.skeletons as skeletons


def nearest(volume, label, point):
    """The nearest voxel, the first in the order z, y, x of those that are equally near."""
    voxels = np.argwhere(label == volume.T)[:, ::-1]
    return tuple(int(one) for one in voxels[np.argmin(((voxels - point) ** 2).sum(axis=1))])


@pytest.mark.parametrize("form", ["array", "stream", "CrackleArray"])
def test_nearest_voxels(form):
    """Targets are the nearest voxels of each label, for points inside and outside the volume."""
    rng = np.random.default_rng(5)
    volume = np.kron(rng.integers(0, 4, (5, 4, 3)), np.ones((4, 3, 5))).astype(np.int32) - 1
    labels = volume
    if form != "array":
        labels = crackle_zarr.compress(volume)
    if form == "CrackleArray":
        labels = crackle_zarr.CrackleArray(labels)
    # Halves make ties.
    synapses = {
        label: [(tuple(rng.integers(-8, 60, 3) / 2), int(rng.integers(1, 9))) for _ in range(60)]
        for label in (-1, 1, 2)
    }
    expected = {}
    for label, those in synapses.items():
        for point, kind in those:
            expected[nearest(volume, label, np.array(point))] = kind
    found = skeletons.synapses_to_targets(labels, synapses)
    assert found == expected
    assert all(type(one) is int for voxel in found for one in voxel)


def test_later_entries_overwrite_and_absent_labels_are_skipped():
    """Two synapses at a voxel leave one target; labels that are not there, and 0, leave none."""
    volume = np.zeros((5, 5, 5), np.uint8)
    volume[2, 3, 4] = 7
    given = {
        7: [((0, 0, 0), 1), ((4.2, 4, 4), 2)],
        8: [((0, 0, 0), 3)],
        2**40: [((0, 0, 0), 3)],
        0: [((0, 0, 0), 3)],
    }
    assert skeletons.synapses_to_targets(volume, given) == {(2, 3, 4): 2}
    assert skeletons.synapses_to_targets(volume, {}) == {}


def test_targets_fit_skeletonize():
    """The result can be passed to skeletonize, and paths reach the targets."""
    volume = np.ones((60, 20, 20), np.uint8)
    targets = skeletons.synapses_to_targets(volume, {1: [((30.4, -7, 9.6), 5)]})
    assert list(targets) == [(30, 0, 10)]
    found = skeletons.skeletonize(
        volume, dust_threshold=0, extra_targets_after=targets, progress=False, fix_borders=False
    )[1]
    assert (found.vertices == (30, 0, 10)).all(axis=1).any()


def test_bad_points():
    """Points without three finite coordinates, and numbers that are no integers, raise errors."""
    volume = np.ones((5, 5, 5), np.uint8)
    with pytest.raises(ValueError, match="a synapse of label 1"):
        skeletons.synapses_to_targets(volume, {1: [((1, 2), 3)]})
    with pytest.raises(ValueError, match="a synapse of label 1"):
        skeletons.synapses_to_targets(volume, {1: [((1, 2, float("nan")), 3)]})
    with pytest.raises(TypeError, match="number of a synapse"):
        skeletons.synapses_to_targets(volume, {1: [((1, 2, 3), "a")]})


def test_like_kimimaro():
    """Targets are Kimimaro's where no two voxels are equally near."""
    kimimaro = pytest.importorskip("kimimaro")
    rng = np.random.default_rng(6)
    volume = np.asfortranarray(np.kron(rng.integers(0, 3, (5, 4, 3)), np.ones((4, 3, 5))).astype(np.uint8))
    synapses = {label: [(tuple(rng.random(3) * 20), 3) for _ in range(30)] for label in (1, 2)}
    theirs = kimimaro.synapses_to_targets(volume, synapses)
    ours = skeletons.synapses_to_targets(volume, synapses)
    assert ours == {tuple(int(one) for one in voxel): kind for voxel, kind in theirs.items()}
