"""Creating OME-Zarr label images: metadata, levels, labels within images, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.ome import Axis, label_images, open_labels, open_multiscale

SHAPE = (20, 64, 48)


def image(store: Any, channels: int = 0, levels: int = 3, zarr_format: Any = 3) -> zarr.Group:
    """An image of OME-Zarr with pixels of 8 x 8 and slices of 40 nm."""
    group = zarr.create_group(store, zarr_format=zarr_format)
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    lead = [channels] if channels else []
    if channels:
        axes.insert(0, {"name": "c", "type": "channel"})
    datasets = []
    for level in range(levels):
        factor = 2**level
        shape = [*lead, SHAPE[0], -(-SHAPE[1] // factor), -(-SHAPE[2] // factor)]
        group.create_array(f"scale{level}", shape=shape, dtype="u1")
        scale = [*(1 for _ in lead), 40.0, 8.0 * factor, 8.0 * factor]
        moved = [*(0 for _ in lead), 100.0, 4.0 * (factor - 1), 4.0 * (factor - 1)]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": moved}]
        datasets.append({"path": f"scale{level}", "coordinateTransformations": steps})
    multiscales = [{"axes": axes, "datasets": datasets}]
    if zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    else:
        group.attrs["multiscales"] = multiscales
    return group


def test_label_image_alone(tmp_path: Path) -> None:
    """Without a name the place itself is the label image, with axes, voxel size and dimension names."""
    place = tmp_path / "seg.zarr"
    made = cz.create_ome_labels(
        place, None, SHAPE, "uint32", "zyx", (40, 8, 8), "nm", origin=(1, 2, 3), chunks=(8, 32, 32)
    )
    found = open_multiscale(str(place))
    assert found.paths == made.paths == ["s0"]
    assert found.axes == tuple(Axis(name, "space", "nanometer") for name in "zyx")
    assert found.spaces[0].voxel_size == (40, 8, 8)
    assert found.spaces[0].origin == (1, 2, 3)
    assert found.is_labels
    metadata = json.loads((place / "s0" / "zarr.json").read_text())
    assert metadata["dimension_names"] == ["z", "y", "x"]
    assert metadata["codecs"][0]["name"] == "crackle"
    made.levels[0][3] = 5
    assert int(found.levels[0][3, 1, 1]) == 5


def test_named_labels(tmp_path: Path) -> None:
    """With a name, groups and the list of labels are written, and a second name is added to the list."""
    for name in ("cells", "nuclei"):
        cz.create_ome_labels(tmp_path, name, SHAPE, "uint16", voxel_size=2.0)
    assert label_images(str(tmp_path)) == ["cells", "nuclei"]
    assert open_labels(str(tmp_path), "nuclei").spaces[0].voxel_size == (2, 2, 2)


def test_levels_and_transformations() -> None:
    """Scale is the factor times the voxel size, and the translation is (factor - 1) / 2 voxels."""
    made = cz.create_ome_labels(
        MemoryStore(), "cells", SHAPE, "u8", "zyx", (40, 8, 8), "nm", levels=4, origin=(0, 0, 7)
    )
    assert [level.shape for level in made.levels] == [(20, 64, 48), (20, 32, 24), (20, 16, 12), (10, 8, 6)]
    assert [space.voxel_size for space in made.spaces] == [
        (40, 8, 8),
        (40, 16, 16),
        (40, 32, 32),
        (80, 64, 64),
    ]
    assert [space.origin for space in made.spaces] == [(0, 0, 7), (0, 4, 11), (0, 12, 19), (20, 28, 35)]
    assert made.method["type"] == "mode"
    assert made.method["metadata"]["method"] == "crackle_zarr.build_pyramid"


@pytest.mark.parametrize(
    ("size", "shape", "factors"),
    [
        ((40, 8, 8), (64, 999, 999), [(1, 2, 2), (1, 2, 2), (2, 2, 2)]),
        ((30, 16, 16), (64, 999, 999), [(1, 2, 2), (2, 2, 2)]),
        ((10, 8, 8), (64, 999, 999), [(2, 2, 2), (2, 2, 2)]),
        ((1, 4, 4), (999, 999, 999), [(2, 1, 1), (2, 1, 1), (2, 2, 2)]),
        ((40, 8, 8), (1, 999, 999), [(1, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2)]),
        (1, (64, 64, 64), [(2, 2, 2), (2, 2, 2)]),
    ],
)
def test_automatic_factors(size: Any, shape: Any, factors: Any) -> None:
    """Axes along which voxels are short are halved until voxels are about cubic, and then all of them."""
    made = cz.create_ome_labels(MemoryStore(), None, shape, "u4", "zyx", size, levels=len(factors) + 1)
    first = made.spaces[0].voxel_size
    assert first is not None
    factor = np.ones(3)
    for space, step in zip(made.spaces[1:], factors, strict=True):
        factor *= step
        assert space.voxel_size == tuple(factor * first)


def test_time_and_channels() -> None:
    """Axes before the spatial ones are not pooled; sizes may be given for spatial axes alone, or for all."""
    axes = ("t", "c", "z", "y", "x")
    shape = (3, 2, 8, 16, 16)
    made = cz.create_ome_labels(MemoryStore(), None, shape, "u2", axes, (4, 2, 2), "um", levels=2)
    assert made.spaces[0].voxel_size == (1, 1, 4, 2, 2)
    assert made.levels[1].shape == (3, 2, 8, 8, 8)
    assert [axis.type for axis in made.axes] == ["time", "channel", "space", "space", "space"]
    assert made.axes[0].unit is None
    timed = (Axis("t", "time", "second"), "y", "x")
    made = cz.create_ome_labels(MemoryStore(), None, (3, 16, 16), "u2", timed, (0.5, 2, 2), "um")
    assert made.spaces[0].voxel_size == (0.5, 2, 2)
    assert made.axes[0].unit == "second"


@pytest.mark.parametrize("channels", [0, 2])
def test_in_an_image(channels: int) -> None:
    """In an image, shape, axes, voxel size, origin and levels are the image's, without channels."""
    group = image(MemoryStore(), channels)
    made = cz.create_ome_labels(group, "cells", dtype="uint64")
    assert made.names == ("z", "y", "x")
    assert made.paths == ["scale0", "scale1", "scale2"]
    assert [level.shape for level in made.levels] == [(20, 64, 48), (20, 32, 24), (20, 16, 12)]
    assert made.spaces == [space.of_axes(range(-3, 0)) for space in open_multiscale(group).spaces]
    assert made.image is not None
    label = made.group.attrs["ome"]["image-label"]
    assert label == {"source": {"image": "../../"}}
    assert label_images(group) == ["cells"]
    with pytest.raises(ValueError, match="the image has 3 levels"):
        cz.create_ome_labels(group, "other", dtype="u4", levels=2)
    with pytest.raises(ValueError, match="the image is in nanometer"):
        cz.create_ome_labels(group, "other", dtype="u4", unit="um")
    assert label_images(group) == ["cells"]


def test_another_size_in_an_image() -> None:
    """Labels of another resolution keep the factors of the image's levels."""
    group = image(MemoryStore())
    made = cz.create_ome_labels(
        group, "coarse", (20, 32, 24), "u4", voxel_size=(0.04, 0.016, 0.016), unit="um"
    )
    assert [space.voxel_size for space in made.spaces] == [
        (0.04, 0.016, 0.016),
        (0.04, 0.032, 0.032),
        (0.04, 0.064, 0.064),
    ]
    assert {axis.unit for axis in made.axes} == {"micrometer"}
    assert made.spaces[0].origin is not None
    assert made.spaces[0].origin == (0, 0, 0)  # the image's is in another unit


def test_colors_and_properties() -> None:
    """Colours and properties are written where they are given, and opacity is added to colours."""
    made = cz.create_ome_labels(
        MemoryStore(),
        "cells",
        SHAPE,
        "u4",
        colors={1: (255, 0, 0), 2: (0, 0, 0, 0)},
        properties={1: {"kind": "axon"}},
        image="../../raw",
    )
    assert made.colors == {1: (255, 0, 0, 255), 2: (0, 0, 0, 0)}
    assert made.properties == {1: {"kind": "axon"}}
    assert made.group.attrs["ome"]["image-label"]["source"] == {"image": "../../raw"}


def test_options_of_arrays() -> None:
    """Options of create_array reach all levels; chunks are not larger than a level."""
    made = cz.create_ome_labels(
        MemoryStore(), None, SHAPE, ">u4", chunks=(8, 32, 32), levels=3, fill_value=9, preset="small"
    )
    assert [level.chunks for level in made.levels] == [(8, 32, 32), (8, 32, 24), (5, 16, 12)]
    assert {int(level.fill_value) for level in made.levels} == {9}
    assert {level.dtype for level in made.levels} == {np.dtype("u4")}
    sharded = cz.create_ome_labels(
        MemoryStore(), None, SHAPE, "u4", chunks=(4, 16, 16), shards=(8, 32, 32), levels=3
    )
    assert {(level.chunks, level.shards) for level in sharded.levels} == {((4, 16, 16), (8, 32, 32))}


def test_overwrite() -> None:
    """An existing label image is refused, or replaced without a trace."""
    store = MemoryStore()
    cz.create_ome_labels(store, "cells", SHAPE, "u4", levels=3)
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        cz.create_ome_labels(store, "cells", SHAPE, "u4")
    made = cz.create_ome_labels(store, "cells", (4, 4, 4), "u2", overwrite=True)
    assert sorted(made.group.keys()) == ["s0"]
    assert label_images(store) == ["cells"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtype": bool}, TypeError, "bool is not allowed: use dtype='uint8'"),
        ({"dtype": "f4"}, TypeError, "integers of 8 to 64 bits, not float32"),
        ({"dtype": None}, ValueError, "needs a dtype"),
        ({"shape": None}, ValueError, "needs a shape"),
        ({"shape": (4,)}, ValueError, "2 to 5 axes, 2 or 3 of them spatial"),
        ({"shape": (2, 2, 2, 2), "axes": "wzyx"}, ValueError, "2 or 3 of them spatial"),
        ({"axes": "xy"}, ValueError, "the array has 3 axes, and axes names 2"),
        ({"axes": "zzy"}, ValueError, "two axes have the same name: z, z, y"),
        ({"axes": "yxt"}, ValueError, "time first"),
        ({"axes": [1, 2, 3]}, TypeError, "not int"),
        ({"voxel_size": (1, 2)}, ValueError, "voxel_size is 3 positive numbers"),
        ({"voxel_size": (1, 2, 0)}, ValueError, "voxel_size is 3 positive numbers"),
        ({"unit": "parsec"}, ValueError, "not 'parsec'"),
        ({"factors": "fast", "levels": 2}, ValueError, "not 'fast'"),
        ({"factors": (2, 2), "levels": 2}, ValueError, "a factor is 3 integers"),
        ({"factors": (1, 1, 1), "levels": 2}, ValueError, "make no smaller level"),
        ({"factors": [(2, 2, 2)], "levels": 3}, ValueError, "3 levels need 2 factors, and there are 1"),
        ({"colors": {1: (0, 0, 300)}}, ValueError, "from 0 to 255"),
        ({"properties": {1: {"a": object()}}}, TypeError, "JSON"),
        ({"name": "a/b"}, ValueError, "without slashes"),
        ({"zarr_format": 2}, TypeError, "sets zarr_format itself"),
    ],
)
def test_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """Wrong arguments are refused before anything is written."""
    store = MemoryStore()
    given = {"name": "cells", "shape": SHAPE, "dtype": "u4", **arguments}
    with pytest.raises(error, match=message):
        cz.create_ome_labels(store, **given)
    assert not store._store_dict


def test_image_of_format_2() -> None:
    """An image of OME-Zarr 0.4 takes no labels of 0.5."""
    group = image(MemoryStore(), zarr_format=2)
    with pytest.raises(ValueError, match=r"convert the image to OME-Zarr 0\.5 first"):
        cz.create_ome_labels(group, "cells", dtype="u4")
