"""Write the first inputs of the fuzzers, into corpus/: streams of all writers and options, and small volumes.

    python seeds.py

Streams are our encoder's, crackle-codec's where it is installed, and those of the tests' reference writer,
which uses every freedom of the format. Behind each stand four control bytes; see fuzz.h. What is there
already stays.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import reference_writer  # noqa: E402
from volumes import cells, nested, noise, rings  # noqa: E402

import crackle_zarr  # noqa: E402

Array = npt.NDArray[Any]

CONTROLS = [
    b"\x00\x00\xff\x00",  # as it is, all slices
    b"\x01\x01\x02\x01",  # lengths and checksums made good
    b"\x03\x02\x01\x02",  # those of the slices, too
    b"\x05\x00\x03\x03",  # made good, but not asked for
    b"\x03\x01\x05\x04",
    b"\x07\x02\x06\x05",
]


def small_volumes() -> dict[str, Array]:
    """Volumes (x, y, z) whose streams have some hundred bytes."""
    rng = np.random.default_rng(3)
    columns = np.repeat(cells((7, 6, 1), 6, "u2"), 9, axis=2)
    columns[3:5, 2:4, 5:] = 7
    return {
        "blobs": cells((9, 8, 4), 6, "u4") % 100,
        "noise": noise(3, (7, 6, 3)),
        "columns": columns,
        "uniform": np.full((5, 4, 3), 9, "u8"),
        "rings": rings()[:20, :20, :2].astype("u1"),
        "nested": nested()[:16, :16, :2].astype("u2"),
        "signed": (cells((6, 5, 3), 5, "i8") % 7 - 3).astype("i8"),
        "wide": rng.integers(0, 2**63, (4, 3, 2), dtype=np.uint64) * 2 + 1,
        "one voxel": np.ones((1, 1, 1), "u1"),
        "a row": np.arange(70, dtype="u2").reshape(70, 1, 1) // 9,
        "past a word": cells((67, 5, 2), 8, "u2") % 50,
    }


def ours(volume: Array) -> Iterator[tuple[str, bytes]]:
    """Every kind of stream that our encoder writes."""
    for version, pins, order in itertools.product((0, 1), (0, 1, 2), (0, 1, 3, 5)):
        stream = crackle_zarr.compress(volume, pins, order, format_version=version)
        yield f"ours-v{version}-pins{pins}-order{order}", stream


def crafted(volume: Array, seed: int) -> Iterator[tuple[str, bytes]]:
    """Streams that use the freedoms of the format."""
    rng = random.Random(seed)
    for number in range(8):
        style = reference_writer.random_style(rng, volume.dtype, max_order=4)
        yield f"crafted{number}", reference_writer.craft(volume, style, rng)


def peers(volume: Array) -> Iterator[tuple[str, bytes]]:
    """Streams of crackle-codec."""
    try:
        import crackle
    except ImportError:
        return
    if np.issubdtype(volume.dtype, np.signedinteger):
        return  # it has none
    for pins, order in itertools.product((0, 1), (0, 4)):
        stream = crackle.compress(np.asfortranarray(volume), allow_pins=pins, markov_model_order=order)
        yield f"crackle-codec-pins{pins}-order{order}", stream


def main() -> None:
    streams, volumes = HERE / "corpus" / "streams", HERE / "corpus" / "volumes"
    streams.mkdir(parents=True, exist_ok=True)
    volumes.mkdir(parents=True, exist_ok=True)
    seen: set[bytes] = set()
    count = 0
    for seed, (name, volume) in enumerate(small_volumes().items()):
        for kind, stream in itertools.chain(ours(volume), crafted(volume, seed), peers(volume)):
            if stream in seen or len(stream) > 1200:  # other options may give the same stream
                continue
            seen.add(stream)
            path = streams / f"{name.replace(' ', '-')}-{kind}"
            path.write_bytes(stream + CONTROLS[count % len(CONTROLS)])
            count += 1
    empty = crackle_zarr.compress(np.zeros((0, 3, 2), "u2"))
    (streams / "no-voxels").write_bytes(empty + CONTROLS[0])

    # Shape, type, Markov order, options, spread; then bytes that become voxels. See target_encode.c.
    rng = random.Random(1)
    shapes = [(7, 6, 5), (33, 9, 3), (70, 5, 2), (1, 1, 1), (129, 2, 2), (8, 8, 16), (0, 3, 1), (16, 16, 9)]
    for number, (shape, kind) in enumerate(itertools.product(shapes, range(6))):
        head = bytes([*shape, rng.randrange(16), rng.randrange(15), rng.randrange(256), rng.randrange(256)])
        voxels = bytes(rng.randrange([2, 4, 250][kind % 3]) for _ in range([40, 7, 120][kind // 2]))
        (volumes / f"volume{number}").write_bytes(head + voxels)
    print(f"{len(list(streams.iterdir()))} streams, {len(list(volumes.iterdir()))} volumes")


if __name__ == "__main__":
    main()
