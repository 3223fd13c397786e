"""Runs of objects, and their centre lines: the calls of ``crackle_skeletons.h``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .codec import volume_of
from .library import check_status, ffi, lib, take_array, verify_flag
from .parallel import crew, run_in_thread
from .streams import Reader

# A run along x: the voxels [x, end) of row (y, z).
RUN = np.dtype([("x", "u4"), ("end", "u4"), ("y", "u4"), ("z", "u4")])

Points = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Traced:
    """The skeleton of one object.

    ``vertices`` are voxels, ``(n, 3)`` of uint32; ``radii`` physical distances; ``edges`` pairs of vertices.
    ``root`` is a vertex, or None; ``soma_radius`` is 0 where there is no soma.
    """

    vertices: Points
    radii: npt.NDArray[np.float32]
    edges: npt.NDArray[np.uint32]
    num_paths: int
    root: int | None
    soma_radius: float
    seconds: float


class Runs:
    """The voxels of objects, as runs along x. Made by :meth:`read` and :meth:`make`."""

    def __init__(self, runs: Any, num_objects: int) -> None:
        self._runs = ffi.gc(runs, lib.crackle_runs_free)
        self.num_objects = num_objects

    @classmethod
    def read(
        cls, reader: Reader, objects: npt.NDArray[np.uint32], num_objects: int, verify: bool = True
    ) -> Runs:
        """The runs of objects of a stream.

        Args:
            reader: of the stream.
            objects: per entry of its label table, the object from 1 on, or 0: uint32.
            num_objects: the highest object.
            verify: verify the checksums of the labels and of the slices.
        """
        where = ffi.new("struct crackle_where *")
        entries = ffi.from_buffer("uint32_t[]", np.ascontiguousarray(objects))

        def work(stop: Any) -> Runs:
            made = ffi.new("crackle_runs **")
            status = lib.crackle_runs_read(
                reader.parts, verify_flag(verify), entries, len(entries), num_objects, stop, made, where
            )
            check_status(status, where)
            return cls(made[0], num_objects)

        return run_in_thread(work, reader.header.voxels())

    @classmethod
    def make(cls, shape: tuple[int, int, int], objects: Sequence[npt.NDArray[Any]]) -> Runs:
        """Objects of a volume from arrays of :data:`RUN`, each sorted by z, y and x.

        Raises:
            ValueError: the runs of an object are outside the volume, not sorted, or touch along x.
        """
        begin = np.zeros(len(objects) + 1, np.uint64)
        np.cumsum([len(one) for one in objects], out=begin[1:])
        runs = np.concatenate([np.zeros(0, RUN), *objects])
        made = ffi.new("crackle_runs **")
        status = lib.crackle_runs_make(
            *shape,
            ffi.from_buffer("uint32_t[]", runs),
            ffi.from_buffer("uint64_t[]", begin),
            len(objects),
            made,
        )
        check_status(status)
        return cls(made[0], len(objects))

    def of(self, number: int) -> npt.NDArray[Any]:
        """The runs of object ``number``, counted from 0, in the order z, y, x: an array of :data:`RUN`."""
        first, count = ffi.new("uint32_t **"), ffi.new("uint64_t *")
        check_status(lib.crackle_runs_of(self._runs, number, first, count))
        found = np.frombuffer(ffi.buffer(first[0], count[0] * RUN.itemsize), RUN)
        return found.copy()

    def widest(self, number: int, parameters: dict[str, Any]) -> tuple[float, tuple[int, int, int]]:
        """The largest distance of a voxel of an object to its boundary, and the first such voxel."""
        fields = ffi.new("struct crackle_teasar *", parameters)

        def work(start: int, end: int, stop: Any) -> tuple[float, tuple[int, int, int]]:
            radius, point = ffi.new("float *"), ffi.new("uint32_t[3]")
            check_status(lib.crackle_widest(_tracer(), self._runs, number, fields, stop, radius, point))
            return float(radius[0]), (point[0], point[1], point[2])

        return crew(work, [0, 1], 1)[0]

    def trace(
        self,
        parameters: dict[str, Any],
        targets: Callable[[int], tuple[Points, Points]],
        edges: Sequence[int],
        parallel: int,
        report: Callable[[int, Traced], None],
    ) -> None:
        """Trace the skeletons of all objects, in some threads.

        Args:
            parameters: the fields of ``struct crackle_teasar``.
            targets: for an object, the voxels that paths must reach first, and at the end.
            edges: objects are taken in ranges between these, the first range first.
            parallel: threads.
            report: gets each object and its skeleton, from any thread, one call at a time.
        """
        fields = ffi.new("struct crackle_teasar *", parameters)
        lock = threading.Lock()
        local = threading.local()

        def work(start: int, end: int, stop: Any) -> None:
            if not hasattr(local, "tracer"):
                local.tracer = _tracer()
            for number in range(start, end):
                before, after = (np.ascontiguousarray(one, np.uint32) for one in targets(number))
                made = ffi.new("struct crackle_skeleton *")
                began = time.perf_counter()
                status = lib.crackle_trace(
                    local.tracer,
                    self._runs,
                    number,
                    fields,
                    ffi.from_buffer("uint32_t[]", before),
                    len(before),
                    ffi.from_buffer("uint32_t[]", after),
                    len(after),
                    stop,
                    made,
                )
                check_status(status)
                traced = _take(made, time.perf_counter() - began)
                with lock:
                    report(number, traced)

        crew(work, edges, parallel)

    def connect(
        self, number: int, parameters: dict[str, Any], start: Sequence[int], end: Sequence[int]
    ) -> Traced:
        """The centre line of object ``number`` from voxel ``end`` to voxel ``start``."""
        fields = ffi.new("struct crackle_teasar *", parameters)

        def work(first: int, last: int, stop: Any) -> Traced:
            made = ffi.new("struct crackle_skeleton *")
            check_status(
                lib.crackle_connect(
                    _tracer(),
                    self._runs,
                    number,
                    fields,
                    ffi.new("uint32_t[3]", list(start)),
                    ffi.new("uint32_t[3]", list(end)),
                    stop,
                    made,
                )
            )
            return _take(made)

        return crew(work, [0, 1], 1)[0]


def fill_voids(runs: npt.NDArray[Any], is_planar: bool = False) -> npt.NDArray[Any]:
    """The runs of an object with its voids; ``is_planar`` fills every slice z for itself.

    A void is what the object encloses: voxels outside it, connected over faces, that do not reach the faces
    of its bounding box.
    """
    given = np.ascontiguousarray(runs, RUN)
    filled, count = ffi.new("uint32_t **"), ffi.new("uint64_t *")
    check_status(
        lib.crackle_fill_voids(ffi.from_buffer("uint32_t[]", given), len(given), is_planar, filled, count)
    )
    return given if filled[0] == ffi.NULL else take_array(filled[0], int(count[0]), RUN)


def split_by_graph(
    labels: npt.NDArray[Any], graph: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint32], int]:
    """The components of labels (x, y, z) that a voxel graph joins.

    They are numbered from 1 on; the second result is how many there are. Both arrays are contiguous in
    Fortran order.
    """
    components = np.empty(labels.shape, np.uint32, order="F")
    volume, counted = volume_of(labels), ffi.new("uint32_t *")

    def work(stop: Any) -> tuple[npt.NDArray[np.uint32], int]:
        with (
            ffi.from_buffer("uint32_t[]", graph.reshape(-1, order="F")) as steps,
            ffi.from_buffer("uint32_t[]", components.reshape(-1, order="F"), require_writable=True) as out,
        ):
            check_status(lib.crackle_split_by_graph(volume, steps, stop, out, counted))
        return components, int(counted[0])

    return run_in_thread(work, labels.size)


def graph_pointer(graph: npt.NDArray[np.uint32] | None) -> Any:
    """For the field ``graph`` of ``struct crackle_teasar``.

    It keeps the array alive, which is in Fortran order.
    """
    return ffi.NULL if graph is None else ffi.from_buffer("uint32_t[]", graph.reshape(-1, order="F"))


def _tracer() -> Any:
    made = lib.crackle_tracer_new()
    if made == ffi.NULL:
        raise MemoryError("no memory for a tracer")
    return ffi.gc(made, lib.crackle_tracer_free)


def _take(made: Any, seconds: float = 0.0) -> Traced:
    count, num_edges = int(made.num_vertices), int(made.num_edges)
    if made.vertices == ffi.NULL:
        empty = np.zeros((0, 3), np.uint32)
        return Traced(empty, np.zeros(0, np.float32), np.zeros((0, 2), np.uint32), 0, None, 0.0, seconds)
    return Traced(
        take_array(made.vertices, 3 * count, np.dtype(np.uint32)).reshape(-1, 3),
        take_array(made.radii, count, np.dtype(np.float32)),
        take_array(made.edges, 2 * num_edges, np.dtype(np.uint32)).reshape(-1, 2),
        int(made.num_paths),
        None if made.root == 2**32 - 1 else int(made.root),
        float(made.soma_radius),
        seconds,
    )
