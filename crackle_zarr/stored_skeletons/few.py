"""One label or a few, from the chunks that hold them, in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..skeletons.objects import Objects, objects_of_runs
from ..skeletons.parameters import ALL_FACES
from ..skeletons.teasar import targets_of, trace
from ..stored.chunk import Chunk
from ..stored.engine import Options, ask
from ..stored.fetch import Steps
from ..stored.layout import Box, Coords
from ..stored.objects import parts_of
from .frame import Frame

Runs: TypeAlias = npt.NDArray[Any]
RunsByLabel: TypeAlias = dict[int, list[Runs]]


@dataclass(frozen=True)
class RunsOf:
    """The voxels of some labels, as runs along x that count from the first voxel of the frame's part."""

    frame: Frame
    labels: npt.NDArray[Any]
    verify: bool

    def ask(self, chunk: Chunk) -> Steps[RunsByLabel | None]:
        """Those in one chunk."""
        parts = yield from parts_of(chunk, self.labels, self.verify)
        found = {}
        for label, some in parts.items():
            made = []
            for part in some:
                mask = self.frame.in_order(part.mask)
                first = [part.box[axis][0] for axis in self.frame.order]
                made.append(_runs(mask, [*first, 0, 0, 0][:3], self.frame.start))
            found[label] = made
        return found or None

    def merge(self, a: RunsByLabel, b: RunsByLabel) -> RunsByLabel:
        """Both; ``a`` takes those of ``b``."""
        for label, runs in b.items():
            a.setdefault(label, []).extend(runs)
        return a

    def enough(self, answer: RunsByLabel) -> bool:
        """Never: another chunk may hold more."""
        return False


def _runs(mask: npt.NDArray[np.bool_], first: Sequence[int], start: Sequence[int]) -> Runs:
    """The runs of a mask (x, y, z) that begins at the voxel ``first``, counted from ``start``."""
    # Rows along x, one after the other, with a place between two that is never set.
    rows = np.zeros((mask.shape[2], mask.shape[1], mask.shape[0] + 2), np.int8)
    rows[:, :, 1:-1] = mask.transpose(2, 1, 0)
    z, y, begin = np.nonzero(np.diff(rows, axis=2) == 1)
    _, _, end = np.nonzero(np.diff(rows, axis=2) == -1)
    made = np.empty(len(begin), _binding.RUN)
    shift = [int(one - base) for one, base in zip(first, start, strict=True)]
    made["x"], made["end"] = begin + shift[0], end + shift[0]
    made["y"], made["z"] = y + shift[1], z + shift[2]
    return made


def joined(runs: Sequence[Runs]) -> Runs:
    """Runs of several boxes that do not overlap as those of one volume: sorted, and not touching."""
    all_runs = np.concatenate([np.zeros(0, _binding.RUN), *runs])
    all_runs = all_runs[np.lexsort((all_runs["x"], all_runs["y"], all_runs["z"]))]
    if not len(all_runs):
        return all_runs
    begins = np.ones(len(all_runs), bool)
    before, behind = all_runs[:-1], all_runs[1:]
    begins[1:] = (behind["x"] != before["end"]) | (behind["y"] != before["y"]) | (behind["z"] != before["z"])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(all_runs)) - 1
    made = all_runs[first]
    made["end"] = all_runs["end"][last]
    return made


def runs_of(
    frame: Frame,
    labels: Iterable[int],
    options: Options,
    verify: bool,
    coords: Iterable[Coords] | None = None,
    box: Box | None = None,
) -> dict[int, Runs]:
    """The voxels of labels, as runs that count from the first voxel of the frame's part.

    Args:
        frame: of the array.
        labels: which.
        options: how to ask.
        verify: verify checksums.
        coords: the chunks that hold them; None: all in the box.
        box: only there; None: in all of the frame's part.
    """
    wanted = np.array(sorted(set(labels)), frame.layout.native)
    if not len(wanted):
        return {}
    question = RunsOf(frame, wanted, verify)
    found = ask(frame.layout, question, frame.box if box is None else box, options, coords) or {}
    return {label: joined(found[label]) for label in sorted(found)}


def num_voxels(runs: Runs) -> int:
    """How many voxels runs have."""
    return int((runs["end"] - runs["x"]).sum(dtype=np.int64))


def trace_runs(
    frame: Frame, settings: Any, runs: dict[int, Runs], threads: int, progress: Any = False
) -> tuple[Objects, dict[int, _binding.Traced]]:
    """The objects of labels that are given as runs, and the skeleton of each."""
    fields = settings.fields(frame.size)
    fields["border_faces"] = ALL_FACES if settings.fix_borders else 0
    objects = objects_of_runs(runs, frame.shape, settings.dust_threshold, settings.changes(fields))

    def within(points: Any) -> list[tuple[int, ...]]:
        moved = [tuple(p - first for p, first in zip(point, frame.start, strict=True)) for point in points]
        return [
            point
            for point in moved
            if all(0 <= index < length for index, length in zip(point, frame.shape, strict=True))
        ]

    targets = targets_of(objects, within(settings.before), within(settings.after))
    return objects, trace(objects, fields, targets, threads, progress=progress)
