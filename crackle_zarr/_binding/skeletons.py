"""Runs of objects, and their centre lines: the calls of ``crackle_skeletons.h``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .library import check_status, ffi, lib, take_array, verify_flag
from .parallel import crew
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


class Runs:
    """The voxels of objects of a stream, as runs along x.

    Args:
        reader: of the stream.
        objects: per entry of its label table, the object from 1 on, or 0: uint32.
        num_objects: the highest object.
        verify: verify the checksums of the labels and of the slices.
    """

    def __init__(
        self, reader: Reader, objects: npt.NDArray[np.uint32], num_objects: int, verify: bool = True
    ) -> None:
        where = ffi.new("struct crackle_where *")
        entries = ffi.from_buffer("uint32_t[]", np.ascontiguousarray(objects))

        def work(stop: Any) -> Any:
            made = ffi.new("crackle_runs **")
            status = lib.crackle_runs_read(
                reader.parts, verify_flag(verify), entries, len(entries), num_objects, stop, made, where
            )
            check_status(status, where)
            return ffi.gc(made[0], lib.crackle_runs_free)

        self._runs = crew(lambda start, end, stop: work(stop), [0, 1], 1)[0]
        self.num_objects = num_objects

    def of(self, number: int) -> npt.NDArray[Any]:
        """The runs of object ``number``, counted from 0, in the order z, y, x: an array of :data:`RUN`."""
        first, count = ffi.new("uint32_t **"), ffi.new("uint64_t *")
        check_status(lib.crackle_runs_of(self._runs, number, first, count))
        found = np.frombuffer(ffi.buffer(first[0], count[0] * RUN.itemsize), RUN)
        return found.copy()

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
                traced = _take(made)
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


def _tracer() -> Any:
    made = lib.crackle_tracer_new()
    if made == ffi.NULL:
        raise MemoryError("no memory for a tracer")
    return ffi.gc(made, lib.crackle_tracer_free)


def _take(made: Any) -> Traced:
    count, num_edges = int(made.num_vertices), int(made.num_edges)
    if made.vertices == ffi.NULL:
        empty = np.zeros((0, 3), np.uint32)
        return Traced(empty, np.zeros(0, np.float32), np.zeros((0, 2), np.uint32), 0, None, 0.0)
    return Traced(
        take_array(made.vertices, 3 * count, np.dtype(np.uint32)).reshape(-1, 3),
        take_array(made.radii, count, np.dtype(np.float32)),
        take_array(made.edges, 2 * num_edges, np.dtype(np.uint32)).reshape(-1, 2),
        int(made.num_paths),
        None if made.root == 2**32 - 1 else int(made.root),
        float(made.soma_radius),
    )
