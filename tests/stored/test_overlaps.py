"""Overlaps and agreement of two segmentations: what their voxels say."""

from __future__ import annotations

import json
import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr.errors import FormatError

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"chunks": (8, 8, 8)},
    "shards": {"chunks": (4, 8, 8), "shards": (8, 16, 16)},
    "other shards": {"chunks": (4, 8, 8), "shards": (12, 16, 24)},
    "format 2": {"chunks": (8, 8, 8), "zarr_format": 2},
    "format 2, F order": {"chunks": (8, 8, 8), "zarr_format": 2, "order": "F"},
    "another grid": {"chunks": (5, 30, 7)},
}
SHAPE = (20, 30, 17)


def counted(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> dict[tuple[int, int], int]:
    pairs = Counter(zip(map(int, a.ravel()), map(int, b.ravel()), strict=True))
    return dict(sorted(pairs.items()))


def voxels(dtype: str, low: int, high: int, seed: int) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    small = rng.integers(low, high, tuple(-(-length // 3) for length in SHAPE))
    for axis in range(3):
        small = small.repeat(3, axis)
    return small[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(dtype)


def stored(values: npt.NDArray[Any], fill: int, there: tuple[slice, ...], kind: str) -> Any:
    """An array of which some chunks do not exist."""
    array = cz.create_array({}, shape=SHAPE, dtype=values.dtype, fill_value=fill, **KINDS[kind])
    array[there] = values[there]
    return array


def two(first: str = "plain", second: str = "plain") -> tuple[Any, Any]:
    a = stored(voxels("i4", -3, 3, 1), -1, (slice(0, 16),), first)
    b = stored(voxels(">u8" if "2" in second else "u8", 0, 9, 2), 3, (slice(None), slice(0, 24)), second)
    return a, b


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", ["plain", "other shards", "format 2, F order", "another grid"])
def test_overlaps(first: str, second: str) -> None:
    """Pairs and counts are those of the voxels, for whole arrays, regions and views, whatever the grids."""
    a, b = two(first, second)
    in_a, in_b = a[...], b[...]
    table = cz.overlaps(a, b)
    assert table.to_dict() == counted(in_a, in_b)
    assert (table["label_a"].dtype, table["label_b"].dtype) == (a.dtype, b.dtype)
    region = (slice(3, 17), slice(None), slice(2, 9))
    assert cz.overlaps(a, b, region=region).to_dict() == counted(in_a[region], in_b[region])
    mapped = np.where(in_a == 1, 2, in_a)
    assert cz.overlaps(cz.lazy_remap(a, {1: 2}), b).to_dict() == counted(mapped, in_b)


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_executors(executor: Any, tmp_path: Path) -> None:
    """Threads and processes give the same table."""
    a, b = two()
    expected = cz.overlaps(a, b)
    for name, array in (("a", a), ("b", b)):
        copy = cz.create_array(tmp_path / name, shape=SHAPE, dtype=array.dtype, chunks=(8, 8, 8))
        copy[...] = array[...]
    first, second = (zarr.open_array(tmp_path / name, mode="r") for name in "ab")
    with executor(2) as pool:
        assert np.array_equal(cz.overlaps(first, second, executor=pool), expected)


def test_chunks_that_are_alike_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole chunks of one grid are compared as streams; only those at the edges are read as voxels."""
    from crackle_zarr.stored import overlaps

    boxes = []
    read = overlaps.read
    monkeypatch.setattr(
        overlaps, "read", lambda layout, box, options: (boxes.append(box), read(layout, box, options))[1]
    )
    a, b = two()
    cz.overlaps(a, b, region=(slice(0, 16), slice(0, 24), slice(0, 16)))
    assert not boxes
    cz.overlaps(a, b)
    assert boxes
    assert all(any(stop - start < 8 for start, stop in box) for box in boxes)


def test_a_damaged_chunk_names_itself() -> None:
    """The error names the chunk of the array that is damaged, the first or the second."""
    for damaged in (0, 1):
        arrays = two()
        store = arrays[damaged].store_path.store
        key = "c/0/1/1"
        raw = bytearray(store._store_dict[key].to_bytes())
        raw[-3] ^= 0xFF  # of a slice's checksum
        store._store_dict[key] = type(store._store_dict[key]).from_bytes(bytes(raw))
        with pytest.raises(FormatError, match=key):
            cz.overlaps(*arrays)


def by_definition(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> dict[str, float]:
    """The figures from all pairs of voxels."""
    in_a, in_b = (values.ravel()[:, None] == values.ravel() for values in (a, b))
    above = np.triu(np.ones_like(in_a), 1)
    in_a, in_b = in_a & above, in_b & above
    pairs, both = above.sum(), (in_a & in_b).sum()
    expected = in_a.sum() * in_b.sum() / pairs

    def entropy(*keys: npt.NDArray[Any]) -> float:
        share = (
            np.array(list(Counter(zip(*(key.ravel().tolist() for key in keys), strict=True)).values()))
            / a.size
        )
        return float(-sum(one * math.log2(one) for one in share))

    return {
        "rand_index": ((in_a == in_b) & above).sum() / pairs,
        "adjusted_rand_index": (both - expected) / ((in_a.sum() + in_b.sum()) / 2 - expected),
        "rand_precision": both / in_b.sum(),
        "rand_recall": both / in_a.sum(),
        "adapted_rand_error": 1 - 2 * both / (in_a.sum() + in_b.sum()),
        "vi_split": entropy(a, b) - entropy(a),
        "vi_merge": entropy(a, b) - entropy(b),
    }


def test_metrics_are_those_of_the_definitions() -> None:
    """Each figure equals what its definition gives for all pairs of voxels."""
    a, b = voxels("u2", 0, 6, 4)[:6, :9, :8], voxels("u2", 0, 5, 5)[:6, :9, :8]
    found = cz.metrics(a, b)
    for name, value in by_definition(a, b).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
    assert found.voxels == a.size
    assert found.variation_of_information == found.vi_split + found.vi_merge
    counts = a != 2
    some = cz.metrics(a, b, ignore=[2])
    for name, value in by_definition(a[counts], b[counts]).items():
        assert getattr(some, name) == pytest.approx(value, rel=1e-9), name


def test_metrics_of_equal_split_and_merged() -> None:
    """Other names change nothing; a split costs recall and vi_split alone, a merge the other two."""
    a = voxels("u2", 1, 9, 6)
    same = cz.metrics(a, (a * 7).astype("u4"))
    assert same[:4] == (1, 1, 1, 1)
    assert same[4:7] == pytest.approx((0, 0, 0), abs=1e-12)
    split = cz.metrics(a, a + 10 * (np.arange(SHAPE[0]) % 2).astype("u2")[:, None, None])
    assert split.rand_precision == 1
    assert split.rand_recall < 1
    assert split.vi_split > 0.5
    assert split.vi_merge == pytest.approx(0, abs=1e-12)
    merged = cz.metrics(a, a // 2)
    assert merged.rand_recall == 1
    assert merged.rand_precision < 1
    assert merged.vi_merge > 0.5
    one = np.ones((2, 2), "u1")
    assert cz.metrics(one, one).adjusted_rand_index == 1


def test_metrics_of_scikit_image() -> None:
    """scikit-image computes the same from voxels; it calls our recall precision."""
    theirs = pytest.importorskip("skimage.metrics")
    a, b = voxels("u2", 0, 6, 4), voxels("u2", 0, 5, 5)
    error, *shares = theirs.adapted_rand_error(a, b, ignore_labels=(0,))
    found = cz.metrics(a, b, ignore=[0])
    assert found.adapted_rand_error == pytest.approx(error)
    assert sorted(shares) == pytest.approx(sorted([found.rand_precision, found.rand_recall]))
    split, merge = theirs.variation_of_information(a, b, ignore_labels=(0,))
    assert (found.vi_split, found.vi_merge) == pytest.approx((split, merge))


def test_what_cannot_be_compared() -> None:
    """Other shapes, a stored array and one in memory, and nothing that counts are refused, with a reason."""
    a, b = two()
    with pytest.raises(ValueError, match="different shapes"):
        cz.overlaps(a, cz.create_array({}, shape=(20, 30, 18), dtype="u1"))
    with pytest.raises(TypeError, match="b is a ndarray, and the other is a stored array"):
        cz.metrics(a, np.zeros(SHAPE, "u1"))
    with pytest.raises(ValueError, match="no voxel counts"):
        cz.metrics(a, b, ignore=range(-3, 3))
    with pytest.raises(TypeError, match="region"):
        cz.overlaps(np.zeros((3, 3), "u1"), np.zeros((3, 3), "u1"), region=(slice(0, 1),))
    empty = cz.create_array({}, shape=(0, 4), dtype="u1")
    assert len(cz.overlaps(empty, empty)) == 0


def test_command_line(run: Any, tmp_path: Path) -> None:
    """``compare`` prints the figures, as a table or JSON, and writes pairs; files do not mix with arrays."""
    a, b = voxels("u2", 0, 6, 4), voxels("u4", 0, 5, 5)
    for name, values in (("a", a), ("b", b)):
        array = cz.create_array(tmp_path / f"{name}.zarr", shape=SHAPE, dtype=values.dtype, chunks=(8, 8, 8))
        array[...] = values
        np.save(tmp_path / f"{name}.npy", values)
    expected = cz.metrics(a, b, ignore=[0])
    for ending in ("zarr", "npy"):
        places = [str(tmp_path / f"{name}.{ending}") for name in "ab"]
        found = json.loads(run("compare", *places, "--ignore", "0", "--json").out)
        assert found["vi_split"] == pytest.approx(expected.vi_split)
        assert found["voxels"] == expected.voxels
    shown = run("compare", *places, "--pairs", str(tmp_path / "pairs.csv"))
    assert "adapted rand error" in shown.out
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert lines[0] == "label_a,label_b,voxel_count"
    assert len(lines) == 1 + len(counted(a, b))
    mixed = run("compare", str(tmp_path / "a.zarr"), str(tmp_path / "b.npy"))
    assert mixed.code == 2
    assert "compare two of a kind" in mixed.err
    refused = run("compare", *places, "--pairs", str(tmp_path / "pairs.txt"))
    assert refused.code == 2
    assert "has to end in .csv or .parquet" in refused.err
