"""Former names of modules, so that old imports and old pickles keep working.

All modules of this package once lay in one folder. A pickle names the module of its class, and Zarr's
configuration may name the module of a codec; people keep both for years. Importing a former name returns the
module that has its contents today.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.rpartition(".")[0]

# Former names, and the modules of today that have their contents, both relative to the package. A module that
# was split has several.
MOVED: dict[str, tuple[str, ...]] = {
    "_header": ("_base.header",),
    "_mapping": ("_base.mapping",),
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
    """Finds modules by their former names, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        parts = [import_module(f".{part}", PACKAGE) for part in MOVED[module.__name__.rpartition(".")[2]]]
        if len(parts) == 1:
            # The import system looks here for the module to return, after this method.
            sys.modules[module.__name__] = parts[0]
            return
        for part in reversed(parts):
            names = {name: value for name, value in vars(part).items() if not name.startswith("__")}
            vars(module).update(names)


def install() -> None:
    """Add the finder of former names to the import system, unless it is there already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
