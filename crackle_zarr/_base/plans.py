"""Plans of long runs: a JSON file in the folder that a run fills, written as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import FormatError
from . import atomic_files


def read(path: Path, form: str, version: int, what: str) -> dict[str, Any]:
    """A plan.

    Args:
        path: of its file.
        form: what its field ``format`` has to say.
        version: that this package reads.
        what: of which it is the plan, for messages.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is damaged, or of a later version.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise FormatError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(found, dict) or found.get("format") != form:
        raise FormatError(f"{path} is not the plan of {what}")
    if found.get("version") != version:
        raise FormatError(
            f"{path} has the version {found.get('version')}, and this package reads {version}: update it"
        )
    return found


def write(path: Path, plan: dict[str, Any]) -> None:
    """Write a plan, as a whole."""
    atomic_files.write_bytes(path, json.dumps(plan, indent=1).encode())
