"""A Crackle stream that behaves like a NumPy array of labels, decoding only what is asked for."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _binding, stream
from ._header import CrackleHeader
from .stream import Casting, Labels, Order, Source

if TYPE_CHECKING:
    from .files import FileLike

Index: TypeAlias = int | np.integer[Any] | slice | EllipsisType


class CrackleArray:
    """A label volume of shape (sx, sy, sz) in the form of its stream.

    Indexing with integers, slices and ``...`` gives NumPy arrays and scalars, as it would on the
    decoded volume, and decodes only the slices of z that it needs. The functions on one stream
    are methods; those that make a stream return a :class:`CrackleArray`.

    Attributes:
        binary: the stream.
        parallel: threads to decode with.
    """

    def __init__(self, binary: _binding.Buffer, parallel: int = 0) -> None:
        """Take a stream.

        Args:
            binary: the stream, bytes-like. It is kept, not copied.
            parallel: threads to decode with; 0 is one per core.

        Raises:
            FormatError: ``binary`` is not a sound stream, as far as can be told without decoding it.
        """
        _binding.threads(parallel)
        _binding.Reader(binary)
        self.binary = binary
        self.parallel = parallel

    # -- What it is

    def header(self) -> CrackleHeader:
        """The fields of the stream's header."""
        return stream.header(self.binary)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(sx, sy, sz)."""
        return self.header().shape

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """The volume's dtype."""
        return self.header().dtype

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def size(self) -> int:
        """The number of voxels."""
        return self.header().voxels()

    @property
    def nbytes(self) -> int:
        """The size of the decoded volume in bytes; that of the stream is ``len()``."""
        return self.header().nbytes

    @property
    def random_access(self) -> bool:
        """Whether one slice can be decoded without the others: always, for the crack index finds it."""
        return True

    def __len__(self) -> int:
        """The size of the stream in bytes, as in crackle-codec. The first axis is ``shape[0]`` long."""
        return memoryview(self.binary).nbytes

    def __repr__(self) -> str:
        """What it is, without the labels."""
        head = self.header()
        fields = f"shape={head.shape} dtype={head.dtype} order={head.order} stream={len(self)} bytes"
        return f"<CrackleArray {fields}>"

    def __reduce__(self) -> tuple[type, tuple[bytes, int]]:
        """Pickle as bytes, whatever keeps the stream here: a memory map cannot travel."""
        return (type(self), (bytes(self.binary), self.parallel))

    # -- Decoding

    def decompress(
        self,
        label: int | None = None,
        crop: bool = False,
        *,
        z_start: int = 0,
        z_end: int | None = None,
        out: npt.NDArray[Any] | None = None,
        verify: bool = True,
    ) -> npt.NDArray[Any]:
        """The volume, some of its slices, or a mask; see :func:`crackle_zarr.stream.decompress`."""
        return stream.decompress(
            self.binary, label, self.parallel, crop, z_start=z_start, z_end=z_end, out=out, verify=verify
        )

    def numpy(self, label: int | None = None, crop: bool = False) -> npt.NDArray[Any]:
        """The decoded volume or mask: :meth:`decompress` under NumPy-like containers' usual name."""
        return self.decompress(label, crop)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Decode for NumPy; ``copy=False`` raises ValueError, since the voxels are nowhere yet."""
        if copy is False:
            raise ValueError("a CrackleArray becomes a NumPy array by decoding it, which copy=False forbids")
        volume = self.decompress()
        return volume if dtype is None else volume.astype(dtype, copy=False)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the first axis; the volume is decoded once."""
        return iter(self.decompress())

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Any:
        """Integers, slices (steps may be negative) and at most one ``...``, as in NumPy.

        Returns:
            A NumPy array of its own, or a NumPy scalar where every axis has an integer. Slices of
            z that the index does not select are not decoded.

        Raises:
            IndexError: an integer is out of bounds, or there are too many indices.
            TypeError: an index is of another kind.
        """
        head = self.header()
        keys = _expand(index, head.shape)
        ranges = [
            _selected(key, axis, length)
            for axis, (key, length) in enumerate(zip(keys, head.shape, strict=True))
        ]
        volume = self._select(head, ranges)
        # A scalar index drops its axis; what is left is NumPy's business, 0-D arrays included.
        return volume[tuple(slice(None) if isinstance(key, slice) else 0 for key in keys)]

    def _select(self, head: CrackleHeader, ranges: list[range]) -> Labels:
        """The voxels at x, y, z of three ranges, as a 3-D array."""
        xs, ys, zs = ranges
        shape = (len(xs), len(ys), len(zs))
        reader = _binding.Reader(self.binary)
        if math.prod(shape) == 0:
            return stream._empty(shape, head.dtype, head.order)
        threads = _binding.threads(self.parallel)
        backwards = zs.step < 0
        ascending = zs[::-1] if backwards else zs
        whole = xs == range(head.sx) and ys == range(head.sy)
        if whole and (ascending.step == 1 or len(ascending) == 1):
            volume = stream._empty(shape, head.dtype, head.order)
            stream._decode(reader, volume, ascending[0], ascending[-1] + 1, threads=threads)
            return volume[:, :, ::-1] if backwards else volume

        # Slab by slab: memory is what was asked for and some slices, not all slices that were looked at.
        volume = stream._empty(shape, head.dtype, head.order)
        target = volume[:, :, ::-1] if backwards else volume
        inside = (_as_slice(xs), _as_slice(ys))
        done = 0
        for start, end in _runs(head, ascending):
            slab = stream._empty((head.sx, head.sy, end - start), head.dtype, "F")
            stream._decode(reader, slab, start, end, threads=threads)
            target[:, :, done : done + end - start] = slab[inside]
            done += end - start
        return volume

    # -- Asking

    def __contains__(self, label: object) -> bool:
        """Whether the volume has a label."""
        return stream.contains(self.binary, label)  # type: ignore[arg-type]  # checked there

    def contains(self, label: int) -> bool:
        """Whether the volume has a label; ``label in array`` is the same."""
        return stream.contains(self.binary, label)

    def contains_range(self, low: int, high: int) -> Labels:
        """The labels in [low, high), ascending."""
        return stream.contains_range(self.binary, low, high)

    def labels(self) -> Labels:
        """The labels, ascending, each once."""
        return stream.labels(self.binary)

    def num_labels(self) -> int:
        """How many labels there are."""
        return stream.num_labels(self.binary)

    def min(self) -> int:
        """The smallest label; ValueError where there are no voxels."""
        return stream.min(self.binary)

    def max(self) -> int:
        """The largest label; ValueError where there are no voxels."""
        return stream.max(self.binary)

    def array_equal(self, other: Source) -> bool:
        """Whether another stream or array holds the same labels in the same shape."""
        return stream.array_equal(self.binary, other, self.parallel)

    # -- Relabelling

    def remap(self, mapping: Any, preserve_missing_labels: bool = False) -> CrackleArray:
        """Give labels new names, all at once; see :func:`crackle_zarr.stream.remap`."""
        return self._like(stream.remap(self.binary, mapping, preserve_missing_labels))

    def refit(self) -> CrackleArray:
        """The same volume in the smallest dtype that holds its labels; signed stays signed."""
        return self._like(stream.refit(self.binary))

    def renumber(self, start: int = 0) -> tuple[CrackleArray, dict[int, int]]:
        """Rename the labels to start, start + 1, ...; see :func:`crackle_zarr.stream.renumber`."""
        binary, mapping = stream.renumber(self.binary, start)
        return self._like(binary), mapping

    def astype(self, dtype: npt.DTypeLike, order: Order = "K", casting: Casting = "unsafe") -> CrackleArray:
        """The same volume in another dtype; see :func:`crackle_zarr.stream.astype`."""
        return self._like(stream.astype(self.binary, dtype, order, casting))

    def asfortranarray(self) -> CrackleArray:
        """The same volume, rendered in Fortran order: x fastest."""
        return self._like(stream.asfortranarray(self.binary))

    def ascontiguousarray(self) -> CrackleArray:
        """The same volume, rendered in C order: z fastest."""
        return self._like(stream.ascontiguousarray(self.binary))

    def copy(self, order: Order = "K") -> CrackleArray:
        """The same volume over immutable bytes, rendered in ``order``."""
        if order == "K":
            return self._like(bytes(self.binary))
        return self.astype(self.dtype, order=order)

    def save(self, filelike: FileLike) -> None:
        """Write the stream to a file; see :func:`crackle_zarr.files.save`."""
        from . import files  # which makes CrackleArrays itself

        files.save(self, filelike)

    def _like(self, binary: bytes) -> CrackleArray:
        return CrackleArray(binary, self.parallel)


def compressa(
    labels: npt.ArrayLike,
    allow_pins: int = 0,
    markov_model_order: int = 0,
    bgcolor: int | None = None,
    parallel: int = 0,
    *,
    format_version: int = 1,
) -> CrackleArray:
    """Encode a label volume; as :func:`crackle_zarr.stream.compress`, but returns a :class:`CrackleArray`."""
    binary = stream.compress(
        labels, allow_pins, markov_model_order, bgcolor, parallel, format_version=format_version
    )
    return CrackleArray(binary, parallel)


def _expand(index: Index | tuple[Index, ...], shape: tuple[int, int, int]) -> tuple[Any, ...]:
    """An index as one integer or slice per axis."""
    given = index if isinstance(index, tuple) else (index,)
    ellipses = [place for place, key in enumerate(given) if key is Ellipsis]
    if len(ellipses) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    count = len(given) - len(ellipses)
    if count > len(shape):
        raise IndexError(f"too many indices: the array has {len(shape)} axes, and {count} were indexed")
    place = ellipses[0] if ellipses else len(given)
    fill = (slice(None),) * (len(shape) - count)
    return (*given[:place], *fill, *given[place + 1 :])


def _selected(key: Any, axis: int, length: int) -> range:
    """The coordinates along an axis that an integer or a slice selects."""
    if isinstance(key, slice):
        return range(length)[key]
    try:
        if isinstance(key, bool | np.bool_):
            raise TypeError
        place = operator.index(key)
    except TypeError:
        raise TypeError(
            f"a CrackleArray takes integers, slices and '...', not {type(key).__name__}: "
            f"decode it first, with numpy() or np.asarray(), to use the other kinds of index"
        ) from None
    if not -length <= place < length:
        raise IndexError(f"index {place} is out of bounds for axis {axis} of length {length}")
    place %= length
    return range(place, place + 1)


def _runs(head: CrackleHeader, zs: range) -> Iterator[tuple[int, int]]:
    """Consecutive slices [start, end) that together are an ascending range."""
    if zs.step == 1:
        yield from stream._slabs(head, zs[0], zs[-1] + 1, head.data_width)
    else:
        for z in zs:
            yield z, z + 1


def _as_slice(places: range) -> slice:
    """The slice that selects the places of a range that is not empty."""
    stop = places[-1] + (1 if places.step > 0 else -1)
    return slice(places.start, stop if stop >= 0 else None, places.step)
