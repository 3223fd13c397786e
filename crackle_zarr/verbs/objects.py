"""The objects of a stream or a stored array: masks and surfaces."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from .._base.integers import holds, integer, some
from ..errors import MissingLabelError
from ..streams import objects as stream_objects

if TYPE_CHECKING:
    from ..stored.layout import Layout
    from ..stored.objects import Crop, Mask
from .sources import ArrayOptions, Labels, OtherOptions, Source, is_stored, no_options, stored_source


def crop(source: Source, label: int, **options: Unpack[ArrayOptions]) -> Crop:
    """The mask of one label, cut to its bounding box, and where that begins.

    Of a stored array, only chunks and slices that hold the label are read, and the memory is that of the box.

    Returns:
        ``mask``, a bool array, and ``offset``, the index of its first voxel in the array.

    Raises:
        MissingLabelError: there is no such label.
    """
    wanted = integer("label", label)
    return select(source, [wanted], **options)[wanted]


def select(source: Source, labels: Iterable[int], **options: Unpack[ArrayOptions]) -> dict[int, Crop]:
    """The masks of several labels, each as :func:`crop` gives it, from one pass over the chunks of an array.

    Raises:
        MissingLabelError: some of the labels are not there; it names them.
    """
    from ..stored import objects

    if not is_stored(source):
        from ..streams import objects as of_stream

        no_options(options)
        masks = of_stream.select(source, labels, options.get("parallel", 0))
        return {label: objects.Crop(*mask) for label, mask in masks.items()}
    layout, box, asked = stored_source(source, options)
    wanted = [integer("a label", label) for label in labels]
    made = objects.select(layout, _native(layout, wanted), box, asked)
    _refuse_absent(wanted, made)
    return {label: made[label] for label in wanted}


def _native(layout: Layout, wanted: Iterable[int]) -> Labels:
    """Labels as the layout computes with them, ascending, each once; others than it can hold left out."""
    return np.array(sorted({label for label in wanted if holds(layout.native, label)}), dtype=layout.native)


def _refuse_absent(wanted: Iterable[int], there: Iterable[int]) -> None:
    absent = sorted(set(wanted) - set(there))
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
    """Go through the objects of a volume: each label and its mask.

    Args:
        binary: a stream or a stored array.
        parallel: see the module.
        crop: cut the mask to the bounding box of the label; else it has the shape of the volume. Masks of a
            stored array are always cut.
        labels: only these; None: all, the label 0 included.
        multi: streams only: images of up to 255 labels instead of masks, so that few of them are decoded.
        options: see the module.

    Yields:
        Of a stream, in ascending order, (label, mask), or with ``multi`` (label, number, image), where the
        voxels of the label are those that are ``number`` in the image, uint8 and of the volume's shape.
        Labels that are not there are left out. An image takes a byte per voxel of the slices that it needs.

        Of a stored array, (label, mask, offset), where ``offset`` is the index of the mask's first voxel: by
        the first chunk that holds the label, then ascending, as labels that share chunks are read together.

    Raises:
        MissingLabelError: some of ``labels`` are not in a stored array.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if not is_stored(binary):
        no_options(given)
        return stream_objects.each(binary, crop, labels, multi, parallel)
    if multi or not crop:
        raise TypeError("multi and crop=False are for streams: the masks of a stored array are cut")
    from ..stored import objects

    layout, box, asked = stored_source(binary, given)
    wanted = None if labels is None else [integer("a label", label) for label in labels]
    native = None if wanted is None else _native(layout, wanted)

    def go() -> Iterator[tuple[int, Mask, tuple[int, ...]]]:
        seen = []
        for one in objects.each(layout, native, box, asked):
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

    A voxel is on the surface where a voxel that it shares a face with has another label, or lies outside of
    the volume (or of the region). Faces of a stored array are those along the last three axes: before them
    come time and channels.

    Args:
        binary: a stream or a stored array.
        label: the label, or several; None: all.
        parallel: see the module.
        z_start: streams only: the first slice whose voxels are wanted; -1: that of the volume.
        z_end: streams only: the slice after the last; -1: the end of the volume.
        skip_background: leave out the label 0 where all are asked for.
        options: see the module.

    Returns:
        Indices of voxels, a row each, every voxel once, in lexicographic order, as the smallest of u16, u32
        and u64 that holds any index of the array; where several or all labels are asked for, a dict of these
        by label.

    Raises:
        MissingLabelError: there is no such label.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if not is_stored(binary):
        no_options(given)
        return stream_objects.point_cloud(binary, label, z_start, z_end, skip_background, parallel)
    if (z_start, z_end) != (-1, -1):
        raise TypeError("z_start and z_end are for streams: of a stored array, ask about a region")
    from ..stored import objects, queries

    layout, box, asked = stored_source(binary, given)
    if label is not None:
        several = isinstance(label, Iterable)
        wanted = [integer("label", name) for name in (label if isinstance(label, Iterable) else [label])]
        clouds = objects.point_clouds(layout, _native(layout, wanted), box, asked)
        _refuse_absent(wanted, clouds)
        return {name: clouds[name] for name in wanted} if several else clouds[wanted[0]]
    every = queries.labels(layout, box, asked).astype(layout.native)
    if skip_background:
        every = every[every != 0]
    clouds = objects.point_clouds(layout, every, box, asked)
    return {name: clouds[name] for name in builtins.sorted(clouds)}
