"""Neighbourhoods: labels of a stream that touch, labels of two streams that share voxels.

The results come from the boundaries of slices and the components between them; no voxel is decoded. Memory
holds the result and a few slices.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _binding
from . import stream
from .agreement import OverlapTable, no_pairs, pairs_of, table_of
from .contact_table import ContactTable, contacts_of, merged, no_contacts, rows_of
from .objects import boxes_of
from .stream import Source, reader_of


def edge_labels(binary: Source, parallel: int = 0) -> set[int]:
    """The labels that touch a face of the volume, so that their objects may extend beyond it.

    Args:
        binary: the stream.
        parallel: threads; 0 is one per core.
    """
    reader = reader_of(binary)
    if reader.header.voxels() == 0:
        return set()
    found = set()
    for label, box in boxes_of(reader, _binding.threads(parallel)).items():
        if any(
            side.start == 0 or side.stop == length
            for side, length in zip(box, reader.header.shape, strict=True)
        ):
            found.add(label)
    return found


def contacts(
    binary: Source,
    anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0),
    parallel: int = 0,
    skip_background: bool = True,
) -> dict[tuple[int, int], float]:
    """The area over which labels of a stream touch; see :func:`crackle_zarr.contacts`."""
    return _table(binary, anisotropy, parallel, skip_background, only_areas=True).to_dict()


def contact_table(
    binary: Source,
    anisotropy: tuple[float, float, float] = (1.0, 1.0, 1.0),
    parallel: int = 0,
    skip_background: bool = True,
) -> ContactTable:
    """The pairs of labels of a stream that touch, along its axes x, y and z.

    Raises:
        ValueError: ``anisotropy`` is not three positive numbers.
    """
    return _table(binary, anisotropy, parallel, skip_background, only_areas=False)


def _table(
    binary: Source,
    anisotropy: tuple[float, float, float],
    parallel: int,
    skip_background: bool,
    only_areas: bool,
) -> ContactTable:
    sizes = three_sizes(anisotropy)
    threads = _binding.threads(parallel)
    reader = reader_of(binary)
    dtype = reader.header.dtype
    if reader.header.voxels() == 0:
        return contacts_of(no_contacts(dtype, 3), dtype, sizes)
    found = reader.contacts(threads, skip_background, only_counts=only_areas)
    # Modulo 2^n: labels have 64 bits here, and the bits of negative ones are extended.
    a, b = found["a"].astype(dtype), found["b"].astype(dtype)
    return contacts_of(merged(rows_of(a, b, found["faces"], found["start"], found["stop"])), dtype, sizes)


def three_sizes(anisotropy: Any) -> tuple[float, float, float]:
    """Check the size of a voxel along x, y and z: three finite and positive numbers."""
    sizes = np.asarray(anisotropy, dtype=np.float64)
    if sizes.shape != (3,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(f"anisotropy is the size of a voxel along x, y and z, not {anisotropy!r}")
    x, y, z = sizes.tolist()
    return x, y, z


def overlaps(a: Source, b: Source, parallel: int = 0) -> dict[tuple[int, int], int]:
    """The number of voxels that each pair of labels shares; see :func:`crackle_zarr.overlaps`."""
    return overlap_table(a, b, parallel).to_dict()


def overlap_table(a: Source, b: Source, parallel: int = 0) -> OverlapTable:
    """The pairs of labels of two volumes that share voxels.

    Raises:
        ValueError: the shapes differ.
    """
    threads = _binding.threads(parallel)
    first, second = reader_of(a), reader_of(b)
    if first.header.shape != second.header.shape:
        raise ValueError(f"the volumes have different shapes: {first.header.shape} and {second.header.shape}")
    dtypes = first.header.dtype, second.header.dtype
    if first.header.voxels() == 0:
        return table_of(no_pairs(*dtypes))
    found = first.overlaps(second, threads)
    # Modulo 2^n: labels have 64 bits here, and the bits of negative ones are extended.
    return table_of(pairs_of(found["a"].astype(dtypes[0]), found["b"].astype(dtypes[1]), found["voxels"]))


def voxel_connectivity_graph(
    binary: Source, connectivity: Literal[4, 6] = 6, parallel: int = 0
) -> npt.NDArray[np.uint8]:
    """For every voxel, the directions to a neighbour of the same label.

    Args:
        binary: the stream.
        connectivity: 6, or 4 for the directions within a slice.
        parallel: threads; 0 is one per core.

    Returns:
        An array of uint8 of the volume's shape and memory order. Its bits, from the lowest, are +x, -x, +y,
        -y, +z, -z. A bit of ``connectivity``'s directions is clear if the neighbour has another label, and
        set otherwise, also in directions out of the volume, as in cc3d.

    Raises:
        ValueError: ``connectivity`` is neither 4 nor 6.
    """
    if connectivity not in (4, 6):
        raise ValueError(f"connectivity is 4 or 6, not {connectivity!r}")
    threads = _binding.threads(parallel)
    reader = reader_of(binary)
    reader.check_claims(reader.header.voxels(), 0)
    graph = stream.empty_volume(reader.header.shape, np.dtype(np.uint8), reader.header.order)
    if graph.size:
        reader.connectivity(graph, connectivity, threads)
    return graph
