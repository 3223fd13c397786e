"""Helpers of the benchmarks.

The volume and interleaved timing; tables, the machine and JSON from report.py.
"""

from __future__ import annotations

import argparse
import gzip
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

import crackle_zarr
from crackle_zarr.synthetic import neurons

# report.py, which the studies in tests/trust use too.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from report import machine, save, show

__all__ = ["describe_run", "interleaved", "load", "machine", "milliseconds", "parser", "save", "show"]

Name = TypeVar("Name")

CONNECTOMICS = Path(__file__).resolve().parents[2] / "shared" / "data" / "connectomics.npy.ckl.gz"


def parser(description: str) -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(description=description)
    command.add_argument(
        "--volume",
        type=Path,
        help="a .npy or .ckl file, also as .gz (default: the connectomics volume, or else a synthetic one)",
    )
    command.add_argument("--crop", type=int, metavar="N", help="only the first N voxels of every axis")
    command.add_argument("--repeats", type=int, default=5, help="repetitions, interleaved (default: 5)")
    command.add_argument("--json", type=Path, help="write the results and a description of the machine here")
    return command


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


def interleaved(cases: dict[Name, Callable[[], object]], repeats: int, nbytes: int = 0) -> dict[Name, float]:
    """Median seconds of each case.

    The cases take turns, so that a slow minute affects all of them. The order changes each time, because a
    case may slow down the next one, for example by leaving memory in small pages.

    Args:
        cases: the calls.
        repeats: the number of turns.
        nbytes: the memory of a result. As much is filled and freed before every call. Otherwise, where a
            virtual machine has returned unused memory to its host, calls wait for the host: a second for
            1 GB, be they fast or slow.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in cases}
    order = random.Random(1)
    for _ in range(repeats):
        for name in order.sample(list(cases), len(cases)):
            np.ones(nbytes, np.uint8)
            start = time.perf_counter()
            result = cases[name]()
            seconds[name].append(time.perf_counter() - start)
            del result
    return {name: statistics.median(times) for name, times in seconds.items()}


def describe_run(volume: np.ndarray, repeats: int) -> str:
    """The line above the tables: volume, machine, and repetitions."""
    return f"{volume.shape} {volume.dtype}, {machine()['cpu']}, one thread, medians of {repeats}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.2f}"
