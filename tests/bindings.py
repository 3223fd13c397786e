"""The modules of the binding, patched together: what several of them import by name has to change in all."""

from __future__ import annotations

from typing import Any

from crackle_zarr._binding import codec, library, parallel, streams

MODULES = (library, parallel, codec, streams)

ffi, lib = library.ffi, library.lib


def replace(name: str, value: Any, setattr_: Any = setattr) -> None:
    """Give every module that has ``name`` another value; ``setattr_`` may be that of a MonkeyPatch."""
    having = [module for module in MODULES if hasattr(module, name)]
    assert having, name
    for module in having:
        setattr_(module, name, value)
