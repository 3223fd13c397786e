"""What the studies of trust share: a process's memory; and the tests' helpers."""

from __future__ import annotations

import argparse
import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

# `report`, `volumes` and `reference` are helpers of the tests, a folder up.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from report import save, show

__all__ = ["fill_numpys_cache", "heap", "memory", "parser", "save", "show"]


def parser(description: str, examples: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--seed", type=int, default=1, help="another seed, other accidents (default: 1)")
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results and the machine's description here"
    )
    return made


def memory(field: str) -> int:
    """Bytes of this process, as Linux counts them: VmRSS what is in memory, VmSize what is mapped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {field}")


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap() -> Callable[[], int] | None:
    """A function that says how many bytes malloc has given out; None where the C library cannot say."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    mallinfo2.restype = _Mallinfo2

    def in_use() -> int:
        told = mallinfo2()
        return int(told.uordblks + told.hblkhd)

    return in_use


def fill_numpys_cache() -> None:
    """Let NumPy keep all the memory that it ever keeps: a few free blocks of every size below 1 KiB.

    Arrays of random sizes fill this cache slowly, which would look like a leak.
    """
    for size in range(1, 1024):
        blocks = [np.empty(size, np.uint8) for _ in range(8)]
        del blocks
