"""Sources and options of the functions on streams and stored arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _binding

if TYPE_CHECKING:
    from ..stored.engine import IndexUse, Options, Progress
    from ..stored.layout import Box, Layout
    from ..stored.told import OnUnfinished

T = TypeVar("T")
Labels = npt.NDArray[np.integer[Any]]
Source = Any


class OtherOptions(TypedDict, total=False):
    """The keywords of functions on stored arrays, without the number of threads."""

    region: Any
    verify: bool
    level: int
    executor: Executor | None
    progress: Progress
    index: IndexUse
    unfinished: OnUnfinished
    retries: int


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
    from ..stored.forks import fork_of, readable
    from ..stored.index.choice import look
    from ..stored.layout import box_of
    from ..stored.sources import layout_from
    from ..stored.told import tell

    given = dict(options)
    region, level = given.pop("region", None), given.pop("level", None)
    unfinished: Any = given.pop("unfinished", "warn")
    retries = checked_retries(given.pop("retries")) if "retries" in given else None
    unknown = sorted(set(given) - {"verify", "executor", "parallel", "progress", "index"})
    if unknown:
        raise TypeError(
            f"there is no option {', '.join(unknown)}; there are region, level, verify, executor, "
            f"parallel, progress, index, unfinished"
        )
    checked = Options(**given)  # type: ignore[arg-type]
    _binding.threads(checked.parallel)
    if checked.index not in ("auto", "require", "ignore"):
        raise ValueError(f"index is 'auto', 'require' or 'ignore', not {checked.index!r}")
    if checked.executor is not None and not isinstance(checked.executor, Executor):
        raise TypeError(
            f"executor is a concurrent.futures.Executor or None, not {type(checked.executor).__name__}; "
            f"for a dask.distributed client, use client.get_executor(pure=False)"
        )
    layout = layout_from(source if level is None else array_of_level(source, level)).patient(retries)
    layout = replace(layout, array=readable(layout.array, checked.executor))
    checked = replace(checked, fork=fork_of(layout.store))
    box = box_of(region, layout.shape)
    if unfinished in ("warn", "refuse"):
        checked = replace(checked, looked=look(layout, box, checked.index))
    if checked.looked is None or checked.looked.lookup is None:
        tell(layout, unfinished)
    return layout, box, checked


@contextmanager
def editable(source: Any, executor: Executor | None) -> Iterator[Any]:
    """A source for an edit on an executor: an array or a group in a session of Icechunk is in a fork of it.

    The session has the changes when the block ends, and none if it raises.
    """
    if not is_stored(source) or not hasattr(source, "store_path"):  # no source of edits; they say so
        yield source
        return
    from ..stored.forks import merged_fork

    with merged_fork(source, executor) as inside:
        yield inside


def checked_retries(retries: object) -> int:
    """How often a request to a store is repeated.

    Raises:
        TypeError: it is no integer.
        ValueError: it is negative.
    """
    from .._base.integers import integer

    number = integer("retries", retries)
    if number < 0:
        raise ValueError(f"retries is a number of repeats, or 0 for none, not {number}")
    return number


def array_of_level(source: Any, level: Any) -> Any:
    """The array of a level of a group of OME-Zarr.

    Raises:
        TypeError: the source is no group, or ``level`` no integer.
        ValueError: there is no such level.
    """
    if not hasattr(source, "members"):
        raise TypeError(f"level is for groups of OME-Zarr, and the source is a {type(source).__name__}")
    from .._base.integers import integer
    from ..ome.metadata import open_multiscale

    number = integer("level", level)
    levels = open_multiscale(source).levels
    if not 0 <= number < len(levels):
        raise ValueError(f"{source.store_path} has the levels 0 to {len(levels) - 1}, and not {number}")
    return levels[number]


def no_options(options: ArrayOptions) -> None:
    """Raise TypeError for options that a stream does not take: all but the number of threads."""
    unknown = sorted(set(options) - {"parallel"})
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: for stored arrays only, and the source is a stream")


def refuse_in_memory(**given: bool) -> None:
    """Raise TypeError for parameters that are given, and that a volume in memory does not take."""
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise TypeError(f"{', '.join(names)}: for stored arrays only, and the source is in memory")


def refuse_without_out(**given: bool) -> None:
    """Raise TypeError for parameters that are given, and that need the folder ``out``."""
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise TypeError(f"{', '.join(names)}: only with out, the folder of a dataset")


def task_memory(memory: Any) -> int:
    """The bytes that a task may take.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 2**20.
    """
    from .._base.integers import integer

    number = integer("memory", memory)
    if number < 2**20:
        raise ValueError(f"memory is a number of bytes from 2**20 on, not {number}")
    return number
