"""Questions about one stream that decode nothing; equality; the package's import."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stream_cases import brick, case, empty, flipped, offsets, small_slabs  # noqa: F401

import crackle_zarr
from crackle_zarr import FormatError


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
        """Every label is found, and no number beside it that is not a label."""
        volume, binary = case
        expected = set(np.unique(volume).tolist())
        for label in list(expected)[:20]:
            for candidate in (label - 1, label, label + 1):
                found = crackle_zarr.contains(binary, candidate)
                assert type(found) is bool
                assert found == (candidate in expected)

    @pytest.mark.parametrize("label", [-1, 256, 2**32, -(2**63), 2**64, 2**64 + 3, -(2**70)])
    def test_contains_outside_the_dtype(self, label: int) -> None:
        """A label that the dtype cannot hold is absent; nothing wraps around."""
        for dtype in ("u1", "i1", "u8"):
            volume = (
                np.arange(256, dtype="u1").view(dtype) if dtype != "u8" else np.array([3, 2**64 - 1], "u8")
            )
            binary = crackle_zarr.compress(volume)
            assert crackle_zarr.contains(binary, label) == (label in volume.tolist())

    @pytest.mark.parametrize("label", [np.uint8(3), np.int64(3), True, np.True_], ids=repr)
    def test_contains_takes_integers_of_numpy(self, label: Any) -> None:
        """NumPy's integers and bool count as integers."""
        assert crackle_zarr.contains(crackle_zarr.compress(brick()), label)

    @pytest.mark.parametrize("label", [1.0, np.float32(1), "1", None, b"\1", [1]], ids=repr)
    def test_contains_takes_nothing_else(self, label: Any) -> None:
        """Another type raises TypeError that names it."""
        with pytest.raises(TypeError, match=f"label is an integer.*{type(label).__name__}"):
            crackle_zarr.contains(crackle_zarr.compress(brick()), label)

    def test_contains_range(self, case: tuple[np.ndarray, bytes]) -> None:
        """Labels in [low, high) come in ascending order, for any bounds."""
        volume, binary = case
        every = np.unique(volume).tolist()
        bounds = [-(2**70), -1, 0, every[0], every[len(every) // 2], every[-1], every[-1] + 1, 2**64, 2**70]
        for low in bounds:
            for high in bounds:
                found = crackle_zarr.contains_range(binary, low, high)
                assert found.dtype == volume.dtype
                assert found.tolist() == [label for label in every if low <= label < high]

    def test_contains_range_takes_integers(self) -> None:
        """TypeError names the wrong bound."""
        with pytest.raises(TypeError, match="high is an integer"):
            crackle_zarr.contains_range(crackle_zarr.compress(brick()), 0, 5.0)  # type: ignore[arg-type]

    def test_volumes_without_voxels(self) -> None:
        """Volumes without voxels have no labels, so no smallest and no largest."""
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


class TestArrayEqual:
    @pytest.mark.usefixtures("small_slabs")
    def test_equal_in_any_encoding(self, case: tuple[np.ndarray, bytes]) -> None:
        """Equal labels are equal in any encoding and memory order; one changed voxel makes them unequal."""
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
        """Equality compares integers, not bits and not floats; the shapes must be equal."""
        streams = crackle_zarr.compress(a), crackle_zarr.compress(b)
        assert crackle_zarr.array_equal(*streams) is expected
        assert crackle_zarr.array_equal(*streams[::-1]) is expected

    def test_damage_is_not_a_difference(self) -> None:
        """A damaged stream raises; it does not count as unequal."""
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
    """__all__ lists exactly the public names, including the codecs that are imported late."""
    for name in crackle_zarr.__all__:
        assert getattr(crackle_zarr, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = crackle_zarr.no_such_name
