"""Neuroglancer on any source of labels, served from this process.

``sources`` opens what is to be shown, ``volume`` reads boxes of it at every resolution, ``precomputed`` and
``zarr_format`` put them into formats that Neuroglancer reads, ``objects``, ``meshes`` and ``skeletons`` show
single labels, ``server`` answers requests, and ``viewer`` has the state of the page.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from .viewer import Viewer, view

__all__ = ["Viewer", "view"]


class _Room(types.ModuleType):
    """Makes ``crackle_zarr.view(...)`` work where the name is this package, after an import of it."""

    def __call__(self, *arguments: Any, **options: Any) -> Viewer:
        return view(*arguments, **options)


sys.modules[__name__].__class__ = _Room
