"""Whole stored arrays: verify them, and convert them to other codecs."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .._base.options import MarkovOrder, Preset, encoding
from .edits import pyramid_at
from .sources import ArrayOptions, Source, stored_source

if TYPE_CHECKING:
    from ..stored.convert import ConvertReport, To
    from ..stored.engine import Progress
    from ..stored.verify import Damage


def verify(source: Source, **options: Unpack[ArrayOptions]) -> list[Damage]:
    """Verify every checksum of every chunk of a stored array.

    Of a group of OME-Zarr all levels are verified, unless ``level`` or ``region`` is given; and if
    :func:`build_pyramid` made them, whether each level is what pooling makes of the level before.

    Returns:
        A list of the damaged chunks, in their order: objects with ``chunk`` (the grid index), ``key`` (the
        name in the store) and ``message``, which names sections and slices. An empty list means that all
        checksums match, and that nothing is unfinished: an interrupted remap, conversion or build of levels
        is listed first, with an empty ``chunk`` and the key of its file. Chunks of other codecs have to
        decode without an error.

    Raises:
        StoreError: the store failed, which does not count as damage.
    """
    from ..stored import verify as verification
    from ..stored.forks import readable
    from ..stored.told import unfinished_at
    from ..stored.verify import Damage

    if hasattr(source, "members"):
        source = readable(source, options.get("executor"))
    layout, box, checked = stored_source(source, {**options, "unfinished": "ignore"})
    whole = options.get("region") is None and options.get("level") is None
    try:
        pyramid = pyramid_at(source) if whole else None
    except ValueError:  # nobody knows how its levels were made
        pyramid = None
    layouts = (layout,) if pyramid is None else pyramid.layouts
    left = {found.key: found.text for one in layouts for found in unfinished_at(one)}
    unfinished = [Damage((), key, text) for key, text in left.items()]
    if pyramid is None:
        return unfinished + verification.verify(layout, box, checked)
    from ..ome import check

    return unfinished + check.verify(pyramid, checked)


def convert(
    src: Any,
    dst: Any,
    *,
    to: To = "crackle",
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
    zarr_format: Literal[2, 3] | None = None,
    markov_model_order: MarkovOrder | None = None,
    allow_pins: int | None = None,
    preset: Preset | None = None,
    verify: bool = True,
    overwrite: bool = False,
    executor: Executor | None = None,
    parallel: int = 0,
    progress: Progress = False,
) -> ConvertReport:
    """Copy an array of labels to another codec: to Crackle, or from Crackle to others.

    Shape, dtype, fill value, attributes and names of axes stay. A group, such as a label image with its
    pyramid, is converted with all its arrays and attributes. Calling it again with the same source and
    options continues an interrupted conversion.

    Args:
        src: a ``zarr.Array``, a ``zarr.Group``, or a path or URL of one; or ``precomputed://`` with the path
            or URL of a precomputed segmentation, whose finest scale is converted (others:
            :func:`crackle_zarr.open_precomputed`). Its Crackle streams are copied as they are where the
            chunks agree and no option of Crackle is given.
        dst: a path, URL or store where nothing is stored yet. For a precomputed volume, use
            :func:`crackle_zarr.write_precomputed`.
        to: "crackle", "zstd", "blosc", "gzip" or "none".
        chunks: the shape of a chunk; None: as in the source.
        shards: the shape of a shard; None: as in the source, if ``chunks`` is None, too.
        zarr_format: 2 or 3; None: as in the source.
        markov_model_order: 0 to 12 or "auto", for Crackle; None: as in the preset.
        allow_pins: 0, 1 or 2, for Crackle; None: as in the preset.
        preset: "fast", "balanced" or "small", for Crackle: the values to use for those of the two options
            above that are not given, see :data:`crackle_zarr.PRESETS`. None is "balanced", even if the source
            has other options.
        verify: read every chunk back and compare it with its source. Chunks of the source with only the fill
            value are read twice, because a chunk that a store fails to find reads the same.
        overwrite: replace the contents of ``dst``.
        executor: see the module.
        parallel: see the module.
        progress: see the module.

    Returns:
        A report: ``arrays``, ``chunks``, ``bytes_before``, ``bytes_after``.

    Raises:
        FileExistsError: ``dst`` has other contents, or another process writes to it.
        TakenOverError: another process took the work from this one, which has stopped.
        TypeError: the source's dtype is neither an integer nor bool.
        ValueError: the destination cannot delete and list, for example a zip file; or it is the source, or
            within it.
        VerificationError: a chunk that was read back differs from its source.
        StoreError: a store failed.
    """
    import zarr

    from .._base import zarr_facts
    from ..precomputed.reading import is_precomputed, is_scale, open_precomputed
    from ..stored import convert as conversion
    from ..stored.claims import place_text
    from ..stored.engine import Options
    from ..stored.forks import fork_of, merged_fork, readable

    if to not in ("crackle", "zstd", "blosc", "gzip", "none"):
        raise ValueError(f"to is 'crackle', 'zstd', 'blosc', 'gzip' or 'none', not {to!r}")
    if is_precomputed(dst):
        raise ValueError(f"{dst}: crackle_zarr.write_precomputed writes precomputed volumes")
    if is_precomputed(src):
        src = open_precomputed(src)
    source = src if isinstance(src, zarr.Array | zarr.Group) else zarr.open(src, mode="r")
    given = any(option is not None for option in (preset, markov_model_order, allow_pins))
    target = conversion.Target(
        copy=is_scale(source) and not given,
        to=to,
        chunks=chunks,
        shards=shards,
        zarr_format=zarr_format,
        **encoding(preset, markov_model_order, allow_pins),
    )
    store, path = zarr_facts.store_at(dst)
    conversion.refuse_overlap(source, store, path, place_text(store, path))
    source = readable(source, executor)
    with merged_fork(store, executor) as into:
        options = Options(executor=executor, parallel=parallel, progress=progress, fork=fork_of(into))
        return conversion.convert(
            source, into, path, target, verify=verify, overwrite=overwrite, options=options
        )
