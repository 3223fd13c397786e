"""Load: several processes read, write, query and remap one stored array, and every answer has to be right.

A NumPy memmap, the model, gets every write and every remap too. Locks between processes guard both: a process
reads or queries a region under shared locks of the chunks (or shards) that the region touches, and writes it
under exclusive ones, so processes write different chunks at the same time. A remap locks the whole array.
Each process compares every answer with the model, and the main process compares the whole array at the end.
Each process samples its memory, which must not grow after a warm-up.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
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
from locks import Locks, Region
from tqdm import tqdm

import crackle_zarr as cz

EXAMPLES = """
The exit code is 1 if an answer was wrong, if a process failed or hung, or if memory grew, and 0 otherwise.
Two runs with the same seed do the same operations, but not in the same order between the processes.

Examples:
  python soak.py                                ten minutes with four processes
  python soak.py --operations 100               some seconds: a hundred operations per process
  python soak.py --sharded --workers 8          chunks in shards, and more processes than cores
  python soak.py --minutes 60 --json out.json   an hour
"""

# The array ends within chunks, and within shards.
SHAPE, CHUNKS, SHARDS = (44, 180, 200), (16, 64, 64), (32, 128, 128)
DTYPE = np.dtype(np.uint32)

# Labels are chosen from these. They are spread over the dtype, as in a segmentation.
NAMES = np.unique(np.random.default_rng(0).integers(1, 2**32, 200, DTYPE))

# The relative frequency of each operation.
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

# The first part of a run is the warm-up, and a run of few operations is nothing else.
WARM_UP = 0.25
FEWEST_OPERATIONS = 600
MOST_GROWTH = 16 * 2**20
SECONDS_BETWEEN_SAMPLES = 0.25

# Seconds without a report after which a process counts as hanging.
MOST_SILENCE = 300.0

Array = np.ndarray[Any, Any]


class WrongError(AssertionError):
    """An answer that differs from the model's."""


def agree(what: str, answer: object, expected: object) -> None:
    if not np.array_equal(np.asarray(answer), np.asarray(expected)):
        raise WrongError(f"{what}: {answer!r:.300}, expected {expected!r:.300}")


# ---------------------------------------------------------------------------------------
# Operations

EVERYTHING: Region = tuple(slice(0, length) for length in SHAPE)


def start_and_stop(mask: Array) -> list[tuple[int, int]]:
    """The bounding box of a mask that is not empty."""
    found = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        found.append((int(hits[0]), int(hits[-1]) + 1))
    return found


def chunks_with(mask: Array) -> Array:
    """The grid indices of the chunks that a mask of the array touches, in C order."""
    grid = tuple(-(-length // step) for length, step in zip(mask.shape, CHUNKS, strict=True))
    chunks = [
        index
        for index in np.ndindex(*grid)
        if mask[tuple(slice(i * step, (i + 1) * step) for i, step in zip(index, CHUNKS, strict=True))].any()
    ]
    return np.array(chunks).reshape(-1, mask.ndim)


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
        self._locks = Locks(folder / "locks", SHAPE, self._unit)
        self._rng = random.Random(seed)
        self.working = 0.0  # seconds for which the process held locks
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
        """Do one random operation; returns its name."""
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

    # Random arguments

    def _region(self, most: tuple[int, ...] = (24, 120, 120)) -> Region:
        lengths = [self._rng.randint(1, length) for length in most]
        starts = [self._rng.randint(0, n - length) for n, length in zip(SHAPE, lengths, strict=True)]
        return tuple(slice(start, start + n) for start, n in zip(starts, lengths, strict=True))

    def _label(self) -> int:
        return int(self._rng.choice(NAMES))

    def _options(self) -> dict[str, Any]:
        return {"parallel": self._rng.choice([1, 2])}

    def _mapping(self) -> dict[int, int]:
        """A mapping with merges, swaps, and labels that become background."""
        keys = {self._label() for _ in range(self._rng.randint(1, 4))}
        return {key: self._rng.choice([self._label(), self._label(), 0]) for key in keys}

    def _voxels(self, region: Region) -> Array:
        """Voxels of a region: boxes of a few labels."""
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

    def _write_both(self, region: Region, voxels: Array | int) -> None:
        with self._holding(region, writing=True):
            self._array[region] = voxels
            self._model[region] = voxels

    def write(self) -> None:
        region = self._region((20, 90, 90))
        self._write_both(region, self._voxels(region))

    def write_whole_chunks(self) -> None:
        starts = [self._rng.randrange(0, n, step) for n, step in zip(SHAPE, self._unit, strict=True)]
        ends = [min(n, start + step) for n, start, step in zip(SHAPE, starts, self._unit, strict=True)]
        region = tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))
        self._write_both(region, self._voxels(region))

    def write_one_label(self) -> None:
        self._write_both(self._region((20, 90, 90)), self._rng.choice([0, self._label()]))

    # Queries

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
    for old_label, new_label in mapping.items():
        new[voxels == old_label] = new_label
    return new


# ---------------------------------------------------------------------------------------
# Processes


class Report(NamedTuple):
    """A report that a process sends regularly: its operations since the last report, and its memory."""

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
    """Run operations in a child process, until it has done enough, ``stop`` is set, or an answer is wrong."""
    operations: Counter[str] = Counter()
    samples: list[tuple[float, int, int]] = []
    in_use = _common.heap() or (lambda: 0)
    trouble = ""
    start = sampled = reported = time.monotonic()
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
            if now - reported > 0.5:
                pipe.send(Report(operations, samples, worker.working))
                operations, samples, reported = Counter(), [], now
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
    """The differences between the whole array and the model, as sentences."""
    array = zarr.open_array(folder / "array.zarr", mode="r")
    model = np.array(np.memmap(folder / "model", DTYPE, "r", shape=SHAPE))
    wrong = []
    if not np.array_equal(array[...], model):
        wrong.append(f"at the end, {np.count_nonzero(array[...] != model)} voxels differ from the model's")
    if not np.array_equal(cz.labels(array), np.unique(model)):
        wrong.append("at the end, the labels differ from the model's")
    wrong += [f"at the end: {damage}" for damage in cz.verify(array)]
    wrong += [f"at the end, {path.name} exists" for path in (folder / "array.zarr").glob(".crackle*")]
    return wrong


def memory(reports: list[Report]) -> dict[str, float]:
    """A process's memory.

    The slope of a line through its samples after the warm-up, and medians of quarters.
    """
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
    """Run the processes; returns their operations, wrong answers and memory."""
    context = multiprocessing.get_context("spawn")  # no fork, because Zarr has threads
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
    last_report = dict.fromkeys(pipes, start)
    wrong = []
    total = arguments.operations * arguments.workers if arguments.operations else 60 * arguments.minutes
    unit = " operations" if arguments.operations else " s"
    with tqdm(
        total=total, unit=unit, disable=None, bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f}{unit}"
    ) as bar:
        while last_report:
            for pipe in multiprocessing.connection.wait(list(last_report), 1.0):
                number, process = pipes[pipe]
                try:
                    report = pipe.recv()
                except EOFError:
                    process.join()
                    wrong.append(f"process {number} died with exit code {process.exitcode}")
                    stop.set()
                    del last_report[pipe]
                    continue
                last_report[pipe] = time.monotonic()
                reports[number].append(report)
                if report.trouble:
                    wrong.append(f"process {number}, {report.trouble}")
                if report.last:
                    del last_report[pipe]
            done = sum(report.operations.total() for of_one in reports for report in of_one)
            bar.update(min(total, done if arguments.operations else time.monotonic() - start) - bar.n)
            for pipe, since in list(last_report.items()):
                if time.monotonic() - since > MOST_SILENCE:
                    number, process = pipes[pipe]
                    wrong.append(f"process {number} hangs")
                    stop.set()
                    process.kill()
                    del last_report[pipe]
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
    """A sentence for each process whose memory grew after the warm-up."""
    for number, figures in enumerate(result["memory"]):
        if not figures or figures["operations"] < FEWEST_OPERATIONS:
            continue
        growth = (figures["mb_last_quarter"] - figures["mb_second_quarter"]) * 2**20
        if growth > MOST_GROWTH:
            yield f"process {number} grew by {growth / 2**20:.1f} MB from the second quarter to the last"


def show_result(result: dict[str, Any]) -> None:
    rows = [[name, f"{count:,}"] for name, count in result["operations"].items()]
    rows.append(["all", f"{result['total_operations']:,}"])
    at_once = f"{result['workers_at_once']} at work at once"
    title = f"{result['workers']} processes, {result['seconds']:.0f} s, {at_once}"
    _common.show(title, ["operation, checked against NumPy", "times"], rows)
    rows = [
        [str(number), *(f"{figures[name]:,.2f}" for name in list(figures)[:5])] if figures else [str(number)]
        for number, figures in enumerate(result["memory"])
    ]
    columns = ["process", "MB/minute, after warm-up", "MB, second quarter", "MB, last quarter", "MB, most"]
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
    show_result(result)
    _common.save(arguments.json, result)
    for line in [*result["wrong"], *result["grown"]]:
        print(line)
    print("the array is equal to the model" if not result["wrong"] else "the array is NOT equal to the model")
    sys.exit(1 if result["wrong"] or result["grown"] else 0)


if __name__ == "__main__":
    main()
