"""The label index of a stored array: build it, open it, keep it right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from .sources import ArrayOptions, Source, editable, stored_source

if TYPE_CHECKING:
    from ..stored.engine import Options
    from ..stored.index.check import Change
    from ..stored.index.label_index import LabelIndex
    from ..stored.index.publish import IndexReport
    from ..stored.layout import Layout


def create_index(source: Source, overwrite: bool = False, **options: Unpack[ArrayOptions]) -> IndexReport:
    """Build a label index beside a stored array, for arrays of many chunks.

    Without an index, a question about one label reads the label table of every chunk. With one, it takes 3
    to 5 requests, whatever the size of the array; all queries use it. The index knows the array as it is now,
    and :func:`remap` keeps it right. **A write through Zarr does not**: queries do not see such writes until
    :func:`update_index` has read them.

    The build reads every chunk once. It runs on any executor, in bounded memory, and one that was interrupted
    is taken up by the next call.

    Args:
        source: an array, or a group of OME-Zarr labels, of which level 0 is indexed unless ``level`` is
            given.
        overwrite: replace an index that is there. Until the new one is complete, the old one stays.
        options: see the module; there is no ``region``.

    Returns:
        A report: ``labels``, ``rows`` (pairs of a label and a chunk), ``chunks``, ``measured`` and
        ``nbytes``, the bytes of the index.

    Raises:
        FileExistsError: there is an index.
        ImportError: pyarrow is not installed: ``pip install 'crackle-zarr[index]'``.
        JournalError: the array has an unfinished remap.
        ValueError: the store cannot be written.
    """
    from ..stored.index import build

    with editable(source, options.get("executor")) as inside:
        layout, checked = _whole(inside, options)
        return build.create(layout, overwrite, checked)


def open_index(source: Source, level: int | None = None) -> LabelIndex:
    """Open the label index of a stored array.

    Raises:
        FileNotFoundError: there is none.
        ImportError: pyarrow is not installed.
        StaleIndexError: the index does not agree with its array.
        TypeError: the source is a remapped view.
    """
    from ..stored.index.label_index import LabelIndex

    layout, _ = _whole(source, {} if level is None else {"level": level})
    return LabelIndex(layout)


def check_index(
    source: Source, content: bool = False, **options: Unpack[ArrayOptions]
) -> list[tuple[tuple[int, ...], Change]]:
    """The chunks that changed since the label index of an array was built or updated.

    A listing of the store finds them, at a request for some thousand chunks: sizes, and ETags or times of
    change. Where these differ, or where the store does not tell them, the checksums at the end of the chunk
    decide, so an array that was copied keeps its index.

    Args:
        source: the array, or a group of OME-Zarr labels.
        content: compare the checksums of all chunks, whatever the listing says.
        options: see the module; there is no ``region``.

    Returns:
        (grid index, "changed", "new" or "gone") of each such chunk, in C order; empty if the index is right.

    Raises:
        FileNotFoundError: there is no index.
        FormatError: the index is damaged.
        StaleIndexError: the array has another shape, other chunks or other codecs by now.
    """
    from ..stored.index import check

    layout, checked = _whole(source, options)
    return check.check(layout, content, checked)


def update_index(source: Source, content: bool = False, **options: Unpack[ArrayOptions]) -> IndexReport:
    """Bring the label index of an array up to date after writes through Zarr.

    Only the chunks that :func:`check_index` finds are measured; the index itself is written once more. What
    remaps have added to it becomes part of its main files. Until the new index is complete, the old one
    stays.

    Args:
        source: the array, or a group of OME-Zarr labels.
        content: see :func:`check_index`.
        options: see the module; there is no ``region``.

    Returns:
        A report as that of :func:`create_index`; ``measured`` is the number of chunks that changed.

    Raises:
        FileNotFoundError: there is no index.
        FormatError: the index is damaged: ``create_index(array, overwrite=True)`` builds it again.
        JournalError: the array has an unfinished remap.
        StaleIndexError: the array has another shape, other chunks or other codecs by now.
    """
    from ..stored.index import update

    with editable(source, options.get("executor")) as inside:
        layout, checked = _whole(inside, options)
        return update.update(layout, content, checked)


def remove_index(source: Source, level: int | None = None) -> None:
    """Remove the label index of an array, and what an interrupted build of one has left.

    Raises:
        FileNotFoundError: there is none.
    """
    from ..stored.index import update

    layout, _ = _whole(source, {} if level is None else {"level": level})
    update.remove(layout)


def _whole(source: Source, options: ArrayOptions) -> tuple[Layout, Options]:
    from ..stored.lazy import RemappedArray

    if isinstance(source, RemappedArray):
        raise TypeError("a remapped view has no index of its own; queries of it use that of its array")
    if options.get("region") is not None or "index" in options:
        raise TypeError("an index is of the whole array: there are no options region and index")
    layout, _, checked = stored_source(source, {**options, "unfinished": "ignore"})
    return layout, checked
