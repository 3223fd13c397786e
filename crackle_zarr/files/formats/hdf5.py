"""HDF5: datasets by name, mostly (z, y, x), with CREMI's ``resolution`` and ``offset`` in their attributes.

A place is written ``file.h5:/path/of/dataset``. The path may be omitted if one dataset of the file holds
integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..space import from_attributes
from ..volumes import UnusableError
from .common import Box, Volume

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")

# The chunk shape of new datasets: some 256 KiB, which suits HDF5's cache.
_CHUNK = (16, 128, 128)


def datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """All datasets of numbers in a file, by their names."""
    import h5py  # type: ignore[import, unused-ignore] # not installed in CI

    found: list[tuple[str, Any]] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "iubf" and node.shape:
            found.append((name, node))

    file.visititems(visit)
    yield from found


def listed(path: Path) -> list[dict[str, Any]]:
    """Name, shape, dtype and chunks of every dataset of integers in a file."""
    with _opened(path) as file:
        return [
            {
                "name": f"/{name}",
                "shape": list(node.shape),
                "dtype": node.dtype.name,
                "chunks": None if node.chunks is None else list(node.chunks),
                "compression": node.compression,
            }
            for name, node in datasets(file)
            if node.dtype.kind in "iub"
        ]


def _opened(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnusableError(f"{path}: a damaged or foreign HDF5 file: {error}") from error


def _dataset(path: Path, file: Any, name: str | None) -> Any:
    import h5py

    every = dict(datasets(file))
    integers = [one for one, node in every.items() if node.dtype.kind in "iub"]
    if name is None:
        choice = integers or list(every)
        if len(choice) == 1:
            return every[choice[0]]
        if not choice:
            raise UnusableError(f"{path}: this HDF5 file has no dataset of numbers")
        places = ", ".join(f"{path}:/{one}" for one in choice)
        raise UnusableError(f"{path}: the file has several datasets; name one of them: {places}")
    node = file.get(name)
    if isinstance(node, h5py.Group):
        members = [f"/{one}" for one in every if one.startswith(f"{name}/")]
        inside = f"; datasets in it: {', '.join(members)}" if members else ""
        raise UnusableError(f"{path}:/{name} is a group, not a dataset{inside}")
    if name not in every:
        if node is not None:
            raise UnusableError(f"{path}:/{name} is not an array of numbers")
        names = ", ".join(f"/{one}" for one in integers) or "none of integers"
        raise UnusableError(f"{path}: there is no dataset /{name}; the file has: {names}")
    return every[name]


def read(path: Path, name: str | None) -> Volume:
    """The volume in a dataset, with the axes in the file's own order. Boxes are read on demand."""
    with _opened(path) as file:
        node = _dataset(path, file, name)
        key, shape, dtype = node.name, tuple(node.shape), node.dtype
        space = from_attributes(dict(node.attrs), len(shape))

    def read_box(box: Box) -> npt.NDArray[Any]:
        # Open the file for each box: HDF5 does not support one open file in two threads or processes.
        with _opened(path) as file:
            try:
                found = file[key][
                    tuple(slice(*part.indices(n)[:2]) for part, n in zip(box, shape, strict=True))
                ]
            except OSError as error:
                raise UnusableError(f"{path}:{key} cannot be read: {error}") from error
        array: npt.NDArray[Any] = np.asarray(found)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    return Volume(shape, np.dtype(dtype).newbyteorder("="), read_box, space, slow_axis=0)


def write(path: Path, name: str, volume: Volume, *, overwrite: bool) -> None:
    """Write a dataset of labels in the order (z, y, x), compressed with gzip, a few slices at a time.

    The file keeps its other datasets. The new dataset gets its name when it is complete.
    """
    import h5py

    turned = volume.transposed()
    shape = turned.shape
    chunks: tuple[int, ...] | None = None
    if shape and 0 not in shape:
        chunks = tuple(
            min(n, most)
            for n, most in zip(shape, (1,) * len(shape[:-3]) + _CHUNK[-len(shape) :], strict=True)
        )
    with h5py.File(path, "a") as file:
        if name in file and not overwrite:
            raise UnusableError(f"{path}:/{name} exists already: --overwrite replaces it")
        partial = f"{name}.partial"
        if partial in file:
            del file[partial]
        dataset = file.create_dataset(
            partial, shape=shape, dtype=volume.dtype, chunks=chunks, compression="gzip" if chunks else None
        )
        try:
            for box in turned.slabs():
                dataset[box] = turned.read_box(box)
            size, origin = turned.space.size_in("nanometer"), turned.space.origin_in("nanometer")
            if size is not None:
                dataset.attrs["resolution"] = size
            if origin is not None:
                dataset.attrs["offset"] = origin
        except BaseException:
            del file[partial]
            raise
        if name in file:
            del file[name]
        file.move(partial, name)
