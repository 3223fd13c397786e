"""The benchmark scripts run to their end; their figures are not checked."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = [
    *("chunks", "codec", "density", "hard", "memory", "operations", "presets", "shapes", "sizes", "slice"),
    *(
        "components",
        "index",
        "meshes",
        "pyramid",
        "skeletons",
        "small",
        "stages",
        "stored",
        "threads",
        "wasm",
    ),
]

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of this tree")


def run(script: str, *arguments: str | Path) -> str:
    """The output of a script started as from a shell: its folder, which has its helpers, is on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["CFLAGS"] = "-O0"  # programs in C are compiled sooner
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{script}.py", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str, tmp_path: Path) -> None:
    """Each script measures a small volume, prints tables, and writes its figures as JSON."""
    if (
        script in ("components", "index", "memory", "meshes", "stored", "operations", "skeletons")
        and not Path("/proc/self/clear_refs").exists()
    ):
        pytest.skip("peak memory is read from Linux's /proc")
    if script == "wasm" and (shutil.which("node") is None or importlib.util.find_spec("ziglang") is None):
        pytest.skip("needs node, and ziglang, which compiles for it")
    if script == "meshes" and importlib.util.find_spec("zmesh") is None:
        pytest.skip("needs zmesh, with which it compares")
    volume = np.arange(70 * 66 * 64, dtype=np.uint32).reshape(70, 66, 64) // 999
    np.save(tmp_path / "volume.npy", np.asfortranarray(volume))
    figures_file, plot = tmp_path / "out" / "figures.json", tmp_path / "drawn" / "curves.png"
    arguments = ["--volume", tmp_path / "volume.npy", "--repeats", "1", "--json", figures_file]
    draws = script == "density" and importlib.util.find_spec("matplotlib") is not None
    assert "┃" in run(script, *arguments, *(["--plot", plot] if draws else []))
    figures = json.loads(figures_file.read_text())
    assert figures["machine"]["packages"]["numpy"] == np.__version__
    assert figures["results"]
    assert plot.exists() == draws


def test_aims(tmp_path: Path) -> None:
    """Measured figures are compared with the aims; the others are marked as not measured."""
    seconds = {"crackle_zarr": 1.0, "crackle-codec": 5.0, "zstd 3": 1.0}
    (tmp_path / "codec.json").write_text(json.dumps({"results": {"encode_s": seconds}}))
    rows = run("aims", "--results", tmp_path).splitlines()
    assert "| compress, times as fast as crackle-codec | at least 5 | 5.00 | met |" in rows
    assert "| compress, times as fast as zstd 3 | more than 1 | 1.00 | missed |" in rows
    assert sum("not measured" in row for row in rows) == len(rows) - 4
