"""How far two segmentations agree: the table of their overlaps, and the figures that follow from it.

A row of the table is a pair of labels and the number of voxels that have both: a contingency table without
its zeros. Pairs of voxels that are together in one or in both segmentations, and the entropies of labels, are
sums over its rows and margins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .exported_table import ExportedTable


class OverlapTable(ExportedTable):
    """A structured array with a row per pair of labels that share voxels, ascending by both.

    Columns: ``label_a`` and ``label_b`` in the dtypes of the two volumes, and ``voxel_count`` (u8).
    ``pandas.DataFrame(table)`` and ``polars.DataFrame(table)`` work.
    """

    def metrics(self, ignore: Iterable[int] = ()) -> Agreement:
        """How far the volumes agree, as :func:`crackle_zarr.metrics` says it.

        Args:
            ignore: labels of the first volume, the one that is taken as true, whose voxels do not count.

        Raises:
            ValueError: no voxel counts.
        """
        return _agreement(self, ignore)

    def to_dict(self) -> dict[tuple[int, int], int]:
        """(label of a, label of b) -> number of voxels."""
        plain = self.view(np.ndarray)
        names = zip(plain["label_a"].tolist(), plain["label_b"].tolist(), strict=True)
        pairs = ((int(a), int(b)) for a, b in names)
        return dict(zip(pairs, plain["voxel_count"].tolist(), strict=True))


class Agreement(NamedTuple):
    """How far a segmentation b agrees with a segmentation a, which is taken as true.

    A pair of voxels is together in a segmentation if both have the same label.
    """

    rand_index: float
    """The share of all pairs that are together in both, or in neither."""
    adjusted_rand_index: float
    """The Rand index, such that chance gives 0 and equality 1 (Hubert and Arabie 1985)."""
    rand_precision: float
    """Of the pairs that are together in b, the share that is in a: low where b merges objects."""
    rand_recall: float
    """Of the pairs that are together in a, the share that is in b: low where b splits objects."""
    adapted_rand_error: float
    """One minus the harmonic mean of the two (Arganda-Carreras and others 2015)."""
    vi_split: float
    """The entropy of b given a, in bits: what b splits (Meila 2007)."""
    vi_merge: float
    """The entropy of a given b, in bits: what b merges."""
    voxels: int
    """How many voxels count."""

    @property
    def variation_of_information(self) -> float:
        """The sum of both entropies, in bits: 0 where the segmentations are equal but for the names."""
        return self.vi_split + self.vi_merge


def table_of(pairs: npt.NDArray[Any]) -> OverlapTable:
    """A table of rows in any order; those of equal pairs are added up.

    Args:
        pairs: a structured array with the table's fields.
    """
    pairs = pairs[np.lexsort((pairs["label_b"], pairs["label_a"]))]
    new = np.ones(len(pairs), dtype=np.bool_)
    new[1:] = (pairs["label_a"][1:] != pairs["label_a"][:-1]) | (
        pairs["label_b"][1:] != pairs["label_b"][:-1]
    )
    if not new.all():
        firsts = np.flatnonzero(new)
        counts = np.add.reduceat(pairs["voxel_count"], firsts)
        pairs = pairs[firsts]
        pairs["voxel_count"] = counts
    return pairs.view(OverlapTable)


def no_pairs(a: np.dtype[Any], b: np.dtype[Any]) -> npt.NDArray[Any]:
    """No rows, for labels of two dtypes."""
    return pairs_of(np.empty(0, dtype=a), np.empty(0, dtype=b), np.empty(0, dtype=np.uint64))


def pairs_of(a: npt.NDArray[Any], b: npt.NDArray[Any], voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows for :func:`table_of`: labels of a and b, and numbers of voxels."""
    pairs = np.empty(len(voxels), dtype=[("label_a", a.dtype), ("label_b", b.dtype), ("voxel_count", "u8")])
    pairs["label_a"], pairs["label_b"], pairs["voxel_count"] = a, b, voxels
    return pairs


def _agreement(table: OverlapTable, ignore: Iterable[int]) -> Agreement:
    plain = table.view(np.ndarray)
    ignored = [int(label) for label in ignore]
    if ignored:
        plain = plain[~np.isin(plain["label_a"].astype(object), ignored)]
    if not len(plain):
        raise ValueError("no voxel counts: there are none, or all have labels to ignore")
    count = plain["voxel_count"].astype(np.float64)
    a, b = (_margin(plain[name], count) for name in ("label_a", "label_b"))
    voxels = int(plain["voxel_count"].sum())
    both, in_a, in_b = (_together(sizes) for sizes in (count, a, b))
    pairs = voxels * (voxels - 1) / 2
    expected = in_a * in_b / pairs if pairs else 0.0
    most = (in_a + in_b) / 2
    joint = _entropy(count, voxels)
    return Agreement(
        rand_index=(pairs + 2 * both - in_a - in_b) / pairs if pairs else 1.0,
        adjusted_rand_index=(both - expected) / (most - expected) if most != expected else 1.0,
        rand_precision=both / in_b if in_b else 1.0,
        rand_recall=both / in_a if in_a else 1.0,
        adapted_rand_error=1 - 2 * both / (in_a + in_b) if in_a + in_b else 0.0,
        vi_split=max(0.0, joint - _entropy(a, voxels)),
        vi_merge=max(0.0, joint - _entropy(b, voxels)),
        voxels=voxels,
    )


def _margin(labels: npt.NDArray[Any], count: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The voxels of each label."""
    order = np.argsort(labels, kind="stable")
    firsts = np.flatnonzero(np.append(True, labels[order][1:] != labels[order][:-1]))
    return np.add.reduceat(count[order], firsts)


def _together(sizes: npt.NDArray[np.float64]) -> float:
    """How many pairs of voxels are in the same group."""
    return float((sizes * (sizes - 1)).sum() / 2)


def _entropy(sizes: npt.NDArray[np.float64], total: int) -> float:
    share = sizes / total
    return float(-(share * np.log2(share)).sum())
