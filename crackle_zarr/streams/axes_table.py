"""Tables in which some columns have a number per axis, such as bounding boxes.

Fields with a number per axis are neighbours in memory; their common name gives all of them as one array,
without a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .exported_table import ExportedTable

# Columns with a number per axis; their fields are start_0, start_1 and so on.
PER_AXIS = {"start": "u8", "stop": "u8", "centroid": "f8"}


class AxesRow(np.void):  # type: ignore[misc] # final to the stubs alone
    """A row of an :class:`AxesTable`: its fields, and columns with a number per axis as arrays."""

    def __getitem__(self, key: Any) -> Any:
        """A field, or the numbers of all axes as a new array."""
        if isinstance(key, str) and key in PER_AXIS:
            names = _columns_of(self.dtype, key)
            return np.array([super(AxesRow, self).__getitem__(name) for name in names])
        return super().__getitem__(key)


class AxesTable(ExportedTable):
    """A structured array whose fields ``start_0``, ``start_1`` ... are also one array, ``start``."""

    def __getitem__(self, key: Any) -> Any:
        """A column, an array of the columns of all axes, or rows, as in NumPy."""
        if not isinstance(key, str) or self.dtype.names is None:
            return super().__getitem__(key)
        plain = self.view(np.ndarray)
        if key not in PER_AXIS:
            return plain[key]
        names = _columns_of(self.dtype, key)
        if not names:
            return np.empty((*self.shape, 0), dtype=PER_AXIS[key])
        assert self.dtype.fields is not None
        together = np.dtype(
            {
                "names": [key],
                "formats": [(self.dtype[names[0]], (len(names),))],
                "offsets": [self.dtype.fields[names[0]][1]],
                "itemsize": self.dtype.itemsize,
            }
        )
        return plain.view(together)[key]


def _columns_of(dtype: np.dtype[Any], key: str) -> list[str]:
    return [name for name in dtype.names or () if name.rpartition("_")[0] == key]
