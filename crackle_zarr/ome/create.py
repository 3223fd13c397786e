"""Create and write OME-Zarr label images of version 0.5."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.storage import MemoryStore

from .._base import zarr_facts
from .._base.patience import patient
from ..codecs.create import create_array, default_chunks
from ..files.label_names import rgba
from ..files.space import Space
from ..stored.unfinished import refuse_writers_within
from ..stored.writing import write_objects
from .levels import Factors, Level, axes_of, factors_between, multiscales, per_axis, plan, unit_named
from .metadata import Axis, Multiscale, ome_attributes, open_multiscale, open_or_none

VERSION = "0.5"


def create_ome_labels(
    store: Any,
    name: str | None = None,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    axes: Any = None,
    voxel_size: Any = None,
    unit: str | None = None,
    *,
    origin: Any = None,
    image: str | None = None,
    levels: int | None = None,
    factors: Factors = "auto",
    colors: Mapping[int, Sequence[int]] | None = None,
    properties: Mapping[int, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Multiscale:
    """Create an OME-Zarr label image of version 0.5 whose chunks are Crackle streams.

    Args:
        store: a path, a URL, a store, or a ``zarr.Group``: an image, or a place for a label image.
        name: the label image becomes ``labels/NAME`` in ``store``, and ``labels`` lists it. None: ``store``
            itself becomes the label image, without an image around it.
        shape: the shape of level 0. In an image, the default is the image's, without channels.
        dtype: integers; OME-Zarr allows no bool, so use uint8 for masks.
        axes: their names, such as "zyx", or :class:`crackle_zarr.ome.Axis` objects. The default is the
            image's axes without channels; without an image, the last of t, c, z, y, x.
        voxel_size: the edges of a voxel, one number per spatial axis or per axis, or one number for all
            spatial axes. The default is the image's; without an image, 1.
        unit: of the voxel size and the origin, such as "nanometer" or "nm". The default is the image's.
        origin: the position of the centre of the first voxel, as ``voxel_size``. The default is the image's.
        image: the image that the labels belong to, as a path relative to the label image. The default is
            "../../" in an image, and none elsewhere.
        levels: how many levels to create. The default in an image is the number of its levels, because
            OME-Zarr demands it; elsewhere it is 1, and :func:`build_pyramid` adds others.
        factors: "auto", the factor of every step with a number per axis, or a list of a factor per step. See
            :func:`build_pyramid`. In an image, "auto" means the factors of its levels.
        colors: for labels, red, green and blue from 0 to 255, and perhaps opacity.
        properties: for labels, further facts, which can be stored as JSON.
        overwrite: replace a label image of this name.
        **options: passed to :func:`crackle_zarr.create_array`: ``chunks``, ``shards``, ``preset``,
            ``fill_value`` ...

    Returns:
        The label image: ``levels`` are its arrays, to be written. After writing level 0,
        :func:`build_pyramid` fills the others.

    Raises:
        TypeError: the labels are no integers.
        ValueError: shape, axes, factors or sizes do not fit each other, or OME-Zarr does not allow them; or
            the image is of OME-Zarr 0.4.
        FileExistsError: there is a label image of this name, or another group or array in its place; or
            another process writes there.

    Examples:
        >>> cells = create_ome_labels(
        ...     {}, "cells", shape=(100, 300, 300), dtype="uint32", voxel_size=(40, 8, 8), unit="nm"
        ... )
        >>> cells.levels[0][10] = 7
        >>> cells.spaces[0].text(cells.names)
        '40 x 8 x 8 nanometer (z, y, x)'
    """
    place, path = place_of(store)
    description = Description(
        shape, dtype, axes, voxel_size, unit, origin, image, levels, factors, colors, properties
    )
    design = designed(place, path, name, description, options)
    refuse_existing(place, design.path, overwrite)
    if overwrite:
        refuse_writers_within(place, design.path)
    return made(place, path, design, overwrite)


@dataclass(frozen=True)
class Description:
    """The arguments of :func:`create_ome_labels` that describe the labels."""

    shape: Sequence[int] | None
    dtype: Any
    axes: Any
    voxel_size: Any
    unit: str | None
    origin: Any
    image: str | None
    levels: int | None
    factors: Factors
    colors: Mapping[int, Sequence[int]] | None
    properties: Mapping[int, Mapping[str, Any]] | None


@dataclass(frozen=True)
class Design:
    """A label image that can be created.

    Attributes:
        name: in an image; None: it is alone.
        path: of its group within the store.
        dtype: of the labels.
        levels: of the pyramid.
        attributes: of its group, below "ome".
        options: of level 0, for :func:`crackle_zarr.create_array`.
    """

    name: str | None
    path: str
    dtype: np.dtype[Any]
    levels: tuple[Level, ...]
    attributes: dict[str, Any]
    options: dict[str, Any]

    def first(self, store: Any, name: str) -> zarr.Array[Any]:
        """Create level 0."""
        return create_array(store, name=name, shape=self.levels[0].shape, dtype=self.dtype, **self.options)


def designed(
    store: Any, path: str, name: str | None, description: Description, options: dict[str, Any]
) -> Design:
    """Check what is to be created, and write nothing; see :func:`create_ome_labels`."""
    for fixed in ("zarr_format", "name", "data", "dimension_names", "attributes"):
        if fixed in options:
            raise TypeError(f"create_ome_labels sets {fixed} itself")
    dtype = integers(description.dtype)
    around = image_at(store, path) if name is not None else None
    new = _described(around, description)
    if len(new.shape) != len(new.axes):
        raise ValueError(f"the shape {new.shape} has {len(new.shape)} numbers for {len(new.axes)} axes")
    chunks = options.get("chunks") or default_chunks(new.shape, options.get("shards"))
    planned = _planned(new, around, chunks, description.factors, description.levels)
    image = description.image or ("../../" if around is not None else None)
    attributes = {
        "version": VERSION,
        "multiscales": [multiscales(name or "labels", new.axes, new.space, planned)],
        "image-label": _image_label(image, description.colors, description.properties),
    }
    where = path if name is None else join(path, "labels", checked_name(name))
    names = [axis.name for axis in new.axes]
    of_array = {**options, "chunks": chunks, "dimension_names": names}
    design = Design(name, where, dtype, tuple(planned), attributes, of_array)
    design.first(MemoryStore(), planned[0].path)  # Zarr may refuse its arguments
    return design


def made(store: Any, path: str, design: Design, overwrite: bool = False) -> Multiscale:
    """Create a label image in an image at a path, or there; see :func:`create_ome_labels`."""
    group = _new_group(store, design.path, overwrite)
    planned = design.levels
    first = design.first(store, join(design.path, planned[0].path))
    for level in planned[1:]:
        level_like(first, join(design.path, level.path), level.shape)
    group.attrs["ome"] = design.attributes
    if design.name is not None:
        list_labels(store, path, design.name)
    return open_multiscale(zarr.open_group(store, path=design.path, mode="r+"))


# ---------------------------------------------------------------------------------------
# What is to be created


class _New:
    """The shape, axes and space of a new label image."""

    def __init__(self, shape: tuple[int, ...], axes: tuple[Axis, ...], space: Space) -> None:
        self.shape, self.axes, self.space = shape, axes, space


def _described(around: Multiscale | None, wanted: Description) -> _New:
    shape, axes, voxel_size, origin = wanted.shape, wanted.axes, wanted.voxel_size, wanted.origin
    unit = unit_named(wanted.unit)
    if around is not None:
        kept = [place for place, axis in enumerate(around.axes) if axis.type != "channel"]
        space = around.spaces[0].of_axes(kept)
        if shape is None:
            shape = tuple(around.levels[0].shape[place] for place in kept)
        same_axes = axes is None and len(tuple(shape)) == len(kept)
        axes = [around.axes[place] for place in kept] if same_axes else axes
        if same_axes and voxel_size is None:
            # A unit of its own would change the sizes of the image.
            voxel_size, unit = space.voxel_size, space.unit if unit is None else unit
            if unit != space.unit:
                raise ValueError(f"the image is in {space.unit}, so give voxel_size with the unit {unit}")
        if same_axes and origin is None and unit == space.unit:
            origin = space.origin
    if shape is None:
        raise ValueError("a label image needs a shape, unless it is within an image")
    lengths = tuple(map(int, shape))
    found = axes_of(axes, len(lengths), unit)
    if unit is not None:  # also for the axes of an image in another unit
        found = tuple(Axis(axis.name, axis.type, unit) if axis.type == "space" else axis for axis in found)
    size = tuple(per_axis("voxel_size", voxel_size, found, 1.0, positive=True))
    first = None if origin is None else tuple(per_axis("origin", origin, found, 0.0, positive=False))
    return _New(lengths, found, Space(size, unit, first))


def _planned(
    new: _New, around: Multiscale | None, chunks: Sequence[int], factors: Factors, levels: int | None
) -> list[Level]:
    assert new.space.voxel_size is not None
    if around is None:
        number = 1 if levels is None and isinstance(factors, str) else levels
        return plan(new.shape, new.axes, new.space.voxel_size, chunks, factors, number)
    number = len(around.levels)
    if levels not in (None, number):
        raise ValueError(
            f"the image has {number} levels, and OME-Zarr demands that its labels have as many, not {levels}"
        )
    if isinstance(factors, str) and factors == "auto":
        by_name = dict.fromkeys((axis.name for axis in new.axes), 1)
        sizes = [
            [dict(zip(around.names, space.voxel_size or (), strict=True)).get(name, 1.0) for name in by_name]
            for space in around.spaces
        ]
        factors = factors_between(sizes, str(around.group.store_path)) or "auto"
    paths = around.paths if all("/" not in path for path in around.paths) else None
    return plan(new.shape, new.axes, new.space.voxel_size, chunks, factors, number, paths)


def integers(dtype: Any) -> np.dtype[Any]:
    """The dtype of labels, in the machine's byte order.

    Raises:
        TypeError: OME-Zarr does not allow it.
    """
    if dtype is None:
        raise ValueError("a label image needs a dtype, such as 'uint32'")
    found = zarr_facts.numpy_dtype(dtype)
    if found.kind == "b":
        raise TypeError(
            "OME-Zarr labels are integers, and bool is not allowed: use dtype='uint8', and write "
            "mask.view('uint8')"
        )
    if found.kind not in "iu":
        raise TypeError(f"OME-Zarr labels are integers of 8 to 64 bits, not {found}")
    return found.newbyteorder("=")


def _image_label(
    image: str | None,
    colors: Mapping[int, Sequence[int]] | None,
    properties: Mapping[int, Mapping[str, Any]] | None,
) -> dict[str, Any]:
    label: dict[str, Any] = {}
    if colors is not None:
        label["colors"] = [
            {"label-value": int(value), "rgba": list(rgba(color))} for value, color in colors.items()
        ]
    if properties is not None:
        label["properties"] = [{"label-value": int(key), **facts} for key, facts in properties.items()]
        json.dumps(label["properties"])  # a TypeError here, and not half way
    if image is not None:
        label["source"] = {"image": image}
    return label


# ---------------------------------------------------------------------------------------
# Groups


def place_of(store: Any) -> tuple[Any, str]:
    """The store, with patience, and the path of a group, or of a place that Zarr accepts."""
    if isinstance(store, zarr.Group):
        return patient(store.store_path.store), store.path
    place, path = zarr_facts.store_at(store)
    return patient(place), path


def join(*parts: str) -> str:
    """A path of its parts, without the empty ones."""
    return "/".join(part for part in parts if part)


def checked_name(name: str) -> str:
    """The name of a label image.

    Raises:
        ValueError: no group can have this name.
    """
    if not name or "/" in name or name.startswith((".", "__")):
        raise ValueError(
            f"a label image has a name without slashes, which does not begin with a dot, not {name!r}"
        )
    return name


def image_at(store: Any, path: str) -> Multiscale | None:
    """The image in a group; None if it is no image, or does not exist."""
    group = open_or_none(store, path)
    if group is None:
        return None
    if zarr_facts.format_of(group) == 2:
        raise ValueError(
            f"{group.store_path} is of Zarr format 2, and labels of OME-Zarr 0.5 are of format 3: "
            f"convert the image to OME-Zarr 0.5 first, or write the labels to another place"
        )
    return open_multiscale(group) if "multiscales" in ome_attributes(group) else None


def refuse_existing(store: Any, path: str, overwrite: bool) -> None:
    """Raise FileExistsError if a place has an array or a group."""
    found = zarr_facts.node_at(store, path)
    if found is not None and not overwrite:
        raise FileExistsError(f"{found.store_path} exists already: overwrite=True replaces it")


def _new_group(store: Any, path: str, overwrite: bool) -> zarr.Group:
    """A new group; the groups above it are created where they do not exist."""
    parts = path.split("/") if path else []
    for number in range(len(parts)):
        above = "/".join(parts[:number])
        if open_or_none(store, above) is None:
            zarr.create_group(store, path=above, zarr_format=3)
    return zarr.create_group(store, path=path, zarr_format=3, overwrite=overwrite)


def list_labels(store: Any, path: str, name: str) -> None:
    """Add a name to the list of the label images of an image."""
    labels = zarr.open_group(store, path=join(path, "labels"), mode="r+")
    attributes = ome_attributes(labels)
    names = attributes.get("labels", [])
    if name not in names:
        labels.attrs["ome"] = {**attributes, "version": VERSION, "labels": [*names, name]}


def level_like(array: zarr.Array[Any], path: str, shape: Sequence[int]) -> zarr.Array[Any]:
    """Create an array with the codecs, the dtype and the names of another, and another shape.

    Chunks are not larger than the array, unless there are shards.
    """
    store = array.store_path.store
    objects = {}
    for key, value in zarr_facts.metadata_objects(array).items():
        fields = json.loads(value.to_bytes())
        if key == ".zattrs":
            fields = {}
        else:
            fields["shape"] = list(shape)
            if "attributes" in fields:
                fields["attributes"] = {}
            if zarr_facts.shard_lengths(array) is None:
                chunks = [
                    max(1, min(pair)) for pair in zip(zarr_facts.chunk_shape(array), shape, strict=True)
                ]
                if "chunks" in fields:
                    fields["chunks"] = chunks
                else:
                    fields["chunk_grid"]["configuration"]["chunk_shape"] = chunks
        objects[join(path, key)] = json.dumps(fields, indent=2).encode("ascii")
    write_objects(store, objects)
    return zarr.open_array(store, path=path, mode="r+", zarr_format=zarr_facts.format_of(array))
