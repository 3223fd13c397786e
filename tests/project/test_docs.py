"""The documents are held to the code: what they print is parsed and compared, nothing is taken on trust."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import numcodecs
import numpy as np
import numpy.typing as npt
import pytest
import reference
import zarr
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr
from crackle_zarr import Crackle, CrackleCodec, FormatError

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
EXTENSION = DOCS / "zarr-extension"
SAMPLES = EXTENSION / "sample_data"

FORMAT_TEXT = (DOCS / "format.md").read_text(encoding="utf-8")
EXTENSION_TEXT = (EXTENSION / "README.md").read_text(encoding="utf-8")
SAMPLES_TEXT = (SAMPLES / "README.md").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads((EXTENSION / "schema.json").read_text(encoding="utf-8"))

MARKDOWN = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))

Row = dict[str, str]


# ---------------------------------------------------------------------------------------
# Reading Markdown


def section(text: str, heading: str) -> str:
    """What stands below the heading that begins with ``heading``, up to the next of its rank or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}.*\n", text, re.MULTILINE)
    assert found, f"no heading begins with {heading!r}"
    rest = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def fenced(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[Row]]:
    """The tables, each a list of rows, each a dict from the column's heading to the cell."""
    found: list[list[Row]] = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        heading, ruler, *rows = cells
        assert all(set(cell) <= set("-:") for cell in ruler), f"no table: {block}"
        for row in rows:
            assert len(row) == len(heading), f"a row has {len(row)} cells and not {len(heading)}: {row}"
        found.append([dict(zip(heading, row, strict=True)) for row in rows])
    return found


def table(text: str, first_column: str) -> list[Row]:
    """The one table whose first column has this heading."""
    matching = [rows for rows in tables(text) if next(iter(rows[0])) == first_column]
    assert len(matching) == 1, f"{len(matching)} tables begin with the column {first_column!r}"
    return matching[0]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", text)]


@pytest.mark.parametrize("document", MARKDOWN, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file that is there, and every anchor a heading."""
    path = DOCS / document
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), f"{document} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{document} links to {target}"


# ---------------------------------------------------------------------------------------
# docs/format.md: constants


def c_constants() -> dict[str, int]:
    """The numeric macros of the C headers."""
    found: dict[str, int] = {}
    for name in ("codec/format.h", "crackle.h", "crackle_streams.h"):
        text = (PROJECT / "csrc" / name).read_text(encoding="utf-8")
        for macro, value in re.findall(r"^#define (\w+) (\d+|0x[0-9a-fA-F]+)\b", text, re.MULTILINE):
            found[macro] = int(value, 0)
    return found


@pytest.mark.parametrize(
    ("field", "macro"),
    [
        ("format version", "CK_AT_VERSION"),
        ("format field", "CK_AT_FORMAT"),
        ("sx", "CK_AT_SX"),
        ("sy", "CK_AT_SY"),
        ("sz", "CK_AT_SZ"),
        ("log2 of the grid size", "CK_AT_GRID"),
        ("`num_label_bytes`", "CK_AT_LABEL_BYTES"),
        ("version 1 only: CRC8", "CK_AT_CRC8"),
    ],
)
def test_header_offsets(field: str, macro: str) -> None:
    """The header's table puts each field where the C code reads it."""
    rows = table(section(FORMAT_TEXT, "2. Header"), "offset")
    matching = [row for row in rows if row["field"].startswith(field)]
    assert [int(row["offset"]) for row in matching] == [c_constants()[macro]]


def test_header_fields_leave_no_gap() -> None:
    """The header's table covers version 1 from the first byte to the last."""
    end = 0
    for row in table(section(FORMAT_TEXT, "2. Header"), "offset"):
        assert int(row["offset"]) == end
        end += numbers(row["bytes"])[-1]  # "4 or 8": of version 1
    assert end == c_constants()["CK_HEADER_NBYTES_V1"]
    header = table(section(FORMAT_TEXT, "1. Sections"), "section")[0]
    assert header["bytes"] == f"{c_constants()['CK_HEADER_NBYTES_V0']} in version 0, {end} in version 1"


@pytest.mark.parametrize(
    ("field", "macro"),
    [
        ("log2 of the data width", "CK_BIT_DATA_WIDTH"),
        ("log2 of the stored width", "CK_BIT_STORED_WIDTH"),
        ("permissible", "CK_BIT_PERMISSIBLE"),
        ("label format", "CK_BIT_LABEL_FORMAT"),
        ("Fortran order", "CK_BIT_FORTRAN"),
        ("signed", "CK_BIT_SIGNED"),
        ("Markov order", "CK_BIT_MARKOV_ORDER"),
        ("not sorted", "CK_BIT_UNSORTED"),
        ("reserved", "CK_BIT_RESERVED"),
    ],
)
def test_format_field_bits(field: str, macro: str) -> None:
    """The table of the format field puts each field at the bit at which the C code reads it."""
    rows = {row["field"]: row for row in table(section(FORMAT_TEXT, "2. Header"), "bits")}
    assert numbers(rows[field]["bits"].replace("-", " "))[0] == c_constants()[macro]


def test_format_field_bits_are_all_told() -> None:
    """The table of the format field covers the bits 0 to 15 once each."""
    told: list[int] = []
    for row in table(section(FORMAT_TEXT, "2. Header"), "bits"):
        first, *last = numbers(row["bits"].replace("-", " "))
        told += range(first, (last or [first])[0] + 1)
    assert told == list(range(16))


def test_codepoints() -> None:
    """The moves have the codepoints and the steps of the C code and of the reference decoder."""
    for row in table(section(FORMAT_TEXT, "3.2 Moves"), "codepoint"):
        codepoint = int(row["codepoint"])
        assert c_constants()[f"CK_{row['move']}"] == codepoint
        x, y = (sum(numbers(term.replace(" ", ""))) for term in row["from (x, y) to"].split(","))
        assert (x, y) == reference.STEP[codepoint]


def test_control_symbols() -> None:
    """The four spellings of the control symbols are those of the reference decoder."""
    names = {"UP": 0, "RIGHT": 1, "DOWN": 2, "LEFT": 3}
    symbols = {"BRANCH": reference.BRANCH, "TERMINATE": reference.TERMINATE}
    told = {}
    for row in table(section(FORMAT_TEXT, "3.3 Walking"), "first, second codepoint"):
        first, second = row["first, second codepoint"].split(", ")
        told[names[first], names[second]] = symbols[row["control symbol"]]
    assert told == reference.SYMBOL_OF_PAIR


def test_rankings() -> None:
    """The table of rankings is the lexicographic list of permutations."""
    told = {}
    for line in section(FORMAT_TEXT, "4. Markov model").splitlines():
        cells = [numbers(cell) for cell in line.strip("|").split("|")]
        if len(cells) == 8 and all(cells):
            told.update({cells[i][0]: tuple(cells[i + 1]) for i in range(0, 8, 2)})
    assert told == dict(enumerate(itertools.permutations(range(4))))
    assert len(told) == c_constants()["CK_PERMUTATIONS"]


def test_largest_markov_order() -> None:
    """The largest Markov order and the size of its model are those of the code."""
    rows = {row["quantity"]: row for row in table(section(FORMAT_TEXT, "10. Limits"), "quantity")}
    row = rows["Markov order"]
    order = int(row["limit"])
    assert order == c_constants()["CRACKLE_MAX_MARKOV_ORDER"]
    nbytes = -(-(4**order) * c_constants()["CK_BITS_PER_MARKOV_ROW"] // 8)
    assert f"{nbytes:,} bytes" in row["because"]


@pytest.mark.parametrize(
    ("checksum", "digits"),
    [(reference.crc8, "0x51"), (reference.crc32c, "0xE3069283")],
    ids=["CRC8", "CRC32C"],
)
def test_check_values(checksum: Callable[[bytes], int], digits: str) -> None:
    """The check values that the document gives are those of the checksums."""
    assert checksum(b"123456789") == int(digits, 16)
    assert re.search(rf"`123456789` gives? {digits}", section(FORMAT_TEXT, "2. Header"))


# ---------------------------------------------------------------------------------------
# docs/format.md: the streams that are taken apart

TAKEN_APART = section(FORMAT_TEXT, "13. ")
STREAMS = ["13.1 ", "13.2 ", "13.3 "]
ANNOTATED = STREAMS[:2]


def printed_stream(heading: str) -> bytes:
    """The stream that a subsection prints in hexadecimal."""
    [block] = fenced(section(FORMAT_TEXT, heading), "hex")
    return bytes.fromhex(block)


def printed_volume(heading: str) -> npt.NDArray[Any]:
    """The volume that a subsection prints, or else that of the first, indexed (x, y, z)."""
    text = section(FORMAT_TEXT, heading)
    if not fenced(text, "text"):
        assert "The volume of section 13.1" in text
        text = section(FORMAT_TEXT, "13.1 ")
    [block] = fenced(text, "text")
    heading, *lines = block.splitlines()
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    assert re.split(r" {2,}", heading.strip()) == [f"z = {z}" for z in range(len(rows[0]))]
    dtype, *extents = re.findall(r"`(uint\d+)`,? with (\d+) by (\d+) by (\d+) voxels", text)[0]
    by_row = np.array([[numbers(cell) for cell in row] for row in rows], dtype=dtype)  # y, z, x
    volume = np.asfortranarray(by_row.transpose(2, 0, 1))
    assert volume.shape == tuple(map(int, extents))
    return volume


def annotated_fields(heading: str) -> list[tuple[int, bytes, str, str]]:
    """The annotated fields of a subsection: offset, bytes, value and description."""
    rows = table(section(FORMAT_TEXT, heading), "offset")
    found = []
    for row in rows:
        data = bytes.fromhex(row["bytes"].strip("`"))
        assert len(data) == int(row["length"]), row
        found.append((int(row["offset"]), data, row["value"], row["field"]))
    return found


@pytest.mark.parametrize("heading", STREAMS)
def test_printed_stream_decodes_to_the_printed_volume(heading: str) -> None:
    """Both the library and the slow reference decoder read the printed volume from the printed bytes."""
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
    """The encoder, with the options that are printed, does not need more bytes than the document shows."""
    volume, printed = printed_volume(heading), printed_stream(heading)
    assert all(f"{name}={value}" in section(FORMAT_TEXT, heading) for name, value in options.items())
    assert f"{len(printed)} bytes" in section(FORMAT_TEXT, heading)
    stream = crackle_zarr.compress(volume, **options)
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    assert len(stream) <= len(printed)
    assert stream[:19] == printed[:19]  # the same features: version, formats, widths and sizes


def test_printed_model_does_not_pay() -> None:
    """The encoder leaves out the model that the document prints, as it says, and needs fewer bytes."""
    volume, printed = printed_volume("13.3 "), printed_stream("13.3 ")
    assert crackle_zarr.header(printed).markov_model_order == 1
    text = section(FORMAT_TEXT, "13.3 ")
    assert f"{len(printed)} bytes" in text
    assert "markov_model_order=1" in text
    stream = crackle_zarr.compress(volume, markov_model_order=1)
    assert stream == crackle_zarr.compress(volume, markov_model_order=0)
    assert len(stream) < len(printed)


@pytest.mark.parametrize("heading", ANNOTATED)
def test_annotated_bytes_are_those_of_the_stream(heading: str) -> None:
    """Each row of an annotation has its bytes at its offset, and begins where the row before it ends."""
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
    """Each annotated value is what its bytes say as a little-endian number, in bits or as text."""
    for _, data, value, field in annotated_fields(heading):
        if value.startswith("`"):
            assert data == value.strip("`").encode("ascii"), field
        elif value == "moves":
            assert field.startswith("moves"), field
        else:
            assert int.from_bytes(data, "little") == int(value, 0), field


@pytest.mark.parametrize("heading", ANNOTATED)
def test_annotated_slices_are_in_order(heading: str) -> None:
    """Wherever a kind of field stands once per slice, the rows name the slices from the first to the last."""
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
    """The annotated fields of the header are what the library reads from it."""
    header = crackle_zarr.header(printed_stream("13.1 "))
    told = {field.split(":")[0]: value for _, _, value, field in annotated_fields("13.1 ")}
    assert (header.sx, header.sy, header.sz) == tuple(int(told[name]) for name in ("sx", "sy", "sz"))
    assert header.num_label_bytes == int(told["`num_label_bytes`"])
    assert header.format_version == int(told["format version"])
    fields = int(told["format field"], 0)
    assert header.data_width == 1 << (fields & 3)
    assert header.stored_data_width == 1 << (fields >> 2 & 3)
    assert header.fortran_order == bool(fields >> 7 & 1)


def test_annotated_labels() -> None:
    """The annotated keys of the flat labels lead to the labels of the components that the volume has."""
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
    """Each annotated checksum is that of the bytes or of the components that its row names."""
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


def moves_of_slices(heading: str) -> list[tuple[int, list[tuple[int, int]], bytes]]:
    """Per slice with cracks: its number, the vertices where chains begin, and the bytes of its moves."""
    stream = printed_stream(heading)
    sizes = np.frombuffer(stream, "<u4", crackle_zarr.header(stream).sz, 29).tolist()
    at = len(stream) - 4 - 4 * len(sizes) - sum(sizes)
    found = []
    for z, size in enumerate(sizes):
        code = stream[at : at + size]
        at += size
        end_of_index = 4 + int.from_bytes(code[:4], "little")
        if end_of_index == size:
            continue
        starts, i, y = [], 5, 0
        while i < end_of_index:
            y, count, x = y + code[i], code[i + 1], 0
            for dx in code[i + 2 : i + 2 + count]:
                x += dx
                starts.append((x, y))
            i += 2 + count
        found.append((z, starts, code[end_of_index:]))
    return found


NAMES = ("UP", "RIGHT", "DOWN", "LEFT")
MEANINGS = {None: "move", reference.BRANCH: "BRANCH", reference.TERMINATE: "TERMINATE"}


def walk(starts: list[tuple[int, int]], differences: list[int]) -> Iterator[Row]:
    """The rows of a printed walk, from the differences of a slice, by the rules of section 3.3."""
    codepoints = list(itertools.accumulate(differences, lambda last, difference: (last + difference) % 4))
    i = 0
    for x, y in starts:
        stack: list[tuple[int, int]] = []
        yield {"difference": "", "codepoint": "", "meaning": "begin", "stand on": f"({x}, {y})"}
        over = False
        while not over:
            pair = (codepoints[i], codepoints[i + 1])
            symbol = reference.SYMBOL_OF_PAIR.get(pair)
            taken = 1 if symbol is None else 2
            place = None
            if symbol == reference.BRANCH:
                stack.append((x, y))
            elif symbol == reference.TERMINATE:
                over = not stack
                place = "over" if over else None
                x, y = (x, y) if over else stack.pop()
            else:
                x, y = x + reference.STEP[pair[0]][0], y + reference.STEP[pair[0]][1]
            yield {
                "difference": ", ".join(map(str, differences[i : i + taken])),
                "codepoint": ", ".join(NAMES[codepoint] for codepoint in pair[:taken]),
                "meaning": MEANINGS[symbol],
                "stand on": place or f"({x}, {y})",
            }
            i += taken
    assert not any(differences[i:]), "what is left of the last byte is zero"
    assert len(differences) - i < 4


def test_printed_walks() -> None:
    """The printed walk of each slice with cracks is what the bytes of its moves give."""
    printed = [rows for rows in tables(section(FORMAT_TEXT, "13.1 ")) if "stand on" in rows[0]]
    walked = []
    for _, starts, moves in moves_of_slices("13.1 "):
        differences = [byte >> shift & 3 for byte in moves for shift in (0, 2, 4, 6)]
        walked.append(list(walk(starts, differences)))
    assert printed == walked


def test_printed_moves() -> None:
    """The bytes, bits and differences that introduce each walk are those of the slice."""
    told = re.findall(
        r"\*\*Slice (\d)\.\*\* The moves are the bytes `(.*?)`, in bits `(.*?)`\..*? the differences `(.*?)`",
        " ".join(section(FORMAT_TEXT, "13.1 ").split()),
    )
    expected = []
    for z, _, moves in moves_of_slices("13.1 "):
        bits = " ".join(format(byte, "08b") for byte in moves)
        differences = " | ".join(" ".join(str(byte >> shift & 3) for shift in (0, 2, 4, 6)) for byte in moves)
        expected.append((str(z), moves.hex(" "), bits, differences))
    assert told == expected


def test_annotated_pins() -> None:
    """The annotated pins and single components are where the volume has their labels."""
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
    assert f"The model is the 3 bytes `{model.hex(' ')}` at offset {start}." in section(FORMAT_TEXT, "13.3 ")
    bits = int.from_bytes(model, "little")
    for i, row in enumerate(table(section(FORMAT_TEXT, "13.3 "), "row")):
        assert int(row["row"]) == i
        assert int(row["stored"]) == bits >> 5 * i & 31
        assert row["bits"] == f"{5 * i} to {5 * i + 4}"
        assert tuple(numbers(row["ranking"])) == reference.RANKINGS[bits >> 5 * i & 31]
    assert i == 4**header.markov_model_order - 1


def test_printed_markov_codes() -> None:
    """The printed codes of slice 0 spell its bytes, follow the model, and make the plain stream's moves."""
    subsection = section(FORMAT_TEXT, "13.3 ")
    model = [tuple(numbers(row["ranking"])) for row in table(subsection, "row")]
    [(_, _, moves), *_] = moves_of_slices("13.3 ")
    stored = "".join(format(byte, "08b")[::-1] for byte in moves)
    told = re.findall(r"slice 0 are now `(.*?)`\..*?that is `(.*?)`", " ".join(subsection.split()))
    assert [(bytes.fromhex(data), bits.replace(" ", "")) for data, bits in told] == [(moves, stored)]
    code_of_rank = ("0", "10", "110", "111")
    spelt = ""
    differences: list[int] = []
    for row in table(subsection, "bits read"):
        difference = int(row["difference"])
        bits = row["bits read"].replace(" ", "")
        if not differences:
            assert (row["row in force"], row["rank"]) == ("", "")
            assert int(bits[::-1], 2) == difference
        else:
            assert int(row["row in force"]) == differences[-1]
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
    """As section 8 says, a version-1 stream is refused when its version byte says 0."""
    stream = bytearray(printed_stream("13.1 "))
    stream[4] = 0
    with pytest.raises(FormatError):
        crackle_zarr.decompress(bytes(stream))


def test_checksums_of_checksums_there_are_none() -> None:
    """As section 8 says, damage within the checksums makes a sound stream look damaged."""
    stream = printed_stream("13.1 ")
    for offset, data, _, field in annotated_fields("13.1 "):
        if not field.startswith("CRC"):
            continue
        for at in range(offset, offset + len(data)):
            damaged = bytearray(stream)
            damaged[at] ^= 1
            with pytest.raises(FormatError):
                crackle_zarr.decompress(bytes(damaged))


# ---------------------------------------------------------------------------------------
# docs/zarr-extension: metadata


def schema_accepts(metadata: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(metadata))


def codecs_named_crackle(metadata: Any) -> Iterator[dict[str, Any]]:
    """All codec objects of that name, also within shards."""
    if isinstance(metadata, dict):
        if metadata.get("name") == "crackle":
            yield metadata
        for value in metadata.values():
            yield from codecs_named_crackle(value)
    elif isinstance(metadata, list):
        for value in metadata:
            yield from codecs_named_crackle(value)


def test_schema_is_a_schema() -> None:
    """The schema is valid JSON schema of the draft that it names."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


EXAMPLES = [json.loads(block) for block in fenced(EXTENSION_TEXT, "json")]


def test_examples_are_there() -> None:
    """There are examples for format 3 and one for format 2, so that the tests of examples test something."""
    assert sum("codecs" in example for example in EXAMPLES) >= 4
    assert sum("compressor" in example for example in EXAMPLES) == 1


@pytest.mark.parametrize("example", [e for e in EXAMPLES if "codecs" in e], ids=lambda e: json.dumps(e)[:60])
def test_examples_are_valid(example: dict[str, Any]) -> None:
    """Each codec object of an example satisfies the schema and makes a codec that says the same again."""
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
    """An array with the codecs of an example gives back what was written."""
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
    """The compressor of the format 2 example makes the numcodecs codec, which says the same again."""
    [example] = [example for example in EXAMPLES if "compressor" in example]
    codec = numcodecs.get_codec(dict(example["compressor"]))
    assert isinstance(codec, Crackle)
    assert codec.get_config() == example["compressor"]


@pytest.mark.parametrize("order", [*range(13), "auto"])
@pytest.mark.parametrize("pins", range(3))
def test_metadata_of_the_codec_is_valid(order: Any, pins: int) -> None:
    """Whatever its options, what the codec writes into metadata satisfies the schema."""
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
    """What the schema does not accept, the codec refuses as well."""
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


# ---------------------------------------------------------------------------------------
# docs/zarr-extension: chunks


def stored_chunk(shape: tuple[int, ...], dtype: str = "uint16") -> tuple[npt.NDArray[Any], bytes]:
    """A chunk with many labels, and the bytes that a Zarr array of one chunk stores for it."""
    chunk = (np.arange(int(np.prod(shape))).reshape(shape) // 2 + 1).astype(dtype)
    store: dict[str, Any] = {}
    array = zarr.create_array(
        store=MemoryStore(store),
        shape=shape,
        chunks=shape,
        dtype=dtype,
        fill_value=0,
        serializer=CrackleCodec(),
        compressors=None,
    )
    array[...] = chunk
    [key] = [key for key in store if key.startswith("c")]
    return chunk, store[key].to_bytes()


@pytest.mark.parametrize("row", table(EXTENSION_TEXT, "dimensions"), ids=lambda row: f"{row['dimensions']}-D")
def test_chunk_shapes(row: Row) -> None:
    """A chunk of each shape in the table becomes a stream of the sizes that the table says."""
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
    """Exactly the data types that the document lists make arrays that give back what was written."""
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
    """As the document says, other data types are refused when the array is made."""
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
    """The header and the crack index end where the document says that they do."""
    _, stream = stored_chunk((6, 5, 4))
    [(constant, factor)] = re.findall(r"first `(\d+) \+ (\d+) \* sz` bytes", EXTENSION_TEXT)
    labels = int(constant) + int(factor) * 6
    assert labels == 29 + 4 * 6 + 4
    tail = 4 + 4 * 6
    nbytes = crackle_zarr.header(stream).num_label_bytes
    assert reference.crc32c(stream[labels : labels + nbytes]) == int.from_bytes(stream[-tail:][:4], "little")


# ---------------------------------------------------------------------------------------
# docs/zarr-extension: sample data


def sample_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample_data", EXTENSION / "make_sample_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sample_formulas() -> dict[str, npt.NDArray[Any]]:
    """The volumes that the formulas in the README of the sample data make."""
    names: dict[str, Any] = {"np": np}
    for block in fenced(SAMPLES_TEXT, "python"):
        exec(block, names)
    return {path.stem: names[path.stem] for path in SAMPLES.glob("*.zarr")}


SAMPLE_NAMES = sorted(path.stem for path in SAMPLES.glob("*.zarr"))
SAMPLE_FACTS = {
    name: re.findall(r"^\| ([\w, ]+) \| (.+) \|$", section(SAMPLES_TEXT, f"`{name}.zarr`"), re.MULTILINE)
    for name in SAMPLE_NAMES
}


def test_samples_are_there() -> None:
    """The sample data is the two arrays that its README describes, and is small."""
    described = re.findall(r"^## `(\w+)\.zarr`$", SAMPLES_TEXT, re.MULTILINE)
    assert len(described) == 2
    assert sorted(described) == SAMPLE_NAMES
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 20_000


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_samples_decode_to_their_formulas(name: str) -> None:
    """Each sample array holds what its formula makes, whole and in parts."""
    expected = sample_formulas()[name]
    array = zarr.open_array(store=LocalStore(SAMPLES / f"{name}.zarr", read_only=True), mode="r")
    assert isinstance(array, zarr.Array)
    assert array.dtype.name in name
    assert np.array_equal(array[...], expected)
    assert np.array_equal(array[..., 1:3, ::2], expected[..., 1:3, ::2])
    assert np.array_equal(array[-1], expected[-1])


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_sample_metadata(name: str) -> None:
    """The metadata of each sample array satisfies the schema and says what the README's table says."""
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
    """Each chunk of the plain sample is one stream, laid out by the axis rule; those of fill are missing."""
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
    """The script that made the sample data makes the same arrays with the same codecs."""
    sample_script().write(tmp_path)
    made = zarr.open_array(store=LocalStore(tmp_path / f"{name}.zarr"), mode="r")
    assert np.array_equal(made[...], sample_formulas()[name])
    stored, fresh = (
        json.loads((folder / f"{name}.zarr" / "zarr.json").read_text(encoding="utf-8"))
        for folder in (SAMPLES, tmp_path)
    )
    for key in ("shape", "data_type", "fill_value", "chunk_grid", "codecs", "dimension_names"):
        assert fresh[key] == stored[key]
