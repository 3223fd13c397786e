"""Relabel stored arrays, in a view or in place."""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Unpack

from .._base.integers import some
from .._base.mapping import LabelMapping
from ..errors import CrackleWarning
from ..streams import stream
from .agglomeration import agglomerate
from .sources import ArrayOptions, Source, editable, is_stored, stored_source

if TYPE_CHECKING:
    from ..ome.edit import Pyramid
    from ..stored.editing.edit import Conflict, RemapReport
    from ..stored.editing.entries import Journaled
    from ..stored.engine import IndexUse, Options, Progress
    from ..stored.layout import Layout
    from ..stored.lazy import RemappedArray


def lazy_remap(
    source: Source,
    mapping: Any = None,
    preserve_missing_labels: bool = True,
    *,
    edges: Any = None,
    scores: Any = None,
    threshold: float | None = None,
) -> RemappedArray:
    """A read-only view of a stored array with other labels; nothing is written.

    A use is agglomeration. All queries about stored arrays take the view, and basic indexing gives its
    voxels. The mapping is applied to label tables, not to voxels.

    Args:
        source: the stored array.
        mapping: old labels and new labels, in any form that :class:`LabelMapping` takes, from a dict to a
            file of 10^8 pairs; applied all at once.
        preserve_missing_labels: keep labels that are not in ``mapping``. If False, reading such a label
            raises KeyError.
        edges: instead of ``mapping``, pairs of labels that belong together; see :func:`agglomerate`.
        scores: see :func:`agglomerate`.
        threshold: see :func:`agglomerate`.

    Raises:
        TypeError: ``mapping`` is not a mapping of integers; or both or neither of ``mapping`` and ``edges``
            is given.
        ValueError: a new label does not fit the array's dtype.
    """
    from ..stored.lazy import RemappedArray

    if isinstance(source, _lazy_type()):
        raise TypeError("source is a remapped view already: combine the two mappings")
    layout, _, _ = stored_source(source, {})
    labels = _mapping(mapping, preserve_missing_labels, edges, scores, threshold)
    refuse_misfits(labels, layout)
    return RemappedArray(layout, labels)


def _mapping(mapping: Any, preserve: bool, edges: Any, scores: Any, threshold: float | None) -> LabelMapping:
    """The mapping that is given, or that follows from edges."""
    if mapping is not None and edges is not None:
        raise TypeError("there are both a mapping and edges: give one of them")
    if edges is None:
        if scores is not None or threshold is not None:
            raise TypeError("scores and threshold belong to edges")
        return LabelMapping(mapping, preserve)
    return LabelMapping(agglomerate(edges, scores, threshold), preserve)


def _lazy_type() -> type:
    from ..stored.lazy import RemappedArray

    return RemappedArray


def refuse_misfits(mapping: LabelMapping, layout: Layout) -> None:
    """Raise ValueError if a new label does not fit the array's dtype."""
    bad = mapping.misfits(layout.array.dtype)
    if len(bad):
        raise ValueError(
            f"the labels of this array are {layout.array.dtype}, which does not hold {some(bad)}"
        )


def remap(
    binary: Source,
    mapping: Any = None,
    preserve_missing_labels: bool | None = None,
    in_place: bool = False,
    parallel: int = 0,
    *,
    dry_run: bool = False,
    create_chunks: bool = False,
    edges: Any = None,
    scores: Any = None,
    threshold: float | None = None,
    executor: Executor | None = None,
    progress: Progress = False,
    index: IndexUse = "auto",
) -> Any:
    """Replace labels by others, all at once: {1: 2, 2: 1} swaps.

    Streams and chunks get new label tables, and no boundary is decoded. Boundaries between labels that became
    one stay.

    A stored array is edited in place. Chunks without a key of ``mapping`` are not written. The remap writes
    all new chunks to a journal beside the old ones before it replaces the first chunk. So a damaged chunk, or
    a label that does not fit, stops the remap before the array changes. If the process ends while chunks are
    being replaced, :func:`resume` finishes the work and :func:`undo` restores the old chunks. No other
    process of this package edits the array meanwhile. What somebody else writes to a chunk while the remap is
    prepared is mapped as well; docs/trust.md says what cannot be noticed. A reader may see old and new labels
    while chunks are being replaced.

    Of a group of OME-Zarr all levels are edited, with one journal. Where labels merge, chunks of lower levels
    are pooled again, if :func:`build_pyramid` made them; all others get new label tables. An array that is
    one of the levels is edited alone, with a :class:`CrackleWarning`.

    Args:
        binary: a stream or a stored array.
        mapping: old labels and new labels, in any form that :class:`LabelMapping` takes, from a dict to a
            file of 10^8 pairs. Keys that are not labels of the volume are ignored: of many pairs, those of
            labels that a stored array has are found first, from its label tables.
        preserve_missing_labels: keep labels that are not in ``mapping``. None: False for a stream, as in
            crackle-codec, and True for a stored array.
        in_place: streams only: change the label table within ``binary``, a writable buffer. Its length and
            its stored label width stay.
        parallel: threads, for a stored array.
        dry_run: stored arrays only: report the changes, and write nothing.
        create_chunks: stored arrays only: if ``mapping`` has the fill value, write the chunks that do not
            exist, because they have only the fill value. If False, such a mapping is refused if a chunk
            does not exist.
        edges: instead of ``mapping``, pairs of labels that belong together; see :func:`agglomerate`.
        scores: see :func:`agglomerate`.
        threshold: see :func:`agglomerate`.
        executor: stored arrays only; see the module.
        progress: stored arrays only; see the module.
        index: stored arrays only: "auto" reads from a label index which chunks hold the old labels, and reads
            only those, and the chunks that a listing of the store shows to have changed since. Without a
            current index, or a store that lists times or ETags, it reads the label table of each chunk, as
            "ignore" does. "require" raises without a current index.

    Returns:
        Of a stream, a new stream of the same dtype, or ``binary``'s buffer when changed in place. Of a stored
        array, a report: ``chunks`` (grid indices of the changed chunks), ``bytes_read``, ``bytes_written``;
        and ``levels``, the chunks of each level of a group. A dry run reports chunks that would be pooled
        again with their present size.

    Raises:
        KeyError: a label is not in ``mapping``, and ``preserve_missing_labels`` is False.
        ValueError: a new label does not fit the volume's dtype or, in place, the stored width; ``mapping``
            has the fill value, and a chunk does not exist; the array is read-only; or the array is in the
            memory of this process, and ``executor`` uses other processes.
        TypeError: ``mapping`` is not a mapping of integers; both or neither of ``mapping`` and ``edges`` is
            given; or ``in_place`` meets immutable bytes.
        FileNotFoundError: ``index`` is "require", and there is none.
        JournalError: the array has something unfinished, or another process remaps it or writes to it.
        StaleIndexError: ``index`` is "require", and there is none that is current.
        TakenOverError: another process took the remap from this one, which has stopped.
    """
    if not is_stored(binary):
        if dry_run or create_chunks or executor is not None or progress or index != "auto":
            raise TypeError("dry_run, create_chunks, executor, progress and index are for stored arrays")
        labels = _mapping(mapping, bool(preserve_missing_labels), edges, scores, threshold)
        return stream.remap(binary, labels, labels.preserve, in_place, parallel)
    if in_place:
        raise TypeError("in_place is for streams: a stored array is always changed in place")
    with editable(binary, executor) as source:
        layout, checked = editable_array(
            source, {"executor": executor, "parallel": parallel, "progress": progress, "index": index}
        )
        labels = _mapping(
            mapping,
            True if preserve_missing_labels is None else preserve_missing_labels,
            edges,
            scores,
            threshold,
        )
        return _remapped(source, layout, labels, dry_run, create_chunks, checked)


def _remapped(
    source: Source,
    layout: Layout,
    mapping: LabelMapping,
    dry_run: bool,
    create_chunks: bool,
    options: Options,
) -> RemapReport:
    """Replace labels of a stored array, or of all levels of a group."""
    from ..ome import edit
    from ..stored import edits

    pyramid = pyramid_at(source)
    layouts = (layout,) if pyramid is None else pyramid.layouts
    labels = edits.among_labels(mapping, layouts, options)
    refuse_misfits(labels, layout)
    if pyramid is not None:
        return edit.remap(pyramid, labels, dry_run=dry_run, create_chunks=create_chunks, options=options)
    return edits.remap(
        layout,
        labels,
        dry_run=dry_run,
        create_chunks=create_chunks,
        options=options,
        others=image_around(layout),
    )


def image_around(layout: Layout) -> tuple[Journaled, ...]:
    """All levels of the image of which an array is one, with a warning: the others keep their labels."""
    from ..ome.edit import pyramid_of
    from ..ome.metadata import image_of_level

    found = image_of_level(layout.array)
    if found is None or len(found[0].levels) < 2:
        return ()
    image, level = found
    warnings.warn(
        f"{layout.name} is level {level} of {image.group.store_path}, whose other levels keep their "
        f"labels: remap the group, and all change",
        CrackleWarning,
        stacklevel=4,
    )
    return (pyramid_of(image),)


def editable_array(source: Source, options: ArrayOptions) -> tuple[Layout, Options]:
    """The array of an edit and the checked options; TypeError for a view, and for options of questions."""
    if isinstance(source, _lazy_type()):
        raise TypeError("a remapped view is read-only: remap its array instead")
    if options.get("level") is not None:
        raise TypeError("level is for questions: an edit of a group changes all its levels")
    if "unfinished" in options:
        raise TypeError("unfinished is for questions: an edit refuses an array with an unfinished one")
    layout, _, checked = stored_source(source, {**options, "unfinished": "ignore"})
    return layout, checked


def pyramid_at(source: Source) -> Pyramid | None:
    """All levels of a group; None for an array, and for a group of one level."""
    if not hasattr(source, "members"):
        return None
    import zarr

    from ..ome.edit import pyramid_of
    from ..ome.metadata import ome_attributes, open_multiscale
    from ..stored.sources import array_of

    try:
        labels = open_multiscale(source)
    except ValueError as error:  # the metadata are incomplete, or of a version before 0.4
        path = array_of(source).path.rpartition("/")[0]
        attributes = ome_attributes(zarr.open_group(source.store_path.store, path=path, mode="r"))
        if "multiscales" not in attributes:  # the only array of another group
            return None
        levels = attributes["multiscales"][0]["datasets"]
        if len(levels) > 1:
            names = ", ".join(str(level["path"]) for level in levels)
            raise ValueError(
                f"{error}; so an edit of level 0 would leave its other levels unchanged: edit each of its "
                f"arrays ({names})"
            ) from error
        return None
    return pyramid_of(labels) if len(labels.levels) > 1 else None


def journaled(source: Source) -> Journaled:
    """What the journal of a remap of a stored array is of: the array, or all levels of its group."""
    return pyramid_at(source) or stored_source(source, {"unfinished": "ignore"})[0]


def _conflict(theirs: bool, ours: bool) -> Conflict:
    if theirs and ours:
        raise ValueError("theirs and ours exclude each other: what somebody else wrote is kept or replaced")
    return "theirs" if theirs else "ours" if ours else "tell"


def resume(
    source: Source,
    *,
    theirs: bool = False,
    ours: bool = False,
    force: bool = False,
    **options: Unpack[ArrayOptions],
) -> RemapReport:
    """Finish an interrupted remap of a stored array.

    An interrupted :func:`resume` can be called again. Chunks that somebody else has written since the remap
    prepared them are neither what they were nor what they become: they are left, and an error lists them.

    Args:
        source: the stored array, or the group of OME-Zarr whose levels were edited.
        theirs: leave such chunks as they are, and finish.
        ours: replace what was written to such chunks by what the remap prepared for them.
        force: also if the process that edits the array lives. It stops before its next batch of chunks.
        **options: see the module.

    Returns:
        A report like that of :func:`remap`. If only the journal was left to remove, the report has no chunks.

    Raises:
        JournalError: there is no unfinished remap; an :func:`undo` of it has begun; the process that edits
            the array lives; or chunks were written meanwhile, and are in its attribute ``chunks``.
        TakenOverError: another process took the remap from this one.
        StoreError: the store failed, or contradicts itself about whether the journal exists.
    """
    from ..stored import edits

    conflict = _conflict(theirs, ours)
    layout, checked = editable_array(source, options)
    pyramid = pyramid_at(source)
    if pyramid is None:
        return edits.resume(layout, checked, conflict=conflict, force=force)
    from ..ome import edit

    return edit.resume(pyramid, checked, conflict=conflict, force=force)


def undo(
    source: Source,
    *,
    theirs: bool = False,
    ours: bool = False,
    force: bool = False,
    **options: Unpack[ArrayOptions],
) -> RemapReport:
    """Undo an interrupted remap of a stored array: restore all its chunks.

    An interrupted :func:`undo` can be called again. Chunks that somebody else has written since the remap
    prepared them are left, and an error lists them.

    Args:
        source: the stored array, or the group of OME-Zarr whose levels were edited.
        theirs: leave such chunks as they are, and finish.
        ours: replace what was written to such chunks by what they were before the remap.
        force: also if the process that edits the array lives. It stops before its next batch of chunks.
        **options: see the module.

    Returns:
        A report of the restored chunks. If the remap was complete, and only the journal was left to remove,
        the report has no chunks, and the new labels stay.

    Raises:
        JournalError: there is no unfinished remap; the process that edits the array lives; or chunks were
            written meanwhile, and are in its attribute ``chunks``.
        TakenOverError: another process took the undo from this one.
        StoreError: the store failed, or contradicts itself about whether the journal exists.
    """
    from ..stored import edits

    conflict = _conflict(theirs, ours)
    layout, checked = editable_array(source, options)
    pyramid = pyramid_at(source)
    if pyramid is None:
        return edits.undo(layout, checked, conflict=conflict, force=force)
    from ..ome import edit

    return edit.undo(pyramid, checked, conflict=conflict, force=force)
