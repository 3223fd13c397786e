"""Datasets of skeletons: a lazy mapping, tables, SWC, Neuroglancer's formats, the viewer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiles_cases as cases
from tiles_cases import OPTIONS, SMALL, TEASAR

import crackle_zarr as cz
from crackle_zarr.errors import FormatError
from crackle_zarr.precomputed.sharding import parse, unpacked


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("dataset")
    array = cases.stored(folder / "a.zarr", cases.seg())
    return cz.skeletonize(array, TEASAR, out=folder / "out", memory=SMALL, **OPTIONS)


def test_a_lazy_mapping(dataset: Any) -> None:
    """A dataset opens again, and is a mapping of labels to skeletons."""
    again = cz.open_skeletons(dataset.path)
    everything = dataset.to_dict()
    assert dict(again) == everything
    assert list(again) == again.labels.tolist() == sorted(everything)
    assert list(again.skeletons()) == [everything[label] for label in sorted(everything)]
    assert len(again) == len(everything)
    assert next(iter(everything)) in again
    assert "x" not in again
    assert 10**30 not in again
    assert again.unit == "nanometer"
    assert again.voxel_size == (16, 16, 40)


def test_table_of_labels(dataset: Any) -> None:
    """The table has cable length, ends, branches, trees and box of each skeleton."""
    rows = {row["label"]: row for row in dataset.table.to_pylist()}
    assert set(rows) == set(dataset)
    for label, one in dataset.items():
        row = rows[label]
        assert row["cable_length"] == pytest.approx(one.cable_length())
        assert row["vertices"] == len(one.vertices)
        assert row["edges"] == len(one.edges)
        assert row["ends"] == len(one.terminals())
        assert row["branches"] == len(one.branches())
        assert row["trees"] == len(one.components())
        assert [row[f"min_{axis}"] for axis in "xyz"] == one.vertices.min(axis=0).tolist()
        assert [row[f"max_{axis}"] for axis in "xyz"] == one.vertices.max(axis=0).tolist()


def test_other_programs_read_the_tables(dataset: Any) -> None:
    """DuckDB reads the Parquet files of all parts."""
    duckdb = pytest.importorskip("duckdb")
    query = f"select label, count(*) from '{dataset.path}/vertices/*.parquet' group by label"
    assert dict(duckdb.sql(query).fetchall()) == {label: len(one.vertices) for label, one in dataset.items()}


def test_swc_and_precomputed(dataset: Any, tmp_path: Path) -> None:
    """SWC files, and a folder for Neuroglancer, have all skeletons."""
    assert dataset.to_swc(tmp_path / "swc") == len(dataset)
    for label, one in dataset.items():
        read = cz.Skeleton.load(tmp_path / "swc" / f"{label}.swc")
        assert read.cable_length() == pytest.approx(one.cable_length(), rel=1e-5)
    assert dataset.to_precomputed(tmp_path / "folder") == len(dataset)
    for one in cz.skeletons.read_folder(tmp_path / "folder"):
        assert np.array_equal(one.vertices, dataset[one.id].vertices)


def test_sharded_precomputed(dataset: Any, tmp_path: Path) -> None:
    """Shards have every skeleton where the format's rules say, and nothing else is left in the folder."""
    assert dataset.to_precomputed(tmp_path, sharded=True) == len(dataset)
    info = json.loads((tmp_path / "info").read_text())
    sharding = parse(info["sharding"])
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".shard"}
    for label, one in dataset.items():
        assert np.array_equal(in_shard(tmp_path, sharding, label).vertices, one.vertices)


def in_shard(folder: Path, sharding: Any, label: int) -> Any:
    name, minishard = sharding.place(label)
    raw = (folder / name).read_bytes()
    start, stop = sharding.minishard_span(raw[16 * minishard : 16 * minishard + 16])
    begin, end = sharding.spans(raw[start:stop])[label]
    return cz.Skeleton.from_precomputed(unpacked(raw[begin:end], sharding.data_encoding, "it"), label)


def test_many_shards(tmp_path: Path) -> None:
    """Thousands of skeletons are spread over shards and minishards, and tensorstore finds each."""
    tensorstore = pytest.importorskip("tensorstore")
    from crackle_zarr.stored_skeletons.precomputed import sharding_for, write_sharded

    def skeletons() -> Any:
        for label in range(1, 12_001):
            ends = [[label % 100, 0, 0], [0, label % 7, 1]]
            yield cz.Skeleton(ends, [[0, 1]], segid=label, space="physical")

    assert sharding_for(12_000).shard_bits > 0
    assert write_sharded(tmp_path, skeletons(), 12_000) == 12_000
    sharding = json.loads((tmp_path / "info").read_text())["sharding"]
    store = tensorstore.KvStore.open(
        {"driver": "neuroglancer_uint64_sharded", "metadata": sharding, "base": f"file://{tmp_path}/"}
    ).result()
    for label in (1, 77, 11_999, 12_000):
        found = store.read(label.to_bytes(8, "big")).result()
        one = cz.Skeleton.from_precomputed(found.value, label)
        assert one.vertices.tolist() == [[label % 100, 0, 0], [0, label % 7, 1]]
    assert store.read((30_000).to_bytes(8, "big")).result().state == "missing"


def test_the_viewer_shows_it(dataset: Any) -> None:
    """The viewer takes a dataset, and moves skeletons from the array's place to the page's."""
    from crackle_zarr.view.skeletons import opened

    get = opened(dataset.path, np.array([8.0, 8.0, 20.0]), 1.0)
    assert callable(get)
    label = dataset.labels.tolist()[0]
    radius = [{"id": "radius", "data_type": "float32", "num_components": 1}]
    shown = cz.Skeleton.from_precomputed(get(label), label, radius)
    np.testing.assert_allclose(shown.vertices, dataset[label].vertices + np.array([8, 8, 20]))
    assert get(10**9) is None


def test_what_is_no_dataset(tmp_path: Path) -> None:
    """A folder without a plan, and one with a damaged plan, are refused with a reason."""
    with pytest.raises(FileNotFoundError, match=r"skeletons\.json"):
        cz.open_skeletons(tmp_path)
    later = '{"format": "crackle_zarr.skeletons", "version": 9}'
    for text, message in (("{", "no JSON"), ("[]", "not the plan"), (later, "version 9")):
        (tmp_path / "skeletons.json").write_text(text)
        with pytest.raises(FormatError, match=message):
            cz.open_skeletons(tmp_path)
