"""The index of an array as an object, for those who ask it many questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ..._base.integers import integer
from ...errors import StaleIndexError
from ...streams.statistics_table import StatisticsTable
from ..layout import Coords, Layout
from .answers import table_of
from .choice import lookup_of, native
from .lookup import GoneError, Lookup
from .publish import IndexReport, report_of
from .stamps import coords_of

T = TypeVar("T")


class LabelChunks(NamedTuple):
    """A label in its chunks.

    Attributes:
        chunks: the grid indices, in C order.
        voxel_count: voxels in each.
        start: per chunk, the lowest index along each axis: an array of shape (chunks, axes).
        stop: the highest index plus one.
        centroid: the mean index of the voxels in each chunk.
    """

    chunks: list[Coords]
    voxel_count: npt.NDArray[np.uint64]
    start: npt.NDArray[np.uint64]
    stop: npt.NDArray[np.uint64]
    centroid: npt.NDArray[np.float64]


class LabelIndex:
    """The label index of a stored array, as :func:`crackle_zarr.open_index` returns it.

    Every answer is the one that the array would give. An index knows nothing of writes to the array that were
    not made through this package: see :func:`crackle_zarr.check_index`. What was read of the index is kept,
    so the second question about a label costs one round of requests, whatever the size of the array. It
    pickles, and opens its store again in the other process.
    """

    def __init__(self, layout: Layout) -> None:
        """Open the index of an array."""
        self._layout = layout
        self._lookup = lookup_of(layout)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the array alone; the other process reads the index's manifest again."""
        return {"_layout": self._layout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the index again."""
        self.__init__(state["_layout"])  # type: ignore[misc]

    def __repr__(self) -> str:
        """The array, and how large the index is."""
        found = self._lookup.manifest
        return (
            f"<LabelIndex of {self._layout.name}: {found.num_labels:,} labels, {found.num_rows:,} rows, "
            f"{found.nbytes:,} bytes>"
        )

    @property
    def report(self) -> IndexReport:
        """How large the index is."""
        return report_of(self._layout, self._lookup.manifest)

    def _ask(self, question: Callable[[Lookup], T]) -> T:
        try:
            return question(self._lookup)
        except GoneError as error:
            # Another index may have replaced this one.
            again = lookup_of(self._layout)
            if again.manifest == self._lookup.manifest:
                raise
            if again.manifest.array != self._lookup.manifest.array:
                raise StaleIndexError(f"{self._layout.name} was replaced by another array") from error
            self._lookup = again
            return question(again)

    def __len__(self) -> int:
        """The number of labels."""
        return self._lookup.manifest.num_labels

    def __contains__(self, label: object) -> bool:
        """Whether the array has a label."""
        wanted = native(self._layout, [integer("label", label)])
        return bool(len(wanted)) and bool(len(self._ask(lambda lookup: lookup.some(wanted)[0])))

    def labels(self, low: int | None = None, high: int | None = None) -> npt.NDArray[Any]:
        """The labels in [low, high), ascending, in the array's dtype; None: without this bound."""
        dtype = self._layout.native
        lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        first = lowest if low is None else max(integer("low", low), lowest)
        last = highest if high is None else min(integer("high", high) - 1, highest)
        totals = self._ask(lambda lookup: lookup.totals(first, last, ["label"])) if first <= last else None
        found = np.empty(0, dtype=dtype) if totals is None else totals["label"]
        return np.ascontiguousarray(found).astype(self._layout.array.dtype, copy=False)

    def find(self, label: int) -> list[Coords]:
        """The grid indices of the chunks that hold a label, in C order; empty if the array lacks it."""
        wanted = native(self._layout, [integer("label", label)])
        if not len(wanted):
            return []
        _, rows = self._ask(lambda lookup: lookup.some(wanted, ["label", "chunk"]))
        return coords_of(self._layout, rows["chunk"])

    def statistics(self, labels: Iterable[int] | None = None) -> StatisticsTable:
        """Voxel count, bounding box and centroid of labels, as :func:`crackle_zarr.statistics` gives them.

        Args:
            labels: the labels; those that the array lacks are left out. None: all.
        """
        if labels is None:
            limits = np.iinfo(self._layout.native)
            totals = self._ask(lambda lookup: lookup.totals(int(limits.min), int(limits.max)))
        else:
            wanted = native(self._layout, [integer("a label", label) for label in labels])
            totals = self._ask(lambda lookup: lookup.some(wanted)[0])
        return table_of(totals, self._layout)

    def files(self, kind: Literal["labels", "rows"]) -> list[str]:
        """The Parquet files of the index, for pandas, polars, duckdb and others: their keys in the array.

        Args:
            kind: "labels" has a row per label, "rows" one per label and chunk.

        Raises:
            StaleIndexError: remaps have added files that replace rows of others: ``update_index`` makes them
                one again.
        """
        segments = self._lookup.manifest.segments
        if len(segments) > 1:
            raise StaleIndexError(
                f"the label index of {self._layout.name} has parts that remaps have added, and a reader of "
                f"its files would see old rows, too: update_index(array) makes them one"
            )
        prefix = self._layout.path("")
        pairs = [pair for segment in segments for pair in segment.pairs]
        names = [pair.labels.name if kind == "labels" else pair.rows.name for pair in pairs]
        return [self._lookup.home.key(name).removeprefix(prefix) for name in names]

    def rows(self, label: int) -> LabelChunks:
        """A label in each of the chunks that hold it; without chunks if the array lacks it."""
        wanted = native(self._layout, [integer("label", label)])
        _, rows = self._ask(lambda lookup: lookup.some(wanted, True))
        return LabelChunks(
            coords_of(self._layout, rows["chunk"]),
            np.ascontiguousarray(rows["voxel_count"]),
            np.ascontiguousarray(rows["start"]),
            np.ascontiguousarray(rows["stop"]),
            rows["start"] + rows["sum"] / rows["voxel_count"][:, np.newaxis],
        )
