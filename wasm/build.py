"""Builds the WebAssembly module of the npm package: ``python build.py`` writes ``dist/``.

The compiler is the clang of ziglang (``pip install ziglang``), which brings the C library that it needs.
CRACKLE_CC names another command, such as clang with a WASI sysroot.

The sources are those of ``csrc/`` as the Python package compiles them, and ``exports.c``. The linker keeps
what the exported functions reach.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Rooms of csrc/ that the exports reach; ``skeleton`` would only take time.
ROOMS = ("base", "codec", "streams")

FLAGS = [
    *("-target", "wasm32-wasi"),  # for its malloc(); nothing of WASI is imported
    "-mexec-model=reactor",  # a library: no main()
    "-std=c99",
    *("-O3", "-flto"),
    "-g0",
    "-msimd128",  # vectors: two thirds of the time; browsers have had them since 2023
    *("-Wl,--export=malloc", "-Wl,--export=free", "-Wl,--strip-all"),
    "-Wl,-z,stack-size=262144",  # the default of zig takes 16 MB
]


def compiler() -> list[str]:
    """The command of the C compiler."""
    given = os.environ.get("CRACKLE_CC")
    if given:
        return shlex.split(given)
    if importlib.util.find_spec("ziglang") is None:
        sys.exit("There is no compiler: pip install ziglang, or name one for wasm32-wasi in CRACKLE_CC.")
    return [sys.executable, "-m", "ziglang", "cc"]


def build(csrc: Path, out: Path) -> bytes:
    """Compile the module and write it to a folder.

    Args:
        csrc: the folder of the C library.
        out: the folder for ``crackle.wasm``, for ``wasm.js``, which has the same bytes in base 64, and for
            the licence.

    Returns:
        The bytes of the module.
    """
    sources = [HERE / "exports.c", *(path for room in ROOMS for path in sorted((csrc / room).glob("*.c")))]
    with tempfile.TemporaryDirectory() as folder:
        wasm = Path(folder) / "crackle.wasm"
        command = [*compiler(), *FLAGS, f"-I{csrc}", "-o", wasm, *sources]
        subprocess.run([*map(str, command)], check=True)
        module = wasm.read_bytes()
    out.mkdir(parents=True, exist_ok=True)
    (out / "crackle.wasm").write_bytes(module)
    text = base64.b64encode(module).decode("ascii")
    (out / "wasm.js").write_text(
        f'// Made by build.py: the WebAssembly module in base 64.\nexport const WASM = "{text}";\n',
        encoding="ascii",
    )
    shutil.copyfile(csrc.parent / "LICENSE", out / "LICENSE")
    return module


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the WebAssembly module of the npm package.")
    parser.add_argument("--csrc", type=Path, default=HERE.parent / "csrc", help="the folder of the C library")
    parser.add_argument("--out", type=Path, default=HERE / "dist", help="the folder for the module")
    arguments = parser.parse_args()
    module = build(arguments.csrc, arguments.out)
    print(f"{arguments.out}: a module of {len(module):,} bytes")
