"""The contents of the sdist and the wheel, and their use without the source tree.

Both are built once, from a copy of the tree that also has files which must not be shipped: the sdist from the
copy, the wheel from the sdist alone. The wheel is then installed in a new environment, which needs the
package index. With CRACKLE_LONG=1 the wheel is built a second time, and must be the same.
"""

from __future__ import annotations

import configparser
import email.message
import email.parser
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import types
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]

FOLDERS = ("benchmarks", "crackle_zarr", "csrc", "docs", "tests", "wasm")
AT_THE_TOP = {
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "SECURITY.md"),
    *("build_ffi.py", "mkdocs.yml", "pyproject.toml", "setup.cfg", "setup.py"),
}
NOT_SHIPPED = (
    *("__pycache__", ".*_cache", "build", "*.py[cod]", "*.so", "*.o", "*.egg-info"),
    *("dist", "node_modules", "package-lock.json"),
)
STRAYS = (
    "crackle_zarr/_crackle.cpython-311-x86_64-linux-gnu.so",
    "crackle_zarr/__pycache__/stream.cpython-311.pyc",
    "tests/.mypy_cache/3.11/cache.json",
    "tests/c/build/plain/test_crc",
    "tests/fuzz/build/fuzz_decode",
    "wasm/dist/wasm.js",
    "wasm/examples/page/dist/index.html",
    "wasm/examples/page/node_modules/vite/package.json",
    "wasm/node_modules/zarrita/package.json",
    "wasm/package-lock.json",
)

GIL_DISABLED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

# 2024-01-01: no file here has this time otherwise.
EPOCH = "1704067200"


def environment(scratch: Path) -> dict[str, str]:
    """The environment without variables that lead Python back to the tree; temporary files go to a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CRACKLE_"))}
    folders = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    return {**kept, **folders, "SOURCE_DATE_EPOCH": EPOCH, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*command: str | Path, scratch: Path) -> str:
    """The output of a program that runs in a folder outside of the tree."""
    scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [*map(str, command)],
        cwd=scratch,
        env=environment(scratch),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Built:
    """A copy of the tree, and the distributions built from it."""

    tree: Path
    scratch: Path
    sdist: Path
    wheel: Path


def files_of(tree: Path) -> set[str]:
    """The files of the project's folders."""
    found = (path for folder in FOLDERS for path in (tree / folder).rglob("*"))
    return {path.relative_to(tree).as_posix() for path in found if path.is_file()}


def wheel_of(sdist: Path, folder: Path, scratch: Path) -> Path:
    """The wheel that pip builds from an sdist, alone in a temporary folder."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", "--wheel-dir"]
    run(*pip, folder, sdist, scratch=scratch)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's files, without build products."""
    copy = tmp_path_factory.mktemp("copied")
    for path in PROJECT.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
    for folder in FOLDERS:
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    return copy


@pytest.fixture(scope="session")
def wanted(tree: Path) -> set[str]:
    """The files that an sdist needs: all files of the project's folders."""
    return files_of(tree)


@pytest.fixture(scope="session")
def built(tree: Path, wanted: set[str], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel built from it."""
    assert wanted.isdisjoint(STRAYS)
    for stray in STRAYS:
        path = tree / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")
    folder, scratch = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("scratch")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, tree, scratch=scratch)
    (sdist,) = folder.glob("*.tar.gz")
    return Built(tree, scratch, sdist, wheel_of(sdist, folder, scratch))


def metadata(built: Built) -> email.message.Message:
    """The metadata of the wheel."""
    return email.parser.Parser().parsestr(dist_info(built, "METADATA"))


def dist_info(built: Built, name: str) -> str:
    """A file of the wheel's metadata."""
    with zipfile.ZipFile(built.wheel) as archive:
        (path,) = [one for one in archive.namelist() if re.fullmatch(rf"[^/]+\.dist-info/{name}", one)]
        return archive.read(path).decode("utf-8")


def extension(built: Built) -> tuple[str, bytes]:
    """The name and the bytes of the extension in the wheel."""
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith((".so", ".pyd"))]
        return name, archive.read(name)


# ---------------------------------------------------------------------------------------
# Contents


def test_sdist_has_the_project(built: Built, wanted: set[str]) -> None:
    """The sdist has sources, headers, tests, documents and licence, and none of the stray files."""
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    (root,) = {member.name.partition("/")[0] for member in members}
    names = {member.name.removeprefix(f"{root}/") for member in members if member.isfile()}
    names = {name for name in names if not name.startswith("crackle_zarr.egg-info/")}
    assert {name for name in names if "/" not in name} == AT_THE_TOP
    assert {name for name in names if "/" in name} == wanted


def test_wheel_has_the_package(built: Built, wanted: set[str]) -> None:
    """The wheel has modules, extension, its stub, py.typed and metadata, and nothing else."""
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    of_package = {name for name in wanted if name.startswith("crackle_zarr/")}
    assert {
        "crackle_zarr/py.typed",
        "crackle_zarr/_crackle.pyi",
        "crackle_zarr/stored/editing/journal.py",
    } <= of_package
    (folder,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    about = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
    assert names == of_package | {extension(built)[0]} | {f"{folder}/{name}" for name in about}


def test_tag(built: Built) -> None:
    """One wheel for CPython 3.11 and later; one for each version without a GIL."""
    _, _, python, abi, platform = built.wheel.name.removesuffix(".whl").split("-")
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    expected = (own, f"{own}t") if GIL_DISABLED else ("cp311", "abi3")
    assert (python, abi) == expected
    assert (
        platform == sysconfig.get_platform().replace("-", "_").replace(".", "_") or sys.platform == "darwin"
    )
    head = email.parser.Parser().parsestr(dist_info(built, "WHEEL"))
    assert head["Root-Is-Purelib"] == "false"
    assert head["Tag"] == f"{python}-{abi}-{platform}"
    assert ("abi3" in extension(built)[0]) == (abi == "abi3" and sys.platform != "win32")


def test_metadata(built: Built) -> None:
    """The metadata have the description for the index and the dependencies for pip."""
    found = metadata(built)
    assert (found["Name"], found["Requires-Python"]) == ("crackle-zarr", ">=3.11")
    assert (found["License-Expression"], found["License-File"]) == ("BSD-3-Clause", "LICENSE")
    assert f"## [{found['Version']}]" in (built.tree / "CHANGELOG.md").read_text(encoding="utf-8")
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload() == (built.tree / "README.md").read_text(encoding="utf-8")
    needed = {
        re.match(r"[\w.-]+", line)[0]  # type: ignore[index]
        for line in found.get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
    assert needed == {"cffi", "click", "numcodecs", "numpy", "rich", "tqdm", "zarr"}


def test_entry_points(built: Built) -> None:
    """The wheel registers the command, and the codec for both registries."""
    points = configparser.ConfigParser()
    points.read_string(dist_info(built, "entry_points.txt"))
    assert {group: dict(points[group]) for group in points.sections()} == {
        "console_scripts": {"crackle-zarr": "crackle_zarr.cli:main"},
        "napari.manifest": {"crackle-zarr": "crackle_zarr.napari:napari.yaml"},
        "numcodecs.codecs": {"crackle": "crackle_zarr.codecs.numcodecs_codec:Crackle"},
        "zarr.codecs": {"crackle": "crackle_zarr.codecs.zarr_codec:CrackleCodec"},
    }


# ---------------------------------------------------------------------------------------
# The extension


def test_extension_names_no_folder_of_the_build(built: Built) -> None:
    """The extension contains no path of the build or the sources, so that it is reproducible."""
    content = extension(built)[1]
    for folder in (built.scratch, built.tree, built.sdist.parent, PROJECT):
        assert os.fsencode(folder) not in content
    assert b".debug_info" not in content


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("nm") is None, reason="needs nm of GNU binutils"
)
def test_symbols(built: Built, tmp_path: Path) -> None:
    """The extension exports the module alone, and calls libraries for memory and arithmetic only.

    So the C code opens no files or connections, starts no processes, prints nothing and does not abort.
    """
    name, content = extension(built)
    path = tmp_path / Path(name).name
    path.write_bytes(content)

    def symbols(which: str) -> set[str]:
        out = run("nm", "--dynamic", which, "--format=posix", path, scratch=tmp_path)
        return {line.split()[0].partition("@")[0] for line in out.splitlines()}

    assert symbols("--defined-only") == {"PyInit__crackle"}
    others = {name for name in symbols("--undefined-only") if not name.startswith(("Py", "_Py"))}
    memory = {"calloc", "free", "malloc", "memcmp", "memcpy", "memmove", "memset", "realloc"}
    arithmetic = {"fmax", "frexp", "ldexp", "pow", "powf", "qsort", "sqrt", "sqrtf"}
    # Symbols of every shared library, those of hardened compilers, and AArch64's query of CPU features.
    any_library = {
        "__cxa_finalize",
        "__gmon_start__",
        "_ITM_deregisterTMCloneTable",
        "_ITM_registerTMCloneTable",
    }
    hardened = {"__stack_chk_fail", "__stack_chk_guard", "__memcpy_chk", "__memmove_chk", "__memset_chk"}
    assert {"malloc", "free"} <= others <= memory | arithmetic | any_library | hardened | {"getauxval"}


@pytest.mark.skipif(not os.environ.get("CRACKLE_LONG"), reason="builds again: set CRACKLE_LONG=1")
def test_wheel_is_reproducible(built: Built, tmp_path: Path) -> None:
    """A second build in another folder makes the same bytes."""
    if not sys.platform.startswith("linux"):
        pytest.skip("linkers of other systems write down when they ran")
    again = wheel_of(built.sdist, tmp_path, tmp_path / "elsewhere")
    assert again.name == built.wheel.name
    assert again.read_bytes() == built.wheel.read_bytes()


# ---------------------------------------------------------------------------------------
# Outside of the tree


USE = """
import sys, numpy, zarr, crackle_zarr, numcodecs
from pathlib import Path
from crackle_zarr.synthetic import neurons

assert Path(crackle_zarr.__file__).is_relative_to(sys.prefix), crackle_zarr.__file__
seg = neurons((8, 48, 64), seed=1)
for preset in crackle_zarr.PRESETS:
    stream = crackle_zarr.compress(seg.T, preset=preset)
    assert numpy.array_equal(crackle_zarr.decompress(stream).T, seg)
    assert numpy.array_equal(crackle_zarr.labels(stream), numpy.unique(seg))
label = int(seg[4, 24, 32])
assert crackle_zarr.contains(stream, label)
assert crackle_zarr.voxel_counts(stream)[label] == (seg == label).sum()

array = crackle_zarr.create_array("seg.zarr", shape=seg.shape, dtype=seg.dtype, chunks=(4, 48, 32))
array[...] = seg
assert numpy.array_equal(zarr.open_array("seg.zarr", mode="r")[3], seg[3])
assert numpy.array_equal(crackle_zarr.labels(array), numpy.unique(seg))
crackle_zarr.remap(array, {label: 7})
assert numpy.array_equal(array[...], numpy.where(seg == label, 7, seg))
codec = numcodecs.get_codec({"id": "crackle"})
assert numpy.array_equal(codec.decode(codec.encode(seg)).reshape(seg.shape), seg)
try:
    crackle_zarr.decompress(stream[:-1])
except crackle_zarr.FormatError as error:
    print(error)
"""

# An interpreter without the package.
READ = "import zarr; print(zarr.open_array('seg.zarr', mode='r')[...].shape)"


def test_installed(built: Built, tmp_path: Path) -> None:
    """With only the wheel installed, round trips, queries, edits and the command work."""
    place = tmp_path / "fresh"
    venv.create(place)
    programs = place / ("Scripts" if sys.platform == "win32" else "bin")
    suffix = ".exe" if sys.platform == "win32" else ""
    python, command = programs / f"python{suffix}", programs / f"crackle-zarr{suffix}"
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--quiet", built.wheel, scratch=tmp_path)
    run(*pip, "check", scratch=tmp_path)
    scratch = tmp_path / "elsewhere"
    assert "stream" in run(python, "-c", USE, scratch=scratch)
    assert run(python, "-c", READ, scratch=scratch).strip() == "(8, 48, 64)"
    assert "Usage: crackle-zarr" in run(command, "--help", scratch=scratch)
    assert "48" in run(command, "info", "seg.zarr", scratch=scratch)


# ---------------------------------------------------------------------------------------
# Build files


@pytest.mark.parametrize(
    ("gil_disabled", "is_debug", "options"),
    [
        (0, False, {"bdist_wheel": {"py_limited_api": "cp311"}}),
        (None, False, {"bdist_wheel": {"py_limited_api": "cp311"}}),
        (1, False, {}),
        (0, True, {}),
    ],
    ids=["GIL", "before 3.13", "no GIL", "debug"],
)
def test_stable_abi(
    monkeypatch: pytest.MonkeyPatch, gil_disabled: int | None, is_debug: bool, options: dict[str, Any]
) -> None:
    """The wheel has the tag abi3 exactly if cffi uses the limited API."""
    given: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "setuptools", types.SimpleNamespace(setup=given.update))  # type: ignore[arg-type]
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": gil_disabled}.get)
    if is_debug:
        monkeypatch.setattr(sys, "gettotalrefcount", int, raising=False)
    else:
        monkeypatch.delattr(sys, "gettotalrefcount", raising=False)
    runpy.run_path(str(PROJECT / "setup.py"))
    assert given == {"cffi_modules": ["build_ffi.py:ffibuilder"], "options": options}


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux-x86_64", "-std=c99"),
        ("macosx-11.0-arm64", "-std=c99"),
        ("mingw_x86_64", "-std=c99"),
        ("win-amd64", "/std:c11"),
        ("win-arm64", "/std:c11"),
    ],
)
def test_compile_arguments(monkeypatch: pytest.MonkeyPatch, platform: str, expected: str) -> None:
    """Arguments are those of the platform's compiler, followed by CRACKLE_CFLAGS."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("CRACKLE_CFLAGS", "-DONE -DTWO")
    compile_arguments = runpy.run_path(str(PROJECT / "build_ffi.py"), run_name="__cffi__")[
        "compile_arguments"
    ]
    monkeypatch.setattr(sysconfig, "get_platform", lambda: platform)
    found = compile_arguments()
    assert (found[0], found[-2:]) == (expected, ["-DONE", "-DTWO"])
    assert len({option[0] for option in found[:-2]}) == 1, "options of two kinds of compilers"


def test_versions_of_python() -> None:
    """The workflow tests every version of the classifiers."""
    workflow = PROJECT / ".github" / "workflows" / "tests.yml"
    if not workflow.is_file():
        pytest.skip("an sdist has no workflows")
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    (matrix,) = re.findall(r"python: \[(.*)\]", workflow.read_text(encoding="utf-8"))
    assert re.findall(r'"(3\.\d+)"', matrix) == classified
    assert classified[0] == "3.11"
