"""The C library behind cffi: a module for each C header, threads, and one importer of ``ffi, lib``.

The rest of the package uses the names below, and does not import the modules.
"""

from __future__ import annotations

from .batches import Batch, batch_measure, batch_tables
from .codec import (
    MAX_MARKOV_ORDER,
    Layout,
    codes_range,
    constant,
    decode_stream,
    encode,
    prefix_nbytes,
    read_header,
    read_layout,
    table_nbytes,
)
from .library import Buffer, label_bits
from .parallel import (
    VOXELS_AT_ONCE,
    Stop,
    over_slices,
    raise_if_interrupted,
    run_in_thread,
    slices_at_once,
    threads,
)
from .skeletons import RUN, Runs, Traced, fill_voids, graph_pointer, split_by_graph
from .streams import (
    CONTACT,
    EXTENT,
    OVERLAP,
    Reader,
    connected_components,
    overlay,
    pool,
    recompress,
    relabel,
    relabel_in_place,
    stack,
)
from .totals import RowTotals, order_rows
from .volumes import measure_volume, volume_labels

__all__ = [
    "CONTACT",
    "EXTENT",
    "MAX_MARKOV_ORDER",
    "OVERLAP",
    "RUN",
    "VOXELS_AT_ONCE",
    "Batch",
    "Buffer",
    "Layout",
    "Reader",
    "RowTotals",
    "Runs",
    "Stop",
    "Traced",
    "batch_measure",
    "batch_tables",
    "codes_range",
    "connected_components",
    "constant",
    "decode_stream",
    "encode",
    "fill_voids",
    "graph_pointer",
    "label_bits",
    "measure_volume",
    "order_rows",
    "over_slices",
    "overlay",
    "pool",
    "prefix_nbytes",
    "raise_if_interrupted",
    "read_header",
    "read_layout",
    "recompress",
    "relabel",
    "relabel_in_place",
    "run_in_thread",
    "slices_at_once",
    "split_by_graph",
    "stack",
    "table_nbytes",
    "threads",
    "volume_labels",
]
