"""Open precomputed volumes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore

from .._base import zarr_facts
from ..codecs.create import create_array
from ..errors import CrackleWarning, FormatError
from ..files.label_names import LabelNames
from ..files.space import Space
from ..files.volumes import UnusableError
from ..stored.writing import read_objects
from . import encodings
from .info import Info, Scale, parse
from .properties import parse_names
from .store import ScaleStore

SCHEME = "precomputed://"
INFO = "info"
AXES = ("z", "y", "x")


def open_precomputed(
    place: Any, *, scale: str | int | None = None, storage_options: dict[str, Any] | None = None
) -> zarr.Array[Any]:
    """Open one scale of a precomputed segmentation as a Zarr array, for reading.

    All functions on stored arrays take the array. If its chunks are Crackle streams, they read label tables
    and ranges of slices, as of any array of Crackle; other chunks are decoded.

    Args:
        place: a path, or a URL of http, https, s3, gs or file, with ``precomputed://`` in front of it or not;
            or a store of Zarr.
        scale: the key of the scale, such as "16_16_40", or its number. None: the finest.
        storage_options: for fsspec, which opens URLs: for example ``{"anon": True}``.

    Returns:
        The array, with the axes z, y, x. Several channels are an axis before them. The attributes
        ``voxel_size``, ``voxel_unit`` and ``voxel_origin`` have the resolution and the voxel_offset times the
        resolution; ``label_names`` has the names in the segment properties. Chunks that do not exist have the
        label 0.

    Raises:
        ValueError: the volume is no segmentation, has no such scale, or has chunks of an unknown encoding.
        FileNotFoundError: there is no volume.
        FormatError: its ``info`` file is damaged.
        ImportError: the encoding or the URL needs a package that is not installed.
        StoreError: the store failed.
    """
    store, name = store_at(place, storage_options)
    info = read_info(store, name)
    return array_of(store, name, info, info.scale(scale, name), names=_names(store, info, name))


def array_of(
    store: Store,
    name: str,
    info: Info,
    scale: Scale,
    *,
    read_only: bool = True,
    crackle: Mapping[str, Any] | None = None,
    names: LabelNames | None = None,
) -> zarr.Array[Any]:
    """A scale as an array, with options of Crackle for streams that are written, and names of labels."""
    encodings.check(info, scale, name)
    several = info.channels > 1
    chain: dict[str, Any] = {"compressors": None, "filters": None}
    make: Callable[..., zarr.Array[Any]] = zarr.create_array
    if scale.encoding == "crackle":
        chain = dict(crackle or {})
        make = create_array
    array = make(
        MemoryStore(),
        shape=(*((info.channels,) * several), *scale.size[::-1]),
        chunks=(*((info.channels,) * several), *scale.chunk[::-1]),
        dtype=info.dtype,
        fill_value=0,
        dimension_names=(*(("c",) * several), *AXES),
        attributes=_space(scale, several).attributes() | (names or LabelNames()).attributes(),
        **chain,
    )
    metadata = {key: value.to_bytes() for key, value in zarr_facts.metadata_objects(array).items()}
    return zarr_facts.array_in(array, ScaleStore(store, info, scale, name, metadata, read_only=read_only))


def _names(store: Store, info: Info, name: str) -> LabelNames:
    """The names of labels in the segment properties of a volume."""
    if info.properties is None:
        return LabelNames()
    (raw,) = read_objects(store, [f"{info.properties}/{INFO}"])
    if raw is None:
        return LabelNames()
    try:
        return parse_names(raw, name)
    except FormatError as error:  # the voxels are sound
        warnings.warn(CrackleWarning(f"names of labels are left out: {error}"), stacklevel=3)
        return LabelNames()


def _space(scale: Scale, several_channels: bool) -> Space:
    """The position of the voxels in the array's axes; a channel has the length 1."""
    space = scale.space.transposed()
    if not several_channels:
        return space
    size, origin = space.voxel_size, space.origin
    return Space(
        None if size is None else (1.0, *size),
        space.unit,
        None if origin is None else (0.0, *origin),
    )


def read_info(store: Store, name: str) -> Info:
    """The content of a volume's info file.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is damaged.
        UnusableError: it is not that of a segmentation.
    """
    (raw,) = read_objects(store, [INFO])
    if raw is None:
        raise FileNotFoundError(f"{name}: there is no precomputed volume: it has no file 'info'")
    return parse(raw, name)


def is_precomputed(place: object) -> bool:
    """Whether a place is given as a precomputed volume."""
    return isinstance(place, str) and place.startswith(SCHEME)


def is_scale(array: object) -> bool:
    """Whether an array is a scale of a precomputed volume."""
    return isinstance(array, zarr.Array) and isinstance(array.store_path.store, ScaleStore)


def store_at(
    place: Any, storage_options: dict[str, Any] | None = None, *, read_only: bool = True
) -> tuple[Store, str]:
    """The store of a volume, and the volume's name in messages.

    Raises:
        ImportError: a URL needs a package that is not installed.
        UnusableError: there are options for a path.
    """
    if isinstance(place, Store):
        return place, f"{SCHEME}{place}"
    path = os.fspath(place).removeprefix(SCHEME).rstrip("/")
    if not path:
        raise UnusableError(f"{place}: name a folder or a URL behind {SCHEME}")
    name = f"{SCHEME}{path}"
    path = path.removeprefix("file://")
    if "://" not in path:
        if storage_options:
            raise UnusableError(f"{name}: storage options are for URLs, and this is a path")
        if read_only and not Path(path).is_dir():
            raise FileNotFoundError(f"{name}: there is no folder {path}")
        return LocalStore(path, read_only=read_only), name
    if path.startswith("gs://") and read_only and not storage_options:
        # Neuroglancer's alias; public data need no package for Google's storage.
        path = "https://storage.googleapis.com/" + path.removeprefix("gs://")
    try:
        return FsspecStore.from_url(path, storage_options=storage_options or None, read_only=read_only), name
    except (ImportError, ValueError) as error:
        if isinstance(error, ValueError) and "rotocol" not in str(error):
            raise UnusableError(f"{name} cannot be opened: {error}") from error
        raise ImportError(
            f"{name} cannot be opened: {error} (for URLs of http and s3: pip install 'crackle-zarr[remote]')"
        ) from error
