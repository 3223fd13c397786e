"""Precomputed volumes written from Zarr arrays and pyramids, and copied to Zarr stream by stream."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from faults import KINDS, READING, Faults, Faulty
from hypothesis import given, settings
from hypothesis import strategies as st
from precomputed_cases import SPACE, blobs, by_tensorstore, of_crackle, pyramid, read_by_tensorstore
from zarr.storage import MemoryStore

import crackle_zarr
from crackle_zarr import open_precomputed, write_precomputed
from crackle_zarr.errors import FormatError, StoreError, VerificationError

MARKER = ".crackle-convert"


@settings(max_examples=30)
@given(st.data())
def test_arrays(data: Any) -> None:
    """Arrays of every type and layout are written, and tensorstore reads the same labels."""
    shape = data.draw(st.tuples(*[st.integers(1, 40)] * 3))
    dtype = data.draw(st.sampled_from(["bool", "u1", "u2", "u4", "u8", "i1", "i4", "i8", ">u4"]))
    encoding = data.draw(st.sampled_from(["raw", "compressed_segmentation", "crackle"]))
    chunks = data.draw(st.none() | st.tuples(*[st.integers(7, 40)] * 3))
    voxels = blobs(data.draw(st.integers(0, 99)), shape, dtype)
    stored = data.draw(st.sampled_from(["crackle", "zstd"]))
    make = crackle_zarr.create_array if stored == "crackle" else zarr.create_array
    src = make(
        {},
        shape=shape,
        dtype=np.dtype(dtype),
        chunks=data.draw(st.tuples(*[st.integers(7, 40)] * 3)),
        zarr_format=2 if dtype == ">u4" else 3,
        attributes=SPACE,
    )
    src[...] = voxels
    with tempfile.TemporaryDirectory() as folder:
        report = write_precomputed(src, folder, encoding=encoding, chunks=chunks)
        array = open_precomputed(folder)
        np.testing.assert_array_equal(array[...], voxels)
        assert array.dtype.kind == "u"
        assert array.dtype.itemsize == max(voxels.itemsize, 4 if encoding == "compressed_segmentation" else 1)
        assert {key: array.attrs[key] for key in SPACE} == SPACE
        assert report.arrays == 1
        if chunks is not None:
            assert array.chunks == chunks
        if encoding != "crackle":
            np.testing.assert_array_equal(read_by_tensorstore(Path(folder)).T, voxels)
        assert not (Path(folder) / MARKER).exists()


def test_streams_are_copied(tmp_path: Path) -> None:
    """Streams are copied as they are, there and back; only those that an edge cuts are encoded again."""
    voxels = blobs(1, (50, 70, 90), "u8")
    src = crackle_zarr.create_array(
        tmp_path / "seg.zarr", data=voxels, chunks=(16, 32, 32), markov_model_order=5
    )
    write_precomputed(src, tmp_path / "v", encoding="crackle")
    folder = tmp_path / "v" / "1_1_1"
    copied = 0
    for place in np.ndindex(4, 3, 3):
        z, y, x = place
        name = "_".join(
            f"{i * n}-{min(end, (i + 1) * n)}" for i, n, end in [(x, 32, 90), (y, 32, 70), (z, 16, 50)]
        )
        there = (folder / name).read_bytes()
        whole = (tmp_path / "seg.zarr" / "c" / f"{z}" / f"{y}" / f"{x}").read_bytes()
        is_inside = x < 2 and y < 2 and z < 3
        assert (there == whole) == is_inside
        copied += is_inside
    assert copied == 12
    crackle_zarr.convert(f"precomputed://{tmp_path / 'v'}", tmp_path / "back.zarr")
    back = zarr.open_array(tmp_path / "back.zarr")
    np.testing.assert_array_equal(back[...], voxels)
    for z, y, x in np.ndindex(3, 2, 2):
        key = f"c/{z}/{y}/{x}"
        assert (tmp_path / "back.zarr" / key).read_bytes() == (tmp_path / "seg.zarr" / key).read_bytes()


def test_unsorted_tables_are_copied(tmp_path: Path) -> None:
    """A stream of crackle-codec with a remapped, unsorted table arrives byte for byte."""
    crackle = pytest.importorskip("crackle")
    volume = blobs(2, (64, 64, 64))

    def encode(part: Any) -> bytes:
        stream = crackle.compress(part)
        return bytes(crackle.remap(stream, {3: 77777, 8: 5}, preserve_missing_labels=True))

    streams = of_crackle(tmp_path / "v", volume, (32, 32, 32), (5, 6, 7), encode)
    crackle_zarr.convert(f"precomputed://{tmp_path / 'v'}", tmp_path / "seg.zarr")
    stored = sorted(file.read_bytes() for file in (tmp_path / "seg.zarr" / "c").rglob("*") if file.is_file())
    assert stored == sorted(streams.values())


def test_options_of_crackle_encode_again(tmp_path: Path) -> None:
    """With a preset, or with other chunks, streams are encoded."""
    volume = blobs(3, (64, 64, 64))
    streams = of_crackle(tmp_path / "v", volume, (32, 32, 32))
    for name, options in [("a", {"markov_model_order": 7}), ("b", {"chunks": (64, 32, 32)})]:
        crackle_zarr.convert(f"precomputed://{tmp_path / 'v'}", tmp_path / name, **options)
        array = zarr.open_array(tmp_path / name)
        np.testing.assert_array_equal(array[...], volume.T)
        assert not {f.read_bytes() for f in (tmp_path / name / "c").rglob("*") if f.is_file()} & set(
            streams.values()
        )
    write_precomputed(zarr.open_array(tmp_path / "a"), tmp_path / "c", encoding="crackle", preset="fast")
    np.testing.assert_array_equal(open_precomputed(tmp_path / "c")[...], volume.T)
    assert {
        crackle_zarr.header(f.read_bytes()).markov_model_order for f in (tmp_path / "c").glob("4_4_40/*")
    } == {0}


def test_a_sharded_destination_of_streams(tmp_path: Path) -> None:
    """Streams go into shards of Zarr, too."""
    volume = blobs(4, (64, 64, 64))
    of_crackle(tmp_path / "v", volume, (16, 16, 16))
    crackle_zarr.convert(
        f"precomputed://{tmp_path / 'v'}", tmp_path / "seg.zarr", chunks=(16, 16, 16), shards=(32, 32, 32)
    )
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "seg.zarr")[...], volume.T)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "crackle"])
def test_pyramids(tmp_path: Path, version: str, encoding: str) -> None:
    """All levels become scales, with their resolutions; the corner of the volume stays where it is."""
    group, voxels = pyramid(tmp_path / "ome", version=version, origin=(80, 64, -32))
    report = write_precomputed(group, tmp_path / "v", encoding=encoding)
    assert report.arrays == 3
    info = json.loads((tmp_path / "v" / "info").read_text())
    assert [scale["key"] for scale in info["scales"]] == ["4_4_40", "8_8_40", "16_16_40"]
    assert [scale["voxel_offset"] for scale in info["scales"]] == [[-8, 16, 2], [-4, 8, 2], [-2, 4, 2]]
    for level, expected in enumerate(voxels):
        np.testing.assert_array_equal(open_precomputed(tmp_path / "v", scale=level)[...], expected)
        if encoding != "crackle":
            np.testing.assert_array_equal(read_by_tensorstore(tmp_path / "v", level).T, expected)


@pytest.mark.parametrize(
    ("shape", "names", "order"),
    [
        ((30, 20, 10), ("x", "y", "z"), (2, 1, 0)),
        ((30, 20), None, None),
        ((30,), None, None),
        ((1, 1, 10, 20, 30), ("t", "c", "z", "y", "x"), None),
        ((1, 10, 20, 30), None, None),
    ],
)
@pytest.mark.parametrize("encoding", ["raw", "crackle"])
def test_axes(
    tmp_path: Path, shape: tuple[int, ...], names: Any, order: tuple[int, ...] | None, encoding: str
) -> None:
    """Axes are found by their names; missing ones have the length 1, and further ones of length 1 go."""
    voxels = blobs(6, shape)
    src = crackle_zarr.create_array({}, data=voxels, dimension_names=names or "auto")
    write_precomputed(src, tmp_path / "v", encoding=encoding)
    expected = voxels.transpose(order) if order else voxels.reshape((1,) * (3 - len(shape)) + shape)
    if expected.ndim > 3:
        expected = expected.reshape(shape[-3:])
    np.testing.assert_array_equal(open_precomputed(tmp_path / "v")[...], expected)


@pytest.mark.parametrize(
    ("attributes", "offset", "resolution"),
    [
        ({}, [0, 0, 0], [1, 1, 1]),
        ({"voxel_size": [0.04, 0.0045, 0.0045], "voxel_unit": "micrometer"}, [0, 0, 0], [4.5, 4.5, 40]),
        ({**SPACE, "voxel_origin": [81, 9, 0]}, [0, 2, 2], [4, 4, 40]),
    ],
)
def test_positions(
    tmp_path: Path, attributes: dict[str, Any], offset: list[int], resolution: list[float]
) -> None:
    """Resolutions are in nanometers, and offsets are whole voxels."""
    src = crackle_zarr.create_array({}, data=blobs(7, (10, 11, 12)), attributes=attributes)
    write_precomputed(src, tmp_path / "v", encoding="raw")
    (scale,) = json.loads((tmp_path / "v" / "info").read_text())["scales"]
    assert scale["voxel_offset"] == offset
    assert scale["resolution"] == resolution


# ---------------------------------------------------------------------------------------
# Interrupted, refused, verified


class StoppedError(Exception):
    """Ends a conversion."""


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "crackle"])
def test_an_interrupted_conversion_continues(tmp_path: Path, encoding: str) -> None:
    """The same call continues, and keeps what is there; a damaged chunk is written again."""
    voxels = blobs(8, (64, 64, 64), labels=10**6) + np.uint32(1)
    src = crackle_zarr.create_array(tmp_path / "seg.zarr", data=voxels, chunks=(16, 16, 16))

    def stop(done: int, total: int) -> None:
        if done == total // 2:
            raise StoppedError

    options: dict[str, Any] = {"encoding": encoding, "chunks": (16, 16, 16), "parallel": 1}
    with pytest.raises(StoppedError):
        write_precomputed(src, tmp_path / "v", progress=stop, **options)
    assert (tmp_path / "v" / MARKER).exists()
    there = sorted((tmp_path / "v" / "1_1_1").iterdir())
    assert 0 < len(there) < 64
    there[0].write_bytes(there[0].read_bytes()[:-1])
    times = {file: file.stat().st_mtime_ns for file in there[1:]}
    with pytest.raises(FileExistsError, match="is an unfinished conversion with other options"):
        write_precomputed(src, tmp_path / "v", encoding="raw", chunks=(8, 8, 8))
    write_precomputed(src, tmp_path / "v", **options)
    np.testing.assert_array_equal(open_precomputed(tmp_path / "v")[...], voxels)
    assert not (tmp_path / "v" / MARKER).exists()
    if encoding != "crackle":
        return
    # Copied streams that are there already are not written again.
    assert {file: file.stat().st_mtime_ns for file in there[1:]} == times


def test_existing_contents(tmp_path: Path) -> None:
    """A volume is replaced only on request, and a folder of other files never."""
    src = crackle_zarr.create_array({}, data=blobs(9, (40, 40, 40)))
    write_precomputed(src, tmp_path / "v", encoding="raw", chunks=(8, 8, 8))
    with pytest.raises(FileExistsError, match="exists already"):
        write_precomputed(src, tmp_path / "v", encoding="raw")
    write_precomputed(src, tmp_path / "v", encoding="raw", overwrite=True)
    assert len(list((tmp_path / "v" / "1_1_1").iterdir())) == 1
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="objects that are not of a conversion"):
            write_precomputed(src, tmp_path / "w", encoding="raw", overwrite=overwrite)
    assert (tmp_path / "w" / "letter.txt").read_text() == "dear"


def test_source_and_destination_in_each_other(tmp_path: Path) -> None:
    """Neither may lie in the other."""
    src = crackle_zarr.create_array(tmp_path / "seg.zarr", data=blobs(10, (20, 20, 20)))
    of_crackle(tmp_path / "v", blobs(10, (20, 20, 20)))
    for place in (tmp_path / "seg.zarr", tmp_path / "seg.zarr" / "v", tmp_path):
        with pytest.raises(ValueError, match="give another destination"):
            write_precomputed(src, place, overwrite=True)
    with pytest.raises(ValueError, match="give another destination"):
        crackle_zarr.convert(open_precomputed(tmp_path / "v"), tmp_path / "v" / "seg.zarr")


def test_refused_arguments(tmp_path: Path) -> None:
    """What cannot be written is refused before anything is."""
    voxels = blobs(11, (2, 20, 20, 20))
    flat = crackle_zarr.create_array({}, data=voxels[0])
    place = tmp_path / "v"
    with pytest.raises(ValueError, match="2 x 20 x 20 x 20: a precomputed segmentation has three axes"):
        write_precomputed(crackle_zarr.create_array({}, data=voxels), place)
    with pytest.raises(ValueError, match="encoding is 'raw'"):
        write_precomputed(flat, place, encoding="jpeg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="three positive numbers"):
        write_precomputed(flat, place, chunks=(0, 1, 1))
    with pytest.raises(ValueError, match="options of Crackle"):
        write_precomputed(flat, place, encoding="raw", preset="small")
    with pytest.raises(TypeError, match="integers or bool"):
        write_precomputed(zarr.create_array({}, shape=(4, 4, 4), dtype="f4"), place)
    with pytest.raises(ValueError, match="write_precomputed"):
        crackle_zarr.convert(flat, f"precomputed://{place}")
    assert not place.exists()


def test_negative_labels(tmp_path: Path) -> None:
    """The format has no negative labels."""
    voxels = blobs(12, (20, 20, 20), "i8")
    voxels[3, 3, 3] = -1
    with pytest.raises(ValueError, match="label -1, and labels of a precomputed volume are not negative"):
        write_precomputed(crackle_zarr.create_array({}, data=voxels), tmp_path / "v", encoding="raw")


def test_without_tensorstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only compressed_segmentation needs tensorstore, and the error has the command that installs it."""
    by_tensorstore(tmp_path / "cseg", blobs(13, (20, 20, 20)), "compressed_segmentation")
    by_tensorstore(tmp_path / "raw", blobs(13, (20, 20, 20)))
    monkeypatch.setitem(__import__("sys").modules, "tensorstore", None)
    src = crackle_zarr.create_array({}, data=blobs(13, (20, 20, 20)))
    for act in (
        lambda: open_precomputed(tmp_path / "cseg"),
        lambda: write_precomputed(src, tmp_path / "new"),
    ):
        with pytest.raises(ImportError, match=r"pip install 'crackle-zarr\[precomputed\]'"):
            act()
    np.testing.assert_array_equal(open_precomputed(tmp_path / "raw")[...], src[...].T)
    write_precomputed(src, tmp_path / "new", encoding="crackle")


class Forgetful(MemoryStore):
    """A store that keeps wrong bytes of chunks."""

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        if key.endswith("16_0-16_0-16"):
            raw = bytearray(value.to_bytes())
            raw[-1] ^= 1
            value = type(value).from_bytes(bytes(raw))
        await super().set(key, value)


@pytest.mark.parametrize("encoding", ["raw", "crackle"])
def test_wrong_bytes_are_noticed(encoding: str) -> None:
    """Every chunk is read back; without verification nobody notices."""
    voxels = blobs(14, (32, 32, 32)) + np.uint32(1)
    src = crackle_zarr.create_array({}, data=voxels, chunks=(16, 16, 16))
    with pytest.raises((VerificationError, ValueError), match=r"differ|damaged|checksum"):
        write_precomputed(src, Forgetful(), encoding=encoding, chunks=(16, 16, 16))
    write_precomputed(src, Forgetful(), encoding=encoding, chunks=(16, 16, 16), verify=False)


EXPECTED = (StoreError, VerificationError, FormatError, FileExistsError, FileNotFoundError)


@pytest.mark.parametrize("encoding", ["raw", "crackle"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_failing_destination(kind: str, encoding: str) -> None:
    """Whichever call fails: the conversion fails too, or the labels are right; and it can be repeated."""
    voxels = blobs(15, (20, 20, 20)) + np.uint32(1)
    src = crackle_zarr.create_array({}, data=voxels, chunks=(16, 16, 16))
    failed = 0
    for at in range(0, 60, 3):
        memory, faults = MemoryStore(), Faults()
        faults.start(kind, at)
        options: dict[str, Any] = {"encoding": encoding, "chunks": (16, 16, 16), "parallel": 1}
        try:
            write_precomputed(src, Faulty(memory, faults), **options)
        except EXPECTED:
            failed += 1
            faults.stop()
            try:
                write_precomputed(src, memory, **options)
            except (FileExistsError, FormatError):  # only the marker was lost, or torn
                write_precomputed(src, memory, overwrite=True, **options)
        np.testing.assert_array_equal(open_precomputed(memory)[...], voxels)
    assert failed or kind in ("slow", "cut listing")


@pytest.mark.parametrize("encoding", ["raw", "crackle"])
@pytest.mark.parametrize("kind", [*READING, "missing"])
def test_a_failing_source(kind: str, encoding: str) -> None:
    """Whichever call fails, no wrong labels are copied."""
    voxels = blobs(16, (20, 20, 20)) + np.uint32(1)
    memory = MemoryStore()
    write_precomputed(
        crackle_zarr.create_array({}, data=voxels, chunks=(16, 16, 16)),
        memory,
        encoding=encoding,
        chunks=(16, 16, 16),
    )
    for at in range(24):
        faults = Faults()
        faults.start(kind, at)
        made: dict[str, Any] = {}
        with contextlib.suppress(*EXPECTED):
            crackle_zarr.convert(open_precomputed(Faulty(memory, faults)), made, parallel=1)
            np.testing.assert_array_equal(zarr.open_array(made)[...], voxels)
