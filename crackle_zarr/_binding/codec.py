"""Headers, sections, decoding and encoding: the calls of ``crackle.h``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .._base.header import CrackleHeader
from .._base.options import MarkovOrder
from .library import Buffer, bytes_in, check_status, ffi, label_bits, lib, take_bytes, verify_flag
from .parallel import (
    RANGES_PER_THREAD,
    VOXELS_AT_ONCE,
    Cut,
    over_slices,
    run_in_thread,
    slices_at_once,
    slices_of,
    threads,
)

MAX_MARKOV_ORDER: int = lib.CRACKLE_MAX_MARKOV_ORDER


# ---------------------------------------------------------------------------------------
# Headers and sections


def _header(fields: Any) -> CrackleHeader:
    return CrackleHeader(
        sx=fields.sx,
        sy=fields.sy,
        sz=fields.sz,
        data_width=fields.data_width,
        stored_data_width=fields.stored_width,
        label_format=fields.label_format,
        crack_format=fields.permissible,
        fortran_order=bool(fields.fortran_order),
        signed=bool(fields.is_signed),
        markov_model_order=fields.markov_order,
        is_sorted=bool(fields.is_sorted),
        format_version=fields.format_version,
        num_label_bytes=fields.num_label_bytes,
    )


def read_header(binary: Buffer) -> CrackleHeader:
    """Read and check the header; ``binary`` needs to hold no more than the first 29 bytes."""
    with bytes_in(binary) as data:
        return _header_in(data)


def _header_in(data: Any) -> CrackleHeader:
    fields, where = ffi.new("struct crackle_header *"), ffi.new("struct crackle_where *")
    check_status(lib.crackle_read_header(data, len(data), fields, where), where)
    return _header(fields)


@dataclass(frozen=True)
class Layout:
    """The offsets of a stream's sections, in bytes from its start; ``end`` is its length."""

    crack_index: int
    labels: int
    markov_model: int
    crack_codes: int
    checksums: int
    end: int


def prefix_nbytes(sz: int) -> int:
    """An upper bound of the bytes that :func:`read_layout` needs for ``sz`` slices."""
    fields = ffi.new("struct crackle_header *", {"sx": 1, "sy": 1, "sz": sz, "format_version": 1})
    return int(lib.crackle_prefix_nbytes(fields))


def read_layout(prefix: Buffer) -> Layout:
    """Compute the places of the sections; ``prefix`` holds the header and the crack index."""
    fields, where = ffi.new("struct crackle_layout *"), ffi.new("struct crackle_where *")
    with bytes_in(prefix) as data:
        check_status(lib.crackle_read_layout(data, len(data), fields, where), where)
    return Layout(
        crack_index=fields.crack_index,
        labels=fields.labels,
        markov_model=fields.markov_model,
        crack_codes=fields.crack_codes,
        checksums=fields.checksums,
        end=fields.end,
    )


def codes_range(prefix: Buffer, z_start: int, z_end: int) -> tuple[int, int]:
    """The byte range in the stream of the crack codes of the slices [z_start, z_end)."""
    begin, end = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    where = ffi.new("struct crackle_where *")
    with bytes_in(prefix) as data:
        status = lib.crackle_codes_range(data, len(data), z_start, z_end, begin, end, where)
        check_status(status, where)
    return begin[0], end[0]


def table_nbytes(prefix: Buffer) -> int:
    """The offset in the stream at which the label table ends. Needs 16 bytes more than the layout does."""
    nbytes, where = ffi.new("uint64_t *"), ffi.new("struct crackle_where *")
    with bytes_in(prefix) as data:
        check_status(lib.crackle_table_nbytes(data, len(data), nbytes, where), where)
    return int(nbytes[0])


# ---------------------------------------------------------------------------------------
# Reading

# Memory up to this size is allocated without checking more of the stream than its header.
_CREDIBLE_NBYTES = 32 * 2**20

# New arrays from this size on have new pages. Smaller ones may get memory that was freed before.
_NEW_PAGES_NBYTES = 64 * 2**20


class Decoder:
    """Reads a stream, given whole or in parts.

    ``Reader(binary)`` checks that the sections add up to the length of ``binary``.
    :meth:`from_parts` takes byte ranges of a stream.
    """

    def __init__(self, binary: Buffer) -> None:
        data = bytes_in(binary)
        parts, where = ffi.new("struct crackle_parts *"), ffi.new("struct crackle_where *")
        check_status(lib.crackle_split(data, len(data), parts, where), where)
        self._parts = parts
        self._keep: tuple[Any, ...] = (data,)  # the C pointers in _parts live in these
        self.header = _header_in(data)

    @property
    def parts(self) -> Any:
        """The ``struct crackle_parts`` for C, which lives as long as this object."""
        return self._parts

    @classmethod
    def from_parts(
        cls,
        head: Buffer,
        codes: Buffer = b"",
        codes_z: int = 0,
        tail: Buffer = b"",
        header: CrackleHeader | None = None,
    ) -> Self:
        """A reader over parts of a stream.

        Args:
            head: from the first byte to ``Layout.crack_codes``.
            codes: the crack codes of consecutive slices, as :func:`codes_range` found them.
            codes_z: the first of those slices.
            tail: from ``Layout.checksums`` to the end.
            header: the header in ``head``, if it has been read already.
        """
        self = cls.__new__(cls)
        views = tuple(bytes_in(part) for part in (head, codes, tail))
        self._parts = ffi.new("struct crackle_parts *")
        self._parts.head, self._parts.head_nbytes = views[0], len(views[0])
        self._parts.codes, self._parts.codes_nbytes = views[1], len(views[1])
        self._parts.codes_z = codes_z
        self._parts.tail, self._parts.tail_nbytes = views[2], len(views[2])
        self._keep = views
        self.header = read_header(head) if header is None else header
        return self

    def decode(
        self,
        out: npt.NDArray[Any],
        z_start: int,
        z_end: int,
        *,
        label: int | None = None,
        values: npt.NDArray[np.uint64] | None = None,
        verify: bool = True,
        parallel: int = 1,
        is_new: bool = False,
    ) -> None:
        """Decode the slices [z_start, z_end) into ``out``.

        Args:
            out: writable, shape (sx, sy, z_end - z_start), contiguous in C or F order. Its items have the
                stream's size; 1 byte if ``label`` is given; any size if ``values`` are given.
            z_start: the first slice.
            z_end: the slice after the last.
            label: write 1 for voxels with this label and 0 for all others.
            values: write these instead of labels, one per entry of :meth:`table`. A slice for which the
                labels section gives only zeros is not decoded.
            verify: verify the checksums of the labels and of the slices.
            parallel: threads; 0 is one per core.
            is_new: ``out`` was just allocated, and nothing was written to it.
        """
        flags = verify_flag(verify)
        if is_new and out.nbytes >= _NEW_PAGES_NBYTES:
            flags |= lib.CRACKLE_NEW_PAGES
        given = None if values is None else ffi.from_buffer("uint64_t[]", values)
        volume = volume_of(out, writable=True)

        def work(start: int, end: int) -> None:
            where = ffi.new("struct crackle_where *")
            if given is not None:
                status = lib.crackle_decode_as(
                    self._parts, start, end, flags, given, len(given), volume, z_start, where
                )
            elif label is None:
                status = lib.crackle_decode(self._parts, start, end, flags, volume, z_start, where)
            else:
                status = lib.crackle_decode_mask(
                    self._parts, start, end, flags, label_bits(label), volume, z_start, where
                )
            check_status(status, where)

        # Every call reads the list of pins, which is a large part of the work.
        per_thread = 1 if self.header.label_format else RANGES_PER_THREAD
        cut = slices_at_once(self.header)
        if not volume.fortran_order:
            cut = cut.in_c_order(out.dtype.itemsize, out.ctypes.data)
        over_slices(work, z_start, z_end, parallel, cut, per_thread)

    def check_slice(self, z: int) -> int:
        """Verify slice ``z`` without reading the labels; returns the number of its components."""
        where, components = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
        check_status(lib.crackle_check_slice(self._parts, z, components, where), where)
        return int(components[0])

    def check_claims(self, nbytes: int, z: int, verify: bool = True) -> None:
        """Check more of the stream than its header, before the caller allocates ``nbytes`` for it.

        A damaged header may claim any volume. A small claim is accepted. For a large one, the labels section
        and slice ``z`` have to fit the claim; the check costs as much as decoding that slice.

        Raises:
            FormatError: they are not.
        """
        if nbytes > _CREDIBLE_NBYTES:
            self.slices_with(np.zeros(self._table_size(), dtype=np.bool_), verify)
            if verify:
                with contextlib.suppress(MemoryError):  # the allocation itself reports the size
                    self.check_slice(z)

    def table(self, verify: bool = True) -> npt.NDArray[np.integer]:
        """The label table in stored order, the background of pins first, in the volume's dtype."""
        where = ffi.new("struct crackle_where *")
        labels = np.empty(self._table_size(), dtype=np.uint64)
        flags = verify_flag(verify)
        with ffi.from_buffer("uint64_t[]", labels, require_writable=True) as target:
            check_status(lib.crackle_read_table(self._parts, flags, target, len(labels), where), where)
        return labels.astype(self.header.dtype)

    def contains(self, label: int, verify: bool = True) -> bool:
        """Whether the label table lists ``label``, which must be within the volume's dtype."""
        where, found = ffi.new("struct crackle_where *"), ffi.new("int *")
        flags = verify_flag(verify)
        check_status(lib.crackle_contains(self._parts, flags, label_bits(label), found, where), where)
        return bool(found[0])

    def _table_size(self) -> int:
        where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
        check_status(lib.crackle_table_size(self._parts, count, where), where)
        return int(count[0])

    def slices_with(self, wanted: npt.NDArray[np.bool_], verify: bool = True) -> npt.NDArray[np.bool_]:
        """Per slice, whether it has a wanted entry of :meth:`table`; with pins, whether it may have one."""
        where = ffi.new("struct crackle_where *")
        slices = np.zeros(self.header.sz, dtype=np.uint8)
        flags = verify_flag(verify)
        with (
            ffi.from_buffer("uint8_t[]", np.ascontiguousarray(wanted).view(np.uint8)) as chosen,
            ffi.from_buffer("uint8_t[]", slices, require_writable=True) as target,
        ):
            status = lib.crackle_slices_with(self._parts, flags, chosen, len(chosen), target, where)
            check_status(status, where)
        return slices.view(np.bool_)


def decode_stream(binary: Buffer, out: npt.NDArray[Any]) -> bool:
    """Decode a whole stream by one call of C; False if it has another shape or dtype than ``out``.

    ``out`` is as for :meth:`Decoder.decode`, and has at most ``VOXELS_AT_ONCE`` voxels: Ctrl-C waits.
    """
    where = ffi.new("struct crackle_where *")
    volume = volume_of(out, writable=True)
    with bytes_in(binary) as data:
        status = lib.crackle_decode_stream(data, len(data), 0, volume, where)
    if status == lib.CRACKLE_BAD_ARGUMENT:
        return False
    check_status(status, where)
    return True


def volume_of(array: npt.NDArray[Any], writable: bool = False) -> Any:
    """A ``struct crackle_volume`` over a contiguous 3-D array; the struct keeps the array alive."""
    fortran = array.flags.f_contiguous
    flat = array.T if fortran else array  # cffi takes C-contiguous buffers only
    data = ffi.from_buffer("uint8_t[]", flat, require_writable=writable)
    made = ffi.new(
        "struct crackle_volume *",
        {
            "voxels": data,
            "nbytes": array.nbytes,
            "sx": array.shape[0],
            "sy": array.shape[1],
            "sz": array.shape[2],
            "width": array.dtype.itemsize,
            "is_signed": array.dtype.kind == "i",
            # An array of one column is contiguous in both orders; either value is then right.
            "fortran_order": fortran,
        },
    )
    # Not released at the end of a call: after Ctrl-C, C may still run in a thread, and that thread holds the
    # struct.
    return ffi.gc(made, lambda _, data=data: None)


# ---------------------------------------------------------------------------------------
# Writing


def markov_order_of(order: MarkovOrder) -> int:
    """A Markov order as the C library takes it."""
    return int(lib.CRACKLE_MARKOV_AUTO) if order == "auto" else order


def encode(
    volume: npt.NDArray[Any],
    *,
    fortran_order: bool,
    pins: int = 0,
    markov_order: MarkovOrder = 0,
    background: int | None = None,
    format_version: int = 1,
    parallel: int = 1,
) -> bytes:
    """Encode a 3-D array (x, y, z) of native integers or bool, contiguous in C or F order.

    Args:
        volume: the labels.
        fortran_order: the memory order in which the stream decodes: x fastest, or z fastest.
        pins: 0 flat labels, 1 pins, 2 pins chosen with more effort.
        markov_order: 0 to 12, or "auto" for the order that makes the stream smallest.
        background: the label to use as the background of pins; None leaves the choice to C.
        format_version: 0 or 1.
        parallel: threads; 0 is one per core.
    """
    options = ffi.new(
        "struct crackle_options *",
        {
            "format_version": format_version,
            "markov_order": markov_order_of(markov_order),
            "pins": pins,
            "has_background": background is not None,
            "background": label_bits(background or 0),
        },
    )
    source = volume_of(volume)
    if volume.flags.c_contiguous and volume.flags.f_contiguous:
        source.fortran_order = fortran_order  # contiguous in both orders: the caller decides

    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    if volume.size <= VOXELS_AT_ONCE and threads(parallel) == 1:
        # Of a small chunk, an eighth of the time would go into calling the steps one by one. While other
        # threads run Python, each call may also wait for the GIL as it returns.
        check_status(lib.crackle_encode(source, options, out, nbytes))
        return take_bytes(out, nbytes)

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_encode_part(source, z_start, z_end, crack_format, part)
        return status

    guess = lib.crackle_guess_crack_format(source)
    cut = slices_of(source.sx, source.sy, VOXELS_AT_ONCE)
    if not source.fortran_order:
        cut = cut.in_c_order(source.width)
    parts = best_parts(make, source.sz, guess, parallel, cut)

    def work(stop: Any) -> bytes:
        check_status(lib.crackle_assemble(source, options, parts, len(parts), stop, out, nbytes))
        return take_bytes(out, nbytes)

    return run_in_thread(work, volume.size)


# A function that encodes the slices [z_start, z_end) as a part in a crack format: (z_start, z_end, format,
# part, where) -> status.
MakePart = Callable[[int, int, int, Any, Any], int]


def best_parts(
    make: MakePart,
    num_slices: int,
    crack_format: int,
    parallel: int,
    cut: Cut,
    per_thread: int = RANGES_PER_THREAD,
) -> Sequence[Any]:
    """The parts of a volume in the crack format with fewer cracks; ``crack_format`` is a first guess."""

    def work(z_start: int, z_end: int) -> Any:
        part, where = ffi.new("crackle_part **"), ffi.new("struct crackle_where *")
        status = make(z_start, z_end, crack_format, part, where)
        owned = None if part[0] == ffi.NULL else ffi.gc(part[0], lib.crackle_part_free)
        check_status(status, where)
        return owned

    parts = over_slices(work, 0, num_slices, parallel, cut, per_thread)
    fewer = lib.crackle_fewer_cracks(parts, len(parts))
    if fewer != crack_format:
        crack_format = fewer
        parts = over_slices(work, 0, num_slices, parallel, cut, per_thread)
    return parts


def shape_of(shape: tuple[int, int, int], dtype: np.dtype[Any], fortran_order: bool) -> Any:
    """A ``struct crackle_volume`` without voxels."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > 2**64 - 1:
        raise ValueError(
            f"a volume of shape {shape} and dtype {dtype} has {nbytes:,} bytes: more than 2^64 - 1"
        )
    return ffi.new(
        "struct crackle_volume *",
        {
            "nbytes": nbytes,
            "sx": shape[0],
            "sy": shape[1],
            "sz": shape[2],
            "width": dtype.itemsize,
            "is_signed": dtype.kind == "i",
            "fortran_order": fortran_order,
        },
    )


def constant(
    shape: tuple[int, int, int],
    dtype: np.dtype[np.integer],
    label: int,
    fortran_order: bool,
    format_version: int = 1,
) -> bytes:
    """Encode a volume whose voxels all have one label, which fits ``dtype``."""
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    volume = shape_of(shape, dtype, fortran_order)
    check_status(lib.crackle_encode_constant(volume, label_bits(label), format_version, out, nbytes))
    return take_bytes(out, nbytes)
