"""Skeletons of stored arrays of any size: traced by tiles, merged by ranges of labels, kept in Parquet files.

An array is cut into tiles of whole chunks, which share a plane of voxels with their neighbours. The first
pass traces each tile; every object that a seam cuts gets a vertex there that both sides find. The second pass
merges the pieces of each label. Both run on any executor, and go on where they were interrupted. A few labels
that fit the memory are traced in one piece, from the chunks that hold them.
"""

from __future__ import annotations

from .dataset import SkeletonDataset, open_skeletons

__all__ = ["SkeletonDataset", "open_skeletons"]
