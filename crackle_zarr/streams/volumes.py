"""Labels of arrays in memory, and their statistics, from the boundaries of the array; no stream is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .statistics import merged, rows_dtype, table_of
from .statistics_table import StatisticsTable
from .stream import Labels, as_volume


def labels(array: npt.ArrayLike, parallel: int = 0) -> Labels:
    """The labels of an array, ascending, each once; see :func:`crackle_zarr.labels`."""
    threads = _binding.threads(parallel)
    given, volume, _ = _oriented(array)
    found = _binding.volume_labels(volume, threads) if volume.size else []
    distinct = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)
    return np.sort(_of_bits(distinct, given))


def statistics(array: npt.ArrayLike, parallel: int = 0) -> StatisticsTable:
    """A row per label of an array, with as many axes as it has; see :func:`crackle_zarr.statistics`."""
    threads = _binding.threads(parallel)
    given, volume, axes = _oriented(array)
    if volume.size == 0:
        return table_of(None, given.dtype, len(axes))
    parts = []
    for found in _binding.measure_volume(volume, threads):
        part: Any = np.zeros(len(found), dtype=rows_dtype(given.dtype, len(axes)))
        extents = found["extent"]
        part["label"], part["voxels"] = _of_bits(found["label"], given), extents["voxels"]
        for name, field in (("start", "start"), ("stop", "stop"), ("low", "sum")):
            part[name] = extents[field][:, axes]
        parts.append(part)
    return table_of(merged(np.concatenate(parts)), given.dtype, len(axes))


def _oriented(array: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any], list[int]]:
    """The array, the same labels as an F-contiguous volume, and per axis of the array that of the volume."""
    given = np.asanyarray(array)  # a masked array is refused, not unmasked
    volume = as_volume(given)
    axes = [0, 1, 2]
    if not volume.flags.f_contiguous:
        volume, axes = volume.T, [2, 1, 0]
    return given, volume.view(np.uint8) if volume.dtype.kind == "b" else volume, axes[: max(1, given.ndim)]


def _of_bits(bits: npt.NDArray[np.uint64], given: npt.NDArray[Any]) -> Labels:
    """Labels in an array's dtype, from 64 bits that are sign-extended."""
    return (bits.view(np.int64) if given.dtype.kind == "i" else bits).astype(given.dtype)
