"""Which aims are met? Reads the figures that the other scripts saved as JSON, and measures nothing."""

from __future__ import annotations

import argparse
import json
import operator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

COMPARED = {
    "at least": operator.ge,
    "more than": operator.gt,
    "at most": operator.le,
    "less than": operator.lt,
}
MILLISECOND = 1e-3


class Aim(NamedTuple):
    """A quotient of two figures. Each is a path: the script, then the keys of its results."""

    what: str
    wanted: str
    numerator: str
    denominator: str | float


def faster(what: str, wanted: str, table: str, ours: str, peer: str) -> Aim:
    return Aim(f"{what}, times as fast as {peer}", wanted, f"{table}/{peer}", f"{table}/{ours}")


def both_directions(what: str, wanted: str, script: str, ours: str, peer: str) -> list[Aim]:
    return [
        faster(f"compress{what}", wanted, f"{script}/encode_s", ours, peer),
        faster(f"decompress{what}", wanted, f"{script}/decode_s", ours, peer),
    ]


def through_zarr(store: str) -> list[Aim]:
    return [
        Aim(
            f"chunks of 64^3, {store}: {action}, times as fast as Zarr's default",
            "more than 1",
            f"chunks/zarr_s/{store}/Zarr's default, {action}",
            f"chunks/zarr_s/{store}/Crackle, {action}",
        )
        for action in ("read", "write")
    ]


def c_order(shape: str) -> list[Aim]:
    return [
        Aim(
            f"{function} C order, {shape}, times as long as F order",
            "at most 1.25",
            f"shapes/cases/{shape} uint32/{seconds}/crackle_zarr, C",
            f"shapes/cases/{shape} uint32/{seconds}/crackle_zarr, F",
        )
        for function, seconds in (("compress", "encode_s"), ("decompress", "decode_s"))
    ]


def one_slice(stored: str) -> Aim:
    figure = f"slice/seconds/{stored}/crackle_zarr, CrackleArray/median_s"
    return Aim(f"one z-slice, {stored}, ms", "less than 1.5", figure, MILLISECOND)


def two_threads(what: str) -> Aim:
    return Aim(
        f"{what}, two threads, times as fast as one",
        "at least 1.8",
        f"threads/{what}, 1",
        f"threads/{what}, 2",
    )


AIMS = [
    faster("compress", "at least 5", "codec/encode_s", "crackle_zarr", "crackle-codec"),
    faster("compress", "more than 1", "codec/encode_s", "crackle_zarr", "zstd 3"),
    faster("decompress", "at least 4", "codec/decode_s", "crackle_zarr", "crackle-codec"),
    faster("decompress", "at least 2.5", "codec/decode_s", "crackle_zarr", "zstd 3"),
    faster("decompress", "more than 1", "codec/decode_s", "crackle_zarr", "compressed_segmentation"),
    Aim(
        "decompress, fills of a fresh array",
        "at most 2",
        "codec/decode_s/crackle_zarr",
        "codec/references_s/filling a fresh array",
    ),
    Aim(
        "decompress(out=), times as fast as crackle-codec",
        "at least 5",
        "codec/decode_s/crackle-codec",
        "codec/references_s/decompress(out=) into a warm array",
    ),
    *both_directions(
        " with Markov 5", "at least 3", "codec", "crackle_zarr, Markov 5", "crackle-codec, Markov 5"
    ),
    faster(
        "compress with pins 1",
        "at least 20",
        "codec/encode_s",
        "crackle_zarr, pins 1",
        "crackle-codec, pins 1",
    ),
    Aim(
        "bytes with pins 1, of crackle-codec's",
        "at most 1",
        "codec/bytes/crackle_zarr, pins 1",
        "codec/bytes/crackle-codec, pins 1",
    ),
    *both_directions(" noise", "at least 3", "hard/noise", "crackle_zarr", "crackle-codec"),
    *both_directions(" supervoxels", "at least 3", "hard/oversegmented", "crackle_zarr", "crackle-codec"),
    *map(one_slice, ("flat", "Markov 5", "pins 1")),
    *through_zarr("memory"),
    *through_zarr("directory"),
    Aim(
        "smallest bytes, of crackle-codec's",
        "at most 0.9",
        "sizes/smallest/crackle_zarr/bytes",
        "sizes/smallest/crackle-codec/bytes",
    ),
    Aim(
        "default bytes, of crackle-codec's",
        "at most 0.9",
        "sizes/bytes/crackle_zarr/default",
        "sizes/bytes/crackle-codec/default",
    ),
    *c_order("512 x 512 x 512"),
    *c_order("4096 x 4096 x 1"),
    *c_order("2048 x 2048 x 2"),
    two_threads("compress"),
    two_threads("decompress(out=)"),
]


def results(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text())["results"] for path in folder.glob("*.json")}


def measured(found: dict[str, Any], aim: Aim) -> float | None:
    """The quotient of an aim; None if one of its figures is missing."""
    try:
        numerator, denominator = (
            reduce(operator.getitem, path.split("/"), found) if isinstance(path, str) else path
            for path in (aim.numerator, aim.denominator)
        )
    except KeyError:
        return None
    return numerator / denominator


def row(aim: Aim, value: float | None) -> str:
    if value is None:
        return f"| {aim.what} | {aim.wanted} | not measured | |"
    comparison, _, number = aim.wanted.rpartition(" ")
    verdict = "met" if COMPARED[comparison](value, float(number)) else "missed"
    return f"| {aim.what} | {aim.wanted} | {value:.2f} | {verdict} |"


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="DIR",
        help="the folder of the JSON files, each named for its script (default: results, beside this script)",
    )
    found = results(command.parse_args().results)
    print("| aim | wanted | measured | |\n|---|---|---|---|")
    for aim in AIMS:
        print(row(aim, measured(found, aim)))


if __name__ == "__main__":
    main()
