"""NRRD: axes (x, y, z), x fastest; the header has the directions, origin and units of space."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..space import UNITS, Space, unit_of
from ..volumes import UnusableError
from .common import Volume, bool_as_integers, in_file, in_memory, positive
from .segments import names_of, with_segments

# NRRD's axes of space in NIfTI's: right, anterior, superior.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
# Header fields that follow from the voxels, or describe their layout in the source.
_NRRD_OF_DATA = {"type", "dimension", "sizes", "endian", "encoding", "datafile", "data file"}
_NRRD_OF_DATA |= {"lineskip", "line skip", "byteskip", "byte skip"}


_UNIT = UNITS["millimeter"]


def read(nrrd: Any, path: Path, content: Any, outer: str | None, log: list[logging.LogRecord]) -> Volume:
    """The volume in a file that is open at its beginning."""
    header = nrrd.read_header(content)
    if "data file" in header or "datafile" in header:
        raise UnusableError(
            f"{path}: a NRRD header whose voxels lie in another file: join them in one .nrrd first"
        )
    if header["type"] == "block":
        raise UnusableError(f"{path}: labels are numbers, not blocks of bytes")
    mapped = None if outer is not None else _mapped(path, header, content)
    names = _names(header)
    kept = {key: value for key, value in header.items() if key not in _NRRD_OF_DATA}
    domain = [axis for axis, name in enumerate(names) if name in ("x", "y", "z")]
    # Axes of colours and layers come first in the file, and last in a volume.
    order = domain + [axis for axis in range(len(names)) if axis not in domain]
    straight = order == list(range(len(names)))
    fields: dict[str, Any] = {
        "space": _space(header, domain).padded(len(names)).of_axes(_back(order)),
        "label_names": names_of(header, path),
        "header": kept if straight else None,
        "axes": tuple(names),
    }
    if mapped is not None:
        volume = in_file(mapped, **fields)
    else:
        volume = in_memory(nrrd.read_data(header, content, index_order="F"), **fields)
    return volume if straight else volume.of_axes(order)


def _back(order: list[int]) -> list[int]:
    """The permutation that undoes another."""
    return [order.index(axis) for axis in range(len(order))]


# Kinds of axes that are not of space, and their names in a volume.
_KINDS = {
    "list": "layer",
    "vector": "layer",
    "time": "t",
    "rgb-color": "s",
    "rgba-color": "s",
    "3-color": "s",
    "4-color": "s",
}


def _names(header: Any) -> list[str]:
    """The names of the axes: x, y, z for those of space, and others by their kinds."""
    ndim = len(header["sizes"])
    kinds = [str(kind).lower() for kind in header.get("kinds") or ()]
    kinds = kinds if len(kinds) == ndim else ["domain"] * ndim
    if ndim <= 3 and not any(kind.endswith("-color") for kind in kinds):
        return list("xyz"[:ndim])  # kinds are often wrong, and a plane of layers is unusual
    free = iter("xyzct")
    names: list[str] = []
    for kind in kinds:
        name = _KINDS.get(kind)
        names.append(name if name is not None and name not in names else next(free, f"axis{len(names)}"))
    return names


_TYPES = {
    **dict.fromkeys(["signed char", "int8", "int8_t"], "i1"),
    **dict.fromkeys(["uchar", "unsigned char", "uint8", "uint8_t"], "u1"),
    **dict.fromkeys(["short", "short int", "signed short", "signed short int", "int16", "int16_t"], "i2"),
    **dict.fromkeys(["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"], "u2"),
    **dict.fromkeys(["int", "signed int", "int32", "int32_t"], "i4"),
    **dict.fromkeys(["uint", "unsigned int", "uint32", "uint32_t"], "u4"),
    **dict.fromkeys(["longlong", "long long", "long long int", "signed long long", "int64", "int64_t"], "i8"),
    **dict.fromkeys(
        ["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"], "u8"
    ),
    "float": "f4",
    "double": "f8",
}


def _mapped(path: Path, header: Any, content: Any) -> npt.NDArray[Any] | None:
    """The voxels of a raw file, mapped into memory; None if the library has to read them."""
    skips = any(int(header.get(key, 0)) for key in ("lineskip", "line skip", "byteskip", "byte skip"))
    kind = _TYPES.get(header["type"])
    if header["encoding"] != "raw" or skips or kind is None:
        return None
    dtype = np.dtype(kind).newbyteorder(">" if header.get("endian") == "big" else "<")
    shape, offset = tuple(map(int, header["sizes"])), content.tell()
    if math.prod(shape) == 0 or path.stat().st_size < offset + math.prod(shape) * dtype.itemsize:
        return None  # the library's error says what is wrong
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F")


def _space(header: Any, domain: list[int]) -> Space:
    ndim = len(header["sizes"])
    directions = header.get("space directions")
    if directions is None:
        units = [unit_of(unit or "mm") for unit in header.get("units") or ["mm"] * ndim]
        if len(units) != ndim or "spacings" not in header:
            return Space()
        units = [units[axis] for axis in domain]
        if None in units:
            return Space()
        edges = zip(header["spacings"][domain].tolist(), units, strict=True)
        unit = units[0] if len(set(units)) == 1 else "millimeter"
        size = positive([edge * UNITS[str(one)] / UNITS[str(unit)] for edge, one in edges])
        return Space(size, unit)
    units = header.get("space units") or ["mm"]
    unit = unit_of(units[0] or "mm")
    directions = [directions[axis] for axis in domain]
    if unit is None or len(set(units)) > 1 or any(row is None for row in directions):
        return Space()
    columns = np.array(directions, dtype=np.float64).T
    size = positive(np.linalg.norm(columns, axis=0).tolist())
    if size is None or columns.shape != (3, 3):
        return Space(size, unit if size else None)
    place = np.asarray(header.get("space origin", (0, 0, 0)), dtype=np.float64)
    is_straight = np.allclose(columns, np.diag(size), atol=1e-6 * max(size))
    origin = tuple(place.tolist()) if is_straight and "space origin" in header else None
    signs = _SPACES.get(str(header.get("space", "")).lower())
    if signs is None:
        return Space(size, unit, origin)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, place
    affine[:3] *= np.array(signs)[:, None] * (UNITS[unit] / _UNIT)
    return Space(size, unit, origin, affine if np.isfinite(affine).all() else None)


def write(nrrd: Any, file: IO[bytes], volume: Volume) -> None:
    """Write a file, with the source's header if the source is NRRD too."""
    array, space = bool_as_integers(volume.array), volume.space
    affine, size = space.placed(), space.size_in("millimeter")
    if volume.format == "nrrd" and volume.header is not None:
        header = dict(volume.header)
    elif affine is not None:
        header = {
            "space": "right-anterior-superior",
            "space directions": affine[:3, :3].T,
            "space origin": affine[:3, 3],
            "space units": ["mm"] * 3,
            "kinds": ["domain"] * 3,
        }
    elif size is not None:
        header = {"spacings": list(size), "units": ["mm"] * len(size)}
    else:
        header = {}
    if volume.label_names and volume.label_names != names_of(header, "the header"):
        header = with_segments(header, volume.label_names, volume.shape)
    header["encoding"] = "gzip"
    # Level 9, the library's default, takes several times as long and makes labels hardly smaller.
    nrrd.write(file, array, header, index_order="F", compression_level=6)
