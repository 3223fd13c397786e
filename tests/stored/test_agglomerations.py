"""Stored arrays take large mappings and edges: views, remaps in place, on threads and processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr.stored import edits
from crackle_zarr.stored.editing import edit
from crackle_zarr.stored.editing.journal import Journal
from crackle_zarr.stored.layout import layout_of


def seg(seed: int = 0) -> np.ndarray:
    """Blocks of labels, each of several chunks."""
    rng = np.random.default_rng(seed)
    small = rng.integers(1, 60, (6, 6, 6)).astype(np.uint64) * 1000
    return np.kron(small, np.ones((4, 5, 5), np.uint64))


@pytest.fixture
def array(tmp_path: Path) -> zarr.Array:
    """The labels in chunks that the edges of the array cut."""
    made = cz.create_array(
        str(tmp_path / "seg.zarr"), shape=seg().shape, dtype="u8", chunks=(16, 16, 16), overwrite=True
    )
    made[...] = seg()
    return made


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A file of more pairs than a journal should hold: every label of the array, and very many others."""
    keys = np.arange(0, 60_000, 2, dtype=np.uint64)
    np.save(tmp_path / "names.npy", np.stack([keys, keys // 3000 + 1], 1))
    return tmp_path / "names.npy"


def expected() -> np.ndarray:
    """The labels after the mapping of ``many``."""
    return seg() // 3000 + 1


@pytest.mark.parametrize("executor", [None, "processes"])
def test_remap(array: zarr.Array, many: Path, executor: str | None) -> None:
    """A mapping of many labels gives the same array on threads and on processes."""
    assert len(cz.LabelMapping(many)) > edits._FEW_PAIRS
    if executor is None:
        cz.remap(array, many)
    else:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            cz.remap(array, many, executor=pool)
    np.testing.assert_array_equal(array[...], expected())


def test_view(array: zarr.Array, many: Path) -> None:
    """A view of a mapping in a file has the new labels, and its questions answer with them."""
    view = cz.lazy_remap(array, many)
    np.testing.assert_array_equal(view[...], expected())
    np.testing.assert_array_equal(cz.labels(view), np.unique(expected()))


def test_the_journal_holds_the_labels_of_the_array_only(
    array: zarr.Array, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed remap of many labels is finished from its journal, whose plan is small."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(edit, "copy_to_array", killed)
        with pytest.raises(KeyboardInterrupt):
            cz.remap(array, many)
    history = Journal(layout_of(array)).history()
    assert history is not None
    assert history.plan is not None
    assert sorted(history.plan["keys"]) == np.unique(seg()).tolist()
    cz.resume(array)
    np.testing.assert_array_equal(array[...], expected())


def test_strict(array: zarr.Array, many: Path) -> None:
    """A label of the array that many pairs lack is an error that names it, and nothing is written."""
    array[0, 0, 0] = 77
    before = array[...]
    with pytest.raises(KeyError, match="77"):
        cz.remap(array, many, preserve_missing_labels=False)
    np.testing.assert_array_equal(array[...], before)


def test_edges(array: zarr.Array) -> None:
    """Edges with scores join labels in a view and in place."""
    edges = np.array([[1000, 2000], [2000, 3000], [4000, 5000]])
    scores = [0.1, 0.9, 0.2]
    joined = seg()
    joined[joined == 2000] = 1000
    joined[joined == 5000] = 4000
    view = cz.lazy_remap(array, edges=edges, scores=scores, threshold=0.5)
    np.testing.assert_array_equal(view[...], joined)
    cz.remap(array, edges=edges, scores=scores, threshold=0.5)
    np.testing.assert_array_equal(array[...], joined)


def test_either_mapping_or_edges(array: zarr.Array) -> None:
    """Both at once, or a threshold without edges, is a mistake."""
    edges = np.array([[1, 2]])
    with pytest.raises(TypeError, match="both a mapping and edges"):
        cz.remap(array, {1: 2}, edges=edges)
    with pytest.raises(TypeError, match="belong to edges"):
        cz.lazy_remap(array, {1: 2}, threshold=0.5)
    with pytest.raises(TypeError, match="not NoneType"):
        cz.remap(array)


@pytest.mark.parametrize("seed", range(3))
def test_pyramids(tmp_path: Path, many: Path, seed: int) -> None:
    """All levels of OME-Zarr labels are edited by a mapping of many labels."""
    labels = cz.write_ome_labels(str(tmp_path / "p.zarr"), "seg", seg(seed), levels=2, chunks=(16, 16, 16))
    cz.remap(labels.group, many)
    again = cz.write_ome_labels(
        str(tmp_path / "q.zarr"), "seg", seg(seed) // 3000 + 1, levels=2, chunks=(16, 16, 16)
    )
    for one, other in zip(labels.levels, again.levels, strict=True):
        np.testing.assert_array_equal(one[...], other[...])
