"""LabelMapping takes pairs in every form, finds labels among any number of them, and pickles small."""

from __future__ import annotations

import itertools
import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import crackle_zarr as cz
from crackle_zarr._base import row_groups
from crackle_zarr._base.tables import RowGroups
from crackle_zarr.verbs import agglomeration

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

OLD = np.array([9, 2, 2**63 + 5, 7], dtype=np.uint64)
NEW = np.array([1, 2**64 - 1, 3, 7], dtype=np.uint64)
TABLE = np.array([2, 3, 7, 9, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
RENAMED = np.array([2**64 - 1, 3, 7, 1, 3, 2**64 - 1], dtype=np.uint64)


def structured(names: tuple[str, str]) -> np.ndarray:
    """The pairs as a structured array."""
    array = np.empty(len(OLD), dtype=[(name, "u8") for name in names])
    array[names[0]], array[names[1]] = OLD, NEW
    return array


def duck() -> Any:
    """The pairs as a relation of DuckDB."""
    duckdb = pytest.importorskip("duckdb")
    table = pa.table({"old": OLD, "new": NEW})
    return duckdb.from_arrow(table)


FORMS = {
    "dict": lambda: dict(zip(OLD.tolist(), NEW.tolist(), strict=True)),
    "series": lambda: pd.Series(NEW, index=OLD),
    "two arrays": lambda: (OLD, NEW),
    "two lists": lambda: (OLD.tolist(), NEW.tolist()),
    "big-endian": lambda: (OLD.astype(">u8"), NEW.astype(">u8")),
    "columns": lambda: np.stack([OLD, NEW], 1),
    "structured": lambda: structured(("old", "new")),
    "other names": lambda: structured(("supervoxel", "object")),
    "pyarrow": lambda: pa.table({"score": [1.0] * 4, "new": NEW, "old": OLD}),
    "chunked": lambda: pa.concat_tables([pa.table({"old": part, "new": new}) for part, new in halves()]),
    "pandas": lambda: pd.DataFrame({"new": NEW, "old": OLD}),
    "polars": lambda: pl.DataFrame({"new": NEW, "old": OLD}),
    "polars, lazy": lambda: pl.DataFrame({"old": OLD, "new": NEW}).lazy(),
    "duckdb": duck,
    "itself": lambda: cz.LabelMapping((OLD, NEW)),
}


def halves() -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs in two parts."""
    return [(OLD[:1], NEW[:1]), (OLD[1:], NEW[1:])]


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    """Every form of the same pairs maps a label table in the same way."""
    mapping = cz.LabelMapping(FORMS[form]())
    assert len(mapping) == 4
    np.testing.assert_array_equal(mapping.renamed(TABLE), RENAMED)


def write_file(path: Path) -> Path:
    """Write the pairs, and return the path."""
    table = pa.table({"old": OLD, "new": NEW})
    match path.suffix:
        case ".npy":
            np.save(path, np.stack([OLD, NEW], 1))
        case ".npz":
            np.savez(path, new=NEW, old=OLD)
        case ".parquet":
            parquet.write_table(table, path, row_group_size=2)
        case ".arrow" | ".feather":
            feather.write_feather(table, path)
        case ".csv":
            pairs = [f"{old},{new}" for old, new in zip(OLD.tolist(), NEW.tolist(), strict=True)]
            path.write_text("\n".join(["old,new", *pairs]), encoding="utf-8")
        case ".json":
            pairs = {str(old): new for old, new in zip(OLD.tolist(), NEW.tolist(), strict=True)}
            path.write_text(json.dumps(pairs), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".arrow", ".feather", ".csv", ".json"])
@pytest.mark.parametrize("kind", [str, Path])
def test_files(tmp_path: Path, suffix: str, kind: type) -> None:
    """Files of every kind, which other libraries wrote, are read to the last bit of 64."""
    mapping = cz.LabelMapping(kind(write_file(tmp_path / f"pairs{suffix}")))
    np.testing.assert_array_equal(mapping.renamed(TABLE), RENAMED)


def test_memory_mapped(tmp_path: Path) -> None:
    """A .npy whose pairs ascend stays in the file, and pickles as a place in it."""
    keys = np.arange(0, 300_000, 3, dtype=np.uint64)
    np.save(tmp_path / "pairs.npy", np.stack([keys, keys + 1], 1))
    mapping = cz.LabelMapping(tmp_path / "pairs.npy")
    assert isinstance(mapping.keys, np.memmap)
    assert isinstance(mapping.values, np.memmap)
    assert len(pickle.dumps(mapping)) < 2000
    table = np.array([0, 1, 3, 299_997, 2**64 - 1], dtype=np.uint64)
    for one in (mapping, pickle.loads(pickle.dumps(mapping))):
        np.testing.assert_array_equal(one.renamed(table), [1, 1, 4, 299_998, 2**64 - 1])


def test_a_mapped_file_that_changes_is_refused(tmp_path: Path) -> None:
    """A worker that finds another file than was opened says so instead of using it."""
    path = tmp_path / "pairs.npy"
    np.save(path, np.array([[1, 2], [3, 4]]))
    pickled = pickle.dumps(cz.LabelMapping(path))
    np.save(path, np.array([[1, 2], [3, 4], [5, 6]]))
    with pytest.raises(ValueError, match=r"pairs\.npy has changed since it was opened"):
        pickle.loads(pickled)


@pytest.mark.parametrize("keys", ["i1", "u2", "i8", "u8", "mixed"])
@pytest.mark.parametrize("table", ["u1", "i2", "i8", "u8"])
def test_dtypes(keys: str, table: str) -> None:
    """Labels equal keys of other dtypes exactly, and none that its own dtype cannot hold."""
    rng = np.random.default_rng(0)
    if keys == "mixed":
        old = np.array([-3, 5, 2**63 + 1, 120], dtype=object)
    else:
        info = np.iinfo(keys)
        old = np.unique(rng.integers(info.min, info.max, 60, dtype=keys, endpoint=True))
    info = np.iinfo(table)
    labels = rng.integers(info.min, info.max, 200, dtype=table, endpoint=True)
    labels[:3] = 120, 5, info.max
    expected = [label if label not in set(old.tolist()) else label // 2 for label in labels.tolist()]
    mapping = cz.LabelMapping.of_arrays(old, old // 2, True)
    np.testing.assert_array_equal(mapping.renamed(labels), np.array(expected, dtype=table))


@pytest.mark.parametrize("length", [0, 1, 2, 65_535, 65_536, 65_537, 131_073])
def test_sizes_of_blocks(length: int) -> None:
    """Order, repeats and contradictions are seen wherever they lie among the pairs."""
    keys = np.arange(length, dtype=np.int64)
    for place in {0, length // 2, length - 2} & set(range(length - 1)):
        swapped = keys.copy()
        swapped[place : place + 2] = swapped[place : place + 2][::-1]
        mapping = cz.LabelMapping((swapped, swapped * 2))
        np.testing.assert_array_equal(mapping.keys, keys)
        np.testing.assert_array_equal(mapping.values, keys * 2)
        twice = keys.copy()
        twice[place + 1] = twice[place]
        same = cz.LabelMapping((twice, twice * 2))
        assert len(same) == length - 1
        with pytest.raises(ValueError, match=f"gives the label {twice[place]} two new labels"):
            cz.LabelMapping((twice, keys * 2))
    assert len(cz.LabelMapping((keys, keys))) == length


def test_misfits() -> None:
    """New labels that a dtype does not hold are listed once each, ascending, from all blocks."""
    values = np.arange(200_000) % 7
    values[[3, 70_000, 199_999]] = 300, -1, 300
    mapping = cz.LabelMapping((np.arange(200_000), values))
    assert mapping.misfits(np.dtype("u1")).tolist() == [-1, 300]
    assert mapping.misfits(np.dtype("?")).tolist() == [-1, 2, 3, 4, 5, 6, 300]
    assert mapping.misfits(np.dtype("i2")).tolist() == []
    huge = cz.LabelMapping({1: 2**64 - 1, 2: -1})
    assert huge.misfits(np.dtype("u8")).tolist() == [-1]


def test_many_pairs_out_of_order_are_sorted_with_a_warning() -> None:
    """Who has 10^6 unsorted pairs learns that sorting takes time each time."""
    keys = np.arange(1_000_000)[::-1]
    with pytest.warns(cz.CrackleWarning, match="1,000,000 pairs of the mapping do not ascend"):
        mapping = cz.LabelMapping((keys, keys))
    assert mapping.keys[0] == 0


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (7, TypeError, "not int"),
        ([(1, 2)], TypeError, "not list"),
        ((np.array([1.0]), np.array([2])), TypeError, "float64, and labels are integers"),
        ((np.array([1, 2]), np.array([2])), ValueError, "one column has 2 labels, and the other 1"),
        ((np.zeros((2, 2), int), np.zeros((2, 2), int)), ValueError, "one axis, not of 2"),
        (np.zeros((2, 3), int), ValueError, "mapping has the columns 0, 1, 2: a mapping has"),
        (np.zeros(4, int), ValueError, r"shape \(4,\)"),
        (pd.DataFrame({"a": [1], "b": [2], "c": [3]}), ValueError, "columns a, b, c"),
        (pl.DataFrame({"old": [1, None], "new": [2, 3]}), ValueError, "column old lacks 1 values"),
        (pd.DataFrame({"old": ["x"], "new": [2]}), TypeError, "label of mapping"),
    ],
    ids=str,
)
def test_wrong_pairs(given: Any, kind: type[Exception], message: str) -> None:
    """What is no mapping of integers is refused with what was given."""
    with pytest.raises(kind, match=message):
        cz.LabelMapping(given)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".feather"])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    """A file that is cut off is named, and nothing else happens."""
    path = write_file(tmp_path / f"pairs{suffix}")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises((ValueError, OSError), match=r"pairs\."):
        cz.LabelMapping(path)


def test_parquet_of_text_is_refused(tmp_path: Path) -> None:
    """A column that is not of integers is named with its type."""
    parquet.write_table(pa.table({"old": ["a"], "new": [1]}), tmp_path / "p.parquet")
    with pytest.raises(TypeError, match="the column old is of string"):
        cz.LabelMapping(tmp_path / "p.parquet")


# ---------------------------------------------------------------------------------------
# Large files of Parquet


def large(path: Path, old: Any, new: Any = None, **options: Any) -> Path:
    """A file of row groups of 100 pairs; the new labels are the old ones plus 1."""
    old = np.asarray(old)
    table = pa.table({"new": pa.array(old + old.dtype.type(1) if new is None else new), "old": old})
    parquet.write_table(table, path, row_group_size=100, **options)
    return path


@pytest.fixture
def soon_many(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """A few hundred pairs are many; the row groups that are read."""
    read: list[list[int]] = []
    original = RowGroups.read

    def recorded(self: RowGroups, numbers: Any) -> None:
        read.append(list(numbers))
        original(self, read[-1])

    monkeypatch.setattr(row_groups, "_MANY", 200)
    monkeypatch.setattr(RowGroups, "read", recorded)
    return read


@pytest.mark.parametrize("dtype", ["u8", "i8", "u4", "i2"])
def test_row_groups_are_read_when_they_are_needed(
    tmp_path: Path, soon_many: list[list[int]], dtype: str
) -> None:
    """A look-up reads the row groups whose range has a label of the table, once."""
    info = np.iinfo(dtype)
    start = -300 if info.min < 0 else info.max - 3000
    old = np.arange(start, start + 2000, 2, dtype=dtype)
    mapping = cz.LabelMapping(large(tmp_path / "p.parquet", old))
    assert len(mapping) == 1000
    assert mapping.misfits(np.dtype(dtype)).size == 0
    assert soon_many == []
    table = old[[150, 5, 120]]
    np.testing.assert_array_equal(mapping.renamed(table), table + 1)
    np.testing.assert_array_equal(mapping.renamed(table + 1), table + 1)  # these are not old labels
    assert soon_many == [[0, 1]]
    again = pickle.loads(pickle.dumps(mapping))
    assert len(pickle.dumps(mapping)) < 2000
    everything = np.arange(start - 5, start + 2010, dtype=dtype)
    expected = np.where(np.isin(everything, old), everything + 1, everything)
    for one in (mapping, again, mapping.preserving(), cz.LabelMapping(mapping)):
        np.testing.assert_array_equal(one.renamed(everything), expected)
    assert soon_many[1] == list(range(2, 10))
    np.testing.assert_array_equal(mapping.keys, old)
    assert mapping.preimages(int(old[7]) + 1).tolist() == [int(old[7])]
    with pytest.raises(KeyError, match="no mapping for"):
        cz.LabelMapping(tmp_path / "p.parquet", preserve=False).renamed(everything)


@pytest.mark.parametrize("table", [[], [3], [199, 250, 2**40], [-1, 1, 2**62]])
def test_labels_of_no_row_group(tmp_path: Path, soon_many: list[list[int]], table: list[int]) -> None:
    """A table that has no label of any row group stays, and nothing is read."""
    old = np.concatenate([np.arange(10, 110), np.arange(300, 400)]).astype("u8")
    mapping = cz.LabelMapping(large(tmp_path / "m.parquet", old))
    labels = np.array(table, dtype="i8")
    assert np.array_equal(mapping.renamed(labels), labels)
    assert soon_many == []


def test_another_working_directory(
    tmp_path: Path, soon_many: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is that of the time when the file was opened."""
    large(tmp_path / "m.parquet", np.arange(400, dtype="u8"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    mapping = cz.LabelMapping("m.parquet")
    monkeypatch.chdir(tmp_path / "elsewhere")
    table = np.arange(3, dtype="u8")
    for one in (mapping, pickle.loads(pickle.dumps(mapping))):
        assert one.renamed(table).tolist() == [1, 2, 3]
    assert soon_many


@pytest.mark.parametrize("rows", [450, 300, 2**13 - 1])
@pytest.mark.parametrize("many", [200, 10**6])
def test_a_footer_that_contradicts_itself(
    tmp_path: Path, soon_many: list[list[int]], monkeypatch: pytest.MonkeyPatch, rows: int, many: int
) -> None:
    """A footer that tells of other rows than its row groups is refused: pairs were made of unused memory."""
    monkeypatch.setattr(row_groups, "_MANY", many)
    path = large(tmp_path / "m.parquet", np.arange(400, dtype="u8"))
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    start = len(content) - 8 - length
    # Field 3 of the footer is the number of rows, a zigzag integer of two bytes.
    one, other = (b"\x16" + bytes([2 * count & 127 | 128, 2 * count >> 7]) for count in (400, rows))
    assert content.count(one, start) == 1
    path.write_bytes(content[:start] + content[start:].replace(one, other))
    with pytest.raises(ValueError, match=f"row groups have 400 rows, and its footer tells of {rows:,}"):
        cz.LabelMapping(path)


def test_order_within_a_row_group(tmp_path: Path, soon_many: list[list[int]]) -> None:
    """Pairs that do not ascend within a row group are put in order once it is read."""
    old = np.arange(1000)
    old[[250, 251]] = old[[251, 250]]
    mapping = cz.LabelMapping(large(tmp_path / "p.parquet", old))
    assert mapping.renamed(np.array([7])).tolist() == [8]
    assert soon_many == [[0]]
    assert mapping.renamed(np.array([250, 251, 999])).tolist() == [251, 252, 1000]


def test_two_new_labels_within_a_row_group(tmp_path: Path, soon_many: list[list[int]]) -> None:
    """A label with two new labels is found when a label of its row group is looked up, every time."""
    old, new = np.arange(1000), np.arange(1000)
    old[251], new[251] = 250, 7
    mapping = cz.LabelMapping(large(tmp_path / "p.parquet", old, new))
    for _ in range(2):
        with pytest.raises(ValueError, match="gives the label 250 two new labels: 250 and 7"):
            mapping.renamed(np.array([203]))
    new[251] = 250  # the same again is no contradiction
    mapping = cz.LabelMapping(large(tmp_path / "q.parquet", old, new))
    assert mapping.renamed(np.array([250, 251])).tolist() == [250, 251]
    assert len(mapping) == 999


def test_files_that_are_read_at_once(tmp_path: Path, soon_many: list[list[int]]) -> None:
    """Files whose row groups overlap, miss values or have no statistics are read, or refused, at once."""
    old, new = np.arange(1000), np.arange(1000)
    old[300] = 299
    with pytest.raises(ValueError, match="gives the label 299 two new labels"):
        cz.LabelMapping(large(tmp_path / "p.parquet", old, new))
    shuffled = np.random.default_rng(0).permutation(1000)
    mapping = cz.LabelMapping(large(tmp_path / "q.parquet", shuffled))
    assert mapping.renamed(np.array([5, 500])).tolist() == [6, 501]
    cz.LabelMapping(large(tmp_path / "r.parquet", np.arange(1000), write_statistics=False))
    assert len(soon_many) == 3
    with pytest.raises(ValueError, match="the column new lacks 1 values"):
        cz.LabelMapping(large(tmp_path / "s.parquet", np.arange(1000), [None, *range(1, 1000)]))


def test_statistics_that_are_wrong(tmp_path: Path, soon_many: list[list[int]], monkeypatch: Any) -> None:
    """A row group with other labels than the footer tells is refused."""
    bounds = RowGroups.bounds
    monkeypatch.setattr(
        RowGroups, "bounds", lambda self, place: (bounds(self, place)[0], np.arange(95, 1095, 100))
    )
    mapping = cz.LabelMapping(large(tmp_path / "p.parquet", np.arange(1000)))
    with pytest.raises(
        ValueError, match=r"row group 3 go from 300 to 399, and its statistics tell otherwise"
    ):
        mapping.renamed(np.array([350]))


def test_a_parquet_file_that_changes_is_refused(tmp_path: Path, soon_many: list[list[int]]) -> None:
    """Row groups of another file than was opened are not taken."""
    mapping = cz.LabelMapping(large(tmp_path / "p.parquet", np.arange(1000)))
    pickled = pickle.dumps(mapping)
    large(tmp_path / "p.parquet", np.arange(1100))
    for use in (lambda: mapping.renamed(np.array([5])), lambda: pickle.loads(pickled), lambda: mapping.keys):
        with pytest.raises(ValueError, match="has changed since it was opened"):
            use()


def test_threads_look_up_at_once(tmp_path: Path, soon_many: list[list[int]]) -> None:
    """Threads that need the same row groups read each of them once."""
    mapping = cz.LabelMapping(large(tmp_path / "p.parquet", np.arange(1000)))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: mapping.renamed(np.arange(n, 1000, 7)), range(16)))
    for n, one in enumerate(found):
        np.testing.assert_array_equal(one, np.arange(n, 1000, 7) + 1)
    assert sorted(itertools.chain(*soon_many)) == list(range(10))


# ---------------------------------------------------------------------------------------
# Agglomeration


def by_union(edges: list[tuple[int, int]]) -> dict[int, int]:
    """The smallest label of each object, found by joining sets."""
    sets: dict[int, set[int]] = {}
    for a, b in edges:
        joined = sets.get(a, {a}) | sets.get(b, {b})
        for label in joined:
            sets[label] = joined
    return {label: min(members) for label, members in sets.items()}


@pytest.mark.parametrize("seed", range(6))
def test_agglomerate(seed: int) -> None:
    """Objects are the connected components of the edges, with the smallest label as their name."""
    rng = np.random.default_rng(seed)
    names = rng.integers(0, 2**64 - 1, 80, dtype=np.uint64, endpoint=True)
    edges = names[rng.integers(0, len(names), (60, 2))]
    mapping = cz.agglomerate(edges)
    expected = by_union([(int(a), int(b)) for a, b in edges])
    assert dict(zip(mapping.keys.tolist(), mapping.values.tolist(), strict=True)) == expected
    for name in set(expected.values()):
        members = [old for old, new in sorted(expected.items()) if new == name]
        assert mapping.preimages(name).tolist() == members
    assert mapping.preimages(2**70).tolist() == []


def test_threshold(tmp_path: Path) -> None:
    """Edges connect up to the threshold; a score that is no number connects nothing."""
    table = pa.table({"u": [1, 2, 3, 4], "v": [2, 3, 4, 5], "score": [0.1, 0.3, 0.5, float("nan")]})
    parquet.write_table(table, tmp_path / "edges.parquet")
    for edges in (table, tmp_path / "edges.parquet"):
        mapping = cz.agglomerate(edges, threshold=0.3)
        assert dict(zip(mapping.keys.tolist(), mapping.values.tolist(), strict=True)) == {1: 1, 2: 1, 3: 1}
    ends = (np.array([1, 2]), np.array([2, 3]))
    assert len(cz.agglomerate(ends, [-0.9, -0.2], -0.5)) == 2
    assert len(cz.agglomerate((np.array([], int), np.array([], int)))) == 0


def test_ends_of_different_dtypes() -> None:
    """Labels above 2^53 stay exact where one column is signed and the other is not."""
    mapping = cz.agglomerate((np.array([2**53 + 1, 5]), np.array([2**63 + 1, 2**53 + 1], dtype=np.uint64)))
    assert mapping.keys.tolist() == [5, 2**53 + 1, 2**63 + 1]
    assert set(mapping.values.tolist()) == {5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edges": np.zeros((2, 2), int), "threshold": 0.5}, "the edges have no scores"),
        ({"edges": np.zeros((2, 2), int), "scores": [1.0], "threshold": 0.5}, "2 edges, and scores of shape"),
        ({"edges": np.zeros((2, 2), int), "scores": [1.0, 2.0]}, "no threshold"),
        ({"edges": np.zeros((2, 4), int)}, "edges has the columns 0, 1, 2, 3"),
        ({"edges": 3}, "not int"),
    ],
    ids=str,
)
def test_wrong_edges(arguments: dict[str, Any], message: str) -> None:
    """What is no list of edges is refused with what was given."""
    with pytest.raises((TypeError, ValueError), match=message):
        cz.agglomerate(**arguments)


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing library is named, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r"pip install 'crackle-zarr\[distance\]'"):
        agglomeration.agglomerate(np.array([[1, 2]]))
