"""The third pass: each chunk of the result is the stream of its components with another label table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _binding
from ...codecs.chunk import as_volume
from ...errors import VerificationError
from ..encoding import encode, padded, redo
from ..layout import Coords
from ..shards import assembled
from ..writing import read_objects, write_objects
from .pieces import Joining, read_stream


@dataclass(frozen=True)
class Written:
    """Of some objects: how many were written, and their bytes."""

    objects: int
    nbytes: int

    def __add__(self, other: Written) -> Written:
        """The sum of two parts."""
        return Written(self.objects + other.objects, self.nbytes + other.nbytes)


@dataclass(frozen=True)
class WriteChunks:
    """Write the chunks of one stored object, which is a chunk or a shard.

    Attributes:
        joining: what was joined.
        coords: the chunks.
        values: per chunk, the label of each of its components, in the target's dtype.
        rest: the label of voxels that belong to no component.
    """

    joining: Joining
    coords: tuple[Coords, ...]
    values: tuple[npt.NDArray[Any], ...]
    rest: int

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.coords)

    def __call__(self) -> Written:
        """Do it."""
        joining, target = self.joining, self.joining.target
        chunks = {
            one: chunk_bytes(joining, one, values, self.rest)
            for one, values in zip(self.coords, self.values, strict=True)
        }
        if target.shards is None:
            (coords,) = self.coords
            value = chunks[coords]
        else:
            value = assembled(target, target.object_coords(self.coords[0]), chunks)
        key = target.path(target.key(self.coords[0]))
        joining.check()
        # A former call may have written a chunk that is not stored now.
        write_objects(target.store, {key: value or None})
        if joining.verify:
            (again,) = read_objects(target.store, [key])
            if (again or b"") != value:
                raise VerificationError(
                    f"{key} in {target.name}: what was read back differs from what was written"
                )
        return Written(int(bool(value)), len(value))


def chunk_bytes(joining: Joining, coords: Coords, values: npt.NDArray[Any], rest: int) -> bytes:
    """The stored bytes of a chunk of the target, which Crackle encodes, with new labels for its components.

    Args:
        joining: what was joined.
        coords: the chunk.
        values: the label of each component, in the target's dtype.
        rest: the label of all other voxels.

    Returns:
        The bytes; empty if the chunk is all fill value, and such chunks are not stored.
    """
    target = joining.target
    assert target.chain is not None
    binary = read_stream(joining, coords) if len(values) else None
    table = np.concatenate([np.array([rest], dtype=target.native), values])
    reader = None if binary is None else _binding.Reader(binary)
    used = table[:1] if reader is None else table[reader.table(joining.verify)]
    if (used == target.fill).all() and not target.writes_empty_chunks:
        return b""
    if (
        reader is not None
        and joining.box(coords) == target.chunk_box(coords)
        and target.chain.axes == joining.order
    ):
        swapped = used.byteswap() if target.chain.byteswapped else used
        stream = _binding.relabel(binary, swapped, target.native, reader.header.fortran_order)
        return redo(target, stream)
    whole = padded(target, coords, _painted(joining, coords, reader, table))
    codec = target.chain.codec
    stored = np.ascontiguousarray(whole.transpose(target.chain.axes))
    if target.chain.byteswapped:
        stored = stored.byteswap()
    return redo(target, encode(stored, pins=codec.allow_pins, markov_order=codec.markov_model_order))


def voxels_of(joining: Joining, coords: Coords, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The voxels of a chunk within the array: ``table[number]`` of the component of each."""
    binary = read_stream(joining, coords) if len(table) > 1 else None
    reader = None if binary is None else _binding.Reader(binary)
    return _painted(joining, coords, reader, table)


def _painted(
    joining: Joining, coords: Coords, reader: _binding.Reader | None, table: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """:func:`voxels_of` a stream that is here; None: no voxel belongs to a component."""
    shape = joining.shape(coords)
    if reader is None:
        voxels = np.full(shape, table[0], dtype=joining.target.native)
    else:
        numbers = np.empty(shape, dtype=reader.header.dtype)
        volume = as_volume(numbers)
        reader.decode(volume, 0, volume.shape[2], verify=joining.verify, parallel=1)
        voxels = table[numbers]
    return voxels.transpose(np.argsort(joining.order))
