"""Reads sections, tables and examples out of the documents."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import reference
import zarr
from zarr.storage import MemoryStore

import crackle_zarr
from crackle_zarr import CrackleCodec

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
EXTENSION = DOCS / "zarr-extension"
SAMPLES = EXTENSION / "sample_data"

FORMAT_TEXT = (DOCS / "format.md").read_text(encoding="utf-8")
NOTES_TEXT = (DOCS / "format-notes.md").read_text(encoding="utf-8")
EXTENSION_TEXT = (EXTENSION / "README.md").read_text(encoding="utf-8")
SAMPLES_TEXT = (SAMPLES / "README.md").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads((EXTENSION / "schema.json").read_text(encoding="utf-8"))

MARKDOWN = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))

Row = dict[str, str]


# ---------------------------------------------------------------------------------------
# Reading Markdown


def section(text: str, heading: str) -> str:
    """The text below the heading that begins with ``heading``, to the next heading of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}.*\n", text, re.MULTILINE)
    assert found, f"no heading begins with {heading!r}"
    rest = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def fenced(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[Row]]:
    """The tables of a text: each is a list of rows, and each row a dict from column heading to cell."""
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
    """The only table whose first column has this heading."""
    matching = [rows for rows in tables(text) if next(iter(rows[0])) == first_column]
    assert len(matching) == 1, f"{len(matching)} tables begin with the column {first_column!r}"
    return matching[0]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", text)]


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


# ---------------------------------------------------------------------------------------
# docs/format-notes.md: the annotated streams

STREAMS = ["13.1 ", "13.2 ", "13.3 "]
ANNOTATED = STREAMS[:2]


def printed_stream(heading: str) -> bytes:
    """The stream that a subsection prints in hexadecimal."""
    [block] = fenced(section(NOTES_TEXT, heading), "hex")
    return bytes.fromhex(block)


def printed_volume(heading: str) -> npt.NDArray[Any]:
    """The volume that a subsection prints, else that of the first subsection, indexed (x, y, z)."""
    text = section(NOTES_TEXT, heading)
    if not fenced(text, "text"):
        assert "The volume of section 13.1" in text
        text = section(NOTES_TEXT, "13.1 ")
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
    rows = table(section(NOTES_TEXT, heading), "offset")
    found = []
    for row in rows:
        data = bytes.fromhex(row["bytes"].strip("`"))
        assert len(data) == int(row["length"]), row
        found.append((int(row["offset"]), data, row["value"], row["field"]))
    return found


def moves_of_slices(heading: str) -> list[tuple[int, list[tuple[int, int]], bytes]]:
    """For each slice with cracks: its number, the start vertices of its chains, and its moves' bytes."""
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
    """The rows of a printed walk of a slice's differences, by section 3.3 of docs/format.md."""
    codepoints = list(itertools.accumulate(differences, lambda last, difference: (last + difference) % 4))
    i = 0
    for x, y in starts:
        stack: list[tuple[int, int]] = []
        yield {"difference": "", "codepoint": "", "meaning": "begin", "vertex": f"({x}, {y})"}
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
                "vertex": place or f"({x}, {y})",
            }
            i += taken
    assert not any(differences[i:]), "what is left of the last byte is zero"
    assert len(differences) - i < 4


# ---------------------------------------------------------------------------------------
# docs/zarr-extension: metadata


def schema_accepts(metadata: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(metadata))


def codecs_named_crackle(metadata: Any) -> Iterator[dict[str, Any]]:
    """All codec objects named crackle, including those within shards."""
    if isinstance(metadata, dict):
        if metadata.get("name") == "crackle":
            yield metadata
        for value in metadata.values():
            yield from codecs_named_crackle(value)
    elif isinstance(metadata, list):
        for value in metadata:
            yield from codecs_named_crackle(value)


EXAMPLES = [json.loads(block) for block in fenced(EXTENSION_TEXT, "json")]


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
    """The volumes made by the formulas in the README of the sample data."""
    names: dict[str, Any] = {"np": np}
    for block in fenced(SAMPLES_TEXT, "python"):
        exec(block, names)
    return {path.stem: names[path.stem] for path in SAMPLES.glob("*.zarr")}


SAMPLE_NAMES = sorted(path.stem for path in SAMPLES.glob("*.zarr"))
SAMPLE_FACTS = {
    name: re.findall(r"^\| ([\w, ]+) \| (.+) \|$", section(SAMPLES_TEXT, f"`{name}.zarr`"), re.MULTILINE)
    for name in SAMPLE_NAMES
}
