"""The class Skeleton: a graph in space, as users of Kimimaro, cloud-volume and osteoid know it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from .._base import atomic_files
from .._binding import skeleton_graphs as graphs
from .arrays import corners_of, moving_average, shaped
from .precomputed import DEFAULT_ATTRIBUTES, parse_precomputed, to_precomputed
from .swc import parse_swc, to_swc

if TYPE_CHECKING:
    import networkx  # type: ignore[import-untyped]

Coordinates = npt.NDArray[np.float32]
Edges = npt.NDArray[np.uint32]
Space = Literal["voxel", "physical"]


class SkeletonAttributeMixingError(Exception):
    """Skeletons with different vertex attributes cannot be merged."""


def _identity() -> npt.NDArray[np.float32]:
    return np.eye(3, 4, dtype=np.float32)


class Skeleton:
    """A graph in space: vertices with a radius, and edges between them.

    Args:
        vertices: coordinates (x, y, z), ``(n, 3)``; kept as float32.
        edges: pairs of vertices, ``(m, 2)``; kept as uint32.
        radii: the radius of every vertex; None: -1, which stands for unknown. Kept as float32.
        vertex_types: SWC's type of every vertex (1 is a soma); None: 0. Kept as uint8.
        segid: the label that the skeleton belongs to.
        transform: 3 x 4, from voxels to physical coordinates; None: the identity.
        space: whether ``vertices`` are voxels or physical coordinates.
        extra_attributes: what the vertices have besides, as dicts with ``id``, ``data_type`` and
            ``num_components``. Each is an attribute of this object too, with a row for every vertex. None:
            radius and vertex types.
        **attributes: the values of further attributes, by ``id``.

    Raises:
        ValueError: shapes do not fit, an edge names a vertex that does not exist, or there is no such space.

    Attributes:
        id: the label; None: not known.
        radius: also called ``radii``.
    """

    def __init__(
        self,
        vertices: npt.ArrayLike | None = None,
        edges: npt.ArrayLike | None = None,
        radii: npt.ArrayLike | None = None,
        vertex_types: npt.ArrayLike | None = None,
        segid: int | None = None,
        transform: npt.ArrayLike | None = None,
        space: Space = "voxel",
        extra_attributes: Iterable[dict[str, Any]] | None = None,
        **attributes: npt.ArrayLike,
    ) -> None:
        self.id = segid
        self.vertices: Coordinates = shaped("vertices", vertices, np.float32, 3)
        self.edges: Edges = shaped("edges", edges, np.uint32, 2)
        self.transform: npt.NDArray[np.float32] = (
            _identity() if transform is None else np.array(transform, np.float32).reshape(3, 4)
        )
        if space not in ("voxel", "physical"):
            raise ValueError(f"space is 'voxel' or 'physical', not {space!r}")
        self.space: Space = space
        self.extra_attributes: list[dict[str, Any]] = (
            [dict(one) for one in DEFAULT_ATTRIBUTES]
            if extra_attributes is None
            else [dict(one) for one in extra_attributes]
        )
        self.radius: npt.NDArray[np.float32] = self._values("radius", radii, -1, np.float32)
        self.vertex_types: npt.NDArray[np.uint8] = self._values("vertex_types", vertex_types, 0, np.uint8)
        known = {one["id"] for one in self.extra_attributes}
        for name, values in attributes.items():
            array = np.asarray(values)
            if len(array) != len(self.vertices):
                raise ValueError(f"{name} has {len(array)} values for {len(self.vertices)} vertices")
            setattr(self, name, array)
            if name not in known:
                self.add_attribute(name, array)
        self._check()

    def _values(self, name: str, given: npt.ArrayLike | None, default: int, dtype: Any) -> Any:
        if given is None:
            return np.full(len(self.vertices), default, dtype)
        values = np.asarray(given, dtype).reshape(-1)
        if len(values) != len(self.vertices):
            raise ValueError(f"{name} has {len(values)} values for {len(self.vertices)} vertices")
        return values

    def _check(self) -> None:
        if len(self.edges) and int(self.edges.max()) >= len(self.vertices):
            raise ValueError(
                f"an edge names vertex {int(self.edges.max())}, but there are {len(self.vertices)} vertices"
            )

    # ------------------------------------------------------------------------------------
    # Attributes

    @property
    def radii(self) -> npt.NDArray[np.float32]:
        """The same as ``radius``."""
        return self.radius

    @radii.setter
    def radii(self, values: npt.ArrayLike) -> None:
        self.radius = np.asarray(values, np.float32)

    def add_attribute(self, name: str, values: npt.NDArray[Any]) -> None:
        """Set a vertex attribute, a row for every vertex, and list it in ``extra_attributes``.

        Raises:
            ValueError: the number of rows is not that of vertices.
        """
        if len(values) != len(self.vertices):
            raise ValueError(f"{name} has {len(values)} values for {len(self.vertices)} vertices")
        setattr(self, name, values)
        self.extra_attributes = [one for one in self.extra_attributes if one["id"] != name]
        components = 1 if values.ndim == 1 else values.shape[1]
        self.extra_attributes.append(
            {"id": name, "data_type": values.dtype.name, "num_components": components}
        )

    def _names(self) -> list[str]:
        """The names of all attributes with a row for every vertex."""
        names = ["radius", "vertex_types", *(one["id"] for one in self.extra_attributes)]
        return [name for name in dict.fromkeys(names) if getattr(self, name, None) is not None]

    def _taking(self, kept: npt.NDArray[Any], edges: npt.NDArray[Any]) -> Self:
        """The skeleton of some vertices, in this order, with other edges."""
        made = copy.copy(self)
        made.transform = self.transform.copy()
        made.extra_attributes = [dict(one) for one in self.extra_attributes]
        made.vertices, made.edges = self.vertices[kept], np.ascontiguousarray(edges, np.uint32)
        for name in self._names():
            setattr(made, name, getattr(self, name)[kept])
        return made

    def with_edges(self, edges: npt.ArrayLike) -> Self:
        """The same vertices with other edges."""
        made = self._taking(np.arange(len(self.vertices)), shaped("edges", edges, np.uint32, 2))
        made._check()
        return made

    def clone(self) -> Self:
        """A copy that shares no memory."""
        return copy.deepcopy(self)

    def empty(self) -> bool:
        """Whether there are no vertices."""
        return len(self.vertices) == 0

    def __len__(self) -> int:
        """The number of vertices."""
        return len(self.vertices)

    def __bool__(self) -> bool:
        """True, also of a skeleton without vertices: see :meth:`empty`."""
        return True

    def __repr__(self) -> str:
        """In short."""
        name = "Skeleton()" if self.id is None else f"Skeleton(segid={self.id})"
        return f"<{name}: {len(self.vertices)} vertices, {len(self.edges)} edges, {self.space} space>"

    def __eq__(self, other: object) -> bool:
        """Whether vertices, edges, attributes, id, space and transform are the same, in the same order."""
        if not isinstance(other, Skeleton):
            return NotImplemented
        return (
            self.id == other.id
            and self.space == other.space
            and self._names() == other._names()
            and np.array_equal(self.vertices, other.vertices)
            and np.array_equal(self.edges, other.edges)
            and np.array_equal(self.transform, other.transform)
            and all(
                np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
                if np.asarray(getattr(self, name)).dtype.kind == "f"
                else np.array_equal(getattr(self, name), getattr(other, name))
                for name in self._names()
            )
        )

    __hash__ = None  # type: ignore[assignment]  # it can change

    # ------------------------------------------------------------------------------------
    # Space

    def physical_space(self, copy: bool = True) -> Self:
        """The skeleton with physical coordinates; with ``copy=False`` this one is changed."""
        return self._in_space("physical", copy)

    def voxel_space(self, copy: bool = True) -> Self:
        """The skeleton with voxels as coordinates; with ``copy=False`` this one is changed."""
        return self._in_space("voxel", copy)

    def _in_space(self, space: Space, copy: bool) -> Self:
        made = self.clone() if copy else self
        if made.space == space:
            return made
        matrix, shift = self.transform[:, :3].astype(np.float64), self.transform[:, 3].astype(np.float64)
        if space == "physical":
            made.vertices = (self.vertices @ matrix.T + shift).astype(np.float32)
        else:
            made.vertices = np.linalg.solve(matrix, (self.vertices - shift).T).T.astype(np.float32)
        made.vertices = np.ascontiguousarray(made.vertices)
        made.space = space
        return made

    # ------------------------------------------------------------------------------------
    # Measures and parts

    def cable_length(self) -> float:
        """The sum of the lengths of all edges, in physical space. Complexity: linear."""
        vertices = self.physical_space(copy=self.space == "voxel").vertices.astype(np.float64)
        ends = vertices[self.edges]
        return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).sum())

    def degrees(self) -> npt.NDArray[np.int64]:
        """The number of edges at each vertex."""
        return np.bincount(self.edges.reshape(-1), minlength=len(self.vertices))

    def terminals(self) -> npt.NDArray[np.int64]:
        """The vertices with one edge."""
        return np.flatnonzero(self.degrees() == 1)

    def branches(self) -> npt.NDArray[np.int64]:
        """The vertices with three edges or more."""
        return np.flatnonzero(self.degrees() >= 3)

    def components(self) -> list[Self]:
        """A skeleton for each connected component with an edge, in the order of their lowest vertices.

        A vertex without edges is in none, as in osteoid. Complexity: linear, and a sort of the vertices.
        """
        _, numbers = graphs.component_numbers(len(self.vertices), self.edges)
        used = self.degrees() > 0
        order = np.flatnonzero(used)
        order = order[np.argsort(numbers[order], kind="stable")]
        first = np.flatnonzero(np.diff(numbers[order].astype(np.int64), prepend=-1))
        sizes = np.diff(np.append(first, len(order)))
        place = np.empty(len(self.vertices), np.uint32)
        place[order] = np.arange(len(order), dtype=np.uint32)
        # Edges, grouped by the components of their vertices, numbered within these.
        component = np.repeat(np.arange(len(first)), sizes)
        owner = component[place[self.edges[:, 0]]] if len(self.edges) else np.zeros(0, np.int64)
        by_owner = np.argsort(owner, kind="stable")
        counts = np.bincount(owner, minlength=len(first))
        groups = np.split(self.edges[by_owner], np.cumsum(counts)[:-1])
        return (
            [
                self._taking(order[start : start + size], place[edges] - np.uint32(start))
                for start, size, edges in zip(first.tolist(), sizes.tolist(), groups, strict=True)
            ]
            if len(first)
            else []
        )

    def paths(self) -> list[Coordinates]:
        """The coordinates along a path from every end to the root of its component.

        The root is the vertex that is most edges away from the first vertex of the component.
        """
        return [self.vertices[path] for path in graphs.root_paths(len(self.vertices), self.edges)]

    def interjoint_paths(self, return_indices: bool = False) -> list[Any]:
        """The paths between ends and branches: their coordinates, or the numbers of their vertices."""
        paths = graphs.interjoint_paths(len(self.vertices), self.edges)
        return list(paths) if return_indices else [self.vertices[path] for path in paths]

    # ------------------------------------------------------------------------------------
    # Merging

    @classmethod
    def simple_merge(cls, skeletons: Iterable[Skeleton]) -> Skeleton:
        """All skeletons in one, one behind the other; nothing is joined.

        The id, the space, the transform and the attributes are those of the first skeleton with vertices; the
        others are converted to its space.

        Raises:
            SkeletonAttributeMixingError: the skeletons have different vertex attributes.
        """
        full = [one for one in skeletons if not one.empty()]
        if not full:
            return cls()
        first = full[0]
        listed = [sorted(map(_attribute_key, one.extra_attributes)) for one in full]
        for one, attributes in zip(full, listed, strict=True):
            if attributes != listed[0]:
                raise SkeletonAttributeMixingError(
                    f"vertex attributes differ: {first.extra_attributes} and {one.extra_attributes}"
                )
        full = [one._in_space(first.space, True) if one.space != first.space else one for one in full]
        offsets = np.cumsum([0, *(len(one.vertices) for one in full[:-1])])
        made = first._taking(np.zeros(0, np.int64), np.zeros((0, 2), np.uint32))
        made.vertices = np.concatenate([one.vertices for one in full])
        made.edges = np.concatenate(
            [one.edges + np.uint32(offset) for one, offset in zip(full, offsets, strict=True)]
        )
        for name in first._names():
            setattr(made, name, np.concatenate([getattr(one, name) for one in full]))
        return made

    def merge(self, other: Skeleton) -> Skeleton:
        """Both skeletons in one, vertices at the same place joined."""
        return Skeleton.simple_merge([self, other]).consolidate()

    def consolidate(self, remove_disconnected_vertices: bool = True) -> Self:
        """The same skeleton with every place once, and all in order.

        Vertices are sorted by x, y and z, edges by their vertices.

        Attributes are those of the first vertex at a place. Vertices without edges go, unless there is just
        one place or ``remove_disconnected_vertices`` is False. Complexity: n log n.
        """
        kept, edges = graphs.consolidate(self.vertices, self.edges, not remove_disconnected_vertices)
        return self._taking(kept, edges)

    @staticmethod
    def equivalent(first: Skeleton, second: Skeleton) -> bool:
        """Whether two skeletons are the same but for the order of vertices and edges, and duplicates."""
        one, other = first.consolidate(), second.consolidate()
        one.id = other.id = None
        return one == other

    # ------------------------------------------------------------------------------------
    # Fewer and smoother vertices

    def downsample(self, downsample_factor: int) -> Self:
        """Keep every so many vertices of each path between ends and branches, and all ends and branches.

        Raises:
            ValueError: the factor is not an integer from 1 on.
        """
        factor = downsample_factor
        if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 1:
            raise ValueError(f"downsample_factor is an integer from 1 on, not {factor!r}")
        edges = [np.zeros((0, 2), np.uint32)]
        for path in graphs.interjoint_paths(len(self.vertices), self.edges):
            kept = path[::factor]
            if (len(path) - 1) % factor:
                kept = np.append(kept, path[-1])
            if kept[0] == kept[-1] and len(kept) < 4:  # a cycle would vanish
                kept = path
            edges.append(np.column_stack([kept[:-1], kept[1:]]))
        joined = np.concatenate(edges)
        used = np.zeros(len(self.vertices), bool)
        used[joined] = True
        used |= self.degrees() == 0
        number = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
        return self._taking(np.flatnonzero(used), number[joined])

    def average_smoothing(self, n: int, check_boundary: bool = True, shrink_radii: bool = False) -> Self:
        """Smooth every path between ends and branches by a moving mean, forward and backward; ends stay.

        Args:
            n: how many vertices a mean is of.
            check_boundary: refuse to move a vertex by more than its radius.
            shrink_radii: subtract the distance that a vertex moved from its radius.

        Raises:
            ValueError: ``n`` is not an integer from 1 on, or a vertex would leave its ball.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n is an integer from 1 on, not {n!r}")
        made = self.clone()
        for path in graphs.interjoint_paths(len(self.vertices), self.edges):
            places = self.vertices[path].astype(np.float64)
            smooth = moving_average(moving_average(places, n)[::-1], n)[::-1]
            made.vertices[path[1:-1]] = smooth[1:-1]
        here, there = self.physical_space().vertices, made.physical_space().vertices
        moved = np.linalg.norm(there.astype(np.float64) - here, axis=1)
        if check_boundary and ((self.radius >= 0) & (moved > self.radius)).any():
            worst = int(np.argmax(moved - self.radius))
            raise ValueError(
                f"vertex {worst} would move by {moved[worst]:g}, and its radius is {self.radius[worst]:g}: "
                f"smooth with a smaller n, or pass check_boundary=False"
            )
        if shrink_radii:
            known = made.radius >= 0
            made.radius[known] = np.maximum(made.radius[known] - moved[known], 0).astype(np.float32)
        return made

    # ------------------------------------------------------------------------------------
    # Boxes

    def crop(self, bbox: Any) -> Self:
        """The vertices within a box, both its corners included, and the edges between them.

        ``bbox`` is a pair of points, six numbers (both points, one behind the other), or has ``minpt`` and
        ``maxpt``.
        """
        low, high = corners_of(bbox)
        inside = np.all((self.vertices >= low) & (self.vertices <= high), axis=1)
        number = np.cumsum(inside, dtype=np.uint32) - np.uint32(1)
        edges = self.edges[inside[self.edges].all(axis=1)] if len(self.edges) else self.edges
        return self._taking(np.flatnonzero(inside), number[edges])

    def chunk(
        self, size: Sequence[float], origin: Sequence[float] = (0, 0, 0)
    ) -> dict[tuple[int, int, int], Self]:
        """The parts of a skeleton in the boxes of a grid: a dict from the index of a box to its part.

        Boxes are half-open. Edges between two boxes are in neither part.
        """
        edges = np.asarray(size, np.float64)
        if edges.shape != (3,) or not (edges > 0).all():
            raise ValueError(f"size is three numbers above 0, not {size!r}")
        cells = np.floor((self.vertices - np.asarray(origin, np.float64)) / edges).astype(np.int64)
        found: dict[tuple[int, int, int], Self] = {}
        for cell in np.unique(cells, axis=0):
            inside = (cells == cell).all(axis=1)
            number = np.cumsum(inside, dtype=np.uint32) - np.uint32(1)
            between = self.edges[inside[self.edges].all(axis=1)] if len(self.edges) else self.edges
            x, y, z = cell.tolist()
            found[x, y, z] = self._taking(np.flatnonzero(inside), number[between])
        return found

    # ------------------------------------------------------------------------------------
    # Other forms

    @classmethod
    def from_path(cls, path: npt.ArrayLike) -> Self:
        """The skeleton of one path through some coordinates."""
        vertices = np.asarray(path, np.float32).reshape(-1, 3)
        numbers = np.arange(len(vertices), dtype=np.uint32)
        return cls(vertices, np.column_stack([numbers[:-1], numbers[1:]]))

    def import_attributes(self, skeletons: Skeleton | Iterable[Skeleton]) -> None:
        """Take over the attributes of other skeletons where they have a vertex at the same place."""
        given = [skeletons] if isinstance(skeletons, Skeleton) else list(skeletons)
        where = {place.tobytes(): number for number, place in enumerate(self.vertices + np.float32(0))}
        for other in given:
            places = other._in_space(self.space, True).vertices + np.float32(0)
            pairs = [
                (where[place.tobytes()], number)
                for number, place in enumerate(places)
                if place.tobytes() in where
            ]
            if not pairs:
                continue
            mine, theirs = (list(one) for one in zip(*pairs, strict=True))
            for name in other._names():
                values = getattr(other, name)
                if getattr(self, name, None) is None or name not in self._names():
                    self.add_attribute(name, np.zeros((len(self), *values.shape[1:]), values.dtype))
                getattr(self, name)[mine] = values[theirs]

    def to_networkx(self) -> networkx.Graph:
        """A graph of networkx.

        Nodes are the numbers of vertices, edges have their physical length as ``weight``.
        """
        import networkx

        graph = networkx.Graph()
        graph.add_nodes_from(range(len(self.vertices)))
        places = self.physical_space().vertices.astype(np.float64)[self.edges]
        lengths = np.linalg.norm(places[:, 0] - places[:, 1], axis=1)
        graph.add_weighted_edges_from(
            (a, b, length) for (a, b), length in zip(self.edges.tolist(), lengths.tolist(), strict=True)
        )
        return graph

    def to_swc(self, contributors: str = "") -> str:
        """As SWC, a line for every vertex.

        Every tree has a root: its soma, a vertex of type 1, or else its thickest end; a cycle loses one edge.
        Coordinates and radii are written as they are, with six decimals; the header has the space, the scale
        and the transform. Complexity: linear.
        """
        return to_swc(self, contributors)

    @classmethod
    def from_swc(cls, text: str) -> Self:
        """From SWC, with the space and the transform that its header names.

        Raises:
            ValueError: a line is not a vertex, two have one number, or a parent is missing; the message names
                the line.
        """
        return cls(**parse_swc(text))

    def to_precomputed(self) -> bytes:
        """As Neuroglancer reads it, with all attributes.

        Raises:
            ValueError: an attribute has a type that the format lacks.
        """
        return to_precomputed(self)

    @classmethod
    def from_precomputed(
        cls,
        data: bytes,
        segid: int | None = None,
        vertex_attributes: Sequence[dict[str, Any]] | None = None,
    ) -> Self:
        """From Neuroglancer's bytes.

        Args:
            data: the bytes.
            segid: the label.
            vertex_attributes: what vertices have, as in a folder's ``info`` file; None: radius and vertex
                types if the length says so, otherwise none.

        Raises:
            ValueError: the length does not fit the numbers of vertices and edges, or an edge names a vertex
                that does not exist.
        """
        return cls(**parse_precomputed(data, segid, vertex_attributes))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that appears when it is whole.

        SWC, if the name ends in .swc, else Neuroglancer's format.
        """
        is_swc = Path(path).suffix.lower() == ".swc"
        atomic_files.write_bytes(path, self.to_swc().encode() if is_swc else self.to_precomputed())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that :meth:`save` wrote.

        Raises:
            ValueError: the file is not a skeleton; the message names it.
        """
        data = Path(path).read_bytes()
        try:
            return (
                cls.from_swc(data.decode())
                if Path(path).suffix.lower() == ".swc"
                else cls.from_precomputed(data)
            )
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error

    def to_osteoid(self) -> Any:
        """The same as an ``osteoid.Skeleton``. Needs osteoid: ``pip install osteoid``."""
        import osteoid  # type: ignore[import-not-found]

        made = osteoid.Skeleton(
            self.vertices,
            self.edges,
            radii=self.radius,
            vertex_types=self.vertex_types,
            segid=self.id,
            transform=self.transform,
            space=self.space,
            extra_attributes=[dict(one) for one in self.extra_attributes],
        )
        for name in self._names():
            setattr(made, name, getattr(self, name))
        return made

    @classmethod
    def from_osteoid(cls, other: Any) -> Skeleton:
        """From an ``osteoid.Skeleton``, or any object with the same attributes."""
        listed = [dict(one) for one in other.extra_attributes]
        extra = {
            one["id"]: getattr(other, one["id"])
            for one in listed
            if one["id"] not in ("radius", "vertex_types")
        }
        return cls(
            other.vertices,
            other.edges,
            radii=other.radius,
            vertex_types=other.vertex_types,
            segid=other.id,
            transform=other.transform,
            space=other.space,
            extra_attributes=listed,
            **extra,
        )


def _attribute_key(attribute: dict[str, Any]) -> tuple[str, str, int]:
    return attribute["id"], attribute["data_type"], attribute["num_components"]
