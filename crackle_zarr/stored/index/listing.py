"""What a store's listing says about the objects of an array: their sizes, and a tag that every write changes.

Zarr's interface lists names alone. The stores below it know more: a disk has the time of change, S3 and its
like an ETag, for a thousand objects a request. A store that says nothing has no listing here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from zarr.storage import LocalStore

from ..._base import zarr_facts
from ..layout import Layout
from ..writing import call_store, translated_errors
from .stamps import coords_of

# Size and tag of objects, by their keys within the store.
Listing: TypeAlias = dict[str, tuple[int, int]]

# What stores call the version of an object in their listings, the best first.
_VERSIONS = ("ETag", "etag", "e_tag", "md5Hash", "LastModified", "last_modified", "mtime", "created")


def listing_of(layout: Layout) -> Listing | None:
    """All objects of an array, with their tags; None if the store does not tell.

    Raises:
        StoreError: the store failed.
    """
    store = layout.store
    if _translates(store):
        return None
    inner: Any = zarr_facts.unwrapped(store)
    prefix = layout.array.path
    if isinstance(inner, LocalStore):
        with translated_errors(store, prefix, "listed in"):
            return dict(_on_disk(os.path.join(inner.root, prefix), prefix))
    if hasattr(inner, "fs") and hasattr(inner, "path"):  # zarr.storage.FsspecStore
        root = f"{inner.path}/{prefix}".rstrip("/")
        found = call_store(store, prefix, _by_fsspec(inner.fs, root), "listed in")
        if found is None:
            return None
        base = len(inner.path.strip("/")) + 1 if inner.path.strip("/") else 0
        return dict(_tagged((key.strip("/")[base:], info) for key, info in found.items()))
    if type(inner).__name__ == "ObjectStore" and hasattr(
        getattr(inner, "store", None), "list"
    ):  # zarr.storage.ObjectStore
        with translated_errors(store, prefix, "listed in"):
            pages = inner.store.list(f"{prefix}/" if prefix else None)
            return dict(_tagged((info["path"], info) for page in pages for info in page))
    return None


def _translates(store: Any) -> bool:
    """Whether a wrapper has other keys than the store beneath it."""
    while store is not None:
        if hasattr(store, "object_name"):
            return True
        store = getattr(store, "_store", None)
    return False


def _on_disk(folder: str, prefix: str) -> Iterator[tuple[str, tuple[int, int]]]:
    with os.scandir(folder) as found:
        for one in found:
            if one.name.startswith("."):  # such as journals and indexes
                continue
            key = f"{prefix}/{one.name}" if prefix else one.name
            if one.is_dir():
                yield from _on_disk(one.path, key)
            else:
                stat = one.stat()
                yield key, (stat.st_size, _hashed(stat.st_mtime_ns, stat.st_size))


async def _by_fsspec(fs: Any, root: str) -> dict[str, Any] | None:
    fs.invalidate_cache()  # a listing from before a write would hide the write
    try:
        found = await fs._find(root, detail=True) if fs.async_impl else fs.find(root, detail=True)
    except (NotImplementedError, FileNotFoundError):  # a web server does not list
        return None
    return dict(found)


def _tagged(infos: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, tuple[int, int]]]:
    for key, info in infos:
        size = int(info.get("size") or 0)
        version = next((info[name] for name in _VERSIONS if info.get(name)), None)
        yield key, (size, 0 if version is None else _hashed(version, size))


def _hashed(*values: Any) -> int:
    text = "/".join(map(str, values)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") or 1


def tags_of(
    layout: Layout, numbers: npt.NDArray[Any], listing: Listing | None
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Of some chunks, given by numbers: the tags (0: unknown), and the sizes of the objects that hold them.

    The size of an object that does not exist is 0; without a listing all sizes are -1.
    """
    tags = np.zeros(len(numbers), dtype=np.uint64)
    sizes = np.full(len(numbers), -1, dtype=np.int64)
    if listing is not None:
        for place, coords in enumerate(coords_of(layout, numbers)):
            sizes[place], tags[place] = listing.get(layout.path(layout.key(coords)), (0, 0))
    return tags, sizes
