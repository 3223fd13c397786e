"""The commands of the label index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from index_cases import cubes, stored
from zarr.storage import LocalStore

import crackle_zarr as cz


@pytest.fixture
def seg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The place of an array in the current folder."""
    monkeypatch.chdir(tmp_path)
    stored(cubes(1), LocalStore(tmp_path))
    return "seg"


def test_a_life(run: Any, seg: str) -> None:
    """An index is built, used, checked, updated and removed; each command says what it did."""
    voxels = zarr.open_array(seg, mode="r")[...]
    labels = np.unique(voxels)
    ran = run("index", "info", seg)
    assert ran.code == 2
    assert "'crackle-zarr index build'" in ran.err
    ran = run("index", "build", seg)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"seg: {len(labels)} labels, ")
    assert "bytes of index" in ran.out
    ran = run("index", "build", seg)
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert run("index", "build", seg, "--overwrite").code == 0
    found = json.loads(run("index", "info", seg, "--json").out)
    assert found["labels"] == len(labels)
    assert found["chunks"] == 36
    label = str(labels[3])
    assert json.loads(run("find", "--json", seg, label).out)["indexed"] is True
    assert json.loads(run("find", "--json", seg, label, "--index", "ignore").out)["indexed"] is False
    assert run("labels", seg, "--index", "require").out.split() == [str(one) for one in labels.tolist()]
    assert run("index", "check", seg).out == ""
    array = zarr.open_array(seg, mode="r+")
    array[0, 0, 0] = 77777
    ran = run("index", "check", seg)
    assert (ran.code, ran.out) == (1, "changed 0,0,0\n")
    assert "crackle-zarr index update seg" in ran.err
    assert json.loads(run("index", "check", seg, "--json").out)["changes"] == [
        {"chunk": [0, 0, 0], "change": "changed"}
    ]
    ran = run("index", "update", seg)
    assert ran.code == 0
    assert "1 chunk measured" in ran.out
    assert run("index", "check", seg, "--content").code == 0
    assert run("remap", seg, "77777=88888").code == 0
    assert run("find", seg, "88888", "--index", "require").code == 0
    assert run("find", seg, "77777", "--index", "require").code == 3
    assert run("remap", seg, "88888=99999", "--index", "require", "--dry-run").code == 0
    ran = run("stats", seg, "--index", "require", "--label", "88888")
    assert ran.out.splitlines()[1].startswith("88888,1,")
    assert run("index", "remove", seg).out == "seg: the label index is removed\n"
    ran = run("labels", seg, "--index", "require")
    assert ran.code == 2
    assert "'crackle-zarr index build'" in ran.err
    ran = run("remap", seg, "88888=99999", "--index", "require")
    assert ran.code == 2
    assert "'crackle-zarr index build'" in ran.err
    assert run("find", seg, "88888").code == 0  # as it was
    assert run("index", "remove", seg).code == 2


def test_levels(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level of OME-Zarr labels may have an index."""
    monkeypatch.chdir(tmp_path)
    voxels = cubes(2, (16, 32, 64)).astype(np.uint32)
    cz.write_ome_labels("cells", None, voxels, chunks=(8, 8, 16), factors=(2, 2, 2), levels=2)
    assert run("index", "build", "cells", "--level", "1").code == 0
    assert run("labels", "cells", "--level", "1", "--index", "require").code == 0
    assert run("labels", "cells", "--index", "require").code == 2


@pytest.mark.parametrize("command", [[], ["build"], ["update"], ["check"], ["info"], ["remove"]])
def test_help(run: Any, command: list[str]) -> None:
    """Each command has help with examples."""
    ran = run("index", *command, "--help")
    assert ran.code == 0
    assert "crackle-zarr index" in ran.out
    assert "Examples:" in ran.out
