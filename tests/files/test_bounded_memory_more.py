"""A conversion from and to formats of slabs and slices takes a fraction of the volume's memory."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from conversion_peak import conversion_peak

import crackle_zarr as cz

nibabel = pytest.importorskip("nibabel")
tifffile = pytest.importorskip("tifffile")
itk = pytest.importorskip("SimpleITK")
mrcfile = pytest.importorskip("mrcfile")
Image = pytest.importorskip("PIL.Image")

# 64 MB of labels; a slab of chunks takes 2 MB.
SHAPE = (256, 512, 512)
NBYTES = int(np.prod(SHAPE))
CHUNKS = "8,512,512"


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """Labels (z, y, x) of large blocks."""
    plane = np.arange(512, dtype=np.uint8) // 64 * 8
    return plane[:256, None, None] // 8 + plane[None, :, None] + np.zeros((1, 1, 512), np.uint8)


def write(volume: np.ndarray, name: str) -> None:
    """The volume in a file of its own library."""
    if name in ("a.mgh", "a.mgz"):
        nibabel.MGHImage(volume.T, np.eye(4)).to_filename("a.mgh")
        if name == "a.mgz":
            with open("a.mgh", "rb") as plain, gzip.open(name, "wb", compresslevel=1) as packed:
                packed.write(plain.read())
    elif name == "a.hdr":
        nibabel.Nifti1Pair(volume.T, np.eye(4)).to_filename("a.img")
    elif name == "a.mha":
        itk.WriteImage(itk.GetImageFromArray(volume), name, False)
    elif name == "a.mrc":
        mrcfile.new(name, volume.view(np.int8)).close()
    elif name == "four.tif":
        planes = volume.reshape(4, 64, 512, 512)
        tifffile.imwrite(
            name, planes, metadata={"axes": "TZYX"}, photometric="minisblack", compression="zlib"
        )
    elif name == "slices":
        Path(name).mkdir()
        for number, plane in enumerate(volume):
            Image.fromarray(plane).save(f"{name}/z{number}.png", compress_level=1)
    else:
        cz.create_array(name, data=volume, chunks=(8, 512, 512))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "source", ["a.mgh", "a.mgz", "a.hdr", "a.mha", "a.mrc", "four.tif", "slices", "a.zarr"]
)
def test_peak(volume: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Less than three quarters of the volume; a conversion through memory takes one to three times it."""
    monkeypatch.chdir(tmp_path)
    # Slices are written from slabs of 32 MB: the volume is larger.
    made = np.concatenate([volume, volume]) if source == "a.zarr" else volume
    write(made, source)
    if source == "a.zarr":
        Path("out").mkdir()
        arguments = ["out/z_{:04}.tif"]
    else:
        arguments = ["b.zarr", "--chunks", f"1,{CHUNKS}" if source == "four.tif" else CHUNKS]
    libraries = "mrcfile, nibabel, PIL.Image, SimpleITK, tifffile"
    peak = conversion_peak(libraries, source, *arguments, "--no-verify")
    # Pages of a mapped file count as long as nobody else needs the memory.
    mapped = NBYTES / 2**20 if source in ("a.mgh", "a.hdr", "a.mrc") else 0
    assert peak - mapped < 0.75 * made.nbytes / 2**20
