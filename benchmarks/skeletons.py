"""How much faster than Kimimaro are skeletons, how much memory do they take, and are they the same?

Each call is made in a process of its own, so that its peak of memory can be read (Linux); cases take turns.

- crop: the middle 256^3 voxels of the volume (512^3 with --large), with the parameters of Kimimaro's README,
  from voxels and from a stream, on one thread and on two. Totals are compared, and labels one by one.
- stages: the time of each stage of the crop, and of the whole 512^3 volume, on one thread.
- dendrite: a thin branch with spines in a large box, made as a stream slice by slice and never as voxels, of
  775 x 4,750 x 100 voxels (3,100 x 19,000 x 400 with --large). Kimimaro needs minutes and gigabytes for the
  smaller one: --slow.
- sizes: time per voxel of components from 10^3 to 10^7 voxels.
- postprocess: skeletons of up to a million vertices with loops, ticks, dust and gaps.
- tiles: the whole volume as a Zarr array, by tiles on two processes, against the same volume in memory on one
  thread: time, trees, and lengths label by label; and single labels from the chunks that hold them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _common import load, machine, parser, save, show
from _volumes import dendrite, jacks
from stages import build as build_program

import crackle_zarr
from crackle_zarr.skeletons.objects import find_objects

OURS, THEIRS = "crackle_zarr", "kimimaro"
PARTS = ("crop", "stages", "dendrite", "sizes", "postprocess", "tiles")
SPACING = (16, 16, 40)
PARAMETERS = {
    "scale": 1.5,
    "const": 300,
    "pdrf_scale": 100000,
    "pdrf_exponent": 4,
    "soma_acceptance_threshold": 3500,
    "soma_detection_threshold": 750,
    "soma_invalidation_const": 300,
    "soma_invalidation_scale": 2,
    "max_paths": 300,
}

# One thread against Kimimaro's, two threads against one, and MiB beyond the input.
AIM_SPEED, AIM_THREADS, AIM_MIB = 10, 1.7, 350
# Bytes per voxel of a thin object, beyond its stream.
AIM_THIN = 40
# The slowest size per voxel against the fastest, from 10^4 voxels on.
AIM_FLAT = 3

# Tiles on two processes against half the time of the volume in memory; a label of some chunks, in seconds.
AIM_TILES, AIM_LABEL = 1.3, 1.0
# The median over labels of cable by tiles against cable in memory may differ from 1 by this.
AIM_CABLE = 0.02

# By how much totals may differ from Kimimaro's. Its own differ by up to 0.4, 0.4, 1.2 and 3.1 % between a
# volume and its mirror image, where nothing but ties is decided otherwise.
GATES = {"cable": 0.015, "vertices": 0.015, "ends": 0.03, "branches": 0.05}
MEDIAN_RATIO, RATIOS, EQUAL_ENDS = (0.995, 1.005), (0.90, 1.10), 0.80

# Jobs that the child understands; the last line that it prints is the result.
CHILD = """
import hashlib, json, sys, time, warnings
from pathlib import Path
import numpy as np

job = json.loads(sys.argv[1])
warnings.simplefilter("ignore")

def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])

if job["who"] == "kimimaro":
    import kimimaro as package
    from osteoid import Skeleton
else:
    import crackle_zarr.skeletons as package
    from crackle_zarr.skeletons import Skeleton

def skeletons_of(volume, **options):
    options = {"anisotropy": job["anisotropy"], "progress": False, **options}
    return package.skeletonize(volume, job["parameters"], **options)

def row(skeleton):
    made = len(skeleton.vertices), float(skeleton.cable_length())
    trees = len(skeleton.vertices) - len(skeleton.edges)
    return [*made, len(skeleton.terminals()), len(skeleton.branches()), trees]

small = np.zeros((24, 24, 24), np.uint32, order="F")
small[4:20, 8:16, 8:16] = 1
path = Path(job["path"])
if job["task"] == "postprocess":
    parts = np.load(path)
    given = Skeleton(parts["vertices"], parts["edges"], radii=parts["radii"], space="physical", segid=1)
    call = lambda: {1: package.postprocess(given, dust_threshold=100, tick_threshold=20)}
elif path.suffix == ".npy":
    given = np.load(path)
    skeletons_of(small, dust_threshold=0)
    call = lambda: skeletons_of(given, dust_threshold=job["dust"], parallel=job["threads"])
else:
    import crackle_zarr
    given = path.read_bytes()
    skeletons_of(crackle_zarr.compress(small), dust_threshold=0)
    call = lambda: skeletons_of(given, dust_threshold=job["dust"], parallel=job["threads"])

Path("/proc/self/clear_refs").write_text("5")        # the peak begins here
before = kib("VmRSS")
start = time.perf_counter()
made = call()
seconds = time.perf_counter() - start
mib = (kib("VmHWM") - before) / 1024
digest = hashlib.sha256()
for label in sorted(made):
    for part in (made[label].vertices, made[label].edges, made[label].radius):
        digest.update(np.ascontiguousarray(part).tobytes())
if job["task"] == "dendrite":
    np.save(job["vertices"], np.concatenate([made[label].vertices for label in made]))
rows = {str(label): row(made[label]) for label in made}
print(json.dumps({"seconds": seconds, "mib": mib, "digest": digest.hexdigest(), "labels": rows}))
"""


def run(**job: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD, json.dumps(job)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{job['who']}, {job['task']}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def turns(jobs: dict[str, dict[str, Any]], repeats: int, peer_repeats: int) -> dict[str, dict[str, Any]]:
    """Medians of the seconds and MiB of each job; the peer, which is slow, has fewer turns."""
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    order = random.Random(1)
    for turn in range(repeats):
        for name in order.sample(list(jobs), len(jobs)):
            if jobs[name]["who"] == OURS or turn < peer_repeats:
                made[name].append(run(**jobs[name]))
    return {
        name: {
            **results[0],
            **{key: statistics.median(r[key] for r in results) for key in ("seconds", "mib")},
        }
        for name, results in made.items()
    }


def totals(result: dict[str, Any]) -> dict[str, float]:
    names = ("vertices", "cable", "ends", "branches", "trees")
    columns = [*zip(*result["labels"].values(), strict=True)] or [()] * len(names)
    return {name: sum(column) for name, column in zip(names, columns, strict=True)}


def verdict(met: bool) -> str:
    return "met" if met else "missed"


# ---------------------------------------------------------------------------------------
# The crop


def middle(volume: np.ndarray, size: int) -> np.ndarray:
    """The middle of a volume, or all of it if it is smaller."""
    starts = [max(0, (n - size) // 2) for n in volume.shape]
    return np.asfortranarray(volume[tuple(slice(start, start + size) for start in starts)])


def crop(arguments: argparse.Namespace, volume: np.ndarray, folder: Path) -> dict[str, Any]:
    volume = middle(volume, 512 if arguments.large else 256)
    np.save(folder / "crop.npy", volume)
    (folder / "crop.ckl").write_bytes(crackle_zarr.compress(volume))
    common = {
        "task": "crop",
        "anisotropy": SPACING,
        "parameters": PARAMETERS,
        "dust": 1000 if volume.size > 10**6 else 100,
    }
    jobs = {
        f"{OURS}, {suffix}, {threads}": {
            **common,
            "who": OURS,
            "path": str(folder / f"crop.{ending}"),
            "threads": threads,
        }
        for suffix, ending in (("voxels", "npy"), ("stream", "ckl"))
        for threads in (1, 2)
    }
    if arguments.peer:
        jobs[THEIRS] = {**common, "who": THEIRS, "path": str(folder / "crop.npy"), "threads": 1}
    results = turns(jobs, arguments.repeats, arguments.peer_repeats)
    if len({result["digest"] for name, result in results.items() if name != THEIRS}) > 1:
        raise SystemExit("voxels and stream, or one thread and two, give different skeletons")
    one, peer = results[f"{OURS}, voxels, 1"], results.get(THEIRS)
    rows = []
    for name, result in results.items():
        ratio = f"{peer['seconds'] / result['seconds']:.2f}" if peer else ""
        sums = [f"{value:,.0f}" for value in totals(result).values()]
        rows.append([name, f"{result['seconds']:,.2f}", ratio, f"{result['mib']:,.0f}", *sums])
    columns = ["", "s", "x", "MiB", "vertices", "cable", "ends", "branches", "trees"]
    title = f"{volume.shape} {volume.dtype}; x: how many times as fast as {THEIRS}; MiB beyond the input"
    show(title, columns, rows)
    checks = [
        [
            "two threads, times as fast as one",
            one["seconds"] / results[f"{OURS}, voxels, 2"]["seconds"],
            AIM_THREADS,
        ],
    ]
    if peer:
        checks.insert(
            0, ["one thread, times as fast as Kimimaro", peer["seconds"] / one["seconds"], AIM_SPEED]
        )
    aims = [[name, f"{value:.2f}", str(aim), verdict(value >= aim)] for name, value, aim in checks]
    for source in ("voxels", "stream"):
        mib = results[f"{OURS}, {source}, 1"]["mib"]
        aims.append([f"MiB beyond the input, {source}", f"{mib:,.0f}", f"{AIM_MIB}", verdict(mib <= AIM_MIB)])
    show("Aims for connectomics, 256^3", ["", "measured", "aim", ""], aims)
    compared = compare(one, peer) if peer else {}
    return {
        "shape": volume.shape,
        "cases": {name: without_labels(result) for name, result in results.items()},
        "compared": compared,
    }


def without_labels(result: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": result["seconds"], "mib": result["mib"], **totals(result)}


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The same labels and trees, and the rest within the gates."""
    mine, their = totals(ours), totals(theirs)
    figures: dict[str, Any] = {}
    rows = []

    def gate(name: str, value: float, limits: str, met: bool) -> None:
        figures[name] = value
        rows.append([name, f"{value:,.4f}", limits, verdict(met)])

    same = ours["labels"].keys() == theirs["labels"].keys()
    gate(
        "labels that only one of the two has", len(ours["labels"].keys() ^ theirs["labels"].keys()), "0", same
    )
    gate("trees, difference", mine["trees"] - their["trees"], "0", mine["trees"] == their["trees"])
    for name, tolerance in GATES.items():
        ratio = mine[name] / their[name] if their[name] else 1.0
        gate(f"{name}, ratio", ratio, f"1 ± {tolerance}", abs(ratio - 1) <= tolerance)
    pairs = [
        (ours["labels"][k], theirs["labels"][k]) for k in ours["labels"].keys() & theirs["labels"].keys()
    ]
    if pairs:
        ratios = [mine[1] / max(their[1], 1e-9) for mine, their in pairs]
        low, median, high = np.percentile(ratios, [5, 50, 95])
        gate(
            "cable of a label, ratio, median",
            median,
            f"{MEDIAN_RATIO}",
            MEDIAN_RATIO[0] <= median <= MEDIAN_RATIO[1],
        )
        gate("cable of a label, ratio, 5 %", low, f"at least {RATIOS[0]}", low >= RATIOS[0])
        gate("cable of a label, ratio, 95 %", high, f"at most {RATIOS[1]}", high <= RATIOS[1])
        equal = float(np.mean([mine[2] == their[2] for mine, their in pairs]))
        gate("labels with as many ends", equal, f"at least {EQUAL_ENDS}", equal >= EQUAL_ENDS)
    show(f"Beside {THEIRS}", ["", "measured", "gate", ""], rows)
    return figures


# ---------------------------------------------------------------------------------------
# Stages


# What the stopwatch of skeleton_stages.c is put around.
WATCHED = (
    *("ck_border_targets", "ck_places_init", "ck_distance_field", "ck_geodesic_field", "ck_penalty_field"),
    *("ck_path_to_root", "ck_path_to_rail", "ck_invalidate"),
)
# The parameters in the order in which skeleton_stages.c reads them.
IN_ORDER = (
    *("scale", "const", "pdrf_scale", "pdrf_exponent", "soma_detection_threshold"),
    *("soma_acceptance_threshold", "soma_invalidation_scale", "soma_invalidation_const"),
)


def write_objects(objects: Any, path: Path) -> None:
    """What skeleton_stages.c reads."""
    runs = [objects.runs.of(number) for number in range(len(objects.labels))]
    begin = np.cumsum([0, *(len(one) for one in runs)])
    with path.open("wb") as file:
        np.array([*objects.shape, len(runs), *begin], np.uint64).tofile(file)
        np.array([*SPACING, *(PARAMETERS[name] for name in IN_ORDER)], np.float64).tofile(file)
        np.concatenate(runs).tofile(file)


def stages(volume: np.ndarray, folder: Path) -> dict[str, Any]:
    program = build_program(folder, *(f"-Wl,--wrap={name}" for name in WATCHED), source="skeleton_stages.c")
    found: dict[str, dict[str, float]] = {}
    for size in (256, 512):
        part = middle(volume, size)
        name = " x ".join(str(n) for n in part.shape)
        if name in found:  # the volume is small
            break
        start = time.perf_counter()
        stream = crackle_zarr.compress(part, preset="fast", parallel=1)
        middle_time = time.perf_counter()
        objects = find_objects(stream, None, 1000 if part.size > 10**6 else 100, 1)
        ended = time.perf_counter()
        seconds = {"voxels -> stream": middle_time - start, "stream -> runs of objects": ended - middle_time}
        write_objects(objects, folder / "objects")
        del objects, stream
        output = subprocess.run(
            [program, folder / "objects"], check=True, capture_output=True, text=True
        ).stdout
        for line in output.splitlines():
            stage, milliseconds = line.split("\t")
            seconds[stage] = float(milliseconds) / 1000
        found[name] = {"all": sum(seconds.values()), **seconds}
    rows = [
        [name, *(f"{column[name]:,.3f} s  {column[name] / column['all']:6.1%}" for column in found.values())]
        for name in next(iter(found.values()))
    ]
    show("Stages on one thread, without Python's part", ["", *found], rows)
    return found


# ---------------------------------------------------------------------------------------
# A thin object in a large box


def thin(arguments: argparse.Namespace, scale: float, folder: Path) -> dict[str, Any]:
    made = dendrite(scale)
    pieces = [crackle_zarr.compress(np.asfortranarray(image[:, :, np.newaxis])) for image in made.slices]
    stream = crackle_zarr.zstack(pieces)
    voxels = int(crackle_zarr.voxel_counts(stream)[1])
    (folder / "dendrite.ckl").write_bytes(stream)
    common = {
        "task": "dendrite",
        "anisotropy": (1, 1, 1),
        "parameters": {**PARAMETERS, "const": 20 * scale, "soma_detection_threshold": 1e9},
        "dust": 1000,
        "threads": 1,
    }
    jobs = {OURS: {**common, "who": OURS, "path": str(folder / "dendrite.ckl")}}
    if arguments.peer and arguments.slow:
        np.save(folder / "dendrite.npy", crackle_zarr.decompress(stream))
        jobs[THEIRS] = {**common, "who": THEIRS, "path": str(folder / "dendrite.npy")}
    for name, job in jobs.items():
        job["vertices"] = str(folder / f"{name}.vertices.npy")
    results = turns(jobs, arguments.repeats, arguments.peer_repeats)
    rows, figures = [], {}
    for name, result in results.items():
        sums = totals(result)
        offsets = distances(made.centres, np.load(jobs[name]["vertices"])) / made.radius
        bytes_per_voxel = result["mib"] * 2**20 / voxels
        figures[name] = {
            **without_labels(result),
            "ns_per_voxel": result["seconds"] / voxels * 1e9,
            "bytes_per_voxel": bytes_per_voxel,
            "off_centre_95": float(np.percentile(offsets, 95)),
        }
        rows.append(
            [
                name,
                f"{result['seconds']:,.2f}",
                f"{figures[name]['ns_per_voxel']:,.0f}",
                f"{result['mib']:,.0f}",
                f"{bytes_per_voxel:,.1f}",
                *[f"{sums[part]:,.0f}" for part in ("vertices", "ends", "branches", "trees")],
                f"{figures[name]['off_centre_95']:.3f}",
            ]
        )
    shape = " x ".join(f"{n:,}" for n in made.shape)
    title = (
        f"A dendrite with {made.spines} spines, {voxels:,} voxels in a box of {shape}, {len(stream):,} bytes "
        f"as a stream; the aim is {AIM_THIN} bytes a voxel.\n"
        "Off: the distance of 95 % of the true centre line, in radii"
    )
    show(
        title,
        ["", "s", "ns/voxel", "MiB", "bytes/voxel", "vertices", "ends", "branches", "trees", "off"],
        rows,
    )
    return {"shape": made.shape, "voxels": voxels, "stream": len(stream), "cases": figures}


def distances(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of others, which go along y as the points do."""
    to = to[np.argsort(to[:, 1])]
    found = []
    for some in np.array_split(points, max(1, len(points) // 500)):
        low, high = np.searchsorted(to[:, 1], [some[:, 1].min() - 200, some[:, 1].max() + 200])
        near = to[low:high] if high > low else to
        found.append(np.sqrt(np.square(some[:, np.newaxis] - near).sum(axis=-1).min(axis=-1)))
    return np.concatenate(found)


# ---------------------------------------------------------------------------------------
# Cost by size


def sizes(arguments: argparse.Namespace, most: int, folder: Path) -> dict[str, Any]:
    rows, figures = [], {}
    for power in range(3, 8):
        if 10**power > most:
            break
        volume, side = jacks(10**power, min(10**6, most))
        voxels = np.count_nonzero(volume)
        np.save(folder / "jacks.npy", volume)
        common = {
            "task": "sizes",
            "anisotropy": (1, 1, 1),
            "parameters": {**PARAMETERS, "const": side / 20, "soma_detection_threshold": 1e9},
            "dust": 100,
            "threads": 1,
            "path": str(folder / "jacks.npy"),
        }
        jobs = {OURS: {**common, "who": OURS}}
        if arguments.peer and power < 7:
            jobs[THEIRS] = {**common, "who": THEIRS}
        results = turns(jobs, arguments.repeats, arguments.peer_repeats)
        figures[power] = {name: result["seconds"] / voxels * 1e9 for name, result in results.items()}
        row = [f"10^{power}", f"{voxels:,}", f"{figures[power][OURS]:,.0f}"]
        row.append(f"{figures[power][THEIRS]:,.0f}" if THEIRS in jobs else "")
        rows.append(row)
    ours = [figure[OURS] for power, figure in figures.items() if power >= 4]
    show(
        "Time per voxel by the size of components"
        + (f"; slowest to fastest {max(ours) / min(ours):.2f}, aim {AIM_FLAT}" if ours else ""),
        ["voxels of a component", "voxels in all", "ns/voxel", f"{THEIRS}, ns/voxel"],
        rows,
    )
    return figures


# ---------------------------------------------------------------------------------------
# Postprocess


def tangle(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A graph of random walks of 500 vertices, as merged from chunks: with ticks, loops, dust, and gaps.

    Walks begin at a vertex of an earlier one; some begin beside it (a gap), some end at one (a loop), one in
    ten has three vertices (a tick).
    """
    rng = np.random.default_rng(seed)
    vertices, edges, made, ends = [], [], 0, [np.zeros(3)]
    numbers = [0]
    while made < count:
        length = 3 if rng.random() < 0.1 else 500
        parent = rng.integers(len(ends))
        begin = ends[parent] + (rng.normal(size=3) * 4 if rng.random() < 0.05 else 0)
        drift = rng.normal(size=3)
        steps = rng.normal(size=(length, 3)) * 0.4 + drift / np.linalg.norm(drift)
        walk = begin + steps.cumsum(axis=0)
        edges.append(
            np.stack([np.arange(made, made + length - 1), np.arange(made + 1, made + length)], axis=1)
        )
        if made and np.array_equal(begin, ends[parent]):
            edges.append(np.array([[numbers[parent], made]]))
        if made and rng.random() < 0.02:
            edges.append(np.array([[rng.integers(made), made + length - 1]]))
        vertices.append(walk)
        ends += [walk[length // 2], walk[-1]]
        numbers += [made + length // 2, made + length - 1]
        made += length
    points = np.concatenate(vertices).astype(np.float32)
    return {
        "vertices": points,
        "edges": np.concatenate(edges).astype(np.uint32),
        "radii": rng.uniform(1, 3, len(points)).astype(np.float32),
    }


def postprocessing(arguments: argparse.Namespace, most: int, folder: Path) -> dict[str, Any]:
    rows, figures = [], {}
    for count in (10**4, 10**5, 10**6):
        if count > most:
            break
        path = folder / f"tangle{count}.npz"
        np.savez(path, **tangle(count))
        jobs = {OURS: {"task": "postprocess", "who": OURS, "path": str(path)}}
        if arguments.peer and (count == 10**4 or (arguments.slow and count == 10**5)):
            jobs[THEIRS] = {"task": "postprocess", "who": THEIRS, "path": str(path)}
        results = turns(jobs, arguments.repeats, arguments.peer_repeats)
        figures[count] = {name: without_labels(result) for name, result in results.items()}
        for name, result in results.items():
            sums = totals(result)
            rows.append(
                [
                    f"{count:,}, {name}",
                    f"{result['seconds']:,.3f}",
                    f"{result['mib']:,.0f}",
                    *[f"{sums[part]:,.0f}" for part in ("vertices", "ends", "branches")],
                ]
            )
    show("postprocess", ["vertices", "s", "MiB", "vertices after", "ends", "branches"], rows)
    return figures


# ---------------------------------------------------------------------------------------
# Tiles


def tiles(arguments: argparse.Namespace, volume: np.ndarray, folder: Path) -> dict[str, Any]:
    is_small = volume.size < 10**6
    side = 16 if is_small else 64
    place = str(folder / "seg.zarr")
    crackle_zarr.create_array(
        place,
        data=volume.T,
        chunks=(side, side, side),
        dimension_names=("z", "y", "x"),
        attributes={"voxel_size": list(SPACING[::-1]), "voxel_unit": "nanometer"},
    )
    array = zarr.open_array(place, mode="r")
    parameters = {name: value for name, value in PARAMETERS.items() if name != "max_paths"}
    options = {"dust_threshold": 100 if is_small else 1000, "fix_borders": False, "progress": False}
    memory = 2**21 if is_small else 2**30
    seconds: dict[str, list[float]] = {"in memory": [], "by tiles": []}
    whole: dict[int, Any] = {}
    dataset: Any = None
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        whole = crackle_zarr.skeletons.skeletonize(volume, parameters, SPACING, parallel=1, **options)
        seconds["in memory"].append(time.perf_counter() - start)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
            # Processes that have begun, as a pool of a longer session has.
            list(executor.map(time.sleep, [0.5, 0.5]))
            start = time.perf_counter()
            dataset = crackle_zarr.skeletonize(
                array,
                parameters,
                executor=executor,
                out=folder / "skeletons",
                overwrite=True,
                memory=memory,
                **options,
            )
            seconds["by tiles"].append(time.perf_counter() - start)
    one, two = (statistics.median(seconds[name]) for name in ("in memory", "by tiles"))
    by_tiles = dataset.to_dict()
    if by_tiles.keys() != whole.keys():
        raise SystemExit("by tiles other labels have skeletons than in memory")
    ratios = [by_tiles[label].cable_length() / whole[label].cable_length() for label in whole]
    more = sum(len(by_tiles[label].components()) > len(whole[label].components()) for label in whole)
    alone = _single_labels(array, parameters, options, whole)
    cable = float(np.median(ratios))
    ratio = two / (one / 2)
    figures: dict[str, Any] = {
        "shape": volume.shape,
        "tile": dataset.plan["tiles"]["step"],
        "in memory, s": one,
        "by tiles on two processes, s": two,
        "against half the time in memory": ratio,
        "labels": len(whole),
        "labels with more trees": more,
        "median ratio of cables": cable,
        "ratios, 5 and 95 %": np.percentile(ratios, [5, 95]).tolist(),
        "total cable": sum(s.cable_length() for s in by_tiles.values())
        / sum(s.cable_length() for s in whole.values()),
        "ends": [sum(len(s.terminals()) for s in some.values()) for some in (by_tiles, whole)],
        "single labels": len(alone),
    }
    if alone:
        figures |= {"a label, median s": statistics.median(alone), "a label, longest s": max(alone)}
    rows = [[name, str(value)] for name, value in figures.items()]
    show("by tiles", ["", ""], rows)
    checks = [
        ["tiles on two processes, against half the time in memory", ratio, AIM_TILES, ratio <= AIM_TILES],
        ["labels with more trees than in memory", more, 0, more == 0],
        ["median of cables, off 1", abs(cable - 1), AIM_CABLE, abs(cable - 1) <= AIM_CABLE],
    ]
    if alone:
        longest = max(alone)
        checks.append(["a label of some chunks, longest s", longest, AIM_LABEL, longest < AIM_LABEL])
    show(
        "Aims for tiles",
        ["", "measured", "aim", ""],
        [[name, f"{value:.3g}", str(aim), verdict(met)] for name, value, aim, met in checks],
    )
    return figures


def _single_labels(
    array: Any, parameters: dict[str, Any], options: dict[str, Any], whole: dict[int, Any]
) -> list[float]:
    """Seconds of labels that lie in 2 to 12 chunks each, and are what they are in memory."""
    took = []
    for label in random.Random(0).sample(sorted(whole), min(len(whole), 200)):
        if not 2 <= len(crackle_zarr.find(array, label).chunks) <= 12:
            continue
        start = time.perf_counter()
        found = crackle_zarr.skeletonize(array, parameters, labels=[label], **options)
        took.append(time.perf_counter() - start)
        if found != {label: whole[label]}:
            raise SystemExit(f"label {label} alone has another skeleton than in the volume in memory")
        if len(took) == 15:
            break
    return took


def main() -> None:
    options = parser(__doc__ or "")
    options.set_defaults(repeats=3)
    options.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: all)")
    options.add_argument("--large", action="store_true", help="512^3, and the dendrite of 10^8 voxels")
    options.add_argument(
        "--slow", action="store_true", help="Kimimaro also where it needs minutes and gigabytes"
    )
    options.add_argument("--peer-repeats", type=int, default=1, help="repetitions of Kimimaro (default: 1)")
    arguments = options.parse_args()
    arguments.peer = importlib.util.find_spec(THEIRS) is not None
    if not arguments.peer:
        print(f"{THEIRS}: not installed")
    parts = arguments.parts.split(",")
    if unknown := {*parts} - {*PARTS}:
        raise SystemExit(f"--parts is some of {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    volume = load(arguments)
    small = volume.size < 10**6  # a trial of the script
    print(f"{machine()['cpu']}, medians of {arguments.repeats}; {THEIRS}: of {arguments.peer_repeats}")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "crop" in parts:
            results["crop"] = crop(arguments, volume, folder)
        if "stages" in parts:
            results["stages"] = stages(volume, folder)
        if "tiles" in parts:
            results["tiles"] = tiles(arguments, volume, folder)
        del volume
        if "dendrite" in parts:
            results["dendrite"] = thin(arguments, 0.2 if small else 4 if arguments.large else 1, folder)
        if "sizes" in parts:
            results["sizes"] = sizes(arguments, 10**4 if small else 10**7, folder)
        if "postprocess" in parts:
            results["postprocess"] = postprocessing(arguments, 10**4 if small else 10**6, folder)
    save(arguments.json, results)


if __name__ == "__main__":
    main()
