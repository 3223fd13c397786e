"""Rows of labels that are added up: the totals of ``crackle_streams.h``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .library import check_status, ffi, lib

_FIRST_ROWS = 2**12
_FIRST_SLOTS = 2**13


class RowTotals:
    """A row for each label so far, in memory that grows in place.

    Args:
        dtype: of the rows that it keeps: a label in the machine's byte order, then numbers of 64 bits without
            gaps: voxels, ``start``, ``stop``, ``low`` and, unless no sum needs it, ``high``.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        assert (dtype.names or ())[:5] == ("label", "voxels", "start", "stop", "low")
        self._dtype = dtype
        self._begin()

    def __len__(self) -> int:
        """The number of labels."""
        return int(self._totals.count)

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Add rows, which have ``high``.

        Raises:
            ValueError: they have other fields than those that it keeps.
        """
        rows = np.ascontiguousarray(rows)
        label, ndim = self._totals.label_nbytes, self._totals.ndim
        if rows.dtype.itemsize != label + 8 * (1 + 4 * ndim) or rows.dtype["label"].itemsize != label:
            raise ValueError(f"rows of labels of {label} bytes and {ndim} axes are not of {rows.dtype}")
        taken = ffi.new("uint64_t *")
        while len(rows):
            with ffi.from_buffer(rows.view(np.uint8)) as source:
                self._call(lib.crackle_totals_add, source, len(rows), taken)
            rows = rows[taken[0] :]
            if len(rows):
                self._grow()

    def take(self) -> npt.NDArray[Any]:
        """The rows in no particular order; afterwards there are none."""
        memory, count = self._memory, len(self)
        memory.resize(count * self._dtype.itemsize, refcheck=False)
        self._begin()
        return memory.view(self._dtype)

    # -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        dtype = self._dtype
        self._memory: npt.NDArray[np.uint8] = np.empty(_FIRST_ROWS * dtype.itemsize, dtype=np.uint8)
        self._slots = np.zeros(_FIRST_SLOTS, dtype=np.uint32)
        self._totals = ffi.new(
            "struct crackle_totals *",
            {
                "capacity": _FIRST_ROWS,
                "num_slots": _FIRST_SLOTS,
                "label_nbytes": dtype["label"].itemsize,
                "ndim": dtype["start"].shape[0],
                "has_high": "high" in (dtype.names or ()),
            },
        )
        self._call(lib.crackle_totals_index)

    def _call(self, function: Any, *arguments: Any) -> None:
        totals = self._totals
        with (
            ffi.from_buffer("uint8_t[]", self._memory, require_writable=True) as rows,
            ffi.from_buffer("uint32_t[]", self._slots, require_writable=True) as slots,
        ):
            totals.rows, totals.slots = rows, slots
            check_status(function(totals, *arguments))

    def _grow(self) -> None:
        """Make room for more rows, and for their slots. C is told of it when it is there."""
        totals = self._totals
        if totals.count == totals.capacity:
            # NumPy reallocates, which moves large blocks without a copy on Linux. Steps are small, because it
            # writes zeros to all new memory.
            capacity = totals.capacity + max(_FIRST_ROWS, totals.capacity // 16)
            self._memory.resize(capacity * self._dtype.itemsize, refcheck=False)
            totals.capacity = capacity
        if totals.count >= totals.num_slots // 4 * 3:
            num_slots, totals.num_slots = 2 * totals.num_slots, 0  # without slots, C refuses rows
            self._slots = np.empty(0, dtype=np.uint32)  # frees the old ones first
            self._slots = np.zeros(num_slots, dtype=np.uint32)
            totals.num_slots = num_slots
            self._call(lib.crackle_totals_index)


def order_rows(rows: npt.NDArray[Any], order: npt.NDArray[np.int64]) -> None:
    """Put rows in another order in place: row i becomes what was row ``order[i]``.

    ``order`` is overwritten.
    """
    with (
        ffi.from_buffer("uint8_t[]", rows.view(np.uint8), require_writable=True) as target,
        ffi.from_buffer("uint64_t[]", order, require_writable=True) as places,
    ):
        check_status(lib.crackle_order_rows(target, rows.itemsize, places, len(rows)))
