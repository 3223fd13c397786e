"""Legal streams that no sensible writer makes, and streams that break one rule of the format."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import reference
import reference_writer
from reference import BRANCH, DOWN, LEFT, RIGHT, TERMINATE, UP
from reference_writer import Sections, Style
from volumes import EDGES, VOLUMES

import crackle_zarr
from crackle_zarr import FormatError, _binding

Array = npt.NDArray[Any]

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def assert_reads(stream: bytes, volume: Array, rng: random.Random) -> None:
    """Our decoder finds this volume in the stream: whole, by range, and as the mask of one label."""
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    reader = _binding.Reader(stream)
    assert reader.header.shape == volume.shape
    assert reader.header.dtype == volume.dtype
    sx, sy, sz = volume.shape
    start = rng.randrange(sz)
    end = rng.randrange(start + 1, sz + 1)
    order = rng.choice(["C", "F"])
    out = np.empty((sx, sy, end - start), volume.dtype, order=order)
    reader.decode(out, start, end, parallel=rng.randrange(1, 4))
    assert np.array_equal(out, volume[:, :, start:end])
    label = volume.reshape(-1)[rng.randrange(volume.size)].item()
    mask = np.empty((sx, sy, end - start), np.uint8, order=order)
    reader.decode(mask, start, end, label=label)
    assert np.array_equal(mask, volume[:, :, start:end] == label)


def small_volume(rng: random.Random, dtype: np.dtype[Any]) -> Array:
    """A volume of at most 14 x 14 x 9 voxels: noise or blocks of few or many labels of any size."""
    info = np.iinfo(dtype)
    shape = [rng.randrange(1, 15), rng.randrange(1, 15), rng.randrange(1, 10)]
    block = [rng.choice([1, 1, 2, 4]) for _ in shape]
    low, high = rng.choice([(max(info.min, -3), 100), (info.min, info.max)])
    labels = np.array([rng.randint(low, high) for _ in range(rng.choice([1, 2, 3, 5, 300]))], dtype)
    coarse = np.random.default_rng(rng.randrange(2**32)).integers(0, len(labels), shape)
    for axis in range(3):
        coarse = np.repeat(coarse, block[axis], axis=axis)
    return np.asfortranarray(labels[coarse[: shape[0], : shape[1], : shape[2]]])


# ---------------------------------------------------------------------------------------
# Legal streams


@pytest.mark.parametrize("seed", range(200))
def test_unusual_stream_is_read(seed: int) -> None:
    """Any legal way to write a volume gives the volume back."""
    rng = random.Random(seed)
    dtype = np.dtype(rng.choice(DTYPES))
    volume = small_volume(rng, dtype)
    stream = reference_writer.craft(volume, reference_writer.random_style(rng, dtype), rng)
    assert_reads(stream, volume, rng)


@pytest.mark.parametrize("name", VOLUMES)
def test_unusual_stream_of_known_volume_is_read(name: str) -> None:
    """The shared volumes are read in a style drawn by their name."""
    volume = VOLUMES[name]()
    volume = volume.view(np.uint8) if volume.dtype == bool else volume
    rng = random.Random(name)
    assert_reads(
        reference_writer.craft(volume, reference_writer.random_style(rng, volume.dtype), rng), volume, rng
    )


@pytest.mark.parametrize("pins", [False, True], ids=["flat", "pins"])
@pytest.mark.parametrize("name", [name for name in EDGES if "labels" not in name and "sz" not in name])
def test_stream_at_width_edge_is_read(name: str, pins: bool) -> None:
    """Where a field of the format grows by a byte, reader and reference agree on its width."""
    volume = EDGES[name]()
    rng = random.Random(name)
    for permissible in (False, True) if volume.size < 2000 else (False,):
        style = Style(pins=pins, permissible=permissible, wild=volume.size < 2000)
        assert_reads(reference_writer.craft(volume, style, rng), volume, rng)


@pytest.mark.parametrize("order", range(13))
def test_markov_order_is_read(order: int) -> None:
    """Every Markov order, with rankings drawn at random for each context."""
    rng = random.Random(order)
    volume = VOLUMES["nested holes"]()
    stream = reference_writer.craft(volume, Style(markov_order=order), rng)
    assert_reads(stream, volume, rng)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("shape", [(0, 0, 0), (0, 3, 2), (3, 0, 2), (3, 2, 0), (2**32 - 1, 3, 0)], ids=str)
def test_empty_volume_is_read(shape: tuple[int, int, int], version: int) -> None:
    """A volume without voxels is a header alone, however long its other axes are."""
    stream = Sections(shape, np.dtype("u4"), format_version=version).assemble()
    assert len(stream) == (29 if version else 24)
    assert crackle_zarr.header(stream).shape == shape
    array = crackle_zarr.decompress(stream)
    assert array.shape == shape
    assert array.dtype == np.uint32


def test_many_needless_branches_are_read() -> None:
    """A stack of branches far deeper than the slice has vertices is legal."""
    sections = base()
    symbols = [DOWN] + [BRANCH] * 100_000 + [DOWN, DOWN] + [TERMINATE] * 100_001
    sections.codes[0] = code({(2, 0): symbols})
    assert np.array_equal(crackle_zarr.decompress(sections.assemble()), BASE)


def test_cracks_may_be_crossed_again() -> None:
    """Marking a crack a second time changes nothing."""
    sections = base()
    sections.codes[0] = code({(2, 0): [DOWN, DOWN, DOWN, TERMINATE], (2, 3): [UP, UP, UP, TERMINATE]})
    assert np.array_equal(crackle_zarr.decompress(sections.assemble()), BASE)


def test_all_spellings_of_control_symbols_are_read() -> None:
    """BRANCH and TERMINATE have two spellings each, and every combination is read alike."""
    index = reference_writer.write_chain_index([(0, [2])], 4, 3)
    for branch, first, second in itertools.product(
        reference.SPELLINGS[BRANCH], reference.SPELLINGS[TERMINATE], reference.SPELLINGS[TERMINATE]
    ):
        codepoints = [*branch, DOWN, DOWN, DOWN, *first, *second]
        sections = base()
        sections.codes[0] = index + reference_writer.write_codepoints(codepoints, None, 0)
        assert np.array_equal(crackle_zarr.decompress(sections.assemble()), BASE)


# ---------------------------------------------------------------------------------------
# Streams that break one rule. The base volume: two slices of 4 x 3; the first is parted by a straight
# line of cracks from vertex (2, 0) to vertex (2, 3), the second is of one label.

BASE = np.full((4, 3, 2), 7, np.uint16, order="F")
BASE[2:, :, 0] = 300


def code(chains: dict[tuple[int, int], list[int]], model: Array | None = None, order: int = 0) -> bytes:
    """The crack code of a 4 x 3 slice."""
    return reference_writer.write_slice(chains, 4, 3, model, order)


def base(version: int = 1, pins: bool = False, order: int = 0) -> Sections:
    """The sound pieces of a stream of BASE. Pins: background 7, one pin through the label 300."""
    model = np.arange(4**order, dtype=np.uint8) % np.uint8(24)
    if not order:
        model = None
    line = code({(2, 0): [DOWN, DOWN, DOWN, TERMINATE]}, model, order)
    counts = reference_writer.write_uints([2, 1], 1)
    table = reference_writer.write_uints([7, 300], 2)
    flat = (2).to_bytes(8, "little") + table + counts + bytes([0, 1, 0])
    pin = pin_labels(reference_writer.write_pins([([(2, 0)], [])], (4, 3, 2)))
    checksums = [
        reference.crc32c(reference_writer.write_uints([0, 0, 1, 1] * 3, 4)),
        reference.crc32c(reference_writer.write_uints([0] * 12, 4)),
    ]
    return Sections(
        shape=(4, 3, 2),
        dtype=np.dtype("<u2"),
        format_version=version,
        stored_width=2,
        label_format=reference.CONDENSED_PINS if pins else reference.FLAT,
        markov_order=order,
        labels=pin if pins else flat,
        model=reference_writer.write_model(model) if model is not None else b"",
        codes=[line, code({})],
        checksums=checksums,
    )


def pin_labels(pins: bytes, num_unique: int = 1, counts: bytes = b"\x02\x01") -> bytes:
    """A labels section of pins for BASE: background 7, the label 300."""
    return b"\x07\x00" + num_unique.to_bytes(8, "little") + b"\x2c\x01" + counts + pins


def flat_labels(
    num_unique: int = 2,
    table: bytes = b"\x07\x00\x2c\x01",
    counts: bytes = b"\x02\x01",
    keys: bytes = b"\0\1\0",
) -> bytes:
    """A labels section of flat labels for BASE."""
    return num_unique.to_bytes(8, "little") + table + counts + keys


@pytest.mark.parametrize("order", [0, 1, 2, 5])
@pytest.mark.parametrize("pins", [False, True], ids=["flat", "pins"])
@pytest.mark.parametrize("version", [0, 1])
def test_base_is_sound(version: int, pins: bool, order: int) -> None:
    """The stream that the tests below damage is sound, for the reference and for the package."""
    stream = base(version, pins, order).assemble()
    assert np.array_equal(reference.decode(stream).array, BASE)
    assert np.array_equal(crackle_zarr.decompress(stream), BASE)


Change = Callable[[Sections], None]


@dataclasses.dataclass(frozen=True)
class Invalid:
    """A change that makes the base stream illegal.

    ``pins``: the change needs a labels section of pins. ``orders``: Markov orders to try it with.
    """

    id: str
    change: Change
    pins: bool = False
    orders: tuple[int, ...] = (0, 2)


def setting(**fields: Any) -> Change:
    """A change that replaces some pieces of the stream."""

    def change(sections: Sections) -> None:
        for name, value in fields.items():
            setattr(sections, name, value)

    return change


def labels(data: bytes) -> Change:
    return setting(labels=data)


def chains(walks: dict[tuple[int, int], list[int]]) -> Change:
    """Replace the chains of slice 0, but keep the checksum of its components."""

    def change(sections: Sections) -> None:
        order = sections.markov_order
        model = reference.read_model(sections.model, order) if order else None
        sections.codes[0] = code(walks, model, order)

    return change


def codes(edit: Callable[[bytes], bytes], z: int = 0) -> Change:
    """Edit the bytes of a slice's crack code."""

    def change(sections: Sections) -> None:
        sections.codes[z] = edit(sections.codes[z])

    return change


def pins(data: bytes, **fields: Any) -> Change:
    return labels(pin_labels(data, **fields))


def one_pin(index: int, depth: int, widths: tuple[int, int, int] = (1, 1, 1)) -> Change:
    return pins(reference_writer.write_pins([([(index, depth)], [])], (4, 3, 2), widths))


def singles(numbers: list[int], c: int) -> Change:
    """No pins, and single components given as the differences that are stored."""
    widths = bytes([(c.bit_length() - 1) << 4])
    return pins(widths + b"\0" + bytes([len(numbers)]) + reference_writer.write_uints(numbers, c))


LINE = [DOWN, DOWN, DOWN, TERMINATE]

INVALID = [
    # Header
    Invalid("reserved bit 15", setting(reserved=1 << 15)),
    Invalid("label format 1", setting(label_format=1)),
    Invalid("label format 3", setting(label_format=3)),
    Invalid("a label wider than a voxel", setting(dtype=np.dtype("u1"))),
    Invalid("Markov order without a model", setting(markov_order=15, model=b""), orders=(0,)),
    Invalid("format version 2", setting(format_version=2)),
    Invalid("format version 255", setting(format_version=255)),
    # Sections
    Invalid("crack index above the bytes", setting(index=[2**32 - 1, 2**32 - 1])),
    Invalid("crack index below the bytes", setting(index=[8, 5])),
    Invalid("labels section above the bytes", setting(num_label_bytes=2**31)),
    Invalid("labels section of no bytes", labels(b"")),
    Invalid("labels section of seven bytes", labels(bytes(7))),
    # Flat labels
    Invalid("no labels in the table", labels(flat_labels(0, b""))),
    Invalid("more labels than bytes", labels(flat_labels(2**31))),
    Invalid("table size wraps around 64 bits", labels(flat_labels(2**63 + 2))),
    Invalid("table size wraps around with its width", labels(flat_labels(2**64 - 1))),
    Invalid("components above the cracks", labels(flat_labels(counts=b"\x03\x01", keys=bytes(4)))),
    Invalid("components below the cracks", labels(flat_labels(counts=b"\x01\x01", keys=bytes(2)))),
    Invalid("components of the slices exchanged", labels(flat_labels(counts=b"\x01\x02"))),
    Invalid("no components", labels(flat_labels(counts=b"\x00\x00", keys=b""))),
    Invalid("components above the bytes", labels(flat_labels(counts=b"\xff\xff"))),
    Invalid("component counts missing", labels(flat_labels(counts=b"", keys=b""))),
    Invalid("keys missing", labels(flat_labels(keys=b""))),
    Invalid("last key missing", labels(flat_labels(keys=b"\0\1"))),
    Invalid("a key too many", labels(flat_labels(keys=b"\0\1\0\0"))),
    Invalid("key at the table's end", labels(flat_labels(keys=b"\0\2\0"))),
    Invalid("key far past the table", labels(flat_labels(keys=b"\0\1\xff"))),
    # Pins
    Invalid("pins: more labels than bytes", pins(b"\0\1\2\0\0", num_unique=2**31), pins=True),
    Invalid("pins: table size wraps around", pins(b"\0\1\2\0\0", num_unique=2**63 + 1), pins=True),
    Invalid("pins: no widths byte", pins(b""), pins=True),
    Invalid("pins: nothing after the widths byte", pins(b"\0"), pins=True),
    Invalid("pins: more pins than bytes", pins(b"\0\xff\2\0\0"), pins=True),
    Invalid(
        "pins: count wraps around", pins(b"\3" + (2**64 - 1).to_bytes(8, "little") + bytes(24)), pins=True
    ),
    Invalid(
        "pins: count wraps around halved", pins(b"\3" + (2**63).to_bytes(8, "little") + bytes(24)), pins=True
    ),
    Invalid("pins: more singles than bytes", pins(b"\0\1\2\0\xff"), pins=True),
    Invalid(
        "pins: two labels for one component",
        labels(
            b"\x07\x00" + (2).to_bytes(8, "little") + b"\x2c\x01\x2d\x01\x02\x01" + b"\0" + b"\1\2\0\0" * 2
        ),
        pins=True,
    ),
    Invalid("pins: bytes left over", pins(b"\0\1\2\0\0\0"), pins=True),
    Invalid("pins: index at the volume's end", one_pin(24, 0), pins=True),
    Invalid("pins: index far outside", one_pin(255, 0), pins=True),
    Invalid("pins: second index outside", pins(b"\0\2\2\x16\0\0\0"), pins=True),
    Invalid("pins: one slice past the last", one_pin(2, 2), pins=True),
    Invalid("pins: last slice and one more", one_pin(14, 1), pins=True),
    Invalid("pins: depth far outside", one_pin(2, 255), pins=True),
    Invalid("pins: depth of 64 bits", one_pin(2, 2**64 - 1), pins=True),
    Invalid("pins: depth of 32 bits", one_pin(2, 2**32 - 1), pins=True),
    Invalid("pins: single at the count", singles([3], 1), pins=True),
    Invalid("pins: single far outside", singles([255], 1), pins=True),
    Invalid("pins: second single outside", singles([1, 2], 1), pins=True),
    Invalid("pins: single of 64 bits", singles([2**64 - 1], 8), pins=True),
    Invalid("pins: singles wrap around", singles([2, 2**64 - 1], 8), pins=True),
    Invalid("pins: components above the cracks", pins(b"\0\1\2\0\0", counts=b"\3\1"), pins=True),
    Invalid("pins: components below the cracks", pins(b"\0\1\2\0\0", counts=b"\1\1"), pins=True),
    # Chain index
    Invalid("slice of no bytes", codes(lambda _: b"", z=1)),
    Invalid("slice of three bytes", codes(lambda _: b"\1\0\0", z=1)),
    Invalid("chain index of no bytes", codes(lambda _: bytes(4), z=1)),
    Invalid("chain index one byte long", codes(lambda c: b"\x05" + c[1:4] + c[4:8] + b"\0" + c[8:])),
    Invalid("chain index one byte short", codes(lambda c: b"\x03" + c[1:])),
    Invalid("chain index past the slice", codes(lambda c: bytes([len(c) - 3]) + c[1:])),
    Invalid("chain index of 4 GB", codes(lambda c: b"\xff\xff\xff\xff" + c[4:])),
    Invalid("more rows than bytes", codes(lambda c: c[:4] + b"\xff" + c[5:])),
    Invalid("more starts than bytes", codes(lambda c: c[:6] + b"\xff" + c[7:])),
    Invalid("chain starts right of the slice", chains({(2, 0): LINE, (5, 1): [TERMINATE]})),
    Invalid("chain starts below the slice", chains({(2, 0): LINE, (1, 4): [TERMINATE]})),
    Invalid("chain starts far outside", chains({(2, 0): LINE, (255, 255): [TERMINATE]})),
    # Moves: a careless reader would find the cracks of the sound stream
    Invalid("step outside above", chains({(2, 0): [BRANCH, *LINE, UP, TERMINATE]})),
    Invalid("step outside below", chains({(2, 0): [DOWN, DOWN, DOWN, DOWN, TERMINATE]})),
    Invalid("step outside left", chains({(2, 0): LINE, (0, 1): [LEFT, TERMINATE]})),
    Invalid("step outside right", chains({(2, 0): LINE, (4, 1): [RIGHT, TERMINATE]})),
    Invalid("step outside right, wide of the last", chains({(2, 0): LINE, (4, 3): [RIGHT, TERMINATE]})),
    Invalid("step outside left of the first", chains({(2, 0): LINE, (0, 0): [LEFT, TERMINATE]})),
    Invalid("step outside above the first", chains({(2, 0): LINE, (0, 0): [UP, TERMINATE]})),
    Invalid("step outside below the last", chains({(2, 0): LINE, (4, 3): [DOWN, TERMINATE]})),
    Invalid("round trip outside", chains({(1, 0): [UP, RIGHT, DOWN, *LINE]})),
    Invalid("rim step to the right above", chains({(1, 0): [RIGHT, *LINE]})),
    Invalid("rim step to the left above", chains({(3, 0): [LEFT, *LINE]})),
    Invalid("rim step to the right below", chains({(2, 0): [DOWN, DOWN, DOWN, RIGHT, TERMINATE]})),
    Invalid("rim step to the left below", chains({(2, 0): [DOWN, DOWN, DOWN, LEFT, TERMINATE]})),
    Invalid("rim step down on the left", chains({(2, 0): LINE, (0, 1): [DOWN, TERMINATE]})),
    Invalid("rim step up on the left", chains({(2, 0): LINE, (0, 1): [UP, TERMINATE]})),
    Invalid("rim step down on the right", chains({(2, 0): LINE, (4, 1): [DOWN, TERMINATE]})),
    Invalid("rim step up on the right", chains({(2, 0): LINE, (4, 1): [UP, TERMINATE]})),
    Invalid("chain without moves", codes(lambda c: c[:8])),
    Invalid("ends inside a chain", chains({(2, 0): [BRANCH, DOWN, DOWN]}), orders=(0,)),
    Invalid("ends inside a control symbol", codes(lambda c: c[:8] + b"\xc2"), orders=(0,)),
    Invalid("ends before the last branch", chains({(2, 0): [BRANCH, BRANCH, *LINE, TERMINATE]}), orders=(0,)),
    Invalid("cracks of another component count", chains({(2, 0): [DOWN, TERMINATE]})),
    # Markov model
    Invalid("model cut short", lambda s: setattr(s, "model", s.model[:-1]), orders=(2,)),
    *[
        Invalid(
            f"model rows {row}",
            setting(model=reference_writer.write_model(np.full(16, row, np.uint8))),
            orders=(2,),
        )
        for row in range(24, 32)
    ],
]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.id)
def test_invalid_stream_is_refused(case: Invalid, version: int) -> None:
    """A stream that breaks a rule raises FormatError, even if all its checksums are right."""
    for order in case.orders:
        sections = base(version, case.pins, order)
        case.change(sections)
        if sections.format_version not in (0, 1) and version == 0:
            continue
        stream = sections.assemble()
        with pytest.raises(reference.BadStreamError):
            reference.decode(stream)
        with pytest.raises(FormatError):
            crackle_zarr.decompress(stream)
        with pytest.raises(FormatError):
            crackle_zarr.decompress(stream, verify=False)
        with pytest.raises(FormatError):
            crackle_zarr.decompress(stream, label=7)


CHECKSUMS = {
    "header": lambda s: s[:28] + bytes([s[28] ^ 1]) + s[29:],
    "crack index": lambda s: s[:37] + bytes([s[37] ^ 1]) + s[38:],
    "labels": lambda s: s[:-12] + bytes([s[-12] ^ 1]) + s[-11:],
    "slice 0": lambda s: s[:-8] + bytes([s[-8] ^ 1]) + s[-7:],
    "slice 1": lambda s: s[:-4] + bytes([s[-4] ^ 1]) + s[-3:],
}


@pytest.mark.parametrize("pins", [False, True], ids=["flat", "pins"])
@pytest.mark.parametrize("name", CHECKSUMS)
def test_wrong_checksum_is_refused(name: str, pins: bool) -> None:
    """Every checksum of version 1 is verified; verify=False leaves out those of labels and slices."""
    stream = CHECKSUMS[name](base(1, pins).assemble())
    with pytest.raises(FormatError, match="checksum"):
        crackle_zarr.decompress(stream)
    if name in ("header", "crack index"):
        with pytest.raises(FormatError, match="checksum"):
            crackle_zarr.decompress(stream, verify=False)
    else:
        assert np.array_equal(crackle_zarr.decompress(stream, verify=False), BASE)


def test_label_flipped_in_table_is_refused() -> None:
    """A flipped bit in the label table, which only its checksum shows, raises FormatError."""
    sections = base()
    sections.labels = flat_labels(table=b"\x06\x00\x2c\x01")
    sound = base().assemble()
    stream = bytearray(sound)
    stream[stream.index(b"\x07\x00\x2c\x01")] = 6
    with pytest.raises(FormatError, match="labels"):
        crackle_zarr.decompress(bytes(stream))
    with pytest.raises(FormatError, match="labels"):
        crackle_zarr.labels(bytes(stream))
    assert crackle_zarr.labels(sections.assemble()).tolist() == [6, 300]


def test_slice_of_other_cracks_is_refused() -> None:
    """Cracks with the right number of components in wrong places fail the slice's checksum."""
    sections = base()
    sections.codes[0] = code({(1, 0): LINE})
    with pytest.raises(FormatError, match=r"slice z = 0"):
        crackle_zarr.decompress(sections.assemble())


@pytest.mark.parametrize("extra", [b"\0", b"crkl", bytes(1000)], ids=["1 byte", "4 bytes", "1000 bytes"])
@pytest.mark.parametrize("version", [0, 1])
def test_bytes_behind_the_end_are_refused(version: int, extra: bytes) -> None:
    """Bytes after the last section raise, even in the stream of an empty volume."""
    with pytest.raises(FormatError):
        crackle_zarr.decompress(base(version).assemble() + extra)
    empty = Sections((0, 3, 2), np.dtype("u4"), format_version=version).assemble()
    with pytest.raises(FormatError):
        crackle_zarr.decompress(empty + extra)


NOT_CRACKLE = {
    "nothing": b"",
    "three bytes": b"crk",
    "magic alone": b"crkl",
    "other magic": b"crKl" + bytes(100),
    "NumPy": b"\x93NUMPY" + bytes(100),
    "text": b"These are not the voxels that you are looking for.",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("name", NOT_CRACKLE)
def test_foreign_bytes_are_refused(name: str) -> None:
    """Foreign bytes raise FormatError in every function that reads a stream."""
    for read in (crackle_zarr.decompress, crackle_zarr.header, crackle_zarr.labels, crackle_zarr.nbytes):
        with pytest.raises(FormatError):
            read(NOT_CRACKLE[name])


# ---------------------------------------------------------------------------------------
# Claims that no memory could hold

CLAIMS = """
import resource, sys
import numpy as np
import crackle_zarr
from crackle_zarr import FormatError

stream = bytes.fromhex(sys.argv[1])
allowed = {"FormatError": (FormatError,), "any": (FormatError, ValueError, MemoryError)}[sys.argv[2]]
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20),) * 2)
for read in (crackle_zarr.decompress, lambda s: crackle_zarr.decompress(s, label=1, crop=True),
             lambda s: crackle_zarr.decompress(s, parallel=2)):
    try:
        read(stream)
    except allowed:
        continue
    sys.exit("decompressed what cannot be there")
for read in (crackle_zarr.labels, crackle_zarr.num_labels, crackle_zarr.min,
             lambda s: crackle_zarr.contains(s, 1), lambda s: crackle_zarr.remap(s, {1: 2})):
    try:
        read(stream)
    except FormatError:
        continue
    if sys.argv[2] == "FormatError":
        sys.exit("answered from what is not there")
if sys.argv[2] == "any" and crackle_zarr.labels(stream).tolist() != [1]:
    sys.exit("the label table is sound and small")
"""


def huge(version: int, shape: tuple[int, int, int], **fields: Any) -> Sections:
    return Sections(shape, np.dtype("u8"), format_version=version, stored_width=1, **fields)


TOP = 2**32 - 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space limits are Linux's here")
@pytest.mark.parametrize(
    ("stream", "outcome"),
    [
        pytest.param(
            huge(0, (TOP, TOP, TOP)).header() + bytes(6), "FormatError", id="2^96 voxels in 30 bytes, v0"
        ),
        pytest.param(
            huge(1, (TOP, TOP, TOP)).header() + bytes(1), "FormatError", id="2^96 voxels in 30 bytes, v1"
        ),
        pytest.param(
            huge(1, (TOP, TOP, 1), index=[8], labels=bytes(8)).assemble(),
            "FormatError",
            id="slice of 2^64 voxels",
        ),
        pytest.param(
            huge(1, (4, 3, TOP)).header() + bytes(100), "FormatError", id="4 billion slices in 129 bytes"
        ),
        pytest.param(
            huge(
                0,
                (TOP, TOP, 1),
                labels=flat_labels(1, b"\x01", (1).to_bytes(8, "little"), b"\0"),
                codes=[reference_writer.write_chain_index([], TOP, TOP)],
            ).assemble(),
            "any",
            id="constant slice of 2^64 voxels: legal, and too large for any memory",
        ),
        pytest.param(
            huge(
                0,
                (2**20, 2**20, 1),
                labels=flat_labels(1, b"\x01", (1).to_bytes(8, "little"), b"\0"),
                codes=[reference_writer.write_chain_index([], 2**20, 2**20)],
            ).assemble(),
            "any",
            id="constant slice of 2^40 voxels: legal, and too large for this memory",
        ),
    ],
)
def test_claims_beyond_memory_fail_fast(stream: bytes, outcome: str, tmp_path: Path) -> None:
    """With 64 MB to spare, a short stream that claims a huge volume raises, and the process goes on."""
    result = subprocess.run(
        [sys.executable, "-c", CLAIMS, stream.hex(), outcome],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(crackle_zarr.__file__).parent.parent)},
    )
    assert result.returncode == 0, result.stderr
