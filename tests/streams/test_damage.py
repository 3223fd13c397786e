"""Damaged streams raise FormatError or give some voxels: they never crash.

In version 1 a checksum covers every byte of a stream, so damage is found or does not matter.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import reference
import reference_writer
from reference_writer import Style
from volumes import cells, noise

import crackle_zarr
from crackle_zarr import FormatError, _binding

Array = npt.NDArray[Any]

MOST_VOXELS = 1 << 20  # a damaged header may claim any shape: the tests do not decode larger volumes


def volume() -> Array:
    """5 x 4 x 3 voxels with labels in three slices: its stream has less than 200 bytes."""
    return np.asfortranarray(cells((5, 4, 3), 5, "u4") % 1000)


STYLES = {
    "flat": Style(wild=False),
    "flat, wild": Style(unsorted=True),
    "permissible": Style(permissible=True, wild=False),
    "pins": Style(pins=True, wild=False),
    "pins, wide": Style(pins=True, pin_widths=(8, 4, 8)),
    "pins, permissible": Style(pins=True, permissible=True),
    "Markov 1": Style(markov_order=1),
    "Markov 2, pins": Style(markov_order=2, pins=True),
}


def stream_of(name: str, version: int) -> bytes:
    """A stream of our writer ("ours ...") or of the reference, in version 0 or 1."""
    if name.startswith("ours"):
        pins, order = {"ours flat": (0, 0), "ours pins": (2, 0), "ours Markov": (1, 2)}[name]
        return crackle_zarr.compress(volume(), pins, order, format_version=version)
    style = STYLES[name]
    style = Style(**{**vars(style), "format_version": version})
    return reference_writer.craft(volume(), style, random.Random(name))


NAMES = [*STYLES, "ours flat", "ours pins", "ours Markov"]


def flips(stream: bytes) -> Iterator[tuple[str, bytes]]:
    """The stream with each of its bits flipped in turn."""
    for at in range(len(stream)):
        for bit in range(8):
            damaged = bytearray(stream)
            damaged[at] ^= 1 << bit
            yield f"byte {at}, bit {bit}", bytes(damaged)


def scattered(stream: bytes, seed: int, first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """The stream with some bytes from ``first`` on overwritten, copied, removed or inserted."""
    rng = random.Random(seed)
    for number in range(count):
        damaged = bytearray(stream)
        for _ in range(rng.choice([1, 2, 3, 8])):
            at = rng.randrange(first, len(damaged))
            kind = rng.randrange(5)
            if kind == 0:
                damaged[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            elif kind == 1:
                damaged[at : at + 4] = rng.randbytes(len(damaged[at : at + 4]))
            elif kind == 2:
                size = rng.randrange(1, 9)
                damaged[at : at + size] = b"\xff" * len(damaged[at : at + size])
            elif kind == 3:
                piece = damaged[at : at + rng.randrange(1, 9)]
                to = rng.randrange(first, len(damaged))
                damaged[to : to + len(piece)] = piece[: len(damaged) - to]
            elif len(damaged) > first + 8:
                del damaged[at]
                damaged.insert(rng.randrange(first, len(damaged)), rng.randrange(256))
        yield f"damage {number}", bytes(damaged)


def outcome(stream: bytes) -> Array | None:
    """The decoded volume, or None for a FormatError or a claim too large to decode here."""
    try:
        header = crackle_zarr.header(stream)
        if header.voxels() > MOST_VOXELS:
            _binding.Reader(stream).table()
            return None
        array = crackle_zarr.decompress(stream, parallel=1)
    except FormatError:
        return None
    assert array.shape == header.shape
    assert array.dtype == header.dtype
    return array


def poke(stream: bytes) -> None:
    """Ask a damaged stream every question; each answer may be wrong or a FormatError, but must come."""
    try:
        reader = _binding.Reader(stream)
    except FormatError:
        return
    sx, sy, sz = reader.header.shape
    if reader.header.voxels() > MOST_VOXELS or sz > MOST_VOXELS:
        return
    out = np.empty((sx, sy, sz), reader.header.dtype, order="C")
    mask = np.empty((sx, sy, sz), np.uint8, order="F")
    asks = [
        lambda: reader.decode(out, 0, sz, verify=False),
        lambda: reader.decode(mask, 0, sz, label=3, verify=False),
        lambda: reader.decode(mask[:, :, sz // 2 :], sz // 2, sz, label=3),
        lambda: reader.table(verify=False),
        lambda: reader.contains(3, verify=False),
        reader.component_counts,
        lambda: _binding.relabel(stream, reader.table(verify=False), reader.header.dtype, True),
    ]
    for ask in asks:
        try:
            ask()
        except (FormatError, OverflowError):  # a label of a damaged table may not fit the dtype
            continue


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_stream_is_sound_before_damage(name: str, version: int) -> None:
    """The streams that the tests below damage decode to their volume."""
    stream = stream_of(name, version)
    assert len(stream) < 400
    assert np.array_equal(reference.decode(stream).array, volume())
    assert np.array_equal(crackle_zarr.decompress(stream), volume())


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_refused(name: str, version: int) -> None:
    """A stream cut anywhere raises FormatError."""
    stream = stream_of(name, version)
    for length in range(len(stream)):
        poke(stream[:length])
        with pytest.raises(FormatError):
            crackle_zarr.decompress(stream[:length], parallel=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_flip_is_harmless_in_version_1(name: str) -> None:
    """A flipped bit raises FormatError, or the voxels are still right."""
    expected = volume()
    label = int(expected[0, 0, 1])
    stream = stream_of(name, 1)
    listed = crackle_zarr.labels(stream)  # including labels that no voxel has
    refused = 0
    for place, damaged in flips(stream):
        poke(damaged)
        array = outcome(damaged)
        assert array is None or np.array_equal(array, expected), place
        refused += array is None
        for ask, answer in (
            (lambda s: crackle_zarr.decompress(s, label, 1), expected == label),
            (lambda s: crackle_zarr.decompress(s, parallel=1, z_start=1, z_end=2), expected[:, :, 1:2]),
            (crackle_zarr.labels, listed),
        ):
            try:
                assert np.array_equal(ask(damaged), answer), place
            except FormatError:
                continue
    assert refused > 6 * len(stream)  # most bits of most bytes matter


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_flip_is_survived_in_version_0(name: str) -> None:
    """Without checksums a flipped bit may change voxels, but shape and dtype are the header's."""
    for _, damaged in flips(stream_of(name, 0)):
        poke(damaged)
        outcome(damaged)


@pytest.mark.parametrize("name", NAMES)
def test_scattered_damage_is_harmless_in_version_1(name: str) -> None:
    """Many damaged bytes behind the header raise FormatError, or the voxels are still right."""
    expected = volume()
    for place, damaged in scattered(stream_of(name, 1), seed=1, first=29, count=400):
        poke(damaged)
        array = outcome(damaged)
        assert array is None or np.array_equal(array, expected), place


@pytest.mark.parametrize("name", NAMES)
def test_scattered_damage_is_survived_in_version_0(name: str) -> None:
    """In version 0, with a damaged header too, the result has the shape that the header claims."""
    for _, damaged in scattered(stream_of(name, 0), seed=2, first=5, count=600):
        poke(damaged)
        outcome(damaged)


@pytest.mark.parametrize("name", ["flat", "pins", "Markov 1"])
def test_forged_header_is_survived(name: str) -> None:
    """A damaged header with a right checksum causes no crash."""
    stream = stream_of(name, 1)
    rng = random.Random(name)
    for _ in range(1500):
        header = bytearray(stream[:29])
        for _ in range(rng.choice([1, 1, 2, 4])):
            header[rng.randrange(5, 28)] ^= 1 << rng.randrange(8)
        header[28] = reference.crc8(bytes(header[5:28]))
        damaged = bytes(header) + stream[29:]
        poke(damaged)
        outcome(damaged)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("pins", [0, 2])
def test_damage_to_a_larger_stream_is_survived(pins: int, version: int) -> None:
    """Damage is survived with some hundred components in a slice, long chains and Markov order 3."""
    noisy = noise(5, (40, 37, 4), "u2")
    noisy[5:30, 5:30, :] = 9
    stream = crackle_zarr.compress(noisy, pins, 3, format_version=version)
    for place, damaged in scattered(stream, seed=3, first=29 if version else 24, count=300):
        poke(damaged)
        array = outcome(damaged)
        if version:
            assert array is None or np.array_equal(array, noisy), place
