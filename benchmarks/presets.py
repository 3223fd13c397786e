"""How large and how fast is each preset? Against crackle-codec and zstd with their default options."""

from __future__ import annotations

from _common import describe_run, load, parser, save, show
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
    print(describe_run(volume, arguments.repeats))
    show("x: the speed as a multiple of that peer's in this run", *table(figures, volume))
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
