"""Volumes and their streams, for the tests of the functions on one stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import volumes

import crackle_zarr
from crackle_zarr import _binding
from crackle_zarr.streams import stream

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def brick(dtype: str = "u4", shape: tuple[int, ...] = (7, 6, 5)) -> np.ndarray:
    """Blocks of nine labels, in C order."""
    places = np.indices(shape) // 3
    labels = sum(factor * place for factor, place in zip((1, 3, 6), places, strict=False)) % 9
    return np.ascontiguousarray(labels).astype(dtype)


def edited(volume: np.ndarray, mapping: dict[int, int], **options: Any) -> tuple[np.ndarray, bytes]:
    """A stream whose label table was changed in place: unsorted, or with repeated labels."""
    binary = bytearray(crackle_zarr.compress(volume, **options))
    crackle_zarr.remap(binary, mapping, preserve_missing_labels=True, in_place=True)
    expected = volume.copy(order="A")
    for old, new in mapping.items():
        expected[volume == old] = new
    return expected, bytes(binary)


def plain(volume: np.ndarray, **options: Any) -> tuple[np.ndarray, bytes]:
    return volume, crackle_zarr.compress(volume, **options)


CASES: dict[str, Callable[[], tuple[np.ndarray, bytes]]] = {
    "flat, C": lambda: plain(brick()),
    "flat, F": lambda: plain(volumes.cells()),
    "version 0": lambda: plain(volumes.cells(), format_version=0),
    "Markov order 3": lambda: plain(volumes.balls(), markov_model_order=3),
    "pins": lambda: plain(volumes.columns(), allow_pins=1),
    "pins, chosen, C": lambda: plain(np.ascontiguousarray(volumes.columns()), allow_pins=2),
    "unsorted table": lambda: edited(brick(), {1: 2, 2: 1, 8: 0, 0: 8}),
    "repeating table": lambda: edited(brick(), {1: 2, 5: 2, 8: 0}),
    "unsorted pins": lambda: edited(volumes.balls(), {0: 7000, 1000: 0, 7000: 1}, allow_pins=1),
    "repeating pins": lambda: edited(volumes.balls(), {0: 3000, 5000: 3000}, allow_pins=1),
    "signed": lambda: plain(volumes.palette([-128, -1, 0, 1, 127], "i1")),
    "signed extremes": lambda: plain(volumes.palette([-(2**63), -(2**53) - 1, -1, 0, 2**63 - 1], "i8")),
    "signed, unsorted": lambda: edited(volumes.palette([-3, -1, 0, 2], "i2"), {-3: 2, 2: -3, 0: -2}),
    "past 2^53": lambda: plain(volumes.palette([0, 2**53, 2**53 + 1, 2**63, 2**64 - 1], "u8")),
    "past 2^53, pins": lambda: plain(
        np.asfortranarray(
            np.repeat(volumes.palette([2**53 + 1, 2**53 + 2, 2**64 - 1], "u8")[:, :, :1], 9, 2)
        ),
        allow_pins=1,
    ),
    "another writer's pins": lambda: (
        volumes.columns(),
        pytest.importorskip("crackle").compress(volumes.columns(), allow_pins=1),
    ),
    "constant": lambda: plain(volumes.constant()),
    "one slice": lambda: plain(brick(shape=(9, 8, 1))),
    "one column": lambda: plain(volumes.noise(3, (1, 1, 40))),
}


@cache
def made(name: str) -> tuple[np.ndarray, bytes]:
    volume, binary = CASES[name]()
    volume.flags.writeable = False
    return volume, binary


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, bytes]:
    return made(request.param)


@pytest.fixture
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process volumes slice by slice."""
    monkeypatch.setattr(stream, "SLAB_NBYTES", 1)


def offsets(binary: bytes) -> _binding.Layout:
    return _binding.read_layout(binary)


def flipped(binary: bytes, place: int, bit: int = 0) -> bytes:
    changed = bytearray(binary)
    changed[place] ^= 1 << bit
    return bytes(changed)


def empty(dtype: str = "u4", shape: tuple[int, ...] = (0, 3, 4)) -> bytes:
    return crackle_zarr.compress(np.empty(shape, dtype))


def renamed(volume: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    """The volume with every label mapped by plain Python."""
    flat = [mapping.get(label, label) for label in volume.ravel().tolist()]
    return np.array(flat, dtype=volume.dtype).reshape(volume.shape)
