"""Dust, the largest components, holes, parts of a label, and new numbers: by connected components."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

import numpy as np

from .._base.integers import integer, limits
from .._base.mapping import LabelMapping
from ..streams import cleaning, stream
from .components import in_three, joined_axes
from .edits import editable_array, image_around, pyramid_at
from .labels import find, labels
from .labels import max as largest_label
from .sources import ArrayOptions, Source, editable, is_stored, no_options


def dust(
    binary: Source,
    threshold: int,
    connectivity: int = 26,
    invert: bool = False,
    *,
    out: Any = None,
    axes: Sequence[int | str] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    **options: Unpack[ArrayOptions],
) -> Any:
    """Remove small connected components: their voxels become background, label 0.

    A stored array is edited in place, with the journal of :func:`remap`, or the result goes to ``out``. Only
    chunks with such components are written, and they keep their boundaries.

    Args:
        binary: a stream, an array in memory or a stored array.
        threshold: components of fewer voxels are removed.
        connectivity: 6 (or 4): voxels touch if they share a face; 26 (or 8): also if they share an edge or a
            corner.
        invert: remove the components of at least ``threshold`` voxels instead.
        out: of a stored array, where the result goes, as in :func:`connected_components`; None: in place.
        axes: of a stored array, see :func:`connected_components`.
        dry_run: of a stored array in place: report the changes, and write nothing.
        overwrite: replace what ``out`` has.
        options: of a stored array; see the module. There is no ``region``.

    Returns:
        A stream of the same dtype; of a stored array in place a report like that of :func:`remap`; with
        ``out`` one like that of :func:`connected_components`, whose table has the components that were there,
        and the labels that they have now in ``component``.

    Raises:
        ValueError: an argument is outside its range.
        TypeError: an argument is not for this kind of source.
        JournalError: the array has an unfinished edit.
        FormatError: a chunk is damaged.
        StoreError: the store failed, or somebody wrote to the array meanwhile; nothing is changed then.
    """
    most, faces = cleaning.checked_threshold(threshold), in_three(connectivity)
    if not is_stored(binary):
        _of_streams(out, axes, dry_run, overwrite, options)
        return cleaning.dust(binary, most, faces, invert)
    from ..stored.components.cleaning import Dust

    what = f"dust(threshold={most}, connectivity={faces}{', invert=True' if invert else ''})"
    return _cleaned(
        binary, Dust(most, bool(invert), 0), what, faces, 0, axes, out, dry_run, overwrite, options
    )


def largest_k(
    binary: Source,
    k: int,
    connectivity: int = 26,
    *,
    out: Any = None,
    axes: Sequence[int | str] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    **options: Unpack[ArrayOptions],
) -> Any:
    """Keep the ``k`` largest connected components, and remove all others, as :func:`dust` does.

    Of components of equally many voxels, those are kept whose first voxels come first.

    Args:
        binary: a stream, an array in memory or a stored array.
        k: how many.
        connectivity: see :func:`dust`.
        out: see :func:`dust`.
        axes: see :func:`dust`.
        dry_run: see :func:`dust`.
        overwrite: see :func:`dust`.
        options: see :func:`dust`.

    Returns:
        As :func:`dust`; it raises what that raises.
    """
    most, faces = cleaning.checked_k(k), in_three(connectivity)
    if not is_stored(binary):
        _of_streams(out, axes, dry_run, overwrite, options)
        return cleaning.largest_k(binary, most, faces)
    from ..stored.components.cleaning import Largest

    what = f"largest_k(k={most}, connectivity={faces})"
    return _cleaned(binary, Largest(most, 0), what, faces, 0, axes, out, dry_run, overwrite, options)


def fill_holes(
    binary: Source,
    labels: int | Iterable[int] | None = None,
    *,
    out: Any = None,
    axes: Sequence[int | str] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    **options: Unpack[ArrayOptions],
) -> Any:
    """Fill holes: background, label 0, that one label encloses gets that label.

    A hole is a 6-connected component of background that does not reach the edge of the volume, and all of
    whose neighbours across faces have one label. Cavities with other labels in them are no holes.

    Args:
        binary: a stream, an array in memory or a stored array.
        labels: a label or several whose holes are filled; None: all.
        out: see :func:`dust`.
        axes: see :func:`dust`; with two of them, holes are those of each slice.
        dry_run: see :func:`dust`.
        overwrite: see :func:`dust`.
        options: see :func:`dust`.

    Returns:
        As :func:`dust`; it raises what that raises.
    """
    if not is_stored(binary):
        _of_streams(out, axes, dry_run, overwrite, options)
        return cleaning.fill_holes(binary, labels)
    from ..stored.components.cleaning import FillHoles

    wanted = cleaning.wanted_labels(labels)
    which = "" if wanted is None else f"labels={wanted.tolist()}"
    rule = FillHoles(wanted, 0)
    return _cleaned(
        binary, rule, f"fill_holes({which})", 6, None, axes, out, dry_run, overwrite, options, meets=True
    )


def split(
    binary: Source,
    label: int,
    connectivity: int = 26,
    *,
    axes: Sequence[int | str] | None = None,
    dry_run: bool = False,
    **options: Unpack[ArrayOptions],
) -> Any:
    """Give each connected part of a label a name of its own; the largest part keeps it.

    New names follow the largest label, in the order of the parts' first voxels: of a stream or an array in
    memory with x, its first axis, fastest; of a stored array with its last axis fastest. A stored array is
    edited in place. Only chunks that hold the label are read, which a label index tells, and only those whose
    parts get new names are written.

    Args:
        binary: a stream, an array in memory or a stored array.
        label: whose parts are told apart.
        connectivity: see :func:`dust`.
        axes: see :func:`dust`.
        dry_run: of a stored array: report the changes, and write nothing.
        options: of a stored array; see the module. There is no ``region``.

    Returns:
        A stream of the same dtype; of a stored array a report like that of :func:`remap`.

    Raises:
        ValueError: there is no such label, or the dtype has no more names.
        TypeError: an argument is not for this kind of source.
        JournalError: the array has an unfinished edit.
    """
    number, faces = integer("label", label), in_three(connectivity)
    if not is_stored(binary):
        _of_streams(None, axes, dry_run, False, options)
        return cleaning.split(binary, number, faces)
    from ..stored.components.cleaning import Split
    from ..stored.components.editing import edit_parts

    _no_region(options)
    _one_level(binary, None)
    with editable(binary, options.get("executor")) as inside:
        layout, checked = editable_array(inside, options)
        quiet: ArrayOptions = {**options, "unfinished": "ignore", "progress": False}
        there = find(inside, number, **quiet)
        if not there:
            raise ValueError(f"{layout.name} has no label {number}")
        first = cleaning.first_name(int(largest_label(inside, **quiet)))
        return edit_parts(
            layout,
            joined_axes(layout, axes),
            faces,
            None,
            Split(number, first),
            f"split({number}, connectivity={faces})",
            coords=there.chunks,
            dry_run=dry_run,
            options=checked,
            others=image_around(layout),
        )


def renumber(binary: Source, start: int | None = None, parallel: int = 0, **options: Any) -> tuple[Any, Any]:
    """Renumber the labels to consecutive ones, in their ascending order.

    Args:
        binary: a stream or a stored array, which is edited in place as :func:`remap` does.
        start: the new number of the smallest label. None: of a stream 0. Of a stored array, label 0 stays,
            and the smallest other label becomes 1.
        parallel: of a stream, accepted for compatibility with crackle-codec.
        options: of a stored array: ``executor``, ``progress``, ``index``, ``dry_run`` and ``create_chunks``,
            as in :func:`remap`.

    Returns:
        Of a stream, the stream, in the smallest dtype that holds the new labels (signed stays signed), and a
        dict old label -> new label. Of a stored array the report of :func:`remap`, and a structured array
        with the fields ``old`` and ``new``, in the array's dtype.

    Raises:
        ValueError: the dtype does not hold the new labels; or as in :func:`remap`.
    """
    from .edits import remap

    if not is_stored(binary):
        if options:
            raise TypeError(f"{', '.join(options)}: only for stored arrays")
        return stream.renumber(binary, 0 if start is None else start, parallel)
    asked: ArrayOptions = {"parallel": parallel}
    if "executor" in options:
        asked["executor"] = options["executor"]
    if "index" in options:
        asked["index"] = options["index"]
    old = labels(binary, **asked)
    first = 1 if start is None else integer("start", start)
    changing = old[old != 0] if start is None else old
    last = first + max(0, len(changing) - 1)
    low, high = limits(old.dtype)
    if len(changing) and not low <= first <= last <= high:
        raise ValueError(
            f"{old.dtype} holds labels from {low:,} to {high:,}, not from {first:,} to {last:,}: "
            f"give another start"
        )
    numbers = changing.astype(np.uint8) if changing.dtype.kind == "b" else changing
    new = np.arange(first, first + len(changing)).astype(numbers.dtype)
    mapping = LabelMapping.of_arrays(numbers, new, True)
    report = remap(binary, mapping, parallel=parallel, **options)
    table = np.zeros(len(changing), dtype=[("old", changing.dtype), ("new", changing.dtype)])
    table["old"], table["new"] = changing, new
    return report, table


# ---------------------------------------------------------------------------------------


def _of_streams(out: Any, axes: Any, dry_run: bool, overwrite: bool, options: ArrayOptions) -> None:
    if out is not None or axes is not None or dry_run or overwrite:
        raise TypeError("out, axes, dry_run and overwrite are for stored arrays")
    no_options(options)


def _one_level(source: Source, out: Any) -> None:
    """Raise ValueError for a group with levels, whose other levels would keep their labels."""
    if out is None and pyramid_at(source) is not None:
        raise ValueError(
            "source is a group with several levels, and components are edited in one array: give the array "
            "of level 0, and build_pyramid(group, overwrite=True) makes the others again"
        )


def _no_region(options: ArrayOptions) -> None:
    if "region" in options:
        raise TypeError("there is no region: components are those of the whole array")


def _cleaned(
    source: Source,
    rule: Any,
    what: str,
    connectivity: Literal[6, 26],
    background: int | None,
    axes: Sequence[int | str] | None,
    out: Any,
    dry_run: bool,
    overwrite: bool,
    options: ArrayOptions,
    meets: bool = False,
) -> Any:
    from ..stored.components.editing import edit_parts

    _no_region(options)
    _one_level(source, out)
    if out is not None:
        if dry_run:
            raise TypeError("dry_run is for edits in place: leave out out")
        return _into(source, rule, what, connectivity, background, axes, out, overwrite, options, meets)
    if overwrite:
        raise TypeError("overwrite is for out, the place of a new array")
    with editable(source, options.get("executor")) as inside:
        layout, checked = editable_array(inside, options)
        return edit_parts(
            layout,
            joined_axes(layout, axes),
            connectivity,
            background,
            rule,
            what,
            meets=meets,
            dry_run=dry_run,
            options=checked,
            others=image_around(layout),
        )


def _into(
    source: Source,
    rule: Any,
    what: str,
    connectivity: Literal[6, 26],
    background: int | None,
    axes: Sequence[int | str] | None,
    out: Any,
    overwrite: bool,
    options: ArrayOptions,
    meets: bool,
) -> Any:
    from .._base import zarr_facts
    from ..stored.components import connected
    from ..stored.forks import fork_of, merged_fork
    from .components import whole_source

    layout, checked = whole_source(source, options)
    store, path = zarr_facts.store_at(out)
    with merged_fork(store, checked.executor) as into:
        return connected.connected_components(
            layout,
            into,
            path,
            axes=joined_axes(layout, axes),
            connectivity=connectivity,
            background=background,
            dtype=layout.array.dtype,
            values=rule,
            call={"call": what},
            overwrite=overwrite,
            options=replace(checked, fork=fork_of(into)),
            meets=meets,
        )
