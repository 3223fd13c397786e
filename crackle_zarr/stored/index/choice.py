"""Whether a query uses the index of its array: what the option ``index`` says, and what is there.

"auto" uses an index that is there and current, and otherwise asks the chunks; "require" raises where it
cannot; "ignore" does not look. An index is current if its array has the shape, chunks, dtype and codecs that
it had, and no edit has left it behind. Whether a plain write has changed a chunk since, only ``check_index``
finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..._base.integers import holds
from ...errors import FormatError, StaleIndexError, StoreError
from ..engine import Options
from ..layout import Box, Layout
from ..warn import warn_once
from .home import Home, home_of
from .lookup import GoneError, Lookup
from .manifest import Manifest, geometry_of, unpacked
from .parquet import has_pyarrow, pyarrow

T = TypeVar("T")

# A query of so few chunks costs as many requests as an index would.
FEW_CHUNKS = 2


def read_manifest(layout: Layout, home: Home) -> Manifest:
    """The manifest of the index of an array.

    Raises:
        FileNotFoundError: there is no index.
        FormatError: the manifest is damaged.
    """
    raw = home.manifest()
    if raw is None:
        raise FileNotFoundError(
            f"{layout.name} has no label index: crackle_zarr.create_index(array) builds one"
        )
    return unpacked(raw, home.name)


def why_changed_shape(layout: Layout, manifest: Manifest) -> str | None:
    """Why an index is not of the array as it is stored now; None: it is."""
    now = geometry_of(layout)
    if manifest.array != now:
        names = sorted(name for name in now if manifest.array.get(name) != now[name])
        return (
            f"the array's {', '.join(names)} changed since the label index was built: build it again with "
            f"create_index(array, overwrite=True)"
        )
    return None


def why_stale(layout: Layout, manifest: Manifest) -> str | None:
    """Why an index cannot answer, as far as its manifest tells; None: it can."""
    reason = why_changed_shape(layout, manifest)
    if reason is not None or manifest.is_current:
        return reason
    if isinstance(manifest.state, dict):
        return "a remap of the array is unfinished: resume() finishes it, undo() restores the array"
    return (
        "the array was changed in other ways than through crackle_zarr: update_index(array) reads the changes"
    )


def lookup_of(layout: Layout) -> Lookup:
    """The index of an array, if it is current.

    Raises:
        FileNotFoundError: there is none.
        StaleIndexError: it is not current, or its manifest is damaged.
        ImportError: pyarrow is not installed.
        StoreError: the store failed.
    """
    pyarrow()
    home = home_of(layout)
    try:
        manifest = read_manifest(layout, home)
    except FormatError as error:
        raise StaleIndexError(
            f"{error}: build the index again with create_index(array, overwrite=True)"
        ) from error
    reason = why_stale(layout, manifest)
    if reason is not None:
        raise StaleIndexError(f"the label index of {layout.name} cannot be used: {reason}")
    return Lookup(layout, home, manifest)


@dataclass(frozen=True)
class Looked:
    """What a look for an index found when a query began; None: there is no current one."""

    lookup: Lookup | None


def look(layout: Layout, box: Box, use: str) -> Looked | None:
    """Look for an index before a query; None: the query has no reason to.

    A current manifest is certain that nothing is being done to its array: whatever replaces a chunk, a remap,
    its undo, a conversion or a build of a pyramid, first marks the manifest or removes it.
    """
    if use == "auto" and layout.num_chunks_in(box) > FEW_CHUNKS:
        return Looked(_current(layout))
    if use == "require":
        try:
            return Looked(lookup_of(layout))
        except (FileNotFoundError, ImportError, StaleIndexError, StoreError):
            return None  # the query asks again, and raises
    return None


def _chosen(layout: Layout, box: Box, options: Options) -> Lookup | None:
    """The index that a query uses, if any."""
    if options.index == "ignore":
        return None
    if options.looked is not None and (options.looked.lookup is not None or options.index == "auto"):
        return options.looked.lookup
    if options.index == "require":
        return lookup_of(layout)
    return _current(layout) if layout.num_chunks_in(box) > FEW_CHUNKS else None


def _current(layout: Layout) -> Lookup | None:
    """The index of an array, if it is there and current and can be read."""
    try:
        return lookup_of(layout)
    except (FileNotFoundError, StaleIndexError, StoreError):
        return None
    except ImportError:
        home = home_of(layout)
        if not has_pyarrow() and home.manifest() is not None:
            warn_once(
                layout.name,
                f"{layout.name} has a label index, and reading it needs pyarrow, so all chunks are asked "
                f"instead: pip install 'crackle-zarr[index]'",
            )
        return None


def ask_index(layout: Layout, box: Box, options: Options, question: Callable[[Lookup], T]) -> T | None:
    """Ask the index of an array; None if there is none to use.

    Raises:
        StaleIndexError: an index is required, and there is none that is current.
        FileNotFoundError: an index is required, and there is none.
        FormatError: a file of the index is damaged.
        StoreError: the store failed.
    """
    lookup = _chosen(layout, box, options)
    if lookup is None:
        return None
    try:
        return question(lookup)
    except GoneError:
        # Another index may have replaced this one: its manifest names other files.
        again = _chosen(layout, box, replace(options, looked=None))
        if again is None:
            return None
        if again.manifest == lookup.manifest:
            raise
        return question(again)


def old_labels(layout: Layout, labels: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The labels of an array that have these labels in a view of it, ascending.

    None: the view raises for labels without a mapping, which only reading all chunks finds.
    """
    mapping = layout.mapping
    if mapping is None:
        return labels
    if not mapping.preserve:
        return None
    known, _ = mapping.found(labels)
    sources = [mapping.preimages(int(label)) for label in labels]
    return native(layout, [label for some in (*sources, labels[~known]) for label in some.tolist()])


def native(layout: Layout, labels: Any) -> npt.NDArray[Any]:
    """Labels in the layout's native dtype, ascending, each once, without those that do not fit it."""
    return np.array(
        sorted({int(label) for label in labels if holds(layout.native, int(label))}), dtype=layout.native
    )
