"""Arrays with chunks of different shapes: the codec takes them, queries and edits refuse them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from chunks import blocks

import crackle_zarr as cz
from crackle_zarr import cli

LABELS = blocks((6, 8, 8), "<u4")

pytestmark = pytest.mark.skipif(
    zarr.config.get("array.rectilinear_chunks", None) is None,
    reason=f"Zarr {zarr.__version__} has no rectilinear chunk grids",
)

ASK: dict[str, Callable[[Any], Any]] = {
    "labels": cz.labels,
    "contains": lambda array: cz.contains(array, 2),
    "voxel_counts": cz.voxel_counts,
    "statistics": cz.statistics,
    "crop": lambda array: cz.crop(array, 2),
    "verify": cz.verify,
    "remap": lambda array: cz.remap(array, {1: 2}),
    "lazy_remap": lambda array: cz.lazy_remap(array, {1: 2}),
}


@pytest.fixture(params=["crackle", "zstd"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The place of an array with such chunks, which Zarr reads and writes."""
    codecs: dict[str, Any] = {"serializer": cz.CrackleCodec(), "compressors": None}
    with zarr.config.set({"array.rectilinear_chunks": True}):
        array = zarr.create_array(
            tmp_path / "a.zarr",
            shape=LABELS.shape,
            dtype=LABELS.dtype,
            chunks=[[2, 4], [8], [3, 5]],
            **(codecs if request.param == "crackle" else {}),
        )
        array[...] = LABELS
        yield tmp_path / "a.zarr"


def test_the_codec_takes_them(place: Path) -> None:
    """Such chunks are read and written whole and in parts."""
    array = zarr.open_array(place, mode="r")
    np.testing.assert_array_equal(array[...], LABELS)
    np.testing.assert_array_equal(array[3, :, 4], LABELS[3, :, 4])
    np.testing.assert_array_equal(array[1:5:2, 2:7], LABELS[1:5:2, 2:7])


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_refused(ask: Callable[[Any], Any], place: Path) -> None:
    """The error names the array and the unsupported grid; nothing is written."""
    array = zarr.open_array(place, mode="r+")
    with pytest.raises(NotImplementedError, match=r"a\.zarr has chunks of different shapes"):
        ask(array)
    np.testing.assert_array_equal(array[...], LABELS)


@pytest.mark.parametrize("command", ["info", "labels", "stats"])
def test_refused_by_the_command_line(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints one line without a traceback."""
    with pytest.raises(SystemExit) as ended:
        cli.main([command, str(place)])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.count("\n") == 1
    assert "chunks of different shapes" in error
