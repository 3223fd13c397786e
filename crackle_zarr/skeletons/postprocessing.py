"""Repairs of skeletons: those of neighbouring volumes are merged, and small faults go."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from .._binding import skeleton_graphs as graphs
from .parameters import number
from .skeleton import Edges, Skeleton


def postprocess(
    skeleton: Skeleton, dust_threshold: float = 1500.0, tick_threshold: float = 3000.0
) -> Skeleton:
    """Repair a skeleton, such as one merged of those of neighbouring volumes.

    In this order: vertices at the same place become one; components of little cable go; cycles are opened;
    components whose balls touch are joined; short ends go, the shortest first, and with them whatever has
    become dust.

    Args:
        skeleton: it stays as it is.
        dust_threshold: components with a cable no longer than this go, in physical units; 0: none.
        tick_threshold: ends shorter than this go; 0: none. The last segment of a tree stays.

    Returns:
        A forest with no more components than ``skeleton`` has, in its space, with its id and attributes.
        Doing the same again changes nothing.

    Raises:
        TypeError: a threshold is not a number.
        ValueError: a threshold is negative or NaN.

    Complexity: n log n in the vertices; a million take seconds.
    """
    dust, tick = _threshold("dust_threshold", dust_threshold), _threshold("tick_threshold", tick_threshold)
    made = skeleton.consolidate()
    places = made.physical_space().vertices
    edges = _without_dust(places, made.edges, dust)
    edges = graphs.remove_loops(places, made.radius, edges)
    while True:
        # Vertices that have lost their edges are no components to be joined.
        made = made.with_edges(edges).consolidate()
        places = made.physical_space().vertices
        joined = graphs.joins(places, made.radius, made.edges, math.inf, True)
        edges = np.concatenate([made.edges, joined])
        edges = graphs.remove_ticks(places, edges, tick) if tick else edges
        edges = _without_dust(places, edges, dust)
        # Without short ends, other vertices of two components may be the closest: look again. Every round has
        # fewer components or fewer vertices than the one before.
        if len(edges) == len(made.edges) and not len(joined):
            return made


def repaired(
    places: npt.NDArray[np.float32],
    radii: npt.NDArray[np.float32],
    edges: Edges,
    dust: float,
    tick: float,
    join: bool,
) -> Edges:
    """The edges of a merged skeleton after the steps of :func:`postprocess` that are asked for.

    Args:
        places: of vertices, each once, in physical space.
        radii: of the vertices.
        edges: pairs of vertices, each once; cycles are opened.
        dust: components with a cable no longer than this go; 0: none.
        tick: ends shorter than this go; 0: none.
        join: join components whose balls touch.
    """
    edges = _without_dust(places, edges, dust)
    count, _ = graphs.component_numbers(len(places), edges)
    if len(edges) > len(places) - count:
        edges = graphs.remove_loops(places, radii, edges)
    while True:
        before = len(edges)
        used = np.zeros(len(places), bool)
        used[edges.reshape(-1)] = True
        numbers, place = np.flatnonzero(used), np.cumsum(used) - 1
        joined = np.zeros((0, 2), np.uint32)
        if join and len(edges):
            found = graphs.joins(places[used], radii[used], place[edges], math.inf, True)
            joined = numbers[found].astype(np.uint32)
        edges = np.concatenate([edges, joined])
        edges = graphs.remove_ticks(places, edges, tick) if tick and len(edges) else edges
        edges = _without_dust(places, edges, dust)
        if len(edges) == before and not len(joined):
            return edges


def join_close_components(
    skeletons: Skeleton | Iterable[Skeleton],
    radius: float | None = math.inf,
    restrict_by_radius: bool = False,
) -> Skeleton:
    """Merge skeletons, and join components that come close.

    The closest two vertices of different components are joined by an edge, again and again. Of equal
    distances, the pair with the lower vertices comes first.

    Args:
        skeletons: one or several.
        radius: join vertices that are no farther apart than this, in physical units; None or infinity: all.
        restrict_by_radius: join only the closest vertices of every two components, and only if the sum of
            their radii reaches from one to the other; unknown radii (-1) do not.

    Returns:
        One skeleton; without vertices if none were given.

    Raises:
        ValueError: ``radius`` is not above 0.

    Complexity: n log n in the vertices, times the logarithm of the number of components.
    """
    reach = math.inf if radius is None else number("radius", radius)
    if reach <= 0:
        raise ValueError(f"radius is a number above 0, or None for any distance, not {radius!r}")
    given = [skeletons] if isinstance(skeletons, Skeleton) else list(skeletons)
    made = Skeleton.simple_merge(given).consolidate()
    if made.empty():
        return made
    joined = graphs.joins(made.physical_space().vertices, made.radius, made.edges, reach, restrict_by_radius)
    return made.with_edges(np.concatenate([made.edges, joined])).consolidate()


def _threshold(name: str, value: float) -> float:
    given = number(name, value)
    if given < 0:
        raise ValueError(f"{name} is a length from 0 on, not {value!r}")
    return given


def _without_dust(places: npt.NDArray[np.float32], edges: Edges, threshold: float) -> Edges:
    """The edges of components with a longer cable than this."""
    if not threshold or not len(edges):
        return edges
    count, numbers = graphs.component_numbers(len(places), edges)
    ends = places.astype(np.float64)[edges]
    owner = numbers[edges[:, 0]]
    cable = np.bincount(owner, np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1), minlength=count)
    kept: Edges = edges[cable[owner] > threshold]
    return kept
