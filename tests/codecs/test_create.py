"""create_array: zarr.create_array with defaults for labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from chunks import DTYPES, SHAPES, Array, blocks, chunk_bytes
from zarr.codecs import ShardingCodec, TransposeCodec, ZstdCodec

import crackle_zarr
from crackle_zarr import Crackle, CrackleCodec, create_array


def test_defaults() -> None:
    """One codec and no compressors, names for the axes, and fill value 0."""
    store: dict[str, Any] = {}
    array = create_array(store, shape=(100, 300, 300), dtype="uint64")
    assert array.metadata.codecs == (CrackleCodec(),)
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert array.chunks == (64, 256, 256)
    assert array.shards is None
    assert array.fill_value == 0
    array[10] = 7
    reopened = zarr.open_array(store, mode="r")
    assert (reopened[10] == 7).all()
    assert not reopened[11].any()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: str, zarr_format: Any) -> None:
    """Both formats take all dtypes, byte orders and numbers of dimensions, as data or by assignment."""
    for shape in SHAPES:
        labels = blocks(shape, dtype)
        store: dict[str, Any] = {}
        array = create_array(store, data=labels, zarr_format=zarr_format)
        np.testing.assert_array_equal(array[...], labels)
        array = create_array(store, shape=shape, dtype=dtype, zarr_format=zarr_format, overwrite=True)
        assert not array[...].any()
        array[...] = labels
        np.testing.assert_array_equal(zarr.open_array(store, mode="r")[...], labels)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((), ()),
        ((10,), (10,)),
        ((3_000_000,), (1_048_576,)),
        ((5000, 700), (1024, 700)),
        ((512, 512, 512), (64, 256, 256)),
        ((3, 100, 5000), (3, 100, 256)),
        ((4, 512, 512, 512), (1, 64, 256, 256)),
        ((9, 2, 10, 20, 3000), (1, 1, 10, 20, 256)),
        ((2, 2, 2, 100, 300, 300), (1, 1, 1, 64, 256, 256)),
        ((0, 300, 300), (1, 256, 256)),
    ],
    ids=str,
)
def test_default_chunks(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    """Chunks are wide planes, some tens of them, 1 along earlier axes, and no larger than the array."""
    assert create_array({}, shape=shape, dtype="u4").chunks == chunks
    assert create_array({}, shape=shape, dtype="u4", chunks="auto", zarr_format=2).chunks == chunks


@pytest.mark.parametrize(
    ("shards", "chunks"),
    [
        ((128, 512, 512), (64, 256, 256)),
        ((100, 300, 300), (50, 150, 150)),
        ((60, 200, 256), (60, 200, 256)),
        ((67, 251, 257), (1, 251, 1)),
        ({"shape": (128, 512, 512), "index_location": "start"}, (64, 256, 256)),
    ],
    ids=str,
)
def test_default_chunks_of_shards(shards: Any, chunks: tuple[int, ...]) -> None:
    """Default chunks divide the shard."""
    array = create_array({}, shape=(600, 600, 600), dtype="u4", shards=shards)
    assert array.chunks == chunks
    assert array.shards == (shards["shape"] if isinstance(shards, dict) else shards)


@pytest.mark.parametrize("ndim", range(7))
def test_dimension_names(ndim: int) -> None:
    """Up to five axes get the last names of t, c, z, y, x; more axes get none."""
    names = ("t", "c", "z", "y", "x")[5 - ndim :] if 0 < ndim <= 5 else None
    assert create_array({}, shape=(2,) * ndim, dtype="u4").metadata.dimension_names == names


def test_given_dimension_names() -> None:
    """The caller can give names, or None for no names."""
    array = create_array({}, shape=(2, 3), dtype="u4", dimension_names=("a", "b"))
    assert array.metadata.dimension_names == ("a", "b")
    array = create_array({}, shape=(2, 3), dtype="u4", dimension_names=None)
    assert array.metadata.dimension_names is None


def test_options() -> None:
    """The codec's options reach the metadata and the chunks in both formats."""
    labels = blocks((20, 40, 40), block=5)
    store: dict[str, Any] = {}
    array = create_array(store, data=labels, markov_model_order=5, allow_pins=1)
    assert array.metadata.codecs == (CrackleCodec(markov_model_order=5, allow_pins=1),)
    assert crackle_zarr.header(chunk_bytes(store, "c/0/0/0")).markov_model_order == 5
    array = create_array({}, data=labels, markov_model_order=5, allow_pins=1, zarr_format=2)
    assert array.compressors == (Crackle(5, 1),)


def test_other_parameters() -> None:
    """Other parameters of zarr.create_array are passed on."""
    store: dict[str, Any] = {}
    array = create_array(
        store,
        name="labels/cells",
        shape=(20, 20),
        dtype="i4",
        chunks=(10, 10),
        fill_value=-1,
        attributes={"voxel": [4, 4]},
        chunk_key_encoding={"name": "v2", "separator": "."},
        config={"order": "F"},
    )
    assert array.path == "labels/cells"
    assert dict(array.attrs) == {"voxel": [4, 4]}
    assert (array[:] == -1).all()
    array[:10, :10] = 3
    assert "labels/cells/0.0" in store


@pytest.mark.parametrize(
    ("options", "codecs"),
    [
        ({"compressors": ZstdCodec()}, (CrackleCodec, ZstdCodec)),
        ({"compressors": "auto"}, (CrackleCodec, ZstdCodec)),
        ({"compressors": []}, (CrackleCodec,)),
        ({"filters": TransposeCodec(order=(2, 1, 0))}, (TransposeCodec, CrackleCodec)),
        ({"shards": (8, 8, 8), "chunks": (4, 4, 4)}, (ShardingCodec,)),
    ],
    ids=str,
)
def test_codecs_around(options: dict[str, Any], codecs: tuple[type, ...]) -> None:
    """Compressors after Crackle, array-to-array codecs before it, and shards around it are possible."""
    labels = blocks((14, 20, 17))
    store: dict[str, Any] = {}
    array = create_array(store, shape=labels.shape, dtype=labels.dtype, **options)
    array[:] = labels
    assert tuple(map(type, array.metadata.codecs)) == codecs
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], labels)


@pytest.mark.parametrize(
    ("compressors", "filters", "behind"),
    [
        (None, None, Crackle()),
        ([], None, Crackle()),
        (numcodecs.Zstd(1), [Crackle()], numcodecs.Zstd(1)),
        ([numcodecs.Zstd(1)], [Crackle()], numcodecs.Zstd(1)),
    ],
    ids=["none", "empty", "zstd", "list"],
)
def test_format_2(compressors: Any, filters: Any, behind: Any) -> None:
    """In format 2 Crackle is the compressor, or the only filter if there is another compressor."""
    labels = blocks((14, 20, 17))
    store: dict[str, Any] = {}
    create_array(store, data=labels, zarr_format=2, compressors=compressors, order="F")
    metadata = json.loads(chunk_bytes(store, ".zarray"))
    assert metadata["compressor"]["id"] == behind.codec_id
    assert metadata["filters"] == (None if filters is None else [codec.get_config() for codec in filters])
    assert metadata["order"] == "F"
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], labels)


@pytest.mark.parametrize("behind", [None, numcodecs.Zstd(1)], ids=["alone", "zstd"])
@pytest.mark.parametrize("dtype", [">u2", ">i4", ">u8", "<u4", "u1"])
def test_labels_of_format_2(dtype: str, behind: Any) -> None:
    """In format 2 the streams of a big-endian array hold its labels, too."""
    labels = blocks((4, 6, 5), dtype)
    store: dict[str, Any] = {}
    create_array(store, data=labels, zarr_format=2, compressors=behind)
    stream = chunk_bytes(store, "0.0.0")
    if behind is not None:
        stream = bytes(behind.decode(stream))
    assert crackle_zarr.labels(stream).tolist() == np.unique(labels).tolist()
    metadata = json.loads(chunk_bytes(store, ".zarray"))
    config = metadata["compressor"] if behind is None else metadata["filters"][0]
    assert config.get("byteorder") == (">" if dtype[0] == ">" else None)
    assert metadata["dtype"] == labels.dtype.str


def test_data() -> None:
    """Data may be a list, may have any memory order, and may be left unwritten."""
    np.testing.assert_array_equal(create_array({}, data=[[1, 2], [3, 4]])[:], [[1, 2], [3, 4]])
    labels: Array = np.asfortranarray(blocks((4, 6, 5), ">u4"))
    array = create_array({}, data=labels)
    np.testing.assert_array_equal(array[:], labels)
    assert array.dtype == np.dtype("u4")
    assert not create_array({}, data=labels, write_data=False)[:].any()


def test_data_in_shards(tmp_path: Path) -> None:
    """No chunk of a shard is lost, although Zarr before 3.1.3 loses many if it is given the data."""
    labels = blocks((32, 40, 50), "u4")
    create_array(tmp_path / "a.zarr", data=labels, chunks=(8, 20, 25), shards=(16, 40, 50))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[:], labels)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"dtype": "float32"}, TypeError, r"not float32.*astype\('uint32'\)"),
        ({"dtype": np.float64}, TypeError, "not float64"),
        ({"dtype": "complex64"}, TypeError, "not complex64"),
        ({"dtype": object}, TypeError, "not object"),
        ({"dtype": "U4"}, TypeError, "not <U4"),
        ({"dtype": "M8[s]"}, TypeError, "not datetime64"),
        ({"dtype": "float32", "zarr_format": 2}, TypeError, "not float32"),
        ({"shape": None, "dtype": None, "data": np.zeros((2, 2))}, TypeError, "not float64"),
        ({"markov_model_order": 13}, ValueError, "not 13"),
        ({"markov_model_order": 13, "zarr_format": 2}, ValueError, "not 13"),
        ({"allow_pins": "no"}, TypeError, "str"),
        ({"zarr_format": 4}, ValueError, "2 or 3, not 4"),
        ({"shape": None}, ValueError, "shape=None"),
        ({"dtype": None}, ValueError, "dtype=None"),
        ({"serializer": CrackleCodec()}, TypeError, "create_array sets serializer itself"),
        ({"compressor": Crackle(), "zarr_format": 2}, TypeError, "create_array sets compressor itself"),
        ({"zarr_format": 2, "filters": [numcodecs.Delta("<u4")]}, ValueError, "filters=None"),
        ({"zarr_format": 2, "dimension_names": ("y", "x")}, ValueError, "no dimension_names"),
        ({"shape": (2**32, 2), "chunks": (2**32, 1)}, ValueError, "use smaller chunks"),
    ],
    ids=str,
)
def test_refused(options: dict[str, Any], error: type[Exception], match: str) -> None:
    """Impossible parameters raise before the store is changed."""
    store: dict[str, Any] = {}
    create_array(store, data=blocks((4, 5)))
    before = {key: value.to_bytes() for key, value in store.items()}
    with pytest.raises(error, match=match):
        create_array(store, overwrite=True, **{"shape": (4, 5), "dtype": "u4", **options})
    assert {key: value.to_bytes() for key, value in store.items()} == before


def test_errors_of_zarr_come_through() -> None:
    """Zarr's own errors come through, such as data together with a shape, or an existing array."""
    with pytest.raises(ValueError, match="data"):
        create_array({}, data=blocks((4, 5)), shape=(4, 5))
    store: dict[str, Any] = {}
    create_array(store, data=blocks((4, 5)))
    with pytest.raises(zarr.errors.ContainsArrayError):
        create_array(store, data=blocks((4, 5)))


def test_doctest() -> None:
    """The examples in the docstrings of the codecs and of create_array are right."""
    import doctest

    from crackle_zarr.codecs import create, numcodecs_codec, zarr_codec

    for module in (create, numcodecs_codec, zarr_codec):
        results = doctest.testmod(module)
        assert results.attempted
        assert not results.failed
