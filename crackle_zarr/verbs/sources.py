"""What the functions on streams and stored arrays take: a source, and options for stored arrays."""

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
    """The keywords of functions on stored arrays, but for the number of threads."""

    region: Any
    verify: bool
    executor: Executor | None
    progress: Progress


class ArrayOptions(OtherOptions, total=False):
    """The keywords of functions on stored arrays; the module says what they mean."""

    parallel: int


def is_stored(source: Any) -> bool:
    """Whether a source is a stored array, and no stream."""
    zarr = sys.modules.get("zarr")  # where it was never imported, nothing is an array of it
    if zarr is None:
        return False
    from ..stored.lazy import RemappedArray

    return isinstance(source, zarr.Array | zarr.Group | RemappedArray)


def stored_source(source: Any, options: ArrayOptions) -> tuple[Layout, Box, Options]:
    """A stored array, ready to be asked."""
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
            f"there is no option {', '.join(unknown)}; region, verify, executor, parallel and progress are"
        )
    asked = Options(**given)  # type: ignore[arg-type]
    _binding.threads(asked.parallel)
    if asked.executor is not None and not isinstance(asked.executor, Executor):
        raise TypeError(
            f"executor is a concurrent.futures.Executor or None, not {type(asked.executor).__name__}; "
            f"of a dask.distributed client it is client.get_executor(pure=False)"
        )
    layout = layout_from(source)
    return layout, box_of(region, layout.shape), asked


def no_options(options: ArrayOptions) -> None:
    """A stream takes no options but a number of threads."""
    unknown = sorted(set(options) - {"parallel"})
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: for stored arrays only, and the source is a stream")
