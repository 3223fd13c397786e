"""Volumes in files of other formats: what 'crackle-zarr convert' reads, writes, keeps and refuses."""

from __future__ import annotations

import bz2
import gzip
import itertools
import logging
import lzma
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from command_line import one_line

import crackle_zarr
from crackle_zarr.errors import FormatError, VerificationError
from crackle_zarr.files import formats
from crackle_zarr.files.formats import Volume, in_memory
from crackle_zarr.files.space import Space
from crackle_zarr.files.volumes import UnusableError
from crackle_zarr.synthetic import neurons

nibabel = pytest.importorskip("nibabel")
nrrd = pytest.importorskip("nrrd")
tifffile = pytest.importorskip("tifffile")

GRAY = {"photometric": "minisblack"}
NAMES = ["a.ckl", "a.npy", "a.nrrd", "a.nii", "a.nii.gz", "a.tif"]
DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?"]
SHAPES = [(5,), (4, 6), (3, 4, 5), (1, 4, 5), (4, 1, 5), (4, 5, 1), (1, 1, 1), (3, 3, 3), (5, 4, 3)]


def volume_of(array, affine=None, spacing=None, header=None):
    """A volume whose edges of voxels are in millimetres."""
    unit = None if spacing is None and affine is None else "millimeter"
    return in_memory(array, space=Space(spacing, unit, None, affine), header=header)


@pytest.fixture(scope="module")
def seg():
    """A volume (x, y, z) in F order."""
    return neurons((10, 40, 50), seed=2, dtype=np.uint32).T


def labels(shape: tuple[int, ...], dtype: str, order: str) -> np.ndarray:
    """Any labels that the dtype holds, the outermost among them."""
    rng = np.random.default_rng(len(shape))
    if dtype == "?":
        array = rng.random(shape) < 0.5
    else:
        info = np.iinfo(dtype)
        array = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        array.flat[0], array.flat[-1] = info.max, info.min
    return np.asarray(array, order=order)


def as_kept(array: np.ndarray, *names: str) -> np.ndarray:
    """What is left of labels after these files: axes that a format always has, and no bool in most."""
    for name in names:
        least = {".ckl": 3, ".tif": 2}.get(Path(name).suffix, 0)
        array = array.reshape(array.shape + (1,) * (least - array.ndim), order="A")
        if array.dtype == bool and Path(name).suffix not in (".npy", ".tif"):
            array = array.astype(np.uint8)
    return array


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


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
    """Axes after the third that are 1 are none; others are refused."""
    array = labels((3, 4, 5, 1), "u1", "F")
    nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "a.nii")
    same(formats.read(tmp_path / "a.nii").array, array[..., 0])
    nibabel.Nifti1Image(array.reshape(3, 4, 1, 5), np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(UnusableError, match="4 axes, 3 x 4 x 1 x 5"):
        formats.read(tmp_path / "a.nii")


def write_nhdr(path: Path, array: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nrrd.write(str(path.with_suffix(".nhdr")), array)
    path.with_suffix(".nhdr").rename(path)


def write_nrrd(path: Path, array: np.ndarray, **header: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nrrd.write(str(path), array, header)


def scaled(path: Path, slope: float, inter: float) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.eye(4))
    image.header.set_slope_inter(slope, inter)
    image.to_filename(path)


REFUSED = {
    "floats.npy": (
        lambda path: np.save(path, np.full((2, 3, 4), 0.5)),
        "floats.npy: labels are whole numbers, and there is 0.5 at (0, 0, 0) (24 of 24 numbers are such)",
    ),
    "floats.nrrd": (lambda path: write_nrrd(path, np.full((2, 3, 4), 1.5)), "there is 1.5 at (0, 0, 0)"),
    "floats.nii": (
        lambda path: nibabel.Nifti1Image(np.full((2, 3, 4), np.nan, "f4"), np.eye(4)).to_filename(path),
        "there is nan at (0, 0, 0)",
    ),
    "floats.tif": (
        lambda path: tifffile.imwrite(path, np.full((2, 3, 4), 2**25, "f4"), **GRAY),
        "does not hold every whole number above 16,777,216",
    ),
    "slope.nii": (lambda path: scaled(path, 2, 0.5), "there is 0.5 at (0, 0, 0)"),
    "inter.nii.gz": (lambda path: scaled(path, 0.3, 5.1), "there is 5.09"),
    "colours.tif": (
        lambda path: tifffile.imwrite(path, np.zeros((4, 5, 3), "u1"), photometric="rgb"),
        "a TIFF file of colours (3 samples per pixel)",
    ),
    "four.tif": (
        lambda path: tifffile.imwrite(path, np.zeros((2, 2, 4, 5), "u1"), **GRAY),
        "4 axes, 2 x 2 x 4 x 5",
    ),
    "four.nrrd": (lambda path: write_nrrd(path, np.zeros((2, 3, 4, 5), "u1")), "4 axes, 2 x 3 x 4 x 5"),
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

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", asarray)
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


# ---------------------------------------------------------------------------------------
# Where voxels lie

AFFINE = np.array([[0, -0.5, 0, 7], [0.25, 0, 0, 8], [0, 0, 2, -9], [0, 0, 0, 1]])


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


# ---------------------------------------------------------------------------------------
# The command


@pytest.mark.parametrize("name", ["seg.ckl", "seg.npy.xz", "seg.nrrd", "seg.nii.gz", "seg.tif"])
def test_convert_there_and_back(run, seg, name):
    """The command writes and reads each format, and says what it did."""
    np.save("seg.npy", seg)
    ran = run("convert", "seg.npy", name)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"seg.npy -> {name}  50 x 40 x 10 uint32, 80,000 -> ")
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
        assert f"{option} is for Zarr arrays, and new.nrrd is to be a file" in one_line(ran)


@pytest.mark.parametrize("name", ["seg.ckl", "seg.npy", "seg.nrrd", "seg.nii", "seg.tif"])
def test_convert_file_and_array(run, seg, name):
    """A file (x, y, z) becomes an array (z, y, x), and that the same file."""
    formats.write(Path(name), volume_of(seg))
    ran = run("convert", name, "seg.zarr", "--chunks", "4,20,25")
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"{name} -> seg.zarr  1 array, 12 chunks, 80,000 -> ")
    made = zarr.open_array("seg.zarr", mode="r")
    same(np.asarray(made[...]), seg.T)
    assert made.metadata.dimension_names == ("z", "y", "x")
    assert made.chunks == (4, 20, 25)
    assert made.fill_value == 0
    ran = run("convert", "seg.zarr", f"back{Path(name).suffix}")
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
        same(np.asarray(made[...]), array.T)
        assert run("convert", "a.zarr", "b.npy", "--overwrite").code == 0
        same(np.load("b.npy"), array)
    ran = run("convert", "a.zarr", "b.nrrd")
    assert ran.code == (0 if len(shape) < 4 else 2)
    if ran.code:
        assert "goes into .npy and HDF5 only" in one_line(ran)
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
        ("seg.npy", "seg.tiv", "no format is known by this name"),
        ("seg.npy", "seg.nrrd.gz", "no format is known by this name"),
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
    np.save("seg.npy", seg)
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
    assert "holds no volume without voxels, 0 x 4 x 5" in one_line(ran)
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
    assert "what was read back is not what was written" in one_line(ran)
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
