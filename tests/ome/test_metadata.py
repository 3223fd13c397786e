"""Reading the metadata of OME-Zarr: both versions, labels within images, and damaged metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zarr
from zarr.storage import MemoryStore

from crackle_zarr.errors import FormatError
from crackle_zarr.ome import Axis, label_images, open_labels, open_multiscale

AXES = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]


def dataset(level: int) -> dict[str, Any]:
    factor = 2**level
    return {
        "path": f"s{level}",
        "coordinateTransformations": [
            {"type": "scale", "scale": [40, 8 * factor, 8 * factor]},
            {"type": "translation", "translation": [0, 4 * (factor - 1), 4 * (factor - 1)]},
        ],
    }


def multiscales(levels: int, **more: Any) -> dict[str, Any]:
    return {"axes": AXES, "name": "cells", "datasets": [dataset(level) for level in range(levels)], **more}


def write(group: zarr.Group, levels: int, **more: Any) -> None:
    """Make a group of Zarr format 3 an image of OME-Zarr 0.5."""
    for level in range(levels):
        shape = (4, 8 >> level, 8 >> level)
        group.create_array(f"s{level}", shape=shape, dtype="u2")
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscales(levels)], **more}


def image_with_labels(store: Any, names: tuple[str, ...] = ("cells",)) -> zarr.Group:
    image = zarr.create_group(store)
    write(image, 2)
    labels = image.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": list(names)}
    for name in names:
        write(labels.create_group(name), 2, **{"image-label": {"source": {"image": "../../"}}})
    return image


def test_levels_axes_and_spaces() -> None:
    """Levels, axes and the space of each level come from the metadata."""
    image = image_with_labels(MemoryStore())
    found = open_multiscale(image)
    assert found.paths == ["s0", "s1"]
    assert [level.shape for level in found.levels] == [(4, 8, 8), (4, 4, 4)]
    assert found.axes == tuple(Axis(name, "space", "nanometer") for name in "zyx")
    assert found.names == ("z", "y", "x")
    assert [space.voxel_size for space in found.spaces] == [(40, 8, 8), (40, 16, 16)]
    assert found.spaces[1].origin == (0, 4, 4)
    assert {space.unit for space in found.spaces} == {"nanometer"}
    assert (found.name, found.version, found.is_labels, found.image) == ("cells", "0.5", False, None)


def test_labels_within_an_image() -> None:
    """The labels of an image are listed and opened by name, and know their image."""
    image = image_with_labels(MemoryStore(), ("cells", "nuclei"))
    assert label_images(image) == ["cells", "nuclei"]
    assert label_images(image["labels"]) == ["cells", "nuclei"]
    found = open_labels(image, "nuclei")
    assert found.is_labels
    assert found.group.path == "labels/nuclei"
    assert found.image is not None
    assert found.image.path == ""
    with pytest.raises(ValueError, match=r"several label images \(cells, nuclei\): name one"):
        open_labels(image)
    with pytest.raises(ValueError, match="no label image 'other'; it has cells, nuclei"):
        open_labels(image, "other")
    with pytest.raises(ValueError, match="several label images"):
        open_multiscale(image["labels"])


def test_the_only_label_image() -> None:
    """Without a name, the only label image is opened."""
    image = image_with_labels(MemoryStore())
    assert open_labels(image).group.path == "labels/cells"
    assert open_labels(image["labels/cells"]).is_labels
    assert open_multiscale(image["labels"]).group.path == "labels/cells"


def test_no_labels() -> None:
    """An image without labels has an empty list."""
    image = zarr.create_group(MemoryStore())
    write(image, 1)
    assert label_images(image) == []
    with pytest.raises(ValueError, match="no label images"):
        open_labels(image)


def test_image_above_the_store(tmp_path: Path) -> None:
    """The image is found when the store begins at the label image, and labels are recognized by the list."""
    image_with_labels(tmp_path / "image.zarr")
    found = open_multiscale(str(tmp_path / "image.zarr" / "labels" / "cells"))
    assert found.image is not None
    assert open_multiscale(found.image).paths == ["s0", "s1"]


def test_labels_without_image_label() -> None:
    """A group that ``labels`` lists is a label image, also without ``image-label``."""
    image = image_with_labels(MemoryStore())
    group = image["labels/cells"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscales(2)]}
    assert open_multiscale(image["labels/cells"]).is_labels


def test_version_0_4() -> None:
    """Version 0.4 has its metadata directly in the attributes of a group of format 2."""
    group = zarr.create_group(MemoryStore(), zarr_format=2)
    for level in range(2):
        group.create_array(f"s{level}", shape=(4, 8 >> level, 8 >> level), dtype="u4")
    colors = [{"label-value": 3.0, "rgba": [1, 2, 3, 255]}]
    properties = [{"label-value": 3, "kind": "axon"}]
    shared = [{"type": "scale", "scale": [2, 2, 2]}, {"type": "translation", "translation": [1, 0, 0]}]
    group.attrs.update(
        {
            "multiscales": [multiscales(2, version="0.4", coordinateTransformations=shared)],
            "image-label": {"version": "0.4", "colors": colors, "properties": properties},
        }
    )
    found = open_multiscale(group)
    assert found.version == "0.4"
    assert found.is_labels
    assert found.colors == {3: (1, 2, 3, 255)}
    assert found.properties == {3: {"kind": "axon"}}
    assert found.spaces[1].voxel_size == (80, 32, 32)  # all levels share a scale, which comes second
    assert found.spaces[1].origin == (1, 8, 8)


def test_axes_of_other_kinds() -> None:
    """Time and channels keep their numbers; spatial axes of other units are converted to one unit."""
    group = zarr.create_group(MemoryStore())
    group.create_array("0", shape=(2, 1, 4, 8), dtype="u2")
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    steps = [{"type": "scale", "scale": [0.5, 1, 250, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    found = open_multiscale(group)
    assert found.axes[0] == Axis("t", "time", "second")
    assert found.axes[1] == Axis("c", "channel", None)
    assert found.spaces[0].unit == "micrometer"
    assert found.spaces[0].voxel_size == pytest.approx((0.5, 1, 0.25, 0.5))
    assert found.spaces[0].origin is None


def damaged(**changes: Any) -> dict[str, Any]:
    return {"version": "0.5", "multiscales": [{**multiscales(1), **changes}]}


def steps(*given: Any) -> list[dict[str, Any]]:
    return [{"path": "s0", "coordinateTransformations": list(given)}]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ([1], "'ome' is no object"),
        ({"multiscales": []}, "'multiscales' is empty"),
        ({"multiscales": {}}, "'multiscales' has to be a list"),
        ({"multiscales": [7]}, "'multiscales' is empty, or not a list of objects"),
        (damaged(axes=None), "'axes' has to be a list, and is None"),
        (damaged(axes=["z", "y", "x"]), "an axis is an object with a name, and not 'z'"),
        (damaged(axes=[AXES[0], AXES[0], AXES[1]]), "two axes have the same name: z, z, y"),
        (damaged(axes=AXES[:2]), "level 0 has 3 axes, and the metadata name 2"),
        (damaged(datasets=[]), "name no datasets"),
        (damaged(datasets=[{}]), "level 0 has no path"),
        (damaged(datasets=[{"path": "s0"}]), "level 0: 'coordinateTransformations' is missing"),
        (damaged(datasets=steps({"type": "affine"})), "a scale or a translation, and not {'type': 'affine'}"),
        (damaged(datasets=steps({"type": "scale"})), "level 0: its scale is not in the metadata"),
        (damaged(datasets=steps({"type": "scale", "scale": [1, 0, 1]})), "3 positive numbers, and is"),
        (damaged(datasets=steps({"type": "translation", "translation": "abc"})), "3 numbers, and is 'abc'"),
        ({**damaged(), "image-label": []}, "'image-label' is no object"),
        ({**damaged(), "image-label": {"colors": [1]}}, "'colors' of 'image-label' has to be a list"),
        ({**damaged(), "image-label": {"colors": [{"rgba": [1, 2, 3, 4]}]}}, "'label-value' is an integer"),
        (
            {**damaged(), "image-label": {"colors": [{"label-value": 1, "rgba": [1, 2]}]}},
            "four integers, and not",
        ),
    ],
)
def test_damaged_metadata(attributes: Any, message: str) -> None:
    """Damaged metadata raise FormatError, which tells what is wrong and where."""
    group = zarr.create_group(MemoryStore())
    write(group, 1)
    group.attrs["ome"] = attributes
    with pytest.raises(FormatError, match=message):
        open_multiscale(group)


def test_damaged_list_of_labels() -> None:
    """A list of labels that has no names raises FormatError."""
    image = image_with_labels(MemoryStore())
    image["labels"].attrs["ome"] = {"version": "0.5", "labels": [1]}
    with pytest.raises(FormatError, match="a list of names, and is"):
        label_images(image)


def test_what_is_no_image(tmp_path: Path) -> None:
    """Other groups, arrays, missing levels, other versions and missing places raise ValueError."""
    group = zarr.create_group(MemoryStore())
    with pytest.raises(ValueError, match="is no image of OME-Zarr"):
        open_multiscale(group)
    array = group.create_array("a", shape=(4,), dtype="u1")
    with pytest.raises(ValueError, match="is an array"):
        open_multiscale(array)
    with pytest.raises(ValueError, match="no Zarr group"):
        open_multiscale(str(tmp_path / "missing.zarr"))
    write(group, 1)
    group.attrs["ome"] = {"version": "0.6", "multiscales": [multiscales(1)]}
    with pytest.raises(ValueError, match=r"is OME-Zarr 0\.6, and versions 0\.4 and 0\.5 are read"):
        open_multiscale(group)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscales(2)]}
    with pytest.raises(ValueError, match="names 's1', which does not exist"):
        open_multiscale(group)
