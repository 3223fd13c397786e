"""The command line's commands on Zarr arrays, and what those on files as well say of Zarr arrays.

``cli_convert`` has the command that turns arrays and files into each other. Zarr is imported when a command
needs it, not before.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import importlib.util
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NoReturn, cast

import click
import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from .. import verbs
from .._base import atomic_files
from ..errors import FormatError, StoreError
from ..files import crackle_files, volumes
from ..files.volumes import UnusableError
from . import _common
from ._common import EXIT_CODES, AbsentError

if TYPE_CHECKING:
    import zarr
    from rich.table import Table

    from ..stored.engine import Progress
    from ..stored.statistics import StatisticsTable

# Rows of a table on a terminal, unless all are asked for.
_ROWS = 40


# ---------------------------------------------------------------------------------------
# Options of questions


def _ranges(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
    """Ranges as in Python, with commas between them, such as 10:20,:,5:100."""
    if value is None:
        return None
    parts: list[Any] = []
    for text in (part.strip() for part in value.split(",")):
        numbers = text.split(":")
        try:
            if text == "...":
                parts.append(Ellipsis)
            elif len(numbers) == 1:
                parts.append(int(text))
            else:
                parts.append(slice(*(int(number) if number.strip() else None for number in numbers)))
        except (ValueError, TypeError):
            raise click.BadParameter(
                f"{value!r} is not a region: ranges as in Python, one per axis, such as 10:20,:,5:100; "
                f"{text!r} is no range.",
                ctx,
                param,
            ) from None
    return tuple(parts)


def _options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE, where the value is JSON if it can be read as such."""
    options: dict[str, Any] = {}
    for given in values:
        key, equals, text = given.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{given!r} is not KEY=VALUE, such as anon=true.", ctx, param)
        try:
            options[key] = json.loads(text)
        except json.JSONDecodeError:
            options[key] = text
    return options


def region(command: Callable[..., Any]) -> Callable[..., Any]:
    """The part of the array that is asked about."""
    return click.option(
        "--region",
        metavar="RANGES",
        callback=_ranges,
        help="Ask about this part of the array only: ranges as in Python, one per axis, such as "
        "10:20,:,5:100. Indices in answers count from the array's first voxel all the same.",
    )(command)


def storage_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the store of a URL has to know."""
    return click.option(
        "--storage-option",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_options,
        help="An option of the store of a URL, as fsspec has it, such as anon=true; a value may be JSON. "
        "Repeat it for others.",
    )(command)


def no_progress(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether there is a bar."""
    return click.option(
        "--no-progress", is_flag=True, help="No bar on stderr. There is none where stderr is no terminal."
    )(command)


def _no_verify(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--no-verify", is_flag=True, help="Do not verify the checksums of what is read: even less is read."
    )(command)


@dataclass(frozen=True)
class Asked:
    """The options that all questions have."""

    region: tuple[Any, ...] | None = None
    parallel: int = 0
    verify: bool = True
    storage_options: dict[str, Any] | None = None
    progress: bool = True

    def refuse_for_file(self, place: str) -> None:
        """Raise UnusableError where an option is given that a file does not take."""
        if self.region is not None:
            raise UnusableError(f"{place}: --region is for Zarr arrays, and this is a file")
        refuse_storage_options(place, self.storage_options)

    @contextlib.contextmanager
    def keywords(self) -> Iterator[verbs.ArrayOptions]:
        """As keywords of the functions on stored arrays, with a bar."""
        with self.bar() as progress:
            yield {
                "region": self.region,
                "parallel": self.parallel,
                "verify": self.verify,
                "progress": progress,
            }

    @contextlib.contextmanager
    def bar(self, unit: str = "chunk") -> Iterator[Progress]:
        """A bar on stderr, if that is a terminal, as a function of what is done and the whole."""
        if not self.progress or not sys.stderr.isatty():
            yield False
            return
        with tqdm(unit=unit, leave=False, file=sys.stderr) as shown:

            def advance(done: int, total: int) -> None:
                if shown.total != total or done < shown.n:
                    shown.reset(total)  # the next of several passes
                shown.update(done - shown.n)

            yield advance


def query(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of questions; they arrive as one argument, ``asked``."""

    @functools.wraps(command)
    def with_asked(
        *arguments: Any,
        region: tuple[Any, ...] | None,
        parallel: int,
        no_verify: bool,
        storage_option: dict[str, Any],
        no_progress: bool,
        **others: Any,
    ) -> Any:
        asked = Asked(region, parallel, not no_verify, storage_option, not no_progress)
        return command(*arguments, asked=asked, **others)

    made: Callable[..., Any] = with_asked
    for option in (no_progress, storage_option, _no_verify, _common.parallel, region):
        made = option(made)
    return made


class LabelCommand(click.Command):
    """A command with labels among its arguments, which may be negative."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Tell what to do about a negative label, which looks like an option."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name[1:2].isdigit():
                raise click.UsageError(
                    f"{error.option_name!r} is no option: put negative labels behind ' -- ', "
                    f"at the end of the line.",
                    ctx,
                ) from None
            raise


def source_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The one place to work on."""
    return click.argument("source", metavar="PATH-or-URL")(command)


# ---------------------------------------------------------------------------------------
# Sources


def is_url(place: str) -> bool:
    """Whether a place is a URL; others are paths."""
    return "://" in place


def is_stored(place: str) -> bool:
    """Whether a path or URL is one of Zarr; other paths are those of files."""
    return is_url(place) or Path(place).is_dir()


def refuse_storage_options(place: str, options: dict[str, Any] | None) -> None:
    """Raise UnusableError where options of a store are given for a path."""
    if options:
        raise UnusableError(f"{place}: --storage-option is for URLs, and this is a path")


def opened(
    place: str, options: dict[str, Any] | None = None, mode: Literal["r", "r+"] = "r"
) -> zarr.Array[Any] | zarr.Group:
    """The Zarr array or group at a path or URL.

    Raises:
        UnusableError: there is none, or what a URL needs is not installed.
        FormatError: its metadata is damaged.
        StoreError: the store failed.
    """
    if not is_url(place):
        refuse_storage_options(place, options)
        path = Path(place)
        if not path.exists():
            raise FileNotFoundError(2, os.strerror(2), place)
        if not path.is_dir():
            raise UnusableError(
                f"{place}: a file, and a Zarr array is a folder or a URL; 'crackle-zarr --help' tells "
                f"which commands take files"
            )
    import zarr

    from ..stored import layout  # noqa: F401 - it registers the codecs, should entry points not

    with opening(place):
        return zarr.open(place, mode=mode, storage_options=options or None)


@contextlib.contextmanager
def opening(place: str) -> Iterator[None]:
    """Say what kept Zarr from opening a place."""
    try:
        yield
    except ImportError as error:
        raise UnusableError(
            f"{place} cannot be opened: {error} (what URLs of http and s3 need: "
            f"pip install 'crackle-zarr[remote]')"
        ) from error
    except FileNotFoundError as error:
        raise UnusableError(f"{place}: there is no Zarr array or group") from error
    except json.JSONDecodeError as error:
        raise FormatError(f"{place}: its metadata is damaged: {error}") from error
    except PermissionError as error:
        raise UnusableError(f"{place} cannot be opened: {error}") from error
    except (ValueError, TypeError) as error:
        raise UnusableError(f"{place} cannot be opened: {error}") from error
    except Exception as error:  # of a store, each of which has exceptions of its own
        reason = str(error) or "no reason given"
        raise StoreError(f"{place} cannot be opened: {type(error).__name__}: {reason}") from error


def array_at(
    place: str, options: dict[str, Any] | None = None, mode: Literal["r", "r+"] = "r"
) -> zarr.Array[Any]:
    """The array at a path or URL: of a group of OME-Zarr labels, that of level 0."""
    import zarr

    found = opened(place, options, mode)
    if isinstance(found, zarr.Group):
        from ..stored.sources import array_of

        return array_of(found)
    return found


def _absent(place: str, label: int) -> NoReturn:
    raise AbsentError(f"{place}: there is no label {label}; 'crackle-zarr labels {place}' lists them")


def _as_ranges(slices: Iterable[slice]) -> str:
    """A box as --region takes it."""
    return ",".join(f"{one.start}:{one.stop}" for one in slices)


def commas(numbers: Iterable[int]) -> str:
    """Numbers as options take them."""
    return ",".join(map(str, numbers))


def counted(number: int, what: str) -> str:
    """A number and its noun, which takes an s."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def by(shape: Iterable[int]) -> str:
    """A shape, for people."""
    return " x ".join(map(str, shape)) or "no axes"


def _new_file(path: Path, force: bool) -> None:
    """Refuse a file to write that exists, or that has no folder."""
    if path.exists() and not force:
        raise UnusableError(f"{path} exists already: --force replaces it, --output names another file")
    if not path.absolute().parent.is_dir():
        raise UnusableError(f"{path}: there is no directory {path.parent}")


# ---------------------------------------------------------------------------------------
# For the commands that take files as well


def labels_of(place: str, asked: Asked) -> Any:
    """The labels of the array at a path or URL."""
    array = array_at(place, asked.storage_options)
    with asked.keywords() as keywords:
        return verbs.labels(array, **keywords)


def verified(place: str, asked: Asked) -> tuple[bool, str]:
    """Whether something of the array at a path or URL is damaged, and what to say of it."""
    array = array_at(place, asked.storage_options)
    with asked.keywords() as keywords:
        damaged = verbs.verify(array, **keywords)
    if not damaged:
        return False, f"{place}: sound" + ("" if _has_crackle(array) else ", as far as decoding can tell")
    lines = [f"{place}: chunk {commas(one.chunk)}, {one.key}: {one.message}" for one in damaged]
    of = "chunk is damaged" if len(damaged) == 1 else "chunks are damaged"
    return True, "\n".join([*lines, f"{place}: {len(damaged):,} {of}"])


def _has_crackle(array: zarr.Array[Any]) -> bool:
    from ..stored.layout import layout_of

    return layout_of(array).chain is not None


def inform(place: str, options: dict[str, Any]) -> dict[str, Any]:
    """What ``info`` tells of the array at a path or URL, as JSON has it."""
    from .._base import zarr_facts

    array = array_at(place, options)
    stored = _stored_nbytes(array)
    nbytes = int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize
    fill = array.fill_value
    names = zarr_facts.dimension_names(array)
    chunks, shards = zarr_facts.chunk_shape(array), array.shards
    return {
        "file": place,
        "kind": "zarr",
        "zarr_format": zarr_facts.format_of(array),
        "array": array.path,
        "nbytes": nbytes,
        "stored_nbytes": stored,
        "ratio": nbytes / stored if stored else None,
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "dimension_names": None if names is None else list(names),
        "chunks": list(chunks),
        "num_chunks": int(
            np.prod([-(-a // b) for a, b in zip(array.shape, chunks, strict=True)], dtype=object)
        ),
        "shards": None if shards is None else list(shards),
        "codecs": _codecs(array),
        "fill_value": None if fill is None else str(int(fill)) if array.dtype.kind in "iub" else str(fill),
    }


def _stored_nbytes(array: zarr.Array[Any]) -> int | None:
    """What an array takes in its store; None where the store can not list."""
    try:
        return int(array.nbytes_stored()) or None
    except Exception:  # each store refuses in its own way
        return None


def _codecs(array: zarr.Array[Any]) -> list[str]:
    """The codecs of an array in words, in the order in which they encode."""
    from .._base import zarr_facts

    words = ["axes in reverse order (F)"] if zarr_facts.is_fortran(array) else []
    for codec in zarr_facts.codecs(array):
        # The codecs within a shard are those that encode; the shard itself is told of elsewhere.
        inner = codec.codecs if zarr_facts.codec_json(codec).get("name") == "sharding_indexed" else [codec]
        words += [_in_words(zarr_facts.codec_json(one)) for one in inner]
    return words


def _in_words(told: dict[str, Any]) -> str:
    """A codec and its options; of Crackle, those that are not off."""
    name = str(told.get("name") or told.get("id"))
    options = {**told, **(told.get("configuration") or {})}
    for key in ("name", "id", "configuration"):
        options.pop(key, None)
    if name == "crackle":
        markov, pins = options.get("markov_model_order", 0), options.get("allow_pins", 0)
        words = [f"Markov order {markov}"] * bool(markov) + [f"pins {int(pins)}"] * bool(pins)
        return ", ".join(["Crackle", *words])
    if name == "transpose":
        return f"axes transposed to {commas(options['order'])}"
    if name == "bytes":
        return f"bytes, {options['endian']}-endian" if options.get("endian") else "bytes"
    words = [f"{key} {value}" for key, value in options.items() if value is not None]
    return ", ".join([name, *words])


def info_tables(record: dict[str, Any]) -> Iterator[Table]:
    """The fields of an array."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    axes = record["dimension_names"]
    named = f" ({', '.join(str(name or '-') for name in axes)})" if axes and any(axes) else ""
    raw, stored = record["nbytes"], record["stored_nbytes"]
    rows = {
        "kind": f"Zarr array, format {record['zarr_format']}",
        "array": record["array"],
        "shape": by(record["shape"]) + named,
        "dtype": record["dtype"],
        "fill value": str(record["fill_value"]),
        "chunks": f"{by(record['chunks'])}, {counted(record['num_chunks'], 'chunk')}",
        "shards": "" if record["shards"] is None else by(record["shards"]),
        "codecs": "; ".join(record["codecs"]) or "none",
        "volume": f"{raw:,} bytes",
        "stored": "unknown: the store can not list"
        if stored is None
        else f"{stored:,} bytes" + (f", ratio {raw / stored:.1f}" if raw else ""),
    }
    table = Table(title=Text(record["file"]), title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    yield table


# ---------------------------------------------------------------------------------------
# stats


@click.command(epilog=EXIT_CODES)
@source_argument
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table there instead: .csv or .parquet (which needs pyarrow).",
)
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print CSV, as is done where stdout is no terminal anyway."
)
@click.option(
    "-l", "--label", "labels", metavar="LABEL", type=int, multiple=True, help="Only this label. Repeatable."
)
@click.option(
    "--all", "every", is_flag=True, help=f"Show all rows on a terminal, not only the first {_ROWS}."
)
@_common.force
@query
def stats(
    source: str,
    output: Path | None,
    as_csv: bool,
    labels: tuple[int, ...],
    every: bool,
    force: bool,
    asked: Asked,
) -> None:
    """Count the voxels of labels; boxes and centroids.

    There is a row per label, ascending. Boxes are half-open, centroids are mean indices, and both
    are along the array's axes. A Zarr array answers from the boundaries in its chunks, and no voxel is
    painted. A .ckl file is taken, too; its axes are x, y and z.

    On a terminal it is a table; into a pipe or a file it is CSV with the columns label, voxel_count,
    start_0 ..., stop_0 ..., centroid_0 ....

    \b
    Examples:
      crackle-zarr stats seg.zarr
      crackle-zarr stats seg.zarr > seg.csv
      crackle-zarr stats seg.zarr -o seg.parquet
      crackle-zarr stats seg.zarr --label 42 --label 43
      crackle-zarr stats seg.zarr --region 0:64,:,:
    """
    if output is not None:
        if output.suffix.lower() not in (".csv", ".parquet"):
            raise click.UsageError(f"--output {output}: the name has to end in .csv or .parquet.")
        if output.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise click.UsageError(
                f"--output {output}: Parquet needs pyarrow: pip install 'crackle-zarr[parquet]'"
            )
        _new_file(output, force)

    def work(source: str) -> None:
        table = _statistics(source, labels, asked)
        if output is not None:
            _write_table(table, output)
            click.echo(f"{source} -> {output}  {counted(len(table), 'label')}")
        elif as_csv or not sys.stdout.isatty():
            table.to_csv(sys.stdout)
        else:
            _show_statistics(table, every)
        there = set(table["label"].tolist())
        for label in labels:
            if label not in there:
                _absent(source, label)

    _common.Batch().over([source], work)


def _statistics(source: str, labels: tuple[int, ...], asked: Asked) -> StatisticsTable:
    """The table of a file or an array, of some labels or of all."""
    table: Any
    if not is_stored(source):
        asked.refuse_for_file(source)
        table = verbs.statistics(volumes.read_stream(Path(source)), parallel=asked.parallel)
        if labels:
            table = table[np.isin(table["label"], _held(labels, table))]
        return cast("StatisticsTable", table)
    array = array_at(source, asked.storage_options)
    with asked.keywords() as keywords:
        if not labels:
            return verbs.statistics(array, **keywords)
        # Only the chunks that hold a label are measured.
        parts = []
        for label in sorted(set(labels)):
            keywords["region"] = asked.region
            keywords["region"] = verbs.find(array, label, **keywords).slices
            if keywords["region"] is not None:
                table = verbs.statistics(array, **keywords)
                parts.append(table[table["label"] == label])
        if not parts:  # a table without rows
            keywords["region"] = (slice(0, 0),) * min(1, array.ndim)
            return cast("StatisticsTable", verbs.statistics(array, **keywords)[:0])
        return cast("StatisticsTable", np.concatenate(parts).view(type(parts[0])))


def _held(labels: Iterable[int], table: Any) -> Any:
    """Labels as the dtype of a table has them; those that it can not hold are left out."""
    from .._base.integers import holds

    dtype = np.dtype(np.uint8) if table["label"].dtype.kind == "b" else table["label"].dtype
    return np.array([label for label in labels if holds(dtype, label)], dtype=dtype)


def _write_table(table: StatisticsTable, path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(cast(io.IOBase, file))
            return
        text = io.TextIOWrapper(file, encoding="ascii", newline="")
        table.to_csv(text)
        text.detach()

    atomic_files.replace(os.fspath(path), write)


def _show_statistics(table: StatisticsTable, every: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE)
    for name in ("label", "voxels", "box", "centroid"):
        shown.add_column(name, justify="right", no_wrap=True)
    rows = table if every else table[:_ROWS]
    for row in rows:
        bounds = map(slice, row["start"].tolist(), row["stop"].tolist())
        centroid = ", ".join(f"{index:.1f}" for index in row["centroid"].tolist())
        shown.add_row(str(int(row["label"])), f"{int(row['voxel_count']):,}", _as_ranges(bounds), centroid)
    console = Console(highlight=False)
    console.print(shown)
    if len(rows) < len(table):
        click.echo(
            f"... and {len(table) - len(rows):,} more: --all shows them, --output FILE.csv writes them"
        )


# ---------------------------------------------------------------------------------------
# find, crop


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.argument("label", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object. Its label is text.")
@query
def find(source: str, label: int, as_json: bool, asked: Asked) -> None:
    """Tell where a label is: its box, its chunks.

    The box is half-open and written as --region takes it. The chunks are indices of the grid of
    chunks (within shards, of their inner chunks). With --region, only what lies in there counts.
    The exit code is 3 where the label is not.

    \b
    Examples:
      crackle-zarr find seg.zarr 42
      crackle-zarr find --json seg.zarr 42
      crackle-zarr find seg.zarr 42 > /dev/null && echo it is there
      crackle-zarr find seg.zarr -- -5              a negative label
    """

    def work(source: str) -> None:
        array = array_at(source, asked.storage_options)
        with asked.keywords() as keywords:
            found = verbs.find(array, label, **keywords)
            slices = found.slices
        if as_json:
            told = {
                "file": source,
                "label": str(label),  # as text: it may be larger than JSON's readers hold in a number
                "start": None if slices is None else [one.start for one in slices],
                "stop": None if slices is None else [one.stop for one in slices],
                "chunks": [list(chunk) for chunk in found.chunks],
            }
            click.echo(json.dumps(told, indent=2))
        elif slices is not None:
            click.echo(f"box     {_as_ranges(slices)}")
            click.echo(f"shape   {by(one.stop - one.start for one in slices)}")
            for place, chunk in enumerate(found.chunks):
                click.echo(f"{'' if place else 'chunks':<8}{commas(chunk)}")
        if not found:
            _absent(source, label)

    _common.Batch().over([source], work)


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.argument("label", type=int)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write: .npy or .ckl, or either within .gz, .xz, .lzma, .bz2 or .zst.",
)
@_common.force
@query
def crop(source: str, label: int, output: Path, force: bool, asked: Asked) -> None:
    """Write the mask of a label, cut to its bounding box.

    The mask is bool and has the array's axes; in a stream, which has no bool, it is 0 and 1. Printed
    are its shape, and its offset: the index of its first voxel in the array. Only chunks and slices
    that hold the label are read. The exit code is 3 where the label is not.

    \b
    Examples:
      crackle-zarr crop seg.zarr 42 -o 42.npy
      crackle-zarr crop seg.zarr 42 -o 42.ckl --force
      crackle-zarr crop seg.zarr 42 -o 42.npy --region 0:64
      crackle-zarr crop -o minus.npy seg.zarr -- -5   a negative label
    """
    kind: volumes.Kind = "ckl" if volumes.split_name(output)[0].lower().endswith(".ckl") else "npy"
    if kind == "npy" and not volumes.split_name(output)[0].lower().endswith(".npy"):
        raise click.UsageError(f"--output {output}: the name has to end in .npy or .ckl.")

    def work(source: str) -> str:
        _new_file(output, force)
        array = array_at(source, asked.storage_options)
        if kind == "ckl" and array.ndim > 3:
            raise UnusableError(
                f"{source} has {array.ndim} axes, and a stream has up to three: name the output .npy"
            )
        with asked.keywords() as keywords:
            try:
                mask, offset = verbs.crop(array, label, **keywords)
            except KeyError:
                _absent(source, label)
        if kind == "ckl":
            crackle_files.save(mask, output, parallel=asked.parallel)
        else:
            volumes.write_npy(output, mask)
        voxels = counted(int(np.count_nonzero(mask)), "voxel")
        return f"{source} -> {output}  shape {by(mask.shape)}, offset {commas(offset)}, {voxels}"

    _common.Batch().over([source], work)


# ---------------------------------------------------------------------------------------
# remap


def _pair(old: Any, new: Any, where: str) -> tuple[int, int]:
    """An old and a new label, from text or JSON."""
    for value in (old, new):
        exact = isinstance(value, int) and not isinstance(value, bool)
        if not exact and not (isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value)):
            raise UnusableError(f"{where}: {value!r} is no label: labels are integers")
    return int(old), int(new)


def _read_mapping(path: Path) -> Iterator[tuple[int, int]]:
    """The pairs old, new of a .csv or .json file."""
    if path.suffix.lower() == ".json":
        try:
            with open(path, encoding="utf-8") as file:
                told = json.load(file, object_pairs_hook=list)
        except json.JSONDecodeError as error:
            raise UnusableError(f"{path} is not JSON: {error}") from None
        if not isinstance(told, list) or not all(
            isinstance(pair, tuple | list) and len(pair) == 2 for pair in told
        ):
            raise UnusableError(
                f'{path}: a mapping in JSON is an object such as {{"1": 7}}, or an array of pairs'
            )
        for old, new in told:
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
                continue  # names of the columns
            yield _pair(row[0], row[1], where)


def _mapping_of(pairs: tuple[str, ...], path: Path | None) -> dict[int, int]:
    mapping: dict[int, int] = {}

    def add(old: int, new: int) -> None:
        if mapping.setdefault(old, new) != new:
            raise UnusableError(f"the label {old} is given two new names: {mapping[old]} and {new}")

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
    help="A .csv of two columns, old and new, or a .json object old: new. OLD=NEW are added to it.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be done, and write nothing.")
@click.option(
    "--create-chunks",
    is_flag=True,
    help="Where the fill value gets a new name: write the chunks that are not there, being all fill value.",
)
@click.option("--strict", is_flag=True, help="Refuse, if a label of the array has no new name.")
@click.option("--resume", is_flag=True, help="Finish a remap that was interrupted.")
@click.option("--undo", is_flag=True, help="Take back a remap that was interrupted.")
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
    """Give labels of a Zarr array new names, in place.

    All at once: 1=2 2=1 swaps. Only the label tables of the chunks that hold an old label are
    written anew. Everything is prepared beside the array before the first chunk is replaced, so
    that damage, or a label that does not fit, leaves the array as it was. After an interruption
    --resume finishes the work, and --undo takes it back.

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
        raise click.UsageError(f"{finishing} takes no {' and no '.join(extra)}: the journal has it all.")
    if not finishing and not pairs and path is None:
        raise click.UsageError("Nothing to do: give OLD=NEW, such as 42=7, or --mapping FILE.")
    asked = Asked(None, parallel, True, storage_option, not no_progress)

    def work(source: str) -> str:
        mapping = {} if finishing else _mapping_of(pairs, path)
        array = array_at(source, asked.storage_options, "r" if dry_run else "r+")
        with asked.bar() as progress:
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
                    _tell_of_journal(source, array)
                    raise
        if as_json:
            told = {
                "file": source,
                "dry_run": report.dry_run,
                "chunks": [list(chunk) for chunk in report.chunks],
                "bytes_read": report.bytes_read,
                "bytes_written": report.bytes_written,
            }
            return json.dumps(told, indent=2)
        chunks = counted(len(report.chunks), "chunk")
        did = "put back" if undo else "would change" if report.dry_run else "changed"
        wrote = "would be written" if report.dry_run else "written"
        return (
            f"{source}: {chunks} {did}, {report.bytes_read:,} bytes read, "
            f"{report.bytes_written:,} bytes {wrote}"
        )

    _common.Batch().over([source], work)


def _tell_of_journal(source: str, array: zarr.Array[Any]) -> None:
    """Say how an interrupted remap goes on, if it came as far as replacing chunks."""
    from ..stored.journal import Journal
    from ..stored.layout import layout_of

    if Journal(layout_of(array)).state is not None:
        click.echo(
            f"crackle-zarr: {source} has an unfinished remap: --resume finishes it, --undo takes it back",
            err=True,
        )


COMMANDS = (stats, find, crop, remap)
