"""The commands stats, find and crop on stored arrays, and tables on a terminal."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from cli_stored_cases import (  # noqa: F401
    box_of,
    check_csv,
    expected_rows,
    label,
    on_a_terminal,
    plain,
    read,
    seg,
    source,
    stored,
)
from command_line import one_line

import crackle_zarr

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


def test_contacts_shows_a_table_on_a_terminal(run, tmp_path):
    """The first 40 pairs with names of their labels, and how many more there are; --all shows them."""
    volume = np.arange(1, 61, dtype=np.uint16).reshape(60, 1, 1)
    stored("row.zarr", volume)
    crackle_zarr.set_label_names(zarr.open_array("row.zarr", mode="r+"), {41: "axon"})
    code, shown, _ = on_a_terminal(tmp_path, "contacts", "row.zarr", "--no-progress", out=True)
    assert code == 0
    assert "name b" in shown
    assert "39:41,0:1,0:1" in shown  # the box of the labels 40 and 41
    assert "axon" in shown
    assert "40:42,0:1,0:1" not in shown
    assert "... and 19 more: --all shows them" in shown
    _, shown, _ = on_a_terminal(tmp_path, "contacts", "row.zarr", "--all", "--no-progress", out=True)
    assert "58:60,0:1,0:1" in shown
    assert "more" not in shown


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
        "indexed": False,
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
    nowhere = {"file": name, "label": "99", "start": None, "stop": None, "chunks": [], "indexed": False}
    assert json.loads(ran.out) == nowhere


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
