"""The kinds of stored arrays that functions take: an array, a group of OME-Zarr labels, or a view."""

from __future__ import annotations

from typing import Any

import zarr

from ..errors import StoreError
from .layout import Layout, layout_of
from .lazy import RemappedArray
from .warn import warn_once


def layout_from(source: Any) -> Layout:
    """The layout of a stored array.

    Raises:
        TypeError: it is not an array of integers or bool.
        ValueError: a group does not determine one array.
    """
    if isinstance(source, RemappedArray):
        layout = source.layout
    else:
        layout = layout_of(array_of(source) if isinstance(source, zarr.Group) else source)
    if layout.chain is None:
        warn_once(layout.name, _what_it_costs(layout))
    return layout


def array_of(group: zarr.Group) -> zarr.Array[Any]:
    """The array that a group of OME-Zarr stands for: level 0 of its pyramid, or of its only label image.

    Raises:
        ValueError: it is no such group, or has several label images.
    """
    attributes: Any = group.attrs.asdict()
    attributes = attributes.get("ome", attributes)
    multiscales = attributes.get("multiscales")
    if multiscales:
        try:
            path = multiscales[0]["datasets"][0]["path"]
        except (LookupError, TypeError):
            raise ValueError(f"the multiscales of {group.store_path} name no datasets") from None
        array: zarr.Array[Any] = member_of(group, str(path), zarr.Array)
        return array
    images = attributes.get("labels")
    if isinstance(images, list) and len(images) == 1:
        return array_of(member_of(group, str(images[0]), zarr.Group))
    if isinstance(images, list) and images:
        raise ValueError(
            f"{group.store_path} has several label images: {', '.join(map(str, images))}; open one of them"
        )
    names = ", ".join(sorted(group.keys())) or "nothing"
    raise ValueError(
        f"{group.store_path} is a group, and not one of OME-Zarr labels: open an array in it ({names})"
    )


def member_of(group: zarr.Group, path: str, kind: type) -> Any:
    """A member of a group that its metadata name.

    Raises:
        ValueError: it does not exist, or is of another kind.
        StoreError: the store failed.
    """
    try:
        member = group[path]
    except KeyError:
        raise ValueError(f"{group.store_path} names {path!r}, which does not exist in it") from None
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"the metadata of {group.store_path}/{path} cannot be read: {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(member, kind):
        raise ValueError(f"{path!r} in {group.store_path} is no {kind.__name__.lower()}")
    return member


def _what_it_costs(layout: Layout) -> str:
    nbytes = layout.array.dtype.itemsize
    for length in layout.shape:
        nbytes *= length
    return (
        f"{layout.name} is not stored with Crackle, so a query has to decode its chunks: "
        f"up to {layout.num_chunks:,} chunks and {nbytes / 2**20:,.1f} MiB of voxels. "
        f"Stored with Crackle, it would only read label tables, a few percent of a far smaller store: "
        f"crackle_zarr.convert(source, 'crackle.zarr')"
    )
