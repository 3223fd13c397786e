"""Skeletons of labels: centre lines with radii, by TEASAR, from voxels or from Crackle streams.

``import crackle_zarr.skeletons as kimimaro`` runs a script written for Kimimaro; docs/from-kimimaro.md says
what differs.
"""

from __future__ import annotations

from .errors import DimensionError
from .images import draw_skeletons, extract_skeleton_from_binary_image
from .postprocessing import join_close_components, postprocess
from .precomputed import from_precomputed, read_folder, to_precomputed, write_folder
from .skeleton import Skeleton, SkeletonAttributeMixingError
from .swc import from_swc, to_swc
from .tables import from_arrow, from_parquet, to_arrow, to_parquet
from .teasar import DEFAULT_TEASAR_PARAMS, Report, connect_points, skeletonize

__all__ = [
    "DEFAULT_TEASAR_PARAMS",
    "DimensionError",
    "Report",
    "Skeleton",
    "SkeletonAttributeMixingError",
    "connect_points",
    "draw_skeletons",
    "extract_skeleton_from_binary_image",
    "from_arrow",
    "from_parquet",
    "from_precomputed",
    "from_swc",
    "join_close_components",
    "postprocess",
    "read_folder",
    "skeletonize",
    "to_arrow",
    "to_parquet",
    "to_precomputed",
    "to_swc",
    "write_folder",
]
