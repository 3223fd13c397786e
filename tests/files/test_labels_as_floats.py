"""Files that keep labels as floats, or as numbers to be scaled: whole ones become integers, exactly."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from format_cases import write_nrrd

import crackle_zarr as cz
from crackle_zarr.files import formats
from crackle_zarr.files.formats import whole_numbers
from crackle_zarr.files.volumes import UnusableError

SHAPE = (5, 4, 3)


def save_nii(path: Path, array: np.ndarray) -> None:
    nibabel.Nifti1Image(array, np.eye(4)).to_filename(path)


def save_h5(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["labels"] = array.T


def save_tif(path: Path, array: np.ndarray) -> None:
    tifffile.imwrite(path, array.T, photometric="minisblack", metadata={"axes": "ZYX"})


SAVE: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "a.npy": np.save,
    "a.nrrd": write_nrrd,
    "a.nii": save_nii,
    "a.nii.gz": save_nii,
    "a.tif": save_tif,
    "a.h5": save_h5,
}


@pytest.mark.parametrize("name", SAVE)
@pytest.mark.parametrize(
    ("labels", "dtype"),
    [([0, 1, 255], "uint8"), ([0, 256], "uint16"), ([-1, 127], "int8"), ([0, 2**24], "uint32")],
)
def test_whole_numbers(run: Any, name: str, labels: list[int], dtype: str) -> None:
    """They become the smallest integers that hold them, in every format, and the line says which."""
    values = np.resize(np.array(labels, dtype=np.float32), SHAPE)
    SAVE[name](Path(name), values)
    done = run("convert", name, "new.zarr")
    assert done.code == 0, done.err
    assert f"float32 as {dtype}" in done.out
    array = zarr.open_array("new.zarr", mode="r")
    assert array.dtype == dtype
    # NumPy's files and Zarr have the same indices; the others of (x, y, z) are turned around.
    np.testing.assert_array_equal(array[...] if name == "a.npy" else array[...].T, values)
    done = run("convert", name, "new.ckl")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(cz.load("new.ckl"), values)


def test_exact_up_to_the_last(run: Any) -> None:
    """2^53 and the number before it stay apart in float64; the first that may be another label is refused."""
    np.save("a.npy", np.array([[[2.0**53, 2.0**53 - 1]]]))
    assert run("convert", "a.npy", "a.ckl").code == 0
    assert cz.labels(cz.bload("a.ckl")).tolist() == [2**53 - 1, 2**53]
    np.save("b.npy", np.array([[[2.0**53 + 2, 1]]]))
    done = run("convert", "b.npy", "b.ckl")
    assert done.code == 2
    assert "does not hold every whole number above 9,007,199,254,740,992" in done.err
    assert "9007199254740994 at (0, 0, 0)" in done.err
    assert not Path("b.ckl").exists()


BAD = {
    "a fraction": 7014.5,
    "nan": np.nan,
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "too large": 2.0**24 + 2,
}


@pytest.mark.parametrize("name", SAVE)
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_one_bad_number(run: Any, name: str, bad: float) -> None:
    """One number in the last voxel is refused with its value and place, and nothing is written."""
    values = np.full(SHAPE, 7, dtype=np.float32)
    values[-1, -1, -1] = bad
    SAVE[name](Path(name), values)
    for destination in ("new.zarr", "new.ckl", "new.h5:/labels"):
        done = run("convert", name, destination)
        assert done.code == 2, done.out
        shown = str(int(bad)) if np.isfinite(bad) and bad == int(bad) else str(np.float32(bad))
        place = tuple(n - 1 for n in (SHAPE if name != "a.h5" else SHAPE[::-1]))
        assert f"the file has {shown} at {place}" in done.err
        assert done.err.count("\n") == 1
    assert {path.name for path in Path().iterdir()} == {name}


def test_the_count_of_bad_numbers(run: Any) -> None:
    """Of several the first is told, and how many there are, over all slabs."""
    values = np.zeros((4, 5, 6))
    values[1:3] = 0.25
    np.save("a.npy", values)
    done = run("convert", "a.npy", "a.zarr")
    assert "the file has 0.25 at (1, 0, 0) (60 of 120 numbers are unusable)" in done.err
    assert "--round" in done.err


def test_slabs_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first bad number and the count do not depend on how many slabs there are."""
    values = np.zeros((6, 5, 4))
    values[2, 1, 3] = values[4, 0, 0] = 0.5
    monkeypatch.setattr(
        formats.Volume, "slabs", lambda self: ((slice(x, x + 1), slice(0, 5), slice(0, 4)) for x in range(6))
    )
    with pytest.raises(
        UnusableError, match=re.escape("the file has 0.5 at (2, 1, 3) (2 of 120 numbers are unusable)")
    ):
        whole_numbers.labels_of(formats.in_memory(values), "a.npy")


def test_rounding(run: Any) -> None:
    """--round rounds what comes from rescaling, and says how many numbers changed and by how much at most."""
    values = np.full(SHAPE, 7015.0)
    values[0, 0, 0], values[1, 0, 0] = 7014.9999, 7015.25
    np.save("a.npy", values)
    assert run("convert", "a.npy", "a.ckl").code == 2
    done = run("convert", "a.npy", "a.ckl", "--round")
    assert done.code == 0, done.err
    assert "float64 as uint16; rounded 2 numbers, by 0.25 at most" in done.out
    assert cz.labels(cz.bload("a.ckl")).tolist() == [7015]
    values[0, 0, 0] = np.nan
    np.save("a.npy", values)
    done = run("convert", "a.npy", "b.ckl", "--round")
    assert done.code == 2
    assert "the file has nan at (0, 0, 0)" in done.err


def test_integers_are_left_alone(run: Any) -> None:
    """--round changes nothing of integers, and a Zarr array of floats is refused as before."""
    np.save("a.npy", np.arange(60, dtype="u8").reshape(SHAPE) + 2**60)
    done = run("convert", "a.npy", "a.ckl", "--round")
    assert done.code == 0
    assert "rounded" not in done.out
    assert cz.min(cz.bload("a.ckl")) == 2**60


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(("slope", "inter"), [(2, 0), (1, 5), (0.5, -1)])
def test_scaled_nifti(run: Any, name: str, slope: float, inter: float) -> None:
    """scl_slope and scl_inter that give whole numbers are applied, and told."""
    stored = (np.arange(60).reshape(SHAPE) * 2).astype(np.int16)
    plain = Path("b.nii")
    nibabel.Nifti1Image(stored, np.eye(4)).to_filename(plain)
    raw = bytearray(plain.read_bytes())
    raw[112:116], raw[116:120] = np.float32(slope).tobytes(), np.float32(inter).tobytes()
    plain.write_bytes(raw)
    if name.endswith(".gz"):
        Path(name).write_bytes(gzip.compress(plain.read_bytes()))
    else:
        plain.rename(name)
    expected = nibabel.load(name).get_fdata()
    done = run("convert", name, "a.zarr")
    assert done.code == 0, done.err
    assert f"scaled by scl_slope {slope:g} and scl_inter {inter:g}" in done.out
    np.testing.assert_array_equal(zarr.open_array("a.zarr", mode="r")[...].T, expected)
