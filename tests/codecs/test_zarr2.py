"""Zarr format 2 with Crackle as its compressor or filter."""

from __future__ import annotations

import json
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from chunks import DTYPES, SHAPES, Array, blocks, chunk_bytes

import crackle_zarr
from crackle_zarr import Crackle, FormatError


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks that cut the first and the last axis, and need not divide them: the last ones are padded."""
    ends = {0, len(shape) - 1}
    return tuple(axis // 2 + 1 if number in ends else axis for number, axis in enumerate(shape))


def metadata(store: dict[str, Any]) -> Any:
    return json.loads(chunk_bytes(store, ".zarray"))


@pytest.mark.filterwarnings("ignore:The `order` keyword argument has no effect:RuntimeWarning")  # zarr 3.0
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: str, order: Any) -> None:
    """All dtypes, byte orders, memory orders and numbers of dimensions come back, created either way."""
    for shape in SHAPES:
        labels = blocks(shape, dtype)
        new: dict[str, Any] = {}
        zarr.create_array(
            new,
            shape=shape,
            chunks=chunk_shape(shape),
            dtype=dtype,
            order=order,
            zarr_format=2,
            compressors=Crackle(),
            filters=None,
            fill_value=1,
        )[...] = labels
        old: dict[str, Any] = {}
        zarr.create(
            shape=shape,
            chunks=chunk_shape(shape),
            dtype=dtype,
            order=order,
            zarr_format=2,
            compressor=Crackle(),
            fill_value=1,
            store=old,
        )[...] = labels
        for store in (new, old):
            assert metadata(store)["order"] == order
            assert metadata(store)["compressor"] == Crackle().get_config()
            result = zarr.open_array(store, mode="r")[...]
            np.testing.assert_array_equal(result, labels)


@pytest.mark.parametrize(
    "value", [lambda a: a, np.asfortranarray, lambda a: a[::-1, ::-1]], ids=["C", "F", "view"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_of_values(order: Any, value: Any) -> None:
    """An array of either order stores the same bytes for values of any memory order."""
    labels = blocks((5, 8, 6))
    stores: list[dict[str, Any]] = [{}, {}]
    for store, source in zip(stores, (labels, value(np.ascontiguousarray(value(labels)))), strict=True):
        np.testing.assert_array_equal(source, labels)
        array = zarr.create_array(
            store,
            shape=(5, 8, 6),
            chunks=(5, 8, 3),
            dtype="<u4",
            order=order,
            zarr_format=2,
            compressors=Crackle(),
        )
        array[:] = source
        np.testing.assert_array_equal(array[:], labels)
    assert chunk_bytes(stores[0], "0.0.0") == chunk_bytes(stores[1], "0.0.0")


@pytest.mark.parametrize("order", ["C", "F"])
def test_slices_are_planes_of_the_slowest_axes(order: Any) -> None:
    """In C order the stream's x is the last axis, in F order the first."""
    labels = blocks((4, 6, 5))
    store: dict[str, Any] = {}
    zarr.create_array(
        store,
        shape=(4, 6, 5),
        chunks=(4, 6, 5),
        dtype="<u4",
        order=order,
        zarr_format=2,
        compressors=Crackle(),
    )[:] = labels
    volume = crackle_zarr.decompress(chunk_bytes(store, "0.0.0"))
    np.testing.assert_array_equal(volume, labels.T if order == "C" else labels)


def test_options_are_kept() -> None:
    """The options given at creation are in the metadata and in the chunks."""
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=(90, 120), chunks=(90, 120), dtype="u2", zarr_format=2, compressors=Crackle(2, 1)
    )
    array[:] = blocks((90, 120), "u2", block=5)
    assert metadata(store)["compressor"] == {"id": "crackle", "markov_model_order": 2, "allow_pins": 1}
    assert zarr.open_array(store, mode="r").compressors == (Crackle(2, 1),)
    assert crackle_zarr.header(chunk_bytes(store, "0.0")).markov_model_order == 2


@pytest.mark.parametrize("byteorder", [None, ">"])
@pytest.mark.parametrize("dtype", [">u2", ">i4", ">u8"])
def test_labels_of_big_endian_chunks(dtype: str, byteorder: Any) -> None:
    """Streams of a big-endian array hold its labels, or byte-swapped labels without the option."""
    labels = blocks((4, 6, 5), dtype)
    store: dict[str, Any] = {}
    zarr.create_array(
        store,
        shape=labels.shape,
        chunks=labels.shape,
        dtype=dtype,
        zarr_format=2,
        compressors=Crackle(byteorder=byteorder),
    )[:] = labels
    stored = crackle_zarr.labels(chunk_bytes(store, "0.0.0"))
    if byteorder is None:
        stored = np.sort(stored.byteswap())
    assert stored.tolist() == np.unique(labels).tolist()
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], labels)


def test_missing_chunks_are_fill() -> None:
    """A chunk of fill value alone is not stored unless requested, and reads as fill value."""
    for write_empty_chunks in (False, True):
        store: dict[str, Any] = {}
        array = zarr.create_array(
            store,
            shape=(6, 6),
            chunks=(4, 4),
            dtype="u2",
            zarr_format=2,
            compressors=Crackle(),
            fill_value=7,
            config={"write_empty_chunks": write_empty_chunks},
        )
        array[:4, :4] = 7
        array[4:, 4:] = 1
        assert ("0.0" in store) == write_empty_chunks
        # The chunk at the edge is stored padded with the fill value.
        assert crackle_zarr.labels(chunk_bytes(store, "1.1")).tolist() == [1, 7]
        expected = np.full((6, 6), 7)
        expected[4:, 4:] = 1
        np.testing.assert_array_equal(array[:], expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["?", "<i4", ">u8"])
@pytest.mark.parametrize(
    "behind", [numcodecs.Zstd(3), numcodecs.Blosc(), numcodecs.GZip()], ids=lambda codec: str(codec.codec_id)
)
def test_compressor_behind(behind: Any, dtype: str, order: Any) -> None:
    """As the only filter, Crackle works with any compressor after it."""
    labels = blocks((5, 7, 6), dtype)
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store,
        shape=labels.shape,
        chunks=(3, 4, 6),
        dtype=dtype,
        order=order,
        zarr_format=2,
        filters=[Crackle()],
        compressors=behind,
    )
    array[:] = labels
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], labels)
    stream = bytes(behind.decode(chunk_bytes(store, "0.0.0")))
    assert crackle_zarr.header(stream).voxels() == 3 * 4 * 6


# ---------------------------------------------------------------------------------------
# Errors

FLATTENING: dict[str, tuple[str, dict[str, Any]]] = {
    "delta": ("<u4", {"filters": [numcodecs.Delta("<u4")], "compressors": Crackle()}),
    "pack bits": ("?", {"filters": [numcodecs.PackBits()], "compressors": Crackle()}),
    "offset": (
        "<u4",
        {"filters": [numcodecs.FixedScaleOffset(0, 1, "<u4", "<u2")], "compressors": Crackle()},
    ),
    "shuffle": ("<u4", {"filters": [numcodecs.Shuffle(4)], "compressors": Crackle()}),
    "second filter": ("<u4", {"filters": [numcodecs.Delta("<u4"), Crackle()], "compressors": None}),
    "crackle twice": ("<u4", {"filters": [Crackle()], "compressors": Crackle(1)}),
}


@pytest.mark.parametrize(("dtype", "chain"), FLATTENING.values(), ids=FLATTENING)
def test_filter_before(dtype: str, chain: dict[str, Any]) -> None:
    """A filter before Crackle raises at creation, with its name and the alternative."""
    store: dict[str, Any] = {}
    with pytest.raises(ValueError, match=r"first codec of a chunk.*comes before it.*filters=None") as caught:
        zarr.create_array(store, shape=(4, 6, 5), chunks=(4, 6, 5), dtype=dtype, zarr_format=2, **chain)
    assert repr(chain["filters"][0]) in str(caught.value)
    assert not store


def test_filter_before_in_the_older_call() -> None:
    """zarr.create raises for a filter before Crackle as well."""
    store: dict[str, Any] = {}
    with pytest.raises(ValueError, match="first codec of a chunk"):
        zarr.create(
            shape=(4, 6, 5),
            dtype="<u4",
            zarr_format=2,
            filters=[numcodecs.Delta("<u4")],
            compressor=Crackle(),
            store=store,
        )
    assert not store


@pytest.mark.parametrize("dtype", ["<u4", ">i8"])
def test_filter_before_in_foreign_metadata(dtype: str) -> None:
    """An array that another program made with a filter before Crackle still gives its labels."""
    delta = numcodecs.Delta(dtype)
    zarray = {
        "zarr_format": 2,
        "shape": [4, 6, 5],
        "chunks": [4, 6, 3],
        "dtype": dtype,
        "order": "C",
        "fill_value": 0,
        "filters": [delta.get_config()],
        "compressor": {"id": "crackle"},
    }
    store = zarr.storage.MemoryStore()
    prototype = zarr.core.buffer.default_buffer_prototype()
    store._store_dict[".zarray"] = prototype.buffer.from_bytes(json.dumps(zarray).encode())
    labels = blocks((4, 6, 5), dtype)
    array = zarr.open_array(store, mode="r+")
    array[:] = labels
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], labels)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "M8[s]"])
def test_no_labels(dtype: str) -> None:
    """An array of another dtype than integers or bool raises when written, and stores no chunk."""
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=(4, 5), chunks=(4, 5), dtype=dtype, zarr_format=2, compressors=Crackle()
    )
    with pytest.raises(TypeError, match=r"integers or bool, not .*astype\('uint32'\)"):
        array[:] = np.ones((4, 5), dtype=dtype)
    assert "0.0" not in store


# ---------------------------------------------------------------------------------------
# Damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s[:-1],
        lambda s: s[:20],
        lambda s: b"",
        lambda s: bytes(len(s)),
        lambda s: s[:60] + b"\xff" + s[61:],
    ],
    ids=["cut", "cut in the header", "empty", "zeros", "byte changed"],
)
def test_damaged_chunk(damage: Any) -> None:
    """A damaged chunk raises FormatError when read, and never reads as fill value."""
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=(4, 6, 5), chunks=(4, 6, 5), dtype="u4", zarr_format=2, compressors=Crackle()
    )
    array[:] = blocks((4, 6, 5))
    stream = chunk_bytes(store, "0.0.0")
    store["0.0.0"] = type(store["0.0.0"]).from_bytes(damage(stream))
    with pytest.raises(FormatError):
        array[:]


def test_chunk_of_another_size() -> None:
    """A sound stream with another number of voxels does not become a chunk."""
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store, shape=(4, 6, 5), chunks=(4, 6, 5), dtype="u4", zarr_format=2, compressors=Crackle()
    )
    array[:] = blocks((4, 6, 5))
    other: Array = blocks((4, 6, 6))
    store["0.0.0"] = type(store["0.0.0"]).from_bytes(Crackle().encode(other))
    with pytest.raises(ValueError, match="reshape"):
        array[:]
