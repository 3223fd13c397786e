"""Skeletons as graphs: the last calls of ``crackle_skeletons.h``.

Vertices are numbered from 0; edges are pairs of them, uint32 ``(m, 2)``. All functions raise ValueError where
an edge names a vertex that does not exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .library import check_status, ffi, lib, take_array
from .parallel import run_in_thread

Numbers = npt.NDArray[np.uint32]
U32, U64 = np.dtype(np.uint32), np.dtype(np.uint64)


def _buffer(array: npt.NDArray[Any], kind: str) -> Any:
    return ffi.from_buffer(f"{kind}[]", array)


def _edges(edges: npt.ArrayLike) -> Numbers:
    return np.ascontiguousarray(edges, np.uint32).reshape(-1, 2)


def _checked(status: int, num_vertices: int, edges: Numbers) -> None:
    if status == lib.CRACKLE_BAD_ARGUMENT and len(edges) and int(edges.max()) >= num_vertices:
        raise ValueError(
            f"an edge names vertex {int(edges.max())}, but there are {num_vertices}: 0 to {num_vertices - 1}"
        )
    check_status(status)


def consolidate(
    vertices: npt.NDArray[np.float32], edges: npt.ArrayLike, keep_isolated: bool = False
) -> tuple[Numbers, Numbers]:
    """The graph with each place once.

    Returns:
        The first vertex at each place, sorted by x, y and z; and the edges between them, numbered in this
        order, the lower first, sorted, each once, none from a place to itself. Places without an edge are
        left out, unless ``keep_isolated``, or there is just one place.

    Raises:
        ValueError: a coordinate is NaN.
    """
    places, pairs = np.ascontiguousarray(vertices, np.float32).reshape(-1, 3), _edges(edges)
    kept, made = np.empty(len(places), np.uint32), np.empty((len(pairs), 2), np.uint32)
    num_kept, num_made = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    if np.isnan(places).any():
        raise ValueError(
            f"vertex {int(np.flatnonzero(np.isnan(places).any(axis=1))[0])} has a coordinate that is NaN"
        )
    status = lib.crackle_graph_consolidate(
        _buffer(places, "float"),
        len(places),
        _buffer(pairs, "uint32_t"),
        len(pairs),
        keep_isolated,
        _buffer(kept, "uint32_t"),
        num_kept,
        _buffer(made, "uint32_t"),
        num_made,
    )
    _checked(status, len(places), pairs)
    return kept[: num_kept[0]], made[: num_made[0]]


def component_numbers(num_vertices: int, edges: npt.ArrayLike) -> tuple[int, Numbers]:
    """The number of connected components, and of each vertex its own; numbered by their lowest vertices."""
    pairs, numbers, count = _edges(edges), np.empty(num_vertices, np.uint32), ffi.new("uint64_t *")
    status = lib.crackle_graph_components(
        num_vertices, _buffer(pairs, "uint32_t"), len(pairs), _buffer(numbers, "uint32_t"), count
    )
    _checked(status, num_vertices, pairs)
    return int(count[0]), numbers


def interjoint_paths(num_vertices: int, edges: npt.ArrayLike) -> list[Numbers]:
    """The paths between critical vertices, which are those with other than two edges.

    A cycle without one is a path from its lowest vertex to that vertex.
    """
    return _paths(lib.crackle_graph_segments, num_vertices, _edges(edges))


def root_paths(num_vertices: int, edges: npt.ArrayLike) -> list[Numbers]:
    """A path from every end of a component to its root.

    The vertex that is most steps away from its lowest one.
    """
    return _paths(lib.crackle_graph_root_paths, num_vertices, _edges(edges))


def _paths(function: Any, num_vertices: int, edges: Numbers) -> list[Numbers]:
    vertices, count = ffi.new("uint32_t **"), ffi.new("uint64_t *")
    ends, num_paths = ffi.new("uint64_t **"), ffi.new("uint64_t *")
    status = function(num_vertices, _buffer(edges, "uint32_t"), len(edges), vertices, count, ends, num_paths)
    _checked(status, num_vertices, edges)
    if vertices[0] == ffi.NULL:
        return []
    all_vertices = take_array(vertices[0], int(count[0]), U32)
    all_ends = take_array(ends[0], int(num_paths[0]), U64)
    return np.split(all_vertices, all_ends[:-1].astype(np.int64))


def orient(
    num_vertices: int, edges: npt.ArrayLike, roots: npt.ArrayLike = ()
) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Trees: the parent of each vertex, -1 at roots, and all vertices in depth-first order.

    A component begins with the first of ``roots`` that is in it, or else with its lowest vertex. Of a cycle,
    one edge is not used.
    """
    pairs, first = _edges(edges), np.ascontiguousarray(roots, np.uint32)
    parents, order = np.empty(num_vertices, np.uint32), np.empty(num_vertices, np.uint32)
    status = lib.crackle_graph_orient(
        num_vertices,
        _buffer(pairs, "uint32_t"),
        len(pairs),
        _buffer(first, "uint32_t"),
        len(first),
        _buffer(parents, "uint32_t"),
        _buffer(order, "uint32_t"),
    )
    _checked(status, num_vertices, pairs)
    signed = parents.astype(np.int64)
    signed[parents == 2**32 - 1] = -1
    return signed, order


def remove_loops(
    vertices: npt.NDArray[np.float32], radii: npt.NDArray[np.float32], edges: npt.ArrayLike
) -> Numbers:
    """The edges that are left when all cycles are opened; some are new. Edges must not repeat.

    Args:
        vertices: places in physical space.
        radii: negative where they are not known.
        edges: pairs of vertices.
    """
    places, balls = np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(radii, np.float32)
    pairs = _edges(edges).copy()

    def work(stop: Any) -> Numbers:
        left = ffi.new("uint64_t *")
        status = lib.crackle_graph_remove_loops(
            _buffer(places, "float"),
            _buffer(balls, "float"),
            len(places),
            _buffer(pairs, "uint32_t"),
            len(pairs),
            stop,
            left,
        )
        _checked(status, len(places), pairs)
        return pairs[: left[0]]

    return run_in_thread(work, 64 * len(places))


def joins(
    vertices: npt.NDArray[np.float32],
    radii: npt.NDArray[np.float32],
    edges: npt.ArrayLike,
    radius: float,
    restrict_by_radius: bool,
) -> Numbers:
    """New edges between the closest vertices of components that are no farther apart than ``radius``.

    With ``restrict_by_radius``, only the closest vertices of every two components are joined, and only if the
    sum of their radii reaches from one to the other.

    Raises:
        ValueError: a coordinate is not finite.
    """
    places, balls = np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(radii, np.float32)
    pairs = _edges(edges)
    if not np.isfinite(places).all():
        raise ValueError("a vertex has a coordinate that is not finite")

    def work(stop: Any) -> Numbers:
        made, count = ffi.new("uint32_t **"), ffi.new("uint64_t *")
        status = lib.crackle_graph_join(
            _buffer(places, "float"),
            _buffer(balls, "float"),
            len(places),
            _buffer(pairs, "uint32_t"),
            len(pairs),
            radius,
            restrict_by_radius,
            stop,
            made,
            count,
        )
        _checked(status, len(places), pairs)
        if made[0] == ffi.NULL:
            return np.zeros((0, 2), np.uint32)
        return take_array(made[0], 2 * int(count[0]), U32).reshape(-1, 2)

    return run_in_thread(work, 256 * len(places))


def remove_ticks(vertices: npt.NDArray[np.float32], edges: npt.ArrayLike, threshold: float) -> Numbers:
    """The edges that are left when short ends are removed, the shortest first; of trees."""
    places, pairs, left = (
        np.ascontiguousarray(vertices, np.float32),
        _edges(edges).copy(),
        ffi.new("uint64_t *"),
    )
    status = lib.crackle_graph_remove_ticks(
        _buffer(places, "float"), len(places), _buffer(pairs, "uint32_t"), len(pairs), threshold, left
    )
    _checked(status, len(places), pairs)
    return pairs[: left[0]]
