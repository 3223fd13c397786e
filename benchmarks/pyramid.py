"""How much faster does a level of a pyramid come from streams than from voxels?

The script makes one level of a stored volume in two ways, with one thread each: from the streams in its
chunks, and by decoding, pooling with NumPy and encoding. Both levels are compared. The files are in the page
cache.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _common import describe_run, interleaved, load, milliseconds, parser, save, show

import crackle_zarr
import crackle_zarr.codecs.zarr_codec  # registers the codec, also if the package is not installed
from crackle_zarr.ome.pooling import pool

CHUNKS = (64, 256, 256)
STEPS = {"2 x 2 x 1": (1, 2, 2), "2 x 2 x 2": (2, 2, 2)}
# How many times as fast as by voxels.
AIM = 2.0


def from_voxels(source: zarr.Array[Any], target: zarr.Array[Any], step: tuple[int, int, int]) -> None:
    """Decode, pool and encode, one chunk of the level after another."""
    for index in np.ndindex(*(-(-n // c) for n, c in zip(target.shape, target.chunks, strict=True))):
        box = [
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(index, target.chunks, target.shape, strict=True)
        ]
        fine = tuple(slice(one.start * s, one.stop * s) for one, s in zip(box, step, strict=True))
        target[tuple(box)] = pool(source[fine], step)


def seconds_of(voxels: np.ndarray, folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of both ways, by the factor of the level."""
    chunks = tuple(min(pair) for pair in zip(CHUNKS, voxels.shape, strict=True))
    labels = crackle_zarr.create_ome_labels(
        folder / "labels.zarr", None, voxels.shape, voxels.dtype, chunks=chunks
    )
    labels.levels[0][...] = voxels
    found = {}
    for title, step in STEPS.items():
        shape = tuple(-(-n // one) for n, one in zip(voxels.shape, step, strict=True))
        target = crackle_zarr.create_array(
            folder / f"{title}.zarr", shape=shape, dtype=voxels.dtype, chunks=chunks
        )

        def by_streams(step: tuple[int, int, int] = step) -> None:
            crackle_zarr.build_pyramid(labels.group, [step], overwrite=True, verify=False, parallel=1)

        def by_voxels(step: tuple[int, int, int] = step, target: Any = target) -> None:
            from_voxels(labels.levels[0], target, step)

        found[title] = interleaved({"streams": by_streams, "voxels": by_voxels}, repeats)
        made = crackle_zarr.ome.open_multiscale(labels.group).levels[1]
        if not np.array_equal(made[...], target[...]):
            raise SystemExit(f"{title}: the levels differ")
    return found


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    folder = Path(tempfile.mkdtemp())
    try:
        # One thread each: Zarr would decode several chunks at once.
        with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
            found = seconds_of(np.ascontiguousarray(volume.T), folder, arguments.repeats)
    finally:
        shutil.rmtree(folder)
    print(describe_run(volume, arguments.repeats))
    rows = []
    for title, seconds in found.items():
        ratio = seconds["voxels"] / seconds["streams"]
        verdict = "met" if ratio >= AIM else "missed"
        rows.append([title, *map(milliseconds, seconds.values()), f"{ratio:.1f}", f"{AIM:.0f}: {verdict}"])
    columns = ["factor", "from streams, ms", "from voxels, ms", "times as fast", "aim"]
    show("The next level of a pyramid", columns, rows)
    save(arguments.json, {"seconds": found})


if __name__ == "__main__":
    main()
