"""``crackle-zarr skeletonize`` and ``swc``: files, tables, pictures, and errors of one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import run  # noqa: F401

import crackle_zarr as cz
from crackle_zarr import skeletons as ks


@pytest.fixture
def seg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A bar of label 7, a thin one of label 9, and a crumb of label 5: (x, y, z)."""
    monkeypatch.chdir(tmp_path)
    volume = np.zeros((60, 20, 24), np.uint32, order="F")
    volume[5:55, 4:12, 4:12] = 7
    volume[5:55, 15:18, 15:18] = 9
    volume[1:3, 1:3, 1:3] = 5
    return volume


def skeleton(label: int, folder: str = "seg_skeletons") -> ks.Skeleton:
    return ks.Skeleton.load(Path(folder) / f"{label}.swc")


def test_files(run, seg) -> None:
    """An SWC file for each label, a table, and a line about those that are dust."""
    cz.save(seg, "seg.ckl")
    done = run("skeletonize", "seg.ckl", "--const", "5", "--dust", "100")
    assert done.code == 0
    assert sorted(path.name for path in Path("seg_skeletons").iterdir()) == ["7.swc", "9.swc"]
    assert "2 skeletons in" in done.out
    assert "1 label without a skeleton: no connected component of more than 100 voxels" in done.out
    assert "(the largest has 8; --dust 7 takes it)" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert next(row for row in rows if row[:1] == ["7"])[1] == "3,200"
    expected = cz.skeletonize(seg, {"const": 5}, dust_threshold=100, fix_borders=False, progress=False)
    assert skeleton(7).consolidate().vertices.tolist() == expected[7].vertices.tolist()


@pytest.mark.parametrize("name", ["seg.npy", "seg.nii", "seg.tif", "seg.h5:/labels", "seg.zarr"])
def test_sources(run, seg, name: str) -> None:
    """Files of all formats and stored arrays give the same, with the voxel size that they name."""
    from crackle_zarr.files import formats
    from crackle_zarr.files.space import Space

    size = None if name == "seg.npy" else (2.0, 2.0, 4.0)
    if name == "seg.zarr":
        attributes = {"voxel_size": [4.0, 2.0, 2.0], "voxel_unit": "micrometer"}
        cz.create_array(name, data=np.ascontiguousarray(seg.T), chunks=(8, 10, 30), attributes=attributes)
    else:
        space = Space(size, None if size is None else "micrometer")
        formats.write(name, formats.in_memory(seg, space=space))
    # Formats differ in the units that they know: lengths are in the file's.
    scale = {"seg.npy": 1.0, "seg.zarr": 1.0, "seg.h5:/labels": 1e3}.get(name, 1e-3)
    done = run("skeletonize", name, "--const", 30 * scale, "--dust", "100")
    assert done.code == 0, done.err
    expected = cz.skeletonize(
        seg,
        {"const": 30},
        anisotropy=size or (1, 1, 1),
        dust_threshold=100,
        fix_borders=False,
        progress=False,
    )
    found = skeleton(7, "seg_skeletons")
    # Equal costs may be told apart otherwise in another unit.
    assert found.cable_length() == pytest.approx(expected[7].cable_length() * scale, rel=0.1)
    np.testing.assert_allclose(found.transform, expected[7].transform * scale, rtol=1e-5)
    assert ("meter" in done.out) == (size is not None)


def test_options(run, seg) -> None:
    """Options reach the tracer: labels, voxel sizes with fractions, borders, Kimimaro's names."""
    np.save("seg.npy", seg)
    options = ["--anisotropy", "0.5,0.5,1.25", "--const", "2", "--dust", "1", "--fix-borders", "--fill-holes"]
    options += ["--no-fix-branches", "--soma-detect", "1e9", "--soma-accept", "1e9", "--max-paths", "3"]
    done = run("skeletonize", "seg.npy", "-l", 7, *options, "--outdir", "one")
    assert done.code == 0, done.err
    assert [path.name for path in Path("one").iterdir()] == ["7.swc"]
    assert skeleton(7, "one").transform.diagonal().tolist() == [0.5, 0.5, 1.25]


def test_datasets_by_tiles(run, seg, monkeypatch) -> None:
    """An array that does not fit the memory goes by tiles, into a dataset, SWC files or a folder."""
    pytest.importorskip("pyarrow")
    volume = np.ascontiguousarray(np.tile(seg.T, (2, 2, 2)))
    attributes = {"voxel_size": [40, 16, 16], "voxel_unit": "nanometer", "voxel_origin": [400, 160, 0]}
    cz.create_array("seg.zarr", data=volume, chunks=(12, 20, 40), attributes=attributes)
    small = ["skeletonize", "seg.zarr", "--const", "100", "--dust", "100", "--memory", "3M"]
    done = run(*small, "--dataset", "all")
    assert done.code == 0, done.err
    dataset = cz.open_skeletons("all")
    assert sorted(dataset) == [7, 9]
    assert "-> all  vertices, edges and labels in Parquet" in done.out
    assert "2 skeletons in" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert next(row for row in rows if row[:1] == ["7"])[-1] == str(len(dataset[7].components()))
    assert not Path("seg_skeletons").exists()
    assert run(*small).code == 0
    assert skeleton(7).cable_length() == pytest.approx(dataset[7].cable_length(), rel=1e-4)
    np.testing.assert_allclose(skeleton(7).transform[:, 3], (0, 160, 400))
    assert not Path("seg_skeletons.unfinished").exists()
    assert run(*small, "--precomputed", "folder").code == 0
    assert {one.id for one in ks.read_folder("folder")} == {7, 9}
    done = run(*small, "--dataset", "all")
    assert done.code == 2
    assert "overwrite" in done.err
    assert run(*small, "--dataset", "all", "--force").code == 0
    done = run(*small, "--dataset", "all", "--resume", "--dust", "7")
    assert done.code == 2
    assert "another dust_threshold" in done.err


def test_resume(run, seg, monkeypatch) -> None:
    """An interrupted run leaves its tiles, and --resume goes on with them."""
    pytest.importorskip("pyarrow")
    from crackle_zarr._base import atomic_files

    volume = np.ascontiguousarray(np.tile(seg.T, (2, 2, 2)))
    cz.create_array("seg.zarr", data=volume, chunks=(12, 20, 40))
    small = ["skeletonize", "seg.zarr", "--const", "5", "--dust", "100", "--memory", "3M", "-j", "1"]
    rename, left = atomic_files.os.replace, 3

    def replace(*paths) -> None:
        nonlocal left
        if left == 0:
            raise OSError(28, "No space left on device")
        left -= 1
        rename(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(atomic_files.os, "replace", replace)
        done = run(*small)
    assert done.code == 2
    assert "No space left on device" in done.err
    assert len(list(Path("seg_skeletons.unfinished", "tiles").iterdir())) == 2
    assert run(*small).code == 2  # it says what to do
    assert run(*small, "--resume").code == 0
    assert not Path("seg_skeletons.unfinished").exists()
    assert sorted(path.name for path in Path("seg_skeletons").iterdir()) == ["7.swc", "9.swc"]


def test_labels_and_axes_of_arrays(run, seg) -> None:
    """Single labels of an array, an array with a time axis, and options that do not fit."""
    cz.create_array("seg.zarr", data=np.ascontiguousarray(seg.T), chunks=(8, 10, 30))
    assert run("skeletonize", "seg.zarr", "--const", "5", "-l", "9", "--dust", "9").code == 0
    expected = cz.skeletonize(seg, {"const": 5}, dust_threshold=9, fix_borders=False, progress=False)
    assert skeleton(9).consolidate().vertices.tolist() == expected[9].vertices.tolist()
    cz.create_array(
        "t.zarr", data=np.stack([seg.T] * 2), chunks=(1, 8, 10, 30), dimension_names=("t", "z", "y", "x")
    )
    done = run("skeletonize", "t.zarr", "--const", "5", "-o", "t")
    assert done.code == 2
    assert "axis 0 (t) is none of x, y and z" in done.err
    assert run("skeletonize", "t.zarr", "--const", "5", "-o", "t", "--region", "1", "--dust", "9").code == 0
    assert skeleton(9, "t").consolidate().vertices.tolist() == expected[9].vertices.tolist()
    for arguments, message in [
        (["seg.zarr", "--memory", "lots"], "'lots' is not a number of bytes"),
        (["seg.zarr", "--resume", "-o", "new"], "nothing that --resume could go on with"),
        (["seg.npy", "--dataset", "all"], "--dataset is for Zarr arrays"),
    ]:
        np.save("seg.npy", seg)
        done = run("skeletonize", *arguments)
        assert done.code == 2
        assert message in done.err


def test_region(run, seg) -> None:
    """Coordinates count from the first voxel of the array."""
    cz.create_array("seg.zarr", data=np.ascontiguousarray(seg.T), chunks=(8, 10, 30))
    assert run("skeletonize", "seg.zarr", "--region", ":,:,20:", "--const", "5", "--dust", "9").code == 0
    places = skeleton(7).vertices
    assert places[:, 0].min() >= 20
    assert places[:, 0].max() == 54


def test_parquet_and_precomputed(run, seg) -> None:
    """Tables and folders hold the same as files."""
    pytest.importorskip("pyarrow")
    np.save("seg.npy", seg)
    assert run("skeletonize", "seg.npy", "--dust", "1", "-o", "all.parquet").code == 0
    assert run("skeletonize", "seg.npy", "--dust", "1", "--precomputed", "pre").code == 0
    table, folder = ks.from_parquet("all.parquet"), {one.id: one for one in ks.read_folder("pre")}
    assert list(table) == list(folder) == [5, 7, 9]
    assert all(table[label].vertices.tolist() == folder[label].vertices.tolist() for label in table)


def test_picture(run, seg) -> None:
    """The picture has the labels in colours, the background in white, and lines."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    cz.save(seg, "seg.ckl")
    assert run("skeletonize", "seg.ckl", "--dust", "1", "--const", "9", "--png", "a.png").code == 0
    image = pyplot.imread("a.png")[:, :, :3]
    colours = {tuple(colour) for colour in (image.reshape(-1, 3) * 255).astype(int).tolist()}
    assert (255, 255, 255) in colours
    height, width = image.shape[:2]
    assert width / height == pytest.approx(60 / 20, rel=0.02)
    bar = image[int(8 / 20 * height), int(30 / 60 * width)]
    assert bar.tolist() != [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["seg.npy", "--anisotropy", "1,2"], 2, "'1,2' is not a voxel size"),
        (["seg.npy", "--anisotropy", "1,2,-3"], 2, "above 0"),
        (["seg.npy", "--scale", "-1"], 2, "scale is a number from 0 on, not -1"),
        (["seg.npy", "-l", "77"], 3, "there is no label 77"),
        (["seg.npy", "-o", "a.parquet", "--precomputed", "b"], 2, "give one"),
        (["seg.npy", "-o", "seg.npy"], 2, "is a file"),
        (["missing.npy"], 2, "No such file"),
        (["float.npy"], 2, "float.npy"),
        (["four.npy"], 2, "four.npy"),
        (["seg.npy", "--region", "1:2"], 2, "--region is for Zarr arrays"),
        (["seg.npy", "--scales", "1"], 2, "No such option"),
    ],
)
def test_errors(run, seg, arguments: list[str], code: int, message: str) -> None:
    """An error is one line that says what was given, and nothing is written."""
    np.save("seg.npy", seg)
    np.save("float.npy", np.full((3, 3, 3), 0.5))
    np.save("four.npy", np.ones((2, 2, 2, 2), np.uint8))
    done = run("skeletonize", *arguments)
    assert done.code == code
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("a.parquet").exists()


def test_existing_results(run, seg) -> None:
    """Results are not overwritten, unless --force says so."""
    np.save("seg.npy", seg)
    assert run("skeletonize", "seg.npy", "--dust", "1").code == 0
    again = run("skeletonize", "seg.npy", "--dust", "1")
    assert again.code == 2
    assert "--force" in again.err
    assert run("skeletonize", "seg.npy", "--dust", "1", "--force").code == 0


def test_swc(run, seg) -> None:
    """A thinned image becomes SWC and an image again, voxel for voxel."""
    image = np.zeros((9, 8, 7), np.uint8)
    image[2:8, 3, 3] = image[7, 3:8, 4] = 1
    np.save("thin.npy", image)
    assert run("swc", "from", "thin.npy").code == 0
    done = run("swc", "to", "thin.swc", "-o", "back.npy", "--shape", "9,8,7")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(np.load("back.npy") != 0, image != 0)
    Path("bad.swc").write_text("1 2 3")
    assert "line 1 is no vertex" in run("swc", "to", "bad.swc").err
    np.save("empty.npy", np.zeros((3, 3, 3), np.uint8))
    assert "nothing to join" in run("swc", "from", "empty.npy").err
