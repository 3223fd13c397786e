"""Folders of skeletons that Neuroglancer opens."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .._base import atomic_files
from .precomputed import DEFAULT_ATTRIBUTES, dtype_of
from .skeleton import Skeleton


def write_folder(path: str | os.PathLike[str], skeletons: Iterable[Skeleton]) -> int:
    """Write a folder that Neuroglancer opens: ``info``, and a file for each skeleton, named by its id.

    Coordinates are physical. Existing files of the same names are replaced, each as a whole.

    Returns:
        The number of skeletons.

    Raises:
        ValueError: a skeleton has no id, a negative id, or other attributes than the first.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    attributes: list[dict[str, Any]] | None = None
    count = 0
    for one in skeletons:
        if one.id is None or one.id < 0:
            raise ValueError(f"a skeleton in a folder for Neuroglancer has an id from 0 on, not {one.id}")
        if attributes is None:
            attributes = one.extra_attributes
        if one.extra_attributes != attributes:
            raise ValueError(
                f"skeleton {one.id} has the attributes {one.extra_attributes}, the first one {attributes}"
            )
        atomic_files.write_bytes(folder / str(one.id), one.physical_space().to_precomputed())
        count += 1
    listed = [dict(one) for one in (DEFAULT_ATTRIBUTES if attributes is None else attributes)]
    for attribute in listed:
        dtype_of(attribute)
    info = {
        "@type": "neuroglancer_skeletons",
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "vertex_attributes": listed,
    }
    atomic_files.write_bytes(folder / "info", json.dumps(info, indent=2).encode())
    return count


def read_folder(path: str | os.PathLike[str]) -> Iterator[Skeleton]:
    """The skeletons of a folder that :func:`write_folder` wrote, by ascending id."""
    folder = Path(path)
    info = json.loads((folder / "info").read_text())
    if info.get("@type") != "neuroglancer_skeletons":
        raise ValueError(f"{folder / 'info'} is not about skeletons: its @type is {info.get('@type')!r}")
    ids = []
    for entry in folder.iterdir():
        with contextlib.suppress(ValueError):
            ids.append(int(entry.name))
    for segid in sorted(ids):
        data = (folder / str(segid)).read_bytes()
        yield Skeleton.from_precomputed(data, segid, info.get("vertex_attributes", []))
