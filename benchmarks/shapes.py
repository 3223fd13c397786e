"""Do dtype, memory order and shape matter? Crops, cubes and thin slices, in Fortran and in C order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from _common import load, machine, parser, save, show
from _peers import OURS, THEIRS, ZSTD, measured, three, times
from _volumes import corner

CROP = (256, 256, 256)
CUBES = (32, 64, 128, 256, 512)
# For a dtype that does not hold all labels, they are taken modulo a prime.
MODULI = {"uint8": 251, "uint16": 65521}
# A volume with fewer voxels than this is measured more often, up to a limit.
VOXELS = 2**22
MOST_REPEATS = 50
DIRECTIONS = ("encode_s", "decode_s")


def tiled(volume: np.ndarray, width: int, depth: int) -> np.ndarray:
    """Square slices of any width, tiled from the last slices of the volume."""
    repeated = np.tile(volume[:, :, -depth:], (*(-(-width // n) for n in volume.shape[:2]), 1))
    return np.asfortranarray(repeated[:width, :width])


def volumes(volume: np.ndarray) -> Iterator[np.ndarray]:
    crop = corner(volume, CROP)
    ranks = np.unique(crop, return_inverse=True)[1].reshape(crop.shape)
    for dtype in ("uint8", "uint16", "uint32", "uint64"):
        yield np.asfortranarray(ranks % MODULI.get(dtype, ranks.size), dtype=dtype)
    for edge in CUBES:
        if edge <= min(volume.shape):
            yield corner(volume, (edge,) * 3)
    for times_as_wide, depth in ((8, 1), (4, 2)):
        yield tiled(volume, times_as_wide * volume.shape[0], depth)


def measure(volume: np.ndarray, repeats: int) -> dict[str, Any]:
    codecs = {}
    for order, ordered in (("F", volume), ("C", np.ascontiguousarray(volume))):
        codecs |= {f"{name}, {order}": codec for name, codec in three(ordered).items()}
    figures = measured(codecs, volume, repeats * min(MOST_REPEATS, max(1, VOXELS // volume.size)))
    return {"voxels": volume.size} | figures


def rows(title: str, case: dict[str, Any]) -> Iterator[list[str]]:
    for order in "FC":
        name = f"{OURS}, {order}"
        yield [
            title,
            order,
            *(f"{case[seconds][name] / case['voxels'] * 1e9:.2f}" for seconds in DIRECTIONS),
            *(f"{case[seconds][name] / case[seconds][f'{OURS}, F']:.2f}" for seconds in DIRECTIONS),
            *(
                times(case[seconds], name, f"{peer}, {order}")
                for peer in (THEIRS, ZSTD)
                for seconds in DIRECTIONS
            ),
        ]


def main() -> None:
    arguments = parser(__doc__).parse_args()
    cases: dict[str, dict[str, Any]] = {}
    for volume in volumes(load(arguments)):
        title = f"{' x '.join(map(str, volume.shape))} {volume.dtype}"
        if title not in cases:
            cases[title] = measure(volume, arguments.repeats)
    print(f"{machine()['cpu']}, one thread, medians of at least {arguments.repeats}")
    columns = ["", "order", "enc ns/vx", "dec ns/vx", "enc, of F", "dec, of F"]
    columns += [f"{direction} x\n{peer}" for peer in (THEIRS, ZSTD) for direction in ("enc", "dec")]
    table = [row for title, case in cases.items() for row in rows(title, case)]
    show("x: the speed as a multiple of that peer's in this run", columns, table)
    save(arguments.json, {"cases": cases})


if __name__ == "__main__":
    main()
