"""Imports run downwards only: the package's folders are layers, and modules do not import in circles.

Imports within functions count as well: a late import hides a circle, and does not remove it. Imports for type
checkers alone do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import crackle_zarr

PACKAGE = Path(crackle_zarr.__file__).resolve().parent
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
EXTENSION = "_crackle"

# From the lowest to the highest; modules of one entry may import each other. "codec" and the package
# itself collect names of all layers, and "_moved" and "__main__" name modules of any.
LAYERS = [
    {EXTENSION},
    {"errors"},
    {"_base"},
    {"_binding"},
    {"streams"},
    {"codecs", "synthetic"},
    {"skeletons"},
    {"files"},
    {"stored"},
    {"ome"},
    {"precomputed"},
    {"stored_skeletons"},
    {"meshes"},
    {"verbs"},
    {"view"},
    {"napari"},
    {"cli"},
]
ABOVE_ALL = {"__init__", "__main__", "_moved", "codec"}

# The public names of Zarr that are the same in all supported versions.
PUBLIC_ZARR = {
    "zarr",
    "zarr.abc.codec",
    "zarr.abc.store",
    "zarr.codecs",
    "zarr.registry",
    "zarr.storage",
}
INSIDE_ZARR = {"_async_array", "_async_group", "index_codecs", "index_location", "metadata"}


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """The absolute names that a source imports, and the lines; without imports for type checkers alone."""
    tree = ast.parse(source)
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["crackle_zarr", *module.split(".")] if module != "__init__" else ["crackle_zarr"]
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def of_package(name: str) -> str | None:
    """The module of this package that an imported name is, or is in."""
    if not name.startswith("crackle_zarr"):
        return None
    inside = name.removeprefix("crackle_zarr").removeprefix(".")
    if inside.partition(".")[0] == EXTENSION:
        return EXTENSION
    while inside and inside not in MODULES:
        inside = inside.rpartition(".")[0]
    return inside or "__init__"


def imported(module: str) -> Iterator[tuple[str, int]]:
    """The modules of this package that a module imports, and the lines."""
    path = MODULES[module]
    source = path.read_text(encoding="utf-8")
    for name, line in imports(source, module, path.name == "__init__.py"):
        target = of_package(name)
        if target is not None and target != module:
            yield target, line


def layer(module: str) -> int:
    first = module.partition(".")[0]
    return next(number for number, names in enumerate(LAYERS) if first in names)


@pytest.mark.parametrize("module", sorted(set(MODULES) - ABOVE_ALL))
def test_imports_run_down(module: str) -> None:
    """A module imports from its own layer and those below, also within functions."""
    wrong = [
        f"line {line}: {target}"
        for target, line in imported(module)
        if (target not in ABOVE_ALL and layer(target) > layer(module))
        or (target in ABOVE_ALL and (module, target) != ("cli.commands", "__init__"))  # for the version
    ]
    assert wrong == []


def test_every_module_has_a_layer() -> None:
    """The list of layers has exactly the package's folders and modules."""
    found = {module.partition(".")[0] for module in MODULES} - ABOVE_ALL
    assert found == set().union(*LAYERS) - {EXTENSION}


def test_one_module_imports_the_extension() -> None:
    """One module imports cffi's ``ffi`` and ``lib``, and only its package uses them."""
    importers = {module for module in MODULES for target, _ in imported(module) if target == EXTENSION}
    assert importers == {"_binding.library"}
    users = {module for module in MODULES for target, _ in imported(module) if target == "_binding.library"}
    assert {module.partition(".")[0] for module in users} == {"_binding"}


def test_no_circles() -> None:
    """No module imports itself through others."""
    # A package's __init__.py collects the names of its modules; the modules do not import it.
    graph = {
        module: {target for target, _ in imported(module) if target not in ABOVE_ALL}
        for module in set(MODULES) - ABOVE_ALL
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def faults(source: str) -> Iterator[str]:
    """The places at which a source looks inside Zarr."""
    for name, line in imports(source, "any", False):
        if name.partition(".")[0] == "zarr":
            module = name if name in PUBLIC_ZARR else name.rpartition(".")[0]
            if module not in PUBLIC_ZARR or name.rpartition(".")[2].startswith("_"):
                yield f"{line}: imports {name}"
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in INSIDE_ZARR
            and not ast.unparse(node).endswith("schema.metadata")  # of pyarrow
        ):
            yield f"{node.lineno}: uses {ast.unparse(node)}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"_base.zarr_facts"}))
def test_one_module_looks_inside_zarr(module: str) -> None:
    """Only ``_base/zarr_facts.py`` reads names that Zarr does not promise."""
    assert list(faults(MODULES[module].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from zarr.core.sync import sync",
        "import zarr.core.buffer",
        "from zarr.storage._common import make_store_path",
        "from zarr.storage import _local",
        "array.metadata.codecs",
        "array._async_array",
    ],
)
def test_a_look_inside_would_be_found(source: str) -> None:
    """The check above finds each kind of look inside Zarr."""
    assert len(list(faults(source))) == 1


def test_a_look_from_outside_is_no_fault() -> None:
    """The check above accepts public names of Zarr."""
    assert (
        list(faults("import zarr\nfrom zarr.abc.store import Store\nfrom zarr.storage import LocalStore\n"))
        == []
    )
