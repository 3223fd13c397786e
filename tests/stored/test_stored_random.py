"""Queries and edits on random stored arrays of every kind, compared with NumPy."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import zarr
from stored_arrays import KINDS, box, contents, grid_indices, make

import crackle_zarr as cz
import crackle_zarr._binding

pytestmark = pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")

SEEDS = range(6)


@pytest.fixture(params=[(kind, seed) for kind in KINDS for seed in SEEDS], ids=lambda p: f"{p[0]}-{p[1]}")
def case(request: pytest.FixtureRequest) -> Any:
    kind, seed = request.param
    rng = np.random.default_rng([seed, *map(ord, kind)])
    array, voxels = make(kind, rng)
    assert np.array_equal(array[...], voxels)
    return kind, rng, array, voxels


def some_mapping(rng: np.random.Generator, voxels: np.ndarray) -> dict[int, int]:
    """A mapping of some labels: swaps, merges, and new labels."""
    labels = np.unique(voxels)
    keys = rng.choice(labels, int(rng.integers(1, 4)))
    return {int(key): int(rng.choice(labels)) for key in keys}


def mapped(voxels: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    result = voxels.copy()
    for old, new in mapping.items():
        result[voxels == old] = new
    return result


def surface(mask: np.ndarray) -> np.ndarray:
    """Voxels with a neighbour outside of the mask along the last three axes."""
    padded = np.pad(mask, 1)
    found = np.zeros_like(padded)
    for axis in range(max(0, mask.ndim - 3), mask.ndim):
        for step in (1, -1):
            found |= padded & ~np.roll(padded, step, axis)
    return np.argwhere(found[(slice(1, -1),) * mask.ndim])


def placed(shape: tuple[int, ...], mask: np.ndarray, offset: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, dtype=bool)
    whole[tuple(slice(at, at + n) for at, n in zip(offset, mask.shape, strict=True))] = mask
    return whole


def test_questions(case: Any) -> None:
    """Every query is right, for an array or a remapped view of it, for all of it or a region."""
    _, rng, array, voxels = case
    source: Any = array
    if rng.random() < 0.3:
        mapping = some_mapping(rng, voxels)
        source, voxels = cz.lazy_remap(array, mapping), mapped(voxels, mapping)
        assert np.array_equal(np.asarray(source), voxels)
        index = tuple(
            slice(int(rng.integers(0, n)), None, int(rng.choice([1, 2, -1])))
            if rng.random() < 0.7
            else int(rng.integers(0, n))
            for n in voxels.shape
        )
        assert np.array_equal(source[index], voxels[index])
    region = box(rng, voxels.shape) if rng.random() < 0.5 else None
    options: dict[str, Any] = {
        "region": region,
        "verify": bool(rng.random() < 0.7),
        "parallel": int(rng.choice([1, 3])),
    }
    within = np.zeros(voxels.shape, dtype=bool)
    within[... if region is None else region] = True
    labels = np.unique(voxels[within])

    found = cz.labels(source, **options)
    assert found.dtype == array.dtype
    assert np.array_equal(found, labels)
    table = cz.statistics(source, **options)
    assert np.array_equal(table["label"], labels)
    for row in table:
        at = np.argwhere(within & (voxels == row["label"]))
        assert row["voxel_count"] == len(at)
        assert np.array_equal(row["start"], at.min(axis=0))
        assert np.array_equal(row["stop"], at.max(axis=0) + 1)
        assert np.allclose(row["centroid"], at.mean(axis=0), rtol=1e-13)
    for label in {*labels[:3].tolist(), 3}:
        mask = within & (voxels == label)
        at = np.argwhere(mask)
        where = cz.find(source, int(label), **options)
        assert bool(where) == cz.contains(source, int(label), **options) == bool(len(at))
        chunks = {tuple(map(int, chunk)) for chunk in grid_indices(array, at)}
        assert where.chunks == sorted(chunks)
        if not len(at):
            assert where.slices is None
            continue
        box_ = tuple(slice(int(a), int(b) + 1) for a, b in zip(at.min(axis=0), at.max(axis=0), strict=True))
        assert pickle.loads(pickle.dumps(where)).slices == where.slices == box_
        cropped = cz.crop(source, int(label), **options)
        assert cropped.mask.shape == tuple(part.stop - part.start for part in box_)
        assert np.array_equal(placed(voxels.shape, *cropped), mask)
        assert np.array_equal(
            cz.point_cloud(source, int(label), **options),
            surface_within(voxels == label, region),
        )


def surface_within(mask: np.ndarray, region: tuple[slice, ...] | None) -> np.ndarray:
    if region is None:
        return surface(mask)
    return surface(mask[region]) + [part.start for part in region]


def test_each(case: Any) -> None:
    """each() gives every object once, by the first chunk that holds it, then by label."""
    _, _, array, voxels = case
    order = []
    for label, mask, offset in cz.each(array):
        whole = voxels == label
        assert np.array_equal(placed(voxels.shape, mask, offset), whole)
        assert all(
            mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis))[[0, -1]].all()
            for axis in range(mask.ndim)
        )
        order.append((min(map(tuple, grid_indices(array, np.argwhere(whole)).tolist())), label))
    assert order == sorted(order)
    assert sorted(label for _, label in order) == np.unique(voxels).tolist()


def test_remap(case: Any) -> None:
    """A remap writes the right voxels, reports and touches the right chunks; a dry run touches none."""
    kind, rng, array, voxels = case
    mapping = some_mapping(rng, voxels)
    preserve = bool(rng.random() < 0.7)
    if not preserve:
        mapping = {int(label): mapping.get(int(label), int(label)) for label in np.unique(voxels)}
    expected = mapped(voxels, mapping)
    before = contents(array)
    planned = cz.remap(array, mapping, preserve, dry_run=True, create_chunks=True)
    assert contents(array) == before
    report = cz.remap(array, mapping, preserve, create_chunks=True)
    after = contents(array)
    assert np.array_equal(array[...], expected)
    chunks = {tuple(map(int, at)) for at in grid_indices(array, np.argwhere(expected != voxels))}
    assert report.chunks == planned.chunks == sorted(chunks)
    assert report.bytes_written == planned.bytes_written
    assert not any(".crackle" in key for key in after)
    if "shards" not in kind:
        names = {array.metadata.encode_chunk_key(chunk) for chunk in chunks}
        untouched = (set(before) | set(after)) - names
        assert all(before.get(key) == after.get(key) for key in untouched)
    assert cz.verify(array) == []


@pytest.mark.parametrize("kind", ["plain", "shards", "transposed", "zstd and crc32c behind", "zstd"])
def test_padding_stays_fill_value(kind: str) -> None:
    """If the fill value is renamed, the padding keeps it, so that the array can grow."""
    keywords = {"shape": (5, 6, 7), "dtype": np.dtype("u2"), "chunks": (2, 4, 4), "fill_value": 7}
    array = KINDS[kind](np.random.default_rng(0), keywords)
    array[...] = voxels = np.arange(210, dtype="u2").reshape(5, 6, 7) % 9
    cz.remap(array, {7: 3, 1: 7})
    expected = mapped(np.where(voxels == 1, 100, voxels), {7: 3, 100: 7})
    assert np.array_equal(array[...], expected)
    array.resize((8, 8, 8))
    grown = np.full((8, 8, 8), 7, dtype="u2")
    grown[:5, :6, :7] = expected
    assert np.array_equal(array[...], grown)


def test_missing_chunks_are_not_made_unasked() -> None:
    """Renaming the fill value would write every missing chunk, so it needs the caller's consent."""
    array = cz.create_array({}, shape=(8, 8, 8), dtype="u2", chunks=(4, 4, 4), fill_value=7)
    array[:4, :4, :4] = 1
    before = contents(array)
    with pytest.raises(ValueError, match=r"fill value 7, .* 7 of 8 chunks .* create_chunks=True"):
        cz.remap(array, {7: 2})
    assert contents(array) == before
    assert cz.remap(array, {1: 2}).chunks == [(0, 0, 0)]
    assert len(cz.remap(array, {7: 3}, create_chunks=True).chunks) == 7
    assert np.unique(array[...]).tolist() == [2, 3]


@pytest.mark.parametrize("write_empty", [False, True])
def test_chunks_that_become_fill_value(write_empty: bool) -> None:
    """Chunks that become fill value are deleted, unless the array stores such chunks."""
    array = cz.create_array(
        {}, shape=(8, 4), dtype="u1", chunks=(4, 4), config={"write_empty_chunks": write_empty}
    )
    array[...] = np.repeat([3, 5], 4)[:, np.newaxis]
    report = cz.remap(array, {3: 0})
    assert report.chunks == [(0, 0)]
    assert ("c/0/0" in contents(array)) == write_empty
    assert array[:, 0].tolist() == [0] * 4 + [5] * 4


def test_padding_has_no_labels() -> None:
    """Labels beyond the edge of a shrunken array do not count."""
    array = cz.create_array({}, shape=(6, 6), dtype="u4", chunks=(4, 4))
    array[...] = np.arange(36).reshape(6, 6)
    array.resize((5, 5))
    inside = np.unique(array[...])
    assert np.array_equal(cz.labels(array), inside)
    assert not cz.contains(array, 35)
    assert cz.remap(array, {35: 1}).chunks == []
    report = cz.remap(array, {int(label): int(label) + 1 for label in inside}, preserve_missing_labels=False)
    assert len(report.chunks) == 4
    assert np.array_equal(np.unique(array[...]), inside + 1)


@pytest.mark.parametrize(
    ("mapping", "preserve", "error"),
    [
        ({1: 2}, False, KeyError),
        ({1: 256}, True, ValueError),
        ({1: -1}, True, ValueError),
        ({1: 2.5}, True, TypeError),
        ({"a": 1}, True, TypeError),
        ([1, 2], True, TypeError),
    ],
    ids=str,
)
def test_a_wrong_mapping_changes_nothing(mapping: Any, preserve: bool, error: type[Exception]) -> None:
    """A wrong mapping raises, and the array stays as it was."""
    array = cz.create_array({}, shape=(8, 8), dtype="u1", chunks=(4, 4))
    array[...] = np.arange(64).reshape(8, 8) // 5
    before = contents(array)
    with pytest.raises(error):
        cz.remap(array, mapping, preserve)
    assert contents(array) == before
    if error is not KeyError:
        with pytest.raises(error):
            cz.lazy_remap(array, mapping)


def test_tables_are_condensed() -> None:
    """After a merge the table has the label once, and ascends."""
    array = cz.create_array({}, shape=(4, 8, 8), dtype="u4", chunks=(4, 8, 8))
    array[...] = np.arange(256).reshape(4, 8, 8) // 9
    cz.remap(array, {3: 20, 4: 20, 5: 1})
    stream = contents(array)["c/0/0/0"]
    assert cz.header(stream).is_sorted
    assert np.array_equal(cz._binding.Reader(stream).table(), np.unique(array[...]))


def test_wide_labels() -> None:
    """Labels past 2^53 and 2^63 stay exact: nothing goes through floats."""
    labels = np.array([0, 2**53 + 1, 2**63 + 1, 2**64 - 1], dtype=np.uint64)
    array = cz.create_array({}, shape=(4, 6, 6), dtype="u8", chunks=(2, 4, 4))
    array[...] = labels[np.arange(144).reshape(4, 6, 6) // 40]
    assert np.array_equal(cz.labels(array), labels)
    table = cz.statistics(array)
    assert np.array_equal(table["label"], labels)
    assert cz.voxel_counts(array)[2**64 - 1] == int((array[...] == labels[3]).sum())
    assert cz.max(array) == 2**64 - 1
    assert cz.contains_range(array, 2**63, 2**64).tolist() == [2**63 + 1, 2**64 - 1]
    cz.remap(array, {2**64 - 1: 2**64 - 2})
    assert cz.max(array) == 2**64 - 2


@pytest.mark.parametrize("to", ["crackle", "zstd", "blosc", "gzip", "none"])
@pytest.mark.parametrize("zarr_format", [None, 2, 3])
@pytest.mark.parametrize("kind", ["plain", "shards", "format 2, big-endian", "zstd in shards"])
def test_convert(kind: str, zarr_format: Any, to: Any) -> None:
    """A conversion keeps voxels, dtype, attributes and fill value, in every codec and format."""
    array, voxels = make(kind, np.random.default_rng(5))
    array.attrs["image-label"] = {"version": "0.5"}
    store = zarr.storage.MemoryStore()
    report = cz.convert(array, store, to=to, zarr_format=zarr_format)
    made = zarr.open_array(store, mode="r")
    assert np.array_equal(made[...], voxels)
    assert made.dtype == (array.dtype if made.metadata.zarr_format == 2 else array.dtype.newbyteorder("="))
    assert made.attrs.asdict() == array.attrs.asdict()
    assert made.fill_value == array.fill_value
    assert made.metadata.zarr_format == (zarr_format or array.metadata.zarr_format)
    assert report.arrays == 1
    assert not any(".crackle" in key for key in contents(made))


def test_no_axes_and_no_voxels() -> None:
    """Arrays without axes have one voxel; arrays with an axis of length 0 have none."""
    point = cz.create_array({}, shape=(), dtype="u4")
    point[...] = 5
    assert cz.labels(point).tolist() == [5]
    assert cz.statistics(point)["voxel_count"].tolist() == [1]
    assert cz.find(point, 5).slices == ()
    assert cz.crop(point, 5).mask.shape == ()
    assert cz.remap(point, {5: 6}).chunks == [()]
    assert point[...] == 6

    nothing = cz.create_array({}, shape=(0, 5), dtype="u4")
    assert cz.labels(nothing).size == len(cz.statistics(nothing)) == 0
    assert not cz.find(nothing, 0)
    assert list(cz.each(nothing)) == []
    assert cz.remap(nothing, {0: 1}).chunks == []
    for extreme in (cz.min, cz.max):
        with pytest.raises(ValueError, match="no voxels"):
            extreme(nothing)


@pytest.mark.parametrize(
    ("region", "error"),
    [
        (np.s_[:99], ValueError),
        (np.s_[5:3], ValueError),
        (np.s_[::2], ValueError),
        (np.s_[:, :, :, :], ValueError),
        (np.s_[..., 0, ...], ValueError),
        (np.s_[8], ValueError),
        (np.s_[-9:], ValueError),
        ("0:3", TypeError),
        ([1.5], TypeError),
        (np.array([1, 2]), TypeError),
    ],
    ids=str,
)
def test_wrong_regions(region: Any, error: type[Exception]) -> None:
    """A wrong region raises an error that names it."""
    array = cz.create_array({}, shape=(8, 8, 8), dtype="u4", chunks=(4, 4, 4))
    with pytest.raises(error, match="region"):
        cz.labels(array, region=region)


def test_wrong_sources_labels_and_options() -> None:
    """Sources, labels and options of a wrong type raise."""
    with pytest.raises(TypeError, match="integers or bool"):
        cz.labels(zarr.create_array({}, shape=(4,), dtype="f4"))
    stream = cz.compress(np.zeros((2, 2, 2), "u1"))
    with pytest.raises(TypeError, match="region: for stored arrays"):
        cz.labels(stream, region=1)
    with pytest.raises(TypeError, match=r"zarr\.Array"):
        cz.find(stream, 0)
    array = cz.create_array({}, shape=(8, 8), dtype="u4", chunks=(4, 4))
    for label in (1.0, "1", None):
        with pytest.raises(TypeError):
            cz.contains(array, label)
    for label in (-1, 2**32):
        assert not cz.contains(array, label)
        with pytest.raises(KeyError):
            cz.crop(array, label)
    for option in ({"multi": True}, {"crop": False}):
        with pytest.raises(TypeError, match="for streams"):
            cz.each(array, **option)
    with pytest.raises(TypeError, match="for streams"):
        cz.point_cloud(array, 0, z_start=1)


def test_a_warning_once_for_an_array(tmp_path: Any) -> None:
    """An array without Crackle answers, with one warning that names the cheaper way."""
    array = zarr.create_array(tmp_path / "plain.zarr", shape=(4, 4), dtype="u1")
    with pytest.warns(cz.CrackleWarning, match=r"crackle_zarr\.convert") as caught:
        cz.labels(array)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cz.labels(array)


def test_tables_in_files(tmp_path: Any) -> None:
    """CSV and Parquet keep all digits of labels, and have a column per axis."""
    import pyarrow.parquet

    array = cz.create_array({}, shape=(4, 6), dtype="u8", chunks=(2, 4))
    largest, inexact = np.array([2**64 - 1, 2**53 + 1], dtype="u8")
    array[...] = np.where(np.arange(24).reshape(4, 6) % 5 == 0, largest, inexact)
    table = cz.statistics(array)
    table.to_csv(tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "label,voxel_count,start_0,start_1,stop_0,stop_1,centroid_0,centroid_1"
    assert [line.split(",")[0] for line in lines[1:]] == [str(2**53 + 1), str(2**64 - 1)]
    table.to_parquet(tmp_path / "t.parquet")
    read = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert read["label"] == table["label"].tolist()
    assert read["centroid_1"] == table["centroid"][:, 1].tolist()


def test_sums_beyond_64_bits() -> None:
    """Far from the origin, where sums of indices take more than 64 bits, centroids and boxes are exact."""
    far = 2**61
    array = cz.create_array({}, shape=(far, 8), dtype="uint16", chunks=(8, 8))
    array[far - 16 :] = np.arange(128, dtype=np.uint16).reshape(16, 8) // 60
    table = cz.statistics(array, region=(slice(far - 16, far), slice(None)))
    rows = {int(row["label"]): row for row in table}
    assert [int(rows[name]["voxel_count"]) for name in (0, 1, 2)] == [60, 60, 8]
    assert rows[2]["start"].tolist() == [far - 1, 0]
    assert rows[2]["stop"].tolist() == [far, 8]
    assert rows[2]["centroid"].tolist() == [float(far - 1), 3.5]
    assert rows[1]["start"].tolist() == [far - 9, 0]
