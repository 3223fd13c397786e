"""``crackle-zarr test`` and ``crackle-zarr verify``: search streams and arrays for damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import FormatError
from ..files import volumes
from ..streams import sections, stream
from . import _common, places
from ._common import DAMAGED, EXIT_CODES
from .places import QueryOptions


@click.command(epilog=EXIT_CODES)
@_common.inputs
def test(inputs: tuple[Path, ...]) -> None:
    """Report whether streams are damaged, and where.

    The report names damaged sections and slices. Everything is decoded and every checksum is
    verified. Streams of format version 0 have no checksums: only contradictions in the data reveal
    damage there. 'crackle-zarr verify' also takes Zarr arrays.

    \b
    Examples:
      crackle-zarr test seg.ckl
      crackle-zarr test archive/*.ckl.gz && echo all sound
    """
    batch = _common.Batch()
    batch.run(inputs, lambda path: _tested(path, batch))


def _tested(path: Path, batch: _common.Batch) -> str:
    """The report of ``test`` on a stream."""
    try:
        binary = volumes.read_stream(path)
    except FormatError as error:  # its message names the file and the outer format
        batch.record_exit_code(DAMAGED)
        return str(error)
    report = sections.check(binary)
    damaged = sections.damaged_parts(report)
    if damaged:
        batch.record_exit_code(DAMAGED)
        return f"{path}: damaged: {'; '.join(damaged)}"
    version = stream.header(binary).format_version
    return f"{path}: sound" + ("" if version else ", as far as version 0 can tell: it has no checksums")


@click.command(epilog=EXIT_CODES)
@_common.places
@places.region
@_common.parallel
@places.storage_option
@places.no_progress
def verify(
    inputs: tuple[str, ...],
    region: tuple[Any, ...] | None,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Report damage in Zarr arrays and streams, and where.

    Every checksum of every chunk is verified. The report has a line per damaged chunk: its index in
    the grid, its key in the store, and its damaged part. The last line counts the damaged chunks.
    Streams in files are tested as by 'crackle-zarr test'. When a store fails, nothing is known about
    damage, and the exit code is 2.

    \b
    Examples:
      crackle-zarr verify seg.zarr
      crackle-zarr verify seg.zarr --region 0:64
      crackle-zarr verify seg.zarr seg.ckl && echo all sound
    """
    options = QueryOptions(region, parallel, True, storage_option, not no_progress)
    batch = _common.Batch()

    def work(place: str) -> str:
        if not places.is_stored(place):
            options.refuse_for_file(place)
            return _tested(Path(place), batch)
        damaged, report = places.verified(place, options)
        if damaged:
            batch.record_exit_code(DAMAGED)
        return report

    batch.run(inputs, work)
