"""What the benchmarks share: the volume, interleaved timing, the machine, tables and JSON."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

import crackle_zarr
from crackle_zarr.synthetic import neurons

Name = TypeVar("Name")

CONNECTOMICS = Path(__file__).resolve().parents[2] / "shared" / "data" / "connectomics.npy.ckl.gz"


def parser(description: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--volume",
        type=Path,
        help="a .npy or .ckl file, .gz or not (default: the connectomics volume, or else a synthetic one)",
    )
    made.add_argument("--crop", type=int, metavar="N", help="only the first N voxels of every axis")
    made.add_argument("--repeats", type=int, default=5, help="repetitions, interleaved (default: 5)")
    made.add_argument("--json", type=Path, help="write the results and the machine's description here")
    return made


def load(arguments: argparse.Namespace) -> np.ndarray:
    """The volume in F order, axes (x, y, z)."""
    path = arguments.volume or (CONNECTOMICS if CONNECTOMICS.exists() else None)
    if path is None:
        volume = neurons((128, 256, 256)).T
    elif ".npy" in path.suffixes and ".ckl" not in path.suffixes:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            volume = np.load(file, allow_pickle=False)
    else:
        volume = crackle_zarr.load(path)
    if arguments.crop:
        volume = volume[: arguments.crop, : arguments.crop, : arguments.crop]
    return np.asfortranarray(volume)


def interleaved(cases: dict[Name, Callable[[], object]], repeats: int) -> dict[Name, float]:
    """Median seconds of each case.

    The cases take turns, so that a slow minute hits all of them, in another order each time: what one leaves
    behind, such as memory in small pages, may cost the next.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in cases}
    order = random.Random(1)
    for _ in range(repeats):
        for name in order.sample(list(cases), len(cases)):
            start = time.perf_counter()
            result = cases[name]()
            seconds[name].append(time.perf_counter() - start)
            del result
    return {name: statistics.median(times) for name, times in seconds.items()}


def machine() -> dict[str, Any]:
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    packages = [
        "crackle-zarr",
        "crackle-codec",
        "numpy",
        "numcodecs",
        "zarr",
        "compresso",
        "compressed-segmentation",
        "connected-components-3d",
        "fastremap",
        "scipy",
    ]
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def told(volume: np.ndarray, repeats: int) -> str:
    """The line above the tables."""
    return f"{volume.shape} {volume.dtype}, {machine()['cpu']}, one thread, medians of {repeats}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.2f}"


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=max(150, Console().width)).print(table)


def save(arguments: argparse.Namespace, results: dict[str, Any]) -> None:
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
