"""The documents' links work, and docs/format.md agrees with the C headers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import reference
from documents import DOCS, FORMAT_TEXT, MARKDOWN, c_constants, numbers, section, table


@pytest.mark.parametrize("document", MARKDOWN, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names an existing file, and every anchor a heading."""
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
    """The header's table has each field at the offset at which the C code reads it."""
    rows = table(section(FORMAT_TEXT, "2. Header"), "offset")
    matching = [row for row in rows if row["field"].startswith(field)]
    assert [int(row["offset"]) for row in matching] == [c_constants()[macro]]


def test_header_fields_leave_no_gap() -> None:
    """The header's table covers version 1 from the first byte to the last."""
    end = 0
    for row in table(section(FORMAT_TEXT, "2. Header"), "offset"):
        assert int(row["offset"]) == end
        end += numbers(row["bytes"])[-1]  # "4 or 8": the second is that of version 1
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
    """The table of the format field has each field at the bit at which the C code reads it."""
    rows = {row["field"]: row for row in table(section(FORMAT_TEXT, "2. Header"), "bits")}
    assert numbers(rows[field]["bits"].replace("-", " "))[0] == c_constants()[macro]


def test_format_field_bits_are_all_listed() -> None:
    """The table of the format field has each of the bits 0 to 15 once."""
    documented: list[int] = []
    for row in table(section(FORMAT_TEXT, "2. Header"), "bits"):
        first, *last = numbers(row["bits"].replace("-", " "))
        documented += range(first, (last or [first])[0] + 1)
    assert documented == list(range(16))


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
    documented = {}
    for row in table(section(FORMAT_TEXT, "3.3 Walking"), "first, second codepoint"):
        first, second = row["first, second codepoint"].split(", ")
        documented[names[first], names[second]] = symbols[row["control symbol"]]
    assert documented == reference.SYMBOL_OF_PAIR


def test_rankings() -> None:
    """The table of rankings is the lexicographic list of permutations."""
    documented = {}
    for line in section(FORMAT_TEXT, "4. Markov model").splitlines():
        cells = [numbers(cell) for cell in line.strip("|").split("|")]
        if len(cells) == 8 and all(cells):
            documented.update({cells[i][0]: tuple(cells[i + 1]) for i in range(0, 8, 2)})
    assert documented == dict(enumerate(itertools.permutations(range(4))))
    assert len(documented) == c_constants()["CK_PERMUTATIONS"]


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
    """The check values of the document are those of the checksums."""
    assert checksum(b"123456789") == int(digits, 16)
    assert re.search(rf"`123456789` gives? {digits}", section(FORMAT_TEXT, "2. Header"))
