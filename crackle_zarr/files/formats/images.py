"""PNG images of labels, read and written by Pillow: rows along y, columns along x, 8 or 16 bits."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..volumes import UnusableError
from .common import Volume, bool_as_integers, in_memory

# Pillow's modes, and whether their samples are labels.
_GRAY = {"1", "L", "P", "I;16", "I;16B", "I;16L", "I"}


def read(pillow: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The image in a file; an image with a palette gives its indices."""
    begin = content.peek(26)[:26]
    # Pillow cuts the samples of such colours to 8 bits.
    if len(begin) == 26 and begin[24] == 16 and begin[25] in (2, 4, 6):
        raise UnusableError(
            f"{path}: a PNG file of colours or opacity with 16 bits, but labels are single integers"
        )
    with pillow.open(content) as image:
        mode = image.mode
        array = np.array(image)
    if mode in _GRAY:
        if array.dtype == np.int32:  # 16 bits, in an older mode of the library
            array = array.astype(np.uint16)
        return in_memory(array.T, axes=("x", "y"))
    if mode == "LA":
        raise UnusableError(f"{path}: a PNG file with opacity, but labels are single integers")
    return in_memory(array.swapaxes(0, 1), axes=("x", "y", "s"))


def write(pillow: Any, file: IO[bytes], volume: Volume) -> None:
    """Write one slice of up to 16 bits."""
    array = bool_as_integers(volume.array)
    if array.ndim != 2:
        raise UnusableError(
            f"a PNG file holds one slice, and this volume has {array.ndim} axes: name a file per slice, "
            f"such as 'out/z_{{:04}}.png'"
        )
    if array.dtype not in (np.uint8, np.uint16):
        most = int(array.max()) if array.size else 0
        least = int(array.min()) if array.size else 0
        if least < 0 or most > 0xFFFF:
            raise UnusableError(
                f"PNG holds labels from 0 to 65535, and these are {least} to {most}: take TIFF"
            )
        array = array.astype(np.uint16)
    pillow.fromarray(np.ascontiguousarray(array.T)).save(file, format="PNG")
