"""The annotated streams of docs/format-notes.md are right, byte by byte."""

from __future__ import annotations

import re

import numpy as np
import pytest
import reference
from documents import (
    ANNOTATED,
    NOTES_TEXT,
    STREAMS,
    annotated_fields,
    moves_of_slices,
    numbers,
    printed_stream,
    printed_volume,
    section,
    table,
    tables,
    walk,
)

import crackle_zarr
from crackle_zarr import FormatError


@pytest.mark.parametrize("heading", STREAMS)
def test_printed_stream_decodes_to_the_printed_volume(heading: str) -> None:
    """The library and the reference decode the printed bytes to the printed volume."""
    stream, volume = printed_stream(heading), printed_volume(heading)
    decoded = crackle_zarr.decompress(stream)
    assert decoded.dtype == volume.dtype
    assert np.array_equal(decoded, volume)
    assert np.array_equal(reference.decode(stream).array, volume)


@pytest.mark.parametrize(
    ("heading", "options"),
    [("13.1 ", {}), ("13.2 ", {"allow_pins": 2})],
)
def test_printed_stream_is_one_of_the_encoder(heading: str, options: dict[str, int]) -> None:
    """With the printed options, the encoder needs at most as many bytes as the document shows."""
    volume, printed = printed_volume(heading), printed_stream(heading)
    assert all(f"{name}={value}" in section(NOTES_TEXT, heading) for name, value in options.items())
    assert f"{len(printed)} bytes" in section(NOTES_TEXT, heading)
    stream = crackle_zarr.compress(volume, **options)
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    assert len(stream) <= len(printed)
    assert stream[:19] == printed[:19]  # the same features: version, formats, widths and sizes


def test_printed_model_does_not_pay() -> None:
    """The encoder leaves out the printed model, as documented, and needs fewer bytes."""
    volume, printed = printed_volume("13.3 "), printed_stream("13.3 ")
    assert crackle_zarr.header(printed).markov_model_order == 1
    text = section(NOTES_TEXT, "13.3 ")
    assert f"{len(printed)} bytes" in text
    assert "markov_model_order=1" in text
    stream = crackle_zarr.compress(volume, markov_model_order=1)
    assert stream == crackle_zarr.compress(volume, markov_model_order=0)
    assert len(stream) < len(printed)


@pytest.mark.parametrize("heading", ANNOTATED)
def test_annotated_bytes_are_those_of_the_stream(heading: str) -> None:
    """Each annotated row has the bytes at its offset, and begins where the previous row ends."""
    stream = printed_stream(heading)
    rows = annotated_fields(heading)
    end = rows[0][0]
    for offset, data, _, field in rows:
        assert offset == end, field
        assert stream[offset : offset + len(data)] == data, field
        end += len(data)


@pytest.mark.parametrize(
    ("heading", "section_name"), [("13.1 ", "stream"), ("13.2 ", "labels")], ids=["stream", "labels"]
)
def test_everything_is_annotated(heading: str, section_name: str) -> None:
    """The first stream is annotated from its first byte to its last, the second in its labels section."""
    stream = printed_stream(heading)
    header = crackle_zarr.header(stream)
    labels = 29 + 4 * header.sz + 4
    begin, end = (0, len(stream)) if section_name == "stream" else (labels, labels + header.num_label_bytes)
    rows = annotated_fields(heading)
    assert rows[0][0] == begin
    assert rows[-1][0] + len(rows[-1][1]) == end


@pytest.mark.parametrize("heading", ANNOTATED)
def test_annotated_values_are_those_of_the_bytes(heading: str) -> None:
    """Each annotated value is its bytes as a little-endian number, in bits or as text."""
    for _, data, value, field in annotated_fields(heading):
        if value.startswith("`"):
            assert data == value.strip("`").encode("ascii"), field
        elif value == "moves":
            assert field.startswith("moves"), field
        else:
            assert int.from_bytes(data, "little") == int(value, 0), field


@pytest.mark.parametrize("heading", ANNOTATED)
def test_annotated_slices_are_in_order(heading: str) -> None:
    """Where a field repeats for each slice, the rows name the slices in order."""
    by_kind: dict[str, list[int]] = {}
    for _, _, _, field in annotated_fields(heading):
        if found := re.fullmatch(
            r"(crack index.*|components in|crack code of|.*image of) slice (\d)(:.*)?", field
        ):
            by_kind.setdefault(found[1], []).append(int(found[2]))
    assert len(by_kind) == (4 if heading == "13.1 " else 1)
    slices = list(range(crackle_zarr.header(printed_stream(heading)).sz))
    assert all(named == slices for named in by_kind.values()), by_kind


def test_annotated_header() -> None:
    """The annotated fields of the header are those that the library reads."""
    header = crackle_zarr.header(printed_stream("13.1 "))
    documented = {field.split(":")[0]: value for _, _, value, field in annotated_fields("13.1 ")}
    assert (header.sx, header.sy, header.sz) == tuple(int(documented[name]) for name in ("sx", "sy", "sz"))
    assert header.num_label_bytes == int(documented["`num_label_bytes`"])
    assert header.format_version == int(documented["format version"])
    fields = int(documented["format field"], 0)
    assert header.data_width == 1 << (fields & 3)
    assert header.stored_data_width == 1 << (fields >> 2 & 3)
    assert header.fortran_order == bool(fields >> 7 & 1)


def test_annotated_labels() -> None:
    """The annotated keys of the flat labels give the components their labels in the volume."""
    fields = [(value, field) for _, _, value, field in annotated_fields("13.1 ")]
    unique = [int(value) for value, field in fields if field.startswith("label of key")]
    counts = [int(value) for value, field in fields if field.startswith("components in slice")]
    keys = [int(value) for value, field in fields if field.startswith("key of component")]
    result = reference.decode(printed_stream("13.1 "))
    volume = printed_volume("13.1 ")
    assert unique == sorted(set(volume.ravel().tolist()))
    assert counts == result.counts
    labels = []
    for z, image in enumerate(result.components):
        labels += [int(volume[:, :, z][image == component][0]) for component in range(counts[z])]
    assert [unique[key] for key in keys] == labels


def test_annotated_checksums() -> None:
    """Each annotated checksum is that of the bytes or components that its row names."""
    stream = printed_stream("13.1 ")
    rows = annotated_fields("13.1 ")
    index = b"".join(data for _, data, _, field in rows if field.startswith("crack index"))
    start = next(offset for offset, _, _, field in rows if field.startswith("labels, flat"))
    labels = stream[start : start + crackle_zarr.header(stream).num_label_bytes]
    images = reference.decode(stream).components
    expected = [
        reference.crc8(stream[5:28]),
        reference.crc32c(index),
        reference.crc32c(labels),
        *(reference.crc32c(image.astype("<u4").tobytes(order="F")) for image in images),
    ]
    assert [int(value, 0) for _, _, value, field in rows if field.startswith("CRC")] == expected


def test_printed_walks() -> None:
    """The printed walk of each slice with cracks follows from the bytes of its moves."""
    printed = [rows for rows in tables(section(NOTES_TEXT, "13.1 ")) if "vertex" in rows[0]]
    walked = []
    for _, starts, moves in moves_of_slices("13.1 "):
        differences = [byte >> shift & 3 for byte in moves for shift in (0, 2, 4, 6)]
        walked.append(list(walk(starts, differences)))
    assert printed == walked


def test_printed_moves() -> None:
    """The bytes, bits and differences above each walk are those of the slice."""
    documented = re.findall(
        r"\*\*Slice (\d)\.\*\* The moves are the bytes `(.*?)`, in bits `(.*?)`\..*? the differences `(.*?)`",
        " ".join(section(NOTES_TEXT, "13.1 ").split()),
    )
    expected = []
    for z, _, moves in moves_of_slices("13.1 "):
        bits = " ".join(format(byte, "08b") for byte in moves)
        differences = " | ".join(" ".join(str(byte >> shift & 3) for shift in (0, 2, 4, 6)) for byte in moves)
        expected.append((str(z), moves.hex(" "), bits, differences))
    assert documented == expected


def test_annotated_pins() -> None:
    """The annotated pins and single components lie on their labels in the volume."""
    volume = printed_volume("13.2 ")
    stream = printed_stream("13.2 ")
    components = reference.decode(stream).components
    labels = [
        int(volume[:, :, z][image == number][0])
        for z, image in enumerate(components)
        for number in range(int(image.max()) + 1)
    ]
    label = component = index = 0
    named = set()
    for _, _, value, field in annotated_fields("13.2 "):
        if field.startswith("label "):
            label, component = numbers(field)[0], 0
        elif field.startswith("index of the pin"):
            index = int(value)
            x, y, z = numbers(field)
            assert index == x + volume.shape[0] * (y + volume.shape[1] * z)
        elif field.startswith("depth of the pin"):
            assert set(volume[x, y, z : z + int(value) + 1].tolist()) == {label}
            named.add(label)
        elif "single component" in field:
            component += int(value)
            assert labels[component] == label
            named.add(label)
    background = int(annotated_fields("13.2 ")[0][2])
    assert named | {background} == set(labels)


def test_printed_markov_model() -> None:
    """The printed rows of the model are those that the stream stores."""
    stream = printed_stream("13.3 ")
    header = crackle_zarr.header(stream)
    start = 29 + 4 * header.sz + 4 + header.num_label_bytes
    model = stream[start : start + 3]
    assert f"The model is the 3 bytes `{model.hex(' ')}` at offset {start}." in section(NOTES_TEXT, "13.3 ")
    bits = int.from_bytes(model, "little")
    for i, row in enumerate(table(section(NOTES_TEXT, "13.3 "), "row")):
        assert int(row["row"]) == i
        assert int(row["stored"]) == bits >> 5 * i & 31
        assert row["bits"] == f"{5 * i} to {5 * i + 4}"
        assert tuple(numbers(row["ranking"])) == reference.RANKINGS[bits >> 5 * i & 31]
    assert i == 4**header.markov_model_order - 1


def test_printed_markov_codes() -> None:
    """The printed codes of slice 0 spell its bytes, follow the model, and give the plain stream's moves."""
    subsection = section(NOTES_TEXT, "13.3 ")
    model = [tuple(numbers(row["ranking"])) for row in table(subsection, "row")]
    [(_, _, moves), *_] = moves_of_slices("13.3 ")
    stored = "".join(format(byte, "08b")[::-1] for byte in moves)
    documented = re.findall(r"slice 0 are now `(.*?)`\..*?that is `(.*?)`", " ".join(subsection.split()))
    assert [(bytes.fromhex(data), bits.replace(" ", "")) for data, bits in documented] == [(moves, stored)]
    code_of_rank = ("0", "10", "110", "111")
    spelt = ""
    differences: list[int] = []
    for row in table(subsection, "bits read"):
        difference = int(row["difference"])
        bits = row["bits read"].replace(" ", "")
        if not differences:
            assert (row["row"], row["rank"]) == ("", "")
            assert int(bits[::-1], 2) == difference
        else:
            assert int(row["row"]) == differences[-1]
            assert bits == code_of_rank[int(row["rank"])]
            assert model[differences[-1]][int(row["rank"])] == difference
        spelt += bits
        differences.append(difference)
    assert stored.startswith(spelt)
    assert set(stored[len(spelt) :]) <= {"0"}
    assert len(stored) - len(spelt) < 8
    [(_, _, plain), *_] = moves_of_slices("13.1 ")
    unpacked = [byte >> shift & 3 for byte in plain for shift in (0, 2, 4, 6)]
    assert unpacked[: len(differences)] == differences
    assert not any(unpacked[len(differences) :])


def test_version_is_guarded_by_the_structure() -> None:
    """As section 8 of docs/format.md says, a version-1 stream whose version byte says 0 raises."""
    stream = bytearray(printed_stream("13.1 "))
    stream[4] = 0
    with pytest.raises(FormatError):
        crackle_zarr.decompress(bytes(stream))


def test_checksums_of_checksums_there_are_none() -> None:
    """As section 8 of docs/format.md says, damaged checksums make a sound stream look damaged."""
    stream = printed_stream("13.1 ")
    for offset, data, _, field in annotated_fields("13.1 "):
        if not field.startswith("CRC"):
            continue
        for at in range(offset, offset + len(data)):
            damaged = bytearray(stream)
            damaged[at] ^= 1
            with pytest.raises(FormatError):
                crackle_zarr.decompress(bytes(damaged))
