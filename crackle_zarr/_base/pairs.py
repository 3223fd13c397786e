"""Pairs of labels, old and new or joined by an edge, from dicts, arrays, tables and files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import tables
from .integers import integer_array

Column: TypeAlias = npt.NDArray[Any]
Pairs: TypeAlias = tuple[Column, Column]

_NAMES = ("old", "new")


def pairs_of(mapping: Any) -> Pairs:
    """Old and new labels in the order in which they are given; see :class:`LabelMapping`.

    Raises:
        TypeError: ``mapping`` holds no pairs of integers.
        ValueError: it has other columns, or columns of different lengths.
        ImportError: the library that reads it is not installed.
    """
    if isinstance(mapping, str | os.PathLike) and Path(mapping).suffix.lower() == ".json":
        return _of_json(Path(mapping))
    if isinstance(mapping, tuple) and len(mapping) == 2 and all(_is_column(part) for part in mapping):
        return checked("mapping", *mapping)
    if not isinstance(mapping, Mapping):
        where, found = tables.columns_of(mapping, "mapping", _old_and_new)
        if found is not None:
            return checked(where, *found)
    if not callable(getattr(mapping, "items", None)):
        raise TypeError(
            f"mapping is a dict old -> new, two arrays (old, new), an array of two columns, a table or the "
            f"name of a file, not {type(mapping).__name__}"
        )
    listed = list(mapping.items())
    return (
        integer_array("a key of mapping", [key for key, _ in listed]),
        integer_array("a value of mapping", [value for _, value in listed]),
    )


def parquet_of(mapping: Any) -> tables.RowGroups | None:
    """The row groups of a mapping in a file of Parquet; None if it is anything else.

    They are read later, when the working directory may be another.
    """
    if not isinstance(mapping, str | os.PathLike) or Path(mapping).suffix.lower() != ".parquet":
        return None
    return tables.RowGroups(Path(mapping).absolute(), _old_and_new)


def _is_column(part: Any) -> bool:
    return not isinstance(part, str | bytes) and (isinstance(part, Sequence) or hasattr(part, "__array__"))


def _old_and_new(names: Sequence[str]) -> Sequence[str]:
    if all(name in names for name in _NAMES):
        return _NAMES
    if len(names) == 2:
        return names
    raise ValueError("a mapping has the columns old and new, or just two")


def checked(where: str, first: Any, second: Any) -> Pairs:
    """Two columns of labels as arrays of integers in the machine's byte order."""
    one, other = _integers(first, where), _integers(second, where)
    if len(one) != len(other):
        raise ValueError(f"{where}: one column has {len(one):,} labels, and the other {len(other):,}")
    return one, other


def _integers(column: Any, where: str) -> Column:
    if isinstance(column, list | tuple):
        return integer_array(f"a label of {where}", column)
    array: Column = np.asanyarray(column)  # a memory-mapped array stays one
    if array.ndim != 1:
        raise ValueError(f"{where}: labels are an array of one axis, not of {array.ndim}")
    if array.dtype.kind in "iu":
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "f" and len(array):
        # Spreadsheets and pandas make floats of integers, which are exact no further than 2^53.
        raise TypeError(f"{where}: a column is of {array.dtype}, and labels are integers: convert it first")
    if array.dtype.kind in "Ob" or not len(array):
        return integer_array(f"a label of {where}", list(column))
    raise TypeError(f"{where}: a column is of {array.dtype}, and labels are integers")


def _of_json(path: Path) -> Pairs:
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file, object_pairs_hook=list)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, list) or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 for pair in content
    ):
        raise ValueError(f'{path}: a mapping in JSON is an object such as {{"1": 7}}, or an array of pairs')
    old, new = ([tables.label_of(pair[place], str(path)) for pair in content] for place in (0, 1))
    return integer_array(str(path), old), integer_array(str(path), new)


# ---------------------------------------------------------------------------------------
# Edges


def edges_of(edges: Any) -> tuple[Column, Column, Column | None]:
    """The two ends of each edge, and its score where the table has a third column.

    Raises:
        TypeError: ``edges`` holds no pairs of integers.
        ValueError: it has other columns, or columns of different lengths.
        ImportError: the library that reads it is not installed.
    """
    if isinstance(edges, tuple) and len(edges) == 2 and all(_is_column(part) for part in edges):
        return (*checked("edges", *edges), None)
    where, found = tables.columns_of(edges, "edges", _ends_and_score)
    if found is None:
        raise TypeError(
            f"edges is an array of two columns, two arrays, a table or the name of a file, not "
            f"{type(edges).__name__}"
        )
    one, other = checked(where, found[0], found[1])
    if len(found) == 2:
        return one, other, None
    scores = np.asarray(found[2])
    return one, other, scores if scores.dtype.kind == "f" else scores.astype(np.float64)


def _ends_and_score(names: Sequence[str]) -> Sequence[str]:
    ends = [name for name in names if name != "score"]
    if len(ends) == 2:
        return [*ends, "score"] if "score" in names else ends
    if len(names) == 3:
        return names
    raise ValueError("edges have two columns of labels, and may have a third, score")
