"""What does a chunk of 64^3 cost, through numcodecs beyond the C call, and through Zarr end to end?"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from _common import interleaved, load, parser, save, show

import crackle_zarr
from crackle_zarr import _binding
from crackle_zarr._crackle import ffi, lib


def of_c(chunk: np.ndarray, stream: bytes, repeats: int) -> dict[str, float]:
    """Seconds of the C calls alone, and of the codec's calls, on the same chunk."""
    codec = crackle_zarr.Crackle()
    out = np.empty_like(chunk)
    options = ffi.new("struct crackle_options *", {"format_version": 1})
    where = ffi.new("struct crackle_where *")
    parts = ffi.new("struct crackle_parts *")
    data = ffi.from_buffer("uint8_t[]", stream)
    lib.crackle_split(data, len(data), parts, where)

    with _binding._Volume(chunk.T) as source, _binding._Volume(out.T, writable=True) as target:

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


def end_to_end(volume: np.ndarray, repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name in ("Crackle", "Zarr's default"):
            with tempfile.TemporaryDirectory() as folder:
                keywords = {"shape": volume.shape, "dtype": volume.dtype, "chunks": (64, 64, 64)}
                make = crackle_zarr.create_array if name == "Crackle" else zarr.create_array
                array = make(str(Path(folder) / "array.zarr"), **keywords)
                start = time.perf_counter()
                array[...] = volume
                written = time.perf_counter()
                read = array[...]
                end = time.perf_counter()
                assert np.array_equal(read, volume)
                seconds.setdefault(f"{name}, write", []).append(written - start)
                seconds.setdefault(f"{name}, read", []).append(end - written)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = np.ascontiguousarray(load(arguments).T)
    middle = [max(0, n // 2 - 32) for n in volume.shape]
    chunk = np.ascontiguousarray(volume[tuple(slice(m, m + 64) for m in middle)])
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
    show(f"A chunk of {chunk.shape} {chunk.dtype}, microseconds", ["", "C alone", "in all", "beyond"], rows)
    whole = end_to_end(volume[:256, :256, :256], arguments.repeats)
    rows = [
        [
            what,
            f"{whole[f'Crackle, {what}'] * 1e3:,.0f}",
            f"{whole[f'Zarr{chr(39)}s default, {what}'] * 1e3:,.0f}",
            f"{whole[f'Zarr{chr(39)}s default, {what}'] / whole[f'Crackle, {what}']:.2f}",
        ]
        for what in ("write", "read")
    ]
    show("Zarr, chunks of 64^3, milliseconds", ["", "Crackle", "default (zstd)", "times as fast"], rows)
    save(arguments, {"chunk_s": seconds, "zarr_s": whole})


if __name__ == "__main__":
    main()
