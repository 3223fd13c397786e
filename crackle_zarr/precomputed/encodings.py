"""The encodings of chunks: their bytes to voxels and back.

Tensorstore decodes and encodes compressed segmentations: each chunk goes through a volume in its memory.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from ..codecs.chunk import as_volume
from ..errors import FormatError
from ..files.volumes import UnusableError
from .info import ENCODINGS, Info, Scale

# Types of labels that an encoding has.
_SEGMENTATION = ("uint32", "uint64")


def check(info: Info, scale: Scale, place: str) -> None:
    """Reject a scale whose chunks cannot be decoded.

    Raises:
        UnusableError: its encoding is unknown, or does not go with the type of the labels.
        ImportError: the encoding needs tensorstore, and it is not installed.
    """
    if scale.encoding not in ENCODINGS:
        raise UnusableError(
            f"{place}: the scale {scale.key} has the encoding {scale.encoding!r}; this package reads "
            f"{', '.join(ENCODINGS)}"
        )
    if scale.encoding == "compressed_segmentation":
        if info.dtype.name not in _SEGMENTATION:
            raise UnusableError(
                f"{place}: a compressed_segmentation has labels of uint32 or uint64, not {info.dtype.name}"
            )
        require_tensorstore()
    if scale.encoding == "crackle" and info.channels > 1:
        raise UnusableError(f"{place}: chunks of Crackle have one channel, not {info.channels}")


def require_tensorstore() -> Any:
    """Tensorstore.

    Raises:
        ImportError: it is not installed; the message has the command that installs it.
    """
    try:
        import tensorstore
    except ImportError as error:
        raise ImportError(
            "chunks of compressed_segmentation need the package tensorstore: "
            "pip install 'crackle-zarr[precomputed]'"
        ) from error
    return tensorstore


# ---------------------------------------------------------------------------------------
# raw


def from_raw(raw: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The voxels of a raw chunk (channel, z, y, x)."""
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(raw) != expected:
        raise FormatError(f"it has {len(raw)} bytes, and its voxels need {expected}")
    return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape)


def to_raw(voxels: npt.NDArray[Any]) -> bytes:
    """The bytes of a raw chunk."""
    return np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).tobytes()


# ---------------------------------------------------------------------------------------
# crackle


def from_stream(raw: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The voxels of a Crackle stream of the shape (z, y, x), in the stream's own type."""
    reader = _binding.Reader(raw)
    header = reader.header
    check_shape(header.shape, shape)
    voxels = np.empty(shape, header.dtype)
    reader.decode(as_volume(voxels), 0, header.sz, parallel=1)
    return voxels


def check_shape(found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raise FormatError if a stream (x, y, z) has another shape than its chunk (z, y, x)."""
    if tuple(found) != shape[::-1]:
        raise FormatError(
            f"the Crackle stream has the shape (x, y, z) = {tuple(found)}, and the chunk {shape[::-1]}",
            section="header",
        )


def to_stream(voxels: npt.NDArray[Any], like: bytes) -> bytes:
    """The Crackle stream of voxels (z, y, x), with the options of another stream."""
    header = _binding.read_header(like)
    return _binding.encode(
        as_volume(np.ascontiguousarray(voxels)),
        fortran_order=True,
        markov_order=header.markov_model_order,
        pins=1 if header.label_format else 0,
        parallel=1,
    )


# ---------------------------------------------------------------------------------------
# compressed_segmentation


class Segmentations:
    """Decodes and encodes chunks of a compressed segmentation.

    Tensorstore has the codec only behind its driver. So a volume with the scale's metadata lies in its
    memory, and each chunk is stored there while it is converted.
    """

    def __init__(self, info: Info, scale: Scale) -> None:
        tensorstore = require_tensorstore()
        context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})
        entry = scale.as_json()
        entry["chunk_size"] = entry.pop("chunk_sizes")[0]
        entry["key"] = "s"
        self._chunks = tensorstore.KvStore.open("memory://s/", context=context).result()
        self._volume = tensorstore.open(
            {
                "driver": "neuroglancer_precomputed",
                "kvstore": "memory://",
                "multiscale_metadata": {
                    "type": "segmentation",
                    "data_type": info.dtype.name,
                    "num_channels": info.channels,
                },
                "scale_metadata": entry,
                "store_data_equal_to_fill_value": True,
            },
            create=True,
            context=context,
        ).result()
        self._range = tensorstore.KvStore.KeyRange
        self._scale = scale

    def decode(self, raw: bytes, cell: tuple[int, ...]) -> npt.NDArray[Any]:
        """The voxels (channel, z, y, x) of the chunk of a cell (x, y, z)."""
        name = self._scale.name(cell)
        self._chunks.write(name, raw).result()
        try:
            voxels = self._part(cell).read().result()
        except Exception as error:
            reason = " ".join(str(error).split())
            raise FormatError(f"it is no sound compressed_segmentation: {reason}") from error
        finally:
            self._delete(name)
        return np.asarray(voxels).T

    def encode(self, voxels: npt.NDArray[Any], cell: tuple[int, ...]) -> bytes:
        """The bytes of a chunk."""
        name = self._scale.name(cell)
        self._part(cell).write(np.ascontiguousarray(voxels).T).result()
        raw = bytes(self._chunks.read(name).result().value)
        self._delete(name)
        return raw

    def _part(self, cell: tuple[int, ...]) -> Any:
        scale = self._scale
        begins = [begin + offset for begin, offset in zip(scale.begin(cell), scale.offset, strict=True)]
        return self._volume[
            tuple(
                slice(begin, begin + length) for begin, length in zip(begins, scale.shape(cell), strict=True)
            )
        ]

    def _delete(self, name: str) -> None:
        self._chunks.delete_range(self._range(name, name + "\0")).result()


class LateSegmentations:
    """Segmentations that are made at the first use, in any thread; it pickles."""

    def __init__(self, info: Info, scale: Scale) -> None:
        self._arguments = (info, scale)
        self._made: Segmentations | None = None
        self._making = threading.Lock()

    def get(self) -> Segmentations:
        """The codec."""
        with self._making:
            if self._made is None:
                self._made = Segmentations(*self._arguments)
            return self._made

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of."""
        return (LateSegmentations, self._arguments)
