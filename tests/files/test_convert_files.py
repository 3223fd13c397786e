"""The command convert among files of all formats and Zarr."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from command_line import one_line
from format_cases import AFFINE, DTYPES, labels, same, seg, tifffile, volume_of  # noqa: F401

import crackle_zarr
from crackle_zarr.errors import VerificationError
from crackle_zarr.files import formats
from crackle_zarr.files.formats import Volume

# ---------------------------------------------------------------------------------------
# The command


@pytest.mark.parametrize("name", ["seg.ckl", "seg.npy.xz", "seg.nrrd", "seg.nii.gz", "seg.tif"])
def test_convert_there_and_back(run, seg, name):
    """The command writes and reads each format, and says what it did."""
    np.save("seg.npy", seg)
    ran = run("convert", "seg.npy", name)
    assert ran.code == 0, ran.err
    shapes = "50 x 40 x 10 (x, y, z)"
    shown = "10 x 40 x 50 (z, y, x)" if name == "seg.tif" else shapes
    assert ran.out.startswith(f"seg.npy -> {name}  {shapes} -> {shown} uint32, 80,000 -> ")
    assert "ratio" in ran.out
    assert "not kept" not in ran.out
    ran = run("convert", name, "back.npy", "-j", 1)
    assert ran.code == 0, ran.err
    same(np.load("back.npy"), seg)
    assert not list(Path().glob(".crackle-*"))


def test_convert_options_of_streams(run, seg):
    """Markov order and pins reach a stream, and go with nothing else."""
    np.save("seg.npy", seg)
    assert run("convert", "seg.npy", "seg.ckl", "-m", 3, "-p", 1).code == 0
    assert crackle_zarr.aload("seg.ckl").header().markov_model_order == 3
    for name in ("seg.nrrd", "new.npy"):
        ran = run("convert", "seg.ckl", name, "-p", 1)
        assert ran.code == 2
        assert "--markov and --pins are for Crackle" in one_line(ran)
    for option, value in {
        "--to": "zstd",
        "--chunks": "4,4,4",
        "--shards": "4,4,4",
        "--zarr-format": 3,
    }.items():
        ran = run("convert", "seg.ckl", "new.nrrd", option, value)
        assert ran.code == 2
        assert f"{option} is for Zarr arrays, and new.nrrd is a file" in one_line(ran)


@pytest.mark.parametrize("name", ["seg.ckl", "seg.npy", "seg.nrrd", "seg.nii", "seg.tif"])
def test_convert_file_and_array(run, seg, name):
    """A file (x, y, z) becomes an array (z, y, x), and that the same file."""
    formats.write(Path(name), volume_of(seg))
    axes = ["--npy-axes", "xyz"] if name == "seg.npy" else []
    ran = run("convert", name, "seg.zarr", "--chunks", "4,20,25", *axes)
    assert ran.code == 0, ran.err
    shown = "10 x 40 x 50 (z, y, x)" if name == "seg.tif" else "50 x 40 x 10 (x, y, z)"
    said = f"{name} -> seg.zarr  {shown} -> 10 x 40 x 50 (z, y, x), 1 array, 12 chunks, 80,000 -> "
    assert ran.out.startswith(said)
    made = zarr.open_array("seg.zarr", mode="r")
    same(np.asarray(made[...]), seg.T)
    assert made.metadata.dimension_names == ("z", "y", "x")
    assert made.chunks == (4, 20, 25)
    assert made.fill_value == 0
    ran = run("convert", "seg.zarr", f"back{Path(name).suffix}", *axes)
    assert ran.code == 0, ran.err
    same(formats.read(Path(f"back{Path(name).suffix}")).array, seg)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40,), (4, 6), (3, 4, 5), (2, 3, 4, 5)])
def test_convert_arrays_of_all_kinds(run, shape, dtype):
    """Every dtype and number of axes, in both formats of Zarr."""
    array = labels(shape, dtype, "C")
    np.save("a.npy", array)
    for zarr_format, to in ((2, "crackle"), (3, "zstd"), (3, "crackle")):
        ran = run("convert", "a.npy", "a.zarr", "--overwrite", "--zarr-format", zarr_format, "--to", to)
        assert ran.code == 0, ran.err
        made = zarr.open_array("a.zarr", mode="r")
        assert made.metadata.zarr_format == zarr_format
        same(np.asarray(made[...]), array)
        assert run("convert", "a.zarr", "b.npy", "--overwrite").code == 0
        same(np.load("b.npy"), array)
    ran = run("convert", "a.zarr", "b.nrrd")
    assert ran.code == (0 if len(shape) < 4 else 2)
    if ran.code:
        assert "only Zarr, .npy and HDF5 can hold a volume of" in one_line(ran)
        assert run("convert", "a.npy", "b.tif").code == 2


def test_convert_uses_the_names_of_axes(run, seg):
    """An array whose axes are named x, y, z is not turned; channels and times that are one are left out."""
    made = zarr.create_array("a.zarr", shape=seg.shape, dtype=seg.dtype, dimension_names=["x", "y", "z"])
    made[...] = seg
    assert run("convert", "a.zarr", "a.nrrd").code == 0
    same(formats.read(Path("a.nrrd")).array, seg)
    names = ["t", "c", "z", "y", "x"]
    made = zarr.create_array("b.zarr", shape=(1, 1, *seg.T.shape), dtype=seg.dtype, dimension_names=names)
    made[0, 0] = seg.T
    for name in ("b.nii", "b.ckl", "b.tif"):
        assert run("convert", "b.zarr", name).code == 0
        same(formats.read(Path(name)).array, seg)


def test_convert_groups(run, seg):
    """Of OME-Zarr labels, level 0 becomes the file."""
    group = zarr.open_group("ome.zarr", mode="w")
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}]}]}
    crackle_zarr.create_array("ome.zarr", name="0", data=seg.T)
    assert run("convert", "ome.zarr", "a.tif").code == 0
    same(tifffile.imread("a.tif"), seg.T)


def test_convert_npy_axes(run, seg):
    """zyx is what NumPy's users mostly have, and goes through unchanged to what has the same axes."""
    np.save("zyx.npy", seg.T)
    assert run("convert", "zyx.npy", "a.ckl", "--npy-axes", "zyx").code == 0
    same(crackle_zarr.load("a.ckl"), seg)
    assert run("convert", "zyx.npy", "a.zarr", "--npy-axes", "zyx").code == 0
    same(np.asarray(zarr.open_array("a.zarr", mode="r")[...]), seg.T)
    assert run("convert", "a.zarr", "b.npy", "--npy-axes", "zyx").code == 0
    same(np.load("b.npy"), seg.T)
    assert np.load("b.npy").flags.c_contiguous
    assert run("convert", "zyx.npy", "c.npy.gz", "--npy-axes", "zyx").code == 0
    same(formats.read(Path("c.npy.gz")).array, seg.T)
    for arguments in (["a.ckl", "a.tif"], ["a.ckl", "new.zarr"]):
        ran = run("convert", *arguments, "--npy-axes", "zyx")
        assert ran.code == 2
        assert "--npy-axes is for .npy files" in one_line(ran)


def test_convert_says_what_is_lost(run, seg):
    """Where voxels lie is not kept by all, and the line says so."""
    formats.write(Path("a.nii"), volume_of(seg, AFFINE, (0.25, 0.5, 2.0)))
    for name, lost in {
        "b.nrrd": "",
        "b.nii.gz": "",
        "b.tif": "; not kept: orientation, origin",
        "b.ckl": "; not kept: voxel size, orientation, origin",
        "b.zarr": "; not kept: orientation, origin",
    }.items():
        ran = run("convert", "a.nii", name)
        assert ran.code == 0, ran.err
        assert ran.out.rstrip().partition("; ")[1:] == ("; " * bool(lost), lost[2:])


def test_convert_refuses_what_exists(run, seg):
    """A destination stays without --overwrite, and a source is never overwritten by itself."""
    np.save("seg.npy", seg)
    formats.write(Path("seg.nrrd"), volume_of(seg))
    assert run("convert", "seg.npy", "seg.zarr").code == 0
    Path("old.tif").write_text("dear")
    Path("old.zarr").write_text("dear")
    for source, destination in itertools.product(
        ["seg.npy", "seg.nrrd", "seg.zarr"], ["old.tif", "seg.zarr"]
    ):
        if source == destination:
            continue
        ran = run("convert", source, destination)
        assert ran.code == 2
        assert f"{destination} exists already: --overwrite replaces it" in one_line(ran)
    assert Path("old.tif").read_text() == "dear"
    Path("link.npy").symlink_to("seg.npy")
    for source, destination in (("seg.npy", "seg.npy"), ("seg.npy", "link.npy"), ("seg.npy", "./seg.npy")):
        ran = run("convert", source, destination, "--overwrite")
        assert ran.code == 2
        assert "the destination is the source" in one_line(ran)
    same(np.load("seg.npy"), seg)
    for source, destination, said in (
        ("seg.zarr", "seg.zarr/seg.npy", "the destination lies in the source"),
        ("seg.npy", ".", "lie in each other"),
        ("seg.npy", "no/seg.tif", "there is no directory no"),
        ("seg.npy", "seg.tiv", "its name has no known suffix"),
        ("seg.npy", "seg.nrrd.gz", "its name has no known suffix"),
        ("seg.npy", "old.zarr", "exists already, and is a file"),
        ("no.npy", "new.tif", "no.npy: No such file or directory"),
        ("no.npy", "new.zarr", "no.npy: No such file or directory"),
    ):
        ran = run("convert", source, destination, "--overwrite")
        assert ran.code == 2
        assert said in one_line(ran)
    assert run("convert", "seg.npy", "old.tif", "--overwrite").code == 0
    same(tifffile.imread("old.tif"), seg.T)
    assert run("convert", "seg.nrrd", "seg.zarr", "--overwrite", "--to", "none").code == 0
    same(np.asarray(zarr.open_array("seg.zarr", mode="r")[...]), seg.T)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chunks", "4,4"], "--chunks 4,4 has 2 numbers, and an array of shape 10 x 40 x 50 needs one per"),
        (["--shards", "4"], "--shards 4 has 1 number"),
        (
            ["--shards", "8,16,16", "--zarr-format", "2"],
            "there are none in Zarr format 2; give --zarr-format 3",
        ),
        (["--shards", "8,8,8", "--chunks", "3,8,8"], "8,8,8 are not whole multiples of the chunks, 3,8,8"),
    ],
)
def test_convert_checks_shapes_first(run, seg, arguments, said):
    """Shapes that do not suit are refused before a destination is replaced or begun."""
    np.save("seg.npy", seg.T)
    assert run("convert", "seg.npy", "seg.zarr").code == 0
    ran = run("convert", "seg.npy", "seg.zarr", "--overwrite", *arguments)
    assert ran.code == 2
    assert said in one_line(ran)
    same(np.asarray(zarr.open_array("seg.zarr", mode="r")[...]), seg.T)
    assert run("convert", "seg.npy", "new.zarr", *arguments).code == 2
    assert not Path("new.zarr").exists()


@pytest.mark.parametrize("name", ["new.nrrd", "new.nii", "new.tif"])
def test_no_voxels(run, name):
    """Only .npy and streams hold volumes without voxels."""
    np.save("a.npy", np.zeros((0, 4, 5), "u1"))
    ran = run("convert", "a.npy", name)
    assert ran.code == 2
    assert "cannot hold a volume without voxels, 0 x 4 x 5" in one_line(ran)
    assert run("convert", "a.npy", "a.ckl").code == 0


@pytest.mark.parametrize("name", ["new.ckl", "new.nrrd", "new.npy"])
def test_convert_verifies(run, seg, monkeypatch, name):
    """What was not written as it is read is found, and removed."""
    np.save("seg.npy", seg)
    write = formats.write

    def wrong(path: Path, volume: Volume, **options: object) -> None:
        array = volume.array.copy()
        array[1, 2, 3] += 1
        write(path, volume_of(array), **options)

    monkeypatch.setattr(formats, "write", wrong)
    ran = run("convert", "seg.npy", name)
    assert ran.code == 1
    assert "the voxels read back differ from those written" in one_line(ran)
    assert not Path(name).exists()
    assert run("convert", "seg.npy", name, "--no-verify").code == 0

    def torn(path: Path, volume: Volume, **options: object) -> None:
        write(path, volume, **options)
        Path(path).write_bytes(Path(path).read_bytes()[:-30])

    monkeypatch.setattr(formats, "write", torn)
    ran = run("convert", "seg.npy", name, "--overwrite")
    assert ran.code == 1
    assert "cannot be read back" in one_line(ran)
    assert not Path(name).exists()


def test_a_failure_leaves_the_old_file(run, seg, monkeypatch):
    """What a library refuses while it writes leaves no trace."""
    np.save("seg.npy", seg)
    Path("old.tif").write_text("dear")

    def imwrite(file: object, *arguments: object, **options: object) -> None:
        raise RuntimeError("no\nmore")

    fake = SimpleNamespace(imwrite=imwrite, FileHandle=tifffile.FileHandle)
    monkeypatch.setitem(sys.modules, "tifffile", fake)
    ran = run("convert", "seg.npy", "old.tif", "--overwrite")
    assert ran.code == 2
    assert "it cannot be written as TIFF: no more" in one_line(ran)
    assert Path("old.tif").read_text() == "dear"
    assert sorted(path.name for path in Path().iterdir()) == ["old.tif", "seg.npy"]


def test_convert_damaged_arrays(run, seg):
    """A damaged chunk is named, and no file is made of the others."""
    crackle_zarr.create_array("seg.zarr", data=seg.T, chunks=(5, 20, 25))
    path = Path("seg.zarr/c/0/1/1")
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 4
    path.write_bytes(changed)
    ran = run("convert", "seg.zarr", "new.nrrd")
    assert ran.code == 1
    assert "seg.zarr" in one_line(ran)
    assert not Path("new.nrrd").exists()
    zarr.create_array("floats.zarr", shape=(4, 5), dtype="f4")
    ran = run("convert", "floats.zarr", "new.nrrd")
    assert ran.code == 2
    assert "not float32" in one_line(ran)


def test_other_commands_tell_of_convert(run, seg):
    """A file that only convert reads is not the end of it."""
    formats.write(Path("seg.nii.gz"), volume_of(seg))
    ran = run("labels", "seg.nii.gz")
    assert ran.code == 2
    assert "'crackle-zarr convert seg.nii.gz seg.ckl' makes a stream of it" in one_line(ran)


def test_verification_error_is_what_verify_raises(tmp_path):
    """The function says it of itself, too."""
    formats.write(tmp_path / "a.nii", volume_of(np.zeros((2, 3), "u1")))
    with pytest.raises(VerificationError):
        formats.verify(tmp_path / "a.nii", volume_of(np.ones((2, 3), "u1")))
