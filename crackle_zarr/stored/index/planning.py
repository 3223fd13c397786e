"""Which chunks an edit reads: those where the index lists a label of it, and those that changed since.

A query may be told by an index that a plain write has left behind; an edit may not, because a chunk that it
misses keeps its old labels for good. So an edit compares the stamps of the index with a listing of the store
first, and reads each chunk that changed, was written or was deleted since, whatever the index says of it.
What is written after that listing is like what is written after a chunk was read: docs/trust.md.

All of an answer comes from one manifest. An older one, from a cache for instance, has older stamps, so it
only makes more chunks count as changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..._base.mapping import LabelMapping
from ...errors import FormatError, StaleIndexError, StoreError
from ..engine import Options
from ..layout import Coords, Layout
from .check import changes
from .choice import FEW_CHUNKS, lookup_of, native
from .listing import listing_of
from .lookup import Lookup
from .stamps import coords_of

T = TypeVar("T")

# More labels than this lie in most chunks of an array.
_MOST_LABELS = 100_000


def chunks_with(layout: Layout, mapping: LabelMapping, options: Options) -> list[Coords] | None:
    """The chunks in which a mapping may change a label, in C order.

    Args:
        layout: of the array.
        mapping: old labels and new ones. One that raises for other labels concerns all chunks.
        options: ``index`` says whether to use an index.

    Returns:
        The chunks; None: all of them are to be read.

    Raises:
        FileNotFoundError: an index is required, and there is none.
        ImportError: an index is required, and pyarrow is not installed.
        StaleIndexError: an index is required, and there is none that is current.
        FormatError: an index is required, and a file of it is damaged.
        StoreError: an index is required, and the store failed.
    """

    def question(lookup: Lookup, changed: npt.NDArray[Any]) -> list[Coords] | None:
        if not mapping.preserve or len(mapping) > _MOST_LABELS:
            return None
        _, rows = lookup.some(native(layout, mapping.keys.tolist()), ["label", "chunk"])
        old = rows["label"].copy()
        listed = rows["chunk"][old != mapping.renamed(old)]
        return coords_of(layout, np.union1d(listed, changed))

    return _checked(layout, options, question)


def labels_there(layout: Layout, options: Options) -> tuple[npt.NDArray[Any], list[Coords]] | None:
    """The labels that an index lists, and the chunks that changed since, whose labels are to be read.

    None: there is no index to use. It raises as :func:`chunks_with` does.
    """

    def question(lookup: Lookup, changed: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], list[Coords]]:
        limits = np.iinfo(layout.native)
        totals = lookup.totals(int(limits.min), int(limits.max), ["label"])
        return np.ascontiguousarray(totals["label"]), coords_of(layout, changed)

    return _checked(layout, options, question)


def _checked(
    layout: Layout, options: Options, question: Callable[[Lookup, npt.NDArray[Any]], T | None]
) -> T | None:
    """Ask an index, with the numbers of the chunks that changed since it was written."""
    required = options.index == "require"
    if options.index == "ignore" or (not required and layout.num_chunks <= FEW_CHUNKS):
        return None
    try:
        lookup = lookup_of(layout)
        listing = listing_of(layout)
        if listing is None and not required:
            return None  # the checksums of all chunks cost as much as their label tables
        changed = changes(layout, lookup.stamps(), listing, replace(options, progress=False))
        return question(lookup, changed["chunk"])
    except (FileNotFoundError, ImportError, StaleIndexError, FormatError, StoreError):
        if required:
            raise
        return None
