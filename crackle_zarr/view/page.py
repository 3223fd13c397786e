"""The state in which the page opens: its layers, and what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import neuroglancer
import numpy as np

from .layers import LabelLayer, Layer
from .objects import shown_label
from .skeletons import SHADER
from .volume import Volume

if TYPE_CHECKING:
    from .server import Server

# The page shows slices in panels of about this many pixels.
_PANEL = 400
# A slice shows at most this many voxels of the coarsest level in a pixel.
_MOST_REDUCED = 2

_IMAGE_SHADER = """\
#uicontrol invlerp normalized
void main() {
  emitGrayscale(normalized());
}
"""


class Place(NamedTuple):
    """What the page looks at.

    Attributes:
        centre: the point (x, y, z), in voxels of the labels.
        extent: along x, y and z, what to show in nanometres; None: the whole volume.
    """

    centre: Sequence[float]
    extent: Sequence[float] | None


def state(
    server: Server,
    layers: Mapping[str, Layer],
    places: Mapping[str, str],
    selected: Sequence[int],
    place: Place | None,
    is_listed: bool,
) -> Any:
    """The state of the page, a ``neuroglancer.ViewerState``.

    Args:
        server: which serves the layers.
        layers: what to show.
        places: where "meshes" and "skeletons" of others are, if the layer has none of its own.
        selected: labels, as the page shows them.
        place: what to look at; None: the whole volume.
        is_listed: whether the list of labels is asked for.
    """
    labels = layers["labels"]
    assert isinstance(labels, LabelLayer)
    volume = labels.volume
    shown = neuroglancer.ViewerState()
    shown.dimensions = _dimensions(volume, volume.other_names)
    centre = [length / 2 for length in volume.shape] if place is None else list(place.centre)
    shown.position = [*centre, *(0 for _ in volume.others)]
    whole = [length * edge for length, edge in zip(volume.shape, volume.voxel_size, strict=True)]
    extent = whole if place is None or place.extent is None else [1.5 * one for one in place.extent]
    unit = min(volume.voxel_size)
    coarsest = max(volume.levels[-1].voxel_size[:2])
    shown.cross_section_scale = min(max(extent[:2]) / _PANEL, coarsest * _MOST_REDUCED) / unit
    shown.projection_scale = max(1.0, 1.3 * max(extent) / unit)
    for name, layer in layers.items():
        if isinstance(layer, LabelLayer):
            shown.layers[name] = _label_layer(server, name, layer, places, selected, is_listed)
        else:
            shown.layers[name] = _image_layer(server, name, layer)
    shown.selected_layer.layer = "labels"
    shown.selected_layer.visible = True
    shown.layout = "xy" if volume.shape[2] == 1 else "4panel"
    shown.title = volume.source.title
    return shown


def _dimensions(volume: Volume, others: Sequence[str] = ()) -> Any:
    return neuroglancer.CoordinateSpace(
        names=["x", "y", "z", *others],
        units=["nm"] * 3 + [""] * len(others),
        scales=[*volume.voxel_size, *(1 for _ in others)],
    )


def _label_layer(
    server: Server,
    name: str,
    layer: LabelLayer,
    places: Mapping[str, str],
    selected: Sequence[int],
    is_listed: bool,
) -> Any:
    """Labels: each kind of data is a source of its own, so that slices need not wait for the others."""
    sources = [_volume_url(server, name, layer)]
    if is_listed:
        sources.append(f"precomputed://{server.url(name, 'properties')}")
    if layer.has_meshes:
        sources.append(f"precomputed://{server.url(name, 'mesh')}")
    if layer.has_skeletons:
        sources.append(f"precomputed://{server.url(name, 'skeletons')}")
    sources += [f"precomputed://{url}" for url in places.values()]
    shown = neuroglancer.SegmentationLayer(source=sources)
    shown.tab = "segments"
    shown.skeleton_rendering.shader = SHADER
    shown.segments = set(selected)
    colors = layer.volume.source.colors
    if colors:
        shown.segment_colors = {
            shown_label(layer.volume, label): "#{:02x}{:02x}{:02x}".format(*color)
            for label, color in colors.items()
        }
    return shown


def _image_layer(server: Server, name: str, layer: Layer) -> Any:
    """An image, moved to its place."""
    volume = layer.volume
    source: dict[str, Any] = {"url": _volume_url(server, name, layer)}
    if any(layer.shift) and layer.is_precomputed:
        matrix = np.eye(3, 4)
        matrix[:, 3] = [one / edge for one, edge in zip(layer.shift, volume.voxel_size, strict=True)]
        source["transform"] = {"outputDimensions": _dimensions(volume).to_json(), "matrix": matrix.tolist()}
    shown = neuroglancer.ImageLayer(source=source)
    shown.shader = _IMAGE_SHADER
    low, high = _range(volume)
    shown.shader_controls = {"normalized": {"range": [low, high]}}
    return shown


def _range(volume: Volume) -> tuple[float, float]:
    """Which numbers to show black and white: all but the last percents in the middle of an image."""
    level = len(volume.source.levels) - 1
    shape = volume.levels[level].shape
    start = [max(0, length // 2 - 32) for length in shape]
    stop = [min(length, first + 64) for first, length in zip(start, shape, strict=True)]
    index = tuple(0 for _ in volume.others)
    box = volume.box(level, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2]), index)
    sound = box[np.isfinite(box)]
    if not sound.size:
        return 0.0, 1.0
    low, high = (float(one) for one in np.percentile(sound, (1, 99)))
    if volume.dtype.kind != "f":
        low, high = float(round(low)), float(round(high))
    return (low, high) if low < high else (low, low + 1)


def _volume_url(server: Server, name: str, layer: Layer) -> str:
    if layer.is_precomputed:
        return f"precomputed://{server.url(name, 'volume')}"
    return f"zarr://{server.url(name, 'zarr')}/"
