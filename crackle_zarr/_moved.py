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

# Former names and where the modules are now, both below the package. Of a module that was split, all its
# parts.
MOVED: dict[str, tuple[str, ...]] = {
    "_header": ("_base.header",),
    "arithmetic": ("streams.arithmetic",),
    "array": ("streams.array", "streams.constructors"),
    "create": ("codecs.create",),
    "demo": ("cli.demo",),
    "numcodecs_codec": ("codecs.numcodecs_codec",),
    "objects": ("streams.objects", "streams.neighbours", "streams.components_3d", "streams.points"),
    "rewriting": ("streams.rewriting",),
    "slices": ("streams.slices",),
    "stream": ("streams.stream",),
    "zarr_codec": ("codecs.zarr_codec",),
}


class _Finder(MetaPathFinder, Loader):
    """Finds the former names; all others are left to the finders before it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        parts = [import_module(f".{part}", PACKAGE) for part in MOVED[module.__name__.rpartition(".")[2]]]
        if len(parts) == 1:
            # The import system returns what stands here once a module has been executed.
            sys.modules[module.__name__] = parts[0]
            return
        for part in reversed(parts):
            names = {name: value for name, value in vars(part).items() if not name.startswith("__")}
            vars(module).update(names)


def install() -> None:
    """Let the former names be found, once for each interpreter."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
