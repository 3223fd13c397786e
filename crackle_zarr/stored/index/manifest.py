"""The manifest of an index: the one object that is replaced, and that says which files count.

It is JSON. All other files are written once, under new names, so an index changes when its manifest does. It
has the checksum of itself, and those of the footers of all Parquet files: Parquet has checksums of pages, and
none of its footer, where one wrong bit can move a column.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

from ..._base import zarr_facts
from ...errors import FormatError
from ..layout import Layout

FORMAT = 1
CURRENT = "current"
STALE = "stale"


@dataclass(frozen=True)
class File:
    """A Parquet file: its name, its size, and the size and the CRC-32 of its footer.

    The footer is all from the metadata to the last byte.
    """

    name: str
    nbytes: int
    footer: int
    crc: int


@dataclass(frozen=True)
class Pair:
    """Two files with the same labels, from ``first`` to ``last``: a row per label, and a row per chunk."""

    first: int
    last: int
    num_labels: int
    num_rows: int
    labels: File
    rows: File


@dataclass(frozen=True)
class Segment:
    """Files whose labels are disjoint and ascend.

    The segment "full" has all labels. A segment "delta" has all rows of the labels that an edit changed, and
    replaces them; of a label that is gone, it has a row in ``labels`` without voxels.
    """

    kind: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Manifest:
    """An index.

    Attributes:
        id: names it, and the folder of its files.
        writer: who wrote it.
        time: when, in UTC.
        array: what the array was; see :func:`geometry_of`.
        state: "current"; {"pending": the id of an edit that is being applied}; or "stale": known to be.
        num_labels: how many labels the array has.
        num_rows: how many pairs of a label and a chunk.
        segments: the newest first; the first that knows a label is right about it.
        chunks: the file of stamps of all chunks.
        snapshot: of a store with versions, the one that was indexed.
    """

    id: str
    writer: str
    time: str
    array: dict[str, Any]
    state: Any
    num_labels: int
    num_rows: int
    segments: tuple[Segment, ...]
    chunks: File
    snapshot: str | None = None
    format: int = field(default=FORMAT)

    @property
    def is_current(self) -> bool:
        """Whether no edit is on the way, and none has left the index behind."""
        return bool(self.state == CURRENT)

    @property
    def files(self) -> list[File]:
        """All files."""
        pairs = [pair for segment in self.segments for pair in segment.pairs]
        return [self.chunks, *(file for pair in pairs for file in (pair.labels, pair.rows))]

    @property
    def folders(self) -> set[str]:
        """The folders of all files."""
        return {file.name.partition("/")[0] for file in self.files}

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(file.nbytes for file in self.files)

    def packed(self) -> bytes:
        """The manifest as bytes."""
        body = _text(asdict(self))
        return _text({"crc": zlib.crc32(body), "index": asdict(self)})


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpacked(raw: bytes, name: str) -> Manifest:
    """The manifest in some bytes.

    Raises:
        FormatError: they are damaged, or of a later version of the format.
    """
    try:
        whole = json.loads(raw)
        body = whole["index"]
        if whole["crc"] != zlib.crc32(_text(body)):
            raise ValueError("its checksum differs")
        number = body["format"]
        if number == FORMAT:
            segments = tuple(
                Segment(one["kind"], tuple(_pair(pair) for pair in one["pairs"])) for one in body["segments"]
            )
            fields = {**body, "segments": segments, "chunks": File(**body["chunks"])}
            return Manifest(**fields)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise FormatError(f"the manifest of the index, {name}, is damaged: {error}") from None
    raise FormatError(
        f"the index {name} has format {number}, and this version of crackle_zarr knows {FORMAT}: update it"
    )


def _pair(fields: dict[str, Any]) -> Pair:
    return Pair(**{**fields, "labels": File(**fields["labels"]), "rows": File(**fields["rows"])})


def geometry_of(layout: Layout) -> dict[str, Any]:
    """What an index has to agree on with its array, as JSON.

    It is not the array's metadata themselves: their text differs between versions of Zarr.
    """
    array = layout.array
    chain = layout.chain
    codecs = [zarr_facts.codec_json(codec) for codec in zarr_facts.codecs(array)]
    names = [str(codec.get("name", codec.get("id"))) for codec in codecs]
    return {
        "shape": list(layout.shape),
        "chunks": [cut.json for cut in layout.cuts],
        "shards": None if layout.shards is None else [cut.json for cut in layout.shards.cuts],
        "dtype": array.dtype.str,
        "fill_value": layout.fill,
        "zarr_format": zarr_facts.format_of(array),
        "codecs": names,
        "crackle": chain is not None,
        "axes": None if chain is None else list(chain.axes),
    }
