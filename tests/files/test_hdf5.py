"""HDF5: datasets by name, as sources and as destinations of a conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from command_line import one_line

import crackle_zarr as cz
from crackle_zarr.synthetic import neurons

SEG = neurons((20, 40, 50), seed=2, dtype=np.uint32)  # (z, y, x)


def save(path: str, **datasets: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file.create_dataset(name, data=array, chunks=True, compression="gzip")


@pytest.mark.parametrize(
    "place", ["a.h5:/volumes/labels/neuron_ids", "a.h5:volumes/labels/neuron_ids", "a.h5"]
)
def test_a_dataset_becomes_an_array(run: Any, place: str) -> None:
    """Index for index; the name may be left out where there is one dataset of integers."""
    save("a.h5", **{"volumes/labels/neuron_ids": SEG, "volumes/raw": SEG.astype("f4") / 3})
    done = run("convert", place, "seg.zarr")
    assert done.code == 0, done.err
    array = zarr.open_array("seg.zarr", mode="r")
    assert array.dtype == np.uint32
    np.testing.assert_array_equal(array[...], SEG)
    assert run("convert", place, "seg.ckl").code == 0
    np.testing.assert_array_equal(cz.load("seg.ckl"), SEG.T)


@pytest.mark.parametrize("source", ["seg.zarr", "seg.ckl", "seg.npy"])
def test_a_destination(run: Any, source: str) -> None:
    """Datasets are (z, y, x), chunked and compressed; the file's other datasets stay."""
    cz.create_array("seg.zarr", data=SEG, chunks=(8, 16, 16))
    cz.save(SEG.T, "seg.ckl")
    np.save("seg.npy", SEG)
    save("out.h5", other=SEG[:3])
    done = run("convert", source, "out.h5:/made/labels")
    assert done.code == 0, done.err
    with h5py.File("out.h5") as file:
        made = file["made/labels"]
        np.testing.assert_array_equal(made[...], SEG)
        assert (made.dtype, made.compression) == (np.uint32, "gzip")
        np.testing.assert_array_equal(file["other"][...], SEG[:3])
        assert set(file["made"]) == {"labels"}
    done = run("convert", source, "out.h5:/made/labels")
    assert done.code == 2
    assert "/made/labels exists already: --overwrite replaces it" in one_line(done)
    assert run("convert", source, "out.h5:/made/labels", "--overwrite").code == 0


@pytest.mark.parametrize(
    "array", [SEG[0], SEG[0, 0], np.zeros((2, 3, 4, 5), "u2"), np.zeros((0, 3, 4), "u1")]
)
def test_other_numbers_of_axes(run: Any, array: np.ndarray) -> None:
    """1, 2 and 4 axes and none of voxels go from HDF5 to Zarr and back."""
    save("a.h5") if 0 in array.shape else save("a.h5", x=array)
    if 0 in array.shape:
        with h5py.File("a.h5", "w") as file:
            file.create_dataset("x", data=array)
    assert run("convert", "a.h5:/x", "a.zarr").code == 0
    np.testing.assert_array_equal(zarr.open_array("a.zarr", mode="r")[...], array)
    done = run("convert", "a.zarr", "b.h5:/x")
    assert done.code == 0, done.err
    with h5py.File("b.h5") as file:
        np.testing.assert_array_equal(file["x"][...], array)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "<i8", ">u8", "?"])
def test_dtypes(run: Any, dtype: str) -> None:
    """Signed, big-endian and bool."""
    array = (SEG % 2).astype(dtype)
    save("a.h5", x=array)
    assert run("convert", "a.h5", "a.zarr").code == 0
    np.testing.assert_array_equal(zarr.open_array("a.zarr", mode="r")[...], array)


def test_info_lists_datasets(run: Any) -> None:
    """The integer datasets, with shapes; of one that is named, its shape and voxel size."""
    save("a.h5", **{"volumes/labels": SEG, "raw": SEG.astype("f4"), "z/mask": SEG > 3})
    with h5py.File("a.h5", "a") as file:
        file["volumes/labels"].attrs["resolution"] = (40.0, 4.0, 4.0)
    done = run("info", "a.h5")
    assert done.code == 0, done.err
    assert "/volumes/labels" in done.out
    assert "20 x 40 x 50" in done.out
    assert "/raw" not in done.out
    done = run("info", "a.h5:/volumes/labels")
    assert "50 x 40 x 20 (x, y, z)" in done.out
    assert "4 x 4 x 40 nanometer (x, y, z)" in done.out


MISTAKES = {
    "a.h5:/volumes": "is a group, not a dataset; datasets in it: /volumes/labels, /volumes/mask",
    "a.h5:/nothing": "there is no dataset /nothing; the file has: /volumes/labels, /volumes/mask",
    "a.h5": "several datasets; name one of them: a.h5:/volumes/labels, a.h5:/volumes/mask",
    "a.h5:/text": "a.h5:/text is not an array of numbers",
    "text.h5": "a damaged or foreign HDF5 file",
    "none.h5": "No such file or directory",
    "seg.npy:/x": "No such file or directory",
}


@pytest.mark.parametrize("place", MISTAKES)
def test_mistakes(run: Any, place: str) -> None:
    """Each is one line that says what there is."""
    save("a.h5", **{"volumes/labels": SEG, "volumes/mask": SEG > 3})
    with h5py.File("a.h5", "a") as file:
        file["text"] = "hello"
    Path("text.h5").write_text("dear")
    for destination in ("new.ckl", "b.h5:/labels"):
        done = run("convert", place, destination)
        assert done.code == 2, done.out
        assert MISTAKES[place] in one_line(done)
    assert not Path("new.ckl").exists()


def test_a_destination_needs_a_name(run: Any) -> None:
    """A file alone is no place for a dataset."""
    np.save("seg.npy", SEG)
    done = run("convert", "seg.npy", "out.h5")
    assert done.code == 2
    assert "name a dataset of the HDF5 file, such as out.h5:/labels" in one_line(done)


def test_a_truncated_file(run: Any) -> None:
    """A file cut short anywhere is an error or the right labels, never others."""
    save("a.h5", labels=SEG)
    whole = Path("a.h5").read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 25)):
        Path("b.h5").write_bytes(whole[:length])
        done = run("convert", "b.h5:/labels", "b.ckl", "--overwrite")
        assert done.code in (1, 2)
        one_line(done)


def test_h5py_is_missing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the command that installs it."""
    import sys

    save("a.h5", labels=SEG)
    monkeypatch.setitem(sys.modules, "h5py", None)
    done = run("convert", "a.h5", "a.ckl")
    assert done.code == 2
    assert "HDF5 files need the package h5py: pip install 'crackle-zarr[hdf5]'" in one_line(done)


def test_a_failure_leaves_the_dataset(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves the old dataset, and nothing half-written beside it."""
    np.save("seg.npy", SEG.T)
    save("out.h5", labels=SEG[:3])
    monkeypatch.setattr(
        h5py.Dataset, "__setitem__", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    done = run("convert", "seg.npy", "out.h5:/labels", "--overwrite")
    assert done.code == 2
    with h5py.File("out.h5") as file:
        assert set(file) == {"labels"}
        np.testing.assert_array_equal(file["labels"][...], SEG[:3])
