"""The plan of a folder of meshes: what they are made of and how, and whether all are there.

A run that was interrupted left its plan, the tiles that were whole, and the meshes that were. The same run,
started again with ``resume=True``, takes these up. Another one is refused, and so is an array that has
changed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .._base import atomic_files, plans
from ..errors import FormatError
from . import files
from .encodings import FORMATS

PLAN = "meshes.json"
# The labels that have a mesh, or will have one.
LABELS = "labels.npy"
# Pieces of tiles, until their labels are whole.
WORK = "tiles"
_FORMAT, _VERSION = "crackle_zarr.meshes", 1
# What changes while a run goes on, and the place of the array, which may move.
_OPEN = ("state", "array")


def plan_of(facts: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The plan of a run that has not begun.

    Args:
        facts: what is known of the volume: ``array``, ``source`` and ``space``.
        parameters: on which the meshes depend, and ``format``.
    """
    plan = {"format": _FORMAT, "version": _VERSION, "state": "unfinished", **facts, "parameters": parameters}
    found: dict[str, Any] = json.loads(json.dumps(plan))
    return found


def read(folder: Path) -> dict[str, Any]:
    """The plan in a folder.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is damaged, or of a later version.
    """
    return plans.read(folder / PLAN, _FORMAT, _VERSION, "a folder of meshes")


def write(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan, as a whole."""
    plans.write(folder / PLAN, plan)


def write_labels(folder: Path, labels: npt.NDArray[Any]) -> None:
    """Write the list of labels, as a whole."""

    def fill(file: IO[bytes]) -> None:
        np.save(file, labels, allow_pickle=False)

    atomic_files.replace(str(folder / LABELS), fill)


def read_labels(folder: Path) -> npt.NDArray[Any]:
    """The list of labels, ascending.

    Raises:
        FormatError: it is damaged.
    """
    try:
        found: npt.NDArray[Any] = np.load(folder / LABELS, allow_pickle=False)
    except ValueError:
        raise FormatError(f"{folder / LABELS} is damaged") from None
    return found


def begin(folder: Path, plan: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Begin a run, or go on with one.

    Raises:
        FileExistsError: the folder has something, and neither ``resume`` nor ``overwrite`` says what to do.
        ValueError: ``resume``, and the run was another one, or the array has changed.
        FormatError: the plan is damaged.
    """
    if (folder / PLAN).exists():
        if not overwrite:
            _check(folder, plan, resume)
            return
        clear(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists already, and is no folder of meshes: give a folder that is new or empty"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, plan)


def _check(folder: Path, plan: dict[str, Any], resume: bool) -> None:
    found = read(folder)
    if not resume:
        is_whole = found.get("state") == "whole"
        what = "has meshes" if is_whole else "has an unfinished run"
        raise FileExistsError(
            f"{folder} {what} already: resume=True makes those that are missing, overwrite=True replaces all"
        )
    there = found.get("source", {})
    if {**there, "content": None} == {**plan["source"], "content": None} and there != plan["source"]:
        raise ValueError(
            f"{plan['array']} has changed since the meshes in {folder} were begun: overwrite=True starts anew"
        )
    differing = [
        name for name in plan if name not in (*_OPEN, "parameters") and found.get(name) != plan[name]
    ]
    theirs = found.get("parameters", {})
    differing += [name for name, value in plan["parameters"].items() if theirs.get(name) != value]
    if differing:
        raise ValueError(
            f"{folder} was begun with another {' and another '.join(differing)}: give the same array and "
            f"parameters to go on with it, or overwrite=True to start anew"
        )


def clear(folder: Path) -> None:
    """Remove the meshes of a folder and what is unfinished, the plan last; and the folder if it is empty."""
    shutil.rmtree(folder / WORK, ignore_errors=True)
    try:
        kind = read(folder)["parameters"]["format"]
    except (FormatError, KeyError):
        kind = None
    for one in FORMATS if kind not in FORMATS else (kind,):
        files.remove(folder, one)
    for name in ("info", LABELS):
        (folder / name).unlink(missing_ok=True)
    (folder / PLAN).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
