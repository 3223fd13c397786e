"""Groups that are not of OME-Zarr: their arrays are listed, and the only one is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_line import Ran, one_line, run  # noqa: F401 - run is a fixture

import crackle_zarr as cz

Run = Callable[..., Ran]
SEG = np.arange(4 * 6 * 8, dtype=np.uint16).reshape(4, 6, 8) // 40
FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def group(path: Path, zarr_format: int, *names: str) -> zarr.Group:
    """A group with an array of Crackle at each name, and a file of another program."""
    made = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name in names:
        folder = name.rpartition("/")[0]
        if folder:
            made.require_group(folder)
        cz.create_array(path, name=name, data=SEG, chunks=(2, 6, 8), zarr_format=zarr_format)
    (path / "notes").mkdir()
    (path / "notes" / "README.txt").write_text("not of Zarr")
    return made


@FORMATS
def test_the_only_array_is_taken(run: Run, tmp_path: Path, zarr_format: int) -> None:
    """A group with one array, at any depth, stands for it, in Python and in every command."""
    made = group(tmp_path / "g.zarr", zarr_format, "volumes/labels/seg")
    labels = np.unique(SEG).tolist()
    assert cz.labels(zarr.open_group(tmp_path / "g.zarr", mode="r")).tolist() == labels
    assert run("labels", "g.zarr").out.split() == list(map(str, labels))
    record = json.loads(run("info", "--json", "g.zarr").out)[0]
    assert (record["kind"], record["array"], record["shape"]) == ("zarr", "volumes/labels/seg", [4, 6, 8])
    assert run("remap", "g.zarr", "1=77").code == 0
    assert cz.contains(made["volumes/labels/seg"], 77)
    assert run("find", "g.zarr", "77").code == 0
    assert run("convert", "g.zarr", "out.npy").code == 0


@FORMATS
def test_several_are_listed(run: Run, tmp_path: Path, zarr_format: int) -> None:
    """info lists the arrays at any depth with shape, dtype and codec; other commands do so in their error."""
    made = group(tmp_path / "g.zarr", zarr_format, "seg", "deep/er/seg")
    made.create_array("deep/raw", shape=(5, 5), chunks=(5, 5), dtype="f4", compressors=None)
    ran = run("info", "g.zarr")
    assert ran.code == 0
    assert ran.err == ""
    lines = [line for line in ran.out.splitlines() if "4 x 6 x 8" in line]
    assert [line.split()[0] for line in lines] == ["deep/er/seg", "seg"]
    assert all("uint16" in line and "Crackle" in line for line in lines)
    record = json.loads(run("info", "--json", "g.zarr").out)[0]
    assert record["kind"] == "group"
    assert [one["path"] for one in record["arrays"]] == ["deep/er/seg", "deep/raw", "seg"]
    assert record["arrays"][1]["dtype"] == "float32"
    error = one_line(run("labels", "g.zarr"))
    assert "open one of its 3 arrays: deep/er/seg (4 x 6 x 8 uint16, crackle)" in error
    assert "deep/raw (5 x 5 float32, no codec)" in error
    assert run("labels", "g.zarr/deep/er/seg").code == 0
    inner = json.loads(run("info", "--json", "g.zarr/deep").out)[0]
    assert [one["path"] for one in inner["arrays"]] == ["er/seg", "raw"]


def test_no_arrays(run: Run, tmp_path: Path) -> None:
    """An empty group says so."""
    group(tmp_path / "g.zarr", 3)
    assert "there is no array in it" in one_line(run("labels", "g.zarr"))
    assert "none" in run("info", "g.zarr").out


def test_many_arrays_are_cut_short(run: Run, tmp_path: Path) -> None:
    """An error lists ten arrays and counts the others."""
    made = zarr.open_group(tmp_path / "g.zarr", mode="w")
    for number in range(12):
        made.create_array(f"a{number:02}", shape=(2,), chunks=(2,), dtype="u1")
    error = one_line(run("labels", "g.zarr"))
    assert "a09 (" in error
    assert "a10 (" not in error
    assert "and 2 more" in error
