"""The plan of a dataset of skeletons: what it is made of and how, and how far it is.

A run that was interrupted left its plan and the files that were whole. The same run, started again with
``resume=True``, takes these up. Another one is refused, and so is an array that has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._base import plans, zarr_facts
from .frame import Frame
from .grid import Grid
from .parts import KINDS, PLAN
from .settings import Settings

_FORMAT, _VERSION = "crackle_zarr.skeletons", 1
# Pieces of tiles, until they are merged.
WORK = "tiles"
# What changes while a run goes on, and the place of the array, which may move.
_OPEN = ("state", "ranges", "array")


def plan_of(frame: Frame, grid: Grid, settings: Settings, memory: int) -> dict[str, Any]:
    """The plan of a run that has not begun."""
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "state": "tracing",
        **facts_of(frame),
        "tiles": {name: list(value) for name, value in asdict(grid).items()},
        "memory": memory,
        "parameters": json.loads(json.dumps(settings.as_json())),
        "ranges": [],
    }


def facts_of(frame: Frame) -> dict[str, Any]:
    """What a plan says about the array and its space."""
    layout = frame.layout
    metadata = hashlib.sha256()
    for key, buffer in sorted(zarr_facts.metadata_objects(layout.array).items()):
        if not key.endswith(".zattrs"):
            metadata.update(key.encode() + _without_attributes(buffer.to_bytes()))
    return {
        "array": layout.name,
        "source": {
            "shape": list(layout.shape),
            "chunks": [cut.json for cut in layout.cuts],
            "dtype": str(layout.array.dtype),
            "metadata": metadata.hexdigest(),
            "mapping": None if layout.mapping is None else _digest(layout.mapping),
            "region": [list(bounds) for bounds in frame.box],
        },
        "space": {
            "axes": list(frame.order),
            "voxel_size": list(frame.size),
            "origin": list(frame.origin),
            "unit": frame.unit,
        },
    }


def _without_attributes(metadata: bytes) -> bytes:
    """The JSON of an array without its attributes, which say nothing about voxels but what the plan has."""
    told = json.loads(metadata)
    told.pop("attributes", None)
    return json.dumps(told, sort_keys=True).encode()


def _digest(mapping: Any) -> str:
    told = hashlib.sha256(mapping.keys.tobytes() + mapping.values.tobytes())
    told.update(str(mapping.preserve).encode())
    return told.hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """The plan in a folder.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is damaged, or of a later version.
    """
    return plans.read(folder / PLAN, _FORMAT, _VERSION, "a dataset of skeletons")


def write(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan, as a whole."""
    plans.write(folder / PLAN, plan)


def begin(folder: Path, plan: dict[str, Any], resume: bool, overwrite: bool) -> dict[str, Any]:
    """Begin a run, or go on with one: the plan as it stands.

    Raises:
        FileExistsError: the folder has something, and neither ``resume`` nor ``overwrite`` says what to do.
        ValueError: ``resume``, and the run was another one.
        FormatError: the plan is damaged.
    """
    if (folder / PLAN).exists():
        if overwrite:
            clear(folder)
        else:
            return _continued(folder, plan, resume)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists already, and is no dataset of skeletons: give a folder that is new or empty"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, plan)
    return plan


def _continued(folder: Path, plan: dict[str, Any], resume: bool) -> dict[str, Any]:
    found = read(folder)
    is_whole = found.get("state") == "whole"
    if not resume:
        what = "is a dataset of skeletons" if is_whole else "is an unfinished dataset of skeletons"
        go_on = "" if is_whole else "resume=True goes on with it, "
        raise FileExistsError(f"{folder} {what}: {go_on}overwrite=True replaces it")
    differing = [
        name for name in plan if name not in _OPEN and name != "parameters" and found.get(name) != plan[name]
    ]
    theirs = found.get("parameters", {})
    differing += [name for name, value in plan["parameters"].items() if theirs.get(name) != value]
    if differing:
        raise ValueError(
            f"{folder} was begun with another {' and another '.join(differing)}: give the same array and "
            f"parameters to go on with it, or overwrite=True to start anew"
        )
    return found


def clear(folder: Path) -> None:
    """Remove a dataset: its parts first, and the plan last."""
    for name in (WORK, *KINDS):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / PLAN).unlink(missing_ok=True)
