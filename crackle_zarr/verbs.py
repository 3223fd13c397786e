"""One verb, many sources: questions to streams and to stored arrays.

Each function takes a stream (``binary``: anything bytes-like, or a
:class:`~crackle_zarr.CrackleArray`), whose axes are (x, y, z), or a stored array: a ``zarr.Array`` of
format 2 or 3, in shards or not, whose answers are in the array's own axes and dtype; a ``zarr.Group`` of
OME-Zarr labels, of which level 0 is taken; or the view of one that :func:`lazy_remap` makes. The answer is
what NumPy would say of the array's voxels. Chunks that are Crackle streams answer from their label tables and
boundaries, and no voxel is decoded. Chunks of other codecs are decoded and encoded to ask them, with a
:class:`~crackle_zarr.errors.CrackleWarning`, once for an array.

Functions on stored arrays take these keywords; a stream takes none but ``parallel``.

- ``region``: the part to ask about: slices, one per axis, or fewer, with integers and Ellipsis as in NumPy,
  but without steps. Indices in answers count from the array's first voxel all the same. ValueError outside
  the array.
- ``verify``: verify the checksums of all that is read (True). Without, the labels of a chunk cost even less.
- ``executor``: None for threads, or any ``concurrent.futures.Executor``: a process pool, or
  ``Client.get_executor(pure=False)`` of dask.distributed.
- ``parallel``: how many threads; 0 is one per core. With an executor, how many workers it has, where it
  does not say so itself (dask's does not): twice as many tasks are under way.
- ``progress``: True for a bar on stderr, or a function that is called with (chunks done, chunks in all).

They raise :class:`~crackle_zarr.errors.FormatError` for a damaged chunk, and
:class:`~crackle_zarr.errors.StoreError` where the store fails; both name the chunk. A chunk that is not in
the store is all fill value. The time is that of reading and checking what is read; memory is that of the
chunks in flight and of the answer.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from . import _binding
from ._base.integers import holds, integer, some
from ._base.mapping import LabelMapping
from ._base.options import MarkovOrder, Preset, encoding
from .errors import MissingLabelError
from .streams import objects as stream_objects
from .streams import statistics as of_stream
from .streams import stream

if TYPE_CHECKING:
    from .stored.convert import ConvertReport, To
    from .stored.edits import RemapReport
    from .stored.engine import Options, Progress
    from .stored.layout import Box, Layout
    from .stored.lazy import RemappedArray
    from .stored.objects import Crop, Mask
    from .stored.queries import Found
    from .stored.statistics import StatisticsTable
    from .stored.verify import Damage

T = TypeVar("T")
Labels = npt.NDArray[np.integer[Any]]
Source = Any


class _Options(TypedDict, total=False):
    """The keywords of functions on stored arrays, but for the number of threads."""

    region: Any
    verify: bool
    executor: Executor | None
    progress: Progress


class ArrayOptions(_Options, total=False):
    """The keywords of functions on stored arrays; the module says what they mean."""

    parallel: int


def is_stored(source: Any) -> bool:
    """Whether a source is a stored array, and no stream."""
    zarr = sys.modules.get("zarr")  # where it was never imported, nothing is an array of it
    if zarr is None:
        return False
    from .stored.lazy import RemappedArray

    return isinstance(source, zarr.Array | zarr.Group | RemappedArray)


def _stored(source: Any, options: ArrayOptions) -> tuple[Layout, Box, Options]:
    """A stored array, ready to be asked."""
    if not is_stored(source):
        raise TypeError(f"a stored array is a zarr.Array or a group of OME-Zarr, not {type(source).__name__}")
    from .stored.engine import Options
    from .stored.layout import box_of
    from .stored.sources import layout_from

    given = dict(options)
    region = given.pop("region", None)
    unknown = sorted(set(given) - {"verify", "executor", "parallel", "progress"})
    if unknown:
        raise TypeError(
            f"there is no option {', '.join(unknown)}; region, verify, executor, parallel and progress are"
        )
    asked = Options(**given)  # type: ignore[arg-type]
    _binding.threads(asked.parallel)
    if asked.executor is not None and not isinstance(asked.executor, Executor):
        raise TypeError(
            f"executor is a concurrent.futures.Executor or None, not {type(asked.executor).__name__}; "
            f"of a dask.distributed client it is client.get_executor(pure=False)"
        )
    layout = layout_from(source)
    return layout, box_of(region, layout.shape), asked


def _no_options(options: ArrayOptions) -> None:
    """A stream takes no options but a number of threads."""
    unknown = sorted(set(options) - {"parallel"})
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: for stored arrays only, and the source is a stream")


# ---------------------------------------------------------------------------------------
# Labels


def labels(binary: Source, **options: Unpack[ArrayOptions]) -> Labels:
    """The labels of a volume, ascending, each once, in the volume's dtype.

    Of a stream they are those of its label table; the background of pins is one of them. Of a stored array,
    the labels section of each chunk is read, by byte range where the store can do it; where an edge or a
    region cuts a chunk, its boundaries too.
    """
    if not is_stored(binary):
        _no_options(options)
        return stream.labels(binary)
    from .stored import queries

    return queries.labels(*_stored(binary, options))


def num_labels(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """How many labels :func:`labels` has."""
    return len(labels(binary, **options))


def min(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The smallest label.

    Raises:
        ValueError: there are no voxels.
    """
    if not is_stored(binary):
        _no_options(options)
        return stream.min(binary)
    return int(_some_labels(binary, options)[0])


def max(binary: Source, **options: Unpack[ArrayOptions]) -> int:
    """The largest label.

    Raises:
        ValueError: there are no voxels.
    """
    if not is_stored(binary):
        _no_options(options)
        return stream.max(binary)
    return int(_some_labels(binary, options)[-1])


def _some_labels(source: Source, options: ArrayOptions) -> Labels:
    found = labels(source, **options)
    if not found.size:
        raise ValueError(
            f"an array of shape {source.shape}, or this region of it, has no voxels and no labels"
        )
    return found


def contains(binary: Source, label: int, **options: Unpack[ArrayOptions]) -> bool:
    """Whether a volume has a label; one that its dtype cannot hold is not there.

    Of a stored array, chunks are looked at until one has it.
    """
    if not is_stored(binary):
        _no_options(options)
        return stream.contains(binary, label)
    from .stored import queries

    wanted = integer("label", label)
    layout, box, asked = _stored(binary, options)
    return queries.contains(layout, wanted, box, asked)


def contains_range(binary: Source, low: int, high: int, **options: Unpack[ArrayOptions]) -> Labels:
    """The labels in [low, high), ascending, in the volume's dtype."""
    if not is_stored(binary):
        _no_options(options)
        return stream.contains_range(binary, low, high)
    bounds = integer("low", low), integer("high", high)
    return stream.between(labels(binary, **options), *bounds)


def find(source: Source, label: int, **options: Unpack[ArrayOptions]) -> Found:
    """Where a label is in a stored array.

    Returns:
        An object with ``chunks``, the grid indices of the chunks that hold the label, and ``slices``, its
        bounding box as an index of the array, or None. It is true where the label is there at all. The
        chunks are found from label tables alone, wherever no edge or region cuts a chunk; the box, when it is
        first asked for, from the boundaries in the outermost of these chunks.

    Example:
        >>> found = find(array, 42)  # doctest: +SKIP
        >>> mask = array[found.slices] == 42  # doctest: +SKIP
    """
    from .stored import queries

    wanted = integer("label", label)
    layout, box, asked = _stored(source, options)
    return queries.find(layout, wanted, box, asked)


# ---------------------------------------------------------------------------------------
# Statistics


def statistics(binary: Source, **options: Unpack[ArrayOptions]) -> StatisticsTable:
    """How many voxels each label has, where they begin and end, and their mean index.

    One pass over the connected components of the slices; voxels are not painted.

    Returns:
        A structured array with a row per label, ascending: ``label`` in the volume's dtype, ``voxel_count``
        (u8), ``start`` and ``stop`` (u8, a number per axis, half-open) and ``centroid`` (f8, a number per
        axis: the mean index). It has ``to_csv`` and ``to_parquet``.
    """
    if not is_stored(binary):
        _no_options(options)
        return of_stream.statistics(binary, options.get("parallel", 0))
    from .stored.statistics import statistics as of_array

    return of_array(*_stored(binary, options))


def voxel_counts(
    binary: Source, label: int | None = None, parallel: int = 0, **options: Unpack[_Options]
) -> Any:
    """How many voxels each label has, as a dict; or of one label, as a number.

    Raises:
        MissingLabelError: there is no such label.
    """
    asked: ArrayOptions = {**options, "parallel": parallel}
    if is_stored(binary):
        return _column(binary, label, asked, lambda row: int(row["voxel_count"]))
    _no_options(asked)
    return stream_objects.voxel_counts(binary, label, parallel)


def bounding_boxes(
    binary: Source,
    label: int | None = None,
    parallel: int = 0,
    no_slice_conversion: bool = False,
    **options: Unpack[_Options],
) -> Any:
    """The bounding box of each label as an index of the array, in a dict; or that of one label.

    Args:
        binary: a stream or a stored array.
        label: the label; None: all.
        parallel: see the module.
        no_slice_conversion: give arrays of integers instead of tuples of slices: the lowest index along every
            axis, then the highest.
        options: see the module.

    Raises:
        MissingLabelError: there is no such label.
    """
    take = of_stream.box_of_row(no_slice_conversion)
    return _column(binary, label, {**options, "parallel": parallel}, take)


def centroids(
    binary: Source, label: int | None = None, parallel: int = 0, **options: Unpack[_Options]
) -> Any:
    """The mean index of each label's voxels, an array of a number per axis, in a dict; or that of one label.

    Raises:
        MissingLabelError: there is no such label.
    """
    return _column(binary, label, {**options, "parallel": parallel}, of_stream.centroid_of_row)


def _column(source: Source, label: int | None, options: ArrayOptions, take: Callable[[Any], T]) -> Any:
    wanted = None if label is None else integer("label", label)
    if wanted is not None and is_stored(source):
        # Only the chunks that hold it.
        found = find(source, wanted, **options)
        within: ArrayOptions = {**options, "region": found.slices}
        rows = statistics(source, **within) if found else None
    else:
        rows = statistics(source, **options)
    return of_stream.by_label(rows, wanted, take)


def to_parquet(binary: Source, parallel: int = 0, **options: Unpack[_Options]) -> Any:
    """Voxel counts and bounding boxes of all labels, as a table of pyarrow.

    Returns:
        A ``pyarrow.Table`` with the columns ``label``, ``voxel_count`` (uint64), and ``min_x``, ``max_x`` and
        so on (uint32), the lowest and the highest coordinate along every axis; those of a stored array have
        the names of its axes, or else 0, 1 ... Write it with ``pyarrow.parquet.write_table``.

    Raises:
        ImportError: pyarrow is not installed: ``pip install 'crackle-zarr[parquet]'``.
    """
    rows = statistics(binary, parallel=parallel, **options)
    names = ["x", "y", "z"]
    if is_stored(binary):
        from ._base import zarr_facts

        array = _stored(binary, {})[0].array
        given = zarr_facts.dimension_names(array)
        names = [name or str(axis) for axis, name in enumerate(given or [None] * array.ndim)]
    return of_stream.boxes_table(rows, names)


# ---------------------------------------------------------------------------------------
# Objects


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
    from .stored import objects

    if not is_stored(source):
        from .streams import objects as of_stream

        _no_options(options)
        masks = of_stream.select(source, labels, options.get("parallel", 0))
        return {label: objects.Crop(*mask) for label, mask in masks.items()}
    layout, box, asked = _stored(source, options)
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
    **options: Unpack[_Options],
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
        _no_options(given)
        return stream_objects.each(binary, crop, labels, multi, parallel)
    if multi or not crop:
        raise TypeError("multi and crop=False are for streams: the masks of a stored array are cut")
    from .stored import objects

    layout, box, asked = _stored(binary, given)
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
    **options: Unpack[_Options],
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
        _no_options(given)
        return stream_objects.point_cloud(binary, label, z_start, z_end, skip_background, parallel)
    if (z_start, z_end) != (-1, -1):
        raise TypeError("z_start and z_end are for streams: of a stored array, ask about a region")
    from .stored import objects, queries

    layout, box, asked = _stored(binary, given)
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


# ---------------------------------------------------------------------------------------
# Other names


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
    from .stored.lazy import RemappedArray

    if isinstance(source, _lazy_type()):
        raise TypeError("a remapped view of a remapped view: put the two mappings into one")
    layout, _, _ = _stored(source, {})
    made = LabelMapping(mapping, preserve_missing_labels)
    refuse_misfits(made, layout)
    return RemappedArray(layout, made)


def _lazy_type() -> type:
    from .stored.lazy import RemappedArray

    return RemappedArray


def refuse_misfits(mapping: LabelMapping, layout: Layout) -> None:
    """Raise ValueError where new labels do not fit the array's dtype."""
    from .stored.edits import misfits

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
    from .stored import edits

    layout, asked = _editable(binary, {"executor": executor, "parallel": parallel, "progress": progress})
    preserve = True if preserve_missing_labels is None else preserve_missing_labels
    made = LabelMapping(mapping, preserve)
    refuse_misfits(made, layout)
    return edits.remap(layout, made, dry_run=dry_run, create_chunks=create_chunks, options=asked)


def _editable(source: Source, options: ArrayOptions) -> tuple[Layout, Options]:
    if isinstance(source, _lazy_type()):
        raise TypeError("a remapped view is read-only: remap the array beneath it")
    if is_stored(source) and hasattr(source, "members"):
        from .stored.sources import refuse_pyramid

        refuse_pyramid(source)
    layout, _, asked = _stored(source, options)
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
    from .stored import edits

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
    from .stored import edits

    return edits.undo_remap(*_editable(source, options))


# ---------------------------------------------------------------------------------------
# Whole arrays


def verify(source: Source, **options: Unpack[ArrayOptions]) -> list[Damage]:
    """Verify every checksum of every chunk of a stored array.

    Returns:
        What is damaged, in the order of the chunks: objects with ``chunk`` (the grid index), ``key`` (the
        name in the store) and ``message``, which names sections and slices. Nothing: all is sound, as far
        as checksums can tell. Chunks of other codecs are decoded, to see whether that works.

    Raises:
        StoreError: the store failed; that is no damage.
    """
    from .stored import verify as verification

    return verification.verify(*_stored(source, options))


def convert(
    src: Any,
    dst: Any,
    *,
    to: To = "crackle",
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
    zarr_format: Literal[2, 3] | None = None,
    markov_model_order: MarkovOrder | None = None,
    allow_pins: int | None = None,
    preset: Preset | None = None,
    verify: bool = True,
    overwrite: bool = False,
    executor: Executor | None = None,
    parallel: int = 0,
    progress: Progress = False,
) -> ConvertReport:
    """Store an array of labels in another way: with Crackle, or without it again.

    Shape, dtype, fill value, attributes and names of axes stay. Of a group, such as a label image with its
    pyramid, all arrays and attributes are taken. A conversion that was interrupted goes on when it is called
    again with the same source and options.

    Args:
        src: a ``zarr.Array``, a ``zarr.Group``, or a path or URL of one.
        dst: a path, URL or store, where nothing is yet.
        to: "crackle", "zstd", "blosc", "gzip" or "none".
        chunks: the shape of a chunk; None: as in the source.
        shards: the shape of a shard; None: as in the source, if ``chunks`` are.
        zarr_format: 2 or 3; None: as in the source.
        markov_model_order: 0 to 12 or "auto", for Crackle; None: as in the preset.
        allow_pins: 0, 1 or 2, for Crackle; None: as in the preset.
        preset: "fast", "balanced" or "small", for Crackle: which of these two to take where none is given,
            see :data:`crackle_zarr.PRESETS`. None is "balanced", whatever the source has.
        verify: read every chunk back and compare it with its source. What of the source is all fill value is
            read twice, as that is also what a chunk looks like that a store fails to find.
        overwrite: replace what is at ``dst``.
        executor: see the module.
        parallel: see the module.
        progress: see the module.

    Returns:
        A report: ``arrays``, ``chunks``, ``bytes_before``, ``bytes_after``.

    Raises:
        FileExistsError: there is something else at ``dst``.
        TypeError: the source is not one of integers or bool.
        ValueError: the destination cannot delete and list, as a zip file, or is the source or in it.
        VerificationError: what was read back is not what was written.
        StoreError: a store failed.
    """
    import zarr

    from .stored import convert as conversion
    from .stored.engine import Options

    if to not in ("crackle", "zstd", "blosc", "gzip", "none"):
        raise ValueError(f"to is 'crackle', 'zstd', 'blosc', 'gzip' or 'none', not {to!r}")
    source = src if isinstance(src, zarr.Array | zarr.Group) else zarr.open(src, mode="r")
    target = conversion.Target(
        to=to,
        chunks=chunks,
        shards=shards,
        zarr_format=zarr_format,
        **encoding(preset, markov_model_order, allow_pins),
    )
    options = Options(executor=executor, parallel=parallel, progress=progress)
    from ._base import zarr_facts

    store, path = zarr_facts.store_at(dst)
    return conversion.convert(
        source, store, path, target, verify=verify, overwrite=overwrite, options=options
    )
