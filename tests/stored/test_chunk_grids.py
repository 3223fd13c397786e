"""Arrays with chunks of different shapes: all that is asked of them beside what random arrays show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from chunks import blocks

import crackle_zarr as cz
from crackle_zarr import cli
from crackle_zarr.stored.cuts import Even, Uneven

LABELS = blocks((6, 8, 8), "<u4")

needs_grids = pytest.mark.skipif(
    zarr.config.get("array.rectilinear_chunks", None) is None,
    reason=f"Zarr {zarr.__version__} has no rectilinear chunk grids",
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The place of an array with such chunks."""
    with zarr.config.set({"array.rectilinear_chunks": True}):
        array = zarr.create_array(
            tmp_path / "a.zarr",
            shape=LABELS.shape,
            dtype=LABELS.dtype,
            chunks=[[2, 4], [8], [3, 5]],
            serializer=cz.CrackleCodec(),
            compressors=None,
            dimension_names=("z", "y", "x"),
            attributes={"voxel_size": [2.0, 1.0, 1.0]},
        )
        array[...] = LABELS
        yield tmp_path / "a.zarr"


@needs_grids
def test_the_codec_takes_them(place: Path) -> None:
    """Such chunks are read and written whole and in parts."""
    array = zarr.open_array(place, mode="r")
    np.testing.assert_array_equal(array[...], LABELS)
    np.testing.assert_array_equal(array[3, :, 4], LABELS[3, :, 4])
    np.testing.assert_array_equal(array[1:5:2, 2:7], LABELS[1:5:2, 2:7])


@needs_grids
def test_find_names_the_chunks(place: Path) -> None:
    """A label is found in the chunks that hold it, which are counted along uneven edges."""
    array = zarr.open_array(place, mode="r+")
    for label in np.unique(LABELS).tolist():
        places = np.argwhere(label == LABELS)
        chunks = {(int(z >= 2), 0, int(x >= 3)) for z, _, x in places.tolist()}
        assert cz.find(array, label).chunks == sorted(chunks)


@needs_grids
def test_processes(place: Path) -> None:
    """Tasks in other processes see the same grid."""
    array = zarr.open_array(place, mode="r+")
    with ProcessPoolExecutor(2) as executor:
        np.testing.assert_array_equal(cz.labels(array, executor=executor), np.unique(LABELS))
        cz.remap(array, {1: 100}, executor=executor)
    np.testing.assert_array_equal(array[...], np.where(LABELS == 1, 100, LABELS))


@needs_grids
def test_an_index_of_it(place: Path) -> None:
    """The label index answers, and sees a plain write."""
    array = zarr.open_array(place, mode="r+")
    cz.create_index(array)
    np.testing.assert_array_equal(cz.labels(array, index="require"), np.unique(LABELS))
    assert cz.find(array, 2, index="require").chunks == cz.find(array, 2, index="ignore").chunks
    assert cz.check_index(array) == []
    array[0, 0, 7] = 5
    assert cz.check_index(array) == [((0, 0, 1), "changed")]


@needs_grids
@pytest.mark.parametrize("to", ["crackle", "zstd"])
def test_convert_gives_chunks_of_one_shape(to: str, place: Path, tmp_path: Path) -> None:
    """A conversion keeps the voxels; the new chunks are as long as the longest along each axis."""
    source = zarr.open_array(place, mode="r")
    cz.convert(source, tmp_path / "b.zarr", to=to)
    made = zarr.open_array(tmp_path / "b.zarr", mode="r")
    np.testing.assert_array_equal(made[...], LABELS)
    assert made.chunks == (4, 8, 5)


@needs_grids
def test_a_conversion_says_which_object_is_damaged(place: Path, tmp_path: Path) -> None:
    """The name of a damaged chunk is right in an uneven grid."""
    (place / "c" / "1" / "0" / "1").write_bytes(b"crkl nonsense")
    source = zarr.open_array(place, mode="r")
    with pytest.raises(cz.FormatError, match=r"c/1/0/1"):
        cz.convert(source, tmp_path / "b.zarr")
    assert [one.chunk for one in cz.verify(source)] == [(1, 0, 1)]
    with pytest.raises(cz.FormatError, match=r"c/1/0/1"):
        cz.statistics(source)


@needs_grids
def test_skeletons_overlaps_and_pyramids(place: Path, tmp_path: Path) -> None:
    """What reads parts of arrays by their voxels gives what the whole in memory gives."""
    array = zarr.open_array(place, mode="r")
    again = cz.create_array(tmp_path / "b.zarr", data=LABELS, chunks=(3, 3, 3))
    for pair in ((array, again), (again, array), (array, array)):
        assert np.array_equal(cz.overlaps(*pair), cz.overlaps(again, again))
    assert np.array_equal(cz.contacts(array), cz.contacts(again, (2, 1, 1)))
    whole = cz.skeletonize(LABELS.T, anisotropy=(1, 1, 2), dust_threshold=0)
    tiled = cz.skeletonize(array, dust_threshold=0)
    assert set(whole) == set(tiled)
    image = cz.write_ome_labels(
        tmp_path / "c.zarr", "cells", array, axes="zyx", voxel_size=(2, 1, 1), levels=2
    )
    np.testing.assert_array_equal(image.levels[0][...], LABELS)
    plain = cz.write_ome_labels(
        tmp_path / "d.zarr", "cells", LABELS, axes="zyx", voxel_size=(2, 1, 1), levels=2
    )
    np.testing.assert_array_equal(image.levels[1][...], plain.levels[1][...])


@needs_grids
def test_the_view_of_a_remapped_one_has_no_single_shape(place: Path) -> None:
    """A remapped view reads like the array, and its ``chunks`` raise what Zarr's raise."""
    view = cz.lazy_remap(zarr.open_array(place, mode="r"), {2: 9})
    np.testing.assert_array_equal(np.asarray(view), np.where(LABELS == 2, 9, LABELS))
    with pytest.raises(NotImplementedError):
        _ = view.chunks


@needs_grids
def test_info_shows_the_lengths(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``info`` gives the lengths of the chunks along each axis, and how many chunks there are."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["info", str(place)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "2+4 x 8 x 3+5" in out
    assert "4 chunks" in out


def oracle(lengths: list[int], length: int) -> list[tuple[int, int]]:
    """Where pieces begin and end, as one would count them by hand."""
    pieces, start = [], 0
    for one in lengths:
        if start >= length:
            break
        pieces.append((start, start + one))
        start += one
    return pieces


@pytest.mark.parametrize("seed", range(20))
def test_cuts(seed: int) -> None:
    """Pieces of one length and of many are found by the same questions; trailing pieces do not count."""
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 30))
    step = int(rng.integers(1, 9))
    uneven = [int(one) for one in rng.integers(1, 9, 30)]
    for cut, lengths in ((Even(length, step), [step] * 30), (Uneven(length, tuple(uneven)), uneven)):
        pieces = oracle(lengths, length)
        assert [cut.bounds(index) for index in range(len(cut))] == pieces
        assert cut.longest == max(stop - start for start, stop in pieces)
        for place in range(length):
            (number,) = (n for n, (start, stop) in enumerate(pieces) if start <= place < stop)
            assert cut.index(place) == number
            assert cut.is_cut(place) == any(start == place for start, _ in pieces)
            for stop in range(place, length + 1):
                touched = [n for n, (a, b) in enumerate(pieces) if a < stop and place < b]
                assert list(cut.within(place, stop)) == (touched if place < stop else [])
        for block in range(1, 9):
            assert cut.keeps(block) == all(start % block == 0 for start, _ in pieces)


def test_pieces_that_do_not_cover_the_axis() -> None:
    """Lengths that end before the axis are refused."""
    with pytest.raises(ValueError, match="do not cover an axis of 9"):
        Uneven(9, (2, 3))
