"""Warnings that are given once, at the line of the user's call."""

from __future__ import annotations

import sys
import warnings
from functools import cache

from ..errors import CrackleWarning


@cache
def warn_once(name: str, text: str) -> None:
    """Warn about ``name`` with ``text``, unless that was done before."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("crackle_zarr"):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, CrackleWarning, stacklevel=level)
