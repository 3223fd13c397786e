"""How much faster are questions to a stored array than reading it and computing? And how much is read?

The same volume is stored twice, in chunks of one shape: with Crackle, and with Zarr's default compressor. One
thread each. Every question is put to the first, and computed from the second with NumPy, fastremap,
cc3d or SciPy, whichever is fastest of those that are there; answers are compared.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _common import interleaved, load, parser, save, show
from zarr.storage import LocalStore

import crackle_zarr
from crackle_zarr.demo import CountingStore

CHUNKS = (64, 256, 256)
REMAPPED = 100
TIMES_AS_LARGE = 8
ALLOWED_MIB = 1024

AIMS = {
    "labels": (100, 20.0),
    "labels, verify=False": (100, 2.0),
    "statistics": (5, None),
    "crop of a small label": (10, None),
    "remap of 100 labels": (20, None),
}

# A process that may have no more than so much memory, asking an array that is larger.
CHILD = """
import json, resource, sys
import numpy as np
import zarr
import crackle_zarr
from pathlib import Path

path, question, allowed = sys.argv[1], sys.argv[2], int(sys.argv[3]) * 2**20
array = zarr.open_array(path, mode="r+")
first = zarr.create_array({}, shape=(1, 8, 8), dtype=array.dtype, serializer=crackle_zarr.CrackleCodec())
first[...] = 1
crackle_zarr.statistics(crackle_zarr.lazy_remap(first, {1: 2}))     # what is loaded once
if allowed:
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
Path("/proc/self/clear_refs").write_text("5")

def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])

before = kib("VmRSS")
answer = eval(question, {"array": array, "cz": crackle_zarr, "np": np})
print(json.dumps([(kib("VmHWM") - before) / 1024, str(answer)]))
"""


def stored(volume: np.ndarray, folder: Path) -> tuple[Any, Any]:
    keywords = {"shape": volume.shape, "dtype": volume.dtype}
    chunks = tuple(min(a, b) for a, b in zip(CHUNKS, volume.shape, strict=True))
    ours = crackle_zarr.create_array(LocalStore(folder / "crackle.zarr"), chunks=chunks, **keywords)
    theirs = zarr.create_array(LocalStore(folder / "default.zarr"), chunks=chunks, **keywords)
    ours[...] = volume
    theirs[...] = volume
    return ours, theirs


# ---------------------------------------------------------------------------------------
# Peers: from an array in memory to the answer


def unique_numpy(read: Callable[[], np.ndarray]) -> np.ndarray:
    return np.unique(read())


def unique_fastremap(read: Callable[[], np.ndarray]) -> np.ndarray:
    import fastremap

    return fastremap.unique(read())


def statistics_cc3d(read: Callable[[], np.ndarray]) -> int:
    import cc3d
    import fastremap

    numbers, _ = fastremap.renumber(read(), in_place=True)
    found = cc3d.statistics(numbers)
    return int((found["voxel_counts"] > 0).sum())


def statistics_scipy(read: Callable[[], np.ndarray]) -> int:
    import fastremap
    from scipy import ndimage

    numbers, _ = fastremap.renumber(read(), in_place=True)
    boxes = ndimage.find_objects(numbers)
    index = np.arange(1, len(boxes) + 1)
    counts = np.bincount(numbers.reshape(-1))
    ndimage.center_of_mass(numbers > 0, numbers, index)
    return len(counts)


def crop_numpy(read: Callable[[], np.ndarray], label: int) -> np.ndarray:
    mask = read() == label
    box = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        box.append(slice(hits[0], hits[-1] + 1))
    return mask[tuple(box)].copy()


def remap_fastremap(array: Any, mappings: list[dict[int, int]]) -> None:
    import fastremap

    mapping = mappings[0]
    mappings.reverse()
    array[...] = fastremap.remap(array[...], mapping, preserve_missing_labels=True, in_place=True)


def remap_ours(array: Any, mappings: list[dict[int, int]]) -> None:
    mapping = mappings[0]
    mappings.reverse()
    crackle_zarr.remap(array, mapping, parallel=1)


def there(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


# ---------------------------------------------------------------------------------------


def questions(volume: np.ndarray, ours: Any, theirs: Any) -> dict[str, dict[str, Callable[[], Any]]]:
    """Per question: ours first, then the peers."""
    table = crackle_zarr.statistics(ours)
    middle = table["label"][np.argsort(table["voxel_count"], kind="stable")[len(table) // 2]]
    label = int(middle)
    rng = np.random.default_rng(0)
    some = rng.choice(table["label"], size=min(REMAPPED, len(table)), replace=False).tolist()
    unused = np.setdiff1d(np.arange(1, 10 * len(table), dtype=volume.dtype), table["label"])[: len(some)]
    forward = dict(zip(some, unused.tolist(), strict=True))
    backward = {new: old for old, new in forward.items()}
    read = lambda: theirs[...]  # noqa: E731 - shorter than it could be said

    uniques: dict[str, Callable[[], Any]] = {"np.unique": lambda: unique_numpy(read)}
    stats: dict[str, Callable[[], Any]] = {}
    remaps: dict[str, Callable[[], Any]] = {}
    if there("fastremap"):
        uniques["fastremap.unique"] = lambda: unique_fastremap(read)
        mappings = [dict(forward), dict(backward)]
        remaps["fastremap.remap, write"] = lambda: remap_fastremap(theirs, mappings)
        if there("cc3d"):
            stats["cc3d.statistics"] = lambda: statistics_cc3d(read)
        if there("scipy"):
            stats["fastremap, scipy"] = lambda: statistics_scipy(read)
    own = [dict(forward), dict(backward)]
    return {
        "labels": {"ours": lambda: crackle_zarr.labels(ours, parallel=1), **uniques},
        "labels, verify=False": {
            "ours": lambda: crackle_zarr.labels(ours, parallel=1, verify=False),
            **uniques,
        },
        "statistics": {"ours": lambda: crackle_zarr.statistics(ours, parallel=1), **stats},
        "find a small label": {
            "ours": lambda: crackle_zarr.find(ours, label, parallel=1).slices,
            "==, any": lambda: crop_numpy(read, label),
        },
        "crop of a small label": {
            "ours": lambda: crackle_zarr.crop(ours, label, parallel=1).mask,
            "==, any": lambda: crop_numpy(read, label),
        },
        "remap of 100 labels": {"ours": lambda: remap_ours(ours, own), **remaps},
    }


def share_read(folder: Path, question: str, label: int) -> float:
    """Per cent of the stored bytes that a question to the Crackle array reads."""
    store = CountingStore(LocalStore(folder / "crackle.zarr", read_only=True))
    array = zarr.open_array(store, mode="r")
    stored_nbytes = sum(
        file.stat().st_size for file in (folder / "crackle.zarr" / "c").rglob("*") if file.is_file()
    )
    store.reset()
    if question == "labels":
        crackle_zarr.labels(array)
    elif question == "labels, verify=False":
        crackle_zarr.labels(array, verify=False)
    elif question == "statistics":
        crackle_zarr.statistics(array)
    elif question.startswith("find"):
        _ = crackle_zarr.find(array, label).slices
    elif question.startswith("crop"):
        crackle_zarr.crop(array, label)
    else:
        return float("nan")
    return 100 * store.nbytes / max(1, stored_nbytes)


def check(volume: np.ndarray, ours: Any) -> int:
    """The answers are right; returns the label of median size."""
    table = crackle_zarr.statistics(ours)
    labels, counts = np.unique(volume, return_counts=True)
    assert np.array_equal(crackle_zarr.labels(ours), labels)
    assert np.array_equal(crackle_zarr.labels(ours, verify=False), labels)
    assert np.array_equal(table["voxel_count"], counts)
    label = int(table["label"][np.argsort(table["voxel_count"], kind="stable")[len(table) // 2]])
    mask = crackle_zarr.crop(ours, label).mask
    assert np.array_equal(mask, crop_numpy(lambda: volume, label))
    return label


def memory(volume: np.ndarray, folder: Path) -> dict[str, Any]:
    """Peak memory of questions to an array that is larger than the memory that the process may have."""
    depth, times = volume.shape[0], TIMES_AS_LARGE
    chunks = tuple(min(a, b) for a, b in zip(CHUNKS, volume.shape, strict=True))
    shape = (depth * times, *volume.shape[1:])
    array = crackle_zarr.create_array(
        LocalStore(folder / "large.zarr"), shape=shape, dtype=volume.dtype, chunks=chunks
    )
    for turn in range(times):
        array[turn * depth : (turn + 1) * depth] = volume
    allowed = ALLOWED_MIB if array.nbytes > ALLOWED_MIB * 2**20 else 0
    old, new = int(volume.flat[0]), int(volume.max()) - 1
    peaks: dict[str, Any] = {"array_mib": array.nbytes / 2**20, "allowed_mib": allowed}
    for name, question in {
        "labels": "len(cz.labels(array))",
        "statistics": "len(cz.statistics(array))",
        "crop": f"cz.crop(array, {int(volume[0, 0, 0])}, region=np.s_[:{depth}]).mask.shape",
        "remap": f"len(cz.remap(array, {{{old}: {new}}}).chunks)",
    }.items():
        child = [sys.executable, "-P", "-c", CHILD, str(folder / "large.zarr"), question, str(allowed)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr}")
        peaks[name] = json.loads(done.stdout)[0]
    return peaks


def main() -> None:
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    results: dict[str, Any] = {}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
            ours, theirs = stored(volume, folder)
            label = check(volume, ours)
            for question, cases in questions(volume, ours, theirs).items():
                start = time.perf_counter()
                seconds = interleaved(
                    {case: functools.partial(run) for case, run in cases.items()}, arguments.repeats
                )
                share = share_read(folder, question, label)
                aim, most = AIMS.get(question, (None, None))
                ratios = {case: took / seconds["ours"] for case, took in seconds.items() if case != "ours"}
                results[question] = {"seconds": seconds, "ratios": ratios, "per_cent_read": share}
                for peer, ratio in ratios.items():
                    # The aim for labels is against NumPy, as users do it; the others against the fastest.
                    counts = peer == "np.unique" if "np.unique" in ratios else ratio == min(ratios.values())
                    rows.append(
                        [
                            question,
                            peer,
                            f"{seconds['ours'] * 1e3:,.1f}",
                            f"{seconds[peer] * 1e3:,.0f}",
                            f"{ratio:,.1f}",
                            f"{aim}" if aim is not None and counts else "",
                            "" if np.isnan(share) else f"{share:.1f} %",
                            "" if most is None else f"{most:.0f} %",
                        ]
                    )
                print(f"{question}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
            crackle = sum(f.stat().st_size for f in (folder / "crackle.zarr").rglob("*") if f.is_file())
            default = sum(f.stat().st_size for f in (folder / "default.zarr").rglob("*") if f.is_file())
        results["stored_nbytes"] = {"crackle": crackle, "default": default}
        columns = ["", "peer", "ours, ms", "read + peer, ms", "x", "aim", "of bytes read", "aim"]
        show(
            f"{volume.shape} {volume.dtype}: {crackle:,} bytes with Crackle, {default:,} without",
            columns,
            rows,
        )
        if Path("/proc/self/clear_refs").exists():
            peaks = memory(volume, folder)
            results["peak_mib"] = peaks
            title = f"Peak memory, MiB: an array of {peaks['array_mib']:,.0f} MiB"
            if peaks["allowed_mib"]:
                title += f", in processes that may have {peaks['allowed_mib']}"
            kinds = [kind for kind in peaks if not kind.endswith("_mib")]
            show(title, ["", "beyond the start"], [[kind, f"{peaks[kind]:,.0f}"] for kind in kinds])
    save(arguments, results)


if __name__ == "__main__":
    main()
