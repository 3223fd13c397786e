"""A volume in a file as a Zarr array that reads each chunk on demand.

With it, functions for stored arrays accept a file, in bounded memory. :func:`crackle_zarr.convert` reads the
blocks of the new array one by one, verifies them, and continues after an interruption.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.storage import MemoryStore

from ..._base import zarr_facts
from ..._base.zarr_facts import Buffer, BufferPrototype
from .common import Volume


class _VolumeStore(MemoryStore):
    """A store with metadata in memory, whose chunks are boxes of a volume. It reads one box at a time."""

    def __init__(self, volume: Volume, chunks: tuple[int, ...], source: str | None = None) -> None:
        super().__init__()
        self._volume, self._chunks, self._source = volume, chunks, source
        self._reading = threading.Lock()

    def __repr__(self) -> str:
        return f"_VolumeStore({self._volume.shape})"

    def __str__(self) -> str:
        """What the volume comes from, the same for each process that opens it."""
        return self._source or super().__str__()

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is this object."""
        return self is other

    __hash__ = None  # type: ignore[assignment]

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The metadata, or the voxels of a chunk in memory order."""
        if not key.startswith("c/") and key != "c":
            return await super().get(key, prototype or zarr_facts.prototype(), byte_range)
        assert byte_range is None, "chunks have no codec that reads parts"
        raw = await asyncio.to_thread(self._chunk, [int(index) for index in key.split("/")[1:]])
        return zarr_facts.buffer_of(raw)

    async def exists(self, key: str) -> bool:
        """Whether a key exists; every chunk does."""
        return key.startswith("c/") or await super().exists(key)

    def _chunk(self, index: list[int]) -> bytes:
        starts = [i * length for i, length in zip(index, self._chunks, strict=True)]
        box = tuple(
            slice(start, min(start + length, end))
            for start, length, end in zip(starts, self._chunks, self._volume.shape, strict=True)
        )
        with self._reading:
            voxels = self._volume.read_box(box)
        whole = np.zeros(self._chunks, dtype=self._volume.dtype.newbyteorder("<"))
        whole[tuple(slice(0, n) for n in voxels.shape)] = voxels
        return whole.tobytes()


def as_zarr(
    volume: Volume, chunks: tuple[int, ...], names: tuple[str, ...] | None, source: str | None = None
) -> zarr.Array[Any]:
    """A volume as a read-only array, with its space in the attributes.

    Args:
        volume: the labels, with the axes in the order of the array.
        chunks: the shape of the chunks, each of which is read at once.
        names: of the axes.
        source: what the volume comes from, by which an interrupted conversion knows its source again.
    """
    store = _VolumeStore(volume, chunks, source)
    array = zarr.create_array(
        store,
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=chunks,
        compressors=None,
        filters=None,
        fill_value=volume.dtype.type(0),
        dimension_names=names,
        attributes=json.loads(json.dumps(volume.space.attributes())),
    )
    return array
