"""CrackleArray: operators, indexing, assignment and methods, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import volumes
from drop_in import (
    CASES,
    COMPARISONS,
    METHODS,
    OPERANDS,
    OPERATORS,
    SCALAR,
    TABLE,
    Case,
    a_label,
    computed,
    every_case,
    fits,
    flat,
    holds,
    plain,
    random_index,
    random_value,
    same,
    some_cases,
    surfaces_of,
)

import crackle_zarr as crackle


class TestOperators:
    """Operators against Python's integers, which do not wrap around."""

    @staticmethod
    def check(name: str, a: Any, b: Any, expected: Any, dtype: Any) -> None:
        if isinstance(expected, type):
            with pytest.raises(expected):
                OPERATORS[name](a, b)
        elif fits(expected, dtype):
            result = OPERATORS[name](a, b)
            assert isinstance(result, crackle.CrackleArray)
            holds(bytes(result.binary), expected.astype(dtype))
        else:
            with pytest.raises(OverflowError):
                OPERATORS[name](a, b)

    @pytest.mark.parametrize("symbol", OPERATORS)
    @some_cases
    def test_scalar(self, case: Case, symbol: str) -> None:
        """Every operator with a number, on either side, gives Python's result or OverflowError."""
        volume = case.volume
        for scalar in OPERANDS:
            if "shift" in symbol and scalar > 1000:  # Python would need all memory
                continue
            self.check(symbol, case.array, scalar, computed(symbol, volume, scalar), volume.dtype)
            if "shift" not in symbol:
                self.check(symbol, scalar, case.array, computed(symbol, scalar, volume), volume.dtype)

    @pytest.mark.parametrize("name", ["lshift", "rshift"])
    def test_number_shifted_by_labels(self, name: str) -> None:
        """A number shifted by each label gives Python's result or error."""
        volume = volumes.noise(6, dtype="u2")
        for scalar in (0, 1, 1000, 3000, -1):
            expected = computed(name, scalar, volume)
            self.check(name, scalar, crackle.compressa(volume), expected, volume.dtype)

    @pytest.mark.parametrize("name", OPERATORS)
    @pytest.mark.parametrize("dtypes", [("u1", "u1"), ("u4", "u4"), ("u2", "u8"), ("i2", "u1"), ("i8", "i4")])
    @pytest.mark.parametrize("low", [0, 1])
    def test_volume(self, name: str, dtypes: tuple[str, str], low: int) -> None:
        """Every operator on two volumes, compressed or plain, gives Python's result in NumPy's dtype."""
        a = volumes.noise(50, (9, 8, 4), dtypes[0]) + np.asarray(low, dtypes[0])
        b = np.flip(volumes.noise(5, (9, 8, 4), dtypes[1])) + np.asarray(low, dtypes[1])
        dtype = np.result_type(a, b)
        expected = computed(name, a, b)
        ours, theirs = crackle.compressa(a), crackle.compressa(b, allow_pins=1)
        self.check(name, ours, theirs, expected, dtype)
        self.check(name, ours, b, expected, dtype)
        self.check(name, a, theirs, expected, dtype)

    @every_case
    def test_comparison(self, case: Case) -> None:
        """A comparison with any integer, outside of the dtype too, gives a volume of 0 and 1."""
        labels, places = np.unique(case.volume, return_inverse=True)
        for name, compare in COMPARISONS.items():
            for scalar in (a_label(case.volume), 0, -1, 2**64, -(2**70)):
                expected = np.array([compare(label, scalar) for label in labels.tolist()], np.uint8)
                result = compare(case.array, scalar)
                assert isinstance(result, crackle.CrackleArray), name
                same(result.numpy(), expected[places.reshape(case.volume.shape)])

    @some_cases
    def test_comparison_with_a_volume(self, case: Case) -> None:
        """A comparison with a volume, on either side, gives NumPy's result as 0 and 1."""
        other = np.asfortranarray(np.flip(case.volume))
        for compare in COMPARISONS.values():
            expected = compare(case.volume, other).astype(np.uint8)
            for operand in (crackle.compressa(other), other):
                same(compare(case.array, operand).numpy(), expected)
            same(compare(other, case.array).numpy(), compare(other, case.volume).astype(np.uint8))

    @every_case
    def test_unary(self, case: Case) -> None:
        """~, + and - give NumPy's labels; - raises OverflowError if the dtype cannot hold them."""
        same((~case.array).numpy(), ~case.volume)
        same((+case.array).numpy(), case.volume)
        negative = -case.volume.astype(object)
        if fits(negative, case.volume.dtype):
            same((-case.array).numpy(), negative.astype(case.volume.dtype))
        else:
            with pytest.raises(OverflowError):
                _ = -case.array

    @pytest.mark.parametrize("name", [*OPERATORS, *COMPARISONS])
    def test_another_shape(self, name: str) -> None:
        """Operands of different shapes raise ValueError; nothing is broadcast."""
        a, b = crackle.ones((4, 3, 2)), crackle.ones((3, 4, 2))
        with pytest.raises(ValueError, match="shape"):
            (OPERATORS | COMPARISONS)[name](a, b)

    @pytest.mark.parametrize("other", [1.5, "1", None, [1]], ids=repr)
    @pytest.mark.parametrize("name", OPERATORS)
    def test_no_operand(self, name: str, other: Any) -> None:
        """An operand that is not an integer or a volume of labels raises TypeError."""
        with pytest.raises(TypeError):
            OPERATORS[name](crackle.ones((4, 3, 2)), other)

    @pytest.mark.parametrize("keepdims", [False, True], ids=["", "keepdims"])
    @pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 2)], ids=str)
    @some_cases
    def test_any_and_all(self, case: Case, axis: Any, keepdims: bool) -> None:
        """any() and all() take axis, keepdims and where, and answer as NumPy's."""
        where = case.volume != a_label(case.volume)
        for name in ("any", "all"):
            for options in ({}, {"where": where}):
                expected = getattr(np, name)(case.volume, axis=axis, keepdims=keepdims, **options)
                got = getattr(case.array, name)(axis=axis, keepdims=keepdims, **options)
                assert np.array_equal(got, expected)
                assert np.shape(got) == np.shape(expected)

    @every_case
    def test_any_and_all_of_everything(self, case: Case) -> None:
        """Without arguments, any() and all() answer for the whole volume."""
        assert bool(case.array.any()) == case.volume.any()
        assert bool(case.array.all()) == case.volume.all()


class TestIndexing:
    @every_case
    def test_get(self, case: Case) -> None:
        """Random indices select the voxels, the shape and the dtype that NumPy selects."""
        rng = np.random.default_rng(case.volume.size)
        array = case.array
        for _ in range(15):
            index = random_index(rng, case.volume.shape)
            expected = case.volume[index]
            got = array[index]
            assert got.dtype == expected.dtype, index
            assert np.shape(got) == np.shape(expected), index
            assert np.array_equal(got, expected), index

    @every_case
    def test_set(self, case: Case) -> None:
        """Random assignments in turn give NumPy's voxels; untouched slices keep their codes byte for byte."""
        rng = np.random.default_rng(CASES.index(case))
        array, volume = case.array, case.volume.copy(order="F")
        for _ in range(6):
            index = random_index(rng, volume.shape)
            value = random_value(rng, volume[index])
            before, codes = volume.copy(order="F"), crackle.crack_codes(array.binary)
            binary = array.binary
            kept = bytes(binary)
            volume[index] = value.numpy() if isinstance(value, crackle.CrackleArray) else value
            array[index] = value
            assert bytes(binary) == kept
            holds(bytes(array.binary), volume, case.order)
            untouched = np.ones(volume.shape[2], bool)
            selected = np.zeros(volume.shape, bool)
            selected[index] = True
            untouched[selected.any(axis=(0, 1))] = False
            assert np.array_equal(before[:, :, untouched], volume[:, :, untouched])
            now = crackle.crack_codes(array.binary)
            for z in np.flatnonzero(untouched):
                assert now[z] == codes[z]
        same(array.labels(), np.unique(volume))

    @every_case
    def test_set_slices_one_by_one(self, case: Case) -> None:
        """Slice after slice can be assigned, as scripts fill volumes."""
        array, volume = case.array, case.volume
        new = np.asfortranarray(np.flip(volume))
        for z in range(min(volume.shape[2], 6)):
            array[:, :, z] = new[:, :, z]
        expected = volume.copy(order="F")
        expected[:, :, :6] = new[:, :, :6]
        holds(bytes(array.binary), expected, case.order)

    @some_cases
    def test_set_what_does_not_fit(self, case: Case) -> None:
        """A value that the dtype cannot hold raises, and the stream stays as it was."""
        array, info = case.array, np.iinfo(case.volume.dtype)
        for value in (info.max + 1, info.min - 1, np.array([[1]], object) * (info.max + 1)):
            with pytest.raises(
                (OverflowError, TypeError) if isinstance(value, np.ndarray) else OverflowError
            ):
                array[:, :, 1] = value
        for value in (np.full((1, 1), -40_000), np.full((1, 1), 2**63, np.uint64)):
            if not fits(value, case.volume.dtype):
                with pytest.raises(OverflowError):
                    array[:, :, 1] = value
        with pytest.raises(OverflowError):
            array[0, 0, 0] = info.max + 1
        assert array.binary == case.stream

    @pytest.mark.parametrize(
        ("index", "value", "error"),
        [
            ((0, 0, 99), 1, IndexError),
            ((-22, 0, 0), 1, IndexError),
            ((0, 0, 0, 0), 1, IndexError),
            ((..., ...), 1, IndexError),
            ((0, 0, 0), 1.5, TypeError),
            ((0, 0), np.ones(3), TypeError),
            ((0, 0, 0), "a", TypeError),
            ((0, 0, 0), None, TypeError),
            ("a", 1, TypeError),
            (1.5, 1, TypeError),
            ((0, 0), [1, 2], ValueError),
            ((slice(None), 0, 0), np.ones((2, 2), int), ValueError),
            ((slice(None, None, 0), 0, 0), 1, ValueError),
        ],
        ids=str,
    )
    def test_set_refused(self, index: Any, value: Any, error: type[Exception]) -> None:
        """A wrong index or value raises NumPy's error, and the stream stays as it was."""
        array = crackle.compressa(volumes.rings())
        before = array.binary
        with pytest.raises(error):
            array[index] = value
        assert array.binary == before

    @pytest.mark.parametrize(
        ("index", "error"),
        [((0, 0, 99), IndexError), (-22, IndexError), ((0, 0, 0, 0), IndexError), ("a", TypeError)],
        ids=str,
    )
    def test_get_refused(self, index: Any, error: type[Exception]) -> None:
        """A wrong index raises IndexError or TypeError."""
        with pytest.raises(error):
            crackle.compressa(volumes.rings())[index]


class TestArray:
    @pytest.mark.parametrize("method", METHODS)
    @some_cases
    def test_methods_are_the_functions(self, case: Case, method: str) -> None:
        """A method answers as the function on the stream; its streams are CrackleArrays."""
        if method == "signed_distance_to_boundary":
            pytest.importorskip("scipy")
        if method == "to_parquet":
            pytest.importorskip("pyarrow")
        given = METHODS[method](case.volume)
        arguments, options = ((), given) if isinstance(given, dict) else (given, {})
        by_method = getattr(case.array, method)(*arguments, **options)
        by_function = getattr(crackle, method)(case.stream, *arguments, **options)
        assert plain(by_method, crackle.decompress) == plain(by_function, crackle.decompress)
        for own, other in zip(flat(by_method), flat(by_function), strict=True):
            assert isinstance(own, crackle.CrackleArray) == isinstance(other, bytes)

    def test_no_method_is_missing(self) -> None:
        """Every function of the table that takes a stream is a method, except those on the stream's bytes."""
        others = {"compress", "compressa", "zeros", "ones", "full", "aload", "bload", "load"}
        others |= {"components", "component_lengths", "crack_codes", "component_map"}
        others |= set(SCALAR)
        for name in TABLE:
            assert name in others or hasattr(crackle.CrackleArray, name), name

    @every_case
    def test_attributes(self, case: Case) -> None:
        """Attributes, conversion, iteration and "in" are those of the decoded volume."""
        array, volume = case.array, case.volume
        assert array.shape == volume.shape
        assert array.dtype == volume.dtype
        assert array.ndim == 3
        assert array.size == volume.size
        assert array.nbytes == volume.nbytes
        assert array.random_access is True
        assert len(array) == len(case.stream)
        same(array.numpy(), volume, case.order)
        same(np.asarray(array), volume)
        same(array.numpy(a_label(volume)), volume == a_label(volume))
        same(np.asarray(array, dtype=np.float64), volume.astype(np.float64))
        assert (a_label(volume) in array) is True
        assert (2**65 in array) is False
        same(np.stack(list(array)), volume)

    @some_cases
    def test_labels_of_slices(self, case: Case) -> None:
        """labels(z) gives the labels of one slice or a range of slices."""
        for z in (0, 1, -1, slice(1, 3), slice(None), slice(2, 1), slice(-2, None)):
            same(case.array.labels(z), np.unique(case.volume[:, :, z]))
        with pytest.raises((IndexError, ValueError)):
            case.array.labels(99)

    @some_cases
    def test_point_cloud(self, case: Case) -> None:
        """point_cloud() takes a label and a range of slices."""
        label = a_label(case.volume)
        got = case.array.point_cloud(label, z_start=1, z_end=2)
        points = surfaces_of(case.name, case.table)[label]
        same(got, points[points[:, 2] == 1])

    @pytest.mark.parametrize("order", ["K", "C", "F"])
    @some_cases
    def test_copy(self, case: Case, order: Any) -> None:
        """A copy has its own bytes, in the memory order that the caller names."""
        buffer = bytearray(case.stream)
        array = crackle.CrackleArray(buffer)
        copy = array.copy(order)
        buffer[:] = b"\0" * len(buffer)
        same(copy.numpy(), case.volume, case.order if order == "K" else order)

    def test_mask_in_place(self) -> None:
        """mask(in_place=True) changes the caller's buffer."""
        volume = volumes.rings()
        buffer = bytearray(crackle.compress(volume))
        crackle.CrackleArray(buffer).mask([1, 2], in_place=True)
        same(crackle.decompress(buffer), np.where(volume <= 2, 0, volume).astype(np.uint16))

    def test_zstack(self) -> None:
        """zstack() takes arrays and volumes, and returns a CrackleArray."""
        volume = volumes.rings()
        array = crackle.compressa(volume)
        stacked = array.zstack([array, volume[:, :, 0]])
        assert isinstance(stacked, crackle.CrackleArray)
        same(stacked.numpy(), np.concatenate([volume, volume, volume[:, :, :1]], axis=2))
