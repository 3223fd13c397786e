"""Changes to components before they are traced.

Filled holes, and nuclei joined with the cells around them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .intervals import Line, Owners, Runs, box, crop, difference, union

# Avocados: at most this many rounds, as in Kimimaro.
_ROUNDS = 20
# A component may be the nucleus of a soma if it is this many times thinner than somas are.
_THINNER = 2.5


def fill_holes(components: list[Runs], shape: tuple[int, int, int]) -> list[Runs]:
    """Fill the voids of components, in their order.

    Every component that lies in a void, wholly or in part, is dissolved: its array of runs becomes empty.

    Complexity: a sort of the runs.
    """
    line = Line(shape)
    owners = Owners([line.intervals(runs) for runs in components])
    done = list(components)
    for number in range(len(done)):
        filled = _binding.fill_voids(done[number]) if len(done[number]) else done[number]
        if len(filled) == len(done[number]):
            continue
        voids = difference(line.intervals(filled), line.intervals(done[number]))
        for other in owners.within(voids).tolist():
            if other != number:
                done[other] = done[other][:0]
        done[number] = filled
    return done


def fix_avocados(
    components: list[Runs], shape: tuple[int, int, int], parameters: dict[str, Any]
) -> list[Runs]:
    """Join nuclei that were segmented apart with the cells around them: pits with their fruits.

    A thick component is taken for a pit. From its thickest voxel six rays go along the axes, up to the first
    voxel outside; the component there has a vote, the background has none. With three votes or more, and at
    most one against (none, if there are three), the component with most votes is the fruit. The pit and the
    part of the fruit around it become one, holes filled. A pit without a fruit has its own holes filled.
    Rounds go on until nothing changes, at most 20.

    Args:
        components: runs; those that are dissolved become empty.
        shape: of the volume.
        parameters: the fields of ``struct crackle_teasar``.

    Complexity: a distance field of every thick component in every round.
    """
    line = Line(shape)
    done = list(components)
    settled: set[int] = set()
    for _ in range(_ROUNDS):
        changed = False
        runs = _binding.Runs.make(shape, done)
        for number in range(len(done)):
            if number in settled or not len(done[number]):
                continue
            # In an earlier step of this round the component may have lost voxels; then it is looked at in the
            # next.
            radius, point = runs.widest(number, parameters)
            if radius <= parameters["soma_detection"] / _THINNER or not _has(done[number], point):
                settled.add(number)
                continue
            touched = _merge_pit(done, number, point, line)
            settled -= touched
            changed |= bool(touched)
            if number not in touched:
                settled.add(number)
        if not changed:
            break
    return done


def _has(runs: Runs, point: tuple[int, int, int]) -> bool:
    x, y, z = point
    return bool(((runs["z"] == z) & (runs["y"] == y) & (runs["x"] <= x) & (runs["end"] > x)).any())


def _merge_pit(done: list[Runs], pit: int, point: tuple[int, int, int], line: Line) -> set[int]:
    """Merge one pit with its fruit; returns the numbers of the components that changed."""
    sets = [line.intervals(runs) for runs in done]
    owners = Owners(sets)
    fruit = _fruit(pit, point, owners, line)
    start, stop = box(done[pit])
    whole = union(sets[pit], *(line.intervals(one) for one in _filled_faces(done[pit], start, stop)))
    if fruit is not None:
        whole = union(whole, line.intervals(crop(done[fruit], start, stop)))
    whole = line.intervals(_binding.fill_voids(line.runs(whole)))
    heir = pit if fruit is None else fruit
    changed = {pit} if fruit is not None or whole.size() != sets[pit].size() else set()
    for other in owners.within(whole).tolist():
        if other not in (pit, heir):
            done[other] = line.runs(difference(sets[other], whole))
            changed.add(other)
    if fruit is not None:
        done[pit] = done[pit][:0]
        changed.add(fruit)
    if changed:
        done[heir] = line.runs(whole if fruit is None else union(sets[fruit], whole))
    return changed


def _fruit(pit: int, point: tuple[int, int, int], owners: Owners, line: Line) -> int | None:
    votes: dict[int, int] = {}
    for axis in range(3):
        for along in (
            range(point[axis] + 1, line.shape[axis]),
            range(point[axis] - 1, -1, -1),
        ):
            places = np.full((len(along), 3), point, np.int64)
            places[:, axis] = np.arange(along.start, along.stop, along.step)
            met = owners.at(np.array([line.place(*place) for place in places.tolist()], np.int64))
            outside = np.flatnonzero(met != pit)
            if len(outside) and met[outside[0]] >= 0:
                found = int(met[outside[0]])
                votes[found] = votes.get(found, 0) + 1
    total = sum(votes.values())
    if total < 3:
        return None
    best = min(votes, key=lambda number: (-votes[number], number))
    against = total - votes[best]
    return best if against <= (0 if total == 3 else 1) else None


def _filled_faces(runs: Runs, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> list[Runs]:
    """The pixels of an object on the six faces of its bounding box, with holes filled, as runs."""
    faces = []
    for at in {int(start[2]), int(stop[2]) - 1}:
        faces.append(_binding.fill_voids(runs[runs["z"] == at], True))
    for at in {int(start[1]), int(stop[1]) - 1}:
        face = runs[runs["y"] == at].copy()
        face["y"], face["z"] = face["z"].copy(), at
        filled = _binding.fill_voids(face, True).copy()
        filled["z"], filled["y"] = filled["y"].copy(), at
        faces.append(filled)
    for at in {int(start[0]), int(stop[0]) - 1}:
        pixels = runs[(runs["x"] <= at) & (runs["end"] > at)]
        faces.append(_along_x(_binding.fill_voids(_along_y(pixels), True), at))
    return faces


def _along_y(pixels: Runs) -> Runs:
    """Pixels (y, z) of a face, sorted by z and y, as runs along y in a plane of rows z."""
    y, z = pixels["y"].astype(np.int64), pixels["z"].astype(np.int64)
    begins = np.ones(len(y), bool)
    begins[1:] = (z[1:] != z[:-1]) | (y[1:] != y[:-1] + 1)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(y))[: len(first)] - 1
    made = np.zeros(len(first), _binding.RUN)
    made["x"], made["end"], made["y"] = y[first], y[last] + 1, z[first]
    return made


def _along_x(plane: Runs, at: int) -> Runs:
    """The reverse of :func:`_along_y`: runs of one voxel at x = ``at``."""
    lengths = (plane["end"] - plane["x"]).astype(np.int64)
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    made = np.zeros(len(offsets), _binding.RUN)
    made["x"], made["end"] = at, at + 1
    made["y"] = np.repeat(plane["x"].astype(np.int64), lengths) + offsets
    made["z"] = np.repeat(plane["y"], lengths)
    return made
