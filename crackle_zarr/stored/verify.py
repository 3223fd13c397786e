"""Verify every checksum of every chunk of a stored array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._binding import read_header
from ..errors import CrackleError, FormatError
from ..streams import sections
from .chunk import Chunk, check_chunk_header, chunks_of
from .encoding import decoded, decoded_object, undo
from .engine import Options, groups, run
from .fetch import Steps, Wanted, drive
from .layout import Box, Coords, Layout


@dataclass(frozen=True)
class Damage:
    """A chunk that is damaged, or something that was not finished.

    Attributes:
        chunk: its grid index; empty for what was not finished.
        key: the name of the object in the store that holds it, or that tells of what was not finished.
        message: what is wrong: for a Crackle stream, which sections and slices; and how to finish.
    """

    chunk: Coords
    key: str
    message: str


@dataclass(frozen=True)
class Verify:
    """Verify some chunks, of one shard if there are shards."""

    layout: Layout
    coords: tuple[Coords, ...]
    box: Box

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> list[Damage]:
        """Do it."""
        try:
            chunks = chunks_of(self.layout, self.coords, self.box)
        except FormatError as error:  # the index of the shard
            key = self.layout.path(self.layout.key(self.coords[0]))
            return [Damage(one, key, str(error)) for one in self.coords]
        found = drive(self.layout.store, [self._verified(chunk) for chunk in chunks])
        return [one for one in found if one is not None]

    def _verified(self, chunk: Chunk) -> Steps[Damage | None]:
        try:
            if self.layout.chain is None:
                message = yield from self._decodes(chunk)
            else:
                raw = yield from chunk.raw()
                message = None if raw is None else self._is_sound(chunk, undo(self.layout, raw))
        except FormatError as error:
            message = str(error)
        return None if message is None else Damage(chunk.coords, chunk.key, message)

    def _is_sound(self, chunk: Chunk, stream: Any) -> str | None:
        report = sections.check(stream)
        if report["header"]:
            check_chunk_header(self.layout, chunk.coords, read_header(stream))
        parts = sections.damaged_parts(report)
        return "damaged: " + "; ".join(parts) if parts else None

    def _decodes(self, chunk: Chunk) -> Steps[str | None]:
        try:
            decoded(self.layout, chunk.box, chunk.key)
        except CrackleError as error:
            # A failing store is not damage, but Zarr does not tell the two apart.
            (raw,) = yield [Wanted(chunk.key)]
            try:
                decoded_object(self.layout, self.layout.key(chunk.coords), raw, chunk.box)
            except FormatError as damage:
                return str(damage)
            raise error from None
        return None


def verify(layout: Layout, box: Box, options: Options) -> list[Damage]:
    """The damaged chunks among those that a box touches, in C order."""

    def tasks() -> Iterator[Verify]:
        for coords in groups(layout, box, options):
            yield Verify(layout, tuple(coords), box)

    total = layout.num_chunks_in(box)
    found = run(tasks(), options, total=total, unit="chunk", merge=lambda a, b: a + b) or []
    return sorted(found, key=lambda damage: damage.chunk)
