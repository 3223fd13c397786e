"""Neuroglancer's format of skeletons: bytes of one, and a folder of many.

The bytes, all little-endian: the numbers of vertices and edges as uint32, coordinates as float32, edges as
pairs of uint32, then each vertex attribute in the order of the folder's ``info`` file.

Source: Neuroglancer, "Precomputed: skeletons".
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._base import atomic_files
from .skeleton import RADIUS, VERTEX_TYPES, Skeleton

# The attributes of a skeleton that does not say which it has.
DEFAULT_ATTRIBUTES = (RADIUS, VERTEX_TYPES)

_TYPES = {"float32", "int8", "uint8", "int16", "uint16", "int32", "uint32"}


def to_precomputed(skeleton: Skeleton) -> bytes:
    """A skeleton as Neuroglancer reads it, with its attributes in the order of ``extra_attributes``.

    Raises:
        ValueError: an attribute has a type that the format lacks.
    """
    parts = [
        np.array([len(skeleton.vertices), len(skeleton.edges)], "<u4").tobytes(),
        skeleton.vertices.astype("<f4").tobytes(),
        skeleton.edges.astype("<u4").tobytes(),
    ]
    for attribute in skeleton.extra_attributes:
        dtype = _dtype(attribute)
        values = np.asarray(getattr(skeleton, attribute["id"]))
        if len(values) != len(skeleton.vertices):
            raise ValueError(
                f"attribute {attribute['id']!r} has {len(values)} values, and there are "
                f"{len(skeleton.vertices)} vertices"
            )
        parts.append(values.astype(dtype).tobytes())
    return b"".join(parts)


def _dtype(attribute: dict[str, Any]) -> np.dtype[Any]:
    if attribute["data_type"] not in _TYPES:
        raise ValueError(
            f"attribute {attribute['id']!r} has the type {attribute['data_type']}; Neuroglancer's format has "
            f"{', '.join(sorted(_TYPES))}"
        )
    dtype: np.dtype[Any] = np.dtype(attribute["data_type"]).newbyteorder("<")
    return dtype


def from_precomputed(
    data: bytes, segid: int | None = None, vertex_attributes: Sequence[dict[str, Any]] | None = None
) -> Skeleton:
    """A skeleton from Neuroglancer's bytes.

    Args:
        data: the bytes.
        segid: the label.
        vertex_attributes: what vertices have, as in the folder's ``info`` file; None: radius and vertex types
            if the length says so, otherwise none.

    Raises:
        ValueError: the length does not fit the numbers of vertices and edges, or an edge names a vertex that
            does not exist.
    """
    if len(data) < 8:
        raise ValueError(f"a skeleton has 8 bytes or more, and this one has {len(data)}")
    num_vertices, num_edges = np.frombuffer(data, "<u4", 2).tolist()
    begin = 8 + 12 * num_vertices + 8 * num_edges
    attributes = [
        dict(one) for one in (DEFAULT_ATTRIBUTES if vertex_attributes is None else vertex_attributes)
    ]
    widths = [_dtype(one).itemsize * one["num_components"] for one in attributes]
    if vertex_attributes is None and len(data) == begin:
        attributes, widths = [], []
    if len(data) != begin + num_vertices * sum(widths):
        raise ValueError(
            f"{num_vertices} vertices and {num_edges} edges with the attributes "
            f"{[one['id'] for one in attributes]} take {begin + num_vertices * sum(widths)} bytes, "
            f"and there are {len(data)}"
        )
    values: dict[str, Any] = {}
    for attribute, width in zip(attributes, widths, strict=True):
        count = num_vertices * attribute["num_components"]
        array = np.frombuffer(data, _dtype(attribute), count, begin).astype(attribute["data_type"])
        if attribute["num_components"] > 1:
            array = array.reshape(num_vertices, -1)
        values[attribute["id"]] = array
        begin += num_vertices * width
    return Skeleton(
        np.frombuffer(data, "<f4", 3 * num_vertices, 8).reshape(-1, 3),
        np.frombuffer(data, "<u4", 2 * num_edges, 8 + 12 * num_vertices).reshape(-1, 2),
        radii=values.pop("radius", None),
        vertex_types=values.pop("vertex_types", None),
        segid=segid,
        space="physical",
        extra_attributes=attributes,
        **values,
    )


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
        atomic_files.write_bytes(folder / str(one.id), to_precomputed(one.physical_space()))
        count += 1
    listed = [dict(one) for one in (DEFAULT_ATTRIBUTES if attributes is None else attributes)]
    for attribute in listed:
        _dtype(attribute)
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
        yield from_precomputed(data, segid, info.get("vertex_attributes", []))
