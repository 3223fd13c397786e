"""Rows of very many labels, added up part by part: the same as added up at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import pytest

import crackle_zarr as cz
from crackle_zarr import _binding
from crackle_zarr.stored import totals
from crackle_zarr.streams.statistics import merged, rows_dtype, table_of


def some_rows(rng: np.random.Generator, count: int, label: str, ndim: int) -> Any:
    rows = np.zeros(count, dtype=rows_dtype(np.dtype(label), ndim))
    info = np.iinfo(label)
    rows["label"] = rng.integers(max(info.min, -400), min(info.max, 4000), count)
    rows["voxels"] = rng.integers(1, 100, count)
    rows["start"] = rng.integers(0, 50, (count, ndim))
    rows["stop"] = rows["start"] + rng.integers(1, 50, (count, ndim)).astype(np.uint64)
    rows["low"] = rng.integers(0, 10**6, (count, ndim))
    return rows


@pytest.mark.parametrize("memory", [None, 0], ids=["in memory", "in files"])
@pytest.mark.parametrize("box", [((0, 99),) * 3, ((0, 2**40), (0, 2**40))], ids=["short", "long"])
@pytest.mark.parametrize("label", ["u1", "i2", "u4", "i8", "u8"])
def test_equal_to_all_at_once(
    label: str, box: Any, memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However rows come and are cut, the table is that of all rows together."""
    monkeypatch.setattr(totals, "_SHORTEST_RUN", 300)
    monkeypatch.setattr(totals, "_BLOCK", 70)
    rng = np.random.default_rng(len(box))
    found = totals.Totals(np.dtype(label), box, memory)
    parts = [some_rows(rng, int(rng.integers(0, 80)), label, len(box)) for _ in range(40)]
    if len(box) == 2:
        for part in parts:
            part["high"] = rng.integers(0, 5, part["high"].shape)
    for part in parts:
        found.add(part.copy())
    table = found.table(np.dtype(label))
    expected = table_of(merged(np.concatenate(parts)), np.dtype(label), len(box))
    assert table.dtype == expected.dtype
    assert np.array_equal(table, expected)


def test_nothing() -> None:
    """Without rows the table is empty."""
    assert len(totals.Totals(np.dtype("u4"), ((0, 4),)).table(np.dtype("u4"))) == 0


def test_memory_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array gives the same statistics with its rows in files."""
    monkeypatch.setattr(totals, "_SHORTEST_RUN", 300)
    monkeypatch.setattr(totals, "_BLOCK", 70)
    voxels = np.random.default_rng(3).integers(0, 5000, (12, 20, 20)).astype("u4")
    array = cz.create_array({}, data=voxels, chunks=(4, 7, 9))
    expected = cz.statistics(voxels)
    assert np.array_equal(cz.statistics(array, memory=1000), expected)
    assert np.array_equal(cz.statistics(array, parallel=1), expected)
    with pytest.raises(ValueError, match="number of bytes, not -1"):
        cz.statistics(array, memory=-1)
    with pytest.raises(TypeError, match="memory is for stored arrays"):
        cz.statistics(voxels, memory=1)


def test_little_memory_for_a_label() -> None:
    """Each of a million labels takes at most 105 bytes while rows are added up; the rows become the table."""
    count, most = 2**20, 0
    found = totals.Totals(np.dtype("u8"), ((0, 1000),) * 3)
    for start in range(0, count, 2**13):
        rows = np.zeros(2**13, dtype=rows_dtype(np.dtype("u8"), 3))
        rows["label"] = np.arange(start, start + 2**13) * 7919 % (count * 8)
        rows["voxels"] = 1
        found.add(rows)
        most = max(most, found._rows._memory.nbytes + found._rows._slots.nbytes)
    assert most / count < 105
    taken: list[Any] = []
    ascending = found._ascending
    found._ascending = lambda: taken.append(ascending()) or taken[-1]  # type: ignore[method-assign]
    table = found.table(np.dtype("u8"))
    assert len(table) == count
    assert table.nbytes == 88 * count
    assert np.shares_memory(table.view(np.ndarray), taken[0])


def test_spills_to_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond ``memory`` rows are sorted runs in one file, however many; labels of many runs have one row."""
    monkeypatch.setattr(totals, "_SHORTEST_RUN", 300)
    files: list[Any] = []
    make = tempfile.TemporaryFile

    def counted(*args: Any, **kwargs: Any) -> Any:
        files.append(make(*args, **kwargs))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", counted)
    found = totals.Totals(np.dtype("u4"), ((0, 99),) * 3, 0)
    rng = np.random.default_rng(1)
    parts = [some_rows(rng, 2000, "u4", 3) for _ in range(5)]
    for part in parts:
        found.add(part)
    assert len(found._runs) > 5
    assert len(files) == 1
    expected = table_of(merged(np.concatenate(parts)), np.dtype("u4"), 3)
    assert np.array_equal(found.table(np.dtype("u4")), expected)
    assert files[0].closed
    assert not found._runs
    assert len(found.table(np.dtype("u4"))) == 0  # it begins anew


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are Unix's")
def test_a_full_disk_is_an_error() -> None:
    """Rows for which the disk has no room raise OSError, and the file is closed."""
    program = """
import gc, resource
import numpy as np
from crackle_zarr.stored import totals
from crackle_zarr.streams.statistics import rows_dtype
totals._SHORTEST_RUN = 300
found = totals.Totals(np.dtype("u4"), ((0, 99),) * 3, 0)
rows = np.zeros(250, dtype=rows_dtype(np.dtype("u4"), 3))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for start in range(0, 10**5, 250):
        rows["label"] = np.arange(start, start + 250)
        found.add(rows)
except OSError as error:
    print("OSError", len(found._runs))
file = found._file
del found
gc.collect()
print(file.closed)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    name, runs, closed = done.stdout.split()
    assert (name, closed) == ("OSError", "True")
    assert int(runs) > 1
    assert not done.stderr


def test_no_memory_for_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory cannot grow, C is not told that it did."""
    dtype = rows_dtype(np.dtype("u4"), 3)
    many = np.zeros(10**4, dtype=dtype)
    many["label"] = np.arange(10**4)
    found = _binding.RowTotals(dtype)
    room = found._totals.capacity

    class Full:
        """Memory that does not grow."""

        def resize(self, *_: Any, **__: Any) -> None:
            raise MemoryError

    memory = found._memory
    found.add(many[:room])
    assert len(found) == room
    found._memory = Full()  # type: ignore[assignment]
    with pytest.raises(MemoryError):
        found._grow()
    found._memory = memory
    assert found._totals.capacity * dtype.itemsize == memory.nbytes

    monkeypatch.setattr(np, "zeros", lambda *_, **__: Full().resize())
    found._totals.count = found._totals.num_slots // 4 * 3
    found._totals.capacity = found._totals.count + 1
    with pytest.raises(MemoryError):
        found._grow()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="argument"):
        found._call(_binding.totals.lib.crackle_totals_index)


def test_rows_of_another_kind_are_refused() -> None:
    """C is not given rows of other lengths than it is told."""
    totals = _binding.RowTotals(rows_dtype(np.dtype("u4"), 3, short=True))
    for dtype in (rows_dtype(np.dtype("u4"), 3, short=True), rows_dtype(np.dtype("u8"), 3)):
        with pytest.raises(ValueError, match="rows of labels of 4 bytes and 3 axes"):
            totals.add(np.zeros(2, dtype=dtype))
    assert len(totals) == 0


def test_orders_are_permutations() -> None:
    """Rows move as an index would have them; anything but a permutation is refused."""
    rng = np.random.default_rng(0)
    rows = some_rows(rng, 500, "u2", 3)
    order = rng.permutation(500)
    expected = rows[order]
    _binding.order_rows(rows, order)
    assert np.array_equal(rows, expected)
    for wrong in ([0, 1, 3], [0, -1, 1], [1, 1, 0], [1, 2, 1]):
        with pytest.raises(ValueError, match="argument"):
            _binding.order_rows(rows[:3].copy(), np.array(wrong))
