"""How small does it get? All pins and many Markov orders, against crackle-codec, zstd 19 and xz."""

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
PINS = (0, 1, 2)
ORDERS = (0, 3, 5, 7, 9)


SETTINGS = {f"pins {pins}, Markov {order}": (pins, order) for pins, order in itertools.product(PINS, ORDERS)}


def ours(volume: np.ndarray) -> dict[str, Codec]:
    return {DEFAULT: crackle_like(crackle_zarr, volume)} | {
        name: crackle_like(crackle_zarr, volume, allow_pins=pins, markov_model_order=order)
        for name, (pins, order) in SETTINGS.items()
    }


def theirs(crackle: ModuleType, volume: np.ndarray) -> dict[str, Codec]:
    """Pins take minutes, so they are chosen once for all orders: the bytes are those of compress."""
    chosen = cache(lambda pins: crackle.compress(volume, allow_pins=pins, parallel=1))
    found = {DEFAULT: crackle_like(crackle, volume)}
    for name, (pins, order) in SETTINGS.items():
        encode = partial(lambda pins, order: crackle.reencode(chosen(pins), order, parallel=1), pins, order)
        found[name] = Codec(encode, found[DEFAULT].decode)
    return found


def codecs(volume: np.ndarray) -> dict[str, dict[str, Codec]]:
    found = {OURS: ours(volume)}
    if (crackle := crackle_codec()) is not None:
        found[THEIRS] = theirs(crackle, volume)
    found["others"] = {
        "zstd 19": of_bytes(Zstd(level=19), volume),
        "xz 9, extreme": of_bytes(LZMA(preset=9 | lzma.PRESET_EXTREME), volume),
    }
    return found


def main() -> None:
    arguments = parser(__doc__).parse_args()
    volume = load(arguments)
    everyone = codecs(volume)
    cases = [(package, name) for package, found in everyone.items() for name in found]
    sizes: dict[str, dict[str, int]] = {package: {} for package in everyone}
    with tqdm(cases) as progress:
        for package, name in progress:
            progress.set_description(f"{package}, {name}")
            stream = verified({name: everyone[package][name]}, volume)[name]
            sizes[package][name] = len(stream)

    smallest = {package: min(found, key=found.__getitem__) for package, found in sizes.items()}
    best = {package: {"by": name, "bytes": sizes[package][name]} for package, name in smallest.items()}
    rows = [
        [
            package if name == next(iter(found)) else "",
            name + (", the smallest" if name == smallest[package] else ""),
            f"{nbytes:,}",
            f"{volume.nbytes / nbytes:.1f}",
            f"{nbytes / sizes[THEIRS][name]:.3f}" if package == OURS and THEIRS in sizes else "",
        ]
        for package, found in sizes.items()
        for name, nbytes in found.items()
    ]
    show(f"{volume.shape} {volume.dtype}", ["", "", "bytes", "ratio", f"of {THEIRS}'s"], rows)
    if THEIRS in sizes:
        print(f"default: {sizes[OURS][DEFAULT] / sizes[THEIRS][DEFAULT]:.3f} of {THEIRS}'s")
        print(f"the smallest: {best[OURS]['bytes'] / best[THEIRS]['bytes']:.3f} of {THEIRS}'s smallest")
    save(arguments, {"bytes": sizes, "smallest": best})


if __name__ == "__main__":
    main()
