"""Precomputed volumes on the command line: written by ``convert``, described by ``info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import CrackleError
from ..files.volumes import UnusableError
from .places import by, counted, is_precomputed, opening, space_fields

if TYPE_CHECKING:
    from rich.table import Table

    from ..files.label_names import LabelNames
    from ..stored.engine import Progress

ENCODINGS = ("compressed_segmentation", "crackle", "raw")


def write(
    source: Any,
    destination: str,
    *,
    encoding: str,
    chunks: tuple[int, ...] | None,
    crackle: dict[str, Any] | None,
    verify: bool,
    overwrite: bool,
    parallel: int,
    storage_options: dict[str, Any] | None,
    progress: Progress,
    from_file: bool,
    names: LabelNames | None,
) -> tuple[str, str]:
    """Write an array or a group; returns what was done, and notes on the position of voxels, as text.

    The size of an array that shows a file is that of its voxels.

    Raises:
        UnusableError: the source or the options do not suit a precomputed volume, or the place has other
            contents.
    """
    from ..precomputed.reading import store_at
    from ..precomputed.writing import Plan
    from ..stored.engine import Options

    try:
        plan = Plan.of(source, encoding, chunks, crackle, names)
        with opening(destination):
            store, name = store_at(destination, storage_options, read_only=False)
        report = plan.write(
            store,
            name,
            verify=verify,
            overwrite=overwrite,
            options=Options(parallel=parallel, progress=progress),
        )
    except FileExistsError as error:
        raise UnusableError(f"{destination}: {error}".replace("overwrite=True", "--overwrite")) from error
    except (ValueError, TypeError) as error:
        if isinstance(error, CrackleError | UnusableError):
            raise
        raise UnusableError(str(error)) from error
    done = f"{counted(report.arrays, 'scale')}, {counted(report.chunks, 'chunk')}"
    before, after = source.nbytes if from_file else report.bytes_before, report.bytes_after
    if before and after:
        done += f", {before:,} -> {after:,} bytes, ratio {before / after:.1f}"
    return done, "; ".join(plan.notes)


def describe(place: str, options: dict[str, Any] | None) -> dict[str, Any]:
    """The record of a precomputed volume, as ``info --json`` prints it."""
    from ..precomputed.reading import read_info, store_at

    assert is_precomputed(place)
    with opening(place):
        store, name = store_at(place, options)
    info = read_info(store, name)
    return {
        "file": place,
        "kind": "precomputed",
        "dtype": info.dtype.name,
        "channels": info.channels,
        "scales": [
            {
                "key": scale.key,
                "shape": list(scale.size),
                "chunks": list(scale.chunk),
                "voxel_offset": list(scale.offset),
                "encoding": scale.encoding,
                "sharded": scale.sharding is not None,
                **space_fields(scale.space),
            }
            for scale in info.scales
        ],
    }


def info_tables(record: dict[str, Any]) -> Iterator[Table]:
    """The table for a volume: a line for each scale."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    channels = f", {record['channels']} channels" if record["channels"] > 1 else ""
    title = f"{record['file']}: Neuroglancer precomputed, {record['dtype']}{channels}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE)
    for column in ("scale", "shape (x, y, z)", "voxel (nm)", "first voxel", "chunks", "encoding"):
        table.add_column(column)
    for scale in record["scales"]:
        table.add_row(
            Text(scale["key"]),
            by(scale["shape"]),
            " x ".join(f"{edge:g}" for edge in scale["voxel_size"]),
            ", ".join(map(str, scale["voxel_offset"])),
            by(scale["chunks"]),
            Text(scale["encoding"] + (", sharded" if scale["sharded"] else "")),
        )
    yield table
