"""Whether an array is still what it was when its tiles were traced."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..stored.chunk import Chunk
from ..stored.engine import Options, ask
from ..stored.fetch import Steps, Wanted
from ..stored.layout import Coords
from .frame import Frame, Voxel

# The end of a chunk of another codec, or of one that is compressed again, of this many bytes stands for it.
_TAIL = 2**16

Tags: TypeAlias = dict[Coords, int]


@dataclass(frozen=True)
class ChunkTags:
    """A number for each chunk that changes with its content.

    Of a Crackle stream it comes from the checksums of its labels and slices, at its end.
    """

    def ask(self, chunk: Chunk) -> Steps[Tags]:
        """The tag of one chunk; 0 if it does not exist."""
        chain = chunk.layout.chain
        nbytes = _TAIL
        if chain is not None and not chain.outer:
            nbytes = 4 * (chunk.layout.volume_shape(chunk.coords)[2] + 1)
        if chunk.absent:
            return {chunk.coords: 0}
        if chunk.span is None:
            wanted = Wanted(chunk.key, -nbytes)
        else:
            first, whole = chunk.span
            wanted = Wanted(chunk.key, first + max(0, whole - nbytes), first + whole)
        (came,) = yield [wanted]
        return {chunk.coords: 0 if came is None else zlib.crc32(came.tobytes()) | 1 << 32}

    def merge(self, a: Tags, b: Tags) -> Tags:
        """Both; ``a`` takes those of ``b``."""
        a.update(b)
        return a

    def enough(self, answer: Tags) -> bool:
        """Never."""
        return False


def fingerprint_of(frame: Frame, start: Voxel, stop: Voxel) -> str:
    """A text that changes when a chunk of a box does."""
    tags = ask(frame.layout, ChunkTags(), frame.box_of(start, stop), Options(parallel=1)) or {}
    told = hashlib.sha256()
    for coords in sorted(tags):
        told.update(f"{coords}:{tags[coords]};".encode())
    return told.hexdigest()


@dataclass(frozen=True)
class ChunkSum:
    """One number for the content of many chunks, in whatever order they come."""

    def ask(self, chunk: Chunk) -> Steps[int | None]:
        """The number of one chunk."""
        tags = yield from ChunkTags().ask(chunk)
        told = f"{chunk.coords}:{tags[chunk.coords]}".encode()
        return int.from_bytes(hashlib.sha256(told).digest()[:16], "little")

    def merge(self, a: int, b: int) -> int:
        """Both."""
        return (a + b) % 2**128

    def enough(self, answer: int) -> bool:
        """Never."""
        return False


def content_of(frame: Frame, options: Options, coords: Iterable[Coords] | None = None) -> str:
    """A text that changes when one of some chunks does; None: all chunks of the frame's part."""
    quiet = replace(options, progress=False)
    total = ask(frame.layout, ChunkSum(), frame.box, quiet, coords)
    return f"{total or 0:032x}"
