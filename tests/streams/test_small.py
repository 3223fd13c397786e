"""The preset "small" and the Markov orders: how long streams may be, and who reads them.

With a model, a walk may take short lines of cracks twice (csrc/codec/trail_graph.c). The format allows it and
crackle-codec reads it, but writes no such stream.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import volumes

import crackle_zarr
from crackle_zarr.synthetic import neurons

Array = npt.NDArray[Any]

# The bytes that "small" took when each walk took each crack once. Streams may become shorter, but not longer.
ONCE = {
    "balls": 728,
    "cells": 1164,
    "noise of 2": 631,
    "noise of 2000": 10347,
    "checkerboard": 463,
    "stripes along x": 351,
    "255 labels": 613,
    "257 labels": 1139,
    "rings": 267,
    "spiral": 242,
    "nested holes": 205,
    "diagonals": 182,
    "columns": 7456,
    "negative": 288,
    "past 2^63": 323,
}

# The default's bytes stay as they are, so order 3 is not among these.
ORDERS = [1, 2, 4, 5, 6, 7]


@functools.cache
def tissue() -> Array:
    """Neurons (x, y, z), which have many junctions."""
    volume = neurons((64, 64, 64), seed=5).T
    volume.flags.writeable = False
    return volume


@pytest.mark.parametrize("name", ONCE)
def test_streams_do_not_grow(name: str) -> None:
    """The preset "small" writes no more bytes than before walks could take cracks twice."""
    volume = volumes.VOLUMES[name]()
    stream = crackle_zarr.compress(volume, preset="small")
    assert len(stream) <= ONCE[name]
    np.testing.assert_array_equal(crackle_zarr.decompress(stream), volume)


@pytest.mark.parametrize("shape", [(24, 96, 96), (64, 64, 64)], ids=str)
def test_taking_cracks_twice_saves_bytes(shape: tuple[int, int, int]) -> None:
    """In tissue, "small" needs at most 0.97 of the bytes that it needed with every crack walked once."""
    once = {(24, 96, 96): 7975, (64, 64, 64): 7250}[shape]
    volume = neurons((24, 96, 96), seed=3, dtype=np.uint32).T if shape[0] == 24 else tissue()
    stream = crackle_zarr.compress(volume, preset="small")
    assert len(stream) <= 0.97 * once
    np.testing.assert_array_equal(crackle_zarr.decompress(stream), volume)


@pytest.mark.parametrize("order", ORDERS)
def test_crops_are_not_larger_than_theirs(order: int) -> None:
    """Crops of tissue take no more bytes than crackle-codec needs at the same order, and it reads them."""
    crackle = pytest.importorskip("crackle")
    for side in (12, 16, 24, 32, *([64] if order >= 5 else [])):  # more moves are too many at lower orders
        for corner in itertools.product((0, 64 - side), repeat=3):
            x, y, z = corner
            crop = np.asfortranarray(tissue()[x : x + side, y : y + side, z : z + side])
            ours = crackle_zarr.compress(crop, allow_pins=0, markov_model_order=order)
            theirs = crackle.compress(crop, allow_pins=False, markov_model_order=order)
            assert len(ours) <= len(theirs), (side, corner)
            np.testing.assert_array_equal(crackle.decompress(ours), crop)


def test_small_streams_are_edited_as_others() -> None:
    """Streams whose walks take cracks twice answer, are cut, remapped and encoded again as others are."""
    volume = tissue()
    small = crackle_zarr.CrackleArray(crackle_zarr.compress(volume, preset="small"))
    plain = crackle_zarr.CrackleArray(crackle_zarr.compress(volume, preset="fast"))
    assert crackle_zarr.voxel_counts(small) == crackle_zarr.voxel_counts(plain)
    np.testing.assert_array_equal(small[10:40, :, 7:30], volume[10:40, :, 7:30])
    again = crackle_zarr.codec.reencode(small.binary, 0)
    np.testing.assert_array_equal(crackle_zarr.decompress(again), volume)
