"""The task pages of docs/: their examples run as scripts, and their links work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import servers

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [
    "recipes.md",
    "list-labels.md",
    "find-an-object.md",
    "index-of-labels.md",
    "fix-a-merge.md",
    "view.md",
    "skeletons.md",
    "meshes.md",
    "from-kimimaro.md",
    "run-on-a-cluster.md",
    "read-from-s3.md",
    "stores.md",
    "static-host.md",
    "files.md",
    "ome-zarr.md",
    "xarray.md",
]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documents are not part of this tree")


@pytest.fixture
def environment(page: str) -> dict[str, str]:
    """The environment of a page: no S3 credentials of the user, and no proxy for 127.0.0.1."""
    for module in {"stores.md": ["icechunk"], "meshes.md": ["zmesh", "trimesh"]}.get(page, []):
        servers.need(module)
    if page != "read-from-s3.md":
        return {}
    for module in ("s3fs", "moto.server"):
        servers.need(module)
    return {
        "AWS_DEFAULT_REGION": servers.S3.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.mark.parametrize("page", PAGES)
def test_examples(page: str, environment: dict[str, str], tmp_path: Path) -> None:
    """The examples of a page, joined to one script, run to the end."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    script = tmp_path / "page.py"
    # Entry points are those of an installed package; from a source tree the codec is imported by its name.
    script.write_text("import crackle_zarr.codecs.zarr_codec\n" + "\n".join(blocks), encoding="utf-8")
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
    """Links within the documents work, and the list of documents has the page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (DOCS / target).exists(), target
    assert f"({page})" in (DOCS / "README.md").read_text(encoding="utf-8")
