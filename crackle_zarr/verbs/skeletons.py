"""Skeletons of volumes in memory, of streams, and of stored arrays of any size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypeVar

from .labels import find
from .sources import (
    ArrayOptions,
    Source,
    is_stored,
    refuse_in_memory,
    refuse_without_out,
    stored_source,
    task_memory,
)

if TYPE_CHECKING:
    from ..skeletons import Report, Skeleton
    from ..stored.engine import IndexUse
    from ..stored_skeletons import SkeletonDataset

MEMORY = 2 * 2**30
"""The bytes that a task may take, unless the caller says otherwise."""

SkeletonsT = TypeVar("SkeletonsT")


def skeletonize(
    all_labels: Source,
    teasar_params: Mapping[str, Any] | None = None,
    anisotropy: Sequence[float] | None = None,
    object_ids: Iterable[int] | None = None,
    dust_threshold: float = 1000,
    progress: bool | Callable[[int, int], None] = True,
    fix_branching: bool = True,
    in_place: bool = False,
    fix_borders: bool = True,
    parallel: int | None = None,
    parallel_chunk_size: int = 100,
    extra_targets_before: Iterable[Sequence[int]] = (),
    extra_targets_after: Iterable[Sequence[int]] = (),
    fill_holes: bool = False,
    fix_avocados: bool = False,
    voxel_graph: Any = None,
    *,
    report: Report | None = None,
    labels: Iterable[int] | None = None,
    out: str | os.PathLike[str] | None = None,
    memory: int = MEMORY,
    resume: bool = False,
    overwrite: bool = False,
    cable_threshold: float = 0,
    tick_threshold: float = 0,
    join_close: bool = False,
    executor: Executor | None = None,
    region: Any = None,
    level: int | None = None,
    verify: bool = True,
    index: IndexUse = "auto",
) -> dict[int, Skeleton] | SkeletonDataset:
    """The skeletons of all labels of a volume: trees of centre lines, by TEASAR.

    For an array in memory, a stream or a ``CrackleArray``, this is
    :func:`crackle_zarr.skeletons.skeletonize`, which explains the parameters up to ``report``. A **stored
    array** may have any size. Labels that are named and fit ``memory`` are read from the chunks that hold
    them, and traced in one piece: the result is that of the whole volume in memory. Otherwise the array is
    cut into tiles of whole chunks, which are traced one by one; then the pieces of every label are merged.
    docs/skeletons.md says what tiles can and cannot do.

    Coordinates are physical, in the order x, y, z, whatever the order of the array's axes. Their names say
    which is which; without names, the last axis is x and the one before it y. Voxel size and the position of
    the first voxel are those that the array's metadata state.

    Args:
        all_labels: the volume.
        teasar_params: see there. For a stored array whose metadata state a unit, the defaults of lengths are
            nanometres, converted to it.
        anisotropy: the size of a voxel along x, y and z; None: as the metadata state it, otherwise 1. If it
            is
            given, voxel (0, 0, 0) of a stored array is at the origin.
        object_ids: see there.
        dust_threshold: see there. Voxels of all tiles count.
        progress: see there; for a stored array, a function gets tiles, and then ranges of labels.
        fix_branching: see there.
        in_place: see there.
        fix_borders: see there. It is about the faces of the volume, or of ``region``.
        parallel: threads; 0: one per core. The default is 1 in memory, and 0 for a stored array. Each takes
            ``memory``.
        parallel_chunk_size: see there.
        extra_targets_before: see there; voxels of the whole array.
        extra_targets_after: see there.
        fill_holes: see there.
        fix_avocados: see there.
        voxel_graph: see there; for arrays in memory only.
        report: see there; is filled in only where labels are traced in one piece.
        labels: the same as ``object_ids``.
        out: stored arrays only: a folder for a dataset of skeletons, new or empty; None: return a dict.
        memory: the bytes that a task is meant to take: how large tiles are. It is a target and no limit: a
            tile has at least one chunk, and tasks were measured to take up to 1.7 times as much.
        resume: go on with an interrupted run at ``out``. Array and parameters must be the same.
        overwrite: replace a dataset at ``out``.
        cable_threshold: leave out trees with no more cable than this, as :func:`postprocess` does; stored
            arrays only, as the two below.
        tick_threshold: leave out ends shorter than this.
        join_close: join trees of a label whose balls touch.
        executor: see the questions to stored arrays.
        region: see there. An array with more axes than x, y and z needs one index of each other axis, as in
            ``region=(3, ...)``.
        level: see there.
        verify: see there.
        index: see there; it finds the chunks of labels that are named.

    Returns:
        A dict label -> skeleton, ascending; with ``out`` a
        :class:`~crackle_zarr.stored_skeletons.SkeletonDataset`, which is a mapping like it.

    Raises:
        TypeError: labels are not integers, or a parameter is unknown or of a wrong type.
        DimensionError: an axis that is none of x, y and z is longer than 1.
        ValueError: a number is outside its range; or ``resume`` finds another run, or an array that has
            changed.
        FileExistsError: ``out`` has something.
        FormatError: a chunk is damaged; the message names it.
        StoreError: the store failed.
        ImportError: tiles and ``out`` need pyarrow, which is not installed.

    Complexity:
        As there. Memory: about ``memory`` for each task at work. Merging holds the skeletons of a range of
        labels.
    """
    if labels is not None and object_ids is not None:
        raise TypeError("labels and object_ids are the same: give one of them")
    wanted = object_ids if labels is None else labels
    if not is_stored(all_labels):
        refuse_in_memory(
            out=out is not None,
            executor=executor is not None,
            region=region is not None,
            level=level is not None,
            resume=resume,
            overwrite=overwrite,
            cable_threshold=cable_threshold != 0,
            tick_threshold=tick_threshold != 0,
            join_close=join_close,
        )
        from ..skeletons import skeletonize as in_memory

        return in_memory(
            all_labels,
            teasar_params,
            (1, 1, 1) if anisotropy is None else anisotropy,
            wanted,
            dust_threshold,
            progress,
            fix_branching,
            in_place,
            fix_borders,
            1 if parallel is None else parallel,
            parallel_chunk_size,
            extra_targets_before,
            extra_targets_after,
            fill_holes,
            fix_avocados,
            voxel_graph,
            report=report,
        )
    if voxel_graph is not None:
        raise TypeError("voxel_graph is for arrays in memory, and the source is a stored array")
    from ..stored_skeletons import whole
    from ..stored_skeletons.frame import frame_of
    from ..stored_skeletons.settings import settings_of

    options: ArrayOptions = {
        "region": region,
        "verify": verify,
        "index": index,
        "executor": executor,
        "parallel": max(parallel or 0, 0),
        "progress": progress,
    }
    if level is not None:
        options["level"] = level
    layout, box, checked = stored_source(all_labels, options)
    frame = frame_of(layout, box, anisotropy)
    settings = settings_of(
        frame,
        teasar_params,
        wanted,
        dust_threshold=dust_threshold,
        fix_branching=fix_branching,
        fix_borders=fix_borders,
        fill_holes=fill_holes,
        fix_avocados=fix_avocados,
        extra_targets_before=extra_targets_before,
        extra_targets_after=extra_targets_after,
        cable_threshold=cable_threshold,
        tick_threshold=tick_threshold,
        join_close=join_close,
        verify=verify,
    )
    quiet: ArrayOptions = {**options, "progress": False}
    work = whole.Work(
        frame, settings, checked, task_memory(memory), lambda label: find(all_labels, label, **quiet).chunks
    )
    if out is None:
        refuse_without_out(resume=resume, overwrite=overwrite)
        return whole.skeletonize(work, report)
    return whole.skeletonize_to(work, out, resume, overwrite)


def cross_sectional_area(
    all_labels: Source,
    skeletons: SkeletonsT,
    anisotropy: Sequence[float] | None = None,
    smoothing_window: int = 1,
    progress: bool | Callable[[int, int], None] = False,
    in_place: bool = False,
    fill_holes: bool = False,
    multipass: bool = False,
    repair_contacts: bool = False,
    visualize_section_planes: bool = False,
    step: int = 1,
    *,
    memory: int = MEMORY,
    executor: Executor | None = None,
    parallel: int = 0,
    region: Any = None,
    level: int | None = None,
    verify: bool = True,
    index: IndexUse = "auto",
) -> SkeletonsT:
    """The area of the section across the object at every vertex of its skeleton.

    For a volume in memory, this is :func:`crackle_zarr.skeletons.cross_sectional_area`, which explains the
    parameters up to ``step``. Of a **stored array**, only the chunks along each skeleton are read: a box
    around its vertices in each tile, which grows for those sections that its faces cut. Areas and contacts
    are those of the whole volume in memory.

    Args:
        all_labels: the volume.
        skeletons: see there; coordinates as :func:`skeletonize` returns them for the same volume. They are
            changed, so of a dataset on disk take ``dataset.to_dict()`` or single skeletons.
        anisotropy: the size of a voxel along x, y and z; None: as the array's metadata state it, otherwise 1.
        smoothing_window: see there.
        progress: see there.
        in_place: see there.
        fill_holes: see there. All of a label is read then.
        multipass: see there.
        repair_contacts: see there.
        visualize_section_planes: see there.
        step: see there.
        memory: stored arrays only, as all below: the voxels of a tile, as for :func:`skeletonize`.
        executor: see the questions to stored arrays.
        parallel: see there.
        region: see there; a section ends at its faces, and contacts are about them.
        level: see there.
        verify: see there.
        index: see there.

    Returns:
        ``skeletons``.

    Raises:
        ValueError: see there.
        TypeError: ``skeletons`` is a dataset on disk.
        FormatError: a chunk is damaged; the message names it.
        StoreError: the store failed.

    Complexity:
        As there; and the chunks that hold a label are found first.
    """
    from .. import skeletons as tracing

    if not is_stored(all_labels):
        return tracing.cross_sectional_area(
            all_labels,
            skeletons,
            (1, 1, 1) if anisotropy is None else anisotropy,
            smoothing_window,
            progress,
            in_place,
            fill_holes,
            multipass,
            repair_contacts,
            visualize_section_planes,
            step,
        )
    from ..skeletons.parameters import flag
    from ..stored_skeletons import SkeletonDataset, sections
    from ..stored_skeletons.frame import frame_of

    if isinstance(skeletons, SkeletonDataset):
        raise TypeError(
            "a dataset on disk cannot be changed: take dataset.to_dict(), or single skeletons of it"
        )
    if flag("visualize_section_planes", visualize_section_planes):
        raise NotImplementedError("visualize_section_planes: there is no viewer of planes in this package")
    options: ArrayOptions = {
        "region": region,
        "verify": verify,
        "index": index,
        "executor": executor,
        "parallel": parallel,
        "progress": progress,
    }
    if level is not None:
        options["level"] = level
    layout, box, checked = stored_source(all_labels, options)
    quiet: ArrayOptions = {**options, "progress": False}
    sections.cross_sectional_area(
        frame_of(layout, box, anisotropy),
        skeletons,
        lambda label: find(all_labels, label, **quiet).chunks,
        task_memory(memory),
        checked,
        smoothing_window=smoothing_window,
        fill_holes=flag("fill_holes", fill_holes),
        multipass=multipass,
        repair_contacts=repair_contacts,
        step=step,
    )
    return skeletons
