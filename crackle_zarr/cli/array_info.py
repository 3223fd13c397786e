"""``crackle-zarr info`` of a stored array."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import zarr
    from rich.table import Table

from .places import array_at, by, commas, counted, opened, space_fields, space_of, space_rows

# So many lengths of chunks along an axis are shown one by one.
_FEW_LENGTHS = 6


def describe(place: str, options: dict[str, Any]) -> dict[str, Any]:
    """The record of the array at a path or URL, as ``info --json`` prints it."""
    from .._base import zarr_facts
    from ..stored.cuts import cuts_of

    found = opened(place, options)
    arrays = _of_plain_group(found)
    if arrays is not None and len(arrays) != 1:
        return _group_record(place, found, arrays)
    array = array_at(place, options)
    stored = _stored_nbytes(array)
    nbytes = int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize
    fill = array.fill_value
    names = zarr_facts.dimension_names(array)
    chunks, shards = zarr_facts.chunk_lengths(array), zarr_facts.shard_lengths(array)
    return {
        "file": place,
        "kind": "zarr",
        "zarr_format": zarr_facts.format_of(array),
        "array": array.path,
        "nbytes": nbytes,
        "stored_nbytes": stored,
        "ratio": nbytes / stored if stored else None,
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "dimension_names": None if names is None else list(names),
        "chunks": list(chunks),
        "num_chunks": math.prod(map(len, cuts_of(array.shape, chunks))),
        "shards": None if shards is None else list(shards),
        "codecs": _codecs(array),
        **space_fields(space_of(array)),
        **_image(found),
        "unfinished": _unfinished(found, array),
        "fill_value": None if fill is None else str(int(fill)) if array.dtype.kind in "iub" else str(fill),
    }


def _of_plain_group(found: zarr.Array[Any] | zarr.Group) -> list[zarr.Array[Any]] | None:
    """The arrays in a group that is not of OME-Zarr; None for others, and if the store cannot list."""
    import zarr

    from ..ome.metadata import ome_attributes
    from ..stored.sources import arrays_in

    if isinstance(found, zarr.Array) or {"multiscales", "labels"} & set(ome_attributes(found)):
        return None
    return arrays_in(found)


def _group_record(place: str, found: Any, arrays: list[zarr.Array[Any]]) -> dict[str, Any]:
    """The record of a group with several arrays or none."""
    from .._base import zarr_facts

    inside = found.path + "/" if found.path else ""
    return {
        "file": place,
        "kind": "group",
        "zarr_format": zarr_facts.format_of(found),
        "arrays": [
            {
                "path": array.path.removeprefix(inside),
                "shape": list(array.shape),
                "dtype": array.dtype.name,
                "chunks": list(zarr_facts.chunk_lengths(array)),
                "codecs": _codecs(array),
            }
            for array in arrays
        ],
    }


def _lengths(axes: Sequence[int | Sequence[int]]) -> str:
    """The lengths of chunks along each axis, where some are cut unevenly, such as 2+4 x 8."""
    return by(
        one
        if isinstance(one, int)
        else "+".join(map(str, one))
        if len(one) <= _FEW_LENGTHS
        else f"({len(one)} of {min(one)} to {max(one)})"
        for one in axes
    )


def group_tables(record: dict[str, Any]) -> Iterator[Table]:
    """The table for a group: a line for each array."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = f"{record['file']}: Zarr group, format {record['zarr_format']}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE)
    for column in ("array", "shape", "dtype", "chunks", "codecs"):
        table.add_column(column)
    for array in record["arrays"]:
        codecs = [codec for codec in array["codecs"] if not codec.startswith("bytes")]
        table.add_row(
            Text(array["path"]),
            by(array["shape"]),
            array["dtype"],
            _lengths(array["chunks"]),
            Text("; ".join(codecs) or "none"),
        )
    if not record["arrays"]:
        table.add_row("none")
    yield table


def _unfinished(found: zarr.Array[Any] | zarr.Group, array: zarr.Array[Any]) -> list[str]:
    """What was begun at an array, or at any level of an image, and is not finished."""
    from ..errors import CrackleError
    from ..ome import open_multiscale
    from ..stored.layout import layout_of
    from ..stored.told import unfinished_at

    arrays = [array]
    with contextlib.suppress(
        ValueError, AttributeError, TypeError
    ):  # no image, or its metadata are incomplete
        arrays = list(open_multiscale(found).levels) if hasattr(found, "members") else arrays
    texts: dict[str, str] = {}
    try:
        for one in arrays:
            texts |= {left.key: left.text for left in unfinished_at(layout_of(one))}
    except (CrackleError, TypeError) as error:  # an array of floats has no layout
        return [] if isinstance(error, TypeError) else [f"unknown: {error}"]
    return list(texts.values())


def _image(found: zarr.Array[Any] | zarr.Group) -> dict[str, Any]:
    """The levels of an OME-Zarr image, and the names of its label images; nothing for an array."""
    import zarr

    from ..ome import label_images, open_multiscale

    if isinstance(found, zarr.Array):
        return {}
    try:
        image = open_multiscale(found)
    except ValueError:  # incomplete metadata, or a version before 0.4: level 0 is shown
        return {}
    levels = [
        {"path": path, "shape": list(level.shape), "voxel_size": list(space.voxel_size or ())}
        for path, level, space in zip(image.paths, image.levels, image.spaces, strict=True)
    ]
    return {
        "ome_version": image.version,
        "is_labels": image.is_labels,
        "levels": levels,
        "label_images": label_images(found),
    }


def _stored_nbytes(array: zarr.Array[Any]) -> int | None:
    """Bytes of an array in its store; None if the store cannot list."""
    try:
        return int(array.nbytes_stored()) or None
    except Exception:  # each store has its own exception for this
        return None


def _codecs(array: zarr.Array[Any]) -> list[str]:
    """The codecs of an array as text, in the order of encoding."""
    from .._base import zarr_facts

    words = ["axes in reverse order (F)"] if zarr_facts.is_fortran(array) else []
    for codec in zarr_facts.codecs(array):
        # In a sharded array, inner codecs encode the chunks; the record has the shard's shape elsewhere.
        inner = codec.codecs if zarr_facts.codec_json(codec).get("name") == "sharding_indexed" else [codec]
        words += [_codec_text(zarr_facts.codec_json(one)) for one in inner]
    return words


def _codec_text(metadata: dict[str, Any]) -> str:
    """Format a codec and its options; for Crackle, only options that are on."""
    name = str(metadata.get("name") or metadata.get("id"))
    options = {**metadata, **(metadata.get("configuration") or {})}
    for key in ("name", "id", "configuration"):
        options.pop(key, None)
    if name == "crackle":
        markov, pins = options.get("markov_model_order", 0), options.get("allow_pins", 0)
        words = [f"Markov order {markov}"] * bool(markov) + [f"pins {int(pins)}"] * bool(pins)
        return ", ".join(["Crackle", *words])
    if name == "transpose":
        return f"axes transposed to {commas(options['order'])}"
    if name == "bytes":
        return f"bytes, {options['endian']}-endian" if options.get("endian") else "bytes"
    words = [f"{key} {value}" for key, value in options.items() if value is not None]
    return ", ".join([name, *words])


def _image_rows(record: dict[str, Any]) -> dict[str, str]:
    if "levels" not in record:
        return {}
    levels = []
    for level in record["levels"]:
        size = " x ".join(f"{edge:g}" for edge in level["voxel_size"])
        levels.append(f"{level['path']}: {by(level['shape'])}, voxels of {size}")
    what = "label image" if record["is_labels"] else "image"
    return {
        "OME-Zarr": f"{record['ome_version']}, {what} of {counted(len(levels), 'level')}",
        "levels": "\n".join(levels),
        "label images": ", ".join(record["label_images"]),
    }


def info_tables(record: dict[str, Any]) -> Iterator[Table]:
    """The table for an array: its fields."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    axes = record["dimension_names"]
    named = f" ({', '.join(str(name or '-') for name in axes)})" if axes and any(axes) else ""
    raw, stored = record["nbytes"], record["stored_nbytes"]
    rows = {
        "kind": f"Zarr array, format {record['zarr_format']}",
        **_image_rows(record),
        "unfinished": "\n".join(record["unfinished"]),
        "array": record["array"],
        "shape": by(record["shape"]) + named,
        "dtype": record["dtype"],
        "fill value": str(record["fill_value"]),
        "chunks": f"{_lengths(record['chunks'])}, {counted(record['num_chunks'], 'chunk')}",
        "shards": "" if record["shards"] is None else _lengths(record["shards"]),
        "codecs": "; ".join(record["codecs"]) or "none",
        "volume": f"{raw:,} bytes",
        **space_rows(record, record["dimension_names"] or [f"axis {n}" for n in range(len(record["shape"]))]),
        "stored": "unknown: the store cannot list"
        if stored is None
        else f"{stored:,} bytes" + (f", ratio {raw / stored:.1f}" if raw else ""),
    }
    table = Table(title=Text(record["file"]), title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    yield table
