"""Builds ``crackle_zarr._crackle``: the C library of ``csrc/`` behind cffi.

The declarations given to cffi are cut out of ``csrc/crackle.h`` itself, between its
``cffi: begin`` and ``cffi: end`` comments, so that the two can not drift apart.
"""

import os
import sysconfig
from pathlib import Path

from cffi import FFI

CSRC = Path("csrc")  # relative to the project root, where setuptools runs this file


def declarations() -> str:
    """The part of the public header that cffi parses."""
    header = (CSRC / "crackle.h").read_text(encoding="utf-8")
    return header.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0]


def compile_arguments() -> list[str]:
    """Options beyond those that Python itself was built with; CRACKLE_CFLAGS adds to them."""
    own = os.environ.get("CRACKLE_CFLAGS", "").split()
    if sysconfig.get_platform().startswith("win"):  # MSVC; Python of MSYS2 says mingw
        return ["/std:c11", "/O2", *own]
    return [
        "-std=c99",
        "-O3",  # the row loops of boundary, components and paint gain a fifth over -O2
        "-g0",  # Python's own options may ask for debug information, which names the folder of the build
        "-fvisibility=hidden",
        "-Werror=incompatible-pointer-types",
        "-Werror=implicit-function-declaration",
        *own,
    ]


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "crackle_zarr._crackle",
    '#include "crackle.h"',
    sources=[path.as_posix() for path in sorted(CSRC.glob("*/*.c"))],
    include_dirs=[CSRC.as_posix()],
    depends=[path.as_posix() for path in sorted(CSRC.rglob("*.h"))],
    extra_compile_args=compile_arguments(),
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
