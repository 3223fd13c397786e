"""Pairs of a large mapping in Parquet, whose row groups are read when a label of theirs is looked up."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import pairs
from .tables import RowGroups

# Smaller files are read at once.
_MANY = 1 << 20


class Unordered(Exception):  # noqa: N818 - it leads to another way, and to no message
    """The pairs of a row group do not ascend, so all are needed to put them in order."""


class GroupedPairs:
    """Pairs by ascending old label, of a file whose row groups follow each other.

    The statistics in the footer of the file tell the range of each row group. Once a row group is read, its
    old labels are compared with its range, and have to ascend.

    A row group that was read stays in memory: the labels of a chunk often come from all over the mapping, and
    a bounded cache would decompress the same row groups for every chunk.
    """

    def __init__(self, groups: RowGroups, ranges: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> None:
        self._groups = groups
        self._low, self._high = ranges
        self._read = np.zeros(len(self._low), dtype=np.bool_)
        self._ordered: pairs.Pairs | None = None
        self._lock = threading.Lock()
        self._stamp = _stamp(groups.path)

    @classmethod
    def of(cls, mapping: Any) -> GroupedPairs | None:
        """The pairs of a mapping; None if it is no file of this kind, and has to be read as a whole."""
        groups = pairs.parquet_of(mapping)
        if groups is None or groups.starts[-1] < _MANY or len(groups.starts) == 2:
            return None
        if any(column.dtype.kind not in "iu" for column in groups.columns):
            return None
        ranges = groups.bounds(0)
        if ranges is None or groups.bounds(1) is None or (np.diff(groups.starts) == 0).any():
            return None
        if not (ranges[0][1:] > ranges[1][:-1]).all():
            return None
        return cls(groups, ranges)

    def __len__(self) -> int:
        return int(self._groups.starts[-1])

    def __reduce__(self) -> Any:
        """Pickle the place of the file: workers on this machine read the row groups that they need."""
        return _reopened, (self._groups.path, self._stamp)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the old labels."""
        return self._low.dtype

    def values_range(self) -> tuple[int, int]:
        """The least and the greatest new label."""
        found = self._groups.bounds(1)
        assert found is not None
        return int(found[0].min()), int(found[1].max())

    def all(self, order: Callable[[pairs.Column, pairs.Column], pairs.Pairs]) -> pairs.Pairs:
        """All pairs, which ``order`` puts in order, once."""
        with self._lock:
            if self._ordered is None:
                self._refuse_another_file()
                # They do not count as read before they are known to ascend: another thread may be in find().
                self._groups.read(np.flatnonzero(~self._read).tolist())
                self._ordered = order(*self._groups.columns)
            return self._ordered

    def find(self, wanted: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Whether each label is an old one, and the new labels of those that are.

        Raises:
            Unordered: a row group has to be put in order first.
            ValueError: the file contradicts itself.
        """
        keys, values = self._groups.columns
        group = np.searchsorted(self._high, wanted)
        found = group < len(self._high)
        found[found] = self._low[group[found]] <= wanted[found]
        inside = np.flatnonzero(found)
        inside = inside[np.argsort(group[inside], kind="stable")]
        needed, firsts = np.unique(group[inside], return_index=True)
        self._need(needed)
        place = np.zeros(len(wanted), dtype=np.int64)
        for number, some in zip(needed.tolist(), np.split(inside, firsts)[1:], strict=True):
            start, stop = self._groups.starts[number : number + 2]
            place[some] = start + np.searchsorted(keys[start:stop], wanted[some])
        found[inside] = keys[place[inside]] == wanted[inside]
        return found, values[place[found]]

    def _need(self, numbers: npt.NDArray[np.intp]) -> None:
        if self._read[numbers].all():
            return
        with self._lock:
            missing = numbers[~self._read[numbers]].tolist()
            self._refuse_another_file()
            self._groups.read(missing)
            for number in missing:
                start, stop = self._groups.starts[number : number + 2]
                keys = self._groups.columns[0][start:stop]
                if keys.min() != self._low[number] or keys.max() != self._high[number]:
                    raise ValueError(
                        f"{self._groups.path}: the old labels of row group {number} go from {keys.min()} to "
                        f"{keys.max()}, and its statistics tell otherwise: write the file again"
                    )
                if not (keys[1:] > keys[:-1]).all():
                    raise Unordered
                self._read[number] = True

    def _refuse_another_file(self) -> None:
        if _stamp(self._groups.path) != self._stamp:
            raise ValueError(f"{self._groups.path} has changed since it was opened: open it again")


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=1)  # a worker unpickles the mapping with every task
def _reopened(path: Path, stamp: tuple[int, int]) -> GroupedPairs:
    found = GroupedPairs.of(path) if _stamp(path) == stamp else None
    if found is None:
        raise ValueError(f"{path} has changed since it was opened: open it again")
    return found
