"""The voxels that pairs of labels of two stored arrays share, chunk by chunk of the first.

Where both arrays have the same chunk and store it alike, the components of the two streams' slices meet, and
no voxel is decoded. Elsewhere, in another grid, at edges of the array or of a region that cut a chunk, the
voxels of the second array in the chunk's box are read, and a stream is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..errors import FormatError
from ..streams.agreement import OverlapTable, no_pairs, pairs_of, table_of
from .chunk import Chunk, chunks_of, renamed
from .encoding import encode
from .engine import Options, groups, run
from .fetch import Steps, drive
from .layout import Box, Coords, Layout, num_voxels
from .lazy import read
from .queries import filled


@dataclass(frozen=True)
class _Comparing:
    """A task: the pairs of labels in some chunks of the first array, which are all in one shard."""

    a: Layout
    b: Layout
    coords: tuple[Coords, ...]
    box: Box
    verify: bool

    @property
    def weight(self) -> int:
        """The number of chunks."""
        return len(self.coords)

    def __call__(self) -> OverlapTable:
        """Compare the chunks."""
        chunks = [chunk for chunk in chunks_of(self.a, self.coords, self.box) if num_voxels(chunk.box)]
        alike = _are_alike(self.a, self.b)
        whole = [chunk for chunk in chunks if alike and chunk.is_whole]
        rest = [chunk for chunk in chunks if not (alike and chunk.is_whole)]
        others = [chunks_of(self.b, [chunk.coords], self.box)[0] for chunk in whole]
        rows = [no_pairs(self.a.native, self.b.native)]
        for first, second in zip(_read(self.a, whole), _read(self.b, others), strict=True):
            _binding.raise_if_interrupted()
            rows.append(self._of_streams(first, second))
        rows += [self._of_voxels(chunk) for chunk in rest]
        return table_of(np.concatenate(rows))

    def _of_streams(self, first: _Read, second: _Read) -> npt.NDArray[Any]:
        if first.reader is not None and second.reader is not None:
            try:
                found = first.reader.overlaps(second.reader, 1, self.verify)
            except FormatError:
                # One of the two is damaged: this error names it.
                for one in (first, second):
                    one.counts(self.verify)
                raise
            a, b = (found[name].astype(layout.native) for name, layout in (("a", self.a), ("b", self.b)))
            return pairs_of(renamed(self.a, a), renamed(self.b, b), found["voxels"])
        # One of the two has a single label here, or both.
        (a, in_a), (b, in_b) = first.counts(self.verify), second.counts(self.verify)
        a, b = np.broadcast_arrays(a, b)
        pairs = pairs_of(a, b, in_b if first.reader is None else in_a)
        return pairs[pairs["voxel_count"] > 0]

    def _of_voxels(self, chunk: Chunk) -> npt.NDArray[Any]:
        _binding.raise_if_interrupted()
        options = Options(verify=self.verify, parallel=1)
        first, second = (
            _binding.Reader(encode(read(layout, chunk.box, options).astype(layout.native, copy=False)))
            for layout in (self.a, self.b)
        )
        found = first.overlaps(second, 1)
        return pairs_of(found["a"].astype(self.a.native), found["b"].astype(self.b.native), found["voxels"])


class _Read(NamedTuple):
    """A chunk and its stream; None where it does not exist, and has the fill value alone."""

    chunk: Chunk
    reader: _binding.Reader | None

    def counts(self, verify: bool) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """Labels, perhaps repeated, and the numbers of their voxels.

        Raises:
            FormatError: the chunk is damaged; the error names it.
        """
        if self.reader is None:
            return filled(self.chunk.layout), np.array([num_voxels(self.chunk.box)], dtype=np.uint64)
        try:
            found = self.reader.measure(0, self.reader.header.sz, verify=verify, only_counts=True)
            return self.chunk.table(self.reader, verify), found["voxels"]
        except FormatError as error:
            raise self.chunk.failed(error) from error


def _are_alike(a: Layout, b: Layout) -> bool:
    """Whether streams of the same chunk have the same voxels in the same order."""
    return a.chain is not None and b.chain is not None and a.cuts == b.cuts and a.chain.axes == b.chain.axes


def _read(layout: Layout, chunks: list[Chunk]) -> list[_Read]:
    def whole(chunk: Chunk) -> Steps[_Read]:
        try:
            return _Read(chunk, (yield from chunk.whole()))
        except FormatError as error:
            raise chunk.failed(error) from error

    return drive(layout.store, [whole(chunk) for chunk in chunks])


def overlaps(a: Layout, b: Layout, box: Box, options: Options) -> OverlapTable:
    """The voxels of each pair of labels of two arrays of the same shape in a box."""
    tasks = (_Comparing(a, b, tuple(group), box, options.verify) for group in groups(a, box, options))
    found = run(
        tasks,
        options,
        total=a.num_chunks_in(box),
        unit="chunk",
        merge=lambda first, second: table_of(np.concatenate([first, second])),
    )
    if found is None:
        found = table_of(no_pairs(a.native, b.native))
    fields = [("label_a", a.array.dtype), ("label_b", b.array.dtype), ("voxel_count", "u8")]
    return found.view(np.ndarray).astype(fields).view(OverlapTable)
