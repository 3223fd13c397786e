"""Operators of a :class:`CrackleArray`: arithmetic, comparisons and bits, on streams.

With an integer, an operator changes the label table. With another volume, it overlays the boundaries of both
and computes once for every pair of labels that share voxels.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .. import _binding
from .._base.integers import integer
from . import arithmetic, stream


class Operators:
    """The operators, for a class that has a stream in ``binary`` and a number of threads in ``parallel``."""

    binary: _binding.Buffer
    parallel: int

    def _like(self, binary: bytes) -> Self:
        raise NotImplementedError

    def _computed(self, symbol: str, other: Any, reverse: bool = False) -> Any:
        """Apply an operator to this volume and a number or another volume."""
        if isinstance(other, Operators | bytes | bytearray | memoryview):
            pair = (other, self) if reverse else (self, other)
            return self._like(arithmetic.with_array(pair[0], symbol, pair[1], self.parallel))
        if isinstance(other, np.ndarray) and other.ndim:
            made = stream.compress(other, parallel=self.parallel, preset="fast")  # read once, then dropped
            return self._computed(symbol, made, reverse)
        try:
            number = integer("the other operand", other.item() if isinstance(other, np.ndarray) else other)
        except TypeError:
            return NotImplemented
        return self._like(arithmetic.with_scalar(self.binary, symbol, number, reverse))

    # A class whose == compares voxel by voxel cannot be hashed, like NumPy's arrays.
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        """1 where the labels are equal, else 0."""
        return self._computed("==", other)

    def __ne__(self, other: object) -> Any:
        """1 where the labels differ, else 0."""
        return self._computed("!=", other)

    def __lt__(self, other: Any) -> Any:
        """1 where the label is lower, else 0."""
        return self._computed("<", other)

    def __le__(self, other: Any) -> Any:
        """1 where the label is lower or equal, else 0."""
        return self._computed("<=", other)

    def __gt__(self, other: Any) -> Any:
        """1 where the label is higher, else 0."""
        return self._computed(">", other)

    def __ge__(self, other: Any) -> Any:
        """1 where the label is higher or equal, else 0."""
        return self._computed(">=", other)

    def __pos__(self) -> Self:
        """The same volume."""
        return self._like(bytes(self.binary))

    def __neg__(self) -> Self:
        """The negated labels; OverflowError if an unsigned label is not 0."""
        return self._like(arithmetic.with_scalar(self.binary, "-", 0, reverse=True))

    def __invert__(self) -> Self:
        """The labels with all bits inverted."""
        ones = (
            -1
            if stream.header(self.binary).dtype.kind == "i"
            else int(np.iinfo(stream.header(self.binary).dtype).max)
        )
        return self._like(arithmetic.with_scalar(self.binary, "^", ones))

    def __add__(self, other: Any) -> Any:
        """The sum; OverflowError if a result does not fit the dtype."""
        return self._computed("+", other)

    def __radd__(self, other: Any) -> Any:
        """The sum, the other operand first."""
        return self._computed("+", other, reverse=True)

    def __sub__(self, other: Any) -> Any:
        """The difference; OverflowError if a result does not fit the dtype."""
        return self._computed("-", other)

    def __rsub__(self, other: Any) -> Any:
        """The difference, the other operand first."""
        return self._computed("-", other, reverse=True)

    def __mul__(self, other: Any) -> Any:
        """The product; OverflowError if a result does not fit the dtype."""
        return self._computed("*", other)

    def __rmul__(self, other: Any) -> Any:
        """The product, the other operand first."""
        return self._computed("*", other, reverse=True)

    def __floordiv__(self, other: Any) -> Any:
        """The quotient, rounded down; OverflowError if a result does not fit the dtype."""
        return self._computed("//", other)

    def __rfloordiv__(self, other: Any) -> Any:
        """The quotient, rounded down, the other operand first."""
        return self._computed("//", other, reverse=True)

    def __mod__(self, other: Any) -> Any:
        """The remainder; OverflowError if a result does not fit the dtype."""
        return self._computed("%", other)

    def __rmod__(self, other: Any) -> Any:
        """The remainder, the other operand first."""
        return self._computed("%", other, reverse=True)

    def __and__(self, other: Any) -> Any:
        """The bits set in both; OverflowError if a result does not fit the dtype."""
        return self._computed("&", other)

    def __rand__(self, other: Any) -> Any:
        """The bits set in both, the other operand first."""
        return self._computed("&", other, reverse=True)

    def __or__(self, other: Any) -> Any:
        """The bits set in either; OverflowError if a result does not fit the dtype."""
        return self._computed("|", other)

    def __ror__(self, other: Any) -> Any:
        """The bits set in either, the other operand first."""
        return self._computed("|", other, reverse=True)

    def __xor__(self, other: Any) -> Any:
        """The bits set in exactly one; OverflowError if a result does not fit the dtype."""
        return self._computed("^", other)

    def __rxor__(self, other: Any) -> Any:
        """The bits set in exactly one, the other operand first."""
        return self._computed("^", other, reverse=True)

    def __lshift__(self, other: Any) -> Any:
        """The labels, shifted left; OverflowError if a result does not fit the dtype."""
        return self._computed("<<", other)

    def __rlshift__(self, other: Any) -> Any:
        """The labels, shifted left, the other operand first."""
        return self._computed("<<", other, reverse=True)

    def __rshift__(self, other: Any) -> Any:
        """The labels, shifted right; OverflowError if a result does not fit the dtype."""
        return self._computed(">>", other)

    def __rrshift__(self, other: Any) -> Any:
        """The labels, shifted right, the other operand first."""
        return self._computed(">>", other, reverse=True)
