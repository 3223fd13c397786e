"""What becomes of damaged streams: how many are caught, harmless, wrong and silent, and what they cost.

Sound streams of many kinds are damaged at random, as disks, networks and half-finished writes do it, and
decoded in a child process, which may map 1 GiB more than it has and take 2 seconds for each. A child that
dies or takes longer is replaced. Every case is made from the seed and its number alone, so each can be
looked at again.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import _common
import numpy as np
import reference_writer
from reference_writer import Style
from tqdm import tqdm
from volumes import VOLUMES, cells, noise, stairs

import crackle_zarr as cz
from crackle_zarr.synthetic import neurons

EXAMPLES = """
Verdicts:
  caught            it raised FormatError
  harmless          shape, dtype and voxels are right
  wrong and silent  something else came out
  crash             the child process died
  other error       it raised something else
  over 2 s          twice, the second time in a fresh child
  over 1 GiB        it raised MemoryError

Version 1 has checksums, so the last five have to be 0. Version 0 has none: what is wrong then is silent, but
there must be no crash.

Examples:
  python corruption.py --cases 2000                     a look, within seconds
  python corruption.py --peer 20000 --json out.json     all of it, and crackle-codec on the first 20,000 cases
  python corruption.py --only 4711                      one case: what it is, and what becomes of it
  python corruption.py --only 4711 --write damaged.ckl  and its bytes
"""

VERDICTS = [
    "caught",
    "harmless",
    "wrong and silent",
    "crash",
    "other error",
    "over 2 s",
    "over 1 GiB",
]
DAMAGES = ["bit flips", "header bit flips", "zeroed run", "truncation", "splice"]

# In most streams the header is a small target, and what it claims decides how much is allocated.
HEADER_NBYTES = {0: 24, 1: 29}

MOST_SECONDS = 2.0
MOST_BYTES = 2**30

# crackle-codec's decompress() does not look at the checksums of slices; its codec.ok() does.
OURS, PEER, PEER_CHECKED = "crackle_zarr", "crackle-codec", "crackle-codec, ok() first"

Array = np.ndarray[Any, Any]


# ---------------------------------------------------------------------------------------
# Sound streams


@dataclass(frozen=True)
class Original:
    kind: str
    name: str
    version: int
    volume: Array
    stream: bytes


# What our encoder writes: pins and Markov order.
WRITTEN = {
    "flat": (0, 0),
    "pins 1": (1, 0),
    "pins 2": (2, 0),
    "Markov 5": (0, 5),
    "Markov 5, pins 1": (1, 5),
}

# What the format allows besides, written by the reference implementation of the tests.
CRAFTED = {
    "wild chains": Style(),
    "permissible": Style(permissible=True, wild=False),
    "unsorted": Style(unsorted=True, unused=True, wild=False),
    "wide pins": Style(pins=True, pin_widths=(8, 4, 8), wild=False),
    "Markov 2, pins": Style(pins=True, markov_order=2, wild=False),
    "Markov 4": Style(markov_order=4, wild=False),
}


@cache
def volumes() -> dict[str, Array]:
    """From a single voxel to two millions, of every width, with few and with many boundaries."""
    some = ["balls", "rings", "checkerboard", "constant", "columns", "nested holes", "diagonals"]
    some += ["negative, wide", "past 2^63", "plane of z = 1", "single voxel", "noise of 2000"]
    return {
        **{name: VOLUMES[name]() for name in some},
        "cells": cells(),
        "fine cells": cells((70, 60, 8), 300, "u2"),
        "noise": noise(9, (40, 37, 4), "u1"),
        "stairs": stairs(),
        "neurons": neurons((24, 96, 96), seed=1).T,
        "neurons, C order": neurons((16, 64, 64), seed=2, dtype=np.uint32),
        "neurons, wide": neurons((8, 520, 500), seed=3, dtype=np.uint16).T,
    }


def originals() -> list[Original]:
    """Every volume in every kind of stream; the same ones in every run."""
    made: list[Original] = []
    for name, volume in volumes().items():
        for kind, (pins, order) in WRITTEN.items():
            for version in (0, 1):
                stream = cz.compress(volume, pins, order, format_version=version, parallel=1)
                if cz.header(stream).markov_model_order == order:  # else the model did not pay
                    made.append(Original(kind, name, version, volume, stream))
        for version in (0, 1):
            stream = cz.compress(volume, version, 0, format_version=version, parallel=1)
            made.append(unsorted(name, version, stream))
    small = {
        "cells": cells((9, 8, 5), 12),
        "noise": noise(3, (7, 6, 4), "u1"),
        **{"constant": VOLUMES["constant"]()},
    }
    for name, volume in small.items():
        for about, style in CRAFTED.items():
            for version in (0, 1):
                exact = Style(**{**vars(style), "format_version": version})
                stream = reference_writer.craft(volume, exact, random.Random(f"{name} {about}"))
                made.append(Original("crafted", f"{name}, {about}", version, volume, stream))
    return made + theirs()


def unsorted(name: str, version: int, stream: bytes) -> Original:
    """A stream relabelled in place: its table is not sorted, and two of its labels have become one."""
    labels = cz.labels(stream).tolist()
    mapping = dict(zip(labels, [*labels[2:], *labels[:2]], strict=True))
    mapping[labels[0]] = labels[-1]
    binary = bytearray(stream)
    cz.remap(binary, mapping, in_place=True)
    return Original("relabelled", name, version, cz.decompress(binary), bytes(binary))


def theirs() -> list[Original]:
    """Streams that crackle-codec writes, where it is there; of unsigned labels, as it takes no others."""
    try:
        import crackle
    except ImportError:
        return []
    return [
        Original(
            "crackle-codec's",
            f"{name}, pins {pins}, Markov {order}",
            1,
            volume,
            bytes(crackle.compress(volume, allow_pins=pins, markov_model_order=order, parallel=1)),
        )
        for name, volume in volumes().items()
        if volume.dtype.kind == "u" and volume.size < 100_000
        for pins, order in ((0, 0), (1, 0), (0, 5))
    ]


# ---------------------------------------------------------------------------------------
# Accidents


class Case(NamedTuple):
    original: Original
    damage: str
    about: str
    stream: bytes


class Cases:
    """The cases of a seed, by their numbers."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._originals = originals()
        self._sound = {original.stream for original in self._originals}
        self._kinds: dict[int, dict[str, list[Original]]] = {0: {}, 1: {}}
        for original in self._originals:
            self._kinds[original.version].setdefault(original.kind, []).append(original)

    def __getitem__(self, number: int) -> Case:
        """A case; half of all are of version 0, and within a version every kind is as frequent."""
        rng = random.Random(f"{self._seed} {number}")
        kinds = self._kinds[rng.randrange(2)]
        original = rng.choice(kinds[rng.choice(list(kinds))])
        damage = rng.choice(DAMAGES)
        while True:
            about, stream = self._damaged(rng, original, damage)
            if stream not in self._sound:  # an accident that changes nothing, or swaps whole streams, is none
                return Case(original, damage, about, stream)

    def _damaged(self, rng: random.Random, original: Original, damage: str) -> tuple[str, bytes]:
        stream = bytearray(original.stream)
        if damage in ("bit flips", "header bit flips"):
            nbytes = len(stream) if damage == "bit flips" else HEADER_NBYTES[original.version]
            bits = rng.sample(range(8 * nbytes), rng.randint(1, 8))
            for bit in bits:
                stream[bit // 8] ^= 1 << bit % 8
            return f"bits {sorted(bits)} flipped", bytes(stream)
        if damage == "zeroed run":
            length = _length(rng, len(stream))
            at = rng.randrange(len(stream) - length + 1)
            stream[at : at + length] = bytes(length)
            return f"bytes [{at}, {at + length}) zeroed", bytes(stream)
        if damage == "truncation":
            length = rng.randrange(len(stream))
            return f"cut to {length} of {len(stream)} bytes", bytes(stream[:length])
        other = original if rng.random() < 0.5 else rng.choice(self._originals)
        how = rng.choice(["over", "in", "from there on"])
        if how == "from there on":  # as if a write had stopped half-way
            at = rng.randrange(1, len(stream))
            begin, end, until = at, len(other.stream), len(stream)
            if other is original:
                begin = rng.randrange(len(stream))
        else:
            length = _length(rng, min(len(stream), len(other.stream)))
            begin = rng.randrange(len(other.stream) - length + 1)
            at = rng.randrange(len(stream) - length + 1)
            end, until = begin + length, at + (length if how == "over" else 0)
        stream[at:until] = other.stream[begin:end]
        source = "itself" if other is original else f"{other.kind} {other.name} v{other.version}"
        return f"bytes [{begin}, {end}) of {source} put {how} at {at}", bytes(stream)


def _length(rng: random.Random, most: int) -> int:
    """How long a run is: short ones are as likely as long ones."""
    return min(most, int(2 ** rng.uniform(0, math.log2(most + 1))))


# ---------------------------------------------------------------------------------------
# Children


class Verdict(NamedTuple):
    verdict: str
    about: str
    seconds: float


def _ours(stream: bytes) -> Array:
    return cz.decompress(stream, parallel=1)


@cache
def _decoder(library: str) -> tuple[Callable[[bytes], Array], tuple[type[Exception], ...]]:
    """A library's decoder, and the exceptions by which it says that a stream is not sound."""
    if library == OURS:
        return _ours, (cz.FormatError,)
    import crackle

    def theirs(stream: bytes) -> Array:
        if library == PEER_CHECKED and not crackle.codec.ok(stream):
            raise crackle.FormatError("ok() says no")
        return crackle.decompress(stream, parallel=1)

    return theirs, (crackle.FormatError, RuntimeError)  # the latter from its C++ side


def judge(library: str, case: Case) -> Verdict:
    """Decode a case, and compare."""
    decode, refusals = _decoder(library)
    start = time.perf_counter()
    try:
        voxels = decode(case.stream)
    except MemoryError as error:
        verdict, about = "over 1 GiB", str(error)
    except refusals as error:
        verdict, about = "caught", str(error)
    except Exception as error:
        verdict, about = "other error", f"{type(error).__name__}: {error}"
    else:
        expected = case.original.volume
        verdict, about = "harmless", ""
        if (voxels.shape, voxels.dtype) != (expected.shape, expected.dtype):
            verdict, about = "wrong and silent", f"shape {voxels.shape}, dtype {voxels.dtype}"
        elif not np.array_equal(voxels, expected):
            verdict, about = "wrong and silent", f"{np.count_nonzero(voxels != expected)} voxels differ"
    return Verdict(verdict, about, time.perf_counter() - start)


def _live(library: str, cases: Cases, pipe: multiprocessing.connection.Connection) -> None:
    """What a child does: judge the cases whose numbers come through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # a library may print, and a C++ one says why it aborts
        os.dup2(nowhere, stream)
    most = _common.memory("VmSize") + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parent = os.getppid()
    while os.getppid() == parent:
        if pipe.poll(1.0):
            pipe.send(judge(library, cases[pipe.recv()]))


class Child:
    """A process that judges, forked from this one: it has the originals, and starts within milliseconds."""

    def __init__(self, library: str, cases: Cases) -> None:
        _decoder(library)
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=_live, args=(library, cases, other), daemon=True)
        self._process.start()
        other.close()
        self.number: int | None = None
        self.deadline = math.inf

    def give(self, number: int) -> None:
        self.number = number
        self.deadline = time.monotonic() + MOST_SECONDS
        self.pipe.send(number)

    def take(self) -> Verdict:
        """The verdict that has come; the end of the pipe is the child's."""
        try:
            verdict: Verdict = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode or 0
            what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Verdict("crash", what, 0.0)
        self.number, self.deadline = None, math.inf
        return verdict

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def judged(library: str, cases: Cases, numbers: Iterator[int], workers: int) -> Iterator[tuple[int, Verdict]]:
    """The verdicts of some cases, as they come."""
    children = [Child(library, cases) for _ in range(workers)]
    again: list[int] = []  # cases that took too long once: the machine may have been busy
    slow: set[int] = set()
    try:
        while True:
            for child in children:
                if child.number is None:
                    number = again.pop() if again else next(numbers, None)
                    if number is not None:
                        child.give(number)
            busy = [child for child in children if child.number is not None]
            if not busy:
                return
            left = min(child.deadline for child in busy) - time.monotonic()
            ready = multiprocessing.connection.wait([child.pipe for child in busy], max(0.0, left))
            for child in busy:
                number = child.number
                assert number is not None
                if child.pipe in ready:
                    verdict = child.take()
                elif child.deadline > time.monotonic():
                    continue
                elif number in slow:
                    verdict = Verdict("over 2 s", "killed", MOST_SECONDS)
                else:
                    slow.add(number)
                    again.append(number)
                    verdict = None
                if child.number is not None:  # it died, or is to
                    child.kill()
                    children[children.index(child)] = Child(library, cases)
                if verdict is not None:
                    yield number, verdict
    finally:
        for child in children:
            child.kill()


# ---------------------------------------------------------------------------------------
# Results


@dataclass
class Tally:
    """The verdicts of a library on the streams of a version."""

    verdicts: Counter[str] = field(default_factory=Counter)
    by_damage: dict[str, Counter[str]] = field(default_factory=dict)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    slowest: float = 0.0
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def add(self, number: int, case: Case, verdict: Verdict) -> None:
        self.verdicts[verdict.verdict] += 1
        self.by_damage.setdefault(case.damage, Counter())[verdict.verdict] += 1
        self.by_kind.setdefault(case.original.kind, Counter())[verdict.verdict] += 1
        self.slowest = max(self.slowest, verdict.seconds)
        if verdict.verdict not in ("caught", "harmless"):
            self.numbers.setdefault(verdict.verdict, []).append(number)

    def told(self) -> dict[str, Any]:
        def row(verdicts: Counter[str]) -> dict[str, int]:
            return {"cases": verdicts.total(), **{name: verdicts[name] for name in VERDICTS}}

        return {
            **row(self.verdicts),
            "slowest_s": round(self.slowest, 3),
            "by_damage": {name: row(self.by_damage[name]) for name in DAMAGES if name in self.by_damage},
            "by_kind": {name: row(verdicts) for name, verdicts in sorted(self.by_kind.items())},
            "first_numbers": {name: numbers[:20] for name, numbers in self.numbers.items()},
        }


Tallies = dict[str, dict[str, Tally]]


def study(cases: Cases, library: str, count: int, workers: int, among: int = 0) -> Tallies:
    """Tallies per version of the first ``count`` cases, and of the first ``among`` of them."""
    tallies: Tallies = {
        name: {"version 1": Tally(), "version 0": Tally()}
        for name in [library, *([f"{library}, the first {among:,}"] if among else [])]
    }
    everyone, *first = tallies.values()
    verdicts = judged(library, cases, iter(range(count)), workers)
    for number, verdict in tqdm(verdicts, desc=library, total=count, unit=" cases", disable=None):
        case = cases[number]
        for tally in (everyone, *(first if number < among else [])):
            tally[f"version {case.original.version}"].add(number, case, verdict)
    return tallies


def tell(tallies: Tallies) -> None:
    for version in ("version 1", "version 0"):
        rows = []
        for library, of_versions in tallies.items():
            told = of_versions[version].told()
            numbers = [told["cases"], *(told[name] for name in VERDICTS)]
            rows.append(
                [library, *(f"{number:,}" for number in numbers), f"{told['slowest_s'] * 1e3:,.0f} ms"]
            )
        _common.show(f"Damaged streams of {version}", ["", "cases", *VERDICTS, "slowest"], rows)
    ours = tallies[OURS]
    rows = [
        [f"{version}, {name}", *(f"{row[column]:,}" for column in ["cases", *VERDICTS])]
        for version in ("version 1", "version 0")
        for what in ("by_damage", "by_kind")
        for name, row in ours[version].told()[what].items()
    ]
    _common.show("crackle_zarr, by damage and by kind of stream", ["", "cases", *VERDICTS], rows)
    for version, tally in ours.items():
        for name, numbers in tally.told()["first_numbers"].items():
            if version == "version 1" or name != "wrong and silent":
                print(f"{version}, {name}: cases {', '.join(map(str, numbers))}")


def look(cases: Cases, number: int, libraries: list[str]) -> dict[str, Any]:
    """One case, told in full."""
    case = cases[number]
    original = case.original
    told: dict[str, Any] = {
        "number": number,
        "original": f"{original.kind}, {original.name}, version {original.version}",
        "volume": f"{original.volume.shape} {original.volume.dtype}",
        "damage": f"{case.damage}: {case.about}",
    }
    for library in libraries:
        ((_, verdict),) = judged(library, cases, iter([number]), 1)
        told[library] = f"{verdict.verdict}, {verdict.seconds * 1e3:.1f} ms. {verdict.about}"
    for name, value in told.items():
        print(f"{name + ':':26} {value}")
    return told


def main() -> None:
    parser = _common.parser(__doc__, EXAMPLES)
    parser.add_argument("--cases", type=int, default=100_000, help="damaged streams (default: 100000)")
    parser.add_argument(
        "--peer",
        type=int,
        nargs="?",
        const=-1,
        default=0,
        metavar="N",
        help="give the same cases, or the first N of them, to crackle-codec too",
    )
    parser.add_argument("--workers", type=int, default=1, help="child processes at a time (default: 1)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="look at one case")
    parser.add_argument(
        "--write",
        type=argparse.FileType("wb"),
        metavar="FILE",
        help="with --only: write its damaged stream",
    )
    arguments = parser.parse_args()
    cases = Cases(arguments.seed)
    if arguments.only is not None:
        told = look(cases, arguments.only, [OURS, PEER, PEER_CHECKED] if arguments.peer else [OURS])
        if arguments.write:
            with arguments.write as file:
                file.write(cases[arguments.only].stream)
        _common.save(arguments.json, told)
        return
    peer_cases = min(arguments.cases, arguments.cases if arguments.peer < 0 else arguments.peer)
    among = peer_cases if peer_cases < arguments.cases else 0
    tallies = study(cases, OURS, arguments.cases, arguments.workers, among)
    if peer_cases:
        for library in (PEER, PEER_CHECKED):
            tallies |= study(cases, library, peer_cases, arguments.workers)
    tell(tallies)
    print(f"seed {arguments.seed}; look at a case with --only NUMBER")
    results = {
        library: {version: tally.told() for version, tally in of_versions.items()}
        for library, of_versions in tallies.items()
    }
    _common.save(arguments.json, {"seed": arguments.seed, **results})


if __name__ == "__main__":
    main()
