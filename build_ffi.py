"""Builds ``crackle_zarr._crackle``: the C library of ``csrc/`` behind cffi.

The declarations for cffi are cut out of the public headers, ``csrc/crackle.h`` and the headers that it
includes, between their ``cffi: begin`` and ``cffi: end`` comments, so that the two cannot drift apart.
"""

import os
import re
import sysconfig
from pathlib import Path

from cffi import FFI

CSRC = Path("csrc")  # relative to the project root, where setuptools runs this file


def declarations() -> str:
    """The parts of the public headers that cffi parses, in the order in which ``crackle.h`` includes them."""
    manual = (CSRC / "crackle.h").read_text(encoding="utf-8")
    included = re.findall(r'^#include "(\w+\.h)"$', manual, re.MULTILINE)
    headers = [manual, *((CSRC / name).read_text(encoding="utf-8") for name in included)]
    return "".join(text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0] for text in headers)


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
    libraries=[] if sysconfig.get_platform().startswith("win") else ["m"],  # pow and sqrt
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
