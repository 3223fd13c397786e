"""How much faster are questions to a stored array than reading it and computing? And how much is read?

The same volume is stored twice on the same disk, in chunks of one shape: with Crackle, and with Zarr's
default compressor. One thread each. Every question is put to the first, and computed from the second with
NumPy, fastremap, cc3d or SciPy. All answers are compared, and what counts is the fastest of those peers.
Files have been read before, so the disk's own speed is not in the figures.
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
from _common import interleaved, load, parser, save, show, told
from zarr.storage import LocalStore

import crackle_zarr
import crackle_zarr.codecs.zarr_codec  # where the package is a source tree, Zarr finds the codec by this only
from crackle_zarr.cli.demo import CountingStore

CHUNKS = (64, 256, 256)
REMAPPED = 100
TIMES_AS_LARGE = 8
ALLOWED_MIB = 1024

# Question: at least so many times as fast as the fastest peer; at most so many per cent of the stored bytes.
AIMS: dict[str, tuple[float, float | None]] = {
    "labels": (100, 20),
    "labels, verify=False": (100, 2),
    "statistics": (5, None),
    "crop": (10, None),
    "remap": (20, None),
}


@dataclass
class About:
    """What the questions are about."""

    label: int
    mapping: dict[int, int]
    voxels: int = 0  # of the label
    chunks: int = 0  # that hold it

    @classmethod
    def of(cls, volume: np.ndarray, chunks: tuple[int, ...]) -> About:
        """The label of median size among those in no more than four chunks, and new names for some labels."""
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
    def back(self) -> dict[int, int]:
        """The mapping that undoes the mapping."""
        return {new: old for old, new in self.mapping.items()}


# ---------------------------------------------------------------------------------------
# Peers: all of the array is read, and the answer computed


def module(name: str) -> Any:
    """A peer's module; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def statistics_cc3d(array: Any) -> dict[str, np.ndarray]:
    # Without small numbers cc3d would need a row for every number up to the largest label.
    numbers, names = module("fastremap").renumber(array[...], in_place=True)
    found = module("cc3d").statistics(numbers)
    labels = np.zeros(len(found["voxel_counts"]), dtype=array.dtype)
    labels[list(names.values())] = list(names.keys())
    rows = np.flatnonzero(found["voxel_counts"])
    boxes = [found["bounding_boxes"][row] for row in rows]
    start = np.array([[part.start for part in box] for box in boxes])
    stop = np.array([[part.stop for part in box] for box in boxes])
    return table(labels[rows], found["voxel_counts"][rows], start, stop, found["centroids"][rows])


def statistics_scipy(array: Any) -> dict[str, np.ndarray]:
    ndimage = importlib.import_module("scipy.ndimage")
    numbers, names = module("fastremap").renumber(array[...], preserve_zero=False, in_place=True)
    boxes = ndimage.find_objects(numbers)
    counts = ndimage.sum_labels(np.True_, numbers, np.arange(1, len(boxes) + 1))
    means = ndimage.center_of_mass(
        np.broadcast_to(np.True_, numbers.shape), numbers, np.arange(1, len(boxes) + 1)
    )
    labels = np.zeros(len(boxes), dtype=array.dtype)
    labels[np.array(list(names.values())) - 1] = list(names.keys())
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
# Questions

Case = Callable[[Any, About], Any]


@dataclass
class Question:
    """Cases that take turns: ours, and the peers that give the same answer."""

    ours: dict[str, Case]
    peers: dict[str, Case]


def questions() -> list[Question]:
    fastremap, cc3d, scipy = module("fastremap"), module("cc3d"), module("scipy")
    for name, found in {"fastremap": fastremap, "connected-components-3d": cc3d, "scipy": scipy}.items():
        if found is None:
            print(f"{name}: not installed")
    made = [
        Question(
            {
                "labels": lambda array, _: crackle_zarr.labels(array, parallel=1),
                "labels, verify=False": lambda array, _: crackle_zarr.labels(array, parallel=1, verify=False),
            },
            {"np.unique": lambda array, _: np.unique(array[...])},
        ),
        Question({"statistics": lambda array, _: crackle_zarr.statistics(array, parallel=1)}, {}),
        Question(
            {"find": lambda array, about: crackle_zarr.find(array, about.label, parallel=1).slices},
            {"==, any": lambda array, about: box_numpy(array, about.label)[0]},
        ),
        Question(
            {"crop": lambda array, about: crackle_zarr.crop(array, about.label, parallel=1).mask},
            {"==, any, cut": lambda array, about: crop_numpy(array, about.label)},
        ),
        Question({"remap": lambda array, about: crackle_zarr.remap(array, about.mapping, parallel=1)}, {}),
    ]
    if fastremap is not None:
        made[0].peers["fastremap.unique"] = lambda array, _: fastremap.unique(array[...])
        made[4].peers["fastremap.remap, write"] = lambda array, about: remap_fastremap(array, about.mapping)
        if cc3d is not None:
            made[1].peers["renumber, cc3d.statistics"] = lambda array, _: statistics_cc3d(array)
        if scipy is not None:
            made[1].peers["renumber, scipy.ndimage"] = lambda array, _: statistics_scipy(array)
    return made


def same(a: Any, b: Any) -> bool:
    """Whether two answers are one; of centroids, to what sums of floats are good for."""
    if isinstance(a, np.ndarray) and a.dtype.names:
        rows = np.isin(a["label"], b["label"])  # renumber and cc3d keep 0, SciPy counts from 1
        return all(
            np.allclose(a[name][rows], b[name], rtol=1e-5)
            if name == "centroid"
            else np.array_equal(a[name][rows], b[name])
            for name in ("label", "voxel_count", "start", "stop", "centroid")
        ) and bool(rows.sum() >= len(rows) - 1)
    return np.array_equal(a, b)


def turns(case: Case, array: Any, about: About) -> Callable[[], Any]:
    """A case that can be measured again and again: the next remap undoes the one before."""
    there_and_back = [about, About(about.label, about.back)]

    def run() -> Any:
        there_and_back.reverse()
        return case(array, there_and_back[1])

    return run


def stored_nbytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def share_read(path: Path, case: Case, about: About, scratch: Path) -> float:
    """Per cent of the stored bytes that a question reads: of a remap, with what it reads of its journal."""
    shutil.copytree(path, scratch)
    store = CountingStore(LocalStore(scratch))
    array = zarr.open_array(store, mode="r+")
    nbytes = stored_nbytes(scratch)
    store.reset()
    case(array, about)
    shutil.rmtree(scratch)
    return 100 * store.nbytes / max(1, nbytes)


def measured(folder: Path, about: About, repeats: int) -> dict[str, Any]:
    """Seconds, ratios and bytes of all questions."""
    ours = zarr.open_array(folder / "crackle.zarr", mode="r+")
    theirs = zarr.open_array(folder / "default.zarr", mode="r+")
    results: dict[str, Any] = {}
    for question in questions():
        cases = {name: turns(case, ours, about) for name, case in question.ours.items()}
        cases |= {name: turns(case, theirs, about) for name, case in question.peers.items()}
        if "remap" not in question.ours:
            answers = {name: case() for name, case in cases.items()}
            for name in question.ours:
                for peer in question.peers:
                    if not same(answers[name], answers[peer]):
                        raise SystemExit(f"{name}: not what {peer} says")
            del answers
        seconds = interleaved(cases, repeats)
        for name, case in question.ours.items():
            if name == "remap":
                if not np.array_equal(ours[...], theirs[...]) and question.peers:
                    raise SystemExit("remap: the arrays differ")
                if repeats % 2:  # the labels have their new names now
                    for again in cases.values():
                        again()
            ratios = {peer: seconds[peer] / seconds[name] for peer in question.peers}
            results[name] = {
                "seconds": {name: seconds[name]} | {peer: seconds[peer] for peer in question.peers},
                "ratios": ratios,
                "fastest": min(ratios, key=ratios.__getitem__, default=None),
                "per_cent_read": share_read(folder / "crackle.zarr", case, about, folder / "counted.zarr"),
            }
        print(f"{', '.join(question.ours)}: done", file=sys.stderr)
    return results


# ---------------------------------------------------------------------------------------
# Memory: each question in a process of its own

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import stored
stored.child(*sys.argv[2:])
"""


def kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def child(path: str, name: str, about: str, allowed: str) -> None:
    """Ask one question, with no more memory than allowed, and print the peak beyond the start as JSON."""
    import resource

    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    cases = {
        name: case for question in questions() for name, case in (question.ours | question.peers).items()
    }
    cases["array[...]"] = lambda array, _: array[...]
    # What is loaded once, is loaded by a small array.
    small = About(1, {1: 3})
    crackle = crackle_zarr.create_array({}, data=np.arange(512, dtype="u4").reshape(8, 8, 8) // 256)
    first = crackle if Path(path).name != "default.zarr" else zarr.create_array({}, data=crackle[...])
    cases[name](first, small)
    array = zarr.open_array(path, mode="r+")
    if int(allowed):
        resource.setrlimit(resource.RLIMIT_DATA, (int(allowed) * 2**20,) * 2)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = kib("VmRSS")
    fields = json.loads(about)
    try:
        answer = cases[name](array, About(fields[0], {int(old): new for old, new in fields[1].items()}))
    except MemoryError:
        print(json.dumps([None, None]))
        return
    peak = (kib("VmHWM") - before) / 1024
    if name == "labels":
        told = answer.tolist()
    elif name == "statistics":
        told = [answer["label"].tolist(), answer["voxel_count"].tolist()]
    else:
        told = len(answer.chunks) if name == "remap" else None
    print(json.dumps([peak, told]))


def in_child(path: Path, name: str, about: About, allowed: int = 0) -> tuple[float | None, Any]:
    command = [sys.executable, "-P", "-c", CHILD, str(Path(__file__).parent), str(path), name]
    command += [json.dumps([about.label, about.mapping]), str(allowed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    peak, told = json.loads(done.stdout.splitlines()[-1])
    return peak, told


def peaks(folder: Path, about: About) -> dict[str, float]:
    """Peak MiB of ours and of the peers on the volume itself; a remap is undone by another."""
    found: dict[str, float] = {}
    for question in questions():
        for names, store in ((question.ours, "crackle.zarr"), (question.peers, "default.zarr")):
            for name in names:
                peak, _ = in_child(folder / store, name, about)
                assert peak is not None
                found[name] = peak
                if "remap" in name:
                    in_child(folder / store, name, About(about.label, about.back))
    return found


def larger_than_memory(folder: Path, volume: np.ndarray, about: About) -> dict[str, Any]:
    """Questions to an array that is larger than the memory that their process may have."""
    depth = volume.shape[0]
    shape = (depth * TIMES_AS_LARGE, *volume.shape[1:])
    array = crackle_zarr.create_array(
        LocalStore(folder / "large.zarr"), shape=shape, dtype=volume.dtype, chunks=chunks_for(volume)
    )
    for turn in range(TIMES_AS_LARGE):
        array[turn * depth : (turn + 1) * depth] = volume
    allowed = ALLOWED_MIB if array.nbytes > ALLOWED_MIB * 2**20 else 0
    labels, counts = np.unique(volume, return_counts=True)
    results: dict[str, Any] = {"array_mib": array.nbytes / 2**20, "allowed_mib": allowed}
    expected = {
        "labels": labels.tolist(),
        "statistics": [labels.tolist(), (counts * TIMES_AS_LARGE).tolist()],
        "crop": None,
        "remap": None,
        "array[...]": None,
    }
    for name, right in expected.items():
        peak, told = in_child(folder / "large.zarr", name, about, allowed)
        if right is not None and told != right:
            raise SystemExit(f"{name} of the large array is wrong")
        results[name] = peak
    new = np.array([about.mapping.get(label, label) for label in labels.tolist()])
    if not np.array_equal(crackle_zarr.labels(array), np.sort(new)):
        raise SystemExit("remap of the large array is wrong")
    return results


# ---------------------------------------------------------------------------------------


def chunks_for(volume: np.ndarray) -> tuple[int, ...]:
    return tuple(map(min, CHUNKS, volume.shape))


def main() -> None:
    arguments: argparse.Namespace = parser(__doc__.splitlines()[0]).parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    about = About.of(volume, chunks_for(volume))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
            keywords = {"shape": volume.shape, "dtype": volume.dtype, "chunks": chunks_for(volume)}
            crackle_zarr.create_array(LocalStore(folder / "crackle.zarr"), **keywords)[...] = volume
            zarr.create_array(LocalStore(folder / "default.zarr"), **keywords)[...] = volume
            found = measured(folder, about, arguments.repeats)
        nbytes = {kind: stored_nbytes(folder / f"{kind}.zarr") for kind in ("crackle", "default")}
        label = {"voxels": about.voxels, "chunks": about.chunks}
        results: dict[str, Any] = {"questions": found, "label": label, "stored_nbytes": nbytes}
        if Path("/proc/self/clear_refs").exists():
            results["peak_mib"] = peaks(folder, about)
            results["large"] = larger_than_memory(folder, volume, about)
    tell(volume, results, arguments.repeats)
    save(arguments.json, results)


def tell(volume: np.ndarray, results: dict[str, Any], repeats: int) -> None:
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
    print(told(volume, repeats))
    print(f"{nbytes['crackle']:,} bytes with Crackle, {nbytes['default']:,} with Zarr's default")
    label = results["label"]
    print(f"find and crop: a label of {label['voxels']:,} voxels in {label['chunks']} chunks")
    columns = ["", "peer", "ms", "ours is x times as fast", "of stored bytes read", "peak, MiB"]
    show("*: the fastest peer, which counts", columns, rows)
    show("Against the aims", ["aim", "measured", ""], aims)
    if "large" in results:
        large = dict(results["large"])
        title = f"Peak, MiB, of questions to an array of {large.pop('array_mib'):,.0f} MiB"
        allowed = large.pop("allowed_mib")
        title += f" in processes that may have {allowed:,}" if allowed else ", without a limit"
        cells = {name: "MemoryError" if value is None else f"{value:,.0f}" for name, value in large.items()}
        show(title, ["", "beyond the start"], [list(cell) for cell in cells.items()])


if __name__ == "__main__":
    main()
