"""Shared by studies and benchmarks: tables, a description of the machine, and results as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = [
    "crackle-zarr",
    "crackle-codec",
    "numpy",
    "numcodecs",
    "zarr",
    "compresso",
    "compressed-segmentation",
    "connected-components-3d",
    "fastremap",
    "kimimaro",
    "scipy",
    "zmesh",
]


def machine() -> dict[str, Any]:
    """The processor and the versions of the packages compared; None for a package that is not installed."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    versions: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; its first column holds words, the others figures."""
    from rich.console import Console  # a study has many child processes, which print nothing
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=max(170, Console().width)).print(table)


def save(path: Path | None, results: dict[str, Any]) -> None:
    """Write the results and the machine's description to the file that the caller names, if any."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
