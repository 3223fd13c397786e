"""What do the connected components of 10^12 voxels take: seconds, memory of the caller, and bytes?

The array is simulated. The components that chunks of 64 x 256 x 256 of a real volume have, and the pairs of
them that are one across faces, are laid side by side until the array has the wanted size. Tasks of workers
cost as much for each chunk, whatever the size: they are timed on the volume itself, on one thread. The steps
of the caller are run for each size as they are: reading tables, uniting, numbering, making the table. A size
that is not run (10^12) follows from the slope of the two largest that are. Objects end where a copy of the
volume ends, unless the next one has the same label there.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from _common import describe_run, load, parser, save, show
from zarr.storage import MemoryStore, WrapperStore

import crackle_zarr
from crackle_zarr.stored.components import connected, parts, pieces, sets
from crackle_zarr.stored.components.pieces import Joining, MakePieces
from crackle_zarr.stored.components.sets import JoinPieces, Pairs
from crackle_zarr.stored.editing.entries import packed, unpacked
from crackle_zarr.stored.engine import Options, run
from crackle_zarr.stored.layout import Coords, layout_of

CHUNK = (64, 256, 256)
TARGET = 1e12
AXES = (0, 1, 2)


def stored_objects(store: Any) -> dict[str, Any]:
    """The objects of a MemoryStore."""
    objects: dict[str, Any] = store._store_dict
    return objects


class Anonymous(threading.Thread):
    """Samples the memory of this process that no file backs; the most of it, in MB beyond the start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.start_mb = self.now()
        self.most = 0.0
        self._over = threading.Event()

    @staticmethod
    def now() -> float:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1e3

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, self.now() - self.start_mb)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self.most = max(self.most, self.now() - self.start_mb)


class Tile:
    """What a worker makes of the chunks of a volume in the middle of others like it."""

    def __init__(self, volume: np.ndarray) -> None:
        """Find the components of the chunks, with axes z, y, x."""
        self.chunk = tuple(min(one, length) for one, length in zip(CHUNK, volume.shape, strict=True))
        self.grid = tuple(length // one for one, length in zip(self.chunk, volume.shape, strict=True))
        self.shape = tuple(one * count for one, count in zip(self.chunk, self.grid, strict=True))
        inner = volume[tuple(slice(length) for length in self.shape)]
        around = crackle_zarr.create_array(
            {}, shape=tuple(3 * length for length in self.shape), dtype=volume.dtype, chunks=self.chunk
        )
        for place in itertools.product(range(3), repeat=3):
            around[tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, self.shape, strict=True))] = inner
        layout = layout_of(around)
        self.joining = Joining(layout, layout, AXES, 26, 0, MemoryStore(), "parts", True)
        local = list(itertools.product(*map(range, self.grid)))
        middle = [tuple(a + b for a, b in zip(one, self.grid, strict=True)) for one in local]
        near = {other for one in middle for _, other in sets.neighbours(self.joining, one)} - set(middle)
        begin = time.perf_counter()
        counts = MakePieces(self.joining, tuple(middle), False)().counts
        self.finding = (time.perf_counter() - begin) / len(middle)
        MakePieces(self.joining, tuple(near), False)()
        self.rows = [pieces.read_piece(self.joining, one).rows for one in middle]
        self.counts = np.array([counts[one] for one in middle])
        self.pending = sum(len(value) for value in stored_objects(self.joining.store).values()) / (
            len(middle) + len(near)
        )
        # Each neighbour has numbers of its own, so that a pair tells which neighbour it leads to.
        self.pairs: list[list[tuple[Coords, np.ndarray]]] = []
        seconds = 0.0
        for one in middle:
            ways = list(sets.neighbours(self.joining, one))
            offsets = {other: (place + 1) << 32 for place, (_, other) in enumerate(ways)} | {one: 0}
            begin = time.perf_counter()
            found = JoinPieces(self.joining, (one,), offsets)().same
            seconds += time.perf_counter() - begin
            which = found[:, 1] >> 32
            numbers = np.stack([found[:, 0], found[:, 1] & (2**32 - 1)], axis=1)
            self.pairs.append([(way, numbers[which == place + 1]) for place, (way, _) in enumerate(ways)])
        self.joining_faces = seconds / len(middle)
        begin = time.perf_counter()
        alone = crackle_zarr.create_array({}, data=inner, chunks=self.chunk)
        report = crackle_zarr.connected_components(alone, out={}, parallel=1)
        self.whole = (time.perf_counter() - begin) / len(middle)
        self.result = report.nbytes / len(middle)
        self.parts = int(self.counts.sum())


class Tables(WrapperStore[MemoryStore]):
    """The tables of the pieces of a simulated array, made when they are asked for."""

    def __init__(self, tile: Tile, grid: tuple[int, ...], shape: tuple[int, ...]) -> None:
        super().__init__(MemoryStore())
        self.tile, self.grid, self.shape = tile, grid, shape
        middle = np.array(tile.grid) * tile.chunk
        self.metas, self.at = [], []
        for place, rows in zip(itertools.product(*map(range, tile.grid)), tile.rows, strict=True):
            coords = tuple(a + b for a, b in zip(place, tile.grid, strict=True))
            raw = stored_objects(tile.joining.store)[tile.joining.key("table", coords)].to_bytes()
            self.metas.append(unpacked(raw, "")[0] | {"faces": []})
            first = np.unravel_index(rows["first"].astype(np.int64), tile.joining.target.shape)
            self.at.append(np.stack(first, axis=1) - middle)
        self.middle = middle.astype(np.uint64)
        self.seconds = 0.0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """A table whose rows are moved to the place of the chunk."""
        begin = time.perf_counter()
        coords = np.unravel_index(int(key.rpartition("/")[2]), self.grid)
        tile = np.array([index // count for index, count in zip(coords, self.tile.grid, strict=True)])
        local = [int(index) % count for index, count in zip(coords, self.tile.grid, strict=True)]
        number = int(np.ravel_multi_index(local, self.tile.grid))
        moved = tile * self.tile.shape
        rows = self.tile.rows[number].copy()
        rows["first"] = np.ravel_multi_index(tuple((self.at[number] + moved).T), self.shape)
        shift = moved.astype(np.uint64) - self.middle
        rows["start"] += shift
        rows["stop"] += shift
        rows["sum"] += shift * rows["voxels"][:, None]
        found = prototype.buffer.from_bytes(packed(self.metas[number], rows.tobytes()))
        self.seconds += time.perf_counter() - begin
        return found


class Faces:
    """What ``JoinPieces`` finds for some chunks of a simulated array."""

    def __init__(self, tile: Tile, grid: tuple[int, ...], some: range, offsets: np.ndarray) -> None:
        self.tile, self.grid, self.some, self.offsets = tile, grid, some, offsets

    @property
    def weight(self) -> int:
        """Chunks."""
        return len(self.some)

    def __call__(self) -> Pairs:
        """Move the pairs of the volume's chunks to their places."""
        found = [np.zeros((0, 2), dtype=np.int64)]
        for number in self.some:
            coords = np.array(np.unravel_index(number, self.grid))
            place = int(np.ravel_multi_index(coords % self.tile.grid, self.tile.grid))
            for way, pairs in self.tile.pairs[place]:
                other = coords + way
                if len(pairs) and (other >= 0).all() and (other < self.grid).all():
                    beyond = int(np.ravel_multi_index(other, self.grid))
                    # Numbers begin at 1 within a piece; JoinPieces has taken this from both.
                    shift = [self.offsets[number], self.offsets[beyond]]
                    found.append(pairs + np.array(shift, dtype=np.int64))
        return Pairs(np.concatenate(found), np.zeros((0, 2), np.int64))


class Gathered(sets.Sets):
    """Counts pairs, and the seconds that uniting them takes."""

    seconds = 0.0
    num_pairs = 0

    def add(self, result: Pairs) -> None:
        """Unite some pairs."""
        begin = time.perf_counter()
        super().add(result)
        self.seconds += time.perf_counter() - begin
        self.num_pairs += len(result.same)


def simulated(tile: Tile, tiles: tuple[int, ...]) -> dict[str, float]:
    """Seconds and memory of the caller."""
    grid = tuple(count * length for count, length in zip(tiles, tile.grid, strict=True))
    shape = tuple(count * length for count, length in zip(tiles, tile.shape, strict=True))
    array = crackle_zarr.create_array({}, shape=shape, dtype="uint64", chunks=tile.chunk)
    layout = layout_of(array)
    store = Tables(tile, grid, shape)
    joining = Joining(layout, layout, AXES, 26, 0, store, "parts", True)
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        found = work()
        seconds[name] = time.perf_counter() - begin
        return found

    with Anonymous() as memory:
        listed = list(layout.coords_in(layout.everything))
        places = [
            int(np.ravel_multi_index([i % n for i, n in zip(one, tile.grid, strict=True)], tile.grid))
            for one in listed
        ]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(tile.counts[places])])
        del places
        rows = timed("reading the tables", lambda: parts._rows_of(joining, listed, offsets))
        seconds["reading the tables"] -= store.seconds

        def tasks() -> Iterator[Faces]:
            for start in range(0, len(listed), 8):
                yield Faces(tile, grid, range(start, min(start + 8, len(listed))), offsets)

        gathered = Gathered(rows["first"])
        quiet = Options(parallel=1)
        timed(
            "uniting",
            lambda: run(tasks(), quiet, total=len(listed), unit="chunk", merge=sets.both, into=gathered),
        )
        seconds["uniting"] = gathered.seconds
        roots = timed("roots", gathered.roots)
        together = parts.Parts(listed, offsets, rows, roots, np.zeros((0, 2), np.int64))
        firsts, numbers = timed("numbering", together.whole)
        labels = timed("labels", lambda: numbers.astype(np.min_scalar_type(len(firsts))))
        names = np.arange(1, len(firsts) + 1)
        table = timed(
            "the table", lambda: connected.table_of(together, firsts, numbers, names, np.dtype("u8"))
        )
        assert int(table["voxel_count"].sum()) == int(rows["voxels"].sum())
        del labels
    # Rows of more than some bytes are in a file. Those of a smaller array are left out, too, for the slope.
    held = memory.most - (0 if isinstance(rows, np.memmap) else rows.nbytes / 1e6)
    return {
        "voxels": float(np.prod(shape, dtype=float)),
        "chunks": len(listed),
        "parts": len(rows),
        "pairs": gathered.num_pairs,
        "components": len(firsts),
        **{f"{name}, s": value for name, value in seconds.items()},
        "caller, s": sum(seconds.values()),
        "peak of the caller without rows, MB": held,
        "the table, MB": table.nbytes / 1e6,
        "bytes a part beyond the table": (held * 1e6 - table.nbytes) / max(1, len(rows)),
        "rows, MB": rows.nbytes / 1e6,
    }


def tiles_for(voxels: float, tile: tuple[int, ...]) -> tuple[int, ...]:
    """How many tiles along each axis make about so many voxels."""
    count = max(1.0, voxels / float(np.prod(tile)))
    side = max(1, round(count ** (1 / 3)))
    return max(1, round(count / side**2)), side, side


def at_size(tile: Tile, small: dict[str, float], large: dict[str, float], voxels: float) -> dict[str, float]:
    """The figures of an array that was not run: from the slope of two that were, for the caller."""
    share = (voxels - small["voxels"]) / max(1.0, large["voxels"] - small["voxels"])
    figures = {
        name: small[name] + (large[name] - small[name]) * share
        for name in small
        if name != "bytes a part beyond the table"
    }
    chunks = voxels / float(np.prod(tile.chunk))
    figures["chunks"], figures["voxels"] = chunks, voxels
    figures["workers, s"] = tile.whole * chunks
    figures["pending work, MB"] = tile.pending * chunks / 1e6
    figures["result, MB"] = tile.result * chunks / 1e6
    return figures


def main() -> None:
    command = parser(__doc__)
    command.add_argument(
        "--voxels",
        type=float,
        nargs="+",
        help="sizes to run (default: 1e9 1e10 1e11, or 1 to 27 crops)",
    )
    arguments = command.parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    tile = Tile(volume)
    size = float(np.prod(tile.shape))
    sizes = arguments.voxels or ([1e9, 1e10, 1e11] if size > 1e8 else [size, 8 * size, 27 * size])
    found = [simulated(tile, tiles_for(voxels, tile.shape)) for voxels in sorted(sizes)]
    computed = at_size(tile, found[-2] if len(found) > 1 else found[-1], found[-1], TARGET)
    per_chunk = {
        "parts": tile.parts / len(tile.counts),
        "finding components, ms": tile.finding * 1e3,
        "joining faces, ms": tile.joining_faces * 1e3,
        "all, with writing, ms": tile.whole * 1e3,
        "pending work, KB": tile.pending / 1e3,
        "result, KB": tile.result / 1e3,
    }
    print(describe_run(volume, 1))
    show("A chunk, on one thread", ["", "each"], [[key, f"{value:,.4g}"] for key, value in per_chunk.items()])
    names, columns = list(dict.fromkeys([*found[0], *computed])), [*found, computed]
    show(
        "The array; the last column is computed",
        ["", *(f"{one['voxels']:.3g}" for one in found), f"{TARGET:.0e}"],
        [[name, *(f"{one[name]:,.4g}" if name in one else "" for one in columns)] for name in names],
    )
    save(arguments.json, {"chunk": per_chunk, "run": found, "computed": computed})


if __name__ == "__main__":
    main()
