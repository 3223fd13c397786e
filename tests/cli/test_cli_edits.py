"""The commands remap and convert on stored arrays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from cli_stored_cases import interrupted, label, ome, plain, read, seg, source  # noqa: F401
from command_line import one_line

import crackle_zarr

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
    """The error counts the chunks that are not stored; they are written with --create-chunks."""
    made = crackle_zarr.create_array("few.zarr", shape=(4, 4), dtype="u1", chunks=(2, 2))
    made[:2, :2] = 5
    ran = run("remap", "few.zarr", "0=9")
    assert ran.code == 2
    assert "3 of 4 chunks are not stored" in ran.err
    assert "--create-chunks writes them" in one_line(ran)
    assert run("remap", "few.zarr", "0=9", "--create-chunks").code == 0
    expected = np.full((4, 4), 9)
    expected[:2, :2] = 5
    assert np.array_equal(read("few.zarr"), expected)


def test_interruption_tells_how_to_go_on(run, seg, source, label, monkeypatch):
    """Ctrl-C while chunks are written names --resume and --undo; before that, it leaves no journal."""
    from crackle_zarr.stored import edits
    from crackle_zarr.stored.editing import edit

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(edits, "Prepare", stop)
        ran = run("remap", source, f"{label}=1")
    assert ran.code == 130
    assert ran.err.split() == ["crackle-zarr:", "interrupted"]
    with monkeypatch.context() as patch:
        patch.setattr(edit, "copy_to_array", stop)
        ran = run("remap", source, f"{label}=1")
    assert ran.code == 130
    assert "seg.zarr has an unfinished remap: --resume finishes it, --undo restores the array" in ran.err
    assert run("remap", source, "--undo").code == 0
    assert np.array_equal(read(source), seg)


def test_resume(run, seg, interrupted, label):
    """Another remap is refused and names the options; --resume finishes the first."""
    ran = run("remap", interrupted, "1=2")
    assert ran.code == 2
    assert "--resume finishes it, --undo restores the array" in one_line(ran)
    ran = run("remap", interrupted, "--resume")
    assert ran.code == 0
    assert " changed, " in ran.out
    assert np.array_equal(read(interrupted), np.where(seg == label, 1, seg))
    ran = run("remap", interrupted, "--resume")
    assert ran.code == 2
    assert "seg.zarr has no unfinished remap" in one_line(ran)


def test_undo(run, seg, interrupted):
    """--undo restores the array."""
    ran = run("remap", interrupted, "--undo")
    assert ran.code == 0
    assert " restored, " in ran.out
    assert np.array_equal(read(interrupted), seg)
    assert run("remap", interrupted, "--undo").code == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "1,2,3\n", "m.csv has the columns 0, 1, 2: a mapping has the columns old and new"),
        ("m.csv", "1,2\n1,2,3\n", "m.csv, line 2: the line has 3 columns, and others have 2"),
        ("m.csv", "1,2\nx,2\n", "m.csv, line 2: 'x' is no label: labels are integers"),
        ("m.csv", "1,2\n1,3\n", "the mapping gives the label 1 two new labels: 2 and 3"),
        ("m.csv", "1,2.5\n", "m.csv, line 1: '2.5' is no label"),
        ("m.json", "{", "m.json is not JSON"),
        ("m.json", "7", 'a mapping in JSON is an object such as {"1": 7}'),
        ("m.json", '{"1": 2.5}', "m.json: 2.5 is no label"),
        ("m.json", '{"1": true}', "m.json: True is no label"),
        ("m.json", '{"1": 2, "1": 3}', "the mapping gives the label 1 two new labels: 2 and 3"),
        ("m.txt", "1,2\n", "m.txt: a file with the mapping ends in one of .npy, .npz, .parquet"),
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
    assert ran.out.startswith("plain.zarr -> new.zarr  12 x 40 x 50 -> 12 x 40 x 50, 1 array, 12 chunks, ")
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
    assert "other is a folder of other files" in one_line(ran)
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
# What was not finished


def stopped(monkeypatch, run, *arguments: object) -> None:
    """Run a conversion that is interrupted after two blocks."""
    from crackle_zarr.stored import convert as conversion

    blocks = iter(range(2))
    convert = conversion.Convert.__call__

    def some(self: conversion.Convert) -> int:
        if next(blocks, None) is None:
            raise KeyboardInterrupt
        return convert(self)

    with monkeypatch.context() as patch:
        patch.setattr(conversion.Convert, "__call__", some)
        assert run("convert", *arguments, "--parallel", "1").code == 130


def test_a_file_goes_on(run, seg, monkeypatch):
    """A conversion of a file that was interrupted goes on when it is given again, and keeps what is done."""
    np.save("seg.npy", seg)
    arguments = ("seg.npy", "new.zarr", "--npy-axes", "zyx", "--chunks", "12,16,16")
    stopped(monkeypatch, run, *arguments)
    done = {path: path.stat().st_mtime_ns for path in Path("new.zarr/c").rglob("*") if path.is_file()}
    assert len(done) == 2
    ran = run("verify", "new.zarr")
    assert ran.code == 1
    assert "is an unfinished conversion of file://" in ran.out
    assert "is an unfinished conversion" in one_line(run("labels", "new.zarr"))
    ran = run("convert", "seg.npy", "new.zarr", "--npy-axes", "xyz", "--chunks", "12,16,16")
    assert ran.code == 2
    assert "--overwrite" in one_line(ran)
    assert run("convert", *arguments).code == 0
    assert np.array_equal(read("new.zarr"), seg)
    assert done.items() <= {path: path.stat().st_mtime_ns for path in Path("new.zarr/c").rglob("*")}.items()
    assert run("verify", "new.zarr").code == 0


def test_a_file_that_changed_does_not_go_on(run, seg, monkeypatch):
    """A conversion does not go on from a file that changed meanwhile; --overwrite starts anew, as told."""
    np.save("seg.npy", seg)
    arguments = ("seg.npy", "new.zarr", "--npy-axes", "zyx", "--chunks", "12,16,16")
    stopped(monkeypatch, run, *arguments)
    np.save("seg.npy", seg + 1)
    ran = run("convert", *arguments)
    assert ran.code == 2
    assert "it has changed since" in one_line(ran)
    assert run("convert", *arguments, "--overwrite").code == 0
    assert np.array_equal(read("new.zarr"), seg + 1)


def test_an_unfinished_remap_is_told(run, seg, interrupted):
    """info, verify and questions tell of an unfinished remap, and what they advise helps."""
    ran = run("info", interrupted)
    assert "unfinished" in ran.out
    assert "has an unfinished remap since" in ran.out
    ran = run("verify", interrupted)
    assert ran.code == 1
    assert "--resume, --undo" in ran.out
    assert "and it is unfinished" in ran.out
    ran = run("labels", interrupted)
    assert ran.code == 0
    assert "has an unfinished remap" in ran.err
    ran = run("labels", interrupted, "--unfinished", "refuse")
    assert ran.code == 2
    assert "has an unfinished remap" in ran.err
    assert run("labels", interrupted, "--unfinished", "ignore").err == ""
    ran = run("remap", interrupted, "1=2")
    assert ran.code == 2
    assert "--resume finishes it, --undo restores the array" in one_line(ran)
    assert run("remap", interrupted, "--undo").code == 0
    assert run("verify", interrupted).code == 0
    assert np.array_equal(read(interrupted), seg)


@pytest.mark.parametrize("advice", ["--theirs", "--ours"])
def test_what_others_wrote(run, seg, interrupted, label, advice):
    """--resume lists chunks that others have written; --theirs and --ours do what the message says."""
    array = zarr.open_array(str(interrupted), mode="r+")
    place = tuple(np.argwhere(seg == label)[0])
    array[place] = 4_000_000
    ran = run("remap", interrupted, "--resume")
    assert ran.code == 2
    assert f"--resume {advice}" in one_line(ran)
    assert run("remap", interrupted, "--resume", advice).code == 0
    assert (read(interrupted)[place] == 4_000_000) is np.bool_(advice == "--theirs")
    assert run("verify", interrupted).code == 0
    ran = run("remap", interrupted, "1=2", advice)
    assert ran.code == 2
    assert "is for --resume and --undo" in one_line(ran)


def test_a_remap_at_work_elsewhere(run, seg, source):
    """A remap at work elsewhere is told with its process, and --force takes it over, as it is told."""
    from dataclasses import replace

    from crackle_zarr.stored.editing.journal import Journal
    from crackle_zarr.stored.editing.owner import new_owner
    from crackle_zarr.stored.layout import layout_of

    owner = replace(new_owner(), machine="far", host="far", pid=4711)
    plan = {"id": owner.id, "keys": [1], "values": [2], "preserve": True, "create_chunks": False}
    Journal(layout_of(zarr.open_array(str(source), mode="r+"))).begin(plan, owner)
    for arguments in (("1=2",), ("--resume",), ("--undo",)):
        ran = run("remap", source, *arguments)
        assert ran.code == 2
        assert "is being remapped since" in one_line(ran)
        assert "by process 4711 on far" in one_line(ran)
        assert "--undo --force" in one_line(ran)
    assert run("remap", source, "--undo", "--force").code == 0
    assert np.array_equal(read(source), seg)
