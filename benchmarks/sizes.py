"""How small do the streams get? All pins and many Markov orders, against crackle-codec, zstd 19 and xz."""

from __future__ import annotations

import itertools
import lzma
from functools import cache, partial
from types import ModuleType

import numpy as np
from _common import load, parser, save, show
from _peers import OURS, THEIRS, Codec, crackle_codec, crackle_like, of_bytes, verified
from numcodecs import Zstd
from numcodecs.lzma import LZMA
from tqdm import tqdm

import crackle_zarr

DEFAULT = "default"
OTHERS = "others"
ORDERS = (0, 3, 5, 7, 9)

COMPRESSORS = {"then zstd 19": Zstd(level=19), "then xz": LZMA(preset=9 | lzma.PRESET_EXTREME)}


def settings(most_pins: int) -> dict[str, tuple[int, int]]:
    """The options of each case, by its name."""
    pairs = itertools.product(range(most_pins + 1), ORDERS)
    return {f"pins {pins}, Markov {order}": (pins, order) for pins, order in pairs}


def ours(volume: np.ndarray) -> dict[str, Codec]:
    presets = {name: crackle_like(crackle_zarr, volume, preset=name) for name in crackle_zarr.PRESETS}
    return (
        {DEFAULT: crackle_like(crackle_zarr, volume)}
        | presets
        | {
            name: crackle_like(crackle_zarr, volume, allow_pins=pins, markov_model_order=order)
            for name, (pins, order) in settings(2).items()
        }
    )


def theirs(crackle: ModuleType, volume: np.ndarray, most_pins: int) -> dict[str, Codec]:
    """crackle-codec with all settings.

    It takes long to choose pins, so it chooses them once for all orders. The bytes are those of ``compress``.
    """
    chosen = cache(lambda pins: crackle.compress(volume, allow_pins=pins, parallel=1))
    found = {DEFAULT: crackle_like(crackle, volume)}
    for name, (pins, order) in settings(most_pins).items():
        encode = partial(lambda pins, order: crackle.reencode(chosen(pins), order, parallel=1), pins, order)
        found[name] = Codec(encode, found[DEFAULT].decode)
    return found


def codecs(volume: np.ndarray, slow: bool) -> dict[str, dict[str, Codec]]:
    found = {OURS: ours(volume)}
    if (crackle := crackle_codec()) is not None:
        found[THEIRS] = theirs(crackle, volume, 2 if slow else 1)
    found[OTHERS] = {
        "zstd 19": of_bytes(Zstd(level=19), volume),
        "xz 9, extreme": of_bytes(LZMA(preset=9 | lzma.PRESET_EXTREME), volume),
    }
    return found


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--slow", action="store_true", help="also crackle-codec's pins 2, which take long")
    arguments = command.parse_args()
    volume = load(arguments)
    all_codecs = codecs(volume, arguments.slow)
    cases = [(package, name) for package, found in all_codecs.items() for name in found]
    sizes: dict[str, dict[str, int]] = {package: {} for package in all_codecs}
    with tqdm(cases) as progress:
        for package, name in progress:
            progress.set_description(f"{package}, {name}")
            stream = verified({name: all_codecs[package][name]}, volume)[name]
            sizes[package][name] = len(stream)
            if package != OTHERS:
                for then, compressor in COMPRESSORS.items():
                    sizes[package][f"{name}, {then}"] = len(compressor.encode(stream))

    smallest = {package: min(found, key=found.__getitem__) for package, found in sizes.items()}
    best = {package: {"by": name, "bytes": sizes[package][name]} for package, name in smallest.items()}
    peers = sizes.get(THEIRS, {})
    rows = [
        [
            package if name == next(iter(found)) else "",
            name + (", the smallest" if name == smallest[package] else ""),
            f"{nbytes:,}",
            f"{volume.nbytes / nbytes:.1f}",
            f"{nbytes / peers[name]:.3f}" if package == OURS and name in peers else "",
        ]
        for package, found in sizes.items()
        for name, nbytes in found.items()
    ]
    show(f"{volume.shape} {volume.dtype}", ["", "", "bytes", "ratio", f"of {THEIRS}'s"], rows)
    if THEIRS in sizes:
        print(f"default: {sizes[OURS][DEFAULT] / sizes[THEIRS][DEFAULT]:.3f} of {THEIRS}'s")
        print(f"the smallest: {best[OURS]['bytes'] / best[THEIRS]['bytes']:.3f} of {THEIRS}'s smallest")
    save(arguments.json, {"bytes": sizes, "smallest": best})


if __name__ == "__main__":
    main()
