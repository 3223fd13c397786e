"""``crackle-zarr mesh``: formats, sources, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import one_line, run  # noqa: F401

import crackle_zarr as cz

pytest.importorskip("zmesh")


@pytest.fixture
def seg() -> np.ndarray:
    """A bar of label 7, a thin one of label 9, and a crumb of label 5: (x, y, z)."""
    volume = np.zeros((40, 20, 24), np.uint32, order="F")
    volume[5:35, 4:12, 4:12] = 7
    volume[5:35, 15:18, 15:18] = 9
    volume[1:3, 1:3, 1:3] = 5
    return volume


def stored(seg: np.ndarray, name: str = "seg.zarr") -> Any:
    attributes = {"voxel_size": [0.004, 0.002, 0.002], "voxel_unit": "micrometer"}
    return cz.create_array(name, data=np.ascontiguousarray(seg.T), chunks=(8, 10, 30), attributes=attributes)


def test_a_folder_for_neuroglancer(run, seg: np.ndarray) -> None:
    """All labels of a Zarr array become meshes in nanometres, with manifests and info."""
    stored(seg)
    done = run("mesh", "seg.zarr", "meshes")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("-> 3 meshes in meshes  ")
    assert json.loads(Path("meshes/info").read_text()) == {"@type": "neuroglancer_legacy_mesh"}
    mesh = cz.open_meshes("meshes")[7]
    assert mesh.vertices.min(axis=0).tolist() == [10, 8, 16]
    assert mesh.vertices.max(axis=0).tolist() == [70, 24, 48]
    assert mesh.is_closed


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
@pytest.mark.parametrize("name", ["seg.npy", "seg.ckl", "seg.nii", "seg.zarr"])
def test_files_and_sources(run, seg: np.ndarray, kind: str, name: str) -> None:
    """Files and arrays give the same meshes of the labels that are named, in each format."""
    trimesh = pytest.importorskip("trimesh")
    if name == "seg.zarr":
        stored(seg)
    elif name == "seg.nii":
        pytest.importorskip("nibabel")
        from crackle_zarr.files import formats

        formats.write(name, formats.in_memory(seg))
    else:
        (cz.save if name == "seg.ckl" else lambda volume, path: np.save(path, volume))(seg, name)
    done = run("mesh", name, "out", "--labels", "7,9", "-l", "5", "--format", kind, "--anisotropy", "1,1,2")
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in Path("out").glob("*.*") if path.suffix == f".{kind}") == [
        f"{label}.{kind}" for label in (5, 7, 9)
    ]
    loaded = trimesh.load(f"out/7.{kind}", force="mesh")
    assert loaded.is_watertight
    assert loaded.bounds.tolist() == [[4.5, 3.5, 7.0], [34.5, 11.5, 23.0]]


def test_units_of_files(run, seg: np.ndarray) -> None:
    """A folder for Neuroglancer of a file that states millimetres is in nanometres."""
    pytest.importorskip("nibabel")
    from crackle_zarr.files import formats
    from crackle_zarr.files.space import Space

    formats.write("seg.nii", formats.in_memory(seg, space=Space((2e-6, 2e-6, 4e-6), "millimeter")))
    assert run("mesh", "seg.nii", "meshes", "-l", "7").code == 0
    vertices = cz.open_meshes("meshes")[7].vertices
    assert np.allclose([vertices.min(axis=0), vertices.max(axis=0)], [[10, 8, 16], [70, 24, 48]], rtol=1e-4)


def test_simplify_and_resume(run, seg: np.ndarray) -> None:
    """--simplify leaves fewer faces; --resume makes what is missing; --force replaces."""
    array = stored(seg)
    assert run("mesh", "seg.zarr", "out", "--simplify", "20").code == 0
    found = cz.open_meshes("out")
    assert len(found[7].faces) < 0.3 * len(cz.mesh(array, [7])[7].faces)
    assert found[7].is_closed
    found.file(9).unlink()
    text = one_line(run("mesh", "seg.zarr", "out", "--simplify", "20"))
    assert "resume=True makes those that are missing" in text
    assert run("mesh", "seg.zarr", "out", "--simplify", "20", "--resume").code == 0
    assert found.file(9).is_file()
    assert "another simplify" in one_line(run("mesh", "seg.zarr", "out", "--resume"))
    assert run("mesh", "seg.zarr", "out", "--force", "--region", ":,:,:8").code == 0
    assert list(cz.open_meshes("out")) == [5, 7, 9]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--labels", "1,x"), 2, "'x' is not a label: whole numbers with commas between them, such as 1,2."),
        (("--labels", "77"), 3, "there is no label 77"),
        (("--labels", "0"), 2, "0, which is the background and has no mesh"),
        (("--simplify", "0.5"), 2, "0.5"),
        (("--max-error", "0"), 2, "0"),
        (("--format", "stl"), 2, "'stl'"),
        (("--anisotropy", "1,2"), 2, "three numbers for x, y and z"),
        (("--level", "1"), 2, "--level is for OME-Zarr, and this is an array"),
    ],
)
def test_errors(run, seg: np.ndarray, arguments: tuple[str, ...], code: int, message: str) -> None:
    """Errors are one line that says what was given, and nothing is written."""
    stored(seg)
    done = run("mesh", "seg.zarr", "out", *arguments)
    assert done.code == code
    assert message in one_line(done)
    assert not Path("out").exists()


def test_errors_of_files(run, seg: np.ndarray) -> None:
    """Options of Zarr arrays are refused for files."""
    cz.save(seg, "seg.ckl")
    for name, value in (("--region", ":"), ("--level", "0")):
        assert f"{name} is for Zarr arrays" in one_line(run("mesh", "seg.ckl", "out", name, value))
    assert "missing.ckl" in one_line(run("mesh", "missing.ckl", "out"))


def test_help(run) -> None:
    """--help says what is made, in which coordinates, and has examples of each format."""
    text = " ".join(run("mesh", "--help").out.split())
    for part in ("closed surfaces", "have no seams", "nanometres", "--format glb", "--resume", "Exit codes"):
        assert part in text
