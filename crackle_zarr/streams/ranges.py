"""Ranges of slices and of bytes: select the requests to a store, and cut the bytes out of the answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..errors import FormatError

Ranges: TypeAlias = list[tuple[int, int]]  # half-open and ascending, with gaps between them

# A request costs about as much as some hundred more bytes, because of its own headers.
FIRST_REQUEST = 1024
_WORTH_A_REQUEST = 1024

# Many chunks are read at once, so one chunk uses few connections.
_MOST_REQUESTS = 8


def consecutive(slices: npt.NDArray[np.intp]) -> Ranges:
    """Group ascending numbers into ranges of consecutive numbers."""
    breaks = np.flatnonzero(np.diff(slices) > 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(slices, breaks) if len(run)]


def join(ranges: Iterable[tuple[int, int]], gap: int) -> Ranges:
    """Join ascending ranges that less than ``gap`` separates."""
    joined: Ranges = []
    for start, end in ranges:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def requests_for(wanted: Ranges, have: int) -> Ranges:
    """The byte ranges to request: all wanted ones, without the first ``have`` bytes."""
    missing = [(max(start, have), end) for start, end in wanted if end > max(start, have)]
    ranges = join(missing, _WORTH_A_REQUEST)
    if len(ranges) <= _MOST_REQUESTS:
        return ranges
    by_gap = sorted(range(1, len(ranges)), key=lambda place: ranges[place - 1][1] - ranges[place][0])
    firsts = [0, *sorted(by_gap[: _MOST_REQUESTS - 1]), len(ranges)]  # split at the widest gaps
    return [(ranges[first][0], ranges[last - 1][1]) for first, last in itertools.pairwise(firsts)]


def cut(pieces: Sequence[tuple[int, npt.NDArray[Any]]], start: int, end: int) -> npt.NDArray[Any]:
    """The bytes [start, end) of a stream, out of ascending pieces that cover them."""
    parts = [
        piece[max(start - offset, 0) : end - offset]
        for offset, piece in pieces
        if start < offset + len(piece) and offset < end
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)


def truncated(layout: _binding.Layout, nbytes: int) -> FormatError:
    """The error for a stream that ends after ``nbytes``."""
    ends = {
        "labels": layout.markov_model,
        "markov model": layout.crack_codes,
        "crack codes": layout.checksums,
    }
    section = next((name for name, end in ends.items() if nbytes < end), "checksums")
    return FormatError(
        f"not a sound Crackle stream: it ends after {nbytes} of {layout.end} bytes (section: {section})",
        section,
    )
