"""Skeletons of stored arrays by tiles: trees, lengths, dust, executors, chunks that fail, coordinates."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiles_cases as cases
import zarr
from tiles_cases import DUST, OPTIONS, SIZE, SMALL, TEASAR

import crackle_zarr as cz
from crackle_zarr.errors import FormatError

REAL = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return cases.seg()


@pytest.fixture(scope="module")
def array(voxels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> zarr.Array:
    return cases.stored(tmp_path_factory.mktemp("array") / "seg.zarr", voxels)


@pytest.fixture(scope="module")
def by_tiles(array: zarr.Array, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("tiles") / "skeletons"
    return cz.skeletonize(array, TEASAR, out=out, memory=SMALL, **OPTIONS)


def test_one_tree_for_each_component(by_tiles: Any, voxels: np.ndarray) -> None:
    """Every label has exactly as many trees as it has connected components of more voxels than dust."""
    steps = by_tiles.plan["tiles"]["step"]
    assert np.prod([-(-stop // step) for stop, step in zip((64, 64, 40), steps, strict=True)]) >= 8
    found = by_tiles.to_dict()
    assert {label: len(one.components()) for label, one in found.items()} == cases.components(voxels)
    for one in found.values():
        assert len(one.edges) == len(one.vertices) - len(one.components())  # a forest
        assert len(np.unique(one.vertices, axis=0)) == len(one.vertices)


def test_vertices_lie_in_their_labels(by_tiles: Any, voxels: np.ndarray) -> None:
    """The labels are those that have a skeleton in memory, and every vertex lies in its label."""
    assert set(by_tiles) == set(cases.in_memory(voxels))
    for label, one in by_tiles.items():
        x, y, z = np.rint(one.vertices / np.array(SIZE)).astype(int).T
        assert (voxels[z, y, x] == label).all()


def test_tissue(shared: Path, tmp_path: Path) -> None:
    """On a crop of connectomics, trees are the components, and the median of lengths is that of the whole."""
    path = shared / "data" / "connectomics.npy.ckl.gz"
    if not path.is_file():
        pytest.skip("the volume connectomics is not in shared/data")
    stream = cz.zrange(cz.bload(path), 200, 296)
    tissue = np.ascontiguousarray(cz.decompress(stream)[100:292, 100:292].T)
    array = cases.stored(tmp_path / "a.zarr", tissue, chunks=(48, 64, 64))
    given = {"progress": False, "fix_borders": False, "dust_threshold": 500}
    found = cz.skeletonize(array, memory=64 * 2**20, out=tmp_path / "out", **given)
    assert found.plan["tiles"]["step"] != [192, 192, 96]
    whole = cz.skeletonize(array, **given)
    assert set(found) == set(whole)
    assert len(whole) > 50
    ratios = [one.cable_length() / whole[label].cable_length() for label, one in found.items()]
    print(np.median(ratios), np.percentile(ratios, [5, 95]), found.plan["tiles"])
    assert 0.98 <= np.median(ratios) <= 1.02
    for label, one in found.items():
        assert len(one.components()) == len(whole[label].components())


def test_one_tile_is_the_volume_in_memory(array: zarr.Array, voxels: np.ndarray, tmp_path: Path) -> None:
    """Where the array fits the memory of a task, the skeletons are those of the volume, vertex for vertex."""
    whole = cases.in_memory(voxels)
    assert cz.skeletonize(array, TEASAR, **OPTIONS) == whole
    assert cz.skeletonize(array, TEASAR, out=tmp_path / "out", **OPTIONS).to_dict() == whole


@pytest.mark.filterwarnings("default")  # from dask's own modules, as its event loops end
@pytest.mark.parametrize("kind", ["threads", "processes", "dask"])
def test_executors(kind: str, array: zarr.Array, by_tiles: Any, tmp_path: Path) -> None:
    """Threads, processes and dask write the same bytes."""
    given = {"out": tmp_path / "out", "memory": SMALL, **OPTIONS}
    if kind == "threads":
        with ThreadPoolExecutor(2) as executor:
            cz.skeletonize(array, TEASAR, executor=executor, **given)
    elif kind == "processes":
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
            cz.skeletonize(array, TEASAR, executor=executor, **given)
    else:
        distributed = pytest.importorskip("distributed")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            cz.skeletonize(array, TEASAR, executor=client.get_executor(pure=False), parallel=2, **given)
    assert contents(tmp_path / "out") == contents(by_tiles.path)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_dust_counts_the_voxels_of_all_tiles(tmp_path: Path) -> None:
    """An object that a seam cuts is dust if all of it is, and not if only its parts are."""
    voxels = np.zeros((24, 64, 64), np.uint32)
    voxels[4:6, 4:6, 2:62] = 1  # 240 voxels in all tiles along x
    voxels[4:6, 20:22, 10:30] = 2  # 80 voxels
    voxels[10, 40, 31:33] = 3  # two voxels beside a seam
    voxels[12, 50, 16] = 4  # one voxel on a seam
    array = cases.stored(tmp_path / "a.zarr", voxels, chunks=(8, 8, 16))
    given = {"progress": False, "memory": SMALL}
    assert set(cz.skeletonize(array, TEASAR, dust_threshold=100, **given)) == {1}
    assert set(cz.skeletonize(array, TEASAR, dust_threshold=239, **given)) == {1}
    assert set(cz.skeletonize(array, TEASAR, dust_threshold=240, **given)) == set()
    found = cz.skeletonize(array, TEASAR, dust_threshold=0, **given)
    assert {label: len(one.components()) for label, one in found.items()} == {1: 1, 2: 1, 3: 1}
    table = cz.skeletonize(array, TEASAR, dust_threshold=0, out=tmp_path / "out", **given).table
    assert table.column("voxels").to_pylist() == [240, 80, 2]


def test_a_grazing_seam_adds_no_branch(tmp_path: Path) -> None:
    """A bar that lies along a seam, or reaches a voxel beyond it, has the two ends that it has in memory."""
    voxels = np.zeros((8, 40, 128), np.uint32)
    voxels[2:6, 10:17, 4:124] = 1  # row 16 is the first behind a seam
    voxels[2:6, 32:38, 4:124] = 2  # the first row is on the seam
    array = cases.stored(tmp_path / "a.zarr", voxels, chunks=(8, 16, 128))
    found = cz.skeletonize(array, TEASAR, memory=SMALL, fix_borders=False, **OPTIONS)
    whole = cases.in_memory(voxels, fix_borders=False)
    for label in (1, 2):
        assert len(found[label].terminals()) == len(whole[label].terminals()) == 2
        assert found[label].cable_length() == pytest.approx(whole[label].cable_length(), rel=0.1)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("z", "y", "x"), (2, 1, 0)),
        (("x", "y", "z"), (0, 1, 2)),
        (("y", "z", "x"), (2, 0, 1)),
        (None, (2, 1, 0)),
    ],
)
@pytest.mark.parametrize("memory", [SMALL, 2**31])
def test_axes_by_their_names(names: Any, order: tuple[int, ...], memory: int, tmp_path: Path) -> None:
    """Coordinates are x, y, z by the names of the axes; without names, the last axis is x."""
    small = cases.seg()[:24, :48, :48].T  # x, y, z
    turned = np.ascontiguousarray(small.transpose(np.argsort(order)))
    size, origin = (3.0, 4.0, 5.0), (100.0, -20.0, 7.5)
    attributes = {
        "voxel_size": [size[order.index(axis)] for axis in range(3)],
        "voxel_origin": [origin[order.index(axis)] for axis in range(3)],
    }
    array = cases.stored(
        tmp_path / "a.zarr", turned, dimension_names=names, chunks=(8, 16, 16), attributes=attributes
    )
    teasar = {"scale": 1.5, "const": 20.0}
    found = cz.skeletonize(array, teasar, memory=memory, **OPTIONS)
    assert set(found) == set(cz.skeletons.skeletonize(small, teasar, size, **OPTIONS))
    for label, one in found.items():
        x, y, z = np.rint((one.vertices - np.array(origin)) / np.array(size)).astype(int).T
        assert (small[x, y, z] == label).all()
        np.testing.assert_allclose(one.voxel_space().vertices.T, [x, y, z], atol=1e-3)


def test_space_of_ome(tmp_path: Path) -> None:
    """A group of OME-Zarr gives axes, voxel size, translation and unit; lengths have defaults in its unit."""
    voxels = cases.seg()[:24, :48, :48]
    labels = cz.write_ome_labels(
        tmp_path / "labels.zarr",
        None,
        voxels,
        voxel_size=(0.04, 0.016, 0.016),
        unit="micrometer",
        levels=1,
        chunks=(8, 16, 16),
    )
    found = cz.skeletonize(labels.group, **OPTIONS)
    expected = cz.skeletonize(labels.levels[0], cz.skeletons.DEFAULT_TEASAR_PARAMS, SIZE, **OPTIONS)
    assert set(found) == set(expected)
    for label, one in found.items():
        # Equal costs may be told apart otherwise in another unit.
        assert one.cable_length() * 1000 == pytest.approx(expected[label].cable_length(), rel=0.1)
        np.testing.assert_allclose(np.diag(one.transform[:, :3]), (0.016, 0.016, 0.04), rtol=1e-6)


def test_regions_and_further_axes(array: zarr.Array, voxels: np.ndarray, tmp_path: Path) -> None:
    """A region counts from the array's first voxel; other axes need an index each."""
    part = cz.skeletonize(array, TEASAR, region=(slice(3, 35), slice(5, 60), slice(20, 64)), **OPTIONS)
    inside = cases.in_memory(np.ascontiguousarray(voxels[3:35, 5:60, 20:64]))
    assert set(part) == set(inside)
    for label, one in part.items():
        moved = inside[label].vertices + np.array([20, 5, 3]) * np.array(SIZE)
        np.testing.assert_allclose(one.vertices, moved, rtol=1e-5)
    movie = cases.stored(
        tmp_path / "t.zarr",
        np.stack([np.zeros_like(voxels), voxels]),
        chunks=(1, 8, 16, 16),
        dimension_names=("t", "z", "y", "x"),
        attributes={},
    )
    with pytest.raises(cz.DimensionError, match=r"axis 0 \(t\) is none of x, y and z.*region=\(0, ...\)"):
        cz.skeletonize(movie, TEASAR, **OPTIONS)
    found = cz.skeletonize(movie, TEASAR, SIZE, region=(1, ...), **OPTIONS)
    assert found == cases.in_memory(voxels)


def test_views_shards_and_other_codecs(array: zarr.Array, voxels: np.ndarray, tmp_path: Path) -> None:
    """A view, an array with shards, one without Crackle and one of bool are traced like any other."""
    label = int(np.argmax(np.bincount(voxels.reshape(-1))[1:]) + 1)
    view = cz.lazy_remap(array, {label: 5000})
    found = cz.skeletonize(view, TEASAR, memory=SMALL, **OPTIONS)
    expected = cz.skeletonize(array, TEASAR, memory=SMALL, **OPTIONS)
    assert set(found) == {5000 if one == label else one for one in expected}
    assert np.array_equal(found[5000].vertices, expected[label].vertices)
    sharded = cases.stored(tmp_path / "s.zarr", voxels, shards=(16, 32, 32))
    assert cz.skeletonize(sharded, TEASAR, memory=SMALL, **OPTIONS).keys() == expected.keys()
    binary = zarr.create_array(
        tmp_path / "b.zarr", data=voxels == label, chunks=(8, 16, 16), dimension_names=("z", "y", "x")
    )
    with pytest.warns(cz.CrackleWarning, match="not stored with Crackle"):
        of_bool = cz.skeletonize(binary, TEASAR, SIZE, memory=SMALL, **OPTIONS)
    assert np.array_equal(of_bool[1].vertices, expected[label].vertices)


def test_missing_chunks_are_fill(voxels: np.ndarray, tmp_path: Path) -> None:
    """A chunk that the store does not have holds the fill value."""
    array = cases.stored(tmp_path / "a.zarr", voxels)
    (tmp_path / "a.zarr" / "c" / "1" / "1" / "1").unlink()
    without = voxels.copy()
    without[8:16, 16:32, 16:32] = 0
    found = cz.skeletonize(array, TEASAR, memory=SMALL, **OPTIONS)
    assert {label: len(one.components()) for label, one in found.items()} == cases.components(without)


def test_damaged_chunks_are_named(voxels: np.ndarray, tmp_path: Path) -> None:
    """A damaged chunk is named, and what was done before is left for a run that goes on."""
    array = cases.stored(tmp_path / "a.zarr", voxels)
    chunk = tmp_path / "a.zarr" / "c" / "4" / "3" / "3"
    good = chunk.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 0xFF
    chunk.write_bytes(bad)
    given = {"out": tmp_path / "out", "memory": SMALL, "parallel": 1, **OPTIONS}
    with pytest.raises(FormatError, match="c/4/3/3"):
        cz.skeletonize(array, TEASAR, **given)
    assert list((tmp_path / "out" / "tiles").glob("*.parquet"))
    chunk.write_bytes(good)
    found = cz.skeletonize(array, TEASAR, resume=True, **given)
    assert {label: len(one.components()) for label, one in found.items()} == cases.components(voxels)


def test_negative_labels_and_large_ones(tmp_path: Path) -> None:
    """Labels of int64 and uint64 keep their values in tables."""
    for dtype, labels in ((np.int64, (-5, -(2**62), 7)), (np.uint64, (3, 2**63 + 1, 2**64 - 1))):
        voxels = np.zeros((8, 48, 64), dtype)
        for number, label in enumerate(labels):
            voxels[2:6, 16 * number + 4 : 16 * number + 10, 4:60] = label
        array = cases.stored(tmp_path / f"{np.dtype(dtype)}.zarr", voxels)
        found = cz.skeletonize(array, TEASAR, out=tmp_path / str(np.dtype(dtype)), memory=SMALL, **OPTIONS)
        assert list(found) == sorted(labels)
        assert all(found[label].id == label for label in labels)
        assert all(label in found for label in labels)
        assert 4 not in found
        with pytest.raises(KeyError):
            found[4]


def test_a_soma_that_tiles_cut_is_traced_in_one_piece(tmp_path: Path) -> None:
    """A cell body that a seam cuts has one centre, as in memory, if the label fits the memory of a task."""
    z, y, x = np.mgrid[:48, :48, :96]
    ball = (x - 47) ** 2 + (y - 24) ** 2 + (z - 24) ** 2 < 20**2
    voxels = (ball | ((abs(y - 24) < 3) & (abs(z - 24) < 3))).astype(np.uint32)
    array = cases.stored(tmp_path / "a.zarr", voxels, attributes={})
    teasar = {
        "const": 5,
        "soma_detection_threshold": 6,
        "soma_acceptance_threshold": 7,
        "soma_invalidation_const": 4,
        "soma_invalidation_scale": 1,
    }
    given = {"fix_borders": False, **OPTIONS}
    whole = cz.skeletons.skeletonize(voxels.T, teasar, **given)
    found = cz.skeletonize(array, teasar, memory=2**21, out=tmp_path / "out", **given)
    assert len(found.plan["tiles"]["step"]) == 3
    assert found.plan["tiles"]["step"] != [96, 48, 48]
    row = found.table.to_pylist()[0]
    assert (row["somas"], row["cut_somas"]) == (1, 0)
    assert found.to_dict() == whole
    # Where it does not fit, the table tells that it was cut.
    small = cz.skeletonize(array, teasar, memory=SMALL, out=tmp_path / "small", **given)
    assert small.table.to_pylist()[0]["cut_somas"] > 0
    assert len(small[1].components()) == 1


def test_bad_input(array: zarr.Array, voxels: np.ndarray, tmp_path: Path) -> None:
    """Errors say what was given and what to do."""
    cases_of = [
        ({"memory": 5}, ValueError, "memory is a number of bytes"),
        ({"teasar_params": {"max_paths": 3}, "memory": SMALL}, ValueError, "max_paths counts the paths"),
        ({"labels": [1], "object_ids": [2]}, TypeError, "give one of them"),
        ({"resume": True}, TypeError, "resume: only with out"),
        ({"tick_threshold": -1}, ValueError, "tick_threshold is a length"),
        ({"voxel_graph": voxels}, TypeError, "voxel_graph is for arrays in memory"),
        ({"labels": [1.5]}, TypeError, "a label is an integer"),
        ({"extra_targets_after": [(1000, 0, 0)]}, IndexError, "outside the volume"),
        ({"teasar_params": {"skale": 1}}, TypeError, "no parameter 'skale'"),
        ({"anisotropy": (1, 2)}, ValueError, "anisotropy is three numbers"),
    ]
    for given, error, message in cases_of:
        with pytest.raises(error, match=message):
            cz.skeletonize(array, **{**OPTIONS, **given})
    with pytest.raises(TypeError, match="out: for stored arrays only"):
        cz.skeletonize(voxels, out=tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="is no dataset of skeletons"):
        cz.skeletonize(array, TEASAR, out=tmp_path / "full", overwrite=True, **OPTIONS)
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
    assert OPTIONS["dust_threshold"] == DUST
