"""How large and how fast, against the peers? One thread each, one run, every peer verified."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _common import interleaved, load, machine, parser, save, show
from numcodecs import GZip, Zstd, blosc

import crackle_zarr


@dataclass
class Peer:
    encode: Callable[[], bytes]
    decode: Callable[[bytes], np.ndarray]
    slow: bool = False  # once is enough


def crackle_options(pins: int, order: int) -> dict[str, int]:
    return {"allow_pins": pins, "markov_model_order": order, "parallel": 1}


def ours(volume: np.ndarray, pins: int = 0, order: int = 0) -> Peer:
    return Peer(
        lambda: crackle_zarr.compress(volume, **crackle_options(pins, order)),
        lambda stream: crackle_zarr.decompress(stream, parallel=1),
    )


def peers(volume: np.ndarray, slow: bool) -> dict[str, Peer]:
    flat = volume.T  # C order over the same memory

    def bytes_codec(codec: object) -> Peer:
        return Peer(
            lambda: codec.encode(flat),
            lambda stream: np.frombuffer(codec.decode(stream), volume.dtype).reshape(flat.shape).T,
            slow=isinstance(codec, GZip),
        )

    found = {
        "crackle_zarr": ours(volume),
        "crackle_zarr, Markov 5": ours(volume, order=5),
        "crackle_zarr, pins 1": ours(volume, pins=1),
        "crackle_zarr, pins 2": ours(volume, pins=2),
        "crackle_zarr, pins 1, Markov 5": ours(volume, pins=1, order=5),
    }
    try:
        crackle = importlib.import_module("crackle")

        def theirs(pins: int, order: int) -> Peer:
            return Peer(
                lambda: crackle.compress(volume, **crackle_options(pins, order)),
                lambda stream: crackle.decompress(stream, parallel=1),
                slow=pins > 0,
            )

        found["crackle-codec"] = theirs(0, 0)
        found["crackle-codec, Markov 5"] = theirs(0, 5)
        if slow:
            found["crackle-codec, pins 1"] = theirs(1, 0)
    except ImportError:
        print("crackle-codec: not installed")
    found["zstd 3"] = bytes_codec(Zstd(level=3))
    blosc.use_threads = False  # in the calling thread, as everyone
    found["blosc-zstd 5, shuffle"] = bytes_codec(blosc.Blosc("zstd", 5, blosc.SHUFFLE))
    found["gzip 5"] = bytes_codec(GZip(5))
    try:
        compresso = importlib.import_module("compresso")
        found["compresso"] = Peer(lambda: compresso.compress(volume), lambda s: compresso.decompress(s))
    except ImportError:
        print("compresso: not installed")
    try:
        segmentation = importlib.import_module("compressed_segmentation")
        block = (8, 8, 8)
        found["compressed_segmentation"] = Peer(
            lambda: segmentation.compress(volume, block_size=block, order="F"),
            lambda s: segmentation.decompress(s, volume.shape, volume.dtype, block_size=block, order="F"),
        )
    except ImportError:
        print("compressed_segmentation: not installed")
    return found


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--slow", action="store_true", help="also crackle-codec's pins, which take a minute")
    arguments = made.parse_args()
    volume = load(arguments)
    everyone = peers(volume, arguments.slow)
    streams, encode, decode = {}, {}, {}
    once = {name: peer for name, peer in everyone.items() if peer.slow}
    for name, peer in list(everyone.items()):
        streams[name] = peer.encode()
        if not np.array_equal(np.asarray(peer.decode(streams[name])).reshape(volume.shape), volume):
            raise SystemExit(f"{name} does not give the volume back")
    for group, repeats in (
        ({n: p for n, p in everyone.items() if n not in once}, arguments.repeats),
        (once, 1),
    ):
        encode |= interleaved({name: peer.encode for name, peer in group.items()}, repeats)
        decode |= interleaved(
            {name: (lambda peer=peer, name=name: peer.decode(streams[name])) for name, peer in group.items()},
            repeats,
        )
    warm = np.zeros_like(volume)
    references = interleaved(
        {
            "decompress(out=) into a warm array": lambda: crackle_zarr.decompress(
                streams["crackle_zarr"], out=warm, parallel=1
            ),
            "filling a fresh array": lambda: np.full(volume.shape, 7, volume.dtype, order="F"),
            "copying to a warm array": lambda: np.copyto(warm, volume),
        },
        arguments.repeats,
    )

    baseline = next(name for name in ("crackle-codec", "zstd 3") if name in everyone)
    rows = []
    for name in everyone:
        rows.append(
            [
                name,
                f"{len(streams[name]):,}",
                f"{volume.nbytes / len(streams[name]):.1f}",
                f"{encode[name] * 1e3:,.0f}",
                f"{decode[name] * 1e3:,.0f}",
                f"{volume.size / encode[name] / 1e6:,.0f}",
                f"{volume.size / decode[name] / 1e6:,.0f}",
                f"{encode[baseline] / encode[name]:.2f}",
                f"{decode[baseline] / decode[name]:.2f}",
                f"{encode['zstd 3'] / encode[name]:.2f}",
                f"{decode['zstd 3'] / decode[name]:.2f}",
            ]
        )
    columns = ["", "bytes", "ratio", "enc ms", "dec ms", "enc MVx/s", "dec MVx/s"]
    columns += [f"enc x {baseline}", f"dec x {baseline}", "enc x zstd 3", "dec x zstd 3"]
    print(f"{volume.shape} {volume.dtype}, {machine()['cpu']}, one thread, medians of {arguments.repeats}")
    show("x: how many times as fast as that peer in this run", columns, rows)
    show(
        "For comparison",
        ["", "ms"],
        [[name, f"{seconds * 1e3:,.0f}"] for name, seconds in references.items()],
    )
    sizes = {name: len(stream) for name, stream in streams.items()}
    save(arguments, {"bytes": sizes, "encode_s": encode, "decode_s": decode, "references_s": references})


if __name__ == "__main__":
    main()
