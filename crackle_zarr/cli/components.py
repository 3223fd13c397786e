"""Commands about connected components: components, dust, largest, fill-holes, split; and renumber."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import verbs
from ..files.volumes import UnusableError
from . import _common
from ._common import EXIT_CODES
from .places import (
    LabelCommand,
    QueryOptions,
    counted,
    is_stored,
    is_url,
    no_progress,
    opened,
    source_argument,
    storage_option,
    store_at,
)
from .remap import edited
from .table_files import checked_table_file, write_table

if TYPE_CHECKING:
    from ..stored.components.connected import ComponentsReport


def _axes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str | int, ...] | None:
    if value is None:
        return None
    texts = [text.strip() for text in value.split(",")]
    return tuple(int(text) if text.lstrip("-").isdecimal() else text for text in texts)


_along = click.option(
    "--axes",
    metavar="AXES",
    callback=_axes,
    help="The two or three axes along which voxels touch, by name or number, such as y,x. By default x, y "
    "and z, or the last three. Each index of the others is an image by itself.",
)
_connectivity = click.option(
    "-c",
    "--connectivity",
    type=click.Choice(["4", "6", "8", "26"]),
    default="26",
    show_default=True,
    help="Voxels touch at faces (6, or 4 in two dimensions), or also at edges and corners (26, or 8).",
)
_output = click.option(
    "-o",
    "--output",
    metavar="DEST",
    help="Write the result to this new Zarr array, and leave SOURCE as it is.",
)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace what the destination has.")
_dry_run = click.option("-n", "--dry-run", is_flag=True, help="Report the changes, and write nothing.")
_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")


def _everywhere(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all of these commands."""
    for option in (no_progress, storage_option, _common.parallel, _json):
        command = option(command)
    return command


@click.command(epilog=EXIT_CODES)
@source_argument
@click.argument("destination", metavar="DEST")
@_connectivity
@click.option(
    "--background",
    metavar="LABEL",
    default="0",
    show_default=True,
    help="The label whose voxels belong to no component, or none.",
)
@_along
@click.option(
    "-t",
    "--table",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a row per component: its label, voxels, box and centroid. .csv, or .parquet (needs pyarrow).",
)
@_overwrite
@_common.force
@_everywhere
def components(
    source: str,
    destination: str,
    connectivity: str,
    background: str,
    axes: tuple[str | int, ...] | None,
    table: Path | None,
    overwrite: bool,
    force: bool,
    as_json: bool,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Write the connected components of a Zarr array to another.

    Touching voxels of one label are one component. Components are numbered 1, 2, 3 ... in the order of
    their first voxels, whatever the chunks. Each chunk keeps its boundaries and gets another label
    table, so arrays of any size take bounded memory. A run that was interrupted goes on when the same
    command is given again.

    \b
    Examples:
      crackle-zarr components seg.zarr parts.zarr
      crackle-zarr components seg.zarr parts.zarr --table parts.csv
      crackle-zarr components movie.zarr cells.zarr --axes y,x --connectivity 4
      crackle-zarr components seg.zarr all.zarr --background none
    """
    if table is not None:
        checked_table_file("--table", table, force)
    try:
        label = None if background.lower() == "none" else int(background)
    except ValueError:
        raise click.UsageError(f"--background {background}: that is no label, and not none.") from None
    options = QueryOptions(None, parallel, True, storage_option, not no_progress)

    def work(source: str) -> str:
        array = _array(source, options)
        with options.bar() as progress:
            report: ComponentsReport = verbs.connected_components(
                array,
                int(connectivity),
                out=_place(destination, options),
                background=label,
                axes=axes,
                overwrite=overwrite,
                progress=progress,
                parallel=parallel,
            )
        if table is not None:
            write_table(report.table, table)
        return _told(source, destination, report, as_json)

    _common.Batch().run([source], work)


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.option(
    "--threshold",
    metavar="VOXELS",
    type=click.IntRange(0),
    required=True,
    help="Components of fewer voxels are removed.",
)
@click.option("--invert", is_flag=True, help="Remove components of at least so many voxels instead.")
@_connectivity
@_along
@_output
@_overwrite
@_dry_run
@_everywhere
def dust(source: str, threshold: int, invert: bool, connectivity: str, **more: Any) -> None:
    """Remove small connected components of a Zarr array.

    Their voxels become label 0. Without --output the array is edited in place, with the journal of
    remap: all new chunks are prepared before the first one is replaced, and after an interruption
    remap --resume and remap --undo finish it or take it back.

    \b
    Examples:
      crackle-zarr dust seg.zarr --threshold 100 --dry-run
      crackle-zarr dust seg.zarr --threshold 100
      crackle-zarr dust seg.zarr --threshold 100 -o clean.zarr
    """
    _clean(
        source, lambda array, **given: verbs.dust(array, threshold, int(connectivity), invert, **given), more
    )


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.option(
    "-k", "--keep", metavar="NUMBER", type=click.IntRange(0), required=True, help="How many to keep."
)
@_connectivity
@_along
@_output
@_overwrite
@_dry_run
@_everywhere
def largest(source: str, keep: int, connectivity: str, **more: Any) -> None:
    """Keep the largest connected components of a Zarr array.

    All others become label 0. Without --output the array is edited in place, as dust does it.

    \b
    Examples:
      crackle-zarr largest seg.zarr -k 10 -o ten.zarr
      crackle-zarr largest seg.zarr -k 1
    """
    _clean(source, lambda array, **given: verbs.largest_k(array, keep, int(connectivity), **given), more)


@click.command(cls=LabelCommand, name="fill-holes", epilog=EXIT_CODES)
@source_argument
@click.argument("labels", metavar="[LABEL]...", nargs=-1, type=int)
@_along
@_output
@_overwrite
@_dry_run
@_everywhere
def fill_holes(source: str, labels: tuple[int, ...], **more: Any) -> None:
    """Fill the holes in labels of a Zarr array.

    A hole is background, label 0, that one label encloses: it does not reach the edge of the array,
    and no other label touches it. Without LABEL the holes of all labels are filled. Without --output
    the array is edited in place, as dust does it.

    \b
    Examples:
      crackle-zarr fill-holes seg.zarr -o solid.zarr
      crackle-zarr fill-holes seg.zarr 42 43
    """
    chosen = list(labels) or None
    _clean(source, lambda array, **given: verbs.fill_holes(array, chosen, **given), more)


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.argument("label", type=int)
@_connectivity
@_along
@_dry_run
@_everywhere
def split(source: str, label: int, connectivity: str, **more: Any) -> None:
    """Give each connected part of a label a name of its own.

    The largest part keeps the label; the others get names behind the largest label of the array, in
    place. Only chunks that hold the label are read. After an interruption remap --resume and
    remap --undo finish it or take it back.

    \b
    Examples:
      crackle-zarr split seg.zarr 42 --dry-run
      crackle-zarr split seg.zarr 42 --connectivity 6
    """
    _clean(source, lambda array, **given: verbs.split(array, label, int(connectivity), **given), more)


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.option(
    "--start", metavar="LABEL", type=int, help="Number from here, 0 too. By default 0 stays, and 1 is first."
)
@click.option(
    "-t",
    "--table",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write which label became which: .csv, with the columns old and new.",
)
@_dry_run
@_common.force
@_everywhere
def renumber(
    source: str,
    start: int | None,
    table: Path | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Renumber the labels of a Zarr array from 1 on, in place.

    Labels keep their order, and 0 stays. It is a remap: after an interruption remap --resume and
    remap --undo finish it or take it back.

    \b
    Examples:
      crackle-zarr renumber seg.zarr --dry-run
      crackle-zarr renumber seg.zarr --table names.csv
    """
    if table is not None:
        if table.suffix.lower() != ".csv":
            raise click.UsageError(f"--table {table}: the name has to end in .csv.")
        checked_table_file("--table", table, force)
    options = QueryOptions(None, parallel, True, storage_option, not no_progress)

    def work(source: str) -> str:
        array = _array(source, options, "r" if dry_run else "r+")
        with options.bar() as progress:
            report, pairs = verbs.renumber(array, start, parallel, dry_run=dry_run, progress=progress)
        if table is not None:
            lines = ["old,new", *(f"{old},{new}" for old, new in pairs.tolist())]
            table.write_text("\n".join(lines) + "\n", encoding="ascii")
        text = edited(source, report, as_json)
        return text if as_json else f"{text}; {counted(len(pairs), 'label')}"

    _common.Batch().run([source], work)


# ---------------------------------------------------------------------------------------


def _array(source: str, options: QueryOptions, mode: Any = "r") -> Any:
    if not is_stored(source):
        raise UnusableError(f"{source} is a file, and this is for Zarr arrays: convert makes one of it")
    return opened(source, options.storage_options, mode)


def _place(destination: str, options: QueryOptions) -> Any:
    return store_at(destination, options.storage_options, "r+") if is_url(destination) else destination


def _clean(
    source: str,
    verb: Callable[..., Any],
    more: dict[str, Any],
) -> None:
    """Run a verb in place or into another array, and say what it did."""
    options = QueryOptions(None, more["parallel"], True, more["storage_option"], not more["no_progress"])
    output, dry_run = more.get("output"), more["dry_run"]
    if output is None and more.get("overwrite"):
        raise click.UsageError("--overwrite is for --output DEST.")
    if output is not None and dry_run:
        raise click.UsageError("--dry-run is for edits in place: leave out --output.")

    def work(source: str) -> str:
        given: dict[str, Any] = {"axes": more["axes"], "parallel": more["parallel"]}
        array = _array(source, options, "r" if dry_run or output is not None else "r+")
        with options.bar() as progress:
            if output is None:
                report = verb(array, dry_run=dry_run, progress=progress, **given)
                return edited(source, report, more["as_json"])
            place = _place(output, options)
            made = verb(array, out=place, overwrite=more["overwrite"], progress=progress, **given)
        return _told(source, output, made, more["as_json"])

    _common.Batch().run([source], work)


def _told(source: str, destination: str, report: ComponentsReport, as_json: bool) -> str:
    if as_json:
        record = {
            "file": source,
            "destination": destination,
            "components": report.count,
            "objects": report.chunks,
            "nbytes": report.nbytes,
        }
        return json.dumps(record, indent=2)
    what = (
        f"{counted(report.count, 'component')} found, {counted(report.chunks, 'object')} written, "
        f"{report.nbytes:,} bytes"
    )
    return f"{source} -> {destination}  {what}"
