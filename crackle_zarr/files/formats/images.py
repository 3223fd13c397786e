"""PNG images of labels, read and written by Pillow: rows along y, columns along x, 8 or 16 bits."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..volumes import UnusableError
from .common import Volume, bool_as_integers

# The dtypes of labels by Pillow's modes, and the number of samples of colours.
_GRAY = {"1": "?", "L": "u1", "P": "u1", "I;16": "u2", "I;16B": "u2", "I;16L": "u2", "I": "u2"}
_COLOURS = {"RGB": 3, "RGBA": 4}


def read(pillow: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The image in a file, decoded when it is read; an image with a palette gives its indices."""
    begin = content.peek(26)[:26]
    # Pillow cuts the samples of such colours to 8 bits.
    if len(begin) == 26 and begin[24] == 16 and begin[25] in (2, 4, 6):
        raise UnusableError(
            f"{path}: a PNG file of colours or opacity with 16 bits, but labels are single integers"
        )
    image = pillow.open(content)
    mode, (width, height) = image.mode, image.size
    if mode not in _GRAY and mode not in _COLOURS:
        raise UnusableError(f"{path}: a PNG file of the mode {mode}, but labels are single integers")

    @functools.cache
    def decoded() -> npt.NDArray[Any]:
        array = np.array(image)
        return array.astype(_GRAY[mode], copy=False) if mode in _GRAY else array

    if mode in _GRAY:
        return Volume(
            (width, height),
            np.dtype(_GRAY[mode]),
            lambda box: decoded().T[box],
            axes=("x", "y"),
            close=image.close,
        )
    return Volume(
        (width, height, _COLOURS[mode]),
        np.dtype(np.uint8),
        lambda box: decoded().swapaxes(0, 1)[box],
        axes=("x", "y", "s"),
        close=image.close,
    )


def write(pillow: Any, file: IO[bytes], volume: Volume) -> None:
    """Write one slice of up to 16 bits."""
    array = bool_as_integers(volume.array)
    if array.ndim != 2:
        raise ValueError(
            f"a PNG file holds one slice, and this volume has {array.ndim} axes: name a file per slice, "
            f"such as 'out/z_{{:04}}.png'"
        )
    if array.dtype not in (np.uint8, np.uint16):
        most = int(array.max()) if array.size else 0
        least = int(array.min()) if array.size else 0
        if least < 0 or most > 0xFFFF:
            raise ValueError(f"PNG holds labels from 0 to 65535, and these are {least} to {most}: take TIFF")
        array = array.astype(np.uint16)
    pillow.fromarray(np.ascontiguousarray(array.T)).save(file, format="PNG")
