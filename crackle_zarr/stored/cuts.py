"""How an axis of an array is cut into pieces: chunks or shards.

Nearly always all pieces have one length; in a rectilinear grid each has its own. The last piece may reach
beyond the end of the axis. Everything above asks here, so that nothing else multiplies an index by a length.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Bounds: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Even:
    """Pieces of one length; takes no memory for them, however many there are.

    Attributes:
        length: of the axis.
        step: the length of a piece.
    """

    length: int
    step: int

    def __len__(self) -> int:
        """How many pieces there are."""
        return -(-self.length // self.step)

    @property
    def longest(self) -> int:
        """The length of the longest piece."""
        return self.step

    @property
    def json(self) -> int | list[int]:
        """The lengths: one, or that of each piece."""
        return self.step

    def bounds(self, index: int) -> Bounds:
        """Where a piece begins and ends, which may be behind the end of the axis."""
        return index * self.step, (index + 1) * self.step

    def starts(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where some pieces begin."""
        return indices * self.step

    def index(self, place: int) -> int:
        """The piece that holds a place of the axis."""
        return place // self.step

    def within(self, start: int, stop: int) -> range:
        """The pieces that have places of a range."""
        return range(start // self.step, -(-stop // self.step)) if start < stop else range(0)

    def is_cut(self, place: int) -> bool:
        """Whether a piece begins at a place, or the last one ends there."""
        return place % self.step == 0

    def keeps(self, block: int) -> bool:
        """Whether no block of so many places, counted from the first place, lies in two pieces."""
        return self.step % block == 0 or self.length <= self.step


@dataclass(frozen=True)
class Uneven:
    """Pieces of different lengths.

    Attributes:
        length: of the axis.
        lengths: of the pieces, which cover the axis; those behind its end do not count.
    """

    length: int
    lengths: tuple[int, ...]
    _edges: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Add up the lengths."""
        edges = [0]
        for length in self.lengths:
            if edges[-1] >= self.length:
                break
            edges.append(edges[-1] + length)
        if edges[-1] < self.length:
            raise ValueError(f"chunks of the lengths {self.lengths} do not cover an axis of {self.length}")
        object.__setattr__(self, "_edges", tuple(edges))

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._edges) - 1

    @property
    def longest(self) -> int:
        """The length of the longest piece."""
        return max((high - low for low, high in itertools.pairwise(self._edges)), default=1)

    @property
    def json(self) -> int | list[int]:
        """The lengths: one, or that of each piece."""
        return [high - low for low, high in itertools.pairwise(self._edges)]

    def bounds(self, index: int) -> Bounds:
        """Where a piece begins and ends, which may be behind the end of the axis."""
        return self._edges[index], self._edges[index + 1]

    def starts(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where some pieces begin."""
        return np.array(self._edges, dtype=np.int64)[indices]

    def index(self, place: int) -> int:
        """The piece that holds a place of the axis."""
        return bisect.bisect_right(self._edges, place) - 1

    def within(self, start: int, stop: int) -> range:
        """The pieces that have places of a range."""
        return range(self.index(start), self.index(stop - 1) + 1) if start < stop else range(0)

    def is_cut(self, place: int) -> bool:
        """Whether a piece begins at a place, or the last one ends there."""
        found = bisect.bisect_left(self._edges, place)
        return found < len(self._edges) and self._edges[found] == place

    def keeps(self, block: int) -> bool:
        """Whether no block of so many places, counted from the first place, lies in two pieces."""
        return all(edge % block == 0 for edge in self._edges[:-1])


Cuts: TypeAlias = Even | Uneven


def cuts_of(shape: Sequence[int], lengths: Sequence[Any]) -> tuple[Cuts, ...]:
    """The cuts of each axis: by one length, or by a sequence of lengths."""
    return tuple(
        Even(whole, one) if isinstance(one, int) else Uneven(whole, tuple(one))
        for whole, one in zip(shape, lengths, strict=True)
    )
