"""Writing OME-Zarr label images, in Python and on the command line, and files from them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import Ran, one_line, run  # noqa: F401 - a fixture
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.ome import label_images, open_labels, open_multiscale
from crackle_zarr.ome.pooling import pool

SEG = np.repeat(np.arange(10 * 40 * 60, dtype="u2").reshape(10, 40, 60) // 700, 2, axis=1)  # (z, y, x)


class Slices:
    """Labels that are not a NumPy array, and count the voxels that are read at once."""

    def __init__(self, voxels: np.ndarray) -> None:
        self.voxels, self.shape, self.dtype = voxels, voxels.shape, voxels.dtype
        self.most = 0

    def __getitem__(self, box: Any) -> np.ndarray:
        self.most = max(self.most, self.voxels[box].size)
        return self.voxels[box]


@pytest.mark.parametrize("kind", ["NumPy", "Fortran", "swapped", "Zarr", "zstd", "slices"])
def test_sources(kind: str) -> None:
    """Labels come from arrays of NumPy and Zarr, and from anything with slices, read block by block."""
    data: Any = {
        "NumPy": lambda: SEG,
        "Fortran": lambda: np.asfortranarray(SEG),
        "swapped": lambda: SEG.astype(">u2"),
        "Zarr": lambda: cz.create_array({}, data=SEG, chunks=(4, 32, 32)),
        "zstd": lambda: zarr.create_array({}, data=SEG, chunks=(5, 30, 30)),
        "slices": lambda: Slices(SEG),
    }[kind]()
    made = cz.write_ome_labels(
        MemoryStore(), "cells", data, "zyx", (40, 8, 8), "nm", chunks=(4, 32, 32), levels=3
    )
    assert np.array_equal(made.levels[0][...], SEG)
    assert np.array_equal(made.levels[2][...], pool(pool(SEG, (1, 2, 2)), (1, 2, 2)))
    assert ".crackle-write" not in {key.rpartition("/")[2] for key in made.group.store_path.store._store_dict}
    if isinstance(data, Slices):
        assert data.most <= 4 * 32 * 32


def test_without_a_pyramid() -> None:
    """Level 0 alone can be written, and its levels built later."""
    made = cz.write_ome_labels(MemoryStore(), None, SEG, pyramid=False, chunks=(4, 32, 32))
    assert made.paths == ["s0"]
    made = cz.build_pyramid(made.group)
    assert np.array_equal(made.levels[1][...], pool(SEG, (2, 2, 2)))


def test_in_an_image() -> None:
    """In an image, labels have its levels, and explicit factors are those of the levels."""
    store = MemoryStore()
    group = cz.create_ome_labels(store, None, SEG.shape, "u1", levels=3, voxel_size=(40, 8, 8)).group
    made = cz.write_ome_labels(group, "cells", SEG)
    assert len(made.levels) == 3
    assert np.array_equal(made.levels[1][...], pool(SEG, (1, 2, 2)))
    made = cz.write_ome_labels(group, "other", SEG, factors=[(2, 2, 2), (1, 2, 2)])
    assert made.spaces[1].voxel_size == (80, 16, 16)
    assert np.array_equal(made.levels[1][...], pool(SEG, (2, 2, 2)))
    assert label_images(group) == ["cells", "other"]


def test_processes(tmp_path: Path) -> None:
    """Processes build the levels, and copy voxels from Zarr."""
    source = cz.create_array(tmp_path / "a.zarr", data=SEG, chunks=(4, 32, 32))
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        for data in (SEG, source):
            made = cz.write_ome_labels(
                tmp_path / "b.zarr", "cells", data, levels=2, executor=executor, overwrite=True
            )
            assert np.array_equal(made.levels[1][...], pool(SEG, (2, 2, 2)))


def test_refused() -> None:
    """bool, floats, what is no array, and a name that is taken are refused; nothing is left behind."""
    store = MemoryStore()
    with pytest.raises(TypeError, match="bool is not allowed"):
        cz.write_ome_labels(store, "cells", SEG > 3)
    with pytest.raises(TypeError, match="not float64"):
        cz.write_ome_labels(store, "cells", SEG * 0.5)
    with pytest.raises(TypeError, match="data is an array of labels, not NoneType"):
        cz.write_ome_labels(store, "cells")
    with pytest.raises(ValueError, match="voxel_size is 3 positive numbers"):
        cz.write_ome_labels(store, "cells", SEG, voxel_size=(1, 2))
    assert not store._store_dict
    cz.write_ome_labels(store, "cells", SEG)
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        cz.write_ome_labels(store, "cells", SEG)
    made = cz.write_ome_labels(store, "cells", SEG + 1, overwrite=True)
    assert np.array_equal(made.levels[0][...], SEG + 1)


# ---------------------------------------------------------------------------------------
# The command line


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    nibabel = pytest.importorskip("nibabel")
    affine = np.diag([0.008, 0.008, 0.04, 1])
    affine[:3, 3] = [1, 2, 3]
    image = nibabel.Nifti1Image(SEG.T, affine)
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "in.nii.gz")
    return tmp_path / "in.nii.gz"


def test_files_and_back(nifti: Path, run: Callable[..., Ran]) -> None:
    """convert --ome keeps voxel size, unit and origin, and another conversion brings them back."""
    ran = run("convert", nifti, "out.ome.zarr", "--ome", "--levels", "3", "--chunks", "4,32,32")
    assert ran.code == 0, ran.err
    assert "3 levels: 10 x 80 x 60, 10 x 40 x 30, 10 x 20 x 15" in ran.out
    assert "0.04 x 0.008 x 0.008 micrometer (z, y, x)" in ran.out
    made = open_multiscale("out.ome.zarr")
    assert np.array_equal(made.levels[0][...], SEG)
    assert made.spaces[0].voxel_size == pytest.approx((0.04, 0.008, 0.008))
    assert made.spaces[0].origin == pytest.approx((3, 2, 1))
    assert "voxel_size" not in made.levels[0].attrs
    for place in ("out.ome.zarr", "out.ome.zarr/s1"):
        assert run("convert", place, "back.nii.gz", "--overwrite").code == 0
        import nibabel

        size = nibabel.load("back.nii.gz").affine.diagonal()[:3]
        factor = 1 if place == "out.ome.zarr" else 2
        assert size == pytest.approx([8e-6 * factor, 8e-6 * factor, 4e-5])


def test_labels_of_an_image(nifti: Path, run: Callable[..., Ran]) -> None:
    """--name writes labels into a group or an image, and adds to the list."""
    for name in ("cells", "nuclei"):
        assert run("convert", nifti, "image.ome.zarr", "--ome", "--name", name).code == 0
    assert label_images("image.ome.zarr") == ["cells", "nuclei"]
    assert np.array_equal(open_labels("image.ome.zarr", "cells").levels[0][...], SEG)
    taken = run("convert", nifti, "image.ome.zarr", "--ome", "--name", "cells")
    assert taken.code == 2
    assert "exists already" in one_line(taken)


def test_zarr_and_bool(run: Callable[..., Ran]) -> None:
    """Arrays keep their chunks, pyramids their axes, and bool becomes 0 and 1."""
    cz.create_array("a.zarr", data=SEG > 5, chunks=(4, 32, 32))
    ran = run("convert", "a.zarr", "b.ome.zarr", "--ome", "--voxel-size", "40,8,8", "--unit", "nm")
    assert ran.code == 0, ran.err
    made = open_multiscale("b.ome.zarr")
    assert made.levels[0].dtype == np.uint8
    assert made.levels[0].chunks == (4, 32, 32)
    assert np.array_equal(made.levels[0][...], SEG > 5)
    assert (
        run("convert", "b.ome.zarr", "c.ome.zarr", "--ome", "--factors", "2,2,2", "--levels", "2").code == 0
    )
    again = open_multiscale("c.ome.zarr")
    assert again.spaces[0] == made.spaces[0].of_axes(range(3))
    assert np.array_equal(again.levels[1][...], pool(made.levels[0][...], (2, 2, 2)))


def test_pyramid(run: Callable[..., Ran]) -> None:
    """crackle-zarr pyramid builds levels, and refuses to replace others without --overwrite."""
    cz.write_ome_labels("a.ome.zarr", None, SEG, pyramid=False, chunks=(4, 32, 32))
    ran = run("pyramid", "a.ome.zarr", "--factors", "1,2,2", "--factors", "2,2,2", "--sparse")
    assert ran.code == 0, ran.err
    assert ran.out == "a.ome.zarr: 3 levels: 10 x 80 x 60, 10 x 40 x 30, 5 x 20 x 15\n"
    expected = pool(pool(SEG, (1, 2, 2), True), (2, 2, 2), True)
    assert np.array_equal(open_multiscale("a.ome.zarr").levels[2][...], expected)
    refused = run("pyramid", "a.ome.zarr", "--levels", "2")
    assert refused.code == 2
    assert "--overwrite replaces them" in one_line(refused)
    assert run("pyramid", "a.ome.zarr", "--levels", "2", "--overwrite").code == 0
    assert len(open_multiscale("a.ome.zarr").levels) == 2
    array = run("pyramid", "a.ome.zarr/s0")
    assert array.code == 2
    assert "convert --ome makes one" in one_line(array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["b.zarr", "--levels", "2"], "--levels is for OME-Zarr: give --ome, too"),
        (["b.zarr", "--voxel-size", "1,2,3"], "--voxel-size is for OME-Zarr"),
        (["b.zarr", "--ome", "--zarr-format", "2"], "in Zarr format 3 and with Crackle"),
        (["b.zarr", "--ome", "--to", "zstd"], "in Zarr format 3 and with Crackle"),
        (["b.zarr", "--ome", "--unit", "nm"], "--unit is for --voxel-size"),
        (["b.nii", "--ome"], "--ome is for Zarr, and b.nii is a file"),
        (["b.zarr", "--ome", "--voxel-size", "1,a"], "is not numbers such as 40,8,8"),
        (["b.zarr", "--ome", "--factors", "1,0"], "is not a shape"),
        (["b.zarr", "--ome", "--factors", "1,2"], "a factor is 3 integers"),
        (["a.zarr", "--ome"], "the destination is the source"),
    ],
)
def test_wrong_options(options: list[str], message: str, run: Callable[..., Ran]) -> None:
    """Options that do not fit each other are refused, and nothing is written."""
    cz.create_array("a.zarr", data=SEG, chunks=(4, 32, 32))
    ran = run("convert", "a.zarr", *options)
    assert ran.code == 2
    assert message in one_line(ran)
    assert not Path("b.zarr").exists() or not list(Path("b.zarr").rglob("*.json"))
