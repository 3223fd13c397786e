"""Folders of meshes within volumes of Neuroglancer, whose ``info`` names the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._base import atomic_files

_VOLUMES = ("neuroglancer_multiscale_volume", None)


def _info_above(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The ``info`` of the volume in which a folder is, if it is in one."""
    path = folder.absolute().parent / "info"
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(info, dict) or info.get("@type") not in _VOLUMES or info.get("type") != "segmentation":
        return None
    return path, info


def refuse_other_meshes(folder: Path) -> None:
    """Raise ValueError if a folder is in a volume that has its meshes elsewhere."""
    found = _info_above(folder)
    if found is not None and found[1].get("mesh") not in (None, folder.name):
        path, info = found
        raise ValueError(
            f"the volume {path.parent} has its meshes in {info['mesh']!r}: write to "
            f"{path.parent / info['mesh']}, or to a folder outside of the volume"
        )


def name_meshes(folder: Path) -> None:
    """Let the ``info`` of the volume around a folder name it; all else in it stays."""
    found = _info_above(folder)
    if found is not None and "mesh" not in found[1]:
        path, info = found
        atomic_files.write_bytes(path, json.dumps({**info, "mesh": folder.name}).encode())
