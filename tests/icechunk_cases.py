"""An array in a repository of Icechunk, for the tests of sessions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr.synthetic import neurons

icechunk = pytest.importorskip("icechunk")

CHUNKS = (8, 16, 16)


def labels() -> np.ndarray:
    """Neurons; some chunks are smaller than a first request."""
    made = neurons((24, 48, 40), seed=3, dtype=np.uint32)
    made[:8, :16, :16] = 7
    return made


def repository(storage: Any) -> Any:
    """A repository with one array, seg, and two snapshots."""
    made = icechunk.Repository.create(storage)
    session = made.writable_session("main")
    array = cz.create_array(session.store, name="seg", shape=labels().shape, dtype="u4", chunks=CHUNKS)
    array[...] = labels()
    session.commit("labels")
    return made


def opened(session: Any, mode: Any = "r") -> zarr.Array:
    """The array in a session."""
    return zarr.open_array(session.store, path="seg", mode=mode)


def merged(old: int, new: int) -> np.ndarray:
    """The labels after a merge."""
    return np.where(labels() == old, new, labels())


def some() -> int:
    """A label of several chunks."""
    return int(np.unique(labels())[4])
