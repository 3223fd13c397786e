"""The reader for napari: layers of Crackle Zarr, OME-Zarr labels and Crackle files, and nothing else.

napari and npe2, its part for plugins, are not asked for with the lowest versions of the dependencies. Where
they are installed, the last test runs them in an interpreter of their own.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from command_line import environment
from precomputed_cases import SPACE, blobs, pyramid

import crackle_zarr
from crackle_zarr.napari import _reader

pytest.importorskip("dask.array")


def layers(place: Any) -> list[Any]:
    """What napari gets."""
    reader = _reader.get_reader(str(place))
    assert reader is not None
    return reader(str(place))


def test_arrays(tmp_path: Path) -> None:
    """An array is a layer with its scale, position, units and names of axes; nothing is decoded before."""
    voxels = blobs(1, (40, 50, 60))
    crackle_zarr.create_array(tmp_path / "cells.zarr", data=voxels, chunks=(16, 32, 32), attributes=SPACE)
    (layer,) = layers(tmp_path / "cells.zarr")
    data, options, kind = layer
    assert kind == "labels"
    assert options == {
        "name": "cells",
        "multiscale": False,
        "axis_labels": ("z", "y", "x"),
        "scale": (40, 4, 4),
        "translate": (80, 8, -12),
        "units": ["nanometer"] * 3,
    }
    assert data.chunksize == (16, 32, 32)
    for chunk in (tmp_path / "cells.zarr" / "c" / "2").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged, but not asked for")
    np.testing.assert_array_equal(data[3:9, 5], voxels[3:9, 5])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_pyramids(tmp_path: Path, version: str) -> None:
    """OME-Zarr labels are a layer with all levels."""
    _, voxels = pyramid(tmp_path / "cells.ome.zarr", version=version)
    ((data, options, kind),) = layers(tmp_path / "cells.ome.zarr")
    assert (kind, options["name"], options["multiscale"]) == ("labels", "cells", True)
    assert options["scale"] == (0.04, 0.004, 0.004)
    assert options["units"] == ["micrometer"] * 3
    assert len(data) == 3
    for level, expected in zip(data, voxels, strict=True):
        np.testing.assert_array_equal(level, expected)
    # One level of it is an array.
    ((data, _, _),) = layers(tmp_path / "cells.ome.zarr" / "s1")
    np.testing.assert_array_equal(data, voxels[1])


def test_images_with_labels(tmp_path: Path) -> None:
    """An image is left to other readers; the group of its labels is a layer for each of them."""
    root = zarr.create_group(tmp_path / "image.zarr")
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells", "nuclei"]}
    for name in ("cells", "nuclei"):
        pyramid(tmp_path / "image.zarr" / "labels" / name, 2)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    root.create_array("0", shape=(20, 70, 66), dtype="u2")
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    assert _reader.get_reader(str(tmp_path / "image.zarr")) is None
    found = layers(tmp_path / "image.zarr" / "labels")
    assert [options["name"] for _, options, _ in found] == ["cells", "nuclei"]
    assert len(layers(tmp_path / "image.zarr" / "labels" / "nuclei")) == 1


@pytest.mark.parametrize("ending", [".ckl", ".ckl.gz"])
def test_files(tmp_path: Path, ending: str) -> None:
    """A Crackle file (x, y, z) is shown with the axes z, y, x."""
    volume = blobs(2, (60, 50, 40))
    crackle_zarr.save(volume, tmp_path / f"cells{ending}")
    ((data, options, kind),) = layers(tmp_path / f"cells{ending}")
    assert (kind, options["name"], options["axis_labels"]) == ("labels", "cells", ("z", "y", "x"))
    assert data.shape == (40, 50, 60)
    np.testing.assert_array_equal(data[5], volume.T[5])
    np.testing.assert_array_equal(data, volume.T)


def test_bool_and_several_paths(tmp_path: Path) -> None:
    """napari has no labels of bool; of several paths all have to be Crackle's."""
    voxels = blobs(3, (20, 20, 20), "bool")
    crackle_zarr.create_array(tmp_path / "a.zarr", data=voxels)
    crackle_zarr.save(voxels, tmp_path / "b.ckl")
    paths = [str(tmp_path / "a.zarr"), str(tmp_path / "b.ckl")]
    reader = _reader.get_reader(paths)
    assert reader is not None
    (first, _, _), (second, _, _) = reader(paths)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, voxels)
    np.testing.assert_array_equal(second, voxels.T)
    (tmp_path / "c.txt").write_text("no labels")
    assert _reader.get_reader([*paths, str(tmp_path / "c.txt")]) is None


def test_declined(tmp_path: Path) -> None:
    """Paths that are not Crackle's are left to other readers."""
    zarr.create_array(tmp_path / "plain.zarr", shape=(4, 4), dtype="u4")
    zarr.create_group(tmp_path / "group.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("{")
    (tmp_path / "text.ckl").write_text("no stream")
    np.save(tmp_path / "array.npy", np.zeros((4, 4, 4), "u4"))
    (tmp_path / "array.npy").rename(tmp_path / "array.ckl")
    for name in ("plain.zarr", "group.zarr", "folder", "damaged.zarr", "text.ckl", "array.ckl", "none.zarr"):
        assert _reader.get_reader(str(tmp_path / name)) is None, name
    assert _reader.get_reader([]) is None
    with pytest.raises(ValueError, match="no labels stored with Crackle"):
        _reader.read(str(tmp_path / "plain.zarr"))


def test_the_manifest_is_found() -> None:
    """The entry point names a manifest that lies in the package, and the manifest a function that exists."""
    (entry,) = entry_points(group="napari.manifest", name="crackle-zarr")
    module, _, name = entry.value.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / name).read_text()
    assert re.findall(r"python_name: (\S+)", text) == ["crackle_zarr.napari._reader:get_reader"]
    assert re.search(r"^name: (\S+)", text)[1] == "crackle-zarr"  # type: ignore[index]
    assert re.findall(r"(?:id|command): (\S+)", text) == ["crackle-zarr.read"] * 2


# Run in an interpreter of its own: a manifest that npe2 accepts, and a layer in napari.
SCRIPT = """
import sys
import numpy as np
import npe2
from napari.components import ViewerModel

npe2.PluginManager.instance().discover()
manifest = npe2.PluginManifest.from_distribution("crackle-zarr")
assert [reader.command for reader in manifest.contributions.readers] == ["crackle-zarr.read"]
for place in sys.argv[1:]:
    layers, reader = npe2.io_utils.read_get_reader([place], plugin_name="crackle-zarr", stack=False)
    viewer = ViewerModel()
    for data, options, kind in layers:
        viewer._add_layer_from_data(data, options, kind)
    (layer,) = viewer.layers
    print(type(layer).__name__, layer.name, layer.multiscale, layer.scale.tolist(), layer.translate.tolist(),
          [str(unit) for unit in layer.units], layer.get_value(layer.extent.world[1] / 2, world=True))
"""


def test_in_napari(tmp_path: Path) -> None:
    """npe2 and napari's model of the viewer take the layers."""
    for name in ("npe2", "napari"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    voxels = blobs(4, (40, 50, 60)) + np.uint32(1)
    crackle_zarr.create_array(
        tmp_path / "cells.zarr", data=voxels, attributes={**SPACE, "voxel_origin": [0] * 3}
    )
    pyramid(tmp_path / "cells.ome.zarr")
    crackle_zarr.save(voxels, tmp_path / "cells.ckl")
    places = [str(tmp_path / name) for name in ("cells.zarr", "cells.ome.zarr", "cells.ckl")]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *places],
        capture_output=True,
        text=True,
        env=environment(QT_QPA_PLATFORM="offscreen"),
    )
    assert ran.returncode == 0, ran.stderr
    array, image, file = ran.stdout.splitlines()
    assert array.startswith("Labels cells False [40.0, 4.0, 4.0] [0.0, 0.0, 0.0] ['nanometer', 'nanometer', ")
    assert image.startswith("Labels cells True [0.04, 0.004, 0.004] [0.0, 0.0, 0.0] ['micrometer', ")
    assert file.startswith("Labels cells False [1.0, 1.0, 1.0] [0.0, 0.0, 0.0] ['pixel', ")
    assert (
        subprocess.run([sys.executable, "-m", "npe2", "validate", "crackle-zarr"], check=False).returncode
        == 0
    )
