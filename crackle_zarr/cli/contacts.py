"""``crackle-zarr contacts``: the labels that touch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import numpy as np

from .. import verbs
from ..files import volumes
from ..files.label_names import LabelNames
from ..files.volumes import UnusableError
from ..streams import neighbours
from . import _common, names
from ._common import EXIT_CODES
from .places import QueryOptions, absent, array_at, as_ranges, counted, is_stored, query, source_argument
from .table_files import checked_table_file, csv_output, table_output, write_table

if TYPE_CHECKING:
    from ..streams.contact_table import ContactTable

# Rows of a table on a terminal, without --all.
_ROWS = 40


def _edges(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(text) for text in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not the size of a voxel: numbers with commas, such as 40,8,8.", ctx, param
        ) from None


@click.command(epilog=EXIT_CODES)
@source_argument
@table_output
@csv_output
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with an object per pair.")
@click.option(
    "-l",
    "--label",
    "labels",
    metavar="LABEL",
    type=int,
    multiple=True,
    help="Only pairs with this label, from the part of the array where it is. Repeatable.",
)
@click.option("--background", is_flag=True, help="Pairs with the label 0, too.")
@click.option(
    "--voxel-size",
    metavar="SIZES",
    callback=_edges,
    help="The edges of a voxel, one per axis, such as 40,8,8. By default those of the metadata, otherwise 1.",
)
@click.option(
    "--axes",
    metavar="AXES",
    help="Count faces along these axes alone, by name or number, such as z or t,x. By default the last 3.",
)
@click.option(
    "--all", "every", is_flag=True, help=f"Show all rows on a terminal, not only the first {_ROWS}."
)
@_common.force
@query
def contacts(
    source: str,
    output: Path | None,
    as_csv: bool,
    as_json: bool,
    labels: tuple[int, ...],
    background: bool,
    voxel_size: tuple[float, ...] | None,
    axes: str | None,
    every: bool,
    force: bool,
    options: QueryOptions,
) -> None:
    """List the labels that touch: faces, area and box.

    Two labels touch where a voxel of one shares a face with a voxel of the other, across borders of
    chunks, too. There is a row per pair, ascending. The area is in the square of the unit of the voxel
    size, which info shows; the box is that of the voxels on both sides of the faces, half-open, in the
    order of the array's axes. For a Zarr array stored with Crackle, faces within chunks come from the
    boundaries, without painting voxels. The source may also be a .ckl file; its axes are x, y and z.

    The output is a table on a terminal. In a pipe or a file it is CSV with the columns label_a, label_b,
    face_count, area, start_0 ..., stop_0 .... For an array whose labels have names there are columns
    name_a and name_b, too. In JSON, labels are text.

    \b
    Examples:
      crackle-zarr contacts seg.zarr
      crackle-zarr contacts seg.zarr -o contacts.parquet
      crackle-zarr contacts seg.zarr --label 42
      crackle-zarr contacts seg.zarr --region 0:64,:,: --voxel-size 40,8,8
      crackle-zarr contacts movie.zarr --axes t
    """
    if output is not None:
        if as_json:
            raise click.UsageError("--json is for the terminal, and --output for .csv and .parquet.")
        checked_table_file("--output", output, force)
    along = None if axes is None else [_axis(text) for text in axes.split(",")]
    counts_0 = background or 0 in labels

    def work(source: str) -> None:
        known = LabelNames()
        if is_stored(source):
            array = array_at(source, options.storage_options, level=options.level)
            known = names.of_array(array)
            table = _of_array(array, labels, voxel_size, counts_0, along, options)
        else:
            table = _of_file(source, labels, voxel_size, counts_0, along, options)
        # Without names there are no columns of them.
        column = known if len(known) else None
        if output is not None:
            write_table(table, output, column)
            click.echo(f"{source} -> {output}  {counted(len(table), 'pair')}")
        elif as_json:
            _echo_json(table, column)
        elif as_csv or not sys.stdout.isatty():
            table.to_csv(sys.stdout, column)
        else:
            _show(table, every, column)
        present = {*table["label_a"].tolist(), *table["label_b"].tolist()}
        for label in labels:
            if label not in present:
                _explain(source, label, options)

    _common.Batch().run([source], work)


def _axis(text: str) -> str | int:
    return int(text) if text.strip().lstrip("-").isdecimal() else text.strip()


def _of_file(
    source: str,
    labels: tuple[int, ...],
    voxel_size: tuple[float, ...] | None,
    background: bool,
    axes: list[str | int] | None,
    options: QueryOptions,
) -> ContactTable:
    options.refuse_for_file(source)
    if axes is not None:
        raise UnusableError(f"{source}: --axes is for Zarr arrays, and this is a file")
    sizes: Any = voxel_size or (1.0, 1.0, 1.0)
    stream = volumes.read_stream(Path(source))
    table = neighbours.contact_table(stream, sizes, options.parallel, not background)
    return _pairs_with(table, labels) if labels else table


def _of_array(
    array: Any,
    labels: tuple[int, ...],
    voxel_size: tuple[float, ...] | None,
    background: bool,
    axes: list[str | int] | None,
    options: QueryOptions,
) -> ContactTable:
    with options.keywords() as keywords:

        def ask() -> ContactTable:
            found = verbs.contacts(
                array, voxel_size, skip_background=not background, axes=axes, **cast(Any, keywords)
            )
            return cast("ContactTable", found)

        if not labels:
            return ask()
        parts = []
        for label in sorted(set(labels)):
            # The label and its neighbours are in its box and the voxels around it.
            keywords["region"] = options.region
            box = verbs.find(array, label, **keywords).slices
            if box is not None:
                keywords["region"] = _grown(box, options.region, array.shape)
                parts.append(_pairs_with(ask(), (label,)))
        if not parts:  # a table without rows
            keywords["region"] = (slice(0, 0),) * min(1, array.ndim)
            return cast("ContactTable", ask()[:0])
    table: Any = np.concatenate(parts).view(type(parts[0]))
    # A pair of two of the labels was found twice.
    _, firsts = np.unique(np.stack([table["label_a"], table["label_b"]], axis=1), axis=0, return_index=True)
    return cast("ContactTable", table[firsts])


def _grown(box: tuple[slice, ...], region: Any, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box with the voxels around it, as far as they are in the region."""
    from ..stored.layout import box_of

    return tuple(
        slice(max(low, one.start - 1), min(high, one.stop + 1))
        for one, (low, high) in zip(box, box_of(region, shape), strict=True)
    )


def _pairs_with(table: ContactTable, labels: tuple[int, ...]) -> ContactTable:
    # As objects, so that no label is rounded or refused.
    a, b = (table[name].astype(object) for name in ("label_a", "label_b"))
    return cast("ContactTable", table[np.isin(a, labels) | np.isin(b, labels)])


def _explain(source: str, label: int, options: QueryOptions) -> None:
    """Tell a label that is not there from one that touches no other."""
    if is_stored(source):
        array = array_at(source, options.storage_options, level=options.level)
        with options.keywords() as keywords:
            is_there = verbs.contains(array, label, **keywords)
    else:
        is_there = verbs.contains(volumes.read_stream(Path(source)), label)
    if is_there:
        click.echo(f"{source}: label {label} touches no other label", err=True)
    else:
        absent(source, label)


def _echo_json(table: ContactTable, known: LabelNames | None) -> None:
    """Print rows as JSON; labels are text, because many JSON readers cannot hold large integers."""
    columns = {name: column.tolist() for name, column in table.columns(known).items()}
    for name in ("label_a", "label_b"):
        columns[name] = [str(label) for label in columns[name]]
    click.echo(
        json.dumps([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    )


def _show(table: ContactTable, every: bool, known: LabelNames | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE)
    sides = [("label a", "label_a", "name a"), ("label b", "label_b", "name b")]
    for title, _, name in sides:
        shown.add_column(title, justify="right", no_wrap=True)
        if known is not None:
            shown.add_column(name)
    for title in ("faces", "area", "box"):
        shown.add_column(title, justify="right", no_wrap=True)
    rows = table if every else table[:_ROWS]
    for row in rows:
        cells = []
        for _, column, _ in sides:
            label = int(row[column])
            cells += [Text(str(label)), *([Text(known.get(label, ""))] if known is not None else [])]
        bounds = map(slice, row["start"].tolist(), row["stop"].tolist())
        shown.add_row(*cells, f"{int(row['face_count']):,}", f"{row['area']:,.6g}", as_ranges(bounds))
    Console(highlight=False).print(shown)
    if len(rows) < len(table):
        click.echo(
            f"... and {len(table) - len(rows):,} more: --all shows them, --output FILE.csv writes them"
        )
