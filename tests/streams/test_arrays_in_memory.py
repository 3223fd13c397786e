"""What may be asked of a stream may be asked of an array in memory; the answers are those of its voxels."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
import pytest
import volumes
import xarray

import crackle_zarr as cz

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?"]
SHAPES = [(9,), (7, 11), (5, 9, 70), (65, 3, 4), (1, 1, 1), (0, 3, 2), (4, 0), (3, 130, 2)]


def blobs(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Runs of random labels of a dtype."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        palette = np.array([False, True])
    else:
        info = np.iinfo(kind)
        palette = rng.integers(info.min, info.max, 9, dtype=kind, endpoint=True)
        palette[0] = 0
    chosen = rng.integers(0, len(palette), shape)
    keep = rng.random(shape) < 0.5
    flat, same = chosen.reshape(-1), keep.reshape(-1)
    for place in range(1, flat.size):
        if same[place]:
            flat[place] = flat[place - 1]
    return palette[chosen]


def orders(array: np.ndarray) -> dict[str, np.ndarray]:
    """The same labels in every arrangement in memory."""
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    return {
        "C": np.ascontiguousarray(array),
        "F": np.asfortranarray(array),
        "strided": strided,
        "reversed": array[::-1].copy()[::-1],
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "read-only": read_only(array),
    }


def read_only(array: np.ndarray) -> np.ndarray:
    """A copy that cannot be written."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def rows_by_voxels(array: np.ndarray) -> dict[int, tuple[Any, ...]]:
    """Count, box and centroid of each label, from masks."""
    found = {}
    for label in np.unique(array).tolist():
        places = np.argwhere(array == label)
        found[int(label)] = (
            len(places),
            places.min(axis=0).tolist(),
            (places.max(axis=0) + 1).tolist(),
            places.mean(axis=0),
        )
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_labels_and_statistics(shape: tuple[int, ...], dtype: str) -> None:
    """Labels, counts, boxes and centroids are those of the voxels, in every order, with the array's axes."""
    array = blobs(shape, dtype)
    expected = rows_by_voxels(array)
    for name, given in orders(array).items():
        labels = cz.labels(given)
        assert labels.dtype == given.dtype, name
        np.testing.assert_array_equal(labels, np.unique(array))
        assert cz.num_labels(given) == len(expected)
        rows = cz.statistics(given, parallel=2)
        assert rows["label"].tolist() == sorted(expected)
        assert rows["start"].shape == (len(expected), len(shape))
        for row in rows:
            count, start, stop, centroid = expected[int(row["label"])]
            assert (row["voxel_count"], row["start"].tolist(), row["stop"].tolist()) == (count, start, stop)
            np.testing.assert_allclose(row["centroid"], centroid, rtol=1e-12)
        assert cz.voxel_counts(given) == {label: row[0] for label, row in expected.items()}


@pytest.mark.parametrize("order", ["C", "F"])
def test_questions_of_one_label(order: str) -> None:
    """Smallest, largest, contained, a range, one box, one count and one centroid."""
    array = np.array(blobs((6, 7, 8), "i4"), order=order)
    some = int(np.unique(array)[3])
    assert cz.min(array) == array.min()
    assert cz.max(array) == array.max()
    assert cz.contains(array, some)
    assert not cz.contains(array, 2**40)
    inside = np.unique(array)
    np.testing.assert_array_equal(cz.contains_range(array, 0, 2**31), inside[inside >= 0])
    box = cz.bounding_boxes(array, some)
    assert (array[box] == some).sum() == (array == some).sum() == cz.voxel_counts(array, some)
    np.testing.assert_allclose(cz.centroids(array, some), np.argwhere(array == some).mean(axis=0))
    with pytest.raises(cz.MissingLabelError):
        cz.voxel_counts(array, 12345)


@pytest.mark.parametrize("order", ["C", "F"])
def test_questions_by_a_stream(order: str) -> None:
    """Contacts, components, masks, surfaces and overlaps are those of the array's stream."""
    array = np.array(blobs((12, 13, 14), "u2", seed=3), order=order)
    binary = cz.compress(array)
    some = int(cz.labels(array)[2])
    assert cz.contacts(array) == cz.contacts(binary)
    assert cz.edge_labels(array) == cz.edge_labels(binary)
    assert cz.overlaps(array, array) == cz.overlaps(binary, binary)
    made = cz.decompress(cz.connected_components(array))
    np.testing.assert_array_equal(made, cz.decompress(cz.connected_components(binary)))
    assert len(np.unique(made)) == len(np.unique(cc3d.connected_components(array)))
    np.testing.assert_array_equal(cz.point_cloud(array, some), cz.point_cloud(binary, some))
    for label, mask in cz.each(array, crop=False):
        np.testing.assert_array_equal(mask, array == label)
    mask, origin = cz.select(array, [some])[some]
    assert mask.sum() == (array == some).sum()
    assert len(origin) == 3


def test_other_libraries() -> None:
    """Arrays of xarray, dask and anything with __array__ are answered like NumPy's."""
    dask_array = pytest.importorskip("dask.array")
    array = blobs((5, 6, 7), "u4")

    class Wrapped:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return array

    for given in (xarray.DataArray(array), dask_array.from_array(array, chunks=3), Wrapped()):
        np.testing.assert_array_equal(cz.labels(given), np.unique(array))
        np.testing.assert_array_equal(cz.statistics(given), cz.statistics(array))


def test_bytes_stay_streams() -> None:
    """What begins like a stream is one, in every buffer; other arrays of bytes are volumes."""
    array = blobs((4, 5, 6), "u1")
    binary = cz.compress(array)
    for given in (binary, bytearray(binary), memoryview(binary), np.frombuffer(binary, np.uint8)):
        np.testing.assert_array_equal(cz.labels(given), np.unique(array))
    line = np.array([3, 3, 1], dtype=np.uint8)
    assert cz.labels(line).tolist() == [1, 3]
    for bad in (b"crkx" + binary[4:], memoryview(b"abc")):
        with pytest.raises(cz.FormatError):
            cz.labels(bad)
    with pytest.raises(cz.FormatError):
        cz.decompress(line)
    cut = np.frombuffer(binary, np.uint8)[:-3]
    with pytest.raises(cz.FormatError):
        cz.labels(cut)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (np.zeros((2, 2)), TypeError, "labels are integers or bool, not float64"),
        (np.zeros((2, 2, 2, 2), int), ValueError, "up to three axes"),
        (np.ma.masked_array([1, 2], [True, False]), TypeError, "masked"),
        (np.array(["a"]), TypeError, "not <U1"),
    ],
    ids=["floats", "four axes", "masked", "text"],
)
@pytest.mark.parametrize("ask", [cz.labels, cz.statistics, cz.contacts])
def test_wrong_arrays(ask: Any, given: Any, kind: type[Exception], message: str) -> None:
    """What is no volume of labels is refused with what it is."""
    with pytest.raises(kind, match=message):
        ask(given)


def test_options_of_stored_arrays_are_refused() -> None:
    """A region is for stored arrays: an array in memory is sliced."""
    with pytest.raises(TypeError, match="for stored arrays only"):
        cz.labels(np.zeros(3, int), region=np.s_[:2])
    with pytest.raises(TypeError, match="has no voxel size"):
        cz.statistics(np.zeros(3, int), units=True)


def test_no_voxels() -> None:
    """An array without voxels has no labels, and no smallest one."""
    assert cz.labels(np.empty((0, 2), int)).tolist() == []
    with pytest.raises(ValueError, match="no voxels"):
        cz.min(np.empty((0, 2), int))


def test_large_labels_and_many_of_them() -> None:
    """Labels above the number of voxels, and a label per voxel, are exact."""
    array = volumes.palette([0, 2**63, 2**64 - 1, 5], "u8")
    np.testing.assert_array_equal(cz.labels(array), np.unique(array))
    each_its_own = np.arange(60_000, dtype=np.uint32).reshape(30, 40, 50)[::-1]
    rows = cz.statistics(each_its_own)
    assert (rows["voxel_count"] == 1).all()
    assert len(rows) == 60_000
