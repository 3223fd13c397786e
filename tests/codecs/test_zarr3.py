"""Zarr format 3 with Crackle as its serializer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from chunks import DTYPES, SHAPES, Array, CountingStore, blocks, chunk_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype

import crackle_zarr
from crackle_zarr import CrackleCodec, FormatError, _binding
from crackle_zarr.codecs import chunk, zarr_codec
from crackle_zarr.streams import ranges

ZARR = tuple(int(part) for part in zarr.__version__.split(".")[:3])


def create(store: Any, labels: Array, chunks: tuple[int, ...], **kwargs: Any) -> Any:
    """An array with the given labels, Crackle as its serializer, and nothing behind unless given."""
    options: dict[str, Any] = {
        "serializer": CrackleCodec(),
        "compressors": None,
        "filters": None,
        "fill_value": 0,
    }
    if labels.dtype.kind == "b":
        options["fill_value"] = False
    options.update(kwargs)
    # Before 3.1, format 3 takes native dtypes only; it never stores a byte order.
    dtype = labels.dtype if ZARR >= (3, 1) else labels.dtype.newbyteorder("=")
    array = zarr.create_array(store, shape=labels.shape, chunks=chunks, dtype=dtype, **options)
    array[...] = labels
    return array


def spec(shape: tuple[int, ...], dtype: Any = "<u4", order: Any = "C") -> ArraySpec:
    """The specification of a chunk, as the Zarr at hand wants it."""
    native: Any = np.dtype(dtype)
    if ZARR >= (3, 1):
        from zarr.core.dtype import get_data_type_from_native_dtype

        native = get_data_type_from_native_dtype(native)
    config = ArrayConfig(order=order, write_empty_chunks=False)
    return ArraySpec(
        shape=shape, dtype=native, fill_value=0, config=config, prototype=default_buffer_prototype()
    )


def encoded(chunk: Array, codec: CrackleCodec | None = None) -> bytes:
    buffer = default_buffer_prototype().nd_buffer.from_numpy_array(chunk)
    stream = (codec or CrackleCodec())._encode_sync(buffer, spec(chunk.shape, chunk.dtype))
    return bytes(stream.to_bytes())


def decoded(stream: bytes, shape: tuple[int, ...], dtype: Any = "<u4") -> Array:
    buffer = default_buffer_prototype().buffer.from_bytes(stream)
    return CrackleCodec()._decode_sync(buffer, spec(shape, dtype)).as_numpy_array()


def put(store: dict[str, Any], key: str, stream: bytes) -> None:
    store[key] = default_buffer_prototype().buffer.from_bytes(stream)


# ---------------------------------------------------------------------------------------
# Metadata

CODECS = [
    CrackleCodec(),
    CrackleCodec(markov_model_order=5),
    CrackleCodec(allow_pins=2),
    CrackleCodec(markov_model_order=12, allow_pins=1),
    CrackleCodec(markov_model_order="auto"),
]


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_configuration(codec: CrackleCodec) -> None:
    """JSON, representation and pickle all lead back to an equal codec."""
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
    """An option that is missing is 0, whatever CrackleCodec() has, and what is written names them all."""
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
    """Another name, an unknown option and a value out of its range are refused, by name."""
    with pytest.raises(error, match=match):
        CrackleCodec.from_dict(config)


def test_codec_is_a_constant() -> None:
    """Options are given by name, and cannot be changed."""
    with pytest.raises(TypeError, match="positional"):
        CrackleCodec(3)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        CrackleCodec().allow_pins = 1  # type: ignore[misc]


def test_size_depends_on_the_labels() -> None:
    """The codec says that it cannot tell the size of a stream beforehand."""
    assert CrackleCodec.is_fixed_size is False
    with pytest.raises(NotImplementedError):
        CrackleCodec().compute_encoded_size(64, spec((4, 4)))


def test_metadata_of_an_array() -> None:
    """zarr.json holds the codec as an object, and an opened array the equal codec."""
    store: dict[str, Any] = {}
    codec = CrackleCodec(markov_model_order=2, allow_pins=1)
    create(store, blocks((4, 60, 50), block=5), (4, 60, 50), serializer=codec)
    assert json.loads(chunk_bytes(store, "zarr.json"))["codecs"] == [
        {"name": "crackle", "configuration": {"markov_model_order": 2, "allow_pins": 1}}
    ]
    assert zarr.open_array(store, mode="r").metadata.codecs == (codec,)
    assert crackle_zarr.header(chunk_bytes(store, "c/0/0/0")).markov_model_order == 2


DTYPES_REFUSED = ["float32", "float64", "float16", "complex64"]


@pytest.mark.parametrize("kwargs", [{}, {"shards": (8, 8)}], ids=["chunks", "shards"])
@pytest.mark.parametrize("dtype", DTYPES_REFUSED)
def test_no_labels(dtype: str, kwargs: dict[str, Any]) -> None:
    """An array of anything but integers and bool is refused when it is created, in shards too."""
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
    """validate, evolve_from_array_spec and encode each refuse what are no labels."""
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


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "F order": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "axes swapped": lambda a: a.transpose(1, 0, 2).copy().transpose(1, 0, 2),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
}


@pytest.mark.parametrize("dtype", ["?", "i1", "<u4", ">i8"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout: Callable[[Array], Array], dtype: str) -> None:
    """The stream does not depend on how the chunk lies in memory."""
    plain = blocks((4, 6, 5), dtype)
    chunk = layout(plain)
    np.testing.assert_array_equal(chunk, plain)
    assert encoded(chunk) == encoded(plain)
    np.testing.assert_array_equal(decoded(encoded(chunk), plain.shape, dtype), plain)


def test_broadcast() -> None:
    """A scalar written into an array, and a chunk of strides 0, are encoded as the labels they stand for."""
    chunk = np.broadcast_to(np.arange(40, dtype="<u2"), (5, 30, 40))
    assert encoded(chunk) == encoded(np.array(chunk))
    array = create({}, np.zeros((5, 30, 40), "<u2"), (5, 30, 40))
    array[:] = 7
    assert (array[:] == 7).all()


def test_decoded_dtype() -> None:
    """A chunk is decoded in the byte order that its array has in memory."""
    for dtype in (">u4", "<u4"):
        labels = blocks((4, 6, 5), dtype)
        assert decoded(encoded(labels), labels.shape, dtype).dtype == np.dtype(dtype)


def test_chunk_that_the_dtype_cannot_hold() -> None:
    """Labels do not wrap round: a chunk of a wider or signed dtype than the array's is refused."""
    for given_dtype, dtype in (("<i8", "<u4"), ("<f4", "<u4")):
        buffer = default_buffer_prototype().nd_buffer.from_numpy_array(np.ones((4, 4), given_dtype))
        with pytest.raises(TypeError):
            CrackleCodec()._encode_sync(buffer, spec((4, 4), dtype))
    with pytest.raises(ValueError, match=r"\(4, 4\), and was given as \(4, 5\)"):
        CrackleCodec()._encode_sync(
            default_buffer_prototype().nd_buffer.from_numpy_array(np.ones((4, 5), "<u4")), spec((4, 4))
        )


def test_slices_are_planes_of_the_last_two_axes() -> None:
    """The stream has x along the last axis, and is rendered in the chunk's bytes."""
    labels = blocks((4, 6, 5))
    store: dict[str, Any] = {}
    create(store, labels, (4, 6, 5))
    volume = crackle_zarr.decompress(chunk_bytes(store, "c/0/0/0"))
    np.testing.assert_array_equal(volume, labels.T)
    assert volume.tobytes(order="A") == labels.tobytes()


FOREIGN: dict[str, Callable[[Array], bytes]] = {
    "rendered in C order": lambda volume: crackle_zarr.compress(np.ascontiguousarray(volume)),
    "version 0": lambda volume: crackle_zarr.compress(volume, format_version=0),
    "pins": lambda volume: crackle_zarr.compress(volume, allow_pins=2),
    "Markov model": lambda volume: crackle_zarr.compress(volume, markov_model_order=3),
    "relabelled": lambda volume: crackle_zarr.remap(
        crackle_zarr.remap(crackle_zarr.compress(volume), {0: 5, 5: 0}, preserve_missing_labels=True),
        {0: 5, 5: 0},
        preserve_missing_labels=True,
    ),
}


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_streams_of_other_writers(write: Callable[[Array], bytes]) -> None:
    """A stream that another writer put there reads the same, whole and in part."""
    labels = blocks((16, 40, 44), block=4)
    store: dict[str, Any] = {}
    array = create(store, labels, labels.shape)
    put(store, "c/0/0/0", write(labels.T))
    np.testing.assert_array_equal(array[:], labels)
    for selection in ((3,), (slice(2, 9, 5), 7), (slice(None), 1, 1)):
        np.testing.assert_array_equal(array[selection], labels[selection])


def test_streams_of_crackle_codec() -> None:
    """crackle-codec reads a stored chunk, and the array a chunk that crackle-codec wrote."""
    peer = pytest.importorskip("crackle", reason="crackle-codec is not installed")
    labels = blocks((16, 40, 44), block=4)
    store: dict[str, Any] = {}
    array = create(store, labels, labels.shape)
    np.testing.assert_array_equal(peer.decompress(chunk_bytes(store, "c/0/0/0")), labels.T)
    put(store, "c/0/0/0", peer.compress(labels.T, allow_pins=1))
    np.testing.assert_array_equal(array[:], labels)
    np.testing.assert_array_equal(array[5], labels[5])


PIPELINES: dict[str, dict[str, Any]] = {
    "crackle": {},
    "zstd behind": {"compressors": [ZstdCodec()]},
    "zstd and crc32c behind": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "transpose before": {"filters": [TransposeCodec(order=(2, 0, 1))]},
    "transpose and zstd": {"filters": [TransposeCodec(order=(1, 2, 0))], "compressors": [ZstdCodec()]},
    "shards": {"shards": (8, 16, 16)},
    "shards with the index first": {"shards": {"shape": (8, 16, 16), "index_location": "start"}},
    "shards and zstd": {"shards": (8, 16, 16), "compressors": [ZstdCodec()]},
}
if ZARR >= (3, 1, 6):  # before, shards in shards cannot be read, whatever is in them
    PIPELINES["shards in shards"] = {
        "chunks": (8, 16, 16),
        "serializer": ShardingCodec(
            chunk_shape=(4, 16, 16), codecs=[ShardingCodec(chunk_shape=(4, 8, 8), codecs=[CrackleCodec()])]
        ),
    }


def in_pipeline(store: Any, labels: Array, name: str) -> Any:
    options = dict(PIPELINES[name])
    return create(store, labels, options.pop("chunks", (4, 8, 8)), **options)


@pytest.mark.parametrize("dtype", ["?", "i1", "<u4", ">i8"])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name: str, dtype: str) -> None:
    """Crackle works alone, before compressors, behind a transposition and within shards."""
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
    """Chunks that were never written, or hold the fill value alone, read as fill."""
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
    """Where Zarr is asked to, it stores a chunk of the fill value."""
    store: dict[str, Any] = {}
    create(store, np.full((6, 6), 7, "u2"), (4, 4), fill_value=7, config={"write_empty_chunks": True})
    assert crackle_zarr.labels(chunk_bytes(store, "c/0/0")).tolist() == [7]


def test_padding_of_the_last_chunks() -> None:
    """A chunk at the edge of the array is stored whole, padded with the fill value."""
    store: dict[str, Any] = {}
    create(store, np.ones((6, 6), "u2"), (4, 4), fill_value=7)
    assert crackle_zarr.labels(chunk_bytes(store, "c/0/0")).tolist() == [1]
    assert crackle_zarr.labels(chunk_bytes(store, "c/1/1")).tolist() == [1, 7]


def test_work_is_done_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunk is encoded or decoded in a thread that runs an event loop."""
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
    monkeypatch.setattr(_binding.Reader, "decode", spy(_binding.Reader.decode))
    for name in ("crackle", "zstd behind", "shards"):
        array = in_pipeline({}, blocks((14, 20, 17)), name)
        assert array[:].any()
        assert array[3].any()
    assert len(threads_of_loops) > 50
    assert not any(threads_of_loops)


def test_synchronous_pair() -> None:
    """Pipelines that work without an event loop find the methods that they look for."""
    if ZARR >= (3, 1, 6):
        from zarr.abc.codec import SupportsSyncCodec

        assert isinstance(CrackleCodec(), SupportsSyncCodec)
    labels = blocks((4, 6, 5))
    np.testing.assert_array_equal(decoded(encoded(labels), labels.shape), labels)


# ---------------------------------------------------------------------------------------
# Damage


@pytest.mark.parametrize("selection", [(), (1,), (1, 2, 3)], ids=["all", "slice", "point"])
@pytest.mark.parametrize(
    ("stream", "match"),
    [
        (lambda: encoded(blocks((4, 6, 6))), r"uint32 and of shape \(x, y, z\) = \(6, 6, 4\).*\(5, 6, 4\)"),
        (lambda: encoded(blocks((6, 4, 5))), r"\(5, 4, 6\)"),
        (lambda: encoded(blocks((4, 6, 5), "<u2")), "uint16.*needs uint32"),
        (lambda: encoded(blocks((4, 6, 5), "<i4")), "int32.*needs uint32"),
        (lambda: encoded(blocks((4, 6, 5), "<u8")), "uint64.*needs uint32"),
        (lambda: encoded(blocks((400, 6, 5))), r"\(5, 6, 400\)"),
        (lambda: b"", "Crackle stream"),
        (lambda: b"x" * 2000, "Crackle stream"),
    ],
    ids=["shape", "axes swapped", "narrower", "signed", "wider", "more slices", "empty", "foreign"],
)
def test_stream_of_another_chunk(stream: Callable[[], bytes], match: str, selection: Any) -> None:
    """A stream that is not one of this array's chunks raises FormatError that names both."""
    store: dict[str, Any] = {}
    array = create(store, blocks((4, 6, 5)), (4, 6, 5))
    put(store, "c/0/0/0", stream())
    with pytest.raises(FormatError, match=match):
        array[selection]


def test_chunk_of_bool_with_other_labels() -> None:
    """Labels past 1 do not become bools."""
    store: dict[str, Any] = {}
    array = create(store, blocks((4, 6, 5), "?"), (4, 6, 5))
    put(store, "c/0/0/0", encoded(blocks((4, 6, 5), "u1")))
    with pytest.raises(FormatError, match="other than 0 and 1"):
        array[:]


def test_claims_allocate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that claims a huge volume, and one that claims huge labels, are refused by their claims."""
    store: dict[str, Any] = {}
    array = create(store, blocks((64, 6, 5)), (64, 6, 5))
    stream = crackle_zarr.compress(blocks((64, 6, 5)).T, format_version=0)
    requests: list[Any] = []
    memory_get = zarr.storage.MemoryStore.get

    async def get(self: Any, key: str, prototype: Any, byte_range: Any = None) -> Any:
        requests.append(byte_range)
        return await memory_get(self, key, prototype, byte_range)

    monkeypatch.setattr(zarr.storage.MemoryStore, "get", get)
    for offset, width, match in ((7, 4, r"\(2147483647, 6, 64\)"), (20, 4, "claims")):
        claim = (2**31 - 1).to_bytes(width, "little")
        forged = stream[:offset] + claim + stream[offset + width :]
        put(store, "c/0/0/0", forged + bytes(2000))
        requests.clear()
        with pytest.raises(FormatError, match=match):
            array[3]
        assert all(request.end < 10_000 for request in requests)
        with pytest.raises(FormatError):
            array[:]


def test_damage_of_what_is_read() -> None:
    """Every byte changed and every truncation of a chunk gives the right voxels or an error, never others."""
    labels = blocks((12, 9, 10), block=3)
    store: dict[str, Any] = {}
    array = create(store, labels, labels.shape)
    stream = chunk_bytes(store, "c/0/0/0")
    candidates = [stream[:length] for length in range(0, len(stream), 7)]
    for position in range(len(stream)):
        candidates.append(stream[:position] + bytes([stream[position] ^ 0x10]) + stream[position + 1 :])
    errors = 0
    for candidate in candidates:
        put(store, "c/0/0/0", candidate)
        for selection in (slice(None), 2, (slice(None, None, 11), 3)):
            try:
                result = array[selection]
            except FormatError:
                errors += 1
            else:
                np.testing.assert_array_equal(result, labels[selection])
    assert errors > len(candidates)


def test_damage_elsewhere() -> None:
    """Crack codes of slices that are not asked for are not read, so their damage does no harm."""
    labels = blocks((64, 60, 60), block=3)
    store: dict[str, Any] = {}
    array = create(store, labels, labels.shape)
    stream = bytearray(chunk_bytes(store, "c/0/0/0"))
    begin, end = _binding.codes_range(bytes(stream), 40, 41)
    stream[begin:end] = bytes(end - begin)
    put(store, "c/0/0/0", bytes(stream))
    np.testing.assert_array_equal(array[5], labels[5])
    with pytest.raises(FormatError, match="z = 40"):
        array[40]


# ---------------------------------------------------------------------------------------
# Partial decoding


@st.composite
def selections(draw: Any, shape: tuple[int, ...]) -> tuple[str, Any]:
    """A way to index, and an index, of each kind that Zarr has."""
    kind = draw(st.sampled_from(["basic", "basic", "oindex", "oindex", "vindex", "mask"]))
    if kind == "vindex":
        count = draw(st.integers(1, 6))
        axes = [draw(st.lists(st.integers(0, axis - 1), min_size=count, max_size=count)) for axis in shape]
        return kind, tuple(np.array(axis) for axis in axes)
    if kind == "mask":
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        return kind, rng.random(shape) < draw(st.sampled_from([0.001, 0.02, 0.5]))
    index: list[Any] = []
    for axis in shape:
        choices = ["int", "slice", "all"] + ["array", "bool"] * (kind == "oindex")
        match draw(st.sampled_from(choices)):
            case "int":
                index.append(draw(st.integers(-axis, axis - 1)))
            case "slice":
                start = draw(st.integers(0, axis - 1))
                index.append(slice(start, draw(st.integers(start + 1, axis)), draw(st.integers(1, 4))))
            case "all":
                index.append(slice(None))
            case "array":
                index.append(np.array(draw(st.lists(st.integers(0, axis - 1), min_size=1, max_size=4))))
            case "bool":
                chosen = draw(st.sets(st.integers(0, axis - 1), min_size=1, max_size=4))
                index.append(np.isin(np.arange(axis), list(chosen)))
    return kind, tuple(index)


def numpy_oindex(labels: Array, index: tuple[Any, ...]) -> Array:
    """What oindex means, one axis after the other."""
    for axis in reversed(range(labels.ndim)):
        labels = labels[(slice(None),) * axis + (index[axis],)]
    return labels


LABELS = blocks((20, 18, 15), "<u4", block=3)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    """Arrays of the same labels in several pipelines, and of less and more axes."""
    made = {
        name: create({}, LABELS, (8, 16, 8), **PIPELINES[name])
        for name in ("crackle", "zstd behind", "transpose before")
    }
    made["shards"] = create({}, LABELS, (8, 16, 8), shards=(16, 16, 16))
    made["four axes"] = create({}, blocks((5, 4, 18, 15), ">i2"), (3, 4, 9, 8))
    made["two axes"] = create({}, blocks((40, 50), "u1"), (20, 30))
    made["one axis"] = create({}, blocks((40,), "u1"), (15,))
    return made


@pytest.mark.parametrize(
    "name", ["crackle", "shards", "zstd behind", "transpose before", "four axes", "two axes"]
)
@settings(max_examples=60)
@given(data=st.data())
def test_selections(arrays: dict[str, Any], name: str, data: st.DataObject) -> None:
    """Whatever is selected, it is what NumPy selects from the whole array."""
    array = arrays[name]
    labels = array[...]
    kind, index = data.draw(selections(array.shape))
    if kind == "basic":
        result, expected = array[index], labels[index]
    elif kind == "oindex":
        if name == "shards" and ZARR < (3, 1, 6) and any(isinstance(part, int) for part in index):
            return  # Zarr's own sharding codec fails at this before 3.1.6
        result, expected = array.oindex[index], numpy_oindex(labels, index)
    elif kind == "vindex":
        result, expected = array.vindex[index], labels[index]
    else:
        index.flat[0] = True  # Zarr has no selection of nothing
        result, expected = array.vindex[index], labels[index]
    np.testing.assert_array_equal(result, expected)
    assert np.shape(result) == np.shape(expected)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((1, 2, 3), lambda a: a[1, 2, 3]),
        ((-1, slice(None), 3), lambda a: a[-1, :, 3]),
        ((slice(1, 19, 6), slice(None), slice(2, 9, 3)), lambda a: a[1:19:6, :, 2:9:3]),
        ((Ellipsis, 4), lambda a: a[..., 4]),
        ((slice(9, 9),), lambda a: a[9:9]),
    ],
    ids=str,
)
def test_basic_selections(arrays: dict[str, Any], index: Any, expected: Callable[[Array], Array]) -> None:
    """Points, ints, steps, an Ellipsis and an empty slice."""
    result = arrays["crackle"][index]
    np.testing.assert_array_equal(result, expected(LABELS))


def test_block_selections(arrays: dict[str, Any]) -> None:
    """Whole chunks, chosen by their place in the grid."""
    for name in ("crackle", "zstd behind"):
        np.testing.assert_array_equal(arrays[name].blocks[1, 0, :], LABELS[8:16, :16])


@pytest.mark.parametrize(
    "index",
    [([1, 9], 3, slice(None)), ([1, 9], slice(None), 3), (3, [1, 9], 4), ([19, 0, 0], slice(2, 3), [5])],
    ids=str,
)
def test_orthogonal_selections_drop_axes(arrays: dict[str, Any], index: Any) -> None:
    """In oindex an integer drops its axis, and a list or a slice of one element does not."""
    expected = numpy_oindex(LABELS, index)
    result = arrays["crackle"].oindex[index]
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)


@given(
    st.sampled_from([(), (7,), (5, 6), (6, 3, 2), (2, 4, 3, 2), (2, 1, 3, 2, 2)]),
    st.data(),
)
def test_selected_slices(shape: tuple[int, ...], data: st.DataObject) -> None:
    """The slices of a selection are exactly those that hold one of its voxels."""
    parts: list[Any] = []
    style = data.draw(st.sampled_from(["basic", "ix_", "points", "mixed", "mask", "ellipsis", "array"]))
    for axis in shape:
        one = st.integers(0, axis - 1)
        some = st.lists(one, min_size=1, max_size=3)
        cut = one.flatmap(
            lambda start, end=axis: st.builds(slice, st.just(start), st.just(end), st.integers(1, 3))
        )
        if style in ("ix_", "array"):
            parts.append(np.array(data.draw(some)))
        elif style == "points":
            parts.append(np.array(data.draw(st.lists(one, min_size=3, max_size=3))))
        elif style == "mixed" and axis == shape[0]:
            parts.append(np.array([data.draw(one)] * 2))
        else:
            parts.append(data.draw(st.one_of(one, cut)))
    selection: Any = tuple(parts)
    if style == "ix_" and shape:
        selection = np.ix_(*parts)
    elif style == "mask":
        selection = np.random.default_rng(data.draw(st.integers(0, 9))).random(shape) < 0.2
    elif style == "ellipsis":
        selection = (Ellipsis,) if not parts else (parts[0], Ellipsis)
    elif style == "array" and shape:
        selection = parts[0]
    sx, sy, sz = chunk.volume_shape(shape)
    numbers = np.repeat(np.arange(sz), sx * sy).reshape(shape)
    expected = np.unique(numbers[selection]).tolist()
    assert zarr_codec.selected_slices(selection, shape).tolist() == expected


def counted(labels: Array, chunks: tuple[int, ...], **kwargs: Any) -> tuple[Any, CountingStore]:
    store = CountingStore()
    array = create(store, labels, chunks, **kwargs)
    store.reads.clear()
    return array, store


def stored_nbytes(store: CountingStore, key: str) -> int:
    return len(store._store._store_dict[key])


BIG = blocks((64, 96, 96), "<u8", block=3)


@pytest.mark.parametrize(
    ("selection", "requests", "part"),
    [
        ((5,), 4, 0.35),
        ((63, slice(None), 7), 4, 0.35),
        ((5, 6, 7), 4, 0.35),
        ((slice(20, 28),), 4, 0.5),
        ((slice(0, 64, 32),), 5, 0.4),
    ],
    ids=["slice", "last slice", "point", "range", "two slices"],
)
def test_bytes_of_a_selection(selection: Any, requests: int, part: float) -> None:
    """A selection reads the header, the index, the labels, its slices and the checksums: not the rest."""
    # Without a model: the parts are those of codes as long as they get.
    array, store = counted(BIG, BIG.shape, serializer=CrackleCodec(preset="fast"))
    np.testing.assert_array_equal(array[selection], BIG[selection])
    stream = store._store._store_dict["c/0/0/0"].to_bytes()
    layout = _binding.read_layout(stream)
    slices = np.arange(64)[selection[0]]
    codes = sum(
        end - start
        for z in np.atleast_1d(slices)
        for start, end in [_binding.codes_range(stream, int(z), int(z) + 1)]
    )
    needed = layout.crack_codes + codes + layout.end - layout.checksums
    assert store.nbytes_read >= needed
    assert store.nbytes_read <= needed + 1024 * requests
    assert store.nbytes_read < part * len(stream)
    assert len(store.reads) <= requests


def test_bytes_of_everything() -> None:
    """What needs all slices, or nearly all, is read in one request."""
    for selection in ((), (slice(None), 3), (slice(None), 3, 4), (slice(8, 64),), (slice(0, 64, 2),)):
        array, store = counted(BIG, BIG.shape)
        np.testing.assert_array_equal(array[selection], BIG[selection])
        assert store.reads == [(0, stored_nbytes(store, "c/0/0/0"))]


def test_bytes_of_a_small_chunk() -> None:
    """A chunk of less than a kilobyte is one request, whatever is selected."""
    labels = blocks((16, 8, 8), block=4)
    array, store = counted(labels, labels.shape)
    np.testing.assert_array_equal(array[3], labels[3])
    assert store.reads == [(0, stored_nbytes(store, "c/0/0/0"))]


def test_number_of_requests() -> None:
    """Scattered slices are fetched in few requests, some bytes between them included."""
    labels = blocks((512, 128, 128), "<u4", block=2)
    array, store = counted(labels, labels.shape)
    np.testing.assert_array_equal(array[256::16], labels[256::16])
    assert len(store.reads) == 9  # the first one, and eight at once
    assert store.nbytes_read < 0.7 * stored_nbytes(store, "c/0/0/0")


@pytest.mark.parametrize(
    ("wanted", "requests"),
    [
        ([(0, 500)], []),
        ([(0, 5000)], [(1000, 5000)]),
        ([(0, 900), (1500, 1600), (2000, 2100)], [(1500, 2100)]),
        ([(0, 1100), (1100, 1200), (5000, 5000), (9000, 9001)], [(1000, 1200), (9000, 9001)]),
        ([(0, 1001), (2024, 2025), (3049, 3050)], [(1000, 2025), (3049, 3050)]),
        (
            [(k * 10_000, k * 10_000 + 9 * k) for k in range(1, 11)],
            [(k * 10_000, k * 10_000 + 9 * k) for k in range(1, 8)] + [(80_000, 100_090)],
        ),
    ],
    ids=["have it", "rest", "small gap", "empty range", "gap of 1024", "too many"],
)
def test_byte_ranges(wanted: list[tuple[int, int]], requests: list[tuple[int, int]]) -> None:
    """Ranges leave out what is here, join over gaps of less than a kilobyte, and are eight at most."""
    assert ranges.requests_for(wanted, 1000) == requests


def test_requests_do_not_overlap() -> None:
    """No byte is fetched twice by one selection."""
    array, store = counted(BIG, BIG.shape)
    array.oindex[[3, 30, 31, 60], 4, :]
    ends = [start + nbytes for start, nbytes in sorted(store.reads)]
    starts = [start for start, _ in sorted(store.reads)]
    assert len(starts) > 2
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_bytes_within_a_shard() -> None:
    """Of a shard, its index and the chunks that hold the selection are read, and no other chunk."""
    array, store = counted(BIG, (16, 48, 48), shards=(64, 96, 96))
    np.testing.assert_array_equal(array[5, :40, :40], BIG[5, :40, :40])
    assert store.nbytes_read < stored_nbytes(store, "c/0/0/0") / 8


def test_slices_within_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chunk in a shard, just the slices of the selection are decoded."""
    runs: list[tuple[int, int]] = []
    decode = _binding.Reader.decode

    def spy(self: Any, out: Array, z_start: int, z_end: int, **kwargs: Any) -> None:
        runs.append((z_start, z_end))
        decode(self, out, z_start, z_end, **kwargs)

    array, _ = counted(BIG, (16, 48, 48), shards=(64, 96, 96))
    monkeypatch.setattr(_binding.Reader, "decode", spy)
    np.testing.assert_array_equal(array[21, 5, 7], BIG[21, 5, 7])
    assert runs == [(5, 6)]


class Vanishing(CountingStore):
    """A store from which the chunks are gone after some reads."""

    left = 1

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if key.startswith("c/"):
            self.left -= 1
            if self.left < 0:
                return None
        return await super().get(key, prototype, byte_range)


def test_chunk_deleted_meanwhile() -> None:
    """A chunk that is deleted between two requests reads as fill, as one deleted before."""
    store = Vanishing()
    array = create(store, BIG, BIG.shape, fill_value=9)
    store.left = 1
    assert (array[5] == 9).all()


class Replacing(CountingStore):
    """A store that serves another chunk after the first request."""

    other: Any = None

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if self.other is not None and key.startswith("c/") and byte_range is not None and byte_range.start:
            return await self.other._store.get(key, prototype, byte_range)
        return await super().get(key, prototype, byte_range)


def test_chunk_replaced_meanwhile() -> None:
    """Parts of two chunks never make voxels: the checksums tell."""
    other, store = CountingStore(), Replacing()
    create(other, blocks(BIG.shape, "<u8", block=3, seed=1), BIG.shape)
    array = create(store, BIG, BIG.shape)
    store.other = other
    with pytest.raises(FormatError):
        array[5]


@pytest.mark.parametrize("keep", [0, 40, 500, 1024, 1500, 9000], ids=str)
def test_truncated_object(keep: int, tmp_path: Path) -> None:
    """A file that was cut off raises FormatError, wherever it was cut."""
    array = create(tmp_path / "labels.zarr", BIG, BIG.shape)
    (file,) = [path for path in tmp_path.rglob("0") if path.is_file()]
    file.write_bytes(file.read_bytes()[:keep])
    for selection in ((60,), (60, 3, 4), ()):
        with pytest.raises(FormatError) as caught:
            array[selection]
        assert any("labels.zarr/c/0/0/0" in note for note in caught.value.__notes__)
        assert caught.value.section or not file.stat().st_size


def test_local_files(tmp_path: Path) -> None:
    """Partial decoding works on files, which give less than was asked for at their end."""
    labels = blocks((16, 8, 8), block=4)
    array = create(tmp_path / "small.zarr", labels, labels.shape)
    np.testing.assert_array_equal(array[3], labels[3])
    array = create(tmp_path / "big.zarr", BIG, BIG.shape)
    np.testing.assert_array_equal(array.oindex[[3, 30], 4, :], BIG[[3, 30], 4, :])


def test_many_readers() -> None:
    """Chunks are read side by side, and selections of several threads do not disturb each other."""
    array = create({}, BIG, (16, 32, 32))

    def read(z: int) -> bool:
        return bool((array[z] == BIG[z]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(64)))


def test_asynchronous_pair() -> None:
    """The coroutines of the codec give what the synchronous methods give."""
    labels = blocks((4, 6, 5))
    buffer = default_buffer_prototype().nd_buffer.from_numpy_array(labels)

    async def both_ways() -> Array:
        stream = await CrackleCodec()._encode_single(buffer, spec(labels.shape))
        assert stream.to_bytes() == encoded(labels)
        return (await CrackleCodec()._decode_single(stream, spec(labels.shape))).as_numpy_array()

    np.testing.assert_array_equal(asyncio.run(both_ways()), labels)


def test_store_that_fails() -> None:
    """A store that cannot be read raises its error: an unreadable chunk is not fill."""

    class Failing(CountingStore):
        fail = False

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            if self.fail and key.startswith("c/") and byte_range is not None and byte_range.start:
                raise ConnectionError("the network is down")
            return await super().get(key, prototype, byte_range)

    store = Failing()
    array = create(store, BIG, BIG.shape)
    store.fail = True
    with pytest.raises(ConnectionError):
        array[5]
