"""Objects along their skeletons: sections, and the nearest of some voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .library import check_status, ffi, lib
from .parallel import crew
from .skeletons import Runs

NO_SEED = 2**32 - 1


def sections(
    runs: Runs,
    number: int,
    voxel_size: tuple[float, float, float],
    points: npt.NDArray[np.float64],
    normals: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """The areas of plane sections of object ``number``, and the faces of the volume that each reaches.

    Args:
        runs: the objects.
        number: counted from 0.
        voxel_size: along x, y and z.
        points: in voxels, ``(n, 3)``.
        normals: in physical units, ``(n, 3)``.
    """
    places, directions = (np.ascontiguousarray(one, np.float64).reshape(-1, 3) for one in (points, normals))
    areas, contacts = np.zeros(len(places)), np.zeros(len(places), np.uint8)

    def work(start: int, end: int, stop: Any) -> None:
        check_status(
            lib.crackle_sections(
                runs._runs,
                number,
                ffi.new("double[3]", voxel_size),
                ffi.from_buffer("double[]", places),
                ffi.from_buffer("double[]", directions),
                len(places),
                stop,
                ffi.from_buffer("double[]", areas, require_writable=True),
                ffi.from_buffer("uint8_t[]", contacts, require_writable=True),
            )
        )

    crew(work, [0, 1], 1)
    return areas, contacts


def nearest_seeds(
    runs: Runs,
    number: int,
    voxel_size: tuple[float, float, float],
    seeds: npt.NDArray[np.uint32],
    voxels: int,
) -> npt.NDArray[np.uint32]:
    """For each of the voxels of object ``number``, in the order of its runs, the nearest seed in the object.

    Seeds are voxels, ``(n, 3)``. The result has :data:`NO_SEED` where none can be reached.
    """
    given = np.ascontiguousarray(seeds, np.uint32).reshape(-1, 3)
    nearest = np.empty(voxels, np.uint32)

    def work(start: int, end: int, stop: Any) -> None:
        check_status(
            lib.crackle_nearest_seeds(
                runs._runs,
                number,
                ffi.new("double[3]", voxel_size),
                ffi.from_buffer("uint32_t[]", given),
                len(given),
                stop,
                ffi.from_buffer("uint32_t[]", nearest, require_writable=True),
                voxels,
            )
        )

    crew(work, [0, 1], 1)
    return nearest
