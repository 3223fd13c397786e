"""The npm package: built from ``csrc/``, tested in node, and its example pages in Chromium.

Everything happens in a copy of ``wasm/``: the WebAssembly module is compiled there, and npm installs its
packages there. The tests are skipped, with a reason, where a tool is missing or npm's registry cannot be
reached.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import wasm_cases

PROJECT = Path(__file__).resolve().parents[2]
WASM = PROJECT / "wasm"
OLDEST_NODE = (20, 19)  # of vite; the package itself needs less
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|E40[13]|network")

pytestmark = pytest.mark.skipif(not WASM.is_dir(), reason="the npm package is not part of this tree")


def run(
    *command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished program, with its output as text."""
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=600,
    )


def succeed(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints; the test fails if the program does."""
    done = run(*command, cwd=cwd, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(name: str) -> str:
    """The path of a program, or a skip."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name}")
    return path


@functools.cache
def node() -> str:
    """The path of a node that is new enough, or a skip."""
    path = program("node")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_NODE:
        pytest.skip(f"node is {version.strip()}, and the tests need {'.'.join(map(str, OLDEST_NODE))}")
    return path


def npm_install(folder: Path) -> None:
    """Install the packages that ``package.json`` names, or skip if npm's registry cannot be reached."""
    done = run(program("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    if done.returncode != 0:
        if UNREACHABLE.search(done.stderr):
            pytest.skip(f"npm cannot install: {done.stderr.strip().splitlines()[0]}")
        raise AssertionError(done.stdout + done.stderr)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ``wasm/`` with the module compiled. Its packages of npm are not installed."""
    node()
    if importlib.util.find_spec("ziglang") is None and "CRACKLE_CC" not in os.environ:
        pytest.skip("there is no compiler for WebAssembly: pip install ziglang")
    copy = tmp_path_factory.mktemp("npm") / "wasm"
    shutil.copytree(WASM, copy, ignore=shutil.ignore_patterns("node_modules", "dist", "package-lock.json"))
    print(succeed(sys.executable, copy / "build.py", "--csrc", PROJECT / "csrc", cwd=copy))
    return copy


@pytest.fixture(scope="session")
def installed(package: Path) -> Path:
    """The copy with its packages of npm."""
    npm_install(package)
    return package


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays and streams, and what they must give."""
    folder = tmp_path_factory.mktemp("cases")
    golden = PROJECT.parent / "shared" / "golden"
    wasm_cases.write(folder, golden if (golden / "manifest.json").is_file() else None)
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a static host would serve it; the example pages are built into it."""
    folder = tmp_path_factory.mktemp("site")
    wasm_cases.write_site(folder)
    return folder


def run_in_node(package: Path, file: str, environment: Mapping[str, str]) -> int:
    """Run a file of node's tests; returns how many there were."""
    out = succeed(
        node(),
        "--test",
        "--test-reporter=tap",
        f"tests/{file}",
        cwd=package,
        environment={**environment, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
    )
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", out, re.MULTILINE)}
    assert counts["pass"] == counts["tests"], out
    return counts["tests"]


# ---------------------------------------------------------------------------------------
# The module and the package


def test_module_imports_nothing(package: Path) -> None:
    """The module needs nothing of its host, and exports what ``src/module.js`` calls."""
    script = """
        const module = new WebAssembly.Module(require("fs").readFileSync("dist/crackle.wasm"));
        const names = (list) => list.map(({ name }) => name);
        const { imports, exports } = WebAssembly.Module;
        console.log(JSON.stringify([names(imports(module)), names(exports(module)).sort()]));
    """
    imports, exports = json.loads(succeed(node(), "-e", script, cwd=package))
    assert imports == []
    questions = {"header", "table_size", "read_table", "contains", "decode", "decode_mask"}
    texts = {"status_message", "section_name"}
    assert set(exports) == {"memory", "_initialize", "malloc", "free"} | questions | texts


@pytest.mark.parametrize(
    ("file", "fewest"),
    [("streams.test.mjs", 25), ("damage.test.mjs", 4), ("memory.test.mjs", 3)],
)
def test_in_node(file: str, fewest: int, package: Path, cases: Path) -> None:
    """Streams, damage and memory: tests that need no other package."""
    assert run_in_node(package, file, {"CRACKLE_FIXTURES": str(cases)}) >= fewest


def test_zarrita(installed: Path, cases: Path) -> None:
    """Arrays of both Zarr formats, and the sample data of the codec's documentation, through zarrita."""
    samples = PROJECT / "docs" / "zarr-extension" / "sample_data"
    environment = {"CRACKLE_FIXTURES": str(cases), "CRACKLE_SAMPLES": str(samples)}
    assert run_in_node(installed, "zarrita.test.mjs", environment) >= 45


def test_types(installed: Path) -> None:
    """The types fit zarrita and the use of the package."""
    succeed(program("npm"), "run", "types", cwd=installed)


def test_packed(package: Path, cases: Path, tmp_path: Path) -> None:
    """The package holds the module, the sources and their types, and works where it is unpacked."""
    npm = program("npm")
    (packed,) = json.loads(
        succeed(npm, "pack", "--ignore-scripts", "--json", "--pack-destination", tmp_path, cwd=package)
    )
    sources = {f"src/{path.name}" for path in (WASM / "src").iterdir()}
    names = {file["path"] for file in packed["files"]}
    assert (
        names == {"package.json", "README.md", "dist/LICENSE", "dist/crackle.wasm", "dist/wasm.js"} | sources
    )
    target = tmp_path / "node_modules" / "crackle-zarr"
    filtered = {"filter": "data"} if sys.version_info >= (3, 12) else {}
    shutil.unpack_archive(tmp_path / packed["filename"], tmp_path, **filtered)
    target.parent.mkdir()
    (tmp_path / "package").rename(target)
    script = """
        import { readFileSync } from "node:fs";
        import { labels } from "crackle-zarr";
        console.log(String(await labels(readFileSync(process.argv[2]))));
    """
    (tmp_path / "use.mjs").write_text(script, encoding="utf-8")
    out = succeed(node(), "use.mjs", cases / "one voxel.ckl", cwd=tmp_path)
    assert out.strip() == "7"


def test_version_is_that_of_python() -> None:
    """The npm package and the Python package are released together."""
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    assert json.loads((WASM / "package.json").read_text(encoding="utf-8"))["version"] == version


# ---------------------------------------------------------------------------------------
# Example pages in Chromium


@pytest.mark.parametrize(("example", "count"), [("page", 3), ("neuroglancer", 2)])
def test_example(example: str, count: int, installed: Path, site: Path) -> None:
    """The example is built, and shows the right labels in Chromium, without a request to another host."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium")
    folder = installed / "examples" / example
    npm_install(folder)
    target = site / example
    succeed(
        *(program("npm"), "run", "build", "--", "--outDir", target, "--emptyOutDir"),
        cwd=folder,
    )
    environment = {"CHROMIUM": chromium, "CRACKLE_SITE": str(site)}
    assert run_in_node(installed, f"browser/{example}.test.mjs", environment) == count
