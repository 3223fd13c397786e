"""A slow, plain implementation of the Crackle format, with which tests compare the fast one.

It was written from the description of the format alone and shares no code with the package.
:func:`decode` reads a stream and checks every rule; ``reference_writer`` writes streams.

Volumes are indexed (x, y, z). Vertices are the corners of voxels; vertex (x, y) is the top-left corner
of voxel (x, y). A crack is written (x, y, RIGHT) or (x, y, DOWN): the edge that leaves vertex (x, y) in
that direction.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

UP, RIGHT, DOWN, LEFT = range(4)
BRANCH, TERMINATE = 4, 5
STEP = {UP: (0, -1), RIGHT: (1, 0), DOWN: (0, 1), LEFT: (-1, 0)}
SPELLINGS = {BRANCH: ((UP, DOWN), (LEFT, RIGHT)), TERMINATE: ((DOWN, UP), (RIGHT, LEFT))}
SYMBOL_OF_PAIR = {pair: symbol for symbol, pairs in SPELLINGS.items() for pair in pairs}
RANKINGS = list(itertools.permutations(range(4)))

FLAT, CONDENSED_PINS = 0, 2

Array = npt.NDArray[Any]
Crack = tuple[int, int, int]
Starts = list[tuple[int, list[int]]]


class BadStreamError(ValueError):
    """The stream breaks a rule of the format."""


def require(condition: bool, rule: str) -> None:
    if not condition:
        raise BadStreamError(rule)


def width(number: int) -> int:
    """The smallest of 1, 2, 4 and 8 bytes that holds an unsigned number."""
    return next(w for w in (1, 2, 4, 8) if number < 256**w)


# ---------------------------------------------------------------------------------------
# Checksums


def crc8(data: bytes) -> int:
    """Reflected, polynomial 0xE7, initial 0xFF, no final xor."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xE7 if crc & 1 else 0)
    return crc


def _crc32c_zero_byte(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def _apply(matrix: npt.NDArray[np.uint32], vectors: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Multiply vectors of 32 bits by a 32 x 32 matrix over GF(2): row k has the products of the k-th byte."""
    octets = vectors.astype("<u4").view(np.uint8).reshape(-1, 4)
    return np.bitwise_xor.reduce([matrix[k, octets[:, k]] for k in range(4)])


def _crc32c_shifts() -> list[npt.NDArray[np.uint32]]:
    """Matrix k advances the register by 4 * 2^k zero bytes."""
    octets = np.arange(256, dtype=np.uint32)
    values = np.array([octets << np.uint32(8 * k) for k in range(4)])
    one = np.array([[_crc32c_zero_byte(int(value)) for value in row] for row in values], np.uint32)
    shift = _apply(one, _apply(one, _apply(one, one.reshape(-1))))
    shifts = [shift.reshape(4, 256)]
    for _ in range(30):
        shifts.append(_apply(shifts[-1], shifts[-1].reshape(-1)).reshape(4, 256))
    return shifts


_SHIFTS = _crc32c_shifts()


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, by halving: crc(a + b) = shift(crc(a), len(b)) ^ crc(b) without initial value.

    A loop per byte would be plainer, but takes minutes for the streams of the tests.
    """
    if len(data) < 4:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = _crc32c_zero_byte(crc ^ byte)
        return crc ^ 0xFFFFFFFF
    start = bytes(byte ^ 0xFF for byte in data[:4])  # the initial value, xored into the first four bytes
    message = start + data[4:]
    message = bytes(-len(message) % 4) + message  # leading zeros leave a register of 0 unchanged
    words = np.frombuffer(message, dtype="<u4").astype(np.uint32)
    words = _apply(_SHIFTS[0], words)
    for shift in _SHIFTS:
        if len(words) == 1:
            break
        if len(words) % 2:
            words = np.concatenate([np.zeros(1, np.uint32), words])
        words = _apply(shift, words[0::2]) ^ words[1::2]
    return int(words[0]) ^ 0xFFFFFFFF


# ---------------------------------------------------------------------------------------
# Header


@dataclass(frozen=True)
class Header:
    """The fields of the header."""

    format_version: int
    sx: int
    sy: int
    sz: int
    data_width: int
    stored_width: int
    permissible: bool
    label_format: int
    fortran_order: bool
    signed: bool
    markov_order: int
    is_sorted: bool
    num_label_bytes: int
    nbytes: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.data_width}")

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.stored_width}")


class Cursor:
    """Reads numbers from the front of a buffer, and raises at its end."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.at, self.what = data, 0, what

    def take(self, count: int) -> bytes:
        require(count <= len(self.data) - self.at, f"{self.what}: ends too soon")
        self.at += count
        return self.data[self.at - count : self.at]

    def uint(self, nbytes: int) -> int:
        return int.from_bytes(self.take(nbytes), "little")

    def uints(self, count: int, nbytes: int) -> list[int]:
        return np.frombuffer(self.take(count * nbytes), dtype=f"<u{nbytes}").tolist()

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def end(self) -> None:
        require(self.at == len(self.data), f"{self.what}: goes on after its end")


def read_header(stream: bytes) -> Header:
    cursor = Cursor(stream, "header")
    require(cursor.take(4) == b"crkl", "magic")
    version = cursor.uint(1)
    require(version in (0, 1), "format version")
    bits = cursor.uint(2)
    sx, sy, sz = cursor.uints(3, 4)
    cursor.uint(1)
    num_label_bytes = cursor.uint(8 if version else 4)
    if version:
        require(cursor.uint(1) == crc8(stream[5:28]), "header checksum")
    require(bits >> 15 == 0, "reserved bit")
    header = Header(
        format_version=version,
        sx=sx,
        sy=sy,
        sz=sz,
        data_width=1 << (bits & 3),
        stored_width=1 << (bits >> 2 & 3),
        permissible=bool(bits >> 4 & 1),
        label_format=bits >> 5 & 3,
        fortran_order=bool(bits >> 7 & 1),
        signed=bool(bits >> 8 & 1),
        markov_order=bits >> 9 & 15,
        is_sorted=not bits >> 13 & 1,
        num_label_bytes=num_label_bytes,
        nbytes=cursor.at,
    )
    require(header.label_format in (FLAT, CONDENSED_PINS), "label format")
    return header


# ---------------------------------------------------------------------------------------
# Decoding


@dataclass
class ReferenceResult:
    """The contents of a stream.

    Attributes:
        array: the volume (sx, sy, sz), in Fortran order.
        components: per slice, the (sx, sy) image of component numbers.
        table: the label table in stored order; the background of pins comes first.
        counts: components per slice.
        chains: chains per slice.
        cracks: coded cracks per slice.
        spurious_branches: branches that were popped with no crack left to cross.
        slack: bytes of crack codes that no chain needed.
    """

    header: Header
    array: Array
    components: list[Array]
    table: Array
    counts: list[int]
    chains: list[int]
    cracks: list[int]
    spurious_branches: int
    slack: int


@dataclass
class _Walk:
    first_crossed: dict[Crack, int] = field(default_factory=dict)  # crack -> number of moves before
    pops: list[tuple[int, int, int]] = field(default_factory=list)  # vertex, number of moves before
    chains: int = 0
    slack: int = 0

    def spurious_branches(self) -> int:
        return sum(
            all(self.first_crossed.get(crack, -1) < moves for crack in cracks_at(x, y))
            for x, y, moves in self.pops
        )


def cracks_at(x: int, y: int) -> list[Crack]:
    """The four cracks that meet in a vertex, in the order UP, RIGHT, DOWN, LEFT."""
    return [(x, y - 1, DOWN), (x, y, RIGHT), (x, y, DOWN), (x - 1, y, RIGHT)]


def on_rim(crack: Crack, sx: int, sy: int) -> bool:
    x, y, direction = crack
    return y in (0, sy) if direction == RIGHT else x in (0, sx)


def decode(stream: bytes) -> ReferenceResult:
    """Decode a stream and check every rule of the format; BadStreamError names the broken rule."""
    stream = bytes(stream)
    header = read_header(stream)
    sx, sy, sz = header.sx, header.sy, header.sz
    if sx * sy * sz == 0:
        require(len(stream) == header.nbytes, "an empty volume is the header alone")
        empty: Array = np.zeros((sx, sy, sz), header.dtype, order="F")
        return ReferenceResult(header, empty, [], np.zeros(0, header.dtype), [], [], [], 0, 0)

    cursor = Cursor(stream, "stream")
    cursor.take(header.nbytes)
    index_bytes = cursor.take(4 * sz)
    index = np.frombuffer(index_bytes, "<u4").tolist()
    if header.format_version:
        require(cursor.uint(4) == crc32c(index_bytes), "crack index checksum")
    labels = cursor.take(header.num_label_bytes)
    model = None
    if header.markov_order:
        model = read_model(cursor.take(-(-5 * 4**header.markov_order // 8)), header.markov_order)
    codes = [cursor.take(nbytes) for nbytes in index]
    if header.format_version:
        require(cursor.uint(4) == crc32c(labels), "labels checksum")
    checksums = cursor.uints(sz, 4) if header.format_version else []
    cursor.end()

    walks = [walk(code, sx, sy, model, header.markov_order) for code in codes]
    components = [number_components(set(w.first_crossed), sx, sy, header.permissible) for w in walks]
    for image, checksum in zip(components, checksums, strict=False):
        require(crc32c(image.tobytes(order="F")) == checksum, "slice checksum")
    counts = [int(image.max()) + 1 for image in components]

    table, entry_of_component = read_labels(labels, header, components, counts)
    array: Array = np.empty((sx, sy, sz), header.dtype, order="F")
    offset = 0
    for z, image in enumerate(components):
        array[:, :, z] = table[entry_of_component[offset + image]]
        offset += counts[z]
    return ReferenceResult(
        header=header,
        array=array,
        components=components,
        table=table,
        counts=counts,
        chains=[w.chains for w in walks],
        cracks=[len(w.first_crossed) for w in walks],
        spurious_branches=sum(w.spurious_branches() for w in walks),
        slack=sum(w.slack for w in walks),
    )


def read_model(data: bytes, order: int) -> npt.NDArray[np.uint8]:
    """The rankings of a Markov model, as places in RANKINGS."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: 5 * 4**order]
    rows = (bits.reshape(-1, 5) << np.arange(5, dtype=np.uint8)).sum(axis=1).astype(np.uint8)
    require(bool((rows < 24).all()), "Markov model row above 23")
    return rows


def walk(code: bytes, sx: int, sy: int, model: npt.NDArray[np.uint8] | None, order: int) -> _Walk:
    """Walk the chains of a slice."""
    cursor = Cursor(code, "crack code")
    starts = read_chain_index(Cursor(cursor.take(cursor.uint(4)), "chain index"), sx, sy)
    result = _Walk(chains=len(starts))
    reader = _Codepoints(cursor.rest(), model, order)
    moves = 0
    for x, y in starts:
        opened, stack, previous = 1, [], None
        while opened:
            codepoint = reader.next()
            symbol = SYMBOL_OF_PAIR.get((previous, codepoint)) if previous is not None else None
            if previous is None:
                previous = codepoint
                continue
            # The pending codepoint is a move, unless it forms a control symbol with the new one.
            if symbol == BRANCH:
                stack.append((x, y))
                opened += 1
                previous = None
            elif symbol == TERMINATE:
                opened -= 1
                if stack:
                    x, y = stack.pop()
                    result.pops.append((x, y, moves))
                previous = None
            else:
                dx, dy = STEP[previous]
                crack = cracks_at(x, y)[previous]
                x, y = x + dx, y + dy
                require(0 <= x <= sx and 0 <= y <= sy, "step outside the slice")
                require(not on_rim(crack, sx, sy), "step along the rim")
                result.first_crossed.setdefault(crack, moves)
                moves += 1
                previous = codepoint
    result.slack = reader.unread_bytes()
    return result


def read_chain_index(cursor: Cursor, sx: int, sy: int) -> list[tuple[int, int]]:
    xw, yw = width(sx + 1), width(sy + 1)
    starts, y = [], 0
    for _ in range(cursor.uint(yw)):
        y += cursor.uint(yw)
        x = 0
        for _ in range(cursor.uint(xw)):
            x += cursor.uint(xw)
            require(x <= sx and y <= sy, "chain starts outside the slice")
            starts.append((x, y))
    cursor.end()
    return starts


class _Codepoints:
    """The codepoints of a slice, one after the other."""

    def __init__(self, data: bytes, model: npt.NDArray[np.uint8] | None, order: int) -> None:
        self.bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist()
        self.model, self.order = model, order
        self.at = self.codepoint = self.row = 0

    def bit(self) -> int:
        require(self.at < len(self.bits), "crack codes end inside a chain")
        self.at += 1
        return self.bits[self.at - 1]

    def next(self) -> int:
        if self.model is None or self.at == 0:
            difference = self.bit() | self.bit() << 1
        else:
            rank = 0
            while rank < 3 and self.bit():
                rank += 1
            difference = RANKINGS[self.model[self.row]][rank]
        if self.model is not None:
            self.row = self.row >> 2 | difference << 2 * (self.order - 1)
        self.codepoint = (self.codepoint + difference) % 4
        return self.codepoint

    def unread_bytes(self) -> int:
        return (len(self.bits) - self.at) // 8


def number_components(coded: set[Crack], sx: int, sy: int, permissible: bool) -> npt.NDArray[np.uint32]:
    """Number the 4-connected components of a slice in scan order, x fastest.

    Runs along x are the units; two runs in neighbouring rows join if no boundary lies between them.
    """
    left = np.full((sx, sy), permissible)  # whether a boundary lies left of the voxel
    above = np.full((sx, sy), permissible)
    for x, y, direction in coded:
        (above if direction == RIGHT else left)[x, y] = not permissible
    left[0, :] = True
    runs = (np.cumsum(left.reshape(-1, order="F")) - 1).reshape((sx, sy), order="F")
    parent = list(range(int(runs[-1, -1]) + 1))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    joined = ~above[:, 1:]
    pairs = np.unique(runs[:, :-1][joined] * len(parent) + runs[:, 1:][joined])
    for pair in pairs.tolist():
        a, b = (root(run) for run in divmod(pair, len(parent)))
        parent[max(a, b)] = min(a, b)  # so that the root is the first run of the scan
    roots = np.array([root(run) for run in range(len(parent))])
    numbers = np.cumsum(roots == np.arange(len(parent))) - 1
    return np.asfortranarray(numbers[roots[runs]].astype("<u4"))


def read_labels(
    data: bytes, header: Header, components: list[Array], counts: list[int]
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Read the label table, and for each component the index of its label in the table."""
    cursor = Cursor(data, "labels")
    sx, sy, sz = header.sx, header.sy, header.sz
    stored = header.stored_width
    pins = header.label_format == CONDENSED_PINS
    background = cursor.take(stored) if pins else b""
    num_unique = cursor.uint(8)
    table_bytes = background + cursor.take(num_unique * stored)
    stored_table = np.frombuffer(table_bytes, header.stored_dtype)
    table = stored_table.astype(header.dtype)
    require(bool((table == stored_table).all()), "a label that no voxel can have")
    listed = table[1:] if pins else table
    if header.is_sorted:
        require(bool((listed[:-1] < listed[1:]).all()), "label table not ascending")
        require(not pins or table[0] not in listed, "background listed twice")
    require(cursor.uints(sz, width(sx * sy)) == counts, "component counts contradict the cracks")
    total = sum(counts)

    if not pins:
        keys = np.array(cursor.uints(total, width(num_unique)), dtype=np.int64)
        require(bool((keys < num_unique).all()), "key past the label table")
        cursor.end()
        return table, keys

    offsets = np.concatenate([[0], np.cumsum(counts)])
    entries = np.zeros(total, np.int64)
    widths = cursor.uint(1)
    n, d, c = (1 << (widths >> shift & 3) for shift in (0, 2, 4))
    for entry in range(1, num_unique + 1):
        count = cursor.uint(n)
        indices = itertools.accumulate(cursor.uints(count, width(sx * sy * sz)))
        depths = cursor.uints(count, d)
        singles = list(itertools.accumulate(cursor.uints(cursor.uint(n), c)))
        require(all(single < total for single in singles), "single component out of range")
        named = set(singles)
        for index, depth in zip(indices, depths, strict=True):
            require(index < sx * sy * sz, "pin outside the volume")
            x, y, z = index % sx, index // sx % sy, index // (sx * sy)
            require(z + depth < sz, "pin runs past the last slice")
            named |= {int(offsets[z + k] + components[z + k][x, y]) for k in range(depth + 1)}
        for component in named:
            taken = entries[component]
            require(taken == 0 or table[taken] == table[entry], "two labels for one component")
            entries[component] = entry
    cursor.end()
    return table, entries
