"""Volumes and files of all formats, for the tests of formats."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from crackle_zarr.files.formats import in_memory
from crackle_zarr.files.space import Space
from crackle_zarr.synthetic import neurons

nibabel = pytest.importorskip("nibabel")
nrrd = pytest.importorskip("nrrd")
tifffile = pytest.importorskip("tifffile")

GRAY = {"photometric": "minisblack"}
NAMES = ["a.ckl", "a.npy", "a.nrrd", "a.nii", "a.nii.gz", "a.tif"]
DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?"]
SHAPES = [(5,), (4, 6), (3, 4, 5), (1, 4, 5), (4, 1, 5), (4, 5, 1), (1, 1, 1), (3, 3, 3), (5, 4, 3)]


def volume_of(array, affine=None, spacing=None, header=None):
    """A volume whose voxel edges are in millimetres."""
    unit = None if spacing is None and affine is None else "millimeter"
    return in_memory(array, space=Space(spacing, unit, None, affine), header=header)


@pytest.fixture(scope="module")
def seg():
    """A volume (x, y, z) in F order."""
    return neurons((10, 40, 50), seed=2, dtype=np.uint32).T


def labels(shape: tuple[int, ...], dtype: str, order: str) -> np.ndarray:
    """Random labels that the dtype can hold, its smallest and largest number among them."""
    rng = np.random.default_rng(len(shape))
    if dtype == "?":
        array = rng.random(shape) < 0.5
    else:
        info = np.iinfo(dtype)
        array = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        array.flat[0], array.flat[-1] = info.max, info.min
    return np.asarray(array, order=order)


def as_kept(array: np.ndarray, *names: str) -> np.ndarray:
    """The labels as these files keep them: some formats add axes, and most have no bool."""
    for name in names:
        least = {".ckl": 3, ".tif": 2}.get(Path(name).suffix, 0)
        array = array.reshape(array.shape + (1,) * (least - array.ndim), order="A")
        if array.dtype == bool and Path(name).suffix not in (".npy", ".tif"):
            array = array.astype(np.uint8)
    return array


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def write_nrrd(path: Path, array: np.ndarray, **header: object) -> None:
    """As pynrrd writes it, without the warning that its time of day gives from Python 3.12 on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nrrd.write(str(path), array, header)


def write_nhdr(path: Path, array: np.ndarray) -> None:
    write_nrrd(path.with_suffix(".nhdr"), array)
    path.with_suffix(".nhdr").rename(path)


def scaled(path: Path, slope: float, inter: float) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.eye(4))
    image.header.set_slope_inter(slope, inter)
    image.to_filename(path)


REFUSED = {
    "floats.npy": (
        lambda path: np.save(path, np.full((2, 3, 4), 0.5)),
        "labels are whole numbers, but the file has 0.5 at (0, 0, 0) (24 of 24 numbers are unusable)",
    ),
    "floats.nrrd": (lambda path: write_nrrd(path, np.full((2, 3, 4), 1.5)), "the file has 1.5 at (0, 0, 0)"),
    "floats.nii": (
        lambda path: nibabel.Nifti1Image(np.full((2, 3, 4), np.nan, "f4"), np.eye(4)).to_filename(path),
        "the file has nan at (0, 0, 0)",
    ),
    "floats.tif": (
        lambda path: tifffile.imwrite(path, np.full((2, 3, 4), 2**25, "f4"), **GRAY),
        "does not hold every whole number above 16,777,216",
    ),
    "slope.nii": (lambda path: scaled(path, 2, 0.5), "the file has 0.5 at (0, 0, 0)"),
    "inter.nii.gz": (lambda path: scaled(path, 0.3, 5.1), "the file has 5.09"),
    "colours.tif": (
        lambda path: tifffile.imwrite(path, np.zeros((4, 5, 3), "u1"), photometric="rgb"),
        "an image of colours (3 samples per pixel)",
    ),
    "four.tif": (
        lambda path: tifffile.imwrite(path, np.zeros((2, 2, 4, 5), "u1"), **GRAY),
        "a volume of 4 axes, 5 x 4 x 2 x 2",
    ),
    "four.nrrd": (
        lambda path: write_nrrd(path, np.zeros((2, 3, 4, 5), "u1")),
        "a volume of 4 axes, 2 x 3 x 4 x 5",
    ),
    "detached.nrrd": (
        lambda path: write_nhdr(path, np.zeros((2, 3), "u1")),
        "a NRRD header whose voxels lie in another file",
    ),
    "text.tif": (lambda path: path.write_text("dear"), "a damaged or foreign TIFF file"),
    "text.nii": (lambda path: path.write_text("dear"), "a damaged or foreign NIfTI file"),
    "text.nrrd": (lambda path: path.write_text("dear"), "a damaged or foreign NRRD file"),
    "text": (lambda path: path.write_text("dear"), "neither Crackle nor .npy, NRRD, NIfTI, TIFF or HDF5"),
    "empty": (lambda path: path.write_text(""), "neither Crackle nor .npy, NRRD, NIfTI, TIFF or HDF5"),
}


# ---------------------------------------------------------------------------------------
# Voxel sizes and positions

AFFINE = np.array([[0, -0.5, 0, 7], [0.25, 0, 0, 8], [0, 0, 2, -9], [0, 0, 0, 1]])
