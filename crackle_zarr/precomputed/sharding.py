"""The sharded format: in which file a chunk lies, and where in it.

A chunk has a number, the compressed Morton code of its place in the grid. A hash of the number gives the
shard, a file, and the minishard, a list within it. A shard begins with the bounds of the lists; a list has
the numbers of its chunks and the bounds of their bytes.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import FormatError

TYPE = "neuroglancer_uint64_sharded_v1"

Encoding = Literal["raw", "gzip"]
# The chunks of a minishard: by their numbers, the first byte in the shard and the byte after the last.
Spans = dict[int, tuple[int, int]]

_ALL_BITS = 2**64 - 1


@dataclass(frozen=True)
class Sharding:
    """A sharding specification.

    Attributes:
        preshift_bits: low bits of a chunk's number that the hash leaves out.
        hash: the name of the hash.
        minishard_bits: bits of the hash that choose the minishard.
        shard_bits: the bits after them, which choose the shard.
        index_encoding: how minishard indexes are stored.
        data_encoding: how chunks are stored.
    """

    preshift_bits: int
    hash: Literal["identity", "murmurhash3_x86_128"]
    minishard_bits: int
    shard_bits: int
    index_encoding: Encoding = "raw"
    data_encoding: Encoding = "raw"

    def place(self, number: int) -> tuple[str, int]:
        """The file that holds a chunk, and its minishard."""
        hashed = number >> self.preshift_bits
        if self.hash == "murmurhash3_x86_128":
            hashed = murmur(hashed)
        minishard = hashed & ((1 << self.minishard_bits) - 1)
        shard = (hashed >> self.minishard_bits) & ((1 << self.shard_bits) - 1)
        return f"{shard:0{-(-self.shard_bits // 4)}x}.shard" if self.shard_bits else "0.shard", minishard

    @property
    def index_end(self) -> int:
        """The length of a shard's index, from which all offsets in the shard count."""
        return 16 << self.minishard_bits

    def minishard_span(self, raw: bytes) -> tuple[int, int]:
        """The bytes of a shard that a minishard index takes, from its 16 bytes of the shard's index."""
        if len(raw) != 16:
            raise FormatError("the index of the shard is truncated")
        start, stop = np.frombuffer(raw, "<u8").tolist()
        if stop < start:
            raise FormatError(f"the index of the shard is damaged: bytes {start} to {stop}")
        return self.index_end + start, self.index_end + stop

    def spans(self, raw: bytes) -> Spans:
        """The chunks of a minishard, from the bytes of its index."""
        index = unpacked(raw, self.index_encoding, "the minishard index")
        if len(index) % 24:
            raise FormatError(f"the minishard index is damaged: {len(index)} bytes are no multiple of 24")
        numbers, starts, sizes = np.frombuffer(index, "<u8").reshape(3, -1)
        with np.errstate(over="ignore"):
            numbers = np.cumsum(numbers, dtype=np.uint64)
            stops = np.cumsum(starts + sizes, dtype=np.uint64) + np.uint64(self.index_end)
            begins = stops - sizes
        return {
            number: (begin, stop)
            for number, begin, stop in zip(numbers.tolist(), begins.tolist(), stops.tolist(), strict=True)
        }


def parse(value: Any) -> Sharding:
    """A sharding specification from its JSON.

    Raises:
        ValueError: it is damaged, or of another version.
    """
    if not isinstance(value, dict) or value.get("@type") != TYPE:
        raise ValueError(f'"sharding" has the "@type" {TYPE!r}, and here it is {value!r}')
    numbers = []
    for name, most in (("preshift_bits", 64), ("minishard_bits", 32), ("shard_bits", 64)):
        number = value.get(name)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
            raise ValueError(f'"{name}" of the sharding is an integer of 0 to {most}, not {number!r}')
        numbers.append(number)
    if value.get("hash") not in ("identity", "murmurhash3_x86_128"):
        raise ValueError(f'"hash" is "identity" or "murmurhash3_x86_128", not {value.get("hash")!r}')
    encodings = [value.get(name, "raw") for name in ("minishard_index_encoding", "data_encoding")]
    if not set(encodings) <= {"raw", "gzip"}:
        raise ValueError(f'the encodings of the sharding are "raw" or "gzip", not {encodings}')
    return Sharding(numbers[0], value["hash"], numbers[1], numbers[2], *encodings)


def unpacked(raw: bytes, encoding: Encoding, what: str) -> bytes:
    """Bytes without gzip, if they are encoded with it."""
    if encoding == "raw":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{what} is damaged gzip: {error}") from error


def packed(data: bytes, encoding: Encoding) -> bytes:
    """Bytes with gzip, if they are to be encoded with it; equal bytes give equal ones."""
    return data if encoding == "raw" else gzip.compress(data, mtime=0)


def shard_bytes(sharding: Sharding, minishards: dict[int, dict[int, bytes]]) -> bytes:
    """A shard of some chunks.

    Args:
        sharding: the specification.
        minishards: per minishard, the chunks by their numbers, encoded.
    """
    bounds = np.zeros((1 << sharding.minishard_bits, 2), "<u8")
    body: list[bytes] = []
    end = 0
    indexes: dict[int, bytes] = {}
    for minishard in sorted(minishards):
        chunks = sorted(minishards[minishard].items())
        numbers = np.array([number for number, _ in chunks], "<u8")
        sizes = np.array([len(data) for _, data in chunks], "<u8")
        starts = np.zeros(len(chunks), "<u8")
        starts[0] = end  # the others begin where the one before ends
        end += int(sizes.sum())
        body.extend(data for _, data in chunks)
        numbers[1:] = np.diff(numbers)
        index = np.stack([numbers, starts, sizes]).astype("<u8").tobytes()
        indexes[minishard] = packed(index, sharding.index_encoding)
    for minishard, index in indexes.items():
        bounds[minishard] = end, end + len(index)
        body.append(index)
        end += len(index)
    return bounds.tobytes() + b"".join(body)


def morton(cell: Sequence[int], grid: Sequence[int]) -> int:
    """The compressed Morton code of a cell: the bits of x, y and z in turn, without those that are always 0.

    Args:
        cell: the index of the chunk along x, y and z.
        grid: how many chunks there are along each.
    """
    code = place = 0
    for bit in range(max(grid).bit_length()):
        for index, count in zip(cell, grid, strict=True):
            if 1 << bit < count:
                code |= (index >> bit & 1) << place
                place += 1
    return code


def murmur(key: int) -> int:
    """The low 64 bits of MurmurHash3_x86_128 of 8 little-endian bytes, with the seed 0."""
    low, high = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    # A key shorter than 16 bytes is all tail, and its last two words are 0.
    first = _times(_rotated(_times(low, 0x239B961B), 15), 0xAB0E9789) ^ 8
    second = _times(_rotated(_times(high, 0xAB0E9789), 16), 0x38B34AE5) ^ 8
    words = [first, second, 8, 8]
    words = _mixed([_finished(word) for word in _mixed(words)])
    return words[0] | words[1] << 32


def _mixed(words: list[int]) -> list[int]:
    first = sum(words) & 0xFFFFFFFF
    return [first, *((word + first) & 0xFFFFFFFF for word in words[1:])]


def _finished(word: int) -> int:
    word = _times(word ^ word >> 16, 0x85EBCA6B)
    word = _times(word ^ word >> 13, 0xC2B2AE35)
    return word ^ word >> 16


def _times(a: int, b: int) -> int:
    return a * b & 0xFFFFFFFF


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF


def check_numbers(grid: Sequence[int]) -> None:
    """Raise ValueError if the numbers of the chunks do not fit 64 bits."""
    if morton([count - 1 for count in grid], grid) > _ALL_BITS:
        raise ValueError(f"a sharded grid of {' x '.join(map(str, grid))} chunks needs more than 64 bits")
