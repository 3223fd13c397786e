"""Objects, neighbours, components and points of streams, against NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import volumes
from drop_in import (
    LABEL_QUESTIONS,
    Array,
    Case,
    a_label,
    boxes_of,
    centroids_of,
    components_of,
    counts_of,
    every_case,
    holds,
    labels_of,
    no_label,
    no_number,
    same,
    same_label,
    same_label_of,
    smallest_dtype,
    some_cases,
    surfaces_of,
)

import crackle_zarr as crackle


class TestObjects:
    @every_case
    def test_voxel_counts(self, case: Case) -> None:
        """voxel_counts() is NumPy's, for all labels and for one."""
        expected = counts_of(case.name, case.table)
        assert crackle.voxel_counts(case.stream) == expected
        label = a_label(case.volume)
        assert crackle.voxel_counts(case.stream, label) == expected[label]

    @every_case
    def test_bounding_boxes(self, case: Case) -> None:
        """bounding_boxes() gives slices, or six numbers with no_slice_conversion."""
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
        """centroids() is NumPy's mean, for all labels and for one."""
        expected = centroids_of(case.name, case.table)
        got = crackle.centroids(case.stream)
        assert got.keys() == expected.keys()
        for label, mean in expected.items():
            np.testing.assert_allclose(got[label], mean, rtol=1e-12)
        label = a_label(case.volume)
        np.testing.assert_array_equal(crackle.centroids(case.stream, label), got[label])

    @every_case
    def test_statistics(self, case: Case) -> None:
        """statistics() has labels, counts, boxes and centroids in one table."""
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
        """to_parquet() has labels, counts and boxes, as crackle-codec's does."""
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
        """point_cloud() gives the surface voxels of all labels, of one or of some."""
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
        """point_cloud() of a range of slices gives the surface voxels in it; -1 stands for an end."""
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
        """each() gives the mask of every label within its bounding box."""
        boxes = boxes_of(case.name, case.table)
        got = list(crackle.each(case.stream))
        assert [label for label, _ in got] == list(boxes)
        for label, mask in got[:: max(1, len(got) // 50)]:
            same(mask, case.volume[boxes[label]] == label)

    @every_case
    def test_each_in_place(self, case: Case) -> None:
        """each(crop=False, labels=...) gives masks of the whole volume, and leaves out absent labels."""
        labels = labels_of(case.volume)[:5]
        asked = [*reversed(labels), no_number(labels_of(case.volume))]
        got = [(label, mask.copy()) for label, mask in crackle.each(case.stream, crop=False, labels=asked)]
        assert [label for label, _ in got] == labels
        for label, mask in got:
            same(mask, case.volume == label)
        assert list(crackle.each(case.stream, labels=[])) == []

    @every_case
    def test_each_of_many(self, case: Case) -> None:
        """each(multi=True) gives images that several labels share, and the number of each label."""
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
        """The graph is cc3d's: a bit for each neighbour of the same label or outside."""
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
        """contacts() gives the area between each two labels, scaled by the anisotropy."""
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
        """Components are cc3d's, and the mapping gives each component's label."""
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
        """With binary_image, the components are those of the foreground."""
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
        """component_map() chooses the label with the largest overlap, and of equals the lowest."""
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
        """edge_labels() gives the labels on the six faces of the volume."""
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
        """A point is enclosed if the voxel that it lies in has the label."""
        points = self.points(case.volume)
        for label in labels_of(case.volume)[:3]:
            expected = self.enclosed(case.volume, label, points)
            same(crackle.select_enclosed_points(case.stream, label, points), expected)

    @every_case
    def test_distance_from_whole_points(self, case: Case) -> None:
        """Distances are SciPy's distance transforms of the mask and of its complement."""
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
        """From any point, the distance is that to the nearest voxel on the other side of the boundary."""
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
        """No label encloses a point with NaN, and an absent label encloses no point."""
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
        """An empty list of points has an empty answer."""
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
        """Points of another shape or type raise."""
        with pytest.raises(error):
            getattr(crackle, name)(crackle.compress(volumes.rings()), 1, points)


class TestQuestionErrors:
    @pytest.mark.parametrize("question", LABEL_QUESTIONS)
    @some_cases
    def test_no_such_label(self, case: Case, question: str) -> None:
        """An absent label raises an error that is both ValueError, as crackle-codec's, and KeyError."""
        for label in (no_label(case.volume), 2**64, -(2**64)):
            for error in (ValueError, KeyError, crackle.MissingLabelError):
                with pytest.raises(error, match=str(label)):
                    getattr(crackle, question)(case.stream, label)

    @pytest.mark.parametrize("name", LABEL_QUESTIONS)
    @pytest.mark.parametrize("label", [1.5, "1"], ids=repr)
    def test_no_label(self, name: str, label: Any) -> None:
        """A label that is not an integer raises."""
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
        """A wrong connectivity or anisotropy raises ValueError."""
        with pytest.raises(ValueError, match=r"connectivity|anisotropy"):
            getattr(crackle, name)(crackle.compress(volumes.rings()), *arguments)

    @pytest.mark.parametrize("name", ["signed_distance_to_boundary"])
    def test_anisotropy(self, name: str) -> None:
        """An anisotropy without three numbers raises ValueError."""
        pytest.importorskip("scipy")
        with pytest.raises(ValueError, match="anisotropy"):
            getattr(crackle, name)(crackle.compress(volumes.rings()), 1, np.zeros((1, 3)), (1, 1))

    @pytest.mark.parametrize(("first", "last"), [(2, 99), (5, 2)])
    @pytest.mark.parametrize("label", [None, 1])
    def test_slices_outside(self, first: int, last: int, label: int | None) -> None:
        """A range outside of the volume raises ValueError."""
        with pytest.raises(ValueError, match="slice"):
            crackle.point_cloud(crackle.compress(volumes.spiral()), label, z_start=first, z_end=last)
