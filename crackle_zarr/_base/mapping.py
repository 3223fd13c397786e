"""New names for labels, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .integers import fits, integer_array, range_text, some


class LabelMapping:
    """Old labels and the new ones, ready to be looked up in label tables of any length.

    Everything is mapped at once: {1: 2, 2: 1} swaps. It pickles as two arrays.

    Args:
        mapping: a dict old -> new, or anything with ``items()``.
        preserve: let a label without a mapping keep its name.

    Raises:
        TypeError: ``mapping`` is no mapping of integers.
    """

    def __init__(self, mapping: Any, preserve: bool) -> None:
        if not callable(getattr(mapping, "items", None)):
            raise TypeError(f"mapping is a dict or another mapping old -> new, not {type(mapping).__name__}")
        pairs = list(mapping.items())
        keys = integer_array("a key of mapping", [key for key, _ in pairs])
        values = integer_array("a value of mapping", [value for _, value in pairs])
        self._take(keys, values, preserve)

    @classmethod
    def of_arrays(cls, keys: npt.NDArray[Any], values: npt.NDArray[Any], preserve: bool) -> LabelMapping:
        """The mapping of ``keys[i]`` to ``values[i]``, both arrays of integers."""
        self = cls.__new__(cls)
        self._take(keys, values, preserve)
        return self

    def _take(self, keys: npt.NDArray[Any], values: npt.NDArray[Any], preserve: bool) -> None:
        order = np.argsort(keys, kind="stable")
        self.keys, self.values, self.preserve = keys[order], values[order], preserve

    def __len__(self) -> int:
        return len(self.keys)

    def within(self, dtype: np.dtype[Any]) -> LabelMapping:
        """The same, with the keys as a dtype; those that it cannot hold, which no label is, are left out."""
        possible = fits(self.keys, dtype)
        return LabelMapping.of_arrays(self.keys[possible].astype(dtype), self.values[possible], self.preserve)

    def known(self, table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        """Which labels of a table are keys, and the places of these among the keys."""
        keys = self.keys if self.keys.dtype == table.dtype else self.within(table.dtype).keys
        # Of equal keys, which a dict cannot have, the last counts.
        place = np.searchsorted(keys, table, side="right") - 1
        known = place >= 0
        known[known] = keys[place[known]] == table[known]
        return known, place[known]

    def renamed(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A label table with each entry mapped.

        Raises:
            KeyError: a label has no mapping, and is not to be preserved.
            ValueError: a new label does not fit the table's dtype.
        """
        own = self.within(table.dtype) if self.keys.dtype != table.dtype else self
        known, place = own.known(table)
        if not own.preserve and not known.all():
            self.refuse_missing(np.unique(table[~known]))
        new = own.values[place]
        misfit = ~fits(new, table.dtype)
        if misfit.any():
            raise ValueError(
                f"a new label of this volume is within {range_text(table.dtype)}, "
                f"not {some(np.unique(new[misfit]))}; widen the volume first with astype()"
            )
        result = table.copy()
        result[known] = new.astype(table.dtype)
        return result

    @staticmethod
    def refuse_missing(missing: npt.NDArray[Any]) -> None:
        """Raise KeyError for labels that have no mapping."""
        raise KeyError(
            f"no mapping for {len(missing)} of the volume's labels: {some(missing)}; "
            f"preserve_missing_labels=True keeps such labels"
        )
