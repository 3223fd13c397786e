"""Cross-sectional areas of skeletons of stored arrays are those of the volume in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiles_cases as cases
from tiles_cases import OPTIONS, SIZE, SMALL, TEASAR

import crackle_zarr as cz


@pytest.mark.parametrize("given", [{}, {"smoothing_window": 5}, {"step": 3}, {"fill_holes": True}])
def test_areas_and_contacts(given: dict[str, Any], tmp_path: Path) -> None:
    """Areas and contacts, box by box, are those of the whole volume, whatever the array's origin is."""
    voxels = cases.seg()
    origin = {"voxel_size": list(SIZE[::-1]), "voxel_origin": [400.0, -32.0, 160.0]}
    array = cases.stored(tmp_path / "a.zarr", voxels, attributes=origin)
    whole = cases.in_memory(voxels)
    found = {label: one.clone() for label, one in whole.items()}
    for one in found.values():
        one.vertices = one.vertices + np.array([160.0, -32.0, 400.0], np.float32)
    cz.skeletons.cross_sectional_area(voxels.T, whole, SIZE, **given)
    assert cz.cross_sectional_area(array, found, memory=SMALL, **given) is found
    for label, one in found.items():
        expected = whole[label]
        np.testing.assert_allclose(
            one.cross_sectional_area, expected.cross_sectional_area, rtol=1e-4, atol=1e-2
        )
        assert np.array_equal(one.cross_sectional_area_contacts, expected.cross_sectional_area_contacts)


def test_a_section_far_larger_than_the_radius(tmp_path: Path) -> None:
    """A section through a plate is found whole, though its box grows from a small one."""
    voxels = np.zeros((16, 128, 128), np.uint32)
    voxels[5:8, 4:124, 4:124] = 1
    array = cases.stored(tmp_path / "a.zarr", voxels, chunks=(16, 16, 16), attributes={})
    line = cz.Skeleton(
        [[64, y, 6] for y in range(8, 120)],
        [[n, n + 1] for n in range(111)],
        radii=np.full(112, 2.0),
        segid=1,
        space="physical",
    )
    expected = cz.skeletons.cross_sectional_area(voxels.T, line.clone())
    cz.cross_sectional_area(array, line, memory=SMALL)
    assert np.array_equal(line.cross_sectional_area, expected.cross_sectional_area)
    assert float(line.cross_sectional_area[50]) == 3 * 120
    assert not line.cross_sectional_area_contacts.any()


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    """A label that the array does not have gets -1; a dataset on disk is refused."""
    array = cases.stored(tmp_path / "a.zarr", cases.seg())
    one = cz.Skeleton([[0, 0, 0], [1, 0, 0]], [[0, 1]], segid=12345)
    assert cz.cross_sectional_area(array, one).cross_sectional_area.tolist() == [-1, -1]
    found = cz.skeletonize(array, TEASAR, out=tmp_path / "out", memory=SMALL, **OPTIONS)
    with pytest.raises(TypeError, match="take dataset"):
        cz.cross_sectional_area(array, found)
    label = next(iter(found))
    assert (cz.cross_sectional_area(array, found[label]).cross_sectional_area > 0).any()
