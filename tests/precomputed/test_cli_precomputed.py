"""Precomputed volumes on the command line: convert, info, and the questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import one_line
from precomputed_cases import SPACE, blobs, by_tensorstore, of_crackle, pyramid, read_by_tensorstore

import crackle_zarr

VOLUME = "precomputed://v"


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "crackle"])
def test_there_and_back(run: Any, encoding: str) -> None:
    """The command writes a volume, and reads it; voxel size and offset travel."""
    voxels = blobs(1, (40, 50, 60))
    crackle_zarr.create_array("seg.zarr", data=voxels, chunks=(16, 32, 32), attributes=SPACE)
    ran = run("convert", "seg.zarr", VOLUME, "--encoding", encoding)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(
        f"seg.zarr -> {VOLUME}  40 x 50 x 60 (z, y, x) -> 40 x 50 x 60 (z, y, x), 1 scale, "
    )
    ran = run("convert", VOLUME, "back.zarr")
    assert ran.code == 0, ran.err
    assert ran.out.startswith(
        f"{VOLUME} -> back.zarr  40 x 50 x 60 (z, y, x) -> 40 x 50 x 60 (z, y, x), 1 array, "
    )
    back = zarr.open_array("back.zarr", mode="r")
    np.testing.assert_array_equal(back[...], voxels)
    assert {key: back.attrs[key] for key in SPACE} == SPACE
    ran = run("info", VOLUME)
    assert ran.code == 0, ran.err
    assert "Neuroglancer precomputed, uint32" in ran.out
    for cell in ("4_4_40", "60 x 50 x 40", "4 x 4 x 40", "-3, 2, 2", encoding):
        assert cell in ran.out
    assert run("labels", VOLUME).out.split() == [str(label) for label in np.unique(voxels)]


def test_files_become_volumes(run: Any) -> None:
    """A file is a source, and a destination."""
    volume = blobs(2, (60, 50, 40))
    np.save("seg.npy", volume)
    ran = run("convert", "seg.npy", VOLUME, "--chunks", "8,16,32")
    assert ran.code == 0, ran.err
    assert "480,000 -> " in ran.out
    assert "voxel size unknown, written as 1 nm" in ran.out
    np.testing.assert_array_equal(read_by_tensorstore(Path("v")), volume)
    (scale,) = json.loads(Path("v/info").read_text())["scales"]
    assert scale["chunk_sizes"] == [[32, 16, 8]]
    ran = run("convert", VOLUME, "back.npy")
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(np.load("back.npy"), volume)


def test_pyramids(run: Any) -> None:
    """A group of OME-Zarr labels becomes a volume of as many scales; --scale chooses one."""
    _, voxels = pyramid("ome.zarr")
    ran = run("convert", "ome.zarr", VOLUME, "--encoding", "raw")
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"ome.zarr -> {VOLUME}  3 scales, ")
    (record,) = json.loads(run("info", "--json", VOLUME).out)
    assert record["kind"] == "precomputed"
    assert [scale["key"] for scale in record["scales"]] == ["4_4_40", "8_8_40", "16_16_40"]
    assert record["scales"][1]["voxel_size"] == [8, 8, 40]
    for scale, level in (("16_16_40", 2), ("1", 1)):
        for name in (f"{level}.zarr", f"{level}.npy"):
            ran = run("convert", VOLUME, name, "--scale", scale)
            assert ran.code == 0, ran.err
        np.testing.assert_array_equal(zarr.open_array(f"{level}.zarr", mode="r")[...], voxels[level])
        np.testing.assert_array_equal(np.load(f"{level}.npy"), voxels[level].T)
    ran = run("convert", VOLUME, "x.zarr", "--scale", "7")
    assert ran.code == 2
    assert "there is no scale 7; there are 4_4_40, 8_8_40, 16_16_40, or 0 to 2" in one_line(ran)


def test_refused(run: Any) -> None:
    """Options and places that do not go together, each with what to do."""
    crackle_zarr.create_array("seg.zarr", data=blobs(3, (20, 20, 20)))
    by_tensorstore(Path("v"), blobs(3, (20, 20, 20)))
    cases = {
        ("seg.zarr", VOLUME): "exists already: --overwrite replaces it",
        ("seg.zarr", "precomputed://new", "--to", "zstd"): "--to is for Zarr arrays",
        ("seg.zarr", "precomputed://new", "--shards", "8,8,8"): "--shards is for Zarr arrays",
        ("seg.zarr", "precomputed://new", "--preset", "small"): "give --encoding crackle",
        ("seg.zarr", "precomputed://new", "--chunks", "8,8"): "three positive numbers along z, y and x",
        ("seg.zarr", "new.zarr", "--encoding", "raw"): "--encoding is for precomputed volumes",
        ("seg.zarr", "new.zarr", "--scale", "0"): "--scale is for precomputed volumes",
        ("seg.zarr", "precomputed://seg.zarr"): "give another destination",
        ("precomputed://none", "new.zarr"): "there is no folder none",
        ("precomputed://seg.zarr", "new.zarr"): "there is no precomputed volume",
        (VOLUME, "new.zarr", "--storage-option", "anon=true"): "storage-option is for URLs",
    }
    for arguments, message in cases.items():
        ran = run("convert", *arguments)
        assert ran.code == 2, arguments
        assert message in one_line(ran), arguments
    assert not Path("new.zarr").exists()
    assert not Path("new").exists()
    ran = run("remap", VOLUME, "1=2")
    assert ran.code == 2
    assert "precomputed volumes are read only" in one_line(ran)
    Path("v/info").write_text("{")
    ran = run("info", VOLUME)
    assert ran.code == 1
    assert "its info file is damaged" in one_line(ran)


def test_without_tensorstore(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    crackle_zarr.create_array("seg.zarr", data=blobs(4, (20, 20, 20)))
    monkeypatch.setitem(__import__("sys").modules, "tensorstore", None)
    ran = run("convert", "seg.zarr", VOLUME)
    assert ran.code == 2
    assert "pip install 'crackle-zarr[precomputed]'" in one_line(ran)
    assert run("convert", "seg.zarr", VOLUME, "--encoding", "crackle").code == 0


def test_a_damaged_chunk(run: Any) -> None:
    """The error names the file of the chunk."""
    streams = of_crackle(Path("v"), blobs(5, (40, 40, 40)))
    name = "16-32_16-32_16-32"
    Path(f"v/4_4_40/{name}").write_bytes(streams[name][:-2])
    ran = run("convert", VOLUME, "seg.zarr")
    assert ran.code == 1
    assert name in one_line(ran)
