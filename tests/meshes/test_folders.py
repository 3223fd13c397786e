"""Folders of meshes: formats, Neuroglancer's files, and runs that go on."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import mesh_cases as cases
import numpy as np
import pytest
import zarr
from mesh_cases import SMALL

import crackle_zarr as cz
from crackle_zarr._base import atomic_files
from crackle_zarr.errors import FormatError, MissingLabelError
from crackle_zarr.meshes import Mesh, files, labels

FORMATS = ["precomputed", "ply", "obj", "glb"]


@pytest.fixture(scope="module")
def seg() -> np.ndarray:
    return cases.seg()[:16, :32, :32]


@pytest.fixture
def array(seg: np.ndarray) -> zarr.Array:
    return cases.v3(seg, chunks=(8, 16, 16))


@pytest.fixture(scope="module")
def whole(seg: np.ndarray) -> dict[int, Mesh]:
    return cz.mesh(seg.T)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# ---------------------------------------------------------------------------------------
# Formats


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(kind: Any, array: zarr.Array, whole: dict[int, Mesh], tmp_path: Path) -> None:
    """A folder is a mapping that reads what was written; its files have the same triangles in any format."""
    if kind != "precomputed":
        pytest.importorskip("trimesh")
    found = cz.mesh(array, out=tmp_path / "out", format=kind, memory=SMALL)
    assert list(found) == list(whole)
    assert found.format == kind
    assert found.labels.dtype == np.uint64
    assert (6 in found, 10**6 in found, -1 in found, "6" in found) == (True, False, False, False)
    for label, mesh in found.items():
        assert mesh.label == label
        assert mesh.is_closed
        if kind == "precomputed":  # a voxel begins where its index says
            mesh = Mesh(mesh.vertices - np.float32(0.5), mesh.faces, label)
        assert cases.same({label: mesh}, {label: whole[label]})
        assert files.is_whole(found.path, label, kind)
    names = {path.name for path in found.path.iterdir()}
    assert not any("tiles" in name or ".tmp" in name for name in names)
    with pytest.raises(KeyError):
        found[10**6]
    again = cz.open_meshes(tmp_path / "out")
    assert repr(again) == f"<MeshFolder {tmp_path / 'out'}: {len(whole)} meshes, {kind}>"


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
def test_other_programs_read_them(kind: str, array: zarr.Array, tmp_path: Path) -> None:
    """trimesh loads each file as one closed volume."""
    trimesh = pytest.importorskip("trimesh")
    found = cz.mesh(array, [6], out=tmp_path / "out", format=kind)
    loaded = trimesh.load(found.file(6), force="mesh")
    assert loaded.is_watertight
    assert loaded.volume == pytest.approx(cz.mesh(array, [6])[6].volume)


def test_single_files(array: zarr.Array, tmp_path: Path) -> None:
    """A mesh in memory is saved by the ending of the name, is a trimesh, and round-trips as a fragment."""
    trimesh = pytest.importorskip("trimesh")
    mesh = cz.mesh(array, [6])[6]
    for kind in ("ply", "obj", "glb"):
        mesh.save(tmp_path / f"six.{kind}")
        assert len(trimesh.load(tmp_path / f"six.{kind}", force="mesh").faces) == len(mesh.faces)
    with pytest.raises(ValueError, match=r"six.stl: a mesh is a file that ends in .ply, .obj or .glb"):
        mesh.save(tmp_path / "six.stl")
    assert mesh.to_trimesh().is_watertight
    assert mesh.to_trimesh().volume == pytest.approx(mesh.volume)
    back = Mesh.from_precomputed(mesh.to_precomputed(), 6)
    assert np.array_equal(back.vertices, mesh.vertices)
    assert np.array_equal(back.faces, mesh.faces)
    assert repr(back) == f"<Mesh of 6: {len(mesh.vertices):,} vertices, {len(mesh.faces):,} faces>"


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_damaged_fragments(cut: int, array: zarr.Array) -> None:
    """A fragment that is cut short, or names a vertex that is not there, is refused."""
    data = cz.mesh(array, [6])[6].to_precomputed()
    with pytest.raises(FormatError, match="the fragment is damaged"):
        Mesh.from_precomputed(data[:cut] or b"\1")
    with pytest.raises(FormatError, match="a face has vertex 4294967295"):
        Mesh.from_precomputed(data[:-4] + b"\xff" * 4)


# ---------------------------------------------------------------------------------------
# Neuroglancer


def test_precomputed_bytes(seg: np.ndarray, whole: dict[int, Mesh], tmp_path: Path) -> None:
    """Manifest and fragment are those that Neuroglancer documents, in nanometres."""
    attributes = {
        "voxel_size": [0.04, 0.008, 0.004],
        "voxel_unit": "micrometer",
        "voxel_origin": [0, 0.8, 0.4],
    }
    found = cz.mesh(cases.v3(seg, attributes=attributes), [6], out=tmp_path / "out")
    manifest = json.loads((found.path / "6:0").read_bytes())
    assert json.loads((found.path / "info").read_bytes()) == {"@type": "neuroglancer_legacy_mesh"}
    data = b"".join((found.path / name).read_bytes() for name in manifest["fragments"])
    (count,) = struct.unpack_from("<I", data)
    vertices = np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3)
    faces = np.frombuffer(data, "<u4", -1, 4 + 12 * count).reshape(-1, 3)
    assert (count, len(faces)) == (len(whole[6].vertices), len(whole[6].faces))
    expected = (whole[6].vertices + 0.5) * (4, 8, 40) + (400, 800, 0)
    assert np.allclose(np.unique(vertices, axis=0), np.unique(expected, axis=0), atol=1e-3)


def test_a_volume_names_its_meshes(array: zarr.Array, tmp_path: Path) -> None:
    """Within a precomputed volume, the info names the folder and keeps all else; other meshes stay."""
    place = tmp_path / "volume"
    place.mkdir()
    info = {"@type": "neuroglancer_multiscale_volume", "type": "segmentation", "scales": [1]}
    (place / "info").write_text(json.dumps(info))
    cz.mesh(array, [6], place / "mesh")
    assert json.loads((place / "info").read_text()) == {**info, "mesh": "mesh"}
    cz.mesh(array, [6], place / "mesh", overwrite=True)
    with pytest.raises(ValueError, match=r"has its meshes in 'mesh': write to .*mesh, or to "):
        cz.mesh(array, [6], place / "other")
    assert not (place / "other").exists()
    cz.mesh(array, [6], place / "files", format="ply")
    assert json.loads((place / "info").read_text()) == {**info, "mesh": "mesh"}


@pytest.mark.filterwarnings("ignore::crackle_zarr.errors.CrackleWarning")
def test_a_volume_of_ours(seg: np.ndarray, tmp_path: Path) -> None:
    """A precomputed volume of this package is meshed in its own place, and stays readable."""
    pytest.importorskip("tensorstore")
    cz.write_precomputed(cases.v3(seg), tmp_path / "volume")
    volume = cz.open_precomputed(tmp_path / "volume")
    found = cz.mesh(volume, [6], tmp_path / "volume" / "mesh")
    assert found[6].is_closed
    assert json.loads((tmp_path / "volume" / "info").read_bytes())["mesh"] == "mesh"
    assert cz.contains(cz.open_precomputed(tmp_path / "volume"), 6)


def test_negative_labels(tmp_path: Path) -> None:
    """Neuroglancer has no negative labels: the error says so before files are written; PLY takes them."""
    voxels = np.full((3, 3, 3), -7, np.int16)
    with pytest.raises(ValueError, match="there is -7: choose labels, or the format ply, obj or glb"):
        cz.mesh(voxels, out=tmp_path / "out")
    assert not contents(tmp_path)
    pytest.importorskip("trimesh")
    found = cz.mesh(voxels, out=tmp_path / "out", format="ply")
    assert list(found) == [-7]
    assert found[-7].is_closed


# ---------------------------------------------------------------------------------------
# Runs that go on


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [0, 4, 9])
def test_a_full_disk_and_ctrl_c(
    error: BaseException, after: int, array: zarr.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was whole stays, no temporary file is left, and the run that goes on writes the same bytes."""
    expected = contents(cz.mesh(array, out=tmp_path / "whole", memory=SMALL).path)
    rename, left = os.replace, after

    def replace(*paths: Any) -> None:
        nonlocal left
        if left == 0:
            raise error
        left -= 1
        rename(*paths)

    out = tmp_path / "out"
    monkeypatch.setattr(atomic_files.os, "replace", replace)
    with pytest.raises(type(error)):
        cz.mesh(array, out=out, memory=SMALL, parallel=1)
    monkeypatch.undo()
    there = contents(out) if out.exists() else {}
    assert len(there) == after
    assert not any(".tmp" in name for name in there)
    assert contents(cz.mesh(array, out=out, memory=SMALL, resume=True).path) == expected


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("named", [False, True])
def test_whole_labels_are_not_made_again(
    kind: Any, named: bool, array: zarr.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on makes those labels alone whose files are missing or cut short."""
    if kind != "precomputed":
        pytest.importorskip("trimesh")
    wanted = [2, 7, 9] if named else None
    found = cz.mesh(array, wanted, tmp_path / "out", format=kind, memory=SMALL)
    before, expected = dict(found), contents(found.path)
    missing, *_, cut = found
    found.file(missing).unlink()
    data = found.file(cut).read_bytes()
    found.file(cut).write_bytes(b"" if kind == "obj" else data[: len(data) // 2 | 1])
    written = []
    write = files.write

    def noted(folder: Path, mesh: Mesh, kind: str) -> None:
        written.append(mesh.label)
        write(folder, mesh, kind)

    monkeypatch.setattr(labels.files, "write", noted)
    cz.mesh(array, wanted, tmp_path / "out", format=kind, memory=SMALL, resume=True)
    assert sorted(written) == [missing, cut]
    # zmesh may put the triangles of a label in another order if it gets fewer labels.
    assert cases.same(dict(found), before)
    after = contents(found.path)
    remade = {found.file(label).name for label in (missing, cut)}
    assert after.keys() == expected.keys()
    assert {name for name in after if after[name] != expected[name]} <= remade
    written.clear()
    again = cz.mesh(array, wanted, tmp_path / "out", format=kind, memory=2 * SMALL, resume=True)
    assert written == []
    assert list(again) == list(found)


def test_an_unfinished_run_goes_on_with_other_memory(
    array: zarr.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of another size are made anew; labels that are whole stay."""
    expected = contents(cz.mesh(array, out=tmp_path / "whole", memory=SMALL).path)
    write = files.write
    count = 0

    def fails(folder: Path, mesh: Mesh, kind: str) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise OSError("stop")
        write(folder, mesh, kind)

    monkeypatch.setattr(labels.files, "write", fails)
    with pytest.raises(OSError, match="stop"):
        cz.mesh(array, out=tmp_path / "out", memory=SMALL, parallel=1)
    with pytest.raises(FormatError, match="unfinished folder of meshes: mesh the same array"):
        cz.open_meshes(tmp_path / "out")
    found = cz.mesh(array, out=tmp_path / "out", memory=2**30, resume=True)
    assert contents(found.path).keys() == expected.keys()
    assert cases.same(dict(found), dict(cz.open_meshes(tmp_path / "whole")))


def test_only_the_same_run_goes_on(array: zarr.Array, seg: np.ndarray, tmp_path: Path) -> None:
    """Without resume or overwrite nothing is touched; another array or other parameters are refused."""
    out = tmp_path / "out"
    cz.mesh(array, [6, 7], out)
    before = contents(out)
    for given, error, message in [
        ({}, FileExistsError, "has meshes already: resume=True makes those that are missing"),
        ({"resume": True, "labels": [6]}, ValueError, "another labels: give the same array"),
        ({"resume": True, "simplify": 3}, ValueError, "another simplify"),
        ({"resume": True, "max_error": 3}, ValueError, "another max_error"),
        ({"resume": True, "region": slice(0, 9)}, ValueError, "another source"),
        ({"resume": True, "anisotropy": (1, 2, 3)}, ValueError, "another space and another max_error"),
    ]:
        with pytest.raises(error, match=message):
            cz.mesh(array, **{"labels": [6, 7], "out": out, **given})
        assert contents(out) == before
    with pytest.raises(ValueError, match="another source"):
        cz.mesh(cz.lazy_remap(array, {1: 2}, preserve_missing_labels=True), [6, 7], out, resume=True)
    array[0, 0, 0] = 6 if seg[0, 0, 0] != 6 else 7
    with pytest.raises(ValueError, match=r"has changed since the meshes in .* were begun: overwrite=True"):
        cz.mesh(array, [6, 7], out, resume=True)
    found = cz.mesh(array, [9], out, overwrite=True)
    assert list(found) == [9]
    assert not (out / "6:0").exists()


def test_the_same_run_in_memory(seg: np.ndarray, tmp_path: Path) -> None:
    """Folders of volumes in memory go on, too, and notice another volume."""
    for number, make in enumerate((lambda v: v, cz.compress)):
        out = tmp_path / str(number)
        found = cz.mesh(make(seg.T), [6], out)
        found.file(6).unlink()
        assert cz.mesh(make(seg.T), [6], out, resume=True)[6].is_closed
        changed = seg.T.copy()
        changed[0, 0, 0] += 1
        with pytest.raises(ValueError, match="the volume has changed"):
            cz.mesh(make(changed), [6], out, resume=True)


def test_foreign_folders(array: zarr.Array, tmp_path: Path) -> None:
    """A folder of other files is refused, with overwrite, too; overwriting keeps files of others."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for given in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(FileExistsError, match="is no folder of meshes: give a folder that is new"):
            cz.mesh(array, [6], tmp_path / "out", **given)
    cz.mesh(array, [6], tmp_path / "new")
    (tmp_path / "new" / "notes.txt").write_text("mine")
    cz.mesh(array, [7], tmp_path / "new", overwrite=True)
    assert (tmp_path / "new" / "notes.txt").read_text() == "mine"


def test_a_missing_label_leaves_nothing(array: zarr.Array, tmp_path: Path) -> None:
    """After the error for a label that is not there, the same folder takes another run."""
    with pytest.raises(MissingLabelError, match="there is no label 123456"):
        cz.mesh(array, [6, 123456], tmp_path / "out")
    assert list(cz.mesh(array, [6], tmp_path / "out")) == [6]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}'])
def test_damaged_plans(text: str, array: zarr.Array, tmp_path: Path) -> None:
    """A damaged plan is named, and a folder without one is no folder of meshes."""
    with pytest.raises(FileNotFoundError, match=r"no folder of meshes, which has a file meshes.json"):
        cz.open_meshes(tmp_path)
    cz.mesh(array, [6], tmp_path / "out")
    plan = tmp_path / "out" / "meshes.json"
    later = json.dumps({**json.loads(plan.read_text()), "version": 2})
    for content, message in (
        (text, "meshes.json is"),
        (later, "has the version 2, and this"),
    ):
        plan.write_text(content)
        with pytest.raises(FormatError, match=message):
            cz.open_meshes(tmp_path / "out")
        with pytest.raises(FormatError, match=message):
            cz.mesh(array, [6], tmp_path / "out", resume=True)
