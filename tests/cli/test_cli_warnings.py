"""Warnings of other libraries reach the terminal as notes of one line, or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_line import in_process

import crackle_zarr as cz
from crackle_zarr.cli import _common


def noted(capsys: pytest.CaptureFixture[str], *given: Warning) -> str:
    with _common.notes(), warnings.catch_warnings():
        warnings.simplefilter("always")
        for one in given:
            warnings.warn_explicit(one, None, "/usr/lib/python3/site-packages/somelib/core.py", 12)
    return capsys.readouterr().err


def test_a_warning_is_a_note_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning of a library is one line with its name, without file and line, and once only."""
    text = UserWarning("the header\n  is odd")
    assert noted(capsys, text, text) == "crackle-zarr: note: somelib: the header is odd\n"


@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning, PendingDeprecationWarning])
def test_warnings_for_programmers_are_not_shown(
    capsys: pytest.CaptureFixture[str], category: type[Warning]
) -> None:
    """What only a programmer can change is not shown."""
    assert noted(capsys, category("use g instead of f")) == ""


def test_passwords_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The password of a URL in a warning is left out."""
    assert "secret" not in noted(capsys, UserWarning("no https://me:secret@example.org/seg"))


def test_a_warning_of_zarr(tmp_path: Path) -> None:
    """Zarr warns of a foreign folder in a group: convert ends well, with notes and no lines of source."""
    path = tmp_path / "g.zarr"
    zarr.open_group(path, mode="w")
    cz.create_array(path, name="seg", data=np.ones((4, 4), np.uint8), chunks=(4, 4))
    (path / "notes").mkdir()
    (path / "notes" / "a.txt").write_text("not of Zarr")
    ran = in_process("convert", path, tmp_path / "new.zarr")
    assert ran.returncode == 0
    assert ".py" not in ran.stderr
    assert "Warning" not in ran.stderr
    lines = ran.stderr.splitlines()
    assert [line for line in lines if not line.startswith("crackle-zarr: note: zarr: ")] == []
    assert len(set(lines)) == len(lines) == 1
    assert "notes" in lines[0]
