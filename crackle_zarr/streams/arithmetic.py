"""Masks, arithmetic and comparisons: on the label table, or on the overlay of two volumes.

An operation on one stream and a number changes only the label table, and decodes no crack. An operation on
two streams overlays their boundaries, and computes once for every pair of labels that share voxels; no voxel
is decoded.

Results are exact: a label that does not fit the result's dtype raises :class:`OverflowError`, and nothing
wraps. Functions raise :class:`~crackle_zarr.errors.FormatError` for damaged streams.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import fits, integer, integer_array, range_text, some
from .._base.mapping import LabelMapping
from . import stream
from .stream import Labels, Source, bytes_of

# A function of two arrays of labels of equal length, as Python ints or as integers of NumPy.
Operation: TypeAlias = Callable[[Any, Any], Any]

OPERATIONS: dict[str, Operation] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}
COMPARISONS: dict[str, Operation] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DIVIDES = ("//", "%")
_SHIFTS = ("<<", ">>")

# A label has 64 bits, so a longer shift gives the same result; a shift by 2^60 would exhaust the memory.
_MAX_SHIFT = 64


# ---------------------------------------------------------------------------------------
# Masks


def mask(
    binary: Source, labels: Iterable[int], value: int = 0, in_place: bool = False, parallel: int = 0
) -> Any:
    """Replace some labels by one value.

    Args:
        binary: the stream.
        labels: the labels to replace; labels that are not in the volume are ignored.
        value: the new label.
        in_place: change the label table within ``binary``, as :func:`~crackle_zarr.remap` does.
        parallel: accepted for compatibility with crackle-codec; the label table takes one thread.

    Returns:
        A new stream of the same dtype, or ``binary``'s buffer when changed in place.

    Raises:
        TypeError: ``labels`` are not integers, or ``in_place`` meets immutable bytes.
        ValueError: ``value`` does not fit the volume's dtype or, in place, the stored width.
    """
    return _masked(binary, labels, value, in_place, parallel, others=False)


def mask_except(
    binary: Source, labels: Iterable[int], value: int = 0, in_place: bool = False, parallel: int = 0
) -> Any:
    """Replace all labels except some by one value; see :func:`mask`."""
    return _masked(binary, labels, value, in_place, parallel, others=True)


def _masked(
    binary: Source, labels: Iterable[int], value: int, in_place: bool, parallel: int, others: bool
) -> Any:
    new = integer("value", value)
    wanted = integer_array("a label", list(labels))
    source = bytes_of(binary)
    present = stream.labels(source)
    chosen = np.isin(present, wanted[fits(wanted, present.dtype)].astype(present.dtype))
    changed = present[chosen != others]
    mapping = LabelMapping.of_arrays(changed, integer_array("value", [new] * len(changed)), True)
    return stream.relabelled_by(source, mapping, in_place, parallel)


def apply_binary_mask(binary: Source, mask_binary: Source, parallel: int = 0) -> bytes:
    """Keep the labels of voxels in a mask, and set all other voxels to 0.

    Args:
        binary: the stream.
        mask_binary: the mask: a stream of the same shape and any dtype, not 0 where labels stay.
        parallel: threads; 0 is one per core.

    Returns:
        A stream of the dtype and memory order of ``binary``.

    Raises:
        ValueError: the shapes differ.
    """
    dtype = stream.header(bytes_of(binary)).dtype

    def keep(a: Labels, b: Labels) -> Labels:
        return np.where(b != 0, a, dtype.type(0))

    return _overlaid(binary, mask_binary, keep, parallel)


# ---------------------------------------------------------------------------------------
# Labels and a number


def add_scalar(binary: Source, scalar: int) -> bytes:
    """Add a number to every label.

    Returns:
        A stream of the same dtype.

    Raises:
        OverflowError: a result does not fit the dtype; widen the volume first with
            :func:`~crackle_zarr.astype`.
        TypeError: ``scalar`` is not an integer.
    """
    return with_scalar(binary, "+", scalar)


def subtract_scalar(binary: Source, scalar: int) -> bytes:
    """Subtract a number from every label; see :func:`add_scalar`."""
    return with_scalar(binary, "-", scalar)


def multiply_scalar(binary: Source, scalar: int) -> bytes:
    """Multiply every label by a number; see :func:`add_scalar`."""
    return with_scalar(binary, "*", scalar)


def floordiv_scalar(binary: Source, scalar: int) -> bytes:
    """Divide every label by a number, rounding down; see :func:`add_scalar`.

    Raises:
        ZeroDivisionError: ``scalar`` is 0.
    """
    return with_scalar(binary, "//", scalar)


def with_scalar(binary: Source, symbol: str, scalar: int, reverse: bool = False) -> bytes:
    """Apply one of :data:`OPERATIONS` or :data:`COMPARISONS` to every label and a number.

    With ``reverse``, the number is the first operand. Comparisons return a stream of uint8, 0 and 1.
    """
    number = integer("the other operand", scalar)
    source = bytes_of(binary)
    reader = _binding.Reader(source)
    table = stream.label_table(reader)
    exact = _exact(table)
    numbers = np.full(len(exact), number, dtype=object)
    first, second = (numbers, exact) if reverse else (exact, numbers)
    new = _computed(symbol, first, second, reader.header.dtype)
    return stream.with_table(source, reader.header, new, new.dtype)


def with_array(a: Source, symbol: str, b: Source, parallel: int = 0) -> bytes:
    """Apply one of :data:`OPERATIONS` or :data:`COMPARISONS` to the labels of two streams of one shape.

    The result has the dtype that NumPy would compute in; if that is a float, it has the dtype of ``a``.
    """
    dtype = np.result_type(stream.header(bytes_of(a)).dtype, stream.header(bytes_of(b)).dtype)
    if dtype.kind not in "iu":  # NumPy's result for int64 with uint64 is float64
        dtype = stream.header(bytes_of(a)).dtype

    def compute(x: Labels, y: Labels) -> Labels:
        return _computed(symbol, _exact(x), _exact(y), dtype)

    return _overlaid(a, b, compute, parallel)


def _exact(table: Labels) -> npt.NDArray[Any]:
    """Labels as Python ints, which never overflow."""
    return table.astype(object)


def _computed(symbol: str, a: npt.NDArray[Any], b: npt.NDArray[Any], dtype: np.dtype[Any]) -> Labels:
    """Apply an operation to labels as Python ints; returns labels of a dtype, or 0 and 1 for a comparison."""
    if symbol in COMPARISONS:
        return np.asarray(COMPARISONS[symbol](a, b), dtype=np.uint8)
    if symbol in _DIVIDES and len(b) and (b == 0).any():
        raise ZeroDivisionError(f"division by zero: a label or a number {symbol} 0")
    if symbol in _SHIFTS and len(b):
        if (b < 0).any():
            raise ValueError(f"a shift {symbol} by a negative number of bits: {some(b[b < 0])}")
        longest = max(_MAX_SHIFT, *(int(number).bit_length() for number in a))
        b = np.minimum(b, longest)
    new = OPERATIONS[symbol](a, b)
    misfit = ~fits(new, dtype)
    if misfit.any():
        where = np.flatnonzero(misfit)[0]
        raise OverflowError(
            f"{a[where]} {symbol} {b[where]} is {new[where]}, which does not fit {range_text(dtype)}; "
            f"widen the volume first with astype()"
        )
    result: Labels = new.astype(dtype)
    return result


# ---------------------------------------------------------------------------------------
# Two volumes


def _overlaid(a: Source, b: Source, compute: Operation, parallel: int) -> bytes:
    """Overlay two streams, and compute a label for every pair of labels that share voxels."""
    threads = _binding.threads(parallel)
    readers = [_binding.Reader(bytes_of(one)) for one in (a, b)]
    heads = [reader.header for reader in readers]
    if heads[0].shape != heads[1].shape:
        raise ValueError(f"the volumes have different shapes: {heads[0].shape} and {heads[1].shape}")
    if heads[0].voxels() == 0:
        empty = np.empty(0, dtype=heads[0].dtype)
        return _binding.constant(heads[0].shape, compute(empty, empty).dtype, 0, heads[0].fortran_order)
    tables = [reader.table() for reader in readers]
    overlay_stream = _binding.overlay(readers[0], readers[1], threads)
    overlay = _binding.Reader(overlay_stream)
    pairs = overlay.table()
    first = tables[0][(pairs >> np.uint64(32)).astype(np.intp)]
    second = tables[1][(pairs & np.uint64(2**32 - 1)).astype(np.intp)]
    new = compute(first, second)
    merged = stream.with_table(overlay_stream, overlay.header, new, new.dtype)
    # Some boundaries now lie between equal labels: take them out.
    return _binding.recompress(merged, heads[0].markov_model_order, threads)
