"""Connected components of stored arrays: the same as of the whole in memory."""

from __future__ import annotations

import itertools
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from stored_arrays import KINDS, make

import crackle_zarr as cz
from crackle_zarr.errors import StoreError
from crackle_zarr.stored.components import connected, editing, parts, pieces, sets

ndimage = pytest.importorskip("scipy.ndimage")

pytestmark = pytest.mark.filterwarnings("ignore::crackle_zarr.CrackleWarning")


def oracle(
    voxels: np.ndarray, axes: tuple[int, ...], connectivity: int, background: int | None = 0
) -> np.ndarray:
    """Components of each label in each image, numbered by their first voxels."""
    others = [axis for axis in range(voxels.ndim) if axis not in axes]
    structure = ndimage.generate_binary_structure(len(axes), 1 if connectivity in (4, 6) else len(axes))
    found = np.zeros(voxels.shape, dtype=np.int64)
    for index in itertools.product(*(range(voxels.shape[axis]) for axis in others)):
        where: list[Any] = [slice(None)] * voxels.ndim
        for axis, one in zip(others, index, strict=True):
            where[axis] = one
        image = voxels[tuple(where)]
        part = np.zeros(image.shape, dtype=np.int64)
        for label in np.unique(image):
            if background is not None and label == background:
                continue
            components, _ = ndimage.label(image == label, structure)
            part = np.where(components > 0, components + part.max(), part)
        part[part > 0] += found.max()
        found[tuple(where)] = part
    numbers, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.zeros(len(numbers), dtype=np.int64)
    kept = numbers > 0
    rank[np.flatnonzero(kept)[np.argsort(first[kept])]] = np.arange(1, kept.sum() + 1)
    return rank[inverse.reshape(voxels.shape)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_whole(kind: str, seed: int) -> None:
    """Components, their numbers and their table are those of the whole array in memory."""
    rng = np.random.default_rng([seed, 5, *map(ord, kind)])
    array, voxels = make(kind, rng)
    voxels = voxels.astype(np.uint8) if voxels.dtype == bool else voxels
    axes = tuple(range(max(0, voxels.ndim - 3), voxels.ndim))
    if voxels.ndim > 2 and rng.random() < 0.3:
        axes = tuple(sorted(int(axis) for axis in rng.choice(voxels.ndim, 2, replace=False)))
    connectivity = int(rng.choice([6, 26]))
    background = None if rng.random() < 0.3 else int(rng.choice([0, int(rng.choice(np.unique(voxels)))]))
    report = cz.connected_components(
        array,
        connectivity,
        out={},
        axes=axes,
        background=background,
        parallel=int(rng.choice([1, 3])),
    )
    expected = oracle(voxels, axes, connectivity, background)
    assert np.array_equal(report.array[...], expected)
    assert report.count == expected.max() == len(report.table)
    assert report.array.dtype == np.min_scalar_type(max(1, expected.max()))
    assert cz.verify(report.array) == []
    table = report.table
    assert np.array_equal(table["component"], np.arange(1, report.count + 1))
    for row in table[:20]:
        at = np.argwhere(expected == row["component"])
        assert row["label"] == voxels[tuple(at[0])]
        assert row["voxel_count"] == len(at)
        assert np.array_equal(row["start"], at.min(axis=0))
        assert np.array_equal(row["stop"], at.max(axis=0) + 1)
        assert np.allclose(row["centroid"], at.mean(axis=0), rtol=1e-12)


# ---------------------------------------------------------------------------------------
# Dust, the largest, holes, parts


def dusted(voxels: np.ndarray, axes: tuple[int, ...], connectivity: int, threshold: int, invert: bool) -> Any:
    parts = oracle(voxels, axes, connectivity)
    sizes = np.bincount(parts.ravel())
    gone = (sizes >= threshold) if invert else (sizes < threshold)
    gone[0] = False
    return np.where(gone[parts], 0, voxels)


def largest(voxels: np.ndarray, axes: tuple[int, ...], connectivity: int, k: int) -> Any:
    parts = oracle(voxels, axes, connectivity)
    sizes = np.bincount(parts.ravel())[1:]
    kept = sorted(range(len(sizes)), key=lambda one: (-sizes[one], one))[:k]
    return np.where(np.isin(parts, np.array(kept, dtype=np.int64) + 1), voxels, 0)


def filled(voxels: np.ndarray, axes: tuple[int, ...], wanted: Any = None) -> Any:
    parts = oracle(np.where(voxels == 0, 1, 0), axes, 6)
    result = voxels.copy()
    for part in range(1, parts.max() + 1):
        mask = parts == part
        at = np.argwhere(mask)
        if any(
            voxels.shape[axis] > 1 and (at[:, axis].min() == 0 or at[:, axis].max() == voxels.shape[axis] - 1)
            for axis in axes
        ):
            continue
        around = set()
        for axis in axes:
            for step in (1, -1):
                near = at.copy()
                near[:, axis] += step
                near = near[(near[:, axis] >= 0) & (near[:, axis] < voxels.shape[axis])]
                around |= set(voxels[tuple(near.T)].tolist()) - {0}
        if len(around) == 1 and (wanted is None or around <= set(wanted)):
            result[mask] = around.pop()
    return result


def apart(voxels: np.ndarray, axes: tuple[int, ...], connectivity: int, label: int) -> Any:
    parts = oracle(np.where(voxels == label, 1, 0), axes, connectivity)
    sizes = np.bincount(parts.ravel())[1:]
    result, name = voxels.copy(), int(voxels.max())
    for part in range(1, parts.max() + 1):
        if part - 1 != int(np.argmax(sizes)):
            name += 1
            result[parts == part] = name
    return result


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_cleaned_in_place_or_into_another(kind: str, seed: int) -> None:
    """Dust, the largest, filled holes and split labels are those of the whole in memory."""
    rng = np.random.default_rng([seed, 11, *map(ord, kind)])
    array, voxels = make(kind, rng)
    voxels = voxels.astype(np.uint8) if voxels.dtype == bool else voxels
    axes = tuple(range(max(0, voxels.ndim - 3), voxels.ndim))
    connectivity = int(rng.choice([6, 26]))
    options: dict[str, Any] = {"axes": axes, "parallel": int(rng.choice([1, 3]))}
    threshold, k, invert = int(rng.integers(0, 60)), int(rng.integers(0, 4)), bool(rng.random() < 0.3)
    expected = {
        "dust": dusted(voxels, axes, connectivity, threshold, invert),
        "largest_k": largest(voxels, axes, connectivity, k),
        "fill_holes": filled(voxels, axes),
    }
    calls = {
        "dust": lambda **more: cz.dust(array, threshold, connectivity, invert, **options, **more),
        "largest_k": lambda **more: cz.largest_k(array, k, connectivity, **options, **more),
        "fill_holes": lambda **more: cz.fill_holes(array, **options, **more),
    }
    for name, call in calls.items():
        report = call(out={})
        assert np.array_equal(report.array[...], expected[name]), name
        assert report.array.dtype == array.dtype.newbyteorder("=") or array.metadata.zarr_format == 2
        assert cz.verify(report.array) == []
    name = ["fill_holes", "dust", "largest_k"][seed % 3]
    planned = calls[name](dry_run=True)
    assert np.array_equal(array[...], voxels)
    done = calls[name]()
    assert np.array_equal(array[...], expected[name]), name
    assert done.chunks == planned.chunks
    assert bool(done.chunks) == bool((expected[name] != voxels).any())
    assert cz.verify(array) == []


def solid(dtype: str = "u2") -> np.ndarray:
    """A box of 5 with a cavity, a smaller part of 5, and a box of 7 with two cavities, one of them open."""
    voxels = np.zeros((12, 20, 24), dtype=dtype)
    voxels[1:9, 1:9, 1:9] = 5
    voxels[3:6, 3:6, 3:6] = 0
    voxels[10, 17:19, 20:23] = 5
    voxels[1:11, 10:16, 10:22] = 7
    voxels[4, 12, 14] = 0
    voxels[6, 12, 16:22] = 0
    voxels[3:5, 18:20, 1:3] = 9
    return voxels


CHUNKS = [(4, 5, 6), (12, 20, 24), (5, 7, 9), (1, 20, 24)]


@pytest.mark.parametrize("chunks", CHUNKS)
def test_split(chunks: tuple[int, ...]) -> None:
    """Each part of a label but the largest gets a name behind the largest label, in its chunks alone."""
    voxels = solid()
    array = cz.create_array({}, data=voxels, chunks=chunks)
    report = cz.split(array, 5)
    expected = apart(voxels, (0, 1, 2), 26, 5)
    assert np.array_equal(array[...], expected)
    assert expected[10, 17, 20] == 10
    assert report.chunks == cz.find(array, 10).chunks
    with pytest.raises(ValueError, match="has no label 11"):
        cz.split(array, 11)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_holes(chunks: tuple[int, ...]) -> None:
    """Cavities that one label encloses are filled, also across chunks; open and other ones are not."""
    voxels = solid()
    array = cz.create_array({}, data=voxels, chunks=chunks)
    seven = cz.fill_holes(array, 7, out={}).array[...]
    assert seven[4, 12, 14] == 7
    assert seven[6, 12, 20] == 0
    assert seven[4, 4, 4] == 0
    cz.fill_holes(array)
    assert np.array_equal(array[...], filled(voxels, (0, 1, 2)))
    assert array[4, 4, 4] == 5


def test_renumber() -> None:
    """Labels become 1, 2, 3 ... in place, 0 stays, and the table tells which was which."""
    voxels = solid()
    array = cz.create_array({}, data=voxels, chunks=(5, 7, 9))
    report, table = cz.renumber(array)
    assert report.chunks
    assert table.tolist() == [(5, 1), (7, 2), (9, 3)]
    assert np.array_equal(array[...], np.select([voxels == 5, voxels == 7, voxels == 9], [1, 2, 3], 0))
    with pytest.raises(ValueError, match="uint16 holds labels from 0 to 65,535, not from 65,534 to 65,537"):
        cz.renumber(array, start=65534)


def test_renumber_a_mask() -> None:
    """A mask has the labels 0 and 1; a start beyond is refused with its limits, and nothing is changed."""
    mask = solid() > 0
    array = cz.create_array({}, data=mask, chunks=(5, 7, 9))
    with pytest.raises(ValueError, match="bool holds labels from 0 to 1, not from 4 to 5"):
        cz.renumber(array, start=4)
    assert not cz.renumber(array)[0].chunks
    assert np.array_equal(array[...], mask)


@pytest.mark.parametrize("order", ["C", "F"])
def test_in_memory(order: str) -> None:
    """Streams and arrays in memory give the same as stored arrays, as streams."""
    voxels = np.asarray(solid(), order=order)
    axes = (0, 1, 2)
    for source in (voxels, cz.compress(voxels)):
        made = {
            "dust": cz.decompress(cz.dust(source, 100)),
            "inverted": cz.decompress(cz.dust(source, 100, 6, True)),
            "largest": cz.decompress(cz.largest_k(source, 2)),
            "filled": cz.decompress(cz.fill_holes(source)),
            "seven": cz.decompress(cz.fill_holes(source, [7])),
        }
        assert np.array_equal(made["dust"], dusted(voxels, axes, 26, 100, False))
        assert np.array_equal(made["inverted"], dusted(voxels, axes, 6, 100, True))
        assert np.array_equal(made["largest"], largest(voxels, axes, 26, 2))
        assert np.array_equal(made["filled"], filled(voxels, axes))
        assert np.array_equal(made["seven"], filled(voxels, axes, [7]))
        assert all(one.dtype == voxels.dtype for one in made.values())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("connectivity", [6, 26])
def test_split_in_memory(order: str, connectivity: int, seed: int) -> None:
    """A stream and an array in memory are split as a stored array with the axes z, y, x is, for any label."""
    rng = np.random.default_rng(seed)
    dtype = ["u1", "i2", "u4", "i8"][seed % 4]
    lowest = -1 if dtype[0] == "i" else 0
    voxels = rng.integers(lowest, 4, rng.integers(1, 12, 3)).astype(dtype)
    if seed > 5:  # bigger parts
        voxels = np.kron(voxels, np.ones((2, 2, 2), dtype=dtype))
    voxels = np.asarray(voxels, order=order)
    stored = cz.create_array({}, data=np.ascontiguousarray(voxels.T), chunks=(3, 4, 5))
    label = int(rng.choice(np.unique(voxels)))
    expected = apart(voxels.T, (0, 1, 2), connectivity, label)
    cz.split(stored, label, connectivity)
    assert np.array_equal(stored[...], expected)
    for source in (voxels, cz.compress(voxels), cz.compress(voxels, allow_pins=1)):
        made = cz.split(source, label, connectivity)
        assert cz.codec.ok(made)
        assert np.array_equal(cz.decompress(made), expected.T)
        assert cz.decompress(made).dtype == voxels.dtype
        with pytest.raises(ValueError, match="the volume has no label 99"):
            cz.split(source, 99, connectivity)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 0)])
def test_split_of_nothing(shape: tuple[int, ...]) -> None:
    """A volume without voxels has no label."""
    with pytest.raises(ValueError, match="has no label 0"):
        cz.split(cz.compress(np.zeros(shape, dtype="u2")), 0)


def test_names_that_do_not_fit() -> None:
    """A split that needs more names than the dtype has is refused, and the array is unchanged."""
    voxels = np.zeros((4, 4, 8), dtype="u1")
    voxels[0, 0, ::2] = 255
    array = cz.create_array({}, data=voxels, chunks=(2, 2, 2))
    for source in (array, voxels):
        with pytest.raises(ValueError, match="has 4 parts, whose names would go up to 258"):
            cz.split(source, 255)
    assert np.array_equal(array[...], voxels)
    assert not [key for key in array.store._store_dict if ".crackle" in key]


# ---------------------------------------------------------------------------------------
# Executors, other writers, damage


def ball(tmp_path: Path) -> tuple[Any, np.ndarray]:
    """An array on the disk, in many chunks."""
    rng = np.random.default_rng(1)
    voxels = np.repeat(np.repeat(np.repeat(rng.integers(0, 3, (6, 8, 9)), 3, 0), 3, 1), 3, 2).astype("u4")
    voxels[5, 5, 5] = 9
    return cz.create_array(str(tmp_path / "a.zarr"), data=voxels, chunks=(5, 7, 9)), voxels


def test_processes(tmp_path: Path) -> None:
    """Other processes find, write and edit components."""
    array, voxels = ball(tmp_path)
    expected = oracle(voxels, (0, 1, 2), 6)
    with ProcessPoolExecutor(2) as executor:
        report = cz.connected_components(array, 6, out=str(tmp_path / "b.zarr"), executor=executor)
        assert np.array_equal(report.array[...], expected)
        cz.dust(array, 40, 6, executor=executor)
    assert np.array_equal(array[...], dusted(voxels, (0, 1, 2), 6, 40, False))
    with pytest.raises(ValueError, match="in the memory of this process"):
        cz.connected_components(array, out={}, executor=ProcessPoolExecutor(1))


def test_a_group_with_levels_is_refused(tmp_path: Path) -> None:
    """Of a pyramid, level 0 is edited by itself, and the error says how the others follow."""
    _, voxels = ball(tmp_path)
    cz.write_ome_labels(tmp_path / "c.zarr", "cells", voxels, levels=2)
    group = zarr.open_group(tmp_path / "c.zarr" / "labels" / "cells", mode="r+")
    with pytest.raises(ValueError, match="level 0, and build_pyramid"):
        cz.dust(group, 5)
    made = cz.connected_components(group, out=str(tmp_path / "d.zarr"))
    assert np.array_equal(made.array[...], oracle(voxels, (0, 1, 2), 26))


def test_who_writes_meanwhile_gets_no_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that changes after its components were found stops the edit before anything is replaced."""
    array, voxels = ball(tmp_path)
    found = editing.parts_of

    def write_then(*arguments: Any) -> Any:
        parts = found(*arguments)
        array[5, 5, 5] = 8
        return parts

    monkeypatch.setattr(editing, "parts_of", write_then)
    with pytest.raises(StoreError, match="was written to at"):
        cz.dust(array, 5)
    voxels[5, 5, 5] = 8
    assert np.array_equal(array[...], voxels)
    assert not (tmp_path / "a.zarr" / ".crackle-remap" / "plan").exists()


def test_a_call_that_goes_on_reads_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of an interrupted call are kept where the source is the same, and made again where it is not."""
    array, voxels = ball(tmp_path)
    out = str(tmp_path / "b.zarr")
    with monkeypatch.context() as patched:
        patched.setattr(connected, "write_parts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cz.connected_components(array, 6, out=out)
    assert cz.verify(zarr.open_array(out, mode="r"))[0].chunk == ()
    with pytest.raises(FileExistsError, match="other options"):
        cz.connected_components(array, 26, out=out)
    array[0:2, 0:2, 0:2] = 5
    voxels[0:2, 0:2, 0:2] = 5
    made: list[Any] = []
    make = pieces.MakePieces._made
    monkeypatch.setattr(
        pieces.MakePieces, "_made", lambda self, *more: made.append(more[0]) or make(self, *more)
    )
    report = cz.connected_components(array, 6, out=out, parallel=1)
    assert made == [(0, 0, 0)]
    assert np.array_equal(report.array[...], oracle(voxels, (0, 1, 2), 6))


def test_damage_is_named(tmp_path: Path) -> None:
    """A damaged chunk is named, and nothing is replaced."""
    array, _ = ball(tmp_path)
    path = tmp_path / "a.zarr" / "c" / "1" / "1" / "1"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(cz.FormatError, match=r"c/1/1/1"):
        cz.connected_components(array, out={})
    with pytest.raises(cz.FormatError, match=r"c/1/1/1"):
        cz.dust(array, 5)
    assert path.read_bytes() == raw
    assert not (tmp_path / "a.zarr" / ".crackle-remap" / "plan").exists()


def test_an_index_follows(tmp_path: Path) -> None:
    """The label index of an array is right after an edit of components."""
    pytest.importorskip("pyarrow")
    array, _ = ball(tmp_path)
    cz.create_index(array)
    cz.split(array, 1)
    assert np.array_equal(cz.labels(array, index="require"), np.unique(array[...]))
    assert cz.check_index(array) == []


@pytest.mark.parametrize("dtype", ["bool", "u1"])
def test_split_of_a_mask(dtype: str) -> None:
    """A bool array has no names for parts: it would hold labels that no reader accepts."""
    voxels = np.array([[[True], [False], [True]]]).astype(dtype)
    array = cz.create_array({}, data=voxels, chunks=(1, 2, 1))
    if dtype == "bool":
        with pytest.raises(ValueError, match="names would go up to 2, which bool does not hold"):
            cz.split(array, 1)
        assert np.array_equal(array[...], voxels)
        assert cz.split(array, 0).chunks == []
    else:
        cz.split(array, 1)
        assert np.array_equal(array[...].ravel(), [1, 0, 2])


def test_names_of_parts_are_positive() -> None:
    """Where all labels are negative, a part does not get 0, which is background to most programs."""
    voxels = np.array([[[-5, -1, -5]]], dtype="i4")
    array = cz.create_array({}, data=voxels, chunks=(1, 1, 2))
    cz.split(array, -5)
    assert np.array_equal(array[...].ravel(), [-5, -1, 1])
    assert np.array_equal(cz.decompress(cz.split(voxels, -5)).ravel(), [-5, -1, 1])


def test_arguments() -> None:
    """Wrong arguments are refused by name, before anything is read."""
    array = cz.create_array({}, data=solid(), chunks=(5, 7, 9))
    stream = cz.compress(solid())
    for call, words in (
        (lambda: cz.connected_components(array, 18, out={}), "connectivity is 6 or 26"),
        (lambda: cz.connected_components(array, out={}, axes=(0,)), "two or three axes"),
        (lambda: cz.connected_components(array, out={}, axes=("q", "x")), "no axis 'q'"),
        (lambda: cz.connected_components(array, out={}, dtype="u1", background=None), None),
        (lambda: cz.connected_components(array, out=array.store), "is the source"),
        (lambda: cz.dust(array, -1), "threshold is a number of voxels"),
        (lambda: cz.largest_k(array, -1), "k is a number of components"),
        (lambda: cz.renumber(array, start=70000), "not from 70,000 to 70,003"),
    ):
        if words is None:
            call()
            continue
        with pytest.raises(ValueError, match=words):
            call()
    for call, words in (
        (lambda: cz.connected_components(array), "needs out"),
        (lambda: cz.connected_components(stream, out={}), "for stored arrays"),
        (lambda: cz.connected_components(array, out={}, region=(0,)), "no region"),
        (lambda: cz.connected_components(array, out={}, return_mapping=True), "not for stored arrays"),
        (lambda: cz.dust(stream, 5, dry_run=True), "for stored arrays"),
        (lambda: cz.dust(array, 5, overwrite=True), "overwrite is for out"),
        (lambda: cz.dust(array, 5, out={}, dry_run=True), "edits in place"),
        (lambda: cz.dust(array, 0.5), "threshold"),
        (lambda: cz.dust(cz.lazy_remap(array, {5: 6}), 5), "read-only"),
        (lambda: cz.split(stream, 5, dry_run=True), "for stored arrays"),
        (lambda: cz.split(stream, 5.5), "label"),
    ):
        with pytest.raises(TypeError, match=words):
            call()
    view = cz.connected_components(cz.lazy_remap(array, {5: 7}), out={})
    assert np.array_equal(view.array[...], oracle(np.where(solid() == 5, 7, solid()), (0, 1, 2), 26))


def test_in_a_session_of_icechunk() -> None:
    """In a session components are found and edited without a journal, and seen after the commit."""
    icechunk = pytest.importorskip("icechunk")
    repo = icechunk.Repository.create(icechunk.in_memory_storage())
    session = repo.writable_session("main")
    cz.create_array(session.store, name="seg", data=solid(), chunks=(5, 7, 9))
    session.commit("segmentation")
    session = repo.writable_session("main")
    array = zarr.open_array(session.store, path="seg", mode="r+")
    report = cz.connected_components(array, out=zarr.storage.StorePath(session.store, "parts"))
    assert np.array_equal(report.array[...], oracle(solid(), (0, 1, 2), 26))
    cz.dust(array, 10)
    expected = dusted(solid(), (0, 1, 2), 26, 10, False)
    assert np.array_equal(array[...], expected)
    session.commit("clean")
    now = zarr.open_group(repo.readonly_session("main").store, mode="r")
    assert sorted(now.array_keys()) == ["parts", "seg"]
    assert np.array_equal(now["seg"][...], expected)


@pytest.mark.parametrize("seed", range(5))
def test_sets_are_those_of_all_pairs_at_once(seed: int) -> None:
    """However pairs come, each set has one root: its number that comes first."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 3000))
    firsts = rng.permutation(10 * count)[:count].astype(np.uint64)
    pairs = rng.integers(0, count, (int(rng.integers(0, 2 * count)), 2))
    found = sets.Sets(firsts)
    meets = np.zeros((0, 2), np.int64)
    for start in range(0, len(pairs), 100):
        found.add(sets.Pairs(pairs[start : start + 100], meets))
    number = components_of(count, pairs)
    expected = np.empty(count, dtype=np.int64)
    for one in np.unique(number):
        mine = np.flatnonzero(number == one)
        expected[mine] = mine[np.argmin(firsts[mine])]
    assert np.array_equal(found.roots(), expected)
    assert found.meets().shape == (0, 2)


def test_rows_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of very many parts lie in a file that is only read once it is full, and the result is the same."""
    voxels = np.random.default_rng(2).integers(0, 3, (9, 12, 15)).astype("u2")
    array = cz.create_array({}, data=voxels, chunks=(2, 2, 3))  # more chunks than are read at once
    expected = cz.connected_components(array, out=(there := {}))
    kinds = []
    whole = parts.Parts.whole

    def recorded(self: parts.Parts) -> Any:
        kinds.append((type(self.rows), self.rows.flags.writeable))
        return whole(self)

    monkeypatch.setattr(parts.Parts, "whole", recorded)
    monkeypatch.setattr(parts, "_ROWS_IN_MEMORY", 0)
    found = cz.connected_components(array, out=(here := {}))
    assert kinds == [(np.memmap, False)]
    assert np.array_equal(zarr.open_array(here)[...], zarr.open_array(there)[...])
    assert np.array_equal(found.table, expected.table)


@pytest.mark.parametrize("at_once", [1, 10**9], ids=["pair by pair", "at once"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_paths_to_roots_are_short(order: str, at_once: int) -> None:
    """A chain of pairs makes no chain of numbers: it took n * n steps to follow one."""
    count = 3000
    firsts = np.arange(count, dtype=np.uint64)
    found = sets.Sets(firsts if order == "ascending" else firsts[::-1].copy())
    chain = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    steps = 0
    ends = chain[:, 0]
    for start in range(0, len(chain), at_once):
        found.add(sets.Pairs(chain[start : start + at_once], np.zeros((0, 2), np.int64)))
    while not np.array_equal(above := found._parent[ends], ends):
        ends, steps = above, steps + 1
    assert steps < 40
    assert (found.roots() == (0 if order == "ascending" else count - 1)).all()


def components_of(count: int, pairs: np.ndarray) -> Any:
    """The component of each number, by repeated passes over all pairs."""
    number = np.arange(count)
    while True:
        before = number.copy()
        for end, other in ((0, 1), (1, 0)):
            np.minimum.at(number, pairs[:, end], before[pairs[:, other]])
        if np.array_equal(before, number):
            return number


def test_little_memory_for_a_part() -> None:
    """The caller holds less than 40 bytes for each part beyond the rows and the table."""
    count = 2**18
    rng = np.random.default_rng(0)
    rows = np.zeros(count, dtype=pieces.row_dtype(3))
    rows["first"], rows["voxels"] = rng.permutation(count), 1
    pairs = rng.integers(0, count, (2 * count, 2))
    tracemalloc.start()
    try:
        united = sets.Sets(rows["first"])
        for start in range(0, len(pairs), 1000):
            united.add(sets.Pairs(pairs[start : start + 1000], np.zeros((0, 2), np.int64)))
        found = parts.Parts([], np.zeros(1, np.int64), rows, united.roots(), united.meets())
        roots, numbers = found.whole()
        names = np.arange(1, len(roots) + 1)
        table = connected.table_of(found, roots, numbers, names, np.dtype("u8"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert table["voxel_count"].sum() == count
    assert (most - table.nbytes) / count < 40
