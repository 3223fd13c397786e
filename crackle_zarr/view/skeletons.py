"""Skeletons of labels in Neuroglancer's format: traced when they are asked for, or from a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import skeletons as tracing
from ..files.space import UNITS
from ..skeletons import Skeleton
from ..stored_skeletons import open_skeletons
from ..stored_skeletons.parts import PLAN
from .objects import Mask

# The most voxels of the mask that is traced.
MOST_VOXELS = 2**23
# Components of this many voxels or fewer have no skeleton.
_DUST = 10

RADIUS = {"id": "radius", "data_type": "float32", "num_components": 1}
# The radius is the default colour of a skeleton's layer only if its shader says so.
INFO = {
    "@type": "neuroglancer_skeletons",
    "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
    "vertex_attributes": [RADIUS],
}
SHADER = """\
#uicontrol bool colourByRadius checkbox(default=false)
#uicontrol float largestRadius slider(min=1, max=5000, default=500)
void main() {
  emitDefault();
  if (colourByRadius) emitRGB(colormapJet(radius / largestRadius));
}
"""


def trace(mask: Mask, voxel_size: tuple[float, float, float]) -> bytes:
    """The skeleton of a mask, in nanometres; one without vertices if all of it is dust."""
    size = np.array(voxel_size, dtype=np.float64) * mask.stride
    found = tracing.skeletonize(
        mask.voxels,
        {"scale": 1.5, "const": 10 * float(size.min())},
        size.tolist(),
        dust_threshold=_DUST,
        progress=False,
        fix_borders=False,
        parallel=1,
    )
    one = found.get(1, Skeleton())
    # Skeletons count from the centre of the first voxel, and the page from its corner.
    return encoded(one, (np.array(mask.start) + 0.5) * size)


def encoded(skeleton: Skeleton, shift: Any = 0.0, scale: float = 1.0) -> bytes:
    """A skeleton with its radii as the only attribute, times ``scale`` and moved by ``shift`` nanometres.

    Pages count from the first voxel, wherever in space it lies.
    """
    one = skeleton.physical_space()
    shown = Skeleton(
        ((one.vertices - one.transform[:, 3]) * scale + shift).astype(np.float32),
        one.edges,
        radii=np.asarray(one.radius, np.float32) * np.float32(scale),
        space="physical",
    )
    shown.extra_attributes = [dict(RADIUS)]
    return shown.to_precomputed()


def opened(
    place: str | os.PathLike[str], shift: Any, nanometres: float
) -> Callable[[int], bytes | None] | Path | str:
    """Skeletons of a file or folder.

    Args:
        place: a folder or URL in Neuroglancer's format; a dataset of ``skeletonize``; a Parquet file; or a
            folder of SWC files, each named by its label.
        shift: from the corner to the centre of the first voxel, in nanometres. Tables and SWC files count
            from the centre.
        nanometres: the unit of tables and SWC files.

    Returns:
        The folder, the URL, or a function that gives a label's bytes, or None if there is no such skeleton.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of no such kind.
    """
    name = os.fspath(place).removeprefix("precomputed://")
    if "://" in name:
        return name
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(2, os.strerror(2), name)
    if path.is_dir() and (path / "info").is_file():
        return path
    if path.is_dir() and (path / PLAN).is_file():
        found = open_skeletons(path)
        return of_skeletons(found, shift, nanometres if found.unit is None else UNITS[found.unit] * 1e9)
    if path.suffix.lower() == ".parquet":
        return of_skeletons(tracing.from_parquet(path), shift, nanometres)
    if path.is_dir() and any(path.glob("*.swc")):

        def swc(label: int) -> bytes | None:
            file = path / f"{label}.swc"
            return encoded(Skeleton.load(file), shift, nanometres) if file.is_file() else None

        return swc
    raise ValueError(
        f"{name}: skeletons are a folder in Neuroglancer's format (with a file 'info'), a dataset or a "
        f".parquet file of 'crackle-zarr skeletonize', or a folder of files such as 42.swc"
    )


def of_skeletons(
    found: Mapping[int, Skeleton], shift: Any = 0.0, nanometres: float = 1.0
) -> Callable[[int], bytes | None]:
    """The bytes of skeletons by label."""

    def get(label: int) -> bytes | None:
        one = found.get(label)
        return None if one is None else encoded(one, shift, nanometres)

    return get
