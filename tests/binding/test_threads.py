"""Many threads at once, and processes that are forked or spawned after use."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from volumes import VOLUMES, cells, noise

import crackle_zarr
from crackle_zarr import FormatError, _binding
from crackle_zarr._binding import parallel as crews

Array = npt.NDArray[Any]


def test_eight_threads_on_different_volumes() -> None:
    """Eight threads that encode and decode get the results of one thread."""
    names = [name for name in VOLUMES if VOLUMES[name]().dtype != bool]
    volumes = {name: VOLUMES[name]() for name in names}
    streams = {name: crackle_zarr.compress(volumes[name], 1, 2, parallel=1) for name in names}
    together = threading.Barrier(8)

    def work(thread: int) -> None:
        together.wait()
        for turn in range(40):
            name = names[(thread * 5 + turn) % len(names)]
            parallel = 1 + turn % 3
            stream = crackle_zarr.compress(volumes[name], 1, 2, parallel=parallel)
            assert stream == streams[name]
            assert np.array_equal(crackle_zarr.decompress(stream, parallel=parallel), volumes[name])

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, thread) for thread in range(8)]:
            future.result()


def test_eight_threads_on_one_reader() -> None:
    """Many threads may use one reader, each for its own slices of one volume."""
    volume = cells((60, 50, 40), 80)
    reader = _binding.Reader(crackle_zarr.compress(volume, 2))
    out = np.zeros(volume.shape, volume.dtype, order="F")

    def work(thread: int) -> None:
        for z in range(thread, 40, 8):
            reader.decode(out[:, :, z : z + 1], z, z + 1)
            assert reader.contains(int(volume[0, 0, z]))
            assert len(reader.table()) == len(np.unique(volume))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert np.array_equal(out, volume)


def test_a_failure_in_one_thread_reaches_the_caller() -> None:
    """If one thread meets damage, the call raises and names the slice."""
    volume = noise(3, (20, 20, 12))
    stream = bytearray(crackle_zarr.compress(volume))
    stream[-8] ^= 1  # the checksum of the second last slice
    for parallel in (1, 2, 5, 12):
        with pytest.raises(FormatError) as caught:
            crackle_zarr.decompress(bytes(stream), parallel=parallel)
        assert caught.value.slice == 10


def crackle_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "crackle"}


def test_threads_stay_for_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of a call work for the next one, and end when none comes for a while."""
    for thread in crackle_threads():  # of other tests
        thread.join(30)
    monkeypatch.setattr(crews._Helper, "LINGER", 600)  # on a busy machine, a call may come late
    volume = VOLUMES["balls"]()
    seen = set()
    for _ in range(20):
        stream = crackle_zarr.compress(volume, parallel=2)
        assert np.array_equal(crackle_zarr.decompress(stream, parallel=2), volume)
        seen |= crackle_threads()
    assert 1 <= len(seen) < 10  # of 40 calls
    monkeypatch.setattr(crews._Helper, "LINGER", 0.1)
    for _ in range(100):  # each call wakes a thread, which then waits for a shorter time
        crackle_zarr.decompress(stream, parallel=2)
        for thread in seen:
            thread.join(0.3)
        if not any(thread.is_alive() for thread in seen):
            break
    assert not any(thread.is_alive() for thread in seen)
    assert np.array_equal(crackle_zarr.decompress(stream, parallel=2), volume)


def test_few_threads_wait() -> None:
    """Many calls at once do not leave more waiting threads than there are cores."""
    volume = cells((60, 50, 40), 80)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: crackle_zarr.compress(volume, parallel=8), range(40)))
    assert len(crews._Helper.idle) <= (os.cpu_count() or 1) + 8  # each caller may add one at the same time


def test_few_voxels_use_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call on few voxels calls no other thread, and one on many does."""
    called = []
    call = crews._Helper.call
    monkeypatch.setattr(crews, "VOXELS_PER_THREAD", 2**18)
    monkeypatch.setattr(crews._Helper, "call", lambda task: (called.append(task), call(task)))
    crackle_zarr.statistics(crackle_zarr.decompress(crackle_zarr.compress(np.zeros((64, 64, 64), np.uint8))))
    assert not called
    crackle_zarr.compress(np.zeros((128, 128, 64), np.uint8), parallel=2)
    assert called


@pytest.mark.usefixtures("no_garbage_collection")
def test_a_late_thread_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that comes when the call is over finds no work, and does not hold the caller's memory."""
    late: list[Any] = []
    monkeypatch.setattr(crews._Helper, "call", late.append)
    volume = cells((20, 20, 20), 30)
    mapped = mmap.mmap(-1, len(crackle_zarr.compress(volume, parallel=1)))
    mapped[:] = crackle_zarr.compress(volume, parallel=2)
    assert np.array_equal(crackle_zarr.decompress(mapped, parallel=3), volume)
    mapped.close()  # raises BufferError where something holds its bytes
    seen = weakref.ref(volume)
    del volume
    assert seen() is None
    assert len(late) >= 3
    for task in late:
        task(crews._Helper())


METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.skipif(sys.platform == "emscripten", reason="there are no processes in WebAssembly")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_after_use(method: str) -> None:
    """After threads were used, forked and spawned children encode, decode and raise."""
    volumes = [VOLUMES[name]() for name in ("balls", "cells", "columns", "past 2^63")]
    streams = [crackle_zarr.compress(volume, 1, parallel=4) for volume in volumes]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(crackle_zarr.compress, volumes) == [crackle_zarr.compress(v) for v in volumes]
        arrays = pool.starmap(crackle_zarr.decompress, [(stream, None, 3) for stream in streams])
        assert all(map(np.array_equal, arrays, volumes))
        with pytest.raises(FormatError) as caught:
            pool.apply(crackle_zarr.decompress, (streams[0][:-1],))
    assert isinstance(caught.value, FormatError)


# ---------------------------------------------------------------------------------------
# Processes with threads at work

# How often to repeat calls in which a race could show; many times with CRACKLE_LONG=1.
LONG = bool(os.environ.get("CRACKLE_LONG"))
TURNS = 50 if LONG else 3

# A call into C that takes minutes: few bytes, many voxels.
BEGIN = """
import atexit, faulthandler, multiprocessing, os, signal, sys, threading
import numpy as np
import crackle_zarr as cz
from crackle_zarr import _binding
from crackle_zarr._binding import parallel as crews

crews.VOXELS_PER_THREAD = 1  # these volumes are small
faulthandler.dump_traceback_later(240, exit=True)
volume = np.arange(8000, dtype=np.uint32).reshape(20, 20, 20, order="F") // 30
stream = cz.compress(volume)
huge = cz.full((2**13, 2**13, 2**14), 5, np.uint8).binary

def use(parallel=2):
    assert cz.compress(volume, parallel=parallel) == stream
    assert np.array_equal(cz.decompress(stream, parallel=parallel), volume)
    assert sum(cz.voxel_counts(stream, parallel=parallel).values()) == volume.size
    assert len(cz.contacts(stream, parallel=parallel)) > 0
"""

ENDINGS = {
    "daemons in C": """
begun = threading.Event()
def work():
    begun.set()
    cz.voxel_counts(huge, parallel=1)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
""",
    "a daemon with threads of its own": """
begun = threading.Event()
def work():
    begun.set()
    cz.contacts(huge, parallel=4)
threading.Thread(target=work, daemon=True).start()
begun.wait()
""",
    "daemons that encode and decode": """
begun = threading.Event()
def work():
    while True:
        use(1)
        begun.set()
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
""",
    "sys.exit while threads work": """
def work():
    for _ in range(20):
        use(3)
for _ in range(4):
    threading.Thread(target=work).start()
sys.exit(0)
""",
    "os._exit in a call": """
begun = threading.Event()
def end():
    begun.wait()
    os._exit(0)
threading.Thread(target=end).start()
begun.set()
cz.voxel_counts(huge, parallel=2)
""",
    "functions at exit": """
for parallel in (0, 1, 4):
    atexit.register(use, parallel)
""",
    "a function at exit beside daemons": """
threading.Thread(target=lambda: cz.voxel_counts(huge, parallel=2), daemon=True).start()
atexit.register(use)
""",
    "memory that is freed late": """
class Late:
    def __del__(self, cz=cz, stream=stream):
        assert cz.contains(stream, 3)
        assert len(self.points)
late = Late()
late.itself = late
late.reader = _binding.Reader(stream)
late.points = late.reader.surface(np.ones(len(late.reader.table()), np.bool_), 0, 20)[0]
late.array = cz.CrackleArray(stream)
sys.kept = [late.points, late.reader, cz.contacts, late]
""",
    "modules that are torn down": """
reader, array = _binding.Reader(stream), cz.CrackleArray(stream)
points = cz.point_cloud(stream)
for name in [name for name in sys.modules if name.startswith("crackle_zarr")]:
    del sys.modules[name]
del cz, _binding, crews
""",
}


@pytest.mark.skipif(sys.platform == "emscripten", reason="there are no processes in WebAssembly")
@pytest.mark.parametrize("name", ENDINGS)
def test_the_interpreter_ends(name: str) -> None:
    """A process that ends during a call of the library exits with code 0 and prints nothing."""
    for _ in range(TURNS):
        done = subprocess.run(
            [sys.executable, "-c", BEGIN + ENDINGS[name]],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")


FORKING = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking while there are threads

use()  # so that NumPy has imported what it imports late: no fork is safe in the midst of an import
def child():
    signal.alarm(120)  # faulthandler's watchdog would wait for the parent's, which is a thread
    use(1)
    use(3)

ended = False
def work():
    while not ended:
        use(2)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
try:
    for turn in range(TURNS):
        if turn % 2:
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join()
            assert process.exitcode == 0, process.exitcode
        else:
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    child()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
finally:
    ended = True
    for thread in threads:
        thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="without the GIL, CPython's own locks may be held by another thread when a process is forked",
)
def test_fork_while_threads_work() -> None:
    """Children forked while eight threads encode and decode do the same work, and end."""
    script = BEGIN + FORKING.replace("TURNS", str(200 if LONG else 10))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_sixteen_threads_share_everything() -> None:
    """Sixteen threads query and encode one reader, one array and one volume at once."""
    volume = cells((60, 50, 40), 80)
    stream = crackle_zarr.compress(volume, 1, 2)
    reader, array = _binding.Reader(stream), crackle_zarr.CrackleArray(stream)
    table, counts = reader.table(), crackle_zarr.voxel_counts(stream)
    contacts = crackle_zarr.contacts(stream)
    together = threading.Barrier(16)

    def work(thread: int) -> None:
        together.wait()
        for turn in range(30 if LONG else 4):
            z = (thread + turn) % 40
            out = np.zeros((60, 50, 1), volume.dtype, order="F")
            reader.decode(out, z, z + 1)
            assert np.array_equal(out[:, :, 0], volume[:, :, z])
            assert np.array_equal(reader.table(), table)
            assert np.array_equal(array[:, 7:30:3, z], volume[:, 7:30:3, z])
            assert crackle_zarr.voxel_counts(array, parallel=2) == counts
            assert crackle_zarr.contacts(stream) == contacts
            assert crackle_zarr.compress(volume, 1, 2, parallel=1 + turn % 3) == stream

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(work, thread) for thread in range(16)]:
            future.result()
