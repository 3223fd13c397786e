"""Volumes larger than any cache: painted past it, transposed in blocks, and coded by the larger tables."""

from __future__ import annotations

import numpy as np
import pytest

import crackle_zarr

HEADER_NBYTES = 29  # of format version 1; it holds the order

# More than 8 MiB each, with rows that are not a multiple of 16 bytes.
SHAPES = {
    "uint8": (301, 219, 150),
    "uint16": (203, 211, 101),
    "uint32": (257, 131, 71),
    "uint64": (129, 103, 87),
}


def blocks(shape: tuple[int, int, int], dtype: str, noise: float) -> np.ndarray:
    """Labels in oblique blocks, some voxels of which have other labels."""
    rng = np.random.default_rng(7)
    x, y, z = np.indices(shape, sparse=True)
    labels = ((x + z) // 11 * 7 + (y + x // 3) // 9 * 31 + z // 5) % 250
    others = rng.integers(0, 250, shape)
    return np.where(rng.random(shape) < noise, others, labels).astype(dtype)


@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize("dtype", list(SHAPES))
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.9])
def test_round_trip(dtype: str, order: str, noise: float) -> None:
    """Any width, order and density comes back, in memory of any alignment."""
    volume = np.asarray(blocks(SHAPES[dtype], dtype, noise), order=order)
    stream = crackle_zarr.compress(volume)
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    for offset in (0, 1, 3):
        buffer = np.zeros(volume.size + offset + 1, dtype)
        out = buffer[offset : offset + volume.size].reshape(volume.shape, order=order)
        crackle_zarr.decompress(stream, out=out)
        assert np.array_equal(out, volume)
        assert not buffer[:offset].any()
        assert buffer[-1] == 0


@pytest.mark.parametrize("sz", [1, 2, 3, 11, 12, 17])
@pytest.mark.parametrize("dtype", list(SHAPES))
def test_few_slices_in_c_order(dtype: str, sz: int) -> None:
    """A C-order volume of few slices, small or larger than a cache, has the stream of its F-order copy."""
    large = 9 * 2**20 // (515 * np.dtype(dtype).itemsize * sz)
    for shape in ((67, 45, sz), (515, large, sz)):
        volume = blocks(shape, dtype, 0.01)
        streams = {order: crackle_zarr.compress(np.asarray(volume, order=order)) for order in ("C", "F")}
        assert streams["C"][HEADER_NBYTES:] == streams["F"][HEADER_NBYTES:]
        out = np.zeros((*shape[:2], sz), dtype)
        crackle_zarr.decompress(streams["F"], out=out)
        assert np.array_equal(out, volume)
        assert np.array_equal(crackle_zarr.decompress(streams["C"], z_start=sz // 2), volume[..., sz // 2 :])


@pytest.mark.parametrize("order", [1, 3, 5, 7])
def test_models(order: int) -> None:
    """With models of every order, the stream decodes to the volume, also by crackle-codec."""
    crackle = pytest.importorskip("crackle")
    volume = np.asfortranarray(blocks((257, 131, 40), "uint32", 0.05))
    stream = crackle_zarr.compress(volume, markov_model_order=order)
    assert crackle_zarr.header(stream).markov_model_order == order
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    assert np.array_equal(crackle.decompress(stream).reshape(volume.shape), volume)


@pytest.mark.parametrize("order", ["F", "C"])
def test_crackle_codec_reads_it(order: str) -> None:
    """crackle-codec decodes large volumes of either order."""
    crackle = pytest.importorskip("crackle")
    volume = np.asarray(blocks((203, 131, 90), "uint32", 0.01), order=order)
    assert np.array_equal(crackle.decompress(crackle_zarr.compress(volume)).reshape(volume.shape), volume)


def test_mask_of_a_label_that_few_slices_have() -> None:
    """Slices without the label are zeros, also in C order, where slices are painted together."""
    volume = np.ones((150, 140, 130), "uint32")
    volume[20:40, 30:50, 60:63] = 9
    for order in ("F", "C"):
        stream = crackle_zarr.compress(np.asarray(volume, order=order))
        assert np.array_equal(crackle_zarr.decompress(stream, label=9), volume == 9)
