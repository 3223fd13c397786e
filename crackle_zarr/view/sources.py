"""Opens the labels and images to show: stored arrays, pyramids, streams, files and arrays of NumPy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.storage import MemoryStore

from .. import ome, verbs
from .._base import zarr_facts
from ..codecs.create import AXES, create_array, default_chunks
from ..files import formats, volumes
from ..files.crackle_files import MAGIC, file_in_errors
from ..files.formats import slices, whole_numbers
from ..files.formats.as_zarr import as_zarr
from ..files.label_names import LabelNames
from ..files.space import Space
from ..files.volumes import UnusableError
from ..ome.metadata import ome_attributes, space_of
from ..ome.names import known_names, names_of_image
from ..stored.engine import Progress
from ..stored.lazy import RemappedArray
from ..stored.sources import array_of
from ..streams import stream
from ..streams.array import CrackleArray
from ..streams.constructors import full
from ..streams.slices import zrange, zstack

Axes = Literal["xyz", "zyx"]

# Slices and voxels of a chunk that a stream is cut into.
_SLICES = 64
_CHUNK_VOXELS = 2**25


@dataclass(frozen=True)
class Source:
    """A volume to show.

    Attributes:
        levels: the arrays, from the finest to the coarsest; all have the same axes.
        spaces: the voxel size, unit and origin of each level, in the order of the array's axes.
        names: of the axes; None where they are not known.
        title: what to call it.
        image: the image to which labels belong, if the metadata name one.
        colors: red, green and blue of labels, from the metadata.
        label_names: names of labels, from the metadata.
    """

    levels: list[Any]
    spaces: list[Space]
    names: tuple[str | None, ...] | None
    title: str
    image: zarr.Group | None = None
    colors: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    label_names: dict[int, str] = field(default_factory=dict)

    @property
    def array(self) -> Any:
        """The finest level."""
        return self.levels[0]


def open_labels(
    source: Any,
    *,
    storage_options: dict[str, Any] | None = None,
    npy_axes: Axes = "xyz",
    progress: Progress = False,
) -> Source:
    """Open labels.

    Files, streams and arrays of NumPy are stored as Crackle in memory first, slab by slab: all questions
    about labels can then be answered from label tables.

    Args:
        source: a path or URL; a ``zarr.Array``, ``zarr.Group`` or :class:`RemappedArray`; a stream or
            :class:`CrackleArray` (x, y, z); or an array of NumPy, whose last axis is x in C order and whose
            first axis is x in Fortran order.
        storage_options: for the store of a URL.
        npy_axes: the axes of a ``.npy`` file.
        progress: for the conversion; see :mod:`crackle_zarr.verbs`.

    Raises:
        TypeError: the voxels are not integers or bool.
        ValueError: it is no volume of labels, or has no voxels.
        FileNotFoundError: there is no such file.
    """
    found = _zarr_or_file(source, storage_options)
    if isinstance(found, Path):
        opened = _labels_of_file(str(source), npy_axes, progress)
    elif isinstance(found, zarr.Group) and not ({"multiscales", "labels"} & set(ome_attributes(found))):
        array = array_of(found)
        opened = _of_array(array, array)
    elif isinstance(found, zarr.Group):
        opened = _of_multiscale(ome.open_labels(found) if _has_labels(found) else ome.open_multiscale(found))
    elif isinstance(found, RemappedArray):
        opened = _of_array(found, found.array)
    elif isinstance(found, zarr.Array):
        opened = _of_array(found, found)
    elif isinstance(found, np.ndarray):
        turned = found.T if found.flags.f_contiguous and not found.flags.c_contiguous else found
        opened = _in_memory(formats.in_memory(turned), "labels", progress)
    else:
        opened = _of_stream(found.binary if isinstance(found, CrackleArray) else found, "labels")
    array = opened.array
    if array.dtype.kind not in "iub":
        raise TypeError(
            f"{opened.title}: labels are integers or bool, and this array has {array.dtype}; 'image' shows it"
        )
    _refuse_empty(opened)
    return opened


def open_image(
    source: Any, *, storage_options: dict[str, Any] | None = None, npy_axes: Axes = "xyz"
) -> Source:
    """Open an image: a Zarr array, an OME-Zarr image, a file, or an array of NumPy; see :func:`open_labels`.

    Raises:
        ValueError: it is no image, or has no voxels.
        FileNotFoundError: there is no such file.
    """
    found = _zarr_or_file(source, storage_options)
    if isinstance(found, Path):
        volume = formats.read(found)
        if volume.format not in ("npy", "npz") or npy_axes == "xyz":
            volume = volume.transposed()
        opened = _plain(volume, Path(str(source)).name)
    elif isinstance(found, zarr.Group):
        opened = _of_multiscale(ome.open_multiscale(found))
    elif isinstance(found, zarr.Array):
        opened = _of_array(found, found)
    elif isinstance(found, np.ndarray):
        turned = found.T if found.flags.f_contiguous and not found.flags.c_contiguous else found
        opened = _plain(formats.in_memory(turned), "image")
    else:
        raise TypeError(f"an image is a path, a URL or an array, not {type(source).__name__}")
    if opened.array.dtype.kind not in "iubf":
        raise TypeError(f"{opened.title}: an image has numbers, and this array has {opened.array.dtype}")
    _refuse_empty(opened)
    return opened


def _refuse_empty(source: Source) -> None:
    shape = source.array.shape
    if not shape or 0 in shape:
        raise ValueError(f"{source.title}: an array of shape {tuple(shape)} has nothing to show")


def _zarr_or_file(source: Any, storage_options: dict[str, Any] | None) -> Any:
    """The array or group at a path or URL, the path of a file, or an object as it is."""
    if not isinstance(source, str | os.PathLike):
        return source
    place = os.fspath(source)
    if slices.is_sequence(place):
        return Path(place)
    if "://" in place or Path(place).is_dir():
        return zarr.open(place, mode="r", storage_options=storage_options or None)
    path = Path(formats.split(place)[0])
    if not path.exists():
        raise FileNotFoundError(2, os.strerror(2), place)
    return Path(place)


def _has_labels(group: zarr.Group) -> bool:
    """Whether a group is a label image, or has one."""
    attributes = ome_attributes(group)
    return "multiscales" in attributes and ("image-label" in attributes or bool(ome.label_images(group)))


def _of_multiscale(found: ome.Multiscale) -> Source:
    return Source(
        list(found.levels),
        # Without a translation, the origin of OME-Zarr is 0.
        [replace(space, origin=space.origin or (0.0,) * len(found.axes)) for space in found.spaces],
        found.names,
        found.name or _last_name(found.group) or "labels",
        found.image,
        {label: color[:3] for label, color in found.colors.items()},
        names_of_image(found),
    )


def _of_array(array: Any, stored: zarr.Array[Any]) -> Source:
    known = known_names(array)
    return Source(
        [array],
        [space_of(stored)],
        zarr_facts.dimension_names(stored),
        _last_name(stored),
        colors={label: color[:3] for label, color in known.colors.items()},
        label_names=known,
    )


def _last_name(node: zarr.Array[Any] | zarr.Group) -> str:
    """The last part of the path of a node, or of the place of its store."""
    if node.path:
        return node.path.rpartition("/")[2]
    name = str(node.store_path).rstrip("/)>").rpartition("/")[2]
    return name if "." in name else "labels"


# ---------------------------------------------------------------------------------------
# Files and arrays in memory


def _labels_of_file(place: str, npy_axes: Axes, progress: Progress) -> Source:
    path = Path(formats.split(place)[0])
    if not slices.is_sequence(place):
        with volumes.unpacked(path) as (content, _):
            if content.peek(len(MAGIC)).startswith(MAGIC):
                with file_in_errors(path):
                    return _of_stream(content.read(), path.name)
    with formats.opened(place) as volume:
        volume = whole_numbers.labels_of(volume, place)
        of_numpy = volume.format in ("npy", "npz")
        keeps_axes = volume.format == "hdf5" or (of_numpy and npy_axes == "zyx")
        return _in_memory(volume if keeps_axes else volume.transposed(), path.name, progress)


def _in_memory(volume: formats.Volume, title: str, progress: Progress) -> Source:
    """A volume (..., z, y, x), stored as Crackle in memory; a slab at a time is decoded."""
    if not volume.shape or 0 in volume.shape:
        raise ValueError(f"{title}: a volume of shape {volume.shape} has nothing to show")
    names = volume.axes or _names(volume.shape)
    array = as_zarr(volume, default_chunks(volume.shape, None), names)
    store = MemoryStore()
    verbs.convert(array, store, verify=False, progress=progress)
    stored = zarr.open_array(store, mode="r")
    known = volume.label_names or LabelNames()
    return Source(
        [stored],
        [volume.space],
        names,
        title,
        colors={label: color[:3] for label, color in known.colors.items()},
        label_names=known,
    )


def _of_stream(binary: Any, title: str) -> Source:
    """A stream as an array (z, y, x) in memory, cut into chunks of whole slices; nothing is decoded."""
    head = stream.header(binary)
    x, y, z = head.shape
    if not head.voxels():
        raise ValueError(f"{title}: a volume of shape {head.shape} has nothing to show")
    depth = max(1, min(z, _SLICES, _CHUNK_VOXELS // (x * y)))
    store = MemoryStore()
    array = create_array(store, shape=(z, y, x), dtype=head.dtype, chunks=(depth, y, x))
    for number, start in enumerate(range(0, z, depth)):
        stop = min(z, start + depth)
        piece = zrange(binary, start, stop)
        if stop - start < depth:
            piece = zstack([piece, full((x, y, depth - (stop - start)), 0, head.dtype)])
        key = zarr_facts.chunk_key(array, (number, 0, 0))
        zarr_facts.run(store.set(key, zarr_facts.buffer_of(piece)))
    return Source([array], [Space()], AXES[-3:], title)


def _plain(volume: formats.Volume, title: str) -> Source:
    """A volume (..., z, y, x) as it is."""
    if not volume.shape or 0 in volume.shape:
        raise ValueError(f"{title}: a volume of shape {volume.shape} has nothing to show")
    if volume.dtype.kind not in "iubf":
        raise UnusableError(f"{title}: an image has numbers, and this file has {volume.dtype}")
    chunks = tuple(min(64, length) for length in volume.shape)
    names = _names(volume.shape)
    return Source([as_zarr(volume, chunks, names)], [volume.space], names, title)


def _names(shape: Sequence[int]) -> tuple[str, ...] | None:
    return AXES[-len(shape) :] if len(shape) <= len(AXES) else None
