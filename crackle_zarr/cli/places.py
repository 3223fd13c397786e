"""Opening stored arrays by path or URL, and the options of queries on them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click
from tqdm import tqdm  # type: ignore[import-untyped]

from .. import verbs
from .._base.faults import RETRIES
from ..errors import FormatError, StoreError
from ..files.formats import slices
from ..files.space import Space
from ..files.volumes import UnusableError
from . import _common
from ._common import AbsentError

if TYPE_CHECKING:
    import zarr

    from ..stored.engine import IndexUse, Progress
    from ..stored.told import OnUnfinished


# ---------------------------------------------------------------------------------------
# Options of queries


def _ranges(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
    """Parse ranges as Python writes them, with commas between them, such as 10:20,:,5:100."""
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
    """Parse KEY=VALUE. The value is JSON; if it is not valid JSON, it is text."""
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
    """Add the option to query a part of the array only."""
    return click.option(
        "--region",
        metavar="RANGES",
        callback=_ranges,
        help="Query this part of the array only: ranges as in Python, one per axis, such as "
        "10:20,:,5:100. Indices in the output still count from the array's first voxel.",
    )(command)


# Where a command keeps --retries: for all that opens a place, however deep.
_RETRIES = "crackle_zarr.retries"


def _keep_retries(ctx: click.Context, param: click.Parameter, value: int) -> None:
    ctx.meta[_RETRIES] = value


def retries_given() -> int:
    """How often the command repeats a request to a distant store."""
    context = click.get_current_context(silent=True)
    return RETRIES if context is None else int(context.meta.get(_RETRIES, RETRIES))


def storage_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the store of a URL: how it is configured, and how patiently it is asked."""
    retries = click.option(
        "--retries",
        metavar="N",
        type=click.IntRange(min=0),
        default=RETRIES,
        show_default=True,
        expose_value=False,
        callback=_keep_retries,
        help="Repeat a request to a distant store so often after a fault that may pass, such as status 503.",
    )
    return click.option(
        "--storage-option",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_options,
        help="Pass this option to fsspec, which opens the store of a URL; such as anon=true. The value may "
        "be JSON. Repeatable.",
    )(retries(command))


def no_progress(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option to hide the progress bar."""
    return click.option(
        "--no-progress",
        is_flag=True,
        help="Show no progress bar. It is on stderr, if that is a terminal.",
    )(command)


def _no_verify(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option to skip checksums."""
    return click.option("--no-verify", is_flag=True, help="Do not verify checksums. Less is read then.")(
        command
    )


def _index(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says whether to use the label index."""
    return click.option(
        "--index",
        type=click.Choice(["auto", "require", "ignore"]),
        default="auto",
        show_default=True,
        help="The label index of an array: use it if it is there and current, require it, or do not look.",
    )(command)


def _unfinished(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option to refuse arrays with something unfinished."""
    return click.option(
        "--unfinished",
        type=click.Choice(["warn", "refuse", "ignore"]),
        default="warn",
        help="Of an array with an unfinished remap or conversion, which may be a mixture of labels.",
    )(command)


def _level(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for a level of a pyramid."""
    return click.option(
        "--level",
        metavar="NUMBER",
        type=click.IntRange(0),
        help="Of OME-Zarr labels, query this level of the pyramid; 0, the default, is the finest.",
    )(command)


@dataclass(frozen=True)
class QueryOptions:
    """The options that all queries have."""

    region: tuple[Any, ...] | None = None
    parallel: int = 0
    verify: bool = True
    storage_options: dict[str, Any] | None = None
    progress: bool = True
    level: int | None = None
    index: IndexUse = "auto"
    unfinished: OnUnfinished = "warn"
    retries: int = field(default_factory=retries_given)

    def refuse_for_file(self, place: str) -> None:
        """Raise UnusableError if an option is set that files do not take."""
        if self.level is not None:
            raise UnusableError(f"{place}: --level is for OME-Zarr, and this is a file")
        if self.region is not None:
            raise UnusableError(f"{place}: --region is for Zarr arrays, and this is a file")
        refuse_storage_options(place, self.storage_options)

    @contextlib.contextmanager
    def keywords(self) -> Iterator[verbs.ArrayOptions]:
        """Keywords for the functions on stored arrays; their progress is shown as a bar."""
        with self.bar() as progress:
            yield {
                "region": self.region,
                "parallel": self.parallel,
                "verify": self.verify,
                "progress": progress,
                "index": self.index,
                "unfinished": self.unfinished,
                "retries": self.retries,
            }

    @contextlib.contextmanager
    def bar(self, unit: str = "chunk") -> Iterator[Progress]:
        """A function that shows progress (units done, units in total) as a bar; False: show none.

        The bar is on stderr, if that is a terminal.
        """
        if not self.progress or not sys.stderr.isatty():
            yield False
            return
        with tqdm(unit=unit, leave=False, file=sys.stderr) as progress_bar:

            def advance(done: int, total: int) -> None:
                if progress_bar.total != total or done < progress_bar.n:
                    progress_bar.reset(total)  # the next of several passes
                progress_bar.update(done - progress_bar.n)

            yield advance


def query(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of queries; the command gets them as one argument, ``options``."""

    @functools.wraps(command)
    def with_options(
        *arguments: Any,
        region: tuple[Any, ...] | None,
        parallel: int,
        no_verify: bool,
        storage_option: dict[str, Any],
        no_progress: bool,
        level: int | None,
        index: IndexUse,
        unfinished: OnUnfinished,
        **others: Any,
    ) -> Any:
        options = QueryOptions(
            region,
            parallel,
            not no_verify,
            storage_option,
            not no_progress,
            level,
            index,
            unfinished,
        )
        return command(*arguments, options=options, **others)

    decorated: Callable[..., Any] = with_options
    extra = (_unfinished, _no_verify, _common.parallel, _index, _level, region)
    for option in (no_progress, storage_option, *extra):
        decorated = option(decorated)
    return decorated


class LabelCommand(click.Command):
    """A command with labels among its arguments, which may be negative."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; where a negative label was taken for an option, say how to give it."""
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
    """Add the argument for one file or array."""
    return click.argument("source", metavar="PATH-or-URL")(command)


# ---------------------------------------------------------------------------------------
# Sources


def is_url(place: str) -> bool:
    """Whether a place is a URL; otherwise it is a path."""
    return "://" in place


def is_precomputed(place: str) -> bool:
    """Whether a place is a precomputed volume."""
    return place.startswith("precomputed://")


def is_remote(place: str) -> bool:
    """Whether a place is a URL that fsspec opens: a precomputed volume may be a folder."""
    return is_url(place.removeprefix("precomputed://"))


def is_stored(place: str) -> bool:
    """Whether a place is in Zarr: a URL or a directory; otherwise it is a file, or a sequence of images."""
    return is_url(place) or (Path(place).is_dir() and not slices.is_sequence(place))


def refuse_storage_options(place: str, options: dict[str, Any] | None) -> None:
    """Raise UnusableError if there are options of a store, but the place is a path."""
    if options:
        raise UnusableError(f"{place}: --storage-option is for URLs, and this is a path")


def opened(
    place: str,
    options: dict[str, Any] | None = None,
    mode: Literal["r", "r+"] = "r",
    scale: str | None = None,
) -> zarr.Array[Any] | zarr.Group:
    """The Zarr array or group at a path or URL, or a scale of a precomputed volume.

    Args:
        place: the path or URL.
        options: of the store of a URL.
        mode: "r", or "r+" for edits.
        scale: the key or number of the scale of a precomputed volume; None: the finest.

    Raises:
        UnusableError: there is none, or a package that the URL needs is not installed.
        FormatError: its metadata is damaged.
        StoreError: the store failed.
    """
    if is_precomputed(place):
        if mode != "r":
            raise UnusableError(
                f"{place}: precomputed volumes are read only: 'crackle-zarr convert' makes a Zarr array"
            )
        from ..precomputed import open_precomputed

        with opening(place):
            return open_precomputed(place, scale=scale, storage_options=options)
    if scale is not None:
        raise UnusableError(f"{place}: --scale is for precomputed volumes: precomputed://PATH-or-URL")
    if not is_url(place):
        refuse_storage_options(place, options)
        path = Path(place)
        if not path.exists():
            raise FileNotFoundError(2, os.strerror(2), place)
        if not path.is_dir():
            raise UnusableError(
                f"{place}: this is a file, but a Zarr array is a folder or a URL; 'crackle-zarr --help' says "
                f"which commands take files"
            )
    import zarr

    from ..stored import layout  # noqa: F401 - registers the codecs, in case entry points do not

    with opening(place):
        return zarr.open(store_at(place, options, mode), mode=mode)


def store_at(place: str, options: dict[str, Any] | None, mode: Literal["r", "r+"]) -> Any:
    """A path as it is; of a URL a store that is asked as patiently as the command says, from opening on."""
    if not is_url(place):
        return place
    from zarr.storage import FsspecStore

    from .._base.patience import patient

    store = FsspecStore.from_url(place, storage_options=options or None, read_only=mode == "r")
    return patient(store, retries_given())


@contextlib.contextmanager
def opening(place: str) -> Iterator[None]:
    """Turn the errors of Zarr and of stores into errors of this package that name the place."""
    try:
        yield
    except (UnusableError, FormatError, StoreError):
        raise
    except ImportError as error:
        if "pip install" in str(error):
            raise UnusableError(str(error)) from error
        raise UnusableError(
            f"{place} cannot be opened: {error} (for URLs of http and s3: pip install 'crackle-zarr[remote]')"
        ) from error
    except FileNotFoundError as error:
        if is_precomputed(place):
            raise UnusableError(str(error)) from error
        raise UnusableError(f"{place}: there is no Zarr array or group") from error
    except json.JSONDecodeError as error:
        raise FormatError(f"{place}: its metadata is damaged: {error}") from error
    except PermissionError as error:
        raise UnusableError(f"{place} cannot be opened: {error}") from error
    except (ValueError, TypeError) as error:
        raise UnusableError(f"{place} cannot be opened: {error}") from error
    except Exception as error:  # each store has exceptions of its own
        reason = str(error) or "no reason given"
        raise StoreError(f"{place} cannot be opened: {type(error).__name__}: {reason}") from error


def array_at(
    place: str,
    options: dict[str, Any] | None = None,
    mode: Literal["r", "r+"] = "r",
    level: int | None = None,
    scale: str | None = None,
) -> zarr.Array[Any]:
    """The array at a path or URL; in a group of OME-Zarr labels, the array of a level, by default 0."""
    import zarr

    found = opened(place, options, mode, scale)
    if level is not None:
        if isinstance(found, zarr.Array):
            raise UnusableError(f"{place}: --level is for OME-Zarr, and this is an array")
        from ..verbs.sources import array_of_level

        array: zarr.Array[Any] = array_of_level(found, level)
        return array
    if isinstance(found, zarr.Group):
        from ..stored.sources import array_of

        return array_of(found)
    return found


def space_of(array: zarr.Array[Any]) -> Space:
    """Voxel size, unit and origin of a stored array."""
    from ..ome import metadata

    return metadata.space_of(array)


def space_fields(space: Space) -> dict[str, Any]:
    """Voxel size, unit, origin and orientation, as fields for JSON."""
    return {
        "voxel_size": None if space.voxel_size is None else list(space.voxel_size),
        "voxel_unit": space.unit,
        "voxel_origin": None if space.origin is None else list(space.origin),
        "turned": space.is_turned,
    }


def space_rows(record: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Voxel size, origin and orientation, as rows of a table. Unknown values have no row."""
    size, origin = record["voxel_size"], record["voxel_origin"]
    space = Space(size and tuple(size), record["voxel_unit"])
    rows = {"voxel size": space.text(names)} if size else {}
    if origin:
        rows["origin"] = f"{', '.join(f'{one:g}' for one in origin)} {record['voxel_unit'] or ''}".rstrip()
    if record.get("turned"):
        rows["orientation"] = "turned or flipped against the axes of space"
    return rows


def absent(place: str, label: int) -> NoReturn:
    """Raise AbsentError; its message names the command that lists the labels."""
    raise AbsentError(f"{place}: there is no label {label}; 'crackle-zarr labels {place}' lists them")


def as_ranges(slices: Iterable[slice]) -> str:
    """Format a box as --region takes it."""
    return ",".join(f"{one.start}:{one.stop}" for one in slices)


def commas(numbers: Iterable[int]) -> str:
    """Format numbers as options take them."""
    return ",".join(map(str, numbers))


def counted(number: int, what: str) -> str:
    """Format a number and its noun, in the plural where it is needed."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def by(shape: Iterable[object]) -> str:
    """Format a shape, with x between the lengths."""
    return " x ".join(map(str, shape)) or "no axes"


def new_file(path: Path, force: bool) -> None:
    """Raise UnusableError if a file to write exists already, or its directory does not."""
    if path.exists() and not force:
        raise UnusableError(f"{path} exists already: --force replaces it, --output names another file")
    if not path.absolute().parent.is_dir():
        raise UnusableError(f"{path}: there is no directory {path.parent}")


# ---------------------------------------------------------------------------------------
# For commands that also take files


def labels_of(place: str, options: QueryOptions) -> Any:
    """The labels of the array at a path or URL."""
    array = array_at(place, options.storage_options, level=options.level)
    with options.keywords() as keywords:
        return verbs.labels(array, **keywords)


def verified(place: str, options: QueryOptions) -> tuple[bool, str]:
    """Whether the array at a path or URL is damaged, and a report as text."""
    import zarr

    array = array_at(place, options.storage_options, level=options.level)
    whole = options.region is None and options.level is None
    found = opened(place, options.storage_options) if whole else array
    with options.keywords() as keywords:
        # Of an image all levels.
        damaged = verbs.verify(array if isinstance(found, zarr.Array) else found, **keywords)
    if not damaged:
        return False, f"{place}: sound" + ("" if _has_crackle(array) else ", as far as decoding can tell")
    # What is unfinished is listed with an empty index, but the chunk of an array without axes has one, too.
    unfinished = [one for one in damaged if ".crackle-" in one.key]
    chunks = [one for one in damaged if ".crackle-" not in one.key]
    lines = [f"{place}: {one.message}" for one in unfinished]
    lines += [f"{place}: chunk {commas(one.chunk)}, {one.key}: {one.message}" for one in chunks]
    noun = "chunk is damaged" if len(chunks) == 1 else "chunks are damaged"
    rest = ", and it is unfinished" if unfinished else ""
    return True, "\n".join([*lines, f"{place}: {len(chunks):,} {noun}{rest}"])


def _has_crackle(array: zarr.Array[Any]) -> bool:
    from ..stored.layout import layout_of

    return layout_of(array).chain is not None
