"""docs/zarr-extension: its metadata, chunks and sample data agree with the codec."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numcodecs
import numpy as np
import pytest
import reference
import zarr
from documents import (
    EXAMPLES,
    EXTENSION_TEXT,
    SAMPLE_FACTS,
    SAMPLE_NAMES,
    SAMPLES,
    SAMPLES_TEXT,
    SCHEMA,
    Row,
    codecs_named_crackle,
    numbers,
    sample_formulas,
    sample_script,
    schema_accepts,
    section,
    stored_chunk,
    table,
)
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr
from crackle_zarr import Crackle, CrackleCodec


def test_schema_is_a_schema() -> None:
    """The schema is valid JSON schema of the draft that it names."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_examples_are_there() -> None:
    """There are examples for both formats, so that the tests of examples have something to test."""
    assert sum("codecs" in example for example in EXAMPLES) >= 4
    assert sum("compressor" in example for example in EXAMPLES) == 1


@pytest.mark.parametrize("example", [e for e in EXAMPLES if "codecs" in e], ids=lambda e: json.dumps(e)[:60])
def test_examples_are_valid(example: dict[str, Any]) -> None:
    """Each codec object of an example satisfies the schema, and the codec made of it writes it again."""
    found = list(codecs_named_crackle(example))
    assert found
    for metadata in found:
        jsonschema.Draft202012Validator(SCHEMA).validate(metadata)
        codec = CrackleCodec.from_dict(metadata)
        assert CrackleCodec.from_dict(codec.to_dict()) == codec
        for name, value in metadata.get("configuration", {}).items():
            assert getattr(codec, name) == value


@pytest.mark.parametrize("example", [e for e in EXAMPLES if "codecs" in e], ids=lambda e: json.dumps(e)[:60])
def test_examples_work_in_an_array(example: dict[str, Any], tmp_path: Path) -> None:
    """An array with the codecs of an example returns the written labels."""
    labels = (np.arange(64 * 256 * 256) // 50_000).astype(np.uint32).reshape(64, 256, 256)
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": labels.shape,
        "data_type": "uint32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 256, 256]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "attributes": {},
        **example,
    }
    (tmp_path / "zarr.json").write_text(json.dumps(metadata), encoding="utf-8")
    array = zarr.open_array(store=LocalStore(tmp_path), mode="r+")
    array[...] = labels
    assert np.array_equal(zarr.open_array(store=LocalStore(tmp_path), mode="r")[...], labels)


def test_example_of_format_2() -> None:
    """The compressor of the format 2 example makes the numcodecs codec, which writes it again."""
    [example] = [example for example in EXAMPLES if "compressor" in example]
    codec = numcodecs.get_codec(dict(example["compressor"]))
    assert isinstance(codec, Crackle)
    assert codec.get_config() == example["compressor"]


@pytest.mark.parametrize("order", [*range(13), "auto"])
@pytest.mark.parametrize("pins", range(3))
def test_metadata_of_the_codec_is_valid(order: Any, pins: int) -> None:
    """The codec's metadata satisfy the schema, with any options."""
    codec = CrackleCodec(markov_model_order=order, allow_pins=pins)
    metadata = json.loads(json.dumps(codec.to_dict()))
    jsonschema.Draft202012Validator(SCHEMA).validate(metadata)
    assert CrackleCodec.from_dict(metadata) == codec


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "crackel"},
        {"configuration": {}},
        {"name": "crackle", "configuration": None},
        {"name": "crackle", "configuration": []},
        {"name": "crackle", "configuration": {"markov_order": 1}},
        {"name": "crackle", "configuration": {"markov_model_order": 13}},
        {"name": "crackle", "configuration": {"markov_model_order": -1}},
        {"name": "crackle", "configuration": {"markov_model_order": "1"}},
        {"name": "crackle", "configuration": {"markov_model_order": "AUTO"}},
        {"name": "crackle", "configuration": {"preset": "small"}},
        {"name": "crackle", "configuration": {"markov_model_order": 1.5}},
        {"name": "crackle", "configuration": {"markov_model_order": None}},
        {"name": "crackle", "configuration": {"markov_model_order": True}},
        {"name": "crackle", "configuration": {"allow_pins": 3}},
        {"name": "crackle", "configuration": {"allow_pins": -1}},
        {"name": "crackle", "configuration": {"allow_pins": "0"}},
        {"name": "crackle", "configuration": {"allow_pins": 0.5}},
        {"name": "crackle", "configuration": {"allow_pins": None}},
        {"name": "crackle", "configuration": {"markov_model_order": 0, "parallel": 2}},
    ],
    ids=json.dumps,
)
def test_wrong_metadata(metadata: dict[str, Any]) -> None:
    """The codec refuses metadata that do not satisfy the schema."""
    assert not schema_accepts(metadata)
    with pytest.raises((TypeError, ValueError)):
        CrackleCodec.from_dict(metadata)


def test_parameters() -> None:
    """The table of parameters, the schema and the codec agree on names, ranges and defaults."""
    properties = SCHEMA["properties"]["configuration"]["properties"]
    rows = {row["parameter"].strip("`"): row for row in table(EXTENSION_TEXT, "parameter")}
    assert set(rows) == set(properties)
    bare = CrackleCodec.from_dict({"name": "crackle"})
    for name, row in rows.items():
        number, *words = properties[name].get("oneOf", [properties[name]])
        assert row["type"] == " or ".join([number["type"], *(f'`"{word["const"]}"`' for word in words)])
        assert numbers(row["range"]) == [number["minimum"], number["maximum"]]
        assert int(row["default"]) == properties[name]["default"] == getattr(bare, name)


@pytest.mark.parametrize("row", table(EXTENSION_TEXT, "dimensions"), ids=lambda row: f"{row['dimensions']}-D")
def test_chunk_shapes(row: Row) -> None:
    """A chunk of each shape in the table becomes a stream of the sizes in the table."""
    extents = {"nx": 7, "ny": 5, "nz": 3, "nc": 2, "nt": 2}
    shape = tuple(extents[name] for name in re.findall(r"n\w", row["chunk shape"]))
    assert len(shape) == int(row["dimensions"])
    chunk, stream = stored_chunk(shape)
    header = crackle_zarr.header(stream)
    for axis in ("sx", "sy", "sz"):
        factors = [extents.get(factor) or int(factor) for factor in row[axis].split(" * ")]
        assert getattr(header, axis) == np.prod(factors)
    assert header.fortran_order
    volume = crackle_zarr.decompress(stream)
    assert np.array_equal(volume.ravel(order="F"), chunk.ravel())  # element k is x + sx * (y + sy * z)


def test_data_types() -> None:
    """Arrays of exactly the documented data types return the written labels."""
    [line] = re.findall(r"^`bool`.*$", section(EXTENSION_TEXT, "Supported data types"), re.MULTILINE)
    listed = re.findall(r"`(\w+)`", line)
    integers = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    assert sorted(listed) == sorted(["bool", *integers])
    for dtype in listed:
        chunk, stream = stored_chunk((2, 3, 4), dtype)
        header = crackle_zarr.header(stream)
        assert header.signed == (chunk.dtype.kind == "i")
        assert header.data_width == chunk.dtype.itemsize
        assert np.array_equal(crackle_zarr.decompress(stream).ravel(order="F"), chunk.ravel())


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_other_data_types(dtype: str) -> None:
    """Other data types raise when the array is made, as documented."""
    with pytest.raises((TypeError, ValueError), match=dtype):
        zarr.create_array(
            store=MemoryStore(),
            shape=(4,),
            chunks=(4,),
            dtype=dtype,
            serializer=CrackleCodec(),
            compressors=None,
        )


def test_prefix_to_read() -> None:
    """The header and the crack index end at the documented offsets."""
    _, stream = stored_chunk((6, 5, 4))
    [(constant, factor)] = re.findall(r"first `(\d+) \+ (\d+) \* sz` bytes", EXTENSION_TEXT)
    labels = int(constant) + int(factor) * 6
    assert labels == 29 + 4 * 6 + 4
    tail = 4 + 4 * 6
    nbytes = crackle_zarr.header(stream).num_label_bytes
    assert reference.crc32c(stream[labels : labels + nbytes]) == int.from_bytes(stream[-tail:][:4], "little")


def test_samples_are_there() -> None:
    """The sample data are the two arrays of its README, and are small."""
    described = re.findall(r"^## `(\w+)\.zarr`$", SAMPLES_TEXT, re.MULTILINE)
    assert len(described) == 2
    assert sorted(described) == SAMPLE_NAMES
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 20_000


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_samples_decode_to_their_formulas(name: str) -> None:
    """Each sample array holds the volume of its formula, whole and in parts."""
    expected = sample_formulas()[name]
    array = zarr.open_array(store=LocalStore(SAMPLES / f"{name}.zarr", read_only=True), mode="r")
    assert isinstance(array, zarr.Array)
    assert array.dtype.name in name
    assert np.array_equal(array[...], expected)
    assert np.array_equal(array[..., 1:3, ::2], expected[..., 1:3, ::2])
    assert np.array_equal(array[-1], expected[-1])


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_sample_metadata(name: str) -> None:
    """The metadata of each sample array satisfy the schema and agree with the table of the README."""
    metadata = json.loads((SAMPLES / f"{name}.zarr" / "zarr.json").read_text(encoding="utf-8"))
    [codec] = codecs_named_crackle(metadata["codecs"])
    jsonschema.Draft202012Validator(SCHEMA).validate(codec)
    rows = dict(SAMPLE_FACTS[name])
    data_type, shape = rows["data type, shape"].split("`", 2)[1:]
    assert metadata["data_type"] == data_type
    assert metadata["shape"] == numbers(shape)
    assert metadata["dimension_names"] == re.findall(r"\b[czyx]\b", shape)
    assert metadata["fill_value"] == int(rows["fill value"])
    chunks, *shards = re.findall(r"\(.*?\)", rows["chunks"])
    outermost = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    assert outermost == numbers(shards[0] if shards else chunks)
    if shards:
        assert metadata["codecs"][0]["configuration"]["chunk_shape"] == numbers(chunks)
    for option, value in re.findall(r"`(\w+)` (\d+)", rows["codecs"]):
        assert codec["configuration"][option] == int(value)


def test_sample_chunks_are_streams() -> None:
    """Each chunk of the plain sample is a stream laid out by the axis rule; chunks of fill are missing."""
    folder = SAMPLES / "blobs_uint32.zarr" / "c"
    padded = np.full((6, 32, 32), 7, np.uint32)
    padded[:5, :18, :22] = sample_formulas()["blobs_uint32"]
    missing = re.findall(r"`c/(\d/\d/\d)`", SAMPLES_TEXT)
    assert missing
    for z, y, x in itertools.product(range(3), range(2), range(2)):
        path = folder / str(z) / str(y) / str(x)
        assert path.exists() == (f"{z}/{y}/{x}" not in missing)
        if not path.exists():
            continue
        expected = padded[2 * z : 2 * z + 2, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
        stream = path.read_bytes()
        assert np.array_equal(crackle_zarr.decompress(stream).T, expected)
        assert np.array_equal(reference.decode(stream).array.T, expected)
        again = crackle_zarr.compress(expected.T)
        assert np.array_equal(crackle_zarr.decompress(again).T, expected)


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_samples_can_be_made_again(name: str, tmp_path: Path) -> None:
    """The script of the sample data makes the same arrays with the same codecs again."""
    sample_script().write(tmp_path)
    made = zarr.open_array(store=LocalStore(tmp_path / f"{name}.zarr"), mode="r")
    assert np.array_equal(made[...], sample_formulas()[name])
    stored, fresh = (
        json.loads((folder / f"{name}.zarr" / "zarr.json").read_text(encoding="utf-8"))
        for folder in (SAMPLES, tmp_path)
    )
    for key in ("shape", "data_type", "fill_value", "chunk_grid", "codecs", "dimension_names"):
        assert fresh[key] == stored[key]
