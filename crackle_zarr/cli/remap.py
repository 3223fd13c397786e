"""``crackle-zarr remap``: replace labels of a stored array in place."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import verbs
from ..files.volumes import UnusableError
from . import _common
from ._common import EXIT_CODES

if TYPE_CHECKING:
    import zarr

from .places import (
    LabelCommand,
    QueryOptions,
    counted,
    no_progress,
    opened,
    source_argument,
    storage_option,
)

# ---------------------------------------------------------------------------------------
# remap


def _pair(old: Any, new: Any, where: str) -> tuple[int, int]:
    """Parse an old and a new label from text or JSON."""
    for value in (old, new):
        exact = isinstance(value, int) and not isinstance(value, bool)
        if not exact and not (isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value)):
            raise UnusableError(f"{where}: {value!r} is no label: labels are integers")
    return int(old), int(new)


def _read_mapping(path: Path) -> Iterator[tuple[int, int]]:
    """Read pairs (old, new) from a .csv or .json file."""
    if path.suffix.lower() == ".json":
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file, object_pairs_hook=list)
        except json.JSONDecodeError as error:
            raise UnusableError(f"{path} is not JSON: {error}") from None
        if not isinstance(content, list) or not all(
            isinstance(pair, tuple | list) and len(pair) == 2 for pair in content
        ):
            raise UnusableError(
                f'{path}: a mapping in JSON is an object such as {{"1": 7}}, or an array of pairs'
            )
        for old, new in content:
            yield _pair(old, new, str(path))
        return
    if path.suffix.lower() != ".csv":
        raise UnusableError(f"{path}: a file with a mapping ends in .csv or .json")
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            where = f"{path}, line {number}"
            if len(row) != 2:
                raise UnusableError(f"{where}: a line is an old and a new label, not {','.join(row)!r}")
            if number == 1 and not any(re.search(r"\d", cell) for cell in row):
                continue  # the columns' names
            yield _pair(row[0], row[1], where)


def _mapping_of(pairs: tuple[str, ...], path: Path | None) -> dict[int, int]:
    """The mapping from OLD=NEW arguments and a file."""
    mapping: dict[int, int] = {}

    def add(old: int, new: int) -> None:
        if mapping.setdefault(old, new) != new:
            raise UnusableError(f"the mapping gives the label {old} two new labels: {mapping[old]} and {new}")

    for old, new in () if path is None else _read_mapping(path):
        add(old, new)
    for pair in pairs:
        old_text, equals, new_text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"{pair!r} is not OLD=NEW, such as 42=7.")
        add(*_pair(old_text, new_text, pair))
    return mapping


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.argument("pairs", metavar="[OLD=NEW]...", nargs=-1)
@click.option(
    "--mapping",
    "path",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .csv with two columns, old and new, or a .json object old: new. OLD=NEW arguments add to it.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Report the changes, and write nothing.")
@click.option(
    "--create-chunks",
    is_flag=True,
    help="If the fill value is remapped: write the missing chunks, which consist of the fill value.",
)
@click.option("--strict", is_flag=True, help="Fail if the mapping lacks a label of the array.")
@click.option("--resume", is_flag=True, help="Finish a remap that was interrupted.")
@click.option("--undo", is_flag=True, help="Undo a remap that was interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with the indices of the chunks.")
@_common.parallel
@storage_option
@no_progress
def remap(
    source: str,
    pairs: tuple[str, ...],
    path: Path | None,
    dry_run: bool,
    create_chunks: bool,
    strict: bool,
    resume: bool,
    undo: bool,
    as_json: bool,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Replace labels of a Zarr array, in place.

    All labels change at once: 1=2 2=1 swaps them. Only chunks with an old label are rewritten, and
    in these only the label table changes. All new chunks are prepared beside the array before the
    first one is replaced: a damaged chunk, or a label that the dtype cannot hold, leaves the array
    unchanged. After an interruption --resume finishes the remap, and --undo reverts it.

    All levels of OME-Zarr labels are edited, if the source is their group.

    \b
    Examples:
      crackle-zarr remap seg.zarr 42=7 43=7          merge two objects into 7
      crackle-zarr remap seg.zarr --mapping new.csv --dry-run
      crackle-zarr remap seg.zarr --mapping new.csv
      crackle-zarr remap seg.zarr --resume
      crackle-zarr remap seg.zarr -- -1=0            a negative label
    """
    if resume and undo:
        raise click.UsageError("--resume and --undo exclude each other.")
    finishing = "--resume" if resume else "--undo" if undo else None
    given = {"OLD=NEW": pairs, "--mapping": path, "--dry-run": dry_run, "--strict": strict}
    extra = [name for name, value in {**given, "--create-chunks": create_chunks}.items() if value]
    if finishing and extra:
        raise click.UsageError(
            f"{finishing} takes no {' and no '.join(extra)}: the journal has the mapping and the options."
        )
    if not finishing and not pairs and path is None:
        raise click.UsageError("Nothing to do: give OLD=NEW, such as 42=7, or --mapping FILE.")
    options = QueryOptions(None, parallel, True, storage_option, not no_progress)

    def work(source: str) -> str:
        mapping = {} if finishing else _mapping_of(pairs, path)
        array = opened(source, options.storage_options, "r" if dry_run else "r+")
        with options.bar() as progress:
            if resume:
                report = verbs.resume(array, parallel=parallel, progress=progress)
            elif undo:
                report = verbs.undo(array, parallel=parallel, progress=progress)
            else:
                try:
                    report = verbs.remap(
                        array,
                        mapping,
                        preserve_missing_labels=not strict,
                        parallel=parallel,
                        dry_run=dry_run,
                        create_chunks=create_chunks,
                        progress=progress,
                    )
                except KeyError as error:  # --strict
                    raise UnusableError(str(error.args[0])) from error
                except KeyboardInterrupt:
                    _report_journal(source, array)
                    raise
        if as_json:
            record = {
                "file": source,
                "dry_run": report.dry_run,
                "chunks": [list(chunk) for chunk in report.chunks],
                **({"levels": report.levels} if report.levels else {}),
                "bytes_read": report.bytes_read,
                "bytes_written": report.bytes_written,
            }
            return json.dumps(record, indent=2)
        chunks = counted(sum(map(len, report.levels)) or len(report.chunks), "chunk")
        if report.levels:
            chunks += f" in {counted(len(report.levels), 'level')}"
        action = "restored" if undo else "would change" if report.dry_run else "changed"
        wrote = "would be written" if report.dry_run else "written"
        return (
            f"{source}: {chunks} {action}, {report.bytes_read:,} bytes read, "
            f"{report.bytes_written:,} bytes {wrote}"
        )

    _common.Batch().run([source], work)


def _report_journal(source: str, array: zarr.Array[Any] | zarr.Group) -> None:
    """Name the options that finish or undo an interrupted remap, if it has left a journal."""
    from ..stored.editing.journal import Journal
    from ..verbs.edits import journaled

    if Journal(journaled(array)).state is not None:
        click.echo(
            f"crackle-zarr: {source} has an unfinished remap: "
            f"--resume finishes it, --undo restores the array",
            err=True,
        )
