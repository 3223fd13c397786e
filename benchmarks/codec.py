"""How large are the streams, and how fast is the codec, against its peers? One thread each, one run."""

from __future__ import annotations

import numpy as np
from _common import describe_run, load, milliseconds, parser, save, show
from _peers import (
    OURS,
    THEIRS,
    ZSTD,
    Codec,
    crackle_codec,
    crackle_like,
    of_bytes,
    optional,
    table,
    three,
    timed,
    times,
    verified,
)
from numcodecs import GZip, blosc

import crackle_zarr

OPTIONS = {
    "Markov 5": {"allow_pins": 0, "markov_model_order": 5},
    "pins 1": {"allow_pins": 1, "markov_model_order": 0},
    "pins 2": {"allow_pins": 2, "markov_model_order": 0},
    "pins 1, Markov 5": {"allow_pins": 1, "markov_model_order": 5},
}
WARM = "decompress(out=) into a warm array"
FILL = "filling a fresh array"


def codecs(volume: np.ndarray, slow: bool) -> dict[str, Codec]:
    found = three(volume)
    for name, options in OPTIONS.items():
        found[f"{OURS}, {name}"] = crackle_like(crackle_zarr, volume, **options)
    if (crackle := crackle_codec()) is not None:
        found[f"{THEIRS}, Markov 5"] = crackle_like(crackle, volume, **OPTIONS["Markov 5"])
        if slow:
            found[f"{THEIRS}, pins 1"] = crackle_like(crackle, volume, slow=True, **OPTIONS["pins 1"])
    blosc.use_threads = False  # in the calling thread, like all others
    found["blosc-zstd 5, shuffle"] = of_bytes(blosc.Blosc("zstd", 5, blosc.SHUFFLE), volume)
    found["gzip 5"] = of_bytes(GZip(5), volume, slow=True)
    if (compresso := optional("compresso", "compresso")) is not None:
        found["compresso"] = Codec(lambda: compresso.compress(volume), compresso.decompress)
    if (segmentation := optional("compressed_segmentation", "compressed_segmentation")) is not None:
        block = (8, 8, 8)
        found["compressed_segmentation"] = Codec(
            lambda: segmentation.compress(volume, block_size=block, order="F"),
            lambda s: segmentation.decompress(s, volume.shape, volume.dtype, block_size=block, order="F"),
        )
    # Ours first, then theirs.
    return dict(sorted(found.items(), key=lambda item: [not item[0].startswith(n) for n in (OURS, THEIRS)]))


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--slow", action="store_true", help="also crackle-codec's pins, which take a minute")
    arguments = command.parse_args()
    volume = load(arguments)
    all_codecs = codecs(volume, arguments.slow)
    streams = verified(all_codecs, volume)
    warm = np.zeros_like(volume)
    references = {
        WARM: lambda: crackle_zarr.decompress(streams[OURS], out=warm, parallel=1),
        FILL: lambda: np.full(volume.shape, 7, volume.dtype, order="F"),
        "copying to a warm array": lambda: np.copyto(warm, volume),
    }
    figures = timed(all_codecs, streams, volume.nbytes, arguments.repeats, beside=references)
    seconds = dict(figures["decode_s"])
    figures["references_s"] = {name: figures["decode_s"].pop(name) for name in references}

    print(describe_run(volume, arguments.repeats))
    show("x: the speed as a multiple of that peer's in this run", *table(figures, volume))
    rows = [
        [
            name if name != OURS else "decompress into a fresh array",
            milliseconds(seconds[name]),
            times(seconds, name, THEIRS),
            times(seconds, name, ZSTD),
            f"{seconds[name] / seconds[FILL]:.2f}",
        ]
        for name in (OURS, *references)
    ]
    show(
        "Decoding, and plain memory operations",
        ["", "ms", f"x {THEIRS}", f"x {ZSTD}", "fills of a fresh array"],
        rows,
    )
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
