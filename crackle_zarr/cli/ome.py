"""``crackle-zarr pyramid``, and the part of ``convert`` that writes OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..files.volumes import UnusableError
from . import _common
from ._common import EXIT_CODES
from .places import (
    QueryOptions,
    by,
    counted,
    is_url,
    no_progress,
    opened,
    opening,
    source_argument,
    storage_option,
    store_at,
)

if TYPE_CHECKING:
    import zarr

    from ..files.label_names import LabelNames
    from ..ome import Multiscale


def _factors(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[int, ...]] | tuple[int, ...] | None:
    """Parse one factor for all steps, or several, each for one step."""
    steps = [_common.shape(ctx, param, value) or () for value in values]
    return None if not steps else steps[0] if len(steps) == 1 else steps


def pyramid_options(command: Any) -> Any:
    """Add the options that say which levels there are to be."""
    for option in (
        click.option(
            "--sparse",
            is_flag=True,
            help="Use label 0 only for blocks without other labels, so that thin objects stay.",
        ),
        click.option(
            "--levels",
            metavar="NUMBER",
            type=click.IntRange(1),
            help="How many levels there are to be, level 0 included. The default: until one is a chunk.",
        ),
        click.option(
            "--factors",
            metavar="SHAPE",
            multiple=True,
            callback=_factors,
            help="How many voxels become one from level to level, one number per axis, such as 1,2,2. "
            "Repeat it for a factor per step. The default halves axes along which voxels are short.",
        ),
    ):
        command = option(command)
    return command


@click.command(epilog=EXIT_CODES)
@source_argument
@pyramid_options
@click.option("--overwrite", is_flag=True, help="Replace levels that have other factors.")
@click.option("--no-verify", is_flag=True, help="Do not read back what was written.")
@_common.parallel
@storage_option
@no_progress
def pyramid(
    source: str,
    factors: Any,
    levels: int | None,
    sparse: bool,
    overwrite: bool,
    no_verify: bool,
    parallel: int,
    storage_option: dict[str, Any],
    no_progress: bool,
) -> None:
    """Build the lower levels of OME-Zarr labels, in place.

    The place is a label image, or an image with one label image. Each voxel of a level is the most
    frequent label of its block in the level before. Blocks are 2 x 2 x 1 while slices are thicker
    than pixels, and then 2 x 2 x 2. Levels that exist are built again. After an interruption the
    same command continues. While one process builds levels, others are refused.

    \b
    Examples:
      crackle-zarr pyramid seg.ome.zarr
      crackle-zarr pyramid image.ome.zarr/labels/cells --sparse
      crackle-zarr pyramid seg.ome.zarr --factors 1,2,2 --levels 4
    """
    options = QueryOptions(None, parallel, True, storage_option, not no_progress)

    def work(source: str) -> str:
        import zarr

        from ..ome import build_pyramid

        group = opened(source, options.storage_options, "r+")
        if not isinstance(group, zarr.Group):
            raise UnusableError(
                f"{source}: this is an array, and a pyramid is a group: crackle-zarr convert --ome makes one"
            )
        with options.bar() as progress:
            made = build_pyramid(
                group,
                "auto" if factors is None else factors,
                levels=levels,
                sparse=sparse,
                verify=not no_verify,
                overwrite=overwrite,
                parallel=parallel,
                progress=progress,
            )
        return f"{source}: {levels_text(made)}"

    _common.Batch().run([source], work)


def levels_text(labels: Multiscale) -> str:
    """The levels of a label image, and their shapes."""
    shapes = ", ".join(by(level.shape) for level in labels.levels)
    return f"{counted(len(labels.levels), 'level')}: {shapes}"


# ---------------------------------------------------------------------------------------
# convert --ome


class _AsBytes:
    """Labels of an array of bool as 0 and 1, because OME-Zarr has no bool."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, np.dtype(np.uint8)

    def __getitem__(self, box: Any) -> Any:
        return np.asarray(self.array[box]).view(np.uint8)


def write(
    source: zarr.Array[Any] | zarr.Group,
    destination: str,
    name: str | None,
    voxel_size: tuple[float, ...] | None,
    unit: str | None,
    options: QueryOptions,
    names: LabelNames | None = None,
    **keywords: Any,
) -> Multiscale:
    """Write an array, or level 0 of an image, as OME-Zarr labels.

    Args:
        source: the labels; their space comes from their metadata.
        destination: a path or URL.
        name: of a label image within an image; None: the destination is the label image.
        voxel_size: instead of the source's.
        unit: of ``voxel_size``.
        options: for URLs, and threads.
        names: of labels, instead of the source's.
        keywords: for ``write_ome_labels``.
    """
    import zarr

    from .._base import zarr_facts
    from ..ome import open_multiscale, write_ome_labels
    from .names import as_properties, of_array
    from .places import space_of

    with opening(destination):
        place = store_at(destination, options.storage_options, "r+")
    axes: Any
    if isinstance(source, zarr.Group):
        image = open_multiscale(source)
        array, axes, space = image.levels[0], image.axes, image.spaces[0]
    else:
        of_axes = zarr_facts.dimension_names(source)
        array, space = source, space_of(source)
        axes = list(of_axes) if of_axes is not None and all(of_axes) else None
    keywords |= as_properties(of_array(source) if names is None else names, array.dtype)
    if keywords.get("chunks") is None:  # as in the source
        keywords["chunks"] = zarr_facts.chunk_shape(array)
        keywords["shards"] = keywords.get("shards") or zarr_facts.shard_shape(array)
    size, origin = space.voxel_size, space.origin
    if voxel_size is not None:
        size = voxel_size
        if origin is not None and unit != space.unit:
            origin = None  # it is in another unit
    with options.bar("chunk") as progress:
        return write_ome_labels(
            place,
            name,
            _AsBytes(array) if array.dtype.kind == "b" else array,
            axes,
            size,
            unit if voxel_size is not None else space.unit,
            origin=origin,
            parallel=options.parallel,
            progress=progress,
            **keywords,
        )


def check_place(path: str, name: str | None, overwrite: bool) -> None:
    """Reject a destination before the source is read.

    Raises:
        UnusableError: it exists already.
    """
    if is_url(path) or name is not None:
        return
    there = Path(path)
    unfinished = (there / ".crackle-convert").exists()
    if not overwrite and not unfinished and any((there / one).exists() for one in ("zarr.json", ".zgroup")):
        raise UnusableError(
            f"{path} exists already: --overwrite replaces it, and --name NAME adds labels/NAME to an image"
        )
