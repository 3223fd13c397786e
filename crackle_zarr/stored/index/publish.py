"""How files become an index: their manifest, which is put in force once they are all there."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
from dataclasses import dataclass

from ..._base import zarr_facts
from ...errors import FormatError
from ..layout import Layout
from .home import BUILDING, Home
from .manifest import CURRENT, File, Manifest, Segment, geometry_of, unpacked
from .parquet import file_of
from .stamps import Stamps

WRITER = "crackle_zarr"


@dataclass(frozen=True)
class IndexReport:
    """What an index is, or what a build or an update did.

    Attributes:
        labels: how many labels it has.
        rows: how many pairs of a label and a chunk.
        chunks: how many chunks the array has.
        measured: how many of them were measured this time.
        nbytes: bytes of the index in the store.
    """

    labels: int
    rows: int
    chunks: int
    measured: int
    nbytes: int


def manifest_of(
    layout: Layout, home: Home, folder: str, segments: tuple[Segment, ...], stamps: Stamps
) -> Manifest:
    """Put the stamps of all chunks, and make the manifest of an index of one segment."""
    pairs = [pair for segment in segments for pair in segment.pairs]
    return Manifest(
        id=folder,
        writer=WRITER,
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        array=geometry_of(layout),
        state=CURRENT,
        num_labels=sum(pair.num_labels for pair in pairs),
        num_rows=sum(pair.num_rows for pair in pairs),
        segments=segments,
        chunks=put_stamps(layout, home, folder, stamps),
    )


def put_stamps(layout: Layout, home: Home, folder: str, stamps: Stamps) -> File:
    """Put the file of stamps."""
    name = f"{folder}/chunks.parquet"
    raw, file = file_of(name, stamps, about_of(layout))
    home.put({name: raw})
    return file


def put_in_force(home: Home, manifest: Manifest) -> None:
    """Replace the manifest, and remove folders that neither it nor the former one needs.

    Readers that have read the former manifest still find its files.
    """
    raw = home.manifest()
    former: set[str] = set()
    if raw is not None:
        with contextlib.suppress(FormatError):
            former = unpacked(raw, home.name).folders
    home.put_manifest(manifest.packed())
    for folder in home.folders():
        if folder not in manifest.folders | former | {BUILDING}:
            home.remove_folder(folder)


def about_of(layout: Layout) -> dict[str, str]:
    """What each file says of its array."""
    names = zarr_facts.dimension_names(layout.array) or (None,) * len(layout.shape)
    return {
        "crackle_zarr.axes": json.dumps([name or str(axis) for axis, name in enumerate(names)]),
        "crackle_zarr.shape": json.dumps(list(layout.shape)),
        "crackle_zarr.chunks": json.dumps([cut.json for cut in layout.cuts]),
        "crackle_zarr.dtype": str(layout.array.dtype),
    }


def report_of(layout: Layout, manifest: Manifest, measured: int = 0) -> IndexReport:
    """A report of an index."""
    return IndexReport(
        manifest.num_labels, manifest.num_rows, math.prod(layout.grid), measured, manifest.nbytes
    )
