"""What was begun and not finished is told to whoever asks the array."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from faults import Faulty
from two_editors import VOXELS, half_done, made, opened
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr import CrackleWarning
from crackle_zarr.errors import JournalError, StoreError
from crackle_zarr.napari._reader import get_reader
from crackle_zarr.stored import warn
from crackle_zarr.stored.editing.journal import Journal
from crackle_zarr.stored.editing.owner import new_owner
from crackle_zarr.stored.layout import layout_of
from crackle_zarr.view.cache import TileCache
from crackle_zarr.view.sources import open_labels
from crackle_zarr.view.volume import Volume

QUESTIONS: dict[str, Any] = {
    "labels": cz.labels,
    "contains": lambda array, **options: cz.contains(array, 3, **options),
    "statistics": cz.statistics,
    "crop": lambda array, **options: cz.crop(array, 3, **options),
    "find": lambda array, **options: cz.find(array, 3, **options),
}


def half_converted() -> dict[str, Any]:
    """A destination whose conversion stopped after two chunks."""
    objects: dict[str, Any] = {}
    store = Few(MemoryStore(objects))
    with pytest.raises(StoreError):
        cz.convert(opened(made()), store, to="zstd", parallel=1)
    return objects


class Few(Faulty):
    left = 2

    async def set(self, key: str, value: Any, *args: Any, **keywords: Any) -> None:
        self.left -= key.startswith("c/")
        if self.left < 0:
            raise OSError(28, "No space left on device")
        await self._store.set(key, value)


UNFINISHED = {
    "remap": (half_done, r"has an unfinished remap since .*1=2, 2=1, 3=0.*some chunks have their new labels"),
    "conversion": (half_converted, r"is an unfinished conversion of memory://"),
}


@pytest.mark.filterwarnings("ignore:.*is not stored with Crackle:crackle_zarr.CrackleWarning")
@pytest.mark.parametrize("kind", UNFINISHED)
@pytest.mark.parametrize("question", [*QUESTIONS, "lazy_remap"])
def test_every_question_tells(question: str, kind: str) -> None:
    """A question to an array with something unfinished warns once, or refuses, or does not ask."""
    make, text = UNFINISHED[kind]
    warn.warn_once.cache_clear()  # another store in memory may have had the same name
    array = opened(make())
    if question == "lazy_remap":
        with pytest.warns(CrackleWarning, match=text):
            cz.lazy_remap(array, {1: 2})
        return
    ask = QUESTIONS[question]
    with pytest.warns(CrackleWarning, match=text):
        ask(array)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CrackleWarning)
        ask(array)  # once
        ask(array, unfinished="ignore")
    with pytest.raises(JournalError, match=text):
        ask(array, unfinished="refuse")
    with pytest.raises(ValueError, match="'warn', 'refuse' or 'ignore'"):
        ask(array, unfinished="never")


@pytest.mark.filterwarnings("ignore:.*is not stored with Crackle:crackle_zarr.CrackleWarning")
@pytest.mark.parametrize("kind", UNFINISHED)
def test_verify_lists_it(kind: str) -> None:
    """verify() lists what is unfinished, and after it was finished as told nothing is left to list."""
    make, text = UNFINISHED[kind]
    objects = make()
    found = cz.verify(opened(objects))
    assert [one.chunk for one in found] == [()]
    assert found[0].key in objects
    assert re.search(text, found[0].message)
    if kind == "remap":
        cz.resume(opened(objects))
        assert cz.verify(opened(objects)) == []


def test_nothing_is_told_without_reason() -> None:
    """A finished array, and one whose remap has replaced nothing yet, answer without a warning."""
    objects = made()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CrackleWarning)
        cz.labels(opened(objects), unfinished="refuse")
        owner = new_owner()
        journal = Journal(layout_of(opened(objects)))
        journal.begin(
            {"id": owner.id, "keys": [1], "values": [2], "preserve": True, "create_chunks": False}, owner
        )
        cz.labels(opened(objects), unfinished="refuse")
    (found,) = cz.verify(opened(objects))
    assert "no chunk is replaced yet" in found.message


def test_levels_of_a_group() -> None:
    """A remap of a group is told to whoever asks a level, and a level that is being built by itself only."""
    store = MemoryStore()
    labels = cz.create_ome_labels(store, None, VOXELS.shape, VOXELS.dtype, chunks=(4, 4, 4), levels=3)
    labels.levels[0][...] = VOXELS
    group = zarr.open_group(store, mode="r+")
    faulty = Broken(store)
    with pytest.raises(StoreError):
        cz.build_pyramid(zarr.open_group(faulty, mode="r+"), parallel=1)
    paths = labels.paths
    cz.labels(group, unfinished="refuse")
    with pytest.raises(
        JournalError, match=f"unfinished levels: .*{paths[2]}; the same call of build_pyramid"
    ):
        cz.labels(group, level=2, unfinished="refuse")
    assert [one.key for one in cz.verify(group) if not one.chunk] == [".crackle-pyramid"]
    cz.build_pyramid(group)
    assert cz.verify(group) == []
    with pytest.raises(StoreError):
        cz.remap(zarr.open_group(Broken(store), mode="r+"), {1: 2, 2: 1}, parallel=1)
    for source in (group, labels.levels[0], labels.levels[2]):
        with pytest.raises(JournalError, match="has an unfinished remap"):
            cz.labels(source, unfinished="refuse")
    cz.undo(group)
    assert np.array_equal(labels.levels[0][...], VOXELS)


class Broken(Faulty):
    """Takes a few objects of levels, and no more."""

    left = 1

    async def set(self, key: str, value: Any, *args: Any, **keywords: Any) -> None:
        if "/c/" in key and ".crackle" not in key:
            self.left -= 1
            if self.left < 0:
                raise OSError(28, "No space left on device")
        await self._store.set(key, value)


def test_viewers_tell(tmp_path: Path) -> None:
    """Who looks at an array with an unfinished remap, in Neuroglancer or napari, is warned."""
    objects = half_done()
    for key, value in objects.items():
        file = tmp_path / "seg.zarr" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value.to_bytes())
    text = "has an unfinished remap since"
    warn.warn_once.cache_clear()
    with pytest.warns(CrackleWarning, match=text):
        Volume(open_labels(str(tmp_path / "seg.zarr")), TileCache(2**20), is_labels=True)
    reader = pytest.importorskip("dask.array") and get_reader(str(tmp_path / "seg.zarr"))
    assert reader is not None
    warn.warn_once.cache_clear()
    with pytest.warns(CrackleWarning, match=text):
        reader(str(tmp_path / "seg.zarr"))
