"""Meshes of a volume: tile by tile, then label by label; in memory, or as files that a run goes on with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from .._base.integers import some
from ..errors import MissingLabelError
from ..stored.engine import Options, run
from ..stored.layout import Coords
from ..stored_skeletons.grid import Grid, tiles_with
from . import files, plan, precomputed
from .dataset import MeshFolder
from .labels import JoinLabels, Settings
from .mesh import Mesh
from .tiles import Found, MeshTile, number_of, rows_dtype
from .volumes import StoredVolume, Volume

# A task of the second pass has labels with pieces of so many bytes, unless one label has more.
_NBYTES_AT_ONCE = 2**23


@dataclass(frozen=True)
class Work:
    """A volume to mesh, and how.

    Attributes:
        volume: the labels.
        settings: how meshes are made and written.
        labels: only these, ascending; None: all but 0.
        options: where tasks run.
        memory: bytes of a tile.
        coords: of a stored array, the chunks that hold the labels; None: nobody knows.
    """

    volume: Volume
    settings: Settings
    labels: tuple[int, ...] | None
    options: Options
    memory: int
    coords: list[Coords] | None = None


def meshes(work: Work) -> dict[int, Mesh]:
    """All meshes, in memory.

    Raises:
        MissingLabelError: the volume lacks some of the labels; the error names them.
    """
    grid = work.volume.grid(work.memory)
    found = _tiles(work, grid, work.labels, None)
    if work.labels is not None:
        _refuse_absent(work.labels, found.rows["label"])
    made = _labels(work, grid, found, None, None)
    return {label: made[label] for label in sorted(made)}


def meshes_to(
    work: Work, out: str | os.PathLike[str], facts: dict[str, Any], resume: bool, overwrite: bool
) -> MeshFolder:
    """All meshes, as files at ``out``.

    Args:
        work: what to do.
        out: the folder.
        facts: what is known of the volume, for the plan.
        resume: make those that are missing.
        overwrite: replace all.

    Raises:
        FileExistsError: see ``plan.begin``.
        ValueError: see there; or a label is negative; or the volume around the folder has other meshes.
        MissingLabelError: the volume lacks some of the labels; the error names them.
    """
    folder, settings = Path(out), work.settings
    assert settings.kind is not None
    if settings.kind == "precomputed":
        precomputed.refuse_other_meshes(folder)
    parameters = {
        "labels": None if work.labels is None else list(work.labels),
        "format": settings.kind,
        "simplify": settings.simplify,
        "max_error": settings.max_error,
    }
    made = plan.plan_of(facts, parameters)
    plan.begin(folder, made, resume, overwrite)
    remaining = _remaining(work, folder)
    if remaining is None or remaining:
        if plan.read(folder)["state"] == "whole":
            plan.write(folder, made)
        grid = work.volume.grid(work.memory)
        inside, wanted = _workplace(folder, grid, remaining)
        found = _tiles(work, grid, wanted, inside)
        _check_labels(work, folder, remaining, found.rows["label"])
        _labels(work, grid, _without(found, folder, settings.kind), inside, folder)
    if settings.kind == "precomputed":
        atomic_files.write_bytes(folder / "info", json.dumps(files.INFO).encode())
        precomputed.name_meshes(folder)
    plan.write(folder, {**made, "state": "whole"})
    shutil.rmtree(folder / plan.WORK, ignore_errors=True)
    return MeshFolder(folder)


def _check_labels(
    work: Work, folder: Path, remaining: tuple[int, ...] | None, there: npt.NDArray[Any]
) -> None:
    """Refuse labels that the volume lacks or the format does not take, and keep the list of the others."""
    kind = work.settings.kind
    assert kind is not None
    labels = np.unique(there)
    labels = labels[labels != 0]
    try:
        if remaining is not None:
            _refuse_absent(remaining, labels)
        if kind == "precomputed" and len(labels) and int(labels[0]) < 0:
            raise ValueError(
                f"a mesh for Neuroglancer has a label from 0 on, and there is {int(labels[0])}: choose "
                f"labels, or the format ply, obj or glb"
            )
    except ValueError:
        if not files.labels_in(folder, kind):
            plan.clear(folder)
        raise
    if not (folder / plan.LABELS).exists():
        plan.write_labels(folder, labels)


def _refuse_absent(wanted: Iterable[int], present: npt.NDArray[Any]) -> None:
    absent = sorted(set(wanted) - set(np.unique(present).tolist()))
    if absent:
        raise MissingLabelError(f"there is no label {some(np.array(absent, dtype=object))}")


# ---------------------------------------------------------------------------------------
# The passes


def _tiles(work: Work, grid: Grid, labels: tuple[int, ...] | None, folder: Path | None) -> Found:
    """The pieces of all tiles; those on disk are in ``folder``."""
    coords, volume = work.coords, work.volume
    if coords is None or not isinstance(volume, StoredVolume):
        numbers = list(range(len(grid)))
    else:
        numbers = sorted(number_of(grid, tile) for tile in tiles_with(volume.frame, grid, coords))
    wanted = None if labels is None else frozenset(labels)
    tasks = (MeshTile(volume, grid, number, wanted, folder) for number in numbers)
    found = run(tasks, work.options, total=len(numbers), unit="tile", merge=Found.merge)
    return Found(np.zeros(0, rows_dtype(volume.label_dtype)), {}) if found is None else found


def _without(found: Found, folder: Path, kind: str) -> Found:
    """The pieces without those of labels whose files are whole."""
    whole = [label for label in files.labels_in(folder, kind) if files.is_whole(folder, label, kind)]
    kept = ~np.isin(found.rows["label"], np.array(whole, found.rows["label"].dtype))
    return replace(found, rows=found.rows[kept])


def _labels(work: Work, grid: Grid, found: Found, inside: Path | None, out: Path | None) -> dict[int, Mesh]:
    """Make the meshes of pieces; the result is empty if they are written to ``out``."""
    rows = found.rows[np.lexsort((found.rows["tile"], found.rows["label"]))]
    rows = rows[rows["label"] != 0]

    def tasks() -> Iterator[JoinLabels]:
        for some_rows in _groups(rows):
            pieces = None
            if inside is None:
                places = zip(some_rows["tile"].tolist(), some_rows["row"].tolist(), strict=True)
                pieces = {(tile, row): found.pieces[tile][row] for tile, row in places}
            yield JoinLabels(work.settings, grid, some_rows, pieces, inside, out)

    total = len(np.unique(rows["label"]))
    made = run(tasks(), work.options, total=total, unit="label", merge=lambda a, b: {**a, **b})
    return made or {}


def _groups(rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Rows, sorted by label, in groups of whole labels."""
    if not len(rows):
        return
    ends = np.append(np.flatnonzero(np.diff(rows["label"])) + 1, len(rows))
    behind = np.cumsum(rows["nbytes"])
    first = before = 0
    for end in ends.tolist():
        if behind[end - 1] - before >= _NBYTES_AT_ONCE or end == len(rows):
            yield rows[first:end]
            first, before = end, int(behind[end - 1])


# ---------------------------------------------------------------------------------------
# Folders


def _remaining(work: Work, folder: Path) -> tuple[int, ...] | None:
    """The labels whose files are not whole; None: all labels of the volume."""
    kind = work.settings.kind
    assert kind is not None
    expected = work.labels
    if expected is None and (folder / plan.LABELS).exists():
        expected = tuple(plan.read_labels(folder).tolist())
    if expected is None:
        return None
    return tuple(label for label in expected if not files.is_whole(folder, label, kind))


def _workplace(
    folder: Path, grid: Grid, labels: tuple[int, ...] | None
) -> tuple[Path, tuple[int, ...] | None]:
    """The folder for pieces, and the labels that its tiles have; None: all.

    If an earlier run left other tiles, or tiles that lack one of the labels, they are removed.
    """
    inside = folder / plan.WORK
    path = inside / "tiles.json"
    tiles = {name: list(corner) for name, corner in asdict(grid).items()}
    if path.exists():
        found = json.loads(path.read_bytes())
        there = found["labels"]
        if found["tiles"] == tiles and (there is None or (labels is not None and set(labels) <= set(there))):
            return inside, None if there is None else tuple(there)
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    atomic_files.write_bytes(path, json.dumps({"tiles": tiles, "labels": labels}).encode())
    return inside, labels
