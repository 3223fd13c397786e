"""Shared by the formats.

A volume in a file, checks, and the handling of errors, warnings and logs of libraries.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..label_names import LabelNames
from ..space import Space
from ..volumes import UnusableError

# The key of a format in the registry.
Format = str
# A box of voxels: a slice of every axis, without steps.
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Volume:
    """Labels in a file, read on demand, with the file's metadata.

    Attributes:
        shape: of the labels, with the axes (x, y, z) and then others; for ``.npy``, ``.npz`` and HDF5 in the
            file's own order.
        dtype: of the labels.
        read_box: returns the labels of a box.
        space: the position of the voxels, as far as the file states it.
        label_names: names and colours of labels, for formats that can hold them.
        header: further metadata, for writing a file of the same format.
        format: the format of the file; None if the labels do not come from a file.
        note: how the file's numbers were converted to labels.
        slow_axis: the axis that varies slowest in the file: 0 for the first, -1 for the last.
        close: closes the file.
        axes: the names of the axes: x, y, z, c (channel), t (time), s (samples of a colour), layer; None if
            the file does not name them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read_box: Callable[[Box], npt.NDArray[Any]]
    space: Space = field(default_factory=Space)
    label_names: LabelNames | None = None
    header: Any = None
    format: Format | None = None
    note: str = ""
    slow_axis: int = -1
    close: Callable[[], object] = lambda: None
    axes: tuple[str, ...] | None = None

    @property
    def array(self) -> npt.NDArray[Any]:
        """All labels, in the machine's byte order. They are read anew at each access."""
        return self.read_box(tuple(slice(0, length) for length in self.shape))

    @property
    def nbytes(self) -> int:
        """The size of the labels in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def transposed(self) -> Volume:
        """The same labels with the axes in reverse order."""
        return self.of_axes(tuple(reversed(range(len(self.shape)))))

    def of_axes(self, order: Sequence[int]) -> Volume:
        """The same labels with the axes in another order: axis ``i`` of the result is axis ``order[i]``."""
        read, back = self.read_box, [list(order).index(axis) for axis in range(len(order))]
        slow = list(order).index(self.slow_axis % len(order)) if order else 0
        names, placed = self.axes, len(self.space.voxel_size or self.space.origin or ()) == len(order)
        return replace(
            self,
            shape=tuple(self.shape[axis] for axis in order),
            read_box=lambda box: read(tuple(box[axis] for axis in back)).transpose(order),
            space=self.space.of_axes(order) if placed else self.space,
            slow_axis=-1 if slow == len(order) - 1 and slow else 0,
            axes=None if names is None else tuple(names[axis] for axis in order),
        )

    def at(self, axis: int, index: int) -> Volume:
        """The labels at one index of an axis, which the result does not have."""
        read, rest = self.read_box, [one for one in range(len(self.shape)) if one != axis]

        def read_box(box: Box) -> npt.NDArray[Any]:
            return read((*box[:axis], slice(index, index + 1), *box[axis:])).squeeze(axis)

        placed = len(self.space.voxel_size or self.space.origin or ()) == len(self.shape)
        return replace(
            self,
            shape=tuple(self.shape[one] for one in rest),
            read_box=read_box,
            header=None,
            space=self.space.of_axes(rest) if placed else self.space,
            axes=None if self.axes is None else tuple(self.axes[one] for one in rest),
        )

    def slabs(self, nbytes: int = 2**25) -> Iterator[Box]:
        """Boxes of about ``nbytes`` each that cover the volume in the order of the file."""
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
    """A volume whose labels are in memory."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    order = 0 if native.flags.c_contiguous else -1
    return Volume(native.shape, native.dtype, lambda box: native[box], slow_axis=order, **fields)


def in_file(mapped: npt.NDArray[Any], **fields: Any) -> Volume:
    """A volume whose labels are in a file that is mapped into memory; ``read_box`` returns copies."""
    dtype = mapped.dtype.newbyteorder("=")
    order = 0 if mapped.flags.c_contiguous else -1

    def read_box(box: Box) -> npt.NDArray[Any]:
        return np.array(mapped[box], dtype=dtype, order="K")

    return Volume(mapped.shape, dtype, read_box, slow_axis=order, **fields)


@contextlib.contextmanager
def working(path: Path, trouble: str) -> Iterator[list[logging.LogRecord]]:
    """Run code of a library: silence it, and turn all its exceptions into UnusableError.

    Yields the library's log records instead of printing them: it reports some damage only there.
    """
    handler = RecordKeeper()
    loggers = [logging.getLogger(name) for name in ("nibabel.global", "tifffile", "PIL", "mrcfile")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield handler.records
    except (UnusableError, ImportError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise  # an error of the disk: those of the libraries have no errno
        raise UnusableError(f"{path}: {trouble}: {_reason(error)}") from error
    except Exception as error:  # libraries have their own exceptions, and raise any others on damaged files
        raise UnusableError(f"{path}: {trouble}: {_reason(error)}") from error
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


class RecordKeeper(logging.Handler):
    """Keeps the records that a library logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, KeyError) or not str(error) else str(error)


def shape_text(shape: Sequence[int]) -> str:
    """A shape in messages, such as "64 x 64 x 32"."""
    return " x ".join(map(str, shape)) or "no axes"


def positive(numbers: Sequence[float]) -> tuple[float, ...] | None:
    """The edges of a voxel; None if they are not positive and finite."""
    edges = tuple(map(float, numbers))
    return edges if edges and all(math.isfinite(edge) and edge > 0 for edge in edges) else None


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the axes after the third that have length 1: a single time or channel."""
    lengths = list(shape)
    while len(lengths) > 3 and lengths[-1] == 1:
        lengths.pop()
    return tuple(lengths)


def bool_as_integers(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels for formats without bool: bool becomes uint8."""
    return array.astype(np.uint8) if array.dtype.kind == "b" else array
