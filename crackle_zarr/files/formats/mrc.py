"""MRC (.mrc, .map, .rec): sections, rows and columns, with the voxel size in angstrom."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..space import Space
from ..volumes import UnusableError
from .common import Volume, in_file, in_memory, positive


def read(mrcfile: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The volume in a file. A plain file is mapped into memory; numbers of mode 0 are signed."""
    if outer is None:
        with mrcfile.mmap(path, mode="r") as file:
            # The map is of this package, and stays open when the library closes its own.
            data, offset = file.data, file.data.offset
            mapped = np.memmap(path, data.dtype, "r", offset, data.shape)
            head, edge = file.header.copy(), file.voxel_size.copy()
        volume = in_file(mapped)
    else:
        interpreter = mrcfile.mrcinterpreter.MrcInterpreter(content)
        head, edge = interpreter.header.copy(), interpreter.voxel_size.copy()
        volume = in_memory(np.array(interpreter.data))
    if volume.dtype.kind not in "iuf":
        raise UnusableError(f"{path}: labels are numbers, not {volume.dtype}")
    size = positive([float(edge[name]) for name in "xyz"])
    size = None if size is None else tuple(float(f"{one:.6g}") for one in size)  # they are float32
    origin = tuple(float(head["origin"][name]) for name in "xyz")
    space = Space(size, "angstrom" if size else None, origin if size and any(origin) else None)
    return _in_order(path, volume, head, space)


def _in_order(path: Path, volume: Volume, head: Any, space: Space) -> Volume:
    """The volume with the axes (x, y, z), whichever of them the file has as columns, rows and sections."""
    ndim = len(volume.shape)
    if ndim == 2:
        size = None if space.voxel_size is None else space.voxel_size[:2]
        return replace(volume.transposed(), space=Space(size, space.unit if size else None))
    numbers = [int(head[name]) for name in ("mapc", "mapr", "maps")]
    if sorted(numbers) != [1, 2, 3]:
        numbers = [1, 2, 3]  # many writers leave zeros
    order = [ndim - 1 - numbers.index(axis) for axis in (1, 2, 3)]
    turned = volume.of_axes(order + list(range(ndim - 3)))
    names = tuple("xyzt"[:ndim])
    return replace(turned, space=space.padded(ndim), axes=names)
