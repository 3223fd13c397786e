"""How long does each stage of the codec take? Compiles ``stages.c`` with the library and runs it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from _common import describe_run, load, parser, save, show

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"


def build(folder: Path, *flags: str, source: str = "stages.c") -> Path:
    """Compile a program as the extension is compiled, with ``CC`` and ``CFLAGS``; returns its path."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    program = folder / Path(source).stem
    subprocess.run(
        [
            *(*compiler, "-std=c99", "-O3", *shlex.split(os.environ.get("CFLAGS", "")), *flags),
            *("-I", CSRC, "-o", program, HERE / source, *sorted(CSRC.glob("*/*.c")), "-lm"),
        ],
        check=True,
    )
    return program


def run(program: Path, volume: np.ndarray, repeats: int) -> dict[str, float]:
    """Milliseconds per stage for the whole volume: the least of the repeats."""
    with tempfile.NamedTemporaryFile() as file:
        volume.T.tofile(file.name)
        size = [str(n) for n in (*volume.shape, volume.dtype.itemsize, repeats)]
        output = subprocess.run(
            [program, file.name, *size], check=True, capture_output=True, text=True
        ).stdout
    lines = (line.split("\t") for line in output.splitlines())
    return {name: float(milliseconds) for name, milliseconds in lines}


def main() -> None:
    """Measure the stages as built, without AVX-512, with SSE2 only, and in portable C."""
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    variants = {
        "as built": [],
        "x86-64-v3": ["-DCK_NO_V4"],
        "x86-64 baseline": ["-DCK_BASELINE"],
        "portable C": ["-DCK_PORTABLE"],
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in variants.items():
            found[name] = run(build(Path(folder), *flags), volume, arguments.repeats)
    print(describe_run(volume, arguments.repeats))
    stages = next(iter(found.values()))
    show(
        "Milliseconds per stage",
        ["stage", *found],
        [[stage, *(f"{milliseconds[stage]:,.1f}" for milliseconds in found.values())] for stage in stages],
    )
    save(arguments.json, {"stages_ms": found})


if __name__ == "__main__":
    main()
