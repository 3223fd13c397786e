"""Volumes of more than 2^31 and 2^32 voxels, at full size.

The voxels of a volume that is zeros but for a few are untouched pages, which take no memory. A result as
large as the volume is never made: the tests decode some slices, and count the rest.
``CRACKLE_TRUST=full`` adds tests that take minutes or more than 3 GiB. Streams that only claim to be so
large or larger are in tests/c/streams/test_sizes_volumes.c.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import crackle_zarr

Array = npt.NDArray[Any]

pytestmark = pytest.mark.skipif(
    sys.maxsize < 2**32 or not sys.platform.startswith("linux"),
    reason="needs addresses of 64 bits, and memory that is not there until it is written",
)
full = pytest.mark.skipif(os.environ.get("CRACKLE_TRUST") != "full", reason="CRACKLE_TRUST is not full")

# MAP_NORESERVE, for which Python has no name: the system reserves no memory for untouched pages.
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


def zeros(shape: tuple[int, ...], order: Any = "F") -> Array:
    """A volume of zeros in untouched pages."""
    size = int(np.prod(shape, dtype=np.int64))
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    return np.frombuffer(pages, np.uint8).reshape(shape, order=order)


# The first voxel of slice 512 is voxel 2^31, that of slice 1024 is voxel 2^32.
SHAPE = (2048, 2048, 1026)
BOXES = {
    9: (slice(0, 3), slice(0, 2), slice(0, 1)),
    3: (slice(5, 9), slice(3, 5), slice(510, 514)),
    200: (slice(2040, 2048), slice(2047, 2048), slice(1022, 1026)),
    77: (slice(100, 101), slice(1, 2000), slice(1025, 1026)),
}


def size_of(box: tuple[slice, ...]) -> int:
    return int(np.prod([axis.stop - axis.start for axis in box]))


def boxes_in_zeros(order: Any) -> Array:
    volume = zeros(SHAPE, order)
    for label, box in BOXES.items():
        volume[box] = label
    return volume


def assert_has_boxes(stream: bytes) -> None:
    """The stream has these boxes among zeros: counts, and the slices at the powers of two, are right."""
    counts = {label: size_of(box) for label, box in BOXES.items()}
    background = int(np.prod(SHAPE, dtype=np.int64)) - sum(counts.values())
    assert background > 2**32
    assert crackle_zarr.voxel_counts(stream) == {0: background, **counts}
    boxes = crackle_zarr.bounding_boxes(stream)
    assert {label: boxes[label] for label in BOXES} == BOXES
    for z_start, z_end in [(0, 1), (510, 514), (1022, 1026)]:
        slices = np.zeros((*SHAPE[:2], z_end - z_start), np.uint8)
        for label, (x, y, z) in BOXES.items():
            first, last = max(z.start, z_start), min(z.stop, z_end)
            if first < last:
                slices[x, y, first - z_start : last - z_start] = label
        found = crackle_zarr.decompress(stream, z_start=z_start, z_end=z_end)
        assert np.array_equal(found, slices)
        mask = crackle_zarr.decompress(stream, 200, z_start=z_start, z_end=z_end)
        assert np.array_equal(mask, slices == 200)


@pytest.mark.parametrize(
    ("order", "pins", "model"),
    [
        ("F", 0, 0),
        pytest.param("F", 1, 3, marks=full),
        pytest.param("F", 2, 0, marks=full),
        pytest.param("C", 0, 5, marks=full),
        pytest.param("C", 1, 0, marks=full),
    ],
)
def test_volume_past_2_32(order: Any, pins: int, model: int) -> None:
    """A volume of more than 2^32 voxels is encoded with every box in its place."""
    stream = crackle_zarr.compress(boxes_in_zeros(order), pins, model)
    assert crackle_zarr.header(stream).shape == SHAPE
    assert_has_boxes(stream)
    crop = crackle_zarr.decompress(stream, 3, crop=True)
    assert crop.shape == (*SHAPE[:2], 4)
    assert np.count_nonzero(crop) == size_of(BOXES[3])


def test_queries_and_edits_past_2_32() -> None:
    """Contacts, overlaps, components, sums and edits are right past 2^32 voxels, without decoding them."""
    one, two = (crackle_zarr.full((*SHAPE[:2], 1), label, np.uint8) for label in (1, 2))
    stripes = crackle_zarr.zstack([one, two] * (SHAPE[2] // 2))
    whole = crackle_zarr.full(SHAPE, 5, np.uint8)
    slice_voxels = SHAPE[0] * SHAPE[1]
    voxels = slice_voxels * SHAPE[2]
    faces = slice_voxels * (SHAPE[2] - 1)
    assert min(voxels, faces) > 2**32
    assert crackle_zarr.header(stripes).shape == SHAPE

    assert crackle_zarr.contacts(stripes) == {(1, 2): faces}
    assert crackle_zarr.overlaps(whole, whole) == {(5, 5): voxels}
    assert crackle_zarr.overlaps(stripes, whole) == {(1, 5): voxels // 2, (2, 5): voxels // 2}
    assert crackle_zarr.array_equal(whole, crackle_zarr.remap(stripes, {1: 5, 2: 5}))
    assert not crackle_zarr.array_equal(whole, stripes)
    assert crackle_zarr.voxel_counts(whole) == {5: voxels}
    # The middle of an axis, from a sum of coordinates past 2^42.
    assert crackle_zarr.centroids(whole)[5] == pytest.approx([(n - 1) / 2 for n in SHAPE], abs=1e-6)
    joined, label_of = crackle_zarr.connected_components(whole, return_mapping=True)
    assert label_of == {1: 5}
    assert crackle_zarr.voxel_counts(joined) == {1: voxels}
    assert crackle_zarr.codec.ok(whole)
    fewer = crackle_zarr.recompress(crackle_zarr.remap(stripes, {1: 5, 2: 5}))
    assert crackle_zarr.array_equal(whole, fewer)
    pooled = crackle_zarr.mode_pooling_2x2x2(whole)
    assert crackle_zarr.voxel_counts(pooled) == {5: voxels // 8}


@pytest.mark.parametrize(
    ("sx", "sy"),
    [
        (46342, 46341),  # past 2^31
        pytest.param(65537, 65536, marks=full),  # past 2^32
        pytest.param(65536, 65537, marks=full),
    ],
)
def test_slice_past_2_31(sx: int, sy: int) -> None:
    """Components and checksums of one slice are right past 2^31 and 2^32 voxels."""
    volume = zeros((sx, sy, 1))
    marks = {1: (0, 0), 2: (sx // 2, sy // 2), 3: (sx - 1, sy - 2), 4: (sx - 1, sy - 1), 5: (0, sy - 1)}
    for label, (x, y) in marks.items():
        volume[x, y] = label
    stream = crackle_zarr.compress(volume, parallel=1)
    del volume
    counts = crackle_zarr.voxel_counts(stream, parallel=1)
    assert counts == {0: sx * sy - len(marks), **dict.fromkeys(marks, 1)}
    boxes = crackle_zarr.bounding_boxes(stream, parallel=1)
    for label, (x, y) in marks.items():
        assert boxes[label] == (slice(x, x + 1), slice(y, y + 1), slice(0, 1))
    # Two boxes touch at the rim; one is inside; two are in corners.
    contacts = crackle_zarr.contacts(stream, parallel=1, skip_background=False)
    assert contacts == {(0, 1): 2, (0, 2): 4, (0, 3): 2, (0, 4): 1, (0, 5): 2, (3, 4): 1}
    joined, label_of = crackle_zarr.connected_components(stream, return_mapping=True)
    assert sorted(label_of.values()) == [0, *sorted(marks)]
    assert crackle_zarr.voxel_counts(joined, parallel=1)[0] == sx * sy - len(marks)


@full
@pytest.mark.parametrize("order", ["F", "C"])
def test_decoding_past_2_32(order: Any) -> None:
    """A volume of more than 2^32 voxels is decoded at once into its 4.3 GB."""
    stream = crackle_zarr.compress(boxes_in_zeros("F"))
    out = np.zeros(SHAPE, np.uint8, order=order)
    crackle_zarr.decompress(stream, out=out)
    for label, box in BOXES.items():
        assert (out[box] == label).all()
        out[box] = 0
    assert not out.any()


@pytest.mark.parametrize("shape", [(2**32 - 1, 2**32 - 1, 1), (2**31, 2**31, 2)])
def test_volumes_that_no_machine_holds(shape: tuple[int, int, int]) -> None:
    """Larger streams are made, read and edited; calls that need one of their slices raise at once."""
    stream = crackle_zarr.full(shape, 7, np.uint8)
    head = crackle_zarr.header(stream)
    assert head.shape == shape
    assert head.voxels() == int(shape[0]) * shape[1] * shape[2]
    assert crackle_zarr.labels(stream).tolist() == [7]
    assert crackle_zarr.contains(stream, 7)
    edited = crackle_zarr.remap(stream, {7: 255})
    assert crackle_zarr.labels(edited).tolist() == [255]
    assert crackle_zarr.header(crackle_zarr.zrange(edited, 0, 1)).shape == (*shape[:2], 1)
    for ask in (
        crackle_zarr.decompress,
        crackle_zarr.voxel_counts,
        crackle_zarr.contacts,
        crackle_zarr.connected_components,
        crackle_zarr.recompress,
        crackle_zarr.mode_pooling_2x2x2,
        crackle_zarr.voxel_connectivity_graph,
        crackle_zarr.point_cloud,
    ):
        with pytest.raises(MemoryError):
            ask(stream)
    with pytest.raises(MemoryError):
        crackle_zarr.decompress(stream, 7)
    # Sums of coordinates pass 2^64 before memory ends.
    with pytest.raises(ValueError, match="a number that"):
        crackle_zarr.bounding_boxes(stream)


@pytest.mark.parametrize(
    "shape", [(2**32 - 1, 2**32 - 1, 2), (2**31, 2**31, 4), (2**32, 1, 1), (2**64, 1, 1)]
)
def test_shapes_past_the_format(shape: tuple[int, int, int]) -> None:
    """An axis past 2^32 - 1, or more than 2^64 - 1 voxels, raises."""
    with pytest.raises(ValueError, match=r"2\^64 - 1|4294967295"):
        crackle_zarr.full(shape, 7, np.uint8)


def test_slices_without_voxels() -> None:
    """29 bytes may claim 2^32 - 1 empty slices: no answer takes time or memory for them."""
    stream = crackle_zarr.full((2**32 - 1, 0, 2**32 - 1), 7, np.uint8)
    assert len(crackle_zarr.header(stream).shape) == 3
    assert crackle_zarr.labels(stream).tolist() == []
    assert crackle_zarr.voxel_counts(stream) == {}
    assert crackle_zarr.contacts(stream) == {}
    assert crackle_zarr.point_cloud(stream) == {}
    assert crackle_zarr.array_equal(stream, stream)
    assert crackle_zarr.connected_components(stream, return_mapping=True)[1] == {}
    half = crackle_zarr.zrange(stream, 0, 2**31)
    assert crackle_zarr.header(half).shape == (2**32 - 1, 0, 2**31)
    with pytest.raises(ValueError, match="at most 4294967295"):
        crackle_zarr.zstack([half, half])
