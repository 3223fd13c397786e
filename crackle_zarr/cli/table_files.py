"""Tables that commands write to files: CSV and Parquet."""

from __future__ import annotations

import importlib.util
import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import click

from .._base import atomic_files
from .places import new_file

if TYPE_CHECKING:
    from ..streams.exported_table import ExportedTable


def checked_table_file(option: str, path: Path, force: bool) -> None:
    """Refuse a file for a table before the work begins, not after it."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise click.UsageError(f"{option} {path}: the name has to end in .csv or .parquet.")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise click.UsageError(f"{option} {path}: Parquet needs pyarrow: pip install 'crackle-zarr[parquet]'")
    new_file(path, force)


def write_table(table: ExportedTable, path: Path) -> None:
    """Write a table; the file appears only when it is complete."""

    def write(file: IO[bytes]) -> None:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(cast(io.IOBase, file))
            return
        text = io.TextIOWrapper(file, encoding="ascii", newline="")
        table.to_csv(text)
        text.detach()

    atomic_files.replace(os.fspath(path), write)
