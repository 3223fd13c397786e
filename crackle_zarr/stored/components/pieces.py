"""The first pass: the components of each chunk by itself, kept until all of them have their names.

A piece has two objects among the pending work: the stream of its component numbers, from 1 on; and its
table, with the rows of the components, the faces of the chunk as streams, and a checksum of what was read, by
which a call that goes on sees whether the source has changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from zarr.abc.store import Store

from ... import _binding
from ...codecs.chunk import as_volume
from ...errors import FormatError, StoreError
from .. import lazy
from ..chunk import Chunk, check_chunk_header, chunks_of, renamed
from ..claims import Held
from ..editing.entries import packed, unpacked
from ..encoding import encode, undo
from ..engine import Options
from ..fetch import drive
from ..index.stamps import number_of
from ..layout import Box, Coords, Layout, common
from ..writing import read_objects, write_objects

Array = npt.NDArray[Any]

# How many chunks of the source are held and requested together.
_AT_ONCE = 8


@dataclass(frozen=True)
class Joining:
    """What is joined, in which chunks, and where pending work is kept. It pickles.

    Attributes:
        source: the array whose components are found.
        target: the array in whose chunks they are found, and which may become the result.
        axes: the axes along which voxels touch, ascending.
        connectivity: 6: voxels touch if they share a face; 26: also if they share an edge or a corner.
        background: the label whose voxels belong to no component; None: there is none.
        store: of the pending work.
        prefix: of its keys.
        verify: verify checksums, and read back what is written.
        meets: also find which components of different labels share a face.
        held: asked before each write whether the place is still this call's; None: nobody else knows it.
    """

    source: Layout
    target: Layout
    axes: tuple[int, ...]
    connectivity: Literal[6, 26]
    background: int | None
    store: Store
    prefix: str
    verify: bool
    meets: bool = False
    held: Held | None = None

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of a piece: those along which nothing touches, then the others."""
        ndim = len(self.target.shape)
        return (*(axis for axis in range(ndim) if axis not in self.axes), *self.axes)

    def box(self, coords: Coords) -> Box:
        """The voxels of a piece."""
        return common(self.target.chunk_box(coords), self.target.everything)

    def shape(self, coords: Coords) -> tuple[int, ...]:
        """The lengths of a piece along its own axes."""
        box = self.box(coords)
        return tuple(box[axis][1] - box[axis][0] for axis in self.order)

    def key(self, kind: Literal["stream", "table"], coords: Coords) -> str:
        """The key of one of the two objects of a piece."""
        return f"{self.prefix}/{kind}/{number_of(self.target, coords)}"

    def check(self) -> None:
        """Raise TakenOverError if the work is another call's by now."""
        if self.held is not None:
            self.held.check()


def row_dtype(ndim: int) -> np.dtype[Any]:
    """The rows of components: label, first voxel in C order of the array, voxels, box and sums of indices."""
    per_axis = [(name, "u8", (ndim,)) for name in ("start", "stop", "sum")]
    return np.dtype([("label", "u8"), ("first", "u8"), ("voxels", "u8"), *per_axis])


@dataclass(frozen=True)
class Piece:
    """A piece without its stream.

    Attributes:
        rows: of its components.
        streams: its faces as streams, by axis and side; see :meth:`face`.
        meets: the pairs of its components that share a face, ``(n, 2)``, if they were asked for.
        order: the axes of the piece.
        shape: its lengths along these axes.
    """

    rows: Array
    streams: dict[tuple[int, int], bytes]
    meets: Array
    order: tuple[int, ...]
    shape: tuple[int, ...]
    _faces: dict[tuple[int, int], Array] = field(default_factory=dict, repr=False, compare=False)

    def face(self, axis: int, side: int) -> Array:
        """The component numbers at the lower (0) or upper (1) end of an axis that others follow."""
        if (axis, side) not in self._faces:
            lengths = [length for one, length in zip(self.order, self.shape, strict=True) if one != axis]
            reader = _binding.Reader(self.streams[axis, side])
            face = np.empty(lengths, dtype=reader.header.dtype)
            volume = as_volume(face)
            reader.decode(volume, 0, volume.shape[2], parallel=1)
            self._faces[axis, side] = face
        return self._faces[axis, side]


# ---------------------------------------------------------------------------------------
# Making


@dataclass(frozen=True)
class MakePieces:
    """Find the components of some chunks, and keep them."""

    joining: Joining
    coords: tuple[Coords, ...]
    resumed: bool  # pieces may be there already

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> Found:
        """Do it."""
        found: dict[Coords, int] = {}
        self.joining.check()
        for start in range(0, len(self.coords), _AT_ONCE):
            some = self.coords[start : start + _AT_ONCE]
            for coords, (stamp, binary) in zip(some, self._streams(some), strict=True):
                kept = self._kept(coords, stamp) if self.resumed else None
                found[coords] = self._made(coords, stamp, binary) if kept is None else kept
        return Found(found)

    def is_current(self, coords: Coords) -> bool:
        """Whether the source is what the piece of a chunk was made from; StoreError if there is no piece."""
        ((stamp, _),) = self._streams((coords,))
        key = self.joining.key("table", coords)
        (raw,) = read_objects(self.joining.store, [key])
        return bool(_unpacked(key, raw)[0]["stamp"] == stamp)

    def _kept(self, coords: Coords, stamp: int) -> int | None:
        """The number of components in a piece of an earlier call that is still right."""
        joining = self.joining
        keys = [joining.key("table", coords), joining.key("stream", coords)]
        raw, stream = read_objects(joining.store, keys)
        if raw is None:
            return None
        try:
            meta, _ = unpacked(raw, keys[0])
        except FormatError:  # half written
            return None
        if meta["stamp"] != stamp or (zlib.crc32(stream) if stream else 0) != meta["stream"]:
            return None
        return int(meta["rows"])

    # -----------------------------------------------------------------------------------

    def _streams(self, some: Sequence[Coords]) -> Iterator[tuple[int, bytes | None]]:
        """A checksum of what was read of each piece, and its stream; None: all is background."""
        source, target = self.joining.source, self.joining.target
        if source.chain is None or source.chain.axes != self.joining.order or source.cuts != target.cuts:
            for coords in some:
                yield self._encoded(coords)
            return
        groups = [list(some)] if source.shards is None else source.by_object(some).values()
        made = {
            chunk.coords: chunk for group in groups for chunk in chunks_of(source, group, source.everything)
        }
        chunks = [made[one] for one in some]
        raws = drive(source.store, [chunk.raw() for chunk in chunks])
        for chunk, raw in zip(chunks, raws, strict=True):
            if raw is None:
                yield 0, self._constant(chunk.coords)
            elif not chunk.is_whole:  # what lies beyond the array's edge may join what lies within
                yield self._encoded(chunk.coords)
            else:
                try:
                    yield zlib.crc32(raw.tobytes()), self._stream(chunk.coords, undo(source, raw))
                except FormatError as error:
                    raise chunk.failed(error) from error

    def _stream(self, coords: Coords, binary: Any) -> bytes:
        """The stream of a chunk with the array's labels."""
        source = self.joining.source
        assert source.chain is not None
        header = _binding.read_header(binary)
        check_chunk_header(source, coords, header)
        if not source.chain.byteswapped and source.mapping is None:
            return bytes(binary)
        table = renamed(source, _binding.Reader(binary).table(self.joining.verify))
        return _binding.relabel(binary, table, source.native, header.fortran_order)

    def _encoded(self, coords: Coords) -> tuple[int, bytes | None]:
        joining = self.joining
        options = Options(parallel=1, verify=joining.verify)
        voxels = lazy.read(joining.source, joining.box(coords), options)
        voxels = voxels.astype(joining.source.native, copy=False)
        voxels = np.ascontiguousarray(voxels.transpose(joining.order))
        if joining.background is not None and (voxels == joining.background).all():
            return zlib.crc32(voxels.tobytes()), None
        return zlib.crc32(voxels.tobytes()), encode(voxels)

    def _constant(self, coords: Coords) -> bytes | None:
        joining = self.joining
        fill = np.full(1, joining.source.fill, dtype=joining.source.native)
        if joining.source.mapping is not None:
            fill = joining.source.mapping.renamed(fill)
        if int(fill[0]) == joining.background:
            return None
        return encode(np.full(joining.shape(coords), fill[0], dtype=joining.source.native))

    # -----------------------------------------------------------------------------------

    def _made(self, coords: Coords, stamp: int, binary: bytes | None) -> int:
        joining, key = self.joining, self.joining.key("table", coords)
        if binary is None:
            meta = {"stamp": stamp, "stream": 0, "rows": 0, "faces": []}
            write_objects(joining.store, {key: packed(meta)})
            return 0
        shape = joining.shape(coords)
        depth = 1 if len(joining.axes) < 3 else shape[-3]
        try:
            stream, labels, firsts = _binding.connected_components(
                binary,
                joining.connectivity,
                False,
                verify=joining.verify,
                background=joining.background,
                depth=depth,
            )
        except FormatError as error:  # a chunk of the source, whose stream this is
            raise Chunk(joining.source, coords, joining.box(coords)).failed(error) from error
        reader = _binding.Reader(stream)
        rows = self._measured(coords, reader, labels, firsts, depth)
        faces = {place: encode(face) for place, face in self._faces(coords, reader).items()}
        meta = {
            "stamp": stamp,
            "stream": zlib.crc32(stream),
            "rows": len(rows),
            "faces": [[*place, len(face)] for place, face in faces.items()],
        }
        meets = self._meeting(reader, depth) if joining.meets else np.zeros((0, 2), np.uint64)
        write_objects(joining.store, {joining.key("stream", coords): stream})
        write_objects(
            joining.store, {key: packed(meta, b"".join([rows.tobytes(), *faces.values(), meets.tobytes()]))}
        )
        return len(rows)

    def _measured(
        self, coords: Coords, reader: _binding.Reader, labels: Array, firsts: Array, depth: int
    ) -> Array:
        """The rows of the components of a piece, along the array's axes."""
        joining, shape = self.joining, self.joining.shape(coords)
        rows = np.zeros(len(labels), dtype=row_dtype(len(shape)))
        if not len(labels):
            return rows
        rows["label"] = labels
        extents = reader.measure(0, reader.header.sz, verify=False)
        extents = extents[reader.table(False) > 0]
        rows["voxels"] = extents["voxels"]
        box, order = joining.box(coords), joining.order
        places = np.unravel_index(firsts.astype(np.int64), shape)
        at = [np.zeros(0, np.int64)] * len(shape)
        for place, axis in zip(places, order, strict=True):
            at[axis] = place + box[axis][0]
        rows["first"] = np.ravel_multi_index(at, joining.target.shape)
        # The stream's z counts through all axes but the last two; a component lies in one image.
        image = extents["start"][:, 2].astype(np.int64) // depth
        for axis, place in zip(order, places, strict=True):
            rows["start"][:, axis], rows["stop"][:, axis] = place, place + 1
            rows["sum"][:, axis] = place * extents["voxels"].astype(np.int64)
        for stream_axis, axis in zip((0, 1, 2), joining.axes[::-1], strict=False):
            shift = (image * depth if stream_axis == 2 else 0 * image).astype(np.uint64)
            rows["start"][:, axis] = extents["start"][:, stream_axis] - shift
            rows["stop"][:, axis] = extents["stop"][:, stream_axis] - shift
            rows["sum"][:, axis] = extents["sum"][:, stream_axis] - shift * extents["voxels"]
        origin = np.array([start for start, _ in box], dtype=np.uint64)
        rows["start"] += origin
        rows["stop"] += origin
        rows["sum"] += origin * rows["voxels"][:, None]
        return rows

    def _meeting(self, reader: _binding.Reader, depth: int) -> Array:
        """The pairs of components within a piece that share a face along the joined axes."""
        head, three = reader.header, len(self.joining.axes) > 2
        images = range(0, head.sz, depth) if three else (0,)
        along = (True, len(self.joining.axes) > 1, three)
        found = [
            reader.contacts_within(
                (z, z + depth if three else head.sz), (0, head.sy), (0, head.sx), along, verify=False
            )
            for z in images
        ]
        pairs = np.concatenate(found)
        return np.unique(np.stack([pairs["a"], pairs["b"]], axis=1), axis=0)

    def _faces(self, coords: Coords, reader: _binding.Reader) -> dict[tuple[int, int], Array]:
        joining, shape, box = self.joining, self.joining.shape(coords), self.joining.box(coords)
        sides = [
            (axis, side)
            for axis in joining.axes
            for side, follows in ((0, box[axis][0] > 0), (1, box[axis][1] < joining.target.shape[axis]))
            if follows
        ]
        if not sides:
            return {}
        numbers = np.empty(shape, dtype=reader.header.dtype)
        volume = as_volume(numbers)
        reader.decode(volume, 0, volume.shape[2], verify=False, parallel=1)
        return {
            (axis, side): np.ascontiguousarray(numbers.take(-side, axis=joining.order.index(axis)))
            for axis, side in sides
        }


@dataclass(frozen=True)
class Found:
    """How many components the pieces of some chunks have."""

    counts: dict[Coords, int]

    def __add__(self, other: Found) -> Found:
        """Those of both; takes those of ``other``."""
        self.counts.update(other.counts)
        return self


# ---------------------------------------------------------------------------------------
# Reading


def _rows(meta: Any, payload: bytes, ndim: int) -> Array:
    kind = row_dtype(ndim)
    return np.frombuffer(payload, dtype=kind, count=meta["rows"])


def read_rows(joining: Joining, some: Sequence[Coords]) -> list[Array]:
    """The rows of some pieces, whose tables are requested together; StoreError as for :func:`read_piece`."""
    keys = [joining.key("table", one) for one in some]
    found = []
    for key, raw in zip(keys, read_objects(joining.store, keys), strict=True):
        meta, payload = _unpacked(key, raw)
        found.append(_rows(meta, payload, len(joining.order)))
    return found


def _unpacked(key: str, raw: bytes | None) -> tuple[Any, bytes]:
    if raw is None:
        raise lost(key)
    try:
        return unpacked(raw, key)
    except FormatError:
        raise lost(key) from None


def read_piece(joining: Joining, coords: Coords) -> Piece:
    """The rows and the faces of a piece.

    Raises:
        StoreError: it is not there, or damaged.
    """
    key = joining.key("table", coords)
    (raw,) = read_objects(joining.store, [key])
    meta, payload = _unpacked(key, raw)
    rows = _rows(meta, payload, len(joining.order))
    offset, faces = rows.nbytes, {}
    for axis, side, nbytes in meta["faces"]:
        faces[axis, side] = payload[offset : offset + nbytes]
        offset += nbytes
    meets = np.frombuffer(payload, dtype=np.uint64, offset=offset).reshape(-1, 2)
    return Piece(rows, faces, meets, joining.order, joining.shape(coords))


def read_stream(joining: Joining, coords: Coords) -> bytes | None:
    """The stream of the component numbers of a piece; None: it has no component."""
    keys = [joining.key("table", coords), joining.key("stream", coords)]
    raw, stream = read_objects(joining.store, keys)
    meta, _ = _unpacked(keys[0], raw)
    if not meta["stream"]:
        return None
    if stream is None or zlib.crc32(stream) != meta["stream"]:
        raise lost(keys[1])
    return stream


def lost(key: str) -> StoreError:
    """The error for pending work that is gone."""
    return StoreError(f"{key} was written, and is gone or damaged now: the same call makes it again")
