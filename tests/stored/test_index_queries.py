"""Queries with an index answer as without it, and one that was left behind never gives a wrong answer."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from index_cases import Counted, cubes, requests_of, same_table, small_parts, stored  # noqa: F401
from stored_arrays import KINDS, box, make

import crackle_zarr as cz

pytestmark = [
    pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning"),
    pytest.mark.usefixtures("small_parts"),
]


def answers(source: Any, voxels: np.ndarray, **options: Any) -> dict[str, Any]:
    """The answers to all queries about a source, as values that compare."""
    labels = np.unique(voxels).tolist()
    absent = next(one for one in range(120) if one not in labels or one > 1)
    some = [one for one in labels[:: max(1, len(labels) // 4)] if cz.contains(source, one, **options)]
    found: dict[str, Any] = {
        "labels": cz.labels(source, **options).tolist(),
        "num_labels": cz.num_labels(source, **options),
        "range": cz.contains_range(source, 1, 9, **options).tolist(),
        "contains": [cz.contains(source, label, **options) for label in (*labels[:5], absent, -1, 2**64)],
        "statistics": cz.statistics(source, **options).tolist(),
        "counts": cz.voxel_counts(source, **options),
        "each": [(name, mask.tolist(), at) for name, mask, at in cz.each(source, **options)],
        "few": [(name, mask.tolist(), at) for name, mask, at in cz.each(source, labels=some, **options)],
        "select": {
            name: (crop.mask.tolist(), crop.offset)
            for name, crop in cz.select(source, some, **options).items()
        },
        "clouds": {name: cloud.tolist() for name, cloud in cz.point_cloud(source, some, **options).items()},
        "all clouds": {name: cloud.tolist() for name, cloud in cz.point_cloud(source, **options).items()},
    }
    for label in (*some[:3], absent):
        where = cz.find(source, label, **options)
        found[f"find {label}"] = where.chunks, where.slices, bool(where)
        if where:
            found[f"count {label}"] = cz.voxel_counts(source, label, **options)
            found[f"box {label}"] = cz.bounding_boxes(source, label, **options)
            found[f"centroid {label}"] = cz.centroids(source, label, **options).tolist()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_all_queries(kind: str, seed: int) -> None:
    """Every query of any array, view and region answers the same with an index and without."""
    rng = np.random.default_rng([seed, *map(ord, kind)])
    array, voxels = make(kind, rng)
    cz.create_index(array)
    source: Any = array
    if seed:
        labels = np.unique(voxels)
        mapping = {int(key): int(rng.choice(labels)) for key in rng.choice(labels, 3)}
        source = cz.lazy_remap(array, mapping)
        voxels = np.asarray(source)
    for region in (None, box(rng, voxels.shape)):
        expected = answers(source, voxels, region=region, index="ignore", parallel=1)
        assert answers(source, voxels, region=region, index="require", parallel=1) == expected


def test_a_view_that_keeps_no_others() -> None:
    """A view that raises for labels without a mapping does so with an index, too."""
    array = stored(cubes(1))
    cz.create_index(array)
    view = cz.lazy_remap(array, {1: 2}, preserve_missing_labels=False)
    for ask in (cz.labels, cz.statistics, lambda source: cz.find(source, 2)):
        with pytest.raises(KeyError, match="no mapping"):
            ask(view)


def test_which_index_is_used() -> None:
    """ "auto" uses an index that is there and current, "require" raises otherwise, "ignore" does not look."""
    array = stored(cubes(2))
    label = int(cz.labels(array)[3])
    assert not cz.find(array, label).indexed
    with pytest.raises(FileNotFoundError, match="create_index"):
        cz.find(array, label, index="require")
    with pytest.raises(ValueError, match="'auto', 'require' or 'ignore'"):
        cz.find(array, label, index="yes")
    cz.create_index(array)
    found = cz.find(array, label)
    assert found.indexed
    assert cz.find(array, label, region=slice(0, 9)).indexed
    assert not cz.find(array, label, index="ignore").indexed
    assert pickle.loads(pickle.dumps(found)).slices == cz.find(array, label, index="ignore").slices
    array.resize((20, 30, 39))
    assert not cz.find(array, label).indexed
    with pytest.raises(cz.StaleIndexError, match="overwrite=True"):
        cz.find(array, label, index="require")


def test_damaged_manifest() -> None:
    """With a damaged manifest "auto" asks the chunks, and "require" says what to do."""
    array = stored(cubes(3))
    cz.create_index(array)
    objects = array.store_path.store._store_dict
    key = "seg/.crackle-index/index.json"
    objects[key] = type(objects[key]).from_bytes(objects[key].to_bytes()[:-9])
    assert np.array_equal(cz.labels(array), cz.labels(array, index="ignore"))
    with pytest.raises(cz.StaleIndexError, match="damaged"):
        cz.labels(array, index="require")
    cz.create_index(array, overwrite=True)
    assert cz.find(array, 3).indexed


def test_requests_of_queries() -> None:
    """A query about one label takes at most 5 requests, and one per chunk that holds it."""
    array = stored(cubes(4, (32, 64, 64), 300), Counted(), chunks=(8, 8, 8))
    cz.create_index(array)
    label = int(cz.labels(array)[150])
    chunks = len(cz.find(array, label).chunks)
    from crackle_zarr.stored.index import lookup

    # The look for unfinished edits, one round of requests before each query, is not the index's.
    quiet: Any = {"unfinished": "ignore"}
    for ask, most in (
        (lambda: cz.find(array, label, **quiet).slices, 5),
        (lambda: cz.contains(array, label, **quiet), 3),
        (lambda: cz.voxel_counts(array, label, **quiet), 5),
        (lambda: cz.num_labels(array, **quiet), 1),
        (lambda: cz.crop(array, label, **quiet), 5 + 3 * chunks),
        (lambda: cz.point_cloud(array, label, **quiet), 5 + 3 * chunks),
        (lambda: list(cz.each(array, labels=[label], **quiet)), 5 + 3 * chunks),
    ):
        lookup._footers.clear()
        assert requests_of(ask) <= most


def test_requests_for_what_is_unfinished() -> None:
    """With a current index a query does not look for unfinished edits; without one it does."""
    array = stored(cubes(4, (32, 64, 64), 300), Counted(), chunks=(8, 8, 8))
    assert requests_of(lambda: cz.contains(array, 10**9)) >= 4 + 1 + array.nchunks
    cz.create_index(array)
    assert requests_of(lambda: cz.num_labels(array)) == 1
    assert requests_of(lambda: cz.num_labels(array, index="require", unfinished="refuse")) == 1
    label = int(cz.labels(array)[150])
    assert requests_of(lambda: cz.contains(array, label)) <= 3
    with_index = requests_of(lambda: cz.labels(array))
    assert requests_of(lambda: cz.labels(array, unfinished="ignore")) == with_index
    assert requests_of(lambda: cz.labels(array, index="ignore")) >= 4 + array.nchunks


@pytest.mark.parametrize("gone", [True, False])
def test_left_behind(gone: bool) -> None:
    """A plain write is noticed where a query reads the chunk, and gives an error, not a wrong answer."""
    voxels = cubes(5)
    array = stored(voxels)
    cz.create_index(array)
    label = int(voxels[0, 0, 0])
    if gone:
        array[:8, :8, :16] = 123456
    else:
        array[0, 0, 0] = 123456
    for ask in (
        lambda: cz.crop(array, label),
        lambda: cz.select(array, [label]),
        lambda: list(cz.each(array, labels=[label])),
        lambda: list(cz.each(array)),
    ):
        with pytest.raises(cz.StaleIndexError, match=r"update_index.*index='ignore'"):
            ask()
    if gone:
        with pytest.raises(cz.StaleIndexError):
            cz.find(array, label, region=(slice(1, 20), slice(1, 20)))
    cz.update_index(array)
    expected = cz.crop(array, label, index="ignore")
    assert np.array_equal(cz.crop(array, label, index="require").mask, expected.mask)
    assert same_table(cz.statistics(array), cz.statistics(array, index="ignore"))


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow chunks are asked, and one warning names the command that installs it."""
    from crackle_zarr.stored.index import parquet

    array = stored(cubes(6))
    cz.create_index(array)

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(parquet.importlib, "import_module", missing)
    with pytest.warns(cz.CrackleWarning, match=r"pip install 'crackle-zarr\[index\]'"):
        found = cz.labels(array)
    assert np.array_equal(found, cz.labels(array, index="ignore"))
    for function in (cz.create_index, cz.open_index, cz.update_index, cz.check_index):
        with pytest.raises(ImportError, match=r"pip install 'crackle-zarr\[index\]'"):
            function(array)
    with pytest.raises(ImportError, match="pyarrow"):
        cz.labels(array, index="require")
