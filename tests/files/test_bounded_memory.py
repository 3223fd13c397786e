"""A conversion into Zarr, .npy or HDF5 takes a fraction of the volume's memory."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
from conversion_peak import conversion_peak
from format_cases import write_nrrd

import crackle_zarr as cz

# 256 MB of labels: much more than a slab, and than what the libraries take by themselves.
SHAPE = (256, 512, 512)
NBYTES = int(np.prod(SHAPE)) * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same volume in all formats."""
    folder = tmp_path_factory.mktemp("large")
    plane = (np.arange(512 * 512, dtype=np.uint32).reshape(512, 512) // 4096) + 1
    volume = np.empty(SHAPE, dtype=np.uint32)
    volume[...] = plane
    volume += np.arange(256, dtype=np.uint32)[:, None, None] // 32
    np.save(folder / "a.npy", volume)
    nibabel.Nifti1Image(volume.T, np.eye(4), dtype=np.uint32).to_filename(folder / "a.nii")
    with (
        open(folder / "a.nii", "rb") as plain,
        gzip.open(folder / "a.nii.gz", "wb", compresslevel=1) as packed,
    ):
        packed.write(plain.read())
    write_nrrd(folder / "a.nrrd", volume.T, encoding="raw")
    tifffile.imwrite(folder / "a.tif", volume, photometric="minisblack", compression="zlib")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset(
            "labels", data=volume, chunks=(16, 128, 128), compression="gzip", compression_opts=1
        )
    cz.create_array(folder / "a.zarr", data=volume, chunks=(32, 256, 256))
    cz.save(volume.T, folder / "a.ckl")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("source", "destination"),
    [
        *((f"a{name}", "b.zarr") for name in (".npy", ".nii", ".nii.gz", ".nrrd", ".tif", ".h5", ".ckl")),
        ("a.zarr", "b.npy"),
        ("a.zarr", "b.h5:/labels"),
        ("a.h5", "b.npy"),
    ],
)
def test_peak(folder: Path, tmp_path: Path, source: str, destination: str) -> None:
    """Less than the volume; a conversion through memory takes one to three times the volume."""
    options = ["--npy-axes", "zyx"] if ".npy" in source + destination else []
    options += ["--chunks", "32,256,256"] if destination == "b.zarr" else []
    libraries = "h5py, nibabel, nrrd, tifffile"
    peak = conversion_peak(libraries, folder / source, f"{tmp_path}/{destination}", *options)
    # Pages of a mapped file count as long as nobody else needs the memory; what was written is read again.
    mapped = NBYTES / 2**20 if source in ("a.npy", "a.nii", "a.nrrd") or destination == "b.npy" else 0
    assert peak - mapped < 0.9 * NBYTES / 2**20
