"""The command line: ``crackle-zarr``.

Exit codes: 0, success; 1, something is damaged, or differs from the data that was written; 2, the request
is invalid (a mistyped option, a missing file, a file of another format, an output that exists), or a store
failed; 3, the volume does not have the requested label.

Each family of commands has its own module. This module collects the commands, and defines ``demo`` and the
entry point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

import click

from .. import __version__
from .._base.options import MarkovOrder, Preset
from .._base.passwords import without_password
from . import (
    _common,
    check,
    compare,
    components,
    compress,
    contacts,
    convert,
    info,
    mesh,
    ome,
    questions,
    remap,
    skeletonize,
    stats,
    view,
)
from . import index as label_index
from ._common import EXIT_CODES, EXPECTED, UNUSABLE


@click.group(
    cls=_common.Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="crackle-zarr")
def cli() -> None:
    """Compress label volumes to Crackle streams and Zarr arrays, query them, and edit them.

    Files are NumPy's .npy and Crackle's .ckl; both may be compressed as .gz, .xz, .lzma, .bz2 or
    .zst. convert also reads and writes .nrrd, .nii, .nii.gz, .tif and HDF5 (for these: pip install
    'crackle-zarr[formats]'). Zarr arrays and OME-Zarr labels are folders or URLs, such as
    s3://bucket/seg.zarr (for URLs: pip install 'crackle-zarr[remote]'). No command modifies its
    input, except remap, renumber, split and pyramid, and dust, largest and fill-holes without
    --output. An output file appears only when it is complete.

    \b
    Examples:
      crackle-zarr demo                        try it on a synthetic volume
      crackle-zarr compress seg.npy            makes seg.npy.ckl
      crackle-zarr decompress seg.npy.ckl      makes seg.npy
      crackle-zarr test *.ckl                  look for damage in streams
      crackle-zarr convert old.zarr seg.zarr   the same array, stored with Crackle
      crackle-zarr convert seg.nii.gz seg.ckl  also .nrrd, .nii, .tif and .h5
      crackle-zarr convert seg.nii.gz seg.ome.zarr --ome
                                               OME-Zarr labels with a pyramid
      crackle-zarr info seg.zarr               shape, chunks, codecs, sizes, ratio
      crackle-zarr labels seg.zarr             every label, one per line
      crackle-zarr stats seg.zarr -o seg.csv   voxels, box and centroid of each label
      crackle-zarr contacts seg.zarr -o c.csv  which labels touch, over what area
      crackle-zarr compare truth.zarr seg.zarr Rand indices, variation of information
      crackle-zarr find seg.zarr 42            where label 42 is
      crackle-zarr crop seg.zarr 42 -o 42.npy  its mask, cut to its box
      crackle-zarr remap seg.zarr 42=7         42 becomes 7, in place
      crackle-zarr components seg.zarr cc.zarr connected components, of any size
      crackle-zarr dust seg.zarr --threshold 9 small components become 0, in place
      crackle-zarr index build seg.zarr        answers in a few requests, for many chunks
      crackle-zarr pyramid seg.ome.zarr        the lower levels of OME-Zarr labels
      crackle-zarr skeletonize seg.ckl         centre lines, as SWC files
      crackle-zarr mesh seg.zarr meshes/       surfaces, for Neuroglancer or as PLY, OBJ, GLB
      crackle-zarr view seg.zarr               see it in Neuroglancer
      crackle-zarr verify seg.zarr             look for damage in arrays
    """


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
    help="The shape of the chunks, such as 64,256,256. The default depends on the volume's shape.",
)
@click.option("--zarr-format", type=click.Choice(["2", "3"]), default="3", show_default=True)
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the two Zarr arrays in this directory, as crackle.zarr and default.zarr.",
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
    """Store a volume in Zarr with Crackle, and compare.

    VOLUME is a .npy or .ckl file or a Zarr array; the default is a synthetic segmentation of
    neurons. The demo stores it twice, with Crackle and with Zarr's default compressor, in chunks
    of the same shape. It reopens both arrays, verifies every voxel, reads one slice, lists the
    labels, and shows time and bytes read for each. With Crackle it lists the labels from the
    label tables of the chunks alone.

    \b
    Examples:
      crackle-zarr demo
      crackle-zarr demo --png slice.png
      crackle-zarr demo seg.npy --chunks 32,512,512 --preset small
      crackle-zarr demo labels.zarr --keep compared/
    """
    from . import demo as demonstration

    if png is not None:
        demonstration.require_matplotlib()  # fail before the work, not after it
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

for command in (
    compress.compress,
    compress.decompress,
    convert.convert,
    info.info,
    questions.labels,
    questions.find,
    questions.crop,
    stats.stats,
    contacts.contacts,
    compare.compare,
    remap.remap,
    components.components,
    components.dust,
    components.largest,
    components.fill_holes,
    components.split,
    components.renumber,
    label_index.index,
    ome.pyramid,
    skeletonize.skeletonize,
    skeletonize.swc,
    mesh.mesh,
    view.view,
    check.test,
    check.verify,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None, program: str = "crackle-zarr") -> NoReturn:
    """Run the command line and exit. An error is one line on stderr and an exit code.

    Args:
        arguments: without the program's name; None: the arguments of the process.
        program: the name of the program in help texts.
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
        text = without_password(text)
        click.echo(f"crackle-zarr: {text} ('{command} --help' shows the options.)", err=True)
        sys.exit(UNUSABLE)
    except _common.ClosedPipeError:
        _discard_stdout()
        sys.exit(0)
    except EXPECTED as error:
        click.echo(_common.one_line(error), err=True)
        _end_pending()
        sys.exit(_common.exit_code(error))
    except SystemExit:
        _end_pending()
        raise
    sys.exit(0)


def _end_pending() -> None:
    """End requests that a failed call has left behind; each would print a traceback."""
    if "zarr" in sys.modules:
        from .._base import zarr_facts

        zarr_facts.end_pending()


def _discard_stdout() -> None:
    """Keep Python from complaining at exit that it cannot flush stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
