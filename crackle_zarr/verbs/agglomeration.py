"""From edges between supervoxels to the objects that they make."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from .._base.mapping import LabelMapping
from .._base.pairs import edges_of


def agglomerate(edges: Any, scores: Any = None, threshold: float | None = None) -> LabelMapping:
    """The mapping of supervoxels to objects: labels that edges connect get one name, the smallest of them.

    The objects are the connected components of a graph, whose vertices are labels. Labels that no edge
    touches are not in the mapping, so they keep their names.

    Args:
        edges: pairs of labels: an array of shape (n, 2); a tuple of two arrays of one axis; a table of
            pyarrow, pandas, polars or DuckDB, or a file (.npy, .npz, .parquet, .arrow, .feather, .csv) with
            two columns of labels and perhaps a third, ``score``.
        scores: a number per edge. None: the column ``score``, if there is one.
        threshold: only edges whose score is at most this connect, as for the scores of waterz and funlib,
            which are low where two supervoxels belong together. For affinities, which are high there, negate
            scores and threshold. An edge without a score (NaN) connects nothing.

    Returns:
        A :class:`LabelMapping` for :func:`remap` and :func:`lazy_remap`. Its ``preimages(label)`` are the
        supervoxels of an object. It names every label that an edge which connects touches.

    Raises:
        TypeError: ``edges`` holds no pairs of integers.
        ValueError: there is a threshold and no scores, or not one per edge.
        ImportError: SciPy is not installed: ``pip install 'crackle-zarr[distance]'``.

    Examples:
        ```python
        objects = cz.agglomerate("edges.parquet", threshold=0.3)
        view = cz.lazy_remap(array, objects)
        ```

    Takes O(n log n) time and some 60 bytes an edge of memory.
    """
    one, other, column = edges_of(edges)
    scores = column if scores is None else np.asarray(scores, dtype=np.float64)
    if threshold is not None:
        if scores is None:
            raise ValueError("there is a threshold, and the edges have no scores: give scores=")
        if scores.shape != one.shape:
            raise ValueError(f"there are {len(one):,} edges, and scores of shape {scores.shape}")
        connecting = scores <= threshold
        one, other = one[connecting], other[connecting]
    elif scores is not None and scores is not column:
        raise ValueError("there are scores, and no threshold: give threshold=")
    labels, ends = _numbered(one, other)
    if not len(labels):
        return LabelMapping.of_arrays(labels, labels, True)
    sparse, csgraph = _scipy()
    first, second = ends
    graph = sparse.coo_matrix((np.ones(len(first), dtype=np.bool_), (first, second)), shape=[len(labels)] * 2)
    count, component = csgraph.connected_components(graph, directed=False)
    # Labels ascend, so the first of a component that is met is its smallest.
    smallest = np.full(count, len(labels), dtype=np.intp)
    np.minimum.at(smallest, component, np.arange(len(labels)))
    return LabelMapping.of_arrays(labels, labels[smallest[component]], True)


def _numbered(
    one: npt.NDArray[Any], other: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """All labels, ascending, and both columns as indices of them."""
    if one.dtype != other.dtype:
        kinds = {one.dtype.kind, other.dtype.kind}
        # NumPy would make floats of int64 and uint64, which are not exact.
        common = np.dtype(object) if kinds == {"i", "u"} else np.promote_types(one.dtype, other.dtype)
        one, other = one.astype(common), other.astype(common)
    labels, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    place = place.reshape(-1)
    if labels.dtype == object and all(0 <= label < 2**64 for label in labels):
        labels = labels.astype(np.uint64)
    return labels, (place[: len(one)], place[len(one) :])


def _scipy() -> tuple[Any, Any]:
    try:
        return importlib.import_module("scipy.sparse"), importlib.import_module("scipy.sparse.csgraph")
    except ImportError:
        raise ImportError("agglomerate needs SciPy: pip install 'crackle-zarr[distance]'") from None
