"""The command line: what it writes, says and returns."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, environment, in_process, one_line

import crackle_zarr
from crackle_zarr.streams import sections
from crackle_zarr.synthetic import neurons


@pytest.fixture(scope="module")
def seg():
    """A volume (x, y, z) in F order."""
    return neurons((10, 40, 50), seed=2, dtype=np.uint32).T


def write_npy(path: Path, array: np.ndarray) -> None:
    opener = {".gz": gzip.open, ".xz": lzma.open, ".lzma": lzma.open, ".bz2": bz2.open}.get(path.suffix, open)
    how = {"format": lzma.FORMAT_ALONE} if path.suffix == ".lzma" else {}
    with opener(path, "wb", **how) as file:
        np.save(file, array)


# ---------------------------------------------------------------------------------------
# compress and decompress


@pytest.mark.parametrize("outer", ["", ".gz", ".xz", ".lzma", ".bz2", ".zst"])
def test_round_trip_in_every_outer_format(run, seg, tmp_path, outer):
    """A .npy and a .ckl within any outer format go through compress and decompress unchanged."""
    if outer == ".zst":
        pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        np.save("plain.npy", seg)
        source = tmp_path / "plain.npy"
    else:
        source = tmp_path / f"seg.npy{outer}"
        write_npy(source, seg)
    stream = f"made.ckl{outer}"
    assert run("compress", source, "-o", stream).code == 0
    assert np.array_equal(crackle_zarr.load(stream), seg)
    assert run("decompress", stream, "-o", f"back.npy{outer}").code == 0
    # What a .npy within an outer format holds is told by reading it once more.
    assert run("compress", f"back.npy{outer}", "-o", "again.ckl").code == 0
    again = crackle_zarr.load("again.ckl")
    assert np.array_equal(again, seg)
    assert again.dtype == seg.dtype
    assert again.flags.f_contiguous


@pytest.mark.parametrize(
    ("source", "stream", "back"),
    [
        ("seg.npy", "seg.npy.ckl", "seg.npy"),
        ("seg.npy.gz", "seg.npy.ckl", "seg.npy"),
        ("a.b.npy.xz", "a.b.npy.ckl", "a.b.npy"),
    ],
)
def test_default_names(run, seg, tmp_path, source, stream, back):
    """Outputs lie beside their sources, under the names that the help states."""
    folder = tmp_path / "folder"
    folder.mkdir()
    write_npy(folder / source, seg)
    ran = run("compress", folder / source)
    assert ran.code == 0
    assert (folder / stream).exists()
    assert str(folder / stream) in ran.out
    (folder / source).unlink()
    assert run("decompress", folder / stream).code == 0
    assert np.array_equal(np.load(folder / back), seg)


def test_decompress_names_a_stream_without_npy(run, seg):
    """seg.ckl.gz becomes seg.npy."""
    crackle_zarr.save(seg, "seg.ckl.gz")
    assert run("decompress", "seg.ckl.gz").code == 0
    assert np.array_equal(np.load("seg.npy"), seg)


def test_gzip_option(run, seg):
    """--gzip wraps the stream in gzip and says so in the name."""
    np.save("seg.npy", seg)
    assert run("compress", "-z", "seg.npy").code == 0
    assert Path("seg.npy.ckl.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert np.array_equal(crackle_zarr.load("seg.npy.ckl.gz"), seg)
    assert "name the file .ckl.gz" in one_line(run("compress", "-z", "-o", "x.ckl", "seg.npy"))


def test_options_reach_the_stream(run, seg):
    """Markov order and pins given on the command line are those of the stream."""
    np.save("seg.npy", seg)
    assert run("compress", "-m", 2, "--pins", 1, "-j", 2, "seg.npy").code == 0
    header = crackle_zarr.header(Path("seg.npy.ckl").read_bytes())
    assert header.markov_model_order == 2
    assert header.label_format == 2
    assert run("compress", "seg.npy.ckl", "-o", "again.ckl").code == 0
    header = crackle_zarr.header(Path("again.ckl").read_bytes())
    assert header.markov_model_order == 3
    assert header.label_format == 0


@pytest.mark.parametrize("shape", [(7,), (6, 5), (0, 3, 2)], ids=str)
def test_fewer_axes_and_no_voxels(run, shape):
    """1-D, 2-D and empty volumes are compressed like others."""
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    np.save("a.npy", array)
    assert run("compress", "a.npy").code == 0
    assert run("info", "a.npy.ckl").code == 0
    assert run("test", "a.npy.ckl").code == 0
    assert run("decompress", "a.npy.ckl", "-o", "b.npy").code == 0
    assert np.array_equal(np.load("b.npy").reshape(shape), array)


def test_sources_are_kept(run, seg):
    """Neither command touches its source, and --force does not let an output replace it."""
    np.save("seg.npy", seg)
    before = Path("seg.npy").read_bytes()
    run("compress", "seg.npy")
    run("decompress", "seg.npy.ckl", "-o", "other.npy")
    assert Path("seg.npy").read_bytes() == before
    ran = run("compress", "--force", "seg.npy.ckl", "-o", "seg.npy.ckl")
    assert ran.code == 2
    assert "would replace its source" in one_line(ran)


def test_existing_outputs_are_refused(run, seg):
    """An output that exists stays as it is without --force and is replaced with it."""
    np.save("seg.npy", seg)
    Path("seg.npy.ckl").write_bytes(b"precious")
    ran = run("compress", "seg.npy")
    assert ran.code == 2
    assert "seg.npy.ckl exists already: --force" in one_line(ran)
    assert Path("seg.npy.ckl").read_bytes() == b"precious"
    assert run("compress", "--force", "seg.npy").code == 0
    assert np.array_equal(crackle_zarr.load("seg.npy.ckl"), seg)
    ran = run("decompress", "seg.npy.ckl")
    assert ran.code == 2
    assert "--output" in one_line(ran)


def test_failed_output_leaves_nothing(run, seg, monkeypatch):
    """When writing fails half-way the old file is whole and nothing else is left behind."""
    crackle_zarr.save(seg, "seg.ckl")
    np.save("out.npy", np.arange(3))
    before = Path("out.npy").read_bytes()

    def fail(file, array, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    ran = run("decompress", "--force", "seg.ckl", "-o", "out.npy")
    assert ran.code == 2
    assert "No space left" in one_line(ran)
    assert Path("out.npy").read_bytes() == before
    assert sorted(os.listdir()) == ["out.npy", "seg.ckl"]


def test_label_mask(run, seg):
    """--label writes a mask under a name of its own; a label that is not there is an error."""
    crackle_zarr.save(seg, "seg.ckl")
    label = int(seg[20, 20, 5])
    ran = run("decompress", "--label", label, "seg.ckl")
    assert ran.code == 0
    mask = np.load(f"seg.label-{label}.npy")
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, seg == label)
    assert f"{np.count_nonzero(mask):,} voxels" in ran.out
    ran = run("decompress", "--label", 99, "seg.ckl", "-o", "none.npy")
    assert ran.code == 3
    assert "there is no label 99; 'crackle-zarr labels seg.ckl' lists them" in one_line(ran)
    assert not Path("none.npy").exists()


def test_many_inputs(run, seg, tmp_path):
    """Several files go into a directory; those that fail are named and the rest are done."""
    for name in ("a", "b"):
        np.save(f"{name}.npy", seg)
    np.save("floats.npy", np.zeros((2, 2)))
    Path("out").mkdir()
    ran = run("compress", "-o", "out", "a.npy", "floats.npy", "missing.npy", "b.npy")
    assert ran.code == 2
    assert sorted(os.listdir("out")) == ["a.npy.ckl", "b.npy.ckl"]
    assert ran.out.count("\n") == 2
    errors = ran.err.splitlines()
    assert len(errors) == 2
    assert "floats.npy: labels are integers or bool, not float64" in errors[0]
    assert "missing.npy: No such file" in errors[1]


def test_progress_bar_on_a_terminal(seg, tmp_path):
    """Several files show a bar on stderr when that is a terminal, and stdout stays free of it."""
    pty = pytest.importorskip("pty")
    for name in ("a", "b", "c"):
        np.save(tmp_path / f"{name}.npy", seg)
    master, slave = pty.openpty()
    pytest.importorskip("termios").tcsetwinsize(slave, (24, 80))  # tqdm draws nothing on zero columns
    command = [*COMMAND, "compress"]
    shown = b""
    with subprocess.Popen(
        [*command, "a.npy", "b.npy", "c.npy"],
        env=environment(TERM="xterm"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=slave,
    ) as process:
        os.close(slave)
        with contextlib.suppress(OSError):  # Linux: the terminal is gone when the last writer is
            while piece := os.read(master, 10_000):
                shown += piece
        os.close(master)
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 0, shown
    assert b"/3 [" in shown
    assert said.count(b"\n") == 3
    assert b"/3 [" not in said


# ---------------------------------------------------------------------------------------
# info, labels, test


def test_info_json(run, seg):
    """info --json tells the header, the sizes of all sections and the ratio, for each file."""
    crackle_zarr.save(seg, "a.ckl", markov_model_order=2)
    crackle_zarr.save(seg, "b.ckl.gz")
    np.save("c.npy", seg)
    ran = run("info", "--json", "a.ckl", "b.ckl.gz", "c.npy")
    assert ran.code == 0
    a, b, c = json.loads(ran.out)
    size = Path("a.ckl").stat().st_size
    assert a["file"] == "a.ckl"
    assert a["shape"] == [50, 40, 10]
    assert a["dtype"] == "uint32"
    assert a["memory_order"] == "F"
    assert a["markov_model_order"] == 2
    assert a["num_labels"] == len(np.unique(seg))
    assert (int(a["min_label"]), int(a["max_label"])) == (seg.min(), seg.max())
    assert a["file_nbytes"] == a["stream_nbytes"] == sum(a["sections"].values()) == size
    assert a["sections"]["header"] == 29
    assert a["sections"]["crack_index"] == 44
    assert a["sections"]["markov_model"] == 10
    assert a["ratio"] == pytest.approx(seg.nbytes / size)
    assert b["file_nbytes"] == Path("b.ckl.gz").stat().st_size != b["stream_nbytes"]
    assert c["kind"] == "npy"
    assert c["shape"] == [50, 40, 10]


def test_info_keeps_labels_past_2_to_53(run):
    """The extremes of 64-bit labels are text in JSON, to the last digit."""
    crackle_zarr.save(np.array([[[2**64 - 1, 2**53 + 1]]], dtype=np.uint64), "big.ckl")
    (told,) = json.loads(run("info", "--json", "big.ckl").out)
    assert told["min_label"] == "9007199254740993"
    assert told["max_label"] == "18446744073709551615"


def test_info_table(run, seg):
    """The table names the file, shape, dtype, labels, every section and the ratio."""
    crackle_zarr.save(seg, "a.ckl.gz")
    ran = run("info", "a.ckl.gz")
    assert ran.code == 0
    for text in (
        "a.ckl.gz",
        "50 x 40 x 10 (x, y, z)",
        "uint32, F order",
        f"{len(np.unique(seg))}, ",
        "crack codes",
        "checksums",
        f"ratio {seg.nbytes / Path('a.ckl.gz').stat().st_size:.1f}",
    ):
        assert text in ran.out


@pytest.mark.parametrize("dtype", ["i8", "u8", "u1"])
def test_labels(run, dtype):
    """labels lists all of them ascending, one per line, exact in 64 bits, of either kind of file."""
    info = np.iinfo(dtype)
    volume = np.array([[[info.max, 5, info.min], [7, info.max - 1, 5]]], dtype=dtype)
    crackle_zarr.save(volume, "a.ckl")
    np.save("a.npy", volume)
    expected = "".join(f"{label}\n" for label in sorted({int(label) for label in volume.flat}))
    assert run("labels", "a.ckl").out == expected
    assert run("labels", "a.npy").out == expected
    assert run("labels", "--count", "a.ckl", "a.npy").out == "5 a.ckl\n5 a.npy\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("count", [60_000, 3000])
def test_labels_into_a_closed_pipe(tmp_path, count, unbuffered):
    """A reader that has seen enough, as head has, makes neither noise nor failure."""
    crackle_zarr.save(np.arange(count, dtype=np.uint32), tmp_path / "a.ckl")
    command = [*COMMAND, "labels", "a.ckl"]
    variables = environment(PYTHONUNBUFFERED=unbuffered)
    with subprocess.Popen(
        command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.fixture
def damaged(seg, tmp_path):
    """Streams by name, each with one bit changed in one place, and a sound one."""
    binary = crackle_zarr.compress(seg)
    from crackle_zarr import _binding

    layout = _binding.read_layout(binary)
    begin, end = _binding.codes_range(binary, 3, 4)
    places = {
        "header.ckl": 10,
        "index.ckl": layout.crack_index + 1,
        "labels.ckl": layout.labels + 20,
        "slice.ckl": (begin + end) // 2,
    }
    (tmp_path / "sound.ckl").write_bytes(binary)
    (tmp_path / "old.ckl").write_bytes(crackle_zarr.compress(seg, format_version=0))
    for name, place in places.items():
        changed = bytearray(binary)
        changed[place] ^= 4
        (tmp_path / name).write_bytes(changed)
    (tmp_path / "cut.ckl").write_bytes(binary[:-10])
    (tmp_path / "cut.ckl.gz").write_bytes(gzip.compress(binary)[:-30])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("sound.ckl", 0, "sound.ckl: sound\n"),
        ("old.ckl", 0, "old.ckl: sound, as far as version 0 can tell: it has no checksums\n"),
        ("header.ckl", 1, "damaged: header"),
        ("index.ckl", 1, "damaged: crack index"),
        ("labels.ckl", 1, "damaged: labels"),
        ("slice.ckl", 1, "damaged: slices z = 3\n"),
        ("cut.ckl", 1, "damaged: length; slices z = "),
        ("cut.ckl.gz", 1, "damaged or truncated gzip"),
    ],
)
def test_test_names_what_is_damaged(run, damaged, name, code, said):
    """Each kind of damage is named with its section or slices, and makes the exit code 1."""
    ran = run("test", name)
    assert ran.code == code
    assert said in ran.out
    assert ran.out.startswith(name)
    assert ran.err == ""


def test_test_many(run, damaged):
    """Every file gets its line; unusable ones go to stderr and make the exit code 2."""
    ran = run("test", "sound.ckl", "slice.ckl", "labels.ckl")
    assert ran.code == 1
    assert ran.out.count("\n") == 3
    np.save("a.npy", np.zeros((2, 2), dtype=np.uint8))
    Path("text.ckl").write_bytes(b"hello world")
    ran = run("test", "slice.ckl", "text.ckl", "a.npy")
    assert ran.code == 2
    assert ran.out.count("\n") == 1
    assert "text.ckl: neither a .npy file nor a Crackle stream: it begins with b'hello '" in ran.err
    assert "a.npy: a .npy file" in ran.err


@pytest.mark.parametrize("command", ["decompress", "info", "labels"])
def test_damage_is_an_error_everywhere(run, damaged, command):
    """A damaged labels section is refused with exit code 1, the section named, and nothing written."""
    before = sorted(os.listdir())
    ran = run(command, "labels.ckl")
    assert ran.code == 1
    assert "section: labels" in one_line(ran)
    assert sorted(os.listdir()) == before


def test_ranges():
    """Ascending numbers are joined into ranges."""
    assert sections._ranges([3]) == "3"
    assert sections._ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"


# ---------------------------------------------------------------------------------------
# Errors and help


def _content(kind: str) -> bytes:
    if kind == "text":
        return b"some text"
    if kind == "empty":
        return b""
    if kind == "cut npy":
        return (
            b"\x93NUMPY\x01\x00v\x00{'descr': '<u4', 'fortran_order': False, 'shape': (3,), }"
            + b" " * 62
            + b"\n1"
        )
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text", "neither a .npy file nor a Crackle stream: it begins with b'some t'"),
        ("empty", "neither a .npy file nor a Crackle stream: it begins with b''"),
        ("cut npy", "a damaged .npy file"),
    ],
)
@pytest.mark.parametrize("command", ["compress", "info", "labels"])
def test_unusable_files(run, command, kind, said):
    """A file that is of neither kind, or cut short, is named with what is wrong; exit code 2."""
    Path("file.npy").write_bytes(_content(kind))
    ran = run(command, "file.npy")
    assert ran.code == 2
    if command == "info":  # which knows other formats too
        said = said.replace("a .npy file nor a Crackle stream", "Crackle nor .npy, NRRD, NIfTI, TIFF or HDF5")
    assert f"file.npy: {said}" in one_line(ran)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 2)), "labels are integers or bool, not float64"),
        (np.zeros((2, 2), dtype=complex), "labels are integers or bool, not complex128"),
        (np.array([{}, []], dtype=object), "it holds Python objects, but labels are integers"),
        (np.zeros((1, 2, 1, 2), dtype=np.uint8), "up to three axes, not the 4"),
    ],
    ids=["float", "complex", "object", "4-D"],
)
def test_arrays_that_are_no_volume(run, array, said):
    """Floats, objects and too many axes are refused by name, and pickles are never opened."""
    np.save("a.npy", array, allow_pickle=True)
    ran = run("compress", "a.npy")
    assert ran.code == 2
    assert said in one_line(ran)
    assert not Path("a.npy.ckl").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compres", "a.npy"], "Did you mean 'compress'?"),
        (["compress", "--marko", "3", "a.npy"], "--markov"),
        (["compress", "--forse", "a.npy"], "--force"),
        (["compress", "-m", "13", "a.npy"], "'13' is not an order: 0 to 12, or auto."),
        (["compress", "-m", "x", "a.npy"], "'x' is not an order: 0 to 12, or auto."),
        (["compress", "-m", "-1", "a.npy"], "'-1' is not an order: 0 to 12, or auto."),
        (["compress", "--preset", "tiny", "a.npy"], "'tiny' is not one of 'fast', 'balanced', 'small'"),
        (["compress", "-p", "3", "a.npy"], "3 is not in the range 0<=x<=2"),
        (["compress", "-j", "-1", "a.npy"], "-1 is not in the range x>=0"),
        (["compress"], "Missing argument 'FILE...'"),
        (["compress", "a.npy", "a.npy"], "a.npy is given twice"),
        (
            ["compress", "-o", "c.ckl", "a.npy", "b.npy"],
            "c.ckl is not an existing directory; 2 inputs need one",
        ),
        (["compress", "-o", "no/c.ckl", "a.npy"], "there is no directory no"),
        (["compress", "-o", "c.txt", "a.npy"], "c.txt: the output's name has to end in .ckl"),
        (["decompress", "-o", "c.ckl", "a.ckl"], "c.ckl: the output's name has to end in .npy"),
        (["compress", "-o", "here", "a.npy", "sub/a.npy"], "a.npy and sub/a.npy have the same output, here"),
        (["compress", "no.npy"], "no.npy: No such file or directory"),
        (["compress", "sub"], "sub: Is a directory"),
        (["demo", "no.npy"], "'no.npy' does not exist"),
        (["demo", "--chunks", "64,x"], "'64,x' is not a shape: give positive integers such as 64,256,256"),
        (["demo", "--chunks", "0,1,1"], "'0,1,1' is not a shape"),
        (["demo", "--zarr-format", "4"], "'4' is not one of '2', '3'"),
        (["demo", "--png", "no/x.png"], "there is no directory no"),
    ],
    ids=" ".join,
)
def test_mistakes(run, seg, arguments, said):
    """A mistake is one line on stderr that names what was given and what to do, and exit code 2."""
    np.save("a.npy", seg)
    Path("sub").mkdir()
    Path("here").mkdir()
    np.save("sub/a.npy", seg)
    ran = run(*arguments)
    assert ran.code == 2
    assert said in one_line(ran)
    assert ran.out == ""


@pytest.mark.parametrize("command", ["", "compress", "decompress", "info", "labels", "test", "demo"])
def test_help_teaches(run, command):
    """Every help has examples and the exit codes."""
    ran = run(*command.split(), "--help")
    assert ran.code == 0
    assert "Examples:\n" in ran.out
    assert f"crackle-zarr {command}" in ran.out.split("Examples:")[1]
    assert "Exit codes:" in ran.out
    assert not any(line.rstrip().endswith("...") for line in ran.out.split("Commands:")[-1].splitlines()[1:7])


def test_version(run):
    """--version tells the package's version."""
    assert run("--version").out == f"crackle-zarr, version {crackle_zarr.__version__}\n"


def test_starts_without_zarr(tmp_path):
    """Commands that need no Zarr and no matplotlib do not import them."""
    code = (
        "import sys\nfrom crackle_zarr.cli import main\n"
        "try:\n    main(['--version'])\nfinally:\n"
        "    assert not {'zarr', 'numcodecs', 'matplotlib'} & set(sys.modules), 'imported'"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_exit_codes_of_the_process(tmp_path):
    """The process itself ends with the documented codes and without a traceback."""
    (tmp_path / "bad.ckl").write_bytes(b"crkl" + bytes(40))
    assert in_process("test", "bad.ckl", cwd=tmp_path).returncode == 1
    ran = in_process("info", "none.ckl", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == "crackle-zarr: none.ckl: No such file or directory\n"
    assert in_process("--version", cwd=tmp_path).returncode == 0
