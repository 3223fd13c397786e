"""What do the presets cost? Bytes and times of each, beside crackle-codec and zstd as they are by default."""

from __future__ import annotations

from _common import load, parser, save, show, told
from _peers import OURS, crackle_like, measured, table, three

import crackle_zarr


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    peers = three(volume)
    del peers[OURS]
    presets = {
        name: crackle_like(crackle_zarr, volume, **options) for name, options in crackle_zarr.PRESETS.items()
    }
    figures = measured(presets | peers, volume, arguments.repeats)
    print(told(volume, arguments.repeats))
    show("x: how many times as fast as that peer in this run", *table(figures, volume))
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
