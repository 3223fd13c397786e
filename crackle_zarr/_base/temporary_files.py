"""Arrays in temporary files."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
import numpy.typing as npt


def append(file: IO[bytes], array: npt.NDArray[Any]) -> None:
    """Append the bytes of an array of one axis to a file without a buffer.

    To copy them to a mapping of the file would kill the process on a full disk. A buffer would be written
    again as the file is closed.

    Raises:
        OSError: the disk is full.
    """
    left = array.view(np.uint8).data
    while len(left):
        left = left[file.write(left) :]
