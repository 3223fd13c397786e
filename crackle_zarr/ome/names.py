"""Names and colours of the labels of stored arrays and of OME-Zarr label images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from ..errors import CrackleWarning, FormatError
from ..files.label_names import COLORS, NAMES, LabelNames
from ..files.label_tables import read_label_names
from ..stored.writing import translated_errors
from .metadata import Multiscale, image_of_level, label_images, ome_attributes, open_labels, open_multiscale


def label_names(source: zarr.Array[Any] | zarr.Group) -> LabelNames:
    """The names and colours of the labels of a stored array.

    They are in the attributes ``label_names`` and ``label_colors`` of the array, or in ``properties`` (as
    ``name``) and ``colors`` of the ``image-label`` of an OME-Zarr label image, or of the image whose level
    the array is. One small read, or three; no chunk is read.

    Args:
        source: an array, a group of OME-Zarr labels, or a view that :func:`lazy_remap` returns, whose labels
            have no names.

    Returns:
        A dict from labels to names, with ``colors``: from labels to red, green, blue and opacity, 0 to 255.
        It is empty if no label has a name.

    Raises:
        TypeError: the source is no stored array.
        FormatError: the metadata are damaged.

    Examples:
        >>> crackle_zarr.label_names(array)  # doctest: +SKIP
        LabelNames({1: 'liver', 2: 'spleen'}, colors={1: (221, 130, 101, 255)})
    """
    if isinstance(source, zarr.Group):
        return names_of_image(_image(source))
    if not isinstance(source, zarr.Array):
        if hasattr(source, "layout"):
            return LabelNames()
        raise TypeError(f"a stored array is a zarr.Array or a group of OME-Zarr, not {type(source).__name__}")
    own = LabelNames.from_attributes(source.attrs.asdict(), str(source.store_path))
    if own:
        return own
    found = image_of_level(source)
    return LabelNames() if found is None else names_of_image(found[0])


def known_names(source: Any) -> LabelNames:
    """What :func:`label_names` returns; where the metadata are damaged, a warning and nothing.

    Other programs may have an attribute of the same name with other contents.
    """
    try:
        return label_names(source)
    except FormatError as error:
        warnings.warn(CrackleWarning(f"names of labels are left out: {error}"), stacklevel=2)
        return LabelNames()


def set_label_names(
    target: zarr.Array[Any] | zarr.Group,
    names: Mapping[int, str] | str | os.PathLike[str],
    colors: Mapping[int, Sequence[int]] | None = None,
) -> None:
    """Give the labels of a stored array names and colours, in place of those that it has.

    ``labels``, ``stats`` and ``view`` of the command line show them, and ``convert`` keeps them. Of an array,
    the attributes ``label_names`` and ``label_colors`` are written; of a group of OME-Zarr labels
    ``properties`` and ``colors`` of its ``image-label``, where other properties are kept. No chunk is read.

    Args:
        target: an array or a group that was opened for writing.
        names: from labels to names; or a file of another program, see :func:`read_label_names`, of which
            labels that the array's dtype cannot hold are left out. An empty dict removes all names.
        colors: from labels to red, green, blue and perhaps opacity, 0 to 255. The default is those of
            ``names``, if that has colours.

    Raises:
        TypeError: a label is no integer, or a name no text.
        ValueError: the array's dtype cannot hold a label, or a colour is not 0 to 255; nothing is changed. Or
            the store is read only.
        StoreError: the store failed.
    """
    image = None
    if isinstance(target, zarr.Group):
        image = _image(target)
        array = image.levels[0]
    elif isinstance(target, zarr.Array):
        array = target
    else:
        raise TypeError(f"a stored array is a zarr.Array or a group of OME-Zarr, not {type(target).__name__}")
    if isinstance(names, str | os.PathLike):
        given = read_label_names(names).within(array.dtype)
    else:
        given = LabelNames(names, names.colors if isinstance(names, LabelNames) else None)
    if colors is not None:
        given = LabelNames(given, colors)
    kept = given.within(array.dtype)
    if kept != given:
        wrong = sorted((set(given) | set(given.colors)) - set(kept) - set(kept.colors))
        raise ValueError(f"{array.store_path} has labels of {array.dtype}, which cannot be {wrong[0]}")
    if array.store_path.read_only:
        raise ValueError(f"{array.store_path} is open for reading only: open it with mode='r+'")
    if image is None:
        others = {key: value for key, value in array.attrs.asdict().items() if key not in (NAMES, COLORS)}
        with translated_errors(array.store_path.store, array.path or "the array", "written to"):
            array.attrs.put(others | given.attributes())
    else:
        _write_to_image(image, given)


def _image(group: zarr.Group) -> Multiscale:
    return open_labels(group) if label_images(group) else open_multiscale(group)


def names_of_image(image: Multiscale) -> LabelNames:
    """The names and colours in the metadata of a label image, without names that are no text."""
    names = {
        label: facts["name"]
        for label, facts in image.properties.items()
        if isinstance(facts.get("name"), str) and facts["name"]
    }
    return LabelNames(names, {label: color for label, color in image.colors.items() if _is_color(color)})


def _is_color(color: Sequence[int]) -> bool:
    return all(0 <= part <= 255 for part in color)


def _write_to_image(image: Multiscale, given: LabelNames) -> None:
    """Write names and colours into ``image-label``; other properties of labels are kept."""
    group = image.group
    attributes: dict[str, Any] = group.attrs.asdict()
    inside = ome_attributes(group)
    label = dict(inside.get("image-label") or {})
    facts = {
        value: {key: fact for key, fact in known.items() if key != "name"}
        for value, known in image.properties.items()
    }
    for value, name in given.items():
        facts[value] = {"name": name, **facts.get(value, {})}
    written = {
        "properties": [{"label-value": value, **facts[value]} for value in sorted(facts) if facts[value]],
        "colors": [
            {"label-value": value, "rgba": list(given.colors[value])} for value in sorted(given.colors)
        ],
    }
    for key, entries in written.items():
        label.pop(key, None)
        if entries:  # OME-Zarr wants one entry or more
            label[key] = entries
    if "ome" in attributes:
        attributes["ome"] = {**inside, "image-label": label}
    else:
        attributes["image-label"] = label
    with translated_errors(group.store_path.store, group.path or "the group", "written to"):
        group.attrs.put(attributes)
