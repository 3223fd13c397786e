"""How fast does Zarr write and read chunks, against its default codec? What does a question cost a chunk?

Zarr's own share is the time that it takes with the codec ``bytes`` alone, which compresses nothing. Each case
is measured with one thread of Zarr and with two. ``--few`` measures chunks of 64^3 of one dtype only.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _common import interleaved, load, milliseconds, parser, save, show
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr
from crackle_zarr._binding.codec import volume_of
from crackle_zarr._crackle import ffi, lib

EDGE = 64
CONCURRENCY = 10
DEFAULT = "Zarr's default"
BYTES = "bytes alone"
MAKERS = {
    "Crackle": crackle_zarr.create_array,
    DEFAULT: zarr.create_array,
    BYTES: partial(zarr.create_array, compressors=None),
}
# Chunks along (z, y, x), and the part of the volume that is written.
SHAPES = {
    "64^3": ((64, 64, 64), (256, 256, 256)),
    "128^3": ((128, 128, 128), (256, 256, 256)),
    "64x256x256": ((64, 256, 256), (128, 256, 512)),
}
STORES = ("memory", "directory", "memory, shards", "directory, shards")
SMALL_EDGES = (16, 32, 64)


def of_c(chunk: np.ndarray, stream: bytes, repeats: int) -> dict[str, float]:
    """Seconds of the plain C calls and of the codec's calls on the same chunk."""
    codec = crackle_zarr.Crackle()
    out = np.empty_like(chunk)
    encode, decode = c_calls([chunk], [stream])
    return interleaved(
        {
            "C encode": encode,
            "Crackle().encode": lambda: codec.encode(chunk),
            "C decode": decode,
            "Crackle().decode": lambda: codec.decode(stream),
            "Crackle().decode(out=)": lambda: codec.decode(stream, out=out),
        },
        200 * repeats,
    )


def c_calls(chunks: list[np.ndarray], streams: list[bytes]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Functions that encode, and decode, some chunks by one call of C each."""
    order = crackle_zarr.Crackle().markov_model_order
    options = ffi.new("struct crackle_options *", {"format_version": 1, "markov_order": order})
    sources, out = [volume_of(chunk.T) for chunk in chunks], np.empty_like(chunks[0])
    target = volume_of(out.T, writable=True)

    def encode() -> None:
        for source in sources:
            buffer, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
            assert lib.crackle_encode(source, options, buffer, nbytes) == 0
            lib.crackle_free(buffer[0])

    def decode() -> None:
        for stream in streams:
            data = ffi.from_buffer("uint8_t[]", stream)
            assert lib.crackle_decode_stream(data, len(data), 0, target, ffi.NULL) == 0

    return encode, decode


def best(cases: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least seconds of each case, in turns; and of the processor, which other programs hardly change."""
    seconds = {f"{name}{of}": float("inf") for name in cases for of in ("", ", CPU")}
    order = random.Random(1)
    for _ in range(repeats):
        for name in order.sample(list(cases), len(cases)):
            start, busy = time.perf_counter(), time.process_time()
            result = cases[name]()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
            seconds[f"{name}, CPU"] = min(seconds[f"{name}, CPU"], time.process_time() - busy)
            del result
    return seconds


def end_to_end(volume: np.ndarray, few: bool, repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds per chunk to write and to read arrays, CONCURRENCY chunks at a time."""
    for shape, (chunk, part) in SHAPES.items():
        voxels = np.ascontiguousarray(volume[tuple(map(slice, part))])
        if few and shape != "64^3":
            continue
        chunk = tuple(map(min, chunk, voxels.shape))
        for dtype in ("u4",) if few else ("u4", "u8"):
            labels = voxels.astype(dtype)
            for store in STORES:
                for threads in (1, 2):
                    found = per_chunk(labels, chunk, store, threads, repeats)
                    yield {"chunk": shape, "dtype": dtype, "store": store, "threads": threads, **found}


def per_chunk(
    labels: np.ndarray, chunk: tuple[int, ...], kind: str, threads: int, repeats: int
) -> dict[str, float]:
    """Seconds per chunk by the codec; "C" is the work of the library alone, in one thread.

    Zarr keeps its threads as long as its event loop: each number of threads begins with a new one.
    """
    counts = [length // edge for length, edge in zip(labels.shape, chunk, strict=True)]
    places = [
        tuple(slice(at * edge, (at + 1) * edge) for at, edge in zip(index, chunk, strict=True))
        for index in np.ndindex(*counts)
    ]
    keywords: dict[str, Any] = {"shape": labels.shape, "dtype": labels.dtype, "chunks": chunk}
    if "shards" in kind:
        keywords["shards"] = tuple(
            edge * (2 if count % 2 == 0 else 1) for edge, count in zip(chunk, counts, strict=True)
        )
    zarr.core.sync.cleanup_resources()
    cases: dict[str, Callable[[], object]] = {}
    settings = {"async.concurrency": CONCURRENCY, "threading.max_workers": threads}
    with tempfile.TemporaryDirectory() as folder, zarr.config.set(settings):
        for name, make in MAKERS.items():
            store = LocalStore(Path(folder) / name) if kind.startswith("directory") else MemoryStore()
            array = make(store, **keywords)
            array[...] = labels
            if not np.array_equal(array[...], labels):
                raise SystemExit(f"{name}, {kind}: does not decode to the volume")
            cases[f"{name}, write"] = partial(array.__setitem__, ..., labels)
            cases[f"{name}, read"] = partial(array.__getitem__, ...)
        chunks = [np.ascontiguousarray(labels[place]) for place in places]
        cases["C, write"], cases["C, read"] = c_calls(
            chunks, list(map(crackle_zarr.Crackle().encode, chunks))
        )
        found = best(cases, repeats)
    return {name: seconds / len(places) for name, seconds in found.items()}


def questions(volume: np.ndarray, repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds per chunk of questions to arrays of small chunks in a directory, and of C's work alone."""
    for edge in SMALL_EDGES:
        length = min(min(volume.shape), 16 * edge) // edge * edge
        if not length:
            continue
        with tempfile.TemporaryDirectory() as folder:
            array = crackle_zarr.create_array(
                Path(folder) / "a.zarr", shape=(length,) * 3, dtype=volume.dtype, chunks=(edge,) * 3
            )
            array[...] = volume[:length, :length, :length]
            files = [path for path in (Path(folder) / "a.zarr" / "c").rglob("*") if path.is_file()]
            streams = [path.read_bytes() for path in files]
            ends = np.cumsum([len(one) for one in streams], dtype=np.uint64)
            batch = crackle_zarr._binding.Batch(b"".join(streams), ends, (edge,) * 3, volume.dtype)
            cases: dict[str, Callable[[], object]] = {
                "C, labels": partial(crackle_zarr._binding.batch_tables, batch),
                "C, statistics": partial(crackle_zarr._binding.batch_measure, batch),
            }
            for threads in (1, 2):
                for ask in (crackle_zarr.labels, crackle_zarr.statistics):
                    cases[f"{ask.__name__}, {threads}"] = partial(ask, array, parallel=threads)
            found = best(cases, repeats)
            number = (length // edge) ** 3
            yield {"edge": edge, "chunks": number, **{name: s / number for name, s in found.items()}}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--few", action="store_true", help="chunks of 64^3 of one dtype alone")
    arguments = command.parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    middle = [max(0, (n - EDGE) // 2) for n in volume.shape]
    chunk = np.ascontiguousarray(volume[tuple(slice(m, m + EDGE) for m in middle)])
    stream = crackle_zarr.Crackle().encode(chunk)
    seconds = of_c(chunk, stream, arguments.repeats)
    rows = []
    for name, c in (
        ("Crackle().encode", "C encode"),
        ("Crackle().decode", "C decode"),
        ("Crackle().decode(out=)", "C decode"),
    ):
        rows.append(
            [name, *(f"{s * 1e6:,.0f}" for s in (seconds[c], seconds[name], seconds[name] - seconds[c]))]
        )
    show(f"A chunk of {chunk.shape} {chunk.dtype}, microseconds", ["", "C", "total", "added"], rows)

    asked = list(questions(volume, arguments.repeats))
    rows = [
        [
            f"{one['edge']}^3",
            what,
            *(f"{one[name] * 1e6:,.1f}" for name in (f"C, {what}", f"{what}, 1", f"{what}, 2")),
        ]
        for one in asked
        for what in ("labels", "statistics")
    ]
    show("Questions, microseconds a chunk", ["chunks", "", "C", "parallel=1", "parallel=2"], rows)

    measured, rows, whole = [], [], {}
    for one in end_to_end(volume, arguments.few, arguments.repeats):
        measured.append(one)
        for what in ("write", "read"):
            ours, default, share, c = (one[f"{name}, {what}"] for name in ("Crackle", DEFAULT, BYTES, "C"))
            case = f"{one['chunk']} {one['dtype']}, {one['store']}, {one['threads']} threads, {what}"
            times = [f"{milliseconds(s)}" for s in (ours, default, share, c)]
            busy = one[f"{DEFAULT}, {what}, CPU"] / one[f"Crackle, {what}, CPU"]
            rows.append([case, *times, f"{default / ours:.2f}", f"{busy:.2f}", f"{ours / (share + c):.2f}"])
        if (one["chunk"], one["dtype"], one["threads"]) == ("64^3", "u4", 2) and one["store"] in STORES[:2]:
            whole[one["store"]] = one
    title = f"Zarr, {CONCURRENCY} chunks at a time, milliseconds a chunk; share: Zarr's own, with bytes alone"
    head = ["", "Crackle", "default", "share", "C", "times as fast", "by CPU time", "of share and C"]
    show(title, head, rows)
    save(arguments.json, {"chunk_s": seconds, "zarr_s": whole, "cases": measured, "questions": asked})


if __name__ == "__main__":
    main()
