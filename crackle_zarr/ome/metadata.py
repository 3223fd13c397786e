"""Read the metadata of an OME-Zarr image: its levels, axes, voxel sizes, and what belongs to labels.

Version 0.5 keeps them in the attribute ``ome`` of a group of Zarr format 3, version 0.4 directly in the
attributes of a group of format 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import zarr
from zarr.storage import FsspecStore, LocalStore

from .._base import zarr_facts
from ..errors import FormatError, StoreError
from ..files.space import UNITS, Space, from_attributes, numbers, unit_of
from ..stored.sources import member_of
from ..stored.writing import translated_errors

VERSIONS = ("0.4", "0.5")


@dataclass(frozen=True)
class Axis:
    """An axis of an image.

    Attributes:
        name: such as "z".
        type: "space", "time", "channel" or another word; None if the metadata do not tell.
        unit: as it stands in the metadata, such as "nanometer"; None if there is none.
    """

    name: str
    type: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Multiscale:
    """An OME-Zarr image: the same volume at several resolutions.

    Attributes:
        group: the group of the image.
        levels: the arrays, from the finest to the coarsest.
        paths: the names of the levels within the group.
        axes: the axes of every level, in the order of the arrays.
        spaces: the voxel size, unit and origin of each level, in the order of the axes. The unit is that of
            the axes of type "space"; the numbers of other axes have the units of these axes.
        name: of the multiscales; "" if it has none.
        version: of OME-Zarr: "0.4" or "0.5".
        is_labels: whether it is a label image: it has ``image-label``, or the group around it lists it.
        image: the group of the image that the labels belong to; None if there is none, or for an image.
        colors: red, green, blue and opacity (0 to 255) of labels.
        properties: further facts on labels.
        method: what made the levels, as the metadata tell it: ``type`` and ``metadata``.
    """

    group: zarr.Group
    levels: list[zarr.Array[Any]]
    paths: list[str]
    axes: tuple[Axis, ...]
    spaces: list[Space]
    name: str
    version: str
    is_labels: bool
    image: zarr.Group | None = None
    colors: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    properties: dict[int, dict[str, Any]] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(axis.name for axis in self.axes)


def open_multiscale(source: Any) -> Multiscale:
    """Read the metadata of an OME-Zarr image or label image.

    Args:
        source: a ``zarr.Group``, or a path, URL or store of one: an image, a label image, or the group
            ``labels`` of an image if it lists one label image.

    Raises:
        ValueError: it is no such group; it lists several label images; or its version is another one.
        FormatError: its metadata are damaged; the error tells what is wrong.
        StoreError: the store failed.
    """
    group = group_at(source)
    attributes = ome_attributes(group)
    if "multiscales" not in attributes:
        listed = attributes.get("labels")
        if isinstance(listed, list) and len(listed) == 1:
            return open_multiscale(member_of(group, str(listed[0]), zarr.Group))
        if isinstance(listed, list) and listed:
            raise ValueError(
                f"{group.store_path} has several label images: open one of them "
                f"({', '.join(map(str, listed))})"
            )
        raise ValueError(f"{group.store_path} is no image of OME-Zarr: its attributes have no multiscales")
    return _read(group, attributes)


def open_labels(source: Any, name: str | None = None) -> Multiscale:
    """Read the metadata of a label image, also of one that lies within an image.

    Args:
        source: a label image, an image with labels, or its group ``labels``.
        name: which label image of the image; None: its only one.

    Raises:
        ValueError: there are no labels, or several and no ``name``, or none of this name.
        FormatError: the metadata are damaged.
        StoreError: the store failed.
    """
    group = group_at(source)
    attributes = ome_attributes(group)
    if name is None and "multiscales" in attributes and _is_labels(group, attributes):
        return _read(group, attributes)
    names = label_images(group)
    if name is None and len(names) != 1:
        has = f"has several label images ({', '.join(names)}): name one" if names else "has no label images"
        raise ValueError(f"{group.store_path} {has}")
    if name is not None and name not in names:
        raise ValueError(
            f"{group.store_path} has no label image {name!r}; it has {', '.join(names) or 'none'}"
        )
    labels = _labels_group(group)
    assert labels is not None  # it has names
    return open_multiscale(member_of(labels, name or names[0], zarr.Group))


def label_images(source: Any) -> list[str]:
    """The names of the label images of an image, as its group ``labels`` lists them.

    Args:
        source: the group of an image, its group ``labels``, or a path, URL or store of one of them.

    Raises:
        FormatError: the list is damaged.
        StoreError: the store failed.
    """
    labels = _labels_group(group_at(source))
    if labels is None:
        return []
    names = ome_attributes(labels).get("labels", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError(f"{labels.store_path}: 'labels' has to be a list of names, and is {names!r}")
    return list(names)


# ---------------------------------------------------------------------------------------
# Groups


def ome_attributes(group: zarr.Group) -> dict[str, Any]:
    """The attributes of a group that are OME-Zarr's: of version 0.5 those within ``ome``."""
    attributes: dict[str, Any] = group.attrs.asdict()
    if "ome" in attributes:
        attributes = attributes["ome"]
        if not isinstance(attributes, dict):
            raise FormatError(f"{group.store_path}: the attribute 'ome' is no object of JSON")
    return attributes


def group_at(source: Any, mode: Literal["r", "r+"] = "r") -> zarr.Group:
    """A group, or the one at a path, URL or store, which is opened in this mode.

    Raises:
        ValueError: there is none.
    """
    if isinstance(source, zarr.Group):
        return source
    if isinstance(source, zarr.Array):
        raise ValueError(f"{source.store_path} is an array, and an image of OME-Zarr is a group")
    try:
        return zarr.open_group(source, mode=mode, use_consolidated=False)
    except FileNotFoundError as error:
        raise ValueError(f"{source}: there is no Zarr group") from error


def _labels_group(group: zarr.Group) -> zarr.Group | None:
    """The group ``labels`` of an image, or the group itself if it is one; None if there is none."""
    if isinstance(ome_attributes(group).get("labels"), list):
        return group
    with translated_errors(group.store_path.store, group.path or "the group", "read from"):
        labels = group.get("labels")
    return labels if isinstance(labels, zarr.Group) else None


def _is_labels(group: zarr.Group, attributes: Mapping[str, Any]) -> bool:
    if "image-label" in attributes:
        return True
    folder, _, name = group.path.rpartition("/")
    if folder.rpartition("/")[2] != "labels":
        return False
    parent = open_or_none(group.store_path.store, folder)
    listed = None if parent is None else ome_attributes(parent).get("labels")
    return isinstance(listed, list) and name in listed


def open_or_none(store: Any, path: str) -> zarr.Group | None:
    """The group at a place; None if there is none."""
    with translated_errors(store, path or "the group", "read from"):
        try:
            return zarr.open_group(store, path=path, mode="r", use_consolidated=False)
        except (FileNotFoundError, KeyError):
            return None
    raise AssertionError("errors leave the block above")


# ---------------------------------------------------------------------------------------
# Multiscales


def _read(group: zarr.Group, attributes: Mapping[str, Any]) -> Multiscale:
    place = str(group.store_path)
    multiscales = _of_type(attributes, "multiscales", list, place)
    if not multiscales or not isinstance(multiscales[0], dict):
        raise FormatError(f"{place}: 'multiscales' is empty, or not a list of objects")
    first = multiscales[0]
    version = _version(group, attributes, first)
    axes = _axes(first, place)
    datasets = _of_type(first, "datasets", list, place)
    if not datasets:
        raise FormatError(f"{place}: its multiscales name no datasets")
    unit = _unit(axes)
    shared = first.get("coordinateTransformations", [])
    levels, paths, spaces = [], [], []
    for number, dataset in enumerate(datasets):
        where = f"{place}: level {number}"
        if not isinstance(dataset, dict) or not isinstance(dataset.get("path"), str):
            raise FormatError(f"{where} has no path")
        array = member_of(group, dataset["path"], zarr.Array)
        if array.ndim != len(axes):
            raise FormatError(f"{where} has {array.ndim} axes, and the metadata name {len(axes)}")
        steps = _of_type(dataset, "coordinateTransformations", list, where)
        levels.append(array)
        paths.append(dataset["path"])
        spaces.append(_space([steps, shared], axes, unit, where))
    is_labels = _is_labels(group, attributes)
    label = attributes.get("image-label", {})
    if not isinstance(label, dict):
        raise FormatError(f"{place}: 'image-label' is no object of JSON")
    return Multiscale(
        group=group,
        levels=levels,
        paths=paths,
        axes=axes,
        spaces=spaces,
        name=str(first.get("name") or ""),
        version=version,
        is_labels=is_labels,
        image=_image(group, label) if is_labels else None,
        colors=_colors(label, place),
        properties=_properties(label, place),
        method={key: first[key] for key in ("type", "metadata") if key in first},
    )


def _of_type(fields: Mapping[str, Any], key: str, kind: type, place: str) -> Any:
    value = fields.get(key)
    if not isinstance(value, kind):
        has = "is missing" if key not in fields else f"has to be a {kind.__name__}, and is {value!r:.80}"
        raise FormatError(f"{place}: {key!r} {has}")
    return value


def _version(group: zarr.Group, attributes: Mapping[str, Any], multiscales: Mapping[str, Any]) -> str:
    # A version is recommended in 0.4 only; the format of Zarr determines it.
    default = "0.5" if zarr_facts.format_of(group) == 3 else "0.4"
    version = str(attributes.get("version") or multiscales.get("version") or default)
    if version not in VERSIONS:
        raise ValueError(
            f"{group.store_path} is OME-Zarr {version}, and versions {' and '.join(VERSIONS)} are read: "
            f"open one of its arrays"
        )
    return version


def _axes(multiscales: Mapping[str, Any], place: str) -> tuple[Axis, ...]:
    axes = []
    for axis in _of_type(multiscales, "axes", list, place):
        if not isinstance(axis, dict) or not isinstance(axis.get("name"), str):
            raise FormatError(f"{place}: an axis is an object with a name, and not {axis!r:.80}")
        kind, unit = axis.get("type"), axis.get("unit")
        axes.append(Axis(axis["name"], kind and str(kind), unit and str(unit)))
    names = [axis.name for axis in axes]
    if len(set(names)) != len(names):
        raise FormatError(f"{place}: two axes have the same name: {', '.join(names)}")
    return tuple(axes)


def _unit(axes: Sequence[Axis]) -> str | None:
    """The unit of the last spatial axis that has a known one."""
    known = [unit_of(axis.unit) for axis in axes if axis.type == "space" and axis.unit]
    return next((unit for unit in reversed(known) if unit is not None), None)


def _space(chains: Sequence[Any], axes: Sequence[Axis], unit: str | None, where: str) -> Space:
    """The space of a level, from its own transformations and those that all levels share."""
    size, origin = [1.0] * len(axes), [0.0] * len(axes)
    moved = False
    for step in (step for chain in chains for step in chain):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "identity":
            continue
        if kind not in ("scale", "translation"):
            raise FormatError(f"{where}: a transformation is a scale or a translation, and not {step!r:.80}")
        if kind not in step:
            raise FormatError(f"{where}: its {kind} is not in the metadata, and no other place is supported")
        values = numbers(step[kind], len(axes), positive=kind == "scale")
        if values is None:
            what = "positive numbers" if kind == "scale" else "numbers"
            raise FormatError(f"{where}: its {kind} has to be {len(axes)} {what}, and is {step[kind]!r:.80}")
        if kind == "scale":
            size = [one * factor for one, factor in zip(size, values, strict=True)]
            origin = [one * factor for one, factor in zip(origin, values, strict=True)]
        else:
            moved = True
            origin = [one + shift for one, shift in zip(origin, values, strict=True)]
    if unit is not None:
        # Spatial axes may differ in their units; a space has one.
        for number, axis in enumerate(axes):
            own = unit_of(axis.unit) if axis.type == "space" and axis.unit else None
            if own is not None and own != unit:
                size[number] *= UNITS[own] / UNITS[unit]
                origin[number] *= UNITS[own] / UNITS[unit]
    return Space(tuple(size), unit, tuple(origin) if moved else None)


def space_of(source: zarr.Array[Any] | zarr.Group) -> Space:
    """Voxel size, unit and origin of a stored array; of a group of OME-Zarr, those of level 0.

    They are in the array's attributes, or in those of the OME-Zarr image whose level the array is. Parts that
    are not stated are None.
    """
    if isinstance(source, zarr.Group):
        return open_multiscale(source).spaces[0]
    return from_attributes(source.attrs.asdict(), source.ndim) or _space_of_level(source) or Space()


def _space_of_level(array: zarr.Array[Any]) -> Space | None:
    """The space of an array that is a level of an image; None if it is none, or its metadata are damaged."""
    found = image_of_level(array)
    return None if found is None else found[0].spaces[found[1]]


def image_of_level(array: zarr.Array[Any]) -> tuple[Multiscale, int] | None:
    """The image of which an array is a level, and the level's number.

    None if there is none, or its metadata are damaged.
    """
    place = _resolved(array, "../")
    if place is None:
        return None
    # The store may begin at the array.
    name = array.path.rpartition("/")[2] or _root_of(array.store_path.store).rpartition("/")[2]
    try:
        group = open_or_none(*place)
        if group is None or "multiscales" not in ome_attributes(group):
            return None
        image = open_multiscale(group)
    except (ValueError, StoreError):
        return None
    return (image, image.paths.index(name)) if name in image.paths else None


def raw_space(group: zarr.Group) -> Space:
    """The space of level 0 by its own transformations alone, without those that all levels share.

    Its numbers have the units of the axes, of which each may have another.
    """
    first = _of_type(ome_attributes(group), "multiscales", list, str(group.store_path))[0]
    axes = _axes(first, str(group.store_path))
    return _space([first["datasets"][0]["coordinateTransformations"]], axes, None, str(group.store_path))


# ---------------------------------------------------------------------------------------
# Labels


def _image(group: zarr.Group, label: Mapping[str, Any]) -> zarr.Group | None:
    """The image that a label image belongs to; None if it is not there."""
    source = label.get("source")
    path = source.get("image") if isinstance(source, dict) else None
    place = _resolved(group, str(path or "../../"))
    found = None if place is None else open_or_none(*place)
    return found if found is not None and "multiscales" in ome_attributes(found) else None


def _root_of(store: Any) -> str:
    """Where a store begins, for stores that tell."""
    inner = zarr_facts.unwrapped(store)
    if isinstance(inner, LocalStore):
        return Path(inner.root).resolve().as_posix()
    return str(inner.path).rstrip("/") if isinstance(inner, FsspecStore) else ""


def _resolved(node: zarr.Group | zarr.Array[Any], path: str) -> tuple[Any, str] | None:
    """The store and the path of a place relative to a group or an array; None if it cannot be opened."""
    store = node.store_path.store
    parts = [part for part in node.path.split("/") if part]
    above = 0
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            above += 1
        elif part not in ("", "."):
            parts.append(part)
    if not above:
        return store, "/".join(parts)
    inner = zarr_facts.unwrapped(store)
    if isinstance(inner, LocalStore):
        root = Path(inner.root).resolve()
        if above <= len(root.parents):
            return LocalStore(root.parents[above - 1], read_only=True), "/".join(parts)
    if isinstance(inner, FsspecStore):
        folders = _root_of(inner).split("/")
        if above < len(folders):
            return FsspecStore(inner.fs, path="/".join(folders[:-above]), read_only=True), "/".join(parts)
    return None


def _colors(label: Mapping[str, Any], place: str) -> dict[int, tuple[int, int, int, int]]:
    colors = {}
    for entry in _entries(label, "colors", place):
        rgba = entry.get("rgba")
        if rgba is None:
            continue
        if not isinstance(rgba, list) or len(rgba) != 4 or not all(type(one) is int for one in rgba):
            raise FormatError(f"{place}: a colour is four integers, and not {rgba!r:.80}")
        colors[_label_value(entry, place)] = (rgba[0], rgba[1], rgba[2], rgba[3])
    return colors


def _properties(label: Mapping[str, Any], place: str) -> dict[int, dict[str, Any]]:
    return {
        _label_value(entry, place): {key: value for key, value in entry.items() if key != "label-value"}
        for entry in _entries(label, "properties", place)
    }


def _entries(label: Mapping[str, Any], key: str, place: str) -> list[dict[str, Any]]:
    entries = label.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FormatError(f"{place}: {key!r} of 'image-label' has to be a list of objects")
    return entries


def _label_value(entry: Mapping[str, Any], place: str) -> int:
    value = entry.get("label-value")
    if isinstance(value, float) and value.is_integer():  # version 0.4 allows any number
        value = int(value)
    if type(value) is not int:
        raise FormatError(f"{place}: a 'label-value' is an integer, and not {value!r:.80}")
    return value
