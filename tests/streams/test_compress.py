"""compress(): its input, its errors, and the bytes that it makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import volumes
from stream_cases import DTYPES, brick

import crackle_zarr
from crackle_zarr import _binding


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
        """Views with any strides are read as NumPy reads them, and are not changed."""
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
        """A stream has three axes: missing ones become 1, and an axis of 0 stays 0."""
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
    def test_other_dtypes_are_refused(self, labels: Any) -> None:
        """Other dtypes raise TypeError that names the dtype and the conversion."""
        with pytest.raises(TypeError, match=f"not {re.escape(str(np.asarray(labels).dtype))}: .*astype"):
            crackle_zarr.compress(labels)

    def test_masked_arrays_are_refused(self) -> None:
        """Masked arrays raise, because the mask would be lost."""
        with pytest.raises(TypeError, match="filled"):
            crackle_zarr.compress(np.ma.masked_equal(brick(), 3))

    @pytest.mark.parametrize(
        ("shape", "message"),
        [((2, 3, 4, 5), "three axes"), ((1, 1, 1, 1), "three axes"), ((2**32, 0), "at most 4294967295")],
        ids=str,
    )
    def test_shapes_that_no_stream_has(self, shape: tuple[int, ...], message: str) -> None:
        """More than three axes, or an axis past 32 bits, raise ValueError."""
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
        """A wrong option raises an error with its name, its value and the possible values."""
        with pytest.raises(error, match=message):
            crackle_zarr.compress(brick("u1"), **options)

    def test_options_reach_the_stream(self) -> None:
        """Format version, Markov order and pins are in the header; True is 1."""
        head = crackle_zarr.header(
            crackle_zarr.compress(volumes.columns(), True, np.int64(4), 0, format_version=0)
        )
        assert (head.format_version, head.markov_model_order, head.label_format) == (0, 4, 2)

    def test_the_highest_markov_order_is_that_of_the_library(self) -> None:
        """The highest Markov order is checked in Python, with the limit of the library."""
        from crackle_zarr._base import options

        assert options.MAX_MARKOV_MODEL_ORDER == _binding.MAX_MARKOV_ORDER

    def test_background_of_pins(self) -> None:
        """Any background of the pins gives back the volume."""
        volume = volumes.balls()
        for background in (0, 4000, 5):
            binary = crackle_zarr.compress(volume, allow_pins=1, bgcolor=background)
            np.testing.assert_array_equal(crackle_zarr.decompress(binary), volume)

    def test_a_crackle_array_is_an_array(self) -> None:
        """An object with __array__ can be compressed, a CrackleArray included."""
        arr = crackle_zarr.compressa(brick())
        assert crackle_zarr.compress(arr, markov_model_order=2) == crackle_zarr.compress(
            brick(), markov_model_order=2
        )
