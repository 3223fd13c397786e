"""Each package reads the streams of the other, and ours are not larger.

crackle-codec takes no signed labels, mangles big-endian ones, and may crash on damage: these tests give it
only sound unsigned streams and volumes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from volumes import EDGES, STAIRS_FOR_ORDER, VOLUMES, cells, noise, stairs

import crackle_zarr

crackle = pytest.importorskip("crackle")

Array = npt.NDArray[Any]

UNSIGNED = [name for name, make in VOLUMES.items() if make().dtype.kind == "u"]
OPTIONS = [(pins, order) for pins in (0, 1, 2) for order in (0, 1, 2, 5)]


def theirs(volume: Array, pins: int = 0, order: int = 0) -> bytes:
    """A stream that crackle-codec writes."""
    return bytes(crackle.compress(volume, allow_pins=pins, markov_model_order=order, parallel=1))


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("name", UNSIGNED)
def test_ours_reads_theirs(name: str, layout: str) -> None:
    """Our package reads theirs: every volume under every option, in both memory orders, and labels."""
    volume = np.array(VOLUMES[name](), order=layout)
    for pins, order in OPTIONS:
        stream = theirs(volume, pins, order)
        array = crackle_zarr.decompress(stream)
        assert np.array_equal(array, volume)
        assert array.dtype == volume.dtype
        assert array.flags.c_contiguous == volume.flags.c_contiguous
        assert array.flags.f_contiguous == volume.flags.f_contiguous
        assert np.array_equal(crackle_zarr.labels(stream), np.unique(volume))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("name", UNSIGNED)
def test_theirs_reads_ours(name: str, layout: str, version: int) -> None:
    """crackle-codec reads ours: every volume under every option, in both orders and versions."""
    volume = np.array(VOLUMES[name](), order=layout)
    for pins, order in OPTIONS:
        stream = crackle_zarr.compress(volume, pins, order, format_version=version)
        array = crackle.decompress(stream)
        assert np.array_equal(array, volume)
        assert array.dtype == volume.dtype


@pytest.mark.parametrize("pins", [0, 1, 2])
@pytest.mark.parametrize("name", [name for name in EDGES if "sz" not in name])
def test_width_edges_both_ways(name: str, pins: int) -> None:
    """Where a field of the format grows by a byte, both packages grow it alike."""
    volume = EDGES[name]()
    assert np.array_equal(crackle_zarr.decompress(theirs(volume, pins)), volume)
    assert np.array_equal(crackle.decompress(crackle_zarr.compress(volume, pins)), volume)


@pytest.mark.parametrize("order", range(11))
def test_markov_orders_both_ways(order: int) -> None:
    """Each package reads the other's streams of every Markov order that crackle-codec advises."""
    volume = VOLUMES["cells"]()
    assert np.array_equal(crackle_zarr.decompress(theirs(volume, 0, order)), volume)
    volume = stairs(STAIRS_FOR_ORDER[order])  # only if the model pays; otherwise ours leaves it out
    stream = crackle_zarr.compress(volume, 0, order)
    assert crackle_zarr.header(stream).markov_model_order == order
    assert np.array_equal(crackle.decompress(stream), volume)


def test_bool_is_read_by_theirs() -> None:
    """A bool volume becomes a stream of one byte per voxel."""
    volume = VOLUMES["bool"]()
    assert np.array_equal(crackle.decompress(crackle_zarr.compress(volume)), volume.view(np.uint8))


@pytest.mark.parametrize("seed", range(40))
def test_random_volumes_both_ways(seed: int) -> None:
    """Each package reads the other's streams of random shapes, labels and options."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 40, 3)
    dtype = np.dtype(rng.choice(["u1", "u2", "u4", "u8"]))
    labels = rng.integers(0, np.iinfo(dtype).max, rng.integers(1, 60), dtype, endpoint=True)
    coarse = rng.choice(labels, shape)
    for axis in range(3):
        coarse = np.repeat(coarse, rng.integers(1, 5), axis=axis)
    volume = np.asfortranarray(coarse[: shape[0], : shape[1], : shape[2]])
    if len(np.unique(volume)) == 1:
        volume[...] = 7  # crackle-codec rounds a single label with pins to a double's 53 bits
    pins, order = int(rng.integers(0, 3)), int(rng.integers(0, 7))
    stream = crackle_zarr.compress(volume, pins, order, format_version=int(rng.integers(0, 2)))
    assert np.array_equal(crackle.decompress(stream), volume)
    stream = theirs(volume, pins, order)
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    label = int(rng.choice(labels))
    assert np.array_equal(crackle_zarr.decompress(stream, label=label), volume == label)


@pytest.mark.parametrize("name", UNSIGNED)
def test_questions_have_their_answers(name: str) -> None:
    """Both agree on labels, their number, extremes and membership, for streams of either."""
    volume = VOLUMES[name]()
    for pins in (0, 1, 2):
        for stream in (theirs(volume, pins), crackle_zarr.compress(volume, pins)):
            assert crackle_zarr.num_labels(stream) == crackle.num_labels(stream)
            assert crackle_zarr.nbytes(stream) == crackle.nbytes(stream)
            assert crackle_zarr.min(stream) == volume.min()
            assert crackle_zarr.max(stream) == volume.max()
            for label in np.unique(volume)[:5].tolist():
                assert crackle_zarr.contains(stream, label)
                assert crackle.contains(stream, label)


def golden(name: str) -> Callable[[Path], Array]:
    return lambda shared: np.load(shared / "golden" / f"{name}.npy")


SEGMENTATIONS: dict[str, Callable[[Path], Array]] = {
    "balls": golden("balls"),
    "real u32, F order": golden("conn_u32_F"),
    "real u32, C order": golden("conn_u32_C"),
    "real u64": golden("conn_u64_F"),
    "real slice": golden("slice2d"),
    "cells": lambda _: cells((96, 80, 24), 200),
    "fine cells": lambda _: cells((64, 64, 16), 900),
    "ones": golden("ones"),
    "columns": lambda _: VOLUMES["columns"](),
    "rings": lambda _: VOLUMES["rings"](),
    "spiral": lambda _: VOLUMES["spiral"](),
    "nested holes": lambda _: VOLUMES["nested holes"](),
}

NOISE: dict[str, Callable[[Path], Array]] = {
    "2 labels": lambda _: noise(2, (64, 60, 10), "u1"),
    "3 labels": lambda _: noise(3, (64, 60, 10), "u1"),
    "2000 labels": lambda _: noise(2000, (64, 60, 10), "u2"),
    "golden, 2 labels": golden("noise_bin"),
    "golden, u32": golden("noise_u32"),
}


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_segmentation_is_not_larger(name: str, shared: Path) -> None:
    """On segmentations, our stream is at most as long as theirs, under every option."""
    volume = SEGMENTATIONS[name](shared)
    lengths = {}
    for pins, order in itertools.product((0, 1, 2), (0, 3, 5)):
        ours = crackle_zarr.compress(volume, pins, order)
        assert np.array_equal(crackle.decompress(ours), volume)
        lengths[f"pins {pins}, order {order}"] = len(ours), len(theirs(volume, pins, order))
    longer = {option: pair for option, pair in lengths.items() if pair[0] > pair[1]}
    assert not longer, "option: (ours, theirs)"


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_hardly_larger(name: str, shared: Path) -> None:
    """On noise, our stream is at most 1 % longer than theirs, under every option."""
    volume = NOISE[name](shared)
    for pins, order in itertools.product((0, 1, 2), (0, 3, 5)):
        ours = crackle_zarr.compress(volume, pins, order)
        assert len(ours) <= 1.01 * len(theirs(volume, pins, order)), (pins, order)
