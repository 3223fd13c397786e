"""``crackle-zarr index``: the label index of a Zarr array."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .. import verbs
from ..errors import VerificationError
from . import _common
from ._common import EXIT_CODES
from .places import QueryOptions, array_at, commas, counted, no_progress, source_argument, storage_option

if TYPE_CHECKING:
    from ..stored.index.publish import IndexReport

_level = click.option(
    "--level",
    metavar="NUMBER",
    type=click.IntRange(0),
    help="Of OME-Zarr labels: this level; the default is 0.",
)
_content = click.option(
    "--content", is_flag=True, help="Compare the checksums of all chunks, whatever the store's listing says."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")


@click.group()
def index() -> None:
    """Build a label index beside an array, and keep it right.

    Without an index, a question about one label reads the label table of every chunk. With one, it
    takes 3 to 5 requests, whatever the size of the array. All commands use an index that is there.

    'crackle-zarr remap' keeps the index right. Writes through Zarr do not: 'check' finds them,
    'update' reads them, and until then answers are those of the array before these writes.

    \b
    Examples:
      crackle-zarr index build seg.zarr      once
      crackle-zarr find seg.zarr 42          uses it
      crackle-zarr index check seg.zarr      after writes by other programs
      crackle-zarr index update seg.zarr
    """


@index.command(epilog=EXIT_CODES)
@source_argument
@click.option("--overwrite", is_flag=True, help="Replace an index that is there.")
@_level
@_common.parallel
@storage_option
@no_progress
def build(
    source: str,
    overwrite: bool,
    level: int | None,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Build the index of an array.

    Every chunk is read once. The index lies within the array, in .crackle-index, and has some 20
    bytes per label and chunk. After an interruption the same command continues. It needs pyarrow.

    \b
    Examples:
      crackle-zarr index build seg.zarr
      crackle-zarr index build s3://bucket/seg.zarr --parallel 16
      crackle-zarr index build seg.zarr --overwrite
    """
    options = QueryOptions(None, parallel, True, storage_option, not no_progress, level)

    def work(source: str) -> str:
        array = array_at(source, storage_option, mode="r+", level=level)
        with options.bar() as progress:
            report = verbs.create_index(array, overwrite, parallel=parallel, progress=progress)
        return f"{source}: {_described(report)}"

    _common.Batch().run([source], work)


@index.command(epilog=EXIT_CODES)
@source_argument
@_content
@_level
@_common.parallel
@storage_option
@no_progress
def update(
    source: str,
    content: bool,
    level: int | None,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Bring the index up to date after writes by other programs.

    Only chunks that changed are measured, those that 'check' lists. What remaps have added to the
    index becomes part of its main files.

    \b
    Examples:
      crackle-zarr index update seg.zarr
    """
    options = QueryOptions(None, parallel, True, storage_option, not no_progress, level)

    def work(source: str) -> str:
        array = array_at(source, storage_option, mode="r+", level=level)
        with options.bar() as progress:
            report = verbs.update_index(array, content, parallel=parallel, progress=progress)
        return f"{source}: {counted(report.measured, 'chunk')} measured; {_described(report)}"

    _common.Batch().run([source], work)


@index.command(epilog=EXIT_CODES)
@source_argument
@_content
@_json
@_level
@_common.parallel
@storage_option
@no_progress
def check(
    source: str,
    content: bool,
    as_json: bool,
    level: int | None,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """List the chunks that changed since the index was built or updated.

    The store's listing tells: sizes, and ETags or times of change. Where they differ, the checksums
    in the chunk decide. Each line has "changed", "new" or "gone" and the index of the chunk in the
    grid. The exit code is 1 if there are any.

    \b
    Examples:
      crackle-zarr index check seg.zarr && echo it is right
    """
    options = QueryOptions(None, parallel, True, storage_option, not no_progress, level)

    def work(source: str) -> None:
        array = array_at(source, storage_option, level=level)
        with options.bar() as progress:
            found = verbs.check_index(array, content, parallel=parallel, progress=progress)
        if as_json:
            chunks = [{"chunk": list(chunk), "change": change} for chunk, change in found]
            click.echo(json.dumps({"file": source, "changes": chunks}, indent=2))
        else:
            for chunk, change in found:
                click.echo(f"{change:<8}{commas(chunk)}")
        if found:
            raise VerificationError(
                f"{source}: {counted(len(found), 'chunk')} changed since the index was built: "
                f"crackle-zarr index update {source}"
            )

    _common.Batch().run([source], work)


@index.command(epilog=EXIT_CODES)
@source_argument
@_json
@_level
@storage_option
def info(source: str, as_json: bool, level: int | None, storage_option: dict[str, Any]) -> None:
    """Show how large the index is.

    It is an error if there is none, or if it cannot be used, because the array has another shape or
    an unfinished remap.

    \b
    Examples:
      crackle-zarr index info seg.zarr
    """

    def work(source: str) -> str:
        report = verbs.open_index(array_at(source, storage_option, level=level)).report
        if as_json:
            fields = {name: getattr(report, name) for name in ("labels", "rows", "chunks", "nbytes")}
            return json.dumps({"file": source, **fields}, indent=2)
        return f"{source}: {_described(report)}"

    _common.Batch().run([source], work)


@index.command(epilog=EXIT_CODES)
@source_argument
@_level
@storage_option
def remove(source: str, level: int | None, storage_option: dict[str, Any]) -> None:
    """Remove the index, and what an interrupted build has left.

    \b
    Examples:
      crackle-zarr index remove seg.zarr
    """

    def work(source: str) -> str:
        verbs.remove_index(array_at(source, storage_option, mode="r+", level=level))
        return f"{source}: the label index is removed"

    _common.Batch().run([source], work)


def _described(report: IndexReport) -> str:
    return (
        f"{counted(report.labels, 'label')}, {counted(report.rows, 'row')} of "
        f"{counted(report.chunks, 'chunk')}, {report.nbytes:,} bytes of index"
    )
