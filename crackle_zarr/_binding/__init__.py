"""The one importer of the C library: shapes arguments, calls, maps status to exceptions.

cffi releases the GIL around every call, so threads over ranges of slices run side by side. They
live no longer than the call that made them, and nothing is started or locked at import:
forking and spawning are safe.

Python looks for signals between two calls of C, not within one. So C gets no more slices at once than it
goes through in a fraction of a second, and Ctrl-C ends a call when the ranges that have begun are done. What
can not be cut into ranges and takes seconds runs in a thread of its own, and C is told to stop.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from .._base.header import CrackleHeader
from .._base.options import MarkovOrder
from .._crackle import ffi, lib
from ..errors import FormatError

# Anything with the buffer protocol: bytes, bytearray, memoryview, mmap, a NumPy array of bytes.
Buffer = Any

MAX_MARKOV_ORDER: int = lib.CRACKLE_MAX_MARKOV_ORDER

T = TypeVar("T")
A = ParamSpec("A")


def _text(pointer: Any) -> str:
    return ffi.string(pointer).decode("ascii")  # type: ignore[no-any-return]


def _check(status: int, where: Any = ffi.NULL) -> None:
    """Raise the exception that belongs to a status of the C library."""
    if status == lib.CRACKLE_OK:
        return
    message = _text(lib.crackle_status_message(status))
    if status == lib.CRACKLE_NO_MEMORY:
        raise MemoryError(message)
    if status in (lib.CRACKLE_BAD_ARGUMENT, lib.CRACKLE_TOO_LARGE):
        raise ValueError(message)
    if status == lib.CRACKLE_DOES_NOT_FIT:
        raise OverflowError(message)
    if status == lib.CRACKLE_STOPPED:
        raise KeyboardInterrupt(message)
    section = slice_number = None
    if where != ffi.NULL and where.section != lib.CRACKLE_SECTION_NONE:
        section = _text(lib.crackle_section_name(where.section))
        if where.slice != lib.CRACKLE_NO_SLICE:
            slice_number = where.slice
    place = f" (section: {section})" if section else ""
    if slice_number is not None:
        place = f" (section: {section}, slice z = {slice_number})"
    raise FormatError(f"not a sound Crackle stream: {message}{place}", section, slice_number)


def _input(binary: Buffer) -> Any:
    """A ``uint8_t[]`` over the caller's bytes, without a copy."""
    if isinstance(binary, str) or not _is_buffer(binary):
        raise TypeError(
            f"a Crackle stream is bytes, a bytearray, a memoryview or another bytes-like object, "
            f"not {type(binary).__name__}"
        )
    view = memoryview(binary)
    return _c_bytes(view if view.c_contiguous else view.tobytes())


def _c_bytes(buffer: Buffer, writable: bool = False) -> Any:
    # An ndarray stands between cffi and the buffer: a memoryview in a reference cycle (a traceback
    # makes one) is cleared by the garbage collector while cffi still exports it, which crashes.
    return ffi.from_buffer("uint8_t[]", np.frombuffer(buffer, np.uint8), require_writable=writable)


def _is_buffer(candidate: object) -> bool:
    if isinstance(candidate, np.ndarray) and candidate.dtype.hasobject:
        return False
    try:
        memoryview(candidate)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _take(out: Any, nbytes: Any) -> bytes:
    """Copy a buffer that the C library allocated into bytes, and free it."""
    try:
        return bytes(ffi.buffer(out[0], nbytes[0]))
    finally:
        lib.crackle_free(out[0])


def _take_array(pointer: Any, count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An array that the C library allocated; it is freed with the last view of it."""
    owned = ffi.gc(pointer, lib.crackle_free, count * dtype.itemsize)
    return np.frombuffer(ffi.buffer(owned, count * dtype.itemsize), dtype)


def _flags(verify: bool) -> int:
    return 0 if verify else int(lib.CRACKLE_NO_VERIFY)


def label_bits(label: int) -> int:
    """A label as the 64 bits in which it travels to C."""
    return label & 0xFFFF_FFFF_FFFF_FFFF


def threads(parallel: int) -> int:
    """How many threads ``parallel`` stands for: 0 is one per core."""
    if isinstance(parallel, bool) or not isinstance(parallel, int | np.integer):
        raise TypeError(f"parallel is a number of threads, not {type(parallel).__name__}")
    if parallel < 0:
        raise ValueError(f"parallel is a number of threads, or 0 for one per core, not {parallel}")
    return int(parallel) or os.cpu_count() or 1


# ---------------------------------------------------------------------------------------
# Ranges of slices

# Slices differ in cost. Threads that take several short ranges each finish together.
_RANGES_PER_THREAD = 4

# How many voxels C goes through before Python looks for signals: 0.01 to 0.3 s of work. Where ranges share
# slices, or every call begins with work of its own, they are longer, so that this stays a small part.
_VOXELS_AT_ONCE = 2**23
_VOXELS_OF_SHARED = 2**25
_VOXELS_OF_PINS = 2**27
# A call that measures fills a row for every label: it goes through this many voxels for each at least.
_VOXELS_PER_ROW = 64


def slices_at_once(*heads: CrackleHeader, shared: bool = False, rows: int = 0) -> int:
    """How many slices of streams of one shape C takes in one call, at most.

    Args:
        heads: of the streams.
        shared: neighbouring ranges both read the slice between them.
        rows: how many rows of a table a call fills.
    """
    if any(head.label_format for head in heads):  # every call reads the list of pins
        voxels = _VOXELS_OF_PINS
    else:
        voxels = _VOXELS_OF_SHARED if shared else _VOXELS_AT_ONCE
    return _depth(heads[0].sx, heads[0].sy, max(voxels, _VOXELS_PER_ROW * rows))


def _depth(sx: int, sy: int, voxels: int) -> int:
    return max(1, voxels // max(1, sx * sy))


class Stop:
    """Tells threads that work for one call to end, and those of calls within it."""

    def __init__(self) -> None:
        self._asked = False
        self._outer = _thread.stop

    def ask(self) -> None:
        """Let the threads raise KeyboardInterrupt before they begin with another range of slices."""
        self._asked = True

    def is_asked(self) -> bool:
        """Whether the threads are to end."""
        return self._asked or (self._outer is not None and self._outer.is_asked())

    def over(self, work: Callable[A, T], *args: A.args, **kwargs: A.kwargs) -> T:
        """Call ``work`` in a thread that is to end when this says so."""
        outer, _thread.stop = _thread.stop, self
        try:
            go_on()
            return work(*args, **kwargs)
        finally:
            _thread.stop = outer


class _Thread(threading.local):
    stop: Stop | None = None


_thread = _Thread()


def go_on() -> None:
    """Raise KeyboardInterrupt where the call that this thread works for was interrupted."""
    if _thread.stop is not None and _thread.stop.is_asked():
        raise KeyboardInterrupt


def over_slices(
    work: Callable[[int, int], T],
    z_start: int,
    z_end: int,
    parallel: int,
    depth: int,
    per_thread: int = _RANGES_PER_THREAD,
) -> list[T]:
    """Call ``work(z_start, z_end)`` over consecutive ranges of slices in some threads, this one included.

    Args:
        work: is given a range of slices. Where it raises, later ranges may never begin, and of several that
            raise the first in the order of z is heard.
        z_start: the first slice.
        z_end: the slice after the last.
        parallel: threads; 0 is one per core.
        depth: how many slices a range has at most.
        per_thread: how many ranges each of several threads takes, where they are not shorter anyway.

    Raises:
        KeyboardInterrupt: SIGINT came, to this thread or to the one that it works for. Ranges that had begun
            are done, and no others begin.
    """
    num_slices = max(1, z_end - z_start)
    count = min(threads(parallel), num_slices)
    ranges = -(-num_slices // depth)
    if count > 1:
        ranges = max(ranges, min(count * per_thread, num_slices))
    edges = [z_start + (z_end - z_start) * i // ranges for i in range(ranges + 1)]
    if count > 1:
        return _Crew(work, edges).results(count)
    done = []
    for start, end in itertools.pairwise(edges):
        go_on()
        done.append(work(start, end))
    return done


def aside(work: Callable[[Any], T], voxels: int) -> T:
    """Call ``work(stop)``, one call of C that goes through so many voxels.

    Where that may take long, it is done in another thread, while this one waits for Ctrl-C too.

    Args:
        work: hands C ``stop``, the number by which it is told to stop, or NULL. It takes what C allocated:
            nobody else does when Ctrl-C comes as C ends.
        voxels: how many there are.

    Raises:
        KeyboardInterrupt: SIGINT came, to this thread or to the one that it works for.
    """
    if voxels <= _VOXELS_AT_ONCE:
        return work(ffi.NULL)
    stop = ffi.new("int32_t *")
    return _Crew(lambda start, end: work(stop), [0, 1], stop).results(1)[0]


# For how many seconds a thread waits for others before it asks whether it should.
_PATIENCE = 0.1


class _Crew(Generic[T]):
    """Some threads that take ranges of slices in their order.

    The one that calls works too, unless there is a number ``stop``, which it makes other than 0 when it is
    interrupted.

    Not a ThreadPoolExecutor: that has no threads left for functions that run at exit, and a second Ctrl-C
    makes it leave while C still works on the caller's memory.
    """

    def __init__(self, work: Callable[[int, int], T], edges: Sequence[int], stop: Any = None) -> None:
        self._work = work
        self._stop = stop
        self._outer = _thread.stop
        # What several threads change are deques, of which they take and to which they add one at a time.
        self._todo = collections.deque(enumerate(itertools.pairwise(edges)))
        self._working: collections.deque[None] = collections.deque()
        self._failures: collections.deque[tuple[bool, int, BaseException]] = collections.deque()
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._results: dict[int, T] = {}

    def results(self, count: int) -> list[T]:
        """Do all the work in ``count`` threads; what it returned, in the order of the ranges."""
        others = count if self._stop is not None else count - 1
        helpers = [threading.Thread(target=self._help, name="crackle") for _ in range(others)]
        started = []
        is_done = False
        try:
            for helper in helpers:
                with contextlib.suppress(RuntimeError):  # no more threads are to be had: there is this one
                    helper.start()
                    started.append(helper)
            if self._stop is None or not started:
                self._serve()
            while self._todo or self._working:
                self._let_end()
                go_on()
            is_done = True
        finally:
            if not is_done:
                self._todo.clear()
                if self._stop is not None:
                    self._stop[0] = 1
            # C works on memory that is the caller's: it has to be done with it.
            while self._working:
                with contextlib.suppress(BaseException):
                    self._let_end()
            if not is_done:
                self._failures.clear()  # exceptions hold frames, which hold this
        for helper in started:
            helper.join()
        if self._failures:
            *_, failure = min(self._failures, key=lambda one: one[:2])
            self._failures.clear()
            try:
                raise failure
            finally:
                del failure
        return [self._results[number] for number in sorted(self._results)]

    def _help(self) -> None:
        # Seen to be working before it takes anything, it is either waited for or finds nothing to take.
        self._working.append(None)
        try:
            _thread.stop = self._outer
            self._serve()
        finally:
            self._working.pop()
            self._ended.put(None)

    def _serve(self) -> None:
        while True:
            try:
                number, (start, end) = self._todo.popleft()
            except IndexError:
                return
            try:
                go_on()
                self._results[number] = self._work(start, end)
            except BaseException as error:
                # Ranges before this one have begun, so the first that fails is known when all have ended.
                self._todo.clear()
                self._failures.append((isinstance(error, Exception), number, error))
                return

    def _let_end(self) -> None:
        # Not an Event: Ctrl-C can leave one locked for ever, and so the helper that sets it. And with an
        # end: on Windows, Ctrl-C ends no wait.
        with contextlib.suppress(queue.Empty):
            self._ended.get(timeout=_PATIENCE)


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
    fields, where = ffi.new("struct crackle_header *"), ffi.new("struct crackle_where *")
    with _input(binary) as data:
        _check(lib.crackle_read_header(data, len(data), fields, where), where)
    return _header(fields)


@dataclass(frozen=True)
class Layout:
    """Where the sections of a stream begin, in bytes from its start; ``end`` is its length."""

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
    """Find the sections; ``prefix`` holds the header and the crack index."""
    fields, where = ffi.new("struct crackle_layout *"), ffi.new("struct crackle_where *")
    with _input(prefix) as data:
        _check(lib.crackle_read_layout(data, len(data), fields, where), where)
    return Layout(
        crack_index=fields.crack_index,
        labels=fields.labels,
        markov_model=fields.markov_model,
        crack_codes=fields.crack_codes,
        checksums=fields.checksums,
        end=fields.end,
    )


def codes_range(prefix: Buffer, z_start: int, z_end: int) -> tuple[int, int]:
    """Where the crack codes of the slices [z_start, z_end) begin and end in the stream."""
    begin, end = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    where = ffi.new("struct crackle_where *")
    with _input(prefix) as data:
        status = lib.crackle_codes_range(data, len(data), z_start, z_end, begin, end, where)
        _check(status, where)
    return begin[0], end[0]


def table_nbytes(prefix: Buffer) -> int:
    """Where the label table ends, from the stream's first byte. Needs 16 bytes more than the layout does."""
    nbytes, where = ffi.new("uint64_t *"), ffi.new("struct crackle_where *")
    with _input(prefix) as data:
        _check(lib.crackle_table_nbytes(data, len(data), nbytes, where), where)
    return int(nbytes[0])


# ---------------------------------------------------------------------------------------
# Reading

# How many voxels, their bounding box (half-open) and the sums of their coordinates, along x, y and z.
EXTENT = np.dtype([("voxels", "u8"), ("start", "u4", 3), ("stop", "u4", 3), ("sum", "u8", 3)])

# Two labels, as 64 bits each, and over how many faces along x, y and z they touch; or in how many voxels they
# meet.
CONTACT = np.dtype([("a", "u8"), ("b", "u8"), ("faces", "u8", 3)])
OVERLAP = np.dtype([("a", "u8"), ("b", "u8"), ("voxels", "u8")])


# What is allocated because a header says so, before anything else of the stream was looked at.
_CREDIBLE_NBYTES = 32 * 2**20


class Reader:
    """A stream, whole or in the parts that a question needs, ready to be asked.

    ``Reader(binary)`` checks that the sections add up to the length of ``binary``.
    :meth:`from_parts` takes the ranges of a stream that were fetched.
    """

    def __init__(self, binary: Buffer) -> None:
        data = _input(binary)
        parts, where = ffi.new("struct crackle_parts *"), ffi.new("struct crackle_where *")
        _check(lib.crackle_split(data, len(data), parts, where), where)
        self._parts = parts
        self._keep: tuple[Any, ...] = (data,)  # the C pointers in _parts live in these
        self.header = read_header(binary)

    @classmethod
    def from_parts(
        cls,
        head: Buffer,
        codes: Buffer = b"",
        codes_z: int = 0,
        tail: Buffer = b"",
        header: CrackleHeader | None = None,
    ) -> Reader:
        """A reader over parts of a stream.

        Args:
            head: from the first byte to ``Layout.crack_codes``.
            codes: the crack codes of consecutive slices, as :func:`codes_range` found them.
            codes_z: the first of those slices.
            tail: from ``Layout.checksums`` to the end.
            header: that of ``head``, where it has been read already.
        """
        self = cls.__new__(cls)
        views = tuple(_input(part) for part in (head, codes, tail))
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
    ) -> None:
        """Decode the slices [z_start, z_end) into ``out``.

        Args:
            out: writable, shape (sx, sy, z_end - z_start), contiguous in C or F order; of the
                stream's item size, of 1 byte when ``label`` is given, of any when ``values`` are.
            z_start: the first slice.
            z_end: the slice after the last.
            label: write 1 where the voxel has this label and 0 elsewhere.
            values: write these instead of labels, one per entry of :meth:`table`. Slices that are all 0
                according to the labels section are not decoded.
            verify: verify the checksums of the labels and of the slices.
            parallel: threads; 0 is one per core.
        """
        flags = _flags(verify)
        given = None if values is None else ffi.from_buffer("uint64_t[]", values)
        volume = _volume(out, writable=True)

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
            _check(status, where)

        # Every call reads the list of pins, which is no small part of the work.
        per_thread = 1 if self.header.label_format else _RANGES_PER_THREAD
        over_slices(work, z_start, z_end, parallel, slices_at_once(self.header), per_thread)

    def check_slice(self, z: int) -> int:
        """Verify slice ``z`` without looking at the labels; how many components it has."""
        where, components = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
        _check(lib.crackle_check_slice(self._parts, z, components, where), where)
        return int(components[0])

    def check_claims(self, nbytes: int, z: int, verify: bool = True) -> None:
        """Look at more of the stream before ``nbytes`` are allocated because its header says so.

        A damaged header may claim any volume. Small ones are believed; of a large one, the labels section and
        slice ``z`` have to be those of such a volume, which costs what decoding that slice costs.

        Raises:
            FormatError: they are not.
        """
        if nbytes > _CREDIBLE_NBYTES:
            self.slices_with(np.zeros(self._table_size(), dtype=np.bool_), verify)
            if verify:
                with contextlib.suppress(MemoryError):  # the allocation itself can say how much it was
                    self.check_slice(z)

    def table(self, verify: bool = True) -> npt.NDArray[np.integer]:
        """The label table in stored order, the background of pins first, in the volume's dtype."""
        where = ffi.new("struct crackle_where *")
        labels = np.empty(self._table_size(), dtype=np.uint64)
        flags = _flags(verify)
        with ffi.from_buffer("uint64_t[]", labels, require_writable=True) as target:
            _check(lib.crackle_read_table(self._parts, flags, target, len(labels), where), where)
        return labels.astype(self.header.dtype)

    def contains(self, label: int, verify: bool = True) -> bool:
        """Whether the label table lists ``label``, which must be within the volume's dtype."""
        where, found = ffi.new("struct crackle_where *"), ffi.new("int *")
        flags = _flags(verify)
        _check(lib.crackle_contains(self._parts, flags, label_bits(label), found, where), where)
        return bool(found[0])

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
            only_counts: let all but the numbers of voxels be 0.

        Raises:
            ValueError: the window is outside the volume, or so large that a sum might pass 64 bits.
        """
        where = ffi.new("struct crackle_where *")
        extents = np.zeros(self._table_size(), dtype=EXTENT)
        columns, rows = x or (0, self.header.sx), y or (0, self.header.sy)
        flags = _flags(verify) | (lib.CRACKLE_ONLY_COUNTS if only_counts else 0)
        with ffi.from_buffer("struct crackle_extent[]", extents, require_writable=True) as target:
            status = lib.crackle_measure(
                self._parts, z_start, z_end, flags, *columns, *rows, target, len(extents), where
            )
            _check(status, where)
        return extents

    def _table_size(self) -> int:
        where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
        _check(lib.crackle_table_size(self._parts, count, where), where)
        return int(count[0])

    def slices_with(self, wanted: npt.NDArray[np.bool_], verify: bool = True) -> npt.NDArray[np.bool_]:
        """Per slice, whether it has an entry of :meth:`table` that is wanted, or may have, as to pins."""
        where = ffi.new("struct crackle_where *")
        slices = np.zeros(self.header.sz, dtype=np.uint8)
        flags = _flags(verify)
        with (
            ffi.from_buffer("uint8_t[]", np.ascontiguousarray(wanted).view(np.uint8)) as asked,
            ffi.from_buffer("uint8_t[]", slices, require_writable=True) as target,
        ):
            status = lib.crackle_slices_with(self._parts, flags, asked, len(asked), target, where)
            _check(status, where)
        return slices.view(np.bool_)

    def entries_in(self, z_start: int, z_end: int, verify: bool = True) -> npt.NDArray[np.bool_]:
        """Which entries of :meth:`table` the slices [z_start, z_end) have; FormatError for pins."""
        where = ffi.new("struct crackle_where *")
        present = np.zeros(self._table_size(), dtype=np.uint8)
        flags = _flags(verify)
        with ffi.from_buffer("uint8_t[]", present, require_writable=True) as target:
            status = lib.crackle_entries_in(self._parts, flags, z_start, z_end, target, len(present), where)
            _check(status, where)
        return present.view(np.bool_)

    def surface(
        self, wanted: npt.NDArray[np.bool_], z_start: int, z_end: int, verify: bool = True
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """The surface voxels of entries of :meth:`table` in some slices.

        Args:
            wanted: per entry, whether its label is asked for.
            z_start: the first slice.
            z_end: the slice after the last.
            verify: verify the checksums of the labels and of the slices.

        Returns:
            The points (x, y, z), a row each, of the first entry that is wanted, sorted, then of the next; and
            how many each entry has. Of entries that repeat a label, the first has all.
        """
        where, points = ffi.new("struct crackle_where *"), ffi.new("void **")
        dtype = np.dtype(np.uint16 if max(self.header.shape) <= 2**16 else np.uint32)
        counts = np.zeros(self._table_size(), dtype=np.uint64)
        flags = _flags(verify)
        asked = ffi.from_buffer("uint8_t[]", np.ascontiguousarray(wanted).view(np.uint8))
        target = ffi.from_buffer("uint64_t[]", counts, require_writable=True)

        def work(stop: Any) -> npt.NDArray[Any]:
            status = lib.crackle_surface(
                self._parts,
                z_start,
                z_end,
                flags,
                asked,
                len(asked),
                dtype.itemsize,
                stop,
                points,
                target,
                where,
            )
            _check(status, where)
            return _take_array(points[0], 3 * int(counts.sum()), dtype)

        found = aside(work, self.header.sx * self.header.sy * (z_end - z_start))
        return found.reshape(-1, 3), counts

    def connectivity(
        self, out: npt.NDArray[np.uint8], connectivity: int, parallel: int = 1, verify: bool = True
    ) -> None:
        """Which ways lead out of every voxel, into ``out`` of the volume's shape, contiguous in C or F
        order.
        """
        flags = _flags(verify)
        volume = _volume(out, writable=True)

        def work(start: int, end: int) -> None:
            where = ffi.new("struct crackle_where *")
            status = lib.crackle_connectivity(self._parts, start, end, flags, connectivity, volume, 0, where)
            _check(status, where)

        # Ranges share their outermost slices, so there are as few of them as may be.
        over_slices(work, 0, self.header.sz, parallel, slices_at_once(self.header, shared=True), 1)

    def contacts(
        self, parallel: int = 1, skip_background: bool = False, verify: bool = True
    ) -> npt.NDArray[Any]:
        """Which labels touch; see :data:`CONTACT`. Pairs are in no order and may come several times."""
        flags = _flags(verify) | (lib.CRACKLE_NO_BACKGROUND if skip_background else 0)

        def work(start: int, end: int) -> npt.NDArray[Any]:
            where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
            out = ffi.new("struct crackle_contact **")
            _check(lib.crackle_contacts(self._parts, start, end, flags, out, count, where), where)
            return _take_array(out[0], int(count[0]), CONTACT)

        depth = slices_at_once(self.header, shared=True)
        return np.concatenate(over_slices(work, 0, self.header.sz, parallel, depth, 1))

    def overlaps(self, other: Reader, parallel: int = 1, verify: bool = True) -> npt.NDArray[Any]:
        """Which labels of two streams of one shape meet; see :data:`OVERLAP`. Pairs may come several
        times.
        """
        flags = _flags(verify)

        def work(start: int, end: int) -> npt.NDArray[Any]:
            where, count = ffi.new("struct crackle_where *"), ffi.new("uint64_t *")
            out = ffi.new("struct crackle_overlap **")
            status = lib.crackle_overlaps(self._parts, other._parts, start, end, flags, out, count, where)
            _check(status, where)
            return _take_array(out[0], int(count[0]), OVERLAP)

        # As few ranges as may be: a pair that goes through many slices is told by each of them.
        depth = slices_at_once(self.header, other.header, shared=True)
        return np.concatenate(over_slices(work, 0, self.header.sz, parallel, depth, 1))

    def equal(self, other: Reader, parallel: int = 1, verify: bool = True) -> bool:
        """Whether another stream of the same shape holds the same labels."""
        flags = _flags(verify)

        def work(start: int, end: int) -> bool:
            where, equal = ffi.new("struct crackle_where *"), ffi.new("int *")
            _check(lib.crackle_equal(self._parts, other._parts, start, end, flags, equal, where), where)
            return bool(equal[0])

        depth = slices_at_once(self.header, other.header)
        return all(over_slices(work, 0, self.header.sz, parallel, depth))

    def component_counts(self) -> npt.NDArray[np.uint64]:
        """Connected components per slice, as the labels section states them."""
        where = ffi.new("struct crackle_where *")
        counts = np.empty(self.header.sz, dtype=np.uint64)
        with ffi.from_buffer("uint64_t[]", counts, require_writable=True) as target:
            _check(lib.crackle_component_counts(self._parts, target, where), where)
        return counts


def _volume(array: npt.NDArray[Any], writable: bool = False) -> Any:
    """A ``struct crackle_volume`` over a contiguous 3-D array, which lives as long as the struct does."""
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
            # An array of one column is contiguous both ways; either description is then right.
            "fortran_order": fortran,
        },
    )
    # Not released at the end of a call: whatever way Ctrl-C takes out of it, C may still be at work in a
    # thread, and that thread holds the struct.
    return ffi.gc(made, lambda _, data=data: None)


# ---------------------------------------------------------------------------------------
# Writing


def _markov_order(order: MarkovOrder) -> int:
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
        fortran_order: the memory order that the stream is to render.
        pins: 0 flat labels, 1 pins, 2 pins chosen with more effort.
        markov_order: 0 to 12, or "auto" for the one that makes the stream smallest.
        background: label to treat as the pins' background; None leaves the choice to C.
        format_version: 0 or 1.
        parallel: threads; 0 is one per core.
    """
    options = ffi.new(
        "struct crackle_options *",
        {
            "format_version": format_version,
            "markov_order": _markov_order(markov_order),
            "pins": pins,
            "has_background": background is not None,
            "background": label_bits(background or 0),
        },
    )
    source = _volume(volume)
    if volume.flags.c_contiguous and volume.flags.f_contiguous:
        source.fortran_order = fortran_order  # contiguous both ways: the caller's word decides

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_encode_part(source, z_start, z_end, crack_format, part)
        return status

    guess = lib.crackle_guess_crack_format(source)
    parts = _best_parts(make, source.sz, guess, parallel, _depth(source.sx, source.sy, _VOXELS_AT_ONCE))
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")

    def work(stop: Any) -> bytes:
        _check(lib.crackle_assemble(source, options, parts, len(parts), stop, out, nbytes))
        return _take(out, nbytes)

    return aside(work, volume.size)


# Makes the part of the slices [z_start, z_end) with a crack format: (z_start, z_end, format, part, where) ->
# status.
MakePart = Callable[[int, int, int, Any, Any], int]


def _best_parts(
    make: MakePart,
    num_slices: int,
    crack_format: int,
    parallel: int,
    depth: int,
    per_thread: int = _RANGES_PER_THREAD,
) -> Sequence[Any]:
    """The parts of a volume in the crack format with fewer cracks, of which ``crack_format`` is a guess."""

    def work(z_start: int, z_end: int) -> Any:
        part, where = ffi.new("crackle_part **"), ffi.new("struct crackle_where *")
        status = make(z_start, z_end, crack_format, part, where)
        owned = None if part[0] == ffi.NULL else ffi.gc(part[0], lib.crackle_part_free)
        _check(status, where)
        return owned

    parts = over_slices(work, 0, num_slices, parallel, depth, per_thread)
    fewer = lib.crackle_fewer_cracks(parts, len(parts))
    if fewer != crack_format:
        crack_format = fewer
        parts = over_slices(work, 0, num_slices, parallel, depth, per_thread)
    return parts


def relabel(
    binary: Buffer, table: npt.NDArray[np.integer], dtype: np.dtype[np.integer], fortran_order: bool
) -> bytes:
    """Replace the label table entry by entry; the stream becomes one of ``dtype``.

    ``table`` has the length and the order of :meth:`Reader.table`.
    """
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    where = ffi.new("struct crackle_where *")
    bits = _table_bits(table)
    with _input(binary) as data, ffi.from_buffer("uint64_t[]", bits) as labels:
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
        _check(status, where)
    return _take(out, nbytes)


def relabel_in_place(stream: Buffer, table: npt.NDArray[np.integer]) -> None:
    """Replace the label table within a writable buffer; labels must fit the stored width."""
    where = ffi.new("struct crackle_where *")
    bits = _table_bits(table)
    with (
        _c_bytes(stream, writable=True) as data,
        ffi.from_buffer("uint64_t[]", bits) as labels,
    ):
        _check(lib.crackle_relabel_in_place(data, len(data), labels, len(bits), where), where)


def _table_bits(table: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    wide = table.astype(np.int64 if table.dtype.kind == "i" else np.uint64)
    return np.ascontiguousarray(wide).view(np.uint64)


# ---------------------------------------------------------------------------------------
# Streams from streams


def _shape(shape: tuple[int, int, int], dtype: np.dtype[Any], fortran_order: bool) -> Any:
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
    """The stream of a volume whose voxels all have one label, which ``dtype`` holds."""
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    volume = _shape(shape, dtype, fortran_order)
    _check(lib.crackle_encode_constant(volume, label_bits(label), format_version, out, nbytes))
    return _take(out, nbytes)


def recompress(binary: Buffer, markov_order: MarkovOrder, parallel: int = 1) -> bytes:
    """The same volume without cracks between equal labels, with a model of another order, or of the best."""
    reader = Reader(binary)
    head = reader.header

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_recompress_part(reader._parts, z_start, z_end, 0, crack_format, part, where)
        return status

    # Every range of a pins stream parses all of its pins.
    per_thread = 1 if head.label_format else _RANGES_PER_THREAD
    depth = max(1, slices_at_once(head) // 2)  # reading and tracing takes longer than either
    parts = _best_parts(make, head.sz, head.crack_format, parallel, depth, per_thread)
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    where, order = ffi.new("struct crackle_where *"), _markov_order(markov_order)
    data = _input(binary)

    def work(stop: Any) -> bytes:
        status = lib.crackle_reassemble(data, len(data), order, parts, len(parts), stop, out, nbytes, where)
        _check(status, where)
        return _take(out, nbytes)

    return aside(work, head.voxels())


def overlay(a: Reader, b: Reader, parallel: int = 1) -> bytes:
    """A stream of uint64: per voxel, the place of a's label in its table, times 2^32, plus that of b's."""

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_overlay_part(
            a._parts, b._parts, z_start, z_end, 0, crack_format, part, where
        )
        return status

    shape = _shape(a.header.shape, np.dtype(np.uint64), a.header.fortran_order)
    return _assembled(shape, make, a.header.crack_format, parallel, slices_at_once(a.header, b.header))


def pool(reader: Reader, depth: int, sparse: bool, parallel: int = 1) -> bytes:
    """Every block of 2 x 2 x depth voxels as one, of its most frequent label."""
    head = reader.header

    def make(z_start: int, z_end: int, crack_format: int, part: Any, where: Any) -> int:
        status: int = lib.crackle_pool_part(
            reader._parts, z_start, z_end, 0, depth, sparse, crack_format, part, where
        )
        return status

    halves = ((head.sx + 1) // 2, (head.sy + 1) // 2, -(-head.sz // depth))
    shape = _shape(halves, head.dtype, head.fortran_order)
    return _assembled(shape, make, head.crack_format, parallel, max(1, slices_at_once(head) // depth))


def _assembled(shape: Any, make: MakePart, crack_format: int, parallel: int, depth: int) -> bytes:
    parts = _best_parts(make, shape.sz, crack_format, parallel, depth)
    options = ffi.new("struct crackle_options *", {"format_version": 1})
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    _check(lib.crackle_assemble(shape, options, parts, len(parts), ffi.NULL, out, nbytes))
    return _take(out, nbytes)


def connected_components(
    binary: Buffer,
    connectivity: int,
    binary_image: bool,
    told: Callable[[int, int], None] | None = None,
    verify: bool = True,
) -> tuple[bytes, npt.NDArray[np.uint64]]:
    """The stream of a volume's components, and the label of each from 1 on, as 64 bits.

    Args:
        binary: the stream.
        connectivity: 6 or 26.
        binary_image: take all labels but 0 for one.
        told: is called with (slices done, slices in all).
        verify: verify the checksums of the labels and of the slices.
    """
    where, made = ffi.new("struct crackle_where *"), ffi.new("crackle_joiner **")
    head = read_header(binary)
    sz, depth = head.sz, min(_SLICES_AT_ONCE, _depth(head.sx, head.sy, _VOXELS_AT_ONCE))
    with _input(binary) as data:
        flags = _flags(verify)
        status = lib.crackle_joiner_begin(data, len(data), flags, connectivity, binary_image, made, where)
        _check(status, where)
        joiner = ffi.gc(made[0], lib.crackle_joiner_free)
        # Of slices without voxels there may be any number, and there is nothing to join.
        for z in range(0, sz if head.voxels() else 0, depth):
            go_on()
            number = min(depth, sz - z)
            _check(lib.crackle_joiner_next(joiner, number, where), where)
            if told is not None:
                told(z + number, sz)
        out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
        labels, count = ffi.new("uint64_t **"), ffi.new("uint64_t *")
        _check(lib.crackle_joiner_finish(joiner, data, out, nbytes, labels, count))
    names = _take_array(labels[0], int(count[0]), np.dtype(np.uint64))
    return _take(out, nbytes), names


# At most: between them Python looks up, for progress and for interrupts.
_SLICES_AT_ONCE = 16


def stack(
    pieces: Sequence[tuple[Buffer, int, int]],
    dtype: np.dtype[np.integer],
    fortran_order: bool,
    model: int | None = None,
) -> bytes:
    """Slices [z_start, z_end) of streams of one sx and sy, one upon the other.

    ``model`` is the piece whose crack format and Markov model the stack has; None: that with the most bytes.
    """
    views = [_input(binary) for binary, _, _ in pieces]
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
        _check(status, where)
    except FormatError as error:
        if len(pieces) == 1:
            raise
        raise FormatError(f"image {at[0]}: {error}", error.section, error.slice) from None
    return _take(out, nbytes)
