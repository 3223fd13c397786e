"""Skeletons as two tables, one of vertices and one of edges: Arrow, and Parquet.

The table of vertices has the columns ``label``, ``vertex`` (from 0 on within its skeleton), ``x``, ``y``,
``z``, ``radius``, ``vertex_type``, and further attributes; that of edges ``label``, ``a`` and ``b``, which
are vertices. Both are sorted by label. Space and transform, which all skeletons share, are in the metadata of
the schemas.

On disk, ``all.parquet`` has the vertices, and ``all.edges.parquet`` beside it the edges.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._base import atomic_files
from .skeleton import Skeleton

_KEY = b"crackle_zarr.skeletons"


class Tables(NamedTuple):
    """Two tables of pyarrow."""

    vertices: Any
    edges: Any


def to_arrow(skeletons: Mapping[int, Skeleton] | Iterable[Skeleton]) -> Tables:
    """Skeletons as two tables of pyarrow.

    Args:
        skeletons: a dict, as ``skeletonize`` returns it, or any skeletons, which have an id each.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: a skeleton has no id, two have the same, or they differ in space, transform or attributes.
    """
    pyarrow, _ = pyarrow_modules()
    listed = sorted(skeletons.values() if isinstance(skeletons, Mapping) else list(skeletons), key=_id)
    first = listed[0] if listed else Skeleton()
    for one, other in itertools.pairwise(listed):
        if one.id == other.id:
            raise ValueError(f"there are two skeletons with the id {one.id}")
    for one in listed:
        if one.space != first.space or not np.array_equal(one.transform, first.transform):
            raise ValueError(
                f"skeletons {first.id} and {one.id} differ in space or transform: call physical_space() "
                f"first, or write them apart"
            )
        if one.extra_attributes != first.extra_attributes:
            raise ValueError(f"skeletons {first.id} and {one.id} have different vertex attributes")
    labels = [one.id for one in listed]
    dtype = np.int64 if any(label < 0 for label in labels) else np.uint64
    metadata = {
        _KEY: json.dumps(
            {
                "space": first.space,
                "transform": first.transform.tolist(),
                "extra_attributes": first.extra_attributes,
            }
        ).encode()
    }

    def joined(arrays: list[Any], like: Any) -> Any:
        return np.concatenate([np.asarray(like)[:0], *arrays])

    counts = [len(one.vertices) for one in listed]
    columns: dict[str, Any] = {
        "label": np.repeat(np.array(labels, dtype), counts),
        "vertex": joined([np.arange(count, dtype=np.uint32) for count in counts], np.zeros(0, np.uint32)),
    }
    for axis, name in enumerate("xyz"):
        columns[name] = joined([one.vertices[:, axis] for one in listed], np.zeros(0, np.float32))
    columns["radius"] = joined([one.radius for one in listed], first.radius)
    columns["vertex_type"] = joined([one.vertex_types for one in listed], first.vertex_types)
    for attribute in first.extra_attributes:
        name = attribute["id"]
        if name in ("radius", "vertex_types"):
            continue
        values = joined([getattr(one, name) for one in listed], getattr(first, name))
        if values.ndim == 1:
            columns[name] = values
        else:
            flat = pyarrow.array(values.reshape(-1))
            columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    edges = {
        "label": np.repeat(np.array(labels, dtype), [len(one.edges) for one in listed]),
        "a": joined([one.edges[:, 0] for one in listed], np.zeros(0, np.uint32)),
        "b": joined([one.edges[:, 1] for one in listed], np.zeros(0, np.uint32)),
    }
    return Tables(
        pyarrow.table(columns).replace_schema_metadata(metadata),
        pyarrow.table(edges).replace_schema_metadata(metadata),
    )


def from_arrow(vertices: Any, edges: Any) -> dict[int, Skeleton]:
    """The skeletons of two tables of pyarrow, by label, ascending.

    Raises:
        ValueError: a column is missing, or an edge has a label without vertices.
    """
    for table, names in ((vertices, ("label", "x", "y", "z")), (edges, ("label", "a", "b"))):
        missing = [name for name in names if name not in table.column_names]
        if missing:
            raise ValueError(f"a table has no column {missing[0]!r}; it has {', '.join(table.column_names)}")
    told = json.loads((vertices.schema.metadata or {}).get(_KEY, b"{}"))
    columns = {name: _values(vertices.column(name)) for name in vertices.column_names}
    order = np.lexsort((columns.get("vertex", np.zeros(len(columns["label"]))), columns["label"]))
    columns = {name: values[order] for name, values in columns.items()}
    ends = {name: _values(edges.column(name)) for name in ("label", "a", "b")}
    by_label = np.argsort(ends["label"], kind="stable")
    ends = {name: values[by_label] for name, values in ends.items()}
    labels, starts = np.unique(columns["label"], return_index=True)
    if len(strange := np.setdiff1d(ends["label"], labels)):
        raise ValueError(f"the table of edges has the label {strange[0]}, and that of vertices does not")
    stops = np.append(starts[1:], len(columns["label"]))[: len(starts)]
    extra = [
        name for name in columns if name not in ("label", "vertex", "x", "y", "z", "radius", "vertex_type")
    ]
    found = {}
    for label, start, stop in zip(labels.tolist(), starts.tolist(), stops.tolist(), strict=True):
        first, last = np.searchsorted(ends["label"], label), np.searchsorted(ends["label"], label, "right")
        own = slice(start, stop)
        found[label] = Skeleton(
            np.column_stack([columns[name][own] for name in "xyz"]),
            np.column_stack([ends["a"][first:last], ends["b"][first:last]]),
            radii=columns["radius"][own] if "radius" in columns else None,
            vertex_types=columns["vertex_type"][own] if "vertex_type" in columns else None,
            segid=label,
            transform=told.get("transform"),
            space=told.get("space", "physical"),
            extra_attributes=told.get("extra_attributes"),
            **{name: columns[name][own] for name in extra},
        )
    return found


def _values(column: Any) -> Any:
    if hasattr(column.type, "list_size"):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, column.type.list_size)
    return column.to_numpy()


def edges_path(path: str | os.PathLike[str]) -> Path:
    """Where the edges of the skeletons in ``path`` are: ``all.edges.parquet`` for ``all.parquet``."""
    return Path(path).with_suffix(f".edges{Path(path).suffix}")


def to_parquet(skeletons: Mapping[int, Skeleton] | Iterable[Skeleton], path: str | os.PathLike[str]) -> None:
    """Write two Parquet files: the vertices at ``path``, the edges at :func:`edges_path`.

    Each appears when it is whole, the edges first. Errors as in :func:`to_arrow`.
    """
    tables = to_arrow(skeletons)
    _, parquet = pyarrow_modules()
    for place, table in ((edges_path(path), tables.edges), (Path(path), tables.vertices)):

        def write(file: Any, table: Any = table) -> None:
            parquet.write_table(table, file)

        atomic_files.replace(os.fspath(place), write)


def from_parquet(path: str | os.PathLike[str]) -> dict[int, Skeleton]:
    """Read what :func:`to_parquet` wrote."""
    _, parquet = pyarrow_modules()
    return from_arrow(parquet.read_table(os.fspath(path)), parquet.read_table(os.fspath(edges_path(path))))


def _id(skeleton: Skeleton) -> int:
    if skeleton.id is None:
        raise ValueError("a skeleton in a table has an id; set skeleton.id to its label")
    return skeleton.id


def pyarrow_modules() -> tuple[Any, Any]:
    """pyarrow and its module for Parquet; an ImportError says how to install them."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ImportError("Arrow and Parquet need pyarrow: pip install 'crackle-zarr[parquet]'") from None
