"""``crackle-zarr view``: labels in Neuroglancer."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any, Literal

import click

from ..errors import MissingLabelError
from ..files.volumes import UnusableError
from . import places
from ._common import EXIT_CODES
from .places import QueryOptions, is_url, refuse_storage_options, source_argument
from .skeletonize import lengths

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def _nbytes(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Parse a number of bytes, such as 512M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)i?b?", value.strip().lower())
    if match is None:
        raise click.BadParameter(f"{value!r} is not a number of bytes, such as 128M or 2G.", ctx, param)
    return int(float(match[1]) * _UNITS[match[2]])


def read_segments(path: Path) -> list[int]:
    """The labels in a text file.

    The file has a label per line, or several with spaces or commas between them; or a list in JSON. Of a CSV
    file with a header, the column "label" counts, or the first.

    Raises:
        UnusableError: it has other words.
    """
    text = path.read_text(encoding="utf-8")
    try:
        listed = json.loads(text)
    except json.JSONDecodeError:
        listed = None
    if isinstance(listed, list) and all(type(one) is int for one in listed):
        return listed
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    header = [word.strip().lower() for word in lines[0].split(",")] if lines else []
    is_table = "label" in header or len(header) > 1
    if is_table and not all(re.fullmatch(r"[-+\d\s]*", word) for word in header):
        column = header.index("label") if "label" in header else 0
        words = [line.split(",")[column].strip() for line in lines[1:]]
    else:
        words = [word for line in lines for word in re.split(r"[\s,;]+", line) if word]
    for word in words:
        if not re.fullmatch(r"[-+]?\d+", word):
            raise UnusableError(f"{path}: {word!r} is no label: a file of segments has integers")
    return [int(word) for word in words]


@click.command(epilog=EXIT_CODES)
@source_argument
@click.option("-l", "--label", metavar="LABEL", type=int, help="Select this label, and centre it.")
@click.option(
    "--segments",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Select the labels in this file: integers with spaces, commas or new lines between them, a list in "
    "JSON, or the column 'label' of a CSV file.",
)
@click.option(
    "--image",
    metavar="PATH-or-URL",
    help="Show this image behind the labels: Zarr, OME-Zarr or a file. The default is the image that an "
    "OME-Zarr label image names.",
)
@click.option("--no-image", is_flag=True, help="Show no image.")
@click.option(
    "--meshes",
    metavar="PATH-or-URL",
    help="Show these meshes: a folder of 'crackle-zarr mesh', of which labels without a mesh get one, or a "
    "folder in Neuroglancer's format. The default makes those of selected labels.",
)
@click.option("--no-meshes", is_flag=True, help="Show no meshes.")
@click.option(
    "--skeletons",
    metavar="PATH-or-URL",
    help="Show these skeletons: a folder in Neuroglancer's format, a dataset or a .parquet file of "
    "'crackle-zarr skeletonize', or a folder of SWC files. The default traces the selected labels.",
)
@click.option("--no-skeletons", is_flag=True, help="Show no skeletons.")
@click.option(
    "--voxel-size",
    metavar="X,Y,Z",
    callback=lengths,
    help="The size of a voxel in nanometres. The default is what the metadata say, or 1,1,1.",
)
@click.option(
    "--npy-axes",
    type=click.Choice(["xyz", "zyx"]),
    default="xyz",
    show_default=True,
    help="The axes of a .npy file.",
)
@click.option(
    "--cache",
    metavar="BYTES",
    callback=_nbytes,
    default="128M",
    show_default=True,
    help="Keep decoded voxels up to this size, such as 512M or 2G.",
)
@click.option(
    "--bind",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this address; 0.0.0.0 lets other machines in. Who has the URL with its token sees the "
    "labels.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="Listen on this port. The default is any free one.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and do not open the browser.")
@places.no_progress
@places.storage_option
def view(
    source: str,
    label: int | None,
    segments: Path | None,
    image: str | None,
    no_image: bool,
    meshes: str | None,
    no_meshes: bool,
    skeletons: str | None,
    no_skeletons: bool,
    voxel_size: tuple[float, float, float] | None,
    npy_axes: Literal["xyz", "zyx"],
    cache: int,
    bind: str,
    port: int,
    no_browser: bool,
    no_progress: bool,
    storage_option: dict[str, Any],
) -> None:
    """Show labels in Neuroglancer, until Ctrl-C.

    The source is a Zarr array or OME-Zarr, or a .ckl, .npy, .nrrd, .nii or .tif file, or a dataset of
    HDF5 (vol.h5:/labels). The command serves Neuroglancer's page itself, prints its address, and
    opens it in the browser. Double-click a label to select it: its mesh and its skeleton appear.

    Slices are decoded as the page asks for them. A Zarr array is never read as a whole; labels of a
    file are stored as Crackle in memory first. Needs the package neuroglancer: pip install
    'crackle-zarr[view]'.

    \b
    Examples:
      crackle-zarr view seg.zarr
      crackle-zarr view seg.zarr --label 42 --image image.zarr
      crackle-zarr view s3://bucket/seg.zarr --storage-option anon=true
      crackle-zarr view seg.nii.gz --segments proofread.txt --no-skeletons
      crackle-zarr view seg.ckl --voxel-size 16,16,40 --no-browser --port 9000
    """
    if image is not None and no_image:
        raise click.UsageError("--image and --no-image exclude each other.")
    if meshes is not None and no_meshes:
        raise click.UsageError("--meshes and --no-meshes exclude each other.")
    if skeletons is not None and no_skeletons:
        raise click.UsageError("--skeletons and --no-skeletons exclude each other.")
    if not is_url(source) and (image is None or not is_url(image)):
        refuse_storage_options(source, storage_option)
    from ..view import view as show

    options = QueryOptions(None, 0, True, storage_option, not no_progress)
    listed = [] if segments is None else read_segments(segments)
    opened = _opened(source, storage_option)
    behind: Any = False if no_image else None if image is None else _opened(image, storage_option)
    try:
        with options.bar() as progress:
            viewer = show(
                opened,
                image=behind,
                label=label,
                segments=listed,
                meshes=not no_meshes if meshes is None else meshes,
                skeletons=not no_skeletons if skeletons is None else skeletons,
                voxel_size=voxel_size,
                npy_axes=npy_axes,
                cache=cache,
                bind=bind,
                port=port,
                browser=not no_browser,
                progress=progress,
            )
    except MissingLabelError:
        assert label is not None
        places.absent(source, label)
    try:
        with viewer:
            click.echo(viewer.url)
            click.echo("Ctrl-C ends it.", err=True)
            wait()
    except KeyboardInterrupt:
        click.echo("", err=True)


def _opened(place: str, storage_options: dict[str, Any]) -> Any:
    """The array or group at a place of Zarr; the path of a file."""
    if places.is_stored(place):
        return places.opened(place, storage_options if is_url(place) else None)
    return place


def wait() -> None:
    """Wait for Ctrl-C, which raises KeyboardInterrupt.

    A signal that arrives just before a wait begins does not end it: waits are short.
    """
    never = threading.Event()
    while not never.wait(0.2):
        pass
