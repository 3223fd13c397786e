"""Mappings of labels to new labels, from one pair to 10^8 of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CrackleWarning
from .integers import fits, limits, range_text, some
from .pairs import Column, Pairs, pairs_of
from .row_groups import GroupedPairs, Unordered
from .shared_arrays import SharedArray

# Passes over all pairs go by blocks of this many: they stay in the processor's cache, and what a pass
# computes takes no memory worth mentioning.
_BLOCK = 1 << 16
# From here on the order of the pairs costs time that a user should know of.
_MANY = 1_000_000


class LabelMapping:
    """A mapping of old labels to new ones, which applies to label tables of any length.

    All labels are mapped at once: {1: 2, 2: 1} swaps. The pairs are kept as two arrays that ascend by the old
    label, and a label is looked up by binary search. So a label table costs its own length, however many
    pairs there are. Opening costs a pass over the old labels. A ``.npy`` file whose pairs ascend is mapped
    into memory: it may be larger than the memory, and many processes share it. A ``.parquet`` file of a
    million pairs or more whose row groups follow each other by the old label opens at once: a row group is
    read when a label of its range is looked up. Make one object of a large mapping and use it in many calls;
    every function that takes a mapping takes it.

    Args:
        mapping: one of

            * a dict old -> new, or anything else with ``items()``;
            * a tuple of two arrays of one axis, old and new labels;
            * an array of shape (n, 2), or a structured array of two fields;
            * a table of pyarrow, pandas, polars or DuckDB;
            * the path of a file that ends in .npy, .npz, .parquet, .arrow, .feather, .csv or .json.

            Tables, structured arrays and ``.npz`` files have the columns ``old`` and ``new``, or just two
            columns, the first of which is old.
        preserve: keep labels that are not in ``mapping``. Otherwise to map such a label raises KeyError.

    Raises:
        TypeError: ``mapping`` is none of these, or its labels are no integers.
        ValueError: it gives a label two new labels, or a file does not have two columns of one length. Within
            a row group of a large ``.parquet`` file, two new labels are found once it is read.
        ImportError: the library that reads such a file is not installed.

    Examples:
        ```python
        names = cz.LabelMapping("agglomeration.parquet")
        view = cz.lazy_remap(array, names)
        ```
    """

    preserve: bool
    _pairs: Pairs | GroupedPairs

    def __init__(self, mapping: Any, preserve: bool = True) -> None:
        self.preserve = preserve
        if isinstance(mapping, LabelMapping):
            self._pairs = mapping._pairs
            return
        self._pairs = GroupedPairs.of(mapping) or ascending(*pairs_of(mapping))

    @property
    def keys(self) -> npt.NDArray[Any]:
        """The old labels, ascending."""
        return self._all()[0]

    @property
    def values(self) -> npt.NDArray[Any]:
        """The new label of each old one."""
        return self._all()[1]

    def _all(self) -> Pairs:
        """All pairs; reads those that are still in a file."""
        if isinstance(self._pairs, GroupedPairs):
            self._pairs = self._pairs.all(ascending)
        return self._pairs

    @classmethod
    def of_arrays(cls, keys: npt.NDArray[Any], values: npt.NDArray[Any], preserve: bool) -> LabelMapping:
        """The mapping of ``keys[i]`` to ``values[i]``, both arrays of integers."""
        return cls._of(ascending(keys, values), preserve)

    @classmethod
    def _of(cls, pairs: Pairs | GroupedPairs, preserve: bool) -> LabelMapping:
        """The mapping of pairs that ascend already."""
        self = cls.__new__(cls)
        self._pairs, self.preserve = pairs, preserve
        return self

    def __len__(self) -> int:
        """The number of pairs."""
        pairs = self._pairs
        return len(pairs) if isinstance(pairs, GroupedPairs) else len(pairs[0])

    def __repr__(self) -> str:
        """The number of pairs."""
        rest = "others stay" if self.preserve else "others are an error"
        return f"<LabelMapping of {len(self):,} labels, {rest}>"

    def __reduce__(self) -> Any:
        """Pickle a part of a memory-mapped file as that, so that workers on this machine share it."""
        pairs = self._pairs
        if isinstance(pairs, GroupedPairs):
            return LabelMapping._of, (pairs, self.preserve)
        return _unpickled, (SharedArray.of(pairs[0]), SharedArray.of(pairs[1]), self.preserve)

    # -----------------------------------------------------------------------------------

    def preserving(self) -> LabelMapping:
        """The same mapping, which keeps all other labels."""
        return self if self.preserve else LabelMapping(self)

    def among(self, labels: npt.NDArray[Any]) -> LabelMapping:
        """The pairs whose old label is one of ``labels``, an ascending array of labels without repeats.

        The keys of the result have the dtype of ``labels``.
        """
        known, new = self.found(labels)
        return self._of((labels[known], new), self.preserve)

    def within(self, dtype: np.dtype[Any]) -> LabelMapping:
        """The mapping with keys of a dtype; keys that do not fit are left out, since no label equals them."""
        if (self._pairs.dtype if isinstance(self._pairs, GroupedPairs) else self.keys.dtype) == dtype:
            return self
        possible = fits(self.keys, dtype)
        return self._of((self.keys[possible].astype(dtype), self.values[possible]), self.preserve)

    def found(self, table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Per label of a table, whether it is an old label; and the new labels of those that are.

        Raises:
            ValueError: a file turns out to give a label two new labels.
        """
        pairs = self._pairs
        if isinstance(pairs, GroupedPairs):
            known = fits(table, pairs.dtype)
            try:
                there, new = pairs.find(table[known].astype(pairs.dtype, copy=False))
            except Unordered:
                return self._found_among(self._all(), table)
            known[known] = there
            return known, new
        return self._found_among(pairs, table)

    def _found_among(self, pairs: Pairs, table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], Column]:
        keys, values = pairs
        if keys.dtype.kind == "O":
            # Python ints, which no dtype holds all: such a mapping is small.
            possible = fits(keys, table.dtype)
            return self._found_among((keys[possible].astype(table.dtype), values[possible]), table)
        known = fits(table, keys.dtype)
        wanted = table[known].astype(keys.dtype, copy=False)
        place = np.searchsorted(keys, wanted)
        found = np.zeros(len(wanted), dtype=np.bool_)
        inside = place < len(keys)
        found[inside] = keys[place[inside]] == wanted[inside]
        known[known] = found
        return known, np.asarray(values[place[found]])

    def renamed(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Map each entry of a label table.

        Raises:
            KeyError: a label is not in the mapping, and ``preserve`` is False.
            ValueError: a new label does not fit the table's dtype.
        """
        known, new = self.found(table)
        if not self.preserve and not known.all():
            self.refuse_missing(np.unique(table[~known]))
        misfit = ~fits(new, table.dtype)
        if misfit.any():
            raise ValueError(
                f"a new label of this volume is within {range_text(table.dtype)}, "
                f"not {some(np.unique(new[misfit]))}; widen the volume first with astype()"
            )
        result = table.copy()
        result[known] = new.astype(table.dtype)
        return result

    def misfits(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """The new labels that an array of a dtype does not hold, ascending."""
        low, high = limits(dtype)
        told = self._pairs.values_range() if isinstance(self._pairs, GroupedPairs) else None
        if told is not None and low <= told[0] and told[1] <= high:
            return np.empty(0, dtype=dtype)
        found = [
            block[outside]
            for block in _blocks(self.values)
            if (outside := _outside(block, low, high)) is not None
        ]
        return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=self.values.dtype)

    def preimages(self, label: int) -> npt.NDArray[Any]:
        """The old labels that become ``label``, ascending: the supervoxels of an object.

        A label that the mapping does not name stays as it is and is not among them. Takes a pass over the new
        labels.
        """
        found = [
            np.asarray(keys[values == label])
            for keys, values in zip(_blocks(self.keys), _blocks(self.values), strict=True)
            if _holds(values.dtype, label)
        ]
        return np.concatenate(found) if found else np.empty(0, dtype=self.keys.dtype)

    @staticmethod
    def refuse_missing(missing: npt.NDArray[Any]) -> None:
        """Raise KeyError for labels that are not in the mapping."""
        raise KeyError(
            f"no mapping for {len(missing)} of the volume's labels: {some(missing)}; "
            f"preserve_missing_labels=True keeps such labels"
        )


def _unpickled(keys: SharedArray, values: SharedArray, preserve: bool) -> LabelMapping:
    return LabelMapping._of((keys.array(), values.array()), preserve)


def _holds(dtype: np.dtype[Any], label: int) -> bool:
    return dtype.kind == "O" or bool(np.iinfo(dtype).min <= label <= np.iinfo(dtype).max)


def _blocks(array: npt.NDArray[Any], more: int = 0) -> Iterator[npt.NDArray[Any]]:
    """Parts of an array, each with ``more`` elements of the next one."""
    for start in range(0, len(array), _BLOCK):
        yield array[start : start + _BLOCK + more]


def _outside(block: npt.NDArray[Any], low: int, high: int) -> npt.NDArray[np.bool_] | None:
    """Which integers lie outside of [low, high]; None if none does."""
    smallest, largest = int(block.min()), int(block.max())
    if low <= smallest and largest <= high:
        return None
    # Python's integers compare exactly with any dtype, and this is the way to an error.
    return np.array([not low <= int(value) <= high for value in block], dtype=np.bool_)


# ---------------------------------------------------------------------------------------
# Order


def ascending(keys: npt.NDArray[Any], values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The pairs by ascending key, each key once.

    Raises:
        ValueError: a key has two values.
    """
    if all((block[1:] > block[:-1]).all() for block in _blocks(keys, 1)):
        return keys, values
    if any((block[1:] < block[:-1]).any() for block in _blocks(keys, 1)):
        if len(keys) >= _MANY:
            warnings.warn(
                f"the {len(keys):,} pairs of the mapping do not ascend by the old label, so they are sorted "
                f"now: save them sorted, and this is done once and for all",
                CrackleWarning,
                stacklevel=4,
            )
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
    first = np.ones(len(keys), dtype=np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    other = ~first
    other[1:] &= values[1:] != values[:-1]
    if other.any():
        place = int(np.flatnonzero(other)[0])
        raise ValueError(
            f"the mapping gives the label {int(keys[place])} two new labels: {int(values[place - 1])} "
            f"and {int(values[place])}"
        )
    return (keys, values) if first.all() else (keys[first], values[first])
