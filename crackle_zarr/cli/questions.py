"""``crackle-zarr labels``, ``find`` and ``crop``: which labels there are, where one is, and its mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from .. import verbs
from ..files import crackle_files, volumes
from ..files.volumes import UnusableError
from ..streams import saving, stream
from . import _common, places
from ._common import EXIT_CODES

if TYPE_CHECKING:
    pass
from .places import (
    Asked,
    LabelCommand,
    absent,
    array_at,
    as_ranges,
    by,
    commas,
    counted,
    new_file,
    query,
    source_argument,
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
            click.echo(f"box     {as_ranges(slices)}")
            click.echo(f"shape   {by(one.stop - one.start for one in slices)}")
            for place, chunk in enumerate(found.chunks):
                click.echo(f"{'' if place else 'chunks':<8}{commas(chunk)}")
        if not found:
            absent(source, label)

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
        new_file(output, force)
        array = array_at(source, asked.storage_options)
        if kind == "ckl" and array.ndim > 3:
            raise UnusableError(
                f"{source} has {array.ndim} axes, and a stream has up to three: name the output .npy"
            )
        with asked.keywords() as keywords:
            try:
                mask, offset = verbs.crop(array, label, **keywords)
            except KeyError:
                absent(source, label)
        if kind == "ckl":
            crackle_files.save(mask, output, parallel=asked.parallel)
        else:
            saving.save_numpy(mask, output)
        voxels = counted(int(np.count_nonzero(mask)), "voxel")
        return f"{source} -> {output}  shape {by(mask.shape)}, offset {commas(offset)}, {voxels}"

    _common.Batch().over([source], work)


@click.command(epilog=EXIT_CODES)
@_common.places
@click.option("--count", is_flag=True, help="Print how many there are instead.")
@places.query
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
        if places.is_stored(place):
            found = places.labels_of(place, asked)
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
