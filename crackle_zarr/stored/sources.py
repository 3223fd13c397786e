"""The kinds of stored arrays that functions take: an array, a group of OME-Zarr labels, or a view."""

from __future__ import annotations

import warnings
from typing import Any

import zarr

from .._base import zarr_facts
from ..errors import StoreError
from .layout import Layout, layout_of
from .lazy import RemappedArray
from .warn import warn_once
from .writing import translated_errors

# Arrays of a group that an error lists.
_LISTED = 10


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
    """The array that a group stands for.

    Of OME-Zarr, level 0 of its pyramid, or of its only label image; of other groups, the only array in it, at
    any depth.

    Raises:
        ValueError: it has several label images; or is not of OME-Zarr, and has several arrays or none.
        StoreError: the store failed.
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
    arrays = arrays_in(group)
    if arrays is not None and len(arrays) == 1:
        return arrays[0]
    what = f"{group.store_path} is a group, and not one of OME-Zarr labels"
    if arrays is None:
        raise ValueError(f"{what}: its store cannot list its members, so open an array in it by its path")
    if not arrays:
        raise ValueError(f"{what}: there is no array in it")
    inside = group.path + "/" if group.path else ""
    listed = [f"{one.path.removeprefix(inside)} ({_described(one)})" for one in arrays[:_LISTED]]
    more = f", and {len(arrays) - _LISTED:,} more" if len(arrays) > _LISTED else ""
    raise ValueError(f"{what}: open one of its {len(arrays):,} arrays: {', '.join(listed)}{more}")


def arrays_in(group: zarr.Group) -> list[zarr.Array[Any]] | None:
    """The arrays in a group at any depth, by path; None if the store cannot list.

    Raises:
        StoreError: the store failed.
    """
    store = group.store_path.store
    if not store.supports_listing:
        return None
    with translated_errors(store, group.path or "the group", "read from"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # other files in its folders do not matter
        found = [member for _, member in group.members(max_depth=None)]
    return sorted((one for one in found if isinstance(one, zarr.Array)), key=lambda one: one.path)


def codec_names(array: zarr.Array[Any]) -> list[str]:
    """The names of the codecs that compress an array; within a shard, those of its chunks."""
    names: list[str] = []
    for codec in zarr_facts.codecs(array):
        is_shard = zarr_facts.codec_json(codec).get("name") == "sharding_indexed"
        for one in codec.codecs if is_shard else [codec]:
            fields = zarr_facts.codec_json(one)
            names.append(str(fields.get("name") or fields.get("id")))
    return [name for name in names if name not in ("bytes", "transpose", "crc32c")]


def _described(array: zarr.Array[Any]) -> str:
    shape = " x ".join(map(str, array.shape)) or "no axes"
    return f"{shape} {array.dtype.name}, {', '.join(codec_names(array)) or 'no codec'}"


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
