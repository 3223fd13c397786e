"""Answers from an index: in three rounds of requests at first, and in one once the footers are here.

The manifest names the file that may have a label; the file's footer names the row group; the row group has
the rows. A footer is read once per index, and kept. Where edits have added segments, the newest that knows a
label is right about it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import StoreError
from ..fetch import Bytes, Wanted, fetch
from ..layout import Layout
from .home import Home
from .manifest import File, Manifest, Pair, Segment
from .parquet import Footer, columns_of, damaged
from .rows import Rows, Totals, rows_dtype, totals_dtype
from .stamps import DTYPE, Stamps

# Files of which whole columns are read at once.
_AT_ONCE = 8
# Footers that are kept, of all indexes together: some 50 KB each, and as much again once they are parsed.
_MOST_FOOTERS = 512

_footers: OrderedDict[tuple[str, int, str], Footer] = OrderedDict()
_lock = threading.Lock()


class GoneError(StoreError):
    """A file of an index does not exist: another index may have replaced it."""


class _Asked(NamedTuple):
    """Row groups to read: of which segment, of which kind of file, and which columns (None: all)."""

    segment: int
    kind: str
    footer: Footer
    groups: list[int]
    columns: Sequence[str] | None


class Lookup:
    """Reads rows and totals of an index, as its manifest has it."""

    def __init__(self, layout: Layout, home: Home, manifest: Manifest) -> None:
        """An index whose manifest was read."""
        self.layout, self.home, self.manifest = layout, home, manifest
        label, ndim = layout.native, len(layout.shape)
        self._dtypes = {
            "labels": totals_dtype(label, ndim),
            "rows": rows_dtype(label, ndim),
            "chunks": DTYPE,
        }

    # -----------------------------------------------------------------------------------
    # Some labels

    def some(self, labels: npt.NDArray[Any], rows: Sequence[str] | bool = False) -> tuple[Totals, Rows]:
        """Totals and rows of some labels.

        Args:
            labels: ascending, in the layout's native dtype.
            rows: the columns of rows to read, with "label"; or True for all of them, False for no rows.

        Returns:
            The totals of those labels that the array has, ascending, and their rows in order.
        """
        columns = {"labels": None, "rows": None if isinstance(rows, bool) else rows}
        wanted = [
            (place, kind, pair)
            for place, segment in enumerate(self.manifest.segments)
            for pair in segment.pairs
            if len(_within(labels, pair.first, pair.last))
            for kind in (("labels", "rows") if rows else ("labels",))
        ]
        footers = self._footers_of([_file(pair, kind) for _, kind, pair in wanted])
        asked = []
        for (place, kind, _), footer in zip(wanted, footers, strict=True):
            groups = [group for group, bounds in enumerate(footer.bounds) if len(_within(labels, *bounds))]
            if groups:
                asked.append(_Asked(place, kind, footer, groups, columns[kind]))
        found: dict[tuple[str, int], list[npt.NDArray[Any]]] = {}
        for one, table in zip(asked, self._tables(asked), strict=True):
            found.setdefault((one.kind, one.segment), []).append(table[np.isin(table["label"], labels)])
        places = range(len(self.manifest.segments))
        totals = [self.joined("labels", found.get(("labels", place), [])) for place in places]
        parts = [self.joined("rows", found.get(("rows", place), []), columns["rows"]) for place in places]
        return present(newest(totals, totals)), newest(parts, totals)

    def _dtype(self, kind: str, columns: Sequence[str] | None) -> np.dtype[Any]:
        """The dtype of tables with some columns. Others take no memory: there may be 10^8 rows."""
        whole = self._dtypes[kind]
        if columns is None:
            return whole
        return np.dtype([(name, whole[name]) for name in whole.names or () if name in columns])

    def joined(
        self, kind: str, parts: Iterable[npt.NDArray[Any]], columns: Sequence[str] | None = None
    ) -> npt.NDArray[Any]:
        """Tables of a kind as one."""
        return np.concatenate([np.empty(0, dtype=self._dtype(kind, columns)), *parts])

    # -----------------------------------------------------------------------------------
    # All labels of a range

    def totals(self, first: int, last: int, columns: Sequence[str] | None = None) -> Totals:
        """The totals of all labels from ``first`` to ``last``, which the dtype of labels holds.

        Args:
            first: the lowest label.
            last: the highest label.
            columns: the columns to have, with "label". None: all.
        """
        several = len(self.manifest.segments) > 1
        if columns is not None and several:
            columns = [*columns, "voxel_count"]  # it tells which labels are gone
        parts = []
        for segment in self.manifest.segments:
            tables = self.between(segment, "labels", first, last, columns)
            parts.append(self.joined("labels", tables, columns))
        return present(newest(parts, parts)) if several else newest(parts, parts)

    def rows(self, first: int, last: int, columns: Sequence[str] | None = None) -> Rows:
        """All rows with labels from ``first`` to ``last``, in order; ``columns`` as for totals."""
        several = len(self.manifest.segments) > 1
        parts, known = [], []
        for segment in self.manifest.segments:
            tables = self.between(segment, "rows", first, last, columns)
            parts.append(self.joined("rows", tables, columns))
            if several:
                totals = self.between(segment, "labels", first, last, ["label"])
                known.append(self.joined("labels", totals, ["label"]))
        return newest(parts, known)

    def between(
        self, segment: Segment, kind: str, first: int, last: int, columns: Sequence[str] | None = None
    ) -> Iterator[npt.NDArray[Any]]:
        """The rows of a segment's files with labels from ``first`` to ``last``, file by file, ascending."""
        pairs = [pair for pair in segment.pairs if pair.first <= last and first <= pair.last]
        for start in range(0, len(pairs), _AT_ONCE):
            footers = self._footers_of([_file(pair, kind) for pair in pairs[start : start + _AT_ONCE]])
            asked = []
            for footer in footers:
                bounds = enumerate(footer.bounds)
                groups = [group for group, (low, high) in bounds if low <= last and first <= high]
                if groups:
                    asked.append(_Asked(0, kind, footer, groups, columns))
            for table in self._tables(asked):
                yield table[_within_slice(table["label"], first, last)]

    # -----------------------------------------------------------------------------------
    # Stamps

    def stamps(self) -> Stamps:
        """The stamps of all chunks, in their order."""
        (footer,) = self._footers_of([self.manifest.chunks])
        groups = list(range(footer.num_groups))
        return self._tables([_Asked(0, "chunks", footer, groups, None)])[0]

    # -----------------------------------------------------------------------------------
    # Bytes

    def _footers_of(self, files: Sequence[File]) -> list[Footer]:
        keys = [(file.name, file.crc, self.home.key(file.name)) for file in files]
        with _lock:
            found = {key: _footers[key] for key in keys if key in _footers}
        missing = {key: file for key, file in zip(keys, files, strict=True) if key not in found}
        wanted = [Wanted(key[2], file.nbytes - file.footer, file.nbytes) for key, file in missing.items()]
        for (key, file), raw in zip(missing.items(), self._fetched(wanted), strict=True):
            found[key] = Footer(file, raw.tobytes(), key[2])
        with _lock:
            for key, footer in found.items():
                _footers[key] = footer
                _footers.move_to_end(key)
            while len(_footers) > _MOST_FOOTERS:
                _footers.popitem(last=False)
        return [found[key] for key in keys]

    def _tables(self, asked: Sequence[_Asked]) -> list[npt.NDArray[Any]]:
        ranges = []
        for one in asked:
            chosen = columns_of(self._dtype(one.kind, one.columns))
            key = self.home.key(one.footer.file.name)
            ranges.append((chosen, one.footer.wanted(one.groups, chosen, key)))
        came = iter(self._fetched([wanted for _, some in ranges for wanted in some]))
        tables = []
        for one, (chosen, some) in zip(asked, ranges, strict=True):
            pieces = [(wanted.start, next(came).tobytes()) for wanted in some]
            tables.append(one.footer.table(one.groups, chosen, pieces, self._dtype(one.kind, one.columns)))
        return tables

    def _fetched(self, wanted: Sequence[Wanted]) -> list[Bytes]:
        came: list[Bytes] = []
        for one, raw in zip(wanted, fetch(self.home.store, wanted), strict=True):
            if isinstance(raw, BaseException):
                raise raw
            if raw is None:
                raise GoneError(f"{one.key}, a file of the label index of {self.layout.name}, is missing")
            assert one.stop is not None
            if len(raw) != one.stop - one.start:
                raise damaged(one.key, f"it ends after {one.start + len(raw)} bytes")
            came.append(raw)
        return came


def _file(pair: Pair, kind: str) -> File:
    return pair.labels if kind == "labels" else pair.rows


def _within_slice(labels: npt.NDArray[Any], first: int, last: int) -> slice:
    """Where labels that ascend are from ``first`` to ``last``, which need not be of their dtype."""
    limits = np.iinfo(labels.dtype)
    low, high = max(first, int(limits.min)), min(last, int(limits.max))
    # As numbers of the dtype: a Python integer would become a float of 53 bits beside labels of 64.
    start = np.searchsorted(labels, labels.dtype.type(low), side="left")
    return slice(int(start), int(np.searchsorted(labels, labels.dtype.type(high), side="right")))


def _within(labels: npt.NDArray[Any], first: int, last: int) -> npt.NDArray[Any]:
    return labels[_within_slice(labels, first, last)]


def newest(parts: Sequence[npt.NDArray[Any]], known: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Tables of several segments as one, by label: the newest segment that knows a label is right about it.

    Args:
        parts: the tables, the newest first.
        known: totals of the same segments; they list the labels that are gone, too.
    """
    if len(parts) == 1:
        return parts[0]
    kept = []
    for place, part in enumerate(parts):
        for newer in known[:place]:
            part = part[~np.isin(part["label"], newer["label"])]
        kept.append(part)
    table = np.concatenate(kept)
    return table[np.argsort(table["label"], kind="stable")]


def present(totals: Totals) -> Totals:
    """Totals without those of labels that are gone."""
    return totals[totals["voxel_count"] > 0]
