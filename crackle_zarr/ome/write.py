"""Write labels to a new OME-Zarr label image, and build its pyramid."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import zarr

from .. import _binding
from .._base import zarr_facts
from ..codecs.create import default_chunks
from ..files.formats.as_zarr import as_zarr
from ..files.formats.common import Volume
from ..stored.convert import copy_voxels
from ..stored.engine import Options, Progress
from ..stored.forks import fork_of, merged_fork, readable
from ..stored.translating_store import translating_array
from ..stored.writing import call_store, read_objects, write_objects
from .create import (
    checked_name,
    create_ome_labels,
    image_at,
    integers,
    join,
    list_labels,
    place_of,
    refuse_existing,
)
from .levels import Factors, check_factors
from .metadata import Multiscale, open_multiscale
from .pyramid import build_pyramid

MARKER = ".crackle-write"


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
        FileExistsError: there is a label image of this name.
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
    where = path if name is None else join(path, "labels", checked_name(name))
    work = {"shape": list(shape), "dtype": dtype.name, "axes": repr(axes), "voxel_size": repr(voxel_size)}
    with merged_fork(place, executor) as inside:
        around = image_at(inside, path) if name is not None else None
        create = functools.partial(
            create_ome_labels,
            zarr_facts.place_in(inside, path),
            name,
            shape,
            dtype,
            axes,
            voxel_size,
            unit,
            origin=origin,
            image=image,
            colors=colors,
            properties=properties,
            # Without an image there is one level, and build_pyramid adds the others.
            factors="auto" if around is None else factors,
            **options,
        )
        labels, continues = _begun(inside, where, work, overwrite, create)
        if continues and name is not None:
            list_labels(inside, path, name)
        first = labels.levels[0]
        if isinstance(data, zarr.Array):
            source = translating_array(readable(data, executor))
            here = Options(executor=executor, parallel=parallel, progress=progress, fork=fork_of(inside))
        else:
            source = _lazy(data, shape, dtype, first)
            here = Options(parallel=parallel, progress=progress)
        copy_voxels(source, translating_array(first), verify=verify, resumed=continues, options=here)
        if pyramid:
            labels = build_pyramid(
                labels.group,
                factors if around is None else "auto",
                levels=levels,
                sparse=sparse,
                verify=verify,
                executor=executor,
                parallel=parallel,
                progress=progress,
            )
        write_objects(inside, {join(where, MARKER): None})
    if inside is place:
        return labels
    return open_multiscale(zarr.open_group(place, path=where, mode="r+", use_consolidated=False))


def _begun(
    store: Any, where: str, work: dict[str, Any], overwrite: bool, create: Callable[[], Multiscale]
) -> tuple[Multiscale, bool]:
    """The label image that is to be written, and whether an interrupted call has created it already."""
    continues = _marked(store, where) == work
    there = _created(store, where) if continues else None
    if there is not None:
        return there, True
    if not continues:
        refuse_existing(store, where, overwrite)
    if overwrite or continues:
        call_store(store, where, store.delete_dir(where) if where else store.clear(), "deleted from")
    write_objects(store, {join(where, MARKER): json.dumps(work).encode("ascii")})
    try:
        return create(), continues
    except Exception:  # nothing was written: the arguments do not fit each other
        write_objects(store, {join(where, MARKER): None})
        raise


def _marked(store: Any, path: str) -> Any:
    (raw,) = read_objects(store, [join(path, MARKER)])
    try:
        return None if raw is None else json.loads(raw)
    except ValueError:  # half written
        return None


def _created(store: Any, path: str) -> Multiscale | None:
    """The label image of an interrupted call; None if that did not get so far."""
    try:
        return open_multiscale(zarr.open_group(store, path=path, mode="r+", use_consolidated=False))
    except (FileNotFoundError, ValueError):
        return None


def _lazy(data: Any, shape: tuple[int, ...], dtype: np.dtype[Any], first: zarr.Array[Any]) -> zarr.Array[Any]:
    """Labels as an array whose chunks are read on demand."""
    native = dtype.newbyteorder("=")
    volume = Volume(shape, native, lambda box: np.asarray(data[box], dtype=native))
    chunks = zarr_facts.chunk_shape(first) if math.prod(shape) else default_chunks(shape, None)
    return as_zarr(volume, chunks, None)
