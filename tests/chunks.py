"""Chunks of labels for the tests of the codecs, and a store that counts the bytes read from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import MemoryStore, WrapperStore

Array = npt.NDArray[Any]

# Every dtype that can hold labels, in both byte orders where there are two.
DTYPES = ["?", "i1", "u1", *(order + kind + width for width in "248" for kind in "iu" for order in "<>")]

# One shape per number of dimensions, and one whose planes are single voxels.
SHAPES: list[tuple[int, ...]] = [(), (7,), (5, 6), (4, 6, 5), (2, 3, 4, 5), (2, 1, 3, 4, 5), (6, 1, 1)]


def blocks(shape: tuple[int, ...], dtype: str = "<u4", block: int = 2, seed: int = 0) -> Array:
    """Blocks of equal labels; the smallest and the largest number of the dtype are among them."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        table = np.array([False, True])
    else:
        info = np.iinfo(kind)
        table = np.array([0, 1, 2, 77, info.max // 2, info.max, info.min], dtype=kind)
    small = rng.integers(0, len(table), tuple(-(-axis // block) for axis in shape))
    for axis in range(len(shape)):
        small = np.repeat(small, block, axis=axis)
    return np.asarray(table[small[tuple(slice(axis) for axis in shape)]])


class CountingStore(WrapperStore[Any]):
    """A store in memory that notes every read of a chunk as (first byte, number of bytes received)."""

    def __init__(self, store: Any = None) -> None:
        super().__init__(MemoryStore() if store is None else store)
        self.reads: list[tuple[int, int]] = []

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        value = await super().get(key, prototype, byte_range)
        if value is not None and not key.endswith((".json", ".zarray", ".zattrs", ".zgroup")):
            start = {
                RangeByteRequest: lambda: byte_range.start,
                OffsetByteRequest: lambda: byte_range.offset,
                SuffixByteRequest: lambda: -byte_range.suffix,
            }.get(type(byte_range), lambda: 0)()
            self.reads.append((start, len(value)))
        return value

    @property
    def nbytes_read(self) -> int:
        return sum(nbytes for _, nbytes in self.reads)


def chunk_bytes(store: dict[str, Any], key: str) -> bytes:
    """The value of a key in a Zarr store that is a dict."""
    return bytes(store[key].to_bytes())
