"""The pages of docs/ about tasks: their examples run as scripts, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [
    "list-labels.md",
    "find-an-object.md",
    "fix-a-merge.md",
    "run-on-a-cluster.md",
    "read-from-s3.md",
]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documents are not part of this tree")


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What a page needs; for S3 a server with an empty bucket."""
    if request.node.callspec.params["page"] != "read-from-s3.md":
        yield {}
        return
    servers.need("s3fs")
    with servers.s3() as server:
        server.ask("PUT", "/bucket")
        yield {**server.environment(), "EXAMPLE_S3": server.url}


@pytest.mark.parametrize("page", PAGES)
def test_examples(page: str, environment: dict[str, str], tmp_path: Path) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    script = tmp_path / "page.py"
    # Entry points are those of an installed package; from a source tree the codec is imported by its name.
    script.write_text("import crackle_zarr.zarr_codec\n" + "\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    """Links within the documents lead somewhere, and the list of documents has the page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (DOCS / target).exists(), target
    assert f"({page})" in (DOCS / "README.md").read_text(encoding="utf-8")
