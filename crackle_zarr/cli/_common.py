"""Options, exit codes and one-line errors that the commands share."""

from __future__ import annotations

import contextlib
import difflib
import errno
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

import click
from tqdm import tqdm  # type: ignore[import-untyped]

from .._base.options import PRESETS, MarkovOrder, check_markov_model_order
from .._base.passwords import without_password
from ..errors import CrackleError, CrackleWarning, FormatError, VerificationError

P = TypeVar("P", Path, str)

DAMAGED = 1
UNUSABLE = 2
ABSENT = 3
# From mild to severe. When several files fail, the most severe code becomes the exit code.
_BY_SEVERITY = (0, ABSENT, DAMAGED, UNUSABLE)

EXIT_CODES = """
\b
Exit codes:
  0  success
  1  something is damaged
  2  the request is invalid: a mistyped option, a missing file, a file
     of another format, an output that exists; or a store failed
  3  the volume does not have the requested label
"""


class AbsentError(LookupError):
    """The volume does not have the requested label."""


class ClosedPipeError(Exception):
    """The reader of stdout has closed the pipe: 'crackle-zarr labels x | head'.

    No OSError: click turns EPIPE into exit code 1 before the entry point sees it.
    """


class Commands(click.Group):
    """A group of commands that suggests a similar name for a mistyped one."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its broken pipe becomes a ClosedPipeError."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # what is buffered would fail later, outside
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            raise ClosedPipeError from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; if it does not exist, suggest the one with the most similar name."""
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
    """Add the argument for input files."""
    return click.argument(
        "inputs", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
    )(command)


def places(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument for files and for Zarr arrays, each by path or URL."""
    return click.argument("inputs", metavar="PATH-or-URL...", nargs=-1, required=True)(command)


def output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for the output path."""
    return click.option(
        "-o",
        "--output",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="The file to write, or an existing directory for it. The default is the source's directory.",
    )(command)


def force(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option to replace existing outputs."""
    return click.option("--force", is_flag=True, help="Replace existing outputs.")(command)


def parallel(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for the number of threads."""
    return click.option(
        "-j",
        "--parallel",
        metavar="THREADS",
        type=click.IntRange(min=0),
        default=0,
        help="The number of threads; 0, the default, means one per core.",
    )(command)


def preset(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for a preset: the values of --markov and --pins where the user gives none."""
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help="fast: -m 0 -p 0, the fastest. balanced, the default: -m 3 -p 0, smaller and about as fast. "
        "small: -m auto -p 2, the smallest, and slow to write. --markov and --pins override it.",
    )(command)


def markov(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for the order of the Markov model."""
    return click.option(
        "-m",
        "--markov",
        metavar="ORDER",
        callback=_order,
        help="Predict each move along a boundary from this many moves before it: 0 (no model) to 12; auto "
        "chooses the order with the smallest output. A higher order is slower and compresses better, "
        "until the model itself gets large. The default is the preset's, 3.",
    )(command)


def _order(ctx: click.Context, param: click.Parameter, value: str | None) -> MarkovOrder | None:
    if value is None:
        return None
    try:
        return check_markov_model_order(int(value) if value.isascii() and value.isdigit() else value)
    except (TypeError, ValueError):
        raise click.BadParameter(f"{value!r} is not an order: 0 to 12, or auto.", ctx, param) from None


def pins(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option to store labels as pins."""
    return click.option(
        "-p",
        "--pins",
        metavar="0|1|2",
        type=click.IntRange(0, 2),
        help="Store labels as pins through the slices: 0 no, 1 yes, 2 yes, with a longer search. Pins "
        "compress better when objects span many slices. The default is the preset's, 0.",
    )(command)


def shape(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Parse positive integers with commas between them, such as 64,256,256."""
    if value is None:
        return None
    try:
        lengths = tuple(int(number) for number in value.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise click.BadParameter(
            f"{value!r} is not a shape: give positive integers such as 64,256,256.", ctx, param
        )
    return lengths


# ---------------------------------------------------------------------------------------
# Several files in one command


class Batch:
    """Works on files one after another, shows the progress, and continues when a file fails."""

    def __init__(self) -> None:
        self.exit_code = 0

    def record_exit_code(self, code: int) -> None:
        """Set the exit code, unless a more severe one is set."""
        self.exit_code = max(self.exit_code, code, key=_BY_SEVERITY.index)

    def run(self, paths: Sequence[P], work: Callable[[P], str | None]) -> NoReturn:
        """Call ``work`` with each path, print the text it returns, and exit with the most severe code."""
        # The bar is on stderr, and only on a terminal: stdout is for results.
        with tqdm(paths, unit="file", leave=False, disable=_disable_bar(paths), file=sys.stderr) as bar:
            for path in bar:
                try:
                    text = work(path)
                except BrokenPipeError:  # stdout's reader is gone, so the other files fail too
                    raise
                except EXPECTED as error:
                    with tqdm.external_write_mode(file=sys.stderr):
                        click.echo(one_line(error, path), err=True)
                    self.record_exit_code(exit_code(error))
                else:
                    if text is not None:
                        with tqdm.external_write_mode(file=sys.stdout):
                            click.echo(text)
        sys.exit(self.exit_code)


def _disable_bar(paths: Sequence[object]) -> bool | None:
    return True if len(paths) < 2 else None  # None: tqdm shows the bar on terminals only


# Errors that a file or an option can cause. Any other error is a bug of this package and shows a traceback.
EXPECTED = (
    AbsentError,
    CrackleError,
    OSError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    NotImplementedError,  # queries do not support every kind of Zarr array
    ImportError,
)

# Arguments and calls that the Python functions' messages name, and the options that do the same.
_OPTION_OF = {
    "create_index(array, overwrite=True)": "'crackle-zarr index build --overwrite'",
    "crackle_zarr.create_index(array)": "'crackle-zarr index build'",
    "update_index(array)": "'crackle-zarr index update'",
    "index='ignore'": "--index ignore",
    "create_chunks=True": "--create-chunks",
    "overwrite=True": "--overwrite",
    "preserve_missing_labels=True keeps such labels": "without --strict, such labels keep their names",
    "resume()": "--resume",
    "undo()": "--undo",
    "crackle_zarr.convert(source, 'crackle.zarr')": "'crackle-zarr convert SOURCE crackle.zarr'",
}


def exit_code(error: BaseException) -> int:
    """The exit code for an error."""
    if isinstance(error, AbsentError):
        return ABSENT
    return DAMAGED if isinstance(error, FormatError | VerificationError) else UNUSABLE


def one_line(error: BaseException, path: Path | str | None = None) -> str:
    """Format an error as one line that names the file."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or path}: {error.strerror}"
    else:
        text = _in_options(error) or type(error).__name__
        if path is not None and str(path) not in text:
            text = f"{path}: {text}"
    return f"crackle-zarr: {without_password(text)}"


def _in_options(message: object) -> str:
    """Put a message on one line, and name options where it names Python's arguments."""
    text = " ".join(str(message).split())
    for python, option in _OPTION_OF.items():
        text = text.replace(python, option)
    rest = _ASIDE.sub("", text)
    return _ASIDE.sub(lambda aside: "" if _says_no_more(aside[1], rest) else aside[0], text)


# What messages of Python's functions say about the command line.
_ASIDE = re.compile(r" \(on the command line:? ([^)]*)\)")


def _says_no_more(aside: str, rest: str) -> bool:
    """Whether a message has the options of an aside anyway."""
    options = re.findall(r"--[a-z-]+", aside)
    return bool(options) and all(option in rest for option in options)


# Warnings for programmers, of which the user of a command can make no use.
_FOR_PROGRAMMERS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ImportWarning,
    ResourceWarning,
)


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """Print warnings as notes of one line; those of other libraries once, with the library's name."""
    with warnings.catch_warnings():
        told: set[str] = set()

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, _FOR_PROGRAMMERS):
                return
            text = _in_options(message)
            if not issubclass(category, CrackleWarning):
                library = _library_at(filename)
                text = f"{library}: {text}" if library else text
                if text in told:
                    return
                told.add(text)
            with tqdm.external_write_mode(file=sys.stderr):
                click.echo(f"crackle-zarr: note: {without_password(text)}", err=True)

        warnings.simplefilter("always", CrackleWarning)
        warnings.showwarning = show
        yield


def _library_at(filename: str) -> str:
    """The name of the library that has a source file; empty if it is not known."""
    parts = Path(filename).parts
    places = [place for place, part in enumerate(parts) if part in ("site-packages", "dist-packages")]
    return parts[places[-1] + 1].removesuffix(".py") if places and places[-1] + 1 < len(parts) else ""
