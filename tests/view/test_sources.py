"""What can be opened: paths, URLs, files of all formats, OME-Zarr, streams and arrays of NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from view_cases import blocks
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.files import formats
from crackle_zarr.files.space import Space
from crackle_zarr.view.cache import TileCache
from crackle_zarr.view.sources import Source, open_image, open_labels
from crackle_zarr.view.volume import Volume


@pytest.fixture(scope="module")
def seg() -> np.ndarray:
    return blocks()


def xyz(source: Source) -> np.ndarray:
    """All voxels (x, y, z)."""
    volume = Volume(source, TileCache(2**24), is_labels=True)
    return volume.box(0, (0, 0, 0), volume.shape)


@pytest.mark.parametrize(
    "name", ["seg.ckl", "seg.ckl.gz", "seg.npy", "seg.nii.gz", "seg.nrrd", "seg.tif", "seg.h5:/labels"]
)
def test_files(tmp_path, seg, name) -> None:
    """Files of all formats have their labels along x, y and z, and the voxel size that they name."""
    for module in {"nii": ["nibabel"], "nrrd": ["nrrd"], "tif": ["tifffile"], "h5": ["h5py"]}.get(
        name.split(".")[1].split(":")[0], []
    ):
        pytest.importorskip(module)
    place = f"{tmp_path}/{name}"
    volume = formats.in_memory(np.asfortranarray(seg.T), space=Space((2.0, 2.0, 4.0), "micrometer"))
    formats.write(place, volume)
    source = open_labels(place)
    assert np.array_equal(xyz(source), seg.T)
    assert source.title == name.partition(":")[0]
    if "ckl" not in name and "npy" not in name:
        assert Volume(source, TileCache(0), is_labels=True).voxel_size == pytest.approx((2000, 2000, 4000))


def test_axes_of_npy_files(tmp_path, seg) -> None:
    """The axes of a .npy file are x, y, z, or as the user says."""
    np.save(tmp_path / "seg.npy", seg)
    assert np.array_equal(xyz(open_labels(tmp_path / "seg.npy")), seg)
    assert np.array_equal(xyz(open_labels(str(tmp_path / "seg.npy"), npy_axes="zyx")), seg.T)


@pytest.mark.parametrize("depth", [1, 7, 64, 65])
def test_streams_are_cut_without_decoding(depth) -> None:
    """Slices of a stream become chunks; the last one is filled up, and its labels are not listed."""
    labels = np.random.default_rng(0).integers(1, 9, (20, 30, depth), np.int16)
    labels[0, 0, 0] = -3
    source = open_labels(cz.compress(labels))
    assert np.array_equal(xyz(source), labels.view(np.uint16))
    assert cz.labels(source.array).tolist() == np.unique(labels).tolist()
    assert np.array_equal(
        xyz(open_labels(cz.CrackleArray(cz.compress(labels, allow_pins=1)))), labels.view(np.uint16)
    )


def test_arrays_of_numpy(seg) -> None:
    """In C order the last axis is x; in Fortran order the first is."""
    assert np.array_equal(xyz(open_labels(seg)), seg.T)
    assert np.array_equal(xyz(open_labels(np.asfortranarray(seg.T))), seg.T)
    assert np.array_equal(xyz(open_labels(seg[18])), seg[18].T[:, :, np.newaxis])
    assert np.array_equal(xyz(open_labels(seg == 7)), (seg == 7).T)


def test_ome_zarr(tmp_path, seg) -> None:
    """A label image has its levels, voxel size, colours and image; so has the image around it."""
    root = zarr.create_group(tmp_path / "image.zarr", zarr_format=3)

    def multiscales(arrays) -> dict:
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        datasets = [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [0.04, 0.008 * 2**number, 0.008 * 2**number]}
                ],
            }
            for number in range(arrays)
        ]
        return {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets, "name": ""}]}

    root.create_array("0", shape=seg.shape, dtype=np.uint16)[...] = seg * 10
    root.attrs["ome"] = multiscales(1)
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    cells = labels.create_group("cells")
    colors = [{"label-value": 7, "rgba": [255, 0, 10, 255]}]
    cells.attrs["ome"] = {
        **multiscales(2),
        "image-label": {"version": "0.5", "colors": colors, "source": {"image": "../../"}},
    }
    cz.create_array(cells.store, name="labels/cells/0", data=seg)
    cz.create_array(cells.store, name="labels/cells/1", data=np.ascontiguousarray(seg[:, ::2, ::2]))
    for place in ("image.zarr", "image.zarr/labels/cells", "image.zarr/labels"):
        source = open_labels(tmp_path / place)
        assert [level.shape for level in source.levels] == [(40, 70, 130), (40, 35, 65)]
        assert np.array_equal(xyz(source), seg.T)
        volume = Volume(source, TileCache(0), is_labels=True)
        assert volume.levels[1].voxel_size == pytest.approx((16, 16, 40))
        assert source.colors == {7: (255, 0, 10)}
        assert source.image is not None
        image = open_image(source.image)
        assert image.array.shape == (40, 70, 130)
        assert image.array.dtype == np.uint16
        corners = [volume.first_voxel, Volume(image, TileCache(0), is_labels=False).first_voxel]
        assert corners[0] == corners[1] == pytest.approx((-4, -4, -20))


def test_images_of_files(tmp_path, seg) -> None:
    """Images may hold floats."""
    pytest.importorskip("nibabel")
    image = np.asfortranarray(np.random.default_rng(0).random((20, 30, 10), np.float32))
    np.save(tmp_path / "image.npy", image)
    source = open_image(tmp_path / "image.npy")
    volume = Volume(source, TileCache(2**20), is_labels=False)
    assert np.array_equal(volume.box(0, (0, 0, 0), volume.shape), image)


def test_urls(tmp_path, seg) -> None:
    """A URL is opened through fsspec."""
    pytest.importorskip("fsspec.implementations.asyn_wrapper")  # of 2024.12, for stores that are not async
    cz.create_array(tmp_path / "seg.zarr", data=seg)
    source = open_labels(f"file://{tmp_path}/seg.zarr")
    assert np.array_equal(xyz(source), seg.T)
    assert source.title == "seg.zarr"


def test_what_cannot_be_opened(tmp_path) -> None:
    """Errors name the source and say what is wrong."""
    with pytest.raises(FileNotFoundError, match=r"no\.ckl"):
        open_labels(tmp_path / "no.ckl")
    with pytest.raises(TypeError, match="labels are integers or bool, and this array has float32"):
        open_labels(zarr.create_array(MemoryStore(), shape=(4, 4, 4), dtype="float32"))
    with pytest.raises(ValueError, match="has nothing to show"):
        open_labels(np.zeros((0, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="has nothing to show"):
        open_labels(cz.compress(np.zeros((0, 4, 4), np.uint8)))
    with pytest.raises(TypeError, match="an image is a path, a URL or an array, not int"):
        open_image(5)
    (tmp_path / "text.ckl").write_text("no labels")
    with pytest.raises(ValueError, match=r"text\.ckl"):
        open_labels(Path(tmp_path / "text.ckl"))
