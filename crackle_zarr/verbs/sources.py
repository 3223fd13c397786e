"""Sources and options of the functions on streams and stored arrays."""

from __future__ import annotations

import sys
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _binding

if TYPE_CHECKING:
    from ..stored.engine import Options, Progress
    from ..stored.layout import Box, Layout

T = TypeVar("T")
Labels = npt.NDArray[np.integer[Any]]
Source = Any


class OtherOptions(TypedDict, total=False):
    """The keywords of functions on stored arrays, without the number of threads."""

    region: Any
    verify: bool
    executor: Executor | None
    progress: Progress


class ArrayOptions(OtherOptions, total=False):
    """The keywords of functions on stored arrays; see :mod:`crackle_zarr.verbs`."""

    parallel: int


def is_stored(source: Any) -> bool:
    """Whether a source is a stored array, not a stream."""
    zarr = sys.modules.get("zarr")  # if Zarr was not imported, no object is an array of Zarr
    if zarr is None:
        return False
    from ..stored.lazy import RemappedArray

    return isinstance(source, zarr.Array | zarr.Group | RemappedArray)


def stored_source(source: Any, options: ArrayOptions) -> tuple[Layout, Box, Options]:
    """The layout of a stored array, the region as a box, and the checked options."""
    if not is_stored(source):
        raise TypeError(f"a stored array is a zarr.Array or a group of OME-Zarr, not {type(source).__name__}")
    from ..stored.engine import Options
    from ..stored.layout import box_of
    from ..stored.sources import layout_from

    given = dict(options)
    region = given.pop("region", None)
    unknown = sorted(set(given) - {"verify", "executor", "parallel", "progress"})
    if unknown:
        raise TypeError(
            f"there is no option {', '.join(unknown)}; there are region, verify, executor, parallel, progress"
        )
    checked = Options(**given)  # type: ignore[arg-type]
    _binding.threads(checked.parallel)
    if checked.executor is not None and not isinstance(checked.executor, Executor):
        raise TypeError(
            f"executor is a concurrent.futures.Executor or None, not {type(checked.executor).__name__}; "
            f"for a dask.distributed client, use client.get_executor(pure=False)"
        )
    layout = layout_from(source)
    return layout, box_of(region, layout.shape), checked


def no_options(options: ArrayOptions) -> None:
    """Raise TypeError for options that a stream does not take: all but the number of threads."""
    unknown = sorted(set(options) - {"parallel"})
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: for stored arrays only, and the source is a stream")
