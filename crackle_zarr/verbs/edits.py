"""Other names for labels, in a view or where they are stored."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Unpack

from .._base.integers import some
from .._base.mapping import LabelMapping
from ..streams import stream

if TYPE_CHECKING:
    from ..stored.edits import RemapReport
    from ..stored.engine import Options, Progress
    from ..stored.layout import Layout
    from ..stored.lazy import RemappedArray
from .sources import ArrayOptions, Source, is_stored, stored_source


def lazy_remap(source: Source, mapping: Any, preserve_missing_labels: bool = True) -> RemappedArray:
    """A read-only view of a stored array in which labels have other names; nothing is written.

    For agglomerations: the view takes part in everything that asks questions of a stored array, and basic
    indexing gives its voxels. The mapping meets label tables and no voxels.

    Args:
        source: the stored array.
        mapping: a dict old label -> new label, or anything with ``items()``; all at once.
        preserve_missing_labels: let a label without a mapping keep its name. Otherwise it raises KeyError
            when it is met.

    Raises:
        TypeError: ``mapping`` is not a mapping of integers.
        ValueError: a new label does not fit the array's dtype.
    """
    from ..stored.lazy import RemappedArray

    if isinstance(source, _lazy_type()):
        raise TypeError("a remapped view of a remapped view: put the two mappings into one")
    layout, _, _ = stored_source(source, {})
    made = LabelMapping(mapping, preserve_missing_labels)
    refuse_misfits(made, layout)
    return RemappedArray(layout, made)


def _lazy_type() -> type:
    from ..stored.lazy import RemappedArray

    return RemappedArray


def refuse_misfits(mapping: LabelMapping, layout: Layout) -> None:
    """Raise ValueError where new labels do not fit the array's dtype."""
    from ..stored.edits import misfits

    bad = misfits(mapping, layout.array.dtype)
    if len(bad):
        raise ValueError(
            f"the labels of this array are {layout.array.dtype}, which does not hold {some(bad)}"
        )


def remap(
    binary: Source,
    mapping: Any,
    preserve_missing_labels: bool | None = None,
    in_place: bool = False,
    parallel: int = 0,
    *,
    dry_run: bool = False,
    create_chunks: bool = False,
    executor: Executor | None = None,
    progress: Progress = False,
) -> Any:
    """Give labels new names, all at once: {1: 2, 2: 1} swaps.

    Of a stream, and of the chunks of a stored array, new label tables are written and no boundary is decoded.
    Boundaries between labels that became one stay.

    A stored array is edited where it is stored. Chunks that hold no key of ``mapping`` are not written. All
    new chunks are prepared in a journal beside the old ones before the first of them is put in place: what is
    damaged, or does not fit, stops the remap before anything of the array has changed. When the process ends
    while chunks are put in place, :func:`resume` finishes the work and :func:`undo` takes it back. Nobody
    else may write to the array meanwhile, and who reads it while chunks are put in place may see both names.

    Args:
        binary: a stream or a stored array.
        mapping: a dict old label -> new label, or anything with ``items()``. Keys that are not labels of
            the volume are ignored.
        preserve_missing_labels: let a label without a mapping keep its name. None: False for a stream, as in
            crackle-codec, and True for a stored array.
        in_place: streams only: change the label table within ``binary``, a writable buffer. Its length and
            its stored label width stay.
        parallel: threads, for a stored array.
        dry_run: stored arrays only: tell what would be done and write nothing.
        create_chunks: stored arrays only: where the fill value gets another name, write the chunks that are
            not there, since they are all fill value. Otherwise such a mapping is refused if there are any.
        executor: stored arrays only; see the module.
        progress: stored arrays only; see the module.

    Returns:
        Of a stream, a new stream of the same dtype, or ``binary``'s buffer when changed in place. Of a stored
        array, a report: ``chunks`` (grid indices of those that changed), ``bytes_read``, ``bytes_written``.

    Raises:
        KeyError: a label has no mapping, and is not to be preserved.
        ValueError: a new label does not fit the volume's dtype or, in place, the stored width; the fill value
            gets another name and chunks are missing; the array is read-only; or it lives in the memory of
            this process and ``executor`` is of others.
        TypeError: ``mapping`` is not a mapping of integers, or ``in_place`` meets immutable bytes.
        JournalError: the array has an unfinished remap.
    """
    if not is_stored(binary):
        if dry_run or create_chunks or executor is not None or progress:
            raise TypeError("dry_run, create_chunks, executor and progress are for stored arrays")
        return stream.remap(binary, mapping, bool(preserve_missing_labels), in_place, parallel)
    if in_place:
        raise TypeError("in_place is for streams: a stored array is always changed where it is")
    from ..stored import edits

    layout, asked = _editable(binary, {"executor": executor, "parallel": parallel, "progress": progress})
    preserve = True if preserve_missing_labels is None else preserve_missing_labels
    made = LabelMapping(mapping, preserve)
    refuse_misfits(made, layout)
    return edits.remap(layout, made, dry_run=dry_run, create_chunks=create_chunks, options=asked)


def _editable(source: Source, options: ArrayOptions) -> tuple[Layout, Options]:
    if isinstance(source, _lazy_type()):
        raise TypeError("a remapped view is read-only: remap the array beneath it")
    if is_stored(source) and hasattr(source, "members"):
        from ..stored.sources import refuse_pyramid

        refuse_pyramid(source)
    layout, _, asked = stored_source(source, options)
    return layout, asked


def resume(source: Source, **options: Unpack[ArrayOptions]) -> RemapReport:
    """Finish the remap of a stored array that was interrupted.

    It can itself be interrupted and called again.

    Returns:
        A report like that of :func:`remap`. Where no more was left to do than to remove the journal, there
        are no chunks in it.

    Raises:
        JournalError: there is no unfinished remap, or an :func:`undo` of it has begun.
        StoreError: the store failed, or says of the journal that it is there and that it is not.
    """
    from ..stored import edits

    return edits.resume(*_editable(source, options))


def undo(source: Source, **options: Unpack[ArrayOptions]) -> RemapReport:
    """Take back the remap of a stored array that was interrupted: all chunks are what they were.

    It can itself be interrupted and called again.

    Returns:
        A report of the chunks that were put back. Where the remap was complete, and no more was left to do
        than to remove the journal, there are none in it, and the new names stay.

    Raises:
        JournalError: there is no unfinished remap.
        StoreError: the store failed, or says of the journal that it is there and that it is not.
    """
    from ..stored import edits

    return edits.undo_remap(*_editable(source, options))
