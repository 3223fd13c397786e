"""Is there a cliff? Noise and an oversegmented volume, against crackle-codec and zstd."""

from __future__ import annotations

from _common import load, parser, save, show, told
from _peers import OURS, measured, table, three
from _volumes import SMALL, noise, oversegmented

import crackle_zarr


def main() -> None:
    arguments = parser(__doc__).parse_args()
    given = load(arguments)
    volumes = {
        "noise": lambda: noise(tuple(map(min, given.shape, SMALL))),
        "oversegmented": lambda: oversegmented(given),
    }
    results = {}
    for name, make in volumes.items():
        volume = make()
        codecs = three(volume)
        figures = measured(codecs, volume, arguments.repeats)
        labels = crackle_zarr.num_labels(codecs[OURS].encode())
        results[name] = {"shape": volume.shape, "labels": labels} | figures
        print(f"{told(volume, arguments.repeats)}, {labels:,} labels")
        show(f"{name}; x: how many times as fast as that peer in this run", *table(figures, volume))
    save(arguments.json, results)


if __name__ == "__main__":
    main()
