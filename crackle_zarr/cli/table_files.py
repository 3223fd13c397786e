"""Tables that commands write to files: CSV and Parquet."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import click

from .._base import atomic_files
from .places import new_file

if TYPE_CHECKING:
    from ..streams.exported_table import ExportedTable

table_output = click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table to this file: .csv, or .parquet (which needs pyarrow).",
)
csv_output = click.option(
    "--csv", "as_csv", is_flag=True, help="Print CSV. This is the default if stdout is no terminal."
)


def checked_table_file(option: str, path: Path, force: bool) -> None:
    """Refuse a file for a table before the work begins, not after it."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise click.UsageError(f"{option} {path}: the name has to end in .csv or .parquet.")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise click.UsageError(f"{option} {path}: Parquet needs pyarrow: pip install 'crackle-zarr[parquet]'")
    new_file(path, force)


def write_table(table: ExportedTable, path: Path, names: Mapping[int, str] | None = None) -> None:
    """Write a table, with ``names`` of labels if given; the file appears only when it is complete."""

    def write(file: IO[bytes]) -> None:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(cast(io.IOBase, file), names)
            return
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        table.to_csv(text, names)
        text.detach()

    atomic_files.replace(os.fspath(path), write)
