"""What all commands of the command line have in common: options, exit codes, and errors of one line."""

from __future__ import annotations

import contextlib
import difflib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

import click
from tqdm import tqdm  # type: ignore[import-untyped]

from .._base.options import PRESETS, MarkovOrder, check_markov_model_order
from ..errors import CrackleError, CrackleWarning, FormatError, VerificationError

P = TypeVar("P", Path, str)

DAMAGED = 1
UNUSABLE = 2
ABSENT = 3
# When several files fail in several ways: the later of these counts.
_BY_WEIGHT = (0, ABSENT, DAMAGED, UNUSABLE)

EXIT_CODES = """
\b
Exit codes:
  0  all is done
  1  something is damaged
  2  it cannot be done as asked: a mistyped option, a missing or
     foreign file, an output that exists
  3  the label that was looked for is not there
"""


class AbsentError(LookupError):
    """A label that was looked for is not there."""


class Commands(click.Group):
    """A group that offers the command that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or the one with a name like it."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near and "Did you mean" not in error.message:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise


# ---------------------------------------------------------------------------------------
# Arguments that several commands take


def inputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """The files to work on."""
    return click.argument(
        "inputs", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
    )(command)


def places(command: Callable[..., Any]) -> Callable[..., Any]:
    """Files, and Zarr arrays by path or URL."""
    return click.argument("inputs", metavar="PATH-or-URL...", nargs=-1, required=True)(command)


def output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where to write."""
    return click.option(
        "-o",
        "--output",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="The file to write, or an existing directory for it. Without it: beside the source.",
    )(command)


def force(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether to replace what exists."""
    return click.option("--force", is_flag=True, help="Replace outputs that exist.")(command)


def parallel(command: Callable[..., Any]) -> Callable[..., Any]:
    """How many threads."""
    return click.option(
        "-j",
        "--parallel",
        metavar="THREADS",
        type=click.IntRange(min=0),
        default=0,
        help="How many threads; 0, the default, is one per core.",
    )(command)


def preset(command: Callable[..., Any]) -> Callable[..., Any]:
    """What to take of the options that follow where they are not given."""
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help="fast: -m 0 -p 0, the fastest. balanced, the default: -m 3 -p 0, smaller and about as fast. "
        "small: -m auto -p 2, the smallest, and slow to make. --markov and --pins override it.",
    )(command)


def markov(command: Callable[..., Any]) -> Callable[..., Any]:
    """The order of the Markov model."""
    return click.option(
        "-m",
        "--markov",
        metavar="ORDER",
        callback=_order,
        help="Model the boundaries by this many of their last moves, 0 (no model) to 12; auto is the "
        "order that makes the output smallest. Higher is smaller, until the model itself is large, and "
        "slower. The default is the preset's, 3.",
    )(command)


def _order(ctx: click.Context, param: click.Parameter, value: str | None) -> MarkovOrder | None:
    if value is None:
        return None
    try:
        return check_markov_model_order(int(value) if value.isascii() and value.isdigit() else value)
    except (TypeError, ValueError):
        raise click.BadParameter(f"{value!r} is not an order: 0 to 12, or auto.", ctx, param) from None


def pins(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether to store labels as pins."""
    return click.option(
        "-p",
        "--pins",
        metavar="0|1|2",
        type=click.IntRange(0, 2),
        help="Store labels as pins through the slices: 0 no, 1 yes, 2 with more effort. Smaller where "
        "objects go through many slices. The default is the preset's, 0.",
    )(command)


def shape(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Numbers with commas between them, such as 64,256,256."""
    if value is None:
        return None
    try:
        lengths = tuple(int(number) for number in value.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise click.BadParameter(
            f"{value!r} is not a shape: positive numbers such as 64,256,256.", ctx, param
        )
    return lengths


# ---------------------------------------------------------------------------------------
# Many files, and what becomes of each


class Batch:
    """Goes through files, shows how far it is, and goes on when one of them fails."""

    def __init__(self) -> None:
        self.exit_code = 0

    def ends_with(self, code: int) -> None:
        """Let this be the exit code, unless there is a worse one."""
        self.exit_code = max(self.exit_code, code, key=_BY_WEIGHT.index)

    def over(self, paths: Sequence[P], work: Callable[[P], str | None]) -> NoReturn:
        """Call ``work`` with each path, print what it returns, and end with the worst exit code."""
        # On stderr, and only on a terminal: stdout is for results.
        with tqdm(paths, unit="file", leave=False, disable=_bar_is_useless(paths), file=sys.stderr) as bar:
            for path in bar:
                try:
                    said = work(path)
                except BrokenPipeError:  # stdout's reader is gone, whatever the file
                    raise
                except EXPECTED as error:
                    with tqdm.external_write_mode(file=sys.stderr):
                        click.echo(one_line(error, path), err=True)
                    self.ends_with(exit_code(error))
                else:
                    if said is not None:
                        with tqdm.external_write_mode(file=sys.stdout):
                            click.echo(said)
        sys.exit(self.exit_code)


def _bar_is_useless(paths: Sequence[object]) -> bool | None:
    return True if len(paths) < 2 else None  # None: tqdm shows it on terminals only


# What a file or an option can be the cause of. Anything else is a mistake of ours and shows a traceback.
EXPECTED = (
    AbsentError,
    CrackleError,
    OSError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    NotImplementedError,  # an array of a kind that Zarr has and questions do not support
    ImportError,
)

# What messages for Python say, and how it is said here.
_AS_OPTIONS = {
    "create_chunks=True": "--create-chunks",
    "overwrite=True": "--overwrite",
    "preserve_missing_labels=True keeps such labels": "without --strict, such labels keep their names",
    "resume()": "--resume",
    "undo()": "--undo",
    "crackle_zarr.convert(source, 'crackle.zarr')": "'crackle-zarr convert SOURCE crackle.zarr'",
}


def exit_code(error: BaseException) -> int:
    """What an error makes of the exit code."""
    if isinstance(error, AbsentError):
        return ABSENT
    return DAMAGED if isinstance(error, FormatError | VerificationError) else UNUSABLE


def one_line(error: BaseException, path: Path | str | None = None) -> str:
    """An error as one line that names the file."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or path}: {error.strerror}"
    else:
        text = _spoken(error) or type(error).__name__
        if path is not None and str(path) not in text:
            text = f"{path}: {text}"
    return f"crackle-zarr: {text}"


def _spoken(message: object) -> str:
    text = " ".join(str(message).split())
    for python, option in _AS_OPTIONS.items():
        text = text.replace(python, option)
    return text


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """Show this package's warnings as one line each."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, CrackleWarning):
                before(message, category, filename, lineno, file, line)
                return
            with tqdm.external_write_mode(file=sys.stderr):
                click.echo(f"crackle-zarr: note: {_spoken(message)}", err=True)

        warnings.simplefilter("always", CrackleWarning)
        warnings.showwarning = show
        yield
