"""``CrackleCodec``: Crackle as a serializer (array-to-bytes codec) of Zarr format 3.

The stream of a chunk depends on its voxels and the codec's options only: the memory order and the
byte order in which a chunk happens to arrive do not show. The axes are those of ``_chunk``
for C order: of a chunk of shape (..., y, x), each plane (y, x) is a slice of the stream.

Partial decoding. A selection needs some slices. They are decoded from the header and the crack index,
the label section, the crack codes of those slices, and the checksums; everything else stays in
the store. It takes two rounds of requests, whatever is selected, or one where that fetches no
more than it has to. A chunk that another writer replaces between the two shows as a
damaged one, by its checksums.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import RangeByteRequest
from zarr.registry import register_codec

from .. import _binding
from .._base import zarr_facts
from .._base.options import MarkovOrder, Preset, encoding, with_missing
from ..errors import FormatError
from ..streams.ranges import FIRST_REQUEST, Ranges, consecutive, cut, join, requests_for, truncated
from .chunk import as_volume, check_header, label_dtype, plain, volume_shape

if TYPE_CHECKING:
    from typing import Self

    from zarr.abc.store import ByteGetter

    from .._base.zarr_facts import ArraySpec, Buffer, NDBuffer

# Every run of slices is decoded by a call that reads the labels again: skip no fewer slices.
_WORTH_A_CALL = 4


@dataclass(frozen=True, init=False)
class CrackleCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Chunks of labels as Crackle streams.

    Args:
        markov_model_order: 0 to 12; how many moves back the model of the boundaries looks. Higher
            is smaller and slower. 0 is off, and "auto" the order that makes a chunk smallest. None: as
            in the preset.
        allow_pins: 0 lists a label per connected component of a slice; 1 joins them through the slices
            by pins, where that is smaller; 2 the same, chosen with more effort. None: as in the preset.
        preset: "fast", "balanced" or "small": which options to take where none are given, see
            :data:`crackle_zarr.PRESETS`. None is "balanced". The codec keeps the options, and not the
            name; so do metadata.

    Raises:
        TypeError, ValueError: an option is of a wrong type or outside its range, or there is no such
            preset.

    Example:
        >>> import zarr
        >>> array = zarr.create_array(
        ...     store={}, shape=(4, 5, 6), dtype="uint32", serializer=CrackleCodec(), compressors=None
        ... )
    """

    is_fixed_size = False

    markov_model_order: MarkovOrder
    allow_pins: int

    def __init__(  # the class says it
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
        """The codec of its JSON form; "configuration" and each option in it may be missing.

        An option that is missing is 0, as they were for whoever wrote that: no preset fills them in.
        Chunks that are there are read alike; only those to be written depend on it.

        Raises:
            TypeError: ``data`` is no object, or an option is of a wrong type.
            ValueError: it is the JSON of another codec, an option is outside its range, or there is
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
        """Raise TypeError where the array is not one of integers or bool."""
        label_dtype(zarr_facts.numpy_dtype(dtype))

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Raise TypeError where the array is not one of integers or bool.

        Here as well as in :meth:`validate`, which Zarr does not call for the codecs within a shard.
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
        # Only numbers that the array's dtype can hold: a label must not wrap round.
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
        reader = _binding.Reader(chunk_data.as_numpy_array())
        everything = [(0, volume_shape(chunk_spec.shape)[2])]
        return _decode_runs([(reader, everything)], ..., chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    # -----------------------------------------------------------------------------------
    # Parts of chunks

    async def decode_partial(
        self, batch_info: Iterable[tuple[ByteGetter, Any, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        """Decode the selected parts of some chunks; None where there is no chunk."""
        forgotten = zarr_facts.axes_that_zarr_forgets_to_drop()
        parts = await super().decode_partial(batch_info)
        if not forgotten:
            return parts
        return [None if part is None else part.squeeze(axis=forgotten) for part in parts]

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        with _naming(byte_getter):
            steps = _partial_read(byte_getter, selection, chunk_spec)
            requests: _Requests | None = next(steps)
            while requests is not None:
                fetched = await asyncio.gather(
                    *(byte_getter.get(chunk_spec.prototype, request) for request in requests)
                )
                requests, decode = _advance(steps, fetched)
            return None if decode is None else await asyncio.to_thread(decode)

    def _decode_partial_sync(
        self, byte_getter: Any, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        """The same without an event loop, for the fused pipeline of Zarr 3.3 and later."""
        with _naming(byte_getter):
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

# Yields the ranges that it needs next, None for the whole chunk, and is sent their bytes, None where there is
# no chunk. Returns a function that decodes them, or None for a chunk that is not there.
_Requests: TypeAlias = list[RangeByteRequest | None]
_Steps: TypeAlias = Generator[_Requests, "Sequence[Buffer | None]", "Callable[[], NDBuffer] | None"]


def _advance(
    steps: _Steps, fetched: Sequence[Buffer | None]
) -> tuple[_Requests | None, Callable[[], NDBuffer] | None]:
    """Send bytes to a read: the requests that it makes next, or at its end None and what decodes."""
    try:
        return steps.send(fetched), None
    except StopIteration as end:
        return None, end.value


@contextlib.contextmanager
def _naming(byte_getter: object) -> Iterator[None]:
    """Let a FormatError say which of all the chunks it is about."""
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

    # Of a shard, the getter holds the chunk in memory (and refuses byte ranges before zarr 3.1.6).
    whole = hasattr(byte_getter, "shard_dict") or 4 * sum(end - start for start, end in runs) >= 3 * sz
    request = None if whole else RangeByteRequest(0, prefix_nbytes)
    (first,) = yield [request]
    if first is None:
        return None
    prefix = first.as_numpy_array()
    if whole or len(prefix) < prefix_nbytes:  # that was all there is
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
            if again is None:  # deleted meanwhile
                return None
            # The fill value would be an answer about no version of the chunk.
            raise FormatError(
                f"not a sound Crackle stream: its bytes {start} to {end} are not in the store, "
                "where its first ones were a moment ago"
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
    """More bytes than the stream of a chunk can need: a Markov model, and 64 per voxel and slice."""
    sx, sy, sz = volume_shape(shape)
    return 2**24 + 64 * sz * (sx * sy + 1)


def _decode_runs(
    readers: list[tuple[_binding.Reader, Ranges]], selection: Any, chunk_spec: ArraySpec
) -> NDBuffer:
    """Decode some runs of slices, each by a reader that has it, and select from them.

    The slices that no run names are never touched: they are address space and no memory.
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


def selected_slices(selection: Any, shape: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """The slices of a chunk's stream that a selection touches, ascending.

    Args:
        selection: what NumPy takes as an index of an array of ``shape``.
        shape: of the chunk.
    """
    numbers = np.arange(volume_shape(shape)[2], dtype=np.intp).reshape(shape[:-2])
    if isinstance(selection, tuple) and len(selection) == len(shape) and all(map(_takes_one_axis, selection)):
        # Where each part of the index belongs to one axis, those of the last two pick no slice.
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
