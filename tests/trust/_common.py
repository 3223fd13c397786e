"""What the studies of trust share: a process's memory, tables, the machine, JSON; and the tests' helpers."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

# `volumes` and `reference` are helpers of the tests, a folder up.
sys.path.append(str(Path(__file__).resolve().parents[1]))

PACKAGES = ["crackle-zarr", "crackle-codec", "numpy", "numcodecs", "zarr"]


def parser(description: str, examples: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--seed", type=int, default=1, help="another seed, other accidents (default: 1)")
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results and the machine's description here"
    )
    return made


def machine() -> dict[str, Any]:
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    versions = {}
    for package in PACKAGES:
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


def memory(field: str) -> int:
    """Bytes of this process, as Linux counts them: VmRSS what is in memory, VmSize what is mapped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {field}")


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap() -> Callable[[], int] | None:
    """A function that says how many bytes malloc has given out; None where the C library cannot say."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    mallinfo2.restype = _Mallinfo2

    def in_use() -> int:
        told = mallinfo2()
        return int(told.uordblks + told.hblkhd)

    return in_use


def fill_numpys_cache() -> None:
    """Let NumPy keep all the memory that it ever keeps: a few free blocks of every size below 1 KiB.

    Arrays of random sizes fill this cache slowly, which would look like a leak.
    """
    for size in range(1, 1024):
        blocks = [np.empty(size, np.uint8) for _ in range(8)]
        del blocks


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=max(170, Console().width)).print(table)


def save(path: Path | None, results: dict[str, Any]) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
