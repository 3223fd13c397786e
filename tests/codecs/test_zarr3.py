"""CrackleCodec: configuration, metadata, whole chunks, pipelines."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from chunks import DTYPES, SHAPES, Array, blocks, chunk_bytes
from zarr.core.buffer import default_buffer_prototype
from zarr3_cases import (
    CODECS,
    DTYPES_REFUSED,
    FOREIGN,
    LAYOUTS,
    PIPELINES,
    ZARR,
    create,
    decoded,
    encoded,
    in_pipeline,
    put,
    spec,
)

import crackle_zarr
from crackle_zarr import CrackleCodec, _binding
from crackle_zarr._binding import codec as codec_binding
from crackle_zarr.codecs import zarr_codec


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_configuration(codec: CrackleCodec) -> None:
    """JSON, representation and pickle all make an equal codec."""
    config = json.loads(json.dumps(codec.to_dict()))
    assert CrackleCodec.from_dict(config) == codec
    assert eval(repr(codec)) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert len({codec, CrackleCodec.from_dict(config)}) == 1
    assert sum(other == codec for other in CODECS) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"name": "crackle"},
        {"name": "crackle", "configuration": {}},
        {"name": "crackle", "configuration": {"allow_pins": 0}},
        {"name": "crackle", "configuration": {"markov_model_order": 0, "allow_pins": False}},
    ],
    ids=str,
)
def test_configuration_may_be_missing(config: dict[str, Any]) -> None:
    """A missing option is 0, whatever CrackleCodec() has; all options are written."""
    codec = CrackleCodec.from_dict(config)
    assert codec == CrackleCodec(markov_model_order=0, allow_pins=0)
    assert codec.to_dict() == {"name": "crackle", "configuration": {"markov_model_order": 0, "allow_pins": 0}}


@pytest.mark.parametrize(
    ("config", "error", "match"),
    [
        ({"name": "zstd"}, ValueError, '"name": "crackle", not \'zstd\''),
        ({"configuration": {}}, ValueError, '"name": "crackle", not None'),
        ("crackle", TypeError, "not 'crackle'"),
        ({"name": "crackle", "configuration": [1]}, TypeError, r"not \[1\]"),
        (
            {"name": "crackle", "configuration": {"level": 3}},
            ValueError,
            "markov_model_order, allow_pins, not level",
        ),
        ({"name": "crackle", "configuration": {"markov_model_order": 13}}, ValueError, "not 13"),
        ({"name": "crackle", "configuration": {"markov_model_order": "1"}}, TypeError, "str"),
        ({"name": "crackle", "configuration": {"markov_model_order": None}}, TypeError, "NoneType"),
        ({"name": "crackle", "configuration": {"preset": "small"}}, ValueError, "allow_pins, not preset"),
        ({"name": "crackle", "configuration": {"allow_pins": -1}}, ValueError, "not -1"),
    ],
    ids=str,
)
def test_wrong_configuration(config: Any, error: type[Exception], match: str) -> None:
    """Another name, an unknown option and a value out of range raise an error that names them."""
    with pytest.raises(error, match=match):
        CrackleCodec.from_dict(config)


def test_codec_is_a_constant() -> None:
    """Options are given by name, and cannot be changed."""
    with pytest.raises(TypeError, match="positional"):
        CrackleCodec(3)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        CrackleCodec().allow_pins = 1  # type: ignore[misc]


def test_size_depends_on_the_labels() -> None:
    """The codec raises when asked for the size of a stream beforehand."""
    assert CrackleCodec.is_fixed_size is False
    with pytest.raises(NotImplementedError):
        CrackleCodec().compute_encoded_size(64, spec((4, 4)))


def test_metadata_of_an_array() -> None:
    """zarr.json holds the codec as an object, and the opened array an equal codec."""
    store: dict[str, Any] = {}
    codec = CrackleCodec(markov_model_order=2, allow_pins=1)
    create(store, blocks((4, 60, 50), block=5), (4, 60, 50), serializer=codec)
    assert json.loads(chunk_bytes(store, "zarr.json"))["codecs"] == [
        {"name": "crackle", "configuration": {"markov_model_order": 2, "allow_pins": 1}}
    ]
    assert zarr.open_array(store, mode="r").metadata.codecs == (codec,)
    assert crackle_zarr.header(chunk_bytes(store, "c/0/0/0")).markov_model_order == 2


@pytest.mark.parametrize("kwargs", [{}, {"shards": (8, 8)}], ids=["chunks", "shards"])
@pytest.mark.parametrize("dtype", DTYPES_REFUSED)
def test_no_labels(dtype: str, kwargs: dict[str, Any]) -> None:
    """An array of another dtype than integers or bool raises at creation, in shards too."""
    store: dict[str, Any] = {}
    with pytest.raises(TypeError, match=rf"integers or bool, not {dtype}.*astype\('uint32'\)"):
        zarr.create_array(
            store,
            shape=(8, 8),
            chunks=(4, 4),
            dtype=dtype,
            serializer=CrackleCodec(),
            compressors=None,
            **kwargs,
        )
    assert not store


@pytest.mark.parametrize("dtype", DTYPES_REFUSED)
def test_no_labels_for_the_codec_alone(dtype: str) -> None:
    """validate, evolve_from_array_spec and encode each raise for other dtypes."""
    with pytest.raises(TypeError, match="integers or bool"):
        CrackleCodec().evolve_from_array_spec(spec((4, 4), dtype))
    with pytest.raises(TypeError, match="integers or bool"):
        CrackleCodec().validate(shape=(4, 4), dtype=spec((4, 4), dtype).dtype, chunk_grid=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="integers or bool"):
        encoded(np.zeros((4, 4), dtype))
    codec = CrackleCodec()
    assert codec.evolve_from_array_spec(spec((4, 4), "?")) == codec


# ---------------------------------------------------------------------------------------
# Whole chunks


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: str) -> None:
    """All dtypes, byte orders and numbers of dimensions come back, padded chunks included."""
    for shape in SHAPES:
        labels = blocks(shape, dtype)
        ends = {0, len(shape) - 1}
        chunks = tuple(axis // 2 + 1 if number in ends else axis for number, axis in enumerate(shape))
        for order in "CF":
            array = create({}, labels, chunks, config={"order": order})
            np.testing.assert_array_equal(array[...], labels)
            assert array[...].dtype.newbyteorder("=") == labels.dtype.newbyteorder("=")


@pytest.mark.parametrize("dtype", ["?", "i1", "<u4", ">i8"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout: Callable[[Array], Array], dtype: str) -> None:
    """The memory layout of the chunk does not change the stream."""
    plain = blocks((4, 6, 5), dtype)
    chunk = layout(plain)
    np.testing.assert_array_equal(chunk, plain)
    assert encoded(chunk) == encoded(plain)
    np.testing.assert_array_equal(decoded(encoded(chunk), plain.shape, dtype), plain)


def test_broadcast() -> None:
    """A scalar written into an array, and a chunk of strides 0, are encoded as their labels."""
    chunk = np.broadcast_to(np.arange(40, dtype="<u2"), (5, 30, 40))
    assert encoded(chunk) == encoded(np.array(chunk))
    array = create({}, np.zeros((5, 30, 40), "<u2"), (5, 30, 40))
    array[:] = 7
    assert (array[:] == 7).all()


def test_decoded_dtype() -> None:
    """A chunk is decoded in the byte order of its array in memory."""
    for dtype in (">u4", "<u4"):
        labels = blocks((4, 6, 5), dtype)
        assert decoded(encoded(labels), labels.shape, dtype).dtype == np.dtype(dtype)


def test_chunk_that_the_dtype_cannot_hold() -> None:
    """A chunk of a wider or signed dtype than the array's raises: labels do not wrap around."""
    for given_dtype, dtype in (("<i8", "<u4"), ("<f4", "<u4")):
        buffer = default_buffer_prototype().nd_buffer.from_numpy_array(np.ones((4, 4), given_dtype))
        with pytest.raises(TypeError):
            CrackleCodec()._encode_sync(buffer, spec((4, 4), dtype))
    with pytest.raises(ValueError, match=r"\(4, 4\), and was given as \(4, 5\)"):
        CrackleCodec()._encode_sync(
            default_buffer_prototype().nd_buffer.from_numpy_array(np.ones((4, 5), "<u4")), spec((4, 4))
        )


def test_slices_are_planes_of_the_last_two_axes() -> None:
    """The stream's x is the last axis, and it is rendered in the chunk's bytes."""
    labels = blocks((4, 6, 5))
    store: dict[str, Any] = {}
    create(store, labels, (4, 6, 5))
    volume = crackle_zarr.decompress(chunk_bytes(store, "c/0/0/0"))
    np.testing.assert_array_equal(volume, labels.T)
    assert volume.tobytes(order="A") == labels.tobytes()


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_streams_of_other_writers(write: Callable[[Array], bytes]) -> None:
    """A stream stored by another writer reads the same, whole and in part."""
    labels = blocks((16, 40, 44), block=4)
    store: dict[str, Any] = {}
    array = create(store, labels, labels.shape)
    put(store, "c/0/0/0", write(labels.T))
    np.testing.assert_array_equal(array[:], labels)
    for selection in ((3,), (slice(2, 9, 5), 7), (slice(None), 1, 1)):
        np.testing.assert_array_equal(array[selection], labels[selection])


def test_streams_of_crackle_codec() -> None:
    """crackle-codec reads a stored chunk, and the array reads a chunk of crackle-codec."""
    peer = pytest.importorskip("crackle", reason="crackle-codec is not installed")
    labels = blocks((16, 40, 44), block=4)
    store: dict[str, Any] = {}
    array = create(store, labels, labels.shape)
    np.testing.assert_array_equal(peer.decompress(chunk_bytes(store, "c/0/0/0")), labels.T)
    put(store, "c/0/0/0", peer.compress(labels.T, allow_pins=1))
    np.testing.assert_array_equal(array[:], labels)
    np.testing.assert_array_equal(array[5], labels[5])


@pytest.mark.parametrize("dtype", ["?", "i1", "<u4", ">i8"])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name: str, dtype: str) -> None:
    """Crackle works alone, before compressors, after a transposition and within shards."""
    labels = blocks((14, 20, 17), dtype)
    store: dict[str, Any] = {}
    in_pipeline(store, labels, name)
    array = zarr.open_array(store, mode="r+")
    np.testing.assert_array_equal(array[:], labels)
    # A part of a chunk is written by reading, changing and writing the whole.
    labels[3:9, 5:11, 2:5] = labels[0, 0, 0]
    array[3:9, 5:11, 2:5] = labels[0, 0, 0]
    np.testing.assert_array_equal(array[:], labels)


@pytest.mark.parametrize("name", ["crackle", "zstd behind", "shards"])
def test_missing_chunks_are_fill(name: str) -> None:
    """Chunks never written, or of fill value alone, read as fill value."""
    labels = np.full((14, 20, 17), 7, "u2")
    options = {**PIPELINES[name], "fill_value": 7}
    store: dict[str, Any] = {}
    array = create(store, labels, (4, 8, 8), **options)
    assert set(store) == {"zarr.json"}
    array[13, 19, 16] = labels[13, 19, 16] = 1
    assert len(store) == 2
    np.testing.assert_array_equal(array[:], labels)
    np.testing.assert_array_equal(array[13], labels[13])
    assert array[0, 0, 0] == 7


def test_write_empty_chunks() -> None:
    """If asked to, Zarr stores a chunk of fill value."""
    store: dict[str, Any] = {}
    create(store, np.full((6, 6), 7, "u2"), (4, 4), fill_value=7, config={"write_empty_chunks": True})
    assert crackle_zarr.labels(chunk_bytes(store, "c/0/0")).tolist() == [7]


def test_padding_of_the_last_chunks() -> None:
    """A chunk at the edge of the array is stored whole, padded with the fill value."""
    store: dict[str, Any] = {}
    create(store, np.ones((6, 6), "u2"), (4, 4), fill_value=7)
    assert crackle_zarr.labels(chunk_bytes(store, "c/0/0")).tolist() == [1]
    assert crackle_zarr.labels(chunk_bytes(store, "c/1/1")).tolist() == [1, 7]


@pytest.mark.parametrize("small", [False, True], ids=["large", "small"])
def test_work_of_large_chunks_is_done_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    """The thread that runs an event loop encodes and decodes small chunks, and no others."""
    threads_of_loops: list[bool] = []

    def spy(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            running = True
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                running = False
            threads_of_loops.append(running)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(_binding, "encode", spy(_binding.encode))
    monkeypatch.setattr(_binding, "decode_stream", spy(_binding.decode_stream))
    monkeypatch.setattr(_binding.Reader, "decode", spy(_binding.Reader.decode))
    if not small:
        monkeypatch.setattr(zarr_codec, "_ENCODED_AT_ONCE", 0)
        monkeypatch.setattr(zarr_codec, "_DECODED_AT_ONCE", 0)
    for name in ("crackle", "zstd behind", "shards"):
        array = in_pipeline({}, blocks((14, 20, 17)), name)
        threads_of_loops.clear()
        assert array[:].any()
        assert len(threads_of_loops) > 10
        assert all(threads_of_loops) if small else not any(threads_of_loops)
        assert array[3].any()
        array[...] = blocks((14, 20, 17)) + 1
        assert small or not any(threads_of_loops)


def test_what_is_small() -> None:
    """A chunk of many voxels is not small, nor is one whose stream is long."""
    dense = np.random.default_rng(0).integers(2000, size=(32, 32, 32), dtype="<u4")
    for labels, at_once in ((blocks((16, 16, 16)), True), (dense, False), (blocks((64, 96, 96)), False)):
        names: list[str] = []
        codec = CrackleCodec()
        buffer = default_buffer_prototype().buffer.from_bytes(encoded(labels))

        async def decode(
            codec: Any = codec, buffer: Any = buffer, labels: Any = labels, names: Any = names
        ) -> None:
            names.append(threading.current_thread().name)
            real = codec._decode_sync

            def spied(*args: Any) -> Any:
                names.append(threading.current_thread().name)
                return real(*args)

            object.__setattr__(codec, "_decode_sync", spied)
            await codec._decode_single(buffer, spec(labels.shape, labels.dtype))

        asyncio.run(decode())
        assert (names[0] == names[1]) == at_once


@pytest.mark.parametrize("pins", [0, 1, 2])
@pytest.mark.parametrize("length", [16, 32, 48])
def test_what_is_small_to_encode(length: int, pins: int) -> None:
    """To choose pins takes longer, so with pins only smaller chunks are encoded in the event loop."""
    codec, names = CrackleCodec(allow_pins=pins), []
    real = codec._encode_sync

    def spied(*args: Any) -> Any:
        names.append(threading.current_thread().name)
        return real(*args)

    object.__setattr__(codec, "_encode_sync", spied)
    labels = blocks((length,) * 3)
    given = default_buffer_prototype().nd_buffer.from_numpy_array(labels)
    asyncio.run(codec._encode_single(given, spec(labels.shape, labels.dtype)))
    assert (names == [threading.current_thread().name]) == (length <= (16 if pins else 32))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_batches(number: int) -> None:
    """A pipeline may pass no chunk, one or several, and None for a chunk that does not exist."""
    codec, whole = CrackleCodec(), blocks((5, 6, 7))
    chunks = [whole + np.uint32(one) for one in range(number)]
    like = spec(whole.shape, whole.dtype)
    buffers = [default_buffer_prototype().nd_buffer.from_numpy_array(one) for one in chunks]

    async def there_and_back(given: list[Any]) -> list[Any]:
        streams = list(await codec.encode([(one, like) for one in given]))
        return list(await codec.decode([(one, like) for one in streams]))

    back = asyncio.run(there_and_back(buffers))
    for one, chunk in zip(back, chunks, strict=True):
        np.testing.assert_array_equal(one.as_numpy_array(), chunk)
    assert asyncio.run(there_and_back([None] * number)) == [None] * number


def test_a_stream_of_another_chunk() -> None:
    """One call of C refuses a stream of another shape, width or sign; the error says what it is."""
    labels = blocks((4, 6, 5))
    for shape, dtype in (((4, 5, 6), "<u4"), ((4, 6, 5), "<u8"), ((4, 6, 5), "<i4"), ((6, 5), "<u4")):
        with pytest.raises(crackle_zarr.FormatError, match="the chunk holds a Crackle stream of uint32"):
            decoded(encoded(labels), shape, dtype)
        out = np.empty(shape, dtype).reshape((1, *shape)[-3:])
        assert not _binding.decode_stream(encoded(labels), out.T)
    stream = bytearray(encoded(labels))
    stream[-1] ^= 1
    with pytest.raises(crackle_zarr.FormatError, match="checksum"):
        decoded(bytes(stream), labels.shape)


@pytest.mark.parametrize("order", [0, 3, "auto"])
@pytest.mark.parametrize("pins", [0, 1, 2])
@pytest.mark.parametrize("fortran", [False, True])
def test_one_call_makes_the_same_stream(
    monkeypatch: pytest.MonkeyPatch, order: Any, pins: int, fortran: bool
) -> None:
    """Small chunks are encoded by one call of C, to the bytes that the steps give."""
    for seed, size in enumerate(((1, 1, 1), (5, 6, 7), (20, 30, 9))):
        labels = np.random.default_rng(seed).integers(3 + 40 * pins, size=size, dtype=np.int16)
        volume = np.asfortranarray(labels) if fortran else labels
        options: dict[str, Any] = {"fortran_order": True, "pins": pins, "markov_order": order}
        at_once = _binding.encode(volume, **options)
        with monkeypatch.context() as patch:
            patch.setattr(codec_binding, "VOXELS_AT_ONCE", 0)
            assert _binding.encode(volume, **options) == at_once


def test_synchronous_pair() -> None:
    """The codec has the methods of pipelines without an event loop."""
    if ZARR >= (3, 1, 6):
        from zarr.abc.codec import SupportsSyncCodec

        assert isinstance(CrackleCodec(), SupportsSyncCodec)
    labels = blocks((4, 6, 5))
    np.testing.assert_array_equal(decoded(encoded(labels), labels.shape), labels)
