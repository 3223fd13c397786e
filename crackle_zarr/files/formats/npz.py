"""NumPy's ``.npz``: arrays by name in one file, without pickles. A place is written ``file.npz:name``."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..volumes import UnusableError
from .common import Volume, in_memory

SUFFIXES = (".npz",)


def listed(path: Path) -> list[dict[str, Any]]:
    """Name, shape and dtype of every array in a file; only headers are read."""
    found: list[dict[str, Any]] = []
    with zipfile.ZipFile(path) as file:
        for member in file.namelist():
            if not member.endswith(".npy"):
                continue
            with file.open(member) as content:
                version = np.lib.format.read_magic(content)
                read_header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read_header(content)
            record = {"name": member.removesuffix(".npy"), "shape": list(shape), "dtype": dtype.name}
            found.append(record | {"chunks": None, "compression": None})
    return found


def read(path: Path, name: str | None) -> Volume:
    """The array of this name, or the only one, with its own axes. It is read into memory."""
    every = listed(path)
    name = name if name is not None else _only(path, every)
    if name not in {one["name"] for one in every}:
        names = ", ".join(one["name"] for one in every) or "none"
        raise UnusableError(f"{path}: there is no array {name}; the file has: {names}")
    with contextlib.ExitStack() as stack:
        arrays = stack.enter_context(np.load(path, allow_pickle=False))
        try:
            array = arrays[name]
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise UnusableError(f"{path}:{name} holds Python objects, but labels are integers") from None
            raise
    if array.dtype.kind not in "iubf":
        raise UnusableError(f"{path}:{name}: labels are numbers, not {array.dtype}")
    return in_memory(array)


def _only(path: Path, every: list[dict[str, Any]]) -> str:
    choice = [one["name"] for one in every if np.dtype(one["dtype"]).kind in "iub"] or [
        one["name"] for one in every
    ]
    if len(choice) == 1:
        return str(choice[0])
    if not choice:
        raise UnusableError(f"{path}: this .npz file has no arrays")
    places = ", ".join(f"{path}:{one}" for one in choice)
    raise UnusableError(f"{path}: the file has several arrays; name one of them: {places}")
