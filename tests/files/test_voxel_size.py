"""Voxel size, unit and origin: read from every format, shown by info, kept wherever there is a place."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from format_cases import write_nrrd

import crackle_zarr as cz
from crackle_zarr.files import formats, space
from crackle_zarr.files.space import Space

SEG = (np.arange(5 * 4 * 3, dtype=np.uint16).reshape(5, 4, 3) // 7).copy(order="F")  # (x, y, z)
SIZE, ORIGIN = (4.0, 8.0, 40.0), (100.0, 200.0, -300.0)


def save_nii(path: str) -> None:
    affine = np.diag([*(edge * 1e-3 for edge in SIZE), 1.0])
    affine[:3, 3] = [place * 1e-3 for place in ORIGIN]
    image = nibabel.Nifti1Image(SEG, affine)
    image.header.set_xyzt_units("micron")
    image.to_filename(path)


def save_nrrd(path: str) -> None:
    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag(SIZE),
        "space origin": np.array(ORIGIN),
        "space units": ["nm"] * 3,
    }
    write_nrrd(Path(path), SEG, **header)


def save_h5(path: str) -> None:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("labels", data=SEG.T)
        made.attrs["resolution"], made.attrs["offset"] = SIZE[::-1], ORIGIN[::-1]


def save_zarr(path: str) -> None:
    attributes = Space(SIZE[::-1], "nanometer", ORIGIN[::-1]).attributes()
    cz.create_array(path, data=np.ascontiguousarray(SEG.T), chunks=(2, 4, 5), attributes=attributes)


def save_ome(path: str) -> None:
    group = zarr.open_group(path, mode="w")
    cz.create_array(group.store_path.store, name="0", data=np.ascontiguousarray(SEG.T), chunks=(2, 4, 5))
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {"type": "scale", "scale": SIZE[::-1]},
                            {"type": "translation", "translation": ORIGIN[::-1]},
                        ],
                    }
                ],
            }
        ],
    }


SAVE: dict[str, Callable[[str], None]] = {
    "a.nii": save_nii,
    "a.nii.gz": save_nii,
    "a.nrrd": save_nrrd,
    "a.h5": save_h5,
    "a.zarr": save_zarr,
    "ome.zarr": save_ome,
}
KEEPS_ALL = ("b.nii", "b.nrrd", "b.h5:/labels", "b.zarr")


def space_at(run: Any, place: str) -> tuple[Any, Any, Any]:
    """Size, unit and origin as info has them, along x, y and z."""
    place = "a.h5:/labels" if place == "a.h5" else place  # else info lists the datasets
    done = run("info", "--json", place)
    assert done.code == 0, done.err
    (record,) = json.loads(done.out)
    turn = -1 if record["kind"] == "zarr" else 1
    origin = record["voxel_origin"]
    return (
        record["voxel_size"] and tuple(record["voxel_size"][::turn]),
        record["voxel_unit"],
        origin and tuple(origin[::turn]),
    )


def nanometres(found: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    size, unit, origin = found
    here = Space(size, unit, origin)
    return here.size_in("nanometer"), here.origin_in("nanometer")


@pytest.mark.parametrize("source", SAVE)
def test_info_shows_it(run: Any, source: str) -> None:
    """Every format that says something of space is understood."""
    SAVE[source](source)
    size, origin = nanometres(space_at(run, source))
    assert size == pytest.approx(SIZE)
    assert origin == pytest.approx(ORIGIN, rel=1e-6)
    done = run("info", "a.h5:/labels" if source == "a.h5" else source)
    assert "voxel size" in done.out


@pytest.mark.parametrize(("source", "destination"), list(itertools.product(SAVE, KEEPS_ALL)))
def test_it_is_kept(run: Any, source: str, destination: str) -> None:
    """Whatever has a place for it keeps it, and the line does not complain."""
    SAVE[source](source)
    done = run("convert", source, destination)
    assert done.code == 0, done.err
    assert "not kept" not in done.out
    size, origin = nanometres(space_at(run, destination))
    assert size == pytest.approx(SIZE, rel=1e-6)
    assert origin == pytest.approx(ORIGIN, rel=1e-6)


@pytest.mark.parametrize("source", ["a.nii", "a.nrrd", "a.h5", "a.zarr"])
def test_what_is_lost_is_said(run: Any, source: str) -> None:
    """Streams and .npy files have no place for space, and TIFF none for an origin."""
    SAVE[source](source)
    for destination, lost in {
        "b.ckl": "voxel size, origin",
        "b.npy": "voxel size, origin",
        "b.tif": "origin",
    }.items():
        done = run("convert", source, destination)
        assert done.code == 0, done.err
        assert done.out.rstrip().endswith(f"; not kept: {lost}")
    size, _ = nanometres(space_at(run, "b.tif"))
    assert size == pytest.approx(SIZE)


def test_a_rotation_is_said(run: Any) -> None:
    """Axes that are turned against space are kept by NIfTI and NRRD alone."""
    affine = np.array([[0.0, -2, 0, 5], [2, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    nibabel.Nifti1Image(SEG, affine).to_filename("a.nii")
    assert "turned or flipped" in run("info", "a.nii").out
    done = run("convert", "a.nii", "a.zarr")
    assert done.out.rstrip().endswith("; not kept: orientation, origin")
    done = run("convert", "a.nii", "a.nrrd")
    assert "not kept" not in done.out
    np.testing.assert_allclose(formats.read(Path("a.nrrd")).space.affine, affine)


def test_attributes_of_a_plain_array(run: Any) -> None:
    """They stand in the array's own order of axes, and are documented by their names."""
    save_nrrd("a.nrrd")
    assert run("convert", "a.nrrd", "a.zarr").code == 0
    attributes = zarr.open_array("a.zarr", mode="r").attrs.asdict()
    assert attributes == {
        "voxel_size": [40.0, 8.0, 4.0],
        "voxel_unit": "nanometer",
        "voxel_origin": [-300.0, 200.0, 100.0],
    }


def test_resolution_of_tiff(run: Any) -> None:
    """A resolution in centimetres counts along x and y; one at which pictures are printed does not."""
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(
        "a.tif", SEG[:, :, 0].T, resolution=(2_500_000, 1_250_000), resolutionunit="CENTIMETER", **options
    )
    size, unit, _ = space_at(run, "a.tif")
    assert Space(size, unit).size_in("nanometer") == pytest.approx((4.0, 8.0))
    tifffile.imwrite("b.tif", SEG[:, :, 0].T, resolution=(300, 300), resolutionunit="INCH", **options)
    assert space_at(run, "b.tif")[0] is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"voxel_size": [1, 2]},
        {"voxel_size": [1, 2, 0]},
        {"voxel_size": [1, 2, float("inf")]},
        {"voxel_size": "1 2 3"},
        {"voxel_size": None, "resolution": 4},
        {},
    ],
)
def test_unsound_attributes_are_left_out(attributes: dict[str, Any]) -> None:
    """Numbers that cannot be edges of voxels are none."""
    assert not space.from_attributes(attributes, 3)


def test_units() -> None:
    """Units are converted to the nearest number of twelve digits; a size without a unit is taken as it is."""
    assert Space((4e-6,), "meter").size_in("micrometer") == (4.0,)
    assert Space((0.1,), "micrometer").size_in("nanometer") == (100.0,)
    assert Space((3.0,)).size_in("nanometer") == (3.0,)
    assert [space.unit_of(one) for one in ("µm", "um", "Micron", "nm", "parsec")] == [
        *("micrometer",) * 3,
        "nanometer",
        None,
    ]
