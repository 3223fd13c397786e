"""Every dtype, memory order, shape and option survives compression."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import reference
import reference_writer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from volumes import EDGES, STAIRS_FOR_ORDER, VOLUMES, stairs

import crackle_zarr

Array = npt.NDArray[Any]

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
LARGEST_FOR_REFERENCE = 4000  # voxels


def as_stored(volume: Array) -> Array:
    """The volume as decompress() returns it: bool as u1, in native byte order."""
    dtype = np.dtype(np.uint8) if volume.dtype.kind == "b" else volume.dtype.newbyteorder("=")
    return volume.astype(dtype)


def assert_round_trip(volume: Array, **options: Any) -> bytes:
    """Compress and decompress; small streams also with the reference, which checks every rule."""
    stream = crackle_zarr.compress(volume, **options)
    expected = as_stored(volume)
    array = crackle_zarr.decompress(stream, parallel=options.get("parallel", 1))
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert np.array_equal(array, expected)
    if volume.size <= LARGEST_FOR_REFERENCE:
        result = reference.decode(stream)
        assert np.array_equal(result.array, expected)
        assert result.array.dtype == expected.dtype
        assert result.spurious_branches == 0
        assert result.slack == 0
        assert result.header.is_sorted
        assert result.header.stored_width == reference_writer.fewest_bytes(expected)
        assert result.header.format_version == options.get("format_version", 1)
        assert np.array_equal(np.unique(result.table), np.unique(expected))
        order = options.get("markov_model_order", 3)
        plain = crackle_zarr.compress(volume, **{**options, "markov_model_order": 0})
        if result.header.markov_order == 0:  # a model would not pay, or there are no codes to model
            assert stream == plain
        else:
            assert result.header.markov_order == order
            assert len(stream) < len(plain)
    return stream


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    """Shapes of at most some ten thousand voxels, with axes at the edges of the format's widths."""
    axis = st.one_of(st.integers(1, 12), st.sampled_from([0, 1, 2, 254, 255, 256]))
    shape = draw(st.tuples(axis, axis, axis))
    while np.prod(shape) > 12_000:
        largest = int(np.argmax(shape))
        shape = tuple(1 if n == largest else size for n, size in enumerate(shape))
    return shape


@st.composite
def volumes(draw: st.DrawFn) -> Array:
    """Volumes of every dtype, contiguous in C or F order, or neither, or big-endian."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(shapes())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "b":
        labels = np.array([False, True])
    else:
        info = np.iinfo(dtype)
        few = st.integers(max(info.min, -3), 5)
        some = st.lists(st.one_of(few, st.integers(info.min, info.max)), min_size=1, max_size=6)
        labels = np.array(draw(some), dtype)
    block = draw(st.tuples(*[st.sampled_from([1, 2, 5])] * 3))
    coarse = rng.integers(0, len(labels), [-(-size // step) for size, step in zip(shape, block, strict=True)])
    for axis, step in enumerate(block):
        coarse = np.repeat(coarse, step, axis=axis)
    volume = labels[coarse[: shape[0], : shape[1], : shape[2]]]
    layout = draw(st.sampled_from(["C", "F", "reversed", "every other", "transposed", "big-endian"]))
    if layout in ("C", "F"):
        return np.array(volume, order=layout)
    if layout == "reversed":
        return volume[::-1, :, ::-1]
    if layout == "every other":
        return np.repeat(np.repeat(volume, 2, axis=0), 2, axis=2)[::2, :, ::2]
    if layout == "transposed":
        return np.array(volume.transpose(1, 0, 2), order="C").transpose(1, 0, 2)
    return volume.astype(volume.dtype.newbyteorder(">"))


@settings(max_examples=300)
@given(
    volume=volumes(),
    pins=st.integers(0, 2),
    order=st.one_of(st.just(0), st.integers(1, 2), st.integers(0, 4), st.integers(0, 7)),
    version=st.integers(0, 1),
    parallel=st.integers(1, 3),
)
@example(volume=np.zeros((0, 0, 0), np.int8), pins=2, order=5, version=1, parallel=3)
@example(volume=np.zeros((3, 0, 5), ">i4"), pins=1, order=0, version=0, parallel=2)
@example(volume=np.full((5, 4, 3), -1, np.int64), pins=2, order=3, version=1, parallel=1)
def test_round_trip(volume: Array, pins: int, order: int, version: int, parallel: int) -> None:
    """Any volume comes back under any options, and the reference reads the same from the stream."""
    assert_round_trip(
        volume, allow_pins=pins, markov_model_order=order, format_version=version, parallel=parallel
    )


@settings(max_examples=60)
@given(volume=volumes(), pins=st.integers(1, 2), choice=st.integers(0, 2**32))
def test_round_trip_with_background(volume: Array, pins: int, choice: int) -> None:
    """Any background of the pins gives back the volume."""
    if volume.size == 0:
        return
    background = int(volume.reshape(-1)[choice % volume.size])
    assert_round_trip(volume, allow_pins=pins, bgcolor=background)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("pins", [0, 1, 2])
@pytest.mark.parametrize("name", VOLUMES)
def test_round_trip_of_known_volume(name: str, pins: int, version: int) -> None:
    """The shared volumes come back with and without a Markov model, in both memory orders."""
    volume = VOLUMES[name]()
    for order in (0, 2):
        assert_round_trip(volume, allow_pins=pins, markov_model_order=order, format_version=version)
    # With models of 3 bytes, which pay in most of these volumes, and of 40 bytes, the default.
    for options in ({"markov_model_order": 1}, {}):
        assert_round_trip(np.ascontiguousarray(volume), allow_pins=pins, format_version=version, **options)


@pytest.mark.parametrize("pins", [0, 1, 2])
@pytest.mark.parametrize("name", EDGES)
def test_round_trip_at_width_edge(name: str, pins: int) -> None:
    """Shapes and label counts at which a field of the format grows by a byte come back."""
    volume = EDGES[name]()
    stream = assert_round_trip(volume, allow_pins=pins)
    if volume.size > LARGEST_FOR_REFERENCE and pins != 1 and "sz" not in name:
        assert np.array_equal(reference.decode(stream).array, volume)


@pytest.mark.parametrize("order", range(13))
def test_round_trip_of_markov_order(order: int) -> None:
    """With every Markov order the volume comes back; the order is kept if its model pays."""
    stream = assert_round_trip(VOLUMES["balls"](), markov_model_order=order)
    assert crackle_zarr.header(stream).markov_model_order == (order if order < 4 else 0)
    assert np.array_equal(reference.decode(stream).array, VOLUMES["balls"]())


@pytest.mark.parametrize("order", STAIRS_FOR_ORDER)
def test_round_trip_of_markov_order_that_pays(order: int) -> None:
    """A model of up to 2.6 MB pays in a large enough volume; order 12 would need 10 MB."""
    volume = stairs(STAIRS_FOR_ORDER[order])
    stream = assert_round_trip(volume, markov_model_order=order, parallel=2)
    assert crackle_zarr.header(stream).markov_model_order == order
    if volume.size < 20_000:
        assert np.array_equal(reference.decode(stream).array, volume)


@pytest.mark.parametrize("order", [-1, 13, 15, 16, 256])
def test_markov_order_out_of_range(order: int) -> None:
    """Orders that the format cannot store, or whose models are too large, raise ValueError."""
    with pytest.raises(ValueError, match=str(order)):
        crackle_zarr.compress(VOLUMES["balls"](), markov_model_order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("pins", [0, 2])
def test_memory_order_is_kept(order: str, pins: int) -> None:
    """An array comes back in its memory order."""
    volume = np.array(VOLUMES["balls"](), order=order)
    array = crackle_zarr.decompress(crackle_zarr.compress(volume, allow_pins=pins))
    assert array.flags.c_contiguous == (order == "C")
    assert array.flags.f_contiguous == (order == "F")


@pytest.mark.parametrize("parallel", [2, 3, 5, 64, 0])
@pytest.mark.parametrize("name", ["balls", "noise of 2000", "columns", "constant", "past 2^63"])
def test_threads_do_not_change_the_stream(name: str, parallel: int) -> None:
    """One thread and many make the same bytes, for every kind of labels and codes."""
    volume = VOLUMES[name]()
    for pins, order in ((0, 0), (0, 3), (1, 0), (2, 2)):
        options = {"allow_pins": pins, "markov_model_order": order}
        one = crackle_zarr.compress(volume, parallel=1, **options)
        assert crackle_zarr.compress(volume, parallel=parallel, **options) == one


@pytest.mark.parametrize("name", ["balls", "nested holes", "negative, wide"])
def test_memory_layout_does_not_change_the_stream(name: str) -> None:
    """Order, strides and byte order of the input change at most one bit of the header."""
    volume = VOLUMES[name]()
    fortran = crackle_zarr.compress(volume)
    big = crackle_zarr.compress(volume.astype(volume.dtype.newbyteorder(">")))
    assert big == fortran
    ordered = crackle_zarr.compress(np.ascontiguousarray(volume))
    assert ordered[29:] == fortran[29:]
    assert crackle_zarr.header(ordered).order == "C"
    assert crackle_zarr.header(fortran).order == "F"


@settings(max_examples=40)
@given(volume=volumes(), parallel=st.integers(1, 3), data=st.data())
def test_any_range_and_label(volume: Array, parallel: int, data: st.DataObject) -> None:
    """Ranges of slices and masks of present and absent labels are right."""
    stream = crackle_zarr.compress(volume, allow_pins=data.draw(st.integers(0, 2)))
    expected = as_stored(volume)
    sz = volume.shape[2]
    start = data.draw(st.integers(0, sz))
    end = data.draw(st.integers(start, sz))
    part = crackle_zarr.decompress(stream, z_start=start, z_end=end, parallel=parallel)
    assert np.array_equal(part, expected[:, :, start:end])
    labels = [*np.unique(expected).tolist(), 1]
    label = data.draw(st.sampled_from(labels))
    mask = crackle_zarr.decompress(stream, label=label, parallel=parallel)
    assert mask.dtype == bool
    assert np.array_equal(mask, expected == label)


def test_first_symbol_is_a_branch() -> None:
    """A slice whose first chain begins with a BRANCH survives the spelling of its symbols for a model.

    The walk once left out the first symbol of all, and took its second half for the first half of another.
    """
    rows = ["AAAAAA", "AAAAAA", "AAABCC", "DDDDDD", "DDDDED", "DDDDFD"]
    names = {"A": 39443, "B": 63680, "C": 11120, "D": 29041, "E": 40456, "F": 43949}
    labels = np.array([[names[name] for name in row] for row in rows], np.uint16).reshape(2, 3, 6).T
    for order in range(1, 7):
        assert np.array_equal(
            crackle_zarr.decompress(crackle_zarr.compress(labels, markov_model_order=order)), labels
        )


def test_pins_of_deep_c_order_volume() -> None:
    """Volumes with z fastest are transposed in batches, also if slices are read in descending order."""
    z = np.arange(300)
    labels = (np.arange(12)[:, None, None] // 5 + 3 * (z // 40)[None, None, :]) * np.ones((1, 9, 1), np.int64)
    labels = np.ascontiguousarray(labels.astype(np.uint32))
    for pins in (1, 2):
        stream = crackle_zarr.compress(labels, allow_pins=pins)
        assert crackle_zarr.header(stream).label_format == 2
        assert np.array_equal(crackle_zarr.decompress(stream), labels)
