"""``crackle-zarr stats``: a table of all labels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import numpy as np

from .. import verbs
from ..files import volumes
from ..files.label_names import LabelNames
from ..files.volumes import UnusableError
from . import _common, names
from ._common import EXIT_CODES

if TYPE_CHECKING:
    from ..streams.statistics_table import StatisticsTable
from .places import (
    QueryOptions,
    absent,
    array_at,
    as_ranges,
    counted,
    is_stored,
    query,
    source_argument,
)
from .table_files import checked_table_file, csv_output, table_output, write_table

# Rows of a table on a terminal, without --all.
_ROWS = 40


# ---------------------------------------------------------------------------------------
# stats


_ENDS = ("start", "stop")


@click.command(epilog=EXIT_CODES)
@source_argument
@table_output
@csv_output
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with an object per row.")
@click.option(
    "-l", "--label", "labels", metavar="LABEL", type=int, multiple=True, help="Only this label. Repeatable."
)
@click.option(
    "--all", "every", is_flag=True, help=f"Show all rows on a terminal, not only the first {_ROWS}."
)
@click.option(
    "--units",
    is_flag=True,
    help="Of an array with a voxel size: positions in its unit, and the volume of each label.",
)
@click.option(
    "--by",
    metavar="AXIS",
    help="A row per label and position along this axis, by name or number: t for frames of a time series.",
)
@_common.force
@query
def stats(
    source: str,
    output: Path | None,
    as_csv: bool,
    as_json: bool,
    labels: tuple[int, ...],
    every: bool,
    units: bool,
    by: str | None,
    force: bool,
    options: QueryOptions,
) -> None:
    """List each label's voxel count, box and centroid.

    There is a row per label, ascending. Boxes are half-open, centroids are mean indices, and both
    are in the order of the array's axes. For a Zarr array stored with Crackle they are computed from
    the boundaries in its chunks, without painting voxels. The source may also be a .ckl file; its
    axes are x, y and z.

    The output is a table on a terminal. In a pipe or a file it is CSV with the columns label,
    voxel_count, start_0 ..., stop_0 ..., centroid_0 .... For an array whose labels have names
    there is a column name, too. In JSON, labels are text.

    With --units positions are in the unit of the voxel size, which info shows: boxes from face to face,
    centroids at centres of voxels.

    With --by there is a row for each label at each position along an axis that has it, and a column
    with the position, named as the axis.

    \b
    Examples:
      crackle-zarr stats seg.zarr
      crackle-zarr stats seg.zarr > seg.csv
      crackle-zarr stats seg.zarr -o seg.parquet
      crackle-zarr stats seg.zarr --label 42 --label 43
      crackle-zarr stats seg.zarr --region 0:64,:,:
      crackle-zarr stats movie.zarr --by t --region 10:20
    """
    if output is not None:
        if as_json:
            raise click.UsageError("--json is for the terminal, and --output for .csv and .parquet.")
        checked_table_file("--output", output, force)

    axis = None if by is None else int(by) if by.lstrip("-").isdecimal() else by

    def work(source: str) -> None:
        table, known = _statistics(source, labels, units, axis, options), LabelNames()
        if is_stored(source):
            known = names.of_array(array_at(source, options.storage_options, level=options.level))
        # Without names there is no column of them.
        column = known if len(known) else None
        if output is not None:
            write_table(table, output, column)
            click.echo(f"{source} -> {output}  {counted(len(table), 'label' if by is None else 'row')}")
        elif as_json:
            _echo_json(table, column)
        elif as_csv or not sys.stdout.isatty():
            table.to_csv(sys.stdout, column)
        else:
            _show_statistics(table, every, column)
        present = set(table["label"].tolist())
        for label in labels:
            if label not in present:
                absent(source, label)

    _common.Batch().run([source], work)


def _statistics(
    source: str, labels: tuple[int, ...], units: bool, by: str | int | None, options: QueryOptions
) -> StatisticsTable:
    """The statistics of a file or an array, for the given labels or for all."""
    table: Any
    if not is_stored(source):
        options.refuse_for_file(source)
        if units:
            raise UnusableError(f"{source}: --units is for Zarr arrays with a voxel size, and this is a file")
        if by is not None:
            raise UnusableError(f"{source}: --by is for Zarr arrays, and this is a file")
        table = verbs.statistics(volumes.read_stream(Path(source)), parallel=options.parallel)
        if labels:
            table = table[np.isin(table["label"], _as_dtype_of(labels, table))]
        return cast("StatisticsTable", table)
    array = array_at(source, options.storage_options, level=options.level)
    with options.keywords() as keywords:
        if not labels:
            return verbs.statistics(array, units, by, **keywords)
        # Measure only the chunks with these labels.
        parts = []
        for label in sorted(set(labels)):
            keywords["region"] = options.region
            keywords["region"] = verbs.find(array, label, **keywords).slices
            if keywords["region"] is not None:
                table = verbs.statistics(array, units, by, **keywords)
                parts.append(table[table["label"] == label])
        if not parts:  # a table without rows
            keywords["region"] = (slice(0, 0),) * min(1, array.ndim)
            return cast("StatisticsTable", verbs.statistics(array, units, by, **keywords)[:0])
        return cast("StatisticsTable", np.concatenate(parts).view(type(parts[0])))


def _as_dtype_of(labels: Iterable[int], table: Any) -> Any:
    """Labels in the dtype of a table, without those that the dtype cannot hold."""
    from .._base.integers import holds

    dtype = np.dtype(np.uint8) if table["label"].dtype.kind == "b" else table["label"].dtype
    return np.array([label for label in labels if holds(dtype, label)], dtype=dtype)


def _echo_json(table: StatisticsTable, known: LabelNames | None) -> None:
    """Print rows as JSON; labels are text, because many JSON readers cannot hold large integers."""
    columns = {name: column.tolist() for name, column in table.columns(known).items()}
    columns["label"] = [str(label) for label in columns["label"]]
    click.echo(
        json.dumps([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    )


def _show_statistics(table: StatisticsTable, every: bool, known: LabelNames | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE)
    assert table.dtype.names is not None
    by = [] if table.dtype.names[1] == "voxel_count" else [table.dtype.names[1]]
    for name in ("label", *(("name",) if known else ()), *by, "voxels", "box", "centroid"):
        shown.add_column(name, justify="left" if name == "name" else "right", no_wrap=name != "name")
    rows = table if every else table[:_ROWS]
    for row in rows:
        # Of physical positions six digits; integers are shown in full.
        ends = ([int(n) if float(n).is_integer() else f"{n:.6g}" for n in row[k].tolist()] for k in _ENDS)
        bounds = map(slice, *ends)
        centroid = ", ".join(f"{index:.1f}" for index in row["centroid"].tolist())
        label = int(row["label"])
        name_cell = [Text(known.get(label, ""))] if known else []
        name_cell += [Text(str(int(row[column]))) for column in by]
        shown.add_row(str(label), *name_cell, f"{int(row['voxel_count']):,}", as_ranges(bounds), centroid)
    console = Console(highlight=False)
    console.print(shown)
    if len(rows) < len(table):
        click.echo(
            f"... and {len(table) - len(rows):,} more: --all shows them, --output FILE.csv writes them"
        )
