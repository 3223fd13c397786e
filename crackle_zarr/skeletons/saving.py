"""Files of one skeleton."""

from __future__ import annotations

import os
from pathlib import Path

from .._base import atomic_files
from .precomputed import from_precomputed, to_precomputed
from .skeleton import Skeleton
from .swc import from_swc, to_swc


def save(skeleton: Skeleton, path: str | os.PathLike[str]) -> None:
    """Write a skeleton as SWC, if the name ends in ``.swc``, and else in Neuroglancer's format.

    The file appears when it is whole.
    """
    data = to_swc(skeleton).encode() if Path(path).suffix.lower() == ".swc" else to_precomputed(skeleton)
    atomic_files.write_bytes(path, data)


def load(path: str | os.PathLike[str]) -> Skeleton:
    """Read a file that :func:`save` wrote.

    Raises:
        ValueError: the file is not a skeleton; the message names it.
    """
    data = Path(path).read_bytes()
    try:
        if Path(path).suffix.lower() == ".swc":
            return from_swc(data.decode())
        return from_precomputed(data)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
