"""Pool labels: every block of voxels becomes one voxel with the block's most frequent label.

Ties are resolved as :func:`crackle_zarr.mode_pooling` does, which pools streams. In a block of 2 x 2 voxels,
a tie goes to the label of voxel (0, 0) if one of its neighbours (0, 1) and (1, 0) has it; else to that of
(0, 1) if (1, 0) has it; else to that of (1, 1) (W. Silversmith, COUNTLESS, 2017). In any other block, and in
the rest of a block at the end of an odd axis, a tie goes to the label that comes first in C order. With
``sparse`` label 0 counts only in blocks that have no other label.

``pool`` is NumPy alone, and says what pooling means. ``pool_box`` does the same for a stored array, from the
boundaries in its streams wherever blocks do not reach from one chunk into the next.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..codecs.chunk import as_volume
from ..errors import FormatError
from ..stored import lazy
from ..stored.chunk import Chunk, chunks_of
from ..stored.encoding import decoded
from ..stored.engine import Options
from ..stored.fetch import drive
from ..stored.layout import Box, Coords, Layout, common, num_voxels, within
from ..stored.queries import filled

Labels = npt.NDArray[Any]

# How many streams are held at once.
_BATCH = 8


# ---------------------------------------------------------------------------------------
# With NumPy


def pool(voxels: Labels, step: Sequence[int], sparse: bool = False) -> Labels:
    """Pool an array.

    Args:
        voxels: labels.
        step: the shape of a block, one number per axis; blocks at the end of an axis may have fewer voxels.
        sparse: use label 0 only for blocks without other labels.

    Returns:
        An array of the same dtype, whose axes have the lengths of the others divided by ``step``, rounded up.
    """
    out = np.empty([-(-n // one) for n, one in zip(voxels.shape, step, strict=True)], dtype=voxels.dtype)
    # Along each axis, the part of whole blocks, and the rest.
    parts = [_parts(length, one) for length, one in zip(voxels.shape, step, strict=True)]
    for part in itertools.product(*parts):
        source = voxels[tuple(slice(start, stop) for start, stop, _ in part)]
        target = tuple(
            slice(start // one, -(-stop // one)) for (start, stop, _), one in zip(part, step, strict=True)
        )
        block = [length for _, _, length in part]
        is_square = block == list(step) and sorted(one for one in step if one > 1) == [2, 2]
        out[target] = _whole_blocks(source, block, is_square, sparse)
    return out


def _parts(length: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Start, stop and length of the blocks: those that are whole, then what is left."""
    whole = length - length % step
    if whole:
        yield 0, whole, step
    if whole < length:
        yield whole, length, length - whole


def _whole_blocks(voxels: Labels, block: Sequence[int], is_square: bool, sparse: bool) -> Labels:
    counts = [length // one for length, one in zip(voxels.shape, block, strict=True)]
    members = [
        voxels[tuple(slice(first, None, one) for first, one in zip(offset, block, strict=True))]
        for offset in np.ndindex(*block)
    ]
    pooled = np.array(members[0]).reshape(counts)
    if len(members) == 1:
        return pooled
    mixed = np.zeros(counts, dtype=np.bool_)
    for member in members[1:]:
        mixed |= member != members[0]
    if mixed.any():
        columns = [member[mixed] for member in members]
        if is_square:
            pooled[mixed] = _of_square_sparse(columns) if sparse else _of_square(columns)
        else:
            pooled[mixed] = _of_many(columns, sparse)
    return pooled


def _of_square(v: Sequence[Labels]) -> Labels:
    first = (v[0] == v[1]) | (v[0] == v[2])
    return np.where(first, v[0], np.where(v[1] == v[2], v[1], v[3]))


def _of_square_sparse(v: Sequence[Labels]) -> Labels:
    """Like ``_of_square``, but an equal pair of zeros does not count, and other labels are preferred to 0."""
    rest = v[2]
    for member in (v[1], v[0], v[3]):
        rest = np.where(member != 0, member, rest)
    found = rest
    for a, b in ((v[1], v[2]), (v[0], v[2]), (v[0], v[1])):
        found = np.where((a == b) & (a != 0), a, found)
    return found


def _of_many(v: Sequence[Labels], sparse: bool) -> Labels:
    counts = np.zeros((len(v), len(v[0])), dtype=np.int32)
    for i, j in itertools.combinations(range(len(v)), 2):
        same = v[i] == v[j]
        counts[i] += same
        counts[j] += same
    if sparse:
        for count, member in zip(counts, v, strict=True):
            count[member == 0] = -1
    best = counts.argmax(axis=0)  # the first of equal ones
    found: Labels = np.stack(v)[best, np.arange(len(best))]
    return found


# ---------------------------------------------------------------------------------------
# Of a stored array


def pool_box(layout: Layout, box: Box, step: Sequence[int], sparse: bool) -> Labels:
    """Pool a part of a stored array.

    Args:
        layout: of the array.
        box: which voxels of the pooled array to compute.
        step: as for :func:`pool`.
        sparse: as for :func:`pool`.

    Returns:
        The voxels of the box, in the layout's native dtype.

    Raises:
        FormatError: a chunk is damaged; the error names it.
        StoreError: the store failed.
    """
    out = np.empty([stop - start for start, stop in box], dtype=layout.native)
    source = source_box(layout, box, step)
    if not _is_chunkwise(layout, source, step):
        for part in _slabs(layout, box, step):
            out[within(part, box)] = pool(_read(layout, source_box(layout, part, step)), step, sparse)
        return out
    by_streams = _depth(layout, step) is not None
    for coords in batches(layout, source):
        chunks = chunks_of(layout, coords, source)
        if by_streams:
            readers = drive(layout.store, [chunk.whole() for chunk in chunks])
        else:
            readers = [None] * len(chunks)
        for chunk, reader in zip(chunks, readers, strict=True):
            part = tuple(
                (start // one, -(-stop // one)) for (start, stop), one in zip(chunk.box, step, strict=True)
            )
            target = out[within(part, box)]
            _binding.raise_if_interrupted()
            if not by_streams:
                target[...] = pool(_read(layout, chunk.box), step, sparse)
            elif reader is None:
                target[...] = filled(layout)[0]
            else:
                try:
                    target[...] = pool_chunk(chunk, reader, step, sparse)
                except FormatError as error:
                    raise chunk.failed(error) from error
    return out


def source_box(layout: Layout, box: Box, step: Sequence[int]) -> Box:
    """The voxels of an array that become a box of the pooled array."""
    scaled = tuple((start * one, stop * one) for (start, stop), one in zip(box, step, strict=True))
    return common(scaled, layout.everything)


def pool_chunk(chunk: Chunk, reader: _binding.Reader, step: Sequence[int], sparse: bool) -> Labels:
    """Pool the part of a chunk that lies within the array, from its stream."""
    layout = chunk.layout
    lengths = [stop - start for start, stop in chunk.box]
    shape = [-(-length // one) for length, one in zip(lengths, step, strict=True)]
    table = chunk.table(reader)
    if len(table) == 1:
        return np.full(shape, table[0], dtype=layout.native)
    # The voxels beyond the array's edge must not count in a block.
    stored = layout.chunk_shape(chunk.coords)
    cut = any(
        length < whole and length % one for length, whole, one in zip(lengths, stored, step, strict=True)
    )
    if cut:
        whole = _decode(reader, stored, layout.native)
        return pool(whole[tuple(map(slice, lengths))], step, sparse)
    depth = _depth(layout, step)
    assert depth is not None
    pooled = _binding.Reader(_binding.pool(reader, depth, sparse, 1))
    whole_shape = [-(-length // one) for length, one in zip(stored, step, strict=True)]
    return _decode(pooled, whole_shape, layout.native)[tuple(map(slice, shape))]


def _decode(reader: _binding.Reader, shape: Sequence[int], dtype: np.dtype[Any]) -> Labels:
    voxels = np.empty(shape, dtype=dtype)
    volume = as_volume(voxels)
    reader.decode(volume, 0, volume.shape[2], parallel=1)
    return voxels


def _depth(layout: Layout, step: Sequence[int]) -> int | None:
    """How many slices of a stream become one; None if streams cannot be pooled by this step."""
    chain, ndim = layout.chain, len(layout.shape)
    if chain is None or chain.byteswapped or chain.axes != tuple(range(ndim)) or layout.mapping is not None:
        return None
    if tuple(step[-2:]) != (2, 2) or any(one != 1 for one in step[:-3]):
        return None
    depth = step[-3] if ndim > 2 else 1
    if depth == 2 and math.prod(layout.longest[:-3]) != 1:
        return None  # the slices of a stream are those of several volumes
    return depth if depth in (1, 2) else None


def _is_chunkwise(layout: Layout, source: Box, step: Sequence[int]) -> bool:
    """Whether a box is made of whole chunks, and no block reaches from one chunk into the next."""
    return all(
        cut.is_cut(start) and (cut.is_cut(stop) or stop == cut.length) and cut.keeps(one)
        for (start, stop), cut, one in zip(source, layout.cuts, step, strict=True)
    )


def batches(layout: Layout, box: Box) -> Iterator[list[Coords]]:
    """The chunks of a box, a few at a time, of one shard if there are shards."""
    groups = [list(layout.coords_in(box))] if layout.shards is None else layout.by_shard(box)
    for group in groups:
        for first in range(0, len(group), _BATCH):
            yield group[first : first + _BATCH]


def _slabs(layout: Layout, box: Box, step: Sequence[int]) -> Iterator[Box]:
    """A box in slabs along its first axis, each of which needs few chunks of the array along that axis."""
    (first, last), *others = box
    thick = max(1, layout.longest[0] // step[0])
    if num_voxels(box) == 0:
        return
    for start in range(first, last, thick):
        yield ((start, min(start + thick, last)), *others)


def _read(layout: Layout, box: Box) -> Labels:
    if layout.chain is None:
        return decoded(layout, box, layout.path("a chunk"))
    return lazy.read(layout, box, Options(parallel=1)).astype(layout.native, copy=False)
