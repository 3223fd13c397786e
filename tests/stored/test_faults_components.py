"""Stores that fail while components are found, written or edited: nothing is lost, and the call goes on."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import zarr
from faults import READING, WRITING
from faults_cases import (  # noqa: F401
    VOXELS,
    calls,
    faulty,
    finished,
    leave_nothing_behind,
    objects_of,
    of_array,
    over,
    pytestmark,
    says_where,
    some,
    stored,
    tried,
)
from zarr.storage import MemoryStore

import crackle_zarr as cz


@cache
def components() -> np.ndarray:
    """The components of the whole."""
    array = zarr.open_array(MemoryStore(dict(objects_of("plain"))), path="a", mode="r")
    return np.asarray(cz.connected_components(array, out={}).array[...])


@cache
def dusted(layout: str) -> dict[str, bytes]:
    """The objects of an array after an edit."""
    store = MemoryStore(dict(objects_of(layout)))
    cz.dust(zarr.open_array(store, path="a", mode="r+"), 9, 6, parallel=1)
    return of_array(store)


@pytest.mark.parametrize("layout", ["plain", "shards"])
@pytest.mark.parametrize("kind", WRITING)
def test_into_a_store_that_fails(kind: str, layout: str) -> None:
    """Whatever the destination does, the result is right or there is an error, and the same call finishes."""
    source = zarr.open_array(MemoryStore(dict(objects_of(layout))), path="a", mode="r")

    def join(store: Any) -> Any:
        return cz.connected_components(source, out=zarr.storage.StorePath(store, "c"), parallel=1)

    def read(store: Any) -> np.ndarray:
        return np.asarray(zarr.open_array(store._store, path="c", mode="r")[...])

    store, faults = faulty({})
    number = calls(faults, kind, lambda: join(store))
    for n in some(number, 8 if layout == "plain" else 3):
        store, faults = faulty({})
        faults.start(kind, n)
        _, error = tried(lambda store=store: join(store))
        # Of the array's metadata, the place is named.
        place = any(words in str(error) for words in ("c/ cannot be read", "c cannot be created"))
        assert error is None or says_where(error, faults) or place, (n, error, faults.struck)
        faults.stop()
        if error is None:
            assert np.array_equal(read(store), components()), n
        else:
            _, again = tried(lambda store=store: join(store), also=(FileExistsError,))
            assert again is None or over(again, store), (n, again)
            assert np.array_equal(read(store), components()), n
        assert not [key for key in stored(store) if ".crackle" in key], n


@pytest.mark.parametrize("kind", READING)
def test_from_a_store_that_fails(kind: str) -> None:
    """A source that fails gives an error or the right result."""
    store, faults = faulty(objects_of("plain"))
    array = zarr.open_array(store, path="a", mode="r")
    number = calls(faults, kind, lambda: cz.connected_components(array, out={}, parallel=1))
    for n in some(number, 8):
        faults.start(kind, n)
        report, error = tried(lambda: cz.connected_components(array, out={}, parallel=1))
        if error is None:
            assert np.array_equal(report.array[...], components())
        else:
            assert says_where(error, faults), (n, error, faults.struck)
        faults.stop()


@pytest.mark.parametrize("layout", ["plain", "shards", "without Crackle"])
@pytest.mark.parametrize("kind", ["error", "torn", "unacknowledged", "half"])
def test_in_place(kind: str, layout: str) -> None:
    """After any failure the array is the old one or the new one, or resume() and undo() make it so."""
    objects = objects_of(layout)
    old, new = of_array(MemoryStore(dict(objects))), dusted(layout)
    assert old != new
    store, faults = faulty(objects)

    def dust() -> None:
        cz.dust(zarr.open_array(store, path="a", mode="r+"), 9, 6, parallel=1)

    opening = calls(faults, kind, lambda: zarr.open_array(store, path="a", mode="r+"))
    number = calls(faults, kind, dust)
    for n in some(number - opening, 8 if layout == "plain" else 3):
        store, faults = faulty(objects)
        faults.start(kind, opening + n)
        _, error = tried(dust)
        assert error is None or says_where(error, faults), (n, error, faults.struck)
        faults.stop()
        if error is None:
            assert of_array(store) == new, n
            continue
        left = dict(store._store._store_dict)
        for action in ("resume", "undo"):
            store, faults = faulty(left)
            did = finished(store, action)
            expected = {"resume": (new,), "undo": (old,), "nothing": (old, new)}[did]
            assert of_array(store) in expected, (n, action, did)
            if of_array(store) == old:
                dust()
                assert of_array(store) == new


def test_the_array_has_dust() -> None:
    """The cases above are about something."""
    assert not np.array_equal(VOXELS, components())
