"""Are some volumes much slower? Noise and an oversegmented volume, against crackle-codec and zstd."""

from __future__ import annotations

from _common import describe_run, load, parser, save, show
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
        print(f"{describe_run(volume, arguments.repeats)}, {labels:,} labels")
        show(f"{name}; x: the speed as a multiple of that peer's in this run", *table(figures, volume))
    save(arguments.json, results)


if __name__ == "__main__":
    main()
