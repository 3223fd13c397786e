"""Files of all formats: labels in and out, foreign and damaged files, libraries."""

from __future__ import annotations

import bz2
import gzip
import itertools
import logging
import lzma
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from command_line import one_line
from format_cases import (  # noqa: F401
    AFFINE,
    DTYPES,
    GRAY,
    NAMES,
    REFUSED,
    SHAPES,
    as_kept,
    labels,
    nibabel,
    nrrd,
    same,
    seg,
    tifffile,
    volume_of,
    write_nrrd,
)

import crackle_zarr
from crackle_zarr.errors import FormatError
from crackle_zarr.files import formats
from crackle_zarr.files.volumes import UnusableError

# ---------------------------------------------------------------------------------------
# Labels


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_and_shape(tmp_path, name, order):
    """Every voxel is as it was, of every dtype and shape."""
    for shape, dtype in itertools.product(SHAPES, DTYPES):
        array = labels(shape, dtype, order)
        volume = volume_of(array)
        formats.write(tmp_path / name, volume)
        same(formats.read(tmp_path / name).array, as_kept(array, name))
        formats.verify(tmp_path / name, volume)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(NAMES, NAMES)))
def test_every_pair(tmp_path, first, second):
    """From any format into any other, of every dtype."""
    one, two = tmp_path / first, tmp_path / f"b{second[1:]}"
    for dtype, order in itertools.product(DTYPES, "CF"):
        array = labels((3, 4, 5), dtype, order)
        formats.write(one, volume_of(array))
        formats.write(two, formats.read(one))
        same(formats.read(two).array, as_kept(array, first, second))


def test_what_other_programs_see(tmp_path):
    """The libraries find x, y and z where their users expect them."""
    array = labels((3, 4, 5), "u2", "F")
    for name in NAMES:
        formats.write(tmp_path / name, volume_of(array))
    same(np.load(tmp_path / "a.npy"), array)
    same(nrrd.read(str(tmp_path / "a.nrrd"), index_order="F")[0], array)
    same(np.asanyarray(nibabel.load(tmp_path / "a.nii").dataobj), array)
    same(np.asanyarray(nibabel.load(tmp_path / "a.nii.gz").dataobj), array)
    same(tifffile.imread(tmp_path / "a.tif"), array.T)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 5
        assert tiff.pages[0].shape == (4, 3)


@pytest.mark.parametrize("order", ["big", "little"])
def test_both_byte_orders(tmp_path, order):
    """What another machine wrote is read into the byte order of this one."""
    dtype = np.dtype("u4").newbyteorder("<" if order == "little" else ">")
    array = labels((3, 4, 5), "u4", "F")
    other = array.astype(dtype)
    np.save(tmp_path / "a.npy", other)
    tifffile.imwrite(tmp_path / "a.tif", other.T, byteorder=dtype.str[0], **GRAY)
    write_nrrd(tmp_path / "a.nrrd", other, encoding="raw")
    image = nibabel.Nifti1Image(array, None, nibabel.Nifti1Header(endianness=order), dtype=np.uint32)
    image.to_filename(tmp_path / "a.nii")
    for name in ("a.npy", "a.tif", "a.nrrd", "a.nii"):
        formats.write(tmp_path / "b.ckl", formats.read(tmp_path / name))
        same(crackle_zarr.load(tmp_path / "b.ckl"), array)


def test_long_axes(tmp_path):
    """NIfTI-1 counts up to 32,767: what is longer becomes NIfTI-2."""
    for length, sizeof_header in ((2**15 - 1, 348), (2**15, 540)):
        array = labels((length, 1, 2), "u1", "F")
        formats.write(tmp_path / "a.nii", volume_of(array))
        assert int.from_bytes((tmp_path / "a.nii").read_bytes()[:4], sys.byteorder) == sizeof_header
        same(formats.read(tmp_path / "a.nii").array, array)


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii", "a.tif"])
def test_told_by_content(tmp_path, name):
    """A file with a name that says nothing is read all the same, also within an outer format."""
    array = labels((3, 4, 5), "i8", "F")
    formats.write(tmp_path / name, volume_of(array))
    content = (tmp_path / name).read_bytes()
    for packed in (content, gzip.compress(content), bz2.compress(content), lzma.compress(content)):
        (tmp_path / "file").write_bytes(packed)
        same(formats.read(tmp_path / "file").array, array)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.CKL.gz", "ckl"),
        ("a.npy.zst", "npy"),
        ("a.b.nrrd", "nrrd"),
        ("a.nii.gz", "nifti"),
        ("a.TIFF", "tiff"),
        ("a.nrrd.gz", None),
        ("a.nii.xz", None),
        ("a.tif.gz", None),
        ("a.gz", None),
        ("nrrd", None),
        ("a.nhdr", None),
    ],
)
def test_names(name, format):
    """What is written is told by the name."""
    assert formats.of_name(Path(name)) == format


# ---------------------------------------------------------------------------------------
# Foreign files


def test_tiffs_of_others(tmp_path):
    """Single pages, ImageJ's and OME's stacks, and pages that nothing describes."""
    array = labels((3, 4, 5), "u2", "C")  # (z, y, x)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array[0], metadata=None, **GRAY)
    same(formats.read(path).array, array[0].T)
    tifffile.imwrite(path, array[0, :1], metadata=None, **GRAY)
    same(formats.read(path).array, array[0, :1].T)
    tifffile.imwrite(path, array, metadata=None, **GRAY)
    same(formats.read(path).array, array.T)
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"}, **GRAY)
    same(formats.read(path).array, array.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(tmp_path / "a.ome.tif", array[None, None], metadata={"axes": "TCZYX"}, **GRAY)
    same(formats.read(tmp_path / "a.ome.tif").array, array.T)


def test_nifti_with_one_time(tmp_path):
    """Axes after the third that are 1 are none; others have names."""
    array = labels((3, 4, 5, 1), "u1", "F")
    nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "a.nii")
    same(formats.read(tmp_path / "a.nii").array, array[..., 0])
    nibabel.Nifti1Image(array.reshape(3, 4, 1, 5), np.eye(4)).to_filename(tmp_path / "a.nii")
    volume = formats.read(tmp_path / "a.nii")
    assert (volume.shape, volume.axes) == ((3, 4, 1, 5), ("x", "y", "z", "t"))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(run, name):
    """What is no volume of labels is refused in one line, and nothing is written."""
    make, said = REFUSED[name]
    make(Path(name))
    ran = run("convert", name, "new.ckl")
    assert ran.code == 2
    assert said in one_line(ran)
    assert name in ran.err
    assert not Path("new.ckl").exists()


def test_pages_of_several_shapes(run):
    """Pages that are not those of one volume."""
    with tifffile.TiffWriter("a.tif") as tiff:
        for size in (3, 4):
            tiff.write(np.zeros((size, size), "u1"), photometric="minisblack")
    ran = run("convert", "a.tif", "a.npy")
    assert ran.code == 2
    assert "2 images in one TIFF file" in one_line(ran)


@pytest.mark.parametrize("name", [*NAMES, "a.npy.gz", "a.ckl.xz"])
def test_truncated(run, tmp_path, name):
    """A file that lost its end, wherever, is never taken for a smaller volume."""
    array = labels((6, 7, 8), "u4", "F")
    formats.write(tmp_path / name, volume_of(array, np.diag([2.0, 3, 4, 1]), (2.0, 3, 4)))
    content = (tmp_path / name).read_bytes()
    for end in [*range(0, len(content), 41), len(content) - 9]:
        (tmp_path / f"x{name}").write_bytes(content[:end])
        with pytest.raises((UnusableError, FormatError), match="xa") as refused:
            formats.read(tmp_path / f"x{name}")
        assert "\n" not in str(refused.value)
    ran = run("convert", f"x{name}", "new.npy")
    assert ran.code in (1, 2)
    one_line(ran)
    assert not Path("new.npy").exists()


def test_truncated_tiff_of_others(tmp_path):
    """Where pages are missing at the end, tifffile goes on with those that are left."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for page in labels((6, 40, 50), "u2", "C"):
            tiff.write(page, photometric="minisblack", metadata=None)
    content = path.read_bytes()
    for end in range(0, len(content) - 1, 331):
        path.write_bytes(content[:end])
        with pytest.raises(UnusableError):
            formats.read(path)


@pytest.mark.parametrize("name", [*NAMES, "a.npy.gz"])
def test_changed_bytes(tmp_path, name):
    """Whatever is damaged, there is an error of one line, or labels."""
    formats.write(tmp_path / name, volume_of(labels((3, 4, 5), "u2", "F")))
    content = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(200):
        changed = bytearray(content)
        changed[int(rng.integers(min(len(content), 400)))] = int(rng.integers(256))
        (tmp_path / name).write_bytes(changed)
        try:
            formats.read(tmp_path / name)
        except (UnusableError, FormatError, MemoryError) as error:
            said = str(error)
        else:
            said = ""
        assert "\n" not in said


def test_checksum_of_an_outer_format(run):
    """NumPy stops at the last voxel, and gzip's checksum comes after it."""
    np.save("a.npy", np.zeros((3, 4, 5), "u1"))
    packed = bytearray(gzip.compress(Path("a.npy").read_bytes()))
    packed[-8] ^= 1
    Path("a.npy.gz").write_bytes(packed)
    for command in (["convert", "a.npy.gz", "a.ckl"], ["compress", "a.npy.gz", "-o", "a.ckl"]):
        ran = run(*command)
        assert ran.code == 1
        assert "damaged or truncated gzip data: CRC check failed" in one_line(ran)


def test_tiff_needs_a_codec(run, monkeypatch):
    """What tifffile cannot decompress by itself is no damage, and the error says what to install."""
    tifffile.imwrite("a.tif", np.zeros((4, 5), "u1"), compression="zlib", **GRAY)

    def asarray(self: object, *arguments: object, **keywords: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    ran = run("convert", "a.tif", "a.npy")
    assert ran.code == 2
    assert "pip install imagecodecs" in one_line(ran)
    assert "damaged" not in ran.err


# ---------------------------------------------------------------------------------------
# Libraries


@pytest.mark.parametrize(
    ("name", "module", "package", "extra"),
    [
        ("a.nrrd", "nrrd", "pynrrd", "nrrd"),
        ("a.nii.gz", "nibabel", "nibabel", "nifti"),
        ("a.tif", "tifffile", "tifffile", "tiff"),
    ],
)
def test_a_missing_library(run, seg, monkeypatch, name, module, package, extra):
    """The error names the package and the extra, whether the file is the source or the destination."""
    formats.write(Path(name), volume_of(seg))
    np.save("seg.npy", seg)
    monkeypatch.setitem(sys.modules, module, None)
    said = f"need the package {package}: pip install 'crackle-zarr[{extra}]'"
    for arguments in (
        [name, "b.ckl"],
        [name, "b.zarr"],
        ["seg.npy", f"b{name[1:]}"],
        ["no.npy", f"b{name[1:]}"],
    ):
        ran = run("convert", *arguments)
        assert ran.code == 2
        assert said in one_line(ran)
        assert not Path(arguments[1]).exists()
    with pytest.raises(ImportError, match=package):
        formats.read(Path(name))


def test_loggers_are_as_they_were(tmp_path, caplog):
    """What libraries log elsewhere is none of our business."""
    loggers = [logging.getLogger(name) for name in ("nibabel.global", "tifffile")]
    before = [(list(logger.handlers), logger.propagate) for logger in loggers]
    (tmp_path / "a.tif").write_text("dear")
    with pytest.raises(UnusableError):
        formats.read(tmp_path / "a.tif")
    assert [(list(logger.handlers), logger.propagate) for logger in loggers] == before


def test_between_nrrd_and_nifti(tmp_path):
    """Voxel size, orientation and origin go both ways."""
    array = labels((3, 4, 5), "u2", "F")
    for first, second in itertools.product(["a.nrrd", "a.nii", "a.nii.gz"], repeat=2):
        formats.write(tmp_path / first, volume_of(array, AFFINE, (0.25, 0.5, 2.0)))
        volume = formats.read(tmp_path / first)
        formats.write(tmp_path / f"b{second[1:]}", volume)
        found = formats.read(tmp_path / f"b{second[1:]}")
        np.testing.assert_array_equal(found.space.affine, AFFINE)
        assert found.space.size_in("millimeter") == (0.25, 0.5, 2.0)
    image = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) == 1
    assert nibabel.aff2axcodes(image.affine) == ("A", "L", "S")


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_spaces_of_nrrd(tmp_path, space, signs):
    """The axes of space that NRRD names are turned into NIfTI's; units become millimetres."""
    directions = np.array([[500.0, 0, 0], [0, 250, 0], [0, 0, 2000]])
    write_nrrd(
        tmp_path / "a.nrrd",
        np.zeros((3, 4, 5), "u1"),
        **{
            "space": space,
            "space directions": directions,
            "space origin": [1000.0, 2000, 3000],
            "space units": ["um", "um", "um"],
        },
    )
    volume = formats.read(tmp_path / "a.nrrd")
    expected = np.array([[0.5, 0, 0, 1], [0, 0.25, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]])
    expected[:3] *= np.array(signs)[:, None]
    np.testing.assert_allclose(volume.space.affine, expected)
    assert volume.space.size_in("millimeter") == pytest.approx((0.5, 0.25, 2))


@pytest.mark.parametrize(
    ("header", "spacing"),
    [
        ({"spacings": [0.5, 1, 2]}, (0.5, 1, 2)),
        ({"spacings": [500.0, 1000, 2000], "units": ["um", "um", "um"]}, (0.5, 1, 2)),
        ({"spacings": [0.5, np.nan, 2]}, None),
        ({"spacings": [0.5, 1, 2], "units": ["s", "mm", "mm"]}, None),
        ({"space dimension": 3, "space directions": np.diag([0.5, 1, 2])}, (0.5, 1, 2)),
        ({"space": "scanner-xyz", "space directions": np.diag([0.5, 1, 2])}, (0.5, 1, 2)),
        ({"space dimension": 3, "space directions": np.diag([0.5, 0, 2])}, None),
    ],
)
def test_spacings_of_nrrd(tmp_path, header, spacing):
    """A voxel size without an orientation goes to NIfTI and TIFF, if it is one."""
    write_nrrd(tmp_path / "a.nrrd", np.zeros((3, 4, 5), "u1"), **header)
    volume = formats.read(tmp_path / "a.nrrd")
    assert volume.space.affine is None
    assert volume.space.size_in("millimeter") == (None if spacing is None else pytest.approx(spacing))
    for name in ("b.nii", "b.tif"):
        formats.write(tmp_path / name, volume)
        found = formats.read(tmp_path / name)
        assert found.space.affine is None
        assert found.space.size_in("millimeter") == (None if spacing is None else pytest.approx(spacing))


def test_the_header_stays_in_its_format(tmp_path):
    """What only one format knows stays as long as the format does."""
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([0.5, 1, 2]),
        "space origin": [1.0, 2, 3],
        "content": "nuclei",
        "Segment0_Name": "soma",
        "encoding": "raw",
        "byte skip": -1,
    }
    write_nrrd(tmp_path / "a.nrrd", np.ones((3, 4, 5), "u2"), **header)
    formats.write(tmp_path / "b.nrrd", formats.read(tmp_path / "a.nrrd"))
    array, kept = nrrd.read(str(tmp_path / "b.nrrd"))
    assert array.min() == 1
    assert kept["space"] == "left-posterior-superior"
    np.testing.assert_array_equal(kept["space directions"], np.diag([0.5, 1, 2]))
    assert kept["content"] == "nuclei"
    assert kept["Segment0_Name"] == "soma"
    assert kept["encoding"] == "gzip"

    image = nibabel.Nifti1Image(np.ones((3, 4, 5), "u2"), None)
    image.set_qform(AFFINE, "talairach", strip_shears=False)
    image.set_sform(AFFINE * 2, "mni")
    image.header["descrip"] = b"nuclei"
    image.header.set_intent("label")
    image.header.set_xyzt_units("micron", "sec")
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"hello"))
    image.to_filename(tmp_path / "a.nii")
    formats.write(tmp_path / "b.nii.gz", formats.read(tmp_path / "a.nii"))
    again = nibabel.load(tmp_path / "b.nii.gz")
    for name in ("qform_code", "sform_code", "srow_x", "quatern_b", "descrip", "intent_code", "xyzt_units"):
        np.testing.assert_array_equal(again.header[name], image.header[name], name)
    assert again.header.extensions[0].get_content().rstrip(b"\0") == b"hello"
    assert formats.read(tmp_path / "a.nii").space.affine[0, 1] == pytest.approx(-1e-3)  # micrometres


def test_voxel_size_of_tiff(tmp_path):
    """As this package, ImageJ and OME write it; the tags of resolution alone say nothing."""
    array = labels((5, 4, 3), "u1", "C")
    path = tmp_path / "a.tif"
    formats.write(path, volume_of(array.T, None, (0.5, 0.25, 2.0)))
    assert formats.read(path).space.size_in("millimeter") == (0.5, 0.25, 2.0)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].tags["XResolution"].value == (20, 1)
        assert tiff.pages[0].tags["YResolution"].value == (40, 1)
    about = {"axes": "ZYX", "spacing": 2000, "unit": "um"}
    tifffile.imwrite(path, array, imagej=True, resolution=(1 / 500, 1 / 250), metadata=about, **GRAY)
    assert formats.read(path).space.size_in("millimeter") == pytest.approx((0.5, 0.25, 2))
    about = {
        "axes": "ZYX",
        "PhysicalSizeX": 500,
        "PhysicalSizeY": 250,
        "PhysicalSizeZ": 2,
        "PhysicalSizeZUnit": "mm",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata=about, **GRAY)
    assert formats.read(tmp_path / "a.ome.tif").space.size_in("millimeter") == pytest.approx((0.5, 0.25, 2))
    tifffile.imwrite(path, array, resolution=(72, 72), resolutionunit="INCH", metadata=None, **GRAY)
    assert formats.read(path).space.size_in("millimeter") is None


def test_nothing_is_made_up(tmp_path):
    """Files that say nothing of space get nothing of it."""
    array = labels((3, 4, 5), "u1", "F")
    for first, second in itertools.product(NAMES, NAMES):
        formats.write(tmp_path / first, volume_of(array))
        volume = formats.read(tmp_path / first)
        assert (volume.space.affine, volume.space.size_in("millimeter")) == (None, None)
        formats.write(tmp_path / f"b{second[1:]}", volume)
        again = formats.read(tmp_path / f"b{second[1:]}")
        assert (again.space.affine, again.space.size_in("millimeter")) == (None, None)
