"""The objects of one stream: their masks, surfaces and neighbours, the parts they fall into, distances.

Coordinates are (x, y, z). Everything but masks and images comes from the boundaries of slices and the
components within them: time is that of reading the stream and in proportion to the boundaries, and no voxel
is decoded. Memory is that of the answer and of some slices.

Functions raise :class:`~crackle_zarr.errors.FormatError` for damaged streams.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import fits, holds, integer, integer_array
from ..errors import MissingLabelError
from . import stream
from .ranges import consecutive
from .statistics import statistics_of
from .stream import Source, bytes_of

Mask: TypeAlias = npt.NDArray[np.bool_]
Points: TypeAlias = npt.NDArray[Any]
Boxes: TypeAlias = dict[int, tuple[slice, slice, slice]]

# Labels that one image of bytes tells apart: 0 is everything else.
_AT_ONCE = 255


def _missing(label: int) -> MissingLabelError:
    return MissingLabelError(f"there is no label {label}")


def _reader(binary: Source) -> _binding.Reader:
    return _binding.Reader(bytes_of(binary))


def _signed(bits: npt.NDArray[np.uint64], dtype: np.dtype[Any]) -> list[int]:
    """Labels that came from C as 64 bits, as Python ints."""
    return (bits.astype(np.int64) if dtype.kind == "i" else bits).tolist()  # type: ignore[no-any-return]


def _wanted(table: npt.NDArray[Any], labels: Iterable[int]) -> Mask:
    """Which entries of a label table are among some labels."""
    asked = integer_array("a label", list(labels))
    return np.isin(table, asked[fits(asked, table.dtype)].astype(table.dtype))


# ---------------------------------------------------------------------------------------
# Sizes


def voxel_counts(binary: Source, label: int | None = None, parallel: int = 0) -> Any:
    """How many voxels the labels of a stream have; see :func:`crackle_zarr.voxel_counts`."""
    threads = _binding.threads(parallel)
    wanted = None if label is None else integer("label", label)
    reader = _reader(binary)
    head = reader.header
    table = stream._table(reader)
    if wanted is not None and wanted not in table.tolist():
        raise _missing(wanted)
    counts = np.zeros(len(table), dtype=np.uint64)
    if len(table):

        def work(z_start: int, z_end: int) -> npt.NDArray[np.uint64]:
            extents = reader.measure(z_start, z_end, only_counts=True)
            return np.ascontiguousarray(extents["voxels"])

        depth = _binding.slices_at_once(head, shared=True, rows=len(table))
        counts = np.sum(_binding.over_slices(work, 0, head.sz, threads, depth), axis=0, dtype=np.uint64)
    found: dict[int, int] = {}
    for name, count in zip(table.tolist(), counts.tolist(), strict=True):
        if count:
            found[name] = found.get(name, 0) + count
    if wanted is None:
        return dict(sorted(found.items()))
    if wanted not in found:
        raise _missing(wanted)
    return found[wanted]


# ---------------------------------------------------------------------------------------
# Masks


def boxes_of(reader: _binding.Reader, threads: int) -> Boxes:
    """The bounding box of every label."""
    rows = statistics_of(reader, threads)
    starts, stops = rows["start"].tolist(), rows["stop"].tolist()
    return {
        int(label): (slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2]))
        for label, a, b in zip(rows["label"].tolist(), starts, stops, strict=True)
    }


def images(
    reader: _binding.Reader, labels: list[int], boxes: Boxes, threads: int, whole: bool
) -> Iterator[tuple[dict[int, int], int, npt.NDArray[np.uint8]]]:
    """Images of up to 255 of the labels at a time, in their order.

    Yields:
        (label -> its number in the image, the first slice of the image, the image): all slices if ``whole``,
        else those that have one of the labels.
    """
    head = reader.header
    table = reader.table()
    for start in range(0, len(labels), _AT_ONCE):
        batch = labels[start : start + _AT_ONCE]
        numbers = {label: number for number, label in enumerate(batch, start=1)}
        values = np.zeros(len(table), dtype=np.uint64)
        for label, number in numbers.items():
            values[table == table.dtype.type(label)] = number
        z_start, z_end = 0, head.sz
        if not whole:
            z_start = min(boxes[label][2].start for label in batch)
            z_end = max(boxes[label][2].stop for label in batch)
        image = stream._empty((head.sx, head.sy, z_end - z_start), np.dtype(np.uint8), head.order)
        reader.decode(image, z_start, z_end, values=values, parallel=threads)
        yield numbers, z_start, image


class Objects:
    """The objects of a stream, to go through as often as one likes; it has a length, for progress bars."""

    def __init__(
        self, reader: _binding.Reader, crop: bool, asked: set[int] | None, multi: bool, threads: int
    ) -> None:
        self._reader, self._crop, self._multi, self._threads = reader, crop, multi, threads
        self._asked = asked

    @functools.cached_property
    def _boxes(self) -> Boxes:
        if self._reader.header.voxels() == 0:
            return {}
        boxes = boxes_of(self._reader, self._threads)
        return {label: box for label, box in boxes.items() if self._asked is None or label in self._asked}

    def __len__(self) -> int:
        """How many labels there are to go through."""
        return len(self._boxes)

    def __iter__(self) -> Iterator[Any]:
        """Go through them, in ascending order."""
        boxes = self._boxes
        whole = self._multi or not self._crop
        for numbers, z_start, image in images(self._reader, sorted(boxes), boxes, self._threads, whole):
            for label, number in numbers.items():
                if self._multi:
                    yield label, number, image
                elif not self._crop:
                    yield label, image == number
                else:
                    x, y, z = boxes[label]
                    yield label, image[x, y, z.start - z_start : z.stop - z_start] == number


def each(
    binary: Source,
    crop: bool = True,
    labels: Iterable[int] | None = None,
    multi: bool = False,
    parallel: int = 0,
) -> Objects:
    """The objects of a stream; see :func:`crackle_zarr.each`."""
    threads = _binding.threads(parallel)
    asked = None if labels is None else {integer("a label", label) for label in labels}
    return Objects(_reader(binary), crop, asked, multi, threads)


def select(
    binary: Source, labels: Iterable[int], parallel: int = 0
) -> dict[int, tuple[Mask, tuple[int, ...]]]:
    """The masks of several labels, each cut to its bounding box, and where that begins.

    Raises:
        MissingLabelError: some of the labels are not there.
    """
    threads = _binding.threads(parallel)
    wanted = [integer("a label", label) for label in labels]
    reader = _reader(binary)
    boxes = boxes_of(reader, threads) if reader.header.voxels() else {}
    absent = sorted(set(wanted) - boxes.keys())
    if absent:
        raise _missing(absent[0])
    made = {}
    for numbers, z_start, image in images(reader, sorted(set(wanted)), boxes, threads, False):
        for label, number in numbers.items():
            x, y, z = boxes[label]
            cut = image[x, y, z.start - z_start : z.stop - z_start] == number
            made[label] = (cut, (x.start, y.start, z.start))
    return {label: made[label] for label in wanted}


# ---------------------------------------------------------------------------------------
# Surfaces


def point_cloud(
    binary: Source,
    label: int | Iterable[int] | None = None,
    z_start: int = -1,
    z_end: int = -1,
    skip_background: bool = True,
    parallel: int = 0,
) -> Any:
    """The surface voxels of labels of a stream; see :func:`crackle_zarr.point_cloud`."""
    _binding.threads(parallel)
    reader = _reader(binary)
    head = reader.header
    start = 0 if z_start == -1 else integer("z_start", z_start)
    end = head.sz if z_end == -1 else integer("z_end", z_end)
    start, end = stream._z_range(head, start, end)
    several = isinstance(label, Iterable)
    asked: list[int] | None = None
    if label is not None:
        asked = [integer("label", name) for name in (label if isinstance(label, Iterable) else [label])]
    table = stream._table(reader)
    if asked is not None:
        there = set(table.tolist())
        for name in asked:
            if name not in there:
                raise _missing(name)
        wanted = _wanted(table, asked)
        if not several and start < end:
            # A label reaches no further than its slices.
            some = np.flatnonzero(reader.slices_with(wanted)[start:end])
            start, end = (start + int(some[0]), start + int(some[-1]) + 1) if some.size else (start, start)
    else:
        wanted = table != 0 if skip_background else np.ones(len(table), dtype=np.bool_)
    points, counts = reader.surface(wanted, start, end)
    clouds: dict[int, Points] = {}
    ends = np.cumsum(counts)
    for name, count, at in zip(table.tolist(), counts.tolist(), ends.tolist(), strict=True):
        if count:
            clouds[name] = points[int(at) - int(count) : int(at)]
    if asked is None:
        return {name: clouds[name] for name in sorted(clouds)}
    nothing = points[:0]
    if not several:
        return clouds.get(asked[0], nothing)
    return {name: clouds.get(name, nothing) for name in asked}


def edge_labels(binary: Source, parallel: int = 0) -> set[int]:
    """The labels that touch a face of the volume: those of objects that may go on beyond it.

    Args:
        binary: the stream.
        parallel: threads; 0 is one per core.
    """
    reader = _reader(binary)
    if reader.header.voxels() == 0:
        return set()
    found = set()
    for label, box in boxes_of(reader, _binding.threads(parallel)).items():
        if any(
            side.start == 0 or side.stop == length
            for side, length in zip(box, reader.header.shape, strict=True)
        ):
            found.add(label)
    return found


# ---------------------------------------------------------------------------------------
# Neighbours


def contacts(
    binary: Source,
    anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0),
    parallel: int = 0,
    skip_background: bool = True,
) -> dict[tuple[int, int], float]:
    """The area over which labels touch.

    Args:
        binary: the stream.
        anisotropy: the size of a voxel along x, y and z; the area is in the square of its unit.
        parallel: threads; 0 is one per core.
        skip_background: leave out the label 0.

    Returns:
        A dict (label a, label b) -> area of the faces that they share, where a < b; labels that do not touch
        are not in it.

    Raises:
        ValueError: ``anisotropy`` is not three positive numbers.
    """
    wx, wy, wz = _three_sizes(anisotropy)
    threads = _binding.threads(parallel)
    reader = _reader(binary)
    if reader.header.voxels() == 0:
        return {}
    found = reader.contacts(threads, skip_background)
    wide = np.dtype(np.int64 if reader.header.signed else np.uint64)
    first, second = found["a"].astype(wide), found["b"].astype(wide)
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)
    pairs, faces = _added_up(pairs, found["faces"])
    x, y, z = faces.T.astype(np.float64)
    areas = x * (wy * wz) + y * (wx * wz) + z * (wx * wy)
    names = zip(pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True)
    return dict(zip(names, areas.tolist(), strict=True))


def _added_up(pairs: npt.NDArray[Any], counts: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Pairs in ascending order, each once, and the sums of their counts."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, counts = pairs[order], counts[order]
    if not len(pairs):
        return pairs, counts
    firsts = np.flatnonzero(np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1)))
    return pairs[firsts], np.add.reduceat(counts, firsts, axis=0)


def _three_sizes(anisotropy: Any) -> tuple[float, float, float]:
    sizes = np.asarray(anisotropy, dtype=np.float64)
    if sizes.shape != (3,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(f"anisotropy is the size of a voxel along x, y and z, not {anisotropy!r}")
    x, y, z = sizes.tolist()
    return x, y, z


def overlaps(a: Source, b: Source, parallel: int = 0) -> dict[tuple[int, int], int]:
    """How many voxels labels of two volumes of one shape have in common.

    Args:
        a: a stream.
        b: another of the same shape, of any dtype: another segmentation, or the parents of components.
        parallel: threads; 0 is one per core.

    Returns:
        A dict (label of a, label of b) -> voxels, of the pairs that meet.

    Raises:
        ValueError: the shapes differ.
    """
    threads = _binding.threads(parallel)
    first, second = _reader(a), _reader(b)
    if first.header.shape != second.header.shape:
        raise ValueError(f"the volumes have different shapes: {first.header.shape} and {second.header.shape}")
    if first.header.voxels() == 0:
        return {}
    found = first.overlaps(second, threads)
    # As 64 bits, which may be of a signed and of an unsigned label.
    pairs, voxels = _added_up(np.stack([found["a"], found["b"]], axis=1), found["voxels"])
    names = zip(
        _signed(pairs[:, 0], first.header.dtype), _signed(pairs[:, 1], second.header.dtype), strict=True
    )
    return dict(sorted(zip(names, voxels.tolist(), strict=True)))


def voxel_connectivity_graph(
    binary: Source, connectivity: Literal[4, 6] = 6, parallel: int = 0
) -> npt.NDArray[np.uint8]:
    """Which ways lead from every voxel to one of the same label.

    Args:
        binary: the stream.
        connectivity: 6, or 4 for the ways within a slice.
        parallel: threads; 0 is one per core.

    Returns:
        An array of uint8 of the volume's shape and memory order. Bits from the lowest: +x, -x, +y, -y, +z,
        -z; a bit is clear where the neighbour has another label, and in the other directions of
        ``connectivity`` set: ways out of the volume are open, as in cc3d.

    Raises:
        ValueError: ``connectivity`` is another number.
    """
    if connectivity not in (4, 6):
        raise ValueError(f"connectivity is 4 or 6, not {connectivity!r}")
    threads = _binding.threads(parallel)
    reader = _reader(binary)
    reader.check_claims(reader.header.voxels(), 0)
    graph = stream._empty(reader.header.shape, np.dtype(np.uint8), reader.header.order)
    if graph.size:
        reader.connectivity(graph, connectivity, threads)
    return graph


# ---------------------------------------------------------------------------------------
# Components


def connected_components(
    binary: Source,
    connectivity: Literal[6, 26] = 26,
    binary_image: bool = False,
    memory_target: int = 0,
    progress: bool | Callable[[int, int], None] = False,
    return_mapping: bool = False,
) -> Any:
    """The connected components of a volume, as a stream of their numbers.

    Voxels of one label that touch are one component; label 0 is the background and stays 0. Components are
    numbered from 1 on in the order of the volume, x fastest.

    Args:
        binary: the stream.
        connectivity: 6: voxels touch that share a face; 26: an edge or a corner will do as well.
        binary_image: take all labels but 0 for one.
        memory_target: accepted for crackle-codec's sake: two slices are in memory at a time, and eight bytes
            for every component of every slice.
        progress: True for a bar on stderr, or a function that is called with (slices done, slices in all).
        return_mapping: return the labels of the components, too.

    Returns:
        A stream of the smallest unsigned dtype that holds the numbers, with the boundaries of ``binary``;
        with ``return_mapping`` also a dict component -> label, 0 included where there is background. The
        label of a component of a binary image is that of its first voxel.

    Raises:
        ValueError: ``connectivity`` is another number, or there are more than 2**32 - 2 components in all
            slices.
    """
    if connectivity not in (6, 26):
        raise ValueError(f"connectivity is 6 or 26, not {connectivity!r}")
    held = bytes_of(binary)
    reader = _binding.Reader(held)
    with _telling(progress) as told:
        made, labels = _binding.connected_components(held, connectivity, bool(binary_image), told)
    if binary_image and reader.header.voxels():
        # Between two labels of one component there is no boundary.
        made = _binding.recompress(made, reader.header.markov_model_order)
    if not return_mapping:
        return made
    mapping = dict(enumerate(_signed(labels, reader.header.dtype), start=1))
    if stream.contains(made, 0):
        mapping = {0: 0, **mapping}
    return made, mapping


class _telling:  # noqa: N801 - it is used like a function
    """Who is told of slices that are done: nobody, a bar, or the caller's function."""

    def __init__(self, progress: bool | Callable[[int, int], None]) -> None:
        self._bar: Any = None
        self._told = progress if callable(progress) else self._show if progress else None

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=total, unit="slice")
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Callable[[int, int], None] | None:
        return self._told

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def component_map(component_binary: Source, parent_binary: Source, parallel: int = 0) -> dict[int, int]:
    """In which label of another volume each component lies.

    Args:
        component_binary: the stream of components, such as :func:`connected_components` makes.
        parent_binary: the stream of the labels that they lie in, of the same shape.
        parallel: threads; 0 is one per core.

    Returns:
        A dict component -> parent. Of several parents it is the one with the most voxels, and of equal ones
        the lowest.

    Raises:
        ValueError: the shapes differ.
    """
    most: dict[int, tuple[int, int]] = {}
    for (component, parent), voxels in overlaps(component_binary, parent_binary, parallel).items():
        if component not in most or voxels > most[component][1]:
            most[component] = (parent, voxels)
    return {component: parent for component, (parent, _) in most.items()}


# ---------------------------------------------------------------------------------------
# Points


def select_enclosed_points(
    binary: Source, label: int, points: npt.ArrayLike, parallel: int = 0
) -> npt.NDArray[np.bool_]:
    """Which points lie in a label.

    Args:
        binary: the stream.
        label: the label; if it is not there, no point lies in it.
        points: N x 3 numbers (x, y, z), in voxels. The voxel (x, y, z) takes all that is rounded down to it.
        parallel: threads; 0 is one per core.

    Returns:
        N bools. A point outside the volume lies in no label, and neither does NaN.

    Raises:
        ValueError: ``points`` has another shape.
        TypeError: ``points`` are no real numbers.
    """
    threads = _binding.threads(parallel)
    wanted = integer("label", label)
    places = np.floor(_points(points))
    reader = _reader(binary)
    head = reader.header
    inside = np.zeros(len(places), dtype=np.bool_)
    within = ((places >= 0) & (places < np.array(head.shape))).all(axis=1)
    if not within.any() or not holds(head.dtype, wanted):
        return inside
    voxels = places[within].astype(np.int64)
    table = reader.table()
    values = (table == table.dtype.type(wanted)).astype(np.uint64)
    has = reader.slices_with(values != 0)
    found = np.zeros(len(voxels), dtype=np.bool_)
    order = np.argsort(voxels[:, 2], kind="stable")
    zs = voxels[order, 2]
    touched = np.unique(zs)
    for z_start, z_end in consecutive(touched[has[touched]]):
        for start, end in stream._slabs(head, z_start, z_end, 1):
            slab = stream._empty((head.sx, head.sy, end - start), np.dtype(np.uint8), "F")
            reader.decode(slab, start, end, values=values, parallel=threads)
            some = order[np.searchsorted(zs, start) : np.searchsorted(zs, end)]
            x, y, z = voxels[some].T
            found[some] = slab[x, y, z - start] != 0
    inside[within] = found
    return inside


def _points(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(points)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"points are real numbers, not {array.dtype}")
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 3)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"points are N x 3 numbers, x, y and z, and not of shape {array.shape}")
    return array.astype(np.float64)


def signed_distance_to_boundary(
    binary: Source,
    label: int,
    points: npt.ArrayLike,
    anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0),
    parallel: int = 0,
    z_chunk: int = 100,
    progress: bool = False,
) -> npt.NDArray[np.float64]:
    """How far points are from the boundary of a label; negative inside.

    As in a distance transform, it is the Euclidean distance to the nearest voxel on the other side, which
    lies
    at its integer coordinates: of a point inside, to the nearest voxel that has not the label, or is beyond
    the volume; of one outside, to the nearest voxel of the label. Inside is what
    :func:`select_enclosed_points` says.

    Args:
        binary: the stream.
        label: the label; if it is not there, all distances are infinite.
        points: N x 3 numbers (x, y, z), in voxels.
        anisotropy: the size of a voxel along x, y and z; the distance has its unit.
        parallel: threads; 0 is one per core.
        z_chunk: accepted for crackle-codec's sake: memory is that of the label's surface.
        progress: accepted for crackle-codec's sake.

    Returns:
        N float64; NaN for points that have a NaN.

    Raises:
        ImportError: SciPy is not installed: ``pip install 'crackle-zarr[distance]'``.
        ValueError: ``points`` or ``anisotropy`` have another shape.
        TypeError: ``points`` are no real numbers.

    The nearest is found in a k-d tree of the label's surface, in O((N + surface) log surface).
    """
    sizes = np.array(_three_sizes(anisotropy))
    wanted = integer("label", label)
    places = _points(points)
    distances = np.full(len(places), np.inf)
    if not len(places) or not stream.contains(binary, wanted):
        _tree_class()
        return distances
    inside = select_enclosed_points(binary, wanted, places, parallel)
    # The nearest voxel lies at the surface: from any other, a step towards the point leads to a nearer one.
    # But for the voxel that the point is rounded to, which may be on the other side of the one it is rounded
    # down to.
    surface = point_cloud(binary, wanted, parallel=parallel).astype(np.int64)
    finite = np.isfinite(places).all(axis=1)
    nearest = np.rint(places)
    crosses = (select_enclosed_points(binary, wanted, nearest, parallel) != inside) & finite
    near = np.full(len(places), np.inf)
    near[crosses] = np.sqrt((((nearest[crosses] - places[crosses]) * sizes) ** 2).sum(axis=1))
    for side, voxels in ((False, surface), (True, None)):
        some = (inside == side) & finite
        if not some.any():
            continue
        if voxels is None:
            voxels = _around(binary, wanted, surface, parallel)
        tree = _tree_class()(voxels * sizes)
        found, _ = tree.query(places[some] * sizes)
        distances[some] = np.minimum(found, near[some])
    distances[inside] *= -1
    distances[np.isnan(places).any(axis=1)] = np.nan
    return distances


def _around(
    binary: Source, label: int, surface: npt.NDArray[np.int64], parallel: int
) -> npt.NDArray[np.int64]:
    """The voxels beside the surface of a label that have not the label; some are beyond the volume."""
    steps = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    beside = np.unique((surface[:, None, :] + steps).reshape(-1, 3), axis=0)
    return beside[~select_enclosed_points(binary, label, beside, parallel)]


def _tree_class() -> Any:
    try:
        return importlib.import_module("scipy.spatial").cKDTree
    except ImportError:
        raise ImportError(
            "distances need SciPy: pip install 'crackle-zarr[distance]', or pip install scipy"
        ) from None
