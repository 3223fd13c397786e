"""One verb, many sources: questions to streams and to stored arrays.

Each function takes a stream (``binary``: anything bytes-like, or a
:class:`~crackle_zarr.CrackleArray`), whose axes are (x, y, z), or a stored array: a ``zarr.Array`` of
format 2 or 3, in shards or not, whose answers are in the array's own axes and dtype; a ``zarr.Group`` of
OME-Zarr labels, of which level 0 is taken; or the view of one that :func:`lazy_remap` makes. The answer is
what NumPy would say of the array's voxels. Chunks that are Crackle streams answer from their label tables and
boundaries, and no voxel is decoded. Chunks of other codecs are decoded and encoded to ask them, with a
:class:`~crackle_zarr.errors.CrackleWarning`, once for an array.

Functions on stored arrays take these keywords; a stream takes none but ``parallel``.

- ``region``: the part to ask about: slices, one per axis, or fewer, with integers and Ellipsis as in NumPy,
  but without steps. Indices in answers count from the array's first voxel all the same. ValueError outside
  the array.
- ``verify``: verify the checksums of all that is read (True). Without, the labels of a chunk cost even less.
- ``executor``: None for threads, or any ``concurrent.futures.Executor``: a process pool, or
  ``Client.get_executor(pure=False)`` of dask.distributed.
- ``parallel``: how many threads; 0 is one per core. With an executor, how many workers it has, where it
  does not say so itself (dask's does not): twice as many tasks are under way.
- ``progress``: True for a bar on stderr, or a function that is called with (chunks done, chunks in all).

They raise :class:`~crackle_zarr.errors.FormatError` for a damaged chunk, and
:class:`~crackle_zarr.errors.StoreError` where the store fails; both name the chunk. A chunk that is not in
the store is all fill value. The time is that of reading and checking what is read; memory is that of the
chunks in flight and of the answer.
"""

from .arrays import convert, verify
from .edits import lazy_remap, remap, resume, undo
from .labels import contains, contains_range, find, labels, max, min, num_labels
from .measures import bounding_boxes, centroids, statistics, to_parquet, voxel_counts
from .objects import crop, each, point_cloud, select
from .sources import ArrayOptions

__all__ = [
    "ArrayOptions",
    "bounding_boxes",
    "centroids",
    "contains",
    "contains_range",
    "convert",
    "crop",
    "each",
    "find",
    "labels",
    "lazy_remap",
    "max",
    "min",
    "num_labels",
    "point_cloud",
    "remap",
    "resume",
    "select",
    "statistics",
    "to_parquet",
    "undo",
    "verify",
    "voxel_counts",
]
