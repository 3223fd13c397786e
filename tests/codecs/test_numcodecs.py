"""The numcodecs codec and the mapping of a chunk to the volume of a stream."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numcodecs
import numpy as np
import pytest
from chunks import DTYPES, SHAPES, Array, blocks
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import crackle_zarr
from crackle_zarr import Crackle, FormatError
from crackle_zarr.codecs.chunk import as_volume, volume_shape

# ---------------------------------------------------------------------------------------
# A chunk and its volume


@pytest.mark.parametrize(
    ("shape", "volume"),
    [
        ((), (1, 1, 1)),
        ((7,), (7, 1, 1)),
        ((5, 6), (6, 5, 1)),
        ((4, 5, 6), (6, 5, 4)),
        ((2, 3, 5, 6), (6, 5, 6)),
        ((2, 3, 4, 5, 6), (6, 5, 24)),
        ((1, 1, 1, 1), (1, 1, 1)),
        ((0,), (0, 1, 1)),
        ((3, 0, 5), (5, 0, 3)),
        ((0, 4, 5), (5, 4, 0)),
        ((2**32 - 1, 1, 1), (1, 1, 2**32 - 1)),
    ],
    ids=str,
)
def test_volume_shape(shape: tuple[int, ...], volume: tuple[int, int, int]) -> None:
    """The last axis is x, the one before it y, the product of the others z; missing axes are 1."""
    assert volume_shape(shape) == volume


@pytest.mark.parametrize("shape", [(2**32,), (2**32, 1), (2**16, 2**16, 1, 1), (2**33, 0, 4)], ids=str)
def test_volume_that_a_stream_cannot_count(shape: tuple[int, ...]) -> None:
    """An axis, or a product of leading axes, past 32 bits raises with the limit and the shape."""
    with pytest.raises(ValueError, match=r"may exceed 4294967295: use smaller chunks") as caught:
        volume_shape(shape)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_volume_is_the_same_memory(shape: tuple[int, ...], order: Any) -> None:
    """A contiguous chunk of either order becomes a volume with x fastest, without a copy."""
    chunk = np.asarray(blocks(shape), order=order)
    volume = as_volume(chunk)
    assert np.shares_memory(volume, chunk)
    assert volume.flags.f_contiguous
    assert volume.tobytes(order="F") == chunk.tobytes(order="A")


def test_volume_of_a_strided_chunk() -> None:
    """A chunk that is contiguous in no order has no volume."""
    with pytest.raises(ValueError, match="not contiguous"):
        as_volume(blocks((4, 6, 8))[:, ::2, ::2])


# ---------------------------------------------------------------------------------------
# Round trips


def decoded(codec: Crackle, stream: bytes, like: Array, order: Any = "C") -> Array:
    """The decoded stream as Zarr format 2 interprets it."""
    flat = np.asarray(codec.decode(stream)).view(like.dtype).reshape(-1, order="A")
    return flat.reshape(like.shape, order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: str, order: Any) -> None:
    """All dtypes, byte orders, memory orders and numbers of dimensions come back bit by bit."""
    for shape in SHAPES:
        chunk = np.asarray(blocks(shape, dtype), order=order)
        stream = Crackle().encode(chunk)
        assert isinstance(stream, bytes)
        result = decoded(Crackle(), stream, chunk, order)
        np.testing.assert_array_equal(result, chunk)


@pytest.mark.parametrize("allow_pins", [0, 1, 2])
@pytest.mark.parametrize("markov_model_order", [0, 1, 5, 12, "auto"])
def test_round_trip_with_options(markov_model_order: Any, allow_pins: int) -> None:
    """Chunks come back with every option, and the Markov order reaches the stream."""
    chunk = blocks((24, 96, 96), block=5)
    codec = Crackle(markov_model_order, allow_pins)
    stream = codec.encode(chunk)
    order = crackle_zarr.header(stream).markov_model_order
    if markov_model_order == "auto":
        assert order > 0
        assert len(stream) < len(Crackle(0, allow_pins).encode(chunk))
    else:  # a model of order 12 is longer than the chunk
        assert order == (0 if markov_model_order == 12 else markov_model_order)
    # The stream says all: the decoding codec needs no options.
    np.testing.assert_array_equal(decoded(Crackle(), stream, chunk), chunk)


def test_pins_reach_the_stream() -> None:
    """If labels extend through many slices, allow_pins stores them as pins."""
    chunk = np.repeat(blocks((1, 40, 40), block=5), 30, axis=0)
    assert crackle_zarr.header(Crackle(allow_pins=1).encode(chunk)).label_format == 2
    assert crackle_zarr.header(Crackle().encode(chunk)).label_format == 0


@given(
    hnp.arrays(
        dtype=st.sampled_from([np.dtype(dtype) for dtype in DTYPES]),
        shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
    ),
    st.sampled_from("CF"),
)
def test_round_trip_of_anything(chunk: Array, order: Any) -> None:
    """Arbitrary labels in arbitrary shapes come back, axes of 0 included."""
    chunk = np.asarray(chunk, order=order)
    np.testing.assert_array_equal(decoded(Crackle(), Crackle().encode(chunk), chunk, order), chunk)


def unaligned(chunk: Array) -> Array:
    memory = bytearray(chunk.nbytes + 1)
    view = np.frombuffer(memory, dtype=chunk.dtype, offset=1, count=chunk.size).reshape(chunk.shape)
    view[...] = chunk
    assert not view.flags.aligned or chunk.itemsize == 1
    return view


def read_only(chunk: Array) -> Array:
    chunk = chunk.copy()
    chunk.flags.writeable = False
    return chunk


LAYOUTS = {
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "axes swapped": lambda a: a.transpose(1, 0, 2).copy().transpose(1, 0, 2),
    "read-only": read_only,
    "unaligned": unaligned,
    "subclass": lambda a: a.copy().view(type("Subclass", (np.ndarray,), {})),
}


@pytest.mark.parametrize("dtype", ["?", "<i2", ">u8"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout: Any, dtype: str) -> None:
    """A chunk that is not contiguous, aligned or writable gives the same stream, in C order."""
    plain = blocks((4, 6, 5), dtype)
    chunk = layout(plain)
    np.testing.assert_array_equal(chunk, plain)
    assert Crackle().encode(chunk) == Crackle().encode(plain)


def test_broadcast() -> None:
    """A chunk with strides of 0 is encoded, even if memory cannot hold two copies of it."""
    chunk = np.broadcast_to(np.array(7, dtype="<u2"), (5, 30, 40))
    stream = Crackle().encode(chunk)
    np.testing.assert_array_equal(decoded(Crackle(), stream, np.array(chunk)), chunk)


def test_bool_is_zero_or_one() -> None:
    """A bool byte other than 0 and 1 is true, and true is stored as 1."""
    chunk = np.array([[0, 1, 2, 255]], dtype="u1").view(bool)
    assert crackle_zarr.labels(Crackle().encode(chunk)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("order", "volume"), [("C", lambda a: a.T), ("F", lambda a: a)], ids=["C order", "F order"]
)
def test_stream_is_a_plain_stream(order: Any, volume: Any) -> None:
    """Any reader of Crackle gets the chunk in (x, y, z), rendered in the chunk's bytes."""
    chunk = np.asarray(blocks((4, 6, 5)), order=order)
    stream = Crackle().encode(chunk)
    result = crackle_zarr.decompress(stream)
    np.testing.assert_array_equal(result, volume(chunk))
    assert result.tobytes(order="A") == chunk.tobytes(order="A")


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_streams_of_other_writers(order: Any, version: int) -> None:
    """A stream of either version and order decodes to the bytes of its writer."""
    volume = np.asarray(blocks((6, 5, 4)), order=order)
    stream = crackle_zarr.compress(volume, format_version=version)
    assert np.asarray(Crackle().decode(stream)).tobytes() == volume.tobytes(order="A")


def test_streams_of_crackle_codec() -> None:
    """crackle-codec and the codec read each other's streams."""
    peer = pytest.importorskip("crackle", reason="crackle-codec is not installed")
    chunk = blocks((9, 33, 30), block=5)
    np.testing.assert_array_equal(peer.decompress(Crackle().encode(chunk)), chunk.T)
    np.testing.assert_array_equal(decoded(Crackle(), peer.compress(chunk.T), chunk), chunk)


def test_threads() -> None:
    """Eight threads can encode and decode with one codec at once."""
    codec = Crackle(markov_model_order=3)
    many = [blocks((8, 40, 40), block=4, seed=seed) for seed in range(32)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda chunk: decoded(codec, codec.encode(chunk), chunk), many))
    for result, volume in zip(results, many, strict=True):
        np.testing.assert_array_equal(result, volume)


# ---------------------------------------------------------------------------------------
# Byte order


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype[0] == ">"])
def test_big_endian_with_its_option(dtype: str) -> None:
    """With byteorder='>' the stream holds the labels, and they come back big-endian."""
    chunk = blocks((4, 6, 5), dtype)
    codec = Crackle(byteorder=">")
    stream = codec.encode(chunk)
    assert crackle_zarr.labels(stream).tolist() == np.unique(chunk).tolist()
    result = np.asarray(codec.decode(stream))
    assert result.dtype == chunk.dtype
    np.testing.assert_array_equal(result.reshape(chunk.shape), chunk)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype[0] == ">"])
def test_big_endian_without_its_option(dtype: str) -> None:
    """Without the option the bytes come back, and the stream holds byte-swapped labels."""
    chunk = blocks((4, 6, 5), dtype)
    stream = Crackle().encode(chunk)
    assert np.asarray(Crackle().decode(stream)).tobytes() == chunk.tobytes()
    swapped = crackle_zarr.labels(stream).byteswap()
    assert sorted(swapped.tolist()) == np.unique(chunk).tolist()


def test_stream_of_little_endian_numbers_holds_their_labels() -> None:
    """Option and machine do not change the stream of a little-endian array."""
    chunk = blocks((4, 6, 5), "<i8")
    assert crackle_zarr.labels(Crackle().encode(chunk)).tolist() == np.unique(chunk).tolist()
    assert Crackle(byteorder="<").encode(chunk) == Crackle().encode(chunk)


def test_byteorder_that_is_not_the_arrays() -> None:
    """byteorder='>' refuses little-endian numbers, but takes bytes, which have no byte order."""
    with pytest.raises(ValueError, match=r"big-endian arrays, not '<u4'"):
        Crackle(byteorder=">").encode(blocks((4, 6, 5), "<u4"))
    chunk = blocks((4, 6, 5), "i1")
    assert Crackle(byteorder=">").encode(chunk) == Crackle().encode(chunk)


# ---------------------------------------------------------------------------------------
# decode(out=...)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["?", "i1", "<u4", ">u4", "<i8"])
def test_out(dtype: str, order: Any) -> None:
    """decode fills an array of the chunk's shape and order in place, and returns it."""
    chunk = np.asarray(blocks((4, 6, 5), dtype), order=order)
    for codec in (Crackle(), Crackle(byteorder=">") if dtype[0] == ">" else Crackle(byteorder="<")):
        out = np.empty_like(chunk)
        assert codec.decode(codec.encode(chunk), out) is out
        np.testing.assert_array_equal(out, chunk)


@pytest.mark.parametrize("codec", [Crackle(), Crackle(byteorder=">")], ids=str)
def test_out_of_other_kinds(codec: Crackle) -> None:
    """decode also fills memory of another dtype or shape, unaligned memory, and plain buffers."""
    chunk = blocks((4, 6, 5), ">u4")
    stream = codec.encode(chunk)
    for out in (
        np.empty(chunk.nbytes, "u1"),
        np.empty((2, 60), "f4"),
        unaligned(chunk),
        bytearray(chunk.nbytes),
    ):
        memory = memoryview(out).cast("B") if isinstance(out, bytearray) else out.view("u1").reshape(-1)
        memory[:] = bytes(chunk.nbytes) if isinstance(out, bytearray) else 0
        assert codec.decode(stream, out) is out
        assert bytes(memory) == chunk.tobytes()


@pytest.mark.parametrize(
    ("out", "error", "match"),
    [
        (np.empty(119, "<u4"), ValueError, "480 bytes, and out has 476"),
        (np.empty(121, "<u4"), ValueError, "480 bytes, and out has 484"),
        (np.empty((4, 6, 10), "<u4")[:, :, ::2], ValueError, "contiguous"),
        (read_only(np.empty((4, 6, 5), "<u4")), ValueError, "read-only"),
        (bytes(480), ValueError, "read-only"),
        (np.empty((4, 6, 5), object), TypeError, "object"),
        ([0] * 120, TypeError, "list"),
        ("out", TypeError, "str"),
    ],
    ids=["small", "large", "strided", "read-only", "bytes", "objects", "list", "str"],
)
def test_out_that_cannot_be_filled(out: Any, error: type[Exception], match: str) -> None:
    """Memory of a wrong size or kind raises an error that describes it."""
    stream = Crackle().encode(blocks((4, 6, 5)))
    with pytest.raises(error, match=match):
        Crackle().decode(stream, out)


# ---------------------------------------------------------------------------------------
# Options and configuration

CODECS = [Crackle(), Crackle(5), Crackle(0, 2), Crackle(12, 1, byteorder=">")]


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_configuration(codec: Crackle) -> None:
    """Configuration, representation and pickle all make an equal codec."""
    config = json.loads(json.dumps(codec.get_config()))
    assert numcodecs.get_codec(config) == codec
    assert eval(repr(codec)) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert len({codec, numcodecs.get_codec(config)}) == 1
    assert sum(other == codec for other in CODECS) == 1
    assert codec != config


def test_default_configuration() -> None:
    """The configuration names the options that change bytes, and a byte order only if one is set."""
    assert Crackle().get_config() == {"id": "crackle", "markov_model_order": 3, "allow_pins": 0}
    assert repr(Crackle()) == "Crackle(markov_model_order=3, allow_pins=0)"
    assert Crackle(byteorder=">").get_config()["byteorder"] == ">"
    assert Crackle(byteorder="<") == Crackle()
    assert Crackle(allow_pins=True) == Crackle(allow_pins=1)
    # Options missing from metadata are 0, and not the default of this release.
    assert numcodecs.get_codec({"id": "crackle"}) == Crackle(0, 0)
    assert numcodecs.get_codec({"id": "crackle", "allow_pins": 1}) == Crackle(0, 1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"markov_model_order": 13}, ValueError, "0 .* to 12, or 'auto', not 13"),
        ({"markov_model_order": -1}, ValueError, "0 .* to 12, or 'auto', not -1"),
        ({"markov_model_order": 2.0}, TypeError, "float"),
        ({"markov_model_order": True}, TypeError, "bool"),
        ({"markov_model_order": "best"}, TypeError, "'auto', not 'best' of type str"),
        ({"markov_model_order": None}, TypeError, "NoneType"),
        ({"allow_pins": None}, TypeError, "NoneType"),
        ({"allow_pins": 3}, ValueError, "not 3"),
        ({"allow_pins": "yes"}, TypeError, "str"),
        ({"byteorder": "="}, ValueError, "'<', '>' or None, not '='"),
        ({"level": 3}, ValueError, "markov_model_order, allow_pins, byteorder, not level"),
        ({"preset": "small"}, ValueError, "markov_model_order, allow_pins, byteorder, not preset"),
    ],
    ids=str,
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], match: str) -> None:
    """An option out of range, of a wrong type or of an unknown name raises at once."""
    with pytest.raises(error, match=match):
        numcodecs.get_codec({"id": "crackle", **options})


# ---------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("chunk", "match"),
    [
        (np.zeros((2, 3), "f4"), "not float32"),
        (np.zeros((2, 3), "f2"), "not float16"),
        (np.zeros((2, 3), "c8"), "not complex64"),
        (np.zeros((2, 3), object), "not object"),
        (np.zeros((2, 3), "M8[s]"), r"not datetime64\[s\]"),
        (np.zeros((2, 3), "m8[s]"), r"not timedelta64\[s\]"),
        (np.zeros((2, 3), "U4"), "not <U4"),
        (np.zeros((2, 3), "S4"), r"not \|S4"),
        (np.zeros((2, 3), [("a", "u4")]), r"not \[\('a'"),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_no_labels(chunk: Array, match: str) -> None:
    """Other dtypes than integers and bool raise with the dtype and the alternative."""
    with pytest.raises(TypeError, match=match) as caught:
        Crackle().encode(chunk)
    assert "integers or bool" in str(caught.value)
    assert "astype('uint32')" in str(caught.value)


@pytest.mark.parametrize("chunk", [b"abcd", bytearray(4), memoryview(b"abcd"), [1, 2], 5, None], ids=repr)
def test_no_array(chunk: Any) -> None:
    """Bytes, which have no shape, raise an error that names a filter as the likely cause."""
    with pytest.raises(TypeError, match=f"not {type(chunk).__name__}. If a filter before it"):
        Crackle().encode(chunk)


def test_masked_array() -> None:
    """Masked arrays raise, because the mask would be lost."""
    with pytest.raises(TypeError, match="without a mask"):
        Crackle().encode(np.ma.masked_equal(np.zeros((2, 3), "u4"), 0))


@pytest.mark.parametrize("stream", [b"", b"crkl", b"PK\x03\x04" + bytes(60), bytes(100)], ids=repr)
def test_foreign_bytes(stream: bytes) -> None:
    """Bytes that are not a Crackle stream raise FormatError."""
    with pytest.raises(FormatError):
        Crackle().decode(stream)


@pytest.mark.parametrize("stream", ["crkl", 5, None, [1, 2]], ids=repr)
def test_no_bytes(stream: Any) -> None:
    """An object that is not bytes-like raises TypeError."""
    with pytest.raises(TypeError, match="bytes"):
        Crackle().decode(stream)


@pytest.mark.parametrize("with_out", [False, True], ids=["new", "out"])
def test_damage(with_out: bool) -> None:
    """Every truncation raises FormatError; every flipped bit does, or changes no voxel."""
    chunk = blocks((3, 4, 5), "<u2")
    stream = Crackle(markov_model_order=1).encode(chunk)
    out = np.empty_like(chunk) if with_out else None
    for length in range(len(stream)):
        with pytest.raises(FormatError):
            Crackle().decode(stream[:length], out)
    unnoticed = 0
    for position in range(8 * len(stream)):
        flipped = bytearray(stream)
        flipped[position // 8] ^= 1 << position % 8
        with contextlib.suppress(FormatError):
            assert np.asarray(Crackle().decode(flipped, out)).tobytes() == chunk.tobytes()
            unnoticed += 1
    assert (
        unnoticed <= 24 + 3 * 7
    )  # in the Markov model, which has no checksum, and in the padding after 3 slices


def test_random_damage_of_larger_streams() -> None:
    """Several changed bytes at once never give other voxels."""
    chunk = blocks((6, 20, 20), "<u4", block=3)
    stream = Crackle().encode(chunk)
    rng = random.Random(0)
    for _ in range(300):
        candidate = bytearray(stream)
        for _ in range(rng.randint(1, 4)):
            candidate[rng.randrange(len(candidate))] = rng.randrange(256)
        with contextlib.suppress(FormatError):
            assert np.asarray(Crackle().decode(candidate)).tobytes() == chunk.tobytes()
