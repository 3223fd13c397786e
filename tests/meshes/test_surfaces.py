"""Surfaces are closed and enclose their labels, whatever the volume, its storage and its tiles."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mesh_cases as cases
import numpy as np
import pytest
import stored_arrays
from mesh_cases import SMALL

import crackle_zarr as cz
from crackle_zarr.errors import FormatError, MissingLabelError
from crackle_zarr.meshes import Mesh
from crackle_zarr.skeletons import DimensionError
from crackle_zarr.stored_skeletons.frame import Frame


@pytest.fixture(scope="module")
def seg() -> np.ndarray:
    return cases.seg()


@pytest.fixture(scope="module")
def whole(seg: np.ndarray) -> dict[int, Mesh]:
    """The meshes of the volume in memory, in one piece."""
    return cz.mesh(seg.T)


def of_mask(mask: np.ndarray, **given: Any) -> Mesh:
    return cz.mesh(mask, [1], **given)[1]


# ---------------------------------------------------------------------------------------
# Shapes


@pytest.mark.parametrize("seed", range(3))
def test_any_mask_has_a_closed_surface(seed: int) -> None:
    """Every edge has two faces, even where voxels touch at edges and corners alone."""
    mask = np.random.default_rng(seed).random((9, 8, 7)) < 0.5
    mesh = of_mask(mask)
    assert mesh.is_closed
    assert abs(mesh.volume - mask.sum()) < 0.35 * mask.sum()


def box() -> np.ndarray:
    return np.ones((6, 5, 4), bool)


def ring() -> np.ndarray:
    mask = np.ones((7, 7, 3), bool)
    mask[2:5, 2:5] = False
    return mask


def hollow() -> np.ndarray:
    mask = np.ones((7, 7, 7), bool)
    mask[2:5, 2:5, 2:5] = False
    return mask


def two() -> np.ndarray:
    mask = np.zeros((9, 4, 4), bool)
    mask[:3] = mask[5:] = True
    return mask


@pytest.mark.parametrize(("make", "characteristic"), [(box, 2), (ring, 0), (hollow, 4), (two, 4)])
def test_topology(make: Any, characteristic: int) -> None:
    """The Euler characteristic is that of the shape: of a box, a ring, a shell, and two boxes."""
    mesh = of_mask(make())
    assert mesh.is_closed
    assert mesh.euler_characteristic == characteristic


def test_a_ball_has_the_volume_and_the_area_of_a_ball() -> None:
    """The enclosed volume is that of the voxels; the area is some percent above that of a smooth ball."""
    x, y, z = np.ogrid[-12:13, -12:13, -12:13]
    mask = x * x + y * y + z * z <= 11**2
    mesh = of_mask(mask, anisotropy=(2, 2, 2))
    assert mesh.euler_characteristic == 2
    assert mesh.volume == pytest.approx(mask.sum() * 8, rel=0.01)
    assert 1 <= mesh.area / (4 * np.pi * 22**2) < 1.15


def test_a_voxel() -> None:
    """One voxel gives the octahedron around its centre, with the faces turned outwards."""
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 2, 3] = True
    mesh = of_mask(mask, anisotropy=(1, 2, 4))
    expected = [(0.5, 4, 12), (1, 3, 12), (1, 4, 10), (1, 4, 14), (1, 5, 12), (1.5, 4, 12)]
    assert sorted(map(tuple, mesh.vertices.tolist())) == expected
    assert mesh.vertices.dtype == np.float32
    assert mesh.faces.dtype == np.uint32
    assert mesh.volume == pytest.approx(8 / 6)


# ---------------------------------------------------------------------------------------
# Sources


def test_in_memory(seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """All labels but 0 have a closed mesh, whose volume is about that of their voxels."""
    counts = dict(zip(*np.unique(seg[seg != 0], return_counts=True), strict=True))
    assert list(whole) == list(counts)
    for label, mesh in whole.items():
        assert mesh.label == label
        assert mesh.is_closed
        if counts[label] > 500:
            assert mesh.volume == pytest.approx(counts[label], rel=0.05)


@pytest.mark.parametrize("kind", cases.KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore::crackle_zarr.errors.CrackleWarning")
def test_tiles_have_no_seams(kind: Any, seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """The meshes of a stored array, made by tiles, have the triangles of the volume in memory."""
    steps: list[tuple[int, int]] = []
    found = cz.mesh(kind(seg), memory=SMALL, progress=lambda done, total: steps.append((done, total)))
    assert steps[0][1] >= 4  # tiles
    assert steps[-1] == (len(whole), len(whole))
    assert cases.same(found, whole)


@pytest.mark.parametrize("kind", stored_arrays.KINDS)
@pytest.mark.filterwarnings("ignore::crackle_zarr.errors.CrackleWarning")
def test_every_kind_of_array(kind: str) -> None:
    """Arrays of any codec, dtype, shards and number of axes have the meshes of the equal NumPy array."""
    rng = np.random.default_rng(list(kind.encode()))
    for _ in range(3):
        array, voxels = stored_arrays.make(kind, rng)
        further = tuple(int(rng.integers(0, length)) for length in voxels.shape[:-3])
        expected = cz.mesh(np.ascontiguousarray(voxels[further].T))
        region = (*further, ...) if further else None
        assert cases.same(cz.mesh(array, region=region, memory=SMALL), expected)
        some = list(expected)[::3]
        assert cases.same(cz.mesh(array, some, region=region), {label: expected[label] for label in some})


@pytest.mark.parametrize("some", [1, 3])
def test_named_labels(some: int, seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """Named labels have the meshes that they have among all, and no others are returned."""
    labels = list(whole)[:some]
    found = cz.mesh(cases.v3(seg), labels[::-1], memory=SMALL)
    assert cases.same(found, {label: whole[label] for label in labels})


def test_many_named_labels() -> None:
    """More labels can be named than a byte tells apart."""
    voxels = np.arange(1, 401, dtype=np.uint64).reshape(1, 20, 20)
    found = cz.mesh(cases.v3(voxels, chunks=(1, 8, 8)), range(1, 301))
    assert list(found) == list(range(1, 301))
    assert all(len(mesh.faces) == 8 for mesh in found.values())


def test_named_labels_decode_no_others(seg: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of named labels, masks are decoded, and never a box of labels."""

    def refuse(*_: Any) -> None:
        raise AssertionError("labels were decoded")

    array = cases.v3(seg)
    monkeypatch.setattr(Frame, "read", refuse)
    assert list(cz.mesh(array, [5], memory=SMALL)) == [5]
    with pytest.raises(AssertionError, match="labels were decoded"):
        cz.mesh(array)


def test_an_index_finds_the_chunks(tmp_path: Path, whole: dict[int, Mesh], seg: np.ndarray) -> None:
    """With a label index, only tiles with chunks of the label are read, and the mesh is the same."""
    pytest.importorskip("pyarrow")
    array = cz.create_array(tmp_path / "a.zarr", data=seg, chunks=(8, 16, 16))
    cz.create_index(array)
    label = min(whole, key=lambda label: len(whole[label].faces))
    tiles: list[int] = []
    found = cz.mesh(array, [label], memory=SMALL, progress=lambda _, total: tiles.append(total))
    assert cases.same(found, {label: whole[label]})
    every: list[int] = []
    cz.mesh(array, [label], memory=SMALL, index="ignore", progress=lambda _, total: every.append(total))
    assert tiles[0] < every[0]


def test_missing_chunks(seg: np.ndarray) -> None:
    """Chunks that do not exist have the fill value: surfaces end there, or go on if it is a label."""
    voxels = seg.copy()
    voxels[:8] = 7
    array = cases.v3(seg, fill_value=7)
    for key in [f"c/0/{y}/{x}" for y in range(3) for x in range(3)]:
        del array.store._store_dict[key]
    assert cases.same(cz.mesh(array, memory=SMALL), cz.mesh(voxels.T))
    assert cases.same(cz.mesh(array, [7], memory=SMALL), cz.mesh(voxels.T, [7]))


def test_a_remapped_view(seg: np.ndarray) -> None:
    """Labels that a view merges have one mesh, without a wall between them."""
    view = cz.lazy_remap(cases.v3(seg), {1: 2, 3: 2}, preserve_missing_labels=True)
    expected = seg.copy()
    expected[(seg == 1) | (seg == 3)] = 2
    assert cases.same(cz.mesh(view, memory=SMALL), cz.mesh(expected.T))


def test_a_region(seg: np.ndarray) -> None:
    """Surfaces of a region are closed at its faces, and coordinates count from the array's first voxel."""
    array = cases.v3(seg)
    found = cz.mesh(array, region=(slice(3, 20), slice(5, 39), slice(7, 30)), memory=SMALL)
    cut = np.zeros_like(seg)
    cut[3:20, 5:39, 7:30] = seg[3:20, 5:39, 7:30]
    assert cases.same(found, cz.mesh(cut.T))


@pytest.mark.parametrize("form", ["c", "f", "stream", "CrackleArray", "big-endian"])
@pytest.mark.parametrize("labels", [None, [4, 9]])
def test_volumes_in_memory(form: str, labels: Any, seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """Arrays of any memory order, streams and CrackleArrays have the same meshes, by slabs or not."""
    source: Any = {
        "c": lambda: np.ascontiguousarray(seg.T),
        "f": lambda: np.asfortranarray(seg.T),
        "stream": lambda: cz.compress(seg.T),
        "CrackleArray": lambda: cz.CrackleArray(cz.compress(seg.T)),
        "big-endian": lambda: seg.T.astype(">u4"),
    }[form]()
    expected = whole if labels is None else {label: whole[label] for label in labels}
    assert cases.same(cz.mesh(source, labels), expected)
    assert cases.same(cz.mesh(source, labels, memory=SMALL), expected)


@pytest.mark.parametrize(
    ("dtype", "labels"),
    [("?", [1]), ("i1", [-128, -1, 5]), ("u1", [1, 255]), ("i8", [-(2**63), 2**62]), ("u8", [1, 2**64 - 1])],
)
def test_dtypes(dtype: str, labels: list[int]) -> None:
    """Labels of any dtype keep their names, negative ones and those from 2**63 on as well."""
    voxels = np.zeros((4, 4, 3 * len(labels)), dtype)
    for number, label in enumerate(labels):
        voxels[1:3, 1:3, 3 * number : 3 * number + 2] = label
    for source in (voxels.T, cases.v3(voxels)):
        for wanted in (None, labels):
            found = cz.mesh(source, wanted)
            assert list(found) == labels
            assert all(mesh.is_closed and 4 < mesh.volume < 8 for mesh in found.values())


def test_no_voxels_and_no_labels() -> None:
    """Volumes of nothing, and of background alone, have no meshes."""
    assert cz.mesh(np.zeros((0, 4, 4), np.uint8)) == {}
    assert cz.mesh(cases.v3(np.zeros((9, 9, 9), np.uint8))) == {}


@pytest.mark.parametrize("ndim", [1, 2])
def test_fewer_axes(ndim: int) -> None:
    """A volume of one slice or one row gives closed meshes one voxel thick."""
    voxels = np.ones((5,) * ndim, np.uint8)
    array = cz.create_array({}, data=voxels, chunks=(2,) * ndim)
    (mesh,) = cz.mesh(array, memory=SMALL).values()
    assert mesh.is_closed
    assert cases.same({1: mesh}, cz.mesh(voxels))


# ---------------------------------------------------------------------------------------
# Space


def test_space_of_the_metadata(seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """Voxel size and position come from the metadata, and axes are x, y, z, as for skeletons."""
    size, origin = (30, 5, 4), (1000, 200, 100)
    array = cases.v3(seg, attributes={"voxel_size": size, "voxel_unit": "nanometer", "voxel_origin": origin})
    image = cz.write_ome_labels(
        {}, data=seg, voxel_size=size, unit="nanometer", origin=origin, axes="zyx", levels=2
    ).group
    expected = np.unique(whole[5].vertices * size[::-1] + origin[::-1], axis=0)
    for source in (array, image):
        mesh = cz.mesh(source, [5])[5]
        assert np.allclose(np.unique(mesh.vertices, axis=0), expected)
        assert mesh.volume == pytest.approx(whole[5].volume * 600)
    assert cases.same(cz.mesh(array, [5], anisotropy=(1, 1, 1)), {5: whole[5]})
    coarse = cz.mesh(image, level=1)
    assert 0 < len(coarse) <= len(whole)


def test_meshes_lie_around_skeletons(seg: np.ndarray) -> None:
    """Skeletons of the same array lie within the box of the mesh."""
    array = cases.v3(seg, attributes={"voxel_size": [30, 5, 4], "voxel_unit": "nanometer"})
    skeletons = cz.skeletonize(array, dust_threshold=100, progress=False)
    meshes = cz.mesh(array)
    assert skeletons
    for label, skeleton in skeletons.items():
        vertices = meshes[label].vertices
        assert (skeleton.vertices > vertices.min(axis=0)).all()
        assert (skeleton.vertices < vertices.max(axis=0)).all()


# ---------------------------------------------------------------------------------------
# Simplification


def test_simplified_meshes_are_closed(seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """Simplification, after joining, leaves fewer faces of the same shape without gaps."""
    size = (4.0, 4.0, 30.0)
    found = cz.mesh(cases.v3(seg), memory=SMALL, simplify=20, anisotropy=size)
    for label, mesh in found.items():
        assert mesh.is_closed
        assert mesh.euler_characteristic == whole[label].euler_characteristic
        if len(whole[label].faces) > 2000:
            assert len(mesh.faces) < 0.5 * len(whole[label].faces)
            assert mesh.volume == pytest.approx(whole[label].volume * np.prod(size), rel=0.1)


def test_max_error_bounds_simplification(seg: np.ndarray, whole: dict[int, Mesh]) -> None:
    """A smaller error leaves more faces; a factor of 1 leaves all."""
    label = max(whole, key=lambda label: len(whole[label].faces))
    counts = [
        len(cz.mesh(seg.T, [label], simplify=1000, max_error=error)[label].faces) for error in (8, 2, 0.25)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] < len(whole[label].faces)
    assert len(cz.mesh(seg.T, [label], simplify=1, max_error=9)[label].faces) == len(whole[label].faces)


@pytest.mark.parametrize("size", [(1, 1, 1), (0.3, 0.3, 0.3), (16, 16, 40), (1.3, 1, 2.7)])
def test_simplified_surfaces_stay_in_place(size: tuple[float, float, float]) -> None:
    """With the default error, no vertex lies farther from the surface before than an edge of a voxel."""
    spatial = pytest.importorskip("scipy.spatial")
    x, y, z = np.ogrid[-14:15, -14:15, -14:15]
    mask = x * x + 2 * y * y + z * z <= 13**2
    before, after = (of_mask(mask, anisotropy=size, simplify=factor) for factor in (1, 1000))
    assert len(after.faces) < 0.3 * len(before.faces)
    assert after.volume == pytest.approx(before.volume, rel=0.03)
    distances, _ = spatial.cKDTree(before.vertices).query(after.vertices)
    assert distances.max() < 1.2 * max(size)


# ---------------------------------------------------------------------------------------
# Executors and errors


@pytest.mark.parametrize("processes", [False, True])
def test_executors(processes: bool, seg: np.ndarray, whole: dict[int, Mesh], tmp_path: Path) -> None:
    """Threads and processes make the same meshes, in memory and as files."""
    array = cz.create_array(tmp_path / "a.zarr", data=seg, chunks=(8, 16, 16))
    pool: Any = ProcessPoolExecutor(2, get_context("spawn")) if processes else ThreadPoolExecutor(2)
    with pool as executor:
        assert cases.same(cz.mesh(array, memory=SMALL, executor=executor), whole)
        files = cz.mesh(array, out=tmp_path / "out", memory=SMALL, executor=executor)
        assert list(files) == list(whole)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"labels": [10**9]}, MissingLabelError, "there is no label 1000000000"),
        ({"labels": [1, 2**70]}, MissingLabelError, "there is no label 1180591620717411303424"),
        ({"labels": [0, 1]}, ValueError, "0, which is the background and has no mesh: leave it out"),
        ({"labels": [1.5]}, TypeError, "a label"),
        ({"simplify": 0}, ValueError, r"a number from 1 on \(1 changes nothing\), not 0"),
        ({"simplify": "x"}, TypeError, "simplify is a number, not 'x'"),
        ({"max_error": 0}, ValueError, "max_error is a length above 0, not 0"),
        ({"memory": 5}, ValueError, "from 2\\*\\*20 on, not 5"),
        ({"anisotropy": (1, 2)}, ValueError, "anisotropy is three numbers"),
        ({"resume": True}, TypeError, "resume: only with out"),
        ({"out": "x", "format": "stl"}, ValueError, "one of precomputed, ply, obj, glb, not 'stl'"),
        ({"parallel": -1}, ValueError, "-1"),
    ],
)
def test_invalid_arguments(
    given: dict[str, Any], error: type[Exception], message: str, seg: np.ndarray, tmp_path: Path
) -> None:
    """A request that is invalid says what was given, of arrays and in memory, and writes nothing."""
    given = {**given, **({"out": tmp_path / "out"} if "out" in given else {})}
    for source in (cases.v3(seg), seg.T):
        with pytest.raises(error, match=message):
            cz.mesh(source, **given)
    assert not list(tmp_path.iterdir())


def test_arguments_for_stored_arrays(seg: np.ndarray) -> None:
    """Volumes in memory refuse what is for stored arrays alone."""
    with pytest.raises(TypeError, match="executor, region: for stored arrays only"):
        cz.mesh(seg.T, region=(0,), executor=ThreadPoolExecutor())
    with pytest.raises(TypeError, match="labels are integers or bool, not float64"):
        cz.mesh(np.zeros((3, 3, 3)))
    with pytest.raises(DimensionError, match="choose one index of it by region"):
        cz.mesh(cases.v3(np.zeros((2, 3, 3, 3), np.uint8), chunks=(1, 3, 3, 3)))


def test_a_damaged_chunk(seg: np.ndarray) -> None:
    """A damaged chunk is named, with all labels and with one."""
    array = cases.v3(seg)
    store = array.store._store_dict
    key = "c/1/1/1"
    data = bytearray(store[key].to_bytes())
    data[len(data) // 2] ^= 0xFF
    store[key] = type(store[key]).from_bytes(bytes(data))
    for labels in (None, [int(seg[12, 20, 20])]):
        with pytest.raises(FormatError, match=key):
            cz.mesh(array, labels, memory=SMALL)


def test_without_the_library(seg: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without zmesh or trimesh, the error names the extra that installs them."""
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ImportError, match=r"PLY, OBJ and GLB need .* 'crackle-zarr\[mesh\]'"):
        cz.mesh(seg.T, out="x", format="ply")
    monkeypatch.setitem(sys.modules, "zmesh", None)
    with pytest.raises(ImportError, match=r"pip install 'crackle-zarr\[mesh\]'"):
        cz.mesh(seg.T)
