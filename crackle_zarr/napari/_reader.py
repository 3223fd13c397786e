"""Layers of labels for napari, whose voxels are decoded when they are shown.

napari has dask, which reads an array chunk by chunk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..files import volumes
from ..files.space import Space

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
Reader: TypeAlias = Callable[[Any], list[LayerData]]

_CKL = re.compile(r"\.ckl(\.(gz|xz|lzma|bz2|zst))?$", re.IGNORECASE)
# How many slices of a stream are decoded at once.
_SLICES = 16


def get_reader(path: Any) -> Reader | None:
    """A reader of a path or URL, if labels are stored with Crackle there.

    Args:
        path: what napari is to open; of a list of paths, every one has to be Crackle's.

    Returns:
        A function that makes the layers, or None: other readers may open the path. An image of OME-Zarr is
        left to them, with the labels in it.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    return read if paths and all(map(_is_crackle, paths)) else None


def read(path: Any) -> list[LayerData]:
    """The layers of a path or URL, or of a list of them."""
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    return [layer for one in paths for layer in _layers(os.fspath(one))]


def _is_crackle(path: Any) -> bool:
    place = os.fspath(path)
    try:
        if _is_file(place):
            return _CKL.search(place) is not None and volumes.kind_of(Path(place)) == "ckl"
        return bool(_images(place))
    except Exception:  # it cannot be opened, or is of a kind that is unknown here
        return False


def _is_file(place: str) -> bool:
    return "://" not in place and not os.path.isdir(place)


def _layers(place: str) -> list[LayerData]:
    images = [_of_file(Path(place))] if _is_file(place) else _images(place)
    if not images:
        raise ValueError(f"{place}: there are no labels stored with Crackle")
    return [image.layer() for image in images]


@dataclass(frozen=True)
class _Image:
    """A label image.

    Attributes:
        name: of the layer.
        levels: arrays of dask, the finest first.
        axes: their names.
        space: of the finest level.
        units: of the axes.
    """

    name: str
    levels: list[Any]
    axes: tuple[str, ...]
    space: Space
    units: list[str]

    def layer(self) -> LayerData:
        """The image as napari takes it."""
        options: dict[str, Any] = {
            "name": self.name,
            "multiscale": len(self.levels) > 1,
            "axis_labels": self.axes,
            "units": self.units,
        }
        if self.space.voxel_size is not None:
            options["scale"] = self.space.voxel_size
        if self.space.origin is not None:
            options["translate"] = self.space.origin
        return (self.levels if len(self.levels) > 1 else self.levels[0]), options, "labels"


def _name(place: str) -> str:
    return re.sub(r"(\.ome)?\.zarr$", "", _CKL.sub("", place.rstrip("/").rpartition("/")[2]))


# ---------------------------------------------------------------------------------------
# Zarr


def _images(place: str) -> list[_Image]:
    """The label images at a place; none if another reader is to open it."""
    import zarr

    from ..ome.metadata import label_images, ome_attributes, open_labels, open_multiscale

    found = zarr.open(place, mode="r")
    if isinstance(found, zarr.Array):
        return [_of_array(_name(place), found)] if _has_crackle(found) else []
    if "multiscales" not in ome_attributes(found):  # the group of all label images
        images = [(name, open_labels(found, name)) for name in label_images(found)]
    elif "labels" in found:
        return []  # readers of images show the image, too
    else:
        images = [(_name(place), open_multiscale(found))]
    if not all(_has_crackle(level) for _, image in images for level in image.levels):
        return []
    return [
        _Image(
            name,
            list(map(_stored, image.levels)),
            image.names,
            image.spaces[0],
            [(image.spaces[0].unit if axis.type == "space" else axis.unit) or "pixel" for axis in image.axes],
        )
        for name, image in images
    ]


def _has_crackle(array: Any) -> bool:
    from ..stored.layout import layout_of

    return layout_of(array).chain is not None


def _of_array(name: str, array: Any) -> _Image:
    from .._base import zarr_facts
    from ..ome.metadata import space_of

    names = zarr_facts.dimension_names(array) or (None,) * array.ndim
    axes = tuple(str(axis or f"axis {number}") for number, axis in enumerate(names))
    space = space_of(array)
    return _Image(name, [_stored(array)], axes, space, [space.unit or "pixel"] * array.ndim)


def _stored(array: Any) -> Any:
    """A stored array as :func:`_lazy` gives it; who opens one whose labels may be a mixture is warned."""
    from ..stored.layout import layout_of
    from ..stored.told import tell

    layout = layout_of(array)
    tell(layout, "warn")
    return _lazy(array, layout.longest)


def _lazy(source: Any, lengths: tuple[int, ...]) -> Any:
    """An array of dask that reads a chunk of such lengths when it is shown; bool becomes 0 and 1."""
    import dask.array

    chunks = tuple(max(1, min(part, n)) for part, n in zip(lengths, source.shape, strict=True))
    from_array: Callable[..., Any] = dask.array.from_array
    lazy = from_array(source, chunks=chunks, name=False, asarray=True, fancy=False)
    return lazy.astype(np.uint8) if source.dtype.kind == "b" else lazy


# ---------------------------------------------------------------------------------------
# Crackle files


class _Transposed:
    """A stream (x, y, z) as an array (z, y, x): napari shows the last two axes."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape = array.shape[::-1]
        self.dtype = array.dtype
        self.ndim = len(self.shape)
        self.chunks = (_SLICES, *self.shape[1:])

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        """The labels of a box."""
        return np.asarray(self._array[index[::-1]]).T


def _of_file(path: Path) -> _Image:
    from ..streams.array import CrackleArray

    source = _Transposed(CrackleArray(volumes.read_stream(path), parallel=1))
    lazy = [_lazy(source, source.chunks)]
    return _Image(_name(os.fspath(path)), lazy, ("z", "y", "x"), Space(), ["pixel"] * 3)
