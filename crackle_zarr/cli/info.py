"""``crackle-zarr info``: describe files and arrays."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import _binding
from .._base.header import LABEL_FORMATS
from ..files import crackle_files, formats, volumes
from ..files.formats import hdf5, npz, slices
from ..files.volumes import UnusableError
from ..streams import stream
from . import _common, array_info, places, precomputed
from ._common import EXIT_CODES

if TYPE_CHECKING:
    from rich.table import Table

# ---------------------------------------------------------------------------------------
# info


def section_sizes(binary: _binding.Buffer, voxels: int) -> dict[str, int]:
    """Sizes of the sections in bytes. A stream without voxels has only a header."""
    if not voxels:
        return {"header": len(binary)}
    names = ("header", "crack_index", "labels", "markov_model", "crack_codes", "checksums")
    begins = (0, *dataclasses.astuple(_binding.read_layout(binary)))
    sizes = (end - begin for begin, end in itertools.pairwise(begins))
    return dict(zip(names, sizes, strict=True))


def _describe(place: str) -> dict[str, Any]:
    """The record of a file, as ``info --json`` prints it."""
    path = Path(formats.split(place)[0])
    if slices.is_sequence(place) or formats.of_name(place) not in (None, "ckl", "npy"):
        return _describe_volume(place, path)
    try:
        kind = volumes.kind_of(path)
    except UnusableError:
        return _describe_volume(place, path)
    file_nbytes = path.stat().st_size
    record: dict[str, Any] = {"file": str(path), "kind": kind, "file_nbytes": file_nbytes}
    if kind == "npy":
        mapped = volumes.mapped_npy(path)  # voxels are read only if the file is compressed
        volume = volumes.read_volume(path) if mapped is None or mapped.dtype.kind == "f" else mapped
        order = "F" if volume.flags.f_contiguous and not volume.flags.c_contiguous else "C"
        return record | {
            "nbytes": volume.nbytes,
            "ratio": volume.nbytes / file_nbytes,
            "shape": list(volume.shape),
            "dtype": volume.dtype.name,
            "memory_order": order,
        }
    binary = crackle_files.bload(path, allow_mmap=True)
    head = stream.header(binary)
    number = stream.num_labels(binary)
    return record | {
        "stream_nbytes": len(binary),
        "nbytes": head.nbytes,
        "ratio": head.nbytes / file_nbytes,
        "format_version": head.format_version,
        "shape": list(head.shape),
        "dtype": head.dtype.name,
        "memory_order": head.order,
        "num_labels": number,
        # Text, because many JSON readers cannot hold large integers.
        "min_label": str(stream.min(binary)) if number else None,
        "max_label": str(stream.max(binary)) if number else None,
        "stored_label_width": head.stored_data_width,
        "label_format": LABEL_FORMATS[head.label_format],
        "label_table_sorted": head.is_sorted,
        "crack_format": "permissible" if head.crack_format else "impermissible",
        "markov_model_order": head.markov_model_order,
        "sections": section_sizes(binary, head.voxels()),
    }


def _describe_volume(place: str, path: Path) -> dict[str, Any]:
    """The record of a file of another format; without a dataset's name, of all datasets of HDF5."""
    files = slices.paths(place) if slices.is_sequence(place) else [path]
    file_nbytes = sum(one.stat().st_size for one in files)
    record: dict[str, Any] = {"file": place, "kind": "volume", "file_nbytes": file_nbytes}
    _, member = formats.split(place)
    format = formats.of_name(place)
    if format in formats.MEMBERS and member is None:
        formats.require(format)
        listed = hdf5.listed(path) if format == "hdf5" else npz.listed(path)
        return record | {"kind": format, "datasets": listed}
    with formats.opened_unpacked(place) as volume:
        xyz = volume.transposed() if volume.format == "hdf5" else volume
        if xyz.axes is None and len(xyz.shape) <= 3 and volume.format not in ("npy", "npz"):
            xyz = dataclasses.replace(xyz, axes=tuple("xyz"[: len(xyz.shape)]))
        return record | {
            "format": formats.FORMATS[volume.format].name if volume.format else None,
            "files": len(files),
            "axes": None if xyz.axes is None else list(xyz.axes),
            "nbytes": xyz.nbytes,
            "ratio": xyz.nbytes / record["file_nbytes"],
            "shape": list(xyz.shape),
            "dtype": xyz.dtype.name,
            "scaled": volume.note or None,
            **places.space_fields(xyz.space),
        }


@click.command(epilog=EXIT_CODES)
@_common.places
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with an object per file or array.")
@places.storage_option
def info(inputs: tuple[str, ...], as_json: bool, storage_option: dict[str, Any]) -> None:
    """Describe files and Zarr arrays.

    For a stream: shape, dtype, labels, and the sizes of its sections. For other files: shape, dtype
    and voxel size; for an HDF5 file, its datasets. For a Zarr array: shape, dtype, chunks, shards,
    codecs, voxel size, and its bytes in the store, if the store can list them; for a group that is not
    of OME-Zarr, its arrays at any depth, or its only array. For a precomputed
    volume of Neuroglancer (precomputed://PATH-or-URL), its scales. Streams and chunks are not
    decoded. In JSON, labels are text, because many JSON readers cannot hold large integers.

    \b
    Examples:
      crackle-zarr info seg.ckl
      crackle-zarr info --json *.ckl
      crackle-zarr info seg.nii.gz
      crackle-zarr info sample.h5
      crackle-zarr info seg.zarr
      crackle-zarr info s3://bucket/seg.zarr --storage-option anon=true
      crackle-zarr info precomputed://https://example.org/seg
    """
    records: list[dict[str, Any]] = []

    def work(place: str) -> None:
        is_stored = places.is_stored(place)
        if places.is_precomputed(place):
            record = precomputed.describe(place, storage_option)
        else:
            record = array_info.describe(place, storage_option) if is_stored else _describe(place)
        if as_json:
            records.append(record)
            return
        from rich.console import Console

        # rich wraps lines at 80 columns when it writes into a file or a pipe.
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        tables = {
            "zarr": array_info.info_tables,
            "group": array_info.group_tables,
            "precomputed": precomputed.info_tables,
        }
        for table in tables.get(record["kind"], _info_tables)(record):
            console.print(table)

    try:
        _common.Batch().run(inputs, work)
    finally:
        if as_json:
            click.echo(json.dumps(records, indent=2))


def _info_tables(record: dict[str, Any]) -> Iterator[Table]:
    """Tables for a file: its fields, and the sizes of a stream's sections."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if record["kind"] in formats.MEMBERS:
        yield _datasets_table(record)
        return
    raw, file_nbytes = record["nbytes"], record["file_nbytes"]
    shape = " x ".join(map(str, record["shape"]))
    order = f", {record['memory_order']} order" if "memory_order" in record else ""
    rows = {
        "kind": "NumPy array",
        "shape": shape,
        "dtype": record["dtype"] + order,
        "volume": f"{raw:,} bytes",
        "file": f"{file_nbytes:,} bytes{_ratio(raw, file_nbytes)}",
    }
    if record["kind"] == "volume":
        axes = record["axes"]
        rows |= {
            "kind": record["format"],
            "shape": shape if axes is None else f"{shape} ({', '.join(axes)})",
            **places.space_rows(record, axes or "xyz"),
        }
        if record["files"] > 1:
            rows["file"] = f"{record['files']:,} files, {rows['file']}"
        if record["scaled"]:
            rows["numbers"] = record["scaled"]
    if record["kind"] == "ckl":
        stored = record["stream_nbytes"]
        span = f", {record['min_label']} to {record['max_label']}" if record["num_labels"] else ""
        rows |= {
            "kind": f"Crackle stream, format version {record['format_version']}",
            "shape": f"{shape} (x, y, z)",
            "labels": f"{record['num_labels']:,}{span}",
            "label format": f"{record['label_format']}, {record['stored_label_width']} bytes each",
            "label table": "sorted" if record["label_table_sorted"] else "unsorted",
            "crack format": record["crack_format"],
            "Markov order": str(record["markov_model_order"] or "off"),
            "stream": f"{stored:,} bytes{_ratio(raw, stored)}",
        }
        if file_nbytes == stored:
            del rows["file"]
    table = Table(title=Text(record["file"]), title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, value)
    yield table
    if record["kind"] == "ckl":
        sections = Table(box=box.SIMPLE)
        sections.add_column("section")
        sections.add_column("bytes", justify="right")
        sections.add_column("share", justify="right")
        for name, size in record["sections"].items():
            sections.add_row(name.replace("_", " "), f"{size:,}", f"{100 * size / stored:.1f} %")
        yield sections


def _ratio(raw: int, stored: int) -> str:
    return f", ratio {raw / stored:.1f}" if raw and stored else ""


def _datasets_table(record: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    name = formats.FORMATS[record["kind"]].name
    title = f"{record['file']}: {name}, {record['file_nbytes']:,} bytes"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE)
    what = "dataset of integers" if record["kind"] == "hdf5" else "array"
    for column in (what, "shape", "dtype", "chunks", "compression"):
        table.add_column(column)
    for dataset in record["datasets"]:
        table.add_row(
            Text(dataset["name"]),
            " x ".join(map(str, dataset["shape"])),
            dataset["dtype"],
            " x ".join(map(str, dataset["chunks"])) if dataset["chunks"] else "none",
            dataset["compression"] or "none",
        )
    if not record["datasets"]:
        table.add_row("none")
    return table
