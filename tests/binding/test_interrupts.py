"""Ctrl-C during a long call: the call ends soon, and ranges that have not begun never begin."""

from __future__ import annotations

import collections
import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import bindings
import numpy as np
import pytest
import zarr
from volumes import cells

import crackle_zarr as cz
from crackle_zarr import _binding
from crackle_zarr._binding.parallel import Cut, _Helper
from crackle_zarr._crackle import ffi

needs_signals = pytest.mark.skipif(
    os.name == "nt" or sys.platform == "emscripten",
    reason="there is no SIGINT that a process can send another",
)

# Seconds to wait for one interrupt. A range of slices takes a tenth of a second, more on a busy machine.
PATIENCE = 20


# ---------------------------------------------------------------------------------------
# Which ranges begin

ONE_BY_ONE = Cut(1, 1)


def test_ranges_are_consecutive_and_short() -> None:
    """For any number of threads, ranges follow each other, and none exceeds the maximum length."""
    for slices in (0, 1, 2, 7, 40):
        for depth in (1, 3, 7, 1000):
            for parallel in (1, 2, 5, 100):
                found = _binding.over_slices(lambda a, b: (a, b), 3, 3 + slices, parallel, Cut(depth, 1))
                assert found[0][0] == 3
                assert found[-1][1] == 3 + slices
                assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
                assert all(b - a <= depth for a, b in found)


def test_ranges_of_a_c_order_volume_begin_at_cache_lines() -> None:
    """Ranges of slices in C order follow each other, begin at cache lines, and are not too long."""
    for width, line in ((1, 64), (4, 16), (8, 8)):
        for slices in (1, line, 5 * line - 1, 12 * line + 1):
            for depth, lead in itertools.product((1, 7, 100), {0, 1, line - 1}):
                cut = Cut(depth, 2**18).in_c_order(width, address=64 * 1000 - lead * width)
                for parallel in (1, 2, 5):
                    found = _binding.over_slices(lambda a, b: (a, b), 3, 3 + slices, parallel, cut)
                    assert found[0][0] == 3
                    assert found[-1][1] == 3 + slices
                    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
                    assert all(0 < b - a <= 4 * depth for a, b in found)
                    if 4 * depth >= line * (2 if lead else 1):
                        assert all((a - 3 - lead) % line == 0 for a, _ in found[1:])


def test_a_failure_is_that_of_the_first_range() -> None:
    """Of several ranges that fail, the call raises the first one's error; later ones may never begin."""
    for parallel in (1, 2, 5):
        begun = []

        def work(start: int, end: int, begun: list[int] = begun) -> None:
            begun.append(start)
            if start >= 3:
                time.sleep(0.001)
                raise ValueError(start)

        with pytest.raises(ValueError, match=r"^3$"):
            _binding.over_slices(work, 0, 1000, parallel, ONE_BY_ONE)
        assert len(begun) <= 3 + parallel


def test_without_threads_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no threads can start, as while the interpreter exits, the caller's thread does the work."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(_Helper, "idle", collections.deque())  # none is left of another call
    volume = cells((30, 20, 10), 40)
    assert np.array_equal(cz.decompress(cz.compress(volume, parallel=4), parallel=4), volume)


@needs_signals
@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_no_range_begins_after_an_interrupt(parallel: int) -> None:
    """After SIGINT the call waits for the ranges that run, and most others never begin."""
    begun, ended = [], []

    def work(start: int, end: int) -> None:
        begun.append(start)
        time.sleep(0.001)
        if start == 20:
            os.kill(os.getpid(), signal.SIGINT)
        ended.append(start)

    with pytest.raises(KeyboardInterrupt):
        _binding.over_slices(work, 0, 20_000, parallel, ONE_BY_ONE)
    assert len(begun) < 10_000
    # The interrupt may have reached this thread within its own range.
    assert len(begun) - len(ended) <= 1
    seen = len(begun)
    time.sleep(0.01)
    assert len(begun) == seen


@needs_signals
def test_a_second_interrupt_leaves_nothing_behind() -> None:
    """After any number of SIGINTs, the call ends only when the ranges that use its memory have ended."""
    going_on = threading.Event()
    ended = []

    def work(start: int, end: int) -> None:
        if threading.current_thread() is threading.main_thread():
            going_on.wait(PATIENCE)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(PATIENCE)  # the interrupt ends it
        elif not going_on.is_set():
            going_on.set()
            for _ in range(10):
                time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGINT)
            ended.append(start)

    with contextlib.suppress(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        _binding.over_slices(work, 0, 4, 2, ONE_BY_ONE)
    assert len(ended) == 1


def test_threads_end_with_the_call_that_they_work_for() -> None:
    """A worker thread of an interrupted call begins no further range, nor do its own threads."""
    for parallel in (1, 3):
        stop = _binding.Stop()
        begun = []

        def work(start: int, end: int, stop: _binding.Stop = stop, begun: list[int] = begun) -> None:
            begun.append(start)
            if start == 5:
                stop.set()

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(stop.call, _binding.over_slices, work, 0, 1000, parallel, ONE_BY_ONE)
            with pytest.raises(KeyboardInterrupt):
                future.result()
            assert len(begun) <= 5 + 2 * parallel
            assert pool.submit(_binding.over_slices, lambda a, b: a, 0, 3, 1, ONE_BY_ONE).result() == [
                0,
                1,
                2,
            ]


# ---------------------------------------------------------------------------------------
# Calls that are not cut into ranges


def stopped(stop: Any) -> bool:
    """Whether the work is told to stop before patience ends; waits until it has begun."""
    end = time.monotonic() + PATIENCE
    while not stop[0] and time.monotonic() < end:
        time.sleep(0.001)
    return bool(stop[0])


def test_few_voxels_run_in_the_callers_thread() -> None:
    """Few voxels run in the caller's thread, without a stop flag; many run in a thread of their own."""
    here = threading.get_ident()
    few, many = bindings.parallel.VOXELS_AT_ONCE, bindings.parallel.VOXELS_AT_ONCE + 1
    assert _binding.run_in_thread(lambda stop: (stop == ffi.NULL, threading.get_ident()), few) == (
        True,
        here,
    )
    has_flag, thread = _binding.run_in_thread(lambda stop: (stop[0] == 0, threading.get_ident()), many)
    assert has_flag
    assert thread != here
    with pytest.raises(ValueError, match="its own"):
        _binding.run_in_thread(lambda stop: int("its own"), many)


def test_run_in_thread_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no threads can start, the caller's thread does the work."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert _binding.run_in_thread(lambda stop: threading.get_ident(), 2**40) == threading.get_ident()


@needs_signals
def test_run_in_thread_stops_the_work_and_waits() -> None:
    """After two SIGINTs the work is told to stop, and the call ends when the work has ended."""
    ended = []

    def work(stop: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped(stop)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        ended.append(None)

    with contextlib.suppress(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        _binding.run_in_thread(work, 2**40)
    assert ended


def test_run_in_thread_stops_with_its_call() -> None:
    """A worker thread of an interrupted call also stops the work that it started in other threads."""
    stop, begun, stops = _binding.Stop(), threading.Event(), []

    def work(number: Any) -> None:
        begun.set()
        stops.append(stopped(number))

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(stop.call, _binding.run_in_thread, work, 2**40)
        assert begun.wait(PATIENCE)
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            future.result()
    assert stops == [True]


class Stopping:
    """The C library, which gets SIGINT before a call and expects to be told to stop."""

    def __init__(self, lib: Any, name: str) -> None:
        self._lib = lib
        self._name = name
        self.statuses: list[int] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._lib, name)
        return partial(self._interrupted, function) if name == self._name else function

    def _interrupted(self, function: Callable[..., int], *args: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped(stop_among(args))
        self.statuses.append(function(*args))
        return self.statuses[-1]


def stop_among(args: Any) -> Any:
    """The stop flag among the arguments of a call."""
    kind = ffi.typeof("int32_t *")
    (stop,) = [arg for arg in args if isinstance(arg, ffi.CData) and ffi.typeof(arg) == kind]
    return stop


STOPPED_CALLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "compress, pins": ("crackle_assemble", lambda: cz.compress(VOLUME, 2)),
    "compress, a model": ("crackle_assemble", lambda: cz.compress(VOLUME, markov_model_order="auto")),
    "recompress": ("crackle_reassemble", lambda: _binding.recompress(STREAM, "auto")),
    "point_cloud": ("crackle_surface", lambda: cz.point_cloud(STREAM)),
}


@needs_signals
@pytest.mark.parametrize("name", STOPPED_CALLS)
def test_a_single_call_of_c_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is not cut into ranges gives C a stop flag; C ends, and the next call is right."""
    function, call = STOPPED_CALLS[name]
    right = call()
    bindings.replace("VOXELS_AT_ONCE", 0, monkeypatch.setattr)
    lib = Stopping(bindings.lib, function)
    with monkeypatch.context() as patch:
        bindings.replace("lib", lib, patch.setattr)
        with pytest.raises(KeyboardInterrupt):
            call()
    assert lib.statuses == [bindings.lib.CRACKLE_STOPPED]
    assert repr(call()) == repr(right)


class Late(Stopping):
    """The C library, which gets SIGINT but finishes before it sees the stop flag. Frees are counted."""

    freed = 0

    def crackle_free(self, pointer: Any) -> None:
        self.freed += 1
        self._lib.crackle_free(pointer)

    def _interrupted(self, function: Callable[..., int], *args: Any) -> int:
        self.statuses.append(function(*args))
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped(stop_among(args))
        return self.statuses[-1]


@needs_signals
@pytest.mark.parametrize("name", STOPPED_CALLS)
def test_a_finished_result_is_freed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If SIGINT comes as C finishes, the result is freed."""
    function, call = STOPPED_CALLS[name]
    bindings.replace("VOXELS_AT_ONCE", 0, monkeypatch.setattr)
    lib = Late(bindings.lib, function)
    with monkeypatch.context() as patch:
        bindings.replace("lib", lib, patch.setattr)
        with pytest.raises(KeyboardInterrupt):
            call()
        gc.collect()
    assert lib.statuses == [bindings.lib.CRACKLE_OK]
    assert lib.freed == 1


@needs_signals
@pytest.mark.usefixtures("no_garbage_collection")
def test_an_interrupted_call_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted call keeps no reference to the caller's memory, even without garbage collection."""
    bindings.replace("VOXELS_AT_ONCE", 0, monkeypatch.setattr)
    volume = cells((20, 20, 20), 30)
    seen = weakref.ref(volume)
    for parallel in (1, 3):
        lib = Stopping(bindings.lib, "crackle_assemble")
        with monkeypatch.context() as patch:
            bindings.replace("lib", lib, patch.setattr)
            with contextlib.suppress(KeyboardInterrupt):
                cz.compress(volume, 2, parallel=parallel)
        assert lib.statuses == [bindings.lib.CRACKLE_STOPPED]
    del volume
    assert seen() is None


class Interrupting:
    """The C library, which gets SIGINT in the third call that works on slices."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.calls = 0
        self.at = -1

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._lib, name)
        if not name.endswith(RANGED):
            return function

        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                os.kill(os.getpid(), signal.SIGINT)
            elif self.calls > self.at > 0:
                time.sleep(0.02)  # the main thread may be about to receive it
            return function(*args)

        return call


RANGED = (
    "_decode",
    "_decode_mask",
    "_decode_as",
    "_measure",
    "_contacts",
    "_overlaps",
    "_equal",
    "_connectivity",
    "_part",
    "_joiner_next",
)

VOLUME = cells((48, 40, 60), 80)
STREAM = cz.compress(VOLUME)
PINS = cz.compress(VOLUME, 2)
LABEL = int(VOLUME[20, 20, 20])

LONG_CALLS: dict[str, Callable[[int], Any]] = {
    "compress": lambda n: cz.compress(VOLUME, parallel=n),
    "compress, pins": lambda n: cz.compress(VOLUME, 2, parallel=n),
    "decompress": lambda n: cz.decompress(STREAM, parallel=n),
    "decompress, pins": lambda n: cz.decompress(PINS, parallel=n),
    "decompress, a label": lambda n: cz.decompress(STREAM, LABEL, parallel=n),
    "each": lambda n: list(cz.each(STREAM, parallel=n)),
    "voxel_counts": lambda n: cz.voxel_counts(STREAM, parallel=n),
    "statistics": lambda n: cz.statistics(STREAM, parallel=n),
    "contacts": lambda n: cz.contacts(STREAM, parallel=n),
    "overlaps": lambda n: cz.overlaps(STREAM, PINS, parallel=n),
    "array_equal": lambda n: cz.array_equal(STREAM, PINS, parallel=n),
    "voxel_connectivity_graph": lambda n: cz.voxel_connectivity_graph(STREAM, parallel=n),
    "recompress": lambda n: cz.recompress(STREAM, parallel=n),
    "apply_binary_mask": lambda n: cz.apply_binary_mask(STREAM, PINS, parallel=n),
    "mode_pooling": lambda n: cz.mode_pooling(STREAM, parallel=n),
    "connected_components": lambda n: cz.connected_components(STREAM),
}


@pytest.fixture
def short_ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ranges of one slice."""
    for name in ("VOXELS_AT_ONCE", "_VOXELS_OF_SHARED", "_VOXELS_OF_PINS"):
        bindings.replace(name, 1, monkeypatch.setattr)
    bindings.replace("_VOXELS_PER_ROW", 0, monkeypatch.setattr)
    return


@needs_signals
@pytest.mark.usefixtures("short_ranges")
@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("name", LONG_CALLS)
def test_every_long_call_is_cut_short(name: str, parallel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every long call runs in ranges of slices, begins few after SIGINT, and the next call is right."""
    lib = Interrupting(bindings.lib)
    right = LONG_CALLS[name](parallel)
    bindings.replace("lib", lib, monkeypatch.setattr)
    LONG_CALLS[name](parallel)
    total, lib.calls, lib.at = lib.calls, 0, 3
    assert total >= 30
    with pytest.raises(KeyboardInterrupt):
        LONG_CALLS[name](parallel)
    assert lib.calls < total - 10
    lib.at = -1
    assert repr(LONG_CALLS[name](parallel)) == repr(right)


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("name", LONG_CALLS)
def test_ranges_change_no_answer(name: str, parallel: int, request: pytest.FixtureRequest) -> None:
    """Answers, and streams byte for byte, are the same in one range and in many."""
    whole = LONG_CALLS[name](1)
    request.getfixturevalue("short_ranges")
    parts = LONG_CALLS[name](parallel)
    if isinstance(whole, list):  # of each range
        assert [one[0] for one in whole] == [one[0] for one in parts]
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(whole, parts, strict=True))
    elif isinstance(whole, np.ndarray):
        assert np.array_equal(whole, parts)
    else:
        assert whole == parts


# ---------------------------------------------------------------------------------------
# Processes


# A short stream whose 2^40 voxels take C many minutes, a tenth of a second for each slice; and an
# array whose chunks are such slices.
BEGIN = """
import sys
import numpy as np
import zarr
import crackle_zarr as cz

def huge():
    return cz.full((2**13, 2**13, 2**14), 5, np.uint8).binary

def stored():
    store, side = zarr.storage.MemoryStore(), 2**13
    array = cz.create_array(store, shape=(2**14, side, side), chunks=(1, side, side), dtype=np.uint8)
    chunk = zarr.core.buffer.cpu.Buffer.from_bytes(cz.full((side, side, 1), 5, np.uint8).binary)
    for z in range(2**14):
        store._store_dict[f"c/{z}/0/0"] = chunk
    return array

def zeros():  # a terabyte that is not there
    import mmap
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    return np.frombuffer(mmap.mmap(-1, 2**40, flags=flags), np.uint64).reshape((1024, 1024, -1), order="F")
"""

PROCESSES = {
    "voxel_counts, 1 thread": ("huge()", "cz.voxel_counts(it, parallel=1)"),
    "voxel_counts, 2 threads": ("huge()", "cz.voxel_counts(it, parallel=2)"),
    "contacts": ("huge()", "cz.contacts(it, parallel=2)"),
    "connected_components": ("huge()", "cz.connected_components(it)"),
    "recompress": ("huge()", "cz.recompress(it, parallel=2)"),
    "check": ("huge()", "cz.codec.check(it)"),
    "stored, 1 thread": ("stored()", "cz.voxel_counts(it, parallel=1)"),
    "stored, 2 threads": ("stored()", "cz.statistics(it, parallel=2)"),
    "remap": ("stored()", "cz.remap(it, {5: 6}, parallel=2)"),
    "compress, 1 thread": ("zeros()", "cz.compress(it, parallel=1)"),
    "compress, 2 threads": ("zeros()", "cz.compress(it, parallel=2)"),
}


def interrupted(script: str) -> tuple[int, str]:
    """Exit code and stderr of a script that gets SIGINT some time after its first line of output."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.7)  # if the call begins late, the interrupt comes earlier in it
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, errors


@needs_signals
@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_ends(name: str) -> None:
    """SIGINT in a call of many minutes ends the process with KeyboardInterrupt."""
    make, call = PROCESSES[name]
    if make == "zeros()" and (sys.platform != "linux" or sys.maxsize < 2**40):
        pytest.skip("needs memory that is reserved only where it is touched")
    code, errors = interrupted(f"{BEGIN}\nit = {make}\nprint('ready', flush=True)\n{call}\n")
    assert code == -signal.SIGINT, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")


@needs_signals
@pytest.mark.parametrize("command", ["test", "stats"])
def test_the_command_line_ends(command: str, tmp_path: Path) -> None:
    """An interrupted command prints one line, and its exit code is 130."""
    path, side = tmp_path / "huge", 2**14
    if command == "test":
        cz.save(cz.full((side, side, 2**12), 5, np.uint8), path)
    else:
        cz.create_array(path, shape=(1000, side, side), chunks=(1, side, side), dtype=np.uint8)
        for z in range(1000):
            (path / "c" / str(z) / "0").mkdir(parents=True)
            (path / "c" / str(z) / "0" / "0").write_bytes(cz.full((side, side, 1), 5, np.uint8).binary)
    script = f"""
        from crackle_zarr.cli import main
        print("ready", flush=True)
        main({[command, str(path)]!r})
    """
    code, errors = interrupted(textwrap.dedent(script))
    assert code == 130, errors
    assert errors.splitlines()[-1] == "crackle-zarr: interrupted"
    assert "Traceback" not in errors


@needs_signals
def test_an_interrupted_remap_leaves_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGINT while tasks run in threads, the tasks end, and the array is as it was."""
    volume = np.arange(64, dtype=np.uint32).repeat(64).reshape(64, 8, 8)
    array = cz.create_array(
        zarr.storage.MemoryStore(), shape=volume.shape, chunks=(1, 8, 8), dtype=volume.dtype
    )
    array[...] = volume
    relabel, calls = _binding.relabel, []

    def interrupting(*args: Any) -> bytes:
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return relabel(*args)

    monkeypatch.setattr(_binding, "relabel", interrupting)
    with pytest.raises(KeyboardInterrupt):
        cz.remap(array, {label: label + 100 for label in range(64)}, parallel=2)
    assert np.array_equal(array[...], volume)
    monkeypatch.undo()
    cz.remap(array, {3: 300}, parallel=2)
    assert np.array_equal(array[...], np.where(volume == 3, 300, volume))
