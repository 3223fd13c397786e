"""The peak of a process that converts a file, above that of one that has imported all that it needs."""

from __future__ import annotations

import subprocess
import sys

# getrusage would not do: a process inherits the peak of the one that started it.
_SCRIPT = """
import re, sys
import zarr
import {libraries}
import crackle_zarr.codecs.zarr_codec, crackle_zarr.verbs.arrays
from crackle_zarr.cli import main
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
try:
    main(["convert", *sys.argv[1:], "--parallel", "1", "--no-progress"])
except SystemExit as end:
    assert not end.code, end.code
print("peak", peak() - before)
"""


def conversion_peak(libraries: str, *arguments: object) -> int:
    """The peak of ``crackle-zarr convert`` in MiB, on Linux.

    Args:
        libraries: what the conversion imports, with commas.
        arguments: of the command.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(libraries=libraries), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("peak ")[2])
