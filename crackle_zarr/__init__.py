"""Crackle for NumPy, numcodecs and Zarr: dense label volumes, small and readable in parts.

Functions take one Crackle stream, and those that ask questions of labels take a stored ``zarr.Array``
as well; :class:`CrackleArray` lets a stream behave like an array. The codecs need numcodecs and Zarr,
which are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import codec
from ._header import CrackleHeader
from .array import CrackleArray, compressa
from .errors import CrackleError, CrackleWarning, FormatError, JournalError, StoreError, VerificationError
from .files import aload, bload, load, save
from .stream import (
    array_equal,
    ascontiguousarray,
    asfortranarray,
    astype,
    compress,
    decompress,
    header,
    nbytes,
    refit,
    renumber,
)
from .verbs import (
    bounding_boxes,
    centroids,
    contains,
    contains_range,
    convert,
    crop,
    each,
    find,
    labels,
    lazy_remap,
    max,
    min,
    num_labels,
    point_cloud,
    remap,
    resume,
    select,
    statistics,
    undo,
    verify,
    voxel_counts,
)

if TYPE_CHECKING:
    from .create import create_array
    from .numcodecs_codec import Crackle
    from .zarr_codec import CrackleCodec

__version__ = "0.1.0"

__all__ = [
    "Crackle",
    "CrackleArray",
    "CrackleCodec",
    "CrackleError",
    "CrackleHeader",
    "CrackleWarning",
    "FormatError",
    "JournalError",
    "StoreError",
    "VerificationError",
    "__version__",
    "aload",
    "array_equal",
    "ascontiguousarray",
    "asfortranarray",
    "astype",
    "bload",
    "bounding_boxes",
    "centroids",
    "codec",
    "compress",
    "compressa",
    "contains",
    "contains_range",
    "convert",
    "create_array",
    "crop",
    "decompress",
    "each",
    "find",
    "header",
    "labels",
    "lazy_remap",
    "load",
    "max",
    "min",
    "nbytes",
    "num_labels",
    "point_cloud",
    "refit",
    "remap",
    "renumber",
    "resume",
    "save",
    "select",
    "statistics",
    "undo",
    "verify",
    "voxel_counts",
]

# What needs numcodecs or Zarr, and where it is.
_LATE = {"Crackle": "numcodecs_codec", "CrackleCodec": "zarr_codec", "create_array": "create"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LATE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
