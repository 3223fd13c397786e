"""A dense segmentation of tissue: hard invariants, seams, and totals beside Kimimaro's.

It is a crop of the volume connectomics where that is beside the project, and a synthetic one else.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest
from skeleton_cases import (
    NO_SOMA,
    Array,
    assert_same,
    border_targets,
    check,
    components,
    lonely_labels,
    merged_trees,
    trace,
    traced,
    voxels_of,
)

import crackle_zarr
from crackle_zarr.synthetic import neurons

SPACING = (16, 16, 40)
CONST = 300.0


@pytest.fixture(scope="module", params=["synthetic", "connectomics"])
def tissue(request: pytest.FixtureRequest) -> Array:
    """Labels (x, y, z), F order: 96 x 90 x 84 voxels of tens of neurites."""
    if request.param == "synthetic":
        return neurons((84, 90, 96), dtype=np.uint32).T
    path = request.getfixturevalue("shared") / "data" / "connectomics.npy.ckl.gz"
    if not path.is_file():
        pytest.skip("the volume connectomics is not in shared/data")
    z, y, x = slice(200, 284), slice(210, 300), slice(150, 246)
    stream = crackle_zarr.zrange(crackle_zarr.bload(path), z.start, z.stop)
    return np.asfortranarray(crackle_zarr.decompress(stream)[x, y])


@pytest.fixture(scope="module")
def skeletons(tissue: Array) -> dict[int, Any]:
    return trace(tissue, SPACING, const=CONST, dust_threshold=500, **NO_SOMA)


def test_invariants(tissue: Array, skeletons: dict[int, Any]) -> None:
    """One tree for each component above the dust threshold, and all that must hold exactly."""
    wanted = traced(tissue, SPACING, 500)
    assert len(wanted) > 20
    check(tissue, skeletons, SPACING, 500, const=CONST)


def test_border_targets(tissue: Array, skeletons: dict[int, Any]) -> None:
    """On hundreds of contacts with faces, the target that the rules choose is a vertex."""
    numbers, labels = components(tissue)
    vertices = {label: {*map(tuple, voxels_of(s, SPACING).tolist())} for label, s in skeletons.items()}
    sizes = np.bincount(numbers.ravel())
    seen = 0
    for number, targets in border_targets(numbers, SPACING):
        if sizes[number] > 500:
            assert targets & vertices[labels[number - 1]]
            seen += 1
    assert seen > 50


def test_ways_of_asking(tissue: Array, skeletons: dict[int, Any]) -> None:
    """Threads, memory order, stream with pins or without: the same to the last bit."""
    options = {"const": CONST, "dust_threshold": 500, **NO_SOMA}
    assert_same(trace(np.ascontiguousarray(tissue), SPACING, parallel=2, **options), skeletons)
    assert_same(trace(crackle_zarr.compress(tissue), SPACING, parallel=1, **options), skeletons)
    pins = crackle_zarr.compress(tissue, allow_pins=1, markov_model_order=3)
    assert_same(trace(crackle_zarr.CrackleArray(pins), SPACING, parallel=5, **options), skeletons)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_seam(tissue: Array, axis: int) -> None:
    """Halves with one slice of overlap have the same targets on it, and merge without breaks.

    Merged, no label has more trees than components in the whole. Only components that have two voxels or more
    in a half have a skeleton there, so that labels with single voxels are left out.
    """
    at = tissue.shape[axis] // 2
    low = np.take(tissue, np.arange(at + 1), axis)
    high = np.take(tissue, np.arange(at, tissue.shape[axis]), axis)
    halves = [trace(np.asfortranarray(half), SPACING, const=CONST, **NO_SOMA) for half in (low, high)]
    offsets = [np.zeros(3, int), at * np.eye(3, dtype=int)[axis]]
    lonely: set[int] = set()
    on_plane = []
    for half, offset, skeletons in zip((low, high), offsets, halves, strict=True):
        lonely |= lonely_labels(half)
        on_plane.append(
            {
                (label, *voxel)
                for label, skeleton in skeletons.items()
                for voxel in (voxels_of(skeleton, SPACING) + offset).tolist()
                if voxel[axis] == at
            }
        )
    joined = 0
    for label, count in components_by_label(tissue).items():
        if label in lonely:
            continue
        parts = [(half[label], offset) for half, offset in zip(halves, offsets, strict=True) if label in half]
        assert merged_trees(parts, SPACING) <= count
        joined += len(parts) == 2
    assert joined > 10
    shared = on_plane[0] & on_plane[1]
    _, labels = components(np.take(tissue, at, axis))
    assert {label for label, *_ in shared} >= {*labels} - lonely


def components_by_label(volume: Array) -> dict[int, int]:
    _, labels = components(volume)
    return {label: labels.count(label) for label in set(labels)}


# ---------------------------------------------------------------------------------------
# Kimimaro


@pytest.fixture(scope="module")
def kimimaro() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("kimimaro")
        return importlib.import_module("kimimaro")


def test_totals_beside_kimimaro(tissue: Array, kimimaro: Any) -> None:
    """Totals differ by no more than between Kimimaro and itself on the mirrored volume.

    These are seventy trees, where one branch counts; benchmarks/skeletons.py has narrower gates for hundreds.
    Invalidation by boxes would have a fifth fewer ends, and by balls that leak into other branches a tenth.
    """
    options = {"anisotropy": SPACING, "dust_threshold": 500, "progress": False}
    params = {"scale": 1.5, "const": CONST, "pdrf_scale": 1e5, "pdrf_exponent": 4}
    somas = {**NO_SOMA, "soma_invalidation_scale": 1.0, "soma_invalidation_const": 0.0}
    theirs = kimimaro.skeletonize(tissue.copy(order="F"), {**params, **somas}, **options)
    ours = trace(tissue, SPACING, dust_threshold=500, **params, **somas)
    assert ours.keys() == theirs.keys()
    gates = {
        "cable": (lambda s: float(s.cable_length()), 0.02),
        "vertices": (lambda s: len(s.vertices), 0.015),
        "ends": (lambda s: len(s.terminals()), 0.05),
        "branches": (lambda s: len(s.branches()), 0.10),
    }
    for name, (measure, tolerance) in gates.items():
        totals = [sum(measure(s) for s in each.values()) for each in (ours, theirs)]
        assert totals[0] == pytest.approx(totals[1], rel=tolerance), name
    ratios = [ours[label].cable_length() / theirs[label].cable_length() for label in theirs]
    assert 0.995 <= np.median(ratios) <= 1.005
    low, high = np.percentile(ratios, [5, 95])
    assert low > 0.88
    assert high < 1.12
    equal = np.mean([len(ours[label].terminals()) == len(theirs[label].terminals()) for label in theirs])
    assert equal >= 0.75
