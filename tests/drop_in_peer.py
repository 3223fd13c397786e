"""Calls whose answers are compared with crackle-codec's, and the cases in which crackle-codec is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from drop_in import Array, a_label, labels_of, no_number_for

import crackle_zarr as crackle

Ask = Callable[[Any, bytes, Array], Any]

COMPARED: dict[str, Ask] = {
    "add_scalar": lambda m, s, v: m.add_scalar(s, 5),
    "apply_binary_mask": lambda m, s, v: m.apply_binary_mask(s, m.compress((v % 2).astype(np.uint8))),
    "array_equal": lambda m, s, v: bool(m.array_equal(s, m.compress(v))),
    "asfortranarray": lambda m, s, v: m.asfortranarray(s),
    "ascontiguousarray": lambda m, s, v: m.ascontiguousarray(s),
    "astype": lambda m, s, v: m.astype(s, np.uint64, order="C"),
    "bounding_boxes": lambda m, s, v: m.bounding_boxes(s),
    "bounding_boxes, a label": lambda m, s, v: m.bounding_boxes(s, a_label(v)),
    "bounding_boxes, numbers": lambda m, s, v: m.bounding_boxes(s, no_slice_conversion=True),
    "centroids": lambda m, s, v: m.centroids(s),
    "centroids, a label": lambda m, s, v: m.centroids(s, a_label(v)),
    "component_lengths": lambda m, s, v: m.component_lengths(s),
    "component_map": lambda m, s, v: m.component_map(crackle.connected_components(s), s),
    "components": lambda m, s, v: {name: bytes(part).hex() for name, part in m.components(s).items()},
    "compressa": lambda m, s, v: m.compressa(v),
    "connected_components, 26": lambda m, s, v: m.connected_components(s, return_mapping=True),
    "connected_components, 6": lambda m, s, v: m.connected_components(s, connectivity=6, return_mapping=True),
    "connected_components, binary": lambda m, s, v: m.connected_components(s, binary_image=True),
    "contacts": lambda m, s, v: m.contacts(s),
    "contacts, anisotropic": lambda m, s, v: m.contacts(s, anisotropy=(4, 8, 40)),
    "contains": lambda m, s, v: [bool(m.contains(s, x)) for x in (a_label(v), no_number_for(v))],
    "contains_range": lambda m, s, v: m.contains_range(s, 1, int(v.max())),
    "crack_codes": lambda m, s, v: m.crack_codes(s),
    "decompress": lambda m, s, v: m.decompress(s),
    "decompress, a label": lambda m, s, v: m.decompress(s, a_label(v)),
    "decompress, crop": lambda m, s, v: m.decompress(s, a_label(v), crop=True),
    "each": lambda m, s, v: dict(m.each(s)),
    "each, some labels": lambda m, s, v: dict(m.each(s, crop=False, labels=labels_of(v)[:2])),
    "each, multi": lambda m, s, v: [(label, image == n) for label, n, image in m.each(s, multi=True)],
    "edge_labels": lambda m, s, v: m.edge_labels(s),
    "floordiv_scalar": lambda m, s, v: m.floordiv_scalar(s, 3),
    "header": lambda m, s, v: {name: getattr(m.header(s), name) for name in HEADER_FIELDS},
    "header, dtype": lambda m, s, v: np.dtype(m.header(s).dtype).str,
    "labels": lambda m, s, v: m.labels(s),
    "labels_for_z_range": lambda m, s, v: m.labels_for_z_range(s, v.shape[2] // 2, v.shape[2]),
    "mask": lambda m, s, v: m.mask(s, [a_label(v)]),
    "mask_except": lambda m, s, v: m.mask_except(s, [a_label(v)]),
    "max": lambda m, s, v: m.max(s),
    "min": lambda m, s, v: m.min(s),
    "mode_pooling_2x2x1": lambda m, s, v: m.mode_pooling_2x2x1(s),
    "mode_pooling_2x2x1, sparse": lambda m, s, v: m.mode_pooling_2x2x1(s, sparse=True),
    "multiply_scalar": lambda m, s, v: m.multiply_scalar(m.astype(s, np.uint64), 3),
    "nbytes": lambda m, s, v: m.nbytes(s),
    "num_labels": lambda m, s, v: m.num_labels(s),
    "ok": lambda m, s, v: m.codec.ok(s),
    "recompress": lambda m, s, v: m.recompress(s),
    "reencode": lambda m, s, v: m.reencode(s, markov_model_order=2),
    "refit": lambda m, s, v: m.refit(s),
    "remap": lambda m, s, v: m.remap(s, {x: x // 2 for x in labels_of(v)}),
    "remap, some": lambda m, s, v: m.remap(s, {a_label(v): 1}, preserve_missing_labels=True),
    "renumber": lambda m, s, v: m.renumber(s),
    "renumber, 5": lambda m, s, v: m.renumber(s, start=5),
    "select_enclosed_points": lambda m, s, v: m.select_enclosed_points(s, a_label(v), some_places(v)),
    "subtract_scalar": lambda m, s, v: m.subtract_scalar(s, int(v.min())),
    "to_parquet": lambda m, s, v: m.to_parquet(s),
    "voxel_connectivity_graph, 4": lambda m, s, v: m.voxel_connectivity_graph(s, 4),
    "voxel_connectivity_graph, 6": lambda m, s, v: m.voxel_connectivity_graph(s),
    "voxel_counts": lambda m, s, v: m.voxel_counts(s),
    "voxel_counts, a label": lambda m, s, v: m.voxel_counts(s, a_label(v)),
    "zshatter": lambda m, s, v: m.zshatter(s),
    "zsplit": lambda m, s, v: m.zsplit(s, v.shape[2] // 2),
    "zstack": lambda m, s, v: m.zstack([s, v]),
}

HEADER_FIELDS = (
    *("sx", "sy", "sz", "data_width", "stored_data_width", "label_format", "crack_format", "fortran_order"),
    *("signed", "markov_model_order", "is_sorted", "format_version", "num_label_bytes", "nbytes"),
)

# Calls that crackle-codec refuses, or answers wrong in some cases, if the stream has pins ...
WRONG_OF_PINS = {
    *("labels_for_z_range", "each", "each, some labels", "each, multi", "contains_range", "zstack"),
    *("connected_components, 6", "connected_components, 26", "connected_components, binary", "component_map"),
    *("mask", "mask_except", "remap", "remap, some", "renumber", "renumber, 5", "zshatter", "zsplit"),
    *("add_scalar", "subtract_scalar", "multiply_scalar", "floordiv_scalar"),
    *("bounding_boxes", "bounding_boxes, numbers", "to_parquet"),
}
# ... or a Markov model.
WRONG_OF_MODELS = {"component_lengths", "components", "crack_codes", "zshatter", "zsplit"}


def some_places(volume: Array) -> Array:
    return np.argwhere(np.ones(volume.shape, bool))[::7].astype(np.float32)


def rounded(answer: Any) -> Any:
    """Floats rounded to five digits, because crackle-codec computes in float32."""
    if isinstance(answer, dict):
        return {key: rounded(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return type(answer)(rounded(value) for value in answer)
    return float(f"{answer:.5g}") if isinstance(answer, float) else answer


# With NumPy 1, crackle-codec wraps a queried label around if the dtype cannot hold it.
THEIR_LABELS = "ignore:NumPy will stop allowing conversion of out-of-bound:DeprecationWarning"
