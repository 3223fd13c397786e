"""The pages of the documentation site are complete. CI builds them; these tests only read."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import crackle_zarr

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
CONFIG = PROJECT / "mkdocs.yml"

pytestmark = pytest.mark.skipif(not CONFIG.is_file(), reason="the site is not part of this tree")


def directives() -> list[tuple[str, str]]:
    """The names documented on the reference pages, each with its page."""
    return [
        (page.name, name)
        for page in sorted((DOCS / "api").glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def navigation() -> list[str]:
    """The pages in the navigation of the site."""
    _, _, nav = CONFIG.read_text(encoding="utf-8").partition("\nnav:\n")
    return re.findall(r"([\w./-]+\.md)$", nav, re.MULTILINE)


def named(path: str) -> Any:
    """The object of a dotted path."""
    parts = path.split(".")
    found: Any = importlib.import_module(parts[0])
    for place, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:place]))
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", sorted(crackle_zarr.__all__))
def test_public_names_are_on_a_page(name: str) -> None:
    """Every public name is on exactly one reference page."""
    pages = [page for page, path in directives() if path == f"crackle_zarr.{name}"]
    assert pages, f"no page of docs/api has the line '::: crackle_zarr.{name}'"
    assert len(pages) == 1, f"crackle_zarr.{name} is on {' and '.join(pages)}"


@pytest.mark.parametrize(("page", "path"), directives())
def test_pages_name_existing_objects(page: str, path: str) -> None:
    """Every name on a reference page exists, and has a docstring if it is callable."""
    found = named(path)
    if callable(found):
        assert found.__doc__, f"{path}, on {page}, has no docstring"


def test_every_page_is_in_the_navigation() -> None:
    """The navigation has exactly the pages of docs/."""
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    there = navigation()
    assert sorted(there) == sorted(pages)


def test_home_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the home page runs."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    exec("\n".join(blocks), {})
