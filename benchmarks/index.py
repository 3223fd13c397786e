"""How fast is a label index of 10^12 voxels built and asked, and how many requests does a question take?

The array is simulated: the rows that a real volume has in chunks of 64 x 256 x 256 are laid side by side
until the array has the wanted size, each time with other labels. The 40 largest objects of a tile go on
through 64 tiles, and the background is in every chunk. Runs are written, read, sorted and put as in a real
build, by two processes; only measuring chunks is left out: what that takes beyond "statistics" is shown for
the volume itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _common import describe_run, interleaved, load, parser, save, show
from zarr.storage import LocalStore, WrapperStore

import crackle_zarr
from crackle_zarr.stored.engine import Options
from crackle_zarr.stored.index import build, lookup
from crackle_zarr.stored.index.choice import lookup_of
from crackle_zarr.stored.index.rows import in_order
from crackle_zarr.stored.index.runs import Run, put_run
from crackle_zarr.stored.index.stamps import DTYPE
from crackle_zarr.stored.layout import Layout, layout_of

CHUNK = (64, 256, 256)
# Objects of a tile that go on, and through how many tiles.
LARGEST, THROUGH = 40, 64
TILES_PER_RUN = 32
# What a request to a distant store takes.
SECONDS_PER_REQUEST = 0.02

AIMS = {
    "requests": 5,
    "cold, 20 ms a request, ms": 100,
    "bytes a row": 26,
    "peak of a worker, MB": 1000,
    "build, times statistics": 1.3,
}


class DistantStore(WrapperStore[LocalStore]):
    """A store whose requests take 20 ms each, and are counted."""

    requests = 0
    nbytes = 0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Count and wait."""
        type(self).requests += 1
        await asyncio.sleep(SECONDS_PER_REQUEST)
        found = await super().get(key, prototype, byte_range)
        type(self).nbytes += 0 if found is None else len(found)
        return found


# ---------------------------------------------------------------------------------------
# The simulated array


def scrambled(numbers: np.ndarray) -> np.ndarray:
    """Another number of 64 bits for each (splitmix64)."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Simulation:
    """Rows of a tile, and what becomes of them in each place."""

    def __init__(self, volume: np.ndarray, random: bool, repeats: int) -> None:
        """Measure the volume's chunks, with axes z, y, x."""
        self.random = random
        array = crackle_zarr.create_array({}, shape=volume.shape, dtype=volume.dtype, chunks=CHUNK)
        array[...] = volume
        self.seconds = interleaved(
            {
                "statistics": lambda: crackle_zarr.statistics(array, parallel=1, index="ignore"),
                "build": lambda: crackle_zarr.create_index(array, overwrite=True, parallel=1),
            },
            repeats,
        )
        layout = layout_of(array)
        found = lookup_of(layout)
        limits = np.iinfo(layout.native)
        segment = found.manifest.segments[0]
        parts = list(found.between(segment, "rows", int(limits.min), int(limits.max)))
        dtype = np.dtype(
            [("label", "u8"), *[(name, parts[0].dtype[name]) for name in (parts[0].dtype.names or ())[1:]]]
        )
        self.rows = np.concatenate(parts).astype(dtype)
        self.grid = layout.grid
        # Labels 1 to n by size, the background 0.
        labels, number = np.unique(self.rows["label"], return_inverse=True)
        sizes = np.bincount(number, weights=self.rows["voxel_count"])
        rank = np.empty(len(labels), dtype=np.uint64)
        rank[np.argsort(-sizes)] = np.arange(len(labels), dtype=np.uint64)
        self.rows["label"] = rank[number]
        self.num_labels = len(labels)

    def tile(self, number: int, place: tuple[int, ...], grid: tuple[int, ...]) -> np.ndarray:
        """The rows of a tile at a place, counted in tiles."""
        rows = self.rows.copy()
        old = rows["label"]
        group = np.where(old <= LARGEST, number // THROUGH, number).astype(np.uint64)
        new = group * np.uint64(self.num_labels) + old
        rows["label"] = np.where(old == 0, 0, scrambled(new) if self.random else new)
        first = np.array(place) * self.grid
        local = np.stack(np.unravel_index(rows["chunk"].astype(np.int64), self.grid), axis=1) + first
        rows["chunk"] = np.ravel_multi_index(tuple(local.T), grid)
        for name in ("start", "stop"):
            rows[name] += (first * CHUNK).astype(np.uint64)
        return rows


def put_tiles(simulation: Simulation, layout: Layout, plan: build.Plan, number: int, tiles: list[Any]) -> Run:
    """A run of some tiles; a task of the first pass puts as many."""
    rows = [simulation.tile(tile, place, layout.grid) for tile, place in tiles]
    together = in_order(np.concatenate(rows))
    stamps = np.zeros(len(tiles) * int(np.prod(simulation.grid)), dtype=DTYPE)
    stamps["chunk"] = np.unique(together["chunk"])
    return put_run(plan.home, plan.run(number), together, stamps)


def batches(tiles: tuple[int, ...]) -> Iterator[list[Any]]:
    """The tiles of each run."""
    everywhere = enumerate(itertools.product(*map(range, tiles)))
    while batch := list(itertools.islice(everywhere, TILES_PER_RUN)):
        yield batch


def tiles_for(voxels: float, tile: tuple[int, ...]) -> tuple[int, ...]:
    """How many tiles along each axis make at least so many voxels."""
    count = max(1.0, voxels / float(np.prod(tile)))
    side = max(1, round(count ** (1 / 3)))
    return max(1, round(count / side**2)), side, side


# ---------------------------------------------------------------------------------------
# Building and asking


def forget_peak() -> None:
    """Let the most memory that this process had be what it has now, where Linux allows."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak(seconds: float) -> float:
    """The most memory that this process had, in MB; it waits, so that every worker answers."""
    time.sleep(seconds)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and the result."""
    begin = time.perf_counter()
    found = work()
    return (time.perf_counter() - begin) * 1e3, found


def built(simulation: Simulation, path: Path, voxels: float) -> dict[str, Any]:
    """Build the index of the simulated array."""
    tile = tuple(int(count) * length for count, length in zip(simulation.grid, CHUNK, strict=True))
    tiles = tiles_for(voxels, tile)
    shape = tuple(count * length for count, length in zip(tiles, tile, strict=True))
    array = crackle_zarr.create_array(str(path), shape=shape, dtype="uint64", chunks=CHUNK, overwrite=True)
    layout = layout_of(array)
    plan = build.begin(layout)
    forget_peak()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        begin = time.perf_counter()
        waiting = [
            pool.submit(put_tiles, simulation, layout, plan, number, batch)
            for number, batch in enumerate(batches(tiles))
        ]
        runs = [one.result() for one in waiting]
        first = time.perf_counter() - begin
        begin = time.perf_counter()
        report = build.finish(layout, plan, runs, Options(executor=pool))
        second = time.perf_counter() - begin
        peaks = list(pool.map(peak, [0.5] * 4))
    rows_nbytes = sum(pair.rows.nbytes for one in lookup_of(layout).manifest.segments for pair in one.pairs)
    return {
        "voxels": float(np.prod(shape, dtype=float)),
        "chunks": report.chunks,
        "labels": report.labels,
        "rows": report.rows,
        "runs": len(runs),
        "runs_s": first,
        "files_s": second,
        "peak of a worker, MB": max(peaks),
        "peak of the driver, MB": peak(0),
        "index, MB": report.nbytes / 1e6,
        "bytes a row": rows_nbytes / max(1, report.rows),
    }


def questions(index: crackle_zarr.LabelIndex, label: int) -> dict[str, Callable[[], Any]]:
    """What is asked of an index."""
    return {
        "totals of a label": lambda: index.statistics([label]),
        "chunks of a label": lambda: index.find(label),
        "rows of a label": lambda: index.rows(label),
        "chunks of the background": lambda: index.find(0),
        "a label that is not there": lambda: (2**63 + 12345) in index,
        "all labels": lambda: index.labels(),
    }


def asked(path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds on disk and at a distance, requests and bytes, of each question."""
    near = zarr.open_array(str(path), mode="r")
    names = crackle_zarr.open_index(near).labels()
    some = [int(name) for name in names[np.linspace(len(names) // 3, len(names) - 1, repeats).astype(int)]]
    found: dict[str, dict[str, float]] = {}
    for name in questions(crackle_zarr.open_index(near), some[0]):
        figures: dict[str, list[float]] = {}
        for label in some:
            for where, array in (("disk", near), ("20 ms", far(path))):
                lookup._footers.clear()
                DistantStore.requests = DistantStore.nbytes = 0
                cold, index = timed(functools.partial(crackle_zarr.open_index, array))
                more, _ = timed(questions(index, label)[name])
                figures.setdefault(f"cold, {where}", []).append(cold + more)
                if where == "20 ms":
                    figures.setdefault("requests", []).append(DistantStore.requests)
                    figures.setdefault("KB", []).append(DistantStore.nbytes / 1e3)
                warm, _ = timed(questions(index, label)[name])
                figures.setdefault(f"warm, {where}", []).append(warm)
        found[name] = {key: float(np.median(values)) for key, values in figures.items()}
    return found


def far(path: Path) -> zarr.Array[Any]:
    """The array through a store that takes 20 ms a request."""
    return zarr.open_array(DistantStore(LocalStore(path, read_only=True)), mode="r")


def scattered(path: Path, count: int) -> dict[str, float]:
    """What a remap of scattered labels asks of the index: all their rows."""
    index = crackle_zarr.open_index(zarr.open_array(str(path), mode="r"))
    names = index.labels()
    labels = np.unique(names[np.random.default_rng(0).integers(1, len(names), count)])
    milliseconds, (_, rows) = timed(lambda: index._lookup.some(labels.astype(np.uint64), True))
    return {"labels": len(labels), "rows": len(rows), "ms": milliseconds}


def main() -> None:
    command: argparse.ArgumentParser = parser(__doc__)
    command.add_argument("--voxels", type=float, help="of the simulated array (default: 1e12, or 64 crops)")
    command.add_argument("--folder", type=Path, help="where to put it: 2 GB (default: a temporary folder)")
    arguments = command.parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    voxels = arguments.voxels or (1e12 if volume.size > 1e8 else 64.0 * volume.size)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    results: dict[str, Any] = {}
    try:
        for kind in ("labels 1 to n", "random labels"):
            simulation = Simulation(volume, kind.startswith("random"), arguments.repeats)
            place = folder / "array.zarr"
            figures = built(simulation, place, voxels)
            figures["build, times statistics"] = (
                simulation.seconds["build"] / simulation.seconds["statistics"]
            )
            forget_peak()
            results[kind] = {
                "build": figures,
                "questions": asked(place, arguments.repeats),
                "rows of 100 labels": scattered(place, 100),
                "peak of who asks, MB": peak(0),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(describe_run(volume, arguments.repeats))
    first = results["labels 1 to n"]
    show(
        "The build, on two processes",
        ["", *results],
        [[name, *(f"{one['build'][name]:,.4g}" for one in results.values())] for name in first["build"]],
    )
    for kind, one in results.items():
        columns = list(next(iter(one["questions"].values())))
        rows = [[name, *(f"{cell[key]:,.1f}" for key in columns)] for name, cell in one["questions"].items()]
        show(f"Questions, {kind}: milliseconds, requests and KB of a cold one", ["", *columns], rows)
        found = one["rows of 100 labels"]
        print(f"all rows of {found['labels']:.0f} scattered labels: {found['ms']:,.0f} ms")
        print(f"the most memory of who asks: {one['peak of who asks, MB']:,.0f} MB")
    cold = [
        first["questions"][name] for name in ("totals of a label", "chunks of a label", "rows of a label")
    ]
    measured = {
        **{
            name: max(one["build"][name] for one in results.values())
            for name in AIMS
            if name in first["build"]
        },
        "requests": max(cell["requests"] for cell in cold),
        "cold, 20 ms a request, ms": max(cell["cold, 20 ms"] for cell in cold),
    }
    show(
        "Aims: at most",
        ["", "aim", "measured", ""],
        [
            [name, str(aim), f"{measured[name]:,.4g}", "met" if measured[name] <= aim else "missed"]
            for name, aim in AIMS.items()
        ],
    )
    save(arguments.json, results)


if __name__ == "__main__":
    main()
