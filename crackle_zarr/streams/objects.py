"""The objects of one stream: their sizes, masks and surfaces.

Coordinates are (x, y, z). Sizes and surfaces come from the boundaries of slices and the components within
them, without decoding a voxel: the time is proportional to the length of the boundaries. Masks and images are
decoded. Memory holds the result and a few slices.

Functions raise :class:`~crackle_zarr.errors.FormatError` for damaged streams.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.integers import fits, integer, integer_array
from ..errors import MissingLabelError
from . import stream
from .statistics import statistics_of
from .stream import Source, reader_of

Mask: TypeAlias = npt.NDArray[np.bool_]
Points: TypeAlias = npt.NDArray[Any]
Boxes: TypeAlias = dict[int, tuple[slice, slice, slice]]

# How many labels an image of bytes can tell apart; 0 is all other labels.
_LABELS_PER_IMAGE = 255


def _missing(label: int) -> MissingLabelError:
    return MissingLabelError(f"there is no label {label}")


def signed_labels(bits: npt.NDArray[np.uint64], dtype: np.dtype[Any]) -> list[int]:
    """Labels that C returned as 64 bits, as Python ints."""
    return (bits.astype(np.int64) if dtype.kind == "i" else bits).tolist()  # type: ignore[no-any-return]


def _wanted(table: npt.NDArray[Any], labels: Iterable[int]) -> Mask:
    """Per entry of a label table, whether it is one of some labels."""
    wanted = integer_array("a label", list(labels))
    return np.isin(table, wanted[fits(wanted, table.dtype)].astype(table.dtype))


# ---------------------------------------------------------------------------------------
# Sizes


def voxel_counts(binary: Source, label: int | None = None, parallel: int = 0) -> Any:
    """The number of voxels of each label of a stream, or of one; see :func:`crackle_zarr.voxel_counts`."""
    threads = _binding.threads(parallel)
    wanted = None if label is None else integer("label", label)
    reader = reader_of(binary)
    head = reader.header
    table = stream.label_table(reader)
    if wanted is not None and wanted not in table.tolist():
        raise _missing(wanted)
    counts = np.zeros(len(table), dtype=np.uint64)
    if len(table):

        def work(z_start: int, z_end: int) -> npt.NDArray[np.uint64]:
            extents = reader.measure(z_start, z_end, only_counts=True)
            return np.ascontiguousarray(extents["voxels"])

        cut = _binding.slices_at_once(head, shared=True, rows=len(table))
        counts = np.sum(_binding.over_slices(work, 0, head.sz, threads, cut), axis=0, dtype=np.uint64)
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
    """Decode images in which up to 255 labels at a time have a number each; labels keep their order.

    Yields:
        A dict label -> number in the image; the first slice of the image; and the image. It has all slices if
        ``whole``, otherwise the range of slices of the bounding boxes of its labels.
    """
    head = reader.header
    table = reader.table()
    for start in range(0, len(labels), _LABELS_PER_IMAGE):
        batch = labels[start : start + _LABELS_PER_IMAGE]
        numbers = {label: number for number, label in enumerate(batch, start=1)}
        values = np.zeros(len(table), dtype=np.uint64)
        for label, number in numbers.items():
            values[table == table.dtype.type(label)] = number
        z_start, z_end = 0, head.sz
        if not whole:
            z_start = min(boxes[label][2].start for label in batch)
            z_end = max(boxes[label][2].stop for label in batch)
        image = stream.empty_volume((head.sx, head.sy, z_end - z_start), np.dtype(np.uint8), head.order)
        reader.decode(image, z_start, z_end, values=values, parallel=threads)
        yield numbers, z_start, image


class Objects:
    """An iterable over the objects of a stream, any number of times; it has a length, for progress bars."""

    def __init__(
        self, reader: _binding.Reader, crop: bool, labels: set[int] | None, multi: bool, threads: int
    ) -> None:
        self._reader, self._crop, self._multi, self._threads = reader, crop, multi, threads
        self._labels = labels

    @functools.cached_property
    def _boxes(self) -> Boxes:
        if self._reader.header.voxels() == 0:
            return {}
        boxes = boxes_of(self._reader, self._threads)
        return {label: box for label, box in boxes.items() if self._labels is None or label in self._labels}

    def __len__(self) -> int:
        """The number of labels."""
        return len(self._boxes)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the labels in ascending order."""
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
    wanted = None if labels is None else {integer("a label", label) for label in labels}
    return Objects(reader_of(binary), crop, wanted, multi, threads)


def select(
    binary: Source, labels: Iterable[int], parallel: int = 0
) -> dict[int, tuple[Mask, tuple[int, ...]]]:
    """The masks of several labels, each cut to its bounding box, and the coordinates of the box's origin.

    Raises:
        MissingLabelError: the volume lacks one of the labels.
    """
    threads = _binding.threads(parallel)
    wanted = [integer("a label", label) for label in labels]
    reader = reader_of(binary)
    boxes = boxes_of(reader, threads) if reader.header.voxels() else {}
    absent = sorted(set(wanted) - boxes.keys())
    if absent:
        raise _missing(absent[0])
    masks = {}
    for numbers, z_start, image in images(reader, sorted(set(wanted)), boxes, threads, False):
        for label, number in numbers.items():
            x, y, z = boxes[label]
            cut = image[x, y, z.start - z_start : z.stop - z_start] == number
            masks[label] = (cut, (x.start, y.start, z.start))
    return {label: masks[label] for label in wanted}


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
    reader = reader_of(binary)
    head = reader.header
    start = 0 if z_start == -1 else integer("z_start", z_start)
    end = head.sz if z_end == -1 else integer("z_end", z_end)
    start, end = stream.z_range(head, start, end)
    several = isinstance(label, Iterable)
    names: list[int] | None = None
    if label is not None:
        names = [integer("label", name) for name in (label if isinstance(label, Iterable) else [label])]
    table = stream.label_table(reader)
    if names is not None:
        present = set(table.tolist())
        for name in names:
            if name not in present:
                raise _missing(name)
        wanted = _wanted(table, names)
        if not several and start < end:
            # One label: read only the slices that have it.
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
    if names is None:
        return {name: clouds[name] for name in sorted(clouds)}
    nothing = points[:0]
    if not several:
        return clouds.get(names[0], nothing)
    return {name: clouds.get(name, nothing) for name in names}
