"""Stores that fail during a query: the answer is right, or an error names the chunk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zarr
from faults import READING, FaultyMemory
from faults_cases import (  # noqa: F401
    FULL,
    INJECTED,
    LAYOUTS,
    QUESTIONS,
    SHAPE,
    VOXELS,
    calls,
    count,
    faulty,
    leave_nothing_behind,
    objects_of,
    plain,
    print_faults,
    pytestmark,
    some,
    tried,
    try_question,
)
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import CrackleError


@pytest.mark.parametrize("verb", QUESTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_questions(layout: str, verb: str) -> None:
    """Any call of the store fails, for every query to every kind of array."""
    kinds = READING if FULL or layout == "plain" else ("error", "half")
    for kind in kinds:
        if layout == "shards without Crackle" and kind == "empty":
            continue  # Zarr takes an inner chunk for missing if the store returns no bytes of it
        try_question(layout, QUESTIONS[verb], kind)


@pytest.mark.parametrize(
    "verb", ["labels", "find", "statistics", "each", "point_cloud", "lazy_remap", "verify"]
)
@pytest.mark.parametrize("kind", READING)
def test_memory_and_disks(verb: str, kind: str) -> None:
    """Stores called without an event loop give the same."""
    try_question("plain", QUESTIONS[verb], kind, FaultyMemory)


@pytest.mark.parametrize("verb", ["labels", "contains", "statistics", "select", "lazy_remap, labels"])
@pytest.mark.parametrize("kind", ["error", "half", "slow"])
def test_threads(verb: str, kind: str) -> None:
    """Several threads that ask at once get the same; chance chooses the call that fails."""
    try_question("plain", QUESTIONS[verb], kind, parallel=3)
    try_question("plain", QUESTIONS[verb], kind, FaultyMemory, parallel=3)


@pytest.mark.parametrize("verb", QUESTIONS)
@pytest.mark.parametrize("layout", ["plain", "shards"])
def test_a_chunk_reported_as_missing(layout: str, verb: str) -> None:
    """A chunk reported as missing is fill value, by Zarr's rule: the answer is that without it, or an error.

    If a query reads a chunk twice and finds it once, part of the answer may be right.
    """
    ask = QUESTIONS[verb]
    store, faults = faulty(objects_of(layout))
    array = zarr.open_array(store, path="a", mode="r+")
    right = plain(ask(array, 1))
    for n in some(calls(faults, "missing", lambda: ask(array, 1)), 5):
        faults.start("missing", n)
        answer, error = tried(lambda: plain(ask(array, 1)), also=(CrackleError,))
        (key,) = {key for _, key in faults.struck}
        count("missing", faults)
        faults.stop()
        assert plain(ask(array, 1)) == right
        if error is not None:
            continue
        without = {name: value for name, value in objects_of(layout).items() if name != key}
        bare = zarr.open_array(MemoryStore(without), path="a", mode="r+")
        other, _ = tried(ask, bare, 1, also=(CrackleError,))
        other = plain(other)
        if isinstance(answer, dict) and isinstance(other, dict):
            assert answer.keys() <= right.keys() | other.keys()
            # Contacts add up faces of both readings of a chunk.
            if verb != "contacts":
                assert all(value in (right.get(name), other.get(name)) for name, value in answer.items())
        elif ask is QUESTIONS["verify"]:
            assert answer in ([], [key])  # the shard's index exists, and lists the rest
        else:
            assert answer in (right, other)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk fails, or returns fewer bytes than requested, at any read of a chunk."""
    array = cz.create_array(tmp_path / "a.zarr", **SHAPE)
    array[...] = VOXELS
    right = plain(cz.statistics(array, parallel=1))
    read = os.pread
    for short in (False, True):
        for n in range(1000):
            left = n

            def fails(file: int, nbytes: int, start: int, short: bool = short) -> bytes:
                nonlocal left
                left -= 1
                if left >= 0:
                    return read(file, nbytes, start)
                INJECTED["disk"] = INJECTED.get("disk", 0) + 1
                if short:
                    return read(file, max(1, nbytes // 2), start)  # as an interrupted read may do
                raise OSError(5, "Input/output error")

            monkeypatch.setattr(os, "pread", fails)
            answer, error = tried(lambda: plain(cz.statistics(array, parallel=1)))
            assert answer == right or (not short and "c/" in str(error)), error
            monkeypatch.undo()
            if left >= 0:
                break
        assert n >= 3
