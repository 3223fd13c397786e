"""The command line's ``convert``: Zarr arrays and files of labels into each other.

Options and sources are those of ``places``, the formats of files those of ``files.formats``. Zarr is imported
when an array is read or written, not before.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from click.core import ParameterSource

from .. import verbs
from .._base.options import MarkovOrder, Preset
from ..errors import FormatError, StoreError
from ..files import formats
from ..files.volumes import UnusableError
from . import _common
from ._common import EXIT_CODES
from .places import (
    Asked,
    array_at,
    by,
    commas,
    counted,
    is_stored,
    is_url,
    no_progress,
    opened,
    opening,
    refuse_storage_options,
    source_argument,
    storage_option,
)

if TYPE_CHECKING:
    import zarr

    from ..stored.convert import To


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
    type=click.Choice(["xyz", "zyx"]),
    help="The order of the axes of a .npy file, read or written. The default is xyz, as for compress.",
)
@_common.preset
@_common.markov
@_common.pins
@click.option("--overwrite", is_flag=True, help="Replace what is at DESTINATION.")
@click.option("--no-verify", is_flag=True, help="Do not read everything back to compare it.")
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
    preset: Preset | None,
    markov: MarkovOrder | None,
    pins: int | None,
    overwrite: bool,
    no_verify: bool,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Store Zarr arrays and files of labels in another way.

    From and to Zarr arrays; .ckl and .npy, also within .gz, .xz, .lzma, .bz2 or .zst; .nrrd; .nii and
    .nii.gz; .tif and .tiff. What a source holds is told by its content, and what DESTINATION is to
    be by its name: one that ends in none of these is a Zarr array. For NRRD, NIfTI and TIFF:
    pip install 'crackle-zarr[formats]'.

    Everything is read back and compared with the source.

    Of a Zarr array, shape, dtype, fill value, attributes and names of axes stay in another; of a
    group, such as OME-Zarr labels with their pyramid, all arrays are taken, or level 0 into a file.
    What was interrupted goes on when the same command is given again. --storage-option is for
    both places, if they are URLs.

    Axes keep their names. x, y, z are the axes of streams, NRRD, NIfTI and .npy (--npy-axes zyx for
    what NumPy's users mostly have); TIFF has a page per z with rows along y, and Zarr z, y, x,
    unless the names of its axes tell otherwise.

    Labels stay exact, and are integers or bool: floats, and NIfTI that is to be scaled, are refused.
    Lost is what the new format has no place for: bool becomes 0 and 1 in all but .npy, TIFF and
    Zarr; voxel size, orientation and origin go between NRRD and NIfTI (as 32-bit floats), TIFF takes
    the voxel size, and .ckl, .npy and Zarr take none of them; other fields of a header stay only
    from NRRD to NRRD and from NIfTI to NIfTI. The line on stdout says what was not kept of space.
    Files are read into memory as a whole.

    \b
    Examples:
      crackle-zarr convert old.zarr seg.zarr
      crackle-zarr convert old.zarr seg.zarr --preset small --chunks 64,256,256
      crackle-zarr convert seg.zarr plain.zarr --to zstd
      crackle-zarr convert s3://bucket/old.zarr seg.zarr --storage-option anon=true
      crackle-zarr convert seg.nii.gz seg.ckl -m 5 -p 1
      crackle-zarr convert seg.ckl seg.nrrd
      crackle-zarr convert seg.tif seg.zarr --chunks 64,256,256
      crackle-zarr convert seg.npy seg.zarr --npy-axes zyx
    """
    format = None if is_stored(destination) else formats.of_name(Path(destination))
    encoded = any(option is not None for option in (preset, markov, pins))
    if to != "crackle" and encoded:
        raise click.UsageError(f"--preset, --markov and --pins are for Crackle, not for --to {to}.")
    if format is not None:
        for name in ("to", "chunks", "shards", "zarr_format"):
            if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
                option = "--" + name.replace("_", "-")
                raise click.UsageError(f"{option} is for Zarr arrays, and {destination} is to be a file.")
        if format != "ckl" and encoded:
            raise click.UsageError(
                f"--preset, --markov and --pins are for Crackle, and {destination} is none."
            )
    asked = Asked(None, parallel, True, storage_option, not no_progress)
    zyx = npy_axes == "zyx"

    def to_file(source: str) -> str:
        assert format is not None
        target = Path(destination)
        _check_file(source, target, overwrite)
        if is_stored(source):
            volume = formats.Volume(_read_xyz(source, storage_option, target))
        else:
            refuse_storage_options(source, storage_option)
            formats.require(format)  # fail before the work
            volume = _read_file(source, zyx, parallel)
        if npy_axes and "npy" not in (format, volume.format):
            raise UnusableError(f"{source}: --npy-axes is for .npy files, and none is read or written")
        if format == "npy" and zyx:
            volume = dataclasses.replace(volume, array=volume.array.T)
        formats.write(target, volume, preset=preset, markov=markov, pins=pins, parallel=parallel)
        if not no_verify:
            formats.verify(target, volume, parallel)
        lost = volume.lost_in(format)
        array, size = volume.array, target.stat().st_size
        said = f"{source} -> {destination}  {by(array.shape)} {array.dtype.name}, {array.nbytes:,} -> "
        said += f"{size:,} bytes, ratio {array.nbytes / max(1, size):.1f}"
        return said + (f"; not kept: {lost}" if lost else "")

    def to_array(source: str) -> str:
        from_file = not is_stored(source) and Path(source).exists()
        urls = [place for place in (source, destination) if is_url(place)]
        if not urls:
            refuse_storage_options(source, storage_option)
        lost = ""
        src: Any
        if from_file:
            _check_new_array(destination, overwrite)
            _check_destination(source, destination)
            volume = _read_file(source, zyx, parallel)
            if npy_axes and volume.format != "npy":
                raise UnusableError(f"{source}: --npy-axes is for .npy files, and this is none")
            src = _in_memory(volume.array.T, chunks, shards, zarr_format)
            lost = volume.lost_in(None)
        else:
            if npy_axes:
                raise UnusableError(f"{source}: --npy-axes is for .npy files, and none is read or written")
            src = opened(source, storage_option if is_url(source) else None)
            _check_destination(source, destination)
            _check_chunks(src, chunks, shards, zarr_format)
        dst: Any = destination
        if is_url(destination):
            from zarr.storage import FsspecStore

            with opening(destination):
                dst = FsspecStore.from_url(destination, storage_options=storage_option or None)
        try:
            with asked.bar("block") as progress:
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
        what = f"{counted(report.arrays, 'array')}, {counted(report.chunks, 'chunk')}"
        before, after = report.bytes_before, report.bytes_after
        if from_file:
            before = src.nbytes
        said = f"{source} -> {destination}  {what}"
        if before and after:  # else it is a store that can not list
            said += f", {before:,} -> {after:,} bytes, ratio {before / after:.1f}"
        return said + (f"; not kept: {lost}" if lost else "")

    _common.Batch().over([source], to_array if format is None else to_file)


def _read_file(source: str, zyx: bool, parallel: int) -> formats.Volume:
    """The volume in a file, with the axes (x, y, z)."""
    volume = formats.read(Path(source), parallel)
    if volume.format == "npy" and zyx:
        return dataclasses.replace(volume, array=volume.array.T)
    return volume


def _check_file(source: str, target: Path, overwrite: bool) -> None:
    """Refuse a file to write that exists, that is the source, or that has no folder."""
    if not is_url(source) and Path(source).is_dir() and Path(source).resolve() in target.resolve().parents:
        raise UnusableError(f"{target}: the destination lies in the source: name another")
    if target.exists():
        if not is_url(source) and Path(source).exists() and target.samefile(source):
            raise UnusableError(f"{target}: the destination is the source")
        if not overwrite:
            raise UnusableError(f"{target} exists already: --overwrite replaces it")
    if not target.absolute().parent.is_dir():
        raise UnusableError(f"{target}: there is no directory {target.parent}")


def _check_new_array(destination: str, overwrite: bool) -> None:
    """Refuse a place for the array that a file becomes, before the file is read.

    A name with another suffix is more likely a mistyped format, which would become a folder.
    """
    if is_url(destination):
        return
    there = Path(destination)
    if not there.exists() and there.suffix.lower() not in ("", ".zarr"):
        raise UnusableError(
            f"{destination}: no format is known by this name: {formats.NAMES}, or .zarr for a Zarr array"
        )
    if not overwrite and any((there / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        raise UnusableError(f"{destination} exists already: --overwrite replaces it")


def _read_xyz(source: str, options: dict[str, Any] | None, target: Path) -> Any:
    """All voxels of the array at a path or URL, with the axes (x, y, z), for a file."""
    from ..codecs.chunk import label_dtype

    if not is_url(source):
        refuse_storage_options(source, options)
    array = array_at(source, options if is_url(source) else None)
    label_dtype(array.dtype)
    from .._base import zarr_facts

    order = formats.xyz_order(array.ndim, zarr_facts.dimension_names(array))
    formats.check(target, [array.shape[axis] for axis in order])
    try:
        voxels = np.asarray(array[...])
    except FormatError as error:
        notes = " ".join(["", *getattr(error, "__notes__", ())])  # Zarr's codec notes which chunk it was
        raise FormatError(f"{source}: {error}.{notes}", error.section, error.slice) from error
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # of a store, each of which has exceptions of its own
        raise StoreError(f"{source} cannot be read: {type(error).__name__}: {error}") from error
    return voxels.reshape(array.shape).transpose(order)


def _in_memory(
    voxels: Any, chunks: tuple[int, ...] | None, shards: tuple[int, ...] | None, zarr_format: str | None
) -> zarr.Array[Any]:
    """A volume (z, y, x) as an array of Zarr that is stored nowhere, for verbs.convert to take it from."""
    import zarr

    from ..codecs.create import _NAMES, _default_chunks

    named = zarr_format != "2" and 0 < voxels.ndim <= len(_NAMES)
    keywords: dict[str, Any] = {"dimension_names": _NAMES[-voxels.ndim :]} if named else {}
    right = chunks is None or len(chunks) == voxels.ndim  # else _check_chunks is about to say so
    array = zarr.create_array(
        {},
        shape=voxels.shape,
        dtype=voxels.dtype.newbyteorder("="),
        chunks=chunks if chunks is not None and right else _default_chunks(voxels.shape, shards),
        zarr_format=2 if zarr_format == "2" else 3,
        compressors=None,
        filters=None,
        fill_value=voxels.dtype.type(0),
        **keywords,
    )
    _check_chunks(array, chunks, shards, zarr_format)
    array[...] = voxels
    return array


def _check_destination(source: str, destination: str) -> None:
    """Refuse a destination that is the source, within it or around it; or a folder of other things."""
    if is_url(destination) or is_url(source):
        if source.rstrip("/") == destination.rstrip("/"):
            raise UnusableError(f"{destination}: the destination is the source")
        return
    here, there = Path(source).resolve(), Path(destination).resolve()
    if here == there:
        raise UnusableError(f"{destination}: the destination is the source")
    if here in there.parents or there in here.parents:
        raise UnusableError(f"{destination}: the source and the destination lie in each other: name another")
    if there.is_file():
        raise UnusableError(f"{destination} exists already, and is a file: name another destination")
    ours = ("zarr.json", ".zarray", ".zgroup", ".crackle-convert")
    if there.is_dir() and any(there.iterdir()) and not any((there / name).exists() for name in ours):
        raise UnusableError(f"{destination} is a folder of other things: name a new one, such as in it")


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
        inner = chunks or tuple(array.chunks)
        if any(whole % part for whole, part in zip(shards, inner, strict=True)):
            raise UnusableError(
                f"--shards {commas(shards)} are not whole multiples of the chunks, {commas(inner)}"
            )
