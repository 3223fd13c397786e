"""Functions that encode a stream again from its boundaries: smaller, with another model, or downsampled.

No voxel is decoded: the functions read, change and trace boundaries, a slice at a time. They take the time
of reading and encoding, without comparing labels. Memory holds the streams and a few slices.

Functions raise :class:`~crackle_zarr.errors.FormatError` for damaged streams.
"""

from __future__ import annotations

from .. import _binding
from .._base.integers import integer
from .._base.options import MarkovOrder, check_markov_model_order
from . import stream
from .stream import Source, bytes_of


def recompress(binary: Source, parallel: int = 0) -> bytes:
    """The same volume without boundaries between equal labels.

    Relabelling leaves such boundaries between labels that became one; this function takes them out. The
    result equals the output of :func:`~crackle_zarr.compress` for the same volume, except for pins: existing
    pins stay if they are shorter than flat labels, and no new ones are chosen.

    Args:
        binary: the stream.
        parallel: threads; 0 is one per core.
    """
    return _recompressed(binary, None, parallel)


def reencode(binary: Source, markov_model_order: MarkovOrder, parallel: int = 0) -> bytes:
    """The same volume, its boundaries coded with a Markov model of another order.

    This also takes out boundaries between equal labels, as :func:`recompress` does.

    Args:
        binary: the stream.
        markov_model_order: 0 (no model) to 12, or "auto" for the order that makes the stream smallest. A
            model that would make the stream larger is left out; the stream then has order 0.
        parallel: threads; 0 is one per core.

    Raises:
        TypeError, ValueError: ``markov_model_order`` is another value.
    """
    return _recompressed(binary, check_markov_model_order(markov_model_order), parallel)


def _recompressed(binary: Source, order: MarkovOrder | None, parallel: int) -> bytes:
    threads = _binding.threads(parallel)
    source = bytes_of(binary)
    head = stream.header(source)
    if head.voxels() == 0:  # the stream is its header
        _binding.Reader(source)
        return bytes(source)
    return _binding.recompress(source, head.markov_model_order if order is None else order, threads)


def mode_pooling(
    binary: Source, factor: tuple[int, int, int] = (2, 2, 1), sparse: bool = False, parallel: int = 0
) -> bytes:
    """Downsample a volume: every block of voxels becomes one voxel with the block's most frequent label.

    Axes are halved and rounded up; a block at the end of an odd axis has fewer voxels.

    Args:
        binary: the stream.
        factor: (2, 2, 1) or (2, 2, 2), the size of a block along x, y and z.
        sparse: use label 0, the background, only for blocks without other labels, so that thin objects stay.
        parallel: threads; 0 is one per core.

    Returns:
        A stream of the same dtype and memory order, with flat labels and without a Markov model.

    Raises:
        ValueError: ``factor`` is another value.

    In a block of four, a tie goes to the label of voxel (0, 0), if (1, 0) or (0, 1) has it, too; otherwise to
    the label of (1, 0), if (0, 1) has it; otherwise to the label of (1, 1). This order is that of
    W. Silversmith, COUNTLESS, High Performance 2x Downsampling of Labeled Images (2017). In a block of eight,
    a tie goes to the label that comes first, x fastest.
    """
    threads = _binding.threads(parallel)
    sizes = tuple(integer("factor", size) for size in factor)
    if sizes not in ((2, 2, 1), (2, 2, 2)):
        raise ValueError(f"factor is (2, 2, 1) or (2, 2, 2), not {tuple(factor)!r}")
    reader = _binding.Reader(bytes_of(binary))
    head = reader.header
    if head.voxels() == 0:
        shape = ((head.sx + 1) // 2, (head.sy + 1) // 2, -(-head.sz // sizes[2]))
        return _binding.constant(shape, head.dtype, 0, head.fortran_order)
    return _binding.pool(reader, sizes[2], bool(sparse), threads)


def mode_pooling_2x2x1(binary: Source, sparse: bool = False, parallel: int = 0) -> bytes:
    """:func:`mode_pooling` of blocks of 2 x 2 voxels of a slice."""
    return mode_pooling(binary, (2, 2, 1), sparse, parallel)


def mode_pooling_2x2x2(binary: Source, sparse: bool = False, parallel: int = 0) -> bytes:
    """:func:`mode_pooling` of blocks of 2 x 2 x 2 voxels."""
    return mode_pooling(binary, (2, 2, 2), sparse, parallel)
