"""Arrays, places and expected answers for the tests of commands on stored arrays."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_line import COMMAND, environment

import crackle_zarr
from crackle_zarr.synthetic import neurons

COMMANDS = ["stats", "find", "crop", "remap", "convert", "verify", "info", "labels"]


@pytest.fixture(scope="module")
def seg():
    """A volume (z, y, x)."""
    return neurons((12, 40, 50), seed=2, dtype=np.uint32)


@pytest.fixture(scope="module")
def label(seg):
    """A label of medium size."""
    values, counts = np.unique(seg, return_counts=True)
    return int(values[np.argsort(counts)[len(values) // 2]])


def stored(name: str, array: np.ndarray, **options: object) -> Path:
    """A Zarr array in the current folder; its chunks do not divide its shape."""
    keywords = {"chunks": tuple(min(16, length) for length in array.shape), **options}
    made = crackle_zarr.create_array(name, shape=array.shape, dtype=array.dtype, **keywords)
    made[...] = array
    return Path(name)


@pytest.fixture
def source(run, seg):
    """The volume in Zarr, stored with Crackle."""
    return stored("seg.zarr", seg)


@pytest.fixture
def plain(run, seg):
    """The volume in Zarr of format 2, stored without Crackle."""
    made = zarr.create_array(
        "plain.zarr", shape=seg.shape, dtype=seg.dtype, chunks=(8, 16, 16), zarr_format=2
    )
    made[...] = seg
    return Path("plain.zarr")


def read(name: str | Path) -> np.ndarray:
    return np.asarray(zarr.open_array(str(name), mode="r")[...])


def damage(folder: Path, key: str = "c/0/1/1") -> None:
    """Change one bit in the middle of a chunk."""
    path = folder / key
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 4
    path.write_bytes(changed)


def box_of(mask: np.ndarray) -> list[tuple[int, int]]:
    return [(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask)]


def expected_rows(volume: np.ndarray) -> list[dict[str, float]]:
    """The rows that ``stats`` should print for a volume, computed by NumPy."""
    rows = []
    for label in np.unique(volume):
        mask = volume == label
        row: dict[str, float] = {"label": int(label), "voxel_count": int(mask.sum())}
        for axis, (start, stop) in enumerate(box_of(mask)):
            row |= {f"start_{axis}": start, f"stop_{axis}": stop}
            row[f"centroid_{axis}"] = float(np.nonzero(mask)[axis].mean())
        rows.append(row)
    return rows


def check_csv(text: str, expected: list[dict[str, float]]) -> None:
    """Compare a CSV file with NumPy's rows: integers exactly, means to the last few bits."""
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(expected)
    for row, right in zip(rows, expected, strict=True):
        assert set(row) == set(right)
        for name, value in right.items():
            if name.startswith("centroid"):
                assert float(row[name]) == pytest.approx(value, rel=1e-12)
            else:
                assert row[name] == str(value)


# ---------------------------------------------------------------------------------------
# On a terminal


def on_a_terminal(folder: Path, *arguments: object, out: bool) -> tuple[int, str, str]:
    """Run with stderr (and stdout if ``out``) on a terminal; returns exit code, terminal text and stdout."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    pytest.importorskip("termios").tcsetwinsize(slave, (24, 120))
    command = [*COMMAND, *map(str, arguments)]
    shown = b""
    with subprocess.Popen(
        command,
        env=environment(TERM="xterm"),
        cwd=folder,
        stdout=slave if out else subprocess.PIPE,
        stderr=slave,
    ) as process:
        os.close(slave)
        with contextlib.suppress(OSError):  # Linux closes the terminal when the last writer closes it
            while piece := os.read(master, 10_000):
                shown += piece
        os.close(master)
        said = b"" if process.stdout is None else process.stdout.read()
    return process.returncode, shown.decode(), said.decode()


@pytest.fixture
def interrupted(seg, source, label, monkeypatch):
    """An array whose remap stopped while it replaced chunks."""
    from crackle_zarr.stored.editing import edit

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(edit, "copy_to_array", stop)
        with pytest.raises(KeyboardInterrupt):
            crackle_zarr.remap(zarr.open_array(str(source), mode="r+"), {label: 1})
    return source


# ---------------------------------------------------------------------------------------
# labels, info, verify: files and arrays alike


def ome(volume: np.ndarray, name: str) -> None:
    """OME-Zarr labels of two levels."""
    group = zarr.open_group(name, mode="w")
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}
    for level, array in enumerate((volume, volume[::2, ::2, ::2])):
        made = crackle_zarr.create_array(
            name, name=str(level), shape=array.shape, dtype=array.dtype, chunks=(6, 16, 16)
        )
        made[...] = array
