"""Arrays that pickle as a place in a file where they are a part of a memory-mapped one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SharedArray:
    """An array of one axis: itself, or where it lies in a file, so that many processes share its pages."""

    values: npt.NDArray[Any] | None
    file: str = ""
    dtype: Any = None
    offset: int = 0
    strides: tuple[int, ...] = ()
    length: int = 0
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> SharedArray:
        """Describe an array; a view of a memory-mapped file as a place in that file."""
        if not isinstance(array, np.memmap) or array.filename is None or not len(array):
            return cls(np.asarray(array))
        base: Any = array
        while isinstance(base.base, np.memmap):
            base = base.base
        first = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        file = os.path.abspath(array.filename)
        return cls(None, file, array.dtype, base.offset + first, array.strides, len(array), _stamp(file))

    def array(self) -> npt.NDArray[Any]:
        """The array again.

        Raises:
            ValueError: the file is another than it was.
        """
        if self.values is not None:
            return self.values
        if _stamp(self.file) != self.stamp:
            raise ValueError(f"{self.file} has changed since it was opened: open it again")
        span = (self.length - 1) * self.strides[0] + self.dtype.itemsize
        raw = np.memmap(self.file, dtype=np.uint8, mode="r", offset=self.offset, shape=(span,))
        view: npt.NDArray[Any] = np.ndarray((self.length,), self.dtype, buffer=raw, strides=self.strides)
        return view


def _stamp(file: str) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns
