"""``CrackleCodec``: Crackle as a serializer (array-to-bytes codec) of Zarr format 3.

The stream of a chunk depends only on its voxels and the codec's options, and not on the memory order or byte
order of the array that Zarr passes. ``codecs/chunk.py`` maps the axes as for C order: in a chunk of shape
(..., y, x), each plane (y, x) is a slice of the stream.

Partial decoding. A selection needs some slices. The codec decodes them from the header and the crack index,
the label section, the crack codes of those slices, and the checksums; it reads nothing else. Any selection
takes two rounds of requests, or one if most of the chunk is needed anyway. If another writer replaces the
chunk between the two rounds, the checksums do not match, and the chunk counts as damaged.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import RangeByteRequest
from zarr.registry import register_codec
from zarr.storage import StorePath

from .. import _binding
from .._base import zarr_facts
from .._base.options import MarkovOrder, Preset, encoding, with_missing
from .._base.patience import get_range
from ..errors import FormatError
from ..streams.ranges import FIRST_REQUEST, Ranges, consecutive, cut, join, requests_for, truncated
from .chunk import as_volume, check_header, label_dtype, plain, volume_shape

if TYPE_CHECKING:
    from typing import Self

    from zarr.abc.store import ByteGetter

    from .._base.zarr_facts import ArraySpec, Buffer, BufferPrototype, NDBuffer

# Handing a chunk to another thread takes some 100 microseconds of processor time, but the event loop goes on
# meanwhile. A chunk that takes less than half of that is encoded or decoded in the event loop. Encoding takes
# some 2 nanoseconds for a voxel, and with pins 10 to 30; decoding takes some 0.25 for a voxel, and 8 for a
# byte of a stream. On two idle cores, chunks of 64^3 are read in 0.8 of the time when other threads decode.
_ENCODED_AT_ONCE = 2**15
_ENCODED_AT_ONCE_WITH_PINS = 2**12
_DECODED_AT_ONCE = 2**17
_VOXELS_PER_BYTE = 32

# The smallest gap between two ranges of slices that is skipped: each range is decoded by a call of its own,
# which reads the labels again.
_WORTH_A_CALL = 4


@dataclass(frozen=True, init=False)
class CrackleCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Chunks of labels as Crackle streams.

    Args:
        markov_model_order: 0 to 12: how many previous moves the Markov model of the boundaries uses.
            Higher is smaller and slower; 0 is no model. "auto" is the order that makes a chunk smallest.
            None: as in the preset.
        allow_pins: 0 stores a label per connected component of a slice; 1 stores labels as pins through
            the slices, if that is smaller; 2 does the same, and spends more time on choosing the pins.
            None: as in the preset.
        preset: "fast", "balanced" or "small": the options to use for those that are not given, see
            :data:`crackle_zarr.PRESETS`. None is "balanced". The codec and the metadata keep the options,
            not the name of the preset.

    Raises:
        TypeError, ValueError: an option is of a wrong type or outside its range, or there is no such
            preset.

    Examples:
        >>> import zarr
        >>> array = zarr.create_array(
        ...     store={}, shape=(4, 5, 6), dtype="uint32", serializer=CrackleCodec(), compressors=None
        ... )
    """

    is_fixed_size = False

    markov_model_order: MarkovOrder
    allow_pins: int

    def __init__(  # documented in the class
        self,
        *,
        markov_model_order: MarkovOrder | None = None,
        allow_pins: int | None = None,
        preset: Preset | None = None,
    ) -> None:
        for name, value in encoding(preset, markov_model_order, allow_pins).items():
            object.__setattr__(self, name, value)

    # -----------------------------------------------------------------------------------
    # Metadata

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec for its JSON form; "configuration" and each option in it may be missing.

        A missing option is 0, which was its meaning when the metadata were written; no preset replaces it.
        The options affect chunks that will be written; reading does not need them.

        Raises:
            TypeError: ``data`` is not an object, or an option is of a wrong type.
            ValueError: ``data`` is the JSON of another codec, an option is outside its range, or there is
                no option of that name.
        """
        if not isinstance(data, dict):
            raise TypeError(f'the JSON of the codec is an object with "name": "crackle", not {data!r}')
        if data.get("name") != "crackle":
            raise ValueError(f'the JSON of the codec has "name": "crackle", not {data.get("name")!r}')
        options = data.get("configuration", {})
        if not isinstance(options, dict):
            raise TypeError(f"the configuration of the codec is an object, not {options!r}")
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"Crackle has the options {', '.join(known)}, not {', '.join(unknown)}")
        return cls(**with_missing(options))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with all options."""
        return {"name": "crackle", "configuration": asdict(self)}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raise TypeError if the array's dtype is neither an integer nor bool."""
        label_dtype(zarr_facts.numpy_dtype(dtype))

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Raise TypeError if the array's dtype is neither an integer nor bool.

        :meth:`validate` checks the same, but Zarr does not call it for the codecs within a shard.
        """
        label_dtype(zarr_facts.numpy_dtype(array_spec.dtype))
        return self

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise NotImplementedError: the size depends on the labels."""
        raise NotImplementedError

    # -----------------------------------------------------------------------------------
    # Whole chunks

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        dtype = label_dtype(zarr_facts.numpy_dtype(chunk_spec.dtype))
        chunk = chunk_array.as_numpy_array()
        label_dtype(chunk.dtype)
        if chunk.shape != chunk_spec.shape:
            raise ValueError(f"a chunk has the shape {chunk_spec.shape}, and was given as {chunk.shape}")
        # Zarr passes the array's dtype, perhaps in another byte order; "same_kind" refuses other kinds.
        native = plain(chunk).astype(dtype, order="C", casting="same_kind", copy=False)
        stream = _binding.encode(
            as_volume(native),
            fortran_order=True,
            pins=self.allow_pins,
            markov_order=self.markov_model_order,
            parallel=1,  # Zarr runs chunks side by side already
        )
        return chunk_spec.prototype.buffer.from_bytes(stream)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return _decode_whole(chunk_data.as_numpy_array(), chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        most = _ENCODED_AT_ONCE_WITH_PINS if self.allow_pins else _ENCODED_AT_ONCE
        if math.prod(chunk_spec.shape) <= most:
            return self._encode_sync(chunk_data, chunk_spec)
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        if _is_decoded_at_once(chunk_spec, len(chunk_data)):
            return self._decode_sync(chunk_data, chunk_spec)
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def encode(
        self, chunks_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]
    ) -> Iterable[Buffer | None]:
        """Encode some chunks; None stays None. Zarr passes them one by one, and then needs no tasks."""
        batch = list(chunks_and_specs)
        if len(batch) != 1 or batch[0][0] is None:
            return await super().encode(batch)
        return [await self._encode_single(batch[0][0], batch[0][1])]

    async def decode(
        self, chunks_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        """Decode some chunks; None stays None. Zarr passes them one by one, and then needs no tasks."""
        batch = list(chunks_and_specs)
        if len(batch) != 1 or batch[0][0] is None:
            return await super().decode(batch)
        return [await self._decode_single(batch[0][0], batch[0][1])]

    # -----------------------------------------------------------------------------------
    # Parts of chunks

    async def decode_partial(
        self, batch_info: Iterable[tuple[ByteGetter, Any, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        """Decode the selected parts of some chunks; None for a chunk that does not exist."""
        forgotten = zarr_facts.axes_that_zarr_forgets_to_drop()
        batch = list(batch_info)
        parts: Iterable[NDBuffer | None]
        if len(batch) == 1:  # Zarr passes chunks one by one, and then needs no tasks
            parts = [await self._decode_partial_single(*batch[0])]
        else:
            parts = await super().decode_partial(batch)
        if not forgotten:
            return parts
        return [None if part is None else part.squeeze(axis=forgotten) for part in parts]

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        with _naming(byte_getter):
            if _is_everything(selection, chunk_spec.shape):
                whole = await _get(byte_getter, chunk_spec.prototype, None)
                return None if whole is None else await self._decode_single(whole, chunk_spec)
            steps = _partial_read(byte_getter, selection, chunk_spec)
            requests: _Requests | None = next(steps)
            nbytes = 0
            while requests is not None:
                fetched = await asyncio.gather(
                    *(_get(byte_getter, chunk_spec.prototype, request) for request in requests)
                )
                nbytes += sum(len(one) for one in fetched if one is not None)
                requests, decode = _advance(steps, fetched)
            if decode is None:
                return None
            return decode() if _is_decoded_at_once(chunk_spec, nbytes) else await asyncio.to_thread(decode)

    def _decode_partial_sync(
        self, byte_getter: Any, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        """Like :meth:`_decode_partial_single`, without an event loop: for Zarr 3.3's fused pipeline."""
        with _naming(byte_getter):
            if _is_everything(selection, chunk_spec.shape):
                whole = byte_getter.get_sync(prototype=chunk_spec.prototype)
                return None if whole is None else self._decode_sync(whole, chunk_spec)
            steps = _partial_read(byte_getter, selection, chunk_spec)
            requests: _Requests | None = next(steps)
            while requests is not None:
                fetched = [
                    byte_getter.get_sync(prototype=chunk_spec.prototype, byte_range=request)
                    for request in requests
                ]
                requests, decode = _advance(steps, fetched)
            return None if decode is None else decode()


# ---------------------------------------------------------------------------------------
# Reading a part of a chunk

# A generator that reads a chunk. It yields the byte ranges that it needs next (None is the whole chunk), and
# gets their bytes (None if there is no chunk). It returns a function that decodes them, or None if there is
# no chunk.
_Requests: TypeAlias = list[RangeByteRequest | None]
_Steps: TypeAlias = Generator[_Requests, "Sequence[Buffer | None]", "Callable[[], NDBuffer] | None"]


async def _get(
    byte_getter: Any, prototype: BufferPrototype, request: RangeByteRequest | None
) -> Buffer | None:
    """Get a range of a chunk, also from a store that refuses ranges."""
    if not isinstance(byte_getter, StorePath):  # a shard's chunk, in memory
        got: Buffer | None = await byte_getter.get(prototype, request)
        return got

    def get(asked: Any) -> Any:
        return byte_getter.get(prototype, asked)

    return await get_range(byte_getter.store, byte_getter.path, get, request)


def _advance(
    steps: _Steps, fetched: Sequence[Buffer | None]
) -> tuple[_Requests | None, Callable[[], NDBuffer] | None]:
    """Send bytes to the generator; returns its next requests, or None and the generator's result."""
    try:
        return steps.send(fetched), None
    except StopIteration as end:
        return None, end.value


@contextlib.contextmanager
def _naming(byte_getter: object) -> Iterator[None]:
    """Add the name of the chunk to a FormatError."""
    try:
        yield
    except FormatError as error:
        if hasattr(byte_getter, "path"):
            error.add_note(f"The stream is the chunk {byte_getter}.")
        raise


def _partial_read(byte_getter: object, selection: Any, chunk_spec: ArraySpec) -> _Steps:
    sz = volume_shape(chunk_spec.shape)[2]
    runs = join(consecutive(selected_slices(selection, chunk_spec.shape)), _WORTH_A_CALL)
    prefix_nbytes = max(_binding.prefix_nbytes(sz), FIRST_REQUEST)

    # In a shard, the getter has the chunk in memory already (and refuses byte ranges before zarr 3.1.6).
    whole = hasattr(byte_getter, "shard_dict") or 4 * sum(end - start for start, end in runs) >= 3 * sz
    request = None if whole else RangeByteRequest(0, prefix_nbytes)
    (first,) = yield [request]
    if first is None:
        return None
    prefix = first.as_numpy_array()
    if whole or len(prefix) < prefix_nbytes:  # the prefix is the whole chunk
        return lambda: _decode_runs([(_binding.Reader(prefix), runs)], selection, chunk_spec)

    check_header(_binding.read_header(prefix), chunk_spec.shape, zarr_facts.numpy_dtype(chunk_spec.dtype))
    layout = _binding.read_layout(prefix)
    if layout.end > _most_nbytes(chunk_spec.shape):
        raise FormatError(
            f"not a sound Crackle stream: it claims {layout.end} bytes for a chunk of {chunk_spec.shape}",
            section="header",
        )
    codes = [_binding.codes_range(prefix, start, end) for start, end in runs]
    requests = requests_for([(0, layout.crack_codes), *codes, (layout.checksums, layout.end)], len(prefix))
    fetched = (yield [RangeByteRequest(*one) for one in requests]) if requests else []
    pieces = [(0, prefix)]
    for (start, end), piece in zip(requests, fetched, strict=True):
        if piece is None:
            (again,) = yield [request]
            if again is None:  # another writer has deleted the chunk
                return None
            # Do not return fill values: no version of the chunk has them here.
            raise FormatError(
                f"not a sound Crackle stream: its bytes {start} to {end} are not in the store, "
                "but its first bytes were there a moment ago"
            )
        if len(piece) != end - start:
            raise truncated(layout, start + len(piece))
        pieces.append((start, piece.as_numpy_array()))

    def decode() -> NDBuffer:
        head = cut(pieces, 0, layout.crack_codes)
        tail = cut(pieces, layout.checksums, layout.end)
        readers = [
            (_binding.Reader.from_parts(head, cut(pieces, *span), run[0], tail), [run])
            for run, span in zip(runs, codes, strict=True)
        ]
        return _decode_runs(readers, selection, chunk_spec)

    return decode


# ---------------------------------------------------------------------------------------
# From a stream to the voxels of a chunk


def _most_nbytes(shape: tuple[int, ...]) -> int:
    """An upper bound of a chunk's stream: 16 MiB for a Markov model, and 64 bytes per voxel and slice."""
    sx, sy, sz = volume_shape(shape)
    return 2**24 + 64 * sz * (sx * sy + 1)


def _is_decoded_at_once(chunk_spec: ArraySpec, nbytes: int) -> bool:
    return math.prod(chunk_spec.shape) + _VOXELS_PER_BYTE * nbytes <= _DECODED_AT_ONCE


def _decode_whole(stream: npt.NDArray[np.uint8], chunk_spec: ArraySpec) -> NDBuffer:
    """Decode all of a chunk."""
    dtype, shape = zarr_facts.numpy_dtype(chunk_spec.dtype), chunk_spec.shape
    if dtype.kind != "b" and math.prod(shape) <= _binding.VOXELS_AT_ONCE:
        chunk = np.empty(shape, dtype=label_dtype(dtype))
        if _binding.decode_stream(stream, as_volume(chunk)):
            return chunk_spec.prototype.nd_buffer.from_numpy_array(chunk.astype(dtype, copy=False))
    # A bool chunk, a long one, or one of another shape or dtype, which is an error.
    reader = _binding.Reader(stream)
    return _decode_runs([(reader, [(0, volume_shape(shape)[2])])], ..., chunk_spec)


def _decode_runs(
    readers: list[tuple[_binding.Reader, Ranges]], selection: Any, chunk_spec: ArraySpec
) -> NDBuffer:
    """Decode ranges of slices, each with the reader that has its bytes, and select from them.

    Slices outside the ranges are never written, so they take address space but no memory.
    """
    dtype = zarr_facts.numpy_dtype(chunk_spec.dtype)
    for reader, _ in readers:
        check_header(reader.header, chunk_spec.shape, dtype)
    chunk = np.empty(chunk_spec.shape, dtype=label_dtype(dtype))
    volume = as_volume(chunk)
    for reader, runs in readers:
        if dtype.kind == "b" and reader.table().max(initial=0) > 1:
            raise FormatError("the chunk of a bool array holds labels other than 0 and 1", section="labels")
        for start, end in runs:
            reader.decode(volume[:, :, start:end], start, end, parallel=1)
    voxels = np.asarray(chunk[selection])
    voxels = voxels.view(bool) if dtype.kind == "b" else voxels.astype(dtype, copy=False)
    return chunk_spec.prototype.nd_buffer.from_numpy_array(voxels)


# ---------------------------------------------------------------------------------------
# What a selection needs


def _is_everything(selection: Any, shape: tuple[int, ...]) -> bool:
    """Whether a selection is a slice per axis that takes all of it, as Zarr selects whole chunks."""
    return (
        isinstance(selection, tuple)
        and len(selection) == len(shape)
        and all(
            isinstance(part, slice) and part.indices(length) == (0, length, 1)
            for part, length in zip(selection, shape, strict=True)
        )
    )


def selected_slices(selection: Any, shape: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """The slices of a chunk's stream that a selection touches, ascending.

    Args:
        selection: an index of an array of ``shape``, as for NumPy.
        shape: the shape of the chunk.
    """
    numbers = np.arange(volume_shape(shape)[2], dtype=np.intp).reshape(shape[:-2])
    if isinstance(selection, tuple) and len(selection) == len(shape) and all(map(_takes_one_axis, selection)):
        # Each part of the index belongs to one axis, and the parts of the last two axes do not affect slices.
        touched = numbers[selection[: numbers.ndim]]
    else:
        touched = np.broadcast_to(numbers.reshape(shape[:-2] + (1,) * len(shape[-2:])), shape)[selection]
    needed = np.zeros(numbers.size, dtype=bool)
    needed[touched] = True
    return np.flatnonzero(needed)


def _takes_one_axis(part: Any) -> bool:
    if isinstance(part, np.ndarray):
        return part.dtype.kind in "iu"
    return isinstance(part, int | np.integer | slice)


register_codec("crackle", CrackleCodec)
