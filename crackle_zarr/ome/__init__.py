"""OME-Zarr: label images with their pyramids, voxel sizes and axes.

``metadata`` reads the multiscales of a group, ``create`` writes label images, and ``pyramid`` makes their
lower levels. Versions 0.4 (Zarr format 2) and 0.5 (Zarr format 3) are read, and 0.5 is written.
"""

from __future__ import annotations

from .create import create_ome_labels
from .metadata import Axis, Multiscale, label_images, open_labels, open_multiscale, space_of
from .names import label_names, set_label_names
from .pyramid import build_pyramid
from .write import write_ome_labels

__all__ = [
    "Axis",
    "Multiscale",
    "build_pyramid",
    "create_ome_labels",
    "label_images",
    "label_names",
    "open_labels",
    "open_multiscale",
    "set_label_names",
    "space_of",
    "write_ome_labels",
]
