"""Tables as structured arrays, and their export to pandas, polars, Arrow, Parquet and CSV.

A table has a flat field for each column, so all libraries that take structured arrays take it.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
from collections.abc import Mapping
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt


class ExportedTable(np.ndarray[Any, np.dtype[Any]]):
    """A structured array that other libraries and files take as a table."""

    # The columns of labels whose names are known.
    named: ClassVar[tuple[str, ...]] = ("label",)

    def to_pandas(self, names: Mapping[int, str] | None = None) -> Any:
        """A ``pandas.DataFrame`` with the columns of :meth:`to_csv`, in the machine's byte order.

        Args:
            names: of labels, for a column ``name``; see :func:`crackle_zarr.label_names`.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise ImportError("a DataFrame needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.columns(names))

    def to_arrow(self, names: Mapping[int, str] | None = None) -> Any:
        """A ``pyarrow.Table`` with the columns of :meth:`to_csv`.

        Args:
            names: of labels, for a column ``name``; see :func:`crackle_zarr.label_names`.

        Raises:
            ImportError: pyarrow is not installed.
        """
        pyarrow, _ = pyarrow_with_parquet()
        return pyarrow.table(
            {
                name: pyarrow.array(column, pyarrow.string() if column.dtype.kind == "O" else None)
                for name, column in self.columns(names).items()
            }
        )

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The table as a stream of Arrow's C interface, for polars, duckdb and pandas 3."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> Any:
        """The table in the dataframe interchange protocol."""
        return self.to_arrow().__dataframe__(nan_as_null, allow_copy)

    def to_csv(self, file: str | os.PathLike[str] | IO[str], names: Mapping[int, str] | None = None) -> None:
        """Write a line per label, below a line with the names of the columns.

        Args:
            file: a path, or a file opened for text. Labels are written as integers with all their digits.
            names: of labels, for a column ``name`` behind ``label``, which is empty for other labels; see
                :func:`crackle_zarr.label_names`.
        """
        if isinstance(file, str | os.PathLike):
            with open(file, "w", newline="", encoding="utf-8") as opened:
                self.to_csv(opened, names)
            return
        columns = self.columns(names)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))

    def to_parquet(
        self, file: str | os.PathLike[str] | io.IOBase, names: Mapping[int, str] | None = None
    ) -> None:
        """Write a Parquet file with the columns of :meth:`to_csv`.

        Args:
            file: a path, or a file opened for bytes.
            names: of labels, for a column ``name``; see :func:`crackle_zarr.label_names`.

        Raises:
            ImportError: pyarrow is not installed.
        """
        pyarrow_with_parquet()[1].write_table(self.to_arrow(names), file)

    def columns(self, names: Mapping[int, str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """The columns by name, each contiguous and in the machine's byte order; labels of bool as 0 and 1.

        With ``names`` of labels, ``name`` follows ``label``: text, empty for labels without a name. In a
        table of pairs of one volume, ``name_a`` follows ``label_a``, and ``name_b`` ``label_b``.
        """
        plain = self.view(np.ndarray)
        found = {}
        for name in self.dtype.names or ():
            values = plain[name]
            if values.dtype.kind == "b":
                values = values.astype(np.uint8)
            found[name] = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
            if name in self.named and names is not None:
                texts = [names.get(label, "") for label in found[name].tolist()]
                found[name.replace("label", "name")] = np.array([*texts, None], dtype=object)[:-1]
        return found


def pyarrow_with_parquet() -> tuple[Any, Any]:
    """The two modules.

    Raises:
        ImportError: pyarrow is not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ImportError("Arrow and Parquet need pyarrow: pip install 'crackle-zarr[parquet]'") from None
