"""The table of labels that touch.

Parts of a volume return rows; rows of the same two labels are added up, and their boxes united. Numbers of
faces are exact, so the table does not depend on how a volume is divided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from .axes_table import AxesRow, AxesTable

Rows: TypeAlias = npt.NDArray[Any]  # of rows_dtype()

# Areas are measured along these last axes of a volume; the axes before them are time and channels.
SPATIAL = 3


class ContactRow(AxesRow):  # type: ignore[misc] # final to the stubs alone
    """A row of a :class:`ContactTable`: its fields, and ``start`` and ``stop`` as arrays."""


class ContactTable(AxesTable):
    """A structured array with a row per pair of labels that touch, ascending by both.

    Columns: ``label_a`` and ``label_b`` in the volume's dtype, where a < b; ``face_count`` (u8), the number
    of faces between them; ``area`` (f8) of these; and ``start_0``, ``start_1`` ... and ``stop_0`` ... (u8,
    one per axis; half-open), the box of the voxels on both sides of the faces. ``table["start"]`` and
    ``table["stop"]`` are arrays of shape (rows, axes). ``pandas.DataFrame(table)`` and
    ``polars.DataFrame(table)`` work.
    """

    named: ClassVar[tuple[str, ...]] = ("label_a", "label_b")

    def to_dict(self) -> dict[tuple[int, int], float]:
        """(label a, label b) -> area of the faces between them."""
        plain = self.view(np.ndarray)
        # Labels of bool are integers, too.
        a, b = (map(int, plain[name].tolist()) for name in ("label_a", "label_b"))
        return dict(zip(zip(a, b, strict=True), plain["area"].tolist(), strict=True))


def rows_dtype(label: np.dtype[Any], ndim: int) -> np.dtype[Any]:
    """The dtype of rows: two labels, the numbers of faces along every axis, and the box."""
    axes = [(name, "u8", (ndim,)) for name in ("faces", "start", "stop")]
    return np.dtype([("a", label), ("b", label), *axes])


def rows_of(a: npt.NDArray[Any], b: npt.NDArray[Any], faces: Any, start: Any, stop: Any) -> Rows:
    """Rows of labels in any order.

    Args:
        a: labels.
        b: the labels that they touch.
        faces: numbers of faces, of shape (rows, axes).
        start: the first voxels of boxes, of shape (rows, axes).
        stop: the ends of boxes.
    """
    rows: Rows = np.empty(len(a), dtype=rows_dtype(a.dtype, faces.shape[1]))
    rows["a"], rows["b"] = np.minimum(a, b), np.maximum(a, b)
    rows["faces"], rows["start"], rows["stop"] = faces, start, stop
    return rows


def no_contacts(label: np.dtype[Any], ndim: int) -> Rows:
    """No rows."""
    return np.empty(0, dtype=rows_dtype(label, ndim))


def merged(rows: Rows) -> Rows:
    """Merge rows of equal pairs, and sort them by pair; O(n log n) of n rows."""
    order = np.lexsort((rows["b"], rows["a"]))
    a, b = rows["a"][order], rows["b"][order]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    firsts = np.flatnonzero(new)
    result = rows[order[firsts]]
    if len(firsts) < len(rows):
        result["faces"] = np.add.reduceat(rows["faces"][order], firsts)
        result["start"] = np.minimum.reduceat(rows["start"][order], firsts)
        result["stop"] = np.maximum.reduceat(rows["stop"][order], firsts)
    return result


def contacts_of(rows: Rows, label: np.dtype[Any], sizes: Sequence[float]) -> ContactTable:
    """Convert merged rows to a table.

    Args:
        rows: the rows.
        label: the dtype of labels.
        sizes: the edges of a voxel, one per axis. The area of a face is the product of those along the other
            axes among the last three.
    """
    ndim = len(sizes)
    fields: list[tuple[str, Any]] = [
        ("label_a", label),
        ("label_b", label),
        ("face_count", "u8"),
        ("area", "f8"),
    ]
    fields += [(f"{name}_{axis}", "u8") for name in ("start", "stop") for axis in range(ndim)]
    table = np.empty(len(rows), dtype=np.dtype((ContactRow, np.dtype(fields)))).view(ContactTable)
    table["label_a"][...], table["label_b"][...] = rows["a"], rows["b"]
    table["face_count"][...] = rows["faces"].sum(axis=1)
    area = np.zeros(len(rows))
    for axis in range(ndim):
        others = [sizes[other] for other in range(max(0, ndim - SPATIAL), ndim) if other != axis]
        area += rows["faces"][:, axis].astype(np.float64) * math.prod(others)
    table["area"][...] = area
    table["start"][...], table["stop"][...] = rows["start"], rows["stop"]
    return table
