"""``crackle-zarr mesh``: the surfaces of labels, as files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .. import verbs
from ..errors import MissingLabelError
from ..files.volumes import UnusableError
from . import _common, places
from ._common import EXIT_CODES, AbsentError
from .places import counted, is_stored, source_argument
from .skeleton_output import bar
from .skeletonize import lengths, nbytes, volume_at, voxel_size_of


def _labels(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...] | None:
    """Parse labels with commas between them, in one option or in several."""
    found: list[int] = []
    for text in (part for value in values for part in value.split(",")):
        try:
            found.append(int(text))
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is not a label: whole numbers with commas between them, such as 1,2.", ctx, param
            ) from None
    return tuple(sorted(set(found))) or None


@click.command(epilog=EXIT_CODES)
@source_argument
@click.argument("out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "-l",
    "--labels",
    "--label",
    metavar="LABELS",
    multiple=True,
    callback=_labels,
    help="Only these labels, such as 1,2. Repeatable. The default is all labels but 0.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["precomputed", "ply", "obj", "glb"]),
    default="precomputed",
    show_default=True,
    help="The format of the files: precomputed is a folder for Neuroglancer, in nanometres, with a manifest "
    "LABEL:0 for each label. The others have a file for each label, such as LABEL.ply.",
)
@click.option(
    "--simplify",
    metavar="FACTOR",
    type=click.FloatRange(min=1),
    default=1,
    show_default=True,
    help="Divide the number of triangles of each label by this, as far as --max-error allows. 1 keeps all.",
)
@click.option(
    "--max-error",
    metavar="LENGTH",
    type=click.FloatRange(min=0, min_open=True),
    help="About how far --simplify may move the surface, in the unit of the voxel size. The default is the "
    "longest edge of a voxel.",
)
@click.option(
    "--anisotropy",
    "--voxel-size",
    metavar="X,Y,Z",
    callback=lengths,
    help="The size of a voxel. The default is what the file or array says, or 1,1,1.",
)
@click.option(
    "--memory",
    metavar="BYTES",
    default="1G",
    show_default=True,
    callback=nbytes,
    help="The memory that each thread may take: how large tiles are. K, M and G stand for powers of 1024.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where the same command was interrupted: labels whose files are whole are not made again.",
)
@click.option(
    "--level",
    metavar="NUMBER",
    type=click.IntRange(0),
    help="Of OME-Zarr labels, mesh this level of the pyramid; 0, the default, is the finest.",
)
@_common.force
@places.no_progress
@places.storage_option
@places.region
@_common.parallel
def mesh(
    source: str,
    out: Path,
    labels: tuple[int, ...] | None,
    kind: verbs.MeshFormat,
    anisotropy: tuple[float, float, float] | None,
    max_error: float | None,
    force: bool,
    no_progress: bool,
    storage_option: dict[str, Any],
    region: tuple[Any, ...] | None,
    level: int | None,
    **given: Any,
) -> None:
    """Make triangle meshes of labels: closed surfaces.

    The source is a .ckl, .npy, .nrrd, .nii or .tif file, a dataset of HDF5 (vol.h5:/labels), or a Zarr
    array of any size with axes x, y and z, which is cut into tiles; the meshes have no seams. Of --labels,
    no others are decoded. DIR is new or empty. In a folder of a precomputed volume, such as volume/mesh,
    the volume's info names it, and Neuroglancer shows the meshes with the labels.

    Coordinates are those of the skeletons of the same source: voxels times the voxel size, along x, y and
    z, from where the metadata of a Zarr array say. Those of --format precomputed are nanometres, and half
    a voxel further: a voxel of Neuroglancer's volumes begins where its index says. Needs zmesh, and
    trimesh for other formats: pip install 'crackle-zarr[mesh]'.

    \b
    Examples:
      crackle-zarr mesh seg.zarr meshes/
      crackle-zarr mesh seg.zarr meshes/ --labels 42,43 --format glb --simplify 100
      crackle-zarr mesh seg.zarr meshes/ --simplify 20 --max-error 40 --memory 4G --resume
      crackle-zarr mesh seg.ckl meshes/ --anisotropy 16,16,40 --format ply
      crackle-zarr mesh precomputed://volume volume/mesh --simplify 100
    """

    def work(source: str) -> None:
        options: dict[str, Any] = {
            **given,
            "format": kind,
            "anisotropy": anisotropy,
            "max_error": max_error,
            "overwrite": force and not given["resume"],
        }
        began = time.perf_counter()
        with bar(not no_progress, "") as progress, _absent_labels(source):
            if is_stored(source):
                array = places.array_at(source, storage_option, level=level)
                _refuse_floats(source, array)
                found: Any = verbs.mesh(array, labels, out, region=region, progress=progress, **options)
            else:
                _refuse_for_file(source, region, level)
                volume = volume_at(source, storage_option)
                size, unit = voxel_size_of(volume, anisotropy)
                scale = _nanometres(unit) if kind == "precomputed" else 1.0
                options["anisotropy"] = [edge * scale for edge in size]
                options["max_error"] = None if max_error is None else max_error * scale
                found = verbs.mesh(volume.labels, labels, out, progress=progress, **options)
        seconds = time.perf_counter() - began
        click.echo(f"-> {counted(len(found), 'mesh').replace('meshs', 'meshes')} in {out}  {seconds:.1f} s")

    _common.Batch().run([source], work)


@contextlib.contextmanager
def _absent_labels(source: str) -> Iterator[None]:
    """Turn the error for labels that are not there into that of the command line."""
    try:
        yield
    except MissingLabelError as error:
        raise AbsentError(f"{source}: {error}; 'crackle-zarr labels {source}' lists them") from error


def _refuse_floats(source: str, array: Any) -> None:
    if array.dtype.kind not in "iub":
        raise UnusableError(f"{source}: labels are integers, and this array has {array.dtype}")


def _refuse_for_file(source: str, region: Any, level: int | None) -> None:
    for name, is_given in (("--region", region is not None), ("--level", level is not None)):
        if is_given:
            raise UnusableError(f"{source}: {name} is for Zarr arrays, and this is a file")


def _nanometres(unit: str | None) -> float:
    from ..meshes.labels import nanometres

    return nanometres(unit)
