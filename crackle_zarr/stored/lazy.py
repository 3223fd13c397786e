"""A read-only view of an array with other labels.

The mapping is applied to label tables, not to voxels, and a chunk's stream is decoded with the new table. So
reading an agglomerated segmentation costs the same as reading the segmentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._base.mapping import LabelMapping
from .._binding import Reader
from ..streams.stream import slabs
from .chunk import Chunk
from .engine import Options, ask
from .fetch import Steps
from .layout import Box, Layout, Run, num_voxels, within
from .objects import in_array_axes
from .queries import filled

Blocks: TypeAlias = list[tuple[Box, npt.NDArray[Any]]]


class RemappedArray:
    """A read-only view of a stored array in which labels have other names.

    It has ``shape``, ``dtype``, ``ndim``, ``size`` and ``chunks`` of the array beneath, which is ``array``;
    basic indexing (integers, slices with steps, Ellipsis) gives NumPy arrays; and every function that asks
    questions of a stored array takes it as its source.
    """

    def __init__(self, layout: Layout, mapping: LabelMapping) -> None:
        """Map the labels of an array.

        One without a mapping raises when it is read, unless it is preserved.
        """
        self.layout = layout.mapped(mapping)
        self.array = layout.array
        self.shape: tuple[int, ...] = layout.shape
        self.dtype: np.dtype[Any] = layout.array.dtype
        self.ndim = len(self.shape)
        self.size: int = int(np.prod(self.shape, dtype=object))

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a chunk; in a rectilinear grid NotImplementedError, as Zarr raises it."""
        return tuple(self.array.chunks)

    def __repr__(self) -> str:
        """The array beneath, and the mapping."""
        mapping = self.layout.mapping
        assert mapping is not None
        return (
            f"<RemappedArray {self.layout.name} shape={self.shape} dtype={self.dtype}, "
            f"{len(mapping):,} labels mapped>"
        )

    def __len__(self) -> int:
        """The length of the first axis."""
        if not self.shape:
            raise TypeError("an array without axes has no length")
        return self.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole array; NumPy calls this."""
        if copy is False:
            raise ValueError("a view of a stored array has to be read, so NumPy cannot get it without a copy")
        everything = np.asarray(self[...])
        return everything if dtype is None else everything.astype(dtype)

    def __getitem__(self, selection: Any) -> Any:
        """A part of the array with its new labels; supports basic indexing.

        Raises:
            IndexError: the selection is not basic, or lies outside of the array.
        """
        index = _basic(selection, self.shape)
        box: list[tuple[int, int]] = []
        within: list[int | slice] = []
        for part, length in zip(index, self.shape, strict=True):
            if isinstance(part, int):
                box.append((part, part + 1))
                within.append(0)
                continue
            numbers = range(*part.indices(length))
            low, high = (
                (min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1]) + 1) if numbers else (0, 0)
            )
            box.append((low, high))
            first = numbers[0] - low if numbers else 0
            stop = first + len(numbers) * numbers.step
            within.append(slice(first, None if stop < 0 else stop, numbers.step))
        return read(self.layout, tuple(box), Options())[tuple(within)]


def _basic(selection: Any, shape: tuple[int, ...]) -> list[int | slice]:
    """A selection as an integer or a slice per axis."""
    parts = list(selection) if isinstance(selection, tuple) else [selection]
    dots = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single Ellipsis")
    missing = len(shape) - (len(parts) - len(dots))
    if missing < 0:
        raise IndexError(f"too many indices for an array of {len(shape)} axes: {len(parts) - len(dots)}")
    place = dots[0] if dots else len(parts)
    parts[place : place + len(dots)] = [slice(None)] * missing
    index: list[int | slice] = []
    for axis, (part, length) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            index.append(part)
            continue
        if isinstance(part, bool | np.bool_) or not isinstance(part, int | np.integer):
            raise IndexError(
                f"a remapped view takes integers, slices and Ellipsis, not {type(part).__name__}: "
                f"index the NumPy array that view[...] is"
            )
        number = int(part) + (length if part < 0 else 0)
        if not 0 <= number < length:
            raise IndexError(f"index {part} is out of bounds for axis {axis} with size {length}")
        index.append(number)
    return index


# ---------------------------------------------------------------------------------------
# Voxels


def decoded_parts(
    chunk: Chunk, runs: list[Run], readers: list[tuple[Reader, int, int]], verify: bool
) -> Iterator[tuple[Box, npt.NDArray[Any]]]:
    """The voxels of runs of a chunk, some slices at a time: a box of the array, and its labels.

    Args:
        chunk: the chunk.
        runs: of its stream.
        readers: those of :meth:`Chunk.slices`, which cover the runs.
        verify: verify the checksums of the labels and of the slices.
    """
    native = chunk.layout.native
    table = chunk.table(readers[0][0], verify)
    values = table.astype(np.int64).view(np.uint64) if table.dtype.kind == "i" else table.astype(np.uint64)
    for run, (reader, first, last) in itertools.product(runs, readers):
        head = reader.header
        for start, stop in slabs(head, max(first, run.z[0]), min(last, run.z[1]), native.itemsize):
            painted = np.empty((head.sx, head.sy, stop - start), dtype=native, order="F")
            reader.decode(painted, start, stop, values=values, verify=verify, parallel=1)
            box = [(int(index), int(index) + 1) for index in run.origin]
            bounds = (run.x, run.y, (start - run.z[0], stop - run.z[0]))
            for axis, (low, high) in zip(chunk.stream_axes, bounds, strict=True):
                if axis is not None:
                    box[axis] = (int(run.origin[axis]) + low, int(run.origin[axis]) + high)
            yield tuple(box), in_array_axes(chunk, run, painted, start, tuple(box))


@dataclass(frozen=True)
class Voxels:
    """The voxels of a box, chunk by chunk."""

    verify: bool

    def ask(self, chunk: Chunk) -> Steps[Blocks]:
        """Decode the voxels of one chunk."""
        layout = chunk.layout
        shape = tuple(stop - start for start, stop in chunk.box)
        block = np.empty(shape, dtype=layout.native)
        runs = chunk.runs
        readers = yield from chunk.slices(sorted({run.z for run in runs}))
        if readers is None:
            block[...] = filled(layout)[0]
            return [(chunk.box, block)]
        for part, voxels in decoded_parts(chunk, runs, readers, self.verify):
            block[within(part, chunk.box)] = voxels
        return [(chunk.box, block)]

    def merge(self, a: Blocks, b: Blocks) -> Blocks:
        """The blocks of both."""
        return a + b

    def enough(self, answer: Blocks) -> bool:
        """Every chunk is needed."""
        return False


def read(layout: Layout, box: Box, options: Options) -> npt.NDArray[Any]:
    """The voxels of a box, with the names that the layout's mapping gives them."""
    voxels = np.empty([stop - start for start, stop in box], dtype=layout.native)
    if num_voxels(box):
        for part, block in ask(layout, Voxels(options.verify), box, options) or ():
            voxels[within(part, box)] = block
    return voxels.astype(layout.array.dtype, copy=False)
