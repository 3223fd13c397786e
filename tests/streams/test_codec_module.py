"""codec.check() names the damaged parts of a stream."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import volumes

import crackle_zarr
from crackle_zarr import FormatError, _binding, codec
from crackle_zarr.streams import stream

VOLUME = volumes.noise(5, (9, 8, 6), "u2")
SOUND = {"header": True, "crack_index": True, "labels": True, "markov_model": True, "length": True, "z": []}

STREAMS: dict[str, Callable[[], bytes]] = {
    "flat": lambda: crackle_zarr.compress(VOLUME),
    "version 0": lambda: crackle_zarr.compress(VOLUME, format_version=0),
    "Markov order 2": lambda: crackle_zarr.compress(VOLUME, markov_model_order=2),
    "Markov order 2, version 0": lambda: crackle_zarr.compress(
        VOLUME, markov_model_order=2, format_version=0
    ),
    "pins": lambda: crackle_zarr.compress(volumes.columns()[:, :, :40], allow_pins=1),
    "pins, version 0": lambda: crackle_zarr.compress(volumes.columns()[:, :, :40], 1, format_version=0),
    "constant": lambda: crackle_zarr.compress(volumes.constant()),
    "no voxels": lambda: crackle_zarr.compress(np.empty((3, 0, 2), np.uint8)),
    "single voxel": lambda: crackle_zarr.compress(np.uint8(3)),
}


@pytest.fixture(params=STREAMS)
def binary(request: pytest.FixtureRequest) -> bytes:
    return STREAMS[request.param]()


def damaged(binary: bytes, *places: int, bit: int = 0) -> bytes:
    changed = bytearray(binary)
    for place in places:
        changed[place] ^= 1 << bit
    return bytes(changed)


def layout(binary: bytes) -> _binding.Layout:
    return _binding.read_layout(binary)


def code(binary: bytes, z: int) -> int:
    """The offset of the first byte of slice z's moves."""
    begin, end = _binding.codes_range(binary, z, z + 1)
    (index,) = struct.unpack_from("<I", binary, begin)
    assert begin + 4 + index < end, "the slice has cracks"
    return begin + 4 + index


class TestSoundStreams:
    @pytest.mark.parametrize("slab_nbytes", [1, stream.SLAB_NBYTES], ids=["slice by slice", "at once"])
    def test_nothing_is_damaged(
        self, binary: bytes, slab_nbytes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All sections of a sound stream are sound, and no slice is listed."""
        monkeypatch.setattr(stream, "SLAB_NBYTES", slab_nbytes)
        assert codec.check(binary) == SOUND
        assert codec.ok(binary) is True

    def test_streams_of_crackle_codec(self) -> None:
        """Streams of crackle-codec are sound, and its check agrees."""
        crackle = pytest.importorskip("crackle")
        for pins in (0, 1):
            for order in (0, 3):
                theirs = crackle.compress(volumes.columns(), allow_pins=pins, markov_model_order=order)
                assert codec.check(theirs) == SOUND
                assert SOUND.items() >= crackle.codec.check(theirs).items()

    @pytest.mark.parametrize(
        "wrap",
        [bytearray, memoryview, crackle_zarr.CrackleArray, lambda b: np.frombuffer(b, np.uint8)],
        ids=["bytearray", "memoryview", "CrackleArray", "array of bytes"],
    )
    def test_sources(self, wrap: Callable[[bytes], Any]) -> None:
        """check() takes anything bytes-like, or a CrackleArray."""
        assert codec.ok(wrap(STREAMS["flat"]()))

    @pytest.mark.parametrize("source", [None, "crkl", 5, [1], np.array([b"x"], object)], ids=repr)
    def test_no_bytes_like_object(self, source: Any) -> None:
        """An object without bytes raises TypeError, and gets no report."""
        for function in (codec.check, codec.ok):
            with pytest.raises(TypeError, match="bytes-like"):
                function(source)


class TestSections:
    def test_header(self) -> None:
        """Without a sound header nothing else can be checked."""
        unknown = {"crack_index": None, "labels": None, "markov_model": None, "length": None, "z": None}
        binary = STREAMS["flat"]()
        for broken in (
            b"",
            b"crkl",
            binary[:28],
            damaged(binary, 0),
            damaged(binary, 8),
            damaged(binary, 28),
        ):
            assert codec.check(broken) == {"header": False, **unknown}
            assert codec.ok(broken) is False

    def test_crack_index(self) -> None:
        """Without the crack index the sections behind it cannot be found."""
        binary = STREAMS["flat"]()
        unknown = {"labels": None, "markov_model": None, "length": None, "z": None}
        place = layout(binary).crack_index
        for broken in (damaged(binary, place), damaged(binary, place + 4 * 6), binary[: place + 9]):
            assert codec.check(broken) == {"header": True, "crack_index": False, **unknown}
            assert codec.ok(broken) is False

    @pytest.mark.parametrize("name", ["flat", "Markov order 2", "pins"])
    def test_labels(self, name: str) -> None:
        """A change in any byte of the labels section or its checksum is found; slices are still checked."""
        binary = STREAMS[name]()
        places = layout(binary)
        for place in [
            *range(places.labels, places.markov_model),
            *range(places.checksums, places.checksums + 4),
        ]:
            for bit in (0, 7):
                broken = damaged(binary, place, bit=bit)
                assert codec.check(broken) == {**SOUND, "labels": False}
                assert codec.ok(broken) is False

    def test_labels_and_slices(self) -> None:
        """Damaged labels do not hide damaged slices, in their codes or their checksums."""
        binary = STREAMS["flat"]()
        places = layout(binary)
        broken = damaged(binary, places.labels, code(binary, 1), places.checksums + 4 + 4 * 4)
        assert codec.check(broken) == {**SOUND, "labels": False, "z": [1, 4]}

    def test_markov_model(self) -> None:
        """A row that no model can have is damage of the model, and no slice can be checked."""
        binary = bytearray(STREAMS["Markov order 2"]())
        binary[layout(binary).markov_model] |= 0b11111
        assert codec.check(bytes(binary)) == {**SOUND, "markov_model": False, "z": None}
        assert codec.ok(bytes(binary)) is False

    def test_another_markov_model(self) -> None:
        """A damaged but possible model shows as damaged slices, since the model has no checksum."""
        binary = bytearray(STREAMS["Markov order 2"]())
        section = slice(layout(binary).markov_model, layout(binary).crack_codes)
        bits = int.from_bytes(binary[section], "little")
        rows = [(bits >> 5 * row & 31) for row in range(16)]
        bits = sum(((ranking + 12) % 24) << 5 * row for row, ranking in enumerate(rows))
        binary[section] = bits.to_bytes(10, "little")
        assert codec.check(bytes(binary)) == {**SOUND, "z": [0, 1, 2, 3, 4, 5]}
        assert codec.ok(bytes(binary)) is False

    @pytest.mark.parametrize("slab_nbytes", [1, stream.SLAB_NBYTES], ids=["slice by slice", "at once"])
    @pytest.mark.parametrize(
        "slices", [[0], [5], [2, 3], [0, 2, 5], [0, 1, 2, 3, 4, 5]], ids=lambda slices: f"z = {slices}"
    )
    @pytest.mark.parametrize("where", ["codes", "checksums"])
    def test_slices(
        self, where: str, slices: list[int], slab_nbytes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All damaged slices are listed, and no others."""
        monkeypatch.setattr(stream, "SLAB_NBYTES", slab_nbytes)
        binary = STREAMS["flat"]()
        first = layout(binary).checksums + 4
        places = [code(binary, z) if where == "codes" else first + 4 * z for z in slices]
        broken = damaged(binary, *places)
        assert codec.check(broken) == {**SOUND, "z": slices}
        assert codec.ok(broken) is False

    def test_slices_of_version_0(self) -> None:
        """Without checksums, a slice is damaged if its cracks contradict themselves or the labels."""
        binary = STREAMS["version 0"]()
        begin, _ = _binding.codes_range(binary, 3, 4)
        assert codec.check(damaged(binary, begin)) == {**SOUND, "z": [3]}  # the length of the chain index
        changed = damaged(binary, code(binary, 3))  # a move
        report = codec.check(changed)
        assert report == {**SOUND, "z": [3]}
        with pytest.raises(FormatError):
            crackle_zarr.decompress(changed)

    def test_keys_of_version_0(self) -> None:
        """A key past the table of labels is damage of the labels; the slices are sound."""
        binary = bytearray(STREAMS["version 0"]())
        binary[layout(binary).markov_model - 1] = 200  # the key of the last component
        assert codec.check(bytes(binary)) == {**SOUND, "labels": False}

    def test_excess(self) -> None:
        """Bytes after the end make the length wrong, and nothing else."""
        for name in ("flat", "version 0", "no voxels"):
            broken = STREAMS[name]() + b"\0"
            assert codec.check(broken) == {**SOUND, "length": False}
            assert codec.ok(broken) is False


class TestTruncations:
    def test_every_incomplete_part(self) -> None:
        """In a truncated stream, incomplete sections and slices are damaged, their checksums included."""
        binary = STREAMS["Markov order 2"]()
        places = layout(binary)
        ends = [_binding.codes_range(binary, z, z + 1)[1] for z in range(6)]
        assert ends[-1] == places.checksums
        for length in range(places.labels, len(binary)):
            report = codec.check(binary[:length])
            assert report["header"] is True
            assert report["crack_index"] is True
            assert report["length"] is False
            whole_model = length >= places.crack_codes
            assert report["markov_model"] is whole_model
            if length < places.markov_model:
                assert report["labels"] is False
            elif not whole_model:
                assert report["labels"] is None
            else:
                assert report["labels"] is (length >= places.checksums + 4)
            complete = max(0, (length - places.checksums) // 4 - 1)
            assert report["z"] == list(range(complete, 6))

    def test_version_0(self) -> None:
        """In a truncated stream without checksums, complete slices are checked by their contents."""
        binary = STREAMS["version 0"]()
        places = layout(binary)
        ends = [_binding.codes_range(binary, z, z + 1)[1] for z in range(6)]
        for length in range(places.crack_codes, len(binary)):
            report = codec.check(binary[:length])
            assert report == {**SOUND, "length": False, "z": [z for z in range(6) if ends[z] > length]}

    def test_every_length(self, binary: bytes) -> None:
        """Every truncation gets a report, and none is sound."""
        for length in range(len(binary)):
            assert codec.ok(binary[:length]) is False


class TestEveryBit:
    """Every bit of some small streams is flipped."""

    SMALL = volumes.noise(3, (5, 4, 3), "u2")
    COLUMNS = np.asfortranarray(np.repeat(volumes.cells((5, 4, 1), 3), 6, axis=2))

    @pytest.mark.parametrize("version", [0, 1])
    @pytest.mark.parametrize(
        ("volume", "options"),
        [(SMALL, {}), (SMALL, {"markov_model_order": 1}), (COLUMNS, {"allow_pins": 1})],
        ids=["flat", "Markov order 1", "pins"],
    )
    def test_against_decompress(self, volume: np.ndarray, options: dict[str, int], version: int) -> None:
        """A stream decodes if and only if check() calls it sound, in version 1 to the right labels."""
        binary = crackle_zarr.compress(volume, **options, format_version=version)
        for place in range(len(binary)):
            for bit in range(8):
                broken = damaged(binary, place, bit=bit)
                try:
                    found: np.ndarray | None = crackle_zarr.decompress(broken, parallel=1)
                except (FormatError, MemoryError):
                    found = None
                report = codec.check(broken)
                assert codec.ok(broken) == (found is not None), (place, bit)
                if version == 0:
                    continue
                if found is not None:
                    np.testing.assert_array_equal(found, volume)
                elif report["labels"] and report["z"] is not None:
                    # Slices that are not listed are sound.
                    for z in set(range(volume.shape[2])) - set(report["z"]):
                        part = crackle_zarr.decompress(broken, parallel=1, z_start=z, z_end=z + 1)
                        np.testing.assert_array_equal(part, volume[:, :, z : z + 1])

    def test_a_slice_that_no_memory_holds(self) -> None:
        """A stream of 60 bytes that claims a huge slice gets a report; the slice is not called sound."""
        labels = struct.pack("<QBQB", 1, 7, 1, 0)
        crack_code = struct.pack("<II", 4, 0)
        fixed = struct.pack("<HIIIBI", 0x80, 2**31, 2**31, 1, 31, len(labels))
        binary = b"crkl\0" + fixed + struct.pack("<I", len(crack_code)) + labels + crack_code
        assert codec.check(binary) == {**SOUND, "z": [0]}
