"""Columns of tables: arrays, frames of pyarrow, pandas, polars and DuckDB, and files of all of them."""

from __future__ import annotations

import contextlib
import csv
import importlib
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Column: TypeAlias = npt.NDArray[Any]
# The columns to take of those that there are; it raises ValueError if these will not do.
Choose: TypeAlias = Callable[[Sequence[str]], Sequence[str]]


def columns_of(source: Any, what: str, choose: Choose) -> tuple[str, list[Any] | None]:
    """Some columns of a table, and its name for messages; None if ``source`` is no table.

    Args:
        source: an array of two axes, whose columns are named by their numbers; a structured array; a table of
            pyarrow, pandas, polars or DuckDB; or the path of a file: .npy, which is mapped into memory, .npz,
            .parquet, .arrow, .feather or .csv.
        what: the name of the argument, for messages.
        choose: see above.

    Raises:
        TypeError: a column of a file that should hold labels has another type.
        ValueError: there are other columns, a value is missing, or a file cannot be read.
        ImportError: the library that reads it is not installed.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise ValueError(f"{path}: a file with the {what} ends in one of {', '.join(_READERS)}")
        return str(path), reader(path, choose)
    if isinstance(source, np.ndarray):
        return what, _of_array(source, what, choose)
    return what, _of_frame(source, what, choose)


def _chosen(names: Sequence[Any], where: str, choose: Choose) -> Sequence[str]:
    try:
        return choose(list(names))
    except ValueError as error:
        raise ValueError(f"{where} has the columns {', '.join(map(str, names)) or 'none'}: {error}") from None


def _of_array(array: Column, where: str, choose: Choose) -> list[Column]:
    if array.dtype.names is not None:
        return [array[name] for name in _chosen(array.dtype.names, where, choose)]
    if array.ndim != 2:
        raise ValueError(f"{where} is an array of shape {array.shape}: pairs of labels have the shape (n, 2)")
    names = [str(number) for number in range(array.shape[1])]
    return [array[:, int(name)] for name in _chosen(names, where, choose)]


# ---------------------------------------------------------------------------------------
# Frames


def _of_frame(table: Any, where: str, choose: Choose) -> list[Column] | None:
    if hasattr(table, "collect_schema") and callable(getattr(table, "collect", None)):
        table = table.collect()  # a lazy frame of polars
    if type(table).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
        name = "to_arrow_table" if hasattr(table, "to_arrow_table") else "fetch_arrow_table"
        table = getattr(table, name)()
    names = getattr(table, "column_names", None)  # pyarrow; its attribute columns has the columns themselves
    if names is None:
        names = getattr(table, "columns", None)
    if names is None or not hasattr(table, "shape") or not hasattr(table, "__getitem__"):
        return None
    return [_values(table[name], name, where) for name in _chosen(list(names), where, choose)]


def _values(column: Any, name: object, where: str) -> Column:
    missing = getattr(column, "null_count", 0)
    missing = missing() if callable(missing) else missing
    if missing:
        raise ValueError(f"{where}: the column {name} lacks {missing:,} values")
    return np.asarray(column.to_numpy())


# ---------------------------------------------------------------------------------------
# Files


def _of_npy(path: Path, choose: Choose) -> list[Column]:
    with _named(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    return _of_array(array, str(path), choose)


def _of_npz(path: Path, choose: Choose) -> list[Column]:
    with open(path, "rb") as file, _named(path), np.load(file, allow_pickle=False) as archive:
        if len(archive.files) == 1:
            return _of_array(archive[archive.files[0]], str(path), choose)
        return [archive[name] for name in _chosen(archive.files, str(path), choose)]


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give an error of NumPy's the name of the file."""
    try:
        yield
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is no file of NumPy's with numbers: {error}") from error


class _Arrow(NamedTuple):
    """What is used of pyarrow."""

    pyarrow: Any
    feather: Any
    parquet: Any


def _arrow() -> _Arrow:
    try:
        return _Arrow(
            importlib.import_module("pyarrow"),
            importlib.import_module("pyarrow.feather"),
            importlib.import_module("pyarrow.parquet"),
        )
    except ImportError:
        raise ImportError("Arrow and Parquet need pyarrow: pip install 'crackle-zarr[parquet]'") from None


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Give an error of Arrow's the name of the file."""
    try:
        yield
    except _arrow().pyarrow.lib.ArrowException as error:
        if isinstance(error, OSError | MemoryError):
            raise
        raise ValueError(f"{path} cannot be read: {error}") from error


def _of_feather(path: Path, choose: Choose) -> list[Column]:
    with _readable(path):
        found = _of_frame(_arrow().feather.read_table(path, memory_map=True), str(path), choose)
    assert found is not None
    return found


def _of_parquet(path: Path, choose: Choose) -> list[Column]:
    """Read row groups side by side, each to its place in the columns.

    Arrow's table of the whole file has to be joined to arrays afterwards, which takes twice the memory.
    """
    groups = RowGroups(path, choose)
    groups.read(range(len(groups.starts) - 1))
    return groups.columns


class RowGroups:
    """Some columns of a file of Parquet, whose row groups are read to their places when they are asked for.

    Attributes:
        columns: arrays of all rows. Memory of rows that were never read is not in use.
        starts: the first row of each row group, and the number of all rows.
    """

    def __init__(self, path: Path, choose: Choose) -> None:
        """Open a file; see :func:`columns_of`."""
        self.path = path
        parquet, types = _arrow().parquet, _arrow().pyarrow.types
        with _readable(path), parquet.ParquetFile(path) as file:
            schema, self._footer = file.schema_arrow, parquet.read_metadata(path)
        self._names = _chosen(schema.names, str(path), choose)
        for name in self._names:
            kind = schema.field(name).type
            if not (types.is_integer(kind) or types.is_floating(kind)):
                raise TypeError(f"{path}: the column {name} is of {kind}, and labels are integers")
        dtypes = [schema.field(name).type.to_pandas_dtype() for name in self._names]
        sizes = [self._footer.row_group(number).num_rows for number in range(self._footer.num_row_groups)]
        if sum(sizes) != self._footer.num_rows or min(sizes, default=0) < 0:
            raise ValueError(
                f"{path} cannot be read: its row groups have {sum(sizes):,} rows, and its footer tells of "
                f"{self._footer.num_rows:,}"
            )
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.columns: list[Column] = [np.empty(self.starts[-1], dtype=dtype) for dtype in dtypes]

    def bounds(self, place: int) -> tuple[Column, Column] | None:
        """The least and the greatest number of a column in each row group; None where the file lacks them."""
        low, high = [], []
        for number in range(len(self.starts) - 1):
            group = self._footer.row_group(number)
            found = [group.column(one) for one in range(group.num_columns)]
            known = next(one for one in found if one.path_in_schema == self._names[place]).statistics
            if known is None or not known.has_min_max or not known.has_null_count or known.null_count:
                return None
            low.append(known.min)
            high.append(known.max)
        try:
            dtype = self.columns[place].dtype
            return np.array(low, dtype=dtype), np.array(high, dtype=dtype)
        except OverflowError:  # some writer took unsigned numbers for signed ones
            return None

    def read(self, numbers: Iterable[int]) -> None:
        """Read row groups side by side."""

        def one(number: int) -> None:
            # A reader serves one thread; the footer serves all.
            with _arrow().parquet.ParquetFile(self.path, metadata=self._footer) as own:
                group = own.read_row_group(number, columns=list(self._names), use_threads=False)
            start, stop = self.starts[number], self.starts[number + 1]
            for name, column in zip(self._names, self.columns, strict=True):
                values = _values(group[name], name, str(self.path))
                if len(values) != stop - start:
                    raise ValueError(
                        f"{self.path}: row group {number} has {len(values):,} rows, and the footer tells of "
                        f"{stop - start:,}: the file has changed since it was opened, or is damaged"
                    )
                column[start:stop] = values

        with _readable(self.path), ThreadPoolExecutor() as threads:
            list(threads.map(one, numbers))


def label_of(value: Any, where: str) -> int:
    """A label from text or JSON.

    Raises:
        ValueError: it is no integer.
    """
    exact = isinstance(value, int) and not isinstance(value, bool)
    if not exact and not (isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value)):
        raise ValueError(f"{where}: {value!r} is no label: labels are integers")
    return int(value)


def _of_csv(path: Path, choose: Choose) -> list[list[Any]]:
    """Columns of text, the first two of them labels; without a line of names they are named by numbers."""
    columns: list[list[Any]] = []
    places: list[int] = []
    width = 0
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            where = f"{path}, line {number}"
            if not columns:
                named = not any(re.search(r"\d", cell) for cell in row)
                names = [cell.strip() for cell in row] if named else [str(place) for place in range(len(row))]
                places = [names.index(name) for name in _chosen(names, str(path), choose)]
                columns, width = [[] for _ in places], len(row)
                if named:
                    continue
            if len(row) != width:
                raise ValueError(f"{where}: the line has {len(row)} columns, and others have {width}: {row}")
            for column, place in zip(columns[:2], places[:2], strict=True):
                column.append(label_of(row[place], where))
            for column, place in zip(columns[2:], places[2:], strict=True):
                try:
                    column.append(float(row[place]))
                except ValueError:
                    raise ValueError(f"{where}: {row[place]!r} is no number") from None
    return columns or [[] for _ in range(2)]


_READERS: dict[str, Callable[[Path, Choose], list[Any]]] = {
    ".npy": _of_npy,
    ".npz": _of_npz,
    ".parquet": _of_parquet,
    ".arrow": _of_feather,
    ".feather": _of_feather,
    ".csv": _of_csv,
}
