"""The Parquet files of an index: writing them, and reading row groups of them by byte range.

Labels are sorted, so a reader finds those that hold a label from the bounds in the footer. Columns are plain
but for sorted numbers, which are stored as differences; pages are compressed by zstd and have checksums.
"""

from __future__ import annotations

import importlib
import io
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import FormatError
from ..fetch import Wanted
from .manifest import File

# Rows of a row group: the unit of reading.
ROW_GROUP = 16_384
# Ranges of a file that lie no further apart than this are read by one request.
_GAP = 256 * 1024
_DELTAS = ("label", "chunk")
VERSION = "1"


def pyarrow() -> Any:
    """The library.

    Raises:
        ImportError: it is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ImportError("a label index needs pyarrow: pip install 'crackle-zarr[index]'") from None


def has_pyarrow() -> bool:
    """Whether the library is there."""
    try:
        pyarrow()
    except ImportError:
        return False
    return True


def columns_of(dtype: np.dtype[Any]) -> list[str]:
    """The names of a file's columns, for tables of this dtype: one per axis for fields that have axes."""
    names = []
    for name in dtype.names or ():
        shape = dtype[name].shape
        names += [f"{name}_{axis}" for axis in range(shape[0])] if shape else [name]
    return names


def file_of(name: str, table: npt.NDArray[Any], about: dict[str, str]) -> tuple[bytes, File]:
    """A table as a Parquet file.

    Args:
        name: the file's name.
        table: a structured array.
        about: what the file's metadata say beside its version: it explains itself where it is copied to.
    """
    pa = pyarrow()
    columns: dict[str, Any] = {}
    for field in table.dtype.names or ():
        values = table[field]
        if values.ndim == 1:
            columns[field] = np.ascontiguousarray(values)
        else:
            for axis in range(values.shape[1]):
                columns[f"{field}_{axis}"] = np.ascontiguousarray(values[:, axis])
    arrays = [pa.array(values) for values in columns.values()]
    schema = pa.schema(
        [pa.field(column, array.type, nullable=False) for column, array in zip(columns, arrays, strict=True)],
        metadata={"crackle_zarr.index": VERSION, **about},
    )
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(
        pa.Table.from_arrays(arrays, schema=schema),
        sink,
        row_group_size=ROW_GROUP,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        column_encoding={
            column: "DELTA_BINARY_PACKED" if column in _DELTAS else "PLAIN" for column in columns
        },
        write_statistics=[column for column in _DELTAS if column in columns][:1],
        write_page_checksum=True,
    )
    raw = sink.getvalue().to_pybytes()
    footer = int.from_bytes(raw[-8:-4], "little") + 8
    return raw, File(name, len(raw), footer, zlib.crc32(raw[-footer:]))


class Footer:
    """The footer of a file: where its row groups lie, and the labels of each."""

    def __init__(self, file: File, raw: bytes, place: str) -> None:
        """Check and parse a footer.

        Args:
            file: the file.
            raw: the footer's bytes.
            place: the file's key, for messages.

        Raises:
            FormatError: the footer is damaged.
        """
        if len(raw) != file.footer or zlib.crc32(raw) != file.crc:
            raise damaged(place, "its footer does not have the checksum that the manifest gives")
        self.file = file
        self.place = place
        self._raw = raw

    @cached_property
    def parsed(self) -> Any:
        """The footer as pyarrow has it."""
        pa = pyarrow()
        # Offsets in a footer count from the file's start, so it is parsed without the pages before it.
        return pa.parquet.read_metadata(pa.BufferReader(b"PAR1" + self._raw))

    @cached_property
    def num_groups(self) -> int:
        """How many row groups there are."""
        return int(self.parsed.num_row_groups)

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """The lowest and the highest label of each row group."""
        found = [self.parsed.row_group(group).column(0).statistics for group in range(self.num_groups)]
        return [(1, 0) if one is None else (int(one.min), int(one.max)) for one in found]

    def wanted(self, groups: Iterable[int], columns: Sequence[str], key: str) -> list[Wanted]:
        """The ranges to read for some columns of some row groups, in order."""
        ranges = []
        for group in groups:
            one = self.parsed.row_group(group)
            for number in range(one.num_columns):
                column = one.column(number)
                if column.path_in_schema in columns:
                    start = column.data_page_offset
                    ranges.append((start, start + column.total_compressed_size))
        joined: list[list[int]] = []
        for start, stop in sorted(ranges):
            if joined and start - joined[-1][1] <= _GAP:
                joined[-1][1] = stop
            else:
                joined.append([start, stop])
        return [Wanted(key, start, stop) for start, stop in joined]

    def table(
        self,
        groups: Sequence[int],
        columns: Sequence[str],
        pieces: Sequence[tuple[int, bytes]],
        dtype: np.dtype[Any],
    ) -> npt.NDArray[Any]:
        """Row groups as a structured array, from the ranges that :meth:`wanted` gave.

        Args:
            groups: the row groups.
            columns: those of the result.
            pieces: the start of each range, and its bytes.
            dtype: of the result, whose columns were read.

        Raises:
            FormatError: a page is damaged.
        """
        pa = pyarrow()
        try:
            opened = pa.parquet.ParquetFile(
                pa.PythonFile(_Pieces(self.file.nbytes, pieces), mode="r"),
                metadata=self.parsed,
                page_checksum_verification=True,
                pre_buffer=False,
            )
            found = opened.read_row_groups(list(groups), columns=list(columns), use_threads=False)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise damaged(self.place, " ".join(str(error).split())) from error
        table = np.empty(found.num_rows, dtype=dtype)
        for name in found.column_names:
            values = found.column(name).to_numpy()
            if name in (dtype.names or ()):
                table[name] = values
            else:
                field, _, axis = name.rpartition("_")
                table[field][:, int(axis)] = values
        return table


def damaged(place: str, reason: str) -> FormatError:
    """The error for a damaged file of an index."""
    return FormatError(
        f"the file {place} of the label index is damaged: {reason}. The array is not affected: "
        f"index='ignore' asks without the index, and create_index(array, overwrite=True) builds it again"
    )


class _Pieces(io.RawIOBase):
    """A file of which only some ranges are here."""

    def __init__(self, nbytes: int, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._nbytes, self._pieces, self._at = nbytes, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._nbytes}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._nbytes if size < 0 else min(self._at + size, self._nbytes)
        for start, piece in self._pieces:
            if start <= self._at and stop <= start + len(piece):
                part = bytes(memoryview(piece)[self._at - start : stop - start])
                self._at = stop
                return part
        raise OSError(f"bytes {self._at} to {stop} were not read")
