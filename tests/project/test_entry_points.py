"""The codecs are found by their entry points alone, at little cost.

These tests need an installation, editable or not, because they test its metadata.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from chunks import blocks

from crackle_zarr import Crackle, CrackleCodec, create_array

POINTS = {
    "numcodecs.codecs": "crackle_zarr.codecs.numcodecs_codec:Crackle",
    "zarr.codecs": "crackle_zarr.codecs.zarr_codec:CrackleCodec",
}


def run(code: str, *arguments: Any) -> str:
    """The output of a new interpreter in which every warning is an error."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("group", POINTS)
def test_metadata(group: str) -> None:
    """The installed package has an entry point named crackle in both groups."""
    found = {
        point.value
        for point in importlib.metadata.entry_points(group=group, name="crackle")
        if point.name == "crackle"
    }
    assert found == {POINTS[group]}, "crackle-zarr is not installed: run 'pip install -e .' first"


READ = """
import sys, zarr
array = zarr.open_array(sys.argv[1], mode="r")
print("crackle_zarr" in sys.modules and array[:].sum(), array[3].sum(), array.shape)
"""

WRITE = """
import sys, numpy, zarr
array = zarr.open_array(sys.argv[1], mode="r+")
array[:] = numpy.arange(120, dtype="u4").reshape(4, 6, 5) // 7
"""


@pytest.mark.parametrize("options", [{}, {"shards": (4, 6, 5)}, {"zarr_format": 2}], ids=["3", "shards", "2"])
def test_fresh_interpreter(tmp_path: Path, options: dict[str, Any]) -> None:
    """An interpreter that imports only Zarr opens, reads and writes an array."""
    labels = blocks((4, 6, 5), "<u4") % 100
    array = create_array(
        tmp_path / "labels.zarr", shape=labels.shape, dtype="<u4", chunks=(2, 6, 5), **options
    )
    array[:] = labels
    assert run(READ, tmp_path / "labels.zarr") == f"{labels.sum()} {labels[3].sum()} (4, 6, 5)"
    run(WRITE, tmp_path / "labels.zarr")
    np.testing.assert_array_equal(array[:], np.arange(120).reshape(4, 6, 5) // 7)


def test_numcodecs_alone() -> None:
    """numcodecs finds its codec without an import of Zarr."""
    code = """
import sys, numcodecs
codec = numcodecs.get_codec({"id": "crackle", "markov_model_order": 3})
print(codec, "zarr" in sys.modules)
"""
    assert run(code) == "Crackle(markov_model_order=3, allow_pins=0) False"


def test_registry_of_zarr() -> None:
    """Zarr finds the same class by its name if the module was imported before."""
    code = """
import sys
if len(sys.argv) > 1:
    import crackle_zarr.codecs.zarr_codec
from zarr.registry import get_codec_class
print(get_codec_class("crackle").__module__)
"""
    assert run(code) == run(code, "first") == "crackle_zarr.codecs.zarr_codec"


def test_class_can_be_configured() -> None:
    """The name has no dot, so that Zarr's configuration can choose the class."""
    from zarr.registry import get_codec_class

    with zarr.config.set({"codecs.crackle": "crackle_zarr.codecs.zarr_codec.CrackleCodec"}):
        assert get_codec_class("crackle") is CrackleCodec


def test_import_is_cheap() -> None:
    """Importing the package and using it on streams imports neither Zarr nor numcodecs."""
    code = """
import sys, numpy, crackle_zarr
crackle_zarr.decompress(crackle_zarr.compress(numpy.zeros((4, 4, 4), "u4")))
print([name for name in ("zarr", "numcodecs", "click", "tqdm", "asyncio") if name in sys.modules])
crackle_zarr.Crackle
print("zarr" in sys.modules)
"""
    assert run(code).splitlines() == ["[]", "False"]


def test_names_of_the_package() -> None:
    """The package exports the classes of the entry points."""
    import crackle_zarr
    from crackle_zarr.codecs import create, numcodecs_codec, zarr_codec

    assert crackle_zarr.Crackle is numcodecs_codec.Crackle is Crackle
    assert crackle_zarr.CrackleCodec is zarr_codec.CrackleCodec
    assert crackle_zarr.create_array is create.create_array
    assert CrackleCodec().to_dict()["name"] == Crackle.codec_id == "crackle"


# ---------------------------------------------------------------------------------------
# python -m


def test_python_m_is_the_command_line() -> None:
    """``python -m crackle_zarr`` prints what ``crackle-zarr`` prints, with its own name in the usage."""
    texts = {
        program: subprocess.run(
            [sys.executable, *start, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for program, start in {
            "crackle-zarr": ["-c", "from crackle_zarr.cli import main; main()"],
            "python -m crackle_zarr": ["-m", "crackle_zarr"],
        }.items()
    }
    usages = {program: text.partition("Options:")[0].split("\n")[0] for program, text in texts.items()}
    assert usages == {program: f"Usage: {program} [OPTIONS] COMMAND [ARGS]..." for program in texts}
    first, second = ([line for line in text.split("\n") if "Usage:" not in line] for text in texts.values())
    assert first == second


def test_python_m_names_itself_in_errors() -> None:
    """A mistyped option ends with exit code 2, one line, and the command to type next."""
    done = subprocess.run(
        [sys.executable, "-m", "crackle_zarr", "labels", "--cuont", "x.ckl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--cuont" in done.stderr
    assert "'python -m crackle_zarr labels --help'" in done.stderr


@pytest.mark.parametrize(
    "start", [["-m", "pytest"], ["-c", "import pytest; raise SystemExit(pytest.main())"]]
)
def test_pytest_from_a_clone_without_extension(tmp_path: Path, start: list[str]) -> None:
    """In the root of a clone, tests import the installed package, however pytest is started.

    "python -m" puts the current folder in front of sys.path, and the package in a clone has no extension.
    """
    clone = tmp_path / "clone"
    (clone / "crackle_zarr").mkdir(parents=True)
    (clone / "tests").mkdir()
    (clone / "crackle_zarr" / "__init__.py").write_text("raise ImportError('this is the source tree')\n")
    project = Path(__file__).resolve().parents[2]
    for name in ("pyproject.toml", "tests/conftest.py", "tests/command_line.py"):
        (clone / name).write_bytes((project / name).read_bytes())
    (clone / "tests" / "test_it.py").write_text(
        "import crackle_zarr\n\n\ndef test_it():\n    assert crackle_zarr.compress([[[1]]])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, *start], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
