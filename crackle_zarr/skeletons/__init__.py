"""Skeletons of labels: centre lines with radii, by TEASAR, from voxels or from Crackle streams.

``import crackle_zarr.skeletons as kimimaro`` runs a script written for Kimimaro; docs/from-kimimaro.md says
what differs.
"""

from __future__ import annotations

from .errors import DimensionError
from .folders import read_folder, write_folder
from .images import draw_skeletons, extract_skeleton_from_binary_image
from .postprocessing import join_close_components, postprocess
from .sections import cross_sectional_area, cross_sectional_area_single
from .segments import oversegment
from .skeleton import Skeleton, SkeletonAttributeMixingError
from .synapses import synapses_to_targets
from .tables import from_arrow, from_parquet, to_arrow, to_parquet
from .teasar import DEFAULT_TEASAR_PARAMS, Report, connect_points, skeletonize

__all__ = [
    "DEFAULT_TEASAR_PARAMS",
    "DimensionError",
    "Report",
    "Skeleton",
    "SkeletonAttributeMixingError",
    "connect_points",
    "cross_sectional_area",
    "cross_sectional_area_single",
    "draw_skeletons",
    "extract_skeleton_from_binary_image",
    "from_arrow",
    "from_parquet",
    "join_close_components",
    "oversegment",
    "postprocess",
    "read_folder",
    "skeletonize",
    "synapses_to_targets",
    "to_arrow",
    "to_parquet",
    "write_folder",
]
