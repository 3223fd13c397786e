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
    """Against Python's integers, which do not wrap around."""

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
        volume = case.volume
        for scalar in OPERANDS:
            if "shift" in symbol and scalar > 1000:  # Python would need all memory
                continue
            self.check(symbol, case.array, scalar, computed(symbol, volume, scalar), volume.dtype)
            if "shift" not in symbol:
                self.check(symbol, scalar, case.array, computed(symbol, scalar, volume), volume.dtype)

    @pytest.mark.parametrize("name", ["lshift", "rshift"])
    def test_number_shifted_by_labels(self, name: str) -> None:
        volume = volumes.noise(6, dtype="u2")
        for scalar in (0, 1, 1000, 3000, -1):
            expected = computed(name, scalar, volume)
            self.check(name, scalar, crackle.compressa(volume), expected, volume.dtype)

    @pytest.mark.parametrize("name", OPERATORS)
    @pytest.mark.parametrize("dtypes", [("u1", "u1"), ("u4", "u4"), ("u2", "u8"), ("i2", "u1"), ("i8", "i4")])
    @pytest.mark.parametrize("low", [0, 1])
    def test_volume(self, name: str, dtypes: tuple[str, str], low: int) -> None:
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
        labels, places = np.unique(case.volume, return_inverse=True)
        for name, compare in COMPARISONS.items():
            for scalar in (a_label(case.volume), 0, -1, 2**64, -(2**70)):
                expected = np.array([compare(label, scalar) for label in labels.tolist()], np.uint8)
                result = compare(case.array, scalar)
                assert isinstance(result, crackle.CrackleArray), name
                same(result.numpy(), expected[places.reshape(case.volume.shape)])

    @some_cases
    def test_comparison_with_a_volume(self, case: Case) -> None:
        other = np.asfortranarray(np.flip(case.volume))
        for compare in COMPARISONS.values():
            expected = compare(case.volume, other).astype(np.uint8)
            for operand in (crackle.compressa(other), other):
                same(compare(case.array, operand).numpy(), expected)
            same(compare(other, case.array).numpy(), compare(other, case.volume).astype(np.uint8))

    @every_case
    def test_unary(self, case: Case) -> None:
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
        a, b = crackle.ones((4, 3, 2)), crackle.ones((3, 4, 2))
        with pytest.raises(ValueError, match="shape"):
            (OPERATORS | COMPARISONS)[name](a, b)

    @pytest.mark.parametrize("other", [1.5, "1", None, [1]], ids=repr)
    @pytest.mark.parametrize("name", OPERATORS)
    def test_no_operand(self, name: str, other: Any) -> None:
        with pytest.raises(TypeError):
            OPERATORS[name](crackle.ones((4, 3, 2)), other)

    @pytest.mark.parametrize("keepdims", [False, True], ids=["", "keepdims"])
    @pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 2)], ids=str)
    @some_cases
    def test_any_and_all(self, case: Case, axis: Any, keepdims: bool) -> None:
        where = case.volume != a_label(case.volume)
        for name in ("any", "all"):
            for options in ({}, {"where": where}):
                expected = getattr(np, name)(case.volume, axis=axis, keepdims=keepdims, **options)
                got = getattr(case.array, name)(axis=axis, keepdims=keepdims, **options)
                assert np.array_equal(got, expected)
                assert np.shape(got) == np.shape(expected)

    @every_case
    def test_any_and_all_of_everything(self, case: Case) -> None:
        assert bool(case.array.any()) == case.volume.any()
        assert bool(case.array.all()) == case.volume.all()


class TestIndexing:
    @every_case
    def test_get(self, case: Case) -> None:
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
        """Random assignments, one after the other; slices that are not touched stay byte for byte."""
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
        """Whole slices, as scripts fill volumes: integers, and slices of the first two axes."""
        array, volume = case.array, case.volume
        new = np.asfortranarray(np.flip(volume))
        for z in range(min(volume.shape[2], 6)):
            array[:, :, z] = new[:, :, z]
        expected = volume.copy(order="F")
        expected[:, :, :6] = new[:, :, :6]
        holds(bytes(array.binary), expected, case.order)

    @some_cases
    def test_set_what_does_not_fit(self, case: Case) -> None:
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
        with pytest.raises(error):
            crackle.compressa(volumes.rings())[index]


class TestArray:
    @pytest.mark.parametrize("method", METHODS)
    @some_cases
    def test_methods_are_the_functions(self, case: Case, method: str) -> None:
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
        """Every function of the table whose first argument is a stream, but for those on its bytes."""
        others = {"compress", "compressa", "zeros", "ones", "full", "aload", "bload", "load"}
        others |= {"components", "component_lengths", "crack_codes", "component_map"}
        others |= set(SCALAR)
        for name in TABLE:
            assert name in others or hasattr(crackle.CrackleArray, name), name

    @every_case
    def test_attributes(self, case: Case) -> None:
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
        for z in (0, 1, -1, slice(1, 3), slice(None), slice(2, 1), slice(-2, None)):
            same(case.array.labels(z), np.unique(case.volume[:, :, z]))
        with pytest.raises((IndexError, ValueError)):
            case.array.labels(99)

    @some_cases
    def test_point_cloud(self, case: Case) -> None:
        label = a_label(case.volume)
        got = case.array.point_cloud(label, z_start=1, z_end=2)
        points = surfaces_of(case.name, case.table)[label]
        same(got, points[points[:, 2] == 1])

    @pytest.mark.parametrize("order", ["K", "C", "F"])
    @some_cases
    def test_copy(self, case: Case, order: Any) -> None:
        buffer = bytearray(case.stream)
        array = crackle.CrackleArray(buffer)
        copy = array.copy(order)
        buffer[:] = b"\0" * len(buffer)
        same(copy.numpy(), case.volume, case.order if order == "K" else order)

    def test_mask_in_place(self) -> None:
        volume = volumes.rings()
        buffer = bytearray(crackle.compress(volume))
        crackle.CrackleArray(buffer).mask([1, 2], in_place=True)
        same(crackle.decompress(buffer), np.where(volume <= 2, 0, volume).astype(np.uint16))

    def test_zstack(self) -> None:
        volume = volumes.rings()
        array = crackle.compressa(volume)
        stacked = array.zstack([array, volume[:, :, 0]])
        assert isinstance(stacked, crackle.CrackleArray)
        same(stacked.numpy(), np.concatenate([volume, volume, volume[:, :, :1]], axis=2))
