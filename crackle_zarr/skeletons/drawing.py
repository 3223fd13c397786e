"""Pictures of skeletons over their labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from ..streams import stream
from .objects import Volume, with_three_axes
from .skeleton import Skeleton

# Steps of this around the colour circle stay apart.
_GOLDEN = 0.618033988749895
# How many slices are decoded at a time.
_SLICES = 16


def draw(
    path: str | os.PathLike[str],
    labels: Volume,
    skeletons: Mapping[int, Skeleton],
    voxel_size: Sequence[float],
    offset: Sequence[int] = (),
) -> None:
    """Draw skeletons over a projection of their labels along z, as a PNG file.

    Of labels that lie behind each other, the first one shows. A skeleton has the dark shade of its label.

    Args:
        path: of the file.
        labels: the volume that the skeletons are of.
        skeletons: by label, in physical space.
        voxel_size: along x, y and z.
        offset: the voxel at which the volume begins.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.colors import hsv_to_rgb
    from matplotlib.figure import Figure

    image = _projection(labels, np.array(sorted(skeletons)))
    sx, sy = image.shape
    start = np.array((*offset, 0, 0)[:2])
    edges = np.array(voxel_size[:2], np.float64)
    hues = {label: number * _GOLDEN % 1.0 for number, label in enumerate(sorted(skeletons))}
    colours = _colours(image, hues)
    height = max(2.0, min(16.0, 8.0 * sy * edges[1] / max(1.0, sx * edges[0])))
    figure = Figure(figsize=(8.0, height), dpi=150)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    low, high = start * edges - edges / 2, (start + np.array([sx, sy])) * edges - edges / 2
    axes.imshow(
        colours.transpose(1, 0, 2), extent=(low[0], high[0], high[1], low[1]), interpolation="nearest"
    )
    for label, one in skeletons.items():
        lines = one.physical_space().vertices[:, :2][one.edges].tolist()
        dark = hsv_to_rgb((hues[label], 1.0, 0.45))
        axes.add_collection(LineCollection(lines, colors="white", linewidths=2.6))
        axes.add_collection(LineCollection(lines, colors=[dark], linewidths=1.3))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(high[1], low[1])
    axes.set_axis_off()
    canvas = FigureCanvasAgg(figure)

    def write(file: Any) -> None:
        canvas.print_png(file)  # type: ignore[no-untyped-call]

    atomic_files.replace(os.fspath(path), write)


def _projection(labels: Volume, wanted: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The first of the wanted labels along z, or 0, for every column."""
    if isinstance(labels, np.ndarray):
        volume = with_three_axes(labels)
        slabs = (volume[:, :, z : z + _SLICES] for z in range(0, volume.shape[2], _SLICES))
        image = np.zeros(volume.shape[:2], np.int64 if volume.dtype.kind in "ib" else volume.dtype)
    else:
        head = stream.header(labels)
        slabs = (
            stream.decompress(labels, z_start=z, z_end=min(z + _SLICES, head.sz))
            for z in range(0, head.sz, _SLICES)
        )
        image = np.zeros((head.sx, head.sy), head.dtype)
    for slab in slabs:
        for z in range(slab.shape[2]):
            free = (image == 0) & np.isin(slab[:, :, z], wanted)
            image[free] = slab[:, :, z][free]
    return image


def _colours(image: npt.NDArray[Any], hues: Mapping[int, float]) -> npt.NDArray[np.float64]:
    """A pale colour for every label, and white for none."""
    from matplotlib.colors import hsv_to_rgb

    labels = np.array(sorted(hues))
    colours = np.ones((len(labels) + 1, 3))
    own = np.array([hues[label] for label in labels.tolist()])
    colours[1:] = hsv_to_rgb(np.column_stack([own, np.full(len(own), 0.35), np.full(len(own), 0.95)]))
    number = np.zeros(image.shape, np.int64)
    if len(labels):
        found = np.clip(np.searchsorted(labels, image), 0, len(labels) - 1)
        number = np.where(labels[found] == image, found + 1, 0)
    picture: npt.NDArray[np.float64] = colours[number]
    return picture
