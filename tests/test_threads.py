"""Many threads at once, and processes that are forked or spawned after use."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from volumes import VOLUMES, cells, noise

import crackle_zarr
from crackle_zarr import FormatError, _binding

Array = npt.NDArray[Any]


def test_eight_threads_on_different_volumes() -> None:
    """Encoding and decoding share nothing: eight threads get what one thread gets."""
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
    """One reader may be asked by many threads, each for its own slices of one volume."""
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
    """Where one of several threads meets damage, the call raises, and names the slice."""
    volume = noise(3, (20, 20, 12))
    stream = bytearray(crackle_zarr.compress(volume))
    stream[-8] ^= 1  # the checksum of the last slice but one
    for parallel in (1, 2, 5, 12):
        with pytest.raises(FormatError) as caught:
            crackle_zarr.decompress(bytes(stream), parallel=parallel)
        assert caught.value.slice == 10


def test_no_thread_outlives_its_call() -> None:
    """A call's threads end with it."""
    before = threading.active_count()
    stream = crackle_zarr.compress(VOLUMES["balls"](), parallel=6)
    crackle_zarr.decompress(stream, parallel=6)
    assert threading.active_count() == before


METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.skipif(sys.platform == "emscripten", reason="there are no processes in WebAssembly")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_after_use(method: str) -> None:
    """After threads were used here, children that are forked or spawned encode, decode and raise."""
    volumes = [VOLUMES[name]() for name in ("balls", "cells", "columns", "past 2^63")]
    streams = [crackle_zarr.compress(volume, 1, parallel=4) for volume in volumes]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(crackle_zarr.compress, volumes) == [crackle_zarr.compress(v) for v in volumes]
        arrays = pool.starmap(crackle_zarr.decompress, [(stream, None, 3) for stream in streams])
        assert all(map(np.array_equal, arrays, volumes))
        with pytest.raises(FormatError) as caught:
            pool.apply(crackle_zarr.decompress, (streams[0][:-1],))
    assert isinstance(caught.value, FormatError)
