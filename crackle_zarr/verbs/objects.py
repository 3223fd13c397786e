"""The objects of a stream or a stored array: masks and surfaces."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from .._base.integers import holds, integer, some
from ..errors import MissingLabelError
from ..streams import objects as stream_objects
from .sources import ArrayOptions, Labels, OtherOptions, Source, is_stored, no_options, stored_source

if TYPE_CHECKING:
    from ..stored.layout import Layout
    from ..stored.objects import Crop, Mask


def crop(source: Source, label: int, **options: Unpack[ArrayOptions]) -> Crop:
    """The mask of one label, cut to its bounding box, and the offset of the box.

    For a stored array, the function reads only chunks and slices that hold the label; memory holds the box.

    Returns:
        ``mask``, a bool array, and ``offset``, the index in the array of the mask's first voxel.

    Raises:
        MissingLabelError: there is no such label.
    """
    wanted = integer("label", label)
    return select(source, [wanted], **options)[wanted]


def select(source: Source, labels: Iterable[int], **options: Unpack[ArrayOptions]) -> dict[int, Crop]:
    """The masks of several labels, as :func:`crop` returns them, from one pass over the chunks of an array.

    Raises:
        MissingLabelError: the volume lacks some of the labels; the error names them.
    """
    from ..stored import objects

    if not is_stored(source):
        no_options(options)
        masks = stream_objects.select(source, labels, options.get("parallel", 0))
        return {label: objects.Crop(*mask) for label, mask in masks.items()}
    layout, box, checked = stored_source(source, options)
    wanted = [integer("a label", label) for label in labels]
    crops = objects.select(layout, _native(layout, wanted), box, checked)
    _refuse_absent(wanted, crops)
    return {label: crops[label] for label in wanted}


def _native(layout: Layout, wanted: Iterable[int]) -> Labels:
    """Labels in the layout's dtype, ascending, each once, without those that do not fit it."""
    return np.array(sorted({label for label in wanted if holds(layout.native, label)}), dtype=layout.native)


def _refuse_absent(wanted: Iterable[int], present: Iterable[int]) -> None:
    absent = sorted(set(wanted) - set(present))
    if absent:
        raise MissingLabelError(f"there is no label {some(np.array(absent, dtype=object))}")


def each(
    binary: Source,
    parallel: int = 0,
    crop: bool = True,
    labels: Iterable[int] | None = None,
    multi: bool = False,
    **options: Unpack[OtherOptions],
) -> Iterable[Any]:
    """Iterate over the objects of a volume: each label and its mask.

    Args:
        binary: a stream or a stored array.
        parallel: see the module.
        crop: cut the mask to the bounding box of the label; if False, it has the shape of the volume. Masks
            of a stored array are always cut.
        labels: only these labels; None: all labels, including 0.
        multi: streams only: yield images of up to 255 labels instead of masks, so that few are decoded.
        options: see the module.

    Yields:
        For a stream, in ascending order, (label, mask). With ``multi``, (label, number, image): the image is
        uint8 and of the volume's shape, and ``number`` marks the voxels of the label. Labels that the volume
        lacks are left out. An image takes a byte per voxel of the slices that it needs.

        For a stored array, (label, mask, offset), where ``offset`` is the index of the mask's first voxel.
        Labels are ordered by the first chunk that holds them, then ascending, because labels that share
        chunks are read together.

    Raises:
        MissingLabelError: a stored array lacks some of ``labels``.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if not is_stored(binary):
        no_options(given)
        return stream_objects.each(binary, crop, labels, multi, parallel)
    if multi or not crop:
        raise TypeError("multi and crop=False are for streams: the masks of a stored array are always cut")
    from ..stored import objects

    layout, box, checked = stored_source(binary, given)
    wanted = None if labels is None else [integer("a label", label) for label in labels]
    native = None if wanted is None else _native(layout, wanted)

    def go() -> Iterator[tuple[int, Mask, tuple[int, ...]]]:
        seen = []
        for one in objects.each(layout, native, box, checked):
            seen.append(one[0])
            yield one
        if wanted is not None:
            _refuse_absent(wanted, seen)

    return go()


def point_cloud(
    binary: Source,
    label: int | Iterable[int] | None = None,
    parallel: int = 0,
    z_start: int = -1,
    z_end: int = -1,
    skip_background: bool = True,
    **options: Unpack[OtherOptions],
) -> Any:
    """The surface voxels of labels.

    A voxel is on the surface if it shares a face with a voxel of another label, or with the outside of the
    volume (or of the region). In a stored array, only faces along the last three axes count: the axes before
    them are time and channels.

    Args:
        binary: a stream or a stored array.
        label: the label, or several; None: all.
        parallel: see the module.
        z_start: streams only: the first slice whose voxels to return; -1: the first of the volume.
        z_end: streams only: the slice after the last; -1: the end of the volume.
        skip_background: leave out the label 0 if ``label`` is None.
        options: see the module.

    Returns:
        The indices of voxels, a row each, every voxel once, in lexicographic order, in the smallest of u16,
        u32 and u64 that holds any index of the array. For several or all labels, a dict of these arrays by
        label.

    Raises:
        MissingLabelError: there is no such label.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if not is_stored(binary):
        no_options(given)
        return stream_objects.point_cloud(binary, label, z_start, z_end, skip_background, parallel)
    if (z_start, z_end) != (-1, -1):
        raise TypeError("z_start and z_end are for streams: for a stored array, use region")
    from ..stored import objects, queries

    layout, box, checked = stored_source(binary, given)
    if label is not None:
        several = isinstance(label, Iterable)
        wanted = [integer("label", name) for name in (label if isinstance(label, Iterable) else [label])]
        clouds = objects.point_clouds(layout, _native(layout, wanted), box, checked)
        _refuse_absent(wanted, clouds)
        return {name: clouds[name] for name in wanted} if several else clouds[wanted[0]]
    every = queries.labels(layout, box, checked).astype(layout.native)
    if skip_background:
        every = every[every != 0]
    clouds = objects.point_clouds(layout, every, box, checked)
    return {name: clouds[name] for name in builtins.sorted(clouds)}
