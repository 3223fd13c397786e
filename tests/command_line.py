"""Runs the command line under test, in this process or in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import crackle_zarr
from crackle_zarr import cli

# Starts the command line in an interpreter of its own; arguments follow.
COMMAND = [sys.executable, "-c", "from crackle_zarr.cli import main; main()"]


@dataclass
class Ran:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ran]:
    """Runs the command line in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run


def one_line(ran: Ran) -> str:
    """The error message, which must be one line without a traceback."""
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("crackle-zarr: ")
    assert "Traceback" not in ran.err
    return ran.err


def environment(**variables: str) -> dict[str, str]:
    """The environment of an interpreter that imports the package under test."""
    return {**os.environ, "PYTHONPATH": str(Path(crackle_zarr.__file__).parent.parent), **variables}


def in_process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """The command line in an interpreter of its own."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]
