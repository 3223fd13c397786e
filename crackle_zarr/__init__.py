"""Crackle for NumPy, numcodecs and Zarr: compresses dense label volumes, and reads them in parts.

Functions take a Crackle stream; queries about labels also take a stored ``zarr.Array``. :class:`CrackleArray`
makes a stream behave like an array. The codecs need numcodecs and Zarr, which are imported at the first use
of a codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _moved, codec
from ._base.header import CrackleHeader
from ._base.mapping import LabelMapping
from ._base.options import PRESETS
from .errors import (
    CrackleError,
    CrackleWarning,
    FormatError,
    JournalError,
    MissingLabelError,
    StaleIndexError,
    StoreError,
    TakenOverError,
    VerificationError,
)
from .files import aload, bload, load, save, save_numpy
from .streams.agreement import Agreement, OverlapTable
from .streams.arithmetic import (
    add_scalar,
    apply_binary_mask,
    floordiv_scalar,
    mask,
    mask_except,
    multiply_scalar,
    subtract_scalar,
)
from .streams.array import CrackleArray
from .streams.components_3d import component_map
from .streams.constructors import compressa, full, ones, zeros
from .streams.contact_table import ContactTable
from .streams.neighbours import edge_labels, voxel_connectivity_graph
from .streams.points import select_enclosed_points, signed_distance_to_boundary
from .streams.rewriting import mode_pooling, mode_pooling_2x2x1, mode_pooling_2x2x2, recompress, reencode
from .streams.sections import component_lengths, components, crack_codes
from .streams.slices import labels_for_z_range, zrange, zshatter, zsplit, zstack
from .streams.stream import (
    array_equal,
    ascontiguousarray,
    asfortranarray,
    astype,
    compress,
    decompress,
    header,
    nbytes,
    refit,
)
from .verbs import (
    agglomerate,
    bounding_boxes,
    centroids,
    check_index,
    connected_components,
    contacts,
    contains,
    contains_range,
    convert,
    create_index,
    crop,
    cross_sectional_area,
    dust,
    each,
    fill_holes,
    find,
    labels,
    largest_k,
    lazy_remap,
    max,
    mesh,
    metrics,
    min,
    num_labels,
    open_index,
    overlaps,
    point_cloud,
    remap,
    remove_index,
    renumber,
    resume,
    select,
    skeletonize,
    split,
    statistics,
    to_parquet,
    undo,
    update_index,
    verify,
    voxel_counts,
)

if TYPE_CHECKING:
    from .codecs.create import create_array
    from .codecs.numcodecs_codec import Crackle
    from .codecs.zarr_codec import CrackleCodec
    from .files.label_names import LabelNames
    from .files.label_tables import read_label_names
    from .meshes import Mesh, MeshFolder, open_meshes
    from .ome import build_pyramid, create_ome_labels, label_names, set_label_names, write_ome_labels
    from .precomputed import open_precomputed, write_precomputed
    from .skeletons import (
        DimensionError,
        Skeleton,
        connect_points,
    )
    from .stored.index.label_index import LabelIndex
    from .stored.index.publish import IndexReport
    from .stored_skeletons import SkeletonDataset, open_skeletons
    from .view import Viewer, view

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Agreement",
    "ContactTable",
    "Crackle",
    "CrackleArray",
    "CrackleCodec",
    "CrackleError",
    "CrackleHeader",
    "CrackleWarning",
    "DimensionError",
    "FormatError",
    "IndexReport",
    "JournalError",
    "LabelIndex",
    "LabelMapping",
    "LabelNames",
    "Mesh",
    "MeshFolder",
    "MissingLabelError",
    "OverlapTable",
    "Skeleton",
    "SkeletonDataset",
    "StaleIndexError",
    "StoreError",
    "TakenOverError",
    "VerificationError",
    "Viewer",
    "__version__",
    "add_scalar",
    "agglomerate",
    "aload",
    "apply_binary_mask",
    "array_equal",
    "ascontiguousarray",
    "asfortranarray",
    "astype",
    "bload",
    "bounding_boxes",
    "build_pyramid",
    "centroids",
    "check_index",
    "codec",
    "component_lengths",
    "component_map",
    "components",
    "compress",
    "compressa",
    "connect_points",
    "connected_components",
    "contacts",
    "contains",
    "contains_range",
    "convert",
    "crack_codes",
    "create_array",
    "create_index",
    "create_ome_labels",
    "crop",
    "cross_sectional_area",
    "decompress",
    "dust",
    "each",
    "edge_labels",
    "fill_holes",
    "find",
    "floordiv_scalar",
    "full",
    "header",
    "label_names",
    "labels",
    "labels_for_z_range",
    "largest_k",
    "lazy_remap",
    "load",
    "mask",
    "mask_except",
    "max",
    "mesh",
    "metrics",
    "min",
    "mode_pooling",
    "mode_pooling_2x2x1",
    "mode_pooling_2x2x2",
    "multiply_scalar",
    "nbytes",
    "num_labels",
    "ones",
    "open_index",
    "open_meshes",
    "open_precomputed",
    "open_skeletons",
    "overlaps",
    "point_cloud",
    "read_label_names",
    "recompress",
    "reencode",
    "refit",
    "remap",
    "remove_index",
    "renumber",
    "resume",
    "save",
    "save_numpy",
    "select",
    "select_enclosed_points",
    "set_label_names",
    "signed_distance_to_boundary",
    "skeletonize",
    "split",
    "statistics",
    "subtract_scalar",
    "to_parquet",
    "undo",
    "update_index",
    "verify",
    "view",
    "voxel_connectivity_graph",
    "voxel_counts",
    "write_ome_labels",
    "write_precomputed",
    "zeros",
    "zrange",
    "zshatter",
    "zsplit",
    "zstack",
]

# Names whose modules import numcodecs or Zarr, or that few scripts use; the modules are imported at the first
# use.
_LATE = {
    "Crackle": "codecs.numcodecs_codec",
    "CrackleCodec": "codecs.zarr_codec",
    "DimensionError": "skeletons",
    "IndexReport": "stored.index.publish",
    "LabelIndex": "stored.index.label_index",
    "LabelNames": "files.label_names",
    "Mesh": "meshes",
    "MeshFolder": "meshes",
    "Skeleton": "skeletons",
    "SkeletonDataset": "stored_skeletons",
    "Viewer": "view",
    "build_pyramid": "ome",
    "connect_points": "skeletons",
    "create_array": "codecs.create",
    "create_ome_labels": "ome",
    "label_names": "ome",
    "open_meshes": "meshes",
    "open_precomputed": "precomputed",
    "open_skeletons": "stored_skeletons",
    "read_label_names": "files.label_tables",
    "set_label_names": "ome",
    "view": "view",
    "write_ome_labels": "ome",
    "write_precomputed": "precomputed",
}
_LATE_MODULES = {"ome", "skeletons"}


_moved.install()


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _moved.MOVED or name in _LATE_MODULES:
        return import_module(f".{name}", __name__)
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LATE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
