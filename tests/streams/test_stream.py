"""Functions on one stream, with NumPy on the decoded volume as the truth."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import volumes

import crackle_zarr
from crackle_zarr import FormatError, _binding
from crackle_zarr.streams import stream

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def brick(dtype: str = "u4", shape: tuple[int, ...] = (7, 6, 5)) -> np.ndarray:
    """Blocks of nine labels, in C order."""
    places = np.indices(shape) // 3
    labels = sum(factor * place for factor, place in zip((1, 3, 6), places, strict=False)) % 9
    return np.ascontiguousarray(labels).astype(dtype)


def edited(volume: np.ndarray, mapping: dict[int, int], **options: Any) -> tuple[np.ndarray, bytes]:
    """A stream whose label table was changed in place: unsorted, or with repeats."""
    binary = bytearray(crackle_zarr.compress(volume, **options))
    crackle_zarr.remap(binary, mapping, preserve_missing_labels=True, in_place=True)
    expected = volume.copy(order="A")
    for old, new in mapping.items():
        expected[volume == old] = new
    return expected, bytes(binary)


def plain(volume: np.ndarray, **options: Any) -> tuple[np.ndarray, bytes]:
    return volume, crackle_zarr.compress(volume, **options)


CASES: dict[str, Callable[[], tuple[np.ndarray, bytes]]] = {
    "flat, C": lambda: plain(brick()),
    "flat, F": lambda: plain(volumes.cells()),
    "version 0": lambda: plain(volumes.cells(), format_version=0),
    "Markov order 3": lambda: plain(volumes.balls(), markov_model_order=3),
    "pins": lambda: plain(volumes.columns(), allow_pins=1),
    "pins, chosen, C": lambda: plain(np.ascontiguousarray(volumes.columns()), allow_pins=2),
    "unsorted table": lambda: edited(brick(), {1: 2, 2: 1, 8: 0, 0: 8}),
    "repeating table": lambda: edited(brick(), {1: 2, 5: 2, 8: 0}),
    "unsorted pins": lambda: edited(volumes.balls(), {0: 7000, 1000: 0, 7000: 1}, allow_pins=1),
    "repeating pins": lambda: edited(volumes.balls(), {0: 3000, 5000: 3000}, allow_pins=1),
    "signed": lambda: plain(volumes.palette([-128, -1, 0, 1, 127], "i1")),
    "signed extremes": lambda: plain(volumes.palette([-(2**63), -(2**53) - 1, -1, 0, 2**63 - 1], "i8")),
    "signed, unsorted": lambda: edited(volumes.palette([-3, -1, 0, 2], "i2"), {-3: 2, 2: -3, 0: -2}),
    "past 2^53": lambda: plain(volumes.palette([0, 2**53, 2**53 + 1, 2**63, 2**64 - 1], "u8")),
    "past 2^53, pins": lambda: plain(
        np.asfortranarray(
            np.repeat(volumes.palette([2**53 + 1, 2**53 + 2, 2**64 - 1], "u8")[:, :, :1], 9, 2)
        ),
        allow_pins=1,
    ),
    "another writer's pins": lambda: (
        volumes.columns(),
        pytest.importorskip("crackle").compress(volumes.columns(), allow_pins=1),
    ),
    "constant": lambda: plain(volumes.constant()),
    "one slice": lambda: plain(brick(shape=(9, 8, 1))),
    "one column": lambda: plain(volumes.noise(3, (1, 1, 40))),
}


@cache
def made(name: str) -> tuple[np.ndarray, bytes]:
    volume, binary = CASES[name]()
    volume.flags.writeable = False
    return volume, binary


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, bytes]:
    return made(request.param)


@pytest.fixture
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go through volumes slice by slice."""
    monkeypatch.setattr(stream, "SLAB_NBYTES", 1)


def offsets(binary: bytes) -> _binding.Layout:
    return _binding.read_layout(binary)


def flipped(binary: bytes, place: int, bit: int = 0) -> bytes:
    changed = bytearray(binary)
    changed[place] ^= 1 << bit
    return bytes(changed)


def empty(dtype: str = "u4", shape: tuple[int, ...] = (0, 3, 4)) -> bytes:
    return crackle_zarr.compress(np.empty(shape, dtype))


class TestCompress:
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("byte_order", ["<", ">"])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_every_dtype_comes_back_native(self, dtype: str, byte_order: str, order: str) -> None:
        """Labels of every width, sign, byte order and memory order survive; the byte order is native."""
        volume = np.asarray(brick(dtype), dtype=byte_order + dtype, order=order)
        volume[0, 0, 0] = np.iinfo(dtype).min
        volume[6, 5, 4] = np.iinfo(dtype).max
        back = crackle_zarr.decompress(crackle_zarr.compress(volume))
        assert back.dtype == np.dtype(dtype)
        assert back.flags.c_contiguous == (order == "C")
        assert back.flags.f_contiguous == (order == "F")
        np.testing.assert_array_equal(back, volume)

    @pytest.mark.parametrize(
        "view",
        [
            pytest.param(lambda a: a[::2, 1:, ::2], id="steps"),
            pytest.param(lambda a: a[::-1, :, ::-1], id="negative steps"),
            pytest.param(lambda a: a.transpose(1, 0, 2), id="transposed"),
            pytest.param(lambda a: np.broadcast_to(a[:, :1, :], a.shape), id="broadcast"),
            pytest.param(lambda a: a[:, :, 2], id="a plane"),
            pytest.param(lambda a: np.frombuffer(b"-" + a.tobytes(), a.dtype, offset=1), id="unaligned"),
        ],
    )
    def test_any_strides(self, view: Callable[[np.ndarray], np.ndarray]) -> None:
        """Views with any strides are read as NumPy reads them, and stay as they were."""
        volume = view(brick())
        before = volume.copy()
        volume.flags.writeable = False
        back = crackle_zarr.decompress(crackle_zarr.compress(volume))
        np.testing.assert_array_equal(back, before.reshape(before.shape + (1,) * (3 - before.ndim)))
        np.testing.assert_array_equal(volume, before)

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ((), (1, 1, 1)),
            ((5,), (5, 1, 1)),
            ((5, 4), (5, 4, 1)),
            ((5, 4, 3), (5, 4, 3)),
            ((5, 0), (5, 0, 1)),
        ],
        ids=str,
    )
    def test_axes_fill_up_with_1(self, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
        """A stream has three axes: missing ones are 1, an axis of 0 stays."""
        volume = np.arange(np.prod(shape, dtype=int), dtype=np.uint16).reshape(shape)
        back = crackle_zarr.decompress(crackle_zarr.compress(volume))
        assert back.shape == expected
        np.testing.assert_array_equal(back.ravel(), volume.ravel())

    @pytest.mark.parametrize(
        ("volume", "fortran_order"),
        [
            pytest.param(brick(), False, id="C"),
            pytest.param(np.asfortranarray(brick()), True, id="F"),
            pytest.param(np.zeros(5, np.uint8), True, id="both"),
            pytest.param(brick()[::2, :, ::2], False, id="neither"),
            pytest.param(brick().transpose(1, 0, 2), False, id="axes swapped"),
            pytest.param(brick()[:, :, 0].copy(), False, id="2-D, C"),
            pytest.param(np.asfortranarray(brick()[:, :, 0]), True, id="2-D, F"),
        ],
    )
    def test_memory_order_is_that_of_crackle_codec(self, volume: np.ndarray, fortran_order: bool) -> None:
        """The stream renders F order where the array is F-contiguous, else C, as crackle-codec's does."""
        crackle = pytest.importorskip("crackle")
        assert crackle_zarr.header(crackle_zarr.compress(volume)).fortran_order == fortran_order
        assert crackle.header(crackle.compress(volume)).fortran_order == fortran_order

    def test_bool_is_stored_as_uint8(self) -> None:
        """A bool array comes back as zeros and ones of uint8, also where True is another byte than 1."""
        volume = np.array([0, 1, 2, 255], np.uint8).view(np.bool_)
        back = crackle_zarr.decompress(crackle_zarr.compress(volume))
        assert back.dtype == np.uint8
        assert back.ravel().tolist() == [0, 1, 1, 1]

    def test_nested_lists(self) -> None:
        """A nested list of integers is an array of int64."""
        back = crackle_zarr.decompress(crackle_zarr.compress([[1, 2], [-3, 4]]))
        assert back.dtype == np.int64
        assert back[:, :, 0].tolist() == [[1, 2], [-3, 4]]

    @pytest.mark.parametrize(
        "labels",
        [
            pytest.param(np.zeros((2, 2), np.float32), id="float32"),
            pytest.param([1.0, 2.0], id="list of floats"),
            pytest.param([], id="empty list, which is of float64"),
            pytest.param(np.zeros(3, np.complex64), id="complex64"),
            pytest.param(np.array([1, 2], object), id="object"),
            pytest.param([2**70], id="past 64 bits"),
            pytest.param(np.array(["1"]), id="str"),
            pytest.param(np.zeros(3, "m8[s]"), id="timedelta"),
            pytest.param(np.zeros(3, [("a", "u1")]), id="structured"),
            pytest.param(None, id="None"),
        ],
    )
    def test_what_is_no_integer_is_refused(self, labels: Any) -> None:
        """TypeError names the dtype and how to convert."""
        with pytest.raises(TypeError, match=f"not {re.escape(str(np.asarray(labels).dtype))}: .*astype"):
            crackle_zarr.compress(labels)

    def test_masked_arrays_are_refused(self) -> None:
        """A mask would be lost silently."""
        with pytest.raises(TypeError, match="filled"):
            crackle_zarr.compress(np.ma.masked_equal(brick(), 3))

    @pytest.mark.parametrize(
        ("shape", "message"),
        [((2, 3, 4, 5), "three axes"), ((1, 1, 1, 1), "three axes"), ((2**32, 0), "at most 4294967295")],
        ids=str,
    )
    def test_shapes_that_no_stream_has(self, shape: tuple[int, ...], message: str) -> None:
        """ValueError for more than three axes, and for an axis past 32 bits."""
        with pytest.raises(ValueError, match=message):
            crackle_zarr.compress(np.empty(shape, np.uint8))

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"allow_pins": 3}, ValueError, "allow_pins.*not 3"),
            ({"allow_pins": -1}, ValueError, "allow_pins.*not -1"),
            ({"allow_pins": "1"}, TypeError, "allow_pins.*str"),
            ({"allow_pins": 1.0}, TypeError, "allow_pins.*float"),
            ({"markov_model_order": 13}, ValueError, "markov_model_order.*12, or 'auto', not 13"),
            ({"markov_model_order": -1}, ValueError, "markov_model_order.*not -1"),
            ({"markov_model_order": "best"}, TypeError, "markov_model_order.*'auto', not 'best' of type str"),
            ({"markov_model_order": 3.0}, TypeError, "markov_model_order.*float"),
            ({"markov_model_order": True}, TypeError, "markov_model_order.*bool"),
            ({"bgcolor": 256}, ValueError, r"bgcolor.*uint8 \(0 to 255\), not 256"),
            ({"bgcolor": -1}, ValueError, "bgcolor.*not -1"),
            ({"bgcolor": 1.5}, TypeError, "bgcolor.*float"),
            ({"format_version": 2}, ValueError, "format_version is 0 or 1, not 2"),
            ({"format_version": "1"}, TypeError, "format_version.*str"),
            ({"parallel": -1}, ValueError, "parallel.*not -1"),
            ({"parallel": 1.0}, TypeError, "parallel.*float"),
        ],
        ids=str,
    )
    def test_options_are_checked(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        """A wrong option is named, with what was given and what is possible."""
        with pytest.raises(error, match=message):
            crackle_zarr.compress(brick("u1"), **options)

    def test_options_reach_the_stream(self) -> None:
        """Format version, Markov order and pins are in the header; True is 1."""
        head = crackle_zarr.header(
            crackle_zarr.compress(volumes.columns(), True, np.int64(4), 0, format_version=0)
        )
        assert (head.format_version, head.markov_model_order, head.label_format) == (0, 4, 2)

    def test_the_highest_markov_order_is_that_of_the_library(self) -> None:
        """The options are checked without the library; its limit is the same."""
        from crackle_zarr._base import options

        assert options.MAX_MARKOV_MODEL_ORDER == _binding.MAX_MARKOV_ORDER

    def test_background_of_pins(self) -> None:
        """Whatever the background of the pins, the volume is the same."""
        volume = volumes.balls()
        for background in (0, 4000, 5):
            binary = crackle_zarr.compress(volume, allow_pins=1, bgcolor=background)
            np.testing.assert_array_equal(crackle_zarr.decompress(binary), volume)

    def test_a_crackle_array_is_an_array(self) -> None:
        """What answers __array__ can be compressed, a CrackleArray too."""
        arr = crackle_zarr.compressa(brick())
        assert crackle_zarr.compress(arr, markov_model_order=2) == crackle_zarr.compress(
            brick(), markov_model_order=2
        )


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
    def test_what_is_no_source(self, source: Any) -> None:
        """TypeError for what has no bytes."""
        with pytest.raises(TypeError, match="bytes-like"):
            crackle_zarr.decompress(source)

    def test_mask_of_a_label(self, case: tuple[np.ndarray, bytes]) -> None:
        """With a label the result is where the volume has it, as bool in the volume's memory order."""
        volume, binary = case
        for label in np.unique(volume)[:12]:
            mask = crackle_zarr.decompress(binary, label)
            assert mask.dtype == np.bool_
            assert mask.flags.f_contiguous == volume.flags.f_contiguous
            np.testing.assert_array_equal(mask, volume == label)

    @pytest.mark.parametrize("label", [9, 255, 256, -1, 2**32, -(2**63), 2**64, 2**64 + 1, 2**70])
    @pytest.mark.parametrize("dtype", ["u1", "i1", "u4", "u8", "i8"])
    def test_mask_of_a_label_that_is_not_there(self, dtype: str, label: int) -> None:
        """An absent label, and one that the dtype cannot hold, is in no voxel; nothing wraps around."""
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
        """A cropped mask runs from the first to the last of the decoded slices that hold the label."""
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
        """ValueError for crop without a label, and for crop into a given array."""
        binary = crackle_zarr.compress(brick())
        with pytest.raises(ValueError, match="label"):
            crackle_zarr.decompress(binary, crop=True)
        with pytest.raises(ValueError, match="out"):
            crackle_zarr.decompress(binary, 1, crop=True, out=np.empty((7, 6, 5), np.bool_))

    def test_label_has_to_be_an_integer(self) -> None:
        """TypeError for a float, even one without a fraction."""
        with pytest.raises(TypeError, match=r"label is an integer, not 1\.0"):
            crackle_zarr.decompress(crackle_zarr.compress(brick()), 1.0)  # type: ignore[arg-type]

    def test_every_range_of_slices(self, case: tuple[np.ndarray, bytes]) -> None:
        """Slices [z_start, z_end) are those of the whole volume, empty ranges included."""
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
        """The range that is possible is named; nothing counts from the end."""
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
        """Any strides can be decoded into, for labels, masks and ranges; out is what is returned."""
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
        """What is wrong with out is named, and what it has to be."""
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
        """Its checksum is verified, for voxels, masks and absent labels, unless that is switched off."""
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
        """It is named, and the others can still be decoded."""
        binary = crackle_zarr.compress(brick())
        damaged = flipped(binary, offsets(binary).checksums + 4 + 4 * 3)
        with pytest.raises(FormatError) as caught:
            crackle_zarr.decompress(damaged)
        assert caught.value.slice == 3
        np.testing.assert_array_equal(crackle_zarr.decompress(damaged, z_end=3), brick()[:, :, :3])
        np.testing.assert_array_equal(crackle_zarr.decompress(damaged, z_start=4), brick()[:, :, 4:])
        np.testing.assert_array_equal(crackle_zarr.decompress(damaged, verify=False), brick())

    def test_a_short_stream_that_claims_much(self) -> None:
        """Thirty bytes that claim 2^96 voxels are refused for what they are."""
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
        """Every bit of a version-1 header is covered by its checksum or has one value only."""
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


class TestQueries:
    def test_labels(self, case: tuple[np.ndarray, bytes]) -> None:
        """labels, num_labels, min and max are NumPy's, exact to the last of 64 bits."""
        volume, binary = case
        expected = np.unique(volume)
        found = crackle_zarr.labels(binary)
        assert found.dtype == volume.dtype
        np.testing.assert_array_equal(found, expected)
        assert crackle_zarr.num_labels(binary) == len(expected)
        extremes = (crackle_zarr.min(binary), crackle_zarr.max(binary))
        assert extremes == (int(volume.min()), int(volume.max()))
        assert [type(extreme) for extreme in extremes] == [int, int]

    def test_contains(self, case: tuple[np.ndarray, bytes]) -> None:
        """Every label is found, and none of their neighbours that are not labels."""
        volume, binary = case
        expected = set(np.unique(volume).tolist())
        for label in list(expected)[:20]:
            for candidate in (label - 1, label, label + 1):
                found = crackle_zarr.contains(binary, candidate)
                assert type(found) is bool
                assert found == (candidate in expected)

    @pytest.mark.parametrize("label", [-1, 256, 2**32, -(2**63), 2**64, 2**64 + 3, -(2**70)])
    def test_contains_outside_the_dtype(self, label: int) -> None:
        """A label that the dtype cannot hold is not there; nothing wraps around."""
        for dtype in ("u1", "i1", "u8"):
            volume = (
                np.arange(256, dtype="u1").view(dtype) if dtype != "u8" else np.array([3, 2**64 - 1], "u8")
            )
            binary = crackle_zarr.compress(volume)
            assert crackle_zarr.contains(binary, label) == (label in volume.tolist())

    @pytest.mark.parametrize("label", [np.uint8(3), np.int64(3), True, np.True_], ids=repr)
    def test_contains_takes_integers_of_numpy(self, label: Any) -> None:
        """NumPy's integers and bool are integers."""
        assert crackle_zarr.contains(crackle_zarr.compress(brick()), label)

    @pytest.mark.parametrize("label", [1.0, np.float32(1), "1", None, b"\1", [1]], ids=repr)
    def test_contains_takes_nothing_else(self, label: Any) -> None:
        """TypeError names the type."""
        with pytest.raises(TypeError, match=f"label is an integer.*{type(label).__name__}"):
            crackle_zarr.contains(crackle_zarr.compress(brick()), label)

    def test_contains_range(self, case: tuple[np.ndarray, bytes]) -> None:
        """Labels in [low, high) come in ascending order, whatever the bounds."""
        volume, binary = case
        every = np.unique(volume).tolist()
        bounds = [-(2**70), -1, 0, every[0], every[len(every) // 2], every[-1], every[-1] + 1, 2**64, 2**70]
        for low in bounds:
            for high in bounds:
                found = crackle_zarr.contains_range(binary, low, high)
                assert found.dtype == volume.dtype
                assert found.tolist() == [label for label in every if low <= label < high]

    def test_contains_range_takes_integers(self) -> None:
        """TypeError names the bound."""
        with pytest.raises(TypeError, match="high is an integer"):
            crackle_zarr.contains_range(crackle_zarr.compress(brick()), 0, 5.0)  # type: ignore[arg-type]

    def test_volumes_without_voxels(self) -> None:
        """They have no labels, and so no smallest and no largest."""
        binary = empty("i2")
        assert crackle_zarr.labels(binary).dtype == np.int16
        assert crackle_zarr.labels(binary).size == 0
        assert crackle_zarr.num_labels(binary) == 0
        assert not crackle_zarr.contains(binary, 0)
        assert crackle_zarr.contains_range(binary, -5, 5).size == 0
        for function in (crackle_zarr.min, crackle_zarr.max):
            with pytest.raises(ValueError, match=r"\(0, 3, 4\) has no labels"):
                function(binary)

    def test_a_damaged_labels_section(self) -> None:
        """Every question verifies the checksum of the labels."""
        binary = crackle_zarr.compress(brick())
        damaged = flipped(binary, offsets(binary).labels + 8, 6)
        for function in (
            crackle_zarr.labels,
            crackle_zarr.min,
            crackle_zarr.refit,
            lambda b: crackle_zarr.contains(b, 1),
            lambda b: crackle_zarr.remap(b, {1: 2}, preserve_missing_labels=True),
        ):
            with pytest.raises(FormatError) as caught:
                function(damaged)
            assert caught.value.section == "labels"


def renamed(volume: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    """The volume with every label mapped by plain Python."""
    flat = [mapping.get(label, label) for label in volume.ravel().tolist()]
    return np.array(flat, dtype=volume.dtype).reshape(volume.shape)


class TestRemap:
    def test_against_python(self, case: tuple[np.ndarray, bytes]) -> None:
        """Mapped at once: the largest and the smallest label swap, the others go to a new one."""
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
        """KeyError gives their number and the first few; on request they keep their names."""
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
        """They are ignored, also those that the dtype cannot hold, and what they map to."""
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
        """Any mapping from integers to integers will do."""
        changed = crackle_zarr.remap(crackle_zarr.compress(brick()), mapping, preserve_missing_labels=True)
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(brick(), {1: 5, 2: 6}))

    def test_labels_of_64_bits(self) -> None:
        """Neighbours past 2^53 are told apart, as keys and as new labels, signed and unsigned."""
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
    def test_what_is_no_mapping_of_integers(self, mapping: Any, message: str) -> None:
        """TypeError names what was found in the mapping."""
        with pytest.raises(TypeError, match=message):
            crackle_zarr.remap(crackle_zarr.compress(brick()), mapping, preserve_missing_labels=True)

    @pytest.mark.parametrize(
        ("dtype", "label"), [("u1", 256), ("u1", -1), ("i1", 128), ("u8", 2**64)], ids=str
    )
    @pytest.mark.parametrize("in_place", [False, True])
    def test_new_labels_have_to_fit_the_dtype(self, dtype: str, label: int, in_place: bool) -> None:
        """ValueError names the label and the dtype; it is not wrapped around."""
        binary = bytearray(crackle_zarr.compress(brick(dtype)))
        before = bytes(binary)
        with pytest.raises(ValueError, match=rf"{np.dtype(dtype)} .*not {label};.*astype"):
            crackle_zarr.remap(binary, {1: label}, True, in_place)
        assert binary == before

    def test_stored_labels_widen(self) -> None:
        """Labels that were stored in a byte can get names of eight."""
        binary = crackle_zarr.compress(brick("u8"))
        assert crackle_zarr.header(binary).stored_data_width == 1
        changed = crackle_zarr.remap(binary, {1: 2**40}, preserve_missing_labels=True)
        assert crackle_zarr.header(changed).stored_data_width == 8
        np.testing.assert_array_equal(crackle_zarr.decompress(changed), renamed(brick("u8"), {1: 2**40}))

    @pytest.mark.parametrize("pins", [0, 1])
    def test_a_large_mapping(self, pins: int) -> None:
        """A hundred thousand labels are mapped, and none is lost among them."""
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
        """The buffer is changed and returned; its length stays, and the checksums hold."""
        binary = bytearray(crackle_zarr.compress(brick(), format_version=version))
        length = len(binary)
        assert crackle_zarr.remap(binary, mapping, True, in_place=True) is binary
        assert len(binary) == length
        expected = renamed(brick(), mapping)
        np.testing.assert_array_equal(crackle_zarr.decompress(binary), expected)
        np.testing.assert_array_equal(crackle_zarr.labels(binary), np.unique(expected))
        assert crackle_zarr.codec.ok(binary)

    def test_in_place_over_and_over(self) -> None:
        """Tables that are unsorted or repeat are mapped like others."""
        binary = bytearray(crackle_zarr.compress(brick()))
        expected = brick()
        for mapping in ({1: 9, 9: 1, 2: 1}, {1: 3, 3: 1}, {9: 0, 0: 7}, {7: 200, 1: 7}):
            crackle_zarr.remap(binary, mapping, True, True)
            expected = renamed(expected, mapping)
            np.testing.assert_array_equal(crackle_zarr.decompress(binary), expected)

    def test_in_place_in_other_buffers(self) -> None:
        """An array of bytes, a memoryview and a CrackleArray's buffer are changed where they are."""
        for wrap in (memoryview, lambda b: np.frombuffer(b, np.uint8), crackle_zarr.CrackleArray):
            binary = bytearray(crackle_zarr.compress(brick()))
            crackle_zarr.remap(wrap(binary), {1: 2}, True, True)
            np.testing.assert_array_equal(crackle_zarr.decompress(binary), renamed(brick(), {1: 2}))

    def test_in_place_never_touches_immutable_bytes(self) -> None:
        """TypeError tells the way out."""
        binary = crackle_zarr.compress(brick())
        before = bytes(bytearray(binary))
        for source in (binary, memoryview(bytearray(binary)).toreadonly()):
            with pytest.raises(TypeError, match=r"read-only.*bytearray.*in_place=False"):
                crackle_zarr.remap(source, {1: 2}, True, True)
        assert binary == before

    def test_in_place_needs_room(self) -> None:
        """Where the stored width is too small, ValueError names it and the way out; nothing is changed."""
        binary = bytearray(crackle_zarr.compress(brick("u8")))
        before = bytes(binary)
        with pytest.raises(ValueError, match=r"1 bytes.*in_place=False"):
            crackle_zarr.remap(binary, {1: 256}, True, True)
        assert binary == before

    def test_the_stream_stays(self) -> None:
        """Without in_place a writable stream is not written to."""
        binary = bytearray(crackle_zarr.compress(brick()))
        before = bytes(binary)
        crackle_zarr.remap(binary, {1: 2, 2: 1}, True)
        assert binary == before

    def test_volumes_without_voxels(self) -> None:
        """They have no label that could lack a mapping."""
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
        """The smallest dtype of the same signedness that holds the labels."""
        volume = np.asfortranarray(np.repeat(volumes.palette(labels, dtype)[:, :, :1], 5, axis=2))
        fitted = crackle_zarr.refit(crackle_zarr.compress(volume, allow_pins=pins))
        assert type(fitted) is bytes
        back = crackle_zarr.decompress(fitted)
        assert back.dtype == np.dtype(expected)
        np.testing.assert_array_equal(back, volume)

    @pytest.mark.parametrize("start", [0, 1, 250, 300, 2**32, -4])
    def test_renumber(self, case: tuple[np.ndarray, bytes], start: int) -> None:
        """Labels become start, start + 1, ... in their order; 0 is a label like the others."""
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
        """Mapping and dtype are those of crackle-codec, which gives label 0 no special part either."""
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
        """The last numbers are used, and ValueError is raised past them."""
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
        """Every conversion gives NumPy's labels, those that wrap around included."""
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
        """What NumPy's rule forbids raises TypeError, as NumPy does."""
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
        """Only integers and bool, four orders, and NumPy's casting rules."""
        with pytest.raises(error, match=message):
            crackle_zarr.astype(crackle_zarr.compress(brick()), *arguments)

    def test_orders(self, case: tuple[np.ndarray, bytes]) -> None:
        """The rendered memory order changes, the volume does not; K and A keep the order."""
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
        """They change their dtype and order like others."""
        assert crackle_zarr.header(crackle_zarr.refit(empty("u8"))).dtype == np.uint8
        assert crackle_zarr.header(crackle_zarr.refit(empty("i8"))).dtype == np.int8
        changed, mapping = crackle_zarr.renumber(empty("u8"))
        assert (crackle_zarr.header(changed).dtype, mapping) == (np.uint8, {})
        assert crackle_zarr.header(crackle_zarr.astype(empty("u8"), "i2", "C")).order == "C"
        assert crackle_zarr.decompress(crackle_zarr.astype(empty("u8"), "i2", "F")).shape == (0, 3, 4)


class TestArrayEqual:
    @pytest.mark.usefixtures("small_slabs")
    def test_whatever_the_encoding(self, case: tuple[np.ndarray, bytes]) -> None:
        """The same labels are equal in any encoding and memory order, and not with one voxel changed."""
        volume, binary = case
        others = [
            crackle_zarr.compress(volume, markov_model_order=2),
            crackle_zarr.compress(volume, allow_pins=1, format_version=0),
            crackle_zarr.compress(np.asarray(volume, order="C")),
            crackle_zarr.compress(np.asarray(volume, order="F")),
        ]
        for other in others:
            for parallel in (1, 2):
                assert crackle_zarr.array_equal(binary, other, parallel)
        for place in ((0, 0, 0), tuple(n - 1 for n in volume.shape)):
            changed = volume.copy()
            changed[place] ^= changed.dtype.type(1)
            assert not crackle_zarr.array_equal(binary, crackle_zarr.compress(changed))

    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            (np.array([1, 2], "u1"), np.array([1, 2], "u8"), True),
            (np.array([1, 2], "u1"), np.array([1, 2], "i4"), True),
            (np.array([2**63 + 1], "u8"), np.array([2**63], "u8"), False),
            (np.array([2**64 - 1], "u8"), np.array([-1], "i8"), False),
            (np.array([2**63 - 1], "u8"), np.array([2**63 - 1], "i8"), True),
            (np.array([2**53 + 1], "u8"), np.array([2**53], "i8"), False),
            (np.array([2**53], "i8"), np.array([2**53 + 1], "u8"), False),
            (np.array([255], "u1"), np.array([-1], "i1"), False),
            (np.zeros((2, 3), "u1"), np.zeros((3, 2), "u1"), False),
            (np.zeros(2, "u1"), np.zeros((2, 1, 1), "u1"), True),
            (np.zeros((0, 2), "u1"), np.zeros((0, 2), "i4"), True),
            (np.zeros((0, 2), "u1"), np.zeros((2, 0), "u1"), False),
        ],
    )
    def test_dtypes_and_shapes(self, a: np.ndarray, b: np.ndarray, expected: bool) -> None:
        """Numbers are compared, not bits and not floats; shapes have to be the same."""
        streams = crackle_zarr.compress(a), crackle_zarr.compress(b)
        assert crackle_zarr.array_equal(*streams) is expected
        assert crackle_zarr.array_equal(*streams[::-1]) is expected

    def test_damage_is_not_a_difference(self) -> None:
        """A damaged stream raises instead of being unequal."""
        binary = crackle_zarr.compress(brick())
        with pytest.raises(FormatError):
            crackle_zarr.array_equal(binary, flipped(binary, offsets(binary).checksums + 4))


def test_version_is_that_of_the_distribution() -> None:
    """pyproject.toml and the package agree on the version."""
    import tomllib
    from pathlib import Path

    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not project.exists():
        pytest.skip("the tests are not beside pyproject.toml")
    assert tomllib.loads(project.read_text())["project"]["version"] == crackle_zarr.__version__


def test_import_is_light() -> None:
    """Importing the package imports neither zarr nor numcodecs, and starts no thread."""
    import subprocess
    import sys

    code = (
        "import sys, threading, crackle_zarr; "
        "print({'zarr', 'numcodecs'} & set(sys.modules), threading.active_count(), "
        "'Crackle' in dir(crackle_zarr))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "1", "True"]


def test_every_public_name_exists() -> None:
    """What __all__ promises is there, the codecs that are imported late included; nothing else is."""
    for name in crackle_zarr.__all__:
        assert getattr(crackle_zarr, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = crackle_zarr.no_such_name
