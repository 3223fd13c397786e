"""The ``info`` file of a volume: its type of labels and its scales."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FormatError
from ..files.space import Space
from ..files.volumes import UnusableError
from . import sharding
from .sharding import Sharding

# The encodings that are read and written; others lose labels or are not Neuroglancer's.
ENCODINGS = ("raw", "compressed_segmentation", "crackle")

_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


@dataclass(frozen=True)
class Scale:
    """One resolution of a volume. All triples are along x, y and z.

    Attributes:
        key: the folder of its chunks, relative to the volume.
        size: in voxels.
        resolution: the edges of a voxel in nanometers.
        offset: the position of the first voxel, in voxels.
        chunk: the shape of a chunk.
        encoding: of the chunks.
        block: of a compressed segmentation, the shape of a block.
        sharding: None if every chunk is a file.
    """

    key: str
    size: tuple[int, int, int]
    resolution: tuple[float, float, float]
    offset: tuple[int, int, int]
    chunk: tuple[int, int, int]
    encoding: str
    block: tuple[int, int, int] = (8, 8, 8)
    sharding: Sharding | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along x, y and z."""
        return tuple(-(-length // part) for length, part in zip(self.size, self.chunk, strict=True))

    @property
    def space(self) -> Space:
        """The position of the voxels along x, y and z; the origin is that of the first voxel's index."""
        origin = tuple(
            float(f"{place * edge:.12g}") for place, edge in zip(self.offset, self.resolution, strict=True)
        )
        return Space(self.resolution, "nanometer", origin if any(self.offset) else None)

    def begin(self, cell: Sequence[int]) -> tuple[int, ...]:
        """The first voxel of a chunk along x, y and z, without the offset."""
        return tuple(index * part for index, part in zip(cell, self.chunk, strict=True))

    def shape(self, cell: Sequence[int]) -> tuple[int, ...]:
        """The shape of a chunk, which is cut at the far edges of the volume."""
        begins = self.begin(cell)
        return tuple(
            min(part, length - begin)
            for part, length, begin in zip(self.chunk, self.size, begins, strict=True)
        )

    def name(self, cell: Sequence[int]) -> str:
        """The name of a chunk's file."""
        ranges = zip(self.begin(cell), self.shape(cell), self.offset, strict=True)
        return "_".join(f"{place + begin}-{place + begin + length}" for begin, length, place in ranges)

    def as_json(self) -> dict[str, Any]:
        """The entry in the info file."""
        entry: dict[str, Any] = {
            "key": self.key,
            "size": list(self.size),
            "resolution": [int(edge) if edge == int(edge) else edge for edge in self.resolution],
            "voxel_offset": list(self.offset),
            "chunk_sizes": [list(self.chunk)],
            "encoding": self.encoding,
        }
        if self.encoding == "compressed_segmentation":
            entry["compressed_segmentation_block_size"] = list(self.block)
        return entry


@dataclass(frozen=True)
class Info:
    """A volume.

    Attributes:
        dtype: of the labels.
        channels: how many there are.
        scales: the finest first.
        properties: the folder of the segment properties; None if there are none.
    """

    dtype: np.dtype[Any]
    channels: int
    scales: tuple[Scale, ...]
    properties: str | None = None

    def scale(self, wanted: str | int | None, place: str) -> Scale:
        """A scale by its key or number; None: the finest.

        Raises:
            UnusableError: there is none.
        """
        if wanted is None:
            return self.scales[0]
        found = [scale for scale in self.scales if scale.key == str(wanted)]
        if not found and str(wanted).lstrip("-").isdecimal() and 0 <= int(wanted) < len(self.scales):
            found = [self.scales[int(wanted)]]
        if not found:
            keys = ", ".join(scale.key for scale in self.scales)
            raise UnusableError(
                f"{place}: there is no scale {wanted}; there are {keys}, or 0 to {len(self.scales) - 1}"
            )
        return found[0]

    def as_json(self) -> dict[str, Any]:
        """The content of the info file."""
        return {
            "@type": "neuroglancer_multiscale_volume",
            "type": "segmentation",
            "data_type": self.dtype.name,
            "num_channels": self.channels,
            "scales": [scale.as_json() for scale in self.scales],
        }


def parse(raw: bytes, place: str) -> Info:
    """The content of an info file.

    Raises:
        FormatError: it is damaged.
        UnusableError: it is not a segmentation.
    """
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise FormatError(f"{place}: its info file is damaged: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{place}: its info file is damaged: it is no JSON object")
    kind = value.get("type", value.get("@type"))
    if value.get("@type", "neuroglancer_multiscale_volume") != "neuroglancer_multiscale_volume":
        kind = value["@type"]
    if kind != "segmentation":
        raise UnusableError(
            f"{place}: the type in its info file is {kind!r}; labels are read from volumes of the type "
            f"'segmentation'"
        )
    dtype = str(value.get("data_type")).lower()
    if dtype not in _DTYPES:
        raise UnusableError(f"{place}: labels are integers, and its data_type is {value.get('data_type')!r}")
    try:
        channels = _whole([value.get("num_channels", 1)], 1, 1, "num_channels")[0]
        scales = value.get("scales")
        if not isinstance(scales, list) or not scales:
            raise ValueError('"scales" is a list of one or more')
        properties = value.get("segment_properties")
        folder = properties.strip("/") if isinstance(properties, str) else None
        return Info(np.dtype(dtype), channels, tuple(map(_scale, scales)), folder or None)
    except ValueError as error:
        raise FormatError(f"{place}: its info file is damaged: {error}") from error


def _scale(value: Any) -> Scale:
    if not isinstance(value, dict):
        raise ValueError(f"a scale is a JSON object, not {value!r}")
    key = value.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError(f'"key" of a scale is a text, not {key!r}')
    resolution = value.get("resolution")
    if (
        not isinstance(resolution, list)
        or len(resolution) != 3
        or not all(isinstance(edge, int | float) and math.isfinite(edge) and edge > 0 for edge in resolution)
    ):
        raise ValueError(f'"resolution" of {key} is three positive numbers, not {resolution!r}')
    chunks = value.get("chunk_sizes")
    if not isinstance(chunks, list) or not chunks:
        raise ValueError(f'"chunk_sizes" of {key} is a list of one or more, not {chunks!r}')
    encoding = value.get("encoding")
    if not isinstance(encoding, str):
        raise ValueError(f'"encoding" of {key} is a text, not {encoding!r}')
    block = value.get("compressed_segmentation_block_size", [8, 8, 8])
    spec = value.get("sharding")
    scale = Scale(
        key,
        _triple(value.get("size"), 0, f"size of {key}"),
        (float(resolution[0]), float(resolution[1]), float(resolution[2])),
        _triple(value.get("voxel_offset", [0, 0, 0]), None, f"voxel_offset of {key}"),
        _triple(chunks[0], 1, f"chunk_sizes of {key}"),
        encoding.lower(),
        _triple(block, 1, f"compressed_segmentation_block_size of {key}"),
        None if spec is None else sharding.parse(spec),
    )
    if scale.sharding is not None and all(scale.size):
        sharding.check_numbers(scale.grid)
    return scale


def _triple(value: Any, least: int | None, what: str) -> tuple[int, int, int]:
    x, y, z = _whole(value, 3, least, what)
    return x, y, z


def _whole(value: Any, count: int, least: int | None, what: str) -> list[int]:
    """Whole numbers; files have them as 64 or 64.0."""
    sound = isinstance(value, list) and len(value) == count
    if sound:
        sound = all(
            isinstance(one, int | float)
            and not isinstance(one, bool)
            and math.isfinite(one)
            and one == int(one)
            and (least is None or one >= least)
            and abs(one) < 2**53
            for one in value
        )
    if not sound:
        limit = "" if least is None else f" of {least} or more"
        raise ValueError(f'"{what}" is {count} whole numbers{limit}, not {value!r}')
    return [int(one) for one in value]
