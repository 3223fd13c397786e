"""Patches a name in all modules of the binding at once, since several of them import it by name."""

from __future__ import annotations

from typing import Any

from crackle_zarr._binding import (
    batches,
    codec,
    library,
    parallel,
    skeleton_graphs,
    skeletons,
    streams,
    totals,
    volumes,
)

MODULES = (library, parallel, codec, streams, skeletons, skeleton_graphs, volumes, batches, totals)

ffi, lib = library.ffi, library.lib


def replace(name: str, value: Any, setattr_: Any = setattr) -> None:
    """Give ``name`` another value in every module that has it; ``setattr_`` may be that of a MonkeyPatch."""
    having = [module for module in MODULES if hasattr(module, name)]
    assert having, name
    for module in having:
        setattr_(module, name, value)
