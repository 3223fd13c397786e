"""Many skeletons for Neuroglancer, in its sharded format."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .._base import atomic_files
from ..precomputed.sharding import TYPE, Sharding, packed, shard_bytes
from ..skeletons.precomputed import DEFAULT_ATTRIBUTES
from ..skeletons.skeleton import Skeleton

# How many skeletons a minishard has, whose index a viewer reads as a whole; and minishards of a shard.
_PER_MINISHARD, _MINISHARD_BITS = 128, 6


def sharding_for(count: int) -> Sharding:
    """A sharding for so many skeletons."""
    minishards = max(1, count // _PER_MINISHARD)
    bits = (minishards - 1).bit_length()
    return Sharding(
        0, "murmurhash3_x86_128", min(bits, _MINISHARD_BITS), max(bits - _MINISHARD_BITS, 0), "gzip", "gzip"
    )


def write_sharded(folder: Path, skeletons: Iterable[Skeleton], count: int) -> int:
    """Write ``info`` and the shards; returns how many skeletons there are.

    Skeletons are taken one by one. They wait on the disk until the shard that they belong to is written.

    Raises:
        ValueError: a label is negative.
    """
    sharding = sharding_for(count)
    folder.mkdir(parents=True, exist_ok=True)
    waiting = Path(tempfile.mkdtemp(prefix=".crackle-", dir=folder))
    written = 0
    try:
        places: dict[str, list[tuple[int, int, int, int]]] = {}
        for one in skeletons:
            if one.id is None or one.id < 0:
                raise ValueError(f"a skeleton for Neuroglancer has an id from 0 on, not {one.id}")
            name, minishard = sharding.place(one.id)
            data = packed(one.physical_space().to_precomputed(), sharding.data_encoding)
            with (waiting / name).open("ab") as file:
                places.setdefault(name, []).append((minishard, one.id, file.tell(), len(data)))
                file.write(data)
            written += 1
        for name, rows in places.items():
            whole = (waiting / name).read_bytes()
            chunks: dict[int, dict[int, bytes]] = {}
            for minishard, number, start, size in rows:
                chunks.setdefault(minishard, {})[number] = whole[start : start + size]
            atomic_files.write_bytes(folder / name, shard_bytes(sharding, chunks))
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    info = {
        "@type": "neuroglancer_skeletons",
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "vertex_attributes": [dict(one) for one in DEFAULT_ATTRIBUTES],
        "sharding": {
            "@type": TYPE,
            "preshift_bits": sharding.preshift_bits,
            "hash": sharding.hash,
            "minishard_bits": sharding.minishard_bits,
            "shard_bits": sharding.shard_bits,
            "minishard_index_encoding": sharding.index_encoding,
            "data_encoding": sharding.data_encoding,
        },
    }
    atomic_files.write_bytes(folder / "info", json.dumps(info, indent=2).encode())
    return written
