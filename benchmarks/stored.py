"""How much faster are queries on a stored array than reading and computing? How much do they read?

The script stores the same volume twice on the same disk, in chunks of one shape: with Crackle, and with
Zarr's default compressor. It puts every query to the first array, and computes the answer from the second
with NumPy, fastremap, cc3d or SciPy, with one thread each. It compares all answers, and the aims with the
fastest peer. The files are in the page cache, so the figures do not include the disk's speed.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _common import describe_run, interleaved, load, parser, save, show
from zarr.storage import LocalStore

import crackle_zarr
import crackle_zarr.codecs.zarr_codec  # registers the codec, also if the package is not installed
from crackle_zarr.cli.demo import CountingStore

CHUNKS = (64, 256, 256)
REMAPPED = 100
TIMES_AS_LARGE = 8
LIMIT_MIB = 1024

# For each query: the least speed, as a multiple of the fastest peer's, and the most per cent of stored bytes
# read.
AIMS: dict[str, tuple[float, float | None]] = {
    "labels": (100, 20),
    "labels, verify=False": (100, 2),
    "statistics": (5, None),
    "crop": (10, None),
    "remap": (20, None),
}


@dataclass
class Subject:
    """The label and the mapping of the queries."""

    label: int
    mapping: dict[int, int]
    voxels: int = 0  # of the label
    chunks: int = 0  # that hold the label

    @classmethod
    def of(cls, volume: np.ndarray, chunks: tuple[int, ...]) -> Subject:
        """The label of median size among those in at most four chunks, and new labels for some labels."""
        labels, counts = np.unique(volume[volume != 0], return_counts=True)
        in_chunks = np.zeros(len(labels), dtype=int)
        grid = [range(0, length, chunk) for length, chunk in zip(volume.shape, chunks, strict=True)]
        for corner in itertools.product(*grid):
            where = tuple(slice(i, i + chunk) for i, chunk in zip(corner, chunks, strict=True))
            in_chunks += np.isin(labels, np.unique(volume[where]))
        few = np.flatnonzero(in_chunks <= max(4, in_chunks.min()))
        one = few[np.argsort(counts[few], kind="stable")[len(few) // 2]]
        some = np.random.default_rng(0).choice(labels, size=min(REMAPPED, len(labels)), replace=False)
        unused = np.setdiff1d(np.arange(1, len(labels) + len(some) + 1, dtype=volume.dtype), labels)
        mapping = dict(zip(some.tolist(), unused[: len(some)].tolist(), strict=True))
        return cls(int(labels[one]), mapping, int(counts[one]), int(in_chunks[one]))

    @property
    def inverse(self) -> dict[int, int]:
        """The mapping that reverts the mapping."""
        return {new: old for old, new in self.mapping.items()}


# ---------------------------------------------------------------------------------------
# Peers: they read the whole array and compute the answer


def module(name: str) -> Any:
    """A peer's module; None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def statistics_cc3d(array: Any) -> dict[str, np.ndarray]:
    # Without renumbering, cc3d would need a row for every number up to the largest label.
    numbers, number_of_label = module("fastremap").renumber(array[...], in_place=True)
    found = module("cc3d").statistics(numbers)
    labels = np.zeros(len(found["voxel_counts"]), dtype=array.dtype)
    labels[list(number_of_label.values())] = list(number_of_label.keys())
    rows = np.flatnonzero(found["voxel_counts"])
    boxes = [found["bounding_boxes"][row] for row in rows]
    start = np.array([[part.start for part in box] for box in boxes])
    stop = np.array([[part.stop for part in box] for box in boxes])
    return table(labels[rows], found["voxel_counts"][rows], start, stop, found["centroids"][rows])


def statistics_scipy(array: Any) -> dict[str, np.ndarray]:
    ndimage = importlib.import_module("scipy.ndimage")
    numbers, number_of_label = module("fastremap").renumber(array[...], preserve_zero=False, in_place=True)
    boxes = ndimage.find_objects(numbers)
    counts = ndimage.sum_labels(np.True_, numbers, np.arange(1, len(boxes) + 1))
    means = ndimage.center_of_mass(
        np.broadcast_to(np.True_, numbers.shape), numbers, np.arange(1, len(boxes) + 1)
    )
    labels = np.zeros(len(boxes), dtype=array.dtype)
    labels[np.array(list(number_of_label.values())) - 1] = list(number_of_label.keys())
    start = np.array([[part.start for part in box] for box in boxes])
    stop = np.array([[part.stop for part in box] for box in boxes])
    return table(labels, counts.astype(np.uint64), start, stop, np.array(means))


def table(labels: Any, counts: Any, start: Any, stop: Any, centroids: Any) -> dict[str, np.ndarray]:
    order = np.argsort(labels)
    columns = {"label": labels, "voxel_count": counts, "start": start, "stop": stop, "centroid": centroids}
    return {name: np.asarray(column)[order] for name, column in columns.items()}


def box_numpy(array: Any, label: int) -> tuple[tuple[slice, ...], np.ndarray]:
    mask = array[...] == label
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(box), mask


def crop_numpy(array: Any, label: int) -> np.ndarray:
    box, mask = box_numpy(array, label)
    return mask[box].copy()


def remap_fastremap(array: Any, mapping: dict[int, int]) -> None:
    array[...] = module("fastremap").remap(array[...], mapping, preserve_missing_labels=True, in_place=True)


# ---------------------------------------------------------------------------------------
# Queries

Case = Callable[[Any, Subject], Any]


@dataclass
class Query:
    """Cases that take turns: ours, and the peers that give the same answer."""

    ours: dict[str, Case]
    peers: dict[str, Case]


def queries() -> list[Query]:
    fastremap, cc3d, scipy = module("fastremap"), module("cc3d"), module("scipy")
    for name, peer in {"fastremap": fastremap, "connected-components-3d": cc3d, "scipy": scipy}.items():
        if peer is None:
            print(f"{name}: not installed")
    found = [
        Query(
            {
                "labels": lambda array, _: crackle_zarr.labels(array, parallel=1),
                "labels, verify=False": lambda array, _: crackle_zarr.labels(array, parallel=1, verify=False),
            },
            {"np.unique": lambda array, _: np.unique(array[...])},
        ),
        Query({"statistics": lambda array, _: crackle_zarr.statistics(array, parallel=1)}, {}),
        Query(
            {"find": lambda array, subject: crackle_zarr.find(array, subject.label, parallel=1).slices},
            {"==, any": lambda array, subject: box_numpy(array, subject.label)[0]},
        ),
        Query(
            {"crop": lambda array, subject: crackle_zarr.crop(array, subject.label, parallel=1).mask},
            {"==, any, cut": lambda array, subject: crop_numpy(array, subject.label)},
        ),
        Query({"remap": lambda array, subject: crackle_zarr.remap(array, subject.mapping, parallel=1)}, {}),
    ]
    unique, statistics, _, _, remap = found
    if fastremap is not None:
        unique.peers["fastremap.unique"] = lambda array, _: fastremap.unique(array[...])
        remap.peers["fastremap.remap, write"] = lambda array, subject: remap_fastremap(array, subject.mapping)
        if cc3d is not None:
            statistics.peers["renumber, cc3d.statistics"] = lambda array, _: statistics_cc3d(array)
        if scipy is not None:
            statistics.peers["renumber, scipy.ndimage"] = lambda array, _: statistics_scipy(array)
    return found


def same(a: Any, b: Any) -> bool:
    """Whether two answers are equal; centroids up to the precision of sums of floats."""
    if isinstance(a, np.ndarray) and a.dtype.names:
        rows = np.isin(a["label"], b["label"])  # renumber and cc3d keep 0; SciPy numbers labels from 1
        return all(
            np.allclose(a[name][rows], b[name], rtol=1e-5)
            if name == "centroid"
            else np.array_equal(a[name][rows], b[name])
            for name in ("label", "voxel_count", "start", "stop", "centroid")
        ) and bool(rows.sum() >= len(rows) - 1)
    return np.array_equal(a, b)


def repeatable(case: Case, array: Any, subject: Subject) -> Callable[[], Any]:
    """A case that can be measured repeatedly: each remap reverts the previous one."""
    subjects = [subject, Subject(subject.label, subject.inverse)]

    def run() -> Any:
        subjects.reverse()
        return case(array, subjects[1])

    return run


def stored_nbytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def per_cent_read(path: Path, case: Case, subject: Subject, scratch: Path) -> float:
    """Per cent of the stored bytes that a query reads. A remap also reads its journal."""
    shutil.copytree(path, scratch)
    store = CountingStore(LocalStore(scratch))
    array = zarr.open_array(store, mode="r+")
    nbytes = stored_nbytes(scratch)
    store.reset()
    case(array, subject)
    shutil.rmtree(scratch)
    return 100 * store.nbytes / max(1, nbytes)


def measured(folder: Path, subject: Subject, repeats: int) -> dict[str, Any]:
    """Seconds, ratios and bytes of all queries."""
    ours = zarr.open_array(folder / "crackle.zarr", mode="r+")
    theirs = zarr.open_array(folder / "default.zarr", mode="r+")
    results: dict[str, Any] = {}
    for query in queries():
        cases = {name: repeatable(case, ours, subject) for name, case in query.ours.items()}
        cases |= {name: repeatable(case, theirs, subject) for name, case in query.peers.items()}
        if "remap" not in query.ours:
            answers = {name: case() for name, case in cases.items()}
            for name in query.ours:
                for peer in query.peers:
                    if not same(answers[name], answers[peer]):
                        raise SystemExit(f"{name}: the answer differs from that of {peer}")
            del answers
        seconds = interleaved(cases, repeats)
        for name, case in query.ours.items():
            if name == "remap":
                if not np.array_equal(ours[...], theirs[...]) and query.peers:
                    raise SystemExit("remap: the arrays differ")
                if repeats % 2:  # after an odd number of remaps, restore the labels
                    for remap in cases.values():
                        remap()
            ratios = {peer: seconds[peer] / seconds[name] for peer in query.peers}
            results[name] = {
                "seconds": {name: seconds[name]} | {peer: seconds[peer] for peer in query.peers},
                "ratios": ratios,
                "fastest": min(ratios, key=ratios.__getitem__, default=None),
                "per_cent_read": per_cent_read(
                    folder / "crackle.zarr", case, subject, folder / "counted.zarr"
                ),
            }
        print(f"{', '.join(query.ours)}: done", file=sys.stderr)
    return results


# ---------------------------------------------------------------------------------------
# Memory: each query in a process of its own

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import stored
stored.child(*sys.argv[2:])
"""


def kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def child(path: str, name: str, subject: str, limit_mib: str) -> None:
    """Run one query with limited memory, and print its peak and its answer as JSON."""
    import resource

    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    cases = {name: case for query in queries() for name, case in (query.ours | query.peers).items()}
    cases["array[...]"] = lambda array, _: array[...]
    # A query on a small array first loads everything that is loaded once.
    crackle = crackle_zarr.create_array({}, data=np.arange(512, dtype="u4").reshape(8, 8, 8) // 256)
    small = crackle if Path(path).name != "default.zarr" else zarr.create_array({}, data=crackle[...])
    cases[name](small, Subject(1, {1: 3}))
    array = zarr.open_array(path, mode="r+")
    if int(limit_mib):
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit_mib) * 2**20,) * 2)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = kib("VmRSS")
    label, mapping = json.loads(subject)
    try:
        result = cases[name](array, Subject(label, {int(old): new for old, new in mapping.items()}))
    except MemoryError:
        print(json.dumps([None, None]))
        return
    peak = (kib("VmHWM") - before) / 1024
    if name == "labels":
        answer = result.tolist()
    elif name == "statistics":
        answer = [result["label"].tolist(), result["voxel_count"].tolist()]
    else:
        answer = len(result.chunks) if name == "remap" else None
    print(json.dumps([peak, answer]))


def in_child(path: Path, name: str, subject: Subject, limit_mib: int = 0) -> tuple[float | None, Any]:
    """The peak and the answer of a query in a child process; (None, None) after a MemoryError."""
    command = [sys.executable, "-P", "-c", CHILD, str(Path(__file__).parent), str(path), name]
    command += [json.dumps([subject.label, subject.mapping]), str(limit_mib)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    peak, answer = json.loads(done.stdout.splitlines()[-1])
    return peak, answer


def peaks(folder: Path, subject: Subject) -> dict[str, float]:
    """Peak MiB of ours and of the peers on the volume itself. A second remap reverts each remap."""
    found: dict[str, float] = {}
    for query in queries():
        for names, store in ((query.ours, "crackle.zarr"), (query.peers, "default.zarr")):
            for name in names:
                peak, _ = in_child(folder / store, name, subject)
                assert peak is not None
                found[name] = peak
                if "remap" in name:
                    in_child(folder / store, name, Subject(subject.label, subject.inverse))
    return found


def larger_than_memory(folder: Path, volume: np.ndarray, subject: Subject) -> dict[str, Any]:
    """Peak MiB of queries on an array that is larger than the memory limit of their process."""
    depth = volume.shape[0]
    shape = (depth * TIMES_AS_LARGE, *volume.shape[1:])
    array = crackle_zarr.create_array(
        LocalStore(folder / "large.zarr"), shape=shape, dtype=volume.dtype, chunks=chunks_for(volume)
    )
    for turn in range(TIMES_AS_LARGE):
        array[turn * depth : (turn + 1) * depth] = volume
    limit_mib = LIMIT_MIB if array.nbytes > LIMIT_MIB * 2**20 else 0
    labels, counts = np.unique(volume, return_counts=True)
    results: dict[str, Any] = {"array_mib": array.nbytes / 2**20, "allowed_mib": limit_mib}
    expected = {
        "labels": labels.tolist(),
        "statistics": [labels.tolist(), (counts * TIMES_AS_LARGE).tolist()],
        "crop": None,
        "remap": None,
        "array[...]": None,
    }
    for name, right in expected.items():
        peak, answer = in_child(folder / "large.zarr", name, subject, limit_mib)
        if right is not None and answer != right:
            raise SystemExit(f"{name} of the large array is wrong")
        results[name] = peak
    new = np.array([subject.mapping.get(label, label) for label in labels.tolist()])
    if not np.array_equal(crackle_zarr.labels(array), np.sort(new)):
        raise SystemExit("remap of the large array is wrong")
    return results


def of_small_cells(folder: Path, shape: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Statistics of an array with a label for each cell of 4^3 voxels, many of which chunks cut."""
    moved = [(np.arange(length) + axis + 1) // 4 for axis, length in enumerate(shape)]
    z, y, x = np.ix_(*moved)
    numbers = (z * (shape[1] // 4 + 2) + y) * (shape[2] // 4 + 2) + x
    names = np.random.default_rng(0).permutation(int(numbers.max()) + 1).astype(np.uint32)
    cells = names[numbers]
    chunks = tuple(min(64, length) for length in shape)
    with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
        ours = crackle_zarr.create_array(LocalStore(folder / "cells.zarr"), data=cells, chunks=chunks)
        theirs = zarr.create_array(LocalStore(folder / "cells_default.zarr"), data=cells, chunks=chunks)
        del cells, numbers
        cases: dict[str, Callable[[], Any]] = {
            "statistics": lambda: crackle_zarr.statistics(ours, parallel=1),
            "parallel=2": lambda: crackle_zarr.statistics(ours, parallel=2),
        }
        if module("fastremap") is not None and module("cc3d") is not None:
            cases["read, renumber, cc3d.statistics"] = lambda: statistics_cc3d(theirs)
        answers = {name: case() for name, case in cases.items()}
        for name, answer in answers.items():
            if not same(answers["statistics"], answer):
                raise SystemExit(f"statistics of cells: the answer differs from that of {name}")
        count = len(answers["statistics"])
        del answers
        seconds = interleaved(cases, repeats)
    peak, _ = in_child(folder / "cells.zarr", "statistics", Subject(0, {}))
    assert peak is not None
    return {"labels": count, "seconds": seconds, "bytes_per_label": peak * 2**20 / count}


# ---------------------------------------------------------------------------------------


def chunks_for(volume: np.ndarray) -> tuple[int, ...]:
    return tuple(map(min, CHUNKS, volume.shape))


def main() -> None:
    arguments: argparse.Namespace = parser(__doc__.splitlines()[0]).parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    subject = Subject.of(volume, chunks_for(volume))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
            keywords = {"shape": volume.shape, "dtype": volume.dtype, "chunks": chunks_for(volume)}
            crackle_zarr.create_array(LocalStore(folder / "crackle.zarr"), **keywords)[...] = volume
            zarr.create_array(LocalStore(folder / "default.zarr"), **keywords)[...] = volume
            found = measured(folder, subject, arguments.repeats)
        nbytes = {kind: stored_nbytes(folder / f"{kind}.zarr") for kind in ("crackle", "default")}
        label = {"voxels": subject.voxels, "chunks": subject.chunks}
        results: dict[str, Any] = {"questions": found, "label": label, "stored_nbytes": nbytes}
        if Path("/proc/self/clear_refs").exists():
            results["peak_mib"] = peaks(folder, subject)
            results["large"] = larger_than_memory(folder, volume, subject)
            results["cells"] = of_small_cells(folder, volume.shape, arguments.repeats)
    show_results(volume, results, arguments.repeats)
    save(arguments.json, results)


def show_results(volume: np.ndarray, results: dict[str, Any], repeats: int) -> None:
    memory = results.get("peak_mib", {})

    def peak(name: str) -> str:
        return f"{memory[name]:,.0f}" if name in memory else ""

    rows, aims = [], []
    for name, found in results["questions"].items():
        read = f"{found['per_cent_read']:.1f} %"
        rows.append([name, "", f"{found['seconds'][name] * 1e3:,.1f}", "", read, peak(name)])
        for peer, ratio in found["ratios"].items():
            milliseconds = f"{found['seconds'][peer] * 1e3:,.1f}"
            mark = " *" if peer == found["fastest"] else ""
            rows.append(["", f"read, {peer}", milliseconds, f"{ratio:,.1f}{mark}", "", peak(peer)])
        if name in AIMS:
            times, most = AIMS[name]
            if found["fastest"] is not None:
                ratio = found["ratios"][found["fastest"]]
                verdict = "met" if ratio >= times else "missed"
                aims.append([f"{name}: at least {times:g}x the fastest peer", f"{ratio:,.1f}", verdict])
            if most is not None:
                verdict = "met" if found["per_cent_read"] <= most else "missed"
                aims.append([f"{name}: at most {most:g} % of the stored bytes", read, verdict])
    nbytes = results["stored_nbytes"]
    print(describe_run(volume, repeats))
    print(f"{nbytes['crackle']:,} bytes with Crackle, {nbytes['default']:,} with Zarr's default")
    label = results["label"]
    print(f"find and crop: a label of {label['voxels']:,} voxels in {label['chunks']} chunks")
    columns = ["", "peer", "ms", "ours is x times as fast", "of stored bytes read", "peak, MiB"]
    show("*: the fastest peer, which the aims refer to", columns, rows)
    show("Aims", ["aim", "measured", ""], aims)
    if "large" in results:
        large = dict(results["large"])
        title = f"Peak MiB of queries on an array of {large.pop('array_mib'):,.0f} MiB"
        limit_mib = large.pop("allowed_mib")
        title += f" in processes limited to {limit_mib:,} MiB" if limit_mib else ", without a limit"
        cells = {name: "MemoryError" if value is None else f"{value:,.0f}" for name, value in large.items()}
        show(title, ["", "beyond the start"], [list(cell) for cell in cells.items()])
    if "cells" in results:
        found = results["cells"]
        first = next(iter(found["seconds"].values()))
        rows = [[name, f"{value:.2f}", f"{value / first:.2f}"] for name, value in found["seconds"].items()]
        title = f"Statistics of {found['labels']:,} labels, {found['bytes_per_label']:,.0f} bytes each"
        show(title, ["", "seconds", "of ours"], rows)


if __name__ == "__main__":
    main()
