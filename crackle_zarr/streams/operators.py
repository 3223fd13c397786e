"""Operators of a :class:`CrackleArray`: arithmetic, comparisons and bits, on streams.

With an integer, an operator changes the label table. With another volume it overlays both, so that every
component of the result has one label of each.
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
        """What an operator makes of this volume and a number or another volume."""
        if isinstance(other, Operators | bytes | bytearray | memoryview):
            pair = (other, self) if reverse else (self, other)
            return self._like(arithmetic.with_array(pair[0], symbol, pair[1], self.parallel))
        if isinstance(other, np.ndarray) and other.ndim:
            made = stream.compress(other, parallel=self.parallel, preset="fast")  # it is read once
            return self._computed(symbol, made, reverse)
        try:
            number = integer("the other operand", other.item() if isinstance(other, np.ndarray) else other)
        except TypeError:
            return NotImplemented
        return self._like(arithmetic.with_scalar(self.binary, symbol, number, reverse))

    # Comparing volumes voxel by voxel leaves nothing to hash by.
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
        """Minus the labels; OverflowError where they are unsigned and not 0."""
        return self._like(arithmetic.with_scalar(self.binary, "-", 0, reverse=True))

    def __invert__(self) -> Self:
        """The labels with all bits turned over."""
        ones = (
            -1
            if stream.header(self.binary).dtype.kind == "i"
            else int(np.iinfo(stream.header(self.binary).dtype).max)
        )
        return self._like(arithmetic.with_scalar(self.binary, "^", ones))

    def __add__(self, other: Any) -> Any:
        """The sum; OverflowError where it is no label of the dtype."""
        return self._computed("+", other)

    def __radd__(self, other: Any) -> Any:
        """The sum, the other operand first."""
        return self._computed("+", other, reverse=True)

    def __sub__(self, other: Any) -> Any:
        """The difference; OverflowError where it is no label of the dtype."""
        return self._computed("-", other)

    def __rsub__(self, other: Any) -> Any:
        """The difference, the other operand first."""
        return self._computed("-", other, reverse=True)

    def __mul__(self, other: Any) -> Any:
        """The product; OverflowError where it is no label of the dtype."""
        return self._computed("*", other)

    def __rmul__(self, other: Any) -> Any:
        """The product, the other operand first."""
        return self._computed("*", other, reverse=True)

    def __floordiv__(self, other: Any) -> Any:
        """The quotient, rounded down; OverflowError where it is no label of the dtype."""
        return self._computed("//", other)

    def __rfloordiv__(self, other: Any) -> Any:
        """The quotient, rounded down, the other operand first."""
        return self._computed("//", other, reverse=True)

    def __mod__(self, other: Any) -> Any:
        """The remainder; OverflowError where it is no label of the dtype."""
        return self._computed("%", other)

    def __rmod__(self, other: Any) -> Any:
        """The remainder, the other operand first."""
        return self._computed("%", other, reverse=True)

    def __and__(self, other: Any) -> Any:
        """The bits that both have; OverflowError where it is no label of the dtype."""
        return self._computed("&", other)

    def __rand__(self, other: Any) -> Any:
        """The bits that both have, the other operand first."""
        return self._computed("&", other, reverse=True)

    def __or__(self, other: Any) -> Any:
        """The bits that either has; OverflowError where it is no label of the dtype."""
        return self._computed("|", other)

    def __ror__(self, other: Any) -> Any:
        """The bits that either has, the other operand first."""
        return self._computed("|", other, reverse=True)

    def __xor__(self, other: Any) -> Any:
        """The bits that one of them has; OverflowError where it is no label of the dtype."""
        return self._computed("^", other)

    def __rxor__(self, other: Any) -> Any:
        """The bits that one of them has, the other operand first."""
        return self._computed("^", other, reverse=True)

    def __lshift__(self, other: Any) -> Any:
        """The labels, shifted up by bits; OverflowError where it is no label of the dtype."""
        return self._computed("<<", other)

    def __rlshift__(self, other: Any) -> Any:
        """The labels, shifted up by bits, the other operand first."""
        return self._computed("<<", other, reverse=True)

    def __rshift__(self, other: Any) -> Any:
        """The labels, shifted down by bits; OverflowError where it is no label of the dtype."""
        return self._computed(">>", other)

    def __rrshift__(self, other: Any) -> Any:
        """The labels, shifted down by bits, the other operand first."""
        return self._computed(">>", other, reverse=True)
