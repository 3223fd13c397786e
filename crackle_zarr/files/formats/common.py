"""What the formats share: a volume in a file, checks, and working with libraries that warn, log and raise."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..space import Space
from ..volumes import UnusableError

Format = Literal["ckl", "npy", "nrrd", "nifti", "tiff", "hdf5"]
# Where voxels lie: a slice of every axis, without steps.
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Volume:
    """Labels in a file, read as they are asked for, and what the file says of them.

    Attributes:
        shape: of the labels, with the axes (x, y, z); of ``.npy`` and HDF5 in the file's own order.
        dtype: of the labels.
        read_box: gives the labels of a box.
        space: where the voxels lie, as far as the file says so.
        header: what the file says besides, for a file of the same format.
        format: the format of the file; None: the labels come from elsewhere.
        note: what was done to make labels of the file's numbers.
        slow_axis: the axis along which slabs lie one behind the other in the file: the first, 0, or the last,
            -1.
        close: ends reading, and frees what it holds open.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read_box: Callable[[Box], npt.NDArray[Any]]
    space: Space = field(default_factory=Space)
    header: Any = None
    format: Format | None = None
    note: str = ""
    slow_axis: int = -1
    close: Callable[[], object] = lambda: None

    @property
    def array(self) -> npt.NDArray[Any]:
        """All labels, in the machine's byte order. Read once: it is kept by whoever asks."""
        return self.read_box(tuple(slice(0, length) for length in self.shape))

    @property
    def nbytes(self) -> int:
        """The size of the labels in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def transposed(self) -> Volume:
        """The same labels with the axes in reverse order."""
        read = self.read_box
        return replace(
            self,
            shape=self.shape[::-1],
            read_box=lambda box: read(box[::-1]).T,
            space=self.space.transposed(),
            slow_axis=-1 - self.slow_axis,
        )

    def slabs(self, nbytes: int = 2**26) -> Iterator[Box]:
        """Boxes that cover the volume in the order of the file, of some bytes each."""
        if not self.shape:
            yield ()
            return
        whole = [slice(0, length) for length in self.shape]
        length = self.shape[self.slow_axis]
        step = max(1, nbytes * length // max(1, self.nbytes))
        for start in range(0, length, step):
            box = list(whole)
            box[self.slow_axis] = slice(start, min(start + step, length))
            yield tuple(box)


def in_memory(array: npt.NDArray[Any], **fields: Any) -> Volume:
    """A volume whose labels are here."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    order = 0 if native.flags.c_contiguous else -1
    return Volume(native.shape, native.dtype, lambda box: native[box], slow_axis=order, **fields)


def in_file(mapped: npt.NDArray[Any], **fields: Any) -> Volume:
    """A volume whose labels are mapped into memory from a file: a box is copied out of it."""
    dtype = mapped.dtype.newbyteorder("=")
    order = 0 if mapped.flags.c_contiguous else -1

    def read_box(box: Box) -> npt.NDArray[Any]:
        return np.array(mapped[box], dtype=dtype, order="K")

    return Volume(mapped.shape, dtype, read_box, slow_axis=order, **fields)


@contextlib.contextmanager
def working(path: Path, trouble: str) -> Iterator[list[logging.LogRecord]]:
    """Let a library work in silence, and make one exception of all that it may raise.

    What it logs is kept instead of printed: some damage is told nowhere else.
    """
    heard = Heard()
    loggers = [logging.getLogger(name) for name in ("nibabel.global", "tifffile")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [heard], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield heard.records
    except (UnusableError, ImportError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's trouble: the libraries' own has no number
        raise UnusableError(f"{path}: {trouble}: {_reason(error)}") from error
    except Exception as error:  # each library has exceptions of its own, and on damage any others
        raise UnusableError(f"{path}: {trouble}: {_reason(error)}") from error
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


class Heard(logging.Handler):
    """Keeps what a library logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, KeyError) or not str(error) else str(error)


def check_axes(path: Path, shape: Sequence[int], names: str = "") -> None:
    """Raise UnusableError where a volume has more than three axes."""
    if len(shape) > 3:
        told = f" ({names})" if names else ""
        raise UnusableError(f"{path}: {len(shape)} axes, {shape_text(shape)}{told}: a volume has up to three")


def shape_text(shape: Sequence[int]) -> str:
    """A shape, for people."""
    return " x ".join(map(str, shape)) or "no axes"


def positive(numbers: Sequence[float]) -> tuple[float, ...] | None:
    """The edges of a voxel, if they can be that."""
    edges = tuple(map(float, numbers))
    return edges if edges and all(math.isfinite(edge) and edge > 0 for edge in edges) else None


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of three axes, where those that follow are 1: times and channels that are none."""
    lengths = list(shape)
    while len(lengths) > 3 and lengths[-1] == 1:
        lengths.pop()
    return tuple(lengths)


def bool_as_integers(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels for formats that have no bool."""
    return array.astype(np.uint8) if array.dtype.kind == "b" else array
