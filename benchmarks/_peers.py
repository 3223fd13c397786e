"""The compared codecs, each as two calls on one volume in one thread, and their figures."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from _common import interleaved, milliseconds
from numcodecs import Zstd

import crackle_zarr

OURS = "crackle_zarr"
THEIRS = "crackle-codec"
ZSTD = "zstd 3"

# "bytes", "encode_s" and "decode_s", each by the codec's name.
Figures = dict[str, dict[str, Any]]


@dataclass
class Codec:
    encode: Callable[[], bytes]
    decode: Callable[[bytes], np.ndarray]
    slow: bool = False  # measured once


@cache
def optional(module: str, package: str) -> ModuleType | None:
    """A peer's module. If it is not installed, prints a line and returns None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        print(f"{package}: not installed")
        return None


def crackle_codec() -> ModuleType | None:
    return optional("crackle", THEIRS)


def crackle_like(package: ModuleType, volume: np.ndarray, slow: bool = False, **options: Any) -> Codec:
    """Either Crackle package, with options or its own defaults."""
    return Codec(
        lambda: package.compress(volume, **options, parallel=1),
        lambda stream: package.decompress(stream, parallel=1),
        slow,
    )


def of_bytes(codec: Any, volume: np.ndarray, slow: bool = False) -> Codec:
    """A numcodecs codec, applied to the volume's bytes in memory order."""
    flat = volume.ravel(order="K")
    order = "F" if volume.flags.f_contiguous else "C"
    return Codec(
        lambda: codec.encode(flat),
        lambda stream: np.frombuffer(codec.decode(stream), volume.dtype).reshape(volume.shape, order=order),
        slow,
    )


def three(volume: np.ndarray) -> dict[str, Codec]:
    """Our codec and the two peers of every script, with their default options."""
    found = {OURS: crackle_like(crackle_zarr, volume)}
    if (crackle := crackle_codec()) is not None:
        found[THEIRS] = crackle_like(crackle, volume)
    found[ZSTD] = of_bytes(Zstd(level=3), volume)
    return found


def verified(codecs: dict[str, Codec], volume: np.ndarray) -> dict[str, bytes]:
    """The stream of every codec, after checking that it decodes to the volume."""
    streams = {}
    for name, codec in codecs.items():
        streams[name] = codec.encode()
        if not np.array_equal(np.asarray(codec.decode(streams[name])).reshape(volume.shape), volume):
            raise SystemExit(f"{name} does not decode to the volume")
    return streams


def timed(
    codecs: dict[str, Codec],
    streams: dict[str, bytes],
    nbytes: int,
    repeats: int,
    beside: dict[str, Callable[[], object]] | None = None,
) -> Figures:
    """The figures of verified codecs; the calls in ``beside`` take turns with the decoders.

    ``nbytes`` are those of the volume.
    """
    encode: dict[str, float] = {}
    decode: dict[str, float] = {}
    for slow in (False, True):
        group = {name: codec for name, codec in codecs.items() if codec.slow == slow}
        decoders: dict[str, Callable[[], object]] = {
            name: lambda name=name: codecs[name].decode(streams[name]) for name in group
        }
        if not slow:
            decoders |= beside or {}
        turns = 1 if slow else repeats
        encode |= interleaved({name: codec.encode for name, codec in group.items()}, turns, nbytes)
        decode |= interleaved(decoders, turns, nbytes)
    sizes = {name: len(stream) for name, stream in streams.items()}
    return {"bytes": sizes, "encode_s": encode, "decode_s": decode}


def measured(codecs: dict[str, Codec], volume: np.ndarray, repeats: int) -> Figures:
    """The figures of codecs on a volume, after all have been verified."""
    return timed(codecs, verified(codecs, volume), volume.nbytes, repeats)


def times(seconds: dict[str, float], name: str, peer: str) -> str:
    """The speed as a multiple of a peer's."""
    return f"{seconds[peer] / seconds[name]:.2f}" if peer in seconds else ""


def table(figures: Figures, volume: np.ndarray) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of a table with all figures of codecs on one volume."""
    columns = ["", "bytes", "ratio", "enc ms", "dec ms", "enc MVx/s", "dec MVx/s"]
    columns += [f"{direction} x\n{peer}" for peer in (THEIRS, ZSTD) for direction in ("enc", "dec")]
    encode_and_decode = (figures["encode_s"], figures["decode_s"])
    rows = [
        [
            name,
            f"{nbytes:,}",
            f"{volume.nbytes / nbytes:.1f}",
            *(milliseconds(seconds[name]) for seconds in encode_and_decode),
            *(f"{volume.size / seconds[name] / 1e6:,.0f}" for seconds in encode_and_decode),
            *(times(seconds, name, peer) for peer in (THEIRS, ZSTD) for seconds in encode_and_decode),
        ]
        for name, nbytes in figures["bytes"].items()
    ]
    return columns, rows
