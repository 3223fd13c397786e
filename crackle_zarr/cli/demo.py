"""Store a volume in Zarr with Crackle, read it back, and measure bytes and seconds.

:func:`run` stores a volume twice, with Crackle and with Zarr's default compressor, reopens both,
verifies every voxel, reads one slice, lists the labels, and returns the figures.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import zarr
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm  # type: ignore[import-untyped]
from zarr.abc.store import ByteRequest, Store
from zarr.storage import LocalStore, WrapperStore

from .. import synthetic, verbs
from .._base.options import MarkovOrder, Preset
from .._base.zarr_facts import Buffer, BufferPrototype
from ..codecs.create import create_array
from ..errors import VerificationError
from ..files.volumes import read_volume

# Volumes are read and written in slabs of at most this many bytes, unless one row of chunks is larger.
SLAB_NBYTES = 128 * 2**20
# The drawing shows at most this many voxels along either axis of the slice.
DRAWN = 1024

# Each operation is timed so often, unless it has taken so many seconds in all.
REPEATS, LONG = 3, 1.0

T = TypeVar("T")

METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


# ---------------------------------------------------------------------------------------
# Sources


@dataclass(frozen=True)
class Source:
    """The volume of the demo.

    Attributes:
        name: the volume's name in the table.
        array: a NumPy or Zarr array: ``shape``, ``dtype``, and basic indexing.
        axes: the origin of its axes, as text for the table; may be empty.
    """

    name: str
    array: Any
    axes: str = ""

    def slab(self, start: int, stop: int) -> npt.NDArray[Any]:
        """The part [start, stop) of the first axis, as a NumPy array."""
        return np.asarray(self.array[start:stop])


def made(size: int, dtype: npt.DTypeLike = np.uint64) -> Source:
    """Make the synthetic segmentation, with ``size`` voxels along each axis."""
    array = synthetic.neurons((size, size, size), dtype=dtype)
    return Source(f"synthetic neurons, {size}^3", array, "axes (z, y, x)")


def opened(path: Path) -> Source:
    """Open a file (see :mod:`crackle_zarr.files.volumes`), or the Zarr array in a directory.

    Raises:
        ValueError: there is no such volume, or it has fewer than two axes or no voxels.
        TypeError: its dtype is not an integer type or bool.
    """
    if path.is_dir():
        source = Source(path.name, _open_zarr(path), "axes as in the Zarr array")
    else:
        array = read_volume(path)
        if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
            # Axis 0 is the fastest: the transposed view is the same memory in C order.
            axes = "stored as (z, y, x), the transpose of the file's (x, y, z)"
            source = Source(path.name, array.T, axes if array.ndim == 3 else "stored transposed")
        else:
            source = Source(path.name, array, "axes as in the file")
    dtype, shape = source.array.dtype, source.array.shape
    if dtype.kind not in "iub":
        raise TypeError(f"{path}: labels are integers or bool, not {dtype}")
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"{path}: a volume needs at least two axes and one voxel; its shape is {shape}")
    return source


def _open_zarr(path: Path) -> Any:
    try:
        node = zarr.open(str(path), mode="r")
    except FileNotFoundError:
        raise ValueError(f"{path}: neither a file nor a Zarr array: no zarr.json or .zarray in it") from None
    if isinstance(node, zarr.Group):
        names = ", ".join(sorted(node.array_keys())) or "none"
        raise ValueError(f"{path}: a Zarr group, not an array; name one of its arrays: {names}")
    return node


# ---------------------------------------------------------------------------------------
# Counting reads


class CountingStore(WrapperStore[Store]):
    """A store that counts requests and bytes of reads."""

    def __init__(self, store: Store) -> None:
        """Count reads from ``store``."""
        super().__init__(store)
        self.nbytes = 0
        self.requests = 0

    def reset(self) -> None:
        """Count from zero again."""
        self.nbytes = self.requests = 0

    def _count(self, buffer: Buffer | None) -> None:
        self.requests += 1
        self.nbytes += 0 if buffer is None else len(buffer)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value or a range of it."""
        buffer = await super().get(key, prototype, byte_range)
        self._count(buffer)
        return buffer

    async def get_partial_values(self, prototype: BufferPrototype, key_ranges: Any) -> list[Buffer | None]:
        """Read several values or ranges of them."""
        buffers = await super().get_partial_values(prototype, key_ranges)
        for buffer in buffers:
            self._count(buffer)
        return buffers


# ---------------------------------------------------------------------------------------
# Figures


@dataclass
class Measured:
    """Bytes and seconds of the volume, stored with one compressor.

    Attributes:
        name: the compressor, as the table shows it.
        nbytes: bytes of all chunks.
        write: seconds to write all; these and the other seconds are the best of some runs.
        read: seconds to read all.
        slice: seconds to read one slice.
        slice_nbytes: bytes read from the store for the slice.
        labels: seconds to list the labels.
        labels_nbytes: bytes read from the store for the labels.
    """

    name: str
    nbytes: int = 0
    write: float = 0.0
    read: float = 0.0
    slice: float = 0.0
    slice_nbytes: int = 0
    labels: float = 0.0
    labels_nbytes: int = 0


@dataclass(frozen=True)
class Result:
    """The figures of the demo, and the slice.

    Attributes:
        source: the volume.
        chunks: the shape of the chunks of both arrays.
        num_labels: how many labels the volume has.
        slice_index: the slice's index along the leading axes.
        slice: the slice, over the last two axes, as read with Crackle.
        rows: Crackle's figures, then those of Zarr's default.
        kept: the directory that holds the arrays, or None.
    """

    source: Source
    chunks: tuple[int, ...]
    num_labels: int
    slice_index: tuple[int, ...]
    slice: npt.NDArray[Any]
    rows: tuple[Measured, ...]
    kept: Path | None


def run(
    source: Source,
    *,
    chunks: tuple[int, ...] | None = None,
    zarr_format: Literal[2, 3] = 3,
    markov_model_order: MarkovOrder | None = None,
    allow_pins: int | None = None,
    preset: Preset | None = None,
    keep: Path | None = None,
    progress: bool | None = False,
) -> Result:
    """Store ``source`` with Crackle and with Zarr's default, and measure both.

    Args:
        source: the volume.
        chunks: the shape of the chunks, one number per axis; None: the default of ``create_array``.
        zarr_format: 2 or 3.
        markov_model_order: see :func:`crackle_zarr.compress`.
        allow_pins: see :func:`crackle_zarr.compress`.
        preset: see :func:`crackle_zarr.compress`.
        keep: a directory for the two arrays, ``crackle.zarr`` and ``default.zarr``; None: delete them.
        progress: show bars on stderr; None: only if it is a terminal.

    Raises:
        ValueError: ``chunks`` is not one positive number per axis.
        FileExistsError: ``keep`` has such arrays already.
        VerificationError: the data read back differ from the data written.
    """
    volume = source.array
    if chunks is not None and (len(chunks) != len(volume.shape) or min(chunks) < 1):
        given = ",".join(map(str, chunks))
        raise ValueError(
            f"chunks need {len(volume.shape)} positive numbers, one per axis of the volume of shape "
            f"{tuple(volume.shape)}, not {given}"
        )
    directory = _make_directory(keep)
    try:
        crackle, default = directory / "crackle.zarr", directory / "default.zarr"
        options: dict[str, Any] = {
            "shape": volume.shape,
            # A dtype of format 3 has no byte order. Before 3.1, Zarr has default codecs for the machine's
            # byte order only.
            "dtype": volume.dtype.newbyteorder("=") if zarr_format == 3 else volume.dtype,
            "zarr_format": zarr_format,
        }
        _warm_up(directory / "warm.zarr", zarr_format)
        array = create_array(
            LocalStore(crackle),
            chunks=chunks,
            markov_model_order=markov_model_order,
            allow_pins=allow_pins,
            preset=preset,
            **options,
        )
        row = Measured("Crackle")
        labels = _write(source, array, row, progress)
        chunks = tuple(array.chunks)
        plain = zarr.create_array(LocalStore(default), chunks=chunks, **options)
        compressor = " + ".join(type(codec).__name__.removesuffix("Codec") for codec in plain.compressors)
        other = Measured(f"Zarr default ({compressor.lower()})")
        _write(source, plain, other, progress, want_labels=False)

        index = tuple(length // 2 for length in volume.shape[:-2])
        expected = np.asarray(volume[index])
        for path, measured in ((crackle, row), (default, other)):
            seen = _measure(path, source, measured, index, expected, labels, progress)
            if measured is row:
                plane = seen
        return Result(
            source=source,
            chunks=chunks,
            num_labels=len(labels),
            slice_index=index,
            slice=plane,
            rows=(row, other),
            kept=keep,
        )
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


def _warm_up(place: Path, zarr_format: Literal[2, 3]) -> None:
    """Write and read a small array with each compressor, and delete it.

    The first operation of a process pays for Zarr's event loop, its threads and late imports.
    """
    small = np.arange(4**3, dtype=np.uint32).reshape(4, 4, 4)
    for make in (create_array, zarr.create_array):
        array = make(
            LocalStore(place), shape=small.shape, dtype=small.dtype, chunks=(2, 4, 4), zarr_format=zarr_format
        )
        array[...] = small
        assert np.array_equal(array[...], small)
        if make is create_array:
            verbs.labels(array)
        shutil.rmtree(place)


def _timed(work: Callable[[], T], before: Callable[[], object] = lambda: None) -> tuple[float, T]:
    """The seconds of the fastest of some calls, and the result; calls that take long are not repeated.

    ``before`` is called before each, and is not timed.
    """
    best, spent = math.inf, 0.0
    for _ in range(REPEATS):
        before()
        begin = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - begin
        best, spent = min(best, seconds), spent + seconds
        if spent >= LONG:
            break
    return best, found


def _make_directory(keep: Path | None) -> Path:
    """The directory for the two arrays: ``keep``, or a temporary one."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="crackle-zarr-demo-"))
    for name in ("crackle.zarr", "default.zarr"):
        if (keep / name).exists():
            raise FileExistsError(f"{keep / name} exists already; give another directory to --keep")
    keep.mkdir(parents=True, exist_ok=True)
    return keep


def _slabs(array: Any, what: str, progress: bool | None) -> Iterator[tuple[int, int]]:
    """Ranges of the first axis, each of whole rows of chunks and at most ``SLAB_NBYTES`` where possible."""
    length, depth = array.shape[0], array.chunks[0]
    row = depth * math.prod(array.shape[1:]) * array.dtype.itemsize
    step = depth * max(1, SLAB_NBYTES // row)
    starts = range(0, length, step)
    disable = None if progress is None else not progress
    for start in tqdm(starts, desc=what, unit="slab", leave=False, file=sys.stderr, disable=disable):
        yield start, min(start + step, length)


def _write(
    source: Source, array: Any, measured: Measured, progress: bool | None, want_labels: bool = True
) -> npt.NDArray[Any]:
    """Write the volume; returns its labels, found in its voxels, if they are wanted."""
    labels: list[npt.NDArray[Any]] = []
    for start, stop in _slabs(array, f"write {measured.name}", progress):
        slab, place = source.slab(start, stop), slice(start, stop)
        seconds, _ = _timed(partial(array.__setitem__, place, slab))
        measured.write += seconds
        if want_labels:
            labels.append(np.unique(slab))
    return np.unique(np.concatenate(labels)) if want_labels else np.empty(0, dtype=array.dtype)


def _measure(
    path: Path,
    source: Source,
    measured: Measured,
    index: tuple[int, ...],
    expected: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    progress: bool | None,
) -> npt.NDArray[Any]:
    """Reopen an array, compare it with the source, and time reads; returns the slice at ``index``."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name not in METADATA)
    measured.nbytes = sum(file.stat().st_size for file in files)
    store = CountingStore(LocalStore(path, read_only=True))
    array: Any = zarr.open_array(store, mode="r")

    measured.slice, plane = _timed(lambda: np.asarray(array[index]), store.reset)
    measured.slice_nbytes = store.nbytes
    if not np.array_equal(plane, expected):
        raise VerificationError(f"{measured.name}: the slice at {index} differs from the one written")

    def list_labels() -> npt.NDArray[Any]:
        return verbs.labels(array) if measured.name == "Crackle" else _decoded_labels(array, progress)

    measured.labels, found = _timed(list_labels, store.reset)
    measured.labels_nbytes = store.nbytes
    if not np.array_equal(found, labels):
        raise VerificationError(
            f"{measured.name}: the {len(found)} labels listed differ from the volume's labels"
        )

    for start, stop in _slabs(array, f"verify {measured.name}", progress):
        seconds, read = _timed(partial(array.__getitem__, slice(start, stop)))
        measured.read += seconds
        if not np.array_equal(read, source.slab(start, stop)):
            raise VerificationError(
                f"{measured.name}: in the range {start}:{stop} of the first axis, voxels differ from those "
                f"that were written"
            )
    return plane


# ---------------------------------------------------------------------------------------
# Labels


def _decoded_labels(array: Any, progress: bool | None) -> npt.NDArray[Any]:
    """The labels of any Zarr array, ascending, found by decoding all chunks."""
    tables = [np.unique(array[a:b]) for a, b in _slabs(array, "list labels of the default", progress)]
    return np.unique(np.concatenate(tables))


# ---------------------------------------------------------------------------------------
# Output


def table(result: Result) -> Table:
    """Make a table of the figures."""
    volume = result.source.array
    raw = math.prod(volume.shape) * volume.dtype.itemsize
    shown = Table(
        title=f"{result.source.name}: {_by(volume.shape)} {volume.dtype.name}, {raw:,} bytes, "
        f"{result.num_labels:,} labels",
        caption=f"Chunks of {_by(result.chunks)}; {result.source.axes}. Every voxel, the slice and both "
        f"lists of labels were verified after reopening. Seconds are the best of up to {REPEATS} runs.",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption_justify="left",
        title_justify="left",
    )
    shown.add_column("stored with")
    for heading in (
        "bytes",
        "ratio",
        "write\n[s]",
        "read\n[s]",
        "one slice\n[s]",
        "one slice\n[bytes read]",
        "labels\n[s]",
        "labels\n[bytes read]",
    ):
        shown.add_column(heading.replace("[", r"\["), justify="right", no_wrap=True)
    for row in result.rows:
        shown.add_row(
            row.name,
            f"{row.nbytes:,}",
            f"{raw / max(1, row.nbytes):.1f}",
            f"{row.write:.2f}",
            f"{row.read:.2f}",
            f"{row.slice:.4f}",
            f"{row.slice_nbytes:,}",
            f"{row.labels:.4f}",
            f"{row.labels_nbytes:,}",
        )
    return shown


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def show(result: Result) -> None:
    """Print the table on stdout."""
    # rich cuts the table at 80 columns when it writes into a file or a pipe.
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=False)
    console.print(table(result))
    if result.kept is not None:
        print(f"kept: {result.kept / 'crackle.zarr'} and {result.kept / 'default.zarr'}")


def require_matplotlib() -> None:
    """Raise if matplotlib is missing, so that the demo fails before its work.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'drawing needs matplotlib: pip install "crackle_zarr[png]"', name=error.name
        ) from None


def draw(result: Result, path: Path) -> None:
    """Draw the slice to an image file: its labels in distinct colours, beside its boundaries.

    The suffix of ``path`` is the image format, one of matplotlib's.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plane = result.slice
    window = tuple(slice(max(0, (n - DRAWN) // 2), max(0, (n - DRAWN) // 2) + DRAWN) for n in plane.shape)
    plane = plane[window]
    height, width = plane.shape
    # A whole number of pixels per voxel, so that every boundary is equally thin and sharp.
    scale = max(1, 1024 // max(height, width))
    margin, title, dpi = 20, 40, 100
    size = (2 * width * scale + 3 * margin, height * scale + title + margin)
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi)
    FigureCanvasAgg(figure)

    names = ("t", "c", "z", "y", "x")[-len(result.source.array.shape) : -2]
    position = [f"{name} = {at}" for name, at in zip(names, result.slice_index, strict=False)]
    cut = "" if plane.shape == result.slice.shape else ", its middle"
    texts = (
        f"{len(np.unique(plane)):,} labels{' at ' if position else ''}{', '.join(position)}{cut}",
        "their boundaries",
    )
    for at, (image, text) in enumerate(zip((colours(plane), ~boundaries(plane)), texts, strict=True)):
        box_of = (
            (margin + at * (width * scale + margin)) / size[0],
            margin / size[1],
            width * scale / size[0],
            height * scale / size[1],
        )
        axes = figure.add_axes(box_of, xticks=[], yticks=[])
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        axes.set_title(text)
    figure.savefig(path)


def colours(plane: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A colour (r, g, b) for every voxel of a slice; background (0) is dark grey.

    Hues step by the golden angle, so that any few successive hues differ clearly. Saturation and
    value cycle as well.
    """
    labels, inverse = np.unique(plane, return_inverse=True)
    rank = np.arange(len(labels))
    hue = rank * 0.618033988749895 % 1.0
    saturation = 0.45 + 0.15 * (rank % 4)
    value = 1.0 - 0.14 * (rank // 4 % 4)
    corner = np.array([5.0, 3.0, 1.0])
    sector = (hue[:, None] * 6.0 + corner) % 6.0
    shade = np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    palette = value[:, None] * (1.0 - saturation[:, None] * shade)
    palette[labels == 0] = 0.2
    coloured: npt.NDArray[np.float64] = palette[inverse.reshape(plane.shape)]
    return coloured


def boundaries(plane: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """True where a voxel of a slice differs from its neighbour on the right or below."""
    edges = np.zeros(plane.shape, dtype=np.bool_)
    edges[:, :-1] |= plane[:, 1:] != plane[:, :-1]
    edges[:-1, :] |= plane[1:, :] != plane[:-1, :]
    return edges
