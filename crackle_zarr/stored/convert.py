"""Convert arrays of labels between codecs, formats and chunk shapes.

A conversion goes through the chunks of the destination, and reads each back to compare it with its source. A
marker in the destination says that it is unfinished, and names the source. The same conversion, run again,
continues: it keeps the chunks whose content is right already, so the store alone remembers the progress.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numcodecs  # type: ignore[import-untyped]
import numpy as np
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

from .._base import zarr_facts
from .._base.options import MarkovOrder
from .._base.passwords import without_password
from ..codecs.chunk import label_dtype
from ..codecs.create import create_array
from ..errors import CrackleError, FormatError, StoreError, VerificationError
from . import lazy
from .claims import Claim, Held, claimed, place_text
from .copying import can_copy, copy_streams
from .editing.applying import check_processes
from .engine import Options, run
from .layout import Box, box_text, common, layout_of, slices_of, within
from .translating_store import translating, translating_array, translating_group
from .unfinished import begin, clear_metadata, end, exists, marker
from .writing import read_objects, translated_errors, write_objects

To = Literal["crackle", "zstd", "blosc", "gzip", "none"]

# The bytes of voxels that one task holds, unless one chunk or shard is larger.
_TASK_NBYTES = 128 * 2**20
# A message about several objects names this many keys.
_KEYS = 8


@dataclass(frozen=True)
class ConvertReport:
    """The outcome of a conversion.

    Attributes:
        arrays: how many arrays were converted.
        chunks: how many chunks the new arrays have, those that are all fill value and not stored included.
        bytes_before: bytes of the source in its store; 0 where the store does not tell.
        bytes_after: bytes of the destination in its store; 0 where the store does not tell.
    """

    arrays: int
    chunks: int
    bytes_before: int
    bytes_after: int

    def __add__(self, other: ConvertReport) -> ConvertReport:
        """The sum of two reports."""
        return ConvertReport(
            self.arrays + other.arrays,
            self.chunks + other.chunks,
            self.bytes_before + other.bytes_before,
            self.bytes_after + other.bytes_after,
        )


@dataclass(frozen=True, kw_only=True)
class Target:
    """How the destination is to be stored; None is as in the source.

    With ``copy``, Crackle streams of the source are copied as they are where the chunks agree, whatever
    their options.
    """

    to: To = "crackle"
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    zarr_format: Literal[2, 3] | None = None
    markov_model_order: MarkovOrder = 0
    allow_pins: int = 0
    copy: bool = False


def convert(
    src: Any, store: Any, path: str, target: Target, *, verify: bool, overwrite: bool, options: Options
) -> ConvertReport:
    """Convert an array, or all arrays of a group: see ``crackle_zarr.convert``."""
    store = translating(store)
    with claimed(store, path, "conversion") as claim:
        if isinstance(src, zarr.Array):
            src = translating_array(src)
            return _convert_array(src, store, path, target, verify, overwrite, options, claim)
        return _convert_group(translating_group(src), store, path, target, verify, overwrite, options, claim)


def _convert_group(
    src: zarr.Group,
    store: Any,
    path: str,
    target: Target,
    verify: bool,
    overwrite: bool,
    options: Options,
    claim: Claim,
) -> ConvertReport:
    refuse_overlap(src, store, path, place_text(store, path))
    members = _members(src)
    for name, member in members.items():
        if isinstance(member, zarr.Array):
            try:
                label_dtype(member.dtype)
            except TypeError as error:
                raise TypeError(f"{name} in {src.store_path}: {error}") from None
    conversion = {"source": without_password(str(src.store_path)), "target": repr(target)}
    continues = begin(store, path, conversion, overwrite, claim)
    zarr_format = target.zarr_format or zarr_facts.format_of(src)
    report = ConvertReport(0, 0, 0, 0)
    for name, member in [("", src), *members.items()]:
        where = "/".join(part for part in (path, name) if part)
        if isinstance(member, zarr.Group):
            claim.on(store, path).check()
            _copy_group(member, store, where, zarr_format)
        else:
            report += _convert_array(member, store, where, target, verify, False, options, claim, continues)
    if verify and {name: zarr_facts.metadata_of(one) for name, one in _members(src).items()} != {
        name: zarr_facts.metadata_of(one) for name, one in members.items()
    }:
        raise VerificationError(
            f"{src.store_path}: members of the group have changed since they were listed: convert it again"
        )
    end(store, path, claim)
    return report


def _members(group: zarr.Group) -> dict[str, Any]:
    """All arrays and groups below a group."""
    with translated_errors(group.store_path.store, group.path or "the group", "listed in"):
        return dict(group.members(max_depth=None))
    raise AssertionError("errors leave the block above")


def _copy_group(src: zarr.Group, store: Any, path: str, zarr_format: Literal[2, 3]) -> None:
    """A group without its members."""
    for _ in range(2):
        try:
            group = zarr.open_group(store, path=path, mode="a", zarr_format=zarr_format)
            break
        except FormatError:  # its metadata are half written
            clear_metadata(store, path)
    group.attrs.update(src.attrs.asdict())


def _convert_array(
    src: zarr.Array[Any],
    store: Any,
    path: str,
    target: Target,
    verify: bool,
    overwrite: bool,
    options: Options,
    claim: Claim,
    continues: bool = False,
) -> ConvertReport:
    label_dtype(src.dtype)
    dst, resumed, marked = _opened(src, store, path, target, overwrite, continues, claim)
    copied = target.copy and can_copy(src, dst)
    mine = claim.on(store, path if marked else claim.path)
    copy_voxels(src, dst, verify=verify, resumed=resumed, options=options, copied=copied, held=mine)
    if marked:
        end(store, path, claim)
    return ConvertReport(1, layout_of(dst).num_chunks, stored_nbytes(src), stored_nbytes(dst))


def copy_voxels(
    src: zarr.Array[Any],
    dst: zarr.Array[Any],
    *,
    verify: bool,
    resumed: bool,
    options: Options,
    copied: bool = False,
    held: Held | None = None,
) -> None:
    """Copy all voxels to an array of the same shape, block by block.

    Args:
        src: the source.
        dst: the destination.
        verify: read every block back and compare it.
        resumed: blocks may be there already, or half written.
        options: how.
        copied: copy streams as they are; see :func:`~crackle_zarr.stored.copying.can_copy`.
        held: asked before each write whether the destination is still this call's.
    """
    check_processes(dst.store_path.store, options, dst)
    tasks = (Convert(src, dst, box, verify, resumed, copied, held) for box in boxes_of(src, dst))
    run(tasks, options, total=num_blocks(src, dst), unit="block", merge=lambda a, b: a + b)


def stored_nbytes(array: zarr.Array[Any]) -> int:
    """Bytes of an array in its store; 0 where the store does not tell."""
    try:
        return int(array.nbytes_stored())
    except Exception:  # a store that cannot list, such as a web server
        return 0


def _opened(
    src: zarr.Array[Any],
    store: Any,
    path: str,
    target: Target,
    overwrite: bool,
    in_unfinished_group: bool,
    claim: Claim,
) -> tuple[zarr.Array[Any], bool, bool]:
    """The destination, whether parts of it may exist already, and whether it has a marker."""
    wanted = _wanted(src, target)
    conversion = {
        "source": without_password(str(src.store_path)),
        **{name: repr(wanted[name]) for name in ("shape", "dtype", "chunks", "shards", "zarr_format")},
        "to": target.to,
        "options": [target.markov_model_order, target.allow_pins],
        **({"copy": True} if target.copy else {}),
    }
    refuse_overlap(src, store, path, place_text(store, path))
    # Let Zarr refuse its arguments before anything is replaced.
    _created(src, MemoryStore(), "", target, wanted)
    if in_unfinished_group and exists(store, path) and read_objects(store, [marker(path)]) == [None]:
        # The array was finished, and the group was not.
        return _with_attributes(zarr.open_array(store, path=path, mode="r+"), wanted), True, False
    if begin(store, path, conversion, overwrite, claim):
        try:
            dst = zarr.open_array(store, path=path, mode="r+")
        except (FormatError, FileNotFoundError):  # its metadata are half written
            clear_metadata(store, path)
            dst = _created(src, store, path, target, wanted)
        return _with_attributes(dst, wanted), True, True
    return _created(src, store, path, target, wanted), False, True


def _with_attributes(array: zarr.Array[Any], wanted: dict[str, Any]) -> zarr.Array[Any]:
    """An existing array, with its attributes: format 2 stores them in a separate file."""
    if array.attrs.asdict() != wanted["attributes"]:
        array.attrs.put(wanted["attributes"])
    return array


def refuse_overlap(src: zarr.Array[Any] | zarr.Group, store: Any, path: str, place: str) -> None:
    """Raise ValueError if source and destination are one place, or one lies within the other."""
    ours, theirs = _parts_of(store, path), _parts_of(src.store_path.store, src.store_path.path)
    if ours[0] == theirs[0] and all(a == b for a, b in zip(ours[1], theirs[1], strict=False)):
        raise ValueError(
            f"{place} is the source, lies in the source, or contains it: give another destination"
        )


def _parts_of(store: Any, path: str) -> tuple[Any, tuple[str, ...]]:
    """A place as a store and the names of the folders that lead to it."""
    names = tuple(part for part in path.split("/") if part)
    store = zarr_facts.unwrapped(store)
    if isinstance(store, LocalStore):
        return "disk", (*Path(store.root).resolve().parts, *names)
    return zarr_facts.memory_of(store) or store, names


def _wanted(src: zarr.Array[Any], target: Target) -> dict[str, Any]:
    zarr_format = target.zarr_format or zarr_facts.format_of(src)
    # Chunks of different lengths, which is experimental in Zarr, become chunks of the longest.
    chunks = target.chunks or zarr_facts.chunk_shape(src)
    shards = target.shards
    if shards is None and target.chunks is None and zarr_format == 3:
        shards = zarr_facts.shard_shape(src)
    dtype = src.dtype if zarr_format == 2 else src.dtype.newbyteorder("=")
    wanted: dict[str, Any] = {
        "shape": tuple(src.shape),
        "dtype": dtype,
        "chunks": chunks,
        "shards": shards,
        "zarr_format": zarr_format,
        "fill_value": src.fill_value,
        "attributes": src.attrs.asdict(),
    }
    if zarr_format == 3:
        wanted["dimension_names"] = zarr_facts.dimension_names(src)
    else:
        separator = zarr_facts.separator(src)
        if separator is not None:
            wanted["chunk_key_encoding"] = {"name": "v2", "separator": separator}
    return wanted


_V3: dict[str, Any] = {
    "zstd": lambda: (ZstdCodec(level=3),),
    "blosc": lambda: (BloscCodec(cname="zstd", clevel=5),),
    "gzip": lambda: (GzipCodec(level=5),),
    "none": lambda: None,
}
_V2: dict[str, Any] = {
    "zstd": lambda: numcodecs.Zstd(level=3),
    "blosc": lambda: numcodecs.Blosc(cname="zstd", clevel=5),
    "gzip": lambda: numcodecs.GZip(level=5),
    "none": lambda: None,
}


def _created(
    src: zarr.Array[Any], store: Any, path: str, target: Target, wanted: dict[str, Any]
) -> zarr.Array[Any]:
    if target.to == "crackle":
        return create_array(
            store,
            name=path or None,
            markov_model_order=target.markov_model_order,
            allow_pins=target.allow_pins,
            **wanted,
        )
    codecs = _V3 if wanted["zarr_format"] == 3 else _V2
    if target.to not in codecs:
        raise ValueError(f"to is crackle, {', '.join(codecs)}, not {target.to!r}")
    return zarr.create_array(
        store, name=path or None, compressors=codecs[target.to](), filters=None, **wanted
    )


# ---------------------------------------------------------------------------------------
# Blocks


def _ranges(src: zarr.Array[Any], dst: zarr.Array[Any]) -> list[range]:
    """The blocks along each axis: whole objects of the destination that cover one of the source."""
    units = zarr_facts.shard_shape(dst) or zarr_facts.chunk_shape(dst)
    others = zarr_facts.shard_shape(src) or zarr_facts.chunk_shape(src)
    steps = [
        unit * max(1, -(-min(other, length) // unit))
        for unit, other, length in zip(units, others, src.shape, strict=True)
    ]
    if math.prod(steps) * src.dtype.itemsize > _TASK_NBYTES:
        steps = list(units)
    return [range(0, length, step) for length, step in zip(src.shape, steps, strict=True)]


def num_blocks(src: zarr.Array[Any], dst: zarr.Array[Any]) -> int:
    """How many blocks a conversion goes through."""
    return math.prod(map(len, _ranges(src, dst)))


def boxes_of(src: zarr.Array[Any], dst: zarr.Array[Any]) -> Iterator[Box]:
    """The blocks of a conversion, which cover the array."""
    ranges = _ranges(src, dst)
    everything = tuple((0, length) for length in src.shape)
    for index in np.ndindex(*(len(one) for one in ranges)):
        box = tuple((one[i], one[i] + one.step) for one, i in zip(ranges, index, strict=True))
        yield common(box, everything)


@dataclass(frozen=True)
class Convert:
    """Write a block, read it back, and compare."""

    src: zarr.Array[Any]
    dst: zarr.Array[Any]
    box: Box
    verify: bool
    resumed: bool
    copied: bool = False
    held: Held | None = None

    @property
    def weight(self) -> int:
        """Blocks."""
        return 1

    def __call__(self) -> int:
        """Do it."""
        if self.copied:
            self._check()
            copy_streams(layout_of(self.src), layout_of(self.dst), self.box, self.verify)
            return 1
        voxels = self.voxels(self.box)
        if self.verify:
            self._refuse_hidden(voxels)
        if self.resumed and self._is_there(voxels):
            return 1
        self._check()
        self._write(voxels)
        if self.verify and not np.array_equal(_read(self.dst, self.box), voxels):
            raise VerificationError(
                f"{_name(self.dst, self.box)}: the voxels read back differ from those written"
            )
        return 1

    def _check(self) -> None:
        if self.held is not None:
            self.held.check()

    def _write(self, voxels: Any) -> None:
        if self.resumed:
            # Zarr reads an object before it writes a part of it, and this one may be half written.
            write_objects(self.dst.store_path.store, dict.fromkeys(_keys(self.dst, self.box)))
        try:
            self.dst[slices_of(self.box)] = voxels
        except (CrackleError, MemoryError):
            raise
        except Exception as error:
            raise StoreError(
                f"{_name(self.dst, self.box)} cannot be written: {type(error).__name__}: {error}"
            ) from error

    def voxels(self, box: Box) -> Any:
        """Voxels of the source."""
        return voxels_of(self.src, box)

    def _refuse_hidden(self, voxels: Any) -> None:
        """Raise StoreError if chunks that seemed to be absent exist.

        A store may report a chunk as missing because a request failed. So cells that are all fill value are
        read again, which costs next to nothing if they are really absent.
        """
        layout = layout_of(self.src)
        for coords in layout.coords_in(self.box):
            cell = common(layout.chunk_box(coords), self.box)
            part = voxels[within(cell, self.box)]
            if (part == layout.fill).all() and not np.array_equal(self.voxels(cell), part):
                raise StoreError(
                    f"{_name(self.src, cell)} had only the fill value at first, and labels a moment later: "
                    f"the store had reported a chunk as missing"
                )

    def _is_there(self, voxels: Any) -> bool:
        try:
            return bool(np.array_equal(np.asarray(self.dst[slices_of(self.box)]), voxels))
        except Exception:  # half written: it is written again
            return False


def voxels_of(array: zarr.Array[Any], box: Box) -> Any:
    """Voxels of a stored array; errors name the objects that hold them."""
    # Zarr reads a lost chunk of a shard as the fill value; this package's own readers raise an error.
    layout = layout_of(array)
    return _read(array, box) if layout.chain is None else lazy.read(layout, box, Options(parallel=1))


def _read(array: zarr.Array[Any], box: Box) -> Any:
    """Voxels, as Zarr reads them."""
    try:
        return np.asarray(array[slices_of(box)])
    except FormatError as error:
        notes = " ".join(["", *getattr(error, "__notes__", ())])  # Zarr's codec notes which chunk it was
        raise FormatError(f"{_name(array, box)}: {error}.{notes}", error.section, error.slice) from error
    except (CrackleError, MemoryError):
        raise
    except Exception as error:
        raise StoreError(f"{_name(array, box)} cannot be read: {type(error).__name__}: {error}") from error


def _name(array: zarr.Array[Any], box: Box) -> str:
    """A name for voxels of an array, with the objects that hold them."""
    layout = layout_of(array)
    keys = [layout.object_name(key) for key in _keys(array, box)]
    more = f" and {len(keys) - _KEYS:,} more" if len(keys) > _KEYS else ""
    return f"{array.store_path} {box_text(box)} ({', '.join(keys[:_KEYS])}{more})"


def _keys(array: zarr.Array[Any], box: Box) -> list[str]:
    """The keys of the objects that hold voxels."""
    layout = layout_of(array)
    return list(dict.fromkeys(layout.path(layout.key(coords)) for coords in layout.coords_in(box)))
