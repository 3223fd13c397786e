"""Build a label index: two passes over an array on any executor, and then the manifest.

Until the manifest is written, the old index counts, or none does. A build that was interrupted left runs,
which the next build takes up if their chunks are still what they were.

To build an index from tables of other origin, such as a simulation, put runs and finish::

    plan = begin(layout)
    runs = [put_run(plan.home, plan.run(n), rows, stamps) for n, (rows, stamps) in enumerate(tables)]
    report = finish(layout, plan, runs, options)

``rows`` are of ``rows_dtype(layout.native, ndim)``, by label and then by chunk; ``stamps`` of
``stamps.DTYPE``, one per chunk (zeros but for its number will do where nobody checks). ``put_run`` may be
called anywhere, by any process; 200,000 rows are a good run.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import FormatError, JournalError, StoreError
from ..editing.applying import check_processes
from ..editing.entries import packed
from ..editing.entries import unpacked as unpacked_blob
from ..editing.journal import Journal
from ..editing.transaction import check_session, is_transaction
from ..engine import Options, run
from ..layout import Coords, Layout
from ..told import unfinished_at
from . import passes
from .home import BUILDING, Home, home_of
from .listing import Listing, listing_of, tags_of
from .manifest import STALE, geometry_of, unpacked
from .parquet import pyarrow
from .publish import IndexReport, about_of, manifest_of, put_in_force, report_of
from .runs import Run, runs_there
from .stamps import DTYPE, number_of, unchanged


@dataclass(frozen=True)
class Plan:
    """A build that has begun: where it writes, and under which names."""

    home: Home
    id: str
    taken_up: bool = False

    def run(self, number: int) -> str:
        """The name of a run."""
        return f"{BUILDING}/run-{number:05}"


def create(layout: Layout, overwrite: bool, options: Options) -> IndexReport:
    """Build the index of an array; see ``crackle_zarr.create_index``."""
    pyarrow()
    check_editable(layout, options)
    home = home_of(layout)
    if home.manifest() is not None and not overwrite:
        raise FileExistsError(
            f"{layout.name} has a label index: update_index brings it up to date, and overwrite=True builds "
            f"it anew"
        )
    listing = listing_of(layout)
    plan = begin(layout)
    measured = measure(layout, plan, tasks_of(layout, plan), options)
    report = finish(layout, plan, [one for _, one in measured.runs], options, listing)
    return replace(report, measured=layout.num_chunks)


def check_editable(layout: Layout, options: Options) -> None:
    """Raise ValueError or JournalError if no index can be written beside an array."""
    store = layout.store
    if layout.mapping is not None:
        raise ValueError("a remapped view has no index of its own: index its array, which serves the view")
    if is_transaction(layout):
        if not layout.array.path:
            raise ValueError(
                f"{layout.name} is the root of an Icechunk repository, and an index lies in a group beside "
                f"its array: store the array under a name"
            )
        check_session(layout)
    if store.read_only:
        raise ValueError(f"{layout.name} is open for reading only: open it with mode='r+'")
    if not (store.supports_writes and store.supports_deletes and store.supports_listing):
        raise ValueError(
            f"{type(store).__name__} cannot write, delete and list, and an index needs all three"
        )
    check_processes(store, options, layout.name)
    refuse_unfinished(layout)


def refuse_unfinished(layout: Layout) -> None:
    """Raise JournalError if the labels of an array may be a mixture, or are about to become one."""
    Journal(layout).refuse()
    for one in unfinished_at(layout):
        if one.mixed:
            raise JournalError(one.text)


def stale_if_edited(layout: Layout) -> None:
    """Mark an index as stale that was put in force during an edit, which may have seen no manifest to mark.

    Raises:
        JournalError: there is such an edit. The next update makes the index right.
    """
    try:
        refuse_unfinished(layout)
    except JournalError:
        home = home_of(layout)
        raw = home.manifest()
        if raw is not None:
            home.put_manifest(replace(unpacked(raw, home.name), state=STALE).packed())
        raise


def begin(layout: Layout, anew: bool = False) -> Plan:
    """Begin a build, or take up one that was interrupted.

    A second builder of the same array joins the first: both put the same runs and files, under the
    same names.

    Args:
        layout: of the array.
        anew: take up nothing.
    """
    home = home_of(layout)
    if anew and BUILDING in home.folders():
        home.remove_folder(BUILDING)
    name = f"{BUILDING}/plan"
    geometry = {"array": geometry_of(layout), "chunks": passes.CHUNKS_PER_TASK}
    for _ in range(2):
        (raw,) = home.read([name])
        if raw is not None:
            try:
                meta, _payload = unpacked_blob(raw, name)
                if meta["geometry"] == geometry:
                    return Plan(home, str(meta["id"]), True)
            except (FormatError, LookupError, ValueError):  # half written
                pass
        if raw is not None or BUILDING in home.folders():
            home.remove_folder(BUILDING)
        fresh = uuid.uuid4().hex
        home.create(name, packed({"geometry": geometry, "id": fresh}, b""))
        (raw,) = home.read([name])
        if raw is not None and unpacked_blob(raw, name)[0]["id"] == fresh:
            return Plan(home, fresh)
    raise StoreError(f"another build of the label index of {layout.name} begins at the same time: try again")


# ---------------------------------------------------------------------------------------
# The first pass


def tasks_of(
    layout: Layout, plan: Plan, coords: Sequence[Coords] | None = None
) -> Iterator[passes.MeasureChunks]:
    """The tasks of the first pass, for some chunks or for all."""
    for number, groups in enumerate(group_tasks(layout, coords)):
        yield passes.MeasureChunks(layout, plan.home, plan.run(number), number, groups)


def group_tasks(
    layout: Layout, coords: Sequence[Coords] | None = None
) -> Iterator[tuple[tuple[Coords, ...], ...]]:
    """Chunks in groups of one shard, and about as many groups together as a task measures."""
    groups: Iterable[Sequence[Coords]]
    if layout.shards is None:
        groups = _batches(layout.coords_in(layout.everything) if coords is None else coords)
    elif coords is None:
        groups = layout.by_shard(layout.everything)
    else:
        groups = layout.by_object(coords).values()
    taken: list[tuple[Coords, ...]] = []
    for group in groups:
        taken.append(tuple(group))
        if sum(map(len, taken)) >= passes.CHUNKS_PER_TASK:
            yield tuple(taken)
            taken = []
    if taken:
        yield tuple(taken)


def _batches(coords: Iterable[Coords]) -> Iterator[list[Coords]]:
    rest = iter(coords)
    while batch := list(itertools.islice(rest, passes.CHUNKS_PER_TASK)):
        yield batch


def measure(
    layout: Layout,
    plan: Plan | None,
    tasks: Iterator[passes.MeasureChunks],
    options: Options,
    total: int | None = None,
) -> passes.Measured:
    """Run the first pass, and take up the runs that are there already, if there is a plan."""
    kept = passes.Measured([])

    def missing() -> Iterator[passes.MeasureChunks]:
        nonlocal kept
        for task in tasks:
            found = _taken_up(layout, plan, task) if plan is not None and plan.taken_up else []
            if found:
                kept += passes.Measured([(task.number, one) for one in found])
            else:
                yield task

    total = layout.num_chunks if total is None else total
    done = run(missing(), options, total=total, unit="chunk", merge=lambda a, b: a + b)
    return kept if done is None else kept + done


def _taken_up(layout: Layout, plan: Plan, task: passes.MeasureChunks) -> list[Run]:
    """The runs of a task that an interrupted build has put, if its chunks are still what they were."""
    runs = runs_of_task(layout, plan.home, task)
    done = 0
    for group in task.groups if runs else ():
        if not unchanged(layout, runs[-1].stamps[done : done + len(group)]).all():
            return []
        done += len(group)
    return runs


def runs_of_task(layout: Layout, home: Home, task: passes.MeasureChunks) -> list[Run]:
    """The runs that a task has put; empty if they are not all there and whole."""
    (last,) = runs_there(home, [task.name])
    numbers = [number_of(layout, one) for group in task.groups for one in group]
    if last is None or last.stamps["chunk"].tolist() != numbers:
        return []
    parts = runs_there(home, [task.part(number) for number in range(last.parts)])
    whole = [one for one in parts if one is not None]
    return [*whole, last] if len(whole) == len(parts) else []


# ---------------------------------------------------------------------------------------
# The second pass, and the manifest


def finish(
    layout: Layout,
    plan: Plan,
    runs: Sequence[Run],
    options: Options,
    listing: Listing | None = None,
) -> IndexReport:
    """Make an index of runs that cover the whole array, and put it in force.

    Args:
        layout: of the array.
        plan: of the build; see :func:`begin`.
        runs: all runs, with the stamps of all chunks.
        options: where to run the second pass.
        listing: what the store said about the chunks before they were measured.
    """
    label, ndim = layout.native, len(layout.shape)
    about = about_of(layout)

    def tasks() -> Iterator[passes.PutRange]:
        for number, (first, last) in enumerate(ranges):
            some = tuple(
                replace(one, stamps=one.stamps[:0]) for one in runs if len(one.blocks_between(first, last))
            )
            yield passes.PutRange(plan.home, plan.id, number, first, last, some, label, ndim, about)

    ranges = passes.ranges_of(runs, label)
    plan.home.make_folder(plan.id)
    done = run(tasks(), options, total=len(ranges), unit="range", merge=lambda a, b: a + b)
    segment = passes.full([] if done is None else done.pairs)
    stamps = np.concatenate([one.stamps for one in runs if len(one.stamps)] or [np.empty(0, dtype=DTYPE)])
    stamps = stamps[np.argsort(stamps["chunk"], kind="stable")]
    tags, _ = tags_of(layout, stamps["chunk"], listing)
    stamps["tag"] = tags
    manifest = manifest_of(layout, plan.home, plan.id, (segment,), stamps)
    refuse_unfinished(layout)
    put_in_force(plan.home, manifest)
    stale_if_edited(layout)
    plan.home.remove_folder(BUILDING)
    return report_of(layout, manifest)
