"""Functions on one Crackle stream: write it, read it, query it, relabel it.

Coordinates are (x, y, z): a stream has three axes, and a slice is a plane of constant z. Functions
take a stream as anything bytes-like, or as a :class:`~crackle_zarr.CrackleArray`; they return streams as
bytes. Queries about labels, and relabelling, read the label table only and decode no crack code.

Every function raises :class:`~crackle_zarr.errors.FormatError` for a stream that is damaged,
truncated or foreign, and :class:`TypeError` for a source that is not bytes-like.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.header import CrackleHeader
from .._base.integers import holds, integer, range_text, smallest_dtype
from .._base.mapping import LabelMapping
from .._base.options import MarkovOrder, Preset, encoding

Order: TypeAlias = Literal["C", "F", "K", "A"]
Casting: TypeAlias = Literal["no", "equiv", "safe", "same_kind", "unsafe"]
Labels: TypeAlias = npt.NDArray[np.integer[Any]]

MAGIC = b"crkl"

# A stream: bytes-like, or an object with a bytes-like attribute 'binary'.
Source: TypeAlias = Any

# An axis is a 32-bit number in the stream.
MAX_AXIS = 2**32 - 1

# How many bytes of a decoded volume a function holds at a time, unless a single slice is larger.
SLAB_NBYTES = 32 * 2**20


# ---------------------------------------------------------------------------------------
# Sources


@runtime_checkable
class _HoldsStream(Protocol):
    binary: Any


def bytes_of(source: Source) -> _binding.Buffer:
    """The bytes-like object with the stream of a source."""
    if isinstance(source, bytes):  # to ask whether it follows the protocol takes 7 microseconds
        return source
    return source.binary if isinstance(source, _HoldsStream) else source


def is_array(source: Any) -> bool:
    """Whether a source is an array of labels: of NumPy, dask, xarray, or anything else with ``__array__``.

    An array of bytes that begins like a stream, and has one axis or others of length 1, is a stream.
    """
    if isinstance(source, bytes | bytearray | memoryview | np.generic | _HoldsStream):
        return False
    if isinstance(source, np.ndarray):
        if source.dtype.kind == "V" and source.dtype.names is None:
            return False
        if source.dtype.itemsize == 1 and builtins.max(source.shape, default=0) == source.size:
            return source.reshape(-1)[: len(MAGIC)].tobytes() != MAGIC
    return hasattr(source, "__array__")


def reader_of(source: Source) -> _binding.Reader:
    """A reader of a source, for a question: of an array that is no stream, a stream is made in passing."""
    if is_array(source):
        return _binding.Reader(compress(source, preset="fast"))
    return _binding.Reader(bytes_of(source))


# ---------------------------------------------------------------------------------------
# Writing


def compress(
    labels: npt.ArrayLike,
    allow_pins: int | None = None,
    markov_model_order: MarkovOrder | None = None,
    bgcolor: int | None = None,
    parallel: int = 0,
    *,
    preset: Preset | None = None,
    format_version: int = 1,
) -> bytes:
    """Encode a label volume.

    Args:
        labels: up to three axes (x, y, z) of integers of any width, signed or not, or bool, in
            either byte order and with any strides. Missing axes become 1: the stream of a 2-D
            array has the shape (sx, sy, 1). The stream of an F-contiguous array decodes to Fortran
            order, all others to C order. A stream keeps neither the byte order nor bool: a bool
            array decodes to uint8.
        allow_pins: 0 stores a label per component; 1 stores labels as pins through the slices, if
            that is smaller; 2 does the same, and spends more time on choosing the pins. None: as in
            the preset.
        markov_model_order: 0 to 12: how many previous moves the Markov model of the cracks uses; 0 is
            no model. "auto" is the order that makes the stream smallest. None: as in the preset. A
            model that would make the stream larger is left out.
        bgcolor: the label to use as the background of pins.
        parallel: threads; 0 is one per core.
        preset: "fast", "balanced" or "small": the options to use for those that are not given, see
            :data:`crackle_zarr.PRESETS`. None is "balanced".
        format_version: 1, or 0 for readers that do not know version 1. Version 0 has no checksums.

    Returns:
        The stream.

    Raises:
        TypeError: ``labels`` are not integers, or an option is of a wrong type.
        ValueError: there are more than three axes, an axis is longer than 2**32 - 1, there is no
            such preset, or an option is outside its range.
    """
    options = encoding(preset, markov_model_order, allow_pins)
    version = integer("format_version", format_version)
    if version not in (0, 1):
        raise ValueError(f"format_version is 0 or 1, not {version}")
    threads = _binding.threads(parallel)
    volume = as_volume(labels)
    background = None if bgcolor is None else integer("bgcolor", bgcolor)
    if background is not None and not holds(volume.dtype, background):
        raise ValueError(f"bgcolor is a label of {range_text(volume.dtype)}, not {background}")
    return _binding.encode(
        volume,
        fortran_order=volume.flags.f_contiguous,
        pins=options["allow_pins"],
        markov_order=options["markov_model_order"],
        background=background,
        format_version=version,
        parallel=threads,
    )


def as_volume(labels: npt.ArrayLike) -> Labels:
    """Labels as a 3-D contiguous array of native integers, without a copy where possible."""
    if isinstance(labels, np.ma.MaskedArray):
        raise TypeError(
            "labels are a masked array, and a stream has no mask: use labels.filled(0) or the like"
        )
    array = np.asarray(labels)
    if array.dtype.kind not in "iub":
        advice = "convert them first, for example with np.asarray(labels).astype(np.uint32)"
        raise TypeError(f"labels are integers or bool, not {array.dtype}: {advice}")
    if array.ndim > 3:
        raise ValueError(
            f"a stream has up to three axes, not the {array.ndim} of shape {array.shape}: join axes "
            f"with reshape, or store the array through the numcodecs or the Zarr codec"
        )
    if builtins.max(array.shape, default=0) > MAX_AXIS:
        raise ValueError(f"an axis of a stream is at most {MAX_AXIS} long: the shape is {array.shape}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not (array.flags.c_contiguous or array.flags.f_contiguous) or not array.flags.aligned:
        array = array.copy(order="A")
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
        if array.size and array.max() > 1:  # every byte other than 0 is True
            array = (array != 0).view(np.uint8)
    return array.reshape(array.shape + (1,) * (3 - array.ndim))


# ---------------------------------------------------------------------------------------
# Reading


def header(binary: Source) -> CrackleHeader:
    """The fields of the header; ``binary`` needs to hold no more than the first 29 bytes."""
    return _binding.read_header(bytes_of(binary))


def nbytes(binary: Source) -> int:
    """The size of the decoded volume in bytes."""
    return header(binary).nbytes


def decompress(
    binary: Source,
    label: int | None = None,
    parallel: int = 0,
    crop: bool = False,
    *,
    z_start: int = 0,
    z_end: int | None = None,
    out: npt.NDArray[Any] | None = None,
    verify: bool = True,
) -> npt.NDArray[Any]:
    """Decode a volume, some of its slices, or the mask of one label.

    Args:
        binary: the stream.
        label: return a mask of this label instead of the labels. A label that the volume's dtype
            cannot hold gives an empty mask.
        parallel: threads; 0 is one per core.
        crop: cut the mask to the slices from the first to the last that hold ``label``. If none
            does, the shape is (sx, sy, 0).
        z_start: the first slice to decode.
        z_end: the slice after the last; None is the end of the volume.
        out: the array to decode into: shape (sx, sy, z_end - z_start), of the stream's dtype, or bool
            or uint8 for a mask; any strides. Not together with ``crop``.
        verify: verify the checksums of the labels and of the slices.

    Returns:
        ``out``, or a new array of shape (sx, sy, z_end - z_start) in the stream's memory order: of
        the stream's dtype, or bool for a mask.

    Raises:
        ValueError: the slices are outside the volume, ``out`` has another shape or is read-only, or
            ``crop`` is given without ``label`` or with ``out``.
        TypeError: ``out`` is not an array of the right dtype.
        MemoryError: the volume does not fit into memory.
    """
    threads = _binding.threads(parallel)
    wanted = None if label is None else integer("label", label)
    if crop and wanted is None:
        raise ValueError("crop cuts to the slices that hold a label: give the label")
    if crop and out is not None:
        raise ValueError("crop decides the shape of the result, so it does not go together with out")
    reader = _binding.Reader(bytes_of(binary))
    head = reader.header
    start, end = z_range(head, z_start, z_end)
    if crop:
        return _decode_cropped(reader, start, end, cast(int, wanted), verify, threads)
    shape = (head.sx, head.sy, end - start)
    is_new = out is None
    if out is None:
        dtype = head.dtype if wanted is None else np.dtype(np.bool_)
        reader.check_claims(math.prod(shape) * dtype.itemsize, start, verify)
        out = empty_volume(shape, dtype, head.order)
    else:
        _check_out(out, shape, [head.dtype] if wanted is None else [np.dtype(np.bool_), np.dtype(np.uint8)])
    if wanted is not None and not holds(head.dtype, wanted):
        if verify:
            label_table(reader)  # the answer depends on the label table, so its checksum is verified
        out[...] = 0
    else:
        decode_into(reader, out, start, end, wanted, verify, threads, is_new)
    return out


def z_range(head: CrackleHeader, z_start: int, z_end: int | None) -> tuple[int, int]:
    """Check a range of slices of a stream, and return it with None replaced by the stream's end.

    Raises:
        ValueError: the range is not within the stream.
    """
    start = integer("z_start", z_start)
    end = head.sz if z_end is None else integer("z_end", z_end)
    if not 0 <= start <= end <= head.sz:
        raise ValueError(
            f"the slices [{start}, {end}) are not a range within the {head.sz} slices of the volume: "
            f"0 <= z_start <= z_end <= {head.sz}"
        )
    return start, end


def _check_out(out: Any, shape: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> None:
    names = " or ".join(dtype.name for dtype in dtypes)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a NumPy array of {names}, not {type(out).__name__}")
    if out.dtype not in dtypes:
        raise TypeError(f"out is an array of {names} in native byte order, not of {out.dtype!r}")
    if out.shape != shape:
        raise ValueError(f"out has the shape {out.shape}, and the slices to decode have {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def empty_volume(shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> npt.NDArray[Any]:
    """Allocate a volume in C or F order; the MemoryError names its shape and size."""
    try:
        return np.empty(shape, dtype=dtype, order=cast(Literal["C", "F"], order))
    except (MemoryError, ValueError):  # NumPy raises ValueError for more than the address space
        size = dtype.itemsize
        for axis in shape:
            size *= axis
        raise MemoryError(
            f"there is no memory for an array of shape {shape} and dtype {dtype}, {size:,} bytes: "
            f"decode fewer slices at once with z_start and z_end"
        ) from None


def slabs(head: CrackleHeader, z_start: int, z_end: int, voxel_nbytes: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of slices, each of about SLAB_NBYTES."""
    depth = builtins.max(1, SLAB_NBYTES // builtins.max(1, head.sx * head.sy * voxel_nbytes))
    for start in range(z_start, z_end, depth):
        yield start, builtins.min(start + depth, z_end)


def decode_into(
    reader: _binding.Reader,
    out: npt.NDArray[Any],
    z_start: int,
    z_end: int,
    label: int | None = None,
    verify: bool = True,
    threads: int = 1,
    is_new: bool = False,
) -> None:
    """Decode slices into an array of any strides; ``label`` is within the stream's dtype."""
    if out.size == 0:
        return
    if (out.flags.c_contiguous or out.flags.f_contiguous) and out.flags.aligned:
        reader.decode(out, z_start, z_end, label=label, verify=verify, parallel=threads, is_new=is_new)
        return
    head = reader.header
    for start, end in slabs(head, z_start, z_end, out.dtype.itemsize):
        scratch = empty_volume((head.sx, head.sy, end - start), out.dtype, "F")
        reader.decode(scratch, start, end, label=label, verify=verify, parallel=threads)
        out[:, :, start - z_start : end - z_start] = scratch


def _decode_cropped(
    reader: _binding.Reader, z_start: int, z_end: int, label: int, verify: bool, threads: int
) -> npt.NDArray[np.bool_]:
    """The mask of a label, cut to the slices that hold it; the whole mask is never in memory."""
    head = reader.header
    mask = np.dtype(np.bool_)
    found: list[tuple[int, npt.NDArray[Any]]] = []
    if head.voxels() and holds(head.dtype, label) and reader.contains(label, verify):
        for start, end in slabs(head, z_start, z_end, 1):
            slab = empty_volume((head.sx, head.sy, end - start), mask, head.order)
            reader.decode(slab, start, end, label=label, verify=verify, parallel=threads)
            hits = np.flatnonzero(slab.any(axis=(0, 1)))
            if hits.size:
                found.append((start + int(hits[0]), slab[:, :, hits[0] : hits[-1] + 1]))
    elif verify:
        label_table(reader)
    if not found:
        return empty_volume((head.sx, head.sy, 0), mask, head.order)
    first, last = found[0][0], found[-1][0] + found[-1][1].shape[2]
    result = empty_volume((head.sx, head.sy, last - first), mask, head.order)
    result[...] = False
    for start, slab in found:
        result[:, :, start - first : start - first + slab.shape[2]] = slab
    return result


def array_equal(a: Source, b: Source, parallel: int = 0) -> bool:
    """Whether two streams hold the same labels in the same shape.

    Encoding, dtype and memory order do not matter. The function compares the boundaries and the labels beside
    them, and decodes no voxel.

    Args:
        a: a stream.
        b: another.
        parallel: threads; 0 is one per core.
    """
    threads = _binding.threads(parallel)
    first, second = reader_of(a), reader_of(b)
    if first.header.shape != second.header.shape:
        return False
    return first.header.voxels() == 0 or first.equal(second, threads)


# ---------------------------------------------------------------------------------------
# Queries about labels


def labels(binary: Source) -> Labels:
    """The labels of a volume, ascending, each once, in the volume's dtype.

    They come from the stream's label table, which lists the background of pins as well.
    """
    return unique_labels(reader_of(binary))


def unique_labels(reader: _binding.Reader) -> Labels:
    """The labels of a stream, ascending, each once."""
    table = label_table(reader)
    # Most tables are sorted, and each label is in them once: to see that is faster than to sort.
    return table if bool((table[1:] > table[:-1]).all()) else np.unique(table)


def label_table(reader: _binding.Reader) -> Labels:
    """The label table; labels may repeat, and are in no particular order."""
    if reader.header.voxels() == 0:  # the stream is its header
        return np.empty(0, dtype=reader.header.dtype)
    return reader.table()


def num_labels(binary: Source) -> int:
    """The number of labels that :func:`labels` returns."""
    return len(labels(binary))


def min(binary: Source) -> int:
    """The smallest label.

    Raises:
        ValueError: the volume has no voxels.
    """
    return int(_some_labels(binary).min())


def max(binary: Source) -> int:
    """The largest label.

    Raises:
        ValueError: the volume has no voxels.
    """
    return int(_some_labels(binary).max())


def _some_labels(binary: Source) -> Labels:
    reader = reader_of(binary)
    table = label_table(reader)
    if table.size == 0:
        raise ValueError(f"a volume of shape {reader.header.shape} has no labels")
    return table


def contains(binary: Source, label: int) -> bool:
    """Whether a volume has a label; False for a label that the volume's dtype cannot hold."""
    wanted = integer("label", label)
    reader = reader_of(binary)
    if reader.header.voxels() == 0 or not holds(reader.header.dtype, wanted):
        return False
    return reader.contains(wanted)


def contains_range(binary: Source, low: int, high: int) -> Labels:
    """The labels in [low, high), ascending, in the volume's dtype."""
    return between(labels(binary), integer("low", low), integer("high", high))


def between(ascending: Labels, low: int, high: int) -> Labels:
    """The labels that lie in [low, high)."""
    edges = [_first_not_below(ascending, bound) for bound in (low, high)]
    return ascending[edges[0] : edges[1]].copy()


def _first_not_below(ascending: Labels, bound: int) -> int:
    info = np.iinfo(ascending.dtype)
    if bound > info.max:
        return len(ascending)
    return int(np.searchsorted(ascending, ascending.dtype.type(builtins.max(bound, int(info.min)))))


# ---------------------------------------------------------------------------------------
# Relabelling


def remap(
    binary: Source,
    mapping: Any,
    preserve_missing_labels: bool = False,
    in_place: bool = False,
    parallel: int = 0,
) -> Any:
    """Replace labels by others, all at once: {1: 2, 2: 1} swaps.

    Args:
        binary: the stream.
        mapping: a dict old label -> new label, or anything with ``items()``. Keys that are not
            labels of the volume are ignored.
        preserve_missing_labels: keep labels that are not in ``mapping``.
        in_place: change the label table within ``binary``, which has to be a bytearray or another
            writable buffer. Its length and its stored label width stay.
        parallel: accepted for compatibility with crackle-codec; the label table takes one thread.

    Returns:
        A new stream of the same dtype, or ``binary``'s buffer when changed in place. Boundaries
        between labels that became one stay in the stream.

    Raises:
        KeyError: a label is not in ``mapping``, and ``preserve_missing_labels`` is False.
        ValueError: a new label does not fit the volume's dtype or, in place, the stored width.
        TypeError: ``mapping`` is not a mapping of integers, or ``in_place`` meets immutable bytes.
    """
    return relabelled_by(bytes_of(binary), LabelMapping(mapping, preserve_missing_labels), in_place, parallel)


def relabelled_by(stream: _binding.Buffer, mapping: LabelMapping, in_place: bool, parallel: int) -> Any:
    """:func:`remap` with a :class:`LabelMapping`."""
    _binding.threads(parallel)
    reader = _binding.Reader(stream)
    head = reader.header
    if in_place:
        _check_writable(stream)
    table = label_table(reader)
    renamed = mapping.renamed(table)
    if not in_place:
        return with_table(stream, head, renamed, head.dtype)
    if table.size:
        try:
            _binding.relabel_in_place(stream, renamed)
        except OverflowError:
            raise ValueError(
                f"in place, new labels have to fit the {head.stored_data_width} bytes in which this stream "
                f"stores each; use in_place=False, which stores them in as many as they need"
            ) from None
    return stream


def _check_writable(stream: _binding.Buffer) -> None:
    view = memoryview(stream)
    if view.readonly:
        raise TypeError(
            f"in_place changes the stream's own bytes, and this {type(stream).__name__} is read-only: "
            f"give a bytearray(binary), or use in_place=False"
        )
    if not view.c_contiguous:
        raise ValueError("in_place needs a contiguous buffer: use in_place=False")


def refit(binary: Source) -> bytes:
    """The same volume in the smallest dtype that holds its labels; signed stays signed."""
    stream = bytes_of(binary)
    reader = _binding.Reader(stream)
    table = label_table(reader)
    low, high = (int(table.min()), int(table.max())) if table.size else (0, 0)
    dtype = smallest_dtype(low, high, reader.header.signed)
    return with_table(stream, reader.header, table.astype(dtype), dtype)


def renumber(binary: Source, start: int = 0, parallel: int = 0) -> tuple[bytes, dict[int, int]]:
    """Renumber the labels to start, start + 1, ... in their ascending order.

    Label 0 is a label like the others: it becomes ``start`` if it is the smallest.

    Args:
        binary: the stream.
        start: the new number of the smallest label. A negative one makes the volume signed.
        parallel: accepted for compatibility with crackle-codec; the label table takes one thread.

    Returns:
        The stream, in the smallest dtype that holds the new labels (signed stays signed), and the
        mapping old label -> new label.

    Raises:
        ValueError: no integer dtype holds the new labels.
    """
    _binding.threads(parallel)
    first = integer("start", start)
    stream = bytes_of(binary)
    reader = _binding.Reader(stream)
    old, rank = np.unique(label_table(reader), return_inverse=True)
    last = first + builtins.max(0, len(old) - 1)
    dtype = smallest_dtype(first, last, reader.header.signed)
    wide = np.dtype(np.int64 if dtype.kind == "i" else np.uint64)
    new = (rank.astype(wide) + wide.type(first)).astype(dtype)
    mapping = dict(zip(old.tolist(), range(first, first + len(old)), strict=True))
    return with_table(stream, reader.header, new, dtype), mapping


def astype(binary: Source, dtype: npt.DTypeLike, order: Order = "K", casting: Casting = "unsafe") -> bytes:
    """The same volume in another dtype, and in another memory order.

    Args:
        binary: the stream.
        dtype: an integer dtype, or bool, which gives 1 for every label but 0 and is stored as
            uint8. Its byte order does not matter: a stream has none.
        order: the memory order that the stream decodes to: "C", "F"; "K" and "A" keep the stream's.
        casting: the conversions that are allowed, as in :func:`numpy.can_cast`. "unsafe" wraps
            labels that do not fit, as NumPy does.

    Raises:
        TypeError: ``dtype`` is neither an integer nor bool, or ``casting`` forbids the conversion.
        ValueError: ``order`` or ``casting`` is none of these.
    """
    target = np.dtype(dtype).newbyteorder("=")
    if target.kind not in "iub":
        raise TypeError(f"a stream holds integers or bool, not {target}")
    if order not in ("C", "F", "K", "A"):
        raise ValueError(f"order is 'C', 'F', 'K' or 'A', not {order!r}")
    stream = bytes_of(binary)
    reader = _binding.Reader(stream)
    head = reader.header
    if not np.can_cast(head.dtype, target, casting=casting):
        raise TypeError(
            f"cannot cast the labels from {head.dtype} to {target} according to the rule {casting!r}"
        )
    converted = label_table(reader).astype(target)
    if target.kind == "b":
        target = np.dtype(np.uint8)
        converted = converted.astype(target)
    fortran_order = head.fortran_order if order in ("K", "A") else order == "F"
    return with_table(stream, head, converted, target, fortran_order)


def asfortranarray(binary: Source) -> bytes:
    """The same volume as a stream that decodes to Fortran order: x fastest."""
    return astype(binary, header(binary).dtype, order="F")


def ascontiguousarray(binary: Source) -> bytes:
    """The same volume as a stream that decodes to C order: z fastest."""
    return astype(binary, header(binary).dtype, order="C")


def with_table(
    stream: _binding.Buffer,
    head: CrackleHeader,
    table: Labels,
    dtype: np.dtype[Any],
    fortran_order: bool | None = None,
) -> bytes:
    """A stream with another label table, and perhaps another dtype or memory order."""
    fortran = head.fortran_order if fortran_order is None else fortran_order
    return _binding.relabel(stream, table, dtype, fortran)
