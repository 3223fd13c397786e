"""The bytes of a stored object as a stream or as voxels, and back.

Codecs behind Crackle, such as zstd, are undone and applied here. Objects that are not Crackle, and those that
cannot be edited as streams, go through Zarr itself: an array in memory gets the metadata of the stored one
and one object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import MemoryStore

from .. import _binding
from .._base import zarr_facts
from .._base.zarr_facts import Buffer
from ..codecs.chunk import as_volume, label_dtype, plain
from ..errors import CrackleError, FormatError, StoreError
from .fetch import Bytes
from .layout import Box, Coords, Layout, box_text, num_voxels, slices_of


def undo(layout: Layout, raw: Bytes) -> Any:
    """The stream of a chunk from its bytes in the store."""
    assert layout.chain is not None
    if not layout.chain.outer:
        return raw
    try:
        return zarr_facts.decode_bytes(layout.array, layout.chain.outer, raw)
    except (CrackleError, MemoryError):
        raise
    except Exception as error:  # every codec has exceptions of its own for damaged bytes
        reason = " ".join(str(error).split())
        raise FormatError(f"it cannot be decompressed: {type(error).__name__}: {reason}") from error


def redo(layout: Layout, stream: bytes) -> bytes:
    """The bytes of a chunk in the store from its stream."""
    assert layout.chain is not None
    return zarr_facts.encode_bytes(layout.array, layout.chain.outer, stream)


def decoded(layout: Layout, box: Box, key: str) -> npt.NDArray[Any]:
    """Voxels of an object as Zarr reads and decodes them, as native integers in C order."""
    try:
        return _voxels(layout.array, box, layout.native)
    except (CrackleError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"{key} of {layout.name}: the voxels {box_text(box)} cannot be read: "
            f"{type(error).__name__}: {reason}"
        ) from error


def decoded_object(layout: Layout, key: str, raw: Bytes | None, box: Box) -> npt.NDArray[Any]:
    """Voxels of an object as Zarr decodes them from its bytes, as native integers in C order.

    Args:
        layout: of the array.
        key: of the object within the array.
        raw: the object; None: there is none.
        box: the voxels, all of them of this object.
    """
    objects = zarr_facts.metadata_objects(layout.array)
    if raw is not None:
        objects[key] = zarr_facts.buffer_of(raw)
    try:
        return _voxels(scratch_array(layout, objects), box, layout.native)
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise FormatError(
            f"chunk {layout.path(key)}: it cannot be decoded: {type(error).__name__}: {reason}"
        ) from error


def scratch_array(layout: Layout, objects: dict[str, Buffer]) -> zarr.Array[Any]:
    """An array in memory, encoded as a stored one is, of its metadata and some of its chunks."""
    return zarr.open_array(
        MemoryStore(objects),
        mode="r+",
        zarr_format=zarr_facts.format_of(layout.array),
        config={"write_empty_chunks": layout.writes_empty_chunks},
    )


def _voxels(array: zarr.Array[Any], box: Box, native: np.dtype[Any]) -> npt.NDArray[Any]:
    if num_voxels(box) == 0:
        return np.empty([stop - start for start, stop in box], dtype=native)
    voxels = np.asarray(array[slices_of(box)])
    chunk = plain(voxels).astype(label_dtype(voxels.dtype), copy=False)
    return np.ascontiguousarray(chunk).reshape(voxels.shape)


def padded(layout: Layout, coords: Coords, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The voxels of a chunk within the array, with the fill value beyond the array's edge."""
    shape = layout.chunk_shape(coords)
    if voxels.shape == shape:
        return voxels
    whole = np.full(shape, layout.fill, dtype=layout.native)
    whole[tuple(map(slice, voxels.shape))] = voxels
    return whole


def encode(chunk: npt.NDArray[Any], **options: Any) -> bytes:
    """The stream of a C-order chunk, as the codecs make it."""
    return _binding.encode(as_volume(chunk), fortran_order=True, parallel=1, **options)
