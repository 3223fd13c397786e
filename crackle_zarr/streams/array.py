"""A Crackle stream that behaves like a NumPy array of labels, and decodes only the slices that it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.atomic_files import FileLike
from .._base.header import CrackleHeader
from .._base.options import MarkovOrder
from . import arithmetic, components_3d, neighbours, objects, rewriting, saving, slices, statistics, stream
from . import points as points_module
from .indexing import Index, as_slice, assignable, expand, runs, selected
from .operators import Operators
from .stream import Casting, Labels, Order, Source


class CrackleArray(Operators):
    """A label volume of shape (sx, sy, sz), kept as its stream.

    Indexing with integers, slices and ``...`` gives NumPy arrays and scalars, as on the decoded volume, and
    decodes only the slices of z that it needs. Assignment to such an index encodes the slices that it
    touches again and leaves the others as they are. Operators with an integer compute on the label table;
    operators with another volume compute on the overlay of both; comparisons give volumes of 0 and 1. The
    functions on one stream are methods; those that return a stream return a :class:`CrackleArray`.

    Attributes:
        binary: the stream.
        parallel: threads to decode with.
    """

    def __init__(self, binary: _binding.Buffer, parallel: int = 0) -> None:
        """Take a stream.

        Args:
            binary: the stream, bytes-like. The array keeps it without a copy.
            parallel: threads to decode with; 0 is one per core.

        Raises:
            FormatError: ``binary`` is not a sound stream, as far as its header, crack index and length show.
        """
        _binding.threads(parallel)
        _binding.Reader(binary)
        self.binary = binary
        self.parallel = parallel

    # Makes NumPy's arrays leave mixed operators to this class.
    __array_priority__ = 1000

    # -- Properties

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
        """Whether one slice can be decoded without the others: always True, because of the crack index."""
        return True

    def __len__(self) -> int:
        """The size of the stream in bytes, as in crackle-codec; ``shape[0]`` is the first axis's length."""
        return memoryview(self.binary).nbytes

    def __bool__(self) -> bool:
        """The truth of the only voxel; ValueError if there are several: use any() or all()."""
        if self.size != 1:
            raise ValueError(
                f"the truth of {self.size} voxels is ambiguous: use any(), all() or array_equal()"
            )
        return bool(self.any())

    def __repr__(self) -> str:
        """Shape, dtype, order and size, without the labels."""
        head = self.header()
        fields = f"shape={head.shape} dtype={head.dtype} order={head.order} stream={len(self)} bytes"
        return f"<CrackleArray {fields}>"

    def __reduce__(self) -> tuple[type, tuple[bytes, int]]:
        """Pickle the stream as bytes: a memory map, for example, cannot be pickled."""
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
        """The volume, some of its slices, or a mask; see :func:`crackle_zarr.decompress`."""
        return stream.decompress(
            self.binary, label, self.parallel, crop, z_start=z_start, z_end=z_end, out=out, verify=verify
        )

    def numpy(self, label: int | None = None, crop: bool = False) -> npt.NDArray[Any]:
        """The decoded volume or mask: :meth:`decompress` under the name that such containers usually have."""
        return self.decompress(label, crop)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Decode for NumPy; ``copy=False`` raises ValueError, because decoding makes a new array."""
        if copy is False:
            raise ValueError("a CrackleArray becomes a NumPy array by decoding it, which copy=False forbids")
        volume = self.decompress()
        return volume if dtype is None else volume.astype(dtype, copy=False)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the first axis, after decoding the volume once."""
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
        keys = expand(index, head.shape)
        ranges = [
            selected(key, axis, length)
            for axis, (key, length) in enumerate(zip(keys, head.shape, strict=True))
        ]
        volume = self._select(head, ranges)
        # An integer drops its axis. NumPy does that, and turns 0-D arrays into scalars.
        return volume[tuple(slice(None) if isinstance(key, slice) else 0 for key in keys)]

    def _select(self, head: CrackleHeader, ranges: list[range]) -> Labels:
        """The voxels at x, y, z of three ranges, as a 3-D array."""
        xs, ys, zs = ranges
        shape = (len(xs), len(ys), len(zs))
        reader = _binding.Reader(self.binary)
        if math.prod(shape) == 0:
            return stream.empty_volume(shape, head.dtype, head.order)
        threads = _binding.threads(self.parallel)
        backwards = zs.step < 0
        ascending = zs[::-1] if backwards else zs
        whole = xs == range(head.sx) and ys == range(head.sy)
        reader.check_claims(math.prod(shape) * head.dtype.itemsize, ascending[0])
        if whole and (ascending.step == 1 or len(ascending) == 1):
            volume = stream.empty_volume(shape, head.dtype, head.order)
            stream.decode_into(reader, volume, ascending[0], ascending[-1] + 1, threads=threads, is_new=True)
            return volume[:, :, ::-1] if backwards else volume

        # Slab by slab, so that memory holds the result and a few slices, not all slices that are decoded.
        volume = stream.empty_volume(shape, head.dtype, head.order)
        target = volume[:, :, ::-1] if backwards else volume
        inside = (as_slice(xs), as_slice(ys))
        done = 0
        for start, end in runs(head, ascending):
            slab = stream.empty_volume((head.sx, head.sy, end - start), head.dtype, "F")
            stream.decode_into(reader, slab, start, end, threads=threads)
            target[:, :, done : done + end - start] = slab[inside]
            done += end - start
        return volume

    def __setitem__(self, index: Index | tuple[Index, ...], value: Any) -> None:
        """Assign as NumPy does, with integers, slices and at most one ``...``.

        The slices of z that the index touches are encoded again. They are decoded first only if the index
        leaves some of their voxels as they are, so whole slices are the cheapest to assign. All other slices
        stay, byte for byte. The array gets a new ``binary``; the former one is not changed.

        Args:
            index: the voxels to assign to.
            value: an integer, or labels (an array or a CrackleArray) that can be broadcast to the index.

        Raises:
            OverflowError: a label does not fit the volume's dtype; widen the volume first with ``astype()``.
            TypeError: the labels are no integers, or an index is of another kind.
            ValueError: the shapes do not go together.
            IndexError: an integer is out of bounds, or there are too many indices.
        """
        head = self.header()
        keys = expand(index, head.shape)
        xs, ys, zs = (
            selected(key, axis, length)
            for axis, (key, length) in enumerate(zip(keys, head.shape, strict=True))
        )
        labels = assignable(value, head.dtype)
        shape = tuple(
            len(places) for key, places in zip(keys, (xs, ys, zs), strict=True) if isinstance(key, slice)
        )
        while labels.ndim > len(shape) and labels.shape[0] == 1:
            labels = labels[0]  # NumPy drops leading axes of length 1, too
        try:
            new = np.broadcast_to(labels, shape)
        except ValueError:
            raise ValueError(
                f"labels of shape {labels.shape} cannot be assigned to an index of shape {shape}"
            ) from None
        new = new.reshape((len(xs), len(ys), len(zs)))
        if not new.size:
            return
        if zs.step < 0:
            zs, new = zs[::-1], new[:, :, ::-1]
        self.binary = self._replaced(head, xs, ys, zs, new)

    def _replaced(self, head: CrackleHeader, xs: range, ys: range, zs: range, new: npt.NDArray[Any]) -> bytes:
        """The stream with new labels at x, y, z of three ranges; ``zs`` ascends."""
        reader = _binding.Reader(self.binary)
        threads = _binding.threads(self.parallel)
        inside = (as_slice(xs), as_slice(ys))
        whole = len(xs) == head.sx and len(ys) == head.sy
        # A piece without slices. It gives the stack its crack format and its Markov model, so that the slices
        # that stay are copied without recoding.
        pieces: list[tuple[_binding.Buffer, int, int]] = [(self.binary, 0, 0)]
        done = used = 0
        for start, end in runs(head, zs):
            slab = stream.empty_volume((head.sx, head.sy, end - start), head.dtype, "F")
            if not whole:
                stream.decode_into(reader, slab, start, end, threads=threads)
            slab[inside] = new[:, :, used : used + end - start]
            used += end - start
            made = _binding.encode(
                slab,
                fortran_order=head.fortran_order,
                format_version=head.format_version,
                parallel=threads,
            )
            if start > done:
                pieces.append((self.binary, done, start))
            pieces.append((made, 0, end - start))
            done = end
        if done < head.sz:
            pieces.append((self.binary, done, head.sz))
        if len(zs) == head.sz and head.markov_model_order:  # no slice uses the old model any more
            made = _binding.stack(pieces, head.dtype, head.fortran_order)
            return _binding.recompress(made, head.markov_model_order, threads)
        return _binding.stack(pieces, head.dtype, head.fortran_order, model=0)

    # -- Queries

    def __contains__(self, label: object) -> bool:
        """Whether the volume has a label."""
        return stream.contains(self.binary, label)  # type: ignore[arg-type]  # checked there

    def contains(self, label: int) -> bool:
        """Whether the volume has a label; ``label in array`` is the same."""
        return stream.contains(self.binary, label)

    def contains_range(self, low: int, high: int) -> Labels:
        """The labels in [low, high), ascending."""
        return stream.contains_range(self.binary, low, high)

    def labels(self, z: int | slice | None = None) -> Labels:
        """The labels, ascending, each once.

        Args:
            z: the number of a slice, or a range of slices as a ``slice``: only the labels in them.
        """
        if z is None:
            return stream.labels(self.binary)
        zs = selected(z, 2, self.header().sz)
        if abs(zs.step) == 1 or len(zs) < 2:
            start, end = (min(zs[0], zs[-1]), max(zs[0], zs[-1]) + 1) if len(zs) else (0, 0)
            return slices.labels_for_z_range(self.binary, start, end)
        return np.unique(np.concatenate([slices.labels_for_z_range(self.binary, one, one + 1) for one in zs]))

    def num_labels(self) -> int:
        """The number of labels."""
        return stream.num_labels(self.binary)

    def min(self) -> int:
        """The smallest label; ValueError if there are no voxels."""
        return stream.min(self.binary)

    def max(self) -> int:
        """The largest label; ValueError if there are no voxels."""
        return stream.max(self.binary)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
        """Whether the label table has a label other than 0; with an axis, as NumPy, after decoding."""
        if axis is None and out is None and not keepdims and where is True:
            return bool((stream.labels(self.binary) != 0).any())
        return np.any(self.decompress(), axis=axis, out=out, keepdims=keepdims, where=where)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
        """Whether the label table has no label 0; with an axis, as NumPy, after decoding."""
        if axis is None and out is None and not keepdims and where is True:
            return not stream.contains(self.binary, 0)
        return np.all(self.decompress(), axis=axis, out=out, keepdims=keepdims, where=where)

    def array_equal(self, other: Source) -> bool:
        """Whether another stream or array holds the same labels in the same shape."""
        return stream.array_equal(self.binary, other, self.parallel)

    def labels_for_z_range(self, z_start: int, z_end: int) -> Labels:
        """The labels in some slices; see :func:`crackle_zarr.labels_for_z_range`."""
        return slices.labels_for_z_range(self.binary, z_start, z_end)

    def voxel_counts(self, label: int | None = None) -> Any:
        """The number of voxels of each label, or of one; see :func:`crackle_zarr.voxel_counts`."""
        return objects.voxel_counts(self.binary, label, self.parallel)

    def bounding_boxes(self, label: int | None = None, no_slice_conversion: bool = False) -> Any:
        """The bounding box of each label, or of one; see :func:`crackle_zarr.bounding_boxes`."""
        return statistics.bounding_boxes(self.binary, label, self.parallel, no_slice_conversion)

    def centroids(self, label: int | None = None) -> Any:
        """The mean coordinates of each label, or of one; see :func:`crackle_zarr.centroids`."""
        return statistics.centroids(self.binary, label, self.parallel)

    def statistics(self) -> Any:
        """Voxel counts, boxes and centroids in one pass; see :func:`crackle_zarr.statistics`."""
        return statistics.statistics(self.binary, self.parallel)

    def to_parquet(self) -> Any:
        """Voxel counts and boxes as a table of pyarrow; see :func:`crackle_zarr.to_parquet`."""
        return statistics.to_parquet(self.binary, self.parallel)

    # -- Objects

    def each(
        self, crop: bool = True, labels: Iterable[int] | None = None, multi: bool = False
    ) -> Iterable[Any]:
        """Iterate over the labels and their masks; see :func:`crackle_zarr.each`."""
        return objects.each(self.binary, crop, labels, multi, self.parallel)

    def point_cloud(
        self,
        label: int | Iterable[int] | None = None,
        skip_background: bool = True,
        z_start: int = -1,
        z_end: int = -1,
    ) -> Any:
        """The surface voxels of labels; see :func:`crackle_zarr.point_cloud`."""
        return objects.point_cloud(self.binary, label, z_start, z_end, skip_background, self.parallel)

    def contacts(
        self, anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0), skip_background: bool = True
    ) -> dict[tuple[int, int], float]:
        """The area over which labels touch; see :func:`crackle_zarr.contacts`."""
        return neighbours.contacts(self.binary, anisotropy, self.parallel, skip_background)

    def overlaps(self, other: Source) -> dict[tuple[int, int], int]:
        """The number of voxels that each pair of labels of two volumes shares.

        See :func:`crackle_zarr.overlaps`.
        """
        return neighbours.overlaps(self.binary, other, self.parallel)

    def edge_labels(self) -> set[int]:
        """The labels that touch a face of the volume."""
        return neighbours.edge_labels(self.binary, self.parallel)

    def voxel_connectivity_graph(self, connectivity: Literal[4, 6] = 4) -> npt.NDArray[np.uint8]:
        """For every voxel, the directions to a neighbour of the same label.

        See :func:`crackle_zarr.voxel_connectivity_graph`. The default is 4, within slices, while that of the
        function is 6: crackle-codec has the same two defaults.
        """
        return neighbours.voxel_connectivity_graph(self.binary, connectivity, self.parallel)

    def connected_components(
        self,
        connectivity: Literal[6, 26] = 26,
        binary_image: bool = False,
        memory_target: int = 0,
        progress: bool | Callable[[int, int], None] = False,
        return_mapping: bool = False,
    ) -> Any:
        """The connected components; see :func:`crackle_zarr.connected_components`."""
        made, mapping = components_3d.connected_components(
            self.binary, connectivity, binary_image, memory_target, progress, True
        )
        return (self._like(made), mapping) if return_mapping else self._like(made)

    def select_enclosed_points(self, label: int, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which points lie in a label; see :func:`crackle_zarr.select_enclosed_points`."""
        return points_module.select_enclosed_points(self.binary, label, points, self.parallel)

    def signed_distance_to_boundary(
        self,
        label: int,
        points: npt.ArrayLike,
        anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0),
        progress: bool = False,
    ) -> npt.NDArray[np.float64]:
        """The distances of points from the boundary of a label, negative inside."""
        return points_module.signed_distance_to_boundary(
            self.binary, label, points, anisotropy, self.parallel, progress=progress
        )

    # -- Slices

    def zrange(self, z_start: int, z_end: int) -> CrackleArray:
        """The slices [z_start, z_end) as a volume; see :func:`crackle_zarr.zrange`."""
        return self._like(slices.zrange(self.binary, z_start, z_end))

    def zsplit(self, z: int) -> tuple[CrackleArray, CrackleArray, CrackleArray]:
        """The slices before slice z, slice z, and the slices after it; see :func:`crackle_zarr.zsplit`."""
        before, here, after = slices.zsplit(self.binary, z)
        return self._like(before), self._like(here), self._like(after)

    def zshatter(self) -> list[CrackleArray]:
        """A volume for each slice."""
        return [self._like(one) for one in slices.zshatter(self.binary)]

    def zstack(self, images: Iterable[Source | npt.ArrayLike]) -> CrackleArray:
        """This volume and others, stacked along z; see :func:`crackle_zarr.zstack`."""
        return self._like(slices.zstack([self, *images], self.parallel))

    # -- Encoding again

    def recompress(self) -> CrackleArray:
        """The same volume without boundaries between equal labels; see :func:`crackle_zarr.recompress`."""
        return self._like(rewriting.recompress(self.binary, self.parallel))

    def reencode(self, markov_model_order: MarkovOrder) -> CrackleArray:
        """The same volume with a Markov model of another order."""
        return self._like(rewriting.reencode(self.binary, markov_model_order, self.parallel))

    def mode_pooling(self, factor: tuple[int, int, int] = (2, 2, 1), sparse: bool = False) -> CrackleArray:
        """The volume at half the resolution; see :func:`crackle_zarr.mode_pooling`."""
        return self._like(rewriting.mode_pooling(self.binary, factor, sparse, self.parallel))

    def mode_pooling_2x2x1(self, sparse: bool = False) -> CrackleArray:
        """The volume at half the resolution along x and y."""
        return self.mode_pooling((2, 2, 1), sparse)

    def mode_pooling_2x2x2(self, sparse: bool = False) -> CrackleArray:
        """The volume at half the resolution."""
        return self.mode_pooling((2, 2, 2), sparse)

    # -- Relabelling

    def remap(self, mapping: Any, preserve_missing_labels: bool = False) -> CrackleArray:
        """Replace labels by others, all at once; see :func:`crackle_zarr.remap`."""
        return self._like(stream.remap(self.binary, mapping, preserve_missing_labels))

    def refit(self) -> CrackleArray:
        """The same volume in the smallest dtype that holds its labels; signed stays signed."""
        return self._like(stream.refit(self.binary))

    def renumber(self, start: int = 0) -> tuple[CrackleArray, dict[int, int]]:
        """Renumber the labels to start, start + 1, ...; see :func:`crackle_zarr.renumber`."""
        binary, mapping = stream.renumber(self.binary, start)
        return self._like(binary), mapping

    def astype(self, dtype: npt.DTypeLike, order: Order = "K", casting: Casting = "unsafe") -> CrackleArray:
        """The same volume in another dtype; see :func:`crackle_zarr.astype`."""
        return self._like(stream.astype(self.binary, dtype, order, casting))

    def asfortranarray(self) -> CrackleArray:
        """The same volume as a stream that decodes to Fortran order: x fastest."""
        return self._like(stream.asfortranarray(self.binary))

    def ascontiguousarray(self) -> CrackleArray:
        """The same volume as a stream that decodes to C order: z fastest."""
        return self._like(stream.ascontiguousarray(self.binary))

    def copy(self, order: Order = "K") -> CrackleArray:
        """The same volume over immutable bytes, in memory order ``order``."""
        if order == "K":
            return self._like(bytes(self.binary))
        return self.astype(self.dtype, order=order)

    def mask(self, labels: Iterable[int], value: int = 0, in_place: bool = False) -> CrackleArray:
        """Replace some labels by one value; see :func:`crackle_zarr.mask`."""
        return self._masked(arithmetic.mask, labels, value, in_place)

    def mask_except(self, labels: Iterable[int], value: int = 0, in_place: bool = False) -> CrackleArray:
        """Replace all labels except some by one value; see :func:`crackle_zarr.mask_except`."""
        return self._masked(arithmetic.mask_except, labels, value, in_place)

    def _masked(
        self, function: Callable[..., Any], labels: Iterable[int], value: int, in_place: bool
    ) -> CrackleArray:
        made = function(self.binary, labels, value, in_place)
        return self if in_place else self._like(made)

    def apply_binary_mask(self, other: Source) -> CrackleArray:
        """Keep the labels where a mask is not 0; see :func:`crackle_zarr.apply_binary_mask`."""
        return self._like(arithmetic.apply_binary_mask(self.binary, other, self.parallel))

    def save(self, filelike: FileLike) -> None:
        """Write the stream to a file; see :func:`crackle_zarr.files.save`."""
        saving.save_stream(self.binary, filelike)

    def save_numpy(self, filelike: FileLike, block_size: int = 200_000_000) -> None:
        """Write the volume to a ``.npy`` file; see :func:`crackle_zarr.save_numpy`."""
        saving.save_numpy(self, filelike, block_size)

    def _like(self, binary: bytes) -> CrackleArray:
        return CrackleArray(binary, self.parallel)
