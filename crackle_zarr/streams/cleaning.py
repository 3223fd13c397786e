"""What becomes of connected components by sizes and neighbours: dust, the largest, holes, parts of a label.

The functions at the top take columns, one element per component, and serve stored arrays as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import integer, integer_array
from .stream import Source, bytes_of, compress, is_array

Array = npt.NDArray[Any]


def checked_threshold(threshold: Any) -> int:
    """A number of voxels; raises ValueError if it is negative, and TypeError if it is no integer."""
    number = integer("threshold", threshold)
    if number < 0:
        raise ValueError(f"threshold is a number of voxels, not {number}")
    return number


def checked_k(k: Any) -> int:
    """A number of components; raises ValueError if it is negative, and TypeError if it is no integer."""
    number = integer("k", k)
    if number < 0:
        raise ValueError(f"k is a number of components, not {number}")
    return number


def without_dust(
    labels: Array, sizes: Array, threshold: int, invert: bool = False, background: int = 0
) -> Array:
    """New labels: background for components below a threshold of voxels, or with ``invert`` for others."""
    gone = sizes >= threshold if invert else sizes < threshold
    return np.where(gone, labels.dtype.type(background), labels)


def only_largest(labels: Array, sizes: Array, k: int, background: int = 0) -> Array:
    """New labels: background for all but the ``k`` largest components; of equal ones the first are kept.

    Components come in the order of their first voxels.
    """
    kept = np.zeros(len(labels), dtype=np.bool_)
    kept[np.argsort(-sizes.astype(np.int64), kind="stable")[:k]] = True
    return np.where(kept, labels, labels.dtype.type(background))


def with_holes_filled(
    labels: Array,
    open_: Array,
    meets: Array,
    wanted: npt.NDArray[Any] | None,
    background: int = 0,
) -> Array:
    """New labels: of components of background that one label encloses, that label.

    Args:
        labels: of the components.
        open_: whether each reaches the edge of its image.
        meets: pairs of components that share a face, ``(n, 2)``.
        wanted: labels whose holes are filled; None: all.
        background: its label.
    """
    ends = np.concatenate([meets, meets[:, ::-1]]) if len(meets) else np.zeros((0, 2), np.int64)
    of = ends[:, 0].astype(np.int64)
    around = labels[ends[:, 1].astype(np.int64)]
    inside = (labels[of] == background) & (around != background)
    of, around = of[inside], around[inside]
    new = labels.copy()
    if not len(of):
        return new
    order = np.lexsort((around, of))
    of, around = of[order], around[order]
    first = np.concatenate([[True], of[1:] != of[:-1]])
    starts = np.flatnonzero(first)
    lowest, highest = np.minimum.reduceat(around, starts), np.maximum.reduceat(around, starts)
    holes = of[starts]
    enclosed = (lowest == highest) & ~open_[holes]
    if wanted is not None:
        enclosed &= np.isin(lowest, wanted)
    new[holes[enclosed]] = lowest[enclosed]
    return new


def first_name(largest: int) -> int:
    """The first new name in a volume, by its largest label: never 0, which is background to most programs."""
    return max(largest, 0) + 1


def with_parts_named(labels: Array, sizes: Array, label: int, first: int, dtype: np.dtype[Any]) -> Array:
    """New labels: for the components of a label, but for the largest, names of their own from ``first`` on.

    Components come in the order of their first voxels; of equally large ones the first keeps the label.
    ``dtype`` is that of the volume: labels of a bool array are of another.

    Raises:
        ValueError: the dtype has no more names.
    """
    mine = np.flatnonzero(labels == label)
    if len(mine) < 2:
        return labels
    others = np.delete(mine, np.argmax(sizes[mine]))
    last = first + len(others) - 1
    if last > (1 if dtype.kind == "b" else np.iinfo(dtype).max):
        raise ValueError(
            f"the label {label} has {len(mine):,} parts, whose names would go up to {last:,}, which "
            f"{dtype} does not hold: convert the volume to a wider type first"
        )
    new = labels.copy()
    new[others] = np.arange(first, last + 1, dtype=labels.dtype)
    return new


def wanted_labels(labels: int | Iterable[int] | None) -> Array | None:
    """Labels as an array; None for all."""
    if labels is None:
        return None
    listed = [labels] if isinstance(labels, int | np.integer) else list(labels)
    return integer_array("a label", listed)


# ---------------------------------------------------------------------------------------
# Streams


def _remade(
    binary: Source,
    connectivity: int,
    background: int | None,
    new: Callable[[Array, _binding.Reader], Array],
) -> bytes:
    """A stream with new labels for its components, which come in the order of their first voxels."""
    parent = compress(binary, preset="fast") if is_array(binary) else bytes_of(binary)
    header = _binding.read_header(parent)
    dtype = header.dtype
    components, bits, _ = _binding.connected_components(parent, connectivity, False, background=background)
    if not header.voxels():
        return bytes(parent)
    labels = bits.view(np.int64).astype(dtype) if dtype.kind == "i" else bits.astype(dtype)
    reader = _binding.Reader(components)
    table = np.concatenate([np.array([background or 0], dtype=dtype), new(labels, reader)])
    return _binding.relabel(components, table[reader.table()], dtype, header.fortran_order)


def sizes_in(reader: _binding.Reader) -> Array:
    """The voxels of each component of a stream of components."""
    counts = reader.measure(0, reader.header.sz, verify=False, only_counts=True)["voxels"]
    sizes: Array = counts[reader.table() > 0]
    return sizes


def dust(binary: Source, threshold: int, connectivity: Literal[6, 26] = 26, invert: bool = False) -> bytes:
    """A stream without components of fewer voxels than a threshold; see ``crackle_zarr.dust``."""
    most = checked_threshold(threshold)
    return _remade(
        binary, connectivity, 0, lambda labels, reader: without_dust(labels, sizes_in(reader), most, invert)
    )


def largest_k(binary: Source, k: int, connectivity: Literal[6, 26] = 26) -> bytes:
    """A stream of its ``k`` largest components; see ``crackle_zarr.largest_k``."""
    most = checked_k(k)
    return _remade(
        binary, connectivity, 0, lambda labels, reader: only_largest(labels, sizes_in(reader), most)
    )


def fill_holes(binary: Source, labels: int | Iterable[int] | None = None) -> bytes:
    """A stream whose enclosed background is filled; see ``crackle_zarr.fill_holes``."""

    def filled(of: Array, reader: _binding.Reader) -> Array:
        head = reader.header
        extents = reader.measure(0, head.sz, verify=False)
        stop = np.array([head.sx, head.sy, head.sz])
        at_edge = (extents["start"] == 0) | (extents["stop"] == stop)
        open_ = at_edge[:, np.array([head.sx, head.sy, head.sz]) > 1].any(axis=1)
        pairs = reader.contacts(verify=False)
        meets = np.stack([pairs["a"], pairs["b"]], axis=1).astype(np.int64) - 1
        return with_holes_filled(of, open_, meets, wanted_labels(labels))

    return _remade(binary, 6, None, filled)


def split(binary: Source, label: int, connectivity: Literal[6, 26] = 26) -> bytes:
    """A stream whose parts of a label have names of their own; see ``crackle_zarr.split``."""

    def named(labels: Array, reader: _binding.Reader) -> Array:
        if not (labels == label).any():
            raise ValueError(f"the volume has no label {label}")
        return with_parts_named(labels, sizes_in(reader), label, first_name(int(labels.max())), labels.dtype)

    found = _remade(binary, connectivity, None, named)
    if not _binding.read_header(found).voxels():
        raise ValueError(f"the volume has no label {label}")
    return found
