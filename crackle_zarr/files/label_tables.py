"""Tables of label names, as other programs write them.

ITK-SNAP's label descriptions, Slicer's colour tables (text and CSV), FreeSurfer's lookup tables, CSV and TSV
with a line of column names or without, and the segments in the header of a ``.seg.nrrd`` file.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from . import formats
from .formats import segments
from .formats.common import working
from .label_names import Color, LabelNames, rgba
from .volumes import UnusableError

# A line of a table: its label, its name and its colour, where there is one.
Entry: TypeAlias = tuple[int, str, Color | None]

# Column names of CSV, in lower case without blanks, underscores and dots.
_LABEL_COLUMNS = (
    "labelvalue",
    "label",
    "labelid",
    "index",
    "id",
    "value",
    "segment",
    "segmentid",
    "no",
    "idx",
)
_NAME_COLUMNS = ("name", "labelname", "segmentname", "structure", "region", "description", "labeltext")
_COLOR_COLUMNS = (("colorr", "red", "r"), ("colorg", "green", "g"), ("colorb", "blue", "b"))
_ALPHA_COLUMNS = ("colora", "alpha", "opacity")

# Names of labels that mean nothing in the programs' own files.
_NO_NAME = {"", "(none)"}


def read_label_names(path: str | os.PathLike[str]) -> LabelNames:
    """Read the names and colours of labels from a file of another program.

    The content determines the format:

    - ITK-SNAP's label descriptions: ``1 255 0 0 1 1 1 "liver"``.
    - Slicer's colour tables (``.ctbl``, ``.txt``): ``1 left_kidney 185 102 83 255``. Slicer writes
      underscores for the blanks of names, so they become blanks again; its CSV has ``LabelValue`` and
      ``Name``.
    - FreeSurfer's lookup tables (``FreeSurferColorLUT.txt``): ``17 Left-Hippocampus 220 216 20 0``. The last
      number is transparency. If a label is there several times, the last line counts.
    - CSV and TSV: with a line of column names, such as ``label,name``, or ``index``, ``name``, ``color`` of
      BIDS; or without one, where the first column has labels and the second names.
    - NRRD with segments of Slicer (``.seg.nrrd``), which needs pynrrd.

    Args:
        path: the file; text is UTF-8.

    Raises:
        UnusableError: a line is no entry, a label is there with two names, or there are no names; the message
            has the file and the line.
        FileNotFoundError: there is no such file.
        ImportError: it is a NRRD file, and pynrrd is not installed.
    """
    file = Path(path)
    with open(file, "rb") as opened:
        raw = opened.read(4)
        if raw == b"NRRD":
            return _names_of_nrrd(file)
        raw += opened.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UnusableError(f"{file}, line {line}: this is no text of UTF-8: {error.reason}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    comments = [line for _, line in lines if line.lstrip().startswith("#")]
    rows = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not rows:
        raise UnusableError(f"{file}: there are no labels in it")
    replaces = _is_freesurfer(comments, rows)
    return _collected(file, _entries(file, comments, rows), replaces)


def _names_of_nrrd(file: Path) -> LabelNames:
    nrrd = formats.require("nrrd")
    with working(file, "a damaged or foreign NRRD file"), open(file, "rb") as content:
        header = nrrd.read_header(content)
    return segments.names_of(header, file)


def _collected(file: Path, entries: Iterator[tuple[int, Entry]], replaces: bool) -> LabelNames:
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    seen: dict[int, int] = {}
    for line, (label, name, color) in entries:
        if not replaces and names.get(label, name) != name:
            raise UnusableError(
                f"{file}, line {line}: label {label} is {name!r}, and {names[label]!r} in line {seen[label]}"
            )
        seen[label] = line
        if name not in _NO_NAME:
            names[label] = name
        if color is not None:
            colors[label] = color
    return LabelNames(names, colors)


def _entries(
    file: Path, comments: Sequence[str], rows: Sequence[tuple[int, str]]
) -> Iterator[tuple[int, Entry]]:
    first = rows[0][1]
    parse: Callable[[str], Entry]
    if _SNAP.fullmatch(first):
        parse, form = _snap_entry, 'IDX R G B A VIS MSH "LABEL"'
    elif _TABLE.fullmatch(first):
        is_slicer = not _is_freesurfer(comments, rows)
        parse, form = lambda line: _table_entry(line, is_slicer), "LABEL NAME R G B A"
    elif "," in first or "\t" in first or ";" in first:
        yield from _csv_entries(file, rows)
        return
    else:
        raise UnusableError(
            f"{file}, line {rows[0][0]}: {first.strip()[:60]!r} is no entry of a table of labels: ITK-SNAP's "
            f"label descriptions, Slicer's or FreeSurfer's colour tables, CSV and .seg.nrrd are read"
        )
    for number, line in rows:
        try:
            yield number, parse(line)
        except ValueError as error:
            reason = f": {error}" if str(error) else ""
            raise UnusableError(
                f"{file}, line {number}: {line.strip()[:60]!r} is not {form}{reason}"
            ) from None


# ---------------------------------------------------------------------------------------
# ITK-SNAP

_SNAP = re.compile(r'\s*(-?\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.eE+-]+)\s+(\d+)\s+(\d+)\s+"(.*)"\s*')


def _snap_entry(line: str) -> Entry:
    match = _SNAP.fullmatch(line)
    if match is None:
        raise ValueError
    label, red, green, blue, opacity, _, _, name = match.groups()
    return int(label), name, rgba((int(red), int(green), int(blue), round(float(opacity) * 255)))


# ---------------------------------------------------------------------------------------
# Slicer, FreeSurfer

_TABLE = re.compile(r"\s*(-?\d+)\s+(\S.*?)\s+(\d+)\s+(\d+)\s+(\d+)(?:\s+(\d+))?\s*")


def _is_freesurfer(comments: Sequence[str], rows: Sequence[tuple[int, str]]) -> bool:
    """Whether the last number of a table is transparency, as in FreeSurfer, and not opacity, as in Slicer."""
    if any("Color table file" in line for line in comments):
        return False
    matches = [_TABLE.fullmatch(line) for _, line in rows]
    if not all(matches):
        return any("Label Name" in line for line in comments)
    # Without a comment that tells: a table whose labels are all invisible is none of Slicer's.
    last = {match[6] for match in matches if match is not None and match[1] != "0"}
    return any("Label Name" in line for line in comments) or (last <= {"0"} and bool(last))


def _table_entry(line: str, is_slicer: bool) -> Entry:
    match = _TABLE.fullmatch(line)
    if match is None:
        raise ValueError
    label, name, red, green, blue, last = match.groups()
    opacity = int(last or 255)
    if not is_slicer:
        opacity = 255 - int(last or 0) if int(label) else 0  # FreeSurfer draws no background
    else:
        name = name.strip('"').replace("_", " ")
    return int(label), name, rgba((int(red), int(green), int(blue), opacity))


# ---------------------------------------------------------------------------------------
# CSV


def _csv_entries(file: Path, rows: Sequence[tuple[int, str]]) -> Iterator[tuple[int, Entry]]:
    first = rows[0][1]
    delimiter = max("\t;,", key=first.count)
    table = [next(csv.reader([line], delimiter=delimiter, skipinitialspace=True)) for _, line in rows]
    header = [re.sub(r"[\s_.]", "", cell).lower() for cell in table[0]]
    begin = 0
    if _is_integer(table[0][0]):
        header = ["label", "name"]
    else:
        begin = 1
    label_at, name_at = _column(header, _LABEL_COLUMNS), _column(header, _NAME_COLUMNS)
    if label_at is None or name_at is None:
        raise UnusableError(
            f"{file}, line {rows[0][0]}: the columns {', '.join(table[0])} have no label and name: call them "
            f"label and name"
        )
    for (number, line), cells in zip(rows[begin:], table[begin:], strict=True):
        try:
            label, name = int(cells[label_at]), cells[name_at].strip()
            yield number, (label, name, _csv_color(header, cells))
        except (ValueError, IndexError):
            raise UnusableError(
                f"{file}, line {number}: {line.strip()[:60]!r} has no label, which is an integer, in column "
                f"{label_at + 1}, no name in column {name_at + 1}, or a colour that is not 0 to 255"
            ) from None


def _is_integer(cell: str) -> bool:
    return re.fullmatch(r"\s*-?\d+\s*", cell) is not None


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _csv_color(header: Sequence[str], cells: Sequence[str]) -> Color | None:
    """The colour in a line: three columns, and perhaps one of opacity, or one as #rrggbb."""
    columns = [_column(header, names) for names in _COLOR_COLUMNS]
    if None not in columns:
        parts = [cells[column] for column in columns if column is not None]
        alpha = _column(header, _ALPHA_COLUMNS)
        parts += [cells[alpha]] if alpha is not None and cells[alpha].strip() else []
        return rgba([int(part) for part in parts]) if all(part.strip() for part in parts) else None
    one = _column(header, ("color", "colour"))
    if one is None or not cells[one].strip():
        return None
    return rgba(list(bytes.fromhex(cells[one].strip().removeprefix("#"))))
