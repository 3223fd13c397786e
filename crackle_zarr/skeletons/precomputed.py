"""Neuroglancer's format of skeletons.

The bytes, all little-endian: the numbers of vertices and edges as uint32, coordinates as float32, edges as
pairs of uint32, then each vertex attribute in the order of the folder's ``info`` file.

Source: Neuroglancer, "Precomputed: skeletons".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .skeleton import Skeleton

# The attributes of a skeleton that does not say which it has.
DEFAULT_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {"id": "radius", "data_type": "float32", "num_components": 1},
    {"id": "vertex_types", "data_type": "uint8", "num_components": 1},
)

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
        dtype = dtype_of(attribute)
        values = np.asarray(getattr(skeleton, attribute["id"]))
        if len(values) != len(skeleton.vertices):
            raise ValueError(
                f"attribute {attribute['id']!r} has {len(values)} values, and there are "
                f"{len(skeleton.vertices)} vertices"
            )
        parts.append(values.astype(dtype).tobytes())
    return b"".join(parts)


def dtype_of(attribute: dict[str, Any]) -> np.dtype[Any]:
    """The type of an attribute's numbers.

    Raises:
        ValueError: the format lacks it.
    """
    if attribute["data_type"] not in _TYPES:
        raise ValueError(
            f"attribute {attribute['id']!r} has the type {attribute['data_type']}; Neuroglancer's format has "
            f"{', '.join(sorted(_TYPES))}"
        )
    dtype: np.dtype[Any] = np.dtype(attribute["data_type"]).newbyteorder("<")
    return dtype


def parse_precomputed(
    data: bytes, segid: int | None = None, vertex_attributes: Sequence[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The arguments of ``Skeleton`` from Neuroglancer's bytes.

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
    widths = [dtype_of(one).itemsize * one["num_components"] for one in attributes]
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
        array: npt.NDArray[Any]
        array = np.frombuffer(data, dtype_of(attribute), count, begin).astype(attribute["data_type"])
        if attribute["num_components"] > 1:
            array = array.reshape(num_vertices, -1)
        values[attribute["id"]] = array
        begin += num_vertices * width
    return {
        "vertices": np.frombuffer(data, "<f4", 3 * num_vertices, 8).reshape(-1, 3),
        "edges": np.frombuffer(data, "<u4", 2 * num_edges, 8 + 12 * num_vertices).reshape(-1, 2),
        "radii": values.pop("radius", None),
        "vertex_types": values.pop("vertex_types", None),
        "segid": segid,
        "space": "physical",
        "extra_attributes": attributes,
        **values,
    }
