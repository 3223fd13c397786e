"""A script: remaps and conversions that are killed at every single write, and what is made of them.

    python killed.py ACTION FOLDER [shards]

ACTION is resume, undo, convert, replace, pyramid, write, components, dust-resume, dust-undo, index,
index-resume, index-undo or skeletons.

Every attempt runs in a process of its own, forked before Zarr has started a thread. It kills itself, as a
power cut would, at the n-th time that the store is to be changed: before the change, or when half of it is on
the disk. Then another process looks at what is there, and goes on; it too is killed, at every change in turn.
A change is a death in one of the two ways, in turns; in both ways with CRACKLE_TRUST=full.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

# A helper beside this script, whose folder PYTHONSAFEPATH leaves out.
sys.path.append(str(Path(__file__).resolve().parent))

import sync_stores

import crackle_zarr as cz
import crackle_zarr.codecs.zarr_codec
from crackle_zarr.stored.editing.steps import step_in

VOXELS = np.repeat(np.arange(16 * 12 * 12, dtype=np.uint32).reshape(16, 12, 12) // 40 % 23, 1, axis=0)
MAPPING = {1: 2, 2: 1, 3: 0, 4: 900, 5: 6}
PARALLEL = 1
UNDO = 77  # an exit code
FULL = os.environ.get("CRACKLE_TRUST") == "full"
# Edits of components share their writes with remaps, so they die at every third only.
EVERY = 1 if FULL else 3


def changes(half: bool) -> range:
    """The numbers of the changes at which to die in this way."""
    return range(1000) if FULL else range(int(half), 1000, 2)


def mapped() -> np.ndarray:
    table = np.arange(1000, dtype=np.uint32)
    for old, new in MAPPING.items():
        table[old] = new
    return table[VOXELS]


class Mortal(sync_stores.LocalStore):
    """A store that kills its process at the n-th change."""

    left = -1
    half = False
    whole: tuple[str, ...] = ()  # names of files that are never half written

    def _change(self, key: str | None, value: Any = None) -> None:
        cls = type(self)
        if cls.left == 0:
            spared = key is None or key.rpartition("/")[2] in cls.whole
            if cls.half and not spared and value is not None:  # like a store that writes in place
                assert key is not None
                path = Path(self.root) / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(value.to_bytes()[: len(value) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        cls.left -= 1

    def set_sync(self, key: str, value: Any) -> None:
        self._change(key, value)
        super().set_sync(key, value)

    def delete_sync(self, key: str) -> None:
        self._change(None)
        super().delete_sync(key)

    async def set(self, key: str, value: Any) -> None:
        self._change(key, value)
        await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        self._change(key, value)
        await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        self._change(None)
        self._empty(key)
        await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        self._change(None)
        self._empty(prefix)
        await super().delete_dir(prefix)

    def _empty(self, folder: str) -> None:
        """Remove the contents of a folder file by file, in the least helpful order."""
        files = sorted(path for path in (Path(self.root) / folder).rglob("*") if path.is_file())
        for path in files:
            self._change(None)
            path.unlink()


def forked(work: Callable[[], None]) -> int:
    """Run a function in a process of its own; returns the exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying(n: int, half: bool, work: Callable[[LocalStore], Any], folder: Path) -> int:
    """Run a function in a process that dies at the n-th change; returns the exit code, 0 for no death."""

    def run() -> None:
        Mortal.left, Mortal.half = n, half
        work(Mortal(folder))

    code = forked(run)
    assert code in (0, UNDO, -signal.SIGKILL), code
    return code


def objects(folder: Path) -> dict[str, bytes]:
    """The chunks of an array, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "c").rglob("*")
        if path.is_file() and not path.name.endswith(".partial")
    }


def must(work: Callable[[], None]) -> None:
    assert forked(work) == 0


def remap(store: LocalStore) -> None:
    cz.remap(zarr.open_array(store, mode="r+"), MAPPING, parallel=PARALLEL)


def dust(store: LocalStore) -> None:
    cz.dust(zarr.open_array(store, mode="r+"), 35, 6, parallel=PARALLEL)


def dusted() -> np.ndarray:
    return np.asarray(cz.decompress(cz.dust(np.ascontiguousarray(VOXELS), 35, 6)))


def check_is(folder: Path, allowed: list[np.ndarray]) -> None:
    def look() -> None:
        voxels = zarr.open_array(folder, mode="r")[...]
        assert any(np.array_equal(voxels, one) for one in allowed)

    must(look)


def state(folder: Path) -> str | None:
    """The state of the journal, from the files alone."""
    journal = folder / ".crackle-remap"
    if not (journal / "plan").is_file():
        return None
    steps = [step_in(path.read_bytes(), path.name) for path in journal.glob("steps-*/*")]
    return "finished" if any(step is not None and step.what == "finished" for step in steps) else "there"


def go_on(folder: Path, action: str, first: int) -> str:
    """Resume or undo, killed at some changes on the way, until one finishes; returns its name."""

    def again(store: LocalStore) -> None:
        array = zarr.open_array(store, mode="r+")
        try:
            getattr(cz, action)(array, parallel=PARALLEL)
        except cz.JournalError as error:
            os._exit(UNDO if "undo() removes the rest of the journal" in str(error) else 1)

    half = False
    for n in (*range(first % 9, 1000, 9), 10**6):  # all deaths of all attempts
        half = not half
        if state(folder) is None:
            return action
        code = dying(n, half, again, folder)
        if code == UNDO:
            action = "undo"
        elif code == 0:
            return action
    raise AssertionError("it never ends")


def try_remap(
    root: Path,
    action: str,
    edit: Callable[[LocalStore], None] = remap,
    becomes: Callable[[], np.ndarray] = mapped,
    every: int = 1,
) -> int:
    start, place = root / "start", root / "place"
    old, new = VOXELS, becomes()
    before = objects(start)
    deaths = 0
    for n in range(0, 1000, every):
        for half in [half for half in (False, True) if n in changes(half)]:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(start, place)
            if dying(n, half, edit, place) == 0:
                assert n > 5
                check_is(place, [new])
                return deaths
            deaths += 1
            if state(place) is None:
                # Before the journal takes effect, or when only its last files remain to be removed.
                check_is(place, [old, new])
                continue
            began = state(place) == "there"
            done = go_on(place, action, n)
            assert state(place) is None
            if began and done == "undo":
                assert objects(place) == before
            check_is(place, [old if began and done == "undo" else new])
    raise AssertionError("it never ends")


def try_convert(root: Path) -> int:
    start, place = root / "start", root / "place"
    deaths = 0
    for half in (False, True):
        for n in changes(half):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()

            def convert(store: LocalStore) -> None:
                cz.convert(zarr.open_array(start, mode="r"), store, to="zstd", parallel=PARALLEL)

            if dying(n, half, convert, place) == 0:
                break
            deaths += 1
            assert dying(10**6, False, convert, place) == 0
            check_is(place, [VOXELS])
            assert not (place / ".crackle-convert").exists()
    return deaths


def try_replace(root: Path) -> int:
    """Convert to the place of an array of another type: nothing of the old array gets into the new one."""
    start, old, place = root / "start", root / "old", root / "place"
    ones = np.ones(VOXELS.shape, np.uint8)

    def make() -> None:
        zarr.create_array(LocalStore(old), data=ones, chunks=(8, 12, 12))

    def replace(store: LocalStore) -> None:
        cz.convert(zarr.open_array(start, mode="r"), store, overwrite=True, parallel=PARALLEL)

    def convert(store: LocalStore) -> None:
        try:
            cz.convert(zarr.open_array(start, mode="r"), store, parallel=PARALLEL)
        except (FileExistsError, cz.FormatError) as error:
            os._exit(UNDO if "overwrite=True" in str(error) else 1)

    def is_new() -> None:
        array = zarr.open_array(place, mode="r")
        assert array.dtype == VOXELS.dtype
        assert np.array_equal(array[...], VOXELS)
        assert sorted(path.name for path in place.iterdir()) == ["c", "zarr.json"]

    must(make)
    deaths = 0
    for half in (False, True):
        for n in changes(half):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(old, place)
            if dying(n, half, replace, place) == 0:
                must(is_new)
                break
            deaths += 1
            if dying(10**6, False, convert, place) == UNDO:
                for again in (*range(n % 9, 1000, 9), 10**6):
                    if dying(again, not half, replace, place) == 0:
                        break
            must(is_new)
    return deaths


def try_components(root: Path) -> int:
    """Components into another place, killed at every change; the same call goes on, and nothing is left."""
    start, place = root / "start", root / "place"

    def join(store: LocalStore) -> None:
        cz.connected_components(zarr.open_array(start, mode="r"), 6, out=store, parallel=PARALLEL)

    def look() -> None:
        array = zarr.open_array(place, mode="r")
        expected = cz.connected_components(zarr.open_array(start, mode="r"), 6, out={}, parallel=PARALLEL)
        assert array.dtype == expected.array.dtype
        assert np.array_equal(array[...], expected.array[...])
        assert cz.verify(array) == []
        assert sorted(path.name for path in place.iterdir()) == ["c", "zarr.json"]

    def unfinished() -> None:
        """What was begun is not called sound."""
        array = zarr.open_array(place, mode="r")
        assert cz.verify(array)[0].chunk == ()

    deaths = 0
    for half in (False, True):
        Mortal.whole = ("zarr.json",)
        for n in changes(half)[::EVERY]:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            if dying(n, half, join, place) == 0:
                must(look)
                break
            deaths += 1
            if (place / "zarr.json").exists() and (place / ".crackle-convert").exists():
                must(unfinished)
            for again in (n % 7, 10**6):
                dying(again, not half, join, place)
            must(look)
    return deaths


def pooled() -> list[np.ndarray]:
    from crackle_zarr.ome.pooling import pool

    levels = [VOXELS]
    for _ in range(2):
        levels.append(pool(levels[-1], (2, 2, 2)))
    return levels


def check_levels(place: Path) -> None:
    def look() -> None:
        found = cz.ome.open_multiscale(str(place))
        expected = pooled()
        assert len(found.levels) == len(expected)
        for level, voxels in zip(found.levels, expected, strict=True):
            assert np.array_equal(level[...], voxels)
        assert sorted(path.name for path in place.iterdir()) == ["s0", "s1", "s2", "zarr.json"]

    must(look)


def try_pyramid(root: Path, options: dict[str, Any]) -> int:
    """Build levels, killed at every change; the same call finishes, and nothing of an old level is left."""
    start, place = root / "labels", root / "place"

    def make() -> None:
        labels = cz.create_ome_labels(
            LocalStore(start), None, VOXELS.shape, VOXELS.dtype, chunks=(8, 12, 6), levels=2, **options
        )
        labels.levels[0][...] = VOXELS
        labels.levels[1][...] = 999

    def build(store: LocalStore) -> None:
        Mortal.whole = ("zarr.json",)  # Zarr's own store replaces them whole
        cz.build_pyramid(
            zarr.open_group(store, mode="r+"), (2, 2, 2), levels=3, overwrite=True, parallel=PARALLEL
        )

    must(make)
    deaths = 0
    for half in (False, True):
        for n in changes(half):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(start, place)
            if dying(n, half, build, place) == 0:
                check_levels(place)
                break
            deaths += 1
            for again in (n % 7, 10**6):
                dying(again, not half, build, place)
            check_levels(place)
    return deaths


def try_write(root: Path) -> int:
    """Write labels with their levels, killed at every change; the same call finishes."""
    place = root / "place"

    def write(store: LocalStore) -> None:
        cz.write_ome_labels(
            store, None, VOXELS, chunks=(8, 12, 6), factors=(2, 2, 2), levels=3, parallel=PARALLEL
        )

    deaths = 0
    for half in (False, True):
        for n in changes(half):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            Mortal.whole = ()
            if dying(n, half, write, place) == 0:
                check_levels(place)
                break
            deaths += 1
            assert dying(10**6, False, write, place) == 0
            check_levels(place)
    return deaths


def check_index(place: Path) -> None:
    """An index that queries use is right; one that they do not use becomes right."""

    def look() -> None:
        array = zarr.open_array(place, mode="r")
        try:
            found = cz.open_index(array).statistics()
        except (cz.StaleIndexError, FileNotFoundError):
            return
        expected = cz.statistics(array, index="ignore", parallel=PARALLEL)
        assert all(np.array_equal(found[name], expected[name]) for name in expected.dtype.names)

    must(look)


def try_index(root: Path) -> int:
    """Build and update an index, killed at many changes: what is there is right, and the call finishes it."""
    start, place = root / "start", root / "place"
    deaths = 0

    def build(store: LocalStore) -> None:
        cz.create_index(zarr.open_array(store, mode="r+"), overwrite=True, parallel=PARALLEL)

    def update(store: LocalStore) -> None:
        cz.update_index(zarr.open_array(store, mode="r+"), parallel=PARALLEL)

    def write(store: LocalStore) -> None:
        zarr.open_array(store, mode="r+")[3, 3, 3] = 4321

    for act in (build, update):
        for half in (False, True):
            for n in range(2 * half, 1000, 7):
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(start, place)
                if act is update:
                    assert dying(10**6, False, build, place) == 0
                    assert dying(10**6, False, write, place) == 0
                code = dying(n, half, act, place)
                if act is build:
                    check_index(place)
                try_again = dying(10**6, False, act if n % 2 else build, place)
                assert try_again == 0
                check_index(place)
                must(lambda: must_be_current(place))
                if code == 0:
                    assert n > 5
                    break
                deaths += 1
    return deaths


def must_be_current(place: Path) -> None:
    """Nothing but a current index and its files is there."""
    array = zarr.open_array(place, mode="r")
    cz.labels(array, index="require")
    assert cz.check_index(array) == []
    assert not (place / ".crackle-index" / "building").exists()


def try_index_remap(root: Path, action: str) -> int:
    """Remap an array with an index, killed at many changes: an index in use is right, and gets right."""
    start, place = root / "start", root / "place"
    deaths = 0

    def build() -> None:
        cz.create_index(zarr.open_array(LocalStore(start), mode="r+"), parallel=PARALLEL)

    must(build)
    for half in (False, True):
        # A store that writes in place may leave half a manifest, which no query uses.
        Mortal.whole = () if half else ("index.json",)
        for n in range(2 * half, 1000, 7):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(start, place)
            if dying(n, half, remap, place) == 0:
                check_index(place)
                break
            deaths += 1
            check_index(place)
            if state(place) is None:
                continue
            go_on(place, action, n)
            check_index(place)
            check_is(place, [VOXELS, mapped()])
            if not half:
                must(lambda: must_be_current(place))
    return deaths


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def try_skeletons(root: Path) -> int:
    """Skeletonize by tiles, killed before and after every file; a run that goes on writes the same bytes."""
    # Once, and not in every process.
    import pyarrow.parquet  # noqa: F401

    import crackle_zarr.stored_skeletons.whole  # noqa: F401

    place, out = root / "labels", root / "out"
    voxels = np.zeros((16, 32, 64), np.uint32)
    for number in range(3):
        voxels[4:9, 10 * number + 3 : 10 * number + 8, 3:61] = number + 1

    def make() -> None:
        cz.create_array(place, data=voxels, chunks=(16, 16, 16))

    def skeletonize(resume: bool) -> None:
        cz.skeletonize(
            zarr.open_array(place, mode="r"),
            {"const": 5},
            out=out,
            resume=resume,
            memory=2**20,
            progress=False,
            parallel=PARALLEL,
        )

    def dying(n: int, after: bool, resume: bool) -> int:
        def run() -> None:
            left, rename = n, os.replace

            def replace(*paths: Any) -> None:
                nonlocal left
                if left == 0 and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                rename(*paths)
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

            os.replace = replace  # type: ignore[assignment]
            skeletonize(resume)

        return forked(run)

    must(make)
    assert dying(10**6, False, False) == 0
    expected = contents(out)
    assert len(expected) > 3
    deaths = 0
    for after in (False, True):
        for n in range(1000):  # they are few
            shutil.rmtree(out, ignore_errors=True)
            if dying(n, after, False) == 0:
                assert contents(out) == expected
                break
            deaths += 1
            resume = (out / "skeletons.json").exists()
            if not resume:
                shutil.rmtree(out, ignore_errors=True)  # a temporary file of the plan
            for again in (n % 3, 10**6) if n % 2 else (10**6,):
                code = dying(again, not after, resume)
                resume = (out / "skeletons.json").exists()
                if code == 0:
                    break
            found = contents(out)
            assert {name: data for name, data in found.items() if ".crackle-" not in name} == expected
    return deaths


def main() -> None:
    what, root = sys.argv[1], Path(sys.argv[2])
    shards = {"shards": (8, 12, 12)} if len(sys.argv) > 3 else {}

    def make() -> None:
        array = cz.create_array(
            LocalStore(root / "start"), shape=VOXELS.shape, dtype=VOXELS.dtype, chunks=(8, 12, 6), **shards
        )
        array[...] = VOXELS

    must(make)
    tries = {
        "convert": try_convert,
        "replace": try_replace,
        "pyramid": lambda root: try_pyramid(root, shards),
        "write": try_write,
        "components": try_components,
        "dust-resume": lambda root: try_remap(root, "resume", dust, dusted, EVERY),
        "dust-undo": lambda root: try_remap(root, "undo", dust, dusted, EVERY),
        "index": try_index,
        "index-resume": lambda root: try_index_remap(root, "resume"),
        "index-undo": lambda root: try_index_remap(root, "undo"),
        "skeletons": try_skeletons,
    }
    print(tries[what](root) if what in tries else try_remap(root, what))


if __name__ == "__main__":
    main()
