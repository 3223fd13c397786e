"""Write streams to files: as they are, or decoded a few slices at a time into ``.npy``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _binding
from .._base.atomic_files import FileLike, write_all, write_file
from .._base.integers import integer
from . import stream


def save_stream(binary: _binding.Buffer, filelike: FileLike) -> None:
    """Write a stream to a file as it is; see :func:`crackle_zarr.save`."""
    write_file(filelike, lambda file: write_all(file, binary))


def save_numpy(arr: Any, filelike: FileLike, block_size: int = 200_000_000) -> None:
    """Write a volume or a stream to a ``.npy`` file, for :func:`numpy.load`.

    A stream is decoded a few slices at a time, so the whole volume is never in memory. The exception is a
    stream in C order, z fastest: it is decoded as a whole, because the voxels of a slice are scattered over
    the file.

    Args:
        arr: a stream (bytes-like), a :class:`~crackle_zarr.CrackleArray`, or an array.
        filelike: as in :func:`save`: a path, which may end in ``.gz`` or the like, or a file object.
        block_size: roughly the number of bytes of voxels to decode at a time.

    Raises:
        FormatError: ``arr`` is not a sound stream.
        ValueError: ``block_size`` is not positive.
        OSError: the file cannot be written.
    """
    size = integer("block_size", block_size)
    if size < 1:
        raise ValueError(f"block_size is a positive number of bytes, not {size}")
    if isinstance(arr, np.ndarray):
        array = arr
        write_file(filelike, lambda file: np.lib.format.write_array(file, array, allow_pickle=False))
        return
    reader = _binding.Reader(stream.bytes_of(arr))
    head = reader.header
    if not head.fortran_order:
        volume = stream.decompress(arr)
        write_file(filelike, lambda file: np.lib.format.write_array(file, volume, allow_pickle=False))
        return

    def write(file: Any) -> None:
        fields = {
            "descr": np.lib.format.dtype_to_descr(head.dtype),
            "fortran_order": True,
            "shape": head.shape,
        }
        np.lib.format.write_array_header_1_0(file, fields)
        depth = max(1, size // max(1, head.sx * head.sy * head.data_width))
        for start in range(0, head.sz, depth):
            end = min(start + depth, head.sz)
            slab = stream.empty_volume((head.sx, head.sy, end - start), head.dtype, "F")
            stream.decode_into(reader, slab, start, end, threads=_binding.threads(0))
            write_all(file, slab.T.data if slab.size else b"")

    write_file(filelike, write)
