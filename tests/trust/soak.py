"""Load: several processes read, write, ask and remap one stored array for a while, and nothing may be wrong.

Beside the array lies a NumPy memmap that gets every write and every remap too. Locks between processes
guard both alike: a region is read or asked under shared locks of the chunks (or shards) that it touches,
written under exclusive ones, so writers of different chunks run side by side; a remap excludes everybody.
Whatever is read or answered is compared with the memmap at once, and the whole array at the end. The memory
of every process is sampled all the time: once warm, it must not grow.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import multiprocessing
import multiprocessing.connection
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _common
import numpy as np
import zarr
from tqdm import tqdm

import crackle_zarr as cz

EXAMPLES = """
The exit code is 1 where an answer was wrong, where a process failed or hung, or where memory grew; 0 where
all is well. Two runs of one seed ask the same, but not in the same order between the processes.

Examples:
  python soak.py                                ten minutes with four processes
  python soak.py --operations 100               a look, within seconds: a hundred operations per process
  python soak.py --sharded --workers 8          chunks in shards, and more processes than cores
  python soak.py --minutes 60 --json out.json   an hour
"""

# The array ends within chunks, and within shards.
SHAPE, CHUNKS, SHARDS = (44, 180, 200), (16, 64, 64), (32, 128, 128)
DTYPE = np.dtype(np.uint32)

# Labels are taken from these: as far apart as those of a segmentation.
NAMES = np.unique(np.random.default_rng(0).integers(1, 2**32, 200, DTYPE))

# How often each operation is chosen.
WEIGHTS = {
    "read": 12,
    "read, strided": 6,
    "read, orthogonal": 6,
    "write": 8,
    "write, whole chunks": 8,
    "write, one label": 4,
    "labels": 6,
    "contains": 6,
    "statistics": 6,
    "find": 4,
    "crop": 4,
    "point_cloud": 2,
    "lazy_remap": 4,
    "verify": 1,
    "remap": 3,
}

# Memory: samples of the first part of a run are of a process that is still warming up, and so are all of a
# run of few operations.
WARM_UP = 0.25
FEWEST_OPERATIONS = 600
MOST_GROWTH = 16 * 2**20
SECONDS_BETWEEN_SAMPLES = 0.25

# A process that says nothing for so long hangs.
MOST_SILENCE = 300.0

Array = np.ndarray[Any, Any]
Region = tuple[slice, ...]


class WrongError(AssertionError):
    """An answer that is not that of the model."""


def agree(what: str, answer: object, expected: object) -> None:
    if not np.array_equal(np.asarray(answer), np.asarray(expected)):
        raise WrongError(f"{what}: {answer!r:.300}, and it should be {expected!r:.300}")


# ---------------------------------------------------------------------------------------
# Locks between processes


class Locks:
    """Readers and writers of parts of an array, and some who want all of it for themselves."""

    def __init__(self, folder: Path, unit: tuple[int, ...]) -> None:
        self._unit = unit
        self._gate = self._opened(folder / "gate")
        self._whole = self._opened(folder / "whole")
        self._grid = tuple(-(-length // step) for length, step in zip(SHAPE, unit, strict=True))
        self._units = {at: self._opened(folder / "-".join(map(str, at))) for at in np.ndindex(*self._grid)}

    @staticmethod
    def _opened(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT)

    def _enter(self, how: int) -> None:
        # Who waits for all of the array waits within the gate, so that readers cannot keep it from him.
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._whole, how)
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def region(self, region: Region, writing: bool = False) -> Iterator[None]:
        """Hold the chunks, or shards, that a region touches."""
        touched = itertools.product(
            *(
                range(part.start // step, (part.stop - 1) // step + 1)
                for part, step in zip(region, self._unit, strict=True)
            )
        )
        held = [self._units[at] for at in touched]  # ascending in all processes: nobody waits in a circle
        self._enter(fcntl.LOCK_SH)
        for unit in held:
            fcntl.flock(unit, fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
        try:
            yield
        finally:
            for unit in held:
                fcntl.flock(unit, fcntl.LOCK_UN)
            fcntl.flock(self._whole, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def everything(self) -> Iterator[None]:
        """Hold the array, alone."""
        self._enter(fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._whole, fcntl.LOCK_UN)


# ---------------------------------------------------------------------------------------
# What a process does

EVERYTHING: Region = tuple(slice(0, length) for length in SHAPE)


def start_and_stop(mask: Array) -> list[tuple[int, int]]:
    """The bounding box of a mask that is somewhere true."""
    found = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        found.append((int(hits[0]), int(hits[-1]) + 1))
    return found


def chunks_with(mask: Array) -> Array:
    """The grid indices of the chunks in which a mask of the array is somewhere true, in C order."""
    grid = tuple(-(-length // step) for length, step in zip(mask.shape, CHUNKS, strict=True))
    there = [
        at
        for at in np.ndindex(*grid)
        if mask[tuple(slice(i * step, (i + 1) * step) for i, step in zip(at, CHUNKS, strict=True))].any()
    ]
    return np.array(there).reshape(-1, mask.ndim)


def surface(mask: Array) -> Array:
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis, step in itertools.product(range(mask.ndim), (1, -1)):
        inner &= np.roll(padded, step, axis)
    return np.argwhere((padded & ~inner)[1:-1, 1:-1, 1:-1])


class Worker:
    def __init__(self, folder: Path, seed: str) -> None:
        self._array = zarr.open_array(folder / "array.zarr", mode="r+")
        self._model = np.memmap(folder / "model", DTYPE, "r+", shape=SHAPE)
        self._unit = self._array.shards or self._array.chunks
        self._locks = Locks(folder / "locks", self._unit)
        self._rng = random.Random(seed)
        self.working = 0.0  # seconds in which locks were held
        self._operations: dict[str, Callable[[], None]] = {
            "read": self.read,
            "read, strided": self.read_strided,
            "read, orthogonal": self.read_orthogonal,
            "write": self.write,
            "write, whole chunks": self.write_whole_chunks,
            "write, one label": self.write_one_label,
            "labels": self.labels,
            "contains": self.contains,
            "statistics": self.statistics,
            "find": self.find,
            "crop": self.crop,
            "point_cloud": self.point_cloud,
            "lazy_remap": self.lazy_remap,
            "verify": self.verify,
            "remap": self.remap,
        }

    def step(self) -> str:
        """Do something; its name."""
        (name,) = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        try:
            self._operations[name]()
        except Exception as error:
            raise WrongError(f"{name}: {type(error).__name__}: {error}") from error
        return name

    @contextlib.contextmanager
    def _holding(self, region: Region | None, writing: bool = False) -> Iterator[None]:
        with self._locks.everything() if region is None else self._locks.region(region, writing):
            start = time.monotonic()
            yield
            self.working += time.monotonic() - start

    # What is asked for

    def _region(self, most: tuple[int, ...] = (24, 120, 120)) -> Region:
        lengths = [self._rng.randint(1, length) for length in most]
        starts = [self._rng.randint(0, n - length) for n, length in zip(SHAPE, lengths, strict=True)]
        return tuple(slice(start, start + n) for start, n in zip(starts, lengths, strict=True))

    def _label(self) -> int:
        return int(self._rng.choice(NAMES))

    def _options(self) -> dict[str, Any]:
        return {"parallel": self._rng.choice([1, 2])}

    def _mapping(self) -> dict[int, int]:
        """Merges, swaps, and labels that vanish in the background."""
        keys = {self._label() for _ in range(self._rng.randint(1, 4))}
        return {key: self._rng.choice([self._label(), self._label(), 0]) for key in keys}

    def _voxels(self, region: Region) -> Array:
        """Boxes of some labels."""
        lengths = [part.stop - part.start for part in region]
        some = [*self._rng.sample(list(NAMES), self._rng.randint(1, 12)), 0]
        edges = [self._rng.choice([4, 9, 20]) for _ in lengths]
        coarse = np.random.default_rng(self._rng.randrange(2**32)).choice(
            np.array(some, DTYPE),
            tuple(-(-length // edge) for length, edge in zip(lengths, edges, strict=True)),
        )
        for axis, edge in enumerate(edges):
            coarse = np.repeat(coarse, edge, axis)
        return coarse[tuple(slice(0, length) for length in lengths)]

    # Reading

    def read(self) -> None:
        region = self._region()
        with self._holding(region):
            agree(f"array[{region}]", self._array[region], self._model[region])

    def read_strided(self) -> None:
        region = self._region()
        strided = tuple(slice(part.start, part.stop, self._rng.randint(1, 5)) for part in region)
        with self._holding(region):
            agree(f"array[{strided}]", self._array[strided], self._model[strided])

    def read_orthogonal(self) -> None:
        region = self._region()
        index = tuple(
            sorted(self._rng.sample(range(part.start, part.stop), min(4, part.stop - part.start)))
            for part in region
        )
        with self._holding(region):
            agree(f"array.oindex[{index}]", self._array.oindex[index], self._model[np.ix_(*index)])

    # Writing

    def _put(self, region: Region, voxels: Array | int) -> None:
        with self._holding(region, writing=True):
            self._array[region] = voxels
            self._model[region] = voxels

    def write(self) -> None:
        region = self._region((20, 90, 90))
        self._put(region, self._voxels(region))

    def write_whole_chunks(self) -> None:
        at = [self._rng.randrange(0, n, step) for n, step in zip(SHAPE, self._unit, strict=True)]
        ends = [min(n, start + step) for n, start, step in zip(SHAPE, at, self._unit, strict=True)]
        region = tuple(slice(start, end) for start, end in zip(at, ends, strict=True))
        self._put(region, self._voxels(region))

    def write_one_label(self) -> None:
        self._put(self._region((20, 90, 90)), self._rng.choice([0, self._label()]))

    # Asking

    def labels(self) -> None:
        region = self._region()
        with self._holding(region):
            answer = cz.labels(self._array, region=region, **self._options())
            agree(f"labels, {region}", answer, np.unique(self._model[region]))

    def contains(self) -> None:
        region, label = self._region(), self._label()
        with self._holding(region):
            answer = cz.contains(self._array, label, region=region, **self._options())
            agree(f"contains {label}, {region}", answer, (self._model[region] == label).any())

    def statistics(self) -> None:
        region = self._region()
        with self._holding(region):
            table = cz.statistics(self._array, region=region, **self._options())
            labels, counts = np.unique(self._model[region], return_counts=True)
            agree(f"statistics, labels, {region}", table["label"], labels)
            agree(f"statistics, voxel_count, {region}", table["voxel_count"], counts)
            row = self._rng.choice(table)
            box = start_and_stop(self._model[region] == row["label"])
            expected = [(part.start + a, part.start + b) for part, (a, b) in zip(region, box, strict=True)]
            agree(
                f"statistics, box of {row['label']}, {region}",
                np.stack([row["start"], row["stop"]], 1),
                expected,
            )

    def find(self) -> None:
        label = self._label()
        with self._holding(EVERYTHING):
            found = cz.find(self._array, label, **self._options())
            mask = self._model == label
            chunks = chunks_with(mask)
            agree(f"find {label}, chunks", np.array(found.chunks).reshape(-1, 3), chunks)
            if len(chunks):
                box = [(part.start, part.stop) for part in found.slices]
                agree(f"find {label}, box", box, start_and_stop(mask))

    def crop(self) -> None:
        region, label = self._region(), self._label()
        with self._holding(region):
            mask = self._model[region] == label
            try:
                cropped = cz.crop(self._array, label, region=region, **self._options())
            except cz.MissingLabelError:
                agree(f"crop {label}, {region}: missing", False, mask.any())
                return
            box = start_and_stop(mask)
            agree(f"crop {label}, {region}", cropped.mask, mask[tuple(slice(a, b) for a, b in box)])
            offset = [part.start + a for part, (a, _) in zip(region, box, strict=True)]
            agree(f"crop {label}, offset, {region}", cropped.offset, offset)

    def point_cloud(self) -> None:
        region = self._region((12, 60, 60))
        with self._holding(region):
            label = self._rng.choice(np.unique(self._model[region]).tolist())
            points = cz.point_cloud(self._array, label, region=region, **self._options())
            expected = surface(self._model[region] == label) + [part.start for part in region]
            agree(f"point_cloud {label}, {region}", points, expected)

    def lazy_remap(self) -> None:
        region, mapping = self._region(), self._mapping()
        with self._holding(region):
            view = cz.lazy_remap(self._array, mapping)
            agree(f"lazy_remap {mapping}, {region}", view[region], renamed(self._model[region], mapping))

    def verify(self) -> None:
        with self._holding(EVERYTHING):
            agree("verify", len(cz.verify(self._array, **self._options())), 0)

    # Editing

    def remap(self) -> None:
        mapping = self._mapping()
        with self._holding(None):
            new = renamed(self._model, mapping)
            chunks = chunks_with(new != self._model)
            report = cz.remap(self._array, mapping, **self._options())
            self._model[...] = new
            agree(f"remap {mapping}, chunks", np.array(report.chunks).reshape(-1, 3), chunks)


def renamed(voxels: Array, mapping: dict[int, int]) -> Array:
    new = np.array(voxels)
    for old, name in mapping.items():
        new[voxels == old] = name
    return new


# ---------------------------------------------------------------------------------------
# Processes


class Report(NamedTuple):
    """What a process tells of itself, again and again: what it did since, and its memory."""

    operations: Counter[str]
    samples: list[tuple[float, int, int]]  # seconds; RSS and the heap in bytes
    working: float
    trouble: str = ""
    last: bool = False


def work(
    folder: Path,
    seed: str,
    minutes: float,
    most: int | None,
    stop: Any,
    pipe: multiprocessing.connection.Connection,
) -> None:
    """What a child process does, until it has done enough, or is told to stop, or finds something wrong."""
    operations: Counter[str] = Counter()
    samples: list[tuple[float, int, int]] = []
    in_use = _common.heap() or (lambda: 0)
    trouble = ""
    start = sampled = told = time.monotonic()
    number = 0
    try:
        worker = Worker(folder, seed)
        _common.fill_numpys_cache()
        while not stop.is_set() and time.monotonic() - start < 60 * minutes and number != most:
            operations[worker.step()] += 1
            number += 1
            now = time.monotonic()
            if now - sampled >= SECONDS_BETWEEN_SAMPLES or most is not None:
                samples.append((now - start, _common.memory("RssAnon"), in_use()))
                sampled = now
            if now - told > 0.5:
                pipe.send(Report(operations, samples, worker.working))
                operations, samples, told = Counter(), [], now
                worker.working = 0.0
    except BaseException:
        trouble = f"operation {number} of seed {seed!r}:\n{traceback.format_exc()}"
        stop.set()
    pipe.send(Report(operations, samples, worker.working if number else 0.0, trouble, last=True))


def populate(folder: Path, sharded: bool) -> None:
    (folder / "locks").mkdir()
    options = {"shards": SHARDS} if sharded else {}
    cz.create_array(folder / "array.zarr", shape=SHAPE, dtype=DTYPE, chunks=CHUNKS, **options)
    np.memmap(folder / "model", DTYPE, "w+", shape=SHAPE).flush()


def compared_at_the_end(folder: Path) -> list[str]:
    """What is wrong with the array after all."""
    array = zarr.open_array(folder / "array.zarr", mode="r")
    model = np.array(np.memmap(folder / "model", DTYPE, "r", shape=SHAPE))
    wrong = []
    if not np.array_equal(array[...], model):
        wrong.append(f"at the end {np.count_nonzero(array[...] != model)} voxels are not those of the model")
    if not np.array_equal(cz.labels(array), np.unique(model)):
        wrong.append("at the end the labels are not those of the model")
    wrong += [f"at the end: {damage}" for damage in cz.verify(array)]
    wrong += [f"at the end there is {path.name}" for path in (folder / "array.zarr").glob(".crackle*")]
    return wrong


def memory(reports: list[Report]) -> dict[str, float]:
    """How a process's memory went: the slope of a line through it once warm, and medians of quarters."""
    samples = list(itertools.chain(*(report.samples for report in reports)))
    warm = samples[int(len(samples) * WARM_UP) :]
    if len(warm) < 8:
        return {}
    seconds, rss, heap = np.array(warm, dtype=float).T
    quarter = len(samples) // 4
    quarters = [
        np.median([s[1:] for s in samples[i * quarter : (i + 1) * quarter]], axis=0) for i in range(4)
    ]
    return {
        "mb_per_minute": round(float(np.polyfit(seconds / 60, rss / 2**20, 1)[0]), 3),
        "mb_second_quarter": round(quarters[1][0] / 2**20, 2),
        "mb_last_quarter": round(quarters[3][0] / 2**20, 2),
        "mb_most": round(float(rss.max()) / 2**20, 2),
        "heap_kb_per_minute": round(float(np.polyfit(seconds / 60, heap / 2**10, 1)[0]), 2),
        "operations": sum(report.operations.total() for report in reports),
    }


def soak(folder: Path, arguments: Any) -> dict[str, Any]:
    """Let the processes work; what they did, what was wrong, and how much memory they took."""
    context = multiprocessing.get_context("spawn")  # Zarr has threads: it is no good to fork
    stop = context.Event()
    start = time.monotonic()
    pipes = {}
    for number in range(arguments.workers):
        pipe, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=work,
            args=(
                folder,
                f"{arguments.seed} {number}",
                arguments.minutes,
                arguments.operations,
                stop,
                theirs,
            ),
            daemon=True,
        )
        process.start()
        theirs.close()
        pipes[pipe] = number, process
    reports: list[list[Report]] = [[] for _ in pipes]
    heard = dict.fromkeys(pipes, start)
    wrong = []
    total = arguments.operations * arguments.workers if arguments.operations else 60 * arguments.minutes
    unit = " operations" if arguments.operations else " s"
    with tqdm(
        total=total, unit=unit, disable=None, bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f}{unit}"
    ) as bar:
        while heard:
            for pipe in multiprocessing.connection.wait(list(heard), 1.0):
                number, process = pipes[pipe]
                try:
                    report = pipe.recv()
                except EOFError:
                    process.join()
                    wrong.append(f"process {number} died with exit code {process.exitcode}")
                    stop.set()
                    del heard[pipe]
                    continue
                heard[pipe] = time.monotonic()
                reports[number].append(report)
                if report.trouble:
                    wrong.append(f"process {number}, {report.trouble}")
                if report.last:
                    del heard[pipe]
            done = sum(report.operations.total() for of_one in reports for report in of_one)
            bar.update(min(total, done if arguments.operations else time.monotonic() - start) - bar.n)
            for pipe, since in list(heard.items()):
                if time.monotonic() - since > MOST_SILENCE:
                    number, process = pipes[pipe]
                    wrong.append(f"process {number} hangs")
                    stop.set()
                    process.kill()
                    del heard[pipe]
    seconds = time.monotonic() - start
    for _, process in pipes.values():
        process.join()
    operations = sum((report.operations for of_one in reports for report in of_one), Counter())
    working = sum(report.working for of_one in reports for report in of_one)
    return {
        "workers": arguments.workers,
        "sharded": arguments.sharded,
        "seed": arguments.seed,
        "seconds": round(seconds, 1),
        "operations": {name: operations[name] for name in WEIGHTS},
        "total_operations": operations.total(),
        "workers_at_once": round(working / seconds, 2),
        "memory": [memory(of_one) for of_one in reports],
        "wrong": wrong,
    }


def grown(result: dict[str, Any]) -> Iterable[str]:
    """The processes whose memory grew, of those that had the time to get warm."""
    for number, told in enumerate(result["memory"]):
        if not told or told["operations"] < FEWEST_OPERATIONS:
            continue
        growth = (told["mb_last_quarter"] - told["mb_second_quarter"]) * 2**20
        if growth > MOST_GROWTH:
            yield f"process {number} grew by {growth / 2**20:.1f} MB from the second quarter to the last"


def tell(result: dict[str, Any]) -> None:
    rows = [[name, f"{count:,}"] for name, count in result["operations"].items()]
    rows.append(["all", f"{result['total_operations']:,}"])
    at_once = f"{result['workers_at_once']} at work at once"
    title = f"{result['workers']} processes, {result['seconds']:.0f} s, {at_once}"
    _common.show(title, ["operation, checked against NumPy", "times"], rows)
    rows = [
        [str(number), *(f"{told[name]:,.2f}" for name in list(told)[:5])] if told else [str(number)]
        for number, told in enumerate(result["memory"])
    ]
    columns = ["process", "MB/minute, once warm", "MB, second quarter", "MB, last quarter", "MB, most"]
    columns.append("heap in use, KB/minute")
    _common.show("Anonymous memory", columns, rows)


def main() -> None:
    parser = _common.parser(__doc__, EXAMPLES)
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (default: 10)")
    parser.add_argument(
        "--operations", type=int, metavar="N", help="end earlier, after N operations per process"
    )
    parser.add_argument("--workers", type=int, default=4, help="processes (default: 4)")
    parser.add_argument("--sharded", action="store_true", help="chunks in shards of 2 x 2 x 2")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crackle-soak-") as name:
        folder = Path(name)
        populate(folder, arguments.sharded)
        result = soak(folder, arguments)
        result["wrong"] += compared_at_the_end(folder)
    result["grown"] = list(grown(result))
    tell(result)
    _common.save(arguments.json, result)
    for line in [*result["wrong"], *result["grown"]]:
        print(line)
    print("the array is as NumPy says" if not result["wrong"] else "the array is NOT as NumPy says")
    sys.exit(1 if result["wrong"] or result["grown"] else 0)


if __name__ == "__main__":
    main()
