"""Rows of very many labels, added up part by part: the same as added up at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import crackle_zarr as cz
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
    monkeypatch.setattr(totals, "_WAITING", 50)
    monkeypatch.setattr(totals, "_MANY", 300)
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
    monkeypatch.setattr(totals, "_WAITING", 50)
    monkeypatch.setattr(totals, "_MANY", 300)
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
    """Each of a million labels takes no more than 120 bytes while rows are added up."""
    count = 2**20
    found = totals.Totals(np.dtype("u8"), ((0, 1000),) * 3)
    most = 0
    for start in range(0, count, 2**15):
        rows = np.zeros(2**15, dtype=rows_dtype(np.dtype("u8"), 3))
        rows["label"] = np.arange(start, start + 2**15) * 7919 % (count * 8)
        rows["voxels"] = 1
        found.add(rows)
        held = [one.nbytes for one in (*found._parts, *found._new)]
        # A part is copied twice while it is merged.
        most = max(most, sum(held) + 2 * max(map(len, found._parts)) * found._dtype.itemsize)
    assert most / count < 120
    assert len(found.table(np.dtype("u8"))) == count
