"""Fails every allocation of the C library once: Python sees MemoryError, nothing leaks, and later calls work.

``tests/c/test_no_memory.c`` does the same to the library alone.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from volumes import cells, columns

import crackle_zarr as cz
from crackle_zarr import _binding, _crackle

SHIM = Path(__file__).resolve().parents[1] / "c" / "preload_malloc.c"

glibc = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or shutil.which("cc") is None,
    reason="needs Linux, glibc and a C compiler",
)


# ---------------------------------------------------------------------------------------
# Operations that allocate. Reading label tables and changing them in place allocate nothing.

# Small, because each operation runs hundreds of times.
VOLUME = cells((12, 10, 6), 12)
COLUMNS = np.asfortranarray(columns()[:10, :10, :5])
STREAM = cz.compress(VOLUME, 0, 2)
PINS = cz.compress(COLUMNS, 2)
COLUMN_LABELS = cz.compress(COLUMNS)
LABEL = int(VOLUME[6, 5, 3])
TABLE = cz.labels(STREAM)


def sample(volume: Any) -> zarr.Array[Any]:
    array = cz.create_array(
        zarr.storage.MemoryStore(), shape=volume.shape, chunks=(6, 10, 6), dtype=volume.dtype
    )
    array[...] = volume
    return array


ARRAY = sample(VOLUME)


def remapped() -> Any:
    array = sample(VOLUME)
    try:
        cz.remap(array, {LABEL: 3}, preserve_missing_labels=True, parallel=1)
    except MemoryError:
        assert np.array_equal(array[...], VOLUME)
        raise
    return array[...]


def parts() -> Any:
    layout = _binding.read_layout(STREAM)
    begin, end = _binding.codes_range(STREAM, 2, 5)
    _binding.table_nbytes(STREAM)
    reader = _binding.Reader.from_parts(
        STREAM[: layout.crack_codes], STREAM[begin:end], 2, STREAM[layout.checksums :]
    )
    out = np.zeros((*VOLUME.shape[:2], 3), VOLUME.dtype)
    reader.decode(out, 2, 5)
    return out, reader.check_slice(3), reader.component_counts(), reader.entries_in(2, 5)


OPERATIONS: dict[str, Callable[[], Any]] = {
    "compress": lambda: cz.compress(VOLUME, 0, 0, parallel=1),
    "compress, Markov": lambda: cz.compress(VOLUME, 0, 2, parallel=1),
    "compress, auto": lambda: cz.compress(VOLUME, 0, "auto", parallel=1),
    "compress, pins": lambda: cz.compress(COLUMNS, 1, parallel=1),
    "compress, best pins": lambda: cz.compress(COLUMNS, 2, parallel=1),
    "compress, C order": lambda: cz.compress(np.ascontiguousarray(VOLUME), parallel=1),
    "compress, threads": lambda: cz.compress(VOLUME, parallel=3),
    "compress, version 0": lambda: cz.compress(VOLUME, format_version=0, parallel=1),
    "full": lambda: cz.full((5, 6, 7), 3).binary,
    "decompress": lambda: cz.decompress(STREAM, parallel=1),
    "decompress, pins": lambda: cz.decompress(PINS, parallel=1),
    "decompress, threads": lambda: cz.decompress(STREAM, parallel=3),
    "decompress, a mask": lambda: cz.decompress(STREAM, LABEL, parallel=1),
    "decompress, cropped": lambda: cz.decompress(PINS, int(COLUMNS[3, 3, 3]), crop=True, parallel=1),
    "parts": parts,
    "labels_for_z_range": lambda: (cz.labels_for_z_range(STREAM, 2, 4), cz.labels_for_z_range(PINS, 2, 4)),
    "voxel_counts": lambda: cz.voxel_counts(STREAM, parallel=1),
    "voxel_counts, pins": lambda: cz.voxel_counts(PINS, parallel=1),
    "statistics": lambda: cz.statistics(STREAM, parallel=1),
    "each": lambda: list(cz.each(STREAM, parallel=1)),
    "point_cloud": lambda: cz.point_cloud(STREAM, parallel=1),
    "point_cloud, a label": lambda: cz.point_cloud(STREAM, LABEL, parallel=1),
    "contacts": lambda: cz.contacts(STREAM, parallel=1),
    "contacts, threads": lambda: cz.contacts(STREAM, parallel=3),
    "overlaps": lambda: cz.overlaps(PINS, COLUMN_LABELS, parallel=1),
    "array_equal": lambda: cz.array_equal(PINS, COLUMN_LABELS, parallel=1),
    "voxel_connectivity_graph": lambda: cz.voxel_connectivity_graph(STREAM, parallel=1),
    "connected_components": lambda: cz.connected_components(STREAM, return_mapping=True),
    "connected_components, binary": lambda: cz.connected_components(PINS, 6, True),
    "recompress": lambda: cz.recompress(PINS, parallel=1),
    "reencode": lambda: cz.codec.reencode(STREAM, "auto", parallel=1),
    "mode_pooling": lambda: cz.mode_pooling(STREAM, parallel=1),
    "mode_pooling, sparse": lambda: cz.mode_pooling(STREAM, (2, 2, 2), True, parallel=1),
    "apply_binary_mask": lambda: cz.apply_binary_mask(PINS, COLUMN_LABELS, parallel=1),
    "zstack": lambda: cz.zstack([PINS, COLUMN_LABELS, COLUMNS], parallel=1),
    "zsplit": lambda: cz.zsplit(STREAM, 3),
    "remap": lambda: cz.remap(STREAM, {LABEL: 3}, preserve_missing_labels=True),
    "remap, pins": lambda: cz.remap(PINS, {int(COLUMNS[3, 3, 3]): 1}, preserve_missing_labels=True),
    "astype": lambda: cz.astype(STREAM, np.uint64, "C"),
    "an array": lambda: ARRAY[3:9],
    "statistics of an array": lambda: cz.statistics(ARRAY, parallel=1),
    "remap of an array": remapped,
}


# ---------------------------------------------------------------------------------------
# In the process with the preloaded allocator


def library_range() -> tuple[int, int]:
    """The addresses at which the extension is loaded."""
    path = os.path.realpath(_crackle.__file__)
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    edges = [int(edge, 16) for line in lines if line[-1] == path for edge in line[0].split("-")]
    return min(edges), max(edges)


def fail_each(operation: Callable[[], Any], shim: Any) -> dict[str, Any]:
    """Fail each allocation of an operation in turn: returns their number, and the errors found."""
    right = repr(operation())
    wrong: list[str] = []
    errors = n = 0
    while not wrong:
        live = shim.preload_live()
        shim.preload_fail_at(n)
        try:
            if repr(operation()) != right:
                wrong.append(f"allocation {n}: another result")
        except MemoryError:
            errors += 1
        except BaseException as error:
            wrong.append(f"allocation {n}: {error!r}")
        unused = bool(shim.preload_is_pending())
        shim.preload_fail_at(-1)
        if unused:
            break
        if repr(operation()) != right:
            wrong.append(f"after allocation {n}: another result")
        if shim.preload_live() != live:  # now that no reference to the exception is left
            gc.collect()
        if shim.preload_live() != live:
            wrong.append(f"allocation {n}: {shim.preload_live() - live} are not freed")
        n += 1
    return {"allocations": n, "errors": errors, "wrong": wrong}


def main() -> None:
    np.set_printoptions(threshold=sys.maxsize)
    shim = ctypes.CDLL(None)
    shim.preload_range.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    shim.preload_fail_at.argtypes = [ctypes.c_long]
    shim.preload_live.restype = ctypes.c_long
    shim.preload_range(*library_range())
    gc.freeze()
    for name, operation in OPERATIONS.items():
        print(json.dumps([name, fail_each(operation, shim)]), flush=True)


# ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of each operation, and under "" that of the process."""
    library = tmp_path_factory.mktemp("preload") / "preload_malloc.so"
    subprocess.run(
        ["cc", "-std=gnu99", "-O1", "-fno-builtin", "-shared", "-fPIC", "-o", library, SHIM], check=True
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", "import test_no_memory; test_no_memory.main()"],
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "PYTHONPATH": os.pathsep.join(
                [
                    str(Path(__file__).parent),
                    str(Path(__file__).resolve().parents[1]),
                    os.environ["PYTHONPATH"],
                ]
            ),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    return {**found, "": (done.returncode, done.stderr)}


@glibc
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_allocation_fails(name: str, outcomes: dict[str, Any]) -> None:
    """A failed allocation gives MemoryError or the right result, leaks nothing, and harms no later call."""
    assert name in outcomes, outcomes[""]
    assert outcomes[name]["wrong"] == []
    assert outcomes[name]["errors"] > 0


@glibc
def test_no_exception_is_lost(outcomes: dict[str, Any]) -> None:
    """The process ends normally, and no exception got lost in a destructor or a thread."""
    assert outcomes[""] == (0, "")


# ---------------------------------------------------------------------------------------
# A process with little memory


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space that is obeyed")
@pytest.mark.parametrize(
    "call",
    [
        "cz.decompress(big, parallel=1)",
        "cz.decompress(big, parallel=2)",
        "cz.decompress(big, 5)",
        "cz.CrackleArray(big)[...]",
        "cz.voxel_connectivity_graph(big)",
        "cz.voxel_counts(wide)",  # the bitmaps of one slice
        "cz.contacts(wide, parallel=2)",
        "cz.connected_components(wide)",
        "cz.recompress(wide)",
    ],
)
def test_little_memory(call: str) -> None:
    """If memory is too small for the result or a slice: MemoryError, and the next call works."""
    script = f"""
        import resource
        import numpy as np
        import crackle_zarr as cz

        small = np.arange(1000, dtype=np.uint32).reshape(10, 10, 10) // 7
        big = cz.full((4096, 4096, 256), 5, np.uint64).binary
        wide = cz.full((2**17, 2**17, 1), 5, np.uint8).binary
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            {call}
        except MemoryError:
            assert np.array_equal(cz.decompress(cz.compress(small)), small)
        else:
            raise AssertionError("there was memory")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
