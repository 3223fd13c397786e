"""The axes of a stored array, by name or number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.integers import integer

if TYPE_CHECKING:
    from ..stored.layout import Layout


def names_of(layout: Layout) -> list[str | None]:
    """The names of the axes, from the array or the image whose level it is."""
    from .._base import zarr_facts
    from ..ome.metadata import image_of_level

    names = zarr_facts.dimension_names(layout.array)
    if names is None:
        found = image_of_level(layout.array)
        names = None if found is None else found[0].names
    return list(names or [None] * len(layout.shape))


def axis_of(layout: Layout, given: str | int, option: str) -> int:
    """The number of an axis that is given by name or number.

    Args:
        layout: of the array.
        given: the name or the number; negative numbers count from the last axis.
        option: the name of the argument, for messages.

    Raises:
        ValueError: there is no such axis.
    """
    names, ndim = names_of(layout), len(layout.shape)
    if isinstance(given, str):
        if given in names:
            return names.index(given)
        known = ", ".join(name or "-" for name in names) if any(names) else "none of them has a name"
        raise ValueError(f"{option}={given!r} is no axis of {layout.name}: {known}; or give a number from 0")
    number = integer(option, given)
    if not -ndim <= number < ndim:
        raise ValueError(f"{option}={number} is no axis of {layout.name}, which has the shape {layout.shape}")
    return number % ndim
