"""Write precomputed volumes, with all levels of a pyramid.

A volume is written as any conversion: block by block, each read back and compared, and continued after an
interruption.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.storage import MemoryStore

from .._base import zarr_facts
from .._base.options import MarkovOrder, Preset
from .._base.options import encoding as options_of
from ..codecs.chunk import label_dtype
from ..codecs.create import default_chunks
from ..files import formats
from ..files.label_names import LabelNames
from ..files.space import Space
from ..files.volumes import UnusableError
from ..ome.metadata import label_images, open_labels, open_multiscale, space_of
from ..ome.names import known_names
from ..stored.claims import Claim, Held, claimed
from ..stored.convert import (
    Convert,
    ConvertReport,
    boxes_of,
    num_blocks,
    refuse_overlap,
    stored_nbytes,
    voxels_of,
)
from ..stored.copying import can_copy
from ..stored.editing.applying import check_processes
from ..stored.engine import Options, Progress, run
from ..stored.forks import readable
from ..stored.layout import Box, layout_of
from ..stored.translating_store import translating
from ..stored.unfinished import begin, end
from ..stored.writing import write_objects
from . import encodings
from .info import ENCODINGS, Info, Scale
from .properties import PROPERTIES, segment_names
from .reading import AXES, INFO, array_of, is_precomputed, open_precomputed, store_at

Encoding = Literal["compressed_segmentation", "crackle", "raw"]

# Neuroglancer loads whole chunks, so they are small.
_CHUNK = (64, 64, 64)


def write_precomputed(
    source: Any,
    place: Any,
    *,
    encoding: Encoding = "compressed_segmentation",
    chunks: tuple[int, int, int] | None = None,
    markov_model_order: MarkovOrder | None = None,
    allow_pins: int | None = None,
    preset: Preset | None = None,
    verify: bool = True,
    overwrite: bool = False,
    storage_options: dict[str, Any] | None = None,
    executor: Executor | None = None,
    parallel: int = 0,
    progress: Progress = False,
) -> ConvertReport:
    """Write labels as a precomputed segmentation, which Neuroglancer shows from a static web server.

    Of a group of OME-Zarr labels, all levels of its pyramid become scales. Names of labels
    (:func:`crackle_zarr.label_names`) become segment properties, which Neuroglancer shows. Calling the
    function again with the same source and options continues an interrupted conversion. Chunks that have only
    the label 0 are not written; Neuroglancer shows them as 0.

    Args:
        source: a ``zarr.Array`` with up to three axes longer than 1; a ``zarr.Group`` of OME-Zarr labels; or
            a path or URL of one of them. The names of the axes determine their order; without names, the
            last axis is x.
        place: a path, or a URL that can be written, with ``precomputed://`` in front of it or not; or a store
            of Zarr.
        encoding: "compressed_segmentation", which all versions of Neuroglancer show, for labels of 32 or 64
            bits (narrower ones become 32 bits); "raw"; or "crackle", which few versions show. Streams of the
            source are copied as they are where its chunks are those of the volume and no option of Crackle is
            given.
        chunks: the shape (z, y, x) of a chunk. None: 64 x 64 x 64; for "crackle", as in the source.
        markov_model_order: 0 to 12 or "auto", for Crackle.
        allow_pins: 0, 1 or 2, for Crackle.
        preset: "fast", "balanced" or "small", for Crackle.
        verify: read every chunk back and compare it with its source.
        overwrite: replace the contents of ``place``.
        storage_options: for fsspec, which opens URLs.
        executor: None for threads, or any ``concurrent.futures.Executor``.
        parallel: threads, one per core by default.
        progress: True shows a bar on stderr; or a function that is called with done and total.

    Returns:
        A report: ``arrays`` (the scales), ``chunks``, ``bytes_before``, ``bytes_after``.

    Raises:
        FileExistsError: ``place`` has other contents, or another process writes to it.
        TakenOverError: another process took the work from this one, which has stopped.
        TypeError: the source's dtype is neither an integer nor bool.
        ValueError: the source has more than three axes, a label is negative, or an option is invalid.
        ImportError: the encoding or the URL needs a package that is not installed.
        StoreError: a store failed.
        VerificationError: a chunk that was read back differs from its source.
    """
    given = (preset, markov_model_order, allow_pins)
    crackle = None if given == (None, None, None) else dict(options_of(*given))
    plan = Plan.of(source, encoding, chunks, crackle)
    store, name = store_at(place, storage_options, read_only=False)
    options = Options(executor=executor, parallel=parallel, progress=progress)
    return plan.write(store, name, verify=verify, overwrite=overwrite, options=options)


@dataclass(frozen=True)
class Level:
    """A level of the source.

    Attributes:
        original: the array.
        array: the same labels with the axes z, y, x and the type of the volume.
        space: the position of its voxels along x, y and z.
        read: returns the voxels of a box of ``array``, if that is not the original.
    """

    original: zarr.Array[Any]
    array: zarr.Array[Any]
    space: Space
    read: Callable[[Box], npt.NDArray[Any]] | None = None


@dataclass(frozen=True)
class Plan:
    """A volume to write.

    Attributes:
        levels: of the source.
        info: the volume.
        crackle: options of Crackle, if some were given.
        notes: what of the source's position the volume cannot hold.
        names: of labels.
    """

    levels: tuple[Level, ...]
    info: Info
    crackle: dict[str, Any] | None
    notes: tuple[str, ...]
    names: LabelNames

    @classmethod
    def of(
        cls,
        source: Any,
        encoding: str,
        chunks: tuple[int, ...] | None,
        crackle: dict[str, Any] | None,
        names: LabelNames | None = None,
    ) -> Plan:
        """Plan a volume, and check the arguments; see :func:`write_precomputed`.

        The default of ``names`` is those of the source.
        """
        if encoding not in ENCODINGS:
            raise ValueError(f"encoding is {', '.join(map(repr, ENCODINGS))}, not {encoding!r}")
        if crackle is not None and encoding != "crackle":
            raise ValueError(f"options of Crackle are for the encoding 'crackle', not {encoding!r}")
        if chunks is not None and (len(chunks) != 3 or min(chunks) < 1):
            raise ValueError(f"chunks are three positive numbers along z, y and x, not {chunks}")
        source = _opened(source)
        levels = _levels(source, encoding)
        scales, notes = _scales(levels, encoding, chunks)
        info = Info(levels[0].array.dtype, 1, scales)
        for scale in scales:
            encodings.check(info, scale, str(levels[0].original.store_path))
        known = known_names(source) if names is None else names
        return cls(levels, info, crackle, notes, known.within(info.dtype))

    def write(
        self, store: Store, name: str, *, verify: bool, overwrite: bool, options: Options
    ) -> ConvertReport:
        """Write it; see :func:`write_precomputed`."""
        store = translating(store)
        for level in self.levels:
            refuse_overlap(level.original, store, "", name)
            if level.read is not None and not options.in_this_process:
                raise ValueError(
                    f"{level.original.store_path} has {level.original.dtype} labels or other axes than z, y, "
                    f"x, and is converted by threads only: use executor=None"
                )
        check_processes(store, options, name)
        with claimed(store, "", "conversion") as claim:
            return self._write(store, name, claim, verify, overwrite, options)

    def _write(
        self, store: Store, name: str, claim: Claim, verify: bool, overwrite: bool, options: Options
    ) -> ConvertReport:
        content = self.info.as_json()
        if len(self.names):
            content["segment_properties"] = PROPERTIES
        conversion = {
            "source": [str(level.original.store_path) for level in self.levels],
            "info": content,
            "crackle": self.crackle,
        }
        resumed = begin(store, "", conversion, overwrite, claim, names=(INFO,))
        claim.on(store, "").check()
        if len(self.names):
            listed = {label: self.names[label] for label in sorted(self.names) if label}
            write_objects(store, {f"{PROPERTIES}/{INFO}": json.dumps(segment_names(listed)).encode("ascii")})
        write_objects(store, {INFO: json.dumps(content, indent=2).encode("ascii")})
        made = [
            array_of(store, name, self.info, scale, read_only=False, crackle=self.crackle)
            for scale in self.info.scales
        ]
        run(
            self._tasks(made, verify, resumed, options.executor, claim.on(store, "")),
            options,
            total=sum(num_blocks(level.array, dst) for level, dst in zip(self.levels, made, strict=True)),
            unit="block",
            merge=lambda a, b: a + b,
        )
        end(store, "", claim)
        return ConvertReport(
            len(made),
            sum(math.prod(scale.grid) for scale in self.info.scales),
            sum(stored_nbytes(level.original) for level in self.levels),
            sum(map(stored_nbytes, made)),
        )

    def _tasks(
        self,
        made: Sequence[zarr.Array[Any]],
        verify: bool,
        resumed: bool,
        executor: Executor | None,
        held: Held,
    ) -> Iterator[Convert]:
        for level, dst in zip(self.levels, made, strict=True):
            src = readable(level.array, executor)
            copied = level.read is None and self.crackle is None and can_copy(src, dst)
            for box in boxes_of(src, dst):
                if level.read is None:
                    yield Convert(src, dst, box, verify, resumed, copied, held)
                else:
                    yield ConvertTurned(src, dst, box, verify, resumed, held=held, read=level.read)


# ---------------------------------------------------------------------------------------
# The source


def _opened(source: Any) -> Any:
    if is_precomputed(source):
        return open_precomputed(source)
    return source if isinstance(source, zarr.Array | zarr.Group) else zarr.open(source, mode="r")


def _levels(source: Any, encoding: str) -> tuple[Level, ...]:
    if isinstance(source, zarr.Array):
        return (_level(source, zarr_facts.dimension_names(source), space_of(source), encoding),)
    image = open_labels(source) if label_images(source) else open_multiscale(source)
    return tuple(
        _level(array, image.names, space, encoding)
        for array, space in zip(image.levels, image.spaces, strict=True)
    )


def _level(array: zarr.Array[Any], names: Sequence[str | None] | None, space: Space, encoding: str) -> Level:
    """A level with the axes z, y, x, whose voxels are read on demand if they need to be turned."""
    order = formats.xyz_order(array.ndim, names)
    others = [axis for axis in order[3:] if array.shape[axis] != 1]
    if others:
        raise UnusableError(
            f"{array.store_path} has the shape {' x '.join(map(str, array.shape))}: a precomputed "
            f"segmentation has three axes and one channel, so write a part of it"
        )
    dtype = _dtype(array.dtype, encoding)
    space = space.of_axes(order[:3])
    if len(order) < 3:
        space = _with_three_axes(space)
    if order == (2, 1, 0) and dtype == array.dtype:
        return Level(array, array, space)
    shape = tuple(array.shape[axis] for axis in order[:3]) + (1,) * (3 - len(order))
    chunks = tuple(zarr_facts.chunk_shape(array)[axis] for axis in order[:3]) + (1,) * (3 - len(order))

    def read(box: Box) -> npt.NDArray[Any]:
        ranges = [(0, length) for length in array.shape]
        for part, axis in zip(reversed(box), order, strict=False):
            ranges[axis] = part
        voxels: npt.NDArray[Any] = voxels_of(array, tuple(ranges))
        if voxels.dtype.kind == "i" and voxels.size and voxels.min() < 0:
            raise UnusableError(
                f"{array.store_path} has the label {voxels.min()}, and labels of a precomputed volume are "
                f"not negative: remap it first"
            )
        turned = voxels.transpose(order)
        return turned.reshape([stop - start for start, stop in reversed(box)]).astype(dtype).T

    # Its chunks and its type plan the work, and nobody reads it: Zarr would run within itself, and its few
    # threads would wait for each other.
    shown = zarr.create_array(
        MemoryStore(), shape=shape[::-1], chunks=chunks[::-1], dtype=dtype, fill_value=0, dimension_names=AXES
    )
    return Level(array, shown, space, read)


@dataclass(frozen=True)
class ConvertTurned(Convert):
    """Convert a block of a level whose voxels are read by a function."""

    read: Callable[[Box], npt.NDArray[Any]] | None = None

    def voxels(self, box: Box) -> Any:
        """Voxels of the source."""
        assert self.read is not None
        return self.read(box)


def _with_three_axes(space: Space) -> Space:
    """The space of an array with the axes (x, y) or (x), and the axes that it lacks."""
    size, origin = space.voxel_size, space.origin
    if size is not None:
        size = (*size, *(size[-1:] or (1.0,)) * (3 - len(size)))
    if origin is not None:
        origin = (*origin, *(0.0,) * (3 - len(origin)))
    return replace(space, voxel_size=size, origin=origin)


def _dtype(dtype: np.dtype[Any], encoding: str) -> np.dtype[Any]:
    """The type in which the volume has labels: unsigned, and of 32 bits or more if they are compressed."""
    native = label_dtype(dtype)
    least = 4 if encoding == "compressed_segmentation" else 1
    return np.dtype(f"u{max(least, native.itemsize)}")


# ---------------------------------------------------------------------------------------
# Scales


def _scales(
    levels: Sequence[Level], encoding: str, chunks: tuple[int, ...] | None
) -> tuple[tuple[Scale, ...], tuple[str, ...]]:
    notes: list[str] = []
    scales: list[Scale] = []
    finest = levels[0].space
    if finest.voxel_size is None:
        notes.append("voxel size unknown, written as 1 nm")
    elif finest.unit is None:
        notes.append("unit of the voxel size unknown, written as nm")
    # The corner of the first voxel is the same in all levels, in nanometers.
    corner = finest.origin_in("nanometer") or (0.0, 0.0, 0.0)
    first = finest.size_in("nanometer") or (1.0, 1.0, 1.0)
    for level in levels:
        edges = level.space.size_in("nanometer")
        if edges is None:
            ratios = [round(a / b) for a, b in zip(levels[0].array.shape, level.array.shape, strict=True)]
            edges = tuple(edge * max(1, n) for edge, n in zip(first, ratios[::-1], strict=True))
        offset = tuple(round(place / edge) for place, edge in zip(corner, edges, strict=True))
        if level is levels[0] and not np.allclose(np.multiply(offset, edges), corner, rtol=1e-6, atol=1e-6):
            notes.append("origin rounded to whole voxels")
        key = "_".join(f"{edge:.12g}" for edge in edges)
        if any(scale.key == key for scale in scales):
            key += f"_{len(scales)}"
        z, y, x = _chunk(level, encoding, chunks)
        size = level.array.shape[::-1]
        scales.append(
            Scale(
                key,
                (size[0], size[1], size[2]),
                (edges[0], edges[1], edges[2]),
                (offset[0], offset[1], offset[2]),
                (x, y, z),
                encoding,
            )
        )
    return tuple(scales), tuple(notes)


def _chunk(level: Level, encoding: str, chunks: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape (z, y, x) of the chunks of a level."""
    if chunks is not None:
        return chunks
    if encoding != "crackle":
        return tuple(
            max(1, min(part, length)) for part, length in zip(_CHUNK, level.array.shape, strict=True)
        )
    if layout_of(level.original).chain is not None:
        return zarr_facts.chunk_shape(level.array)
    return default_chunks(level.array.shape, None)
