"""Which chunks changed since an index was built: by what the store lists, and then by their checksums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ...errors import FormatError, StaleIndexError
from ..engine import Options, run
from ..layout import Coords, Layout
from .choice import read_manifest, why_changed_shape
from .home import home_of
from .listing import Listing, listing_of, tags_of
from .lookup import Lookup
from .parquet import pyarrow
from .stamps import Stamps, coords_of, read_stamps, same, unchanged

Change: TypeAlias = Literal["changed", "new", "gone"]

# Chunks of a task, where there are no shards.
_AT_ONCE = 256


@dataclass(frozen=True)
class Changes:
    """The stamps of chunks that changed, as they are now."""

    now: Stamps

    def __add__(self, other: Changes) -> Changes:
        """The changes of both."""
        return Changes(np.concatenate([self.now, other.now]))


@dataclass(frozen=True)
class CompareChunks:
    """Compare some chunks with their stamps; all in one shard, if there are shards."""

    layout: Layout
    stamps: Stamps

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.stamps)

    def __call__(self) -> Changes:
        """Do it."""
        try:
            other = self.stamps[~unchanged(self.layout, self.stamps)]
        except FormatError:  # the index of a shard is damaged
            other = self.stamps
        if not len(other):
            return Changes(other)
        try:
            now = read_stamps(self.layout, coords_of(self.layout, other["chunk"]))
            return Changes(now[~same(now, other)])  # the store may have sent less than a chunk before
        except FormatError:
            now = other.copy()
            now["labels_crc"], now["slices_crc"] = ~now["labels_crc"], 0
            return Changes(now)


def opened(layout: Layout) -> Lookup:
    """The index of an array, current or not, as long as it is of this array.

    Raises:
        FileNotFoundError: there is none.
        FormatError: its manifest is damaged.
        ImportError: pyarrow is not installed.
        StaleIndexError: the array has another shape or other chunks by now.
    """
    pyarrow()
    home = home_of(layout)
    manifest = read_manifest(layout, home)
    reason = why_changed_shape(layout, manifest)
    if reason is not None:
        raise StaleIndexError(f"the label index of {layout.name} cannot be used: {reason}")
    return Lookup(layout, home, manifest)


def check(layout: Layout, content: bool, options: Options) -> list[tuple[Coords, Change]]:
    """The chunks that changed; see ``crackle_zarr.check_index``."""
    stamps = opened(layout).stamps()
    now = changes(layout, stamps, None if content else listing_of(layout), options)
    before = stamps[np.searchsorted(stamps["chunk"], now["chunk"])]
    kinds: list[Change] = [
        "new" if not old else "gone" if not new else "changed"
        for old, new in zip(before["nbytes"].tolist(), now["nbytes"].tolist(), strict=True)
    ]
    return list(zip(coords_of(layout, now["chunk"]), kinds, strict=True))


def changes(layout: Layout, stamps: Stamps, listing: Listing | None, options: Options) -> Stamps:
    """The stamps, as they are now and without tags, of the chunks that changed.

    Args:
        layout: of the array.
        stamps: of all chunks.
        listing: a chunk whose tag is that of its stamp did not change; None: compare all contents.
        options: how.
    """
    doubtful = stamps
    if listing is not None:
        tags, sizes = tags_of(layout, stamps["chunk"], listing)
        known = (tags == stamps["tag"]) & (tags != 0)
        absent = (sizes == 0) & (stamps["nbytes"] == 0)
        doubtful = stamps[~(known | absent)]

    def tasks() -> Iterator[CompareChunks]:
        for some in _groups(layout, doubtful):
            yield CompareChunks(layout, some)

    found = run(tasks(), options, total=len(doubtful), unit="chunk", merge=lambda a, b: a + b)
    now = stamps[:0] if found is None else found.now
    return now[np.argsort(now["chunk"], kind="stable")]


def _groups(layout: Layout, stamps: Stamps) -> Iterator[Stamps]:
    if layout.shards is None:
        for start in range(0, len(stamps), _AT_ONCE):
            yield stamps[start : start + _AT_ONCE]
        return
    by_shard: dict[Coords, list[int]] = {}
    for place, coords in enumerate(coords_of(layout, stamps["chunk"])):
        by_shard.setdefault(layout.object_coords(coords), []).append(place)
    for places in by_shard.values():
        yield stamps[places]
