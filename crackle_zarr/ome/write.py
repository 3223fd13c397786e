"""Write labels to a new OME-Zarr label image, and build its pyramid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import zarr

from .. import _binding
from .._base import zarr_facts
from ..codecs.create import default_chunks
from ..files.formats.as_zarr import as_zarr
from ..files.formats.common import Volume
from ..stored.claims import Held, claimed
from ..stored.convert import copy_voxels
from ..stored.engine import Options, Progress
from ..stored.forks import fork_of, merged_fork, readable
from ..stored.translating_store import translating, translating_array
from ..stored.unfinished import PYRAMID, begin, clear, end
from ..stored.writing import write_objects
from .create import Description, Design, designed, image_at, integers, join, list_labels, made, place_of
from .levels import Factors, check_factors
from .metadata import Multiscale, open_multiscale
from .pyramid import BuildOptions, build


def write_ome_labels(
    store: Any,
    name: str | None = None,
    data: Any = None,
    axes: Any = None,
    voxel_size: Any = None,
    unit: str | None = None,
    *,
    origin: Any = None,
    image: str | None = None,
    pyramid: bool = True,
    factors: Factors = "auto",
    levels: int | None = None,
    sparse: bool = False,
    colors: Mapping[int, Sequence[int]] | None = None,
    properties: Mapping[int, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    verify: bool = True,
    executor: Executor | None = None,
    parallel: int = 0,
    progress: Progress = False,
    **options: Any,
) -> Multiscale:
    """Write labels as an OME-Zarr label image of version 0.5, with its pyramid.

    If the process ends, the same call with the same labels continues the work.

    Args:
        store: see :func:`create_ome_labels`, as for all arguments that are not listed here.
        name: the label image becomes ``labels/NAME`` in ``store``; None: ``store`` itself becomes the label
            image.
        data: the labels: a NumPy array, a ``zarr.Array``, or anything else with ``shape``, ``dtype`` and
            slices, which is read block by block.
        axes: their names, such as "zyx".
        voxel_size: the edges of a voxel.
        unit: of the voxel size and the origin.
        origin: the position of the centre of the first voxel.
        image: the image that the labels belong to, as a path relative to the label image.
        pyramid: build the lower levels; False writes level 0 alone.
        factors: see :func:`build_pyramid`.
        levels: see :func:`build_pyramid`.
        sparse: see :func:`build_pyramid`.
        colors: see :func:`create_ome_labels`.
        properties: see :func:`create_ome_labels`.
        overwrite: replace a label image of this name.
        verify: read everything back and compare it.
        executor: None for threads, or any ``concurrent.futures.Executor``. Threads of this process copy data
            that is not a ``zarr.Array``.
        parallel: the number of threads; 0 is one per core.
        progress: True for a bar on stderr, or a function of (done, total), for each level.
        **options: passed to :func:`crackle_zarr.create_array`.

    Returns:
        The label image with its levels.

    Raises:
        TypeError: the labels are no integers: OME-Zarr allows no bool.
        ValueError: see :func:`create_ome_labels` and :func:`build_pyramid`.
        FileExistsError: there is a label image of this name, or another process writes there.
        TakenOverError: another process took the work from this one, which has stopped.
        StoreError: a store failed.
        VerificationError: what was read back differs.

    Examples:
        >>> import numpy as np
        >>> labels = np.zeros((40, 128, 128), dtype="uint32")
        >>> cells = write_ome_labels({}, "cells", labels, voxel_size=(40, 8, 8), unit="nm", levels=3)
        >>> [level.shape for level in cells.levels]
        [(40, 128, 128), (40, 64, 64), (40, 32, 32)]
    """
    if data is None or not all(hasattr(data, name) for name in ("shape", "dtype", "__getitem__")):
        raise TypeError(f"data is an array of labels, not {type(data).__name__}")
    _binding.threads(parallel)
    dtype, shape = integers(data.dtype), tuple(map(int, data.shape))
    check_factors(factors, len(shape), levels)
    place, path = place_of(store)
    work = {"shape": list(shape), "dtype": dtype.name, "axes": repr(axes), "voxel_size": repr(voxel_size)}
    with merged_fork(place, executor) as inside:
        around = image_at(inside, path) if name is not None else None
        # Without an image there is one level, and build_pyramid adds the others.
        of_image: Factors = "auto" if around is None else factors
        description = Description(
            shape, dtype, axes, voxel_size, unit, origin, image, None, of_image, colors, properties
        )
        design = designed(inside, path, name, description, options)
        shared = Options(executor=executor, parallel=parallel, progress=progress, fork=fork_of(inside))
        of_build = BuildOptions(factors if around is None else "auto", levels, sparse, verify, overwrite)
        _write(inside, path, design, data, {"labels": work}, of_build, pyramid, shared)
    return open_multiscale(zarr.open_group(place, path=design.path, mode="r+", use_consolidated=False))


def _write(
    store: Any,
    path: str,
    design: Design,
    data: Any,
    work: dict[str, Any],
    levels: BuildOptions,
    pyramid: bool,
    options: Options,
) -> None:
    """Write a label image and, if wanted, its pyramid; see :func:`write_ome_labels`."""
    safe, where = translating(store), design.path
    with claimed(safe, where, "labels") as claim:
        continues = begin(safe, where, work, levels.overwrite, claim)
        labels = _created(store, where) if continues else None
        if labels is None:
            if continues:
                clear(safe, where)
            labels = made(store, path, design)
        elif design.name is not None:
            list_labels(store, path, design.name)
        held = claim.on(safe, where)
        _copy(data, labels.levels[0], levels.verify, continues, options, held)
        if pyramid:
            build(labels, levels, options, claim)
            held.check()
            write_objects(safe, {join(where, PYRAMID): None})
        end(safe, where, claim)


def _copy(
    data: Any, first: zarr.Array[Any], verify: bool, resumed: bool, options: Options, held: Held
) -> None:
    """Write level 0."""
    if isinstance(data, zarr.Array):
        source = translating_array(readable(data, options.executor))
    else:
        source = _lazy(data, first)
        options = replace(options, executor=None, fork=None)
    copy_voxels(source, translating_array(first), verify=verify, resumed=resumed, options=options, held=held)


def _created(store: Any, path: str) -> Multiscale | None:
    """The label image of an interrupted call; None if that did not get so far."""
    try:
        return open_multiscale(zarr.open_group(store, path=path, mode="r+", use_consolidated=False))
    except (FileNotFoundError, ValueError):
        return None


def _lazy(data: Any, first: zarr.Array[Any]) -> zarr.Array[Any]:
    """Labels as an array whose chunks are read on demand."""
    shape, native = tuple(map(int, data.shape)), first.dtype.newbyteorder("=")
    volume = Volume(shape, native, lambda box: np.asarray(data[box], dtype=native))
    chunks = zarr_facts.chunk_shape(first) if math.prod(shape) else default_chunks(shape, None)
    return as_zarr(volume, chunks, None)
