"""The benchmark scripts run to their end; their figures are not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of this tree")
@pytest.mark.parametrize("script", ["codec", "threads", "chunks", "memory", "stored", "operations"])
def test_script(script: str, tmp_path: Path) -> None:
    """Each script measures a small volume, prints tables, and writes its figures as JSON."""
    if script in ("memory", "stored", "operations") and not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is read from Linux's /proc")
    volume = np.arange(70 * 66 * 64, dtype=np.uint32).reshape(70, 66, 64) // 999
    np.save(tmp_path / "volume.npy", np.asfortranarray(volume))
    # As a person starts it: with the script's own folder on the path, where its helpers are.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [
            *(sys.executable, BENCHMARKS / f"{script}.py", "--volume", tmp_path / "volume.npy"),
            *("--repeats", "1", "--json", tmp_path / "out" / "figures.json"),
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert figures["machine"]["packages"]["numpy"] == np.__version__
    assert figures["results"]
