"""The binding: statuses become exceptions, every kind of buffer is read, and streams are read in parts."""

from __future__ import annotations

import copy
import itertools
import mmap
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import reference
import reference_writer
from hypothesis import given, settings
from hypothesis import strategies as st
from volumes import EDGES, VOLUMES, noise

import crackle_zarr
from crackle_zarr import CrackleError, FormatError, _binding
from crackle_zarr._binding import library
from crackle_zarr._crackle import ffi, lib

Array = npt.NDArray[Any]

VOLUME = VOLUMES["cells"]()

EXCEPTIONS: dict[str, type[Exception] | None] = {
    "CRACKLE_OK": None,
    "CRACKLE_BAD_ARGUMENT": ValueError,
    "CRACKLE_NO_MEMORY": MemoryError,
    "CRACKLE_NOT_CRACKLE": FormatError,
    "CRACKLE_UNSUPPORTED": FormatError,
    "CRACKLE_TRUNCATED": FormatError,
    "CRACKLE_EXCESS": FormatError,
    "CRACKLE_BAD_CHECKSUM": FormatError,
    "CRACKLE_CORRUPT": FormatError,
    "CRACKLE_TOO_LARGE": ValueError,
    "CRACKLE_DOES_NOT_FIT": OverflowError,
    "CRACKLE_STOPPED": KeyboardInterrupt,
}

SECTIONS = [
    "CRACKLE_SECTION_NONE",
    "CRACKLE_SECTION_HEADER",
    "CRACKLE_SECTION_CRACK_INDEX",
    "CRACKLE_SECTION_LABELS",
    "CRACKLE_SECTION_MARKOV_MODEL",
    "CRACKLE_SECTION_CRACK_CODES",
    "CRACKLE_SECTION_CHECKSUMS",
]


def enumerators(name: str) -> dict[str, int]:
    """The enumerators of an enum of the C library."""
    return {text: number for number, text in ffi.typeof(name).elements.items()}


def message(status: int) -> str:
    return ffi.string(lib.crackle_status_message(status)).decode("ascii")


# ---------------------------------------------------------------------------------------
# Statuses and sections


def test_every_status_is_listed_here() -> None:
    """A new status in C needs an exception and a row in the table above."""
    assert set(enumerators("crackle_status")) == set(EXCEPTIONS)
    assert set(enumerators("crackle_section")) == set(SECTIONS)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_status_becomes_exception(name: str) -> None:
    """Every status has a message of its own, and raises its exception with that message."""
    status = enumerators("crackle_status")[name]
    others = {message(other) for other in enumerators("crackle_status").values() if other != status}
    assert message(status)
    assert message(status) not in others
    expected = EXCEPTIONS[name]
    if expected is None:
        library.check_status(status)
        return
    with pytest.raises(expected) as caught:
        library.check_status(status)
    assert message(status) in str(caught.value)
    assert isinstance(caught.value, FormatError) == (expected is FormatError)


@pytest.mark.parametrize("status", [-1, 12, 1000])
def test_unknown_status_has_a_message(status: int) -> None:
    """A number that is not a status has a message, too: C does not read past its table."""
    assert ffi.string(lib.crackle_status_message(ffi.cast("crackle_status", status)))


def test_sections_have_names() -> None:
    """Every section has a name of its own, and an unknown number has one too."""
    names = {
        ffi.string(lib.crackle_section_name(number)) for number in enumerators("crackle_section").values()
    }
    assert len(names) == len(SECTIONS)
    assert ffi.string(lib.crackle_section_name(ffi.cast("crackle_section", 1000)))


def test_format_error_is_a_value_error() -> None:
    """Callers that know nothing of Crackle can catch ValueError."""
    assert issubclass(FormatError, CrackleError)
    assert issubclass(FormatError, ValueError)


@pytest.mark.parametrize("pins", [0, 2], ids=["flat", "pins"])
def test_error_names_section_and_slice(pins: int) -> None:
    """An error names the damaged section, and the damaged slice if the section has slices."""
    stream = crackle_zarr.compress(VOLUME, pins, 2)
    layout = _binding.read_layout(stream)
    code_start, code_end = _binding.codes_range(stream, 4, 5)
    places = {
        10: ("header", None),
        layout.crack_index + 1: ("crack index", None),
        layout.labels + 9: ("labels", None),
        code_start + 3: ("crack codes", 4),  # the highest byte of the length of the chain index
        layout.checksums + 4 + 4 * 3: (None, 3),  # the error names the checksum, or the codes that it covers
    }
    assert code_start < code_end
    for at, (section, slice_number) in places.items():
        damaged = bytearray(stream)
        damaged[at] ^= 0x81
        with pytest.raises(FormatError) as caught:
            crackle_zarr.decompress(damaged)
        error = caught.value
        if section:
            assert error.section == section
        assert error.slice == slice_number
        assert error.section is not None
        assert error.section in str(error)
        if slice_number is not None:
            assert f"z = {slice_number}" in str(error)


def test_error_without_place() -> None:
    """The error for bytes that are not a Crackle stream has a message and no slice."""
    with pytest.raises(FormatError, match="Crackle") as caught:
        crackle_zarr.decompress(b"PK\x03\x04" + bytes(60))
    assert caught.value.slice is None


@pytest.mark.parametrize("clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_format_error_pickles(clone: Any) -> None:
    """Worker processes send exceptions home with all their attributes."""
    error = FormatError("not sound", "labels", 7)
    twin = clone(error)
    assert type(twin) is FormatError
    assert (str(twin), twin.section, twin.slice) == ("not sound", "labels", 7)


# ---------------------------------------------------------------------------------------
# Buffers


def mapped(stream: bytes, folder: Path) -> mmap.mmap:
    path = folder / "stream.ckl"
    path.write_bytes(stream)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


BUFFERS: dict[str, Any] = {
    "bytes": lambda stream, _: stream,
    "bytearray": lambda stream, _: bytearray(stream),
    "memoryview": lambda stream, _: memoryview(stream),
    "memoryview of a part": lambda stream, _: memoryview(b"before" + stream + b"behind")[6:-6],
    "memoryview, strided": lambda stream, _: memoryview(bytes(byte for b in stream for byte in (b, 0)))[::2],
    "memoryview, backwards": lambda stream, _: memoryview(stream[::-1])[::-1],
    "mmap": mapped,
    "NumPy u1": lambda stream, _: np.frombuffer(stream, np.uint8),
    "NumPy i1": lambda stream, _: np.frombuffer(stream, np.int8),
    "NumPy, strided": lambda stream, _: np.repeat(np.frombuffer(stream, np.uint8), 3)[::3],
    "NumPy, 2-D": lambda stream, _: np.frombuffer(stream, np.uint8).reshape(1, -1),
    "NumPy void": lambda stream, _: np.frombuffer(stream, f"V{len(stream)}"),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_every_kind_of_buffer_is_read(kind: str, tmp_path: Path) -> None:
    """Any object with the buffer protocol is a stream: it can be decoded, queried and relabelled."""
    buffer = BUFFERS[kind](crackle_zarr.compress(VOLUME, 1), tmp_path)
    assert np.array_equal(crackle_zarr.decompress(buffer), VOLUME)
    assert crackle_zarr.header(buffer).shape == VOLUME.shape
    assert np.array_equal(crackle_zarr.labels(buffer), np.unique(VOLUME))
    reader = _binding.Reader(buffer)
    relabelled = _binding.relabel(buffer, reader.table() + 1, reader.header.dtype, True)
    assert np.array_equal(crackle_zarr.decompress(relabelled), VOLUME + 1)


def test_reader_keeps_its_buffer() -> None:
    """A reader keeps its stream alive, and a bytearray stays locked meanwhile."""
    reader = _binding.Reader(bytes(bytearray(crackle_zarr.compress(VOLUME))))
    scrap = [bytes(5000) for _ in range(100)]
    out = np.empty(VOLUME.shape, VOLUME.dtype)
    reader.decode(out, 0, VOLUME.shape[2])
    assert np.array_equal(out, VOLUME)
    del scrap
    stream = bytearray(crackle_zarr.compress(VOLUME))
    reader = _binding.Reader(stream)
    with pytest.raises(BufferError):
        stream.clear()


WRONG_TYPES: dict[str, Any] = {
    "None": None,
    "int": 12,
    "float": 1.5,
    "str": "crkl",
    "list": [1, 2, 3],
    "dict": {},
    "path": Path("stream.ckl"),
    "object array": np.array([b"crkl"], object),
    "generator": (byte for byte in b"crkl"),
}


@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_wrong_type_is_a_type_error(kind: str) -> None:
    """An object without bytes raises TypeError that names its type."""
    wrong = WRONG_TYPES[kind]
    for read in (_binding.Reader, _binding.read_header, _binding.read_layout, crackle_zarr.decompress):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            read(wrong)
    with pytest.raises(TypeError):
        _binding.Reader.from_parts(wrong)


# ---------------------------------------------------------------------------------------
# Header and layout


@pytest.mark.parametrize("name", [*VOLUMES, "sx = 256", "65,536 voxels"])
def test_header_agrees_with_reference(name: str) -> None:
    """Every field of the header equals the reference's, for streams of every kind."""
    volume = (VOLUMES | EDGES)[name]()
    rng = random.Random(name)
    for version, pins, order in ((1, 0, 0), (0, 2, 1), (1, 1, 3)):
        stream = crackle_zarr.compress(volume, pins, order, format_version=version)
        header, expected = _binding.read_header(stream[:29]), reference.read_header(stream)
        assert header.shape == (expected.sx, expected.sy, expected.sz) == volume.shape
        assert header.dtype == expected.dtype
        assert header.stored_data_width == expected.stored_width
        assert header.crack_format == expected.permissible
        assert header.label_format == expected.label_format
        assert header.fortran_order == expected.fortran_order
        assert header.signed == expected.signed
        assert header.markov_model_order == expected.markov_order
        assert header.is_sorted == expected.is_sorted
        assert header.format_version == expected.format_version == version
        assert header.num_label_bytes == expected.num_label_bytes
        assert header.nbytes == volume.nbytes
        assert header.voxels() == volume.size
        cut = rng.randrange(expected.nbytes)
        with pytest.raises(FormatError):
            _binding.read_header(stream[:cut])


@pytest.mark.parametrize("version", [0, 1])
def test_layout_adds_up(version: int) -> None:
    """Sections follow each other without gaps to the end of the stream; a prefix is enough to find them."""
    volume = VOLUMES["balls"]()
    stream = crackle_zarr.compress(volume, 0, 2, format_version=version)
    sz = volume.shape[2]
    prefix = stream[: _binding.prefix_nbytes(sz)]
    layout = _binding.read_layout(prefix)
    head = 29 if version else 24
    assert layout.crack_index == head
    assert layout.labels == head + 4 * sz + 4 * version
    assert layout.markov_model == layout.labels + _binding.read_header(stream).num_label_bytes
    assert layout.crack_codes == layout.markov_model + 10
    assert layout.end == len(stream)
    assert layout.end - layout.checksums == version * 4 * (1 + sz)
    ranges = [_binding.codes_range(prefix, z, z + 1) for z in range(sz)]
    assert ranges[0][0] == layout.crack_codes
    assert ranges[-1][1] == layout.checksums
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    assert _binding.codes_range(prefix, 2, 7) == (ranges[2][0], ranges[6][1])
    with pytest.raises(FormatError):
        _binding.read_layout(prefix[: layout.labels - 1])


@pytest.mark.parametrize(("start", "end"), [(0, 13), (13, 13), (5, 4), (12, 13), (2**32 - 1, 2**32 - 1)])
def test_range_outside_the_volume(start: int, end: int) -> None:
    """A range outside of the volume is the caller's mistake: ValueError, and not FormatError."""
    stream = crackle_zarr.compress(VOLUMES["balls"]())  # 12 slices
    reader = _binding.Reader(stream)
    out = np.zeros((30, 26, max(end - start, 0)), np.uint32)
    for call in (lambda: reader.decode(out, start, end), lambda: _binding.codes_range(stream, start, end)):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - that it is no FormatError is the point
            call()
        assert not isinstance(caught.value, FormatError)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((30, 26, 11), "u4"),
        ((26, 30, 12), "u4"),
        ((30, 26, 12), "u2"),
        ((30, 26, 12), "u8"),
        ((0, 26, 12), "u4"),
    ],
)
def test_volume_of_another_size(shape: tuple[int, int, int], dtype: str) -> None:
    """A buffer of another size than the range raises before a byte is written."""
    reader = _binding.Reader(crackle_zarr.compress(VOLUMES["balls"]()))
    out = np.full(shape, 9, dtype, order="F")
    with pytest.raises(ValueError):  # noqa: PT011 - the message is C's
        reader.decode(out, 0, 12)
    assert (out == 9).all()


def test_read_only_volume() -> None:
    """A read-only array is not written to."""
    volume = VOLUMES["balls"]()
    reader = _binding.Reader(crackle_zarr.compress(volume))
    out = np.zeros(volume.shape, volume.dtype)
    out.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        reader.decode(out, 0, volume.shape[2])
    assert not out.any()


# ---------------------------------------------------------------------------------------
# Parts


def from_parts(stream: bytes, start: int, end: int) -> _binding.Reader:
    """A reader that is given only the bytes that slices [start, end) need."""
    sz = _binding.read_header(stream[:29]).sz
    prefix = stream[: _binding.prefix_nbytes(sz)]
    layout = _binding.read_layout(prefix)
    first, last = _binding.codes_range(prefix, start, end)
    return _binding.Reader.from_parts(
        stream[: layout.crack_codes], stream[first:last], start, stream[layout.checksums :]
    )


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(VOLUMES)),
    pins=st.integers(0, 2),
    order=st.integers(0, 3),
    version=st.integers(0, 1),
    data=st.data(),
)
def test_parts_are_enough(name: str, pins: int, order: int, version: int, data: st.DataObject) -> None:
    """Head, tail and the codes of some slices decode these slices, and any range of them."""
    volume = VOLUMES[name]()
    volume = volume.view(np.uint8) if volume.dtype == bool else volume
    stream = crackle_zarr.compress(volume, pins, order, format_version=version)
    sx, sy, sz = volume.shape
    start = data.draw(st.integers(0, sz - 1))
    end = data.draw(st.integers(start + 1, sz))
    reader = from_parts(stream, start, end)
    first = data.draw(st.integers(start, end - 1))
    last = data.draw(st.integers(first + 1, end))
    out = np.empty((sx, sy, last - first), volume.dtype, order="F")
    reader.decode(out, first, last, parallel=2)
    assert np.array_equal(out, volume[:, :, first:last])
    mask = np.empty((sx, sy, last - first), np.uint8)
    label = volume[0, 0, first].item()
    reader.decode(mask, first, last, label=label)
    assert np.array_equal(mask, volume[:, :, first:last] == label)


@pytest.mark.parametrize("pins", [0, 2], ids=["flat", "pins"])
def test_head_and_tail_answer_questions(pins: int) -> None:
    """Questions about labels and components need no crack codes."""
    stream = crackle_zarr.compress(VOLUME, pins)
    layout = _binding.read_layout(stream)
    reader = _binding.Reader.from_parts(stream[: layout.crack_codes], tail=stream[layout.checksums :])
    assert np.array_equal(np.unique(reader.table()), np.unique(VOLUME))
    assert reader.component_counts().tolist() == reference.decode(stream).counts
    assert reader.contains(int(VOLUME[3, 3, 3]))
    assert not reader.contains(999_999)


@pytest.mark.parametrize("pins", [0, 2], ids=["flat", "pins"])
def test_head_alone_answers_without_verifying(pins: int) -> None:
    """Without the tail, the reader cannot verify labels: it raises if asked to verify."""
    stream = crackle_zarr.compress(VOLUME, pins)
    reader = _binding.Reader.from_parts(stream[: _binding.read_layout(stream).crack_codes])
    assert np.array_equal(np.unique(reader.table(verify=False)), np.unique(VOLUME))
    assert reader.contains(int(VOLUME[3, 3, 3]), verify=False)
    with pytest.raises(FormatError):
        reader.table()
    with pytest.raises(FormatError):
        reader.contains(1)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("pins", [0, 2], ids=["flat", "pins"])
def test_parts_cut_short(pins: int, version: int) -> None:
    """Each part cut at any byte raises; nothing behind its end is read."""
    volume = noise(3, (6, 5, 4))
    stream = crackle_zarr.compress(volume, pins, 1, format_version=version)
    layout = _binding.read_layout(stream)
    first, last = _binding.codes_range(stream, 1, 3)
    head, codes, tail = stream[: layout.crack_codes], stream[first:last], stream[layout.checksums :]
    out = np.empty((6, 5, 2), volume.dtype)
    _binding.Reader.from_parts(head, codes, 1, tail).decode(out, 1, 3)
    assert np.array_equal(out, volume[:, :, 1:3])
    cuts = [(head[:n], codes, tail) for n in range(len(head))]
    cuts += [(head, codes[:n], tail) for n in range(len(codes))]
    cuts += [(head, codes, tail[:n]) for n in range(len(tail))]
    for parts in cuts:
        with pytest.raises(FormatError):
            _binding.Reader.from_parts(parts[0], parts[1], 1, parts[2]).decode(out, 1, 3)


def test_codes_of_other_slices() -> None:
    """A range raises if the given codes lack any of its slices, at either end."""
    stream = crackle_zarr.compress(VOLUME)
    out = np.empty((*VOLUME.shape[:2], 2), VOLUME.dtype)
    reader = from_parts(stream, 3, 5)
    reader.decode(out, 3, 5)
    for start in (0, 1, 2, 4, 5, 7):
        with pytest.raises(ValueError):  # noqa: PT011 - the mistake is one of two: FormatError or not
            reader.decode(out, start, start + 2)


# ---------------------------------------------------------------------------------------
# Tables


@pytest.mark.parametrize("seed", range(60))
def test_table_of_unusual_stream(seed: int) -> None:
    """Tables that are unsorted, repeat labels or list unused labels are read and searched as stored."""
    rng = random.Random(seed)
    name = rng.choice([name for name in VOLUMES if name not in ("bool", "columns")])
    volume = VOLUMES[name]()
    stream = reference_writer.craft(volume, reference_writer.random_style(rng, volume.dtype, 2), rng)
    reader, expected = _binding.Reader(stream), reference.decode(stream)
    assert np.array_equal(reader.table(), expected.table)
    assert reader.table().dtype == volume.dtype
    assert reader.component_counts().tolist() == expected.counts
    listed = set(expected.table.tolist())
    assert np.array_equal(crackle_zarr.labels(stream), np.unique(expected.table))
    for label in listed:
        assert reader.contains(label)
        assert reader.contains(label, verify=False)
    info = np.iinfo(volume.dtype)
    for label in {info.min, info.max, *(rng.randint(info.min, info.max) for _ in range(20))} - listed:
        assert not reader.contains(label)


@pytest.mark.parametrize("seed", range(60))
def test_relabel_unusual_stream(seed: int) -> None:
    """Relabelling any legal stream gives a sound stream with a sorted table."""
    rng = random.Random(seed)
    dtype = np.dtype(rng.choice(["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]))
    volume = noise(rng.choice([1, 2, 30]), (8, 7, 3), "u1").astype(dtype)
    style = reference_writer.random_style(rng, dtype, 2)
    stream = reference_writer.craft(volume, style, rng)
    reader = _binding.Reader(stream)
    table = reader.table()
    wide = np.dtype(rng.choice(["u8", "i8"]))
    info = np.iinfo(wide)
    chosen = [rng.randint(info.min, info.max) for _ in range(4)]
    mapping = {label: rng.choice(chosen) for label in sorted(set(table.tolist()))}
    new_table = np.array([mapping[label] for label in table.tolist()], wide)
    relabelled = _binding.relabel(stream, new_table, wide, rng.random() < 0.5)
    result = reference.decode(relabelled)
    expected = np.array([mapping[label] for label in volume.reshape(-1).tolist()], wide).reshape(volume.shape)
    assert np.array_equal(result.array, expected)
    assert result.array.dtype == wide
    assert result.header.is_sorted
    assert result.header.format_version == style.format_version
    assert np.array_equal(crackle_zarr.decompress(relabelled), expected)


@pytest.mark.parametrize("seed", range(40))
def test_relabel_in_place(seed: int) -> None:
    """Labels that fit the stored width are changed within the stream, with all its checksums."""
    rng = random.Random(seed)
    volume = noise(20, (8, 7, 3), "u2") + np.uint16(300)
    stream = bytearray(
        reference_writer.craft(volume, reference_writer.random_style(rng, volume.dtype, 2), rng)
    )
    table = _binding.Reader(bytes(stream)).table()
    mapping = {label: rng.randrange(2**16) for label in sorted(set(table.tolist()))}
    _binding.relabel_in_place(stream, np.array([mapping[label] for label in table.tolist()], np.uint16))
    expected = np.vectorize(mapping.get)(volume)
    assert np.array_equal(crackle_zarr.decompress(stream), expected)
    assert np.array_equal(reference.decode(bytes(stream)).array, expected)
    before = bytes(stream)
    with pytest.raises(OverflowError):
        _binding.relabel_in_place(stream, np.full(len(table), 2**16, np.uint32))
    assert bytes(stream) == before


def test_relabel_to_a_dtype_that_does_not_hold_it() -> None:
    """A label that the dtype cannot hold raises, and so does a table of another length."""
    stream = crackle_zarr.compress(VOLUME)
    table = _binding.Reader(stream).table()
    with pytest.raises(OverflowError):
        _binding.relabel(stream, table + 2**16, np.dtype("u2"), True)
    for wrong in (table[:-1], np.append(table, 1), table[:0]):
        with pytest.raises(ValueError):  # noqa: PT011 - the message is C's
            _binding.relabel(stream, wrong, np.dtype("u8"), True)
