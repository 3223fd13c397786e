"""Whole stored arrays: whether they are sound, and copies of them in other codecs."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .._base.options import MarkovOrder, Preset, encoding

if TYPE_CHECKING:
    from ..stored.convert import ConvertReport, To
    from ..stored.engine import Progress
    from ..stored.verify import Damage
from .sources import ArrayOptions, Source, stored_source


def verify(source: Source, **options: Unpack[ArrayOptions]) -> list[Damage]:
    """Verify every checksum of every chunk of a stored array.

    Returns:
        What is damaged, in the order of the chunks: objects with ``chunk`` (the grid index), ``key`` (the
        name in the store) and ``message``, which names sections and slices. Nothing: all is sound, as far
        as checksums can tell. Chunks of other codecs are decoded, to see whether that works.

    Raises:
        StoreError: the store failed; that is no damage.
    """
    from ..stored import verify as verification

    return verification.verify(*stored_source(source, options))


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
    """Store an array of labels in another way: with Crackle, or without it again.

    Shape, dtype, fill value, attributes and names of axes stay. Of a group, such as a label image with its
    pyramid, all arrays and attributes are taken. A conversion that was interrupted goes on when it is called
    again with the same source and options.

    Args:
        src: a ``zarr.Array``, a ``zarr.Group``, or a path or URL of one.
        dst: a path, URL or store, where nothing is yet.
        to: "crackle", "zstd", "blosc", "gzip" or "none".
        chunks: the shape of a chunk; None: as in the source.
        shards: the shape of a shard; None: as in the source, if ``chunks`` are.
        zarr_format: 2 or 3; None: as in the source.
        markov_model_order: 0 to 12 or "auto", for Crackle; None: as in the preset.
        allow_pins: 0, 1 or 2, for Crackle; None: as in the preset.
        preset: "fast", "balanced" or "small", for Crackle: which of these two to take where none is given,
            see :data:`crackle_zarr.PRESETS`. None is "balanced", whatever the source has.
        verify: read every chunk back and compare it with its source. What of the source is all fill value is
            read twice, as that is also what a chunk looks like that a store fails to find.
        overwrite: replace what is at ``dst``.
        executor: see the module.
        parallel: see the module.
        progress: see the module.

    Returns:
        A report: ``arrays``, ``chunks``, ``bytes_before``, ``bytes_after``.

    Raises:
        FileExistsError: there is something else at ``dst``.
        TypeError: the source is not one of integers or bool.
        ValueError: the destination cannot delete and list, as a zip file, or is the source or in it.
        VerificationError: what was read back is not what was written.
        StoreError: a store failed.
    """
    import zarr

    from ..stored import convert as conversion
    from ..stored.engine import Options

    if to not in ("crackle", "zstd", "blosc", "gzip", "none"):
        raise ValueError(f"to is 'crackle', 'zstd', 'blosc', 'gzip' or 'none', not {to!r}")
    source = src if isinstance(src, zarr.Array | zarr.Group) else zarr.open(src, mode="r")
    target = conversion.Target(
        to=to,
        chunks=chunks,
        shards=shards,
        zarr_format=zarr_format,
        **encoding(preset, markov_model_order, allow_pins),
    )
    options = Options(executor=executor, parallel=parallel, progress=progress)
    from .._base import zarr_facts

    store, path = zarr_facts.store_at(dst)
    return conversion.convert(
        source, store, path, target, verify=verify, overwrite=overwrite, options=options
    )
