"""``crackle-zarr compare``: how far a segmentation agrees with another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import verbs
from ..files import volumes
from ..files.volumes import UnusableError
from ..streams import neighbours
from . import _common
from ._common import EXIT_CODES
from .places import LabelCommand, QueryOptions, array_at, counted, is_stored, query
from .table_files import checked_table_file, write_table

if TYPE_CHECKING:
    from ..streams.agreement import OverlapTable

_MEANINGS = {
    "rand_index": "pairs of voxels that are together in both, or in neither",
    "adjusted_rand_index": "the same; chance is 0, equality 1",
    "rand_precision": "of the pairs together in OTHER, those in TRUTH: low where it merges",
    "rand_recall": "of the pairs together in TRUTH, those in OTHER: low where it splits",
    "adapted_rand_error": "1 minus the harmonic mean of both",
    "vi_split": "entropy of OTHER given TRUTH, in bits: what it splits",
    "vi_merge": "entropy of TRUTH given OTHER, in bits: what it merges",
    "variation_of_information": "the sum of both",
}


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@click.argument("truth", metavar="TRUTH")
@click.argument("other", metavar="OTHER")
@click.option(
    "--ignore",
    metavar="LABEL",
    type=int,
    multiple=True,
    help="Voxels with this label in TRUTH do not count; may be given several times.",
)
@click.option(
    "--pairs",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the voxels that each pair of labels shares: .csv, or .parquet (which needs pyarrow).",
)
@_common.force
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@query
def compare(
    truth: str,
    other: str,
    ignore: tuple[int, ...],
    pairs: Path | None,
    force: bool,
    as_json: bool,
    options: QueryOptions,
) -> None:
    """Print how far two segmentations agree.

    The first is taken as true.

    TRUTH and OTHER are two Zarr arrays, or two .npy or .ckl files, of the same shape. Names of labels
    do not matter, only which voxels are together. Chunks that are alike in both arrays are compared
    without decoding a voxel. Rand indices lie between 0 and 1, where 1 is equal; the variation of
    information is 0 where they are equal.

    \b
    Examples:
      crackle-zarr compare proofread.zarr seg.zarr
      crackle-zarr compare truth.zarr seg.zarr --ignore 0
      crackle-zarr compare truth.zarr seg.zarr --pairs pairs.parquet --region 0:64,:,:
    """
    if pairs is not None:
        checked_table_file("--pairs", pairs, force)

    def work(_: str) -> None:
        table = _table(truth, other, options)
        found = table.metrics(ignore)
        figures: dict[str, Any] = {name: getattr(found, name) for name in _MEANINGS}
        if pairs is not None:
            write_table(table, pairs)
        if as_json:
            record = {"truth": truth, "other": other, "pairs": len(table), "voxels": found.voxels, **figures}
            click.echo(json.dumps(record, indent=2))
            return
        _show(figures)
        click.echo(f"{counted(found.voxels, 'voxel')}, {counted(len(table), 'pair')} of labels")
        if pairs is not None:
            click.echo(f"pairs written: {pairs}")

    _common.Batch().run([other], work)


def _table(truth: str, other: str, options: QueryOptions) -> OverlapTable:
    stored = [is_stored(place) for place in (truth, other)]
    if stored[0] != stored[1]:
        array, file = (truth, other) if stored[0] else (other, truth)
        raise UnusableError(
            f"{array} is a Zarr array and {file} is a file: compare two of a kind; "
            f"'crackle-zarr convert {file} FILE.zarr' makes an array of it"
        )
    if not all(stored):
        for place in (truth, other):
            options.refuse_for_file(place)
        one, two = (_of_file(Path(place)) for place in (truth, other))
        return neighbours.overlap_table(one, two, options.parallel)
    a, b = (array_at(place, options.storage_options, level=options.level) for place in (truth, other))
    with options.keywords() as keywords:
        table: OverlapTable = verbs.overlaps(a, b, **keywords)
        return table


def _of_file(path: Path) -> Any:
    return volumes.read_volume(path) if volumes.kind_of(path) == "npy" else volumes.read_stream(path)


def _show(figures: dict[str, float]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(justify="right", no_wrap=True)
    shown.add_column()
    for name, value in figures.items():
        shown.add_row(name.replace("_", " "), f"{value:.6f}", _MEANINGS[name])
    Console(highlight=False).print(shown)
