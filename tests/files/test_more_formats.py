"""Formats beyond the first: each file is made by its own library, and every voxel is found again."""

from __future__ import annotations

import contextlib
import gzip
import locale
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import one_line
from format_cases import GRAY, labels, nibabel, same, tifffile, write_nrrd

import crackle_zarr
from crackle_zarr.files import formats
from crackle_zarr.files.volumes import UnusableError

itk = pytest.importorskip("SimpleITK")
mrcfile = pytest.importorskip("mrcfile")
Image = pytest.importorskip("PIL.Image")

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3, 20], [0, -4, 0, 30], [0, 0, 0, 1]])


def data_of_nibabel(name: str) -> Path:
    """A file of nibabel's own tests."""
    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    if not path.exists():
        pytest.skip("nibabel is installed without its tests")
    return path


def read(run: Any, source: str, *options: object) -> np.ndarray:
    """The labels that 'convert' makes of a file, in Zarr."""
    ran = run("convert", source, "out.zarr", "--overwrite", *options)
    assert ran.code == 0, ran.err
    return np.asarray(zarr.open_array("out.zarr", mode="r")[...])


# ---------------------------------------------------------------------------------------
# Neuroimaging


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
def test_freesurfer(run: Any, name: str, dtype: str) -> None:
    """MGH of every type is read, plain and within gzip, with the voxel size and the affine."""
    array = labels((6, 5, 4), "u1", "F").astype(dtype)
    nibabel.MGHImage(array, AFFINE).to_filename(name)
    np.testing.assert_array_equal(read(run, name), array.T)
    volume = formats.read(Path(name))
    assert volume.space.voxel_size == (2, 4, 3)
    np.testing.assert_allclose(volume.space.affine, AFFINE, atol=1e-5)
    assert "2 x 4 x 3 millimeter (x, y, z)" in run("info", name).out


@pytest.mark.parametrize("kind", ["Nifti1Pair", "Nifti2Pair", "Spm99AnalyzeImage", "AnalyzeImage"])
@pytest.mark.parametrize("given", ["a.hdr", "a.img"])
def test_pairs(run: Any, kind: str, given: str) -> None:
    """A pair is read from either of its files, with the voxel size."""
    array = labels((6, 5, 4), "u1", "F").astype(np.int16)
    getattr(nibabel, kind)(array, np.diag([2.0, 3, 4, 1])).to_filename("a.img")
    same(read(run, given), array.T)
    assert formats.read(Path(given)).space.voxel_size == (2, 3, 4)


def test_a_pair_without_its_voxels(run: Any) -> None:
    """A header alone is refused, and the error names the missing file."""
    nibabel.Nifti1Pair(np.zeros((2, 3, 4), "u1"), np.eye(4)).to_filename("a.img")
    Path("a.img").unlink()
    ran = run("convert", "a.hdr", "a.ckl")
    assert ran.code == 2
    assert "a.img" in one_line(ran)


@pytest.mark.parametrize("name", ["tiny.mnc", "small.mnc", "minc2_1_scale.mnc"])
def test_minc(run: Any, name: str) -> None:
    """MINC of both versions has the numbers and the positions that nibabel finds."""
    path = data_of_nibabel(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = nibabel.load(path)
        expected = np.asarray(image.dataobj)
        affine = image.affine
    volume = formats.read(path)
    np.testing.assert_allclose(volume.array, expected.transpose(), rtol=1e-12)
    # The positions of two voxels: the axes are along those of space.
    last = np.array(volume.shape) - 1
    for index in (np.zeros(3), last):
        here = affine @ [*index[::-1], 1]
        np.testing.assert_allclose(volume.space.affine @ [*index, 1], here)


def test_cifti_and_surfaces(run: Any) -> None:
    """What has vertices and no voxels is refused with its name."""
    head = nibabel.Nifti2Header()
    head.set_intent(3006, name="ConnDenseScalar", allow_unknown=True)
    nibabel.Nifti2Image(np.zeros((1, 1, 1, 1, 2, 9), "f4"), np.eye(4), head).to_filename("a.dscalar.nii")
    nibabel.gifti.GiftiImage().to_filename("a.surf.gii")
    triangle = np.array([[0, 1, 2]])
    nibabel.freesurfer.write_geometry("lh.white", np.eye(3), triangle)
    for name, said in {
        "a.dscalar.nii": "a CIFTI file",
        "a.surf.gii": "a GIFTI surface",
        "lh.white": "a surface of FreeSurfer",
    }.items():
        ran = run("convert", name, "a.ckl")
        assert ran.code == 2
        assert said in one_line(ran)


# ---------------------------------------------------------------------------------------
# SimpleITK, MRC


@pytest.mark.parametrize(
    ("name", "compressed"),
    [("a.mha", False), ("a.mha", True), ("a.mhd", False), ("a.vtk", False), ("a.gipl", False)],
)
def test_images_of_itk(run: Any, name: str, compressed: bool) -> None:
    """MetaImage, VTK and GIPL are read, whole or by boxes, with voxel size and position; the locale stays."""
    before = locale.setlocale(locale.LC_ALL)
    array = labels((4, 5, 6), "u2", "C")
    image = itk.GetImageFromArray(array)
    image.SetSpacing((2, 3, 4))
    image.SetOrigin((10, 20, 30))
    itk.WriteImage(image, name, compressed)
    same(read(run, name), array)
    same(read(run, name, "--chunks", "3,2,4"), array)
    volume = formats.read(Path(name))
    assert (volume.space.voxel_size, volume.space.origin) == ((2, 3, 4), (10, 20, 30))
    assert locale.setlocale(locale.LC_ALL) == before


def test_orientation_to_and_from_itk(run: Any) -> None:
    """A MetaImage that this package writes lies in space where SimpleITK puts the NIfTI file."""
    array = labels((4, 5, 6), "u2", "F")
    nibabel.Nifti1Image(array, AFFINE).to_filename("a.nii")
    assert run("convert", "a.nii", "a.mha").code == 0
    assert run("convert", "a.mha", "b.nii").code == 0
    of_nifti, of_meta = itk.ReadImage("a.nii"), itk.ReadImage("a.mha")
    same(itk.GetArrayFromImage(of_meta), array.T)
    for index in ((0, 0, 0), (3, 4, 5)):
        np.testing.assert_allclose(
            of_meta.TransformIndexToPhysicalPoint(index),
            of_nifti.TransformIndexToPhysicalPoint(index),
            atol=1e-4,
        )
    np.testing.assert_allclose(nibabel.load("b.nii").affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize(("dtype", "outer"), [("i1", ""), ("i2", ""), ("u2", ""), ("f4", ""), ("i1", ".gz")])
def test_mrc(run: Any, dtype: str, outer: str) -> None:
    """MRC has signed bytes in mode 0, and the voxel size in angstrom."""
    array = labels((4, 5, 6), "i1" if dtype != "u2" else "u2", "C").astype(dtype)
    with mrcfile.new("a.mrc", array) as file:
        file.voxel_size = (2.5, 3.5, 4.5)
    if outer:
        Path("a.mrc.gz").write_bytes(gzip.compress(Path("a.mrc").read_bytes()))
    name = f"a.mrc{outer}"
    np.testing.assert_array_equal(read(run, name), array)
    assert "2.5 x 3.5 x 4.5 angstrom (x, y, z)" in run("info", name).out


def test_mrc_in_another_order(run: Any) -> None:
    """The columns of an MRC map may be along z, as its header says."""
    array = labels((4, 5, 6), "i2", "C")
    with mrcfile.new("a.map", array) as file:
        file.header.mapc, file.header.mapr, file.header.maps = 3, 2, 1
    same(read(run, "a.map"), array.transpose())


# ---------------------------------------------------------------------------------------
# NumPy


def test_npy_to_zarr_and_back(run: Any) -> None:
    """The same index has the same label in NumPy's file and in Zarr, and the line shows both shapes."""
    array = np.arange(12 * 16 * 20, dtype=np.uint16).reshape(12, 16, 20) // 9
    np.save("seg.npy", array)
    ran = run("convert", "seg.npy", "seg.zarr")
    assert "12 x 16 x 20 (z, y, x) -> 12 x 16 x 20 (z, y, x), " in ran.out
    made = zarr.open_array("seg.zarr", mode="r")
    same(np.asarray(made[...]), array)
    assert made.metadata.dimension_names == ("z", "y", "x")
    ran = run("convert", "seg.zarr", "back.npy")
    assert "12 x 16 x 20 (z, y, x) -> 12 x 16 x 20 (z, y, x)" in ran.out
    same(np.load("back.npy"), array)
    ran = run("convert", "seg.npy", "turned.zarr", "--npy-axes", "xyz")
    assert "12 x 16 x 20 (x, y, z) -> 20 x 16 x 12 (z, y, x), " in ran.out
    same(np.asarray(zarr.open_array("turned.zarr", mode="r")[...]), array.T)
    ran = run("convert", "seg.npy", "seg.ckl")
    assert "12 x 16 x 20 (x, y, z) -> 12 x 16 x 20 (x, y, z)" in ran.out
    same(crackle_zarr.load("seg.ckl"), array)


def test_npy_of_four_axes(run: Any) -> None:
    """Four axes stay as they are: without names, or with those of --npy-axes."""
    array = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    np.save("seg.npy", array)
    same(read(run, "seg.npy"), array)
    assert not any(zarr.open_array("out.zarr", mode="r").metadata.dimension_names or ())
    same(read(run, "seg.npy", "--npy-axes", "tzyx"), array)
    assert zarr.open_array("out.zarr", mode="r").metadata.dimension_names == ("t", "z", "y", "x")
    assert run("convert", "out.zarr", "back.npy").code == 0
    same(np.load("back.npy"), array)
    same(read(run, "seg.npy", "--npy-axes", "xyzt"), array.transpose(3, 2, 1, 0))
    same(read(run, "seg.npy", "--index", "0=1"), array[1])


@pytest.mark.parametrize("value", ["xx", "zyq", ""])
def test_wrong_names_of_axes(run: Any, value: str) -> None:
    """Axes that are no axes are refused, and the error lists the axes there are."""
    np.save("seg.npy", np.zeros((2, 3, 4), "u1"))
    ran = run("convert", "seg.npy", "seg.zarr", "--npy-axes", value)
    assert ran.code == 2
    assert "x, y, z, c (channel), t (time)" in " ".join(ran.err.split())


def test_npz(run: Any) -> None:
    """One array is taken; of several, the one that is named; info lists them."""
    one, two = labels((4, 5, 6), "u2", "C"), labels((3, 4), "u1", "C")
    np.savez("one.npz", seg=one, weights=np.ones(3))
    same(read(run, "one.npz"), one)
    np.savez_compressed("two.npz", one=one, two=two)
    ran = run("convert", "two.npz", "x.zarr")
    assert ran.code == 2
    assert "two.npz:one, two.npz:two" in one_line(ran)
    same(read(run, "two.npz:two"), two)
    np.savez("odd.npz", **{"a[0]*": one})
    same(read(run, "odd.npz:a[0]*"), one)
    assert "there is no array three; the file has: one, two" in one_line(
        run("convert", "two.npz:three", "x.zarr")
    )
    listed = run("info", "two.npz").out
    assert "4 x 5 x 6" in listed
    assert "3 x 4" in listed


def test_pickles(run: Any) -> None:
    """Cellpose's file is refused without unpickling it, and the message has the lines that save its masks."""
    np.save("x_seg.npy", {"masks": np.ones((4, 5), "u2")}, allow_pickle=True)
    ran = run("convert", "x_seg.npy", "x.zarr")
    assert ran.code == 2
    lines = one_line(ran).rpartition("save the masks: ")[2]
    exec(lines.strip(), {"np": np})
    assert np.load("x_seg_masks.npy").tolist() == np.ones((4, 5)).tolist()
    np.savez("x.npz", a=np.array([{}], dtype=object))
    assert "holds Python objects" in one_line(run("convert", "x.npz:a", "x.zarr"))


# ---------------------------------------------------------------------------------------
# Slices


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_slices(run: Any, dtype: str, suffix: str) -> None:
    """A folder and a glob are read in natural order."""
    array = labels((12, 5, 6), dtype, "C")
    Path("slices").mkdir()
    for number, plane in enumerate(array):
        if suffix == ".png":
            Image.fromarray(plane).save(f"slices/z{number}.png")
        else:
            tifffile.imwrite(f"slices/z{number}.tif", plane, **GRAY)
    same(read(run, "slices"), array)
    same(read(run, "slices/"), array)
    same(read(run, f"slices/z*{suffix}", "--chunks", "5,5,3"), array)
    same(read(run, f"slices/z1{suffix}"), array[1])
    assert run("convert", "slices", "seg.ckl").code == 0
    same(crackle_zarr.load("seg.ckl"), array.T)
    shown = run("info", "slices")
    assert "6 x 5 x 12 (x, y, z)" in shown.out, shown.err
    assert "12 files" in shown.out
    assert "'crackle-zarr convert slices slices.zarr' makes an array" in one_line(run("labels", "slices"))


@pytest.mark.parametrize("name", ["out/z_{:04}.tif", "out/z_{}.png"])
def test_to_slices(run: Any, name: str) -> None:
    """A pattern writes a file per slice, which reads back as it was, and replaces none unasked."""
    array = labels((11, 5, 6), "u2", "C")
    crackle_zarr.create_array("seg.zarr", data=array)
    Path("out").mkdir()
    ran = run("convert", "seg.zarr", name)
    assert ran.code == 0, ran.err
    found = tifffile.imread(name.format(10)) if ".tif" in name else np.array(Image.open(name.format(10)))
    np.testing.assert_array_equal(found, array[10])
    assert len(list(Path("out").iterdir())) == 11
    same(read(run, "out"), array)
    assert "no directory none" in one_line(run("convert", "seg.zarr", f"none/{Path(name).name}"))
    ran = run("convert", "seg.zarr", name)
    assert ran.code == 2
    assert "exists already: --overwrite replaces it" in one_line(ran)
    assert run("convert", "seg.zarr", name, "--overwrite").code == 0


def test_slices_that_do_not_fit(run: Any) -> None:
    """Missing numbers, other sizes and other dtypes are refused before anything is written."""
    Path("s").mkdir()
    for number in (1, 2, 4):
        tifffile.imwrite(f"s/z{number}.tif", np.zeros((4, 5), "u1"), **GRAY)
    said = {"missing": "of the numbers 1 to 4 there is no 3"}
    cases = {"shape": np.zeros((4, 6), "u1"), "dtype": np.zeros((4, 5), "u2")}
    for case in ("missing", *cases):
        if case in cases:
            tifffile.imwrite("s/z3.tif", cases[case], **GRAY)
        ran = run("convert", "s", "new.zarr")
        assert ran.code == 2
        assert said.get(case, "s/z3.tif") in one_line(ran)
        assert not Path("new.zarr").exists()
    assert "no image matches" in one_line(run("convert", "no*.png", "new.zarr"))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours(run: Any, suffix: str) -> None:
    """Colours are refused, or packed into one integer in either order, in one image and in slices."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    Path("s").mkdir()
    for number, plane in enumerate(colours):
        if suffix == ".png":
            Image.fromarray(plane).save(f"s/{number}.png")
        else:
            tifffile.imwrite(f"s/{number}.tif", plane, photometric="rgb")
    ran = run("convert", "s", "new.zarr")
    assert ran.code == 2
    assert "--rgb packs them as 65536 R + 256 G + B" in one_line(ran)
    wide = colours.astype(np.uint32)
    rgb = wide[..., 0] * 65536 + wide[..., 1] * 256 + wide[..., 2]
    bgr = wide[..., 2] * 65536 + wide[..., 1] * 256 + wide[..., 0]
    same(read(run, "s", "--rgb"), rgb)
    same(read(run, "s", "--bgr"), bgr)
    same(read(run, f"s/0{suffix}", "--rgb"), rgb[0])
    np.save("gray.npy", rgb)
    assert "this file has none" in one_line(run("convert", "gray.npy", "new.zarr", "--rgb"))


# ---------------------------------------------------------------------------------------
# More than three axes


def four_axes(name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A file of two times, and the array (t, z, y, x)."""
    array = labels((2, 3, 4, 5), "u1", "C")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "stack.tif":
            tifffile.imwrite(name, array, metadata={"axes": "TZYX"}, **GRAY)
        elif name == "packed.ome.tif":
            tifffile.imwrite(name, array, metadata={"axes": "TZYX"}, compression="zlib", **GRAY)
        elif name == "imagej.tif":
            tifffile.imwrite(name, array, imagej=True, metadata={"axes": "TZYX"}, **GRAY)
        else:
            nibabel.Nifti1Image(array.T, np.diag([2.0, 3, 4, 1])).to_filename(name)
    return array, ("t", "z", "y", "x")


@pytest.mark.parametrize("name", ["stack.tif", "packed.ome.tif", "imagej.tif", "a.nii", "a.nii.gz"])
def test_four_axes(run: Any, name: str) -> None:
    """Four axes go to Zarr with their names; one index of them goes into a stream."""
    array, names = four_axes(name)
    same(read(run, name, "--chunks", "1,2,4,3"), array)
    made = zarr.open_array("out.zarr", mode="r")
    assert made.metadata.dimension_names == names
    ran = run("convert", name, "a.ckl")
    assert ran.code == 2
    assert "--index t=0" in one_line(ran)
    ran = run("convert", name, "a.ckl", "--index", "t=1")
    assert ran.code == 0, ran.err
    same(crackle_zarr.load("a.ckl"), array[1].T)
    for option, said in {"t=2": "the indices 0 to 1", "q=0": "there is no axis q"}.items():
        assert said in one_line(run("convert", name, "b.ckl", "--index", option))
    assert run("convert", "out.zarr", "b.ckl", "--index", "t=1").code == 0
    same(crackle_zarr.load("b.ckl"), array[1].T)


def test_layers(run: Any) -> None:
    """A segmentation of 3D Slicer with layers has them as its first axis, or one is taken."""
    array = labels((2, 6, 5, 4), "u1", "F")
    directions = np.array([[np.nan] * 3, [2.0, 0, 0], [0, 3.0, 0], [0, 0, 4.0]])
    header = {"kinds": ["list", "domain", "domain", "domain"], "space directions": directions}
    header |= {"space": "left-posterior-superior", "space origin": np.zeros(3)}
    write_nrrd(Path("a.seg.nrrd"), array, **header)
    same(read(run, "a.seg.nrrd"), array.transpose(0, 3, 2, 1))
    made = zarr.open_array("out.zarr", mode="r")
    assert made.metadata.dimension_names == ("layer", "z", "y", "x")
    assert run("convert", "a.seg.nrrd", "a.ckl", "--layer", 1).code == 0
    same(crackle_zarr.load("a.ckl"), array[1])
    assert run("convert", "a.seg.nrrd", "b.nii", "--layer", 1).code == 0
    assert nibabel.load("b.nii").header.get_zooms() == (2, 3, 4)


# ---------------------------------------------------------------------------------------
# All


def test_an_image_is_no_segmentation(run: Any) -> None:
    """Noise is converted, and a line says what it looks like; labels get no such line."""
    noise = np.random.default_rng(2).integers(0, 4096, (8, 32, 32), dtype=np.uint16)
    np.save("noise.npy", noise)
    # Labels of two slices each: along z they change at every second voxel.
    np.save("labels.npy", np.zeros_like(noise) + np.arange(8, dtype=np.uint16)[:, None, None] // 2)
    for destination in ("a.ckl", "a.zarr"):
        ran = run("convert", "noise.npy", destination, "--overwrite")
        assert ran.code == 0
        assert "this looks like intensities, not like a segmentation: there is a new label every" in one_line(
            ran
        )
        ran = run("convert", "labels.npy", destination, "--overwrite")
        assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "module", "said"),
    [
        ("a.mha", "SimpleITK", "simpleitk: pip install 'crackle-zarr[itk]'"),
        ("a.mrc", "mrcfile", "mrcfile: pip install 'crackle-zarr[mrc]'"),
        ("a.png", "PIL.Image", "pillow: pip install 'crackle-zarr[images]'"),
        ("a.mgz", "nibabel", "nibabel: pip install 'crackle-zarr[nifti]'"),
    ],
)
def test_a_missing_library(
    run: Any, monkeypatch: pytest.MonkeyPatch, name: str, module: str, said: str
) -> None:
    """The error has the command that installs the library, for each command that reads files."""
    make(name)
    monkeypatch.setitem(sys.modules, module, None)
    for command in (["convert", name, "new.zarr"], ["info", name], ["skeletonize", name]):
        assert said in one_line(run(*command))


def make(name: str) -> np.ndarray:
    """A small file of each format that only this module knows."""
    array = np.ones((4, 5, 6), np.int16)
    array[2:] = 2
    match Path(name).suffix:
        case ".mha":
            itk.WriteImage(itk.GetImageFromArray(array), name)
        case ".mrc":
            mrcfile.new(name, array).close()
        case ".png":
            array = array[..., 0].astype(np.uint16)
            Image.fromarray(array).save(name)
        case ".npz":
            np.savez(name, array)
        case ".hdr":
            nibabel.Nifti1Pair(array.T, np.eye(4)).to_filename(name)
        case _:
            nibabel.MGHImage(array.T, np.eye(4)).to_filename(name)
    return array


@pytest.mark.parametrize("name", ["a.mha", "a.mrc", "a.mgz", "a.hdr", "a.npz"])
def test_every_command(run: Any, name: str) -> None:
    """What convert takes, info, skeletonize, the viewer and load take as well."""
    from crackle_zarr.view.sources import open_labels

    array = make(name)
    assert run("info", name).code == 0
    ran = run("skeletonize", name, "-o", "skeletons")
    assert ran.code == 0, ran.err
    shape = open_labels(name, npy_axes="zyx").array.shape
    assert shape == array.shape
    found = crackle_zarr.load(name)
    same(found if name == "a.npz" else found.T, array)


@pytest.mark.parametrize("name", ["a.mha", "a.mrc", "a.mgz", "a.png", "a.npz"])
def test_truncated(run: Any, name: str) -> None:
    """A file cut short anywhere is an error of one line, and nothing is written."""
    make(name)
    content = Path(name).read_bytes()
    for end in range(0, len(content) - 20, max(1, len(content) // 12)):
        Path(f"x{name}").write_bytes(content[:end])
        ran = run("convert", f"x{name}", "new.ckl")
        assert ran.code in (1, 2), end
        one_line(ran)
        assert not Path("new.ckl").exists()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree("new.zarr")


def test_registry() -> None:
    """Every ending belongs to one format, and every library to an extra of the package."""
    endings = [suffix for entry in formats.FORMATS.values() for suffix in entry.suffixes]
    assert len(endings) == len(set(endings))
    for entry in formats.FORMATS.values():
        assert bool(entry.library) == bool(entry.extra)
    with pytest.raises(UnusableError, match="read, but not written"):
        formats.check("a.mgz", (2, 3, 4))


def test_png_holds_one_slice_of_16_bits(run: Any) -> None:
    """Larger labels and whole volumes are refused with the file's name; a palette gives its indices."""
    np.save("large.npy", np.full((4, 5), 2**16, np.uint32))
    np.save("thick.npy", np.zeros((4, 5, 6), np.uint8))
    for source, said in {"large.npy": "labels from 0 to 65535", "thick.npy": "holds one slice"}.items():
        ran = run("convert", source, "new.png")
        assert ran.code == 2
        assert said in one_line(ran)
        assert "new.png" in ran.err
    indices = labels((4, 5), "u1", "C")
    image = Image.fromarray(indices).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([number % 7 for number in range(768)])
    image.save("palette.png")
    same(read(run, "palette.png"), indices)


def test_slices_are_checked_without_decoding(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a folder reads headers only: a damaged last slice shows when it is converted."""
    from crackle_zarr.files.formats import slices

    Path("s").mkdir()
    for number in range(3):
        plane = np.arange(4000, dtype=np.uint16).reshape(40, 100)
        tifffile.imwrite(f"s/z{number}.tif", plane, compression="zlib", **GRAY)
    opened: list[object] = []
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda page, **_: opened.append(page))
    with formats.opened("s") as volume:
        assert volume.shape == (100, 40, 3)
    assert slices.is_sequence("s")
    assert opened == []
