"""``create_array``: ``zarr.create_array`` with the codec and the chunks that suit labels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import zarr

from .._base import zarr_facts
from .._base.options import MarkovOrder, Preset, encoding
from .chunk import label_dtype, volume_shape
from .numcodecs_codec import Crackle
from .zarr_codec import CrackleCodec

# Chunks of few and wide planes, of at most some ten MB. Wide planes compress better, because boundaries are
# coded along them; few planes mean that reading one plane decodes few others.
_PLANE = (256, 256)
_SLICES = 64
_ONLY_PLANE = (1024, 1024)
_ONLY_LINE = 2**20

AXES = ("t", "c", "z", "y", "x")


def create_array(
    store: Any,
    *,
    shape: int | tuple[int, ...] | None = None,
    dtype: Any = None,
    data: Any = None,
    chunks: tuple[int, ...] | Literal["auto"] | None = None,
    shards: Any = None,
    dimension_names: Any = "auto",
    markov_model_order: MarkovOrder | None = None,
    allow_pins: int | None = None,
    preset: Preset | None = None,
    zarr_format: Literal[2, 3] = 3,
    fill_value: Any = 0,
    filters: Any = None,
    compressors: Any = None,
    **kwargs: Any,
) -> zarr.Array[Any]:
    """Create a Zarr array of labels whose chunks are Crackle streams.

    This calls ``zarr.create_array`` with Crackle as the codec. Other than there, no compressor follows by
    default, because chunks behind a compressor cannot be read in parts.

    Args:
        store: anything that ``zarr.create_array`` takes.
        shape: the shape of the array; not together with ``data``.
        dtype: integers of any width and byte order, or bool; not together with ``data``.
        data: the initial labels.
        chunks: the shape of a chunk; its last two axes are the planes that Crackle codes. The default is
            64 planes of 256 x 256 and 1 along all axes before, but no more than the array (or a divisor of
            the shard's shape).
        shards: the shape of a shard, to store chunks in shards.
        dimension_names: a name per axis, or None for no names. "auto" takes the last of t, c, z, y, x for up
            to five axes. Zarr format 2 has no names.
        markov_model_order: 0 to 12, higher is smaller and slower; "auto", the smallest; None: as in the
            preset.
        allow_pins: 0, 1 or 2; see :class:`crackle_zarr.CrackleCodec`. None: as in the preset.
        preset: "fast", "balanced" or "small": the values to use for those of the two options above that are
            not given, see :data:`crackle_zarr.PRESETS`. None is "balanced".
        zarr_format: 3, or 2.
        fill_value: the label of voxels that were never written.
        filters: array-to-array codecs before Crackle, such as ``transpose``; Zarr format 3 only.
        compressors: codecs behind Crackle, such as zstd. In Zarr format 2 it is one numcodecs codec,
            and Crackle is then the array's only filter.
        **kwargs: passed to ``zarr.create_array``: ``name``, ``overwrite``, ``attributes``, ``config`` ...

    Returns:
        The array.

    Raises:
        TypeError: the labels are not integers or bool, or an option is of a wrong type.
        ValueError: an option is outside its range; there is no such preset; a chunk is too large; Zarr format
            2 has filters; or Zarr refuses an argument.

    All checks of this function precede the first change of the store.

    Examples:
        >>> import numpy as np
        >>> labels = create_array({}, shape=(100, 300, 300), dtype="uint32")
        >>> labels[10] = 7
        >>> labels.chunks, int(labels[10, 200, 100])
        ((64, 256, 256), 7)
    """
    for name in ("serializer", "compressor"):
        if name in kwargs:
            raise TypeError(f"create_array sets {name} itself; use zarr.create_array to choose another")
    if zarr_format not in (2, 3):
        raise ValueError(f"zarr_format is 2 or 3, not {zarr_format!r}")
    options = encoding(preset, markov_model_order, allow_pins)
    if data is not None and not hasattr(data, "dtype"):
        data = np.asarray(data)
    array_shape, array_dtype = _shape_and_dtype(shape, dtype, data)
    native = label_dtype(array_dtype)
    if zarr_format == 3 and not array_dtype.isnative:  # format 3 keeps no byte order
        array_dtype = array_dtype.newbyteorder("=")
        data, dtype = (None, array_dtype) if data is None else (np.asarray(data, dtype=array_dtype), None)
    if chunks is None or isinstance(chunks, str):
        chunks = default_chunks(array_shape, shards)
    if isinstance(chunks, tuple):
        volume_shape(chunks)
    if array_dtype.kind == "b" and isinstance(fill_value, int):
        fill_value = bool(fill_value)

    chain: dict[str, Any]
    if zarr_format == 3:
        if isinstance(dimension_names, str):
            named = 0 < len(array_shape) <= len(AXES)
            dimension_names = AXES[-len(array_shape) :] if named else None
        chain = {
            "filters": filters,
            "serializer": CrackleCodec(**options),
            "compressors": compressors,
            "dimension_names": dimension_names,
        }
    else:
        if filters is not None and len(filters) and filters != "auto":
            raise ValueError(
                "in Zarr format 2 a filter flattens the chunk, so Crackle allows no filters: use filters=None"
            )
        if dimension_names is not None and not isinstance(dimension_names, str):
            raise ValueError("Zarr format 2 has no dimension_names: leave them out, or use zarr_format=3")
        big_endian = native.itemsize > 1 and array_dtype.str[0] == ">"
        crackle = Crackle(**options, byteorder=">" if big_endian else None)
        if compressors is None or compressors in ((), []):
            chain = {"filters": None, "compressors": crackle}
        else:
            chain = {"filters": [crackle], "compressors": compressors}

    write_data = kwargs.pop("write_data", True)
    array = zarr.create_array(
        store,
        shape=shape,
        dtype=dtype,
        data=data,
        write_data=False,
        chunks=chunks,
        shards=shards,
        zarr_format=zarr_format,
        fill_value=fill_value,
        **chain,
        **kwargs,
    )
    if data is not None and write_data:
        # zarr.create_array cannot write the data: before Zarr 3.1.3 it writes the chunks of one shard in
        # parallel, each in a shard of its own, and these replace each other. Assignment writes each shard
        # once.
        array[...] = data
    return array


def _shape_and_dtype(shape: Any, dtype: Any, data: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and dtype of the new array; Zarr itself refuses ``data`` together with them."""
    if data is not None:
        return tuple(data.shape), np.dtype(data.dtype)
    if shape is None or dtype is None:
        raise ValueError(f"an array needs data, or a shape and a dtype, not shape={shape} and dtype={dtype}")
    return (int(shape),) if np.ndim(shape) == 0 else tuple(map(int, shape)), zarr_facts.numpy_dtype(dtype)


def default_chunks(shape: tuple[int, ...], shards: Any) -> tuple[int, ...]:
    """The default shape of a chunk; see the constants above."""
    whole = shards.get("shape") if isinstance(shards, dict) else shards
    if len(shape) < 3:
        most: tuple[int, ...] = ((), (_ONLY_LINE,), _ONLY_PLANE)[len(shape)]
    else:
        most = (*(1,) * (len(shape) - 3), _SLICES, *_PLANE)
    if isinstance(whole, tuple | list) and len(whole) == len(shape):
        return tuple(_largest_divisor(axis, limit) for axis, limit in zip(whole, most, strict=True))
    return tuple(max(1, min(axis, limit)) for axis, limit in zip(shape, most, strict=True))


def _largest_divisor(number: int, limit: int) -> int:
    return next(divisor for divisor in range(max(1, min(number, limit)), 0, -1) if number % divisor == 0)
