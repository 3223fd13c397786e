"""How much faster are two threads? parallel=1 against parallel=2, taking turns."""

from __future__ import annotations

import numpy as np
from _common import interleaved, load, parser, save, show

import crackle_zarr


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    stream = crackle_zarr.compress(volume)
    out = np.zeros_like(volume)
    cases = {}
    for parallel in (1, 2):
        cases[f"compress, {parallel}"] = lambda n=parallel: crackle_zarr.compress(volume, parallel=n)
        cases[f"decompress(out=), {parallel}"] = lambda n=parallel: crackle_zarr.decompress(
            stream, out=out, parallel=n
        )
    seconds = interleaved(cases, arguments.repeats)
    rows = [
        [
            what,
            f"{seconds[f'{what}, 1'] * 1e3:,.0f}",
            f"{seconds[f'{what}, 2'] * 1e3:,.0f}",
            f"{seconds[f'{what}, 1'] / seconds[f'{what}, 2']:.2f}",
        ]
        for what in ("compress", "decompress(out=)")
    ]
    show(f"{volume.shape} {volume.dtype}", ["", "1 thread, ms", "2 threads, ms", "gain"], rows)
    save(arguments.json, seconds)


if __name__ == "__main__":
    main()
