"""How fast are operations on one stream, and on one array, against crackle-codec, cc3d, fastremap and NumPy?

One thread, but where a row says two; one run. Each package reads a stream that it has written with its
default options; or all read the same array. Contacts of a stored array are also those of its voxels: in
memory, or read first. All answers are compared.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from _common import describe_run, interleaved, load, parser, save, show

import crackle_zarr

# The least speed of each operation, as a multiple of the peer's.
AIMS = {
    "voxel_counts": 3,
    "bounding_boxes": 3,
    "centroids": 3,
    "point_cloud": 3,
    "contacts": 3,
    "mode_pooling_2x2x1": 3,
    "voxel_connectivity_graph": 3,
    "connected_components, 26": 2,
    "connected_components, 6": 2,
    "dust": 10,
    "connected_components of a stored array, two threads": 2 / 1.2,
    "labels of an array": 1,
    "statistics of an array": 2,
    "statistics of an array, skimage": 2,
}


class Case(NamedTuple):
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    same: Callable[[Any, Any], bool]


def close(ours: dict[int, np.ndarray], theirs: dict[int, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(np.allclose(ours[name], theirs[name]) for name in ours)


def same_volume(ours: bytes, theirs: bytes) -> bool:
    return crackle_zarr.array_equal(ours, theirs)


def same_clouds(ours: dict[int, np.ndarray], theirs: dict[int, np.ndarray]) -> bool:
    """Whether a few labels have the same voxels.

    The peer lists some voxels twice, and also voxels that differ from a neighbour only across an edge.
    """
    few = sorted(ours)[:: max(1, len(ours) // 20)]
    return ours.keys() == theirs.keys() and all(
        len(np.unique(np.concatenate([ours[label], theirs[label]]), axis=0))
        == len(np.unique(theirs[label], axis=0))
        for label in few
    )


def same_graph(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Inside the outermost voxels: there, the peer's bits depend on its crack format."""
    inside = (slice(1, -1),) * 3
    return np.array_equal(ours[inside], theirs[inside])


def same_components(ours: bytes, theirs: np.ndarray) -> bool:
    """Up to numbering: each number is in exactly one pair of overlapping components."""
    pairs = crackle_zarr.overlaps(ours, crackle_zarr.compress(theirs))
    return len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})


def cases(volume: np.ndarray) -> dict[str, Case]:
    binary = crackle_zarr.compress(volume)
    found = {}
    try:
        crackle = importlib.import_module("crackle")
        stream = crackle.compress(volume, parallel=1)
        for name, same in {
            "voxel_counts": dict.__eq__,
            "bounding_boxes": dict.__eq__,
            "centroids": close,
            "point_cloud": same_clouds,
            "contacts": dict.__eq__,
            "mode_pooling_2x2x1": same_volume,
            "voxel_connectivity_graph": same_graph,
        }.items():
            found[name] = Case(
                "crackle-codec",
                lambda name=name: getattr(crackle_zarr, name)(binary, parallel=1),
                lambda name=name: getattr(crackle, name)(stream, parallel=1),
                same,
            )
    except ImportError:
        print("crackle-codec: not installed")
    try:
        cc3d = importlib.import_module("cc3d")
        for connectivity in (26, 6):
            found[f"connected_components, {connectivity}"] = Case(
                "cc3d",
                lambda n=connectivity: crackle_zarr.connected_components(binary, n),
                lambda n=connectivity: cc3d.connected_components(volume, connectivity=n),
                same_components,
            )
    except ImportError:
        print("cc3d: not installed")
    found |= of_arrays(volume)
    found |= of_stored_arrays(volume)
    found |= of_components(volume, binary)
    middle = volume.shape[2] // 2
    pieces = crackle_zarr.zsplit(binary, middle)
    mapping = {int(label): int(label) + 1 for label in crackle_zarr.labels(binary)[:-1:50]}
    for name, ours in {
        "zsplit": lambda: crackle_zarr.zsplit(binary, middle),
        "zstack": lambda: crackle_zarr.zstack(pieces),
        "remap": lambda: crackle_zarr.remap(binary, mapping, preserve_missing_labels=True),
    }.items():
        found[name] = Case(
            "copying the bytes", ours, lambda: bytes(bytearray(binary)), lambda ours, theirs: True
        )
    return found


def of_arrays(volume: np.ndarray) -> dict[str, Case]:
    """Questions to an array in memory, which is no stream."""
    found = {}

    def ours_labels() -> np.ndarray:
        return crackle_zarr.labels(volume, parallel=1)

    found["labels of an array, NumPy"] = Case("np.unique", ours_labels, lambda: np.unique(volume), same_array)
    try:
        fastremap = importlib.import_module("fastremap")
        found["labels of an array"] = Case(
            "fastremap.unique", ours_labels, lambda: fastremap.unique(volume), same_array
        )
    except ImportError:
        print("fastremap: not installed")

    # cc3d makes rows for all numbers up to the largest label, and refuses labels above the number of voxels.
    _, numbers = np.unique(volume, return_inverse=True)
    renamed = numbers.reshape(volume.shape).astype(np.uint32)

    def ours() -> np.ndarray:
        return crackle_zarr.statistics(renamed, parallel=1)

    try:
        cc3d = importlib.import_module("cc3d")
        found["statistics of an array"] = Case(
            "cc3d.statistics", ours, lambda: cc3d.statistics(renamed), same_statistics
        )
    except ImportError:
        print("cc3d: not installed")
    try:
        measure = importlib.import_module("skimage.measure")
        shifted = renamed + np.uint32(1)  # 0 is no region there
        found["statistics of an array, skimage"] = Case(
            "regionprops_table",
            ours,
            lambda: measure.regionprops_table(shifted, properties=("label", "area", "bbox", "centroid")),
            lambda ours, theirs: ours["voxel_count"].tolist() == theirs["area"].tolist(),
        )
    except ImportError:
        print("scikit-image: not installed")
    return found


def of_stored_arrays(volume: np.ndarray) -> dict[str, Case]:
    """Contacts across the chunks of a stored array, of 64 voxels along each axis and of 128."""
    found = {}
    try:
        cc3d = importlib.import_module("cc3d")
    except ImportError:
        print("cc3d: not installed")
        return found
    for edge in (64, 128):
        array = crackle_zarr.create_array({}, data=volume.T, chunks=(edge,) * 3)
        peers = {"cc3d.contacts": lambda: volume}
        if edge == 64:
            peers["reading, cc3d.contacts"] = lambda array=array: array[...]
        for peer, voxels in peers.items():
            name = f"contacts of a stored array, chunks of {edge}^3"
            found[name if peer == "cc3d.contacts" else f"{name}, read first"] = Case(
                peer,
                lambda array=array: crackle_zarr.contacts(array, parallel=1),
                lambda voxels=voxels: cc3d.contacts(voxels(), connectivity=6),
                same_contacts,
            )
    return found


def of_components(volume: np.ndarray, binary: bytes) -> dict[str, Case]:
    """Dust, and components and overlaps of stored arrays in chunks of 64 x 256 x 256."""
    found = {}
    array = crackle_zarr.create_array({}, data=volume.T, chunks=(64, 256, 256))
    try:
        cc3d = importlib.import_module("cc3d")
        found["dust"] = Case(
            "cc3d.dust",
            lambda: crackle_zarr.dust(binary, 100),
            lambda: cc3d.dust(volume, threshold=100, connectivity=26),
            lambda ours, theirs: np.array_equal(crackle_zarr.decompress(ours), theirs),
        )
        found["connected_components of a stored array, two threads"] = Case(
            "cc3d, one thread, in memory",
            lambda: crackle_zarr.connected_components(array, out={}, parallel=2),
            lambda: cc3d.connected_components(volume, connectivity=26),
            lambda ours, theirs: same_components(crackle_zarr.compress(ours.array[...].T), theirs),
        )
    except ImportError:
        print("cc3d: not installed")
    try:
        metrics = importlib.import_module("skimage.metrics")
        # scikit-image makes a table with a row for each number up to the largest.
        _, numbers = np.unique(volume, return_inverse=True)
        renamed = numbers.reshape(volume.shape)
        moved = np.roll(renamed, 3, axis=0)
        other = crackle_zarr.create_array({}, data=np.roll(volume, 3, axis=0).T, chunks=(64, 256, 256))
        found["metrics of two stored arrays"] = Case(
            "skimage, in memory",
            lambda: crackle_zarr.metrics(array, other, parallel=1).adapted_rand_error,
            lambda: metrics.adapted_rand_error(renamed, moved, ignore_labels=())[0],
            lambda ours, theirs: bool(np.isclose(ours, theirs)),
        )
    except ImportError:
        print("scikit-image: not installed")
    return found


def same_contacts(ours: crackle_zarr.ContactTable, theirs: dict[tuple[int, int], float]) -> bool:
    areas = ours.to_dict()
    return areas.keys() == theirs.keys() and all(
        np.isclose(area, theirs[pair]) for pair, area in areas.items()
    )


def same_array(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return np.array_equal(ours, theirs)


def same_statistics(ours: np.ndarray, theirs: dict[str, np.ndarray]) -> bool:
    return ours["voxel_count"].tolist() == theirs["voxel_counts"].tolist() and np.allclose(
        ours["centroid"], theirs["centroids"], rtol=1e-3
    )


CHILD = """
import sys
import numpy as np
from pathlib import Path

def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])

source = np.load(sys.argv[2])
if sys.argv[1] == "cc3d":
    import cc3d
    find_components = lambda: cc3d.connected_components(source)
else:
    import crackle_zarr
    stream = source.tobytes()
    find_components = lambda: crackle_zarr.connected_components(stream)
Path("/proc/self/clear_refs").write_text("5")        # the peak begins here
before = kib("VmRSS")
components = find_components()
print((kib("VmHWM") - before) / 1024)
"""


def memory(volume: np.ndarray) -> dict[str, float]:
    """Peak MiB of connected_components beyond its input, each in a fresh process."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        stream = np.frombuffer(crackle_zarr.compress(volume), dtype=np.uint8)
        for target, source in {"crackle_zarr": stream, "cc3d": volume}.items():
            path = f"{folder}/{target}.npy"
            np.save(path, source)
            child = [sys.executable, "-P", "-c", CHILD, target, path]
            done = subprocess.run(child, capture_output=True, text=True, check=False)
            if done.returncode == 0:  # else the peer is not installed
                found[target] = float(done.stdout)
    return found


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    table, results = [], {}
    for name, case in cases(volume).items():
        if not case.same(case.ours(), case.theirs()):
            raise SystemExit(f"{name}: the answer differs from that of {case.peer}")
        seconds = interleaved({"ours": case.ours, "theirs": case.theirs}, arguments.repeats)
        ratio = seconds["theirs"] / seconds["ours"]
        results[name] = {
            "peer": case.peer,
            "ours_s": seconds["ours"],
            "peer_s": seconds["theirs"],
            "ratio": ratio,
        }
        aim = AIMS.get(name)
        table.append(
            [
                name,
                f"{seconds['ours'] * 1e3:,.1f}",
                case.peer,
                f"{seconds['theirs'] * 1e3:,.1f}",
                f"{ratio:.2f}",
                "" if aim is None else f"{aim:.3g}" if ratio >= aim else f"{aim:.3g}: missed",
            ]
        )
    print(describe_run(volume, arguments.repeats))
    show("x: the speed as a multiple of the peer's in this run", ["", "ms", "peer", "ms", "x", "aim"], table)
    peaks = memory(volume)
    show(
        "Peak memory of connected_components (26) beyond its input, MiB; the aim is a quarter of cc3d's",
        ["", "MiB"],
        [[name, f"{mib:,.1f}"] for name, mib in peaks.items()],
    )
    save(arguments.json, {"operations": results, "connected_components_mib": peaks})


if __name__ == "__main__":
    main()
