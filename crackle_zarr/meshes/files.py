"""Folders of meshes: the files of each label, and whether they are whole.

A label has one file, ``LABEL.ply`` or of another format. For Neuroglancer that is a fragment, ``LABEL.mesh``,
which the file ``LABEL:0`` names.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from .._base import atomic_files
from .encodings import encoded
from .mesh import Mesh

INFO = {"@type": "neuroglancer_legacy_mesh"}


def fragment_path(folder: Path, label: int, kind: str) -> Path:
    """The file with a label's vertices and faces."""
    return folder / f"{label}.{'mesh' if kind == 'precomputed' else kind}"


def write(folder: Path, mesh: Mesh, kind: str) -> None:
    """Write the files of a label; the last one appears when all are whole."""
    assert mesh.label is not None
    path = fragment_path(folder, mesh.label, kind)
    atomic_files.write_bytes(path, encoded(mesh.vertices, mesh.faces, kind))
    if kind == "precomputed":
        manifest = json.dumps({"fragments": [path.name]}).encode()
        atomic_files.write_bytes(folder / f"{mesh.label}:0", manifest)


def labels_in(folder: Path, kind: str) -> list[int]:
    """The labels that have a file in a folder, ascending."""
    suffix = fragment_path(Path(), 0, kind).suffix
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(rf"-?\d+{re.escape(suffix)}", entry.name):
                found.append(int(entry.name.removesuffix(suffix)))
    return sorted(found)


def is_whole(folder: Path, label: int, kind: str) -> bool:
    """Whether the files of a label are there, with the length that they say they have."""
    path = fragment_path(folder, label, kind)
    try:
        nbytes = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(1024)
        if kind == "precomputed":
            json.loads((folder / f"{label}:0").read_bytes())
    except (OSError, ValueError):
        return False
    if kind == "precomputed":
        vertices = int.from_bytes(begin[:4], "little")
        return nbytes >= 4 + 12 * vertices and (nbytes - 4) % 12 == 0 and nbytes > 4
    if kind == "glb":
        return begin[:4] == b"glTF" and int.from_bytes(begin[8:12], "little") == nbytes
    if kind == "ply":
        counts = [int(number) for number in re.findall(rb"element \w+ (\d+)", begin)]
        head = begin.find(b"end_header\n") + len(b"end_header\n")
        return len(counts) == 2 and nbytes == head + 12 * counts[0] + 13 * counts[1]
    return nbytes > 0  # OBJ does not say how long it is


def remove(folder: Path, kind: str) -> None:
    """Remove the files of all labels."""
    for label in labels_in(folder, kind):
        # The manifest first: without it, a viewer does not look for the fragment.
        (folder / f"{label}:0").unlink(missing_ok=True)
        fragment_path(folder, label, kind).unlink(missing_ok=True)
