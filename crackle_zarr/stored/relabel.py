"""The new form of the objects of an array whose labels change.

The label table of a chunk tells whether it holds a key of the mapping, and a new label table gives the chunk
its new labels: no crack code is decoded. Three kinds of chunks go through Zarr instead, which decodes, maps
and encodes them: chunks of arrays without Crackle; chunks that do not exist yet; and, if the fill value is
mapped, chunks that the array's edge cuts, because the padding beyond the edge keeps the old fill value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base import zarr_facts
from .._base.mapping import LabelMapping
from .._base.zarr_facts import NOWHERE
from ..errors import FormatError, StoreError
from .chunk import Chunk, chunks_of
from .editing.entries import Entries, Entry
from .encoding import decoded_object, redo, scratch_array, undo
from .fetch import Bytes, Steps, Wanted, drive
from .layout import Box, Coords, Layout, common, num_voxels, slices_of, within
from .queries import entries_there
from .shards import decode_index, encode_index, index_is_at_start, index_nbytes, shard_index

# ---------------------------------------------------------------------------------------
# Preparing: the new form of every object that changes


@dataclass(frozen=True)
class Prepared:
    """The prepared change of a part of the array."""

    chunks: list[Coords]
    kept: list[tuple[str, str]]  # the keys of objects, and the names of the entries that have them
    bytes_read: int
    bytes_written: int
    missing: int

    @property
    def names(self) -> list[str]:
        """The names of all files with entries."""
        return sorted({name for _, name in self.kept})

    def __add__(self, other: Prepared) -> Prepared:
        """The sum of two parts."""
        return Prepared(
            self.chunks + other.chunks,
            self.kept + other.kept,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            self.missing + other.missing,
        )


@dataclass(frozen=True)
class LevelOf:
    """A level of a pyramid, which is edited with all others.

    Attributes:
        number: of this level.
        prefix: the path of the level within the pyramid.
    """

    number: int
    prefix: str

    def entry(self, entry: Entry) -> Entry:
        """An entry of the level's array as one of the pyramid."""
        chunks = tuple((self.number, *coords) for coords in entry.chunks)
        return Entry(f"{self.prefix}/{entry.key}", entry.old, entry.new, chunks)


@dataclass(frozen=True)
class Prepare:
    """Make the new form of the objects of some chunks, and keep it in entries.

    The chunks are of one shard, if there are shards. Without ``entries``, nothing is kept.
    """

    layout: Layout
    mapping: LabelMapping
    coords: tuple[Coords, ...]
    create_chunks: bool
    entries: Entries | None
    level: LevelOf | None = None  # the entries are those of a pyramid

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> Prepared:
        """Do it."""
        layout = self.layout
        if layout.chain is None:
            return self._decoded()
        chunks = chunks_of(layout, self.coords, layout.everything)
        verdicts = drive(layout.store, [self._named(chunk, self._examined(chunk)) for chunk in chunks])
        if layout.shards is not None and all(chunk.absent for chunk in chunks):
            self._refuse_hidden(chunks)
        nbytes_read = sum(chunk.nbytes_read for chunk in chunks)
        changing = [chunk for chunk, verdict in zip(chunks, verdicts, strict=True) if verdict == "changes"]
        absent = [chunk for chunk, verdict in zip(chunks, verdicts, strict=True) if verdict == "absent"]
        missing = len(absent)
        absent_coords = {chunk.coords for chunk in absent}
        if self.create_chunks:
            changing += absent
        by_object: dict[str, list[Chunk]] = {}
        for chunk in changing:
            by_object.setdefault(layout.key(chunk.coords), []).append(chunk)
        written = 0
        entries = []
        olds = drive(layout.store, [whole_object(layout.path(key)) for key in by_object])
        for (key, some_chunks), old in zip(by_object.items(), olds, strict=True):
            nbytes_read += 0 if old is None else len(old)
            if old is None and not all(chunk.coords in absent_coords for chunk in some_chunks):
                raise FormatError(f"chunk {layout.path(key)}: it was deleted while it was read")
            new = self._edited(key, old, some_chunks)
            written += len(new)
            entries.append(_entry(key, old, new, [chunk.coords for chunk in some_chunks]))
        return Prepared(
            [chunk.coords for chunk in changing], self._kept(entries), nbytes_read, written, missing
        )

    def _kept(self, entries: Sequence[Entry]) -> list[tuple[str, str]]:
        """Keep objects; returns their keys, each with the name of its entry."""
        if not entries or self.entries is None:
            return []
        if self.level is not None:
            entries = [self.level.entry(entry) for entry in entries]
        name = self.entries.write(entries)
        return [(entry.key, name) for entry in entries]

    def _decoded(self) -> Prepared:
        """Prepare chunks that another codec encoded, by decoding them."""
        layout = self.layout
        by_object: dict[str, list[Coords]] = {}
        for coords in self.coords:
            by_object.setdefault(layout.key(coords), []).append(coords)
        olds = drive(layout.store, [whole_object(layout.path(key)) for key in by_object])
        nbytes_read = sum(len(old) for old in olds if old is not None)
        written = 0
        changing: list[Coords] = []
        entries = []
        for (key, some_coords), old in zip(by_object.items(), olds, strict=True):
            box = object_box(layout, some_coords[0])
            if num_voxels(box) == 0:
                continue
            voxels = decoded_object(layout, key, old, box)
            changed = [one for one in some_coords if self._changes(voxels, box, one)]
            if changed:
                new = encoded_by_zarr(layout, box, self._mapped(voxels))
                written += len(new)
                entries.append(_entry(key, old, new, changed))
                changing += changed
        return Prepared(changing, self._kept(entries), nbytes_read, written, 0)

    def _changes(self, voxels: npt.NDArray[Any], box: Box, coords: Coords) -> bool:
        """Whether a chunk of a decoded object gets new labels."""
        layout = self.layout
        part = common(layout.chunk_box(coords), layout.everything)
        labels = np.unique(voxels[within(part, box)])
        return bool((self._new(labels, layout.path(layout.key(coords))) != labels).any())

    def _mapped(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        labels, number = np.unique(voxels, return_inverse=True)
        return self.mapping.renamed(labels)[number.reshape(voxels.shape)]

    def _refuse_hidden(self, chunks: Sequence[Chunk]) -> None:
        """Raise StoreError if a shard exists that the store reported as missing before."""
        assert self.layout.shards is not None
        (index,) = drive(
            self.layout.store, [shard_index(self.layout, self.layout.object_coords(self.coords[0]))]
        )
        places = [self.layout.shards.place(chunk.coords) for chunk in chunks]
        if index is not None and any((index[place] != NOWHERE).any() for place in places):
            raise hidden(chunks[0].key)

    def _named(self, chunk: Chunk, steps: Steps[str]) -> Steps[str]:
        try:
            return (yield from steps)
        except FormatError as error:
            raise chunk.failed(error) from error

    def _examined(self, chunk: Chunk) -> Steps[str]:
        """Whether a chunk 'changes', 'stays', or is 'absent' and would change if it were stored."""
        if num_voxels(chunk.box) == 0:
            return "stays"
        reader = yield from chunk.labels()
        if reader is None:
            if not chunk.absent:
                (again,) = yield [Wanted(chunk.key, 0, 1)]
                if again is not None:
                    raise hidden(chunk.key)
            fill = np.array([chunk.layout.fill], dtype=chunk.layout.native)
            return "absent" if (self._new(fill, chunk.key) != fill).any() else "stays"
        table = chunk.table(reader)
        known, _ = self.mapping.found(table)
        if chunk.is_whole or (self.mapping.preserve and not known.any()):
            present = None  # it does not matter which entries have voxels
        else:
            present = yield from entries_there(chunk, reader, True)
        inside = table if present is None else table[present]
        return "changes" if (self._new(inside, chunk.key) != inside).any() else "stays"

    def _new(self, table: npt.NDArray[Any], key: str) -> npt.NDArray[Any]:
        try:
            return self.mapping.renamed(table)
        except KeyError as error:
            raise KeyError(f"chunk {key}: {error.args[0]}") from None

    # -----------------------------------------------------------------------------------

    def _edited(self, key: str, old: Bytes | None, chunks: Sequence[Chunk]) -> bytes:
        """The new bytes of an object; empty if it is to be deleted."""
        layout = self.layout
        if any(self._needs_zarr(chunk, old) for chunk in chunks):
            # Decode the bytes that the entry keeps: a second read might return others.
            box = object_box(layout, chunks[0].coords)
            return encoded_by_zarr(layout, box, self._mapped(decoded_object(layout, key, old, box)))
        assert old is not None
        if layout.shards is None:
            try:
                return self._relabelled(old)
            except FormatError as error:
                raise chunks[0].failed(error) from error
        return self._edited_shard(key, old, chunks)

    def _needs_zarr(self, chunk: Chunk, old: Bytes | None) -> bool:
        if old is None or chunk.absent:
            return True
        fill = np.array([self.layout.fill], dtype=self.layout.native)
        known, new = self.mapping.found(fill)
        replaces_fill = bool(known[0]) and int(new[0]) != self.layout.fill
        return replaces_fill and not chunk.is_whole

    def _relabelled(self, raw: Bytes) -> bytes:
        """The new bytes of a stored chunk."""
        layout = self.layout
        assert layout.chain is not None
        binary = undo(layout, raw)
        reader = _binding.Reader(binary)
        table = reader.table()
        labels = table.byteswap() if layout.chain.byteswapped else table
        # A label that occurs only in the padding needs no mapping, and stays as it is.
        new = self.mapping.preserving().renamed(labels)
        if (new == layout.fill).all() and not layout.writes_empty_chunks:
            return b""
        header = reader.header
        swapped = new.byteswap() if layout.chain.byteswapped else new
        relabelled = _binding.relabel(binary, swapped, header.dtype, header.fortran_order)
        return redo(layout, relabelled)

    def _edited_shard(self, key: str, old: Bytes, chunks: Sequence[Chunk]) -> bytes:
        layout = self.layout
        assert layout.shards is not None
        coords = layout.object_coords(chunks[0].coords)
        nbytes = index_nbytes(layout, coords)
        at_start = index_is_at_start(layout)
        path = layout.path(key)
        if len(old) < nbytes:
            raise FormatError(f"shard {path}: it has {len(old)} bytes, and its index alone needs {nbytes}")
        index = decode_index(layout, coords, old[:nbytes] if at_start else old[-nbytes:], path)
        changed = {layout.shards.place(chunk.coords): chunk for chunk in chunks}
        pieces: list[bytes] = []
        offset = nbytes if at_start else 0
        new_index = np.full_like(index, NOWHERE)
        # Keep the order of the chunks within the shard: its writer may have chosen it for a reason.
        flat = index.reshape(-1, 2)
        places = list(np.ndindex(index.shape[:-1]))
        for number in np.argsort(flat[:, 0], kind="stable").tolist():
            start, length = (int(field) for field in flat[number])
            if start == NOWHERE and length == NOWHERE:
                continue
            raw = old[start : start + length]
            if len(raw) != length:
                raise FormatError(f"shard {path}: its index points past its end")
            chunk = changed.get(places[number])
            if chunk is None:
                piece = raw.tobytes()
            else:
                try:
                    piece = self._relabelled(raw)
                except FormatError as error:
                    raise chunk.failed(error) from error
            if piece:
                new_index[places[number]] = offset, len(piece)
                pieces.append(piece)
                offset += len(piece)
        if not pieces:
            return b""
        raw_index = encode_index(layout, new_index)
        return b"".join([raw_index, *pieces] if at_start else [*pieces, raw_index])


def whole_object(path: str) -> Steps[Bytes | None]:
    """Read a whole object; None if there is none, which the store has to confirm."""
    (came,) = yield [Wanted(path)]
    if came is None:
        (again,) = yield [Wanted(path, 0, 1)]
        if again is not None:
            raise hidden(path)
    elif not len(came):
        raise FormatError(f"chunk {path}: it is empty")
    return came


def hidden(path: str) -> StoreError:
    """The error for an object that the store denied once, and had a moment later."""
    return StoreError(
        f"the store reported {path} as missing, and a moment later it had it. Nothing was done: try again"
    )


def _entry(key: str, old: Bytes | None, new: bytes, chunks: Sequence[Coords]) -> Entry:
    return Entry(key, b"" if old is None else old.tobytes(), new, tuple(sorted(chunks)))


def object_box(layout: Layout, coords: Coords) -> Box:
    """The voxels within the array of the object that holds a chunk."""
    return common(layout.object_box(layout.object_coords(coords)), layout.everything)


def chunks_of_object(layout: Layout, coords: Coords) -> list[Coords]:
    """The chunks of an object, a chunk or a shard, in C order."""
    if layout.shards is None:
        return [coords]
    return list(layout.coords_in(common(layout.object_box(coords), layout.everything)))


def encoded_by_zarr(layout: Layout, box: Box, voxels: npt.NDArray[Any]) -> bytes:
    """The bytes that Zarr stores for all voxels of an object; empty if it would store nothing."""
    array = layout.array
    metadata = zarr_facts.metadata_objects(array)
    objects = dict(metadata)
    scratch = scratch_array(layout, objects)
    scratch[slices_of(box)] = voxels.view(np.bool_) if array.dtype.kind == "b" else voxels
    names = [key for key in objects if key not in metadata]
    if not names:
        return b""
    (name,) = names  # the box is of one object
    return bytes(objects[name].to_bytes())


def refuse_missing(layout: Layout, prepared: Prepared) -> None:
    """Raise ValueError if chunks would change that are not stored."""
    if prepared.missing:
        raise ValueError(
            f"the mapping replaces the fill value {layout.fill}, and {prepared.missing:,} of "
            f"{layout.num_chunks:,} chunks are not stored, so they consist of the fill value: "
            f"create_chunks=True writes them"
        )
