"""``crackle-zarr labels``, ``find`` and ``crop``: list labels, find one, cut out its mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import verbs
from ..files import crackle_files, volumes
from ..files.label_names import LabelNames
from ..files.volumes import UnusableError
from ..streams import saving, stream
from . import _common, names, places
from ._common import EXIT_CODES
from .places import (
    LabelCommand,
    QueryOptions,
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
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object. The label in it is text.")
@query
def find(source: str, label: int, as_json: bool, options: QueryOptions) -> None:
    """Print the bounding box and the chunks of a label.

    The box is half-open, in the form that --region takes. Chunks are indices in the grid of chunks
    (in a sharded array, of inner chunks). With --region, voxels outside the region do not count.
    The exit code is 3 if there is no such label.

    \b
    Examples:
      crackle-zarr find seg.zarr 42
      crackle-zarr find --json seg.zarr 42
      crackle-zarr find seg.zarr 42 > /dev/null && echo it is there
      crackle-zarr find seg.zarr -- -5              a negative label
    """

    def work(source: str) -> None:
        array = array_at(source, options.storage_options, level=options.level)
        with options.keywords() as keywords:
            found = verbs.find(array, label, **keywords)
            slices = found.slices
        if as_json:
            record = {
                "file": source,
                "label": str(label),  # text, because many JSON readers cannot hold large integers
                "start": None if slices is None else [one.start for one in slices],
                "stop": None if slices is None else [one.stop for one in slices],
                "chunks": [list(chunk) for chunk in found.chunks],
                "indexed": found.indexed,
            }
            click.echo(json.dumps(record, indent=2))
        elif slices is not None:
            click.echo(f"box     {as_ranges(slices)}")
            click.echo(f"shape   {by(one.stop - one.start for one in slices)}")
            for place, chunk in enumerate(found.chunks):
                click.echo(f"{'' if place else 'chunks':<8}{commas(chunk)}")
        if not found:
            absent(source, label)

    _common.Batch().run([source], work)


@click.command(cls=LabelCommand, epilog=EXIT_CODES)
@source_argument
@click.argument("label", type=int)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write: .npy or .ckl; both may be compressed as .gz, .xz, .lzma, .bz2 or .zst.",
)
@_common.force
@query
def crop(source: str, label: int, output: Path, force: bool, options: QueryOptions) -> None:
    """Write the mask of a label, cut to its bounding box.

    The mask is bool and has the array's axes; in a stream, which has no bool, it is 0 and 1. The
    command prints the mask's shape, and its offset: the index of its first voxel in the array. Only
    chunks and slices with the label are read. The exit code is 3 if there is no such label.

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
        array = array_at(source, options.storage_options, level=options.level)
        if kind == "ckl" and array.ndim > 3:
            raise UnusableError(
                f"{source} has {array.ndim} axes, but a stream has at most three: name the output .npy"
            )
        with options.keywords() as keywords:
            try:
                mask, offset = verbs.crop(array, label, **keywords)
            except KeyError:
                absent(source, label)
        if kind == "ckl":
            crackle_files.save(mask, output, parallel=options.parallel)
        else:
            saving.save_numpy(mask, output)
        voxels = counted(int(np.count_nonzero(mask)), "voxel")
        return f"{source} -> {output}  shape {by(mask.shape)}, offset {commas(offset)}, {voxels}"

    _common.Batch().run([source], work)


@click.command(epilog=EXIT_CODES)
@_common.places
@click.option("--count", is_flag=True, help="Print the number of labels instead.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON array with an object per volume: its labels with their names and colours.",
)
@places.query
def labels(inputs: tuple[str, ...], count: bool, as_json: bool, options: QueryOptions) -> None:
    """List the labels of volumes, ascending, one per line.

    The labels of a stream come from its label table, without decoding. Those of a Zarr array stored
    with Crackle come from the label tables of its chunks. The labels of several volumes follow each
    other. With --count there is a line per volume, with the number and the name. The name of a label
    follows it after a tab, if the array has one: 'cut -f1' leaves the labels.

    \b
    Examples:
      crackle-zarr labels seg.ckl
      crackle-zarr labels --count *.ckl
      crackle-zarr labels seg.ckl | sort -R | head
      crackle-zarr labels seg.zarr --region 0:64,:,100:200
      crackle-zarr labels --json seg.zarr
      crackle-zarr labels https://example.org/seg.zarr
    """

    if count and as_json:
        raise click.UsageError("--count and --json exclude each other: in JSON, count the labels.")
    listed: list[dict[str, Any]] = []

    def work(place: str) -> str | None:
        known = LabelNames()
        if places.is_stored(place):
            found = places.labels_of(place, options)
            number = len(found)
            if not count:
                known = names.of_array(array_at(place, options.storage_options, level=options.level))
        else:
            options.refuse_for_file(place)
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
        labels = [int(label) for label in found.tolist()]
        if as_json:
            listed.append({"file": place, "labels": names.records(labels, known)})
            return None
        return "\n".join(names.line(label, known) for label in labels) if labels else None

    try:
        _common.Batch().run(inputs, work)
    finally:
        if as_json:
            click.echo(json.dumps(listed, indent=2))
