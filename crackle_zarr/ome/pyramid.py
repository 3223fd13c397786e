"""Build the lower levels of a label image, each from the level before.

A marker in the group says what is being built and how many levels are finished, so the same call continues a
run that was killed: objects of the unfinished level whose checksums match are kept. The metadata of the group
name new levels only when all of them are complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from typing import Any

import zarr

from .. import _binding
from .._base import zarr_facts
from .._base.patience import patient
from ..errors import JournalError
from ..stored.claims import Claim, busy, claimed
from ..stored.editing.applying import check_processes, check_writable
from ..stored.editing.journal import Journal
from ..stored.engine import Options, Progress, run
from ..stored.forks import fork_of, merged_fork
from ..stored.index.following import mark_stale
from ..stored.index.home import forget_index
from ..stored.layout import Coords, Layout, layout_of
from ..stored.translating_store import METADATA
from ..stored.unfinished import PYRAMID, refuse_unfinished
from ..stored.writing import call_store, read_objects, write_objects
from .create import join, level_like
from .edit import pyramid_of
from .levels import Factor, Factors, Level, factors_between, method, multiscales, plan
from .metadata import Multiscale, group_at, ome_attributes, open_labels, open_multiscale, raw_space
from .objects import Make, Pooling


def build_pyramid(
    labels: Any,
    factors: Factors = "auto",
    *,
    levels: int | None = None,
    sparse: bool = False,
    verify: bool = True,
    overwrite: bool = False,
    executor: Executor | None = None,
    parallel: int = 0,
    progress: Progress = False,
) -> Multiscale:
    """Build the lower levels of an OME-Zarr label image: each voxel is the most frequent label of its block.

    Blocks are pooled from the boundaries in the chunks, and few voxels are decoded. Levels that exist already
    are built again. If the process ends, the same call continues the work. Nothing else may write to the
    labels meanwhile.

    A tie in a block of 2 x 2 x 1 goes to the label of its first voxel, if one of the two voxels beside it has
    it, too; else to that of the second, if the third has it; else to that of the last. In other blocks, and
    at the end of odd axes, it goes to the label that comes first in C order. So does
    :func:`crackle_zarr.mode_pooling`. Axes are divided and rounded up.

    Args:
        labels: a label image; an image with one label image, or its group ``labels``; or a path, URL or store
            of one of them.
        factors: how many voxels become one from one level to the next. "auto" halves spatial axes along which
            voxels are short, which is 2 x 2 x 1 for thick slices, until voxels are about cubic, and then all
            of them, until a level fits into one chunk. If the label image has several levels already, "auto"
            keeps their factors. A number per axis, such as (1, 2, 2), is the factor of every step, and a list
            of them has the factor of each.
        levels: how many levels there are to be, level 0 included. None: as ``factors`` say.
        sparse: use label 0 only for blocks without other labels, so that thin objects stay.
        verify: decode what was encoded and read back what was written, and compare.
        overwrite: replace levels whose factors are others than ``factors``.
        executor: None for threads, or any ``concurrent.futures.Executor``.
        parallel: the number of threads; 0 is one per core.
        progress: True for a bar on stderr, or a function of (chunks done, chunks in all), for each level.

    Returns:
        The label image with its levels.

    Raises:
        ValueError: ``labels`` are no labels of OME-Zarr, or of an image with as many levels; the levels that
            exist have other factors; or the store cannot be written to.
        JournalError: an array has an unfinished remap or conversion, or another process writes to the labels.
        TakenOverError: another process took the work from this one, which has stopped.
        FormatError: a chunk or the metadata are damaged.
        StoreError: the store failed.
        VerificationError: what was read back differs.
    """
    _binding.threads(parallel)
    found = open_labels(group_at(labels, "r+"))
    store, path = found.group.store_path.store, found.group.path
    group = found.group if patient(store) is store else zarr_facts.group_in(found.group, patient(store))
    with merged_fork(group, executor) as inside:
        fork = fork_of(inside.store_path.store)
        options = Options(executor=executor, parallel=parallel, progress=progress, fork=fork)
        there = found if inside is found.group else open_labels(inside)
        _claim_and_build(there, BuildOptions(factors, levels, sparse, verify, overwrite), options)
    return open_multiscale(zarr.open_group(store, path=path, mode="r+", use_consolidated=False))


@dataclass(frozen=True)
class BuildOptions:
    """The levels to build, and how; see :func:`build_pyramid`."""

    factors: Factors = "auto"
    levels: int | None = None
    sparse: bool = False
    verify: bool = True
    overwrite: bool = False


def _claim_and_build(found: Multiscale, wanted: BuildOptions, options: Options) -> None:
    """Build the levels of a label image, as :func:`build_pyramid` has them."""
    if not found.is_labels:
        raise ValueError(f"{found.group.store_path} is no label image")
    store, path = found.group.store_path.store, found.group.path
    with claimed(store, path, "levels") as claim:
        _refuse_others(found, claim)
        build(found, wanted, options, claim)
        claim.finish(store, path, join(path, PYRAMID))


def build(found: Multiscale, wanted: BuildOptions, options: Options, claim: Claim) -> None:
    """Build the levels of a label image, and leave their marker, which says that all are finished.

    Args:
        found: the label image.
        wanted: what to build.
        options: how.
        claim: of this call, on the group, which it may have claimed already.
    """
    first = layout_of(found.levels[0])
    check_writable(first, options)
    planned = _planned(found, first, wanted.factors, wanted.levels, wanted.overwrite)
    store, path = found.group.store_path.store, found.group.path
    check_processes(store, options, found.group.store_path)
    _refuse_edits(found)

    sparse, held = wanted.sparse, claim.on(store, path)
    work = {"levels": [[level.path, level.shape, level.factor] for level in planned], "sparse": sparse}
    begun, resumed = _begin(store, path, work, found, planned, claim)
    for number in range((begun.done or 0) + 1, len(planned)):
        fine, coarse = (
            layout_of(zarr.open_array(store, path=join(path, planned[one].path), mode="r+"))
            for one in (number - 1, number)
        )
        held.check()
        mark_stale(coarse)
        step = _step(planned[number - 1], planned[number])
        pooling = Pooling(fine, coarse, step, sparse, wanted.verify)
        run(
            (Make(pooling, coords, resumed, held) for coords in _objects(coarse)),
            options,
            total=coarse.num_chunks,
            unit="chunk",
            merge=lambda a, b: a + b,
        )
        held.check()
        replace(begun, done=number).mark(store, path)
    held.check()
    if _differ(found, planned, sparse):
        _name_levels(found, planned, sparse)
    for name in begun.replaced:
        call_store(store, join(path, name), store.delete_dir(join(path, name)), "deleted from")


def _refuse_others(found: Multiscale, claim: Claim) -> None:
    """Raise JournalError if somebody else writes to the labels, or has left them unfinished."""
    refuse_unfinished(pyramid_of(found), claim)
    first, *others = map(layout_of, found.levels)
    refuse_unfinished(first, claim)
    for layout in others:  # they are built again, whatever they are now
        text = busy(layout.store, layout.array.path, claim)
        if text is not None:
            raise JournalError(text)


def _refuse_edits(found: Multiscale) -> None:
    """Raise JournalError if there is an unfinished remap of the labels."""
    for level in found.levels:
        Journal(layout_of(level)).refuse()
    Journal(pyramid_of(found)).refuse()


def _step(fine: Level, coarse: Level) -> Factor:
    return tuple(b // a for a, b in zip(fine.factor, coarse.factor, strict=True))


def _objects(layout: Layout) -> Iterator[tuple[Coords, ...]]:
    """The chunks of each stored object."""
    if layout.shards is None:
        for coords in layout.coords_in(layout.everything):
            yield (coords,)
        return
    for shard in layout.by_shard(layout.everything):
        yield tuple(shard)


# ---------------------------------------------------------------------------------------
# Levels


def _planned(
    found: Multiscale, first: Layout, factors: Factors, levels: int | None, overwrite: bool
) -> list[Level]:
    place = str(found.group.store_path)
    size = found.spaces[0].voxel_size
    assert size is not None
    objects = first.shape if not all(first.shape) else first.longest
    several = len(found.levels) > 1
    if several and isinstance(factors, str) and factors == "auto" and levels in (None, len(found.levels)):
        return _existing(found, place)
    planned = plan(first.shape, found.axes, size, objects, factors, levels)
    stem = found.paths[0].removesuffix("0") if found.paths[0].endswith("0") else "s"
    planned = [
        Level(f"{stem}{number}" if number else found.paths[0], level.shape, level.factor)
        for number, level in enumerate(planned)
    ]
    if several:
        shapes = [tuple(level.shape) for level in found.levels]
        if [level.shape for level in planned] == shapes:
            names = zip(planned, found.paths, strict=True)
            return [Level(name, level.shape, level.factor) for level, name in names]
        if not overwrite:
            wanted = ", ".join(str(level.shape) for level in planned)
            raise ValueError(
                f"{place} has levels of the shapes {', '.join(map(str, shapes))}, and these factors make "
                f"{wanted}: overwrite=True replaces them"
            )
    if found.image is not None:
        number = len(open_multiscale(found.image).levels)
        if number != len(planned):
            raise ValueError(
                f"{place} belongs to an image with {number} levels, and OME-Zarr demands as many of its "
                f"labels, not {len(planned)}: levels={number}"
            )
    store, path = found.group.store_path.store, found.group.path
    for name in [level.path for level in planned if level.path not in found.paths]:
        if overwrite or _marked(store, path) is not None:
            break
        if zarr_facts.node_at(store, join(path, name)) is not None:
            raise ValueError(
                f"{place} has {name}, which its metadata do not name: overwrite=True replaces it"
            )
    return planned


def _existing(found: Multiscale, place: str) -> list[Level]:
    """The levels that a label image has."""
    sizes = [space.voxel_size or () for space in found.spaces]
    steps = factors_between(sizes, place)
    factor = (1,) * len(found.axes)
    planned = [Level(found.paths[0], tuple(found.levels[0].shape), factor)]
    for number, step in enumerate(steps, 1):
        fine, coarse = planned[-1].shape, tuple(found.levels[number].shape)
        if any(not n // one <= m <= -(-n // one) for n, m, one in zip(fine, coarse, step, strict=True)):
            raise ValueError(
                f"{place}: level {number} has the shape {coarse}, and pooling {fine} by {step} makes "
                f"another: give factors and overwrite=True"
            )
        if found.levels[number].dtype != found.levels[0].dtype:
            raise ValueError(f"{place}: level {number} has another dtype than level 0")
        factor = tuple(a * b for a, b in zip(factor, step, strict=True))
        planned.append(Level(found.paths[number], coarse, factor))
    return planned


def _differ(found: Multiscale, planned: Sequence[Level], sparse: bool) -> bool:
    """Whether the metadata of the group name other levels, other factors, or another way of pooling."""
    if [level.path for level in planned] != found.paths:
        return True
    if len(planned) > 1 and found.method != method(sparse):
        return True
    size = found.spaces[0].voxel_size or ()
    sizes = [[edge * one for edge, one in zip(size, level.factor, strict=True)] for level in planned]
    # Levels that were there keep their metadata, also where another writer has rounded them.
    return any(
        not math.isclose(a, b, rel_tol=0.25)
        for space, wanted in zip(found.spaces, sizes, strict=True)
        for a, b in zip(space.voxel_size or (), wanted, strict=True)
    )


def _name_levels(found: Multiscale, planned: Sequence[Level], sparse: bool) -> None:
    """Write the levels into the metadata of the group."""
    attributes: dict[str, Any] = found.group.attrs.asdict()
    ome = ome_attributes(found.group)
    first = ome["multiscales"][0]
    # Transformations that all levels share stay as they are.
    new = multiscales(found.name, found.axes, raw_space(found.group), planned)
    first = {**first, "datasets": new["datasets"], **method(sparse)}
    ome = {**ome, "multiscales": [first, *ome["multiscales"][1:]]}
    found.group.attrs.put({**attributes, "ome": ome} if "ome" in attributes else ome)


# ---------------------------------------------------------------------------------------
# The marker


@dataclass(frozen=True)
class _Run:
    """A run of a build, as the marker tells it.

    Attributes:
        work: what is being built.
        done: how many levels are finished; None while old chunks are being removed.
        replaced: the names of old levels to remove at the end, when the metadata do not name them any more.
    """

    work: Any
    done: int | None
    replaced: list[str]

    def mark(self, store: Any, path: str) -> None:
        write_objects(store, {join(path, PYRAMID): json.dumps(asdict(self)).encode("ascii")})


def _begin(
    store: Any, path: str, work: Any, found: Multiscale, planned: Sequence[Level], claim: Claim
) -> tuple[_Run, bool]:
    """Claim the group, and prepare the arrays of the levels.

    Returns:
        The run, and whether it continues another.
    """
    work = json.loads(json.dumps(work))  # as the marker returns it
    marked = _marked(store, path)
    alone = not claim.taken
    claim.take(store, path)
    try:
        # Both may have changed until the claim was there for all to see.
        _refuse_edits(found)
        now = open_multiscale(zarr.open_group(store, path=path, mode="r+", use_consolidated=False))
        if _marked(store, path) != marked or now.paths != found.paths:
            raise JournalError(
                f"another process has built levels of {found.group.store_path} at this moment: try again"
            )
    except JournalError:
        if alone:
            claim.release(store, path)
        raise
    if marked is not None and marked.work == work and marked.done is not None:
        return marked, True
    # A run of other work begins anew, and removes what the other one wrote.
    names = {level.path for level in planned}
    old = [*found.paths, *(marked.replaced if marked is not None else [])]
    replaced = sorted(set(old) - names)
    _Run(work, None, replaced).mark(store, path)
    first = found.levels[0]
    existing = dict(zip(found.paths, found.levels, strict=True))
    for level in planned[1:]:
        # The metadata of an array that the group names stay there, or are replaced at once, so that the group
        # can be opened at any time.
        claim.on(store, path).check()
        where = join(path, level.path)
        _remove_chunks(store, where)
        array = existing.get(level.path)
        if array is None or tuple(array.shape) != level.shape or array.dtype != first.dtype:
            level_like(first, where, level.shape)
    begun = _Run(work, 0, replaced)
    claim.on(store, path).check()
    begun.mark(store, path)
    return begun, False


def _remove_chunks(store: Any, path: str) -> None:
    """Remove everything below a path but the metadata of an array."""

    async def listed() -> list[str]:
        return [name.rstrip("/").rpartition("/")[2] async for name in store.list_dir(path)]

    forget_index(store, path)
    for name in call_store(store, path, listed(), "listed in"):
        if name in METADATA:
            continue
        key = join(path, name)
        call_store(store, key, store.delete_dir(key), "deleted from")
        write_objects(store, {key: None})  # chunk keys of format 2 are files such as 0.0.0


def _marked(store: Any, path: str) -> _Run | None:
    """The run that a marker tells of; a marker that is half written tells of no work."""
    (raw,) = read_objects(store, [join(path, PYRAMID)])
    if raw is None:
        return None
    try:
        return _Run(**json.loads(raw))
    except (ValueError, TypeError):
        return _Run(None, None, [])
