"""Pieces of labels, one for every vertex: compared with Dijkstra's algorithm of SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import crackle_zarr
import crackle_zarr.skeletons as skeletons
from crackle_zarr.skeletons import Skeleton


def distances(mask, seeds, size):
    """The distance of each voxel to each seed over 26 neighbours, ``(seeds, voxels in C order)``."""
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.csgraph import dijkstra

    number = np.full(np.add(mask.shape, 2), -1)
    number[1:-1, 1:-1, 1:-1][mask] = np.arange(mask.sum())
    rows, columns, lengths = [], [], []
    own = number[1:-1, 1:-1, 1:-1]
    for step in itertools.product((-1, 0, 1), repeat=3):
        if step == (0, 0, 0):
            continue
        x, y, z = (slice(1 + d, n + 1 + d) for d, n in zip(step, mask.shape, strict=True))
        both = (own >= 0) & (number[x, y, z] >= 0)
        rows.append(own[both])
        columns.append(number[x, y, z][both])
        lengths.append(np.full(both.sum(), np.linalg.norm(np.multiply(step, size))))
    graph = sparse.csr_matrix(
        (np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), shape=(mask.sum(),) * 2
    )
    return dijkstra(graph, indices=own[tuple(np.transpose(seeds))])


def random_labels(seed):
    """Two labels in blobs, and a skeleton for each that is scattered over its voxels."""
    rng = np.random.default_rng(seed)
    volume = np.kron(rng.integers(0, 3, (4, 4, 4)), np.ones((3, 3, 3))).astype(np.uint16)
    volume[rng.random(volume.shape) < 0.2] = 0
    found = {}
    for label in (1, 2):
        voxels = np.argwhere(volume == label)
        chosen = voxels[rng.choice(len(voxels), 12, replace=False)]
        found[label] = Skeleton(chosen, [[i, i + 1] for i in range(11)], segid=label)
    return volume, found


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 4, 12), (4, 4, 40)])
@pytest.mark.parametrize("seed", range(3))
def test_nearest_vertices(seed, size):
    """Every voxel has the piece of the nearest vertex, and of equally near ones that of the larger number."""
    volume, given = random_labels(seed)
    in_voxels = {label: one.clone() for label, one in given.items()}
    for one in given.values():
        one.vertices, one.space = one.vertices * np.array(size, np.float32), "physical"
    pieces, copies = skeletons.oversegment(volume, given, anisotropy=size)
    assert pieces.shape == volume.shape
    assert pieces.dtype == np.uint8
    assert (pieces[volume == 0] == 0).all()
    offset = 0
    for label, one in in_voxels.items():
        lengths = distances(volume == label, one.vertices.astype(int), size)
        best = lengths.min(axis=0)
        # Sums of the same steps in another order differ in their last bits.
        last = len(lengths) - 1 - np.argmax((lengths <= best + 1e-6)[::-1], axis=0)
        expected = np.where(np.isfinite(best), offset + 1 + last, 0)
        np.testing.assert_array_equal(pieces[volume == label], expected)
        assert copies[label].segments.tolist() == list(range(offset + 1, offset + 13))
        assert not hasattr(given[label], "segments")
        offset += 12


@pytest.mark.parametrize("form", ["F", "view", "stream", "CrackleArray", "list"])
def test_inputs_agree(form):
    """The pieces do not depend on memory order or compression; an array has the order of the labels."""
    volume, given = random_labels(7)
    expected, _ = skeletons.oversegment(volume, given)
    assert expected.flags.c_contiguous
    labels = volume
    if form == "F":
        labels = np.asfortranarray(volume)
    elif form == "view":
        labels = np.repeat(volume, 2, axis=0)[::2]
    elif form == "stream":
        labels = crackle_zarr.compress(volume)
    elif form == "CrackleArray":
        labels = crackle_zarr.CrackleArray(crackle_zarr.compress(volume))
    pieces, copies = skeletons.oversegment(labels, list(given.values()) if form == "list" else given)
    np.testing.assert_array_equal(pieces, expected)
    assert type(copies) is (list if form == "list" else dict)
    if form in ("F", "stream", "CrackleArray"):
        assert pieces.flags.f_contiguous


def test_many_pieces_need_a_larger_type():
    """More than 255 pieces are uint16, and earlier ones stay as they are."""
    volume = np.ones((300, 2, 2), np.uint8)
    volume[:, :, 1] = 2
    lines = {
        label: Skeleton(
            [(x, 0, label - 1) for x in range(300)], [[x, x + 1] for x in range(299)], segid=label
        )
        for label in (1, 2)
    }
    pieces, _ = skeletons.oversegment(volume, lines)
    assert pieces.dtype == np.uint16
    x = np.arange(300)
    np.testing.assert_array_equal(pieces[:, 0, 0], x + 1)
    np.testing.assert_array_equal(pieces[:, 0, 1], x + 301)
    # With the edges that voxels have here, a step aside is nearest.
    np.testing.assert_array_equal(pieces[:, 1, 0], x + 1)


def test_unreached_and_downsampled():
    """A component without a vertex is 0; ``downsample`` keeps ends and every so-manieth vertex."""
    volume = np.zeros((21, 3, 3), np.uint8)
    volume[:, 0, 0] = volume[:, 2, 2] = 1
    line = Skeleton([(x, 0, 0) for x in range(21)], [[x, x + 1] for x in range(20)], segid=1)
    pieces, copy = skeletons.oversegment(volume, line, downsample=5)
    assert (pieces[:, 2, 2] == 0).all()
    nearest = np.array([max(range(5), key=lambda i: (-abs(x - 5 * i), i)) for x in range(21)])
    np.testing.assert_array_equal(pieces[:, 0, 0], nearest + 1)
    np.testing.assert_array_equal(copy.segments, nearest + 1)


def test_holes_and_absent_labels():
    """``fill_holes`` gives voids to the pieces around; an absent label has no piece."""
    volume = np.ones((5, 5, 5), np.uint8)
    volume[2, 2, 2] = 0
    one = Skeleton([(0, 0, 0), (4, 4, 4)], [[0, 1]], segid=1)
    gone = Skeleton([(0, 0, 0), (4, 4, 4)], [[0, 1]], segid=9)
    assert skeletons.oversegment(volume, one)[0][2, 2, 2] == 0
    pieces, copies = skeletons.oversegment(volume, [one, gone], fill_holes=True)
    assert pieces[2, 2, 2] == 2
    assert set(np.unique(pieces)) == {1, 2}
    assert copies[0].segments.tolist() == [1, 2]


def test_bad_arguments():
    """Two skeletons of a label, and a negative or fractional factor, raise errors that say so."""
    one = Skeleton([(0, 0, 0), (4, 4, 4)], [[0, 1]], segid=1)
    volume = np.ones((5, 5, 5), np.uint8)
    with pytest.raises(ValueError, match="two skeletons have the label 1"):
        skeletons.oversegment(volume, [one, one])
    with pytest.raises(ValueError, match="downsample"):
        skeletons.oversegment(volume, one, downsample=-1)
    with pytest.raises(TypeError, match="downsample"):
        skeletons.oversegment(volume, one, downsample=0.5)


def test_like_kimimaro():
    """With a seed on every vertex, pieces are Kimimaro's up to their names and to ties."""
    kimimaro = pytest.importorskip("kimimaro")
    volume, given = random_labels(3)
    ours, _ = skeletons.oversegment(volume, given)
    theirs, _ = kimimaro.oversegment(
        np.asfortranarray(volume), {label: one.to_osteoid() for label, one in given.items()}
    )
    assert ((ours == 0) == (theirs == 0)).all()
    agree = 0
    for piece in np.unique(ours[ours > 0]):
        agree += np.unique(theirs[ours == piece], return_counts=True)[1].max()
    assert agree >= 0.95 * (ours > 0).sum()
