"""The README and the tutorial: examples run, commands are right, and links work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import crackle_zarr

PROJECT = Path(__file__).resolve().parents[2]
README = PROJECT / "README.md"
TUTORIAL = PROJECT / "docs" / "tutorial.md"
TEXT = README.read_text(encoding="utf-8")
SET_UP = "## Set up"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, first line and section."""

    language: str
    text: str
    line: int
    section: str
    page: Path

    def __str__(self) -> str:
        return f"{self.page.name}, {self.language}, line {self.line}"


def _blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found, section = [], ""
    for match in re.finditer(r"^(## [^\n]*)$|^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if match[1]:
            section = match[1]
        else:
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(match[2], match[3], line, section, page))
    return found


BLOCKS = [*_blocks(README), *_blocks(TUTORIAL)]
COMMANDS = [block for block in BLOCKS if block.section == SET_UP]
EXAMPLES = [block for block in BLOCKS if block.section != SET_UP]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run the examples of a page in order, in an empty directory; block -> error, or None."""
    commands = tmp_path_factory.mktemp("bin")
    launcher = commands / "crackle-zarr"
    launcher.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from crackle_zarr.cli import main; main()" "$@"\n'
    )
    launcher.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(Path(crackle_zarr.__file__).parent.parent),
    }
    before = Path.cwd()
    names: dict[Path, dict[str, object]] = {}
    homes: dict[Path, Path] = {}
    outcomes: dict[Block, str | None] = {}
    try:
        for block in EXAMPLES:
            if block.page not in homes:
                homes[block.page] = tmp_path_factory.mktemp(block.page.stem)
                names[block.page] = {"__name__": block.page.stem}
            os.chdir(homes[block.page])
            outcomes[block] = None
            if block.language == "python":
                try:
                    # Leading newlines give tracebacks the line numbers of the README.
                    exec(compile("\n" * block.line + block.text, str(block.page), "exec"), names[block.page])
                except Exception as error:
                    outcomes[block] = repr(error)
            else:
                ran = subprocess.run(
                    ["sh", "-e", "-c", block.text],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if ran.returncode:
                    outcomes[block] = ran.stdout + ran.stderr
    finally:
        os.chdir(before)
    return outcomes


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_examples_run(outcomes, block):
    """Every example runs unchanged after those before it, and its assertions hold."""
    if block.language == "sh" and shutil.which("sh") is None:
        pytest.skip("there is no shell")
    assert outcomes[block] is None, outcomes[block]


def test_examples_are_known_languages():
    """There are examples of the library and of the command line, and every block is checked."""
    assert {block.language for block in BLOCKS} == {"python", "sh"}
    assert sum(block.language == "python" for block in EXAMPLES) >= 8


@pytest.mark.parametrize(
    "name",
    [
        "compress",
        "decompress",
        "labels",
        "contains_range",
        "remap",
        "renumber",
        "CrackleArray",
        "save",
        "aload",
        "create_array",
        "CrackleCodec",
        "Crackle",
        "FormatError",
        "codec",
    ],
)
def test_examples_show_the_main_names(name):
    """The names that a newcomer needs occur in the examples and are exported."""
    assert name in crackle_zarr.__all__
    assert any(re.search(rf"\b{name}\b", block.text) for block in EXAMPLES if block.language == "python")


def test_command_line_example_shows_every_command():
    """The README or the tutorial uses each subcommand."""
    from crackle_zarr.cli import cli

    shown = "".join(block.text for block in BLOCKS if block.language == "sh")
    for command in cli.commands:
        assert f"crackle-zarr {command}" in shown


def test_two_commands_set_up_all():
    """One command installs and runs the demo, and one installs and tests."""
    assert len(COMMANDS) == 2
    demo, test = (block.text.strip() for block in COMMANDS)
    assert "\n" not in demo + test
    assert demo.startswith("python3 -m venv .venv && ")
    assert test.startswith("python3 -m venv .venv && ")
    assert ".venv/bin/crackle-zarr demo" in demo
    assert test.endswith("&& .venv/bin/pytest")


def test_ci_runs_the_test_command():
    """.ci/run takes the second command out of the README, and no other line matches."""
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    (marker,) = re.findall(r"grep -F '(.*?)' README.md", script.read_text(encoding="utf-8"))
    taken = [line for line in TEXT.splitlines() if marker in line]
    assert taken == [COMMANDS[1].text.strip()]


def test_links_lead_somewhere():
    """Relative links name files or folders of the project."""
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT) if "://" not in link]
    assert links
    for link in links:
        assert (PROJECT / link).exists(), link


def test_begins_with_what_it_is():
    """The first lines say what the package is and who needs it."""
    introduction = TEXT.partition(SET_UP)[0]
    assert introduction.startswith("# crackle_zarr\n")
    for word in ("codec", "Zarr", "segmentations", "for people who"):
        assert word in introduction


def test_a_first_screen_and_no_more():
    """A newcomer sees a picture, two commands and ten lines of code; the README stays short."""
    lines = TEXT.splitlines()
    assert len(lines) < 200
    first_screen = "\n".join(lines[:60])
    assert re.search(r"!\[[^\]]+\]\(docs/images/[\w.]+\)", first_screen)
    assert first_screen.count("```python") == 1
