"""Streams from streams: made, stacked, cut, recompressed, pooled; against NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import volumes
from drop_in import (
    ENCODINGS,
    Array,
    Case,
    as_compressed,
    encoded,
    every_case,
    holds,
    no_number_for,
    same,
    some_cases,
)

import crackle_zarr as crackle

# ---- making streams ----


class TestMaking:
    @pytest.mark.parametrize("order", "CF")
    @pytest.mark.parametrize("dtype", [None, "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", bool])
    @pytest.mark.parametrize("shape", [(5, 4, 3), (1, 1, 1), (7, 1, 9), (4, 3), 6, (5,)], ids=str)
    def test_full(self, shape: Any, dtype: Any, order: Any) -> None:
        """full(), zeros() and ones() take any shape of up to three axes, dtype and order."""
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
        """full() takes the extreme values of a dtype, and raises OverflowError past them."""
        info = np.iinfo(dtype)
        for value in (info.min, info.max):
            array = crackle.full((3, 2, 2), value, dtype)
            same(array.numpy(), np.full((3, 2, 2), value, dtype))
        for value in (info.min - 1, info.max + 1):
            with pytest.raises(OverflowError):
                crackle.full((3, 2, 2), value, dtype)

    def test_default_dtype(self) -> None:
        """Without a dtype, full() takes uint64, or int64 for a negative value."""
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
        """A wrong shape, dtype, order or value raises."""
        with pytest.raises(error):
            crackle.full(*arguments)

    @every_case
    def test_compressa(self, case: Case) -> None:
        """compressa() returns the stream of compress() as a CrackleArray."""
        array = crackle.compressa(case.volume, **case.options)
        assert isinstance(array, crackle.CrackleArray)
        assert bytes(array.binary) == crackle.compress(case.volume, **case.options)

    @pytest.mark.parametrize(
        "labels", [np.ones((2, 2), "f4"), np.array([1, None]), np.array(["a"])], ids=repr
    )
    def test_no_integers(self, labels: Any) -> None:
        """Labels that are not integers raise TypeError."""
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
        """An option out of range raises ValueError; one of another type raises TypeError."""
        with pytest.raises(error):
            crackle.compress(volumes.rings(), **options)

    def test_four_axes(self) -> None:
        """A volume of four axes raises ValueError."""
        with pytest.raises(ValueError, match=r"ax|dim"):
            crackle.compress(np.zeros((2, 2, 2, 2), np.uint8))

    @pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
    def test_big_endian_and_strides(self, dtype: str) -> None:
        """Big-endian volumes and strided views are compressed with their values."""
        volume = volumes.cells((20, 18, 8)).astype(dtype)
        holds(crackle.compress(volume.astype(np.dtype(dtype).newbyteorder(">"))), volume)
        holds(crackle.compress(volume[::2, ::-1, 1:6:3]), volume[::2, ::-1, 1:6:3], "C")

    @pytest.mark.parametrize("bgcolor", [0, 3, 2**40])
    @pytest.mark.parametrize("pins", [1, 2])
    def test_pins(self, pins: int, bgcolor: int) -> None:
        """Pins with any background give back the volume."""
        volume = volumes.columns().astype(np.uint64)
        binary = crackle.compress(volume, allow_pins=pins, bgcolor=bgcolor)
        assert crackle.header(binary).label_format == 2
        holds(binary, volume)

    def test_pins_only_where_most_agree_along_x(self) -> None:
        """Noise gets no pins, even if the caller allows them."""
        binary = crackle.compress(volumes.noise(2000, (25, 23, 6)), allow_pins=2)
        assert crackle.header(binary).label_format == 0


# ---- slices ----


class TestSlices:
    @every_case
    def test_zshatter(self, case: Case) -> None:
        """zshatter() gives a stream per slice; stacked, they are the volume again."""
        slices = crackle.zshatter(case.stream)
        assert len(slices) == case.volume.shape[2]
        chosen = range(0, len(slices), max(1, len(slices) // 6))
        for z in chosen:
            holds(slices[z], case.volume[:, :, z : z + 1], case.order)
        same(crackle.decompress(crackle.zstack(slices)), case.volume, case.order)

    @every_case
    def test_zsplit(self, case: Case) -> None:
        """zsplit() gives the slices before z, slice z and the slices after it; z may count from the end."""
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
        """zrange() cuts a range of slices out of a stream with their codes unchanged."""
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
        """zstack() takes streams, arrays of either order and other labels."""
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
        """Stacked dtypes become the one that NumPy chooses for both."""
        a, b = (volumes.noise(3, (5, 4, n)).astype(d) for d, n in ((first, 2), (second, 3)))
        expected = np.concatenate([a, b], axis=2)
        holds(crackle.zstack([crackle.compress(a), b]), expected)
        holds(crackle.zstack([a, crackle.compress(b)]), expected)

    @some_cases
    def test_mixed_encodings(self, case: Case) -> None:
        """Streams in all encodings can be stacked."""
        others = [encoded(Case(case.name, case.table, *encoding)) for encoding in ENCODINGS]
        for streams in ([case.stream, *others], [*others[::-1], case.stream]):
            stacked = crackle.zstack(streams)
            holds(stacked, np.concatenate([case.volume] * len(streams), axis=2))
            assert crackle.header(stacked).fortran_order == crackle.header(streams[0]).fortran_order

    def test_flat_arrays(self) -> None:
        """Images of two axes can be stacked; so can a single image."""
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
        """Images that do not fit together raise."""
        with pytest.raises(error):
            crackle.zstack(images)

    @pytest.mark.parametrize(("first", "last"), [(0, 10), (-1, 2), (3, 2), (9, 9)])
    def test_labels_of_slices_outside(self, first: int, last: int) -> None:
        """A range outside of the volume raises ValueError."""
        for pins in (0, 1):
            binary = crackle.compress(volumes.balls()[:, :, :8], allow_pins=pins)
            with pytest.raises(ValueError, match="slices"):
                crackle.labels_for_z_range(binary, first, last)

    @pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (4, 3, 0)], ids=str)
    def test_no_voxels(self, shape: tuple[int, int, int]) -> None:
        """A volume without voxels has empty answers, and keeps its shape."""
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


class TestBoundaries:
    @every_case
    def test_recompress(self, case: Case) -> None:
        """recompress() gives the stream that compress() would make, except for the choice of pins."""
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
        """reencode() gives the codes that compress() would make with that Markov order."""
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
        """A Markov order out of range raises ValueError."""
        with pytest.raises(ValueError, match=r"markov|order"):
            crackle.reencode(crackle.compress(volumes.rings()), markov)

    @every_case
    def test_array_equal(self, case: Case) -> None:
        """array_equal() compares voxels: encoding and dtype do not count, one changed voxel does."""
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
        """Volumes of different shapes are unequal."""
        a = crackle.compress(np.zeros((4, 3, 2), np.uint8))
        for shape in ((3, 4, 2), (4, 3, 1), (4, 6, 1), (24, 1, 1)):
            assert crackle.array_equal(a, crackle.compress(np.zeros(shape, np.uint8))) is False

    @every_case
    def test_apply_binary_mask(self, case: Case) -> None:
        """apply_binary_mask() keeps the voxels at which the mask is not 0."""
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
        """A second volume of another shape raises ValueError."""
        a, b = (crackle.compress(volumes.noise(2, shape)) for shape in ((4, 3, 2), (3, 4, 2)))
        for function in (crackle.apply_binary_mask, crackle.component_map, crackle.overlaps):
            with pytest.raises(ValueError, match="shape"):
                function(a, b)


class TestPooling:
    @staticmethod
    def blocks(volume: Array, z: int) -> Iterator[tuple[tuple[int, int, int], Array]]:
        for i, j, k in np.ndindex(*(-(-n // f) for n, f in zip(volume.shape, (2, 2, z), strict=True))):
            yield (i, j, k), volume[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, z * k : z * k + z]

    @pytest.mark.parametrize("sparse", [False, True], ids=["", "sparse"])
    @pytest.mark.parametrize("z", [1, 2])
    @every_case
    def test_most_frequent(self, case: Case, z: int, sparse: bool) -> None:
        """Every block gets one of its most frequent labels; with sparse, 0 counts only in blocks of zeros."""
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
        """Among equally frequent labels of a block, the first one wins, x fastest."""
        volume = volumes.noise(4, (16, 14, 8), "u4")
        pooled = crackle.decompress(crackle.mode_pooling_2x2x2(crackle.compress(volume), sparse))
        for place, block in self.blocks(volume, 2):
            voxels = block.ravel(order="F").tolist()
            if sparse:
                voxels = [v for v in voxels if v != 0] or [0]
            assert pooled[place] == max(voxels, key=voxels.count)

    def test_four_that_differ(self) -> None:
        """Of four different labels, the last one wins."""
        volume = np.arange(1, 17, dtype=np.uint8).reshape((4, 4, 1), order="F")
        pooled = crackle.decompress(crackle.mode_pooling_2x2x1(crackle.compress(volume)))
        same(pooled, volume[1::2, 1::2])

    @pytest.mark.parametrize("factor", [(1, 1, 1), (2, 2), (2, 2, 3), (4, 4, 1), (2, 1, 1)], ids=str)
    def test_other_factors(self, factor: Any) -> None:
        """Other factors raise ValueError."""
        with pytest.raises(ValueError, match="factor"):
            crackle.mode_pooling(crackle.compress(volumes.rings()), factor)
