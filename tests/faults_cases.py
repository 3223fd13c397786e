"""Arrays in stores that fail, and the right answer to each question, for the tests of faults."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import zarr
from faults import WRITING, Faults, Faulty, FaultyMemory
from zarr.codecs import ZstdCodec
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.errors import FormatError, JournalError, StoreError, VerificationError

FULL = os.environ.get("CRACKLE_TRUST") == "full"
pytestmark = [
    pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning"),
    # After a failure, Zarr leaves behind the coroutines that it has not started yet.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

Objects = dict[str, Any]  # the contents of a store


@pytest.fixture(scope="module", autouse=True)
def leave_nothing_behind() -> Iterator[None]:
    """Collect Zarr's leftover coroutines in this test, where they are expected, and not in a later one."""
    yield
    gc.collect()


# ---------------------------------------------------------------------------------------
# Arrays


def blobs(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Cubes of two voxels with some labels."""
    cubes = np.random.default_rng(seed).integers(0, 12, tuple(-(-length // 2) for length in shape))
    for axis in range(3):
        cubes = np.repeat(cubes, 2, axis)
    return np.ascontiguousarray(cubes[tuple(map(slice, shape))]).astype(np.uint32)


# Chunks whose streams do not come with the first request, some of them cut by the edge; one is not there, and
# one holds a label that no other does.
VOXELS = blobs((16, 24, 40))
VOXELS[8:, :, 24:] = 0
VOXELS[:8, 4:9, 5:12] = 700
LABEL, ONCE, ABSENT = 7, 700, 999
SHAPE: dict[str, Any] = {"shape": VOXELS.shape, "dtype": VOXELS.dtype, "chunks": (8, 24, 24)}
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {"compressors": None},
    "shards": {"compressors": None, "shards": (16, 24, 24)},
    "format 2": {"zarr_format": 2, "compressors": cz.Crackle()},
    "zstd behind": {"compressors": [ZstdCodec()]},
    "without Crackle": {"serializer": "auto", "compressors": [ZstdCodec()]},
    "shards without Crackle": {
        "serializer": "auto",
        "compressors": [ZstdCodec()],
        "shards": (16, 24, 24),
    },
}
WITH_CRACKLE = ("plain", "shards", "format 2", "zstd behind")


@cache
def objects_of(layout: str) -> Objects:
    """A store with an array in it."""
    keywords = {**SHAPE, **LAYOUTS[layout]}
    if keywords.get("zarr_format") != 2:
        keywords = {"serializer": cz.CrackleCodec(), **keywords}
    made: Objects = {}
    array = zarr.create_array(MemoryStore(made), attributes={"who": "me"}, name="a", **keywords)
    array[...] = VOXELS
    return made


def faulty(objects: Objects, kind: type = Faulty) -> tuple[Any, Faults]:
    """A store that fails, with copies of some objects."""
    store = Faulty(MemoryStore(dict(objects))) if kind is Faulty else FaultyMemory(dict(objects))
    return store, store.faults


def stored(store: Any) -> dict[str, bytes]:
    """The contents of a store, byte for byte."""
    inner = getattr(store, "_store", store)
    return {key: value.to_bytes() for key, value in inner._store_dict.items()}


def of_array(store: Any) -> dict[str, bytes]:
    """The keys of the array in a store, without those of a journal."""
    return {key: value for key, value in stored(store).items() if "/.crackle-" not in f"/{key}"}


# ---------------------------------------------------------------------------------------
# Answers


def plain(answer: Any) -> Any:
    """An answer in a form that == can compare."""
    if isinstance(answer, np.ndarray):
        return str(answer.dtype), answer.shape, answer.tobytes()
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(one) for one in answer]
    if isinstance(answer, slice):
        return [answer.start, answer.stop]
    return answer


def found(array: Any, label: int, parallel: int) -> Any:
    where = cz.find(array, label, parallel=parallel)
    return where.chunks, where.slices


REGION = np.s_[3:12, 5:20, 10:]

QUESTIONS: dict[str, Callable[[Any, int], Any]] = {
    "labels": lambda a, p: cz.labels(a, parallel=p),
    "labels, unverified": lambda a, p: cz.labels(a, parallel=p, verify=False),
    "labels of a region": lambda a, p: cz.labels(a, parallel=p, region=REGION),
    "num_labels": lambda a, p: cz.num_labels(a, parallel=p),
    "min": lambda a, p: cz.min(a, parallel=p),
    "max": lambda a, p: cz.max(a, parallel=p),
    "contains": lambda a, p: cz.contains(a, ONCE, parallel=p),
    "contains not": lambda a, p: cz.contains(a, ABSENT, parallel=p),
    "contains_range": lambda a, p: cz.contains_range(a, 3, 9, parallel=p),
    "find": lambda a, p: found(a, LABEL, p),
    "find once": lambda a, p: found(a, ONCE, p),
    "statistics": lambda a, p: cz.statistics(a, parallel=p),
    "statistics of a region": lambda a, p: cz.statistics(a, parallel=p, region=REGION),
    "contacts": lambda a, p: {row[:2]: row[2:] for row in cz.contacts(a, parallel=p).tolist()},
    "voxel_counts": lambda a, p: cz.voxel_counts(a, parallel=p),
    "voxel_counts of one": lambda a, p: cz.voxel_counts(a, LABEL, parallel=p),
    "bounding_boxes": lambda a, p: cz.bounding_boxes(a, LABEL, parallel=p),
    "centroids": lambda a, p: cz.centroids(a, LABEL, parallel=p),
    "crop": lambda a, p: cz.crop(a, LABEL, parallel=p),
    "select": lambda a, p: cz.select(a, [LABEL, ONCE, 0], parallel=p),
    "each": lambda a, p: {name: rest for name, *rest in cz.each(a, parallel=p)},
    "each of some": lambda a, p: {name: rest for name, *rest in cz.each(a, p, labels=[LABEL, ONCE])},
    "point_cloud": lambda a, p: cz.point_cloud(a, LABEL, parallel=p),
    "point_cloud of all": lambda a, p: cz.point_cloud(a, parallel=p),
    "lazy_remap": lambda a, p: np.asarray(cz.lazy_remap(a, {LABEL: 5000})),
    "lazy_remap, labels": lambda a, p: cz.labels(cz.lazy_remap(a, {LABEL: 5000}), parallel=p),
    "verify": lambda a, p: [damage.key for damage in cz.verify(a, parallel=p)],
    "remap, dry": lambda a, p: cz.remap(a, {LABEL: 5000}, dry_run=True, parallel=p).chunks,
}


def calls(faults: Faults, kind: str, work: Callable[[], Any]) -> int:
    """How many calls of a store can fail in some way while an operation runs."""
    faults.start(kind, at=10**9)
    work()
    count = faults.calls
    faults.stop()
    return count


def some(count: int, most: int) -> list[int]:
    """The numbers of the calls to fail: all, or a sample with the first and the last if there are many."""
    if FULL or count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def says_where(error: BaseException | None, faults: Faults) -> bool:
    """Whether an exception names the key at which the store failed; for a journal, its folder is enough."""
    named = []
    for _, key in faults.struck:
        named.append(key)
        while ".crackle-" in key.rpartition("/")[0]:
            key = key.rpartition("/")[0]
            named.append(key)
    return any(key in str(error) for key in named)


def pairs(names: Any, kinds: tuple[str, ...], few: tuple[str, ...]) -> list[tuple[str, str]]:
    """Every kind of fault with the first array, and a few kinds with each other array."""
    first = next(iter(names))
    return [(name, kind) for name in names for kind in kinds if FULL or name == first or kind in few]


def lastings(kind: str) -> tuple[bool, ...]:
    """Whether faults last: once only, and from then on."""
    if kind in ("missing", "slow"):  # nothing is promised for a store that never finds its keys
        return (False,)
    return (False, True) if FULL or kind in ("error", "torn") else (False,)


NAMING_ERRORS = (StoreError, FormatError, JournalError, VerificationError)


def tried(
    work: Callable[..., Any], *arguments: Any, also: tuple[type[Exception], ...] = (), **keywords: Any
) -> tuple[Any, Exception | None]:
    """The result of a call, or its exception if that is of a kind that names the object."""
    try:
        return work(*arguments, **keywords), None
    except (*NAMING_ERRORS, *also) as error:
        return None, error


INJECTED: dict[str, int] = {}


@pytest.fixture(autouse=True, scope="module")
def print_faults() -> Any:
    """Print how many faults there were, visible with pytest -s."""
    yield
    print(f"\nfaults: {sum(INJECTED.values()):,}, of which {INJECTED}")


def count(kind: str, faults: Faults) -> None:
    INJECTED[kind] = INJECTED.get(kind, 0) + len(faults.struck)


# ---------------------------------------------------------------------------------------
# Questions


def try_question(
    layout: str, ask: Callable[[Any, int], Any], kind: str, store: type = Faulty, parallel: int = 1
) -> None:
    """Ask with faults: the answer is right or the exception names the chunk. The repeat is right."""
    opened, faults = faulty(objects_of(layout), store)
    array = zarr.open_array(opened, path="a", mode="r+")
    right = plain(ask(array, parallel))
    number = calls(faults, kind, lambda: ask(array, parallel))
    assert number
    for lasting in (False, True) if FULL or kind == "error" else (False,):
        every = layout == "plain" and parallel == 1 and kind == "error" and not lasting
        for n in some(number, 60 if every else 3):
            faults.start(kind, n, lasting)
            answer, error = tried(lambda: plain(ask(array, parallel)))
            if error is not None:
                assert kind != "slow", error
                assert says_where(error, faults), (error, faults.struck)
            elif answer != right:  # verify takes a short read for damage
                assert ask is QUESTIONS["verify"], (n, faults.struck)
                assert set(answer) <= {key for _, key in faults.struck}
            count(kind, faults)
            faults.stop()
            assert plain(ask(array, parallel)) == right


# ---------------------------------------------------------------------------------------
# Remaps

MAPPING = {LABEL: 5000, 1: 2, 2: 1, ONCE: 0}


def remapped(layout: str) -> dict[str, bytes]:
    """The array after a complete remap, byte for byte."""
    store = MemoryStore(dict(objects_of(layout)))
    array = zarr.open_array(store, path="a", mode="r+")
    before = array[...]
    cz.remap(array, MAPPING, parallel=1)
    after = before.copy()
    for old, new in MAPPING.items():
        after[before == old] = new
    assert np.array_equal(array[...], after)
    return of_array(store)


def finished(store: Any, action: str) -> str:
    """Finish a remap without faults; returns ``action`` if it changed chunks, else "nothing"."""
    array = zarr.open_array(store, path="a", mode="r+")
    report, error = tried(getattr(cz, action), array, parallel=1)
    if error is not None and "undo() removes" in str(error):
        report = cz.undo(array, parallel=1)
    elif error is not None:
        assert "no unfinished remap" in str(error)
    # After a listing that leaves out a file, or a deletion that reports it as missing, the file stays
    # behind: the next remap removes it.
    assert not [key for key in stored(store) if "/.crackle-" in key and key.endswith(("/plan", "/finished"))]
    # A remap that finished, or never began, has nothing to resume and nothing to undo.
    return action if report is not None and report.chunks else "nothing"


CHANGES = (*WRITING, "missing")
FEW = ("error", "torn", "missing")


def half_remapped(store: Faulty, array: zarr.Array) -> None:
    """Remap an array until the store tears one of its chunks."""
    for n in range(1000):
        store.faults.start("torn", n, lasting=True)
        with pytest.raises(StoreError):
            cz.remap(array, MAPPING, parallel=1)
        if store.faults.struck[0][1].startswith("a/c/"):
            return
        store.faults.stop()
        with contextlib.suppress(JournalError):  # the failure may have removed it
            cz.undo(array)


# ---------------------------------------------------------------------------------------
# Conversions

CONVERSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {"to": "zstd"}),
    "shards": ("shards", {"shards": (8, 24, 48)}),
    "to format 2": ("plain", {"zarr_format": 2}),
    "format 2": ("format 2", {"to": "none"}),
    "zstd behind": ("zstd behind", {"to": "none", "zarr_format": 3}),
    "without Crackle": ("without Crackle", {}),
    "shards without Crackle": ("shards without Crackle", {"chunks": (8, 24, 24)}),
}


def converted(name: str) -> dict[str, bytes]:
    """The new array, byte for byte."""
    store = MemoryStore()
    source = zarr.open_array(MemoryStore(dict(objects_of(CONVERSIONS[name][0]))), path="a", mode="r")
    cz.convert(source, store, parallel=1, **CONVERSIONS[name][1])
    new = zarr.open_array(store, mode="r")
    assert np.array_equal(new[...], VOXELS)
    assert new.attrs.asdict() == {"who": "me"}
    return stored(store)


def over(error: Exception, store: Any) -> bool:
    """Whether the conversion had finished, and only the answer to its last call was lost."""
    return isinstance(error, FileExistsError) and "exists already" in str(error) and not has_marker(store)


def has_marker(store: Any) -> bool:
    return any(".crackle-convert" in key for key in stored(store))


@cache
def pyramid(zarr_format: int) -> Objects:
    """A label image in a group, with attributes everywhere."""
    made: Objects = {}
    group = zarr.open_group(MemoryStore(made), mode="w", zarr_format=zarr_format)
    told = {"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}
    image = group.create_group("cells", attributes=told if zarr_format == 2 else {"ome": told})
    group.attrs["labels"] = ["cells"]
    for level in range(2):
        voxels = VOXELS[:8, :: level + 1, :: level + 1]
        array = cz.create_array(
            image.store_path.store,
            name=f"cells/{level}",
            shape=voxels.shape,
            dtype=voxels.dtype,
            chunks=(8, 24, 24),
            zarr_format=zarr_format,
            attributes={"level": level},
        )
        array[...] = voxels
    return made
