"""Streams written anew from their boundaries: smaller ones, with another model, or at half the resolution.

No voxel is decoded: boundaries are read, changed and traced again, a slice at a time. Time is that of
reading and of encoding without ever comparing labels; memory that of the streams and of some slices.

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

    Relabelling leaves such boundaries where labels became one; this takes them out. The stream becomes what
    :func:`~crackle_zarr.compress` would make of the volume, but for pins: those that there are stay, where
    they are shorter than flat labels, and none are chosen anew.

    Args:
        binary: the stream.
        parallel: threads; 0 is one per core.
    """
    return _recompressed(binary, None, parallel)


def reencode(binary: Source, markov_model_order: MarkovOrder, parallel: int = 0) -> bytes:
    """The same volume, its boundaries coded with a Markov model of another order.

    Boundaries between equal labels are taken out on the way, as by :func:`recompress`.

    Args:
        binary: the stream.
        markov_model_order: 0 (no model) to 12, or "auto" for the order that makes the stream smallest. A
            model that would make it larger is left out: the stream then has order 0.
        parallel: threads; 0 is one per core.

    Raises:
        TypeError, ValueError: ``markov_model_order`` is none of these.
    """
    return _recompressed(binary, check_markov_model_order(markov_model_order), parallel)


def _recompressed(binary: Source, order: MarkovOrder | None, parallel: int) -> bytes:
    threads = _binding.threads(parallel)
    held = bytes_of(binary)
    head = stream.header(held)
    if head.voxels() == 0:  # the stream is its header
        _binding.Reader(held)
        return bytes(held)
    return _binding.recompress(held, head.markov_model_order if order is None else order, threads)


def mode_pooling(
    binary: Source, factor: tuple[int, int, int] = (2, 2, 1), sparse: bool = False, parallel: int = 0
) -> bytes:
    """Downsample a volume: every block of voxels becomes one, of the block's most frequent label.

    Axes are halved and rounded up; a block that reaches over the rim has fewer voxels.

    Args:
        binary: the stream.
        factor: (2, 2, 1) or (2, 2, 2), the size of a block along x, y and z.
        sparse: let label 0, the background, count only where a block has nothing else: thin objects stay.
        parallel: threads; 0 is one per core.

    Returns:
        A stream of the same dtype and memory order, with flat labels and without a Markov model.

    Raises:
        ValueError: ``factor`` is another one.

    Of a tie in a block of four, the label of the voxel (0, 0) is taken, if (1, 0) or (0, 1) has it, too; else
    that of (1, 0), if (0, 1) has it; else that of (1, 1). That is the order of W. Silversmith, COUNTLESS,
    High Performance 2x Downsampling of Labeled Images (2017). In a block of eight it is the label that comes
    first, x fastest.
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
