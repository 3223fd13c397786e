"""The command line's ``convert``: Zarr arrays and files of labels into each other.

Options and sources are those of ``places``, the formats of files those of ``files.formats``. Zarr is imported
when an array is read or written, not before.
"""

from __future__ import annotations

import contextlib
import datetime
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from click.core import ParameterSource

from .. import verbs
from .._base.options import MarkovOrder, Preset
from .._base.options import encoding as encoding_options
from ..errors import FormatError, StoreError, VerificationError
from ..files import formats
from ..files.formats import slices, whole_numbers
from ..files.volumes import UnusableError
from . import _common, file_axes, precomputed
from . import names as label_names
from ._common import EXIT_CODES
from .ome import check_place, levels_text, pyramid_options, write
from .places import (
    QueryOptions,
    array_at,
    by,
    commas,
    counted,
    is_precomputed,
    is_remote,
    is_stored,
    is_url,
    no_progress,
    opened,
    opening,
    refuse_storage_options,
    source_argument,
    space_of,
    storage_option,
    store_at,
)

if TYPE_CHECKING:
    import zarr

    from ..files.formats.colours import Packing
    from ..files.label_names import LabelNames
    from ..stored.convert import To


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Parse numbers with commas between them."""
    if value is None:
        return None
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not numbers such as 40,8,8.", ctx, param) from None


@click.command(epilog=EXIT_CODES)
@source_argument
@click.argument("destination", metavar="DESTINATION")
@click.option(
    "--to",
    type=click.Choice(["crackle", "zstd", "blosc", "gzip", "none"]),
    default="crackle",
    show_default=True,
    help="What to store a Zarr array with.",
)
@click.option(
    "--chunks",
    metavar="SHAPE",
    callback=_common.shape,
    help="Such as 64,256,256. The default: as in the source; of a file, what suits it.",
)
@click.option(
    "--shards",
    metavar="SHAPE",
    callback=_common.shape,
    help="Such as 256,1024,1024. The default: as in the source, if --chunks are.",
)
@click.option(
    "--zarr-format", type=click.Choice(["2", "3"]), help="The default: as in the source; of a file, 3."
)
@click.option(
    "--npy-axes",
    metavar="NAMES",
    callback=file_axes.npy_axes,
    help="The axes of a NumPy file, read or written, in its order, such as zyx, xyz or tzyx. The default: "
    "index for index as Zarr and HDF5 (zyx), and xyz for other formats, as for compress.",
)
@click.option(
    "--index",
    "indices",
    metavar="AXIS=NUMBER",
    multiple=True,
    callback=file_axes.indices,
    help="Convert one index of an axis, such as t=3, for files with more than three. Axes without names "
    "have numbers from 0. Repeatable.",
)
@click.option("--layer", metavar="NUMBER", type=click.IntRange(0), help="The same as --index layer=NUMBER.")
@click.option("--rgb", is_flag=True, help="Pack colours into labels: 65536 R + 256 G + B, as of VAST.")
@click.option("--bgr", is_flag=True, help="Pack colours into labels: R + 256 G + 65536 B, as of webknossos.")
@click.option(
    "--encoding",
    type=click.Choice(precomputed.ENCODINGS),
    help="How to store the chunks of a precomputed volume.  [default: compressed_segmentation]",
)
@click.option(
    "--scale",
    metavar="KEY|N",
    help="Which scale of a precomputed volume to convert: its key, such as 8_8_40, or its number. The "
    "default: the finest.",
)
@_common.preset
@_common.markov
@_common.pins
@click.option(
    "--ome",
    is_flag=True,
    help="Write OME-Zarr 0.5 labels: a group with a pyramid, axes and voxel size, which viewers read.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="With --ome: write labels/NAME in DESTINATION, such as an image, with as many levels as that.",
)
@click.option(
    "--voxel-size",
    metavar="SIZES",
    callback=_sizes,
    help="With --ome: the edges of a voxel in the array's order of axes, such as 40,8,8. The default is the "
    "source's.",
)
@click.option("--unit", metavar="UNIT", help="With --voxel-size: such as nanometer, or nm.")
@pyramid_options
@label_names.option
@click.option("--overwrite", is_flag=True, help="Replace what is at DESTINATION.")
@click.option("--no-verify", is_flag=True, help="Do not read everything back to compare it.")
@click.option(
    "--round",
    "rounding",
    is_flag=True,
    help="Round numbers of a file of floats, such as 7014.9999, to labels.",
)
@_common.parallel
@storage_option
@no_progress
@click.pass_context
def convert(
    ctx: click.Context,
    source: str,
    destination: str,
    to: To,
    chunks: tuple[int, ...] | None,
    shards: tuple[int, ...] | None,
    zarr_format: str | None,
    npy_axes: str | None,
    indices: dict[str, int],
    layer: int | None,
    rgb: bool,
    bgr: bool,
    encoding: str | None,
    scale: str | None,
    preset: Preset | None,
    markov: MarkovOrder | None,
    pins: int | None,
    ome: bool,
    name: str | None,
    voxel_size: tuple[float, ...] | None,
    unit: str | None,
    factors: Any,
    levels: int | None,
    sparse: bool,
    names: LabelNames | None,
    overwrite: bool,
    no_verify: bool,
    rounding: bool,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Convert labels to another file format, codec or chunk shape.

    SOURCE and DESTINATION are Zarr arrays, or files: .ckl and .npy, also within .gz, .xz, .lzma, .bz2 or
    .zst; .nrrd; .nii and .nii.gz; .mha; .tif and .tiff; .png; and datasets of HDF5, written
    file.h5:/volumes/labels. SOURCE may also be .npz (file.npz:name), .mgz and .mgh, .hdr with .img, .mnc,
    .mhd, .gipl, .vtk, .mrc, .map and .rec, or a folder or a quoted glob of images, one per slice, in
    natural order. 'z_{:04}.tif' writes a file per slice. The content of SOURCE determines its format,
    and the name of DESTINATION the new format: a name without one of these endings is a Zarr array.
    The libraries of all formats: pip install 'crackle-zarr[formats]'. Precomputed volumes of
    Neuroglancer are written precomputed://PATH-or-URL; chunks of compressed_segmentation need: pip
    install 'crackle-zarr[precomputed]'.

    The command reads the result back and compares it with the source.

    Zarr to Zarr keeps shape, dtype, fill value, attributes and the names of axes. For a group, such
    as OME-Zarr labels with their pyramid, it converts all arrays, or level 0 into a file. After an
    interruption, the same command continues. While one command writes to DESTINATION, others are
    refused and told which process writes. --storage-option applies to both places, if they are
    URLs.

    From a precomputed volume, --scale is converted. Chunks of the encoding crackle are copied as
    they are where the chunks agree, unless an option of Crackle is given. To a precomputed volume,
    all levels of OME-Zarr labels are written, and --chunks are in the order z,y,x.

    --ome writes a label image of OME-Zarr 0.5: level 0 and a pyramid of it, of the labels in a file,
    an array, or level 0 of another image. bool becomes 0 and 1. Viewers open DESTINATION itself, or with
    --name the image around the labels.

    Axes keep their names: x, y, z in streams and medical formats; a page per z with rows along y in
    TIFF and MRC; z, y, x in HDF5 and Zarr, unless a Zarr array names its axes differently. NumPy's files
    have no names: from and to Zarr and HDF5 every index stays as it is, and for other formats their
    axes are x, y, z; --npy-axes says otherwise. The line on stdout shows both shapes with their axes.
    More than three axes go to Zarr; --index t=3 takes one index of an axis.

    Names and colours of labels are those of --names, or of the source: the segments of .seg.nrrd, the
    attribute label_names of a Zarr array, or image-label of OME-Zarr. They are written to Zarr, OME-Zarr,
    NRRD and precomputed volumes; labels, stats and view show them.

    Labels stay exact. Whole numbers that a file stores as floats, or that NIfTI scales, become the
    smallest integers that hold them; other numbers are rejected, or rounded with --round.

    The voxel size, its unit and the origin are written to every format that can hold them: NIfTI,
    NRRD, MetaImage, HDF5 and Zarr (attributes voxel_size, voxel_unit, voxel_origin); TIFF keeps the size. The
    line on stdout names what is not kept. NRRD to NRRD and NIfTI to NIfTI keep the other fields of
    the header. bool becomes 0 and 1 in .ckl, NRRD and NIfTI.

    To Zarr, .npy, HDF5 and slices the volume is written slab by slab; other formats take it into memory.

    \b
    Examples:
      crackle-zarr convert old.zarr seg.zarr
      crackle-zarr convert old.zarr seg.zarr --preset small --chunks 64,256,256
      crackle-zarr convert seg.zarr plain.zarr --to zstd
      crackle-zarr convert s3://bucket/old.zarr seg.zarr --storage-option anon=true
      crackle-zarr convert seg.nii.gz seg.ckl -m 5 -p 1
      crackle-zarr convert aseg.nii seg.zarr --round
      crackle-zarr convert sample.h5:/volumes/labels/neuron_ids seg.zarr
      crackle-zarr convert seg.zarr out.h5:/labels
      crackle-zarr convert seg.npy seg.zarr --npy-axes xyz
      crackle-zarr convert slices/ seg.zarr
      crackle-zarr convert 'export/z_*.png' seg.zarr --rgb
      crackle-zarr convert seg.zarr 'out/z_{:04}.tif'
      crackle-zarr convert movie.tif frame.ckl --index t=3
      crackle-zarr convert precomputed://https://example.org/seg seg.zarr --scale 16_16_40
      crackle-zarr convert seg.zarr precomputed://public/seg --encoding crackle
      crackle-zarr convert seg.nii.gz seg.ome.zarr --ome
      crackle-zarr convert seg.ckl seg.ome.zarr --ome --voxel-size 40,8,8 --unit nm
      crackle-zarr convert seg.zarr image.ome.zarr --ome --name cells
      crackle-zarr convert seg.seg.nrrd seg.zarr
      crackle-zarr convert aseg.nii.gz seg.zarr --names FreeSurferColorLUT.txt
    """
    to_precomputed = is_precomputed(destination)
    _check_precomputed(ctx, source, destination, encoding, scale)
    if rgb and bgr:
        raise click.UsageError("--rgb and --bgr are two ways to pack colours: give one.")
    packing: Packing | None = "rgb" if rgb else "bgr" if bgr else None
    wanted = indices | ({} if layer is None else {"layer": layer})
    format = None if is_url(destination) else formats.of_name(destination)
    if Path(destination).is_dir():
        format = None
    encoded = any(option is not None for option in (preset, markov, pins))
    if to != "crackle" and encoded:
        raise click.UsageError(f"--preset, --markov and --pins are for Crackle, not for --to {to}.")
    if not ome:
        for option in ("name", "voxel_size", "unit", "factors", "levels", "sparse"):
            if ctx.get_parameter_source(option) is not ParameterSource.DEFAULT:
                raise click.UsageError(f"--{option.replace('_', '-')} is for OME-Zarr: give --ome, too.")
    elif zarr_format == "2" or to != "crackle":
        raise click.UsageError("--ome writes OME-Zarr 0.5, in Zarr format 3 and with Crackle.")
    elif unit is not None and voxel_size is None:
        raise click.UsageError("--unit is for --voxel-size: give both.")
    if format is not None:
        if ome:
            raise click.UsageError(f"--ome is for Zarr, and {destination} is a file.")
        for option in ("to", "chunks", "shards", "zarr_format"):
            if ctx.get_parameter_source(option) is not ParameterSource.DEFAULT:
                option = option.replace("_", "-")
                raise click.UsageError(f"--{option} is for Zarr arrays, and {destination} is a file.")
        if format != "ckl" and encoded:
            raise click.UsageError(f"--preset, --markov and --pins are for Crackle, not for {destination}.")
    options = QueryOptions(None, parallel, True, storage_option, not no_progress)
    # The axes of NumPy's files, unless they are given: those of Zarr and HDF5, else as for compress.
    from_or_to_zyx = format in (None, "hdf5") and not to_precomputed

    def labels(volume: formats.Volume, source: str) -> formats.Volume:
        """The volume in a file as integers, with the axes (x, y, z, ...)."""
        if npy_axes and not {format, volume.format} & {"npy", "npz"}:
            raise UnusableError(
                f"{source}: --npy-axes is for .npy files, but neither SOURCE nor DESTINATION is one"
            )
        if wanted:  # numbers at other indices are not looked at
            volume = file_axes.ordered(volume, source, npy_axes, slow_first=from_or_to_zyx)
            return whole(file_axes.at(volume, source, wanted), source)
        # Messages have the indices of the file's own axes.
        return file_axes.ordered(whole(volume, source), source, npy_axes, slow_first=from_or_to_zyx)

    def whole(volume: formats.Volume, source: str) -> formats.Volume:
        """A volume of whole numbers as integers."""
        with options.bar("voxel") as progress:
            seen, total = 0, math.prod(volume.shape)

            def advance(count: int) -> None:
                nonlocal seen
                seen += count
                if callable(progress):
                    progress(seen, total)

            return whole_numbers.labels_of(volume, source, rounding=rounding, progress=advance)

    def shape_of_file(volume: formats.Volume) -> str:
        """The shape of a file with its axes, as its users order them."""
        if volume.format not in formats.OWN_AXES:
            return file_axes.text_of(file_axes.ordered(volume, "", None, slow_first=False), volume.format)
        default = "zyx" if from_or_to_zyx or volume.format == "hdf5" else "xyz"
        ndim = len(volume.shape)
        names = npy_axes if npy_axes and volume.format != "hdf5" else None if ndim > 3 else default
        if names == "zyx":
            names = names[-ndim:] if ndim else ""
        return file_axes.shape_text(volume.shape, None if names is None else names[:ndim])

    def to_file(source: str) -> str:
        assert format is not None
        target = Path(formats.split(destination)[0])
        _check_file(source, destination, target, overwrite)
        with contextlib.ExitStack() as stack:
            if is_stored(source):
                if npy_axes and format != "npy":
                    raise UnusableError(
                        f"{source}: --npy-axes is for .npy files, but neither SOURCE nor DESTINATION is one"
                    )
                turned = format == "npy" and npy_axes is None and not is_precomputed(source)
                volume, before = _of_array(source, storage_option, scale, turned and not wanted)
                volume = file_axes.at(volume, source, wanted)
                formats.check(destination, volume.shape)
            else:
                refuse_storage_options(source, storage_option)
                formats.require(format)  # fail before the work
                found = stack.enter_context(formats.opened(source, parallel, packing))
                volume, before = labels(found, source), shape_of_file(found)
                turned = format == "npy" and npy_axes is None and found.format == "hdf5"
            after = file_axes.text_of(volume, format)
            watched = file_axes.Watched(volume)
            volume = watched.volume
            if format == "npy":
                volume = volume.transposed() if turned else volume
                volume = volume if npy_axes is None else file_axes.in_order_of(volume, npy_axes, source)
                after = file_axes.shape_text(volume.shape, volume.axes)
            volume, nameless = label_names.for_file(volume, names, format)
            formats.write(
                destination,
                volume,
                preset=preset,
                markov=markov,
                pins=pins,
                parallel=parallel,
                overwrite=overwrite,
            )
            if not no_verify:
                formats.verify(destination, volume, parallel)
        size = formats.nbytes_of(destination, volume)
        summary = f"{source} -> {destination}  {before} -> {after} {volume.dtype.name}, {volume.nbytes:,} -> "
        summary += f"{size:,} bytes, ratio {volume.nbytes / max(1, size):.1f}"
        _say_doubt(source, watched.doubt(size if format == "ckl" else None))
        lost = ", ".join(filter(None, [formats.not_kept(volume, format), nameless]))
        return _with_notes(summary, volume.note, lost)

    def to_array(source: str) -> str:
        with contextlib.ExitStack() as stack:
            return _to_array(source, stack)

    def _to_array(source: str, stack: contextlib.ExitStack) -> str:
        from_file = not is_stored(source) and formats.exists(source)
        urls = [place for place in (source, destination) if is_remote(place)]
        if not urls:
            refuse_storage_options(source, storage_option)
        lost = note = shapes = ""
        watched: file_axes.Watched | None = None
        src: Any
        if from_file:
            if not to_precomputed:
                _check_new_array(destination, overwrite or ome)
            if ome:
                check_place(destination, name, overwrite)
            _check_destination(formats.split(source)[0], destination)
            found = stack.enter_context(formats.opened(source, parallel, packing))
            volume = labels(found, source)
            shapes = f"{shape_of_file(found)} -> {file_axes.text_of(volume, None)}, "
            watched = file_axes.Watched(volume)
            volume = watched.volume
            # Defaults are named, too: an earlier version may have had others.
            axes = npy_axes or ("zyx" if volume.format in ("npy", "npz") and not to_precomputed else None)
            options_of_reading: dict[str, Any] = {
                "npy-axes": axes,
                "round": rounding or None,
                "colours": packing,
            }
            options_of_reading |= {f"index {name}": index for name, index in wanted.items()}
            shaped = (None, None, None) if to_precomputed else (chunks, shards, zarr_format)
            src = _array_of(volume.transposed(), *shaped, _fingerprint(source, options_of_reading))
            label_names.give(src, names or volume.label_names)
            lost, note = formats.not_kept(volume, None), volume.note
        else:
            if npy_axes or rounding or wanted or packing:
                option = "--npy-axes is for .npy files" if npy_axes else "--round is for files of floats"
                option = option if npy_axes or rounding else "--index, --layer, --rgb and --bgr are for files"
                raise UnusableError(f"{source}: {option}, but neither SOURCE nor DESTINATION is one")
            src = opened(source, storage_option if is_remote(source) else None, scale=scale)
            _check_destination(source, destination)
            if not to_precomputed:
                _check_chunks(src, chunks, shards, "3" if ome else zarr_format)
            shapes = _shapes_of_arrays(src)
        if to_precomputed:
            with options.bar("block") as progress:
                summary, notes = precomputed.write(
                    src,
                    destination,
                    encoding=encoding or precomputed.ENCODINGS[0],
                    chunks=chunks,
                    crackle=dict(encoding_options(preset, markov, pins)) if encoded else None,
                    verify=not no_verify,
                    overwrite=overwrite,
                    parallel=parallel,
                    storage_options=storage_option if is_remote(destination) else None,
                    from_file=from_file,
                    names=names,
                    progress=progress,
                )
            notes = "; ".join(filter(None, [note, notes]))
            return _with_notes(f"{source} -> {destination}  {shapes}{summary}", notes, lost)
        if ome:
            return _with_notes(_to_ome(source, src, shapes), note, lost)
        with opening(destination):
            dst = store_at(destination, storage_option, "r+")
        try:
            with options.bar("block") as progress:
                report = verbs.convert(
                    src,
                    dst,
                    to=to,
                    chunks=chunks,
                    shards=shards,
                    zarr_format=None if zarr_format is None else 3 if zarr_format == "3" else 2,
                    preset=preset,
                    markov_model_order=markov,
                    allow_pins=pins,
                    verify=not no_verify,
                    overwrite=overwrite,
                    parallel=parallel,
                    progress=progress,
                )
        except FileExistsError as error:
            raise UnusableError(f"{source} -> {destination}: {error}") from error
        if names and not from_file:
            label_names.write(destination, names, storage_option)
        what = f"{counted(report.arrays, 'array')}, {counted(report.chunks, 'chunk')}"
        before, after = report.bytes_before, report.bytes_after
        if from_file:
            before = src.nbytes
        if watched is not None:
            _say_doubt(source, watched.doubt(after if to == "crackle" else None))
        summary = f"{source} -> {destination}  {shapes}{what}"
        if before and after:  # else it is a store that cannot list
            summary += f", {before:,} -> {after:,} bytes, ratio {before / after:.1f}"
        return _with_notes(summary, note, lost)

    def _to_ome(source: str, src: zarr.Array[Any] | zarr.Group, shapes: str) -> str:
        encoding = {"preset": preset, "markov_model_order": markov, "allow_pins": pins}
        try:
            labels = write(
                src,
                destination,
                name,
                voxel_size,
                unit,
                options,
                factors="auto" if factors is None else factors,
                levels=levels,
                sparse=sparse,
                overwrite=overwrite,
                verify=not no_verify,
                chunks=chunks,
                shards=shards,
                names=names,
                **encoding,
            )
        except (FormatError, VerificationError):
            raise
        except (FileExistsError, TypeError, ValueError) as error:  # the arguments do not fit each other
            raise UnusableError(f"{source} -> {destination}: {error}") from error
        return (
            f"{source} -> {destination}  {shapes}{levels_text(labels)}; {labels.spaces[0].text(labels.names)}"
        )

    _common.Batch().run([source], to_array if format is None else to_file)


def _check_precomputed(
    ctx: click.Context, source: str, destination: str, encoding: str | None, scale: str | None
) -> None:
    """Raise UsageError for options that do not go with the source or the destination."""
    if scale is not None and not is_precomputed(source):
        raise click.UsageError(f"--scale is for precomputed volumes, and {source} is none: precomputed://...")
    if not is_precomputed(destination):
        if encoding is not None:
            raise click.UsageError(
                f"--encoding is for precomputed volumes, and {destination} is none: precomputed://..."
            )
        return
    for name in ("to", "shards", "zarr_format", "ome"):
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} is for Zarr arrays, and {destination} is a precomputed volume.")
    crackle = [name for name in ("preset", "markov", "pins") if ctx.params.get(name) is not None]
    if crackle and encoding != "crackle":
        raise click.UsageError("--preset, --markov and --pins are for Crackle: give --encoding crackle.")


def _shapes_of_arrays(src: zarr.Array[Any] | zarr.Group) -> str:
    """The shape of an array with its axes, twice, because it stays; nothing of a group."""
    import zarr

    from .._base import zarr_facts

    if not isinstance(src, zarr.Array):
        return ""
    text = file_axes.shape_text(src.shape, zarr_facts.dimension_names(src))
    return f"{text} -> {text}, "


def _say_doubt(source: str, reason: str) -> None:
    """Warn on stderr about labels that look like intensities."""
    if reason:
        click.echo(
            f"crackle-zarr: {source}: this looks like intensities, not like a segmentation: {reason}",
            err=True,
        )


def _with_notes(summary: str, note: str, lost: str) -> str:
    """The line about a conversion, with notes on converted floats and on metadata that was not kept."""
    return summary + (f"; {note}" if note else "") + (f"; not kept: {lost}" if lost else "")


def _check_file(source: str, destination: str, target: Path, overwrite: bool) -> None:
    """Reject an output file that exists, that is the source, or whose folder does not exist."""
    if slices.is_pattern(destination):
        return  # each file is checked when its name is known
    if not is_url(source) and Path(source).is_dir() and Path(source).resolve() in target.resolve().parents:
        raise UnusableError(f"{target}: the destination lies in the source: give another destination")
    if target.exists():
        if not is_url(source) and Path(source).exists() and target.samefile(source):
            raise UnusableError(f"{target}: the destination is the source")
        if not overwrite and formats.of_name(destination) != "hdf5":  # an HDF5 file keeps other datasets
            raise UnusableError(f"{target} exists already: --overwrite replaces it")
    if not target.absolute().parent.is_dir():
        raise UnusableError(f"{target}: there is no directory {target.parent}")


def _check_new_array(destination: str, overwrite: bool) -> None:
    """Reject a destination for a new array, before the source file is read.

    A name with another suffix is more likely a mistyped format, which would become a folder.
    """
    if is_url(destination):
        return
    there = Path(destination)
    if not there.exists() and there.suffix.lower() not in ("", ".zarr"):
        raise UnusableError(
            f"{destination}: its name has no known suffix: {formats.NAMES}, or .zarr for a Zarr array"
        )
    if (there / ".crackle-convert").exists():  # verbs.convert goes on, or says that it is another conversion
        return
    if not overwrite and any((there / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        raise UnusableError(f"{destination} exists already: --overwrite replaces it")


def _of_array(
    source: str, options: dict[str, Any] | None, scale: str | None, as_they_are: bool
) -> tuple[formats.Volume, str]:
    """The array at a path or URL as a volume with the axes (x, y, z), for a file, and its shape as text.

    Boxes are read on demand. With ``as_they_are``, the axes are those of the array in reverse order.
    """
    from .._base import zarr_facts
    from ..codecs.chunk import label_dtype

    if not is_remote(source):
        refuse_storage_options(source, options)
    array = array_at(source, options if is_remote(source) else None, scale=scale)
    label_dtype(array.dtype)
    names = zarr_facts.dimension_names(array)
    order = formats.xyz_order(array.ndim, None if as_they_are else names)

    def read_box(box: formats.Box) -> Any:
        place = [slice(0)] * array.ndim
        for part, axis in zip(box, order, strict=True):
            place[axis] = part
        try:
            voxels = np.asarray(array[tuple(place)])
        except FormatError as error:
            notes = " ".join(["", *getattr(error, "__notes__", ())])  # Zarr's codec notes which chunk it was
            raise FormatError(f"{source}: {error}.{notes}", error.section, error.slice) from error
        except (StoreError, MemoryError):
            raise
        except Exception as error:  # each store has its own exceptions
            raise StoreError(f"{source} cannot be read: {type(error).__name__}: {error}") from error
        shape = [
            array.shape[axis] if part == slice(0) else len(range(*part.indices(array.shape[axis])))
            for axis, part in enumerate(place)
        ]
        native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
        return native.reshape(shape).transpose(order)

    named = names is not None and all(names)
    if not named and array.ndim > 3:
        names, named = tuple(map(str, range(array.ndim))), True
    volume = formats.Volume(
        tuple(array.shape[axis] for axis in order),
        array.dtype.newbyteorder("="),
        read_box,
        space_of(array).of_axes(order),
        axes=tuple(str((names or ())[axis]) for axis in order) if named else None,
        label_names=label_names.of_array(array),
    )
    return volume, file_axes.shape_text(array.shape, names)


def _fingerprint(source: str, options: dict[str, Any]) -> str:
    """A file, as it is now, and how it is read: by this an interrupted conversion knows its source again."""
    if slices.is_sequence(source):
        files = [path.stat() for path in slices.paths(source)]
        newest = datetime.datetime.fromtimestamp(max(one.st_mtime for one in files)).isoformat(sep=" ")
        words = [f"--{name} {value}" for name, value in options.items() if value is not None]
        size = f"{len(files)} files of {sum(one.st_size for one in files):,} bytes"
        return f"{Path(source).absolute().as_uri()} ({', '.join([size, f'of {newest}', *words])})"
    path, member = formats.split(source)
    status = Path(path).stat()
    changed = datetime.datetime.fromtimestamp(status.st_mtime).isoformat(sep=" ")
    words = [f"--{name} {value}" for name, value in options.items() if value is not None]
    place = Path(path).resolve().as_uri() + (f":{member}" if member else "")
    return f"{place} ({', '.join([f'{status.st_size:,} bytes', f'of {changed}', *words])})"


def _array_of(
    volume: formats.Volume,
    chunks: tuple[int, ...] | None,
    shards: tuple[int, ...] | None,
    zarr_format: str | None,
    source: str | None = None,
) -> zarr.Array[Any]:
    """A volume (z, y, x) as a Zarr array, the source of verbs.convert.

    Its chunks are read on demand.
    """
    from ..codecs.create import default_chunks
    from ..files.formats.as_zarr import as_zarr

    ndim = len(volume.shape)
    names = volume.axes if zarr_format != "2" and ndim and not file_axes.is_numbered(volume.axes) else None
    right = chunks is None or len(chunks) == ndim  # else _check_chunks is about to say so
    array = as_zarr(
        volume,
        chunks if chunks is not None and right else default_chunks(volume.shape, shards),
        names,
        source,
    )
    _check_chunks(array, chunks, shards, zarr_format)
    return array


def _check_destination(source: str, destination: str) -> None:
    """Reject a destination that is the source, is in it or contains it, or a folder that is no Zarr array."""
    if is_url(destination) or is_url(source):
        if source.rstrip("/") == destination.rstrip("/"):
            raise UnusableError(f"{destination}: the destination is the source")
        return
    here, there = Path(source).resolve(), Path(destination).resolve()
    if here == there:
        raise UnusableError(f"{destination}: the destination is the source")
    if here in there.parents or there in here.parents:
        raise UnusableError(
            f"{destination}: the source and the destination lie in each other: give another destination"
        )
    if there.is_file():
        raise UnusableError(f"{destination} exists already, and is a file: name another destination")
    ours = ("zarr.json", ".zarray", ".zgroup", ".crackle-convert", ".crackle-owner")
    if there.is_dir() and any(there.iterdir()) and not any((there / name).exists() for name in ours):
        raise UnusableError(
            f"{destination} is a folder of other files: give a new folder, such as {destination}/seg.zarr"
        )


def _check_chunks(
    src: zarr.Array[Any] | zarr.Group,
    chunks: tuple[int, ...] | None,
    shards: tuple[int, ...] | None,
    zarr_format: str | None,
) -> None:
    """Refuse shapes that do not suit an array of the source, before anything is replaced."""
    import zarr

    from .._base import zarr_facts

    if isinstance(src, zarr.Array):
        arrays = [src]
    else:
        arrays = [member for _, member in src.members(max_depth=None) if isinstance(member, zarr.Array)]
    for array in arrays:
        for option, lengths in (("--chunks", chunks), ("--shards", shards)):
            if lengths is not None and len(lengths) != array.ndim:
                raise UnusableError(
                    f"{option} {commas(lengths)} has {counted(len(lengths), 'number')}, "
                    f"and an array of shape {by(array.shape)} needs one per axis"
                )
        if shards is None:
            continue
        if int(zarr_format or zarr_facts.format_of(array)) == 2:
            raise UnusableError("--shards: there are none in Zarr format 2; give --zarr-format 3")
        inner = chunks or zarr_facts.chunk_shape(array)
        if any(whole % part for whole, part in zip(shards, inner, strict=True)):
            raise UnusableError(
                f"--shards {commas(shards)} are not whole multiples of the chunks, {commas(inner)}"
            )
