"""How fast is decoding in WebAssembly, against the native library on one thread? On a chunk, in node."""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import numpy as np
from _common import describe_run, load, milliseconds, parser, save, show

import crackle_zarr

PROJECT = Path(__file__).resolve().parents[1]
CHUNK = (256, 256, 64)


def chunk_of(volume: np.ndarray) -> np.ndarray:
    """The chunk in the middle of a volume, which is smaller if the volume is."""
    places = []
    for have, want in zip(volume.shape, CHUNK, strict=True):
        start = max(0, have - want) // 2
        places.append(slice(start, start + want))
    return np.asfortranarray(volume[tuple(places)])


def built(folder: Path) -> Path:
    """A copy of the npm package with its module compiled; ends the script where a tool is missing."""
    if shutil.which("node") is None:
        sys.exit("There is no node: install Node.js 18 or later.")
    if importlib.util.find_spec("ziglang") is None:
        sys.exit("There is no compiler for WebAssembly: pip install ziglang.")
    copy = folder / "wasm"
    shutil.copytree(PROJECT / "wasm", copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    command = [sys.executable, copy / "build.py", "--csrc", PROJECT / "csrc"]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    return copy


def lines(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def turns(package: Path, volume: np.ndarray, stream: bytes, repeats: int) -> dict[str, float]:
    """Median seconds of native and of WebAssembly, which take turns."""
    file = package / "chunk.ckl"
    file.write_bytes(stream)
    out = np.empty_like(volume, order="F")
    seconds: dict[str, list[float]] = {"native": [], "WebAssembly": [], "decode() in JavaScript": []}
    with subprocess.Popen(
        ["node", str(package / "tests" / "speed.mjs"), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as node:
        answers, requests = lines(node.stdout), lines(node.stdin)
        if answers.readline().strip() != "ready":
            sys.exit("node ended before the first turn; its message is above")
        for _ in range(repeats):
            start = time.perf_counter()
            crackle_zarr.decompress(stream, parallel=1, out=out)
            seconds["native"].append(time.perf_counter() - start)
            requests.write("\n")
            module, whole = answers.readline().split()
            seconds["WebAssembly"].append(float(module) / 1e3)
            seconds["decode() in JavaScript"].append(float(whole) / 1e3)
        requests.close()
    assert np.array_equal(out, volume)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = chunk_of(load(arguments))
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        package = built(Path(folder))
        for preset in ("fast", "balanced"):
            stream = crackle_zarr.compress(volume, preset=preset)  # type: ignore[arg-type]
            results[preset] = turns(package, volume, stream, arguments.repeats)
    rows = [
        [preset, name, milliseconds(seconds), f"{seconds / figures['native']:.2f}"]
        for preset, figures in results.items()
        for name, seconds in figures.items()
    ]
    print(describe_run(volume, arguments.repeats))
    show("decode", ["preset", "", "ms", "x native"], rows)
    save(arguments.json, results)


if __name__ == "__main__":
    main()
