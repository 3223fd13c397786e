"""Short forms of the studies in tests/trust, and checks that the studies find faults.

Their long forms are ``python tests/trust/corruption.py``, ``soak.py`` and ``leaks.py``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bindings
import numpy as np
import pytest

import crackle_zarr as cz

TRUST = Path(__file__).resolve().parents[1] / "trust"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they read Linux's /proc, and limit memory")


def run(*arguments: str | Path, code: int = 0) -> str:
    """The output of a script started as from a shell: its folder, which has its helpers, is on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=TRUST, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def results(path: Path) -> Any:
    output = json.loads(path.read_text())
    assert output["machine"]["packages"]["numpy"] == np.__version__
    return output["results"]


# ---------------------------------------------------------------------------------------
# Damage


@pytest.fixture(scope="module")
def corruption(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The verdicts on 2,000 damaged streams."""
    path = tmp_path_factory.mktemp("corruption") / "out.json"
    assert "┃" in run("corruption.py", "--cases", "2000", "--json", path)
    return results(path)


@pytest.mark.parametrize("version", ["version 1", "version 0"])
def test_damage_never_crashes(corruption: Any, version: str) -> None:
    """Every verdict is FormatError or voxels; no child crashed, hung, or met another exception."""
    output = corruption["crackle_zarr"][version]
    assert output["cases"] > 900
    assert all(row["cases"] > 100 for row in output["by_damage"].values())
    assert len(output["by_damage"]) == 5
    assert {"flat", "pins 1", "pins 2", "Markov 5", "relabelled", "crafted"} <= set(output["by_kind"])
    assert output["caught"] > 0.8 * output["cases"]
    assert output["crash"] == output["other error"] == output["over 2 s"] == 0


def test_damage_is_never_silent_in_version_1(corruption: Any) -> None:
    """Voxels from a stream with checksums are right; without checksums, not always."""
    assert corruption["crackle_zarr"]["version 1"]["wrong and silent"] == 0
    assert corruption["crackle_zarr"]["version 0"]["wrong and silent"] > 0


@pytest.mark.parametrize("version", ["version 1", "version 0"])
def test_damage_takes_no_memory(corruption: Any, version: str) -> None:
    """No claim of a damaged header makes the decoder exhaust memory."""
    assert corruption["crackle_zarr"][version]["over 1 GiB"] == 0


def test_a_case_can_be_looked_at_again(corruption: Any, tmp_path: Path) -> None:
    """A case can be repeated by its number, and its bytes can be saved."""
    number = corruption["crackle_zarr"]["version 0"]["first_numbers"]["wrong and silent"][0]
    output = run(
        "corruption.py", "--only", str(number), "--write", tmp_path / "out.ckl", "--json", tmp_path / "out"
    )
    case = results(tmp_path / "out")
    assert case["crackle_zarr"].startswith("wrong and silent")
    assert case["damage"] in output
    damaged = (tmp_path / "out.ckl").read_bytes()
    assert cz.header(damaged).format_version == 0
    assert cz.decompress(damaged).size > 0


FAULTS = """
import itertools, os, time
import _common, corruption, numpy as np

faults = {
    "crash": os.abort,
    "over 2 s": lambda: time.sleep(60),
    "over 1 GiB": lambda: bytearray(2**30 + 2**27),
    "other error": lambda: {}["no such key"],
    "wrong and silent": lambda: np.zeros((1, 2, 3)),
}
cases = corruption.Cases(1)
for expected, fault in faults.items():
    corruption._decoder = lambda library: (lambda stream: fault(), (corruption.cz.FormatError,))
    ((number, output),) = corruption.judged("crackle_zarr", cases, iter([7]), 1)
    assert (number, output.verdict) == (7, expected), output

def now_and_then(stream, turn=itertools.count()):
    if next(turn) % 3 == 2:
        os.abort()
    raise corruption.cz.FormatError("as is right")

corruption._decoder = lambda library: (now_and_then, (corruption.cz.FormatError,))
output = dict(corruption.judged("crackle_zarr", cases, iter(range(30)), 2))
assert sorted(output) == list(range(30))
assert {verdict.verdict for verdict in output.values()} == {"crash", "caught"}
"""


def test_the_study_of_damage_sees_faults() -> None:
    """A decoder that aborts, hangs, takes memory, raises or errs gets that verdict, and the study goes on."""
    run("-c", FAULTS)


# ---------------------------------------------------------------------------------------
# Load


@pytest.mark.parametrize("kind", ["plain", "sharded"])
def test_soak(kind: str, tmp_path: Path) -> None:
    """Two processes read, write, query and remap one array, and every answer is NumPy's."""
    options = ["--sharded"] if kind == "sharded" else []
    run("soak.py", "--workers", "2", "--operations", "80", *options, "--json", tmp_path / "out.json")
    output = results(tmp_path / "out.json")
    assert output["wrong"] == []
    assert output["total_operations"] == 160
    assert all(output["operations"][name] > 0 for name in ("read", "write", "labels", "statistics", "remap"))


def load(name: str) -> Any:
    """A script as a module, which finds the helpers in its folder."""
    sys.path.insert(0, str(TRUST))
    try:
        spec = importlib.util.spec_from_file_location(f"trust_{name}", TRUST / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TRUST))
        sys.modules.pop("_common", None)  # other folders have a module of this name
    return module


def test_the_soak_sees_faults(tmp_path: Path) -> None:
    """A voxel that differs from the model's is found by a reader, and at the end."""
    soak = load("soak")
    soak.populate(tmp_path, sharded=False)
    worker = soak.Worker(tmp_path, "1 0")
    for _ in range(10):
        worker.step()
    assert soak.compared_at_the_end(tmp_path) == []
    worker._array[...] = 12345
    for name in ("read", "read_strided", "read_orthogonal", "labels", "statistics", "lazy_remap"):
        with pytest.raises(soak.WrongError):
            getattr(worker, name)()
    assert len(soak.compared_at_the_end(tmp_path)) == 2


def test_the_soak_sees_growing_memory() -> None:
    """A megabyte every few seconds is growth; memory taken by a new process is not."""
    soak = load("soak")

    def output(size: Any) -> list[str]:
        samples = [(0.25 * i, int(size(i) * 2**20), 0) for i in range(400)]
        report = soak.Report(soak.Counter(read=1000), samples, 0.0)
        return list(soak.grown({"memory": [soak.memory([report])]}))

    assert output(lambda i: 60 + i / 10) != []
    assert output(lambda i: 60 + min(i, 80)) == []


# ---------------------------------------------------------------------------------------
# Leaks


@pytest.fixture
def heap() -> None:
    if load("leaks")._common.heap() is None:
        pytest.skip("this C library does not say what is in use")


@pytest.mark.usefixtures("heap")
def test_nothing_leaks(tmp_path: Path) -> None:
    """The heap has its former size after 300 chunks; all exported C functions were called."""
    run("leaks.py", "--chunks", "300", "--json", tmp_path / "out.json")
    output = results(tmp_path / "out.json")
    assert not output["leaks"]
    assert output["never_refused"] == []
    functions = output["functions"]
    lib = bindings.lib
    assert set(functions) == {name for name in dir(lib) if name.startswith("crackle_")}
    fail = {name for name, outcomes in functions.items() if "failed" in outcomes}
    assert {
        "crackle_decode",
        "crackle_stack",
        "crackle_relabel",
        "crackle_surface",
        "crackle_joiner_next",
    } <= fail


@pytest.mark.usefixtures("heap")
def test_a_leak_is_seen(tmp_path: Path) -> None:
    """One leaked stream per chunk is found, with the operation that leaks it."""
    run("leaks.py", "--chunks", "24", "--leak", "--json", tmp_path / "out.json", code=1)
    output = results(tmp_path / "out.json")
    assert output["leaks"]
    assert next(iter(output["stays_by_operation"])) == "a leak on purpose"
    assert output["grown"]["bytes_in_use"] > 24 * 100
