"""remap, refit, renumber, astype: other labels and dtypes of one stream."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import volumes
from stream_cases import DTYPES, brick, case, empty, renamed  # noqa: F401

import crackle_zarr


class TestRemap:
    def test_against_python(self, case: tuple[np.ndarray, bytes]) -> None:
        """Labels are mapped at once: the largest and the smallest swap, the others become a new label."""
        volume, binary = case
        every = np.unique(volume).tolist()
        mapping = {every[0]: every[-1], every[-1]: every[0], **dict.fromkeys(every[1:-1], 100)}
        changed = crackle_zarr.remap(binary, mapping)
        assert type(changed) is bytes
        back = crackle_zarr.decompress(changed)
        assert back.dtype == volume.dtype
        assert back.flags.f_contiguous == volume.flags.f_contiguous
        np.testing.assert_array_equal(back, renamed(volume, mapping))
        np.testing.assert_array_equal(crackle_zarr.labels(changed), np.unique(back))
        assert crackle_zarr.header(changed).is_sorted

    def test_crackle_codec_reads_it(self, case: tuple[np.ndarray, bytes]) -> None:
        """Another reader sees the new labels too."""
        crackle = pytest.importorskip("crackle")
        volume, binary = case
        if volume.dtype.kind == "i":
            pytest.skip("crackle-codec reads no signed labels")
        every = np.unique(volume).tolist()
        mapping = {every[0]: 3, every[-1]: 200}
        changed = crackle_zarr.remap(binary, mapping, preserve_missing_labels=True)
        np.testing.assert_array_equal(crackle.decompress(changed), renamed(volume, mapping))

    def test_labels_without_a_mapping(self) -> None:
        """KeyError counts unmapped labels and lists the first few; on request they are kept."""
        binary = crackle_zarr.compress(brick())
        with pytest.raises(
            KeyError, match=r"no mapping for 8 .*: 0, 2, 3, 4, 5, \.\.\.;.*preserve_missing_labels"
        ):
            crackle_zarr.remap(binary, {1: 50})
        with pytest.raises(KeyError, match="no mapping for 9 "):
            crackle_zarr.remap(binary, {})
        np.testing.assert_array_equal(
            crackle_zarr.decompress(crackle_zarr.remap(binary, {1: 50}, preserve_missing_labels=True)),
            renamed(brick(), {1: 50}),
        )
        kept = crackle_zarr.remap(binary, {}, True)
        np.testing.assert_array_equal(crackle_zarr.decompress(kept), brick())

    def test_keys_that_are_no_labels(self) -> None:
        """Keys that are not labels are ignored, even outside of the dtype, and so are their values."""
        mapping = {1: 11, 77: 5, -1: 6, 2**32: 2**40, 2**64 + 2: 3, -(2**70): -(2**70), 256 + 3: 9}
        changed = crackle_zarr.remap(crackle_zarr.compress(brick()), mapping, preserve_missing_labels=True)
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(brick(), {1: 11}))

    @pytest.mark.parametrize(
        "mapping",
        [
            pytest.param({np.uint64(1): np.int8(5), 2: np.uint64(6)}, id="integers of NumPy, mixed"),
            pytest.param({np.int64(1): 5, np.uint64(2): 6}, id="keys that NumPy would make floats of"),
            pytest.param(MappingProxyType({1: 5, 2: 6}), id="another mapping"),
            pytest.param({True: 5, 2: 6}, id="True, which is 1"),
            pytest.param({1: 5, 2: 6, -1: 0, 2**63: 0}, id="negative, and past 2^63"),
        ],
    )
    def test_kinds_of_mappings(self, mapping: Any) -> None:
        """Any mapping from integers to integers is accepted."""
        changed = crackle_zarr.remap(crackle_zarr.compress(brick()), mapping, preserve_missing_labels=True)
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(brick(), {1: 5, 2: 6}))

    def test_labels_of_64_bits(self) -> None:
        """Consecutive labels past 2^53 are kept apart, as keys and as new labels, signed and unsigned."""
        volume = volumes.palette([2**53, 2**53 + 1, 2**64 - 1, 0], "u8")
        mapping = {2**53 + 1: 2**64 - 2, 2**64 - 1: 2**53 + 3, 2**53: 1, 0: 2**53}
        changed = crackle_zarr.remap(crackle_zarr.compress(volume), mapping)
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(volume, mapping))
        volume = volumes.palette([-(2**63), -(2**53) - 1, 5, 2**63 - 1], "i8")
        mapping = {-(2**63): 2**63 - 1, 2**63 - 1: -(2**63), -(2**53) - 1: -(2**53) - 2, 5: -5}
        changed = crackle_zarr.remap(crackle_zarr.compress(volume), mapping)
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(volume, mapping))

    @pytest.mark.parametrize(
        ("mapping", "message"),
        [
            ({1.0: 2}, "key of mapping.*float"),
            ({1: 2.5}, "value of mapping.*float"),
            ({"1": 2}, "key of mapping.*str"),
            ({1: None}, "value of mapping.*NoneType"),
            ({1: [2]}, "value of mapping.*list"),
            ({(1, 2): 2}, "key of mapping.*tuple"),
            ([(1, 2)], "dict.*list"),
            (None, "dict.*NoneType"),
        ],
        ids=str,
    )
    def test_wrong_mapping(self, mapping: Any, message: str) -> None:
        """TypeError names the wrong key or value of the mapping."""
        with pytest.raises(TypeError, match=message):
            crackle_zarr.remap(crackle_zarr.compress(brick()), mapping, preserve_missing_labels=True)

    @pytest.mark.parametrize(
        ("dtype", "label"), [("u1", 256), ("u1", -1), ("i1", 128), ("u8", 2**64)], ids=str
    )
    @pytest.mark.parametrize("in_place", [False, True])
    def test_new_labels_have_to_fit_the_dtype(self, dtype: str, label: int, in_place: bool) -> None:
        """ValueError names the label and the dtype; the label is not wrapped around."""
        binary = bytearray(crackle_zarr.compress(brick(dtype)))
        before = bytes(binary)
        with pytest.raises(ValueError, match=rf"{np.dtype(dtype)} .*not {label};.*astype"):
            crackle_zarr.remap(binary, {1: label}, True, in_place)
        assert binary == before

    def test_stored_labels_widen(self) -> None:
        """Labels stored in one byte can become labels of eight bytes."""
        binary = crackle_zarr.compress(brick("u8"))
        assert crackle_zarr.header(binary).stored_data_width == 1
        changed = crackle_zarr.remap(binary, {1: 2**40}, preserve_missing_labels=True)
        assert crackle_zarr.header(changed).stored_data_width == 8
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(brick("u8"), {1: 2**40}))

    @pytest.mark.parametrize("pins", [0, 1])
    def test_a_large_mapping(self, pins: int) -> None:
        """A mapping of a hundred thousand labels maps every label."""
        count = 100_000
        rng = np.random.default_rng(4)
        old = rng.permutation(count).astype(np.uint32)
        new = rng.permutation(10 * count)[:count]
        volume = np.asfortranarray(np.repeat(old.reshape(400, 250, 1), 1 + 2 * pins, axis=2))
        mapping = dict(enumerate(new.tolist()))
        changed = crackle_zarr.remap(crackle_zarr.compress(volume, allow_pins=pins), mapping)
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), new[volume])

    @pytest.mark.parametrize("version", [0, 1])
    @pytest.mark.parametrize(
        "mapping", [{1: 2, 2: 1}, {1: 2}, {0: 255, 8: 0}, dict.fromkeys(range(9), 4)], ids=str
    )
    def test_in_place(self, mapping: dict[int, int], version: int) -> None:
        """The buffer is changed and returned; its length stays, and its checksums are right."""
        binary = bytearray(crackle_zarr.compress(brick(), format_version=version))
        length = len(binary)
        assert crackle_zarr.remap(binary, mapping, True, in_place=True) is binary
        assert len(binary) == length
        expected = renamed(brick(), mapping)
        np.testing.assert_array_equal(crackle_zarr.decompress(binary), expected)
        np.testing.assert_array_equal(crackle_zarr.labels(binary), np.unique(expected))
        assert crackle_zarr.codec.ok(binary)

    def test_in_place_in_unsorted_tables(self) -> None:
        """Unsorted tables and tables with repeats are mapped like others."""
        binary = bytearray(crackle_zarr.compress(brick()))
        expected = brick()
        for mapping in ({1: 9, 9: 1, 2: 1}, {1: 3, 3: 1}, {9: 0, 0: 7}, {7: 200, 1: 7}):
            crackle_zarr.remap(binary, mapping, True, True)
            expected = renamed(expected, mapping)
            np.testing.assert_array_equal(crackle_zarr.decompress(binary), expected)

    def test_in_place_in_other_buffers(self) -> None:
        """The bytes of an array, a memoryview and a CrackleArray are changed in place."""
        for wrap in (memoryview, lambda b: np.frombuffer(b, np.uint8), crackle_zarr.CrackleArray):
            binary = bytearray(crackle_zarr.compress(brick()))
            crackle_zarr.remap(wrap(binary), {1: 2}, True, True)
            np.testing.assert_array_equal(crackle_zarr.decompress(binary), renamed(brick(), {1: 2}))

    def test_in_place_never_touches_immutable_bytes(self) -> None:
        """Immutable bytes raise TypeError that names the alternative."""
        binary = crackle_zarr.compress(brick())
        before = bytes(bytearray(binary))
        for source in (binary, memoryview(bytearray(binary)).toreadonly()):
            with pytest.raises(TypeError, match=r"read-only.*bytearray.*in_place=False"):
                crackle_zarr.remap(source, {1: 2}, True, True)
        assert binary == before

    def test_in_place_needs_room(self) -> None:
        """ValueError names the stored width if it is too small, and the alternative; the buffer stays."""
        binary = bytearray(crackle_zarr.compress(brick("u8")))
        before = bytes(binary)
        with pytest.raises(ValueError, match=r"1 bytes.*in_place=False"):
            crackle_zarr.remap(binary, {1: 256}, True, True)
        assert binary == before

    def test_the_stream_stays(self) -> None:
        """Without in_place a writable stream is not changed."""
        binary = bytearray(crackle_zarr.compress(brick()))
        before = bytes(binary)
        crackle_zarr.remap(binary, {1: 2, 2: 1}, True)
        assert binary == before

    def test_volumes_without_voxels(self) -> None:
        """Volumes without voxels have no label that could lack a mapping."""
        assert crackle_zarr.decompress(crackle_zarr.remap(empty(), {1: 2})).shape == (0, 3, 4)
        binary = bytearray(empty())
        assert crackle_zarr.remap(binary, {1: 2}, in_place=True) == empty()


class TestDtypes:
    @pytest.mark.parametrize(
        ("labels", "dtype", "expected"),
        [
            ([0, 255], "u8", "u1"),
            ([0, 256], "u8", "u2"),
            ([1, 65536], "u8", "u4"),
            ([1, 2**32], "u8", "u8"),
            ([2**64 - 1], "u8", "u8"),
            ([-128, 127], "i8", "i1"),
            ([-129, 0], "i8", "i2"),
            ([0, 128], "i4", "i2"),
            ([-(2**31), 2**31 - 1], "i8", "i4"),
            ([-(2**63), 0], "i8", "i8"),
            ([7], "u1", "u1"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("pins", [0, 1])
    def test_refit(self, labels: list[int], dtype: str, expected: str, pins: int) -> None:
        """refit() takes the smallest dtype of the same signedness that holds the labels."""
        volume = np.asfortranarray(np.repeat(volumes.palette(labels, dtype)[:, :, :1], 5, axis=2))
        fitted = crackle_zarr.refit(crackle_zarr.compress(volume, allow_pins=pins))
        assert type(fitted) is bytes
        back = crackle_zarr.decompress(fitted)
        assert back.dtype == np.dtype(expected)
        np.testing.assert_array_equal(back, volume)

    @pytest.mark.parametrize("start", [0, 1, 250, 300, 2**32, -4])
    def test_renumber(self, case: tuple[np.ndarray, bytes], start: int) -> None:
        """Labels become start, start + 1, ... in ascending order; 0 is treated like any label."""
        volume, binary = case
        changed, mapping = crackle_zarr.renumber(binary, start)
        every = np.unique(volume)
        assert mapping == {label: start + rank for rank, label in enumerate(every.tolist())}
        assert {type(number) for pair in mapping.items() for number in pair} == {int}
        back = crackle_zarr.decompress(changed)
        np.testing.assert_array_equal(back.astype(np.int64), np.searchsorted(every, volume) + start)
        signed = volume.dtype.kind == "i" or start < 0
        kinds = ["i1", "i2", "i4", "i8"] if signed else ["u1", "u2", "u4", "u8"]
        fitting = [
            kind
            for kind in kinds
            if np.iinfo(kind).min <= start and start + len(every) - 1 <= np.iinfo(kind).max
        ]
        assert back.dtype == np.dtype(fitting[0])

    def test_renumber_as_crackle_codec_does(self) -> None:
        """Mapping and dtype are crackle-codec's, which does not treat label 0 specially either."""
        crackle = pytest.importorskip("crackle")
        for labels in ([0, 5, 9], [5, 9], [0, 9, 5, 300]):
            binary = crackle.compress(np.array(labels, np.uint32))
            for start in (0, 1, 250, 300):
                theirs, their_mapping = crackle.renumber(binary, start)
                ours, mapping = crackle_zarr.renumber(binary, start)
                assert mapping == {int(old): int(new) for old, new in their_mapping.items()}
                back = crackle_zarr.decompress(ours)
                assert back.dtype == crackle.header(theirs).dtype
                np.testing.assert_array_equal(back, crackle.decompress(theirs))

    def test_renumber_to_the_ends_of_64_bits(self) -> None:
        """Numbers up to the last one of 64 bits are used, and ValueError is raised past it."""
        binary = crackle_zarr.compress(brick())
        changed, mapping = crackle_zarr.renumber(binary, 2**64 - 9)
        assert crackle_zarr.max(changed) == mapping[8] == 2**64 - 1
        changed, mapping = crackle_zarr.renumber(binary, -(2**63))
        assert crackle_zarr.min(changed) == mapping[0] == -(2**63)
        signed = crackle_zarr.compress(brick("i1"))
        assert crackle_zarr.header(crackle_zarr.renumber(signed, 2**63)[0]).dtype == np.uint64
        for start in (2**64 - 8, -(2**63) - 1, 2**70):
            with pytest.raises(ValueError, match="no integer dtype"):
                crackle_zarr.renumber(binary, start)
        with pytest.raises(TypeError, match="start is an integer"):
            crackle_zarr.renumber(binary, 1.0)  # type: ignore[arg-type]

    @pytest.mark.parametrize("target", [*DTYPES, "?", ">u2", "<i4"])
    @pytest.mark.parametrize("source", DTYPES)
    def test_astype(self, source: str, target: str) -> None:
        """Every conversion gives NumPy's labels, including those that wrap around."""
        info = np.iinfo(source)
        labels = {0, 1, 100, 127, info.min, info.max, info.max - 1, min(info.max, 70_000)}
        volume = volumes.palette(sorted(labels), source)
        back = crackle_zarr.decompress(crackle_zarr.astype(crackle_zarr.compress(volume), target))
        expected = volume.astype(np.dtype(target).newbyteorder("="))
        assert back.dtype == (np.uint8 if target == "?" else expected.dtype)
        np.testing.assert_array_equal(back, expected)

    def test_astype_of_every_case(self, case: tuple[np.ndarray, bytes]) -> None:
        """Unsorted and repeating tables, and pins, are converted too."""
        volume, binary = case
        changed = crackle_zarr.astype(binary, np.uint16)
        assert type(changed) is bytes
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), volume.astype(np.uint16))
        np.testing.assert_array_equal(crackle_zarr.labels(changed), np.unique(volume.astype(np.uint16)))

    @pytest.mark.parametrize("casting", ["no", "equiv", "safe", "same_kind", "unsafe"])
    @pytest.mark.parametrize("target", ["u2", "u4", "u8", "i4", "i8", "?"])
    def test_casting(self, casting: Any, target: str) -> None:
        """Conversions that the casting rule forbids raise TypeError, as in NumPy."""
        binary = crackle_zarr.compress(brick("u4"))
        if np.can_cast("u4", target, casting):
            assert crackle_zarr.header(crackle_zarr.astype(binary, target, casting=casting)).voxels() == 210
        else:
            with pytest.raises(TypeError, match=f"cannot cast the labels from uint32.*'{casting}'"):
                crackle_zarr.astype(binary, target, casting=casting)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (("f4",), TypeError, "float32"),
            (("O",), TypeError, "object"),
            (("no such dtype",), TypeError, "dtype|data type"),
            (("u4", "X"), ValueError, "order is .*'X'"),
            (("u4", "K", "any"), ValueError, "casting"),
        ],
        ids=str,
    )
    def test_astype_checks_its_arguments(self, arguments: Any, error: type[Exception], message: str) -> None:
        """astype() takes only integers and bool, four orders, and NumPy's casting rules."""
        with pytest.raises(error, match=message):
            crackle_zarr.astype(crackle_zarr.compress(brick()), *arguments)

    def test_orders(self, case: tuple[np.ndarray, bytes]) -> None:
        """The memory order changes, the volume does not; K and A keep the order."""
        volume, binary = case
        own = crackle_zarr.header(binary).fortran_order
        for order, fortran_order in (("C", False), ("F", True), ("K", own), ("A", own)):
            changed = crackle_zarr.astype(binary, volume.dtype, order)  # type: ignore[arg-type]
            assert crackle_zarr.header(changed).fortran_order == fortran_order
            np.testing.assert_array_equal(crackle_zarr.decompress(changed), volume)
        fortran, contiguous = crackle_zarr.asfortranarray(binary), crackle_zarr.ascontiguousarray(binary)
        assert crackle_zarr.decompress(fortran).flags.f_contiguous
        assert crackle_zarr.decompress(contiguous).flags.c_contiguous
        np.testing.assert_array_equal(crackle_zarr.decompress(fortran), volume)
        np.testing.assert_array_equal(crackle_zarr.decompress(contiguous), volume)

    def test_volumes_without_voxels(self) -> None:
        """Volumes without voxels change dtype and order like others."""
        assert crackle_zarr.header(crackle_zarr.refit(empty("u8"))).dtype == np.uint8
        assert crackle_zarr.header(crackle_zarr.refit(empty("i8"))).dtype == np.int8
        changed, mapping = crackle_zarr.renumber(empty("u8"))
        assert (crackle_zarr.header(changed).dtype, mapping) == (np.uint8, {})
        assert crackle_zarr.header(crackle_zarr.astype(empty("u8"), "i2", "C")).order == "C"
        assert crackle_zarr.decompress(crackle_zarr.astype(empty("u8"), "i2", "F")).shape == (0, 3, 4)
