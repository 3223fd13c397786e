"""Scripts written for crackle-codec: every function and method, against NumPy, SciPy, cc3d and crackle-codec.

The volumes are computed without the package, from those of ``volumes`` and the mappings of labels, so that
no answer is judged by another answer of the package.
"""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import mmap
import operator
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import volumes

import crackle_zarr as crackle

Array = npt.NDArray[Any]
Index = tuple[Any, ...]


def with_background() -> Array:
    """Cells, of which some are background: the usual segmentation."""
    volume = volumes.cells((24, 22, 8), 25, "u8")
    labels = np.unique(volume)
    volume[np.isin(volume, labels[::4])] = 0
    return volume


VOLUMES: dict[str, Callable[[], Array]] = {
    **volumes.VOLUMES,
    "cells and background": with_background,
    "two bytes, signed": lambda: volumes.palette([-(2**15), -300, 0, 7, 2**15 - 1], "i2"),
    "one cell of 0": lambda: np.zeros((5, 4, 3), np.uint32, order="F"),
}


@dataclass(frozen=True)
class Case:
    """A stream of a volume: how its boundaries, labels and names are coded."""

    name: str
    table: str  # "as made"; "merged": remapped; "shuffled": remapped in place, unsorted and with repeats
    pins: int
    markov: int
    version: int
    order: str

    def __str__(self) -> str:
        pins = "pins" if self.pins else "flat"
        return f"{self.name}, {self.table}, {pins}, m{self.markov}, v{self.version}, {self.order}"

    @property
    def rendered(self) -> str:
        """A volume that lies in both orders in memory counts as one of Fortran order."""
        return "F" if np.ascontiguousarray(made(self.name)).flags.f_contiguous else self.order

    @property
    def options(self) -> dict[str, int]:
        return {"allow_pins": self.pins, "markov_model_order": self.markov, "format_version": self.version}

    @property
    def volume(self) -> Array:
        return decoded(self.name, self.table)

    @property
    def stream(self) -> bytes:
        return encoded(self)

    @property
    def array(self) -> crackle.CrackleArray:
        return crackle.CrackleArray(self.stream)


@functools.cache
def made(name: str) -> Array:
    volume = VOLUMES[name]()
    return volume.view(np.uint8) if volume.dtype == bool else volume


@functools.cache
def new_names(name: str, table: str) -> dict[int, int]:
    """What a stream's labels are renamed to: always labels that are in the volume, so that they fit."""
    labels = np.unique(made(name))
    if table == "merged":
        new = labels[np.arange(len(labels)) // 3 * 3]
    else:
        rng = np.random.default_rng(len(labels))
        new = rng.permutation(labels)
        new[rng.random(len(labels)) < 0.4] = labels[0]
    return dict(zip(labels.tolist(), new.tolist(), strict=True))


def renamed(volume: Array, mapping: dict[int, int]) -> Array:
    """The volume with every label replaced, in Fortran order and the same dtype."""
    labels, places = np.unique(volume, return_inverse=True)
    new = np.array([mapping[label] for label in labels.tolist()], volume.dtype)
    return np.asfortranarray(new[places.reshape(volume.shape)])


@functools.cache
def decoded(name: str, table: str) -> Array:
    volume = made(name)
    if table != "as made":
        volume = renamed(volume, new_names(name, table))
    volume = volume.copy(order="F")
    volume.flags.writeable = False
    return volume


@functools.cache
def encoded(case: Case) -> bytes:
    volume = made(case.name)
    volume = np.asfortranarray(volume) if case.order == "F" else np.ascontiguousarray(volume)
    binary = crackle.compress(volume, **case.options)
    if case.table == "merged":
        return crackle.remap(binary, new_names(case.name, case.table))
    if case.table == "shuffled":
        buffer = bytearray(binary)
        crackle.remap(buffer, new_names(case.name, case.table), in_place=True)
        return bytes(buffer)
    return binary


# Order 2, whose model of 10 bytes is worth it in most of these volumes: one that is not is left out.
ENCODINGS = list(itertools.product((0, 1), (0, 2), (1, 0), "FC"))


def all_cases() -> Iterator[Case]:
    """Each volume with each table; the sixteen encodings in turn."""
    for i, (name, table) in enumerate(itertools.product(VOLUMES, ("as made", "merged", "shuffled"))):
        yield Case(name, table, *ENCODINGS[7 * i % 16])


CASES = list(all_cases())


def over(names: list[str], test: Callable[..., None]) -> Callable[..., None]:
    """Run a test of a case over the cases of a volume, as one test per volume: there are thousands."""

    @functools.wraps(test)
    def run(*args: Any, name: str, **kwargs: Any) -> None:
        for case in CASES:
            if case.name == name:
                try:
                    test(*args, case=case, **kwargs)
                except BaseException as error:
                    error.add_note(f"in the case of {case}")
                    raise

    parameters = list(inspect.signature(test).parameters.values())
    parameters = [p.replace(name="name", kind=p.KEYWORD_ONLY) if p.name == "case" else p for p in parameters]
    parameters.sort(key=lambda p: p.kind)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return pytest.mark.parametrize("name", names)(run)


every_case = functools.partial(over, list(VOLUMES))
some_cases = functools.partial(over, ["balls", "cells and background", "negative, wide"])


def same(got: Array, expected: Array, order: str | None = None) -> None:
    """Assert that two arrays are equal in dtype, shape and contents."""
    assert isinstance(got, np.ndarray)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert np.array_equal(got, expected)
    if order is not None:
        assert got.flags.f_contiguous if order == "F" else got.flags.c_contiguous


def holds(binary: Any, expected: Array, order: str | None = None) -> None:
    """Assert that a stream is sound and has these voxels."""
    assert isinstance(binary, bytes)
    assert crackle.codec.ok(binary)
    same(crackle.decompress(binary), expected, order)


def labels_of(volume: Array) -> list[int]:
    return np.unique(volume).tolist()


def a_label(volume: Array) -> int:
    """A label of middling size, so that its mask is neither empty nor everything, if possible."""
    labels, counts = np.unique(volume, return_counts=True)
    return int(labels[np.argsort(counts, kind="stable")[len(labels) // 2]])


def no_label(volume: Array) -> int:
    """A number that fits the volume's dtype and is none of its labels."""
    info = np.iinfo(volume.dtype)
    taken = set(labels_of(volume))
    return next(n for n in range(info.max, info.min, -1) if n not in taken)


def smallest_dtype(low: int, high: int, signed: bool) -> np.dtype[Any]:
    kinds = ("i1", "i2", "i4", "i8") if signed else ("u1", "u2", "u4", "u8")
    return next(np.dtype(k) for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)


# ---- the volume and its labels ----


class TestVolume:
    @every_case
    def test_decompress(self, case: Case) -> None:
        same(crackle.decompress(case.stream), case.volume, case.order)

    @every_case
    def test_mask_of_a_label(self, case: Case) -> None:
        label = a_label(case.volume)
        mask = case.volume == label
        same(crackle.decompress(case.stream, label), mask, case.order)
        slices = np.flatnonzero(mask.any(axis=(0, 1)))
        same(crackle.decompress(case.stream, label, crop=True), mask[:, :, slices[0] : slices[-1] + 1])

    @every_case
    def test_mask_of_no_label(self, case: Case) -> None:
        for label in (no_label(case.volume) if case.name != "noise of 2" else 77, 2**64, -(2**63) - 1):
            same(crackle.decompress(case.stream, label), np.zeros(case.volume.shape, bool))
            assert crackle.decompress(case.stream, label, crop=True).shape == (*case.volume.shape[:2], 0)

    @every_case
    def test_some_slices(self, case: Case) -> None:
        sz = case.volume.shape[2]
        for z_start, z_end in {(0, 0), (0, 1), (sz // 2, sz), (sz // 3, sz // 3 + 1), (sz, sz)}:
            expected = case.volume[:, :, z_start:z_end]
            same(crackle.decompress(case.stream, z_start=z_start, z_end=z_end), expected)
            out = np.full(expected.shape[::-1], 1, case.volume.dtype).T
            assert crackle.decompress(case.stream, z_start=z_start, z_end=z_end, out=out) is out
            assert np.array_equal(out, expected)

    @every_case
    def test_header(self, case: Case) -> None:
        head = crackle.header(case.stream)
        volume = case.volume
        assert (head.sx, head.sy, head.sz) == volume.shape
        assert head.data_width == volume.dtype.itemsize
        assert np.dtype(head.dtype) == volume.dtype
        assert head.signed == (volume.dtype.kind == "i")
        assert head.fortran_order == (case.rendered == "F")
        assert head.format_version == case.version
        assert head.markov_model_order in (case.markov, 0)  # 0 where a model does not pay
        assert (head.nbytes, head.voxels()) == (volume.nbytes, volume.size)
        assert 1 <= head.stored_data_width <= head.data_width
        assert 0 < head.num_label_bytes <= crackle.component_lengths(case.stream)["labels"]
        assert isinstance(head.details(), str)

    @every_case
    def test_labels(self, case: Case) -> None:
        expected = np.unique(case.volume)
        same(crackle.labels(case.stream), expected)
        assert crackle.num_labels(case.stream) == len(expected)
        assert crackle.min(case.stream) == expected[0]
        assert crackle.max(case.stream) == expected[-1]
        assert crackle.nbytes(case.stream) == case.volume.nbytes

    @every_case
    def test_contains(self, case: Case) -> None:
        labels = labels_of(case.volume)
        for label in labels[:: max(1, len(labels) // 10)]:
            assert crackle.contains(case.stream, label) is True
            for other in (label - 1, label + 1):
                assert crackle.contains(case.stream, other) is (other in labels)
        for label in (2**64, -(2**64), 2**63, -1):
            assert crackle.contains(case.stream, label) is (label in labels)

    @every_case
    def test_contains_range(self, case: Case) -> None:
        labels = np.unique(case.volume)
        middle, last = int(labels[len(labels) // 2]), int(labels[-1])
        for low, high in (
            (middle, last),
            (middle, last + 1),
            (middle + 1, last),
            (last, middle),
            (middle, middle),
            (-(2**70), 2**70),
        ):
            expected = [label for label in labels.tolist() if low <= label < high]
            same(crackle.contains_range(case.stream, low, high), np.array(expected, labels.dtype))

    @every_case
    def test_labels_for_z_range(self, case: Case) -> None:
        sz = case.volume.shape[2]
        bounds = sorted({0, 1, sz // 3, sz // 2, sz - 1, sz})
        for z_start, z_end in itertools.combinations_with_replacement(bounds, 2):
            expected = np.unique(case.volume[:, :, z_start:z_end])
            same(crackle.labels_for_z_range(case.stream, z_start, z_end), expected)


# ---- new labels ----


class TestRemap:
    @every_case
    def test_rename(self, case: Case) -> None:
        """Every label gets another name at once, which may be one that another label had."""
        labels = labels_of(case.volume)
        mapping = dict(zip(labels, labels[1:] + labels[:1], strict=True))
        binary = crackle.remap(case.stream, mapping)
        holds(binary, renamed(case.volume, mapping), case.order)
        assert crackle.crack_codes(binary) == crackle.crack_codes(case.stream)
        buffer = bytearray(case.stream)
        back = crackle.remap(buffer, mapping, in_place=True)
        assert np.shares_memory(np.frombuffer(back, np.uint8), np.frombuffer(buffer, np.uint8))
        holds(bytes(buffer), renamed(case.volume, mapping), case.order)

    @every_case
    def test_preserve(self, case: Case) -> None:
        labels = labels_of(case.volume)
        mapping = {labels[-1]: labels[0], no_number(labels): labels[0]}
        binary = crackle.remap(case.stream, mapping, preserve_missing_labels=True)
        holds(binary, renamed(case.volume, {label: mapping.get(label, label) for label in labels}))
        if len(labels) > 1:
            with pytest.raises(KeyError):
                crackle.remap(case.stream, mapping)
            buffer = bytearray(case.stream)
            with pytest.raises(KeyError):
                crackle.remap(buffer, mapping, in_place=True)
            assert buffer == case.stream

    @every_case
    def test_widest_names(self, case: Case) -> None:
        """The stored width grows where it must."""
        info = np.iinfo(case.volume.dtype)
        labels = labels_of(case.volume)
        mapping = {label: label for label in labels} | {labels[0]: info.max, labels[-1]: info.min}
        holds(crackle.remap(case.stream, mapping), renamed(case.volume, mapping))

    @every_case
    def test_names_that_do_not_fit(self, case: Case) -> None:
        info = np.iinfo(case.volume.dtype)
        labels = labels_of(case.volume)
        for wrong in (info.max + 1, info.min - 1):
            buffer = bytearray(case.stream)
            mapping = {labels[-1]: wrong}
            with pytest.raises(ValueError, match=r"within|fit"):
                crackle.remap(case.stream, mapping, preserve_missing_labels=True)
            with pytest.raises(ValueError, match=r"within|fit"):
                crackle.remap(buffer, mapping, preserve_missing_labels=True, in_place=True)
            assert buffer == case.stream

    def test_narrow_in_place(self) -> None:
        buffer = bytearray(crackle.compress(np.arange(8, dtype=np.uint32).reshape(2, 2, 2)))
        before = bytes(buffer)
        with pytest.raises(ValueError, match="in_place=False"):
            crackle.remap(buffer, {1: 256}, preserve_missing_labels=True, in_place=True)
        assert buffer == before

    @pytest.mark.parametrize("convert", [bytes, lambda b: memoryview(bytes(b))], ids=["bytes", "memoryview"])
    def test_immutable_in_place(self, convert: Any) -> None:
        binary = convert(crackle.compress(volumes.rings()))
        before = bytes(binary)
        with pytest.raises(TypeError):
            crackle.remap(binary, {1: 2}, preserve_missing_labels=True, in_place=True)
        with pytest.raises(TypeError):
            crackle.mask(binary, [1], in_place=True)
        assert bytes(binary) == before

    @pytest.mark.parametrize("mapping", [[1, 2], {1: "a"}, {"a": 1}, {1: 1.5}, {1.5: 1}, None, 5], ids=repr)
    def test_no_mapping(self, mapping: Any) -> None:
        with pytest.raises(TypeError):
            crackle.remap(crackle.compress(volumes.rings()), mapping, preserve_missing_labels=True)

    def test_numpy_mapping(self) -> None:
        volume = volumes.rings()
        mapping = {label: label + np.uint16(1) for label in np.unique(volume)}
        holds(crackle.remap(crackle.compress(volume), mapping), volume + np.uint16(1))

    @every_case
    def test_mask(self, case: Case) -> None:
        volume = case.volume
        labels = np.unique(volume)
        chosen = labels[::2]
        listed = [*chosen.tolist(), no_number(labels.tolist())]
        value = int(labels[-1])
        for function, inside in ((crackle.mask, True), (crackle.mask_except, False)):
            hit = np.isin(volume, chosen) == inside
            zeroed = np.where(hit, 0, volume).astype(volume.dtype)
            holds(function(case.stream, listed), zeroed)
            valued = np.where(hit, value, volume).astype(volume.dtype)
            holds(function(case.stream, chosen, value), valued)
            buffer = bytearray(case.stream)
            function(buffer, chosen.tolist(), value=value, in_place=True)
            holds(bytes(buffer), valued)
            with pytest.raises(ValueError, match=r"within|fit"):
                function(case.stream, labels[:1], value=np.iinfo(volume.dtype).max + 1) if (
                    inside or len(labels) > 1
                ) else function(case.stream, [], value=np.iinfo(volume.dtype).max + 1)

    def test_mask_of_nothing(self) -> None:
        volume = volumes.rings()
        binary = crackle.compress(volume)
        holds(crackle.mask(binary, []), volume)
        holds(crackle.mask_except(binary, []), np.zeros_like(volume))
        holds(crackle.mask_except(binary, [], value=9), np.full_like(volume, 9))

    @pytest.mark.parametrize("labels", [[1.5], ["a"], 1.5, [None]], ids=repr)
    def test_mask_of_no_labels(self, labels: Any) -> None:
        for function in (crackle.mask, crackle.mask_except):
            with pytest.raises(TypeError):
                function(crackle.compress(volumes.rings()), labels)

    @every_case
    def test_refit(self, case: Case) -> None:
        volume = case.volume
        dtype = smallest_dtype(int(volume.min()), int(volume.max()), volume.dtype.kind == "i")
        holds(crackle.refit(case.stream), volume.astype(dtype), case.order)

    @every_case
    def test_renumber(self, case: Case) -> None:
        for start in (0, 250, -3, 2**32):
            self.check_renumber(case, start)

    def check_renumber(self, case: Case, start: int) -> None:
        labels = labels_of(case.volume)
        binary, mapping = crackle.renumber(case.stream, start)
        assert mapping == {label: start + i for i, label in enumerate(labels)}
        signed = case.volume.dtype.kind == "i" or start < 0
        dtype = smallest_dtype(start, start + len(labels) - 1, signed)
        places = np.unique(case.volume, return_inverse=True)[1].reshape(case.volume.shape)
        expected = (places + start).astype(dtype)
        holds(binary, expected, case.order)

    def test_renumber_too_high(self) -> None:
        binary = crackle.compress(np.array([[[1]], [[2]]], np.uint64))
        assert crackle.renumber(binary, 2**64 - 2)[1] == {1: 2**64 - 2, 2: 2**64 - 1}
        with pytest.raises(ValueError, match="dtype"):
            crackle.renumber(binary, 2**64 - 1)

    @every_case
    def test_astype(self, case: Case) -> None:
        for dtype in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u4"):
            expected = case.volume.astype(np.dtype(dtype).newbyteorder("="))
            holds(crackle.astype(case.stream, dtype), expected, case.order)
        holds(crackle.astype(case.stream, bool), (case.volume != 0).astype(np.uint8))

    @pytest.mark.parametrize("order", "CF")
    @some_cases
    def test_order(self, case: Case, order: str) -> None:
        change = crackle.ascontiguousarray if order == "C" else crackle.asfortranarray
        binary = change(case.stream)
        holds(binary, case.volume, order)
        assert crackle.crack_codes(binary) == crackle.crack_codes(case.stream)
        holds(crackle.astype(case.stream, case.volume.dtype, order=order), case.volume, order)
        holds(crackle.astype(case.stream, case.volume.dtype, order="K"), case.volume, case.order)

    @pytest.mark.parametrize("casting", ["no", "equiv", "safe", "same_kind", "unsafe"])
    @pytest.mark.parametrize("source", ["u1", "u4", "i4", "u8"])
    def test_casting(self, source: str, casting: Any) -> None:
        volume = np.asfortranarray(volumes.noise(9).astype(source))
        binary = crackle.compress(volume)
        for dtype in ("u1", "u2", "u4", "u8", "i1", "i4", "i8"):
            if np.can_cast(source, dtype, casting):
                holds(crackle.astype(binary, dtype, casting=casting), volume.astype(dtype))
            else:
                with pytest.raises(TypeError):
                    crackle.astype(binary, dtype, casting=casting)

    @pytest.mark.parametrize("dtype", ["f4", "O", "S3", "c8", "M8[s]"])
    def test_astype_of_no_integers(self, dtype: str) -> None:
        with pytest.raises(TypeError):
            crackle.astype(crackle.compress(volumes.rings()), dtype)

    @pytest.mark.parametrize("options", [{"order": "X"}, {"casting": "always"}], ids=repr)
    def test_astype_options(self, options: Any) -> None:
        with pytest.raises(ValueError, match=next(iter(options.values()))):
            crackle.astype(crackle.compress(volumes.rings()), "u4", **options)


def no_number(labels: list[int]) -> int:
    """A small number that is none of the labels, and need not fit their dtype."""
    return next(n for n in itertools.count(1) if n not in set(labels))


SCALAR = {
    "add_scalar": operator.add,
    "subtract_scalar": operator.sub,
    "multiply_scalar": operator.mul,
    "floordiv_scalar": operator.floordiv,
}


def fits(values: Array, dtype: Any) -> bool:
    info = np.iinfo(dtype)
    return all(info.min <= value <= info.max for value in np.unique(values).tolist())


class TestScalars:
    @every_case
    def test_against_python(self, case: Case) -> None:
        info = np.iinfo(case.volume.dtype)
        room = [0, 1, 3, -1, info.max - int(case.volume.max()), info.min - int(case.volume.min())]
        for scalar in [*room, room[4] + 1, room[5] - 1, -(2**70)]:
            for name in SCALAR:
                if scalar != 0 or name != "floordiv_scalar":
                    self.check(case, name, scalar)

    def check(self, case: Case, name: str, scalar: int) -> None:
        labels, places = np.unique(case.volume, return_inverse=True)
        new = np.array([SCALAR[name](label, scalar) for label in labels.tolist()], object)
        if fits(new, case.volume.dtype):
            expected = new.astype(case.volume.dtype)[places.reshape(case.volume.shape)]
            holds(getattr(crackle, name)(case.stream, scalar), expected, case.order)
        else:
            with pytest.raises(OverflowError):
                getattr(crackle, name)(case.stream, scalar)

    def test_division_by_zero(self) -> None:
        with pytest.raises(ZeroDivisionError):
            crackle.floordiv_scalar(crackle.compress(volumes.rings()), 0)

    @pytest.mark.parametrize("scalar", [1.5, "1", None, [1]], ids=repr)
    @pytest.mark.parametrize("name", SCALAR)
    def test_no_integer(self, name: str, scalar: Any) -> None:
        with pytest.raises(TypeError):
            getattr(crackle, name)(crackle.compress(volumes.rings()), scalar)

    @pytest.mark.parametrize("name", SCALAR)
    def test_numpy_integer(self, name: str) -> None:
        volume = volumes.rings() + np.uint16(5)
        expected = SCALAR[name](volume, np.uint16(3))
        holds(getattr(crackle, name)(crackle.compress(volume), np.uint8(3)), expected)


# ---- making streams ----


class TestMaking:
    @pytest.mark.parametrize("order", "CF")
    @pytest.mark.parametrize("dtype", [None, "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", bool])
    @pytest.mark.parametrize("shape", [(5, 4, 3), (1, 1, 1), (7, 1, 9), (4, 3), 6, (5,)], ids=str)
    def test_full(self, shape: Any, dtype: Any, order: Any) -> None:
        rendered = np.dtype(np.uint8 if dtype is bool else dtype or np.uint64)
        sides = (shape,) if isinstance(shape, int) else shape
        sides = (*sides, 1, 1, 1)[:3]
        for array, value in (
            (crackle.full(shape, 1, dtype, order), 1),
            (crackle.zeros(shape, dtype, order), 0),
            (crackle.ones(shape, dtype, order), 1),
        ):
            assert isinstance(array, crackle.CrackleArray)
            holds(bytes(array.binary), np.full(sides, value, rendered), order)

    @pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
    def test_extremes(self, dtype: str) -> None:
        info = np.iinfo(dtype)
        for value in (info.min, info.max):
            array = crackle.full((3, 2, 2), value, dtype)
            same(array.numpy(), np.full((3, 2, 2), value, dtype))
        for value in (info.min - 1, info.max + 1):
            with pytest.raises(OverflowError):
                crackle.full((3, 2, 2), value, dtype)

    def test_default_dtype(self) -> None:
        assert crackle.full((2, 2, 2), 2**64 - 1).dtype == np.uint64
        negative = crackle.full((2, 2, 2), -5)
        assert negative.dtype == np.int64
        assert negative.min() == -5
        for value in (2**64, -(2**63) - 1):
            with pytest.raises(OverflowError):
                crackle.full((2, 2, 2), value)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (((2, 2, 2, 2), 1), ValueError),
            (((-1, 2, 2), 1), ValueError),
            (((2**32, 1, 1), 1), ValueError),
            (((2, 2, 2), 1, "u1", "X"), ValueError),
            (((2, 2, 2), 1, "f4"), TypeError),
            (((2, 2, 2), 1.5), TypeError),
            (((2, 2.5, 2), 1), TypeError),
            (("abc", 1), TypeError),
        ],
        ids=str,
    )
    def test_full_refused(self, arguments: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            crackle.full(*arguments)

    @every_case
    def test_compressa(self, case: Case) -> None:
        array = crackle.compressa(case.volume, **case.options)
        assert isinstance(array, crackle.CrackleArray)
        assert bytes(array.binary) == crackle.compress(case.volume, **case.options)

    @pytest.mark.parametrize(
        "labels", [np.ones((2, 2), "f4"), np.array([1, None]), np.array(["a"])], ids=repr
    )
    def test_no_integers(self, labels: Any) -> None:
        for function in (crackle.compress, crackle.compressa):
            with pytest.raises(TypeError):
                function(labels)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"allow_pins": 3}, ValueError),
            ({"allow_pins": -1}, ValueError),
            ({"markov_model_order": 13}, ValueError),
            ({"markov_model_order": -1}, ValueError),
            ({"markov_model_order": 1.5}, TypeError),
            ({"format_version": 2}, ValueError),
            ({"parallel": -1}, ValueError),
        ],
        ids=repr,
    )
    def test_options_refused(self, options: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            crackle.compress(volumes.rings(), **options)

    def test_four_axes(self) -> None:
        with pytest.raises(ValueError, match=r"ax|dim"):
            crackle.compress(np.zeros((2, 2, 2, 2), np.uint8))

    @pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
    def test_big_endian_and_strides(self, dtype: str) -> None:
        volume = volumes.cells((20, 18, 8)).astype(dtype)
        holds(crackle.compress(volume.astype(np.dtype(dtype).newbyteorder(">"))), volume)
        holds(crackle.compress(volume[::2, ::-1, 1:6:3]), volume[::2, ::-1, 1:6:3], "C")

    @pytest.mark.parametrize("bgcolor", [0, 3, 2**40])
    @pytest.mark.parametrize("pins", [1, 2])
    def test_pins(self, pins: int, bgcolor: int) -> None:
        volume = volumes.columns().astype(np.uint64)
        binary = crackle.compress(volume, allow_pins=pins, bgcolor=bgcolor)
        assert crackle.header(binary).label_format == 2
        holds(binary, volume)

    def test_pins_only_where_most_agree_along_x(self) -> None:
        binary = crackle.compress(volumes.noise(2000, (25, 23, 6)), allow_pins=2)
        assert crackle.header(binary).label_format == 0


# ---- slices ----


class TestSlices:
    @every_case
    def test_zshatter(self, case: Case) -> None:
        slices = crackle.zshatter(case.stream)
        assert len(slices) == case.volume.shape[2]
        chosen = range(0, len(slices), max(1, len(slices) // 6))
        for z in chosen:
            holds(slices[z], case.volume[:, :, z : z + 1], case.order)
        same(crackle.decompress(crackle.zstack(slices)), case.volume, case.order)

    @every_case
    def test_zsplit(self, case: Case) -> None:
        sz = case.volume.shape[2]
        for z in sorted({0, sz // 2, sz - 1, -1, -sz}):
            parts = crackle.zsplit(case.stream, z)
            assert len(parts) == 3
            at = z % sz
            for part, (first, last) in zip(parts, ((0, at), (at, at + 1), (at + 1, sz)), strict=True):
                holds(part, case.volume[:, :, first:last])
            holds(crackle.zstack(parts), case.volume, case.order)
        for z in (sz, -sz - 1):
            with pytest.raises(ValueError, match="slice"):
                crackle.zsplit(case.stream, z)

    @every_case
    def test_zrange(self, case: Case) -> None:
        sz = case.volume.shape[2]
        codes = crackle.crack_codes(case.stream)
        for first, last in sorted({(0, sz), (0, 1), (sz - 1, sz), (sz // 3, sz // 2), (sz // 2, sz)}):
            binary = crackle.zrange(case.stream, first, last)
            holds(binary, case.volume[:, :, first:last], case.order)
            assert crackle.crack_codes(binary) == codes[first:last]
            same(crackle.labels(binary), np.unique(case.volume[:, :, first:last]))
            part = case.array.zrange(first, last)
            assert isinstance(part, crackle.CrackleArray)
            same(part.numpy(), case.volume[:, :, first:last])
        holds(crackle.zrange(case.stream, -1, sz), case.volume[:, :, -1:])
        for first, last in ((0, sz + 1), (-sz - 1, sz)):
            with pytest.raises(ValueError, match="slice"):
                crackle.zrange(case.stream, first, last)

    @every_case
    def test_zstack(self, case: Case) -> None:
        """A stream between an array of Fortran order and one of C order with other labels."""
        volume = case.volume
        other = np.ascontiguousarray(volume[::-1, :, :2])
        expected = np.concatenate([volume, volume, other, volume[:, :, -1:]], axis=2)
        stacked = crackle.zstack([case.stream, volume, other, case.array.zrange(-1, volume.shape[2])])
        holds(stacked, expected)
        same(crackle.labels(stacked), np.unique(expected))

    @pytest.mark.parametrize(
        ("first", "second"),
        [("u1", "u8"), ("u4", "u2"), ("i2", "u2"), ("i1", "i8"), ("u4", "i1"), ("u1", "i2")],
    )
    def test_dtypes(self, first: str, second: str) -> None:
        a, b = (volumes.noise(3, (5, 4, n)).astype(d) for d, n in ((first, 2), (second, 3)))
        expected = np.concatenate([a, b], axis=2)
        holds(crackle.zstack([crackle.compress(a), b]), expected)
        holds(crackle.zstack([a, crackle.compress(b)]), expected)

    @some_cases
    def test_mixed_encodings(self, case: Case) -> None:
        """Streams of the same volume in all encodings lie upon each other."""
        others = [encoded(Case(case.name, case.table, *encoding)) for encoding in ENCODINGS]
        for streams in ([case.stream, *others], [*others[::-1], case.stream]):
            stacked = crackle.zstack(streams)
            holds(stacked, np.concatenate([case.volume] * len(streams), axis=2))
            assert crackle.header(stacked).fortran_order == crackle.header(streams[0]).fortran_order

    def test_flat_arrays(self) -> None:
        image = volumes.noise(4, (6, 5, 1))[:, :, 0]
        holds(crackle.zstack([image, image + 1]), np.stack([image, image + 1], axis=2))
        holds(crackle.zstack(iter([image])), image[:, :, None])

    @pytest.mark.parametrize(
        ("images", "error"),
        [
            ([], ValueError),
            ([np.zeros((3, 2, 1), "u1"), np.zeros((2, 3, 1), "u1")], ValueError),
            ([np.zeros((3, 2, 1, 1), "u1")], ValueError),
            ([np.zeros((3, 2, 1), "i8"), np.zeros((3, 2, 1), "u8")], TypeError),
            ([np.zeros((3, 2, 1), "f4")], TypeError),
            ([None], TypeError),
        ],
        ids=["none", "shapes", "four axes", "i8 and u8", "floats", "no image"],
    )
    def test_refused(self, images: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            crackle.zstack(images)

    @pytest.mark.parametrize(("first", "last"), [(0, 10), (-1, 2), (3, 2), (9, 9)])
    def test_labels_of_slices_outside(self, first: int, last: int) -> None:
        for pins in (0, 1):
            binary = crackle.compress(volumes.balls()[:, :, :8], allow_pins=pins)
            with pytest.raises(ValueError, match="slices"):
                crackle.labels_for_z_range(binary, first, last)

    @pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (4, 3, 0)], ids=str)
    def test_no_voxels(self, shape: tuple[int, int, int]) -> None:
        volume = np.zeros(shape, np.uint16, order="F")
        binary = crackle.compress(volume)
        assert crackle.labels(binary).size == 0
        assert crackle.num_labels(binary) == 0
        assert crackle.voxel_counts(binary) == {}
        assert crackle.bounding_boxes(binary) == {}
        assert crackle.centroids(binary) == {}
        assert crackle.point_cloud(binary) == {}
        assert crackle.contacts(binary) == {}
        assert crackle.edge_labels(binary) == set()
        assert list(crackle.each(binary)) == []
        assert crackle.voxel_connectivity_graph(binary).shape == shape
        assert crackle.decompress(crackle.connected_components(binary)).shape == shape
        assert crackle.decompress(crackle.recompress(binary)).shape == shape
        for function in (crackle.min, crackle.max):
            with pytest.raises(ValueError, match="no labels"):
                function(binary)


# ---- boundaries ----


def as_compressed(case: Case, markov: Any, pins: int) -> bytes:
    volume = case.volume if case.order == "F" else np.ascontiguousarray(case.volume)
    options = {"markov_model_order": markov, "format_version": case.version, "allow_pins": pins}
    return crackle.compress(volume, **options)


class TestBoundaries:
    @every_case
    def test_recompress(self, case: Case) -> None:
        """The stream becomes what compress() would make of the volume, but for the choice of pins."""
        binary = crackle.recompress(case.stream)
        holds(binary, case.volume, case.order)
        head = crackle.header(case.stream)
        expected = as_compressed(case, head.markov_model_order, int(head.label_format == 2))
        if head.label_format == 0:
            assert binary == expected
        assert crackle.crack_codes(binary) == crackle.crack_codes(expected)
        assert (
            crackle.component_lengths(binary)["labels"]
            <= crackle.component_lengths(as_compressed(case, head.markov_model_order, 0))["labels"]
        )

    @every_case
    def test_reencode(self, case: Case) -> None:
        for markov in (0, 1, 2, 5, "auto"):
            self.check_reencode(case, markov)

    def check_reencode(self, case: Case, markov: Any) -> None:
        binary = crackle.reencode(case.stream, markov)
        assert binary == crackle.codec.reencode(case.stream, markov)
        holds(binary, case.volume, case.order)
        head, before = crackle.header(binary), crackle.header(case.stream)
        assert head.format_version == before.format_version
        expected = as_compressed(case, markov, int(before.label_format == 2))
        assert head.markov_model_order == crackle.header(expected).markov_model_order
        assert crackle.crack_codes(binary) == crackle.crack_codes(expected)

    @pytest.mark.parametrize("markov", [-1, 13])
    def test_no_order(self, markov: int) -> None:
        with pytest.raises(ValueError, match=r"markov|order"):
            crackle.reencode(crackle.compress(volumes.rings()), markov)

    @every_case
    def test_array_equal(self, case: Case) -> None:
        volume = case.volume
        for encoding in ENCODINGS[::5]:
            other = Case(case.name, case.table, *encoding)
            assert crackle.array_equal(case.stream, other.stream) is True
        wide = crackle.compress(volume.astype(np.int64)) if volume.max() < 2**63 else case.stream
        assert crackle.array_equal(case.stream, wide) is True
        assert crackle.array_equal(wide, crackle.recompress(case.stream)) is True
        rng = np.random.default_rng(volume.size)
        for _ in range(2):
            changed = volume.copy(order="F")
            where = tuple(rng.integers(0, n) for n in volume.shape)
            changed[where] = no_number_for(changed)
            assert crackle.array_equal(case.stream, crackle.compress(changed, **case.options)) is False
            assert crackle.array_equal(crackle.compress(changed), case.stream) is False

    def test_other_shapes(self) -> None:
        a = crackle.compress(np.zeros((4, 3, 2), np.uint8))
        for shape in ((3, 4, 2), (4, 3, 1), (4, 6, 1), (24, 1, 1)):
            assert crackle.array_equal(a, crackle.compress(np.zeros(shape, np.uint8))) is False

    @every_case
    def test_apply_binary_mask(self, case: Case) -> None:
        volume = case.volume
        for mask in (
            volumes.noise(3, volume.shape, "u1"),
            np.asfortranarray((np.indices(volume.shape).sum(axis=0) % 7 < 4).astype(np.int64) * -5),
            np.zeros(volume.shape, np.uint16),
        ):
            expected = np.where(mask != 0, volume, 0).astype(volume.dtype)
            holds(crackle.apply_binary_mask(case.stream, crackle.compress(mask)), expected, case.order)
        own = np.where(volume != 0, volume, 0).astype(volume.dtype)
        holds(crackle.apply_binary_mask(case.stream, case.stream), own)

    def test_mask_of_another_shape(self) -> None:
        a, b = (crackle.compress(volumes.noise(2, shape)) for shape in ((4, 3, 2), (3, 4, 2)))
        for function in (crackle.apply_binary_mask, crackle.component_map, crackle.overlaps):
            with pytest.raises(ValueError, match="shape"):
                function(a, b)


def no_number_for(volume: Array) -> int:
    """A label that the dtype can hold and the volume has not; or else the one that it has least of."""
    info = np.iinfo(volume.dtype)
    labels, counts = np.unique(volume, return_counts=True)
    taken = set(labels.tolist())
    return next((n for n in range(info.max, info.min, -1) if n not in taken), int(labels[counts.argmin()]))


# ---- objects ----


@functools.cache
def boxes_of(name: str, table: str) -> dict[int, tuple[slice, ...]]:
    ndimage = pytest.importorskip("scipy.ndimage")
    volume = decoded(name, table)
    labels, places = np.unique(volume, return_inverse=True)
    found = ndimage.find_objects(places.reshape(volume.shape) + 1)
    return dict(zip(labels.tolist(), found, strict=True))


@functools.cache
def centroids_of(name: str, table: str) -> dict[int, Array]:
    ndimage = pytest.importorskip("scipy.ndimage")
    volume = decoded(name, table)
    labels, places = np.unique(volume, return_inverse=True)
    places = places.reshape(volume.shape)
    means = ndimage.center_of_mass(np.ones(volume.shape), places, range(len(labels)))
    return {label: np.array(mean) for label, mean in zip(labels.tolist(), means, strict=True)}


@functools.cache
def counts_of(name: str, table: str) -> dict[int, int]:
    labels, counts = np.unique(decoded(name, table), return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


@functools.cache
def same_label(name: str, table: str) -> list[Array]:
    return same_label_of(decoded(name, table))


def same_label_of(volume: Array) -> list[Array]:
    """For +x, -x, +y, -y, +z and -z, whether the neighbour there has the same label; False at the rim."""
    ways = []
    for axis in range(3):
        equal = np.diff(np.unique(volume, return_inverse=True)[1].reshape(volume.shape), axis=axis) == 0
        before, after = [(0, 0)] * 3, [(0, 0)] * 3
        before[axis], after[axis] = (1, 0), (0, 1)
        ways += [np.pad(equal, after), np.pad(equal, before)]
    return ways


@functools.cache
def surfaces_of(name: str, table: str) -> dict[int, Array]:
    """The surface voxels of each label in lexicographic order."""
    volume = decoded(name, table)
    points = np.argwhere(~np.logical_and.reduce(same_label(name, table)))
    labels = volume[tuple(points.T)]
    order = np.argsort(labels, kind="stable")
    unique, starts = np.unique(labels[order], return_index=True)
    return dict(zip(unique.tolist(), np.split(points[order].astype(np.uint16), starts[1:]), strict=True))


def components_of(volume: Array, connectivity: int) -> Array:
    """The components by cc3d, numbered by their first voxels, x fastest."""
    cc3d = pytest.importorskip("cc3d")
    _labels, places = np.unique(volume, return_inverse=True)
    places = np.where(volume == 0, 0, places.reshape(volume.shape) + 1).astype(np.uint32)
    found = cc3d.connected_components(np.asfortranarray(places), connectivity=connectivity)
    flat = found.ravel(order="F")
    numbers, first = np.unique(flat, return_index=True)
    rank = np.zeros(int(flat.max()) + 1, np.uint64)
    foreground = numbers[np.argsort(first)]
    foreground = foreground[foreground != 0]
    rank[foreground] = np.arange(1, len(foreground) + 1)
    return rank[found]


class TestObjects:
    @every_case
    def test_voxel_counts(self, case: Case) -> None:
        expected = counts_of(case.name, case.table)
        assert crackle.voxel_counts(case.stream) == expected
        label = a_label(case.volume)
        assert crackle.voxel_counts(case.stream, label) == expected[label]

    @every_case
    def test_bounding_boxes(self, case: Case) -> None:
        expected = boxes_of(case.name, case.table)
        assert crackle.bounding_boxes(case.stream) == expected
        sixes = crackle.bounding_boxes(case.stream, no_slice_conversion=True)
        assert {label: list(six) for label, six in sixes.items()} == {
            label: [s.start for s in box] + [s.stop - 1 for s in box] for label, box in expected.items()
        }
        label = a_label(case.volume)
        assert crackle.bounding_boxes(case.stream, label) == expected[label]
        assert list(crackle.bounding_boxes(case.stream, label, no_slice_conversion=True)) == list(
            sixes[label]
        )

    @every_case
    def test_centroids(self, case: Case) -> None:
        expected = centroids_of(case.name, case.table)
        got = crackle.centroids(case.stream)
        assert got.keys() == expected.keys()
        for label, mean in expected.items():
            np.testing.assert_allclose(got[label], mean, rtol=1e-12)
        label = a_label(case.volume)
        np.testing.assert_array_equal(crackle.centroids(case.stream, label), got[label])

    @every_case
    def test_statistics(self, case: Case) -> None:
        table = crackle.statistics(case.stream)
        same(np.asarray(table["label"]), np.unique(case.volume))
        assert table["voxel_count"].tolist() == list(counts_of(case.name, case.table).values())
        boxes = list(boxes_of(case.name, case.table).values())
        assert table["start"].tolist() == [[s.start for s in box] for box in boxes]
        assert table["stop"].tolist() == [[s.stop for s in box] for box in boxes]
        means = list(centroids_of(case.name, case.table).values())
        np.testing.assert_allclose(table["centroid"], means, rtol=1e-12)

    @every_case
    def test_to_parquet(self, case: Case) -> None:
        pytest.importorskip("pyarrow")
        table = crackle.to_parquet(case.stream).to_pydict()
        boxes = list(boxes_of(case.name, case.table).values())
        expected = {
            "label": labels_of(case.volume),
            "voxel_count": list(counts_of(case.name, case.table).values()),
        }
        for axis, letter in enumerate("xyz"):
            expected[f"min_{letter}"] = [box[axis].start for box in boxes]
            expected[f"max_{letter}"] = [box[axis].stop - 1 for box in boxes]
        assert table == expected

    @every_case
    def test_point_cloud(self, case: Case) -> None:
        surfaces = surfaces_of(case.name, case.table)
        got = crackle.point_cloud(case.stream, skip_background=False)
        assert got.keys() == surfaces.keys()
        for label, points in surfaces.items():
            same(got[label], points)
        assert crackle.point_cloud(case.stream).keys() == surfaces.keys() - {0}
        label = a_label(case.volume)
        same(crackle.point_cloud(case.stream, label), surfaces[label])
        some = list(surfaces)[:3]
        got = crackle.point_cloud(case.stream, some)
        assert got.keys() == set(some)
        for label in some:
            same(got[label], surfaces[label])

    @every_case
    def test_point_cloud_of_slices(self, case: Case) -> None:
        sz = case.volume.shape[2]
        surfaces = surfaces_of(case.name, case.table)
        label = a_label(case.volume)
        for first, last in ((sz // 3, sz // 2 + 1), (0, 1), (sz - 1, sz), (-1, sz // 2 + 1), (sz // 2, -1)):
            low, high = (0 if first == -1 else first), (sz if last == -1 else last)
            points = {k: p[(low <= p[:, 2]) & (p[:, 2] < high)] for k, p in surfaces.items()}
            same(crackle.point_cloud(case.stream, label, z_start=first, z_end=last), points[label])
            got = crackle.point_cloud(case.stream, z_start=first, z_end=last, skip_background=False)
            for key in got.keys() | {k for k, p in points.items() if len(p)}:
                same(got[key], points[key])

    @every_case
    def test_each(self, case: Case) -> None:
        boxes = boxes_of(case.name, case.table)
        got = list(crackle.each(case.stream))
        assert [label for label, _ in got] == list(boxes)
        for label, mask in got[:: max(1, len(got) // 50)]:
            same(mask, case.volume[boxes[label]] == label)

    @every_case
    def test_each_in_place(self, case: Case) -> None:
        """Masks of the whole volume, of some labels: those that are not there are left out."""
        labels = labels_of(case.volume)[:5]
        asked = [*reversed(labels), no_number(labels_of(case.volume))]
        got = [(label, mask.copy()) for label, mask in crackle.each(case.stream, crop=False, labels=asked)]
        assert [label for label, _ in got] == labels
        for label, mask in got:
            same(mask, case.volume == label)
        assert list(crackle.each(case.stream, labels=[])) == []

    @every_case
    def test_each_of_many(self, case: Case) -> None:
        seen = []
        shown = None
        for label, number, image in crackle.each(case.stream, multi=True):
            seen.append(label)
            assert image.dtype == np.uint8
            assert image.shape == case.volume.shape
            if shown is not image or len(seen) % 20 == 0:
                same(image == number, case.volume == label)
                shown = image
        assert seen == labels_of(case.volume)

    @every_case
    def test_voxel_connectivity_graph(self, case: Case) -> None:
        """Ways out of the volume are open, as in cc3d."""
        cc3d = pytest.importorskip("cc3d")
        ways = same_label(case.name, case.table)
        rims = same_label_of(np.zeros(case.volume.shape, np.uint8))
        for connectivity in (4, 6):
            bits = [
                (way | ~rim).astype(np.uint8) << i
                for i, (way, rim) in enumerate(zip(ways, rims, strict=True))
            ]
            expected = np.bitwise_or.reduce(bits[:connectivity])
            got = crackle.voxel_connectivity_graph(case.stream, connectivity)
            same(got, expected, case.order)
        places = np.unique(case.volume, return_inverse=True)[1].reshape(case.volume.shape).astype(np.uint32)
        same(got, cc3d.voxel_connectivity_graph(np.asfortranarray(places), connectivity=6).astype(np.uint8))

    @every_case
    @pytest.mark.parametrize("anisotropy", [(1, 1, 1), (4.0, 8.0, 40.0)], ids=str)
    def test_contacts(self, case: Case, anisotropy: Any) -> None:
        expected: dict[tuple[int, int], float] = {}
        for axis in range(3):
            ends = [np.moveaxis(case.volume, axis, 0)[s].ravel() for s in (slice(None, -1), slice(1, None))]
            touch = ends[0] != ends[1]
            pairs = np.sort(np.stack([end[touch] for end in ends], axis=1), axis=1)
            area = np.prod(np.delete(anisotropy, axis))
            for pair, count in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
                key = (int(pair[0]), int(pair[1]))
                expected[key] = expected.get(key, 0) + count * area
        got = crackle.contacts(case.stream, anisotropy, skip_background=False)
        assert got == pytest.approx(expected)
        got = crackle.contacts(case.stream, anisotropy)
        assert got == pytest.approx({key: area for key, area in expected.items() if 0 not in key})

    @every_case
    @pytest.mark.parametrize("connectivity", [6, 26])
    def test_connected_components(self, case: Case, connectivity: Any) -> None:
        volume = case.volume
        expected = components_of(volume, connectivity)
        binary, mapping = crackle.connected_components(case.stream, connectivity, return_mapping=True)
        dtype = smallest_dtype(0, int(expected.max()), False)
        holds(binary, expected.astype(dtype))
        pairs = zip(expected.ravel().tolist(), volume.ravel().tolist(), strict=True)
        assert mapping == dict(pairs)
        assert crackle.connected_components(case.stream, connectivity) == binary
        assert crackle.component_map(binary, case.stream) == mapping

    @every_case
    @pytest.mark.parametrize("connectivity", [6, 26])
    def test_components_of_the_foreground(self, case: Case, connectivity: Any) -> None:
        foreground = (case.volume != 0).astype(np.uint8)
        expected = components_of(foreground, connectivity)
        binary, mapping = crackle.connected_components(
            case.stream, connectivity, binary_image=True, return_mapping=True
        )
        holds(binary, expected.astype(smallest_dtype(0, int(expected.max()), False)))
        numbers, first = np.unique(expected.ravel(order="F"), return_index=True)
        assert mapping == dict(
            zip(numbers.tolist(), case.volume.ravel(order="F")[first].tolist(), strict=True)
        )

    @every_case
    def test_component_map_of_any_labels(self, case: Case) -> None:
        """The parent is the one with most voxels, and of equals the lowest."""
        components = volumes.noise(5, case.volume.shape)
        binary = crackle.compress(components, markov_model_order=2)
        expected, common = {}, {}
        for component in labels_of(components):
            labels, counts = np.unique(case.volume[components == component], return_counts=True)
            expected[component] = int(labels[counts.argmax()])
            common |= {(component, p): n for p, n in zip(labels.tolist(), counts.tolist(), strict=True)}
        assert crackle.component_map(binary, case.stream) == expected
        assert crackle.overlaps(binary, case.stream) == common

    @every_case
    def test_edge_labels(self, case: Case) -> None:
        expected: set[int] = set()
        for axis in range(3):
            expected.update(np.take(case.volume, [0, -1], axis=axis).ravel().tolist())
        got = crackle.edge_labels(case.stream)
        assert isinstance(got, set)
        assert got == expected


class TestPoints:
    @staticmethod
    def points(volume: Array) -> Array:
        rng = np.random.default_rng(volume.size)
        inside = rng.random((60, 3)) * volume.shape
        around = rng.random((40, 3)) * (np.array(volume.shape) + 6) - 3
        whole = rng.integers(0, volume.shape, (60, 3))
        return np.concatenate([inside, around, whole, [[-0.5, 0, 0], [0, 0, -1e-9], np.array(volume.shape)]])

    @staticmethod
    def enclosed(volume: Array, label: int, points: Array) -> Array:
        places = np.floor(points).astype(int)
        there = ((places >= 0) & (places < volume.shape)).all(axis=1)
        result = np.zeros(len(points), bool)
        result[there] = volume[tuple(places[there].T)] == label
        return result

    @every_case
    def test_select_enclosed_points(self, case: Case) -> None:
        points = self.points(case.volume)
        for label in labels_of(case.volume)[:3]:
            expected = self.enclosed(case.volume, label, points)
            same(crackle.select_enclosed_points(case.stream, label, points), expected)

    @every_case
    def test_distance_from_whole_points(self, case: Case) -> None:
        """Distance transforms of the mask and of its complement, the outside of the volume included."""
        ndimage = pytest.importorskip("scipy.ndimage")
        volume = case.volume
        label = a_label(volume)
        anisotropy = (4.0, 3.5, 40.0)
        mask = np.pad(volume == label, 1)
        distance = ndimage.distance_transform_edt(~mask, sampling=anisotropy)
        distance -= ndimage.distance_transform_edt(mask, sampling=anisotropy)
        rng = np.random.default_rng(volume.size)
        points = rng.integers(-1, np.array(volume.shape) + 1, (100, 3))
        got = crackle.signed_distance_to_boundary(case.stream, label, points, anisotropy)
        np.testing.assert_allclose(got, distance[tuple(points.T + 1)], rtol=1e-9)

    @every_case
    def test_distance_from_any_points(self, case: Case) -> None:
        pytest.importorskip("scipy")
        volume = case.volume
        label = a_label(volume)
        points = self.points(volume)
        mask = np.pad(volume == label, 1)
        inside = self.enclosed(volume, label, points)
        ends = [np.argwhere(mask) - 1, np.argwhere(~mask) - 1]
        nearest = [np.array([np.sqrt(((end - p) ** 2).sum(axis=1).min()) for p in points]) for end in ends]
        got = crackle.signed_distance_to_boundary(case.stream, label, points)
        np.testing.assert_allclose(got, np.where(inside, -nearest[1], nearest[0]), rtol=1e-9, atol=1e-12)

    def test_nowhere(self) -> None:
        """NaN lies in no label, and a label that is not there is nowhere."""
        pytest.importorskip("scipy")
        volume = volumes.rings()
        binary = crackle.compress(volume)
        points = np.array([[np.nan, 1, 1], [5, 5, 1], [np.inf, 1, 1], [-np.inf, 0, 0]])
        assert not crackle.select_enclosed_points(binary, int(volume[0, 1, 1]), points[[0, 2, 3]]).any()
        assert not crackle.select_enclosed_points(binary, 60_000, points).any()
        assert not crackle.select_enclosed_points(binary, 2**70, points).any()
        assert crackle.signed_distance_to_boundary(binary, 60_000, points)[1] == np.inf
        assert np.isnan(crackle.signed_distance_to_boundary(binary, 10, points)[0])

    def test_no_points(self) -> None:
        pytest.importorskip("scipy")
        binary = crackle.compress(volumes.rings())
        same(crackle.select_enclosed_points(binary, 1, np.zeros((0, 3))), np.zeros(0, bool))
        same(crackle.signed_distance_to_boundary(binary, 1, np.zeros((0, 3))), np.zeros(0))

    @pytest.mark.parametrize(
        ("points", "error"),
        [
            (np.zeros((4, 2)), ValueError),
            (np.zeros(3), ValueError),
            (np.zeros((2, 2, 3)), ValueError),
            (np.zeros((4, 3), complex), TypeError),
            (np.array([["a", "b", "c"]]), TypeError),
        ],
        ids=["N x 2", "3", "2 x 2 x 3", "complex", "text"],
    )
    @pytest.mark.parametrize("name", ["select_enclosed_points", "signed_distance_to_boundary"])
    def test_refused(self, name: str, points: Array, error: type[Exception]) -> None:
        with pytest.raises(error):
            getattr(crackle, name)(crackle.compress(volumes.rings()), 1, points)


class TestPooling:
    @staticmethod
    def blocks(volume: Array, z: int) -> Iterator[tuple[tuple[int, int, int], Array]]:
        for i, j, k in np.ndindex(*(-(-n // f) for n, f in zip(volume.shape, (2, 2, z), strict=True))):
            yield (i, j, k), volume[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, z * k : z * k + z]

    @pytest.mark.parametrize("sparse", [False, True], ids=["", "sparse"])
    @pytest.mark.parametrize("z", [1, 2])
    @every_case
    def test_most_frequent(self, case: Case, z: int, sparse: bool) -> None:
        volume = case.volume
        function = crackle.mode_pooling_2x2x1 if z == 1 else crackle.mode_pooling_2x2x2
        binary = function(case.stream, sparse)
        assert binary == crackle.mode_pooling(case.stream, (2, 2, z), sparse)
        pooled = crackle.decompress(binary)
        assert pooled.dtype == volume.dtype
        assert pooled.shape == tuple(-(-n // f) for n, f in zip(volume.shape, (2, 2, z), strict=True))
        assert crackle.header(binary).fortran_order == (case.rendered == "F")
        for place, block in self.blocks(volume, z):
            voxels = block.ravel(order="F").tolist()
            if sparse:
                voxels = [v for v in voxels if v != 0] or [0]
            assert voxels.count(pooled[place]) == max(map(voxels.count, voxels))

    @pytest.mark.parametrize("sparse", [False, True], ids=["", "sparse"])
    def test_ties_in_eight(self, sparse: bool) -> None:
        """Of equally frequent labels the one wins that comes first, x fastest."""
        volume = volumes.noise(4, (16, 14, 8), "u4")
        pooled = crackle.decompress(crackle.mode_pooling_2x2x2(crackle.compress(volume), sparse))
        for place, block in self.blocks(volume, 2):
            voxels = block.ravel(order="F").tolist()
            if sparse:
                voxels = [v for v in voxels if v != 0] or [0]
            assert pooled[place] == max(voxels, key=voxels.count)

    def test_four_that_differ(self) -> None:
        volume = np.arange(1, 17, dtype=np.uint8).reshape((4, 4, 1), order="F")
        pooled = crackle.decompress(crackle.mode_pooling_2x2x1(crackle.compress(volume)))
        same(pooled, volume[1::2, 1::2])

    @pytest.mark.parametrize("factor", [(1, 1, 1), (2, 2), (2, 2, 3), (4, 4, 1), (2, 1, 1)], ids=str)
    def test_other_factors(self, factor: Any) -> None:
        with pytest.raises(ValueError, match="factor"):
            crackle.mode_pooling(crackle.compress(volumes.rings()), factor)


LABEL_QUESTIONS = ["voxel_counts", "centroids", "bounding_boxes", "point_cloud"]


class TestQuestionErrors:
    @pytest.mark.parametrize("question", LABEL_QUESTIONS)
    @some_cases
    def test_no_such_label(self, case: Case, question: str) -> None:
        """It is the ValueError of crackle-codec, and the KeyError of a dict."""
        for label in (no_label(case.volume), 2**64, -(2**64)):
            for error in (ValueError, KeyError, crackle.MissingLabelError):
                with pytest.raises(error, match=str(label)):
                    getattr(crackle, question)(case.stream, label)

    @pytest.mark.parametrize("name", LABEL_QUESTIONS)
    @pytest.mark.parametrize("label", [1.5, "1"], ids=repr)
    def test_no_label(self, name: str, label: Any) -> None:
        with pytest.raises((TypeError, crackle.MissingLabelError)):
            getattr(crackle, name)(crackle.compress(volumes.rings()), label)

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("voxel_connectivity_graph", (26,)),
            ("connected_components", (18,)),
            ("connected_components", (4,)),
            ("contacts", ((1, 1),)),
            ("contacts", ((1, 0, 1),)),
            ("contacts", ((1, -2, 1),)),
            ("contacts", ((1, float("nan"), 1),)),
        ],
    )
    def test_refused(self, name: str, arguments: Any) -> None:
        with pytest.raises(ValueError, match=r"connectivity|anisotropy"):
            getattr(crackle, name)(crackle.compress(volumes.rings()), *arguments)

    @pytest.mark.parametrize("name", ["signed_distance_to_boundary"])
    def test_anisotropy(self, name: str) -> None:
        pytest.importorskip("scipy")
        with pytest.raises(ValueError, match="anisotropy"):
            getattr(crackle, name)(crackle.compress(volumes.rings()), 1, np.zeros((1, 3)), (1, 1))

    @pytest.mark.parametrize(("first", "last"), [(2, 99), (5, 2)])
    @pytest.mark.parametrize("label", [None, 1])
    def test_slices_outside(self, first: int, last: int, label: int | None) -> None:
        with pytest.raises(ValueError, match="slice"):
            crackle.point_cloud(crackle.compress(volumes.spiral()), label, z_start=first, z_end=last)


# ---- CrackleArray ----


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "mod", "and_", "or_", "xor", "lshift", "rshift")
}
COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
OPERANDS = [0, 1, 2, 7, 200, -1, -3, 255, 2**40]


def computed(name: str, a: Any, b: Any) -> Array | type[Exception]:
    """What Python's integers give, voxel by voxel, or the error that they raise."""
    objects = [x.astype(object) if isinstance(x, np.ndarray) else x for x in (a, b)]
    try:
        return np.asarray(OPERATORS[name](*objects), object)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        return type(error)


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


def random_key(rng: np.random.Generator, length: int) -> int | slice:
    if rng.random() < 0.3:
        return int(rng.integers(-length, length))
    low, high = sorted(rng.integers(-length - 2, length + 3, 2).tolist())
    step = int(rng.choice([-3, -2, -1, 1, 1, 2, 3]))
    ends: list[int | None] = [low, high] if step > 0 else [high, low]
    ends = [None if rng.random() < 0.3 else end for end in ends]
    return slice(ends[0], ends[1], None if step == 1 else step)


def random_index(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Integers and slices for some or all axes, in some cases with an Ellipsis."""
    kind = rng.random()
    if kind < 0.1:
        return (..., slice(None))[int(rng.integers(0, 2))]
    first = int(rng.integers(0, 4))
    if kind < 0.4:
        return tuple(random_key(rng, n) for n in shape[:first])
    last = int(rng.integers(0, 4 - first))
    before = [random_key(rng, n) for n in shape[:first]]
    after = [random_key(rng, n) for n in shape[3 - last :]]
    if kind < 0.5:
        return tuple(random_key(rng, n) for n in shape)
    return (*before, ..., *after)


def random_value(rng: np.random.Generator, selected: Array) -> Any:
    """A number, or labels of the selection's shape or one that broadcasts to it."""
    labels = rng.choice([0, 1, 5, 77, 100], 3).tolist()
    kind = rng.random()
    if kind < 0.3 or selected.size == 0:
        return labels[0]
    shape = [1 if rng.random() < 0.3 else n for n in selected.shape]
    while shape and rng.random() < 0.2:
        shape = shape[1:]
    value = rng.choice(labels, shape).astype(rng.choice(["u1", "i8", "u4"]))
    return crackle.compressa(value) if kind < 0.5 and value.ndim == 3 else value


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


def plain(result: Any, stream: Callable[[Any], Any]) -> Any:
    """Answers as nested lists and dicts of numbers, and streams as volumes, so that == compares them."""
    if isinstance(result, bytes | bytearray | memoryview) and bytes(result[:4]) != b"crkl":
        return bytes(result)
    if isinstance(result, bytes | bytearray | memoryview) or hasattr(result, "binary"):
        volume = stream(getattr(result, "binary", result))
        return (np.dtype(volume.dtype).str, volume.shape, volume.ravel().tolist())
    if isinstance(result, np.ndarray):
        return plain(result.tolist(), stream)
    if isinstance(result, np.generic):
        return result.item()
    if isinstance(result, dict):
        return {plain(k, stream): plain(v, stream) for k, v in result.items()}
    if isinstance(result, set):
        return {plain(v, stream) for v in result}
    if hasattr(result, "to_pydict"):
        return result.to_pydict()
    if isinstance(result, tuple | list) and not isinstance(result, str):
        kind = tuple if isinstance(result, tuple) else list
        return kind(plain(v, stream) for v in result)
    if isinstance(result, Iterator | crackle.objects.Objects):
        return [plain(v, stream) for v in result]
    return result


METHODS: dict[str, Callable[[Array], tuple[Any, ...] | dict[str, Any]]] = {
    "apply_binary_mask": lambda v: (crackle.compressa(volumes.noise(2, v.shape)),),
    "array_equal": lambda v: (crackle.compressa(v),),
    "ascontiguousarray": lambda v: (),
    "asfortranarray": lambda v: (),
    "astype": lambda v: ("u8", "C"),
    "bounding_boxes": lambda v: {"label": a_label(v), "no_slice_conversion": True},
    "centroids": lambda v: (a_label(v),),
    "connected_components": lambda v: (6, True),
    "contacts": lambda v: ((1, 2, 3),),
    "contains": lambda v: (a_label(v),),
    "contains_range": lambda v: (1, 5000),
    "decompress": lambda v: (a_label(v),),
    "each": lambda v: {"crop": False, "labels": [a_label(v)]},
    "point_cloud": lambda v: {"label": [a_label(v)], "z_start": 1, "z_end": 3},
    "edge_labels": lambda v: (),
    "header": lambda v: (),
    "labels": lambda v: (),
    "labels_for_z_range": lambda v: (1, 2),
    "mask": lambda v: ([a_label(v)], 3),
    "mask_except": lambda v: ([a_label(v)], 3),
    "max": lambda v: (),
    "min": lambda v: (),
    "mode_pooling": lambda v: ((2, 2, 2), True),
    "mode_pooling_2x2x1": lambda v: (True,),
    "mode_pooling_2x2x2": lambda v: (True,),
    "num_labels": lambda v: (),
    "overlaps": lambda v: (crackle.compressa(volumes.noise(2, v.shape)),),
    "recompress": lambda v: (),
    "reencode": lambda v: (2,),
    "refit": lambda v: (),
    "remap": lambda v: ({a_label(v): 9}, True),
    "renumber": lambda v: (5,),
    "select_enclosed_points": lambda v: (a_label(v), np.argwhere(v == a_label(v))),
    "signed_distance_to_boundary": lambda v: (a_label(v), np.argwhere(v == a_label(v)), (1, 2, 3)),
    "statistics": lambda v: (),
    "to_parquet": lambda v: (),
    "voxel_connectivity_graph": lambda v: (4,),
    "voxel_counts": lambda v: (a_label(v),),
    "zrange": lambda v: (1, 3),
    "zshatter": lambda v: (),
    "zsplit": lambda v: (1,),
}


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


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


TABLE: dict[str, tuple[str, ...]] = {
    "compress": ("labels", "allow_pins", "markov_model_order", "bgcolor", "parallel"),
    "compressa": ("labels", "allow_pins", "markov_model_order", "bgcolor", "parallel"),
    "decompress": ("binary", "label", "parallel", "crop"),
    "header": ("binary",),
    "labels": ("binary",),
    "num_labels": ("binary",),
    "min": ("binary",),
    "max": ("binary",),
    "nbytes": ("binary",),
    "labels_for_z_range": ("binary", "z_start", "z_end"),
    "contains": ("binary", "label"),
    "contains_range": ("binary", "low", "high"),
    "remap": ("binary", "mapping", "preserve_missing_labels", "in_place", "parallel"),
    "mask": ("binary", "labels", "value"),
    "mask_except": ("binary", "labels", "value"),
    "refit": ("binary",),
    "renumber": ("binary", "start"),
    "astype": ("binary", "dtype", "order", "casting"),
    "asfortranarray": ("binary",),
    "ascontiguousarray": ("binary",),
    "add_scalar": ("binary", "scalar"),
    "subtract_scalar": ("binary", "scalar"),
    "multiply_scalar": ("binary", "scalar"),
    "floordiv_scalar": ("binary", "scalar"),
    "zeros": ("shape", "dtype", "order"),
    "ones": ("shape", "dtype", "order"),
    "full": ("shape", "fill_value", "dtype", "order"),
    "zstack": ("images",),
    "zsplit": ("binary", "z"),
    "zshatter": ("binary",),
    "apply_binary_mask": ("binary", "mask_binary"),
    "recompress": ("binary",),
    "reencode": ("binary", "markov_model_order"),
    "voxel_counts": ("binary", "label"),
    "centroids": ("binary", "label"),
    "bounding_boxes": ("binary", "label", "no_slice_conversion"),
    "statistics": ("binary",),
    "point_cloud": ("binary", "label", "z_start", "z_end", "skip_background"),
    "each": ("binary", "crop", "labels", "multi"),
    "voxel_connectivity_graph": ("binary", "connectivity"),
    "contacts": ("binary", "anisotropy"),
    "connected_components": (
        *("binary", "connectivity", "binary_image", "memory_target"),
        *("progress", "return_mapping"),
    ),
    "component_map": ("component_binary", "parent_binary"),
    "edge_labels": ("binary",),
    "select_enclosed_points": ("binary", "label", "points"),
    "signed_distance_to_boundary": ("binary", "label", "points", "anisotropy"),
    "mode_pooling_2x2x1": ("binary", "sparse"),
    "array_equal": ("a", "b"),
    "to_parquet": ("binary",),
    "crack_codes": ("binary",),
    "components": ("binary",),
    "component_lengths": ("binary",),
    "save": ("labels",),
    "load": (),
    "aload": (),
    "bload": (),
    "save_numpy": (),
}


class TestNames:
    def test_parameters(self) -> None:
        """Each parameter can be given by the name that the table has for it."""
        missing = [
            (name, p)
            for name, names in TABLE.items()
            for p in names
            if p not in inspect.signature(getattr(crackle, name)).parameters
        ]
        assert not missing

    @pytest.mark.parametrize("name", [name for name, names in TABLE.items() if "binary" in names])
    def test_stream_by_name(self, name: str) -> None:
        if name == "signed_distance_to_boundary":
            pytest.importorskip("scipy")
        volume = volumes.rings()
        binary = crackle.compress(volume)
        given = {
            "label": 1,
            "labels": [1],
            "z_start": 0,
            "z_end": 1,
            "z": 1,
            "low": 0,
            "high": 9,
            "mapping": {1: 2},
            "preserve_missing_labels": True,
            "dtype": "u8",
            "scalar": 3,
            "mask_binary": binary,
            "markov_model_order": 1,
            "points": [[1, 2, 1]],
        }
        if name.startswith("subtract"):
            given["scalar"] = 0
        options = {p: given[p] for p in TABLE[name] if p in given}
        by_name = getattr(crackle, name)(binary=binary, **options)
        by_place = getattr(crackle, name)(binary, **options)
        assert plain(by_name, crackle.decompress) == plain(by_place, crackle.decompress)

    @pytest.mark.parametrize("owner", ["module", "CrackleArray"])
    def test_parameters_of_crackle_codec(self, owner: str) -> None:
        """They have the same names, and what is left out means the same."""
        modules = [crackle, pytest.importorskip("crackle")]
        ours, theirs = modules if owner == "module" else [m.CrackleArray for m in modules]
        renamed = {
            ("apply_binary_mask", "input_binary"),
            ("array_equal", "binary1"),
            ("array_equal", "binary2"),
            ("header", "ignore_crc_check"),  # codec.check() is for damaged headers
        }
        ignored = {"memory_target"}  # two slices are enough
        missing, different = [], []
        for name in TABLE:
            if not inspect.isfunction(getattr(theirs, name, None)):
                continue
            parameters = inspect.signature(getattr(ours, name)).parameters
            others = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            for p in inspect.signature(getattr(theirs, name)).parameters.values():
                if p.kind is not p.POSITIONAL_OR_KEYWORD or (name, p.name) in renamed:
                    continue
                if p.name in parameters:
                    default = parameters[p.name].default
                    if p.name not in ignored and isinstance(p.default, int | str | None):
                        different += [(name, p.name)] if (default or False) != (p.default or False) else []
                elif not (p.name == "parallel" and others):
                    missing.append((name, p.name))
        assert (missing, different) == ([], [])

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("bounding_boxes", (1, 1, True)),
            ("point_cloud", (1, 1, 0, 2)),
            ("each", (1, False, [1, 2])),
            ("voxel_counts", (1, 1)),
            ("centroids", (1, 1)),
            ("to_parquet", (1,)),
            ("contacts", ((1, 2, 3), 1)),
            ("mode_pooling_2x2x1", (False, 1)),
            ("voxel_connectivity_graph", (4, 1)),
            ("edge_labels", (1,)),
            ("reencode", (3, 1)),
            ("recompress", (1,)),
            ("renumber", (0, 1)),
            ("decompress", (1, 1, True)),
        ],
    )
    def test_places_of_crackle_codec(self, name: str, arguments: Any) -> None:
        """The number of threads has crackle-codec's place among the arguments."""
        module = pytest.importorskip("crackle")
        if name == "to_parquet":
            pytest.importorskip("pyarrow")
        binary = crackle.compress(volumes.rings())
        by_name = inspect.signature(getattr(module, name)).bind(binary, *arguments).arguments
        del by_name["binary"]
        by_name.pop("parallel")
        expected = getattr(crackle, name)(binary, **by_name)
        got = getattr(crackle, name)(binary, *arguments)
        assert plain(got, crackle.decompress) == plain(expected, crackle.decompress)

    def test_length_of_each(self) -> None:
        """Progress bars ask for it."""
        volume = volumes.rings()
        binary = crackle.compress(volume)
        assert len(crackle.each(binary)) == len(np.unique(volume))
        assert len(crackle.each(binary, labels=[1, 2])) == 2

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "mmap", "array", "ndarray"], ids=str)
    def test_bytes_like(self, kind: Any, tmp_path: Path) -> None:
        volume = volumes.rings()
        binary = crackle.compress(volume)
        source: Any
        if kind == "mmap":
            path = tmp_path / "rings.ckl"
            path.write_bytes(binary)
            with path.open("rb") as file:
                source = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        elif kind == "array":
            source = crackle.CrackleArray(binary)
        elif kind == "ndarray":
            source = np.frombuffer(binary, np.uint8)
        else:
            source = kind(binary)
        same(crackle.decompress(source), volume)
        same(crackle.labels(source), np.unique(volume))
        assert crackle.voxel_counts(source) == crackle.voxel_counts(binary)
        assert crackle.array_equal(source, binary)
        holds(crackle.zstack(crackle.zsplit(source, 1)), volume)
        holds(crackle.recompress(source), volume)
        if kind == "mmap":
            source.close()

    @pytest.mark.parametrize("name", [n for n, names in TABLE.items() if names == ("binary",)])
    @pytest.mark.parametrize("source", [5, None, 1.5], ids=repr)
    def test_no_stream(self, name: str, source: Any) -> None:
        with pytest.raises(TypeError):
            list_of(getattr(crackle, name)(source))

    @pytest.mark.parametrize("name", [n for n, names in TABLE.items() if names == ("binary",)])
    @pytest.mark.parametrize("source", [b"", b"crkl", b"crkl" + b"\1" * 200], ids=["", "crkl", "garbage"])
    def test_damaged_stream(self, name: str, source: bytes) -> None:
        with pytest.raises(crackle.FormatError):
            list_of(getattr(crackle, name)(source))


def list_of(result: Any) -> Any:
    """What a function gives, so that one that answers bit by bit has to begin."""
    return list(result) if isinstance(result, Iterator | crackle.objects.Objects) else result


# ---- sections and files ----


class TestSections:
    @every_case
    def test_components(self, case: Case) -> None:
        sections = crackle.components(case.stream)
        assert b"".join(section.tobytes() for section in sections.values()) == case.stream
        lengths = crackle.component_lengths(case.stream)
        assert lengths == {name: section.nbytes for name, section in sections.items()}
        assert ("markov_model" in sections) == bool(crackle.header(case.stream).markov_model_order)
        assert ("crcs" in sections) == (case.version == 1)
        codes = crackle.crack_codes(case.stream)
        assert len(codes) == case.volume.shape[2]
        assert b"".join(codes) == sections["crack_codes"].tobytes()

    @every_case
    def test_damage(self, case: Case) -> None:
        """A bit of the labels or of one slice is turned over: that part is named, and nothing else."""
        report = crackle.codec.check(case.stream)
        assert report["z"] == []
        assert crackle.codec.ok(case.stream) is True
        if case.version == 0:
            return
        lengths = crackle.component_lengths(case.stream)
        start = lengths["header"] + lengths["z_index"]
        damaged = bytearray(case.stream)
        damaged[start + lengths["labels"] - 1] ^= 4
        report = crackle.codec.check(damaged)
        assert report["labels"] is False
        assert report["header"] is True
        assert crackle.codec.ok(damaged) is False
        with pytest.raises(crackle.FormatError):
            crackle.decompress(bytes(damaged))
        codes = crackle.crack_codes(case.stream)
        z = len(codes) // 2
        if codes[z]:
            damaged = bytearray(case.stream)
            end = len(damaged) - lengths["crcs"] - sum(map(len, codes[z + 1 :]))
            damaged[end - len(codes[z]) // 2 - 1] ^= 4
            report = crackle.codec.check(bytes(damaged))
            assert report["labels"] is True
            assert report["z"] == [z]
            with pytest.raises(crackle.FormatError):
                crackle.decompress(bytes(damaged))


SUFFIXES = ["", ".gz", ".xz", ".lzma", ".bz2", ".zst"]


class TestFiles:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    @some_cases
    def test_round_trip(self, case: Case, suffix: str, tmp_path: Path) -> None:
        for i, content in enumerate((case.stream, case.array, bytearray(case.stream))):
            path = tmp_path / f"{i}.ckl{suffix}"
            crackle.save(content, path)
            same(crackle.load(str(path)), case.volume, case.order)
            assert bytes(crackle.bload(path)) == case.stream
        same(crackle.load(path, a_label(case.volume)), case.volume == a_label(case.volume))
        array = crackle.aload(path)
        assert isinstance(array, crackle.CrackleArray)
        same(array.numpy(), case.volume)
        assert sorted(os.listdir(tmp_path)) == [f"{i}.ckl{suffix}" for i in range(3)]

    @some_cases
    def test_volume(self, case: Case, tmp_path: Path) -> None:
        path = tmp_path / "volume.ckl"
        crackle.save(case.volume, path, **case.options)
        assert path.read_bytes() == crackle.compress(case.volume, **case.options)
        case.array.save(path)
        assert path.read_bytes() == case.stream
        mapped = crackle.aload(path, allow_mmap=True)
        same(mapped.numpy(), case.volume)

    def test_file_objects(self) -> None:
        volume = volumes.rings()
        file = io.BytesIO()
        crackle.save(volume, file)
        assert file.getvalue() == crackle.compress(volume)
        for read in (crackle.load, lambda f: crackle.aload(f).numpy()):
            same(read(io.BytesIO(file.getvalue())), volume)
        assert bytes(crackle.bload(io.BytesIO(file.getvalue()))) == file.getvalue()

    @every_case
    def test_save_numpy(self, case: Case, tmp_path: Path) -> None:
        path = tmp_path / "volume.npy"
        for content in (case.stream, case.array):
            crackle.save_numpy(content, path, block_size=3000)
            same(np.load(path), case.volume, case.order)
        file = io.BytesIO()
        crackle.save_numpy(case.stream, file)
        same(np.load(io.BytesIO(file.getvalue())), case.volume, case.order)

    def test_not_crackle(self, tmp_path: Path) -> None:
        path = tmp_path / "other.npy"
        np.save(path, volumes.rings())
        for function in (crackle.load, crackle.aload, crackle.bload):
            with pytest.raises(crackle.FormatError, match=r"other\.npy"):
                function(path)
            with pytest.raises(FileNotFoundError):
                function(tmp_path / "nothing.ckl")

    def test_failed_save(self, tmp_path: Path) -> None:
        """The old file stays, and no other is left beside it."""
        path = tmp_path / "volume.ckl"
        crackle.save(volumes.rings(), path)
        before = path.read_bytes()
        for content, error in ((b"crkl", crackle.FormatError), (np.ones(3), TypeError), (None, TypeError)):
            with pytest.raises(error):
                crackle.save(content, path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["volume.ckl"]
        with pytest.raises(ValueError, match="block_size"):
            crackle.save_numpy(before, tmp_path / "volume.npy", block_size=0)

    @pytest.mark.parametrize("suffix", SUFFIXES[:4])
    def test_files_of_crackle_codec(self, suffix: str, tmp_path: Path) -> None:
        theirs = pytest.importorskip("crackle")
        volume = volumes.cells()
        path = str(tmp_path / f"volume.ckl{suffix}")
        theirs.save(volume, path)
        same(crackle.load(path), volume)
        crackle.save(volume, path)
        same(theirs.load(path), volume)


# ---- crackle-codec ----

Ask = Callable[[Any, bytes, Array], Any]

COMPARED: dict[str, Ask] = {
    "add_scalar": lambda m, s, v: m.add_scalar(s, 5),
    "apply_binary_mask": lambda m, s, v: m.apply_binary_mask(s, m.compress((v % 2).astype(np.uint8))),
    "array_equal": lambda m, s, v: bool(m.array_equal(s, m.compress(v))),
    "asfortranarray": lambda m, s, v: m.asfortranarray(s),
    "ascontiguousarray": lambda m, s, v: m.ascontiguousarray(s),
    "astype": lambda m, s, v: m.astype(s, np.uint64, order="C"),
    "bounding_boxes": lambda m, s, v: m.bounding_boxes(s),
    "bounding_boxes, a label": lambda m, s, v: m.bounding_boxes(s, a_label(v)),
    "bounding_boxes, numbers": lambda m, s, v: m.bounding_boxes(s, no_slice_conversion=True),
    "centroids": lambda m, s, v: m.centroids(s),
    "centroids, a label": lambda m, s, v: m.centroids(s, a_label(v)),
    "component_lengths": lambda m, s, v: m.component_lengths(s),
    "component_map": lambda m, s, v: m.component_map(crackle.connected_components(s), s),
    "components": lambda m, s, v: {name: bytes(part).hex() for name, part in m.components(s).items()},
    "compressa": lambda m, s, v: m.compressa(v),
    "connected_components, 26": lambda m, s, v: m.connected_components(s, return_mapping=True),
    "connected_components, 6": lambda m, s, v: m.connected_components(s, connectivity=6, return_mapping=True),
    "connected_components, binary": lambda m, s, v: m.connected_components(s, binary_image=True),
    "contacts": lambda m, s, v: m.contacts(s),
    "contacts, anisotropic": lambda m, s, v: m.contacts(s, anisotropy=(4, 8, 40)),
    "contains": lambda m, s, v: [bool(m.contains(s, x)) for x in (a_label(v), no_number_for(v))],
    "contains_range": lambda m, s, v: m.contains_range(s, 1, int(v.max())),
    "crack_codes": lambda m, s, v: m.crack_codes(s),
    "decompress": lambda m, s, v: m.decompress(s),
    "decompress, a label": lambda m, s, v: m.decompress(s, a_label(v)),
    "decompress, crop": lambda m, s, v: m.decompress(s, a_label(v), crop=True),
    "each": lambda m, s, v: dict(m.each(s)),
    "each, some labels": lambda m, s, v: dict(m.each(s, crop=False, labels=labels_of(v)[:2])),
    "each, multi": lambda m, s, v: [(label, image == n) for label, n, image in m.each(s, multi=True)],
    "edge_labels": lambda m, s, v: m.edge_labels(s),
    "floordiv_scalar": lambda m, s, v: m.floordiv_scalar(s, 3),
    "header": lambda m, s, v: {name: getattr(m.header(s), name) for name in HEADER_FIELDS},
    "header, dtype": lambda m, s, v: np.dtype(m.header(s).dtype).str,
    "labels": lambda m, s, v: m.labels(s),
    "labels_for_z_range": lambda m, s, v: m.labels_for_z_range(s, v.shape[2] // 2, v.shape[2]),
    "mask": lambda m, s, v: m.mask(s, [a_label(v)]),
    "mask_except": lambda m, s, v: m.mask_except(s, [a_label(v)]),
    "max": lambda m, s, v: m.max(s),
    "min": lambda m, s, v: m.min(s),
    "mode_pooling_2x2x1": lambda m, s, v: m.mode_pooling_2x2x1(s),
    "mode_pooling_2x2x1, sparse": lambda m, s, v: m.mode_pooling_2x2x1(s, sparse=True),
    "multiply_scalar": lambda m, s, v: m.multiply_scalar(m.astype(s, np.uint64), 3),
    "nbytes": lambda m, s, v: m.nbytes(s),
    "num_labels": lambda m, s, v: m.num_labels(s),
    "ok": lambda m, s, v: m.codec.ok(s),
    "recompress": lambda m, s, v: m.recompress(s),
    "reencode": lambda m, s, v: m.reencode(s, markov_model_order=2),
    "refit": lambda m, s, v: m.refit(s),
    "remap": lambda m, s, v: m.remap(s, {x: x // 2 for x in labels_of(v)}),
    "remap, some": lambda m, s, v: m.remap(s, {a_label(v): 1}, preserve_missing_labels=True),
    "renumber": lambda m, s, v: m.renumber(s),
    "renumber, 5": lambda m, s, v: m.renumber(s, start=5),
    "select_enclosed_points": lambda m, s, v: m.select_enclosed_points(s, a_label(v), some_places(v)),
    "subtract_scalar": lambda m, s, v: m.subtract_scalar(s, int(v.min())),
    "to_parquet": lambda m, s, v: m.to_parquet(s),
    "voxel_connectivity_graph, 4": lambda m, s, v: m.voxel_connectivity_graph(s, 4),
    "voxel_connectivity_graph, 6": lambda m, s, v: m.voxel_connectivity_graph(s),
    "voxel_counts": lambda m, s, v: m.voxel_counts(s),
    "voxel_counts, a label": lambda m, s, v: m.voxel_counts(s, a_label(v)),
    "zshatter": lambda m, s, v: m.zshatter(s),
    "zsplit": lambda m, s, v: m.zsplit(s, v.shape[2] // 2),
    "zstack": lambda m, s, v: m.zstack([s, v]),
}

HEADER_FIELDS = (
    *("sx", "sy", "sz", "data_width", "stored_data_width", "label_format", "crack_format", "fortran_order"),
    *("signed", "markov_model_order", "is_sorted", "format_version", "num_label_bytes", "nbytes"),
)

# What crackle-codec refuses, or answers wrong in the one case or the other, where there are pins ...
WRONG_OF_PINS = {
    *("labels_for_z_range", "each", "each, some labels", "each, multi", "contains_range", "zstack"),
    *("connected_components, 6", "connected_components, 26", "connected_components, binary", "component_map"),
    *("mask", "mask_except", "remap", "remap, some", "renumber", "renumber, 5", "zshatter", "zsplit"),
    *("add_scalar", "subtract_scalar", "multiply_scalar", "floordiv_scalar"),
    *("bounding_boxes", "bounding_boxes, numbers", "to_parquet"),
}
# ... or a Markov model.
WRONG_OF_MODELS = {"component_lengths", "components", "crack_codes", "zshatter", "zsplit"}


def some_places(volume: Array) -> Array:
    return np.argwhere(np.ones(volume.shape, bool))[::7].astype(np.float32)


def rounded(answer: Any) -> Any:
    """Numbers that are not whole with six digits, as crackle-codec's are of float32."""
    if isinstance(answer, dict):
        return {key: rounded(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return type(answer)(rounded(value) for value in answer)
    return float(f"{answer:.5g}") if isinstance(answer, float) else answer


# Asked about a label that its dtype does not hold, crackle-codec lets NumPy 1 wrap it around.
THEIR_LABELS = "ignore:NumPy will stop allowing conversion of out-of-bound:DeprecationWarning"


class TestCrackleCodec:
    """Answers of crackle-codec where they are right: unsigned labels, format version 1, nothing renamed."""

    @pytest.mark.parametrize(
        ("options", "question"),
        [
            # crackle-codec's default, and not that of this package, which is order 3.
            *(({"markov_model_order": 0}, question) for question in COMPARED),
            *(
                ({"markov_model_order": 3}, question)
                for question in COMPARED
                if question not in WRONG_OF_MODELS
            ),
            *(
                ({"allow_pins": 1, "markov_model_order": 0}, question)
                for question in COMPARED
                if question not in WRONG_OF_PINS
            ),
        ],
        ids=str,
    )
    @pytest.mark.filterwarnings(THEIR_LABELS)
    def test_answer(self, options: Any, question: str) -> None:
        theirs = pytest.importorskip("crackle")
        for package in ("scipy", "pyarrow"):
            pytest.importorskip(package)
        ask = COMPARED[question]
        for name, maker in itertools.product(("balls", "cells and background"), (crackle, theirs)):
            # Of even sides, as blocks at odd ones are known to differ.
            volume = np.asfortranarray(made(name)[:18, :16])
            binary = maker.compress(volume, **options)
            got = plain(ask(crackle, binary, volume), crackle.decompress)
            expected = plain(ask(theirs, bytes(bytearray(binary)), volume), theirs.decompress)
            assert rounded(got) == rounded(expected), name

    @pytest.mark.parametrize("name", ["balls", "cells", "cells and background"])
    def test_point_cloud(self, name: str) -> None:
        """Theirs has voxels more than once, and some of inside labels."""
        theirs = pytest.importorskip("crackle")
        binary = crackle.compress(made(name))
        got, expected = crackle.point_cloud(binary), theirs.point_cloud(binary)
        assert got.keys() == expected.keys()
        for label, points in got.items():
            assert points.dtype == expected[label].dtype
            assert set(map(tuple, points.tolist())) <= set(map(tuple, expected[label].tolist()))

    @pytest.mark.parametrize("name", ["balls", "cells", "cells and background", "rings"])
    def test_signed_distance(self, name: str) -> None:
        """Theirs are approximate inside a label; outside they are equal."""
        theirs = pytest.importorskip("crackle")
        pytest.importorskip("scipy")
        pytest.importorskip("pykdtree", reason="crackle-codec needs it and does not ask for it")
        volume = made(name)
        binary, label, points = crackle.compress(volume), a_label(volume), some_places(volume)
        got = crackle.signed_distance_to_boundary(binary, label, points)
        expected = theirs.signed_distance_to_boundary(binary, label, points)
        assert np.array_equal(got < 0, expected < 0)
        np.testing.assert_allclose(got[got > 0], expected[got > 0], rtol=1e-5)

    @pytest.mark.parametrize(
        "question",
        [name for name, ask in COMPARED.items() if name not in ("components", "crack_codes", "decompress")],
    )
    @pytest.mark.filterwarnings(THEIR_LABELS)
    def test_streams_of_theirs_are_read(self, question: str) -> None:
        """What crackle-codec makes of a stream is read here, too."""
        theirs = pytest.importorskip("crackle")
        pytest.importorskip("scipy")
        pytest.importorskip("pyarrow")
        volume = np.asfortranarray(made("balls")[:18, :16])
        answer = COMPARED[question](theirs, theirs.compress(volume), volume)
        assert plain(answer, crackle.decompress) == plain(answer, theirs.decompress)

    @pytest.mark.parametrize(
        "question",
        ["remap", "mask", "renumber", "zstack", "zsplit", "recompress", "connected_components, 26"],
    )
    def test_streams_of_ours_are_read(self, question: str) -> None:
        theirs = pytest.importorskip("crackle")
        volume = np.asfortranarray(made("balls")[:18, :16])
        answer = COMPARED[question](crackle, crackle.compress(volume), volume)
        assert plain(answer, theirs.decompress) == plain(answer, crackle.decompress)

    @pytest.mark.parametrize("name", ["add", "sub", "mul", "floordiv", "mod", "and_", "or_", "xor"])
    def test_operators(self, name: str) -> None:
        theirs = pytest.importorskip("crackle")
        volume = np.asfortranarray(made("balls").astype(np.uint64) + np.uint64(40))
        operate = OPERATORS[name]
        for other in (3, volume[::-1] % 30 + 1):
            operands = (
                [other, other] if isinstance(other, int) else [m.compressa(other) for m in (crackle, theirs)]
            )
            got = operate(crackle.compressa(volume), operands[0])
            expected = operate(theirs.compressa(volume), operands[1])
            same(got.numpy(), expected.numpy())


# ---- volumes of more than 2^32 voxels ----


class TestLarge:
    SHAPE = (70_000, 70_000, 3)
    VOXELS = 70_000 * 70_000 * 3

    def test_full(self) -> None:
        array = crackle.full(self.SHAPE, 7, np.uint64)
        assert array.shape == self.SHAPE
        assert array.size == self.VOXELS
        assert array.nbytes == 8 * self.VOXELS
        assert crackle.nbytes(array.binary) == 8 * self.VOXELS
        assert crackle.header(array.binary).voxels() == self.VOXELS
        assert len(array) < 200

    def test_label_table(self) -> None:
        array = crackle.full(self.SHAPE, 7, np.uint32)
        assert array.labels().tolist() == [7]
        assert array.remap({7: 70_000}).labels().tolist() == [70_000]
        assert (array * 100 - 1).max() == 699
        assert (array == 7).min() == 1
        assert 7 in array
        assert 8 not in array
        assert array.mask([7]).max() == 0
        assert array.renumber(3)[1] == {7: 3}
        assert array.refit().dtype == np.uint8
        assert array.astype(np.int64).nbytes == 8 * self.VOXELS
        assert array.all()
        assert array.asfortranarray().header().fortran_order
        with pytest.raises(OverflowError):
            _ = array * 2**31

    def test_slices(self) -> None:
        low, high = (crackle.full((*self.SHAPE[:2], n), n, np.uint8) for n in (1, 2))
        array = low.zstack([high, crackle.full((*self.SHAPE[:2], 4), 300, np.uint16)])
        assert array.shape == (*self.SHAPE[:2], 7)
        assert array.dtype == np.uint16
        assert array.labels().tolist() == [1, 2, 300]
        assert array.labels_for_z_range(1, 3).tolist() == [2]
        assert [part.shape[2] for part in array.zsplit(2)] == [2, 1, 4]
        assert [part.max() for part in array.zshatter()] == [1, 2, 2, 300, 300, 300, 300]
        assert array.zrange(2, 4).labels().tolist() == [2, 300]
        assert set(crackle.crack_codes(array.binary)) == set(crackle.crack_codes(low.binary))

    @pytest.mark.parametrize(
        "shape", [(2**31, 1, 3), (1, 2**31, 3), (2**32 - 1, 1, 2), (2**20, 2**13, 2)], ids=str
    )
    def test_thin(self, shape: tuple[int, int, int]) -> None:
        layers = [crackle.full((*shape[:2], 1), z + 1, np.uint32) for z in range(shape[2])]
        array = crackle.CrackleArray(crackle.zstack(layers))
        assert array.shape == shape
        assert array.nbytes == 4 * np.prod(shape, dtype=object)
        assert array.labels().tolist() == list(range(1, shape[2] + 1))
        assert array.labels(-1).tolist() == [shape[2]]
        assert (array + 1).max() == shape[2] + 1
        assert array.zrange(1, 2).min() == 2

    def test_too_large(self) -> None:
        """A volume of 2^64 bytes or more can be counted in no header."""
        with pytest.raises(ValueError, match="bytes"):
            crackle.full((2**32 - 1, 2**32 - 1, 2**20), 7)
        with pytest.raises(MemoryError):
            crackle.full((2**30, 2**30, 1), 7, np.uint8).numpy()

    def test_statistics(self) -> None:
        """Counts and sums of coordinates past 2^32 and 2^53, in two labels that meet between slices."""
        side, low, high = 2**15, 3, 2
        array = crackle.CrackleArray(
            crackle.zstack([crackle.full((side, side, low), 5), crackle.full((side, side, high), 9)])
        )
        assert array.size > 2**32
        table = array.statistics()
        assert table["label"].tolist() == [5, 9]
        assert table["voxel_count"].tolist() == [low * side**2, high * side**2]
        assert table["start"].tolist() == [[0, 0, 0], [0, 0, low]]
        assert table["stop"].tolist() == [[side, side, low], [side, side, low + high]]
        middle = (side - 1) / 2
        assert table["centroid"].tolist() == [[middle, middle, 1.0], [middle, middle, 3.5]]

    def test_memory(self) -> None:
        """A process with a room of 1 GB makes, stacks, cuts, renames and asks for labels."""
        program = """
            import resource
            import crackle_zarr as crackle
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
            a = crackle.full((70_000, 70_000, 3), 7, "u8")
            b = a.zstack([a + 1, a * 2, a == 7])
            parts = b.zsplit(5)
            print(b.labels().tolist(), [p.shape[2] for p in parts], b.remap({1: 2}, True).num_labels())
        """
        lines = "\n".join(line.strip() for line in program.strip().splitlines())
        result = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60)
        assert result.stderr == ""
        assert result.stdout.splitlines() == ["[1, 7, 8, 14] [5, 1, 6] 4"]


class TestExactness:
    def test_truth(self) -> None:
        """As NumPy: of one voxel it is known, of several it has to be asked for by any() or all()."""
        assert not crackle.zeros((1, 1, 1))
        assert crackle.ones((1, 1, 1))
        with pytest.raises(ValueError, match="ambiguous"):
            bool(crackle.ones((2, 1, 1)) == crackle.zeros((2, 1, 1)))

    def test_shift_of_a_large_number(self) -> None:
        assert (2**100 >> crackle.full((1, 1, 1), 70)).numpy()[0, 0, 0] == 2**30
        assert (crackle.full((1, 1, 1), 5) >> 200).numpy()[0, 0, 0] == 0
        with pytest.raises(OverflowError):
            crackle.full((1, 1, 1), 1) << 64

    def test_set_integers_of_a_list(self) -> None:
        """NumPy would make floats of them."""
        array = crackle.zeros((1, 1, 2))
        array[0, 0] = [2**63, 1]
        assert array.labels().tolist() == [1, 2**63]
        with pytest.raises(OverflowError):
            array[0, 0] = [2**63, -1]
        array[0:0, 0:0, 0:0] = []
        with pytest.raises(TypeError):
            array[0, 0] = [1.5, 2]
