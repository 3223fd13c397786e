"""Copy Crackle streams from one array to another as they are.

Where two arrays have the same grid of chunks, a stream of one is a stream of the other: its label table and
its boundaries need neither decoding nor encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr

from .._binding import read_header
from ..errors import FormatError, StoreError, VerificationError
from ..streams import sections
from .chunk import Chunk, check_chunk_header, chunks_of
from .encoding import decoded_object, undo
from .fetch import Bytes, drive
from .layout import Box, Coords, Layout, layout_of
from .writing import read_objects, write_objects

# How many chunks are held in memory at once.
_AT_ONCE = 16


def can_copy(src: zarr.Array[Any], dst: zarr.Array[Any]) -> bool:
    """Whether every stored chunk of one array is, byte for byte, a chunk of the other.

    The destination may neither have shards nor compress its streams again.
    """
    ours, theirs = layout_of(src), layout_of(dst)
    if ours.chain is None or theirs.chain is None or theirs.shards is not None or theirs.chain.outer:
        return False
    return (
        ours.shape == theirs.shape
        and ours.cuts == theirs.cuts
        and src.dtype == dst.dtype
        and ours.fill == theirs.fill
        and ours.chain.axes == theirs.chain.axes
        and ours.chain.byteswapped == theirs.chain.byteswapped
    )


def copy_streams(src: Layout, dst: Layout, box: Box, verify: bool) -> None:
    """Copy the chunks of a box between arrays that :func:`can_copy` accepts.

    Args:
        src: the source.
        dst: the destination.
        box: whole chunks of both.
        verify: verify the checksums of every stream, and read it back.

    Raises:
        FormatError: a stream is damaged, or has another shape or type than the chunks.
        StoreError: a store failed.
        VerificationError: a stream that was read back differs.
    """
    groups = [list(src.coords_in(box))] if src.shards is None else src.by_shard(box)
    for group in groups:
        for start in range(0, len(group), _AT_ONCE):
            _copy(src, dst, group[start : start + _AT_ONCE], box, verify)


def _copy(src: Layout, dst: Layout, coords: Sequence[Coords], box: Box, verify: bool) -> None:
    chunks = chunks_of(src, coords, box)
    objects: dict[str, bytes | None] = {}
    for chunk, raw in zip(chunks, _raw(src, chunks), strict=True):
        objects[dst.path(dst.key(chunk.coords))] = None if raw is None else _stream(src, chunk, raw, verify)
    # A store may report a chunk as missing because a request failed.
    absent = [chunk for chunk, value in zip(chunks, objects.values(), strict=True) if value is None]
    again = chunks_of(src, [chunk.coords for chunk in absent], box) if verify else []
    for chunk, raw in zip(again, _raw(src, again), strict=True):
        if raw is not None:
            raise StoreError(
                f"chunk {chunk.key} was missing in {src.name} at first, and there a moment later"
            )
    present = read_objects(dst.store, objects)  # those of an earlier, interrupted run
    changed = {key: value for (key, value), old in zip(objects.items(), present, strict=True) if value != old}
    write_objects(dst.store, changed)
    if not verify:
        return
    boxes = {dst.path(dst.key(chunk.coords)): chunk.box for chunk in chunks}
    for key, found in zip(changed, read_objects(dst.store, changed), strict=True):
        if found != changed[key] and not _same_voxels(dst, key, boxes[key], changed[key], found):
            raise VerificationError(f"{key} in {dst.name}: the stream read back differs from the one written")


def _same_voxels(layout: Layout, key: str, box: Box, a: bytes | None, b: bytes | None) -> bool:
    """Whether two streams of a chunk have the same labels within the array.

    A store may cut a chunk at the edge of the array, as Neuroglancer's format does.
    """
    if a is None or b is None:
        return False
    name = key.removeprefix(f"{layout.array.path}/")
    first, second = (decoded_object(layout, name, np.frombuffer(raw, np.uint8), box) for raw in (a, b))
    return bool(np.array_equal(first, second))


def _raw(layout: Layout, chunks: Sequence[Chunk]) -> list[Bytes | None]:
    return drive(layout.store, [chunk.raw() for chunk in chunks])


def _stream(layout: Layout, chunk: Chunk, raw: Bytes, verify: bool) -> bytes:
    try:
        stream = undo(layout, raw)
        check_chunk_header(layout, chunk.coords, read_header(stream))
        if verify:
            parts = sections.damaged_parts(sections.check(stream))
            if parts:
                raise FormatError("damaged: " + "; ".join(parts))
    except FormatError as error:
        raise chunk.failed(error) from error
    return bytes(stream)
