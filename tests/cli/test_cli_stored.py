"""The command line on Zarr arrays: what it writes, says and returns."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_line import one_line

import crackle_zarr
from crackle_zarr.synthetic import neurons

PACKAGES = str(Path(crackle_zarr.__file__).parent.parent)
COMMANDS = ["stats", "find", "crop", "remap", "convert", "verify", "info", "labels"]


@pytest.fixture(scope="module")
def seg():
    """A volume (z, y, x)."""
    return neurons((12, 40, 50), seed=2, dtype=np.uint32)


@pytest.fixture(scope="module")
def label(seg):
    """A label that is not everywhere."""
    values, counts = np.unique(seg, return_counts=True)
    return int(values[np.argsort(counts)[len(values) // 2]])


def stored(name: str, array: np.ndarray, **options: object) -> Path:
    """An array of Zarr in the current folder, in chunks that its edges cut."""
    keywords = {"chunks": tuple(min(16, length) for length in array.shape), **options}
    made = crackle_zarr.create_array(name, shape=array.shape, dtype=array.dtype, **keywords)
    made[...] = array
    return Path(name)


@pytest.fixture
def source(run, seg):
    """The volume in Zarr, stored with Crackle."""
    return stored("seg.zarr", seg)


@pytest.fixture
def plain(run, seg):
    """The volume in Zarr of format 2, stored without Crackle."""
    made = zarr.create_array(
        "plain.zarr", shape=seg.shape, dtype=seg.dtype, chunks=(8, 16, 16), zarr_format=2
    )
    made[...] = seg
    return Path("plain.zarr")


def read(name: str | Path) -> np.ndarray:
    return np.asarray(zarr.open_array(str(name), mode="r")[...])


def damage(folder: Path, key: str = "c/0/1/1") -> None:
    """Change one bit in the middle of a chunk."""
    path = folder / key
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 4
    path.write_bytes(changed)


def box_of(mask: np.ndarray) -> list[tuple[int, int]]:
    return [(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask)]


def expected_rows(volume: np.ndarray) -> list[dict[str, float]]:
    """What ``stats`` is to say of a volume, from NumPy."""
    rows = []
    for label in np.unique(volume):
        mask = volume == label
        row: dict[str, float] = {"label": int(label), "voxel_count": int(mask.sum())}
        for axis, (start, stop) in enumerate(box_of(mask)):
            row |= {f"start_{axis}": start, f"stop_{axis}": stop}
            row[f"centroid_{axis}"] = float(np.nonzero(mask)[axis].mean())
        rows.append(row)
    return rows


def check_csv(text: str, expected: list[dict[str, float]]) -> None:
    """Compare CSV with what NumPy says: integers exactly, and means to the last few bits."""
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(expected)
    for row, right in zip(rows, expected, strict=True):
        assert set(row) == set(right)
        for name, value in right.items():
            if name.startswith("centroid"):
                assert float(row[name]) == pytest.approx(value, rel=1e-12)
            else:
                assert row[name] == str(value)


# ---------------------------------------------------------------------------------------
# stats


def test_stats_prints_csv_into_a_pipe(run, seg, source):
    """Without a terminal, a row per label, all columns, as NumPy counts them."""
    ran = run("stats", source)
    assert ran.code == 0
    assert ran.err == ""
    first = ran.out.splitlines()[0]
    assert first.startswith("label,voxel_count,start_0,")
    check_csv(ran.out, expected_rows(seg))
    assert run("stats", source, "--csv", "-j", 2, "--no-verify", "--no-progress").out == ran.out


def test_stats_of_a_region(run, seg, source):
    """A region counts what lies in it; boxes and centroids stay along the whole array."""
    ran = run("stats", source, "--region", "3:9,:,-20:")
    expected = expected_rows(seg[3:9, :, -20:])
    for row in expected:
        for axis, origin in enumerate((3, 0, 30)):
            for name in ("start", "stop", "centroid"):
                row[f"{name}_{axis}"] += origin
    check_csv(ran.out, expected)


def test_stats_of_some_labels(run, seg, source, label):
    """--label keeps the rows of these labels, each once; one that is not there makes the exit code 3."""
    other = int(np.unique(seg)[-1])
    rows = [row for row in expected_rows(seg) if row["label"] in (label, other)]
    ran = run("stats", source, "--label", label, "-l", other, "-l", label)
    assert ran.code == 0
    check_csv(ran.out, rows)
    ran = run("stats", source, "--label", label, "-l", 99)
    assert ran.code == 3
    assert "there is no label 99; 'crackle-zarr labels seg.zarr' lists them" in one_line(ran)
    check_csv(ran.out, [row for row in rows if row["label"] == label])
    ran = run("stats", source, "--label", 99)
    assert ran.code == 3
    check_csv(ran.out, [])


def test_stats_of_a_stream(run, seg, label):
    """A .ckl file is taken, too; its axes are x, y, z."""
    crackle_zarr.save(seg.T, "seg.ckl.gz")
    check_csv(run("stats", "seg.ckl.gz").out, expected_rows(seg.T))
    ran = run("stats", "seg.ckl.gz", "--label", label, "--label", 2**70)
    assert ran.code == 3
    check_csv(ran.out, [row for row in expected_rows(seg.T) if row["label"] == label])
    np.save("seg.npy", seg)
    ran = run("stats", "seg.npy")
    assert ran.code == 2
    assert "'crackle-zarr compress' makes a Crackle stream of it" in one_line(ran)


def test_stats_into_files(run, seg, source):
    """-o writes CSV or Parquet, and no file that exists is replaced without --force."""
    ran = run("stats", source, "-o", "seg.csv")
    assert ran.code == 0
    assert ran.out == f"seg.zarr -> seg.csv  {len(np.unique(seg))} labels\n"
    check_csv(Path("seg.csv").read_text(), expected_rows(seg))
    ran = run("stats", source, "-o", "seg.csv")
    assert ran.code == 2
    assert "seg.csv exists already: --force" in one_line(ran)
    assert run("stats", source, "-o", "seg.csv", "--force", "--label", 99).code == 3
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("stats", source, "-o", "seg.parquet").code == 0
    table = parquet.read_table("seg.parquet").to_pydict()
    assert table["label"] == np.unique(seg).tolist()
    assert table["voxel_count"] == np.unique(seg, return_counts=True)[1].tolist()


def test_stats_needs_pyarrow_for_parquet(run, source, monkeypatch):
    """Without pyarrow the extra is named before anything is counted."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = run("stats", source, "-o", "seg.parquet")
    assert ran.code == 2
    assert "pip install 'crackle-zarr[parquet]'" in one_line(ran)


def test_stats_keeps_labels_of_64_bits(run):
    """Labels are written to the last digit."""
    volume = np.array([[[2**64 - 1, 2**53 + 1, 0]]], dtype=np.uint64)
    stored("big.zarr", volume)
    rows = list(csv.DictReader(io.StringIO(run("stats", "big.zarr").out)))
    assert [row["label"] for row in rows] == ["0", "9007199254740993", "18446744073709551615"]


# ---------------------------------------------------------------------------------------
# On a terminal


def on_a_terminal(folder: Path, *arguments: object, out: bool) -> tuple[int, str, str]:
    """Run with stderr, and stdout if ``out``, on a terminal: exit code, the terminal's text, stdout."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    pytest.importorskip("termios").tcsetwinsize(slave, (24, 120))
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "TERM": "xterm"}
    command = [sys.executable, "-c", "from crackle_zarr.cli import main; main()", *map(str, arguments)]
    shown = b""
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=slave if out else subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        with contextlib.suppress(OSError):  # Linux: the terminal is gone when the last writer is
            while piece := os.read(master, 10_000):
                shown += piece
        os.close(master)
        said = b"" if process.stdout is None else process.stdout.read()
    return process.returncode, shown.decode(), said.decode()


def test_stats_shows_a_table_on_a_terminal(run, tmp_path):
    """The first 40 rows, and how many more there are; --all shows them, --csv is CSV all the same."""
    volume = np.arange(1, 61, dtype=np.uint16).reshape(3, 4, 5)
    stored("many.zarr", volume)
    code, shown, _ = on_a_terminal(tmp_path, "stats", "many.zarr", "--no-progress", out=True)
    assert code == 0
    assert "centroid" in shown
    assert "1:2,3:4,4:5" in shown  # the box of label 40
    assert " 41 " not in shown
    assert "... and 20 more: --all shows them" in shown
    _, shown, _ = on_a_terminal(tmp_path, "stats", "many.zarr", "--all", "--no-progress", out=True)
    assert " 60 " in shown
    assert "more" not in shown
    _, shown, _ = on_a_terminal(tmp_path, "stats", "many.zarr", "--csv", "--no-progress", out=True)
    check_csv(shown.replace("\r\n", "\n"), expected_rows(volume))


def test_bar_on_a_terminal(source, tmp_path):
    """A bar over the chunks is on stderr when that is a terminal, unless --no-progress; stdout has none."""
    code, shown, said = on_a_terminal(tmp_path, "stats", source, out=False)
    assert code == 0
    assert "chunk" in shown
    assert said.startswith("label,")
    assert "chunk" not in said
    _, shown, again = on_a_terminal(tmp_path, "stats", source, "--no-progress", out=False)
    assert shown == ""
    assert again == said


# ---------------------------------------------------------------------------------------
# find, crop


def test_find(run, seg, source, label):
    """The box as --region takes it, and every chunk that holds the label."""
    box = box_of(seg == label)
    chunks = sorted(
        {tuple((index // np.array([12, 16, 16])).tolist()) for index in np.argwhere(seg == label)}
    )
    ran = run("find", source, label)
    assert ran.code == 0
    lines = ran.out.splitlines()
    written = ",".join(f"{start}:{stop}" for start, stop in box)
    assert lines[0] == f"box     {written}"
    assert lines[1] == "shape   " + " x ".join(str(stop - start) for start, stop in box)
    assert [line[8:] for line in lines[2:]] == [",".join(map(str, chunk)) for chunk in chunks]
    told = json.loads(run("find", source, label, "--json").out)
    assert told == {
        "file": "seg.zarr",
        "label": str(label),
        "start": [start for start, _ in box],
        "stop": [stop for _, stop in box],
        "chunks": [list(chunk) for chunk in chunks],
    }
    assert run("labels", source, "--region", written).out.split().count(str(label)) == 1


def test_find_in_a_region(run, seg, source, label):
    """Only what lies in the region counts, with indices of the whole array."""
    cut = np.zeros(seg.shape, dtype=bool)
    (low, high), *_ = box_of(seg == label)
    half = (low + high) // 2
    cut[half:] = (seg == label)[half:]
    told = json.loads(run("find", source, label, "--json", "--region", f"{half}:,...").out)
    assert list(zip(told["start"], told["stop"], strict=True)) == box_of(cut)


@pytest.mark.parametrize("name", ["seg.zarr", "plain.zarr"])
def test_find_what_is_not_there(run, source, plain, name):
    """Exit code 3, one line on stderr, and JSON that says so."""
    for absent in ("99", str(2**80)):
        ran = run("find", name, absent)
        assert ran.code == 3
        assert ran.out == ""
        assert f"{name}: there is no label {absent}; 'crackle-zarr labels" in ran.err.splitlines()[-1]
    ran = run("find", name, 99, "--json")
    assert ran.code == 3
    assert json.loads(ran.out) == {"file": name, "label": "99", "start": None, "stop": None, "chunks": []}


def test_negative_labels(run):
    """Negative labels stand behind --; without it the message tells so."""
    volume = np.array([[[-5, -1], [3, 3]]], dtype=np.int8)
    stored("signed.zarr", volume)
    assert json.loads(run("find", "--json", "signed.zarr", "--", -5).out)["stop"] == [1, 1, 1]
    for arguments in (["find", "signed.zarr", "-5"], ["remap", "signed.zarr", "-5=2"]):
        ran = run(*arguments)
        assert ran.code == 2
        assert "put negative labels behind ' -- '" in one_line(ran)
    assert run("crop", "signed.zarr", "-o", "a.npy", "--", -5).code == 0
    assert run("remap", "signed.zarr", "--", "-5=-6").code == 0
    assert read("signed.zarr")[0, 0, 0] == -6
    assert run("stats", "signed.zarr", "--label", -6).out.splitlines()[1].startswith("-6,1,")


@pytest.mark.parametrize("name", ["mask.npy", "mask.npy.gz", "mask.ckl", "mask.ckl.xz"])
def test_crop(run, seg, source, label, name):
    """The mask within its box, in either kind of file; shape, offset and voxels are told."""
    mask = seg == label
    box = box_of(mask)
    expected = mask[tuple(slice(*bounds) for bounds in box)]
    ran = run("crop", source, label, "-o", name)
    assert ran.code == 0
    shape = " x ".join(map(str, expected.shape))
    offset = ",".join(str(start) for start, _ in box)
    voxels = f"{mask.sum():,} voxel" + ("s" if mask.sum() > 1 else "")
    assert ran.out == f"seg.zarr -> {name}  shape {shape}, offset {offset}, {voxels}\n"
    if ".ckl" in name:
        got = crackle_zarr.load(name)
        assert got.dtype == np.uint8  # streams have no bool
    else:
        with (gzip.open if name.endswith(".gz") else open)(name, "rb") as file:
            got = np.load(file)
        assert got.dtype == np.bool_
    assert np.array_equal(got, expected)


def test_crop_refuses(run, seg, source, label):
    """What exists stays without --force, names say what is written, and absent labels write nothing."""
    Path("mask.npy").write_bytes(b"precious")
    ran = run("crop", source, label, "-o", "mask.npy")
    assert ran.code == 2
    assert "mask.npy exists already: --force" in one_line(ran)
    assert Path("mask.npy").read_bytes() == b"precious"
    assert run("crop", source, label, "-o", "mask.npy", "--force").code == 0
    assert np.load("mask.npy").dtype == np.bool_
    ran = run("crop", source, 99, "-o", "none.npy")
    assert ran.code == 3
    assert "there is no label 99" in one_line(ran)
    assert not Path("none.npy").exists()
    stored("four.zarr", seg.reshape(2, 6, 40, 50))
    ran = run("crop", "four.zarr", label, "-o", "four.ckl")
    assert ran.code == 2
    assert "four.zarr has 4 axes" in one_line(ran)
    assert run("crop", "four.zarr", label, "-o", "four.npy").code == 0
    assert np.load("four.npy").ndim == 4


# ---------------------------------------------------------------------------------------
# remap


def test_remap(run, seg, source, label):
    """All at once and in place; the report counts chunks, and a dry run only counts."""
    other = int(np.unique(seg)[-1])
    pairs = [f"{label}={other}", f"{other}={label}"]
    dry = run("remap", source, *pairs, "--dry-run")
    assert dry.code == 0
    assert "would change" in dry.out
    assert np.array_equal(read(source), seg)
    ran = run("remap", source, *pairs)
    assert ran.code == 0
    expected = np.where(seg == label, other, np.where(seg == other, label, seg))
    assert np.array_equal(read(source), expected)
    assert ran.out.startswith("seg.zarr: ")
    assert (
        ran.out.replace(" changed", "").split(", ")[0] == dry.out.replace(" would change", "").split(", ")[0]
    )


def test_remap_json(run, seg, source, label):
    """--json names the chunks."""
    told = json.loads(run("remap", source, f"{label}=1", "--json").out)
    chunks = sorted(
        {tuple((index // np.array([12, 16, 16])).tolist()) for index in np.argwhere(seg == label)}
    )
    assert told["file"] == "seg.zarr"
    assert told["dry_run"] is False
    assert told["chunks"] == [list(chunk) for chunk in chunks]
    assert told["bytes_written"] > 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.csv", "old,new\n{0},7\n\n{1}, 8\n"),
        ("map.csv", "\ufeff{0},7\r\n{1},8\r\n"),
        ("map.json", '{{"{0}": 7, "{1}": "8"}}'),
        ("map.json", "[[{0}, 7], [{1}, 8]]"),
    ],
    ids=["header", "no header", "object", "pairs"],
)
def test_remap_with_a_file(run, seg, source, label, name, text):
    """Mappings come from CSV, with names of columns or without, and from JSON; pairs are added."""
    first, second = label, int(np.unique(seg)[-1])
    third = next(int(one) for one in np.unique(seg) if one not in (first, second))
    Path(name).write_text(text.format(first, second), encoding="utf-8")
    assert run("remap", source, "--mapping", name, f"{third}=9", "--create-chunks").code == 0
    expected = np.select([seg == first, seg == second, seg == third], [7, 8, 9], seg.astype(np.int64))
    assert np.array_equal(read(source), expected)


def test_remap_strict(run, seg, source, label):
    """--strict refuses a label without a new name, and says so in terms of the option."""
    ran = run("remap", source, f"{label}=1", "--strict")
    assert ran.code == 2
    assert "without --strict, such labels keep their names" in one_line(ran)
    assert np.array_equal(read(source), seg)
    every = [f"{one}={place}" for place, one in enumerate(np.unique(seg).tolist())]
    assert run("remap", source, *every, "--strict").code == 0
    assert np.array_equal(read(source), np.unique(seg, return_inverse=True)[1].reshape(seg.shape))


def test_remap_of_the_fill_value(run):
    """Chunks that are not there are named, and written with --create-chunks."""
    made = crackle_zarr.create_array("few.zarr", shape=(4, 4), dtype="u1", chunks=(2, 2))
    made[:2, :2] = 5
    ran = run("remap", "few.zarr", "0=9")
    assert ran.code == 2
    assert "3 of 4 chunks are not there" in ran.err
    assert "--create-chunks writes them" in one_line(ran)
    assert run("remap", "few.zarr", "0=9", "--create-chunks").code == 0
    expected = np.full((4, 4), 9)
    expected[:2, :2] = 5
    assert np.array_equal(read("few.zarr"), expected)


@pytest.fixture
def interrupted(seg, source, label, monkeypatch):
    """An array whose remap stopped while chunks were put in place."""
    from crackle_zarr.stored import edits

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(edits, "_place", stop)
        with pytest.raises(KeyboardInterrupt):
            crackle_zarr.remap(zarr.open_array(str(source), mode="r+"), {label: 1})
    return source


def test_interruption_tells_how_to_go_on(run, seg, source, label, monkeypatch):
    """Ctrl-C while chunks are put in place names the two ways on; before that there is nothing to tell."""
    from crackle_zarr.stored import edits

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(edits, "_prepare", stop)
        ran = run("remap", source, f"{label}=1")
    assert ran.code == 130
    assert ran.err.split() == ["crackle-zarr:", "interrupted"]
    with monkeypatch.context() as patch:
        patch.setattr(edits, "_place", stop)
        ran = run("remap", source, f"{label}=1")
    assert ran.code == 130
    assert "seg.zarr has an unfinished remap: --resume finishes it, --undo takes it back" in ran.err
    assert run("remap", source, "--undo").code == 0
    assert np.array_equal(read(source), seg)


def test_resume(run, seg, interrupted, label):
    """Another remap is refused and names the options; --resume finishes the first."""
    ran = run("remap", interrupted, "1=2")
    assert ran.code == 2
    assert "--resume finishes it, --undo takes it back" in one_line(ran)
    ran = run("remap", interrupted, "--resume")
    assert ran.code == 0
    assert " changed, " in ran.out
    assert np.array_equal(read(interrupted), np.where(seg == label, 1, seg))
    ran = run("remap", interrupted, "--resume")
    assert ran.code == 2
    assert "seg.zarr has no unfinished remap" in one_line(ran)


def test_undo(run, seg, interrupted):
    """--undo puts everything back."""
    ran = run("remap", interrupted, "--undo")
    assert ran.code == 0
    assert " put back, " in ran.out
    assert np.array_equal(read(interrupted), seg)
    assert run("remap", interrupted, "--undo").code == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "1,2,3\n", "m.csv, line 1: a line is an old and a new label, not '1,2,3'"),
        ("m.csv", "1,2\nx,2\n", "m.csv, line 2: 'x' is no label: labels are integers"),
        ("m.csv", "1,2\n1,3\n", "the label 1 is given two new names: 2 and 3"),
        ("m.csv", "1,2.5\n", "m.csv, line 1: '2.5' is no label"),
        ("m.json", "{", "m.json is not JSON"),
        ("m.json", "7", 'a mapping in JSON is an object such as {"1": 7}'),
        ("m.json", '{"1": 2.5}', "m.json: 2.5 is no label"),
        ("m.json", '{"1": true}', "m.json: True is no label"),
        ("m.json", '{"1": 2, "1": 3}', "the label 1 is given two new names: 2 and 3"),
        ("m.txt", "1,2\n", "m.txt: a file with a mapping ends in .csv or .json"),
    ],
)
def test_wrong_mappings(run, seg, source, name, text, said):
    """A mistake in a file is named with its line, and nothing is written."""
    Path(name).write_text(text)
    ran = run("remap", source, "--mapping", name)
    assert ran.code == 2
    assert said in one_line(ran)
    assert np.array_equal(read(source), seg)


# ---------------------------------------------------------------------------------------
# convert


@pytest.mark.parametrize("to", ["crackle", "zstd", "blosc", "gzip", "none"])
def test_convert(run, seg, plain, to):
    """Every voxel, in the chunks and the format that were asked for, and what it takes."""
    ran = run("convert", plain, "new.zarr", "--to", to, "--zarr-format", 3, "--chunks", "4,20,25")
    assert ran.code == 0, ran.err
    made = zarr.open_array("new.zarr", mode="r")
    assert np.array_equal(made[...], seg)
    assert made.chunks == (4, 20, 25)
    assert made.metadata.zarr_format == 3
    assert ran.out.startswith("plain.zarr -> new.zarr  1 array, 12 chunks, ")
    assert "ratio" in ran.out
    assert (
        json.loads(run("info", "--json", "new.zarr").out)[0]["codecs"][-1]
        .lower()
        .startswith({"none": "bytes"}.get(to, to))
    )


def test_convert_options(run, seg, plain):
    """Shards, Markov order and pins are those that were given."""
    arguments = ["--zarr-format", 3, "--chunks", "4,20,25", "--shards", "8,40,50", "-m", 3, "-p", 1]
    assert run("convert", plain, "new.zarr", *arguments, "-j", 1, "--no-verify").code == 0
    (told,) = json.loads(run("info", "--json", "new.zarr").out)
    assert told["shards"] == [8, 40, 50]
    assert told["chunks"] == [4, 20, 25]
    assert told["codecs"] == ["Crackle, Markov order 3, pins 1"]
    assert np.array_equal(read("new.zarr"), seg)


def test_convert_groups(run, seg):
    """Of a group, all arrays and attributes; the labels are found in it as in the source."""
    ome(seg, "ome.zarr")
    ran = run("convert", "ome.zarr", "plain.zarr", "--to", "zstd")
    assert ran.code == 0, ran.err
    assert "2 arrays" in ran.out
    assert "ome" in zarr.open_group("plain.zarr", mode="r").attrs
    assert np.array_equal(read("plain.zarr/1"), seg[::2, ::2, ::2])


def test_convert_refuses(run, seg, source, plain):
    """What exists stays without --overwrite; a source is never overwritten by itself."""
    ran = run("convert", plain, source)
    assert ran.code == 2
    assert "seg.zarr exists already: --overwrite replaces it" in one_line(ran)
    for destination in ("plain.zarr", "./plain.zarr/", "plain.zarr/inside", "."):
        ran = run("convert", plain, destination, "--overwrite")
        assert ran.code == 2
        one_line(ran)
        assert np.array_equal(read(plain), seg)
    Path("other").mkdir()
    Path("other/letter.txt").write_text("dear")
    ran = run("convert", plain, "other", "--overwrite")
    assert ran.code == 2
    assert "other is a folder of other things" in one_line(ran)
    assert os.listdir("other") == ["letter.txt"]
    ran = run("convert", plain, "other/letter.txt")
    assert "other/letter.txt exists already, and is a file" in one_line(ran)
    assert run("convert", plain, source, "--overwrite").code == 0
    assert zarr.open_array("seg.zarr", mode="r").metadata.zarr_format == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--chunks", "4,4"],
            "--chunks 4,4 has 2 numbers, and an array of shape 12 x 40 x 50 needs one per",
        ),
        (["--shards", "4", "--zarr-format", "3"], "--shards 4 has 1 number"),
        (["--shards", "8,16,16"], "there are none in Zarr format 2; give --zarr-format 3"),
        (
            ["--shards", "9,16,16", "--zarr-format", "3"],
            "9,16,16 are not whole multiples of the chunks, 8,16,16",
        ),
        (
            ["--shards", "8,8,8", "--chunks", "3,8,8", "--zarr-format", "3"],
            "8,8,8 are not whole multiples of the chunks, 3,8,8",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_convert_checks_shapes_first(run, seg, source, plain, arguments, said):
    """Shapes that do not suit are refused before a destination is replaced or begun."""
    ran = run("convert", plain, source, "--overwrite", *arguments)
    assert ran.code == 2
    assert said in one_line(ran)
    assert np.array_equal(read(source), seg)
    assert run("convert", plain, "new.zarr", *arguments).code == 2
    assert not Path("new.zarr").exists()


# ---------------------------------------------------------------------------------------
# labels, info, verify: files and arrays alike


def ome(volume: np.ndarray, name: str) -> None:
    """OME-Zarr labels of two levels."""
    group = zarr.open_group(name, mode="w")
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}
    for level, array in enumerate((volume, volume[::2, ::2, ::2])):
        made = crackle_zarr.create_array(
            name, name=str(level), shape=array.shape, dtype=array.dtype, chunks=(6, 16, 16)
        )
        made[...] = array


def test_labels(run, seg, source, plain):
    """The labels of files, arrays and groups, and of a region of an array."""
    crackle_zarr.save(seg, "seg.ckl")
    ome(seg, "ome.zarr")
    expected = "".join(f"{one}\n" for one in np.unique(seg).tolist())
    for name in ("seg.zarr", "seg.ckl", "ome.zarr"):
        ran = run("labels", name)
        assert (ran.code, ran.out, ran.err) == (0, expected, "")
    count = len(np.unique(seg))
    assert run("labels", "--count", "seg.zarr", "seg.ckl").out == f"{count} seg.zarr\n{count} seg.ckl\n"
    ran = run("labels", source, "--region", "2:5, 7 ,...")
    assert ran.out.split() == [str(one) for one in np.unique(seg[2:5, 7]).tolist()]
    assert run("labels", source, "--region", "2:2").out == ""


def test_note_about_arrays_without_crackle(run, seg, plain):
    """Other codecs answer as well, with one line about the cost, that names the command."""
    from crackle_zarr.stored import sources

    sources._warn_once.cache_clear()  # once for an array of a name
    ran = run("labels", plain)
    assert ran.code == 0
    assert ran.out.split() == [str(one) for one in np.unique(seg).tolist()]
    assert "note: " in one_line(ran)
    assert "'crackle-zarr convert SOURCE crackle.zarr'" in ran.err


def test_info_json(run, seg, source, plain):
    """Everything about an array, in words where they are codecs."""
    ome(seg, "ome.zarr")
    crackle_zarr.save(seg, "seg.ckl")
    ran = run("info", "--json", source, plain, "ome.zarr", "seg.ckl")
    assert ran.code == 0
    first, second, third, fourth = json.loads(ran.out)
    nbytes = zarr.open_array(str(source), mode="r").nbytes_stored()
    assert first == {
        "file": "seg.zarr",
        "kind": "zarr",
        "zarr_format": 3,
        "array": "",
        "nbytes": seg.nbytes,
        "stored_nbytes": nbytes,
        "ratio": pytest.approx(seg.nbytes / nbytes),
        "shape": [12, 40, 50],
        "dtype": "uint32",
        "dimension_names": ["z", "y", "x"],
        "chunks": [12, 16, 16],
        "num_chunks": 12,
        "shards": None,
        "codecs": ["Crackle, Markov order 3"],
        "voxel_size": None,
        "voxel_unit": None,
        "voxel_origin": None,
        "turned": False,
        "fill_value": "0",
    }
    assert second["zarr_format"] == 2
    assert second["codecs"][0].startswith("zstd")
    assert third["array"] == "0"
    assert fourth["kind"] == "ckl"


def test_info_table(run, seg):
    """The table names the shape with its axes, chunks, shards, codecs and the ratio."""
    made = crackle_zarr.create_array(
        "seg.zarr",
        shape=seg.shape,
        dtype=seg.dtype,
        chunks=(6, 8, 10),
        shards=(12, 40, 50),
        fill_value=7,
        markov_model_order=2,
    )
    made[...] = seg
    out = run("info", "seg.zarr").out
    for text in (
        "Zarr array, format 3",
        "12 x 40 x 50 (z, y, x)",
        "6 x 8 x 10, 50 chunks",
        "Crackle, Markov order 2",
        f"ratio {seg.nbytes / made.nbytes_stored():.1f}",
    ):
        assert text in out
    assert [line.split() for line in out.splitlines() if "fill" in line] == [["fill", "value", "7"]]


def test_verify(run, seg, source, plain):
    """Sound arrays and files say so; damaged chunks are named, and make the exit code 1."""
    crackle_zarr.save(seg, "seg.ckl")
    ran = run("verify", source, "seg.ckl")
    assert (ran.code, ran.out, ran.err) == (0, "seg.zarr: sound\nseg.ckl: sound\n", "")
    assert "plain.zarr: sound, as far as decoding can tell" in run("verify", plain).out
    damage(source)
    ran = run("verify", source, "seg.ckl")
    assert ran.code == 1
    first, second, third = ran.out.splitlines()
    assert first.startswith("seg.zarr: chunk 0,1,1, c/0/1/1: ")
    assert second == "seg.zarr: 1 chunk is damaged"
    assert third == "seg.ckl: sound"
    assert run("verify", source, "--region", ":,:16").out == "seg.zarr: sound\n"
    crackle_zarr.save(seg, "bad.ckl")
    binary = bytearray(Path("bad.ckl").read_bytes())
    binary[10] ^= 4
    Path("bad.ckl").write_bytes(binary)
    assert run("verify", "bad.ckl").out == run("test", "bad.ckl").out
    assert run("verify", "bad.ckl").out.startswith("bad.ckl: damaged: header")
    assert run("verify", "bad.ckl").code == 1
    assert run("verify", "bad.ckl", "none.zarr").code == 2


# ---------------------------------------------------------------------------------------
# Errors and help


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats", "seg.zarr"],
        ["crop", "seg.zarr", "LABEL", "-o", "x.npy"],
        ["remap", "seg.zarr", "1=2"],
        ["labels", "seg.zarr"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_damage_is_an_error_everywhere(run, seg, source, arguments):
    """A damaged chunk is refused by name, with exit code 1, and nothing is written."""
    label = int(seg[3, 20, 20])
    path = source / "c/0/1/1"
    changed = bytearray(path.read_bytes())
    changed[10] ^= 4  # the header: every question reads it
    path.write_bytes(changed)
    before = sorted(os.listdir())
    ran = run(*(str(label) if argument == "LABEL" else argument for argument in arguments))
    assert ran.code == 1
    assert "c/0/1/1" in one_line(ran)
    assert ran.out == ""
    assert sorted(os.listdir()) == before
    assert path.read_bytes() == changed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stat", "seg.zarr"], "Did you mean 'stats'?"),
        (["covnert", "seg.zarr", "x.zarr"], "Did you mean 'convert'?"),
        (["stats", "--reigon", "1:2", "seg.zarr"], "--region"),
        (["find", "seg.zarr", "1", "--jsno"], "--json"),
        (["remap", "seg.zarr", "1=2", "--dry-rnu"], "--dry-run"),
        (["convert", "seg.zarr", "x.zarr", "--overwrit"], "--overwrite"),
        (["verify", "seg.zarr", "--storage-opton", "a=1"], "--storage-option"),
        (["convert", "seg.zarr", "x.zarr", "--to", "crackel"], "'crackel' is not one of 'crackle', 'zstd'"),
        (["convert", "seg.zarr", "x.zarr", "--chunks", "4,x"], "'4,x' is not a shape"),
        (["convert", "seg.zarr", "x.zarr", "--zarr-format", "4"], "'4' is not one of '2', '3'"),
        (["convert", "seg.zarr", "x.zarr", "--to", "zstd", "-m", "5"], "--markov and --pins are for Crackle"),
        (["convert", "seg.zarr"], "Missing argument 'DESTINATION'"),
        (["convert", "seg.npy", "x.zar"], "x.zar: no format is known by this name: .ckl, .npy, .nrrd, .nii"),
        (["convert", "seg.zarr", "x.npy", "--to", "zstd"], "--to is for Zarr arrays, and x.npy is to be a"),
        (["convert", "seg.zarr", "x.npy", "-m", "5"], "--markov and --pins are for Crackle, and x.npy is"),
        (["convert", "seg.zarr", "x.zarr", "--npy-axes", "xyz"], "--npy-axes is for .npy files"),
        (["stats", "seg.zarr", "--region", "1:x"], "'1:x' is not a region: ranges as in Python"),
        (["stats", "seg.zarr", "--region", "1:2:3:4"], "'1:2:3:4' is no range"),
        (["stats", "seg.zarr", "--region", ""], "'' is not a region"),
        (["stats", "seg.zarr", "--region", "0:99"], "does not lie within the array of shape (12, 40, 50)"),
        (["stats", "seg.zarr", "--region", "0:9:2"], "a region has no steps"),
        (["stats", "seg.zarr", "--region", ":,:,:,:"], "has more axes than the array"),
        (["stats", "seg.zarr", "-o", "x.txt"], "x.txt: the name has to end in .csv or .parquet"),
        (["stats", "seg.zarr", "-o", "no/x.csv"], "there is no directory no"),
        (["stats", "seg.zarr", "--storage-option", "anon"], "'anon' is not KEY=VALUE, such as anon=true"),
        (["stats", "seg.zarr", "--storage-option", "anon=true"], "--storage-option is for URLs"),
        (["labels", "seg.npy", "--storage-option", "anon=true"], "--storage-option is for URLs"),
        (["labels", "seg.npy", "--region", "0:1"], "seg.npy: --region is for Zarr arrays"),
        (["find", "seg.npy", "1"], "seg.npy: a file, and a Zarr array is a folder or a URL"),
        (["find", "seg.zarr", "x"], "'x' is not a valid integer"),
        (["find", "seg.zarr"], "Missing argument 'LABEL'"),
        (["find", "no.zarr", "1"], "no.zarr: No such file or directory"),
        (["find", "empty", "1"], "empty: there is no Zarr array or group"),
        (["labels", "group.zarr"], "group.zarr is a group, and not one of OME-Zarr labels"),
        (["stats", "floats.zarr"], "floats.zarr"),
        (["verify", "broken.zarr"], "broken.zarr"),
        (["crop", "seg.zarr", "1"], "Missing option '-o' / '--output'"),
        (["crop", "seg.zarr", "1", "-o", "x.txt"], "x.txt: the name has to end in .npy or .ckl"),
        (["remap", "seg.zarr"], "Nothing to do: give OLD=NEW, such as 42=7, or --mapping FILE"),
        (["remap", "seg.zarr", "1:2"], "'1:2' is not OLD=NEW"),
        (["remap", "seg.zarr", "1=x"], "'x' is no label: labels are integers"),
        (["remap", "seg.zarr", "1=2", "1=3"], "the label 1 is given two new names: 2 and 3"),
        (["remap", "seg.zarr", "1=5000000000"], "uint32, which does not hold 5000000000"),
        (["remap", "seg.zarr", "--resume", "--undo"], "--resume and --undo exclude each other"),
        (["remap", "seg.zarr", "--undo", "1=2", "--strict"], "--undo takes no OLD=NEW and no --strict"),
        (["remap", "seg.zarr", "--resume"], "seg.zarr has no unfinished remap"),
        (["remap", "seg.zarr", "--mapping", "no.csv"], "'no.csv' does not exist"),
        (["labels", "nowhere://a/b"], "nowhere://a/b cannot be opened: Protocol not known: nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(run, seg, source, arguments, said):
    """A mistake is one line on stderr that names what was given and what to do, and exit code 2."""
    if "nowhere" in arguments[-1]:
        pytest.importorskip("fsspec")
    np.save("seg.npy", seg)
    Path("empty").mkdir()
    zarr.create_group("group.zarr")
    zarr.create_array("floats.zarr", shape=(2, 2), dtype="f4", chunks=(2, 2))
    Path("broken.zarr").mkdir()
    Path("broken.zarr/zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    ran = run(*arguments)
    assert ran.code == 2, ran.err
    assert said in one_line(ran)
    assert ran.out == ""
    assert np.array_equal(read(source), seg)


def test_damaged_metadata(run, source):
    """Metadata that is no JSON is damage."""
    (source / "zarr.json").write_text('{"zarr_format": 3, ')
    ran = run("info", source)
    assert ran.code == 1
    assert "seg.zarr: its metadata is damaged" in one_line(ran)


@pytest.mark.parametrize("scheme", ["s3", "https"])
def test_url_without_what_it_needs(run, monkeypatch, scheme):
    """Where fsspec has no way to a URL, the extra is named."""
    pytest.importorskip("fsspec")

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("zarr.storage.FsspecStore.from_url", missing)
    for arguments in (
        ["labels", f"{scheme}://bucket/seg.zarr"],
        ["convert", f"{scheme}://bucket/a", "b.zarr"],
    ):
        ran = run(*arguments)
        assert ran.code == 2
        assert f"{scheme}://bucket/" in one_line(ran)
        assert "pip install 'crackle-zarr[remote]'" in ran.err


def test_store_trouble_is_no_damage(run, source, monkeypatch):
    """A store that fails makes the exit code 2, whatever the question."""
    local = zarr.storage.LocalStore
    asynchronous, synchronous = local.get, getattr(local, "get_sync", None)  # the latter since zarr 3.1

    def refuse(key: str) -> None:
        if key.startswith("c/"):
            raise ConnectionRefusedError(111, "Connection refused")

    async def get(self, key, *arguments, **keywords):
        refuse(key)
        return await asynchronous(self, key, *arguments, **keywords)

    def get_sync(self, key, *arguments, **keywords):
        refuse(key)
        return synchronous(self, key, *arguments, **keywords)

    monkeypatch.setattr(local, "get", get)
    if synchronous is not None:
        monkeypatch.setattr(local, "get_sync", get_sync)
    for arguments in (["labels", source], ["find", source, 1], ["verify", source]):
        ran = run(*arguments)
        assert ran.code == 2, ran.err
        assert "c/0/" in one_line(ran)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(run, command):
    """Every help has examples and the exit codes."""
    ran = run(command, "--help")
    assert ran.code == 0
    assert "Examples:\n" in ran.out
    assert f"crackle-zarr {command}" in ran.out.split("Examples:")[1]
    assert "3  the label" in ran.out


def test_help_lists_the_commands(run):
    """Each with all of its line."""
    listed = run("--help").out.split("Commands:")[-1].split("Exit codes:")[0]
    for command in COMMANDS:
        assert f"  {command} " in listed
    assert "..." not in listed
