"""Other programs accept what is written: yaozarrs, ome-zarr-models and ome-zarr."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

import crackle_zarr as cz

VOXELS = np.repeat(np.arange(12 * 40 * 30, dtype="u4").reshape(12, 40, 30) // 500, 2, axis=1)


@pytest.fixture(params=["alone", "plain", "in an image"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A label image alone, in a group, or in an image; the path of the label image."""
    store = tmp_path / "out.ome.zarr"
    name = None if request.param == "alone" else "cells"
    if request.param == "in an image":
        axes = [{"name": one, "type": "space", "unit": "nanometer"} for one in "zyx"]
        group = zarr.create_group(store)
        datasets = []
        for level in range(3):
            shape = (12, 80 >> level, 32 >> level)
            group.create_array(f"s{level}", shape=shape, dtype="u1", dimension_names=["z", "y", "x"])
            step = {"type": "scale", "scale": [40.0, 8.0 * 2**level, 8.0 * 2**level]}
            datasets.append({"path": f"s{level}", "coordinateTransformations": [step]})
        multiscales = [{"name": "raw", "axes": axes, "datasets": datasets}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    made = cz.write_ome_labels(
        store,
        name,
        VOXELS,
        "zyx",
        (40, 8, 8),
        "nm",
        chunks=(4, 16, 16),
        levels=None if request.param == "in an image" else 3,
        colors={1: (255, 0, 0)},
        properties={1: {"kind": "axon"}},
    )
    assert len(made.levels) == 3
    return store if name is None else store / "labels" / name


def test_yaozarrs(place: Path) -> None:
    """yaozarrs finds no fault, and warns of nothing."""
    yaozarrs = pytest.importorskip("yaozarrs")
    places = [place]
    if place.name == "cells":
        places.append(place.parent)
        if (place.parent.parent / "s0").exists():
            places.append(place.parent.parent)
    for one in places:
        yaozarrs.validate_zarr_store(str(one))


def test_ome_zarr_models(place: Path) -> None:
    """ome-zarr-models finds no fault, and takes the group as labels."""
    models = pytest.importorskip("ome_zarr_models")
    found = models.open_ome_zarr(zarr.open_group(str(place), mode="r"))
    assert type(found).__name__ == "ImageLabel"
    if place.name == "cells":
        group = zarr.open_group(str(place.parent), mode="r")
        assert type(models.open_ome_zarr(group)).__name__ == "Labels"


def test_ome_zarr(place: Path) -> None:
    """ome-zarr reads the label image, its levels, colours and properties."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        io = pytest.importorskip("ome_zarr.io")
        reader = pytest.importorskip("ome_zarr.reader")
        nodes = list(reader.Reader(io.parse_url(str(place)))())
        (node,) = (one for one in nodes if one.data and one.data[0].dtype == VOXELS.dtype)  # not the image
        assert len(node.data) == 3
        assert np.array_equal(np.asarray(node.data[0]), VOXELS)
        assert node.metadata["color"][1][0] == pytest.approx(1.0)
        assert node.metadata["properties"] == {1: {"kind": "axon"}}
