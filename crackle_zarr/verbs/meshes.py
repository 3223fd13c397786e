"""Meshes of labels, of stored arrays of any size and of volumes in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _binding
from .._base.integers import holds, integer
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
    from ..meshes import Mesh, MeshFolder
    from ..meshes.labels import Settings
    from ..meshes.volumes import Volume
    from ..stored.engine import IndexUse, Options
    from ..stored.layout import Coords

MESH_MEMORY = 2**30
"""The bytes that a tile may take, unless the caller says otherwise."""

MeshFormat = Literal["precomputed", "ply", "obj", "glb"]


def mesh(
    source: Source,
    labels: Iterable[int] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    format: MeshFormat = "precomputed",
    simplify: float = 1,
    max_error: float | None = None,
    anisotropy: Sequence[float] | None = None,
    memory: int = MESH_MEMORY,
    resume: bool = False,
    overwrite: bool = False,
    executor: Executor | None = None,
    parallel: int = 0,
    progress: bool | Callable[[int, int], object] = False,
    region: Any = None,
    level: int | None = None,
    verify: bool = True,
    index: IndexUse = "auto",
) -> dict[int, Mesh] | MeshFolder:
    """The surfaces of labels as triangle meshes, by marching cubes.

    The volume is cut into tiles, which share a plane of voxels. Tiles are meshed one by one; then the pieces
    of each label are joined where their vertices are equal, so the mesh is that of the whole volume: closed,
    without seams. Simplification comes last, on the whole mesh of a label, and keeps it closed. Of a few
    labels, no others are decoded.

    Coordinates are physical, in the order x, y, z, whatever the order of the array's axes: the centre of
    voxel (0, 0, 0) is at the origin, or where the array's metadata say, as for :func:`skeletonize`. Files of
    the format ``precomputed`` are in nanometres and half a voxel further, because a voxel of Neuroglancer's
    volumes begins where its index says.

    Args:
        source: a stored array, a stream, a ``CrackleArray``, or an array in memory with the axes x, y, z.
        labels: only these; None: all but 0.
        out: a folder for files, new or empty; None: return the meshes. A folder in a precomputed volume is
            named as its ``mesh`` in the ``info`` of the volume.
        format: of the files: ``precomputed`` for Neuroglancer (``LABEL:0`` and ``LABEL.mesh``), or ``ply``,
            ``obj`` or ``glb``, a file ``LABEL.ply`` each.
        simplify: by how much to divide the number of faces of a label; 1 changes nothing.
        max_error: how far simplification may move the surface, in the unit of the voxel size. It ends there,
            with more faces than ``simplify`` asks for. None: the longest edge of a voxel. It is an estimate:
            in measurements surfaces moved by less, from one voxel on.
        anisotropy: the size of a voxel along x, y and z; None: as the metadata state it, otherwise 1. If it
            is given, voxel (0, 0, 0) is at the origin.
        memory: the bytes that a tile is meant to take. A tile has at least one chunk. Joining takes the
            largest mesh of a label besides.
        resume: go on with an interrupted run at ``out``: labels whose files are whole are not made again.
            Array and parameters must be the same.
        overwrite: replace the meshes at ``out``.
        executor: stored arrays only; see the questions to stored arrays.
        parallel: threads; 0: one per core. Each takes ``memory``.
        progress: True for a bar on stderr, or a function of (done, total): tiles, and then labels.
        region: stored arrays only; see there. Surfaces are closed at its faces.
        level: stored arrays only; see there.
        verify: see there.
        index: see there; it finds the chunks of labels that are named.

    Returns:
        A dict label -> :class:`~crackle_zarr.meshes.Mesh`, ascending; with ``out`` a
        :class:`~crackle_zarr.meshes.MeshFolder`, which is a mapping like it and reads meshes lazily.

    Raises:
        MissingLabelError: there is no such label.
        TypeError: labels are not integers, or a parameter is of a wrong type.
        DimensionError: an axis that is none of x, y and z is longer than 1.
        ValueError: a number is outside its range; ``labels`` has 0, the background; a label for Neuroglancer
            is negative; or ``resume`` finds another run, or an array that has changed.
        FileExistsError: ``out`` has something.
        FormatError: a chunk is damaged; the message names it.
        StoreError: the store failed.
        ImportError: zmesh is not installed, or for files of other formats than ``precomputed``, trimesh.

    Complexity:
        Time is linear in the voxels of the tiles that hold a label, and in the faces; simplification takes
        most of it. Memory: ``memory`` for each task at work, or the largest mesh of a label.
    """
    from ..meshes import whole
    from ..meshes.surface import zmesh_module

    zmesh_module()
    wanted = _wanted(labels)
    if out is None:
        refuse_without_out(resume=resume, overwrite=overwrite)
    if is_stored(source):
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
        volume, checked, coords, facts = _stored(source, wanted, options, anisotropy, out is not None)
    else:
        refuse_in_memory(executor=executor is not None, region=region is not None, level=level is not None)
        volume, checked, facts = _in_memory(source, parallel, progress, anisotropy, out is not None)
        coords = None
    settings = _settings(volume, None if out is None else format, simplify, max_error)
    work = whole.Work(volume, settings, wanted, checked, task_memory(memory), coords)
    if out is None:
        return whole.meshes(work)
    return whole.meshes_to(work, out, facts, resume, overwrite)


def _wanted(labels: Iterable[int] | None) -> tuple[int, ...] | None:
    if labels is None:
        return None
    found = tuple(sorted({integer("a label", label) for label in labels}))
    if 0 in found:
        raise ValueError("labels has 0, which is the background and has no mesh: leave it out")
    return found


def _settings(volume: Volume, kind: str | None, simplify: Any, max_error: Any) -> Settings:
    from ..meshes.encodings import FORMATS, trimesh_module
    from ..meshes.labels import Settings
    from ..skeletons.parameters import number

    if kind is not None and kind not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {kind!r}")
    if kind not in (None, "precomputed"):
        trimesh_module()
    factor = number("simplify", simplify)
    if not 1 <= factor < math.inf:
        raise ValueError(
            f"simplify divides the number of faces, and is a number from 1 on (1 changes nothing), "
            f"not {simplify!r}"
        )
    error = max(volume.size) if max_error is None else number("max_error", max_error)
    if not 0 < error < math.inf:
        raise ValueError(f"max_error is a length above 0, not {max_error!r}")
    return Settings(kind, factor, error, volume.size, volume.origin, volume.unit)


def _stored(
    source: Source, labels: tuple[int, ...] | None, options: ArrayOptions, anisotropy: Any, has_out: bool
) -> tuple[Volume, Options, list[Coords] | None, dict[str, Any]]:
    """A stored array: its volume, the checked options, the chunks to read, and facts for a plan."""
    from ..meshes.volumes import StoredVolume
    from ..stored.index import answers
    from ..stored_skeletons.fingerprint import content_of
    from ..stored_skeletons.frame import frame_of
    from ..stored_skeletons.plan import facts_of

    layout, box, checked = stored_source(source, options)
    frame = frame_of(layout, box, anisotropy)
    coords = None
    if labels is not None:
        native = np.array([label for label in labels if holds(layout.native, label)], layout.native)
        listed = answers.listed(layout, native, box, checked)
        coords = None if listed is None else listed.chunks
    facts: dict[str, Any] = {}
    if has_out:
        facts = facts_of(frame)
        facts["source"]["content"] = content_of(frame, checked, coords)
    return StoredVolume(frame, checked.verify), checked, coords, facts


def _in_memory(
    source: Source, parallel: int, progress: Any, anisotropy: Any, has_out: bool
) -> tuple[Volume, Options, dict[str, Any]]:
    """A volume in memory, the options, and facts for a plan."""
    from ..meshes.volumes import memory_volume
    from ..stored.engine import Options

    _binding.threads(parallel)
    volume = memory_volume(source, anisotropy)
    facts: dict[str, Any] = {}
    if has_out:
        facts = {
            "array": "the volume",
            "source": {
                "shape": list(volume.shape),
                "dtype": str(volume.dtype),
                "content": volume.content(),
            },
            "space": {"voxel_size": list(volume.size), "origin": list(volume.origin), "unit": None},
        }
    return volume, Options(parallel=parallel, progress=progress), facts
