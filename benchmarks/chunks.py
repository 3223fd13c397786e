"""How much time does numcodecs add to the C call for a 64^3 chunk, and how long does Zarr take end to end?"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

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


def of_c(chunk: np.ndarray, stream: bytes, repeats: int) -> dict[str, float]:
    """Seconds of the plain C calls and of the codec's calls on the same chunk."""
    codec = crackle_zarr.Crackle()
    out = np.empty_like(chunk)
    order = crackle_zarr.Crackle().markov_model_order
    options = ffi.new("struct crackle_options *", {"format_version": 1, "markov_order": order})
    where = ffi.new("struct crackle_where *")
    parts = ffi.new("struct crackle_parts *")
    data = ffi.from_buffer("uint8_t[]", stream)
    lib.crackle_split(data, len(data), parts, where)

    source, target = volume_of(chunk.T), volume_of(out.T, writable=True)

    def encode() -> None:
        buffer, nbytes = ffi.new("uint8_t **"), ffi.new("size_t *")
        assert lib.crackle_encode(source, options, buffer, nbytes) == 0
        lib.crackle_free(buffer[0])

    def decode() -> None:
        assert lib.crackle_decode(parts, 0, chunk.shape[0], 0, target, 0, where) == 0

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


def end_to_end(volume: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds to write and to read arrays, CONCURRENCY chunks at a time, by the kind of store."""
    found = {}
    keywords = {"shape": volume.shape, "dtype": volume.dtype, "chunks": (EDGE,) * 3}
    with tempfile.TemporaryDirectory() as folder, zarr.config.set({"async.concurrency": CONCURRENCY}):
        for kind in ("memory", "directory"):
            cases = {}
            for name, make in (("Crackle", crackle_zarr.create_array), (DEFAULT, zarr.create_array)):
                store = MemoryStore() if kind == "memory" else LocalStore(Path(folder) / name)
                array = make(store, **keywords)
                array[...] = volume
                if not np.array_equal(array[...], volume):
                    raise SystemExit(f"{name}, {kind}: does not decode to the volume")
                cases[f"{name}, write"] = partial(array.__setitem__, ..., volume)
                cases[f"{name}, read"] = partial(array.__getitem__, ...)
            found[kind] = interleaved(cases, repeats)
    return found


def main() -> None:
    arguments = parser(__doc__).parse_args()
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
    whole = end_to_end(volume[:256, :256, :256], arguments.repeats)
    rows = [
        [f"{kind}, {what}", *map(milliseconds, (ours, default)), f"{default / ours:.2f}"]
        for kind, found in whole.items()
        for what in ("write", "read")
        for ours, default in [(found[f"Crackle, {what}"], found[f"{DEFAULT}, {what}"])]
    ]
    title = f"Zarr, chunks of {EDGE}^3, {CONCURRENCY} at a time, milliseconds"
    show(title, ["", "Crackle", "default (zstd)", "times as fast"], rows)
    save(arguments.json, {"chunk_s": seconds, "zarr_s": whole})


if __name__ == "__main__":
    main()
