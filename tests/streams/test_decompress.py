"""decompress() and header(): all, slices, masks, into memory; damage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import bindings
import numpy as np
import pytest
from stream_cases import brick, case, empty, flipped, offsets, small_slabs  # noqa: F401

import crackle_zarr
from crackle_zarr import FormatError


class TestDecompress:
    @pytest.mark.parametrize("parallel", [0, 1, 3])
    def test_whole_volume(self, case: tuple[np.ndarray, bytes], parallel: int) -> None:
        """Dtype, memory order and every voxel come back, whatever the number of threads."""
        volume, binary = case
        back = crackle_zarr.decompress(binary, parallel=parallel)
        assert back.dtype == volume.dtype
        assert back.flags.f_contiguous == volume.flags.f_contiguous
        np.testing.assert_array_equal(back, volume)

    @pytest.mark.parametrize(
        "wrap",
        [
            bytearray,
            memoryview,
            lambda b: np.frombuffer(b, np.uint8),
            lambda b: memoryview(b"".join(bytes([byte, 0]) for byte in b))[::2],
            crackle_zarr.CrackleArray,
        ],
        ids=["bytearray", "memoryview", "array of bytes", "strided memoryview", "CrackleArray"],
    )
    def test_sources(self, wrap: Callable[[bytes], Any]) -> None:
        """A stream is anything bytes-like, or a CrackleArray."""
        np.testing.assert_array_equal(crackle_zarr.decompress(wrap(crackle_zarr.compress(brick()))), brick())

    @pytest.mark.parametrize("source", [None, 5, "crkl", [1, 2], np.array([b"crkl"], object)], ids=repr)
    def test_wrong_source(self, source: Any) -> None:
        """An object without bytes raises TypeError."""
        with pytest.raises(TypeError, match="bytes-like"):
            crackle_zarr.decompress(source)

    def test_mask_of_a_label(self, case: tuple[np.ndarray, bytes]) -> None:
        """With a label, the result is its mask: bool, in the volume's memory order."""
        volume, binary = case
        for label in np.unique(volume)[:12]:
            mask = crackle_zarr.decompress(binary, label)
            assert mask.dtype == np.bool_
            assert mask.flags.f_contiguous == volume.flags.f_contiguous
            np.testing.assert_array_equal(mask, volume == label)

    @pytest.mark.parametrize("label", [9, 255, 256, -1, 2**32, -(2**63), 2**64, 2**64 + 1, 2**70])
    @pytest.mark.parametrize("dtype", ["u1", "i1", "u4", "u8", "i8"])
    def test_mask_of_a_label_that_is_not_there(self, dtype: str, label: int) -> None:
        """An absent label, or one that the dtype cannot hold, has an empty mask; nothing wraps around."""
        volume = brick(dtype)
        volume[0, 0, :] = np.iinfo(dtype).max  # 255 in uint8
        binary = crackle_zarr.compress(volume)
        expected = volume.astype(object) == label
        np.testing.assert_array_equal(crackle_zarr.decompress(binary, label), expected)
        cropped = crackle_zarr.decompress(binary, label, crop=True)
        assert cropped.any() == expected.any()
        if not expected.any():
            assert cropped.shape == (7, 6, 0)
            assert cropped.dtype == np.bool_

    @pytest.mark.parametrize("parallel", [1, 2])
    @pytest.mark.parametrize("bounds", [(0, None), (2, None), (0, 4), (3, 3), (1, 6)], ids=str)
    @pytest.mark.usefixtures("small_slabs")
    def test_crop(self, bounds: tuple[int, int | None], parallel: int) -> None:
        """A cropped mask runs from the first to the last decoded slice that holds the label."""
        volume = np.zeros((4, 3, 9), np.uint8)
        volume[1, 1, [2, 3, 5]] = 7
        expected = (volume == 7)[:, :, slice(*bounds)]
        hits = np.flatnonzero(expected.any(axis=(0, 1)))
        expected = expected[:, :, hits[0] : hits[-1] + 1] if hits.size else expected[:, :, :0]
        for order in "CF":
            binary = crackle_zarr.compress(np.asarray(volume, order=order))
            mask = crackle_zarr.decompress(binary, 7, parallel, True, z_start=bounds[0], z_end=bounds[1])
            assert mask.dtype == np.bool_
            np.testing.assert_array_equal(mask, expected)

    def test_crop_needs_a_label_and_its_own_array(self) -> None:
        """crop without a label, or with out, raises ValueError."""
        binary = crackle_zarr.compress(brick())
        with pytest.raises(ValueError, match="label"):
            crackle_zarr.decompress(binary, crop=True)
        with pytest.raises(ValueError, match="out"):
            crackle_zarr.decompress(binary, 1, crop=True, out=np.empty((7, 6, 5), np.bool_))

    def test_label_has_to_be_an_integer(self) -> None:
        """A float raises TypeError, even without a fraction."""
        with pytest.raises(TypeError, match=r"label is an integer, not 1\.0"):
            crackle_zarr.decompress(crackle_zarr.compress(brick()), 1.0)  # type: ignore[arg-type]

    def test_every_range_of_slices(self, case: tuple[np.ndarray, bytes]) -> None:
        """Slices [z_start, z_end) equal those of the whole volume, empty ranges included."""
        volume, binary = case
        sz = volume.shape[2]
        places = sorted({0, 1, sz // 2, sz - 1, sz})
        for start in places:
            for end in [place for place in places if place >= start]:
                part = crackle_zarr.decompress(binary, z_start=start, z_end=end)
                np.testing.assert_array_equal(part, volume[:, :, start:end])
            np.testing.assert_array_equal(
                crackle_zarr.decompress(binary, z_start=np.int64(start)), volume[:, :, start:]
            )

    @pytest.mark.parametrize(
        ("bounds", "error"),
        [
            ({"z_start": -1}, ValueError),
            ({"z_end": -1}, ValueError),
            ({"z_end": 6}, ValueError),
            ({"z_start": 6}, ValueError),
            ({"z_start": 3, "z_end": 2}, ValueError),
            ({"z_start": 2**70}, ValueError),
            ({"z_start": 1.0}, TypeError),
            ({"z_end": "2"}, TypeError),
        ],
        ids=str,
    )
    def test_slices_outside_the_volume(self, bounds: dict[str, Any], error: type[Exception]) -> None:
        """The error names the possible range; negative numbers do not count from the end."""
        message = "5 slices" if error is ValueError else "integer"
        with pytest.raises(error, match=message):
            crackle_zarr.decompress(crackle_zarr.compress(brick()), **bounds)

    @pytest.mark.parametrize("parallel", [1, 2])
    @pytest.mark.parametrize(
        "make_out",
        [
            pytest.param(lambda s, d: np.empty(s, d), id="C"),
            pytest.param(lambda s, d: np.empty(s, d, order="F"), id="F"),
            pytest.param(lambda s, d: np.empty(tuple(2 * n for n in s), d)[::2, 1::2, ::2], id="steps"),
            pytest.param(lambda s, d: np.empty(s, d)[::-1, :, ::-1], id="negative steps"),
            pytest.param(lambda s, d: np.empty((s[1], s[2], s[0]), d).transpose(2, 0, 1), id="transposed"),
            pytest.param(
                lambda s, d: np.frombuffer(
                    bytearray(1 + int(np.prod(s)) * np.dtype(d).itemsize), d, offset=1
                ).reshape(s),
                id="unaligned",
            ),
        ],
    )
    @pytest.mark.usefixtures("small_slabs")
    def test_out(self, make_out: Callable[..., np.ndarray], parallel: int) -> None:
        """Labels, masks and ranges can be decoded into arrays of any strides; out is returned."""
        volume = brick("u4")
        for order in "CF":
            binary = crackle_zarr.compress(np.asarray(volume, order=order))
            out = make_out((7, 6, 5), "u4")
            assert crackle_zarr.decompress(binary, parallel=parallel, out=out) is out
            np.testing.assert_array_equal(out, volume)
            out = make_out((7, 6, 3), "u4")
            crackle_zarr.decompress(binary, parallel=parallel, z_start=1, z_end=4, out=out)
            np.testing.assert_array_equal(out, volume[:, :, 1:4])
            for mask_dtype in ("?", "u1"):
                out = make_out((7, 6, 5), mask_dtype)
                out[...] = 1
                crackle_zarr.decompress(binary, 4, parallel, out=out)
                np.testing.assert_array_equal(out, volume == 4)
                crackle_zarr.decompress(binary, -4, parallel, out=out)
                assert not out.any()

    @pytest.mark.parametrize(
        ("out", "label", "error", "message"),
        [
            (np.empty((7, 6, 4), "u4"), None, ValueError, r"\(7, 6, 4\).*\(7, 6, 5\)"),
            (np.empty((7, 6), "u4"), None, ValueError, r"\(7, 6\)"),
            (np.empty((7, 6, 5), "u8"), None, TypeError, "uint32.*uint64"),
            (np.empty((7, 6, 5), "i4"), None, TypeError, "uint32.*int32"),
            (np.empty((7, 6, 5), ">u4"), None, TypeError, "native"),
            (np.empty((7, 6, 5), "u4"), 1, TypeError, "bool or uint8"),
            (np.broadcast_to(np.uint32(0), (7, 6, 5)), None, ValueError, "read-only"),
            (bytearray(7 * 6 * 5 * 4), None, TypeError, "bytearray"),
        ],
        ids=["shape", "axes", "width", "sign", "byte order", "mask", "read-only", "no array"],
    )
    def test_out_that_does_not_fit(
        self, out: Any, label: int | None, error: type[Exception], message: str
    ) -> None:
        """The error names the mismatch of out and the requirement."""
        with pytest.raises(error, match=message):
            crackle_zarr.decompress(crackle_zarr.compress(brick()), label, out=out)

    @pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)], ids=str)
    def test_volumes_without_voxels(self, shape: tuple[int, ...]) -> None:
        """A volume with an axis of 0 keeps its shape and dtype, in every function that decodes."""
        binary = empty("i2", shape)
        assert crackle_zarr.decompress(binary).shape == shape
        assert crackle_zarr.decompress(binary).dtype == np.int16
        assert crackle_zarr.decompress(binary, 3).shape == shape
        assert crackle_zarr.decompress(binary, 2**20).shape == shape
        assert crackle_zarr.decompress(binary, 3, crop=True).shape == (shape[0], shape[1], 0)
        assert crackle_zarr.decompress(binary, z_start=shape[2]).shape == (shape[0], shape[1], 0)
        assert crackle_zarr.array_equal(binary, binary)

    def test_a_damaged_labels_section(self) -> None:
        """The labels' checksum is verified for voxels, masks and absent labels, unless verify=False."""
        binary = crackle_zarr.compress(brick())
        damaged = flipped(binary, offsets(binary).labels + 8, 6)  # in the first label: 0 becomes 64
        for label in (None, 1, 99, 2**40):
            for crop in (False, True) if label is not None else (False,):
                with pytest.raises(FormatError) as caught:
                    crackle_zarr.decompress(damaged, label, crop=crop)
                assert caught.value.section == "labels"
        unverified = crackle_zarr.decompress(damaged, verify=False)
        np.testing.assert_array_equal(unverified, np.where(brick() == 0, 64, brick()))
        assert not crackle_zarr.decompress(damaged, 2**40, verify=False).any()

    def test_a_damaged_slice(self) -> None:
        """The error names the damaged slice, and the others can still be decoded."""
        binary = crackle_zarr.compress(brick())
        damaged = flipped(binary, offsets(binary).checksums + 4 + 4 * 3)
        with pytest.raises(FormatError) as caught:
            crackle_zarr.decompress(damaged)
        assert caught.value.slice == 3
        np.testing.assert_array_equal(crackle_zarr.decompress(damaged, z_end=3), brick()[:, :, :3])
        np.testing.assert_array_equal(crackle_zarr.decompress(damaged, z_start=4), brick()[:, :, 4:])
        np.testing.assert_array_equal(crackle_zarr.decompress(damaged, verify=False), brick())

    def test_a_short_stream_that_claims_much(self) -> None:
        """Thirty bytes that claim 2^96 voxels raise FormatError."""
        header = b"crkl\0" + struct.pack("<HIIIBI", 0x80, 2**32 - 1, 2**32 - 1, 2**32 - 1, 31, 0)
        with pytest.raises(FormatError):
            crackle_zarr.decompress(header + bytes(6))

    def test_a_sound_stream_that_no_memory_holds(self) -> None:
        """One constant slice of 2^62 voxels takes some 60 bytes: MemoryError says how large it is."""
        side = 2**31
        labels = struct.pack("<QBQB", 1, 7, 1, 0)
        code = struct.pack("<II", 4, 0)
        fixed = struct.pack("<HIIIBI", 0x80, side, side, 1, 31, len(labels))
        binary = b"crkl\0" + fixed + struct.pack("<I", len(code)) + labels + code
        assert crackle_zarr.header(binary).voxels() == 2**62
        assert crackle_zarr.labels(binary).tolist() == [7]
        with pytest.raises(MemoryError, match="4,611,686,018,427,387,904 bytes"):
            crackle_zarr.decompress(binary)
        with pytest.raises(MemoryError, match="bytes"):
            crackle_zarr.decompress(binary, 7)


def test_new_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large arrays that the call itself makes are written in another way; those of the caller are not."""
    flags = []

    class Lib:
        def __getattr__(self, name: str) -> Any:
            return getattr(bindings.lib, name)

        def crackle_decode(self, *args: Any) -> int:
            flags.append(args[3])
            status: int = bindings.lib.crackle_decode(*args)
            return status

    new = bindings.lib.CRACKLE_NEW_PAGES
    bindings.replace("lib", Lib(), monkeypatch.setattr)
    bindings.replace("_NEW_PAGES_NBYTES", 7 * 6 * 3 * 4, monkeypatch.setattr)
    volume = brick("u4")
    for order in "CF":
        array = crackle_zarr.CrackleArray(crackle_zarr.compress(np.asarray(volume, order=order)), 1)
        cases = [
            (array.decompress(), volume, new),
            (array.decompress(z_start=1, z_end=3), volume[:, :, 1:3], 0),
            (array[:, :, 1:4], volume[:, :, 1:4], new),
            (array.decompress(out=np.empty_like(volume)), volume, 0),
        ]
        for got, expected, _ in cases:
            np.testing.assert_array_equal(got, expected)
        assert flags == [flag for *_, flag in cases]
        flags.clear()


class TestHeader:
    def test_fields(self) -> None:
        """The header has shape, dtype, order and sizes; its first 29 bytes are enough."""
        binary = crackle_zarr.compress(np.asfortranarray(brick("i2")), markov_model_order=2)
        head = crackle_zarr.header(binary[:29])
        assert head == crackle_zarr.header(crackle_zarr.CrackleArray(binary))
        assert isinstance(head, crackle_zarr.CrackleHeader)
        assert (head.sx, head.sy, head.sz) == (7, 6, 5)
        assert head.dtype == np.int16
        assert (head.fortran_order, head.signed, head.markov_model_order) == (True, True, 2)
        assert head.voxels() == 210
        assert crackle_zarr.nbytes(binary) == head.nbytes == 420

    @pytest.mark.parametrize(
        "name", ["sx", "fortran_order", "format_version", "crack_format", "label_format"]
    )
    def test_damage_is_noticed(self, name: str) -> None:
        """Every bit of a version-1 header is covered by its checksum or has only one legal value."""
        binary = crackle_zarr.compress(brick())
        places = {"sx": 7, "fortran_order": 5, "format_version": 4, "crack_format": 6, "label_format": 5}
        with pytest.raises(FormatError) as caught:
            crackle_zarr.header(flipped(binary, places[name], 3))
        assert caught.value.section == "header"

    @pytest.mark.parametrize("binary", [b"", b"crk", b"crkl", b"PK\x03\x04" + bytes(60)], ids=repr)
    def test_foreign_bytes(self, binary: bytes) -> None:
        """Bytes that are no stream raise FormatError, which is a ValueError, in every function."""
        functions: list[Callable[[bytes], Any]] = [
            crackle_zarr.header,
            crackle_zarr.nbytes,
            crackle_zarr.decompress,
            crackle_zarr.labels,
            crackle_zarr.num_labels,
            crackle_zarr.min,
            crackle_zarr.max,
            crackle_zarr.refit,
            crackle_zarr.renumber,
            crackle_zarr.asfortranarray,
            crackle_zarr.ascontiguousarray,
            crackle_zarr.CrackleArray,
            lambda b: crackle_zarr.contains(b, 1),
            lambda b: crackle_zarr.contains_range(b, 1, 2),
            lambda b: crackle_zarr.remap(b, {}),
            lambda b: crackle_zarr.astype(b, np.uint8),
            lambda b: crackle_zarr.array_equal(b, b),
        ]
        for function in functions:
            with pytest.raises(FormatError):
                function(binary)
        assert issubclass(FormatError, ValueError)
