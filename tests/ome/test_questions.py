"""Questions to levels, answers in physical units, verification of pyramids, and what info shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import Ran, one_line, run  # noqa: F401 - a fixture
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.ome import open_multiscale, space_of

SEG = np.zeros((8, 64, 48), "u4")
SEG[2:5, 10:30, 4:20] = 7
SEG[6:, 40:, 30:] = 9


def group_of(store: Any, **options: Any) -> zarr.Group:
    given = {"chunks": (4, 16, 16), "levels": 3, "origin": (100, 0, 0), **options}
    return cz.write_ome_labels(store, None, SEG, "zyx", (40, 8, 8), "nm", **given).group


def test_levels() -> None:
    """Questions take a level; indices are those of the level's array."""
    group = group_of(MemoryStore())
    levels = open_multiscale(group).levels
    for number, level in enumerate(levels):
        assert np.array_equal(cz.statistics(group, level=number), cz.statistics(level))
        assert cz.find(group, 7, level=number).slices == cz.find(level, 7).slices
        assert np.array_equal(cz.crop(group, 7, level=number).mask, cz.crop(level, 7).mask)
    assert cz.find(group, 7, level=1).slices == (slice(2, 5), slice(5, 15), slice(2, 10))
    with pytest.raises(ValueError, match="has the levels 0 to 2, and not 3"):
        cz.labels(group, level=3)
    with pytest.raises(TypeError, match="level is for groups of OME-Zarr"):
        cz.labels(levels[0], level=0)
    with pytest.raises(TypeError, match="level"):
        cz.labels(cz.compress(SEG.T), level=0)
    with pytest.raises(TypeError, match="an edit of a group changes all its levels"):
        cz.resume(group, level=1)


def test_units() -> None:
    """Boxes, centroids and volumes in physical units agree between levels, and for plain arrays."""
    group = group_of(MemoryStore())
    rows = cz.statistics(group, units=True)
    row = rows[rows["label"] == 7][0]
    assert row["volume"] == 3 * 20 * 16 * 40 * 8 * 8
    assert row["start"].tolist() == [100 + 1.5 * 40, 9.5 * 8, 3.5 * 8]
    assert row["stop"].tolist() == [100 + 4.5 * 40, 29.5 * 8, 19.5 * 8]
    assert row["centroid"].tolist() == [100 + 3 * 40, 19.5 * 8, 11.5 * 8]
    assert {"volume", "start_0", "centroid_2"} <= set(rows.columns())
    bounds = cz.find(group, 7).bounds
    assert bounds == tuple(zip(row["start"].tolist(), row["stop"].tolist(), strict=True))
    assert cz.find(group, 8).bounds is None
    with pytest.raises(ValueError, match="states no voxel size"):
        _ = cz.find(cz.create_array({}, data=SEG), 7).bounds
    coarse = cz.statistics(group, units=True, level=2)
    assert np.allclose(coarse[coarse["label"] == 7]["centroid"], row["centroid"], atol=16)
    array = cz.create_array({}, data=SEG, attributes={"voxel_size": [40, 8, 8], "voxel_origin": [100, 0, 0]})
    assert np.array_equal(cz.statistics(array, units=True), rows)
    assert space_of(array).voxel_size == space_of(group).voxel_size
    with pytest.raises(ValueError, match="states no voxel size"):
        cz.statistics(cz.create_array({}, data=SEG), units=True)
    with pytest.raises(TypeError, match="a stream has no voxel size"):
        cz.statistics(cz.compress(SEG.T), units=True)


def test_verify() -> None:
    """Verification looks at all levels, and at whether they agree."""
    store = MemoryStore()
    group = group_of(store)
    assert cz.verify(group) == []
    level = open_multiscale(group).levels[1]
    right = level[...]
    level[2, 20, 20] = 5
    (found,) = cz.verify(group)
    assert (found.chunk, found.key) == ((0, 1, 1), "s1/c/0/1/1")
    assert "not those that pooling s0 makes" in found.message
    assert cz.verify(group, level=1) == []
    level[...] = right
    whole = store._store_dict["s2/c/0/0/0"]
    raw = bytearray(whole.to_bytes())
    raw[-1] ^= 1
    store._store_dict["s2/c/0/0/0"] = whole.from_bytes(bytes(raw))
    (found,) = cz.verify(group)
    assert found.key == "s2/c/0/0/0"
    assert "damaged" in found.message
    assert cz.verify(group, region=...) == []


def test_verify_sparse() -> None:
    """The metadata tell that a pyramid is sparse."""
    group = group_of(MemoryStore(), sparse=True)
    assert cz.verify(group) == []


def test_info(run: Callable[..., Ran]) -> None:
    """info shows the levels and the voxel size of each."""
    group_of("a.ome.zarr")
    shown = run("info", "a.ome.zarr").out
    assert "0.5, label image of 3 levels" in shown
    assert "s1: 8 x 32 x 24, voxels of 40 x 16 x 16" in shown
    (record,) = json.loads(run("info", "--json", "a.ome.zarr").out)
    assert [level["path"] for level in record["levels"]] == ["s0", "s1", "s2"]
    assert record["levels"][2]["voxel_size"] == [40, 32, 32]
    assert record["voxel_unit"] == "nanometer"


def test_command_line(run: Callable[..., Ran]) -> None:
    """--level and --units; verify reports levels that differ."""
    group = group_of("a.ome.zarr")
    assert "2:5,5:15,2:10" in run("find", "a.ome.zarr", "7", "--level", "1").out
    assert run("labels", "a.ome.zarr", "--level", "2").out == "0\n7\n9\n"
    lines = run("stats", "a.ome.zarr", "--units", "--csv").out.splitlines()
    assert lines[0].startswith("label,voxel_count,volume,start_0")
    assert lines[2].startswith("7,960,2457600.0,160.0,76.0,28.0")
    assert run("verify", "a.ome.zarr").out == "a.ome.zarr: sound\n"
    open_multiscale(group).levels[2][...] = 3
    ran = run("verify", "a.ome.zarr")
    assert ran.code == 1
    assert "chunks are damaged" in ran.out or "chunk is damaged" in ran.out
    assert "--level is for OME-Zarr" in one_line(run("labels", "a.ome.zarr/s0", "--level", "1"))
