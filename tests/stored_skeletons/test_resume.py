"""Runs that were interrupted: killed, out of disk, by Ctrl-C; and what may go on with them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiles_cases as cases
import zarr
from tiles_cases import OPTIONS, SMALL, TEASAR

import crackle_zarr as cz
from crackle_zarr._base import atomic_files

pytest.importorskip("pyarrow")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed(tmp_path: Path) -> None:
    """After SIGKILL before or after any file, the same call goes on, and writes the same bytes."""
    script = Path(__file__).resolve().parents[1] / "killed.py"
    done = subprocess.run(
        [sys.executable, script, "skeletons", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10  # deaths


@pytest.fixture
def array(tmp_path: Path) -> zarr.Array:
    return cases.stored(tmp_path / "a.zarr", cases.seg()[:24, :48, :48])


def run(array: Any, out: Path, **given: Any) -> Any:
    return cz.skeletonize(array, **{"teasar_params": TEASAR, "out": out, "memory": SMALL, **OPTIONS, **given})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_full_disk_and_ctrl_c(
    error: BaseException, after: int, array: zarr.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was whole stays, no temporary file is left, and a run that goes on traces the rest alone."""
    expected = contents(run(array, tmp_path / "whole").path)
    rename, left = os.replace, after

    def replace(*paths: Any) -> None:
        nonlocal left
        if left == 0:
            raise error
        left -= 1
        rename(*paths)

    monkeypatch.setattr(atomic_files.os, "replace", replace)
    with pytest.raises(type(error)):
        run(array, tmp_path / "out", parallel=1)
    monkeypatch.undo()
    there = contents(tmp_path / "out") if (tmp_path / "out").exists() else {}
    assert len(there) == after
    assert not any(".tmp" in name for name in there)
    assert contents(run(array, tmp_path / "out", resume=True).path) == expected


def test_only_the_same_run_goes_on(
    array: zarr.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without resume or overwrite nothing is touched; another array or other parameters are refused."""
    out = tmp_path / "out"
    interrupt(array, out, monkeypatch)
    before = contents(out)
    for given, error, message in [
        ({}, FileExistsError, "unfinished dataset of skeletons: resume=True goes on with it, overwrite=True"),
        ({"resume": True, "teasar_params": {"const": 7}}, ValueError, "another teasar: give the same"),
        ({"resume": True, "dust_threshold": 7}, ValueError, "another dust_threshold"),
        ({"resume": True, "memory": 2 * SMALL}, ValueError, "another tiles and another memory"),
        ({"resume": True, "region": slice(0, 20)}, ValueError, "another source"),
        ({"resume": True, "anisotropy": (1, 2, 3)}, ValueError, "another space"),
    ]:
        with pytest.raises(error, match=message):
            run(array, out, **given)
        assert contents(out) == before
    with pytest.raises(ValueError, match="another source"):
        run(cz.lazy_remap(array, {1: 2}), out, resume=True)
    other = run(array, out, overwrite=True, dust_threshold=7)
    assert other.plan["parameters"]["dust_threshold"] == 7
    with pytest.raises(FileExistsError, match="is a dataset of skeletons: overwrite=True replaces it"):
        run(array, out)
    # A run that is whole is the answer of the same run.
    assert contents(run(array, out, resume=True, dust_threshold=7).path) == contents(out)


def interrupt(array: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run with a plan and three tiles."""
    rename, left = os.replace, 4

    def replace(*paths: Any) -> None:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= 1
        rename(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(atomic_files.os, "replace", replace)
        with pytest.raises(OSError, match="No space"):
            run(array, out, parallel=1)
    assert len(list((out / "tiles").iterdir())) == 3


@pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")
@pytest.mark.parametrize("codec", ["crackle", "shards", "zstd"])
def test_a_changed_array_is_refused(codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that changed since they were traced are found by their checksums, whatever their codec."""
    voxels = cases.seg()[:24, :48, :48]
    keywords: dict[str, Any] = {"shards": (8, 32, 32)} if codec == "shards" else {}
    if codec == "zstd":
        array = zarr.create_array(tmp_path / "a.zarr", data=voxels, chunks=(8, 16, 16))
    else:
        array = cases.stored(tmp_path / "a.zarr", voxels, **keywords)
    out = tmp_path / "out"
    interrupt(array, out, monkeypatch)
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    shutil.copytree(out, tmp_path / "out b")
    array[2, 3, 4] = 77
    with pytest.raises(ValueError, match=r"has changed since this run began, within the voxels \(0, 0, 0\)"):
        run(array, out, resume=True)
    # A copy of the array as it was is the same array.
    copy = zarr.open_array(tmp_path / "b.zarr")
    assert len(run(copy, tmp_path / "out b", resume=True)) > 3


def test_without_out_nothing_is_left(
    array: zarr.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skeletons that are returned as a dict leave no files."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    found = cz.skeletonize(array, TEASAR, memory=SMALL, **OPTIONS)
    assert found == run(array, tmp_path / "out").to_dict()
    assert list((tmp_path / "temporary").iterdir()) == []
    assert np.all([one.id == label for label, one in found.items()])
