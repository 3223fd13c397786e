"""Locks between processes, as files, for parts of an array and for all of it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

Region = tuple[slice, ...]


class Locks:
    """Shared and exclusive locks of chunks or shards, and an exclusive lock of the whole array."""

    def __init__(self, folder: Path, shape: tuple[int, ...], unit: tuple[int, ...]) -> None:
        """Open the locks of an array in a folder; ``unit`` is the shape of its chunks or shards."""
        self._unit = unit
        self._gate = self._opened(folder / "gate")
        self._whole = self._opened(folder / "whole")
        grid = tuple(-(-length // step) for length, step in zip(shape, unit, strict=True))
        self._units = {index: self._opened(folder / "-".join(map(str, index))) for index in np.ndindex(*grid)}

    @staticmethod
    def _opened(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT)

    def _enter(self, operation: int) -> None:
        # A process that waits for the whole array holds the gate, so that new readers cannot starve it.
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._whole, operation)
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def region(self, region: Region, writing: bool = False) -> Iterator[None]:
        """Lock the chunks or shards that a region touches: exclusively for writing, else shared."""
        touched = itertools.product(
            *(
                range(part.start // step, (part.stop - 1) // step + 1)
                for part, step in zip(region, self._unit, strict=True)
            )
        )
        units = [
            self._units[index] for index in touched
        ]  # in ascending order everywhere, to prevent deadlock
        self._enter(fcntl.LOCK_SH)
        for unit in units:
            fcntl.flock(unit, fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
        try:
            yield
        finally:
            for unit in units:
                fcntl.flock(unit, fcntl.LOCK_UN)
            fcntl.flock(self._whole, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def everything(self) -> Iterator[None]:
        """Lock the whole array exclusively."""
        self._enter(fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._whole, fcntl.LOCK_UN)
