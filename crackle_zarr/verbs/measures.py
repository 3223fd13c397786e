"""Voxel counts, bounding boxes and centroids of labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from .._base.integers import integer
from ..streams import objects as stream_objects
from ..streams import statistics as of_stream
from ..streams import volumes
from ..streams.statistics_table import boxes_table, physical, positioned
from ..streams.stream import is_array

if TYPE_CHECKING:
    from ..stored.layout import Layout
    from ..streams.statistics_table import StatisticsTable
from .axes import axis_of, names_of
from .sources import ArrayOptions, OtherOptions, Source, T, is_stored, no_options, stored_source


def statistics(
    binary: Source,
    units: bool = False,
    by: str | int | None = None,
    memory: int | None = None,
    **options: Unpack[ArrayOptions],
) -> StatisticsTable:
    """The voxel count, the bounding box and the centroid of each label, as a table.

    One pass over the connected components of the slices gives all of them, without decoding a voxel.

    Args:
        binary: a stream, an array in memory or a stored array.
        units: of a stored array whose voxel size is known: give positions in its unit, from the origin that
            is stated, and the volume of each label. ``crackle_zarr.ome.space_of(binary).unit`` is the unit.
        by: of a stored array, an axis by its name or number, such as "t" of a time series: give a row per
            label and position along this axis. ``region`` chooses positions. Every chunk is read once. The
            time is that without ``by`` for an axis of the chunks' slowest ones, such as t or z; for y and x
            it grows with the length of a chunk along the axis.
        memory: of a stored array without ``by``: while labels are added up, rows of more bytes than this lie
            in temporary files. None: all are in memory, up to 105 bytes for each label of an array of three
            axes. They become the table, which takes 88.
        options: see the module.

    Returns:
        A structured array with a row per label, ascending: ``label`` in the volume's dtype, ``voxel_count``
        (u8), ``start`` and ``stop`` (u8, a number per axis, half-open) and ``centroid`` (f8, a number per
        axis: the mean index). It has ``to_csv``, ``to_parquet``, ``to_pandas`` and ``to_arrow``, and
        ``pandas.DataFrame`` and ``polars.DataFrame`` take it. With ``units`` there is ``volume`` (f8), too,
        and ``start`` and ``stop`` are f8: the faces of the box, half a voxel before the centre of its first
        voxel and behind that of its last. With ``by``, rows of a label ascend by position, which is the
        second column (u8), named as the axis, or ``axis_0`` for axis 0 without a name.

    Raises:
        ValueError: with ``units``, the voxel size is unknown; or ``by`` is no axis of the array.
        TypeError: ``units`` or ``by`` is given for a stream or an array in memory.

    Examples:
        >>> table = crackle_zarr.statistics(movie, by="t")  # doctest: +SKIP
        >>> table[table["label"] == 42]["voxel_count"]  # over time  # doctest: +SKIP
    """
    if not is_stored(binary):
        if units:
            raise TypeError("units is for stored arrays: a stream has no voxel size, nor has another array")
        if by is not None:
            raise TypeError("by is for stored arrays: create_array(store, data=volume) makes one")
        if memory is not None:
            raise TypeError("memory is for stored arrays")
        no_options(options)
        if is_array(binary):
            return volumes.statistics(binary, options.get("parallel", 0))
        return of_stream.statistics(binary, options.get("parallel", 0))
    from ..stored.statistics import statistics as of_array
    from ..stored.statistics import statistics_by

    layout, box, checked = stored_source(binary, options)
    axis = None if by is None else axis_of(layout, by, "by")
    place: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    if units:
        from ..ome.metadata import space_of
        from ..stored.queries import placed

        place = placed(layout, space_of(layout.array))  # raises before the work
    rows = (
        of_array(layout, box, checked, _bytes(memory))
        if axis is None
        else statistics_by(layout, box, axis, checked)
    )
    found = physical(rows, *place) if units else rows
    return found if axis is None else positioned(found, _column_of(layout, axis), rows[f"start_{axis}"])


def _bytes(memory: int | None) -> int | None:
    """A number of bytes; raises ValueError if it is negative, and TypeError if it is no integer."""
    number = None if memory is None else integer("memory", memory)
    if number is not None and number < 0:
        raise ValueError(f"memory is a number of bytes, not {number}")
    return number


def _column_of(layout: Layout, axis: int) -> str:
    """The name of the column of positions: that of the axis, unless another column may have it."""
    name = names_of(layout)[axis]
    taken = {"label", "name", "voxel_count", "volume", "start", "stop", "centroid"}
    is_free = name and name not in taken and name.rpartition("_")[0] not in taken
    return name if name and is_free else f"axis_{axis}"


def voxel_counts(
    binary: Source, label: int | None = None, parallel: int = 0, **options: Unpack[OtherOptions]
) -> Any:
    """The number of voxels of each label, as a dict; or of one label, as a number.

    Raises:
        MissingLabelError: there is no such label.
    """
    given: ArrayOptions = {**options, "parallel": parallel}
    if is_stored(binary):
        return _column(binary, label, given, of_stream.counts_of)
    no_options(given)
    if is_array(binary):
        return _column(binary, label, given, of_stream.counts_of)
    return stream_objects.voxel_counts(binary, label, parallel)


def bounding_boxes(
    binary: Source,
    label: int | None = None,
    parallel: int = 0,
    no_slice_conversion: bool = False,
    **options: Unpack[OtherOptions],
) -> Any:
    """The bounding box of each label as an index of the array, in a dict; or that of one label.

    Args:
        binary: a stream or a stored array.
        label: the label; None: all.
        parallel: see the module.
        no_slice_conversion: return arrays of integers instead of tuples of slices: the lowest index along
            every axis, then the highest.
        options: see the module.

    Raises:
        MissingLabelError: there is no such label.
    """
    take = of_stream.boxes_of(no_slice_conversion)
    return _column(binary, label, {**options, "parallel": parallel}, take)


def centroids(
    binary: Source, label: int | None = None, parallel: int = 0, **options: Unpack[OtherOptions]
) -> Any:
    """The mean index of each label's voxels, an array of a number per axis, in a dict; or that of one label.

    Raises:
        MissingLabelError: there is no such label.
    """
    return _column(binary, label, {**options, "parallel": parallel}, of_stream.centroids_of)


def _column(
    source: Source, label: int | None, options: ArrayOptions, take: Callable[[StatisticsTable], list[T]]
) -> Any:
    wanted = None if label is None else integer("label", label)
    if wanted is not None and is_stored(source):
        from ..ome.metadata import space_of
        from ..stored.statistics import statistics_of

        layout, box, checked = stored_source(source, options)
        rows = statistics_of(layout, wanted, box, checked, space_of)
    else:
        rows = statistics(source, **options)
    return of_stream.by_label(rows, wanted, take)


def to_parquet(
    binary: Source, parallel: int = 0, by: str | int | None = None, **options: Unpack[OtherOptions]
) -> Any:
    """Voxel counts and bounding boxes of all labels, as a table of pyarrow.

    Args:
        binary: a stream, an array in memory or a stored array.
        parallel: see the module.
        by: an axis of a stored array, for a row per label and position; see :func:`statistics`.
        options: see the module.

    Returns:
        A ``pyarrow.Table`` with the columns ``label``, ``voxel_count`` (uint64), and ``min_x``, ``max_x`` and
        so on (uint32): the lowest and the highest coordinate along every axis. For a stored array, the names
        of its axes replace x, y and z; an axis without a name has its number. Write the table with
        ``pyarrow.parquet.write_table``.

    Raises:
        ImportError: pyarrow is not installed: ``pip install 'crackle-zarr[parquet]'``.
    """
    rows = statistics(binary, by=by, parallel=parallel, **options)
    names = ["x", "y", "z"][: rows["start"].shape[1]]
    if is_stored(binary):
        from .._base import zarr_facts

        array = stored_source(binary, {})[0].array
        given = zarr_facts.dimension_names(array)
        names = [name or str(axis) for axis, name in enumerate(given or [None] * array.ndim)]
    column = None if by is None or rows.dtype.names is None else rows.dtype.names[1]
    return boxes_table(rows, names, column)
