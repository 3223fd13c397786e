"""The objects of a label volume that skeletons are made of: its connected components, as runs.

A volume of voxels is compressed first, which takes a fraction of the time of tracing. From there on a stream
and a volume are the same, and no voxel is painted: the components and their runs come from the boundaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import fits, integer_array
from ..streams import stream
from ..streams.stream import Source
from .errors import DimensionError
from .intervals import Line, box, pieces

Volume = npt.NDArray[Any] | Source
# Says of components, given as rows of EXTENT, which to keep.
Keep = Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]
# Makes other components of some, as ``holes`` does.
Change = Callable[[list[npt.NDArray[Any]], tuple[int, int, int]], list[npt.NDArray[Any]]]


@dataclass(frozen=True)
class Objects:
    """The connected components of a volume that are left after a choice, the largest first.

    Attributes:
        runs: their voxels.
        labels: per object, its label, as a Python int.
        voxels: per object, the number of its voxels.
        start: per object, the first corner of its bounding box, ``(n, 3)``.
        stop: per object, the corner behind the last voxel.
        shape: of the volume, with three axes.
        dust: labels of which no component is left, and the voxels of the largest of them.
    """

    runs: _binding.Runs
    labels: list[int]
    voxels: npt.NDArray[np.uint64]
    start: npt.NDArray[np.uint32]
    stop: npt.NDArray[np.uint32]
    shape: tuple[int, int, int]
    dust: dict[int, int]

    def find(self, point: npt.NDArray[np.uint32]) -> int | None:
        """The object that has the voxel ``point``, or None."""
        x, y, z = point.tolist()
        near = ((self.start <= point) & (point < self.stop)).all(axis=1)
        for number in np.flatnonzero(near).tolist():
            runs = self.runs.of(number)
            if ((runs["z"] == z) & (runs["y"] == y) & (runs["x"] <= x) & (x < runs["end"])).any():
                return int(number)
        return None


def as_stream(labels: Volume, parallel: int) -> Any:
    """The stream of labels with up to three axes.

    Raises:
        TypeError: the labels are not integers or bool.
        DimensionError: there are more than three axes that are longer than 1.
    """
    if isinstance(labels, np.ndarray):
        volume = with_three_axes(labels)
        return stream.compress(volume, preset="fast", parallel=parallel)
    try:
        return stream.bytes_of(labels)
    except TypeError:
        raise TypeError(
            f"labels are a NumPy array of integers or bool, a Crackle stream or a CrackleArray, "
            f"not {type(labels).__name__}"
        ) from None


def with_three_axes(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of labels with three axes: axes of length 1 are appended, or left out behind the third.

    Raises:
        TypeError: the labels are not integers or bool.
        DimensionError: there are more than three axes that are longer than 1.
    """
    if labels.dtype.kind not in "iub":
        raise TypeError(
            f"labels are integers or bool, not {labels.dtype}; convert them, as in labels.astype('u4')"
        )
    if any(length != 1 for length in labels.shape[3:]):
        raise DimensionError(
            f"labels have up to three axes; these have {labels.ndim}, of the shape {labels.shape}"
        )
    shape = (*labels.shape[:3], *[1] * (3 - labels.ndim))
    return labels.reshape(shape, order="A")


def find_objects(
    labels: Volume,
    object_ids: Iterable[int] | None,
    dust_threshold: float | Keep,
    parallel: int,
    change: Change | None = None,
    is_binary: bool = False,
    graph: npt.NDArray[np.uint32] | None = None,
) -> Objects:
    """Find the connected components (26 neighbours) with more than ``dust_threshold`` voxels.

    Args:
        labels: the volume.
        object_ids: labels to keep; None: all but 0.
        dust_threshold: in voxels; or a function that says which components to keep.
        parallel: threads for compressing a volume.
        is_binary: treat all labels but 0 as one.
        graph: a voxel graph: which neighbours are connected; see :func:`voxel_graph_of`.
        change: makes other components of all chosen ones, dust included, before dust is left out; see
            ``holes``.
    """
    if graph is None:
        binary = as_stream(labels, parallel)
        head = stream.header(binary)
        components, bits, _ = _binding.connected_components(binary, 26, is_binary)
        names = bits.astype(np.int64) if head.dtype.kind == "i" else bits
    else:
        components, names = _by_graph(labels, graph, parallel)
        head = stream.header(components)
    wanted = names != 0
    if object_ids is not None:
        wanted &= np.isin(names, _fitting(object_ids, names.dtype))
    chosen = np.flatnonzero(wanted)
    reader = _binding.Reader(components)
    table = reader.table().astype(np.int64)  # number of a component, from 1 on; 0 is the background
    extents = np.zeros(len(names) + 1, _binding.EXTENT)
    if reader.header.voxels():
        extents[table] = reader.measure(0, reader.header.sz)
    extents = extents[chosen + 1]
    if change is not None:
        split = _split(_read(reader, table, chosen, len(names)))
        return _changed(split, names[chosen].tolist(), head.shape, dust_threshold, change)
    kept = _kept(extents, dust_threshold)
    runs = _read(reader, table, chosen[kept], len(names))
    return _objects(runs, names[chosen].tolist(), extents, kept, head.shape)


def objects_of_runs(
    labels: dict[int, npt.NDArray[Any]],
    shape: tuple[int, int, int],
    dust_threshold: float | Keep,
    change: Change | None = None,
) -> Objects:
    """The same as :func:`find_objects` for labels that are given as runs, each in the order z, y, x."""
    line = Line(shape)
    found = [(label, piece) for label, runs in labels.items() if len(runs) for piece in pieces(runs, line)]
    return _changed(
        [piece for _, piece in found], [label for label, _ in found], shape, dust_threshold, change
    )


def _changed(
    components: list[npt.NDArray[Any]],
    names: list[int],
    shape: tuple[int, int, int],
    dust_threshold: float | Keep,
    change: Change | None,
) -> Objects:
    """The objects of components, and their labels, after a change."""
    if change is not None:
        # What has lost voxels may be in several pieces.
        line = Line(shape)
        split = [pieces(one, line) for one in change(components, shape)]
        names = [name for name, some in zip(names, split, strict=True) for _ in some]
        components = [piece for some in split for piece in some]
    extents = _measure(components)
    kept = _kept(extents, dust_threshold)
    runs = _binding.Runs.make(shape, [components[number] for number in kept])
    return _objects(runs, names, extents, kept, shape)


def _kept(extents: npt.NDArray[Any], dust_threshold: float | Keep) -> npt.NDArray[np.int64]:
    """The numbers of the components to keep, the largest first."""
    is_large = (
        dust_threshold(extents) if callable(dust_threshold) else extents["voxels"] > max(dust_threshold, 1)
    )
    order: npt.NDArray[np.int64] = np.argsort(extents["voxels"], kind="stable")[::-1]
    return order[is_large[order]]


def _objects(
    runs: _binding.Runs,
    names: list[int],
    extents: npt.NDArray[Any],
    kept: npt.NDArray[np.int64],
    shape: tuple[int, int, int],
) -> Objects:
    labels = [names[number] for number in kept.tolist()]
    return Objects(
        runs,
        labels,
        extents["voxels"][kept],
        extents["start"][kept],
        extents["stop"][kept],
        shape,
        _dust(names, extents["voxels"].tolist(), set(labels)),
    )


def voxel_graph_of(labels: Volume, graph: Any) -> npt.NDArray[np.uint32] | None:
    """A voxel graph with three axes in Fortran order, or None.

    Raises:
        TypeError: labels are no array, or the graph is no array of uint32.
        ValueError: the shapes differ.
    """
    if graph is None:
        return None
    if not isinstance(labels, np.ndarray):
        raise TypeError(
            "with a voxel_graph, labels are a NumPy array: a stream has no voxels that it could be about"
        )
    if not isinstance(graph, np.ndarray) or graph.dtype != np.uint32:
        given = graph.dtype if isinstance(graph, np.ndarray) else type(graph).__name__
        raise TypeError(
            f"voxel_graph is an array of uint32, as voxel_connectivity_graph makes it, not {given}"
        )
    if graph.shape != labels.shape:
        raise ValueError(f"voxel_graph has the shape {graph.shape}, and labels {labels.shape}")
    return np.asfortranarray(with_three_axes(graph))


def _by_graph(labels: Any, graph: npt.NDArray[np.uint32], parallel: int) -> tuple[bytes, npt.NDArray[Any]]:
    """The stream of the components that a graph joins, and the label of each from number 1 on."""
    volume = np.asfortranarray(with_three_axes(labels))
    volume = (
        volume.view(np.uint8)
        if volume.dtype == bool
        else volume.astype(volume.dtype.newbyteorder("="), copy=False)
    )
    components, count = _binding.split_by_graph(volume, graph)
    names = np.zeros(count + 1, volume.dtype)
    names[components.reshape(-1, order="F")] = volume.reshape(-1, order="F")
    return stream.compress(components, preset="fast", parallel=parallel), names[1:]


def _fitting(object_ids: Iterable[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The ids that labels of this type can have."""
    ids = integer_array("object_ids", list(object_ids))
    return ids[fits(ids, dtype)].astype(dtype)


def _read(
    reader: _binding.Reader, table: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], count: int
) -> _binding.Runs:
    """The runs of chosen components, in this order."""
    objects = np.zeros(count + 1, np.uint32)
    objects[chosen + 1] = np.arange(1, len(chosen) + 1, dtype=np.uint32)
    return _binding.Runs.read(reader, objects[table], len(chosen))


def _split(runs: _binding.Runs) -> list[npt.NDArray[Any]]:
    return [runs.of(number) for number in range(runs.num_objects)]


def _measure(components: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The numbers of voxels and bounding boxes of components, given as runs."""
    extents = np.zeros(len(components), _binding.EXTENT)
    for extent, runs in zip(extents, components, strict=True):
        if len(runs):
            extent["voxels"] = int((runs["end"] - runs["x"]).sum(dtype=np.int64))
            extent["start"], extent["stop"] = box(runs)
    return extents


def _dust(names: list[int], voxels: list[int], kept: set[int]) -> dict[int, int]:
    """Labels of which nothing is left, and the voxels of their largest component."""
    lost: dict[int, int] = {}
    for name, number in zip(names, voxels, strict=True):
        if name not in kept:
            lost[name] = max(lost.get(name, 0), number)
    return lost


def ranges(objects: Objects, parallel: int, most: int) -> list[int]:
    """Where to cut the objects into ranges for threads: large ones alone, small ones together."""
    total = float(objects.voxels.sum())
    goal = max(2.0**16, min(2.0**22, total / (8 * _binding.threads(parallel))))
    edges, voxels = [0], 0.0
    for number, size in enumerate(objects.voxels.tolist(), start=1):
        voxels += size
        if voxels >= goal or number - edges[-1] >= most or number == len(objects.labels):
            edges.append(number)
            voxels = 0.0
    return edges if len(edges) > 1 else [0, 0]
