"""Connected components of a stored array, written to another one."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore

from ..._base import zarr_facts
from ..._base.passwords import without_password
from ..._base.patience import session_of
from ...codecs.create import create_array, default_chunks
from ...errors import FormatError
from ...streams.statistics_table import StatisticsRow, StatisticsTable
from ..claims import claimed, place_text
from ..convert import refuse_overlap
from ..engine import Options, run
from ..layout import Layout, layout_of
from ..translating_store import translating
from ..unfinished import begin, clear_metadata, end
from ..writing import translated_errors
from .cleaning import Rule
from .parts import Parts, as_labels, parts_of, remove_pending
from .pieces import Joining
from .writing import WriteChunks, Written

# Pending work lies below this key of the result.
PENDING = ".crackle-components"
# How many rows of parts are added up at once.
_BLOCK = 2**18


@dataclass(frozen=True)
class ComponentsReport:
    """What was made of the components of a stored array.

    Attributes:
        array: the result.
        count: how many components there are.
        chunks: how many objects were written.
        nbytes: their bytes.
        table: a row per component, ascending: see ``crackle_zarr.connected_components``.
    """

    array: zarr.Array[Any]
    count: int
    chunks: int
    nbytes: int
    table: StatisticsTable


def write_parts(
    joining: Joining, parts: Parts, values: npt.NDArray[Any], rest: int, options: Options
) -> Written:
    """Write all chunks of the target.

    Args:
        joining: what was joined.
        parts: all parts.
        values: the label of each part.
        rest: the label of all other voxels.
        options: how.
    """
    target = joining.target
    labels = values.astype(target.native, copy=False)
    place = {one: number for number, one in enumerate(parts.coords)}
    tasks = (
        WriteChunks(joining, tuple(some), tuple(labels[parts.of(place[one])] for one in some), rest)
        for some in target.by_object(parts.coords).values()
    )
    done = run(tasks, options, total=len(parts.coords), unit="chunk", merge=Written.__add__)
    return done or Written(0, 0)


# ---------------------------------------------------------------------------------------
# The verb


def axes_of(layout: Layout, axes: Sequence[int] | None, spatial: Sequence[int]) -> tuple[int, ...]:
    """The axes along which voxels touch.

    Args:
        layout: of the array.
        axes: given ones; None: those of space, or else the last three.
        spatial: the axes of space, if their names say so.
    """
    chosen = tuple(sorted(spatial if axes is None else axes))
    if not 2 <= len(chosen) <= 3 and len(chosen) != len(layout.shape):
        raise ValueError(f"voxels touch along two or three axes, not {len(chosen)}: {list(chosen)}")
    return chosen


def new_joining(
    source: Layout,
    target: Layout,
    axes: tuple[int, ...],
    connectivity: Literal[6, 26],
    background: int | None,
    verify: bool,
    stack: ExitStack,
) -> Joining:
    """What is joined; pending work lies in the target's store, or beside a session in a folder of its own."""
    if session_of(target.store) is None:
        store: Any = target.store
        prefix = target.path(PENDING)
    else:  # a session takes only Zarr's keys
        store = LocalStore(stack.enter_context(tempfile.TemporaryDirectory(prefix="crackle-zarr-")))
        prefix = PENDING
    return Joining(source, target, axes, connectivity, background, store, prefix, verify)


def connected_components(
    source: Layout,
    store: Any,
    path: str,
    *,
    axes: tuple[int, ...],
    connectivity: Literal[6, 26],
    background: int | None,
    dtype: np.dtype[Any] | None,
    values: Rule | None,
    call: dict[str, Any],
    overwrite: bool,
    options: Options,
    meets: bool = False,
) -> ComponentsReport:
    """Write an array made of components: see ``crackle_zarr.connected_components``.

    Args:
        source: the array.
        store: of the result.
        path: of the result within the store.
        axes: along which voxels touch.
        connectivity: 6 or 26.
        background: the label that belongs to no component; None: there is none.
        dtype: of the result; None: the smallest that holds all numbers.
        values: the label of each part in the result; None: the number of its component.
        call: what is done, as JSON, so that only the same call goes on with it.
        overwrite: replace what is there.
        options: how.
        meets: whether ``values`` needs to know which components share faces.
    """
    place, store = store, translating(store)
    conversion = {**call, "source": without_password(str(source.array.store_path)), "axes": list(axes)}
    conversion = json.loads(json.dumps(conversion))
    refuse_overlap(source.array, store, path, place_text(store, path))
    with ExitStack() as stack:
        claim = stack.enter_context(claimed(store, path, "conversion"))
        resumed = begin(store, path, conversion, overwrite, claim)
        # Names are known at last, so the array has its dtype then.
        draft = _created(source, store, path, np.dtype(np.uint64) if dtype is None else dtype, resumed)
        joining = new_joining(source, layout_of(draft), axes, connectivity, background, options.verify, stack)
        joining = replace(joining, held=claim.on(store, path), meets=meets)
        coords = list(joining.target.coords_in(joining.target.everything))
        parts = parts_of(joining, coords, resumed, options)
        roots, numbers = parts.whole()
        if values is None:
            rest = 0
            smallest = np.min_scalar_type(len(roots)) if dtype is None else dtype
            if len(roots) > np.iinfo(smallest).max:
                raise ValueError(f"there are {len(roots):,} components, which {smallest} does not hold")
            labels: npt.NDArray[Any] = numbers.astype(smallest)
            labels += smallest.type(1)
            if smallest != draft.dtype:
                clear_metadata(store, path)
                draft = _created(source, store, path, smallest, False)
                joining = replace(joining, target=layout_of(draft))
        else:
            labels, rest = values(joining, parts), 0 if background is None else background
        written = write_parts(joining, parts, labels, rest, options)
        remove_pending(joining, coords)
        end(store, path, claim)
    names = np.arange(1, len(roots) + 1) if values is None else labels[roots]
    table = table_of(parts, roots, numbers, names, source.array.dtype)
    array = zarr_facts.array_in(draft, place)
    return ComponentsReport(array, len(roots), written.objects, written.nbytes, table)


def _created(source: Layout, store: Any, path: str, dtype: np.dtype[Any], resumed: bool) -> zarr.Array[Any]:
    """The array of the result, with the source's grid and names of axes."""
    array = source.array
    if resumed:
        try:
            there = zarr.open_array(store, path=path, mode="r+")
        except (FormatError, FileNotFoundError):  # its metadata are half written
            clear_metadata(store, path)
        else:
            if there.dtype == dtype:
                return there
            clear_metadata(store, path)
    zarr_format = zarr_facts.format_of(array)
    more: dict[str, Any] = {}
    if zarr_format == 3:
        more["dimension_names"] = zarr_facts.dimension_names(array)
    kept = {name: value for name, value in array.attrs.asdict().items() if name not in _OF_LABELS}
    chunks = zarr_facts.chunk_shape(array) if math.prod(array.shape) else default_chunks(array.shape, None)
    with translated_errors(store, path or "the array", "created in"):
        return create_array(
            store,
            name=path or None,
            shape=tuple(array.shape),
            dtype=dtype,
            chunks=chunks,
            shards=zarr_facts.shard_shape(array),
            zarr_format=zarr_format,
            fill_value=0,
            attributes=kept,
            **more,
        )
    raise AssertionError("errors leave the block above")


# Attributes that say something of the source's labels.
_OF_LABELS = ("label_names", "label_colors", "image-label")


def table_of(
    parts: Parts,
    roots: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
    names: npt.NDArray[Any],
    label: np.dtype[Any],
) -> StatisticsTable:
    """The table of components: the number, the label, voxels, box and centroid of each."""
    rows, count = parts.rows, len(roots)
    ndim = rows.dtype["start"].shape[0] if rows.dtype.names else 0
    fields: list[tuple[str, Any]] = [("component", "u8"), ("label", label), ("voxel_count", "u8")]
    for name, kind in (("start", "u8"), ("stop", "u8"), ("centroid", "f8")):
        fields += [(f"{name}_{axis}", kind) for axis in range(ndim)]
    table = np.zeros(count, dtype=np.dtype((StatisticsRow, np.dtype(fields)))).view(StatisticsTable)
    if not count:
        return table
    plain = table.view(np.ndarray)
    plain["component"] = names
    plain["label"] = as_labels(rows["label"][roots], label)
    for axis in range(ndim):
        plain[f"start_{axis}"] = np.iinfo(np.uint64).max
    # Columns of the table add up blocks of rows, which may lie in a file.
    for start in range(0, len(rows), _BLOCK):
        block, here = rows[start : start + _BLOCK], numbers[start : start + _BLOCK]
        np.add.at(plain["voxel_count"], here, block["voxels"])
        for axis in range(ndim):
            np.minimum.at(plain[f"start_{axis}"], here, block["start"][:, axis])
            np.maximum.at(plain[f"stop_{axis}"], here, block["stop"][:, axis])
            np.add.at(plain[f"centroid_{axis}"], here, block["sum"][:, axis].astype(np.float64))
    for axis in range(ndim):
        plain[f"centroid_{axis}"] /= plain["voxel_count"]
    return table
