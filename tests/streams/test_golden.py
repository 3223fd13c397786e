"""Streams of other writers decode to their original arrays."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference

import crackle_zarr
from crackle_zarr import _binding

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
MANIFEST: dict[str, dict[str, Any]] = (
    json.loads((FOLDER / "manifest.json").read_text()) if (FOLDER / "manifest.json").is_file() else {}
)


def sha256(array: np.ndarray[Any, Any]) -> str:
    """The digest of an array's bytes in Fortran order."""
    return hashlib.sha256(np.ascontiguousarray(array.T)).hexdigest()


def test_golden_streams_are_there(shared: Path) -> None:
    """The golden streams exist; without them the tests below would pass by testing nothing."""
    assert len(MANIFEST) == 174
    assert all((shared / "golden" / name).is_file() for name in MANIFEST)


@pytest.mark.parametrize("name", MANIFEST)
def test_reference_decodes_golden(name: str) -> None:
    """The reference decodes streams that it did not write."""
    expected = MANIFEST[name]
    result = reference.decode((FOLDER / name).read_bytes())
    assert result.array.shape == tuple(expected["shape"])
    assert result.array.dtype == np.dtype(expected["dtype"])
    assert sha256(result.array) == expected["sha256"]
    assert result.spurious_branches == 0
    assert result.slack == 0


@pytest.mark.parametrize("name", MANIFEST)
def test_golden_decodes(name: str) -> None:
    """Voxels, dtype, shape and memory order are those of the original array."""
    expected = MANIFEST[name]
    stream = (FOLDER / name).read_bytes()
    array = crackle_zarr.decompress(stream)
    assert array.shape == tuple(expected["shape"])
    assert array.dtype == np.dtype(expected["dtype"])
    assert array.flags.c_contiguous if expected["order"] == "C" else array.flags.f_contiguous
    assert sha256(array) == expected["sha256"]
    header = crackle_zarr.header(stream)
    assert header.format_version == expected["format_version"]
    assert header.order == expected["order"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", MANIFEST)
def test_golden_decodes_by_range(name: str, order: str) -> None:
    """Any range of slices decodes alone, into either memory order, on one thread or more."""
    expected = MANIFEST[name]
    reader = _binding.Reader((FOLDER / name).read_bytes())
    sx, sy, sz = reader.header.shape
    pieces = []
    edges = sorted({0, min(1, sz), sz // 2, sz})
    for parallel, (start, end) in enumerate(itertools.pairwise(edges), 1):
        out = np.empty((sx, sy, end - start), reader.header.dtype, order=order)
        reader.decode(out, start, end, parallel=parallel)
        pieces.append(out)
    assert sha256(np.concatenate(pieces, axis=2)) == expected["sha256"]


def test_connectomics_decodes(shared: Path) -> None:
    """A real volume of 134 million voxels, written with pins by another writer, decodes to its digest."""
    path = shared / "data" / "connectomics.npy.ckl.gz"
    if not path.is_file():
        pytest.skip("the volume connectomics is not in shared/data")
    reader = _binding.Reader(gzip.decompress(path.read_bytes()))
    assert reader.header.shape == (512, 512, 512)
    assert reader.header.dtype == np.uint32
    assert reader.header.label_format == 2
    digest = hashlib.sha256()
    slab = np.empty((512, 512, 64), np.uint32, order="F")  # in parts, because all of it is half a gigabyte
    for z in range(0, 512, 64):
        reader.decode(slab, z, z + 64, parallel=2)
        digest.update(slab.T)
    assert digest.hexdigest() == "4f5ad1c03f6fa0478a5c332a1ff51cf7636a83a59c87e1d086e07fb0a5fc77d6"
