"""Runs: sorted rows of some chunks, on their way from the first pass of a build to the second.

A run is two blobs. One has the rows in blocks of 1,024, each compressed with a checksum, so that a range of
labels is read by byte range. The other, written last, has the place and the first label of each block and the
stamps of the chunks: a run without it, or with a damaged one, is no run.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc  # type: ignore[import-untyped]

from ...errors import FormatError, StoreError
from ..editing.entries import packed, unpacked
from ..fetch import Wanted, fetch
from .home import Home
from .rows import Rows, rows_dtype
from .stamps import DTYPE, Stamps

# Rows of a block. A range of labels is cut at first labels of blocks, so the larger the blocks, the more rows
# a range may have beyond its share: as many as there are runs, times this.
BLOCK = 1024
_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.SHUFFLE)


@dataclass(frozen=True)
class Run:
    """A run in its home.

    Attributes:
        name: of its blob of rows.
        firsts: the first label of each block.
        offsets: where each block begins, and where the last ends.
        num_rows: rows in all blocks.
        stamps: of the chunks whose rows these are. A task of many rows puts several runs: the last has the
            stamps.
        parts: how many runs the task has put before this one.
    """

    name: str
    firsts: npt.NDArray[Any]
    offsets: npt.NDArray[np.uint64]
    num_rows: int
    stamps: Stamps
    parts: int = 0

    def rows_in(self, block: int) -> int:
        """How many rows a block has."""
        return min(BLOCK, self.num_rows - block * BLOCK)

    def blocks_between(self, first: int, last: int) -> range:
        """The blocks that may have labels from ``first`` to ``last``."""
        # The block before the first one that begins at ``first`` or later may have it, too.
        start = max(0, int(np.searchsorted(self.firsts, self.firsts.dtype.type(first), side="left")) - 1)
        stop = int(np.searchsorted(self.firsts, self.firsts.dtype.type(last), side="right"))
        return range(start, max(start, stop))


def put_run(home: Home, name: str, rows: Rows, stamps: Stamps | None = None, parts: int = 0) -> Run:
    """Write a run.

    Args:
        home: of the index.
        name: of the run: ``building/ID/NUMBER``.
        rows: of :func:`~crackle_zarr.stored.index.rows.rows_dtype`, by label and then by chunk.
        stamps: of the chunks whose rows these are.
        parts: how many runs of the same chunks were put before this one.
    """
    stamps = np.empty(0, dtype=DTYPE) if stamps is None else stamps
    blocks = []
    for start in range(0, len(rows), BLOCK):
        raw = _CODEC.encode(_columns(rows[start : start + BLOCK]))
        blocks.append(raw + zlib.crc32(raw).to_bytes(4, "little"))
    firsts = np.ascontiguousarray(rows["label"][::BLOCK])
    offsets = np.cumsum([0, *map(len, blocks)], dtype=np.uint64)
    home.put({name: b"".join(blocks)})
    meta = {"rows": len(rows), "blocks": len(blocks), "label": firsts.dtype.str, "parts": parts}
    payload = firsts.tobytes() + offsets.tobytes() + stamps.tobytes()
    home.put({f"{name}.whole": packed(meta, payload)})
    return Run(name, firsts, offsets, len(rows), stamps, parts)


def runs_there(home: Home, names: Sequence[str]) -> list[Run | None]:
    """The runs that are whole; None for others."""
    found: list[Run | None] = []
    for name, raw in zip(names, home.read([f"{name}.whole" for name in names]), strict=True):
        try:
            found.append(None if raw is None else _run(name, raw))
        except (FormatError, LookupError, ValueError):
            found.append(None)
    return found


def _run(name: str, raw: bytes) -> Run:
    meta, payload = unpacked(raw, name)
    label = np.dtype(meta["label"])
    ends = np.cumsum([meta["blocks"] * label.itemsize, (meta["blocks"] + 1) * 8])
    return Run(
        name,
        np.frombuffer(payload[: ends[0]], dtype=label),
        np.frombuffer(payload[ends[0] : ends[1]], dtype=np.uint64),
        meta["rows"],
        np.frombuffer(payload[ends[1] :], dtype=DTYPE),
        meta["parts"],
    )


def rows_between(home: Home, runs: Sequence[Run], first: int, last: int, ndim: int) -> Rows:
    """All rows of some runs with labels from ``first`` to ``last``, run after run.

    Raises:
        StoreError: a run is gone, or is not what was written.
    """
    wanted, which = [], []
    for run in runs:
        blocks = run.blocks_between(first, last)
        if len(blocks):
            start, stop = int(run.offsets[blocks.start]), int(run.offsets[blocks.stop])
            wanted.append(Wanted(home.key(run.name), start, stop))
            which.append((run, blocks))
    parts = []
    for one, (run, blocks), raw in zip(wanted, which, fetch(home.store, wanted), strict=True):
        if isinstance(raw, BaseException):
            raise raw
        if raw is None:
            raise StoreError(
                f"{one.key}, which a build of the label index wrote, is gone: another build of it may have "
                f"ended; build it again"
            )
        dtype = rows_dtype(run.firsts.dtype, ndim)
        for block in blocks:
            low, high = (int(run.offsets[place]) - one.start for place in (block, block + 1))
            rows = _rows(raw[low:high], run.rows_in(block), dtype, one.key)
            labels = rows["label"]
            if block in (blocks.start, blocks.stop - 1):
                rows = rows[(labels >= labels.dtype.type(first)) & (labels <= labels.dtype.type(last))]
            parts.append(rows)
    if not parts:
        label = runs[0].firsts.dtype if runs else np.dtype(np.uint64)
        return np.empty(0, dtype=rows_dtype(label, ndim))
    return np.concatenate(parts)


def _columns(rows: Rows) -> bytes:
    """Rows column after column, which compresses far better than row after row."""
    columns = (np.moveaxis(rows[name], 0, -1) for name in rows.dtype.names or ())
    return b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def _rows(raw: npt.NDArray[np.uint8], count: int, dtype: np.dtype[Any], key: str) -> Rows:
    body = raw[:-4].tobytes()
    if len(raw) < 4 or zlib.crc32(body) != int.from_bytes(raw[-4:].tobytes(), "little"):
        raise StoreError(f"{key}, which a build of the label index wrote, reads back differently")
    columns = memoryview(_CODEC.decode(body))
    rows = np.empty(count, dtype=dtype)
    at = 0
    for name in dtype.names or ():
        field = dtype[name]
        nbytes = count * field.itemsize
        if not nbytes:  # an array of no axes
            continue
        values = np.frombuffer(columns[at : at + nbytes], dtype=field.base).reshape(*field.shape, count)
        rows[name] = np.moveaxis(values, -1, 0)
        at += nbytes
    return rows
