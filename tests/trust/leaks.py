"""Whether memory comes back: thousands of chunks encoded, decoded, asked and edited, sound and damaged ones.

Every chunk goes through all that the library does, and then again with something that has to fail: damaged
bytes, labels that do not fit, questions that cannot be asked. In the end the heap must be what it was when
the process had got warm. The same chunks come round and round, so nothing has a reason to grow.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import _common
import bindings
import numcodecs
import numpy as np
from tqdm import tqdm
from volumes import VOLUMES, cells, noise, stairs

import crackle_zarr as cz
from crackle_zarr import _binding
from crackle_zarr._binding import skeleton_graphs as graphs
from crackle_zarr.stored.totals import Totals
from crackle_zarr.streams.statistics import rows_dtype

EXAMPLES = """
"bytes in use" is what malloc has given out and not got back (mallinfo2 of glibc); "blocks" are objects of
Python; RSS is what of the process is in memory. The exit code is 1 where more than a byte per chunk stays in
use, and more than some kilobytes at all.

Examples:
  python leaks.py                  10,000 chunks, some minutes
  python leaks.py --chunks 300     a look, within seconds
  python leaks.py --leak           with a leak on purpose: is it seen?
"""

# What the heap may grow by: a leak is of 16 bytes or more, each time. The rest is for caches.
MOST_PER_CHUNK = 1.0
MOST_AT_ALL = 2048

# Threads keep some of what they free for themselves, and malloc takes that for in use: not so.
EXACT = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1"

Array = np.ndarray[Any, Any]


# ---------------------------------------------------------------------------------------
# What is done with a chunk


@dataclass
class Chunk:
    """A volume, streams of it, and such that are damaged."""

    volume: Array
    options: dict[str, Any]
    stream: bytes
    other: bytes
    damaged: list[bytes]  # they take turns
    parallel: int
    turn: int = 0

    @property
    def reader(self) -> _binding.Reader:
        return _binding.Reader(self.stream)


def make(number: int) -> Chunk:
    rng = random.Random(number)
    volumes = [
        cells((32, 28, 9), 30),
        noise(9, (20, 18, 5), "u2"),
        stairs(),
        VOLUMES["balls"](),
        VOLUMES["negative, wide"](),
        VOLUMES["past 2^63"](),
        np.ascontiguousarray(cells((40, 33, 6), 60, "u8")),
        VOLUMES["nested holes"](),
    ]
    volume = volumes[number % len(volumes)]
    pins, order = [(0, 0), (1, 0), (2, 0), (0, 3), (1, 5), (0, "auto")][number % 6]
    options = {"allow_pins": pins, "markov_model_order": order, "format_version": 0 if number % 5 == 4 else 1}
    stream = cz.compress(volume, **options, parallel=1)
    damaged = [stream[: rng.randrange(len(stream))]]
    for first in (
        29,
        len(stream) // 2,
    ):  # a damaged header may claim gigabytes: they are not what is looked for
        flipped = bytearray(stream)
        for _ in range(3):
            flipped[rng.randrange(min(first, len(stream) - 1), len(stream))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    other = cz.compress(np.roll(volume, 2, 0), **options, parallel=1)
    return Chunk(volume, options, stream, other, damaged, 2 if number % 4 == 3 else 1)


def labels_of(stream: bytes) -> list[int]:
    return cz.labels(stream).tolist()


def renamed_in_place(stream: bytes) -> bytearray:
    binary = bytearray(stream)
    labels = labels_of(stream)
    cz.remap(binary, dict(zip(labels, labels[::-1], strict=True)), in_place=True)
    return binary


def by_parts(stream: bytes) -> Array:
    """A slice, from the ranges of bytes that it needs."""
    head = _binding.read_header(stream[:29])
    prefix = stream[: _binding.prefix_nbytes(head.sz) + 16]
    layout = _binding.read_layout(prefix)
    _binding.table_nbytes(prefix)
    z = head.sz // 2
    begin, end = _binding.codes_range(prefix, z, z + 1)
    reader = _binding.Reader.from_parts(
        stream[: layout.crack_codes], stream[begin:end], z, stream[layout.checksums :]
    )
    out = np.empty((head.sx, head.sy, 1), head.dtype, order="F")
    reader.decode(out, z, z + 1)
    return out


def surfaces(reader: _binding.Reader) -> Any:
    return reader.surface(np.ones(len(reader.table()), bool), 0, reader.header.sz)


def components(stream: bytes, connectivity: int, binary_image: bool) -> Any:
    return _binding.connected_components(stream, connectivity, binary_image)


def slices_with(reader: _binding.Reader) -> Any:
    wanted = np.zeros(len(reader.table()), bool)
    wanted[0] = True
    return reader.slices_with(wanted)


def connectivity(reader: _binding.Reader) -> None:
    out = np.empty(reader.header.shape, np.uint8, order="F")
    reader.connectivity(out, 6)


def decoded_as(reader: _binding.Reader, order: str) -> None:
    out = np.empty(reader.header.shape, np.uint8, order=order)  # type: ignore[call-overload]
    reader.decode(out, 0, reader.header.sz, values=np.arange(len(reader.table()), dtype=np.uint64))


def numcodecs_turn(volume: Array) -> None:
    codec = numcodecs.get_codec({"id": "crackle"})
    out = np.empty_like(volume)
    codec.decode(codec.encode(volume), out=out)


# Questions and edits of one stream, sound or not.
OF_A_STREAM: dict[str, Callable[[bytes, Chunk], object]] = {
    "decompress": lambda s, c: cz.decompress(s, parallel=c.parallel),
    "decompress, one label": lambda s, c: cz.decompress(s, label=int(c.volume[0, 0, 0]), parallel=c.parallel),
    "decompress, cropped": lambda s, c: cz.decompress(s, label=int(c.volume[0, 0, 0]), crop=True, parallel=1),
    "decompress, by parts": lambda s, c: by_parts(s),
    "decode as F order": lambda s, c: decoded_as(_binding.Reader(s), "F"),
    "decode as C order": lambda s, c: decoded_as(_binding.Reader(s), "C"),
    "labels": lambda s, c: cz.labels(s),
    "contains": lambda s, c: cz.contains(s, int(c.volume[0, 0, 0])),
    "check": lambda s, c: cz.codec.check(s),
    "labels, in a batch": lambda s, c: _binding.batch_tables(in_a_batch(s, c)),
    "statistics, in a batch": lambda s, c: _binding.batch_measure(in_a_batch(s, c)),
    "decompress, in one call": lambda s, c: decoded_at_once(s, c),
    "component_counts": lambda s, c: _binding.Reader(s).component_counts(),
    "check_slice": lambda s, c: _binding.Reader(s).check_slice(0),
    "slices_with": lambda s, c: slices_with(_binding.Reader(s)),
    "entries_in": lambda s, c: _binding.Reader(s).entries_in(0, 1),
    "statistics": lambda s, c: cz.statistics(s, parallel=c.parallel),
    "statistics of an array": lambda s, c: (cz.statistics(c.volume, parallel=c.parallel), cz.statistics(s)),
    "rows of labels added up": lambda s, c: added_up(c),
    "labels of an array": lambda s, c: (cz.labels(c.volume), cz.decompress(s)),
    "voxel_counts": lambda s, c: cz.voxel_counts(s, parallel=c.parallel),
    "point_cloud": lambda s, c: cz.point_cloud(s, parallel=c.parallel),
    "surface": lambda s, c: surfaces(_binding.Reader(s)),
    "contacts": lambda s, c: cz.contacts(s, parallel=c.parallel),
    "contacts of a window": lambda s, c: in_half(s),
    "overlaps": lambda s, c: cz.overlaps(s, c.other, parallel=c.parallel),
    "array_equal": lambda s, c: cz.array_equal(s, c.other, parallel=c.parallel),
    "voxel_connectivity_graph": lambda s, c: cz.voxel_connectivity_graph(s, parallel=c.parallel),
    "connectivity": lambda s, c: connectivity(_binding.Reader(s)),
    "connected_components, 6": lambda s, c: components(s, 6, False),
    "connected_components, 26, binary": lambda s, c: components(s, 26, True),
    "dust, split": lambda s, c: (cz.dust(s, 5), cz.split(s, labels_of(s)[0])),
    "remap": lambda s, c: cz.remap(s, {int(c.volume[0, 0, 0]): 7}, preserve_missing_labels=True),
    "remap in place": lambda s, c: renamed_in_place(s),
    "refit": lambda s, c: cz.refit(s),
    "renumber": lambda s, c: cz.renumber(s),
    "astype": lambda s, c: cz.astype(s, np.int64, order="C"),
    "recompress": lambda s, c: _binding.recompress(s, 2, c.parallel),
    "overlay": lambda s, c: _binding.overlay(_binding.Reader(s), _binding.Reader(c.other), c.parallel),
    "mode_pooling_2x2x1": lambda s, c: cz.mode_pooling_2x2x1(s, parallel=c.parallel),
    "mode_pooling_2x2x2": lambda s, c: cz.mode_pooling_2x2x2(s, parallel=c.parallel),
    "zsplit": lambda s, c: cz.zsplit(s, 1),
    "zstack": lambda s, c: cz.zstack([c.stream, s]),
    "mask_except": lambda s, c: cz.mask_except(s, [int(c.volume[0, 0, 0])]),
    "CrackleArray, one slice written": lambda s, c: _written(s),
    "skeletonize": lambda s, c: traced(s),
    "oversegment and sections": lambda s, c: along_skeletons(s),
}


def added_up(chunk: Chunk) -> None:
    rows = np.zeros(20_000, dtype=rows_dtype(np.dtype("u4"), 3))
    rows["label"] = np.arange(20_000) * (chunk.turn + 3) % 19_997
    totals = Totals(np.dtype("u4"), ((0, 9),) * 3)
    totals.add(rows)
    totals.table(np.dtype("u4"))


def in_a_batch(stream: bytes, chunk: Chunk) -> _binding.Batch:
    lengths = [len(chunk.stream), len(stream), len(chunk.other)]
    ends = np.cumsum(lengths, dtype=np.uint64)
    header = chunk.reader.header
    return _binding.Batch(chunk.stream + stream + chunk.other, ends, header.shape, header.dtype)


def decoded_at_once(stream: bytes, chunk: Chunk) -> None:
    out = np.empty(chunk.reader.header.shape, chunk.reader.header.dtype, order="F")
    if not _binding.decode_stream(stream, out):
        raise ValueError("the stream is of another volume")


def in_half(stream: bytes) -> Any:
    reader = _binding.Reader(stream)
    sx, sy, sz = reader.header.shape
    return reader.contacts_within((0, sz), (0, sy), (sx // 2, sx))


def traced(stream: bytes) -> Any:
    parameters = {"scale": 1.0, "const": 2.0, "soma_detection_threshold": 1, "soma_acceptance_threshold": 2}
    return cz.skeletonize(
        stream, parameters, dust_threshold=0, fill_holes=True, fix_avocados=True, progress=False
    )


def along_skeletons(stream: bytes) -> None:
    skeletons = cz.skeletonize(stream, {"scale": 1.0, "const": 2.0}, dust_threshold=0, progress=False)
    cz.skeletons.cross_sectional_area(stream, skeletons)
    cz.skeletons.oversegment(stream, skeletons)
    merged = cz.skeletons.postprocess(cz.skeletons.Skeleton.simple_merge(skeletons.values()), 1, 2)
    cz.skeletons.Skeleton.from_swc(merged.to_swc()).components()
    merged.paths()
    merged.interjoint_paths()


def connected(chunk: Chunk) -> None:
    cz.connect_points(np.ones((5, 4, 3), np.uint8), (0, 0, 0), (4, 3, 2))
    graph = np.full(chunk.volume.shape, 2**26 - 1, np.uint32)
    cz.skeletonize(chunk.volume, {"const": 2}, dust_threshold=0, voxel_graph=graph, progress=False)


def impossible_graphs() -> None:
    edges = np.array([[0, 9]], np.uint32)
    for work in (graphs.consolidate, graphs.joins, graphs.remove_loops, graphs.remove_ticks):
        rest: dict[Any, tuple[Any, ...]] = {
            graphs.joins: (1.0, False),
            graphs.remove_ticks: (1.0,),
        }
        places, radii = np.zeros((3, 3), np.float32), np.ones(3, np.float32)
        before = (places,) if work in (graphs.consolidate, graphs.remove_ticks) else (places, radii)
        refused(lambda work=work, before=before, rest=rest: work(*before, edges, *rest.get(work, ())))
    for work in (graphs.component_numbers, graphs.interjoint_paths, graphs.root_paths, graphs.orient):
        refused(lambda work=work: work(3, edges))


def impossible_runs() -> None:
    run = np.array([(0, 9, 0, 0)], _binding.RUN)
    fields = {"voxel_size": [1.0, 1.0, 1.0]}
    refused(lambda: _binding.Runs.make((2, 2, 2), [run]))
    refused(lambda: _binding.fill_voids(run[[0, 0]]))
    runs = _binding.Runs.make((9, 1, 1), [run])
    refused(lambda: runs.of(7))
    for work in (
        lambda: runs.widest(7, fields),
        lambda: runs.connect(7, fields, (0, 0, 0), (0, 0, 0)),
        lambda: _binding.Runs.make((9, 1, 1), [run]).trace(
            {"voxel_size": [0.0, 1.0, 1.0]}, lambda _: (np.zeros((0, 3)),) * 2, [0, 1], 1, lambda *_: None
        ),
    ):
        refused(work)
    refused(
        lambda: _binding.Runs.read(_binding.Reader(cz.compress(np.ones((2, 2, 2), int))), np.array([9]), 1)
    )


def _written(stream: bytes) -> None:
    array = cz.CrackleArray(stream).copy()
    array[:, :, 1] = 0


OF_A_VOLUME: dict[str, Callable[[Chunk], object]] = {
    "compress": lambda c: cz.compress(c.volume, **c.options, parallel=c.parallel),
    "encode in one call": lambda c: encoded(c, leak=False),
    "full": lambda c: cz.full(c.volume.shape, 3, c.volume.dtype),
    "numcodecs": lambda c: numcodecs_turn(c.volume),
    "connect_points, voxel graphs": lambda c: connected(c),
    "impossible graphs": lambda c: impossible_graphs(),
    "impossible runs": lambda c: impossible_runs(),
}

# What has to fail, besides damage.
HOPELESS: dict[str, Callable[[Chunk], object]] = {
    "a label that does not fit the dtype": lambda c: cz.remap(
        c.stream, dict.fromkeys(labels_of(c.stream), 2**80)
    ),
    "a label that does not fit in place": lambda c: _binding.relabel_in_place(
        bytearray(c.stream), np.full(len(c.reader.table()), 2**64 - 1, np.uint64)
    ),
    "labels that do not fit the stream": lambda c: _binding.relabel(
        c.stream, np.full(len(c.reader.table()), 2**64 - 1, np.uint64), np.dtype(np.uint8), True
    ),
    "a label too few": lambda c: _binding.relabel(
        c.stream, np.zeros(len(c.reader.table()) + 1, np.uint64), np.dtype(np.uint8), True
    ),
    "slices beyond the end": lambda c: cz.decompress(c.stream, z_end=10**6),
    "a window beyond the end": lambda c: c.reader.measure(0, 1, x=(0, 10**6)),
    "a slice beyond the end": lambda c: c.reader.check_slice(10**6),
    "out of another width": lambda c: c.reader.decode(
        np.empty(c.reader.header.shape, "u1" if c.volume.itemsize > 1 else "u2", order="F"), 0, 1
    ),
    "overlaps of another shape": lambda c: c.reader.overlaps(
        _binding.Reader(cz.compress(np.zeros((2, 3, 4), int)))
    ),
    "a stack of two shapes": lambda c: _binding.stack(
        [(c.stream, 0, 1), (cz.compress(np.zeros((2, 3, 4), "u1")), 0, 1)], np.dtype("u8"), True
    ),
    "a stack that does not fit": lambda c: _binding.stack([(c.stream, 0, 10**6)], c.volume.dtype, True),
    "components of connectivity 7": lambda c: components(c.stream, 7, False),
    "rows in no order": lambda c: _binding.order_rows(np.zeros(3, "u4"), np.zeros(3, np.int64) + 2),
    "a stream of nothing": lambda c: _binding.Reader(b""),
    "a missing label": lambda c: cz.voxel_counts(c.stream, label=987_654_321),
}

REFUSALS = (cz.FormatError, cz.MissingLabelError, ValueError, OverflowError)


def encoded(chunk: Chunk, leak: bool) -> None:
    """Encode as a C program does; a leak is a result that is not given back."""
    ffi, lib = bindings.ffi, bindings.library.lib
    out, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
    options = ffi.new("struct crackle_options *", {"format_version": 1})
    volume = bindings.codec.volume_of(chunk.volume)
    assert lib.crackle_encode(volume, options, out, nbytes) == lib.CRACKLE_OK
    if not leak:
        lib.crackle_free(out[0])


def steps(leak: bool) -> dict[str, Callable[[Chunk], bool]]:
    """All that is done with a chunk, by name; each says whether it was refused."""

    def on_sound(work: Callable[[bytes, Chunk], object]) -> Callable[[Chunk], bool]:
        return lambda chunk: refused(lambda: work(chunk.stream, chunk))

    def on_damaged(work: Callable[[bytes, Chunk], object]) -> Callable[[Chunk], bool]:
        return lambda chunk: refused(lambda: work(chunk.damaged[chunk.turn % len(chunk.damaged)], chunk))

    def on_volume(work: Callable[[Chunk], object]) -> Callable[[Chunk], bool]:
        return lambda chunk: refused(lambda: work(chunk))

    made = {name: on_volume(work) for name, work in OF_A_VOLUME.items()}
    made |= {name: on_sound(work) for name, work in OF_A_STREAM.items()}
    made |= {f"{name}, damaged": on_damaged(work) for name, work in OF_A_STREAM.items()}
    made |= {name: on_volume(work) for name, work in HOPELESS.items()}
    if leak:
        made["a leak on purpose"] = on_volume(lambda chunk: encoded(chunk, leak=True))
    return made


def refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except REFUSALS:
        return True
    return False


# ---------------------------------------------------------------------------------------
# Which functions of the library are reached


# They return something else than a status.
_NO_STATUS = {"crackle_prefix_nbytes", "crackle_guess_crack_format", "crackle_fewer_cracks"}
_NO_STATUS |= {"crackle_status_message", "crackle_section_name"}


class _Watched:
    """The C library, with a note of what each function returns."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.outcomes: dict[str, Counter[str]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._lib, name)
        if not name.startswith("crackle_"):
            return value

        def call(*arguments: Any) -> Any:
            result = value(*arguments)
            of_one = self.outcomes.setdefault(name, Counter())
            of_one["failed" if name not in _NO_STATUS and result else "done"] += 1
            return result

        return call


def reached(chunks: list[Chunk]) -> dict[str, Counter[str]]:
    """How often each function of the C library is called, and how often it fails, in one turn."""
    watched = _Watched(bindings.lib)
    real = bindings.lib
    bindings.replace("lib", watched)
    try:
        for chunk in chunks:
            for _ in chunk.damaged:
                chunk.turn += 1
                for step in steps(leak=False).values():
                    step(chunk)
        gc.collect()
    finally:
        bindings.replace("lib", real)
    return watched.outcomes


# ---------------------------------------------------------------------------------------


def check(chunks: list[Chunk], count: int, leak: bool) -> dict[str, Any]:
    """Put ``count`` chunks through everything; what stays of it."""
    in_use = _common.heap()
    work = steps(leak)
    stays: Counter[str] = Counter()
    refusals: Counter[str] = Counter()

    def turn(number: int) -> None:
        chunk = chunks[number % len(chunks)]
        chunk.turn += 1
        for name, step in work.items():
            before = in_use() if in_use else 0
            refusals[name] += step(chunk)
            gc.collect()  # exceptions of threads are in cycles
            stays[name] += (in_use() if in_use else 0) - before

    def state() -> dict[str, int]:
        gc.collect()
        return {
            "bytes_in_use": in_use() if in_use else 0,
            "blocks": sys.getallocatedblocks(),
            "rss": _common.memory("VmRSS"),
        }

    _common.fill_numpys_cache()
    gc.collect()
    gc.freeze()  # collecting what an operation left takes no time then
    with tqdm(total=count, unit=" chunks", disable=None) as bar:
        for number in range(3 * len(chunks)):  # to get warm
            turn(number)
        for name in work:  # dicts that were emptied would grow again
            stays[name] = refusals[name] = 0
        first = state()
        for number in range(count):
            turn(number)
            bar.update()
        last = state()
    gc.unfreeze()
    return {
        "chunks": count,
        "calls": count * len(work),
        "refusals": refusals.total(),
        "heap_is_known": in_use is not None,
        "grown": {name: last[name] - first[name] for name in first},
        "per_chunk": {name: round((last[name] - first[name]) / count, 3) for name in first},
        "rss_mb": [round(at["rss"] / 2**20, 2) for at in (first, last)],
        "stays_by_operation": {name: nbytes for name, nbytes in stays.most_common() if nbytes > count},
        "never_refused": sorted(name for name in HOPELESS if not refusals[name]),
    }


def leaks(result: dict[str, Any]) -> bool:
    """Whether more stays than caches explain."""
    return bool(result["grown"]["bytes_in_use"] > max(MOST_AT_ALL, MOST_PER_CHUNK * result["chunks"]))


def tell(result: dict[str, Any]) -> None:
    names = {"bytes_in_use": "bytes in use", "blocks": "Python's blocks", "rss": "RSS, bytes"}
    rows = [
        [told, f"{result['grown'][name]:+,}", f"{result['per_chunk'][name]:+,.3f}"]
        for name, told in names.items()
    ]
    title = (
        f"{result['chunks']:,} chunks, {result['calls']:,} operations, {result['refusals']:,} of them refused"
    )
    _common.show(title, ["what stays", "in all", "per chunk"], rows)
    rows = [
        [name, f"{nbytes / result['chunks']:,.1f}"] for name, nbytes in result["stays_by_operation"].items()
    ]
    if result["leaks"]:
        _common.show("Operations of which more than a byte per chunk stays", ["", "bytes per chunk"], rows)


def main() -> None:
    parser = _common.parser(__doc__, EXAMPLES)
    parser.add_argument("--chunks", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--leak", action="store_true", help="leak on purpose: what crackle_encode() returned")
    arguments = parser.parse_args()
    if os.environ.get("GLIBC_TUNABLES") != EXACT:  # malloc reads it when a program starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": EXACT})
    chunks = [make(100 * arguments.seed + number) for number in range(24)]
    outcomes = reached(chunks)
    result = check(chunks, arguments.chunks, arguments.leak)
    result["functions"] = {name: dict(outcomes[name]) for name in sorted(outcomes)}
    result["leaks"] = leaks(result)
    tell(result)
    _common.save(arguments.json, result)
    print(f"{len(outcomes)} functions of the C library were called")
    if not result["heap_is_known"]:
        print("the C library does not say what is in use: there is only RSS to go by")
    sys.exit(1 if result["leaks"] else 0)


if __name__ == "__main__":
    main()
