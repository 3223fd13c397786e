"""Writes streams of the Crackle format from its description alone, for tests.

:func:`craft` writes legal streams that a sensible writer would not make: chains with random starts and
random walks, spurious branches, unsorted label tables, overlapping pins. :class:`Sections` is a stream in
pieces, for tests that break one rule and keep all others. Volumes, vertices and cracks are as in
``reference``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from reference import (
    BRANCH,
    CONDENSED_PINS,
    DOWN,
    FLAT,
    RANKINGS,
    RIGHT,
    SPELLINGS,
    STEP,
    TERMINATE,
    Array,
    Crack,
    Starts,
    cracks_at,
    crc8,
    crc32c,
    number_components,
    require,
    width,
)

# ---------------------------------------------------------------------------------------
# Writing: pieces of a stream


def write_chain_index(starts: Starts, sx: int, sy: int) -> bytes:
    """The beginning-of-chain index of rows (y, [x, ...])."""
    xw, yw = width(sx + 1), width(sy + 1)
    out = len(starts).to_bytes(yw, "little")
    last_y = 0
    for y, xs in starts:
        out += (y - last_y).to_bytes(yw, "little") + len(xs).to_bytes(xw, "little")
        last_y, last_x = y, 0
        for x in xs:
            out += (x - last_x).to_bytes(xw, "little")
            last_x = x
    return len(out).to_bytes(4, "little") + out


def write_codepoints(codepoints: Sequence[int], model: npt.NDArray[np.uint8] | None, order: int) -> bytes:
    """The bits of the codepoints of a slice."""
    bits: list[int] = []
    previous = row = 0
    for codepoint in codepoints:
        difference = (codepoint - previous) % 4
        previous = codepoint
        if model is None or not bits:
            bits += [difference & 1, difference >> 1]
        else:
            bits += ([0], [1, 0], [1, 1, 0], [1, 1, 1])[RANKINGS[model[row]].index(difference)]
        if model is not None:
            row = row >> 2 | difference << 2 * (order - 1)
    return np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()


def write_model(rows: npt.NDArray[np.uint8]) -> bytes:
    """Pack the rows of a Markov model, 5 bits each."""
    bits = (rows[:, None] >> np.arange(5, dtype=np.uint8)) & 1
    return np.packbits(bits.reshape(-1), bitorder="little").tobytes()


def spell(symbols: Iterable[int], rng: random.Random | None = None) -> list[int]:
    """The codepoints of one chain's symbols; without ``rng``, the first spelling that is allowed."""
    out: list[int] = []
    move: int | None = None  # the preceding codepoint, if it is a move
    for symbol in symbols:
        if symbol in SPELLINGS:
            allowed = [pair for pair in SPELLINGS[symbol] if move is None or pair[0] != (move + 2) % 4]
            out += rng.choice(allowed) if rng else allowed[0]
            move = None
        else:
            require(move is None or symbol != (move + 2) % 4, "a move cannot be taken back at once")
            out.append(symbol)
            move = symbol
    return out


def write_uints(numbers: Iterable[int], nbytes: int) -> bytes:
    return np.array(list(numbers), dtype=f"<u{nbytes}").tobytes()


def differences(numbers: Sequence[int]) -> list[int]:
    return [b - a for a, b in itertools.pairwise([0, *numbers])]


@dataclass
class Sections:
    """A stream in pieces. ``assemble`` adds the header and all checksums, so one piece can be wrong alone.

    Attributes:
        codes: per slice, chain index and moves.
        checksums: per slice, the checksum of the component image.
        num_label_bytes, index: values that the stream claims instead of the true ones.
        reserved: bits to set in the format field.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    format_version: int = 1
    stored_width: int = 1
    permissible: bool = False
    label_format: int = FLAT
    fortran_order: bool = True
    markov_order: int = 0
    is_sorted: bool = True
    grid: int = 31
    labels: bytes = b""
    model: bytes = b""
    codes: list[bytes] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    num_label_bytes: int | None = None
    index: list[int] | None = None
    reserved: int = 0

    def header(self) -> bytes:
        bits = (
            (self.dtype.itemsize.bit_length() - 1)
            | (self.stored_width.bit_length() - 1) << 2
            | self.permissible << 4
            | self.label_format << 5
            | self.fortran_order << 7
            | (self.dtype.kind == "i") << 8
            | self.markov_order << 9
            | (not self.is_sorted) << 13
            | self.reserved
        )
        claimed = len(self.labels) if self.num_label_bytes is None else self.num_label_bytes
        fields = bits.to_bytes(2, "little") + write_uints(self.shape, 4) + bytes([self.grid])
        fields += claimed.to_bytes(8 if self.format_version else 4, "little")
        checksum = bytes([crc8(fields)]) if self.format_version else b""
        return b"crkl" + bytes([self.format_version]) + fields + checksum

    def assemble(self) -> bytes:
        if 0 in self.shape:
            return self.header()
        index = write_uints(self.index if self.index is not None else map(len, self.codes), 4)
        crc = (lambda data: crc32c(data).to_bytes(4, "little")) if self.format_version else lambda data: b""
        tail = write_uints(self.checksums, 4) if self.format_version else b""
        body = self.labels + self.model + b"".join(self.codes)
        return self.header() + index + crc(index) + body + crc(self.labels) + tail


# ---------------------------------------------------------------------------------------
# Writing: whole streams, legal and unusual


@dataclass(frozen=True)
class Style:
    """Options of :func:`craft`.

    Attributes:
        stored_width: bytes per label; None is the smallest width.
        unsorted: shuffle the label table and repeat some of its entries.
        unused: list labels that no component has.
        wild: start chains anywhere, walk at random, branch without need, cross cracks twice. Otherwise each
            connected set of cracks is one chain.
        pin_widths: minimum bytes for the counts, depths and components of pins.
    """

    format_version: int = 1
    permissible: bool = False
    pins: bool = False
    markov_order: int = 0
    fortran_order: bool = True
    stored_width: int | None = None
    unsorted: bool = False
    unused: bool = False
    wild: bool = True
    pin_widths: tuple[int, int, int] = (1, 1, 1)


def random_style(rng: random.Random, dtype: np.dtype[Any], max_order: int = 6) -> Style:
    """A random style; the stored width is the smallest or the data width."""
    return Style(
        format_version=rng.randrange(2),
        permissible=rng.random() < 0.5,
        pins=rng.random() < 0.5,
        markov_order=rng.choice([0, rng.randrange(1, max_order + 1)]),
        fortran_order=rng.random() < 0.5,
        stored_width=rng.choice([None, dtype.itemsize]),
        unsorted=rng.random() < 0.4,
        unused=rng.random() < 0.2,
        wild=rng.random() < 0.8,
        pin_widths=(rng.choice([1, 2, 4, 8]), rng.choice([1, 2, 4, 8]), rng.choice([1, 2, 4, 8])),
    )


def craft(volume: Array, style: Style, rng: random.Random) -> bytes:
    """Write a volume (x, y, z) of integers as a legal stream in the given style."""
    return craft_sections(volume, style, rng).assemble()


def craft_sections(volume: Array, style: Style, rng: random.Random) -> Sections:
    """The pieces of the stream that :func:`craft` writes."""
    sx, sy, sz = volume.shape
    dtype = volume.dtype.newbyteorder("<")
    sections = Sections(
        shape=volume.shape,
        dtype=dtype,
        format_version=style.format_version,
        stored_width=style.stored_width or fewest_bytes(volume),
        permissible=style.permissible,
        label_format=CONDENSED_PINS if style.pins else FLAT,
        fortran_order=style.fortran_order,
        markov_order=style.markov_order,
        is_sorted=not style.unsorted,
    )
    if volume.size == 0:
        sections.stored_width = style.stored_width or 1
        return sections
    model = None
    if style.markov_order:
        model = np.frombuffer(rng.randbytes(4**style.markov_order), np.uint8) % np.uint8(24)
        sections.model = write_model(model)
    images = []
    for z in range(sz):
        image = volume[:, :, z]
        walked = coded_cracks(image, style.permissible)
        chains = wild_chains(walked, sx, sy, rng) if style.wild else plain_chains(walked)
        sections.codes.append(write_slice(chains, sx, sy, model, style.markov_order, rng))
        components = number_components(coded_cracks(image, False), sx, sy, False)
        sections.checksums.append(crc32c(components.tobytes(order="F")))
        images.append(components)
    sections.labels = craft_labels(volume, images, sections, style, rng)
    return sections


def fewest_bytes(volume: Array) -> int:
    """The smallest stored width for a table of the volume's labels."""
    if volume.size == 0:
        return 1
    low, high = int(volume.min()), int(volume.max())
    kind = volume.dtype.kind
    for nbytes in (1, 2, 4, 8):
        info = np.iinfo(f"{kind}{nbytes}")
        if info.min <= low and high <= info.max:
            return nbytes
    raise AssertionError("unreachable: every label fits its own dtype")


def coded_cracks(image: Array, permissible: bool) -> set[Crack]:
    """The cracks of a slice (x, y) that a stream has to code."""
    left = (image[1:, :] == image[:-1, :]) == permissible
    above = (image[:, 1:] == image[:, :-1]) == permissible
    cracks = {(int(x) + 1, int(y), DOWN) for x, y in np.argwhere(left)}
    return cracks | {(int(x), int(y) + 1, RIGHT) for x, y in np.argwhere(above)}


def write_slice(
    chains: dict[tuple[int, int], list[int]],
    sx: int,
    sy: int,
    model: npt.NDArray[np.uint8] | None,
    order: int,
    rng: random.Random | None = None,
) -> bytes:
    """The crack code of a slice: start vertex (x, y) -> symbols of the chain."""
    vertices = sorted(chains, key=lambda vertex: (vertex[1], vertex[0]))
    rows = [(y, [x for x, row in vertices if row == y]) for y in sorted({y for _, y in vertices})]
    codepoints = [codepoint for vertex in vertices for codepoint in spell(chains[vertex], rng)]
    return write_chain_index(rows, sx, sy) + write_codepoints(codepoints, model, order)


def plain_chains(cracks: set[Crack]) -> dict[tuple[int, int], list[int]]:
    """One chain per connected set of cracks; it branches only at a fork."""
    left = set(cracks)
    chains = {}
    for x, y, _ in sorted(cracks, key=lambda crack: (crack[1], crack[0], crack[2])):
        if any(crack in left for crack in cracks_at(x, y)):
            chains[x, y] = _walk_all(x, y, left, None, 0.0, cracks)
    return chains


def wild_chains(cracks: set[Crack], sx: int, sy: int, rng: random.Random) -> dict[tuple[int, int], list[int]]:
    """Chains that cover the cracks in a needlessly complicated way."""
    give_up = rng.choice([0.0, 0.02, 0.2])
    while True:
        left = set(cracks)
        chains: dict[tuple[int, int], list[int]] = {}
        while left:
            ends = {(x, y) for x, y, _ in left}
            ends |= {(x + STEP[direction][0], y + STEP[direction][1]) for x, y, direction in left}
            free = sorted(ends - chains.keys())  # at most one chain starts at a vertex
            if not free:
                break
            start = rng.choice(free)
            chains[start] = _walk_all(*start, left, rng, give_up, cracks)
        if not left:
            break
        give_up /= 2
        if give_up < 0.001:
            give_up = 0.0
    for _ in range(rng.choice([0, 0, 0, 1, 2])):  # chains without moves
        start = rng.randrange(sx + 1), rng.randrange(sy + 1)
        chains.setdefault(start, rng.choice([[TERMINATE], [BRANCH, TERMINATE, TERMINATE]]))
    return chains


def _walk_all(
    x: int, y: int, left: set[Crack], rng: random.Random | None, give_up: float, cracks: set[Crack]
) -> list[int]:
    """Walk a chain from a vertex, and remove the cracks that it crosses from ``left``."""
    symbols: list[int] = []
    stack: list[tuple[int, int]] = []
    while True:
        at = cracks_at(x, y)
        ways = [direction for direction in range(4) if at[direction] in left]
        if rng and rng.random() < 0.02:  # cross a crack again, but not the previous one
            back = (symbols[-1] + 2) % 4 if symbols and symbols[-1] < 4 else None
            ways = [way for way in range(4) if at[way] in cracks and way != back] or ways
        if ways and not (rng and rng.random() < give_up):
            needless = rng is not None and rng.random() < 0.05
            if (len(ways) > 1 and not (rng and rng.random() < give_up)) or needless:
                symbols.append(BRANCH)
                stack.append((x, y))
            way = rng.choice(ways) if rng else ways[0]
            symbols.append(way)
            left.discard(at[way])
            x, y = x + STEP[way][0], y + STEP[way][1]
        else:
            symbols.append(TERMINATE)
            if not stack:
                return symbols
            x, y = stack.pop()


def craft_labels(
    volume: Array, images: list[Array], sections: Sections, style: Style, rng: random.Random
) -> bytes:
    """The labels section of a volume with the given images of components."""
    sx, sy = volume.shape[:2]
    counts = [int(image.max()) + 1 for image in images]
    of_component: list[int] = []
    for z, image in enumerate(images):
        _, first = np.unique(image.reshape(-1, order="F"), return_index=True)
        of_component += volume[:, :, z].reshape(-1, order="F")[first].tolist()
    entries = sorted(set(of_component))
    background = rng.choice(entries)
    if style.pins and not (style.unsorted and rng.random() < 0.5):
        entries.remove(background)  # an unsorted table may list the background as well
    stored = np.dtype(f"<{sections.dtype.kind}{sections.stored_width}")
    if style.unused:
        spare = {rng.randrange(np.iinfo(stored).min, np.iinfo(stored).max + 1) for _ in range(3)}
        entries = sorted(set(entries) | spare - {background})
    if style.unsorted:
        entries += [rng.choice(entries) for _ in range(rng.randrange(4)) if entries]
        rng.shuffle(entries)
    places: dict[int, list[int]] = {}
    for place, label in enumerate(entries):
        places.setdefault(label, []).append(place)
    head = np.array([background], stored).tobytes() if style.pins else b""
    head += len(entries).to_bytes(8, "little") + np.array(entries, stored).tobytes()
    head += write_uints(counts, width(sx * sy))
    if not style.pins:
        keys = (rng.choice(places[label]) for label in of_component)
        return head + write_uints(keys, width(len(entries)))

    # The components that each entry has to name; those of the background may stay unnamed.
    duties: list[list[int]] = [[] for _ in entries]
    for component, label in enumerate(of_component):
        if label != background or (label in places and rng.random() < 0.5):
            duties[rng.choice(places[label])].append(component)
    finder = _PinFinder(volume, images, counts, rng)
    chosen = [finder.cover(duty) for duty in duties]
    return head + write_pins(chosen, volume.shape, style.pin_widths)


def write_pins(
    chosen: Sequence[tuple[Sequence[tuple[int, int]], Sequence[int]]],
    shape: tuple[int, ...],
    fewest: tuple[int, int, int] = (1, 1, 1),
) -> bytes:
    """For each label, its pins (index, depth) and its single components, both ascending."""
    n = max(fewest[0], *(width(max(len(pins), len(singles))) for pins, singles in chosen), 1)
    d = max(fewest[1], *(width(depth) for pins, _ in chosen for _, depth in pins), 1)
    c = max(fewest[2], *(width(single) for _, singles in chosen for single in singles), 1)
    out = bytes([(n.bit_length() - 1) | (d.bit_length() - 1) << 2 | (c.bit_length() - 1) << 4])
    index_width = width(shape[0] * shape[1] * shape[2])
    for pins, singles in chosen:
        indices, depths = [index for index, _ in pins], [depth for _, depth in pins]
        out += write_uints([len(pins)], n) + write_uints(differences(indices), index_width)
        out += write_uints(depths, d)
        out += write_uints([len(singles)], n) + write_uints(differences(list(singles)), c)
    return out


class _PinFinder:
    """Covers components with pins and single components, in any legal way."""

    def __init__(self, volume: Array, images: list[Array], counts: list[int], rng: random.Random) -> None:
        self.volume, self.rng = volume, rng
        self.offsets = np.concatenate([[0], np.cumsum(counts)]).tolist()
        self.images = images
        self.singles_share = rng.choice([0.0, 0.3, 1.0])
        self.overlap = rng.choice([0.0, 0.3])

    def cover(self, components: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
        left, pins, singles = set(components), [], []
        while left:
            component = self.rng.choice(sorted(left))
            if self.rng.random() < self.singles_share:
                singles.append(component)
                left.discard(component)
                continue
            index, depth, hit = self.pin(component)
            pins.append((index, depth))
            if self.rng.random() >= self.overlap:
                left -= hit
            else:
                left.discard(component)
        return sorted(pins), sorted(singles)

    def pin(self, component: int) -> tuple[int, int, set[int]]:
        """A random pin through a component: its index, its depth, and the components that it meets."""
        z = int(np.searchsorted(self.offsets, component, side="right")) - 1
        x, y = self.rng.choice(np.argwhere(self.images[z] == component - self.offsets[z]).tolist())
        column = self.volume[x, y, :]
        first, last = z, z
        while first > 0 and column[first - 1] == column[z] and self.rng.random() < 0.8:
            first -= 1
        while last + 1 < len(column) and column[last + 1] == column[z] and self.rng.random() < 0.8:
            last += 1
        sx, sy, _ = self.volume.shape
        hit = {int(self.offsets[k] + self.images[k][x, y]) for k in range(first, last + 1)}
        return x + sx * (y + sy * first), last - first, hit
