"""Modules under their former names, so that pickles and imports of before go on working.

All modules of this package once lay in one folder. A pickle names the module of its class, Zarr's
configuration may name that of a codec, and both are kept for years. Importing a former name returns the
module itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.rpartition(".")[0]

# Former names and where the modules are now, both below the package.
MOVED = {
    "_header": "_base.header",
    "arithmetic": "streams.arithmetic",
    "array": "streams.array",
    "create": "codecs.create",
    "demo": "cli.demo",
    "numcodecs_codec": "codecs.numcodecs_codec",
    "objects": "streams.objects",
    "rewriting": "streams.rewriting",
    "slices": "streams.slices",
    "stream": "streams.stream",
    "zarr_codec": "codecs.zarr_codec",
}


class _Finder(MetaPathFinder, Loader):
    """Finds the former names; all others are left to the finders before it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.rpartition(".")[2]
        # The import system returns what stands here once a module has been executed.
        sys.modules[module.__name__] = import_module(f".{MOVED[name]}", PACKAGE)


def install() -> None:
    """Let the former names be found, once for each interpreter."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
