"""Relabelling and arithmetic of streams, on streams of every kind, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import volumes
from drop_in import (
    SCALAR,
    Case,
    a_label,
    every_case,
    fits,
    holds,
    labels_of,
    no_label,
    no_number,
    renamed,
    same,
    smallest_dtype,
    some_cases,
)

import crackle_zarr as crackle

# ---- the volume and its labels ----


class TestVolume:
    @every_case
    def test_decompress(self, case: Case) -> None:
        """decompress() gives the volume in its memory order."""
        same(crackle.decompress(case.stream), case.volume, case.order)

    @every_case
    def test_mask_of_a_label(self, case: Case) -> None:
        """decompress() of a label gives its mask; crop=True cuts it to the slices that hold the label."""
        label = a_label(case.volume)
        mask = case.volume == label
        same(crackle.decompress(case.stream, label), mask, case.order)
        slices = np.flatnonzero(mask.any(axis=(0, 1)))
        same(crackle.decompress(case.stream, label, crop=True), mask[:, :, slices[0] : slices[-1] + 1])

    @every_case
    def test_mask_of_no_label(self, case: Case) -> None:
        """The mask of an absent label is empty, and its crop has no slices."""
        for label in (no_label(case.volume) if case.name != "noise of 2" else 77, 2**64, -(2**63) - 1):
            same(crackle.decompress(case.stream, label), np.zeros(case.volume.shape, bool))
            assert crackle.decompress(case.stream, label, crop=True).shape == (*case.volume.shape[:2], 0)

    @every_case
    def test_some_slices(self, case: Case) -> None:
        """A range of slices is decoded alone, also into the caller's array."""
        sz = case.volume.shape[2]
        for z_start, z_end in {(0, 0), (0, 1), (sz // 2, sz), (sz // 3, sz // 3 + 1), (sz, sz)}:
            expected = case.volume[:, :, z_start:z_end]
            same(crackle.decompress(case.stream, z_start=z_start, z_end=z_end), expected)
            out = np.full(expected.shape[::-1], 1, case.volume.dtype).T
            assert crackle.decompress(case.stream, z_start=z_start, z_end=z_end, out=out) is out
            assert np.array_equal(out, expected)

    @every_case
    def test_header(self, case: Case) -> None:
        """The header describes the volume and the encoding of the stream."""
        head = crackle.header(case.stream)
        volume = case.volume
        assert (head.sx, head.sy, head.sz) == volume.shape
        assert head.data_width == volume.dtype.itemsize
        assert np.dtype(head.dtype) == volume.dtype
        assert head.signed == (volume.dtype.kind == "i")
        assert head.fortran_order == (case.rendered == "F")
        assert head.format_version == case.version
        assert head.markov_model_order in (case.markov, 0)  # 0 if a model does not pay
        assert (head.nbytes, head.voxels()) == (volume.nbytes, volume.size)
        assert 1 <= head.stored_data_width <= head.data_width
        assert 0 < head.num_label_bytes <= crackle.component_lengths(case.stream)["labels"]
        assert isinstance(head.details(), str)

    @every_case
    def test_labels(self, case: Case) -> None:
        """labels(), num_labels(), min(), max() and nbytes() are NumPy's."""
        expected = np.unique(case.volume)
        same(crackle.labels(case.stream), expected)
        assert crackle.num_labels(case.stream) == len(expected)
        assert crackle.min(case.stream) == expected[0]
        assert crackle.max(case.stream) == expected[-1]
        assert crackle.nbytes(case.stream) == case.volume.nbytes

    @every_case
    def test_contains(self, case: Case) -> None:
        """contains() tells each label from its neighbours, and takes integers outside of the dtype."""
        labels = labels_of(case.volume)
        for label in labels[:: max(1, len(labels) // 10)]:
            assert crackle.contains(case.stream, label) is True
            for other in (label - 1, label + 1):
                assert crackle.contains(case.stream, other) is (other in labels)
        for label in (2**64, -(2**64), 2**63, -1):
            assert crackle.contains(case.stream, label) is (label in labels)

    @every_case
    def test_contains_range(self, case: Case) -> None:
        """contains_range() gives the labels in [low, high), also for bounds outside of the dtype."""
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
        """labels_for_z_range() gives the labels of any range of slices, empty ranges included."""
        sz = case.volume.shape[2]
        bounds = sorted({0, 1, sz // 3, sz // 2, sz - 1, sz})
        for z_start, z_end in itertools.combinations_with_replacement(bounds, 2):
            expected = np.unique(case.volume[:, :, z_start:z_end])
            same(crackle.labels_for_z_range(case.stream, z_start, z_end), expected)


# ---- new labels ----


class TestRemap:
    @every_case
    def test_rename(self, case: Case) -> None:
        """All labels are renamed at once, to labels of the same volume; the crack codes stay."""
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
        """preserve_missing_labels keeps labels that have no mapping; without it they raise KeyError."""
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
        """The stored width grows if the new labels need it."""
        info = np.iinfo(case.volume.dtype)
        labels = labels_of(case.volume)
        mapping = {label: label for label in labels} | {labels[0]: info.max, labels[-1]: info.min}
        holds(crackle.remap(case.stream, mapping), renamed(case.volume, mapping))

    @every_case
    def test_names_that_do_not_fit(self, case: Case) -> None:
        """A new label that the dtype cannot hold raises ValueError, and the buffer stays as it was."""
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
        """In place, a new label that the stored width cannot hold raises, and the buffer stays as it was."""
        buffer = bytearray(crackle.compress(np.arange(8, dtype=np.uint32).reshape(2, 2, 2)))
        before = bytes(buffer)
        with pytest.raises(ValueError, match="in_place=False"):
            crackle.remap(buffer, {1: 256}, preserve_missing_labels=True, in_place=True)
        assert buffer == before

    @pytest.mark.parametrize("convert", [bytes, lambda b: memoryview(bytes(b))], ids=["bytes", "memoryview"])
    def test_immutable_in_place(self, convert: Any) -> None:
        """Immutable bytes raise TypeError in place, and stay as they were."""
        binary = convert(crackle.compress(volumes.rings()))
        before = bytes(binary)
        with pytest.raises(TypeError):
            crackle.remap(binary, {1: 2}, preserve_missing_labels=True, in_place=True)
        with pytest.raises(TypeError):
            crackle.mask(binary, [1], in_place=True)
        assert bytes(binary) == before

    @pytest.mark.parametrize("mapping", [[1, 2], {1: "a"}, {"a": 1}, {1: 1.5}, {1.5: 1}, None, 5], ids=repr)
    def test_no_mapping(self, mapping: Any) -> None:
        """A mapping that does not map integers to integers raises TypeError."""
        with pytest.raises(TypeError):
            crackle.remap(crackle.compress(volumes.rings()), mapping, preserve_missing_labels=True)

    def test_numpy_mapping(self) -> None:
        """Keys and values of a mapping may be NumPy's integers."""
        volume = volumes.rings()
        mapping = {label: label + np.uint16(1) for label in np.unique(volume)}
        holds(crackle.remap(crackle.compress(volume), mapping), volume + np.uint16(1))

    @every_case
    def test_mask(self, case: Case) -> None:
        """mask() and mask_except() set labels to 0 or to a value, also in place; absent labels do no harm."""
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
        """An empty list of labels masks nothing, or with mask_except() everything."""
        volume = volumes.rings()
        binary = crackle.compress(volume)
        holds(crackle.mask(binary, []), volume)
        holds(crackle.mask_except(binary, []), np.zeros_like(volume))
        holds(crackle.mask_except(binary, [], value=9), np.full_like(volume, 9))

    @pytest.mark.parametrize("labels", [[1.5], ["a"], 1.5, [None]], ids=repr)
    def test_mask_of_no_labels(self, labels: Any) -> None:
        """Labels that are not integers raise TypeError."""
        for function in (crackle.mask, crackle.mask_except):
            with pytest.raises(TypeError):
                function(crackle.compress(volumes.rings()), labels)

    @every_case
    def test_refit(self, case: Case) -> None:
        """refit() takes the smallest dtype of the same signedness that holds the labels."""
        volume = case.volume
        dtype = smallest_dtype(int(volume.min()), int(volume.max()), volume.dtype.kind == "i")
        holds(crackle.refit(case.stream), volume.astype(dtype), case.order)

    @every_case
    def test_renumber(self, case: Case) -> None:
        """renumber() numbers the labels in ascending order from any start, in the smallest dtype."""
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
        """Numbers up to 2^64 - 1 are used; a number past that raises ValueError."""
        binary = crackle.compress(np.array([[[1]], [[2]]], np.uint64))
        assert crackle.renumber(binary, 2**64 - 2)[1] == {1: 2**64 - 2, 2: 2**64 - 1}
        with pytest.raises(ValueError, match="dtype"):
            crackle.renumber(binary, 2**64 - 1)

    @every_case
    def test_astype(self, case: Case) -> None:
        """astype() gives NumPy's labels in every integer dtype, and in bool."""
        for dtype in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u4"):
            expected = case.volume.astype(np.dtype(dtype).newbyteorder("="))
            holds(crackle.astype(case.stream, dtype), expected, case.order)
        holds(crackle.astype(case.stream, bool), (case.volume != 0).astype(np.uint8))

    @pytest.mark.parametrize("order", "CF")
    @some_cases
    def test_order(self, case: Case, order: str) -> None:
        """The memory order changes; the voxels and the crack codes stay."""
        change = crackle.ascontiguousarray if order == "C" else crackle.asfortranarray
        binary = change(case.stream)
        holds(binary, case.volume, order)
        assert crackle.crack_codes(binary) == crackle.crack_codes(case.stream)
        holds(crackle.astype(case.stream, case.volume.dtype, order=order), case.volume, order)
        holds(crackle.astype(case.stream, case.volume.dtype, order="K"), case.volume, case.order)

    @pytest.mark.parametrize("casting", ["no", "equiv", "safe", "same_kind", "unsafe"])
    @pytest.mark.parametrize("source", ["u1", "u4", "i4", "u8"])
    def test_casting(self, source: str, casting: Any) -> None:
        """Each casting rule allows the conversions that NumPy allows, and raises TypeError for the others."""
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
        """A dtype that is not an integer or bool raises TypeError."""
        with pytest.raises(TypeError):
            crackle.astype(crackle.compress(volumes.rings()), dtype)

    @pytest.mark.parametrize("options", [{"order": "X"}, {"casting": "always"}], ids=repr)
    def test_astype_options(self, options: Any) -> None:
        """An unknown order or casting rule raises ValueError that names it."""
        with pytest.raises(ValueError, match=next(iter(options.values()))):
            crackle.astype(crackle.compress(volumes.rings()), "u4", **options)


class TestScalars:
    @every_case
    def test_against_python(self, case: Case) -> None:
        """Arithmetic with a number gives Python's results, or OverflowError if the dtype cannot hold them."""
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
        """Division by 0 raises ZeroDivisionError."""
        with pytest.raises(ZeroDivisionError):
            crackle.floordiv_scalar(crackle.compress(volumes.rings()), 0)

    @pytest.mark.parametrize("scalar", [1.5, "1", None, [1]], ids=repr)
    @pytest.mark.parametrize("name", SCALAR)
    def test_no_integer(self, name: str, scalar: Any) -> None:
        """A number that is not an integer raises TypeError."""
        with pytest.raises(TypeError):
            getattr(crackle, name)(crackle.compress(volumes.rings()), scalar)

    @pytest.mark.parametrize("name", SCALAR)
    def test_numpy_integer(self, name: str) -> None:
        """The number may be one of NumPy's integers."""
        volume = volumes.rings() + np.uint16(5)
        expected = SCALAR[name](volume, np.uint16(3))
        holds(getattr(crackle, name)(crackle.compress(volume), np.uint8(3)), expected)
