"""``crackle-zarr skeletonize`` and ``crackle-zarr swc``: centre lines of labels, as files."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import formats, volumes
from ..files.formats import whole_numbers
from ..files.space import Space
from ..files.volumes import UnusableError
from . import _common, places
from ._common import EXIT_CODES
from .places import counted, is_stored, source_argument
from .skeleton_output import bar, say_count, say_dust, show, write

if TYPE_CHECKING:
    pass


def lengths(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float, float] | None:
    """Parse three numbers with commas between them, such as 16,16,40."""
    if value is None:
        return None
    try:
        x, y, z = (float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a voxel size: three numbers for x, y and z, such as 16,16,40 or 0.5,0.5,1.",
            ctx,
            param,
        ) from None
    if not all(math.isfinite(edge) and edge > 0 for edge in (x, y, z)):
        raise click.BadParameter(f"{value!r} is not a voxel size: all three numbers are above 0.", ctx, param)
    return x, y, z


_POWERS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def nbytes(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Parse a number of bytes, such as 500M or 1.5G."""
    text = value.strip().upper().removesuffix("B").removesuffix("I")
    power = _POWERS.get(text[-1:], 1)
    try:
        number = int(float(text[:-1] if power > 1 else text) * power)
    except (ValueError, OverflowError):
        number = -1
    if number < 2**20:
        raise click.BadParameter(
            f"{value!r} is not a number of bytes from 1M on, such as 500M or 2G.", ctx, param
        )
    return number


@dataclass(frozen=True)
class _Input:
    """A volume (x, y, z), and what its file says of its voxels."""

    labels: Any
    space: Space


_OPTIONS: list[Callable[..., Any]] = [
    click.option(
        "-o",
        "--output",
        "--outdir",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="The folder for SWC files, LABEL.swc each; or a file that ends in .parquet, for the "
        "vertices of all skeletons, with the edges beside it in .edges.parquet. The default is a "
        "folder with the source's name and _skeletons.",
    ),
    click.option(
        "--precomputed",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Write a folder for Neuroglancer instead.",
    ),
    click.option(
        "--png",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also draw the skeletons over a projection of their labels along z. Needs matplotlib.",
    ),
    click.option(
        "-l",
        "--label",
        "labels",
        metavar="LABEL",
        type=int,
        multiple=True,
        help="Only this label. Repeatable.",
    ),
    click.option(
        "--anisotropy",
        "--voxel-size",
        metavar="X,Y,Z",
        callback=lengths,
        help="The size of a voxel. All lengths are in its unit. The default is what the file says, or 1,1,1.",
    ),
    click.option(
        "--scale",
        metavar="FACTOR",
        type=float,
        default=1.5,
        show_default=True,
        help="A point of a skeleton accounts for what is within scale * radius + const of it. Larger "
        "values give fewer branches.",
    ),
    click.option(
        "--const",
        metavar="LENGTH",
        type=float,
        help="See --scale. The default is 300 nanometres if the file says the unit, and 10 times the "
        "shortest edge of a voxel if it does not.",
    ),
    click.option(
        "--dust",
        metavar="VOXELS",
        type=float,
        default=1000,
        show_default=True,
        help="Leave out connected components of this many voxels or fewer.",
    ),
    click.option(
        "--fix-borders/--no-fix-borders",
        default=False,
        show_default=True,
        help="Begin with a point wherever a label leaves the volume, so that skeletons of neighbouring "
        "volumes that share a plane of voxels meet.",
    ),
    click.option(
        "--fix-branching/--no-fix-branching",
        "--fix-branches/--no-fix-branches",
        default=True,
        show_default=True,
        help="Paths end at former paths, so that they fork where the label does.",
    ),
    click.option(
        "--fill-holes/--no-fill-holes",
        default=False,
        show_default=True,
        help="Fill the holes of labels first. What lies in them gets no skeleton.",
    ),
    click.option(
        "--fix-avocados/--no-fix-avocados",
        default=False,
        show_default=True,
        help="Join nuclei that were segmented apart with the cells around them.",
    ),
    click.option(
        "--soma-detect",
        metavar="RADIUS",
        type=float,
        help="Fill the holes of labels that are thicker than this. The default is 750 nanometres.",
    ),
    click.option(
        "--soma-accept",
        metavar="RADIUS",
        type=float,
        help="Take labels that are thicker than this for cell bodies: all paths begin at their "
        "centre. The default is 3500 nanometres.",
    ),
    click.option(
        "--soma-scale",
        metavar="FACTOR",
        type=float,
        default=2,
        show_default=True,
        help="A cell body accounts for what is within soma-scale * radius + soma-const of its centre.",
    ),
    click.option(
        "--soma-const",
        metavar="LENGTH",
        type=float,
        help="See --soma-scale. The default is 300 nanometres.",
    ),
    click.option(
        "--pdrf-scale",
        metavar="FACTOR",
        type=float,
        default=100_000,
        show_default=True,
        help="How strongly paths are drawn to the middle.",
    ),
    click.option(
        "--pdrf-exponent",
        metavar="POWER",
        type=float,
        default=4,
        show_default=True,
        help="The same, as a power of the distance to the middle.",
    ),
    click.option(
        "--max-paths",
        metavar="NUMBER",
        type=click.IntRange(min=0),
        help="The most paths of a connected component. The default is as many as it takes.",
    ),
    click.option(
        "--tick",
        metavar="LENGTH",
        type=click.FloatRange(min=0),
        default=0,
        show_default=True,
        help="Of a Zarr array, leave out ends that are shorter than this.",
    ),
    click.option(
        "--memory",
        metavar="BYTES",
        default="2G",
        show_default=True,
        callback=nbytes,
        help="Of a Zarr array, the memory that each thread may take: how large tiles are. K, M and G stand "
        "for powers of 1024.",
    ),
    click.option(
        "--dataset",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Of a Zarr array, write a dataset of Parquet files: vertices, edges and a table of labels. SWC "
        "files or a folder for Neuroglancer only if --output or --precomputed asks for them, too.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on where the same command was interrupted.",
    ),
    click.option(
        "--all",
        "every",
        is_flag=True,
        help="Show all rows on a terminal, not only the first 40.",
    ),
]


_FLAGS = ("fix_branching", "fix_borders", "fill_holes", "fix_avocados")


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(epilog=EXIT_CODES)
@source_argument
@_with_options
@_common.force
@places.no_progress
@places.storage_option
@places.region
@_common.parallel
def skeletonize(
    source: str,
    output: Path | None,
    precomputed: Path | None,
    png: Path | None,
    labels: tuple[int, ...],
    anisotropy: tuple[float, float, float] | None,
    const: float | None,
    dust: float,
    every: bool,
    force: bool,
    no_progress: bool,
    storage_option: dict[str, Any],
    region: tuple[Any, ...] | None,
    parallel: int,
    tick: float,
    memory: int,
    dataset: Path | None,
    resume: bool,
    **parameters: Any,
) -> None:
    """Trace the centre line of every label, as SWC files.

    The source is a .ckl, .npy, .nrrd, .nii or .tif file, a dataset of HDF5 (vol.h5:/labels), or a Zarr
    array of any size with axes x, y and z. Every connected component with more than --dust voxels gives a
    tree of centre lines with radii (TEASAR); label 0 is the background. The options have Kimimaro's names.

    Coordinates are voxels times the voxel size, along the axes x, y and z; those of a Zarr array begin
    where its metadata say. Labels of a .ckl file are traced from its boundaries. A Zarr array that does
    not fit --memory is cut into tiles, whose skeletons are joined; of single labels (-l), only the chunks
    that hold them are read.

    \b
    Examples:
      crackle-zarr skeletonize seg.ckl --anisotropy 16,16,40
      crackle-zarr skeletonize seg.nii.gz -o swc/ --scale 2 --const 0.05
      crackle-zarr skeletonize seg.npy -l 42 -l 43 --png skeletons.png
      crackle-zarr skeletonize seg.zarr --region 0:512,0:512,0:512 -o all.parquet
      crackle-zarr skeletonize seg.ckl --precomputed skeletons/
      crackle-zarr skeletonize seg.zarr --dataset skeletons/ --memory 4G
    """
    stored = is_stored(source)
    if not stored:
        names = {
            "--region": region is not None,
            "--dataset": dataset is not None,
            "--resume": resume,
            "--tick": tick > 0,
        }
        for name, is_given in names.items():
            if is_given:
                raise UnusableError(f"{source}: {name} is for Zarr arrays, and this is a file")
    folder = _prepared(source, output, precomputed, png, force or resume, dataset)

    def teasar_of(size: tuple[float, float, float], unit: str | None) -> dict[str, Any]:
        return {
            "scale": parameters["scale"],
            "const": const if const is not None else _default_const(size, unit),
            "pdrf_scale": parameters["pdrf_scale"],
            "pdrf_exponent": parameters["pdrf_exponent"],
            "soma_detection_threshold": _length(parameters["soma_detect"], 750, unit),
            "soma_acceptance_threshold": _length(parameters["soma_accept"], 3500, unit),
            "soma_invalidation_scale": parameters["soma_scale"],
            "soma_invalidation_const": _length(parameters["soma_const"], 300, unit),
            "max_paths": parameters["max_paths"],
        }

    def work(source: str) -> None:
        from .. import skeletons as tracing

        if stored:
            from . import skeletons_of_arrays

            skeletons_of_arrays.skeletonize(
                places.array_at(source, storage_option),
                source,
                skeletons_of_arrays.Request(
                    folder, precomputed, dataset, png, resume, force, every, not no_progress
                ),
                teasar_of,
                labels=labels,
                anisotropy=anisotropy,
                dust_threshold=dust,
                tick_threshold=tick,
                memory=memory,
                region=region,
                parallel=parallel,
                **{name: parameters[name] for name in _FLAGS},
            )
            return
        given = volume_at(source, storage_option)
        size, unit = voxel_size_of(given, anisotropy)
        teasar = teasar_of(size, unit)
        reach = teasar["const"]
        began = time.perf_counter()
        with bar(not no_progress) as progress:
            report = tracing.Report()
            found = tracing.skeletonize(
                given.labels,
                teasar,
                size,
                object_ids=labels or None,
                dust_threshold=dust,
                progress=progress,
                fix_branching=parameters["fix_branching"],
                fix_borders=parameters["fix_borders"],
                parallel=parallel,
                fill_holes=parameters["fill_holes"],
                fix_avocados=parameters["fix_avocados"],
                report=report,
            )
        seconds = time.perf_counter() - began
        show(found, report, every)
        say_count(len(found), seconds, size, unit, reach)
        say_dust(report, dust)
        write(found, folder, precomputed)
        if png is not None:
            from ..skeletons.drawing import draw

            draw(png, given.labels, found, size, (0, 0, 0))
            click.echo(f"drawn: {png}")
        missing = [label for label in labels if label not in found and label not in report.dust]
        if missing:
            places.absent(source, missing[0])

    _common.Batch().run([source], work)


def _prepared(
    source: str,
    output: Path | None,
    precomputed: Path | None,
    png: Path | None,
    force: bool,
    dataset: Path | None,
) -> Path | None:
    """Check what will be written, before the work.

    Returns the folder or file for the skeletons; None if only a dataset is wanted.
    """
    if output is not None and precomputed is not None:
        raise click.UsageError("--output and --precomputed are two forms of the same: give one.")
    if png is not None:
        from . import demo

        demo.require_matplotlib()
        places.new_file(png, force)
    if dataset is not None and output is None and precomputed is None:
        return None
    target = precomputed or output or Path(f"{_stem(source)}_skeletons")
    is_table = target.suffix.lower() == ".parquet"
    if is_table and importlib.util.find_spec("pyarrow") is None:
        raise click.UsageError(
            f"--output {target}: Parquet needs pyarrow: pip install 'crackle-zarr[parquet]'"
        )
    if is_table:
        places.new_file(target, force)
    elif target.is_dir() and any(target.iterdir()) and not force:
        raise UnusableError(
            f"{target} exists already, and is not empty: --force writes into it, --output names another"
        )
    elif target.exists() and not target.is_dir():
        raise UnusableError(f"{target} is a file: --output names a folder, or a file that ends in .parquet")
    return target


def _stem(source: str) -> str:
    name = Path(source.split(":/")[0] if ".h5:" in source or ".hdf5:" in source else source.rstrip("/")).name
    return name.split(".")[0] or "volume"


def volume_at(source: str, storage_options: dict[str, Any]) -> _Input:
    """The labels (x, y, z) of a file. A stream stays a stream."""
    places.refuse_storage_options(source, storage_options)
    with formats.opened(source) as volume:
        if volume.format == "ckl":
            return _Input(volumes.read_stream(Path(source)), volume.space)
        _check_axes(source, volume.shape)
        volume = whole_numbers.labels_of(volume, source)
        # Datasets of HDF5 have the axes z, y and x, as convert takes them.
        volume = volume.transposed() if volume.format == "hdf5" else volume
        return _Input(volume.array, volume.space)


def _check_axes(source: str, shape: tuple[int, ...]) -> None:
    if any(length != 1 for length in shape[3:]):
        raise UnusableError(
            f"{source}: {len(shape)} axes, {places.by(shape)}: a volume has up to three; "
            f"'crackle-zarr convert' takes one index of an axis with --index"
        )


def voxel_size_of(
    given: _Input, anisotropy: tuple[float, float, float] | None
) -> tuple[tuple[float, float, float], str | None]:
    """The edges of a voxel along x, y and z, as the user or the file says, and their unit."""
    if anisotropy is not None:
        return anisotropy, None
    size = given.space.voxel_size
    if size is None:
        return (1.0, 1.0, 1.0), None
    x, y, z = (*size, 1.0, 1.0)[:3]
    return (x, y, z), given.space.unit


_NANOMETRES = {
    "angstrom": 0.1,
    "nanometer": 1,
    "micrometer": 1e3,
    "millimeter": 1e6,
    "centimeter": 1e7,
    "meter": 1e9,
}


def _default_const(size: tuple[float, float, float], unit: str | None) -> float:
    return _length(None, 300, unit) if unit else 10 * min(size)


def _length(given: float | None, nanometres: float, unit: str | None) -> float:
    """A length as given, or some nanometres in the file's unit.

    Where it says none, nanometres are taken for it.
    """
    if given is not None:
        return given
    return nanometres / _NANOMETRES[unit] if unit else nanometres


# ---------------------------------------------------------------------------------------
# swc


@click.group(cls=_common.Commands, epilog=EXIT_CODES)
def swc() -> None:
    """Turn thinned images into SWC, and SWC into images."""


@swc.command("from", epilog=EXIT_CODES)
@_common.inputs
@_common.output
@_common.force
def swc_from(inputs: tuple[Path, ...], output: Path | None, force: bool) -> None:
    """Make SWC files from thinned images.

    Every voxel that is not 0 becomes a vertex, and every two neighbours (26) are joined. The coordinates
    are voxels. SWC holds trees: of a loop, one edge is left out.

    \b
    Examples:
      crackle-zarr swc from thinned.npy
      crackle-zarr swc from thinned.tif -o thinned.swc
    """

    def work(path: Path) -> str:
        from .. import skeletons as tracing

        target = _target(path, output, ".swc", force)
        with formats.opened(str(path)) as volume:
            image = volume.array
        made = tracing.extract_skeleton_from_binary_image(image)
        if made.empty():
            raise UnusableError(f"{path}: no two voxels that are neighbours: there is nothing to join")
        made.save(target)
        return f"{path} -> {target}  {counted(len(made.vertices), 'vertex').replace('vertexs', 'vertices')}"

    _common.Batch().run(inputs, work)


@swc.command("to", epilog=EXIT_CODES)
@_common.inputs
@_common.output
@click.option(
    "--format",
    "suffix",
    metavar="SUFFIX",
    default="npy",
    show_default=True,
    help="The format of the image, unless --output names a file: npy, ckl, tif (or tiff), nii or nrrd.",
)
@click.option(
    "--shape",
    metavar="X,Y,Z",
    callback=_common.shape,
    help="The shape of the image. The default ends at the last voxel of the skeleton.",
)
@_common.force
def swc_to(
    inputs: tuple[Path, ...],
    output: Path | None,
    suffix: str,
    shape: tuple[int, ...] | None,
    force: bool,
) -> None:
    """Draw SWC files as images of voxels.

    The voxels along the edges are 1, or the label that the file names. Physical coordinates are divided by
    the scale that the file says.

    \b
    Examples:
      crackle-zarr swc to 42.swc
      crackle-zarr swc to 42.swc -o 42.tif --shape 512,512,128
    """

    def work(path: Path) -> str:
        from .. import skeletons as tracing

        target = _target(path, output, f".{suffix.lstrip('.')}", force)
        one = tracing.Skeleton.load(path)
        image = tracing.draw_skeletons([one], shape)
        formats.write(target, formats.in_memory(image))
        return f"{path} -> {target}  {places.by(image.shape)}"

    _common.Batch().run(inputs, work)


def _target(path: Path, output: Path | None, suffix: str, force: bool) -> Path:
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    if output is None:
        target = path.with_name(path.name.split(".")[0] + suffix)
    else:
        target = output / (path.name.split(".")[0] + suffix) if output.is_dir() else output
    places.new_file(target, force)
    return target
