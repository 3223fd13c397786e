"""The command line: ``crackle-zarr``.

Exit codes: 0, all is done; 1, something is damaged, or not what it should be; 2, what was asked
for can not be done as it was asked: a mistyped option, a missing or foreign file, an output that
exists; 3, the label that was looked for is not there.

Here are the commands on files, and those that take files and Zarr arrays alike; ``cli_stored`` has the
commands on Zarr arrays alone, and ``cli_convert`` the one that turns arrays and files into each other.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click
import numpy as np

from .. import __version__, _binding
from .._base.header import LABEL_FORMATS
from .._base.options import MarkovOrder, Preset
from ..errors import FormatError
from ..files import crackle_files, volumes
from ..files.volumes import UnusableError
from ..streams import sections, stream
from . import _common, convert, stored
from ._common import DAMAGED, EXIT_CODES, EXPECTED, UNUSABLE, AbsentError
from .stored import Asked

if TYPE_CHECKING:
    from rich.table import Table


@click.group(
    cls=_common.Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="crackle-zarr")
def cli() -> None:
    """Label volumes as Crackle streams and Zarr arrays: small, fast, and able to answer questions.

    Files are NumPy's .npy and Crackle's .ckl, either also within .gz, .xz, .lzma, .bz2 or .zst;
    convert also takes and makes .nrrd, .nii, .nii.gz and .tif (for these: pip install
    'crackle-zarr[formats]'). Zarr arrays and OME-Zarr labels are folders or URLs, such as
    s3://bucket/seg.zarr (for URLs: pip install 'crackle-zarr[remote]'). Sources are kept, but for
    remap, which says so by its name; files appear only when they are whole.

    \b
    Examples:
      crackle-zarr demo                        what it does, on a volume of its own
      crackle-zarr compress seg.npy            makes seg.npy.ckl
      crackle-zarr decompress seg.npy.ckl      makes seg.npy
      crackle-zarr test *.ckl                  is anything damaged?
      crackle-zarr convert old.zarr seg.zarr   the same array, stored with Crackle
      crackle-zarr convert seg.nii.gz seg.ckl  .nrrd, .nii and .tif, from and to all others
      crackle-zarr info seg.zarr               shape, chunks, codecs, sizes, ratio
      crackle-zarr labels seg.zarr             every label, one per line
      crackle-zarr stats seg.zarr -o seg.csv   voxels, box and centroid of each label
      crackle-zarr find seg.zarr 42            where label 42 is
      crackle-zarr crop seg.zarr 42 -o 42.npy  its mask, cut to its box
      crackle-zarr remap seg.zarr 42=7         42 becomes 7, in place
      crackle-zarr verify seg.zarr             is anything damaged?
    """


def _destinations(
    inputs: Sequence[Path], output: Path | None, name: Callable[[Path], str], kind: volumes.Kind
) -> dict[Path, Path]:
    """Which file each input is to become."""
    if len(set(inputs)) < len(inputs):
        twice = next(path for path in inputs if list(inputs).count(path) > 1)
        raise click.UsageError(f"{twice} is given twice.")
    if output is not None and not output.is_dir():
        if len(inputs) > 1:
            raise click.UsageError(
                f"--output {output} is not an existing directory, and {len(inputs)} files need one."
            )
        if not output.parent.is_dir():
            raise click.UsageError(f"--output {output}: there is no directory {output.parent}.")
        volumes.check_name(output, kind)
        return {inputs[0]: output}
    destinations = {path: (output or path.parent) / name(path) for path in inputs}
    by_target: dict[Path, Path] = {}
    for path, target in destinations.items():
        if target in by_target:
            raise click.UsageError(f"{by_target[target]} and {path} would both become {target}.")
        by_target[target] = path
    return destinations


def _check_target(source: Path, target: Path, force: bool) -> None:
    if not target.exists():
        return
    if source.exists() and target.samefile(source):
        raise UnusableError(f"{target}: the output would replace its own source; name another with --output")
    if not force:
        raise UnusableError(f"{target} exists already: --force replaces it, --output names another file")


def _described(source: Path, target: Path, raw: int) -> str:
    size = target.stat().st_size
    return f"{source} -> {target}  {raw:,} -> {size:,} bytes, ratio {raw / max(1, size):.1f}"


# ---------------------------------------------------------------------------------------
# compress, decompress


@cli.command(epilog=EXIT_CODES)
@_common.inputs
@_common.output
@_common.preset
@_common.markov
@_common.pins
@click.option("-z", "--gzip", is_flag=True, help="Compress the stream once more: the name ends in .ckl.gz.")
@_common.parallel
@_common.force
def compress(
    inputs: tuple[Path, ...],
    output: Path | None,
    preset: Preset | None,
    markov: MarkovOrder | None,
    pins: int | None,
    gzip: bool,
    parallel: int,
    force: bool,
) -> None:
    """Turn volumes of labels into Crackle streams.

    A volume has up to three axes and holds integers or bools. seg.npy becomes seg.npy.ckl, and so
    does seg.npy.gz. The axes of the array are the stream's x, y and z. A .ckl file is written anew
    with other options; name the output then.

    \b
    Examples:
      crackle-zarr compress seg.npy
      crackle-zarr compress --preset small seg.npy     smaller, slower
      crackle-zarr compress --preset small -p 0 seg.npy
      crackle-zarr compress -o streams/ a.npy b.npy.gz
      crackle-zarr compress -o small.ckl.xz seg.npy
      crackle-zarr compress -m 5 -o small.ckl seg.ckl
    """

    def name(path: Path) -> str:
        stem = volumes.split_name(path)[0]
        return f"{stem.removesuffix('.ckl')}.ckl{'.gz' if gzip else ''}"

    if gzip and output is not None and not output.is_dir():
        raise click.UsageError("--gzip is for outputs without a name of their own: name it .ckl.gz instead.")
    destinations = _destinations(inputs, output, name, "ckl")

    def work(path: Path) -> str:
        target = destinations[path]
        _check_target(path, target, force)
        volume = volumes.read_volume(path, parallel)
        crackle_files.save(
            volume, target, preset=preset, markov_model_order=markov, allow_pins=pins, parallel=parallel
        )
        return _described(path, target, volume.nbytes)

    _common.Batch().over(inputs, work)


@cli.command(epilog=EXIT_CODES)
@_common.inputs
@_common.output
@click.option(
    "-l",
    "--label",
    metavar="LABEL",
    type=int,
    help="Write a mask (bool) of this label instead of the labels.",
)
@_common.parallel
@_common.force
def decompress(
    inputs: tuple[Path, ...], output: Path | None, label: int | None, parallel: int, force: bool
) -> None:
    """Turn Crackle streams back into .npy files.

    seg.npy.ckl and seg.ckl.gz become seg.npy. The array has the axes (x, y, z), and the dtype and
    the memory order of the volume that was compressed. Checksums are verified: damaged streams
    are refused.

    \b
    Examples:
      crackle-zarr decompress seg.npy.ckl
      crackle-zarr decompress -o seg.npy.gz seg.ckl
      crackle-zarr decompress --label 42 seg.ckl       makes seg.label-42.npy
    """

    def name(path: Path) -> str:
        stem = volumes.split_name(path)[0].removesuffix(".ckl").removesuffix(".npy")
        return f"{stem}.npy" if label is None else f"{stem}.label-{label}.npy"

    destinations = _destinations(inputs, output, name, "npy")

    def work(path: Path) -> str:
        target = destinations[path]
        _check_target(path, target, force)
        binary = volumes.read_stream(path)
        if label is not None and not stream.contains(binary, label):
            raise AbsentError(f"{path}: there is no label {label}; 'crackle-zarr labels {path}' lists them")
        volume = stream.decompress(binary, label, parallel)
        volumes.write_npy(target, volume)
        what = "" if label is None else f"  {int(np.count_nonzero(volume)):,} voxels of label {label}"
        return f"{path} -> {target}  {target.stat().st_size:,} bytes{what}"

    _common.Batch().over(inputs, work)


# ---------------------------------------------------------------------------------------
# info, labels, test, verify


def _inform(path: Path) -> dict[str, Any]:
    """What ``info`` tells of a file, as JSON has it."""
    kind = volumes.kind_of(path)
    file_nbytes = path.stat().st_size
    record: dict[str, Any] = {"file": str(path), "kind": kind, "file_nbytes": file_nbytes}
    if kind == "npy":
        volume = volumes.read_volume(path)
        order = "F" if volume.flags.f_contiguous and not volume.flags.c_contiguous else "C"
        return record | {
            "nbytes": volume.nbytes,
            "ratio": volume.nbytes / file_nbytes,
            "shape": list(volume.shape),
            "dtype": volume.dtype.name,
            "memory_order": order,
        }
    binary = crackle_files.bload(path, allow_mmap=True)
    head = stream.header(binary)
    number = stream.num_labels(binary)
    return record | {
        "stream_nbytes": len(binary),
        "nbytes": head.nbytes,
        "ratio": head.nbytes / file_nbytes,
        "format_version": head.format_version,
        "shape": list(head.shape),
        "dtype": head.dtype.name,
        "memory_order": head.order,
        "num_labels": number,
        # As text: labels go past what JSON's readers hold in a number.
        "min_label": str(stream.min(binary)) if number else None,
        "max_label": str(stream.max(binary)) if number else None,
        "stored_label_width": head.stored_data_width,
        "label_format": LABEL_FORMATS[head.label_format],
        "label_table_sorted": head.is_sorted,
        "crack_format": "permissible" if head.crack_format else "impermissible",
        "markov_model_order": head.markov_model_order,
        "sections": _sections(binary, head.voxels()),
    }


def _sections(binary: _binding.Buffer, voxels: int) -> dict[str, int]:
    """Sizes of the sections in bytes; a stream without voxels is its header alone."""
    if not voxels:
        return {"header": len(binary)}
    names = ("header", "crack_index", "labels", "markov_model", "crack_codes", "checksums")
    begins = (0, *dataclasses.astuple(_binding.read_layout(binary)))
    sizes = (end - begin for begin, end in itertools.pairwise(begins))
    return dict(zip(names, sizes, strict=True))


@cli.command(epilog=EXIT_CODES)
@_common.places
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with an object per file or array.")
@stored.storage_option
def info(inputs: tuple[str, ...], as_json: bool, storage_option: dict[str, Any]) -> None:
    """Show what files and Zarr arrays say about their volumes.

    Of a file: shape, dtype, labels, and where the bytes go. Of a Zarr array: shape, dtype, chunks,
    shards, codecs, and what it takes in its store, where that can list. Nothing is decoded. In
    JSON, labels are text, since they may be larger than JSON's readers can hold in a number.

    \b
    Examples:
      crackle-zarr info seg.ckl
      crackle-zarr info --json *.ckl
      crackle-zarr info seg.zarr
      crackle-zarr info s3://bucket/seg.zarr --storage-option anon=true
    """
    told: list[dict[str, Any]] = []

    def work(place: str) -> None:
        is_stored = stored.is_stored(place)
        record = stored.inform(place, storage_option) if is_stored else _inform(Path(place))
        if as_json:
            told.append(record)
            return
        from rich.console import Console

        # Into a file or a pipe rich would wrap at 80 columns.
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        tables = stored.info_tables if record["kind"] == "zarr" else _info_tables
        for table in tables(record):
            console.print(table)

    try:
        _common.Batch().over(inputs, work)
    finally:
        if as_json:
            click.echo(json.dumps(told, indent=2))


def _info_tables(record: dict[str, Any]) -> Iterator[Table]:
    """The fields of a file, and the sizes of its sections."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    raw, file_nbytes = record["nbytes"], record["file_nbytes"]
    shape = " x ".join(map(str, record["shape"]))
    rows = {
        "kind": "NumPy array",
        "shape": shape,
        "dtype": f"{record['dtype']}, {record['memory_order']} order",
        "volume": f"{raw:,} bytes",
        "file": f"{file_nbytes:,} bytes{_ratio(raw, file_nbytes)}",
    }
    if record["kind"] == "ckl":
        stored = record["stream_nbytes"]
        span = f", {record['min_label']} to {record['max_label']}" if record["num_labels"] else ""
        rows |= {
            "kind": f"Crackle stream, format version {record['format_version']}",
            "shape": f"{shape} (x, y, z)",
            "labels": f"{record['num_labels']:,}{span}",
            "label format": f"{record['label_format']}, {record['stored_label_width']} bytes each",
            "label table": "sorted" if record["label_table_sorted"] else "unsorted",
            "crack format": record["crack_format"],
            "Markov order": str(record["markov_model_order"] or "off"),
            "stream": f"{stored:,} bytes{_ratio(raw, stored)}",
        }
        if file_nbytes == stored:
            del rows["file"]
    table = Table(title=Text(record["file"]), title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, value)
    yield table
    if record["kind"] == "ckl":
        sections = Table(box=box.SIMPLE)
        sections.add_column("section")
        sections.add_column("bytes", justify="right")
        sections.add_column("share", justify="right")
        for name, size in record["sections"].items():
            sections.add_row(name.replace("_", " "), f"{size:,}", f"{100 * size / stored:.1f} %")
        yield sections


def _ratio(raw: int, stored: int) -> str:
    return f", ratio {raw / stored:.1f}" if raw and stored else ""


@cli.command(epilog=EXIT_CODES)
@_common.places
@click.option("--count", is_flag=True, help="Print how many there are instead.")
@stored.query
def labels(inputs: tuple[str, ...], count: bool, asked: Asked) -> None:
    """List the labels of volumes, ascending, one per line.

    Of a stream the label table is read and nothing is decoded; of a Zarr array stored with Crackle,
    the label tables of its chunks. The labels of several volumes follow each other; with --count
    there is a line per volume, its number and then its name.

    \b
    Examples:
      crackle-zarr labels seg.ckl
      crackle-zarr labels --count *.ckl
      crackle-zarr labels seg.ckl | sort -R | head
      crackle-zarr labels seg.zarr --region 0:64,:,100:200
      crackle-zarr labels https://example.org/seg.zarr
    """

    def work(place: str) -> str | None:
        if stored.is_stored(place):
            found = stored.labels_of(place, asked)
            number = len(found)
        else:
            asked.refuse_for_file(place)
            path = Path(place)
            if volumes.kind_of(path) == "npy":
                found = np.unique(volumes.read_volume(path))
                number = len(found)
            else:
                binary = crackle_files.bload(path, allow_mmap=True)
                number = stream.num_labels(binary)
                found = np.empty(0) if count else stream.labels(binary)
        if count:
            return f"{number} {place}"
        return "\n".join(str(int(label)) for label in found.tolist()) if number else None

    _common.Batch().over(inputs, work)


@cli.command(epilog=EXIT_CODES)
@_common.inputs
def test(inputs: tuple[Path, ...]) -> None:
    """Tell whether streams are damaged, and where.

    Damaged sections and slices are named. Everything is decoded and every checksum verified.
    Streams of format version 0 have no checksums: there, only what contradicts itself shows.
    'crackle-zarr verify' takes Zarr arrays as well.

    \b
    Examples:
      crackle-zarr test seg.ckl
      crackle-zarr test archive/*.ckl.gz && echo all sound
    """
    batch = _common.Batch()
    batch.over(inputs, lambda path: _tested(path, batch))


def _tested(path: Path, batch: _common.Batch) -> str:
    """What ``test`` says of a stream."""
    try:
        binary = volumes.read_stream(path)
    except FormatError as error:  # its message names the file and the outer format
        batch.ends_with(DAMAGED)
        return str(error)
    report = sections.check(binary)
    damaged = sections.damaged_parts(report)
    if damaged:
        batch.ends_with(DAMAGED)
        return f"{path}: damaged: {'; '.join(damaged)}"
    version = stream.header(binary).format_version
    return f"{path}: sound" + ("" if version else ", as far as version 0 can tell: it has no checksums")


@cli.command(epilog=EXIT_CODES)
@_common.places
@stored.region
@_common.parallel
@stored.storage_option
@stored.no_progress
def verify(
    inputs: tuple[str, ...],
    region: tuple[Any, ...] | None,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Tell whether Zarr arrays and streams are damaged, and where.

    Every checksum of every chunk is verified. There is a line per damaged chunk, with its index in
    the grid, its key in the store, and what of it is damaged; and a last line that says how many
    they are. Streams in files are tested as 'crackle-zarr test' does it. A store that fails is no
    damage: exit code 2.

    \b
    Examples:
      crackle-zarr verify seg.zarr
      crackle-zarr verify seg.zarr --region 0:64
      crackle-zarr verify seg.zarr seg.ckl && echo all sound
    """
    asked = Asked(region, parallel, True, storage_option, not no_progress)
    batch = _common.Batch()

    def work(place: str) -> str:
        if not stored.is_stored(place):
            asked.refuse_for_file(place)
            return _tested(Path(place), batch)
        damaged, said = stored.verified(place, asked)
        if damaged:
            batch.ends_with(DAMAGED)
        return said

    batch.over(inputs, work)


# ---------------------------------------------------------------------------------------
# demo


@cli.command(epilog=EXIT_CODES)
@click.argument("volume", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--png",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw a slice: its labels in distinct colours beside its boundaries. Needs matplotlib.",
)
@click.option(
    "--chunks",
    metavar="SHAPE",
    callback=_common.shape,
    help="The shape of the chunks, such as 64,256,256. The default suits the volume.",
)
@click.option("--zarr-format", type=click.Choice(["2", "3"]), default="3", show_default=True)
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the two Zarr arrays there, as crackle.zarr and default.zarr.",
)
@_common.preset
@_common.markov
@_common.pins
@click.option(
    "--size",
    metavar="VOXELS",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="The edge of the synthetic volume.",
)
def demo(
    volume: Path | None,
    png: Path | None,
    chunks: tuple[int, ...] | None,
    zarr_format: Literal["2", "3"],
    keep: Path | None,
    preset: Preset | None,
    markov: MarkovOrder | None,
    pins: int | None,
    size: int,
) -> None:
    """Store a volume as Zarr with Crackle, and compare.

    VOLUME is a .npy or .ckl file or a Zarr array of yours; without it, a synthetic segmentation
    of neurons is made. It is stored with Crackle and with Zarr's default compressor, in chunks of
    the same shape. Both arrays are reopened and every voxel is verified; one slice is read
    and the bytes that it cost are counted; the labels are listed, with Crackle from the label
    tables of the chunks alone.

    \b
    Examples:
      crackle-zarr demo
      crackle-zarr demo --png slice.png
      crackle-zarr demo seg.npy --chunks 32,512,512 --preset small
      crackle-zarr demo labels.zarr --keep compared/
    """
    from . import demo as demonstration

    if png is not None:
        demonstration.require_matplotlib()  # before the work, not after it
        if not png.absolute().parent.is_dir():
            raise click.UsageError(f"--png {png}: there is no directory {png.parent}.")
    source = demonstration.made(size) if volume is None else demonstration.opened(volume)
    result = demonstration.run(
        source,
        chunks=chunks,
        zarr_format=3 if zarr_format == "3" else 2,
        preset=preset,
        markov_model_order=markov,
        allow_pins=pins,
        keep=keep,
        progress=None,
    )
    demonstration.show(result)
    if png is not None:
        demonstration.draw(result, png)
        click.echo(f"drawn: {png}")


# ---------------------------------------------------------------------------------------
# The entry point

for command in (*stored.COMMANDS, convert.convert):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None, program: str = "crackle-zarr") -> NoReturn:
    """Run the command line and end the process: errors are one line on stderr, and an exit code.

    Args:
        arguments: without the program's name; None: those of the process.
        program: what a user types to start it, as help texts show it.
    """
    try:
        with _common.notes():
            cli.main(args=arguments, prog_name=program, standalone_mode=False)
    except click.Abort:
        click.echo("crackle-zarr: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else program
        text = " ".join(error.format_message().split())
        click.echo(f"crackle-zarr: {text} ('{command} --help' shows how.)", err=True)
        sys.exit(UNUSABLE)
    except BrokenPipeError:
        _forget_stdout()  # the reader has seen enough: 'crackle-zarr labels x | head'
        sys.exit(0)
    except EXPECTED as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            _forget_stdout()
            sys.exit(0)
        click.echo(_common.one_line(error), err=True)
        sys.exit(_common.exit_code(error))
    sys.exit(0)


def _forget_stdout() -> None:
    """Keep Python from complaining at exit that it can not flush stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
