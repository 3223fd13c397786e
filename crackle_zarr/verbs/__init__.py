"""One verb, many sources: functions that take streams, arrays in memory and stored arrays.

Each function takes one of three sources:

- a stream (``binary``): anything bytes-like, or a :class:`~crackle_zarr.CrackleArray`. Its axes are x, y, z.
- a stored array: a ``zarr.Array`` of format 2 or 3, with shards or without; a ``zarr.Group`` of OME-Zarr
  labels, whose level 0 is used, or another group with one array in it, at any depth; or a view that
  :func:`lazy_remap` returns. Results have the array's own axes and dtype.
- an array in memory of up to three axes, for functions whose argument is ``binary``: of NumPy, dask, xarray,
  or anything with ``__array__``, in any order, of any integers or bool. An array of uint8 with one axis that
  begins like a stream, with ``crkl``, is a stream. Labels and statistics come from the array's boundaries,
  with its own axes; other functions make a stream of it first, and their axes are x, y, z.

The result equals what NumPy would compute from the array's voxels. For chunks that are Crackle streams, it
comes from their label tables and boundaries, without decoding a voxel. Chunks of other codecs are decoded and
encoded as Crackle streams first; a :class:`~crackle_zarr.errors.CrackleWarning` says so, once for an array.

Functions on stored arrays take these keywords; for a stream or an array
in memory, they take only ``parallel``.

- ``region``: the part of the array to query: slices, one per axis or fewer, with integers and Ellipsis as in
  NumPy, but without steps. Indices in results still count from the array's first voxel. A region outside the
  array raises ValueError.
- ``level``: for a group of OME-Zarr, the level to query; 0, the default, is the finest. Indices in results
  are those of the level's array.
- ``verify``: verify the checksums of everything that is read (True). Without, reading a chunk's labels is
  cheaper still.
- ``executor``: None for threads, or any ``concurrent.futures.Executor``: a process pool, or
  ``Client.get_executor(pure=False)`` of dask.distributed.
- ``parallel``: the number of threads; 0 is one per core. With an executor that does not tell its number of
  workers, such as dask's, it is that number. Twice as many tasks are submitted at a time.
- ``retries``: how often a request to a distant store is repeated after a fault that may pass: status 429 and
  5xx, timeouts, lost connections, bodies that are too short (4). Pauses grow from 0.2 seconds. A disk and
  memory are asked once.
- ``progress``: True for a bar on stderr, or a function of (chunks done, chunks in all).
- ``unfinished``: what to do where an edit or a conversion of the array has not finished, so that its labels
  may be a mixture: "warn", once, with a :class:`~crackle_zarr.errors.CrackleWarning`; "refuse", which raises
  :class:`~crackle_zarr.errors.JournalError`; or "ignore", which saves two small requests, four in a group.

- ``index``: "auto" uses the label index of the array if it is there and current (:func:`create_index`);
  "require" raises :class:`~crackle_zarr.errors.StaleIndexError` or FileNotFoundError otherwise; "ignore" does
  not look for it.

The functions raise :class:`~crackle_zarr.errors.FormatError` for a damaged chunk, and
:class:`~crackle_zarr.errors.StoreError` if the store fails; both name the chunk. A chunk that is not in the
store has only the fill value. Functions take the time to read and verify the bytes that they need; memory
holds the chunks in progress and the result.
"""

from .agglomeration import agglomerate
from .arrays import convert, verify
from .cleaning import dust, fill_holes, largest_k, renumber, split
from .comparison import metrics, overlaps
from .components import connected_components
from .edits import lazy_remap, remap, resume, undo
from .index import check_index, create_index, open_index, remove_index, update_index
from .labels import contains, contains_range, find, labels, max, min, num_labels
from .measures import bounding_boxes, centroids, statistics, to_parquet, voxel_counts
from .meshes import MeshFormat, mesh
from .neighbours import contacts
from .objects import crop, each, point_cloud, select
from .skeletons import cross_sectional_area, skeletonize
from .sources import ArrayOptions

__all__ = [
    "ArrayOptions",
    "MeshFormat",
    "agglomerate",
    "bounding_boxes",
    "centroids",
    "check_index",
    "connected_components",
    "contacts",
    "contains",
    "contains_range",
    "convert",
    "create_index",
    "crop",
    "cross_sectional_area",
    "dust",
    "each",
    "fill_holes",
    "find",
    "labels",
    "largest_k",
    "lazy_remap",
    "max",
    "mesh",
    "metrics",
    "min",
    "num_labels",
    "open_index",
    "overlaps",
    "point_cloud",
    "remap",
    "remove_index",
    "renumber",
    "resume",
    "select",
    "skeletonize",
    "split",
    "statistics",
    "to_parquet",
    "undo",
    "update_index",
    "verify",
    "voxel_counts",
]
