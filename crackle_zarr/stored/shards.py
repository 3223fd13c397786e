"""The index of a shard: where in it each chunk lies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .._base import zarr_facts
from ..errors import FormatError
from .fetch import Bytes, Steps, Wanted
from .layout import Coords, Layout


def index_nbytes(layout: Layout, coords: Coords) -> int:
    """The size of the index of the shard with a grid index, in bytes."""
    assert layout.shards is not None
    return zarr_facts.index_nbytes(layout.shards.codec, layout.shards.counts(coords))


def index_is_at_start(layout: Layout) -> bool:
    """Whether a shard begins with its index; otherwise the index is its end."""
    assert layout.shards is not None
    return zarr_facts.index_is_at_start(layout.shards.codec)


def shard_index(layout: Layout, coords: Coords) -> Steps[npt.NDArray[np.uint64] | None]:
    """Offset and length of every chunk of a shard; None where there is no shard."""
    key = layout.path(zarr_facts.chunk_key(layout.array, coords))
    nbytes = index_nbytes(layout, coords)
    (came,) = yield [Wanted(key, 0, nbytes) if index_is_at_start(layout) else Wanted(key, -nbytes)]
    if came is None:
        return None
    if len(came) != nbytes:
        raise FormatError(f"shard {key}: it has {len(came)} bytes, and its index alone needs {nbytes}")
    return decode_index(layout, coords, came, key)


def decode_index(layout: Layout, coords: Coords, raw: Bytes, key: str) -> npt.NDArray[np.uint64]:
    """The index of the shard with a grid index, from its bytes."""
    assert layout.shards is not None
    try:
        return zarr_facts.decode_index(layout.shards.codec, layout.shards.counts(coords), raw)
    except Exception as error:
        raise FormatError(f"shard {key}: its index is damaged: {error}") from error


def assembled(layout: Layout, shard: Coords, chunks: Mapping[Coords, bytes]) -> bytes:
    """The bytes of a shard with some chunks, in their order; empty if there are none.

    Args:
        layout: of the array.
        shard: the grid index of the shard.
        chunks: the stored bytes of chunks by their grid indices; empty bytes: the chunk is not stored.
    """
    assert layout.shards is not None
    at_start, nbytes = index_is_at_start(layout), index_nbytes(layout, shard)
    index = np.full((*layout.shards.counts(shard), 2), zarr_facts.NOWHERE, dtype=np.uint64)
    pieces: list[bytes] = []
    offset = nbytes if at_start else 0
    for coords, piece in chunks.items():
        if piece:
            index[layout.shards.place(coords)] = offset, len(piece)
            pieces.append(piece)
            offset += len(piece)
    if not pieces:
        return b""
    packed = encode_index(layout, index)
    return b"".join([packed, *pieces] if at_start else [*pieces, packed])


def encode_index(layout: Layout, index: npt.NDArray[np.uint64]) -> bytes:
    """The bytes of a shard's index."""
    assert layout.shards is not None
    return zarr_facts.encode_index(layout.shards.codec, index)
