"""Make the stored objects of a level, chunks or shards, from the level before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..codecs.chunk import as_volume
from ..errors import VerificationError
from ..stored.claims import Held
from ..stored.encoding import decoded_object, encode, padded, redo
from ..stored.layout import Box, Coords, Layout, common
from ..stored.relabel import encoded_by_zarr, object_box
from ..stored.shards import assembled
from ..stored.verify import Verify
from ..stored.writing import read_objects, write_objects
from .levels import Factor
from .pooling import pool_box


@dataclass(frozen=True)
class Pooling:
    """How a level is made.

    Attributes:
        fine: the level before.
        coarse: the level.
        step: how many voxels become one, per axis.
        sparse: use label 0 only for blocks without other labels.
        verify: decode what was encoded, and compare it with the voxels.
    """

    fine: Layout
    coarse: Layout
    step: Factor
    sparse: bool
    verify: bool = True

    def voxels(self, box: Box) -> npt.NDArray[Any]:
        """Voxels of the level."""
        return pool_box(self.fine, box, self.step, self.sparse)

    def object(self, coords: Sequence[Coords]) -> bytes:
        """The bytes of a stored object; empty if it has only the fill value, and nothing is to be stored.

        Args:
            coords: all chunks of the object, in C order.
        """
        layout = self.coarse
        if not _is_plain(layout):
            box = object_box(layout, coords[0])
            voxels = self.voxels(box)
            raw = encoded_by_zarr(layout, box, voxels)
            if self.verify:
                key = layout.key(coords[0])
                value = np.frombuffer(raw, dtype=np.uint8) if raw else None
                self._compare(decoded_object(layout, key, value, box), voxels, coords[0])
            return raw
        if layout.shards is None:
            return self._chunk(coords[0])
        # Chunk by chunk, because a shard may be larger than memory.
        shard = layout.object_coords(coords[0])
        return assembled(layout, shard, {one: self._chunk(one) for one in coords})

    def _chunk(self, coords: Coords) -> bytes:
        layout = self.coarse
        assert layout.chain is not None
        box = common(layout.chunk_box(coords), layout.everything)
        voxels = self.voxels(box)
        if not layout.writes_empty_chunks and (voxels == layout.fill).all():
            return b""
        voxels = padded(layout, coords, voxels)
        codec = layout.chain.codec
        stream = encode(voxels, pins=codec.allow_pins, markov_order=codec.markov_model_order)
        if self.verify:
            again = np.empty_like(voxels)
            volume = as_volume(again)
            _binding.Reader(stream).decode(volume, 0, volume.shape[2], parallel=1)
            self._compare(again, voxels, coords)
        return redo(layout, stream)

    def _compare(self, decoded: npt.NDArray[Any], voxels: npt.NDArray[Any], coords: Coords) -> None:
        if not np.array_equal(decoded, voxels):
            layout = self.coarse
            raise VerificationError(
                f"{layout.path(layout.key(coords))}: the voxels decoded differ from those encoded"
            )


def _is_plain(layout: Layout) -> bool:
    """Whether the chunks are streams of the array's own axes and byte order."""
    chain = layout.chain
    return (
        chain is not None
        and chain.axes == tuple(range(len(layout.shape)))
        and not chain.byteswapped
        and layout.array.dtype.isnative
    )


@dataclass(frozen=True)
class Make:
    """Make one object, write it, and read it back.

    Attributes:
        pooling: how.
        coords: the chunks of the object.
        resumed: an interrupted run may have written the object already.
        held: asked before the object is written whether the levels are still this call's.
    """

    pooling: Pooling
    coords: tuple[Coords, ...]
    resumed: bool
    held: Held

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> int:
        """Do it; returns the bytes written."""
        layout = self.pooling.coarse
        path = layout.path(layout.key(self.coords[0]))
        if self.resumed and self._is_there(path):
            return 0
        raw = self.pooling.object(self.coords)
        if raw or self.resumed:
            self.held.check()
            write_objects(layout.store, {path: raw or None})
        if self.pooling.verify and (read_objects(layout.store, [path])[0] or b"") != raw:
            raise VerificationError(f"{path}: the bytes read back differ from those written")
        return len(raw)

    def _is_there(self, path: str) -> bool:
        """Whether an interrupted run finished this object: its checksums say so."""
        layout = self.pooling.coarse
        if layout.chain is None or read_objects(layout.store, [path]) == [None]:
            return False
        return not Verify(layout, self.coords, layout.everything)()
