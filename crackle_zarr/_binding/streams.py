"""Questions about streams and new streams from old ones: the calls of ``crackle_streams.h``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base.options import MarkovOrder
from ..errors import FormatError
from .codec import Decoder, MakePart, best_parts, markov_order_of, read_header, shape_of, volume_of
from .library import (
    Buffer,
    buffer_of,
    bytes_in,
    check_status,
    ffi,
    label_bits,
    lib,
    take_array,
    take_bytes,
    verify_flag,
)
from .parallel import (
    RANGES_PER_THREAD,
    VOXELS_AT_ONCE,
    Cut,
    over_slices,
    raise_if_interrupted,
    run_in_thread,
    slices_at_once,
    slices_of,
)

# The number of voxels, their bounding box (half-open), and the sums of their coordinates, along x, y and z.
EXTENT = np.dtype([("voxels", "u8"), ("start", "u4", 3), ("stop", "u4", 3), ("sum", "u8", 3)])

# Two labels, as 64 bits each; the number of faces along x, y and z over which they touch, and the box of the
# voxels on both sides of these, half-open; or the number of voxels that they share.
CONTACT = np.dtype([("a", "u8"), ("b", "u8"), ("faces", "u8", 3), ("start", "u4", 3), ("stop", "u4", 3)])
OVERLAP = np.dtype([("a", "u8"), ("b", "u8"), ("voxels", "u8")])


class Reader(Decoder):
    """Decodes a stream, and answers questions about it."""

    def measure(
        self,
        z_start: int,
        z_end: int,
        x: tuple[int, int] | None = None,
        y: tuple[int, int] | None = None,
        verify: bool = True,
        only_counts: bool = False,
    ) -> npt.NDArray[Any]:
        """The extents of every entry of :meth:`table` within a window; see :data:`EXTENT`.

        Args:
            z_start: the first slice.
            z_end: the slice after the last.
            x: the columns; None: all.
            y: the rows; None: all.
            verify: verify the checksums of the labels and of the slices.
            only_counts: fill in the numbers of voxels only, and leave the rest 0.

        Raises:
            ValueError: the window is outside the volume, or so large that a sum might pass 64 bits.
        """
        where = ffi.new("struct crackle_where *")
        extents = np.zeros(self._table_size(), dtype=EXTENT)
        columns, rows = x or (0, self.header.sx), y or (0, self.header.sy)
        flags = verify_flag(verify) | (lib.CRACKLE_ONLY_COUNTS if only_counts else 0)
        with ffi.from_buffer("struct crackle_extent[]", extents, require_writable=True) as target:
            status = lib.crackle_measure(
                self._parts, z_start, z_end, flags, *columns, *rows, target, len(extents), where
            )
            check_status(status, where)
        return extents

    def entries_in(self, z_start: int, z_end: int, verify: bool = True) -> npt.NDArray[np.bool_]:
        """Per entry of :meth:`table`, whether the slices [z_start, z_end) have it; FormatError for pins."""
        where = ffi.new("struct crackle_where *")
        present = np.zeros(self._table_size(), dtype=np.uint8)
        flags = verify_flag(verify)
        with ffi.from_buffer("uint8_t[]", present, require_writable=True) as target:
            status = lib.crackle_entries_in(self._parts, flags, z_start, z_end, target, len(present), where)
            check_status(status, where)
        return present.view(np.bool_)

    def surface(
        self, wanted: npt.NDArray[np.bool_], z_start: int, z_end: int, verify: bool = True
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """The surface voxels of entries of :meth:`table` in some slices.

        Args:
            wanted: per entry, whether to include it.
            z_start: the first slice.
            z_end: the slice after the last.
            verify: verify the checksums of the labels and of the slices.

        Returns:
            The points (x, y, z), a row each: those of the first wanted entry, sorted, then those of the
            next; and the number of points of each entry. Where several entries repeat a label, the first has
            all its points.
        """
        where, points = ffi.new("struct crackle_where *"), ffi.new("void **")
        dtype = np.dtype(np.uint16 if max(self.header.shape) <= 2**16 else np.uint32)
        counts = np.zeros(self._table_size(), dtype=np.uint64)
        flags = verify_flag(verify)
        chosen = ffi.from_buffer("uint8_t[]", np.ascontiguousarray(wanted).view(np.uint8))
        target = ffi.from_buffer("uint64_t[]", counts, require_writable=True)

        def work(stop: Any) -> npt.NDArray[Any]:
            status = lib.crackle_surface(
                self._parts,
                z_start,
                z_end,
                flags,
                chosen,
                len(chosen),
                dtype.itemsize,
                stop,
                points,
                target,
                where,
            )
            check_status(status, where)
            return take_array(points[0], 3 * int(counts.sum()), dtype)

        found = run_in_thread(work, self.header.sx * self.header.sy * (z_end - z_start))
        return found.reshape(-1, 3), counts

    def connectivity(
        self, out: npt.NDArray[np.uint8], connectivity: int, parallel: int = 1, verify: bool = True
    ) -> None:
        """Write the passable directions of every voxel into ``out``, which is contiguous in C or F order."""
        flags = verify_flag(verify)
        volume = volume_of(out, writable=True)

        def work(start: int, end: int) -> None:
            where = ffi.new("struct crackle_where *")
            status = lib.crackle_connectivity(self._parts, start, end, flags, connectivity, volume, 0, where)
            check_status(status, where)

        # Neighbouring ranges both read the slice between them, so there are few ranges.
        over_slices(work, 0, self.header.sz, parallel, slices_at_once(self.header, shared=True), 1)

    def contacts(
        self,
        parallel: int = 1,
        skip_background: bool = False,
        verify: bool = True,
        only_counts: bool = False,
    ) -> npt.NDArray[Any]:
        """The labels that touch; see :data:`CONTACT`. Pairs are unsorted and may repeat.

        With ``only_counts`` all boxes are 0.
        """
        flags = verify_flag(verify) | (lib.CRACKLE_NO_BACKGROUND if skip_background else 0)
        flags |= lib.CRACKLE_ONLY_COUNTS if only_counts else 0

        def work(start: int, end: int) -> npt.NDArray[Any]:
            where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
            out = ffi.new("struct crackle_contact **")
            check_status(lib.crackle_contacts(self._parts, start, end, flags, out, count, where), where)
            return take_array(out[0], int(count[0]), CONTACT)

        cut = slices_at_once(self.header, shared=True)
        return np.concatenate(over_slices(work, 0, self.header.sz, parallel, cut, 1))

    def contacts_within(
        self,
        z: tuple[int, int],
        y: tuple[int, int],
        x: tuple[int, int],
        along: tuple[bool, ...] = (True, True, True),
        skip_background: bool = False,
        verify: bool = True,
    ) -> npt.NDArray[Any]:
        """The labels that touch within a window, by one thread; see :data:`CONTACT`.

        Args:
            z: the slices.
            y: the rows of each.
            x: the columns of each.
            along: whether faces along x, y and z count.
            skip_background: leave out the label 0.
            verify: verify the checksums of the labels and of the slices.

        Returns:
            A row per pair, in no order. A face counts if both of its voxels lie in the window.

        Raises:
            ValueError: the window is outside the volume.
        """
        flags = verify_flag(verify) | (lib.CRACKLE_NO_BACKGROUND if skip_background else 0)
        where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
        out = ffi.new("struct crackle_contact **")
        axes = sum(wanted << place for place, wanted in enumerate(along))
        status = lib.crackle_contacts_within(self._parts, *z, flags, *x, *y, axes, out, count, where)
        check_status(status, where)
        return take_array(out[0], int(count[0]), CONTACT)

    def overlaps(self, other: Reader, parallel: int = 1, verify: bool = True) -> npt.NDArray[Any]:
        """The labels of two streams that share voxels; see :data:`OVERLAP`. Pairs may repeat."""
        flags = verify_flag(verify)

        def work(start: int, end: int) -> npt.NDArray[Any]:
            where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
            out = ffi.new("struct crackle_overlap **")
            status = lib.crackle_overlaps(self._parts, other._parts, start, end, flags, out, count, where)
            check_status(status, where)
            return take_array(out[0], int(count[0]), OVERLAP)

        # Few ranges: each reports a pair that extends through all of them.
        cut = slices_at_once(self.header, other.header, shared=True)
        return np.concatenate(over_slices(work, 0, self.header.sz, parallel, cut, 1))

    def equal(self, other: Reader, parallel: int = 1, verify: bool = True) -> bool:
        """Whether another stream of the same shape holds the same labels."""
        flags = verify_flag(verify)

        def work(start: int, end: int) -> bool:
            where, equal = ffi.new("struct crackle_where *"), ffi.new("int *")
            check_status(lib.crackle_equal(self._parts, other._parts, start, end, flags, equal, where), where)
            return bool(equal[0])

        cut = slices_at_once(self.header, other.header)
        return all(over_slices(work, 0, self.header.sz, parallel, cut))

    def component_counts(self) -> npt.NDArray[np.uint64]:
        """Connected components per slice, as the labels section states them."""
        where = ffi.new("struct crackle_where *")
        counts = np.empty(self.header.sz, dtype=np.uint64)
        with ffi.from_buffer("uint64_t[]", counts, require_writable=True) as target:
            check_status(lib.crackle_component_counts(self._parts, target, where), where)
        return counts


# ---------------------------------------------------------------------------------------
# New labels


def relabel(
    binary: Buffer, table: npt.NDArray[np.integer], dtype: np.dtype[np.integer], fortran_order: bool
) -> bytes:
    """Replace the label table entry by entry; the stream becomes one of ``dtype``.

    ``table`` has the length and the order of :meth:`Reader.table`.
    """
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    where = ffi.new("struct crackle_where *")
    bits = _table_bits(table)
    with bytes_in(binary) as data, ffi.from_buffer("uint64_t[]", bits) as labels:
        status = lib.crackle_relabel(
            data,
            len(data),
            labels,
            len(bits),
            dtype.itemsize,
            dtype.kind == "i",
            fortran_order,
            out,
            nbytes,
            where,
        )
        check_status(status, where)
    return take_bytes(out, nbytes)


def relabel_in_place(stream: Buffer, table: npt.NDArray[np.integer]) -> None:
    """Replace the label table within a writable buffer; labels must fit the stored width."""
    where = ffi.new("struct crackle_where *")
    bits = _table_bits(table)
    with (
        buffer_of(stream, writable=True) as data,
        ffi.from_buffer("uint64_t[]", bits) as labels,
    ):
        check_status(lib.crackle_relabel_in_place(data, len(data), labels, len(bits), where), where)


def _table_bits(table: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    wide = table.astype(np.int64 if table.dtype.kind == "i" else np.uint64)
    return np.ascontiguousarray(wide).view(np.uint64)


# ---------------------------------------------------------------------------------------
# Streams from streams


def recompress(binary: Buffer, markov_order: MarkovOrder, parallel: int = 1) -> bytes:
    """Encode the same volume without cracks between equal labels, with a Markov model of a given order.

    The order "auto" is the one that makes the stream smallest.
    """
    reader = Reader(binary)
    head = reader.header

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_recompress_part(reader._parts, z_start, z_end, 0, crack_format, part, where)
        return status

    # Every range of a pins stream parses all of its pins.
    per_thread = 1 if head.label_format else RANGES_PER_THREAD
    cut = slices_at_once(head).divided(2)  # reading and tracing takes longer than either
    parts = best_parts(make, head.sz, head.crack_format, parallel, cut, per_thread)
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    where, order = ffi.new("struct crackle_where *"), markov_order_of(markov_order)
    data = bytes_in(binary)

    def work(stop: Any) -> bytes:
        status = lib.crackle_reassemble(data, len(data), order, parts, len(parts), stop, out, nbytes, where)
        check_status(status, where)
        return take_bytes(out, nbytes)

    return run_in_thread(work, head.voxels())


def overlay(a: Reader, b: Reader, parallel: int = 1) -> bytes:
    """Combine two volumes into a stream of uint64.

    A voxel is the index of a's label in a's table, times 2^32, plus the index of b's label in b's table.
    """

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_overlay_part(
            a._parts, b._parts, z_start, z_end, 0, crack_format, part, where
        )
        return status

    shape = shape_of(a.header.shape, np.dtype(np.uint64), a.header.fortran_order)
    return _assembled(shape, make, a.header.crack_format, parallel, slices_at_once(a.header, b.header))


def pool(reader: Reader, depth: int, sparse: bool, parallel: int = 1) -> bytes:
    """Replace every block of 2 x 2 x depth voxels by one voxel with the block's most frequent label."""
    head = reader.header

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_pool_part(
            reader._parts, z_start, z_end, 0, depth, sparse, crack_format, part, where
        )
        return status

    halves = ((head.sx + 1) // 2, (head.sy + 1) // 2, -(-head.sz // depth))
    shape = shape_of(halves, head.dtype, head.fortran_order)
    return _assembled(shape, make, head.crack_format, parallel, slices_at_once(head).divided(depth))


def _assembled(shape: Any, make: MakePart, crack_format: int, parallel: int, cut: Cut) -> bytes:
    parts = best_parts(make, shape.sz, crack_format, parallel, cut)
    options = ffi.new("struct crackle_options *", {"format_version": 1})
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    check_status(lib.crackle_assemble(shape, options, parts, len(parts), ffi.NULL, out, nbytes))
    return take_bytes(out, nbytes)


def connected_components(
    binary: Buffer,
    connectivity: int,
    binary_image: bool,
    report_progress: Callable[[int, int], object] | None = None,
    verify: bool = True,
    *,
    background: int | None = 0,
    depth: int = 0,
) -> tuple[bytes, npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The stream of a volume's components, and the label and the first voxel of each from 1 on.

    Labels are 64 bits; the voxel (x, y, z) has the number (z * sy + y) * sx + x.

    Args:
        binary: the stream.
        connectivity: 6 or 26.
        binary_image: treat all labels but the background as one label.
        report_progress: a function of (slices done, slices in all); None reports nothing.
        verify: verify the checksums of the labels and of the slices.
        background: the label whose voxels belong to no component; None: there is none.
        depth: the volume is a row of images of so many slices, which do not touch; 0: it is one image.
    """
    where, made = ffi.new("struct crackle_where *"), ffi.new("crackle_joiner **")
    how = ffi.new("struct crackle_joining *")
    how.connectivity, how.is_binary, how.depth = connectivity, binary_image, depth
    if background is not None:
        how.has_background, how.background = 1, label_bits(background)
    head = read_header(binary)
    sz, depth = head.sz, min(_SLICES_AT_ONCE, slices_of(head.sx, head.sy, VOXELS_AT_ONCE).depth)
    with bytes_in(binary) as data:
        flags = verify_flag(verify)
        status = lib.crackle_joiner_begin(data, len(data), flags, how, made, where)
        check_status(status, where)
        joiner = ffi.gc(made[0], lib.crackle_joiner_free)
        # A volume without voxels may claim any number of slices, and has nothing to join.
        for z in range(0, sz if head.voxels() else 0, depth):
            raise_if_interrupted()
            number = min(depth, sz - z)
            check_status(lib.crackle_joiner_next(joiner, number, where), where)
            if report_progress is not None:
                report_progress(z + number, sz)
        out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
        labels, first, count = ffi.new("uint64_t **"), ffi.new("uint64_t **"), ffi.new("uint64_t *")
        check_status(lib.crackle_joiner_finish(joiner, data, out, nbytes, labels, first, count))
    kind = np.dtype(np.uint64)
    names, firsts = (take_array(one[0], int(count[0]), kind) for one in (labels, first))
    return take_bytes(out, nbytes), names, firsts


# The most slices between two progress reports, and between two checks for interrupts.
_SLICES_AT_ONCE = 16


def stack(
    pieces: Sequence[tuple[Buffer, int, int]],
    dtype: np.dtype[np.integer],
    fortran_order: bool,
    model: int | None = None,
) -> bytes:
    """Stack slices [z_start, z_end) of streams along z; all streams have the same sx and sy.

    ``model`` is the piece whose crack format and Markov model the stack gets; None: the piece with the most
    bytes.
    """
    views = [bytes_in(binary) for binary, _, _ in pieces]
    array = ffi.new("struct crackle_piece[]", len(pieces))
    for piece, view, (_, z_start, z_end) in zip(array, views, pieces, strict=True):
        piece.bytes, piece.nbytes, piece.z_start, piece.z_end = view, len(view), z_start, z_end
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    at, where = ffi.new("size_t *"), ffi.new("struct crackle_where *")
    status = lib.crackle_stack(
        array,
        len(pieces),
        len(pieces) if model is None else model,
        dtype.itemsize,
        dtype.kind == "i",
        fortran_order,
        out,
        nbytes,
        at,
        where,
    )
    try:
        check_status(status, where)
    except FormatError as error:
        if len(pieces) == 1:
            raise
        raise FormatError(f"image {at[0]}: {error}", error.section, error.slice) from None
    return take_bytes(out, nbytes)
