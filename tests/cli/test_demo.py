"""The demo: what it stores, counts, verifies, shows and draws."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

import crackle_zarr
from crackle_zarr import cli
from crackle_zarr.cli import demo
from crackle_zarr.synthetic import neurons


@pytest.fixture(autouse=True)
def own_temporary_directory(monkeypatch, tmp_path):
    """Let the demo's temporary directory be one that a test can look into."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture(scope="module")
def seg():
    """A volume (z, y, x) whose shape no chunk shape below divides."""
    return neurons((20, 50, 70), seed=4)


# ---------------------------------------------------------------------------------------
# Whole runs


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("chunks", "options"),
    [
        (None, {}),
        ((8, 32, 32), {}),
        ((20, 50, 70), {"markov_model_order": 3}),
        ((5, 25, 35), {"allow_pins": 1}),
        ((64, 64, 128), {}),
    ],
    ids=["default", "jutting out", "one, Markov", "dividing, pins", "larger than the array"],
)
def test_every_chunking(seg, zarr_format, chunks, options):
    """The run verifies all it says it verifies, for chunks that divide the array and that do not."""
    result = demo.run(demo.Source("seg", seg), chunks=chunks, zarr_format=zarr_format, **options)
    assert result.num_labels == len(np.unique(seg))
    assert np.array_equal(result.slice, seg[10])
    if chunks is not None:
        assert result.chunks == chunks
    crackle, default = result.rows
    assert crackle.name == "Crackle"
    assert default.name == "Zarr default (zstd)"
    for row in result.rows:
        assert 0 < row.nbytes < seg.nbytes
        assert 0 < row.slice_nbytes <= row.nbytes
        assert min(row.write, row.read, row.slice, row.labels) > 0
    assert default.labels_nbytes == default.nbytes


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, 2], [3, 3]], dtype=np.uint8),
        np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5) // 7 - 3,
        neurons((6, 20, 30), dtype=np.uint32) % 2 == 1,
        neurons((6, 20, 30), dtype=">u4"),
        np.full((4, 30, 30), 9, dtype=np.int64),
        np.zeros((4, 30, 30), dtype=np.uint16),
    ],
    ids=["2-D", "4-D signed", "bool", "big-endian", "one label", "all fill value"],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_kind_of_volume(array, zarr_format):
    """Other axes, dtypes and byte orders go through, and so do chunks that Zarr does not even store."""
    result = demo.run(demo.Source("a", array), zarr_format=zarr_format)
    assert result.num_labels == len(np.unique(array))
    assert np.array_equal(result.slice, array[tuple(n // 2 for n in array.shape[:-2])])


def test_slabs(seg, monkeypatch):
    """A volume that passes through in many slabs gives the same result as in one."""
    monkeypatch.setattr(demo, "SLAB_NBYTES", 1)
    result = demo.run(demo.Source("seg", seg), chunks=(4, 25, 35))
    assert result.num_labels == len(np.unique(seg))
    assert list(demo._slabs(zarr.zeros((10, 4, 4), chunks=(4, 4, 4)), "", False)) == [(0, 4), (4, 8), (8, 10)]


def test_temporary_arrays_vanish(seg, own_temporary_directory):
    """Nothing is left in the temporary directory, also after a failure."""
    demo.run(demo.Source("seg", seg))
    with pytest.raises(ValueError, match="one per axis of the volume of shape \\(20, 50, 70\\), not 1,2"):
        demo.run(demo.Source("seg", seg), chunks=(1, 2))
    assert list(own_temporary_directory.iterdir()) == []


def test_keep(seg, tmp_path):
    """Kept arrays hold the volume; a directory that has some already is refused."""
    keep = tmp_path / "kept" / "here"
    result = demo.run(demo.Source("seg", seg), keep=keep)
    assert result.kept == keep
    for name in ("crackle.zarr", "default.zarr"):
        assert np.array_equal(zarr.open_array(str(keep / name), mode="r")[...], seg)
    with pytest.raises(FileExistsError, match="exists already; give another directory to --keep"):
        demo.run(demo.Source("seg", seg), keep=keep)


@pytest.fixture(scope="module")
def in_one_chunk():
    """What Crackle and the default cost where the whole volume is one chunk."""
    volume = neurons((64, 96, 96), seed=4)
    return demo.run(demo.Source("volume", volume), chunks=volume.shape).rows


def test_slice_costs_part_of_its_chunk(in_one_chunk):
    """With Crackle one slice reads less than the chunk in which it lies; with the default, all of it."""
    crackle, default = in_one_chunk
    assert crackle.slice_nbytes < crackle.nbytes / 2
    assert default.slice_nbytes == default.nbytes


def test_labels_cost_part_of_their_chunk(in_one_chunk):
    """With Crackle the labels of a whole chunk are listed without reading its cracks."""
    crackle, default = in_one_chunk
    assert crackle.labels_nbytes < crackle.nbytes / 2
    assert default.labels_nbytes == default.nbytes


class _Lying:
    """A Zarr array that gives one wrong voxel."""

    def __init__(self, array: Any, where: tuple[int, ...]) -> None:
        self._array, self._where = array, where

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)

    def __getitem__(self, selection: Any) -> Any:
        whole = self._array[...]
        whole[self._where] += 1
        return whole[selection]


@pytest.mark.parametrize(
    ("where", "said"),
    [((10, 3, 3), "the slice at"), ((19, 49, 69), "in the range 0:20 of the first axis, voxels differ")],
    ids=["in the slice", "elsewhere"],
)
def test_a_wrong_voxel_is_noticed(seg, monkeypatch, where, said):
    """One voxel that is not what was written ends the run with an error that says where."""
    opened = zarr.open_array
    monkeypatch.setattr(zarr, "open_array", lambda *a, **k: _Lying(opened(*a, **k), where))
    monkeypatch.setattr(demo.verbs, "labels", lambda *_: np.unique(seg))
    with pytest.raises(demo.VerificationError, match=said):
        demo.run(demo.Source("seg", seg))


def test_a_wrong_label_is_noticed(seg, monkeypatch):
    """A list of labels that is not the volume's ends the run with an error."""
    monkeypatch.setattr(demo.verbs, "labels", lambda *_: np.unique(seg)[1:])
    with pytest.raises(demo.VerificationError, match="labels listed"):
        demo.run(demo.Source("seg", seg))


# ---------------------------------------------------------------------------------------
# Labels of stored chunks


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("fill_value", [0, 77])
def test_missing_and_padded_chunks(zarr_format, fill_value):
    """A missing chunk counts as fill value; what only the padding of an edge chunk holds does not."""
    store = demo.CountingStore(MemoryStore())
    array = crackle_zarr.create_array(
        store, shape=(6, 6, 6), dtype="u4", chunks=(4, 4, 4), fill_value=fill_value, zarr_format=zarr_format
    )
    array[...] = 5
    assert crackle_zarr.labels(array).tolist() == [5]
    array[:4, :4, :4] = fill_value
    assert crackle_zarr.labels(array).tolist() == sorted([5, fill_value])


def test_labels_of_whole_chunks_are_not_decoded(seg, monkeypatch):
    """Where chunks divide the array nothing is decoded to list its labels."""
    store = demo.CountingStore(MemoryStore())
    array = crackle_zarr.create_array(store, shape=seg.shape, dtype=seg.dtype, chunks=(10, 25, 35))
    array[...] = seg
    monkeypatch.setattr(
        crackle_zarr._binding.Reader, "decode", lambda *_, **__: pytest.fail("something was decoded")
    )
    assert np.array_equal(crackle_zarr.labels(array), np.unique(seg))


def test_damage_is_not_listed(seg):
    """A damaged label table raises instead of giving labels."""
    chunks: dict[str, Any] = {}
    store = demo.CountingStore(MemoryStore(chunks))
    array = crackle_zarr.create_array(store, shape=seg.shape, dtype=seg.dtype, chunks=seg.shape)
    array[...] = seg
    key = next(key for key in chunks if key.startswith("c/"))
    stream = bytearray(chunks[key].to_bytes())
    stream[crackle_zarr._binding.read_layout(stream).labels + 9] ^= 1
    chunks[key] = type(chunks[key]).from_bytes(bytes(stream))
    with pytest.raises(crackle_zarr.FormatError, match="labels"):
        crackle_zarr.labels(array)


def test_counting_store(tmp_path):
    """Whole values and ranges are counted by what they give, and missing ones give nothing."""
    import asyncio

    from zarr.abc.store import RangeByteRequest
    from zarr.core.buffer import default_buffer_prototype

    (tmp_path / "a").write_bytes(bytes(100))
    store = demo.CountingStore(LocalStore(tmp_path))
    prototype = default_buffer_prototype()
    asyncio.run(store.get("a", prototype))
    asyncio.run(store.get("a", prototype, RangeByteRequest(90, 200)))
    asyncio.run(store.get("b", prototype))
    assert (store.nbytes, store.requests) == (110, 3)
    asyncio.run(store.get_partial_values(prototype, [("a", None), ("a", RangeByteRequest(0, 7))]))
    assert (store.nbytes, store.requests) == (217, 5)
    store.reset()
    assert (store.nbytes, store.requests) == (0, 0)


# ---------------------------------------------------------------------------------------
# Sources


def test_files_in_fortran_order_are_stored_transposed(seg, tmp_path):
    """An (x, y, z) volume in F order is stored as (z, y, x) without a copy, and the table says so."""
    crackle_zarr.save(seg.T, tmp_path / "seg.ckl.gz")
    np.save(tmp_path / "seg.npy", seg.T)
    for name in ("seg.ckl.gz", "seg.npy"):
        source = demo.opened(tmp_path / name)
        assert source.array.shape == seg.shape
        assert source.array.flags.c_contiguous
        assert source.array.base is not None
        assert np.array_equal(source.array, seg)
        assert "transpose" in source.axes


def test_files_in_c_order_are_stored_as_they_are(seg, tmp_path):
    """A C-order volume keeps its axes."""
    np.save(tmp_path / "seg.npy", seg)
    source = demo.opened(tmp_path / "seg.npy")
    assert np.array_equal(source.array, seg)
    assert source.axes == "axes as in the file"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_arrays_are_read_in_slabs(seg, tmp_path, zarr_format):
    """A Zarr array of either format is a volume, and is not loaded before the run."""
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=seg.shape,
        dtype=seg.dtype,
        chunks=(7, 20, 70),
        zarr_format=zarr_format,
    )
    array[...] = seg
    source = demo.opened(tmp_path / "a.zarr")
    assert isinstance(source.array, zarr.Array)
    assert demo.run(source).num_labels == len(np.unique(seg))


def _group(path: str) -> zarr.Group:
    return zarr.create_group(path)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda p: Path(p).mkdir(), ValueError, "neither a file nor a Zarr array"),
        (lambda p: _group(p).create_array("in", shape=(2, 2), dtype="u1"), ValueError, "arrays: in"),
        (lambda p: _group(p), ValueError, "arrays: none"),
        (lambda p: zarr.create_array(p, shape=(2, 2), dtype="f4"), TypeError, "not float32"),
        (lambda p: zarr.create_array(p, shape=(4,), dtype="u1"), ValueError, r"two axes .* shape is \(4,\)"),
        (lambda p: zarr.create_array(p, shape=(4, 0), dtype="u1"), ValueError, "one voxel"),
        (lambda p: Path(p).write_bytes(b"PK\x03\x04"), ValueError, "neither a .npy file nor a Crackle"),
    ],
    ids=["directory", "group", "empty group", "floats", "1-D", "no voxels", "zip"],
)
def test_what_is_no_volume(tmp_path, make, error, said):
    """What cannot be stored is refused with its path and the reason."""
    path = tmp_path / "it"
    make(str(path))
    with pytest.raises(error, match=said) as raised:
        demo.opened(path)
    assert str(path) in str(raised.value)


# ---------------------------------------------------------------------------------------
# The command, its table and its picture


def _command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_command(capsys, tmp_path):
    """The command prints one table with both rows, and says what was stored."""
    code, out, err = _command(capsys, "--size", 48, "--chunks", "16,48,48", "--keep", tmp_path / "kept")
    assert code == 0
    assert err == ""
    assert "synthetic neurons, 48^3: 48 x 48 x 48 uint64, 884,736 bytes" in out
    assert re.search(r"^ *Crackle +[\d,]+( +[\d.,]+){7} *$", out, re.MULTILINE)
    assert re.search(r"^ *Zarr default \(zstd\) +[\d,]+( +[\d.,]+){7} *$", out, re.MULTILINE)
    assert "Chunks of 16 x 48 x 48" in out
    assert "axes (z, y, x)" in out
    assert "kept: " in out
    size = sum(f.stat().st_size for f in (tmp_path / "kept" / "crackle.zarr" / "c").rglob("*") if f.is_file())
    assert f"{size:,}" in out


def test_command_on_files(capsys, seg, tmp_path):
    """The command takes a file of the user's, and a mistake in it is one line."""
    crackle_zarr.save(seg.T, tmp_path / "seg.ckl.xz")
    code, out, _ = _command(capsys, tmp_path / "seg.ckl.xz", "--zarr-format", "2", "--markov", 2, "--pins", 1)
    assert code == 0
    assert "seg.ckl.xz: 20 x 50 x 70 uint64" in out
    assert "stored as (z, y, x), the transpose of the file's (x, y, z)" in out.replace("\n", " ")
    np.save(tmp_path / "f.npy", np.zeros((2, 2)))
    code, out, err = _command(capsys, tmp_path / "f.npy")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "not float64" in err


def test_command_when_verification_fails(capsys, monkeypatch):
    """What is not what was written is one line on stderr and exit code 1."""
    monkeypatch.setattr(demo.verbs, "labels", lambda *_: np.arange(3))
    code, out, err = _command(capsys, "--size", 16)
    assert (code, out) == (1, "")
    assert err == "crackle-zarr: Crackle: the 3 labels listed differ from the volume's labels\n"


def test_png(capsys, tmp_path):
    """--png draws the slice and its boundaries side by side, a whole number of pixels per voxel."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    path = tmp_path / "slice.png"
    code, out, _ = _command(capsys, "--size", 40, "--png", path)
    assert code == 0
    assert f"drawn: {path}" in out
    picture = imread(path)[:, :, :3]
    assert picture.shape == (40 * 25 + 60, 2 * 40 * 25 + 60, 3)
    left, right = picture[40:1040, 20:1020], picture[40:1040, 1040:2040]
    centres = slice(12, None, 25)
    plane = neurons((40, 40, 40))[20]
    assert np.allclose(left[centres, centres], demo.colours(plane), atol=0.01)
    assert np.array_equal(right[centres, centres, 0] < 0.5, demo.boundaries(plane))


def test_png_of_a_large_slice_shows_its_middle(tmp_path):
    """Of a slice of more voxels than fit into a picture the middle is drawn."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    plane = np.zeros((3000, 8), dtype=np.uint8)
    source = demo.Source("a", plane)
    result = demo.Result(source, (8, 8), 1, (), plane, (), None)
    demo.draw(result, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[:2] == (1024 + 60, 2 * 8 + 60)


def test_png_without_matplotlib(capsys, monkeypatch, tmp_path):
    """Without matplotlib the command says what to install before it does anything."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(demo, "made", lambda *_: pytest.fail("work began"))
    code, _, err = _command(capsys, "--png", tmp_path / "a.png")
    assert code == 2
    assert err == 'crackle-zarr: drawing needs matplotlib: pip install "crackle_zarr[png]"\n'


def test_colours_and_boundaries():
    """A label has one colour and background is dark; boundaries are left and above of a change."""
    plane = np.array([[1, 1, 2], [1, 0, 2]], dtype=np.uint64)
    coloured = demo.colours(plane)
    assert coloured.shape == (2, 3, 3)
    assert (coloured >= 0).all()
    assert (coloured <= 1).all()
    assert np.array_equal(coloured[0, 0], coloured[1, 0])
    assert np.array_equal(coloured[1, 1], [0.2, 0.2, 0.2])
    assert not np.allclose(coloured[0, 0], coloured[0, 2], atol=0.2)
    assert demo.boundaries(plane).tolist() == [[False, True, False], [True, True, False]]


def test_neighbouring_labels_differ_in_colour():
    """A thousand labels have a thousand colours, and successive ones are far apart."""
    coloured = demo.colours(np.arange(1, 1001).reshape(1, -1))[0]
    assert len(np.unique(coloured.round(6), axis=0)) == 1000
    assert np.abs(np.diff(coloured, axis=0)).max(axis=1).min() > 0.15


def test_connectomics(capsys, monkeypatch, shared, tmp_path):
    """The real volume, itself a gzipped stream with pins, goes through the command and all is verified."""
    volume = shared / "data" / "connectomics.npy.ckl.gz"
    if not volume.is_file():
        pytest.skip("the volume connectomics.npy.ckl.gz is not beside the project")
    if shutil.disk_usage(tmp_path).free < 100 * 2**20:
        pytest.skip("less than 100 MiB of disk are free")
    monkeypatch.setattr(demo, "REPEATS", 1)  # times do not matter here
    code, out, _ = _command(capsys, volume)
    assert code == 0
    assert "connectomics.npy.ckl.gz: 512 x 512 x 512 uint32, 536,870,912 bytes, 2,524 labels" in out
    crackle = re.search(r"Crackle +([\d,]+)", out)
    default = re.search(r"\(zstd\) +([\d,]+)", out)
    assert crackle is not None
    assert default is not None
    assert int(crackle[1].replace(",", "")) < int(default[1].replace(",", "")) / 2


# ---------------------------------------------------------------------------------------
# Times


class Clock:
    """A clock that moves only when an operation says how long it takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_the_best_of_some_runs_counts(monkeypatch):
    """An operation is timed three times and the best counts; one that takes long is not repeated."""
    clock = Clock()
    monkeypatch.setattr(demo, "time", clock)

    def of_lengths(*lengths):
        left = list(lengths)

        def work():
            clock.now += left.pop(0)
            return len(left)

        return work

    assert demo._timed(of_lengths(0.5, 0.125, 0.25)) == (0.125, 0)
    assert demo._timed(of_lengths(2.0, 0.1, 0.1)) == (2.0, 2)


def test_bytes_read_are_those_of_one_run(seg):
    """Repeated reads do not add up: listing labels reads less than the chunks have."""
    result = demo.run(demo.Source("seg", seg), chunks=(20, 50, 70))
    crackle, default = result.rows
    assert 0 < crackle.labels_nbytes <= crackle.nbytes
    assert 0 < default.labels_nbytes <= default.nbytes
    assert 0 < default.slice_nbytes <= default.nbytes


def test_both_compressors_are_warm_before_the_first_time(monkeypatch, seg):
    """Each compressor has written and read before anything is timed, and nothing of that is left."""
    done: list[str] = []
    real = zarr.Array.__setitem__

    def written(array, place, value):
        done.append("Crackle" if "crackle" in str(array.metadata.to_dict()).lower() else "default")
        real(array, place, value)

    def timed(work, before=lambda: None):
        done.append("timed")
        before()
        return 0.0, work()

    monkeypatch.setattr(zarr.Array, "__setitem__", written)
    monkeypatch.setattr(demo, "_timed", timed)
    demo.run(demo.Source("seg", seg), keep=Path(tempfile.gettempdir()) / "kept")
    assert done[:3] == ["Crackle", "default", "timed"]
    assert sorted(path.name for path in (Path(tempfile.gettempdir()) / "kept").iterdir()) == [
        "crackle.zarr",
        "default.zarr",
    ]
