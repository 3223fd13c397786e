"""info, labels and verify on files and arrays alike; errors and help."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from cli_stored_cases import COMMANDS, damage, label, ome, plain, read, seg, source  # noqa: F401
from command_line import one_line

import crackle_zarr


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
    from crackle_zarr.stored import warn

    warn.warn_once.cache_clear()  # once for an array of a name
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
        "unfinished": [],
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
        (["convert", "seg.npy", "x.zar"], "x.zar: its name has no known suffix: .ckl, .npy, .nrrd, .nii"),
        (["convert", "seg.zarr", "x.npy", "--to", "zstd"], "--to is for Zarr arrays, and x.npy is a file"),
        (["convert", "seg.zarr", "x.npy", "-m", "5"], "--markov and --pins are for Crackle, not for x.npy"),
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
        (["find", "seg.npy", "1"], "seg.npy: this is a file, but a Zarr array is a folder or a URL"),
        (["find", "seg.zarr", "x"], "'x' is not a valid integer"),
        (["find", "seg.zarr"], "Missing argument 'LABEL'"),
        (["find", "no.zarr", "1"], "no.zarr: No such file or directory"),
        (["find", "empty", "1"], "empty: there is no Zarr array or group"),
        (["labels", "group.zarr"], "group.zarr is a group, and not one of OME-Zarr labels"),
        (["stats", "floats.zarr"], "floats.zarr"),
        (["verify", "broken.zarr"], "broken.zarr"),
        (["crop", "seg.zarr", "1"], "Missing option '-o' / '--output'"),
        (["crop", "seg.zarr", "1", "-o", "x.txt"], "x.txt: the name has to end in .npy or .ckl"),
        (["remap", "seg.zarr"], "Nothing to do: give OLD=NEW, such as 42=7, --mapping FILE or --edges FILE"),
        (["remap", "seg.zarr", "1:2"], "'1:2' is not OLD=NEW"),
        (["remap", "seg.zarr", "1=x"], "'x' is no label: labels are integers"),
        (["remap", "seg.zarr", "1=2", "1=3"], "the mapping gives the label 1 two new labels: 2 and 3"),
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
    assert "3  the volume does not have the requested label" in ran.out


def test_help_lists_the_commands(run):
    """Each with all of its line."""
    listed = run("--help").out.split("Commands:")[-1].split("Exit codes:")[0]
    for command in COMMANDS:
        assert f"  {command} " in listed
    assert "..." not in listed
