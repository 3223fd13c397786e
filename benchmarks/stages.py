"""What does each room of the codec cost? Compiles ``stages.c`` with the library and runs it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from _common import load, parser, save, show, told

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"


def build(folder: Path, *flags: str) -> Path:
    """The program, compiled as the extension is; ``CC`` and ``CFLAGS`` are heeded."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    program = folder / "stages"
    subprocess.run(
        [
            *(*compiler, "-std=c99", "-O3", *shlex.split(os.environ.get("CFLAGS", "")), *flags),
            *("-I", CSRC, "-o", program, HERE / "stages.c", *sorted(CSRC.glob("*/*.c"))),
        ],
        check=True,
    )
    return program


def run(program: Path, volume: np.ndarray, repeats: int) -> dict[str, float]:
    """Milliseconds per room, of the whole volume; the least of the repeats."""
    with tempfile.NamedTemporaryFile() as file:
        volume.T.tofile(file.name)
        size = [str(n) for n in (*volume.shape, volume.dtype.itemsize, repeats)]
        output = subprocess.run(
            [program, file.name, *size], check=True, capture_output=True, text=True
        ).stdout
    lines = (line.split("\t") for line in output.splitlines())
    return {name: float(milliseconds) for name, milliseconds in lines}


def main() -> None:
    """Measure the rooms with what this processor has, with the baseline only, and in portable C."""
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    variants = {
        "as built": [],
        "x86-64 baseline": ["-DCK_BASELINE"],
        "portable C": ["-DCK_PORTABLE"],
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in variants.items():
            found[name] = run(build(Path(folder), *flags), volume, arguments.repeats)
    print(told(volume, arguments.repeats))
    rooms = next(iter(found.values()))
    show(
        "Milliseconds per room",
        ["room", *found],
        [[room, *(f"{rooms_of[room]:,.1f}" for rooms_of in found.values())] for room in rooms],
    )
    save(arguments.json, {"stages_ms": found})


if __name__ == "__main__":
    main()
