"""``crackle-zarr test`` and ``crackle-zarr verify``: is anything damaged?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import FormatError
from ..files import volumes
from ..streams import sections, stream
from . import _common, places
from ._common import DAMAGED, EXIT_CODES
from .places import Asked

if TYPE_CHECKING:
    pass


@click.command(epilog=EXIT_CODES)
@_common.inputs
def test(inputs: tuple[Path, ...]) -> None:
    """Tell whether streams are damaged, and where.

    Damaged sections and slices are named. Everything is decoded and every checksum verified.
    Streams of format version 0 have no checksums: there, only what contradicts itself shows.
    'crackle-zarr verify' takes Zarr arrays as well.

    \b
    Examples:
      crackle-zarr test seg.ckl
      crackle-zarr test archive/*.ckl.gz && echo all sound
    """
    batch = _common.Batch()
    batch.over(inputs, lambda path: _tested(path, batch))


def _tested(path: Path, batch: _common.Batch) -> str:
    """What ``test`` says of a stream."""
    try:
        binary = volumes.read_stream(path)
    except FormatError as error:  # its message names the file and the outer format
        batch.ends_with(DAMAGED)
        return str(error)
    report = sections.check(binary)
    damaged = sections.damaged_parts(report)
    if damaged:
        batch.ends_with(DAMAGED)
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
    """Tell whether Zarr arrays and streams are damaged, and where.

    Every checksum of every chunk is verified. There is a line per damaged chunk, with its index in
    the grid, its key in the store, and what of it is damaged; and a last line that says how many
    they are. Streams in files are tested as 'crackle-zarr test' does it. A store that fails is no
    damage: exit code 2.

    \b
    Examples:
      crackle-zarr verify seg.zarr
      crackle-zarr verify seg.zarr --region 0:64
      crackle-zarr verify seg.zarr seg.ckl && echo all sound
    """
    asked = Asked(region, parallel, True, storage_option, not no_progress)
    batch = _common.Batch()

    def work(place: str) -> str:
        if not places.is_stored(place):
            asked.refuse_for_file(place)
            return _tested(Path(place), batch)
        damaged, said = places.verified(place, asked)
        if damaged:
            batch.ends_with(DAMAGED)
        return said

    batch.over(inputs, work)
