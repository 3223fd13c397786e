"""``crackle-zarr remap``: replace labels of a stored array in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import verbs
from .._base.integers import integer_array
from .._base.mapping import LabelMapping
from .._base.tables import label_of
from ..files.volumes import UnusableError
from . import _common
from ._common import EXIT_CODES

if TYPE_CHECKING:
    import zarr

    from ..stored.editing.edit import RemapReport
    from ..stored.engine import IndexUse

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


def _pairs_in(arguments: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Old and new labels from OLD=NEW arguments."""
    old: list[int] = []
    new: list[int] = []
    for pair in arguments:
        old_text, equals, new_text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"{pair!r} is not OLD=NEW, such as 42=7.")
        old.append(label_of(old_text, pair))
        new.append(label_of(new_text, pair))
    return old, new


def _mapping_of(
    arguments: tuple[str, ...], path: Path | None, edges: Path | None, threshold: float | None
) -> LabelMapping:
    """The mapping from OLD=NEW arguments, a file of pairs and a file of edges."""
    try:
        parts = [] if path is None else [LabelMapping(path)]
        if edges is not None:
            parts.append(verbs.agglomerate(edges, threshold=threshold))
        if arguments or not parts:
            old, new = _pairs_in(arguments)
            parts.append(LabelMapping((integer_array("a label", old), integer_array("a label", new))))
        if len(parts) == 1:
            return parts[0]
        keys = [label for part in parts for label in part.keys.tolist()]
        values = [label for part in parts for label in part.values.tolist()]
        return LabelMapping((integer_array("a label", keys), integer_array("a label", values)))
    except (TypeError, ValueError, ImportError) as error:
        raise UnusableError(str(error)) from error


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.argument("pairs", metavar="[OLD=NEW]...", nargs=-1)
@click.option(
    "--mapping",
    "path",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Two columns, old and new, as .parquet, .npy, .npz, .arrow, .feather or .csv; or a .json object "
    "old: new. Millions of pairs are quickest as a .npy of shape (n, 2) that ascends. OLD=NEW arguments "
    "add to it.",
)
@click.option(
    "--edges",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Pairs of labels that belong together, in the same kinds of file: what edges connect gets the "
    "smallest of its labels.",
)
@click.option(
    "--threshold",
    metavar="SCORE",
    type=float,
    help="Only edges whose score, the third column of --edges, is at most this.",
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
@click.option(
    "--theirs",
    is_flag=True,
    help="With --resume or --undo: leave chunks as they are that somebody else has written meanwhile.",
)
@click.option(
    "--ours",
    is_flag=True,
    help="With --resume or --undo: replace what somebody else has written to such chunks.",
)
@click.option(
    "--force",
    is_flag=True,
    help="With --resume or --undo: take the remap from a process that is still at work. It stops.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with the indices of the chunks.")
@click.option(
    "--index",
    type=click.Choice(["auto", "require", "ignore"]),
    default="auto",
    show_default=True,
    help="The label index of an array tells which chunks hold the old labels: use it if it is there and "
    "current, require it, or read the labels of all chunks.",
)
@_common.parallel
@storage_option
@no_progress
def remap(
    source: str,
    pairs: tuple[str, ...],
    path: Path | None,
    edges: Path | None,
    threshold: float | None,
    dry_run: bool,
    create_chunks: bool,
    strict: bool,
    resume: bool,
    undo: bool,
    theirs: bool,
    ours: bool,
    force: bool,
    as_json: bool,
    index: IndexUse,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Replace labels of a Zarr array, in place.

    All labels change at once: 1=2 2=1 swaps them. Only chunks with an old label are rewritten, and
    in these only the label table changes. All new chunks are prepared beside the array before the
    first one is replaced: a damaged chunk, or a label that the dtype cannot hold, leaves the array
    unchanged. After an interruption --resume finishes the remap, and --undo reverts it. Both list chunks
    that another program has written meanwhile: --theirs leaves them, --ours replaces them.

    All levels of OME-Zarr labels are edited, if the source is their group.

    \b
    Examples:
      crackle-zarr remap seg.zarr 42=7 43=7          merge two objects into 7
      crackle-zarr remap seg.zarr --mapping new.csv --dry-run
      crackle-zarr remap seg.zarr --mapping new.csv
      crackle-zarr remap seg.zarr --edges edges.parquet --threshold 0.3
      crackle-zarr remap seg.zarr --resume
      crackle-zarr remap seg.zarr -- -1=0            a negative label
    """
    if resume and undo:
        raise click.UsageError("--resume and --undo exclude each other.")
    finishing = "--resume" if resume else "--undo" if undo else None
    for name, value in {"--theirs": theirs, "--ours": ours, "--force": force}.items():
        if value and not finishing:
            raise click.UsageError(f"{name} is for --resume and --undo.")
    if theirs and ours:
        raise click.UsageError("--theirs and --ours exclude each other.")
    given = {"OLD=NEW": pairs, "--mapping": path, "--edges": edges, "--dry-run": dry_run, "--strict": strict}
    extra = [name for name, value in {**given, "--create-chunks": create_chunks}.items() if value]
    if finishing and extra:
        raise click.UsageError(
            f"{finishing} takes no {' and no '.join(extra)}: the journal has the mapping and the options."
        )
    if threshold is not None and edges is None:
        raise click.UsageError("--threshold is of the scores of --edges FILE.")
    if not finishing and not pairs and path is None and edges is None:
        raise click.UsageError("Nothing to do: give OLD=NEW, such as 42=7, --mapping FILE or --edges FILE.")
    options = QueryOptions(None, parallel, True, storage_option, not no_progress)

    def work(source: str) -> str:
        mapping = None if finishing else _mapping_of(pairs, path, edges, threshold)
        array = opened(source, options.storage_options, "r" if dry_run else "r+")
        with options.bar() as progress:
            if finishing:
                action = verbs.resume if resume else verbs.undo
                report = action(
                    array, theirs=theirs, ours=ours, force=force, parallel=parallel, progress=progress
                )
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
                        index=index,
                    )
                except KeyError as error:  # --strict
                    raise UnusableError(str(error.args[0])) from error
                except KeyboardInterrupt:
                    _report_journal(source, array)
                    raise
        return edited(source, report, as_json, "restored" if undo else "changed")

    _common.Batch().run([source], work)


def edited(source: str, report: RemapReport, as_json: bool, done: str = "changed") -> str:
    """What an edit of an array reports, as a line or as JSON."""
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
    done, wrote = ("would change", "would be written") if report.dry_run else (done, "written")
    return (
        f"{source}: {chunks} {done}, {report.bytes_read:,} bytes read, {report.bytes_written:,} bytes {wrote}"
    )


def _report_journal(source: str, array: zarr.Array[Any] | zarr.Group) -> None:
    """Name the options that finish or undo an interrupted remap, if it has left a journal."""
    from ..stored.editing.journal import Journal
    from ..verbs.edits import journaled

    if Journal(journaled(array)).exists():
        click.echo(
            f"crackle-zarr: {source} has an unfinished remap: "
            f"--resume finishes it, --undo restores the array",
            err=True,
        )
