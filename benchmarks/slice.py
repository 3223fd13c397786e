"""What does one z-slice of a large stream cost? Against crackle-codec, and decoding all of it with zstd."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from types import ModuleType

import numpy as np
from _common import interleaved, load, milliseconds, parser, save, show, told
from _peers import OURS, THEIRS, ZSTD, crackle_codec, of_bytes
from numcodecs import Zstd

import crackle_zarr

STREAMS = {
    "flat": {"allow_pins": 0, "markov_model_order": 0},
    "Markov 5": {"allow_pins": 0, "markov_model_order": 5},
    "pins 1": {"allow_pins": 1, "markov_model_order": 0},
}
SLICES = 16

Slicer = Callable[[int], np.ndarray]


def by_array(package: ModuleType, stream: bytes) -> Slicer:
    return lambda z: package.CrackleArray(stream, parallel=1)[:, :, z]


def by_range(stream: bytes) -> Slicer:
    return lambda z: crackle_zarr.decompress(stream, parallel=1, z_start=z, z_end=z + 1)[:, :, 0]


def slicers(volume: np.ndarray) -> dict[str, dict[str, Slicer]]:
    """By what is stored, the ways to a slice of it. Both packages of Crackle read what ours wrote."""
    crackle = crackle_codec()
    found: dict[str, dict[str, Slicer]] = {}
    for name, options in STREAMS.items():
        stream = crackle_zarr.compress(volume, **options, parallel=1)
        found[name] = {
            f"{OURS}, CrackleArray": by_array(crackle_zarr, stream),
            f"{OURS}, decompress": by_range(stream),
        }
        if crackle is not None:
            found[name][f"{THEIRS}, CrackleArray"] = by_array(crackle, stream)
    whole = of_bytes(Zstd(level=3), volume)
    compressed = whole.encode()
    found[ZSTD] = {"decode all": lambda z: whole.decode(compressed)[:, :, z]}
    return found


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    depth = volume.shape[2]
    places = np.linspace(0, depth - 1, min(SLICES, depth)).astype(int).tolist()
    ways = {(stored, way): get for stored, found in slicers(volume).items() for way, get in found.items()}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in ways}
    for z in places:
        for (stored, way), get in ways.items():
            if not np.array_equal(get(z), volume[:, :, z]):
                raise SystemExit(f"{stored}, {way}: not the slice {z}")
        turn = {key: lambda get=get, z=z: get(z) for key, get in ways.items()}
        for key, median in interleaved(turn, arguments.repeats).items():
            seconds[key].append(median)

    print(told(volume, arguments.repeats))
    results: dict[str, dict[str, dict[str, float]]] = {stored: {} for stored, _ in ways}
    rows = []
    for (stored, way), times in seconds.items():
        results[stored][way] = {"median_s": statistics.median(times), "most_s": max(times)}
        ours = results[stored if stored in STREAMS else "flat"][f"{OURS}, CrackleArray"]
        figures = results[stored][way]
        ratio = figures["median_s"] / ours["median_s"]
        rows.append([stored, way, *map(milliseconds, figures.values()), f"{ratio:.2f}"])
    columns = ["stored as", "by", "ms", "the slowest, ms", f"times {OURS}'s CrackleArray"]
    show(f"One slice of z, of {len(places)} spread over all", columns, rows)
    save(arguments.json, {"slices": places, "seconds": results})


if __name__ == "__main__":
    main()
