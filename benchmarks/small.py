"""What does a call on a small stream cost, with threads as they come and with one?

Most calls are on chunks, and most chunks are small: starting threads, checking arguments and making objects
cost as much as the work itself. Microseconds a call; ours and crackle-codec take turns.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import describe_run, interleaved, load, parser, save, show

import crackle_zarr

SIZES = (16, 32, 64, 128)
# What a turn takes, in seconds, about.
TURN = 0.02


def repeated(work: Callable[[], Any], count: int) -> Callable[[], None]:
    """Call it so many times: a clock cannot measure one."""

    def turn() -> None:
        for _ in range(count):
            work()

    return turn


def calls(volume: np.ndarray, peer: Any) -> dict[str, dict[str, Callable[[], Any]]]:
    """What is compared: for each kind of call, who does it."""
    stream = crackle_zarr.compress(volume)
    label = int(volume[0, 0, 0])
    names = {"crackle_zarr": crackle_zarr}
    streams = {"crackle_zarr": stream}
    if peer is not None:
        names["crackle-codec"] = peer
        streams["crackle-codec"] = bytes(peer.compress(volume))
    found: dict[str, dict[str, Callable[[], Any]]] = {
        "compress": {who: functools.partial(module.compress, volume) for who, module in names.items()},
        "statistics": {"crackle_zarr": functools.partial(crackle_zarr.statistics, stream)},
    }
    for name, arguments in {
        "decompress": (),
        "labels": (),
        "num_labels": (),
        "contains": (label,),
        "voxel_counts": (),
        "header": (),
    }.items():
        found[name] = {
            who: functools.partial(getattr(module, name), streams[who], *arguments)
            for who, module in names.items()
        }
    for name in ("compress", "decompress", "statistics", "voxel_counts"):
        default: Any = found[name]["crackle_zarr"]
        found[name]["crackle_zarr, one thread"] = functools.partial(default, parallel=1)
    return found


def main() -> None:
    command: argparse.ArgumentParser = parser(__doc__)
    arguments = command.parse_args()
    volume = load(arguments)
    try:
        import crackle as peer
    except ImportError:
        peer = None
    whos = ["crackle_zarr", "crackle_zarr, one thread", "crackle-codec"]
    results: dict[str, dict[str, dict[str, float]]] = {}
    for size in SIZES:
        corner = [max(0, min(200, length - size)) for length in volume.shape]
        box = tuple(slice(start, start + size) for start in corner)
        crop = np.asfortranarray(volume[box])
        if crop.shape != (size,) * 3:
            continue
        cells = {}
        for name, cases in calls(crop, peer).items():
            once = interleaved(cases, 3)
            counts = {who: max(1, min(1000, int(TURN / max(once[who], 1e-6)))) for who in cases}
            turns = {who: repeated(work, counts[who]) for who, work in cases.items()}
            seconds = interleaved(turns, arguments.repeats)
            cells[name] = {who: 1e6 * seconds[who] / counts[who] for who in cases}
        results[f"{size}^3"] = cells
    print(describe_run(volume, arguments.repeats))
    rows = [
        [size, name, *(f"{cell[who]:,.0f}" if who in cell else "" for who in whos)]
        for size, cells in results.items()
        for name, cell in cells.items()
    ]
    show("Microseconds a call", ["", "", *whos], rows)
    save(arguments.json, results)


if __name__ == "__main__":
    main()
