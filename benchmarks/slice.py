"""How long does one z-slice of a large stream take? Against crackle-codec and zstd."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from types import ModuleType

import numpy as np
from _common import describe_run, interleaved, load, milliseconds, parser, save, show
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
    """Functions that read a slice, by the stored stream.

    Both Crackle packages read the streams that ours wrote.
    """
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
    slices = np.linspace(0, depth - 1, min(SLICES, depth)).astype(int).tolist()
    readers = {
        (stored, method): read for stored, found in slicers(volume).items() for method, read in found.items()
    }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in readers}
    for z in slices:
        for (stored, method), read in readers.items():
            if not np.array_equal(read(z), volume[:, :, z]):
                raise SystemExit(f"{stored}, {method}: slice {z} is wrong")
        cases = {key: lambda read=read, z=z: read(z) for key, read in readers.items()}
        for key, median in interleaved(cases, arguments.repeats).items():
            seconds[key].append(median)

    print(describe_run(volume, arguments.repeats))
    results: dict[str, dict[str, dict[str, float]]] = {stored: {} for stored, _ in readers}
    rows = []
    for (stored, method), times in seconds.items():
        results[stored][method] = {"median_s": statistics.median(times), "most_s": max(times)}
        ours = results[stored if stored in STREAMS else "flat"][f"{OURS}, CrackleArray"]
        figures = results[stored][method]
        ratio = figures["median_s"] / ours["median_s"]
        rows.append([stored, method, *map(milliseconds, figures.values()), f"{ratio:.2f}"])
    columns = ["stored as", "read by", "ms", "slowest, ms", f"times {OURS}'s CrackleArray"]
    show(f"One z-slice: medians over {len(slices)} slices of the volume", columns, rows)
    save(arguments.json, {"slices": slices, "seconds": results})


if __name__ == "__main__":
    main()
