"""Labels of volumes in memory, and their extents, without a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .codec import volume_of
from .library import check_status, ffi, lib, take_array
from .parallel import VOXELS_AT_ONCE, over_slices, slices_of
from .streams import EXTENT

LABEL_EXTENT = np.dtype([("label", "u8"), ("extent", EXTENT)])


def volume_labels(volume: npt.NDArray[Any], parallel: int) -> list[npt.NDArray[np.uint64]]:
    """The labels of ranges of slices of a volume, ascending, sign-extended to 64 bits.

    Args:
        volume: an F-contiguous array of three axes with voxels.
        parallel: threads.
    """
    given = volume_of(volume)

    def labels(z_start: int, z_end: int) -> npt.NDArray[np.uint64]:
        found, count = ffi.new("uint64_t **"), ffi.new("uint64_t *")
        check_status(lib.crackle_volume_labels(given, z_start, z_end, found, count))
        return take_array(found[0], count[0], np.dtype(np.uint64))

    return _over(volume, labels, parallel)


def measure_volume(volume: npt.NDArray[Any], parallel: int) -> list[npt.NDArray[Any]]:
    """The extents of the labels of ranges of slices of a volume, in no order; see :data:`LABEL_EXTENT`.

    Args:
        volume: an F-contiguous array of three axes with voxels.
        parallel: threads.
    """
    given = volume_of(volume)

    def rows(z_start: int, z_end: int) -> npt.NDArray[Any]:
        found, count = ffi.new("struct crackle_label_extent **"), ffi.new("uint64_t *")
        check_status(lib.crackle_measure_volume(given, z_start, z_end, 0, found, count))
        return take_array(found[0], count[0], LABEL_EXTENT)

    return _over(volume, rows, parallel)


def _over(volume: npt.NDArray[Any], work: Any, parallel: int) -> list[Any]:
    sx, sy, sz = volume.shape
    return over_slices(work, 0, sz, parallel, slices_of(sx, sy, VOXELS_AT_ONCE))
