"""How long do meshes of a stored array take, and how much memory, against zmesh on the whole in memory?

Each call is made in a process of its own, so that its peak of memory can be read (Linux); cases take turns.
zmesh meshes the whole volume, which is in memory already, on one thread. The others read a Zarr array of
64^3 chunks, and mesh all labels by tiles: in memory, and as files for Neuroglancer, on one thread and on two.
All get the same triangles, whose number is compared. One label: the median label by voxels, against reading
the whole and meshing that.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _common import load, parser, save, show

import crackle_zarr

PEER = "zmesh"
# Bytes of a tile.
MEMORY = 2**28

CHILD = """
import json, sys, time, warnings
from pathlib import Path

job = json.loads(sys.argv[1])
warnings.simplefilter("ignore")

import numpy as np
import zarr
import zmesh
import crackle_zarr as cz

def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])

def by_zmesh(volume, labels=None):
    mesher = zmesh.Mesher((1, 1, 1))
    mesher.mesh(np.pad(volume, 1))
    wanted = mesher.ids() if labels is None else labels
    return {label: mesher.get(label, normals=False, reduction_factor=0) for label in wanted}

array = zarr.open_array(job["array"], mode="r")
cz.mesh(np.ones((3, 3, 3), np.uint8))
labels = job["labels"]
if job["who"] == "zmesh":
    if labels is None:
        volume = array[:].T
        call = lambda: by_zmesh(volume)
    else:
        call = lambda: by_zmesh(array[:].T, labels)
else:
    given = {"memory": job["memory"], "parallel": job["threads"], "out": job["out"]}
    call = lambda: cz.mesh(array, labels, **given)

Path("/proc/self/clear_refs").write_text("5")        # the peak begins here
before = kib("VmRSS")
start = time.perf_counter()
made = call()
seconds = time.perf_counter() - start
mib = (kib("VmHWM") - before) / 1024
faces = sum(len(mesh.faces) for mesh in made.values())
print(json.dumps({"seconds": seconds, "mib": mib, "faces": faces}))
"""


def run(**job: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD, json.dumps(job)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    volume = load(arguments)
    labels, counts = np.unique(volume[volume != 0], return_counts=True)
    middle = int(labels[np.argsort(counts)[len(counts) // 2]])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "seg.zarr"
        crackle_zarr.create_array(place, data=np.ascontiguousarray(volume.T), chunks=(64, 64, 64))
        common = {"array": str(place), "memory": MEMORY, "labels": None, "out": None, "threads": 1}
        cases: dict[str, dict[str, Any]] = {
            "all labels: zmesh, the whole in memory": {**common, "who": PEER},
            "all labels: tiles, 1 thread": {**common, "who": "crackle_zarr"},
            "all labels: tiles, 2 threads": {**common, "who": "crackle_zarr", "threads": 2},
            "all labels: tiles to files, 2 threads": {
                **common,
                "who": "crackle_zarr",
                "threads": 2,
                "out": "?",
            },
            "one label: zmesh, after reading the whole": {**common, "who": PEER, "labels": [middle]},
            "one label: from its chunks": {**common, "who": "crackle_zarr", "labels": [middle]},
        }
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
        order = random.Random(1)
        for turn in range(arguments.repeats):
            for name in order.sample(list(cases), len(cases)):
                job = dict(cases[name])
                if job["out"] is not None:
                    job["out"] = str(Path(folder) / f"meshes-{turn}")
                taken[name].append(run(**job))
    results = {
        name: {
            "seconds": statistics.median(one["seconds"] for one in runs),
            "mib": statistics.median(one["mib"] for one in runs),
            "faces": runs[0]["faces"],
        }
        for name, runs in taken.items()
    }
    rows = []
    for name, one in results.items():
        peer = next(results[other] for other in results if other.startswith(f"{name.split(':')[0]}: zmesh"))
        rows.append(
            [
                name,
                f"{one['seconds']:.2f}",
                f"{one['seconds'] / peer['seconds']:.2f}",
                f"{one['mib']:,.0f}",
                f"{one['faces']:,}",
            ]
        )
        if one["faces"] != peer["faces"]:
            raise SystemExit(f"{name}: {one['faces']:,} faces, and zmesh has {peer['faces']:,}")
    title = f"{' x '.join(map(str, volume.shape))} voxels, {len(labels):,} labels"
    show(title, ["", "s", "x zmesh", "MiB", "faces"], rows)
    save(arguments.json, results)


if __name__ == "__main__":
    main()
