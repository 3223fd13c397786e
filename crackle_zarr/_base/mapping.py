"""Mappings of many labels to new labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .integers import fits, integer_array, range_text, some


class LabelMapping:
    """A mapping of old labels to new ones, to apply to label tables of any length.

    All labels are mapped at once: {1: 2, 2: 1} swaps. The mapping pickles as two arrays.

    Args:
        mapping: a dict old -> new, or anything with ``items()``.
        preserve: keep labels that are not in ``mapping``.

    Raises:
        TypeError: ``mapping`` is not a mapping of integers.
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
        """The mapping with keys of a dtype; keys that do not fit are left out, since no label equals them."""
        possible = fits(self.keys, dtype)
        return LabelMapping.of_arrays(self.keys[possible].astype(dtype), self.values[possible], self.preserve)

    def known(self, table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        """Per label of a table, whether it is a key; and the indices of those that are among the keys."""
        keys = self.keys if self.keys.dtype == table.dtype else self.within(table.dtype).keys
        # Of equal keys the last one counts; a dict has no equal keys.
        place = np.searchsorted(keys, table, side="right") - 1
        known = place >= 0
        known[known] = keys[place[known]] == table[known]
        return known, place[known]

    def renamed(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Map each entry of a label table.

        Raises:
            KeyError: a label is not in the mapping, and ``preserve`` is False.
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
        """Raise KeyError for labels that are not in the mapping."""
        raise KeyError(
            f"no mapping for {len(missing)} of the volume's labels: {some(missing)}; "
            f"preserve_missing_labels=True keeps such labels"
        )
