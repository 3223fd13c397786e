"""The package's source runs no code from data, starts no programs, and opens no connections.

The viewer alone, when a user asks for it, listens (with the server of Neuroglancer's package) and opens the
user's browser.

The tests read syntax trees and not text, so that comments and variable names do not count. Network access for
URLs is that of fsspec and Zarr; nothing here is aware of it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crackle_zarr
from crackle_zarr.files.volumes import UnusableError, read_volume

PACKAGE = Path(crackle_zarr.__file__).resolve().parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Modules, by the first part of their names.
FORBIDDEN_MODULES = {
    # modules that make code or objects from bytes
    *(
        "pickle",
        "_pickle",
        "marshal",
        "shelve",
        "dbm",
        "dill",
        "cloudpickle",
        "joblib",
        "yaml",
        "code",
        "codeop",
    ),
    # other programs, other libraries
    *("subprocess", "pty", "ctypes", "runpy", "multiprocessing"),
    # networks
    *("socket", "_socket", "ssl", "urllib", "http", "ftplib", "smtplib", "poplib", "imaplib", "socketserver"),
    *(
        "xmlrpc",
        "webbrowser",
        "requests",
        "urllib3",
        "aiohttp",
        "httpx",
        "websockets",
        "boto3",
        "botocore",
        "s3fs",
    ),
    *("fsspec", "obstore"),
}
# What the viewer may do all the same.
ALLOWED = {("view/server.py", "imports socket"), ("view/viewer.py", "imports webbrowser")}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint"}
FORBIDDEN_OF_OS = {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile"}
FORBIDDEN_OF_OS_BEGIN = ("exec", "spawn")
FORBIDDEN_OF_ASYNCIO = {
    *("create_subprocess_exec", "create_subprocess_shell", "open_connection", "start_server"),
    *("open_unix_connection", "start_unix_server"),
}

# Functions on .npy files that pickle objects unless told not to, or refuse them only by default.
NPY = {"load", "save", "savez", "savez_compressed", "read_array", "write_array"}

# Imports by expression, and the possible values of the expressions.
LATE_IMPORTS = {
    ("__init__.py", "f'.{_LATE[name]}'"),  # modules of this package
    ("__init__.py", "f'.{name}'"),
    ("_moved.py", "f'.{part}'"),
    ("files/formats/registry.py", "module"),  # packages of the extras that file formats need
    ("_base/atomic_files.py", "name"),  # zstd of Python 3.14, or its backport
}


def dotted(node: ast.expr) -> str:
    """``a.b.c`` for such an expression, and an empty string for others."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted(node.value)
        return front and f"{front}.{node.attr}"
    return ""


def is_forbidden(module: str) -> bool:
    return module.partition(".")[0] in FORBIDDEN_MODULES or module == "concurrent.futures.process"


def faults(source: str, file: str) -> Iterator[str]:
    """The forbidden operations in a source, as sentences that begin with the line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_forbidden(alias.name):
                    yield f"{node.lineno}: imports {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if is_forbidden(node.module):
                yield f"{node.lineno}: imports from {node.module}"
            for alias in node.names:
                if is_forbidden_member(node.module, alias.name):
                    yield f"{node.lineno}: imports {alias.name} from {node.module}"
        elif isinstance(node, ast.Attribute):
            if is_forbidden_member(dotted(node.value), node.attr):
                yield f"{node.lineno}: uses {dotted(node)}"
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS:
            yield f"{node.lineno}: uses {node.id}"
        elif isinstance(node, ast.Call):
            yield from faults_of_call(node, file)


def is_forbidden_member(module: str, name: str) -> bool:
    if module == "os":
        return name in FORBIDDEN_OF_OS or name.startswith(FORBIDDEN_OF_OS_BEGIN)
    if module == "builtins":
        return name in FORBIDDEN_CALLS
    return module == "asyncio" and name in FORBIDDEN_OF_ASYNCIO


def faults_of_call(node: ast.Call, file: str) -> Iterator[str]:
    name = dotted(node.func)
    last = name.rpartition(".")[2]
    if last == "import_module":
        module = node.args[0]
        if isinstance(module, ast.Constant):
            if is_forbidden(str(module.value)):
                yield f"{node.lineno}: imports {module.value}"
        elif (file, ast.unparse(module)) not in LATE_IMPORTS:
            yield f"{node.lineno}: imports what {ast.unparse(module)} says"
    elif last in NPY and name.startswith(("np.", "numpy.")):
        pickles = [keyword.value for keyword in node.keywords if keyword.arg == "allow_pickle"]
        if not (pickles and isinstance(pickles[0], ast.Constant) and pickles[0].value is False):
            yield f"{node.lineno}: calls {name} without allow_pickle=False"
    elif any(
        keyword.arg == "shell"
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in node.keywords
    ):
        yield f"{node.lineno}: calls {name} with a shell"


def test_all_files_are_looked_at() -> None:
    """The search for sources finds the package and its sub-packages."""
    names = {path.relative_to(PACKAGE).as_posix() for path in FILES}
    assert {
        "__init__.py",
        "_binding/__init__.py",
        "cli/commands.py",
        "codecs/zarr_codec.py",
        "stored/editing/journal.py",
    } <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_of_the_kind(path: Path) -> None:
    """No source unpickles, runs code from data, starts programs, or opens connections."""
    file = path.relative_to(PACKAGE).as_posix()
    found = faults(path.read_text(encoding="utf-8"), file)
    assert [fault for fault in found if (file, fault.partition(": ")[2]) not in ALLOWED] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, urllib.request as u",
        "from http import client",
        "def f():\n    from socket import socket",
        "from os import system",
        "os.system('ls')",
        "os.execv('ls', [])",
        "run = eval",
        "builtins.exec('1')",
        "asyncio.create_subprocess_shell('ls')",
        "anything(shell=True)",
        "importlib.import_module('pickle')",
        "import_module(text)",
        "np.load('a.npy')",
        "np.load('a.npy', allow_pickle=flag)",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "np.lib.format.read_array(file)",
    ],
)
def test_it_would_be_found(source: str) -> None:
    """The check above finds each forbidden operation."""
    assert len(list(faults(source, "any.py"))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('pickle')",
        "'eval(1)'  # exec",
        "from .http import header",
        "np.load('a.npy', allow_pickle=False)",
        "cache.load('a')",
        "os.path.exists('a')",
        "importlib.import_module('scipy.spatial')",
    ],
)
def test_nothing_else_is_found(source: str) -> None:
    """The check above accepts names that only look alike."""
    assert list(faults(source, "any.py")) == []


def test_late_imports_are_there() -> None:
    """Every import in the list of imports by expression exists."""
    found = {
        (path.relative_to(PACKAGE).as_posix(), ast.unparse(node.args[0]))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and dotted(node.func).endswith("import_module")
        and not isinstance(node.args[0], ast.Constant)
    }
    assert found == LATE_IMPORTS


class MakesFolder:
    """An object that makes a folder when unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.folder),))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    """A .npy file of Python objects raises, and is not unpickled."""
    path, folder = tmp_path / "objects.npy", tmp_path / "made"
    np.save(path, np.array([MakesFolder(folder)], dtype=object), allow_pickle=True)
    with pytest.raises(UnusableError, match="Python objects"):
        read_volume(path)
    assert not folder.exists()
    np.load(path, allow_pickle=True)
    assert folder.exists(), "the file would not have done anything"
