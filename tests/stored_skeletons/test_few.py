"""One label or a few of a stored array: the same as in memory, from the chunks that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sync_stores
import tiles_cases as cases
import zarr
from tiles_cases import OPTIONS, SIZE, SMALL, TEASAR

import crackle_zarr as cz


class Counting(sync_stores.LocalStore):
    """Remembers the chunks that are read."""

    read: set[str]

    def get_sync(self, key: str, *arguments: Any, **keywords: Any) -> Any:
        self.read.add(key)
        return super().get_sync(key, *arguments, **keywords)


@pytest.mark.parametrize("names", [("z", "y", "x"), ("x", "y", "z"), ("y", "z", "x")])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"fill_holes": True},
        {"fix_borders": False, "fix_branching": False},
        {"extra_targets_after": [(5, 6, 7), (40, 41, 20)], "dust_threshold": 0},
        {"fix_avocados": True},
    ],
)
def test_vertex_for_vertex(names: tuple[str, ...], given: dict[str, Any], tmp_path: Path) -> None:
    """Single labels have the skeletons that they have in the whole volume in memory."""
    voxels = cases.seg()
    whole = cz.skeletons.skeletonize(
        voxels.T, TEASAR, SIZE, **{**OPTIONS, **given, "object_ids": None if not given else [1, 6, 13]}
    )
    turned = np.ascontiguousarray(voxels.transpose(["zyx".index(name) for name in names]))
    size = [SIZE["xyz".index(name)] for name in names]
    array = cases.stored(tmp_path / "a.zarr", turned, dimension_names=names, attributes={"voxel_size": size})
    some = [label for label in (1, 6, 13) if label in whole]
    assert len(some) > 1
    assert cz.skeletonize(array, TEASAR, labels=[1, 6, 13], **{**OPTIONS, **given}) == {
        label: whole[label] for label in some
    }


def test_reads_the_chunks_that_hold_it(tmp_path: Path) -> None:
    """Beyond label tables, only chunks that hold a label are read."""
    voxels = np.zeros((32, 64, 64), np.uint32)
    rng = np.random.default_rng(0)
    voxels[...] = 1000 + rng.integers(0, 50, voxels.shape)  # streams that take more than a first request
    voxels[3:6, 3:9, 2:60] = 7
    cases.stored(tmp_path / "a.zarr", voxels, chunks=(16, 32, 32))
    store = Counting(tmp_path / "a.zarr", read_only=True)
    array = zarr.open_array(store, mode="r")
    store.read = set()
    found = cz.skeletonize(array, TEASAR, SIZE, labels=[7], verify=False, **OPTIONS)
    assert list(found) == [7]
    # Label tables are in the first bytes; what is read again holds the label.
    assert {key for key in store.read if key.startswith("c/")} >= {"c/0/0/0", "c/0/0/1"}
    assert found == cz.skeletons.skeletonize(voxels.T, TEASAR, SIZE, object_ids=[7], **OPTIONS)


def test_regions_views_and_absent_labels(tmp_path: Path) -> None:
    """Labels of a region and of a view; labels that are absent, and 0, have no skeleton."""
    voxels = cases.seg()
    array = cases.stored(tmp_path / "a.zarr", voxels)
    region = (slice(3, 37), slice(9, 60), slice(20, 64))
    part = np.ascontiguousarray(voxels[region])
    shift = np.array([20, 9, 3]) * np.array(SIZE)
    inside = cz.skeletons.skeletonize(part.T, TEASAR, SIZE, object_ids=[6, 13], **OPTIONS)
    found = cz.skeletonize(array, TEASAR, labels=[6, 13], region=region, **OPTIONS)
    assert set(found) == set(inside)
    for label, one in found.items():
        np.testing.assert_allclose(one.vertices, inside[label].vertices + shift, rtol=1e-6)
        assert np.array_equal(one.edges, inside[label].edges)
    view = cz.lazy_remap(array, {6: 13})
    merged = np.where(voxels == 6, 13, voxels).astype(np.uint32)
    assert cz.skeletonize(view, TEASAR, labels=[13], **OPTIONS) == {
        13: cz.skeletons.skeletonize(merged.T, TEASAR, SIZE, **OPTIONS)[13]
    }
    assert cz.skeletonize(array, TEASAR, labels=[0, 999, -1, 2**70], **OPTIONS) == {}
    assert cz.skeletonize(array, TEASAR, labels=[], **OPTIONS) == {}


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    """Labels that do not fit the memory are traced by tiles: those alone that hold them."""
    voxels = cases.seg()
    array = cases.stored(tmp_path / "a.zarr", voxels)
    by_tiles = cz.skeletonize(array, TEASAR, memory=SMALL, **OPTIONS)
    label = max(by_tiles, key=lambda one: np.count_nonzero(voxels == one))
    assert np.count_nonzero(voxels == label) * 48 > SMALL
    found = cz.skeletonize(array, TEASAR, memory=SMALL, labels=[label], out=tmp_path / "out", **OPTIONS)
    assert found.to_dict() == {label: by_tiles[label]}
    fits = min(by_tiles, key=lambda one: np.count_nonzero(voxels == one))
    few = cz.skeletonize(array, TEASAR, memory=SMALL, labels=[fits], out=tmp_path / "few", **OPTIONS)
    assert few.to_dict() == cz.skeletonize(array, TEASAR, labels=[fits], **OPTIONS)
    assert few.table.column("voxels").to_pylist()[0] <= np.count_nonzero(voxels == fits)
