"""docs/architecture.md and CONTRIBUTING.md name existing files and folders, and every wing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "docs" / "architecture.md", PROJECT / "CONTRIBUTING.md"]
# The folders from which paths on these pages start.
ROOTS = [PROJECT, PROJECT / "csrc", PROJECT / "csrc" / "codec", PROJECT / "crackle_zarr"]
ROOTS += [PROJECT / "crackle_zarr" / "_base", PROJECT / "crackle_zarr" / "files"]
ROOTS += [PROJECT / "crackle_zarr" / "stored", PROJECT / "crackle_zarr" / "files" / "formats"]


def named(page: Path) -> list[str]:
    """The words within backticks that look like paths."""
    words = re.findall(r"`([^`\s]+)`", page.read_text(encoding="utf-8"))
    return [word for word in words if re.fullmatch(r"[\w./-]+(?:/|\.(?:c|h|py|md|toml|txt))", word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    """Every path names a file or folder of the project."""
    paths = named(page)
    assert len(paths) >= 2
    missing = [path for path in paths if not any((root / path).exists() for root in ROOTS)]
    assert missing == []


@pytest.mark.parametrize("folder", ["csrc", "crackle_zarr"])
def test_every_wing_is_listed(folder: str) -> None:
    """The tables name every folder of the sources."""
    text = PAGES[0].read_text(encoding="utf-8")
    wings = [path.name for path in (PROJECT / folder).iterdir() if path.is_dir() and path.name[0] not in ".%"]
    assert [wing for wing in wings if f"`{wing}/`" not in text and wing != "__pycache__"] == []


def test_commands_of_contributing_are_those_of_ci() -> None:
    """CONTRIBUTING.md has the commands that .ci/run runs."""
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("tests/c check", 'ruff" check', 'ruff" format', 'mypy"', 'mkdocs" build --strict'):
        assert command in script
