"""CrackleArray compared with the equal NumPy array."""

from __future__ import annotations

import io
import mmap
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import volumes
from hypothesis import strategies as st

import crackle_zarr
from crackle_zarr import CrackleArray, FormatError, _binding
from crackle_zarr.streams import stream

VOLUME = volumes.noise(4, (7, 6, 9), "u2")


def make(order: str = "F", **options: Any) -> CrackleArray:
    return crackle_zarr.compressa(np.asarray(VOLUME, order=order), **options)


class Decoded:
    """Records the slices that are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slices: list[int] = []
        original = _binding.Reader.decode

        def decode(reader: Any, out: Any, z_start: int, z_end: int, **options: Any) -> None:
            self.slices.extend(range(z_start, z_end))
            original(reader, out, z_start, z_end, **options)

        monkeypatch.setattr(_binding.Reader, "decode", decode)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    return Decoded(monkeypatch)


class TestWhatItIs:
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_attributes(self, order: str) -> None:
        """Shape, dtype, ndim, size and nbytes are those of the decoded volume."""
        arr = make(order)
        for name in ("shape", "dtype", "ndim", "size", "nbytes"):
            assert getattr(arr, name) == getattr(VOLUME, name)
        assert arr.random_access is True
        assert arr.header() == crackle_zarr.header(arr.binary)

    def test_length_is_that_of_the_stream(self) -> None:
        """len() counts the bytes of the stream, as crackle-codec's does."""
        crackle = pytest.importorskip("crackle")
        arr = make()
        assert len(arr) == len(arr.binary) == len(crackle.CrackleArray(arr.binary))
        assert len(CrackleArray(np.frombuffer(arr.binary, np.uint8).reshape(1, -1))) == len(arr)

    def test_repr(self) -> None:
        """The representation describes the array without decoding it."""
        arr = make("C")
        assert repr(arr) == f"<CrackleArray shape=(7, 6, 9) dtype=uint16 order=C stream={len(arr)} bytes>"

    @pytest.mark.parametrize(
        ("binary", "error"),
        [
            (b"", FormatError),
            (b"crkl", FormatError),
            (bytes(100), FormatError),
            (None, TypeError),
            ("crkl", TypeError),
        ],
        ids=repr,
    )
    def test_bytes_that_are_no_stream(self, binary: Any, error: type[Exception]) -> None:
        """Bytes that cannot be a stream raise when the array is made, not when it is used."""
        with pytest.raises(error):
            CrackleArray(binary)

    def test_truncated(self) -> None:
        """A stream that lacks its last byte is refused."""
        with pytest.raises(FormatError):
            CrackleArray(make().binary[:-1])

    @pytest.mark.parametrize(("parallel", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
    def test_parallel_is_checked(self, parallel: Any, error: type[Exception]) -> None:
        """A number of threads is an integer from 0 on."""
        with pytest.raises(error, match="threads"):
            CrackleArray(make().binary, parallel)

    def test_pickle(self, tmp_path: Path) -> None:
        """An array is pickled with its bytes, even if they lie in a memory map."""
        arr = make(parallel=2)
        arr.save(tmp_path / "a.ckl")
        for source in (arr, crackle_zarr.aload(tmp_path / "a.ckl", allow_mmap=True)):
            back = pickle.loads(pickle.dumps(source))
            assert back.binary == arr.binary
            assert back.parallel == source.parallel

    def test_buffer_is_kept(self) -> None:
        """The stream is not copied: the array shows a remap in its buffer."""
        binary = bytearray(make().binary)
        arr = CrackleArray(binary)
        assert arr.binary is binary
        crackle_zarr.remap(binary, {0: 1, 1: 0}, True, True)
        np.testing.assert_array_equal(arr.numpy(), np.array([1, 0, 2, 3])[VOLUME])


class TestNumPy:
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("parallel", [0, 1, 2])
    def test_whole_volume(self, order: str, parallel: int) -> None:
        """numpy, decompress and np.asarray decode the volume in its dtype and memory order."""
        arr = make(order, parallel=parallel)
        for back in (arr.numpy(), arr.decompress(), np.asarray(arr), np.array(arr)):
            assert back.dtype == VOLUME.dtype
            assert back.flags[f"{order}_CONTIGUOUS"]
            np.testing.assert_array_equal(back, VOLUME)

    @pytest.mark.parametrize("dtype", ["u1", "i8", "f4", ">u2", "?"])
    def test_array_with_a_dtype(self, dtype: str) -> None:
        """np.asarray converts to another dtype, as it does for an array."""
        back = np.asarray(make(), dtype=dtype)
        assert back.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(back, VOLUME.astype(dtype))

    def test_array_protocol_of_numpy_2(self) -> None:
        """copy=True and None decode; copy=False raises, because decoding always copies."""
        for copy in (True, None):
            np.testing.assert_array_equal(make().__array__(copy=copy), VOLUME)
        with pytest.raises(ValueError, match="copy=False"):
            make().__array__(copy=False)
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # in NumPy 1, False means "if needed"
            with pytest.raises(ValueError, match="copy"):
                np.array(make(), copy=False)

    def test_options_of_decompress(self) -> None:
        """Masks, crops, ranges, out and verify are passed on."""
        arr = make()
        np.testing.assert_array_equal(arr.decompress(2), VOLUME == 2)
        np.testing.assert_array_equal(arr.numpy(2, crop=True), VOLUME == 2)
        np.testing.assert_array_equal(arr.decompress(z_start=2, z_end=5), VOLUME[:, :, 2:5])
        out = np.empty(VOLUME.shape, VOLUME.dtype)
        assert arr.decompress(out=out, verify=False) is out
        np.testing.assert_array_equal(out, VOLUME)

    def test_iteration_decodes_once(self, decoded: Decoded) -> None:
        """Iteration yields the planes of the first axis, and decodes the volume once."""
        planes = list(make())
        assert len(planes) == 7
        np.testing.assert_array_equal(np.stack(planes), VOLUME)
        assert decoded.slices == list(range(9))


INDICES: list[Any] = [
    1,
    -1,
    np.int64(3),
    np.uint8(3),
    ...,
    (),
    slice(None),
    slice(1, 4),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(-3, None),
    slice(5, 1),
    slice(100, 200),
    (..., 0),
    (..., -1),
    (0, ...),
    (..., slice(2, 7)),
    (..., slice(2, 7, 2)),
    (..., slice(None, None, 4)),
    (..., slice(None, None, -1)),
    (..., slice(7, 2, -1)),
    (..., slice(8, None, -3)),
    (..., slice(3, 2, -5)),
    (..., slice(3, 3)),
    (1, 2, 3),
    (-7, -6, -9),
    (1, 2),
    (1, slice(None), 3),
    (slice(None), 2, slice(None)),
    (1, ..., 3),
    (slice(1, 6, 3), slice(5, 0, -2), slice(1, 8, 3)),
    (slice(5, 0, -2), slice(None), slice(8, 0, -3)),
    (slice(None, None, -1), slice(None, None, -1), slice(None, None, -1)),
    (slice(2, 2), 1, 1),
    (0, slice(4, 4), slice(None)),
    (slice(0, 1), slice(0, 1), slice(0, 1)),
    (slice(None), slice(None), slice(None), ...),
]


class TestIndexing:
    @pytest.mark.parametrize("slab_nbytes", [1, stream.SLAB_NBYTES], ids=["slice by slice", "at once"])
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("index", INDICES, ids=str)
    def test_as_numpy(
        self, index: Any, order: str, slab_nbytes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Integers, slices and an ellipsis select what they select in NumPy."""
        monkeypatch.setattr(stream, "SLAB_NBYTES", slab_nbytes)
        found, expected = make(order)[index], VOLUME[index]
        assert type(found) is type(expected)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)

    @hypothesis.given(data=st.data())
    def test_any_index(self, data: st.DataObject) -> None:
        """Random integers, slices and an ellipsis select what they select in NumPy."""
        axes = []
        for length in VOLUME.shape:
            bound = st.none() | st.integers(-2 * length, 2 * length)
            step = st.none() | st.integers(-length - 1, length + 1).filter(bool)
            axes.append(data.draw(st.integers(-length, length - 1) | st.builds(slice, bound, bound, step)))
        count = data.draw(st.integers(0, 3))
        index = tuple(axes[:count])
        if data.draw(st.booleans()):
            index = (..., *axes[3 - count :])
        np.testing.assert_array_equal(ARRAY[index], VOLUME[index])

    @pytest.mark.parametrize(
        ("index", "slices"),
        [
            ((..., 3), [3]),
            ((..., -1), [8]),
            ((1, 2, 3), [3]),
            ((..., slice(2, 5)), [2, 3, 4]),
            ((..., slice(4, 1, -1)), [2, 3, 4]),
            ((..., slice(1, 8, 3)), [1, 4, 7]),
            ((..., slice(8, 0, -4)), [4, 8]),
            ((1, slice(None), slice(2, 5)), [2, 3, 4]),
            ((..., slice(5, 5)), []),
            ((slice(3, 3), ..., 4), []),
            (0, list(range(9))),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_only_the_slices_it_needs(
        self, index: Any, slices: list[int], order: str, decoded: Decoded
    ) -> None:
        """Only the selected slices are decoded, each once."""
        _ = make(order, parallel=1)[index]
        assert decoded.slices == slices

    def test_damage_elsewhere_does_not_matter(self) -> None:
        """If one slice is damaged, it raises, and the others can be read."""
        binary = bytearray(make().binary)
        binary[_binding.read_layout(binary).checksums + 4 + 4 * 3] ^= 1
        arr = CrackleArray(binary)
        np.testing.assert_array_equal(arr[..., :3], VOLUME[..., :3])
        np.testing.assert_array_equal(arr[..., 4:], VOLUME[..., 4:])
        np.testing.assert_array_equal(arr[..., ::2], VOLUME[..., ::2])
        for index in (3, slice(None), slice(1, 8, 2)):
            with pytest.raises(FormatError) as caught:
                _ = arr[..., index]
            assert caught.value.slice == 3

    def test_memory_belongs_to_the_result(self) -> None:
        """A result is writable, and does not keep unselected slices in memory."""
        for index in [(1, 2), (..., 3), (slice(None), 2), (slice(1, 6, 3), ..., slice(1, 8, 3))]:
            part = make()[index]
            part[...] = 0
            owner = part if part.base is None else part.base
            assert owner.nbytes == part.nbytes

    @pytest.mark.parametrize(
        ("index", "message"),
        [
            (7, "index 7 is out of bounds for axis 0 of length 7"),
            (-8, "index -8 .* axis 0"),
            ((0, 6), "index 6 .* axis 1 of length 6"),
            ((..., 9), "index 9 .* axis 2"),
            ((..., 2**70), "out of bounds"),
            ((0, 0, 0, 0), "too many indices.*3 axes, and 4"),
            ((..., 0, 0, 0, 0), "too many indices"),
            ((..., 0, ...), "single ellipsis"),
        ],
        ids=str,
    )
    def test_out_of_bounds(self, index: Any, message: str) -> None:
        """An index out of bounds raises IndexError, as in NumPy."""
        with pytest.raises(IndexError, match=message):
            _ = make()[index]
        with pytest.raises(IndexError):
            _ = VOLUME[index]

    @pytest.mark.parametrize(
        "index",
        [1.0, "1", None, True, np.True_, [0, 1], np.array([0, 1]), (0, [1]), (..., None), VOLUME > 2],
        ids=lambda index: type(index).__name__,
    )
    def test_other_kinds_of_indices(self, index: Any) -> None:
        """Other indices raise TypeError that names the alternative."""
        with pytest.raises(TypeError, match=r"integers, slices and '\.\.\.', not .*numpy\(\)"):
            _ = make()[index]

    def test_a_step_of_0(self) -> None:
        """A step of 0 raises ValueError, as in NumPy."""
        with pytest.raises(ValueError, match="zero"):
            _ = make()[::0]

    @pytest.mark.parametrize("shape", [(0, 3, 4), (3, 4, 0)], ids=str)
    def test_volumes_without_voxels(self, shape: tuple[int, ...]) -> None:
        """Volumes without voxels can be indexed as NumPy's can."""
        volume = np.empty(shape, np.int16)
        arr = crackle_zarr.compressa(volume)
        for index in ((), (slice(None), 1), (..., slice(None, None, -2))):
            assert arr[index].shape == volume[index].shape
            assert arr[index].dtype == np.int16
        with pytest.raises(IndexError):
            _ = arr[0, 0, 0]
        assert list(crackle_zarr.compressa(np.empty((0, 2), np.int8))) == []


ARRAY = make()


class TestMethods:
    def test_queries(self) -> None:
        """Methods that query answer as the functions on the stream do."""
        volume = volumes.palette([-5, 0, 3, 700], "i4")
        arr = crackle_zarr.compressa(volume)
        assert arr.labels().tolist() == [-5, 0, 3, 700]
        assert arr.num_labels() == 4
        assert (arr.min(), arr.max()) == (-5, 700)
        assert arr.contains_range(-5, 3).tolist() == [-5, 0]
        assert arr.contains(700)
        assert 3 in arr
        assert np.int8(-5) in arr
        assert 4 not in arr
        assert 2**40 not in arr
        with pytest.raises(TypeError, match="label is an integer"):
            _ = 3.0 in arr

    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            pytest.param(
                lambda a: a.remap({0: 1, 1: 0}, preserve_missing_labels=True), [1, 0, 2, 3], id="remap"
            ),
            pytest.param(lambda a: a.remap({0: 9, 1: 8, 2: 9, 3: 7}), [9, 8, 9, 7], id="remap, merging"),
            pytest.param(lambda a: a.renumber(10)[0], [10, 11, 12, 13], id="renumber"),
            pytest.param(lambda a: a.refit(), [0, 1, 2, 3], id="refit"),
            pytest.param(lambda a: a.astype("i8"), [0, 1, 2, 3], id="astype"),
            pytest.param(lambda a: a.asfortranarray(), [0, 1, 2, 3], id="asfortranarray"),
            pytest.param(lambda a: a.ascontiguousarray(), [0, 1, 2, 3], id="ascontiguousarray"),
            pytest.param(lambda a: a.copy(), [0, 1, 2, 3], id="copy"),
        ],
    )
    def test_edits(self, method: Callable[[CrackleArray], CrackleArray], expected: list[int]) -> None:
        """Methods that edit return a CrackleArray with as many threads; the original stays."""
        arr = make(parallel=2)
        before = bytes(bytearray(arr.binary))
        changed = method(arr)
        assert type(changed) is CrackleArray
        assert changed.parallel == 2
        assert arr.binary == before
        np.testing.assert_array_equal(changed.numpy(), np.array(expected)[VOLUME])

    def test_dtypes_and_orders_of_edits(self) -> None:
        """refit, astype and the two orders give the dtype and the order in their names."""
        arr = make("C")
        assert arr.refit().dtype == np.uint8
        assert arr.astype(np.int32, "F").dtype == np.int32
        assert arr.astype(np.int32, "F").header().order == "F"
        assert arr.asfortranarray().header().order == "F"
        assert arr.asfortranarray().ascontiguousarray().header().order == "C"
        with pytest.raises(TypeError, match="cannot cast"):
            arr.astype(np.uint8, casting="safe")

    def test_renumber_gives_the_mapping(self) -> None:
        """renumber() returns the mapping in Python ints."""
        changed, mapping = make().renumber(5)
        assert mapping == {0: 5, 1: 6, 2: 7, 3: 8}
        assert changed.labels().tolist() == [5, 6, 7, 8]

    def test_remap_without_a_mapping(self) -> None:
        """A label without a mapping raises KeyError unless it is to be preserved."""
        with pytest.raises(KeyError, match="no mapping for 3"):
            make().remap({1: 2})

    @pytest.mark.parametrize(("order", "expected"), [("K", "F"), ("A", "F"), ("F", "F"), ("C", "C")])
    def test_copy(self, order: Any, expected: str) -> None:
        """A copy has bytes of its own, in the order that the caller names."""
        binary = bytearray(make().binary)
        copied = CrackleArray(binary).copy(order)
        binary[:] = bytes(len(binary))
        assert copied.header().order == expected
        np.testing.assert_array_equal(copied.numpy(), VOLUME)

    def test_array_equal(self) -> None:
        """Another encoding of the same labels is equal, as an array or as bytes; other labels are not."""
        other = make("C", markov_model_order=3)
        assert make().array_equal(other)
        assert make().array_equal(other.binary)
        assert not make().array_equal(other.remap({0: 9}, True))

    def test_save(self, tmp_path: Path) -> None:
        """save() writes the stream unchanged, to a path or to a file object."""
        arr = make()
        arr.save(tmp_path / "a.ckl")
        assert (tmp_path / "a.ckl").read_bytes() == arr.binary
        file = io.BytesIO()
        arr.save(file)
        assert file.getvalue() == arr.binary

    def test_over_a_memory_map(self, tmp_path: Path) -> None:
        """A stream in a mapped file reads like one in memory."""
        make().save(tmp_path / "a.ckl")
        arr = crackle_zarr.aload(tmp_path / "a.ckl", allow_mmap=True)
        assert isinstance(arr.binary, mmap.mmap)
        assert len(arr) == (tmp_path / "a.ckl").stat().st_size
        np.testing.assert_array_equal(arr[..., 4], VOLUME[..., 4])
        np.testing.assert_array_equal(arr.copy().numpy(), VOLUME)
        assert arr.remap({0: 5}, True).contains(5)
        assert 2 in arr


class TestCompressa:
    def test_options(self) -> None:
        """compressa() takes the options of compress(), and holds the same stream."""
        arr = crackle_zarr.compressa(VOLUME, 1, 3, None, 2, format_version=0)
        assert arr.binary == crackle_zarr.compress(VOLUME, 1, 3, format_version=0)
        assert arr.parallel == 2

    def test_shape_of_two_axes(self) -> None:
        """An array of two axes becomes a stream of three."""
        arr = crackle_zarr.compressa([[1, 2, 3]])
        assert arr.shape == (1, 3, 1)
        assert arr[0, 1, 0] == 2
