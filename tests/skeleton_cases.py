"""Label volumes, and slow but obvious oracles, that the tests of skeletonize share.

An oracle computes a stage of the algorithm from its definition, with NumPy and SciPy and none of the
package's code: 26-connected components, distance to the boundary, border targets, the geodesic field, the
cost of a path, and the invalidation flood. Volumes have axes (x, y, z); lengths are physical.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from crackle_zarr.skeletons import skeletonize

ndimage = pytest.importorskip("scipy.ndimage")
sparse = pytest.importorskip("scipy.sparse")
csgraph = pytest.importorskip("scipy.sparse.csgraph")
spatial = pytest.importorskip("scipy.spatial")

Array = npt.NDArray[Any]
Spacing = tuple[float, float, float]
Voxel = tuple[int, ...]

# The parameters of most examples in the field, in voxels of size 1.
PARAMETERS = {
    "scale": 1.5,
    "const": 10,
    "pdrf_scale": 100000,
    "pdrf_exponent": 4,
    "soma_acceptance_threshold": 3500,
    "soma_detection_threshold": 750,
    "soma_invalidation_const": 300,
    "soma_invalidation_scale": 2,
}
# A threshold that no distance reaches: no component is treated as a soma.
NO_SOMA = {"soma_detection_threshold": 1e30, "soma_acceptance_threshold": 1e30}

# Distances are float32 in the package and float64 here.
TOLERANCE = 1e-4
# Half of the 26 neighbours: the others are their opposites.
FORWARD = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
NEIGHBOURS = [*FORWARD, *[tuple(-n for n in step) for step in FORWARD]]


def trace(volume: Any, anisotropy: Any = (1, 1, 1), **given: Any) -> dict[int, Any]:
    """Skeletons of a volume: PARAMETERS and no dust threshold, unless given."""
    params = {**PARAMETERS, **{name: given.pop(name) for name in [*PARAMETERS, "max_paths"] if name in given}}
    options = {"dust_threshold": 0, "progress": False, **given}
    return skeletonize(volume, params, anisotropy=anisotropy, **options)


# ---------------------------------------------------------------------------------------
# Components and distances


def components(volume: Array) -> tuple[Array, list[int]]:
    """Numbers from 1 of the connected components, corners included, and the label of each component."""
    values, dense = np.unique(volume, return_inverse=True)
    dense = dense.reshape(volume.shape)
    numbers = np.zeros(volume.shape, np.int32)
    labels: list[int] = []
    corners = np.ones((3,) * volume.ndim)
    for position, box in enumerate(ndimage.find_objects(dense + 1)):
        if values[position] == 0:
            continue
        parts, count = ndimage.label(dense[box] == position, corners)
        numbers[box] += np.where(parts > 0, parts + len(labels), 0).astype(np.int32)
        labels += [int(values[position])] * count
    return numbers, labels


def boundary_distance(mask: Array, spacing: Any, borders: Any = True) -> Array:
    """Distance from each voxel's centre to the centre of the nearest voxel outside of the mask; 0 outside.

    ``borders`` says for either side of each axis whether there are voxels of something else beyond the array.
    """
    beyond = np.broadcast_to(np.array(borders, dtype=int), (mask.ndim, 2))
    padded = ndimage.distance_transform_edt(np.pad(mask, beyond), sampling=spacing)
    return padded[tuple(slice(low, low + n) for (low, _), n in zip(beyond, mask.shape, strict=True))]


class Component(NamedTuple):
    """A connected component in its bounding box."""

    label: int
    number: int
    box: tuple[slice, ...]
    mask: Array
    distance: Array
    beyond: Any  # whether there is something else beyond either side of each axis

    @property
    def origin(self) -> Array:
        return np.array([side.start for side in self.box])


def traced(volume: Array, spacing: Any, dust: int = 0) -> list[Component]:
    """The components that have a skeleton: more voxels than the dust threshold, and more than one.

    A face of the volume is no boundary, unless all voxels have one label.
    """
    numbers, labels = components(volume)
    solid = numbers.size > 0 and numbers.min() > 0 and numbers.max() == 1
    found = []
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        mask = numbers[box] == number
        if mask.sum() > max(dust, 1):
            beyond = [
                (s.start > 0 or solid, s.stop < n or solid) for s, n in zip(box, volume.shape, strict=True)
            ]
            distance = boundary_distance(mask, spacing, beyond)
            found.append(Component(labels[number - 1], number, box, mask, distance, beyond))
    return found


def filled(component: Component, spacing: Any) -> Component:
    """The component with its voids: what faces of its box cannot reach through faces of voxels.

    Distances are those of the filled shape in the volume, and all faces are boundaries if it fills the
    volume. (Kimimaro measures them within the box alone, so that they depend on the box.)
    """
    mask = ndimage.binary_fill_holes(component.mask)
    if np.array_equal(mask, component.mask):
        return component
    beyond = component.beyond if np.any(component.beyond) or not mask.all() else True
    return component._replace(mask=mask, distance=boundary_distance(mask, spacing, beyond))


# ---------------------------------------------------------------------------------------
# Border targets


def faces(numbers: Array) -> Iterator[tuple[int, int, Array]]:
    """Axis, position and image of the six faces."""
    for axis in range(3):
        for position in (0, numbers.shape[axis] - 1):
            yield axis, position, np.take(numbers, position, axis)


def contacts(numbers: Array, spacing: Any) -> Iterator[tuple[int, int, int, Array, Array, Array]]:
    """What touches a face, once for each 2-D component.

    Axis, position, component number, its pixels (n, 2), those of them with the largest distance to the pixels
    of anything else and to the rim of the face, and the two pixel sizes.
    """
    for axis, position, image in faces(numbers):
        sizes = np.delete(np.array(spacing, dtype=float), axis)
        parts, owners = components(image)
        for part, box in enumerate(ndimage.find_objects(parts), start=1):
            mask = parts[box] == part
            distance = boundary_distance(mask, sizes)
            start = [side.start for side in box]
            deepest = np.argwhere(distance >= distance.max() * (1 - 1e-6)) + start
            yield axis, position, owners[part - 1], np.argwhere(mask) + start, deepest, sizes


def border_candidates(numbers: Array, spacing: Any) -> Iterator[tuple[int, Array]]:
    """For each contact with a face: its component's number, and the voxels (n, 3) that may be its target."""
    for axis, position, number, _, deepest, _ in contacts(numbers, spacing):
        yield number, np.insert(deepest, axis, position, axis=1)


def border_targets(numbers: Array, spacing: Any) -> Iterator[tuple[int, set[Voxel]]]:
    """For each contact with a face: its component's number, and the voxels that the rules choose as target.

    Of several deepest pixels it is the one nearest to the contact's centroid, which is truncated to pixels
    towards the middle of the face; then nearest to that middle, to a corner, to an edge; then the first,
    where the first of the two axes runs fastest. Some of that is open, hence there can be several: the middle
    may be that of the pixels' centres or of their count, a centroid in the middle of an axis may be truncated
    either way, and one that is a pixel may count as that pixel's corner, so that Kimimaro takes the next
    pixel.
    """
    for axis, position, number, pixels, deepest, sizes in contacts(numbers, spacing):
        count = np.delete(numbers.shape, axis)
        mean = pixels.sum(axis=0) / len(pixels)
        chosen = set()
        for middle, tie, up in itertools.product(
            ((count - 1) / 2, count / 2),
            (np.floor, np.ceil, np.positive),
            (np.ceil, lambda mean: np.floor(mean) + 1),
        ):
            centroid = np.where(mean > middle, np.floor(mean), np.where(mean < middle, up(mean), tie(mean)))
            ranks = [target_rank(pixel, centroid, middle, count, sizes) for pixel in deepest]
            best = deepest[ranks.index(min(ranks))]
            chosen.add(tuple(np.insert(best, axis, position).tolist()))
        yield number, chosen


def target_rank(
    pixel: Array, centroid: Array, middle: Array, count: Array, sizes: Array
) -> tuple[float, ...]:
    to_corner = np.minimum(pixel, count - 1 - pixel) * sizes
    criteria = [
        np.square((pixel - centroid) * sizes).sum(),
        np.square((pixel - middle) * sizes).sum(),
        np.square(to_corner).sum(),
        to_corner.min(),
    ]
    return (*map(float, criteria), *pixel[::-1].tolist())


# ---------------------------------------------------------------------------------------
# Paths


class Graph(NamedTuple):
    """The voxels of a mask (n, 3), z slowest, and the pairs of them that touch, corners included."""

    voxels: Array
    pairs: Array

    def index(self, voxels: Array) -> Array:
        """The numbers of voxels of the mask."""
        shape = self.voxels.max(axis=0) + 1
        keys = np.ravel_multi_index(tuple(self.voxels.T), shape, order="F")
        return np.searchsorted(keys, np.ravel_multi_index(tuple(np.asarray(voxels).T), shape, order="F"))

    def geodesic(self, sources: Any, spacing: Any) -> Array:
        """Lengths of the shortest paths within the mask, in steps to touching voxels."""
        lengths = np.linalg.norm(
            (self.voxels[self.pairs[:, 0]] - self.voxels[self.pairs[:, 1]]) * spacing, axis=1
        )
        matrix = sparse.coo_matrix((lengths, self.pairs.T), shape=(len(self.voxels),) * 2).tocsr()
        return csgraph.dijkstra(matrix, directed=False, indices=sources)

    def entering(self, cost: Array, source: int) -> Array:
        """The smallest sums of the costs of voxels entered on paths from the source."""
        both = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        matrix = sparse.coo_matrix((cost[both[:, 1]], both.T), shape=(len(self.voxels),) * 2).tocsr()
        return csgraph.dijkstra(matrix, indices=source)


def graph(mask: Array) -> Graph:
    voxels = np.argwhere(mask.T)[:, ::-1]
    places = np.full(np.array(mask.shape) + 2, -1)
    inside = places[1:-1, 1:-1, 1:-1]
    inside[tuple(voxels.T)] = np.arange(len(voxels))
    pairs = []
    for step in FORWARD:
        other = places[tuple((voxels + step + 1).T)]
        pairs.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]], axis=1))
    return Graph(voxels, np.concatenate(pairs))


def penalty(distance: Array, from_root: Array, scale: float, exponent: float) -> Array:
    """The cost of entering each voxel; distances of the mask's voxels in the order of its graph.

    Kimimaro divides by the power 1.01 of the largest distance, which depends on the unit of length. At 340
    units, which is usual in nanometres, that is 1.06 times the largest distance.
    """
    centred = scale * (1 - distance / (1.06 * distance.max())) ** exponent
    return centred + (from_root / from_root.max() if from_root.max() > 0 else 0)


def flood(mask: Array, seeds: Array, radii: Array, spacing: Any, last_seed_first: bool = False) -> Array:
    """The voxels invalidated by a path.

    Each seed grows over touching voxels that are nearer to it than its radius. The smallest distance of all
    goes first, and a voxel belongs to the first seed that gets there. Only exact ties depend on
    ``last_seed_first``.
    """
    sizes = np.asarray(spacing, dtype=float)
    claimed = np.zeros(mask.shape, bool)
    order = -1 if last_seed_first else 1
    heap: list[tuple[float, int, Voxel]] = [
        (0.0, order * n, tuple(seed.tolist())) for n, seed in enumerate(seeds)
    ]
    heapq.heapify(heap)
    while heap:
        _, ranked, voxel = heapq.heappop(heap)
        if claimed[voxel]:
            continue
        claimed[voxel] = True
        seed, radius = seeds[order * ranked], radii[order * ranked]
        for step in NEIGHBOURS:
            near = tuple(a + b for a, b in zip(voxel, step, strict=True))
            if not all(0 <= a < n for a, n in zip(near, mask.shape, strict=True)):
                continue
            if mask[near] and not claimed[near]:
                square = float(np.square((np.array(near) - seed) * sizes).sum())
                if square < radius**2:
                    heapq.heappush(heap, (square, ranked, near))
    return claimed


# ---------------------------------------------------------------------------------------
# Checks


def voxels_of(skeleton: Any, spacing: Any) -> Array:
    """The voxels (n, 3) of the vertices, which have to be voxels."""
    sizes = np.asarray(spacing, dtype=float)
    voxels = np.rint(skeleton.vertices.astype(float) / sizes).astype(int)
    np.testing.assert_allclose(skeleton.vertices, voxels * sizes, rtol=1e-6, atol=0)
    return voxels


def tree_numbers(skeleton: Any) -> tuple[int, Array]:
    """How many connected parts the graph has, and the part of each vertex."""
    n = len(skeleton.vertices)
    ends = skeleton.edges.astype(int)
    matrix = sparse.coo_matrix((np.ones(len(ends)), ends.T), shape=(n, n))
    return csgraph.connected_components(matrix, directed=False)


def merged_trees(parts: list[tuple[Any, Array]], spacing: Any) -> int:
    """How many connected parts skeletons, each moved by some voxels, have if equal voxels are one vertex."""
    points, edges, count = [], [], 0
    for skeleton, offset in parts:
        points.append(voxels_of(skeleton, spacing) + offset)
        edges.append(skeleton.edges.astype(int) + count)
        count += len(skeleton.vertices)
    unique, inverse = np.unique(np.concatenate(points), axis=0, return_inverse=True)
    merged = SimpleNamespace(vertices=unique, edges=inverse.reshape(-1)[np.concatenate(edges)])
    return tree_numbers(merged)[0]


def lonely_labels(volume: Array) -> set[int]:
    """Labels that have a component of one voxel."""
    numbers, labels = components(volume)
    return {label for label, size in zip(labels, np.bincount(numbers.ravel())[1:], strict=True) if size == 1}


def check_forest(skeleton: Any) -> tuple[int, Array]:
    """Types, order, no repeated or looped edge, no cycle; the number of trees and the tree of each vertex."""
    vertices, edges = skeleton.vertices, skeleton.edges
    assert (vertices.dtype, vertices.shape[1:]) == (np.float32, (3,))
    assert (edges.dtype, edges.shape[1:]) == (np.uint32, (2,))
    assert (skeleton.radius.dtype, skeleton.radius.shape) == (np.float32, (len(vertices),))
    assert np.isfinite(vertices).all()
    assert np.isfinite(skeleton.radius).all()
    assert (skeleton.radius > 0).all()
    assert np.array_equal(np.unique(vertices, axis=0), vertices), (
        "vertices repeat, or are not sorted by (x, y, z)"
    )
    assert (edges[:, 0] < edges[:, 1]).all(), "an edge is a loop, or not (low, high)"
    assert np.array_equal(np.unique(edges, axis=0), edges), "edges repeat, or are not sorted"
    trees, of_vertex = tree_numbers(skeleton)
    assert len(edges) == len(vertices) - trees, "there is a cycle"
    return trees, of_vertex


def check(
    volume: Array,
    skeletons: dict[int, Any],
    spacing: Any,
    dust: int = 0,
    scale: float = 1.5,
    const: float = 10,
    fix_borders: bool = True,
    coverage_limit: int = 10**6,
) -> None:
    """Everything that must hold exactly for components that are no somas, without a limit of paths.

    Larger components than ``coverage_limit`` are left out of the check of coverage alone.
    """
    while volume.ndim < 3:
        volume = volume[..., np.newaxis]
    numbers, _ = components(volume)
    wanted = traced(volume, spacing, dust)
    assert sorted(skeletons) == sorted({component.label for component in wanted})
    vertices_of: dict[int, Array] = {}
    for label, skeleton in skeletons.items():
        assert type(label) is int
        assert skeleton.id == label
        assert skeleton.space == "physical"
        np.testing.assert_allclose(skeleton.transform, np.diag([*spacing, 0])[:3], rtol=1e-6)
        trees, tree_of = check_forest(skeleton)
        voxels = voxels_of(skeleton, spacing)
        assert (volume[tuple(voxels.T)] == label).all(), "a vertex is not a voxel of its label"
        steps = voxels[skeleton.edges[:, 0].astype(int)] - voxels[skeleton.edges[:, 1].astype(int)]
        assert abs(steps).max(initial=0) <= 1, "an edge is longer than a step to a neighbour"
        number_of = numbers[tuple(voxels.T)]
        assert len({*zip(tree_of.tolist(), number_of.tolist(), strict=True)}) == trees, (
            "a tree spans two components, or a component has two trees"
        )
        for component in (c for c in wanted if c.label == label):
            mine = number_of == component.number
            assert mine.any(), "a component above the dust threshold has no tree"
            places = voxels[mine] - component.origin
            radii = component.distance[tuple(places.T)]
            np.testing.assert_allclose(skeleton.radius[mine], radii, rtol=TOLERANCE)
            vertices_of[component.number] = voxels[mine]
            if component.mask.sum() <= coverage_limit:
                check_coverage(component, places, spacing, scale, const)
        assert trees == sum(component.label == label for component in wanted)
    if fix_borders:
        for number, candidates in border_candidates(numbers, spacing):
            if number in vertices_of:
                assert {*map(tuple, candidates)} & {*map(tuple, vertices_of[number])}, (
                    "a border target is no vertex"
                )


def check_coverage(component: Component, places: Array, spacing: Any, scale: float, const: float) -> None:
    """Every voxel is a vertex, or nearer to one than the radius within which that invalidates."""
    sizes = np.asarray(spacing, dtype=float)
    rest = component.mask.copy()
    rest[tuple(places.T)] = False
    voxels = np.argwhere(rest) * sizes
    reach = (scale * component.distance[tuple(places.T)] + const) * (1 + TOLERANCE)
    for some in np.array_split(voxels, max(1, len(voxels) * len(places) // 10**7)):
        covered = (spatial.distance.cdist(some, places * sizes) < reach).any(axis=1)
        assert covered.all(), "a voxel is neither a vertex nor within reach of one"


def assert_same(one: dict[int, Any], other: dict[int, Any]) -> None:
    """The same skeletons to the last bit."""
    assert sorted(one) == sorted(other)
    for label in one:
        for name in ("vertices", "edges", "radius"):
            np.testing.assert_array_equal(
                getattr(one[label], name), getattr(other[label], name), err_msg=name
            )


# ---------------------------------------------------------------------------------------
# Volumes


def empty(*shape: int) -> Array:
    return np.zeros(shape, np.uint8, order="F")


def junction() -> Array:
    """A long bar through two faces, and a shorter one from its middle to a third."""
    volume = empty(101, 71, 31)
    volume[:, 15:26, 10:21] = 1
    volume[45:56, 20:, 10:21] = 1
    return volume


def ball(shape: Voxel, centre: Any, radius: float, spacing: Any = (1, 1, 1)) -> Array:
    """A mask of the voxels within ``radius`` of a voxel."""
    offsets = [
        (axis - c) * w for axis, c, w in zip(np.ogrid[tuple(map(slice, shape))], centre, spacing, strict=True)
    ]
    return sum(offset**2 for offset in offsets) <= radius**2


def blobs(shape: Voxel, rng: np.random.Generator) -> Array:
    """Balls of a few labels, which overlap and touch, in background."""
    volume = np.zeros(shape, np.uint16, order="F")
    for _ in range(rng.integers(1, 9)):
        mask = ball(shape, rng.random(3) * shape, rng.uniform(0.5, 0.6 * max(shape)))
        volume[mask] = rng.integers(1, 5)
    return volume


def tubes(shape: Voxel, rng: np.random.Generator) -> Array:
    """Random walks, one to three voxels thick, of a few labels."""
    volume = np.zeros(shape, np.uint16, order="F")
    for label in range(1, rng.integers(2, 5)):
        steps = rng.integers(-1, 2, (3 * max(shape), 3)).cumsum(axis=0) + (rng.random(3) * shape).astype(int)
        mask = np.zeros(shape, bool)
        mask[tuple((steps % shape).T)] = True
        volume[ndimage.binary_dilation(mask) if rng.random() < 0.6 else mask] = label
    return volume


def noise(shape: Voxel, rng: np.random.Generator) -> Array:
    """Random labels, half of them background or more: many small components."""
    return np.asfortranarray(rng.integers(0, 4, shape) * (rng.random(shape) < rng.random())).astype(np.uint16)


def porous(shape: Voxel, rng: np.random.Generator) -> Array:
    """One label with random holes: voids, and many cycles."""
    return np.asfortranarray((rng.random(shape) < rng.uniform(0.5, 1)).astype(np.uint16))


def cells(shape: Voxel, rng: np.random.Generator) -> Array:
    """Voronoi cells without any background, some of which share a label."""
    points = rng.random((rng.integers(1, 9), 3)) * shape
    grid = np.stack(np.indices(shape), axis=-1)[..., np.newaxis, :]
    nearest = np.square(grid - points).sum(axis=-1).argmin(axis=-1)
    return np.asfortranarray(rng.integers(1, 7, len(points))[nearest].astype(np.uint16))


KINDS: dict[str, Callable[[Voxel, np.random.Generator], Array]] = {
    kind.__name__: kind for kind in (blobs, tubes, noise, porous, cells)
}


@st.composite
def label_volumes(draw: st.DrawFn, longest: int = 13) -> Array:
    """Volumes of all kinds: also of one slice, one row, one voxel."""
    shape = draw(st.tuples(*[st.one_of(st.just(1), st.integers(1, longest), st.just(longest))] * 3))
    kind = draw(st.sampled_from(sorted(KINDS)))
    return KINDS[kind](shape, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


def sizes(least: float = 1e-3, most: float = 1e6) -> st.SearchStrategy[float]:
    """Voxel sizes whose logarithms are uniform."""
    return st.floats(math.log10(least), math.log10(most)).map(
        lambda power: min(max(10.0**power, least), most)
    )


def spacings() -> st.SearchStrategy[Spacing]:
    usual = st.sampled_from([(1.0, 1.0, 1.0), (16.0, 16.0, 40.0), (4.0, 4.0, 40.0), (0.25, 0.5, 0.125)])
    return st.one_of(usual, st.tuples(sizes(), sizes(), sizes()))


@st.composite
def parameters(draw: st.DrawFn, spacing: Spacing, somas: bool = False) -> dict[str, Any]:
    """Parameters of the tracer, with lengths that suit the voxel size."""
    unit = math.prod(spacing) ** (1 / 3)
    made = {
        "scale": draw(st.floats(0, 4)),
        "const": unit * draw(st.floats(0, 5)),
        "pdrf_scale": 10.0 ** draw(st.integers(0, 6)),
        "pdrf_exponent": draw(st.sampled_from([1, 2, 3, 4, 8, 16])),
    }
    if not somas:
        return {**made, **NO_SOMA}
    detection = unit * draw(st.floats(0.5, 4))
    return {
        **made,
        "soma_detection_threshold": detection,
        "soma_acceptance_threshold": detection * draw(st.floats(1, 2)),
        "soma_invalidation_scale": draw(st.floats(0, 3)),
        "soma_invalidation_const": unit * draw(st.floats(0, 3)),
    }
